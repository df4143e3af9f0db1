/* SPDX-License-Identifier: MIT */
/* The `vhost-user` port: what is counted of a queue pair, and how its rings are. */
#include "base/counter.h"
#include "port/vu/vu-int.h"

static uint32_t ring_size(const struct vu *v, unsigned index)
{
	return v->io[index].runs ? v->dev.queues[index].cfg.size : 0;
}

static uint32_t ring_flags(const struct vu *v, unsigned index, uint32_t started, uint32_t enabled)
{
	return (v->io[index].runs ? started : 0u) | (v->dev.queues[index].enabled ? enabled : 0u) |
	       (v->io[index].lent ? VMTAP_QUEUE_IN_KERNEL : 0u);
}

void vu_queue_stats(const struct port *p, unsigned pair, struct vmtap_queue_stats *stats)
{
	const struct vu *v = vu_of_port(p);
	const unsigned to = 2 * pair, from = 2 * pair + 1; /* the guest, and from it */

	stats->rx_kicks = counter_get(&v->io[from].kicks);
	stats->tx_kicks = counter_get(&v->io[to].kicks);
	stats->wakeups = stats->rx_kicks + stats->tx_kicks;
	stats->rx_calls = vring_calls(v->dev.queues[from].ring);
	stats->tx_calls = vring_calls(v->dev.queues[to].ring);
	stats->rx_ring = ring_size(v, from);
	stats->tx_ring = ring_size(v, to);
	stats->rx_avail = vring_available(v->dev.queues[from].ring);
	stats->tx_avail = vring_available(v->dev.queues[to].ring);
	stats->flags |= VMTAP_QUEUE_HAS_RINGS |
			ring_flags(v, from, VMTAP_QUEUE_RX_STARTED, VMTAP_QUEUE_RX_ENABLED) |
			ring_flags(v, to, VMTAP_QUEUE_TX_STARTED, VMTAP_QUEUE_TX_ENABLED);
}
