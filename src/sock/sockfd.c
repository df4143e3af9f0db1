/* SPDX-License-Identifier: MIT */
/* Making sockets: listening ones, connecting ones, inherited ones. */
#include "sock/sockfd.h"

#include <ctype.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"
#include "net/port.h"

/* Clients that wait while another is served, or until the loop turns. */
#define BACKLOG 16
#define FLAGS (SOCK_NONBLOCK | SOCK_CLOEXEC)

/* ----------------------------------------------------------------- inherited */

static const char *type_name(int type)
{
	return type == SOCK_STREAM ? "stream" : type == SOCK_DGRAM ? "datagram" : "other";
}

#define FD_ACTION "use the given descriptor"

static int check_type(int fd, const char *text, int type, const char *object,
		      struct vmtap_error *err)
{
	int is;
	socklen_t len = sizeof(is);

	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &is, &len) < 0) {
		int code = errno;

		error_set(err, code, object, FD_ACTION, "fd=%s is %s", text,
			  code == EBADF ? "not open" : "no socket");
		error_remedy(err, code == EBADF ? "open it in the parent process and let it be "
						  "inherited"
						: "pass a socket, or give an address instead");
		return -code;
	}
	if (is == type)
		return 0;
	error_set(err, EPROTOTYPE, object, FD_ACTION, "fd=%s is a %s socket", text, type_name(is));
	error_remedy(err, "this port needs a %s socket", type_name(type));
	return -EPROTOTYPE;
}

static int check_unix(int fd, const char *text, const char *object, struct vmtap_error *err)
{
	struct sock_addr local;

	if (sock_local(fd, &local) == 0 && local.sa.sa_family == AF_UNIX)
		return 0;
	error_set(err, EPROTOTYPE, object, FD_ACTION, "fd=%s is no unix socket", text);
	error_remedy(err, "this port is passed descriptors, which only unix sockets do");
	return -EPROTOTYPE;
}

static bool is_connected(int fd)
{
	struct sock_addr peer;

	return sock_peer(fd, &peer) == 0;
}

static int check_role(int fd, const char *text, const struct sock_want *want, const char *object,
		      struct vmtap_error *err)
{
	struct sock_addr local;

	if (want->role == SOCK_CONNECTED && !is_connected(fd)) {
		error_set(err, ENOTCONN, object, FD_ACTION, "fd=%s is not connected", text);
		error_remedy(
			err,
			want->type == SOCK_STREAM
				? "connect it before it is passed, or add server=on if it listens"
				: "connect it before it is passed");
		return -ENOTCONN;
	}
	if (want->role == SOCK_LISTENING && is_connected(fd)) {
		error_set(err, EISCONN, object, FD_ACTION, "fd=%s is connected and cannot listen",
			  text);
		error_remedy(err, "leave server=on out");
		return -EISCONN;
	}
	if (want->role == SOCK_CONNECTED)
		return 0;
	if (sock_local(fd, &local) == 0 &&
	    (local.sa.sa_family != AF_UNIX || local.len > offsetof(struct sockaddr_un, sun_path)))
		return 0;
	error_set(err, EINVAL, object, FD_ACTION, "fd=%s is bound to no address", text);
	error_remedy(err, "bind it before it is passed");
	return -EINVAL;
}

static int check_fd(int fd, const char *text, const struct sock_want *want, const char *object,
		    struct vmtap_error *err)
{
	int ret = check_type(fd, text, want->type, object, err);

	if (ret == 0 && want->unix_only)
		ret = check_unix(fd, text, object, err);
	return ret < 0 ? ret : check_role(fd, text, want, object, err);
}

/* A number, or -1 for a name; -EINVAL. */
static int parse_fd(const char *text, int *fd, const char *object, struct vmtap_error *err)
{
	char *end;
	long value;

	*fd = -1;
	if (!isdigit((unsigned char)text[0]))
		return 0;
	errno = 0;
	value = strtol(text, &end, 10);
	if (*end || errno || value > INT32_MAX) {
		error_set(err, EINVAL, object, FD_ACTION, "fd=%s is neither a number nor a name",
			  text);
		error_remedy(err,
			     "give the number of an open descriptor, as in fd=3; a name begins "
			     "with no digit");
		return -EINVAL;
	}
	*fd = (int)value;
	return 0;
}

/* @find: env->take_fd, or env->find_fd to leave it where it is. */
static int named_fd(const struct port_env *env, int (*find)(void *opaque, const char *name),
		    const char *text, const char *object, struct vmtap_error *err)
{
	int fd = find ? find(env->opaque, text) : -ENOENT;

	if (fd >= 0)
		return fd;
	error_set(err, -fd, object, FD_ACTION, "nobody passed one as \"%s\"", text);
	error_remedy(err, "pass the descriptor under that name first, or give its number");
	return fd;
}

int sock_take_fd(const struct port_env *env, const char *text, const struct sock_want *want,
		 const char *object, struct vmtap_error *err)
{
	cleanup_fd int named = -1;
	int fd, ret;

	ret = parse_fd(text, &fd, object, err);
	if (ret < 0)
		return ret;
	if (fd < 0) {
		fd = named = named_fd(env, env->take_fd, text, object, err);
		if (fd < 0)
			return fd;
	}
	ret = check_fd(fd, text, want, object, err);
	if (ret < 0)
		return ret;
	ret = fd_set_nonblock(fd);
	if (ret == 0)
		ret = fd_set_cloexec(fd);
	if (ret == 0 && want->role == SOCK_LISTENING && listen(fd, BACKLOG) < 0)
		ret = -errno;
	if (ret < 0)
		return error_errno(err, -ret, object, FD_ACTION);
	fd_steal(&named);
	return fd;
}

int sock_check_fd(const struct port_env *env, const char *text, const struct sock_want *want,
		  const char *object, struct vmtap_error *err)
{
	int fd;
	int ret = parse_fd(text, &fd, object, err);

	if (ret == 0 && fd < 0)
		ret = fd = named_fd(env, env->find_fd, text, object, err);
	return ret < 0 ? ret : check_fd(fd, text, want, object, err);
}

/* ----------------------------------------------------------------- listening */

/* Both protocols on one socket, unless IPv4 has the port already. */
static int bind_inet(int fd, const struct sock_addr *addr, bool dual)
{
	const int one = 1, zero = 0;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (addr->sa.sa_family == AF_INET6) {
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, dual ? &zero : &one, sizeof(one));
		if (bind(fd, &addr->sa, addr->len) == 0)
			return 0;
		if (!dual || errno != EADDRINUSE)
			return -errno;
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof(one));
	}
	return bind(fd, &addr->sa, addr->len) < 0 ? -errno : 0;
}

static int listen_inet(const struct sock_addr *addr, const struct sock_spec *spec)
{
	cleanup_fd int fd =
		socket(addr->sa.sa_family, SOCK_STREAM | FLAGS, spec->mptcp ? IPPROTO_MPTCP : 0);
	int ret;

	if (fd < 0)
		return -errno;
	ret = bind_inet(fd, addr, spec->dual);
	if (ret == 0 && listen(fd, BACKLOG) < 0)
		ret = -errno;
	return ret < 0 ? ret : fd_steal(&fd);
}

static int listen_inet_error(int code, const struct sock_listen *how, const char *object,
			     struct vmtap_error *err)
{
	char text[SOCK_TEXT_MAX];

	sock_addr_text(&how->addrs->addr[0], text);
	if (code == EADDRINUSE && how->spec->to)
		error_set(err, code, object, "listen", "every port from %s to %d is in use", text,
			  how->spec->to);
	else
		error_set(err, code, object, "listen", "%s: %s", text, strerror(code));
	if (code == EADDRINUSE)
		error_remedy(err, "choose another port, or end the process that has it (find it "
				  "with: ss -ltnp)");
	else if (code == EADDRNOTAVAIL)
		error_remedy(err, "this host has no such address; see: ip address");
	else if (code == EACCES)
		error_remedy(err, "ports below 1024 are for root; choose one above");
	return -code;
}

static int listen_inet_any(const struct sock_listen *how, const char *object,
			   struct vmtap_error *err)
{
	int first = 0;

	for (unsigned i = 0; i < how->addrs->cnt; i++) {
		struct sock_addr addr = how->addrs->addr[i];
		unsigned port = sock_addr_port(&addr);

		do {
			int fd;

			sock_addr_set_port(&addr, (uint16_t)port);
			fd = listen_inet(&addr, how->spec);
			if (fd >= 0)
				return fd;
			if (!first)
				first = -fd;
			if (fd != -EADDRINUSE)
				break;
		} while (++port <= (unsigned)how->spec->to);
	}
	return listen_inet_error(first, how, object, err);
}

int sock_bind_unix(struct sockfile *file, int fd, const struct sock_addr *addr, int mode,
		   const char *object, struct vmtap_error *err)
{
	char text[SOCK_TEXT_MAX];

	if (sock_addr_is_file(addr))
		return sockfile_bind(file, fd, addr->un.sun_path, mode, object, err);
	if (bind(fd, &addr->sa, addr->len) == 0)
		return 0;
	if (errno == EADDRINUSE)
		return sockfile_in_use(sock_addr_text(addr, text), object, err);
	return error_errno(err, errno, object, "take its socket path");
}

int sock_check_unix(const struct sock_addr *addr, const char *object, struct vmtap_error *err)
{
	return sock_addr_is_file(addr) ? sockfile_check(addr->un.sun_path, object, err) : 0;
}

static int listen_unix(const struct sock_listen *how, struct sockfile *file, const char *object,
		       struct vmtap_error *err)
{
	cleanup_fd int fd = socket(AF_UNIX, SOCK_STREAM | FLAGS, 0);
	int ret;

	if (fd < 0)
		return error_errno(err, errno, object, "make a socket");
	ret = sock_bind_unix(file, fd, &how->addrs->addr[0], how->mode, object, err);
	if (ret < 0)
		return ret;
	if (listen(fd, BACKLOG) < 0) {
		ret = error_errno(err, errno, object, "listen");
		sockfile_release(file);
		return ret;
	}
	return fd_steal(&fd);
}

int sock_listen(const struct sock_listen *how, struct sockfile *file, const char *object,
		struct vmtap_error *err)
{
	if (how->spec->kind == SOCK_KIND_UNIX)
		return listen_unix(how, file, object, err);
	return listen_inet_any(how, object, err);
}

/* ---------------------------------------------------------------- connecting */

int sock_connect_start(const struct sock_addr *addr, bool mptcp, bool *pending)
{
	cleanup_fd int fd = -1;
	int ret;

	fd = socket(addr->sa.sa_family, SOCK_STREAM | FLAGS,
		    mptcp && addr->sa.sa_family != AF_UNIX ? IPPROTO_MPTCP : 0);
	if (fd < 0)
		return -errno;
	do
		ret = connect(fd, &addr->sa, addr->len);
	while (ret < 0 && errno == EINTR);
	*pending = ret < 0 && errno == EINPROGRESS;
	if (ret < 0 && !*pending)
		return -errno;
	if (!*pending && (ret = sock_connect_finish(fd)) < 0)
		return ret;
	return fd_steal(&fd);
}

int sock_connect_finish(int fd)
{
	struct sock_addr local, peer;
	int code = 0;
	socklen_t len = sizeof(code);

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &len) < 0)
		return -errno;
	if (code)
		return -code;
	/* TCP can connect to itself where nobody listens on a port that is free for clients */
	if (sock_local(fd, &local) == 0 && local.sa.sa_family != AF_UNIX &&
	    sock_peer(fd, &peer) == 0 && sock_addr_same(&local, &peer))
		return -ECONNREFUSED;
	return 0;
}

static int wait_connected(int fd, int timeout_ms)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	uint64_t end = clock_ns() + (uint64_t)timeout_ms * NSEC_PER_MSEC;
	int ret;

	do {
		uint64_t now = clock_ns();

		ret = poll(&p, 1, now < end ? (int)((end - now) / NSEC_PER_MSEC) + 1 : 0);
	} while (ret < 0 && errno == EINTR);
	if (ret < 0)
		return -errno;
	return ret ? sock_connect_finish(fd) : -ETIMEDOUT;
}

static int connect_one(const struct sock_addr *addr, bool mptcp, int timeout_ms)
{
	bool pending;
	cleanup_fd int fd = sock_connect_start(addr, mptcp, &pending);
	int ret = 0;

	if (fd < 0)
		return fd;
	if (pending)
		ret = wait_connected(fd, timeout_ms);
	return ret < 0 ? ret : fd_steal(&fd);
}

void sock_connect_error(int code, const char *where, const char *object, struct vmtap_error *err)
{
	const char *why = code == EAGAIN ? "its queue of waiting clients is full" : strerror(code);

	error_set(err, code, object, "connect", "%s: %s", where, why);
	switch (code) {
	case ENOENT:
	case ECONNREFUSED:
	case EAGAIN:
	case ETIMEDOUT:
		error_remedy(err, "start the other side first, or add reconnect-ms=1000 to wait "
				  "for it");
		break;
	case ENETUNREACH:
	case EHOSTUNREACH:
		error_remedy(err, "check the address, and the way to it: ip route get ADDRESS");
		break;
	case ENOTSOCK:
		error_remedy(err, "choose the path of the other side's socket");
		break;
	case EPROTOTYPE:
		error_remedy(err, "the socket there is no stream socket; is it a dgram port's?");
		break;
	case EACCES:
	case EPERM:
		error_remedy(err, "this user must be able to write the socket's file and to enter "
				  "the folders above it");
		break;
	default:
		break;
	}
}

int sock_connect(const struct sock_addrs *addrs, bool mptcp, int timeout_ms, const char *object,
		 struct vmtap_error *err)
{
	const struct sock_addr *last;
	char text[SOCK_TEXT_MAX];
	int ret = -EDESTADDRREQ;

	for (unsigned i = 0; i < addrs->cnt; i++) {
		ret = connect_one(&addrs->addr[i], mptcp, timeout_ms);
		if (ret >= 0)
			return ret;
	}
	last = &addrs->addr[addrs->cnt - 1];
	sock_addr_text(last, text);
	sock_connect_error(-ret, text, object, err);
	if (ret == -ECONNREFUSED && sock_addr_is_file(last) &&
	    sockfile_probe(last->un.sun_path) == SOCKFILE_OTHER) {
		error_set(err, -ret, object, "connect", "%s: %s: it is no socket", text,
			  strerror(-ret));
		error_remedy(err, "choose the path of the other side's socket");
	}
	return ret;
}

/* --------------------------------------------------------------------- common */

void sock_tune_stream(int fd, bool keep_alive)
{
	const int one = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)); /* refused by unix sockets */
	if (keep_alive)
		setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
}

int sock_local(int fd, struct sock_addr *addr)
{
	memset(addr, 0, sizeof(*addr));
	addr->len = sizeof(addr->un);
	return getsockname(fd, &addr->sa, &addr->len) < 0 ? -errno : 0;
}

int sock_peer(int fd, struct sock_addr *addr)
{
	memset(addr, 0, sizeof(*addr));
	addr->len = sizeof(addr->un);
	return getpeername(fd, &addr->sa, &addr->len) < 0 ? -errno : 0;
}
