/* SPDX-License-Identifier: MIT */
/*
 * The life of a port that has one connection at a time: peers that come and go.
 *
 * Model
 *   The port embeds a struct conn, which brings connections, one after the
 *   other, and says who came and why they went; the port moves what it moves
 *   over @fd. A listening one serves one peer after the other: while one is
 *   connected the listening socket is not watched, and others wait in its
 *   queue. A connecting one has its connection from the start, or, with
 *   reconnect-ms, tries until there is one, each address in turn.
 *
 *     listening:   waiting --accept--> begin() ... conn_lost() --> waiting
 *     connecting:  begin() ... conn_lost() --> the port is broken
 *     with reconnect-ms:  waiting --connect--> begin() ... conn_lost() --> timer, connect
 *     left by an earlier run (sock/connkeep.h):  begin() ... as before
 *
 *   The port sets itself UP, in begin() or when it is ready; conn_lost() sets it WAITING.
 *
 * What the peer may do wrong
 *   Come and go as often as it likes: lines in the log are limited, a failed
 *   accept() for want of descriptors is tried again a second later, and a
 *   connection attempt that nobody answers is given up after ten.
 */
#ifndef SOCK_CONN_H
#define SOCK_CONN_H

#include <sys/types.h>

#include "base/sockfile.h"
#include "net/port.h"
#include "sock/connconf.h"

struct conn;

/**
 * struct conn_ops - What the port is told
 * @begin: @c->fd is connected, non-blocking. Return: 0; -errno: it cannot be used, and is closed.
 *         Not the place for conn_lost()
 * @end:   after begin() returned 0: the connection is over, let go of @c->fd, which is closed then
 * @save:  the program ends in order: what the next run needs to go on with the connection, which has not begun or
 *         is about to end(), and is called @id; from now on nothing is read or written. @state: memory of
 *         malloc(), the caller's. Return: bytes of it; -errno. NULL: its connections end with the program
 * @restore: before begin(): that is what an earlier run left of the connection that is called @id.
 *         Return: NULL; or why it cannot go on, a clause, and then @c is as if it had not been asked
 */
struct conn_ops {
	int (*begin)(struct conn *c);
	void (*end)(struct conn *c);
	ssize_t (*save)(struct conn *c, uint64_t id, uint8_t **state);
	const char *(*restore)(struct conn *c, uint64_t id, const uint8_t *state, size_t len);
};

/**
 * struct conn - What brings a port its connections
 * @object:     what errors name
 * @fd:         the connection, from begin() to end(), owned here; -1: none
 * @timeout_ns: for an attempt to connect; @pause_ns: after a failed accept(). Tests shorten them
 *
 * The rest is conn.c's.
 *
 * @infos:      limits lines about peers that come and go
 * @listen_fd:  -1 when connecting
 * @next_fd:    what is to become the connection; -1
 * @connecting: @next_fd waits for the peer's answer
 * @next_addr:  the address to try next
 * @told:       the failure to connect has been logged
 * @kept:       @listen_fd outlives the program (sock/sockkeep.h)
 * @taken:      @next_fd is of an earlier run
 * @watch:      of @listen_fd, or of @next_fd
 */
struct conn {
	const struct conn_ops *ops;
	struct port *port;
	char object[80];
	int fd;
	uint64_t timeout_ns, pause_ns;

	struct log_limit infos;
	bool server, keep_alive, mptcp, inherited, connecting, told, kept, taken;
	uint64_t reconnect_ns;
	struct sock_addrs addrs;
	unsigned next_addr;
	int listen_fd, next_fd;
	struct loop_watch watch;
	struct loop_timer timer;
	struct sockfile file;
};

/** conn_init() - Before all else; @port is borrowed. */
void conn_init(struct conn *c, const struct conn_ops *ops, struct port *port, const char *object);

/** conn_open() - Listen, or connect unless that is to be tried again and again; may wait for the
 *  peer. What fails leaves nothing behind. Return: 0 or -errno and @err. */
int conn_open(struct conn *c, const struct conn_conf *conf, struct vmtap_error *err);

/** conn_check() - Would conn_open() succeed? Changes nothing. */
int conn_check(const struct port_env *env, const struct conn_conf *conf, const char *object,
	       struct vmtap_error *err);

/** conn_start() - The first connection may begin, in this call already. Return: 0 or -errno and @err. */
int conn_start(struct conn *c, struct vmtap_error *err);

/** conn_lost() - The connection is over: end() is called, and the port waits for the next, or, where
 *  none can come, fails. @why is a clause: "the peer closed the connection". */
void conn_lost(struct conn *c, int code, const char *why);
/** conn_broken() - The same, with an error that says what the peer did wrong. */
void conn_broken(struct conn *c, const struct vmtap_error *err);

/** conn_close() - End what there is, unlink the socket's file. */
void conn_close(struct conn *c);

/** conn_describe() - "server=on,path=/run/a.sock (connected)"; as snprintf(). */
int conn_describe(const struct conn *c, char *buf, size_t size);
/** conn_get_fd() - The connection, else what is to become one, else what listens; -1. Borrowed. */
int conn_get_fd(const struct conn *c);

#endif
