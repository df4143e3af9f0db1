/* SPDX-License-Identifier: MIT */
/* The configuration file of `vmtap serve`: what is accepted, and where an error is said to be. */
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ctl/conffile.h"

static struct conffile *parse(const char *text)
{
	struct vmtap_error err = { 0 };
	struct conffile *f = conffile_parse("f.conf", text, strlen(text), &err);

	if (!f)
		print_error("%s: %s\n", err.object, err.reason);
	assert_non_null(f);
	return f;
}

static void refused(const char *text, const char *object, const char *reason)
{
	struct vmtap_error err = { 0 };

	assert_null(conffile_parse("f.conf", text, strlen(text), &err));
	assert_int_equal(err.code, EINVAL);
	assert_string_equal(err.object, object);
	if (!strstr(err.reason, reason))
		assert_string_equal(err.reason, reason);
}

static void assert_spec(const struct conffile *f, const char *name, const char *spec)
{
	assert_non_null(conffile_find(f, name));
	assert_string_equal(conffile_find(f, name)->spec, spec);
}

static void sections_become_descriptions(void **state)
{
	struct conffile *f =
		parse("# a comment\n"
		      "[serve]\nworkers = 2\n\n"
		      "[ port  vm0 ]\r\n  ifname=vm0 \n type = tap\n; another\n br = br0\n"
		      "[port guest]\ntype = stream\npath = \" /run/a,b \"\n"
		      "[link any]\nports = vm0 guest");

	assert_int_equal(f->section_cnt, 4);
	assert_spec(f, "vm0", "tap,id=vm0,br=br0,ifname=vm0");
	assert_spec(f, "guest", "stream,id=guest,path= /run/a,,b ");
	assert_true(conffile_joins(f, "guest", "vm0"));
	assert_false(conffile_joins(f, "vm0", "vm0"));
	assert_null(conffile_find(f, "any"));
	conffile_free(f);
}

static void the_order_of_keys_means_nothing(void **state)
{
	struct conffile *a = parse("[port p]\ntype=null\nsize=60\ncount=5\n");
	struct conffile *b = parse("[port p]\ncount = 5\nsize = \"60\"\ntype = null\n");
	struct conffile *c = parse("[port p]\ntype=null\nsize=61\ncount=5\n");

	assert_true(conffile_has(a, conffile_find(b, "p")));
	assert_false(conffile_has(a, conffile_find(c, "p")));
	conffile_free(a);
	conffile_free(b);
	conffile_free(c);
}

static void an_empty_file_is_one(void **state)
{
	conffile_free(parse(""));
	conffile_free(parse("\n\n# nothing\n"));
}

static void errors_name_their_line(void **state)
{
	refused("\n[prot a]\n", "f.conf:2", "unknown section \"prot\"");
	refused("[port a\n", "f.conf:1", "\"]\" is missing");
	refused("[port]\n", "f.conf:1", "needs a name");
	refused("[port a,b]\n", "f.conf:1", "needs a name");
	refused("[serve x]\n", "f.conf:1", "has no name");
	refused("type = tap\n", "f.conf:1", "before the first [section]");
	refused("[port a]\ntype\n", "f.conf:2", "neither a [section] nor KEY = VALUE");
	refused("[port a]\n= tap\n", "f.conf:2", "is no key");
	refused("[port a]\ntype = tap\ntype = tap\n", "f.conf:3", "given twice, in line 2");
	refused("[port a]\n\n", "f.conf:1", "has no type");
	refused("[port a]\ntype = a,b\n", "f.conf:2", "is no type");
	refused("[port a]\ntype = tap\nid = b\n", "f.conf:3", "section's name");
	refused("[port a]\ntype = tap\nifname = a\x01\n", "f.conf:3", "control character");
	refused("[serve]\nwrokers = 3\n", "f.conf:2", "unknown key \"wrokers\"");
	refused("[port a]\ntype=null\n[port a]\ntype=null\n", "f.conf:3", "in line 1 already");
	refused("[serve]\n[serve]\n", "f.conf:2", "in line 1 already");
}

static void near_words_are_suggested(void **state)
{
	static const char text[] = "[serve]\nwrokers = 3\n";
	struct vmtap_error err = { 0 };

	assert_null(conffile_parse("f", text, strlen(text), &err));
	assert_string_equal(err.remedy, "did you mean workers?");
}

#define PORTS "[port a]\ntype=null\n[port b]\ntype=null\n[port c]\ntype=null\n"

static void joins_are_of_two_ports_that_are_there(void **state)
{
	refused(PORTS "[link x]\n", "f.conf:7", "has no ports");
	refused(PORTS "[link x]\nports = a\n", "f.conf:8", "are two");
	refused(PORTS "[link x]\nports = a b c\n", "f.conf:8", "are two");
	refused(PORTS "[link x]\nports = a d\n", "f.conf:8", "there is no [port d]");
	refused(PORTS "[link x]\nports = a a\n", "f.conf:8", "joined to itself");
	refused(PORTS "[link x]\nports = a b\n[link y]\nports = c b\n", "f.conf:10",
		"port b is joined twice");
	refused(PORTS "[link x]\nports = a b\nmtu = 5\n", "f.conf:9", "unknown key \"mtu\"");
}

static void a_zero_byte_is_no_text(void **state)
{
	static const char text[] = "[port a]\n\0type = null\n";

	assert_null(conffile_parse("f", text, sizeof(text) - 1, NULL));
}

static void too_much_is_refused(void **state)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	for (unsigned i = 0; i <= CONFFILE_SECTIONS_MAX; i++)
		fprintf(out, "[link l%u]\n", i);
	fclose(out);
	refused(text, "f.conf:4097", "more than 4096 sections");
	free(text);
	out = open_memstream(&text, &len);
	fprintf(out, "[port a]\n");
	for (unsigned i = 0; i <= CONFFILE_KEYS_MAX; i++)
		fprintf(out, "k%u = 1\n", i);
	fclose(out);
	refused(text, "f.conf:66", "more than 64 keys");
	free(text);
}

static void blame_finds_the_key(void **state)
{
	struct conffile *f = parse("[port a]\ntype = null\nsise = 5\n");
	struct vmtap_error err = { .code = EINVAL,
				   .object = "port a",
				   .reason = "there is no key 'sise'" };

	conffile_blame(f, conffile_find(f, "a"), &err);
	assert_string_equal(err.object, "f.conf:3: port a");
	err = (struct vmtap_error) { .code = EBUSY, .object = "port a", .reason = "busy" };
	conffile_blame(f, conffile_find(f, "a"), &err);
	assert_string_equal(err.object, "f.conf:1: port a");
	conffile_free(f);
}

/* "burst=" is in "rx-burst=", too. */
static void blame_takes_whole_keys(void **state)
{
	struct conffile *f = parse("[port a]\ntype = null\nrx-burst = 5\nburst = 5\ntx-rate = 5\n");
	static const struct {
		const char *reason, *object;
	} cases[] = {
		{ "rx-burst= is given without a rate", "f.conf:3: port a" },
		{ "burst= is given without a rate", "f.conf:4: port a" },
		{ "tx-rate: a key of ports, not of switches", "f.conf:5: port a" },
		{ "ifname, tx-rate, mtu: not together with fd=", "f.conf:5: port a" },
		{ "no such thing: tx-rate: no", "f.conf:1: port a" },
		{ "what it has of type: none", "f.conf:1: port a" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct vmtap_error err = { .code = EINVAL, .object = "port a" };

		snprintf(err.reason, sizeof(err.reason), "%s", cases[i].reason);
		conffile_blame(f, conffile_find(f, "a"), &err);
		assert_string_equal(err.object, cases[i].object);
	}
	conffile_free(f);
}

/* Of the file's name as much as there is room for, the end first. */
static void a_long_path_costs_no_line(void **state)
{
	struct vmtap_error err = { 0 };
	struct conffile *f;
	char path[200];

	memset(path, 'x', sizeof(path));
	strcpy(path + 120, "/vmtap.conf");
	assert_null(conffile_parse(path, "\nnonsense\n", 10, &err));
	assert_int_equal(strlen(err.object), sizeof(err.object) - 1);
	assert_memory_equal(err.object, "...x", 4);
	assert_non_null(strstr(err.object, "x/vmtap.conf:2"));
	f = conffile_parse(path, "[port a]\ntype = null\n", 21, &err);
	assert_non_null(f);
	err = (struct vmtap_error) { .code = EBUSY, .object = "port a" };
	conffile_blame(f, conffile_find(f, "a"), &err);
	assert_non_null(strstr(err.object, "x/vmtap.conf:1: port a"));
	assert_int_equal(strlen(err.object), sizeof(err.object) - 1);
	conffile_free(f);
}

static void only_files_are_read(void **state)
{
	struct vmtap_error err = { 0 };

	assert_null(conffile_read("/dev/null", &err));
	assert_int_equal(err.code, EINVAL);
	assert_null(conffile_read("/nonexistent", &err));
	assert_int_equal(err.code, ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sections_become_descriptions),
		cmocka_unit_test(the_order_of_keys_means_nothing),
		cmocka_unit_test(an_empty_file_is_one),
		cmocka_unit_test(errors_name_their_line),
		cmocka_unit_test(near_words_are_suggested),
		cmocka_unit_test(joins_are_of_two_ports_that_are_there),
		cmocka_unit_test(a_zero_byte_is_no_text),
		cmocka_unit_test(too_much_is_refused),
		cmocka_unit_test(blame_finds_the_key),
		cmocka_unit_test(blame_takes_whole_keys),
		cmocka_unit_test(a_long_path_costs_no_line),
		cmocka_unit_test(only_files_are_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
