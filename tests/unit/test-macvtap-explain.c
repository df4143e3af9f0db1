/* SPDX-License-Identifier: MIT */
/* The words for a macvtap's errors, those that this machine's kernel does not give. */
#include "unit.h"

#include <errno.h>
#include <linux/if_link.h>
#include <string.h>

#include "port/tap/macvtap-int.h"

static const struct nl_link eth = { .index = 1000000, .mtu = 1500, .name = "eth7" };

static int explain(int ret, struct vmtap_error *err)
{
	return macvtap_explain_new(ret, "macvtap vm0", &eth, MACVLAN_MODE_BRIDGE, err);
}

static void names_the_module_that_is_missing(void **state)
{
	struct vmtap_error err = { 0 };

	assert_int_equal(explain(-EOPNOTSUPP, &err), -EOPNOTSUPP);
	assert_int_equal(err.code, EOPNOTSUPP);
	assert_string_equal(err.object, "macvtap vm0");
	assert_non_null(strstr(err.reason, "no macvtap"));
	assert_non_null(strstr(err.remedy, "modprobe macvtap"));
}

static void names_a_parent_that_something_unknown_reads(void **state)
{
	struct vmtap_error err = { 0 };

	assert_int_equal(explain(-EBUSY, &err), -EBUSY);
	assert_non_null(strstr(err.reason, "something else takes the frames of eth7"));
	assert_non_null(strstr(err.remedy, "another parent="));
}

static void names_a_parent_that_cannot_carry_one(void **state)
{
	struct vmtap_error err = { 0 };

	assert_int_equal(explain(-EINVAL, &err), -EMEDIUMTYPE);
	assert_non_null(strstr(err.reason, "eth7 cannot carry a macvtap"));
}

static void says_when_names_run_out(void **state)
{
	struct vmtap_error err = { 0 };

	assert_int_equal(explain(-ENFILE, &err), -ENFILE);
	assert_non_null(strstr(err.reason, "every name"));
	assert_int_equal(explain(-EEXIST, &err), -EEXIST);
	assert_non_null(strstr(err.remedy, "another ifname="));
}

static void keeps_what_it_knows_nothing_of(void **state)
{
	struct vmtap_error err = { .code = EPERM, .object = "o", .action = "a", .reason = "r" };

	assert_int_equal(macvtap_explain_setting(-EPERM, &eth, 9000, &err), -EPERM);
	assert_string_equal(err.reason, "r");
	assert_int_equal(macvtap_explain_setting(-EINVAL, &eth, 1500, &err), -EINVAL);
	assert_string_equal(err.reason, "r");
	assert_int_equal(explain(-ENOMEM, &err), -ENOMEM);
	assert_string_equal(err.reason, strerror(ENOMEM));
}

static void needs_no_error_object(void **state)
{
	static const int codes[] = { EPERM, EBUSY, EOPNOTSUPP, EEXIST, ENFILE, ENOMEM };

	for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++)
		assert_int_equal(explain(-codes[i], NULL), -codes[i]);
	assert_int_equal(explain(-EINVAL, NULL), -EMEDIUMTYPE);
	assert_int_equal(macvtap_explain_setting(-EINVAL, &eth, 9000, NULL), -EMEDIUMTYPE);
	assert_int_equal(macvtap_explain_setting(-EADDRINUSE, &eth, 0, NULL), -EADDRINUSE);
	assert_int_equal(macvtap_explain_open(-EACCES, "o", &eth, 0, NULL), -EACCES);
	assert_int_equal(macvtap_explain_device(-ENXIO, "o", NULL), -ENXIO);
}

static void every_mode_has_a_name(void **state)
{
	assert_string_equal(macvtap_mode_name(MACVLAN_MODE_BRIDGE), "bridge");
	assert_string_equal(macvtap_mode_name(MACVLAN_MODE_PRIVATE), "private");
	assert_string_equal(macvtap_mode_name(MACVLAN_MODE_VEPA), "vepa");
	assert_string_equal(macvtap_mode_name(MACVLAN_MODE_PASSTHRU), "passthru");
	assert_string_equal(macvtap_mode_name(0), "unknown");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_the_module_that_is_missing),
		cmocka_unit_test(names_a_parent_that_something_unknown_reads),
		cmocka_unit_test(names_a_parent_that_cannot_carry_one),
		cmocka_unit_test(says_when_names_run_out),
		cmocka_unit_test(keeps_what_it_knows_nothing_of),
		cmocka_unit_test(needs_no_error_object),
		cmocka_unit_test(every_mode_has_a_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
