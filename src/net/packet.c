/* SPDX-License-Identifier: MIT */
/* Where the headers of a TCP or UDP packet lie in a frame. */
#include "net/packet.h"

#include <errno.h>
#include <linux/if_ether.h>
#include <netinet/in.h>

#include "base/iov.h"

/* Copied at a time: nearly always all headers at once, and few passes over the list where not. */
#define HEAD_STEP 256u

#define IP4_FRAGMENT 0x3fffu /* more fragments, or an offset */

bool head_pull(struct head *h, uint32_t upto)
{
	uint32_t want = (upto + HEAD_STEP - 1) / HEAD_STEP * HEAD_STEP;

	if (upto <= h->len)
		return true;
	if (upto > PACKET_HEAD_MAX || upto > h->frame->len)
		return false;
	if (want > h->frame->len)
		want = h->frame->len;
	h->len += (uint32_t)iov_read(h->frame->iov, h->frame->iov_cnt, h->len, h->buf + h->len,
				     want - h->len);
	return upto <= h->len;
}

static int parse_ether(struct head *h, struct packet *p, uint16_t *type)
{
	uint32_t at = ETH_HDR_LEN - 2;

	for (unsigned tags = 0; tags <= PACKET_VLAN_MAX; tags++, at += VLAN_TAG_LEN) {
		if (!head_pull(h, at + 2))
			return -EINVAL;
		*type = get_be16(h->buf + at);
		if (*type != ETH_P_8021Q && *type != ETH_P_8021AD) {
			p->l3 = at + 2;
			return 0;
		}
	}
	return -EINVAL;
}

static int parse_ip4(struct head *h, struct packet *p, uint8_t *proto)
{
	const uint8_t *ip = h->buf + p->l3;
	uint32_t len;

	if (!head_pull(h, p->l3 + IP4_HDR_LEN) || ip[0] >> 4 != 4)
		return -EINVAL;
	len = (ip[0] & 0xfu) * 4;
	if (len < IP4_HDR_LEN || !head_pull(h, p->l3 + len))
		return -EINVAL;
	if (get_be16(ip + 2) != h->frame->len - p->l3 || get_be16(ip + 6) & IP4_FRAGMENT)
		return -EINVAL;
	p->next = p->l3 + 9;
	p->l4 = p->l3 + len;
	*proto = ip[9];
	return 0;
}

/* The chain only leads onwards, eight bytes a step at least, so PACKET_HEAD_MAX ends any. */
static int parse_ip6(struct head *h, struct packet *p, uint8_t *proto)
{
	const uint8_t *ip = h->buf + p->l3;

	if (!head_pull(h, p->l3 + IP6_HDR_LEN) || ip[0] >> 4 != 6)
		return -EINVAL;
	if (get_be16(ip + 4) != h->frame->len - p->l3 - IP6_HDR_LEN)
		return -EINVAL;
	p->is_ip6 = true;
	p->next = p->l3 + 6;
	p->l4 = p->l3 + IP6_HDR_LEN;
	for (;;) {
		*proto = h->buf[p->next];
		if (*proto != IPPROTO_HOPOPTS && *proto != IPPROTO_ROUTING &&
		    *proto != IPPROTO_DSTOPTS)
			return 0;
		if (!head_pull(h, p->l4 + 2))
			return -EINVAL;
		p->next = p->l4;
		p->l4 += (h->buf[p->l4 + 1] + 1u) * 8;
		if (!head_pull(h, p->l4))
			return -EINVAL;
	}
}

static int parse_l4(struct head *h, struct packet *p, uint8_t proto)
{
	uint32_t len = UDP_HDR_LEN;

	if (proto != IPPROTO_TCP && proto != IPPROTO_UDP)
		return -EINVAL;
	p->is_tcp = proto == IPPROTO_TCP;
	if (p->is_tcp) {
		if (!head_pull(h, p->l4 + TCP_HDR_LEN))
			return -EINVAL;
		len = (h->buf[p->l4 + 12] >> 4) * 4u;
		if (len < TCP_HDR_LEN)
			return -EINVAL;
	}
	p->payload = p->l4 + len;
	return head_pull(h, p->payload) ? 0 : -EINVAL;
}

int packet_parse(struct head *h, struct packet *p)
{
	uint16_t type;
	uint8_t proto;
	int err;

	*p = (struct packet) { 0 };
	err = parse_ether(h, p, &type);
	if (err < 0)
		return err;
	if (type == ETH_P_IP)
		err = parse_ip4(h, p, &proto);
	else if (type == ETH_P_IPV6)
		err = parse_ip6(h, p, &proto);
	else
		err = -EINVAL;
	return err < 0 ? err : parse_l4(h, p, proto);
}
