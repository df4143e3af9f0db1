/* SPDX-License-Identifier: MIT */
/* The descriptors that a caller leaves open, and the socket among them. */
#include "helper/descriptors.h"

#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/error.h"
#include "base/fd.h"

int descriptors_open_stdio(void)
{
	for (int fd = 0; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", O_RDWR) != fd)
			return -EBADF;
	return 0;
}

static int refuse(int code, int fd, const char *reason, struct vmtap_error *err)
{
	char object[32];

	snprintf(object, sizeof(object), "descriptor %d", fd);
	error_set(err, code, object, "send a TAP over it", "%s", reason);
	error_remedy(err,
		     "pass a connected unix socket, such as one of a socketpair, and its number "
		     "with --fd=");
	return -code;
}

int descriptors_check(int fd, struct vmtap_error *err)
{
	struct sockaddr_storage peer;
	socklen_t len = sizeof(int);
	struct stat st;
	int domain;

	if (fstat(fd, &st) < 0)
		return refuse(EBADF, fd, "it is not open", err);
	if (!S_ISSOCK(st.st_mode))
		return refuse(ENOTSOCK, fd, "it is not a socket", err);
	if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) < 0 || domain != AF_UNIX)
		return refuse(EAFNOSUPPORT, fd, "it is not a unix socket", err);
	len = sizeof(peer);
	if (getpeername(fd, (struct sockaddr *)&peer, &len) < 0)
		return refuse(ENOTCONN, fd, "nobody is at its other end", err);
	return 0;
}

static int close_from(int first, unsigned last)
{
	if ((unsigned)first > last)
		return 0;
	return syscall(SYS_close_range, (unsigned)first, last, 0u) < 0 ? -errno : 0;
}

int descriptors_keep(int a, int b)
{
	int low = a < b ? a : b, high = a < b ? b : a;
	int next = STDERR_FILENO + 1, ret = 0;

	if (low >= next) {
		ret = close_from(next, (unsigned)low - 1);
		next = low + 1;
	}
	if (!ret && high >= next) {
		ret = close_from(next, (unsigned)high - 1);
		next = high + 1;
	}
	return ret ? ret : close_from(next, ~0u);
}
