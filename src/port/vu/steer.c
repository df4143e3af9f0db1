/* SPDX-License-Identifier: MIT */
/* Flows to queue pairs. A flow's hash is the same in both directions. */
#include "port/vu/steer.h"

#include <linux/if_ether.h>
#include <netinet/in.h>
#include <string.h>

#include "base/iov.h"
#include "net/packet.h"

#define HEAD_MAX 58	/* Ethernet with one VLAN tag, IPv6, ports */
#define FRAGMENT 0x3fff /* more follow, or not the first */

/* In the host's order: only to be compared and mixed. */
static uint32_t load32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static bool has_ports(unsigned protocol)
{
	return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == IPPROTO_SCTP;
}

/* Source and destination are combined by an operation that does not care which is which. */
static uint32_t hash_ip4(const uint8_t *ip, size_t len)
{
	size_t l4 = (ip[0] & 0xfu) * 4u;
	uint32_t h = load32(ip + 12) ^ load32(ip + 16);

	if (!(get_be16(ip + 6) & FRAGMENT) && has_ports(ip[9]) && l4 >= 20 && l4 + 4 <= len)
		h ^= get_be16(ip + l4) ^ get_be16(ip + l4 + 2);
	return h + ip[9];
}

static uint32_t hash_ip6(const uint8_t *ip, size_t len)
{
	uint32_t h = ip[6];

	for (unsigned i = 8; i < 40; i += 4)
		h ^= load32(ip + i);
	if (has_ports(ip[6]) && len >= 44)
		h ^= get_be16(ip + 40) ^ get_be16(ip + 42);
	return h;
}

static uint32_t hash_of(const struct vmtap_frame *frame)
{
	uint8_t head[HEAD_MAX];
	size_t len = iov_read(frame->iov, frame->iov_cnt, 0, head, sizeof(head)), at = ETH_HDR_LEN;
	uint32_t h = 0;
	unsigned type;

	if (len < ETH_HDR_LEN)
		return 0;
	type = get_be16(head + 12);
	if (type == ETH_P_8021Q && len >= ETH_HDR_LEN + VLAN_TAG_LEN) {
		type = get_be16(head + 16);
		at += VLAN_TAG_LEN;
	}
	if (type == ETH_P_IP && len >= at + IP4_HDR_LEN)
		h = hash_ip4(head + at, len - at);
	else if (type == ETH_P_IPV6 && len >= at + IP6_HDR_LEN)
		h = hash_ip6(head + at, len - at);
	else
		h = load32(head + 2) ^ load32(head + 8);
	/* Addresses differ at their ends, which are the upper bits, and multiplying moves upwards only. */
	h ^= h >> 16;
	return h * 0x9e3779b1u;
}

/* The upper bits are the well mixed ones. */
static unsigned set_of(uint32_t hash)
{
	return hash >> 22;
}

static uint16_t tag_of(uint32_t hash)
{
	return (uint16_t)(hash >> 6);
}

_Static_assert(STEER_SETS == 1 << (32 - 22), "a hash is an index");

void steer_reset(struct steer *s)
{
	memset(s, 0, sizeof(*s));
}

void steer_learn(struct steer *s, const struct vmtap_frame *frame, unsigned pair)
{
	struct steer_flow *set;
	unsigned i = 0;
	uint32_t hash;

	if (s->cnt <= 1)
		return;
	hash = hash_of(frame);
	set = s->flows[set_of(hash)];
	while (i < STEER_WAYS - 1 && set[i].pair && set[i].tag != tag_of(hash))
		i++;
	memmove(set + 1, set, i * sizeof(*set));
	set[0] = (struct steer_flow) { .tag = tag_of(hash), .pair = (uint8_t)(pair + 1) };
}

static bool takes(const struct steer *s, unsigned pair)
{
	return memchr(s->pairs, (int)pair, s->cnt) != NULL;
}

unsigned steer_pick(const struct steer *s, const struct vmtap_frame *frame)
{
	const struct steer_flow *set;
	uint32_t hash;

	if (s->cnt == 1)
		return s->pairs[0];
	hash = hash_of(frame);
	set = s->flows[set_of(hash)];
	for (unsigned i = 0; i < STEER_WAYS && set[i].pair; i++)
		if (set[i].tag == tag_of(hash) && takes(s, set[i].pair - 1u))
			return set[i].pair - 1u;
	return s->pairs[set_of(hash) % s->cnt];
}
