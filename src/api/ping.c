/* SPDX-License-Identifier: MIT */
/* Public handles of pings. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/api.h"
#include "filter/ping.h"

#define ACTION "ping"

/**
 * struct vmtap_ping - A handle
 * @port:  the port's name; @h: the port, NULL when it is closed
 * @told:  config.ended was called, or is not to be
 * @freed: the application let go of it; the reaper frees it
 */
struct vmtap_ping {
	struct vmtap *v;
	struct vmtap_ping *next;
	struct vmtap_port *h;
	struct ping *ping;
	char *id, *port;
	void (*probed)(void *opaque, struct vmtap_ping *ping, const struct vmtap_ping_probe *probe);
	void (*ended)(void *opaque, struct vmtap_ping *ping);
	void *opaque;
	bool told, freed;
};

static void tell_end(struct vmtap_ping *g)
{
	if (g->told)
		return;
	g->told = true;
	if (!g->ended)
		return;
	call_begin(g->v);
	g->ended(g->opaque, g);
	call_end(g->v);
	g->opaque = NULL; /* the handle lives on: the reaper comes later */
}

static void on_ended(void *opaque)
{
	struct vmtap_ping *g = opaque;

	g->h = NULL;
	tell_end(g);
}

static void on_probed(void *opaque, const struct vmtap_ping_probe *probe)
{
	struct vmtap_ping *g = opaque;

	if (!g->probed || g->told)
		return;
	call_begin(g->v);
	g->probed(g->opaque, g, probe);
	call_end(g->v);
}

static void release(struct vmtap_ping *g)
{
	ping_free(g->ping);
	free(g->id);
	free(g->port);
	free(g);
}

void pings_reap(struct vmtap *v)
{
	for (struct vmtap_ping **at = &v->pings; *at;) {
		struct vmtap_ping *g = *at;

		if (!g->freed) {
			at = &g->next;
			continue;
		}
		*at = g->next;
		release(g);
	}
}

void pings_leave(struct vmtap_port *h)
{
	struct vmtap_error err = { 0 };

	error_set(&err, EPIPE, h->port->name, ACTION, "the port was closed");
	for (struct vmtap_ping *g = h->v->pings; g; g = g->next) {
		if (g->h != h)
			continue;
		g->h = NULL;
		ping_detach(g->ping, &err);
	}
}

void pings_free(struct vmtap *v)
{
	for (struct vmtap_ping *g = v->pings; g; g = g->next) {
		ping_detach(g->ping, NULL);
		tell_end(g);
		g->freed = true;
	}
	pings_reap(v);
}

/* ----------------------------------------------------------------- starting */

static bool is_taken(const struct vmtap *v, const char *id)
{
	for (const struct vmtap_ping *g = v->pings; g; g = g->next)
		if (!g->freed && strcmp(g->id, id) == 0)
			return true;
	return false;
}

static int check_room(const struct vmtap *v, struct vmtap_error *err)
{
	unsigned cnt = 0;

	for (const struct vmtap_ping *g = v->pings; g; g = g->next)
		cnt += !g->freed;
	if (cnt < VMTAP_PINGS_MAX)
		return 0;
	error_set(err, EUSERS, "ping", "start it", "there are %d already", VMTAP_PINGS_MAX);
	error_remedy(err, "end one of them first");
	return -EUSERS;
}

/* Return: NULL and @err. */
static struct vmtap_ping *handle(struct vmtap_port *h, const struct vmtap_ping_config *config,
				 struct vmtap_error *err)
{
	struct vmtap_ping *g;
	char id[128];

	if (h->closing || h->port->closed) {
		error_set(err, EPIPE, h->port->name, ACTION, "the port is closed");
		return NULL;
	}
	if (check_room(h->v, err) < 0 ||
	    choose_id(h->v, "ping", config->id, is_taken, id, sizeof(id), err) < 0)
		return NULL;
	g = calloc(1, sizeof(*g));
	if (g)
		*g = (struct vmtap_ping) {
			.v = h->v,
			.h = h,
			.id = strdup(id),
			.port = strdup(h->port->name),
			.probed = config->probed,
			.ended = config->ended,
			.opaque = config->opaque,
		};
	if (g && g->id && g->port)
		return g;
	error_errno(err, ENOMEM, h->port->name, ACTION);
	if (g)
		release(g);
	return NULL;
}

struct vmtap_ping *vmtap_ping_start(struct vmtap_port *h, const struct vmtap_ping_config *config,
				    struct vmtap_error *err)
{
	struct vmtap_ping_config own = { 0 };
	struct vmtap_ping *g;

	memcpy(&own, config, config->size < sizeof(own) ? config->size : sizeof(own));
	g = handle(h, &own, err);
	if (!g)
		return NULL;
	g->ping = ping_new(
		h->port, &own,
		&(struct ping_events) { .probed = on_probed, .ended = on_ended, .opaque = g }, err);
	if (!g->ping) {
		release(g);
		return NULL;
	}
	g->next = h->v->pings;
	h->v->pings = g;
	return g;
}

/* ------------------------------------------------------------------- ending */

void vmtap_ping_end(struct vmtap_ping *g)
{
	g->h = NULL;
	ping_detach(g->ping, NULL);
}

void vmtap_ping_stop(struct vmtap_ping *g)
{
	if (!g)
		return;
	vmtap_ping_end(g);
	g->told = true;
	g->freed = true;
	reap_soon(g->v); /* the port may be in the middle of asking its hooks */
}

/* ------------------------------------------------------------------ looking */

bool vmtap_ping_is_over(const struct vmtap_ping *g)
{
	return ping_is_over(g->ping);
}

const struct vmtap_error *vmtap_ping_error(const struct vmtap_ping *g)
{
	return ping_error(g->ping);
}

const char *vmtap_ping_id(const struct vmtap_ping *g)
{
	return g->id;
}

const char *vmtap_ping_port(const struct vmtap_ping *g)
{
	return g->port;
}

const char *vmtap_ping_method(const struct vmtap_ping *g)
{
	return ping_method(g->ping);
}

void *vmtap_ping_opaque(const struct vmtap_ping *g)
{
	return g->opaque;
}

void vmtap_ping_stats(const struct vmtap_ping *g, struct vmtap_ping_stats *stats, size_t size)
{
	struct vmtap_ping_stats all;

	ping_stats(g->ping, &all);
	memset(stats, 0, size);
	memcpy(stats, &all, size < sizeof(all) ? size : sizeof(all));
}

struct vmtap_ping *vmtap_ping_next(const struct vmtap *v, const struct vmtap_ping *g)
{
	struct vmtap_ping *next = g ? g->next : v->pings;

	while (next && next->freed)
		next = next->next;
	return next;
}

const char *vmtap_ping_fate_name(enum vmtap_ping_fate fate)
{
	switch (fate) {
	case VMTAP_PING_ANSWERED:
		return "answered";
	case VMTAP_PING_LOST:
		return "lost";
	case VMTAP_PING_HELD:
		return "held";
	case VMTAP_PING_DROPPED:
		return "dropped";
	}
	return "";
}
