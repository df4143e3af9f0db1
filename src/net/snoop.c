/* SPDX-License-Identifier: MIT */
/* IGMP and MLD snooping. */
#include "net/snoop.h"

#include <stdlib.h>
#include <string.h>

#define VLANS 4096u
#define ROUTERS_MAX 1024u

/** How long a membership holds (RFC 3376, 8.4), and at most, whatever a querier says. */
#define HOLD_MS 260000u
#define HOLD_MAX_MS 3600000u
/** Answers arrive so much later than they were to be sent at the latest. */
#define LATE_MS 1000u
/** A querier asks twice, a second apart, who else is in a group that a port left (RFC 3376, 8.8). */
#define LAST_MEMBER_MS (2000u + LATE_MS)

/**
 * struct family - IPv4 or IPv6 in a VLAN
 * @querier:     who asked last, at port @port
 * @until_ms:    until then there is a querier
 * @hold_ms:     how long memberships hold
 * @asked_ms, @due_ms: when a query came and by when it is answered; 0: there is none
 * @answered_ms: when the last query came that was answered since; 0: there is none
 * @unfit_ms:    until then somebody is in a group who found no room; @blind_ms: the same of a router port
 */
struct family {
	struct mcast_addr querier;
	unsigned port;
	uint32_t hold_ms;
	uint64_t until_ms, asked_ms, due_ms, answered_ms, unfit_ms, blind_ms;
};

/**
 * struct snoop
 * @routers: router ports; the members of a group without address
 * @flood:   ports to which all groups go
 * @there:   ports, and when they came: @came_ms; the last: @newest_ms
 */
struct snoop {
	struct grouptable *groups, *routers;
	struct family families[VLANS][2];
	struct port_set flood, there;
	uint64_t came_ms[GROUPTABLE_PORTS], newest_ms;
	struct snoop_counts counts;
};

struct snoop *snoop_new(unsigned max)
{
	struct snoop *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->groups = grouptable_new(max);
	s->routers = grouptable_new(ROUTERS_MAX);
	if (s->groups && s->routers)
		return s;
	snoop_free(s);
	return NULL;
}

void snoop_free(struct snoop *s)
{
	if (!s)
		return;
	grouptable_free(s->groups);
	grouptable_free(s->routers);
	free(s);
}

void snoop_port_came(struct snoop *s, unsigned port, bool flood, uint64_t now_ms)
{
	snoop_port_left(s, port);
	port_set_add(&s->there, port);
	s->came_ms[port] = s->newest_ms = now_ms;
	if (flood)
		port_set_add(&s->flood, port);
}

void snoop_port_left(struct snoop *s, unsigned port)
{
	grouptable_forget(s->groups, port);
	grouptable_forget(s->routers, port);
	port_set_del(&s->flood, port);
	port_set_del(&s->there, port);
	for (unsigned i = 0; i < 2 * VLANS; i++) { /* who asked there asks no more */
		struct family *f = &s->families[i / 2][i % 2];

		if (f->until_ms && f->port == port)
			f->until_ms = 0;
	}
}

void snoop_clear(struct snoop *s, uint64_t now_ms)
{
	grouptable_clear(s->groups);
	grouptable_clear(s->routers);
	for (unsigned i = 0; i < 2 * VLANS; i++) { /* pages that were never written stay so */
		struct family *f = &s->families[i / 2][i % 2];

		if (f->hold_ms || f->unfit_ms || f->blind_ms)
			*f = (struct family) { 0 };
	}
	for (unsigned i = 0; i < GROUPTABLE_PORTS; i++)
		s->came_ms[i] = now_ms;
	s->newest_ms = now_ms;
}

/* ---------------------------------------------------------------------- learning */

static struct family *family_of(struct snoop *s, const struct snoop_place *from,
				const struct mcast_msg *msg)
{
	return &s->families[from->vlan][msg->to.is_ip6];
}

static uint64_t hold_ms(const struct family *f)
{
	return f->hold_ms ? f->hold_ms : HOLD_MS;
}

static void unfit(struct snoop *s, uint64_t *end_ms, uint64_t until_ms)
{
	s->counts.unfit++;
	if (*end_ms < until_ms)
		*end_ms = until_ms;
}

static void learn_router(struct snoop *s, const struct snoop_place *from, struct mcast_msg *msg,
			 uint64_t now_ms)
{
	const struct mcast_addr none = { .is_ip6 = msg->to.is_ip6 };
	struct family *f = family_of(s, from, msg);
	const uint64_t until_ms = now_ms + hold_ms(f);

	if (!grouptable_join(s->routers, &none, from->vlan, from->port, until_ms, now_ms))
		unfit(s, &f->blind_ms, until_ms);
}

/* A query that was answered by now. */
static void settle(struct family *f, uint64_t now_ms)
{
	if (!f->due_ms || now_ms < f->due_ms)
		return;
	f->answered_ms = f->asked_ms;
	f->due_ms = 0;
}

/* Of two that are not answered yet, the one that will be first will do. */
static void asked(struct family *f, uint32_t response_ms, uint64_t now_ms)
{
	const uint64_t due_ms = now_ms + response_ms + LATE_MS;

	settle(f, now_ms);
	if (f->due_ms && f->due_ms < due_ms)
		return;
	f->asked_ms = now_ms;
	f->due_ms = due_ms;
}

static void learn_querier(struct snoop *s, const struct snoop_place *from, struct mcast_msg *msg,
			  uint64_t now_ms)
{
	struct family *f = family_of(s, from, msg);
	uint32_t hold = msg->interval_ms < HOLD_MAX_MS ? msg->interval_ms : HOLD_MAX_MS;

	if (now_ms >= f->until_ms) { /* the first, or there was none for a while */
		f->hold_ms = HOLD_MS;
		f->due_ms = f->answered_ms = 0;
	}
	if (f->hold_ms < hold)
		f->hold_ms = hold;
	f->until_ms = now_ms + f->hold_ms;
	f->querier = msg->from;
	f->port = from->port;
	asked(f, msg->response_ms, now_ms);
}

/** struct deadline - Members that are asked for have to answer until then */
struct deadline {
	uint64_t ms;
};

static void hurry(void *opaque, struct membership *m)
{
	const struct deadline *d = opaque;

	/* who left gets all the time that the querier gives; see learn_leave() */
	if (m->left || m->until_ms > d->ms)
		m->until_ms = d->ms;
}

/* Is somebody still in that group? */
static void learn_question(struct snoop *s, const struct snoop_place *from,
			   const struct mcast_msg *msg, uint64_t now_ms)
{
	uint64_t wait_ms = 2ull * msg->response_ms + LATE_MS;
	struct deadline d;

	if (wait_ms < LAST_MEMBER_MS)
		wait_ms = LAST_MEMBER_MS;
	if (wait_ms > HOLD_MS)
		wait_ms = HOLD_MS;
	d.ms = now_ms + wait_ms;
	grouptable_edit(s->groups, &msg->to, from->vlan, now_ms, hurry, &d);
}

static void learn_query(struct snoop *s, const struct snoop_place *from, struct mcast_msg *msg,
			uint64_t now_ms)
{
	s->counts.queries++;
	if (msg->general && !from->isolated)
		learn_querier(s, from, msg, now_ms);
	if (msg->general)
		learn_router(s, from, msg, now_ms);
	else if (msg->settles && !from->isolated)
		learn_question(s, from, msg, now_ms);
}

static void learn_leave(struct snoop *s, const struct snoop_place *from,
			const struct mcast_addr *group, uint64_t now_ms)
{
	struct family *f = &s->families[from->vlan][group->is_ip6];
	struct membership *m = grouptable_find(s->groups, group, from->vlan, from->port, now_ms);

	if (!m || now_ms >= f->until_ms)
		return;
	m->left = true;
	if (m->until_ms > now_ms + LAST_MEMBER_MS)
		m->until_ms = now_ms + LAST_MEMBER_MS;
}

static void learn_report(struct snoop *s, const struct snoop_place *from, struct mcast_msg *msg,
			 uint64_t now_ms)
{
	struct family *f = family_of(s, from, msg);
	const uint64_t until_ms = now_ms + hold_ms(f);
	struct mcast_record r;

	s->counts.reports++;
	while (mcast_next(msg, &r)) {
		if (mcast_is_local(&r.group))
			continue;
		if (r.leave)
			learn_leave(s, from, &r.group, now_ms);
		else if (!grouptable_join(s->groups, &r.group, from->vlan, from->port, until_ms,
					  now_ms))
			unfit(s, &f->unfit_ms, until_ms);
	}
}

/* ------------------------------------------------------------------------- ways */

/* Return: whether there are any. */
static bool add_routers(struct snoop *s, const struct snoop_place *from,
			const struct mcast_msg *msg, uint64_t now_ms, struct port_set *to)
{
	const struct mcast_addr none = { .is_ip6 = msg->to.is_ip6 };

	return grouptable_members(s->routers, &none, from->vlan, now_ms, to) == GROUP_WHOLE;
}

/* Nobody was asked who is at ports that came since. */
static void add_strangers(const struct snoop *s, const struct family *f, struct port_set *to)
{
	if (s->newest_ms < f->answered_ms)
		return;
	for (unsigned i = 0; i < GROUPTABLE_PORTS; i++)
		if (port_set_has(&s->there, i) && s->came_ms[i] >= f->answered_ms)
			port_set_add(to, i);
}

static enum snoop_way report_way(struct snoop *s, const struct snoop_place *from,
				 const struct mcast_msg *msg, uint64_t now_ms, struct port_set *to)
{
	const struct family *f = family_of(s, from, msg);

	memset(to, 0, sizeof(*to));
	if (f->blind_ms > now_ms || !add_routers(s, from, msg, now_ms, to))
		return SNOOP_ALL;
	return SNOOP_SOME;
}

static enum snoop_way data_way(struct snoop *s, const struct snoop_place *from,
			       const struct mcast_msg *msg, uint64_t now_ms, struct port_set *to)
{
	struct family *f = family_of(s, from, msg);
	enum group_known known;

	if (now_ms >= f->until_ms || f->blind_ms > now_ms || mcast_is_local(&msg->to))
		return SNOOP_ALL;
	settle(f, now_ms);
	if (!f->answered_ms)
		return SNOOP_ALL;
	*to = s->flood;
	known = grouptable_members(s->groups, &msg->to, from->vlan, now_ms, to);
	if (known == GROUP_PARTLY || (known == GROUP_NONE && f->unfit_ms > now_ms))
		return SNOOP_ALL;
	add_routers(s, from, msg, now_ms, to);
	add_strangers(s, f, to);
	if (known == GROUP_WHOLE)
		s->counts.members++;
	else
		s->counts.routers++;
	return SNOOP_SOME;
}

enum snoop_way snoop_take(struct snoop *s, const struct snoop_place *from, struct mcast_msg *msg,
			  uint64_t now_ms, struct port_set *to)
{
	switch (msg->kind) {
	case MCAST_QUERY:
		learn_query(s, from, msg, now_ms);
		return SNOOP_ALL;
	case MCAST_ROUTER:
		learn_router(s, from, msg, now_ms);
		return SNOOP_ALL;
	case MCAST_REPORT:
		learn_report(s, from, msg, now_ms);
		return report_way(s, from, msg, now_ms, to);
	case MCAST_DATA:
		return data_way(s, from, msg, now_ms, to);
	case MCAST_NONE:
	case MCAST_WRONG:
		break;
	}
	return SNOOP_ALL;
}

/* ---------------------------------------------------------------------- looking */

bool snoop_sweep(struct snoop *s, uint64_t now_ms)
{
	grouptable_sweep(s->groups, now_ms);
	grouptable_sweep(s->routers, now_ms);
	return grouptable_cnt(s->groups) || grouptable_cnt(s->routers);
}

const struct snoop_counts *snoop_counts(const struct snoop *s)
{
	return &s->counts;
}

unsigned snoop_memberships(const struct snoop *s)
{
	return grouptable_cnt(s->groups);
}

unsigned snoop_memberships_max(const struct snoop *s)
{
	return grouptable_max(s->groups);
}

void snoop_each_member(const struct snoop *s, uint64_t now_ms, snoop_row *row, void *opaque)
{
	grouptable_each(s->groups, now_ms, row, opaque);
}

void snoop_each_router(const struct snoop *s, uint64_t now_ms, snoop_row *row, void *opaque)
{
	grouptable_each(s->routers, now_ms, row, opaque);
}

bool snoop_querier(const struct snoop *s, unsigned vlan, bool is_ip6, uint64_t now_ms,
		   struct snoop_querier *q)
{
	const struct family *f = &s->families[vlan][is_ip6];

	*q = (struct snoop_querier) { .addr = f->querier, .port = f->port };
	return f->until_ms > now_ms;
}

unsigned snoop_queriers(const struct snoop *s, uint64_t now_ms)
{
	unsigned cnt = 0;

	for (unsigned i = 0; i < 2 * VLANS; i++)
		cnt += s->families[i / 2][i % 2].until_ms > now_ms;
	return cnt;
}
