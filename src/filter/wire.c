/* SPDX-License-Identifier: MIT */
/* What a frame takes on a wire. */
#include "filter/wire.h"

#include "base/iov.h"
#include "net/packet.h"

/* TCP says itself how long its header is; the header's length in the virtio-net header is but a hint. */
static uint32_t tcp_len(const struct vmtap_frame *f, uint32_t l4)
{
	uint8_t offset = 0;
	uint32_t len;

	iov_read(f->iov, f->iov_cnt, l4 + 12, &offset, 1);
	len = (offset >> 4) * 4u;
	return len < TCP_HDR_LEN ? TCP_HDR_LEN : len;
}

/* The headers in front of a segment's payload. */
static uint32_t header_len(const struct vmtap_frame *f)
{
	const uint8_t type = f->hdr.gso_type & (uint8_t)~VMTAP_GSO_ECN;
	uint32_t l4 = f->hdr.csum_start;

	if (!(f->hdr.flags & VMTAP_HDR_NEEDS_CSUM) || l4 < ETH_HDR_LEN + IP4_HDR_LEN)
		l4 = ETH_HDR_LEN + (type == VMTAP_GSO_TCPV6 ? IP6_HDR_LEN : IP4_HDR_LEN);
	switch (type) {
	case VMTAP_GSO_UDP: /* fragments: only the first has a UDP header, as payload of its own */
		return l4;
	case VMTAP_GSO_UDP_L4:
		return l4 + UDP_HDR_LEN;
	default:
		return l4 + tcp_len(f, l4);
	}
}

struct wire wire_of(const struct vmtap_frame *f)
{
	struct wire w = { .bytes = f->len, .frames = 1 };
	uint32_t len;

	if (f->hdr.gso_type == VMTAP_GSO_NONE || !f->hdr.gso_size)
		return w;
	len = header_len(f);
	if (len >= f->len)
		return w;
	w.frames = (f->len - len + f->hdr.gso_size - 1) / f->hdr.gso_size;
	w.bytes += (uint64_t)(w.frames - 1) * len;
	return w;
}
