/* SPDX-License-Identifier: MIT */
/*
 * Offloads finished in software.
 *
 * Problem
 *   A frame may ask its receiver for a checksum, or to be cut into segments,
 *   and the receiver may know nothing of that.
 *
 * Model
 *   The headers are copied to the scratch once. For each finished frame they
 *   are rewritten there, and the payload stays where it is:
 *
 *     frame    [headers][payload ......................................]
 *     emitted  [scratch][slice]  then  [scratch][slice]  then  ...
 *
 *   What comes out equals what Linux's software GSO makes of the same frame:
 *   - The pseudo header's sum, which the guest left in the checksum field, is
 *     adjusted by the difference of lengths, not computed anew.
 *   - IPv4's ID counts up by one a segment, also with DF set. (Only devices
 *     that announce TSO_MANGLEID may leave it alone, and then with DF only.)
 *   - FIN and PSH stay on the last TCP segment, CWR on the first.
 *   - A datagram's IP fragments (UFO) keep the ID and lose DF; IPv4's options
 *     are repeated in each, whatever their copy flag says.
 *   - A frame whose payload fits one segment is not touched, only checksummed.
 *   - A UDP or bare checksum that comes out as 0 is sent as 0xffff; a TCP
 *     checksum of a segment is not.
 *
 *   Where it differs on purpose:
 *   - A frame whose IP length is not the frame's is refused; Linux believes
 *     the frame's length there. So is an IP fragment that asks for GSO.
 *   - Headers are checked also where the payload fits one segment.
 *   - A gso_size so small that thousands of segments come out is refused: no
 *     sender asks for that, and it would hold up everybody else on the loop.
 *   - UFO with a gso_size that is no multiple of 8 uses the next lower one;
 *     Linux makes fragments that overlap or leave holes.
 *   - IPv6 fragments behind extension headers: Linux counts those headers into
 *     the fragments' offsets, and nothing can be reassembled from that. The
 *     identification is a number of our own, as it is there.
 *
 * What the peer may do wrong
 *   Everything: offsets outside the frame, sizes of zero, headers that lie or
 *   change while they are read. All is checked, in the copy, before the first
 *   frame is emitted. A payload that changes meanwhile gets a wrong checksum,
 *   which is its sender's loss.
 */
#include "net/offload.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "base/iov.h"
#include "net/checksum.h"
#include "net/packet.h"

/* The least csum_start that Linux lets pass: the length of an IPv4 header. */
#define CSUM_START_MIN IP4_HDR_LEN
/* Linux's own mark for something else, refused from outside. */
#define GSO_SIZE_RESERVED 0xffffu
/* Most datagrams that one USO frame may become (UDP_MAX_SEGMENTS). */
#define USO_SEGMENTS_MAX 128u
/* Most segments or fragments else. 64 KiB with the least MSS that Linux sends (48) are 1366. */
#define SEGMENTS_MAX 2048u

#define TCP_CSUM 16u
#define UDP_CSUM 6u
#define TCP_FIN 0x01u
#define TCP_PSH 0x08u
#define TCP_CWR 0x80u

#define IP4_MF 0x2000u
#define IP6_MF 0x0001u
#define IP6_FRAG_LEN 8u

/* Slices of one emitted frame's payload; what lies in more pieces is copied to the scratch. */
#define SLICE_MAX 32u

/* The longest that is put together in the scratch: an IP packet, and what grows in front of it. */
static_assert(ETH_HDR_LEN + PACKET_VLAN_MAX * VLAN_TAG_LEN + IP6_HDR_LEN + UINT16_MAX +
			      IP6_FRAG_LEN <=
		      VMTAP_FRAME_MAX,
	      "a finished frame fits the scratch");
static_assert(PACKET_HEAD_MAX + IP6_FRAG_LEN <= VMTAP_FRAME_MAX, "the headers fit the scratch");

/* A place in a scatter list. */
struct cursor {
	const struct iovec *iov;
	unsigned cnt; /* entries from @iov on */
	size_t off;   /* into the first */
};

/* One frame being finished. */
struct work {
	const struct vmtap_frame *frame;
	struct offload_out *out;
	uint8_t *buf; /* the scratch; headers first */
	struct packet pkt;
	struct cursor at;     /* payload not emitted yet */
	uint32_t payload_len; /* of all segments together */
	bool partial;	      /* the receiver finishes checksums */
	unsigned slices;
	struct iovec iov[1 + SLICE_MAX]; /* headers, then slices of the payload */
};

static struct cursor cursor_at(const struct vmtap_frame *frame, uint32_t off)
{
	struct cursor c = { .iov = frame->iov, .cnt = frame->iov_cnt, .off = off };

	for (; c.cnt && c.off >= c.iov->iov_len; c.iov++, c.cnt--)
		c.off -= c.iov->iov_len;
	return c;
}

/* The next piece, at most @len bytes. The caller asks for no more than there is. */
static struct iovec cursor_next(struct cursor *c, size_t len)
{
	struct iovec piece = { 0 };

	for (; c->cnt && c->off >= c->iov->iov_len; c->iov++, c->cnt--)
		c->off = 0;
	if (!c->cnt)
		return piece;
	piece.iov_base = (char *)c->iov->iov_base + c->off;
	piece.iov_len = c->iov->iov_len - c->off;
	if (piece.iov_len > len)
		piece.iov_len = len;
	c->off += piece.iov_len;
	return piece;
}

/* The next @len bytes of payload as slices behind @head_len bytes of headers. */
static void take_payload(struct work *w, uint32_t head_len, uint32_t len)
{
	struct cursor start = w->at;
	uint8_t *to = w->buf + head_len;
	uint32_t left = len;

	w->iov[0] = (struct iovec) { .iov_base = w->buf, .iov_len = head_len };
	for (w->slices = 0; left && w->slices < SLICE_MAX; w->slices++) {
		w->iov[1 + w->slices] = cursor_next(&w->at, left);
		left -= (uint32_t)w->iov[1 + w->slices].iov_len;
	}
	if (!left)
		return;
	w->at = start;
	w->slices = 1;
	w->iov[1] = (struct iovec) { .iov_base = to, .iov_len = len };
	for (left = len; left;) {
		struct iovec piece = cursor_next(&w->at, left);

		memcpy(to, piece.iov_base, piece.iov_len);
		to += piece.iov_len;
		left -= (uint32_t)piece.iov_len;
	}
}

static int emit(struct work *w, const struct vmtap_net_hdr *hdr)
{
	struct vmtap_frame frame = { .hdr = *hdr, .iov = w->iov, .iov_cnt = 1 + w->slices };

	frame.len = (uint32_t)iov_len(frame.iov, frame.iov_cnt);
	return w->out->emit(w->out, &frame);
}

/* The frame as it is, with a header that says nothing more than @flags and @gso_type. */
static int emit_same(struct work *w, uint8_t flags, uint8_t gso_type)
{
	struct vmtap_frame frame = *w->frame;
	struct vmtap_net_hdr hdr = { .flags = flags, .gso_type = gso_type };

	if (flags & VMTAP_HDR_NEEDS_CSUM) {
		hdr.csum_start = frame.hdr.csum_start;
		hdr.csum_offset = frame.hdr.csum_offset;
	}
	if (gso_type != VMTAP_GSO_NONE) {
		hdr.gso_size = frame.hdr.gso_size;
		hdr.hdr_len = frame.hdr.hdr_len;
	}
	frame.hdr = hdr;
	return w->out->emit(w->out, &frame);
}

/*
 * Sum from @start to the end of the headers and over the payload taken, into the field at @field.
 * What the field holds is part of the sum: the pseudo header's, or whatever a sender wants added.
 */
static void fill_csum(struct work *w, uint32_t start, uint32_t field, uint16_t zero)
{
	struct csum c = { 0 };
	uint16_t sum;

	csum_add(&c, w->buf + start, w->iov[0].iov_len - start);
	csum_add_iov(&c, w->iov + 1, w->slices);
	sum = csum_final(&c);
	if (!sum)
		sum = zero;
	memcpy(w->buf + field, &sum, sizeof(sum));
}

/* Only a checksum is missing: sums of bytes, whatever they mean. */
static int finish_csum(struct work *w)
{
	const struct vmtap_frame *frame = w->frame;
	uint32_t field = (uint32_t)frame->hdr.csum_start + frame->hdr.csum_offset;
	uint32_t head_len = field + 2;

	iov_read(frame->iov, frame->iov_cnt, 0, w->buf, head_len);
	w->at = cursor_at(frame, head_len);
	take_payload(w, head_len, frame->len - head_len);
	fill_csum(w, frame->hdr.csum_start, field, CSUM_ZERO);
	return emit(w, &(struct vmtap_net_hdr) { 0 });
}

/* No segmentation, or not any more. */
static int finish_whole(struct work *w)
{
	uint8_t flags = w->frame->hdr.flags & (VMTAP_HDR_NEEDS_CSUM | VMTAP_HDR_DATA_VALID);

	if (w->partial)
		return emit_same(w, flags, VMTAP_GSO_NONE);
	if (flags & VMTAP_HDR_NEEDS_CSUM)
		return finish_csum(w);
	return emit_same(w, 0, VMTAP_GSO_NONE);
}

/* The sum of the pseudo header for @len bytes of TCP or UDP. */
static uint16_t pseudo_sum(const struct work *w, uint32_t len)
{
	const uint8_t *ip = w->buf + w->pkt.l3;
	struct csum c = { 0 };

	if (w->pkt.is_ip6)
		csum_add(&c, ip + 8, 32);
	else
		csum_add(&c, ip + 12, 8);
	csum_add16(&c, (uint16_t)len);
	csum_add16(&c, w->buf[w->pkt.next]);
	return csum_fold(c.sum);
}

/* @sum with the word @from in it, as it is with @to instead; the words in host order. */
static uint16_t csum_replace(uint16_t sum, uint16_t from, uint16_t to)
{
	struct csum c = { .sum = sum };

	csum_add16(&c, (uint16_t)~from);
	csum_add16(&c, to);
	return csum_fold(c.sum);
}

/* IPv4: the header's own checksum, after a change. */
static void set_ip4_csum(struct work *w)
{
	uint8_t *ip = w->buf + w->pkt.l3;
	struct csum c = { 0 };
	uint16_t sum;

	put_be16(ip + 10, 0);
	csum_add(&c, ip, w->pkt.l4 - w->pkt.l3);
	sum = csum_final(&c);
	memcpy(ip + 10, &sum, sizeof(sum));
}

/* The IP header of segment @index, whose TCP or UDP part has @len bytes. */
static void set_ip(struct work *w, uint16_t id, uint32_t index, uint32_t len)
{
	uint8_t *ip = w->buf + w->pkt.l3;
	uint32_t total = w->pkt.l4 - w->pkt.l3 + len;

	if (w->pkt.is_ip6) {
		put_be16(ip + 4, (uint16_t)(total - IP6_HDR_LEN));
		return;
	}
	put_be16(ip + 2, (uint16_t)total);
	put_be16(ip + 4, (uint16_t)(id + index));
	set_ip4_csum(w);
}

/* Emit the segment whose headers stand ready, with @pseudo in its checksum field. */
static int emit_segment(struct work *w, uint32_t field, uint16_t pseudo, uint32_t len)
{
	struct vmtap_net_hdr hdr = { 0 };

	take_payload(w, w->pkt.payload, len);
	memcpy(w->buf + field, &pseudo, sizeof(pseudo));
	if (w->partial) {
		hdr.flags = VMTAP_HDR_NEEDS_CSUM;
		hdr.csum_start = (uint16_t)w->pkt.l4;
		hdr.csum_offset = (uint16_t)(field - w->pkt.l4);
	} else {
		fill_csum(w, w->pkt.l4, field, w->pkt.is_tcp ? 0 : CSUM_ZERO);
	}
	return emit(w, &hdr);
}

static int finish_tcp(struct work *w)
{
	uint8_t *tcp = w->buf + w->pkt.l4;
	const uint32_t head_len = w->pkt.payload - w->pkt.l4, mss = w->frame->hdr.gso_size;
	const uint32_t seq = get_be32(tcp + 4), all = head_len + w->payload_len;
	const uint16_t id = get_be16(w->buf + w->pkt.l3 + 4);
	const uint8_t flags = tcp[13];
	uint16_t pseudo;

	if (w->frame->hdr.flags & VMTAP_HDR_NEEDS_CSUM)
		memcpy(&pseudo, tcp + TCP_CSUM, sizeof(pseudo));
	else
		pseudo = pseudo_sum(w, all);
	for (uint32_t off = 0, len; off < w->payload_len; off += len) {
		bool last = w->payload_len - off <= mss;
		int err;

		len = last ? w->payload_len - off : mss;
		set_ip(w, id, off / mss, head_len + len);
		put_be32(tcp + 4, seq + off);
		tcp[13] = flags & (uint8_t) ~((last ? 0 : TCP_FIN | TCP_PSH) | (off ? TCP_CWR : 0));
		err = emit_segment(w, w->pkt.l4 + TCP_CSUM,
				   csum_replace(pseudo, (uint16_t)all, (uint16_t)(head_len + len)),
				   len);
		if (err < 0)
			return err;
	}
	return 0;
}

static int finish_uso(struct work *w)
{
	uint8_t *udp = w->buf + w->pkt.l4;
	const uint32_t mss = w->frame->hdr.gso_size;
	const uint16_t id = get_be16(w->buf + w->pkt.l3 + 4), all = get_be16(udp + 4);
	uint16_t pseudo;

	memcpy(&pseudo, udp + UDP_CSUM, sizeof(pseudo));
	for (uint32_t off = 0, len; off < w->payload_len; off += len) {
		uint16_t udp_len;
		int err;

		len = w->payload_len - off < mss ? w->payload_len - off : mss;
		udp_len = (uint16_t)(UDP_HDR_LEN + len);
		set_ip(w, id, off / mss, udp_len);
		put_be16(udp + 4, udp_len);
		err = emit_segment(w, w->pkt.l4 + UDP_CSUM, csum_replace(pseudo, all, udp_len),
				   len);
		if (err < 0)
			return err;
	}
	return 0;
}

/*
 * A number for the fragments of one datagram. No two alike for 2^32 datagrams, none 0, in no order
 * that one can see at a glance, and not the same ones again after a restart.
 */
static uint32_t fragment_id(void)
{
	static _Atomic uint32_t last;
	uint32_t none = 0, id;

	if (!atomic_load_explicit(&last, memory_order_relaxed))
		atomic_compare_exchange_strong(&last, &none, (uint32_t)clock_ns() | 1);
	do {
		id = 1 + atomic_fetch_add_explicit(&last, 1, memory_order_relaxed);
	} while (!id);
	/* each step can be undone, so different numbers stay different and only 0 becomes 0 */
	id ^= id >> 16;
	id *= 0x85ebca6bu;
	id ^= id >> 13;
	id *= 0xc2b2ae35u;
	return id ^ id >> 16;
}

/* IPv6: make room behind the extension headers, where the fragment header goes. */
static void insert_fragment_header(struct work *w)
{
	uint8_t *frag = w->buf + w->pkt.l4;

	memmove(frag + IP6_FRAG_LEN, frag, UDP_HDR_LEN);
	frag[0] = w->buf[w->pkt.next];
	frag[1] = 0;
	put_be32(frag + 4, fragment_id());
	w->buf[w->pkt.next] = IPPROTO_FRAGMENT;
}

/* The IP header of the fragment at @off, with @len bytes. */
static void set_fragment(struct work *w, uint32_t off, uint32_t len, bool last)
{
	uint8_t *ip = w->buf + w->pkt.l3;
	uint32_t total = w->pkt.l4 - w->pkt.l3 + len;

	if (w->pkt.is_ip6) {
		put_be16(ip + 4, (uint16_t)(total - IP6_HDR_LEN + IP6_FRAG_LEN));
		put_be16(w->buf + w->pkt.l4 + 2, (uint16_t)(off | (last ? 0 : IP6_MF)));
		return;
	}
	put_be16(ip + 2, (uint16_t)total);
	put_be16(ip + 6, (uint16_t)(off / 8 | (last ? 0 : IP4_MF)));
	set_ip4_csum(w);
}

/* The checksum of the whole datagram, which the first fragment carries. */
static void fill_udp(struct work *w)
{
	const struct cursor start = w->at;
	uint8_t *field = w->buf + w->pkt.l4 + UDP_CSUM;
	uint32_t left = w->payload_len;
	struct csum c = { .sum = pseudo_sum(w, UDP_HDR_LEN + left) };
	uint16_t sum;

	put_be16(field, 0);
	csum_add(&c, w->buf + w->pkt.l4, UDP_HDR_LEN);
	while (left) {
		struct iovec piece = cursor_next(&w->at, left);

		csum_add(&c, piece.iov_base, piece.iov_len);
		left -= (uint32_t)piece.iov_len;
	}
	w->at = start;
	sum = csum_final(&c);
	if (!sum)
		sum = CSUM_ZERO;
	memcpy(field, &sum, sizeof(sum));
}

static int finish_ufo(struct work *w)
{
	const uint32_t all = UDP_HDR_LEN + w->payload_len, size = w->frame->hdr.gso_size & ~7u;
	uint32_t ip_end = w->pkt.l4;

	fill_udp(w);
	if (w->pkt.is_ip6) {
		insert_fragment_header(w);
		ip_end += IP6_FRAG_LEN;
	}
	for (uint32_t off = 0, len; off < all; off += len) {
		uint32_t udp = off ? 0 : UDP_HDR_LEN; /* the first carries the UDP header */
		bool last = all - off <= size;
		int err;

		len = last ? all - off : size;
		set_fragment(w, off, len, last);
		take_payload(w, ip_end + udp, len - udp);
		err = emit(w, &(struct vmtap_net_hdr) { 0 });
		if (err < 0)
			return err;
	}
	return 0;
}

/* Does the frame make a number of segments that somebody may want? */
static bool count_fits(const struct vmtap_net_hdr *hdr, uint32_t payload_len)
{
	switch (hdr->gso_type) {
	case VMTAP_GSO_UDP_L4:
		return payload_len <= USO_SEGMENTS_MAX * hdr->gso_size;
	case VMTAP_GSO_UDP:
		return hdr->gso_size >= 8 && payload_len <= SEGMENTS_MAX * (hdr->gso_size & ~7u);
	default:
		return payload_len <= SEGMENTS_MAX * hdr->gso_size;
	}
}

/* Do the virtio-net header and the packet agree? */
static bool gso_fits(const struct vmtap_net_hdr *hdr, const struct packet *p)
{
	bool csum = hdr->flags & VMTAP_HDR_NEEDS_CSUM;

	if (csum &&
	    (hdr->csum_start != p->l4 || hdr->csum_offset != (p->is_tcp ? TCP_CSUM : UDP_CSUM)))
		return false;
	switch (hdr->gso_type & ~VMTAP_GSO_ECN) {
	case VMTAP_GSO_TCPV4:
		return p->is_tcp && !p->is_ip6;
	case VMTAP_GSO_TCPV6:
		return p->is_tcp && p->is_ip6;
	case VMTAP_GSO_UDP:
		return !p->is_tcp;
	default:
		return !p->is_tcp && csum;
	}
}

static bool fits_one_segment(const struct work *w)
{
	uint32_t len = w->payload_len;

	if (w->frame->hdr.gso_type == VMTAP_GSO_UDP)
		len += UDP_HDR_LEN;
	return len <= w->frame->hdr.gso_size;
}

/* May the frame stay in one piece? Which of two bits that takes, a USO frame says in its packet. */
static bool gso_accepted(const struct work *w, unsigned accepts)
{
	unsigned need = offload_needed(&w->frame->hdr);

	if (w->frame->hdr.gso_type == VMTAP_GSO_UDP_L4)
		need &= ~(unsigned)(w->pkt.is_ip6 ? VMTAP_OFFLOAD_USO4 : VMTAP_OFFLOAD_USO6);
	return !(need & ~accepts);
}

static int finish_gso(struct work *w, unsigned accepts)
{
	const struct vmtap_net_hdr *hdr = &w->frame->hdr;
	struct head head = { .frame = w->frame, .buf = w->buf };

	if (!hdr->gso_size || hdr->gso_size == GSO_SIZE_RESERVED ||
	    packet_parse(&head, &w->pkt) < 0)
		return -EINVAL;
	w->payload_len = w->frame->len - w->pkt.payload;
	if (!gso_fits(hdr, &w->pkt) || !count_fits(hdr, w->payload_len))
		return -EINVAL;
	if (fits_one_segment(w))
		return finish_whole(w);
	if (gso_accepted(w, accepts))
		return emit_same(w, hdr->flags & VMTAP_HDR_NEEDS_CSUM, hdr->gso_type);
	w->at = cursor_at(w->frame, w->pkt.payload);
	if (w->pkt.is_tcp)
		return finish_tcp(w);
	return hdr->gso_type == VMTAP_GSO_UDP ? finish_ufo(w) : finish_uso(w);
}

unsigned offload_needed(const struct vmtap_net_hdr *hdr)
{
	const unsigned csum = VMTAP_OFFLOAD_CSUM;

	switch (hdr->gso_type) {
	case VMTAP_GSO_NONE:
		return hdr->flags & VMTAP_HDR_NEEDS_CSUM ? csum : 0;
	case VMTAP_GSO_TCPV4:
		return csum | VMTAP_OFFLOAD_TSO4;
	case VMTAP_GSO_TCPV4 | VMTAP_GSO_ECN:
		return csum | VMTAP_OFFLOAD_TSO4 | VMTAP_OFFLOAD_ECN;
	case VMTAP_GSO_TCPV6:
		return csum | VMTAP_OFFLOAD_TSO6;
	case VMTAP_GSO_TCPV6 | VMTAP_GSO_ECN:
		return csum | VMTAP_OFFLOAD_TSO6 | VMTAP_OFFLOAD_ECN;
	case VMTAP_GSO_UDP:
		return csum | VMTAP_OFFLOAD_UFO;
	case VMTAP_GSO_UDP_L4:
		return csum | VMTAP_OFFLOAD_USO4 | VMTAP_OFFLOAD_USO6;
	default:
		return ~0u;
	}
}

/* What holds for any header: the lengths and offsets that it states lie in the frame. */
static bool frame_fits(const struct vmtap_frame *frame)
{
	const struct vmtap_net_hdr *hdr = &frame->hdr;

	if (frame->len < ETH_HDR_LEN || frame->len > VMTAP_FRAME_MAX ||
	    iov_len(frame->iov, frame->iov_cnt) != frame->len)
		return false;
	if (hdr->hdr_len > frame->len)
		return false;
	return !(hdr->flags & VMTAP_HDR_NEEDS_CSUM) ||
	       (hdr->csum_start >= CSUM_START_MIN &&
		(uint32_t)hdr->csum_start + hdr->csum_offset + 2 <= frame->len);
}

int offload_finish(const struct vmtap_frame *frame, unsigned accepts, void *scratch,
		   struct offload_out *out)
{
	struct work w;

	if (offload_needed(&frame->hdr) == ~0u || !frame_fits(frame))
		return -EINVAL;
	w.frame = frame;
	w.out = out;
	w.buf = scratch;
	w.partial = accepts & VMTAP_OFFLOAD_CSUM;
	if (frame->hdr.gso_type == VMTAP_GSO_NONE)
		return finish_whole(&w);
	return finish_gso(&w, accepts);
}
