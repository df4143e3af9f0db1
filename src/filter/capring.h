/* SPDX-License-Identifier: MIT */
/*
 * Captured frames on their way from the thread that moves them to the one that writes them.
 *
 * Model
 *   A ring of bytes with records, each behind the other; none wraps around the end. What does not fit is not
 *   put in: the writer of the file is behind, and the frame is not captured.
 *
 * Threads
 *   One thread puts, another takes. A record is filled between capring_room() and capring_put(), and
 *   seen by the other side after capring_publish(), whose release is acquired by capring_first().
 */
#ifndef FILTER_CAPRING_H
#define FILTER_CAPRING_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmtap/vmtap.h"

/**
 * struct caprec - A frame
 * @size:    of the record, a multiple of 16; with @data_len ~0u: nothing, up to the end of the ring
 * @ts_ns:   when it came, nanoseconds since 1970
 * @seq:     of its burst: one that came earlier has a smaller one
 * @data_len: bytes that were copied; @len: bytes that it has
 * @lost:    frames that found no room since the last that did
 */
struct caprec {
	uint32_t size, data_len;
	uint64_t ts_ns;
	uint32_t seq;
	uint32_t len, lost;
	struct vmtap_net_hdr hdr;
	uint8_t way;
	_Alignas(16) uint8_t data[];
};

/**
 * struct capring - Zero-initialise it
 * @head: bytes put so far; @tail: bytes taken
 * @put:  @head, before it is published; @tail_seen: what the putting thread last knew of @tail
 * @next: where the taking thread looks next, at or behind @tail
 */
struct capring {
	uint8_t *buf;
	size_t size; /* a power of two */
	_Alignas(64) _Atomic uint64_t head;
	uint64_t put, tail_seen;
	_Alignas(64) _Atomic uint64_t tail;
	uint64_t next;
};

/** capring_init() - @size: a power of two, at least CAPRING_MIN. With @fill the memory is there at once, and
 *  not page by page as it is used. Return: 0 or -ENOMEM. */
int capring_init(struct capring *r, size_t size, bool fill);
void capring_fini(struct capring *r);

/** The smallest ring: two of the longest frames. */
#define CAPRING_MIN (256u * 1024)

/* The putting thread ----------------------------------------------------------- */

/** capring_room() - Room for a record with @data_len bytes. NULL: the ring is full. */
struct caprec *capring_room(struct capring *r, uint32_t data_len);
/** capring_put() - The room was filled; @data_len may be less than was asked for. */
void capring_put(struct capring *r, struct caprec *rec, uint32_t data_len);
/** capring_publish() - Have the other thread see what was put. */
static inline void capring_publish(struct capring *r)
{
	/* in one order with the writer's flag that it sleeps: see capture_wake() */
	atomic_store(&r->head, r->put);
}

/* The taking thread ------------------------------------------------------------ */

/** capring_first() - The oldest record; NULL: there is none. capring_next(): the one behind the last
 *  that either returned. Valid until capring_taken(). */
const struct caprec *capring_first(struct capring *r);
const struct caprec *capring_next(struct capring *r);
/** capring_back() - @rec, which was returned last, is returned by capring_next() again. */
void capring_back(struct capring *r, const struct caprec *rec);
/** capring_taken() - Everything that was returned can be overwritten. */
void capring_taken(struct capring *r);
/** capring_used() - Bytes that wait. */
static inline uint64_t capring_used(struct capring *r)
{
	return atomic_load(&r->head) - atomic_load_explicit(&r->tail, memory_order_relaxed);
}

#endif
