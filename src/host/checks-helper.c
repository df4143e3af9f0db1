/* SPDX-License-Identifier: MIT */
/* Checks: the bridge helper as a file, and whether its privilege reaches it. */
#include <errno.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "host/checks.h"

#define PATH_SIZE 4096

/* The helper's file; NULL: there is none, or it is a shell's command line. */
static const char *helper_file(const struct doctor *d, struct stat *st)
{
	const char *path = d->target->helper;

	if (!path || strpbrk(path, " \t") || stat(path, st) < 0)
		return NULL;
	return path;
}

bool helper_is_qemus(const struct doctor *d)
{
	const char *path = d->target->helper;
	const char *name = path ? strrchr(path, '/') : NULL;

	return name && strcmp(name + 1, "qemu-bridge-helper") == 0;
}

/* Root needs no privilege from it. For others a port that uses it cannot work; where nobody asked
 * for such a port, it is only one way less. */
static enum vmtap_severity severity(const struct doctor *d)
{
	if (d->admin)
		return VMTAP_FINDING_NOTE;
	return d->target->kind == DOCTOR_HELPER ? VMTAP_FINDING_ERROR : VMTAP_FINDING_WARNING;
}

/* ------------------------------------------------------------------------ file */

void check_helper_found(struct doctor *d)
{
	static const char *const install =
		"install vmtap-bridge-helper (make install) or QEMU's qemu-bridge-helper "
		"(Debian: qemu-system-common), or name one with helper=";
	bool asked = d->target->kind == DOCTOR_HELPER;
	const char *path = d->target->helper;
	struct stat st;

	about(d, "bridge helper%s%.100s", path ? " " : "", path ? path : "");
	if (!path) {
		finding(d, asked ? VMTAP_FINDING_ERROR : severity(d), "none is installed");
		why(d, "without it, only root can put a TAP on a bridge: %s", install);
	} else if (strpbrk(path, " \t")) {
		finding(d, VMTAP_FINDING_NOTE,
			"it is a shell's command line, which cannot be judged from here");
	} else if (stat(path, &st) < 0) {
		finding(d, asked ? VMTAP_FINDING_ERROR : severity(d), "it cannot be found: %s",
			strerror(errno));
		why(d, "%s", install);
	}
}

void check_helper_access(struct doctor *d)
{
	struct stat st;
	const char *path = helper_file(d, &st);
	char user[64];

	if (!path)
		return;
	about(d, "bridge helper %.100s", path);
	if (!S_ISREG(st.st_mode)) {
		finding(d, VMTAP_FINDING_ERROR, "it is no regular file");
		return;
	}
	if (access(path, X_OK) == 0)
		return;
	user_name(user, sizeof(user));
	finding(d, severity(d) == VMTAP_FINDING_NOTE ? VMTAP_FINDING_WARNING : severity(d),
		"user %s may not run it (mode %04o)", user, st.st_mode & 07777);
	remedy(d, "chmod a+rx %s", shell(d, path));
}

/* -------------------------------------------------------------------- privilege */

/* File capabilities: capabilities(7), "Extended attribute". */
struct file_caps {
	bool any, net_admin, dac_override, effective;
};

static struct file_caps read_caps(const char *path)
{
	struct vfs_ns_cap_data data = { 0 };
	ssize_t len = getxattr(path, "security.capability", &data, sizeof(data));
	struct file_caps caps = { 0 };

	if (len < (ssize_t)XATTR_CAPS_SZ_1)
		return caps;
	caps.any = true;
	caps.net_admin = data.data[0].permitted & (1u << CAP_NET_ADMIN);
	caps.dac_override = data.data[0].permitted & (1u << CAP_DAC_OVERRIDE);
	caps.effective = data.magic_etc & VFS_CAP_FLAGS_EFFECTIVE;
	return caps;
}

bool helper_may_open(const struct doctor *d, const struct stat *node)
{
	const unsigned group = S_IRGRP | S_IWGRP;
	struct stat st;
	const char *path = helper_file(d, &st);
	struct file_caps caps;

	if (!path || helper_is_qemus(d))
		return false;
	caps = read_caps(path);
	return (st.st_mode & S_ISUID && st.st_uid == 0) || (caps.dac_override && caps.effective) ||
	       (st.st_mode & S_ISGID && st.st_gid == node->st_gid &&
		(node->st_mode & group) == group);
}

static void owned_by_other(struct doctor *d, const char *path, const struct stat *st, bool caps)
{
	struct passwd *pw = getpwuid(st->st_uid);
	const char *quoted = shell(d, path);

	if (st->st_mode & S_ISUID) {
		finding(d, severity(d) == VMTAP_FINDING_NOTE ? VMTAP_FINDING_WARNING : severity(d),
			"it is set-uid and belongs to user %s, not to root",
			pw ? pw->pw_name : "of a number without a name");
		why(d, "so it runs with the rights of that user, who cannot make a TAP either");
		remedy(d, "chown root %s && chmod u+s %s", quoted, quoted);
	} else if (caps) {
		finding(d, VMTAP_FINDING_WARNING, "it has capabilities and belongs to user %s",
			pw ? pw->pw_name : "of a number without a name");
		why(d, "whom that lets have a say in a privileged program");
		remedy(d, "chown root %s && setcap cap_net_admin+ep %s", quoted, quoted);
	}
}

void check_helper_owner(struct doctor *d)
{
	struct stat st;
	const char *path = helper_file(d, &st);
	struct file_caps caps;

	if (!path)
		return;
	about(d, "bridge helper %.100s", path);
	caps = read_caps(path);
	if (st.st_uid != 0)
		owned_by_other(d, path, &st, caps.any);
	if (st.st_mode & (S_IWGRP | S_IWOTH)) {
		finding(d, VMTAP_FINDING_WARNING, "others than its owner can change it (mode %04o)",
			st.st_mode & 07777);
		why(d, "whoever can change a privileged program has its privilege");
		remedy(d, "chmod go-w %s", shell(d, path));
	}
}

void check_helper_privilege(struct doctor *d)
{
	struct stat st;
	const char *path = helper_file(d, &st);
	struct file_caps caps;

	if (!path)
		return;
	about(d, "bridge helper %.100s", path);
	caps = read_caps(path);
	if ((st.st_mode & S_ISUID) || (caps.net_admin && caps.effective))
		return;
	if (caps.net_admin)
		finding(d, severity(d),
			"its capability CAP_NET_ADMIN is not in force when it starts");
	else
		finding(d, severity(d), "it has neither CAP_NET_ADMIN nor set-uid");
	why(d, "run by an ordinary user it cannot make a TAP: \"Operation not permitted\"");
	remedy(d, "setcap cap_net_admin+ep %s", shell(d, path));
}

/* ------------------------------------------------------------------------ mount */

/* "\040" and the like, as /proc/self/mountinfo has them. */
static void unescape(char *s)
{
	char *to = s;

	while (*s) {
		if (s[0] == '\\' && s[1] && s[2] && s[3]) {
			*to++ = (char)((s[1] - '0') * 64 + (s[2] - '0') * 8 + (s[3] - '0'));
			s += 4;
		} else {
			*to++ = *s++;
		}
	}
	*to = '\0';
}

/* The longest mount point that @path is below. Later mounts hide earlier ones. */
static bool find_mount(const char *path, char *mount, size_t size)
{
	FILE *f = fopen("/proc/self/mountinfo", "re");
	char *line = NULL, *point, *save;
	size_t line_size = 0, best = 0, len;

	while (f && getline(&line, &line_size, f) > 0) {
		point = strtok_r(line, " ", &save);
		for (int i = 1; point && i < 5; i++)
			point = strtok_r(NULL, " ", &save);
		if (!point)
			continue;
		unescape(point);
		len = strlen(point);
		if (len < best || strncmp(path, point, len) != 0 ||
		    (len > 1 && path[len] && path[len] != '/'))
			continue;
		best = len;
		snprintf(mount, size, "%s", point);
	}
	free(line);
	if (f)
		fclose(f);
	return best;
}

void check_helper_nosuid(struct doctor *d)
{
	char *real, mount[PATH_SIZE] = "";
	struct statvfs fs;
	struct stat st;
	const char *path = helper_file(d, &st);

	if (!path || statvfs(path, &fs) < 0)
		return;
	about(d, "bridge helper %.100s", path);
	if (!(fs.f_flag & ST_NOSUID))
		return;
	finding(d, severity(d), "it is on a file system that is mounted nosuid");
	why(d, "where neither set-uid nor capabilities of files count");
	real = realpath(path, NULL);
	if (real && find_mount(real, mount, sizeof(mount)))
		remedy(d, "mount -o remount,suid %s", shell(d, mount));
	free(real);
}

/* -------------------------------------------------------------------- confinement */

void check_helper_confined(struct doctor *d)
{
	struct stat st;
	const char *path = helper_file(d, &st);

	if (!path || d->admin)
		return;
	about(d, "bridge helper %.100s", path);
	if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1) {
		finding(d, severity(d), "this process may not gain privilege (no_new_privs)");
		why(d, "so it runs without its own. A service's NoNewPrivileges=yes does that, a "
		       "container's no-new-privileges, and many sandboxes: start vmtap outside of "
		       "it, or pass it an open TAP with fd=");
	}
	if (prctl(PR_CAPBSET_READ, CAP_NET_ADMIN, 0, 0, 0) == 0) {
		finding(d, severity(d), "CAP_NET_ADMIN is not in this process's bounding set");
		why(d,
		    "so nothing that it runs can have it. A container's --cap-add NET_ADMIN, or a "
		    "service's CapabilityBoundingSet=, lets it");
	}
}
