/* SPDX-License-Identifier: MIT */
/*
 * The `tap` port: its life, its lanes, and what can be set.
 *
 * What the other side may do wrong: the interface can be deleted, or taken
 * down, at any time. A deleted one makes the port fail, or wait for it with
 * reconnect-ms=; one that is down drops frames, counted.
 */
#include <endian.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/container.h"
#include "base/counter.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/iov.h"
#include "port/tap/tap-helper.h"
#include "port/tap/tap-int.h"
#include "tapdev/tun.h"

void tap_swap_hdr(struct vmtap_net_hdr *hdr)
{
	hdr->hdr_len = __builtin_bswap16(hdr->hdr_len);
	hdr->gso_size = __builtin_bswap16(hdr->gso_size);
	hdr->csum_start = __builtin_bswap16(hdr->csum_start);
	hdr->csum_offset = __builtin_bswap16(hdr->csum_offset);
	hdr->num_buffers = __builtin_bswap16(hdr->num_buffers);
}

/* ------------------------------------------------------------ a device that goes */

static void retry_later(struct tap *t)
{
	loop_timer_set(t->port.env->loop, &t->retry, t->opts.reconnect_ms * NSEC_PER_MSEC);
}

static void device_lost(struct tap *t)
{
	struct vmtap_error err = { 0 };
	char name[80];

	tap_vhost_device(t, false);
	tap_keep_drop(t);
	tap_device_close(t);
	if (t->opts.reconnect_ms) {
		log_msg(t->port.env->log, VMTAP_LOG_WARNING, t->port.name,
			"the interface %s is gone; looking for it every %u ms", t->ifname,
			t->opts.reconnect_ms);
		retry_later(t);
		port_set_state(&t->port, VMTAP_PORT_WAITING);
		return;
	}
	snprintf(name, sizeof(name), "%s %s", t->port.ops->type, t->ifname);
	error_set(&err, ENODEV, name, "move frames",
		  "the interface is gone; it was deleted while in use");
	error_remedy(&err, t->port.ops == &tap_ops
				   ? "create it again and restart, or wait for it with "
				     "reconnect-ms=1000"
				   : "restart when it, or what it was on, is there again");
	port_fail(&t->port, &err);
}

/* In the port's loop. */
static void see_to(struct tap *t)
{
	unsigned trouble = atomic_exchange(&t->trouble, 0);

	if (trouble & TAP_TROUBLE_GONE && t->queues[0].fd >= 0) {
		port_enter(&t->port);
		device_lost(t);
		/* what other lanes said of it meanwhile must not be taken for the next one */
		atomic_store(&t->trouble, 0);
		loop_task_del(t->port.env->loop, &t->trouble_task);
		port_leave(&t->port);
	} else if (trouble & TAP_TROUBLE_DOWN) {
		log_msg(t->port.env->log, VMTAP_LOG_WARNING, t->port.name,
			"the interface %s is down and drops frames; ip link set %s up", t->ifname,
			t->ifname);
	}
}

static void trouble_run(struct loop_task *task)
{
	see_to(container_of(task, struct tap, trouble_task));
}

void tap_report(struct tap_lane *l, unsigned trouble)
{
	atomic_fetch_or(&l->tap->trouble, trouble);
	if (l->lane->loop == l->tap->port.env->loop)
		see_to(l->tap);
	else
		lane_post(l->lane, &l->tap->trouble_task);
}

/* ------------------------------------------------------------------------ lanes */

static void lane_free(struct tap_lane *l)
{
	if (!l)
		return;
	free(l->arena);
	free(l->tx);
	free(l);
}

static struct tap_lane *lane_new(struct tap *t, struct port_lane *lane)
{
	struct tap_lane *l = calloc(1, sizeof(*l));

	if (!l)
		return NULL;
	l->tap = t;
	l->lane = lane;
	for (unsigned i = 0; i < VMTAP_BURST_MAX; i++) {
		l->frames[i].iov = &l->iov[i];
		l->frames[i].iov_cnt = 1;
	}
	l->arena = malloc(TAP_ARENA_SIZE);
	l->tx = tap_tx_new();
	if (l->arena && l->tx)
		return l;
	lane_free(l);
	return NULL;
}

/* Have what the lanes need, and divide the queues among them. */
static int lanes_prepare(struct tap *t)
{
	for (unsigned i = 0; i < t->port.lane_cnt; i++) {
		if (!t->lanes[i])
			t->lanes[i] = lane_new(t, &t->port.lanes[i]);
		if (!t->lanes[i])
			return -ENOMEM;
		t->lanes[i]->first = i;
		t->lanes[i]->end = t->port.lane_cnt > 1 ? i + 1 : t->queue_cnt;
	}
	return 0;
}

/* Also while nothing is read, a device that is deleted must be noticed. The kernel then wakes those
 * who wait for EPOLLIN or EPOLLPRI, and EPOLLPRI alone never wakes us for a frame.
 * It does wake this thread inside the kernel: where another reads the queue, something else tells. */
static uint32_t queue_events(const struct tap_lane *l, const struct tap_queue *q)
{
	const bool reads = l->tap->port.polling && l->next == l->cnt;

	if (q->taken && l->tap->gone.fd >= 0)
		return 0;
	return EPOLLPRI | (reads && !q->taken ? EPOLLIN : 0);
}

void tap_queue_rewatch(struct tap_queue *q)
{
	const struct tap_lane *l = q->watch.fd >= 0 ? tap_lane_of(q->tap, q->index) : NULL;

	if (l)
		loop_mod(l->lane->loop, &q->watch,
			 queue_events(l, q) | (q->watch.events & EPOLLOUT));
}

static int watch_queue(struct tap_queue *q)
{
	const struct tap_lane *l = tap_lane_of(q->tap, q->index);

	if (q->watch.fd >= 0)
		return 0;
	q->watch.ready = tap_queue_ready;
	return loop_add(l->lane->loop, &q->watch, q->fd, queue_events(l, q));
}

static int watch_queues(struct tap *t)
{
	int ret = 0;

	for (unsigned i = 0; i < t->queue_cnt && ret == 0; i++)
		if (t->queues[i].attached)
			ret = watch_queue(&t->queues[i]);
	return ret;
}

static bool is_wanted(const struct tap_queue *q)
{
	return !q->unwanted && !q->unused;
}

static int queue_attach(struct tap_queue *q, bool on)
{
	const struct tap *t = q->tap;
	int ret;

	if (q->attached == on)
		return 0;
	if (!on) /* a detached queue polls as an error */
		loop_del(port_lane(&t->port, q->index)->loop, &q->watch);
	ret = tun_set_queue(q->fd, on);
	if (ret == 0)
		q->attached = on;
	if (q->attached && t->port.started) {
		int watched = watch_queue(q);

		ret = ret ? ret : watched;
	}
	return ret;
}

/* The kernel is to spread flows over those queues only that neither the peer nor the application gave up;
 * when that would be none, over the first. They come before the others, since one at least has to be attached
 * to say anything to the device. */
static int attach_used(struct tap *t)
{
	bool any = false;
	int ret = 0;

	for (unsigned i = 0; i < t->queue_cnt; i++)
		any |= is_wanted(&t->queues[i]);
	for (int on = 1; on >= 0; on--) {
		for (unsigned i = 0; i < t->queue_cnt && ret == 0; i++) {
			struct tap_queue *q = &t->queues[i];

			if (q->fd >= 0 && (any ? is_wanted(q) : i == 0) == on)
				ret = queue_attach(q, on);
		}
	}
	return ret;
}

static void tap_leave_loops(struct port *p)
{
	struct tap *t = (struct tap *)p;

	for (unsigned i = 0; i < t->queue_cnt; i++)
		loop_del(port_lane(p, i)->loop, &t->queues[i].watch);
}

/* A port that was paused may have frames in a lane that there is no more. */
static void lane_purge(struct tap_lane *l)
{
	if (l && l->next < l->cnt)
		lane_drop_rx(l->lane, VMTAP_DROP_PURGED, l->cnt - l->next);
	if (l)
		l->next = l->cnt = 0;
}

static int tap_moved(struct port *p)
{
	struct tap *t = (struct tap *)p;
	int ret = lanes_prepare(t);

	for (unsigned i = p->lane_cnt; i < p->pair_cnt; i++)
		lane_purge(t->lanes[i]);
	return ret < 0 ? ret : watch_queues(t);
}

static void tap_pairs_used(struct port *p, const struct port *peer)
{
	struct tap *t = (struct tap *)p;

	for (unsigned i = 0; i < t->queue_cnt; i++)
		t->queues[i].unused = peer && !peer->lanes[i].used;
	if (!p->started)
		return;
	attach_used(t);
	port_writable(p); /* of a queue that was detached, nobody hears that there is room */
}

/* Nothing of the device is in a lane until it is watched again. */
static int attach_again(struct tap *t, struct vmtap_error *err)
{
	int ret = tap_device_reopen(t, err);

	if (ret == 0)
		ret = tap_device_up(t, err);
	if (ret == 0)
		ret = tap_device_keep(t, err);
	if (ret < 0)
		return ret;
	tap_keep(t);
	port_enter(&t->port);
	ret = watch_queues(t);
	if (ret == 0) {
		attach_used(t);
		log_msg(t->port.env->log, VMTAP_LOG_INFO, t->port.name, "attached to %s again",
			t->ifname);
		port_set_state(&t->port, VMTAP_PORT_UP);
		tap_vhost_device(t, true);
	}
	port_leave(&t->port);
	return ret;
}

static void retry_fire(struct loop_timer *timer)
{
	struct tap *t = container_of(timer, struct tap, retry);
	struct vmtap_error err = { 0 };
	unsigned suppressed;

	if (attach_again(t, &err) == 0)
		return;
	port_enter(&t->port);
	tap_keep_drop(t);
	tap_device_close(t);
	port_leave(&t->port);
	if (err.code && log_allow(&t->down_limit, &suppressed))
		log_error(t->port.env->log, VMTAP_LOG_WARNING, t->port.name, &err);
	retry_later(t);
}

/* ---------------------------------------------------------------------- the port */

int tap_start(struct port *p, struct vmtap_error *err)
{
	struct tap *t = (struct tap *)p;
	int ret = tap_vhost_start(t, err);

	if (ret < 0)
		return ret;
	ret = tap_moved(p);
	if (ret == 0)
		attach_used(t);
	if (ret == -EEXIST) { /* whose it is, closes it */
		for (unsigned i = 0; i < t->queue_cnt; i++)
			if (t->queues[i].watch.fd < 0)
				t->queues[i].fd = -1;
		error_set(err, EBUSY, p->name, "use the descriptor", "another port has it already");
		error_remedy(err, "give each port descriptors of its own");
		return -EBUSY;
	}
	if (ret < 0)
		return error_errno(err, -ret, p->name, "watch the device");
	port_set_state(p, VMTAP_PORT_UP);
	return 0;
}

static int tap_set_offload(struct port *p, unsigned offload)
{
	return (int)tap_device_set_offload((struct tap *)p, offload);
}

static int tap_set_link(struct port *p, bool up, struct vmtap_error *err)
{
	struct tap *t = (struct tap *)p;
	int ret = t->queues[0].fd >= 0 ? tun_set_carrier(tap_attached(t)->fd, up) : 0;

	/* Linux 5.0 has it; without it, the link still goes down for the peer */
	if (ret == -EINVAL || ret == -ENOTTY)
		return 0;
	return ret ? error_errno(err, -ret, p->name, "set the carrier") : 0;
}

/* fd=3, fds=3:4:5 */
static int describe_fds(const struct tap *t, char *buf, size_t size)
{
	size_t len = 0;

	for (unsigned i = 0; i <= t->queue_cnt; i++) {
		char *at = len < size ? buf + len : NULL;
		size_t room = len < size ? size - len : 0;

		if (i == t->queue_cnt)
			len += (size_t)snprintf(at, room, ",ifname=%s", t->ifname);
		else
			len += (size_t)snprintf(at, room, "%s%d",
						i		   ? ":"
						: t->queue_cnt > 1 ? "fds="
								   : "fd=",
						t->queues[i].fd);
	}
	return (int)len;
}

static int tap_describe(const struct port *p, char *buf, size_t size)
{
	const struct tap *t = (const struct tap *)p;

	if (t->opts.source == TAP_FROM_FDS)
		return describe_fds(t, buf, size);
	if (t->opts.source == TAP_FROM_HELPER)
		return snprintf(buf, size, "helper=%s,br=%s,ifname=%s",
				t->opts.helper ? t->opts.helper : helper_default(), t->opts.br,
				t->ifname);
	return snprintf(buf, size, "ifname=%s,script=%s,downscript=%s", t->ifname,
			t->opts.script ? t->opts.script : "no",
			t->opts.downscript ? t->opts.downscript : "no");
}

static int tap_get_fd(const struct port *p, unsigned queue)
{
	const struct tap *t = (const struct tap *)p;

	return queue < t->queue_cnt ? t->queues[queue].fd : -1;
}

void tap_close(struct port *p)
{
	struct tap *t = (struct tap *)p;

	loop_timer_del(p->env->loop, &t->retry);
	loop_task_del(p->env->loop, &t->trouble_task);
	for (unsigned i = 0; i < t->queue_cnt; i++)
		lane_purge(t->lanes[i]);
	tap_vhost_close(t);
	tap_keep_down(t);
	tap_device_close(t);
	fd_close(&t->steering_fd);
}

static void tap_free(struct port *p)
{
	struct tap *t = (struct tap *)p;

	tap_opts_fini(&t->opts);
	for (unsigned i = 0; i < t->queue_cnt; i++)
		lane_free(t->lanes[i]);
	free(t->lanes);
	free(t->queues);
	free(t);
}

static void tap_queue_stats(const struct port *p, unsigned pair, struct vmtap_queue_stats *stats)
{
	const struct tap *t = (const struct tap *)p;
	const struct tap_queue *q = &t->queues[pair];

	if (pair >= t->queue_cnt)
		return;
	stats->wakeups = counter_get(&q->wakeups);
	if (q->taken)
		stats->flags |= VMTAP_QUEUE_IN_KERNEL;
}

/* What is the same for all: frames, and the descriptors that they come from. */
#define TAP_OPS                                                                                   \
	.queue_stats = tap_queue_stats, .kernel_drops = tap_kernel_drops, .send = tap_send,       \
	.resume = tap_resume, .set_poll = tap_set_poll, .leave_loops = tap_leave_loops,           \
	.moved = tap_moved, .pairs_used = tap_pairs_used, .vhost = tap_vhost,                     \
	.in_kernel = tap_vhost_is_open, .set_offload = tap_set_offload, .set_link = tap_set_link, \
	.get_fd = tap_get_fd, .free = tap_free

const struct port_ops tap_ops = {
	TAP_OPS, .type = "tap", .start = tap_start, .describe = tap_describe, .close = tap_close,
};

const struct port_ops macvtap_ops = {
	TAP_OPS,
	.type = "macvtap",
	.start = macvtap_start,
	.describe = macvtap_describe,
	.close = macvtap_close,
};

/* ------------------------------------------------------------- only a TAP has these */

unsigned tap_caps(const struct port *p)
{
	return ((const struct tap *)p)->caps;
}

const char *tap_ifname(const struct port *p)
{
	return ((const struct tap *)p)->ifname;
}

static int no_hdr(const struct tap *t, const char *action, struct vmtap_error *err)
{
	if (t->hdr_len)
		return 0;
	return error_set(err, EOPNOTSUPP, t->port.name, action,
			 "frames of this device carry no virtio-net header");
}

int tap_set_hdr_len(struct port *p, unsigned len, struct vmtap_error *err)
{
	struct tap *t = (struct tap *)p;
	const char *action = "set the header length";
	int ret;

	if (len != 10 && len != 12) {
		error_set(err, EINVAL, p->name, action, "%u bytes is no virtio-net header", len);
		error_remedy(err, "it has 10 bytes, or 12 with the number of buffers");
		return -EINVAL;
	}
	ret = no_hdr(t, action, err);
	if (ret < 0)
		return ret;
	port_enter(p);
	ret = tap_device_set_hdr_len(t, len);
	port_leave(p);
	if (ret < 0)
		return error_errno(err, -ret, p->name, action);
	return 0;
}

int tap_set_endian(struct port *p, enum vmtap_endian order, struct vmtap_error *err)
{
	struct tap *t = (struct tap *)p;
	const char *action = "set the header's byte order";
	bool little = order == VMTAP_ENDIAN_LITTLE, big = order == VMTAP_ENDIAN_BIG;
	int ret = no_hdr(t, action, err);

	if (ret < 0)
		return ret;
	/* native needs no word from us */
	if (__BYTE_ORDER == __BIG_ENDIAN)
		big = false;
	port_enter(p); /* no frame between the device's change and ours */
	ret = tap_device_set_endian(t, little, big);
	if (ret == 0)
		t->swap_hdr = order != VMTAP_ENDIAN_NATIVE &&
			      (order == VMTAP_ENDIAN_LITTLE) != (__BYTE_ORDER == __LITTLE_ENDIAN);
	port_leave(p);
	if (ret < 0) {
		error_set(err, -ret, p->name, action, "%s", strerror(-ret));
		error_remedy(err, "this kernel has no cross-endian TAPs "
				  "(CONFIG_TUN_VNET_CROSS_LE); use the host's order");
		return ret;
	}
	t->endian = order;
	return 0;
}

int tap_set_queue(struct port *p, unsigned queue, bool on, struct vmtap_error *err)
{
	struct tap *t = (struct tap *)p;
	const char *action = on ? "attach a queue" : "detach a queue";
	struct tap_queue *q;
	int ret;

	if (queue >= t->queue_cnt)
		return error_set(err, EINVAL, p->name, action, "queue %u: there are %u", queue,
				 t->queue_cnt);
	if (t->queue_cnt == 1)
		return error_set(err, EINVAL, p->name, action, "it is a single-queue device");
	if (queue == 0 && !on)
		return error_set(err, EINVAL, p->name, action, "the first queue always stays");
	q = &t->queues[queue];
	if (q->fd < 0)
		return error_set(err, ENODEV, p->name, action, "the interface is gone");
	q->unwanted = !on;
	port_enter(p);
	ret = attach_used(t);
	port_writable(p); /* as above */
	port_leave(p);
	return ret ? error_errno(err, -ret, p->name, action) : 0;
}

/* ----------------------------------------------------------------------- making one */

struct tap *tap_new(const struct port_ops *ops, const struct port_env *env, const char *name,
		    const struct conf *conf, struct vmtap_error *err)
{
	struct tap *t = calloc(1, sizeof(*t));

	if (!t || port_init(&t->port, ops, env, name) < 0) {
		error_errno(err, ENOMEM, conf_object(conf), "open the port");
		free(t);
		return NULL;
	}
	t->retry.fire = retry_fire;
	t->trouble_task.run = trouble_run;
	t->gone.fd = -1;
	t->steering_fd = -1;
	return t;
}
