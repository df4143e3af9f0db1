/* SPDX-License-Identifier: MIT */
/*
 * A port: an end through which Ethernet frames enter or leave.
 *
 * Model
 *   A port type implements struct port_ops and embeds struct port. Towards
 *   its outside it reads and writes; inwards it talks to one *junction* (a
 *   link, later a switch), which hands frames on to other ports.
 *
 *     outside -> type code -> port_offer() -> junction -> port_send() -> type code -> outside
 *
 * Back-pressure
 *   port_offer() and port_send() say how many frames were taken. After fewer
 *   than offered, the giver keeps the rest, stops reading, and waits: the
 *   taker calls port_writable() exactly once when it has room, the junction
 *   passes that on, and ops->resume() of the giver offers the rest again.
 *   Nothing is lost or reordered.
 *
 * Loans
 *   Where a copy of a long frame would cost more than anything else, a port lends room of its outside
 *   (a guest's receive buffers) to the one that reads: lane_borrow(), fill it, lane_repay(), again, and
 *   lane_settle() at the end. A frame that came in this way needs no lane_offer().
 *
 * Hooks
 *   What limits, filters or captures is a hook of a port (struct port_hook): it sees all that enters and
 *   all that leaves by it. A port without hooks pays for a pointer that is NULL.
 *
 * Lanes
 *   Frames that have to stay in order, and that one thread moves, are a *lane*. A
 *   port has one, whatever its queues are, until it is joined to a port with as
 *   many queue pairs: then each queue pair is a lane of its own, with a loop
 *   and back-pressure of its own. Port types without queue pairs never see lanes: port_offer(),
 *   port_writable() and the like are about the first, which is the only one.
 *
 * Ownership
 *   Frames are borrowed until the call returns. The creator owns the port:
 *   port_close(), then port_free(), never from inside a call into it.
 *
 * Threads
 *   The owner's thread runs env->loop and may do everything. A lane may have a
 *   worker's loop (loop/worker.h): there, only its frames move. Whoever changes what
 *   the lanes use holds them meanwhile: port_enter(). What a lane finds out
 *   (a device that is gone, a broken ring) it posts to env->loop (loop_task_post()).
 */
#ifndef NET_PORT_H
#define NET_PORT_H

#include "base/error.h"
#include "base/log.h"
#include "loop/loop.h"
#include "vmtap/vmtap.h"

struct burst;
struct closer;
struct counts;
struct port;
struct port_hook;
struct port_keeper;
struct port_lane;
struct port_loan;
struct port_vhost;
struct workers;
struct junction;

/** Frames that a port reads in one turn before the others get theirs. */
#define PORT_BUDGET 256

/**
 * struct port_ops - What a port type implements; NULL where a line says so
 * @start:       begin to move frames; called once, after the port was joined
 * @leave_loops: take everything out of the lanes' loops, which are about to change. NULL, with @moved:
 *               the port stays in env->loop
 * @moved:       after @leave_loops: the lanes have their new loops. Return: 0 or -errno
 * @pairs_used:  which queue pairs @peer uses, @lanes[].used in it, is to be looked at; @peer NULL: ours do not
 *               belong to a peer's. NULL: not interested
 * @rings:       the outside has rings in shared memory, which the kernel may serve (@vhost_changed), or
 *               an application that drives vhost-net itself
 * @shared:      frames that it offers lie in memory that its outside may change meanwhile: what was looked at
 *               needs to be a copy
 * @vhost:       see port_peer_vhost(). NULL: there is none
 * @vhost_changed: what the peer's @vhost said holds no longer; ask again, now. NULL: never asked
 * @send:        frames for the outside, 1..VMTAP_BURST_MAX, of the forms that
 *               @accepts names; never blocks. Return: frames taken (delivered or dropped and
 *               counted with port_drop()). Fewer than @cnt: lane_writable() follows once.
 *               Type code counts nothing that it delivered; lane_send() does
 * @lend:        room for one frame of any length, behind what was lent and repaid since the last @settle.
 *               NULL, with @repay and @settle: the port has none to lend
 * @repay:       a frame of @len bytes is in the room that was lent last. Its header is one that
 *               @accepts allows
 * @settle:      what was repaid may leave; what is lent and not repaid is free again
 * @resume:      what lane_offer() did not take can be offered again
 * @in_kernel:   the kernel carries the frames of @vhost's handles, unseen, or may begin to. NULL: never
 * @set_poll:    stop or restart reading; NULL: nothing to stop. Writing is stopped by lane_send()
 * @set_offload: what the peer takes (enum vmtap_offload); the port may leave that undone in
 *               frames that it offers. NULL: it never leaves anything undone
 * @set_link:    this end's link goes up or down, for the outside to see. NULL: cannot be seen
 * @announce:    have the network learn where the outside is: frames that say so enter by the port. Return: 0 or
 *               -errno and @err. NULL: whose address it is, is not known
 * @peer_link:   the peer's link went up or down. NULL: not interested
 * @describe:    one line; as snprintf()
 * @queue_stats: fill in what only the port type knows of a queue pair; from env->loop, while the lanes run. NULL:
 *               nothing
 * @kernel_drops: frames for the port since it was opened, or attached to what was there, that the kernel dropped
 *               before they could be read; from env->loop, also after @close. NULL: none
 * @get_fd:      the descriptor of a queue; -1. NULL: has none
 * @close:       stop, run down scripts, release everything but memory; called once
 * @free:        release the memory
 */
struct port_ops {
	const char *type;
	int (*start)(struct port *p, struct vmtap_error *err);
	void (*leave_loops)(struct port *p);
	int (*moved)(struct port *p);
	unsigned (*send)(struct port_lane *l, const struct vmtap_frame *frames, unsigned cnt);
	bool (*lend)(struct port_lane *l, struct port_loan *loan);
	void (*repay)(struct port_lane *l, const struct vmtap_net_hdr *hdr, uint32_t len);
	void (*settle)(struct port_lane *l);
	void (*resume)(struct port_lane *l);
	void (*pairs_used)(struct port *p, const struct port *peer);
	bool rings, shared;
	bool (*vhost)(struct port *p, unsigned pair, unsigned hdr_len, struct port_vhost *vhost);
	void (*vhost_changed)(struct port *p);
	bool (*in_kernel)(const struct port *p);
	void (*set_poll)(struct port *p, bool on);
	int (*set_offload)(struct port *p, unsigned offload);
	int (*set_link)(struct port *p, bool up, struct vmtap_error *err);
	int (*announce)(struct port *p, struct vmtap_error *err);
	void (*peer_link)(struct port *p, bool up);
	int (*describe)(const struct port *p, char *buf, size_t size);
	void (*queue_stats)(const struct port *p, unsigned pair, struct vmtap_queue_stats *stats);
	uint64_t (*kernel_drops)(struct port *p);
	int (*get_fd)(const struct port *p, unsigned queue);
	void (*close)(struct port *p);
	void (*free)(struct port *p);
};

/** Pieces that a loan has at most. */
#define PORT_LOAN_PIECES 256

/**
 * struct port_loan - Room for a frame
 * @iov: its pieces, @iov_cnt of them, VMTAP_FRAME_MAX bytes or more together; the first entries may be
 *       changed by whoever borrows
 * @lender: whose it is
 * @borrower: who fills it
 */
struct port_loan {
	struct iovec *iov;
	unsigned iov_cnt;
	struct port_lane *lender, *borrower;
};

/** struct port_env - What a port type is given to live in; borrowed, outlives the port. */
struct port_env {
	struct loop *loop;
	struct burst *burst;
	struct workers *workers; /* NULL: @loop moves all frames */
	const struct log *log;
	/* the port changed its state; called from the loop, so that it may be closed there; may be
	 * NULL */
	void (*event)(void *opaque, struct port *p, enum vmtap_port_state state);
	/* a descriptor that was given a name; returns owned, or -ENOENT; may be NULL */
	int (*take_fd)(void *opaque, const char *name);
	/* the same, borrowed: it stays where it is */
	int (*find_fd)(void *opaque, const char *name);
	const struct port_keeper *keeper; /* net/keeper.h; NULL: nothing outlives the program */
	int cancel_fd;			  /* readable: long waits end with -ECANCELED; -1: none */
	struct counts *counts; /* asks the kernel what it counts of interfaces; NULL: nobody does */
	/* everything ends: for descriptors whose closing takes long; NULL: close them at once */
	struct closer *closer;
	void *opaque;
};

/** struct port_hold - How long a lane waited. @total_ns: without the wait that lasts; @since: its
 *  begin, clock_ns(); 0: none does. The clock is read where a wait begins and ends, never for a frame. */
struct port_hold {
	uint64_t total_ns, since;
};

/** struct port_lost - What a @send took and did not deliver: to be left out when it is counted */
struct port_lost {
	uint64_t frames, bytes, gso_frames;
};

/**
 * struct port_lane - Frames in order
 * @loop, @burst: of the thread that moves them
 * @held:    a lane_offer() came back short; @resume will be called
 * @blocked: @send came back short; lane_writable() is owed
 * @stats, @rx_bursts, @tx_bursts, @rx_hold, @tx_hold: written by that thread, read by any (base/counter.h)
 * @lost:    of the lane_send() that is running
 * @loaned:  what was lent was filled since the last settling
 * @used:    the outside uses the queue pair of that number; at least one is
 */
struct port_lane {
	struct port *port;
	unsigned index;
	struct loop *loop;
	struct burst *burst;
	bool held, blocked, resume_owed, used, loaned;
	struct vmtap_stats stats;
	uint64_t rx_bursts, tx_bursts;
	struct port_hold rx_hold, tx_hold;
	struct port_lost lost;
};

/**
 * struct port_vhost - The kernel's side of a queue pair
 * @handle: borrowed, until @vhost_changed is called
 * @must:   the user wants it so: what makes it impossible is an error
 */
struct port_vhost {
	struct vmtap_vhost *handle;
	bool must;
};

/**
 * struct port - What all ports have
 * @accepts: offloads that frames given to @send may still need (enum vmtap_offload)
 * @pair_cnt: queue pairs; @lanes has as many entries, of which @lane_cnt are in use: 1 or @pair_cnt
 * @only:    where @lanes points when there is one
 * @handle:  the owner's, of this port; NULL: it has none yet
 * @hooks:   in the order in which they were added; NULL: none
 */
struct port {
	const struct port_ops *ops;
	const struct port_env *env;
	char *name; /* owned */
	struct junction *junction;
	struct port_hook *hooks;
	unsigned accepts;
	enum vmtap_port_state state;
	bool started, polling, link_up, closed;
	unsigned pair_cnt, lane_cnt;
	struct port_lane *lanes;
	struct port_lane only;
	void *handle;
	struct loop_task event_task; /* tells the owner, outside any call into the port */
	struct vmtap_error error;    /* why it is broken */
	struct log_limit limit;	     /* for lines that a peer can cause */
};

/** port_init() - For type code: set the common part up. @name is copied. Return: 0 or -ENOMEM. */
int port_init(struct port *p, const struct port_ops *ops, const struct port_env *env,
	      const char *name);

/* For type code ------------------------------------------------------------ */

/** port_set_pairs() - The port has @cnt queue pairs, at least 1; before it is joined. Return: 0 or
 *  -ENOMEM. */
int port_set_pairs(struct port *p, unsigned cnt);

/** port_lane() - The lane of queue pair @pair. */
static inline struct port_lane *port_lane(const struct port *p, unsigned pair)
{
	return &p->lanes[p->lane_cnt > 1 ? pair : 0];
}

/** lane_offer() - Frames came in from outside, 1..VMTAP_BURST_MAX. Counts them as rx.
 *  Return: frames taken, also when they were discarded; fewer than @cnt: ops->resume() will be called. */
unsigned lane_offer(struct port_lane *l, const struct vmtap_frame *frames, unsigned cnt);

/** lane_borrow() - Room at the peer for one frame of any length. Return: false: there is none, now or
 *  ever; lane_offer() is the way. @loan is valid until lane_settle() or the next lane_borrow(). */
bool lane_borrow(struct port_lane *l, struct port_loan *loan);
/** lane_repay() - @loan was filled with a frame. Counts it. Return: whether it could go as it is; else
 *  it is still to be offered, from a copy, after lane_settle(). */
bool lane_repay(struct port_lane *l, const struct port_loan *loan, const struct vmtap_net_hdr *hdr,
		uint32_t len);
/** lane_settle() - After the last lane_borrow(). */
void lane_settle(const struct port_loan *loan);

/** lane_writable() - After a short @send: there is room again. Calls back into the junction. */
void lane_writable(struct port_lane *l);

/** lane_drop_rx() - Count frames from outside that were dropped before lane_offer(). */
void lane_drop_rx(struct port_lane *l, enum vmtap_drop cause, unsigned cnt);

/** lane_drop_tx() - Inside @send: count @cnt of its frames as dropped rather than delivered.
 *  Outside, for frames that were taken earlier and then lost: @frames is NULL. */
void lane_drop_tx(struct port_lane *l, enum vmtap_drop cause, const struct vmtap_frame *frames,
		  unsigned cnt);

/** lane_post() - Have @t run on the port's own loop. From the lane's thread, or that loop's. */
void lane_post(struct port_lane *l, struct loop_task *t);

/* The same for the first lane. */
static inline unsigned port_offer(struct port *p, const struct vmtap_frame *frames, unsigned cnt)
{
	return lane_offer(p->lanes, frames, cnt);
}

static inline bool port_is_held(const struct port *p)
{
	return p->lanes->held;
}

static inline bool port_is_blocked(const struct port *p)
{
	return p->lanes->blocked;
}

static inline void port_drop_rx(struct port *p, enum vmtap_drop cause, unsigned cnt)
{
	lane_drop_rx(p->lanes, cause, cnt);
}

static inline void port_drop_tx(struct port *p, enum vmtap_drop cause,
				const struct vmtap_frame *frames, unsigned cnt)
{
	lane_drop_tx(p->lanes, cause, frames, cnt);
}

/** port_writable() - Every lane that waited for room has some. */
void port_writable(struct port *p);

/** port_enter() - Hold the workers still, until port_leave(). From the thread of env->loop; nests.
 *  Costs nothing when there are none. */
void port_enter(const struct port *p);
void port_leave(const struct port *p);

/** port_set_state() - WAITING or UP; the owner is told when it changes. While WAITING, frames
 *  sent to the port are dropped as PEER_GONE, and a port that was blocked is writable. */
void port_set_state(struct port *p, enum vmtap_port_state state);

/** port_fail() - The port is broken for good: @err is copied, logged and kept; the owner is told. */
void port_fail(struct port *p, const struct vmtap_error *err);

/** port_use_pairs() - The outside uses the @cnt queue pairs, at least one, whose numbers are in @pairs. Never
 *  from inside of moving frames: the peer may take the queue out of its loop. */
void port_use_pairs(struct port *p, const uint8_t *pairs, unsigned cnt);

/** port_peer() - The port that it is joined to; NULL: none. */
struct port *port_peer(const struct port *p);

/** port_peer_vhost() - Can the kernel carry queue pair @pair between the outside of @p, which has the
 *  rings, and its peer, which has the device? @hdr_len: of the guest's virtio-net header.
 *  Return: false: no; the peer says why. */
bool port_peer_vhost(const struct port *p, unsigned pair, unsigned hdr_len,
		     struct port_vhost *vhost);

/** port_vhost_changed() - What port_peer_vhost() told the peer holds no longer. */
void port_vhost_changed(struct port *p);

/** port_set_accepts() - @accepts changed after the start: the junction negotiates again. */
void port_set_accepts(struct port *p, unsigned accepts);

/* For junctions and owners --------------------------------------------------- */

/** port_start() - Begin to move frames. */
int port_start(struct port *p, struct vmtap_error *err);

/** port_can_move() - Can its lanes have workers' loops? */
static inline bool port_can_move(const struct port *p)
{
	return p->ops->moved != NULL;
}

/** port_set_lanes() - Have @cnt lanes, 1 or p->pair_cnt, moved by @pool's workers from number @first on,
 *  or, NULL, by env->loop. Nothing is held or blocked, and the lanes are held still (port_enter()).
 *  Return: 0, or -errno: a port that was started is in no loop, and broken. */
int port_set_lanes(struct port *p, unsigned cnt, const struct workers *pool, unsigned first);

/** lane_send() - Frames for the port's outside. Counts them as tx.
 *  Return: frames taken; fewer than @cnt: the junction's writable() follows, once. */
unsigned lane_send(struct port_lane *l, const struct vmtap_frame *frames, unsigned cnt);

static inline unsigned port_send(struct port *p, const struct vmtap_frame *frames, unsigned cnt)
{
	return lane_send(p->lanes, frames, cnt);
}

/** lane_resume() - The junction takes frames from @l again. */
void lane_resume(struct port_lane *l);

static inline void port_resume(struct port *p)
{
	for (unsigned i = 0; i < p->lane_cnt; i++)
		lane_resume(&p->lanes[i]);
}

/* Hooks ------------------------------------------------------------------------ */

/** Which way a frame goes, seen from the port. */
enum port_way {
	PORT_RX, /* entered from outside: lane_offer() */
	PORT_TX, /* leaves by the port: lane_send() */
};

/** What becomes of frames. */
enum port_verdict {
	PORT_PASS, /* they may go on */
	PORT_DROP, /* they are discarded, counted as filtered */
	PORT_KEEP, /* they were for the hook alone, which has looked at them; counted as if they had gone on */
};

/**
 * struct port_hook_ops - What sees a port's frames
 * @admit:  how many of the first of @cnt frames share a verdict, at least 1; *@verdict is PORT_PASS before.
 *          0: the first may not go on now; the hook calls port_hook_open() when it may. NULL: all may
 * @instead: after an @admit that let @cnt frames go on: the frames to be used in their place, as many and as
 *          long; borrowed until the next @admit of that lane and way. For copies of what was looked at and may
 *          change (@shared of struct port_ops). NULL: none
 * @passed: these were taken by where they were going, or kept by a hook behind. Each frame once. NULL: not
 *          interested
 * @writable: after a lane_send() that came back short: there is room again, and the junction had it first. NULL:
 *          not interested
 * @leave_loops: take every timer out of the lanes' loops, which are about to change, or the port closes. Nobody
 *          is held back by the hook any more, or is asked again all the same. With the lanes held still, from
 *          the thread of env->loop. NULL: has none
 *
 * Context of all but @leave_loops: the lane's loop; neither blocks, allocates nor logs. Nothing calls into the port.
 */
struct port_hook_ops {
	unsigned (*admit)(struct port_hook *h, struct port_lane *l, enum port_way way,
			  const struct vmtap_frame *frames, unsigned cnt,
			  enum port_verdict *verdict);
	const struct vmtap_frame *(*instead)(struct port_hook *h, struct port_lane *l,
					     enum port_way way, const struct vmtap_frame *frames,
					     unsigned cnt);
	void (*passed)(struct port_hook *h, struct port_lane *l, enum port_way way,
		       const struct vmtap_frame *frames, unsigned cnt);
	void (*writable)(struct port_hook *h, struct port_lane *l);
	void (*leave_loops)(struct port_hook *h);
};

/** struct port_hook - Embedded in whatever it is a part of. @last: behind all that are not: one that keeps
 *  frames, which the others are to see */
struct port_hook {
	const struct port_hook_ops *ops;
	struct port_hook *next;
	bool last;
};

/** port_hook_add() - Let @h, borrowed until port_hook_del(), see the frames of @p from now on.
 *  -EBUSY: the kernel carries them. From the thread of env->loop. */
int port_hook_add(struct port *p, struct port_hook *h, const char *what, struct vmtap_error *err);
/** port_hook_del() - No more; what it held back goes on. Fine when it was not added. */
void port_hook_del(struct port *p, struct port_hook *h);
/** port_hook_open() - After an @admit of 0: ask again. From the lane's thread, or with the lanes held
 *  still; not from inside @admit or @passed. */
void port_hook_open(struct port_lane *l, enum port_way way);
/** port_check_seen() - Does vmtap see the frames of @p, whose hooks have to? @what they are is for the
 *  error. Return: 0, or -EBUSY and @err. */
int port_check_seen(const struct port *p, const struct port *peer, const char *what,
		    struct vmtap_error *err);

/** hold_begin(), hold_end() - Of a lane that waits; fine when it does already, or does not. */
void hold_begin(struct port_hold *h);
void hold_end(struct port_hold *h);

/** lane_unblock() - It no longer owes lane_writable(). */
static inline void lane_unblock(struct port_lane *l)
{
	l->blocked = false;
	hold_end(&l->tx_hold);
}

/** port_stats() - The counters of all lanes together. */
void port_stats(struct port *p, struct vmtap_stats *stats);
/** port_queue_stats() - Of queue pair @pair, below @p->pair_cnt. Holds nobody. */
void port_queue_stats(struct port *p, unsigned pair, struct vmtap_queue_stats *stats);

void port_set_poll(struct port *p, bool on);
int port_set_link(struct port *p, bool up, struct vmtap_error *err);
/** port_announce() - As ops->announce; -EOPNOTSUPP: it has none. */
int port_announce(struct port *p, struct vmtap_error *err);
int port_describe(const struct port *p, char *buf, size_t size);
int port_get_fd(const struct port *p, unsigned queue);

/** port_close() - Leave the junction, stop, release everything but memory. Any number of times. */
void port_close(struct port *p);
/** port_free() - Close and free. NULL is fine. */
void port_free(struct port *p);

/* What a port sees of the thing that joins it to others ---------------------- */

/**
 * struct junction_ops - A link or a switch, seen from its ports
 * @offer:    frames that entered through @from. Return: frames taken
 * @peer:     the one lane to which all that enters through @from goes, as it is, when it can take it right
 *             now; NULL: there is none. NULL: there never is
 * @writable: @l, which had taken fewer than offered, has room again
 * @changed:  @p's accepts or link changed
 * @pairs_used: @p uses other queue pairs than before. NULL: not interested
 * @other:    the one port that @p is joined to; NULL: there is no such operation, or port
 * @leave:    @p closes
 */
struct junction_ops {
	unsigned (*offer)(struct junction *j, struct port_lane *from,
			  const struct vmtap_frame *frames, unsigned cnt);
	struct port_lane *(*peer)(struct junction *j, struct port_lane *from);
	void (*writable)(struct junction *j, struct port_lane *l);
	void (*pairs_used)(struct junction *j, struct port *p);
	void (*changed)(struct junction *j, struct port *p);
	struct port *(*other)(struct junction *j, const struct port *p);
	void (*leave)(struct junction *j, struct port *p);
};

struct junction {
	const struct junction_ops *ops;
};

/** The remedy when a port has one already, in the words of the control socket and of the library. */
#define PORT_PART_FIRST \
	"disconnect it first (in a program: vmtap_link_free() or vmtap_switch_remove())"

#endif
