/* SPDX-License-Identifier: MIT */
/* Passing descriptors over unix sockets (unix(7), SCM_RIGHTS). */
#ifndef BASE_FDPASS_H
#define BASE_FDPASS_H

/** Most descriptors that the kernel passes in one message (SCM_MAX_FD). */
#define FDPASS_MAX 253

/** fd_send() - Send @cnt descriptors (1..FDPASS_MAX) with one byte of data.
 *  Return: 0 or -errno. */
int fd_send(int sock, const int *fds, unsigned cnt);

/**
 * fd_recv() - Receive the descriptors of one message
 * @fds: receives up to @max (1..FDPASS_MAX) of them, owned, close-on-exec
 *
 * Whatever else came along is closed: descriptors beyond @max, those of a message that was cut.
 * Return: descriptors received, 0 for a message without any or the end of the stream;
 *         -EAGAIN; -EMSGSIZE: there were more than @max, or the message was cut (all are closed);
 *         -EPROTO: control data of another kind (all are closed); or another -errno.
 */
int fd_recv(int sock, int *fds, unsigned max);

#endif
