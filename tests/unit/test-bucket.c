/* SPDX-License-Identifier: MIT */
/* Token buckets: what passes, by a clock that the test sets. */
#include "unit.h"

#include <string.h>

#include "base/clock.h"
#include "filter/bucket.h"
#include "filter/wire.h"

#define T0 (5 * NSEC_PER_SEC)
#define MSEC NSEC_PER_MSEC

static void a_new_bucket_is_full(void **state)
{
	struct bucket b;

	bucket_init(&b, 1000000, 4000, T0);
	assert_int_equal(bucket_credit(&b, T0), 4000);
	bucket_spend(&b, 4000);
	assert_int_equal(bucket_credit(&b, T0), 0);
	assert_int_equal(bucket_credit(&b, T0 + MSEC), 1000);
}

static void credit_ends_at_the_burst(void **state)
{
	struct bucket b;

	bucket_init(&b, 1000000, 4000, T0);
	bucket_spend(&b, 3000);
	assert_int_equal(bucket_credit(&b, T0 + 3600 * NSEC_PER_SEC), 4000);
	bucket_spend(&b, 3999);
	assert_int_equal(bucket_credit(&b, T0 + 3600 * NSEC_PER_SEC), 1);
}

static void what_was_too_long_is_a_debt(void **state)
{
	struct bucket b;

	bucket_init(&b, 1000000, 4000, T0);
	bucket_spend(&b, 14000);
	assert_int_equal(bucket_credit(&b, T0), -10000);
	assert_int_equal(bucket_wait_ns(&b, T0, 1000), 11 * MSEC);
	assert_int_equal(bucket_credit(&b, T0 + 10 * MSEC), 0);
	assert_int_equal(bucket_wait_ns(&b, T0 + 11 * MSEC, 1000), 0);
}

static void waits_for_half_a_burst_at_most(void **state)
{
	struct bucket b;

	bucket_init(&b, 1000000, 100, T0);
	bucket_spend(&b, 100);
	assert_int_equal(bucket_wait_ns(&b, T0, 1000), 50000);
	bucket_init(&b, 1, 1, T0);
	bucket_spend(&b, 1);
	assert_int_equal(bucket_wait_ns(&b, T0, 1000), NSEC_PER_SEC);
}

static void no_rate_is_no_limit(void **state)
{
	struct bucket b;

	bucket_init(&b, 0, 0, T0);
	bucket_spend(&b, 1000);
	assert_true(bucket_credit(&b, T0) == INT64_MAX);
}

/* Nothing is lost by rounding, whatever the rate and however often somebody looks. */
static void in_the_long_run_it_is_the_rate(void **state)
{
	static const uint64_t rates[] = { 1, 7, 999983, 1000000, 10000000000, 1000000000000 };

	for (unsigned r = 0; r < sizeof(rates) / sizeof(rates[0]); r++) {
		struct bucket b;
		uint64_t now = T0, spent = 0;

		bucket_init(&b, rates[r], rates[r] / 50 + 1, T0);
		bucket_spend(&b, b.burst);
		for (unsigned i = 0; i < 100000; i++) {
			int64_t credit;

			now += 99991; /* about ten seconds */
			credit = bucket_credit(&b, now);
			if (credit <= 0)
				continue;
			bucket_spend(&b, (uint64_t)credit);
			spent += (uint64_t)credit;
		}
		assert_int_equal(spent, (uint64_t)((double)rates[r] * (double)(now - T0) / 1e9));
	}
}

/* After 213 days at 10^12 a second, the count is where it began; half of that looks like a debt. */
static void years_without_a_frame_are_no_debt(void **state)
{
	static const uint64_t days[] = { 1, 100, 150, 200, 1000 };

	for (unsigned i = 0; i < sizeof(days) / sizeof(days[0]); i++) {
		struct bucket b;

		bucket_init(&b, 1000000000000, 4000, T0);
		bucket_spend(&b, 4000);
		assert_int_equal(bucket_credit(&b, T0 + days[i] * 86400 * NSEC_PER_SEC), 4000);
	}
}

/* -------------------------------------------------------------- on the wire */

struct row {
	struct vmtap_net_hdr hdr;
	uint32_t len;
	uint8_t offset; /* of TCP, words */
	uint64_t bytes;
	uint32_t frames;
};

static void a_frame_to_be_cut_counts_as_its_segments(void **state)
{
	enum {
		C = VMTAP_HDR_NEEDS_CSUM
	};
	static const struct row rows[] = {
		{ { 0 }, 1514, 0, 1514, 1 },
		{ { .flags = C, .csum_start = 34 }, 60, 0, 60, 1 },
		/* one segment, two, three; 34 + 32 bytes of headers each */
		{ { C, VMTAP_GSO_TCPV4, 0, 1448, 34 }, 66 + 1448, 8, 1514, 1 },
		{ { C, VMTAP_GSO_TCPV4, 0, 1448, 34 }, 66 + 1449, 8, 1515 + 66, 2 },
		{ { C, VMTAP_GSO_TCPV4, 0, 1448, 34 }, 66 + 3 * 1448, 8, 3 * 1514, 3 },
		/* a hint that is far off does not matter, nor does a header that cannot be */
		{ { C, VMTAP_GSO_TCPV4, 9999, 1448, 34 }, 66 + 2896, 8, 2 * 1514, 2 },
		{ { C, VMTAP_GSO_TCPV4, 0, 1448, 34 }, 54 + 2896, 1, 2 * 1502, 2 },
		{ { C, VMTAP_GSO_TCPV6 | VMTAP_GSO_ECN, 0, 1428, 54 }, 86 + 2856, 8, 2 * 1514, 2 },
		{ { C, VMTAP_GSO_UDP_L4, 0, 1000, 34 }, 42 + 2500, 0, 2542 + 84, 3 },
		{ { C, VMTAP_GSO_UDP, 0, 1480, 34 }, 34 + 2960, 0, 2 * 1514, 2 },
		/* without a checksum to be filled in, the usual headers */
		{ { 0, VMTAP_GSO_TCPV4, 0, 1448 }, 54 + 2896, 5, 2 * 1502, 2 },
		/* nonsense */
		{ { C, VMTAP_GSO_TCPV4, 0, 0, 34 }, 3000, 8, 3000, 1 },
		{ { C, VMTAP_GSO_TCPV4, 0, 1448, 65535 }, 3000, 8, 3000, 1 },
		{ { C, VMTAP_GSO_TCPV4, 0, 1, 34 }, 66 + 100, 8, 166 + 99 * 66, 100 },
	};
	static uint8_t bytes[65536];

	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct iovec iov = { bytes, rows[i].len };
		const struct vmtap_frame f = {
			.hdr = rows[i].hdr, .len = rows[i].len, .iov = &iov, .iov_cnt = 1
		};
		struct wire w;

		memset(bytes, 0, sizeof(bytes));
		bytes[34 + 12] = bytes[54 + 12] = (uint8_t)(rows[i].offset << 4);
		w = wire_of(&f);
		assert_int_equal(w.bytes, rows[i].bytes);
		assert_int_equal(w.frames, rows[i].frames);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_new_bucket_is_full),
		cmocka_unit_test(credit_ends_at_the_burst),
		cmocka_unit_test(what_was_too_long_is_a_debt),
		cmocka_unit_test(waits_for_half_a_burst_at_most),
		cmocka_unit_test(no_rate_is_no_limit),
		cmocka_unit_test(in_the_long_run_it_is_the_rate),
		cmocka_unit_test(years_without_a_frame_are_no_debt),
		cmocka_unit_test(a_frame_to_be_cut_counts_as_its_segments),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
