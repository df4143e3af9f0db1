/* SPDX-License-Identifier: MIT */
/* Which ports are in which group. */
#include "net/grouptable.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "net/keyhash.h"

#define NONE UINT32_MAX
/** A table that is full is not swept for each one more who wants to join. */
#define SWEEP_MS 1000u

/**
 * struct group
 * @next:       in its chain, or in the list of free ones
 * @members:    the first; NONE: free
 * @unknown_ms: it has members that are not known, until then
 */
struct group {
	struct mcast_addr addr;
	uint32_t vlan, next, members;
	uint64_t unknown_ms;
};

/**
 * struct grouptable
 * @heads:     chains of groups, a power of two of them, no fewer than groups
 * @shares:    memberships of each port
 * @refill_ms: when it may be swept next for want of room
 */
struct grouptable {
	struct group *groups;
	struct membership *members;
	uint32_t *heads;
	uint32_t max, cnt, mask, free_group, free_member;
	uint32_t shares[GROUPTABLE_PORTS];
	uint64_t refill_ms;
	struct keyhash hash;
};

struct grouptable *grouptable_new(unsigned max)
{
	struct grouptable *t = calloc(1, sizeof(*t));
	uint32_t chains = 64;

	assert(max);
	if (!t)
		return NULL;
	while (chains < max)
		chains *= 2;
	t->max = max;
	t->mask = chains - 1;
	t->groups = calloc(max, sizeof(*t->groups));
	t->members = calloc(max, sizeof(*t->members));
	t->heads = malloc(chains * sizeof(*t->heads));
	if (!t->groups || !t->members || !t->heads) {
		grouptable_free(t);
		return NULL;
	}
	keyhash_init(&t->hash);
	grouptable_clear(t);
	return t;
}

void grouptable_free(struct grouptable *t)
{
	if (!t)
		return;
	free(t->groups);
	free(t->members);
	free(t->heads);
	free(t);
}

void grouptable_clear(struct grouptable *t)
{
	for (uint32_t i = 0; i <= t->mask; i++)
		t->heads[i] = NONE;
	for (uint32_t i = 0; i < t->max; i++) {
		t->groups[i].members = NONE;
		t->groups[i].next = i + 1 < t->max ? i + 1 : NONE;
		t->members[i].next = i + 1 < t->max ? i + 1 : NONE;
	}
	memset(t->shares, 0, sizeof(t->shares));
	t->free_group = t->free_member = 0;
	t->cnt = 0;
	t->refill_ms = 0;
}

/* ---------------------------------------------------------------------- finding */

static uint32_t chain_of(const struct grouptable *t, const struct mcast_addr *addr, unsigned vlan)
{
	uint64_t half[2], h;

	memcpy(half, addr->bytes, sizeof(half));
	h = keyhash_mix(&t->hash, half[0]);
	h = keyhash_mix(&t->hash, h ^ half[1]);
	h = keyhash_mix(&t->hash, h ^ (vlan << 1 | addr->is_ip6));
	return (uint32_t)h & t->mask;
}

static bool is_it(const struct group *g, const struct mcast_addr *addr, unsigned vlan)
{
	return g->vlan == vlan && g->addr.is_ip6 == addr->is_ip6 &&
	       memcmp(g->addr.bytes, addr->bytes, sizeof(addr->bytes)) == 0;
}

static uint32_t find(const struct grouptable *t, const struct mcast_addr *addr, unsigned vlan)
{
	uint32_t i = t->heads[chain_of(t, addr, vlan)];

	while (i != NONE && !is_it(&t->groups[i], addr, vlan))
		i = t->groups[i].next;
	return i;
}

/* The member of group @g that is port @port; NONE: there is none. */
static uint32_t find_member(const struct grouptable *t, uint32_t g, unsigned port)
{
	uint32_t i = t->groups[g].members;

	while (i != NONE && t->members[i].port != port)
		i = t->members[i].next;
	return i;
}

enum group_known grouptable_members(const struct grouptable *t, const struct mcast_addr *group,
				    unsigned vlan, uint64_t now_ms, struct port_set *set)
{
	uint32_t g = find(t, group, vlan);
	bool some = false;

	if (g == NONE)
		return GROUP_NONE;
	for (uint32_t i = t->groups[g].members; i != NONE; i = t->members[i].next) {
		if (t->members[i].until_ms <= now_ms)
			continue;
		port_set_add(set, t->members[i].port);
		some = true;
	}
	if (t->groups[g].unknown_ms > now_ms)
		return GROUP_PARTLY;
	return some ? GROUP_WHOLE : GROUP_NONE;
}

struct membership *grouptable_find(struct grouptable *t, const struct mcast_addr *group,
				   unsigned vlan, unsigned port, uint64_t now_ms)
{
	uint32_t g = find(t, group, vlan), i;

	if (g == NONE)
		return NULL;
	i = find_member(t, g, port);
	return i != NONE && t->members[i].until_ms > now_ms ? &t->members[i] : NULL;
}

void grouptable_edit(struct grouptable *t, const struct mcast_addr *group, unsigned vlan,
		     uint64_t now_ms, void (*row)(void *opaque, struct membership *m), void *opaque)
{
	uint32_t g = find(t, group, vlan);

	if (g == NONE)
		return;
	for (uint32_t i = t->groups[g].members; i != NONE; i = t->members[i].next)
		if (t->members[i].until_ms > now_ms)
			row(opaque, &t->members[i]);
}

/* ------------------------------------------------------------------- forgetting */

static void group_free(struct grouptable *t, uint32_t g)
{
	struct group *group = &t->groups[g];
	uint32_t *link = &t->heads[chain_of(t, &group->addr, group->vlan)];

	while (*link != g)
		link = &t->groups[*link].next;
	*link = group->next;
	group->next = t->free_group;
	t->free_group = g;
}

static void member_free(struct grouptable *t, uint32_t i)
{
	struct membership *m = &t->members[i];

	t->shares[m->port]--;
	t->cnt--;
	m->next = t->free_member;
	t->free_member = i;
}

/* Forget members of a group that are over, or of a port; a group without any goes, too. */
static void prune(struct grouptable *t, uint32_t g, uint64_t now_ms, unsigned port)
{
	uint32_t *link = &t->groups[g].members;

	if (*link == NONE)
		return;
	while (*link != NONE) {
		uint32_t i = *link;
		struct membership *m = &t->members[i];

		if (m->until_ms > now_ms && m->port != port) {
			link = &m->next;
			continue;
		}
		*link = m->next;
		member_free(t, i);
	}
	if (t->groups[g].members == NONE)
		group_free(t, g);
}

void grouptable_sweep(struct grouptable *t, uint64_t now_ms)
{
	for (uint32_t g = 0; g < t->max && t->cnt; g++)
		prune(t, g, now_ms, GROUPTABLE_PORTS);
}

void grouptable_forget(struct grouptable *t, unsigned port)
{
	for (uint32_t g = 0; g < t->max && t->shares[port]; g++)
		prune(t, g, 0, port);
}

/* ---------------------------------------------------------------------- joining */

/* Of the room that the others leave, one port has half at most. */
static bool has_room(const struct grouptable *t, unsigned port)
{
	return t->shares[port] + 1 <= t->max - t->cnt;
}

static bool make_room(struct grouptable *t, unsigned port, uint64_t now_ms)
{
	if (has_room(t, port))
		return true;
	if (now_ms < t->refill_ms)
		return false;
	t->refill_ms = now_ms + SWEEP_MS;
	grouptable_sweep(t, now_ms);
	return has_room(t, port);
}

/* There are no more groups than members, so there is one. */
static uint32_t group_new(struct grouptable *t, const struct mcast_addr *addr, unsigned vlan)
{
	uint32_t *head = &t->heads[chain_of(t, addr, vlan)], g = t->free_group;

	assert(g != NONE);
	t->free_group = t->groups[g].next;
	t->groups[g] =
		(struct group) { .addr = *addr, .vlan = vlan, .next = *head, .members = NONE };
	*head = g;
	return g;
}

static void member_new(struct grouptable *t, uint32_t g, unsigned port, uint64_t until_ms)
{
	uint32_t i = t->free_member;

	assert(i != NONE);
	t->free_member = t->members[i].next;
	t->members[i] = (struct membership) {
		.until_ms = until_ms,
		.next = t->groups[g].members,
		.port = (uint16_t)port,
	};
	t->groups[g].members = i;
	t->shares[port]++;
	t->cnt++;
}

bool grouptable_join(struct grouptable *t, const struct mcast_addr *group, unsigned vlan,
		     unsigned port, uint64_t until_ms, uint64_t now_ms)
{
	uint32_t g = find(t, group, vlan);
	uint32_t i = g == NONE ? NONE : find_member(t, g, port);

	if (i != NONE) {
		struct membership *m = &t->members[i];

		if (m->until_ms < until_ms)
			m->until_ms = until_ms;
		m->left = false;
		return true;
	}
	if (!make_room(t, port, now_ms)) {
		g = find(t, group, vlan); /* perhaps it was swept */
		if (g != NONE && t->groups[g].unknown_ms < until_ms)
			t->groups[g].unknown_ms = until_ms;
		return false;
	}
	g = find(t, group, vlan);
	member_new(t, g == NONE ? group_new(t, group, vlan) : g, port, until_ms);
	return true;
}

/* ---------------------------------------------------------------------- looking */

unsigned grouptable_cnt(const struct grouptable *t)
{
	return t->cnt;
}

unsigned grouptable_max(const struct grouptable *t)
{
	return t->max;
}

void grouptable_each(const struct grouptable *t, uint64_t now_ms,
		     void (*row)(void *opaque, const struct mcast_addr *group, unsigned vlan,
				 const struct membership *m),
		     void *opaque)
{
	for (uint32_t g = 0; g < t->max; g++)
		for (uint32_t i = t->groups[g].members; i != NONE; i = t->members[i].next)
			if (t->members[i].until_ms > now_ms)
				row(opaque, &t->groups[g].addr, t->groups[g].vlan, &t->members[i]);
}
