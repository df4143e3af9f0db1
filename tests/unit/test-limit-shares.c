/* SPDX-License-Identifier: MIT */
/*
 * Limits that several want to use: many limited ports on one loop, and many senders to one limited port of a
 * switch. Who is greedy gets no more than its share. The clock is the test's own.
 */
#include "unit.h"

#define PORTS 5

#include "fake-clock.h"
#include "filter/limit.h"
#include "net/link.h"
#include "switch-test.h"

#define USEC NSEC_PER_USEC
#define LINKS 8
/** The port of the switch that is limited, and who sends to it. */
#define TARGET (PORTS - 1)
#define SENDERS TARGET
#define SECS 10
#define RATE 4000u /* what 50 ms of it bring fits into the log of a fake port */

/* The loop comes round now and then: after 50 us to 3 ms, in no rhythm that a timer has. */
static void pass(struct loop *l, unsigned step)
{
	now_ns += (50 + step * 7919ull % 2951) * USEC;
	loop_dispatch(l, 0);
}

static struct limit *limited(struct port *p, enum port_way way, const struct vmtap_limit *value)
{
	struct limit *l = limit_new(p);

	assert_non_null(l);
	assert_int_equal(limit_set(l, way, value, NULL), 0);
	return l;
}

/* ------------------------------------------------------------ many on one loop */

/** struct one - A link of several: @a offers whenever it may */
struct one {
	struct fake *a, *b;
	struct link *link;
	struct limit *limit;
};

static void one_init(struct one *o, enum port_way way, const struct vmtap_limit *value)
{
	o->a = fake_new(&env, "a");
	o->b = fake_new(&env, "b");
	o->link = link_new(&o->a->port, &o->b->port, NULL);
	assert_non_null(o->link);
	o->limit = value ? limited(way == PORT_RX ? &o->a->port : &o->b->port, way, value) : NULL;
}

static void one_fini(struct one *o)
{
	port_close(&o->a->port);
	port_close(&o->b->port);
	limit_free(o->limit);
	port_free(&o->a->port);
	port_free(&o->b->port);
	link_free(o->link);
}

/* As a port does that has more than it may send: at most @bursts before others get their turn. */
static void offer_what_it_may(struct one *o, unsigned bursts)
{
	while (bursts-- && !o->a->port.lanes->held)
		fake_offer(o->a, 0, VMTAP_BURST_MAX);
}

static void each_port_of_a_loop_has_its_rate(void **state)
{
	struct one links[LINKS], greedy;
	struct vmtap_limit value;

	now_ns = NSEC_PER_MSEC;
	env = (struct port_env) { .loop = loop_new(), .cancel_fd = -1 };
	one_init(&greedy, PORT_RX, NULL);
	for (unsigned i = 0; i < LINKS; i++) {
		value = (struct vmtap_limit) { .pps = RATE << i };
		one_init(&links[i], i % 2 ? PORT_RX : PORT_TX, &value);
	}
	for (unsigned step = 0; now_ns < 10 * NSEC_PER_SEC; step++) {
		offer_what_it_may(&greedy, 16);
		for (unsigned i = 0; i < LINKS; i++)
			offer_what_it_may(&links[(i + step) % LINKS], 1000);
		pass(env.loop, step);
	}
	for (unsigned i = 0; i < LINKS; i++) {
		const unsigned due = (RATE << i) * 10;

		assert_in_range(links[i].b->got, due / 100 * 99, due / 100 * 101);
	}
	for (unsigned i = 0; i < LINKS; i++)
		one_fini(&links[i]);
	one_fini(&greedy);
	loop_free(env.loop);
}

/* --------------------------------------------------- many senders to one port */

static struct limit *target;
static unsigned seen, came[SENDERS], before[SENDERS], meanwhile[SENDERS];

static int setup(void **state)
{
	static const struct vmtap_limit value = { .pps = RATE };

	now_ns = NSEC_PER_MSEC;
	switch_setup(state);
	remake(&(struct switch_config) {
		.max_macs = 64, .queue_frames = 1024, .queue_bytes = 1 << 20 });
	target = limited(&ports[TARGET]->port, PORT_TX, &value);
	say(TARGET, BROADCAST, 0);
	clear();
	seen = 0;
	memset(came, 0, sizeof(came));
	return 0;
}

static int teardown(void **state)
{
	port_close(&ports[TARGET]->port);
	limit_free(target);
	return switch_teardown(state);
}

static void offer_from(unsigned i, unsigned cnt)
{
	static unsigned char bytes[VMTAP_BURST_MAX][60];
	struct vmtap_frame frames[VMTAP_BURST_MAX];
	struct iovec iov[VMTAP_BURST_MAX];

	for (unsigned n = 0; n < cnt; n++)
		make_frame(&frames[n], &iov[n], bytes[n], MAC_OF(i), MAC_OF(TARGET), i);
	assert_int_equal(port_offer(&ports[i]->port, frames, cnt), cnt);
}

/* Whose frames came. */
static void look(void)
{
	const struct fake *f = ports[TARGET];

	assert_in_range(f->got - seen, 0, FAKE_LOG);
	for (; seen < f->got; seen++)
		came[f->tags[seen % FAKE_LOG]]++;
}

static void offer_until(unsigned i, uint64_t *offered, uint64_t due)
{
	while (*offered < due) {
		const uint64_t left = due - *offered;
		const unsigned cnt = left < VMTAP_BURST_MAX ? (unsigned)left : VMTAP_BURST_MAX;

		offer_from(i, cnt);
		*offered += cnt;
	}
}

/* Each offers as many frames a second as @pps says, in bursts; the first is always the first. In the first
 * second the queue fills; then @meanwhile is what came in SECS, and in the end what waits comes out, too. */
static void run(const unsigned pps[SENDERS])
{
	uint64_t offered[SENDERS] = { 0 };
	unsigned ms = 0, step = 0;

	while (ms < (1 + SECS) * 1000) {
		ms = (unsigned)(now_ns / NSEC_PER_MSEC);
		for (unsigned i = 0; i < SENDERS; i++)
			offer_until(i, &offered[i], (uint64_t)ms * pps[i] / 1000);
		if (ms < 1000)
			memcpy(before, came, sizeof(came));
		pass(loop, step++);
		look();
	}
	for (unsigned i = 0; i < SENDERS; i++)
		meanwhile[i] = came[i] - before[i];
	for (unsigned i = 0; i < 1000; i++) {
		pass(loop, step++);
		look();
	}
}

static void assert_share(unsigned i, unsigned pps)
{
	const unsigned due = pps * SECS;

	assert_in_range(meanwhile[i], due / 100 * 96, due / 100 * 104);
}

static void equals_get_equal_shares(void **state)
{
	run((const unsigned[]) { 10000, 10000, 10000, 10000 });
	for (unsigned i = 0; i < SENDERS; i++)
		assert_share(i, RATE / SENDERS);
}

static void who_sends_a_hundred_times_as_much_gets_no_more(void **state)
{
	run((const unsigned[]) { 100000, 2000, 2000, 20000 });
	for (unsigned i = 0; i < SENDERS; i++)
		assert_share(i, RATE / SENDERS);
}

static void who_sends_less_than_its_share_loses_nothing(void **state)
{
	run((const unsigned[]) { 100000, 500, 10, 50000 });
	assert_in_range(came[1], 500 * (1 + SECS), 500 * (1 + SECS) + 2); /* the last step's */
	assert_in_range(came[2], 10 * (1 + SECS), 10 * (1 + SECS) + 1);
	assert_share(0, (RATE - 510) / 2);
	assert_share(3, (RATE - 510) / 2);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_port_of_a_loop_has_its_rate),
		CASE(equals_get_equal_shares),
		CASE(who_sends_a_hundred_times_as_much_gets_no_more),
		CASE(who_sends_less_than_its_share_loses_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
