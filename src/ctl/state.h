/* SPDX-License-Identifier: MIT */
/*
 * What `vmtap serve` has: an instance, and by name its ports, its switches and how they are joined.
 *
 * Model
 *   The commands of the control socket, and whoever else changes the configuration, do it through
 *   these functions, so that the names, the joins and the events stay in step. A port that breaks keeps
 *   its name, and the reason, until it is deleted. Ports and switches have no name in common.
 *
 * Threads
 *   All of it belongs to the thread that calls vmtap_dispatch(). Ports are opened and closed between
 *   dispatches, not inside the library's callbacks: what was closed is gone when the function returns.
 *
 * Errors
 *   0 or -errno and @err. CTL_NO_DEVICE: there is nothing of that name.
 */
#ifndef CTL_STATE_H
#define CTL_STATE_H

#include <errno.h>
#include <jansson.h>
#include <stdbool.h>

#include "vmtap/vmtap.h"

struct state;

/** "No port, switch or the like has that name"; QMP's class DeviceNotFound. Beyond the kernel's numbers: a port
 *  fails with ENODEV when there is no such interface. */
#define CTL_NO_DEVICE 4096

/**
 * struct state_observer - Who is told what happens; embedded in its owner
 * @event: one event as it goes over the wire; borrowed
 */
struct state_observer {
	void (*event)(void *opaque, json_t *event);
	void *opaque;
	struct state_observer *next;
};

/** state_new() - @config as for vmtap_new(), borrowed; its event callback is not used.
 *  Return: owned; NULL and @err. */
struct state *state_new(const struct vmtap_config *config, struct vmtap_error *err);
/** state_free() - Close everything, the last first, and free. NULL is fine. */
void state_free(struct state *s);
/** state_close() - Close everything, the last first; the instance lives on. */
void state_close(struct state *s);

struct vmtap *state_instance(struct state *s);

/** state_set_file() - The configuration file in force, borrowed; NULL: none, as in the beginning. */
struct reload;
void state_set_file(struct state *s, struct reload *file);
struct reload *state_file(const struct state *s);

/** state_log() - A line to the log of the program. @object may be "". */
void state_log(struct state *s, enum vmtap_log_level level, const char *object, const char *fmt,
	       ...) __attribute__((format(printf, 4, 5)));

/** state_end() - The program is to end, in order; state_is_over() says so from now on. */
void state_end(struct state *s);
bool state_is_over(const struct state *s);

/* Ports ---------------------------------------------------------------------- */

/** state_port() - NULL: there is none. Borrowed. */
struct vmtap_port *state_port(struct state *s, const char *name);
/** state_no_port() - Fill @err: there is no port @name. Return: -CTL_NO_DEVICE. */
int state_no_port(struct state *s, const char *name, const char *action, struct vmtap_error *err);
/** state_port_find() - The same, or NULL and an error about @action. */
struct vmtap_port *state_port_find(struct state *s, const char *name, const char *action,
				   struct vmtap_error *err);
/** state_port_peer() - The name of the port or switch that @name is joined to; NULL: none. */
const char *state_port_peer(struct state *s, const char *name);
/** state_port_spec() - The description that it was opened with; NULL: there is no such port. */
const char *state_port_spec(struct state *s, const char *name);
/** state_file_spec() - The same without what can change while it runs, also while it is opened or closed, of a port
 *  of the configuration file; NULL: there is none. */
const char *state_file_spec(const struct state *s, const char *name);
/** state_port_link_up() - What state_set_link() said last. */
bool state_port_link_up(struct state *s, const char *name);
unsigned state_port_cnt(const struct state *s);

/** state_each_port() - In the order of their opening. @row may not add or delete any. */
void state_each_port(struct state *s, void (*row)(void *opaque, struct vmtap_port *port),
		     void *opaque);

/** state_port_open() - Open a port. Return: borrowed; NULL and @err. */
struct vmtap_port *state_port_open(struct state *s, const char *spec, struct vmtap_error *err);
/** state_port_add() - The same for a port of the configuration file. @fixed: the description without what can change
 *  while it runs. Return: 0 or -errno. */
int state_port_add(struct state *s, const char *spec, const char *fixed, struct vmtap_error *err);
/** state_port_change() - Have the limits and filters of @spec, which is its description from now on. */
int state_port_change(struct state *s, const char *name, const char *spec, struct vmtap_error *err);
/** state_port_del() - Take it out of what it is joined to and close it. */
int state_port_del(struct state *s, const char *name, struct vmtap_error *err);
int state_set_link(struct state *s, const char *name, bool up, struct vmtap_error *err);

/** state_connect() - Join two ports, or a port and a switch. */
int state_connect(struct state *s, const char *a, const char *b, struct vmtap_error *err);
/** state_disconnect() - Take the port out of what it is joined to. */
int state_disconnect(struct state *s, const char *port, struct vmtap_error *err);

/* Switches ------------------------------------------------------------------- */

/** state_switch() - NULL: there is none. Borrowed. */
struct vmtap_switch *state_switch(struct state *s, const char *name);
/** state_switch_find() - The same, or NULL and an error about @action. */
struct vmtap_switch *state_switch_find(struct state *s, const char *name, const char *action,
				       struct vmtap_error *err);
/** state_switch_spec() - The description that it was made with; NULL: there is no such switch. */
const char *state_switch_spec(struct state *s, const char *name);
/** state_each_switch() - In the order in which they were made. @row may not add or delete any. */
void state_each_switch(struct state *s, void (*row)(void *opaque, struct vmtap_switch *sw),
		       void *opaque);

/** state_switch_new() - Make one. Return: borrowed; NULL and @err. */
struct vmtap_switch *state_switch_new(struct state *s, const char *spec, struct vmtap_error *err);
/** state_switch_add() - The same. Return: 0 or -errno. */
int state_switch_add(struct state *s, const char *spec, struct vmtap_error *err);
/** state_switch_del() - Part its ports, which stay, and free it. */
int state_switch_del(struct state *s, const char *name, struct vmtap_error *err);

/* Events --------------------------------------------------------------------- */

/** state_observe() - Tell @o, borrowed until state_ignore(), of every event. */
void state_observe(struct state *s, struct state_observer *o);
void state_ignore(struct state *s, struct state_observer *o);

/** ctl_event_new() - As it goes over the wire. @data: taken; an object, or NULL: none. Return: owned; NULL: out of
 *  memory. */
json_t *ctl_event_new(const char *name, json_t *data);

/** ctl_event() - Tell everybody. @data: taken; an object, or NULL: none. */
void ctl_event(struct state *s, const char *name, json_t *data);

#endif
