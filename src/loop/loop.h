/* SPDX-License-Identifier: MIT */
/*
 * The event loop: descriptors, timers, tasks.
 *
 * Model
 *   One epoll descriptor stands for everything: descriptors are in it
 *   directly, timers through one timerfd, tasks that were scheduled from
 *   outside a dispatch through one eventfd. So a host loop needs to watch
 *   loop_fd() only. Descriptors are level-triggered: a handler that stops
 *   early, on its budget, is called again.
 *
 * Polling
 *   With loop_set_poll(), a wait begins by looking again and again for a while, which
 *   spares waking a processor that fell asleep. It is given up while waits turn out to
 *   be longer than that, so that an idle loop costs nothing.
 *
 * Threads
 *   A loop is its owner's thread's. One of loop_new_worker() runs in a thread of its own, and
 *   the owner uses it between loop_hold() and loop_release(). loop_task_post() is for all.
 *
 * Ownership
 *   Watches, timers and tasks are embedded in their owners' structures; the
 *   loop borrows them from add to del. Deleting any of them from any handler is safe.
 */
#ifndef LOOP_LOOP_H
#define LOOP_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

struct loop;

struct loop_watch {
	void (*ready)(struct loop_watch *w, uint32_t events);
	int fd; /* borrowed; -1 while not in a loop */
	uint32_t events;
};

struct loop_timer {
	void (*fire)(struct loop_timer *t);
	uint64_t at_ns;
	struct loop_timer *next;
	bool armed;
};

struct loop_task {
	void (*run)(struct loop_task *t);
	struct loop_task *next, *prev;
	bool queued;
	bool posted; /* by loop_task_post(), and not yet queued */
	struct loop_task *posted_next;
};

/** loop_new() - Return: owned; NULL and errno. */
struct loop *loop_new(void);
/** loop_new_worker() - One that another thread dispatches. */
struct loop *loop_new_worker(void);
void loop_free(struct loop *l);

/** loop_set_poll() - Look for events up to @poll_us microseconds before waiting for them; 0: do not. */
void loop_set_poll(struct loop *l, unsigned poll_us);

/** loop_clock() - Have the loop note how long it waits, from its next wait on, until as often @on was false. It costs a
 *  look at the clock before and after each. For the owner, also while a worker runs. */
void loop_clock(struct loop *l, bool on);
/** loop_waited_ns() - How long it has waited in all while that was noted. From its handlers. The rest of the time its
 *  thread was busy, or not scheduled. A loop that its owner dispatches without waiting says nothing. */
uint64_t loop_waited_ns(const struct loop *l);

/** loop_hold() - For the owner of a worker's loop: its thread handles nothing until loop_release(),
 *  also when it is busy now. Does not nest. */
void loop_hold(struct loop *l);
void loop_release(struct loop *l);

/** loop_fd() - Readable when loop_dispatch() has work. Borrowed. */
int loop_fd(const struct loop *l);

/** loop_dispatch() - Wait up to @timeout_ms (-1: without limit), then handle what is ready, once.
 *  Return: 0 or -EINTR. */
int loop_dispatch(struct loop *l, int timeout_ms);

/** loop_add() - Watch @fd for @events (EPOLLIN, EPOLLOUT; errors always). Return: 0 or -errno. */
int loop_add(struct loop *l, struct loop_watch *w, int fd, uint32_t events);
/** loop_mod() - Watch for other events; costs nothing when they are the same. */
void loop_mod(struct loop *l, struct loop_watch *w, uint32_t events);
/** loop_del() - Stop watching; before the descriptor is closed. Fine when not watched. */
void loop_del(struct loop *l, struct loop_watch *w);

/** loop_timer_set() - Fire once, @delay_ns from now; replaces an earlier setting. */
void loop_timer_set(struct loop *l, struct loop_timer *t, uint64_t delay_ns);
void loop_timer_del(struct loop *l, struct loop_timer *t);

/** loop_task_add() - Run once, soon, after the current handler. Fine when queued already. */
void loop_task_add(struct loop *l, struct loop_task *t);
/** loop_task_post() - The same, from any thread. */
void loop_task_post(struct loop *l, struct loop_task *t);
/** loop_task_del() - Not to be run. Whoever posts it is held still. */
void loop_task_del(struct loop *l, struct loop_task *t);

#endif
