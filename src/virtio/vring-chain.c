/* SPDX-License-Identifier: MIT */
/*
 * Descriptor chains into scatter lists.
 *
 * Model
 *   The format walks over the descriptors of a chain and adds one after the
 *   other; an indirect one adds those of its table. Nothing is taken from the pool before the
 *   whole chain is found to be right and to fit.
 *
 * What the driver may do wrong
 *   See vring.h. A walk ends after VRING_CHAIN_MAX descriptors, so that loops
 *   end, and a descriptor is read once: what is checked is what is used. Buffers of no bytes are
 *   refused, as QEMU does.
 */
#include <string.h>

#include "virtio/vring-int.h"

/* views */

/* A view from as far down as can be had cheaply, so that few misses follow. */
static bool view_fill(const struct mem *m, uint64_t gpa, struct vring_view *v)
{
	const uint64_t down[] = { gpa & ~(uint64_t)0x3fffffff, gpa & ~(uint64_t)0xfffff, gpa };

	for (unsigned i = 0; i < sizeof(down) / sizeof(down[0]); i++) {
		uint64_t len = UINT64_MAX;
		void *host = mem_at(m, down[i], &len);

		if (host && gpa - down[i] < len) {
			*v = (struct vring_view) { down[i], len, host };
			return true;
		}
	}
	return false;
}

const struct vring_view *vring_view_of(struct vring *r, uint64_t gpa)
{
	struct vring_view v = r->views[1];

	if (gpa - v.gpa >= v.size && !view_fill(r->mem, gpa, &v))
		return NULL;
	r->views[1] = r->views[0];
	r->views[0] = v;
	return &r->views[0];
}

/* buffers */

static const char mixed[] = "a readable buffer follows a writable one";

static enum vring_fit add_piece(struct vring_build *b, uint64_t gpa, void *host, uint64_t len,
				bool write)
{
	struct vring *r = b->r;

	if (b->at == b->end)
		return VRING_FULL;
	r->iov[b->at] = (struct iovec) { host, (size_t)len };
	if (write)
		r->dirty[b->at] = (struct vring_dirty) { gpa, len };
	b->at++;
	b->out_cnt += !write;
	b->in_cnt += write;
	return VRING_FITS;
}

/* From region to region. */
static enum vring_fit add_pieces(struct vring_build *b, uint64_t gpa, uint64_t left, bool write)
{
	while (left) {
		uint64_t len = left;
		void *host = mem_at(b->r->mem, gpa, &len);
		enum vring_fit fit;

		if (!host)
			return vring_build_bad(b, "a buffer is outside of the guest's memory");
		fit = add_piece(b, gpa, host, len, write);
		if (fit != VRING_FITS)
			return fit;
		gpa += len;
		left -= len;
	}
	return VRING_FITS;
}

static enum vring_fit add_buffer(struct vring_build *b, uint64_t addr, uint32_t len, bool write)
{
	uint64_t *sum = write ? &b->in_len : &b->out_len;
	void *host;

	if (unlikely(++b->descs > VRING_CHAIN_MAX))
		return vring_build_bad(b, "a chain is too long, or a loop");
	if (unlikely(!len))
		return vring_build_bad(b, "a buffer has no bytes");
	if (unlikely(!write && b->in_cnt))
		return vring_build_bad(b, mixed);
	*sum += len;
	if (unlikely(*sum > UINT32_MAX))
		return vring_build_bad(b, "a chain has more than 4 GiB");
	host = vring_at(b->r, addr, len);
	if (likely(host))
		return add_piece(b, addr, host, len, write);
	if (addr > UINT64_MAX - len)
		return vring_build_bad(b, "the addresses of a buffer wrap");
	return add_pieces(b, addr, len, write);
}

/* indirect tables */

/* A descriptor of a table that crosses regions, or is not aligned: byte by byte. */
static bool gather(struct vring *r, uint64_t gpa, uint8_t raw[16])
{
	for (unsigned i = 0; i < 16; i++) {
		const uint8_t *p = vring_at(r, gpa + i, 1);

		if (!p)
			return false;
		raw[i] = __atomic_load_n(p, __ATOMIC_RELAXED);
	}
	return true;
}

/* Both formats have address, length and flags; they are laid out differently. */
static void decode(bool packed, const void *raw, struct vring_desc_copy *d)
{
	const struct vring_packed_desc *p = raw;
	const struct vring_desc *s = raw;

	d->addr = load64(&s->addr);
	d->len = load32(&s->len);
	d->flags = packed ? load16(&p->flags) : load16(&s->flags);
	d->next = packed ? load16(&p->id) : load16(&s->next);
}

static bool read_table(struct vring *r, uint64_t table, uint32_t index, struct vring_desc_copy *d)
{
	const uint64_t gpa = table + 16ull * index;
	const void *host = vring_at(r, gpa, 16);
	_Alignas(16) uint8_t raw[16];

	if (unlikely(!host || (uintptr_t)host % 8)) {
		if (!gather(r, gpa, raw))
			return false;
		host = raw;
	}
	decode(r->packed, host, d);
	return true;
}

/* Split: linked like the ring's own descriptors. Packed: all of the table, in sequence, and of the
 * flags only "writable" means anything. */
static enum vring_fit add_entries(struct vring_build *b, uint64_t table, uint32_t cnt,
				  uint16_t writable)
{
	const bool packed = b->r->packed;
	struct vring_desc_copy d;
	uint32_t i = 0;

	for (;;) {
		enum vring_fit fit;

		if (!read_table(b->r, table, i, &d))
			return vring_build_bad(b, "an indirect table is outside of the memory");
		if (!packed && d.flags & VRING_DESC_F_INDIRECT)
			return vring_build_bad(b, "an indirect table is in an indirect table");
		fit = add_buffer(b, d.addr, d.len, d.flags & writable);
		if (fit != VRING_FITS)
			return fit;
		if (packed ? i + 1 == cnt : !(d.flags & VRING_DESC_F_NEXT))
			return VRING_FITS;
		i = packed ? i + 1 : d.next;
		if (i >= cnt)
			return vring_build_bad(b, "a link leads out of an indirect table");
	}
}

/* DPDK's driver marks the header of a frame that it sends as writable, in a packed table (as of 24.11),
 * and the entry that has the slot's number as well (22.11). So a table that mixes the two is for
 * reading; writable buffers in front of readable ones mean nothing else. */
static enum vring_fit add_table(struct vring_build *b, uint64_t table, uint32_t cnt)
{
	const struct vring_build before = *b;
	enum vring_fit fit = add_entries(b, table, cnt, VRING_DESC_F_WRITE);

	if (likely(fit != VRING_BAD) || b->why != mixed || !b->r->packed || before.in_cnt)
		return fit;
	*b = before;
	return add_entries(b, table, cnt, 0);
}

enum vring_fit vring_build_add(struct vring_build *b, const struct vring_desc_copy *d)
{
	if (likely(!(d->flags & VRING_DESC_F_INDIRECT)))
		return add_buffer(b, d->addr, d->len, d->flags & VRING_DESC_F_WRITE);
	if (!b->r->indirect)
		return vring_build_bad(b, "an indirect table was not negotiated");
	if (d->flags & VRING_DESC_F_NEXT)
		return vring_build_bad(b, "a chain goes on behind its indirect table");
	if (!d->len || d->len % 16)
		return vring_build_bad(b, "an indirect table has an impossible length");
	if (b->r->packed && d->len / 16 > VRING_CHAIN_MAX)
		return vring_build_bad(b, "an indirect table is too long");
	if (d->addr > UINT64_MAX - d->len)
		return vring_build_bad(b, "the addresses of an indirect table wrap");
	return add_table(b, d->addr, d->len / 16);
}

/* the whole chain */

static enum vring_fit try_at(struct vring_build *b, struct vring *r, uint32_t at, uint32_t end,
			     vring_walk *walk, unsigned head)
{
	*b = (struct vring_build) { .r = r, .at = at, .end = end };
	return walk(b, head);
}

static void take(const struct vring_build *b, struct vring_chain *c, struct vring_rec *rec)
{
	struct vring *r = b->r;

	c->iov = &r->iov[b->at - b->out_cnt - b->in_cnt];
	c->out_cnt = b->out_cnt;
	c->in_cnt = b->in_cnt;
	c->out_len = (uint32_t)b->out_len;
	c->in_len = (uint32_t)b->in_len;
	rec->iov_from = (uint16_t)r->iov_head;
	rec->iov_to = (uint16_t)b->at;
	rec->in_cnt = (uint16_t)b->in_cnt;
	r->iov_head = b->at;
}

enum vring_fit vring_fit(struct vring *r, struct vring_chain *c, struct vring_rec *rec,
			 vring_walk *walk, unsigned head, const char **why)
{
	const uint32_t end = vring_pool_end(r);
	struct vring_build b;
	enum vring_fit fit = try_at(&b, r, r->iov_head, end, walk, head);

	if (fit == VRING_FULL && end == VRING_IOV_MAX && r->iov_tail)
		fit = try_at(&b, r, 0, r->iov_tail, walk, head);
	if (fit == VRING_FULL && r->popped == r->pushed)
		fit = vring_build_bad(&b, "a chain is in too many pieces");
	*why = b.why;
	if (fit == VRING_FITS)
		take(&b, c, rec);
	return fit;
}
