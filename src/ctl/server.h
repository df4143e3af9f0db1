/* SPDX-License-Identifier: MIT */
/*
 * The control socket: who connects, and what they may do.
 *
 * Permissions
 *   Root and the user of the server may do everything. So may the members of @group, which the socket's file
 *   gets; everybody else who can connect, since @mode says so, may only look. Credentials are
 *   the kernel's, of the moment of connecting (SO_PEERCRED, SO_PEERGROUPS).
 *
 * Turns
 *   Callbacks of the library only note who has something to say. server_run() does it, between dispatches,
 *   so that commands may close ports and see them closed.
 */
#ifndef CTL_SERVER_H
#define CTL_SERVER_H

#include <stdbool.h>
#include <sys/types.h>

#include "ctl/state.h"

/** Where the socket is when nothing else is said. */
#define SERVER_PATH "/run/vmtap/control.sock"
/** Connections at a time; one more is refused with an error. */
#define SERVER_CLIENTS_MAX 128
/** Of these, at most so many of those who may only look, that the others can always come. */
#define SERVER_READERS_MAX 96

#define SERVER_NO_GROUP ((gid_t)-1)
#define SERVER_NO_MODE (-1)

/**
 * struct server_config - How to listen
 * @path:  the socket's file; NULL: @fd listens already
 * @mode:  its permissions; SERVER_NO_MODE: 0600, or 0660 with @group
 * @group: SERVER_NO_GROUP: none
 */
struct server_config {
	const char *path;
	int fd;
	int mode;
	gid_t group;
};

struct server;

/** server_new() - Listen. @config: borrowed; its @fd is taken. Return: owned; NULL and @err. */
struct server *server_new(struct state *s, const struct server_config *config,
			  struct vmtap_error *err);
/** server_free() - End all connections and give the path back. NULL is fine. */
void server_free(struct server *v);

/** server_run() - After each vmtap_dispatch(). Return: whether there is more to be done at once. */
bool server_run(struct server *v);

/** server_cannot_give() - Fill @err: @object's file could not be given to its group. Return: -@code. */
int server_cannot_give(int code, const char *object, struct vmtap_error *err);

#endif
