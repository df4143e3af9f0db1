/* SPDX-License-Identifier: MIT */
/*
 * Frames whose virtio-net header or packet headers lie: each is refused, with nothing emitted.
 *
 * A row spoils one thing of a frame that is good without it; test-offload.c shows that it is.
 */
#include "offload-frames.h"

/* What is wrong with an otherwise good frame. */
struct refuse_row {
	const char *claim;
	struct kind kind;
	void (*spoil)(struct built *b);
};

#define SPOIL(name, ...)                  \
	static void name(struct built *b) \
	{                                 \
		__VA_ARGS__;              \
	}

SPOIL(gso_size_0, b->frame.hdr.gso_size = 0)
SPOIL(gso_size_ffff, b->frame.hdr.gso_size = 0xffff)
SPOIL(gso_size_7, b->frame.hdr.gso_size = 7)
SPOIL(gso_unknown, b->frame.hdr.gso_type = 2)
SPOIL(gso_ecn_bit, b->frame.hdr.gso_type |= VMTAP_GSO_ECN)
SPOIL(gso_tcp4, b->frame.hdr.gso_type = VMTAP_GSO_TCPV4)
SPOIL(gso_tcp6, b->frame.hdr.gso_type = VMTAP_GSO_TCPV6)
SPOIL(gso_uso, b->frame.hdr.gso_type = VMTAP_GSO_UDP_L4)
SPOIL(gso_ufo, b->frame.hdr.gso_type = VMTAP_GSO_UDP)
SPOIL(start_past_end, b->frame.hdr.csum_start = (uint16_t)(b->frame.len + 1))
SPOIL(start_19, b->frame.hdr.csum_start = 19)
SPOIL(start_moved, b->frame.hdr.csum_start++)
SPOIL(offset_moved, b->frame.hdr.csum_offset++)
SPOIL(field_half_out, b->frame.hdr.csum_offset = (uint16_t)(b->frame.len - b->l4 - 1))
SPOIL(offset_ffff, b->frame.hdr.csum_offset = 0xffff)
SPOIL(start_offset_ffff, b->frame.hdr.csum_start = b->frame.hdr.csum_offset = 0xffff)
SPOIL(hdr_len_past_end, b->frame.hdr.hdr_len = (uint16_t)(b->frame.len + 1))
SPOIL(no_needs_csum, b->frame.hdr.flags = 0)
SPOIL(ethertype, b->data[b->l3 - 1] ^= 1)
SPOIL(version, b->data[b->l3] ^= 0x20)
SPOIL(ihl_4, b->data[b->l3] = 0x44; b->data[b->l4 + 8] = 0x50)
SPOIL(ip4_longer, b->data[b->l3 + 3]++)
SPOIL(ip4_length_0, put_be16(b->data + b->l3 + 2, 0))
SPOIL(ip4_fragment, put_be16(b->data + b->l3 + 6, 0x2000))
SPOIL(ip4_later_fragment, put_be16(b->data + b->l3 + 6, 1))
SPOIL(ip4_icmp, b->data[b->l3 + 9] = 1)
SPOIL(ip6_longer, b->data[b->l3 + 5]++)
SPOIL(ip6_length_0, put_be16(b->data + b->l3 + 4, 0))
SPOIL(ip6_fragment, b->data[b->l3 + 6] = 44)
SPOIL(ip6_no_next, b->data[b->l3 + 6] = 59)
SPOIL(ip6_ext_long, b->data[b->l3 + 41] = 255)
SPOIL(ip6_ext_loops, memset(b->data + b->l3 + 40, 0, b->frame.len - b->l3 - 40))
SPOIL(doff_4, b->data[b->l4 + 12] = 0x40)
SPOIL(doff_15, b->data[b->l4 + 12] = 0xf0)
SPOIL(len_13, b->frame.len = 13; b->frame.hdr = (struct vmtap_net_hdr) { 0 }; cut(b, 0))
SPOIL(len_less, b->frame.len--)
SPOIL(len_more, b->frame.len++)
SPOIL(len_overflows, b->iov[1] = (struct iovec) { b->data, SIZE_MAX }; b->frame.iov_cnt = 2)

/* Cut the frame off after @len bytes, with a header that claims nothing about offsets. */
static void cut_off(struct built *b, uint32_t len)
{
	b->frame.len = len;
	b->frame.hdr.flags = 0;
	b->frame.hdr.hdr_len = 0;
	cut(b, 0);
}

SPOIL(end_in_ip4, cut_off(b, 33))
SPOIL(end_in_ip6, cut_off(b, 53))
SPOIL(end_in_tag, cut_off(b, 17))
SPOIL(end_in_tcp, cut_off(b, b->l4 + 19); put_be16(b->data + b->l3 + 2, 39))
SPOIL(end_in_udp, cut_off(b, b->l4 + 7); put_be16(b->data + b->l3 + 2, 27))
SPOIL(end_in_ext, cut_off(b, b->l3 + 41); put_be16(b->data + b->l3 + 4, 1))

static const struct refuse_row refuse_rows[] = {
	{ "rejects_gso_size_0", TCP4(GOOD), gso_size_0 },
	{ "rejects_gso_size_0_also_without_payload", TCP4(.payload = 0), NULL },
	{ "rejects_gso_size_ffff", TCP4(GOOD), gso_size_ffff },
	{ "rejects_ufo_of_less_than_8", UFO4(GOOD), gso_size_7 },
	{ "rejects_unknown_gso_type", TCP4(GOOD), gso_unknown },
	{ "rejects_uso_with_ecn", USO4(GOOD), gso_ecn_bit },
	{ "rejects_ecn_alone", CSUM4, gso_ecn_bit },
	{ "rejects_tcp4_type_on_ip6", TCP6(GOOD), gso_tcp4 },
	{ "rejects_tcp6_type_on_ip4", TCP4(GOOD), gso_tcp6 },
	{ "rejects_tcp_type_on_udp", USO4(GOOD), gso_tcp4 },
	{ "rejects_uso_type_on_tcp", TCP4(GOOD), gso_uso },
	{ "rejects_ufo_type_on_tcp", TCP4(GOOD), gso_ufo },
	{ "rejects_wrong_type_also_in_one_segment", TCP4(.payload = 9, .gso_size = 99), gso_tcp6 },
	{ "rejects_uso_of_129_segments", USO4(.payload = 12801, .gso_size = 100), NULL },
	{ "rejects_tcp_of_2049_segments", TCP4(.payload = 20481, .gso_size = 10), NULL },
	{ "rejects_ufo_of_2049_fragments", UFO4(.payload = 16385, .gso_size = 15), NULL },
	{ "rejects_uso_without_needs_csum", USO4(GOOD), no_needs_csum },
	{ "rejects_csum_start_past_the_end", CSUM4, start_past_end },
	{ "rejects_csum_start_in_the_ethernet_header", CSUM4, start_19 },
	{ "rejects_csum_field_half_outside", CSUM4, field_half_out },
	{ "rejects_csum_offset_ffff", CSUM4, offset_ffff },
	{ "rejects_csum_start_and_offset_ffff", CSUM4, start_offset_ffff },
	{ "rejects_tcp_csum_start_elsewhere", TCP4(GOOD), start_moved },
	{ "rejects_tcp_csum_offset_elsewhere", TCP4(GOOD), offset_moved },
	{ "rejects_udp_csum_offset_elsewhere", USO6(GOOD), offset_moved },
	{ "rejects_hdr_len_past_the_end", CSUM4, hdr_len_past_end },
	{ "rejects_other_ethertype", TCP4(GOOD), ethertype },
	{ "rejects_nine_tags", TCP4(GOOD, .tags = 9), NULL },
	{ "rejects_ip4_of_another_version", TCP4(GOOD), version },
	{ "rejects_ip6_of_another_version", TCP6(GOOD), version },
	{ "rejects_ip4_header_of_16_bytes", TCP4(GOOD, .complete = true), ihl_4 },
	{ "rejects_ip4_length_beyond_the_frame", TCP4(GOOD), ip4_longer },
	{ "rejects_ip4_length_0", TCP4(GOOD), ip4_length_0 },
	{ "rejects_first_ip4_fragment", TCP4(GOOD), ip4_fragment },
	{ "rejects_later_ip4_fragment", TCP4(GOOD), ip4_later_fragment },
	{ "rejects_icmp", TCP4(GOOD), ip4_icmp },
	{ "rejects_ip6_length_beyond_the_frame", TCP6(GOOD), ip6_longer },
	{ "rejects_ip6_length_0", TCP6(GOOD), ip6_length_0 },
	{ "rejects_ip6_fragment", TCP6(GOOD), ip6_fragment },
	{ "rejects_ip6_no_next_header", TCP6(GOOD), ip6_no_next },
	{ "rejects_extension_header_beyond_the_frame", TCP6(.payload = 99, .gso_size = 9, .ext = 1),
	  ip6_ext_long },
	{ "rejects_endless_extension_headers", TCP6(.payload = 60000, .gso_size = 9, .ext = 1),
	  ip6_ext_loops },
	{ "rejects_extension_headers_to_the_end", TCP6(.payload = 99, .gso_size = 9, .ext = 1),
	  ip6_ext_loops },
	{ "rejects_headers_of_more_than_4096_bytes", TCP6(GOOD, .ext = 500, .tcp_opts = 6), NULL },
	{ "rejects_tcp_header_of_16_bytes", TCP4(GOOD), doff_4 },
	{ "rejects_tcp_header_beyond_the_frame", TCP4(.payload = 20, .gso_size = 1), doff_15 },
	{ "rejects_end_in_tag", TCP4(GOOD, .tags = 2), end_in_tag },
	{ "rejects_end_in_ip4_header", TCP4(GOOD), end_in_ip4 },
	{ "rejects_end_in_ip6_header", TCP6(GOOD), end_in_ip6 },
	{ "rejects_end_in_extension_header", TCP6(GOOD, .ext = 1), end_in_ext },
	{ "rejects_end_in_tcp_header", TCP4(GOOD), end_in_tcp },
	{ "rejects_end_in_udp_header", UFO4(GOOD), end_in_udp },
	{ "rejects_less_than_an_ethernet_header", CSUM4, len_13 },
	{ "rejects_more_than_the_longest_frame", { .payload = VMTAP_FRAME_MAX }, NULL },
	{ "rejects_list_longer_than_the_frame", CSUM4, len_less },
	{ "rejects_list_shorter_than_the_frame", CSUM4, len_more },
	{ "rejects_list_that_overflows", CSUM4, len_overflows },
};

/* Whoever receives, and however it lies in memory. */
static void refuse_case(void **state)
{
	const struct refuse_row *row = *state;
	static const unsigned accepts[] = { 0, VMTAP_OFFLOAD_CSUM, VMTAP_OFFLOAD_ALL };
	struct built b = build(&row->kind);
	struct got *g = new_got(state);

	if (row->spoil)
		row->spoil(&b);
	for (unsigned i = 0; i < ARRAY_LEN(accepts); i++) {
		assert_int_equal(finish(&b, accepts[i], g), -EINVAL);
		assert_int_equal(g->cnt, 0);
	}
	drop(&b);
}

int main(void)
{
	struct CMUnitTest tests[ARRAY_LEN(refuse_rows)];

	for (unsigned i = 0; i < ARRAY_LEN(refuse_rows); i++)
		tests[i] = (struct CMUnitTest) { .name = refuse_rows[i].claim,
						 .test_func = refuse_case,
						 .initial_state = (void *)&refuse_rows[i] };
	return cmocka_run_group_tests_name("offload-refuse", tests, NULL, NULL);
}
