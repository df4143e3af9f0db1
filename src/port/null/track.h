/* SPDX-License-Identifier: MIT */
/*
 * Frames that a `null` port generates, and what a receiver learns from them.
 *
 * Layout, big-endian
 *   14 bytes  Ethernet header, type 0x88b5 (IEEE 802: local experimental)
 *    8 bytes  sequence number, from 0
 *    8 bytes  when it was sent: nanoseconds of CLOCK_MONOTONIC, one value a burst
 *    8 bytes  "vmtapgen"
 *   the rest  zero
 *
 * Model
 *   A stream is what comes from one source address. A number that is higher
 *   than expected means that those between are lost, until one of them
 *   arrives late: then it was reordered. (A duplicate therefore hides a loss.)
 *   A lower number with a newer time is no late frame, but a sender that
 *   started again.
 */
#ifndef PORT_NULL_TRACK_H
#define PORT_NULL_TRACK_H

#include "vmtap/vmtap.h"

/** Bytes of a generated frame that differ from frame to frame, and all that track_frame() reads. */
#define TRACK_VARYING 30
#define TRACK_HEAD 38
#define TRACK_MAGIC "vmtapgen"

/** Streams that one receiver tells apart. */
#define TRACK_STREAMS 8

struct track_stream {
	uint8_t src[6];
	uint64_t next; /* expected sequence number */
	uint64_t newest_ns;
	uint64_t lost;
};

/**
 * struct track - A receiver's account; zero-initialise it
 * @received:  generated frames, of streams that were told apart
 * @reordered: of @received, those that came late
 * @restarts:  times that a sender started again
 * @other:     all other frames
 */
struct track {
	struct track_stream streams[TRACK_STREAMS];
	unsigned stream_cnt, last;
	uint64_t received, reordered, restarts, other;
};

/** track_write() - The first TRACK_VARYING bytes of a frame. */
void track_write(uint8_t *head, const uint8_t dst[6], const uint8_t src[6], uint64_t seq,
		 uint64_t now_ns);

/** track_frame() - Account for one frame, generated or not. */
void track_frame(struct track *t, const struct vmtap_frame *frame);

/** track_lost() - Frames of all streams that did not arrive. */
uint64_t track_lost(const struct track *t);

#endif
