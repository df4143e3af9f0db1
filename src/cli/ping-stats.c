/* SPDX-License-Identifier: MIT */
/* What many probes say together. */
#include "cli/ping-stats.h"

#include <stdio.h>

/** A probe that takes no longer is quick, whatever it spends the time on. */
#define QUICK_NS 1000000u
/** From here on, the worst in a hundred is worth a sentence: so many times the median, and nanoseconds. */
#define TAIL_TIMES 10u
#define TAIL_NS 1000000u

/* -------------------------------------------------------------- distributions */

/* Up to twice DIST_STEPS a step is 1; then it doubles with each power of two. */
static unsigned bucket_of(uint64_t value)
{
	unsigned shift = 0;

	while (value >> shift >= 2 * DIST_STEPS)
		shift++;
	return shift * DIST_STEPS + (unsigned)(value >> shift);
}

/* The middle of a bucket. */
static uint64_t value_of(unsigned bucket)
{
	const unsigned shift = bucket < 2 * DIST_STEPS ? 0 : bucket / DIST_STEPS - 1;
	const uint64_t low = (uint64_t)(bucket - shift * DIST_STEPS) << shift;

	return low + (((uint64_t)1 << shift) - 1) / 2;
}

void dist_add(struct dist *d, uint64_t value)
{
	const unsigned bucket = bucket_of(value);

	d->min = !d->cnt || value < d->min ? value : d->min;
	d->max = value > d->max ? value : d->max;
	d->sum += (double)value;
	d->cnt++;
	d->buckets[bucket < DIST_BUCKETS ? bucket : DIST_BUCKETS - 1]++;
}

uint64_t dist_at(const struct dist *d, double share)
{
	const double wanted = share * (double)d->cnt;
	uint64_t seen = 0, value = d->max;

	for (unsigned i = 0; d->cnt && i < DIST_BUCKETS; i++) {
		seen += d->buckets[i];
		if (!seen || (double)seen < wanted)
			continue;
		value = value_of(i);
		break;
	}
	if (value < d->min)
		return d->min;
	return value < d->max ? value : d->max;
}

double dist_mean(const struct dist *d)
{
	return d->cnt ? d->sum / (double)d->cnt : 0;
}

/* -------------------------------------------------------------------- probes */

const char *ping_part_name(enum ping_part part)
{
	static const char *const names[] = {
		[PART_WAIT] = "wait",	[PART_HAND_OVER] = "hand over", [PART_OUTSIDE] = "outside",
		[PART_TOTAL] = "total", [PART_BUSY] = "  busy",
	};

	return part < PART_CNT ? names[part] : "";
}

void ping_add(struct ping_summary *s, const uint64_t ns[PART_CNT])
{
	uint64_t total = 0;

	for (int i = 0; i < PART_TOTAL; i++) {
		dist_add(&s->parts[i], ns[i]);
		total += ns[i];
	}
	dist_add(&s->parts[PART_TOTAL], total);
	dist_add(&s->parts[PART_BUSY], ns[PART_BUSY]);
}

/* The part that takes longest, by @of. */
static enum ping_part longest(const struct ping_summary *s, double (*of)(const struct dist *d))
{
	enum ping_part most = PART_OUTSIDE;

	for (int i = 0; i < PART_TOTAL; i++)
		if (of(&s->parts[i]) > of(&s->parts[most]))
			most = (enum ping_part)i;
	return most;
}

static double tail(const struct dist *d)
{
	return (double)dist_at(d, 0.99);
}

static const char *meaning(const struct ping_summary *s, enum ping_part part)
{
	if (part == PART_OUTSIDE && s->parts[PART_BUSY].sum * 2 > s->parts[PART_OUTSIDE].sum)
		return "but vmtap's thread was busy for most of it, and the answer may have waited to be "
		       "read: see vmtap top, --workers and --cpus";
	switch (part) {
	case PART_WAIT:
		return "vmtap's thread came late: other frames keep it busy (vmtap top), or the host's "
		       "processors are; see --workers, --cpus and --poll-us";
	case PART_HAND_OVER:
		return "the port's outside took it late: it reads too slowly (back-pressure), or a limit of "
		       "the port (rate=, pps=) holds it";
	default:
		return "the wire, and the host or guest that answers: its processors, interrupts and queues";
	}
}

static void say_none(const struct ping_summary *s, const char *cause, char *buf, size_t size)
{
	if (s->dropped && s->dropped >= s->lost + s->held)
		snprintf(buf, size, "No probe left the port, which dropped them: %s.",
			 cause ? cause : "it is not up");
	else if (s->held > s->lost)
		snprintf(
			buf, size,
			"No probe left the port in time: its outside takes nothing (back-pressure), or "
			"a limit of the port (rate=, pps=) holds it.");
	else if (s->lost)
		snprintf(
			buf, size,
			"Probes left the port and nobody answered: there is no such address, the other "
			"side hangs or has a firewall, or mac-filter= or ip-filter= of the port dropped "
			"the answers.");
	else
		snprintf(buf, size, "No probe came to an end.");
}

const char *ping_verdict(const struct ping_summary *s, const char *cause, char *buf, size_t size)
{
	const struct dist *total = &s->parts[PART_TOTAL];
	enum ping_part part;
	int len;

	if (!total->cnt) {
		say_none(s, cause, buf, size);
		return buf;
	}
	part = longest(s, dist_mean);
	len = snprintf(buf, size, "%s%.0f %% of the time went into \"%s\": %s.",
		       dist_at(total, 0.99) < QUICK_NS ? "All is quick. " : "",
		       total->sum > 0 ? 100 * s->parts[part].sum / total->sum : 100.0,
		       ping_part_name(part), meaning(s, part));
	if (len < 0 || (size_t)len >= size || dist_at(total, 0.99) < TAIL_NS ||
	    dist_at(total, 0.99) / TAIL_TIMES < dist_at(total, 0.5))
		return buf;
	part = longest(s, tail);
	snprintf(buf + len, size - (size_t)len,
		 " Now and then it takes %.0f times as long as usual, mostly in \"%s\".",
		 (double)dist_at(total, 0.99) /
			 (double)(dist_at(total, 0.5) ? dist_at(total, 0.5) : 1),
		 ping_part_name(part));
	return buf;
}
