/* SPDX-License-Identifier: MIT */
/* Requests about one ring. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/fd.h"
#include "port/vu/session-int.h"

/* The queue of this index, or NULL: there is none, which vu_refuse() was told. */
static struct vu_queue *find_queue(struct vu_session *s, uint64_t index)
{
	if (index < s->dev->queue_cnt)
		return &s->dev->queues[index];
	vu_refuse(s, EINVAL, "there is no queue %llu, but %u queues", (unsigned long long)index,
		  s->dev->queue_cnt);
	error_remedy(&s->why,
		     "give the VMM fewer queue pairs than it has, or this port more with "
		     "queues= (now %u)",
		     s->dev->pairs);
	return NULL;
}

static int refuse_running(struct vu_session *s, unsigned index)
{
	return vu_refuse(s, EBUSY, "the ring of queue %u runs", index);
}

int vu_set_vring_num(struct vu_session *s, struct vu_msg *m)
{
	const struct vhost_vring_state *state = &m->body.state;
	struct vu_queue *q = find_queue(s, state->index);

	if (!q)
		return -EINVAL;
	if (vring_is_started(q->ring))
		return refuse_running(s, state->index);
	if (!state->num || state->num > s->dev->queue_size_max) {
		vu_refuse(s, EINVAL, "%u descriptors for queue %u are not within 1 to %u",
			  state->num, state->index, s->dev->queue_size_max);
		error_remedy(&s->why, "give the VMM a smaller ring (QEMU: rx_queue_size=, "
				      "tx_queue_size=), or this port a larger queue-size=");
		return -EINVAL;
	}
	q->cfg.size = state->num;
	return vu_ring_start(s, state->index);
}

int vu_set_vring_base(struct vu_session *s, struct vu_msg *m)
{
	const struct vhost_vring_state *state = &m->body.state;
	struct vu_queue *q = find_queue(s, state->index);

	if (!q)
		return -EINVAL;
	if (vring_is_started(q->ring))
		return refuse_running(s, state->index);
	q->cfg.base = state->num;
	s->queues[state->index].has_base = true;
	return vu_ring_start(s, state->index);
}

/* A ring that runs may have its logging changed, and nothing else. */
static int change_log(struct vu_session *s, const struct vhost_vring_addr *a, bool log)
{
	struct vu_queue *q = &s->dev->queues[a->index];
	uint64_t gpa;
	int ret;

	if (q->cfg.desc != a->desc_user_addr || q->cfg.avail != a->avail_user_addr ||
	    q->cfg.used != a->used_user_addr)
		return refuse_running(s, a->index);
	s->dev->ops->log_changing(s->dev);
	q->cfg.log_used = log;
	q->cfg.used_gpa = a->log_guest_addr;
	ret = vu_ring_log_at(s, a->index, &gpa);
	if (ret == 0)
		vring_set_log(q->ring, log, gpa);
	s->dev->ops->log_changed(s->dev);
	return ret < 0 ? vu_refuse(s, EFAULT, "the ring of queue %u is in no memory", a->index) : 0;
}

int vu_set_vring_addr(struct vu_session *s, struct vu_msg *m)
{
	const struct vhost_vring_addr *a = &m->body.addr;
	const bool log = a->flags & 1u << VHOST_VRING_F_LOG;
	struct vu_queue *q = find_queue(s, a->index);

	if (!q)
		return -EINVAL;
	if (a->flags & ~(1u << VHOST_VRING_F_LOG))
		return vu_refuse(s, EINVAL, "flags 0x%x are unknown", a->flags);
	if (vring_is_started(q->ring))
		return change_log(s, a, log);
	q->cfg.desc = a->desc_user_addr;
	q->cfg.avail = a->avail_user_addr;
	q->cfg.used = a->used_user_addr;
	q->cfg.used_gpa = a->log_guest_addr;
	q->cfg.log_used = log;
	q->has_addr = true;
	return vu_ring_start(s, a->index);
}

/* The ring's descriptors are forgotten with it, as libvhost-user and DPDK do: the front end sends others. */
int vu_get_vring_base(struct vu_session *s, struct vu_msg *m)
{
	struct vhost_vring_state state = m->body.state;
	struct vu_queue *q = find_queue(s, state.index);

	if (!q)
		return -EINVAL;
	vu_dev_stop_ring(s->dev, state.index);
	q->has_kick = q->polled = false;
	vu_dev_drop_kick(s->dev, state.index);
	vring_set_fds(q->ring, -1, q->err);
	fd_close(&q->call);
	state.num = q->cfg.base;
	return vu_reply(s, &state, sizeof(state), -1);
}

/*
 * Is it a descriptor that can be waited for, or written to without waiting?
 * Eventfds, pipes and sockets are; files are not.
 */
static int check_event_fd(struct vu_session *s, int fd, int access)
{
	struct stat st;
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fstat(fd, &st) < 0)
		return vu_refuse(s, errno, "its descriptor: %s", strerror(errno));
	if (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode) || S_ISBLK(st.st_mode) || flags & O_PATH)
		return vu_refuse(s, EINVAL, "its descriptor is a file, not an event");
	if ((flags & O_ACCMODE) != O_RDWR && (flags & O_ACCMODE) != access)
		return vu_refuse(s, EINVAL, "its descriptor is not open for %s",
				 access == O_RDONLY ? "reading" : "writing");
	if (fd_set_nonblock(fd) < 0)
		return vu_refuse(s, errno, "its descriptor: %s", strerror(errno));
	return 0;
}

/* Take apart what _KICK, _CALL and _ERR have in common.
 * Return: the queue, and @fd: to be taken by the caller, NULL: comes without; or NULL. */
static struct vu_queue *event_of(struct vu_session *s, struct vu_msg *m, int access, int **fd)
{
	const uint64_t value = m->body.u64;
	const bool has_fd = !(value & VU_VRING_NOFD);

	if (value & ~(uint64_t)(VU_VRING_INDEX_MASK | VU_VRING_NOFD)) {
		vu_refuse(s, EPROTO, "0x%llx is no index with flags", (unsigned long long)value);
		return NULL;
	}
	if (m->fd_cnt != has_fd) {
		vu_refuse(s, EPROTO, "a descriptor is %s", has_fd ? "missing" : "too many");
		return NULL;
	}
	if (has_fd && check_event_fd(s, m->fds[0], access) < 0)
		return NULL;
	*fd = has_fd ? &m->fds[0] : NULL;
	return find_queue(s, value & VU_VRING_INDEX_MASK);
}

static void take_fd(int *to, int *fd)
{
	fd_close(to);
	if (fd)
		*to = fd_steal(fd);
}

int vu_set_vring_kick(struct vu_session *s, struct vu_msg *m)
{
	unsigned index = m->body.u64 & VU_VRING_INDEX_MASK;
	struct vu_queue *q;
	int *fd;

	q = event_of(s, m, O_RDONLY, &fd);
	if (!q)
		return -s->why.code;
	q->has_kick = true;
	q->polled = !fd;
	vu_dev_drop_kick(s->dev, index);
	take_fd(&q->kick, fd);
	if (!vring_is_started(q->ring))
		return vu_ring_start(s, index);
	if (fd)
		s->dev->ops->kick_fd(s->dev, index, q->kick);
	return 0;
}

int vu_set_vring_call(struct vu_session *s, struct vu_msg *m)
{
	unsigned index = m->body.u64 & VU_VRING_INDEX_MASK;
	struct vu_queue *q;
	int *fd;

	q = event_of(s, m, O_WRONLY, &fd);
	if (!q)
		return -s->why.code;
	vring_set_fds(q->ring, -1, q->err);
	take_fd(&q->call, fd);
	vring_set_fds(q->ring, q->call, q->err);
	if (vring_is_started(q->ring))
		s->dev->ops->call_fd(s->dev, index);
	vring_call(q->ring);
	return 0;
}

int vu_set_vring_err(struct vu_session *s, struct vu_msg *m)
{
	struct vu_queue *q;
	int *fd;

	q = event_of(s, m, O_WRONLY, &fd);
	if (!q)
		return -s->why.code;
	vring_set_fds(q->ring, q->call, -1);
	take_fd(&q->err, fd);
	vring_set_fds(q->ring, q->call, q->err);
	return 0;
}

/* Before SET_FEATURES as well: QEMU does so. */
int vu_set_vring_enable(struct vu_session *s, struct vu_msg *m)
{
	const struct vhost_vring_state *state = &m->body.state;

	if (!find_queue(s, state->index))
		return -EINVAL;
	if (state->num > 1)
		return vu_refuse(s, EINVAL, "%u is neither 0 nor 1", state->num);
	if (!(s->dev->offered >> VHOST_USER_F_PROTOCOL_FEATURES & 1))
		return vu_refuse(s, EPROTO, "protocol features were not offered");
	s->queues[state->index].enable = state->num;
	vu_rings_enable(s);
	return 0;
}

/* Rings are read in the host's byte order; to say just that changes nothing. */
int vu_set_vring_endian(struct vu_session *s, struct vu_msg *m)
{
	const uint32_t host = __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__;

	if (!find_queue(s, m->body.state.index))
		return -EINVAL;
	if (m->body.state.num != host)
		return vu_refuse(s, ENOTSUP,
				 "rings of another byte order than the host's were not "
				 "offered");
	return 0;
}
