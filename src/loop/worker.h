/* SPDX-License-Identifier: MIT */
/*
 * Workers: threads with a loop and a burst engine each.
 *
 * Model
 *   One thread, the *control thread*, owns everything and has a loop of its own. A
 *   worker only runs what was put into its loop. It holds its loop's lock while it handles
 *   events, and not while it waits. Whoever wants to change what workers use holds all
 *   of them still first, so that code that only workers run needs no lock and
 *   no atomic operation, and code that only the control thread runs sees no change.
 *
 *     worker   wait | lock, handle, unlock | wait | lock, handle, …
 *     control            hold: each lock | change | release
 *
 *   A worker that is busy lets the control thread go first (loop_dispatch()).
 *
 * Threads
 *   All functions are the control thread's.
 */
#ifndef LOOP_WORKER_H
#define LOOP_WORKER_H

#include <sched.h>

#include "loop/burst.h"
#include "loop/loop.h"
#include "vmtap/vmtap.h"

struct workers;

/**
 * struct workers_config - @cpus: processors, in turn one for each worker; @cpu_cnt 0: anywhere
 * @poll_us: as loop_set_poll()
 */
struct workers_config {
	unsigned cnt, cpu_cnt, poll_us;
	const unsigned *cpus;
	enum burst_engine engine;
};

/** workers_new() - Start @config->cnt threads, 1..VMTAP_WORKERS_MAX, with all signals blocked but those that
 *  faults raise. Return: owned; NULL and @err. */
struct workers *workers_new(const struct workers_config *config, struct vmtap_error *err);
/** workers_free() - End the threads; their loops are empty. NULL is fine. */
void workers_free(struct workers *w);

/** workers_claim() - Which worker is next in turn? @cnt of them are used, from that one on. */
unsigned workers_claim(struct workers *w, unsigned cnt);

/** workers_loop(), workers_burst() - Of worker @number, counted round and round. Borrowed. */
struct loop *workers_loop(const struct workers *w, unsigned number);
struct burst *workers_burst(const struct workers *w, unsigned number);

/** workers_hold() - Have all of them stand still until workers_release(); nests. */
void workers_hold(struct workers *w);
void workers_release(struct workers *w);

#endif
