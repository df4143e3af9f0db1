/* SPDX-License-Identifier: MIT */
/* QMP, from a document to its answer, with an instance behind it; and the words of `vmtap ctl`. */
#include "unit.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ctl/qmp.h"
#include "ctl/words.h"

static struct qmp q;
static struct call call;
static json_t *last;
static unsigned events;

static void on_event(void *opaque, json_t *event)
{
	events++;
}

static struct state_observer observer = { .event = on_event };

static int setup(void **state)
{
	struct vmtap_config config = { .size = sizeof(config), .engine = VMTAP_ENGINE_PLAIN };

	q = (struct qmp) { .ready = true };
	call = (struct call) { .state = state_new(&config, NULL), .role = ROLE_ADMIN };
	events = 0;
	state_observe(call.state, &observer);
	return call.state ? 0 : -1;
}

static int teardown(void **state)
{
	json_decref(last);
	last = NULL;
	call_fini(&call);
	state_ignore(call.state, &observer);
	state_free(call.state);
	return 0;
}

static json_t *ask(const char *text)
{
	json_decref(last);
	last = qmp_answer(&q, &call, text, strlen(text));
	assert_non_null(last);
	return last;
}

static void ok(const char *text)
{
	ask(text);
	if (!json_object_get(last, "return"))
		fail_msg("%s: %s", text, json_dumps(last, 0));
}

static void refuse(const char *text, const char *class, const char *says)
{
	const json_t *error = json_object_get(ask(text), "error");
	const char *desc = json_string_value(json_object_get(error, "desc"));

	assert_non_null(desc);
	assert_string_equal(json_string_value(json_object_get(error, "class")), class);
	if (!strstr(desc, says))
		fail_msg("\"%s\" is not in: %s", says, desc);
	assert_null(json_object_get(last, "return"));
}

#define GENERIC "GenericError"
#define UNKNOWN "CommandNotFound"

static void negotiation_comes_first_and_once(void **state)
{
	q.ready = false;
	refuse("{\"execute\":\"query-ports\"}", UNKNOWN, "qmp_capabilities");
	refuse("{\"execute\":\"qmp_capabilities\",\"arguments\":{\"enable\":[\"oob\"]}}", GENERIC,
	       "no optional capabilities");
	refuse("{\"execute\":\"qmp_capabilities\",\"arguments\":{\"x\":1}}", GENERIC, "enable");
	ok("{\"execute\":\"qmp_capabilities\",\"arguments\":{\"enable\":[]}}");
	refuse("{\"execute\":\"qmp_capabilities\"}", UNKNOWN, "already");
	ok("{\"execute\":\"query-ports\"}");
}

static void an_id_of_any_kind_comes_back(void **state)
{
	static const char *const ids[] = { "1",	  "\"a\"",  "null",	 "true",
					   "1.5", "[1,{}]", "{\"a\":[]}" };

	for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		json_t *id = json_loads(ids[i], JSON_DECODE_ANY, NULL);
		char text[128];

		snprintf(text, sizeof(text), "{\"execute\":\"query-ports\",\"id\":%s}", ids[i]);
		ok(text);
		assert_true(json_equal(json_object_get(last, "id"), id));
		snprintf(text, sizeof(text), "{\"execute\":\"nix\",\"id\":%s}", ids[i]);
		refuse(text, UNKNOWN, "nix");
		assert_true(json_equal(json_object_get(last, "id"), id));
		json_decref(id);
	}
	ok("{\"execute\":\"query-ports\"}");
	assert_null(json_object_get(last, "id"));
}

static void what_is_no_request_is_refused(void **state)
{
	refuse("[]", GENERIC, "no JSON object");
	refuse("{", GENERIC, "no JSON");
	refuse("{]", GENERIC, "no JSON");
	refuse("{}", GENERIC, "\"execute\" is missing");
	refuse("{\"execute\":1}", GENERIC, "\"execute\" is no string");
	refuse("{\"execute\":\"quit\",\"arguments\":[]}", GENERIC, "\"arguments\" is no object");
	refuse("{\"execute\":\"quit\",\"extra\":1}", GENERIC, "\"extra\"");
	refuse("{\"execute\":\"quit\",\"execute\":\"quit\"}", GENERIC, "duplicate");
	refuse("{\"execute\":\"qu\\u0000it\"}", GENERIC, "no JSON");
	refuse("{\"execute\":\"\xff\"}", GENERIC, "no JSON");
	assert_false(state_is_over(call.state));
}

static void a_cut_in_a_character_does_not_cost_the_answer(void **state)
{
	char text[256] = "{\"execute\":\"x";

	for (int i = 0; i < 60; i++)
		strcat(text, "\xc3\xbc");
	strcat(text, "\"}");
	refuse(text, UNKNOWN, "is no command");
}

static void arguments_are_checked_by_their_row(void **state)
{
	refuse("{\"execute\":\"set_link\",\"arguments\":{\"name\":\"a\",\"up\":1}}", GENERIC,
	       "up is not of the kind \"boolean\"");
	refuse("{\"execute\":\"set_link\",\"arguments\":{\"name\":\"a\"}}", GENERIC,
	       "up is missing");
	refuse("{\"execute\":\"set_link\",\"arguments\":{\"name\":\"a\",\"up\":true,\"x\":1}}",
	       GENERIC, "\"x\"; it takes name, up");
	refuse("{\"execute\":\"quit\",\"arguments\":{\"x\":1}}", GENERIC, "\"x\"; it takes none");
	refuse("{\"execute\":\"port_add\",\"arguments\":{\"type\":\"null\",\"nosuch\":1}}", GENERIC,
	       "nosuch");
	refuse("{\"execute\":\"port_add\",\"arguments\":{\"spec\":\"null\",\"id\":\"a\"}}", GENERIC,
	       "spec goes together");
}

static const struct command_arg bounds[] = {
	{ "n", ARG_INT, true, .min = -1, .max = 5 },
	{ "way", ARG_STRING, .choices = "rx|tx|both" },
	{ 0 },
};

static int check(const char *text, struct vmtap_error *err)
{
	const struct command cmd = { .name = "cmd", .args = bounds };
	json_t *args = json_loads(text, 0, NULL);
	int ret = command_check(&cmd, args, err);

	json_decref(args);
	return ret;
}

static void bounds_and_choices_are_kept(void **state)
{
	struct vmtap_error err = { 0 };

	assert_int_equal(check("{\"n\":-1,\"way\":\"tx\"}", &err), 0);
	assert_int_equal(check("{\"n\":5}", &err), 0);
	assert_int_equal(check("{\"n\":6}", &err), -EINVAL);
	assert_non_null(strstr(err.reason, "n is not from -1 to 5"));
	assert_int_equal(check("{\"n\":-2}", &err), -EINVAL);
	assert_int_equal(check("{\"n\":1,\"way\":\"x\"}", &err), -EINVAL);
	assert_non_null(strstr(err.reason, "rx|tx|both"));
	assert_int_equal(check("{\"n\":1,\"way\":\"\"}", &err), -EINVAL);
	assert_int_equal(check("{\"n\":1,\"way\":\"rx|tx\"}", &err), -EINVAL);
}

static void who_may_look_may_not_change(void **state)
{
	ok("{\"execute\":\"port_add\",\"arguments\":{\"type\":\"null\",\"id\":\"a\"}}");
	call.role = ROLE_READ;
	refuse("{\"execute\":\"port_del\",\"arguments\":{\"id\":\"a\"}}", GENERIC, "may only look");
	refuse("{\"execute\":\"quit\"}", GENERIC, "may only look");
	ok("{\"execute\":\"query-ports\"}");
	assert_int_equal(json_array_size(json_object_get(last, "return")), 1);
	ok("{\"execute\":\"query-commands\"}");
	for (size_t i = 0; i < json_array_size(json_object_get(last, "return")); i++) {
		json_t *row = json_array_get(json_object_get(last, "return"), i);
		const char *name = json_string_value(json_object_get(row, "name"));

		assert_int_equal(strncmp(name, "query-", 6), 0);
	}
}

static void ports_live_and_die_by_name(void **state)
{
	ok("{\"execute\":\"netdev_add\",\"arguments\":{\"type\":\"null\",\"id\":\"a\"}}");
	ok("{\"execute\":\"port_add\",\"arguments\":{\"spec\":\"null,id=b\"}}");
	assert_string_equal(
		json_string_value(json_object_get(json_object_get(last, "return"), "id")), "b");
	refuse("{\"execute\":\"port_add\",\"arguments\":{\"spec\":\"null,id=b\"}}", GENERIC,
	       "id=b");
	ok("{\"execute\":\"connect\",\"arguments\":{\"id\":\"a\",\"peer\":\"b\"}}");
	refuse("{\"execute\":\"connect\",\"arguments\":{\"id\":\"b\",\"peer\":\"a\"}}", GENERIC,
	       "");
	ok("{\"execute\":\"port_add\",\"arguments\":{\"spec\":\"null,id=d\"}}");
	refuse("{\"execute\":\"connect\",\"arguments\":{\"id\":\"b\",\"peer\":\"d\"}}", GENERIC,
	       "");
	ok("{\"execute\":\"port_del\",\"arguments\":{\"id\":\"d\"}}");
	assert_string_equal(state_port_peer(call.state, "a"), "b");
	ok("{\"execute\":\"port_del\",\"arguments\":{\"id\":\"a\"}}");
	assert_null(state_port(call.state, "a"));
	assert_null(state_port_peer(call.state, "b"));
	ok("{\"execute\":\"port_add\",\"arguments\":{\"spec\":\"null,id=a\"}}");
	ok("{\"execute\":\"connect\",\"arguments\":{\"id\":\"a\",\"peer\":\"b\"}}");
	ok("{\"execute\":\"disconnect\",\"arguments\":{\"id\":\"b\"}}");
	refuse("{\"execute\":\"disconnect\",\"arguments\":{\"id\":\"a\"}}", GENERIC, "nothing");
	refuse("{\"execute\":\"netdev_del\",\"arguments\":{\"id\":\"c\"}}", "DeviceNotFound",
	       "\"c\"");
	refuse("{\"execute\":\"connect\",\"arguments\":{\"id\":\"a\",\"peer\":\"c\"}}",
	       "DeviceNotFound", "\"c\"");
	refuse("{\"execute\":\"connect\",\"arguments\":{\"id\":\"a\",\"peer\":\"a\"}}", GENERIC,
	       "");
	assert_null(state_port_peer(call.state, "a"));
	assert_true(events >= 8);
}

static void a_link_that_goes_down_is_told_once(void **state)
{
	unsigned before;

	ok("{\"execute\":\"port_add\",\"arguments\":{\"spec\":\"null,id=a\"}}");
	before = events;
	ok("{\"execute\":\"set_link\",\"arguments\":{\"name\":\"a\",\"up\":false}}");
	ok("{\"execute\":\"set_link\",\"arguments\":{\"name\":\"a\",\"up\":false}}");
	assert_int_equal(events, before + 1);
	assert_false(state_port_link_up(call.state, "a"));
}

static void getfd_without_a_descriptor_is_refused(void **state)
{
	refuse("{\"execute\":\"getfd\",\"arguments\":{\"fdname\":\"n\"}}", GENERIC,
	       "none came along");
	call.in[call.in_cnt++] = dup(0);
	ok("{\"execute\":\"getfd\",\"arguments\":{\"fdname\":\"n\"}}");
	call.in[call.in_cnt++] = dup(0);
	ok("{\"execute\":\"getfd\",\"arguments\":{\"fdname\":\"n\"}}"); /* instead of the first */
	call.in[call.in_cnt++] = dup(0);
	refuse("{\"execute\":\"getfd\",\"arguments\":{\"fdname\":\"1\"}}", GENERIC, "digit");
	ok("{\"execute\":\"closefd\",\"arguments\":{\"fdname\":\"n\"}}");
	refuse("{\"execute\":\"closefd\",\"arguments\":{\"fdname\":\"n\"}}", GENERIC,
	       "none of that name");
}

static void the_schema_has_every_command(void **state)
{
	json_t *schema = command_schema();
	const struct command *cmd;
	unsigned cnt = 0;

	assert_non_null(schema);
	for (unsigned i = 0; (cmd = command_at(i)); i++) {
		assert_ptr_equal(command_find(cmd->name), cmd); /* no name twice */
		assert_non_null(cmd->summary);
		assert_non_null(cmd->run);
		cnt++;
	}
	assert_int_equal(json_array_size(json_object_get(schema, "commands")), cnt);
	assert_true(json_array_size(json_object_get(schema, "events")) > 5);
	assert_true(json_array_size(json_object_get(schema, "port-types")) > 5);
	json_decref(schema);
}

/* ------------------------------------------------------------------------ words */

/* Words between blanks. */
static const struct command *parse(const char *text, json_t **args, struct vmtap_error *err)
{
	static char copy[256];
	char *argv[16], *rest = NULL;
	int argc = 0, used;
	const struct command *cmd;

	snprintf(copy, sizeof(copy), "%s", text);
	for (char *word = strtok_r(copy, " ", &rest); word; word = strtok_r(NULL, " ", &rest))
		argv[argc++] = word;
	cmd = words_command(argc, argv, &used);
	*args = cmd ? words_args(cmd, argc - used, argv + used, err) : NULL;
	return cmd;
}

static void same_words(const char *name, const char *args, const char *text)
{
	struct vmtap_error err = { 0 };
	json_t *got, *want = json_loads(args, 0, NULL);
	const struct command *cmd = parse(text, &got, &err);

	assert_non_null(cmd);
	assert_string_equal(cmd->name, name);
	if (!got)
		fail_msg("%s: %s", text, err.reason);
	if (!json_equal(got, want))
		fail_msg("%s: %s", text, json_dumps(got, JSON_COMPACT));
	json_decref(got);
	json_decref(want);
}

static void refuse_words(const char *says, const char *text)
{
	struct vmtap_error err = { 0 };
	json_t *got;

	assert_non_null(parse(text, &got, &err));
	assert_null(got);
	if (!strstr(err.reason, says))
		fail_msg("\"%s\" is not in: %s", says, err.reason);
}

static void words_name_commands(void **state)
{
	same_words("query-ports", "{}", "ports");
	same_words("query-ports", "{\"id\":\"a\"}", "query-ports a");
	same_words("port_add", "{\"spec\":\"tap,ifname=vm0,br=br0\"}",
		   "port add tap,ifname=vm0,br=br0");
	same_words("port_add",
		   "{\"type\":\"tap\",\"ifname\":\"vm0\",\"queues\":2,\"vnet_hdr\":false}",
		   "port add type=tap ifname=vm0 queues=2 vnet_hdr=off");
	same_words("netdev_add", "{\"type\":\"null\",\"id\":\"a\"}", "netdev_add null id=a");
	same_words("connect", "{\"id\":\"a\",\"peer\":\"b\"}", "connect a b");
	same_words("connect", "{\"id\":\"a\",\"peer\":\"b\"}", "connect peer=b a");
	same_words("set_link", "{\"name\":\"a\",\"up\":false}", "set link a off");
	same_words("set_link", "{\"name\":\"a\",\"up\":true}", "set_link a up");
}

/* It says what a word is, whatever that looks like, before or behind the type. */
static void words_are_of_their_key_s_kind(void **state)
{
	same_words("open_tap", "{\"ifname\":\"7\",\"script\":\"no\",\"queues\":2,\"up\":true}",
		   "open tap ifname=7 script=no queues=2 up=yes");
	same_words("open_tap", "{\"fds\":\"5\",\"trunk\":\"10\",\"vlan\":10,\"rate\":\"5\"}",
		   "open tap fds=5 trunk=10 vlan=10 rate=5");
	same_words("open_tap", "{\"trunk\":[10,\"20-29\"]}", "open tap trunk=[10,\"20-29\"]");
	same_words("port_add", "{\"type\":\"stream\",\"host\":\"on\",\"port\":\"5000\"}",
		   "port add host=on port=5000 type=stream");
	same_words("netdev_add", "{\"type\":\"stream\",\"id\":\"a\",\"port\":\"5000\"}",
		   "netdev_add stream a port=5000");
	same_words("switch_add", "{\"id\":\"7\",\"hub\":true,\"queue-size\":\"65536\"}",
		   "switch add id=7 hub=on queue-size=65536");
	/* What it cannot be is the server's to say; of an unknown key it has to be guessed. */
	same_words("open_tap", "{\"queues\":\"two\",\"nosuch\":5,\"other\":true}",
		   "open tap queues=two nosuch=5 other=on");
}

static void words_that_are_wrong_are_refused(void **state)
{
	json_t *args;

	assert_null(parse("port", &args, NULL));
	assert_null(parse("portadd", &args, NULL));
	assert_null(parse("", &args, NULL));
	refuse_words("one too many", "connect a b c");
	refuse_words("up cannot be \"maybe\"", "set_link a maybe");
	refuse_words("peer is missing", "connect a");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(negotiation_comes_first_and_once),
		TEST(an_id_of_any_kind_comes_back),
		TEST(what_is_no_request_is_refused),
		TEST(a_cut_in_a_character_does_not_cost_the_answer),
		TEST(arguments_are_checked_by_their_row),
		TEST(bounds_and_choices_are_kept),
		TEST(who_may_look_may_not_change),
		TEST(ports_live_and_die_by_name),
		TEST(a_link_that_goes_down_is_told_once),
		TEST(getfd_without_a_descriptor_is_refused),
		TEST(the_schema_has_every_command),
		TEST(words_name_commands),
		TEST(words_are_of_their_key_s_kind),
		TEST(words_that_are_wrong_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
