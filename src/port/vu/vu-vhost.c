/* SPDX-License-Identifier: MIT */
/*
 * The `vhost-user` port: rings that the kernel serves.
 *
 * Problem
 *   Where the peer is a TAP with vhost=on, the kernel's vhost-net can do what this process
 *   does: take frames from the rings that the front end shared to the TAP, and back, with nobody
 *   woken up.
 *
 * Model
 *   A ring that runs, and that nothing speaks against (wants()), is *lent*: the kernel is told of
 *   features, memory, log and ring, and serves it. Before anything of that changes the ring is
 *   returned (dev_stopping() and others), and goes on here where the kernel left off; then it may be
 *   lent again. So everything that can happen to a ring happens to one that is ours, and
 *   only this file knows of the other case.
 *
 * When the kernel says no
 *   The ring stays here until it is set up again, or the TAP goes or comes: a warning, or,
 *   where the user insists (vhostforce=on), the end of the session.
 *
 * What the front end and the guest may do wrong
 *   The kernel checks what is in a ring. What it finds it tells through a descriptor of
 *   ours; then the ring is returned, and broken here, where it is said what is the matter.
 *
 * Threads
 *   The port's loop, with the lanes held still.
 */
#include <assert.h>
#include <errno.h>
#include <linux/vhost_types.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "port/vu/features.h"
#include "port/vu/vu-int.h"
#include "sock/say.h"
#include "vhost/vhost.h"

#define BIT(FEATURE) (1ull << (FEATURE))
/* A header as most guests have it, while none is there yet. */
#define HDR_LEN 12

static_assert(VMTAP_VHOST_RX == 0 && VMTAP_VHOST_TX == 1, "a queue's ring is its index, modulo 2");

/* ---------------------------------------------------------------- what is offered */

/* What the TAP does not take is finished by nobody when the kernel carries the frames. */
static uint64_t unfinished(const struct port *peer)
{
	static const struct {
		unsigned feature, needs;
	} map[] = {
		{ VIRTIO_NET_F_CSUM, VMTAP_OFFLOAD_CSUM },
		{ VIRTIO_NET_F_HOST_TSO4, VMTAP_OFFLOAD_TSO4 },
		{ VIRTIO_NET_F_HOST_TSO6, VMTAP_OFFLOAD_TSO6 },
		{ VIRTIO_NET_F_HOST_ECN, VMTAP_OFFLOAD_ECN },
		{ VIRTIO_NET_F_HOST_UFO, VMTAP_OFFLOAD_UFO },
		{ VIRTIO_NET_F_HOST_USO, VMTAP_OFFLOAD_USO4 | VMTAP_OFFLOAD_USO6 },
	};
	uint64_t ret = 0;

	for (size_t i = 0; i < sizeof(map) / sizeof(map[0]); i++)
		if (map[i].needs & ~peer->accepts)
			ret |= BIT(map[i].feature);
	return ret;
}

/* Nobody looks at frames, either. */
static const uint64_t filters =
	BIT(VIRTIO_NET_F_CTRL_RX) | BIT(VIRTIO_NET_F_CTRL_RX_EXTRA) | BIT(VIRTIO_NET_F_CTRL_VLAN);

int vu_vhost_start(struct vu *v)
{
	const uint64_t before = v->dev.offered;
	struct port_vhost vhost;
	char names[400];

	if (!port_peer_vhost(&v->port, 0, HDR_LEN, &vhost))
		return 0;
	v->vhost = calloc(v->dev.pairs, sizeof(*v->vhost));
	if (!v->vhost)
		return -ENOMEM;
	v->dev.slots_max = vhost_regions_max();
	v->dev.offered = vu_conf_consistent(vhost_mask(vhost.handle, before) & ~filters &
					    ~unfinished(port_peer(&v->port)));
	if (vu_conf_names(before & ~v->dev.offered, names, sizeof(names)))
		log_msg(v->port.env->log, VMTAP_LOG_INFO, v->port.name,
			"vhost-net: not offered, since the kernel cannot do it: %s", names);
	return 0;
}

/* ------------------------------------------------------------------------ lending */

static bool wants(const struct vu *v, unsigned index)
{
	const struct vu_queue_io *io = &v->io[index];
	const struct vu_queue *q = &v->dev.queues[index];

	return v->vhost && index < 2 * v->dev.pairs && io->runs && !io->declined && q->enabled &&
	       q->kick >= 0 && !q->polled && !vring_error(q->ring) && !v->swap && v->port.polling &&
	       v->port.link_up && v->peer_link_up && !mem_is_lost(v->dev.mem) &&
	       !vring_is_blank(q->ring);
}

static bool pair_is_lent(const struct vu *v, unsigned pair)
{
	return v->io[2 * pair].lent || v->io[2 * pair + 1].lent;
}

static int tell_memory(struct vu *v, struct vmtap_vhost *handle, struct vmtap_error *err)
{
	const unsigned cnt = mem_cnt(v->dev.mem);
	struct vmtap_vhost_region *regions = calloc(cnt, sizeof(*regions));
	int ret;

	if (!regions)
		return error_errno(err, ENOMEM, v->object, "describe the guest's memory");
	ret = vhost_set_mem(handle, regions, mem_regions(v->dev.mem, regions, cnt), err);
	free(regions);
	return ret;
}

static int tell_log(struct vu *v, struct vmtap_vhost *handle, uint64_t features,
		    struct vmtap_error *err)
{
	void *log = mem_log(v->dev.mem);
	int ret;

	if (!mem_is_logging(v->dev.mem))
		return 0;
	if (!log)
		return error_set(err, EINVAL, v->object, "have vhost-net log the guest's memory",
				 "the log does not cover it");
	ret = vhost_set_log(handle, log, -1, err);
	return ret ? ret : vhost_set_features(handle, features | BIT(VHOST_F_LOG_ALL), err);
}

/* All but the rings, before the first of a pair is lent. */
static int tell_device(struct vu *v, const struct port_vhost *vhost, struct vmtap_error *err)
{
	uint64_t features = v->dev.features & ~BIT(VHOST_F_LOG_ALL);
	int ret;

	if (vhost_mask(vhost->handle, features) != features)
		return error_set(err, EOPNOTSUPP, v->object, "have the kernel serve the rings",
				 "the guest was offered features that vhost-net does not have");
	features &= vhost_features(vhost->handle);
	ret = vhost_set_features(vhost->handle, features, err);
	if (!ret)
		ret = tell_memory(v, vhost->handle, err);
	return ret ? ret : tell_log(v, vhost->handle, features, err);
}

static int start_ring(struct vu *v, unsigned index, const struct port_vhost *vhost,
		      struct vmtap_vhost_ring *ring, struct vmtap_error *err)
{
	struct vu_queue_io *io = &v->io[index];
	int ret;

	io->kernel_err = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (io->kernel_err < 0)
		return error_errno(err, errno, v->object, "have the kernel serve the rings");
	ret = loop_add(v->port.env->loop, &io->trouble, io->kernel_err, EPOLLIN);
	if (ret < 0)
		return error_errno(err, -ret, v->object, "have the kernel serve the rings");
	ring->kick = v->dev.queues[index].kick;
	ring->call = v->dev.queues[index].call;
	ring->err = io->kernel_err;
	ret = vhost_set_ring(vhost->handle, index % 2, ring, err);
	return ret ? ret : vhost_start(vhost->handle, index % 2, err);
}

/* It was lent for a moment, and is not any more. */
static void clear(struct vu *v, unsigned index)
{
	struct vu_queue_io *io = &v->io[index];

	loop_del(v->port.env->loop, &io->trouble);
	fd_close(&io->kernel_err);
	io->lent = false;
	vring_take_back(v->dev.queues[index].ring);
}

static void decline(struct vu *v, unsigned index, bool must, struct vmtap_error *err)
{
	v->io[index].declined = true;
	if (must) {
		if (!err->remedy[0])
			error_remedy(err, "without vhostforce=on and vhostfd=, vmtap carries the "
					  "frames itself");
		vu_end_later(v, err);
		return;
	}
	sock_say(&v->port, &v->infos, VMTAP_LOG_WARNING,
		 "vmtap carries the frames of queue %u itself: cannot %s: %s%s%s", index,
		 err->action, err->reason, err->remedy[0] ? "; " : "", err->remedy);
}

static void say(struct vu *v, unsigned pair)
{
	if (v->io[2 * pair].lent && v->io[2 * pair + 1].lent)
		sock_say(&v->port, &v->infos, VMTAP_LOG_INFO,
			 "the kernel carries the frames of queue pair %u (vhost-net)", pair);
}

/* Return: whether the kernel serves it now. */
bool vu_vhost_lend(struct vu *v, unsigned index)
{
	const unsigned pair = index / 2;
	struct vu_queue_io *io = &v->io[index];
	struct vmtap_vhost_ring ring;
	struct vmtap_error err = { 0 };
	struct port_vhost vhost;
	int ret = 0;

	if (io->lent || !wants(v, index))
		return io->lent;
	/* frames that wait for room here come first */
	if (index % 2 == 0 && port_lane(&v->port, pair)->blocked)
		return false;
	if (!port_peer_vhost(&v->port, pair, v->hdr_len, &vhost) ||
	    !vring_lend(v->dev.queues[index].ring, &ring))
		return false;
	if (!pair_is_lent(v, pair))
		ret = tell_device(v, &vhost, &err);
	if (!ret)
		ret = start_ring(v, index, &vhost, &ring, &err);
	if (ret < 0) {
		clear(v, index);
		decline(v, index, vhost.must, &err);
		return false;
	}
	v->vhost[pair] = vhost.handle;
	io->lent = true;
	loop_task_del(vu_loop(v, index), &io->more);
	vu_watch_kick(v, index, -1);
	say(v, pair);
	return true;
}

/* ---------------------------------------------------------------------- returning */

void vu_vhost_return(struct vu *v, unsigned index)
{
	const unsigned pair = index / 2;
	struct vmtap_error err = { 0 };
	uint32_t base;
	int ret;

	if (!v->io[index].lent)
		return;
	/* where it came the used ring says, too: it keeps to the order */
	ret = vhost_stop(v->vhost[pair], index % 2, &base, &err);
	clear(v, index);
	if (ret < 0) {
		log_error(v->port.env->log, VMTAP_LOG_ERROR, v->port.name, &err);
		vring_set_broken(v->dev.queues[index].ring, "the kernel does not give it back");
	}
	if (!pair_is_lent(v, pair))
		vhost_set_mem(v->vhost[pair], NULL, 0, NULL); /* it may go now */
}

/* The queue goes on here. */
static void go_on(struct vu *v, unsigned index)
{
	const struct vu_queue *q = &v->dev.queues[index];

	if (!v->io[index].runs)
		return;
	vu_watch_kick(v, index, q->kick);
	if (index % 2)
		loop_task_add(vu_loop(v, index), &v->io[index].more);
	else
		lane_writable(vu_lane(v, index)->lane);
}

static void return_and_go_on(struct vu *v, unsigned index)
{
	if (!v->io[index].lent)
		return;
	vu_vhost_return(v, index);
	go_on(v, index);
}

void vu_vhost_update(struct vu *v)
{
	for (unsigned i = 0; v->vhost && i < 2 * v->dev.pairs; i++) {
		if (!wants(v, i))
			return_and_go_on(v, i);
		else
			vu_vhost_lend(v, i);
	}
}

void vu_vhost_return_all(struct vu *v)
{
	for (unsigned i = 0; v->vhost && i < 2 * v->dev.pairs; i++)
		return_and_go_on(v, i);
}

static void update_run(struct loop_task *t)
{
	struct vu *v = container_of(t, struct vu, vhost_task);

	port_enter(&v->port);
	vu_vhost_update(v);
	port_leave(&v->port);
}

void vu_vhost_later(struct vu *v, unsigned index)
{
	if (v->vhost && !v->io[index].lent && !v->io[index].declined)
		lane_post(vu_lane(v, index)->lane, &v->vhost_task);
}

/*
 * The peer may be in the middle of anything: what it has from now on, a task asks. That may be another TAP, so the
 * kernel may take what it refused; and what seemed to be impossible in a ring may have been that the TAP went.
 */
void vu_vhost_changed(struct port *p)
{
	struct vu *v = vu_of_port(p);

	port_enter(p);
	vu_vhost_return_all(v);
	for (unsigned i = 0; i < v->dev.queue_cnt; i++)
		v->io[i].declined = false;
	if (v->vhost && p->junction)
		loop_task_add(p->env->loop, &v->vhost_task);
	port_leave(p);
}

/* The kernel found something that cannot be: we shall, too, and say what. */
static void trouble_ready(struct loop_watch *w, uint32_t events)
{
	struct vu_queue_io *io = container_of(w, struct vu_queue_io, trouble);
	struct vu *v = io->vu;

	port_enter(&v->port);
	sock_say(&v->port, &v->infos, VMTAP_LOG_WARNING,
		 "vhost-net met something impossible in queue %u, and vmtap looks at it",
		 io->index);
	io->declined = true;
	return_and_go_on(v, io->index);
	port_leave(&v->port);
}

/* ------------------------------------------------------------------------- the rest */

void vu_vhost_call_fd(struct vu *v, unsigned index)
{
	struct vmtap_error err = { 0 };

	if (!v->io[index].lent)
		return;
	if (vhost_set_event(v->vhost[index / 2], index % 2, VMTAP_VHOST_CALL,
			    v->dev.queues[index].call, &err) == 0)
		return;
	return_and_go_on(v, index);
	decline(v, index, false, &err);
}

unsigned vu_vhost_lent_pairs(const struct vu *v)
{
	unsigned cnt = 0;

	for (unsigned i = 0; v->vhost && i < v->dev.pairs; i++)
		cnt += v->io[2 * i].lent && v->io[2 * i + 1].lent;
	return cnt;
}

void vu_vhost_init(struct vu *v)
{
	v->vhost_task.run = update_run;
	for (unsigned i = 0; i < v->dev.queue_cnt; i++) {
		v->io[i].kernel_err = -1;
		v->io[i].trouble = (struct loop_watch) { .ready = trouble_ready, .fd = -1 };
	}
}

void vu_vhost_close(struct vu *v)
{
	loop_task_del(v->port.env->loop, &v->vhost_task);
}
