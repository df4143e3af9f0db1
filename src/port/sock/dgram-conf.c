/* SPDX-License-Identifier: MIT */
/* The options of the `dgram` port. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "conf/conf.h"
#include "port/sock/dgram-priv.h"

/* QEMU's spelling of one address, all that its SocketAddress has. */
#define QEMU_KEYS(WHO)                                                                      \
	{ .name = WHO ".type",                                                              \
	  .kind = CONF_ENUM,                                                                \
	  .flags = CONF_HIDDEN,                                                             \
	  .choices = "inet|unix|fd",                                                        \
	  .help = "QEMU's spelling: which kind of address follows" },                       \
		{ .name = WHO ".path",                                                      \
		  .kind = CONF_STRING,                                                      \
		  .flags = CONF_HIDDEN,                                                     \
		  .help = WHO ".type=unix: the socket's path" },                            \
		{ .name = WHO ".abstract",                                                  \
		  .kind = CONF_BOOL,                                                        \
		  .flags = CONF_HIDDEN,                                                     \
		  .def = "off",                                                             \
		  .help = WHO ".type=unix: " WHO ".path= is an abstract name" },            \
		{ .name = WHO ".tight",                                                     \
		  .kind = CONF_BOOL,                                                        \
		  .flags = CONF_HIDDEN,                                                     \
		  .def = "on",                                                              \
		  .help = WHO ".abstract=on: off pads the name with zeros" },               \
		{ .name = WHO ".host",                                                      \
		  .kind = CONF_STRING,                                                      \
		  .flags = CONF_HIDDEN | CONF_EMPTY_OK,                                     \
		  .help = WHO ".type=inet: name or address" },                              \
		{ .name = WHO ".port",                                                      \
		  .kind = CONF_STRING,                                                      \
		  .flags = CONF_HIDDEN,                                                     \
		  .help = WHO ".type=inet: port number or name of a service" },             \
		{ .name = WHO ".to",                                                        \
		  .kind = CONF_INT,                                                         \
		  .flags = CONF_HIDDEN,                                                     \
		  .min = 1,                                                                 \
		  .max = 65535,                                                             \
		  .help = "no effect here, as with QEMU" },                                 \
		{ .name = WHO ".numeric",                                                   \
		  .kind = CONF_BOOL,                                                        \
		  .flags = CONF_HIDDEN,                                                     \
		  .def = "off",                                                             \
		  .help = WHO ".type=inet: " WHO ".host= and " WHO ".port= are no names" }, \
		{ .name = WHO ".ipv4",                                                      \
		  .kind = CONF_BOOL,                                                        \
		  .flags = CONF_HIDDEN,                                                     \
		  .help = WHO ".type=inet: use IPv4 addresses" },                           \
		{ .name = WHO ".ipv6",                                                      \
		  .kind = CONF_BOOL,                                                        \
		  .flags = CONF_HIDDEN,                                                     \
		  .help = WHO ".type=inet: use IPv6 addresses" },                           \
		{ .name = WHO ".keep-alive",                                                \
		  .kind = CONF_BOOL,                                                        \
		  .flags = CONF_HIDDEN,                                                     \
		  .help = "no effect here, as with QEMU" },                                 \
		{ .name = WHO ".mptcp",                                                     \
		  .kind = CONF_BOOL,                                                        \
		  .flags = CONF_HIDDEN,                                                     \
		  .help = "no effect here, as with QEMU" },                                 \
	{                                                                                   \
		.name = WHO ".str", .kind = CONF_STRING, .flags = CONF_HIDDEN,              \
		.help = WHO ".type=fd: QEMU's spelling of fd="                              \
	}

/* clang-format off */
static const struct conf_key keys[] = {
	{
		.name = "local",
		.kind = CONF_STRING,
		.unit = "path or HOST:PORT",
		.help = "where this port receives: a path with a slash in it, @NAME for an abstract "
			"one, or for UDP HOST:PORT or [IPV6]:PORT. With a multicast remote=: the "
			"address of the interface to use. A path that a dead process left behind is "
			"taken, never one in use",
	},
	{
		.name = "remote",
		.kind = CONF_STRING,
		.unit = "path or HOST:PORT",
		.help = "where frames are sent to, written as local=. A multicast group, as in "
			"239.1.2.3:5000 or [ff02::1%eth0]:5000, is joined",
	},
	{
		.name = "fd",
		.kind = CONF_STRING,
		.unit = "descriptor",
		.help = "number of an inherited datagram socket that is connected, or name of a "
			"passed one; instead of local= and remote=",
	},
	{
		.name = "mode",
		.kind = CONF_STRING,
		.unit = "octal",
		.def = "as the umask has it",
		.help = "local=PATH: permissions of the socket's file, as in mode=660; whoever may "
			"write it may send",
	},
	{
		.name = "any-source",
		.kind = CONF_BOOL,
		.def = "off",
		.help = "UDP: take frames from any sender, not only from remote= (one behind address "
			"translation, say)",
	},
	QEMU_KEYS("local"),
	QEMU_KEYS("remote"),
	{ 0 },
};
/* clang-format on */

const struct conf_schema dgram_schema = { .type = "dgram", .keys = keys };

const char dgram_help[] =
	"One frame a datagram, nothing around it: what QEMU's -netdev dgram speaks.\n"
	"Each side has an address and knows the other's.\n"
	"\n"
	"  a VM on this host; either may be restarted at any time:\n"
	"    vmtap connect tap,ifname=vm0 dgram,local=/run/vm0.a,remote=/run/vm0.b\n"
	"    qemu-system-x86_64 ... -device virtio-net-pci,netdev=n -netdev dgram,id=n,\\\n"
	"local.type=unix,local.path=/run/vm0.b,remote.type=unix,remote.path=/run/vm0.a\n"
	"\n"
	"  two hosts, over UDP (neither encrypted nor authenticated, and it may lose):\n"
	"    vmtap connect tap,ifname=t0 dgram,local=10.0.0.1:5000,remote=10.0.0.2:5000\n"
	"\n"
	"  any number of hosts and VMs on one multicast group:\n"
	"    vmtap connect tap,ifname=t0 dgram,remote=239.1.2.3:5000,local=10.0.0.1\n"
	"\n"
	"The other side need not be there. Frames for it are then dropped and counted\n"
	"as peer-gone. Over UDP, frames from anyone but the remote address are dropped\n"
	"and counted as refused. QEMU's spelling of addresses (local.type=unix,\n"
	"local.path=..., remote.type=... and so on) is understood as well.\n";

#define ACTION "read its options"

/* One address, in whichever spelling. SOCK_KIND_NONE: it is not given. */
static int read_address(struct sock_spec *spec, const char *who, bool port_optional,
			const struct conf *conf, struct vmtap_error *err)
{
	char reason[40];
	const char *const both[] = { who, NULL };
	int ret = sock_spec_dotted(spec, conf, who, err);

	if (ret < 0 || !conf_has(conf, who))
		return ret;
	snprintf(reason, sizeof(reason), "not together with %s.type=", who);
	if (spec->kind != SOCK_KIND_NONE)
		return conf_exclude(conf, reason, both, err);
	return sock_spec_text(spec, conf_str(conf, who, ""), port_optional, who, conf_object(conf),
			      err);
}

static int bad_pair(const struct conf *conf, struct vmtap_error *err, const char *why)
{
	error_set(err, EINVAL, conf_object(conf), ACTION, "%s", why);
	error_remedy(err, "give local=PATH,remote=PATH for unix sockets, local=HOST:PORT,"
			  "remote=HOST:PORT for UDP, remote=GROUP:PORT for multicast or fd=FD for "
			  "an inherited socket");
	return -EINVAL;
}

static int check_pair(const struct sock_spec *local, const struct sock_spec *remote,
		      const struct conf *conf, struct vmtap_error *err)
{
	if (remote->kind == SOCK_KIND_FD)
		return bad_pair(conf, err, "the remote address cannot be a descriptor");
	if (local->kind == SOCK_KIND_NONE && remote->kind == SOCK_KIND_NONE)
		return bad_pair(conf, err, "no address is given");
	if (local->kind == SOCK_KIND_NONE)
		return bad_pair(conf, err, "a local address is needed as well");
	if (local->kind == SOCK_KIND_FD)
		return bad_pair(conf, err, "an inherited socket has its remote address already");
	if (remote->kind == SOCK_KIND_NONE)
		return bad_pair(conf, err, "a remote address is needed as well");
	if (local->kind != remote->kind)
		return bad_pair(conf, err, "one address is a unix socket and the other is for UDP");
	return 0;
}

/* Leave only pairs of one protocol: the first remote address for which there is a local one. */
static int match_family(struct dgram_conf *c, const struct conf *conf, struct vmtap_error *err)
{
	for (unsigned r = 0; r < c->remote.cnt; r++) {
		for (unsigned l = 0; l < c->local.cnt; l++) {
			if (c->local.addr[l].sa.sa_family != c->remote.addr[r].sa.sa_family)
				continue;
			c->remote.addr[0] = c->remote.addr[r];
			c->local.addr[0] = c->local.addr[l];
			c->remote.cnt = c->local.cnt = 1;
			return 0;
		}
	}
	return bad_pair(conf, err, "one address is IPv4 and the other is IPv6");
}

static int resolve_pair(struct dgram_conf *c, const struct sock_spec *local,
			const struct conf *conf, struct vmtap_error *err)
{
	int ret = sock_resolve(local, SOCK_DGRAM, true, &c->local, conf_object(conf), err);

	if (ret == 0)
		ret = match_family(c, conf, err);
	if (ret < 0)
		return ret;
	if (sock_addr_same(&c->local.addr[0], &c->remote.addr[0]))
		return bad_pair(conf, err, "both addresses are the same");
	return 0;
}

static int read_multicast(struct dgram_conf *c, const struct sock_spec *local,
			  const struct conf *conf, struct vmtap_error *err)
{
	static const char *const not_here[] = { "any-source", NULL };

	c->kind = DGRAM_MULTICAST;
	if (conf_exclude(conf, "not for a multicast group", not_here, err) < 0)
		return -EINVAL;
	if (local->kind == SOCK_KIND_FD) {
		c->fd = local->fd;
		return 0;
	}
	if (local->kind == SOCK_KIND_NONE)
		return 0;
	if (local->kind == SOCK_KIND_UNIX)
		return bad_pair(conf, err,
				"with a multicast group the local address is an interface's");
	if (c->remote.addr[0].sa.sa_family == AF_INET6)
		return bad_pair(
			conf, err,
			"an IPv6 group names its interface itself, as in [ff02::1%eth0]:5000");
	return resolve_pair(c, local, conf, err);
}

static int read_unicast(struct dgram_conf *c, const struct sock_spec *local,
			const struct sock_spec *remote, const struct conf *conf,
			struct vmtap_error *err)
{
	if (local->kind == SOCK_KIND_FD && remote->kind == SOCK_KIND_NONE) {
		c->kind = DGRAM_FD;
		c->fd = local->fd;
		return 0;
	}
	if (check_pair(local, remote, conf, err) < 0)
		return -EINVAL;
	c->kind = remote->kind == SOCK_KIND_UNIX ? DGRAM_UNIX : DGRAM_UDP;
	return resolve_pair(c, local, conf, err);
}

/* Look the remote address up, to see whether it is a group. */
static int resolve_remote(struct dgram_conf *c, const struct sock_spec *remote,
			  const struct conf *conf, struct vmtap_error *err)
{
	if (remote->kind != SOCK_KIND_INET && remote->kind != SOCK_KIND_UNIX)
		return 0;
	return sock_resolve(remote, SOCK_DGRAM, false, &c->remote, conf_object(conf), err);
}

static int read_rest(struct dgram_conf *c, const struct conf *conf, struct vmtap_error *err)
{
	static const char *const udp[] = { "any-source", NULL };
	static const char *const file[] = { "mode", NULL };
	const char *mode = conf_str(conf, "mode", NULL);

	c->any_source = conf_bool(conf, "any-source", false);
	c->mode = SOCKFILE_NO_MODE;
	if (c->kind != DGRAM_UDP && conf_exclude(conf, "only for UDP", udp, err) < 0)
		return -EINVAL;
	if ((c->kind != DGRAM_UNIX || !sock_addr_is_file(&c->local.addr[0])) &&
	    conf_exclude(conf, "only for the file of a unix socket", file, err) < 0)
		return -EINVAL;
	return mode ? sockfile_mode(mode, &c->mode, conf_object(conf), err) : 0;
}

int dgram_conf_read(struct dgram_conf *c, const struct conf *conf, struct vmtap_error *err)
{
	static const char *const pair[] = { "local", "local.type", NULL };
	struct sock_spec local, remote;
	bool group;
	int ret;

	memset(c, 0, sizeof(*c));
	if (conf_has(conf, "fd") && conf_exclude(conf, "not together with fd=", pair, err) < 0)
		return -EINVAL;
	ret = read_address(&remote, "remote", false, conf, err);
	if (ret == 0)
		ret = resolve_remote(c, &remote, conf, err);
	group = c->remote.cnt && sock_addr_is_multicast(&c->remote.addr[0]);
	if (ret == 0)
		ret = read_address(&local, "local", group, conf, err);
	if (ret < 0)
		return ret;
	if (conf_has(conf, "fd")) {
		local.kind = SOCK_KIND_FD;
		local.fd = conf_str(conf, "fd", "");
	}
	ret = group ? read_multicast(c, &local, conf, err)
		    : read_unicast(c, &local, &remote, conf, err);
	return ret < 0 ? ret : read_rest(c, conf, err);
}
