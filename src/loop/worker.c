/* SPDX-License-Identifier: MIT */
/* Workers: threads with a loop and a burst engine each. */
#include "loop/worker.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/container.h"
#include "base/error.h"

/**
 * struct worker - One thread
 * @burst:    made and freed by the thread itself, as io_uring wants it; @code: why it could not, an errno
 *            value
 * @ready:    posted by the thread when it has begun
 * @end:      to be run in @loop, when nothing else is in it
 * @started:  the thread runs
 * @stop:     set by @end
 */
struct worker {
	pthread_t thread;
	enum burst_engine engine;
	struct loop *loop;
	struct burst *burst;
	int code;
	sem_t ready;
	struct loop_task end;
	bool started, stop;
};

/** @held: nested holds; @next: whose turn it is */
struct workers {
	unsigned cnt, held, next;
	struct worker worker[];
};

static void end_run(struct loop_task *t)
{
	container_of(t, struct worker, end)->stop = true;
}

static void *work(void *opaque)
{
	struct worker *w = opaque;
	int why;

	w->burst = burst_new(w->engine, &why);
	w->code = w->burst ? 0 : errno;
	sem_post(&w->ready);
	while (!w->stop)
		loop_dispatch(w->loop, -1);
	burst_free(w->burst);
	return NULL;
}

/* Signals are the control thread's, but those that an instruction of the thread itself raises. */
static void block_signals(sigset_t *before)
{
	sigset_t all;

	sigfillset(&all);
	sigdelset(&all, SIGBUS);
	sigdelset(&all, SIGSEGV);
	sigdelset(&all, SIGFPE);
	sigdelset(&all, SIGILL);
	pthread_sigmask(SIG_SETMASK, &all, before);
}

static int pin(struct worker *w, unsigned cpu, struct vmtap_error *err)
{
	cpu_set_t set;
	int code;

	CPU_ZERO(&set);
	if (cpu < CPU_SETSIZE)
		CPU_SET(cpu, &set);
	code = pthread_setaffinity_np(w->thread, sizeof(set), &set);
	if (!code)
		return 0;
	error_set(err, code, "workers", "use a processor", "processor %u: %s", cpu,
		  code == EINVAL ? "it does not exist, or this process may not use it"
				 : strerror(code));
	error_remedy(err, "see which there are: taskset -cp %d", (int)getpid());
	return -code;
}

static int start(struct worker *w, const struct workers_config *c, unsigned number,
		 struct vmtap_error *err)
{
	char name[24];
	int code;

	w->end.run = end_run;
	w->engine = c->engine;
	w->loop = loop_new_worker();
	if (!w->loop)
		return error_errno(err, errno, "workers", "make an event loop for each");
	loop_set_poll(w->loop, c->poll_us);
	sem_init(&w->ready, 0, 0);
	code = pthread_create(&w->thread, NULL, work, w);
	if (code) {
		error_errno(err, code, "workers", "start a thread");
		error_remedy(err,
			     "ask for fewer, or allow more: ulimit -u, or the service's TasksMax=");
		return -code;
	}
	w->started = true;
	while (sem_wait(&w->ready) < 0)
		;
	if (w->code)
		return error_errno(err, w->code, "workers", "set a burst engine up for each");
	snprintf(name, sizeof(name), "vmtap-%u", number);
	pthread_setname_np(w->thread, name);
	return c->cpu_cnt ? pin(w, c->cpus[number % c->cpu_cnt], err) : 0;
}

struct workers *workers_new(const struct workers_config *config, struct vmtap_error *err)
{
	struct workers *w = calloc(1, sizeof(*w) + config->cnt * sizeof(w->worker[0]));
	sigset_t before;
	int ret = 0;

	if (!w) {
		error_errno(err, ENOMEM, "workers", "start them");
		return NULL;
	}
	w->cnt = config->cnt;
	block_signals(&before);
	for (unsigned i = 0; i < w->cnt && ret == 0; i++)
		ret = start(&w->worker[i], config, i, err);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (ret == 0)
		return w;
	workers_free(w);
	return NULL;
}

void workers_free(struct workers *w)
{
	if (!w)
		return;
	for (unsigned i = 0; i < w->cnt; i++) {
		struct worker *one = &w->worker[i];

		if (one->started) {
			loop_task_post(one->loop, &one->end);
			pthread_join(one->thread, NULL);
		}
		loop_free(one->loop);
	}
	free(w);
}

unsigned workers_claim(struct workers *w, unsigned cnt)
{
	unsigned first = w->next;

	w->next = (w->next + cnt) % w->cnt;
	return first;
}

struct loop *workers_loop(const struct workers *w, unsigned number)
{
	return w->worker[number % w->cnt].loop;
}

struct burst *workers_burst(const struct workers *w, unsigned number)
{
	return w->worker[number % w->cnt].burst;
}

void workers_hold(struct workers *w)
{
	if (w->held++)
		return;
	for (unsigned i = 0; i < w->cnt; i++)
		loop_hold(w->worker[i].loop);
}

void workers_release(struct workers *w)
{
	if (--w->held)
		return;
	for (unsigned i = 0; i < w->cnt; i++)
		loop_release(w->worker[i].loop);
}
