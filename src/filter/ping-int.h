/* SPDX-License-Identifier: MIT */
/* Between the parts of a ping: ping.c is the control thread's, ping-lane.c the lanes'. */
#ifndef FILTER_PING_INT_H
#define FILTER_PING_INT_H

#include <stdatomic.h>

#include "filter/ping-frame.h"
#include "filter/ping.h"

/** Answers that one lane may note before the control thread comes; a power of two. */
#define PING_NOTES 64u
/** Solicitations that wait for a lane to answer them. */
#define PING_SOLICITS 4u

/** Whose a slot is, and what became of its frame. */
enum ping_state {
	PING_IDLE,
	PING_ASKED, /* the lane's, until it was sent or dropped */
	PING_SENT,
	PING_DROPPED,
};

/** struct ping_note - An answer. @lane: that saw it; @waited_ns: of its loop, then */
struct ping_note {
	uint64_t at_ns, waited_ns;
	unsigned lane;
	struct ping_seen seen;
};

/**
 * struct ping_slot - A probe, and when it is over what there is to be known of it, until the next takes its place
 * @seq:     0: there was none yet
 * @lane:    its index
 * @ran_ns, @took_ns, @cause: the lane's; @ran_ns 0: it has not come to it
 * @waited_ns: of its loop, when it was taken
 * @settled: its fate is known; @counted: as sent
 * @answer: when it was answered, by whom; @at_ns 0: it was not
 */
struct ping_slot {
	atomic_int state;
	uint64_t seq, due_ns;
	unsigned lane;
	uint64_t ran_ns, took_ns, waited_ns;
	enum vmtap_drop cause;
	bool settled, counted;
	enum vmtap_ping_fate fate;
	struct ping_note answer;
};

/** struct ping_lane - @clocked: the loop that notes how long it waits; NULL: none does. @notes: a ring, from the lane (@put) to the control thread (@taken); @missed: found no room.
 *  @heard: an IPv4 address that sent ARP, as it lies in memory; 0: none did.
 *  @woken: there was room again, and others had it first; @next: they took it all, and wait when there is
 *  room again; @refused: they do */
struct ping_lane {
	struct ping *ping;
	struct port_lane *lane;
	struct loop_task send;
	struct loop *clocked;
	struct ping_note notes[PING_NOTES];
	atomic_uint put, taken;
	uint64_t missed;
	atomic_uint heard;
	struct ping_seen solicits[PING_SOLICITS];
	unsigned solicit_cnt;
	bool woken, next, refused;
};

/**
 * struct ping
 * @port:    NULL: over
 * @collect: in env->loop; posted by lanes
 * @next_ns: when the next probe is due; @crowded: it was, and all slots were taken
 * @again:   tasks were taken out of the lanes' loops
 */
struct ping {
	struct port_hook hook;
	const struct port_env *env;
	struct port *port;
	struct ping_events events;
	struct ping_asker asker;
	char method[96];
	uint64_t count, interval_ns, timeout_ns;
	struct loop_timer timer;
	struct loop_task collect;
	uint64_t seq, next_ns;
	bool crowded, again, over, told;
	struct vmtap_error error;
	struct vmtap_ping_stats stats;
	struct ping_slot slots[PING_IDENTS];
	unsigned lane_cnt;
	struct ping_lane lanes[];
};

extern const struct port_hook_ops ping_hook_ops;

/** ping_lane_run() - The task that sends what the lane was asked for. */
void ping_lane_run(struct loop_task *t);

#endif
