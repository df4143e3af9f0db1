/* SPDX-License-Identifier: MIT */
/* Commands in words that a person types. */
#include "ctl/words.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define QUERY "query-"
#define KEY_SIZE 64 /* what is longer is no key */

static const char *bare_name(const struct command *cmd)
{
	bool query = strncmp(cmd->name, QUERY, strlen(QUERY)) == 0;

	return cmd->name + (query ? strlen(QUERY) : 0);
}

const char *words_of(const struct command *cmd, char *buf, size_t size)
{
	snprintf(buf, size, "%s", bare_name(cmd));
	for (char *c = buf; *c; c++)
		if (*c == '-' || *c == '_')
			*c = ' ';
	return buf;
}

/* How many words, from the first on, are @name cut into pieces; 0: they are not. */
static int match(const char *name, int argc, char **argv)
{
	for (int i = 0; i < argc; i++) {
		size_t len = strcspn(name, "-_");

		if (strlen(argv[i]) != len || memcmp(argv[i], name, len) != 0)
			return 0;
		name += len;
		if (!*name)
			return i + 1;
		name++;
	}
	return 0;
}

const struct command *words_command(int argc, char **argv, int *used)
{
	const struct command *cmd, *best = NULL;

	*used = 0;
	for (unsigned i = 0; argc && (cmd = command_at(i)); i++) {
		int cnt = match(bare_name(cmd), argc, argv);

		if (!cnt && strcmp(argv[0], cmd->name) == 0)
			cnt = 1;
		if (cnt <= *used)
			continue;
		*used = cnt;
		best = cmd;
	}
	return best;
}

/* ------------------------------------------------------------------- arguments */

static json_t *truth(const char *text)
{
	static const char *const yes[] = { "on", "yes", "true", "up" };
	static const char *const no[] = { "off", "no", "false", "down" };

	for (size_t i = 0; i < sizeof(yes) / sizeof(yes[0]); i++) {
		if (strcmp(text, yes[i]) == 0)
			return json_true();
		if (strcmp(text, no[i]) == 0)
			return json_false();
	}
	return NULL;
}

/* @factor: of a suffix; 0: there may be none. */
static json_t *integer(const char *text, int64_t factor)
{
	static const char suffixes[] = "kmgt";
	const char *suffix;
	char *end;
	long long value;
	int64_t result;

	errno = 0;
	value = strtoll(text, &end, 0);
	if (errno || end == text)
		return NULL;
	result = value;
	suffix = *end && factor ? strchr(suffixes, tolower((unsigned char)*end)) : NULL;
	if (suffix) {
		end++;
		for (ptrdiff_t power = suffix - suffixes; power >= 0; power--)
			if (__builtin_mul_overflow(result, factor, &result))
				return NULL;
	}
	return *end ? NULL : json_integer(result);
}

static json_t *number(const char *text)
{
	char *end;
	double value = strtod(text, &end);

	return end == text || *end ? NULL : json_real(value);
}

/* Its elements between commas, or JSON. */
static json_t *array(const char *text)
{
	json_t *list;

	if (*text == '[')
		return json_loads(text, 0, NULL);
	list = json_array();
	while (*text) {
		size_t len = strcspn(text, ",");

		json_array_append_new(list, json_stringn(text, len));
		text += len;
		text += *text == ',';
	}
	return list;
}

/* ----------------------------------------------------- keys of ports and switches */

/* What a command's other arguments describe; NULL: its type was not given. */
static const char *type_of(const struct command *cmd, const json_t *args)
{
	if (strcmp(cmd->name, "open_tap") == 0)
		return "tap";
	if (strcmp(cmd->name, "switch_add") == 0)
		return "switch";
	return json_string_value(json_object_get(args, "type"));
}

static const struct vmtap_type_info *info_of(const char *type)
{
	const struct vmtap_type_info *info;

	for (unsigned i = 0; (info = vmtap_type_info(i)); i++)
		if (strcmp(info->name, type) == 0)
			return info;
	return strcmp(type, "switch") == 0 ? vmtap_switch_info() : NULL;
}

/* As vmtap_key_info has it; NULL: there is no such key. */
static const char *kind_of(const char *type, const char *key)
{
	const struct vmtap_type_info *info = type ? info_of(type) : NULL;
	const struct vmtap_key_info *common;

	for (unsigned i = 0; info && i < info->key_cnt; i++)
		if (strcmp(info->keys[i].name, key) == 0)
			return info->keys[i].kind;
	for (unsigned i = 0; (common = vmtap_common_info(i)); i++)
		if (strcmp(common->name, key) == 0)
			return common->kind;
	return NULL;
}

/* Whatever it looks like: of a key that only the server knows. */
static json_t *guess(const char *text)
{
	json_t *j = integer(text, 0);

	if (!j)
		j = truth(text);
	if (!j && strchr("{[\"", *text))
		j = json_loads(text, JSON_DECODE_ANY, NULL);
	return j ? j : json_string(text);
}

/* As JSON descriptions have it: what is neither on/off nor an integer may be a string. What cannot be of its kind is one,
 * too: the server has the better words for that. */
static json_t *typed(const char *kind, const char *text)
{
	json_t *j = NULL;

	if (!kind)
		return guess(text);
	if (strcmp(kind, "on/off") == 0)
		j = truth(text);
	else if (strncmp(kind, "integer", strlen("integer")) == 0)
		j = integer(text, 0);
	else if (strncmp(kind, "list", strlen("list")) == 0 && *text == '[')
		j = json_loads(text, 0, NULL);
	return j ? j : json_string(text);
}

static json_t *value(const struct command_arg *arg, const char *text)
{
	switch (arg->kind) {
	case ARG_STRING:
		return json_string(text);
	case ARG_BOOL:
		return truth(text);
	case ARG_INT:
		return integer(text, arg->factor);
	case ARG_NUMBER:
		return number(text);
	case ARG_OBJECT:
		return json_loads(text, 0, NULL);
	case ARG_ARRAY:
		return array(text);
	case ARG_ANY:
		break;
	}
	return guess(text);
}

static const struct command_arg *named(const struct command *cmd, const char *name, size_t len)
{
	for (const struct command_arg *a = cmd->args; a && a->name; a++)
		if (strlen(a->name) == len && memcmp(a->name, name, len) == 0)
			return a;
	return NULL;
}

/* The first that has no value yet. */
static const struct command_arg *next(const struct command *cmd, const json_t *args)
{
	for (const struct command_arg *a = cmd->args; a && a->name; a++)
		if (!json_object_get(args, a->name))
			return a;
	return NULL;
}

/* Is it NAME=VALUE of what the row does not have? */
static bool is_other(const struct command *cmd, const char *word)
{
	size_t len = strcspn(word, "=");

	return cmd->others && word[len] && !named(cmd, word, len) && !memchr(word, ',', len) &&
	       len < KEY_SIZE;
}

static void add_other(const struct command *cmd, json_t *args, const char *word)
{
	size_t len = strcspn(word, "=");
	char name[KEY_SIZE];

	snprintf(name, sizeof(name), "%.*s", (int)len, word);
	json_object_set_new(args, name, typed(kind_of(type_of(cmd, args), name), word + len + 1));
}

static int add(const struct command *cmd, json_t *args, const char *word, struct vmtap_error *err)
{
	size_t len = strcspn(word, "=");
	const struct command_arg *arg = word[len] ? named(cmd, word, len) : NULL;
	json_t *j;

	if (arg)
		word += len + 1;
	else
		arg = next(cmd, args);
	if (!arg) {
		error_set(err, EINVAL, cmd->name, "read its arguments", "\"%.60s\" is one too many",
			  word);
		error_remedy(err, "vmtap ctl help says which it takes");
		return -EINVAL;
	}
	j = value(arg, word);
	if (!j) {
		error_set(err, EINVAL, cmd->name, "read its arguments", "%s cannot be \"%.60s\"",
			  arg->name, word);
		error_remedy(err, "it takes: %s%s", kind_name(arg->kind),
			     arg->factor ? ", as in 100 or 100M" : "");
		return -EINVAL;
	}
	json_object_set_new(args, arg->name, j);
	return 0;
}

json_t *words_args(const struct command *cmd, int argc, char **argv, struct vmtap_error *err)
{
	json_t *args = json_object();
	int ret = args ? 0 : error_errno(err, ENOMEM, cmd->name, "read its arguments");

	for (int i = 0; i < argc && !ret; i++)
		if (!is_other(cmd, argv[i]))
			ret = add(cmd, args, argv[i], err);
	for (int i = 0; i < argc && !ret; i++) /* now that the type is known */
		if (is_other(cmd, argv[i]))
			add_other(cmd, args, argv[i]);
	if (!ret)
		ret = command_check(cmd, args, err);
	if (!ret)
		return args;
	json_decref(args);
	return NULL;
}
