/* SPDX-License-Identifier: MIT */
/*
 * Fuzzes the helper's command line.
 *
 * Input: arguments, each with a NUL behind it. Besides not crashing, it must hold that what is
 * accepted is within its bounds, and that an error says something.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "helper/args.h"
#include "helper/name.h"

#define ARGC_MAX 32

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_accepted(const struct args *a)
{
	assert(a->queues >= 1 && a->queues <= ARGS_QUEUES_MAX);
	assert(a->fd >= -1);
	if (a->bridge)
		assert(!name_fault(a->bridge));
	if (a->ifname)
		assert(!name_fault(a->ifname));
	if (!a->help && !a->version)
		assert(a->bridge && (a->fd >= 0 || a->check));
	if (a->mac_text[0])
		assert(strlen(a->mac_text) == 17 && !(a->mac[0] & 1) &&
		       strspn(a->mac_text, "0123456789abcdef:") == 17);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1), *argv[ARGC_MAX + 1];
	struct vmtap_error err = { 0 };
	struct args args;
	int argc = 0;

	assert(text);
	memcpy(text, data, size);
	text[size] = '\0';
	for (size_t at = 0; at <= size && argc < ARGC_MAX; at += strlen(text + at) + 1)
		argv[argc++] = text + at;
	argv[argc] = NULL;
	if (args_parse(argc, argv, &args, &err) == 0)
		check_accepted(&args);
	else
		assert(err.code && *err.action && *err.reason && *err.remedy);
	free(text);
	return 0;
}
