/* SPDX-License-Identifier: MIT */
/*
 * Connections that outlive an orderly restart: see net/keeper.h.
 *
 * Problem
 *   After a crash nobody knows which part of a frame has gone over a connection, or was received. So it cannot be
 *   stored in advance: it is left behind when the program ends in order, with what is needed to go on at the byte.
 *   That has to be there with it, be of that connection, and be used once.
 *
 * Model
 *   A port that closes while the program leaves has two descriptors kept: its connection, and a sealed memfd with
 *   the state that the port's save() wrote, which names the connection by SO_COOKIE. The next run's port takes
 *   both, has both dropped, and cuts the memfd to nothing, all before the first byte moves: whoever comes by that
 *   memfd again, from a keeper that did not listen, finds it empty. One without the other is of no use: the
 *   connection is closed, and the port goes on as if nothing had been kept.
 *
 * What the keeper may do wrong
 *   Give anything, or one of the two, or an old one. What is not right is let go of, with a warning.
 */
#ifndef SOCK_CONNKEEP_H
#define SOCK_CONNKEEP_H

#include "sock/conn.h"

/** conn_keep_find() - While the port opens: go on with the connection that an earlier run left, as @c->next_fd. */
void conn_keep_find(struct conn *c, const struct conn_conf *conf);

/** conn_keep_leave() - Before the port lets go of its connection: leave it to the next run, if there is to be one. */
void conn_keep_leave(struct conn *c);

#endif
