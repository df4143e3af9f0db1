/* SPDX-License-Identifier: MIT */
/*
 * A bounded queue of copied frames in one piece of memory.
 *
 * Model
 *   A ring of bytes in which each frame is one piece behind its header. Nothing is allocated when frames
 *   come, and memory that was never used is never touched. Unlike a sendq (net/sendq.h) it has no
 *   callbacks, and is bounded in bytes, too.
 */
#ifndef NET_FRAMEQ_H
#define NET_FRAMEQ_H

#include "vmtap/vmtap.h"

/**
 * struct frameq - Private but for @cnt, the frames in it
 * @head, @tail: where the first begins and the next goes; @end: of what is used before the ring wraps
 */
struct frameq {
	uint8_t *ring;
	uint32_t size, head, tail, end;
	unsigned cnt, max;
};

/** Bytes of a ring at least: any frame fits. */
#define FRAMEQ_SIZE_MIN (128u * 1024)

/** frameq_init() - @size: bytes, FRAMEQ_SIZE_MIN or more; @max: frames. Return: 0 or -ENOMEM. */
int frameq_init(struct frameq *q, uint32_t size, unsigned max);
void frameq_fini(struct frameq *q);

/** frameq_push() - Copy @frame to the end. @tag: whatever the caller wants to have back.
 *  Return: false: no room. */
bool frameq_push(struct frameq *q, const struct vmtap_frame *frame, unsigned tag);

/** frameq_peek() - The first frames, at most @max, without taking them out. What @frames and @iov say is
 *  valid until frameq_drop() or frameq_purge(). Return: how many. */
unsigned frameq_peek(const struct frameq *q, struct vmtap_frame *frames, struct iovec *iov,
		     unsigned max);

/** frameq_drop() - Take the first out. @q has one. Return: its tag; @len: its bytes. */
unsigned frameq_drop(struct frameq *q, uint32_t *len);

/** frameq_purge() - Take all out. Return: how many there were. */
unsigned frameq_purge(struct frameq *q);

#endif
