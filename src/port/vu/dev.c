/* SPDX-License-Identifier: MIT */
/* The device that a vhost-user port serves: its beginning, its end, and back to the start. */
#include "port/vu/dev.h"

#include <errno.h>
#include <linux/virtio_net.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "port/vu/session-int.h"

int vu_dev_init(struct vu_dev *dev)
{
	dev->queue_cnt = 2 * dev->pairs + (dev->offered >> VIRTIO_NET_F_CTRL_VQ & 1);
	dev->slots_max = MEM_REGIONS_MAX;
	dev->mem = mem_new();
	dev->queues = calloc(dev->queue_cnt, sizeof(*dev->queues));
	if (!dev->mem || !dev->queues)
		return -ENOMEM;
	for (unsigned i = 0; i < dev->queue_cnt; i++)
		dev->queues[i].kick = dev->queues[i].call = dev->queues[i].err = -1;
	for (unsigned i = 0; i < dev->queue_cnt; i++) {
		dev->queues[i].ring = vring_new();
		if (!dev->queues[i].ring)
			return -ENOMEM;
	}
	return 0;
}

void vu_dev_fini(struct vu_dev *dev)
{
	if (dev->queues && dev->queues[dev->queue_cnt - 1].ring)
		vu_dev_reset(dev);
	for (unsigned i = 0; dev->queues && i < dev->queue_cnt; i++)
		vring_free(dev->queues[i].ring);
	free(dev->queues);
	dev->queues = NULL;
	mem_free(dev->mem);
	dev->mem = NULL;
}

void vu_dev_set_enabled(struct vu_dev *dev, unsigned index, bool on)
{
	struct vu_queue *q = &dev->queues[index];

	if (q->enabled == on)
		return;
	q->enabled = on;
	dev->ops->enabled(dev, index);
}

void vu_dev_stop_ring(struct vu_dev *dev, unsigned index)
{
	struct vu_queue *q = &dev->queues[index];

	if (!vring_is_started(q->ring))
		return;
	dev->ops->stopping(dev, index);
	q->cfg.base = vring_stop(q->ring);
	q->cfg.inflight = NULL;
}

void vu_dev_drop_kick(struct vu_dev *dev, unsigned index)
{
	struct vu_queue *q = &dev->queues[index];

	if (q->kick >= 0)
		dev->ops->kick_fd(dev, index, -1);
	fd_close(&q->kick);
}

void vu_dev_reset_queue(struct vu_dev *dev, unsigned index)
{
	struct vu_queue *q = &dev->queues[index];
	uint32_t base;

	vu_dev_stop_ring(dev, index);
	base = q->cfg.base;
	q->has_addr = q->has_kick = q->polled = false;
	vu_dev_drop_kick(dev, index);
	vring_set_fds(q->ring, -1, -1);
	fd_close(&q->call);
	memset(&q->cfg, 0, sizeof(q->cfg));
	q->cfg.base = base;
	vu_dev_set_enabled(dev, index, false);
}

void vu_dev_reset(struct vu_dev *dev)
{
	for (unsigned i = 0; i < dev->queue_cnt; i++) {
		vu_dev_reset_queue(dev, i);
		dev->queues[i].cfg.base = 0;
		fd_close(&dev->queues[i].err);
	}
	inflight_file_free(dev->inflight);
	dev->inflight = NULL;
	mem_clear(dev->mem);
	mem_log_on(dev->mem, false);
	mem_log_set(dev->mem, -1, 0, 0, dev->object, NULL);
	dev->features = dev->protocol = 0;
	dev->status = 0;
}
