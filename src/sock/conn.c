/* SPDX-License-Identifier: MIT */
/* The life of a port that has one connection at a time: peers that come and go. */
#include "sock/conn.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/container.h"
#include "base/error.h"
#include "base/fd.h"
#include "sock/connkeep.h"
#include "sock/say.h"
#include "sock/sockfd.h"
#include "sock/sockkeep.h"

#define CONNECT_TIMEOUT_MS 10000
#define ACCEPT_PAUSE_NS NSEC_PER_SEC
#define LISTENER "listener"

static void listen_on(struct conn *c);
static void attempt(struct conn *c);
static void timer_fire(struct loop_timer *t);

static struct loop *loop_of(const struct conn *c)
{
	return c->port->env->loop;
}

/* ------------------------------------------------------------------ connection */

/* Who is there, for the log. */
static void peer_text(const struct conn *c, char *buf, size_t size)
{
	struct ucred cred;
	socklen_t len = sizeof(cred);
	struct sock_addr addr;
	char text[SOCK_TEXT_MAX];

	if (sock_peer(c->fd, &addr) == 0 && addr.sa.sa_family != AF_UNIX)
		snprintf(buf, size, "%s", sock_addr_text(&addr, text));
	else if (getsockopt(c->fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) == 0 && cred.pid)
		snprintf(buf, size, "process %d of user %u", (int)cred.pid, (unsigned)cred.uid);
	else
		snprintf(buf, size, "a local process");
}

/* @c->next_fd is connected. Return: 0 or -errno, and it is closed. */
static int established(struct conn *c)
{
	char who[SOCK_TEXT_MAX];
	int ret;

	c->fd = fd_steal(&c->next_fd);
	sock_tune_stream(c->fd, c->keep_alive);
	ret = c->ops->begin(c);
	if (ret < 0) {
		fd_close(&c->fd);
		return ret;
	}
	peer_text(c, who, sizeof(who));
	sock_say(c->port, &c->infos, VMTAP_LOG_INFO, "%s %s",
		 c->taken ? "went on with the connection to" : "connected to", who);
	c->told = c->taken = false;
	c->next_addr = 0;
	return 0;
}

static bool comes_again(const struct conn *c)
{
	return c->server || c->reconnect_ns;
}

static void fail(struct conn *c, const struct vmtap_error *why)
{
	struct vmtap_error err = *why;

	if (!err.remedy[0] && c->inherited)
		error_remedy(&err, "an inherited connection cannot be made again; give an address "
				   "and reconnect-ms=1000 instead");
	else if (!err.remedy[0])
		error_remedy(&err, "start the other side and this port again, or add "
				   "reconnect-ms=1000 to wait for it");
	port_fail(c->port, &err);
}

/* The next one, please; or there is none. */
static void over(struct conn *c, const struct vmtap_error *err)
{
	c->ops->end(c);
	fd_close(&c->fd);
	if (!comes_again(c)) {
		fail(c, err);
		return;
	}
	if (c->server)
		listen_on(c);
	else
		loop_timer_set(loop_of(c), &c->timer, c->reconnect_ns);
	port_set_state(c->port, VMTAP_PORT_WAITING);
}

static const char *next_text(const struct conn *c)
{
	return c->server ? "the next peer" : "the peer";
}

void conn_lost(struct conn *c, int code, const char *why)
{
	struct vmtap_error err = { 0 };

	if (comes_again(c))
		sock_say(c->port, &c->infos, code == EPROTO ? VMTAP_LOG_WARNING : VMTAP_LOG_INFO,
			 "disconnected: %s; waiting for %s", why, next_text(c));
	error_set(&err, code, c->object, "go on", "%s", why);
	over(c, &err);
}

void conn_broken(struct conn *c, const struct vmtap_error *err)
{
	if (comes_again(c))
		sock_say(c->port, &c->infos, VMTAP_LOG_WARNING,
			 "disconnected: cannot %s: %s%s%s; waiting for %s", err->action,
			 err->reason, err->remedy[0] ? "; " : "", err->remedy, next_text(c));
	over(c, err);
}

/* ------------------------------------------------------------------- listening */

static void listen_ready(struct loop_watch *w, uint32_t events)
{
	struct conn *c = container_of(w, struct conn, watch);
	int fd = accept4(c->listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0 && errno != EMFILE && errno != ENFILE && errno != ENOBUFS && errno != ENOMEM)
		return; /* it went before we came */
	loop_del(loop_of(c), &c->watch);
	if (fd < 0) {
		sock_say(c->port, &c->infos, VMTAP_LOG_WARNING, "cannot accept a connection: %s",
			 strerror(errno));
		loop_timer_set(loop_of(c), &c->timer, c->pause_ns);
		return;
	}
	c->next_fd = fd;
	if (established(c) < 0)
		loop_timer_set(loop_of(c), &c->timer, c->pause_ns);
}

static void listen_on(struct conn *c)
{
	c->watch.ready = listen_ready;
	/* without memory for a watch, or descriptors for a client: later */
	if (loop_add(loop_of(c), &c->watch, c->listen_fd, EPOLLIN) < 0)
		loop_timer_set(loop_of(c), &c->timer, c->pause_ns);
}

/* ------------------------------------------------------------------ connecting */

static void connect_failed(struct conn *c, int code)
{
	char text[SOCK_TEXT_MAX];

	fd_close(&c->next_fd);
	c->connecting = false;
	if (++c->next_addr < c->addrs.cnt) {
		attempt(c);
		return;
	}
	sock_addr_text(&c->addrs.addr[c->next_addr - 1], text);
	/* said once, however long it takes */
	log_msg(c->port->env->log, c->told ? VMTAP_LOG_DEBUG : VMTAP_LOG_INFO, c->port->name,
		"waiting for %s: %s; trying every %llu ms", text, strerror(code),
		(unsigned long long)(c->reconnect_ns / NSEC_PER_MSEC));
	c->told = true;
	c->next_addr = 0;
	loop_timer_set(loop_of(c), &c->timer, c->reconnect_ns);
}

static void connect_ready(struct loop_watch *w, uint32_t events)
{
	struct conn *c = container_of(w, struct conn, watch);
	int ret = sock_connect_finish(c->next_fd);

	loop_timer_del(loop_of(c), &c->timer);
	loop_del(loop_of(c), &c->watch);
	c->connecting = false;
	if (ret == 0)
		ret = established(c);
	if (ret < 0)
		connect_failed(c, -ret);
}

/* Try one address; the rest follows from what becomes of it. */
static void attempt(struct conn *c)
{
	int ret = sock_connect_start(&c->addrs.addr[c->next_addr], c->mptcp, &c->connecting);

	if (ret >= 0) {
		c->next_fd = ret;
		c->watch.ready = connect_ready;
		ret = c->connecting ? loop_add(loop_of(c), &c->watch, c->next_fd, EPOLLOUT)
				    : established(c);
	}
	if (ret < 0)
		connect_failed(c, -ret);
	else if (c->connecting)
		loop_timer_set(loop_of(c), &c->timer, c->timeout_ns);
}

static void timer_fire(struct loop_timer *t)
{
	struct conn *c = container_of(t, struct conn, timer);

	if (c->server) {
		listen_on(c);
	} else if (c->connecting) {
		loop_del(loop_of(c), &c->watch);
		connect_failed(c, ETIMEDOUT);
	} else {
		attempt(c);
	}
}

/* ------------------------------------------------------------- beginning and end */

void conn_init(struct conn *c, const struct conn_ops *ops, struct port *port, const char *object)
{
	*c = (struct conn) {
		.ops = ops,
		.port = port,
		.fd = -1,
		.timeout_ns = CONNECT_TIMEOUT_MS * NSEC_PER_MSEC,
		.pause_ns = ACCEPT_PAUSE_NS,
		.listen_fd = -1,
		.next_fd = -1,
		.watch.fd = -1,
		.timer.fire = timer_fire,
	};
	snprintf(c->object, sizeof(c->object), "%s", object);
}

static const struct sock_want *want_fd(const struct conn_conf *conf)
{
	static const struct sock_want wants[] = {
		{ .type = SOCK_STREAM, .role = SOCK_CONNECTED },
		{ .type = SOCK_STREAM, .role = SOCK_LISTENING },
		{ .type = SOCK_STREAM, .role = SOCK_CONNECTED, .unix_only = true },
		{ .type = SOCK_STREAM, .role = SOCK_LISTENING, .unix_only = true },
	};

	return &wants[2 * conf->unix_only + conf->server];
}

/* The socket that an earlier run left, where who connects waits, or a new one. */
static int open_listener(struct conn *c, const struct conn_conf *conf, struct vmtap_error *err)
{
	const struct sock_listen how = { .spec = &conf->spec,
					 .addrs = &conf->addrs,
					 .mode = conf->mode };
	const bool is_unix = conf->spec.kind == SOCK_KIND_UNIX;
	const struct sock_addr *addr = &conf->addrs.addr[0];
	int fd = -ENOENT;

	if (is_unix)
		fd = sock_keep_find(c->port, LISTENER, SOCK_STREAM, addr, &c->file);
	if (fd >= 0 && c->ops->restore && !c->taken)
		log_msg(c->port->env->log, VMTAP_LOG_INFO, c->port->name,
			"the run before left no connection: it had none, or did not end in order; who was "
			"connected has to connect again");
	if (fd < 0)
		fd = sock_listen(&how, &c->file, c->object, err);
	c->kept = fd >= 0 && is_unix && sock_keep(c->port, LISTENER, fd, addr);
	return fd;
}

int conn_open(struct conn *c, const struct conn_conf *conf, struct vmtap_error *err)
{
	int *fd = conf->server ? &c->listen_fd : &c->next_fd;

	c->server = conf->server;
	c->keep_alive = conf->spec.keep_alive;
	c->mptcp = conf->spec.mptcp;
	c->reconnect_ns = conf->reconnect_ns;
	c->addrs = conf->addrs;
	c->inherited = conf->spec.kind == SOCK_KIND_FD;
	conn_keep_find(c, conf);
	if (c->inherited)
		*fd = sock_take_fd(c->port->env, conf->spec.fd, want_fd(conf), c->object, err);
	else if (c->server)
		*fd = open_listener(c, conf, err);
	else if (!c->reconnect_ns && !c->taken)
		*fd = sock_connect(&c->addrs, c->mptcp, CONNECT_TIMEOUT_MS, c->object, err);
	else
		return 0; /* it begins when the port starts */
	return *fd < 0 ? *fd : 0;
}

int conn_start(struct conn *c, struct vmtap_error *err)
{
	int ret = c->next_fd >= 0 ? established(c) : -ENOTCONN;

	if (ret == 0)
		return 0;
	if (!comes_again(c))
		return error_errno(err, -ret, c->object, "watch its connection");
	if (c->server)
		listen_on(c);
	else
		attempt(c);
	return 0;
}

void conn_close(struct conn *c)
{
	loop_timer_del(loop_of(c), &c->timer);
	loop_del(loop_of(c), &c->watch);
	conn_keep_leave(c);
	if (c->fd >= 0)
		c->ops->end(c);
	if (c->kept)
		sock_keep_end(c->port, LISTENER, &c->file);
	sockfile_release(&c->file);
	fd_close(&c->listen_fd);
	fd_close(&c->next_fd);
	fd_close(&c->fd);
}

/* ---------------------------------------------------------------------- questions */

static int check_connect(const struct conn_conf *conf, const char *object, struct vmtap_error *err)
{
	const struct sock_addr *addr = &conf->addrs.addr[0];
	char text[SOCK_TEXT_MAX];
	int ret;

	if (!sock_addr_is_file(addr) || conf->reconnect_ns)
		return 0;
	ret = sockfile_probe(addr->un.sun_path);
	if (ret == SOCKFILE_LIVE)
		return 0;
	if (ret >= 0)
		ret = ret == SOCKFILE_ABSENT  ? -ENOENT
		      : ret == SOCKFILE_STALE ? -ECONNREFUSED
					      : -ENOTSOCK;
	sock_connect_error(-ret, sock_addr_text(addr, text), object, err);
	return ret;
}

int conn_check(const struct port_env *env, const struct conn_conf *conf, const char *object,
	       struct vmtap_error *err)
{
	const struct sock_listen how = { .spec = &conf->spec, .addrs = &conf->addrs };
	struct sockfile file = { 0 };
	int fd;

	if (conf->spec.kind == SOCK_KIND_FD)
		return sock_check_fd(env, conf->spec.fd, want_fd(conf), object, err);
	if (!conf->server)
		return check_connect(conf, object, err);
	if (conf->spec.kind == SOCK_KIND_UNIX)
		return sock_check_unix(&conf->addrs.addr[0], object, err);
	fd = sock_listen(&how, &file, object, err);
	if (fd < 0)
		return fd;
	fd_close(&fd);
	return 0;
}

static const char *state_text(const struct conn *c)
{
	switch (c->port->state) {
	case VMTAP_PORT_UP:
		return "connected";
	case VMTAP_PORT_WAITING:
		return c->fd >= 0 || (c->next_fd >= 0 && !c->connecting) ? "connected" : "waiting";
	case VMTAP_PORT_BROKEN:
		return "broken";
	default:
		return "closed";
	}
}

int conn_describe(const struct conn *c, char *buf, size_t size)
{
	const char *server = c->server ? "server=on," : "";
	char text[SOCK_TEXT_MAX] = "fd=inherited";
	struct sock_addr local;

	/* where it listens says more than what was asked for, as with port=0 */
	if (c->addrs.cnt && c->server && !c->file.path && sock_local(c->listen_fd, &local) == 0)
		sock_addr_keys(&local, text);
	else if (c->addrs.cnt)
		sock_addr_keys(&c->addrs.addr[0], text);
	return snprintf(buf, size, "%s%s (%s)", server, text, state_text(c));
}

int conn_get_fd(const struct conn *c)
{
	return c->fd >= 0 ? c->fd : c->next_fd >= 0 ? c->next_fd : c->listen_fd;
}
