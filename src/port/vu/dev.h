/* SPDX-License-Identifier: MIT */
/*
 * The device that a vhost-user port serves: what the front end has set up,
 * apart from how it said so (session.h) and from how frames move (rx.c, tx.c).
 *
 * Model
 *   A session changes the device, and tells the port through struct
 *   vu_dev_ops. Rings run from the moment when they have memory, addresses, a base
 *   and a kick message, until GET_VRING_BASE, a reset, or the end of the
 *   session. Queue 2i receives (host to guest), 2i+1 transmits; for the control queue see
 *   vu_dev_ctrl().
 *
 * Threads
 *   The port's loop.
 */
#ifndef PORT_VU_DEV_H
#define PORT_VU_DEV_H

#include "port/vu/features.h"
#include "virtio/inflight.h"
#include "virtio/mem.h"
#include "virtio/vring.h"
#include "vmtap/vmtap.h"

/** A queue's index has eight bits in the messages about its descriptors. */
#define VU_PAIRS_MAX 127
#define VU_QUEUES_MAX (2 * VU_PAIRS_MAX + 1)
/** As much of struct virtio_net_config (linux/virtio_net.h) as a front end may read. */
#define VU_CONFIG_SIZE 24

struct vu_dev;

/**
 * struct vu_queue - A queue as the front end describes it
 * @ring:    never NULL; started or not
 * @cfg:     as told; @cfg.used_gpa is the log address
 * @kick, @call, @err: owned; -1: none
 * @has_addr, @has_kick: the messages came
 * @polled:  a kick message came without a descriptor: look by yourself
 * @enabled: VHOST_USER_SET_VRING_ENABLE, or the features do without it
 */
struct vu_queue {
	struct vring *ring;
	struct vring_config cfg;
	int kick, call, err;
	bool has_addr, has_kick, polled, enabled;
};

/**
 * struct vu_dev_ops - What the port is told
 * @features:   VHOST_USER_SET_FEATURES: @dev->features changed; no ring runs
 * @started:    the ring of queue @index runs
 * @stopping:   it is about to stop, or its memory to change: unpop, push or forget what was popped
 * @remapped:   the memory changed and the ring runs on
 * @enabled:    @dev->queues[@index].enabled changed
 * @call_fd:    it has another call descriptor, and runs
 * @kick_fd:    its kick descriptor is about to be closed (@fd -1) or there is another
 * @log_changing, @log_changed: around a change of what is logged, and where to
 * @config:     VHOST_USER_SET_CONFIG: the address in @dev->config changed, perhaps
 * @announce:   VHOST_USER_SEND_RARP for @mac
 * @reset:      the device is back at its beginning, though memory is there: no ring runs. May be NULL
 * @settled:    a message was carried out, with all that it changed. May be NULL
 * @mtu:        VHOST_USER_NET_SET_MTU. Return: 0; -EINVAL: that cannot be
 */
struct vu_dev_ops {
	void (*features)(struct vu_dev *dev);
	void (*started)(struct vu_dev *dev, unsigned index);
	void (*stopping)(struct vu_dev *dev, unsigned index);
	void (*remapped)(struct vu_dev *dev, unsigned index);
	void (*enabled)(struct vu_dev *dev, unsigned index);
	void (*kick_fd)(struct vu_dev *dev, unsigned index, int fd);
	void (*call_fd)(struct vu_dev *dev, unsigned index);
	void (*log_changing)(struct vu_dev *dev);
	void (*log_changed)(struct vu_dev *dev);
	void (*config)(struct vu_dev *dev);
	void (*announce)(struct vu_dev *dev, const uint8_t mac[6]);
	void (*reset)(struct vu_dev *dev);
	void (*settled)(struct vu_dev *dev);
	int (*mtu)(struct vu_dev *dev, unsigned mtu);
};

/**
 * struct vu_dev - A virtio-net device
 * @ops, @object:    the port's; @object is what errors name
 * @offered:         device features (VIRTIO_*, VIRTIO_NET_F_*, VHOST_F_LOG_ALL,
 *                   VHOST_USER_F_PROTOCOL_FEATURES), fixed from its start on
 * @pairs:           queue pairs, 1..VU_PAIRS_MAX
 * @queue_cnt:       entries in @queues: two a pair, one more when VIRTIO_NET_F_CTRL_VQ is offered
 * @slots_max:       regions of memory that are accepted
 * @queue_size_max:  largest ring that is accepted
 * @config:          struct virtio_net_config, little-endian
 * @features:        what the front end acknowledged
 * @protocol:        VHOST_USER_PROTOCOL_F_* that were acknowledged
 * @status:          VHOST_USER_SET_STATUS
 * @mem, @inflight:  what the front end shared; @inflight may be NULL
 */
struct vu_dev {
	const struct vu_dev_ops *ops;
	const char *object;
	uint64_t offered;
	unsigned pairs, queue_cnt, queue_size_max, slots_max;
	uint8_t config[VU_CONFIG_SIZE];

	uint64_t features, protocol;
	uint8_t status;
	struct mem *mem;
	struct inflight_file *inflight;
	struct vu_queue *queues;
};

/** vu_dev_init() - @ops, @object, @offered, @pairs, @queue_size_max are set, the rest is zero.
 *  Return: 0 or -ENOMEM. */
int vu_dev_init(struct vu_dev *dev);
/** vu_dev_fini() - Also of a device for which vu_dev_init() failed. */
void vu_dev_fini(struct vu_dev *dev);

/** vu_dev_reset() - As before the first message: rings stopped (the port is told), memory unmapped,
 *  descriptors closed. */
void vu_dev_reset(struct vu_dev *dev);

static inline bool vu_dev_has(const struct vu_dev *dev, unsigned feature)
{
	return dev->features >> feature & 1;
}

/** vu_dev_ctrl() - The index of the control queue; VU_QUEUES_MAX: there is none. It comes behind all
 *  pairs that there are when the front end knows of several, else behind the first (virtio 1.2, 5.1.2). */
static inline unsigned vu_dev_ctrl(const struct vu_dev *dev)
{
	if (!vu_dev_has(dev, VIRTIO_NET_F_CTRL_VQ))
		return VU_QUEUES_MAX;
	return vu_dev_has(dev, VIRTIO_NET_F_MQ) ? 2 * dev->pairs : 2;
}

static inline bool vu_dev_is_ctrl(const struct vu_dev *dev, unsigned index)
{
	return index == vu_dev_ctrl(dev);
}

#endif
