/* SPDX-License-Identifier: MIT */
/*
 * The `vhost-user` port: what makes a queue run.
 *
 * Model
 *   A kick of the guest's; without a kick descriptor, a timer; and a task, where a turn ended
 *   early or something else has changed. A queue that is started and not enabled waits
 *   for a moment, see struct vu_queue_io.
 *
 * What the front end may do wrong
 *   Pass a descriptor that is no eventfd, close it, have it wait, share it between
 *   queues: any that becomes readable will do, and none is waited for.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/counter.h"
#include "base/error.h"
#include "port/vu/vu-int.h"
#include "sock/say.h"

/** How often a ring without a kick descriptor is looked at. */
#define POLL_NS (NSEC_PER_MSEC / 2)
/** How long a front end has to enable a queue that it started, before what is sent there is discarded. */
#define GRACE_NS (100 * NSEC_PER_MSEC)
/** So many kicks for a ring that nobody wrote say that the memory is not shared. */
#define BLANK_NOT 2

/* Buffers came, perhaps those that a frame waits for. */
static void rx_kicked(struct vu *v, unsigned index)
{
	vring_want_kicks(v->dev.queues[index].ring, false);
	lane_writable(
		vu_lane(v, index)->lane); /* asks for them again when they are still too few */
	vu_vhost_later(v, index);	  /* what waited is through, perhaps */
}

static void run_queue(struct vu *v, unsigned index)
{
	if (vu_dev_is_ctrl(&v->dev, index)) {
		port_enter(&v->port); /* what the guest asks for concerns all of its queues */
		vu_ctrl_run(v, index);
		port_leave(&v->port);
	} else if (index % 2) {
		vu_tx_run(v, index);
	} else {
		rx_kicked(v, index);
	}
}

static void more_run(struct loop_task *t)
{
	struct vu_queue_io *io = container_of(t, struct vu_queue_io, more);

	run_queue(io->vu, io->index);
}

/* Without waiting, also where somebody else took what was there, and where the front end made its
 * descriptor, whose flags it shares, wait. */
static ssize_t read_kick(int fd)
{
	uint64_t cnt;
	const struct iovec iov = { .iov_base = &cnt, .iov_len = sizeof(cnt) };
	struct pollfd p = { .fd = fd, .events = POLLIN };
	ssize_t n = preadv2(fd, &iov, 1, -1, RWF_NOWAIT);

	if (n >= 0 || errno != EOPNOTSUPP)
		return n;
	if (poll(&p, 1, 0) == 1)
		return read(fd, &cnt, sizeof(cnt));
	errno = EAGAIN;
	return -1;
}

/* Only the port's own thread speaks. */
static void tell_later(struct vu_queue_io *io, unsigned news)
{
	io->news |= news;
	if (vu_loop(io->vu, io->index) == io->vu->port.env->loop)
		loop_task_add(io->vu->port.env->loop, &io->tell);
	else
		loop_task_post(io->vu->port.env->loop, &io->tell);
}

static void tell_run(struct loop_task *t)
{
	struct vu_queue_io *io = container_of(t, struct vu_queue_io, tell);
	struct vu *v = io->vu;
	unsigned news;

	port_enter(&v->port);
	news = io->news;
	io->news = 0;
	port_leave(&v->port);
	if (news & VU_NEWS_KICK_LOST)
		sock_say(&v->port, &v->infos, VMTAP_LOG_WARNING,
			 "the kick descriptor of queue %u is of no use any more (%s); the queue "
			 "rests until there is another",
			 io->index, io->kick_code ? strerror(io->kick_code) : "it was closed");
	if (news & VU_NEWS_NOT_SHARED)
		sock_say(
			&v->port, &v->infos, VMTAP_LOG_WARNING,
			"queue %u was kicked, and nobody wrote its ring: the VMM does not share the "
			"guest's memory, and the guest has no network; QEMU: -object "
			"memory-backend-memfd,id=mem,size=...,share=on and "
			"-machine memory-backend=mem",
			io->index);
}

/*
 * A VMM that maps its memory privately has descriptors to pass all the same, but what the guest writes is
 * not in them. It shows when a guest kicks for a ring that nobody wrote. Once is no proof: QEMU
 * kicks each ring when it starts.
 */
static void check_shared(struct vu_queue_io *io)
{
	if (!vring_is_blank(io->vu->dev.queues[io->index].ring)) {
		io->blank_kicks = BLANK_NOT;
		vu_vhost_later(io->vu, io->index);
	} else if (++io->blank_kicks == BLANK_NOT) {
		tell_later(io, VU_NEWS_NOT_SHARED);
	}
}

/* Any descriptor that becomes readable will do; an eventfd is the usual one. */
static void kick_ready(struct loop_watch *w, uint32_t events)
{
	struct vu_queue_io *io = container_of(w, struct vu_queue_io, kick);
	ssize_t n = read_kick(w->fd);

	counter_add(&io->kicks, 1);
	if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
		loop_del(vu_loop(io->vu, io->index), w);
		io->kick_code = n ? errno : 0;
		tell_later(io, VU_NEWS_KICK_LOST);
	}
	if (io->blank_kicks != BLANK_NOT && n > 0)
		check_shared(io);
	run_queue(io->vu, io->index);
}

static void poll_fire(struct loop_timer *t)
{
	struct vu *v = container_of(t, struct vu, poll);

	if (v->polled)
		loop_timer_set(v->port.env->loop, t, POLL_NS);
	port_enter(&v->port);
	for (unsigned i = 0; i < v->dev.queue_cnt; i++)
		if (v->io[i].runs && v->dev.queues[i].polled)
			run_queue(v, i);
	port_leave(&v->port);
}

/* Queues that nobody enabled are the guest's no more: what it sends there is discarded from now on. */
static void grace_fire(struct loop_timer *t)
{
	struct vu *v = container_of(t, struct vu, grace);

	port_enter(&v->port);
	for (unsigned i = 1; i < v->dev.queue_cnt; i += 2) {
		v->io[i].begun = true;
		if (v->io[i].runs)
			loop_task_add(vu_loop(v, i), &v->io[i].more);
	}
	port_leave(&v->port);
}

void vu_await_enable(struct vu *v, unsigned index)
{
	if (!v->io[index].begun)
		loop_timer_set(v->port.env->loop, &v->grace, GRACE_NS);
}

void vu_watch_kick(struct vu *v, unsigned index, int fd)
{
	struct loop *loop = v->port.env->loop, *queue_loop = vu_loop(v, index);
	struct vmtap_error err;
	int ret;

	loop_del(queue_loop, &v->io[index].kick);
	v->polled = 0;
	for (unsigned i = 0; i < v->dev.queue_cnt; i++)
		v->polled += v->io[i].runs && v->dev.queues[i].polled;
	if (v->polled)
		loop_timer_set(loop, &v->poll, POLL_NS);
	if (fd < 0 || !v->io[index].runs || v->io[index].lent)
		return;
	ret = loop_add(queue_loop, &v->io[index].kick, fd, EPOLLIN);
	if (ret == 0)
		return;
	error_set(&err, -ret, v->object, "watch the kick descriptor of a queue", "%s",
		  strerror(-ret));
	error_remedy(&err, "the front end is to pass an eventfd, or say that there is none");
	vu_end_later(v, &err);
}

void vu_kicks_init(struct vu *v)
{
	for (unsigned i = 0; i < v->dev.queue_cnt; i++) {
		v->io[i] = (struct vu_queue_io) {
			.vu = v, .index = i, .more.run = more_run, .tell.run = tell_run
		};
		v->io[i].kick = (struct loop_watch) { .ready = kick_ready, .fd = -1 };
	}
	v->poll.fire = poll_fire;
	v->grace.fire = grace_fire;
}

/* Also of a port whose opening failed half-way. */
void vu_kicks_end(struct vu *v)
{
	loop_timer_del(v->port.env->loop, &v->poll);
	loop_timer_del(v->port.env->loop, &v->grace);
	for (unsigned i = 0; v->io && i < v->dev.queue_cnt; i++) {
		v->io[i].begun = false;
		v->io[i].news = 0;
		loop_task_del(v->port.env->loop, &v->io[i].tell);
	}
}
