/* SPDX-License-Identifier: MIT */
/*
 * The JSON syntax: {"type":TYPE,"KEY":VALUE,…}
 *
 * Model
 *   jansson parses; here each value becomes the text that the string syntax would have. Objects in
 *   objects are dotted keys. Types are held strictly, as QEMU does: "2" is no integer.
 *
 * What the author of a description may do wrong
 *   Nest without end: a nested object is entered only when some key of the schema begins with
 *   its path, so the schema's dots bound the depth.
 */
#include "conf/parse.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Return: 0 and @root, owned; -errno. */
static int parse(const char *spec, size_t len, json_t **root, struct vmtap_error *err)
{
	char shown[TEXT_QUOTE_SIZE];
	json_error_t why;

	*root = json_loadb(spec, len, JSON_REJECT_DUPLICATES, &why);
	if (*root)
		return 0;
	if (json_error_code(&why) == json_error_out_of_memory)
		return error_errno(err, ENOMEM, "port", CONF_READ);
	error_set(err, EINVAL, "port", CONF_READ, "JSON line %d, column %d: %s", why.line,
		  why.column, text_show(shown, why.text, strlen(why.text), TEXT_QUOTE_MAX));
	error_remedy(err, "write one JSON object, as in {\"type\":\"tap\",\"ifname\":\"vm0\"}");
	return -EINVAL;
}

int json_spec_type(const char *spec, size_t len, char **type, struct vmtap_error *err)
{
	const char *text;
	json_t *root;
	int r = parse(spec, len, &root, err);

	if (r)
		return r;
	text = json_string_value(json_object_get(root, "type"));
	if (text) {
		*type = strdup(text);
		r = *type ? 0 : error_errno(err, ENOMEM, "port", CONF_READ);
	} else {
		r = error_set(err, EINVAL, "port", CONF_READ, "%s",
			      json_object_get(root, "type")
				      ? "\"type\" is not a string"
				      : "the description does not say its type");
		error_remedy(err, "write {\"type\":\"tap\",...}");
	}
	json_decref(root);
	return r;
}

/* What a value is, for messages. */
static void name_value(const json_t *value, struct text *t)
{
	char quoted[TEXT_QUOTE_SIZE];

	switch (json_typeof(value)) {
	case JSON_STRING:
		text_quote(quoted, json_string_value(value), json_string_length(value),
			   TEXT_QUOTE_MAX);
		text_add(t, "the string %s", quoted);
		break;
	case JSON_INTEGER:
		text_add(t, "the integer %" JSON_INTEGER_FORMAT, json_integer_value(value));
		break;
	case JSON_REAL:
		text_add(t, "the number %g", json_real_value(value));
		break;
	case JSON_OBJECT:
		text_add(t, "an object");
		break;
	case JSON_ARRAY:
		text_add(t, "an array");
		break;
	case JSON_TRUE:
	case JSON_FALSE:
	case JSON_NULL:
		text_add(t, "%s",
			 json_is_null(value)   ? "null"
			 : json_is_true(value) ? "true"
					       : "false");
		break;
	}
}

static const char *json_kind(const struct conf_key *key)
{
	switch (key->kind) {
	case CONF_BOOL:
		return "true or false";
	case CONF_INT:
		return "an integer, without quotes";
	case CONF_SIZE:
		return "an integer, or a string such as \"64k\"";
	case CONF_RATE:
		return "an integer, or a string such as \"100M\"";
	case CONF_LIST:
	case CONF_SET:
		return "an array of strings and integers, or a string";
	case CONF_STRING:
	case CONF_MAC:
	case CONF_ENUM:
		break;
	}
	return "a string";
}

/* @item: in which item of the array @value is, from 1; 0: it is the value itself. */
static int wrong_type(const struct conf *c, const struct conf_key *key, unsigned item,
		      const json_t *value, struct vmtap_error *err)
{
	char found[TEXT_QUOTE_SIZE + 32], where[32] = "";
	struct text t = text_init(found, sizeof(found));

	name_value(value, &t);
	if (item)
		snprintf(where, sizeof(where), ", item %u", item);
	error_set(err, EINVAL, c->object, CONF_READ, "%s%s is %s in JSON", key->name, where, found);
	error_remedy(err, "%s takes %s%s", key->name, json_kind(key),
		     json_is_null(value) ? "; leave it out for the default" : "");
	return -EINVAL;
}

static int put_int(struct conf *c, const struct conf_key *key, json_int_t num,
		   struct vmtap_error *err)
{
	char text[32];

	snprintf(text, sizeof(text), "%" JSON_INTEGER_FORMAT, num);
	return conf_put(c, key->name, text, err);
}

/* Write the array's items to @out, joined by their separator. */
static int join_items(const struct conf *c, const struct conf_key *key, const json_t *array,
		      FILE *out, struct vmtap_error *err)
{
	const char sep = key->kind == CONF_SET ? '+' : ':';

	for (unsigned i = 0; i < json_array_size(array); i++) {
		const json_t *value = json_array_get(array, i);
		const char *text = json_string_value(value);

		if (i)
			fputc(sep, out);
		if (json_is_integer(value)) {
			fprintf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(value));
			continue;
		}
		if (!text)
			return wrong_type(c, key, i + 1, value, err);
		if (!*text)
			return error_set(err, EINVAL, c->object, CONF_READ, "%s, item %u, is empty",
					 key->name, i + 1);
		if (strchr(text, sep))
			return error_set(err, EINVAL, c->object, CONF_READ,
					 "%s, item %u, contains a '%c'", key->name, i + 1, sep);
		fputs(text, out);
	}
	return 0;
}

static int put_array(struct conf *c, const struct conf_key *key, const json_t *array,
		     struct vmtap_error *err)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);
	int r, closed;

	if (!out)
		return error_errno(err, ENOMEM, c->object, CONF_READ);
	r = join_items(c, key, array, out, err);
	closed = fclose(out);
	if (!r)
		r = closed ? error_errno(err, ENOMEM, c->object, CONF_READ)
			   : conf_put(c, key->name, text, err);
	free(text);
	return r;
}

static int put_value(struct conf *c, const struct conf_key *key, const json_t *value,
		     struct vmtap_error *err)
{
	enum conf_kind kind = key->kind;

	switch (json_typeof(value)) {
	case JSON_STRING:
		if (kind == CONF_BOOL || kind == CONF_INT)
			break;
		return conf_put(c, key->name, json_string_value(value), err);
	case JSON_INTEGER:
		if (kind != CONF_INT && kind != CONF_SIZE && kind != CONF_RATE)
			break;
		return put_int(c, key, json_integer_value(value), err);
	case JSON_TRUE:
	case JSON_FALSE:
		if (kind != CONF_BOOL)
			break;
		return conf_put(c, key->name, json_is_true(value) ? "on" : "off", err);
	case JSON_ARRAY:
		if (kind != CONF_LIST && kind != CONF_SET)
			break;
		return put_array(c, key, value, err);
	case JSON_OBJECT:
	case JSON_REAL:
	case JSON_NULL:
		break;
	}
	return wrong_type(c, key, 0, value, err);
}

/* Does a key of the schema lie inside the object @path? */
static bool is_prefix(const struct conf *c, const char *path)
{
	size_t len = strlen(path);

	for (unsigned i = 0; i < c->key_cnt; i++) {
		const char *name = conf_key_at(c, i)->name;

		if (strncmp(name, path, len) == 0 && name[len] == '.')
			return true;
	}
	return false;
}

static int read_object(struct conf *c, json_t *object, const char *prefix, struct vmtap_error *err)
{
	const char *name;
	json_t *value;
	int r = 0;

	json_object_foreach(object, name, value)
	{
		char path[CONF_KEY_SIZE];
		int len = snprintf(path, sizeof(path), "%s%s%s", prefix, *prefix ? "." : "", name);
		int index;

		if (!*prefix && strcmp(name, "type") == 0)
			continue;
		if ((size_t)len >= sizeof(path))
			return conf_unknown(c, name, strlen(name), err);
		index = conf_find(c, path);
		if (json_is_object(value) && is_prefix(c, path))
			r = read_object(c, value, path, err);
		else if (index >= 0)
			r = put_value(c, conf_key_at(c, (unsigned)index), value, err);
		else
			r = conf_unknown(c, path, strlen(path), err);
		if (r)
			return r;
	}
	return 0;
}

int json_spec_read(struct conf *c, const char *spec, size_t len, struct vmtap_error *err)
{
	json_t *root;
	int r = parse(spec, len, &root, err);

	if (r)
		return r;
	r = read_object(c, root, "", err);
	json_decref(root);
	return r;
}
