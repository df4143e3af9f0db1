/* SPDX-License-Identifier: MIT */
/*
 * The `dgram` port: QEMU's `-netdev dgram`, one frame a datagram.
 *
 * There is no connection, so the port is up from its start on, whether the
 * other side is there or not: dgram-open.c makes the sockets, dgram-io.c moves
 * the frames, dgram-peer.c finds the way to a unix peer that comes and goes.
 */
#include "port/sock/dgram.h"

#include <errno.h>
#include <linux/sock_diag.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "conf/conf.h"
#include "port/sock/dgram-priv.h"
#include "sock/sockfd.h"

static int dgram_start(struct port *p, struct vmtap_error *err)
{
	struct dgram *d = dgram_of(p);
	int ret = dgram_io_start(d);

	if (ret < 0)
		return error_errno(err, -ret, d->object, "watch its socket");
	if (d->kind == DGRAM_UNIX && dgram_peer_find(d) < 0 && d->sockets.found)
		dgram_peer_forget(d);
	port_set_state(p, VMTAP_PORT_UP);
	return 0;
}

static int dgram_describe(const struct port *p, char *buf, size_t size)
{
	const struct dgram *d = dgram_of(p);
	char local[SOCK_TEXT_MAX], remote[SOCK_TEXT_MAX];

	switch (d->kind) {
	case DGRAM_FD:
		return snprintf(buf, size, "fd=inherited");
	case DGRAM_MULTICAST:
		return snprintf(buf, size, "remote=%s (multicast)",
				sock_addr_text(&d->sockets.remote, remote));
	default:
		return snprintf(buf, size, "local=%s,remote=%s",
				sock_addr_text(&d->sockets.local, local),
				sock_addr_text(&d->sockets.remote, remote));
	}
}

static int dgram_get_fd(const struct port *p, unsigned queue)
{
	return queue ? -1 : dgram_of(p)->sockets.fd;
}

/* The socket's own count, less what it was when the port had it; it wraps. */
static uint64_t dgram_kernel_drops(struct port *p)
{
	struct dgram *d = dgram_of(p);
	uint32_t info[SK_MEMINFO_VARS] = { 0 };
	socklen_t len = sizeof(info);

	if (d->sockets.fd >= 0 &&
	    getsockopt(d->sockets.fd, SOL_SOCKET, SO_MEMINFO, info, &len) == 0) {
		d->dropped += (uint32_t)(info[SK_MEMINFO_DROPS] - d->drops_seen);
		d->drops_seen = info[SK_MEMINFO_DROPS];
	}
	return d->dropped;
}

static void dgram_close(struct port *p)
{
	struct dgram *d = dgram_of(p);

	dgram_kernel_drops(p); /* for the last time */
	dgram_io_stop(d);
	dgram_peer_fini(d);
	dgram_sockets_end(&d->sockets, p);
	dgram_sockets_close(&d->sockets);
	if (d->rx.next < d->rx.cnt)
		port_drop_rx(p, VMTAP_DROP_PURGED, d->rx.cnt - d->rx.next);
	d->rx.next = d->rx.cnt;
}

static void dgram_free(struct port *p)
{
	struct dgram *d = dgram_of(p);

	dgram_io_fini(d);
	free(d);
}

static const struct port_ops dgram_ops = {
	.type = "dgram",
	.start = dgram_start,
	.send = dgram_send,
	.resume = dgram_resume,
	.set_poll = dgram_set_poll,
	.describe = dgram_describe,
	.kernel_drops = dgram_kernel_drops,
	.get_fd = dgram_get_fd,
	.close = dgram_close,
	.free = dgram_free,
};

static struct port *dgram_open(const struct port_env *env, const char *name,
			       const struct conf *conf, struct vmtap_error *err)
{
	struct dgram_conf c;
	struct dgram *d;

	if (dgram_conf_read(&c, conf, err) < 0)
		return NULL;
	d = calloc(1, sizeof(*d));
	if (!d || port_init(&d->port, &dgram_ops, env, name) < 0) {
		free(d);
		error_errno(err, ENOMEM, conf_object(conf), "open the port");
		return NULL;
	}
	snprintf(d->object, sizeof(d->object), "%s", conf_object(conf));
	d->kind = c.kind;
	d->any_source = c.any_source;
	d->sockets.fd = -1;
	d->sockets.tx_fd = -1;
	dgram_peer_init(d);
	if (dgram_io_init(d) < 0) {
		error_errno(err, ENOMEM, d->object, "open the port");
	} else if (dgram_sockets_open(&d->sockets, env, &d->port, &c, d->object, err) == 0) {
		dgram_peer_init(d);
		dgram_kernel_drops(&d->port);
		d->dropped = 0; /* an inherited socket has counted already */
		return &d->port;
	}
	port_free(&d->port);
	return NULL;
}

static int dgram_check(const struct port_env *env, const struct conf *conf, struct vmtap_error *err)
{
	static const struct sock_want connected = { .type = SOCK_DGRAM, .role = SOCK_CONNECTED };
	static const struct sock_want bound = { .type = SOCK_DGRAM, .role = SOCK_BOUND };
	const char *object = conf_object(conf);
	struct dgram_sockets sockets;
	struct dgram_conf c;
	int ret = dgram_conf_read(&c, conf, err);

	if (ret < 0)
		return ret;
	if (c.fd)
		return sock_check_fd(env, c.fd, c.kind == DGRAM_FD ? &connected : &bound, object,
				     err);
	if (c.kind == DGRAM_UNIX)
		return sock_check_unix(&c.local.addr[0], object, err);
	ret = dgram_sockets_open(&sockets, env, NULL, &c, object, err);
	if (ret == 0)
		dgram_sockets_close(&sockets);
	return ret;
}

const struct port_type dgram_type = {
	.schema = &dgram_schema,
	.summary =
		"one frame a datagram over unix sockets, UDP or multicast, as QEMU's -netdev dgram",
	.help = dgram_help,
	.open = dgram_open,
	.check = dgram_check,
};
