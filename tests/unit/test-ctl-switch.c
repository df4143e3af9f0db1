/* SPDX-License-Identifier: MIT */
/* What commands say of a switch that runs for months. The clock is the test's own. */
#include "unit.h"

#include <string.h>

#include "ctl/qmp.h"
#include "fake-clock.h"

#define DAY_MS 86400000ull

static struct qmp q;
static struct call call;

static int setup(void **state)
{
	struct vmtap_config config = { .size = sizeof(config), .engine = VMTAP_ENGINE_PLAIN };

	now_ns = NSEC_PER_SEC;
	q = (struct qmp) { .ready = true };
	call = (struct call) { .state = state_new(&config, NULL), .role = ROLE_ADMIN };
	return call.state ? 0 : -1;
}

static int teardown(void **state)
{
	call_fini(&call);
	state_free(call.state);
	return 0;
}

/* Return: what the command returns, owned. */
static json_t *ask(const char *text)
{
	json_t *answer = qmp_answer(&q, &call, text, strlen(text));
	json_t *said = json_incref(json_object_get(answer, "return"));

	assert_non_null(said);
	json_decref(answer);
	return said;
}

static void ok(const char *text)
{
	json_decref(ask(text));
}

static void expect_age(uint64_t age_ms)
{
	json_t *rows = ask("{\"execute\":\"query-macs\",\"arguments\":{\"id\":\"lan\"}}");

	assert_int_equal(json_array_size(rows), 1);
	assert_int_equal(json_integer_value(json_object_get(json_array_get(rows, 0), "age-ms")),
			 age_ms);
	json_decref(rows);
}

static void an_address_that_never_ages_may_be_silent_for_years(void **state)
{
	static const unsigned days[] = { 0, 24, 30, 60, 1000 };

	ok("{\"execute\":\"switch_add\",\"arguments\":{\"spec\":\"switch,id=lan,age-s=0\"}}");
	ok("{\"execute\":\"port_add\",\"arguments\":{\"spec\":\"null,id=gen,count=1\"}}");
	ok("{\"execute\":\"connect\",\"arguments\":{\"id\":\"gen\",\"peer\":\"lan\"}}");
	for (unsigned i = 0; i < 10; i++)
		vmtap_dispatch(state_instance(call.state), 0);
	for (unsigned i = 0; i < sizeof(days) / sizeof(days[0]); i++) {
		now_ns = NSEC_PER_SEC + days[i] * DAY_MS * NSEC_PER_MSEC;
		expect_age(days[i] * DAY_MS);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(an_address_that_never_ages_may_be_silent_for_years,
						setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
