/* SPDX-License-Identifier: MIT */
/*
 * A switch: any number of ports joined.
 *
 * Model
 *   Addresses are learned where frames come from, and a frame goes to the port behind which its
 *   destination is; what is not known, and groups, go to all (a *flood*), groups with snooping only to
 *   those who asked for them (net/snoop.h). As a hub, everything does. Who
 *   may talk to whom is said by each port's *place*: isolated ports reach only those that are not, and
 *   VLANs divide the switch; ports with neither vlan nor trunk are a LAN of their own in which tags mean
 *   nothing.
 *
 * Back-pressure
 *   There is none: a switch takes what it is offered. Each port has a bounded queue for what it
 *   cannot take at once, and what does not fit there is dropped and counted at that port, so that a slow
 *   one holds up nobody. Of the room that is left in a queue, one sender gets half at most.
 *
 * Offloads
 *   Each port is told what any of the others takes; for those that do not take it, it is finished in
 *   software.
 *
 * Re-entrance
 *   A receiver may send from inside its receive function. The answers go on at once; what follows from
 *   those is held and resumed from the loop, so that the stack is bounded. One offer does a
 *   bounded amount of work, also where frames run in circles.
 *
 * Threads
 *   env->loop moves all frames; each port has one lane.
 */
#ifndef NET_SWITCH_H
#define NET_SWITCH_H

#include "net/mcast.h"
#include "net/port.h"
#include "net/vlan.h"

struct net_switch;

/** Ports that a switch has at most. */
#define SWITCH_PORTS_MAX 256u

/**
 * struct switch_config - What a switch is made with
 * @max_macs: addresses that it knows at most, 1 or more
 * @snooping: IGMP and MLD; not for a hub
 * @max_memberships: that snooping knows at most, 1 or more
 * @age_s: seconds after which an address that is silent is forgotten; 0: never
 * @queue_frames, @queue_bytes: that wait for a port at most; bytes FRAMEQ_SIZE_MIN or more
 */
struct switch_config {
	bool hub, snooping;
	unsigned max_macs, max_memberships, age_s, queue_frames;
	uint32_t queue_bytes;
};

/**
 * struct switch_place - What a port may do there
 * @vlan: frames without tag are in that VLAN, and it leaves without tag; 0: none
 * @mcast_flood: with snooping, all groups go there
 * @trunk: frames with a tag of those in @trunk_ids, a bit each, enter and leave as they are
 */
struct switch_place {
	bool isolated, trunk, mcast_flood;
	uint16_t vlan;
	uint8_t trunk_ids[(VLAN_ID_MAX + 2) / 8];
};

/** switch_new() - @env is that of all its ports. Return: owned; NULL and @err. */
struct net_switch *switch_new(const struct port_env *env, const char *name,
			      const struct switch_config *config, struct vmtap_error *err);

/** switch_close() - Part all ports; the memory stays until switch_free(). Any number of times. */
void switch_close(struct net_switch *sw);
bool switch_is_closed(const struct net_switch *sw);
/** switch_free() - Close and free; not from inside a call into it. NULL is fine. */
void switch_free(struct net_switch *sw);

const char *switch_name(const struct net_switch *sw);

/** switch_add() - Join @p, which is joined to nothing, and start it. @place is copied.
 *  Return: 0 or -errno and @err. */
int switch_add(struct net_switch *sw, struct port *p, const struct switch_place *place,
	       struct vmtap_error *err);
/** switch_remove() - Part it; what waits for it is dropped. Return: 0; -ENOENT: it is no port of @sw. */
int switch_remove(struct net_switch *sw, struct port *p);

void switch_stats(const struct net_switch *sw, struct vmtap_switch_stats *stats);

/** switch_each_port() - In the order in which they came. @row may not change the switch. */
void switch_each_port(const struct net_switch *sw, void (*row)(void *opaque, struct port *p),
		      void *opaque);
/** switch_each_mac() - Addresses that were learned, in no order. */
void switch_each_mac(const struct net_switch *sw,
		     void (*row)(void *opaque, const uint8_t mac[6], unsigned vlan, struct port *p,
				 uint64_t age_ms),
		     void *opaque);
/** switch_each_group() - What is behind which port: members of groups. @row may not change the switch. */
void switch_each_group(const struct net_switch *sw,
		       void (*row)(void *opaque, const struct mcast_addr *group, unsigned vlan,
				   struct port *p, uint64_t left_ms),
		       void *opaque);
/** switch_each_router() - And routers of multicast; of @querier, only is_ip6 says something unless
 *  @asks: then it is who asked last in that VLAN, and from there. */
void switch_each_router(const struct net_switch *sw,
			void (*row)(void *opaque, const struct mcast_addr *querier, bool asks,
				    unsigned vlan, struct port *p, uint64_t left_ms),
			void *opaque);
/** switch_flush() - Forget all addresses and groups. */
void switch_flush(struct net_switch *sw);

#endif
