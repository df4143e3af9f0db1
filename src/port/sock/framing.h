/* SPDX-License-Identifier: MIT */
/*
 * QEMU's stream framing: a frame is preceded by its length, four bytes, big-endian.
 *
 * Model
 *   Bytes from the stream are appended to one buffer; complete frames are
 *   found in place and stay there until the caller says that they are done
 *   with. Nothing is copied but the beginning of a frame that the end of the
 *   buffer cut, once, to the front.
 *
 * What the peer may do wrong
 *   State a length that no frame has: the stream cannot be followed any
 *   further, so this is an error. State one shorter than an Ethernet header:
 *   those bytes are skipped.
 */
#ifndef PORT_SOCK_FRAMING_H
#define PORT_SOCK_FRAMING_H

#include <stdint.h>

#include "vmtap/vmtap.h"

#define FRAMING_PREFIX 4 /* bytes of the length */
#define FRAMING_SIZE (128 * 1024)
#define FRAMING_RUNT 14 /* what is shorter is not an Ethernet frame */

_Static_assert(FRAMING_SIZE >= FRAMING_PREFIX + VMTAP_FRAME_MAX, "the longest frame must fit");

/**
 * struct framing - A receive buffer and the frames in it
 * @data: FRAMING_SIZE bytes, owned
 * @head, @tail: bytes @head..@tail are not done with yet
 */
struct framing {
	uint8_t *data;
	size_t head, tail;
	struct iovec iov[VMTAP_BURST_MAX];
	struct vmtap_frame frames[VMTAP_BURST_MAX];
};

/** framing_init() - Return: 0 or -ENOMEM. */
int framing_init(struct framing *f);
void framing_fini(struct framing *f);

/** framing_reset() - Forget what was received: a new stream begins. */
void framing_reset(struct framing *f);

/** framing_room() - Where to receive to: at least one byte, and enough to complete the frame that
 *  is incomplete. Only when framing_parse() has returned 0. */
void *framing_room(struct framing *f, size_t *size);

/** framing_received() - @len bytes were put there. */
void framing_received(struct framing *f, size_t len);

/**
 * framing_parse() - Find complete frames, in @f->frames, at the front of the buffer
 * @max: at most so many, 1..VMTAP_BURST_MAX
 * @runts: increased by the runts that were skipped
 *
 * Return: frames found; 0: more bytes are needed; -EPROTO: the length at the front is impossible.
 */
int framing_parse(struct framing *f, unsigned max, unsigned *runts);

/** framing_done() - The first @cnt frames that framing_parse() found are done with. */
void framing_done(struct framing *f, unsigned cnt);

/** framing_pending() - Would framing_parse() find something to do? */
bool framing_pending(const struct framing *f);

/** framing_explain() - After -EPROTO: what was there, and what it may be. Return: @buf. */
const char *framing_explain(const struct framing *f, char *buf, size_t size);

#endif
