/* SPDX-License-Identifier: MIT */
/*
 * Offloads finished in software.
 *
 * tests/net/test_offload_kernel.py compares whole frames with what the kernel makes of them; here
 * are the claims that need no kernel: bounds, ownership of memory, pieces of any size.
 */
#include "offload-frames.h"

/* ------------------------------------------------------------ what is needed */

static void needed_names_the_bits_of_each_type(void **state)
{
	enum {
		C = VMTAP_OFFLOAD_CSUM
	};
	static const struct {
		uint8_t flags, gso_type;
		unsigned need;
	} rows[] = {
		{ 0, 0, 0 },
		{ VMTAP_HDR_DATA_VALID, 0, 0 },
		{ NEEDS_CSUM, 0, C },
		{ NEEDS_CSUM, VMTAP_GSO_TCPV4, C | VMTAP_OFFLOAD_TSO4 },
		{ 0, VMTAP_GSO_TCPV4, C | VMTAP_OFFLOAD_TSO4 },
		{ NEEDS_CSUM, VMTAP_GSO_TCPV6, C | VMTAP_OFFLOAD_TSO6 },
		{ NEEDS_CSUM, VMTAP_GSO_TCPV4 | VMTAP_GSO_ECN,
		  C | VMTAP_OFFLOAD_TSO4 | VMTAP_OFFLOAD_ECN },
		{ NEEDS_CSUM, VMTAP_GSO_TCPV6 | VMTAP_GSO_ECN,
		  C | VMTAP_OFFLOAD_TSO6 | VMTAP_OFFLOAD_ECN },
		{ NEEDS_CSUM, VMTAP_GSO_UDP, C | VMTAP_OFFLOAD_UFO },
		{ NEEDS_CSUM, VMTAP_GSO_UDP_L4, C | VMTAP_OFFLOAD_USO4 | VMTAP_OFFLOAD_USO6 },
	};

	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		struct vmtap_net_hdr hdr = { rows[i].flags, rows[i].gso_type };

		assert_int_equal(offload_needed(&hdr), rows[i].need);
	}
}

static void needed_is_all_ones_for_unknown_types(void **state)
{
	static const uint8_t types[] = { 2, 6, 0x80, 0x83, 0x85, 0x41, 0x21, 0xff };

	for (unsigned i = 0; i < ARRAY_LEN(types); i++) {
		struct vmtap_net_hdr hdr = { .gso_type = types[i] };

		assert_true(offload_needed(&hdr) == ~0u);
	}
}

/* --------------------------------------------------------- frames that are cut */

struct cut_row {
	const char *claim;
	struct kind kind;
};

static const struct cut_row cut_rows[] = {
	{ "cuts_tcp4", TCP4(.payload = 4380, .gso_size = 1460) },
	{ "cuts_tcp4_with_a_short_last", TCP4(.payload = 4000, .gso_size = 1460) },
	{ "cuts_tcp4_with_a_last_of_one_byte", TCP4(.payload = 2921, .gso_size = 1460) },
	{ "cuts_tcp4_at_odd_places", TCP4(.payload = 3001, .gso_size = 333) },
	{ "cuts_tcp4_to_single_bytes", TCP4(.payload = 50, .gso_size = 1) },
	{ "cuts_tcp4_of_64k", TCP4(.payload = 65495, .gso_size = 1460) },
	{ "cuts_tcp4_with_every_flag", TCP4(.payload = 3000, .gso_size = 1000, .tcp_flags = 0xff) },
	{ "cuts_tcp4_with_options", TCP4(.payload = 3000, .gso_size = 999, .tcp_opts = 10) },
	{ "cuts_tcp4_with_ip_options", TCP4(.payload = 3000, .gso_size = 999, .ip_opts = 10) },
	{ "cuts_tcp4_without_needs_csum",
	  TCP4(.payload = 3000, .gso_size = 999, .complete = true) },
	{ "cuts_tcp4_behind_a_tag", TCP4(.payload = 3000, .gso_size = 999, .tags = 1) },
	{ "cuts_tcp4_behind_eight_tags", TCP4(.payload = 3000, .gso_size = 999, .tags = 8) },
	{ "cuts_tcp6", TCP6(.payload = 4000, .gso_size = 1440, .tcp_flags = 0x99) },
	{ "cuts_tcp6_behind_two_tags", TCP6(.payload = 4000, .gso_size = 1001, .tags = 2) },
	{ "cuts_tcp6_with_extension_headers", TCP6(.payload = 4000, .gso_size = 1000, .ext = 3) },
	{ "cuts_tcp6_with_the_longest_headers",
	  TCP6(.payload = 4000, .gso_size = 1000, .ext = 500, .tcp_opts = 5) },
	{ "cuts_tcp6_without_needs_csum",
	  TCP6(.payload = 4000, .gso_size = 1000, .complete = true) },
	{ "cuts_uso4", USO4(.payload = 4001, .gso_size = 1000) },
	{ "cuts_uso4_with_ip_options", USO4(.payload = 4001, .gso_size = 777, .ip_opts = 3) },
	{ "cuts_uso6", USO6(.payload = 4001, .gso_size = 1000) },
	{ "cuts_uso6_with_extension_headers", USO6(.payload = 4001, .gso_size = 777, .ext = 2) },
};

/* However it lies in memory, and whether or not the receiver finishes checksums. */
static void cut_case(void **state)
{
	const struct cut_row *row = *state;
	static const uint32_t pieces[] = { 0, 1, 2, 7, 53, 1500, 4096 };
	struct built b = build(&row->kind);

	for (unsigned i = 0; i < ARRAY_LEN(pieces); i++) {
		for (unsigned open = 0; open < 2; open++) {
			struct got *g = new_got(state);

			cut(&b, pieces[i]);
			assert_int_equal(finish(&b, open ? VMTAP_OFFLOAD_CSUM : 0, g), 0);
			assert_segments(g, &b, &row->kind, open);
			assert_true(g->iov_most <= 33);
			forget(g);
		}
	}
	drop(&b);
}

/* ------------------------------------------------------------------ the rest */

static void passes_a_complete_frame_without_a_copy(void **state)
{
	struct built b = build(&(struct kind) { .payload = 100, .complete = true });
	struct got *g = new_got(state);

	b.frame.hdr = (struct vmtap_net_hdr) { .num_buffers = 3 };
	assert_int_equal(finish(&b, 0, g), 0);
	assert_int_equal(g->cnt, 1);
	assert_int_equal(g->copied, 0);
	assert_memory_equal(g->data[0], b.data, b.frame.len);
	assert_no_work(&g->hdr[0]);
	forget(g);
	drop(&b);
}

static void tells_data_valid_only_to_those_who_know_checksums(void **state)
{
	struct built b = build(&(struct kind) { .payload = 100, .complete = true });
	struct got *g = new_got(state);

	b.frame.hdr.flags = VMTAP_HDR_DATA_VALID | 0xf0;
	assert_int_equal(finish(&b, VMTAP_OFFLOAD_CSUM, g), 0);
	assert_int_equal(finish(&b, 0, g), 0);
	assert_int_equal(g->hdr[0].flags, VMTAP_HDR_DATA_VALID);
	assert_no_work(&g->hdr[1]);
	forget(g);
	drop(&b);
}

static void fills_in_a_checksum(void **state)
{
	static const struct kind kinds[] = {
		{ .payload = 1000 },
		{ .payload = 0 },
		{ .payload = 1001, .ip6 = true, .ext = 2 },
		{ .payload = 33, .udp = true, .tags = 2 },
		{ .payload = 1, .udp = true, .ip6 = true },
		{ .payload = 65507, .udp = true },
	};

	for (unsigned i = 0; i < ARRAY_LEN(kinds); i++) {
		struct built b = build(&kinds[i]);

		for (uint32_t piece = 0; piece < 70; piece += 13) {
			struct got *g = new_got(state);

			cut(&b, piece);
			assert_int_equal(finish(&b, VMTAP_OFFLOAD_ALL & ~1u, g), 0);
			assert_int_equal(g->cnt, 1);
			assert_l4_csum(g, 0, &b, &kinds[i], false);
			forget(g);
		}
		drop(&b);
	}
}

static void fills_in_a_checksum_of_the_longest_frame_in_single_bytes(void **state)
{
	struct kind k = { .payload = VMTAP_FRAME_MAX - 54 };
	struct built b = build(&k);
	struct got *g = new_got(state);

	assert_int_equal(b.frame.len, VMTAP_FRAME_MAX);
	cut(&b, 1);
	assert_int_equal(finish(&b, 0, g), 0);
	assert_l4_csum(g, 0, &b, &k, false);
	forget(g);
	drop(&b);
}

static void fills_in_a_field_in_the_last_two_bytes(void **state)
{
	struct built b = build(&(struct kind) { .payload = 100 });
	struct got *g = new_got(state);
	uint32_t len = b.frame.len - 30;

	b.frame.hdr.csum_start = 30;
	b.frame.hdr.csum_offset = (uint16_t)(len - 2);
	put_be16(b.data + b.frame.len - 2, 0);
	assert_int_equal(finish(&b, 0, g), 0);
	assert_int_equal(slow_sum(g->data[0] + 30, len, 0), 0xffff);
	forget(g);
	drop(&b);
}

static void fills_in_ffff_for_0(void **state)
{
	struct built b = build(&(struct kind) { .payload = 2, .udp = true });
	struct got *g = new_got(state);

	put_be16(b.data + b.body, 0);
	put_be16(b.data + b.body, (uint16_t)~slow_sum(b.data + b.l4, b.frame.len - b.l4,
						      0)); /* field: the pseudo sum */
	assert_int_equal(finish(&b, 0, g), 0);
	assert_int_equal(get_be16(g->data[0] + b.l4 + 6), 0xffff);
	forget(g);
	drop(&b);
}

static void leaves_a_checksum_to_those_who_take_it(void **state)
{
	struct kind k = { .payload = 1000 };
	struct built b = build(&k);
	struct got *g = new_got(state);

	assert_int_equal(finish(&b, VMTAP_OFFLOAD_CSUM, g), 0);
	assert_int_equal(g->copied, 0);
	assert_l4_csum(g, 0, &b, &k, true);
	forget(g);
	drop(&b);
}

static void only_checksums_what_fits_one_segment(void **state)
{
	struct kind kinds[] = {
		TCP4(.payload = 1000, .gso_size = 1000, .tcp_flags = 0x99),
		USO6(.payload = 1000, .gso_size = 1001),
		{ .udp = true, .gso_type = VMTAP_GSO_UDP, .payload = 1000, .gso_size = 1008 },
	};

	for (unsigned i = 0; i < ARRAY_LEN(kinds); i++) {
		struct built b = build(&kinds[i]);
		struct got *g = new_got(state);

		assert_int_equal(finish(&b, 0, g), 0);
		assert_int_equal(finish(&b, VMTAP_OFFLOAD_CSUM, g), 0);
		assert_int_equal(g->cnt, 2);
		assert_l4_csum(g, 0, &b, &kinds[i], false);
		assert_l4_csum(g, 1, &b, &kinds[i], true);
		assert_memory_equal(g->data[1], b.data, b.frame.len);
		forget(g);
		drop(&b);
	}
}

static void leaves_whole_what_the_receiver_cuts(void **state)
{
	enum {
		C = VMTAP_OFFLOAD_CSUM,
		E = VMTAP_GSO_ECN
	};
	static const struct {
		struct kind kind;
		unsigned accepts;
		bool whole;
	} rows[] = {
		{ TCP4(GOOD), C | VMTAP_OFFLOAD_TSO4, true },
		{ TCP4(GOOD), VMTAP_OFFLOAD_TSO4, false },
		{ TCP4(GOOD), C | VMTAP_OFFLOAD_TSO6, false },
		{ TCP6(GOOD), C | VMTAP_OFFLOAD_TSO6, true },
		{ TCP6(GOOD), C | VMTAP_OFFLOAD_TSO4, false },
		{ USO4(GOOD), C | VMTAP_OFFLOAD_USO4, true },
		{ USO4(GOOD), C | VMTAP_OFFLOAD_USO6, false },
		{ USO6(GOOD), C | VMTAP_OFFLOAD_USO6, true },
		{ USO6(GOOD), C | VMTAP_OFFLOAD_USO4, false },
		{ { .gso_type = VMTAP_GSO_TCPV4 | E, GOOD }, C | VMTAP_OFFLOAD_TSO4, false },
		{ { .gso_type = VMTAP_GSO_TCPV4 | E, GOOD },
		  C | VMTAP_OFFLOAD_TSO4 | VMTAP_OFFLOAD_ECN,
		  true },
	};

	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		struct built b = build(&rows[i].kind);
		struct got *g = new_got(state);

		assert_int_equal(finish(&b, rows[i].accepts, g), 0);
		assert_int_equal(g->cnt, rows[i].whole ? 1 : 3);
		if (rows[i].whole)
			assert_memory_equal(&g->hdr[0], &b.frame.hdr, sizeof(b.frame.hdr));
		else
			assert_segments(g, &b, &rows[i].kind, rows[i].accepts & VMTAP_OFFLOAD_CSUM);
		forget(g);
		drop(&b);
	}
}

/* Put fragments together; false where they do not follow on each other. */
static uint32_t join(const struct got *g, const struct built *b, bool ip6, uint8_t *to)
{
	uint32_t at = 0;

	for (unsigned i = 0; i < g->cnt; i++) {
		const uint8_t *ip = g->data[i] + b->l3, *frag = g->data[i] + b->l4;
		uint16_t field = get_be16(ip6 ? frag + 2 : ip + 6);
		bool more = field & (ip6 ? 1 : 0x2000);
		uint32_t skip = b->l4 + (ip6 ? 8 : 0);

		assert_no_work(&g->hdr[i]);
		assert_int_equal(ip6 ? field & 0xfff8 : (field & 0x1fff) * 8, at);
		assert_int_equal(more, i + 1 < g->cnt);
		assert_int_equal(get_be16(ip + (ip6 ? 4 : 2)), g->len[i] - b->l3 - (ip6 ? 40 : 0));
		if (ip6)
			assert_memory_equal(frag + 4, g->data[0] + b->l4 + 4, 4);
		else
			assert_int_equal(slow_sum(ip, b->l4 - b->l3, 0), 0xffff);
		memcpy(to + at, g->data[i] + skip, g->len[i] - skip);
		at += g->len[i] - skip;
	}
	return at;
}

static void makes_fragments_that_fit_together(void **state)
{
	static const struct kind kinds[] = {
		{ .payload = 3000, .gso_size = 1480 },
		{ .payload = 3001, .gso_size = 8, .ip_opts = 2 },
		{ .payload = 3001, .gso_size = 1237, .tags = 2 },
		{ .payload = 65507, .gso_size = 1480 },
		{ .payload = 3000, .gso_size = 1448, .ip6 = true },
		{ .payload = 65519, .gso_size = 8007, .ip6 = true, .ext = 1 },
		{ .payload = 8000, .gso_size = 15, .ip6 = true, .ext = 500 },
	};
	static uint8_t whole[65536];
	static const uint32_t pieces[] = { 0, 1, 100 };

	for (unsigned i = 0; i < 3 * ARRAY_LEN(kinds); i++) {
		struct kind k = kinds[i / 3];
		struct built b;
		struct got *g = new_got(state);

		k.udp = true;
		k.gso_type = VMTAP_GSO_UDP;
		b = build(&k);
		cut(&b, pieces[i % 3]);
		assert_int_equal(finish(&b, VMTAP_OFFLOAD_CSUM, g), 0);
		assert_int_equal(join(g, &b, k.ip6, whole), 8 + k.payload);
		assert_int_equal(slow_sum(whole, 8 + k.payload,
					  slow_pseudo(b.data + b.l3, k.ip6, 17, 8 + k.payload)),
				 0xffff);
		assert_memory_equal(whole + 8, b.data + b.body, k.payload);
		forget(g);
		drop(&b);
	}
}

static void numbers_ip6_datagrams_differently(void **state)
{
	struct kind k = { .udp = true, .ip6 = true, .gso_type = VMTAP_GSO_UDP, GOOD };
	struct built b = build(&k);
	uint32_t first = 0;

	for (unsigned i = 0; i < 3; i++) {
		struct got *g = new_got(state);
		uint32_t id;

		assert_int_equal(finish(&b, 0, g), 0);
		id = get_be32(g->data[0] + b.l4 + 4);
		assert_true(id && id != first);
		first = id;
		forget(g);
	}
	drop(&b);
}

static void does_not_copy_payload(void **state)
{
	struct kind k = TCP4(.payload = 60000, .gso_size = 1460);
	struct built b = build(&k);
	struct got *g = new_got(state);

	cut(&b, 4096);
	assert_int_equal(finish(&b, 0, g), 0);
	assert_int_equal(g->copied, b.body);
	assert_true(g->iov_most <= 3);
	forget(g);
	drop(&b);
}

static void reads_headers_once(void **state)
{
	struct kind k = TCP4(.payload = 5000, .gso_size = 1000, .tcp_flags = 0x99);
	struct built b = build(&k);
	struct got *g = new_got(state);

	g->scribble_on = &b; /* what a guest may do while its frame is worked on */
	assert_int_equal(finish(&b, 0, g), 0);
	assert_int_equal(g->cnt, 5);
	assert_segments(g, &b, &k, false);
	forget(g);
	drop(&b);
}

static void leaves_the_frame_as_it_was(void **state)
{
	struct kind kinds[] = { TCP4(GOOD),
				USO6(GOOD),
				{ .payload = 100 },
				{ .udp = true, .ip6 = true, .gso_type = VMTAP_GSO_UDP, GOOD } };

	for (unsigned i = 0; i < ARRAY_LEN(kinds); i++) {
		struct built b = build(&kinds[i]), same = build(&kinds[i]);
		struct got *g = new_got(state);

		assert_int_equal(finish(&b, 0, g), 0);
		assert_memory_equal(b.data, same.data, b.frame.len);
		forget(g);
		drop(&b);
		drop(&same);
	}
}

static void stops_when_emit_fails_and_says_why(void **state)
{
	struct kind kinds[] = { TCP4(GOOD),
				USO6(GOOD),
				{ .udp = true, .gso_type = VMTAP_GSO_UDP, GOOD } };

	for (unsigned i = 0; i < ARRAY_LEN(kinds); i++) {
		struct built b = build(&kinds[i]);
		struct got *g = new_got(state);

		g->fail_at = 2;
		assert_int_equal(finish(&b, 0, g), -EPIPE);
		assert_int_equal(g->cnt, 1);
		forget(g);
		drop(&b);
	}
}

int main(void)
{
	static const struct CMUnitTest single[] = {
		cmocka_unit_test(needed_names_the_bits_of_each_type),
		cmocka_unit_test(needed_is_all_ones_for_unknown_types),
		cmocka_unit_test(passes_a_complete_frame_without_a_copy),
		cmocka_unit_test(tells_data_valid_only_to_those_who_know_checksums),
		cmocka_unit_test(fills_in_a_checksum),
		cmocka_unit_test(fills_in_a_checksum_of_the_longest_frame_in_single_bytes),
		cmocka_unit_test(fills_in_a_field_in_the_last_two_bytes),
		cmocka_unit_test(fills_in_ffff_for_0),
		cmocka_unit_test(leaves_a_checksum_to_those_who_take_it),
		cmocka_unit_test(only_checksums_what_fits_one_segment),
		cmocka_unit_test(leaves_whole_what_the_receiver_cuts),
		cmocka_unit_test(makes_fragments_that_fit_together),
		cmocka_unit_test(numbers_ip6_datagrams_differently),
		cmocka_unit_test(does_not_copy_payload),
		cmocka_unit_test(reads_headers_once),
		cmocka_unit_test(leaves_the_frame_as_it_was),
		cmocka_unit_test(stops_when_emit_fails_and_says_why),
	};
	struct CMUnitTest tests[ARRAY_LEN(single) + ARRAY_LEN(cut_rows)];
	unsigned cnt = ARRAY_LEN(single);

	memcpy(tests, single, sizeof(single));
	for (unsigned i = 0; i < ARRAY_LEN(cut_rows); i++)
		tests[cnt++] = (struct CMUnitTest) { .name = cut_rows[i].claim,
						     .test_func = cut_case,
						     .initial_state = (void *)&cut_rows[i] };
	return cmocka_run_group_tests_name("offload", tests, NULL, NULL);
}
