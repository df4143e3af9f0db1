/* SPDX-License-Identifier: MIT */
/* What the tests of descriptions share: parse one, or see it refused. */
#ifndef TESTS_CONF_PARSE_H
#define TESTS_CONF_PARSE_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "conf-schema.h"
#include "conf/text.h"

/* Parsed by parse() and dropped before the next: a test needs one at a time. */
static struct conf *conf;
static struct vmtap_error error;

static inline void parse_as(const struct conf_schema *schema, const char *spec)
{
	conf_free(conf);
	memset(&error, 0, sizeof(error));
	conf = conf_parse(schema, spec, &error);
	if (!conf)
		assert_int_not_equal(error.code, 0);
}

static inline void parse(const char *spec)
{
	parse_as(&test_schema, spec);
	if (!conf)
		fail_msg("%.200s: %s: %s; %s", spec, error.object, error.reason, error.remedy);
}

/* @spec is refused, and the error says these things. */
static inline void refuse_as(const struct conf_schema *schema, const char *spec, const char *reason,
			     const char *remedy)
{
	parse_as(schema, spec);
	if (conf)
		fail_msg("%.200s: accepted", spec);
	assert_int_equal(error.code, EINVAL);
	assert_string_equal(error.action, "read its options");
	if (!strstr(error.reason, reason))
		fail_msg("%.200s: \"%s\" does not say \"%s\"", spec, error.reason, reason);
	if (!strstr(error.remedy, remedy))
		fail_msg("%.200s: \"%s\" does not advise \"%s\"", spec, error.remedy, remedy);
}

static inline void refuse(const char *spec, const char *reason, const char *remedy)
{
	refuse_as(&test_schema, spec, reason, remedy);
}

static inline int drop_conf(void **state)
{
	conf_free(conf);
	conf = NULL;
	return 0;
}

static inline void assert_printable(const char *text)
{
	assert_int_equal(text_clean_len(text, strlen(text)), strlen(text));
}

#define CASE(name) cmocka_unit_test_teardown(name, drop_conf)

#endif
