/* SPDX-License-Identifier: MIT */
/* Captured frames on their way from the thread that moves them to the one that writes them. */
#include "filter/capring.h"

#include <assert.h>
#include <errno.h>
#include <sys/mman.h>

#define GAP (~0u)
#define ALIGN 16u

_Static_assert(sizeof(struct caprec) % ALIGN == 0, "records stay aligned");
_Static_assert(2 * (sizeof(struct caprec) + VMTAP_FRAME_MAX) < CAPRING_MIN, "the smallest ring");

int capring_init(struct capring *r, size_t size, bool fill)
{
	void *buf;

	assert(size >= CAPRING_MIN && !(size & (size - 1)));
	buf = mmap(NULL, size, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | (fill ? MAP_POPULATE : 0), -1, 0);
	if (buf == MAP_FAILED)
		return -ENOMEM;
	r->buf = buf;
	r->size = size;
	return 0;
}

void capring_fini(struct capring *r)
{
	if (r->buf)
		munmap(r->buf, r->size);
	r->buf = NULL;
}

static size_t record_size(uint32_t data_len)
{
	return (sizeof(struct caprec) + data_len + ALIGN - 1) & ~(size_t)(ALIGN - 1);
}

static struct caprec *at(const struct capring *r, uint64_t pos)
{
	return (struct caprec *)(void *)(r->buf + (pos & (r->size - 1)));
}

static bool has_room(struct capring *r, size_t size)
{
	if (r->put + size - r->tail_seen <= r->size)
		return true;
	r->tail_seen = atomic_load_explicit(&r->tail, memory_order_acquire);
	return r->put + size - r->tail_seen <= r->size;
}

struct caprec *capring_room(struct capring *r, uint32_t data_len)
{
	const size_t size = record_size(data_len);
	const size_t to_end = r->size - (r->put & (r->size - 1));
	struct caprec *gap;

	if (size <= to_end)
		return has_room(r, size) ? at(r, r->put) : NULL;
	if (!has_room(r, to_end + size))
		return NULL;
	/* to_end is a multiple of 16, which is enough for the two fields */
	gap = at(r, r->put);
	gap->size = (uint32_t)to_end;
	gap->data_len = GAP;
	r->put += to_end;
	return at(r, r->put);
}

void capring_put(struct capring *r, struct caprec *rec, uint32_t data_len)
{
	rec->data_len = data_len;
	rec->size = (uint32_t)record_size(data_len);
	r->put += rec->size;
}

const struct caprec *capring_first(struct capring *r)
{
	r->next = atomic_load_explicit(&r->tail, memory_order_relaxed);
	return capring_next(r);
}

const struct caprec *capring_next(struct capring *r)
{
	const uint64_t head = atomic_load_explicit(&r->head, memory_order_acquire);

	while (r->next != head) {
		const struct caprec *rec = at(r, r->next);

		r->next += rec->size;
		if (rec->data_len != GAP)
			return rec;
	}
	return NULL;
}

void capring_back(struct capring *r, const struct caprec *rec)
{
	r->next -= rec->size;
}

void capring_taken(struct capring *r)
{
	atomic_store_explicit(&r->tail, r->next, memory_order_release);
}
