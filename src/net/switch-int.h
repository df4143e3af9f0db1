/* SPDX-License-Identifier: MIT */
/* Between the parts of the switch: switch.c joins, switch-frames.c decides where frames go,
 * switch-queue.c brings them there. */
#ifndef NET_SWITCH_INT_H
#define NET_SWITCH_INT_H

#include "net/frameq.h"
#include "net/mactable.h"
#include "net/offload.h"
#include "net/packet.h"
#include "net/snoop.h"
#include "net/switch.h"

/** Offers that may be on the stack at once: one, and the answers to it. */
#define SWITCH_DEPTH 2u
/** Frames and segments that one offer brings out, about; then the other ports of the loop get their
 *  turn. */
#define SWITCH_WORK_MAX 1024u
/** Entries of lists for frames whose tag changes; more than any port's frame has. */
#define SWITCH_IOV_MAX 4096u

/** struct switch_burst - Frames for a member that were not brought there yet */
struct switch_burst {
	unsigned cnt;
	struct vmtap_frame frames[VMTAP_BURST_MAX];
};

/**
 * struct switch_member - A port in a switch
 * @slot:    its number, free again when it leaves
 * @next:    stays when it left, for whoever is on the way along the list
 * @told:    the offloads that the port was told; @accepts: those that the others were told of it
 * @out:     one for each offer on the stack
 * @queued:  bytes in @queue, a short frame counting for its part of the places; @share: of them, those from
 *           the member of that slot
 * @from:    whose frames are being brought to it
 * @held:    an offer was not taken whole, and is resumed by the switch's task
 * @offering: it is on the stack with an offer
 * @sending: the port is on the stack with frames for it
 * @gone:    it left while it was on the stack
 */
struct switch_member {
	struct junction junction;
	struct net_switch *sw;
	struct switch_member *next, *gone_next;
	struct port *port; /* NULL: gone */
	struct switch_place place;
	unsigned slot, told, accepts;
	bool held, offering, sending, gone;
	struct frameq queue;
	const struct switch_member *from;
	struct offload_out finished;
	struct switch_burst out[SWITCH_DEPTH];
	uint32_t queued, share[SWITCH_PORTS_MAX];
};

/** struct switch_offer - An offer on the stack
 *  @edits, @iov: of frames whose tags change; @heads: of frames that may change while they are on their
 *  way; @touched: whose @out has frames */
struct switch_offer {
	unsigned work, edit_cnt, head_cnt, iov_cnt, touched_cnt;
	uint8_t heads[VMTAP_BURST_MAX][ETH_HDR_LEN + VLAN_TAG_LEN];
	struct vlan_edit edits[2 * VMTAP_BURST_MAX];
	struct iovec iov[SWITCH_IOV_MAX];
	struct switch_member *touched[SWITCH_PORTS_MAX];
	uint8_t scratch[VMTAP_FRAME_MAX];
};

/**
 * struct net_switch
 * @inside:  calls on the stack that use members: those that leave are freed later
 * @depth:   of them, offers
 * @moves_seen: s.moves when the timer looked last; @movers: the ports to which addresses moved last, the
 *           latest first
 * @snoop:   NULL: frames to groups go to all; @sweep: its timer, @unfit_told: it was warned of once
 * @now_ms:  of the monotonic clock, when the last offer began
 */
struct net_switch {
	const struct port_env *env;
	char *name;
	struct switch_config config;
	struct switch_member *members, *gone;
	unsigned member_cnt;
	bool closed;
	unsigned inside, depth;
	struct loop_task retry;
	struct loop_timer age;
	struct mactable *macs;
	struct vmtap_switch_stats s;
	uint64_t moves_seen;
	const struct switch_member *movers[2];
	struct log_limit loop_limit;
	struct snoop *snoop;
	struct loop_timer sweep;
	bool unfit_told;
	uint64_t now_ms;
	bool slots[SWITCH_PORTS_MAX];
	struct switch_offer offers[SWITCH_DEPTH];
};

/* switch-frames.c */
extern const struct junction_ops switch_frames_ops;
void switch_retry(struct loop_task *t);

/* switch-snoop.c: groups */

/** switch_snoop_new() - Return: 0 or -ENOMEM. */
int switch_snoop_new(struct net_switch *sw);

/** struct switch_group - A frame to a group, at @m, in VLAN @vlan
 *  @mac: its destination; @l3: where the header behind its EtherType @type is; @scratch: VMTAP_FRAME_MAX bytes */
struct switch_group {
	struct switch_member *m;
	const struct vmtap_frame *frame;
	const uint8_t *mac;
	uint32_t l3;
	uint16_t type, vlan;
	void *scratch;
};

enum switch_way {
	SWITCH_ALL,
	SWITCH_SOME, /* to those of @to, by their slots */
	SWITCH_NONE, /* it is to be dropped */
};

/** switch_snoop() - Where does it go? With snooping only. @work: grows by what it cost. */
enum switch_way switch_snoop(const struct switch_group *g, struct port_set *to, unsigned *work);
void switch_snoop_stats(const struct net_switch *sw, struct vmtap_switch_stats *stats);

/* switch-queue.c: to a port */

/** switch_bring() - @frames from @from to @m, finished for it; what it does not take now waits, or is
 *  dropped. @scratch: VMTAP_FRAME_MAX bytes. */
void switch_bring(struct switch_member *m, const struct switch_member *from,
		  const struct vmtap_frame *frames, unsigned cnt, void *scratch);
/** switch_drain() - @m has room again. */
void switch_drain(struct switch_member *m);
/** switch_purge() - Drop what waits for @m. */
void switch_purge(struct switch_member *m);
int switch_emit(struct offload_out *out, const struct vmtap_frame *frame);

/* switch.c */

/** switch_enter(), switch_leave() - Around what calls ports. Members that left meanwhile are freed by
 *  the last leave. */
static inline void switch_enter(struct net_switch *sw)
{
	sw->inside++;
}

void switch_leave(struct net_switch *sw);

/** switch_learned() - There is an address that can age. */
void switch_learned(struct net_switch *sw);
void switch_changed(struct junction *j, struct port *p);
void switch_left(struct junction *j, struct port *p);

#endif
