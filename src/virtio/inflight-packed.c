/* SPDX-License-Identifier: MIT */
/*
 * The in-flight region of a packed ring (vhost-user, "Inflight I/O tracking").
 *
 * Problem
 *   Used descriptors are written over available ones, so the region keeps a copy
 *   of each descriptor that was fetched, in entries of its own.
 *
 * Model
 *   Entries are free, or belong to a chain in flight. free_head begins the list
 *   of free ones, which ends with a link that is no entry. A batch that is being
 *   published changes free_head, used_idx and the wrap counter first, then the flags of its
 *   first descriptor in the ring, then the "old" ones of the three. Whoever finds
 *   new and old to differ looks at those flags: they say whether the driver was shown the batch.
 *
 *   After a recovery the free list is linked anew from the entries that are in no chain.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "virtio/inflight-int.h"

/* The end of the free list: the first index that is no entry. */
static uint16_t end_of(const struct inflight *f)
{
	return (uint16_t)f->cap;
}

static void set_next(struct inflight *f, uint16_t entry, uint16_t next)
{
	f->next[entry] = next;
	region_store(&f->packed->desc[entry].next, next);
}

static void set_free(struct inflight *f, uint16_t head)
{
	f->free_head = head;
	region_store(&f->packed->free_head, head);
}

/* Places and wrap counters, all four with one store: there is no telling which half of a place is new. */
static void set_used(struct inflight *f, uint16_t used, bool wrap)
{
	const struct {
		uint16_t used, old;
		uint8_t wrap, old_wrap, zero[2];
	} now = { used, f->old_used, wrap, f->old_wrap, { 0 } };
	uint64_t word;

	static_assert(sizeof(now) == sizeof(word), "one store");
	memcpy(&word, &now, sizeof(word));
	region_store((uint64_t *)(void *)&f->packed->used_idx, word);
}

static void make_new(struct inflight *f, unsigned size, uint16_t used_at, bool used_wrap)
{
	struct region_packed *g = f->packed;

	region_store(&g->version, 0);
	memset(g->desc, 0, size * sizeof(g->desc[0]));
	region_store(&g->features, 0);
	region_store(&g->desc_num, size);
	for (unsigned i = 0; i < size; i++)
		set_next(f, (uint16_t)i, i + 1 < size ? (uint16_t)(i + 1) : end_of(f));
	set_free(f, 0);
	inflight_packed_settle(f, used_at, used_wrap);
	region_store(&g->version, INFLIGHT_VERSION);
	f->counter = 0;
}

/* What a batch changes on its way. */
struct heads {
	uint16_t free, used;
	uint8_t wrap;
};

static bool is_available(const struct vring_packed_desc *d, bool wrap)
{
	uint16_t flags = load16(&d->flags);

	return (flags >> VRING_PACKED_DESC_F_AVAIL & 1) == wrap &&
	       (flags >> VRING_PACKED_DESC_F_USED & 1) != wrap;
}

/* Where things stand: as before the last batch, or behind it when the driver was shown it. */
static bool settle_last_batch(struct inflight *f, unsigned size,
			      const struct vring_packed_desc *ring, struct heads *h)
{
	struct region_packed *g = f->packed;
	const struct heads now = { region_load(&g->free_head), region_load(&g->used_idx),
				   region_load(&g->used_wrap_counter) };
	const struct heads old = { region_load(&g->old_free_head), region_load(&g->old_used_idx),
				   region_load(&g->old_used_wrap_counter) };
	bool moved = now.used != old.used || now.wrap != old.wrap;

	if (now.used >= size || old.used >= size || now.wrap > 1 || old.wrap > 1)
		return false;
	*h = moved && !is_available(&ring[old.used], old.wrap) ? now : old;
	set_free(f, h->free);
	inflight_packed_settle(f, h->used, h->wrap);
	return true;
}

/* A chain that was being fetched, or that is published, may still be marked. */
static void clear_free(struct inflight *f, unsigned size, unsigned head)
{
	for (unsigned steps = 0; head < size && steps < size; steps++) {
		region_store(&f->packed->desc[head].inflight, 0);
		head = region_load(&f->packed->desc[head].next);
	}
}

/* The entries of one chain; each belongs to one chain only. Return: is it one? */
static bool collect_chain(struct inflight *f, unsigned size, unsigned head, uint8_t *used,
			  struct inflight_order *o)
{
	const struct desc_state_packed *d = f->packed->desc;
	const unsigned cnt = region_load(&d[head].num), last = region_load(&d[head].last);
	unsigned at = head;

	if (!cnt || cnt > size || cnt > VRING_CHAIN_MAX || last >= size)
		return false;
	for (unsigned i = 0;; i++) {
		if (used[at])
			return false;
		used[at] = 1;
		if (i + 1 == cnt)
			break;
		f->next[at] = region_load(&d[at].next);
		at = f->next[at];
		if (at >= size)
			return false;
	}
	*o = (struct inflight_order) {
		.counter = region_load(&d[head].counter),
		.chain = { (uint16_t)head, (uint16_t)last, (uint16_t)cnt },
	};
	return at == last;
}

static int collect(struct inflight *f, unsigned size, uint8_t *used, struct inflight_order *order)
{
	int cnt = 0;

	for (unsigned i = 0; i < size; i++) {
		if (region_load(&f->packed->desc[i].inflight) != 1)
			continue;
		if (!collect_chain(f, size, i, used, &order[cnt]))
			return -EINVAL;
		cnt++;
	}
	return cnt;
}

static void link_free(struct inflight *f, unsigned size, const uint8_t *used)
{
	uint16_t head = end_of(f);

	for (unsigned i = size; i-- > 0;) {
		if (used[i])
			continue;
		set_next(f, (uint16_t)i, head);
		head = (uint16_t)i;
	}
	set_free(f, head);
	region_store(&f->packed->old_free_head, head);
}

/* Return: 0; -EINVAL: what is there cannot be; -ENOMEM. */
static int recover(struct inflight *f, unsigned size, const struct vring_packed_desc *ring,
		   uint8_t *used, struct inflight_order *order, struct inflight_found *found)
{
	struct region_packed *g = f->packed;
	struct heads h;
	int cnt;

	if (region_load(&g->version) != INFLIGHT_VERSION || region_load(&g->desc_num) != size)
		return -EINVAL;
	if (!settle_last_batch(f, size, ring, &h))
		return -EINVAL;
	clear_free(f, size, h.free);
	cnt = collect(f, size, used, order);
	if (cnt < 0)
		return cnt;
	link_free(f, size, used);
	found->known = true;
	found->used_at = h.used;
	found->used_wrap = h.wrap;
	return inflight_order(f, order, (unsigned)cnt, found);
}

int inflight_packed_start(struct inflight *f, unsigned size, const struct vring_packed_desc *ring,
			  uint16_t used_at, bool used_wrap, struct inflight_found *found)
{
	struct inflight_order *order = calloc(size, sizeof(*order));
	uint8_t *used = calloc(size, 1);
	int ret = -ENOMEM;

	*found = (struct inflight_found) { 0 };
	if (order && used)
		ret = recover(f, size, ring, used, order, found);
	free(order);
	free(used);
	if (ret != -EINVAL)
		return ret;
	make_new(f, size, used_at, used_wrap);
	return 0;
}

bool inflight_packed_fetch(struct inflight *f, const struct vring_desc_copy *d, unsigned cnt,
			   struct vring_rec *rec)
{
	struct region_packed *g = f->packed;
	const uint16_t head = f->free_head;
	uint16_t at = head, last = head;

	for (unsigned i = 0; i < cnt; i++, at = f->next[at]) {
		if (at >= f->cap)
			return false;
		last = at;
	}
	region_store(&g->desc[head].num, 0);
	region_store(&g->desc[head].counter, f->counter++);
	region_store(&g->desc[head].inflight, 1);
	region_store(&g->desc[head].last, last);
	for (unsigned i = 0; i < cnt; i++) {
		struct desc_state_packed *e = &g->desc[f->free_head];

		region_store(&g->desc[head].num, i + 1);
		region_store(&e->addr, d[i].addr);
		region_store(&e->len, d[i].len);
		region_store(&e->flags, d[i].flags);
		region_store(&e->id, d[i].next);
		set_free(f, f->next[f->free_head]);
	}
	region_store(&g->old_free_head, f->free_head);
	rec->entry = head;
	rec->last = last;
	return true;
}

/* In front of the free list; the mark goes when the list has it, so that no step loses the chain. */
void inflight_packed_unfetch(struct inflight *f, const struct vring_rec *rec)
{
	inflight_packed_use(f, rec);
	region_store(&f->packed->old_free_head, f->free_head);
	inflight_packed_clear(f, rec);
}

void inflight_packed_read(const struct inflight *f, const struct vring_again *a,
			  struct vring_desc_copy *d)
{
	uint16_t at = a->entry;

	for (unsigned i = 0; i < a->desc_cnt; i++, at = f->next[at]) {
		const struct desc_state_packed *e = &f->packed->desc[at];

		d[i].addr = region_load(&e->addr);
		d[i].len = region_load(&e->len);
		d[i].flags = region_load(&e->flags);
		d[i].next = region_load(&e->id);
	}
}

void inflight_packed_use(struct inflight *f, const struct vring_rec *rec)
{
	set_next(f, rec->last, f->free_head);
	set_free(f, rec->entry);
}

void inflight_packed_advance(struct inflight *f, uint16_t used_at, bool used_wrap)
{
	set_used(f, used_at, used_wrap);
}

void inflight_packed_clear(struct inflight *f, const struct vring_rec *rec)
{
	region_store(&f->packed->desc[rec->entry].inflight, 0);
}

void inflight_packed_settle(struct inflight *f, uint16_t used_at, bool used_wrap)
{
	region_store(&f->packed->old_free_head, f->free_head);
	f->old_used = used_at;
	f->old_wrap = used_wrap;
	set_used(f, used_at, used_wrap);
}
