/* SPDX-License-Identifier: MIT */
/*
 * Descriptors of ports in the service manager's store (sd_notify(3), FDSTORE=1): a restart keeps TAPs.
 *
 * Model
 *   The store is the keeper (struct vmtap_keeper) of the ports that come from the configuration file. What a
 *   port has kept is stored as "vmtap/ROLE/DESCRIPTION/PORT", where DESCRIPTION is a hash of the port's: the
 *   next run hands it to the port that is described in the same way, and has all else removed before it
 *   opens ports, since an interface that is still open could not be opened otherwise.
 *   A removal is waited for: only then does the interface go when the port closes. So is, at the end, what was
 *   stored last: connections come only then.
 *
 *   Which service has a store is said by $FDSTORE, as systemd.service(5) has it: systemd sets it from
 *   version 254 on, before that the unit does. Without, nothing is stored, and what ports have goes with them.
 *
 * What the manager may do wrong
 *   Not answer: it is waited for a few seconds, once. Pass anything: ports check what they are given.
 *
 * Threads
 *   The thread that calls vmtap_dispatch().
 */
#ifndef CLI_FDSTORE_H
#define CLI_FDSTORE_H

#include "ctl/conffile.h"
#include "ctl/state.h"

struct fdstore;
struct inherit;

/** fdstore_new() - Take what an earlier run stored out of @in. Return: owned, to be freed after the state;
 *  NULL: out of memory. */
struct fdstore *fdstore_new(struct inherit *in);
/** fdstore_free() - Close what no port took. What is stored stays. NULL is fine. */
void fdstore_free(struct fdstore *f);

/** fdstore_begin() - Be the keeper of @s, borrowed, and have what belongs to no port of @file removed; NULL: there
 *  is no file. Keeps nothing where there is no store. */
void fdstore_begin(struct fdstore *f, struct state *s, const struct conffile *file);
/** fdstore_settle() - The file's ports are open: what none of them took is removed. */
void fdstore_settle(struct fdstore *f);

/** fdstore_remove() - Have the manager remove what it may have stored under @name. */
void fdstore_remove(const char *name);

#endif
