/* SPDX-License-Identifier: MIT */
/* Passing descriptors over unix sockets (unix(7), SCM_RIGHTS). */
#include "base/fdpass.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fd.h"

union control {
	struct cmsghdr align;
	char buf[CMSG_SPACE(FDPASS_MAX * sizeof(int))];
};

int fd_send(int sock, const int *fds, unsigned cnt)
{
	char byte = 0;
	struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
	union control control = { 0 };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = CMSG_SPACE(cnt * sizeof(int)),
	};
	struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
	ssize_t ret;

	if (cnt < 1 || cnt > FDPASS_MAX)
		return -EINVAL;
	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(cnt * sizeof(int));
	memcpy(CMSG_DATA(c), fds, cnt * sizeof(int));
	do
		ret = sendmsg(sock, &msg, MSG_NOSIGNAL);
	while (ret < 0 && errno == EINTR);
	return ret < 0 ? -errno : 0;
}

/* Take the descriptors of one control message: those that fit are kept, the others closed. */
static unsigned collect(const struct cmsghdr *c, int *fds, unsigned max, unsigned have)
{
	unsigned cnt = (unsigned)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));

	for (unsigned i = 0; i < cnt; i++) {
		int fd;

		memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
		if (have + i < max)
			fds[have + i] = fd;
		else
			fd_close(&fd);
	}
	return have + cnt;
}

int fd_recv(int sock, int *fds, unsigned max)
{
	char data[256];
	struct iovec iov = { .iov_base = data, .iov_len = sizeof(data) };
	union control control;
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control.buf),
	};
	unsigned have = 0;
	ssize_t len;
	int ret = 0;

	do
		len = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	while (len < 0 && errno == EINTR);
	if (len < 0)
		return -errno;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
		    c->cmsg_len >= CMSG_LEN(0))
			have = collect(c, fds, max, have);
		else
			ret = -EPROTO;
	}
	if (have > max || (msg.msg_flags & MSG_CTRUNC))
		ret = -EMSGSIZE;
	if (!ret)
		return (int)have;
	for (unsigned i = 0; i < have && i < max; i++)
		fd_close(&fds[i]);
	return ret;
}
