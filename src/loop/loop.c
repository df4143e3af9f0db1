/* SPDX-License-Identifier: MIT */
/*
 * The event loop: descriptors, timers, tasks.
 *
 * A dispatch has three stages: wait, handle descriptors (timers are one of
 * them), run tasks. Tasks that are added while tasks run wait for the next
 * dispatch, which then does not block, so that a task that always adds
 * itself cannot starve descriptors.
 *
 * A worker's loop is locked for the last two. What was fetched before the lock
 * was had may be of watches that the owner deleted meanwhile, so it is fetched again
 * when somebody held the loop since; the descriptors still say the same.
 */
#include "loop/loop.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/container.h"
#include "base/fd.h"

#define EVENTS_MAX 32

struct loop {
	int epfd;
	struct loop_watch timer_watch; /* the timerfd */
	struct loop_watch wake_watch;  /* the eventfd: tasks were added outside a dispatch */
	struct loop_timer *timers;     /* sorted by at_ns */
	uint64_t armed_ns;	       /* what the timerfd is set to; 0: nothing */
	struct loop_task *task_first, *task_last;
	bool dispatching;
	bool woken; /* the eventfd is readable */
	struct epoll_event events[EVENTS_MAX];
	int event_cnt;

	uint64_t poll_ns, window_ns; /* how long a wait may look first, and does */
	atomic_uint clocks;	     /* who wants to know of waits */
	uint64_t waited_ns;

	/* a worker's */
	bool threaded;
	bool busy; /* its thread's own: tasks wait */
	unsigned holds,
		seen; /* under @lock: how often it was held, and what its thread knows of that */
	atomic_bool wanted; /* whoever has @turn waits for @lock */
	pthread_mutex_t lock, turn;

	pthread_mutex_t post_lock;
	struct loop_task *posted; /* under @post_lock, the latest first */
};

static void timer_arm(struct loop *l)
{
	uint64_t at = l->timers ? l->timers->at_ns : 0;
	struct itimerspec its = {
		.it_value = { .tv_sec = (time_t)(at / NSEC_PER_SEC),
			      .tv_nsec = (long)(at % NSEC_PER_SEC) },
	};

	/* An early wake-up is harmless, so a later first timer does not re-arm. */
	if (at == l->armed_ns || (l->armed_ns && at > l->armed_ns))
		return;
	timerfd_settime(l->timer_watch.fd, TFD_TIMER_ABSTIME, &its, NULL);
	l->armed_ns = at;
}

static void timers_ready(struct loop_watch *w, uint32_t events)
{
	struct loop *l = container_of(w, struct loop, timer_watch);
	uint64_t now = clock_ns(), expired;

	(void)!read(w->fd, &expired, sizeof(expired));
	l->armed_ns = 0;
	while (l->timers && l->timers->at_ns <= now) {
		struct loop_timer *t = l->timers;

		l->timers = t->next;
		t->armed = false;
		t->fire(t);
	}
	timer_arm(l);
}

/* In the order in which they came. */
static void take_posted(struct loop *l)
{
	struct loop_task *last = NULL;

	pthread_mutex_lock(&l->post_lock);
	while (l->posted) {
		struct loop_task *t = l->posted;

		l->posted = t->posted_next;
		t->posted_next = last;
		last = t;
	}
	for (; last; last = last->posted_next) {
		last->posted = false;
		loop_task_add(l, last);
	}
	pthread_mutex_unlock(&l->post_lock);
}

static void wake_ready(struct loop_watch *w, uint32_t events)
{
	struct loop *l = container_of(w, struct loop, wake_watch);
	uint64_t cnt;

	(void)!read(w->fd, &cnt, sizeof(cnt));
	l->woken = false;
	take_posted(l);
}

static void wake(struct loop *l)
{
	const uint64_t one = 1;

	if (l->woken)
		return;
	l->woken = true;
	(void)!write(l->wake_watch.fd, &one, sizeof(one));
}

struct loop *loop_new(void)
{
	struct loop *l = calloc(1, sizeof(*l));
	cleanup_fd int tfd = -1;
	cleanup_fd int efd = -1;

	if (!l)
		return NULL;
	pthread_mutex_init(&l->lock, NULL);
	pthread_mutex_init(&l->turn, NULL);
	pthread_mutex_init(&l->post_lock, NULL);
	l->timer_watch = (struct loop_watch) { .ready = timers_ready, .fd = -1 };
	l->wake_watch = (struct loop_watch) { .ready = wake_ready, .fd = -1 };
	l->epfd = epoll_create1(EPOLL_CLOEXEC);
	tfd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	efd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (l->epfd < 0 || tfd < 0 || efd < 0 || loop_add(l, &l->timer_watch, tfd, EPOLLIN) ||
	    loop_add(l, &l->wake_watch, efd, EPOLLIN)) {
		fd_close(&l->epfd);
		free(l);
		return NULL;
	}
	fd_steal(&tfd);
	fd_steal(&efd);
	return l;
}

struct loop *loop_new_worker(void)
{
	struct loop *l = loop_new();

	if (l)
		l->threaded = true;
	return l;
}

void loop_free(struct loop *l)
{
	if (!l)
		return;
	assert(!l->dispatching);
	fd_close(&l->timer_watch.fd);
	fd_close(&l->wake_watch.fd);
	fd_close(&l->epfd);
	pthread_mutex_destroy(&l->lock);
	pthread_mutex_destroy(&l->turn);
	pthread_mutex_destroy(&l->post_lock);
	free(l);
}

void loop_set_poll(struct loop *l, unsigned poll_us)
{
	l->poll_ns = poll_us * NSEC_PER_USEC;
}

int loop_fd(const struct loop *l)
{
	return l->epfd;
}

/* Whether it was posted again meanwhile is no business of this thread alone. */
static void unqueue(struct loop *l, struct loop_task *t)
{
	t->queued = false;
	if (t->next)
		t->next->prev = t->prev;
	else
		l->task_last = t->prev;
	if (t->prev)
		t->prev->next = t->next;
	else
		l->task_first = t->next;
}

/* One round: what was queued when it began. A marker at the end says where that
 * is, whatever handlers add and delete meanwhile. */
static void run_tasks(struct loop *l)
{
	struct loop_task end = { .run = NULL };

	if (!l->task_first)
		return;
	loop_task_add(l, &end);
	while (l->task_first != &end) {
		struct loop_task *t = l->task_first;

		unqueue(l, t);
		t->run(t);
	}
	unqueue(l, &end);
}

/* ------------------------------------------------------------------ waiting */

static int fetch(struct loop *l, int timeout_ms)
{
	return epoll_wait(l->epfd, l->events, EVENTS_MAX, timeout_ms);
}

/* Return: as fetch(); 0: nothing came within the window. */
static int look(struct loop *l, uint64_t end_ns)
{
	int cnt;

	do
		cnt = fetch(l, 0);
	while (cnt == 0 && clock_ns() < end_ns);
	return cnt;
}

/* Waits that looking would have spared say how long to look next time; one that was longer says not
 * to look at all. */
static int wait_polling(struct loop *l, int timeout_ms)
{
	const uint64_t begin = clock_ns();
	int cnt;

	if (l->window_ns && (timeout_ms < 0 || l->window_ns < timeout_ms * NSEC_PER_MSEC)) {
		cnt = look(l, begin + l->window_ns);
		if (cnt)
			return cnt;
	}
	cnt = fetch(l, timeout_ms);
	l->window_ns = clock_ns() - begin <= l->poll_ns ? l->poll_ns : 0;
	return cnt;
}

static int wait_for(struct loop *l, int timeout_ms)
{
	if (l->threaded ? l->busy : l->task_first != NULL)
		timeout_ms = 0;
	return l->poll_ns && timeout_ms ? wait_polling(l, timeout_ms) : fetch(l, timeout_ms);
}

static int wait_clocked(struct loop *l, int timeout_ms)
{
	const uint64_t begin = clock_ns();
	int cnt = wait_for(l, timeout_ms);

	l->waited_ns += clock_ns() - begin;
	return cnt;
}

void loop_clock(struct loop *l, bool on)
{
	atomic_fetch_add_explicit(&l->clocks, on ? 1u : -1u, memory_order_relaxed);
}

uint64_t loop_waited_ns(const struct loop *l)
{
	return l->waited_ns;
}

/* ------------------------------------------------------------ a worker's lock */

/* Return: events to be handled. */
static int lock(struct loop *l, int cnt)
{
	if (atomic_load_explicit(&l->wanted, memory_order_relaxed)) {
		pthread_mutex_lock(&l->turn);
		pthread_mutex_unlock(&l->turn);
	}
	pthread_mutex_lock(&l->lock);
	if (l->seen == l->holds)
		return cnt;
	l->seen = l->holds;
	cnt = fetch(l, 0);
	return cnt > 0 ? cnt : 0;
}

static void unlock(struct loop *l)
{
	l->busy = l->task_first != NULL;
	pthread_mutex_unlock(&l->lock);
}

void loop_hold(struct loop *l)
{
	pthread_mutex_lock(&l->turn);
	atomic_store_explicit(&l->wanted, true, memory_order_relaxed);
	pthread_mutex_lock(&l->lock);
	atomic_store_explicit(&l->wanted, false, memory_order_relaxed);
	pthread_mutex_unlock(&l->turn);
	l->holds++;
}

void loop_release(struct loop *l)
{
	pthread_mutex_unlock(&l->lock);
}

/* --------------------------------------------------------------- dispatching */

static void handle(struct loop *l, int cnt)
{
	l->dispatching = true;
	l->event_cnt = cnt;
	for (int i = 0; i < l->event_cnt; i++) {
		struct loop_watch *w = l->events[i].data.ptr;

		if (w) /* NULL: deleted by an earlier handler */
			w->ready(w, l->events[i].events);
	}
	l->event_cnt = 0;
	run_tasks(l);
	l->dispatching = false;
}

int loop_dispatch(struct loop *l, int timeout_ms)
{
	int cnt;

	assert(!l->dispatching);
	cnt = atomic_load_explicit(&l->clocks, memory_order_relaxed) ? wait_clocked(l, timeout_ms)
								     : wait_for(l, timeout_ms);
	if (cnt < 0)
		return -errno;
	if (l->threaded) {
		handle(l, lock(l, cnt));
		unlock(l);
		return 0;
	}
	handle(l, cnt);
	if (l->task_first) /* loop_fd() must stay readable */
		wake(l);
	return 0;
}

int loop_add(struct loop *l, struct loop_watch *w, int fd, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = w };

	if (epoll_ctl(l->epfd, EPOLL_CTL_ADD, fd, &ev) < 0)
		return -errno;
	w->fd = fd;
	w->events = events;
	return 0;
}

void loop_mod(struct loop *l, struct loop_watch *w, uint32_t events)
{
	struct epoll_event ev = { .events = events, .data.ptr = w };

	if (w->fd < 0 || w->events == events)
		return;
	epoll_ctl(l->epfd, EPOLL_CTL_MOD, w->fd, &ev);
	w->events = events;
}

void loop_del(struct loop *l, struct loop_watch *w)
{
	if (w->fd < 0)
		return;
	epoll_ctl(l->epfd, EPOLL_CTL_DEL, w->fd, NULL);
	w->fd = -1;
	for (int i = 0; i < l->event_cnt; i++)
		if (l->events[i].data.ptr == w)
			l->events[i].data.ptr = NULL;
}

void loop_timer_set(struct loop *l, struct loop_timer *t, uint64_t delay_ns)
{
	struct loop_timer **at = &l->timers;

	loop_timer_del(l, t);
	t->at_ns = clock_ns() + delay_ns;
	while (*at && (*at)->at_ns <= t->at_ns)
		at = &(*at)->next;
	t->next = *at;
	*at = t;
	t->armed = true;
	timer_arm(l);
}

void loop_timer_del(struct loop *l, struct loop_timer *t)
{
	if (!t->armed)
		return;
	for (struct loop_timer **at = &l->timers; *at; at = &(*at)->next) {
		if (*at == t) {
			*at = t->next;
			break;
		}
	}
	t->armed = false;
	if (!l->timers)
		timer_arm(l);
}

void loop_task_add(struct loop *l, struct loop_task *t)
{
	if (t->queued)
		return;
	t->queued = true;
	t->next = NULL;
	t->prev = l->task_last;
	if (l->task_last)
		l->task_last->next = t;
	else
		l->task_first = t;
	l->task_last = t;
	if (!l->dispatching)
		wake(l);
}

void loop_task_post(struct loop *l, struct loop_task *t)
{
	const uint64_t one = 1;
	bool first;

	pthread_mutex_lock(&l->post_lock);
	first = !l->posted;
	if (!t->posted) {
		t->posted = true;
		t->posted_next = l->posted;
		l->posted = t;
	}
	pthread_mutex_unlock(&l->post_lock);
	if (first)
		(void)!write(l->wake_watch.fd, &one, sizeof(one));
}

static void unpost(struct loop *l, struct loop_task *t)
{
	struct loop_task **at = &l->posted;

	pthread_mutex_lock(&l->post_lock);
	while (*at && *at != t)
		at = &(*at)->posted_next;
	if (*at)
		*at = t->posted_next;
	t->posted = false;
	pthread_mutex_unlock(&l->post_lock);
}

void loop_task_del(struct loop *l, struct loop_task *t)
{
	if (t->posted)
		unpost(l, t);
	if (t->queued)
		unqueue(l, t);
}
