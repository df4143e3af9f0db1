/* SPDX-License-Identifier: MIT */
/*
 * A token bucket: how much may pass by now.
 *
 * Model
 *   Units (bits, frames) accrue, @rate a second, and what passes is added to @spent. The difference is the
 *   credit, at most @burst. While there is any, the next frame passes, however long it is, and the credit
 *   may become a debt, which is paid before the next one. So a frame longer than the burst passes, too,
 *   and what passes in the long run is exactly the rate: nothing is rounded twice.
 *
 *   Who waits for credit is not idle: when it is woken up late, what came in the meantime is not lost to it,
 *   but may be on top of the burst (@slack), until it waits again.
 *
 * Threads
 *   Lanes in different threads share a bucket: @spent and @slack are all that changes. Two may see the
 *   same credit and both spend it; that is a debt as any other.
 */
#ifndef FILTER_BUCKET_H
#define FILTER_BUCKET_H

#include <stdatomic.h>
#include <stdint.h>

struct bucket {
	uint64_t rate; /* units a second; 0: no limit */
	uint64_t burst;
	uint64_t begin_ns;
	_Atomic uint64_t spent, slack;
};

/** bucket_init() - Full at @now_ns. @burst: at least 1, unless @rate is 0. */
void bucket_init(struct bucket *b, uint64_t rate, uint64_t burst, uint64_t now_ns);

/** bucket_credit() - What may pass now, in units; 0 or less: nothing. INT64_MAX: no limit. */
int64_t bucket_credit(struct bucket *b, uint64_t now_ns);

/** bucket_spend() - @units passed. */
static inline void bucket_spend(struct bucket *b, uint64_t units)
{
	if (b->rate)
		atomic_fetch_add_explicit(&b->spent, units, memory_order_relaxed);
}

/** bucket_late() - Whoever waited was woken up @late_ns late; 0: it is about to wait. */
void bucket_late(struct bucket *b, uint64_t late_ns);

/** bucket_wait_ns() - How long until there is a credit of @units, at least 1, or of half the burst if
 *  that is less; 0: there is. */
uint64_t bucket_wait_ns(struct bucket *b, uint64_t now_ns, uint64_t units);

#endif
