/* SPDX-License-Identifier: MIT */
/*
 * A bounded queue of finished frames, in memory of its own.
 *
 * Frames lie one after the other in one block; a frame that does not fit at
 * its end goes to its beginning. An empty queue starts at the beginning
 * again, so that a port whose replies are taken at once stays within a few
 * cache lines, and untouched pages cost nothing.
 */
#ifndef PORT_RESPONDER_RING_H
#define PORT_RESPONDER_RING_H

#include "vmtap/vmtap.h"

/** Frames that one queue holds at most, and the bytes of all of them. */
#define RING_CNT 256
#define RING_BYTES (512 * 1024)

struct ring {
	uint8_t *mem;	   /* owned */
	size_t head, tail; /* where the first frame starts; where the last one ends */
	unsigned first, cnt;
	struct vmtap_frame frames[RING_CNT];
	struct iovec iov[RING_CNT];
};

/** ring_init() - Return: 0 or -ENOMEM. */
int ring_init(struct ring *r);
void ring_fini(struct ring *r);

/** ring_reserve() - Where the next frame, of up to @size bytes, may be written. NULL: no room. */
uint8_t *ring_reserve(struct ring *r, size_t size);

/** ring_commit() - The frame in the reserved room, @len > 0 bytes of it, is now the last one. */
void ring_commit(struct ring *r, uint8_t *at, size_t len);

/** ring_peek() - The first frames, up to VMTAP_BURST_MAX; borrowed until ring_drop().
 *  Return: how many; fewer than there are where the table wraps; 0: the queue is empty. */
unsigned ring_peek(const struct ring *r, const struct vmtap_frame **frames);

/** ring_drop() - The first @cnt frames leave. */
void ring_drop(struct ring *r, unsigned cnt);

#endif
