/* SPDX-License-Identifier: MIT */
/* What `vmtap serve` has: switches by name. */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "ctl/state-int.h"

struct lan *lan_find(const struct state *s, const char *name)
{
	for (struct lan *l = s->lans; l; l = l->next)
		if (strcmp(vmtap_switch_name(l->sw), name) == 0)
			return l;
	return NULL;
}

struct vmtap_switch *state_switch(struct state *s, const char *name)
{
	const struct lan *l = lan_find(s, name);

	return l ? l->sw : NULL;
}

struct vmtap_switch *state_switch_find(struct state *s, const char *name, const char *action,
				       struct vmtap_error *err)
{
	const struct lan *l = lan_find(s, name);

	if (l)
		return l->sw;
	error_set(err, CTL_NO_DEVICE, "", action, "there is no switch of that name");
	error_object(err, "switch %.60s", name);
	error_remedy(err, "query-switches lists what there is");
	return NULL;
}

const char *state_switch_spec(struct state *s, const char *name)
{
	const struct lan *l = lan_find(s, name);

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
	if (l->sw &&
	    (entry_find(s, vmtap_switch_name(l->sw)) || lan_find(s, vmtap_switch_name(l->sw)))) {
		state_taken(vmtap_switch_name(l->sw), "switch", "port or switch", err);
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

void lan_del(struct state *s, struct lan *l)
{
	json_t *data = json_pack("{ss}", "id", vmtap_switch_name(l->sw));
	struct lan **at = &s->lans;

	for (unsigned i = 0; i < s->cnt; i++)
		if (s->entries[i]->lan == l)
			entry_leave(s, s->entries[i]);
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
	lan_del(s, lan_find(s, name));
	return 0;
}
