/* SPDX-License-Identifier: MIT */
/*
 * Filter expressions of captures, and frames that they look at: a line with the expression, then the frame.
 *
 * Expressions that could name a host are left out: libpcap would ask the network.
 */
#include <stdlib.h>
#include <string.h>

#include "filter/expr.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Words of libpcap have up to ten letters; names with dots or more are hosts'. */
static bool may_be_host(const char *text)
{
	static const char *const asks[] = { "host", "net", "gateway", ".", "proto", "port" };

	for (size_t i = 0; i < sizeof(asks) / sizeof(asks[0]); i++) {
		const char *at = strstr(text, asks[i]);

		if (at && strpbrk(at + strlen(asks[i]), "ghijklmnopqrstuvwxyzGHIJKLMNOPQRSTUVWXYZ"))
			return true;
	}
	return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const uint8_t *end = memchr(data, '\n', size);
	const size_t len = end ? (size_t)(end - data) : size;
	const size_t rest = end ? size - len - 1 : 0;
	struct vmtap_error err = { 0 };
	char *text = strndup((const char *)data, len);
	uint8_t *frame = malloc(rest + 1); /* of its own: what lies behind is not to be read */
	struct expr *e = NULL;

	if (text && frame && !may_be_host(text))
		e = expr_new(text, "fuzz", &err);
	if (e) {
		if (rest)
			memcpy(frame, end + 1, rest);
		for (size_t have = 0; have <= rest && have < 64; have++) {
			uint8_t *part = malloc(have + 1);

			memcpy(part, frame, have);
			expr_match(e, part, (uint32_t)have, (uint32_t)rest);
			free(part);
		}
	}
	expr_free(e);
	free(frame);
	free(text);
	return 0;
}
