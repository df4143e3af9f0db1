/* SPDX-License-Identifier: MIT */
/* The options of the `stream` port. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "conf/conf.h"
#include "port/sock/stream-priv.h"

#define QEMU_KEY(NAME, KIND, ...)                                                     \
	{                                                                             \
		.name = "addr." NAME, .kind = KIND, .flags = CONF_HIDDEN, __VA_ARGS__ \
	}

static const struct conf_key keys[] = {
	CONN_KEY_SERVER,
	CONN_KEY_PATH,
	{
		.name = "host",
		.kind = CONF_STRING,
		.flags = CONF_EMPTY_OK,
		.def = "127.0.0.1",
		.help = "TCP: name or address; empty with server=on: every local address",
	},
	{
		.name = "port",
		.kind = CONF_STRING,
		.help = "TCP: port number or name of a service; 0 with server=on: one that is free",
	},
	CONN_KEY_FD,
	CONN_KEY_RECONNECT_MS,
	CONN_KEY_MODE,
	{
		.name = "ipv4",
		.kind = CONF_BOOL,
		.def = "on unless ipv6=on",
		.help = "TCP: use IPv4 addresses of host=",
	},
	{
		.name = "ipv6",
		.kind = CONF_BOOL,
		.def = "on unless ipv4=on",
		.help = "TCP: use IPv6 addresses of host=",
	},
	{
		.name = "to",
		.kind = CONF_INT,
		.min = 1,
		.max = 65535,
		.unit = "port number",
		.def = "only port=",
		.help = "TCP, server=on: take the first port that is free from port= up to this",
	},
	{
		.name = "keep-alive",
		.kind = CONF_BOOL,
		.def = "off",
		.help = "TCP: have the kernel probe an idle peer, so that one that vanished is noticed",
	},
	CONN_KEY_RECONNECT,
	QEMU_KEY("type", CONF_ENUM, .choices = "inet|unix|fd",
		 .help = "QEMU's spelling: which kind of address follows"),
	QEMU_KEY("path", CONF_STRING, .help = "addr.type=unix: QEMU's spelling of path="),
	QEMU_KEY("abstract", CONF_BOOL, .def = "off",
		 .help = "addr.type=unix: addr.path= is an abstract name"),
	QEMU_KEY("tight", CONF_BOOL, .def = "on",
		 .help = "addr.abstract=on: off pads the name with zeros"),
	{
		.name = "addr.host",
		.kind = CONF_STRING,
		.flags = CONF_HIDDEN | CONF_EMPTY_OK,
		.help = "addr.type=inet: QEMU's spelling of host=",
	},
	QEMU_KEY("port", CONF_STRING, .help = "addr.type=inet: QEMU's spelling of port="),
	QEMU_KEY("to", CONF_INT, .min = 1, .max = 65535,
		 .help = "addr.type=inet: QEMU's spelling of to="),
	QEMU_KEY("numeric", CONF_BOOL, .def = "off",
		 .help = "addr.type=inet: addr.host= and addr.port= are no names"),
	QEMU_KEY("ipv4", CONF_BOOL, .help = "addr.type=inet: QEMU's spelling of ipv4="),
	QEMU_KEY("ipv6", CONF_BOOL, .help = "addr.type=inet: QEMU's spelling of ipv6="),
	QEMU_KEY("keep-alive", CONF_BOOL, .def = "off",
		 .help = "addr.type=inet: QEMU's spelling of keep-alive="),
	QEMU_KEY("mptcp", CONF_BOOL, .def = "off", .help = "addr.type=inet: multipath TCP"),
	QEMU_KEY("str", CONF_STRING, .help = "addr.type=fd: QEMU's spelling of fd="),
	{ 0 },
};

const struct conf_schema stream_schema = { .type = "stream", .keys = keys };

const char stream_help[] =
	"Frames over a connected socket, each preceded by its length in four bytes,\n"
	"big-endian: what QEMU's -netdev stream speaks, and passt. One side listens\n"
	"(server=on), the other connects.\n"
	"\n"
	"  a VM that connects to vmtap, and may be restarted at any time:\n"
	"    vmtap connect tap,ifname=vm0 stream,server=on,path=/run/vm0.sock\n"
	"    qemu-system-x86_64 ... -device virtio-net-pci,netdev=n \\\n"
	"      -netdev stream,id=n,addr.type=unix,addr.path=/run/vm0.sock\n"
	"\n"
	"  vmtap that connects to a VM, and waits for it:\n"
	"    vmtap connect tap,ifname=vm0 stream,path=/run/vm0.sock,reconnect-ms=1000\n"
	"\n"
	"  two hosts, over TCP (neither encrypted nor authenticated):\n"
	"    vmtap connect tap,ifname=t0 stream,server=on,host=10.0.0.1,port=5000\n"
	"    vmtap connect tap,ifname=t0 stream,host=10.0.0.1,port=5000,reconnect-ms=1000\n"
	"\n"
	"A listening port serves one peer at a time; others wait until it has gone.\n"
	"A peer that sends something else than frames is disconnected. While no peer\n"
	"is there, frames for it are dropped and counted as peer-gone. QEMU's spelling\n"
	"of addresses (addr.type=unix,addr.path=... and so on) is understood as well.\n";

/* Is any of QEMU's addr.* given? */
static bool is_dotted(const struct conf *conf)
{
	for (const struct conf_key *k = keys; k->name; k++)
		if (strncmp(k->name, "addr.", 5) == 0 && conf_has(conf, k->name))
			return true;
	return false;
}

static int no_address(const struct conf *conf, struct vmtap_error *err)
{
	error_set(err, EINVAL, conf_object(conf), "read its options", "no address is given");
	error_remedy(err, "add path=PATH for a unix socket, host=HOST,port=PORT for TCP or fd=FD "
			  "for an inherited socket");
	return -EINVAL;
}

static int tristate(const struct conf *conf, const char *key)
{
	return conf_has(conf, key) ? conf_bool(conf, key, false) : -1;
}

static int read_inet(struct conn_conf *c, const struct conf *conf, struct vmtap_error *err)
{
	struct sock_spec *spec = &c->spec;

	spec->kind = SOCK_KIND_INET;
	spec->host = conf_str(conf, "host", "127.0.0.1");
	spec->port = conf_str(conf, "port", NULL);
	spec->to = (int)conf_int(conf, "to", 0);
	spec->keep_alive = conf_bool(conf, "keep-alive", false);
	if (!spec->port) {
		error_set(err, EINVAL, conf_object(conf), "read its options",
			  "host= is given without port=");
		error_remedy(err, "add port=PORT");
		return -EINVAL;
	}
	return sock_spec_family(spec, tristate(conf, "ipv4"), tristate(conf, "ipv6"),
				conf_object(conf), err);
}

/* One of path=, host= and port=, fd=; others are errors that name both. */
static int read_short(struct conn_conf *c, const struct conf *conf, struct vmtap_error *err)
{
	static const char *const not_path[] = { "host", "port", "fd",	      "ipv4",
						"ipv6", "to",	"keep-alive", NULL };
	static const char *const not_fd[] = { "host", "port",	    "ipv4", "ipv6",
					      "to",   "keep-alive", NULL };

	if (conf_has(conf, "path")) {
		sock_spec_path(&c->spec, conf_str(conf, "path", ""));
		return conf_exclude(conf, "not together with path=", not_path, err);
	}
	if (conf_has(conf, "fd")) {
		c->spec.kind = SOCK_KIND_FD;
		c->spec.fd = conf_str(conf, "fd", "");
		return conf_exclude(conf, "not together with fd=", not_fd, err);
	}
	if (conf_has(conf, "host") || conf_has(conf, "port"))
		return read_inet(c, conf, err);
	return no_address(conf, err);
}

static int read_address(struct conn_conf *c, const struct conf *conf, struct vmtap_error *err)
{
	static const char *const shorts[] = { "path", "host", "port",	    "fd", "ipv4",
					      "ipv6", "to",   "keep-alive", NULL };

	if (!is_dotted(conf))
		return read_short(c, conf, err);
	if (conf_exclude(conf, "not together with addr.*", shorts, err) < 0)
		return -EINVAL;
	return sock_spec_dotted(&c->spec, conf, "addr", err);
}

int stream_conf_read(struct conn_conf *c, const struct conf *conf, struct vmtap_error *err)
{
	static const char *const listening[] = { "to", "mode", NULL };
	int ret;

	memset(c, 0, sizeof(*c));
	c->server = conf_bool(conf, "server", false);
	ret = read_address(c, conf, err);
	if (ret == 0 && !c->server)
		ret = conf_exclude(conf, "only with server=on", listening, err);
	return ret < 0 ? ret : conn_conf_finish(c, conf, err);
}
