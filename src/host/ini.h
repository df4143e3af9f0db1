/* SPDX-License-Identifier: MIT */
/* Files of sections and keys, as systemd and NetworkManager have them. */
#ifndef HOST_INI_H
#define HOST_INI_H

#include <stddef.h>

#define INI_SIZE_MAX 65536

/** ini_cb() - A line KEY=VALUE of a section; white space around them is gone. "KEY+=VALUE" has the
 *  key "KEY+". Return: other than 0 ends the reading. */
typedef int ini_cb(void *ctx, const char *section, const char *key, const char *value);

/** ini_parse() - @text is NUL-terminated and is cut up. What is no line of the kind is passed over.
 *  Return: what the last @each returned, 0 when none was called. */
int ini_parse(char *text, ini_cb *each, void *ctx);

/** ini_read() - The same for a file. Return: 0 or what @each returned, or -errno. */
int ini_read(const char *path, ini_cb *each, void *ctx);

/** word_next() - The next word of *@list, of those that are separated by @separators.
 *  Return: the word, NUL-terminated in @buf (cut to @size); NULL: there is none. */
const char *word_next(const char **list, const char *separators, char *buf, size_t size);

#endif
