/* SPDX-License-Identifier: MIT */
/*
 * What a host answers: a request's frame in, the reply's frame out.
 *
 * Each protocol has one function that first checks everything it is going to
 * rely on, then builds. Headers are structures of bytes, so that they have no
 * alignment and no padding.
 */
#include "port/responder/reply.h"

#include <arpa/inet.h>
#include <assert.h>
#include <string.h>

#include "net/offload.h"

struct eth_hdr {
	uint8_t dst[6], src[6], type[2];
};

struct arp_pkt {
	uint8_t htype[2], ptype[2], hlen, plen, op[2];
	uint8_t sha[6], spa[4], tha[6], tpa[4];
};

struct ip4_hdr {
	uint8_t ver_ihl, tos, len[2], id[2], frag[2], ttl, proto, csum[2];
	uint8_t src[4], dst[4];
};

struct ip6_hdr {
	uint8_t ver_class_flow[4], plen[2], next, hops;
	uint8_t src[16], dst[16];
};

struct icmp_hdr {
	uint8_t type, code, csum[2], rest[4];
};

/* neighbour solicitation and advertisement */
struct nd_pkt {
	struct icmp_hdr icmp; /* .rest: flags of an advertisement */
	uint8_t target[16];
};

struct nd_opt_mac {
	uint8_t type, len8, mac[6];
};

static_assert(sizeof(struct eth_hdr) == 14, "no padding");
static_assert(sizeof(struct arp_pkt) == 28, "no padding");
static_assert(sizeof(struct ip4_hdr) == 20, "no padding");
static_assert(sizeof(struct ip6_hdr) == 40, "no padding");
static_assert(sizeof(struct nd_pkt) == 24 && sizeof(struct nd_opt_mac) == 8, "no padding");

#define VLAN_TAG_LEN 4

enum {
	ETH_IP4 = 0x0800,
	ETH_ARP = 0x0806,
	ETH_VLAN = 0x8100,
	ETH_IP6 = 0x86dd,
	ARP_ETHER = 1,
	ARP_REQUEST = 1,
	ARP_REPLY = 2,
	IP4_DONT_FRAGMENT = 0x4000,
	IP4_MORE_OR_OFFSET = 0x3fff,
	IP_ICMP = 1,
	IP_FRAGMENT6 = 44,
	IP_ICMP6 = 58,
	ICMP_ECHO = 8,
	ICMP_ECHO_REPLY = 0,
	ICMP6_ECHO = 128,
	ICMP6_ECHO_REPLY = 129,
	ND_SOLICIT = 135,
	ND_ADVERT = 136,
	ND_OPT_SOURCE_MAC = 1,
	ND_OPT_TARGET_MAC = 2,
	ND_HOPS = 255,
	REPLY_HOPS = 64,
};

/* flags in the first byte of an advertisement */
#define ND_SOLICITED 0x40u
#define ND_OVERRIDE 0x20u

static_assert(sizeof(struct eth_hdr) + VLAN_TAG_LEN + sizeof(struct ip6_hdr) +
			      sizeof(struct nd_pkt) + sizeof(struct nd_opt_mac) <=
		      REPLY_ROOM_MIN,
	      "an advertisement is the longest reply that may outgrow its request");

static const uint8_t all_nodes[16] = { 0xff, 0x02, [15] = 1 };
static const uint8_t all_nodes_mac[6] = { 0x33, 0x33, 0, 0, 0, 1 };
static const uint8_t broadcast_mac[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
static const uint8_t unspecified[16];
/* ff02::1:ff00:0/104; the address's last three bytes follow */
static const uint8_t solicited_node[13] = { 0xff, 0x02, [11] = 1, [12] = 0xff };

/* --------------------------------------------------------------- small parts */

static uint16_t rd16(const uint8_t b[2])
{
	return (uint16_t)(b[0] << 8 | b[1]);
}

static void wr16(uint8_t b[2], uint16_t v)
{
	b[0] = (uint8_t)(v >> 8);
	b[1] = (uint8_t)v;
}

static bool is_group_mac(const uint8_t mac[6])
{
	return mac[0] & 1;
}

static bool is_unicast4(const uint8_t ip[4])
{
	return ip[0] != 0 && ip[0] != 127 && ip[0] < 224;
}

static bool is_unicast6(const uint8_t ip[16])
{
	return ip[0] != 0xff && memcmp(ip, unspecified, 16) != 0;
}

static bool is_own6(const struct reply_host *h, const uint8_t ip[16])
{
	return !memcmp(ip, h->ll6, 16) || (h->has_ip6 && !memcmp(ip, h->ip6, 16));
}

static bool is_solicited_node(const struct reply_host *h, const uint8_t ip[16])
{
	if (memcmp(ip, solicited_node, sizeof(solicited_node)))
		return false;
	return !memcmp(ip + 13, h->ll6 + 13, 3) || (h->has_ip6 && !memcmp(ip + 13, h->ip6 + 13, 3));
}

/* Over @len bytes; zero when a correct checksum is among them. */
static uint16_t csum(const void *data, size_t len)
{
	return (uint16_t)~offload_csum(data, len, 0);
}

/* The same for an upper layer over IPv6, which adds its pseudo-header. */
static uint16_t csum6(const struct ip6_hdr *ip, const void *data, uint16_t len)
{
	uint32_t sum = offload_csum(ip->src, sizeof(ip->src), 0);

	sum = offload_csum(ip->dst, sizeof(ip->dst), sum);
	sum += (uint32_t)htons(len) + htons(ip->next);
	return (uint16_t)~offload_csum(data, len, sum);
}

static void wr_csum(uint8_t to[2], uint16_t sum)
{
	memcpy(to, &sum, 2); /* offload_csum() works in memory order */
}

void reply_host_init(struct reply_host *h, const uint8_t mac[6])
{
	*h = (struct reply_host) { 0 };
	memcpy(h->mac, mac, 6);
	h->ll6[0] = 0xfe;
	h->ll6[1] = 0x80;
	memcpy(h->ll6 + 8, mac, 3);
	h->ll6[8] ^= 0x02;
	h->ll6[11] = 0xff;
	h->ll6[12] = 0xfe;
	memcpy(h->ll6 + 13, mac + 3, 3);
}

bool reply_is_for(const struct reply_host *h, const uint8_t dst[6])
{
	static const uint8_t group[3] = { 0x33, 0x33, 0xff };

	if (!is_group_mac(dst))
		return !memcmp(dst, h->mac, 6);
	if (!memcmp(dst, group, 3))
		return !memcmp(dst + 3, h->ll6 + 13, 3) ||
		       (h->has_ip6 && !memcmp(dst + 3, h->ip6 + 13, 3));
	return !memcmp(dst, broadcast_mac, 6) || !memcmp(dst, all_nodes_mac, 6);
}

/**
 * struct request - A frame being looked at
 * @eth: where the frame starts
 * @net: where its network header starts: behind @l2 bytes of Ethernet header and tag
 * @len: bytes from @net to the frame's end, padding included
 */
struct request {
	const struct reply_host *h;
	struct eth_hdr *eth;
	uint8_t *net;
	size_t l2, len;
};

static bool is_sent_to_group(const struct request *r)
{
	return is_group_mac(r->eth->dst);
}

/* ---------------------------------------------------------------------- ARP */

static enum reply_kind arp(const struct request *r, size_t *len)
{
	struct arp_pkt *a = (struct arp_pkt *)r->net;
	const struct reply_host *h = r->h;

	if (r->len < sizeof(*a) || rd16(a->htype) != ARP_ETHER || rd16(a->ptype) != ETH_IP4 ||
	    a->hlen != 6 || a->plen != 4 || is_group_mac(a->sha))
		return REPLY_BAD;
	if (rd16(a->op) != ARP_REQUEST || !h->has_ip || memcmp(a->tpa, h->ip, 4))
		return REPLY_OTHER;

	wr16(a->op, ARP_REPLY);
	memcpy(a->tha, a->sha, 6);
	memcpy(a->tpa, a->spa, 4);
	memcpy(a->sha, h->mac, 6);
	memcpy(a->spa, h->ip, 4);
	*len = sizeof(*a);
	return REPLY_ARP;
}

/* --------------------------------------------------------------- IPv4 echo */

static enum reply_kind ip4(const struct request *r, size_t *len)
{
	struct ip4_hdr *ip = (struct ip4_hdr *)r->net;
	struct icmp_hdr *icmp;
	size_t hdr_len, total, data_len;

	if (r->len < sizeof(*ip))
		return REPLY_BAD;
	hdr_len = (ip->ver_ihl & 0xfu) * 4;
	total = rd16(ip->len);
	if (ip->ver_ihl >> 4 != 4 || hdr_len < sizeof(*ip) || total < hdr_len || total > r->len ||
	    csum(ip, hdr_len))
		return REPLY_BAD;
	if (is_sent_to_group(r) || !r->h->has_ip || memcmp(ip->dst, r->h->ip, 4))
		return REPLY_OTHER;
	if (rd16(ip->frag) & IP4_MORE_OR_OFFSET)
		return REPLY_FRAGMENT;
	if (ip->proto != IP_ICMP)
		return REPLY_OTHER;

	data_len = total - hdr_len;
	icmp = (struct icmp_hdr *)(r->net + hdr_len);
	if (data_len < sizeof(*icmp) || !is_unicast4(ip->src) || csum(icmp, data_len))
		return REPLY_BAD;
	if (icmp->type != ICMP_ECHO || icmp->code != 0)
		return REPLY_OTHER;

	memmove(r->net + sizeof(*ip), icmp, data_len); /* over the options, if any */
	icmp = (struct icmp_hdr *)(r->net + sizeof(*ip));
	icmp->type = ICMP_ECHO_REPLY;
	wr16(icmp->csum, 0);
	wr_csum(icmp->csum, csum(icmp, data_len));

	*len = sizeof(*ip) + data_len;
	ip->ver_ihl = 4 << 4 | sizeof(*ip) / 4;
	wr16(ip->len, (uint16_t)*len);
	wr16(ip->id, 0);
	wr16(ip->frag, IP4_DONT_FRAGMENT);
	ip->ttl = REPLY_HOPS;
	memcpy(ip->dst, ip->src, 4);
	memcpy(ip->src, r->h->ip, 4);
	wr16(ip->csum, 0);
	wr_csum(ip->csum, csum(ip, sizeof(*ip)));
	return REPLY_ECHO4;
}

/* --------------------------------------------------- IPv6 neighbour discovery */

/**
 * struct advert - What a neighbour advertisement says, and to whom
 * @flags: ND_SOLICITED, ND_OVERRIDE
 */
struct advert {
	uint8_t target[16];
	uint8_t dst[16];
	unsigned flags;
};

/* Return: bytes written to @net. */
static size_t advert_build(const struct reply_host *h, uint8_t *net, const struct advert *say)
{
	struct ip6_hdr *ip = (struct ip6_hdr *)net;
	struct nd_pkt *nd = (struct nd_pkt *)(ip + 1);
	struct nd_opt_mac *opt = (struct nd_opt_mac *)(nd + 1);
	const uint16_t plen = sizeof(*nd) + sizeof(*opt);

	*ip = (struct ip6_hdr) { .ver_class_flow = { 6 << 4 }, .next = IP_ICMP6, .hops = ND_HOPS };
	wr16(ip->plen, plen);
	memcpy(ip->src, say->target, 16);
	memcpy(ip->dst, say->dst, 16);

	*nd = (struct nd_pkt) { .icmp = { .type = ND_ADVERT, .rest = { (uint8_t)say->flags } } };
	memcpy(nd->target, say->target, 16);
	*opt = (struct nd_opt_mac) { .type = ND_OPT_TARGET_MAC, .len8 = 1 };
	memcpy(opt->mac, h->mac, 6);
	wr_csum(nd->icmp.csum, csum6(ip, nd, plen));
	return sizeof(*ip) + plen;
}

/* Are the options whole, and is a source address among them? */
static bool nd_options_ok(const uint8_t *opt, size_t len, bool *has_source)
{
	*has_source = false;
	while (len) {
		size_t n;

		if (len < 2)
			return false;
		n = opt[1] * 8u;
		if (n == 0 || n > len)
			return false;
		*has_source |= opt[0] == ND_OPT_SOURCE_MAC;
		opt += n;
		len -= n;
	}
	return true;
}

/* RFC 4861, 7.1.1: what makes a solicitation valid */
static bool solicit_is_valid(const struct ip6_hdr *ip, const struct nd_pkt *nd, size_t plen)
{
	bool has_source, is_probe = !memcmp(ip->src, unspecified, 16);

	if (ip->hops != ND_HOPS || nd->icmp.code != 0 || plen < sizeof(*nd) ||
	    nd->target[0] == 0xff ||
	    !nd_options_ok((const uint8_t *)(nd + 1), plen - sizeof(*nd), &has_source))
		return false;
	if (is_probe)
		return !has_source && !memcmp(ip->dst, solicited_node, sizeof(solicited_node));
	return true;
}

static enum reply_kind solicit(const struct request *r, size_t plen, size_t *len)
{
	struct ip6_hdr *ip = (struct ip6_hdr *)r->net;
	const struct nd_pkt *nd = (const struct nd_pkt *)(ip + 1);
	struct advert say = { .flags = ND_OVERRIDE };

	if (!solicit_is_valid(ip, nd, plen))
		return REPLY_BAD;
	if (!is_own6(r->h, nd->target))
		return REPLY_OTHER;

	memcpy(say.target, nd->target, 16);
	if (is_unicast6(ip->src)) {
		memcpy(say.dst, ip->src, 16);
		say.flags |= ND_SOLICITED;
	} else { /* a probe for a duplicate address: it has none yet, so all are told */
		memcpy(say.dst, all_nodes, 16);
		memcpy(r->eth->src, all_nodes_mac, 6); /* becomes the destination */
	}
	*len = advert_build(r->h, r->net, &say);
	return REPLY_NEIGHBOUR;
}

/* --------------------------------------------------------------- IPv6 echo */

static enum reply_kind echo6(const struct request *r, uint16_t plen, size_t *len)
{
	const struct reply_host *h = r->h;
	struct ip6_hdr *ip = (struct ip6_hdr *)r->net;
	struct icmp_hdr *icmp = (struct icmp_hdr *)(ip + 1);
	const bool to_all = !memcmp(ip->dst, all_nodes, 16);
	uint8_t from[16];

	if (!is_unicast6(ip->src) || icmp->code != 0)
		return REPLY_BAD;
	if (is_sent_to_group(r) != to_all || (!to_all && !is_own6(h, ip->dst)))
		return REPLY_OTHER;

	memcpy(from, ip->dst, 16);
	if (to_all) /* a global address answers a global address */
		memcpy(from, h->has_ip6 && ip->src[0] != 0xfe ? h->ip6 : h->ll6, 16);
	memcpy(ip->dst, ip->src, 16);
	memcpy(ip->src, from, 16);
	ip->hops = REPLY_HOPS;
	ip->ver_class_flow[1] &= 0xf0; /* the flow label is the sender's own */
	ip->ver_class_flow[2] = 0;
	ip->ver_class_flow[3] = 0;
	icmp->type = ICMP6_ECHO_REPLY;
	wr16(icmp->csum, 0);
	wr_csum(icmp->csum, csum6(ip, icmp, plen));
	*len = sizeof(*ip) + plen;
	return REPLY_ECHO6;
}

static enum reply_kind ip6(const struct request *r, size_t *len)
{
	const struct ip6_hdr *ip = (const struct ip6_hdr *)r->net;
	const struct icmp_hdr *icmp = (const struct icmp_hdr *)(ip + 1);
	uint16_t plen;

	if (r->len < sizeof(*ip) || ip->ver_class_flow[0] >> 4 != 6)
		return REPLY_BAD;
	plen = rd16(ip->plen);
	if (plen > r->len - sizeof(*ip) || ip->src[0] == 0xff)
		return REPLY_BAD;
	if (!is_own6(r->h, ip->dst) && !is_solicited_node(r->h, ip->dst) &&
	    memcmp(ip->dst, all_nodes, 16))
		return REPLY_OTHER;
	if (ip->next == IP_FRAGMENT6)
		return REPLY_FRAGMENT;
	if (ip->next != IP_ICMP6)
		return REPLY_OTHER;
	if (plen < sizeof(*icmp) || csum6(ip, icmp, plen))
		return REPLY_BAD;
	if (icmp->type == ND_SOLICIT)
		return solicit(r, plen, len);
	if (icmp->type == ICMP6_ECHO)
		return echo6(r, plen, len);
	return REPLY_OTHER;
}

/* --------------------------------------------------------------- whole frames */

static enum reply_kind network(const struct request *r, uint16_t type, size_t *len)
{
	switch (type) {
	case ETH_ARP:
		return arp(r, len);
	case ETH_IP4:
		return ip4(r, len);
	case ETH_IP6:
		return ip6(r, len);
	default:
		return REPLY_OTHER;
	}
}

enum reply_kind reply_make(const struct reply_host *h, void *frame, size_t *len, size_t room)
{
	struct request r = { .h = h, .eth = frame, .l2 = sizeof(struct eth_hdr) };
	enum reply_kind kind;
	size_t net_len = 0;
	uint16_t type;

	assert(room >= REPLY_ROOM_MIN && room >= *len);
	if (*len < sizeof(*r.eth))
		return REPLY_BAD;
	if (!reply_is_for(h, r.eth->dst))
		return REPLY_OTHER;
	if (is_group_mac(r.eth->src) || !memcmp(r.eth->src, h->mac, 6))
		return REPLY_BAD;
	type = rd16(r.eth->type);
	if (type == ETH_VLAN) {
		r.l2 += VLAN_TAG_LEN;
		if (*len < r.l2)
			return REPLY_BAD;
		type = rd16((const uint8_t *)frame + r.l2 - 2);
	}
	r.net = (uint8_t *)frame + r.l2;
	r.len = *len - r.l2;

	kind = network(&r, type, &net_len);
	if (!reply_is_answer(kind))
		return kind;
	memcpy(r.eth->dst, r.eth->src, 6);
	memcpy(r.eth->src, h->mac, 6);
	*len = r.l2 + net_len;
	return kind;
}

static size_t announce4(const struct reply_host *h, uint8_t *net)
{
	struct arp_pkt *a = (struct arp_pkt *)net;

	*a = (struct arp_pkt) { .hlen = 6, .plen = 4 };
	wr16(a->htype, ARP_ETHER);
	wr16(a->ptype, ETH_IP4);
	wr16(a->op, ARP_REQUEST);
	memcpy(a->sha, h->mac, 6);
	memcpy(a->spa, h->ip, 4);
	memcpy(a->tpa, h->ip, 4);
	return sizeof(*a);
}

static size_t announce6(const struct reply_host *h, const uint8_t ip[16], uint8_t *net)
{
	struct advert say = { .flags = ND_OVERRIDE };

	memcpy(say.target, ip, 16);
	memcpy(say.dst, all_nodes, 16);
	return advert_build(h, net, &say);
}

size_t reply_announce(const struct reply_host *h, unsigned index, void *frame)
{
	struct eth_hdr *eth = frame;
	uint8_t *net = (uint8_t *)(eth + 1);

	if ((index == 0 && !h->has_ip) || (index == 2 && !h->has_ip6) ||
	    index >= REPLY_ANNOUNCE_MAX)
		return 0;
	memcpy(eth->dst, index == 0 ? broadcast_mac : all_nodes_mac, 6);
	memcpy(eth->src, h->mac, 6);
	wr16(eth->type, index == 0 ? ETH_ARP : ETH_IP6);
	if (index == 0)
		return sizeof(*eth) + announce4(h, net);
	return sizeof(*eth) + announce6(h, index == 1 ? h->ll6 : h->ip6, net);
}
