/* SPDX-License-Identifier: MIT */
/*
 * Pings: probes that leave by a port, and a hook that catches their answers.
 *
 * Problem
 *   A network is slow, and somebody has to find out where: in our threads, in a queue that is full, or on the
 *   other side of the port. So a probe is timed where it changes hands:
 *
 *     due -- wait -> the lane's thread has it -- hand over -> the outside took it -- outside -> the answer is seen
 *
 * Model
 *   A probe has a slot, of which there are PING_IDENTS, until its fate is known. The control thread makes it
 *   PING_ASKED for a lane; a task in the lane's loop sends it, when the port is blocked, after the junction's
 *   frames that wait, or when those took all the room, before them the next time; the hook of any lane notes
 *   answers in its lane's ring. The control thread puts both together. A hook keeps what it caught, and has its
 *   lane answer solicitations for the probes' addresses.
 *
 * Clocks
 *   Where a lane is moved by the control thread, a probe is due when its timer should have fired, else when it
 *   is asked for: what other threads are late for is not the lane's doing.
 *
 * Ownership
 *   The port outlives the ping, or ping_detach() comes first.
 *
 * Threads
 *   Functions and callbacks are the control thread's. A slot is the lane's while it is PING_ASKED.
 */
#ifndef FILTER_PING_H
#define FILTER_PING_H

#include "net/port.h"

struct ping;

/**
 * struct ping_events - Called from env->loop
 * @probed: a probe's fate is known
 * @ended:  once; there will be no more. ping_free() may be called there
 */
struct ping_events {
	void (*probed)(void *opaque, const struct vmtap_ping_probe *probe);
	void (*ended)(void *opaque);
	void *opaque;
};

/** ping_new() - Begin. @config: borrowed; its id and callbacks are the caller's business. @events: copied.
 *  Return: owned; NULL and @err. */
struct ping *ping_new(struct port *p, const struct vmtap_ping_config *config,
		      const struct ping_events *events, struct vmtap_error *err);
/** ping_detach() - End. The port may go. @why: an error that ends it; NULL: it was told to. Any number of
 *  times, also from @probed and from inside the port. */
void ping_detach(struct ping *g, const struct vmtap_error *why);
/** ping_free() - Detach and free, without a callback; not from inside @probed or the port. NULL is fine. */
void ping_free(struct ping *g);

bool ping_is_over(const struct ping *g);
/** ping_error() - NULL: there was none. */
const struct vmtap_error *ping_error(const struct ping *g);
/** ping_method() - What it asks, in words. */
const char *ping_method(const struct ping *g);
void ping_stats(const struct ping *g, struct vmtap_ping_stats *stats);

#endif
