/* SPDX-License-Identifier: MIT */
/*
 * Keeping a rate: how many frames are due by now.
 *
 * What is due is worked out from the time since the start, not from interval
 * to interval, so late wake-ups are made up for and nothing drifts. What
 * could not be sent for long (the peer was held) is forgiven beyond a tenth
 * of a second's worth.
 */
#ifndef PORT_NULL_PACE_H
#define PORT_NULL_PACE_H

#include <stdint.h>

/** Highest rate, frames/s. */
#define PACE_RATE_MAX 1000000000u

/**
 * struct pace - One stream of frames
 * @rate: frames/s; 0: no limit
 * @used: frames of those due since @start_ns that were sent or forgiven
 */
struct pace {
	uint64_t rate, start_ns, used;
};

/** pace_start() - Begin; the first frame is due at once. */
void pace_start(struct pace *p, uint64_t rate, uint64_t now_ns);

/** pace_due() - Frames that may be sent now; UINT64_MAX without a limit. */
uint64_t pace_due(struct pace *p, uint64_t now_ns);

/** pace_spend() - @cnt of them were sent. */
void pace_spend(struct pace *p, uint64_t cnt);

/** pace_wait_ns() - When nothing is due: how long to wait, so that a frame is due then, and, at
 *  high rates, a burst or a millisecond's worth of them. */
uint64_t pace_wait_ns(const struct pace *p, uint64_t now_ns);

#endif
