/* SPDX-License-Identifier: MIT */
/* Checks: the path of a unix socket. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "host/checks.h"

/* Return: whether it is so long that there is nothing more to look at. */
static bool is_too_long(struct doctor *d, const char *path)
{
	const size_t max = sizeof(((struct sockaddr_un *)0)->sun_path) - 1;

	if (strlen(path) <= max)
		return false;
	finding(d, VMTAP_FINDING_ERROR, "the path has %zu bytes and a socket's at most %zu",
		strlen(path), max);
	why(d, "choose a shorter one, or a relative one");
	return true;
}

static void look_at_folder(struct doctor *d, const char *path)
{
	const char *slash = strrchr(path, '/');
	char folder[sizeof(((struct sockaddr_un *)0)->sun_path)] = ".", user[64];
	struct stat st;

	if (slash)
		snprintf(folder, sizeof(folder), "%.*s", slash == path ? 1 : (int)(slash - path),
			 path);
	user_name(user, sizeof(user));
	if (stat(folder, &st) < 0) {
		finding(d, VMTAP_FINDING_ERROR, "its folder cannot be used: %s", strerror(errno));
		if (errno == ENOENT)
			remedy(d, "mkdir -p %s", shell(d, folder));
	} else if (access(folder, W_OK | X_OK) < 0) {
		finding(d, VMTAP_FINDING_ERROR, "user %s may not make it in its folder", user);
		why(d, "use a folder of your own, such as the one that XDG_RUNTIME_DIR names");
	}
}

void check_socket_path(struct doctor *d)
{
	const char *path = d->target->path;
	struct stat st;
	char user[64];

	if (!path || path[0] == '@')
		return;
	about(d, "socket %.120s", path);
	if (is_too_long(d, path))
		return;
	if (stat(path, &st) < 0) {
		look_at_folder(d, path);
		return;
	}
	user_name(user, sizeof(user));
	if (!S_ISSOCK(st.st_mode)) {
		finding(d, VMTAP_FINDING_ERROR, "something exists there and is no socket");
		why(d, "choose another path, or move it away");
	} else if (access(path, W_OK) < 0) {
		finding(d, VMTAP_FINDING_ERROR, "user %s may not connect to it (mode %03o)", user,
			st.st_mode & 07777);
		remedy(d, "chown %s %s", shell(d, user), shell(d, path));
	}
}
