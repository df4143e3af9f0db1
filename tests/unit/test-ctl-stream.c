/* SPDX-License-Identifier: MIT */
/* From bytes to JSON documents, wherever they are cut. */
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "ctl/stream.h"

static struct stream s;

static int setup(void **state)
{
	s = (struct stream) { 0 };
	return 0;
}

static int teardown(void **state)
{
	stream_fini(&s);
	return 0;
}

static void feed(const char *text)
{
	assert_int_equal(stream_feed(&s, text, strlen(text)), 0);
}

static void expect(enum stream_item item)
{
	const char *doc;
	size_t len;

	assert_int_equal(stream_next(&s, &doc, &len), item);
}

static void expect_doc(const char *text)
{
	const char *doc;
	size_t len;

	assert_int_equal(stream_next(&s, &doc, &len), STREAM_DOC);
	assert_int_equal(len, strlen(text));
	assert_memory_equal(doc, text, len);
}

static void several_in_one_packet(void **state)
{
	feed("{}{\"a\":[1,2]}\r\n [] ");
	expect_doc("{}");
	expect_doc("{\"a\":[1,2]}");
	expect_doc("[]");
	expect(STREAM_NONE);
	assert_true(stream_is_idle(&s));
}

static void one_over_several_packets(void **state)
{
	static const char text[] = "{\"a\":\"}\\\"{\",\"b\":{\"c\":[{}]}}";

	for (const char *c = text; *c; c++) {
		char one[2] = { *c };

		expect(STREAM_NONE);
		feed(one);
		assert_false(stream_is_idle(&s) && c > text);
	}
	expect_doc(text);
	assert_true(stream_is_idle(&s));
}

static void brackets_in_strings_do_not_count(void **state)
{
	feed("{\"a\":\"}}]]{{[[\\\\\"}{\"b\":\"\\\"}\"}");
	expect_doc("{\"a\":\"}}]]{{[[\\\\\"}");
	expect_doc("{\"b\":\"\\\"}\"}");
	expect(STREAM_NONE);
}

static void what_is_no_document_is_said_once_a_line(void **state)
{
	feed("hello {\"a\":1} there\n{\"b\":2}\n}}}\n");
	expect(STREAM_BAD);
	expect_doc("{\"b\":2}");
	expect(STREAM_BAD);
	expect(STREAM_NONE);
}

static void a_string_that_does_not_end_ends_with_its_line(void **state)
{
	feed("{\"a\":\"\n{\"b\":2}");
	expect(STREAM_BAD);
	expect_doc("{\"b\":2}");
}

static void a_control_character_in_a_string_is_refused(void **state)
{
	static const char text[] = "{\"a\":\"\0\"}\n{}";

	assert_int_equal(stream_feed(&s, text, sizeof(text) - 1), 0);
	expect(STREAM_BAD);
	expect_doc("{}");
}

static void too_deep_is_said_at_its_end(void **state)
{
	for (int i = 0; i <= STREAM_DEPTH_MAX; i++)
		feed("[");
	expect(STREAM_NONE);
	for (int i = 0; i <= STREAM_DEPTH_MAX; i++)
		feed("]");
	expect(STREAM_TOO_DEEP);
	feed("[1]");
	expect_doc("[1]");
}

static void as_deep_as_allowed_is_fine(void **state)
{
	for (int i = 0; i < STREAM_DEPTH_MAX; i++)
		feed("[");
	for (int i = 0; i < STREAM_DEPTH_MAX; i++)
		feed("]");
	expect(STREAM_DOC);
}

/* A document without end costs no memory. */
static void too_long_is_said_at_its_end_and_not_kept(void **state)
{
	static char piece[65536];

	memset(piece, 'x', sizeof(piece));
	feed("{\"a\":\"");
	for (int i = 0; i < 160; i++) {
		expect(STREAM_NONE);
		assert_int_equal(stream_feed(&s, piece, sizeof(piece)), 0);
		assert_true(s.size <= STREAM_DOC_MAX + 2 * sizeof(piece));
	}
	feed("\"}{\"b\":1}");
	expect(STREAM_TOO_LONG);
	expect_doc("{\"b\":1}");
	expect(STREAM_NONE);
}

static void the_longest_is_fine(void **state)
{
	char *text = malloc(STREAM_DOC_MAX + 1);

	memset(text, ' ', STREAM_DOC_MAX);
	text[0] = '{';
	text[STREAM_DOC_MAX - 1] = '}';
	assert_int_equal(stream_feed(&s, text, STREAM_DOC_MAX), 0);
	expect(STREAM_DOC);
	text[STREAM_DOC_MAX - 1] = ' ';
	text[STREAM_DOC_MAX] = '}';
	assert_int_equal(stream_feed(&s, text, STREAM_DOC_MAX + 1), 0);
	expect(STREAM_TOO_LONG);
	free(text);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(several_in_one_packet),
		TEST(one_over_several_packets),
		TEST(brackets_in_strings_do_not_count),
		TEST(what_is_no_document_is_said_once_a_line),
		TEST(a_string_that_does_not_end_ends_with_its_line),
		TEST(a_control_character_in_a_string_is_refused),
		TEST(too_deep_is_said_at_its_end),
		TEST(as_deep_as_allowed_is_fine),
		TEST(too_long_is_said_at_its_end_and_not_kept),
		TEST(the_longest_is_fine),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
