/* SPDX-License-Identifier: MIT */
/*
 * Between the parts of the parser; nobody outside src/conf includes it.
 *
 * Model
 *   A description is read in two passes. First the syntax (syntax.c or json.c) puts each key's
 *   text into its slot with conf_put(). Then conf.c has each text turned into its kind's value by
 *   value_read(). So errors of the second pass can name the port, wherever `id` stood.
 */
#ifndef CONF_PARSE_H
#define CONF_PARSE_H

#include <errno.h>

#include "base/error.h"
#include "conf/conf.h"
#include "conf/text.h"

#define CONF_READ "read its options"

/** Room for any key's name and its NUL; what is longer is no key. */
#define CONF_KEY_SIZE 64

/** struct conf_value - What was said about one key; @text is NULL when nothing was. */
struct conf_value {
	char *text;
	union {
		bool on;
		int64_t num;
		int choice;
		uint8_t mac[6];
		struct {
			char *buf; /* the text again, its ':' replaced by NUL */
			char **items;
			unsigned cnt;
		} list;
	};
};

/** struct conf - A parsed description; one value a key of the schema, in its order, then the common ones. */
struct conf {
	const struct conf_schema *schema;
	unsigned key_cnt; /* of the schema */
	char object[sizeof(((struct vmtap_error *)NULL)->object)];
	struct conf_value values[];
};

/** What all types have; `id` is the first. */
extern const struct conf_key conf_common_keys[];
extern const unsigned conf_common_cnt;

/** conf_key_at() - The key of values[@index]. */
const struct conf_key *conf_key_at(const struct conf *c, unsigned index);

/** conf_value_cnt() - Entries of values[]. */
static inline unsigned conf_value_cnt(const struct conf *c)
{
	return c->key_cnt + conf_common_cnt;
}

/** conf_find() - The index of a key of the schema; -1: it has no such key. */
int conf_find(const struct conf *c, const char *name);

/** conf_put() - Note @text for key @name. Refuses unknown and repeated keys and unclean text.
 *  @name is unchecked. Return: 0 or -errno and @err. */
int conf_put(struct conf *c, const char *name, const char *text, struct vmtap_error *err);

/* What can be said of a name, by both syntaxes; each returns -EINVAL. */
int conf_unknown(const struct conf *c, const char *name, size_t len, struct vmtap_error *err);
int conf_repeated(const struct conf *c, const char *name, struct vmtap_error *err);

/* The two syntaxes ----------------------------------------------------------- */

/** string_spec_type() - The type that @spec names, unchecked. Return: 0 and @type, owned; -errno. */
int string_spec_type(const char *spec, size_t len, char **type, struct vmtap_error *err);
/** string_spec_read() - conf_put() all keys. Return: 0 or -errno. */
int string_spec_read(struct conf *c, const char *spec, size_t len, struct vmtap_error *err);

int json_spec_type(const char *spec, size_t len, char **type, struct vmtap_error *err);
int json_spec_read(struct conf *c, const char *spec, size_t len, struct vmtap_error *err);

/* Values --------------------------------------------------------------------- */

/** value_read() - Turn v->text into the value of @key.
 *  @why: on failure, the reason, as in "'x' follows the number".
 *  Return: 0; -EINVAL and @why; -ENOMEM. */
int value_read(const struct conf_key *key, struct conf_value *v, struct text *why);
void value_fini(const struct conf_key *key, struct conf_value *v);

/** value_kind() - The kind in words: "integer 1..256". */
void value_kind(const struct conf_key *key, struct text *t);

/** value_choice() - The next choice of a CONF_ENUM. @at starts at 0.
 *  Return: its start and @len; NULL beyond the last. */
const char *value_choice(const struct conf_key *key, size_t *at, size_t *len);

#endif
