/* SPDX-License-Identifier: MIT */
/* Keeping a rate: how many frames are due by now. */
#include "port/null/pace.h"

#include "base/clock.h"
#include "vmtap/vmtap.h"

/* Frames due since the start. Seconds apart from the rest, so that no product overflows. */
static uint64_t earned(const struct pace *p, uint64_t now_ns)
{
	uint64_t ns = now_ns - p->start_ns;

	return 1 + ns / NSEC_PER_SEC * p->rate + ns % NSEC_PER_SEC * p->rate / NSEC_PER_SEC;
}

/* When, counted from the start, have @cnt frames become due? */
static uint64_t earned_at(const struct pace *p, uint64_t cnt)
{
	uint64_t n = cnt ? cnt - 1 : 0;

	return n / p->rate * NSEC_PER_SEC + (n % p->rate * NSEC_PER_SEC + p->rate - 1) / p->rate;
}

void pace_start(struct pace *p, uint64_t rate, uint64_t now_ns)
{
	*p = (struct pace) { .rate = rate, .start_ns = now_ns };
}

uint64_t pace_due(struct pace *p, uint64_t now_ns)
{
	uint64_t most = p->rate / 10 > VMTAP_BURST_MAX ? p->rate / 10 : VMTAP_BURST_MAX;
	uint64_t due;

	if (!p->rate)
		return UINT64_MAX;
	due = earned(p, now_ns) - p->used;
	if (due > most) {
		p->used += due - most;
		due = most;
	}
	return due;
}

void pace_spend(struct pace *p, uint64_t cnt)
{
	p->used += cnt;
}

uint64_t pace_wait_ns(const struct pace *p, uint64_t now_ns)
{
	const uint64_t elapsed = now_ns - p->start_ns;
	uint64_t first, burst;

	if (!p->rate)
		return 0;
	first = earned_at(p, p->used + 1);
	burst = earned_at(p, p->used + VMTAP_BURST_MAX);
	if (burst > elapsed + NSEC_PER_MSEC)
		burst = elapsed + NSEC_PER_MSEC;
	if (first < burst)
		first = burst;
	return first > elapsed ? first - elapsed : 0;
}
