/* SPDX-License-Identifier: MIT */
/*
 * Which address is behind which port.
 *
 * Model
 *   A hash table with room for a fixed number of entries, all of it made at the start: learning
 *   allocates nothing, and strangers who send from millions of addresses cannot make it grow. When it is
 *   full, what is known stays known until it ages. The hash has a secret, so that nobody can choose
 *   addresses that meet in one chain.
 *
 *   A key is an address and a VLAN. Times are milliseconds; the caller brings them.
 */
#ifndef NET_MACTABLE_H
#define NET_MACTABLE_H

#include <stdbool.h>
#include <stdint.h>

struct mactable;

/** mactable_key() - @mac in VLAN @vlan (0..4095). */
static inline uint64_t mactable_key(const uint8_t mac[6], unsigned vlan)
{
	return (uint64_t)vlan << 48 | (uint64_t)mac[0] << 40 | (uint64_t)mac[1] << 32 |
	       (uint64_t)mac[2] << 24 | (uint64_t)mac[3] << 16 | (uint64_t)mac[4] << 8 | mac[5];
}

enum mactable_news {
	MACTABLE_KNOWN, /* there already, and its age begins again */
	MACTABLE_NEW,
	MACTABLE_MOVED, /* it was behind another port */
	MACTABLE_FULL,	/* not learned */
};

/** mactable_new() - @max: entries, at least 1. Return: owned; NULL: out of memory. */
struct mactable *mactable_new(unsigned max);
void mactable_free(struct mactable *t);

/** mactable_learn() - @key is behind @at, which is not NULL, and was seen @now. */
enum mactable_news mactable_learn(struct mactable *t, uint64_t key, void *at, uint64_t now_ms);

/** mactable_find() - NULL: not known. */
void *mactable_find(const struct mactable *t, uint64_t key);

/** mactable_sweep() - Look at the next @cnt entries and forget those not seen for @age_ms.
 *  Return: how many. */
unsigned mactable_sweep(struct mactable *t, uint64_t now_ms, uint64_t age_ms, unsigned cnt);

/** mactable_forget() - All that is behind @at; NULL: everything. Return: how many. */
unsigned mactable_forget(struct mactable *t, const void *at);

unsigned mactable_cnt(const struct mactable *t);
unsigned mactable_max(const struct mactable *t);

/** mactable_each() - @row may not change the table. */
void mactable_each(const struct mactable *t,
		   void (*row)(void *opaque, uint64_t key, void *at, uint64_t seen_ms),
		   void *opaque);

#endif
