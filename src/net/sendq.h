/* SPDX-License-Identifier: MIT */
/*
 * A queue of frames that wait for their receiver.
 *
 * Frames are copied in and leave in order. Each may have a callback that is
 * called exactly once: with the frame's length when it was delivered, with
 * -ECANCELED when it was purged. Callbacks may push to the queue and purge it.
 */
#ifndef NET_SENDQ_H
#define NET_SENDQ_H

#include "vmtap/vmtap.h"

/** Frames without a callback that one queue holds at most. A sender with a
 *  callback is expected to wait for it, so its frames are always taken. */
#define SENDQ_MAX 10000

struct sendq_item;

/**
 * struct sendq - Zero-initialise it
 * @complete: calls @done for its owner; NULL: it is called directly
 */
struct sendq {
	void (*complete)(void *ctx, vmtap_sent_cb *done, void *opaque, ssize_t status);
	void *ctx;
	struct sendq_item *first, *last;
	unsigned cnt;
	bool delivering;
};

/**
 * sendq_push() - Queue a copy of @frame
 * @size: what @done is told as its status when the frame was delivered
 * Return: 0; -ENOBUFS: full, and @done is NULL; -ENOMEM.
 */
int sendq_push(struct sendq *q, const struct vmtap_frame *frame, size_t size, vmtap_sent_cb *done,
	       void *opaque);

/** sendq_flush() - Deliver in order while @deliver returns true. Does nothing when called from
 *  inside itself. Return: frames that are left. */
unsigned sendq_flush(struct sendq *q, bool (*deliver)(void *ctx, const struct vmtap_frame *frame),
		     void *ctx);

/** sendq_purge() - Drop everything. Return: frames dropped. */
unsigned sendq_purge(struct sendq *q);

#endif
