/* SPDX-License-Identifier: MIT */
/* Pings: when probes are due, and what became of them. */
#include "filter/ping.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/container.h"
#include "base/counter.h"
#include "filter/ping-int.h"
#include "net/vlan.h"

#define ACTION "ping"
#define INTERVAL_MIN_MS 10u
#define INTERVAL_MAX_MS 3600000u
#define TIMEOUT_MIN_MS 10u
#define TIMEOUT_MAX_MS 60000u
#define DEFAULT_MS 1000u

static int state_of(struct ping_slot *s)
{
	return atomic_load_explicit(&s->state, memory_order_acquire);
}

/* ------------------------------------------------------------------- asking */

static void have_lane_run(struct ping *g, unsigned index)
{
	struct ping_lane *pl = &g->lanes[index];

	if (pl->lane->loop == g->env->loop)
		loop_task_add(g->env->loop, &pl->send);
	else
		loop_task_post(pl->lane->loop, &pl->send);
}

/* Lanes in turn, of those that the outside uses. */
static unsigned choose_lane(const struct ping *g)
{
	const struct port *p = g->port;
	unsigned index = (unsigned)(g->seq % p->lane_cnt);

	for (unsigned i = 0; i < p->lane_cnt && !p->lanes[index].used; i++)
		index = (index + 1) % p->lane_cnt;
	return index;
}

static void ask(struct ping *g, struct ping_slot *s, uint64_t now_ns)
{
	const unsigned lane = choose_lane(g);
	const bool own = g->lanes[lane].lane->loop == g->env->loop;
	int state = PING_ASKED;

	g->seq++;
	s->seq = g->seq;
	s->due_ns = own && !g->crowded ? g->next_ns : now_ns;
	s->lane = lane;
	s->ran_ns = s->took_ns = s->answer.at_ns = 0;
	s->settled = s->counted = false;
	if (!g->port->junction) {
		s->ran_ns = s->took_ns = s->due_ns;
		s->cause = VMTAP_DROP_NO_PEER;
		state = PING_DROPPED;
	}
	atomic_store_explicit(&s->state, state, memory_order_release);
	if (state == PING_ASKED)
		have_lane_run(g, lane);
	else
		loop_task_add(g->env->loop, &g->collect);
}

static bool is_more(const struct ping *g)
{
	return !g->count || g->seq < g->count;
}

static struct ping_slot *next_slot(struct ping *g)
{
	return &g->slots[(g->seq + 1) % PING_IDENTS];
}

/* After a time when nothing could be asked, one probe says so, and the beat begins anew. */
static void ask_what_is_due(struct ping *g, uint64_t now_ns)
{
	if (!is_more(g) || g->next_ns > now_ns)
		return;
	if (!next_slot(g)->settled) {
		g->crowded = true;
		return;
	}
	ask(g, next_slot(g), now_ns);
	g->crowded = false;
	g->next_ns += g->interval_ns;
	if (g->next_ns <= now_ns)
		g->next_ns = now_ns + g->interval_ns;
}

/* ----------------------------------------------------------------- answers */

static bool is_same(const struct ping_seen *a, const struct ping_seen *b)
{
	return memcmp(a->mac, b->mac, sizeof(a->mac)) == 0 &&
	       memcmp(a->ip, b->ip, sizeof(a->ip)) == 0;
}

static void take_answer(struct ping *g, const struct ping_note *note)
{
	struct ping_slot *s = &g->slots[note->seen.seq % PING_IDENTS];
	const bool known = s->seq && note->seen.saw == PING_SAW_ANSWER &&
			   (g->asker.kind != PING_ECHO || (uint32_t)s->seq == note->seen.seq);

	if (known && !s->settled && !s->answer.at_ns) {
		s->answer = *note;
	} else if (!known || (s->settled && s->fate != VMTAP_PING_ANSWERED)) {
		g->stats.late++;
	} else if (is_same(&s->answer.seen, &note->seen)) {
		g->stats.duplicates++;
	} else {
		g->stats.others++;
	}
}

static void take_notes(struct ping *g)
{
	for (unsigned i = 0; i < g->lane_cnt; i++) {
		struct ping_lane *pl = &g->lanes[i];
		const unsigned put = atomic_load_explicit(&pl->put, memory_order_acquire);
		unsigned taken = atomic_load_explicit(&pl->taken, memory_order_relaxed);

		for (; taken != put; taken++)
			take_answer(g, &pl->notes[taken % PING_NOTES]);
		atomic_store_explicit(&pl->taken, taken, memory_order_release);
	}
}

/* --------------------------------------------------------------------- fates */

static void name_method(struct ping *g)
{
	static const char *const methods[] = {
		[PING_ARP] = "ARP requests for",
		[PING_ND] = "neighbour solicitations for",
		[PING_ECHO] = "ICMPv6 echo requests to",
	};
	char target[INET6_ADDRSTRLEN], vlan[16] = "";

	if (g->asker.vlan)
		snprintf(vlan, sizeof(vlan), " in VLAN %u", g->asker.vlan);
	inet_ntop(g->asker.kind == PING_ARP ? AF_INET : AF_INET6, g->asker.target, target,
		  sizeof(target));
	snprintf(g->method, sizeof(g->method), "%s %s%s", methods[g->asker.kind], target, vlan);
}

/* How long the thread that saw the answer was not waiting for it. Only where it sent the probe, too. */
static uint64_t busy_ns(const struct ping *g, const struct ping_slot *s, uint64_t outside_ns)
{
	const struct loop *sent = g->lanes[s->lane].clocked,
			  *saw = g->lanes[s->answer.lane].clocked;
	uint64_t waited_ns = s->answer.waited_ns - s->waited_ns;

	if (!sent || sent != saw || waited_ns > outside_ns)
		return 0;
	return outside_ns - waited_ns;
}

static void tell(struct ping *g, const struct ping_slot *s, uint64_t now_ns)
{
	struct vmtap_ping_probe probe = { .seq = s->seq, .fate = s->fate, .queue = s->lane };
	const struct ping_seen *by = &s->answer.seen;
	const uint64_t ran_ns = s->ran_ns ? s->ran_ns : now_ns;
	uint64_t took_ns = s->took_ns ? s->took_ns : now_ns;

	if (s->fate == VMTAP_PING_ANSWERED) {
		/* a port that answers inside of the call had not taken it before */
		if (took_ns > s->answer.at_ns)
			took_ns = s->answer.at_ns;
		probe.outside_ns = s->answer.at_ns - took_ns;
		probe.busy_ns = busy_ns(g, s, probe.outside_ns);
		memcpy(probe.mac, by->mac, sizeof(probe.mac));
		inet_ntop(by->is_ip6 ? AF_INET6 : AF_INET, by->ip, probe.address,
			  sizeof(probe.address));
	} else if (s->fate == VMTAP_PING_DROPPED) {
		probe.cause = s->cause;
	}
	probe.wait_ns = ran_ns > s->due_ns ? ran_ns - s->due_ns : 0;
	probe.hand_over_ns = took_ns > ran_ns ? took_ns - ran_ns : 0;
	if (g->events.probed)
		g->events.probed(g->events.opaque, &probe);
}

static void settle(struct ping *g, struct ping_slot *s, enum vmtap_ping_fate fate, uint64_t now_ns)
{
	uint64_t *const counters[] = {
		[VMTAP_PING_ANSWERED] = &g->stats.answered,
		[VMTAP_PING_LOST] = &g->stats.lost,
		[VMTAP_PING_HELD] = &g->stats.held,
		[VMTAP_PING_DROPPED] = &g->stats.dropped,
	};

	s->settled = true;
	s->fate = fate;
	++*counters[fate];
	tell(g, s, now_ns);
}

/* Return: whether it was still to be sent, and will not be. */
static bool take_back(struct ping *g, struct ping_slot *s)
{
	bool mine;

	port_enter(g->port);
	mine = state_of(s) == PING_ASKED;
	if (mine)
		atomic_store_explicit(&s->state, PING_IDLE, memory_order_relaxed);
	port_leave(g->port);
	return mine;
}

/* Nobody answers to what asks all; somebody there is, who may answer to his name. */
static void aim_anew(struct ping *g)
{
	unsigned heard = 0;

	for (unsigned i = 0; i < g->lane_cnt && !heard; i++)
		heard = atomic_load_explicit(&g->lanes[i].heard, memory_order_relaxed);
	if (!heard || !g->asker.open || g->stats.answered)
		return;
	port_enter(g->port);
	g->asker.kind = PING_ARP;
	g->asker.open = false;
	memcpy(g->asker.target, &heard, sizeof(heard));
	port_leave(g->port);
	name_method(g);
}

static void look_at(struct ping *g, struct ping_slot *s, uint64_t now_ns)
{
	switch (state_of(s)) {
	case PING_ASKED:
		if (now_ns >= s->due_ns + g->timeout_ns && take_back(g, s))
			settle(g, s, VMTAP_PING_HELD, now_ns);
		break;
	case PING_SENT:
		g->stats.sent += !s->counted;
		s->counted = true;
		if (s->answer.at_ns)
			settle(g, s, VMTAP_PING_ANSWERED, now_ns);
		else if (now_ns >= s->took_ns + g->timeout_ns)
			settle(g, s, VMTAP_PING_LOST, now_ns);
		break;
	case PING_DROPPED:
		settle(g, s, VMTAP_PING_DROPPED, now_ns);
		break;
	default:
		break;
	}
}

/* In the order of their numbers: the slot behind the latest has the oldest. Return: those without a fate yet. */
static unsigned look_at_all(struct ping *g, uint64_t now_ns)
{
	unsigned left = 0;

	for (unsigned i = 1; i <= PING_IDENTS && !g->over; i++) {
		struct ping_slot *s = &g->slots[(g->seq + i) % PING_IDENTS];

		if (!s->settled)
			look_at(g, s, now_ns);
		left += !s->settled;
	}
	return left;
}

/* ------------------------------------------------------------------- turns */

static void set_timer(struct ping *g, uint64_t now_ns)
{
	uint64_t at_ns = is_more(g) && !g->crowded ? g->next_ns : UINT64_MAX;

	for (unsigned i = 0; i < PING_IDENTS; i++) {
		struct ping_slot *s = &g->slots[i];
		uint64_t end_ns = s->due_ns;

		if (s->settled)
			continue;
		if (state_of(s) == PING_SENT)
			end_ns = s->took_ns;
		if (end_ns + g->timeout_ns < at_ns)
			at_ns = end_ns + g->timeout_ns;
	}
	loop_timer_set(g->env->loop, &g->timer, at_ns > now_ns ? at_ns - now_ns : 0);
}

/* The lanes have loops, which may be others than before. */
static void clock_lanes(struct ping *g)
{
	for (unsigned i = 0; i < g->port->lane_cnt; i++) {
		if (g->lanes[i].clocked)
			continue;
		g->lanes[i].clocked = g->lanes[i].lane->loop;
		loop_clock(g->lanes[i].clocked, true);
	}
}

static void send_again(struct ping *g)
{
	g->again = false;
	clock_lanes(g);
	for (unsigned i = 0; i < g->port->lane_cnt; i++)
		have_lane_run(g, i);
}

static void turn(struct ping *g)
{
	const uint64_t now_ns = clock_ns();
	unsigned left;

	if (g->port->state == VMTAP_PORT_BROKEN) {
		ping_detach(g, &g->port->error);
		return;
	}
	if (g->again)
		send_again(g);
	take_notes(g);
	left = look_at_all(g, now_ns);
	if (g->over)
		return;
	if (g->stats.lost)
		aim_anew(g);
	if (!left && !is_more(g)) {
		ping_detach(g, NULL);
		return;
	}
	ask_what_is_due(g, now_ns);
	set_timer(g, now_ns);
}

static void fire(struct loop_timer *t)
{
	turn(container_of(t, struct ping, timer));
}

static void collect(struct loop_task *t)
{
	struct ping *g = container_of(t, struct ping, collect);

	if (!g->over) {
		turn(g);
	} else if (!g->told) {
		g->told = true;
		if (g->events.ended)
			g->events.ended(g->events.opaque);
	}
}

/* ------------------------------------------------------------------ starting */

static int check_ms(const struct port *p, const char *what, unsigned ms, unsigned min, unsigned max,
		    struct vmtap_error *err)
{
	if (!ms || (ms >= min && ms <= max))
		return 0;
	return error_set(err, EINVAL, p->name, ACTION, "%s of %u ms is not from %u to %u", what, ms,
			 min, max);
}

static int check(const struct port *p, const struct vmtap_ping_config *config,
		 struct vmtap_error *err)
{
	int ret = check_ms(p, "an interval", config->interval_ms, INTERVAL_MIN_MS, INTERVAL_MAX_MS,
			   err);

	if (ret == 0)
		ret = check_ms(p, "a timeout", config->timeout_ms, TIMEOUT_MIN_MS, TIMEOUT_MAX_MS,
			       err);
	if (ret < 0 || p->junction)
		return ret;
	error_set(err, ENOTCONN, p->name, ACTION,
		  "it is joined to nothing, so nobody reads what comes in");
	error_remedy(err, "connect it to a port or a switch first");
	return -ENOTCONN;
}

static int aim(struct ping *g, const struct vmtap_ping_config *config, struct vmtap_error *err)
{
	const char *why = "";
	int ret = ping_asker_init(&g->asker);

	if (ret < 0)
		return error_errno(err, -ret, g->port->name, ACTION);
	if (ping_asker_aim(&g->asker, config->address, config->source, &why) < 0) {
		error_set(err, EINVAL, g->port->name, ACTION, "%s", why);
		if (config->source)
			error_remedy(err, "give both in numbers and of IPv4, as in 10.0.0.2 from "
					  "10.0.0.1");
		else
			error_remedy(err, "give a guest's in numbers, as in 10.0.0.2 or fd00::2, "
					  "or none: then all with IPv6 are asked");
		return -EINVAL;
	}
	if (config->vlan > VLAN_ID_MAX) {
		error_set(err, EINVAL, g->port->name, ACTION, "%u is no VLAN", config->vlan);
		error_remedy(err, "they are 1 to %u; 0 is for frames without a tag", VLAN_ID_MAX);
		return -EINVAL;
	}
	g->asker.vlan = (uint16_t)config->vlan;
	name_method(g);
	return 0;
}

static void init(struct ping *g, struct port *p, const struct vmtap_ping_config *config)
{
	g->hook = (struct port_hook) { .ops = &ping_hook_ops, .last = true };
	g->env = p->env;
	g->port = p;
	g->timer.fire = fire;
	g->collect.run = collect;
	g->count = config->count;
	g->interval_ns = NSEC_PER_MSEC * (config->interval_ms ? config->interval_ms : DEFAULT_MS);
	g->timeout_ns = NSEC_PER_MSEC * (config->timeout_ms ? config->timeout_ms : DEFAULT_MS);
	for (unsigned i = 0; i < PING_IDENTS; i++) {
		atomic_init(&g->slots[i].state, PING_IDLE);
		g->slots[i].settled = true;
	}
	g->lane_cnt = p->pair_cnt;
	for (unsigned i = 0; i < g->lane_cnt; i++) {
		g->lanes[i].ping = g;
		g->lanes[i].lane = &p->lanes[i];
		g->lanes[i].send.run = ping_lane_run;
	}
}

struct ping *ping_new(struct port *p, const struct vmtap_ping_config *config,
		      const struct ping_events *events, struct vmtap_error *err)
{
	struct ping *g;

	if (check(p, config, err) < 0)
		return NULL;
	g = calloc(1, sizeof(*g) + p->pair_cnt * sizeof(g->lanes[0]));
	if (!g) {
		error_errno(err, ENOMEM, p->name, ACTION);
		return NULL;
	}
	init(g, p, config);
	if (aim(g, config, err) < 0 || port_hook_add(p, &g->hook, ACTION, err) < 0) {
		free(g);
		return NULL;
	}
	g->events = *events;
	clock_lanes(g);
	g->next_ns = clock_ns();
	loop_timer_set(g->env->loop, &g->timer, 0);
	return g;
}

/* --------------------------------------------------------------------- ending */

void ping_detach(struct ping *g, const struct vmtap_error *why)
{
	struct port *p = g->port;

	if (g->over)
		return;
	g->over = true;
	g->port = NULL;
	if (why)
		g->error = *why;
	loop_timer_del(g->env->loop, &g->timer);
	port_hook_del(p, &g->hook);
	loop_task_add(g->env->loop, &g->collect);
}

void ping_free(struct ping *g)
{
	if (!g)
		return;
	ping_detach(g, NULL);
	loop_task_del(g->env->loop, &g->collect);
	free(g);
}

/* -------------------------------------------------------------------- looking */

bool ping_is_over(const struct ping *g)
{
	return g->over;
}

const struct vmtap_error *ping_error(const struct ping *g)
{
	return g->error.code ? &g->error : NULL;
}

const char *ping_method(const struct ping *g)
{
	return g->method;
}

void ping_stats(const struct ping *g, struct vmtap_ping_stats *stats)
{
	*stats = g->stats;
	for (unsigned i = 0; i < g->lane_cnt; i++)
		stats->late += counter_get(&g->lanes[i].missed);
}
