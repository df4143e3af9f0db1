/* SPDX-License-Identifier: MIT */
/* What `vmtap serve` has: the instance, and who is told what happens. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "base/error.h"
#include "ctl/command.h"
#include "ctl/state-int.h"

/* ------------------------------------------------------------------- events */

static json_t *now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return json_pack("{sI,sI}", "seconds", (json_int_t)ts.tv_sec, "microseconds",
			 (json_int_t)(ts.tv_nsec / 1000));
}

json_t *ctl_event_new(const char *name, json_t *data)
{
	json_t *event = json_pack("{ss,so}", "event", name, "timestamp", now());

	if (event && data)
		json_object_set_new(event, "data", data);
	else
		json_decref(data);
	return event;
}

void ctl_event(struct state *s, const char *name, json_t *data)
{
	json_t *event;

	if (!s->observers) {
		json_decref(data);
		return;
	}
	event = ctl_event_new(name, data);
	for (struct state_observer *o = s->observers, *next; event && o; o = next) {
		next = o->next;
		o->event(o->opaque, event);
	}
	json_decref(event);
}

void state_observe(struct state *s, struct state_observer *o)
{
	o->next = s->observers;
	s->observers = o;
}

void state_ignore(struct state *s, struct state_observer *o)
{
	for (struct state_observer **at = &s->observers; *at; at = &(*at)->next) {
		if (*at == o) {
			*at = o->next;
			return;
		}
	}
}

json_t *state_port_data(const struct vmtap_port *port)
{
	return json_pack("{ss,ss}", "id", vmtap_port_name(port), "type", vmtap_port_type(port));
}

static json_t *broken_data(const struct vmtap_port *port)
{
	const struct vmtap_error *why = vmtap_port_error(port);
	json_t *data = state_port_data(port);
	char line[1200];

	if (!data || !why)
		return data;
	vmtap_error_format(why, line, sizeof(line));
	json_object_set_new(data, "reason", text_json(line));
	json_object_set_new(data, "errno", json_integer(why->code));
	return data;
}

static void on_event(void *opaque, struct vmtap_port *port, enum vmtap_port_state state)
{
	struct state *s = opaque;

	switch (state) {
	case VMTAP_PORT_UP:
		ctl_event(s, "PORT_UP", state_port_data(port));
		break;
	case VMTAP_PORT_WAITING:
		ctl_event(s, "PORT_WAITING", state_port_data(port));
		break;
	case VMTAP_PORT_BROKEN:
		ctl_event(s, "PORT_BROKEN", broken_data(port));
		break;
	case VMTAP_PORT_CLOSED: /* told by whoever closes it */
		break;
	}
}

/* ------------------------------------------------------------------ instance */

static void on_log(void *opaque, enum vmtap_log_level level, const char *object, const char *msg)
{
	const struct state *s = opaque;

	s->config.log(s->config.opaque, level, object, msg);
}

void state_log(struct state *s, enum vmtap_log_level level, const char *object, const char *fmt,
	       ...)
{
	char line[1200];
	va_list ap;

	if (!s->config.log || level > s->config.log_level)
		return;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	s->config.log(s->config.opaque, level, object, line);
}

struct state *state_new(const struct vmtap_config *config, struct vmtap_error *err)
{
	struct state *s = calloc(1, sizeof(*s));
	struct vmtap_config own = *config;

	if (!s) {
		error_errno(err, ENOMEM, "vmtap", "start");
		return NULL;
	}
	s->config = *config;
	own.log = config->log ? on_log : NULL;
	own.event = on_event;
	own.opaque = s;
	s->v = vmtap_new(&own, err);
	if (!s->v) {
		free(s);
		return NULL;
	}
	return s;
}

struct vmtap *state_instance(struct state *s)
{
	return s->v;
}

void state_set_file(struct state *s, struct reload *file)
{
	s->file = file;
}

struct reload *state_file(const struct state *s)
{
	return s->file;
}

void state_end(struct state *s)
{
	s->over = true;
}

bool state_is_over(const struct state *s)
{
	return s->over;
}

int state_taken(const char *name, const char *kind, const char *other, struct vmtap_error *err)
{
	error_set(err, EEXIST, "", "open it", "there is a %s of that name", other);
	error_object(err, "%s %.60s", kind, name);
	error_remedy(err, "choose another id");
	return -EEXIST;
}

void state_close(struct state *s)
{
	while (s->cnt)
		entry_del(s, s->entries[s->cnt - 1]);
	while (s->lans)
		lan_del(s, s->lans);
}

void state_free(struct state *s)
{
	if (!s)
		return;
	state_close(s);
	vmtap_free(s->v);
	free(s->entries);
	free(s);
}
