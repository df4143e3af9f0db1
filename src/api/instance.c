/* SPDX-License-Identifier: MIT */
/* Instances: the loop, the log, and what waits to be freed. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/api.h"
#include "base/closer.h"
#include "base/container.h"
#include "base/fd.h"
#include "loop/burst.h"
#include "loop/worker.h"
#include "tapdev/counts.h"

#define POLL_US_MAX 1000000u

const char *vmtap_version(void)
{
	return VMTAP_VERSION;
}

int vmtap_error_format(const struct vmtap_error *err, char *buf, size_t size)
{
	return snprintf(buf, size, "%s%scannot %s: %s%s%s", err->object, err->object[0] ? ": " : "",
			err->action, err->reason, err->remedy[0] ? "; " : "", err->remedy);
}

const char *vmtap_drop_name(enum vmtap_drop cause)
{
	static const char *const names[] = {
		[VMTAP_DROP_NO_PEER] = "no-peer",	[VMTAP_DROP_LINK_DOWN] = "link-down",
		[VMTAP_DROP_PEER_GONE] = "peer-gone",	[VMTAP_DROP_RUNT] = "runt",
		[VMTAP_DROP_TOO_LONG] = "too-long",	[VMTAP_DROP_BAD_HEADER] = "bad-header",
		[VMTAP_DROP_REFUSED] = "refused",	[VMTAP_DROP_IF_DOWN] = "interface-down",
		[VMTAP_DROP_QUEUE_FULL] = "queue-full", [VMTAP_DROP_IO] = "io-error",
		[VMTAP_DROP_PURGED] = "purged",		[VMTAP_DROP_FILTERED] = "filtered",
		[VMTAP_DROP_KERNEL] = "kernel",
	};
	_Static_assert(sizeof(names) / sizeof(names[0]) == VMTAP_DROP_CNT, "a name for each cause");

	return (unsigned)cause < VMTAP_DROP_CNT ? names[cause] : NULL;
}

/* ---------------------------------------------------------------- callbacks */

static void log_write(void *opaque, enum vmtap_log_level level, const char *object, const char *msg)
{
	struct vmtap *v = opaque;

	call_begin(v);
	v->config.log(v->config.opaque, level, object, msg);
	call_end(v);
}

static void port_event(void *opaque, struct port *p, enum vmtap_port_state state)
{
	struct vmtap *v = opaque;
	struct vmtap_port *h = handle_of(p);

	if (!h || h->closing)
		return;
	call_begin(v);
	v->config.event(v->config.opaque, h, state);
	call_end(v);
}

/* -------------------------------------------------------- named descriptors */

static int find_fd(void *opaque, const char *name)
{
	const struct vmtap *v = opaque;

	for (const struct named_fd *n = v->fds; n; n = n->next)
		if (strcmp(n->name, name) == 0)
			return n->fd;
	return -ENOENT;
}

static int take_fd(void *opaque, const char *name)
{
	struct vmtap *v = opaque;

	for (struct named_fd **at = &v->fds; *at; at = &(*at)->next) {
		struct named_fd *n = *at;
		int fd = n->fd;

		if (strcmp(n->name, name) != 0)
			continue;
		*at = n->next;
		free(n);
		return fd;
	}
	return -ENOENT;
}

int choose_id(struct vmtap *v, const char *kind, const char *wanted,
	      bool (*taken)(const struct vmtap *v, const char *id), char *id, size_t size,
	      struct vmtap_error *err)
{
	char action[40];

	if (!wanted) {
		do
			snprintf(id, size, "%s#%u", kind, v->serial++);
		while (taken(v, id));
		return 0;
	}
	snprintf(action, sizeof(action), "start the %s", kind);
	if (taken(v, wanted)) {
		error_set(err, EEXIST, wanted, action, "the name is that of another %s", kind);
		error_remedy(err, "choose another id, or have one made up");
		return -EEXIST;
	}
	if (snprintf(id, size, "%s", wanted) >= (int)size)
		return error_set(err, ENAMETOOLONG, kind, action,
				 "its name has more than %zu characters", size - 1);
	return 0;
}

int vmtap_add_fd(struct vmtap *v, const char *name, int fd, struct vmtap_error *err)
{
	struct named_fd *n;
	size_t len = strlen(name);

	if (!len || len > 255 || isdigit((unsigned char)name[0]))
		return error_set(err, EINVAL, name, "name a descriptor",
				 "a name has 1 to 255 characters and does not start with a digit");
	if (fcntl(fd, F_GETFD) < 0)
		return error_set(err, EBADF, name, "name a descriptor", "%d is not open", fd);
	for (n = v->fds; n; n = n->next)
		if (strcmp(n->name, name) == 0) {
			error_set(err, EEXIST, name, "name a descriptor", "the name is taken");
			error_remedy(err, "choose another, or close that descriptor first");
			return -EEXIST;
		}
	n = malloc(sizeof(*n) + len + 1);
	if (!n)
		return error_errno(err, ENOMEM, name, "name a descriptor");
	memcpy(n->name, name, len + 1);
	n->fd = fd;
	n->next = v->fds;
	v->fds = n;
	fd_set_cloexec(fd);
	return 0;
}

static int no_such_fd(const char *name, const char *action, struct vmtap_error *err)
{
	error_set(err, ENOENT, name, action, "there is none of that name, or a port has it");
	error_remedy(err, "hand it over first: getfd (in a program: vmtap_add_fd())");
	return -ENOENT;
}

int vmtap_del_fd(struct vmtap *v, const char *name, struct vmtap_error *err)
{
	int fd = take_fd(v, name);

	if (fd < 0)
		return no_such_fd(name, "close a named descriptor", err);
	fd_close(&fd);
	return 0;
}

int vmtap_take_fd(struct vmtap *v, const char *name, struct vmtap_error *err)
{
	int fd = take_fd(v, name);

	return fd >= 0 ? fd : no_such_fd(name, "take a named descriptor", err);
}

/* ------------------------------------------------------------------- reaper */

static void reap_ports(struct vmtap *v)
{
	for (struct vmtap_port **at = &v->ports; *at;) {
		struct vmtap_port *h = *at;

		if (h->closing && !h->port->closed)
			port_close(h->port);
		if (h->refs || !h->port->closed) {
			at = &h->next;
			continue;
		}
		*at = h->next;
		filter_free(h);
		port_free(h->port);
		free(h);
	}
}

static void reap_links(struct vmtap *v)
{
	for (struct vmtap_link **at = &v->links; *at;) {
		struct vmtap_link *l = *at;

		if (!link_is_closed(l->link)) {
			at = &l->next;
			continue;
		}
		*at = l->next;
		link_free(l->link);
		free(l);
	}
}

static void reap_switches(struct vmtap *v)
{
	for (struct vmtap_switch **at = &v->switches; *at;) {
		struct vmtap_switch *h = *at;

		if (!switch_is_closed(h->sw)) {
			at = &h->next;
			continue;
		}
		*at = h->next;
		switch_free(h->sw);
		free(h);
	}
}

void reap(struct vmtap *v)
{
	loop_task_del(v->loop, &v->reap);
	captures_reap(v);
	pings_reap(v);
	reap_ports(v);
	reap_links(v);
	reap_switches(v);
}

void reap_soon(struct vmtap *v)
{
	if (v->depth)
		loop_task_add(v->loop, &v->reap);
	else
		reap(v);
}

static void reap_run(struct loop_task *t)
{
	reap(container_of(t, struct vmtap, reap));
}

/* ----------------------------------------------------------------- instance */

static int refuse_config(struct vmtap_error *err, const char *field, unsigned value, unsigned max)
{
	error_set(err, EINVAL, "vmtap", "make an instance", "%s is %u", field, value);
	error_remedy(err, "it is at most %u", max);
	return -EINVAL;
}

static int make_engine(struct vmtap *v, enum burst_engine engine, struct vmtap_error *err)
{
	int why;

	v->env.burst = burst_new(engine, &why);
	if (!v->env.burst) {
		error_errno(err, errno, "vmtap", "set io_uring up");
		error_remedy(err, "allow it (sysctl kernel.io_uring_disabled=0; a container's "
				  "seccomp filter), or use the plain engine");
		return -1;
	}
	if (why)
		log_msg(&v->log, VMTAP_LOG_INFO, "",
			"io_uring cannot be used (%s); frames take a "
			"system call each",
			strerror(-why));
	return 0;
}

/* What moves the frames: this thread, or others. */
static int make_movers(struct vmtap *v, struct vmtap_error *err)
{
	static const enum burst_engine engines[] = {
		[VMTAP_ENGINE_AUTO] = BURST_AUTO,
		[VMTAP_ENGINE_IO_URING] = BURST_IO_URING,
		[VMTAP_ENGINE_PLAIN] = BURST_PLAIN,
	};
	const struct vmtap_config *c = &v->config;
	struct workers_config workers = {
		.cnt = c->workers, .cpus = c->cpus, .cpu_cnt = c->cpu_cnt, .poll_us = c->poll_us
	};

	if (c->engine >= sizeof(engines) / sizeof(engines[0]))
		return refuse_config(err, "engine", c->engine, VMTAP_ENGINE_PLAIN);
	if (c->workers > VMTAP_WORKERS_MAX)
		return refuse_config(err, "workers", c->workers, VMTAP_WORKERS_MAX);
	if (c->poll_us > POLL_US_MAX)
		return refuse_config(err, "poll_us", c->poll_us, POLL_US_MAX);
	if (make_engine(v, engines[c->engine], err) < 0)
		return -1;
	loop_set_poll(v->loop, c->poll_us);
	if (!c->workers)
		return 0;
	workers.engine = engines[c->engine];
	v->env.workers = workers_new(&workers, err);
	return v->env.workers ? 0 : -1;
}

struct vmtap *vmtap_new(const struct vmtap_config *config, struct vmtap_error *err)
{
	struct vmtap *v = calloc(1, sizeof(*v));

	if (!v) {
		error_errno(err, ENOMEM, "vmtap", "make an instance");
		return NULL;
	}
	if (config)
		memcpy(&v->config, config,
		       config->size < sizeof(v->config) ? config->size : sizeof(v->config));
	v->loop = loop_new();
	if (!v->loop) {
		error_errno(err, errno, "vmtap", "make an event loop");
		free(v);
		return NULL;
	}
	v->log = (struct log) {
		.level = v->config.log_level,
		.write = v->config.log ? log_write : NULL,
		.opaque = v,
	};
	v->env = (struct port_env) {
		.loop = v->loop,
		.log = &v->log,
		.event = v->config.event ? port_event : NULL,
		.take_fd = take_fd,
		.find_fd = find_fd,
		.cancel_fd = -1,
		.opaque = v,
	};
	v->reap.run = reap_run;
	v->env.counts = counts_new();
	if (!v->env.counts)
		error_errno(err, ENOMEM, "vmtap", "make an instance");
	if (!v->env.counts || make_movers(v, err) < 0) {
		counts_free(v->env.counts);
		burst_free(v->env.burst);
		loop_free(v->loop);
		free(v);
		return NULL;
	}
	return v;
}

void vmtap_free(struct vmtap *v)
{
	struct closer closer = { 0 };

	if (!v)
		return;
	v->env.closer = &closer;
	for (struct vmtap_port *h = v->ports; h; h = h->next) {
		vmtap_port_ref(h); /* a callback may let go of it */
		vmtap_port_shutdown(h);
	}
	for (struct vmtap_port *h = v->ports; h; h = h->next)
		h->refs = 0;
	for (struct vmtap_switch *h = v->switches; h; h = h->next)
		switch_close(h->sw);
	captures_free(v);
	pings_free(v);
	reap(v);
	closer_run(&closer);
	while (v->fds) {
		int fd = take_fd(v, v->fds->name);

		fd_close(&fd);
	}
	while (v->watches)
		vmtap_watch_free(v->watches);
	workers_free(v->env.workers);
	counts_free(v->env.counts);
	burst_free(v->env.burst);
	loop_free(v->loop);
	free(v);
}

void vmtap_set_cancel_fd(struct vmtap *v, int fd)
{
	v->env.cancel_fd = fd;
}

int vmtap_fd(const struct vmtap *v)
{
	return loop_fd(v->loop);
}

int vmtap_dispatch(struct vmtap *v, int timeout_ms)
{
	if (v->depth)
		return -EBUSY;
	return loop_dispatch(v->loop, timeout_ms);
}
