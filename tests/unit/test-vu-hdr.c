/* SPDX-License-Identifier: MIT */
/* What a guest may say in a virtio-net header. */
#include "unit.h"

#include <linux/virtio_net.h>

#include "port/vu/hdr.h"

#define BIT(F) (1ull << (F))
#define CSUM BIT(VIRTIO_NET_F_CSUM)
#define TSO4 BIT(VIRTIO_NET_F_HOST_TSO4)
#define TSO6 BIT(VIRTIO_NET_F_HOST_TSO6)
#define ECN BIT(VIRTIO_NET_F_HOST_ECN)
#define UFO BIT(VIRTIO_NET_F_HOST_UFO)
#define USO BIT(56)
#define LEN 1000u

static const struct vmtap_net_hdr tcp = {
	.flags = VMTAP_HDR_NEEDS_CSUM,
	.gso_type = VMTAP_GSO_TCPV4,
	.hdr_len = 54,
	.gso_size = 100,
	.csum_start = 34,
	.csum_offset = 16,
};

static void takes_a_checksum_within_the_frame(void **state)
{
	struct vmtap_net_hdr h = { .flags = VMTAP_HDR_NEEDS_CSUM,
				   .csum_start = LEN - 18,
				   .csum_offset = 16 };

	assert_true(hdr_is_possible(&h, LEN, CSUM));
	h.csum_start++;
	assert_false(hdr_is_possible(&h, LEN, CSUM));
	h.csum_start = h.csum_offset = 0xffff;
	assert_false(hdr_is_possible(&h, LEN, CSUM));
}

static void refuses_what_was_not_negotiated(void **state)
{
	struct vmtap_net_hdr h = tcp;

	assert_true(hdr_is_possible(&h, LEN, CSUM | TSO4));
	assert_false(hdr_is_possible(&h, LEN, TSO4));
	assert_false(hdr_is_possible(&h, LEN, CSUM | TSO6 | UFO | USO));
	assert_true(hdr_is_possible(&h, LEN, CSUM | BIT(VIRTIO_NET_F_GSO)));
	h.gso_type |= VMTAP_GSO_ECN;
	assert_false(hdr_is_possible(&h, LEN, CSUM | TSO4));
	assert_true(hdr_is_possible(&h, LEN, CSUM | TSO4 | ECN));
	h.gso_type = VMTAP_GSO_TCPV6;
	assert_true(hdr_is_possible(&h, LEN, CSUM | TSO6));
	assert_false(hdr_is_possible(&h, LEN, CSUM | TSO4));
	h.gso_type = VMTAP_GSO_UDP_L4;
	assert_true(hdr_is_possible(&h, LEN, CSUM | USO));
	assert_false(hdr_is_possible(&h, LEN, CSUM | UFO));
}

static void only_ufo_does_without_a_checksum(void **state)
{
	struct vmtap_net_hdr h = tcp;

	h.flags = 0;
	assert_false(hdr_is_possible(&h, LEN, CSUM | TSO4));
	h.gso_type = VMTAP_GSO_UDP;
	assert_true(hdr_is_possible(&h, LEN, CSUM | UFO));
}

static void refuses_segments_of_nothing(void **state)
{
	struct vmtap_net_hdr h = tcp;

	h.gso_size = 0;
	assert_false(hdr_is_possible(&h, LEN, CSUM | TSO4));
}

static void refuses_headers_longer_than_the_frame(void **state)
{
	struct vmtap_net_hdr h = tcp;

	h.hdr_len = LEN;
	assert_true(hdr_is_possible(&h, LEN, CSUM | TSO4));
	h.hdr_len = LEN + 1;
	assert_false(hdr_is_possible(&h, LEN, CSUM | TSO4));
}

static void refuses_types_that_nobody_knows(void **state)
{
	struct vmtap_net_hdr h = tcp;

	for (unsigned type = 1; type < 256; type++) {
		unsigned known = type & ~VMTAP_GSO_ECN;

		h.gso_type = (uint8_t)type;
		assert_int_equal(hdr_is_possible(&h, LEN, ~0ull),
				 known == VMTAP_GSO_TCPV4 || known == VMTAP_GSO_TCPV6 ||
					 known == VMTAP_GSO_UDP || known == VMTAP_GSO_UDP_L4);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_a_checksum_within_the_frame),
		cmocka_unit_test(refuses_what_was_not_negotiated),
		cmocka_unit_test(only_ufo_does_without_a_checksum),
		cmocka_unit_test(refuses_segments_of_nothing),
		cmocka_unit_test(refuses_headers_longer_than_the_frame),
		cmocka_unit_test(refuses_types_that_nobody_knows),
	};

	return cmocka_run_group_tests_name("vu-hdr", tests, NULL, NULL);
}
