/* SPDX-License-Identifier: MIT */
/* "Did you mean …?": the known word that a mistyped one most resembles. */
#include "conf/nearest.h"

#include <ctype.h>
#include <limits.h>

#define WORD_MAX 40 /* nobody mistypes longer words by a letter or two */

static int fold(char c)
{
	return c == '_' ? '-' : tolower((unsigned char)c);
}

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
	unsigned ab = a < b ? a : b;

	return ab < c ? ab : c;
}

/*
 * Letters to insert, delete, change, or swap with their neighbour to turn @a into @b (optimal
 * string alignment). Three rows of the table are enough: this one and the two before it.
 */
static unsigned distance(const char *a, size_t a_len, const char *b, size_t b_len)
{
	unsigned row[3][WORD_MAX + 1];

	for (unsigned j = 0; j <= b_len; j++)
		row[0][j] = j;
	for (unsigned i = 1; i <= a_len; i++) {
		unsigned *cur = row[i % 3], *prev = row[(i + 2) % 3], *prev2 = row[(i + 1) % 3];

		cur[0] = i;
		for (unsigned j = 1; j <= b_len; j++) {
			int ca = fold(a[i - 1]), cb = fold(b[j - 1]);

			cur[j] = min3(prev[j] + 1, cur[j - 1] + 1, prev[j - 1] + (ca != cb));
			if (i > 1 && j > 1 && ca == fold(b[j - 2]) && fold(a[i - 2]) == cb)
				cur[j] = min3(cur[j], prev2[j - 2] + 1, UINT_MAX);
		}
	}
	return row[a_len % 3][b_len];
}

struct nearest nearest_init(const char *word, size_t len)
{
	return (struct nearest) { .word = word, .len = len, .distance = UINT_MAX };
}

void nearest_try(struct nearest *n, const char *known, size_t len)
{
	unsigned d, limit = 1 + (unsigned)(n->len < len ? n->len : len) / 4;

	if (!n->len || n->len > WORD_MAX || len > WORD_MAX)
		return;
	d = distance(n->word, n->len, known, len);
	if (d > limit || d >= len || d >= n->distance)
		return;
	n->best = known;
	n->best_len = len;
	n->distance = d;
}
