/* SPDX-License-Identifier: MIT */
/* Commands about what queue pairs count. */
#include "ctl/command.h"
#include "ctl/metrics.h"

static json_t *number(uint64_t n)
{
	return json_integer((json_int_t)n);
}

static json_t *drops_json(const struct vmtap_counters *c)
{
	json_t *drops = json_object();

	for (unsigned i = 0; i < VMTAP_DROP_CNT; i++)
		if (c->drops[i])
			json_object_set_new(drops, vmtap_drop_name(i), number(c->drops[i]));
	return drops;
}

/* One way of a queue pair; what only rings have is left out where there is none. */
static json_t *way_json(const struct vmtap_counters *c, uint64_t bursts, uint64_t holds,
			uint64_t held_ns, bool held)
{
	return json_pack("{so,so,so,so,so,so,so,sb}", "frames", number(c->frames), "bytes",
			 number(c->bytes), "gso_frames", number(c->gso_frames), "drops",
			 drops_json(c), "bursts", number(bursts), "holds", number(holds), "held_ns",
			 number(held_ns), "held", held);
}

static json_t *ring_json(uint32_t size, uint32_t avail, bool started, bool enabled, uint64_t kicks,
			 uint64_t calls)
{
	return json_pack("{sI,sI,sb,sb,so,so}", "size", (json_int_t)size, "available",
			 (json_int_t)avail, "started", started, "enabled", enabled, "kicks",
			 number(kicks), "calls", number(calls));
}

static void add_rings(json_t *rx, json_t *tx, const struct vmtap_queue_stats *s)
{
	const uint32_t f = s->flags;

	json_object_set_new(rx, "ring",
			    ring_json(s->rx_ring, s->rx_avail, f & VMTAP_QUEUE_RX_STARTED,
				      f & VMTAP_QUEUE_RX_ENABLED, s->rx_kicks, s->rx_calls));
	json_object_set_new(tx, "ring",
			    ring_json(s->tx_ring, s->tx_avail, f & VMTAP_QUEUE_TX_STARTED,
				      f & VMTAP_QUEUE_TX_ENABLED, s->tx_kicks, s->tx_calls));
}

static json_t *pair_json(const struct vmtap_port *port, unsigned pair,
			 const struct vmtap_queue_stats *s)
{
	const uint32_t f = s->flags;
	json_t *rx =
		way_json(&s->rx, s->rx_bursts, s->rx_holds, s->rx_held_ns, f & VMTAP_QUEUE_RX_HELD);
	json_t *tx =
		way_json(&s->tx, s->tx_bursts, s->tx_holds, s->tx_held_ns, f & VMTAP_QUEUE_TX_HELD);

	if (f & VMTAP_QUEUE_HAS_RINGS)
		add_rings(rx, tx, s);
	return json_pack("{ss,sI,sb,sb,so,so,so}", "id", vmtap_port_name(port), "queue",
			 (json_int_t)pair, "used", !!(f & VMTAP_QUEUE_USED), "in_kernel",
			 !!(f & VMTAP_QUEUE_IN_KERNEL), "wakeups", number(s->wakeups), "rx", rx,
			 "tx", tx);
}

static void add_pairs(void *opaque, struct vmtap_port *port)
{
	struct vmtap_queue_stats s;

	for (unsigned i = 0; vmtap_port_queue_stats(port, i, &s, sizeof(s)) == 0; i++)
		json_array_append_new(opaque, pair_json(port, i, &s));
}

json_t *stats_rows(struct state *s)
{
	json_t *rows = json_array();

	if (rows)
		state_each_port(s, add_pairs, rows);
	return rows;
}

static json_t *query_queues(struct call *c, json_t *args, struct vmtap_error *err)
{
	const char *name = arg_str(args, "id", NULL);
	struct vmtap_port *port = name ? state_port_find(c->state, name, "look at it", err) : NULL;
	json_t *rows;

	if (name && !port)
		return NULL;
	if (!port)
		return stats_rows(c->state);
	rows = json_array();
	if (rows)
		add_pairs(rows, port);
	return rows;
}

static const struct command_arg query_args[] = {
	{ "id", ARG_STRING, .help = "this port only" },
	{ 0 },
};

const struct command stats_commands[] = {
	{
		.name = "query-queues",
		.role = ROLE_READ,
		.summary = "Counters of each queue pair since its port was opened",
		.returns =
			"an array of objects with id, queue, used, in_kernel (the kernel carries the "
			"frames, and they are not counted), wakeups, and rx and tx: frames, bytes, "
			"gso_frames, drops by cause, bursts, holds, held_ns, held (now), and for "
			"vhost-user ring: size, available (chains of descriptors, in a packed ring "
			"descriptors, that the guest has not got back), started, enabled, kicks, "
			"calls",
		.args = query_args,
		.run = query_queues,
	},
	{ 0 },
};
