/* SPDX-License-Identifier: MIT */
/* A switch: ports come and go, and are told of each other. */
#include "net/switch.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/container.h"
#include "net/switch-int.h"

/** So many addresses that moved in a second are worth a warning. */
#define MOVES_WARN 100u
/** Seconds between two looks at most: frames that go in circles are not to do so unseen for long. */
#define LOOK_MAX_S 10u

/* ------------------------------------------------------------------- ageing */

static unsigned look_s(const struct net_switch *sw)
{
	const unsigned s = sw->config.age_s / 8;

	if (!s)
		return 1;
	return s < LOOK_MAX_S ? s : LOOK_MAX_S;
}

static void look_later(struct net_switch *sw)
{
	loop_timer_set(sw->env->loop, &sw->age, look_s(sw) * NSEC_PER_SEC);
}

static void warn_of_loop(struct net_switch *sw, uint64_t moves)
{
	struct vmtap_error err = { 0 };
	const char *names[2];
	unsigned suppressed;

	if (!log_allow(&sw->loop_limit, &suppressed))
		return;
	for (int i = 0; i < 2; i++)
		names[i] = sw->movers[i] ? sw->movers[i]->port->name : "one that left";
	error_set(&err, ELOOP, sw->name, "tell what is behind which port",
		  "addresses moved %" PRIu64 " times in %u s, of late to %s and %s: frames go in "
		  "circles where two ports lead to the same network",
		  moves, look_s(sw), names[0], names[1]);
	error_remedy(&err, "part one of them, have the bridges outside use a spanning tree, or say "
			   "isolated=on for both");
	log_error(sw->env->log, VMTAP_LOG_WARNING, sw->name, &err);
}

/* Whose frames come back by another way. */
static void look_for_loops(struct net_switch *sw)
{
	const uint64_t moves = sw->s.moves - sw->moves_seen;

	sw->moves_seen = sw->s.moves;
	if (moves >= (uint64_t)MOVES_WARN * look_s(sw))
		warn_of_loop(sw, moves);
}

static void age_fire(struct loop_timer *t)
{
	struct net_switch *sw = container_of(t, struct net_switch, age);

	sw->now_ms = clock_ns() / NSEC_PER_MSEC;
	if (sw->config.age_s)
		sw->s.aged += mactable_sweep(sw->macs, sw->now_ms, sw->config.age_s * 1000ull,
					     mactable_max(sw->macs));
	look_for_loops(sw);
	if (mactable_cnt(sw->macs))
		look_later(sw);
}

void switch_learned(struct net_switch *sw)
{
	if (!sw->age.armed)
		look_later(sw);
}

/* ------------------------------------------------------------- negotiation */

/* What does any of the others take? */
static unsigned others_accept(const struct switch_member *m)
{
	unsigned accepts = 0;

	for (const struct switch_member *o = m->sw->members; o; o = o->next)
		if (o != m)
			accepts |= o->accepts;
	return accepts;
}

static void negotiate(struct net_switch *sw)
{
	for (struct switch_member *m = sw->members; m; m = m->next) {
		unsigned accepts = others_accept(m);

		if (accepts == m->told)
			continue;
		m->told = accepts;
		if (m->port->ops->set_offload)
			m->port->ops->set_offload(m->port, accepts);
	}
}

void switch_changed(struct junction *j, struct port *p)
{
	struct switch_member *m = container_of(j, struct switch_member, junction);

	if (m->accepts == p->accepts)
		return;
	m->accepts = p->accepts;
	negotiate(m->sw);
}

/* ------------------------------------------------------------------ leaving */

static void member_free(struct switch_member *m)
{
	frameq_fini(&m->queue);
	free(m);
}

static void unlink_member(struct switch_member *m)
{
	struct net_switch *sw = m->sw;
	struct switch_member **at = &sw->members;

	while (*at != m)
		at = &(*at)->next;
	*at = m->next;
	sw->slots[m->slot] = false;
	sw->member_cnt--;
	m->gone_next = sw->gone;
	sw->gone = m;
}

/* The port goes on alone, and discards. */
static void release(struct port *p)
{
	p->junction = NULL;
	lane_unblock(p->lanes);
	if (p->closed)
		return;
	if (p->ops->vhost_changed)
		p->ops->vhost_changed(p);
	if (p->ops->set_offload)
		p->ops->set_offload(p, 0);
	if (p->started)
		port_resume(p);
}

static void part(struct switch_member *m)
{
	struct net_switch *sw = m->sw;
	struct port *p = m->port;

	port_enter(p);
	switch_enter(sw);
	switch_purge(m);
	mactable_forget(sw->macs, m);
	for (int i = 0; i < 2; i++)
		if (sw->movers[i] == m)
			sw->movers[i] = NULL;
	if (sw->snoop)
		snoop_port_left(sw->snoop, m->slot);
	m->gone = true;
	m->port = NULL;
	unlink_member(m);
	release(p);
	negotiate(sw);
	switch_leave(sw);
	port_leave(p);
}

void switch_left(struct junction *j, struct port *p)
{
	part(container_of(j, struct switch_member, junction));
}

void switch_leave(struct net_switch *sw)
{
	if (--sw->inside)
		return;
	while (sw->gone) {
		struct switch_member *m = sw->gone;

		sw->gone = m->gone_next;
		member_free(m);
	}
}

static struct switch_member *find(const struct net_switch *sw, const struct port *p)
{
	for (struct switch_member *m = sw->members; m; m = m->next)
		if (m->port == p)
			return m;
	return NULL;
}

int switch_remove(struct net_switch *sw, struct port *p)
{
	struct switch_member *m = find(sw, p);

	if (!m)
		return -ENOENT;
	part(m);
	return 0;
}

/* ------------------------------------------------------------------ joining */

static int check(const struct net_switch *sw, const struct port *p, struct vmtap_error *err)
{
	if (sw->closed)
		return error_set(err, EPIPE, sw->name, "join a port to it", "it is closed");
	if (p->closed || p->state == VMTAP_PORT_BROKEN)
		return error_set(err, EPIPE, p->name, "join it to a switch", "the port is %s",
				 p->closed ? "closed" : "broken");
	if (p->junction) {
		error_set(err, EBUSY, p->name, "join it to a switch", "the port is %s already",
			  find(sw, p) ? "in it" : "joined to another");
		error_remedy(err, PORT_PART_FIRST);
		return -EBUSY;
	}
	if (sw->member_cnt == SWITCH_PORTS_MAX)
		return error_set(err, ENOSPC, p->name, "join it to a switch",
				 "the switch has %u ports, which is all that it can have",
				 SWITCH_PORTS_MAX);
	return p->hooks ? port_check_seen(p, NULL, "join it to a switch", err) : 0;
}

static struct switch_member *member_new(struct net_switch *sw, struct port *p,
					const struct switch_place *place)
{
	struct switch_member *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	if (frameq_init(&m->queue, sw->config.queue_bytes, sw->config.queue_frames) < 0) {
		free(m);
		return NULL;
	}
	m->junction.ops = &switch_frames_ops;
	m->sw = sw;
	m->port = p;
	m->place = *place;
	m->accepts = p->accepts;
	m->finished.emit = switch_emit;
	while (sw->slots[m->slot])
		m->slot++;
	return m;
}

static void link_member(struct switch_member *m)
{
	struct net_switch *sw = m->sw;
	struct switch_member **at = &sw->members;

	while (*at)
		at = &(*at)->next;
	*at = m;
	sw->slots[m->slot] = true;
	sw->member_cnt++;
	m->port->junction = &m->junction;
	if (sw->snoop)
		snoop_port_came(sw->snoop, m->slot, m->place.mcast_flood,
				clock_ns() / NSEC_PER_MSEC);
}

/* What a port has to know of where it is now. */
static void tell(struct switch_member *m)
{
	struct port *p = m->port;

	m->told = others_accept(m);
	if (p->ops->set_offload)
		p->ops->set_offload(p, m->told);
	if (p->ops->peer_link)
		p->ops->peer_link(p, true);
	if (p->ops->pairs_used)
		p->ops->pairs_used(p, NULL);
	negotiate(m->sw);
}

static int join(struct switch_member *m, struct vmtap_error *err)
{
	struct port *p = m->port;
	int ret = port_set_lanes(p, 1, NULL, 0);

	if (ret < 0)
		return error_errno(err, -ret, p->name, "join it to a switch");
	link_member(m);
	tell(m);
	ret = port_start(p, err);
	if (ret < 0) {
		if (p->junction == &m->junction)
			part(m);
		return ret;
	}
	port_resume(p); /* what it held back while it was joined to nothing */
	return 0;
}

int switch_add(struct net_switch *sw, struct port *p, const struct switch_place *place,
	       struct vmtap_error *err)
{
	struct switch_member *m;
	int ret = check(sw, p, err);

	if (ret < 0)
		return ret;
	m = member_new(sw, p, place);
	if (!m)
		return error_errno(err, ENOMEM, p->name, "join it to a switch");
	port_enter(p);
	ret = join(m, err);
	port_leave(p);
	return ret;
}

/* ------------------------------------------------------------------ its life */

struct net_switch *switch_new(const struct port_env *env, const char *name,
			      const struct switch_config *config, struct vmtap_error *err)
{
	struct net_switch *sw = calloc(1, sizeof(*sw));

	if (sw) {
		sw->env = env;
		sw->config = *config;
		sw->retry.run = switch_retry;
		sw->age.fire = age_fire;
		sw->name = strdup(name);
		sw->macs = mactable_new(config->max_macs);
	}
	if (sw && sw->name && sw->macs && (!config->snooping || switch_snoop_new(sw) == 0))
		return sw;
	error_errno(err, ENOMEM, name, "make a switch");
	switch_free(sw);
	return NULL;
}

void switch_close(struct net_switch *sw)
{
	if (sw->closed)
		return;
	sw->closed = true;
	switch_enter(sw);
	while (sw->members)
		part(sw->members);
	loop_task_del(sw->env->loop, &sw->retry);
	loop_timer_del(sw->env->loop, &sw->age);
	loop_timer_del(sw->env->loop, &sw->sweep);
	switch_leave(sw);
}

bool switch_is_closed(const struct net_switch *sw)
{
	return sw->closed;
}

void switch_free(struct net_switch *sw)
{
	if (!sw)
		return;
	switch_close(sw);
	assert(!sw->inside);
	mactable_free(sw->macs);
	snoop_free(sw->snoop);
	free(sw->name);
	free(sw);
}

/* ---------------------------------------------------------- what it is like */

const char *switch_name(const struct net_switch *sw)
{
	return sw->name;
}

void switch_stats(const struct net_switch *sw, struct vmtap_switch_stats *stats)
{
	*stats = sw->s;
	stats->macs = mactable_cnt(sw->macs);
	stats->macs_max = mactable_max(sw->macs);
	stats->ports = sw->member_cnt;
	switch_snoop_stats(sw, stats);
}

void switch_each_port(const struct net_switch *sw, void (*row)(void *opaque, struct port *p),
		      void *opaque)
{
	for (const struct switch_member *m = sw->members; m; m = m->next)
		row(opaque, m->port);
}

struct mac_rows {
	void (*row)(void *opaque, const uint8_t mac[6], unsigned vlan, struct port *p,
		    uint64_t age_ms);
	void *opaque;
	uint64_t now_ms;
};

static void mac_row(void *opaque, uint64_t key, void *at, uint64_t seen_ms)
{
	const struct mac_rows *rows = opaque;
	const struct switch_member *m = at;
	uint8_t mac[6];

	for (int i = 0; i < 6; i++)
		mac[i] = (uint8_t)(key >> (40 - 8 * i));
	rows->row(rows->opaque, mac, (unsigned)(key >> 48), m->port, rows->now_ms - seen_ms);
}

void switch_each_mac(const struct net_switch *sw,
		     void (*row)(void *opaque, const uint8_t mac[6], unsigned vlan, struct port *p,
				 uint64_t age_ms),
		     void *opaque)
{
	struct mac_rows rows = { row, opaque, clock_ns() / NSEC_PER_MSEC };

	mactable_each(sw->macs, mac_row, &rows);
}

void switch_flush(struct net_switch *sw)
{
	mactable_forget(sw->macs, NULL);
	if (sw->snoop)
		snoop_clear(sw->snoop, clock_ns() / NSEC_PER_MSEC);
}
