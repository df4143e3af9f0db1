/* SPDX-License-Identifier: MIT */
/* Workers: what they run, and that they stand still when they are held. */
#include "loop/worker.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/container.h"
#include "unit.h"

static struct workers *begin(unsigned cnt)
{
	const struct workers_config config = { .cnt = cnt, .engine = BURST_AUTO };
	struct vmtap_error err = { 0 };
	struct workers *w = workers_new(&config, &err);

	assert_non_null(w);
	return w;
}

static void put(struct workers *w, unsigned number, struct loop_task *t)
{
	workers_hold(w);
	loop_task_add(workers_loop(w, number), t);
	workers_release(w);
}

/* A task that says who ran it. */
struct teller {
	struct loop_task task;
	pthread_t thread;
	sem_t ran;
};

static void tell(struct loop_task *t)
{
	struct teller *teller = container_of(t, struct teller, task);

	teller->thread = pthread_self();
	sem_post(&teller->ran);
}

static void each_worker_has_a_thread_of_its_own(void **state)
{
	struct workers *w = begin(3);
	struct teller tellers[4] = { 0 };

	for (unsigned i = 0; i < 4; i++) {
		tellers[i].task.run = tell;
		sem_init(&tellers[i].ran, 0, 0);
		put(w, i, &tellers[i].task);
		sem_wait(&tellers[i].ran);
		assert_false(pthread_equal(tellers[i].thread, pthread_self()));
		for (unsigned k = 0; k < i && k < 3; k++)
			assert_int_equal(!!pthread_equal(tellers[k].thread, tellers[i].thread),
					 k == i % 3 && i == 3);
	}
	workers_free(w);
}

static void lanes_are_given_out_in_turn(void **state)
{
	struct workers *w = begin(3);

	assert_int_equal(workers_claim(w, 1), 0);
	assert_int_equal(workers_claim(w, 2), 1);
	assert_int_equal(workers_claim(w, 7), 0);
	assert_int_equal(workers_claim(w, 1), 1);
	assert_ptr_equal(workers_loop(w, 4), workers_loop(w, 1));
	workers_free(w);
}

/* A watch on a descriptor that is always ready. */
struct counter {
	struct loop_watch watch;
	unsigned cnt;
	sem_t called;
};

static void count_it(struct loop_watch *w, uint32_t events)
{
	struct counter *c = container_of(w, struct counter, watch);

	if (!c->cnt++)
		sem_post(&c->called);
}

static void nothing_is_called_while_held_nor_after_it_was_deleted(void **state)
{
	struct workers *w = begin(2);
	int fd = eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC);

	for (unsigned i = 0; i < 2000; i++) {
		struct counter *c = calloc(1, sizeof(*c));
		unsigned seen;

		c->watch = (struct loop_watch) { .ready = count_it, .fd = -1 };
		sem_init(&c->called, 0, 0);
		workers_hold(w);
		assert_int_equal(loop_add(workers_loop(w, i), &c->watch, fd, EPOLLIN), 0);
		assert_int_equal(c->cnt, 0);
		workers_release(w);
		if (i % 2)
			sem_wait(&c->called);
		workers_hold(w);
		workers_hold(w); /* it nests */
		seen = c->cnt;
		workers_release(w);
		loop_del(workers_loop(w, i), &c->watch);
		assert_int_equal(c->cnt, seen);
		workers_release(w);
		free(c); /* a call after this one is found by the sanitizers */
	}
	close(fd);
	workers_free(w);
}

/* A task that never rests. */
struct busy {
	struct loop_task task;
	struct loop *loop;
	unsigned long cnt;
};

static void again(struct loop_task *t)
{
	struct busy *b = container_of(t, struct busy, task);

	b->cnt++;
	loop_task_add(b->loop, t);
}

static void a_busy_worker_lets_the_holder_go_first(void **state)
{
	struct workers *w = begin(1);
	struct busy b = { .task.run = again, .loop = workers_loop(w, 0) };
	unsigned long before = 0;

	put(w, 0, &b.task);
	for (unsigned i = 0; i < 1000; i++) {
		workers_hold(w);
		assert_true(b.cnt >= before);
		before = b.cnt;
		workers_release(w);
	}
	workers_hold(w);
	loop_task_del(b.loop, &b.task);
	workers_release(w);
	workers_free(w);
}

/* Tasks that worker threads post to a loop of ours. */
struct post {
	struct loop_task sender, task;
	struct loop *to;
	unsigned number, *next;
};

static void send_it(struct loop_task *t)
{
	struct post *p = container_of(t, struct post, sender);

	loop_task_post(p->to, &p->task);
}

static void take_it(struct loop_task *t)
{
	struct post *p = container_of(t, struct post, task);

	assert_int_equal(p->number, (*p->next)++);
}

static void posted_tasks_run_once_and_in_order(void **state)
{
	struct workers *w = begin(1);
	struct loop *loop = loop_new();
	static struct post posts[100];
	unsigned next = 0;

	workers_hold(w);
	for (unsigned i = 0; i < 100; i++) {
		posts[i] = (struct post) { .sender.run = send_it,
					   .task.run = take_it,
					   .to = loop,
					   .number = i,
					   .next = &next };
		loop_task_add(workers_loop(w, 0), &posts[i].sender);
	}
	workers_release(w);
	while (next < 100)
		assert_int_equal(loop_dispatch(loop, -1), 0);
	loop_dispatch(loop, 0);
	loop_dispatch(loop, 0);
	assert_int_equal(next, 100);
	workers_free(w);
	loop_free(loop);
}

static void a_posted_task_can_be_deleted(void **state)
{
	struct loop *loop = loop_new();
	unsigned next = 0;
	struct post posts[3];

	for (unsigned i = 0; i < 3; i++) {
		posts[i] = (struct post) { .task.run = take_it, .number = i, .next = &next };
		loop_task_post(loop, &posts[i].task);
		loop_task_post(loop, &posts[i].task); /* once is enough */
	}
	loop_task_del(loop, &posts[0].task);
	loop_task_del(loop, &posts[2].task);
	posts[1].number = 0;
	loop_dispatch(loop, 0);
	loop_dispatch(loop, 0);
	assert_int_equal(next, 1);
	loop_free(loop);
}

static void signals_are_not_theirs(void **state)
{
	struct workers *w = begin(1);
	char line[256];
	unsigned long blocked = 0;
	unsigned threads = 0;
	FILE *f = popen("grep -h SigBlk /proc/$PPID/task/*/status", "r");

	while (fgets(line, sizeof(line), f)) {
		unsigned long mask = strtoul(line + sizeof("SigBlk:"), NULL, 16);

		threads++;
		if (mask)
			blocked = mask;
	}
	pclose(f);
	assert_true(threads >= 2);
	assert_true(blocked >> (SIGTERM - 1) & 1);
	assert_false(blocked >> (SIGBUS - 1) & 1);
	workers_free(w);
}

static void a_processor_that_is_not_there_is_refused(void **state)
{
	const unsigned cpu = 1000;
	const struct workers_config config = { .cnt = 2, .cpus = &cpu, .cpu_cnt = 1 };
	struct vmtap_error err = { 0 };

	assert_null(workers_new(&config, &err));
	assert_int_equal(err.code, EINVAL);
	assert_non_null(strstr(err.reason, "1000"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_worker_has_a_thread_of_its_own),
		cmocka_unit_test(lanes_are_given_out_in_turn),
		cmocka_unit_test(nothing_is_called_while_held_nor_after_it_was_deleted),
		cmocka_unit_test(a_busy_worker_lets_the_holder_go_first),
		cmocka_unit_test(posted_tasks_run_once_and_in_order),
		cmocka_unit_test(a_posted_task_can_be_deleted),
		cmocka_unit_test(signals_are_not_theirs),
		cmocka_unit_test(a_processor_that_is_not_there_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
