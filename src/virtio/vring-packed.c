/* SPDX-License-Identifier: MIT */
/*
 * Packed rings (virtio 1.2, 2.8): the device's side.
 *
 * Model
 *   A descriptor is available, or used, when the two bits in its flags say so for the wrap
 *   counter of the side that looks. Drivers look for used ones only where the
 *   next one has to be, so a batch becomes visible at once: all of it is
 *   written but the flags of its first descriptor, and these are stored last, with
 *   release. Our acquire of a first descriptor's flags pairs with the driver's release.
 *
 * Chains left in flight
 *   Their descriptors may be overwritten in part; they are popped from the copies
 *   in the in-flight region.
 *
 * What the driver may do wrong
 *   See vring.h. Only the first descriptor of a chain is looked at for being available: what
 *   follows is read as it is, and counts as much as it would if it was not.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/counter.h"
#include "virtio/inflight-int.h"

#define AVAIL (1u << VRING_PACKED_DESC_F_AVAIL)
#define USED (1u << VRING_PACKED_DESC_F_USED)
#define WRAP (1u << VRING_PACKED_EVENT_F_WRAP_CTR)

/* places */

static inline bool is_available(uint16_t flags, bool wrap)
{
	return (flags & (AVAIL | USED)) == (wrap ? AVAIL : USED);
}

static inline void advance(const struct vring *r, uint16_t *at, bool *wrap, unsigned cnt)
{
	unsigned to = *at + cnt;

	if (to >= r->size) {
		to -= r->size;
		*wrap = !*wrap;
	}
	*at = (uint16_t)to;
}

static inline void go_back(const struct vring *r, uint16_t *at, bool *wrap, unsigned cnt)
{
	unsigned to = *at;

	if (to < cnt) {
		to += r->size;
		*wrap = !*wrap;
	}
	*at = (uint16_t)(to - cnt);
}

/* start */

/* For vring_packed_available(). */
static inline void tell_place(struct vring *r)
{
	counter_set(&r->place, r->used_at | (r->used_wrap ? WRAP : 0u));
}

static int recover(struct vring *r)
{
	struct inflight_found found;
	int ret = inflight_packed_start(r->inflight, r->size, r->pdesc, r->used_at, r->used_wrap,
					&found);

	if (ret < 0 || !found.known)
		return ret;
	r->again = found.again;
	r->again_cnt = found.cnt;
	r->busy = found.descs;
	r->avail_at = r->used_at = found.used_at;
	r->avail_wrap = r->used_wrap = found.used_wrap;
	advance(r, &r->avail_at, &r->avail_wrap, found.descs);
	return 0;
}

/* Some front ends (DPDK's virtio-user) know the first half of the base only, and leave the other 0:
 * nothing is in flight then, and both places are the same. */
int vring_packed_start(struct vring *r)
{
	const uint16_t avail = (uint16_t)r->cfg.base;
	uint16_t used = (uint16_t)(r->cfg.base >> 16);
	int ret = 0;

	if (!used)
		used = avail;
	r->avail_at = (uint16_t)(avail & ~WRAP);
	r->avail_wrap = avail & WRAP;
	r->used_at = (uint16_t)(used & ~WRAP);
	r->used_wrap = used & WRAP;
	if (r->avail_at >= r->size || r->used_at >= r->size)
		return -EINVAL;
	if (r->inflight)
		ret = recover(r);
	r->push_at = r->used_at;
	r->push_wrap = r->used_wrap;
	tell_place(r);
	return ret;
}

uint32_t vring_packed_base(const struct vring *r)
{
	uint32_t avail = r->avail_at | (r->avail_wrap ? WRAP : 0);
	uint32_t used = r->used_at | (r->used_wrap ? WRAP : 0);

	return avail | used << 16;
}

/* fetching */

static inline void desc_read(const struct vring_packed_desc *p, uint16_t flags,
			     struct vring_desc_copy *d)
{
	d->addr = load64(&p->addr);
	d->len = load32(&p->len);
	d->next = load16(&p->id);
	d->flags = flags;
}

/* The whole chain into @r->raw. Return: its descriptors; 0: it has no end. */
static unsigned chain_read(struct vring *r, uint16_t flags)
{
	const unsigned most = r->size < VRING_CHAIN_MAX ? r->size : VRING_CHAIN_MAX;
	uint16_t at = r->avail_at;
	bool wrap = r->avail_wrap;
	unsigned cnt = 0;

	for (;;) {
		desc_read(&r->pdesc[at], flags, &r->raw[cnt++]);
		if (!(flags & VRING_DESC_F_NEXT))
			return cnt;
		if (cnt == most)
			return 0;
		advance(r, &at, &wrap, 1);
		flags = load16(&r->pdesc[at].flags);
	}
}

/* @cnt descriptors that are in @b->r->raw. */
static enum vring_fit walk(struct vring_build *b, unsigned cnt)
{
	for (unsigned i = 0; i < cnt; i++) {
		struct vring_desc_copy *d = &b->r->raw[i];
		enum vring_fit fit;

		if (i + 1 == cnt)
			d->flags &= (uint16_t)~VRING_DESC_F_NEXT;
		fit = vring_build_add(b, d);
		if (fit != VRING_FITS)
			return fit;
	}
	return VRING_FITS;
}

static inline void commit(struct vring *r, struct vring_chain *c, struct vring_rec *rec,
			  uint16_t id, unsigned cnt)
{
	vring_commit(r, c, rec, id, (uint16_t)cnt, false);
	r->busy += cnt;
	advance(r, &r->avail_at, &r->avail_wrap, cnt);
}

static bool fetch_long(struct vring *r, uint16_t flags, struct vring_chain *c, const char **why)
{
	struct vring_rec *rec = vring_rec(r, r->popped);
	const unsigned cnt = chain_read(r, flags);
	const uint32_t head = r->iov_head;

	if (!cnt || r->busy + cnt > r->size) {
		*why = cnt ? "more descriptors are available than the ring has"
			   : "a chain is too long, or a loop";
		return false;
	}
	if (vring_fit(r, c, rec, walk, cnt, why) != VRING_FITS)
		return false;
	if (r->inflight && !inflight_packed_fetch(r->inflight, r->raw, cnt, rec)) {
		r->iov_head = head;
		*why = "more descriptors are in flight than the ring has";
		return false;
	}
	commit(r, c, rec, r->raw[cnt - 1].next, cnt);
	return true;
}

/* Return: false: it is not possible now, or the chain is bad and @why says so. */
static inline bool fetch(struct vring *r, uint16_t flags, struct vring_chain *c, const char **why)
{
	struct vring_rec *rec = vring_rec(r, r->popped);
	struct vring_desc_copy d;

	if (unlikely(flags & (VRING_DESC_F_NEXT | VRING_DESC_F_INDIRECT)) || r->inflight ||
	    r->busy >= r->size)
		return fetch_long(r, flags, c, why);
	desc_read(&r->pdesc[r->avail_at], flags, &d);
	if (unlikely(!vring_fit_one(r, c, rec, d.addr, d.len, flags & VRING_DESC_F_WRITE)))
		return fetch_long(r, flags, c, why);
	commit(r, c, rec, d.next, 1);
	return true;
}

unsigned vring_packed_pop(struct vring *r, struct vring_chain *chains, unsigned max)
{
	const char *why = NULL;
	unsigned n;

	for (n = 0; n < max; n++) {
		const uint16_t flags = load16_acquire(&r->pdesc[r->avail_at].flags);

		if (!is_available(flags, r->avail_wrap))
			break;
		__builtin_prefetch(&r->pdesc[r->avail_at + 8u < r->size ? r->avail_at + 8u : 0]);
		if (unlikely(!fetch(r, flags, &chains[n], &why)))
			break;
	}
	if (unlikely(why) && !n) /* good ones in front of it go out first */
		vring_set_broken(r, why);
	return n;
}

static bool fetch_again(struct vring *r, const struct vring_again *a, struct vring_chain *c,
			const char **why)
{
	struct vring_rec *rec = vring_rec(r, r->popped);

	inflight_packed_read(r->inflight, a, r->raw);
	if (vring_fit(r, c, rec, walk, a->desc_cnt, why) != VRING_FITS)
		return false;
	rec->entry = a->entry;
	rec->last = a->last;
	vring_commit(r, c, rec, r->raw[a->desc_cnt - 1].next, a->desc_cnt, true);
	return true;
}

unsigned vring_packed_pop_again(struct vring *r, struct vring_chain *chains, unsigned max)
{
	const char *why = NULL;
	unsigned n = 0;

	while (n < max && r->again_at < r->again_cnt &&
	       fetch_again(r, &r->again[r->again_at], &chains[n], &why)) {
		r->again_at++;
		n++;
	}
	if (why && !n)
		vring_set_broken(r, why);
	return n;
}

void vring_packed_unpop(struct vring *r, const struct vring_rec *rec)
{
	if (rec->again) {
		r->again_at--;
		return;
	}
	go_back(r, &r->avail_at, &r->avail_wrap, rec->desc_cnt);
	r->busy -= rec->desc_cnt;
	if (r->inflight)
		inflight_packed_unfetch(r->inflight, rec);
}

/* using */

void vring_packed_push(struct vring *r, const struct vring_rec *rec, uint32_t len)
{
	struct vring_packed_desc *d = &r->pdesc[r->push_at];
	uint16_t flags =
		(uint16_t)((r->push_wrap ? AVAIL | USED : 0) | (len ? VRING_DESC_F_WRITE : 0));

	store16(&d->id, rec->id);
	store32(&d->len, len);
	if (r->batch)
		store16(&d->flags, flags);
	else
		r->first_flags = flags;
	if (vring_logs(r))
		mem_dirty(r->mem, r->desc_gpa + 16ull * r->push_at, sizeof(*d));
	advance(r, &r->push_at, &r->push_wrap, rec->desc_cnt);
	r->batch += rec->desc_cnt;
}

static void show(struct vring *r)
{
	struct vring_packed_desc *first = &r->pdesc[r->used_at];
	struct inflight *f = r->inflight;

	if (unlikely(f != NULL)) {
		for (uint32_t i = r->done; i != r->pushed; i++)
			inflight_packed_use(f, vring_rec(r, i));
		inflight_packed_advance(f, r->push_at, r->push_wrap);
	}
	store16_release(&first->flags, r->first_flags);
	if (likely(!f))
		return;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	for (uint32_t i = r->done; i != r->pushed; i++)
		inflight_packed_clear(f, vring_rec(r, i));
	inflight_packed_settle(f, r->push_at, r->push_wrap);
}

/* Was the place that the driver waits for among the @batch descriptors in front of @used_at? */
static bool passed_event(const struct vring *r, unsigned batch)
{
	const uint16_t off_wrap = load16(&r->driver_event->off_wrap);
	unsigned event = off_wrap & ~WRAP;

	if (!!(off_wrap & WRAP) != r->used_wrap)
		event -= r->size;
	return vring_need_event((uint16_t)event, r->used_at, (uint16_t)(r->used_at - batch));
}

static bool wants_call(struct vring *r, unsigned batch)
{
	const bool first = !r->called;
	uint16_t flags;

	r->called = true;
	full_barrier(); /* the driver says what it wants, and looks at the ring */
	flags = load16_acquire(&r->driver_event->flags) & 3;
	if (flags == VRING_PACKED_EVENT_FLAG_DESC && r->event_idx)
		return first || passed_event(r, batch);
	return flags != VRING_PACKED_EVENT_FLAG_DISABLE;
}

bool vring_packed_publish(struct vring *r)
{
	const unsigned batch = r->batch;
	const uint16_t first = r->used_at;

	show(r);
	if (vring_logs(r))
		mem_dirty(r->mem, r->desc_gpa + 16ull * first, sizeof(*r->pdesc));
	r->used_at = r->push_at;
	r->used_wrap = r->push_wrap;
	tell_place(r);
	r->busy -= batch;
	return wants_call(r, batch);
}

/* kicks */

static bool is_available_at(const struct vring *r, uint16_t at, bool wrap, unsigned ahead)
{
	advance(r, &at, &wrap, ahead);
	return is_available(load16(&r->pdesc[at].flags), wrap);
}

/* Those that are available lie side by side, so that a few of them tell how many there are. */
static unsigned search(const struct vring *r, uint64_t place)
{
	const uint16_t at = (uint16_t)(place & ~(uint64_t)WRAP);
	unsigned less = 0, more = r->size;

	while (less < more) {
		const unsigned mid = less + (more - less) / 2;

		if (is_available_at(r, at, place & WRAP, mid))
			less = mid + 1;
		else
			more = mid;
	}
	return less;
}

unsigned vring_packed_available(const struct vring *r)
{
	uint64_t place;
	unsigned cnt, tries = 8;

	do {
		place = counter_get(&r->place);
		cnt = search(r, place);
	} while (place != counter_get(&r->place) && --tries);
	return cnt;
}

bool vring_packed_is_empty(const struct vring *r)
{
	return !is_available(load16(&r->pdesc[r->avail_at].flags), r->avail_wrap);
}

/* The place is written before the flags that make it count. */
void vring_packed_want_kicks(struct vring *r, bool on)
{
	uint16_t flags = VRING_PACKED_EVENT_FLAG_DISABLE;

	if (on)
		flags = r->event_idx ? VRING_PACKED_EVENT_FLAG_DESC
				     : VRING_PACKED_EVENT_FLAG_ENABLE;
	if (on && r->event_idx)
		store16(&r->device_event->off_wrap, r->avail_at | (r->avail_wrap ? WRAP : 0));
	store16_release(&r->device_event->flags, flags);
	if (vring_logs(r))
		mem_dirty(r->mem, r->used_gpa, sizeof(*r->device_event));
}
