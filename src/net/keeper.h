/* SPDX-License-Identifier: MIT */
/*
 * Descriptors of ports that outlive the program: struct vmtap_keeper, seen from port types.
 *
 * Model
 *   A port that opens asks for what an earlier run left (port_find_kept()), and checks it like anything
 *   that comes from elsewhere. Once it is open it has its own kept (port_keep()). It has them dropped
 *   (port_drop_kept()) before it closes them, unless the program is to come again (port_is_leaving()).
 *
 * Threads
 *   The thread of env->loop. Nothing of it is for where frames move.
 */
#ifndef NET_KEEPER_H
#define NET_KEEPER_H

#include <errno.h>

#include "net/port.h"

/**
 * struct port_keeper - As struct vmtap_keeper; @find returns owned, or -errno
 * @leaving: ports that close leave theirs behind
 */
struct port_keeper {
	int (*find)(void *opaque, const char *port, const char *role);
	void (*keep)(void *opaque, const char *port, const char *role, int fd);
	void (*drop)(void *opaque, const char *port, const char *role);
	void *opaque;
	bool leaving;
};

/** port_find_kept() - Return: owned, and not to be trusted; -ENOENT: there is none. */
static inline int port_find_kept(const struct port *p, const char *role)
{
	const struct port_keeper *k = p->env->keeper;

	return k ? k->find(k->opaque, p->name, role) : -ENOENT;
}

/** port_keep() - @fd: borrowed. Also when it is the one that was found: it stays. */
static inline void port_keep(const struct port *p, const char *role, int fd)
{
	const struct port_keeper *k = p->env->keeper;

	if (k)
		k->keep(k->opaque, p->name, role, fd);
}

/** port_drop_kept() - When it returns, our descriptor is the last, as a rule. Fine when there is none. */
static inline void port_drop_kept(const struct port *p, const char *role)
{
	const struct port_keeper *k = p->env->keeper;

	if (k)
		k->drop(k->opaque, p->name, role);
}

static inline bool port_is_leaving(const struct port *p)
{
	return p->env->keeper && p->env->keeper->leaving;
}

#endif
