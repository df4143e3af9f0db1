/* SPDX-License-Identifier: MIT */
/* One key's text becomes its value, or a reason why it cannot. */
#include "conf/parse.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define BIT_GROUP 0x01u /* of a MAC address's first byte */
#define PIECE_MAX 12	/* bytes of a wrong part that the reason shows */

static int not_whole(const char *rest, struct text *why)
{
	char quoted[TEXT_QUOTE_SIZE];

	text_add(why, "%s follows the number", text_quote(quoted, rest, strlen(rest), PIECE_MAX));
	return -EINVAL;
}

static int out_of_range(const struct conf_key *key, bool below, struct text *why)
{
	if (below)
		text_add(why, "it is below %" PRId64, key->min);
	else
		text_add(why, "it is above %" PRId64, key->max);
	return -EINVAL;
}

static int check_range(const struct conf_key *key, int64_t num, struct text *why)
{
	if (num >= key->min && num <= key->max)
		return 0;
	return out_of_range(key, num < key->min, why);
}

static int read_bool(const char *text, bool *on, struct text *why)
{
	static const char *const words[][2] = {
		{ "off", "on" },
		{ "no", "yes" },
		{ "false", "true" },
		{ "n", "y" },
	};

	for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		for (unsigned j = 0; j < 2; j++) {
			if (strcmp(text, words[i][j]) == 0) {
				*on = j;
				return 0;
			}
		}
	}
	text_add(why, "it is neither on nor off");
	return -EINVAL;
}

static bool is_hex(const char *digits)
{
	return digits[0] == '0' && (digits[1] == 'x' || digits[1] == 'X') &&
	       isxdigit((unsigned char)digits[2]);
}

/* Any base, as QEMU: 10, 0xa, 012. */
static int read_int(const struct conf_key *key, const char *text, int64_t *num, struct text *why)
{
	const char *digits = text + strspn(text, " ");
	char *end;

	digits += *digits == '-' || *digits == '+';
	if (!isdigit((unsigned char)*digits)) {
		text_add(why, "it is not a number");
		return -EINVAL;
	}
	errno = 0;
	*num = strtoll(text, &end, 0);
	if (isdigit((unsigned char)*end)) {
		text_add(why, "a number that starts with 0 is octal");
		return -EINVAL;
	}
	if (*end)
		return not_whole(end, why);
	if (errno == ERANGE)
		return out_of_range(key, *num < 0, why);
	return check_range(key, *num, why);
}

/* The factor of a size's suffix; *@rest moves behind it. */
static int64_t read_suffix(const struct conf_key *key, const char **rest)
{
	static const char suffixes[] = "bkmgtpe";
	const char *found;
	int64_t factor = 1;

	if (!**rest)
		return 1;
	found = strchr(suffixes, tolower((unsigned char)**rest));
	if (!found)
		return 1;
	(*rest)++;
	for (; found > suffixes; found--)
		factor *= key->kind == CONF_RATE ? 1000 : 1024;
	return factor;
}

/*
 * 0.DIGITS of @factor, rounded to the nearest. From the last digit to the first, so that each
 * division by ten drops only what is below one; half a unit is added at the first.
 */
static uint64_t scale_fraction(const char *digits, size_t len, uint64_t factor)
{
	uint64_t sum = 0;

	while (len--)
		sum = ((uint64_t)(digits[len] - '0') * factor + sum + (len ? 0 : 5)) / 10;
	return sum;
}

/* The decimal form, at its first digit. */
static int read_decimal_size(const struct conf_key *key, const char *digits, int64_t *num,
			     struct text *why)
{
	const char *fraction = "", *rest;
	size_t fraction_len = 0;
	int64_t whole, factor;
	char *end;
	bool huge;

	errno = 0;
	whole = strtoll(digits, &end, 10);
	huge = errno == ERANGE;
	rest = end;
	if (rest[0] == '.' && isdigit((unsigned char)rest[1])) {
		fraction = rest + 1;
		fraction_len = strspn(fraction, "0123456789");
		rest = fraction + fraction_len;
	}
	factor = read_suffix(key, &rest);
	if (*rest)
		return not_whole(rest, why);
	if (factor == 1 && strspn(fraction, "0") != fraction_len) {
		text_add(why, "it is a fraction of a %s", key->kind == CONF_RATE ? "bit" : "byte");
		return -EINVAL;
	}
	if (huge || __builtin_mul_overflow(whole, factor, num) ||
	    __builtin_add_overflow(*num, scale_fraction(fraction, fraction_len, (uint64_t)factor),
				   num))
		return out_of_range(key, false, why);
	return 0;
}

static int read_size(const struct conf_key *key, const char *text, int64_t *num, struct text *why)
{
	const char *digits = text + strspn(text, " ");
	int r;

	if (*digits == '-' && isdigit((unsigned char)digits[1])) {
		text_add(why, "it is negative");
		return -EINVAL;
	}
	digits += *digits == '+';
	if (is_hex(digits))
		return read_int(key, digits, num, why);
	if (!isdigit((unsigned char)*digits)) {
		text_add(why, "it is not a number");
		return -EINVAL;
	}
	r = read_decimal_size(key, digits, num, why);
	return r ? r : check_range(key, *num, why);
}

/* 100M, 2.5Gbit; a size without hexadecimal. */
static int read_rate(const struct conf_key *key, const char *text, int64_t *num, struct text *why)
{
	const size_t len = strlen(text);
	char copy[32];

	if (!isdigit((unsigned char)*text)) {
		text_add(why, *text == '-' ? "it is negative" : "it is not a number");
		return -EINVAL;
	}
	if (len >= sizeof(copy)) {
		text_add(why, "it is longer than %zu characters", sizeof(copy) - 1);
		return -EINVAL;
	}
	memcpy(copy, text, len + 1);
	if (len > 3 && strcmp(copy + len - 3, "bit") == 0)
		copy[len - 3] = '\0';
	if (read_decimal_size(key, copy, num, why) < 0)
		return -EINVAL;
	return check_range(key, *num, why);
}

static unsigned hex_value(char c)
{
	return isdigit((unsigned char)c) ? (unsigned)(c - '0')
					 : (unsigned)(tolower((unsigned char)c) - 'a' + 10);
}

/* Six pairs of hex digits, all joined by ':' or all by '-'. */
static int read_mac_parts(const char *text, uint8_t mac[6], struct text *why)
{
	char sep[] = { strchr(text, ':') ? ':' : '-', '\0' };
	char quoted[TEXT_QUOTE_SIZE];

	for (unsigned i = 0; i < 6; i++) {
		size_t len = strcspn(text, sep);

		if (len != 2 || !isxdigit((unsigned char)text[0]) ||
		    !isxdigit((unsigned char)text[1])) {
			text_add(why, "part %u, %s, is not two hexadecimal digits", i + 1,
				 text_quote(quoted, text, len, PIECE_MAX));
			return -EINVAL;
		}
		mac[i] = (uint8_t)(hex_value(text[0]) << 4 | hex_value(text[1]));
		text += len;
		if (!*text && i < 5) {
			text_add(why, "it has %u part%s of 6", i + 1, i ? "s" : "");
			return -EINVAL;
		}
		if (*text && i == 5) {
			text_add(why, "%s follows the sixth part",
				 text_quote(quoted, text, strlen(text), PIECE_MAX));
			return -EINVAL;
		}
		text += *text != '\0';
	}
	return 0;
}

static int read_mac(const struct conf_key *key, const char *text, uint8_t mac[6], struct text *why)
{
	static const uint8_t zero[6];
	int r = read_mac_parts(text, mac, why);

	if (r)
		return r;
	if (memcmp(mac, zero, sizeof(zero)) == 0) {
		text_add(why, "it is all zero");
		return -EINVAL;
	}
	if (mac[0] & BIT_GROUP && !(key->flags & CONF_ANY_MAC)) {
		text_add(why, "it is a multicast address (part 1, %.2s, is odd)", text);
		return -EINVAL;
	}
	return 0;
}

const char *value_choice(const struct conf_key *key, size_t *at, size_t *len)
{
	const char *choice = key->choices + *at;

	if (*at && !choice[-1])
		return NULL;
	*len = strcspn(choice, "|");
	*at += *len + 1;
	return choice;
}

static int read_enum(const struct conf_key *key, const char *text, int *choice, struct text *why)
{
	size_t at = 0, len;
	const char *name;

	*choice = 0;
	while ((name = value_choice(key, &at, &len)) != NULL) {
		if (len == strlen(text) && memcmp(name, text, len) == 0)
			return 0;
		(*choice)++;
	}
	text_add(why, "there is no such choice");
	return -EINVAL;
}

/* A separator at the very end is let pass, as QEMU does: lists are often made by a loop. */
static int read_list(struct conf_value *v, char sep, struct text *why)
{
	unsigned cnt = 1;
	char *buf, *end;

	for (const char *s = v->text; *s; s++)
		cnt += s[0] == sep && s[1];
	v->list.buf = buf = strdup(v->text);
	v->list.items = calloc(cnt, sizeof(*v->list.items));
	if (!v->list.buf || !v->list.items)
		return -ENOMEM;
	for (v->list.cnt = 0; v->list.cnt < cnt; v->list.cnt++) {
		end = strchr(buf, sep);
		if (end)
			*end = '\0';
		if (!*buf) {
			text_add(why, "item %u is empty", v->list.cnt + 1);
			return -EINVAL;
		}
		v->list.items[v->list.cnt] = buf;
		buf += strlen(buf) + 1;
	}
	return 0;
}

/* As QEMU's ids, so that one name serves on both sides. */
static int check_id(const char *id, struct text *why)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
	size_t len = strlen(id), good;

	if (len > CONF_ID_MAX) {
		text_add(why, "it is longer than %u characters", CONF_ID_MAX);
		return -EINVAL;
	}
	if (!strchr(letters, id[0])) {
		text_add(why, "it does not start with a letter");
		return -EINVAL;
	}
	for (good = 1; good < len; good++) {
		if (!strchr(letters, id[good]) && !strchr("0123456789-._", id[good])) {
			text_add(why, "byte %zu is neither letter, digit, '-', '.' nor '_'",
				 good + 1);
			return -EINVAL;
		}
	}
	return 0;
}

int value_read(const struct conf_key *key, struct conf_value *v, struct text *why)
{
	if (!*v->text && !(key->kind == CONF_STRING && key->flags & CONF_EMPTY_OK)) {
		text_add(why, "it is empty");
		return -EINVAL;
	}
	switch (key->kind) {
	case CONF_STRING:
		return key == &conf_common_keys[0] ? check_id(v->text, why) : 0;
	case CONF_BOOL:
		return read_bool(v->text, &v->on, why);
	case CONF_INT:
		return read_int(key, v->text, &v->num, why);
	case CONF_SIZE:
		return read_size(key, v->text, &v->num, why);
	case CONF_MAC:
		return read_mac(key, v->text, v->mac, why);
	case CONF_ENUM:
		return read_enum(key, v->text, &v->choice, why);
	case CONF_LIST:
		return read_list(v, ':', why);
	case CONF_SET:
		return read_list(v, '+', why);
	case CONF_RATE:
		return read_rate(key, v->text, &v->num, why);
	}
	return -EINVAL;
}

void value_fini(const struct conf_key *key, struct conf_value *v)
{
	if (key->kind == CONF_LIST || key->kind == CONF_SET) {
		free(v->list.buf);
		free(v->list.items);
	}
	free(v->text);
}

static void int_kind(const struct conf_key *key, struct text *t)
{
	text_add(t, "integer");
	if (key->max != INT64_MAX)
		text_add(t, " %" PRId64 "..%" PRId64, key->min, key->max);
	else if (key->min != INT64_MIN)
		text_add(t, " from %" PRId64, key->min);
}

void value_kind(const struct conf_key *key, struct text *t)
{
	switch (key->kind) {
	case CONF_STRING:
		text_add(t, "string");
		break;
	case CONF_BOOL:
		text_add(t, "on/off");
		break;
	case CONF_INT:
		int_kind(key, t);
		break;
	case CONF_SIZE:
		text_add(t, "bytes (k, M, G)");
		break;
	case CONF_MAC:
		text_add(t, "MAC address");
		break;
	case CONF_ENUM:
		text_add(t, "one of %s", key->choices);
		break;
	case CONF_LIST:
		text_add(t, "list joined by ':'");
		break;
	case CONF_SET:
		text_add(t, "list joined by '+'");
		break;
	case CONF_RATE:
		text_add(t, "number (k, M, G)");
		break;
	}
}
