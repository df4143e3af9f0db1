/* SPDX-License-Identifier: MIT */
/* Descriptor chains that no driver may make, written past the driver. */
#include "vu-tool.h"

#include <string.h>
#include <unistd.h>

#define F_INDIRECT VRING_DESC_F_INDIRECT
#define F_NEXT VRING_DESC_F_NEXT
#define F_WRITE VRING_DESC_F_WRITE

enum what {
	PLAIN, /* @cnt descriptors as they are */
	TABLE, /* behind an indirect descriptor of @cnt * 16 + @extra bytes */
	AHEAD, /* the available index only */
};

/**
 * struct breakage - A chain
 * @desc: addr 1 stands for a buffer that is fine, addr 2 for an indirect table that is fine
 * @head: split: index in the available ring
 * @rings: 1 split, 2 packed, 3 both
 */
static const struct breakage {
	const char *name;
	enum what what;
	unsigned rings, cnt, extra;
	uint16_t head;
	struct vring_desc desc[3];
} breakages[] = {
	{ "loop", PLAIN, 1, 2, 0, 0, { { 1, 64, F_NEXT, 1 }, { 1, 64, F_NEXT, 0 } } },
	{ "self-loop", PLAIN, 1, 1, 0, 0, { { 1, 64, F_NEXT, 0 } } },
	{ "head-outside", PLAIN, 1, 1, 0, 0x8001, { { 1, 64, 0, 0 } } },
	{ "next-outside", PLAIN, 1, 1, 0, 0, { { 1, 64, F_NEXT, 0x9000 } } },
	{ "address-outside", PLAIN, 3, 1, 0, 0, { { 1ull << 40, 64, 0, 0 } } },
	{ "address-wraps", PLAIN, 3, 1, 0, 0, { { UINT64_MAX - 10, 64, 0, 0 } } },
	{ "length-outside", PLAIN, 3, 1, 0, 0, { { 1, UINT32_MAX, 0, 0 } } },
	{ "read-after-write",
	  PLAIN,
	  3,
	  2,
	  0,
	  0,
	  { { 1, 64, F_NEXT | F_WRITE, 1 }, { 1, 64, 0, 0 } } },
	{ "table-outside", PLAIN, 3, 1, 0, 0, { { 1ull << 40, 64, F_INDIRECT, 0 } } },
	{ "table-empty", PLAIN, 3, 1, 0, 0, { { 2, 0, F_INDIRECT, 0 } } },
	{ "table-odd", PLAIN, 3, 1, 0, 0, { { 2, 24, F_INDIRECT, 0 } } },
	{ "table-in-table", TABLE, 1, 1, 0, 0, { { 2, 16, F_INDIRECT, 0 } } },
	{ "table-loop", TABLE, 1, 2, 0, 0, { { 1, 64, F_NEXT, 1 }, { 1, 64, F_NEXT, 0 } } },
	{ "table-next-outside", TABLE, 1, 1, 0, 0, { { 1, 64, F_NEXT, 1000 } } },
	{ "table-too-long", TABLE, 3, 1, 1u << 20, 0, { { 1, 64, F_NEXT, 1 } } },
	{ "zero-length", PLAIN, 3, 1, 0, 0, { { 1, 0, 0, 0 } } },
	{ "index-ahead", AHEAD, 1, 0, 0, 0, { { 0 } } },
};

static void add_split(struct vuf_queue *vq, const struct breakage *b, const struct vring_desc *desc,
		      unsigned cnt)
{
	struct vq *q = &vq->q;

	memcpy(q->desc, desc, cnt * sizeof(*desc));
	q->avail->ring[q->next_avail++ % q->size] = b->head;
	__atomic_store_n(&q->avail->idx, q->next_avail, __ATOMIC_RELEASE);
}

static void add_packed(struct vuf_queue *vq, const struct vring_desc *desc, unsigned cnt)
{
	struct vq *q = &vq->q;
	uint16_t first = q->next_avail;

	/* the first one last; behind the others so that the ring may wrap */
	for (unsigned n = cnt; n-- > 0;) {
		struct vring_packed_desc *d = &q->pdesc[(first + n) % q->size];
		bool wrap = first + n >= q->size ? !q->avail_wrap : q->avail_wrap;

		d->addr = desc[n].addr;
		d->len = desc[n].len;
		d->id = 0;
		__atomic_store_n(&d->flags, (uint16_t)(desc[n].flags | 1u << (wrap ? 7 : 15)),
				 __ATOMIC_RELEASE);
	}
}

/* put addresses in that are fine */
static void resolve(struct vuf *f, struct vring_desc *desc, unsigned cnt)
{
	uint64_t buffer = vuf_alloc(f, 4096, 4096), table = vuf_alloc(f, 4096, 4096);

	memcpy(f->base + table, &(struct vring_desc) { .addr = buffer, .len = 64 }, 16);
	for (unsigned i = 0; i < cnt; i++)
		if (desc[i].addr == 1)
			desc[i].addr = buffer;
		else if (desc[i].addr == 2)
			desc[i].addr = table;
}

static void add_table(struct vuf *f, struct vring_desc *desc, const struct breakage *b)
{
	uint64_t len = 16 * b->cnt + b->extra, table = vuf_alloc(f, len, 4096);

	for (unsigned i = 0; i < len / 16; i++) {
		struct vring_desc d = desc[i < b->cnt ? i : b->cnt - 1];

		if (i >= b->cnt)
			d.next = (uint16_t)(i + 1);
		memcpy(f->base + table + 16ull * i, &d, 16);
	}
	desc[0] = (struct vring_desc) { .addr = table, .len = (uint32_t)len, .flags = F_INDIRECT };
}

bool vu_break(struct vuf *f, struct vuf_queue *vq, const char *kind)
{
	const struct breakage *b = breakages, *end = b + sizeof(breakages) / sizeof(*breakages);
	struct vring_desc desc[3];
	uint64_t one = 1;

	while (b < end && (strcmp(b->name, kind) != 0 || !(b->rings & (vq->q.packed ? 2 : 1))))
		b++;
	if (b == end)
		return vuf_fail(f, "this kind of ring cannot be broken like that");
	memcpy(desc, b->desc, sizeof(desc));
	resolve(f, desc, b->cnt);
	if (b->what == TABLE)
		add_table(f, desc, b);
	if (b->what == AHEAD)
		__atomic_store_n(&vq->q.avail->idx, (uint16_t)(vq->q.next_avail + vq->q.size + 1),
				 __ATOMIC_RELEASE);
	else if (vq->q.packed)
		add_packed(vq, desc, b->what == TABLE ? 1 : b->cnt);
	else
		add_split(vq, b, desc, b->what == TABLE ? 1 : b->cnt);
	return vq->kick < 0 || write(vq->kick, &one, sizeof(one)) == sizeof(one);
}
