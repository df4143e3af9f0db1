/* SPDX-License-Identifier: MIT */
/* Checks: what the kernel forbids, and what was left behind. */
#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "conf/text.h"
#include "host/checks.h"
#include "host/host.h"

#define URING_DISABLED "/proc/sys/kernel/io_uring_disabled"
#define USERNS_MAX "/proc/sys/user/max_user_namespaces"
#define USERNS_CLONE "/proc/sys/kernel/unprivileged_userns_clone"
#define USERNS_APPARMOR "/proc/sys/kernel/apparmor_restrict_unprivileged_userns"

/* What the kernel answers to a ring that could not be made anyway. */
static int uring_errno(void)
{
	return syscall(__NR_io_uring_setup, 0, NULL) < 0 ? errno : 0;
}

void check_io_uring(struct doctor *d)
{
	long disabled = read_number(URING_DISABLED, 0);
	int code = uring_errno();

	about(d, "io_uring");
	if (code != EPERM && code != ENOSYS && disabled != 2)
		return;
	if (disabled == 2)
		finding(d, VMTAP_FINDING_NOTE,
			"kernel.io_uring_disabled=2 forbids it to everybody");
	else if (disabled == 1)
		finding(d, VMTAP_FINDING_NOTE,
			"kernel.io_uring_disabled=1 forbids it to ordinary users that are not in "
			"the group %ld (kernel.io_uring_group)",
			read_number("/proc/sys/kernel/io_uring_group", -1));
	else if (code == ENOSYS)
		finding(d, VMTAP_FINDING_NOTE, "this kernel does not have it");
	else
		finding(d, VMTAP_FINDING_NOTE,
			"it is forbidden to this process, by a seccomp filter of its container or "
			"service");
	why(d, "vmtap then makes one system call a frame instead of one a burst, which costs more "
	       "at high rates");
	if (disabled)
		remedy(d, "sysctl -w kernel.io_uring_disabled=0");
}

/* They are how an ordinary user gets a network of his own, and a VMM its sandbox. */
void check_userns(struct doctor *d)
{
	static const char *const text = "an ordinary user can then not run a guest in a network of "
					"his own (unshare -rn), nor a VMM make its sandbox";

	about(d, "user namespaces");
	if (read_number(USERNS_MAX, 1) == 0) {
		finding(d, VMTAP_FINDING_NOTE, "user.max_user_namespaces=0: nobody may make one");
		why(d, "%s", text);
		remedy(d, "sysctl -w user.max_user_namespaces=15000");
	}
	if (read_number(USERNS_CLONE, 1) == 0) {
		finding(d, VMTAP_FINDING_NOTE,
			"kernel.unprivileged_userns_clone=0: only root may make one");
		why(d, "%s", text);
		remedy(d, "sysctl -w kernel.unprivileged_userns_clone=1");
	}
	if (read_number(USERNS_APPARMOR, 0) == 1) {
		finding(d, VMTAP_FINDING_NOTE,
			"kernel.apparmor_restrict_unprivileged_userns=1: what ordinary users make "
			"has no right to anything");
		why(d, "%s", text);
		remedy(d, "sysctl -w kernel.apparmor_restrict_unprivileged_userns=0");
	}
}

struct leaks {
	const char *bridge; /* "": all */
	unsigned cnt;
	struct text names;
	char buf[300];
};

static void count_leak(void *opaque, const struct vmtap_iface *iface)
{
	struct leaks *l = opaque;

	if (l->bridge[0] && strcmp(l->bridge, iface->bridge) != 0)
		return;
	l->cnt++;
	text_item(&l->names, iface->name);
}

void check_leaked_taps(struct doctor *d)
{
	struct leaks l = { .bridge = d->bridge_name };

	l.names = text_init(l.buf, sizeof(l.buf));
	if (d->bridge_name[0])
		about(d, "TAPs on bridge %s", d->bridge_name);
	else
		about(d, "TAPs");
	if (host_reap(true, count_leak, &l, NULL) < 0 || !l.cnt)
		return;
	finding(d, VMTAP_FINDING_WARNING, "%u %s left behind by a process that has ended: %s",
		l.cnt, l.cnt == 1 ? "was" : "were", l.buf);
	why(d, "they take names, and ports of bridges, of which there are 1023");
	remedy(d, "vmtap reap --yes");
}
