/* SPDX-License-Identifier: MIT */
/*
 * Whose frames may enter by a port: addresses, and whether a frame claims others.
 *
 * What is looked at
 *   With MAC addresses, those that a frame names as its sender's: the Ethernet source, the sender's hardware
 *   address of ARP and RARP, and the link-layer addresses in IPv6 neighbour discovery.
 *   With IP addresses: the source of IPv4 and IPv6, the sender's protocol address of ARP, and the target of
 *   neighbour advertisements, and of the solicitations that ask whether an address is free.
 *   Both behind VLAN tags and LLC/SNAP, in each fragment, and behind extension headers.
 *
 * What is permitted besides the addresses
 *   IPv4 0.0.0.0: in ARP (a probe), to 255.255.255.255 from UDP port 68 to 67 (DHCP), and for IGMP.
 *   IPv6: the link-local address made of a permitted MAC address (EUI-64), or of the frame's own source
 *   where all are. From "::" neighbour and router solicitations and MLD reports.
 *   Everything that is neither IP nor ARP: this is about addresses, not about protocols.
 *
 * What the peer may do wrong
 *   Frames that are too short or too contorted to tell are not permitted, nor those whose virtio-net header
 *   has a checksum written over what was looked at. The frame may change while it is read: what is in
 *   @h->buf afterwards was looked at, and is what must go on.
 */
#ifndef FILTER_SENDERS_H
#define FILTER_SENDERS_H

#include "net/packet.h"

/** Most addresses of a kind. */
#define SENDERS_MAX 64

struct senders_ip4 {
	uint32_t addr, mask;
};

struct senders_ip6 {
	uint8_t addr[16];
	unsigned bits;
};

/** struct senders - No MAC address: all are permitted; the same for IP addresses of both versions together. */
struct senders {
	unsigned mac_cnt, ip4_cnt, ip6_cnt;
	uint8_t macs[SENDERS_MAX][6];
	struct senders_ip4 ip4[SENDERS_MAX];
	struct senders_ip6 ip6[SENDERS_MAX];
};

/** Room for the reason that an address is refused, and its NUL. */
#define SENDERS_WHY_MAX 128

/** senders_add_macs(), senders_add_ips() - Addresses joined by '+'; IP addresses may have a prefix length
 *  behind a '/'. Return: 0, or -EINVAL and @why. */
int senders_add_macs(struct senders *s, const char *text, char why[SENDERS_WHY_MAX]);
int senders_add_ips(struct senders *s, const char *text, char why[SENDERS_WHY_MAX]);

/** senders_permit() - May the frame of @h, of which nothing was copied yet, enter? */
bool senders_permit(const struct senders *s, struct head *h);

#endif
