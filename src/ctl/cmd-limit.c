/* SPDX-License-Identifier: MIT */
/* Commands about limits and filters of ports. */
#include "ctl/command.h"

#define RATE_MAX 1000000000000
#define BURST_MAX (1ll << 32)

static struct vmtap_port *find(struct call *c, json_t *args, const char *action,
			       struct vmtap_error *err)
{
	return state_port_find(c->state, arg_str(args, "id", ""), action, err);
}

/* ------------------------------------------------------------------ limits */

/* What is not given stays as it is; a burst goes with its rate. */
static int set_one(struct vmtap_port *port, enum vmtap_direction way, const json_t *args,
		   struct vmtap_error *err)
{
	struct vmtap_limit v;

	vmtap_port_limit(port, way, &v, sizeof(v));
	v.size = sizeof(v);
	v.pps = (uint64_t)arg_int(args, "pps", (int64_t)v.pps);
	v.rate_bps = (uint64_t)arg_int(args, "rate", (int64_t)v.rate_bps);
	if (json_object_get(args, "rate") || json_object_get(args, "burst"))
		v.burst = (uint64_t)arg_int(args, "burst", 0);
	return vmtap_port_set_limit(port, way, &v, err);
}

static json_t *throttle_set(struct call *c, json_t *args, struct vmtap_error *err)
{
	const char *way = arg_str(args, "direction", "both");
	struct vmtap_port *port = find(c, args, "limit its frames", err);
	struct vmtap_limit before;
	int ret = 0;

	if (!port)
		return NULL;
	vmtap_port_limit(port, VMTAP_RX, &before, sizeof(before));
	if (way[0] != 't')
		ret = set_one(port, VMTAP_RX, args, err);
	if (ret == 0 && way[0] != 'r') {
		ret = set_one(port, VMTAP_TX, args, err);
		if (ret < 0 && way[0] != 't')
			vmtap_port_set_limit(port, VMTAP_RX, &before, NULL);
	}
	return done(ret);
}

static json_t *limit_json(const struct vmtap_port *port, enum vmtap_direction way)
{
	struct vmtap_limit v;

	vmtap_port_limit(port, way, &v, sizeof(v));
	return json_pack("{sI,sI,sI}", "rate", (json_int_t)v.rate_bps, "burst", (json_int_t)v.burst,
			 "pps", (json_int_t)v.pps);
}

static void throttle_row(void *list, struct vmtap_port *port)
{
	json_array_append_new(list, json_pack("{ss,so,so}", "id", vmtap_port_name(port), "rx",
					      limit_json(port, VMTAP_RX), "tx",
					      limit_json(port, VMTAP_TX)));
}

/* ----------------------------------------------------------------- filters */

/* Of a list that is not given, what is in force. A copy is not needed: the library makes its own first. */
static json_t *filter_set(struct call *c, json_t *args, struct vmtap_error *err)
{
	struct vmtap_port *port = find(c, args, "filter its frames", err);

	if (!port)
		return NULL;
	return done(vmtap_port_set_filter(port, arg_str(args, "mac", vmtap_port_mac_filter(port)),
					  arg_str(args, "ip", vmtap_port_ip_filter(port)), err));
}

static void filter_row(void *list, struct vmtap_port *port)
{
	const char *macs = vmtap_port_mac_filter(port), *ips = vmtap_port_ip_filter(port);

	json_array_append_new(list, json_pack("{ss,ss,ss}", "id", vmtap_port_name(port), "mac",
					      macs ? macs : "", "ip", ips ? ips : ""));
}

/* ------------------------------------------------------------------ looking */

/* A row a port, or the one of "id". */
static json_t *query(struct call *c, json_t *args,
		     void (*row)(void *opaque, struct vmtap_port *port), struct vmtap_error *err)
{
	struct vmtap_port *port = NULL;
	json_t *list;

	if (arg_str(args, "id", NULL)) {
		port = find(c, args, "look at it", err);
		if (!port)
			return NULL;
	}
	list = json_array();
	if (list && port)
		row(list, port);
	else if (list)
		state_each_port(c->state, row, list);
	return list;
}

static json_t *query_throttle(struct call *c, json_t *args, struct vmtap_error *err)
{
	return query(c, args, throttle_row, err);
}

static json_t *query_filter(struct call *c, json_t *args, struct vmtap_error *err)
{
	return query(c, args, filter_row, err);
}

static const struct command_arg throttle_args[] = {
	{ "id", ARG_STRING, true, .help = "the port" },
	{ "direction", ARG_STRING, .choices = "both|rx|tx",
	  .help = "rx: what enters by the port; tx: what leaves by it; both, each by itself: the "
		  "default" },
	{ "rate", ARG_INT, .min = 0, .max = RATE_MAX, .factor = 1000,
	  .help = "bits a second; 0: no limit" },
	{ "burst", ARG_INT, .min = 0, .max = BURST_MAX, .factor = 1024,
	  .help = "bytes that may pass at once when nothing did for a while; 0, and without it "
		  "when there is a rate: what 50 ms of the rate bring" },
	{ "pps", ARG_INT, .min = 0, .max = RATE_MAX, .factor = 1000,
	  .help = "frames a second; 0: no limit" },
	{ 0 },
};

static const struct command_arg filter_args[] = {
	{ "id", ARG_STRING, true, .help = "the port" },
	{ "mac", ARG_STRING, .help = "MAC addresses joined by '+'; \"\": any" },
	{ "ip", ARG_STRING,
	  .help = "IPv4 and IPv6 addresses or networks joined by '+'; \"\": any" },
	{ 0 },
};

static const struct command_arg query_args[] = {
	{ "id", ARG_STRING, .help = "this port only" },
	{ 0 },
};

const struct command limit_commands[] = {
	{
		.name = "throttle_set",
		.role = ROLE_ADMIN,
		.summary = "Limit what passes a port; what is not said stays as it is",
		.args = throttle_args,
		.run = throttle_set,
	},
	{
		.name = "filter_set",
		.role = ROLE_ADMIN,
		.summary =
			"Say whose frames may enter by a port; a list that is not said stays as it is",
		.args = filter_args,
		.run = filter_set,
	},
	{
		.name = "query-throttle",
		.role = ROLE_READ,
		.summary = "The limits of the ports",
		.returns =
			"a list: id; rx and tx, each with rate (bits a second), burst (bytes) and "
			"pps (frames a second), 0 where there is no limit",
		.args = query_args,
		.run = query_throttle,
	},
	{
		.name = "query-filter",
		.role = ROLE_READ,
		.summary = "Whose frames may enter by the ports",
		.returns = "a list: id; mac and ip, as they were set, \"\": any",
		.args = query_args,
		.run = query_filter,
	},
	{ 0 },
};
