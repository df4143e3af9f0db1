/* SPDX-License-Identifier: MIT */
/*
 * Fuzz target: vlan_edit() on any frame, in pieces of any size, and back again.
 *
 * Model
 *   input  u8 what to do, u8 piece, u16 tag, struct vmtap_net_hdr (12 bytes), the frame
 *
 *   Every piece of the frame is an allocation of its own, and so is the list, so that the address
 *   sanitizer sees a read beyond any. Beyond not crashing, it must hold that
 *   - what comes out is the frame's bytes with the tag in or out, by a copy that knows no lists;
 *   - offsets of the header point at the same bytes as before, or it was refused;
 *   - a tag that was put in and taken out again leaves the frame as it was;
 *   - the frame itself and its list stay what they are.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/iov.h"
#include "net/packet.h"
#include "net/vlan.h"

#define HEAD_LEN (4 + sizeof(struct vmtap_net_hdr))
#define FRAME_MAX 4096u
#define TAG_AT 12u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
	if (!holds)
		abort();
}

/* @len bytes in pieces of @piece bytes, with an empty one here and there; the list is owned. */
static struct vmtap_frame make(const struct vmtap_net_hdr *hdr, const uint8_t *data, uint32_t len,
			       uint32_t piece)
{
	struct iovec *iov = malloc((2 * (len / piece) + 2) * sizeof(*iov));
	struct vmtap_frame f = { .hdr = *hdr, .len = len, .iov = iov };

	check(iov);
	for (uint32_t off = 0, n; off < len; off += n) {
		n = len - off < piece ? len - off : piece;
		if (off % 3 == 1)
			iov[f.iov_cnt++] = (struct iovec) { .iov_base = NULL, .iov_len = 0 };
		iov[f.iov_cnt].iov_base = malloc(n);
		check(iov[f.iov_cnt].iov_base);
		memcpy(iov[f.iov_cnt].iov_base, data + off, n);
		iov[f.iov_cnt++].iov_len = n;
	}
	return f;
}

static void drop(struct vmtap_frame *f)
{
	for (uint32_t i = 0; i < f->iov_cnt; i++)
		free(f->iov[i].iov_base);
	free((void *)f->iov);
}

static struct iovec *list_for(const struct vmtap_frame *f)
{
	struct iovec *iov = malloc((f->iov_cnt + VLAN_IOV_EXTRA) * sizeof(*iov));

	check(iov);
	return iov;
}

/* Return: bytes of @to: the frame as it has to become. */
static uint32_t expect(uint8_t *to, const uint8_t *data, uint32_t len, const struct vlan_edit *e)
{
	const uint32_t from = TAG_AT + (e->cut ? VLAN_TAG_LEN : 0);
	uint32_t at = TAG_AT;

	memcpy(to, data, TAG_AT);
	if (e->add) {
		put_be16(to + at, ETH_TYPE_VLAN);
		put_be16(to + at + 2, e->tci);
		at += VLAN_TAG_LEN;
	}
	memcpy(to + at, data + from, len - from);
	return at + len - from;
}

static bool is(const struct vmtap_frame *f, const uint8_t *bytes, uint32_t len)
{
	static uint8_t flat[FRAME_MAX + VLAN_TAG_LEN];

	return f->len == len && iov_len(f->iov, f->iov_cnt) == len &&
	       iov_read(f->iov, f->iov_cnt, 0, flat, sizeof(flat)) == len &&
	       memcmp(flat, bytes, len) == 0;
}

static void check_hdr(const struct vmtap_frame *f, const struct vmtap_frame *out, int shift)
{
	check(out->hdr.flags == f->hdr.flags && out->hdr.gso_type == f->hdr.gso_type);
	check(out->hdr.gso_size == f->hdr.gso_size && out->hdr.csum_offset == f->hdr.csum_offset);
	if (f->hdr.flags & VMTAP_HDR_NEEDS_CSUM)
		check(out->hdr.csum_start == f->hdr.csum_start + shift &&
		      f->hdr.csum_start >= ETH_HDR_LEN && out->hdr.csum_start >= ETH_HDR_LEN);
	else
		check(out->hdr.csum_start == f->hdr.csum_start);
	check(out->hdr.hdr_len == f->hdr.hdr_len || out->hdr.hdr_len == f->hdr.hdr_len + shift);
}

/* The tag that was put into @tagged comes out: @plain, of @len bytes. */
static void back(const struct vmtap_frame *tagged, const struct vmtap_net_hdr *hdr,
		 const uint8_t *plain, uint32_t len)
{
	struct vlan_edit e = { .cut = true };
	struct iovec *iov = list_for(tagged);
	struct vmtap_frame out;

	check(vlan_edit(tagged, &e, &out, iov) == 0);
	check(is(&out, plain, len));
	check(out.hdr.csum_start == hdr->csum_start && out.hdr.flags == hdr->flags);
	if (hdr->hdr_len >= ETH_HDR_LEN && hdr->hdr_len <= UINT16_MAX - VLAN_TAG_LEN)
		check(out.hdr.hdr_len == hdr->hdr_len);
	free(iov);
}

static void edit(const struct vmtap_frame *f, const uint8_t *data, struct vlan_edit *e)
{
	static uint8_t wanted[FRAME_MAX + VLAN_TAG_LEN];
	const int shift = (e->add ? (int)VLAN_TAG_LEN : 0) - (e->cut ? (int)VLAN_TAG_LEN : 0);
	struct iovec *iov = list_for(f);
	struct vmtap_frame out;
	int ret = vlan_edit(f, e, &out, iov);

	check(is(f, data, f->len));
	if (ret < 0) {
		check(ret == -EINVAL || ret == -EMSGSIZE);
		check(ret == -EINVAL ? f->hdr.flags & VMTAP_HDR_NEEDS_CSUM
				     : f->len < ETH_HDR_LEN + (e->cut ? VLAN_TAG_LEN : 0));
	} else {
		check(out.iov_cnt <= f->iov_cnt + VLAN_IOV_EXTRA);
		check(is(&out, wanted, expect(wanted, data, f->len, e)));
		check_hdr(f, &out, shift);
		if (e->add && !e->cut)
			back(&out, &f->hdr, data, f->len);
	}
	free(iov);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vlan_edit e = { 0 };
	struct vmtap_net_hdr hdr;
	struct vmtap_frame f;

	if (size < HEAD_LEN || size > HEAD_LEN + FRAME_MAX)
		return -1;
	e.add = data[0] & 1;
	e.cut = data[0] & 2;
	e.tci = get_be16(data + 2);
	memcpy(&hdr, data + 4, sizeof(hdr));
	f = make(&hdr, data + HEAD_LEN, (uint32_t)(size - HEAD_LEN), data[1] ? data[1] : 1);
	edit(&f, data + HEAD_LEN, &e);
	drop(&f);
	return 0;
}
