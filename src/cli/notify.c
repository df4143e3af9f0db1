/* SPDX-License-Identifier: MIT */
/*
 * Telling the service manager, as sd_notify(3) describes the protocol: one
 * datagram to the socket that $NOTIFY_SOCKET names. Its manual recommends to
 * implement this rather than to link libsystemd for it, which would double
 * the program's resident memory.
 */
#include "cli/notify.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

/** Descriptors in one datagram: the kernel's SCM_MAX_FD. */
#define FDS_MAX 253
/** A manager that does not read is not waited for any longer. */
#define PATIENCE_S 1
/** The same for what it was told. */
#define BARRIER_MS 5000

/* Return: length of the address; 0: there is none, or it is none that we know. */
static socklen_t address(struct sockaddr_un *addr)
{
	const char *path = getenv("NOTIFY_SOCKET");
	size_t len = path ? strlen(path) : 0;

	*addr = (struct sockaddr_un) { .sun_family = AF_UNIX };
	if (!len || len >= sizeof(addr->sun_path) || (path[0] != '/' && path[0] != '@'))
		return 0;
	memcpy(addr->sun_path, path, len);
	if (path[0] == '@')
		addr->sun_path[0] = '\0';
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
}

bool notify_is_on(void)
{
	struct sockaddr_un addr;

	return address(&addr) > 0;
}

static void attach(struct msghdr *msg, void *room, size_t size, const int *fds, unsigned cnt)
{
	struct cmsghdr *head;

	memset(room, 0, size);
	msg->msg_control = room;
	msg->msg_controllen = CMSG_SPACE(cnt * sizeof(int));
	head = CMSG_FIRSTHDR(msg);
	head->cmsg_level = SOL_SOCKET;
	head->cmsg_type = SCM_RIGHTS;
	head->cmsg_len = CMSG_LEN(cnt * sizeof(int));
	memcpy(CMSG_DATA(head), fds, cnt * sizeof(int));
}

static int tell(const char *state, const int *fds, unsigned cnt)
{
	_Alignas(struct cmsghdr) char room[CMSG_SPACE(FDS_MAX * sizeof(int))];
	struct sockaddr_un addr;
	struct iovec iov = { .iov_base = (void *)(uintptr_t)state, .iov_len = strlen(state) };
	struct msghdr msg = { .msg_name = &addr, .msg_iov = &iov, .msg_iovlen = 1 };
	const struct timeval patience = { .tv_sec = PATIENCE_S };
	int fd, ret;

	msg.msg_namelen = address(&addr);
	if (!msg.msg_namelen)
		return -ENOENT;
	if (cnt)
		attach(&msg, room, sizeof(room), fds, cnt);
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	ret = sendmsg(fd, &msg, MSG_NOSIGNAL) < 0 ? -errno : 0;
	close(fd);
	return ret;
}

void notify_manager(const char *state)
{
	tell(state, NULL, 0);
}

/* The manager closes the pipe's end when it comes to the message. */
int notify_barrier(void)
{
	struct pollfd wait = { .events = 0 };
	int ends[2], ret;

	if (pipe2(ends, O_CLOEXEC) < 0)
		return -errno;
	wait.fd = ends[0];
	ret = tell("BARRIER=1", &ends[1], 1);
	close(ends[1]);
	if (!ret) {
		ret = poll(&wait, 1, BARRIER_MS);
		ret = ret < 0 ? -errno : ret ? 0 : -ETIMEDOUT;
	}
	close(ends[0]);
	return ret;
}

int notify_fds(const char *state, const int *fds, unsigned cnt)
{
	return cnt && cnt <= FDS_MAX ? tell(state, fds, cnt) : -EINVAL;
}
