/* SPDX-License-Identifier: MIT */
/*
 * The insides of the `tap` port.
 *
 * tap.c is the port, tap-rx.c moves frames from the TAP and tap-tx.c towards it, tap-open.c
 * opens and closes the device, tap-helper.c has a bridge helper do it, tap-keep.c leaves it to the
 * next run of the program and goes on where an earlier one ended, tap-opts.c has the options,
 * tap-steering.c says which queue a frame comes on, tap-drops.c what never came, tap-type.c puts
 * them together to the types `tap` and `bridge`.
 * macvtap.c makes or finds a macvtap and hands its descriptors to all of these;
 * macvtap-explain.c has the words for its errors.
 */
#ifndef PORT_TAP_TAP_INT_H
#define PORT_TAP_TAP_INT_H

#include <net/if.h>
#include <stdatomic.h>

#include "port/tap/tap-opts.h"
#include "port/tap/tap.h"
#include "tapdev/counts.h"

/** Frames are read one behind the other, as long as the largest still fits. */
#define TAP_ARENA_SIZE (256 * 1024 + VMTAP_FRAME_MAX + 64)

struct nl_link;
struct tap_tx;

struct tap_queue {
	struct loop_watch watch; /* fd -1 in it: detached or not started */
	struct tap *tap;
	unsigned index;
	int fd;		  /* owned */
	uint64_t wakeups; /* of its thread by it (base/counter.h) */
	bool attached;
	bool unwanted;		   /* by the owner of the port: tap_set_queue() */
	bool unused;		   /* by the peer */
	bool taken;		   /* the kernel reads it, for @vhost */
	struct vmtap_vhost *vhost; /* owned; NULL: none */
	int vhost_fd;		   /* from the helper, owned, until @vhost is opened; -1: none */
};

/**
 * struct tap_lane - What one lane needs to move frames
 * @frames: the burst that was read last; @next..@cnt of them wait for the peer
 * @arena:  their bytes; one for all of the lane's queues, since none reads while frames wait
 * @tx:     room to prepare a burst towards the TAP
 * @first, @end: its queues, of the TAP's
 * @lent:   bursts that are still to be read into room that the peer lends, since long frames came
 */
struct tap_lane {
	struct tap *tap;
	struct port_lane *lane;
	unsigned first, end;
	unsigned next, cnt;
	unsigned lent;
	struct vmtap_frame frames[VMTAP_BURST_MAX];
	struct iovec iov[VMTAP_BURST_MAX];
	struct iovec lent_iov[1 + PORT_LOAN_PIECES];
	unsigned char *arena;
	struct tap_tx *tx;
	struct log_limit down_limit;
};

/**
 * struct tap_macvtap - What only a macvtap has
 * @ifindex: the interface's
 * @remove:  it is vmtap's and goes with the port
 * @watch:   link events; fd -1 in it: none
 * @watch_fd: owned
 */
struct tap_macvtap {
	int ifindex;
	bool remove;
	char parent[IFNAMSIZ];
	unsigned mode; /* MACVLAN_MODE_* */
	struct loop_watch watch;
	int watch_fd;
};

/**
 * struct tap_drops - What the kernel dropped; see tap-drops.c
 * @of:     the device, when it is one of this network namespace
 * @before: its count before the port had it; @seen: since then, when it was looked at last
 * @past:   of the devices that the port had before
 */
struct tap_drops {
	struct counts_of of;
	uint64_t before, seen, past;
};

/**
 * struct tap - A TAP port
 * @lanes:  @port.lane_cnt of them, owned, each
 * @trouble: reported by a lane, and looked into by the port's loop: TAP_TROUBLE_*
 * @steering_fd: the program of steering=, owned; -1: none. @steered: the device has it
 * @may_block: the send buffer has a limit, so a write may find it full
 */
struct tap {
	struct port port;
	struct tap_opts opts;
	char ifname[IFNAMSIZ];
	unsigned caps;
	unsigned hdr_len; /* 0: frames have no header */
	unsigned offload; /* in force */
	enum vmtap_endian endian;
	bool swap_hdr; /* the device's header is of the other byte order */
	bool may_block;
	bool steered;
	int steering_fd;
	bool created;	 /* it did not exist before */
	bool script_ran; /* so the down script is due */
	bool kept;	 /* the keeper has its queues; @bare: as they are without the script */
	bool bare;
	bool vhost_away;	/* there is no device for the queues' @vhost */
	struct loop_watch gone; /* tells that it is deleted, for queues that are taken */
	struct log_limit down_limit;
	struct loop_timer retry; /* looks for a device that vanished */
	struct tap_macvtap macvtap;
	struct tap_drops drops;

	unsigned queue_cnt;
	struct tap_queue *queues;
	struct tap_lane **lanes;

	atomic_uint trouble;
	struct loop_task trouble_task;
};

/** What a lane may find. */
#define TAP_TROUBLE_GONE 1u /* the interface was deleted */
#define TAP_TROUBLE_DOWN 2u /* it is down and drops frames */

/** tap_attached() - A queue that is attached, which the device can be spoken to by; the first when none is. */
static inline struct tap_queue *tap_attached(const struct tap *t)
{
	for (unsigned i = 0; i < t->queue_cnt; i++)
		if (t->queues[i].attached)
			return &t->queues[i];
	return &t->queues[0];
}

/** tap_new() - A port without a device. @ops: one of those in tap.h.
 *  Return: owned, free with port_free(); NULL and @err. */
struct tap *tap_new(const struct port_ops *ops, const struct port_env *env, const char *name,
		    const struct conf *conf, struct vmtap_error *err);

/* As in struct port_ops; those of a macvtap are in macvtap.c. */
int tap_start(struct port *p, struct vmtap_error *err);
void tap_close(struct port *p);
int macvtap_start(struct port *p, struct vmtap_error *err);
int macvtap_describe(const struct port *p, char *buf, size_t size);
void macvtap_close(struct port *p);

/** tap_queue_ready() - As loop_watch.ready of a queue. */
void tap_queue_ready(struct loop_watch *w, uint32_t events);
/** tap_resume(), tap_set_poll() - As in struct port_ops. */
void tap_resume(struct port_lane *lane);
void tap_set_poll(struct port *p, bool on);

/** tap_report() - Trouble (TAP_TROUBLE_*) that lane @l came across; from its thread. */
void tap_report(struct tap_lane *l, unsigned trouble);
/** tap_lane_of() - The lane that queue @queue belongs to. */
static inline struct tap_lane *tap_lane_of(const struct tap *t, unsigned queue)
{
	return t->lanes[t->port.lane_cnt > 1 ? queue : 0];
}
/** tap_queue_rewatch() - What is to be watched of a queue has changed. */
void tap_queue_rewatch(struct tap_queue *q);
/** tap_swap_hdr() - Byte order of the device's header, where it is not ours. */
void tap_swap_hdr(struct vmtap_net_hdr *hdr);

struct tap_tx *tap_tx_new(void);
/** tap_send() - As ops->send. */
unsigned tap_send(struct port_lane *l, const struct vmtap_frame *frames, unsigned cnt);

/** tap_device_open() - Open the device as the options say. Return: 0, or -errno and @err, nothing left
 *  open. */
int tap_device_open(struct tap *t, struct vmtap_error *err);
/** tap_device_reopen() - The device was lost; attach to it if it is there again. */
int tap_device_reopen(struct tap *t, struct vmtap_error *err);
/** tap_want_vnet_hdr() - Is @fd to have the header, as vnet_hdr= and the kernel say?
 *  Return: 0 or -errno and @err. */
int tap_want_vnet_hdr(struct tap *t, int fd, bool *want, struct vmtap_error *err);

/** tap_resolve_fd() - fd=N or fd=NAME. @named: it was given to us. Return: the descriptor, or -errno and
 *  @err. */
int tap_resolve_fd(const struct port_env *env, const char *text, bool *named,
		   struct vmtap_error *err);

/* tap-steering.c, which queue the kernel gives a frame */

/** tap_steering_find() - Have the program that the options name. Return: 0 or -errno and @err. */
int tap_steering_find(struct tap *t, const struct conf *conf, struct vmtap_error *err);
/** tap_steering_apply() - What the options say, to the device. Return: 0 or -errno and @err. */
int tap_steering_apply(struct tap *t, struct vmtap_error *err);
/** tap_steering_undo() - Take our program off the device, which may stay. Fine when there is none. */
void tap_steering_undo(struct tap *t);
/** tap_steering_check() - Is there such a program? Changes nothing. Return: 0 or -errno and @err. */
int tap_steering_check(const struct port_env *env, const struct tap_opts *opts,
		       const struct conf *conf, struct vmtap_error *err);

/* tap-keep.c, descriptors that outlive the program */

/** tap_keep_find() - Go on with what an earlier run left. Return: 1: done; 0: there is nothing of use;
 *  -errno and @err. */
int tap_keep_find(struct tap *t, struct vmtap_error *err);
/** tap_keep() - The device is open and set up: have its queues kept. */
void tap_keep(struct tap *t);
/** tap_keep_drop() - No longer. Fine when they are not. */
void tap_keep_drop(struct tap *t);
/** tap_keep_down() - The port closes: the down script, and what stays behind. */
void tap_keep_down(struct tap *t);

/* tap-vhost.c, the kernel's vhost-net beside the queues */

/** tap_vhost_open() - As the options say. Return: 0, also where it cannot be had and need not; -errno and
 *  @err. */
int tap_vhost_open(struct tap *t, const struct conf *conf, struct vmtap_error *err);
/** tap_vhost_of_helper() - Is a helper that makes the TAP to open vhost-net, too? Who may do so himself needs
 *  none for that. */
bool tap_vhost_of_helper(const struct tap_opts *opts);
/** tap_vhost_without() - It cannot be had, and need not: say so, with the reason, and ask no further. */
void tap_vhost_without(struct tap *t, const struct vmtap_error *why);
/** tap_vhost_check() - Could it? */
int tap_vhost_check(const struct port_env *env, const struct tap_opts *opts,
		    const struct conf *conf, struct vmtap_error *err);
/** tap_vhost_start() - The port was joined: is there somebody with rings? Return: 0 or -errno and @err. */
int tap_vhost_start(struct tap *t, struct vmtap_error *err);
/** tap_vhost_device() - The queues' descriptors are about to go (@there false), or there again. */
void tap_vhost_device(struct tap *t, bool there);
/** tap_vhost_close() - Before the device is closed. */
void tap_vhost_close(struct tap *t);
/** tap_vhost() - As ops->vhost. */
bool tap_vhost(struct port *p, unsigned pair, unsigned hdr_len, struct port_vhost *vhost);
/** tap_vhost_is_open() - As ops->in_kernel: there are handles. */
bool tap_vhost_is_open(const struct port *p);

/** struct tap_fd_info - What a descriptor says of the TAP behind it */
struct tap_fd_info {
	char ifname[IFNAMSIZ];
	bool vnet_hdr;
};

/** tap_fds_probe() - Are these the queues of one TAP? Changes nothing. Return: 0 and @info of it, or
 *  -errno and @err. */
int tap_fds_probe(const int *fds, unsigned cnt, struct tap_fd_info *info, struct vmtap_error *err);
/** tap_device_take() - Use inherited descriptors, which are taken when it succeeds. */
int tap_device_take(struct tap *t, const int *fds, unsigned cnt, struct vmtap_error *err);
/** tap_device_tag() - Say whose it is, if vmtap made it or takes it over from one that ended. */
void tap_device_tag(struct tap *t, const struct nl_link *link);
/** tap_device_up() - Configure the interface and run the script. */
int tap_device_up(struct tap *t, struct vmtap_error *err);
/** tap_device_keep() - persist=, last, so that a port that fails to open leaves no device. */
int tap_device_keep(struct tap *t, struct vmtap_error *err);
/** tap_device_down() - Run the down script. */
void tap_device_down(struct tap *t);
/** tap_device_close() - Close the descriptors. */
void tap_device_close(struct tap *t);

/* Of every queue: a macvtap's queues have these each for itself. Return: 0 or -errno. */
int tap_device_set_hdr_len(struct tap *t, unsigned len);
int tap_device_set_endian(struct tap *t, bool little, bool big);

/* tap-drops.c, what the kernel dropped */

/** tap_drops_begin() - The port has attached to a device. */
void tap_drops_begin(struct tap *t);
/** tap_drops_end() - The port is about to leave it, or it has gone. Fine when there is none. */
void tap_drops_end(struct tap *t);
/** tap_kernel_drops() - As in struct port_ops. */
uint64_t tap_kernel_drops(struct port *p);

/** tap_device_set_offload() - As much of it as the kernel does. Return: the bits in force. */
unsigned tap_device_set_offload(struct tap *t, unsigned offload);

#endif
