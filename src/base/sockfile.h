/* SPDX-License-Identifier: MIT */
/*
 * The file of a unix socket: taking a path without harm to others, and giving it back.
 *
 * Problem
 *   bind() refuses a path that exists, and a program that was killed leaves
 *   its path behind. Who unlinks blindly takes a living program's path away.
 *
 * Model
 *   A path with a socket that nobody has is stale and is taken. One that
 *   somebody has is in use, and anything that is no socket is somebody's file:
 *   both are errors and nothing is touched. To find out, a datagram socket
 *   tries to connect: the kernel answers "refused" for a stale path and
 *   "wrong type" for a living stream socket, which notices nothing.
 *
 * Races
 *   Two of us that find the same stale path would unlink each other's new
 *   socket, so look, unlink and bind are done under a lock on the folder. It
 *   is given up after a second: then somebody else holds it for his own ends.
 *   The path is given back only while it is still the file that we made.
 */
#ifndef BASE_SOCKFILE_H
#define BASE_SOCKFILE_H

#include <sys/types.h>

#include "vmtap/vmtap.h"

#define SOCKFILE_NO_MODE (-1)

/** struct sockfile - A path that we hold; zero-initialise it. */
struct sockfile {
	char *path; /* owned; NULL: none */
	dev_t dev;
	ino_t ino;
};

enum sockfile_state {
	SOCKFILE_ABSENT, /* no such file */
	SOCKFILE_STALE,	 /* a socket that nobody has */
	SOCKFILE_LIVE,	 /* a socket that somebody has */
	SOCKFILE_OTHER,	 /* no socket */
};

/** sockfile_probe() - Who has the path? Return: enum sockfile_state; -errno: it cannot be said. */
int sockfile_probe(const char *path);

/**
 * sockfile_bind() - Bind @fd, a unix socket, to @path, taking it when it is stale
 * @mode: permissions of the file; SOCKFILE_NO_MODE: as the umask has it
 *
 * The file never has more permissions than @mode, not even for a moment.
 * Return: 0 or -errno and @err.
 */
int sockfile_bind(struct sockfile *f, int fd, const char *path, int mode, const char *object,
		  struct vmtap_error *err);

/** sockfile_take_over() - Hold the path that @fd, of an earlier run, is bound to. Return: 0; -ESTALE: @path is another
 *  file; another -errno: the kernel does not tell (it takes Linux 4.13 and CAP_NET_ADMIN). */
int sockfile_take_over(struct sockfile *f, int fd, const char *path);
/** sockfile_leave() - Forget the path, which stays. Fine when nothing is held. */
void sockfile_leave(struct sockfile *f);

/** sockfile_check() - Would sockfile_bind() succeed? Changes nothing. */
int sockfile_check(const char *path, const char *object, struct vmtap_error *err);

/** sockfile_release() - Unlink the path if it is still ours. Fine when nothing is held. */
void sockfile_release(struct sockfile *f);

/** sockfile_in_use() - The error that somebody has @path. Return: -EADDRINUSE. */
int sockfile_in_use(const char *path, const char *object, struct vmtap_error *err);

/** sockfile_mode() - Read an octal mode= value. Return: 0 or -EINVAL and @err. */
int sockfile_mode(const char *text, int *mode, const char *object, struct vmtap_error *err);

#endif
