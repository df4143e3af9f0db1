/* SPDX-License-Identifier: MIT */
/*
 * Fuzzes the parser of owner tags, which anybody who may set an alias can write.
 *
 * Input: an alias. Besides not crashing, it must hold that what was accepted
 *   - names a process, and times that are no less than 0;
 *   - has a text that can be shown, and that ends;
 *   - written out again, means the same.
 */
#include <assert.h>
#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tapdev/owner.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_text(const struct owner *owner)
{
	assert(memchr(owner->who, 0, sizeof(owner->who)));
	assert(strstr(owner->who, ", "));
	for (const char *c = owner->who; *c; c++)
		assert(isgraph((unsigned char)*c) || *c == ' ');
}

static void check_again(const struct owner *owner)
{
	struct owner again;
	char tag[OWNER_TAG_MAX];

	snprintf(tag, sizeof(tag),
		 "vmtap: user=x program=y pid=%d start=%" PRIu64 " ns=%" PRIu64 " since=%" PRId64,
		 owner->pid, owner->start, owner->ns, owner->since);
	assert(owner_parse(tag, &again));
	assert(again.pid == owner->pid && again.start == owner->start && again.ns == owner->ns &&
	       again.since == owner->since);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *alias = malloc(size + 1); /* as long as it is, so that reading beyond shows */
	struct owner owner;

	assert(alias);
	memcpy(alias, data, size);
	alias[size] = '\0';
	if (owner_parse(alias, &owner)) {
		assert(owner.pid > 0 && owner.since >= 0);
		check_text(&owner);
		check_again(&owner);
	}
	free(alias);
	return 0;
}
