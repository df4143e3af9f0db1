/* SPDX-License-Identifier: MIT */
/* Output that waits for a socket to take it, with descriptors that go along. */
#include "ctl/out.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "base/fdpass.h"

/**
 * struct chunk - A piece
 * @fds: owned; they go with its first byte
 */
struct chunk {
	struct chunk *next;
	size_t len, sent;
	bool event;
	unsigned fd_cnt;
	int *fds;
	char text[];
};

static void chunk_free(struct chunk *c)
{
	for (unsigned i = 0; i < c->fd_cnt; i++)
		fd_close(&c->fds[i]);
	free(c->fds);
	free(c);
}

static int add_fds(struct chunk *c, const int *fds, unsigned cnt)
{
	if (!cnt)
		return 0;
	c->fds = malloc(cnt * sizeof(int));
	if (!c->fds)
		return -ENOMEM;
	memcpy(c->fds, fds, cnt * sizeof(int));
	c->fd_cnt = cnt;
	return 0;
}

/* Return: borrowed; NULL: out of memory. */
static struct chunk *add(struct out *o, const char *text, size_t len, const int *fds,
			 unsigned fd_cnt)
{
	struct chunk *c = malloc(sizeof(*c) + len);

	if (c)
		*c = (struct chunk) { .len = len };
	if (!c || add_fds(c, fds, fd_cnt) < 0) {
		for (unsigned i = 0; i < fd_cnt; i++)
			close(fds[i]);
		free(c);
		return NULL;
	}
	memcpy(c->text, text, len);
	if (!o->first)
		o->last = &o->first;
	*o->last = c;
	o->last = &c->next;
	o->len += len;
	return c;
}

int out_add(struct out *o, const char *text, size_t len, const int *fds, unsigned fd_cnt)
{
	return add(o, text, len, fds, fd_cnt) ? 0 : -ENOMEM;
}

int out_add_event(struct out *o, const char *text, size_t len)
{
	struct chunk *c = add(o, text, len, NULL, 0);

	if (!c)
		return -ENOMEM;
	c->event = true;
	o->event_len += len;
	return 0;
}

static ssize_t write_chunk(const struct chunk *c, int sock)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(FDPASS_MAX * sizeof(int))];
	} control = { 0 };
	struct iovec iov = {
		.iov_base = (void *)(uintptr_t)(c->text + c->sent),
		.iov_len = c->len - c->sent,
	};
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	ssize_t ret;

	if (c->fd_cnt && !c->sent) {
		struct cmsghdr *head;

		msg.msg_control = control.buf;
		msg.msg_controllen = CMSG_SPACE(c->fd_cnt * sizeof(int));
		head = CMSG_FIRSTHDR(&msg);
		head->cmsg_level = SOL_SOCKET;
		head->cmsg_type = SCM_RIGHTS;
		head->cmsg_len = CMSG_LEN(c->fd_cnt * sizeof(int));
		memcpy(CMSG_DATA(head), c->fds, c->fd_cnt * sizeof(int));
	}
	do
		ret = sendmsg(sock, &msg, MSG_NOSIGNAL);
	while (ret < 0 && errno == EINTR);
	return ret < 0 ? -errno : ret;
}

int out_write(struct out *o, int sock)
{
	while (o->first) {
		struct chunk *c = o->first;
		ssize_t sent = write_chunk(c, sock);

		if (sent == -EAGAIN || sent == -ENOBUFS || sent == -ENOMEM)
			return 0;
		if (sent < 0)
			return (int)sent;
		c->sent += (size_t)sent;
		o->len -= (size_t)sent;
		o->event_len -= c->event ? (size_t)sent : 0;
		if (c->sent < c->len)
			continue;
		o->first = c->next;
		chunk_free(c);
	}
	return 0;
}

void out_fini(struct out *o)
{
	while (o->first) {
		struct chunk *c = o->first;

		o->first = c->next;
		chunk_free(c);
	}
	o->len = o->event_len = 0;
}
