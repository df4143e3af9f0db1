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
#ifndef SOCK_SOCKFILE_H
#define SOCK_SOCKFILE_H

#include <sys/types.h>

#include "sock/sockaddr.h"

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
int sockfile_probe(const struct sock_addr *addr);

/**
 * sockfile_bind() - Bind @fd to a unix address, taking a stale path
 * @mode: permissions of the file; SOCKFILE_NO_MODE: as the umask has it
 *
 * The file never has more permissions than @mode, not even for a moment. Abstract names are
 * bound as they are. Return: 0 or -errno and @err.
 */
int sockfile_bind(struct sockfile *f, int fd, const struct sock_addr *addr, int mode,
		  const char *object, struct vmtap_error *err);

/** sockfile_check() - Would sockfile_bind() succeed? Changes nothing. */
int sockfile_check(const struct sock_addr *addr, const char *object, struct vmtap_error *err);

/** sockfile_release() - Unlink the path if it is still ours. Fine when nothing is held. */
void sockfile_release(struct sockfile *f);

/** sockfile_mode() - Read an octal mode= value. Return: 0 or -EINVAL and @err. */
int sockfile_mode(const char *text, int *mode, const char *object, struct vmtap_error *err);

#endif
