/* SPDX-License-Identifier: MIT */
/*
 * Which queue pair a frame for the guest goes to (virtio 1.2, 5.1.6.5.6,
 * "Automatic receive steering"): the one on which the guest sends that flow, so
 * that both directions are one processor's work; else one by the flow's hash.
 */
#ifndef PORT_VU_STEER_H
#define PORT_VU_STEER_H

#include "port/vu/dev.h"

#define STEER_FLOWS 1024

/**
 * struct steer - Flows and pairs
 * @pairs: pairs that take frames now; @cnt of them, 0: none
 * @flows: the pair that a flow was last seen on, plus 1; 0: not seen
 */
struct steer {
	unsigned cnt;
	uint8_t pairs[VU_PAIRS_MAX];
	uint8_t flows[STEER_FLOWS];
};

/** steer_reset() - No pair, no flow. */
void steer_reset(struct steer *s);
/** steer_learn() - The guest sent @frame on @pair. */
void steer_learn(struct steer *s, const struct vmtap_frame *frame, unsigned pair);
/** steer_pick() - The pair for a frame to the guest; @s->cnt is not 0. */
unsigned steer_pick(const struct steer *s, const struct vmtap_frame *frame);

#endif
