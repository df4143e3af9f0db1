/* SPDX-License-Identifier: MIT */
/* A link: two ports joined. */
#include "net/link.h"

#include <errno.h>
#include <stdlib.h>

#include "base/container.h"
#include "net/offload.h"
#include "net/sendq.h"

/** One frame can become thousands of segments, and a burst has 64. After so many, the other ports of
 *  the loop get their turn. */
#define CUT_MAX 512

/**
 * struct way - One direction
 * @rest: segments of a frame, which @to did not take yet
 * @cut:  segments that were made since the offer began
 * @held: @from waits for its resume
 * @busy: frames are being handed over right now
 */
struct way {
	struct link *link;
	struct port *from, *to;
	struct sendq rest;
	struct offload_out out; /* emits segments to @to */
	unsigned cut;
	bool held, busy;
};

struct link {
	struct junction junction;
	struct loop *loop;
	struct loop_task retry; /* for offers that were held without @to being blocked */
	struct way ways[2];
	void *scratch;
	bool closed;
};

static struct way *way_from(struct link *l, const struct port *p)
{
	return &l->ways[l->ways[0].from != p];
}

static struct way *way_to(struct link *l, const struct port *p)
{
	return &l->ways[l->ways[0].to != p];
}

/* ------------------------------------------------------------ moving frames */

static int emit(struct offload_out *out, const struct vmtap_frame *frame)
{
	struct way *w = container_of(out, struct way, out);

	w->cut++;
	if (!w->rest.cnt && port_send(w->to, frame, 1))
		return 0;
	if (sendq_push(&w->rest, frame, frame->len, NULL, NULL) < 0)
		port_drop_tx(w->to, VMTAP_DROP_QUEUE_FULL, NULL, 1);
	return 0;
}

static unsigned lacking(const struct port *to, const struct vmtap_frame *frame)
{
	if (!(frame->hdr.flags & VMTAP_HDR_NEEDS_CSUM) && frame->hdr.gso_type == VMTAP_GSO_NONE)
		return 0;
	return offload_needed(&frame->hdr) & ~to->accepts;
}

/* Frames that @to takes as they are: how many from the start of the burst? */
static unsigned ready_run(const struct port *to, const struct vmtap_frame *frames, unsigned cnt)
{
	unsigned n = 0;

	while (n < cnt && !lacking(to, &frames[n]))
		n++;
	return n;
}

static unsigned hand_over(struct way *w, const struct vmtap_frame *frames, unsigned cnt)
{
	unsigned done = 0;

	w->cut = 0;
	while (done < cnt && !w->link->closed && !w->rest.cnt && w->cut < CUT_MAX) {
		unsigned run = ready_run(w->to, frames + done, cnt - done);

		if (run) {
			unsigned taken = port_send(w->to, frames + done, run);

			done += taken;
			if (taken < run)
				break;
			continue;
		}
		if (offload_finish(&frames[done], w->to->accepts, w->link->scratch, &w->out) < 0)
			port_drop_rx(w->from, VMTAP_DROP_BAD_HEADER, 1);
		done++;
	}
	if (done < cnt && w->cut >= CUT_MAX && !w->link->closed)
		loop_task_add(w->link->loop, &w->link->retry);
	return done;
}

static unsigned link_offer(struct junction *j, struct port *from, const struct vmtap_frame *frames,
			   unsigned cnt)
{
	struct link *l = (struct link *)j;
	struct way *w = way_from(l, from);
	unsigned done = 0;

	if (w->busy) {
		loop_task_add(l->loop, &l->retry);
	} else {
		w->busy = true;
		done = hand_over(w, frames, cnt);
		w->busy = false;
		if (l->closed)
			return cnt;
	}
	if (done < cnt)
		w->held = true;
	return done;
}

static bool deliver_rest(void *ctx, const struct vmtap_frame *frame)
{
	struct way *w = ctx;

	return port_send(w->to, frame, 1) == 1;
}

static void resume(struct way *w)
{
	if (w->rest.cnt && sendq_flush(&w->rest, deliver_rest, w))
		return;
	if (!w->held || w->busy || w->link->closed)
		return;
	w->held = false;
	port_resume(w->from);
}

static void link_writable(struct junction *j, struct port *p)
{
	resume(way_to((struct link *)j, p));
}

static void retry_run(struct loop_task *t)
{
	struct link *l = container_of(t, struct link, retry);

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

static void link_changed(struct junction *j, struct port *p)
{
	tell(way_from((struct link *)j, p)->to, p);
}

static void link_leave(struct junction *j, struct port *p)
{
	link_close((struct link *)j);
}

static const struct junction_ops link_ops = {
	.offer = link_offer,
	.writable = link_writable,
	.changed = link_changed,
	.leave = link_leave,
};

static int check(struct port *a, struct port *b, struct vmtap_error *err)
{
	struct port *both[] = { a, b };

	if (a == b)
		return error_set(err, EINVAL, a->name, "link", "a port cannot be linked to itself");
	for (int i = 0; i < 2; i++) {
		if (both[i]->closed || both[i]->state == VMTAP_PORT_BROKEN)
			return error_set(err, EPIPE, both[i]->name, "link", "the port is %s",
					 both[i]->closed ? "closed" : "broken");
		if (!both[i]->junction)
			continue;
		error_set(err, EBUSY, both[i]->name, "link", "the port is linked already");
		error_remedy(err, "free that link first");
		return -EBUSY;
	}
	return 0;
}

struct link *link_new(struct loop *loop, struct port *a, struct port *b, struct vmtap_error *err)
{
	struct link *l;

	if (check(a, b, err) < 0)
		return NULL;
	l = calloc(1, sizeof(*l));
	if (l)
		l->scratch = malloc(VMTAP_FRAME_MAX);
	if (!l || !l->scratch) {
		error_errno(err, ENOMEM, a->name, "link");
		free(l);
		return NULL;
	}
	l->junction.ops = &link_ops;
	l->loop = loop;
	l->retry.run = retry_run;
	l->ways[0] = (struct way) { .link = l, .from = a, .to = b, .out.emit = emit };
	l->ways[1] = (struct way) { .link = l, .from = b, .to = a, .out.emit = emit };
	a->junction = &l->junction;
	b->junction = &l->junction;
	tell(a, b);
	tell(b, a);
	if (port_start(a, err) < 0 || port_start(b, err) < 0) {
		link_free(l);
		return NULL;
	}
	/* what either held back while it was joined to nothing */
	port_resume(a);
	port_resume(b);
	return l;
}

void link_close(struct link *l)
{
	if (l->closed)
		return;
	l->closed = true;
	loop_task_del(l->loop, &l->retry);
	for (int i = 0; i < 2; i++) {
		struct way *w = &l->ways[i];
		unsigned lost = sendq_purge(&w->rest);

		if (lost)
			port_drop_tx(w->to, VMTAP_DROP_PURGED, NULL, lost);
		w->from->junction = NULL;
		w->from->blocked = false;
	}
	/* nobody listens any more: nothing may stay undone */
	for (int i = 0; i < 2; i++) {
		struct port *p = l->ways[i].from;

		if (p->ops->set_offload && !p->closed)
			p->ops->set_offload(p, 0);
	}
	/* a port whose peer left goes on, and discards */
	for (int i = 0; i < 2; i++)
		if (l->ways[i].from->started)
			port_resume(l->ways[i].from);
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
	free(l->scratch);
	free(l);
}
