/* SPDX-License-Identifier: MIT */
/*
 * Socket addresses: from options to something that bind() and connect() take.
 *
 * Model
 *   A struct sock_spec is what the user wrote, checked; a struct sock_addrs is
 *   what it stands for now. Names are looked up once, when a port is opened,
 *   and never from the event loop, which a slow name server would stop.
 */
#ifndef SOCK_SOCKADDR_H
#define SOCK_SOCKADDR_H

#include <netinet/in.h>
#include <stdbool.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "vmtap/vmtap.h"

struct conf;

enum sock_kind {
	SOCK_KIND_NONE,
	SOCK_KIND_INET,
	SOCK_KIND_UNIX,
	SOCK_KIND_FD
};

/**
 * struct sock_spec - An address as it was written
 * @kind:      which of the members below count
 * @path:      unix; without the '@' or NUL of an abstract name
 * @abstract:  unix: a name in the abstract namespace, not a file
 * @tight:     unix, abstract: the name ends where @path ends
 * @host:      inet; "" or NULL: every local address (only for listening)
 * @port:      inet; a number or the name of a service
 * @to:        inet, listening: last port to try; 0: @port only
 * @family:    inet: AF_INET, AF_INET6 or AF_UNSPEC
 * @dual:      inet, listening on an IPv6 address: take IPv4 peers, too
 * @numeric:   inet: no names, no services
 * @fd:        number or name of a descriptor
 * @text:      room for parts of a value that had to be split
 *
 * Strings are borrowed from the options or point into @text: not to be copied by assignment.
 */
struct sock_spec {
	enum sock_kind kind;
	const char *path;
	bool abstract, tight;
	const char *host, *port;
	int to;
	int family;
	bool dual, numeric, keep_alive, mptcp;
	const char *fd;
	char text[320];
};

struct sock_addr {
	union {
		struct sockaddr sa;
		struct sockaddr_in in;
		struct sockaddr_in6 in6;
		struct sockaddr_un un;
	};
	socklen_t len;
};

#define SOCK_ADDR_MAX 8

struct sock_addrs {
	struct sock_addr addr[SOCK_ADDR_MAX];
	unsigned cnt;
};

/** sock_spec_dotted() - Read QEMU's spelling: @prefix.type, @prefix.path and so on. The type may be
 *  left out.
 *  Return: 0, @spec->kind SOCK_KIND_NONE when none of the keys was given; -EINVAL and @err. */
int sock_spec_dotted(struct sock_spec *spec, const struct conf *conf, const char *prefix,
		     struct vmtap_error *err);

/** sock_spec_path() - A unix path as people write it: "@NAME" is an abstract name. */
void sock_spec_path(struct sock_spec *spec, const char *path);

/** sock_spec_family() - Apply ipv4= and ipv6= (-1: not given) as QEMU does.
 *  Return: 0; -EINVAL and @err: both are off. */
int sock_spec_family(struct sock_spec *spec, int ipv4, int ipv6, const char *object,
		     struct vmtap_error *err);

/**
 * sock_spec_text() - Read an address that is one word
 *
 * With a slash or a leading '@' it is a path; else HOST:PORT or [IPV6]:PORT. @port_optional: HOST
 * alone will do. Return: 0; -EINVAL and @err, which names @key.
 */
int sock_spec_text(struct sock_spec *spec, const char *text, bool port_optional, const char *key,
		   const char *object, struct vmtap_error *err);

/**
 * sock_resolve() - Find the addresses that @spec stands for, not for SOCK_KIND_FD
 * @type:   SOCK_STREAM or SOCK_DGRAM
 * @listen: to bind to, rather than to connect to
 *
 * May ask name servers and wait for them.
 */
int sock_resolve(const struct sock_spec *spec, int type, bool listen, struct sock_addrs *addrs,
		 const char *object, struct vmtap_error *err);

/** sock_addr_same() - Do both name the same socket? */
bool sock_addr_same(const struct sock_addr *a, const struct sock_addr *b);

/** sock_addr_is_multicast() - Is it an IPv4 or IPv6 multicast group? */
bool sock_addr_is_multicast(const struct sock_addr *a);

/** sock_addr_is_file() - Is it a unix socket in the file system? */
bool sock_addr_is_file(const struct sock_addr *a);

/** sock_addr_port(), sock_addr_set_port() - In host byte order; 0 for unix sockets. */
uint16_t sock_addr_port(const struct sock_addr *a);
void sock_addr_set_port(struct sock_addr *a, uint16_t port);

/** SOCK_TEXT_MAX - Room for what sock_addr_text() and sock_addr_keys() write. */
#define SOCK_TEXT_MAX 160

/** sock_addr_text() - For people: "/run/a.sock", "@name", "10.0.0.1:5000", "[::1]:5000". Return: @buf. */
const char *sock_addr_text(const struct sock_addr *a, char buf[static SOCK_TEXT_MAX]);

/** sock_addr_keys() - As options: "path=/run/a.sock", "host=::1,port=5000". Return: @buf. */
const char *sock_addr_keys(const struct sock_addr *a, char buf[static SOCK_TEXT_MAX]);

#endif
