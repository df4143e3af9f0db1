/* SPDX-License-Identifier: MIT */
/*
 * A link: two ports joined.
 *
 * Model
 *   What enters one port leaves by the other. Offloads are negotiated: each
 *   port is told what the other accepts, and what a frame still needs beyond
 *   that is finished in software on the way.
 *
 * Lanes
 *   Two ports with as many queue pairs are joined pair by pair: what enters by
 *   one leaves by the other's of the same number, and each pair is a lane of its own. Otherwise
 *   there is one lane, and each port sees for itself which queue it uses. A lane's two ends have
 *   the same loop.
 *
 * Back-pressure
 *   Goes through, port to port. Only the rest of a frame that was segmented
 *   in software, when the receiver took a part of the segments, waits in the link.
 *
 * Re-entrance
 *   A receiver may send from inside its receive function. In the same
 *   direction again (two ports that answer each other), the offer is held
 *   and resumed from the loop, so that the stack is bounded.
 */
#ifndef NET_LINK_H
#define NET_LINK_H

#include "net/port.h"

struct link;

/** link_new() - Join and start two ports of one environment; its workers, if there are any and both can
 *  move, get the lanes in turn. Return: owned; NULL and @err. */
struct link *link_new(struct port *a, struct port *b, struct vmtap_error *err);

/** link_close() - Part the ports; the memory stays until link_free(). Any number of times. */
void link_close(struct link *l);
bool link_is_closed(const struct link *l);

/** link_free() - Close and free; not from inside a call into the link. NULL is fine. */
void link_free(struct link *l);

#endif
