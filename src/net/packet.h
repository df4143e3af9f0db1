/* SPDX-License-Identifier: MIT */
/*
 * Where the headers of a TCP or UDP packet lie in a frame.
 *
 * What the peer may do wrong
 *   The frame may lie in a guest's memory, in pieces of any size, and change
 *   while it is read. Its headers are therefore copied out once, checked in
 *   the copy and never read again.
 */
#ifndef NET_PACKET_H
#define NET_PACKET_H

#include <arpa/inet.h>
#include <string.h>

#include "vmtap/vmtap.h"

#define ETH_HDR_LEN 14u
#define VLAN_TAG_LEN 4u
#define IP4_HDR_LEN 20u
#define IP6_HDR_LEN 40u
#define TCP_HDR_LEN 20u
#define UDP_HDR_LEN 8u

/** VLAN tags looked behind; Linux follows as many. */
#define PACKET_VLAN_MAX 8u
/** Most bytes that headers together may have. Linux has no limit but the frame's length; no sender
 *  comes near. */
#define PACKET_HEAD_MAX 4096u

/**
 * struct head - The first bytes of a frame, copied
 * @buf: room for PACKET_HEAD_MAX bytes; borrowed
 * @len: bytes copied so far
 */
struct head {
	const struct vmtap_frame *frame;
	uint8_t *buf;
	uint32_t len;
};

/** head_pull() - Have at least @upto bytes copied.
 *  Return: false: the frame or the room is shorter. */
bool head_pull(struct head *h, uint32_t upto);

/**
 * struct packet - Offsets from the frame's first byte
 * @l3:      IPv4 or IPv6 header
 * @l4:      TCP or UDP header
 * @payload: behind that
 * @next:    the byte that says what @l4 is: IPv4's protocol, or a next header of IPv6
 */
struct packet {
	uint32_t l3, l4, payload, next;
	bool is_ip6, is_tcp;
};

/**
 * packet_parse() - Find the headers of a TCP or UDP packet over IPv4 or IPv6
 * @h: bytes up to @p->payload are in @h->buf afterwards
 *
 * Looks behind VLAN tags, IP options and the hop-by-hop, routing and destination headers of IPv6.
 * The IP length must be that of the frame; a fragment is no packet.
 * Return: 0, or -EINVAL.
 */
int packet_parse(struct head *h, struct packet *p);

static inline uint16_t get_be16(const uint8_t *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return ntohs(v);
}

static inline uint32_t get_be32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return ntohl(v);
}

static inline void put_be16(uint8_t *p, uint16_t v)
{
	v = htons(v);
	memcpy(p, &v, sizeof(v));
}

static inline void put_be32(uint8_t *p, uint32_t v)
{
	v = htonl(v);
	memcpy(p, &v, sizeof(v));
}

#endif
