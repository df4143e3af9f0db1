/* SPDX-License-Identifier: MIT */
/*
 * Waking somebody through a descriptor that a front end gave.
 *
 * What the front end may do wrong
 *   Give a socket or a pipe and close the other end, to end us by SIGPIPE; give
 *   one that is full, to block us. Whoever takes the descriptor makes it non-blocking, but that is
 *   a property of what both of us have open, and the front end can undo it. So there has to be room
 *   first. (It can fill it behind that look. For an eventfd there is no write that surely
 *   does not block.)
 */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "virtio/vring-int.h"

static const uint64_t one = 1;

void vring_fd_set(struct vring_fd *f, int fd)
{
	struct stat st;

	f->fd = fd;
	f->kind = VRING_FD_EVENT;
	if (fd < 0 || fstat(fd, &st) < 0)
		return;
	if (S_ISSOCK(st.st_mode))
		f->kind = VRING_FD_SOCKET;
	else if (S_ISFIFO(st.st_mode))
		f->kind = VRING_FD_PIPE;
}

/* Neither full nor broken. */
static bool has_room(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };

	return poll(&p, 1, 0) == 1 && p.revents == POLLOUT;
}

/* A SIGPIPE that this write raises stays in this thread, and is taken away again. */
static void write_pipe(int fd)
{
	const struct timespec now = { 0 };
	sigset_t pipe_only, old, pending;

	sigemptyset(&pipe_only);
	sigaddset(&pipe_only, SIGPIPE);
	sigpending(&pending);
	pthread_sigmask(SIG_BLOCK, &pipe_only, &old);
	if (write(fd, &one, sizeof(one)) < 0 && errno == EPIPE && !sigismember(&pending, SIGPIPE))
		sigtimedwait(&pipe_only, NULL, &now);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}

/* One that is full wakes its reader anyway; of one that is broken nobody is the wiser. */
void vring_fd_raise(const struct vring_fd *f)
{
	const int saved = errno;

	if (f->fd < 0)
		return;
	if (f->kind == VRING_FD_SOCKET)
		(void)send(f->fd, &one, sizeof(one), MSG_NOSIGNAL | MSG_DONTWAIT);
	else if (!has_room(f->fd))
		;
	else if (f->kind == VRING_FD_PIPE)
		write_pipe(f->fd);
	else
		(void)!write(f->fd, &one, sizeof(one));
	errno = saved;
}
