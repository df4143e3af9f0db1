/* SPDX-License-Identifier: MIT */
/* A description, parsed against a schema, answers by key name. */
#include "conf/parse.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "conf/nearest.h"

#define UNPARSED "port" /* the object of errors about a description without a known type */

static_assert(sizeof(((struct vmtap_error *)NULL)->reason) > TEXT_QUOTE_SIZE + 200,
	      "a reason holds a quoted value and what is wrong with it");

/* Schema --------------------------------------------------------------------- */

/* A mistake in a schema is ours. */
static void check_key(const struct conf_key *key)
{
	assert(strlen(key->name) < CONF_KEY_SIZE);
	assert(strcmp(key->name, "type") != 0);
	if (key->kind == CONF_INT || key->kind == CONF_SIZE || key->kind == CONF_RATE)
		assert(key->min < key->max);
	if (key->kind == CONF_SIZE || key->kind == CONF_RATE)
		assert(key->min >= 0);
	if (key->kind == CONF_ENUM)
		assert(key->choices && *key->choices);
}

static unsigned check_schema(const struct conf_schema *schema)
{
	unsigned cnt;

	for (unsigned i = 0; i < conf_common_cnt; i++)
		check_key(&conf_common_keys[i]);
	for (cnt = 0; schema->keys[cnt].name; cnt++) {
		check_key(&schema->keys[cnt]);
		for (unsigned i = 0; i < conf_common_cnt; i++)
			assert(strcmp(schema->keys[cnt].name, conf_common_keys[i].name) != 0);
	}
	return cnt;
}

const struct conf_key *conf_key_at(const struct conf *c, unsigned index)
{
	return index < c->key_cnt ? &c->schema->keys[index] : &conf_common_keys[index - c->key_cnt];
}

int conf_find(const struct conf *c, const char *name)
{
	for (unsigned i = 0; i < conf_value_cnt(c); i++) {
		if (strcmp(conf_key_at(c, i)->name, name) == 0)
			return (int)i;
	}
	return -1;
}

/* Errors --------------------------------------------------------------------- */

/* The keys that an error offers: of those that all types have only the first, `id`. */
static void list_keys(const struct conf *c, struct text *t)
{
	for (unsigned i = 0; i <= c->key_cnt; i++) {
		if (!(conf_key_at(c, i)->flags & CONF_HIDDEN))
			text_add(t, "%s%s", i ? ", " : "", conf_key_at(c, i)->name);
	}
}

int conf_unknown(const struct conf *c, const char *name, size_t len, struct vmtap_error *err)
{
	char quoted[TEXT_QUOTE_SIZE], keys[sizeof(err->remedy) - 64];
	struct text t = text_init(keys, sizeof(keys));
	struct nearest near = nearest_init(name, len);

	for (unsigned i = 0; i < conf_value_cnt(c); i++) {
		const struct conf_key *key = conf_key_at(c, i);

		if (!(key->flags & CONF_HIDDEN))
			nearest_try(&near, key->name, strlen(key->name));
	}
	list_keys(c, &t);
	error_set(err, EINVAL, c->object, CONF_READ, "there is no key %s",
		  text_quote(quoted, name, len, TEXT_QUOTE_MAX));
	if (near.best)
		error_remedy(err, "did you mean %s? The keys of %s are %s", near.best,
			     c->schema->type, keys);
	else
		error_remedy(err, "the keys of %s are %s", c->schema->type, keys);
	return -EINVAL;
}

int conf_repeated(const struct conf *c, const char *name, struct vmtap_error *err)
{
	error_set(err, EINVAL, c->object, CONF_READ, "%s is given twice", name);
	error_remedy(err, "keep one of the two");
	return -EINVAL;
}

/* Turn a CONF_ENUM's wrong text into a suggestion. */
static void suggest_choice(const struct conf_key *key, const char *text, struct text *t)
{
	struct nearest near = nearest_init(text, strlen(text));
	size_t at = 0, len;
	const char *choice;

	while ((choice = value_choice(key, &at, &len)) != NULL)
		nearest_try(&near, choice, len);
	if (near.best)
		text_add(t, "did you mean %.*s? ", (int)near.best_len, near.best);
}

static int wrong_value(const struct conf *c, unsigned index, const char *why,
		       struct vmtap_error *err)
{
	const struct conf_key *key = conf_key_at(c, index);
	const char *value = c->values[index].text;
	char quoted[TEXT_QUOTE_SIZE], takes[sizeof(err->remedy)];
	struct text t = text_init(takes, sizeof(takes));

	if (key->kind == CONF_ENUM)
		suggest_choice(key, value, &t);
	text_add(&t, "%s takes: ", key->name);
	value_kind(key, &t);
	if (key->kind == CONF_SIZE || key->kind == CONF_RATE)
		text_add(&t, ", %lld..%lld", (long long)key->min, (long long)key->max);
	if (key->kind == CONF_MAC)
		text_add(&t, ", as in 52:54:00:12:34:56");
	error_set(err, EINVAL, c->object, CONF_READ, "%s=%s: %s", key->name,
		  text_quote(quoted, value, strlen(value), TEXT_QUOTE_MAX), why);
	error_remedy(err, "%s", takes);
	return -EINVAL;
}

/* Reading -------------------------------------------------------------------- */

/* The text of a key that could name the port; NULL when it cannot. */
static const char *name_of(const struct conf *c, const char *key)
{
	int index = conf_find(c, key);
	char why[128];
	struct text t = text_init(why, sizeof(why));
	struct conf_value copy;

	if (index < 0 || conf_key_at(c, (unsigned)index)->kind != CONF_STRING)
		return NULL;
	copy = c->values[index];
	if (!copy.text || value_read(conf_key_at(c, (unsigned)index), &copy, &t))
		return NULL;
	return *copy.text ? copy.text : NULL;
}

static void name_object(struct conf *c)
{
	static const char *const keys[] = { "id", "ifname", "path" };
	const char *name = NULL;
	char *to = c->object;
	size_t len = strlen(c->schema->type);

	text_clip(to, sizeof(c->object), c->schema->type);
	for (unsigned i = 0; i < 3 && !name; i++)
		name = name_of(c, keys[i]);
	if (!name || len + sizeof(" x") > sizeof(c->object))
		return;
	to[len] = ' ';
	text_clip(to + len + 1, sizeof(c->object) - len - 1, name);
}

static int check_clean(const struct conf *c, const char *name, const char *text,
		       struct vmtap_error *err)
{
	size_t len = strlen(text), good = text_clean_len(text, len);
	const unsigned char *bad = (const unsigned char *)text + good;
	bool control = *bad < 0x80 || (*bad == 0xc2 && bad[1] >= 0x80 && bad[1] < 0xa0);
	char quoted[TEXT_QUOTE_SIZE];

	if (good == len)
		return 0;
	error_set(err, EINVAL, c->object, CONF_READ, "%s=%s: byte %zu %s", name,
		  text_quote(quoted, text, len, TEXT_QUOTE_MAX), good + 1,
		  control ? "is a control character" : "is not UTF-8");
	error_remedy(err, "values are UTF-8 text without control characters");
	return -EINVAL;
}

int conf_put(struct conf *c, const char *name, const char *text, struct vmtap_error *err)
{
	int index = conf_find(c, name);
	int r;

	if (index < 0)
		return conf_unknown(c, name, strlen(name), err);
	name = conf_key_at(c, (unsigned)index)->name;
	if (c->values[index].text)
		return conf_repeated(c, name, err);
	r = check_clean(c, name, text, err);
	if (r)
		return r;
	c->values[index].text = strdup(text);
	if (!c->values[index].text)
		return error_errno(err, ENOMEM, c->object, CONF_READ);
	name_object(c);
	return 0;
}

static int read_values(struct conf *c, struct vmtap_error *err)
{
	for (unsigned i = 0; i < conf_value_cnt(c); i++) {
		char why[sizeof(err->reason) - TEXT_QUOTE_SIZE];
		struct text t = text_init(why, sizeof(why));
		int r;

		if (!c->values[i].text)
			continue;
		r = value_read(conf_key_at(c, i), &c->values[i], &t);
		if (r == -EINVAL)
			return wrong_value(c, i, why, err);
		if (r)
			return error_errno(err, -r, c->object, CONF_READ);
	}
	return 0;
}

static int check_required(const struct conf *c, struct vmtap_error *err)
{
	char missing[sizeof(err->reason) - 32], remedy[sizeof(err->remedy) - 32];
	struct text names = text_init(missing, sizeof(missing));
	struct text adds = text_init(remedy, sizeof(remedy));

	for (unsigned i = 0; i < c->key_cnt; i++) {
		const struct conf_key *key = conf_key_at(c, i);

		if (!(key->flags & CONF_REQUIRED) || c->values[i].text)
			continue;
		text_item(&names, key->name);
		text_add(&adds, "%s%s= (", adds.len ? ", " : "", key->name);
		value_kind(key, &adds);
		text_add(&adds, ")");
	}
	if (!names.len)
		return 0;
	error_set(err, EINVAL, c->object, CONF_READ, "it needs %s", missing);
	error_remedy(err, "add %s", remedy);
	return -EINVAL;
}

/* JSON may have white space in front. */
static bool is_json(const char *spec)
{
	return spec[strspn(spec, " \t\r\n")] == '{';
}

/* The length of @spec; -EINVAL when there is nothing that could be parsed. */
static ssize_t check_spec(const char *spec, struct vmtap_error *err)
{
	size_t len = strnlen(spec, CONF_SPEC_MAX + 1);

	if (len > CONF_SPEC_MAX)
		return error_set(err, EINVAL, UNPARSED, CONF_READ,
				 "the description is longer than %u bytes", CONF_SPEC_MAX);
	if (len && *spec != ',')
		return (ssize_t)len;
	error_set(err, EINVAL, UNPARSED, CONF_READ, "the description %s",
		  len ? "starts with a comma" : "is empty");
	error_remedy(err, "write TYPE,KEY=VALUE,... as in tap,ifname=vm0");
	return -EINVAL;
}

/* Types are few and plain; whoever looks one up may print it. */
static int check_type(const char *type, size_t size, struct vmtap_error *err)
{
	size_t len = strlen(type);
	size_t good = strspn(type, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				   "0123456789-_");
	char quoted[TEXT_QUOTE_SIZE];

	if (len && good == len && len < size)
		return 0;
	error_set(err, EINVAL, UNPARSED, CONF_READ, "%s is no type",
		  text_quote(quoted, type, len, TEXT_QUOTE_MAX));
	error_remedy(err, "a type is a short word, as in tap,ifname=vm0");
	return -EINVAL;
}

int conf_type(const char *spec, char *type, size_t size, struct vmtap_error *err)
{
	ssize_t len = check_spec(spec, err);
	char *found = NULL;
	int r;

	if (len < 0)
		return (int)len;
	r = is_json(spec) ? json_spec_type(spec, (size_t)len, &found, err)
			  : string_spec_type(spec, (size_t)len, &found, err);
	if (r)
		return r;
	r = check_type(found, size, err);
	if (!r)
		strcpy(type, found);
	free(found);
	return r;
}

static int read_spec(struct conf *c, const char *spec, struct vmtap_error *err)
{
	char type[64];
	int r = conf_type(spec, type, sizeof(type), err);

	if (r)
		return r;
	if (strcmp(type, c->schema->type) != 0)
		return error_set(err, EINVAL, UNPARSED, CONF_READ, "its type is %s, not %s", type,
				 c->schema->type);
	r = is_json(spec) ? json_spec_read(c, spec, strlen(spec), err)
			  : string_spec_read(c, spec, strlen(spec), err);
	if (!r)
		r = read_values(c, err);
	return r ? r : check_required(c, err);
}

struct conf *conf_parse(const struct conf_schema *schema, const char *spec, struct vmtap_error *err)
{
	unsigned cnt = check_schema(schema);
	struct conf *c = calloc(1, sizeof(*c) + (cnt + conf_common_cnt) * sizeof(c->values[0]));

	if (!c) {
		error_errno(err, ENOMEM, schema->type, CONF_READ);
		return NULL;
	}
	c->schema = schema;
	c->key_cnt = cnt;
	name_object(c);
	if (read_spec(c, spec, err)) {
		conf_free(c);
		return NULL;
	}
	return c;
}

void conf_free(struct conf *c)
{
	if (!c)
		return;
	for (unsigned i = 0; i < conf_value_cnt(c); i++)
		value_fini(conf_key_at(c, i), &c->values[i]);
	free(c);
}

/* Answers -------------------------------------------------------------------- */

#define KIND(k) (1u << (k))

/* What was said about @key, which the schema has with one of @kinds; NULL: nothing. */
static const struct conf_value *said(const struct conf *c, const char *key, unsigned kinds)
{
	int index = conf_find(c, key);

	assert(index >= 0);
	assert(kinds & KIND(conf_key_at(c, (unsigned)index)->kind));
	return c->values[index].text ? &c->values[index] : NULL;
}

bool conf_has(const struct conf *c, const char *key)
{
	return said(c, key, ~0u) != NULL;
}

const char *conf_str(const struct conf *c, const char *key, const char *def)
{
	const struct conf_value *v = said(c, key,
					  KIND(CONF_STRING) | KIND(CONF_LIST) | KIND(CONF_SET) |
						  KIND(CONF_ENUM) | KIND(CONF_MAC));

	return v ? v->text : def;
}

bool conf_bool(const struct conf *c, const char *key, bool def)
{
	const struct conf_value *v = said(c, key, KIND(CONF_BOOL));

	return v ? v->on : def;
}

int64_t conf_int(const struct conf *c, const char *key, int64_t def)
{
	const struct conf_value *v =
		said(c, key, KIND(CONF_INT) | KIND(CONF_SIZE) | KIND(CONF_RATE));

	return v ? v->num : def;
}

int conf_enum(const struct conf *c, const char *key, int def)
{
	const struct conf_value *v = said(c, key, KIND(CONF_ENUM));

	return v ? v->choice : def;
}

bool conf_mac(const struct conf *c, const char *key, uint8_t mac[6])
{
	const struct conf_value *v = said(c, key, KIND(CONF_MAC));

	if (v)
		memcpy(mac, v->mac, sizeof(v->mac));
	return v != NULL;
}

unsigned conf_list_cnt(const struct conf *c, const char *key)
{
	const struct conf_value *v = said(c, key, KIND(CONF_LIST) | KIND(CONF_SET));

	return v ? v->list.cnt : 0;
}

const char *conf_list_item(const struct conf *c, const char *key, unsigned index)
{
	const struct conf_value *v = said(c, key, KIND(CONF_LIST) | KIND(CONF_SET));

	assert(v && index < v->list.cnt);
	return v->list.items[index];
}

int conf_exclude(const struct conf *c, const char *reason, const char *const *keys,
		 struct vmtap_error *err)
{
	char given[sizeof(err->remedy) - 32];
	struct text t = text_init(given, sizeof(given));

	for (; *keys; keys++) {
		if (conf_has(c, *keys))
			text_item(&t, *keys);
	}
	if (!t.len)
		return 0;
	error_set(err, EINVAL, c->object, CONF_READ, "%s: %s", given, reason);
	error_remedy(err, "leave out %s", given);
	return -EINVAL;
}

const char *conf_object(const struct conf *c)
{
	return c->object;
}
