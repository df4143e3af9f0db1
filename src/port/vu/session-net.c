/* SPDX-License-Identifier: MIT */
/*
 * Requests about the network device: queue pairs, MTU, announcing, the
 * configuration space, and the channel on which changes of that are told.
 */
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "port/vu/session-int.h"

/* Bytes of struct vu_config in front of its payload. */
#define CONFIG_HDR offsetof(struct vu_config, payload)
#define MAC_LEN 6

static_assert(sizeof(struct virtio_net_config) >= VU_CONFIG_SIZE, "config");

/* In pairs: that is how QEMU and DPDK read it for network devices. */
int vu_get_queue_num(struct vu_session *s, struct vu_msg *m)
{
	return vu_reply_u64(s, s->dev->pairs);
}

int vu_send_rarp(struct vu_session *s, struct vu_msg *m)
{
	uint8_t mac[MAC_LEN];

	memcpy(mac, &m->body.u64, sizeof(mac));
	s->dev->ops->announce(s->dev, mac);
	return 0;
}

/* The answer to "can it be?" may be no, without that being an error of the session. */
int vu_net_set_mtu(struct vu_session *s, struct vu_msg *m)
{
	const uint64_t mtu = m->body.u64;
	int ret = mtu > UINT16_MAX ? -EINVAL : s->dev->ops->mtu(s->dev, (unsigned)mtu);

	if (ret == 0)
		return 0;
	if (m->hdr.flags & VU_NEED_REPLY && vu_session_has(s, VHOST_USER_PROTOCOL_F_REPLY_ACK)) {
		s->nack = true;
		return 0;
	}
	return vu_refuse(s, -ret, "an MTU of %llu cannot be", (unsigned long long)mtu);
}

int vu_set_backend_req_fd(struct vu_session *s, struct vu_msg *m)
{
	struct stat st;

	if (fstat(m->fds[0], &st) < 0)
		return vu_refuse(s, errno, "its descriptor: %s", strerror(errno));
	if (!S_ISSOCK(st.st_mode))
		return vu_refuse(s, ENOTSOCK, "its descriptor is no socket");
	fd_close(&s->channel);
	s->channel = fd_steal(&m->fds[0]);
	return 0;
}

void vu_session_config_changed(struct vu_session *s)
{
	int ret;

	if (s->channel < 0 || !vu_session_has(s, VHOST_USER_PROTOCOL_F_CONFIG) ||
	    !vu_session_has(s, VHOST_USER_PROTOCOL_F_BACKEND_REQ))
		return;
	/* Without asking for an acknowledgement, which nobody would read. */
	ret = vu_msg_send(s->channel, VHOST_USER_BACKEND_CONFIG_CHANGE_MSG, 0, NULL, 0, -1);
	/* Full: there are many such messages in it already. */
	if (ret < 0 && ret != -ENOBUFS)
		fd_close(&s->channel);
}

static int check_config(struct vu_session *s, const struct vu_msg *m)
{
	if (m->hdr.size < CONFIG_HDR || m->hdr.size > sizeof(struct vu_config) ||
	    m->hdr.size - CONFIG_HDR != m->body.config.size)
		return vu_refuse(s, EPROTO, "its payload has %u bytes and says %u", m->hdr.size,
				 m->body.config.size);
	return 0;
}

static bool is_within(const struct vu_config *c, uint32_t size)
{
	return c->size > 0 && c->size <= size && c->offset <= size - c->size;
}

/* An empty reply says that it cannot be read. */
int vu_get_config(struct vu_session *s, struct vu_msg *m)
{
	struct vu_config *c = &m->body.config;
	int ret = check_config(s, m);

	if (ret < 0)
		return ret;
	if (!is_within(c, VU_CONFIG_SIZE))
		return vu_reply(s, NULL, 0, -1);
	memcpy(c->payload, s->dev->config + c->offset, c->size);
	return vu_reply(s, c, (uint32_t)CONFIG_HDR + c->size, -1);
}

/* A legacy driver writes the MAC address; there is nothing else that it may (virtio 1.2, 5.1.4.2). */
static int write_config(struct vu_session *s, const struct vu_config *c)
{
	if (vu_dev_has(s->dev, VIRTIO_F_VERSION_1) || !is_within(c, MAC_LEN))
		return vu_refuse(s, EPERM, "bytes %u to %u of the configuration are read-only",
				 c->offset, c->offset + c->size - 1);
	memcpy(s->dev->config + c->offset, c->payload, c->size);
	s->dev->ops->config(s->dev);
	return 0;
}

/* After a migration the MAC address comes along; the rest is a matter of the host that it came to. */
static void migrate_config(struct vu_session *s, const struct vu_config *c)
{
	for (uint32_t i = 0; i < c->size && c->offset + i < MAC_LEN; i++)
		s->dev->config[c->offset + i] = c->payload[i];
	s->dev->ops->config(s->dev);
}

int vu_set_config(struct vu_session *s, struct vu_msg *m)
{
	const struct vu_config *c = &m->body.config;
	int ret = check_config(s, m);

	if (ret < 0)
		return ret;
	if (!is_within(c, VU_CONFIG_SIZE))
		return vu_refuse(s, EINVAL, "%u bytes at %u are not in the configuration", c->size,
				 c->offset);
	if (c->flags == VU_CONFIG_WRITABLE)
		return write_config(s, c);
	if (c->flags != VU_CONFIG_MIGRATION)
		return vu_refuse(s, EINVAL, "flags 0x%x are unknown", c->flags);
	migrate_config(s, c);
	return 0;
}
