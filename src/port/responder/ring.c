/* SPDX-License-Identifier: MIT */
/*
 * A bounded queue of finished frames, in memory of its own.
 *
 * Invariant: the queue is empty, or head < tail (one piece), or tail <= head
 * (wrapped; equal when not a byte is free).
 */
#include "port/responder/ring.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

static_assert(RING_BYTES >= 2 * VMTAP_FRAME_MAX, "a long frame needs room beside another");

int ring_init(struct ring *r)
{
	*r = (struct ring) { .mem = calloc(1, RING_BYTES) };
	return r->mem ? 0 : -ENOMEM;
}

void ring_fini(struct ring *r)
{
	free(r->mem);
	*r = (struct ring) { 0 };
}

uint8_t *ring_reserve(struct ring *r, size_t size)
{
	if (r->cnt == RING_CNT)
		return NULL;
	if (r->cnt == 0) {
		r->head = r->tail = 0;
		r->first = 0;
	} else if (r->tail <= r->head) {
		return r->head - r->tail >= size ? r->mem + r->tail : NULL;
	}
	if (RING_BYTES - r->tail >= size)
		return r->mem + r->tail;
	return r->head >= size ? r->mem : NULL;
}

void ring_commit(struct ring *r, uint8_t *at, size_t len)
{
	unsigned i = (r->first + r->cnt) % RING_CNT;

	assert(len > 0 && r->cnt < RING_CNT);
	r->iov[i] = (struct iovec) { .iov_base = at, .iov_len = len };
	r->frames[i] = (struct vmtap_frame) {
		.len = (uint32_t)len,
		.iov_cnt = 1,
		.iov = &r->iov[i],
	};
	r->tail = (size_t)(at - r->mem) + len;
	r->cnt++;
}

unsigned ring_peek(const struct ring *r, const struct vmtap_frame **frames)
{
	unsigned cnt = r->cnt;

	if (cnt > RING_CNT - r->first)
		cnt = RING_CNT - r->first;
	if (cnt > VMTAP_BURST_MAX)
		cnt = VMTAP_BURST_MAX;
	*frames = &r->frames[r->first];
	return cnt;
}

void ring_drop(struct ring *r, unsigned cnt)
{
	assert(cnt <= r->cnt);
	r->first = (r->first + cnt) % RING_CNT;
	r->cnt -= cnt;
	if (r->cnt)
		r->head = (size_t)((uint8_t *)r->iov[r->first].iov_base - r->mem);
}
