/* SPDX-License-Identifier: MIT */
/* Commands about switches. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "ctl/command.h"

/* -------------------------------------------------------------------- changing */

static struct vmtap_switch *make(struct call *c, json_t *args, struct vmtap_error *err)
{
	const char *spec = arg_str(args, "spec", NULL);
	struct vmtap_switch *sw;
	char *text;

	if (spec && json_object_size(args) > 1) {
		error_set(err, EINVAL, "switch_add", "read its arguments",
			  "spec goes together with no other");
		error_remedy(err, "say all of it there, as in switch,id=lan, or id=lan alone");
		return NULL;
	}
	if (spec)
		return state_switch_new(c->state, spec, err);
	if (args_of_type(args, "switch", "switch_add", err) < 0)
		return NULL;
	text = json_dumps(args, JSON_COMPACT);
	sw = text ? state_switch_new(c->state, text, err) : NULL;
	free(text);
	return sw;
}

static json_t *switch_add(struct call *c, json_t *args, struct vmtap_error *err)
{
	struct vmtap_switch *sw = make(c, args, err);

	return sw ? json_pack("{ss}", "id", vmtap_switch_name(sw)) : NULL;
}

static json_t *switch_del(struct call *c, json_t *args, struct vmtap_error *err)
{
	return done(state_switch_del(c->state, arg_str(args, "id", ""), err));
}

static json_t *switch_flush(struct call *c, json_t *args, struct vmtap_error *err)
{
	struct vmtap_switch *sw =
		state_switch_find(c->state, arg_str(args, "id", ""), "forget its addresses", err);

	if (!sw)
		return NULL;
	vmtap_switch_flush(sw);
	return json_object();
}

/* -------------------------------------------------------------------- looking */

static void port_name(void *opaque, struct vmtap_port *port)
{
	json_array_append_new(opaque, json_string(vmtap_port_name(port)));
}

static json_t *snooping_row(const struct vmtap_switch_stats *s)
{
	return json_pack("{sI,sI,sI,sI,sI,sI,sI,sI,sI,sI}", "to-members", (json_int_t)s->to_members,
			 "to-routers", (json_int_t)s->to_routers, "reports",
			 (json_int_t)s->mcast_reports, "queries", (json_int_t)s->mcast_queries,
			 "wrong", (json_int_t)s->mcast_wrong, "unfit", (json_int_t)s->unfit,
			 "memberships", (json_int_t)s->memberships, "memberships-max",
			 (json_int_t)s->memberships_max, "routers", (json_int_t)s->routers,
			 "queriers", (json_int_t)s->queriers);
}

static void switch_row(void *opaque, struct vmtap_switch *sw)
{
	struct vmtap_switch_stats s;
	json_t *ports = json_array(), *row;

	vmtap_switch_stats(sw, &s, sizeof(s));
	vmtap_switch_each_port(sw, port_name, ports);
	row = json_pack("{ss,so,sI,sI,sI,sI,sI,sI,sI,sI,sI,sI,sb}", "id", vmtap_switch_name(sw),
			"ports", ports, "macs", (json_int_t)s.macs, "macs-max",
			(json_int_t)s.macs_max, "forwarded", (json_int_t)s.forwarded, "flooded",
			(json_int_t)s.flooded, "groups", (json_int_t)s.groups, "kept",
			(json_int_t)s.kept, "learned", (json_int_t)s.learned, "moves",
			(json_int_t)s.moves, "refused", (json_int_t)s.refused, "aged",
			(json_int_t)s.aged, "snooping", s.snooping);
	if (row && s.snooping)
		json_object_update_new(row, snooping_row(&s));
	json_array_append_new(opaque, row);
}

static json_t *query_switches(struct call *c, json_t *args, struct vmtap_error *err)
{
	json_t *list = json_array();

	if (list)
		state_each_switch(c->state, switch_row, list);
	return list;
}

static void mac_row(void *opaque, const struct vmtap_switch_mac *m)
{
	char text[18];

	snprintf(text, sizeof(text), "%02x:%02x:%02x:%02x:%02x:%02x", m->mac[0], m->mac[1],
		 m->mac[2], m->mac[3], m->mac[4], m->mac[5]);
	json_array_append_new(opaque,
			      json_pack("{ss,si,ss,sI}", "mac", text, "vlan", (int)m->vlan, "port",
					vmtap_port_name(m->port), "age-ms", (json_int_t)m->age_ms));
}

static json_t *query_macs(struct call *c, json_t *args, struct vmtap_error *err)
{
	struct vmtap_switch *sw =
		state_switch_find(c->state, arg_str(args, "id", ""), "list its addresses", err);
	json_t *list = sw ? json_array() : NULL;

	if (list)
		vmtap_switch_each_mac(sw, mac_row, list);
	return list;
}

static void group_row(void *opaque, const struct vmtap_switch_group *g)
{
	json_array_append_new(opaque, json_pack("{ss,si,ss,si}", "group", g->group, "vlan",
						(int)g->vlan, "port", vmtap_port_name(g->port),
						"left-ms", (int)g->left_ms));
}

static json_t *query_groups(struct call *c, json_t *args, struct vmtap_error *err)
{
	struct vmtap_switch *sw =
		state_switch_find(c->state, arg_str(args, "id", ""), "list its groups", err);
	json_t *list = sw ? json_array() : NULL;

	if (list)
		vmtap_switch_each_group(sw, group_row, list);
	return list;
}

static void router_row(void *opaque, const struct vmtap_switch_router *r)
{
	json_array_append_new(opaque,
			      json_pack("{ss,si,ss,si,ss?}", "port", vmtap_port_name(r->port),
					"vlan", (int)r->vlan, "family", r->is_ip6 ? "ipv6" : "ipv4",
					"left-ms", (int)r->left_ms, "querier", r->querier));
}

static json_t *query_routers(struct call *c, json_t *args, struct vmtap_error *err)
{
	struct vmtap_switch *sw =
		state_switch_find(c->state, arg_str(args, "id", ""), "list its routers", err);
	json_t *list = sw ? json_array() : NULL;

	if (list)
		vmtap_switch_each_router(sw, router_row, list);
	return list;
}

/* --------------------------------------------------------------------- tables */

static const struct command_arg add_args[] = {
	{ "spec", ARG_STRING,
	  .help = "the whole description as on the command line, \"switch,id=lan\", instead of all "
		  "others" },
	{ "id", ARG_STRING, .help = "the switch's name; without it, one is made up" },
	{ 0 },
};

static const struct command_arg id_args[] = {
	{ "id", ARG_STRING, true, .help = "the switch" },
	{ 0 },
};

const struct command switch_commands[] = {
	{
		.name = "switch_add",
		.role = ROLE_ADMIN,
		.summary = "Make a switch, to which connect joins ports",
		.returns = "id: the switch's name",
		.args = add_args,
		.others = "keys of a switch",
		.run = switch_add,
	},
	{
		.name = "switch_del",
		.role = ROLE_ADMIN,
		.summary = "Part the ports of a switch, which stay open, and remove it",
		.args = id_args,
		.run = switch_del,
	},
	{
		.name = "switch_flush",
		.role = ROLE_ADMIN,
		.summary = "Have a switch forget the addresses and groups that it learned",
		.args = id_args,
		.run = switch_flush,
	},
	{
		.name = "query-switches",
		.role = ROLE_READ,
		.summary = "The switches, their ports and counters",
		.returns =
			"an array of objects with id, ports (names), macs and macs-max (addresses "
			"known, and at most), and counts of frames: forwarded, flooded, groups, kept; "
			"of addresses: learned, moves, refused, aged; snooping, and with it counts of "
			"frames: to-members, to-routers, reports, queries, wrong (dropped); unfit "
			"(memberships without room), memberships and memberships-max (ports in groups), "
			"routers (ports), queriers",
		.run = query_switches,
	},
	{
		.name = "query-macs",
		.role = ROLE_READ,
		.summary = "The addresses that a switch knows",
		.returns = "an array of objects with mac, vlan (0: none), port, age-ms",
		.args = id_args,
		.run = query_macs,
	},
	{
		.name = "query-groups",
		.role = ROLE_READ,
		.summary = "The multicast groups that a switch with snooping knows",
		.returns =
			"an array of objects, one a member, with group, vlan (0: none), port, left-ms "
			"(until it is a member no more, unless it reports again)",
		.args = id_args,
		.run = query_groups,
	},
	{
		.name = "query-routers",
		.role = ROLE_READ,
		.summary =
			"The ports of a switch with snooping behind which there are multicast routers",
		.returns =
			"an array of objects with port, vlan (0: none), family (ipv4, ipv6), left-ms, "
			"querier (who asked last for memberships there, or null)",
		.args = id_args,
		.run = query_routers,
	},
	{ 0 },
};
