/* SPDX-License-Identifier: MIT */
/*
 * Unix sockets that outlive the program: see net/keeper.h. Who connects while it restarts waits, and so do
 * datagrams.
 *
 * Model
 *   A socket with a file is kept where the kernel tells which file that is (Linux 4.13, CAP_NET_ADMIN): the
 *   next run has to know that nobody else has taken the path meanwhile, and whether it may unlink it.
 *
 * What the keeper may do wrong
 *   Give anything. What is not the socket that we would have made is let go of, with a warning.
 */
#ifndef SOCK_SOCKKEEP_H
#define SOCK_SOCKKEEP_H

#include "base/sockfile.h"
#include "net/port.h"
#include "sock/sockaddr.h"

/** sock_keep_find() - Go on with the socket of @type (SOCK_STREAM: one that listens) at the unix address @addr.
 *  Return: owned, and @file is held; -ENOENT: there is none of use. */
int sock_keep_find(const struct port *p, const char *role, int type, const struct sock_addr *addr,
		   struct sockfile *file);
/** sock_keep() - Have it kept. Return: whether it is. */
bool sock_keep(const struct port *p, const char *role, int fd, const struct sock_addr *addr);
/** sock_keep_end() - Before one that is kept is closed: have it dropped, or leave it, and the file, behind. */
void sock_keep_end(const struct port *p, const char *role, struct sockfile *file);

#endif
