/* SPDX-License-Identifier: MIT */
/*
 * IGMP and MLD snooping: to which ports of a switch does a frame to a group go? (RFC 4541)
 *
 * Model
 *   Ports report what groups they are in, as *queriers* have them do again and again. While a querier is there, a
 *   group's frames go to its members and to *router ports*: those behind which there are queriers or other
 *   routers of multicast. Reports go to router ports, or where there are none, to all. Without a querier
 *   nobody repeats what he reported, so everything goes to all; we are no querier ourselves. All of that is
 *   kept by VLAN, and for IPv4 and IPv6 apart.
 *
 *   What is in a group but was not asked yet must not lose its frames: until a query was answered, everything
 *   goes to all, and to a port that came since, everything goes.
 *
 * Time
 *   A membership that is not repeated ends after 260 s, or later when the querier says that it asks less often. It
 *   does not end sooner: hosts cannot tell who asks, so any port could have all the others' memberships end. A
 *   port that leaves stays a member while the querier may ask who else there is in the group. Times are
 *   milliseconds of the caller's clock; they do not wrap.
 *
 * What the peer may do wrong
 *   An isolated port is not heard by the others of its kind, so what it asks ends no membership and makes
 *   nobody a non-member; it is a router port for itself only. What finds no room in the tables goes to all, and is
 *   counted.
 */
#ifndef NET_SNOOP_H
#define NET_SNOOP_H

#include <stdbool.h>
#include <stdint.h>

#include "net/grouptable.h"
#include "net/mcast.h"

struct snoop;

enum snoop_way {
	SNOOP_ALL,  /* to all ports */
	SNOOP_SOME, /* to those in the set */
};

/** struct snoop_place - Where a frame comes in. @port: 0..GROUPTABLE_PORTS - 1; @vlan: 0..4094 */
struct snoop_place {
	unsigned port, vlan;
	bool isolated;
};

/**
 * struct snoop_counts
 * @members: frames that went to members of their group and router ports
 * @routers: frames to groups that nobody is in, to router ports only
 * @reports, @queries: that were used
 * @unfit:   memberships and router ports that found no room
 */
struct snoop_counts {
	uint64_t members, routers, reports, queries, unfit;
};

/** snoop_new() - @max: memberships, at least 1. Return: owned; NULL: out of memory. */
struct snoop *snoop_new(unsigned max);
void snoop_free(struct snoop *s);

/** snoop_port_came() - Somebody is at a port, of whom nothing is known. @flood: all groups go to it. */
void snoop_port_came(struct snoop *s, unsigned port, bool flood, uint64_t now_ms);
/** snoop_port_left() - Forget all about it. */
void snoop_port_left(struct snoop *s, unsigned port);
/** snoop_clear() - Forget all that was learned; the ports are as if they had just come. */
void snoop_clear(struct snoop *s, uint64_t now_ms);

/** snoop_take() - Learn from a message, and say where it goes. It is used up. */
enum snoop_way snoop_take(struct snoop *s, const struct snoop_place *from, struct mcast_msg *msg,
			  uint64_t now_ms, struct port_set *to);

/** snoop_sweep() - Make room; every few seconds will do. Return: whether there is more to come. */
bool snoop_sweep(struct snoop *s, uint64_t now_ms);

const struct snoop_counts *snoop_counts(const struct snoop *s);
unsigned snoop_memberships(const struct snoop *s);
unsigned snoop_memberships_max(const struct snoop *s);

typedef void snoop_row(void *opaque, const struct mcast_addr *group, unsigned vlan,
		       const struct membership *m);

/** snoop_each_member() - The members of a group together. @row may not change anything. */
void snoop_each_member(const struct snoop *s, uint64_t now_ms, snoop_row *row, void *opaque);
/** snoop_each_router() - Router ports; of @group only is_ip6 says something. */
void snoop_each_router(const struct snoop *s, uint64_t now_ms, snoop_row *row, void *opaque);

/** struct snoop_querier - @addr: who asked last, at @port */
struct snoop_querier {
	struct mcast_addr addr;
	unsigned port;
};

/** snoop_querier() - Who asks in a VLAN. Return: false: nobody does. */
bool snoop_querier(const struct snoop *s, unsigned vlan, bool is_ip6, uint64_t now_ms,
		   struct snoop_querier *q);
/** snoop_queriers() - In how many VLANs somebody asks, those of IPv4 and of IPv6 counted apart. */
unsigned snoop_queriers(const struct snoop *s, uint64_t now_ms);

#endif
