/* SPDX-License-Identifier: MIT */
/* Host interfaces through rtnetlink: what one is, and changing it. */
#ifndef TAPDEV_NETLINK_H
#define TAPDEV_NETLINK_H

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

/** struct nl_link - What the kernel says of an interface (RTM_NEWLINK, rtnetlink(7)). */
struct nl_link {
	int index;
	int master; /* index of the bridge it is a port of; 0: none */
	unsigned flags;
	unsigned mtu;
	char kind[16]; /* "tun", "bridge", "macvtap", … or "" */
	uint8_t mac[6];
	/* of kind "tun" */
	struct {
		bool tap; /* layer 2 */
		bool vnet_hdr, persist, multi_queue;
		unsigned queues, detached_queues;
		int64_t owner, group; /* -1: nobody in particular */
	} tun;
};

/** struct nl_change - What to set; what is 0, NULL or false stays. */
struct nl_change {
	unsigned mtu;
	const uint8_t *mac; /* 6 bytes */
	int master;	    /* index */
	bool up, down;
};

/** nl_link_get() - Return: 0, -ENODEV when there is none of that name, or another -errno. */
int nl_link_get(const char *ifname, struct nl_link *link);

/** nl_link_change() - All or nothing of what the kernel does in one request. Return: 0 or -errno. */
int nl_link_change(int ifindex, const struct nl_change *change);

#endif
