/* SPDX-License-Identifier: MIT */
/* Limits of a port, by a clock that the test sets: clock_gettime() is the test's own. */
#include "unit.h"

#include <errno.h>
#include <semaphore.h>

#include "base/container.h"
#include "fake-clock.h"
#include "fake-port.h"
#include "filter/limit.h"
#include "loop/worker.h"
#include "net/link.h"

#define LANES 4
#define MBIT 1000000ull
#define USEC NSEC_PER_USEC

struct rig {
	struct loop *loop;
	struct port_env env;
	struct fake *a, *b;
	struct link *link;
	struct limit *limit; /* of @a */
};

static int setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));

	now_ns = NSEC_PER_MSEC;
	r->loop = loop_new();
	r->env = (struct port_env) { .loop = r->loop, .cancel_fd = -1 };
	r->a = fake_new(&r->env, "a");
	r->b = fake_new(&r->env, "b");
	r->link = link_new(&r->a->port, &r->b->port, NULL);
	r->limit = limit_new(&r->a->port);
	*state = r;
	return r->link && r->limit ? 0 : -1;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	port_close(&r->a->port);
	limit_free(r->limit);
	port_free(&r->a->port);
	port_free(&r->b->port);
	link_free(r->link);
	loop_free(r->loop);
	free(r);
	return 0;
}

static void limit(struct rig *r, enum port_way way, uint64_t rate, uint64_t burst, uint64_t pps)
{
	const struct vmtap_limit value = { .rate_bps = rate, .burst = burst, .pps = pps };

	assert_int_equal(limit_set(r->limit, way, &value, NULL), 0);
}

/* Let @us pass, and what is due then. */
static void pass(struct rig *r, uint64_t us)
{
	now_ns += us * USEC;
	loop_dispatch(r->loop, 0);
}

static void what_is_beyond_the_limit_waits(void **state)
{
	struct rig *r = *state;

	limit(r, PORT_RX, 8 * MBIT, 600, 0); /* frames of 60 bytes: ten */
	assert_int_equal(fake_offer(r->a, 0, 64), 10);
	assert_true(port_is_held(&r->a->port));
	pass(r, 299); /* for half the burst */
	assert_int_equal(r->a->resumed, 0);
	pass(r, 1);
	assert_int_equal(r->a->resumed, 1);
	assert_int_equal(fake_offer(r->a, 10, 54), 5);
	pass(r, 1000);
	assert_int_equal(fake_offer(r->a, 15, 49), 10);
	assert_int_equal(r->b->got, 25);
	for (unsigned i = 0; i < 25; i++)
		assert_int_equal(r->b->tags[i], i);
}

static void the_other_way_is_not_limited(void **state)
{
	struct rig *r = *state;

	limit(r, PORT_RX, 1000, 60, 0);
	assert_int_equal(fake_offer(r->a, 0, 64), 1);
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(fake_offer(r->b, 0, 64), 64);
}

static void who_sends_to_it_waits(void **state)
{
	struct rig *r = *state;

	limit(r, PORT_TX, 0, 0, 20000); /* 50 ms of it: 1000 */
	for (unsigned i = 0; i < 15; i++)
		assert_int_equal(fake_offer(r->b, 0, 64), 64);
	assert_int_equal(fake_offer(r->b, 0, 64), 40);
	assert_true(port_is_held(&r->b->port));
	assert_true(port_is_blocked(&r->a->port));
	pass(r, 1000);
	assert_int_equal(r->b->resumed, 1);
	assert_int_equal(fake_offer(r->b, 0, 64), 20);
	assert_int_equal(r->a->got, 1020);
}

static void a_frame_longer_than_the_burst_passes_and_is_paid_for(void **state)
{
	struct rig *r = *state;

	limit(r, PORT_RX, 8 * MBIT, 1, 0);
	assert_int_equal(fake_offer(r->a, 0, 2), 1);
	pass(r, 59); /* 60 bytes less the first */
	assert_int_equal(r->a->resumed, 0);
	pass(r, 1);
	assert_int_equal(r->a->resumed, 1);
	assert_int_equal(fake_offer(r->a, 1, 1), 1);
}

static void what_the_peer_does_not_take_does_not_count(void **state)
{
	struct rig *r = *state;

	limit(r, PORT_RX, 8 * MBIT, 600, 0);
	r->b->room = 3;
	assert_int_equal(fake_offer(r->a, 0, 64), 3);
	r->b->room = 100;
	port_writable(&r->b->port);
	assert_int_equal(fake_offer(r->a, 0, 64), 7);
}

/* Over ten seconds, however the sender is woken up. */
static void in_the_long_run_it_is_the_rate(void **state)
{
	struct rig *r = *state;
	unsigned sum = 0, resumed = 0;

	limit(r, PORT_RX, 48 * MBIT, 0, 0); /* 100,000 frames a second, 5,000 at once */
	for (unsigned i = 0; i < 12500; i++) {
		unsigned taken;

		now_ns += 777 * USEC + i % 50 * USEC;
		loop_dispatch(r->loop, 0);
		if (i && r->a->resumed == resumed)
			continue;
		resumed = r->a->resumed;
		while ((taken = fake_offer(r->a, 0, 64)) == 64)
			sum += taken;
		sum += taken;
	}
	assert_in_range(sum, (now_ns - NSEC_PER_MSEC) / 10000,
			(now_ns - NSEC_PER_MSEC) / 10000 + 5000);
}

static unsigned offer_all(struct rig *r)
{
	unsigned taken, sum = 0;

	while ((taken = fake_offer(r->a, 0, 64)) == 64)
		sum += taken;
	return sum + taken;
}

/* A host may let us run late by more than the burst: the rate is kept to all the same. */
static void what_a_late_timer_missed_is_made_up_for(void **state)
{
	struct rig *r = *state;

	limit(r, PORT_RX, 48 * MBIT, 0, 0); /* 100,000 frames a second, 5,000 at once */
	assert_int_equal(offer_all(r), 5000);
	pass(r, 200000);
	assert_int_equal(offer_all(r), 20000);
	pass(r, 100);
	assert_int_equal(r->a->resumed, 1);
	limit(r, PORT_RX, 48 * MBIT, 600, 0); /* a burst that was asked for: ten */
	assert_int_equal(offer_all(r), 10);
	pass(r, 200000);
	assert_int_equal(offer_all(r), 10);
}

static void an_idle_port_wakes_nobody(void **state)
{
	struct rig *r = *state;

	limit(r, PORT_RX, 8 * MBIT, 0, 0);
	fake_offer(r->a, 0, 10);
	now_ns += NSEC_PER_SEC;
	assert_int_equal(loop_dispatch(r->loop, 0), 0);
	assert_int_equal(r->a->resumed, 0);
	for (unsigned i = 0; i < 40; i++)
		fake_offer(r->a, 0, 64);
	pass(r, NSEC_PER_SEC / USEC);
	assert_int_equal(r->a->resumed, 1);
	pass(r, NSEC_PER_SEC / USEC);
	assert_int_equal(r->a->resumed, 1);
}

static void another_limit_is_in_force_at_once(void **state)
{
	struct rig *r = *state;

	limit(r, PORT_RX, 0, 0, 1);
	assert_int_equal(fake_offer(r->a, 0, 64), 1);
	limit(r, PORT_RX, 0, 0, 400); /* 20 */
	assert_int_equal(r->a->resumed, 1);
	assert_int_equal(fake_offer(r->a, 0, 64), 20);
	limit(r, PORT_RX, 0, 0, 0);
	assert_int_equal(r->a->resumed, 2);
	assert_null(r->a->port.hooks);
	assert_int_equal(fake_offer(r->a, 0, 64), 64);
	pass(r, 10 * NSEC_PER_SEC / USEC);
	assert_int_equal(r->a->resumed, 2);
}

static void it_says_what_is_in_force(void **state)
{
	struct rig *r = *state;
	struct vmtap_limit v;

	limit(r, PORT_TX, 8 * MBIT, 0, 7);
	v = limit_get(r->limit, PORT_TX);
	assert_int_equal(v.rate_bps, 8 * MBIT);
	assert_int_equal(v.burst, 50000);
	assert_int_equal(v.pps, 7);
	v = limit_get(r->limit, PORT_RX);
	assert_int_equal(v.rate_bps + v.burst + v.pps, 0);
}

static void impossible_limits_are_refused(void **state)
{
	static const struct vmtap_limit bad[] = {
		{ .rate_bps = 1000000000001 },
		{ .pps = 1000000000001 },
		{ .rate_bps = 1, .burst = (1ull << 32) + 1 },
		{ .burst = 1 },
	};
	struct rig *r = *state;

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct vmtap_error err = { 0 };

		assert_int_equal(limit_set(r->limit, PORT_RX, &bad[i], &err), -EINVAL);
		assert_string_equal(err.object, "a");
	}
	assert_null(r->a->port.hooks);
}

static bool yes(const struct port *p)
{
	return true;
}

static void frames_that_the_kernel_carries_have_none(void **state)
{
	const struct vmtap_limit value = { .pps = 1 };
	struct rig *r = *state;
	struct port_ops ops = fake_ops;
	struct vmtap_error err = { 0 };

	ops.in_kernel = yes;
	r->b->port.ops = &ops;
	assert_int_equal(limit_set(r->limit, PORT_RX, &value, &err), -EBUSY);
	assert_non_null(strstr(err.reason, "b has vhost=on"));
	r->b->port.ops = &fake_ops;
	limit(r, PORT_RX, 0, 0, 1);
}

static void a_port_that_closes_waits_no_longer(void **state)
{
	struct rig *r = *state;

	limit(r, PORT_RX, 0, 0, 1);
	limit(r, PORT_TX, 0, 0, 1);
	fake_offer(r->a, 0, 64);
	fake_offer(r->b, 0, 64);
	port_close(&r->a->port);
	assert_int_equal(r->b->resumed, 1);
	limit_free(r->limit);
	r->limit = NULL;
	pass(r, 10 * NSEC_PER_SEC / USEC);
}

/* ------------------------------------------------------------------- lanes */

/* A port whose lanes count what was sent to them. */
struct many {
	struct port port;
	unsigned got[LANES], resumed[LANES];
	struct loop_task *again[LANES]; /* run by @resume */
};

static unsigned many_send(struct port_lane *l, const struct vmtap_frame *frames, unsigned cnt)
{
	container_of(l->port, struct many, port)->got[l->index] += cnt;
	return cnt;
}

static void many_resume(struct port_lane *l)
{
	struct many *m = container_of(l->port, struct many, port);

	m->resumed[l->index]++;
	if (m->again[l->index])
		loop_task_add(l->loop, m->again[l->index]);
}

static void many_leave(struct port *p)
{
}

static int many_moved(struct port *p)
{
	return 0;
}

static struct many *many_new(const struct port_env *env, const char *name)
{
	static struct port_ops ops;
	struct many *m = calloc(1, sizeof(*m));

	ops = fake_ops;
	ops.close = many_leave;
	ops.set_offload = NULL;
	ops.peer_link = NULL;
	ops.send = many_send;
	ops.resume = many_resume;
	ops.leave_loops = many_leave;
	ops.moved = many_moved;
	port_init(&m->port, &ops, env, name);
	port_set_pairs(&m->port, LANES);
	return m;
}

struct lanes_rig {
	struct port_env env;
	struct many *a, *b;
	struct link *link;
	struct limit *limit;
};

static void begin(struct lanes_rig *r, unsigned workers)
{
	const struct workers_config config = { .cnt = workers, .engine = BURST_PLAIN };
	struct vmtap_error err = { 0 };
	int why;

	now_ns = NSEC_PER_MSEC;
	*r = (struct lanes_rig) { .env = { .loop = loop_new(), .cancel_fd = -1 } };
	r->env.burst = burst_new(BURST_PLAIN, &why);
	if (workers)
		r->env.workers = workers_new(&config, &err);
	r->a = many_new(&r->env, "a");
	r->b = many_new(&r->env, "b");
	r->limit = limit_new(&r->a->port);
	r->link = link_new(&r->a->port, &r->b->port, &err);
	assert_non_null(r->link);
}

static void end(struct lanes_rig *r)
{
	port_close(&r->a->port);
	limit_free(r->limit);
	port_free(&r->a->port);
	port_free(&r->b->port);
	link_free(r->link);
	workers_free(r->env.workers);
	burst_free(r->env.burst);
	loop_free(r->env.loop);
}

static unsigned offer(struct port_lane *l)
{
	static const uint8_t bytes[60];
	static const struct iovec iov = { (void *)(uintptr_t)bytes, sizeof(bytes) };
	struct vmtap_frame frames[VMTAP_BURST_MAX];

	for (unsigned i = 0; i < VMTAP_BURST_MAX; i++)
		frames[i] = (struct vmtap_frame) { .len = 60, .iov = &iov, .iov_cnt = 1 };
	return lane_offer(l, frames, VMTAP_BURST_MAX);
}

/* One that gets nothing because another was faster is the first next time. */
static void no_lane_starves(void **state)
{
	const struct vmtap_limit value = { .pps = 100000 };
	struct lanes_rig r;
	unsigned least = ~0u, sum = 0;

	begin(&r, 0);
	assert_int_equal(limit_set(r.limit, PORT_RX, &value, NULL), 0);
	for (unsigned ms = 0; ms < 4000; ms++) {
		for (unsigned i = 0; i < LANES; i++)
			while (!r.a->port.lanes[i].held)
				offer(&r.a->port.lanes[i]);
		now_ns += 250 * USEC;
		loop_dispatch(r.env.loop, 0);
	}
	for (unsigned i = 0; i < LANES; i++) {
		sum += r.b->got[i];
		if (r.b->got[i] < least)
			least = r.b->got[i];
	}
	assert_in_range(sum, 100000 - 200, 100000 + 5200);
	assert_in_range(least, sum / 5, sum);
	end(&r);
}

static unsigned left_loops;

static void count_leaving(struct port_hook *h)
{
	left_loops++;
}

static void lanes_that_move_are_in_no_old_loop(void **state)
{
	static const struct port_hook_ops ops = { .leave_loops = count_leaving };
	struct port_hook counting = { .ops = &ops };
	const struct vmtap_limit value = { .pps = 1 };
	struct vmtap_error err = { 0 };
	struct lanes_rig r;

	begin(&r, 3); /* four lanes: the next link begins with another */
	assert_int_equal(limit_set(r.limit, PORT_RX, &value, NULL), 0);
	assert_int_equal(port_hook_add(&r.a->port, &counting, "count", NULL), 0);
	port_enter(&r.a->port);
	for (unsigned i = 0; i < LANES; i++)
		assert_int_equal(offer(&r.a->port.lanes[i]), i == 0);
	port_leave(&r.a->port);
	left_loops = 0;
	link_free(r.link); /* what was held is discarded */
	r.link = link_new(&r.a->port, &r.b->port, &err);
	assert_non_null(r.link);
	assert_int_equal(left_loops, 1);
	port_enter(&r.a->port);
	assert_int_equal(offer(&r.a->port.lanes[0]), 0);
	port_leave(&r.a->port);
	port_hook_del(&r.a->port, &counting);
	end(&r);
}

/* Frames that a worker's thread moves, until the lane is held. */
struct sender {
	struct loop_task task;
	struct port_lane *lane;
	unsigned offered;
	sem_t held;
};

static void send_all(struct loop_task *t)
{
	struct sender *s = container_of(t, struct sender, task);

	while (!s->lane->held)
		s->offered += offer(s->lane);
	sem_post(&s->held);
}

/* The clock stands still, so that the burst is all there is. */
static void lanes_in_threads_share_the_limit(void **state)
{
	const struct vmtap_limit first = { .pps = 2000000 }, second = { .pps = 4000000 };
	struct sender senders[LANES] = { 0 };
	struct lanes_rig r;
	unsigned sum = 0;

	begin(&r, 2);
	assert_int_equal(limit_set(r.limit, PORT_RX, &first, NULL), 0); /* 100,000 at once */
	port_enter(&r.a->port);
	for (unsigned i = 0; i < LANES; i++) {
		senders[i] = (struct sender) { .task.run = send_all, .lane = &r.a->port.lanes[i] };
		sem_init(&senders[i].held, 0, 0);
		r.a->again[i] = &senders[i].task;
		loop_task_add(senders[i].lane->loop, &senders[i].task);
	}
	port_leave(&r.a->port);
	for (unsigned i = 0; i < LANES; i++)
		sem_wait(&senders[i].held);
	assert_int_equal(limit_set(r.limit, PORT_RX, &second, NULL), 0); /* and 200,000 more */
	for (unsigned i = 0; i < LANES; i++)
		sem_wait(&senders[i].held);
	port_enter(&r.a->port);
	for (unsigned i = 0; i < LANES; i++)
		sum += r.b->got[i];
	port_leave(&r.a->port);
	assert_in_range(sum, 300000, 300000 + 2 * LANES * VMTAP_BURST_MAX);
	end(&r);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(what_is_beyond_the_limit_waits),
		CASE(the_other_way_is_not_limited),
		CASE(who_sends_to_it_waits),
		CASE(a_frame_longer_than_the_burst_passes_and_is_paid_for),
		CASE(what_the_peer_does_not_take_does_not_count),
		CASE(in_the_long_run_it_is_the_rate),
		CASE(what_a_late_timer_missed_is_made_up_for),
		CASE(an_idle_port_wakes_nobody),
		CASE(another_limit_is_in_force_at_once),
		CASE(it_says_what_is_in_force),
		CASE(impossible_limits_are_refused),
		CASE(frames_that_the_kernel_carries_have_none),
		CASE(a_port_that_closes_waits_no_longer),
		cmocka_unit_test(no_lane_starves),
		cmocka_unit_test(lanes_that_move_are_in_no_old_loop),
		cmocka_unit_test(lanes_in_threads_share_the_limit),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
