/* SPDX-License-Identifier: MIT */
/*
 * What a frame takes on a wire.
 *
 * A frame that is still to be segmented (GSO) takes as many frames as it will become, each with its own
 * headers, whoever cuts it. The FCS, the preamble and padding do not count.
 */
#ifndef FILTER_WIRE_H
#define FILTER_WIRE_H

#include "vmtap/vmtap.h"

/** struct wire - @bytes and @frames, at least 1, on the wire */
struct wire {
	uint64_t bytes;
	uint32_t frames;
};

/** wire_of() - Of one frame, which a guest may have made up: no more than an estimate for one whose headers
 *  are nonsense, and never less than its own bytes. */
struct wire wire_of(const struct vmtap_frame *frame);

#endif
