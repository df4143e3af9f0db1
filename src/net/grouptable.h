/* SPDX-License-Identifier: MIT */
/*
 * Which ports are in which group.
 *
 * Model
 *   A hash table of groups, each with a list of its members, which are ports by number. There is room for a
 *   fixed number of memberships, all of it made at the start, and one port has at most half of what the
 *   others left: strangers who join millions of groups neither make it grow nor take it all.
 *
 *   A membership ends by itself at a time that the caller says; what is over is not found any more, and makes
 *   room when it is swept. Times are milliseconds of the caller's clock; they do not wrap.
 */
#ifndef NET_GROUPTABLE_H
#define NET_GROUPTABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "net/mcast.h"

/** Ports have numbers below that. */
#define GROUPTABLE_PORTS 256u

struct grouptable;

/** struct port_set - A bit a port */
struct port_set {
	uint64_t bits[GROUPTABLE_PORTS / 64];
};

static inline void port_set_add(struct port_set *s, unsigned port)
{
	s->bits[port / 64] |= 1ull << port % 64;
}

static inline void port_set_del(struct port_set *s, unsigned port)
{
	s->bits[port / 64] &= ~(1ull << port % 64);
}

static inline bool port_set_has(const struct port_set *s, unsigned port)
{
	return s->bits[port / 64] >> port % 64 & 1;
}

/**
 * struct membership - A port in a group
 * @until_ms: when it ends
 * @left:     the port said that it left, and may still be asked whether somebody else there is in it
 */
struct membership {
	uint64_t until_ms;
	uint32_t next;
	uint16_t port;
	bool left;
};

/** grouptable_new() - @max: memberships, at least 1. Return: owned; NULL: out of memory. */
struct grouptable *grouptable_new(unsigned max);
void grouptable_free(struct grouptable *t);

/**
 * grouptable_join() - @port is in @group of VLAN @vlan until then, if it is not for longer already
 *
 * Where it is not a member yet and finds no room, nothing changes, but the group is marked: it has a member that
 * is not known, until @until_ms.
 * Return: false: no room.
 */
bool grouptable_join(struct grouptable *t, const struct mcast_addr *group, unsigned vlan,
		     unsigned port, uint64_t until_ms, uint64_t now_ms);

/** enum group_known - How much is known of a group's members */
enum group_known {
	GROUP_NONE,   /* there are none */
	GROUP_PARTLY, /* there are others, that found no room */
	GROUP_WHOLE,
};

/** grouptable_members() - Add them to @set. */
enum group_known grouptable_members(const struct grouptable *t, const struct mcast_addr *group,
				    unsigned vlan, uint64_t now_ms, struct port_set *set);

/** grouptable_find() - NULL: it is not in it, or not any more. Borrowed until the next change. */
struct membership *grouptable_find(struct grouptable *t, const struct mcast_addr *group,
				   unsigned vlan, unsigned port, uint64_t now_ms);

/** grouptable_edit() - Call @row for each member of a group. */
void grouptable_edit(struct grouptable *t, const struct mcast_addr *group, unsigned vlan,
		     uint64_t now_ms, void (*row)(void *opaque, struct membership *m),
		     void *opaque);

/** grouptable_sweep() - Forget what is over. */
void grouptable_sweep(struct grouptable *t, uint64_t now_ms);
/** grouptable_forget() - Forget all memberships of a port. */
void grouptable_forget(struct grouptable *t, unsigned port);
/** grouptable_clear() - Forget all. */
void grouptable_clear(struct grouptable *t);

/** grouptable_cnt() - Memberships, also those that are over and not swept. */
unsigned grouptable_cnt(const struct grouptable *t);
unsigned grouptable_max(const struct grouptable *t);

/** grouptable_each() - Those that are not over, the members of a group together. @row may not change it. */
void grouptable_each(const struct grouptable *t, uint64_t now_ms,
		     void (*row)(void *opaque, const struct mcast_addr *group, unsigned vlan,
				 const struct membership *m),
		     void *opaque);

#endif
