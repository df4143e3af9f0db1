/* SPDX-License-Identifier: MIT */
/* Making the sockets of a `dgram` port. */
#include <errno.h>
#include <string.h>

#include "base/error.h"
#include "base/fd.h"
#include "port/sock/dgram-priv.h"
#include "sock/sockfd.h"
#include "sock/sockkeep.h"

#define FLAGS (SOCK_NONBLOCK | SOCK_CLOEXEC)
/* Room for what comes while others have their turn; the kernel may grant less. */
#define RCVBUF (1 << 20)
#define BOUND "bound"

static int make(int family, const char *object, struct vmtap_error *err)
{
	const int room = RCVBUF, one = 1;
	int fd = socket(family, SOCK_DGRAM | FLAGS, 0);

	if (fd < 0)
		return error_errno(err, errno, object, "make a socket");
	if (family != AF_UNIX)
		setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room));
	if (family == AF_INET6)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	return fd;
}

static int bind_error(int code, const struct sock_addr *addr, const char *object,
		      struct vmtap_error *err)
{
	char text[SOCK_TEXT_MAX];

	error_set(err, code, object, "receive", "%s: %s", sock_addr_text(addr, text),
		  strerror(code));
	if (code == EADDRINUSE)
		error_remedy(err, "choose another port, or end the process that has it (find it "
				  "with: ss -lunp)");
	else if (code == EADDRNOTAVAIL)
		error_remedy(err, "this host has no such address; see: ip address");
	else if (code == EACCES)
		error_remedy(err, "ports below 1024 are for root; choose one above");
	return -code;
}

static int bind_unix(struct dgram_sockets *s, const struct dgram_conf *c, const char *object,
		     struct vmtap_error *err)
{
	s->fd = make(AF_UNIX, object, err);
	return s->fd < 0 ? s->fd : sock_bind_unix(&s->file, s->fd, &s->local, c->mode, object, err);
}

/* The socket that an earlier run left, where datagrams wait, or a new one. */
static int open_unix(struct dgram_sockets *s, const struct port *p, const struct dgram_conf *c,
		     const char *object, struct vmtap_error *err)
{
	int ret = 0;

	if (p)
		s->fd = sock_keep_find(p, BOUND, SOCK_DGRAM, &s->local, &s->file);
	s->found = s->fd >= 0;
	if (!s->found)
		ret = bind_unix(s, c, object, err);
	if (ret < 0)
		return ret;
	s->kept = p && sock_keep(p, BOUND, s->fd, &s->local);
	s->tx_fd = make(AF_UNIX, object, err);
	return s->tx_fd < 0 ? s->tx_fd : 0;
}

static int open_udp(struct dgram_sockets *s, const char *object, struct vmtap_error *err)
{
	s->fd = make(s->local.sa.sa_family, object, err);
	if (s->fd < 0)
		return s->fd;
	if (bind(s->fd, &s->local.sa, s->local.len) < 0)
		return bind_error(errno, &s->local, object, err);
	sock_local(s->fd, &s->local); /* the port that the kernel chose */
	return 0;
}

/* -------------------------------------------------------------------- multicast */

static int join_error(int code, const struct sock_addr *group, const char *object,
		      struct vmtap_error *err)
{
	char text[SOCK_TEXT_MAX];

	error_set(err, code, object, "join the group", "%s: %s", sock_addr_text(group, text),
		  strerror(code));
	if (code == ENODEV || code == ENETUNREACH || code == EADDRNOTAVAIL)
		error_remedy(err, "no interface leads there; %s",
			     group->sa.sa_family == AF_INET
				     ? "give the address of one with local=, or add a route"
				     : "name one, as in [ff02::1%eth0]:5000");
	return -code;
}

static int join4(int fd, const struct sock_addr *group, const struct sock_addr *local)
{
	struct ip_mreqn req = { .imr_multiaddr = group->in.sin_addr };

	if (local)
		req.imr_address = local->in.sin_addr;
	return setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &req, sizeof(req)) < 0 ? -errno : 0;
}

static int join6(int fd, const struct sock_addr *group)
{
	const struct ipv6_mreq req = {
		.ipv6mr_multiaddr = group->in6.sin6_addr,
		.ipv6mr_interface = group->in6.sin6_scope_id,
	};

	return setsockopt(fd, IPPROTO_IPV6, IPV6_JOIN_GROUP, &req, sizeof(req)) < 0 ? -errno : 0;
}

/* Several programs of this host may receive from a group: they share the address. */
static int open_group(struct dgram_sockets *s, const struct sock_addr *local, const char *object,
		      struct vmtap_error *err)
{
	const struct sock_addr *group = &s->remote;
	const int one = 1;
	int ret;

	s->fd = make(group->sa.sa_family, object, err);
	if (s->fd < 0)
		return s->fd;
	setsockopt(s->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(s->fd, &group->sa, group->len) < 0)
		return bind_error(errno, group, object, err);
	ret = group->sa.sa_family == AF_INET ? join4(s->fd, group, local) : join6(s->fd, group);
	return ret < 0 ? join_error(-ret, group, object, err) : 0;
}

/*
 * Frames are sent from a socket, and so a port number, of our own: by its address we know our own
 * frames when the kernel loops them back for the others on this host, all of whom receive on the
 * group's port.
 */
static int open_group_sender(struct dgram_sockets *s, const struct sock_addr *local,
			     const char *object, struct vmtap_error *err)
{
	const struct sock_addr *group = &s->remote;
	const int one = 1;
	int ret = 0;

	s->tx_fd = make(group->sa.sa_family, object, err);
	if (s->tx_fd < 0)
		return s->tx_fd;
	setsockopt(s->tx_fd, IPPROTO_IP, IP_MULTICAST_LOOP, &one, sizeof(one));
	if (group->sa.sa_family == AF_INET6)
		setsockopt(s->tx_fd, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, &one, sizeof(one));
	if (local && setsockopt(s->tx_fd, IPPROTO_IP, IP_MULTICAST_IF, &local->in.sin_addr,
				sizeof(local->in.sin_addr)) < 0)
		ret = -errno;
	if (ret == 0 && connect(s->tx_fd, &group->sa, group->len) < 0)
		ret = -errno;
	if (ret == 0)
		ret = sock_local(s->tx_fd, &s->local);
	return ret < 0 ? join_error(-ret, group, object, err) : 0;
}

static int open_multicast(struct dgram_sockets *s, const struct port_env *env,
			  const struct dgram_conf *c, const char *object, struct vmtap_error *err)
{
	static const struct sock_want want = { .type = SOCK_DGRAM, .role = SOCK_BOUND };
	const struct sock_addr *local = c->local.cnt ? &c->local.addr[0] : NULL;
	int ret;

	if (c->fd)
		ret = s->fd = sock_take_fd(env, c->fd, &want, object, err);
	else
		ret = open_group(s, local, object, err);
	return ret < 0 ? ret : open_group_sender(s, local, object, err);
}

/* ------------------------------------------------------------------------- all */

/* Errors of earlier sends mean nothing. Where they are queued, the socket is ready until somebody reads them. */
static void do_not_queue_errors(int fd)
{
	const int off = 0;

	setsockopt(fd, IPPROTO_IP, IP_RECVERR, &off, sizeof(off));
	setsockopt(fd, IPPROTO_IPV6, IPV6_RECVERR, &off, sizeof(off));
}

int dgram_sockets_open(struct dgram_sockets *s, const struct port_env *env, const struct port *p,
		       const struct dgram_conf *c, const char *object, struct vmtap_error *err)
{
	static const struct sock_want connected = { .type = SOCK_DGRAM, .role = SOCK_CONNECTED };
	int ret;

	memset(s, 0, sizeof(*s));
	s->fd = -1;
	s->tx_fd = -1;
	s->local = c->local.addr[0];
	s->remote = c->remote.addr[0];
	switch (c->kind) {
	case DGRAM_UNIX:
		ret = open_unix(s, p, c, object, err);
		break;
	case DGRAM_UDP:
		ret = open_udp(s, object, err);
		break;
	case DGRAM_MULTICAST:
		ret = open_multicast(s, env, c, object, err);
		break;
	default:
		ret = s->fd = sock_take_fd(env, c->fd, &connected, object, err);
	}
	if (ret >= 0 && c->fd && p)
		do_not_queue_errors(s->fd);
	if (ret < 0) {
		if (p)
			dgram_sockets_end(s, p);
		dgram_sockets_close(s);
	}
	return ret < 0 ? ret : 0;
}

void dgram_sockets_end(struct dgram_sockets *s, const struct port *p)
{
	if (s->kept)
		sock_keep_end(p, BOUND, &s->file);
	s->kept = false;
}

void dgram_sockets_close(struct dgram_sockets *s)
{
	sockfile_release(&s->file);
	fd_close(&s->fd);
	fd_close(&s->tx_fd);
}
