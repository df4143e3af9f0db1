/* SPDX-License-Identifier: MIT */
/*
 * A virtqueue, the driver's side, for tests: split and packed, over a piece of
 * memory that stands for the guest's.
 *
 * It also does what no driver should: tests reach into the ring through the
 * pointers below.
 */
#ifndef TESTS_VQ_DRIVER_H
#define TESTS_VQ_DRIVER_H

#include <linux/virtio_ring.h>
#include <stdbool.h>
#include <stdint.h>

/** struct vq_buf - A buffer of a chain, by guest physical address */
struct vq_buf {
	uint64_t gpa;
	uint32_t len;
	bool in; /* for the device to write */
};

/**
 * struct vq - A ring
 * @base: the guest's memory as it is mapped here; gpa 0 is @base[0]
 * @desc_gpa, @avail_gpa, @used_gpa: where the three parts are
 */
struct vq {
	uint8_t *base;
	unsigned size;
	bool packed, event_idx, in_order;
	uint64_t desc_gpa, avail_gpa, used_gpa;
	union {
		struct vring_desc *desc;
		struct vring_packed_desc *pdesc;
	};
	struct vring_avail *avail;
	struct vring_used *used;
	struct vring_packed_desc_event *driver_event, *device_event;
	/* the driver's own */
	uint16_t free_head, free_cnt, next_avail, last_used, kicked;
	uint16_t first_out, out_cnt;  /* in flight, by age */
	uint16_t batch_cnt, batch_id; /* used, and not taken yet */
	uint32_t batch_len;
	bool avail_wrap, used_wrap, forgo;
	struct vq_slot *slots; /* owned; one per id */
};

/** vq_bytes() - Memory that a ring of @size needs, from a 4096-aligned address. */
uint64_t vq_bytes(unsigned size, bool packed);
/** vq_init() - Lay a ring out at @gpa (4096-aligned) and zero it. @in_order may be set afterwards,
 *  before the first vq_add(). */
void vq_init(struct vq *q, uint8_t *base, uint64_t gpa, unsigned size, bool packed, bool event_idx);
void vq_fini(struct vq *q);

/** vq_add() - Make a chain available; @indirect_gpa: room for an indirect table, or 0: direct.
 *  @opaque comes back from vq_get(). Return: false: the ring has no room. */
bool vq_add(struct vq *q, const struct vq_buf *bufs, unsigned cnt, uint64_t indirect_gpa,
	    uint64_t opaque);
/** vq_needs_kick() - After one or more vq_add(): does the device want to be kicked? */
bool vq_needs_kick(struct vq *q);
/** vq_get() - Take a used chain. Return: false: there is none. */
bool vq_get(struct vq *q, uint64_t *opaque, uint32_t *len);
/** vq_has_used() - Would vq_get() find one? */
bool vq_has_used(const struct vq *q);
/** vq_place() - Where the device is: last_used and used_wrap after vq_get() of all that is used now. */
uint16_t vq_place(const struct vq *q, bool *wrap);
/** vq_want_calls() - Ask the device for calls, or forgo them. Return: with @on, there is used now. */
bool vq_want_calls(struct vq *q, bool on);

#endif
