/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "loop/loop.h"

static struct loop *l;
static unsigned ready_cnt, fired, ran;
static int pair[2];

static int setup(void **state)
{
	l = loop_new();
	ready_cnt = fired = ran = 0;
	return l && socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair) == 0 ? 0 : -1;
}

static int teardown(void **state)
{
	loop_free(l);
	close(pair[0]);
	close(pair[1]);
	return 0;
}

static bool is_readable(int timeout_ms)
{
	struct pollfd p = { .fd = loop_fd(l), .events = POLLIN };

	return poll(&p, 1, timeout_ms) == 1;
}

static void count_ready(struct loop_watch *w, uint32_t events)
{
	ready_cnt++;
}

static void count_fire(struct loop_timer *t)
{
	fired++;
}

static void count_run(struct loop_task *t)
{
	ran++;
}

static void again(struct loop_task *t)
{
	ran++;
	loop_task_add(l, t);
}

static void descriptors_are_level_triggered(void **state)
{
	struct loop_watch w = { .ready = count_ready, .fd = -1 };

	assert_int_equal(loop_add(l, &w, pair[0], EPOLLIN), 0);
	assert_false(is_readable(0));
	assert_int_equal(write(pair[1], "x", 1), 1);
	assert_true(is_readable(1000));
	loop_dispatch(l, 0);
	loop_dispatch(l, 0);
	assert_int_equal(ready_cnt, 2);
	loop_mod(l, &w, 0);
	loop_dispatch(l, 0);
	assert_int_equal(ready_cnt, 2);
	loop_del(l, &w);
	assert_int_equal(w.fd, -1);
}

static struct loop_watch other_watch;
static int other_pair[2];

static void delete_other(struct loop_watch *w, uint32_t events)
{
	ready_cnt++;
	loop_del(l, &other_watch);
	loop_del(l, w);
}

static void a_deleted_watch_is_not_called_in_the_same_turn(void **state)
{
	struct loop_watch w = { .ready = delete_other, .fd = -1 };

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, other_pair), 0);
	other_watch = (struct loop_watch) { .ready = delete_other, .fd = -1 };
	loop_add(l, &w, pair[0], EPOLLOUT);
	loop_add(l, &other_watch, other_pair[0], EPOLLOUT);
	/* whichever comes first deletes both */
	w.ready = delete_other;
	loop_dispatch(l, 1000);
	if (w.fd >= 0)
		loop_del(l, &w);
	assert_int_equal(ready_cnt, 1);
	close(other_pair[0]);
	close(other_pair[1]);
}

static void timers_fire_once_in_order_and_not_early(void **state)
{
	struct loop_timer a = { .fire = count_fire }, b = { .fire = count_fire };
	uint64_t start = clock_ns();

	loop_timer_set(l, &b, 40 * NSEC_PER_MSEC);
	loop_timer_set(l, &a, 10 * NSEC_PER_MSEC);
	while (fired < 1)
		loop_dispatch(l, 1000);
	assert_true(clock_ns() - start >= 10 * NSEC_PER_MSEC);
	assert_false(a.armed);
	while (fired < 2)
		loop_dispatch(l, 1000);
	assert_true(clock_ns() - start >= 40 * NSEC_PER_MSEC);
	assert_false(b.armed);
	assert_false(is_readable(0));
}

static void a_deleted_timer_does_not_fire(void **state)
{
	struct loop_timer a = { .fire = count_fire }, b = { .fire = count_fire };

	loop_timer_set(l, &a, NSEC_PER_MSEC);
	loop_timer_set(l, &b, 5 * NSEC_PER_MSEC);
	loop_timer_del(l, &a);
	while (fired < 1)
		loop_dispatch(l, 1000);
	assert_true(!a.armed && !b.armed);
	assert_int_equal(fired, 1);
}

static void a_timer_can_be_moved(void **state)
{
	struct loop_timer a = { .fire = count_fire };

	loop_timer_set(l, &a, 3600 * NSEC_PER_SEC);
	loop_timer_set(l, &a, NSEC_PER_MSEC);
	while (fired < 1)
		loop_dispatch(l, 1000);
	assert_int_equal(fired, 1);
}

static void a_task_makes_the_loop_readable(void **state)
{
	struct loop_task t = { .run = count_run };

	assert_false(is_readable(0));
	loop_task_add(l, &t);
	loop_task_add(l, &t); /* once */
	assert_true(is_readable(1000));
	loop_dispatch(l, -1);
	assert_int_equal(ran, 1);
	loop_dispatch(l, 0);
	assert_false(is_readable(0));
}

static void a_task_that_adds_itself_does_not_starve_descriptors(void **state)
{
	struct loop_watch w = { .ready = count_ready, .fd = -1 };
	struct loop_task t = { .run = again };

	loop_add(l, &w, pair[0], EPOLLOUT);
	loop_task_add(l, &t);
	for (unsigned i = 1; i <= 10; i++) {
		loop_dispatch(l, -1); /* and it does not block */
		assert_int_equal(ran, i);
		assert_int_equal(ready_cnt, i);
		assert_true(is_readable(0));
	}
	loop_task_del(l, &t);
	loop_del(l, &w);
}

static struct loop_task victim = { .run = count_run };

static void delete_victim(struct loop_task *t)
{
	ran++;
	loop_task_del(l, &victim);
}

static void a_task_may_delete_the_last_one(void **state)
{
	struct loop_task t = { .run = delete_victim };

	loop_task_add(l, &t);
	loop_task_add(l, &victim);
	loop_dispatch(l, 0);
	assert_int_equal(ran, 1);
	assert_false(victim.queued);
}

static void adding_a_bad_descriptor_fails(void **state)
{
	struct loop_watch w = { .ready = count_ready, .fd = -1 };

	assert_true(loop_add(l, &w, 1 << 20, EPOLLIN) < 0);
	assert_int_equal(w.fd, -1);
	loop_del(l, &w); /* harmless */
}

/* It looks first, for longer than it may wait. */
static void looking_ends_with_the_time_that_a_wait_may_take(void **state)
{
	struct loop_task t = { .run = count_run };
	uint64_t begin;

	loop_set_poll(l, 60000000);
	for (unsigned i = 1; i <= 2; i++) { /* a short wait: looking pays */
		loop_task_post(l, &t);
		loop_dispatch(l, -1);
		assert_int_equal(ran, i);
	}
	begin = clock_ns();
	loop_dispatch(l, 1);
	assert_true(clock_ns() - begin < 30 * NSEC_PER_SEC);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(descriptors_are_level_triggered),
		CASE(a_deleted_watch_is_not_called_in_the_same_turn),
		CASE(timers_fire_once_in_order_and_not_early),
		CASE(a_deleted_timer_does_not_fire),
		CASE(a_timer_can_be_moved),
		CASE(a_task_makes_the_loop_readable),
		CASE(a_task_that_adds_itself_does_not_starve_descriptors),
		CASE(a_task_may_delete_the_last_one),
		CASE(adding_a_bad_descriptor_fails),
		CASE(looking_ends_with_the_time_that_a_wait_may_take),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
