/* SPDX-License-Identifier: MIT */
/*
 * Fuzzes the parser of the helper's access list.
 *
 * Input: a list. It may include itself, which is /proc/self/fd/100. Besides not crashing, it must
 * hold that
 *   - an error has a code, an object, an action and a reason;
 *   - what is allowed has a line that allows it and none that denies it;
 *   - the same list gives the same answer twice, and whatever it allows, it allows it no longer
 *     with "deny all" in front;
 *   - a list without the word "allow" allows nothing.
 */
#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "helper/acl.h"

#define LIST_FD 100
#define LIST_PATH "/proc/self/fd/100"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct acl_request requests[] = {
	{ .bridge = "br0" },
	{ .bridge = "all" },
	{ .bridge = "br0", .vhost = true, .ifname = "vm0", .mac = "fe:54:00:12:34:56" },
};

static void open_list(void)
{
	int fd;

	if (fcntl(LIST_FD, F_GETFD) >= 0)
		return;
	fd = memfd_create("list", MFD_CLOEXEC);
	assert(fd >= 0 && fchmod(fd, 0600) == 0);
	assert(dup2(fd, LIST_FD) == LIST_FD);
	close(fd);
}

static void write_list(const char *before, const uint8_t *data, size_t size)
{
	size_t len = strlen(before);

	open_list();
	assert(ftruncate(LIST_FD, 0) == 0);
	assert(pwrite(LIST_FD, before, len, 0) == (ssize_t)len);
	assert(pwrite(LIST_FD, data, size, (off_t)len) == (ssize_t)size);
}

/* Return: rights that are given, a bit each; -1: the list is refused. */
static int ask(const struct acl_request *req)
{
	struct acl_verdict verdict;
	struct vmtap_error err = { 0 };
	int rights = 0;

	if (acl_read(LIST_PATH, geteuid(), req, &verdict, &err) < 0) {
		assert(err.code && *err.object && *err.action && *err.reason);
		return -1;
	}
	for (unsigned r = 0; r < ACL_RIGHT_CNT; r++) {
		if (!acl_asks(req, r))
			continue;
		if (acl_allows(&verdict, req, r, "user x", &err) == 0) {
			assert(verdict.allow[r].number && !verdict.deny[r].number);
			rights |= 1 << r;
		} else {
			assert(err.code && *err.object && *err.reason && *err.remedy);
		}
	}
	return rights;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
		int rights, denied;

		write_list("", data, size);
		rights = ask(&requests[i]);
		assert(rights == ask(&requests[i]));
		if (rights > 0)
			assert(memmem(data, size, "allow", 5));
		write_list("deny all\n", data, size);
		denied = ask(&requests[i]);
		/* the numbers of lines differ, so that an error can differ, but not that there is one */
		assert((rights < 0) == (denied < 0));
		assert(denied < 0 || !(denied & 1 << ACL_BRIDGE));
	}
	return 0;
}
