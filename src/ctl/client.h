/* SPDX-License-Identifier: MIT */
/*
 * A connection to the control socket.
 *
 * Model
 *   The library's loop says that the socket is ready; then, between dispatches, client_turn() writes what
 *   waits, reads, and runs commands, a bounded number. Nothing blocks. While much of the
 *   output waits, nothing is read, so that answers cannot pile up: what waits is no more than
 *   CLIENT_OUT_HIGH, an answer of any length, and CLIENT_EVENTS_MAX.
 *
 * What the peer may do wrong
 *   Not read: events that would exceed CLIENT_EVENTS_MAX end the connection. Send descriptors that
 *   nobody asked for: they are closed when the command that they came with was run.
 */
#ifndef CTL_CLIENT_H
#define CTL_CLIENT_H

#include <jansson.h>
#include <stdbool.h>

#include "ctl/command.h"

/** Output that waits for a client, in bytes, above which its commands wait, too. */
#define CLIENT_OUT_HIGH (64 * 1024)
/** Of events, which nobody can hold back, as many as may wait. */
#define CLIENT_EVENTS_MAX (1024 * 1024)

struct client;

/** client_new() - Takes @fd, also when it fails. Greets. Return: owned; NULL and @err. */
struct client *client_new(struct state *s, int fd, enum role role, struct vmtap_error *err);
/** client_free() - Close the connection. */
void client_free(struct client *c);

/** client_event() - Have an event sent, as text with its line end; clients that did not negotiate
 *  yet get none. */
void client_event(struct client *c, const char *text, size_t len);

/** client_turn() - Do what there is to do. Return: whether there is more to be done at once. */
bool client_turn(struct client *c);

/** client_role() - What it may do. */
enum role client_role(const struct client *c);

/** client_is_ready() - There is something to do, an event that came after its turn, say. */
bool client_is_ready(const struct client *c);

/** client_is_over() - It left, or has to: free it. */
bool client_is_over(const struct client *c);

#endif
