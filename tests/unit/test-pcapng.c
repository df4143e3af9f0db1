/* SPDX-License-Identifier: MIT */
/* Blocks of the pcapng format, byte by byte. */
#include "unit.h"

#include <string.h>

#include "filter/pcapng.h"

static uint32_t word(const uint8_t *at)
{
	uint32_t v;

	memcpy(&v, at, sizeof(v));
	return v;
}

static void a_section_is_as_the_format_says(void **state)
{
	static const uint32_t want[] = {
		0x0a0d0d0a, 60,	 0x1a2b3c4d, 1, /* version 1.0 */
		~0u,	    ~0u,		/* length unknown */
		0x00030002, 0,			/* hardware, 3 bytes */
		0x00010003, 0,			/* os, 1 byte */
		0x00040004, 0,			/* program, 4 bytes */
		0,	    60,
	};
	uint8_t buf[128], expected[sizeof(want)];

	memcpy(expected, want, sizeof(want));
	memcpy(expected + 28, "x86", 3);
	memcpy(expected + 36, "L", 1);
	memcpy(expected + 44, "prog", 4);
	/* the two words behind are the end of options and the length once more */
	expected[4] = expected[52] = 56;
	assert_int_equal(pcapng_section(buf, sizeof(buf), "x86", "L", "prog"), 56);
	assert_memory_equal(buf, expected, 48);
	assert_int_equal(word(buf + 48), 0);
	assert_int_equal(word(buf + 52), 56);
}

static void an_interface_has_nanoseconds_and_its_filter(void **state)
{
	const struct pcapng_if i = { .name = "vm0", .filter = "arp", .snaplen = 96 };
	uint8_t buf[128];
	const size_t len = pcapng_interface(buf, sizeof(buf), &i);

	assert_int_equal(len, 48);
	assert_int_equal(word(buf), 1);
	assert_int_equal(word(buf + 4), 48);
	assert_int_equal(word(buf + 8), 1); /* Ethernet */
	assert_int_equal(word(buf + 12), 96);
	assert_int_equal(word(buf + 16), 0x00030002);
	assert_memory_equal(buf + 20, "vm0", 4);
	assert_int_equal(word(buf + 24), 0x00010009);
	assert_int_equal(word(buf + 28), 9);
	assert_int_equal(word(buf + 32), 0x0004000b);
	assert_memory_equal(buf + 36, "\0arp", 4);
	assert_int_equal(word(buf + 40), 0);
	assert_int_equal(word(buf + len - 4), 48);
}

static void a_frame_is_padded_and_says_its_way(void **state)
{
	const struct pcapng_frame f = {
		.ts_ns = 0x0123456789abcdef,
		.data = "12345678901234567",
		.cap_len = 17,
		.len = 1500,
		.way = PCAPNG_OUTBOUND,
		.lost = 7,
		.comment = "hello",
	};
	uint8_t buf[256];
	const size_t len = pcapng_frame(buf, sizeof(buf), &f);

	assert_int_equal(len, 28 + 20 + 8 + 12 + 12 + 4 + 4);
	assert_int_equal(word(buf), 6);
	assert_int_equal(word(buf + 4), len);
	assert_int_equal(word(buf + 8), 0);
	assert_int_equal(word(buf + 12), 0x01234567);
	assert_int_equal(word(buf + 16), 0x89abcdef);
	assert_int_equal(word(buf + 20), 17);
	assert_int_equal(word(buf + 24), 1500);
	assert_memory_equal(buf + 28, "12345678901234567\0\0\0", 20);
	assert_int_equal(word(buf + 48), 0x00040002);
	assert_int_equal(word(buf + 52), 2);
	assert_int_equal(word(buf + 56), 0x00080004);
	assert_int_equal(word(buf + 60), 7);
	assert_int_equal(word(buf + 64), 0);
	assert_int_equal(word(buf + 68), 0x00050001);
	assert_memory_equal(buf + 72, "hello\0\0\0", 8);
	assert_int_equal(word(buf + 80), 0);
	assert_int_equal(word(buf + 84), len);
}

static void statistics_have_all_counters(void **state)
{
	const struct pcapng_stats s = { .start_ns = 1ull << 32,
					.end_ns = 2,
					.seen = 9,
					.accepted = 8,
					.lost = 3,
					.written = 5 };
	uint8_t buf[256];
	const size_t len = pcapng_stats(buf, sizeof(buf), &s);

	assert_int_equal(len, 20 + 6 * 12 + 4 + 4);
	assert_int_equal(word(buf), 5);
	assert_int_equal(word(buf + 16), 2);
	assert_int_equal(word(buf + 20), 0x00080002);
	assert_int_equal(word(buf + 24), 1);
	assert_int_equal(word(buf + 48), 9);
	assert_int_equal(word(buf + 60), 3);
	assert_int_equal(word(buf + 72), 8);
	assert_int_equal(word(buf + 84), 5);
}

static void what_does_not_fit_is_no_block(void **state)
{
	const struct pcapng_frame f = { .data = "1234", .cap_len = 4, .len = 4, .way = 1 };
	uint8_t buf[64];

	for (size_t size = 0; size < 28 + 4 + 8 + 4 + 4; size++)
		assert_int_equal(pcapng_frame(buf, size, &f), 0);
	assert_int_equal(pcapng_frame(buf, 48, &f), 48);
}

static void no_frame_needs_more_than_the_stated_overhead(void **state)
{
	static uint8_t data[61], buf[61 + PCAPNG_FRAME_OVERHEAD];
	const struct pcapng_frame f = {
		.data = data, .cap_len = sizeof(data), .len = 61, .way = 1, .lost = 1, .comment = ""
	};

	assert_true(pcapng_frame(buf, sizeof(buf), &f) > 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_section_is_as_the_format_says),
		cmocka_unit_test(an_interface_has_nanoseconds_and_its_filter),
		cmocka_unit_test(a_frame_is_padded_and_says_its_way),
		cmocka_unit_test(statistics_have_all_counters),
		cmocka_unit_test(what_does_not_fit_is_no_block),
		cmocka_unit_test(no_frame_needs_more_than_the_stated_overhead),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
