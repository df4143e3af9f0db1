/* SPDX-License-Identifier: MIT */
/*
 * Split rings (virtio 1.2, 2.7): the device's side.
 *
 * Model
 *   A burst is fetched in passes, so that the cache misses of all its descriptors overlap: the heads
 *   from the available ring, then the descriptors. What was
 *   published is one release store of the used ring's index; it pairs with the
 *   driver's acquire, as our acquire of the available ring's index does with its release.
 *
 * Chains left in flight
 *   When they are the entries of the available ring in front of which the used
 *   ring ends, in order, the ring goes on there and nothing else is needed. Otherwise (the
 *   device that ended did not keep to the order) they are popped from a list.
 */
#include <errno.h>
#include <stdlib.h>

#include "virtio/inflight-int.h"

static inline uint16_t *avail_event(const struct vring *r)
{
	return (uint16_t *)(void *)&r->used->ring[r->size];
}

static inline const uint16_t *used_event(const struct vring *r)
{
	return &r->avail->ring[r->size];
}

static inline uint16_t head_at(const struct vring *r, uint16_t index)
{
	return load16(&r->avail->ring[index & (r->size - 1)]);
}

/* start */

/* Are these what the available ring has, from where the used one ends? */
static bool is_in_order(const struct vring *r, const struct inflight_found *found)
{
	for (unsigned i = 0; i < found->cnt; i++) {
		if (head_at(r, (uint16_t)(r->used_at + i)) != found->again[i].entry)
			return false;
	}
	return true;
}

/* The last first: should we end meanwhile, those in front of it are found again. */
static void forget(struct vring *r, struct inflight_found *found)
{
	for (unsigned i = found->cnt; i-- > 0;)
		inflight_split_clear(r->inflight, found->again[i].entry);
	free(found->again);
	found->again = NULL;
	found->cnt = 0;
}

static int recover(struct vring *r)
{
	struct inflight_found found;
	int ret = inflight_split_start(r->inflight, r->size, r->used_at, &found);

	if (ret < 0 || !found.known)
		return ret;
	if (found.cnt && is_in_order(r, &found))
		forget(r, &found);
	r->again = found.again;
	r->again_cnt = r->busy = found.cnt;
	r->avail_at = (uint16_t)(r->used_at + found.cnt);
	return 0;
}

/*
 * We go on where the used ring ends; the base is not asked. Chains between the two are with
 * a device that is gone, and nobody else would return them (cloud-hypervisor restores a guest with
 * what is available as the base); and some front ends do not know it: to a back end that was restarted,
 * DPDK's virtio-user says 0.
 */
int vring_split_start(struct vring *r)
{
	int ret = 0;

	if (r->cfg.base > UINT16_MAX)
		return -EINVAL;
	r->avail_at = r->used_at = load16(&r->used->idx);
	if (r->inflight)
		ret = recover(r);
	r->avail_seen = r->avail_at;
	r->push_at = r->used_at;
	return ret;
}

uint32_t vring_split_base(const struct vring *r)
{
	return r->avail_at;
}

/* fetching */

static inline void desc_read(const struct vring *r, unsigned i, struct vring_desc_copy *d)
{
	d->addr = load64(&r->desc[i].addr);
	d->len = load32(&r->desc[i].len);
	d->flags = load16(&r->desc[i].flags);
	d->next = load16(&r->desc[i].next);
}

static enum vring_fit walk(struct vring_build *b, unsigned head)
{
	const struct vring *r = b->r;
	struct vring_desc_copy d;
	unsigned i = head;

	for (;;) {
		enum vring_fit fit;

		if (i >= r->size)
			return vring_build_bad(b, "an index is beyond the descriptor table");
		desc_read(r, i, &d);
		fit = vring_build_add(b, &d);
		if (fit != VRING_FITS || !(d.flags & VRING_DESC_F_NEXT))
			return fit;
		if (b->descs >= r->size)
			return vring_build_bad(b, "a chain is a loop");
		i = d.next;
	}
}

/* Return: false: there is no room now, or the chain is bad and @why says so. */
static inline bool fetch(struct vring *r, unsigned head, struct vring_chain *c, bool again,
			 const char **why)
{
	struct vring_rec *rec = vring_rec(r, r->popped);
	struct vring_desc_copy d;

	if (likely(head < r->size)) {
		desc_read(r, head, &d);
		if (likely(!(d.flags & (VRING_DESC_F_NEXT | VRING_DESC_F_INDIRECT))) &&
		    likely(vring_fit_one(r, c, rec, d.addr, d.len, d.flags & VRING_DESC_F_WRITE))) {
			vring_commit(r, c, rec, (uint16_t)head, 1, again);
			return true;
		}
	}
	if (vring_fit(r, c, rec, walk, head, why) != VRING_FITS)
		return false;
	vring_commit(r, c, rec, (uint16_t)head, 1, again);
	return true;
}

/* Chains that are there, at most @max; the index is read again when those that are known are fewer. */
static unsigned available(struct vring *r, unsigned max)
{
	unsigned cnt = (uint16_t)(r->avail_seen - r->avail_at);

	if (cnt >= max)
		return max;
	r->avail_seen = load16_acquire(&r->avail->idx);
	cnt = (uint16_t)(r->avail_seen - r->avail_at);
	if (unlikely(cnt + r->busy > r->size)) {
		r->avail_seen = r->avail_at;
		vring_set_broken(r, "the available index is too far ahead");
		return 0;
	}
	return cnt < max ? cnt : max;
}

static void read_heads(const struct vring *r, uint16_t *heads, unsigned cnt)
{
	for (unsigned i = 0; i < cnt; i++) {
		heads[i] = head_at(r, (uint16_t)(r->avail_at + i));
		if (likely(heads[i] < r->size))
			__builtin_prefetch(&r->desc[heads[i]]);
	}
}

unsigned vring_split_pop(struct vring *r, struct vring_chain *chains, unsigned max)
{
	const unsigned cnt = available(r, max);
	uint16_t heads[VRING_BURST_MAX];
	const char *why = NULL;
	unsigned n;

	read_heads(r, heads, cnt);
	for (n = 0; n < cnt; n++) {
		if (unlikely(!fetch(r, heads[n], &chains[n], false, &why)))
			break;
		if (unlikely(r->inflight != NULL))
			inflight_split_fetch(r->inflight, heads[n]);
	}
	r->avail_at = (uint16_t)(r->avail_at + n);
	r->busy += n;
	if (unlikely(why) && !n) /* good ones in front of it go out first */
		vring_set_broken(r, why);
	return n;
}

unsigned vring_split_pop_again(struct vring *r, struct vring_chain *chains, unsigned max)
{
	const char *why = NULL;
	unsigned n = 0;

	while (n < max && r->again_at < r->again_cnt &&
	       fetch(r, r->again[r->again_at].entry, &chains[n], true, &why)) {
		r->again_at++;
		n++;
	}
	if (why && !n)
		vring_set_broken(r, why);
	return n;
}

void vring_split_unpop(struct vring *r, const struct vring_rec *rec)
{
	if (rec->again) {
		r->again_at--;
		return;
	}
	r->avail_at--;
	r->busy--;
	if (r->inflight)
		inflight_split_clear(r->inflight, rec->id);
}

/* using */

void vring_split_push(struct vring *r, const struct vring_rec *rec, uint32_t len)
{
	vring_used_elem_t *e = &r->used->ring[r->push_at & (r->size - 1)];

	store32(&e->id, rec->id);
	store32(&e->len, len);
	r->push_at++;
	r->batch++;
}

/* From entry @at on, which may be around the end. */
static void log_entries(const struct vring *r)
{
	unsigned at = r->used_at & (r->size - 1);
	unsigned first = r->size - at < r->batch ? r->size - at : r->batch;
	uint64_t ring = r->used_gpa + offsetof(struct vring_used, ring);

	mem_dirty(r->mem, ring + 8ull * at, 8ull * first);
	if (first < r->batch)
		mem_dirty(r->mem, ring, 8ull * (r->batch - first));
}

static void show(struct vring *r)
{
	struct inflight *f = r->inflight;

	if (unlikely(f != NULL)) {
		for (uint32_t i = r->done; i != r->pushed; i++)
			inflight_split_use(f, vring_rec(r, i)->id);
	}
	store16_release(&r->used->idx, r->push_at);
	if (likely(!f))
		return;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	for (uint32_t i = r->done; i != r->pushed; i++)
		inflight_split_clear(f, vring_rec(r, i)->id);
	inflight_split_settle(f, r->push_at);
}

static bool wants_call(struct vring *r, uint16_t old)
{
	bool first = !r->called;

	r->called = true;
	full_barrier(); /* the driver says what it wants, and looks at the index */
	if (r->event_idx)
		return first || vring_need_event(load16(used_event(r)), r->used_at, old);
	return !(load16(&r->avail->flags) & VRING_AVAIL_F_NO_INTERRUPT);
}

bool vring_split_publish(struct vring *r)
{
	const uint16_t old = r->used_at;
	const bool logs = vring_logs(r);

	if (logs)
		log_entries(r);
	show(r);
	if (logs)
		mem_dirty(r->mem, r->used_gpa + offsetof(struct vring_used, idx), 2);
	r->used_at = r->push_at;
	r->busy -= r->batch;
	return wants_call(r, old);
}

/* kicks */

/* The used index first: it can only get closer to the available one. */
unsigned vring_split_available(const struct vring *r)
{
	const uint16_t used = load16_acquire(&r->used->idx);

	return (uint16_t)(load16(&r->avail->idx) - used);
}

bool vring_split_is_empty(const struct vring *r)
{
	return r->avail_seen == r->avail_at && load16(&r->avail->idx) == r->avail_at;
}

static void say(struct vring *r, uint16_t *field, uint16_t value)
{
	store16(field, value);
	if (vring_logs(r))
		mem_dirty(r->mem, r->used_gpa + (uint64_t)((uint8_t *)field - (uint8_t *)r->used),
			  2);
}

/* With an event index, the one that the driver passed lies behind it: it does not kick. */
void vring_split_want_kicks(struct vring *r, bool on)
{
	if (!r->event_idx)
		say(r, &r->used->flags, on ? 0 : VRING_USED_F_NO_NOTIFY);
	else if (on)
		say(r, avail_event(r), r->avail_at);
}
