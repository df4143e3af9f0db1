/* SPDX-License-Identifier: MIT */
/*
 * A vhost-user front end that costs as little as can be: what is measured is
 * the back end.
 *
 * Model
 *   A lane is one link of the back end: a front end of ours (tests/lib/vu-front.h
 *   sets it up) and the TAP. Its send buffers are filled once and made available again
 *   and again; of what it receives only the lengths are looked at. It polls its rings,
 *   asks for no call, and kicks when the device wants that, once a burst.
 *
 *   Large frames are sent in indirect chains, in pieces of a page as a guest has them, and
 *   received in mergeable buffers of that size.
 */
#ifndef BENCH_LANE_H
#define BENCH_LANE_H

#include <stdbool.h>
#include <stdint.h>

#include "meter.h"
#include "vu-front.h"

#define LANE_PAIRS_MAX 4

/** struct lane_way - One queue. @free: slots that are with the driver; @frames: that have passed */
struct lane_way {
	struct vuf_queue *vq;
	uint16_t *free;
	unsigned free_cnt;
	unsigned owed; /* receive buffers that the current frame still comes in */
	uint64_t frames, bytes, odd;
};

struct lane {
	struct vuf f;
	struct tap_meter meter;
	unsigned pairs;
	struct lane_way tx[LANE_PAIRS_MAX], rx[LANE_PAIRS_MAX];
};

/** lane_open() - Connect to the back end at @path, whose TAP is @tap. Return: owned. */
struct lane *lane_open(const char *path, const char *tap, unsigned pairs, unsigned ring_size);
void lane_close(struct lane *l);

/** lane_fill() - Every send buffer holds a frame of @size bytes from now on. When nothing is in flight. */
void lane_fill(struct lane *l, unsigned size);
/** lane_send() - Take back what was sent, send up to @most frames. Return: frames sent. */
unsigned lane_send(struct lane *l, unsigned most);
/** lane_reap() - Take back what was sent. Return: frames still in flight. */
unsigned lane_reap(struct lane *l);
/** lane_receive() - Take what has come, give the buffers back. Return: frames. */
unsigned lane_receive(struct lane *l);

uint64_t lane_sent(const struct lane *l);
uint64_t lane_received(const struct lane *l);
/** lane_odd() - Frames that came with a header, a length or a number of buffers that cannot be. */
uint64_t lane_odd(const struct lane *l);

#endif
