/* SPDX-License-Identifier: MIT */
/* The options of ports that have one connection at a time. */
#include "sock/connconf.h"

#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/sockfile.h"

static int read_reconnect(struct conn_conf *c, const struct conf *conf, struct vmtap_error *err)
{
	static const char *const both[] = { "reconnect", NULL };
	static const char *const keys[] = { "reconnect-ms", "reconnect", NULL };

	if (conf_has(conf, "reconnect-ms") &&
	    conf_exclude(conf, "not together with reconnect-ms=", both, err) < 0)
		return -EINVAL;
	if (c->server && conf_exclude(conf, "not together with server=on", keys, err) < 0)
		return -EINVAL;
	if (c->spec.kind == SOCK_KIND_FD &&
	    conf_exclude(conf, "not for an inherited connection, which cannot be made again", keys,
			 err) < 0)
		return -EINVAL;
	c->reconnect_ns =
		(uint64_t)conf_int(conf, "reconnect-ms", conf_int(conf, "reconnect", 0) * 1000) *
		NSEC_PER_MSEC;
	return 0;
}

static int read_mode(struct conn_conf *c, const struct conf *conf, struct vmtap_error *err)
{
	static const char *const file[] = { "mode", NULL };
	const char *mode = conf_str(conf, "mode", NULL);

	if (!c->server && conf_exclude(conf, "only with server=on", file, err) < 0)
		return -EINVAL;
	if ((c->spec.kind != SOCK_KIND_UNIX || c->spec.abstract) &&
	    conf_exclude(conf, "only for the file of a unix socket", file, err) < 0)
		return -EINVAL;
	c->mode = SOCKFILE_NO_MODE;
	return mode ? sockfile_mode(mode, &c->mode, conf_object(conf), err) : 0;
}

int conn_conf_finish(struct conn_conf *c, const struct conf *conf, struct vmtap_error *err)
{
	int ret = read_mode(c, conf, err);

	if (ret == 0)
		ret = read_reconnect(c, conf, err);
	if (ret < 0 || c->spec.kind == SOCK_KIND_FD)
		return ret;
	return sock_resolve(&c->spec, SOCK_STREAM, c->server, &c->addrs, conf_object(conf), err);
}

static int read_unix(struct conn_conf *c, const struct conf *conf, struct vmtap_error *err)
{
	static const char *const fd[] = { "fd", NULL };

	if (conf_has(conf, "path")) {
		sock_spec_path(&c->spec, conf_str(conf, "path", ""));
		return conf_exclude(conf, "not together with path=", fd, err);
	}
	if (conf_has(conf, "fd")) {
		c->spec.kind = SOCK_KIND_FD;
		c->spec.fd = conf_str(conf, "fd", "");
		return 0;
	}
	error_set(err, EINVAL, conf_object(conf), "read its options", "no address is given");
	error_remedy(err, "add path=PATH for a unix socket or fd=FD for an inherited one");
	return -EINVAL;
}

int conn_conf_unix(struct conn_conf *c, const struct conf *conf, struct vmtap_error *err)
{
	int ret;

	memset(c, 0, sizeof(*c));
	c->server = conf_bool(conf, "server", false);
	c->unix_only = true;
	ret = read_unix(c, conf, err);
	return ret < 0 ? ret : conn_conf_finish(c, conf, err);
}
