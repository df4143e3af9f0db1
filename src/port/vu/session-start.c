/* SPDX-License-Identifier: MIT */
/*
 * Starting rings when they have all they need, pausing and resuming them when
 * memory changes.
 *
 * Model
 *   Messages come in any order. A ring starts with the message that brings the last
 *   of: features, memory, size, addresses, base, kick.
 */
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

#include "port/vu/session-int.h"

/* A packed ring's base: index in 15 bits and wrap counter, of what is available; above, of what is used. */
#define PACKED_WRAP 0x8000u
#define PACKED_USED_SHIFT 16

bool vu_rings_run(const struct vu_session *s)
{
	for (unsigned i = 0; i < s->dev->queue_cnt; i++)
		if (vring_is_started(s->dev->queues[i].ring))
			return true;
	return false;
}

static bool is_ready(const struct vu_session *s, unsigned index)
{
	const struct vu_queue *q = &s->dev->queues[index];

	return s->has_features && mem_cnt(s->dev->mem) > 0 && q->cfg.size > 0 && q->has_addr &&
	       s->queues[index].has_base && q->has_kick && !vring_is_started(q->ring);
}

/*
 * DPDK's virtio-user tells the available half of a packed ring's base only. For a
 * used half that was told, this value means that as many chains are in
 * flight as the ring has descriptors, and virtqueues of network devices are never handed over so.
 */
static uint32_t complete_base(uint32_t base)
{
	if (base & PACKED_WRAP && !(base >> PACKED_USED_SHIFT))
		base |= base << PACKED_USED_SHIFT;
	return base;
}

/* The used ring of a packed one is its descriptor ring; the front end's log address is not for that. */
int vu_ring_log_at(struct vu_session *s, unsigned index, uint64_t *gpa)
{
	const struct vring_config *cfg = &s->dev->queues[index].cfg;

	if (vu_dev_has(s->dev, VIRTIO_F_RING_PACKED))
		return mem_uva_to_gpa(s->dev->mem, cfg->desc, gpa);
	*gpa = cfg->used_gpa;
	return 0;
}

static struct vring_config complete_config(struct vu_session *s, unsigned index)
{
	struct vring_config cfg = s->dev->queues[index].cfg;

	cfg.packed = vu_dev_has(s->dev, VIRTIO_F_RING_PACKED);
	cfg.event_idx = vu_dev_has(s->dev, VIRTIO_RING_F_EVENT_IDX);
	cfg.indirect = vu_dev_has(s->dev, VIRTIO_RING_F_INDIRECT_DESC);
	cfg.inflight = s->dev->inflight ? inflight_of(s->dev->inflight, index) : NULL;
	if (cfg.packed)
		cfg.base = complete_base(cfg.base);
	/* Where it is not found vring_start() says so. */
	vu_ring_log_at(s, index, &cfg.used_gpa);
	return cfg;
}

int vu_ring_start(struct vu_session *s, unsigned index)
{
	struct vu_queue *q = &s->dev->queues[index];
	struct vmtap_error inner = { 0 };
	struct vring_config cfg;

	if (!is_ready(s, index))
		return 0;
	cfg = complete_config(s, index);
	if (vring_start(q->ring, s->dev->mem, &cfg, s->dev->object, &inner) < 0)
		return vu_refuse_for(s, &inner);
	vring_set_fds(q->ring, q->call, q->err);
	s->dev->ops->started(s->dev, index);
	return 0;
}

int vu_rings_start(struct vu_session *s)
{
	for (unsigned i = 0; i < s->dev->queue_cnt; i++) {
		int ret = vu_ring_start(s, i);

		/* Nowhere in memory: more of that may come. */
		if (ret < 0 && ret != -EFAULT)
			return ret;
	}
	return 0;
}

void vu_rings_pause(struct vu_session *s)
{
	for (unsigned i = 0; i < s->dev->queue_cnt; i++)
		if (vring_is_started(s->dev->queues[i].ring))
			s->dev->ops->stopping(s->dev, i);
}

static void resume(struct vu_session *s, unsigned index)
{
	struct vu_queue *q = &s->dev->queues[index];

	if (!vring_is_started(q->ring))
		return;
	if (vring_remap(q->ring) == 0) {
		s->dev->ops->remapped(s->dev, index);
		return;
	}
	/* The port gave up what it held when the ring paused. */
	q->cfg.base = vring_stop(q->ring);
	q->cfg.inflight = NULL;
}

int vu_rings_resume(struct vu_session *s)
{
	for (unsigned i = 0; i < s->dev->queue_cnt; i++)
		resume(s, i);
	return vu_rings_start(s);
}

void vu_rings_enable(struct vu_session *s)
{
	const bool by_message =
		!s->has_features || vu_dev_has(s->dev, VHOST_USER_F_PROTOCOL_FEATURES);

	for (unsigned i = 0; i < s->dev->queue_cnt; i++)
		vu_dev_set_enabled(s->dev, i, !by_message || s->queues[i].enable);
}
