/* SPDX-License-Identifier: MIT */
/* Which address is behind which port. */
#include "net/mactable.h"

#include <assert.h>
#include <stdlib.h>

#include "net/keyhash.h"

#define NONE UINT32_MAX

/** struct entry - @at NULL: free. @next: in its chain, or in the list of free ones */
struct entry {
	uint64_t key, seen_ms;
	void *at;
	uint32_t next;
};

/**
 * struct mactable
 * @heads: chains, a power of two of them, no fewer than entries
 * @sweep: the entry at which the next sweep goes on
 */
struct mactable {
	struct entry *entries;
	uint32_t *heads;
	uint32_t max, cnt, mask, free, sweep;
	struct keyhash hash;
};

struct mactable *mactable_new(unsigned max)
{
	struct mactable *t = calloc(1, sizeof(*t));
	uint32_t chains = 64;

	assert(max);
	if (!t)
		return NULL;
	while (chains < max)
		chains *= 2;
	t->max = max;
	t->mask = chains - 1;
	t->entries = calloc(max, sizeof(*t->entries));
	t->heads = malloc(chains * sizeof(*t->heads));
	if (!t->entries || !t->heads) {
		mactable_free(t);
		return NULL;
	}
	keyhash_init(&t->hash);
	mactable_forget(t, NULL);
	return t;
}

void mactable_free(struct mactable *t)
{
	if (!t)
		return;
	free(t->entries);
	free(t->heads);
	free(t);
}

static uint32_t chain_of(const struct mactable *t, uint64_t key)
{
	return (uint32_t)keyhash_mix(&t->hash, key) & t->mask;
}

static struct entry *find(const struct mactable *t, uint32_t chain, uint64_t key)
{
	for (uint32_t i = t->heads[chain]; i != NONE; i = t->entries[i].next)
		if (t->entries[i].key == key)
			return &t->entries[i];
	return NULL;
}

void *mactable_find(const struct mactable *t, uint64_t key)
{
	const struct entry *e = find(t, chain_of(t, key), key);

	return e ? e->at : NULL;
}

static enum mactable_news add(struct mactable *t, uint32_t chain, uint64_t key, void *at,
			      uint64_t now_ms)
{
	uint32_t i = t->free;

	if (i == NONE)
		return MACTABLE_FULL;
	t->free = t->entries[i].next;
	t->entries[i] =
		(struct entry) { .key = key, .at = at, .next = t->heads[chain], .seen_ms = now_ms };
	t->heads[chain] = i;
	t->cnt++;
	return MACTABLE_NEW;
}

enum mactable_news mactable_learn(struct mactable *t, uint64_t key, void *at, uint64_t now_ms)
{
	uint32_t chain = chain_of(t, key);
	struct entry *e = find(t, chain, key);

	if (!e)
		return add(t, chain, key, at, now_ms);
	e->seen_ms = now_ms;
	if (e->at == at)
		return MACTABLE_KNOWN;
	e->at = at;
	return MACTABLE_MOVED;
}

static void del(struct mactable *t, uint32_t i)
{
	struct entry *e = &t->entries[i];
	uint32_t *link = &t->heads[chain_of(t, e->key)];

	while (*link != i)
		link = &t->entries[*link].next;
	*link = e->next;
	e->at = NULL;
	e->next = t->free;
	t->free = i;
	t->cnt--;
}

unsigned mactable_sweep(struct mactable *t, uint64_t now_ms, uint64_t age_ms, unsigned cnt)
{
	unsigned gone = 0;

	if (cnt > t->max)
		cnt = t->max;
	for (; cnt && t->cnt; cnt--) {
		const struct entry *e = &t->entries[t->sweep];

		if (e->at && now_ms - e->seen_ms >= age_ms) {
			del(t, t->sweep);
			gone++;
		}
		t->sweep = (t->sweep + 1) % t->max;
	}
	return gone;
}

static void clear(struct mactable *t)
{
	for (uint32_t i = 0; i <= t->mask; i++)
		t->heads[i] = NONE;
	for (uint32_t i = 0; i < t->max; i++) {
		t->entries[i].at = NULL;
		t->entries[i].next = i + 1 < t->max ? i + 1 : NONE;
	}
	t->free = 0;
	t->cnt = 0;
}

unsigned mactable_forget(struct mactable *t, const void *at)
{
	unsigned before = t->cnt;

	if (!at)
		clear(t);
	for (uint32_t i = 0; i < t->max && t->cnt; i++)
		if (t->entries[i].at && t->entries[i].at == at)
			del(t, i);
	return before - t->cnt;
}

unsigned mactable_cnt(const struct mactable *t)
{
	return t->cnt;
}

unsigned mactable_max(const struct mactable *t)
{
	return t->max;
}

void mactable_each(const struct mactable *t,
		   void (*row)(void *opaque, uint64_t key, void *at, uint64_t seen_ms),
		   void *opaque)
{
	for (uint32_t i = 0; i < t->max; i++)
		if (t->entries[i].at)
			row(opaque, t->entries[i].key, t->entries[i].at, t->entries[i].seen_ms);
}
