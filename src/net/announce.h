/* SPDX-License-Identifier: MIT */
/*
 * Frames that tell a network where a guest is now: RARP for its MAC address,
 * and for addresses that it was seen to use, gratuitous ARP (RFC 5227) and
 * unsolicited neighbour advertisements (RFC 4861, 7.2.6).
 */
#ifndef NET_ANNOUNCE_H
#define NET_ANNOUNCE_H

#include <stdbool.h>
#include <stdint.h>

#include "vmtap/vmtap.h"

/** Addresses that are remembered for each family; the oldest goes first. */
#define ANNOUNCE_ADDRS_MAX 8
/** Bytes of the longest frame that is made. */
#define ANNOUNCE_FRAME_MAX 128

struct announce_ip4 {
	uint8_t ip[4], mac[6];
};

/** @is_router: it said so; an announcement that does not would have hosts drop it as their router. */
struct announce_ip6 {
	uint8_t ip[16], mac[6];
	bool is_router;
};

/**
 * struct announce - What was seen of a guest, the latest last; zero-initialise it
 *
 * A guest may be a bridge, so each address is kept with the MAC address that it was seen with.
 */
struct announce {
	unsigned ip4_cnt, ip6_cnt;
	struct announce_ip4 ip4[ANNOUNCE_ADDRS_MAX];
	struct announce_ip6 ip6[ANNOUNCE_ADDRS_MAX];
};

/** announce_learn() - Look at a frame that the guest sent: ARP (sender address, not of probes) and
 *  neighbour discovery (NS source unless it is tentative, NA target, RA source), neither of them in a
 *  VLAN; everything else costs a comparison or two. */
void announce_learn(struct announce *a, const struct vmtap_frame *frame);

/**
 * announce_frame() - The @index'th frame to be sent for @mac, from 0
 * @buf: room for ANNOUNCE_FRAME_MAX bytes
 * Return: its length, at least 60; 0: there is no such frame.
 */
unsigned announce_frame(const struct announce *a, const uint8_t mac[6], unsigned index,
			uint8_t *buf);

#endif
