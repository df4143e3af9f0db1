/* SPDX-License-Identifier: MIT */
/* Frames to groups in a switch that snoops: from the frame to those who asked for it. */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/container.h"
#include "net/switch-int.h"

static_assert(GROUPTABLE_PORTS >= SWITCH_PORTS_MAX, "each slot has a bit");

#define SWEEP_NS (5 * NSEC_PER_SEC)

/** So many records of a report cost what a frame does. */
#define RECORDS_PER_FRAME 8u

static uint64_t now_ms(void)
{
	return clock_ns() / NSEC_PER_MSEC;
}

static void warn_once(struct net_switch *sw)
{
	if (sw->unfit_told || !snoop_counts(sw->snoop)->unfit)
		return;
	sw->unfit_told = true;
	log_msg(sw->env->log, VMTAP_LOG_WARNING, sw->name,
		"ports joined more groups than it keeps, of which no port may have more than half of what "
		"the others leave; frames to those go to all ports. max-memberships=, now %u, may be more",
		snoop_memberships_max(sw->snoop));
}

static void sweep_fire(struct loop_timer *t)
{
	struct net_switch *sw = container_of(t, struct net_switch, sweep);

	warn_once(sw);
	if (snoop_sweep(sw->snoop, now_ms()))
		loop_timer_set(sw->env->loop, t, SWEEP_NS);
}

int switch_snoop_new(struct net_switch *sw)
{
	sw->sweep.fire = sweep_fire;
	sw->snoop = snoop_new(sw->config.max_memberships);
	return sw->snoop ? 0 : -ENOMEM;
}

enum switch_way switch_snoop(const struct switch_group *g, struct port_set *to, unsigned *work)
{
	struct net_switch *sw = g->m->sw;
	const struct snoop_place from = {
		.port = g->m->slot,
		.vlan = g->vlan,
		.isolated = g->m->place.isolated,
	};
	struct mcast_msg msg;

	mcast_parse(g->frame, g->mac, g->l3, g->type, g->scratch, &msg);
	if (msg.kind == MCAST_WRONG) {
		sw->s.mcast_wrong++;
		return SWITCH_NONE;
	}
	*work += msg.record_cnt / RECORDS_PER_FRAME;
	if (msg.kind != MCAST_NONE && msg.kind != MCAST_DATA && !sw->sweep.armed)
		loop_timer_set(sw->env->loop, &sw->sweep, SWEEP_NS);
	return snoop_take(sw->snoop, &from, &msg, sw->now_ms, to) == SNOOP_SOME ? SWITCH_SOME
										: SWITCH_ALL;
}

/* ---------------------------------------------------------- what it is like */

static void count(void *opaque, const struct mcast_addr *group, unsigned vlan,
		  const struct membership *m)
{
	++*(unsigned *)opaque;
}

void switch_snoop_stats(const struct net_switch *sw, struct vmtap_switch_stats *stats)
{
	const struct snoop_counts *c;
	const uint64_t now = now_ms();

	if (!sw->snoop)
		return;
	c = snoop_counts(sw->snoop);
	stats->snooping = true;
	stats->to_members = c->members;
	stats->to_routers = c->routers;
	stats->mcast_reports = c->reports;
	stats->mcast_queries = c->queries;
	stats->unfit = c->unfit;
	stats->memberships_max = snoop_memberships_max(sw->snoop);
	snoop_each_member(sw->snoop, now, count, &stats->memberships);
	snoop_each_router(sw->snoop, now, count, &stats->routers);
	stats->queriers = snoop_queriers(sw->snoop, now);
}

static struct port *port_at(const struct net_switch *sw, unsigned slot)
{
	const struct switch_member *m = sw->members;

	while (m && m->slot != slot)
		m = m->next;
	return m ? m->port : NULL;
}

struct group_rows {
	const struct net_switch *sw;
	uint64_t now_ms;
	void (*group)(void *opaque, const struct mcast_addr *group, unsigned vlan, struct port *p,
		      uint64_t left_ms);
	void (*router)(void *opaque, const struct mcast_addr *querier, bool asks, unsigned vlan,
		       struct port *p, uint64_t left_ms);
	void *opaque;
};

static void group_row(void *opaque, const struct mcast_addr *group, unsigned vlan,
		      const struct membership *m)
{
	const struct group_rows *rows = opaque;
	struct port *p = port_at(rows->sw, m->port);

	if (p)
		rows->group(rows->opaque, group, vlan, p, m->until_ms - rows->now_ms);
}

void switch_each_group(const struct net_switch *sw,
		       void (*row)(void *opaque, const struct mcast_addr *group, unsigned vlan,
				   struct port *p, uint64_t left_ms),
		       void *opaque)
{
	struct group_rows rows = { .sw = sw, .now_ms = now_ms(), .group = row, .opaque = opaque };

	if (sw->snoop)
		snoop_each_member(sw->snoop, rows.now_ms, group_row, &rows);
}

static void router_row(void *opaque, const struct mcast_addr *group, unsigned vlan,
		       const struct membership *m)
{
	const struct group_rows *rows = opaque;
	struct port *p = port_at(rows->sw, m->port);
	struct snoop_querier q;
	bool asks = snoop_querier(rows->sw->snoop, vlan, group->is_ip6, rows->now_ms, &q) &&
		    q.port == m->port;

	if (p)
		rows->router(rows->opaque, asks ? &q.addr : group, asks, vlan, p,
			     m->until_ms - rows->now_ms);
}

void switch_each_router(const struct net_switch *sw,
			void (*row)(void *opaque, const struct mcast_addr *querier, bool asks,
				    unsigned vlan, struct port *p, uint64_t left_ms),
			void *opaque)
{
	struct group_rows rows = { .sw = sw, .now_ms = now_ms(), .router = row, .opaque = opaque };

	if (sw->snoop)
		snoop_each_router(sw->snoop, rows.now_ms, router_row, &rows);
}
