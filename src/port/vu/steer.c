/* SPDX-License-Identifier: MIT */
/* Flows to queue pairs. A flow's hash is the same in both directions. */
#include "port/vu/steer.h"

#include <string.h>

#include "base/iov.h"

#define HEAD_MAX 58 /* Ethernet with one VLAN tag, IPv6, ports */
#define ETH_LEN 14u
#define VLAN_LEN 4u
#define ETHERTYPE_IP4 0x0800
#define ETHERTYPE_IP6 0x86dd
#define ETHERTYPE_VLAN 0x8100
#define FRAGMENT 0x3fff /* more follow, or not the first */

static uint32_t get32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static unsigned get16(const uint8_t *p)
{
	return (unsigned)p[0] << 8 | p[1];
}

static bool has_ports(unsigned protocol)
{
	return protocol == 6 || protocol == 17 || protocol == 132;
}

/* Source and destination are combined by an operation that does not care which is which. */
static uint32_t hash_ip4(const uint8_t *ip, size_t len)
{
	size_t l4 = (ip[0] & 0xfu) * 4u;
	uint32_t h = get32(ip + 12) ^ get32(ip + 16);

	if (!(get16(ip + 6) & FRAGMENT) && has_ports(ip[9]) && l4 >= 20 && l4 + 4 <= len)
		h ^= get16(ip + l4) ^ get16(ip + l4 + 2);
	return h + ip[9];
}

static uint32_t hash_ip6(const uint8_t *ip, size_t len)
{
	uint32_t h = ip[6];

	for (unsigned i = 8; i < 40; i += 4)
		h ^= get32(ip + i);
	if (has_ports(ip[6]) && len >= 44)
		h ^= get16(ip + 40) ^ get16(ip + 42);
	return h;
}

static unsigned flow_of(const struct vmtap_frame *frame)
{
	uint8_t head[HEAD_MAX];
	size_t len = iov_read(frame->iov, frame->iov_cnt, 0, head, sizeof(head)), at = ETH_LEN;
	uint32_t h = 0;
	unsigned type;

	if (len < ETH_LEN)
		return 0;
	type = get16(head + 12);
	if (type == ETHERTYPE_VLAN && len >= ETH_LEN + VLAN_LEN) {
		type = get16(head + 16);
		at += VLAN_LEN;
	}
	if (type == ETHERTYPE_IP4 && len >= at + 20)
		h = hash_ip4(head + at, len - at);
	else if (type == ETHERTYPE_IP6 && len >= at + 40)
		h = hash_ip6(head + at, len - at);
	else
		h = get32(head + 2) ^ get32(head + 8);
	/* Addresses differ at their ends, which are the upper bits, and multiplying moves upwards only. */
	h ^= h >> 16;
	return h * 0x9e3779b1u >> 22; /* the upper bits are the well mixed ones */
}

_Static_assert(STEER_FLOWS == 1 << (32 - 22), "a hash is an index");

void steer_reset(struct steer *s)
{
	memset(s, 0, sizeof(*s));
}

void steer_learn(struct steer *s, const struct vmtap_frame *frame, unsigned pair)
{
	if (s->cnt > 1)
		s->flows[flow_of(frame)] = (uint8_t)(pair + 1);
}

static bool takes(const struct steer *s, unsigned pair)
{
	return memchr(s->pairs, (int)pair, s->cnt) != NULL;
}

unsigned steer_pick(const struct steer *s, const struct vmtap_frame *frame)
{
	unsigned flow, seen;

	if (s->cnt == 1)
		return s->pairs[0];
	flow = flow_of(frame);
	seen = s->flows[flow];
	if (seen && takes(s, seen - 1))
		return seen - 1;
	return s->pairs[flow % s->cnt];
}
