/* SPDX-License-Identifier: MIT */
/* Connections that outlive an orderly restart. */
#include "sock/connkeep.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/memfile.h"
#include "net/keeper.h"
#include "sock/sockfd.h"

#define CONNECTION "connection"
#define STATE "state"

/** No state is longer. */
#define STATE_MAX (1024 * 1024)
/** It cannot change, but go: there is no F_SEAL_SHRINK. */
#define SEALS (F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SEAL)

static bool get(int fd, int option, void *value, socklen_t len)
{
	return getsockopt(fd, SOL_SOCKET, option, value, &len) == 0;
}

/* No other socket of this boot has it. */
static bool id_of(int fd, uint64_t *id)
{
	return get(fd, SO_COOKIE, id, sizeof(*id));
}

/* -------------------------------------------------------------------- leaving behind */

/* Return: owned; -errno. */
static int make_memory(const uint8_t *state, size_t len)
{
	cleanup_fd int fd = memfile_make("vmtap-connection");

	if (fd < 0)
		return fd;
	for (size_t at = 0; at < len;) {
		const ssize_t ret = write(fd, state + at, len - at);

		if (ret <= 0)
			return ret < 0 ? -errno : -EIO;
		at += (size_t)ret;
	}
	return fcntl(fd, F_ADD_SEALS, SEALS) < 0 ? -errno : fd_steal(&fd);
}

/* Return: a memfd, owned; -errno. */
static int save(struct conn *c, int fd)
{
	uint8_t *state;
	uint64_t id;
	ssize_t len;
	int memory;

	if (!id_of(fd, &id))
		return -errno;
	len = c->ops->save(c, id, &state);
	if (len < 0)
		return (int)len;
	memory = make_memory(state, (size_t)len);
	free(state);
	return memory;
}

void conn_keep_leave(struct conn *c)
{
	const int fd = c->fd >= 0 ? c->fd : c->connecting ? -1 : c->next_fd;
	int memory;

	if (fd < 0 || !c->ops->save || c->inherited || !port_is_leaving(c->port))
		return;
	memory = save(c, fd);
	if (memory < 0) {
		log_msg(c->port->env->log, VMTAP_LOG_WARNING, c->port->name,
			"its connection cannot be left to the next run and is closed: %s",
			strerror(-memory));
		return;
	}
	/* should the second not arrive, nothing stays connected */
	port_keep(c->port, STATE, memory);
	port_keep(c->port, CONNECTION, fd);
	fd_close(&memory);
}

/* -------------------------------------------------------------------------- going on */

static bool is_one_of(const struct sock_addr *addr, const struct sock_addrs *addrs)
{
	for (unsigned i = 0; i < addrs->cnt; i++)
		if (sock_addr_same(addr, &addrs->addr[i]))
			return true;
	return false;
}

/* Where the port would have it? The peer's address is gone when the peer is: that is noticed later. */
static bool is_at(int fd, const struct conn_conf *conf)
{
	struct sock_addr addr = { 0 };

	if (!conf->server)
		return sock_peer(fd, &addr) < 0 || is_one_of(&addr, &conf->addrs);
	/* where one over TCP was accepted may have been the kernel's choice */
	return conf->spec.kind != SOCK_KIND_UNIX ||
	       (sock_local(fd, &addr) == 0 && is_one_of(&addr, &conf->addrs));
}

static const char *check_socket(int fd, const struct conn_conf *conf)
{
	const bool is_unix = conf->spec.kind == SOCK_KIND_UNIX;
	int domain, type, listens;

	if (!get(fd, SO_DOMAIN, &domain, sizeof(domain)) ||
	    !get(fd, SO_TYPE, &type, sizeof(type)) ||
	    !get(fd, SO_ACCEPTCONN, &listens, sizeof(listens)) || type != SOCK_STREAM || listens ||
	    (is_unix ? domain != AF_UNIX : domain != AF_INET && domain != AF_INET6))
		return "it is no connection of this kind";
	if (!is_at(fd, conf))
		return "it has another address";
	if (fd_set_nonblock(fd) < 0 || fd_set_cloexec(fd) < 0)
		return "it cannot be made non-blocking";
	return NULL;
}

static const char *read_all(int fd, uint8_t *state, size_t len)
{
	for (size_t at = 0; at < len;) {
		const ssize_t ret = pread(fd, state + at, len - at, (off_t)at);

		if (ret <= 0)
			return "its state cannot be read";
		at += (size_t)ret;
	}
	return NULL;
}

/* Read it, and see to it that nobody does again. Return: NULL and @state, owned, or why not. */
static const char *use_up(int memory, uint8_t **state, size_t *len)
{
	const int seals = fcntl(memory, F_GET_SEALS);
	const char *why;
	struct stat st;

	if (seals < 0 || (seals & (SEALS | F_SEAL_SHRINK)) != SEALS || fstat(memory, &st) < 0)
		return "its state is none that vmtap wrote";
	if (!st.st_size)
		return "its state was used before";
	if (st.st_size > STATE_MAX)
		return "its state is too long";
	*len = (size_t)st.st_size;
	*state = malloc(*len);
	if (!*state)
		return "out of memory";
	why = read_all(memory, *state, *len);
	if (!why && ftruncate(memory, 0) < 0)
		why = "its state could be used again";
	if (why)
		free(*state);
	return why;
}

/* Return: NULL, or what is wrong with it. */
static const char *take(struct conn *c, const struct conn_conf *conf, int fd, int memory)
{
	const char *why;
	uint8_t *state;
	uint64_t id;
	size_t len;

	if (fd < 0)
		return "its state is there, but it is not";
	if (memory < 0)
		return "which bytes were on the way is not known";
	why = check_socket(fd, conf);
	if (!why && !id_of(fd, &id))
		why = strerror(errno);
	if (!why)
		why = use_up(memory, &state, &len);
	if (why)
		return why;
	why = c->ops->restore(c, id, state, len);
	free(state);
	return why;
}

void conn_keep_find(struct conn *c, const struct conn_conf *conf)
{
	cleanup_fd int fd = -1, memory = -1;
	const char *why;

	if (!c->ops->restore || c->inherited)
		return;
	fd = port_find_kept(c->port, CONNECTION);
	memory = port_find_kept(c->port, STATE);
	if (fd < 0 && memory < 0)
		return;
	port_drop_kept(c->port, CONNECTION);
	port_drop_kept(c->port, STATE);
	why = take(c, conf, fd, memory);
	if (why) {
		log_msg(c->port->env->log, VMTAP_LOG_WARNING, c->port->name,
			"the connection that was kept cannot be used (%s) and is closed", why);
		return;
	}
	c->next_fd = fd_steal(&fd);
	c->taken = true;
}
