/* SPDX-License-Identifier: MIT */
/*
 * The other end of the control socket: asking a server.
 *
 * Everything here waits, for as long as the server takes; who has something else to do meanwhile brings a struct ask_wait.
 * What the server says is read with the same care as what clients say to it.
 */
#ifndef CTL_ASK_H
#define CTL_ASK_H

#include <jansson.h>

#include "vmtap/vmtap.h"

struct ask;

/** ask_path() - Where the server's socket is: @option, else $VMTAP_CONTROL, else SERVER_PATH. */
const char *ask_path(const char *option);

/**
 * struct ask_wait - How to wait for the server
 * @wait: until @fd is readable; -1: a moment, since the server has no room for another client. Return: 0, or -errno:
 *        the waiting is over, and so is the connection
 */
struct ask_wait {
	int (*wait)(void *opaque, int fd);
	void *opaque;
};

/** ask_open() - Connect and agree on capabilities. Return: owned; NULL and @err. */
struct ask *ask_open(const char *path, struct vmtap_error *err);
/** ask_open_with() - The same; @wait: borrowed until ask_close(). */
struct ask *ask_open_with(const char *path, const struct ask_wait *wait, struct vmtap_error *err);
void ask_close(struct ask *a);
/** ask_fd() - Its socket, borrowed: for a signal's handler, which may send a command of its own, or shut it down. */
int ask_fd(const struct ask *a);

/**
 * ask_run() - Have a command run
 * @args: borrowed; NULL: none
 * @fd:   borrowed, goes along; -1: none
 * Return: the answer, owned, with "return" or "error"; NULL and @err: the connection is gone.
 *         Events that came meanwhile wait for ask_event().
 */
json_t *ask_run(struct ask *a, const char *command, json_t *args, int fd, struct vmtap_error *err);

/** ask_event() - Wait for the next event. Return: owned; NULL and @err: the server has ended. */
json_t *ask_event(struct ask *a, struct vmtap_error *err);

#endif
