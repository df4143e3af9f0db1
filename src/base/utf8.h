/* SPDX-License-Identifier: MIT */
/* Texts that were cut to fit a buffer. */
#ifndef BASE_UTF8_H
#define BASE_UTF8_H

#include <string.h>

/** utf8_trim() - The end of @text may be a cut that fell into a character: take its rest away. */
static inline void utf8_trim(char *text)
{
	size_t len = strlen(text), tail = 0;
	unsigned char first;
	size_t need;

	while (tail < 3 && tail < len && ((unsigned char)text[len - 1 - tail] & 0xc0) == 0x80)
		tail++;
	if (tail == len)
		return;
	first = (unsigned char)text[len - 1 - tail];
	need = first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : first >= 0xc0 ? 1 : 0;
	if (tail < need)
		text[len - 1 - tail] = '\0';
}

#endif
