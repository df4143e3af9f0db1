/* SPDX-License-Identifier: MIT */
/* The parts of vu-front-tool. */
#ifndef NET_VU_TOOL_H
#define NET_VU_TOOL_H

#include "vu-front.h"

/** struct flood - What is to be sent and received by vu_flood(), and what came of it
 *
 * @change is "pairs": one is disabled, and enabled again the next time; "memory": the same with the last
 * region, which nobody uses; "rings": those of a pair are stopped and started. @refused: that did not work. */
struct flood {
	unsigned pair;
	bool all; /* on all pairs in turn, in place of @pair */
	const char *
		change; /* what the front end changes after each @every frames that were sent; NULL: nothing */
	uint32_t every;
	uint32_t tx, rx, first, min, max; /* frames each way, first number, sizes */
	int idle_ms;			  /* ends when nothing happens for so long */

	uint32_t sent, received, lost, disordered, bad, chains, waits, changes;
	bool closed, refused;
};

/** vu_flood_send() - Make frame @number of a flood available on @vq, without a kick. Return: false: no room. */
bool vu_flood_send(struct vuf *f, const struct flood *flood, struct vuf_queue *vq, uint32_t number);

/** vu_flood() - Numbered frames out of queue 2 * pair + 1, and such frames into all receive queues. */
void vu_flood(struct vuf *f, struct flood *flood);

/** vu_break() - Make a chain available that no driver may, by name. Return: false: no such name for
 *  this kind of ring. */
bool vu_break(struct vuf *f, struct vuf_queue *vq, const char *kind);

#endif
