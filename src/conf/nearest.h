/* SPDX-License-Identifier: MIT */
/* "Did you mean …?": the known word that a mistyped one most resembles. */
#ifndef CONF_NEAREST_H
#define CONF_NEAREST_H

#include <stddef.h>

/** struct nearest - A search; offer it every known word, then look at @best */
struct nearest {
	const char *word; /* what was typed; borrowed */
	size_t len;
	const char *best; /* borrowed from the caller; NULL: nothing is near */
	size_t best_len;
	unsigned distance;
};

/** nearest_init() - Look for words near @word. */
struct nearest nearest_init(const char *word, size_t len);

/** nearest_try() - @known is a word that would have been right. */
void nearest_try(struct nearest *n, const char *known, size_t len);

#endif
