/* SPDX-License-Identifier: MIT */
/*
 * Limits of a port: bits and frames a second, each way.
 *
 * Model
 *   A hook of the port. Frames beyond the limit are not dropped: they stay with whoever has them (a TAP's
 *   queue, a guest's ring, a socket), until a timer says that there is credit again. A frame counts as it
 *   is on a wire (filter/wire.h), when it was taken.
 *
 * Ownership
 *   Made for a port, freed before it, after it was closed.
 *
 * Threads
 *   Set from the thread of env->loop. A port's lanes share the limit; each has a timer in its own loop.
 */
#ifndef FILTER_LIMIT_H
#define FILTER_LIMIT_H

#include "net/port.h"

struct limit;

/** limit_new() - No limit yet. Return: owned; NULL: no memory. */
struct limit *limit_new(struct port *p);
/** limit_free() - NULL is fine. */
void limit_free(struct limit *l);

/** limit_set() - From now on. @value: 0 for what has no limit.
 *  Return: 0, or -EINVAL, -EBUSY (the kernel carries the frames) and @err. */
int limit_set(struct limit *l, enum port_way way, const struct vmtap_limit *value,
	      struct vmtap_error *err);

/** limit_get() - As it was set, with the burst that is in force. */
struct vmtap_limit limit_get(const struct limit *l, enum port_way way);

#endif
