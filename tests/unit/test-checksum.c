/* SPDX-License-Identifier: MIT */
/* The fast checksum against one that adds a byte at a time. */
#include "offload-frames.h"

#include "net/checksum.h"

static void csum_equals_the_slow_one_for_any_length_and_place(void **state)
{
	uint8_t buf[400];

	for (unsigned i = 0; i < sizeof(buf); i++)
		buf[i] = body_byte(i * 3);
	for (unsigned at = 0; at < 9; at++)
		for (unsigned len = 0; len + at <= sizeof(buf); len++)
			assert_int_equal(ntohs(offload_csum(buf + at, len, 0)),
					 slow_sum(buf + at, len, 0));
}

static void csum_of_a_partial_result_goes_on(void **state)
{
	uint8_t buf[100];
	uint16_t part;

	memset(buf, 0xa7, sizeof(buf));
	part = offload_csum(buf, 38, 0);
	assert_int_equal(offload_csum(buf + 38, 62, part), offload_csum(buf, 100, 0));
	assert_int_equal(offload_csum(NULL, 0, 0), 0);
	assert_int_equal(offload_csum(NULL, 0, 0xffffffff), 0xffff);
}

static void csum_of_many_ones_keeps_every_carry(void **state)
{
	size_t len = 4 << 20;
	uint8_t *buf = malloc(len);

	assert_non_null(buf);
	memset(buf, 0xff, len);
	assert_int_equal(offload_csum(buf, len, 0), 0xffff);
	buf[len - 1] = 0xfe;
	assert_int_equal(ntohs(offload_csum(buf, len, 0)), 0xfffe);
	free(buf);
}

static void csum_of_pieces_is_that_of_the_whole(void **state)
{
	uint8_t buf[301];

	for (unsigned i = 0; i < sizeof(buf); i++)
		buf[i] = body_byte(i);
	for (unsigned piece = 1; piece < 80; piece++) {
		struct csum c = { 0 };

		for (unsigned at = 0; at < sizeof(buf); at += piece)
			csum_add(&c, buf + at, piece < sizeof(buf) - at ? piece : sizeof(buf) - at);
		assert_int_equal(ntohs(csum_fold(c.sum)), slow_sum(buf, sizeof(buf), 0));
	}
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(csum_equals_the_slow_one_for_any_length_and_place),
		cmocka_unit_test(csum_of_a_partial_result_goes_on),
		cmocka_unit_test(csum_of_many_ones_keeps_every_carry),
		cmocka_unit_test(csum_of_pieces_is_that_of_the_whole),
	};

	return cmocka_run_group_tests_name("checksum", tests, NULL, NULL);
}
