/* SPDX-License-Identifier: MIT */
/* A token bucket: how much may pass by now. */
#include "filter/bucket.h"

#include "base/clock.h"

/** No debt is as large: of what passes at once, each lane's share is a burst of the longest frames. What
 *  looks like one is a credit that nobody looked at for years. */
#define DEBT_MAX (1ll << 40)

/** Nobody that is woken up later than that may make up for it. */
#define LATE_MAX_NS NSEC_PER_SEC

__extension__ typedef unsigned __int128 u128;

/* Counts round and round, as @spent does. */
static uint64_t accrued(const struct bucket *b, uint64_t now_ns)
{
	return (uint64_t)((u128)(now_ns - b->begin_ns) * b->rate / NSEC_PER_SEC);
}

void bucket_init(struct bucket *b, uint64_t rate, uint64_t burst, uint64_t now_ns)
{
	b->rate = rate;
	b->burst = burst;
	b->begin_ns = now_ns;
	atomic_store_explicit(&b->spent, 0 - burst, memory_order_relaxed);
	atomic_store_explicit(&b->slack, 0, memory_order_relaxed);
}

void bucket_late(struct bucket *b, uint64_t late_ns)
{
	const uint64_t slack = (uint64_t)((u128)(late_ns < LATE_MAX_NS ? late_ns : LATE_MAX_NS) *
					  b->rate / NSEC_PER_SEC);

	if (atomic_load_explicit(&b->slack, memory_order_relaxed) != slack)
		atomic_store_explicit(&b->slack, slack, memory_order_relaxed);
}

int64_t bucket_credit(struct bucket *b, uint64_t now_ns)
{
	uint64_t spent, sum, most;
	int64_t credit;

	if (!b->rate)
		return INT64_MAX;
	sum = accrued(b, now_ns);
	spent = atomic_load_explicit(&b->spent, memory_order_relaxed);
	credit = (int64_t)(sum - spent);
	most = b->burst + atomic_load_explicit(&b->slack, memory_order_relaxed);
	if (credit <= (int64_t)most && credit > -DEBT_MAX)
		return credit;
	/* where another lane was faster, it has either done the same or spent something */
	atomic_compare_exchange_strong_explicit(&b->spent, &spent, sum - most, memory_order_relaxed,
						memory_order_relaxed);
	return (int64_t)most;
}

uint64_t bucket_wait_ns(struct bucket *b, uint64_t now_ns, uint64_t units)
{
	const int64_t credit = bucket_credit(b, now_ns);

	if (units > b->burst / 2)
		units = b->burst / 2;
	if (!units)
		units = 1;
	if (credit >= (int64_t)units)
		return 0;
	return (uint64_t)(((u128)((int64_t)units - credit) * NSEC_PER_SEC + b->rate - 1) / b->rate);
}
