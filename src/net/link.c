/* SPDX-License-Identifier: MIT */
/* A link: two ports joined. */
#include "net/link.h"

#include <errno.h>
#include <stdlib.h>

#include "base/container.h"
#include "loop/worker.h"
#include "net/offload.h"
#include "net/sendq.h"

/** One frame can become thousands of segments, and a burst has 64. After so many, the other ports of
 *  the loop get their turn. */
#define CUT_MAX 512

/**
 * struct way - One direction of a lane
 * @rest: segments of a frame, which @to did not take yet
 * @cut:  segments that were made since the offer began
 * @held: @from waits for its resume
 * @busy: frames are being handed over right now
 */
struct way {
	struct lane *lane;
	struct port_lane *from, *to;
	struct sendq rest;
	struct offload_out out; /* emits segments to @to */
	unsigned cut;
	bool held, busy;
};

/**
 * struct lane - Both directions
 * @retry:   for offers that were held without a receiver being blocked; in the lane's loop
 * @scratch: for segments, VMTAP_FRAME_MAX bytes
 */
struct lane {
	struct link *link;
	struct loop *loop;
	struct loop_task retry;
	struct way ways[2];
	void *scratch;
};

struct link {
	struct junction junction;
	struct port *ports[2];
	bool closed;
	unsigned lane_cnt;
	struct lane lanes[];
};

static struct lane *lane_of(struct junction *j, const struct port_lane *l)
{
	return &((struct link *)j)->lanes[l->index];
}

static struct port *other(const struct link *l, const struct port *p)
{
	return l->ports[l->ports[0] == p];
}

/* ------------------------------------------------------------ moving frames */

static int emit(struct offload_out *out, const struct vmtap_frame *frame)
{
	struct way *w = container_of(out, struct way, out);
	const struct link *link = w->lane->link;

	if (link->closed)
		return -EPIPE;
	w->cut++;
	if (!w->rest.cnt && lane_send(w->to, frame, 1))
		return 0;
	if (link->closed) /* by whoever would not take it; @rest was purged */
		return -EPIPE;
	if (sendq_push(&w->rest, frame, frame->len, NULL, NULL) < 0)
		lane_drop_tx(w->to, VMTAP_DROP_QUEUE_FULL, NULL, 1);
	return 0;
}

static unsigned hand_over(struct way *w, const struct vmtap_frame *frames, unsigned cnt)
{
	const struct port *to = w->to->port;
	const struct link *link = w->lane->link;
	unsigned done = 0;

	w->cut = 0;
	/* somebody else's frame may have blocked it: a hook's */
	while (done < cnt && !link->closed && !w->rest.cnt && !w->to->blocked && w->cut < CUT_MAX) {
		unsigned run = offload_ready_run(frames + done, cnt - done, to->accepts);
		int ret;

		if (run) {
			unsigned taken = lane_send(w->to, frames + done, run);

			done += taken;
			if (taken < run)
				break;
			continue;
		}
		ret = offload_finish(&frames[done], to->accepts, w->lane->scratch, &w->out);
		if (ret == -EPIPE)
			break;
		if (ret < 0)
			lane_drop_rx(w->from, VMTAP_DROP_BAD_HEADER, 1);
		done++;
	}
	if (done < cnt && w->cut >= CUT_MAX && !link->closed)
		loop_task_add(w->lane->loop, &w->lane->retry);
	return done;
}

static unsigned link_offer(struct junction *j, struct port_lane *from,
			   const struct vmtap_frame *frames, unsigned cnt)
{
	struct lane *l = lane_of(j, from);
	struct way *w = &l->ways[l->ways[0].from != from];
	unsigned done = 0;

	if (w->busy) {
		loop_task_add(l->loop, &l->retry);
	} else {
		w->busy = true;
		done = hand_over(w, frames, cnt);
		w->busy = false;
		if (l->link->closed) { /* by whoever got the others */
			lane_drop_rx(from, VMTAP_DROP_NO_PEER, cnt - done);
			return cnt;
		}
	}
	if (done < cnt)
		w->held = true;
	return done;
}

static struct port_lane *link_peer(struct junction *j, struct port_lane *from)
{
	struct lane *l = lane_of(j, from);
	struct way *w = &l->ways[l->ways[0].from != from];
	const struct port *to = w->to->port;

	if (w->busy || w->held || w->rest.cnt || w->to->blocked || l->link->closed)
		return NULL;
	return to->state == VMTAP_PORT_UP && to->link_up && to->polling ? w->to : NULL;
}

static bool deliver_rest(void *ctx, const struct vmtap_frame *frame)
{
	struct way *w = ctx;

	/* it may take less than when they began to wait */
	if (!offload_lacking(&frame->hdr, w->to->port->accepts)) {
		if (lane_send(w->to, frame, 1))
			return true;
		if (!w->lane->link->closed)
			return false; /* else it goes as the others of @rest did */
	}
	lane_drop_tx(w->to, VMTAP_DROP_PURGED, NULL, 1);
	return true;
}

static void resume(struct way *w)
{
	if (w->rest.cnt && sendq_flush(&w->rest, deliver_rest, w))
		return;
	if (!w->held || w->busy || w->lane->link->closed)
		return;
	w->held = false;
	lane_resume(w->from);
}

static void link_writable(struct junction *j, struct port_lane *p)
{
	struct lane *l = lane_of(j, p);

	resume(&l->ways[l->ways[0].to != p]);
}

static void retry_run(struct loop_task *t)
{
	struct lane *l = container_of(t, struct lane, retry);

	for (int i = 0; i < 2; i++)
		if (!l->ways[i].to->blocked)
			resume(&l->ways[i]);
}

/* ------------------------------------------------------------------ joining */

static void tell(struct port *p, const struct port *peer)
{
	if (p->ops->set_offload)
		p->ops->set_offload(p, peer->accepts);
	if (p->ops->peer_link)
		p->ops->peer_link(p, peer->link_up);
}

static void tell_pairs(struct port *p, const struct port *peer)
{
	if (p->ops->pairs_used)
		p->ops->pairs_used(p, peer);
}

static void link_changed(struct junction *j, struct port *p)
{
	tell(other((struct link *)j, p), p);
}

static void link_pairs_used(struct junction *j, struct port *p)
{
	struct link *l = (struct link *)j;

	if (l->lane_cnt > 1)
		tell_pairs(other(l, p), p);
}

static struct port *link_other(struct junction *j, const struct port *p)
{
	return other((struct link *)j, p);
}

static void link_leave(struct junction *j, struct port *p)
{
	link_close((struct link *)j);
}

static const struct junction_ops link_ops = {
	.offer = link_offer,
	.peer = link_peer,
	.writable = link_writable,
	.changed = link_changed,
	.pairs_used = link_pairs_used,
	.other = link_other,
	.leave = link_leave,
};

static int check(struct port *a, struct port *b, struct vmtap_error *err)
{
	struct port *both[] = { a, b };

	if (a == b) {
		error_set(err, EINVAL, a->name, "link", "a port cannot be linked to itself");
		error_remedy(err, "name two ports");
		return -EINVAL;
	}
	for (int i = 0; i < 2; i++) {
		if (both[i]->closed || both[i]->state == VMTAP_PORT_BROKEN) {
			error_set(err, EPIPE, both[i]->name, "link", "the port is %s",
				  both[i]->closed ? "closed" : "broken");
			error_remedy(err, "close it, and open one anew");
			return -EPIPE;
		}
		if (both[i]->hooks && port_check_seen(both[i], both[!i], "link", err) < 0)
			return -EBUSY;
		if (!both[i]->junction)
			continue;
		error_set(err, EBUSY, both[i]->name, "link", "the port is linked already");
		error_remedy(err, PORT_PART_FIRST);
		return -EBUSY;
	}
	return 0;
}

static int lane_init(struct link *l, unsigned i)
{
	struct lane *lane = &l->lanes[i];
	struct port_lane *a = &l->ports[0]->lanes[i], *b = &l->ports[1]->lanes[i];

	lane->link = l;
	lane->loop = a->loop;
	lane->retry.run = retry_run;
	lane->ways[0] = (struct way) { .lane = lane, .from = a, .to = b, .out.emit = emit };
	lane->ways[1] = (struct way) { .lane = lane, .from = b, .to = a, .out.emit = emit };
	lane->scratch = malloc(VMTAP_FRAME_MAX);
	return lane->scratch ? 0 : -ENOMEM;
}

/* Which threads move the lanes? */
static int assign(struct link *l)
{
	struct port *a = l->ports[0], *b = l->ports[1];
	struct workers *pool = port_can_move(a) && port_can_move(b) ? a->env->workers : NULL;
	unsigned first = pool ? workers_claim(pool, l->lane_cnt) : 0;
	int ret = port_set_lanes(a, l->lane_cnt, pool, first);

	return ret < 0 ? ret : port_set_lanes(b, l->lane_cnt, pool, first);
}

/* Return: 0 or -errno, without words. */
static int join(struct link *l, struct port *a, struct port *b)
{
	int ret = 0;

	l->junction.ops = &link_ops;
	l->ports[0] = a;
	l->ports[1] = b;
	l->lane_cnt = a->pair_cnt == b->pair_cnt ? a->pair_cnt : 1;
	ret = assign(l);
	for (unsigned i = 0; i < l->lane_cnt && ret == 0; i++)
		ret = lane_init(l, i);
	if (ret < 0)
		return ret;
	a->junction = &l->junction;
	b->junction = &l->junction;
	tell(a, b);
	tell(b, a);
	tell_pairs(a, l->lane_cnt > 1 ? b : NULL);
	tell_pairs(b, l->lane_cnt > 1 ? a : NULL);
	return 0;
}

struct link *link_new(struct port *a, struct port *b, struct vmtap_error *err)
{
	struct link *l;
	int ret;

	if (check(a, b, err) < 0)
		return NULL;
	l = calloc(1, sizeof(*l) + a->pair_cnt * sizeof(l->lanes[0]));
	if (!l) {
		error_errno(err, ENOMEM, a->name, "link");
		return NULL;
	}
	port_enter(a);
	ret = join(l, a, b);
	if (ret < 0)
		error_errno(err, -ret, a->name, "link");
	else if (port_start(a, err) == 0)
		ret = port_start(b, err);
	else
		ret = -1;
	if (ret == 0) { /* what either held back while it was joined to nothing */
		port_resume(a);
		port_resume(b);
	}
	port_leave(a);
	if (ret == 0)
		return l;
	link_free(l);
	return NULL;
}

static void part(struct lane *l)
{
	loop_task_del(l->loop, &l->retry);
	for (int i = 0; i < 2; i++) {
		struct way *w = &l->ways[i];
		unsigned lost = sendq_purge(&w->rest);

		if (lost)
			lane_drop_tx(w->to, VMTAP_DROP_PURGED, NULL, lost);
		lane_unblock(w->from);
	}
}

void link_close(struct link *l)
{
	if (l->closed || !l->ports[0])
		return;
	port_enter(l->ports[0]);
	l->closed = true;
	for (unsigned i = 0; i < l->lane_cnt; i++)
		if (l->lanes[i].link)
			part(&l->lanes[i]);
	for (int i = 0; i < 2; i++)
		l->ports[i]->junction = NULL;
	/* nobody listens any more: nothing may stay undone */
	for (int i = 0; i < 2; i++) {
		struct port *p = l->ports[i];

		if (p->ops->vhost_changed && !p->closed)
			p->ops->vhost_changed(p);
		if (p->ops->set_offload && !p->closed)
			p->ops->set_offload(p, 0);
	}
	/* a port whose peer left goes on, and discards */
	for (int i = 0; i < 2; i++)
		if (l->ports[i]->started)
			port_resume(l->ports[i]);
	port_leave(l->ports[0]);
}

bool link_is_closed(const struct link *l)
{
	return l->closed;
}

void link_free(struct link *l)
{
	if (!l)
		return;
	link_close(l);
	for (unsigned i = 0; i < l->lane_cnt; i++)
		free(l->lanes[i].scratch);
	free(l);
}
