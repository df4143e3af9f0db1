/* SPDX-License-Identifier: MIT */
/*
 * vmtap-bridge-helper: a TAP on a bridge for a caller without the privilege to make one.
 *
 * Theory of operation, in the order of main():
 *
 *   give_back()  Before anything is read that the caller wrote: descriptors 0 to 2 are open, all
 *                privileges but CAP_NET_ADMIN are gone, the environment is empty. The process has
 *                the caller's user and groups from here on, so that it opens no file for him that
 *                he could not open himself.
 *   accept()     The command line is understood, the socket looked at, other descriptors closed.
 *   may()        The access list is asked.
 *   make()       The TAP is made, put on the bridge and sent. It lives as long as somebody holds
 *                a descriptor of it, so that whatever ends this process early (an error, a signal,
 *                a resource limit) leaves nothing behind.
 *
 * What the caller may do wrong: everything. He chooses arguments, descriptors, limits, signals and
 * the moment of our death; docs/security.md says what he cannot reach by that, and its tests.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fdpass.h"
#include "helper/acl.h"
#include "helper/args.h"
#include "helper/descriptors.h"
#include "helper/report.h"
#include "helper/tap.h"
#include "helper/vhost.h"

_Static_assert(2 * ARGS_QUEUES_MAX <= FDPASS_MAX, "all descriptors go in one message");

#ifdef __SANITIZE_ADDRESS__
/* The end of the process frees what it has, and a process that is not dumpable cannot be searched. */
int __lsan_is_turned_off(void);

__attribute__((visibility("default"))) int __lsan_is_turned_off(void)
{
	return 1;
}
#endif

struct helper {
	struct privilege privilege;
	struct vhost_keeper keeper;
	struct args args;
	struct bridge bridge;
	struct acl_request request;
	struct acl_verdict verdict;
	struct vmtap_error err;
};

static int give_back(struct helper *h)
{
	int ret = descriptors_open_stdio();

	if (ret < 0)
		return ret; /* there is nowhere to say it */
	h->privilege = privilege_look();
	/* without it, --vhost says so when it is asked for */
	vhost_keeper_start(&h->keeper, &h->privilege);
	ret = privilege_drop(&h->privilege, &h->err);
	clearenv();
	return ret;
}

static int accept_call(struct helper *h, int argc, char **argv)
{
	int ret = args_parse(argc, argv, &h->args, &h->err);

	if (ret < 0 || h->args.help || h->args.version)
		return ret;
	/* a number that was free when the program started is not the caller's to name */
	if (h->args.fd >= 0 && h->args.fd == h->keeper.sock)
		vhost_keeper_stop(&h->keeper);
	if (h->args.fd >= 0)
		ret = descriptors_check(h->args.fd, &h->err);
	if (ret < 0)
		return ret;
	ret = descriptors_keep(h->args.fd, h->keeper.sock);
	return ret < 0 ? error_errno(&h->err, -ret, "", "close descriptors") : 0;
}

/* ----------------------------------------------------------------- access list */

static int ask_list(struct helper *h)
{
	h->request = (struct acl_request) {
		.bridge = h->args.bridge,
		.vhost = h->args.vhost,
		.ifname = h->args.ifname,
		.mac = h->args.mac_text[0] ? h->args.mac_text : NULL,
	};
	return acl_read(acl_default(), 0, &h->request, &h->verdict, &h->err);
}

static int may(struct helper *h)
{
	int ret = ask_list(h);
	char who[64];

	if (ret < 0)
		return ret;
	report_caller(who, sizeof(who));
	for (unsigned r = 0; !ret && r < ACL_RIGHT_CNT; r++)
		if (acl_asks(&h->request, r))
			ret = acl_allows(&h->verdict, &h->request, r, who, &h->err);
	return ret;
}

/* ------------------------------------------------------------------------ work */

static int open_vhost(struct helper *h, int *fds)
{
	int ret = vhost_open(&h->keeper, fds, h->args.queues);

	if (!ret)
		return 0;
	error_errno(&h->err, -ret, VHOST_PATH, "open it");
	if (ret == -ENOENT || ret == -ENODEV || ret == -ENXIO)
		error_remedy(&h->err,
			     "load the driver (modprobe vhost_net), or do without --vhost");
	else if (ret == -EACCES || ret == -EPERM)
		error_remedy(&h->err,
			     "let the caller open it (on most systems by the group kvm), or "
			     "give the program a right to it: see vmtap-bridge-helper(8)");
	return ret;
}

static int make(struct helper *h)
{
	int fds[2 * ARGS_QUEUES_MAX], ret;
	unsigned cnt = h->args.queues;
	char object[32];
	struct tap tap;

	ret = bridge_find(&h->bridge, h->args.bridge, &h->privilege, &h->err);
	if (!ret && h->args.vhost)
		ret = open_vhost(h, fds + cnt);
	if (!ret)
		ret = tap_make(&tap, &h->bridge, &h->args, &h->privilege, &h->err);
	if (ret < 0)
		return ret;
	memcpy(fds, tap.fds, cnt * sizeof(fds[0]));
	ret = fd_send(h->args.fd, fds, h->args.vhost ? 2 * cnt : cnt);
	snprintf(object, sizeof(object), "tap %s", tap.ifname);
	return ret < 0 ? error_errno(&h->err, -ret, object, "send it to the caller") : 0;
}

/* ----------------------------------------------------------------------- check */

/* Each obstacle is reported, not only the first. */
static void note(struct helper *h, int ret, bool *fine)
{
	if (ret >= 0)
		return;
	report_error(&h->err);
	*fine = false;
}

static void check_right(struct helper *h, enum acl_right r, const char *who, bool *fine)
{
	static const char *const names[ACL_RIGHT_CNT] = { "bridge", "vhost", "ifname", "mac" };
	const struct acl_line *line = &h->verdict.allow[r];
	int ret = acl_allows(&h->verdict, &h->request, r, who, &h->err);

	note(h, ret, fine);
	if (!ret)
		printf("%s: allowed by %s:%u: %s\n", names[r], line->file, line->number,
		       line->text);
}

static void check_list(struct helper *h, bool *fine)
{
	const struct acl_line *skipped = &h->verdict.skipped_at;
	int ret = ask_list(h);
	char who[64];

	note(h, ret, fine);
	if (ret < 0)
		return;
	report_caller(who, sizeof(who));
	printf("list: %s\n", h->verdict.list);
	if (h->verdict.skipped)
		printf("skipped: %u included, that %s cannot open; the first by %s:%u: %s\n",
		       h->verdict.skipped, who, skipped->file, skipped->number, skipped->text);
	for (unsigned r = 0; r < ACL_RIGHT_CNT; r++)
		if (acl_asks(&h->request, r))
			check_right(h, r, who, fine);
}

/* Return: 0, or 1 and all has been said. */
static int check(struct helper *h)
{
	int fds[ARGS_QUEUES_MAX];
	bool fine = true;
	int ret;

	check_list(h, &fine);
	ret = bridge_find(&h->bridge, h->args.bridge, &h->privilege, &h->err);
	note(h, ret, &fine);
	if (ret == 0)
		printf("mtu: %d\n", h->bridge.mtu);
	note(h, tap_check_privilege(&h->privilege, &h->err), &fine);
	note(h, tap_check_device(&h->privilege, &h->err), &fine);
	if (h->args.ifname)
		note(h, tap_check_name(&h->bridge, h->args.ifname, &h->err), &fine);
	if (h->args.vhost)
		note(h, open_vhost(h, fds), &fine);
	printf("result: %s\n", fine ? "a TAP would be made" : "no TAP would be made");
	return fine ? 0 : 1;
}

/* ------------------------------------------------------------------------ main */

static int run(struct helper *h, int argc, char **argv)
{
	int ret = give_back(h);

	if (!ret)
		ret = accept_call(h, argc, argv);
	if (ret < 0)
		return ret;
	if (h->args.help)
		args_help(stdout);
	else if (h->args.version)
		puts("vmtap-bridge-helper " VMTAP_VERSION);
	else if (h->args.check)
		ret = check(h);
	else if (!(ret = may(h)))
		ret = make(h);
	return ret;
}

int main(int argc, char **argv)
{
	static struct helper h;
	int ret = run(&h, argc, argv);

	vhost_keeper_stop(&h.keeper);
	if (ret < 0)
		report_error(&h.err);
	return ret ? EXIT_FAILURE : EXIT_SUCCESS;
}
