/* SPDX-License-Identifier: MIT */
/* Descriptions of ports: the string syntax, combinations, names, introspection. */
#include "conf-parse.h"

static void takes_a_type_alone(void **state)
{
	parse("tap");
	assert_false(conf_has(conf, "ifname"));
	assert_null(conf_str(conf, "ifname", NULL));
	assert_string_equal(conf_str(conf, "ifname", "x"), "x");
	assert_int_equal(conf_int(conf, "queues", 7), 7);
	assert_true(conf_bool(conf, "vhost", true));
	assert_int_equal(conf_enum(conf, "mode", -1), -1);
	assert_int_equal(conf_list_cnt(conf, "fds"), 0);
	assert_false(conf_mac(conf, "mac", (uint8_t[6]) { 0 }));
}

static void takes_keys_with_values(void **state)
{
	parse("tap,ifname=vm0,queues=4,id=net.0_a-b");
	assert_true(conf_has(conf, "ifname"));
	assert_string_equal(conf_str(conf, "ifname", NULL), "vm0");
	assert_int_equal(conf_int(conf, "queues", 1), 4);
	assert_string_equal(conf_str(conf, "id", NULL), "net.0_a-b");
}

static void doubled_comma_is_a_literal_comma(void **state)
{
	parse("tap,script=/a,,b,,,,c,ifname=d,,");
	assert_string_equal(conf_str(conf, "script", NULL), "/a,b,,c");
	assert_string_equal(conf_str(conf, "ifname", NULL), "d,");
	parse("tap,ifname=a,,,queues=3");
	assert_string_equal(conf_str(conf, "ifname", NULL), "a,");
	assert_int_equal(conf_int(conf, "queues", 1), 3);
}

static void value_keeps_its_equals_signs(void **state)
{
	parse("tap,script=a=b==c");
	assert_string_equal(conf_str(conf, "script", NULL), "a=b==c");
}

static void key_alone_is_on(void **state)
{
	parse("tap,vhost,vnet_hdr=off");
	assert_true(conf_bool(conf, "vhost", false));
	assert_false(conf_bool(conf, "vnet_hdr", true));
}

static void key_alone_is_refused_unless_on_off(void **state)
{
	refuse("tap,queues", "queues has no value", "write queues=VALUE");
	refuse("tap,vhost,ifname", "ifname has no value", "write ifname=VALUE");
}

static void ignores_a_comma_at_the_end(void **state)
{
	parse("tap,queues=2,");
	assert_int_equal(conf_int(conf, "queues", 1), 2);
	parse("tap,vhost,");
	assert_true(conf_bool(conf, "vhost", false));
}

static void type_may_stand_as_a_key(void **state)
{
	parse("type=tap,queues=2");
	assert_int_equal(conf_int(conf, "queues", 1), 2);
	parse("queues=3,type=tap");
	assert_int_equal(conf_int(conf, "queues", 1), 3);
}

static void refuses_a_second_type(void **state)
{
	refuse("tap,type=tap", "type is given twice", "");
	refuse("type=tap,type=tap", "type is given twice", "");
}

static void refuses_another_type(void **state)
{
	refuse("stream,ifname=x", "its type is stream, not tap", "");
}

static void refuses_a_missing_type(void **state)
{
	refuse("ifname=vm0", "does not say its type", "tap,ifname=vm0");
	refuse("", "empty", "TYPE,KEY=VALUE");
	refuse(",ifname=vm0", "starts with a comma", "TYPE,KEY=VALUE");
	refuse("type=", "'' is no type", "");
}

static void refuses_a_type_that_is_no_word(void **state)
{
	refuse("[\"tap\"]", "is no type", "");
	refuse("tap,,x", "'tap,x' is no type", "");
	refuse("t\033[31m", "'t\\x1b[31m' is no type", "");
}

static void tells_the_type_without_a_schema(void **state)
{
	char type[8];

	assert_int_equal(conf_type("vhost-user,nonsense===", type, sizeof(type), &error), -EINVAL);
	assert_int_equal(conf_type("stream,nonsense===,,", type, sizeof(type), &error), 0);
	assert_string_equal(type, "stream");
	assert_int_equal(conf_type("a=b,type=null", type, sizeof(type), NULL), 0);
	assert_string_equal(type, "null");
	assert_int_equal(conf_type(" \n{\"x\":[],\"type\":\"dgram\"}", type, sizeof(type), NULL),
			 0);
	assert_string_equal(type, "dgram");
}

static void refuses_an_empty_key(void **state)
{
	refuse("tap,=x", "empty key", "',,'");
	refuse("tap,vhost,,ifname=x", "empty key", "");
}

static void refuses_repeated_keys(void **state)
{
	refuse("tap,queues=1,vhost,queues=1", "queues is given twice", "keep one");
	refuse("tap,vhost,vhost", "vhost is given twice", "");
}

static void unknown_key_error_lists_keys_and_suggests(void **state)
{
	refuse("tap,ifnme=vm0", "there is no key 'ifnme'", "did you mean ifname?");
	assert_non_null(strstr(error.remedy, "The keys of tap are ifname, script, queues,"));
	assert_non_null(strstr(error.remedy, ", id"));
	refuse("tap,QUEUE=1", "'QUEUE'", "did you mean queues?");
	refuse("tap,vnet-hdr", "'vnet-hdr'", "did you mean vnet_hdr?");
	refuse("tap,fsd=3:4", "'fsd'", "did you mean fds?");
}

static void suggests_nothing_that_is_far_off(void **state)
{
	refuse("tap,colour=red", "'colour'", "the keys of tap are");
	assert_null(strstr(error.remedy, "did you mean"));
	refuse("tap,x=red", "'x'", "the keys of tap are");
}

static void hidden_keys_work_but_are_not_offered(void **state)
{
	parse("tap,reconnect=5");
	assert_int_equal(conf_int(conf, "reconnect", 0), 5);
	refuse("tap,reconect=5", "'reconect'", "the keys of tap are");
	assert_null(strstr(error.remedy, "reconnect"));
}

static void many_keys_do_not_overflow_an_error(void **state)
{
	static char names[200][32];
	static struct conf_key keys[201];
	static const struct conf_schema schema = { "big", keys };

	for (unsigned i = 0; i < 200; i++) {
		snprintf(names[i], sizeof(names[i]), "key-number-%u", i);
		keys[i] = (struct conf_key) { names[i], CONF_STRING, CONF_REQUIRED };
	}
	refuse_as(&schema, "big,zzz=1", "'zzz'", "key-number-0, key-number-1,");
	assert_string_equal(error.remedy + strlen(error.remedy) - 3, "...");
	refuse_as(&schema, "big", "it needs key-number-0, ", "add key-number-0= (string)");
	assert_string_equal(error.reason + strlen(error.reason) - 3, "...");
}

static void refuses_a_missing_required_key(void **state)
{
	static const struct conf_key keys[] = {
		{ "path", CONF_STRING, CONF_REQUIRED },
		{ "mode", CONF_INT, CONF_REQUIRED, .min = 0, .max = 7 },
		{ "x", CONF_STRING },
		{ 0 },
	};
	static const struct conf_schema schema = { "s", keys };

	refuse_as(&schema, "s,x=1", "it needs path, mode", "path= (string), mode= (integer 0..7)");
	refuse_as(&schema, "s,mode=1", "it needs path", "add path=");
	assert_null(strstr(error.reason, "mode"));
	parse_as(&schema, "s,mode=1,path=p");
	assert_non_null(conf);
}

static void refuses_an_overlong_description(void **state)
{
	static char spec[CONF_SPEC_MAX + 2];

	memset(spec, 'a', CONF_SPEC_MAX + 1);
	memcpy(spec, "tap,script=", 11);
	spec[CONF_SPEC_MAX + 1] = '\0';
	refuse(spec, "longer than 65536 bytes", "");
	spec[CONF_SPEC_MAX] = '\0';
	parse(spec);
	assert_int_equal(strlen(conf_str(conf, "script", "")), CONF_SPEC_MAX - 11);
}

static void thousands_of_keys_end_in_an_error(void **state)
{
	static char spec[CONF_SPEC_MAX + 1];
	size_t len = 3;

	strcpy(spec, "tap");
	for (unsigned i = 0; i < 6000; i++)
		len += (size_t)snprintf(spec + len, sizeof(spec) - len, ",k%u=1", i);
	refuse(spec, "there is no key 'k0'", "");
	strcpy(spec, "{\"type\":\"tap\"");
	len = strlen(spec);
	for (unsigned i = 0; i < 4000; i++)
		len += (size_t)snprintf(spec + len, sizeof(spec) - len, ",\"k%u\":1", i);
	strcpy(spec + len, "}");
	refuse(spec, "there is no key 'k0'", "");
}

static void only_some_strings_may_be_empty(void **state)
{
	parse("tap,script=");
	assert_true(conf_has(conf, "script"));
	assert_string_equal(conf_str(conf, "script", "default"), "");
	refuse("tap,ifname=", "ifname='': it is empty", "ifname takes: string");
	refuse("tap,queues=", "it is empty", "");
	refuse("tap,fds=", "it is empty", "");
	refuse("tap,id=", "it is empty", "");
}

/* Combinations, names, introspection -------------------------------------------------- */

static void exclude_names_all_keys_that_were_given(void **state)
{
	static const char *const keys[] = { "ifname", "script", "queues", NULL };

	parse("tap,fds=3,queues=2,ifname=vm0");
	assert_int_equal(conf_exclude(conf, "not together with fds=", keys, &error), -EINVAL);
	assert_string_equal(error.reason, "ifname, queues: not together with fds=");
	assert_string_equal(error.object, "tap vm0");
	parse("tap,fds=3");
	assert_int_equal(conf_exclude(conf, "not together with fds=", keys, &error), 0);
	assert_int_equal(error.code, 0);
}

static void object_is_id_else_ifname_else_path(void **state)
{
	static const struct conf_key keys[] = { { "path", CONF_STRING }, { 0 } };
	static const struct conf_schema schema = { "stream", keys };

	parse("tap");
	assert_string_equal(conf_object(conf), "tap");
	parse("tap,ifname=vm0");
	assert_string_equal(conf_object(conf), "tap vm0");
	parse("tap,ifname=vm0,id=n");
	assert_string_equal(conf_object(conf), "tap n");
	parse_as(&schema, "stream,path=/run/a.sock");
	assert_string_equal(conf_object(conf), "stream /run/a.sock");
}

static void long_object_is_cut_between_characters(void **state)
{
	char spec[256] = "tap,ifname=";

	for (unsigned i = 0; i < 60; i++)
		strcat(spec, "\xc3\xbc");
	parse(spec);
	assert_int_equal(strlen(conf_object(conf)), 78); /* "tap " and 37 characters */
	assert_printable(conf_object(conf));
}

static void infos_describe_the_schema(void **state)
{
	struct vmtap_key_info infos[32], again[32];
	unsigned cnt = conf_key_infos(&test_schema, infos, 32);
	unsigned all = sizeof(test_keys) / sizeof(test_keys[0]) - 1;

	assert_int_equal(cnt, all); /* one hidden key less, id more */
	assert_string_equal(infos[0].name, "ifname");
	assert_string_equal(infos[0].kind, "string");
	assert_string_equal(infos[0].def, "the kernel picks one");
	assert_string_equal(infos[0].help, "Name of the interface");
	assert_string_equal(infos[0].unit, "");
	assert_string_equal(infos[2].kind, "integer 1..256");
	assert_string_equal(infos[4].kind, "integer");
	assert_string_equal(infos[5].kind, "on/off");
	assert_string_equal(infos[7].kind, "bytes (k, M, G)");
	assert_string_equal(infos[7].unit, "bytes");
	assert_string_equal(infos[9].kind, "MAC address");
	assert_string_equal(infos[11].kind, "one of bridge|private|vepa");
	assert_string_equal(infos[12].kind, "list joined by ':'");
	assert_string_equal(infos[cnt - 1].name, "id");
	for (unsigned i = 0; i < cnt; i++)
		assert_string_not_equal(infos[i].name, "reconnect");
	/* made-up strings are kept once */
	conf_key_infos(&test_schema, again, 32);
	assert_ptr_equal(infos[2].kind, again[2].kind);
}

static void infos_keep_to_the_room_given(void **state)
{
	struct vmtap_key_info infos[3] = { [2] = { .name = "untouched" } };

	assert_int_equal(conf_key_infos(&test_schema, NULL, 0),
			 conf_key_infos(&test_schema, infos, 2));
	assert_string_equal(infos[1].name, "script");
	assert_string_equal(infos[2].name, "untouched");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(takes_a_type_alone),
		CASE(takes_keys_with_values),
		CASE(doubled_comma_is_a_literal_comma),
		CASE(value_keeps_its_equals_signs),
		CASE(key_alone_is_on),
		CASE(key_alone_is_refused_unless_on_off),
		CASE(ignores_a_comma_at_the_end),
		CASE(type_may_stand_as_a_key),
		CASE(refuses_a_second_type),
		CASE(refuses_another_type),
		CASE(refuses_a_missing_type),
		CASE(refuses_a_type_that_is_no_word),
		CASE(tells_the_type_without_a_schema),
		CASE(refuses_an_empty_key),
		CASE(refuses_repeated_keys),
		CASE(unknown_key_error_lists_keys_and_suggests),
		CASE(suggests_nothing_that_is_far_off),
		CASE(hidden_keys_work_but_are_not_offered),
		CASE(many_keys_do_not_overflow_an_error),
		CASE(refuses_a_missing_required_key),
		CASE(refuses_an_overlong_description),
		CASE(thousands_of_keys_end_in_an_error),
		CASE(only_some_strings_may_be_empty),
		CASE(exclude_names_all_keys_that_were_given),
		CASE(object_is_id_else_ifname_else_path),
		CASE(long_object_is_cut_between_characters),
		CASE(infos_describe_the_schema),
		CASE(infos_keep_to_the_room_given),
	};

	return cmocka_run_group_tests_name("conf", tests, NULL, NULL);
}
