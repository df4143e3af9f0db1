/* SPDX-License-Identifier: MIT */
/* Messages of a vhost-user socket: one at a time, with the descriptors that came along. */
#include "port/vu/msg.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "base/fd.h"

/* More than the kernel passes at once, so that nothing is cut off and lost. */
#define CONTROL_FDS 253

union control {
	struct cmsghdr align;
	char buf[CMSG_SPACE(CONTROL_FDS * sizeof(int))];
};

void vu_rx_init(struct vu_rx *rx)
{
	memset(rx, 0, sizeof(*rx));
}

void vu_rx_next(struct vu_rx *rx)
{
	for (unsigned i = 0; i < rx->msg.fd_cnt; i++)
		fd_close(&rx->msg.fds[i]);
	vu_rx_init(rx);
}

/* Keep the descriptors of one control message. Return: 0, or -E2BIG and some were closed. */
static int keep_fds(struct vu_msg *m, const struct cmsghdr *c)
{
	const size_t cnt = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	int ret = 0;

	for (size_t i = 0; i < cnt; i++) {
		int fd;

		memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
		if (m->fd_cnt < VU_FDS_MAX) {
			m->fds[m->fd_cnt++] = fd;
		} else {
			fd_close(&fd);
			ret = -E2BIG;
		}
	}
	return ret;
}

static int keep_control(struct vu_msg *m, struct msghdr *msg)
{
	int ret = msg->msg_flags & MSG_CTRUNC ? -E2BIG : 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c))
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS &&
		    c->cmsg_len >= CMSG_LEN(0) && keep_fds(m, c) < 0)
			ret = -E2BIG;
	return ret;
}

/* One recvmsg(). Return: bytes; 0: nothing there now; or -errno. */
static ssize_t receive(struct vu_rx *rx, int sock, void *to, size_t len)
{
	union control control;
	struct iovec iov = { .iov_base = to, .iov_len = len };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control.buf),
	};
	ssize_t got;
	int ret;

	do
		got = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
	while (got < 0 && errno == EINTR);
	if (got < 0 && errno == EAGAIN)
		return 0;
	if (got < 0)
		return errno == ECONNRESET ? -EPIPE : -errno;
	ret = keep_control(&rx->msg, &msg);
	if (ret < 0)
		return ret;
	return got ? got : -EPIPE;
}

static int check_header(const struct vu_hdr *hdr)
{
	if ((hdr->flags & ~VU_NEED_REPLY) != VU_VERSION)
		return -EPROTO;
	return hdr->size > sizeof(union vu_payload) ? -EMSGSIZE : 0;
}

/* Where the next bytes go. Return: how many are wanted; 0: it is complete. */
static size_t wanted(struct vu_rx *rx, char **to)
{
	struct vu_msg *m = &rx->msg;
	size_t in_body;

	if (rx->have < sizeof(m->hdr)) {
		*to = (char *)&m->hdr + rx->have;
		return sizeof(m->hdr) - rx->have;
	}
	in_body = rx->have - sizeof(m->hdr);
	*to = (char *)&m->body + in_body;
	return m->hdr.size - in_body;
}

int vu_rx_read(struct vu_rx *rx, int sock)
{
	size_t want;
	char *to;

	while ((want = wanted(rx, &to)) > 0) {
		ssize_t got = receive(rx, sock, to, want);
		int ret;

		if (got <= 0)
			return (int)got;
		rx->have += (size_t)got;
		ret = rx->have == sizeof(rx->msg.hdr) ? check_header(&rx->msg.hdr) : 0;
		if (ret < 0)
			return ret;
	}
	return 1;
}

int vu_msg_send(int sock, uint32_t request, uint32_t flags, const void *body, uint32_t len, int fd)
{
	struct vu_hdr hdr = { .request = request, .flags = VU_VERSION | flags, .size = len };
	struct iovec iov[2] = {
		{ .iov_base = &hdr, .iov_len = sizeof(hdr) },
		{ .iov_base = (void *)(uintptr_t)body, .iov_len = len },
	};
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int))];
	} control = { 0 };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = len ? 2 : 1 };
	ssize_t sent;

	if (fd >= 0) {
		msg.msg_control = control.buf;
		msg.msg_controllen = sizeof(control.buf);
		control.align.cmsg_level = SOL_SOCKET;
		control.align.cmsg_type = SCM_RIGHTS;
		control.align.cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(&control.align), &fd, sizeof(int));
	}
	do
		sent = sendmsg(sock, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (sent < 0 && errno == EINTR);
	if (sent < 0)
		return errno == EAGAIN ? -ENOBUFS : -errno;
	return (size_t)sent == sizeof(hdr) + len ? 0 : -ENOBUFS;
}
