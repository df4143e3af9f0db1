/* SPDX-License-Identifier: MIT */
/*
 * The `vhost-user` port: its lanes.
 *
 * Model
 *   Joined to a port with as many queue pairs, each pair has a lane, and what its rings
 *   need to move frames is that lane's; else all rings share one. A queue's kick is watched,
 *   and its task run, in its lane's loop.
 */
#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "port/vu/vu-int.h"

static struct vu_lane *lane_new(struct vu *v, struct port_lane *lane)
{
	struct vu_lane *l = malloc(sizeof(*l)); /* most of it is not touched before it is used */

	if (!l)
		return NULL;
	memset(l, 0, offsetof(struct vu_lane, loan_iov));
	l->vu = v;
	l->lane = lane;
	l->rx.at = l->rx.cnt = 0;
	l->tx.bounce_iov.iov_len = 0;
	return l;
}

int vu_lanes_prepare(struct vu *v)
{
	for (unsigned i = 0; i < v->port.lane_cnt; i++) {
		if (!v->lanes[i])
			v->lanes[i] = lane_new(v, &v->port.lanes[i]);
		if (!v->lanes[i])
			return -ENOMEM;
	}
	return 0;
}

void vu_leave_loops(struct port *p)
{
	struct vu *v = vu_of_port(p);

	for (unsigned i = 0; i < v->dev.queue_cnt; i++) {
		loop_del(vu_loop(v, i), &v->io[i].kick);
		loop_task_del(vu_loop(v, i), &v->io[i].more);
	}
}

int vu_moved(struct port *p)
{
	struct vu *v = vu_of_port(p);
	int ret = vu_lanes_prepare(v);

	for (unsigned i = 0; i < v->dev.queue_cnt && ret == 0; i++) {
		vu_watch_kick(v, i, v->dev.queues[i].kick);
		if (v->io[i].runs)
			loop_task_add(vu_loop(v, i), &v->io[i].more);
	}
	if (ret == 0)
		vu_rings_changed(v);
	return ret;
}

/* Of lane @lane, or of all: UINT_MAX. */
static void go_on(struct vu *v, unsigned lane)
{
	for (unsigned i = 1; i < v->dev.queue_cnt; i += 2)
		if (v->io[i].runs && (lane == UINT_MAX || vu_lane(v, i)->lane->index == lane))
			loop_task_add(vu_loop(v, i), &v->io[i].more);
}

void vu_resume(struct port_lane *l)
{
	go_on(vu_of_port(l->port), l->index);
}

void vu_set_poll(struct port *p, bool on)
{
	vu_vhost_update(vu_of_port(p));
	if (on)
		go_on(vu_of_port(p), UINT_MAX);
}
