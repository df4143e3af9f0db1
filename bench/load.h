/* SPDX-License-Identifier: MIT */
/* The tests that the load generator knows; each prints one line of key=value. */
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "meter.h"
#include "peer.h"

/**
 * struct load - What the tests work on
 * @secs:   length of a test; @warm_secs: before it
 * @single: put single frames into the TAP
 * @peer:   NULL: only tests on the TAP's side
 */
struct load {
	const char *tap;
	struct peer *peer;
	struct tap_meter meter;
	struct processes backend;
	double secs, warm_secs;
	bool single;
};

/**
 * struct flow - Frames in one direction or both, for a fixed time
 * @up:   socket to TAP; @down: TAP to socket
 * @size: bytes a frame; @batch: frames a write
 * @up_pps, @down_pps: pace; 0: as many as are taken
 */
struct flow {
	const char *name;
	bool up, down;
	size_t size;
	unsigned batch;
	uint64_t up_pps, down_pps;
};

void flow_run(const struct load *l, const struct flow *f);

/** settle() - Wait until all of @sent frames have arrived since @start, at the TAP, at the receiver
 *  or in the kernel's count of drops; or until nothing more comes. */
void settle(const struct load *l, const struct sample *start, const struct receiver *r,
	    uint64_t sent);

/** ready_wait() - Wait until a frame passes in either direction: a back end may drop what comes
 *  before it has taken note of the connection. */
void ready_wait(const struct load *l);

/** ping_run() - One frame at a time, up and down in turn, with @pause_us before each. */
void ping_run(const struct load *l, size_t size, unsigned pause_us);

/** idle_run() - Nothing for @secs; what does the back end do meanwhile, and what does it occupy? */
void idle_run(const struct load *l, double secs);

/** times_print() - " NAME_p50=US NAME_p99=US". Sorts @ns. */
void times_print(const char *name, uint32_t *ns, size_t cnt);

/* With a vhost-user front end as the other side, that is not ours (tapside.c): */

/** watch_run() - Count what comes out of the TAP and goes into it. */
void watch_run(const struct load *l, size_t size);
/** blast_run() - Frames into the TAP, as many as are taken. */
void blast_run(const struct load *l, size_t size);
/** echo_run() - One frame at a time into the TAP, until it has come back. */
void echo_run(const struct load *l, size_t size, unsigned pause_us);

/**
 * struct loss_plan - A number of frames each way, the socket's reader pausing now and then
 * @frames:   in each direction
 * @stalls:   pauses, spread evenly; @stall_ms: length of each
 * @max_secs: after this what was sent is judged
 */
struct loss_plan {
	uint64_t frames;
	unsigned stalls, stall_ms;
	double max_secs;
};

void loss_run(const struct load *l, const struct loss_plan *plan);

#endif
