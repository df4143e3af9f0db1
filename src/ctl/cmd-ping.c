/* SPDX-License-Identifier: MIT */
/*
 * Commands about pings.
 *
 * A ping belongs to the connection that asked for it: events about it go there and nowhere else, since there may
 * be many, and when the connection ends, so does the ping.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/container.h"
#include "base/error.h"
#include "ctl/command.h"

/** struct session - A ping that has not ended */
struct session {
	struct lease lease;
	struct vmtap_ping *ping;
};

static json_t *ping_data(const struct vmtap_ping *ping)
{
	const struct vmtap_error *why = vmtap_ping_error(ping);
	struct vmtap_ping_stats s;
	char line[1200];
	json_t *j;

	vmtap_ping_stats(ping, &s, sizeof(s));
	j = json_pack("{ss,ss,ss,sI,sI,sI,sI,sI,sI,sI,sI}", "id", vmtap_ping_id(ping), "port",
		      vmtap_ping_port(ping), "method", vmtap_ping_method(ping), "sent",
		      (json_int_t)s.sent, "answered", (json_int_t)s.answered, "lost",
		      (json_int_t)s.lost, "held", (json_int_t)s.held, "dropped",
		      (json_int_t)s.dropped, "duplicates", (json_int_t)s.duplicates, "others",
		      (json_int_t)s.others, "late", (json_int_t)s.late);
	if (j && why) {
		vmtap_error_format(why, line, sizeof(line));
		json_object_set_new(j, "reason", text_json(line));
		json_object_set_new(j, "errno", json_integer(why->code));
	}
	return j;
}

static json_t *probe_data(const struct vmtap_ping *ping, const struct vmtap_ping_probe *p)
{
	json_t *j = json_pack("{ss,ss,ss,sI,ss,sI,sI,sI}", "id", vmtap_ping_id(ping), "port",
			      vmtap_ping_port(ping), "method", vmtap_ping_method(ping), "seq",
			      (json_int_t)p->seq, "fate", vmtap_ping_fate_name(p->fate), "queue",
			      (json_int_t)p->queue, "wait_ns", (json_int_t)p->wait_ns,
			      "hand_over_ns", (json_int_t)p->hand_over_ns);
	char mac[18];

	if (j && p->fate == VMTAP_PING_DROPPED)
		json_object_set_new(j, "cause", json_string(vmtap_drop_name(p->cause)));
	if (!j || p->fate != VMTAP_PING_ANSWERED)
		return j;
	snprintf(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x", p->mac[0], p->mac[1], p->mac[2],
		 p->mac[3], p->mac[4], p->mac[5]);
	json_object_set_new(j, "outside_ns", json_integer((json_int_t)p->outside_ns));
	json_object_set_new(j, "busy_ns", json_integer((json_int_t)p->busy_ns));
	json_object_set_new(j, "mac", json_string(mac));
	json_object_set_new(j, "address", json_string(p->address));
	return j;
}

static void on_probed(void *opaque, struct vmtap_ping *ping, const struct vmtap_ping_probe *probe)
{
	struct session *s = opaque;

	lease_event(&s->lease, "PING_PROBE", probe_data(ping, probe));
}

static void on_ended(void *opaque, struct vmtap_ping *ping)
{
	struct session *s = opaque;

	lease_event(&s->lease, "PING_ENDED", ping_data(ping));
	lease_end(&s->lease);
	vmtap_ping_stop(ping);
	free(s);
}

static void on_gone(struct lease *l)
{
	struct session *s = container_of(l, struct session, lease);

	vmtap_ping_stop(s->ping);
	free(s);
}

/* ------------------------------------------------------------------- commands */

static json_t *ping_start(struct call *c, json_t *args, struct vmtap_error *err)
{
	struct vmtap_port *port = state_port_find(c->state, arg_str(args, "port", ""), "ping", err);
	struct session *s = port ? calloc(1, sizeof(*s)) : NULL;
	const struct vmtap_ping_config config = {
		.size = sizeof(config),
		.id = arg_str(args, "id", NULL),
		.address = arg_str(args, "address", NULL),
		.source = arg_str(args, "source", NULL),
		.vlan = (unsigned)arg_int(args, "vlan", 0),
		.count = (uint64_t)arg_int(args, "count", 0),
		.interval_ms = (unsigned)arg_int(args, "interval", 0),
		.timeout_ms = (unsigned)arg_int(args, "timeout", 0),
		.probed = on_probed,
		.ended = on_ended,
		.opaque = s,
	};

	if (!s)
		return NULL; /* no port, which was said, or no memory, which will be */
	s->ping = vmtap_ping_start(port, &config, err);
	if (!s->ping) {
		free(s);
		return NULL;
	}
	call_lease(c, &s->lease, on_gone);
	return json_pack("{ss,ss}", "id", vmtap_ping_id(s->ping), "method",
			 vmtap_ping_method(s->ping));
}

static json_t *ping_stop(struct call *c, json_t *args, struct vmtap_error *err)
{
	const char *id = arg_str(args, "id", "");
	const struct vmtap *v = state_instance(c->state);
	struct vmtap_ping *ping = NULL;

	while ((ping = vmtap_ping_next(v, ping))) {
		if (strcmp(vmtap_ping_id(ping), id) != 0)
			continue;
		vmtap_ping_end(ping);
		return json_object();
	}
	error_set(err, CTL_NO_DEVICE, "ping_stop", "end a ping", "there is no ping \"%.100s\"", id);
	error_remedy(err, "query-pings lists what there is");
	return NULL;
}

static json_t *query_pings(struct call *c, json_t *args, struct vmtap_error *err)
{
	const struct vmtap *v = state_instance(c->state);
	struct vmtap_ping *ping = NULL;
	json_t *list = json_array();

	while ((ping = vmtap_ping_next(v, ping)))
		json_array_append_new(list, ping_data(ping));
	return list;
}

/* --------------------------------------------------------------------- table */

static const struct command_arg start_args[] = {
	{ "port", ARG_STRING, true,
	  .help = "the port that probes leave by; it is joined to something" },
	{ "id", ARG_STRING, .help = "the ping's name; without it, one is made up" },
	{ "address", ARG_STRING,
	  .help = "whom to ask: IPv4 (ARP), IPv6 (neighbour solicitations), or a group of IPv6 (ICMPv6 echo); "
		  "default: ff02::1, or when nobody answers that an IPv4 address that is heard" },
	{ "source", ARG_STRING, .help = "an IPv4 address to ask with; default: 0.0.0.0" },
	{ "vlan", ARG_INT, .min = 1, .max = 4094,
	  .help = "the VLAN of the 802.1Q tag that probes and answers have; default: no tag" },
	{ "count", ARG_INT, .max = INT64_MAX, .help = "ends after so many probes; 0: does not" },
	{ "interval", ARG_INT, .min = 10, .max = 3600000,
	  .help = "milliseconds from probe to probe; default: 1000" },
	{ "timeout", ARG_INT, .min = 10, .max = 60000,
	  .help = "milliseconds that an answer may take; default: 1000" },
	{ 0 },
};

static const struct command_arg stop_args[] = {
	{ "id", ARG_STRING, true, .help = "the ping" },
	{ 0 },
};

const struct command ping_commands[] = {
	{
		.name = "ping_start",
		.role = ROLE_ADMIN,
		.summary =
			"Send probes out of a port and time the answers; ends with the connection",
		.returns = "id: the ping's name; method: what it asks, in words. PING_PROBE and "
			   "PING_ENDED follow",
		.args = start_args,
		.run = ping_start,
	},
	{
		.name = "ping_stop",
		.role = ROLE_ADMIN,
		.summary = "End a ping; PING_ENDED follows",
		.args = stop_args,
		.run = ping_stop,
	},
	{
		.name = "query-pings",
		.role = ROLE_READ,
		.summary = "The pings, the newest first",
		.returns = "an array of objects as the data of PING_ENDED",
		.run = query_pings,
	},
	{ 0 },
};
