/* SPDX-License-Identifier: MIT */
/* Frames of the latency probe. */
#include "filter/ping-frame.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <linux/if_arp.h>
#include <linux/if_ether.h>
#include <netinet/in.h>
#include <stddef.h>
#include <string.h>
#include <sys/random.h>

#include "base/iov.h"
#include "net/checksum.h"
#include "net/packet.h"
#include "net/vlan.h"

struct eth {
	uint8_t dst[6], src[6], type[2];
};

struct arp {
	struct eth eth;
	uint8_t htype[2], ptype[2], hlen, plen, op[2];
	uint8_t sha[6], spa[4], tha[6], tpa[4];
};

struct ip6 {
	struct eth eth;
	uint8_t ver_class_flow[4], plen[2], next, hops;
	uint8_t src[16], dst[16];
};

struct icmp6 {
	struct ip6 ip;
	uint8_t type, code, csum[2];
};

struct echo {
	struct icmp6 icmp;
	uint8_t id[2], seq[2];
	uint8_t token[8], number[4], fill[44];
};

struct nd {
	struct icmp6 icmp;
	uint8_t flags[4], target[16];
};

struct nd_mac {
	struct nd nd;
	uint8_t opt_type, opt_len8, opt_mac[6];
};

static_assert(sizeof(struct arp) == 42 && sizeof(struct echo) == 118 && sizeof(struct nd_mac) == 86,
	      "no padding");
static_assert(sizeof(struct echo) + VLAN_TAG_LEN <= PING_LOOK, "the longest frame");

enum {
	FRAME_MIN = 60,
	ICMP_AT = offsetof(struct icmp6, type),
	HOPS = 255,
	ECHO_REQUEST = 128,
	ECHO_REPLY = 129,
	ND_SOLICIT = 135,
	ND_ADVERT = 136,
	OPT_SOURCE_MAC = 1,
	OPT_TARGET_MAC = 2,
};

/* flags in the first byte of an advertisement */
#define ND_SOLICITED 0x40u
#define ND_OVERRIDE 0x20u

static const uint8_t broadcast_mac[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

/* ----------------------------------------------------------------- addresses */

static void ident_mac(const struct ping_asker *a, uint64_t seq, uint8_t mac[6])
{
	memcpy(mac, a->mac, 6);
	mac[5] |= (uint8_t)(seq % PING_IDENTS);
}

/* Link-local, of the MAC address (EUI-64). */
static void ident_ip6(const struct ping_asker *a, uint64_t seq, uint8_t ip[16])
{
	uint8_t mac[6];

	ident_mac(a, seq, mac);
	memset(ip, 0, 16);
	ip[0] = 0xfe;
	ip[1] = 0x80;
	ip[8] = mac[0] ^ 2;
	memcpy(ip + 9, mac + 1, 2);
	ip[11] = 0xff;
	ip[12] = 0xfe;
	memcpy(ip + 13, mac + 3, 3);
}

/* Is it one of the asker's? @ident: which. */
static bool is_our_mac(const struct ping_asker *a, const uint8_t mac[6], uint32_t *ident)
{
	*ident = mac[5] % PING_IDENTS;
	return memcmp(mac, a->mac, 5) == 0 && (mac[5] & 0xf0) == a->mac[5];
}

static bool is_our_ip6(const struct ping_asker *a, const uint8_t ip[16], uint32_t *ident)
{
	uint8_t ours[16];

	*ident = ip[15] % PING_IDENTS;
	ident_ip6(a, *ident, ours);
	return memcmp(ip, ours, 16) == 0;
}

static void group_mac(const uint8_t ip[16], uint8_t mac[6])
{
	mac[0] = mac[1] = 0x33;
	memcpy(mac + 2, ip + 12, 4);
}

int ping_asker_init(struct ping_asker *a)
{
	uint8_t bytes[11];

	*a = (struct ping_asker) { 0 };
	if (getrandom(bytes, sizeof(bytes), 0) != (ssize_t)sizeof(bytes))
		return errno ? -errno : -EIO;
	memcpy(a->token, bytes, sizeof(a->token));
	a->mac[0] = 2; /* nobody's: locally administered */
	memcpy(a->mac + 1, bytes + 6, 5);
	a->mac[5] &= 0xf0;
	return 0;
}

static bool is_host4(const uint8_t ip[4])
{
	return ip[0] != 0 && ip[0] != 127 && ip[0] < 224;
}

static bool is_host6(const uint8_t ip[16])
{
	static const uint8_t low[15]; /* of :: and ::1 */

	return memcmp(ip, low, sizeof(low)) != 0 || ip[15] > 1;
}

int ping_asker_aim(struct ping_asker *a, const char *address, const char *source, const char **why)
{
	a->open = !address;
	if (!address)
		address = "ff02::1";
	if (inet_pton(AF_INET, address, a->target) == 1) {
		a->kind = PING_ARP;
		*why = "the address is no host's";
		if (!is_host4(a->target))
			return -EINVAL;
		*why = "the source is no IPv4 address of a host";
		if (source && (inet_pton(AF_INET, source, a->ip4) != 1 || !is_host4(a->ip4)))
			return -EINVAL;
		return 0;
	}
	*why = "the address is neither an IPv4 nor an IPv6 address";
	if (inet_pton(AF_INET6, address, a->target) != 1)
		return -EINVAL;
	*why = "the address is no host's and no group's";
	if (!is_host6(a->target))
		return -EINVAL;
	*why = "a source is for IPv4 addresses";
	if (source)
		return -EINVAL;
	a->kind = a->target[0] == 0xff ? PING_ECHO : PING_ND;
	return 0;
}

/* ------------------------------------------------------------------- making */

static void put_eth(struct eth *eth, const uint8_t dst[6], const uint8_t src[6], uint16_t type)
{
	memcpy(eth->dst, dst, 6);
	memcpy(eth->src, src, 6);
	put_be16(eth->type, type);
}

/* Destination and source are in place. @len: of the frame. */
static void put_icmp6(struct icmp6 *f, unsigned len, uint8_t type)
{
	const uint16_t plen = (uint16_t)(len - ICMP_AT);
	struct csum sum = { 0 };
	uint16_t csum;

	f->ip.ver_class_flow[0] = 6 << 4;
	put_be16(f->ip.plen, plen);
	f->ip.next = IPPROTO_ICMPV6;
	f->ip.hops = HOPS;
	f->type = type;
	csum_add(&sum, f->ip.src, sizeof(f->ip.src) + sizeof(f->ip.dst));
	csum_add16(&sum, plen);
	csum_add16(&sum, IPPROTO_ICMPV6);
	csum_add(&sum, (const uint8_t *)f + ICMP_AT, plen);
	csum = csum_final(&sum);
	memcpy(f->csum, &csum, sizeof(csum));
}

static unsigned arp_request(const struct ping_asker *a, uint64_t seq, uint8_t *buf)
{
	struct arp f = { .hlen = 6, .plen = 4 };

	ident_mac(a, seq, f.sha);
	put_eth(&f.eth, broadcast_mac, f.sha, ETH_P_ARP);
	put_be16(f.htype, ARPHRD_ETHER);
	put_be16(f.ptype, ETH_P_IP);
	put_be16(f.op, ARPOP_REQUEST);
	memcpy(f.spa, a->ip4, sizeof(f.spa));
	memcpy(f.tpa, a->target, sizeof(f.tpa));
	memset(buf, 0, FRAME_MIN);
	memcpy(buf, &f, sizeof(f));
	return FRAME_MIN;
}

static unsigned solicit(const struct ping_asker *a, uint64_t seq, uint8_t *buf)
{
	static const uint8_t group[13] = { 0xff, 0x02, [11] = 1, 0xff };
	struct nd_mac f = { .opt_type = OPT_SOURCE_MAC, .opt_len8 = 1 };
	struct ip6 *ip = &f.nd.icmp.ip;
	uint8_t dst[6];

	memcpy(ip->dst, group, sizeof(group));
	memcpy(ip->dst + 13, a->target + 13, 3);
	ident_ip6(a, seq, ip->src);
	ident_mac(a, seq, f.opt_mac);
	group_mac(ip->dst, dst);
	put_eth(&ip->eth, dst, f.opt_mac, ETH_P_IPV6);
	memcpy(f.nd.target, a->target, sizeof(f.nd.target));
	put_icmp6(&f.nd.icmp, sizeof(f), ND_SOLICIT);
	memcpy(buf, &f, sizeof(f));
	return sizeof(f);
}

/* All from one address, which is to be resolved once. */
static unsigned echo_request(const struct ping_asker *a, uint64_t seq, uint8_t *buf)
{
	struct echo f = { 0 };
	struct ip6 *ip = &f.icmp.ip;
	uint8_t dst[6], src[6];

	ident_mac(a, 0, src);
	ident_ip6(a, 0, ip->src);
	memcpy(ip->dst, a->target, sizeof(ip->dst));
	group_mac(ip->dst, dst);
	put_eth(&ip->eth, dst, src, ETH_P_IPV6);
	memcpy(f.id, a->token, sizeof(f.id));
	put_be16(f.seq, (uint16_t)seq);
	memcpy(f.token, a->token, sizeof(f.token));
	put_be32(f.number, (uint32_t)seq);
	put_icmp6(&f.icmp, sizeof(f), ECHO_REQUEST);
	memcpy(buf, &f, sizeof(f));
	return sizeof(f);
}

/* Return: the length of the frame in @buf with its tag, if it is to have one. */
static unsigned tag(const struct ping_asker *a, uint8_t *buf, unsigned len)
{
	const unsigned at = offsetof(struct eth, type);

	if (!a->vlan)
		return len;
	memmove(buf + at + VLAN_TAG_LEN, buf + at, len - at);
	put_be16(buf + at, ETH_TYPE_VLAN);
	put_be16(buf + at + 2, a->vlan);
	return len + VLAN_TAG_LEN;
}

unsigned ping_frame(const struct ping_asker *a, uint64_t seq, uint8_t *buf)
{
	switch (a->kind) {
	case PING_ARP:
		return tag(a, buf, arp_request(a, seq, buf));
	case PING_ND:
		return tag(a, buf, solicit(a, seq, buf));
	case PING_ECHO:
		break;
	}
	return tag(a, buf, echo_request(a, seq, buf));
}

unsigned ping_advert(const struct ping_asker *a, const struct ping_seen *s, uint8_t *buf)
{
	struct nd_mac f = { .opt_type = OPT_TARGET_MAC, .opt_len8 = 1 };
	struct ip6 *ip = &f.nd.icmp.ip;

	ident_mac(a, s->seq, f.opt_mac);
	ident_ip6(a, s->seq, ip->src);
	memcpy(ip->dst, s->ip, sizeof(ip->dst));
	put_eth(&ip->eth, s->mac, f.opt_mac, ETH_P_IPV6);
	f.nd.flags[0] = ND_SOLICITED | ND_OVERRIDE;
	memcpy(f.nd.target, ip->src, sizeof(f.nd.target));
	put_icmp6(&f.nd.icmp, sizeof(f), ND_ADVERT);
	memcpy(buf, &f, sizeof(f));
	return tag(a, buf, sizeof(f));
}

/* ------------------------------------------------------------------- looking */

/* A frame, copied, without its tag; what is beyond @len is zero. */
union view {
	uint8_t bytes[PING_LOOK];
	struct eth eth;
	struct arp arp;
	struct icmp6 icmp;
	struct echo echo;
	struct nd nd;
};

static bool is_arp_answer(const struct ping_asker *a, const union view *v, unsigned len,
			  struct ping_seen *s)
{
	const struct arp *f = &v->arp;

	if (a->kind != PING_ARP || len < sizeof(*f) || get_be16(f->htype) != ARPHRD_ETHER ||
	    get_be16(f->ptype) != ETH_P_IP || f->hlen != 6 || f->plen != 4 ||
	    get_be16(f->op) != ARPOP_REPLY || memcmp(f->spa, a->target, 4) != 0)
		return false;
	/* it may go to all (RFC 5227, 2.6) */
	if (!is_our_mac(a, f->tha, &s->seq))
		return false;
	s->saw = PING_SAW_ANSWER;
	memcpy(s->mac, f->sha, sizeof(s->mac));
	memcpy(s->ip, f->spa, sizeof(f->spa));
	return true;
}

static bool is_echo_answer(const struct ping_asker *a, const union view *v, unsigned len,
			   struct ping_seen *s)
{
	const struct echo *f = &v->echo;
	uint32_t ident;

	if (len < offsetof(struct echo, fill) || !is_our_ip6(a, f->icmp.ip.dst, &ident) ||
	    memcmp(f->token, a->token, sizeof(f->token)) != 0)
		return false;
	s->saw = a->kind == PING_ECHO ? PING_SAW_ANSWER : PING_SAW_STRAY;
	s->seq = get_be32(f->number);
	return true;
}

static bool is_advert(const struct ping_asker *a, const union view *v, struct ping_seen *s)
{
	if (a->kind != PING_ND || !is_our_ip6(a, v->icmp.ip.dst, &s->seq) ||
	    memcmp(v->nd.target, a->target, sizeof(v->nd.target)) != 0)
		return false;
	s->saw = PING_SAW_ANSWER;
	memcpy(s->ip, v->nd.target, sizeof(s->ip));
	return true;
}

/* Not by one who asks whether the address is free ("::"): it is not his to have. */
static bool is_solicit(const struct ping_asker *a, const union view *v, struct ping_seen *s)
{
	const uint8_t *src = v->icmp.ip.src;

	if (!is_our_ip6(a, v->nd.target, &s->seq) || !is_host6(src) || src[0] == 0xff)
		return false;
	s->saw = PING_SAW_SOLICIT;
	return true;
}

static bool look_icmp6(const struct ping_asker *a, const union view *v, unsigned len,
		       struct ping_seen *s)
{
	const struct icmp6 *f = &v->icmp;
	const bool is_nd = f->type == ND_SOLICIT || f->type == ND_ADVERT;

	if (len < sizeof(*f) || f->ip.ver_class_flow[0] >> 4 != 6 || f->ip.next != IPPROTO_ICMPV6 ||
	    f->code)
		return false;
	if (get_be16(f->ip.plen) < len - ICMP_AT) /* the rest is no part of it */
		len = ICMP_AT + get_be16(f->ip.plen);
	if (is_nd && (len < sizeof(v->nd) || f->ip.hops != HOPS))
		return false;
	s->is_ip6 = true;
	memcpy(s->mac, f->ip.eth.src, sizeof(s->mac));
	memcpy(s->ip, f->ip.src, sizeof(s->ip));
	switch (f->type) {
	case ECHO_REPLY:
		return is_echo_answer(a, v, len, s);
	case ND_ADVERT:
		return is_advert(a, v, s);
	case ND_SOLICIT:
		return is_solicit(a, v, s);
	default:
		return false;
	}
}

static bool copy_eth(const struct vmtap_frame *frame, union view *v)
{
	return iov_read(frame->iov, frame->iov_cnt, 0, v, sizeof(v->eth)) == sizeof(v->eth);
}

/* What is behind the MAC addresses, which are copied. Return: the length of all; 0: it is not in the asker's
 * VLAN. */
static unsigned copy_rest(const struct ping_asker *a, const struct vmtap_frame *frame,
			  union view *v)
{
	uint32_t at = sizeof(v->eth);
	uint8_t tci_type[VLAN_TAG_LEN];

	if (a->vlan) {
		if (get_be16(v->eth.type) != ETH_TYPE_VLAN ||
		    iov_read(frame->iov, frame->iov_cnt, at, tci_type, VLAN_TAG_LEN) <
			    VLAN_TAG_LEN ||
		    (get_be16(tci_type) & VLAN_ID_MASK) != a->vlan)
			return 0;
		memcpy(v->eth.type, tci_type + 2, sizeof(v->eth.type));
		at += VLAN_TAG_LEN;
	}
	return sizeof(v->eth) + (unsigned)iov_read(frame->iov, frame->iov_cnt, at,
						   v->bytes + sizeof(v->eth),
						   sizeof(*v) - sizeof(v->eth));
}

bool ping_hear(const struct ping_asker *a, const struct vmtap_frame *frame, uint8_t ip[4])
{
	union view v = { .bytes = { 0 } };
	const struct arp *f = &v.arp;

	if (!copy_eth(frame, &v) || copy_rest(a, frame, &v) < sizeof(*f) ||
	    get_be16(f->eth.type) != ETH_P_ARP || get_be16(f->htype) != ARPHRD_ETHER ||
	    get_be16(f->ptype) != ETH_P_IP || f->hlen != 6 || f->plen != 4 || !is_host4(f->spa))
		return false;
	memcpy(ip, f->spa, sizeof(f->spa));
	return true;
}

bool ping_look(const struct ping_asker *a, const struct vmtap_frame *frame, struct ping_seen *seen)
{
	union view v = { .bytes = { 0 } };
	unsigned len;
	uint32_t ident;

	*seen = (struct ping_seen) { 0 };
	if (!copy_eth(frame, &v) || (!(v.eth.dst[0] & 1) && !is_our_mac(a, v.eth.dst, &ident)))
		return false;
	len = copy_rest(a, frame, &v);
	if (!len)
		return false;
	switch (get_be16(v.eth.type)) {
	case ETH_P_ARP:
		return is_arp_answer(a, &v, len, seen);
	case ETH_P_IPV6:
		return look_icmp6(a, &v, len, seen);
	default:
		return false;
	}
}
