/* SPDX-License-Identifier: MIT */
/* What NetworkManager and systemd-networkd are told about an interface. */
#include "host/manager.h"

#include <stdio.h>
#include <string.h>

#include "host/ini.h"
#include "unit.h"

static const struct managed vm0 = { "vm0", "tun", "" };

static void device_lists_match_as_documented(void **state)
{
	static const struct managed mac = { "vm0", "tun", "52:54:00:00:00:01" };
	static const struct {
		const char *specs;
		bool matches;
	} cases[] = {
		{ "interface-name:vm0", true },
		{ "interface-name:vm*", true },
		{ "interface-name:~vm?", true },
		{ "interface-name:=vm*", false },
		{ "interface-name:=vm0", true },
		{ "interface-name:eth*;type:tun", true },
		{ "type:ethernet,driver:tu*", true },
		{ "vm0", true },
		{ "*", true },
		{ "*,except:interface-name:vm*", false },
		{ "except:type:tun;*", false },
		{ "mac:52:54:00:00:00:01", true },
		{ "52:54:00:00:00:02", false },
		{ "", false },
		{ ";, ;", false },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (nm_spec_matches(cases[i].specs, &mac) != cases[i].matches)
			fail_msg("\"%s\"", cases[i].specs);
	assert_false(nm_spec_matches("mac:", &vm0));
}

static void network_files_match_as_documented(void **state)
{
	static const struct {
		const char *key, *value;
		bool matches, known;
	} cases[] = {
		{ "Name", "vm0", true, true },
		{ "Name", "en* vm*", true, true },
		{ "Name", "!vm*", false, true },
		{ "Name", "!en* lo", true, true },
		{ "Name", "", false, true },
		{ "Type", "ether", true, true },
		{ "Type", "wlan", false, true },
		{ "Kind", "tun", true, true },
		{ "Driver", "virtio_net tun", true, true },
		{ "MACAddress", "52:54:00:00:00:01", false, true },
		{ "Host", "here", false, false },
		{ "Virtualization", "yes", false, false },
	};
	bool known;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		bool matches = networkd_match(cases[i].key, cases[i].value, &vm0, &known);

		if (matches != cases[i].matches || known != cases[i].known)
			fail_msg("%s=%s", cases[i].key, cases[i].value);
	}
}

static int remember(void *ctx, const char *section, const char *key, const char *value)
{
	char *all = ctx;

	snprintf(all + strlen(all), 200 - strlen(all), "%s/%s/%s|", section, key, value);
	return strcmp(key, "stop") == 0 ? 7 : 0;
}

static void sections_keys_and_values_are_read(void **state)
{
	char text[] =
		"early=0\n[Match]\n Name = vm0 \r\n# x=1\n;y=2\nnothing\n\n[Link]\nUnmanaged=yes\n"
		"=\n[open\nlast+=1=2";
	char all[200] = "";

	assert_int_equal(ini_parse(text, remember, all), 0);
	assert_string_equal(all,
			    "/early/0|Match/Name/vm0|Link/Unmanaged/yes|Link//|Link/last+/1=2|");
}

static void reading_stops_when_told(void **state)
{
	char text[] = "a=1\nstop=2\nb=3\n", all[200] = "";

	assert_int_equal(ini_parse(text, remember, all), 7);
	assert_string_equal(all, "/a/1|/stop/2|");
}

static void words_are_cut_to_their_room(void **state)
{
	const char *list = "  one;two ,three";
	char buf[4];

	assert_string_equal(word_next(&list, ";, ", buf, sizeof(buf)), "one");
	assert_string_equal(word_next(&list, ";, ", buf, sizeof(buf)), "two");
	assert_string_equal(word_next(&list, ";, ", buf, sizeof(buf)), "thr");
	assert_null(word_next(&list, ";, ", buf, sizeof(buf)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(device_lists_match_as_documented),
		cmocka_unit_test(network_files_match_as_documented),
		cmocka_unit_test(sections_keys_and_values_are_read),
		cmocka_unit_test(reading_stops_when_told),
		cmocka_unit_test(words_are_cut_to_their_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
