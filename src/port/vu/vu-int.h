/* SPDX-License-Identifier: MIT */
/*
 * The insides of the `vhost-user` port, shared by its life cycle (vu.c), its
 * options (vu-conf.c) and its data path (rx.c, tx.c).
 *
 * Words
 *   As the guest has them: it transmits (tx.c) on odd queues, which are frames that enter
 *   the port, and receives (rx.c) on even ones, frames that leave it.
 */
#ifndef PORT_VU_VU_INT_H
#define PORT_VU_VU_INT_H

#include "base/container.h"
#include "net/announce.h"
#include "net/port.h"
#include "port/vu/ctrl.h"
#include "port/vu/dev.h"
#include "port/vu/session.h"
#include "port/vu/steer.h"
#include "sock/conn.h"
#include "sock/connconf.h"

struct conf;

/** struct vu_conf - The options. */
struct vu_conf {
	struct conn_conf conn;
	unsigned pairs, queue_size;
	uint64_t features; /* to be offered */
	unsigned mtu;	   /* 0: none is offered */
	bool has_mac;
	uint8_t mac[6];
};

/** vu_conf_read() - Return: 0 or -errno and @err. */
int vu_conf_read(struct vu_conf *c, const struct conf *conf, struct vmtap_error *err);

/** vu_conf_consistent() - Without features that lack what they need. */
uint64_t vu_conf_consistent(uint64_t features);
/** vu_conf_names() - The options that stand for these features, "packed, in_order". Return: how many. */
unsigned vu_conf_names(uint64_t features, char *buf, size_t size);

extern const struct conf_schema vu_schema;
extern const char vu_help[];

/**
 * struct vu_queue_io - What the port adds to a queue
 * @kick: watches the kick descriptor
 * @more: goes on where a turn ended on its budget, or a resume came
 * @runs: the ring is started
 * @told: that the ring is broken has been said
 * @begun: the front end enabled the queue once since the device's beginning, or had time to. What a
 *         guest sends on a queue that is not enabled is discarded; but what it sent while there was no
 *         back end waits for that message
 * @blank_kicks: kicks for a ring that nobody wrote; BLANK_NOT: enough, or it was written
 * @lent:   the kernel serves the ring (vu-vhost.c); @kernel_err, owned, watched by @trouble, is how it
 *          says that something is wrong with it
 * @declined: it said no: not asked again before the ring is set up again, or the TAP changes
 * @kicks:  wake-ups by its kick descriptor (base/counter.h)
 * @news, @kick_code: what @tell has to say, in the port's loop: VU_NEWS_*, and an errno value
 */
struct vu_queue_io {
	struct vu *vu;
	unsigned index;
	struct loop_watch kick;
	struct loop_task more;
	bool runs, told, begun, lent, declined;
	int kernel_err;
	struct loop_watch trouble;
	uint8_t blank_kicks;
	uint8_t news;
	int kick_code;
	uint64_t kicks;
	struct loop_task tell;
};

#define VU_NEWS_KICK_LOST 1u
#define VU_NEWS_NOT_SHARED 2u

/**
 * struct vu_rx_burst - For frames to the guest
 * @chains: popped and not yet used or given back: @at..@cnt
 */
struct vu_rx_burst {
	unsigned at, cnt;
	struct vring_chain chains[VRING_CHAIN_MAX];
};

/**
 * struct vu_tx_burst - A burst of frames from the guest
 * @frames: those that are good
 * @at:     which chain a frame is
 * @bad:    why a chain is no frame: enum vmtap_drop, or VMTAP_DROP_CNT
 * @bounce: one frame of very many pieces
 */
struct vu_tx_burst {
	struct vring_chain chains[VRING_BURST_MAX];
	struct vmtap_frame frames[VRING_BURST_MAX];
	uint8_t at[VRING_BURST_MAX];
	uint8_t bad[VRING_BURST_MAX];
	struct iovec bounce_iov;
	uint8_t bounce[VMTAP_FRAME_MAX];
};

/**
 * struct vu_lane - What one lane needs to move frames
 * @announce: what it saw of the guest
 * @on:       of a lane for one pair: its receive ring takes frames
 * @loan_iov: the room that is lent, in queue @loan_queue
 */
struct vu_lane {
	struct vu *vu;
	struct port_lane *lane;
	bool on;
	unsigned loan_queue;
	struct announce announce;
	struct iovec loan_iov[PORT_LOAN_PIECES];
	struct vu_rx_burst rx;
	struct vu_tx_burst tx;
};

/**
 * struct vu - A vhost-user port
 * @end_task: takes the session down, outside of any work on a ring; @end_err says why
 * @rings_task: tells others which rings take frames, when the message is over
 * @check_task: looks at all queues, since a lane found one broken
 * @hdr_len:  bytes of the virtio-net header in buffers
 * @swap:     it is little-endian and we are not
 * @mergeable: a frame for the guest may fill several buffers
 * @mac:     of the options, with which each session begins
 * @steer:    for a port with one lane; where each pair has its own, the other side chose already
 * @io:       one per queue of @dev
 * @lanes:    as many as @port.lane_cnt, each owned
 * @grace:    ends the wait of frames for their queue to be enabled
 * @vhost:    by pair, what its rings are lent to; NULL: the peer has no such thing
 * @vhost_task: looks which rings can be lent
 * @polled:   queues without a kick descriptor, looked at by @poll
 */
struct vu {
	struct port port;
	struct conn conn;
	char object[80];
	struct vu_dev dev;
	struct vu_session *session;
	struct loop_watch watch;
	struct loop_task end_task, rings_task, check_task;
	struct vmtap_error end_err;

	unsigned hdr_len;
	bool swap, mergeable;
	struct ctrl ctrl;
	struct steer steer;
	unsigned mtu_max;
	uint8_t mac[6];
	bool peer_link_up;

	struct vu_queue_io *io;
	unsigned polled;
	struct loop_timer poll, grace;
	struct log_limit infos;
	struct vu_lane **lanes;
	struct vmtap_vhost **vhost;
	struct loop_task vhost_task;
};

static inline struct vu *vu_of_port(const struct port *p)
{
	return container_of(p, struct vu, port);
}

/** vu_lane() - The lane that queue @index belongs to; of the control queue, any. */
static inline struct vu_lane *vu_lane(const struct vu *v, unsigned index)
{
	const unsigned pair = index / 2;

	return v->lanes[v->port.lane_cnt > 1 && pair < v->port.lane_cnt ? pair : 0];
}

/** vu_loop() - The loop in which queue @index is; the control queue is in the port's own. */
static inline struct loop *vu_loop(const struct vu *v, unsigned index)
{
	const unsigned pair = index / 2;

	if (vu_dev_is_ctrl(&v->dev, index))
		return v->port.env->loop;
	return port_lane(&v->port, pair < v->port.lane_cnt ? pair : 0)->loop;
}

/* vu.c ----------------------------------------------------------------------- */

/** vu_check() - After a turn, in the queue's loop: is the guest's memory still there, and the ring of
 *  queue @index whole? Where that is not the port's loop, what follows comes later. */
void vu_check(struct vu *v, unsigned index);

/** vu_end_later() - The session is over, for @err, when nobody is inside of it. */
void vu_end_later(struct vu *v, const struct vmtap_error *err);

/** vu_ctrl_changed() - The guest may have said something on the control queue: pairs, offloads. */
void vu_ctrl_changed(struct vu *v);

/** vu_rings_changed() - Which receive rings take frames? To be called when that may have changed, with the
 *  lanes held still. */
void vu_rings_changed(struct vu *v);

/* vu-lane.c ---------------------------------------------------------------------- */

/** vu_lanes_prepare() - Have what the port's lanes need. Return: 0 or -ENOMEM. */
int vu_lanes_prepare(struct vu *v);
void vu_leave_loops(struct port *p);
int vu_moved(struct port *p);
void vu_resume(struct port_lane *l);
void vu_set_poll(struct port *p, bool on);

/* vu-kick.c, what makes a queue run -------------------------------------------- */

/** vu_kicks_init() - @v->io has an entry for each queue. */
void vu_kicks_init(struct vu *v);
/** vu_watch_kick() - The kick descriptor of queue @index is @fd from now on, or, -1, none. Also to be
 *  called when the queue starts or stops. */
void vu_watch_kick(struct vu *v, unsigned index, int fd);
/** vu_await_enable() - Queue @index is started: it has a moment to be enabled. */
void vu_await_enable(struct vu *v, unsigned index);
/** vu_kicks_end() - The session is over; no queue runs. */
void vu_kicks_end(struct vu *v);

/* vu-stats.c ----------------------------------------------------------------------- */

/** vu_queue_stats() - As ops->queue_stats. */
void vu_queue_stats(const struct port *p, unsigned pair, struct vmtap_queue_stats *stats);

/* tx.c, from the guest ---------------------------------------------------------- */

/** vu_tx_run() - Frames from transmit queue @index until there are none, the peer holds, or a turn is
 *  over. */
void vu_tx_run(struct vu *v, unsigned index);

/* rx.c, to the guest ------------------------------------------------------------ */

bool vu_lend(struct port_lane *l, struct port_loan *loan);
void vu_repay(struct port_lane *l, const struct vmtap_net_hdr *hdr, uint32_t len);
void vu_settle(struct port_lane *l);
unsigned vu_send(struct port_lane *l, const struct vmtap_frame *frames, unsigned cnt);

/* vu-vhost.c, rings that the kernel serves ---------------------------------------- */

/** vu_vhost_init() - @v->io has an entry for each queue. */
void vu_vhost_init(struct vu *v);
/** vu_vhost_start() - The port was joined, and offers only what the kernel can do if it may serve the
 *  rings. Return: 0 or -ENOMEM. */
int vu_vhost_start(struct vu *v);
/** vu_vhost_lend() - Have the kernel serve queue @index, if it can. Return: does it? */
bool vu_vhost_lend(struct vu *v, unsigned index);
/** vu_vhost_return() - Nobody serves queue @index now; before anything about it changes. Fine when it is
 *  not lent. */
void vu_vhost_return(struct vu *v, unsigned index);
/** vu_vhost_return_all() - Every queue that is lent goes on here. */
void vu_vhost_return_all(struct vu *v);
/** vu_vhost_update() - What speaks for or against it has changed, for any queue. */
void vu_vhost_update(struct vu *v);
/** vu_vhost_later() - The same, soon, for queue @index; from its lane's thread. */
void vu_vhost_later(struct vu *v, unsigned index);
/** vu_vhost_changed() - As ops->vhost_changed. */
void vu_vhost_changed(struct port *p);
/** vu_vhost_call_fd() - Queue @index has another call descriptor. */
void vu_vhost_call_fd(struct vu *v, unsigned index);
/** vu_vhost_lent_pairs() - Queue pairs that the kernel serves. */
unsigned vu_vhost_lent_pairs(const struct vu *v);
void vu_vhost_close(struct vu *v);

/* vu-ctrl.c, the control queue ------------------------------------------------------ */

/** vu_ctrl_run() - Carry out what is in the control queue @index. */
void vu_ctrl_run(struct vu *v, unsigned index);

#endif
