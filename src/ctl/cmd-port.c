/* SPDX-License-Identifier: MIT */
/* Commands about ports and what they are joined to. */
#include <errno.h>
#include <stdlib.h>

#include "ctl/command.h"

static const char *const state_names[] = {
	[VMTAP_PORT_WAITING] = "waiting",
	[VMTAP_PORT_UP] = "up",
	[VMTAP_PORT_BROKEN] = "broken",
	[VMTAP_PORT_CLOSED] = "closed",
};

/* ------------------------------------------------------------------- adding */

/* The description as it was written, or the arguments, which are one in JSON. */
static struct vmtap_port *open_port(struct call *c, json_t *args, struct vmtap_error *err)
{
	const char *spec = arg_str(args, "spec", NULL);
	struct vmtap_port *port;
	char *text;

	if (spec && json_object_size(args) > 1) {
		error_set(err, EINVAL, "port_add", "read its arguments",
			  "spec goes together with no other");
		error_remedy(err, "say all of it there, as in null,id=n, or type=null id=n");
		return NULL;
	}
	if (spec)
		return state_port_open(c->state, spec, err);
	text = json_dumps(args, JSON_COMPACT);
	if (!text)
		return NULL;
	port = state_port_open(c->state, text, err);
	free(text);
	return port;
}

static json_t *port_add(struct call *c, json_t *args, struct vmtap_error *err)
{
	struct vmtap_port *port = open_port(c, args, err);

	return port ? json_pack("{ss}", "id", vmtap_port_name(port)) : NULL;
}

static json_t *netdev_add(struct call *c, json_t *args, struct vmtap_error *err)
{
	return open_port(c, args, err) ? json_object() : NULL;
}

static json_t *port_del(struct call *c, json_t *args, struct vmtap_error *err)
{
	return done(state_port_del(c->state, arg_str(args, "id", ""), err));
}

/* ------------------------------------------------------------------- joining */

static json_t *connect_ports(struct call *c, json_t *args, struct vmtap_error *err)
{
	return done(
		state_connect(c->state, arg_str(args, "id", ""), arg_str(args, "peer", ""), err));
}

static json_t *disconnect(struct call *c, json_t *args, struct vmtap_error *err)
{
	return done(state_disconnect(c->state, arg_str(args, "id", ""), err));
}

static json_t *set_link(struct call *c, json_t *args, struct vmtap_error *err)
{
	return done(state_set_link(c->state, arg_str(args, "name", ""), arg_bool(args, "up", true),
				   err));
}

/* struct announced - What came of announcing: @failed is the first failure */
struct announced {
	json_t *list;
	struct vmtap_error failed;
};

static void announce_port(void *opaque, struct vmtap_port *port)
{
	struct announced *a = opaque;
	struct vmtap_error err = { 0 };

	if (vmtap_port_announce(port, &err) == 0)
		json_array_append_new(a->list, json_string(vmtap_port_name(port)));
	else if (!a->failed.code)
		a->failed = err;
}

/* All ports that have a guest, as QEMU does; with "id", that one, or why not. */
static json_t *announce_self(struct call *c, json_t *args, struct vmtap_error *err)
{
	const char *name = arg_str(args, "id", NULL);
	struct announced a = { .list = json_array() };
	struct vmtap_port *port;

	if (!name) {
		state_each_port(c->state, announce_port, &a);
		return a.list;
	}
	port = state_port_find(c->state, name, "announce its guest", err);
	if (port)
		announce_port(&a, port);
	if (json_array_size(a.list))
		return a.list;
	if (port)
		*err = a.failed;
	json_decref(a.list);
	return NULL;
}

/* ------------------------------------------------------------------- looking */

/** struct rows - What a query gathers */
struct rows {
	struct state *state;
	json_t *list;
};

static void port_row(void *opaque, struct vmtap_port *port)
{
	struct rows *rows = opaque;
	const char *name = vmtap_port_name(port);
	const char *peer = state_port_peer(rows->state, name);
	const struct vmtap_error *why = vmtap_port_error(port);
	char text[1200];
	json_t *j;

	vmtap_port_describe(port, text, sizeof(text));
	j = json_pack("{ss,ss,ss,sb,so}", "id", name, "type", vmtap_port_type(port), "state",
		      state_names[vmtap_port_state(port)], "link",
		      state_port_link_up(rows->state, name), "description", text_json(text));
	if (j && peer)
		json_object_set_new(j, "peer", json_string(peer));
	if (j && vmtap_port_ifname(port))
		json_object_set_new(j, "ifname", text_json(vmtap_port_ifname(port)));
	if (j && why) {
		vmtap_error_format(why, text, sizeof(text));
		json_object_set_new(j, "reason", text_json(text));
	}
	json_array_append_new(rows->list, j);
}

/* A row a port, or the one of "id". */
static json_t *query(struct call *c, json_t *args,
		     void (*row)(void *opaque, struct vmtap_port *port), struct vmtap_error *err)
{
	struct rows rows = { .state = c->state };
	const char *name = arg_str(args, "id", NULL);
	struct vmtap_port *port = NULL;

	if (name) {
		port = state_port_find(c->state, name, "look at it", err);
		if (!port)
			return NULL;
	}
	rows.list = json_array();
	if (!rows.list)
		return NULL;
	if (port)
		row(&rows, port);
	else
		state_each_port(c->state, row, &rows);
	return rows.list;
}

static json_t *query_ports(struct call *c, json_t *args, struct vmtap_error *err)
{
	return query(c, args, port_row, err);
}

static json_t *counters(const struct vmtap_counters *n)
{
	json_t *drops = json_object();

	for (unsigned i = 0; i < VMTAP_DROP_CNT; i++)
		if (n->drops[i])
			json_object_set_new(drops, vmtap_drop_name(i),
					    json_integer((json_int_t)n->drops[i]));
	return json_pack("{sI,sI,sI,so}", "frames", (json_int_t)n->frames, "bytes",
			 (json_int_t)n->bytes, "gso_frames", (json_int_t)n->gso_frames, "drops",
			 drops);
}

static void stats_row(void *opaque, struct vmtap_port *port)
{
	struct rows *rows = opaque;
	struct vmtap_stats s;

	vmtap_port_stats(port, &s, sizeof(s));
	json_array_append_new(rows->list, json_pack("{ss,so,so,sI,sI}", "id", vmtap_port_name(port),
						    "rx", counters(&s.rx), "tx", counters(&s.tx),
						    "rx_holds", (json_int_t)s.rx_holds, "tx_holds",
						    (json_int_t)s.tx_holds));
}

static json_t *query_stats(struct call *c, json_t *args, struct vmtap_error *err)
{
	return query(c, args, stats_row, err);
}

/* -------------------------------------------------------------------- tables */

static const struct command_arg add_args[] = {
	{ "spec", ARG_STRING,
	  .help = "the whole description as on the command line, \"tap,ifname=vm0\", instead of "
		  "all others" },
	{ "type", ARG_STRING, .help = "the port type" },
	{ "id", ARG_STRING, .help = "the port's name; without it, one is made up" },
	{ 0 },
};

static const struct command_arg netdev_args[] = {
	{ "type", ARG_STRING, true, .help = "the port type" },
	{ "id", ARG_STRING, true, .help = "the port's name" },
	{ 0 },
};

static const struct command_arg id_args[] = {
	{ "id", ARG_STRING, true, .help = "the port" },
	{ 0 },
};

static const struct command_arg connect_args[] = {
	{ "id", ARG_STRING, true, .help = "the port" },
	{ "peer", ARG_STRING, true, .help = "another port, or a switch" },
	{ 0 },
};

static const struct command_arg link_args[] = {
	{ "name", ARG_STRING, true, .help = "the port" },
	{ "up", ARG_BOOL, true, .help = "whether its link is to be up" },
	{ 0 },
};

static const struct command_arg query_args[] = {
	{ "id", ARG_STRING, .help = "this port only" },
	{ 0 },
};

static const struct command_arg announce_args[] = {
	{ "id", ARG_STRING, .help = "the port; all, when there is none" },
	{ 0 },
};

const struct command port_commands[] = {
	{
		.name = "port_add",
		.role = ROLE_ADMIN,
		.summary = "Open a port",
		.returns = "id: the port's name",
		.args = add_args,
		.others = "keys of the port type",
		.run = port_add,
	},
	{
		.name = "port_del",
		.role = ROLE_ADMIN,
		.summary = "Disconnect and close a port",
		.args = id_args,
		.run = port_del,
	},
	{
		.name = "netdev_add",
		.role = ROLE_ADMIN,
		.summary = "Open a port, as QEMU spells it",
		.args = netdev_args,
		.others = "keys of the port type",
		.run = netdev_add,
	},
	{
		.name = "netdev_del",
		.role = ROLE_ADMIN,
		.summary = "Disconnect and close a port, as QEMU spells it",
		.args = id_args,
		.run = port_del,
	},
	{
		.name = "connect",
		.role = ROLE_ADMIN,
		.summary = "Join a port to another, or to a switch",
		.args = connect_args,
		.run = connect_ports,
	},
	{
		.name = "disconnect",
		.role = ROLE_ADMIN,
		.summary = "Take a port out of what it is joined to",
		.args = id_args,
		.run = disconnect,
	},
	{
		.name = "set_link",
		.role = ROLE_ADMIN,
		.summary = "Set a port's link up or down",
		.args = link_args,
		.run = set_link,
	},
	{
		.name = "announce-self",
		.role = ROLE_ADMIN,
		.summary = "Have the network learn where the guests of vhost-user ports are",
		.returns = "an array of the ports whose guests were announced",
		.args = announce_args,
		.run = announce_self,
	},
	{
		.name = "query-ports",
		.role = ROLE_READ,
		.summary = "The ports, in the order of their opening",
		.returns = "an array of objects with id, type, state (waiting, up, broken), link, "
			   "description, and where there is one: peer, ifname, reason",
		.args = query_args,
		.run = query_ports,
	},
	{
		.name = "query-stats",
		.role = ROLE_READ,
		.summary = "Counters of the ports since they were opened",
		.returns = "an array of objects with id, rx and tx (frames, bytes, gso_frames, "
			   "drops by cause), rx_holds, tx_holds",
		.args = query_args,
		.run = query_stats,
	},
	{ 0 },
};
