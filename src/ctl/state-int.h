/* SPDX-License-Identifier: MIT */
/*
 * The insides of what `vmtap serve` has.
 *
 * state.c has the instance and the events, state-port.c the ports and what they are joined to, state-switch.c the
 * switches.
 */
#ifndef CTL_STATE_INT_H
#define CTL_STATE_INT_H

#include "ctl/state.h"

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

/** entry_find() - The port of that name; NULL: none. */
struct entry *entry_find(const struct state *s, const char *name);
/** entry_leave() - Take it out of what it is joined to, if it is. */
void entry_leave(struct state *s, struct entry *e);
/** entry_del() - The same, and close and free it. */
void entry_del(struct state *s, struct entry *e);

/** lan_find() - The switch of that name; NULL: none. */
struct lan *lan_find(const struct state *s, const char *name);
/** lan_del() - Part its ports, and free it. */
void lan_del(struct state *s, struct lan *l);

/** state_port_data() - What an event says of a port. Return: owned; NULL: out of memory. */
json_t *state_port_data(const struct vmtap_port *port);
/** state_taken() - Fill @err: a @kind has the name of another @other. Return: -EEXIST. */
int state_taken(const char *name, const char *kind, const char *other, struct vmtap_error *err);

#endif
