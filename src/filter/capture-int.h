/* SPDX-License-Identifier: MIT */
/* What the hook and the writer of a capture share. */
#ifndef FILTER_CAPTURE_INT_H
#define FILTER_CAPTURE_INT_H

#include <pthread.h>

#include "filter/capfile.h"
#include "filter/capring.h"
#include "filter/capture.h"
#include "filter/expr.h"

/** Bytes of a frame that its filter sees. */
#define CAPTURE_LOOK 2048u

/**
 * struct capture_lane - What a lane's thread writes; the counters are read by others
 * @enter_ns, @enter_seq: of the burst that is on its way, for each way
 * @lost: frames that found no room since the last that did
 */
struct capture_lane {
	struct capring ring;
	uint64_t enter_ns[2];
	uint32_t enter_seq[2], seq, lost;
	_Atomic uint64_t seen, filtered, dropped;
	uint8_t look[CAPTURE_LOOK];
};

/** struct capture_ref - A record that is to be written */
struct capture_ref {
	const struct caprec *rec;
	unsigned lane, index;
};

/**
 * struct capture - A capture
 * @port:     NULL: detached
 * @asleep:   the writer waits for @wake_fd; whoever clears it writes to that
 * @hurry:    the writer is to end
 * @over:     the writer has ended; @error is final
 * @off_ns:   from the monotonic clock, in which records are stamped and ordered, to the real time
 * @refs:     @ref_max for each lane
 * @pending_lost: frames lost, to be told with the next that is written
 */
struct capture {
	struct port_hook hook;
	struct port *port;
	const struct port_env *env;
	struct loop_task task;
	void (*ended)(void *opaque);
	void *opaque;

	uint32_t snaplen;
	unsigned directions;
	bool segment;
	uint64_t limit;
	struct expr *expr;
	char *name, *filter, *path;
	struct capture_lane *lanes;
	unsigned lane_cnt;

	pthread_t thread;
	bool started, joined;
	int wake_fd;
	atomic_bool active, asleep, hurry, over;
	struct vmtap_error error;

	/* the writer's */
	struct capfile file;
	uint64_t start_ns, off_ns;
	_Atomic uint64_t written, bytes;
	struct capture_ref *refs;
	unsigned ref_max;
	uint8_t *scratch, *flat;
};

/** The counters have one writer each. Who acquires one, has those that were counted before. */
static inline void capture_count(_Atomic uint64_t *n, uint64_t by)
{
	atomic_store_explicit(n, atomic_load_explicit(n, memory_order_relaxed) + by,
			      memory_order_release);
}

/** capture_wake() - Records were published, or @hurry was set. */
void capture_wake(struct capture *c);

/** capture_work() - The writer's thread. @opaque: the capture. */
void *capture_work(void *opaque);
/** capture_finish() - What a file ends with; @finish of struct capfile_config. */
size_t capture_finish(void *opaque, void *buf, size_t size);
/** capture_ref_cmp() - For qsort(): by time, then by lane, by burst, by place. */
int capture_ref_cmp(const void *a, const void *b);

#endif
