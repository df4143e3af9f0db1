/* SPDX-License-Identifier: MIT */
/*
 * The access list: what a caller may ask for. vmtap-bridge.conf(5) is its manual.
 *
 * Model: the list is walked once with a request in hand. For each right the
 * first line that allows it and the first that denies it are kept, wherever
 * they stand; any deny wins over every allow, and what no line allows is refused.
 *
 * Ownership: files are opened with the rights that the process has then, which
 * must be the caller's by that time. An included file that he may not open is
 * skipped, so that a file's permissions say for whom it counts.
 *
 * What may be wrong: anything in a list makes the whole of it count for
 * nothing, as what was meant by the rest cannot be known.
 */
#ifndef HELPER_ACL_H
#define HELPER_ACL_H

#include <stdbool.h>
#include <sys/types.h>

#include "vmtap/vmtap.h"

#define ACL_LIST "/etc/vmtap/bridge.conf"
#define ACL_LIST_QEMU "/etc/qemu/bridge.conf" /* where the first does not exist */

#define ACL_DEPTH_MAX 16
#define ACL_FILES_MAX 64
#define ACL_LINE_MAX 4096

/** enum acl_right - What is asked for: a TAP on the bridge, and what goes beyond that. */
enum acl_right {
	ACL_BRIDGE,
	ACL_VHOST,
	ACL_IFNAME,
	ACL_MAC,
	ACL_RIGHT_CNT
};

/** struct acl_request - @ifname, @mac: NULL when not asked for; @mac: "xx:xx:xx:xx:xx:xx" */
struct acl_request {
	const char *bridge;
	bool vhost;
	const char *ifname;
	const char *mac;
};

/** struct acl_line - A line of a list; @number 0: none */
struct acl_line {
	char file[128];
	unsigned number;
	char text[160];
};

/** struct acl_verdict - What the list says; @skipped: included files that could not be opened,
 *  @skipped_at: the line that includes the first of them */
struct acl_verdict {
	const char *list;
	struct acl_line allow[ACL_RIGHT_CNT], deny[ACL_RIGHT_CNT];
	unsigned skipped;
	struct acl_line skipped_at;
};

/** acl_default() - The list that counts on this host: ACL_LIST, or else ACL_LIST_QEMU. */
const char *acl_default(void);

/**
 * acl_read() - Look a request up in a list
 * @list:  absolute path; kept in @v
 * @owner: who may own the files besides root
 *
 * Return: 0 and @v; or -errno and @err: the list cannot be read or has a mistake.
 */
int acl_read(const char *list, uid_t owner, const struct acl_request *req, struct acl_verdict *v,
	     struct vmtap_error *err);

/** acl_asks() - Is @right part of the request? */
bool acl_asks(const struct acl_request *req, enum acl_right right);

/** acl_allows() - May @right, which @req asks for, be given? Return: 0; or -EACCES and @err, which
 *  names the line that denies it or the one that would allow it. @who: as in "user alice". */
int acl_allows(const struct acl_verdict *v, const struct acl_request *req, enum acl_right right,
	       const char *who, struct vmtap_error *err);

#endif
