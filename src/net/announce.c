/* SPDX-License-Identifier: MIT */
/*
 * Frames that tell a network where a guest is now.
 *
 * What the guest may do wrong
 *   Anything: its frames may lie in memory that it changes meanwhile, and in
 *   pieces of any size. What may be of interest is copied once, checked in
 *   the copy, and taken from there. It can have announced what it could
 *   have sent by itself, and no more addresses than there is room for.
 */
#include "net/announce.h"

#include <assert.h>
#include <linux/if_arp.h>
#include <linux/if_ether.h>
#include <netinet/in.h>
#include <string.h>

#include "base/iov.h"
#include "net/checksum.h"
#include "net/packet.h"

struct eth_hdr {
	uint8_t dst[6], src[6], type[2];
};

struct arp_frame {
	struct eth_hdr eth;
	uint8_t htype[2], ptype[2], hlen, plen, op[2];
	uint8_t sha[6], spa[4], tha[6], tpa[4];
};

struct nd_frame {
	struct eth_hdr eth;
	uint8_t ver_class_flow[4], plen[2], next, hops;
	uint8_t src[16], dst[16];
	uint8_t type, code, csum[2], flags[4];
	/* a router advertisement has other things here */
	uint8_t target[16];
};

struct advert_frame {
	struct nd_frame nd;
	uint8_t opt_type, opt_len8, opt_mac[6];
};

static_assert(sizeof(struct arp_frame) == 42, "no padding");
static_assert(sizeof(struct nd_frame) == 78 && sizeof(struct advert_frame) == 86, "no padding");
static_assert(sizeof(struct advert_frame) <= ANNOUNCE_FRAME_MAX, "the longest frame");

enum {
	FRAME_MIN = 60,
	ND_AT = 54, /* in struct nd_frame: ICMPv6 */
	ND_HOPS = 255,
	ND_ROUTER_ADVERT = 134,
	ND_SOLICIT = 135,
	ND_ADVERT = 136,
	ND_OPT_TARGET_MAC = 2,
};

/* flags in the first byte of an advertisement */
#define ND_ROUTER 0x80u
#define ND_OVERRIDE 0x20u

static_assert(offsetof(struct nd_frame, type) == ND_AT, "ICMPv6 follows IPv6");

static const uint8_t broadcast_mac[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
static const uint8_t all_nodes_mac[6] = { 0x33, 0x33, 0, 0, 0, 1 };
static const uint8_t all_nodes[16] = { 0xff, 0x02, [15] = 1 };

/* ------------------------------------------------------------------ learning */

static bool is_unicast_mac(const uint8_t mac[6])
{
	static const uint8_t none[6];

	return !(mac[0] & 1) && memcmp(mac, none, sizeof(none)) != 0;
}

static bool is_unicast4(const uint8_t ip[4])
{
	return ip[0] != 0 && ip[0] != 127 && ip[0] < 224;
}

static bool is_unicast6(const uint8_t ip[16])
{
	static const uint8_t low[15]; /* of :: and ::1 */

	return ip[0] != 0xff && (memcmp(ip, low, sizeof(low)) != 0 || ip[15] > 1);
}

/* The last place is for an address that is at @at already, or else new. Return: where it is. */
static unsigned renew(void *table, size_t size, unsigned *cnt, unsigned at)
{
	uint8_t *entry = table;

	if (at == *cnt && *cnt < ANNOUNCE_ADDRS_MAX)
		return (*cnt)++;
	if (at == *cnt)
		at = 0; /* the oldest goes */
	memmove(entry + at * size, entry + (at + 1) * size, (*cnt - 1 - at) * size);
	return *cnt - 1;
}

static void learn4(struct announce *a, const uint8_t ip[4], const uint8_t mac[6])
{
	unsigned at = 0;
	struct announce_ip4 *e;

	if (!is_unicast4(ip) || !is_unicast_mac(mac))
		return;
	while (at < a->ip4_cnt && memcmp(a->ip4[at].ip, ip, sizeof(e->ip)) != 0)
		at++;
	e = &a->ip4[renew(a->ip4, sizeof(*e), &a->ip4_cnt, at)];
	memcpy(e->ip, ip, sizeof(e->ip));
	memcpy(e->mac, mac, sizeof(e->mac));
}

/* @router: 1: it is one, 0: it is none, -1: it did not say. */
static void learn6(struct announce *a, const uint8_t ip[16], const uint8_t mac[6], int router)
{
	bool was = false;
	unsigned at = 0;
	struct announce_ip6 *e;

	if (!is_unicast6(ip) || !is_unicast_mac(mac))
		return;
	while (at < a->ip6_cnt && memcmp(a->ip6[at].ip, ip, sizeof(e->ip)) != 0)
		at++;
	if (at < a->ip6_cnt)
		was = a->ip6[at].is_router;
	e = &a->ip6[renew(a->ip6, sizeof(*e), &a->ip6_cnt, at)];
	memcpy(e->ip, ip, sizeof(e->ip));
	memcpy(e->mac, mac, sizeof(e->mac));
	e->is_router = router < 0 ? was : router;
}

static void learn_arp(struct announce *a, const struct vmtap_frame *frame)
{
	struct arp_frame f;
	unsigned op;

	if (iov_read(frame->iov, frame->iov_cnt, 0, &f, sizeof(f)) < sizeof(f))
		return;
	op = get_be16(f.op);
	if (get_be16(f.eth.type) == ETH_P_ARP && get_be16(f.htype) == ARPHRD_ETHER &&
	    get_be16(f.ptype) == ETH_P_IP && f.hlen == sizeof(f.sha) && f.plen == sizeof(f.spa) &&
	    (op == ARPOP_REQUEST || op == ARPOP_REPLY))
		learn4(a, f.spa, f.sha);
}

static void learn_nd(struct announce *a, const struct vmtap_frame *frame)
{
	struct nd_frame f = { 0 };
	size_t len = iov_read(frame->iov, frame->iov_cnt, 0, &f, sizeof(f));

	if (len < ND_AT + 16 || get_be16(f.eth.type) != ETH_P_IPV6 ||
	    f.ver_class_flow[0] >> 4 != 6 || f.next != IPPROTO_ICMPV6 || f.hops != ND_HOPS ||
	    f.code)
		return;
	if (get_be16(f.plen) > frame->len - ND_AT)
		return;
	if (f.type == ND_ROUTER_ADVERT && get_be16(f.plen) >= 16)
		learn6(a, f.src, f.eth.src, 1);
	if (len < sizeof(f) || get_be16(f.plen) < sizeof(f) - ND_AT)
		return;
	if (f.type == ND_SOLICIT)
		learn6(a, f.src, f.eth.src, -1);
	else if (f.type == ND_ADVERT)
		learn6(a, f.target, f.eth.src, !!(f.flags[0] & ND_ROUTER));
}

void announce_learn(struct announce *a, const struct vmtap_frame *frame)
{
	uint8_t head[21]; /* up to the next header of IPv6 */

	if (iov_read(frame->iov, frame->iov_cnt, 0, head, sizeof(head)) < sizeof(head))
		return;
	switch (get_be16(head + offsetof(struct eth_hdr, type))) {
	case ETH_P_ARP:
		learn_arp(a, frame);
		break;
	case ETH_P_IPV6:
		if (head[offsetof(struct nd_frame, next)] == IPPROTO_ICMPV6)
			learn_nd(a, frame);
		break;
	}
}

/* --------------------------------------------------------------- announcing */

static void put_eth(struct eth_hdr *eth, const uint8_t dst[6], const uint8_t src[6], uint16_t type)
{
	memcpy(eth->dst, dst, sizeof(eth->dst));
	memcpy(eth->src, src, sizeof(eth->src));
	put_be16(eth->type, type);
}

static unsigned put_arp(uint8_t *buf, const struct arp_frame *f)
{
	memset(buf, 0, FRAME_MIN);
	memcpy(buf, f, sizeof(*f));
	return FRAME_MIN;
}

static void arp_begin(struct arp_frame *f, const uint8_t mac[6], uint16_t type, uint16_t op)
{
	put_eth(&f->eth, broadcast_mac, mac, type);
	put_be16(f->htype, ARPHRD_ETHER);
	put_be16(f->ptype, ETH_P_IP);
	f->hlen = sizeof(f->sha);
	f->plen = sizeof(f->spa);
	put_be16(f->op, op);
	memcpy(f->sha, mac, sizeof(f->sha));
}

static unsigned rarp_frame(const uint8_t mac[6], uint8_t *buf)
{
	struct arp_frame f = { 0 };

	arp_begin(&f, mac, ETH_P_RARP, ARPOP_RREQUEST);
	memcpy(f.tha, mac, sizeof(f.tha));
	return put_arp(buf, &f);
}

static unsigned arp_frame(const struct announce_ip4 *e, uint8_t *buf)
{
	struct arp_frame f = { 0 };

	arp_begin(&f, e->mac, ETH_P_ARP, ARPOP_REQUEST);
	memcpy(f.spa, e->ip, sizeof(f.spa));
	memcpy(f.tpa, e->ip, sizeof(f.tpa));
	return put_arp(buf, &f);
}

static void put_csum6(struct advert_frame *f)
{
	const uint16_t len = sizeof(*f) - ND_AT;
	struct csum sum = { 0 };
	uint16_t csum;

	csum_add(&sum, f->nd.src, sizeof(f->nd.src));
	csum_add(&sum, f->nd.dst, sizeof(f->nd.dst));
	csum_add16(&sum, len);
	csum_add16(&sum, IPPROTO_ICMPV6);
	csum_add(&sum, (const uint8_t *)f + ND_AT, len);
	csum = csum_final(&sum);
	memcpy(f->nd.csum, &csum, sizeof(csum));
}

static unsigned advert_frame(const struct announce_ip6 *e, uint8_t *buf)
{
	struct advert_frame f = { 0 };

	put_eth(&f.nd.eth, all_nodes_mac, e->mac, ETH_P_IPV6);
	f.nd.ver_class_flow[0] = 6 << 4;
	put_be16(f.nd.plen, sizeof(f) - ND_AT);
	f.nd.next = IPPROTO_ICMPV6;
	f.nd.hops = ND_HOPS;
	memcpy(f.nd.src, e->ip, sizeof(f.nd.src));
	memcpy(f.nd.dst, all_nodes, sizeof(f.nd.dst));
	f.nd.type = ND_ADVERT;
	f.nd.flags[0] = (uint8_t)(ND_OVERRIDE | (e->is_router ? ND_ROUTER : 0));
	memcpy(f.nd.target, e->ip, sizeof(f.nd.target));
	f.opt_type = ND_OPT_TARGET_MAC;
	f.opt_len8 = 1;
	memcpy(f.opt_mac, e->mac, sizeof(f.opt_mac));
	put_csum6(&f);
	memcpy(buf, &f, sizeof(f));
	return sizeof(f);
}

unsigned announce_frame(const struct announce *a, const uint8_t mac[6], unsigned index,
			uint8_t *buf)
{
	if (!index--)
		return rarp_frame(mac, buf);
	for (unsigned i = 0; i < a->ip4_cnt; i++)
		if (memcmp(a->ip4[i].mac, mac, 6) == 0 && !index--)
			return arp_frame(&a->ip4[i], buf);
	for (unsigned i = 0; i < a->ip6_cnt; i++)
		if (memcmp(a->ip6[i].mac, mac, 6) == 0 && !index--)
			return advert_frame(&a->ip6[i], buf);
	return 0;
}
