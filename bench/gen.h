/* SPDX-License-Identifier: MIT */
/*
 * The generator: frames into the TAP, towards its reader.
 *
 * Problem
 *   A TAP whose queue is full drops, and the sender is not told. A flood would
 *   therefore measure how fast the kernel drops; a timid sender would let the
 *   reader run dry.
 *
 * Model
 *   What is offered follows what is taken: frames that left the TAP's queue
 *   are seen in its statistics, and at most 3/4 of the queue is kept filled.
 *   A frame that is lost then was lost by the back end.
 *
 * Threads
 *   One of its own, from gen_start() to gen_stop().
 */
#ifndef BENCH_GEN_H
#define BENCH_GEN_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "meter.h"

/**
 * struct gen - Set the first part; gen_start() zeroes nothing of it
 * @tap:      the interface's name; @meter: its counters
 * @size:     bytes a frame; 0: mixed; more than FRAME_MAX: TCP that is still to be segmented, for
 *            a reader that takes it whole
 * @limit:    stop after so many frames; 0: none
 * @pace_pps: frames a second; 0: as many as are taken
 * @single:   do not have the kernel cut large packets
 * @overrun:  this many more frames are to be sent whether or not the queue has room
 * @sent:     frames handed to the kernel
 * @gso:      does the kernel cut large packets (from Linux 6.2), or do we send single frames?
 */
struct gen {
	const char *tap;
	const struct tap_meter *meter;
	size_t size;
	uint64_t limit;
	uint64_t pace_pps;
	bool single;

	atomic_uint_fast64_t overrun;
	atomic_uint_fast64_t sent;
	atomic_bool stop;
	bool gso;
	pthread_t thread;
};

void gen_start(struct gen *g);
/** gen_stop() - Stop, and wait until it has. */
void gen_stop(struct gen *g);

#endif
