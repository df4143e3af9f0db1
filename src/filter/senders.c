/* SPDX-License-Identifier: MIT */
/* Whose frames may enter by a port: does a frame claim other addresses? */
#include "filter/senders.h"

#include <linux/if_ether.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>

#define ARP_LEN 28u /* of Ethernet and IPv4 */
#define ARP_SHA 8u
#define ARP_SPA 14u
#define SNAP_LEN 8u

#define DHCP_CLIENT 68u
#define DHCP_SERVER 67u
#define FRAGMENT_OFFSET 0x1fffu
#define FRAGMENT_MORE 0x2000u

#define MLD_REPORT 131u
#define MLD2_REPORT 143u
#define OPT_SOURCE 1u /* link-layer addresses in neighbour discovery */
#define OPT_TARGET 2u

/**
 * struct look - A frame that is looked at
 * @end:  bytes up to there were looked at: nobody may change them any more
 * @csum: where a checksum may be all the same; 0: nowhere
 */
struct look {
	const struct senders *s;
	struct head *h;
	uint32_t end, csum;
};

/* -------------------------------------------------------------- addresses */

static bool has_mac(const struct senders *s, const uint8_t *mac)
{
	for (unsigned i = 0; i < s->mac_cnt; i++)
		if (memcmp(s->macs[i], mac, 6) == 0)
			return true;
	return !s->mac_cnt;
}

static bool all_ips(const struct senders *s)
{
	return !s->ip4_cnt && !s->ip6_cnt;
}

static bool has_ip4(const struct senders *s, const uint8_t *ip)
{
	const uint32_t addr = get_be32(ip);

	for (unsigned i = 0; i < s->ip4_cnt; i++)
		if ((addr & s->ip4[i].mask) == s->ip4[i].addr)
			return true;
	return all_ips(s);
}

static bool in_prefix(const uint8_t *ip, const struct senders_ip6 *p)
{
	const unsigned whole = p->bits / 8, rest = p->bits % 8;

	if (memcmp(ip, p->addr, whole) != 0)
		return false;
	return !rest || (ip[whole] ^ p->addr[whole]) >> (8 - rest) == 0;
}

/* fe80:: and @mac with ff:fe in its middle and the bit for "local" turned over: RFC 4291, appendix A. */
static bool is_made_of(const uint8_t *ip, const uint8_t *mac)
{
	const uint8_t made[16] = { 0xfe,       0x80,   0,      0,    0,	   0,	   0,	   0,
				   mac[0] ^ 2, mac[1], mac[2], 0xff, 0xfe, mac[3], mac[4], mac[5] };

	return memcmp(ip, made, sizeof(made)) == 0;
}

static bool is_own_link_local(const struct look *k, const uint8_t *ip)
{
	for (unsigned i = 0; i < k->s->mac_cnt; i++)
		if (is_made_of(ip, k->s->macs[i]))
			return true;
	return !k->s->mac_cnt && is_made_of(ip, k->h->buf + 6);
}

static bool has_ip6(const struct look *k, const uint8_t *ip)
{
	for (unsigned i = 0; i < k->s->ip6_cnt; i++)
		if (in_prefix(ip, &k->s->ip6[i]))
			return true;
	return all_ips(k->s) || is_own_link_local(k, ip);
}

static bool is_zero(const uint8_t *at, unsigned len)
{
	while (len--)
		if (*at++)
			return false;
	return true;
}

/* --------------------------------------------------------------- Ethernet */

/* Find what the frame carries behind its tags. Return: false: too short to tell, or too many tags. */
static bool find_type(struct look *k, uint16_t *type, uint32_t *l3)
{
	static const uint8_t snap[] = { 0xaa, 0xaa, 3, 0, 0, 0 };
	uint32_t at = ETH_HDR_LEN - 2;

	for (unsigned tags = 0; tags <= PACKET_VLAN_MAX; tags++, at += VLAN_TAG_LEN) {
		if (!head_pull(k->h, at + 2))
			return false;
		*type = get_be16(k->h->buf + at);
		*l3 = at + 2;
		if (*type == ETH_P_8021Q || *type == ETH_P_8021AD || *type == ETH_P_QINQ1)
			continue;
		if (*type >= ETH_P_802_3_MIN || !head_pull(k->h, *l3 + SNAP_LEN) ||
		    memcmp(k->h->buf + *l3, snap, sizeof(snap)) != 0)
			return true;
		at = *l3 + sizeof(snap) - VLAN_TAG_LEN; /* behind it, a type, as ever */
	}
	return false;
}

static bool permit_arp(struct look *k, uint32_t l3)
{
	static const uint8_t kind[] = { 0, 1, ETH_P_IP >> 8, ETH_P_IP & 0xff, 6, 4 };
	const uint8_t *arp = k->h->buf + l3;

	if (!head_pull(k->h, l3 + ARP_LEN) || memcmp(arp, kind, sizeof(kind)) != 0)
		return false;
	k->end = l3 + ARP_LEN;
	return has_mac(k->s, arp + ARP_SHA) &&
	       (has_ip4(k->s, arp + ARP_SPA) || is_zero(arp + ARP_SPA, 4));
}

/* ------------------------------------------------------------------- IPv4 */

/* A packet from 0.0.0.0: whoever has no address yet asks for one, or joins a group. */
static bool permit_nobody4(struct look *k, uint32_t l3, uint32_t l4)
{
	const uint8_t *ip = k->h->buf + l3, *udp = k->h->buf + l4;

	if (!is_zero(ip + 12, 4) || get_be16(ip + 6) & (FRAGMENT_OFFSET | FRAGMENT_MORE))
		return false;
	if (ip[9] == IPPROTO_IGMP)
		return true;
	if (ip[9] != IPPROTO_UDP || !head_pull(k->h, l4 + UDP_HDR_LEN))
		return false;
	k->end = l4 + 4;
	return get_be32(ip + 16) == INADDR_BROADCAST && get_be16(udp) == DHCP_CLIENT &&
	       get_be16(udp + 2) == DHCP_SERVER;
}

static bool permit_ip4(struct look *k, uint32_t l3)
{
	const uint8_t *ip = k->h->buf + l3;
	uint32_t len;

	if (!head_pull(k->h, l3 + IP4_HDR_LEN) || ip[0] >> 4 != 4)
		return false;
	len = (ip[0] & 0xfu) * 4;
	if (len < IP4_HDR_LEN)
		return false;
	k->end = l3 + IP4_HDR_LEN;
	return has_ip4(k->s, ip + 12) || permit_nobody4(k, l3, l3 + len);
}

/* ------------------------------------------------------------------- IPv6 */

/**
 * struct upper - What an IPv6 packet carries
 * @at: where; @fragment: only a part of it; @later: not its beginning, so that @proto is no header's
 */
struct upper {
	uint32_t at;
	uint8_t proto;
	bool fragment, later;
};

/* The chain only leads onwards, eight bytes a step at least, so PACKET_HEAD_MAX ends any. */
static bool find_upper(struct head *h, uint32_t l3, struct upper *u)
{
	*u = (struct upper) { .at = l3 + IP6_HDR_LEN, .proto = h->buf[l3 + 6] };
	while (!u->later) {
		const uint8_t *ext = h->buf + u->at;
		uint32_t len;

		if (u->proto != IPPROTO_HOPOPTS && u->proto != IPPROTO_ROUTING &&
		    u->proto != IPPROTO_DSTOPTS && u->proto != IPPROTO_FRAGMENT &&
		    u->proto != IPPROTO_AH)
			return true;
		if (!head_pull(h, u->at + 8))
			return false;
		len = (ext[1] + 1u) * 8;
		if (u->proto == IPPROTO_AH)
			len = (ext[1] + 2u) * 4;
		if (u->proto == IPPROTO_FRAGMENT) {
			len = 8;
			u->fragment = true;
			u->later = get_be16(ext + 2) >> 3;
		}
		u->proto = ext[0];
		u->at += len;
		if (!head_pull(h, u->at))
			return false;
	}
	return true;
}

/* Link-layer addresses among the options from @at on, which end at @end. */
static bool permit_options(struct look *k, uint32_t at, uint32_t end)
{
	while (at < end) {
		const uint8_t *opt = k->h->buf + at;
		uint32_t len;

		if (at + 8 > end || !head_pull(k->h, at + 8))
			return false;
		len = opt[1] * 8u;
		if (!len || at + len > end || !head_pull(k->h, at + len))
			return false;
		if ((opt[0] == OPT_SOURCE || opt[0] == OPT_TARGET) && !has_mac(k->s, opt + 2))
			return false;
		at += len;
	}
	return true;
}

/* Bytes of a neighbour discovery message in front of its options; 0: it is none. */
static uint32_t discovery_len(uint8_t type)
{
	switch (type) {
	case ND_ROUTER_SOLICIT:
		return 8;
	case ND_ROUTER_ADVERT:
		return 16;
	case ND_NEIGHBOR_SOLICIT:
	case ND_NEIGHBOR_ADVERT:
		return 24;
	case ND_REDIRECT:
		return 40;
	default:
		return 0;
	}
}

/* Neighbour discovery in fragments is what nobody sends and nobody takes: RFC 6980. */
static bool permit_discovery(struct look *k, uint32_t l3, const struct upper *u, uint32_t len,
			     bool nobody)
{
	const uint8_t *icmp = k->h->buf + u->at;
	const uint32_t end = l3 + IP6_HDR_LEN + get_be16(k->h->buf + l3 + 4);

	if (u->fragment || u->at + len > end || end > k->h->frame->len ||
	    !head_pull(k->h, u->at + len))
		return false;
	if ((icmp[0] == ND_NEIGHBOR_ADVERT || (icmp[0] == ND_NEIGHBOR_SOLICIT && nobody)) &&
	    !has_ip6(k, icmp + 8))
		return false;
	if (nobody && icmp[0] != ND_NEIGHBOR_SOLICIT && icmp[0] != ND_ROUTER_SOLICIT)
		return false;
	k->end = end;
	k->csum = u->at + 2;
	return permit_options(k, u->at + len, end);
}

static bool permit_ip6(struct look *k, uint32_t l3)
{
	const uint8_t *ip = k->h->buf + l3;
	struct upper u;
	bool nobody;
	uint32_t len;
	uint8_t type;

	if (!head_pull(k->h, l3 + IP6_HDR_LEN) || ip[0] >> 4 != 6 || !find_upper(k->h, l3, &u))
		return false;
	k->end = u.at;
	nobody = !has_ip6(k, ip + 8);
	if (nobody && !is_zero(ip + 8, 16))
		return false;
	if (u.later || u.proto != IPPROTO_ICMPV6)
		return !nobody;
	if (!head_pull(k->h, u.at + 4))
		return false;
	type = k->h->buf[u.at];
	len = discovery_len(type);
	/* from "::" also where that is permitted: then it still says nothing about who has the target */
	if (len)
		return permit_discovery(k, l3, &u, len, is_zero(ip + 8, 16));
	k->end = u.at + 2;
	return !nobody || (!u.fragment && (type == MLD_REPORT || type == MLD2_REPORT));
}

/* ------------------------------------------------------------------ frames */

/* Of what was looked at, the checksum that is still to be written may change nothing. */
static bool is_out_of_reach(const struct look *k)
{
	const struct vmtap_net_hdr *hdr = &k->h->frame->hdr;
	const uint32_t at = (uint32_t)hdr->csum_start + hdr->csum_offset;

	if (!(hdr->flags & VMTAP_HDR_NEEDS_CSUM))
		return true;
	return at >= k->end || (k->csum && at == k->csum);
}

static bool permit_payload(struct look *k, uint16_t type, uint32_t l3)
{
	switch (type) {
	case ETH_P_ARP:
	case ETH_P_RARP:
		return permit_arp(k, l3);
	case ETH_P_IP:
		return permit_ip4(k, l3);
	case ETH_P_IPV6:
		return permit_ip6(k, l3);
	default:
		k->end = l3 + SNAP_LEN;
		return true;
	}
}

bool senders_permit(const struct senders *s, struct head *h)
{
	struct look k = { .s = s, .h = h };
	uint16_t type;
	uint32_t l3;

	return head_pull(h, ETH_HDR_LEN) && has_mac(s, h->buf + 6) && find_type(&k, &type, &l3) &&
	       permit_payload(&k, type, l3) && is_out_of_reach(&k);
}
