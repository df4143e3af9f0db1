/* SPDX-License-Identifier: MIT */
/*
 * Requests about the device as a whole: features, owner, status, reset.
 *
 * What a reset leaves
 *   RESET_DEVICE, and a device status of 0, put the virtio device back to its
 *   beginning: rings stopped and disabled, features and status gone. What belongs
 *   to the connection stays: memory, dirty log, protocol features, the back end's channel.
 *   QEMU relies on it: with memory slots it sends only what changed since. And a ring's base can still
 *   be had: QEMU 7.2 sets the status to 0 first, also when it only stops or migrates, and then
 *   sends GET_VRING_BASE.
 */
#include <errno.h>
#include <linux/vhost_types.h>
#include <linux/virtio_config.h>

#include "base/error.h"
#include "port/vu/session-int.h"

#define BIT(n) (UINT64_C(1) << (n))
#define P(name) BIT(VHOST_USER_PROTOCOL_F_##name)

/*
 * Not among them, besides what no network device needs: INBAND_NOTIFICATIONS,
 * since QEMU acknowledges it and then does not know the messages; CROSS_ENDIAN,
 * since rings are read in the host's byte order. MQ only where there are several pairs, for front ends do
 * not agree on what GET_QUEUE_NUM counts: QEMU and DPDK take it for pairs, cloud-hypervisor for
 * queues, of which one pair needs two. Without MQ it does not ask.
 */
static const uint64_t protocol_known = P(MQ) | P(LOG_SHMFD) | P(RARP) | P(REPLY_ACK) | P(NET_MTU) |
				       P(BACKEND_REQ) | P(CONFIG) | P(INFLIGHT_SHMFD) |
				       P(RESET_DEVICE) | P(CONFIGURE_MEM_SLOTS) | P(STATUS);

static uint64_t protocol_offered(const struct vu_session *s)
{
	return s->dev->pairs > 1 ? protocol_known : protocol_known & ~P(MQ);
}

int vu_get_features(struct vu_session *s, struct vu_msg *m)
{
	return vu_reply_u64(s, s->dev->offered);
}

int vu_set_features(struct vu_session *s, struct vu_msg *m)
{
	struct vu_dev *dev = s->dev;
	const uint64_t features = m->body.u64, unknown = features & ~dev->offered;
	const uint64_t changed = (features ^ dev->features) & ~BIT(VHOST_F_LOG_ALL);
	const bool running = vu_rings_run(s);
	int ret;

	if (unknown)
		return vu_refuse(s, EINVAL, "0x%llx were not offered", (unsigned long long)unknown);
	if (running && changed)
		return vu_refuse(s, EBUSY, "rings run, and 0x%llx would change under them",
				 (unsigned long long)changed);
	dev->ops->log_changing(dev);
	dev->features = features;
	s->has_features = true;
	mem_log_on(dev->mem, features & BIT(VHOST_F_LOG_ALL));
	dev->ops->log_changed(dev);
	if (running)
		return 0;
	dev->ops->features(dev);
	vu_rings_enable(s);
	ret = vu_inflight_refit(s);
	return ret < 0 ? ret : vu_rings_start(s);
}

static int check_protocol(struct vu_session *s)
{
	if (s->dev->offered & BIT(VHOST_USER_F_PROTOCOL_FEATURES))
		return 0;
	return vu_refuse(s, EPROTO, "protocol features were not offered");
}

int vu_get_protocol_features(struct vu_session *s, struct vu_msg *m)
{
	int ret = check_protocol(s);

	return ret < 0 ? ret : vu_reply_u64(s, protocol_offered(s));
}

int vu_set_protocol_features(struct vu_session *s, struct vu_msg *m)
{
	const uint64_t unknown = m->body.u64 & ~protocol_offered(s);
	int ret = check_protocol(s);

	if (ret < 0)
		return ret;
	if (unknown)
		return vu_refuse(s, EINVAL, "0x%llx were not offered", (unsigned long long)unknown);
	s->dev->protocol = m->body.u64;
	return 0;
}

int vu_set_owner(struct vu_session *s, struct vu_msg *m)
{
	return 0;
}

/* Deprecated, and understood in different ways; the specification has this one. */
int vu_reset_owner(struct vu_session *s, struct vu_msg *m)
{
	for (unsigned i = 0; i < s->dev->queue_cnt; i++)
		s->queues[i].enable = false;
	vu_rings_enable(s);
	return 0;
}

static void reset(struct vu_session *s)
{
	struct vu_dev *dev = s->dev;

	for (unsigned i = 0; i < dev->queue_cnt; i++) {
		vu_dev_reset_queue(dev, i);
		s->queues[i] = (struct vu_session_queue) { 0 };
	}
	mem_log_on(dev->mem, false);
	s->has_features = false;
	dev->features = 0;
	dev->status = 0;
	if (dev->ops->reset)
		dev->ops->reset(dev);
}

int vu_reset_device(struct vu_session *s, struct vu_msg *m)
{
	reset(s);
	return 0;
}

/* A driver that is ready, rings, and no memory: QEMU without memory that it can share sends none. */
static int check_memory(struct vu_session *s, uint64_t status)
{
	bool rings = false;
	int ret;

	for (unsigned i = 0; i < s->dev->queue_cnt; i++)
		rings = rings || s->dev->queues[i].has_kick;
	if (!(status & VIRTIO_CONFIG_S_DRIVER_OK) || !rings || mem_cnt(s->dev->mem) > 0)
		return 0;
	ret = vu_refuse(s, EBADF, "the driver is ready, and no memory was shared");
	error_remedy(&s->why, "let the VMM share the guest's memory; QEMU: -object "
			      "memory-backend-memfd,id=mem,size=...,share=on and "
			      "-machine memory-backend=mem");
	return ret;
}

int vu_set_status(struct vu_session *s, struct vu_msg *m)
{
	if (m->body.u64 > UINT8_MAX)
		return vu_refuse(s, EINVAL, "0x%llx is no device status",
				 (unsigned long long)m->body.u64);
	if (!m->body.u64)
		reset(s);
	s->dev->status = (uint8_t)m->body.u64;
	return check_memory(s, m->body.u64);
}

int vu_get_status(struct vu_session *s, struct vu_msg *m)
{
	return vu_reply_u64(s, s->dev->status);
}
