/* SPDX-License-Identifier: MIT */
/* Descriptions of ports: what the text of a value may be. */
#include "conf-parse.h"

static void reads_all_spellings_of_on_and_off(void **state)
{
	static const char *const on[] = { "on", "yes", "true", "y" };
	static const char *const off[] = { "off", "no", "false", "n" };
	char spec[64];

	for (unsigned i = 0; i < 4; i++) {
		snprintf(spec, sizeof(spec), "tap,vhost=%s,vnet_hdr=%s", on[i], off[i]);
		parse(spec);
		assert_true(conf_bool(conf, "vhost", false));
		assert_false(conf_bool(conf, "vnet_hdr", true));
	}
	refuse("tap,vhost=1", "vhost='1': it is neither on nor off", "vhost takes: on/off");
	refuse("tap,vhost=ON", "neither on nor off", "");
}

static void reads_integers_in_any_base(void **state)
{
	static const struct {
		const char *spec;
		int64_t num;
	} cases[] = {
		{ "tap,wide=10", 10 },
		{ "tap,wide=0x10", 16 },
		{ "tap,wide=0X1f", 31 },
		{ "tap,wide=010", 8 },
		{ "tap,wide=0", 0 },
		{ "tap,wide=+5", 5 },
		{ "tap,wide=-5", -5 },
		{ "tap,wide= 5", 5 },
		{ "tap,wide=9223372036854775807", INT64_MAX },
		{ "tap,wide=-9223372036854775808", INT64_MIN },
	};

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		parse(cases[i].spec);
		assert_true(conf_int(conf, "wide", 1) == cases[i].num);
	}
}

static void refuses_what_is_no_integer(void **state)
{
	refuse("tap,queues=two", "queues='two': it is not a number", "integer 1..256");
	refuse("tap,queues=2x", "'x' follows the number", "");
	refuse("tap,queues=2 ", "' ' follows the number", "");
	refuse("tap,queues=0x", "'x' follows the number", "");
	refuse("tap,queues=2.0", "'.0' follows the number", "");
	refuse("tap,queues=1k", "'k' follows the number", "");
	refuse("tap,queues=08", "octal", "");
	refuse("tap,queues=- 1", "not a number", "");
	refuse("tap,queues=--1", "not a number", "");
}

static void refuses_integers_out_of_range(void **state)
{
	refuse("tap,queues=0", "queues='0': it is below 1", "integer 1..256");
	refuse("tap,queues=257", "it is above 256", "");
	refuse("tap,queues=-1", "it is below 1", "");
	refuse("tap,queues=18446744073709551617", "it is above 256", "");
	refuse("tap,queues=-18446744073709551615", "it is below 1", "");
	refuse("tap,wide=9223372036854775808", "it is above 9223372036854775807", "");
	refuse("tap,offset=-101", "it is below -100", "integer -100..100");
	parse("tap,queues=256,offset=-100");
}

static void reads_sizes_with_suffixes(void **state)
{
	static const struct {
		const char *spec;
		int64_t num;
	} cases[] = {
		{ "tap,limit=1", 1 },
		{ "tap,limit=64B", 64 },
		{ "tap,limit=2k", 2048 },
		{ "tap,limit=2K", 2048 },
		{ "tap,limit=3m", 3 << 20 },
		{ "tap,limit=3M", 3 << 20 },
		{ "tap,limit=5G", INT64_C(5) << 30 },
		{ "tap,limit=5g", INT64_C(5) << 30 },
		{ "tap,limit=1T", INT64_C(1) << 40 },
		{ "tap,limit=1t", INT64_C(1) << 40 },
		{ "tap,limit=1P", INT64_C(1) << 50 },
		{ "tap,limit=7E", INT64_C(7) << 60 },
		{ "tap,limit=0x1000", 4096 },
		{ "tap,limit=010", 10 },
		{ "tap,limit=1.0", 1 },
		{ "tap,limit=1.5M", 1572864 },
		{ "tap,limit=0.5k", 512 },
		{ "tap,limit=0.1k", 102 },
		{ "tap,limit=0.9995k", 1023 },
		{ "tap,limit=0.9999k", 1024 },
		{ "tap,limit=1.333333333333333333333G", 1431655765 },
		{ "tap,limit=7.5E", INT64_C(15) << 59 },
	};

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		parse(cases[i].spec);
		if (conf_int(conf, "limit", 0) != cases[i].num)
			fail_msg("%s is %lld", cases[i].spec,
				 (long long)conf_int(conf, "limit", 0));
	}
}

static void refuses_what_is_no_size(void **state)
{
	refuse("tap,sndbuf=1.5", "sndbuf='1.5': it is a fraction of a byte", "bytes (k, M, G)");
	refuse("tap,sndbuf=1e3", "'3' follows the number", "");
	refuse("tap,sndbuf=1kB", "'B' follows the number", "");
	refuse("tap,sndbuf=1.k", "'.k' follows the number", "");
	refuse("tap,sndbuf=.5k", "not a number", "");
	refuse("tap,sndbuf=k", "not a number", "");
	refuse("tap,sndbuf=0x1k", "'k' follows the number", "");
	refuse("tap,sndbuf=-1k", "it is negative", "");
	refuse("tap,sndbuf=inf", "not a number", "");
}

static void refuses_sizes_out_of_range(void **state)
{
	refuse("tap,sndbuf=2G", "it is above 2147483647", "0..2147483647");
	refuse("tap,sndbuf=99999999999999999999", "it is above", "");
	refuse("tap,limit=99999999999999999999", "it is above 9223372036854775807", "");
	refuse("tap,limit=8E", "it is above 9223372036854775807", "");
	refuse("tap,limit=7.99999999999999999999999999E", "it is above", "");
	refuse("tap,limit=9999999999999T", "it is above", "");
	refuse("tap,limit=0", "it is below 1", "");
	refuse("tap,limit=0x8000000000000000", "it is above", "");
}

static void reads_mac_addresses(void **state)
{
	const uint8_t want[6] = { 0x52, 0x54, 0x00, 0xab, 0xCD, 0xef };
	uint8_t mac[6];

	parse("tap,mac=52:54:00:ab:CD:ef");
	assert_true(conf_mac(conf, "mac", mac));
	assert_memory_equal(mac, want, 6);
	assert_string_equal(conf_str(conf, "mac", NULL), "52:54:00:ab:CD:ef");
	parse("tap,mac=52-54-00-AB-cd-ef");
	assert_true(conf_mac(conf, "mac", mac));
	assert_memory_equal(mac, want, 6);
}

static void mac_error_says_which_part(void **state)
{
	refuse("tap,mac=52:54:0g:00:00:01", "part 3, '0g', is not two", "MAC address, as in 52:");
	refuse("tap,mac=52:54:0:00:00:01", "part 3, '0', is not two", "");
	refuse("tap,mac=52:54:00:00:00:", "part 6, '', is not two", "");
	refuse("tap,mac=52:54:00:00:00", "it has 5 parts of 6", "");
	refuse("tap,mac=52", "it has 1 part of 6", "");
	refuse("tap,mac=52:54:00:00:00:01:02", "':02' follows the sixth part", "");
	refuse("tap,mac=52:54:00:00:00:01:", "':' follows the sixth part", "");
	refuse("tap,mac=52:54-00:00:00:01", "part 2, '54-00', is not two", "");
	refuse("tap,mac=525400000001", "part 1", "");
	refuse("tap,mac=+2:54:00:00:00:01", "part 1, '+2'", "");
}

static void refuses_group_and_zero_macs(void **state)
{
	refuse("tap,mac=01:00:5e:00:00:01", "it is a multicast address (part 1, 01, is odd)", "");
	refuse("tap,mac=ff:ff:ff:ff:ff:ff", "multicast", "");
	refuse("tap,mac=00:00:00:00:00:00", "it is all zero", "");
	refuse("tap,group-mac=00:00:00:00:00:00", "it is all zero", "");
	parse("tap,group-mac=01:00:5e:00:00:01");
}

static void reads_choices(void **state)
{
	parse("tap,mode=bridge,addr.type=fd");
	assert_int_equal(conf_enum(conf, "mode", -1), 0);
	assert_int_equal(conf_enum(conf, "addr.type", -1), 2);
	assert_string_equal(conf_str(conf, "addr.type", NULL), "fd");
	parse("tap,mode=vepa");
	assert_int_equal(conf_enum(conf, "mode", -1), 2);
}

static void wrong_choice_lists_and_suggests(void **state)
{
	refuse("tap,mode=vpea", "mode='vpea': there is no such choice",
	       "did you mean vepa? mode takes: one of bridge|private|vepa");
	refuse("tap,mode=bridg", "no such choice", "did you mean bridge?");
	refuse("tap,mode=bridge|private", "no such choice", "");
	refuse("tap,mode=zzzzzz", "no such choice", "mode takes");
	assert_null(strstr(error.remedy, "did you mean"));
}

static void reads_lists(void **state)
{
	parse("tap,fds=3:net0:5");
	assert_int_equal(conf_list_cnt(conf, "fds"), 3);
	assert_string_equal(conf_list_item(conf, "fds", 0), "3");
	assert_string_equal(conf_list_item(conf, "fds", 1), "net0");
	assert_string_equal(conf_list_item(conf, "fds", 2), "5");
	assert_string_equal(conf_str(conf, "fds", NULL), "3:net0:5");
	parse("tap,fds=3");
	assert_int_equal(conf_list_cnt(conf, "fds"), 1);
}

static void list_may_end_with_its_separator(void **state)
{
	parse("tap,fds=3:4:");
	assert_int_equal(conf_list_cnt(conf, "fds"), 2);
	assert_string_equal(conf_list_item(conf, "fds", 1), "4");
}

static void refuses_empty_list_items(void **state)
{
	refuse("tap,fds=3::5", "item 2 is empty", "list joined by ':'");
	refuse("tap,fds=:5", "item 1 is empty", "");
	refuse("tap,fds=:", "item 1 is empty", "");
	refuse("tap,fds=3::", "item 2 is empty", "");
}

static void reads_sets_whose_items_have_colons(void **state)
{
	parse("tap,macs=52:54:00:00:00:01+fd00::2+");
	assert_int_equal(conf_list_cnt(conf, "macs"), 2);
	assert_string_equal(conf_list_item(conf, "macs", 0), "52:54:00:00:00:01");
	assert_string_equal(conf_list_item(conf, "macs", 1), "fd00::2");
	parse("{\"type\":\"tap\",\"macs\":[\"fd00::2\",\"a\"]}");
	assert_string_equal(conf_str(conf, "macs", ""), "fd00::2+a");
	refuse("{\"type\":\"tap\",\"macs\":[\"a+b\"]}", "macs, item 1, contains a '+'", "");
	refuse("tap,macs=a++b", "item 2 is empty", "macs takes: list joined by '+'");
}

static void reads_rates_with_decimal_suffixes(void **state)
{
	static const struct {
		const char *spec;
		int64_t num;
	} cases[] = {
		{ "tap,speed=1000", 1000 },
		{ "tap,speed=5k", 5000 },
		{ "tap,speed=100M", 100000000 },
		{ "tap,speed=2.5Gbit", 2500000000 },
		{ "tap,speed=1Tbit", 1000000000000 },
		{ "tap,speed=1500bit", 1500 },
		{ "{\"type\":\"tap\",\"speed\":2000}", 2000 },
		{ "{\"type\":\"tap\",\"speed\":\"1M\"}", 1000000 },
	};

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		parse(cases[i].spec);
		assert_int_equal(conf_int(conf, "speed", 0), cases[i].num);
	}
	refuse("tap,speed=1", "it is below 1000",
	       "speed takes: number (k, M, G), 1000..1000000000000");
	refuse("tap,speed=2T", "it is above", "");
	refuse("tap,speed=fast", "it is not a number", "");
	refuse("tap,speed=-5M", "it is negative", "");
	refuse("tap,speed=5Mb", "'b' follows the number", "");
	refuse("tap,speed=1000.5", "it is a fraction of a bit", "");
	refuse("tap,speed=100000000000000000000000000000000", "it is longer than", "");
	refuse("tap,speed=bit", "it is not a number", "");
}

static void ids_are_as_in_qemu(void **state)
{
	char spec[256] = "tap,id=";

	parse("tap,id=a");
	parse("tap,id=A9-._z");
	refuse("tap,id=9a", "it does not start with a letter", "");
	refuse("tap,id=-a", "it does not start with a letter", "");
	refuse("tap,id=a/b", "byte 2 is neither", "");
	refuse("tap,id=a b", "byte 2 is neither", "");
	refuse("tap,id=na\xc3\xafve", "byte 3 is neither", "");
	memset(spec + 7, 'a', CONF_ID_MAX + 1);
	refuse(spec, "longer than 128 characters", "");
	spec[7 + CONF_ID_MAX] = '\0';
	parse(spec);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(reads_all_spellings_of_on_and_off),
		CASE(reads_integers_in_any_base),
		CASE(refuses_what_is_no_integer),
		CASE(refuses_integers_out_of_range),
		CASE(reads_sizes_with_suffixes),
		CASE(refuses_what_is_no_size),
		CASE(refuses_sizes_out_of_range),
		CASE(reads_mac_addresses),
		CASE(mac_error_says_which_part),
		CASE(refuses_group_and_zero_macs),
		CASE(reads_choices),
		CASE(wrong_choice_lists_and_suggests),
		CASE(reads_lists),
		CASE(list_may_end_with_its_separator),
		CASE(reads_sets_whose_items_have_colons),
		CASE(reads_rates_with_decimal_suffixes),
		CASE(refuses_empty_list_items),
		CASE(ids_are_as_in_qemu),
	};

	return cmocka_run_group_tests_name("conf-value", tests, NULL, NULL);
}
