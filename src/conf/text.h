/* SPDX-License-Identifier: MIT */
/*
 * Text from outside: is it clean, and how a message quotes it.
 *
 * Clean text is valid UTF-8 without control characters (U+0000..1F, U+7F..9F). Whatever is clean
 * can stand in a log line, on a terminal and in JSON.
 */
#ifndef CONF_TEXT_H
#define CONF_TEXT_H

#include <stdbool.h>
#include <stddef.h>

/** Bytes of a hostile value that a message shows, and the room that the quoted form needs. */
#define TEXT_QUOTE_MAX 60
#define TEXT_QUOTE_SIZE (4 * TEXT_QUOTE_MAX + sizeof("''..."))

/** text_clean_len() - Bytes at the start of @s, of its @len, that are clean; @len when all are. */
size_t text_clean_len(const char *s, size_t len);

/** text_clip() - Cut @s, which is clean, to fit @size bytes with its NUL; never within a character. */
void text_clip(char *out, size_t size, const char *s);

/**
 * text_quote() - 'like this', with \xNN for what is not clean
 * @out: TEXT_QUOTE_SIZE bytes
 * @max: show at most so many bytes of @s, up to TEXT_QUOTE_MAX; "..." stands for the rest
 * Return: @out.
 */
const char *text_quote(char *out, const char *s, size_t len, size_t max);

/** text_show() - The same without quotes around it. */
const char *text_show(char *out, const char *s, size_t len, size_t max);

/** struct text - A message that grows in a fixed buffer */
struct text {
	char *buf;
	size_t size, len;
	bool cut; /* something did not fit */
};

/** text_init() - Start an empty text in @buf of at least 4 bytes. */
struct text text_init(char *buf, size_t size);

/** text_add() - Append, whole or not at all: in place of the first that does not fit comes "...",
 *  and then nothing more. */
void text_add(struct text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/** text_item() - Append an item of a list, with ", " in front unless it is the first. */
void text_item(struct text *t, const char *item);

#endif
