/* SPDX-License-Identifier: MIT */
/*
 * TCP and UDP frames for the tests of offloads, what was made of them, and a slow checksum that
 * adds one byte at a time.
 */
#ifndef UNIT_OFFLOAD_FRAMES_H
#define UNIT_OFFLOAD_FRAMES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <stdlib.h>

#include "net/offload.h"
#include "net/packet.h"

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define OUT_MAX 1100
#define NEEDS_CSUM VMTAP_HDR_NEEDS_CSUM

/* ------------------------------------------------------------- building frames */

/* What a frame is built from; zero is the plain case. */
struct kind {
	bool ip6, udp;
	uint8_t gso_type;
	uint16_t gso_size;
	uint32_t payload;
	unsigned tags, ip_opts, ext, tcp_opts; /* counts: tags, words, 8-byte headers, words */
	uint8_t tcp_flags;
	bool complete; /* no NEEDS_CSUM */
};

/* A frame with room to be cut into pieces. */
struct built {
	uint8_t *data;
	struct iovec *iov;
	struct vmtap_frame frame;
	uint32_t l3, l4, body;
};

/* One's complement sum, big-endian words, a byte at a time. */
static inline uint32_t slow_sum(const uint8_t *p, size_t len, uint32_t sum)
{
	for (size_t i = 0; i < len; i++) {
		sum += i & 1 ? p[i] : (uint32_t)p[i] << 8;
		sum = (sum & 0xffff) + (sum >> 16);
	}
	return sum;
}

/* The pseudo header's sum for a TCP or UDP part of @len bytes. */
static inline uint32_t slow_pseudo(const uint8_t *ip, bool ip6, uint8_t proto, uint32_t len)
{
	uint8_t tail[4] = { 0, proto, (uint8_t)(len >> 8), (uint8_t)len };

	return slow_sum(tail, 4, slow_sum(ip + (ip6 ? 8 : 12), ip6 ? 32 : 8, 0));
}

static inline uint8_t body_byte(uint32_t i)
{
	return (uint8_t)(i * 7 + (i >> 8) * 13 + 1);
}

static inline uint32_t put_ether(uint8_t *p, const struct kind *k)
{
	uint32_t at = 12;

	memset(p, 2, at);
	for (unsigned i = 0; i < k->tags; i++, at += VLAN_TAG_LEN)
		put_be32(p + at, 0x81000005);
	put_be16(p + at, k->ip6 ? 0x86dd : 0x0800);
	return at + 2;
}

static inline uint32_t put_ip(uint8_t *ip, const struct kind *k, uint32_t l4_len)
{
	const uint8_t proto = k->udp ? 17 : 6;
	uint32_t len = 20 + 4 * k->ip_opts;

	if (!k->ip6) {
		ip[0] = (uint8_t)(0x40 + len / 4);
		put_be16(ip + 2, (uint16_t)(len + l4_len));
		put_be32(ip + 4, 0xfffe4000); /* ID, DF */
		ip[8] = 64;
		ip[9] = proto;
		put_be32(ip + 12, 0x0a010203);
		put_be32(ip + 16, 0x0afa0001);
		memset(ip + 20, 1, 4 * k->ip_opts);
		put_be16(ip + 10, (uint16_t)~slow_sum(ip, len, 0));
		return len;
	}
	ip[0] = 0x60;
	put_be16(ip + 4, (uint16_t)(8 * k->ext + l4_len));
	ip[6] = k->ext ? 60 : proto;
	memset(ip + 8, 0xfd, 32);
	for (unsigned i = 0; i < k->ext; i++) {
		uint8_t *ext = ip + 40 + 8 * i;

		put_be32(ext, i + 1 < k->ext ? 0x3c000104 : (uint32_t)proto << 24 | 0x104);
	}
	return 40 + 8 * k->ext;
}

static inline uint32_t put_l4(uint8_t *p, const struct kind *k, const uint8_t *ip)
{
	uint32_t len = k->udp ? 8 : 20 + 4 * k->tcp_opts, all = len + k->payload;
	uint16_t pseudo = (uint16_t)slow_pseudo(ip, k->ip6, k->udp ? 17 : 6, all);

	put_be32(p, 0x13881389);
	if (k->udp) {
		put_be16(p + 4, (uint16_t)all);
		put_be16(p + 6, pseudo);
		return len;
	}
	put_be32(p + 4, 0xffffff00);
	p[12] = (uint8_t)(len / 4 << 4);
	p[13] = k->tcp_flags;
	put_be16(p + 16, pseudo);
	memset(p + 20, 1, 4 * k->tcp_opts);
	return len;
}

/* Cut the frame into pieces of @piece bytes, each with an empty one in front; 0: into one. */
static inline void cut(struct built *b, uint32_t piece)
{
	struct vmtap_frame *f = &b->frame;

	free(b->iov);
	b->iov = calloc(2 * f->len + 2, sizeof(*b->iov));
	assert_non_null(b->iov);
	f->iov = b->iov;
	f->iov_cnt = 0;
	for (uint32_t off = 0, len; off < f->len; off += len) {
		len = piece && piece < f->len - off ? piece : f->len - off;
		if (piece)
			b->iov[f->iov_cnt++] = (struct iovec) { .iov_base = b->data + off };
		b->iov[f->iov_cnt++] = (struct iovec) { b->data + off, len };
	}
}

static inline struct built build(const struct kind *k)
{
	struct built b = { 0 };
	uint32_t l4_len = (k->udp ? 8 : 20 + 4 * k->tcp_opts) + k->payload;
	uint32_t ip_len = k->ip6 ? 40 + 8 * k->ext : 20 + 4 * k->ip_opts;

	b.frame.len = 14 + 4 * k->tags + ip_len + l4_len;
	b.data = calloc(1, b.frame.len); /* exactly, for the address sanitizer */
	assert_non_null(b.data);
	b.l3 = put_ether(b.data, k);
	b.l4 = b.l3 + put_ip(b.data + b.l3, k, l4_len);
	b.body = b.l4 + put_l4(b.data + b.l4, k, b.data + b.l3);
	for (uint32_t i = 0; i < k->payload; i++)
		b.data[b.body + i] = body_byte(i);
	b.frame.hdr.gso_type = k->gso_type;
	b.frame.hdr.gso_size = k->gso_size;
	b.frame.hdr.hdr_len = (uint16_t)b.body;
	if (!k->complete) {
		b.frame.hdr.flags = NEEDS_CSUM;
		b.frame.hdr.csum_start = (uint16_t)b.l4;
		b.frame.hdr.csum_offset = k->udp ? 6 : 16;
	}
	cut(&b, 0);
	return b;
}

static inline void drop(struct built *b)
{
	free(b->data);
	free(b->iov);
}

/* ---------------------------------------------------------- what was emitted */

struct got {
	struct offload_out out;
	struct vmtap_net_hdr hdr[OUT_MAX];
	uint8_t *data[OUT_MAX];
	uint32_t len[OUT_MAX];
	unsigned cnt, iov_most;
	unsigned fail_at; /* the call that fails, from 1 */
	struct built *scribble_on;
	const uint8_t *scratch;
	uint32_t copied; /* most bytes of a frame that lay in the scratch */
};

static inline int take(struct offload_out *out, const struct vmtap_frame *frame)
{
	struct got *g = (struct got *)out;
	uint32_t at = 0, copied = 0;

	if (g->fail_at && g->cnt + 1 == g->fail_at)
		return -EPIPE;
	assert_true(g->cnt < OUT_MAX);
	g->data[g->cnt] = malloc(frame->len + 1);
	assert_non_null(g->data[g->cnt]);
	for (unsigned i = 0; i < frame->iov_cnt; i++) {
		const uint8_t *base = frame->iov[i].iov_base;

		assert_true(frame->iov[i].iov_len <= frame->len - at);
		memcpy(g->data[g->cnt] + at, base, frame->iov[i].iov_len);
		at += (uint32_t)frame->iov[i].iov_len;
		if (base >= g->scratch && base < g->scratch + VMTAP_FRAME_MAX)
			copied += (uint32_t)frame->iov[i].iov_len;
	}
	assert_int_equal(at, frame->len);
	if (copied > g->copied)
		g->copied = copied;
	if (frame->iov_cnt > g->iov_most)
		g->iov_most = frame->iov_cnt;
	g->hdr[g->cnt] = frame->hdr;
	g->len[g->cnt++] = frame->len;
	if (g->scribble_on)
		memset(g->scribble_on->data, 0xff, g->scribble_on->body);
	return 0;
}

static inline int finish(const struct built *b, unsigned accepts, struct got *g)
{
	void *scratch = malloc(VMTAP_FRAME_MAX);
	int res;

	assert_non_null(scratch);
	g->out.emit = take;
	g->scratch = scratch;
	res = offload_finish(&b->frame, accepts, scratch, &g->out);
	free(scratch);
	return res;
}

static inline struct got *new_got(void **state)
{
	static struct got got;

	got = (struct got) { 0 };
	return &got;
}

static inline void forget(struct got *g)
{
	for (unsigned i = 0; i < g->cnt; i++)
		free(g->data[i]);
	g->cnt = 0;
}

static inline void assert_no_work(const struct vmtap_net_hdr *hdr)
{
	const struct vmtap_net_hdr none = { 0 };

	assert_memory_equal(hdr, &none, sizeof(none));
}

/* The checksum field of an emitted TCP or UDP frame: right, or left open correctly. */
static inline void assert_l4_csum(const struct got *g, unsigned i, const struct built *b,
				  const struct kind *k, bool open)
{
	const uint8_t *l4 = g->data[i] + b->l4, *ip = g->data[i] + b->l3;
	uint32_t len = g->len[i] - b->l4;
	uint32_t pseudo = slow_pseudo(ip, k->ip6, k->udp ? 17 : 6, len);

	if (!open) {
		assert_no_work(&g->hdr[i]);
		assert_int_equal(slow_sum(l4, len, pseudo), 0xffff);
		return;
	}
	assert_int_equal(g->hdr[i].flags, NEEDS_CSUM);
	assert_int_equal(g->hdr[i].gso_type, 0);
	assert_int_equal(g->hdr[i].csum_start, b->l4);
	assert_int_equal(g->hdr[i].csum_offset, k->udp ? 6 : 16);
	assert_int_equal(get_be16(l4 + g->hdr[i].csum_offset), pseudo);
}

static inline void assert_ip(const uint8_t *ip, const struct built *b, uint32_t len,
			     const struct kind *k, unsigned i)
{
	if (k->ip6) {
		assert_int_equal(get_be16(ip + 4), len - b->l3 - 40);
		return;
	}
	assert_int_equal(get_be16(ip + 2), len - b->l3);
	assert_int_equal(get_be16(ip + 4), (0xfffe + i) & 0xffff);
	assert_int_equal(slow_sum(ip, b->l4 - b->l3, 0), 0xffff);
}

/* Everything that can be said of segments. */
static inline void assert_segments(const struct got *g, const struct built *b, const struct kind *k,
				   bool open)
{
	uint32_t at = 0;

	for (unsigned i = 0; i < g->cnt; i++) {
		const uint8_t *data = g->data[i], *l4 = data + b->l4;
		uint32_t len = g->len[i] - b->body;
		bool last = i + 1 == g->cnt;

		assert_ip(data + b->l3, b, g->len[i], k, i);
		assert_l4_csum(g, i, b, k, open);
		assert_true(last ? len && len <= k->gso_size : len == k->gso_size);
		if (k->udp) {
			assert_int_equal(get_be16(l4 + 4), 8 + len);
		} else {
			assert_int_equal(get_be32(l4 + 4), 0xffffff00 + at);
			assert_int_equal(l4[13],
					 k->tcp_flags & ~(last ? 0 : 0x09) & ~(i ? 0x80 : 0));
		}
		for (uint32_t j = 0; j < len; j++)
			assert_int_equal(data[b->body + j], body_byte(at + j));
		at += len;
	}
	assert_int_equal(at, k->payload);
}

/* clang-format off */
#define TCP4(...) { .gso_type = VMTAP_GSO_TCPV4, __VA_ARGS__ }
#define TCP6(...) { .ip6 = true, .gso_type = VMTAP_GSO_TCPV6, __VA_ARGS__ }
#define USO4(...) { .udp = true, .gso_type = VMTAP_GSO_UDP_L4, __VA_ARGS__ }
#define USO6(...) { .ip6 = true, .udp = true, .gso_type = VMTAP_GSO_UDP_L4, __VA_ARGS__ }
#define UFO4(...) { .udp = true, .gso_type = VMTAP_GSO_UDP, __VA_ARGS__ }
#define GOOD .payload = 3000, .gso_size = 1000
#define CSUM4 { .payload = 500 }
/* clang-format on */

#endif
