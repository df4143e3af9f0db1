/* SPDX-License-Identifier: MIT */
/*
 * Which queue pair a frame for the guest goes to (virtio 1.2, 5.1.6.5.6,
 * "Automatic receive steering"): the one on which the guest sends that flow, so
 * that both directions are one processor's work; else one by the flow's hash.
 */
#ifndef PORT_VU_STEER_H
#define PORT_VU_STEER_H

#include "port/vu/dev.h"

#define STEER_SETS 1024
#define STEER_WAYS 4

/** struct steer_flow - @tag: of its hash; @pair: on which it was last seen, plus 1; 0: nothing is here */
struct steer_flow {
	uint16_t tag;
	uint8_t pair;
};

/**
 * struct steer - Flows and pairs
 * @pairs: pairs that take frames now; @cnt of them, 0: none
 * @flows: in the set that the hash says, the latest first. Flows that meet there do not move each other
 *         to and fro, which would reorder their frames
 */
struct steer {
	unsigned cnt;
	uint8_t pairs[VU_PAIRS_MAX];
	struct steer_flow flows[STEER_SETS][STEER_WAYS];
};

/** steer_reset() - No pair, no flow. */
void steer_reset(struct steer *s);
/** steer_learn() - The guest sent @frame on @pair. */
void steer_learn(struct steer *s, const struct vmtap_frame *frame, unsigned pair);
/** steer_pick() - The pair for a frame to the guest; @s->cnt is not 0. */
unsigned steer_pick(const struct steer *s, const struct vmtap_frame *frame);

#endif
