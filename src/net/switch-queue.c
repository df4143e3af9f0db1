/* SPDX-License-Identifier: MIT */
/*
 * Frames on their last step to a port of a switch.
 *
 * A port that takes frames gets them as they are; what it leaves is copied to its queue and goes when it
 * says that it has room. Nobody waits for it.
 */
#include <errno.h>
#include <string.h>

#include "base/container.h"
#include "net/switch-int.h"

/* What a frame takes of the queue: its bytes, or its place. */
static uint32_t cost(const struct switch_member *m, uint32_t len)
{
	uint32_t place = m->queue.size / m->queue.max;

	return len > place ? len : place;
}

/* Of the room that is left, one sender gets half at most: who floods leaves room for others. */
static bool may_queue(const struct switch_member *m, uint32_t need)
{
	return m->queued <= m->queue.size &&
	       m->share[m->from->slot] + need <= m->queue.size - m->queued;
}

static void queue_frames(struct switch_member *m, const struct vmtap_frame *frames, unsigned cnt)
{
	uint32_t *share = &m->share[m->from->slot];

	for (unsigned i = 0; i < cnt; i++) {
		uint32_t need = cost(m, frames[i].len);

		if (!may_queue(m, need) || !frameq_push(&m->queue, &frames[i], m->from->slot)) {
			lane_drop_tx(m->port->lanes, VMTAP_DROP_QUEUE_FULL, NULL, 1);
			continue;
		}
		*share += need;
		m->queued += need;
	}
}

static void unqueue(struct switch_member *m, unsigned cnt)
{
	while (cnt--) {
		uint32_t len;
		unsigned slot = frameq_drop(&m->queue, &len), need = cost(m, len);

		/* the sender may have left, and another have its slot */
		m->share[slot] -= need < m->share[slot] ? need : m->share[slot];
		m->queued -= need;
	}
}

void switch_purge(struct switch_member *m)
{
	unsigned lost = frameq_purge(&m->queue);

	m->queued = 0;
	memset(m->share, 0, sizeof(m->share));
	if (lost && m->port)
		lane_drop_tx(m->port->lanes, VMTAP_DROP_PURGED, NULL, lost);
}

static bool is_free(const struct switch_member *m)
{
	return !m->gone && !m->sending && !m->port->lanes->blocked;
}

static unsigned hand_out(struct switch_member *m, const struct vmtap_frame *frames, unsigned cnt)
{
	unsigned taken;

	m->sending = true;
	taken = lane_send(m->port->lanes, frames, cnt);
	m->sending = false;
	return taken;
}

/* The port may take less than when they began to wait: those are lost that it would not understand. */
void switch_drain(struct switch_member *m)
{
	struct vmtap_frame frames[VMTAP_BURST_MAX];
	struct iovec iov[VMTAP_BURST_MAX];

	while (is_free(m)) {
		unsigned cnt = frameq_peek(&m->queue, frames, iov, VMTAP_BURST_MAX), ready, taken;

		if (!cnt)
			break;
		ready = offload_ready_run(frames, cnt, m->port->accepts);
		if (!ready) {
			unqueue(m, 1);
			lane_drop_tx(m->port->lanes, VMTAP_DROP_PURGED, NULL, 1);
			continue;
		}
		taken = hand_out(m, frames, ready);
		if (m->gone)
			break;
		unqueue(m, taken);
		if (taken < ready)
			break;
	}
}

/* Frames that need nothing more. */
static void put(struct switch_member *m, const struct vmtap_frame *frames, unsigned cnt)
{
	const struct switch_member *from = m->from;
	unsigned taken = 0;

	if (m->queue.cnt)
		switch_drain(m);
	if (is_free(m) && !m->queue.cnt)
		taken = hand_out(m, frames, cnt);
	if (m->gone)
		return;
	m->from = from; /* others may have sent to it meanwhile */
	queue_frames(m, frames + taken, cnt - taken);
	if (taken == cnt && m->queue.cnt) /* those did */
		switch_drain(m);
}

int switch_emit(struct offload_out *out, const struct vmtap_frame *frame)
{
	struct switch_member *m = container_of(out, struct switch_member, finished);

	if (m->gone)
		return -EPIPE;
	put(m, frame, 1);
	return 0;
}

void switch_bring(struct switch_member *m, const struct switch_member *from,
		  const struct vmtap_frame *frames, unsigned cnt, void *scratch)
{
	unsigned done = 0;

	while (done < cnt && !m->gone) {
		const unsigned accepts = m->port->accepts;
		unsigned run = offload_ready_run(frames + done, cnt - done, accepts);

		m->from = from;
		if (run) {
			put(m, frames + done, run);
			done += run;
			continue;
		}
		if (offload_finish(&frames[done], accepts, scratch, &m->finished) == -EINVAL &&
		    !m->gone)
			lane_drop_tx(m->port->lanes, VMTAP_DROP_BAD_HEADER, NULL, 1);
		done++;
	}
}
