/* SPDX-License-Identifier: MIT */
/* Descriptors: closing, clean-up by attribute, hand-over by steal. "None" is -1. */
#ifndef BASE_FD_H
#define BASE_FD_H

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

/** fd_close() - Close *@fd unless it is -1, and set it to -1. Keeps errno. */
static inline void fd_close(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	errno = saved;
}

/** fd_steal() - Hand the descriptor over: returns it and leaves -1 behind. */
static inline int fd_steal(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

/** cleanup_fd - `cleanup_fd int fd = -1;` is closed at the end of its scope. */
#define cleanup_fd __attribute__((cleanup(fd_close)))

/** fd_set_nonblock() - Set O_NONBLOCK. Return: 0 or -errno. */
static inline int fd_set_nonblock(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;
	return 0;
}

/** fd_set_cloexec() - Set FD_CLOEXEC. Return: 0 or -errno. */
static inline int fd_set_cloexec(int fd)
{
	return fcntl(fd, F_SETFD, FD_CLOEXEC) < 0 ? -errno : 0;
}

#endif
