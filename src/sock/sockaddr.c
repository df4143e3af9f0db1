/* SPDX-License-Identifier: MIT */
/* Socket addresses: looking them up, comparing and printing them. */
#include "sock/sockaddr.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netdb.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"

#define PATH_LIMIT (sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1)

static int resolve_unix(const struct sock_spec *spec, struct sock_addr *a, const char *object,
			struct vmtap_error *err)
{
	size_t len = strlen(spec->path);

	if (len > PATH_LIMIT) {
		error_set(err, ENAMETOOLONG, object, "use its socket path",
			  "\"%s\" has %zu bytes and a unix socket's path at most %zu", spec->path,
			  len, PATH_LIMIT);
		error_remedy(err, "use a folder with a shorter path, or a relative path");
		return -ENAMETOOLONG;
	}
	if (!len)
		return error_set(err, EINVAL, object, "use its socket path", "the path is empty");
	memset(a, 0, sizeof(*a));
	a->un.sun_family = AF_UNIX;
	memcpy(a->un.sun_path + spec->abstract, spec->path, len);
	a->len = sizeof(a->un);
	if (spec->abstract && spec->tight)
		a->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + len);
	return 0;
}

static int lookup_error(const struct sock_spec *spec, int code, const char *object,
			struct vmtap_error *err)
{
	int number = code == EAI_SYSTEM ? errno : EADDRNOTAVAIL;

	error_set(err, number, object, "look up its address", "host \"%s\", port \"%s\": %s",
		  spec->host ? spec->host : "", spec->port,
		  code == EAI_SYSTEM ? strerror(number) : gai_strerror(code));
	error_remedy(err, "check the spelling, ipv4=, ipv6= and the name server, or give a "
			  "numeric address and port");
	return -number;
}

/* getaddrinfo() would take 65537 for 1. */
static int check_port(const struct sock_spec *spec, const char *object, struct vmtap_error *err)
{
	size_t digits = strspn(spec->port, "0123456789");

	if (spec->port[digits] || (digits < 6 && atol(spec->port) <= UINT16_MAX))
		return 0;
	return error_set(err, EINVAL, object, "read its options",
			 "port %s: a port number is at most %d", spec->port, UINT16_MAX);
}

static int resolve_inet(const struct sock_spec *spec, int type, bool listen,
			struct sock_addrs *addrs, const char *object, struct vmtap_error *err)
{
	const char *host = spec->host && spec->host[0] ? spec->host : NULL;
	struct addrinfo hints = { .ai_family = spec->family, .ai_socktype = type };
	struct addrinfo *list, *at;
	int code;

	if (check_port(spec, object, err) < 0)
		return -EINVAL;
	if (listen)
		hints.ai_flags |= AI_PASSIVE;
	if (spec->numeric)
		hints.ai_flags |= AI_NUMERICHOST | AI_NUMERICSERV;
	/* one socket for both protocols, where nothing says which */
	if (listen && !host && spec->family == AF_UNSPEC && spec->dual)
		hints.ai_family = AF_INET6;
	code = getaddrinfo(host, spec->port, &hints, &list);
	if (code && hints.ai_family != spec->family) {
		hints.ai_family = spec->family; /* a host without IPv6 */
		code = getaddrinfo(host, spec->port, &hints, &list);
	}
	if (code)
		return lookup_error(spec, code, object, err);
	for (at = list; at && addrs->cnt < SOCK_ADDR_MAX; at = at->ai_next) {
		struct sock_addr *a = &addrs->addr[addrs->cnt];

		if (at->ai_addrlen > sizeof(a->un))
			continue;
		memset(a, 0, sizeof(*a));
		memcpy(&a->sa, at->ai_addr, at->ai_addrlen);
		a->len = at->ai_addrlen;
		addrs->cnt++;
	}
	freeaddrinfo(list);
	return addrs->cnt ? 0 : lookup_error(spec, EAI_NONAME, object, err);
}

int sock_resolve(const struct sock_spec *spec, int type, bool listen, struct sock_addrs *addrs,
		 const char *object, struct vmtap_error *err)
{
	addrs->cnt = 0;
	if (spec->kind == SOCK_KIND_UNIX) {
		addrs->cnt = 1;
		return resolve_unix(spec, &addrs->addr[0], object, err);
	}
	return resolve_inet(spec, type, listen, addrs, object, err);
}

static bool has_path(const struct sock_addr *a)
{
	return a->len > offsetof(struct sockaddr_un, sun_path) && sock_addr_is_file(a);
}

bool sock_addr_same(const struct sock_addr *a, const struct sock_addr *b)
{
	if (a->sa.sa_family != b->sa.sa_family)
		return false;
	switch (a->sa.sa_family) {
	case AF_INET:
		return a->in.sin_port == b->in.sin_port &&
		       a->in.sin_addr.s_addr == b->in.sin_addr.s_addr;
	case AF_INET6:
		return a->in6.sin6_port == b->in6.sin6_port &&
		       memcmp(&a->in6.sin6_addr, &b->in6.sin6_addr, 16) == 0;
	default:
		/* the kernel ends a path with NUL and counts that, or not */
		if (has_path(a) && has_path(b))
			return strncmp(a->un.sun_path, b->un.sun_path, sizeof(a->un.sun_path)) == 0;
		return a->len == b->len && memcmp(&a->un, &b->un, a->len) == 0;
	}
}

bool sock_addr_is_multicast(const struct sock_addr *a)
{
	if (a->sa.sa_family == AF_INET)
		return IN_MULTICAST(ntohl(a->in.sin_addr.s_addr));
	return a->sa.sa_family == AF_INET6 && IN6_IS_ADDR_MULTICAST(&a->in6.sin6_addr);
}

bool sock_addr_is_file(const struct sock_addr *a)
{
	return a->sa.sa_family == AF_UNIX && a->un.sun_path[0];
}

uint16_t sock_addr_port(const struct sock_addr *a)
{
	if (a->sa.sa_family == AF_UNIX)
		return 0;
	return ntohs(a->sa.sa_family == AF_INET ? a->in.sin_port : a->in6.sin6_port);
}

void sock_addr_set_port(struct sock_addr *a, uint16_t port)
{
	if (a->sa.sa_family == AF_INET)
		a->in.sin_port = htons(port);
	else if (a->sa.sa_family == AF_INET6)
		a->in6.sin6_port = htons(port);
}

/* What a peer named itself may hold anything: bytes that are no text become '?'. */
static const char *unix_text(const struct sock_addr *a, char buf[static SOCK_TEXT_MAX])
{
	size_t len = a->len - offsetof(struct sockaddr_un, sun_path);
	bool abstract = !a->un.sun_path[0];
	size_t out = 0;

	if (a->len <= offsetof(struct sockaddr_un, sun_path))
		return strcpy(buf, "(unnamed)");
	if (abstract)
		buf[out++] = '@';
	for (size_t i = abstract; i < len; i++) {
		char c = a->un.sun_path[i];

		if (!c)
			break;
		buf[out++] = c >= 0 && c < ' ' ? '?' : c;
	}
	buf[out] = '\0';
	return buf;
}

static void host_text(const struct sock_addr *a, char *buf, size_t size)
{
	const struct sockaddr_in6 *in6 = &a->in6;
	char ifname[IF_NAMESIZE];
	size_t len;

	if (a->sa.sa_family == AF_INET) {
		inet_ntop(AF_INET, &a->in.sin_addr, buf, (socklen_t)size);
		return;
	}
	inet_ntop(AF_INET6, &in6->sin6_addr, buf, (socklen_t)size);
	len = strlen(buf);
	if (in6->sin6_scope_id && if_indextoname(in6->sin6_scope_id, ifname))
		snprintf(buf + len, size - len, "%%%s", ifname);
}

const char *sock_addr_text(const struct sock_addr *a, char buf[static SOCK_TEXT_MAX])
{
	char host[INET6_ADDRSTRLEN + IF_NAMESIZE + 1];

	if (a->sa.sa_family == AF_UNIX)
		return unix_text(a, buf);
	host_text(a, host, sizeof(host));
	snprintf(buf, SOCK_TEXT_MAX, a->sa.sa_family == AF_INET ? "%s:%u" : "[%s]:%u", host,
		 sock_addr_port(a));
	return buf;
}

const char *sock_addr_keys(const struct sock_addr *a, char buf[static SOCK_TEXT_MAX])
{
	char host[SOCK_TEXT_MAX];

	if (a->sa.sa_family == AF_UNIX) {
		snprintf(buf, SOCK_TEXT_MAX, "path=%.*s", SOCK_TEXT_MAX - 6, unix_text(a, host));
		return buf;
	}
	host_text(a, host, sizeof(host));
	snprintf(buf, SOCK_TEXT_MAX, "host=%.*s,port=%u", SOCK_TEXT_MAX - 18, host,
		 sock_addr_port(a));
	return buf;
}
