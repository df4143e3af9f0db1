/* SPDX-License-Identifier: MIT */
/* What many probes say together. */
#include "unit.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "cli/ping-stats.h"

static struct ping_summary sum;

static int setup(void **state)
{
	sum = (struct ping_summary) { 0 };
	return 0;
}

static bool is_near(uint64_t value, uint64_t wanted)
{
	const uint64_t off = value > wanted ? value - wanted : wanted - value;

	return off * 60 <= wanted;
}

static void few_values_are_exact(void **state)
{
	struct dist *d = &sum.parts[0];

	assert_int_equal(dist_at(d, 0.5), 0);
	dist_add(d, 123456789);
	assert_int_equal(dist_at(d, 0.5), 123456789);
	assert_int_equal(dist_at(d, 0.99), 123456789);
	dist_add(d, 0);
	assert_int_equal(d->min, 0);
	assert_int_equal(d->max, 123456789);
}

static void shares_are_those_of_the_sorted_values(void **state)
{
	struct dist *d = &sum.parts[0];

	for (uint64_t i = 1; i <= 1000; i++)
		dist_add(d, i * 1000);
	assert_true(is_near(dist_at(d, 0.5), 500000));
	assert_true(is_near(dist_at(d, 0.99), 990000));
	assert_int_equal(dist_at(d, 1), 1000000);
	assert_true(dist_mean(d) == 500500.0);
}

static void each_size_of_value_is_near(void **state)
{
	static struct dist d;

	for (unsigned shift = 0; shift < 64; shift++) {
		const uint64_t value = (uint64_t)3 << shift >> 1;

		d = (struct dist) { 0 };
		dist_add(&d, value ? value - 1 : 0);
		dist_add(&d, value);
		dist_add(&d, UINT64_MAX);
		assert_true(is_near(dist_at(&d, 0.5), value));
	}
	assert_int_equal(d.cnt, 3);
}

static void a_probe_is_the_sum_of_its_parts(void **state)
{
	ping_add(&sum, (const uint64_t[PART_CNT]) { 1, 2, 3 });
	assert_int_equal(sum.parts[PART_TOTAL].max, 6);
	assert_int_equal(sum.parts[PART_HAND_OVER].max, 2);
}

static const char *verdict(const char *cause)
{
	static char buf[600];

	return ping_verdict(&sum, cause, buf, sizeof(buf));
}

static void the_verdict_names_the_part_that_took_most(void **state)
{
	static const uint64_t ns[PART_TOTAL][PART_CNT] = {
		{ 8000000, 1000000, 1000000 },
		{ 1000000, 8000000, 1000000 },
		{ 1000000, 1000000, 8000000 },
	};

	for (int i = 0; i < PART_TOTAL; i++) {
		sum = (struct ping_summary) { 0 };
		ping_add(&sum, ns[i]);
		assert_non_null(strstr(verdict(NULL), "80 %"));
		assert_non_null(strstr(verdict(NULL), ping_part_name((enum ping_part)i)));
		assert_null(strstr(verdict(NULL), "Now and then"));
		assert_null(strstr(verdict(NULL), "quick"));
	}
}

static void the_verdict_says_whose_time_outside_was(void **state)
{
	ping_add(&sum, (const uint64_t[PART_CNT]) { 1000, 1000, 8000000, [PART_BUSY] = 3900000 });
	assert_non_null(strstr(verdict(NULL), "guest that answers"));
	ping_add(&sum, (const uint64_t[PART_CNT]) { 1000, 1000, 8000000, [PART_BUSY] = 4200000 });
	assert_non_null(strstr(verdict(NULL), "thread was busy"));
}

static void the_verdict_says_when_all_is_well(void **state)
{
	for (unsigned i = 0; i < 100; i++)
		ping_add(&sum, (const uint64_t[PART_CNT]) { 20000, 5000, 100000 });
	assert_non_null(strstr(verdict(NULL), "quick"));
}

static void the_verdict_tells_of_the_worst_in_a_hundred(void **state)
{
	for (unsigned i = 0; i < 96; i++)
		ping_add(&sum, (const uint64_t[PART_CNT]) { 10000, 10000, 1000000 });
	for (unsigned i = 0; i < 4; i++)
		ping_add(&sum, (const uint64_t[PART_CNT]) { 20000000, 10000, 1000000 });
	assert_non_null(strstr(verdict(NULL), "55 %"));
	assert_non_null(strstr(verdict(NULL), "Now and then"));
	assert_non_null(strstr(strstr(verdict(NULL), "Now and then"), "\"wait\""));
}

static void without_an_answer_it_says_why(void **state)
{
	sum.lost = 3;
	assert_non_null(strstr(verdict(NULL), "nobody answered"));
	sum.held = 4;
	assert_non_null(strstr(verdict(NULL), "takes nothing"));
	sum.dropped = 8;
	assert_non_null(strstr(verdict("link-down"), "link-down"));
}

static void it_fits_where_it_has_to(void **state)
{
	char small[20];

	ping_add(&sum, (const uint64_t[PART_CNT]) { 1, 1, UINT64_MAX / 4 });
	ping_verdict(&sum, NULL, small, sizeof(small));
	assert_int_equal(strlen(small), sizeof(small) - 1);
}

#define CASE(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(few_values_are_exact),
		CASE(shares_are_those_of_the_sorted_values),
		CASE(each_size_of_value_is_near),
		CASE(a_probe_is_the_sum_of_its_parts),
		CASE(the_verdict_names_the_part_that_took_most),
		CASE(the_verdict_says_whose_time_outside_was),
		CASE(the_verdict_says_when_all_is_well),
		CASE(the_verdict_tells_of_the_worst_in_a_hundred),
		CASE(without_an_answer_it_says_why),
		CASE(it_fits_where_it_has_to),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
