/* SPDX-License-Identifier: MIT */
/*
 * The `stream` port: QEMU's `-netdev stream`, frames over a connected socket.
 *
 * Peers come and go as sock/conn.h has it; the data path is in stream-io.c,
 * which says conn_lost() when a connection is over.
 */
#include "port/sock/stream.h"

#include <errno.h>
#include <stdlib.h>

#include "base/container.h"
#include "base/error.h"
#include "conf/conf.h"
#include "port/sock/stream-priv.h"

/* ------------------------------------------------------------------ connection */

static int stream_begin(struct conn *c)
{
	struct stream *s = container_of(c, struct stream, conn);
	int ret = stream_io_begin(s);

	if (ret == 0)
		port_set_state(&s->port, VMTAP_PORT_UP);
	return ret;
}

static void stream_end(struct conn *c)
{
	stream_io_end(container_of(c, struct stream, conn));
}

static ssize_t stream_save(struct conn *c, uint64_t id, uint8_t **state)
{
	return stream_io_save(container_of(c, struct stream, conn), id, state);
}

static const char *stream_restore(struct conn *c, uint64_t id, const uint8_t *state, size_t len)
{
	return stream_io_restore(container_of(c, struct stream, conn), id, state, len);
}

static const struct conn_ops stream_conn_ops = {
	.begin = stream_begin,
	.end = stream_end,
	.save = stream_save,
	.restore = stream_restore,
};

/* -------------------------------------------------------------- what a port is */

static int stream_start(struct port *p, struct vmtap_error *err)
{
	return conn_start(&stream_of(p)->conn, err);
}

static int stream_describe(const struct port *p, char *buf, size_t size)
{
	return conn_describe(&stream_of(p)->conn, buf, size);
}

static int stream_get_fd(const struct port *p, unsigned queue)
{
	return queue ? -1 : conn_get_fd(&stream_of(p)->conn);
}

static void stream_close(struct port *p)
{
	conn_close(&stream_of(p)->conn);
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

static struct port *stream_open(const struct port_env *env, const char *name,
				const struct conf *conf, struct vmtap_error *err)
{
	struct conn_conf c;
	struct stream *s;

	if (stream_conf_read(&c, conf, err) < 0)
		return NULL;
	s = calloc(1, sizeof(*s));
	if (!s || port_init(&s->port, &stream_ops, env, name) < 0) {
		free(s);
		error_errno(err, ENOMEM, conf_object(conf), "open the port");
		return NULL;
	}
	conn_init(&s->conn, &stream_conn_ops, &s->port, conf_object(conf));
	if (stream_io_init(s) < 0)
		error_errno(err, ENOMEM, s->conn.object, "open the port");
	else if (conn_open(&s->conn, &c, err) == 0)
		return &s->port;
	port_free(&s->port);
	return NULL;
}

static int stream_check(const struct port_env *env, const struct conf *conf,
			struct vmtap_error *err)
{
	struct conn_conf c;
	int ret = stream_conf_read(&c, conf, err);

	return ret < 0 ? ret : conn_check(env, &c, conf_object(conf), err);
}

const struct port_type stream_type = {
	.schema = &stream_schema,
	.summary = "frames over a connected unix or TCP socket, as QEMU's -netdev stream",
	.help = stream_help,
	.open = stream_open,
	.check = stream_check,
};
