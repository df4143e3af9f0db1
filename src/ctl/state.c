/* SPDX-License-Identifier: MIT */
/* What `vmtap serve` has: an instance, and by name its ports, its switches and how they are joined. */
#include "ctl/state.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/error.h"
#include "ctl/command.h"

/** struct lan - A switch */
struct lan {
	struct lan *next;
	struct vmtap_switch *sw;
	char *spec;
};

/**
 * struct entry - A port
 * @link, @peer: the port that it is joined to, whose entry has the same @link
 * @lan: the switch that it is joined to
 * @fixed: of a port of the configuration file, its description without what can change while it runs; else NULL
 */
struct entry {
	struct lan *lan;
	struct vmtap_port *port;
	char *spec, *fixed;
	struct vmtap_link *link;
	struct entry *peer;
	bool link_up;
};

/** struct state - @entries: in the order of their opening. @passing: the one that is being opened or closed */
struct state {
	struct vmtap *v;
	struct vmtap_config config; /* its log and opaque are the program's */
	struct entry **entries;
	unsigned cnt, room;
	struct entry *passing;
	struct lan *lans; /* in the order in which they were made */
	struct state_observer *observers;
	struct reload *file;
	bool over;
};

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

static json_t *port_data(const struct vmtap_port *port)
{
	return json_pack("{ss,ss}", "id", vmtap_port_name(port), "type", vmtap_port_type(port));
}

static json_t *broken_data(const struct vmtap_port *port)
{
	const struct vmtap_error *why = vmtap_port_error(port);
	json_t *data = port_data(port);
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
		ctl_event(s, "PORT_UP", port_data(port));
		break;
	case VMTAP_PORT_WAITING:
		ctl_event(s, "PORT_WAITING", port_data(port));
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

/* --------------------------------------------------------------------- ports */

static struct entry *find(const struct state *s, const char *name)
{
	for (unsigned i = 0; i < s->cnt; i++)
		if (strcmp(vmtap_port_name(s->entries[i]->port), name) == 0)
			return s->entries[i];
	return NULL;
}

struct vmtap_port *state_port(struct state *s, const char *name)
{
	const struct entry *e = find(s, name);

	return e ? e->port : NULL;
}

int state_no_port(struct state *s, const char *name, const char *action, struct vmtap_error *err)
{
	error_set(err, CTL_NO_DEVICE, "", action, "there is no port \"%.100s\"", name);
	error_object(err, "port %.60s", name);
	error_remedy(err, "query-ports lists what there is");
	return -CTL_NO_DEVICE;
}

/* The entry, or an error about @action. */
static struct entry *need(struct state *s, const char *name, const char *action,
			  struct vmtap_error *err)
{
	struct entry *e = find(s, name);

	if (!e)
		state_no_port(s, name, action, err);
	return e;
}

struct vmtap_port *state_port_find(struct state *s, const char *name, const char *action,
				   struct vmtap_error *err)
{
	const struct entry *e = need(s, name, action, err);

	return e ? e->port : NULL;
}

const char *state_port_peer(struct state *s, const char *name)
{
	const struct entry *e = find(s, name);

	if (e && e->lan)
		return vmtap_switch_name(e->lan->sw);
	return e && e->peer ? vmtap_port_name(e->peer->port) : NULL;
}

const char *state_port_spec(struct state *s, const char *name)
{
	const struct entry *e = find(s, name);

	return e ? e->spec : NULL;
}

const char *state_file_spec(const struct state *s, const char *name)
{
	const struct entry *e = s->passing ? s->passing : find(s, name);

	return e ? e->fixed : NULL;
}

bool state_port_link_up(struct state *s, const char *name)
{
	const struct entry *e = find(s, name);

	return e && e->link_up;
}

unsigned state_port_cnt(const struct state *s)
{
	return s->cnt;
}

void state_each_port(struct state *s, void (*row)(void *opaque, struct vmtap_port *port),
		     void *opaque)
{
	for (unsigned i = 0; i < s->cnt; i++)
		row(opaque, s->entries[i]->port);
}

static struct lan *find_lan(const struct state *s, const char *name)
{
	for (struct lan *l = s->lans; l; l = l->next)
		if (strcmp(vmtap_switch_name(l->sw), name) == 0)
			return l;
	return NULL;
}

/* A @kind of another @other's name. */
static int taken(const char *name, const char *kind, const char *other, struct vmtap_error *err)
{
	error_set(err, EEXIST, "", "open it", "there is a %s of that name", other);
	error_object(err, "%s %.60s", kind, name);
	error_remedy(err, "choose another id");
	return -EEXIST;
}

/* Room for one more. */
static int grow(struct state *s)
{
	unsigned room = s->room ? s->room * 2 : 16;
	struct entry **entries;

	if (s->cnt < s->room)
		return 0;
	entries = realloc(s->entries, room * sizeof(*entries));
	if (!entries)
		return -ENOMEM;
	s->entries = entries;
	s->room = room;
	return 0;
}

static void entry_free(struct entry *e)
{
	if (e) {
		free(e->spec);
		free(e->fixed);
	}
	free(e);
}

static void close_entry(struct state *s, struct entry *e)
{
	s->passing = e;
	vmtap_port_close(e->port);
	s->passing = NULL;
	entry_free(e);
}

static struct vmtap_port *open_entry(struct state *s, const char *spec, const char *fixed,
				     struct vmtap_error *err)
{
	struct entry *e = calloc(1, sizeof(*e));

	if (e) {
		e->spec = strdup(spec);
		e->fixed = fixed ? strdup(fixed) : NULL;
	}
	if (!e || !e->spec || (fixed && !e->fixed) || grow(s) < 0) {
		error_errno(err, ENOMEM, "port", "open");
		entry_free(e);
		return NULL;
	}
	s->passing = e;
	e->port = vmtap_port_open(s->v, spec, err);
	s->passing = NULL;
	if (!e->port) {
		entry_free(e);
		return NULL;
	}
	if (find_lan(s, vmtap_port_name(e->port))) {
		taken(vmtap_port_name(e->port), "port", "switch", err);
		close_entry(s, e);
		return NULL;
	}
	e->link_up = true;
	s->entries[s->cnt++] = e;
	ctl_event(s, "PORT_ADDED", port_data(e->port));
	return e->port;
}

struct vmtap_port *state_port_open(struct state *s, const char *spec, struct vmtap_error *err)
{
	return open_entry(s, spec, NULL, err);
}

int state_port_add(struct state *s, const char *spec, const char *fixed, struct vmtap_error *err)
{
	struct vmtap_error local = { 0 };

	if (!err)
		err = &local;
	return open_entry(s, spec, fixed, err) ? 0 : -err->code;
}

int state_port_change(struct state *s, const char *name, const char *spec, struct vmtap_error *err)
{
	struct entry *e = need(s, name, "change it", err);
	char *own;
	int ret;

	if (!e)
		return -CTL_NO_DEVICE;
	own = strdup(spec);
	if (!own)
		return error_errno(err, ENOMEM, name, "change it");
	ret = vmtap_port_change(e->port, spec, err);
	if (ret < 0) {
		free(own);
		return ret;
	}
	free(e->spec);
	e->spec = own;
	return 0;
}

static void tell_joined(struct state *s, const char *event, const struct entry *e, const char *peer)
{
	ctl_event(s, event, json_pack("{ss,ss}", "id", vmtap_port_name(e->port), "peer", peer));
}

/* Out of what it is joined to. */
static void leave(struct state *s, struct entry *e)
{
	struct entry *peer = e->peer;

	if (e->lan) {
		struct lan *lan = e->lan;

		e->lan = NULL;
		vmtap_switch_remove(lan->sw, e->port);
		tell_joined(s, "PORT_DISCONNECTED", e, vmtap_switch_name(lan->sw));
	}
	if (!e->link)
		return;
	vmtap_link_free(e->link);
	e->link = peer->link = NULL;
	e->peer = peer->peer = NULL;
	tell_joined(s, "PORT_DISCONNECTED", e, vmtap_port_name(peer->port));
}

static void del(struct state *s, struct entry *e)
{
	json_t *data = port_data(e->port);
	unsigned at = 0;

	leave(s, e);
	while (s->entries[at] != e)
		at++;
	memmove(&s->entries[at], &s->entries[at + 1], (--s->cnt - at) * sizeof(struct entry *));
	close_entry(s, e);
	ctl_event(s, "PORT_DELETED", data);
}

int state_port_del(struct state *s, const char *name, struct vmtap_error *err)
{
	struct entry *e = need(s, name, "delete it", err);

	if (!e)
		return -CTL_NO_DEVICE;
	del(s, e);
	return 0;
}

int state_set_link(struct state *s, const char *name, bool up, struct vmtap_error *err)
{
	struct entry *e = need(s, name, "set its link", err);
	int ret;

	if (!e)
		return -CTL_NO_DEVICE;
	ret = vmtap_port_set_link(e->port, up, err);
	if (ret < 0 || e->link_up == up)
		return ret;
	e->link_up = up;
	ctl_event(s, "LINK_CHANGED", json_pack("{ss,sb}", "id", name, "up", up));
	return 0;
}

static int join_lan(struct state *s, struct entry *e, struct lan *lan, struct vmtap_error *err)
{
	int ret = vmtap_switch_add(lan->sw, e->port, err);

	if (ret < 0)
		return ret;
	e->lan = lan;
	tell_joined(s, "PORT_CONNECTED", e, vmtap_switch_name(lan->sw));
	return 0;
}

int state_connect(struct state *s, const char *a, const char *b, struct vmtap_error *err)
{
	struct entry *x, *y;
	struct vmtap_link *link;
	struct lan *lan = find_lan(s, a);

	if (lan) { /* the port first */
		const char *port = b;

		b = a;
		a = port;
	} else {
		lan = find_lan(s, b);
	}
	x = need(s, a, "connect it", err);
	if (!x)
		return -CTL_NO_DEVICE;
	if (lan)
		return join_lan(s, x, lan, err);
	y = need(s, b, "connect it", err);
	if (!y)
		return -CTL_NO_DEVICE;
	link = vmtap_link_new(s->v, x->port, y->port, err);
	if (!link)
		return err ? -err->code : -EINVAL;
	x->link = y->link = link;
	x->peer = y;
	y->peer = x;
	tell_joined(s, "PORT_CONNECTED", x, b);
	return 0;
}

int state_disconnect(struct state *s, const char *port, struct vmtap_error *err)
{
	struct entry *e = need(s, port, "disconnect it", err);

	if (!e)
		return -CTL_NO_DEVICE;
	if (!e->link && !e->lan) {
		error_set(err, ENOTCONN, "", "disconnect it", "it is joined to nothing");
		error_object(err, "port %.60s", port);
		return -ENOTCONN;
	}
	leave(s, e);
	return 0;
}

/* ------------------------------------------------------------------ switches */

struct vmtap_switch *state_switch(struct state *s, const char *name)
{
	const struct lan *l = find_lan(s, name);

	return l ? l->sw : NULL;
}

struct vmtap_switch *state_switch_find(struct state *s, const char *name, const char *action,
				       struct vmtap_error *err)
{
	const struct lan *l = find_lan(s, name);

	if (l)
		return l->sw;
	error_set(err, CTL_NO_DEVICE, "", action, "there is no switch of that name");
	error_object(err, "switch %.60s", name);
	error_remedy(err, "query-switches lists what there is");
	return NULL;
}

const char *state_switch_spec(struct state *s, const char *name)
{
	const struct lan *l = find_lan(s, name);

	return l ? l->spec : NULL;
}

void state_each_switch(struct state *s, void (*row)(void *opaque, struct vmtap_switch *sw),
		       void *opaque)
{
	for (struct lan *l = s->lans; l; l = l->next)
		row(opaque, l->sw);
}

static void lan_free(struct lan *l)
{
	if (!l)
		return;
	vmtap_switch_free(l->sw);
	free(l->spec);
	free(l);
}

struct vmtap_switch *state_switch_new(struct state *s, const char *spec, struct vmtap_error *err)
{
	struct lan *l = calloc(1, sizeof(*l)), **at = &s->lans;

	if (l)
		l->spec = strdup(spec);
	if (!l || !l->spec) {
		error_errno(err, ENOMEM, "switch", "make it");
		lan_free(l);
		return NULL;
	}
	l->sw = vmtap_switch_new(s->v, spec, err);
	if (l->sw && (find(s, vmtap_switch_name(l->sw)) || find_lan(s, vmtap_switch_name(l->sw)))) {
		taken(vmtap_switch_name(l->sw), "switch", "port or switch", err);
		vmtap_switch_free(l->sw);
		l->sw = NULL;
	}
	if (!l->sw) {
		lan_free(l);
		return NULL;
	}
	while (*at)
		at = &(*at)->next;
	*at = l;
	ctl_event(s, "SWITCH_ADDED", json_pack("{ss}", "id", vmtap_switch_name(l->sw)));
	return l->sw;
}

int state_switch_add(struct state *s, const char *spec, struct vmtap_error *err)
{
	struct vmtap_error local = { 0 };

	if (!err)
		err = &local;
	return state_switch_new(s, spec, err) ? 0 : -err->code;
}

static void del_lan(struct state *s, struct lan *l)
{
	json_t *data = json_pack("{ss}", "id", vmtap_switch_name(l->sw));
	struct lan **at = &s->lans;

	for (unsigned i = 0; i < s->cnt; i++)
		if (s->entries[i]->lan == l)
			leave(s, s->entries[i]);
	while (*at != l)
		at = &(*at)->next;
	*at = l->next;
	lan_free(l);
	ctl_event(s, "SWITCH_DELETED", data);
}

int state_switch_del(struct state *s, const char *name, struct vmtap_error *err)
{
	if (!state_switch_find(s, name, "delete it", err))
		return -CTL_NO_DEVICE;
	del_lan(s, find_lan(s, name));
	return 0;
}

void state_close(struct state *s)
{
	while (s->cnt)
		del(s, s->entries[s->cnt - 1]);
	while (s->lans)
		del_lan(s, s->lans);
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
