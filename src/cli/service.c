/* SPDX-License-Identifier: MIT */
/* What a service manager is told while `vmtap serve` runs. */
#include "cli/service.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "cli/notify.h"

#define USEC_PER_SEC 1000000u
#define NSEC_PER_USEC 1000u
/** A watchdog is fed no more often than that, in us. */
#define FEED_MIN 1000u

/** struct service - @changed: the status is to be told again. */
struct service {
	struct state *state;
	struct state_observer observer;
	struct vmtap_watch *watch;
	int timer_fd;
	bool changed, ready;
};

/* ------------------------------------------------------------------------- watchdog */

static bool read_number(const char *text, uint64_t *value)
{
	char *end;

	errno = 0;
	*value = strtoull(text, &end, 10);
	return text[0] >= '0' && text[0] <= '9' && !*end && !errno;
}

int watchdog_parse(const char *usec, const char *pid_text, long pid, uint64_t *us)
{
	uint64_t whom;

	*us = 0;
	if (!usec)
		return 0;
	if (pid_text && !read_number(pid_text, &whom))
		return -EINVAL;
	if (pid_text && whom != (uint64_t)pid)
		return 0;
	if (read_number(usec, us) && *us && *us != UINT64_MAX)
		return 0;
	*us = 0;
	return -EINVAL;
}

static void feed(void *opaque)
{
	struct service *v = opaque;
	uint64_t times;

	if (read(v->timer_fd, &times, sizeof(times)) == (ssize_t)sizeof(times))
		notify_manager("WATCHDOG=1");
}

/* Twice in the time that @us allows, as the manual recommends. */
static int start_feeding(struct service *v, uint64_t us, struct vmtap_error *err)
{
	const uint64_t half = us / 2 > FEED_MIN ? us / 2 : FEED_MIN;
	struct itimerspec time = {
		.it_interval = { .tv_sec = (time_t)(half / USEC_PER_SEC),
				 .tv_nsec = (long)(half % USEC_PER_SEC * NSEC_PER_USEC) },
	};

	time.it_value = time.it_interval;
	v->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (v->timer_fd < 0 || timerfd_settime(v->timer_fd, 0, &time, NULL) < 0) {
		*err = (struct vmtap_error) { .code = errno };
		snprintf(err->object, sizeof(err->object), "vmtap");
		snprintf(err->action, sizeof(err->action), "feed the watchdog");
		snprintf(err->reason, sizeof(err->reason), "%s", strerror(err->code));
		return -err->code;
	}
	v->watch = vmtap_watch_new(state_instance(v->state), v->timer_fd, feed, v, err);
	return v->watch ? 0 : -err->code;
}

static int find_watchdog(struct service *v, struct vmtap_error *err)
{
	uint64_t us;
	int ret = watchdog_parse(getenv("WATCHDOG_USEC"), getenv("WATCHDOG_PID"), getpid(), &us);

	unsetenv("WATCHDOG_USEC");
	unsetenv("WATCHDOG_PID");
	if (ret < 0)
		state_log(v->state, VMTAP_LOG_WARNING, "",
			  "WATCHDOG_USEC and WATCHDOG_PID make no sense and are ignored");
	return us && notify_is_on() ? start_feeding(v, us, err) : 0;
}

/* --------------------------------------------------------------------------- status */

static void on_event(void *opaque, json_t *event)
{
	struct service *v = opaque;

	v->changed = true;
}

/** struct tally - Ports, and those that are broken */
struct tally {
	unsigned ports, broken;
};

static void count(void *opaque, struct vmtap_port *port)
{
	struct tally *t = opaque;

	t->ports++;
	t->broken += vmtap_port_state(port) == VMTAP_PORT_BROKEN;
}

static void tell(struct service *v, const char *first)
{
	struct tally t = { 0 };
	char broken[40] = "", text[240];

	state_each_port(v->state, count, &t);
	if (t.broken)
		snprintf(broken, sizeof(broken), ", %u of them broken", t.broken);
	snprintf(text, sizeof(text), "%sSTATUS=%u port%s%s", first, t.ports,
		 t.ports == 1 ? "" : "s", broken);
	notify_manager(text);
	v->changed = false;
}

void service_ready(struct service *v)
{
	v->ready = true;
	tell(v, "READY=1\n");
}

void service_reloading(struct service *v)
{
	struct timespec now;
	char text[80];

	clock_gettime(CLOCK_MONOTONIC, &now);
	snprintf(text, sizeof(text), "RELOADING=1\nMONOTONIC_USEC=%lld",
		 (long long)now.tv_sec * USEC_PER_SEC + now.tv_nsec / NSEC_PER_USEC);
	notify_manager(text);
}

void service_run(struct service *v)
{
	if (v->ready && v->changed)
		tell(v, "");
}

/* ----------------------------------------------------------------------------- life */

struct service *service_new(struct state *s, struct vmtap_error *err)
{
	struct service *v = calloc(1, sizeof(*v));

	if (!v) {
		*err = (struct vmtap_error) { .code = ENOMEM,
					      .object = "vmtap",
					      .action = "start" };
		snprintf(err->reason, sizeof(err->reason), "%s", strerror(ENOMEM));
		return NULL;
	}
	v->state = s;
	v->timer_fd = -1;
	v->observer = (struct state_observer) { .event = on_event, .opaque = v };
	if (notify_is_on())
		state_observe(s, &v->observer);
	if (find_watchdog(v, err) == 0)
		return v;
	service_free(v);
	return NULL;
}

void service_free(struct service *v)
{
	if (!v)
		return;
	state_ignore(v->state, &v->observer);
	vmtap_watch_free(v->watch);
	if (v->timer_fd >= 0)
		close(v->timer_fd);
	free(v);
}
