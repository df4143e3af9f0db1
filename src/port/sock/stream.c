/* SPDX-License-Identifier: MIT */
/*
 * The `stream` port: QEMU's `-netdev stream`, frames over a connected socket.
 *
 * Model
 *   A listening port serves one peer after the other: while one is connected
 *   the listening socket is not watched, and others wait in its queue. A
 *   connecting port has its connection from the start, or, with reconnect-ms,
 *   tries until there is one, each address in turn. The data path is in
 *   stream-io.c; it says stream_lost() when a connection is over.
 *
 *     listening:   WAITING --accept--> UP --lost--> WAITING
 *     connecting:  UP --lost--> BROKEN
 *     with reconnect-ms:  WAITING --connect--> UP --lost--> WAITING, timer, connect
 *
 * What the peer may do wrong
 *   Come and go as often as it likes: lines in the log are limited, a failed
 *   accept() for want of descriptors is tried again a second later, and a
 *   connection attempt that nobody answers is given up after ten.
 */
#include "port/sock/stream.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/container.h"
#include "base/error.h"
#include "base/fd.h"
#include "conf/conf.h"
#include "sock/say.h"
#include "sock/sockfd.h"
#include "port/sock/stream-priv.h"

#define CONNECT_TIMEOUT_MS 10000
#define ACCEPT_PAUSE_NS NSEC_PER_SEC

static void listen_on(struct stream *s);
static void attempt(struct stream *s);
static void timer_fire(struct loop_timer *t);

/* ------------------------------------------------------------------ connection */

/* Who is there, for the log. */
static void peer_text(const struct stream *s, char *buf, size_t size)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);
	struct sock_addr addr;
	char text[SOCK_TEXT_MAX];

	if (sock_peer(s->fd, &addr) == 0 && addr.sa.sa_family != AF_UNIX)
		snprintf(buf, size, "%s", sock_addr_text(&addr, text));
	else if (getsockopt(s->fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0 && cred.pid)
		snprintf(buf, size, "process %d of user %u", (int)cred.pid, (unsigned)cred.uid);
	else
		snprintf(buf, size, "a local process");
}

/* @s->fd is connected. Return: 0 or -errno, and it is closed. */
static int established(struct stream *s)
{
	char who[SOCK_TEXT_MAX];
	int ret;

	sock_tune_stream(s->fd, s->keep_alive);
	ret = stream_io_begin(s);
	if (ret < 0) {
		fd_close(&s->fd);
		return ret;
	}
	peer_text(s, who, sizeof(who));
	sock_say(&s->port, &s->infos, VMTAP_LOG_INFO, "connected to %s", who);
	s->told = false;
	s->next_addr = 0;
	port_set_state(&s->port, VMTAP_PORT_UP);
	return 0;
}

static void fail(struct stream *s, int code, const char *why)
{
	struct vmtap_error err;

	error_set(&err, code, s->object, "go on", "%s", why);
	if (s->inherited)
		error_remedy(&err, "an inherited connection cannot be made again; give an address "
				   "and reconnect-ms=1000 instead");
	else
		error_remedy(&err, "start the other side and this port again, or add "
				   "reconnect-ms=1000 to wait for it");
	port_fail(&s->port, &err);
}

void stream_lost(struct stream *s, int code, const char *why)
{
	const bool again = s->server || s->reconnect_ns;

	if (again)
		sock_say(&s->port, &s->infos, code == EPROTO ? VMTAP_LOG_WARNING : VMTAP_LOG_INFO,
			 "disconnected: %s; waiting for %s", why,
			 s->server ? "the next peer" : "the peer");
	stream_io_end(s);
	fd_close(&s->fd);
	if (!again) {
		fail(s, code, why);
		return;
	}
	if (s->server)
		listen_on(s);
	else
		loop_timer_set(s->port.env->loop, &s->timer, s->reconnect_ns);
	port_set_state(&s->port, VMTAP_PORT_WAITING);
}

/* ------------------------------------------------------------------- listening */

static void listen_on(struct stream *s)
{
	/* without memory for a watch, or descriptors for a client: later */
	if (loop_add(s->port.env->loop, &s->listen_watch, s->listen_fd, EPOLLIN) < 0)
		loop_timer_set(s->port.env->loop, &s->timer, ACCEPT_PAUSE_NS);
}

static void listen_ready(struct loop_watch *w, uint32_t events)
{
	struct stream *s = container_of(w, struct stream, listen_watch);
	struct loop *loop = s->port.env->loop;
	int fd = accept4(s->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0 && errno != EMFILE && errno != ENFILE && errno != ENOBUFS && errno != ENOMEM)
		return; /* it went before we came */
	loop_del(loop, &s->listen_watch);
	if (fd < 0) {
		sock_say(&s->port, &s->infos, VMTAP_LOG_WARNING, "cannot accept a connection: %s",
			 strerror(errno));
		loop_timer_set(loop, &s->timer, ACCEPT_PAUSE_NS);
		return;
	}
	s->fd = fd;
	if (established(s) < 0)
		loop_timer_set(loop, &s->timer, ACCEPT_PAUSE_NS);
}

/* ------------------------------------------------------------------ connecting */

static void connect_failed(struct stream *s, int code)
{
	char text[SOCK_TEXT_MAX];

	fd_close(&s->fd);
	s->connecting = false;
	if (++s->next_addr < s->addrs.cnt) {
		attempt(s);
		return;
	}
	sock_addr_text(&s->addrs.addr[s->next_addr - 1], text);
	/* said once, however long it takes */
	log_msg(s->port.env->log, s->told ? VMTAP_LOG_DEBUG : VMTAP_LOG_INFO, s->port.name,
		"waiting for %s: %s; trying every %llu ms", text, strerror(code),
		(unsigned long long)(s->reconnect_ns / NSEC_PER_MSEC));
	s->told = true;
	s->next_addr = 0;
	loop_timer_set(s->port.env->loop, &s->timer, s->reconnect_ns);
}

static void connect_ready(struct loop_watch *w, uint32_t events)
{
	struct stream *s = container_of(w, struct stream, watch);
	int ret = sock_connect_finish(s->fd);

	loop_timer_del(s->port.env->loop, &s->timer);
	loop_del(s->port.env->loop, &s->watch);
	s->connecting = false;
	if (ret == 0)
		ret = established(s);
	if (ret < 0)
		connect_failed(s, -ret);
}

/* Try one address; the rest follows from what becomes of it. */
static void attempt(struct stream *s)
{
	struct loop *loop = s->port.env->loop;
	int ret;

	ret = sock_connect_start(&s->addrs.addr[s->next_addr], s->mptcp, &s->connecting);
	if (ret >= 0) {
		s->fd = ret;
		s->watch.ready = connect_ready;
		ret = s->connecting ? loop_add(loop, &s->watch, s->fd, EPOLLOUT) : established(s);
	}
	if (ret < 0)
		connect_failed(s, -ret);
	else if (s->connecting)
		loop_timer_set(loop, &s->timer, CONNECT_TIMEOUT_MS * NSEC_PER_MSEC);
}

static void timer_fire(struct loop_timer *t)
{
	struct stream *s = container_of(t, struct stream, timer);

	if (s->server) {
		listen_on(s);
	} else if (s->connecting) {
		loop_del(s->port.env->loop, &s->watch);
		connect_failed(s, ETIMEDOUT);
	} else {
		attempt(s);
	}
}

/* -------------------------------------------------------------- what a port is */

static int stream_start(struct port *p, struct vmtap_error *err)
{
	struct stream *s = stream_of(p);

	if (s->server) {
		listen_on(s);
	} else if (s->fd >= 0) {
		int ret = established(s);

		if (ret < 0)
			return error_errno(err, -ret, s->object, "watch its connection");
	} else {
		attempt(s);
	}
	return 0;
}

static const char *state_text(const struct stream *s)
{
	switch (s->port.state) {
	case VMTAP_PORT_UP:
		return "connected";
	case VMTAP_PORT_WAITING:
		return s->fd >= 0 && !s->connecting ? "connected" : "waiting";
	case VMTAP_PORT_BROKEN:
		return "broken";
	default:
		return "closed";
	}
}

static int stream_describe(const struct port *p, char *buf, size_t size)
{
	const struct stream *s = stream_of(p);
	const char *server = s->server ? "server=on," : "";
	char text[SOCK_TEXT_MAX] = "fd=inherited";
	struct sock_addr local;

	/* where it listens says more than what was asked for, as with port=0 */
	if (s->addrs.cnt && s->server && !s->file.path && sock_local(s->listen_fd, &local) == 0)
		sock_addr_keys(&local, text);
	else if (s->addrs.cnt)
		sock_addr_keys(&s->addrs.addr[0], text);
	return snprintf(buf, size, "%s%s (%s)", server, text, state_text(s));
}

static int stream_get_fd(const struct port *p, unsigned queue)
{
	const struct stream *s = stream_of(p);

	if (queue)
		return -1;
	return s->fd >= 0 ? s->fd : s->listen_fd;
}

static void stream_close(struct port *p)
{
	struct stream *s = stream_of(p);
	struct loop *loop = p->env->loop;

	loop_timer_del(loop, &s->timer);
	loop_del(loop, &s->listen_watch);
	stream_io_end(s);
	sockfile_release(&s->file);
	fd_close(&s->listen_fd);
	fd_close(&s->fd);
}

static void stream_free(struct port *p)
{
	struct stream *s = stream_of(p);

	stream_io_fini(s);
	free(s);
}

static const struct port_ops stream_ops = {
	.type = "stream",
	.start = stream_start,
	.send = stream_send,
	.resume = stream_resume,
	.set_poll = stream_set_poll,
	.describe = stream_describe,
	.get_fd = stream_get_fd,
	.close = stream_close,
	.free = stream_free,
};

/* --------------------------------------------------------------------- opening */

static const struct sock_want *want_fd(const struct stream_conf *c)
{
	static const struct sock_want wants[] = {
		{ SOCK_STREAM, SOCK_CONNECTED },
		{ SOCK_STREAM, SOCK_LISTENING },
	};

	return &wants[c->server];
}

static int open_sockets(struct stream *s, const struct stream_conf *c, struct vmtap_error *err)
{
	const struct sock_listen how = { .spec = &c->spec, .addrs = &c->addrs, .mode = c->mode };

	if (c->spec.kind == SOCK_KIND_FD) {
		int *fd = s->server ? &s->listen_fd : &s->fd;

		s->inherited = true;
		*fd = sock_take_fd(s->port.env, c->spec.fd, want_fd(c), s->object, err);
		return *fd < 0 ? *fd : 0;
	}
	if (s->server) {
		s->listen_fd = sock_listen(&how, &s->file, s->object, err);
		return s->listen_fd < 0 ? s->listen_fd : 0;
	}
	if (s->reconnect_ns)
		return 0; /* it begins when the port starts */
	s->fd = sock_connect(&c->addrs, c->spec.mptcp, CONNECT_TIMEOUT_MS, s->object, err);
	return s->fd < 0 ? s->fd : 0;
}

static struct port *stream_open(const struct port_env *env, const char *name,
				const struct conf *conf, struct vmtap_error *err)
{
	struct stream_conf c;
	struct stream *s;

	if (stream_conf_read(&c, conf, err) < 0)
		return NULL;
	s = calloc(1, sizeof(*s));
	if (!s || port_init(&s->port, &stream_ops, env, name) < 0) {
		free(s);
		error_errno(err, ENOMEM, conf_object(conf), "open the port");
		return NULL;
	}
	snprintf(s->object, sizeof(s->object), "%s", conf_object(conf));
	s->fd = -1;
	s->listen_fd = -1;
	s->listen_watch = (struct loop_watch) { .ready = listen_ready, .fd = -1 };
	s->timer.fire = timer_fire;
	s->server = c.server;
	s->keep_alive = c.spec.keep_alive;
	s->mptcp = c.spec.mptcp;
	s->reconnect_ns = c.reconnect_ns;
	s->addrs = c.addrs;
	if (stream_io_init(s) < 0)
		error_errno(err, ENOMEM, s->object, "open the port");
	else if (open_sockets(s, &c, err) == 0)
		return &s->port;
	port_free(&s->port);
	return NULL;
}

/* ---------------------------------------------------------------------- checking */

static int check_connect(const struct stream_conf *c, const char *object, struct vmtap_error *err)
{
	const struct sock_addr *addr = &c->addrs.addr[0];
	char text[SOCK_TEXT_MAX];
	int ret;

	if (!sock_addr_is_file(addr) || c->reconnect_ns)
		return 0;
	ret = sockfile_probe(addr);
	if (ret == SOCKFILE_LIVE)
		return 0;
	if (ret >= 0)
		ret = ret == SOCKFILE_ABSENT  ? -ENOENT
		      : ret == SOCKFILE_STALE ? -ECONNREFUSED
					      : -ENOTSOCK;
	sock_connect_error(-ret, sock_addr_text(addr, text), object, err);
	return ret;
}

static int stream_check(const struct port_env *env, const struct conf *conf,
			struct vmtap_error *err)
{
	const char *object = conf_object(conf);
	struct sockfile file = { 0 };
	struct stream_conf c;
	int ret = stream_conf_read(&c, conf, err);

	if (ret < 0)
		return ret;
	if (c.spec.kind == SOCK_KIND_FD)
		return sock_check_fd(c.spec.fd, want_fd(&c), object, err);
	if (!c.server)
		return check_connect(&c, object, err);
	if (c.spec.kind == SOCK_KIND_UNIX)
		return sockfile_check(&c.addrs.addr[0], object, err);
	ret = sock_listen(&(struct sock_listen) { .spec = &c.spec, .addrs = &c.addrs }, &file,
			  object, err);
	if (ret < 0)
		return ret;
	fd_close(&ret);
	return 0;
}

const struct port_type stream_type = {
	.schema = &stream_schema,
	.summary = "frames over a connected unix or TCP socket, as QEMU's -netdev stream",
	.help = stream_help,
	.open = stream_open,
	.check = stream_check,
};
