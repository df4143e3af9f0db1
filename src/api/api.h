/* SPDX-License-Identifier: MIT */
/*
 * The insides of the public handles.
 *
 * Closing from callbacks
 *   Every callback into the application passes through call_begin() and
 *   call_end(). While one is on the stack, code of a port may be, too, so a
 *   port that is closed there only leaves its link at once; the rest is done
 *   by the reaper, a task of the loop.
 */
#ifndef API_API_H
#define API_API_H

#include "base/error.h"
#include "base/log.h"
#include "loop/loop.h"
#include "net/keeper.h"
#include "net/link.h"
#include "net/port-type.h"
#include "net/port.h"
#include "net/switch.h"
#include "vmtap/vmtap.h"

struct conf;
struct limit;
struct spoof;

struct named_fd {
	struct named_fd *next;
	int fd;
	char name[];
};

struct vmtap {
	struct loop *loop;
	struct log log;
	struct port_env env;
	struct vmtap_config config;
	struct vmtap_keeper keeper;	/* the application's */
	struct port_keeper port_keeper; /* in front of it */
	struct vmtap_port *ports;	/* newest first */
	struct vmtap_link *links;
	struct vmtap_switch *switches;
	struct named_fd *fds;
	struct vmtap_watch *watches;
	struct vmtap_capture *captures; /* newest first */
	struct vmtap_ping *pings;	/* the same */
	struct loop_task reap;
	unsigned depth;	 /* callbacks of the application on the stack */
	unsigned serial; /* for names that are made up */
};

/**
 * struct vmtap_port - A handle
 * @refs:    the application's references; @port lives on until they are gone
 * @closing: closed from a callback; the reaper does the rest
 * @type:    of its description; NULL: an application port
 * @limit, @spoof: NULL until the first is set
 * @place:   in a switch
 */
struct vmtap_port {
	struct vmtap *v;
	struct vmtap_port *next;
	struct port *port;
	unsigned refs;
	bool closing;
	const struct port_type *type;
	struct switch_place place;
	const struct vmtap_app_ops *app_ops; /* @app; NULL: not an application port */
	struct vmtap_app_ops app; /* a copy; what an older caller does not know is zero */
	void *app_opaque;
	struct limit *limit;
	struct spoof *spoof;
};

struct vmtap_link {
	struct vmtap *v;
	struct vmtap_link *next;
	struct link *link;
};

struct vmtap_switch {
	struct vmtap *v;
	struct vmtap_switch *next;
	struct net_switch *sw;
};

static inline void call_begin(struct vmtap *v)
{
	v->depth++;
}

static inline void call_end(struct vmtap *v)
{
	v->depth--;
}

/** reap() - Close and free what waits for it; from the loop, or when no callback is on the stack. */
void reap(struct vmtap *v);
/** reap_soon() - Now, or from the loop when a callback is on the stack. */
void reap_soon(struct vmtap *v);

/** port_find(), switch_find() - The one of that name; NULL: none. */
struct vmtap_port *port_find(const struct vmtap *v, const char *name);
struct vmtap_switch *switch_find(const struct vmtap *v, const char *name);

/** switch_place_read() - What isolated=, vlan= and trunk= say. Return: 0, or -EINVAL and @err. */
int switch_place_read(const struct conf *c, struct switch_place *place, struct vmtap_error *err);
/** switch_place_refuse() - A link has no place for what they say. Return: 0, or -EINVAL and @err. */
int switch_place_refuse(const struct switch_place *place, const char *port,
			struct vmtap_error *err);

/**
 * choose_id() - What a capture, say, is called
 * @kind:  what it is: "capture"
 * @wanted: NULL: one is made up, @kind#N; borrowed
 * @taken: has another of its kind that name?
 * @id:    @size bytes for the name
 * Return: 0, or -EEXIST, -ENAMETOOLONG and @err.
 */
int choose_id(struct vmtap *v, const char *kind, const char *wanted,
	      bool (*taken)(const struct vmtap *v, const char *id), char *id, size_t size,
	      struct vmtap_error *err);

/** captures_reap() - Free those that the application let go of. */
void captures_reap(struct vmtap *v);
/** captures_leave() - @h is about to close: its captures end. */
void captures_leave(struct vmtap_port *h);
/** captures_free() - End and free all. */
void captures_free(struct vmtap *v);

/* The same of pings. */
void pings_reap(struct vmtap *v);
void pings_leave(struct vmtap_port *h);
void pings_free(struct vmtap *v);

/** port_type_find() - NULL and @err when there is no such type. */
const struct port_type *port_type_find(const char *name, struct vmtap_error *err);

/** handle_new() - Takes @port, which may be NULL until the caller has it. NULL: out of memory;
 *  @port is freed. */
struct vmtap_port *handle_new(struct vmtap *v, struct port *port, struct vmtap_error *err);

/** handle_of() - The handle of a port; NULL: it is being opened. */
static inline struct vmtap_port *handle_of(const struct port *p)
{
	return p->handle;
}

/** filter_check() - Are the limits and the filter of a description possible? */
int filter_check(const struct conf *conf, struct vmtap_error *err);
/** filter_apply() - Have those of a description that filter_check() passed, and no others. */
int filter_apply(struct vmtap_port *h, const struct conf *conf, struct vmtap_error *err);
/** filter_free() - Of a port that is closed. */
void filter_free(struct vmtap_port *h);

#endif
