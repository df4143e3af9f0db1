/* SPDX-License-Identifier: MIT */
/*
 * Fuzzes the parser of the variables that tell of passed descriptors.
 *
 * Input: LISTEN_PID, LISTEN_FDS and LISTEN_FDNAMES, ended by NUL each; one that is missing is not set. Besides
 * not crashing, it must hold that
 *   - an error has a code, an object, an action and a reason, and leaves no list; it is the same without a
 *     place for it;
 *   - the descriptors are numbered from 3 on, no more than LISTEN_FDS says, and none for another process;
 *   - the names, put together again, are LISTEN_FDNAMES.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli/inherit.h"

#define PID 42

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_error(const struct inherit *in, int ret, const struct vmtap_error *err)
{
	assert(ret == -EINVAL && err->code == EINVAL);
	assert(*err->object && *err->action && *err->reason);
	assert(!in->fds && !in->cnt);
}

static void check_names(const struct inherit *in, const char *names)
{
	const char *at = names;

	for (unsigned i = 0; i < in->cnt; i++) {
		const size_t len = strlen(in->fds[i].name);

		assert(strncmp(at, in->fds[i].name, len) == 0);
		at += len;
		assert(*at == (i + 1 < in->cnt ? ':' : '\0'));
		at++;
	}
}

static void check(const char *pid, const char *fds, const char *names)
{
	struct vmtap_error err = { 0 };
	struct inherit in, again;
	int ret = inherit_parse(&in, pid, fds, names, PID, &err);

	assert(inherit_parse(&again, pid, fds, names, PID, NULL) == ret);
	assert(again.cnt == in.cnt);
	free(again.fds);
	if (ret < 0) {
		check_error(&in, ret, &err);
		return;
	}
	assert(!in.cnt || (pid && strtol(pid, NULL, 10) == PID));
	assert(!in.cnt || (fds && strtol(fds, NULL, 10) == (long)in.cnt));
	assert(in.cnt <= INHERIT_MAX);
	for (unsigned i = 0; i < in.cnt; i++)
		assert(in.fds[i].fd == INHERIT_FIRST + (int)i);
	if (in.cnt && names)
		check_names(&in, names);
	free(in.fds); /* the descriptors are none of ours */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1), *part[3] = { NULL, NULL, NULL };
	size_t at = 0;

	assert(text);
	if (size)
		memcpy(text, data, size);
	text[size] = '\0';
	for (unsigned i = 0; i < 3 && at < size; i++) {
		part[i] = text + at;
		at += strlen(part[i]) + 1;
	}
	check(part[0], part[1], part[2]);
	free(text);
	return 0;
}
