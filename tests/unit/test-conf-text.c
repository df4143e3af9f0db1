/* SPDX-License-Identifier: MIT */
/* Descriptions of ports: hostile text, and how errors quote it and suggest. */
#include "conf-parse.h"
#include "conf/nearest.h"

static void refuses_control_characters(void **state)
{
	refuse("tap,ifname=a\033[2Jb", "ifname='a\\x1b[2Jb': byte 2 is a control character", "");
	refuse("tap,script=a\nb", "'a\\x0ab': byte 2 is a control", "");
	refuse("tap,script=\x7f", "byte 1 is a control", "");
	refuse("tap,script=a\xc2\x9b"
	       "31m",
	       "byte 2 is a control", "");
	refuse("{\"type\":\"tap\",\"ifname\":\"a\\u001b\"}", "'a\\x1b': byte 2 is a control", "");
}

static void refuses_what_is_not_utf8(void **state)
{
	refuse("tap,script=\xff", "'\\xff': byte 1 is not UTF-8", "");
	refuse("tap,script=a\xc3", "byte 2 is not UTF-8", "");
	refuse("tap,script=a\xc2", "byte 2 is not UTF-8", "");
	refuse("tap,script=\xc0\xaf", "not UTF-8", "");
	refuse("tap,script=\xed\xa0\x80", "not UTF-8", "");
	refuse("tap,script=\xf4\x90\x80\x80", "not UTF-8", "");
	refuse("tap,script=\xe0\x80\xaf", "not UTF-8", "");
	refuse("tap,script=\xe0\x9f\xbf", "not UTF-8", "");
	parse("tap,script=/tmp/\xc3\xbc\xe2\x82\xac\xf0\x9f\x90\xa7");
	assert_string_equal(conf_str(conf, "script", NULL),
			    "/tmp/\xc3\xbc\xe2\x82\xac\xf0\x9f\x90\xa7");
}

static void errors_escape_unknown_keys(void **state)
{
	refuse("tap,\033]0;pwned\007=1", "'\\x1b]0;pwned\\x07'", "");
	assert_printable(error.reason);
	refuse("{\"type\":\"tap\",\"a\\nb\":1}", "'a\\x0ab'", "");
	assert_printable(error.reason);
	refuse("tap,it's\\=1", "'it\\'s\\\\'", "");
}

static void errors_quote_only_the_start_of_long_values(void **state)
{
	char spec[1024] = "tap,queues=";
	char want[96];

	memset(spec + 11, 'x', 1000);
	refuse(spec, "it is not a number", "");
	snprintf(want, sizeof(want), "queues='%.60s'...: it", spec + 11);
	assert_non_null(strstr(error.reason, want));
	memset(spec + 4, '\001', 1000);
	refuse(spec, "'...", "");
	assert_printable(error.reason);
	memset(spec + 4, 0, 1000);
	spec[4] = 'k'; /* the limit falls into a character */
	for (unsigned i = 0; i < 40; i++)
		strcat(spec, "\xc3\xbc\xc3\xbc");
	refuse(spec, "\xc3\xbc'...", "");
	assert_printable(error.reason);
}

static void errors_name_the_port_wherever_it_is_named(void **state)
{
	refuse("tap,queues=x,ifname=vm0,id=net0", "", "");
	assert_string_equal(error.object, "tap net0");
	refuse("tap,queues=x,ifname=vm0", "", "");
	assert_string_equal(error.object, "tap vm0");
	refuse("tap,queues=x", "", "");
	assert_string_equal(error.object, "tap");
	refuse("tap,id=a/b,ifname=vm0", "", "");
	assert_string_equal(error.object, "tap vm0");
}

static void error_may_be_null(void **state)
{
	static const char *const specs[] = {
		"",
		",",
		"tap,x",
		"tap,queues=x",
		"tap,queues",
		"tap,=",
		"tap,vhost,vhost",
		"ifname=x",
		"[",
		"{",
		"{\"a\":1}",
		"other",
		"tap,script=\1",
		"tap,mac=x",
		"tap,fds=:",
		"tap,mode=x",
		"tap,limit=0",
		"{\"type\":1}",
	};

	for (unsigned i = 0; i < sizeof(specs) / sizeof(specs[0]); i++)
		assert_null(conf_parse(&test_schema, specs[i], NULL));
}

/* Parts --------------------------------------------------------------------------------- */

static void nearest_finds_slips(void **state)
{
	static const char *const pairs[][2] = {
		{ "quees", "queues" },	  { "queuess", "queues" },	 { "qeuues", "queues" },
		{ "qveues", "queues" },	  { "script", "script" },	 { "SCRIPT", "script" },
		{ "poll_us", "poll-us" }, { "downscrpt", "downscript" },
	};

	for (unsigned i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
		struct nearest n = nearest_init(pairs[i][0], strlen(pairs[i][0]));

		nearest_try(&n, "something-else", 14);
		nearest_try(&n, pairs[i][1], strlen(pairs[i][1]));
		nearest_try(&n, "br", 2);
		assert_non_null(n.best);
		assert_string_equal(n.best, pairs[i][1]);
	}
}

static void nearest_prefers_the_fewest_slips(void **state)
{
	struct nearest n = nearest_init("vhost-fd", 8);

	nearest_try(&n, "vhostfds", 8);
	nearest_try(&n, "vhostfd", 7);
	nearest_try(&n, "vhostfds", 8);
	assert_string_equal(n.best, "vhostfd");
}

static void quotes_whole_characters(void **state)
{
	char out[TEXT_QUOTE_SIZE];

	assert_string_equal(text_quote(out, "k\xe2\x82\xac\xe2\x82\xac", 7, 6),
			    "'k\xe2\x82\xac'...");
	assert_string_equal(text_quote(out, "k\xe2\x82\xac\xe2\x82\xac", 7, 7),
			    "'k\xe2\x82\xac\xe2\x82\xac'");
	assert_string_equal(text_show(out, "a'b\\\n", 5, 60), "a'b\\\\x0a");
}

static void text_that_does_not_fit_ends_with_dots(void **state)
{
	char buf[10];
	struct text t = text_init(buf, sizeof(buf));

	text_item(&t, "ab");
	text_item(&t, "cd");
	assert_string_equal(buf, "ab, cd");
	assert_false(t.cut);
	text_item(&t, "ef");
	text_item(&t, "");
	assert_true(t.cut);
	assert_string_equal(buf, "ab, cd...");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(refuses_control_characters),
		CASE(refuses_what_is_not_utf8),
		CASE(errors_escape_unknown_keys),
		CASE(errors_quote_only_the_start_of_long_values),
		CASE(errors_name_the_port_wherever_it_is_named),
		CASE(error_may_be_null),
		CASE(nearest_finds_slips),
		CASE(nearest_prefers_the_fewest_slips),
		CASE(quotes_whole_characters),
		CASE(text_that_does_not_fit_ends_with_dots),
	};

	return cmocka_run_group_tests_name("conf-text", tests, NULL, NULL);
}
