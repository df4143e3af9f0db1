/* SPDX-License-Identifier: MIT */
/*
 * A virtqueue, the driver's side, for tests.
 *
 * Model
 *   Whether a descriptor is free is kept in slots, never read from shared
 *   memory: what a test writes there is seen by the device alone. A slot
 *   belongs to an id: of a split ring the head of a chain, of a packed ring the
 *   buffer id.
 *
 * Threads
 *   The device may be another thread or process. A chain is published by one
 *   store with release, a used one is found by one load with acquire, and
 *   between saying something and looking whether it came too late there is a
 *   full barrier (vq_needs_kick(), vq_want_calls()).
 *
 * What the device may do wrong
 *   Return an id that is not in flight: the process is aborted, since a test
 *   that goes on would prove nothing.
 */
#include "vq-driver.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PAGE 4096u

/**
 * struct vq_slot - What is known of an id
 * @cnt:    descriptors of the ring that it takes; 0: not in flight
 * @next:   split: next descriptor of the chain; of a free slot the next free one
 * @order:  apart from the rest: the id that came @order'th, in a ring of its own
 * @in_len: bytes that the device may write
 */
struct vq_slot {
	uint64_t opaque;
	uint32_t in_len;
	uint16_t cnt, next, order;
};

static void full_barrier(void)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

static uint16_t load(const uint16_t *p)
{
	return __atomic_load_n(p, __ATOMIC_RELAXED);
}

static void store(uint16_t *p, uint16_t value)
{
	__atomic_store_n(p, value, __ATOMIC_RELAXED);
}

static uint64_t round_up(uint64_t value)
{
	return (value + PAGE - 1) & ~(uint64_t)(PAGE - 1);
}

/* split, as the legacy layout has it: table, available ring, on the next page the used ring;
 * packed: ring, driver's event, on the next page the device's */
static uint64_t second_part(unsigned size)
{
	return 16ull * size;
}

static uint64_t third_part(unsigned size, bool packed)
{
	return round_up(second_part(size) + (packed ? 4 : 6 + 2ull * size));
}

uint64_t vq_bytes(unsigned size, bool packed)
{
	return third_part(size, packed) + round_up(packed ? 4 : 6 + 8ull * size);
}

/* the event fields behind either ring of a split queue */
static uint16_t *used_event(struct vq *q)
{
	return &q->avail->ring[q->size];
}

static const uint16_t *avail_event(const struct vq *q)
{
	return (const uint16_t *)(const void *)&q->used->ring[q->size];
}

void vq_init(struct vq *q, uint8_t *base, uint64_t gpa, unsigned size, bool packed, bool event_idx)
{
	*q = (struct vq) {
		.base = base,
		.size = size,
		.packed = packed,
		.event_idx = event_idx,
		.desc_gpa = gpa,
		.avail_gpa = gpa + second_part(size),
		.used_gpa = gpa + third_part(size, packed),
		.free_cnt = (uint16_t)size,
		.avail_wrap = true,
		.used_wrap = true,
	};
	memset(base + gpa, 0, vq_bytes(size, packed));
	q->desc = (void *)(base + q->desc_gpa);
	q->avail = (void *)(base + q->avail_gpa);
	q->used = (void *)(base + q->used_gpa);
	q->driver_event = (void *)(base + q->avail_gpa);
	q->device_event = (void *)(base + q->used_gpa);
	q->slots = calloc(size, sizeof(*q->slots));
	if (!q->slots)
		abort();
	for (unsigned i = 0; i < size; i++)
		q->slots[i].next = (uint16_t)((i + 1) % size);
}

void vq_fini(struct vq *q)
{
	free(q->slots);
	q->slots = NULL;
}

/* Adding */

/* a descriptor (split) or an id (packed); with IN_ORDER they follow each other around the ring */
static uint16_t take_free(struct vq *q)
{
	uint16_t id = q->free_head;

	q->free_head = q->in_order ? (uint16_t)((id + 1u) % q->size) : q->slots[id].next;
	return id;
}

static void note(struct vq *q, uint16_t id, const struct vq_buf *bufs, unsigned cnt,
		 unsigned desc_cnt, uint64_t opaque)
{
	struct vq_slot *s = &q->slots[id];

	s->opaque = opaque;
	s->cnt = (uint16_t)desc_cnt;
	s->in_len = 0;
	for (unsigned i = 0; i < cnt; i++)
		s->in_len += bufs[i].in ? bufs[i].len : 0;
	q->free_cnt = (uint16_t)(q->free_cnt - desc_cnt);
	q->slots[(q->first_out + q->out_cnt) % q->size].order = id;
	q->out_cnt++;
}

static void fill_split_table(struct vring_desc *table, const struct vq_buf *bufs, unsigned cnt)
{
	for (unsigned i = 0; i < cnt; i++) {
		bool more = i + 1 < cnt;

		table[i] = (struct vring_desc) {
			.addr = bufs[i].gpa,
			.len = bufs[i].len,
			.flags = (uint16_t)((bufs[i].in ? VRING_DESC_F_WRITE : 0) |
					    (more ? VRING_DESC_F_NEXT : 0)),
			.next = (uint16_t)(more ? i + 1 : 0),
		};
	}
}

/* Return: the head */
static uint16_t add_split(struct vq *q, const struct vq_buf *bufs, unsigned cnt, bool indirect)
{
	uint16_t head = q->free_head, id = head;

	for (unsigned i = 0; i < cnt; i++) {
		bool more = i + 1 < cnt;

		id = take_free(q);
		q->slots[id].next = q->free_head;
		q->desc[id] = (struct vring_desc) {
			.addr = bufs[i].gpa,
			.len = bufs[i].len,
			.flags = (uint16_t)((bufs[i].in ? VRING_DESC_F_WRITE : 0) |
					    (more ? VRING_DESC_F_NEXT : 0) |
					    (indirect ? VRING_DESC_F_INDIRECT : 0)),
			.next = more ? q->free_head : 0,
		};
	}
	q->avail->ring[q->next_avail % q->size] = head;
	q->next_avail++;
	return head;
}

static void fill_packed_table(struct vring_packed_desc *table, const struct vq_buf *bufs,
			      unsigned cnt)
{
	for (unsigned i = 0; i < cnt; i++)
		table[i] = (struct vring_packed_desc) {
			.addr = bufs[i].gpa,
			.len = bufs[i].len,
			.flags = bufs[i].in ? VRING_DESC_F_WRITE : 0,
		};
}

/* the first descriptor's flags come last: they make the chain available */
static uint16_t add_packed(struct vq *q, const struct vq_buf *bufs, unsigned cnt, bool indirect)
{
	struct vring_packed_desc *first = &q->pdesc[q->next_avail];
	uint16_t first_flags = 0, id;

	if (q->in_order)
		q->free_head = q->next_avail;
	id = take_free(q);
	for (unsigned i = 0; i < cnt; i++) {
		struct vring_packed_desc *d = &q->pdesc[q->next_avail];
		uint16_t flags = (uint16_t)((bufs[i].in ? VRING_DESC_F_WRITE : 0) |
					    (i + 1 < cnt ? VRING_DESC_F_NEXT : 0) |
					    (indirect ? VRING_DESC_F_INDIRECT : 0) |
					    1 << (q->avail_wrap ? VRING_PACKED_DESC_F_AVAIL
								: VRING_PACKED_DESC_F_USED));

		d->addr = bufs[i].gpa;
		d->len = bufs[i].len;
		d->id = id;
		if (i)
			d->flags = flags;
		else
			first_flags = flags;
		q->kicked++;
		if (++q->next_avail == q->size) {
			q->next_avail = 0;
			q->avail_wrap = !q->avail_wrap;
		}
	}
	__atomic_store_n(&first->flags, first_flags, __ATOMIC_RELEASE);
	return id;
}

bool vq_add(struct vq *q, const struct vq_buf *bufs, unsigned cnt, uint64_t indirect_gpa,
	    uint64_t opaque)
{
	struct vq_buf table = { .gpa = indirect_gpa, .len = 16 * cnt };
	unsigned desc_cnt = indirect_gpa ? 1 : cnt;
	uint16_t id;

	if (!cnt || desc_cnt > q->free_cnt)
		return false;
	if (indirect_gpa && q->packed)
		fill_packed_table((void *)(q->base + indirect_gpa), bufs, cnt);
	else if (indirect_gpa)
		fill_split_table((void *)(q->base + indirect_gpa), bufs, cnt);
	if (q->packed)
		id = add_packed(q, indirect_gpa ? &table : bufs, desc_cnt, indirect_gpa);
	else
		id = add_split(q, indirect_gpa ? &table : bufs, desc_cnt, indirect_gpa);
	note(q, id, bufs, cnt, desc_cnt, opaque);
	if (!q->packed)
		__atomic_store_n(&q->avail->idx, q->next_avail, __ATOMIC_RELEASE);
	return true;
}

/* Kicking. @kicked is, of a split ring, the available index up to which the device was told;
 * of a packed one, how many descriptors came since. */

static bool needs_kick_split(struct vq *q)
{
	uint16_t old = q->kicked;

	q->kicked = q->next_avail;
	if (q->event_idx)
		return vring_need_event(load(avail_event(q)), q->next_avail, old);
	return !(load(&q->used->flags) & VRING_USED_F_NO_NOTIFY);
}

static bool needs_kick_packed(struct vq *q)
{
	uint16_t flags = load(&q->device_event->flags), added = q->kicked, off_wrap, event;

	q->kicked = 0;
	if (flags != VRING_PACKED_EVENT_FLAG_DESC || !q->event_idx)
		return flags != VRING_PACKED_EVENT_FLAG_DISABLE;
	__atomic_thread_fence(
		__ATOMIC_ACQUIRE); /* pairs with the device: place first, then flags */
	off_wrap = load(&q->device_event->off_wrap);
	event = off_wrap & 0x7fff;
	if ((off_wrap >> VRING_PACKED_EVENT_F_WRAP_CTR) != q->avail_wrap)
		event = (uint16_t)(event - q->size);
	return vring_need_event(event, q->next_avail, (uint16_t)(q->next_avail - added));
}

bool vq_needs_kick(struct vq *q)
{
	full_barrier(); /* what was made available is to be seen before the wish is read */
	return q->packed ? needs_kick_packed(q) : needs_kick_split(q);
}

/* Taking */

static bool used_split(const struct vq *q, uint32_t *id, uint32_t *len)
{
	const struct vring_used_elem *e = &q->used->ring[q->last_used % q->size];

	if (__atomic_load_n(&q->used->idx, __ATOMIC_ACQUIRE) == q->last_used)
		return false;
	*id = e->id;
	*len = e->len;
	return true;
}

static bool used_packed(const struct vq *q, uint32_t *id, uint32_t *len)
{
	const struct vring_packed_desc *d = &q->pdesc[q->last_used];
	uint16_t flags = __atomic_load_n(&d->flags, __ATOMIC_ACQUIRE);
	bool avail = flags >> VRING_PACKED_DESC_F_AVAIL & 1;
	bool used = flags >> VRING_PACKED_DESC_F_USED & 1;

	if (avail != used || used != q->used_wrap)
		return false;
	*id = d->id;
	*len = d->len;
	return true;
}

/* find a used chain, or several: with IN_ORDER the last of a batch stands for all */
static bool look(struct vq *q)
{
	uint32_t id, len;
	unsigned i = 0;

	if (!(q->packed ? used_packed(q, &id, &len) : used_split(q, &id, &len)))
		return false;
	if (id >= q->size || !q->slots[id].cnt) {
		fprintf(stderr, "vq-driver: the device returned id %u, which is not in flight\n",
			id);
		abort();
	}
	if (q->in_order)
		while (q->slots[(q->first_out + i) % q->size].order != id)
			i++;
	q->batch_cnt = (uint16_t)(i + 1);
	q->batch_id = (uint16_t)id;
	q->batch_len = len;
	return true;
}

static void step(struct vq *q, unsigned desc_cnt)
{
	if (!q->packed) {
		q->last_used++;
		return;
	}
	if (q->last_used + desc_cnt >= q->size)
		q->used_wrap = !q->used_wrap;
	q->last_used = (uint16_t)((q->last_used + desc_cnt) % q->size);
}

uint16_t vq_place(const struct vq *q, bool *wrap)
{
	struct vq ahead = *q; /* with the same slots, which nobody changes */

	for (unsigned left = q->out_cnt; left && (ahead.batch_cnt || look(&ahead)); left--) {
		uint16_t id = q->in_order ? q->slots[ahead.first_out].order : ahead.batch_id;

		ahead.batch_cnt--;
		ahead.first_out = (uint16_t)((ahead.first_out + 1u) % q->size);
		step(&ahead, q->slots[id].cnt);
	}
	*wrap = ahead.used_wrap;
	return ahead.last_used;
}

static void give_back(struct vq *q, uint16_t id)
{
	struct vq_slot *s = &q->slots[id];
	uint16_t last = id;

	q->free_cnt = (uint16_t)(q->free_cnt + s->cnt);
	if (!q->in_order) {
		for (unsigned i = 1; !q->packed && i < s->cnt; i++)
			last = q->slots[last].next;
		q->slots[last].next = q->free_head;
		q->free_head = id;
	}
	s->cnt = 0;
}

/* where the next call is wanted, or the furthest place from here */
static void set_event(struct vq *q)
{
	if (!q->packed && q->event_idx)
		store(used_event(q), (uint16_t)(q->last_used + (q->forgo ? 0x8000 : 0)));
	else if (q->packed && q->event_idx && !q->forgo)
		store(&q->driver_event->off_wrap,
		      (uint16_t)(q->last_used | q->used_wrap << VRING_PACKED_EVENT_F_WRAP_CTR));
	else
		return;
	full_barrier();
}

bool vq_get(struct vq *q, uint64_t *opaque, uint32_t *len)
{
	uint16_t id;

	if (!q->batch_cnt && !look(q))
		return false;
	id = q->in_order ? q->slots[q->first_out].order : q->batch_id;
	*opaque = q->slots[id].opaque;
	*len = --q->batch_cnt ? q->slots[id].in_len : q->batch_len;
	q->first_out = (uint16_t)((q->first_out + 1u) % q->size);
	q->out_cnt--;
	step(q, q->slots[id].cnt);
	give_back(q, id);
	set_event(q);
	return true;
}

bool vq_has_used(const struct vq *q)
{
	uint32_t id, len;

	return q->batch_cnt || (q->packed ? used_packed : used_split)(q, &id, &len);
}

bool vq_want_calls(struct vq *q, bool on)
{
	q->forgo = !on;
	set_event(q);
	if (!q->packed) {
		store(&q->avail->flags, on || q->event_idx ? 0 : VRING_AVAIL_F_NO_INTERRUPT);
	} else {
		uint16_t enabled = q->event_idx ? VRING_PACKED_EVENT_FLAG_DESC
						: VRING_PACKED_EVENT_FLAG_ENABLE;

		__atomic_store_n(&q->driver_event->flags,
				 on ? enabled : VRING_PACKED_EVENT_FLAG_DISABLE, __ATOMIC_RELEASE);
	}
	full_barrier(); /* the wish is to be seen before the ring is looked at */
	return on && vq_has_used(q);
}
