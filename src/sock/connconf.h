/* SPDX-License-Identifier: MIT */
/* The options of ports that have one connection at a time: server=, path=, fd=, mode=, reconnect-ms=. */
#ifndef SOCK_CONNCONF_H
#define SOCK_CONNCONF_H

#include "conf/conf.h"
#include "sock/sockaddr.h"

/* Rows of a schema. Every port that reads struct conn_conf has all of them. */
#define CONN_KEY_SERVER                                                                 \
	{                                                                               \
		.name = "server", .kind = CONF_BOOL, .def = "off",                      \
		.help = "on: listen, and serve one peer after the other; off: connect", \
	}
#define CONN_KEY_PATH                                                                   \
	{                                                                               \
		.name = "path", .kind = CONF_STRING, .unit = "path",                    \
		.help = "unix socket, at most 107 bytes; @NAME is an abstract one. A "  \
			"listening port takes a path that a dead process left behind, " \
			"never one in use",                                             \
	}
#define CONN_KEY_FD                                                                         \
	{                                                                                   \
		.name = "fd", .kind = CONF_STRING, .unit = "descriptor",                    \
		.help = "number of an inherited stream socket, or name of a passed one: a " \
			"connected one, with server=on a bound or listening one",           \
	}
#define CONN_KEY_RECONNECT_MS                                                                \
	{                                                                                    \
		.name = "reconnect-ms", .kind = CONF_INT, .min = 1, .max = 3600 * 1000,      \
		.unit = "ms",                                                                \
		.def = "never: the peer must be there, and when it goes the port is broken", \
		.help = "try to connect again so long after a failure or the end of a "      \
			"connection",                                                        \
	}
#define CONN_KEY_RECONNECT                                                             \
	{                                                                              \
		.name = "reconnect", .kind = CONF_INT, .flags = CONF_HIDDEN, .min = 0, \
		.max = 3600, .unit = "s",                                              \
		.help = "QEMU 8's spelling of reconnect-ms=, in seconds; 0: never",    \
	}
#define CONN_KEY_MODE                                                                         \
	{                                                                                     \
		.name = "mode", .kind = CONF_STRING, .unit = "octal",                         \
		.def = "as the umask has it",                                                 \
		.help = "server=on,path=: permissions of the socket's file, as in mode=660; " \
			"whoever may write it may connect",                                   \
	}

/** struct conn_conf - The options, read and looked up. */
struct conn_conf {
	bool server, unix_only;
	uint64_t reconnect_ns; /* 0: do not */
	int mode;
	struct sock_spec spec;
	struct sock_addrs addrs; /* none for an inherited descriptor */
};

/** conn_conf_unix() - Read all of the above, for a port that knows no other sockets than unix ones.
 *  Return: 0 or -errno and @err. */
int conn_conf_unix(struct conn_conf *c, const struct conf *conf, struct vmtap_error *err);

/** conn_conf_finish() - The same for a port that has read server= into @c->server and an address
 *  into @c->spec: read the rest, and look the address up. */
int conn_conf_finish(struct conn_conf *c, const struct conf *conf, struct vmtap_error *err);

#endif
