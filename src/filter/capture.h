/* SPDX-License-Identifier: MIT */
/*
 * Captures: a hook of a port that copies its frames, and a thread that writes them to a file.
 *
 * Problem
 *   A disk stalls for seconds, a pipe's reader stops reading. Neither may hold up the port, and the
 *   data path neither waits, allocates nor makes a system call for a capture.
 *
 * Model
 *   Each lane of the port has a ring (capring.h). The hook copies frames into it, after the filter wanted
 *   them; a frame that finds no room is counted. The writer drains all rings, puts what it found in the order
 *   of time, finishes checksums and segments, and writes blocks (pcapng.h, capfile.h).
 *
 * Order
 *   The hook is told of frames after they were handed on: an answer that was made inside of that call is put into
 *   the ring before what it answers. So the time is that of entering, and the writer leaves records of the
 *   last moments (CAPTURE_SETTLE_NS) where they are, until what belongs in front of them must be there.
 *
 * Threads
 *   capture_new() to capture_free() are the thread's that has the port. The hook runs in the lanes'
 *   threads. A record belongs to its lane until it is published, then to the writer.
 */
#ifndef FILTER_CAPTURE_H
#define FILTER_CAPTURE_H

#include "net/port.h"

struct capture;

/** How long a record waits for what came before it. */
#define CAPTURE_SETTLE_NS (2 * 1000000ull)

/**
 * capture_new() - Begin
 * @config: borrowed; its descriptors are taken in any case. Its id and callback are the caller's business
 * @ended:  called from env->loop, once, when the writer has ended; capture_free() may be called there
 * Return: owned; NULL and @err.
 */
struct capture *capture_new(struct port *p, const struct vmtap_capture_config *config,
			    void (*ended)(void *opaque), void *opaque, struct vmtap_error *err);
/** capture_detach() - See no more frames; the writer ends when all is written. The port may go. Any
 *  number of times. */
void capture_detach(struct capture *c);
/** capture_wait() - Until the writer has ended, after capture_detach(). @ended is not called from now on. */
void capture_wait(struct capture *c);
/** capture_free() - Detach, wait and free. NULL is fine. */
void capture_free(struct capture *c);

bool capture_is_over(const struct capture *c);
/** capture_error() - NULL: there was none, yet. */
const struct vmtap_error *capture_error(const struct capture *c);
void capture_stats(const struct capture *c, struct vmtap_capture_stats *stats);

#endif
