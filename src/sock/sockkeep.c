/* SPDX-License-Identifier: MIT */
/* Unix sockets that outlive the program. */
#include "sock/sockkeep.h"

#include <errno.h>
#include <string.h>

#include "base/fd.h"
#include "net/keeper.h"
#include "sock/sockfd.h"

static bool has(int fd, int option, int wanted)
{
	socklen_t len = sizeof(int);
	int value;

	return getsockopt(fd, SOL_SOCKET, option, &value, &len) == 0 && value == wanted;
}

static bool is_at(int fd, const struct sock_addr *addr)
{
	struct sock_addr is = { 0 };

	return sock_local(fd, &is) == 0 && sock_addr_same(&is, addr);
}

/* Return: NULL, or what is wrong with it. */
static const char *refuse(int fd, int type, const struct sock_addr *addr, struct sockfile *file)
{
	if (!has(fd, SO_DOMAIN, AF_UNIX) || !has(fd, SO_TYPE, type))
		return "it is no unix socket of this kind";
	if (type == SOCK_STREAM && !has(fd, SO_ACCEPTCONN, 1))
		return "it does not listen";
	if (!is_at(fd, addr))
		return "it has another address";
	if (fd_set_nonblock(fd) < 0 || fd_set_cloexec(fd) < 0)
		return "it cannot be made non-blocking";
	if (sock_addr_is_file(addr) && sockfile_take_over(file, fd, addr->un.sun_path) < 0)
		return "its path is not its own any more";
	return NULL;
}

int sock_keep_find(const struct port *p, const char *role, int type, const struct sock_addr *addr,
		   struct sockfile *file)
{
	int fd = port_find_kept(p, role);
	const char *why;

	if (fd < 0)
		return -ENOENT;
	why = refuse(fd, type, addr, file);
	if (!why)
		return fd;
	log_msg(p->env->log, VMTAP_LOG_WARNING, p->name,
		"the socket that was kept cannot be used (%s) and is let go of", why);
	port_drop_kept(p, role);
	fd_close(&fd);
	return -ENOENT;
}

bool sock_keep(const struct port *p, const char *role, int fd, const struct sock_addr *addr)
{
	struct sockfile file = { 0 };

	if (!p->env->keeper)
		return false;
	if (sock_addr_is_file(addr) && sockfile_take_over(&file, fd, addr->un.sun_path) < 0)
		return false;
	sockfile_leave(&file);
	port_keep(p, role, fd);
	return true;
}

void sock_keep_end(const struct port *p, const char *role, struct sockfile *file)
{
	if (port_is_leaving(p))
		sockfile_leave(file);
	else
		port_drop_kept(p, role);
}
