/* SPDX-License-Identifier: MIT */
/* 802.1Q tags put into frames and taken out, without touching their bytes. */
#include "net/vlan.h"

#include <errno.h>

#include "base/iov.h"
#include "net/packet.h"

/* Where the tag goes: behind the two addresses. */
#define TAG_AT 12u

/* The offsets of the header by @shift bytes; none may lie before or in what moves. */
static int shift_hdr(struct vmtap_net_hdr *hdr, int shift)
{
	const int least = (int)ETH_HDR_LEN + (shift < 0 ? (int)VLAN_TAG_LEN : 0);

	if (hdr->flags & VMTAP_HDR_NEEDS_CSUM) {
		int start = hdr->csum_start + shift;

		if (hdr->csum_start < least || start > UINT16_MAX)
			return -EINVAL;
		hdr->csum_start = (uint16_t)start;
	}
	/* a hint: what makes no sense is left to whoever uses it */
	if (hdr->hdr_len >= least && hdr->hdr_len + shift <= UINT16_MAX)
		hdr->hdr_len = (uint16_t)(hdr->hdr_len + shift);
	return 0;
}

int vlan_edit(const struct vmtap_frame *frame, struct vlan_edit *e, struct vmtap_frame *out,
	      struct iovec *iov)
{
	const uint32_t cut = e->cut ? VLAN_TAG_LEN : 0, add = e->add ? VLAN_TAG_LEN : 0;
	const uint32_t from = TAG_AT + cut;
	unsigned max = frame->iov_cnt + VLAN_IOV_EXTRA, cnt, rest;

	if (frame->len < ETH_HDR_LEN + cut || frame->len - cut + add > VMTAP_FRAME_MAX)
		return -EMSGSIZE;
	*out = *frame;
	if (shift_hdr(&out->hdr, (int)add - (int)cut) < 0)
		return -EINVAL;
	cnt = iov_slice(frame->iov, frame->iov_cnt, 0, TAG_AT, iov, max);
	if (add && cnt && cnt < max) {
		put_be16(e->tag, ETH_TYPE_VLAN);
		put_be16(e->tag + 2, e->tci);
		iov[cnt++] = (struct iovec) { .iov_base = e->tag, .iov_len = VLAN_TAG_LEN };
	}
	rest = iov_slice(frame->iov, frame->iov_cnt, from, frame->len - from, iov + cnt, max - cnt);
	if (!cnt || !rest)
		return -EMSGSIZE;
	out->iov = iov;
	out->iov_cnt = cnt + rest;
	out->len = frame->len - cut + add;
	return 0;
}
