/* SPDX-License-Identifier: MIT */
/*
 * Requests about the area for chains in flight.
 *
 * Model
 *   The front end asks for an area (GET_INFLIGHT_FD), keeps it, and hands it to
 *   the next back end (SET_INFLIGHT_FD). How it is laid out depends on the
 *   ring format, which may be acknowledged later: the file is kept, and mapped anew then.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_config.h>
#include <string.h>

#include "base/error.h"
#include "base/fd.h"
#include "port/vu/session-int.h"

#define PAYLOAD_MIN offsetof(struct vu_inflight, padding)

static bool is_packed(const struct vu_session *s)
{
	return vu_dev_has(s->dev, VIRTIO_F_RING_PACKED);
}

static uint64_t size_needed(const struct vu_session *s, const struct vu_inflight *i)
{
	return inflight_size(i->queues, i->queue_size, is_packed(s));
}

static int check_request(struct vu_session *s, const struct vu_msg *m)
{
	const struct vu_inflight *i = &m->body.inflight;

	if (m->hdr.size < PAYLOAD_MIN || m->hdr.size > sizeof(*i))
		return vu_refuse(s, EPROTO, "its payload has %u bytes", m->hdr.size);
	if (!i->queues || i->queues > s->dev->queue_cnt)
		return vu_refuse(s, EINVAL, "it names %u queues, and there are %u", i->queues,
				 s->dev->queue_cnt);
	if (!i->queue_size || i->queue_size > s->dev->queue_size_max)
		return vu_refuse(s, EINVAL, "queues of %u descriptors cannot be, at most %u do",
				 i->queue_size, s->dev->queue_size_max);
	if (vu_rings_run(s))
		return vu_refuse(s, EBUSY, "rings run");
	return 0;
}

/* Lay the area out, in place of what there was. */
static int map(struct vu_session *s)
{
	const struct vu_inflight *i = &s->inflight;
	struct vmtap_error inner = { 0 };

	inflight_file_free(s->dev->inflight);
	s->dev->inflight = NULL;
	if (i->size < size_needed(s, i))
		return vu_refuse(s, EINVAL, "%llu bytes do not do for %u queues of %u descriptors",
				 (unsigned long long)i->size, i->queues, i->queue_size);
	s->dev->inflight = inflight_file_map(s->inflight_fd, i->size, i->offset, i->queues,
					     i->queue_size, is_packed(s), s->dev->object, &inner);
	return s->dev->inflight ? 0 : vu_refuse_for(s, &inner);
}

int vu_inflight_refit(struct vu_session *s)
{
	return s->inflight_fd >= 0 ? map(s) : 0;
}

static int use_area(struct vu_session *s, const struct vu_inflight *i, int fd)
{
	fd_close(&s->inflight_fd);
	s->inflight_fd = fd;
	s->inflight = *i;
	return map(s);
}

/* Room for either format while neither is acknowledged. */
static uint64_t size_to_offer(const struct vu_session *s, const struct vu_inflight *i)
{
	uint64_t split = inflight_size(i->queues, i->queue_size, false);
	uint64_t packed = inflight_size(i->queues, i->queue_size, true);

	if (s->has_features)
		return size_needed(s, i);
	return split > packed ? split : packed;
}

int vu_get_inflight_fd(struct vu_session *s, struct vu_msg *m)
{
	struct vu_inflight *i = &m->body.inflight;
	int fd, ret = check_request(s, m);

	if (ret < 0)
		return ret;
	i->size = size_to_offer(s, i);
	i->offset = 0;
	fd = inflight_file_make(i->size);
	if (fd < 0)
		return vu_refuse(s, -fd, "no area of %llu bytes: %s", (unsigned long long)i->size,
				 strerror(-fd));
	ret = use_area(s, i, fd);
	return ret < 0 ? ret : vu_reply(s, i, m->hdr.size, s->inflight_fd);
}

int vu_set_inflight_fd(struct vu_session *s, struct vu_msg *m)
{
	int ret = check_request(s, m);

	return ret < 0 ? ret : use_area(s, &m->body.inflight, fd_steal(&m->fds[0]));
}
