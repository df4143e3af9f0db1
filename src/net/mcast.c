/* SPDX-License-Identifier: MIT */
/* What a frame says about groups. */
#include "net/mcast.h"

#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <string.h>

#include "base/iov.h"
#include "net/checksum.h"
#include "net/packet.h"

#define ETH_TYPE_IP4 0x0800u
#define ETH_TYPE_IP6 0x86ddu
#define IP4_FRAGMENT 0x3fffu /* more fragments, or an offset */

/* IGMP's types */
#define IGMP_QUERY 0x11u
#define IGMP_REPORT_V1 0x12u
#define IGMP_REPORT_V2 0x16u
#define IGMP_LEAVE 0x17u
#define IGMP_REPORT_V3 0x22u
#define IGMP_ROUTER 0x30u /* RFC 4286 */
#define IGMP_LEN 8u
#define IGMP_QUERY_V3_LEN 12u

/* ICMPv6's */
#define MLD_QUERY 130u
#define MLD_REPORT_V1 131u
#define MLD_DONE 132u
#define MLD_REPORT_V2 143u
#define MLD_ROUTER 151u /* RFC 4286 */
#define MLD_LEN 24u
#define MLD_QUERY_V2_LEN 28u
#define MLD_ROUTER_LEN 8u

#define REPORT_HEAD_LEN 8u /* of IGMPv3 and MLDv2: then records */
#define PIM_HELLO 0x20u	   /* version 2, type 0 */
#define PIM_LEN 4u

/* What a querier that does not say otherwise does (RFC 3376, 8.1 and 8.2). */
#define ROBUSTNESS 2u
#define QUERY_INTERVAL_S 125u
#define RESPONSE_V1_MS 10000u

/* Of a record in IGMPv3 and MLDv2 */
enum {
	IS_INCLUDE = 1,
	IS_EXCLUDE,
	TO_INCLUDE,
	TO_EXCLUDE,
	ALLOW,
	BLOCK,
};

/** struct body - A message behind its IP headers, whole and copied */
struct body {
	const uint8_t *at;
	uint32_t len;
};

/* -------------------------------------------------------------------- addresses */

static struct mcast_addr addr_of(const uint8_t *bytes, bool is_ip6)
{
	struct mcast_addr a = { .is_ip6 = is_ip6 };

	memcpy(a.bytes, bytes, is_ip6 ? 16 : 4);
	return a;
}

static bool is_group(const struct mcast_addr *a)
{
	return a->is_ip6 ? a->bytes[0] == 0xff : (a->bytes[0] & 0xf0) == 0xe0;
}

static bool is_zero(const struct mcast_addr *a)
{
	static const uint8_t zero[16];

	return memcmp(a->bytes, zero, sizeof(zero)) == 0;
}

static bool is_ip4(const struct mcast_addr *a, uint32_t addr)
{
	return !a->is_ip6 && get_be32(a->bytes) == addr;
}

/* ff02::@last */
static bool is_link_group(const struct mcast_addr *a, uint8_t last)
{
	const uint8_t group[16] = { 0xff, 0x02, [15] = last };

	return a->is_ip6 && memcmp(a->bytes, group, sizeof(group)) == 0;
}

static bool is_link_local(const struct mcast_addr *a)
{
	return a->bytes[0] == 0xfe && (a->bytes[1] & 0xc0) == 0x80;
}

bool mcast_is_local(const struct mcast_addr *group)
{
	static const uint8_t local[3] = { 224, 0, 0 };

	if (group->is_ip6)
		return (group->bytes[1] & 0xf) <= 2;
	return memcmp(group->bytes, local, sizeof(local)) == 0;
}

const char *mcast_text(const struct mcast_addr *a, char *text)
{
	static_assert(MCAST_TEXT_MAX >= INET6_ADDRSTRLEN, "any address fits");
	inet_ntop(a->is_ip6 ? AF_INET6 : AF_INET, a->bytes, text, MCAST_TEXT_MAX);
	return text;
}

/* The address of Ethernet that a group's frames have. */
static bool is_mac_of(const uint8_t mac[6], const struct mcast_addr *a)
{
	if (!is_group(a))
		return false;
	if (a->is_ip6)
		return mac[0] == 0x33 && mac[1] == 0x33 && memcmp(mac + 2, a->bytes + 12, 4) == 0;
	return mac[0] == 0x01 && mac[1] == 0x00 && mac[2] == 0x5e &&
	       mac[3] == (a->bytes[1] & 0x7f) && memcmp(mac + 4, a->bytes + 2, 2) == 0;
}

/* ---------------------------------------------------------------- codes, records */

/* A number with @bits of fraction and three of exponent, when its first bit is set. */
static uint32_t decode(uint32_t code, unsigned bits)
{
	const uint32_t one = 1u << bits;

	if (code < one << 3)
		return code;
	return ((code & (one - 1)) | one) << ((code >> bits & 7) + 3);
}

static void set_interval(struct mcast_msg *m, unsigned robustness, uint32_t interval_s)
{
	m->interval_ms = (robustness ? robustness : ROBUSTNESS) *
				 (interval_s ? interval_s : QUERY_INTERVAL_S) * 1000 +
			 m->response_ms;
}

/* The end of queries of IGMPv3 and MLDv2: flags, interval, sources. */
static bool parse_new_query(const uint8_t *at, uint32_t len, uint32_t source_len,
			    struct mcast_msg *m)
{
	const unsigned sources = get_be16(at + 2);

	m->settles = !(at[0] & 8) && !sources;
	set_interval(m, at[0] & 7, decode(at[1], 4));
	return sources * source_len <= len - 4;
}

/* Where may a query go? To all, or to those that it asks. */
static void parse_about(struct mcast_msg *m, const struct mcast_addr *group)
{
	const uint32_t all = 0xe0000001;

	m->general = is_zero(group);
	if (m->general ? is_ip4(&m->to, all) || is_link_group(&m->to, 1)
		       : memcmp(group->bytes, m->to.bytes, sizeof(group->bytes)) == 0)
		m->kind = MCAST_QUERY;
}

static uint32_t record_len(const uint8_t *at, uint32_t addr_len)
{
	return 4 + addr_len + get_be16(at + 2) * addr_len + at[1] * 4;
}

/* A report of IGMPv3 or MLDv2; all of its records have to be there. */
static void parse_records(const struct body *b, struct mcast_msg *m)
{
	const uint32_t addr_len = m->to.is_ip6 ? 16 : 4;
	uint32_t at = REPORT_HEAD_LEN;

	m->record_cnt = get_be16(b->at + 6);
	m->records = b->at + at;
	m->kind = MCAST_REPORT;
	for (unsigned i = 0; i < m->record_cnt; i++) {
		uint32_t len;

		if (b->len - at < 4 + addr_len)
			goto wrong;
		len = record_len(b->at + at, addr_len);
		if (len > b->len - at)
			goto wrong;
		at += len;
	}
	return;
wrong:
	m->kind = MCAST_WRONG;
	m->record_cnt = 0;
}

/* One that tells of a single group. */
static void parse_only(const uint8_t *group, bool leave, struct mcast_msg *m)
{
	m->kind = MCAST_REPORT;
	m->record_cnt = 1;
	m->only.group = addr_of(group, m->to.is_ip6);
	m->only.leave = leave;
}

/* Which sources somebody wants is not kept; who wants some is in the group. Who leaves out one more of them
 * goes on to be in it, or lets it age. */
static bool read_record(const uint8_t *at, bool is_ip6, struct mcast_record *r)
{
	const bool sources = get_be16(at + 2) != 0;

	r->group = addr_of(at + 4, is_ip6);
	r->leave = (at[0] == IS_INCLUDE || at[0] == TO_INCLUDE) && !sources;
	return at[0] >= IS_INCLUDE && at[0] <= ALLOW;
}

bool mcast_next(struct mcast_msg *m, struct mcast_record *r)
{
	while (m->record_cnt) {
		bool use = true;

		m->record_cnt--;
		if (!m->records) {
			*r = m->only;
		} else {
			use = read_record(m->records, m->to.is_ip6, r);
			m->records += record_len(m->records, m->to.is_ip6 ? 16 : 4);
		}
		if (use && is_group(&r->group))
			return true;
	}
	return false;
}

/* ------------------------------------------------------------------------- IPv4 */

static bool sums_up(const uint8_t *at, uint32_t len, struct csum c)
{
	csum_add(&c, at, len);
	return csum_final(&c) == 0;
}

static void parse_igmp_query(const struct body *b, struct mcast_msg *m)
{
	struct mcast_addr group = addr_of(b->at + 4, false);

	if (b->len == IGMP_LEN) {
		m->response_ms = b->at[1] ? b->at[1] * 100u : RESPONSE_V1_MS;
		m->settles = true;
		set_interval(m, 0, 0);
		if (!b->at[1]) /* of version 1: about all, whatever is there */
			memset(group.bytes, 0, sizeof(group.bytes));
	} else if (b->len >= IGMP_QUERY_V3_LEN) {
		m->response_ms = decode(b->at[1], 4) * 100;
		if (!parse_new_query(b->at + 8, b->len - 8, 4, m)) {
			m->kind = MCAST_WRONG;
			return;
		}
	} else {
		return;
	}
	parse_about(m, &group);
}

static void parse_igmp(const struct body *b, struct mcast_msg *m)
{
	const uint32_t all_snoopers = 0xe000006a;

	switch (b->at[0]) {
	case IGMP_QUERY:
		parse_igmp_query(b, m);
		break;
	case IGMP_REPORT_V1:
	case IGMP_REPORT_V2:
	case IGMP_LEAVE:
		parse_only(b->at + 4, b->at[0] == IGMP_LEAVE, m);
		break;
	case IGMP_REPORT_V3:
		parse_records(b, m);
		break;
	case IGMP_ROUTER:
		if (is_ip4(&m->to, all_snoopers))
			m->kind = MCAST_ROUTER;
		break;
	default:
		break;
	}
}

static void parse_pim(const struct body *b, struct mcast_msg *m)
{
	const uint32_t all_pim = 0xe000000d;

	if (b->at[0] == PIM_HELLO && (is_ip4(&m->to, all_pim) || is_link_group(&m->to, 13)))
		m->kind = MCAST_ROUTER;
}

/* @ip: a packet of IGMP or PIM, and what follows, @len bytes. */
static void parse_ip4(const uint8_t *ip, uint32_t len, struct mcast_msg *m)
{
	const bool is_igmp = ip[9] == IPPROTO_IGMP;
	const uint32_t head = (ip[0] & 0xfu) * 4, total = get_be16(ip + 2);
	const struct csum none = { 0 };
	struct body b;

	m->kind = MCAST_WRONG;
	if (total > len || head + (is_igmp ? IGMP_LEN : PIM_LEN) > total ||
	    !sums_up(ip, head, none))
		return;
	m->kind = MCAST_NONE;
	if (get_be16(ip + 6) & IP4_FRAGMENT)
		return;
	b = (struct body) { ip + head, total - head };
	if (!sums_up(b.at, b.len, none)) {
		m->kind = MCAST_WRONG;
		return;
	}
	if (ip[8] != 1)
		return;
	if (is_igmp)
		parse_igmp(&b, m);
	else
		parse_pim(&b, m);
}

/* ------------------------------------------------------------------------- IPv6 */

static bool is_mld(uint8_t type)
{
	return type == MLD_QUERY || type == MLD_REPORT_V1 || type == MLD_DONE ||
	       type == MLD_REPORT_V2 || type == MLD_ROUTER;
}

/* Does a hop-by-hop header say that routers are to look into the packet, for MLD (RFC 2711)? */
static bool has_alert(const uint8_t *at, uint32_t len)
{
	static const uint8_t alert[] = { 5, 2, 0, 0 };

	for (uint32_t i = 2; i + 2 <= len;) {
		if (!at[i]) { /* one byte of padding */
			i++;
			continue;
		}
		if (len - i >= sizeof(alert) && memcmp(at + i, alert, sizeof(alert)) == 0)
			return true;
		i += 2 + at[i + 1];
	}
	return false;
}

static void parse_mld_query(const struct body *b, struct mcast_msg *m)
{
	struct mcast_addr group = addr_of(b->at + 8, true);
	const uint32_t code = get_be16(b->at + 4);

	if (b->len == MLD_LEN) {
		m->response_ms = code;
		m->settles = true;
		set_interval(m, 0, 0);
	} else if (b->len >= MLD_QUERY_V2_LEN) {
		m->response_ms = decode(code, 12);
		if (!parse_new_query(b->at + 24, b->len - 24, 16, m)) {
			m->kind = MCAST_WRONG;
			return;
		}
	} else {
		return;
	}
	parse_about(m, &group);
}

static void parse_mld(const struct body *b, struct mcast_msg *m)
{
	const uint8_t type = b->at[0];

	if (type != MLD_REPORT_V2 && type != MLD_ROUTER && b->len < MLD_LEN) {
		m->kind = MCAST_WRONG;
		return;
	}
	switch (type) {
	case MLD_QUERY:
		if (is_link_local(&m->from))
			parse_mld_query(b, m);
		break;
	case MLD_REPORT_V1:
	case MLD_DONE:
		parse_only(b->at + 8, type == MLD_DONE, m);
		break;
	case MLD_REPORT_V2:
		parse_records(b, m);
		break;
	case MLD_ROUTER:
		if (is_link_local(&m->from) && is_link_group(&m->to, 0x6a))
			m->kind = MCAST_ROUTER;
		break;
	default:
		break;
	}
}

/* The checksum of what is behind IPv6 headers covers the addresses, its length and what it is. */
static struct csum pseudo(const uint8_t *ip, uint32_t len, uint8_t proto)
{
	struct csum c = { 0 };

	csum_add(&c, ip + 8, 32);
	csum_add16(&c, (uint16_t)len);
	csum_add16(&c, proto);
	return c;
}

static void parse_ip6_pim(const uint8_t *ip, const struct body *b, struct mcast_msg *m)
{
	m->kind = MCAST_WRONG;
	if (b->len < PIM_LEN || !sums_up(b->at, b->len, pseudo(ip, b->len, IPPROTO_PIM)))
		return;
	m->kind = MCAST_NONE;
	if (ip[7] == 1 && is_link_local(&m->from))
		parse_pim(b, m);
}

/* @b begins with a hop-by-hop header. */
static void parse_ip6_hops(const uint8_t *ip, const struct body *b, struct mcast_msg *m)
{
	struct body in;
	uint32_t head;

	m->kind = MCAST_WRONG;
	if (b->len < 8)
		return;
	head = (b->at[1] + 1u) * 8;
	if (head > b->len)
		return;
	in = (struct body) { b->at + head, b->len - head };
	if (b->at[0] == IPPROTO_ICMPV6 && in.len < 8)
		return;
	m->kind = MCAST_DATA;
	if (b->at[0] != IPPROTO_ICMPV6 || !is_mld(in.at[0]))
		return;
	m->kind = MCAST_WRONG;
	if (!sums_up(in.at, in.len, pseudo(ip, in.len, IPPROTO_ICMPV6)))
		return;
	m->kind = MCAST_NONE;
	if (ip[7] == 1 && has_alert(b->at, head) && (is_link_local(&m->from) || is_zero(&m->from)))
		parse_mld(&in, m);
}

/* @ip: a packet with a hop-by-hop header or of PIM, and what follows, @len bytes. */
static void parse_ip6(const uint8_t *ip, uint32_t len, struct mcast_msg *m)
{
	const struct body b = { ip + IP6_HDR_LEN, get_be16(ip + 4) };

	m->kind = MCAST_WRONG;
	if (b.len > len - IP6_HDR_LEN)
		return;
	if (ip[6] == IPPROTO_PIM)
		parse_ip6_pim(ip, &b, m);
	else
		parse_ip6_hops(ip, &b, m);
}

/* ------------------------------------------------------------------------ frames */

/* Is it a packet to a group, as its Ethernet address says? */
static bool read_addresses(const uint8_t *ip, uint32_t len, const uint8_t mac[6], uint16_t type,
			   struct mcast_msg *m)
{
	const bool is_ip6 = type == ETH_TYPE_IP6;

	if (len < (is_ip6 ? IP6_HDR_LEN : IP4_HDR_LEN) || ip[0] >> 4 != (is_ip6 ? 6 : 4))
		return false;
	if (!is_ip6 && (ip[0] & 0xf) < 5)
		return false;
	m->from = addr_of(ip + (is_ip6 ? 8 : 12), is_ip6);
	m->to = addr_of(ip + (is_ip6 ? 24 : 16), is_ip6);
	return is_mac_of(mac, &m->to);
}

static bool is_control(const uint8_t *ip, bool is_ip6)
{
	if (is_ip6)
		return ip[6] == IPPROTO_HOPOPTS || ip[6] == IPPROTO_PIM;
	return ip[9] == IPPROTO_IGMP || ip[9] == IPPROTO_PIM;
}

/* The whole packet is copied again, since it may be another by now. */
static void parse_control(const struct vmtap_frame *f, const uint8_t mac[6], uint32_t l3,
			  uint16_t type, uint8_t *scratch, struct mcast_msg *m)
{
	const uint32_t max = f->len - l3 < VMTAP_FRAME_MAX ? f->len - l3 : VMTAP_FRAME_MAX;
	const uint32_t len = (uint32_t)iov_read(f->iov, f->iov_cnt, l3, scratch, max);

	if (f->hdr.flags & VMTAP_HDR_NEEDS_CSUM || f->hdr.gso_type != VMTAP_GSO_NONE)
		return;
	if (!read_addresses(scratch, len, mac, type, m) || !is_control(scratch, m->to.is_ip6))
		return;
	if (m->to.is_ip6)
		parse_ip6(scratch, len, m);
	else
		parse_ip4(scratch, len, m);
}

void mcast_parse(const struct vmtap_frame *frame, const uint8_t mac[6], uint32_t l3, uint16_t type,
		 uint8_t *scratch, struct mcast_msg *m)
{
	uint8_t ip[IP6_HDR_LEN];
	uint32_t len;

	*m = (struct mcast_msg) { .kind = MCAST_NONE };
	if ((type != ETH_TYPE_IP4 && type != ETH_TYPE_IP6) || frame->len <= l3)
		return;
	len = (uint32_t)iov_read(frame->iov, frame->iov_cnt, l3, ip, sizeof(ip));
	if (!read_addresses(ip, len, mac, type, m))
		return;
	if (is_control(ip, m->to.is_ip6))
		parse_control(frame, mac, l3, type, scratch, m);
	else
		m->kind = MCAST_DATA;
}
