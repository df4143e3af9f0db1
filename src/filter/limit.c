/* SPDX-License-Identifier: MIT */
/* Limits of a port: bits and frames a second, each way. */
#include "filter/limit.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/container.h"
#include "filter/bucket.h"
#include "filter/wire.h"

/** Without burst=, what so much time brings: long enough for a thread that wakes up late to lose nothing. */
#define BURST_NS (50 * NSEC_PER_MSEC)
/** A lane that waits does so until there is credit for so much time; one that got nothing since it last
 *  woke up waits less, so that it comes first. */
#define TURN_NS NSEC_PER_MSEC
#define HUNGRY_NS (TURN_NS / 4)
/** Bounds of one wait: a burst may be too small for the timer, and a debt longer than patience. */
#define WAIT_MIN_NS (50 * NSEC_PER_USEC)
#define WAIT_MAX_NS NSEC_PER_SEC

/* Of the public structure; what it says is refused beyond. */
#define RATE_MAX 1000000000000ull
#define BURST_MAX (1ull << 32)

/**
 * struct waiter - A lane, one way, whose limit is @of
 * @fed: something passed since it last woke up
 */
struct waiter {
	struct loop_timer timer;
	struct port_lane *lane;
	enum port_way way;
	struct limit_way *of;
	bool fed;
};

struct limit_way {
	struct vmtap_limit value;
	struct bucket bits, frames;
};

/** struct limit - @waiters: of each lane, two */
struct limit {
	struct port_hook hook;
	struct port *port;
	bool hooked;
	struct limit_way ways[2];
	struct waiter waiters[];
};

static struct limit *of_hook(struct port_hook *h)
{
	return container_of(h, struct limit, hook);
}

static struct waiter *waiter_of(struct limit *l, const struct port_lane *lane, enum port_way way)
{
	return &l->waiters[lane->index * 2 + (unsigned)way];
}

static bool is_set(const struct limit_way *w)
{
	return w->bits.rate || w->frames.rate;
}

/* ------------------------------------------------------------ moving frames */

static uint64_t wait_of(struct bucket *b, uint64_t now_ns, uint64_t turn_ns)
{
	return b->rate ? bucket_wait_ns(b, now_ns, b->rate / (NSEC_PER_SEC / turn_ns)) : 0;
}

static void wait_for(struct waiter *w, struct limit_way *of, uint64_t now_ns)
{
	const uint64_t turn_ns = w->fed ? TURN_NS : HUNGRY_NS;
	uint64_t wait_ns = wait_of(&of->bits, now_ns, turn_ns);
	const uint64_t other_ns = wait_of(&of->frames, now_ns, turn_ns);

	if (other_ns > wait_ns)
		wait_ns = other_ns;
	if (wait_ns < WAIT_MIN_NS)
		wait_ns = WAIT_MIN_NS;
	if (wait_ns > WAIT_MAX_NS)
		wait_ns = WAIT_MAX_NS;
	w->fed = false;
	bucket_late(&of->bits, 0);
	bucket_late(&of->frames, 0);
	loop_timer_set(w->lane->loop, &w->timer, wait_ns);
}

/* A burst that somebody asked for is kept to; else the rate comes first. */
static void fire(struct loop_timer *t)
{
	struct waiter *w = container_of(t, struct waiter, timer);
	struct limit_way *of = w->of;
	const uint64_t late_ns = clock_ns() - t->at_ns;

	if (!of->value.burst)
		bucket_late(&of->bits, late_ns);
	bucket_late(&of->frames, late_ns);
	port_hook_open(w->lane, w->way);
}

static unsigned admit(struct port_hook *h, struct port_lane *lane, enum port_way way,
		      const struct vmtap_frame *frames, unsigned cnt, enum port_verdict *verdict)
{
	struct limit *l = of_hook(h);
	struct limit_way *w = &l->ways[way];
	int64_t bits, left;
	uint64_t now_ns;
	unsigned n = 0;

	if (!is_set(w))
		return cnt;
	now_ns = clock_ns();
	bits = bucket_credit(&w->bits, now_ns);
	left = bucket_credit(&w->frames, now_ns);
	while (n < cnt && bits > 0 && left > 0) {
		const struct wire on = wire_of(&frames[n++]);

		bits -= (int64_t)on.bytes * 8;
		left -= on.frames;
	}
	if (!n)
		wait_for(waiter_of(l, lane, way), w, now_ns);
	return n;
}

static void passed(struct port_hook *h, struct port_lane *lane, enum port_way way,
		   const struct vmtap_frame *frames, unsigned cnt)
{
	struct limit *l = of_hook(h);
	struct limit_way *w = &l->ways[way];
	uint64_t bytes = 0, sum = 0;

	if (!is_set(w))
		return;
	for (unsigned i = 0; i < cnt; i++) {
		const struct wire on = wire_of(&frames[i]);

		bytes += on.bytes;
		sum += on.frames;
	}
	bucket_spend(&w->bits, bytes * 8);
	bucket_spend(&w->frames, sum);
	waiter_of(l, lane, way)->fed = true;
}

/* Whoever waits is asked again by the one that has it wait no longer. */
static void leave_loops(struct port_hook *h)
{
	struct limit *l = of_hook(h);

	for (unsigned i = 0; i < l->port->pair_cnt * 2; i++)
		loop_timer_del(l->waiters[i].lane->loop, &l->waiters[i].timer);
}

static const struct port_hook_ops ops = {
	.admit = admit,
	.passed = passed,
	.leave_loops = leave_loops,
};

/* ---------------------------------------------------------------- setting */

struct limit *limit_new(struct port *p)
{
	const unsigned cnt = p->pair_cnt * 2;
	struct limit *l = calloc(1, sizeof(*l) + cnt * sizeof(l->waiters[0]));

	if (!l)
		return NULL;
	l->hook.ops = &ops;
	l->port = p;
	for (unsigned i = 0; i < cnt; i++)
		l->waiters[i] = (struct waiter) {
			.timer.fire = fire,
			.lane = &p->lanes[i / 2],
			.way = i % 2 ? PORT_TX : PORT_RX,
			.of = &l->ways[i % 2],
		};
	return l;
}

void limit_free(struct limit *l)
{
	if (!l)
		return;
	port_hook_del(l->port, &l->hook);
	free(l);
}

static int check(const struct port *p, const struct vmtap_limit *v, struct vmtap_error *err)
{
	const char *what = "limit its frames";

	if (v->rate_bps > RATE_MAX || v->pps > RATE_MAX)
		return error_set(err, EINVAL, p->name, what, "a rate of %" PRIu64 " is above %llu",
				 v->rate_bps > v->pps ? v->rate_bps : v->pps, RATE_MAX);
	if (v->burst > BURST_MAX)
		return error_set(err, EINVAL, p->name, what, "a burst of %" PRIu64 " is above %llu",
				 v->burst, BURST_MAX);
	if (v->burst && !v->rate_bps) {
		error_set(err, EINVAL, p->name, what, "there is a burst, and no rate");
		error_remedy(err, "say at what rate it fills again");
		return -EINVAL;
	}
	return 0;
}

static uint64_t default_burst(uint64_t rate)
{
	const uint64_t burst = rate / (NSEC_PER_SEC / BURST_NS);

	return rate && !burst ? 1 : burst;
}

static void apply(struct limit_way *w, const struct vmtap_limit *v)
{
	const uint64_t now_ns = clock_ns();
	const uint64_t bits = v->burst ? v->burst * 8 : default_burst(v->rate_bps);

	w->value = *v;
	if (v->burst == (default_burst(v->rate_bps) + 7) / 8) /* what limit_get() said */
		w->value.burst = 0;
	bucket_init(&w->bits, v->rate_bps, bits, now_ns);
	bucket_init(&w->frames, v->pps, default_burst(v->pps), now_ns);
}

static void open_all(struct limit *l)
{
	for (unsigned i = 0; i < l->port->lane_cnt; i++)
		for (int way = PORT_RX; way <= PORT_TX; way++)
			port_hook_open(&l->port->lanes[i], way);
}

int limit_set(struct limit *l, enum port_way way, const struct vmtap_limit *value,
	      struct vmtap_error *err)
{
	const bool wanted = value->rate_bps || value->pps || is_set(&l->ways[!way]);
	int ret = check(l->port, value, err);

	if (ret == 0 && wanted && !l->hooked)
		ret = port_hook_add(l->port, &l->hook, "limit its frames", err);
	if (ret < 0)
		return ret;
	l->hooked = wanted;
	port_enter(l->port);
	leave_loops(&l->hook);
	apply(&l->ways[way], value);
	if (wanted)
		open_all(l);
	else
		port_hook_del(l->port, &l->hook);
	port_leave(l->port);
	return 0;
}

struct vmtap_limit limit_get(const struct limit *l, enum port_way way)
{
	const struct limit_way *w = &l->ways[way];
	struct vmtap_limit v = w->value;

	v.burst = (w->bits.burst + 7) / 8;
	return v;
}
