/* SPDX-License-Identifier: MIT */
/*
 * The inside of a ring: what vring.c (life, records, in order), vring-chain.c
 * (descriptors into scatter lists), vring-split.c and vring-packed.c (the formats) share.
 *
 * Chains on their way
 *   A record is kept of each chain from its pop until it is published, in a
 *   queue with three places:
 *
 *     done ........... pushed ........... popped
 *       not yet shown    held by the device
 *
 *   There are never more of them than the ring has descriptors: a driver that makes more
 *   available breaks the ring.
 *
 * The pool of pieces
 *   Is a ring, too. Chains take from its head in the order of popping, and give
 *   back at its tail when pushed, or at its head when unpopped. A chain's pieces
 *   lie side by side: what is too short at the end is left out. When nothing is held, the pool
 *   starts from its beginning. So it cannot get stuck: any chain of up to VRING_IOV_MAX pieces fits
 *   once the device holds nothing, and one of more breaks the ring.
 */
#ifndef VIRTIO_VRING_INT_H
#define VIRTIO_VRING_INT_H

#include <endian.h>
#define vring linux_vring /* a structure that is not ours */
#include <linux/virtio_ring.h>
#undef vring

#include "virtio/vring.h"

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/* Shared memory, little-endian: each field is read or written once, as a whole. */
#define load16(p) le16toh(__atomic_load_n((p), __ATOMIC_RELAXED))
#define load16_acquire(p) le16toh(__atomic_load_n((p), __ATOMIC_ACQUIRE))
#define load32(p) le32toh(__atomic_load_n((p), __ATOMIC_RELAXED))
#define load64(p) le64toh(__atomic_load_n((p), __ATOMIC_RELAXED))
#define store16(p, v) __atomic_store_n((p), htole16((uint16_t)(v)), __ATOMIC_RELAXED)
#define store16_release(p, v) __atomic_store_n((p), htole16((uint16_t)(v)), __ATOMIC_RELEASE)
#define store32(p, v) __atomic_store_n((p), htole32((uint32_t)(v)), __ATOMIC_RELAXED)
/* Between what we say and a look at what the driver said meanwhile. */
#define full_barrier() __atomic_thread_fence(__ATOMIC_SEQ_CST)

/** struct vring_view - A piece of guest memory: [@gpa, @gpa + @size) is at @host */
struct vring_view {
	uint64_t gpa, size;
	uint8_t *host;
};

/** struct vring_dirty - Where a writable piece of a chain is, for the dirty log */
struct vring_dirty {
	uint64_t gpa, len;
};

/** struct vring_desc_copy - A descriptor, in host byte order. @next: packed: the buffer id */
struct vring_desc_copy {
	uint64_t addr;
	uint32_t len;
	uint16_t flags, next;
};

/**
 * struct vring_again - A chain that an earlier device left in flight
 * @entry, @last: its first and its last entry in the region (split: its head)
 * @desc_cnt:     descriptors of the ring that it takes
 */
struct vring_again {
	uint16_t entry, last, desc_cnt;
};

/**
 * struct vring_rec - A chain between pop and publish
 * @iov_from, @iov_to: the pool's head before it and after it
 * @in_cnt:   pieces that are writable, its last ones
 * @id:       split: its head; packed: its buffer id
 * @desc_cnt: descriptors of the ring that it takes; split: 1
 * @entry, @last: as in struct vring_again; packed, and in-flight chains are tracked
 * @again:    it is one of those
 */
struct vring_rec {
	uint16_t iov_from, iov_to, in_cnt;
	uint16_t id, desc_cnt;
	uint16_t entry, last;
	bool again;
};

/** enum vring_fd_kind - Kinds that need care not to raise SIGPIPE, or not to block */
enum vring_fd_kind {
	VRING_FD_EVENT,
	VRING_FD_SOCKET,
	VRING_FD_PIPE,
};

/** struct vring_fd - Who is to be woken; @fd -1: nobody */
struct vring_fd {
	int fd;
	enum vring_fd_kind kind;
};

/**
 * struct vring - A ring
 * @runs:     started, not broken, and not @lent
 * @avail_at: next to fetch. Split: the free-running index; packed: the place in the ring, and
 *            @avail_wrap the wrap counter
 * @used_at:  where the driver looks for used ones, with @used_wrap; @push_at, @push_wrap: the same
 *            behind those that were pushed
 * @avail_seen: split: the driver's index when it was read last
 * @batch:    chains (packed: descriptors) between @used_at and @push_at
 * @first_flags: packed: of the first chain of the batch; written last
 * @busy:     chains (packed: descriptors) that were fetched, and not yet published
 * @called:   was the driver called since the start? Only then its event is compared
 * @desc_gpa, @used_gpa: packed: descriptor ring, device area; split: @used_gpa, the used ring
 * @views:    pieces of memory that were met last
 * @again:    chains to pop before all others, of which @again_at are popped; owned
 * @call_cnt: of the driver, since vring_new() (base/counter.h)
 * @place:    packed: @used_at and @used_wrap (bit 15), for any thread (base/counter.h)
 * @raw:      packed: the descriptors of the chain that is being fetched
 */
struct vring {
	bool runs, packed, event_idx, indirect, called, log_used;
	bool avail_wrap, used_wrap, push_wrap;
	uint16_t avail_at, used_at, push_at, avail_seen, first_flags;
	uint32_t size, batch, busy;
	union {
		struct {
			const struct vring_desc *desc;
			const struct vring_avail *avail;
			struct vring_used *used;
		};
		struct {
			struct vring_packed_desc *pdesc;
			const struct vring_packed_desc_event *driver_event;
			struct vring_packed_desc_event *device_event;
		};
	};
	uint32_t rec_mask, done, pushed, popped;
	uint32_t iov_head, iov_tail;
	struct vring_view views[2];
	struct mem *mem;
	struct inflight *inflight;
	struct vring_again *again;
	uint32_t again_at, again_cnt;
	uint64_t desc_gpa, used_gpa;
	struct vring_fd call, err;
	const char *error;
	bool started, lent;
	uint32_t base;
	uint64_t call_cnt, place;
	struct vring_config cfg;
	struct iovec iov[VRING_IOV_MAX];
	struct vring_dirty dirty[VRING_IOV_MAX];
	struct vring_desc_copy raw[VRING_CHAIN_MAX];
	struct vring_rec recs[VRING_SIZE_MAX];
};

/* vring-fd.c */

/** vring_fd_set() - @fd is borrowed; -1: none. */
void vring_fd_set(struct vring_fd *f, int fd);
/** vring_fd_raise() - Write 1 to it; whatever it is, without SIGPIPE. */
void vring_fd_raise(const struct vring_fd *f);

/* vring-chain.c */

/** enum vring_fit - What became of a chain. VRING_FULL: the pool has no room for it now */
enum vring_fit {
	VRING_FITS,
	VRING_FULL,
	VRING_BAD,
};

/**
 * struct vring_build - A chain in the making
 * @at, @end: the next piece, and the end of what is free side by side
 * @descs:    descriptors so far
 * @why:      what is wrong with it
 */
struct vring_build {
	struct vring *r;
	uint32_t at, end;
	uint32_t descs;
	uint32_t out_cnt, in_cnt;
	uint64_t out_len, in_len;
	const char *why;
};

/** vring_walk - Adds all descriptors of a chain, which begins at @head */
typedef enum vring_fit vring_walk(struct vring_build *b, unsigned head);

/** vring_build_bad() - Return: VRING_BAD. */
static inline enum vring_fit vring_build_bad(struct vring_build *b, const char *why)
{
	b->why = why;
	return VRING_BAD;
}

/** vring_build_add() - Add a descriptor, which may be an indirect one. */
enum vring_fit vring_build_add(struct vring_build *b, const struct vring_desc_copy *d);

/** vring_fit() - Have @walk build a chain in what is left of the pool; fill in what @c and @rec say of
 *  pieces. Return: VRING_BAD: @why. */
enum vring_fit vring_fit(struct vring *r, struct vring_chain *c, struct vring_rec *rec,
			 vring_walk *walk, unsigned head, const char **why);

/** vring_view_of() - A view that has @gpa; it is the first from now on. NULL: there is none. */
const struct vring_view *vring_view_of(struct vring *r, uint64_t gpa);

/** vring_at() - Where @len bytes are, if one view has them all; else NULL. NULL for none, too. */
static inline uint8_t *vring_at(struct vring *r, uint64_t gpa, uint32_t len)
{
	const struct vring_view *v = &r->views[0];
	uint64_t off = gpa - v->gpa;

	if (unlikely(off >= v->size)) {
		v = vring_view_of(r, gpa);
		if (!v)
			return NULL;
		off = gpa - v->gpa;
	}
	/* 0 becomes more than any view has */
	return likely((uint64_t)len - 1 < v->size - off) ? v->host + off : NULL;
}

/** vring_pool_end() - The end of the pieces that are free side by side from the head on. */
static inline uint32_t vring_pool_end(const struct vring *r)
{
	bool ahead =
		r->iov_head > r->iov_tail || (r->iov_head == r->iov_tail && r->popped == r->pushed);

	return ahead ? VRING_IOV_MAX : r->iov_tail;
}

/** vring_fit_one() - A chain of one descriptor that lies in one piece, which nearly all are.
 *  Return: false: ask vring_fit(). */
static inline bool vring_fit_one(struct vring *r, struct vring_chain *c, struct vring_rec *rec,
				 uint64_t addr, uint32_t len, bool write)
{
	const uint32_t head = r->iov_head;
	uint8_t *host = vring_at(r, addr, len);

	if (unlikely(!host || head == vring_pool_end(r)))
		return false;
	r->iov[head] = (struct iovec) { host, len };
	if (write)
		r->dirty[head] = (struct vring_dirty) { addr, len };
	c->iov = &r->iov[head];
	c->out_cnt = !write;
	c->in_cnt = write;
	c->out_len = write ? 0 : len;
	c->in_len = write ? len : 0;
	rec->iov_from = (uint16_t)head;
	rec->iov_to = (uint16_t)(head + 1);
	rec->in_cnt = write;
	r->iov_head = head + 1;
	return true;
}

/** vring_rec() - The record at one of the three places. */
static inline struct vring_rec *vring_rec(struct vring *r, uint32_t at)
{
	return &r->recs[at & r->rec_mask];
}

/** vring_logs() - Are writes to the ring itself to be logged? */
static inline bool vring_logs(const struct vring *r)
{
	return unlikely(r->log_used) && mem_is_logging(r->mem);
}

/** vring_commit() - The chain was fetched: note what the records and the chain still lack. */
static inline void vring_commit(struct vring *r, struct vring_chain *c, struct vring_rec *rec,
				uint16_t id, uint16_t desc_cnt, bool again)
{
	rec->id = c->id = id;
	rec->desc_cnt = c->desc_cnt = desc_cnt;
	rec->again = again;
	r->popped++;
}

/* The formats. Records and pool are the caller's, apart from what pop adds. */

/** vring_split_start() - Return: 0; -EINVAL: the base; -ENOMEM. @r->cfg and the addresses are set. */
int vring_split_start(struct vring *r);
uint32_t vring_split_base(const struct vring *r);
unsigned vring_split_pop(struct vring *r, struct vring_chain *chains, unsigned max);
unsigned vring_split_pop_again(struct vring *r, struct vring_chain *chains, unsigned max);
void vring_split_unpop(struct vring *r, const struct vring_rec *rec);
void vring_split_push(struct vring *r, const struct vring_rec *rec, uint32_t len);
/** vring_split_publish() - Return: does the driver want to be called? */
bool vring_split_publish(struct vring *r);
bool vring_split_is_empty(const struct vring *r);
unsigned vring_split_available(const struct vring *r);
void vring_split_want_kicks(struct vring *r, bool on);

int vring_packed_start(struct vring *r);
uint32_t vring_packed_base(const struct vring *r);
unsigned vring_packed_pop(struct vring *r, struct vring_chain *chains, unsigned max);
unsigned vring_packed_pop_again(struct vring *r, struct vring_chain *chains, unsigned max);
void vring_packed_unpop(struct vring *r, const struct vring_rec *rec);
void vring_packed_push(struct vring *r, const struct vring_rec *rec, uint32_t len);
bool vring_packed_publish(struct vring *r);
bool vring_packed_is_empty(const struct vring *r);
unsigned vring_packed_available(const struct vring *r);
void vring_packed_want_kicks(struct vring *r, bool on);

#endif
