/* SPDX-License-Identifier: MIT */
/* Reading what the lanes count, while they go on. */
#include "base/clock.h"
#include "base/counter.h"
#include "net/port.h"

void hold_begin(struct port_hold *h)
{
	if (!counter_get(&h->since))
		counter_set(&h->since, clock_ns());
}

/* Who reads in between sees the time less what this hold was, once, and never more than it was. */
void hold_end(struct port_hold *h)
{
	const uint64_t since = counter_get(&h->since);

	if (!since)
		return;
	counter_set(&h->since, 0);
	counter_add(&h->total_ns, clock_ns() - since);
}

/* Until now, also of one that lasts. It may end between the two looks, so that it is left out. */
static uint64_t hold_ns(const struct port_hold *h, uint64_t now)
{
	const uint64_t total = counter_get(&h->total_ns), since = counter_get(&h->since);

	return total + (since && since < now ? now - since : 0);
}

static void add(struct vmtap_counters *sum, const struct vmtap_counters *c)
{
	sum->frames += counter_get(&c->frames);
	sum->bytes += counter_get(&c->bytes);
	sum->gso_frames += counter_get(&c->gso_frames);
	for (unsigned i = 0; i < VMTAP_DROP_CNT; i++)
		sum->drops[i] += counter_get(&c->drops[i]);
}

static uint64_t kernel_drops(struct port *p)
{
	return p->ops->kernel_drops ? p->ops->kernel_drops(p) : 0;
}

void port_stats(struct port *p, struct vmtap_stats *stats)
{
	*stats = (struct vmtap_stats) { 0 };
	for (unsigned i = 0; i < p->pair_cnt; i++) {
		const struct vmtap_stats *s = &p->lanes[i].stats;

		add(&stats->rx, &s->rx);
		add(&stats->tx, &s->tx);
		stats->rx_holds += counter_get(&s->rx_holds);
		stats->tx_holds += counter_get(&s->tx_holds);
	}
	stats->rx.drops[VMTAP_DROP_KERNEL] = kernel_drops(p);
}

void port_queue_stats(struct port *p, unsigned pair, struct vmtap_queue_stats *stats)
{
	const struct port_lane *l = &p->lanes[pair];
	const uint64_t now = clock_ns();

	*stats = (struct vmtap_queue_stats) {
		.rx_bursts = counter_get(&l->rx_bursts),
		.tx_bursts = counter_get(&l->tx_bursts),
		.rx_holds = counter_get(&l->stats.rx_holds),
		.tx_holds = counter_get(&l->stats.tx_holds),
		.rx_held_ns = hold_ns(&l->rx_hold, now),
		.tx_held_ns = hold_ns(&l->tx_hold, now),
		.flags = (l->used ? VMTAP_QUEUE_USED : 0u) |
			 (counter_get(&l->rx_hold.since) ? VMTAP_QUEUE_RX_HELD : 0u) |
			 (counter_get(&l->tx_hold.since) ? VMTAP_QUEUE_TX_HELD : 0u),
	};
	add(&stats->rx, &l->stats.rx);
	add(&stats->tx, &l->stats.tx);
	if (pair == 0)
		stats->rx.drops[VMTAP_DROP_KERNEL] = kernel_drops(p);
	if (p->ops->queue_stats && !p->closed)
		p->ops->queue_stats(p, pair, stats);
}
