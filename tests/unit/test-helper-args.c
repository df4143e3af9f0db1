/* SPDX-License-Identifier: MIT */
/* The helper's command line. */
#include "unit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "helper/args.h"

static struct args args;
static struct vmtap_error err;

/* @...: the arguments, then NULL. */
static int parse(const char *first, ...)
{
	const char *argv[16] = { "helper", first };
	va_list ap;
	int argc = 1;

	va_start(ap, first);
	while (argv[argc])
		argv[++argc] = va_arg(ap, const char *);
	va_end(ap);
	memset(&err, 0, sizeof(err));
	return args_parse(argc, (char *const *)(uintptr_t)argv, &args, &err);
}

static void refuses(const char *option, const char *why)
{
	assert_int_equal(parse("--br=br0", "--fd=3", option, NULL), -EINVAL);
	if (!strstr(err.reason, why))
		fail_msg("%s: \"%s\" has no \"%s\"", option, err.reason, why);
}

static void takes_the_call_that_qemu_makes(void **state)
{
	assert_int_equal(parse("--use-vnet", "--fd=28", "--br=br0", NULL), 0);
	assert_true(args.use_vnet);
	assert_int_equal(args.fd, 28);
	assert_string_equal(args.bridge, "br0");
	assert_int_equal(args.queues, 1);
	assert_null(args.ifname);
	assert_string_equal(args.mac_text, "");
	assert_false(args.vhost || args.check);
}

static void takes_options_in_any_order(void **state)
{
	assert_int_equal(parse("--br=br0", "--fd=3", NULL), 0);
	assert_false(args.use_vnet);
	assert_int_equal(parse("--vhost", "--mac=FE:00:00:00:00:0a", "--fd=3", "--ifname=vm0",
			       "--queues=64", "--br=br0", NULL),
			 0);
	assert_true(args.vhost);
	assert_string_equal(args.mac_text, "fe:00:00:00:00:0a");
	assert_int_equal(args.mac[0], 0xfe);
	assert_int_equal(args.mac[5], 0x0a);
	assert_string_equal(args.ifname, "vm0");
	assert_int_equal(args.queues, 64);
}

static void takes_a_value_as_the_next_word(void **state)
{
	assert_int_equal(parse("--br", "br0", "--fd", "3", NULL), 0);
	assert_string_equal(args.bridge, "br0");
	assert_int_equal(args.fd, 3);
	assert_int_equal(parse("--fd=3", "--br", NULL), -EINVAL);
	assert_true(strstr(err.reason, "--br needs a value"));
	assert_int_equal(parse("--br", "--fd=3", NULL), -EINVAL);
}

/* A helper= with --use-vnet in it gets it a second time. */
static void takes_a_flag_twice_but_no_value(void **state)
{
	assert_int_equal(parse("--use-vnet", "--br=br0", "--fd=3", "--use-vnet", NULL), 0);
	refuses("--br=br1", "--br is there twice");
	refuses("--fd=3", "--fd is there twice");
}

static void refuses_what_is_no_option(void **state)
{
	refuses("--bridge=br0", "--bridge=br0 is no option");
	refuses("--b=br0", "is no option");
	refuses("--use", "is no option");
	refuses("-h", "is no option");
	refuses("--", "is no option");
	refuses("", "is no option");
	refuses("br0", "is no option");
	refuses("=", "is no option");
	refuses("--use-vnet=on", "has no value");
}

static void needs_a_bridge_and_a_socket(void **state)
{
	assert_int_equal(parse("--fd=3", NULL), -EINVAL);
	assert_true(strstr(err.reason, "--br="));
	assert_int_equal(parse("--br=br0", NULL), -EINVAL);
	assert_true(strstr(err.reason, "--fd="));
	assert_int_equal(parse(NULL, NULL), -EINVAL);
	assert_int_equal(parse("--check", "--br=br0", NULL), 0);
	assert_int_equal(args.fd, -1);
	assert_int_equal(parse("--help", NULL), 0);
	assert_int_equal(parse("--version", NULL), 0);
}

static void refuses_names_that_are_none(void **state)
{
	static const char *const bad[] = { "",	     "0123456789abcdef",
					   "br/0",   "..",
					   ".",	     "--fd=3",
					   "-br",    "br 0",
					   "br\n",   "br\t0",
					   "br%d",   "a:b",
					   "br\177", "\xc3\xa4" };

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		assert_int_equal(parse("--br", bad[i], "--fd=3", NULL), -EINVAL);
		assert_int_equal(parse("--br=b", "--fd=3", "--ifname", bad[i], NULL), -EINVAL);
	}
	assert_int_equal(parse("--br=0123456789abcde", "--fd=3", NULL), 0);
	assert_int_equal(parse("--br=b-r_0.1#", "--fd=3", NULL), 0);
}

static void refuses_numbers_that_are_none(void **state)
{
	static const char *const bad[] = {
		"",    " 3",   "3 ", "-1",	   "+3",
		"0x3", "3x",   "3.", "2147483648", "99999999999999999999",
		"1e1", "three"
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
		assert_int_equal(parse("--br=br0", "--fd", bad[i], NULL), -EINVAL);
	refuses("--queues=0", "from 1 to 64");
	refuses("--queues=65", "from 1 to 64");
	refuses("--queues=", "from 1 to 64");
	assert_int_equal(parse("--br=br0", "--fd=2147483647", NULL), 0);
}

static void refuses_addresses_that_are_none(void **state)
{
	refuses("--mac=", "not the address");
	refuses("--mac=00:00:00:00:00:00", "not the address");
	refuses("--mac=01:00:00:00:00:01", "not the address");
	refuses("--mac=ff:ff:ff:ff:ff:ff", "not the address");
	refuses("--mac=fe:00:00:00:00:0", "not the address");
	refuses("--mac=fe:00:00:00:00:011", "not the address");
	refuses("--mac=fe-00-00-00-00-01", "not the address");
	refuses("--mac=fe:00:00:00:00:+1", "not the address");
	refuses("--mac=fe:00:00:00:00: 1", "not the address");
	refuses("--mac=fe:00:00:00:00:0g", "not the address");
}

static void help_lists_every_option(void **state)
{
	static const char *const names[] = { "--br=BRIDGE", "--fd=N",  "--use-vnet",
					     "--queues=N",  "--vhost", "--ifname=NAME",
					     "--mac=MAC",   "--check", "--help",
					     "--version" };
	char *text;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	assert_non_null(out);
	args_help(out);
	fclose(out);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		assert_non_null(strstr(text, names[i]));
	free(text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(takes_the_call_that_qemu_makes),
		cmocka_unit_test(takes_options_in_any_order),
		cmocka_unit_test(takes_a_value_as_the_next_word),
		cmocka_unit_test(takes_a_flag_twice_but_no_value),
		cmocka_unit_test(refuses_what_is_no_option),
		cmocka_unit_test(needs_a_bridge_and_a_socket),
		cmocka_unit_test(refuses_names_that_are_none),
		cmocka_unit_test(refuses_numbers_that_are_none),
		cmocka_unit_test(refuses_addresses_that_are_none),
		cmocka_unit_test(help_lists_every_option),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
