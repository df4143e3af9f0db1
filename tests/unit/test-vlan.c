/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <errno.h>
#include <string.h>

#include "base/iov.h"
#include "net/packet.h"
#include "net/vlan.h"

#define LEN 100u

static unsigned char bytes[LEN], result[LEN + 8];
static struct iovec pieces[LEN], list[LEN + VLAN_IOV_EXTRA];
static struct vmtap_frame out;

static int setup(void **state)
{
	for (unsigned i = 0; i < LEN; i++)
		bytes[i] = (unsigned char)i;
	memset(&out, 0, sizeof(out));
	return 0;
}

/* In pieces of @size bytes. */
static struct vmtap_frame frame_of(unsigned size)
{
	struct vmtap_frame f = { .len = LEN, .iov = pieces };

	for (unsigned at = 0; at < LEN; at += size)
		pieces[f.iov_cnt++] =
			(struct iovec) { .iov_base = bytes + at,
					 .iov_len = LEN - at < size ? LEN - at : size };
	return f;
}

static void read_out(void)
{
	assert_true(out.iov_cnt > 0 && out.iov_cnt <= LEN + VLAN_IOV_EXTRA);
	assert_int_equal(iov_len(out.iov, out.iov_cnt), out.len);
	assert_int_equal(iov_read(out.iov, out.iov_cnt, 0, result, sizeof(result)), out.len);
}

static void a_tag_goes_in_wherever_pieces_end(void **state)
{
	for (unsigned size = 1; size <= LEN; size++) {
		struct vmtap_frame f = frame_of(size);
		struct vlan_edit e = { .add = true, .tci = 0xa00a };

		assert_int_equal(vlan_edit(&f, &e, &out, list), 0);
		assert_true(out.iov_cnt <= f.iov_cnt + VLAN_IOV_EXTRA);
		read_out();
		assert_int_equal(out.len, LEN + 4);
		assert_memory_equal(result, bytes, 12);
		assert_memory_equal(result + 12, "\x81\x00\xa0\x0a", 4);
		assert_memory_equal(result + 16, bytes + 12, LEN - 12);
	}
}

static void a_tag_comes_out_wherever_pieces_end(void **state)
{
	for (unsigned size = 1; size <= LEN; size++) {
		struct vmtap_frame f = frame_of(size);
		struct vlan_edit e = { .cut = true };

		assert_int_equal(vlan_edit(&f, &e, &out, list), 0);
		read_out();
		assert_int_equal(out.len, LEN - 4);
		assert_memory_equal(result, bytes, 12);
		assert_memory_equal(result + 12, bytes + 16, LEN - 16);
	}
}

static void a_tag_is_replaced(void **state)
{
	for (unsigned size = 1; size <= LEN; size++) {
		struct vmtap_frame f = frame_of(size);
		struct vlan_edit e = { .cut = true, .add = true, .tci = 7 };

		assert_int_equal(vlan_edit(&f, &e, &out, list), 0);
		read_out();
		assert_int_equal(out.len, LEN);
		assert_memory_equal(result + 12, "\x81\x00\x00\x07", 4);
		assert_memory_equal(result + 16, bytes + 16, LEN - 16);
	}
}

static void the_payload_is_not_copied(void **state)
{
	struct vmtap_frame f = frame_of(LEN);
	struct vlan_edit e = { .add = true };

	vlan_edit(&f, &e, &out, list);
	assert_int_equal(out.iov_cnt, 3);
	assert_ptr_equal(out.iov[0].iov_base, bytes);
	assert_ptr_equal(out.iov[1].iov_base, e.tag);
	assert_ptr_equal(out.iov[2].iov_base, bytes + 12);
}

static void offsets_of_the_header_move_along(void **state)
{
	struct vmtap_frame f = frame_of(LEN);
	struct vlan_edit add = { .add = true }, cut = { .cut = true };
	struct vmtap_frame back;
	struct iovec again[8];

	f.hdr = (struct vmtap_net_hdr) {
		.flags = VMTAP_HDR_NEEDS_CSUM,
		.gso_type = VMTAP_GSO_TCPV4,
		.hdr_len = 54,
		.gso_size = 1000,
		.csum_start = 34,
		.csum_offset = 16,
	};
	assert_int_equal(vlan_edit(&f, &add, &out, list), 0);
	assert_int_equal(out.hdr.csum_start, 38);
	assert_int_equal(out.hdr.hdr_len, 58);
	assert_int_equal(out.hdr.csum_offset, 16);
	assert_int_equal(out.hdr.gso_size, 1000);
	assert_int_equal(out.hdr.gso_type, VMTAP_GSO_TCPV4);
	assert_int_equal(vlan_edit(&out, &cut, &back, again), 0);
	assert_memory_equal(&back.hdr, &f.hdr, sizeof(f.hdr));
	assert_int_equal(back.len, LEN);
}

static void a_header_without_checksum_or_lengths_stays(void **state)
{
	struct vmtap_frame f = frame_of(LEN);
	struct vlan_edit add = { .add = true };

	f.hdr.csum_start = 34; /* means nothing without its flag */
	assert_int_equal(vlan_edit(&f, &add, &out, list), 0);
	assert_int_equal(out.hdr.csum_start, 34);
	assert_int_equal(out.hdr.hdr_len, 0);
}

static void a_checksum_in_the_tag_is_refused(void **state)
{
	struct vmtap_frame f = frame_of(LEN);
	struct vlan_edit cut = { .cut = true }, add = { .add = true };

	f.hdr.flags = VMTAP_HDR_NEEDS_CSUM;
	for (unsigned at = 0; at < 18; at++) {
		f.hdr.csum_start = (uint16_t)at;
		assert_int_equal(vlan_edit(&f, &cut, &out, list), -EINVAL);
	}
	f.hdr.csum_start = 65532;
	assert_int_equal(vlan_edit(&f, &add, &out, list), -EINVAL);
}

static void what_gets_too_short_or_too_long_is_refused(void **state)
{
	static unsigned char big[VMTAP_FRAME_MAX];
	struct iovec iov = { big, sizeof(big) };
	struct vmtap_frame f = { .len = sizeof(big), .iov = &iov, .iov_cnt = 1 };
	struct vlan_edit cut = { .cut = true }, add = { .add = true };

	assert_int_equal(vlan_edit(&f, &add, &out, list), -EMSGSIZE);
	f.len = (uint32_t)(iov.iov_len = 17);
	assert_int_equal(vlan_edit(&f, &cut, &out, list), -EMSGSIZE);
	f.len = (uint32_t)(iov.iov_len = 18);
	assert_int_equal(vlan_edit(&f, &cut, &out, list), 0);
}

#define CASE(f) cmocka_unit_test_setup(f, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(a_tag_goes_in_wherever_pieces_end),
		CASE(a_tag_comes_out_wherever_pieces_end),
		CASE(a_tag_is_replaced),
		CASE(the_payload_is_not_copied),
		CASE(offsets_of_the_header_move_along),
		CASE(a_header_without_checksum_or_lengths_stays),
		CASE(a_checksum_in_the_tag_is_refused),
		CASE(what_gets_too_short_or_too_long_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
