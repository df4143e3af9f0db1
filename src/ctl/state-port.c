/* SPDX-License-Identifier: MIT */
/* What `vmtap serve` has: ports by name, and what they are joined to. */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "ctl/state-int.h"

struct entry *entry_find(const struct state *s, const char *name)
{
	for (unsigned i = 0; i < s->cnt; i++)
		if (strcmp(vmtap_port_name(s->entries[i]->port), name) == 0)
			return s->entries[i];
	return NULL;
}

struct vmtap_port *state_port(struct state *s, const char *name)
{
	const struct entry *e = entry_find(s, name);

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
	struct entry *e = entry_find(s, name);

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
	const struct entry *e = entry_find(s, name);

	if (e && e->lan)
		return vmtap_switch_name(e->lan->sw);
	return e && e->peer ? vmtap_port_name(e->peer->port) : NULL;
}

const char *state_port_spec(struct state *s, const char *name)
{
	const struct entry *e = entry_find(s, name);

	return e ? e->spec : NULL;
}

const char *state_file_spec(const struct state *s, const char *name)
{
	const struct entry *e = s->passing ? s->passing : entry_find(s, name);

	return e ? e->fixed : NULL;
}

bool state_port_link_up(struct state *s, const char *name)
{
	const struct entry *e = entry_find(s, name);

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
	if (lan_find(s, vmtap_port_name(e->port))) {
		state_taken(vmtap_port_name(e->port), "port", "switch", err);
		close_entry(s, e);
		return NULL;
	}
	e->link_up = true;
	s->entries[s->cnt++] = e;
	ctl_event(s, "PORT_ADDED", state_port_data(e->port));
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
void entry_leave(struct state *s, struct entry *e)
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

void entry_del(struct state *s, struct entry *e)
{
	json_t *data = state_port_data(e->port);
	unsigned at = 0;

	entry_leave(s, e);
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
	entry_del(s, e);
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
	struct lan *lan = lan_find(s, a);

	if (lan) { /* the port first */
		const char *port = b;

		b = a;
		a = port;
	} else {
		lan = lan_find(s, b);
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
		error_remedy(err, "query-ports says what is joined to what");
		return -ENOTCONN;
	}
	entry_leave(s, e);
	return 0;
}
