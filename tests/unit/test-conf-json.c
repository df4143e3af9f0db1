/* SPDX-License-Identifier: MIT */
/* Descriptions of ports: the JSON syntax. */
#include "conf-parse.h"

static void json_equals_the_string_form(void **state)
{
	uint8_t mac[6];

	parse("{\"type\":\"tap\",\"ifname\":\"vm0\",\"queues\":2,\"vhost\":true,"
	      "\"vnet_hdr\":false,\"sndbuf\":65536,\"limit\":\"1.5M\",\"mode\":\"vepa\","
	      "\"mac\":\"52:54:00:00:00:01\",\"fds\":\"3:4\",\"id\":\"n0\","
	      "\"addr\":{\"type\":\"unix\",\"path\":\"x,y\",\"keep\":{\"alive\":true}}}");
	assert_string_equal(conf_str(conf, "ifname", NULL), "vm0");
	assert_int_equal(conf_int(conf, "queues", 0), 2);
	assert_true(conf_bool(conf, "vhost", false));
	assert_false(conf_bool(conf, "vnet_hdr", true));
	assert_int_equal(conf_int(conf, "sndbuf", 0), 65536);
	assert_int_equal(conf_int(conf, "limit", 0), 1572864);
	assert_int_equal(conf_enum(conf, "mode", -1), 2);
	assert_true(conf_mac(conf, "mac", mac));
	assert_int_equal(conf_list_cnt(conf, "fds"), 2);
	assert_string_equal(conf_str(conf, "id", NULL), "n0");
	assert_int_equal(conf_enum(conf, "addr.type", -1), 1);
	assert_string_equal(conf_str(conf, "addr.path", NULL), "x,y");
	assert_true(conf_bool(conf, "addr.keep.alive", false));
}

static void json_takes_dotted_keys_too(void **state)
{
	parse(" \t\r\n{\"addr.path\":\"x\",\"addr\":{\"keep.alive\":true},\"type\":\"tap\"}");
	assert_string_equal(conf_str(conf, "addr.path", NULL), "x");
	assert_true(conf_bool(conf, "addr.keep.alive", false));
}

static void json_arrays_are_lists(void **state)
{
	parse("{\"type\":\"tap\",\"fds\":[3,\"net0\",-5]}");
	assert_int_equal(conf_list_cnt(conf, "fds"), 3);
	assert_string_equal(conf_list_item(conf, "fds", 1), "net0");
	assert_string_equal(conf_str(conf, "fds", NULL), "3:net0:-5");
}

static void json_refuses_wrong_array_items(void **state)
{
	refuse("{\"type\":\"tap\",\"fds\":[]}", "fds='': it is empty", "");
	refuse("{\"type\":\"tap\",\"fds\":[3,null]}", "fds, item 2 is null", "array of strings");
	refuse("{\"type\":\"tap\",\"fds\":[[3]]}", "fds, item 1 is an array", "");
	refuse("{\"type\":\"tap\",\"fds\":[1.5]}", "fds, item 1 is the number 1.5", "");
	refuse("{\"type\":\"tap\",\"fds\":[true]}", "fds, item 1 is true", "");
	refuse("{\"type\":\"tap\",\"fds\":[\"3:4\"]}", "fds, item 1, contains a ':'", "");
	refuse("{\"type\":\"tap\",\"fds\":[\"\"]}", "fds, item 1, is empty", "");
	refuse("{\"type\":\"tap\",\"ifname\":[\"a\"]}", "ifname is an array", "takes a string");
}

static void json_refuses_wrong_types(void **state)
{
	refuse("{\"type\":\"tap\",\"queues\":\"2\"}", "queues is the string '2'",
	       "queues takes an integer, without quotes");
	refuse("{\"type\":\"tap\",\"queues\":2.5}", "queues is the number 2.5", "");
	refuse("{\"type\":\"tap\",\"queues\":true}", "queues is true", "");
	refuse("{\"type\":\"tap\",\"vhost\":\"on\"}", "vhost is the string 'on'", "true or false");
	refuse("{\"type\":\"tap\",\"vhost\":1}", "vhost is the integer 1", "true or false");
	refuse("{\"type\":\"tap\",\"ifname\":5}", "ifname is the integer 5", "takes a string");
	refuse("{\"type\":\"tap\",\"mac\":false}", "mac is false", "takes a string");
	refuse("{\"type\":\"tap\",\"sndbuf\":0.5}", "sndbuf is the number 0.5", "\"64k\"");
	refuse("{\"type\":\"tap\",\"ifname\":null}", "ifname is null", "leave it out");
	refuse("{\"type\":\"tap\",\"queues\":0}", "queues='0': it is below 1", "");
}

static void json_refuses_deep_nesting(void **state)
{
	char deep[4096];

	refuse("{\"type\":\"tap\",\"addr\":{\"type\":{\"x\":1}}}", "addr.type is an object", "");
	refuse("{\"type\":\"tap\",\"addr\":{\"keep\":{\"alive\":{}}}}", "addr.keep.alive is an",
	       "");
	refuse("{\"type\":\"tap\",\"a\":{\"b\":{\"c\":1}}}", "there is no key 'a'", "");
	refuse("{\"type\":\"tap\",\"addr\":{\"pth\":1}}", "no key 'addr.pth'",
	       "did you mean addr.path?");
	refuse("{\"type\":\"tap\",\"addr\":\"x\"}", "there is no key 'addr'", "");
	memset(deep, '[', sizeof(deep));
	memcpy(deep, "{\"a\":", 5);
	deep[sizeof(deep) - 1] = '\0';
	refuse(deep, "JSON line 1, column", "");
	memset(deep, 'k', sizeof(deep));
	memcpy(deep, "{\"type\":\"tap\",\"", 15);
	strcpy(deep + 1000, "\":1}");
	refuse(deep, "there is no key 'kkkk", "");
}

static void json_refuses_repeated_keys(void **state)
{
	refuse("{\"type\":\"tap\",\"queues\":1,\"queues\":1}", "duplicate object key", "");
	refuse("{\"type\":\"tap\",\"type\":\"tap\"}", "duplicate object key", "");
	refuse("{\"type\":\"tap\",\"addr\":{\"path\":\"a\"},\"addr.path\":\"b\"}",
	       "addr.path is given twice", "");
}

static void json_syntax_errors_have_a_place(void **state)
{
	refuse("{", "JSON line 1, column 1:", "write one JSON object");
	refuse("{\"type\":\"tap\",\n \"queues\":}", "JSON line 2, column 11:", "");
	refuse("{\"type\":\"tap\"} x", "JSON line 1, column 16:", "");
	refuse("{\"type\":\"tap\",\"ifname\":\"a\\u0000\"}", "JSON line 1,", "");
	refuse("{\"type\":\"tap\",\"queues\":99999999999999999999}", "JSON line 1,", "");
	refuse("{\"type\":\"tap\",\"a\":\"\001\"}", "JSON line 1,", "");
	assert_printable(error.reason);
	refuse("{\"type\":\"tap\",\"a\":\"\xff\"}", "JSON line 1,", "");
	assert_printable(error.reason);
}

static void json_needs_a_type(void **state)
{
	refuse("{}", "does not say its type", "{\"type\":\"tap\",...}");
	refuse("{\"type\":7}", "\"type\" is not a string", "");
	refuse("{\"type\":\"stream\"}", "its type is stream, not tap", "");
	refuse("{\"type\":\"\\u001b\"}", "'\\x1b' is no type", "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(json_equals_the_string_form), CASE(json_takes_dotted_keys_too),
		CASE(json_arrays_are_lists),	   CASE(json_refuses_wrong_array_items),
		CASE(json_refuses_wrong_types),	   CASE(json_refuses_deep_nesting),
		CASE(json_refuses_repeated_keys),  CASE(json_syntax_errors_have_a_place),
		CASE(json_needs_a_type),
	};

	return cmocka_run_group_tests_name("conf-json", tests, NULL, NULL);
}
