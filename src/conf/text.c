/* SPDX-License-Identifier: MIT */
/* Text from outside: is it clean, and how a message quotes it. */
#include "conf/text.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* The bytes that the first byte of a character announces; 0: none begins so. */
static unsigned sequence_len(unsigned char first)
{
	if (first < 0x80)
		return 1;
	if (first >= 0xc2 && first <= 0xdf)
		return 2;
	if (first >= 0xe0 && first <= 0xef)
		return 3;
	if (first >= 0xf0 && first <= 0xf4)
		return 4;
	return 0;
}

/* The length of the clean character at @s; 0 when what is there is not clean. */
static unsigned char_len(const char *s, size_t len)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	unsigned n = sequence_len((unsigned char)s[0]);
	uint32_t point;

	if (!n || n > len)
		return 0;
	if (n == 1)
		return s[0] >= 0x20 && s[0] != 0x7f;
	point = (unsigned char)s[0] & (0x7fu >> n);
	for (unsigned i = 1; i < n; i++) {
		if (((unsigned char)s[i] & 0xc0) != 0x80)
			return 0;
		point = point << 6 | ((unsigned char)s[i] & 0x3f);
	}
	if (point < least[n] || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff))
		return 0;
	return point < 0xa0 ? 0 : n;
}

size_t text_clean_len(const char *s, size_t len)
{
	size_t at = 0;
	unsigned n;

	while (at < len && (n = char_len(s + at, len - at)) != 0)
		at += n;
	return at;
}

void text_clip(char *out, size_t size, const char *s)
{
	size_t len = strlen(s);

	if (len >= size)
		len = text_clean_len(s, size - 1);
	memcpy(out, s, len);
	out[len] = '\0';
}

/* Write @s with \xNN for what is not clean, and a backslash in front of @escaped. Return: bytes of @s
 * that were shown. */
static size_t show(char *out, const char *s, size_t len, size_t max, const char *escaped)
{
	size_t end = len > max ? max : len;
	size_t at = 0;

	while (at < end) {
		unsigned n = char_len(s + at, len - at);

		if (n > end - at)
			break; /* the limit falls into a character */
		if (!n) {
			out += sprintf(out, "\\x%02x", (unsigned char)s[at++]);
			continue;
		}
		if (strchr(escaped, s[at]))
			*out++ = '\\';
		memcpy(out, s + at, n);
		out += n;
		at += n;
	}
	*out = '\0';
	return at;
}

const char *text_quote(char *out, const char *s, size_t len, size_t max)
{
	bool all;

	out[0] = '\'';
	all = show(out + 1, s, len, max, "\\'") == len;
	strcat(out, all ? "'" : "'...");
	return out;
}

const char *text_show(char *out, const char *s, size_t len, size_t max)
{
	if (show(out, s, len, max, "") < len)
		strcat(out, "...");
	return out;
}

struct text text_init(char *buf, size_t size)
{
	buf[0] = '\0';
	return (struct text) { .buf = buf, .size = size };
}

void text_add(struct text *t, const char *fmt, ...)
{
	size_t room = t->size - t->len - strlen("...");
	va_list ap;
	int len;

	if (t->cut)
		return;
	va_start(ap, fmt);
	len = vsnprintf(t->buf + t->len, room, fmt, ap);
	va_end(ap);
	if (len < 0 || (size_t)len >= room) {
		strcpy(t->buf + t->len, "...");
		t->len += strlen("...");
		t->cut = true;
		return;
	}
	t->len += (size_t)len;
}

void text_item(struct text *t, const char *item)
{
	text_add(t, "%s%s", t->len ? ", " : "", item);
}
