/* SPDX-License-Identifier: MIT */
/* Frames of IGMP, MLD and PIM, and to groups, as hosts and routers send them. */
#ifndef MCAST_FRAMES_H
#define MCAST_FRAMES_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>

#include "net/checksum.h"
#include "net/packet.h"
#include "vmtap/vmtap.h"

#define MCAST_ALL4 "224.0.0.1"
#define MCAST_ALL6 "ff02::1"
#define MCAST_V3_REPORTS "224.0.0.22"
#define MCAST_V2_REPORTS6 "ff02::16"

/**
 * struct mcast_frame - @len bytes, of which the IP header begins at @l3 and what is in it at @l4
 * @proto: for its checksum; 0: it has none
 */
struct mcast_frame {
	uint8_t bytes[9000];
	uint32_t len, l3, l4;
	uint8_t proto;
	struct iovec iov;
	struct vmtap_frame frame;
};

static inline void mf_put(struct mcast_frame *f, const void *data, uint32_t len)
{
	memcpy(f->bytes + f->len, data, len);
	f->len += len;
}

static inline void mf_addr(struct mcast_frame *f, const char *addr, bool is_ip6)
{
	inet_pton(is_ip6 ? AF_INET6 : AF_INET, addr, f->bytes + f->len);
	f->len += is_ip6 ? 16 : 4;
}

/* Checksums and lengths as they are to be; again after each change. */
static inline struct vmtap_frame *mf_finish(struct mcast_frame *f)
{
	const bool is_ip6 = f->bytes[f->l3] >> 4 == 6;
	uint8_t *ip = f->bytes + f->l3, *sum = f->bytes + f->l4 + 2;
	const uint16_t len = (uint16_t)(f->len - f->l4);
	struct csum c = { 0 };
	uint16_t v;

	if (is_ip6) {
		put_be16(ip + 4, (uint16_t)(f->len - f->l3 - IP6_HDR_LEN));
		csum_add(&c, ip + 8, 32);
		csum_add16(&c, len);
		csum_add16(&c, f->proto);
	} else {
		struct csum head = { 0 };

		put_be16(ip + 2, (uint16_t)(f->len - f->l3));
		put_be16(ip + 10, 0);
		csum_add(&head, ip, (ip[0] & 0xf) * 4u);
		v = csum_final(&head);
		memcpy(ip + 10, &v, 2);
	}
	if (f->proto == IPPROTO_IGMP || f->proto == IPPROTO_ICMPV6 || f->proto == IPPROTO_PIM) {
		put_be16(sum, 0);
		csum_add(&c, f->bytes + f->l4, len);
		v = csum_final(&c);
		memcpy(sum, &v, 2);
	}
	f->iov = (struct iovec) { f->bytes, f->len };
	f->frame = (struct vmtap_frame) { .len = f->len, .iov = &f->iov, .iov_cnt = 1 };
	return &f->frame;
}

/* Ethernet and IPv4 with a router alert; TTL 1. */
static inline void mf_ip4(struct mcast_frame *f, const char *from, const char *to, uint8_t proto)
{
	static const uint8_t ether[] = { 1, 0, 0x5e, 0, 0, 0, 2, 0, 0, 0, 0, 1, 8, 0 };
	static const uint8_t head[] = { 0x46, 0xc0, 0, 0, 0, 0, 0x40, 0, 1, 0, 0, 0 };
	static const uint8_t alert[] = { 0x94, 4, 0, 0 };

	f->len = 0;
	f->proto = proto;
	mf_put(f, ether, sizeof(ether));
	f->l3 = f->len;
	mf_put(f, head, sizeof(head));
	f->bytes[f->l3 + 9] = proto;
	mf_addr(f, from, false);
	mf_addr(f, to, false);
	f->bytes[3] = f->bytes[f->l3 + 17] & 0x7f;
	memcpy(f->bytes + 4, f->bytes + f->l3 + 18, 2);
	mf_put(f, alert, sizeof(alert));
	f->l4 = f->len;
}

/* Ethernet and IPv6; with @hops, a hop-by-hop header with a router alert. */
static inline void mf_ip6(struct mcast_frame *f, const char *from, const char *to, uint8_t proto,
			  bool hops)
{
	static const uint8_t ether[] = { 0x33, 0x33, 0, 0, 0, 0, 2, 0, 0, 0, 0, 1, 0x86, 0xdd };
	static const uint8_t head[] = { 0x60, 0, 0, 0, 0, 0, 0, 1 };
	const uint8_t alert[] = { proto, 0, 5, 2, 0, 0, 1, 0 };

	f->len = 0;
	f->proto = proto;
	mf_put(f, ether, sizeof(ether));
	f->l3 = f->len;
	mf_put(f, head, sizeof(head));
	f->bytes[f->l3 + 6] = hops ? 0 : proto;
	mf_addr(f, from, true);
	mf_addr(f, to, true);
	memcpy(f->bytes + 2, f->bytes + f->l3 + 36, 4);
	if (hops)
		mf_put(f, alert, sizeof(alert));
	f->l4 = f->len;
}

/* IGMPv1 and v2: eight bytes. */
static inline struct vmtap_frame *mf_igmp(struct mcast_frame *f, const char *from, const char *to,
					  uint8_t type, uint8_t code, const char *group)
{
	const uint8_t head[] = { type, code, 0, 0 };

	mf_ip4(f, from, to, IPPROTO_IGMP);
	mf_put(f, head, sizeof(head));
	mf_addr(f, group, false);
	return mf_finish(f);
}

static inline struct vmtap_frame *mf_mld(struct mcast_frame *f, const char *from, const char *to,
					 uint8_t type, uint16_t code, const char *group)
{
	const uint8_t head[] = { type, 0, 0, 0, (uint8_t)(code >> 8), (uint8_t)code, 0, 0 };

	mf_ip6(f, from, to, IPPROTO_ICMPV6, true);
	mf_put(f, head, sizeof(head));
	mf_addr(f, group, true);
	return mf_finish(f);
}

/* The end of queries of IGMPv3 and MLDv2; afterwards mf_finish(). */
static inline void mf_new_query(struct mcast_frame *f, uint8_t flags, uint8_t interval,
				uint16_t sources)
{
	const uint8_t tail[] = { flags, interval, (uint8_t)(sources >> 8), (uint8_t)sources };

	mf_put(f, tail, sizeof(tail));
}

/* A report of IGMPv3 or MLDv2 of so many records to come; then mf_record(), and mf_finish(). */
static inline void mf_report(struct mcast_frame *f, bool is_ip6, uint16_t records)
{
	const uint8_t head[] = { is_ip6 ? 143 : 0x22, 0, 0, 0, 0, 0, (uint8_t)(records >> 8),
				 (uint8_t)records };

	if (is_ip6)
		mf_ip6(f, "fe80::1", MCAST_V2_REPORTS6, IPPROTO_ICMPV6, true);
	else
		mf_ip4(f, "10.0.0.1", MCAST_V3_REPORTS, IPPROTO_IGMP);
	mf_put(f, head, sizeof(head));
}

static inline void mf_record(struct mcast_frame *f, uint8_t type, uint8_t aux, uint16_t sources,
			     const char *group)
{
	const bool is_ip6 = strchr(group, ':');
	const uint8_t head[] = { type, aux, (uint8_t)(sources >> 8), (uint8_t)sources };

	mf_put(f, head, sizeof(head));
	mf_addr(f, group, is_ip6);
	for (unsigned i = 0; i < sources; i++)
		mf_addr(f, is_ip6 ? "2001:db8::1" : "192.0.2.1", is_ip6);
	memset(f->bytes + f->len, 0, aux * 4u);
	f->len += aux * 4u;
}

/* A datagram to a group. */
static inline struct vmtap_frame *mf_data(struct mcast_frame *f, const char *to)
{
	static const uint8_t udp[26] = { 0x10, 0, 0x10, 0, 0, 26 };

	if (strchr(to, ':'))
		mf_ip6(f, "2001:db8::1", to, IPPROTO_UDP, false);
	else
		mf_ip4(f, "10.0.0.1", to, IPPROTO_UDP);
	mf_put(f, udp, sizeof(udp));
	return mf_finish(f);
}

#endif
