/* SPDX-License-Identifier: MIT */
/*
 * Option syntax and schema.
 *
 * Model
 *   A schema is a static table of keys: name, kind, unit, default, help. A
 *   description ("TYPE,KEY=VALUE,…" or a JSON object) is parsed against it
 *   into a struct conf, which then answers by key name. Everything that can
 *   be said about a single key (wrong type, unknown, repeated, missing, out
 *   of range) is checked here, and the error names the key and lists the
 *   valid ones. Help, completion and manual pages come from the same table.
 *
 * Syntax (as QEMU's -netdev)
 *   TYPE[,KEY=VALUE]…; ",," is a literal comma in a value; KEY alone means KEY=on for an on/off
 *   key; a comma at the very end is ignored; type=TYPE may stand anywhere instead of TYPE in front.
 *   On/off: on, yes, true, y; off, no, false, n. Integers: decimal, 0x hexadecimal, and octal
 *   when they start with 0. Sizes: bytes, decimal (1.5M) with an optional suffix B, k, M, G, T, P, E
 *   (powers of 1024, either case), or 0x hexadecimal. Lists: "A:B:C".
 *
 *   A JSON object has the same keys. Its values are true and false for on/off keys, integers for
 *   integers, integers or strings ("64k") for sizes, arrays of strings and integers (or the
 *   joined string) for lists and sets, strings for the rest. Dotted keys ("addr.type") may be nested
 *   objects.
 *
 *   Sets are "A+B+C": their items have colons. Rates are a decimal number with an optional suffix k,
 *   M, G or T (powers of 1000), and, if one likes, "bit" behind it.
 *
 *   Every value is UTF-8 without control characters, so that it can stand in any message. Every
 *   schema has the keys of common.c, among them `id`, the port's name, without listing them.
 *
 * What the author of a description may do wrong
 *   Anything. Errors quote at most 60 bytes of a value and no control character.
 */
#ifndef CONF_CONF_H
#define CONF_CONF_H

#include "vmtap/vmtap.h"

enum conf_kind {
	CONF_STRING,
	CONF_BOOL,
	CONF_INT,  /* @min..@max */
	CONF_SIZE, /* bytes with suffix; @min..@max */
	CONF_MAC,  /* xx:xx:xx:xx:xx:xx, unicast unless CONF_ANY_MAC */
	CONF_ENUM, /* one of @choices */
	CONF_LIST, /* strings joined by ':' */
	CONF_SET,  /* strings joined by '+' */
	CONF_RATE, /* a number with a suffix of powers of 1000; @min..@max */
};

#define CONF_REQUIRED 0x1u
#define CONF_EMPTY_OK 0x2u /* CONF_STRING: may be empty; else empty is an error */
#define CONF_HIDDEN 0x4u   /* not in help: QEMU's spelling of another key */
#define CONF_ANY_MAC 0x8u  /* CONF_MAC: a group address will do */
#define CONF_LIVE 0x10u	   /* may change while the port runs: vmtap_port_change() */

/** Longest description in bytes, and longest `id`. */
#define CONF_SPEC_MAX 65536
#define CONF_ID_MAX 128

/**
 * struct conf_key - One key of a schema
 * @choices: CONF_ENUM: names separated by '|', as in "bridge|private|vepa"
 * @min, @max: CONF_INT, CONF_SIZE, CONF_RATE, inclusive; always set, @min < @max
 * @unit, @def, @help: texts for people; @def says what happens without the key
 */
struct conf_key {
	const char *name;
	enum conf_kind kind;
	unsigned flags;
	const char *choices;
	int64_t min, max;
	const char *unit;
	const char *def;
	const char *help;
};

/** struct conf_schema - The keys of one type; @keys ends with a NULL name.
 *  Neither `type` nor what common.c has. */
struct conf_schema {
	const char *type;
	const struct conf_key *keys;
};

struct conf;

/**
 * conf_type() - The type that a description names, without parsing the rest
 * Return: 0 and @type (NUL-terminated; letters, digits, '-' and '_'); -EINVAL or -ENOMEM, and @err.
 */
int conf_type(const char *spec, char *type, size_t size, struct vmtap_error *err);

/** conf_parse() - Parse @spec against @schema. Return: owned, free with conf_free(); NULL and @err. */
struct conf *conf_parse(const struct conf_schema *schema, const char *spec,
			struct vmtap_error *err);
void conf_free(struct conf *c);

/** conf_has() - Was @key given? Asserts that the schema has it, as all below. */
bool conf_has(const struct conf *c, const char *key);
/** conf_str() - Also for CONF_LIST and CONF_SET (as written), CONF_ENUM and CONF_MAC. @def when not given. Borrowed. */
const char *conf_str(const struct conf *c, const char *key, const char *def);
bool conf_bool(const struct conf *c, const char *key, bool def);
int64_t conf_int(const struct conf *c, const char *key, int64_t def);
/** conf_enum() - The index of the choice; @def when not given. */
int conf_enum(const struct conf *c, const char *key, int def);
/** conf_mac() - Return: false when not given. */
bool conf_mac(const struct conf *c, const char *key, uint8_t mac[6]);
/** conf_list() - Items of a CONF_LIST; 0 when not given. */
unsigned conf_list_cnt(const struct conf *c, const char *key);
const char *conf_list_item(const struct conf *c, const char *key, unsigned index);

/**
 * conf_exclude() - Which of these keys were given although @reason forbids them?
 * @keys: names, ends with NULL
 * Return: 0 when none was; else -EINVAL and an error that names all of them as a list:
 * "ifname, script: not together with fd=".
 */
int conf_exclude(const struct conf *c, const char *reason, const char *const *keys,
		 struct vmtap_error *err);

/** conf_object() - What errors about this description name as their object: its type and its id,
 *  else its ifname, else its path: "tap vm0"; or "tap". Cut to fit vmtap_error's. Borrowed. */
const char *conf_object(const struct conf *c);

/**
 * conf_key_infos() - Describe a schema's keys to users of the library
 * @out: room for @max rows; NULL when @max is 0
 *
 * Leaves CONF_HIDDEN keys out and ends with `id`. The rows' strings live as long as the program.
 * May be called from any thread. Return: rows that the schema has, whatever @max is.
 */
unsigned conf_key_infos(const struct conf_schema *schema, struct vmtap_key_info *out, unsigned max);

/** conf_common_infos() - The same for the keys that all types have, the first of which is `id`. */
unsigned conf_common_infos(struct vmtap_key_info *out, unsigned max);

#endif
