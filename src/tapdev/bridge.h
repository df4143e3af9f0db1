/* SPDX-License-Identifier: MIT */
/*
 * Interfaces and bridges through ioctls, mostly: one a function, no policy, no texts.
 * For the privileged helper, which is to know as little as it can; everybody
 * else has tapdev/netlink.h. netdevice(7), linux/sockios.h.
 *
 * @sock: any socket. Return: 0 or -errno where nothing else is said.
 */
#ifndef TAPDEV_BRIDGE_H
#define TAPDEV_BRIDGE_H

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

/** netif_index() - Return: index of the interface of that name or alternative name, or -errno. */
int netif_index(int sock, const char *ifname);

/** netif_name() - The name proper of an interface, which no alternative name is. */
int netif_name(int sock, int ifindex, char ifname[IFNAMSIZ]);

/** netif_mtu() - Return: bytes, or -errno. */
int netif_mtu(int sock, const char *ifname);

int netif_set_mtu(int sock, const char *ifname, int mtu);
int netif_mac(int sock, const char *ifname, uint8_t mac[6]);
int netif_set_mac(int sock, const char *ifname, const uint8_t mac[6]);
int netif_set_up(int sock, const char *ifname);

/** netif_rename() - -EEXIST: something has that name or alternative name. */
int netif_rename(int sock, const char *from, const char *to);

/** netif_set_alias() - Its alias, 1 to 255 characters; by netlink, as no ioctl sets it. */
int netif_set_alias(int ifindex, const char *alias);

/** bridge_is() - Is that interface a bridge of the kernel's? */
bool bridge_is(int sock, const char *ifname);

/** bridge_add() - Make the interface a port of the bridge. */
int bridge_add(int sock, const char *bridge, int ifindex);

#endif
