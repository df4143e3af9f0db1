/* SPDX-License-Identifier: MIT */
/*
 * In-flight regions from the inside: how they are laid out, and the steps in
 * which a ring writes to them.
 *
 * Model
 *   A region is read when a ring starts, checked, and only written to from then
 *   on: what the ring itself goes by is kept here, out of the front end's reach.
 *   The process may end between any two of these stores, and only there, so
 *   it is enough that the compiler keeps their order.
 *
 *   A region wins over the base that the front end names: it is what knows where
 *   a device that ended had come to.
 */
#ifndef VIRTIO_INFLIGHT_INT_H
#define VIRTIO_INFLIGHT_INT_H

#include <assert.h>
#include <stddef.h>

#include "virtio/inflight.h"
#include "virtio/vring-int.h"

#define INFLIGHT_VERSION 1

/** struct desc_state_split - State of a descriptor; see the specification for each field */
struct desc_state_split {
	uint8_t inflight;
	uint8_t padding[5];
	uint16_t next;
	uint64_t counter;
};

struct region_split {
	uint64_t features;
	uint16_t version;
	uint16_t desc_num;
	uint16_t last_batch_head;
	uint16_t used_idx;
	struct desc_state_split desc[];
};

struct desc_state_packed {
	uint8_t inflight;
	uint8_t padding;
	uint16_t next;
	uint16_t last;
	uint16_t num;
	uint64_t counter;
	uint16_t id;
	uint16_t flags;
	uint32_t len;
	uint64_t addr;
};

struct region_packed {
	uint64_t features;
	uint16_t version;
	uint16_t desc_num;
	uint16_t free_head;
	uint16_t old_free_head;
	uint16_t used_idx;
	uint16_t old_used_idx;
	uint8_t used_wrap_counter;
	uint8_t old_used_wrap_counter;
	uint8_t padding[7];
	struct desc_state_packed desc[];
};

static_assert(sizeof(struct desc_state_split) == 16, "layout of the specification");
static_assert(sizeof(struct region_split) == 16, "layout of the specification");
static_assert(sizeof(struct desc_state_packed) == 32, "layout of the specification");
static_assert(offsetof(struct region_packed, desc) == 32, "layout of the specification");
static_assert(offsetof(struct region_packed, used_idx) == 16, "one store for all of the used ones");

/**
 * struct inflight - The region of a queue
 * @cap:     descriptors that it has room for
 * @counter: of the next chain that is fetched
 * @last_batch_head: split
 * @free_head: packed; @next: the links of the free list, @cap entries, owned
 * @old_used, @old_wrap: packed
 */
struct inflight {
	union {
		struct region_split *split;
		struct region_packed *packed;
	};
	bool is_packed;
	unsigned cap;
	uint64_t counter;
	uint16_t last_batch_head;
	uint16_t free_head;
	uint16_t *next;
	uint16_t old_used;
	bool old_wrap;
};

/* One store, as a whole, in the order of the program. The region is in the host's byte order. */
#define region_store(p, v)                                                      \
	do {                                                                    \
		__atomic_store_n((p), (__typeof__(*(p)))(v), __ATOMIC_RELAXED); \
		__atomic_signal_fence(__ATOMIC_SEQ_CST);                        \
	} while (0)
#define region_load(p) __atomic_load_n((p), __ATOMIC_RELAXED)

/**
 * struct inflight_found - What a device that ended has left
 * @again: chains in flight, in the order in which they were fetched; owned by the caller
 * @cnt:   of them; @descs: descriptors of the ring that they take
 * @known: was there anything to go by? The rest counts only then
 * @used_at, @used_wrap: packed: where the driver looks for used ones
 */
struct inflight_found {
	struct vring_again *again;
	unsigned cnt, descs;
	bool known;
	uint16_t used_at;
	bool used_wrap;
};

/** struct inflight_order - A chain that was found, and when it was fetched */
struct inflight_order {
	uint64_t counter;
	struct vring_again chain;
};

/** inflight_order() - Sort @order by counter, oldest first, into @found->again; sets what fetched chains
 *  are numbered with from now on. Return: 0 or -ENOMEM. */
int inflight_order(struct inflight *f, struct inflight_order *order, unsigned cnt,
		   struct inflight_found *found);

/* Split, in the order of a chain's life. */

/** inflight_split_start() - Recover, or make it new. @used_idx: of the used ring. Return: 0 or -ENOMEM. */
int inflight_split_start(struct inflight *f, unsigned size, uint16_t used_idx,
			 struct inflight_found *found);
void inflight_split_fetch(struct inflight *f, uint16_t head);
/** inflight_split_clear() - The chain is not in flight: it was given back, or it is used and published. */
void inflight_split_clear(struct inflight *f, uint16_t head);
/** inflight_split_use() - It is about to be published. */
void inflight_split_use(struct inflight *f, uint16_t head);
/** inflight_split_settle() - All that was published is cleared. */
void inflight_split_settle(struct inflight *f, uint16_t used_idx);

/* Packed. */

/** inflight_packed_start() - @ring: the descriptor ring; @used_at, @used_wrap: to begin with when there
 *  is nothing to recover. Return: 0 or -ENOMEM. */
int inflight_packed_start(struct inflight *f, unsigned size, const struct vring_packed_desc *ring,
			  uint16_t used_at, bool used_wrap, struct inflight_found *found);
/** inflight_packed_fetch() - @d: its descriptors; sets @rec->entry and @rec->last. Return: false: the
 *  region has no room, which only a driver that breaks the rules can bring about. */
bool inflight_packed_fetch(struct inflight *f, const struct vring_desc_copy *d, unsigned cnt,
			   struct vring_rec *rec);
void inflight_packed_unfetch(struct inflight *f, const struct vring_rec *rec);
/** inflight_packed_read() - Copy the descriptors of a chain that was in flight at the start. */
void inflight_packed_read(const struct inflight *f, const struct vring_again *a,
			  struct vring_desc_copy *d);
/** inflight_packed_use() - It is about to be published. */
void inflight_packed_use(struct inflight *f, const struct vring_rec *rec);
/** inflight_packed_advance() - All were used; the driver is about to be shown. */
void inflight_packed_advance(struct inflight *f, uint16_t used_at, bool used_wrap);
/** inflight_packed_clear() - It is published. */
void inflight_packed_clear(struct inflight *f, const struct vring_rec *rec);
/** inflight_packed_settle() - All that was published is cleared. */
void inflight_packed_settle(struct inflight *f, uint16_t used_at, bool used_wrap);

#endif
