/* SPDX-License-Identifier: MIT */
/* Making sockets: listening ones, connecting ones, inherited ones. All non-blocking, close-on-exec. */
#ifndef SOCK_SOCKFD_H
#define SOCK_SOCKFD_H

#include "base/sockfile.h"
#include "sock/sockaddr.h"

struct port_env;

/**
 * struct sock_want - What an inherited socket has to be
 * @type: SOCK_STREAM or SOCK_DGRAM
 * @unix_only: it has to pass descriptors
 * @role: SOCK_LISTENING: it is made to listen if it does not yet
 */
struct sock_want {
	int type;
	bool unix_only;
	enum {
		SOCK_CONNECTED,
		SOCK_LISTENING,
		SOCK_BOUND
	} role;
};

/** sock_take_fd() - Take over the descriptor that fd= names.
 *  Return: owned; -errno and @err, and a numbered descriptor stays with the caller. */
int sock_take_fd(const struct port_env *env, const char *text, const struct sock_want *want,
		 const char *object, struct vmtap_error *err);

/** sock_check_fd() - Would sock_take_fd() take it? It stays where it is. */
int sock_check_fd(const struct port_env *env, const char *text, const struct sock_want *want,
		  const char *object, struct vmtap_error *err);

/**
 * struct sock_listen - What sock_listen() needs to know
 * @spec: to, dual, mptcp; @addrs: what it stands for; the first that can be bound is taken
 * @mode: of a unix socket's file, or SOCKFILE_NO_MODE
 */
struct sock_listen {
	const struct sock_spec *spec;
	const struct sock_addrs *addrs;
	int mode;
};

/** sock_bind_unix() - sockfile_bind() to a unix address, which may be an abstract name. */
int sock_bind_unix(struct sockfile *file, int fd, const struct sock_addr *addr, int mode,
		   const char *object, struct vmtap_error *err);
/** sock_check_unix() - Would it succeed? Changes nothing. */
int sock_check_unix(const struct sock_addr *addr, const char *object, struct vmtap_error *err);

/** sock_listen() - Return: a listening stream socket, owned, and @file; -errno and @err. */
int sock_listen(const struct sock_listen *how, struct sockfile *file, const char *object,
		struct vmtap_error *err);

/** sock_connect_start() - Begin to connect a stream socket.
 *  Return: owned, @pending: wait for it to be writable, then sock_connect_finish(); -errno. */
int sock_connect_start(const struct sock_addr *addr, bool mptcp, bool *pending);
/** sock_connect_finish() - Return: 0: connected; -errno: it failed. */
int sock_connect_finish(int fd);

/** sock_connect() - Connect to the first of @addrs that answers, waiting at most @timeout_ms for
 *  each. Return: owned; -errno and @err. */
int sock_connect(const struct sock_addrs *addrs, bool mptcp, int timeout_ms, const char *object,
		 struct vmtap_error *err);

/** sock_connect_error() - Say that a connection to @where failed with @code, and what helps. */
void sock_connect_error(int code, const char *where, const char *object, struct vmtap_error *err);

/** sock_tune_stream() - Send what there is at once; keep-alive when asked for. */
void sock_tune_stream(int fd, bool keep_alive);

/** sock_local(), sock_peer() - Addresses of a socket. Return: 0 or -errno. */
int sock_local(int fd, struct sock_addr *addr);
int sock_peer(int fd, struct sock_addr *addr);

#endif
