/* SPDX-License-Identifier: MIT */
/* A bounded queue of copied frames in one piece of memory. */
#include "net/frameq.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

#include "base/iov.h"

#define ALIGN 16u

/* A frame in the ring, its bytes behind it. */
struct record {
	struct vmtap_net_hdr hdr;
	uint32_t len, tag;
};

static uint32_t room_of(uint32_t len)
{
	return (uint32_t)(sizeof(struct record) + len + ALIGN - 1) & ~(ALIGN - 1);
}

static_assert(sizeof(struct record) + VMTAP_FRAME_MAX + ALIGN <= FRAMEQ_SIZE_MIN,
	      "any frame fits the smallest ring");

int frameq_init(struct frameq *q, uint32_t size, unsigned max)
{
	assert(size >= FRAMEQ_SIZE_MIN && max);
	*q = (struct frameq) { .size = size & ~(ALIGN - 1), .max = max };
	q->ring = malloc(size);
	return q->ring ? 0 : -ENOMEM;
}

void frameq_fini(struct frameq *q)
{
	free(q->ring);
	q->ring = NULL;
}

static struct record *at(const struct frameq *q, uint32_t off)
{
	return (struct record *)(void *)(q->ring + off);
}

/* Have @room bytes at the tail; the start of the ring will do as well. */
static bool make_room(struct frameq *q, uint32_t room)
{
	if (!q->cnt)
		q->head = q->tail = q->end = 0;
	if (q->cnt && q->tail <= q->head) /* wrapped: up to the head */
		return q->head - q->tail >= room;
	if (q->size - q->tail >= room)
		return true;
	if (q->head < room)
		return false;
	q->end = q->tail;
	q->tail = 0;
	return true;
}

bool frameq_push(struct frameq *q, const struct vmtap_frame *frame, unsigned tag)
{
	uint32_t room = room_of(frame->len);
	struct record *r;

	if (q->cnt >= q->max || frame->len > VMTAP_FRAME_MAX || !make_room(q, room))
		return false;
	r = at(q, q->tail);
	*r = (struct record) { .hdr = frame->hdr, .len = frame->len, .tag = tag };
	iov_read(frame->iov, frame->iov_cnt, 0, r + 1, frame->len);
	q->tail += room;
	if (q->tail > q->head)
		q->end = q->tail;
	q->cnt++;
	return true;
}

static uint32_t behind(const struct frameq *q, uint32_t off)
{
	off += room_of(at(q, off)->len);
	return off == q->end ? 0 : off;
}

unsigned frameq_peek(const struct frameq *q, struct vmtap_frame *frames, struct iovec *iov,
		     unsigned max)
{
	unsigned cnt = q->cnt < max ? q->cnt : max;
	uint32_t off = q->head;

	for (unsigned i = 0; i < cnt; i++) {
		struct record *r = at(q, off);

		iov[i] = (struct iovec) { .iov_base = r + 1, .iov_len = r->len };
		frames[i] = (struct vmtap_frame) {
			.hdr = r->hdr, .len = r->len, .iov = &iov[i], .iov_cnt = 1
		};
		if (i + 1 < cnt)
			off = behind(q, off);
	}
	return cnt;
}

unsigned frameq_drop(struct frameq *q, uint32_t *len)
{
	const struct record *r = at(q, q->head);
	unsigned tag = r->tag;

	assert(q->cnt);
	*len = r->len;
	q->head = behind(q, q->head);
	q->cnt--;
	return tag;
}

unsigned frameq_purge(struct frameq *q)
{
	unsigned cnt = q->cnt;

	q->cnt = 0;
	return cnt;
}
