/* SPDX-License-Identifier: MIT */
/* Public handles of captures. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/api.h"
#include "base/fd.h"
#include "filter/capture.h"

/**
 * struct vmtap_capture - A handle
 * @port:  the port's name; @h: the port, NULL when it is closed
 * @told:  config.ended was called, or is not to be
 * @freed: the application let go of it; the reaper frees it
 */
struct vmtap_capture {
	struct vmtap *v;
	struct vmtap_capture *next;
	struct vmtap_port *h;
	struct capture *capture;
	char *id, *port;
	void (*ended)(void *opaque, struct vmtap_capture *capture);
	void *opaque;
	bool told, freed;
};

static void tell(struct vmtap_capture *c)
{
	if (c->told)
		return;
	c->told = true;
	if (!c->ended)
		return;
	call_begin(c->v);
	c->ended(c->opaque, c);
	call_end(c->v);
	c->opaque = NULL; /* the handle lives on: the reaper comes later */
}

static void ended(void *opaque)
{
	struct vmtap_capture *c = opaque;

	c->h = NULL;
	tell(c);
}

static void release(struct vmtap_capture *c)
{
	capture_free(c->capture);
	free(c->id);
	free(c->port);
	free(c);
}

void captures_reap(struct vmtap *v)
{
	for (struct vmtap_capture **at = &v->captures; *at;) {
		struct vmtap_capture *c = *at;

		if (!c->freed) {
			at = &c->next;
			continue;
		}
		*at = c->next;
		release(c);
	}
}

void captures_leave(struct vmtap_port *h)
{
	for (struct vmtap_capture *c = h->v->captures; c; c = c->next)
		if (c->h == h)
			vmtap_capture_end(c);
}

void captures_free(struct vmtap *v)
{
	/* each may wait for its reader for a while: all at the same time */
	for (struct vmtap_capture *c = v->captures; c; c = c->next)
		capture_detach(c->capture);
	for (struct vmtap_capture *c = v->captures; c; c = c->next) {
		capture_wait(c->capture);
		tell(c);
		c->freed = true;
	}
	captures_reap(v);
}

/* ----------------------------------------------------------------- starting */

static bool is_taken(const struct vmtap *v, const char *id)
{
	for (const struct vmtap_capture *c = v->captures; c; c = c->next)
		if (!c->freed && strcmp(c->id, id) == 0)
			return true;
	return false;
}

static void close_fds(const struct vmtap_capture_config *config)
{
	for (unsigned i = 0; i < config->fd_cnt; i++) {
		int fd = config->fds[i];

		fd_close(&fd);
	}
}

/* Return: NULL and @err; the descriptors are not touched. */
static struct vmtap_capture *handle(struct vmtap_port *h, const struct vmtap_capture_config *config,
				    struct vmtap_error *err)
{
	struct vmtap_capture *c;
	char id[128];

	if (h->closing || h->port->closed) {
		error_set(err, EPIPE, h->port->name, "capture its frames", "the port is closed");
		return NULL;
	}
	if (choose_id(h->v, "capture", config->id, is_taken, id, sizeof(id), err) < 0)
		return NULL;
	c = calloc(1, sizeof(*c));
	if (c)
		*c = (struct vmtap_capture) {
			.v = h->v,
			.h = h,
			.id = strdup(id),
			.port = strdup(h->port->name),
			.ended = config->ended,
			.opaque = config->opaque,
		};
	if (c && c->id && c->port)
		return c;
	error_errno(err, ENOMEM, h->port->name, "capture its frames");
	if (c)
		release(c);
	return NULL;
}

struct vmtap_capture *vmtap_capture_start(struct vmtap_port *h,
					  const struct vmtap_capture_config *config,
					  struct vmtap_error *err)
{
	struct vmtap_capture_config own = { 0 };
	struct vmtap_capture *c;

	memcpy(&own, config, config->size < sizeof(own) ? config->size : sizeof(own));
	c = handle(h, &own, err);
	if (!c) {
		close_fds(&own);
		return NULL;
	}
	c->capture = capture_new(h->port, &own, ended, c, err);
	if (!c->capture) {
		release(c);
		return NULL;
	}
	c->next = h->v->captures;
	h->v->captures = c;
	return c;
}

/* ------------------------------------------------------------------- ending */

void vmtap_capture_end(struct vmtap_capture *c)
{
	c->h = NULL;
	capture_detach(c->capture);
}

void vmtap_capture_stop(struct vmtap_capture *c)
{
	if (!c)
		return;
	vmtap_capture_end(c);
	capture_wait(c->capture);
	c->told = true;
	c->freed = true;
	reap_soon(c->v); /* the port may be in the middle of telling its hooks */
}

/* ------------------------------------------------------------------ looking */

bool vmtap_capture_is_over(const struct vmtap_capture *c)
{
	return capture_is_over(c->capture);
}

const struct vmtap_error *vmtap_capture_error(const struct vmtap_capture *c)
{
	return capture_error(c->capture);
}

const char *vmtap_capture_id(const struct vmtap_capture *c)
{
	return c->id;
}

const char *vmtap_capture_port(const struct vmtap_capture *c)
{
	return c->port;
}

void *vmtap_capture_opaque(const struct vmtap_capture *c)
{
	return c->opaque;
}

void vmtap_capture_stats(const struct vmtap_capture *c, struct vmtap_capture_stats *stats,
			 size_t size)
{
	struct vmtap_capture_stats all;

	capture_stats(c->capture, &all);
	memset(stats, 0, size);
	memcpy(stats, &all, size < sizeof(all) ? size : sizeof(all));
}

struct vmtap_capture *vmtap_capture_next(const struct vmtap *v, const struct vmtap_capture *c)
{
	struct vmtap_capture *next = c ? c->next : v->captures;

	while (next && next->freed)
		next = next->next;
	return next;
}
