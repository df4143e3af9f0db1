/* SPDX-License-Identifier: MIT */
/* Two ports of a switch that lead to the same network, by a clock that the test sets. */
#include "unit.h"

#include <stdio.h>

#include "fake-clock.h"
#include "switch-test.h"

static unsigned warnings;
static char warning[1024];

static void keep(void *opaque, enum vmtap_log_level level, const char *object, const char *msg)
{
	assert_int_equal(level, VMTAP_LOG_WARNING);
	snprintf(warning, sizeof(warning), "%s: %s", object, msg);
	warnings++;
}

static const struct log to_test = { .level = VMTAP_LOG_DEBUG, .write = keep };

static void make(unsigned age_s)
{
	remake(&(struct switch_config) { .max_macs = 64, .age_s = age_s, QUEUE });
}

static int setup(void **state)
{
	now_ns = NSEC_PER_SEC;
	warnings = 0;
	switch_setup(state);
	env.log = &to_test;
	make(0);
	return 0;
}

/* An address is seen at ports @i and @j in turn. */
static void circle(unsigned i, unsigned j, unsigned cnt)
{
	for (unsigned n = 0; n < cnt; n++)
		say_from(n % 2 ? j : i, MAC_OF(9), BROADCAST, n);
}

static void pass(unsigned secs)
{
	for (unsigned s = 0; s < secs; s++) {
		now_ns += NSEC_PER_SEC;
		loop_dispatch(loop, 0);
	}
}

static void frames_in_circles_are_told_of_with_their_ports_and_what_to_do(void **state)
{
	circle(0, 2, 1000);
	pass(1);
	assert_int_equal(warnings, 1);
	assert_non_null(strstr(warning, "lan: "));
	assert_non_null(strstr(warning, "999 times in 1 s, of late to c and a: "));
	assert_non_null(strstr(warning, "spanning tree"));
	assert_non_null(strstr(warning, "isolated=on"));
}

static void an_address_that_moves_now_and_then_is_nothing_to_tell(void **state)
{
	for (unsigned s = 0; s < 20; s++) {
		circle(0, 1, 99);
		pass(1);
	}
	assert_int_equal(warnings, 0);
}

static void it_is_told_again_but_not_for_ever(void **state)
{
	for (unsigned s = 0; s < 9; s++) {
		circle(0, 1, 1000);
		pass(1);
	}
	assert_int_equal(warnings, 5);
	for (unsigned s = 0; s < 3; s++) {
		circle(0, 1, 1000);
		pass(1);
	}
	assert_in_range(warnings, 6, 8);
}

static void it_is_told_soon_however_long_addresses_stay(void **state)
{
	make(1000000);
	circle(0, 1, 1000);
	pass(9);
	assert_int_equal(warnings, 0);
	circle(0, 1, 1000);
	pass(1);
	assert_int_equal(warnings, 1);
}

static void a_port_that_left_is_not_named(void **state)
{
	circle(0, 1, 1000);
	switch_remove(sw, &ports[1]->port);
	pass(1);
	assert_non_null(strstr(warning, "of late to one that left and a: "));
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, switch_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(frames_in_circles_are_told_of_with_their_ports_and_what_to_do),
		CASE(an_address_that_moves_now_and_then_is_nothing_to_tell),
		CASE(it_is_told_again_but_not_for_ever),
		CASE(it_is_told_soon_however_long_addresses_stay),
		CASE(a_port_that_left_is_not_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
