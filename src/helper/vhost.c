/* SPDX-License-Identifier: MIT */
/* Descriptors of /dev/vhost-net, opened with the program's own right to it. */
#include "helper/vhost.h"

#include <poll.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include "base/fd.h"
#include "base/fdpass.h"
#include "helper/descriptors.h"

#define CNT_MAX 64

static int open_all(int *fds, unsigned cnt)
{
	unsigned have = 0;
	int saved;

	while (have < cnt && (fds[have] = open(VHOST_PATH, O_RDWR | O_CLOEXEC)) >= 0)
		have++;
	if (have == cnt)
		return 0;
	saved = errno;
	while (have)
		fd_close(&fds[--have]);
	return -saved;
}

/* The second process. Return: its exit status. */
static int keep(int sock)
{
	int fds[CNT_MAX], ret;
	unsigned char cnt;

	if (descriptors_keep(sock, -1) < 0 || privilege_drop_but_files() < 0)
		return EPERM;
	if (read(sock, &cnt, 1) != 1)
		return 0;
	if (cnt < 1 || cnt > CNT_MAX)
		return EINVAL;
	ret = open_all(fds, cnt);
	if (!ret)
		ret = fd_send(sock, fds, cnt);
	return -ret;
}

int vhost_keeper_start(struct vhost_keeper *k, const struct privilege *p)
{
	int sv[2], ret = 0;

	*k = (struct vhost_keeper) { .sock = -1, .pid = -1 };
	if (!p->files)
		return 0;
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) < 0)
		return -errno;
	signal(SIGCHLD, SIG_DFL); /* ignored, it would take the exit status away */
	k->pid = fork();
	if (k->pid == 0)
		_exit(keep(sv[1]));
	if (k->pid < 0)
		ret = -errno;
	else
		k->sock = fd_steal(&sv[0]);
	fd_close(&sv[0]);
	fd_close(&sv[1]);
	return ret;
}

/* Return: how the second process ended, as -errno. */
static int end(struct vhost_keeper *k)
{
	int status = 0;
	pid_t pid;

	if (k->pid <= 0)
		return 0;
	fd_close(&k->sock);
	do
		pid = waitpid(k->pid, &status, 0);
	while (pid < 0 && errno == EINTR);
	k->pid = -1;
	return pid > 0 && WIFEXITED(status) ? -WEXITSTATUS(status) : -ECHILD;
}

int vhost_open(struct vhost_keeper *k, int *fds, unsigned cnt)
{
	struct pollfd answer = { .fd = k->sock, .events = POLLIN };
	unsigned char byte = (unsigned char)cnt;
	int got = 0, ret;

	if (k->pid < 0)
		return open_all(fds, cnt);
	if (send(k->sock, &byte, 1, MSG_NOSIGNAL) == 1 && poll(&answer, 1, -1) == 1)
		got = fd_recv(k->sock, fds, cnt);
	ret = end(k);
	if (got == (int)cnt)
		return 0;
	while (got > 0)
		fd_close(&fds[--got]);
	return ret < 0 ? ret : -EPROTO;
}

void vhost_keeper_stop(struct vhost_keeper *k)
{
	end(k);
}
