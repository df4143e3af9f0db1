/* SPDX-License-Identifier: MIT */
/* Host interfaces through rtnetlink: what one is, and changing it. */
#ifndef TAPDEV_NETLINK_H
#define TAPDEV_NETLINK_H

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

/** enum nl_port_state - As BR_STATE_* of <linux/if_bridge.h>. */
enum nl_port_state {
	NL_PORT_DISABLED,
	NL_PORT_LISTENING,
	NL_PORT_LEARNING,
	NL_PORT_FORWARDING,
	NL_PORT_BLOCKING,
};

/** struct nl_link - What the kernel says of an interface (RTM_NEWLINK, rtnetlink(7)). */
struct nl_link {
	int index;
	int master; /* index of the bridge it is a port of; 0: none */
	unsigned flags;
	unsigned mtu;
	char kind[16]; /* "tun", "bridge", "macvtap", … or "" */
	uint8_t mac[6];
	bool carrier; /* a TAP: it is open somewhere */
	char name[IFNAMSIZ];
	char alias[256];
	int parent; /* index of the interface that it is on top of (IFLA_LINK); 0: none */
	struct {
		uint64_t rx_packets, rx_bytes, rx_dropped, tx_packets, tx_bytes, tx_dropped;
	} stats;
	/* of kind "tun" */
	struct {
		bool tap; /* layer 2 */
		bool pi;  /* frames carry the packet-information prefix */
		bool vnet_hdr, persist, multi_queue;
		unsigned queues, detached_queues; /* of a multi-queue device */
		int64_t owner, group;		  /* -1: nobody in particular */
	} tun;
	/* of kind "bridge" */
	struct {
		bool stp, mcast_snooping, mcast_querier, other_querier6;
		bool nf_iptables, nf_ip6tables, nf_arptables;
	} bridge;
	/* of a bridge's port: enum nl_port_state; -1: it is none */
	int port_state;
	unsigned macvlan_mode; /* of kind "macvlan" and "macvtap": MACVLAN_MODE_* */
};

/** struct nl_change - What to set; what is 0, NULL or false stays. */
struct nl_change {
	unsigned mtu;
	const uint8_t *mac; /* 6 bytes */
	int master;	    /* index */
	const char *alias;
	bool up, down;
	bool all_multicast; /* take every multicast frame (IFF_ALLMULTI) */
};

/** nl_link_get() - Return: 0, -ENODEV when there is none of that name, or another -errno. */
int nl_link_get(const char *ifname, struct nl_link *link);

/** nl_may_change() - May we change interfaces at all (CAP_NET_ADMIN over this network namespace)?
 *  Return: 0, -EPERM, or another -errno. */
int nl_may_change(void);

/** nl_link_change() - All or nothing of what the kernel does in one request. Return: 0 or -errno. */
int nl_link_change(int ifindex, const struct nl_change *change);

/** nl_link_each() - Call @each for every interface, until it returns other than 0.
 *  Return: 0, what @each returned, or -errno. */
int nl_link_each(int (*each)(void *ctx, const struct nl_link *link), void *ctx);

/** nl_link_name() - The name of an index; "" when there is none. */
void nl_link_name(int ifindex, char name[IFNAMSIZ]);

/** nl_macvtap_new() - Make a macvtap of that name on the interface @parent.
 *  @mode: MACVLAN_MODE_*. Return: 0, -EEXIST when the name is taken, or another -errno. */
int nl_macvtap_new(const char *ifname, int parent, unsigned mode);

/** nl_link_delete() - Return: 0 or -errno. */
int nl_link_delete(int ifindex);

#endif
