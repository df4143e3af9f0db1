/* SPDX-License-Identifier: MIT */
/*
 * The `vhost-user` port: a virtio-net device for a VMM.
 *
 * Model
 *   sock/conn.c brings front ends, one after the other; a session (session.h)
 *   carries out what one asks for on the device (dev.h), and tells this file
 *   through struct vu_dev_ops, which joins the rings to the loop. The port is
 *   up while there is a receive ring that can take frames.
 *
 *     conn_begin() -> session -> dev_started() -> kick -> tx.c, rx.c
 *
 * The end of a session
 *   Comes from the front end, or when the guest's memory is found gone in the
 *   middle of a burst; so it is a task (end_run()), which nobody is inside of. Rings
 *   stop, memory is unmapped, and the next front end may come.
 *
 * What the front end and the guest may do wrong
 *   Each piece says so for itself. What is wrong with a ring breaks that ring, until
 *   it is set up again; what is wrong with a message, or the memory, ends the session.
 */
#include "port/vu/vu.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "conf/conf.h"
#include "port/vu/features.h"
#include "port/vu/hdr.h"
#include "port/vu/vu-int.h"
#include "sock/say.h"

static struct vu *vu_of_dev(struct vu_dev *dev)
{
	return container_of(dev, struct vu, dev);
}

static bool is_rx(const struct vu *v, unsigned index)
{
	return index % 2 == 0 && !vu_dev_is_ctrl(&v->dev, index);
}

/* ------------------------------------------------------------- configuration */

/* What the guest reads of the device; all little-endian (struct virtio_net_config). */
static void config_put16(struct vu *v, size_t off, unsigned value)
{
	v->dev.config[off] = (uint8_t)value;
	v->dev.config[off + 1] = (uint8_t)(value >> 8);
}

static void config_init(struct vu *v, const struct vu_conf *c)
{
	memcpy(v->mac, c->mac, sizeof(c->mac));
	memcpy(v->dev.config, c->mac, sizeof(c->mac));
	config_put16(v, offsetof(struct virtio_net_config, status), VIRTIO_NET_S_LINK_UP);
	config_put16(v, offsetof(struct virtio_net_config, max_virtqueue_pairs), c->pairs);
	config_put16(v, offsetof(struct virtio_net_config, mtu), c->mtu);
	memset(v->dev.config + offsetof(struct virtio_net_config, speed), 0xff, 5); /* unknown */
}

/* Set or clear VIRTIO_NET_S_@bit. Return: did that change anything? */
static bool config_status(struct vu *v, unsigned bit, bool on)
{
	const size_t off = offsetof(struct virtio_net_config, status);
	const unsigned status = v->dev.config[off], now = on ? status | bit : status & ~bit;

	config_put16(v, off, now);
	return now != status;
}

static void link_changed(struct vu *v, bool up)
{
	if (config_status(v, VIRTIO_NET_S_LINK_UP, up) && v->session)
		vu_session_config_changed(v->session);
}

/* ------------------------------------------------------------------ offloads */

/* What the guest takes, as far as it is known: it may change its mind on the control queue. */
static unsigned accepts(const struct vu *v)
{
	static const struct {
		unsigned feature, offload;
	} map[] = {
		{ VIRTIO_NET_F_GUEST_CSUM, VMTAP_OFFLOAD_CSUM },
		{ VIRTIO_NET_F_GUEST_TSO4, VMTAP_OFFLOAD_TSO4 },
		{ VIRTIO_NET_F_GUEST_TSO6, VMTAP_OFFLOAD_TSO6 },
		{ VIRTIO_NET_F_GUEST_ECN, VMTAP_OFFLOAD_ECN },
		{ VIRTIO_NET_F_GUEST_UFO, VMTAP_OFFLOAD_UFO },
		{ VIRTIO_NET_F_GUEST_USO4, VMTAP_OFFLOAD_USO4 },
		{ VIRTIO_NET_F_GUEST_USO6, VMTAP_OFFLOAD_USO6 },
	};
	unsigned ret = 0;

	for (size_t i = 0; i < sizeof(map) / sizeof(map[0]); i++)
		if (v->ctrl.offloads >> map[i].feature & 1)
			ret |= map[i].offload;
	return ret & VMTAP_OFFLOAD_CSUM ? ret : 0;
}

/* ------------------------------------------------------------------- steering */

/* Does the guest talk to us on a control queue? A front end may acknowledge it and keep it to itself. */
static bool has_ctrl(const struct vu *v)
{
	const unsigned i = vu_dev_ctrl(&v->dev);

	return i < v->dev.queue_cnt && v->io[i].runs;
}

/* The guest says it on the control queue; without one, what is enabled says it. */
static unsigned pairs_in_use(const struct vu *v)
{
	return has_ctrl(v) ? v->ctrl.pairs : v->dev.pairs;
}

static bool takes_frames(const struct vu *v, unsigned pair)
{
	const struct vu_queue *q = &v->dev.queues[2 * pair];

	return v->io[2 * pair].runs && is_rx(v, 2 * pair) && q->enabled && !vring_error(q->ring);
}

static void rings_run(struct loop_task *t)
{
	struct vu *v = container_of(t, struct vu, rings_task);

	port_enter(&v->port);
	if (v->steer.cnt) {
		port_use_pairs(&v->port, v->steer.pairs, v->steer.cnt);
		port_set_state(&v->port, VMTAP_PORT_UP);
		port_writable(&v->port); /* there may be room now */
	} else {
		port_set_state(&v->port, VMTAP_PORT_WAITING);
	}
	port_leave(&v->port);
}

/* Which receive rings take frames? Frames for those that do not are dropped, also such as waited for it;
 * but not before the message is over: rings pause for a change of memory, and run on, one after the
 * other. Nor does a TAP give up a queue, with the frames in it, before that. */
void vu_rings_changed(struct vu *v)
{
	const unsigned pairs = pairs_in_use(v);
	unsigned cnt = 0;

	for (unsigned i = 0; i < pairs; i++)
		if (takes_frames(v, i))
			v->steer.pairs[cnt++] = (uint8_t)i;
	v->steer.cnt = cnt;
	for (unsigned i = 0; v->lanes && v->port.lane_cnt > 1 && i < v->port.lane_cnt; i++)
		v->lanes[i]->on = i < pairs && takes_frames(v, i);
	loop_task_add(v->port.env->loop, &v->rings_task);
}

void vu_ctrl_changed(struct vu *v)
{
	if (v->ctrl.announce_acked) {
		v->ctrl.announce_acked = false;
		config_status(v, VIRTIO_NET_S_ANNOUNCE, false);
	}
	memcpy(v->dev.config, v->ctrl.filter.mac, sizeof(v->ctrl.filter.mac));
	port_set_accepts(&v->port, accepts(v));
	vu_rings_changed(v);
}

/* ------------------------------------------------------------ end of a session */

void vu_end_later(struct vu *v, const struct vmtap_error *err)
{
	if (!v->end_err.code)
		v->end_err = *err;
	loop_task_add(v->port.env->loop, &v->end_task);
}

static void end_run(struct loop_task *t)
{
	struct vu *v = container_of(t, struct vu, end_task);
	struct vmtap_error err = v->end_err;

	v->end_err.code = 0;
	port_enter(&v->port);
	if (v->session)
		conn_broken(&v->conn, &err);
	port_leave(&v->port);
}

static void check_queue(struct vu *v, unsigned index)
{
	const char *why = vring_error(v->dev.queues[index].ring);
	struct vmtap_error err;

	if (mem_is_lost(v->dev.mem) && v->session) {
		error_set(&err, EFAULT, v->object, "use the guest's memory",
			  "the front end cut its file, and pages that were shared are gone");
		error_remedy(&err, "have the VMM seal it (QEMU: -object memory-backend-memfd,"
				   "share=on), and nobody else write it");
		vu_end_later(v, &err);
	}
	if (!why || v->io[index].told)
		return;
	v->io[index].told = true;
	sock_say(&v->port, &v->infos, VMTAP_LOG_WARNING,
		 "queue %u is broken until the guest sets it up again: %s", index, why);
	if (is_rx(v, index))
		vu_rings_changed(v);
}

static void check_run(struct loop_task *t)
{
	struct vu *v = container_of(t, struct vu, check_task);

	port_enter(&v->port);
	for (unsigned i = 0; i < v->dev.queue_cnt; i++)
		check_queue(v, i);
	port_leave(&v->port);
}

void vu_check(struct vu *v, unsigned index)
{
	const bool broken = vring_error(v->dev.queues[index].ring) && !v->io[index].told;

	if (!broken && !mem_is_lost(v->dev.mem)) /* a guest can kick a broken ring all day */
		return;
	if (vu_loop(v, index) == v->port.env->loop)
		check_queue(v, index);
	else
		loop_task_post(v->port.env->loop, &v->check_task);
}

/* ------------------------------------------------------------ what the device says */

static void dev_features(struct vu_dev *dev)
{
	struct vu *v = vu_of_dev(dev);
	bool modern = vu_dev_has(dev, VIRTIO_F_VERSION_1);

	v->mergeable = vu_dev_has(dev, VIRTIO_NET_F_MRG_RXBUF);
	v->hdr_len = modern || v->mergeable ? HDR_LEN_MODERN : HDR_LEN_LEGACY;
	v->swap = modern && __BYTE_ORDER == __BIG_ENDIAN;
	ctrl_init(&v->ctrl, dev->features, dev->pairs, dev->config);
	port_set_accepts(&v->port, accepts(v));
}

static void dev_started(struct vu_dev *dev, unsigned index)
{
	struct vu *v = vu_of_dev(dev);
	const struct vu_queue *q = &dev->queues[index];

	v->io[index].runs = true;
	v->io[index].told = false;
	v->io[index].blank_kicks = 0;
	v->io[index].declined = false;
	vu_watch_kick(v, index, q->kick);
	vu_vhost_lend(v, index);
	if (is_rx(v, index)) {
		vring_want_kicks(q->ring, false);
		vu_rings_changed(v);
	} else {
		loop_task_add(vu_loop(v, index), &v->io[index].more); /* what is there already */
		vu_await_enable(v, index);
		if (vu_dev_is_ctrl(dev, index))
			vu_rings_changed(v);
	}
}

static void dev_stopping(struct vu_dev *dev, unsigned index)
{
	struct vu *v = vu_of_dev(dev);

	vu_vhost_return(v, index);
	v->io[index].runs = false;
	loop_task_del(vu_loop(v, index), &v->io[index].more);
	vu_watch_kick(v, index, -1);
	if (is_rx(v, index) || vu_dev_is_ctrl(dev, index))
		vu_rings_changed(v);
}

static void dev_enabled(struct vu_dev *dev, unsigned index)
{
	struct vu *v = vu_of_dev(dev);

	v->io[index].begun |= dev->queues[index].enabled;
	vu_vhost_update(v);
	if (is_rx(v, index))
		vu_rings_changed(v);
	else if (v->io[index].runs)
		loop_task_add(vu_loop(v, index), &v->io[index].more);
}

/* A kick may have come on the descriptor before, and nobody will read it. */
static void dev_kick_fd(struct vu_dev *dev, unsigned index, int fd)
{
	struct vu *v = vu_of_dev(dev);

	vu_vhost_return(v, index);
	vu_watch_kick(v, index, fd);
	if (fd < 0 || !v->io[index].runs || vu_vhost_lend(v, index))
		return;
	loop_task_add(vu_loop(v, index), &v->io[index].more);
}

/* The kernel writes to the old log, or none, until it has its rings anew. */
static void dev_log_changing(struct vu_dev *dev)
{
	vu_vhost_return_all(vu_of_dev(dev));
}

static void dev_log_changed(struct vu_dev *dev)
{
	vu_vhost_update(vu_of_dev(dev));
}

static void dev_call_fd(struct vu_dev *dev, unsigned index)
{
	vu_vhost_call_fd(vu_of_dev(dev), index);
}

/* A legacy driver sets its address so, or it comes with a migration. */
static void dev_config(struct vu_dev *dev)
{
	struct vu *v = vu_of_dev(dev);

	memcpy(v->ctrl.filter.mac, dev->config, sizeof(v->ctrl.filter.mac));
}

/* The guest knows all of its addresses; virtio 1.2, 5.1.6.5.4. */
static void ask_guest_to_announce(struct vu *v)
{
	if (has_ctrl(v) && vu_dev_has(&v->dev, VIRTIO_NET_F_GUEST_ANNOUNCE) &&
	    config_status(v, VIRTIO_NET_S_ANNOUNCE, true))
		vu_session_config_changed(v->session);
}

/* Send frame @i of those that lane @l knows. Return: whether there was such a frame. */
static bool announce_one(struct vu *v, const struct vu_lane *l, const uint8_t mac[6], unsigned i)
{
	uint8_t buf[ANNOUNCE_FRAME_MAX];
	const unsigned len = announce_frame(&l->announce, mac, i, buf);
	const struct iovec iov = { .iov_base = buf, .iov_len = len };
	const struct vmtap_frame frame = { .len = len, .iov = &iov, .iov_cnt = 1 };

	if (!len)
		return false;
	/* what nobody takes now will be asked for again */
	return !port_is_held(&v->port) && port_offer(&v->port, &frame, 1);
}

/* The network is to learn where the guest is: after a migration, or when it asks. The first frame says
 * only the address, and all lanes have the same. */
static void dev_announce(struct vu_dev *dev, const uint8_t mac[6])
{
	struct vu *v = vu_of_dev(dev);

	for (unsigned lane = 0; lane < v->port.lane_cnt; lane++)
		for (unsigned i = lane ? 1 : 0; announce_one(v, v->lanes[lane], mac, i); i++)
			;
	ask_guest_to_announce(v);
}

static int vu_announce(struct port *p, struct vmtap_error *err)
{
	static const uint8_t none[6];
	struct vu *v = (struct vu *)p;
	uint8_t mac[6];

	memcpy(mac, v->dev.config, sizeof(mac));
	if (p->state != VMTAP_PORT_UP)
		return error_set(err, ENOTCONN, p->name, "announce the guest", "there is none");
	if (memcmp(mac, none, sizeof(mac)) == 0) {
		error_set(err, ENODATA, p->name, "announce the guest", "its address is not known");
		error_remedy(err, "say mac=ADDRESS");
		return -ENODATA;
	}
	dev_announce(&v->dev, mac);
	return 0;
}

/* Whoever sets the rings up again has time to enable them, as at first. */
static void dev_reset(struct vu_dev *dev)
{
	struct vu *v = vu_of_dev(dev);

	loop_timer_del(v->port.env->loop, &v->grace);
	for (unsigned i = 0; i < dev->queue_cnt; i++)
		v->io[i].begun = false;
}

static void dev_settled(struct vu_dev *dev)
{
	struct vu *v = vu_of_dev(dev);

	if (!v->rings_task.queued)
		return;
	loop_task_del(v->port.env->loop, &v->rings_task);
	rings_run(&v->rings_task);
}

static int dev_mtu(struct vu_dev *dev, unsigned mtu)
{
	struct vu *v = vu_of_dev(dev);

	if (mtu < 68 || mtu > 65535 || (v->mtu_max && mtu > v->mtu_max))
		return -EINVAL;
	log_msg(v->port.env->log, VMTAP_LOG_DEBUG, v->port.name, "the guest's MTU is %u", mtu);
	return 0;
}

static const struct vu_dev_ops dev_ops = {
	.features = dev_features,
	.started = dev_started,
	.stopping = dev_stopping,
	.remapped = dev_started,
	.enabled = dev_enabled,
	.kick_fd = dev_kick_fd,
	.call_fd = dev_call_fd,
	.log_changing = dev_log_changing,
	.log_changed = dev_log_changed,
	.config = dev_config,
	.announce = dev_announce,
	.reset = dev_reset,
	.settled = dev_settled,
	.mtu = dev_mtu,
};

/* ------------------------------------------------------------------ connections */

static void session_ready(struct loop_watch *w, uint32_t events)
{
	struct vu *v = container_of(w, struct vu, watch);
	struct vmtap_error err = { 0 };
	int ret;

	port_enter(&v->port);
	ret = vu_session_run(v->session, &err);
	if (ret == -EPIPE)
		conn_lost(&v->conn, EPIPE, "the front end closed the connection");
	else if (ret < 0)
		conn_broken(&v->conn, &err);
	port_leave(&v->port);
}

static int conn_begin(struct conn *c)
{
	struct vu *v = container_of(c, struct vu, conn);
	int ret;

	v->session = vu_session_new(&v->dev, c->fd);
	if (!v->session)
		return -ENOMEM;
	ret = loop_add(v->port.env->loop, &v->watch, c->fd, EPOLLIN);
	if (ret == 0)
		return 0;
	vu_session_free(v->session);
	v->session = NULL;
	return ret;
}

static void conn_end(struct conn *c)
{
	struct vu *v = container_of(c, struct vu, conn);

	port_enter(&v->port);
	loop_del(v->port.env->loop, &v->watch);
	loop_task_del(v->port.env->loop, &v->end_task);
	vu_dev_reset(&v->dev);
	vu_session_free(v->session);
	v->session = NULL;
	vu_kicks_end(v);
	memcpy(v->dev.config, v->mac, sizeof(v->mac)); /* not the last guest's */
	config_status(v, VIRTIO_NET_S_ANNOUNCE, false);
	steer_reset(&v->steer);
	dev_features(&v->dev); /* nobody is there: no offload is taken */
	port_leave(&v->port);
}

static const struct conn_ops conn_ops = {
	.begin = conn_begin,
	.end = conn_end,
};

/* -------------------------------------------------------------- what a port is */

static int vu_start(struct port *p, struct vmtap_error *err)
{
	if (vu_lanes_prepare(vu_of_port(p)) < 0 || vu_vhost_start(vu_of_port(p)) < 0)
		return error_errno(err, ENOMEM, p->name, "start the port");
	return conn_start(&vu_of_port(p)->conn, err);
}

static int vu_set_link(struct port *p, bool up, struct vmtap_error *err)
{
	struct vu *v = vu_of_port(p);

	link_changed(v, up && v->peer_link_up);
	loop_task_add(p->env->loop, &v->vhost_task);
	return 0;
}

static void vu_peer_link(struct port *p, bool up)
{
	struct vu *v = vu_of_port(p);

	v->peer_link_up = up;
	vu_vhost_update(v);
	link_changed(v, up && p->link_up);
}

static int vu_describe(const struct port *p, char *buf, size_t size)
{
	const struct vu *v = vu_of_port(p);
	int len = conn_describe(&v->conn, buf, size);

	if (v->dev.pairs > 1 && len >= 0)
		len += snprintf((size_t)len < size ? buf + len : NULL,
				(size_t)len < size ? size - (size_t)len : 0,
				", %u of %u queue pairs", v->steer.cnt, v->dev.pairs);
	if (v->vhost && len >= 0)
		len += snprintf((size_t)len < size ? buf + len : NULL,
				(size_t)len < size ? size - (size_t)len : 0, ", %u by vhost-net",
				vu_vhost_lent_pairs(v));
	return len;
}

static int vu_get_fd(const struct port *p, unsigned queue)
{
	return queue ? -1 : conn_get_fd(&vu_of_port(p)->conn);
}

static void vu_close(struct port *p)
{
	struct vu *v = vu_of_port(p);

	conn_close(&v->conn);
	vu_vhost_close(v);
	loop_task_del(p->env->loop, &v->end_task);
	loop_task_del(p->env->loop, &v->rings_task);
	loop_task_del(p->env->loop, &v->check_task);
	vu_kicks_end(v);
}

static void vu_free(struct port *p)
{
	struct vu *v = vu_of_port(p);

	vu_dev_fini(&v->dev);
	for (unsigned i = 0; v->lanes && i < v->port.pair_cnt; i++)
		free(v->lanes[i]);
	free(v->lanes);
	free(v->vhost);
	free(v->io);
	free(v);
}

static const struct port_ops vu_ops = {
	.type = "vhost-user",
	.rings = true,
	.shared = true,
	.vhost_changed = vu_vhost_changed,
	.start = vu_start,
	.leave_loops = vu_leave_loops,
	.moved = vu_moved,
	.send = vu_send,
	.lend = vu_lend,
	.repay = vu_repay,
	.settle = vu_settle,
	.resume = vu_resume,
	.set_poll = vu_set_poll,
	.set_link = vu_set_link,
	.announce = vu_announce,
	.peer_link = vu_peer_link,
	.describe = vu_describe,
	.queue_stats = vu_queue_stats,
	.get_fd = vu_get_fd,
	.close = vu_close,
	.free = vu_free,
};

/* --------------------------------------------------------------------- opening */

static int init_device(struct vu *v, const struct vu_conf *c)
{
	v->dev.ops = &dev_ops;
	v->dev.object = v->object;
	v->dev.offered = c->features;
	v->dev.pairs = c->pairs;
	v->dev.queue_size_max = c->queue_size;
	v->mtu_max = c->mtu;
	config_init(v, c);
	if (vu_dev_init(&v->dev) < 0)
		return -ENOMEM;
	v->io = calloc(v->dev.queue_cnt, sizeof(*v->io));
	v->lanes = calloc(v->dev.pairs, sizeof(struct vu_lane *));
	if (!v->io || !v->lanes || port_set_pairs(&v->port, v->dev.pairs) < 0)
		return -ENOMEM;
	vu_kicks_init(v);
	vu_vhost_init(v);
	dev_features(&v->dev);
	return 0;
}

static struct port *vu_open(const struct port_env *env, const char *name, const struct conf *conf,
			    struct vmtap_error *err)
{
	struct vu_conf c;
	struct vu *v;

	if (vu_conf_read(&c, conf, err) < 0)
		return NULL;
	v = calloc(1, sizeof(*v));
	if (!v || port_init(&v->port, &vu_ops, env, name) < 0) {
		free(v);
		error_errno(err, ENOMEM, conf_object(conf), "open the port");
		return NULL;
	}
	snprintf(v->object, sizeof(v->object), "%s", conf_object(conf));
	v->peer_link_up = true;
	v->watch = (struct loop_watch) { .ready = session_ready, .fd = -1 };
	v->end_task.run = end_run;
	v->rings_task.run = rings_run;
	v->check_task.run = check_run;
	conn_init(&v->conn, &conn_ops, &v->port, v->object);
	if (init_device(v, &c) < 0)
		error_errno(err, ENOMEM, v->object, "open the port");
	else if (conn_open(&v->conn, &c.conn, err) == 0)
		return &v->port;
	port_free(&v->port);
	return NULL;
}

static int vu_check_conf(const struct port_env *env, const struct conf *conf,
			 struct vmtap_error *err)
{
	struct vu_conf c;
	int ret = vu_conf_read(&c, conf, err);

	return ret < 0 ? ret : conn_check(env, &c.conn, conf_object(conf), err);
}

const struct port_type vu_type = {
	.schema = &vu_schema,
	.summary = "a virtio-net device for a VMM, over vhost-user",
	.help = vu_help,
	.open = vu_open,
	.check = vu_check_conf,
};
