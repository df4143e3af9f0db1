/* SPDX-License-Identifier: MIT */
/*
 * The in-flight region of a split ring (vhost-user, "Inflight I/O tracking").
 *
 * Model
 *   What was published last may still be marked as in flight. Its chains are a
 *   list that begins at last_batch_head, and how many they are is what the used ring's
 *   index is ahead of used_idx.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "virtio/inflight-int.h"

static void make_new(struct inflight *f, unsigned size, uint16_t used_idx)
{
	struct region_split *g = f->split;

	region_store(&g->version, 0);
	memset(g->desc, 0, size * sizeof(g->desc[0]));
	region_store(&g->features, 0);
	region_store(&g->desc_num, size);
	region_store(&g->last_batch_head, 0);
	region_store(&g->used_idx, used_idx);
	region_store(&g->version, INFLIGHT_VERSION);
	f->last_batch_head = 0;
	f->counter = 0;
}

/* Chains that the driver has been shown. */
static void clear_last_batch(struct inflight *f, unsigned size, uint16_t used_idx)
{
	struct region_split *g = f->split;
	unsigned cnt = (uint16_t)(used_idx - region_load(&g->used_idx));
	unsigned i = region_load(&g->last_batch_head);

	for (; cnt <= size && cnt && i < size; cnt--) {
		region_store(&g->desc[i].inflight, 0);
		i = region_load(&g->desc[i].next);
	}
	region_store(&g->used_idx, used_idx);
}

static unsigned collect(const struct inflight *f, unsigned size, struct inflight_order *order)
{
	unsigned cnt = 0;

	for (unsigned i = 0; i < size; i++) {
		const struct desc_state_split *d = &f->split->desc[i];

		if (region_load(&d->inflight) != 1)
			continue;
		order[cnt++] = (struct inflight_order) {
			.counter = region_load(&d->counter),
			.chain = { .entry = (uint16_t)i, .last = (uint16_t)i, .desc_cnt = 1 },
		};
	}
	return cnt;
}

int inflight_split_start(struct inflight *f, unsigned size, uint16_t used_idx,
			 struct inflight_found *found)
{
	struct region_split *g = f->split;
	struct inflight_order *order;
	int ret;

	*found = (struct inflight_found) { 0 };
	if (region_load(&g->version) != INFLIGHT_VERSION || region_load(&g->desc_num) != size) {
		make_new(f, size, used_idx);
		return 0;
	}
	order = calloc(size, sizeof(*order));
	if (!order)
		return -ENOMEM;
	clear_last_batch(f, size, used_idx);
	f->last_batch_head = region_load(&g->last_batch_head);
	found->known = true;
	ret = inflight_order(f, order, collect(f, size, order), found);
	free(order);
	return ret;
}

void inflight_split_fetch(struct inflight *f, uint16_t head)
{
	struct desc_state_split *d = &f->split->desc[head];

	region_store(&d->counter, f->counter++);
	region_store(&d->inflight, 1);
}

void inflight_split_clear(struct inflight *f, uint16_t head)
{
	region_store(&f->split->desc[head].inflight, 0);
}

void inflight_split_use(struct inflight *f, uint16_t head)
{
	region_store(&f->split->desc[head].next, f->last_batch_head);
	region_store(&f->split->last_batch_head, head);
	f->last_batch_head = head;
}

void inflight_split_settle(struct inflight *f, uint16_t used_idx)
{
	region_store(&f->split->used_idx, used_idx);
}
