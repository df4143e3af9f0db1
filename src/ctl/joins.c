/* SPDX-License-Identifier: MIT */
/* What the control socket joined, over a reload of the configuration file. */
#include "ctl/joins.h"

#include <stdlib.h>
#include <string.h>

/** struct noted - A port, and the port or switch that it was joined to */
struct noted {
	struct noted *next;
	char *port, *to;
	bool to_switch;
};

/** struct joins - @failed: out of memory */
struct joins {
	struct state *state;
	const struct conffile *file; /* while it is noted */
	struct noted *first;
	bool failed;
};

static void note(void *opaque, struct vmtap_port *port)
{
	struct joins *joins = opaque;
	const char *name = vmtap_port_name(port), *to = state_port_peer(joins->state, name);
	bool to_switch = to && state_switch(joins->state, to);
	struct noted *n;

	if (!to || conffile_joins(joins->file, name, to))
		return;
	if (!to_switch && strcmp(name, to) > 0) /* both ends are rows */
		return;
	n = calloc(1, sizeof(*n));
	if (!n) {
		joins->failed = true;
		return;
	}
	*n = (struct noted) { joins->first, strdup(name), strdup(to), to_switch };
	joins->first = n;
	if (!n->port || !n->to)
		joins->failed = true;
}

struct joins *joins_note(struct state *s, const struct conffile *f)
{
	struct joins *joins = calloc(1, sizeof(*joins));

	if (!joins)
		return NULL;
	joins->state = s;
	joins->file = f;
	state_each_port(s, note, joins);
	joins->file = NULL;
	if (!joins->failed)
		return joins;
	joins_free(joins);
	return NULL;
}

static bool is_there(struct state *s, const struct noted *n)
{
	return n->to_switch ? state_switch(s, n->to) != NULL : state_port(s, n->to) != NULL;
}

static void say_alone(struct state *s, const char *port, const char *gone)
{
	state_log(s, VMTAP_LOG_WARNING, port, "it is joined to nothing now: %.60s is gone", gone);
}

static void restore(struct state *s, const struct noted *n)
{
	const char *peer = state_port_peer(s, n->port);
	struct vmtap_error err = { 0 };

	if (peer && strcmp(peer, n->to) == 0)
		return;
	if (!state_port(s, n->port)) {
		if (!n->to_switch && is_there(s, n))
			say_alone(s, n->to, n->port);
	} else if (!is_there(s, n)) {
		say_alone(s, n->port, n->to);
	} else if (state_connect(s, n->port, n->to, &err) < 0) {
		state_log(s, VMTAP_LOG_ERROR, n->port, "cannot join it to %.60s again: %s", n->to,
			  err.reason);
	}
}

void joins_restore(const struct joins *joins)
{
	for (const struct noted *n = joins->first; n; n = n->next)
		restore(joins->state, n);
}

void joins_free(struct joins *joins)
{
	struct noted *n = joins ? joins->first : NULL;

	while (n) {
		struct noted *next = n->next;

		free(n->port);
		free(n->to);
		free(n);
		n = next;
	}
	free(joins);
}
