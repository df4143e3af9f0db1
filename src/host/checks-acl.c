/* SPDX-License-Identifier: MIT */
/* Checks: the access list of the bridge helper. Its reader is the helper's own. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "helper/acl.h"
#include "host/checks.h"

#define NOBODYS_BRIDGE "br0" /* where no bridge is asked for, only the list is read */

/* struct reading - A list read on behalf of the target. */
struct reading {
	const char *list;
	struct acl_request request;
	struct acl_verdict verdict;
	struct vmtap_error err;
	int ret;
};

static void read_list(const struct doctor *d, struct reading *r)
{
	const struct doctor_target *t = d->target;
	bool asks = t->kind == DOCTOR_HELPER;

	memset(r, 0, sizeof(*r));
	r->list = helper_is_qemus(d) ? ACL_LIST_QEMU : acl_default();
	r->request = (struct acl_request) {
		.bridge = d->bridge_name[0] ? d->bridge_name : NOBODYS_BRIDGE,
		.ifname = asks && d->tap_name[0] ? d->tap_name : NULL,
		.mac = asks ? t->mac : NULL,
		.vhost = asks && (t->vhost || t->vhostforce),
	};
	r->ret = acl_read(r->list, 0, &r->request, &r->verdict, &r->err);
	/* QEMU's helper does not mind who can write its list */
	if (r->ret == -EPERM && helper_is_qemus(d))
		r->ret = 0;
}

/* A port by a helper needs it; else it is what ordinary users lack. */
static enum vmtap_severity severity(const struct doctor *d)
{
	if (d->target->kind == DOCTOR_HELPER)
		return VMTAP_FINDING_ERROR;
	return d->admin ? VMTAP_FINDING_NOTE : VMTAP_FINDING_WARNING;
}

/* ------------------------------------------------------------------------ list */

/* The reader names a mistake's place as FILE:LINE. Return: the line, 0: it is no such place. */
static unsigned line_of(const char *object, char *file, size_t size)
{
	const char *colon = strrchr(object, ':');
	char *end;
	unsigned long line = colon ? strtoul(colon + 1, &end, 10) : 0;

	if (!colon || end == colon + 1 || *end || colon - object >= 66)
		return 0;
	snprintf(file, size, "%.*s", (int)(colon - object), object);
	return (unsigned)line;
}

static void say_list_remedy(struct doctor *d, const struct reading *r)
{
	const char *list = shell(d, r->list), *slash = strrchr(r->list, '/');
	int folder = (int)(slash - r->list);
	char file[80];
	unsigned line = line_of(r->err.object, file, sizeof(file));

	if (line)
		remedy(d, "sed -i '%us/^/#/' %s", line, shell(d, file));
	else if (r->ret == -ENOENT)
		remedy(d, "mkdir -p %.*s && echo 'allow %s' >%s", folder, r->list,
		       r->request.bridge, list);
	else if (r->ret == -EACCES)
		remedy(d, "chmod o+rx %.*s && chmod o+r %s", folder, r->list, list);
	else if (r->ret == -EPERM)
		remedy(d, "chown root %s %.*s && chmod go-w %s %.*s", list, folder, r->list, list,
		       folder, r->list);
}

void check_acl_file(struct doctor *d)
{
	struct reading *r = malloc(sizeof(*r));

	if (!r)
		return;
	read_list(d, r);
	about(d, "access list %s", r->list);
	if (r->ret == -ENOENT && !helper_is_qemus(d))
		r->list = ACL_LIST;
	if (r->ret < 0) {
		finding(d, severity(d), "%s%s%s",
			strcmp(r->err.object, r->list) == 0 ? "" : r->err.object,
			strcmp(r->err.object, r->list) == 0 ? "" : ": ", r->err.reason);
		why(d, "the helper then gives nobody a bridge%s",
		    r->ret == -EINVAL ? ", as what the rest of the list means cannot be known"
				      : "");
		say_list_remedy(d, r);
	}
	free(r);
}

/* ------------------------------------------------------------------------ rules */

static void say_denied(struct doctor *d, const struct reading *r, enum acl_right right,
		       const char *what)
{
	const struct acl_line *deny = &r->verdict.deny[right];

	finding(d, severity(d), "%s is denied by %s:%u (\"%s\")", what, deny->file, deny->number,
		deny->text);
	why(d, "a line that denies wins over every line that allows");
	remedy(d, "sed -i '%us/^/#/' %s", deny->number, shell(d, deny->file));
}

static void say_not_allowed(struct doctor *d, const struct reading *r, enum acl_right right,
			    const char *what)
{
	static const char *const words[ACL_RIGHT_CNT] = {
		[ACL_BRIDGE] = "allow",
		[ACL_VHOST] = "allow-vhost",
		[ACL_IFNAME] = "allow-ifname",
		[ACL_MAC] = "allow-mac",
	};
	const char *pattern = right == ACL_IFNAME ? r->request.ifname
			      : right == ACL_MAC  ? r->request.mac
						  : "";
	char line[120];

	snprintf(line, sizeof(line), "%s %s%s%s", words[right], r->request.bridge,
		 pattern[0] ? " " : "", pattern);
	finding(d, severity(d), "no line of %s allows %s", r->list, what);
	if (r->verdict.skipped)
		why(d, "the file that %s:%u includes cannot be opened by you, so it does not count",
		    r->verdict.skipped_at.file, r->verdict.skipped_at.number);
	else
		why(d, "the helper gives nothing that no line allows");
	remedy(d, "printf '\\n%%s\\n' %s >>%s", shell(d, line), shell(d, r->list));
}

void check_acl_rule(struct doctor *d)
{
	static const char *const wishes[ACL_RIGHT_CNT] = {
		[ACL_BRIDGE] = "a TAP on it",
		[ACL_VHOST] = "/dev/vhost-net with a TAP on it",
		[ACL_IFNAME] = "a TAP of that name on it",
		[ACL_MAC] = "a TAP of that address on it",
	};
	struct reading *r;

	if (!d->bridge_name[0])
		return;
	r = malloc(sizeof(*r));
	if (!r)
		return;
	read_list(d, r);
	if (r->ret == 0)
		about(d, "bridge %s", d->bridge_name);
	for (unsigned right = 0; r->ret == 0 && right < ACL_RIGHT_CNT; right++) {
		if (!acl_asks(&r->request, right))
			continue;
		if (r->verdict.deny[right].number)
			say_denied(d, r, right, wishes[right]);
		else if (!r->verdict.allow[right].number)
			say_not_allowed(d, r, right, wishes[right]);
	}
	free(r);
}
