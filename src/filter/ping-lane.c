/* SPDX-License-Identifier: MIT */
/* Pings, in the threads that move frames: probes are sent, answers are caught. */
#include <string.h>

#include "base/clock.h"
#include "base/container.h"
#include "base/counter.h"
#include "filter/ping-int.h"

static struct ping *of_hook(struct port_hook *h)
{
	return container_of(h, struct ping, hook);
}

/* ------------------------------------------------------------------ sending */

/* Of the probes that this lane was asked for, the first. */
static struct ping_slot *first_asked(struct ping_lane *pl)
{
	struct ping_slot *first = NULL;

	for (unsigned i = 0; i < PING_IDENTS; i++) {
		struct ping_slot *s = &pl->ping->slots[i];

		if (atomic_load_explicit(&s->state, memory_order_acquire) != PING_ASKED ||
		    s->lane != pl->lane->index)
			continue;
		if (!s->ran_ns)
			s->ran_ns = clock_ns();
		if (!first || s->seq < first->seq)
			first = s;
	}
	return first;
}

/* Return: whether the port took it, or discarded it. */
static bool send_frame(struct port_lane *l, uint8_t *bytes, unsigned len)
{
	struct iovec iov = { .iov_base = bytes, .iov_len = len };
	const struct vmtap_frame frame = { .len = len, .iov = &iov, .iov_cnt = 1 };

	return lane_send(l, &frame, 1) == 1;
}

/* Return: whether it is gone. */
static bool send_probe(struct ping_lane *pl, struct ping_slot *s)
{
	const struct vmtap_counters *tx = &pl->lane->stats.tx, before = *tx;
	uint8_t bytes[PING_LOOK];
	int state = PING_SENT;

	if (!send_frame(pl->lane, bytes, ping_frame(&pl->ping->asker, s->seq, bytes)))
		return false;
	s->took_ns = clock_ns();
	s->waited_ns = loop_waited_ns(pl->lane->loop);
	if (tx->frames == before.frames) {
		state = PING_DROPPED;
		for (int i = 0; i < VMTAP_DROP_CNT; i++)
			if (tx->drops[i] != before.drops[i])
				s->cause = (enum vmtap_drop)i;
	}
	atomic_store_explicit(&s->state, state, memory_order_release);
	lane_post(pl->lane, &pl->ping->collect);
	return true;
}

static bool send_advert(struct ping_lane *pl)
{
	const struct ping_seen *s = &pl->solicits[pl->solicit_cnt - 1];
	uint8_t bytes[PING_LOOK];

	if (!send_frame(pl->lane, bytes, ping_advert(&pl->ping->asker, s, bytes)))
		return false;
	pl->solicit_cnt--;
	return true;
}

static bool has_frames(struct ping_lane *pl)
{
	return pl->solicit_cnt || first_asked(pl);
}

/* What a blocked port does not take stays: writable() comes back to it. */
void ping_lane_run(struct loop_task *t)
{
	struct ping_lane *pl = container_of(t, struct ping_lane, send);
	const bool ours = pl->refused; /* the port was blocked by nobody else */
	struct ping_slot *s = first_asked(pl);
	bool open = ours || !pl->lane->blocked;

	pl->next = pl->woken && !open;
	pl->woken = pl->refused = false;
	while (open && pl->solicit_cnt)
		open = send_advert(pl);
	for (; open && s; s = first_asked(pl))
		open = send_probe(pl, s);
	if (ours && open)
		port_hook_open(pl->lane, PORT_TX);
}

static void writable(struct port_hook *h, struct port_lane *l)
{
	struct ping_lane *pl = &of_hook(h)->lanes[l->index];

	if (!has_frames(pl))
		return;
	pl->woken = true;
	loop_task_add(l->loop, &pl->send);
}

/* Whoever keeps the port full goes first, and waits the next time. */
static bool may_pass(struct ping_lane *pl)
{
	const bool wait = pl->next && has_frames(pl);

	pl->next = false;
	if (!wait)
		return true;
	pl->refused = true;
	loop_task_add(pl->lane->loop, &pl->send);
	return false;
}

/* ----------------------------------------------------------------- catching */

static void note_answer(struct ping_lane *pl, const struct ping_seen *seen)
{
	const unsigned put = atomic_load_explicit(&pl->put, memory_order_relaxed);

	if (put - atomic_load_explicit(&pl->taken, memory_order_acquire) == PING_NOTES) {
		counter_add(&pl->missed, 1);
		return;
	}
	pl->notes[put % PING_NOTES] = (struct ping_note) {
		.at_ns = clock_ns(),
		.waited_ns = loop_waited_ns(pl->lane->loop),
		.lane = pl->lane->index,
		.seen = *seen,
	};
	atomic_store_explicit(&pl->put, put + 1, memory_order_release);
	lane_post(pl->lane, &pl->ping->collect);
}

/* One that is asked again and again need not be answered each time. */
static void note_solicit(struct ping_lane *pl, const struct ping_seen *seen)
{
	if (pl->solicit_cnt == PING_SOLICITS)
		return;
	pl->solicits[pl->solicit_cnt++] = *seen;
	loop_task_add(pl->lane->loop, &pl->send);
}

static void listen_to(struct ping_lane *pl, const struct vmtap_frame *frames, unsigned cnt)
{
	uint8_t ip[4];
	unsigned heard;

	for (unsigned i = 0; i < cnt; i++) {
		if (!ping_hear(&pl->ping->asker, &frames[i], ip))
			continue;
		memcpy(&heard, ip, sizeof(heard));
		atomic_store_explicit(&pl->heard, heard, memory_order_relaxed);
	}
}

static unsigned admit(struct port_hook *h, struct port_lane *l, enum port_way way,
		      const struct vmtap_frame *frames, unsigned cnt, enum port_verdict *verdict)
{
	struct ping *g = of_hook(h);
	struct ping_lane *pl = &g->lanes[l->index];
	struct ping_seen seen;
	unsigned n = 0;

	if (way == PORT_TX)
		return may_pass(pl) ? cnt : 0;
	while (n < cnt && !ping_look(&g->asker, &frames[n], &seen))
		n++;
	if (n && g->asker.open)
		listen_to(pl, frames, n);
	if (n) /* the others go first */
		return n;
	if (seen.saw == PING_SAW_SOLICIT)
		note_solicit(pl, &seen);
	else
		note_answer(pl, &seen);
	*verdict = PORT_KEEP;
	return 1;
}

/* What was asked of lanes that may be no more is asked of the first, which always is. */
static void leave_loops(struct port_hook *h)
{
	struct ping *g = of_hook(h);

	for (unsigned i = 0; i < g->lane_cnt; i++) {
		loop_task_del(g->lanes[i].lane->loop, &g->lanes[i].send);
		if (g->lanes[i].clocked)
			loop_clock(g->lanes[i].clocked, false);
		g->lanes[i].clocked = NULL;
		g->lanes[i].next = false;
	}
	for (unsigned i = 0; i < PING_IDENTS; i++) {
		struct ping_slot *s = &g->slots[i];

		if (atomic_load_explicit(&s->state, memory_order_relaxed) != PING_ASKED)
			continue;
		s->lane = 0;
		if (g->over)
			atomic_store_explicit(&s->state, PING_IDLE, memory_order_relaxed);
	}
	g->again = true;
	loop_task_add(g->env->loop, &g->collect);
}

const struct port_hook_ops ping_hook_ops = {
	.admit = admit,
	.writable = writable,
	.leave_loops = leave_loops,
};
