/* SPDX-License-Identifier: MIT */
/*
 * Fuzzes the parser of port descriptions, both syntaxes.
 *
 * Input: a description. Besides not crashing, it must hold that
 *   - an error has a code and four clean texts, and is the same with and without a place for it;
 *   - conf_type() agrees with conf_parse();
 *   - what was accepted, written out again in either syntax, is accepted and means the same.
 */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../unit/conf-schema.h"
#include "conf/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const char *text)
{
	assert(text_clean_len(text, strlen(text)) == strlen(text));
}

static void check_error(const char *spec, const struct vmtap_error *err)
{
	assert(err->code == EINVAL);
	assert(*err->object && *err->action && *err->reason);
	check_text(err->object);
	check_text(err->action);
	check_text(err->reason);
	check_text(err->remedy);
	assert(!conf_parse(&test_schema, spec, NULL));
}

static bool is_number(enum conf_kind kind)
{
	return kind == CONF_INT || kind == CONF_SIZE || kind == CONF_RATE;
}

static void check_same(const struct conf *a, const struct conf *b, const char *name,
		       enum conf_kind kind)
{
	uint8_t mac[2][6];

	assert(conf_has(a, name) == conf_has(b, name));
	if (!conf_has(a, name))
		return;
	switch (kind) {
	case CONF_STRING:
		assert(strcmp(conf_str(a, name, NULL), conf_str(b, name, NULL)) == 0);
		check_text(conf_str(a, name, NULL));
		break;
	case CONF_BOOL:
		assert(conf_bool(a, name, false) == conf_bool(b, name, false));
		break;
	case CONF_INT:
	case CONF_SIZE:
	case CONF_RATE:
		assert(conf_int(a, name, 0) == conf_int(b, name, 0));
		break;
	case CONF_MAC:
		assert(conf_mac(a, name, mac[0]) && conf_mac(b, name, mac[1]));
		assert(memcmp(mac[0], mac[1], 6) == 0);
		break;
	case CONF_ENUM:
		assert(conf_enum(a, name, -1) == conf_enum(b, name, -2));
		break;
	case CONF_LIST:
	case CONF_SET:
		assert(conf_list_cnt(a, name) == conf_list_cnt(b, name));
		for (unsigned i = 0; i < conf_list_cnt(a, name); i++)
			assert(strcmp(conf_list_item(a, name, i), conf_list_item(b, name, i)) == 0);
		break;
	}
}

/* @spec means what @c does. */
static void check_means(const struct conf *c, const char *spec)
{
	struct vmtap_error err = { 0 };
	struct conf *other = conf_parse(&test_schema, spec, &err);

	if (!other) {
		fprintf(stderr, "%s: %s; %s\n", spec, err.reason, err.remedy);
		abort();
	}
	for (const struct conf_key *key = test_keys; key->name; key++)
		check_same(c, other, key->name, key->kind);
	check_same(c, other, "id", CONF_STRING);
	assert(strcmp(conf_object(c), conf_object(other)) == 0);
	conf_free(other);
}

static void write_text(FILE *out, const char *text)
{
	for (; *text; text++) {
		if (*text == ',')
			fputc(',', out);
		fputc(*text, out);
	}
}

static void write_key(const struct conf *c, const char *name, enum conf_kind kind, FILE *out)
{
	if (!conf_has(c, name))
		return;
	fprintf(out, ",%s=", name);
	if (kind == CONF_BOOL)
		fputs(conf_bool(c, name, false) ? "yes" : "n", out);
	else if (is_number(kind))
		fprintf(out, "%" PRId64, conf_int(c, name, 0));
	else
		write_text(out, conf_str(c, name, NULL));
}

static void check_string_form(const struct conf *c)
{
	char *spec;
	size_t size;
	FILE *out = open_memstream(&spec, &size);

	assert(out);
	fputs("tap", out);
	for (const struct conf_key *key = test_keys; key->name; key++)
		write_key(c, key->name, key->kind, out);
	write_key(c, "id", CONF_STRING, out);
	fclose(out);
	if (size <= CONF_SPEC_MAX)
		check_means(c, spec);
	free(spec);
}

static json_t *json_value(const struct conf *c, const char *name, enum conf_kind kind)
{
	json_t *items;

	if (kind == CONF_BOOL)
		return json_boolean(conf_bool(c, name, false));
	if (is_number(kind))
		return json_integer(conf_int(c, name, 0));
	if (kind != CONF_LIST && kind != CONF_SET)
		return json_string(conf_str(c, name, NULL));
	items = json_array();
	for (unsigned i = 0; i < conf_list_cnt(c, name); i++)
		json_array_append_new(items, json_string(conf_list_item(c, name, i)));
	return items;
}

/* Dotted keys become objects in objects. */
static void set_value(json_t *object, const char *name, json_t *value)
{
	const char *dot = strchr(name, '.');
	char outer[32];
	json_t *inner;

	if (!dot) {
		json_object_set_new(object, name, value);
		return;
	}
	snprintf(outer, sizeof(outer), "%.*s", (int)(dot - name), name);
	inner = json_object_get(object, outer);
	if (!inner) {
		inner = json_object();
		json_object_set_new(object, outer, inner);
	}
	set_value(inner, dot + 1, value);
}

static void check_json_form(const struct conf *c)
{
	json_t *root = json_object();
	char *spec;

	for (const struct conf_key *key = test_keys; key->name; key++) {
		if (conf_has(c, key->name))
			set_value(root, key->name, json_value(c, key->name, key->kind));
	}
	if (conf_has(c, "id"))
		set_value(root, "id", json_value(c, "id", CONF_STRING));
	set_value(root, "type", json_string("tap"));
	spec = json_dumps(root, 0);
	assert(spec);
	if (strlen(spec) <= CONF_SPEC_MAX)
		check_means(c, spec);
	free(spec);
	json_decref(root);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *spec = strndup((const char *)data, size);
	struct vmtap_error err = { 0 };
	char type[16] = "";
	struct conf *c;

	assert(spec);
	if (conf_type(spec, type, sizeof(type), &err) < 0)
		check_error(spec, &err);
	else
		check_text(type);
	memset(&err, 0, sizeof(err));
	c = conf_parse(&test_schema, spec, &err);
	if (c) {
		assert(strcmp(type, "tap") == 0);
		check_text(conf_object(c));
		check_string_form(c);
		check_json_form(c);
		conf_free(c);
	} else {
		check_error(spec, &err);
	}
	free(spec);
	return 0;
}
