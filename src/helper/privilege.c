/* SPDX-License-Identifier: MIT */
/* What the program was given, and giving it back. */
#include "helper/privilege.h"

#include <cap-ng.h>
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/error.h"

#define SELF "/proc/self/exe"

struct privilege privilege_look(void)
{
	bool changed = geteuid() != getuid() || getegid() != getgid(), override;

	capng_get_caps_process();
	/* to root, files are open without it */
	override = getuid() != 0 && capng_have_capability(CAPNG_EFFECTIVE, CAP_DAC_OVERRIDE);
	return (struct privilege) {
		.net_admin = capng_have_capability(CAPNG_PERMITTED, CAP_NET_ADMIN),
		.files = changed || override,
		.no_new_privs = prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1,
	};
}

/* Nothing that is executed, attached or dumped later can undo it. */
static int seal(void)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
		return -errno;
	return 0;
}

/* Capabilities that remain, once effective and permitted, are @cap (-1: none). */
static int choose(int cap)
{
	bool bounding = capng_have_capability(CAPNG_EFFECTIVE, CAP_SETPCAP);

	capng_clear(CAPNG_SELECT_ALL);
	if (cap >= 0)
		capng_update(CAPNG_ADD, CAPNG_EFFECTIVE | CAPNG_PERMITTED, (unsigned)cap);
	/* only who has CAP_SETPCAP may; the others gain nothing through it after seal() */
	return bounding && capng_apply(CAPNG_SELECT_BOUNDS) < 0 ? -EPERM : 0;
}

/* The groups of a set-uid program are its caller's already. Permitted capabilities stay. */
static int become_caller(void)
{
	uid_t uid = getuid();
	gid_t gid = getgid();
	bool changes = geteuid() != uid;

	if ((changes && prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0) || setresgid(gid, gid, gid) < 0 ||
	    setresuid(uid, uid, uid) < 0 || (changes && prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) < 0))
		return -errno;
	return 0;
}

int privilege_drop(const struct privilege *p, struct vmtap_error *err)
{
	int ret = choose(p->net_admin ? CAP_NET_ADMIN : -1);

	if (!ret)
		ret = become_caller();
	if (!ret && capng_apply(CAPNG_SELECT_CAPS | CAPNG_SELECT_AMBIENT) < 0)
		ret = -EPERM;
	if (!ret)
		ret = seal();
	return ret < 0 ? error_errno(err, -ret, "", "give privileges back") : 0;
}

int privilege_drop_but_files(void)
{
	bool override;
	int ret;

	capng_get_caps_process();
	override = capng_have_capability(CAPNG_EFFECTIVE, CAP_DAC_OVERRIDE);
	ret = choose(override ? CAP_DAC_OVERRIDE : -1);
	if (!ret && capng_apply(CAPNG_SELECT_CAPS | CAPNG_SELECT_AMBIENT) < 0)
		ret = -EPERM;
	return ret < 0 ? ret : seal();
}

void privilege_remedy(const struct privilege *p, struct vmtap_error *err)
{
	char path[256] = "vmtap-bridge-helper";
	struct statvfs fs;
	ssize_t len = readlink(SELF, path, sizeof(path) - 1);

	if (len > 0)
		path[len] = '\0';
	if (p->net_admin)
		error_remedy(err,
			     "the network belongs to another user namespace: call it from there");
	else if (p->no_new_privs)
		error_remedy(err,
			     "who called it forbade new privileges (no_new_privs; in a systemd "
			     "unit NoNewPrivileges=no allows them)");
	else if (statvfs(SELF, &fs) == 0 && (fs.f_flag & ST_NOSUID))
		error_remedy(err,
			     "the file system of %s is mounted nosuid, so that file "
			     "capabilities count for nothing there: install it elsewhere",
			     path);
	else
		error_remedy(err, "as root: setcap cap_net_admin+ep %s", path);
}
