/* SPDX-License-Identifier: MIT */
/* vmtap top without a terminal: samples in, lines out. */
#include "unit.h"

#include <stdio.h>
#include <string.h>

#include "cli/top-model.h"

static void add(struct top *t, const char *name, const char *type, uint64_t rx_bits, uint64_t drops)
{
	const struct top_sample s = {
		.text = { name, type, "up", NULL },
		.count = { rx_bits / 100, rx_bits, 0, 0, drops },
	};

	assert_int_equal(top_add(t, &s), 0);
}

static void sample(struct top *t, double at_s, uint64_t a, uint64_t b)
{
	top_begin(t, at_s);
	add(t, "a", "tap", a, 0);
	add(t, "b", "null", b, b);
	top_end(t);
}

static double bits(const struct top *t, unsigned i)
{
	return t->ports[i].rate[TOP_RX_BITS - TOP_TEXT_CNT];
}

static void two_samples_make_a_rate(void **state)
{
	struct top t = { 0 };

	sample(&t, 10, 5000, 0);
	assert_true(bits(&t, 0) == 0);
	sample(&t, 12, 9000, 10);
	assert_true(bits(&t, 0) == 2000);
	assert_true(bits(&t, 1) == 5);
	assert_true(t.ports[0].history[TOP_HISTORY - 1] == 2000);
	top_fini(&t);
}

static void counters_that_went_back_begin_anew(void **state)
{
	struct top t = { 0 };

	sample(&t, 10, 5000, 0);
	sample(&t, 11, 100, 0);
	assert_true(bits(&t, 0) == 0);
	sample(&t, 12, 300, 0);
	assert_true(bits(&t, 0) == 200);
	sample(&t, 12, 900, 0); /* no time has passed */
	assert_true(bits(&t, 0) == 0);
	top_fini(&t);
}

static void ports_that_went_are_forgotten(void **state)
{
	struct top t = { 0 };

	sample(&t, 10, 0, 0);
	top_begin(&t, 11);
	add(&t, "b", "null", 0, 0);
	top_end(&t);
	assert_int_equal(t.cnt, 1);
	assert_string_equal(t.ports[0].text[TOP_PORT], "b");
	for (unsigned i = 0; i < 100; i++) {
		char name[16];

		snprintf(name, sizeof(name), "p%u", i);
		add(&t, name, "tap", 0, 0);
	}
	assert_int_equal(t.cnt, 101);
	top_fini(&t);
}

static void numbers_go_down_and_text_goes_up(void **state)
{
	struct top t = { 0 };

	sample(&t, 10, 0, 0);
	sample(&t, 11, 100, 900);
	assert_string_equal(t.ports[0].text[TOP_PORT], "a");
	t.sort = TOP_RX_BITS;
	top_sort(&t);
	assert_string_equal(t.ports[0].text[TOP_PORT], "b");
	t.reverse = true;
	top_sort(&t);
	assert_string_equal(t.ports[0].text[TOP_PORT], "a");
	t.sort = TOP_STATE; /* equal: by name, whichever way */
	top_sort(&t);
	assert_string_equal(t.ports[0].text[TOP_PORT], "a");
	t.sort = TOP_PORT;
	top_sort(&t);
	assert_string_equal(t.ports[0].text[TOP_PORT], "b");
	top_fini(&t);
}

static void a_filter_is_a_part_of_any_text(void **state)
{
	struct top t = { 0 };

	sample(&t, 10, 0, 0);
	assert_true(top_shows(&t, &t.ports[0]) && top_shows(&t, &t.ports[1]));
	strcpy(t.filter, "ul");
	assert_false(top_shows(&t, &t.ports[0]));
	assert_true(top_shows(&t, &t.ports[1]));
	top_fini(&t);
}

/* As vmtap(1) says: a terminal of 80 columns, of which the last stays free. */
static void ten_samples_fit_into_80_columns(void **state)
{
	struct top t = { 0 };
	struct top_port p = { .text = { "vm0", "tap", "up", "guest" } };
	char buf[TOP_LINE_MAX], spark[TOP_LINE_MAX];

	for (unsigned i = 0; i < TOP_HISTORY; i++)
		p.history[i] = i + 1;
	top_row(&t, &p, 80 - 1, buf, sizeof(buf));
	assert_int_equal(strlen(buf), 79);
	assert_string_equal(strrchr(buf, ' ') + 1, top_spark(&t, &p, 10, spark, sizeof(spark)));
}

static void a_sparkline_has_the_newest_on_the_right(void **state)
{
	struct top t = { .utf8 = true };
	struct top_port p = { 0 };
	char buf[TOP_LINE_MAX], small[5];

	assert_string_equal(top_spark(&t, &p, 3, buf, sizeof(buf)), "   ");
	p.history[TOP_HISTORY - 3] = 1;
	p.history[TOP_HISTORY - 2] = 8e9;
	p.history[TOP_HISTORY - 1] = 4e9;
	assert_string_equal(top_spark(&t, &p, 4, buf, sizeof(buf)), " ▁█▄");
	assert_string_equal(top_spark(&t, &p, 3, small, sizeof(small)), "▁");
	t.utf8 = false;
	assert_string_equal(top_spark(&t, &p, 4, buf, sizeof(buf)), " .#=");
	assert_int_equal(strlen(top_spark(&t, &p, 1000, buf, sizeof(buf))), TOP_HISTORY);
}

static void a_line_is_never_wider_than_asked(void **state)
{
	struct top t = { 0 };
	char buf[TOP_LINE_MAX];

	sample(&t, 10, 0, 0);
	sample(&t, 11, 123456789, 7);
	for (int width = 10; width < 200; width++) {
		assert_true((int)strlen(top_heading(&t, width, buf, sizeof(buf))) <= width);
		assert_true((int)strlen(top_row(&t, &t.ports[0], width, buf, sizeof(buf))) <=
			    width);
		assert_int_equal(buf[0], 'a');
	}
	top_row(&t, &t.ports[0], 80, buf, sizeof(buf));
	assert_non_null(strstr(buf, "tap"));
	assert_non_null(strstr(buf, " 123M"));
	assert_non_null(strchr(buf, '#'));
	assert_int_equal(strlen(top_row(&t, &t.ports[0], 80, buf, 30)), 29);
	top_fini(&t);
}

static void names_cannot_order_the_terminal_about(void **state)
{
	struct top t = { 0 };

	top_begin(&t, 1);
	add(&t, "x\033[2J\303\244", "tap", 0, 0);
	top_begin(&t, 2);
	add(&t, "x\033[2J\303\244", "tap", 50, 0); /* is found again */
	assert_int_equal(t.cnt, 1);
	assert_string_equal(t.ports[0].text[TOP_PORT], "x?[2J??");
	top_fini(&t);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_samples_make_a_rate),
		cmocka_unit_test(counters_that_went_back_begin_anew),
		cmocka_unit_test(ports_that_went_are_forgotten),
		cmocka_unit_test(numbers_go_down_and_text_goes_up),
		cmocka_unit_test(a_filter_is_a_part_of_any_text),
		cmocka_unit_test(ten_samples_fit_into_80_columns),
		cmocka_unit_test(a_sparkline_has_the_newest_on_the_right),
		cmocka_unit_test(a_line_is_never_wider_than_asked),
		cmocka_unit_test(names_cannot_order_the_terminal_about),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
