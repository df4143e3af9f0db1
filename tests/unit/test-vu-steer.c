/* SPDX-License-Identifier: MIT */
/* Flows go to the queue pair on which the guest sends them. */
#include "unit.h"

#include <stdbool.h>
#include <string.h>

#include "port/vu/steer.h"

static struct steer s;
static uint8_t bytes[2][80];
static struct iovec iov[2];

static int setup(void **state)
{
	steer_reset(&s);
	s.cnt = 4;
	for (unsigned i = 0; i < 4; i++)
		s.pairs[i] = (uint8_t)(i * 3); /* some pairs are switched off */
	return 0;
}

static void put16(uint8_t *p, unsigned v)
{
	p[0] = (uint8_t)(v >> 8);
	p[1] = (uint8_t)v;
}

/* A packet of flow @flow, as the guest sends it, or @back. */
static struct vmtap_frame frame(unsigned flow, bool ip6, bool tag, bool back)
{
	uint8_t *b = bytes[back], *ip = b + (tag ? 18 : 14);
	unsigned addr_len = ip6 ? 16 : 4, addr_at = ip6 ? 8 : 12, l4 = ip6 ? 40 : 20;
	unsigned from = back ? 80 : 40000 + flow, to = back ? 40000 + flow : 80;

	memset(b, 0, sizeof(bytes[0]));
	put16(b + 12, tag ? 0x8100 : ip6 ? 0x86dd : 0x0800);
	if (tag)
		put16(b + 16, ip6 ? 0x86dd : 0x0800);
	ip[0] = ip6 ? 0x60 : 0x45;
	ip[ip6 ? 6 : 9] = 6;
	ip[addr_at + addr_len - 1] = back ? 2 : 1;
	ip[addr_at + 2 * addr_len - 1] = back ? 1 : 2;
	put16(ip + l4, from);
	put16(ip + l4 + 2, to);
	iov[back] = (struct iovec) { .iov_base = b, .iov_len = sizeof(bytes[0]) };
	return (struct vmtap_frame) { .len = sizeof(bytes[0]), .iov = &iov[back], .iov_cnt = 1 };
}

static void answers_come_where_the_guest_sends(void **state)
{
	for (unsigned kind = 0; kind < 4; kind++)
		for (unsigned flow = 0; flow < 100; flow++) {
			struct vmtap_frame out = frame(flow, kind & 1, kind & 2, false);
			struct vmtap_frame in = frame(flow, kind & 1, kind & 2, true);
			unsigned pair = s.pairs[flow % 4];

			steer_learn(&s, &out, pair);
			assert_int_equal(steer_pick(&s, &in), pair);
		}
}

/* Whichever share a place in the table: each stays on its pair, so that its frames stay in order. */
static void flows_do_not_move_each_other(void **state)
{
	for (unsigned turn = 0; turn < 2; turn++)
		for (unsigned flow = 0; flow < 300; flow++) {
			struct vmtap_frame out = frame(flow * flow % 25000, false, false, false);

			steer_learn(&s, &out, s.pairs[flow * flow % 25000 % 4]);
		}
	for (unsigned flow = 0; flow < 300; flow++) {
		struct vmtap_frame in = frame(flow * flow % 25000, false, false, true);

		assert_int_equal(steer_pick(&s, &in), s.pairs[flow * flow % 25000 % 4]);
	}
}

static void a_flow_follows_the_guest(void **state)
{
	struct vmtap_frame out = frame(1, false, false, false), in = frame(1, false, false, true);

	for (unsigned i = 0; i < 8; i++) {
		steer_learn(&s, &out, s.pairs[i % 4]);
		assert_int_equal(steer_pick(&s, &in), s.pairs[i % 4]);
	}
}

static void unknown_flows_are_spread_and_stay(void **state)
{
	unsigned seen[12] = { 0 };

	for (unsigned flow = 0; flow < 400; flow++) {
		struct vmtap_frame in = frame(flow, false, false, true);
		unsigned pair = steer_pick(&s, &in);

		assert_int_equal(steer_pick(&s, &in), pair);
		assert_true(pair < 12 && pair % 3 == 0);
		seen[pair]++;
	}
	for (unsigned i = 0; i < 4; i++)
		assert_in_range(seen[3 * i], 50, 200);
}

/* Pings and the like have no ports; who they are from is in the last byte of an address. */
static void flows_that_differ_in_one_byte_are_spread(void **state)
{
	static const struct {
		bool ip;
		unsigned at;
	} kinds[] = { { true, 14 + 15 }, { true, 14 + 19 }, { false, 5 }, { false, 11 } };

	for (size_t kind = 0; kind < sizeof(kinds) / sizeof(kinds[0]); kind++) {
		unsigned seen[12] = { 0 };

		for (unsigned i = 0; i < 100; i++) {
			struct vmtap_frame in = frame(0, false, false, true);

			bytes[1][14 + 9] = 1;
			if (!kinds[kind].ip)
				put16(bytes[1] + 12, 0x88b5);
			bytes[1][kinds[kind].at] = (uint8_t)i;
			seen[steer_pick(&s, &in)]++;
		}
		for (unsigned i = 0; i < 4; i++)
			assert_in_range(seen[3 * i], 10, 50);
	}
}

static void a_pair_that_went_gets_nothing(void **state)
{
	struct vmtap_frame out = frame(1, false, false, false), in = frame(1, false, false, true);

	steer_learn(&s, &out, 9);
	assert_int_equal(steer_pick(&s, &in), 9);
	s.cnt = 3;
	assert_int_not_equal(steer_pick(&s, &in), 9);
}

static void a_single_pair_gets_everything(void **state)
{
	s.cnt = 1;
	s.pairs[0] = 5;
	for (unsigned flow = 0; flow < 20; flow++) {
		struct vmtap_frame in = frame(flow, true, false, true);

		assert_int_equal(steer_pick(&s, &in), 5);
	}
}

/* Headers that end early, and an IPv4 header that says it is longer than the frame. */
static void frames_of_any_length_have_a_pair(void **state)
{
	for (unsigned ip6 = 0; ip6 < 2; ip6++)
		for (uint32_t len = 1; len <= sizeof(bytes[0]); len++) {
			struct vmtap_frame in = frame(7, ip6, false, true);

			bytes[1][14] = ip6 ? 0x60 : 0x4f;
			in.len = len;
			iov[1].iov_len = len;
			assert_true(steer_pick(&s, &in) % 3 == 0);
		}
}

static void cuts_make_no_difference(void **state)
{
	struct vmtap_frame in = frame(3, true, true, true);
	unsigned pair = steer_pick(&s, &in);

	for (size_t cut = 1; cut < sizeof(bytes[0]); cut++) {
		const struct iovec two[] = { { bytes[1], cut },
					     { bytes[1] + cut, sizeof(bytes[0]) - cut } };

		in.iov = two;
		in.iov_cnt = 2;
		assert_int_equal(steer_pick(&s, &in), pair);
	}
}

int main(void)
{
#define steer_case(name) cmocka_unit_test_setup(name, setup)
	const struct CMUnitTest tests[] = {
		steer_case(answers_come_where_the_guest_sends),
		steer_case(flows_do_not_move_each_other),
		steer_case(a_flow_follows_the_guest),
		steer_case(unknown_flows_are_spread_and_stay),
		steer_case(flows_that_differ_in_one_byte_are_spread),
		steer_case(a_pair_that_went_gets_nothing),
		steer_case(a_single_pair_gets_everything),
		steer_case(frames_of_any_length_have_a_pair),
		steer_case(cuts_make_no_difference),
	};

	return cmocka_run_group_tests_name("vu-steer", tests, NULL, NULL);
}
