/* SPDX-License-Identifier: MIT */
/*
 * The string syntax: TYPE,KEY=VALUE,…
 *
 * Model
 *   A description is cut into items at single commas. The first item is the type when it has no
 *   '='. In an item's value, and in the type, ",," stands for one comma; a key has no commas.
 */
#include "conf/parse.h"

#include <stdlib.h>
#include <string.h>

/* What stands at one place; the strings lie in the copy of the description that is taken apart. */
struct item {
	char *key;   /* NULL: the type in front */
	char *value; /* NULL: the key alone */
};

/* Make the value at @s a string of its own. Return: where the next item starts. */
static char *cut_value(char *s)
{
	char *to = s;

	while (*s) {
		if (*s == ',' && *++s != ',')
			break; /* a single comma; @s is behind it */
		*to++ = *s++;
	}
	*to = '\0'; /* at the end, or at or before a comma that is done with */
	return s;
}

/* Take the item at @s apart. Return: where the next one starts; its end, when there is none. */
static char *cut_item(char *s, bool first, struct item *item)
{
	char *end = s + strcspn(s, "=,");

	item->key = s;
	item->value = NULL;
	if (*end == '=') {
		*end = '\0';
		item->value = end + 1;
		return cut_value(item->value);
	}
	if (first) {
		item->key = NULL;
		item->value = s;
		return cut_value(s);
	}
	if (!*end)
		return end;
	*end = '\0';
	return end + 1;
}

static bool is_type(const struct item *item)
{
	return !item->key || strcmp(item->key, "type") == 0;
}

int string_spec_type(const char *spec, size_t len, char **type, struct vmtap_error *err)
{
	char *copy = strndup(spec, len);
	struct item item = { 0 };
	bool found = false;

	if (!copy)
		return error_errno(err, ENOMEM, "port", CONF_READ);
	for (char *s = copy; *s && !found; found = is_type(&item))
		s = cut_item(s, s == copy, &item);
	if (found && item.value)
		*type = strdup(item.value);
	free(copy);
	if (found && item.value)
		return *type ? 0 : error_errno(err, ENOMEM, "port", CONF_READ);
	error_set(err, EINVAL, "port", CONF_READ, "the description does not say its type");
	error_remedy(err, "start it with the type, as in tap,ifname=vm0");
	return -EINVAL;
}

/* KEY alone. */
static int put_bare(struct conf *c, const char *name, struct vmtap_error *err)
{
	int index = conf_find(c, name);

	if (index < 0)
		return conf_unknown(c, name, strlen(name), err);
	if (conf_key_at(c, (unsigned)index)->kind == CONF_BOOL)
		return conf_put(c, name, "on", err);
	error_set(err, EINVAL, c->object, CONF_READ, "%s has no value", name);
	error_remedy(err, "write %s=VALUE; only an on/off key may stand alone", name);
	return -EINVAL;
}

static int put_item(struct conf *c, const struct item *item, struct vmtap_error *err)
{
	if (*item->key)
		return item->value ? conf_put(c, item->key, item->value, err)
				   : put_bare(c, item->key, err);
	error_set(err, EINVAL, c->object, CONF_READ, "there is an empty key");
	error_remedy(err,
		     "write KEY=VALUE between single commas; a literal comma in a value is ',,'");
	return -EINVAL;
}

int string_spec_read(struct conf *c, const char *spec, size_t len, struct vmtap_error *err)
{
	char *copy = strndup(spec, len);
	unsigned type_cnt = 0;
	struct item item;
	int r = 0;

	if (!copy)
		return error_errno(err, ENOMEM, c->object, CONF_READ);
	for (char *s = copy; *s && !r;) {
		s = cut_item(s, s == copy, &item);
		if (!is_type(&item))
			r = put_item(c, &item, err);
		else if (++type_cnt > 1)
			r = conf_repeated(c, "type", err);
	}
	free(copy);
	return r;
}
