/* SPDX-License-Identifier: MIT */
/*
 * What many probes say together: the least, the median, the worst in a hundred, the most; and where the time went.
 *
 * A distribution is a histogram whose steps are a thirty-second of the value or less, so that it has one size however
 * many probes there are. What is said of it is exact where that is the least or the most, else within 1.6 %.
 */
#ifndef CLI_PING_STATS_H
#define CLI_PING_STATS_H

#include <stddef.h>
#include <stdint.h>

#define DIST_STEPS 32u
#define DIST_BUCKETS (60u * DIST_STEPS)

/** struct dist - Of nanoseconds; zero-initialise it */
struct dist {
	uint64_t cnt, min, max;
	double sum;
	uint64_t buckets[DIST_BUCKETS];
};

void dist_add(struct dist *d, uint64_t value);
/** dist_at() - The value that @share, above 0 and up to 1, of all do not exceed; 0: there are none. */
uint64_t dist_at(const struct dist *d, double share);
double dist_mean(const struct dist *d);

/** The parts of a probe's time, all of it, and what part of that outside may have been a busy thread of ours. */
enum ping_part {
	PART_WAIT,
	PART_HAND_OVER,
	PART_OUTSIDE,
	PART_TOTAL,
	PART_BUSY,
	PART_CNT,
};

/** struct ping_summary - @parts: of answered probes; zero-initialise it. The counters are those of the server. */
struct ping_summary {
	struct dist parts[PART_CNT];
	uint64_t answered, lost, held, dropped, duplicates, others, late;
};

/** ping_part_name() - "hand over". */
const char *ping_part_name(enum ping_part part);

/** ping_add() - An answered probe, without its total. */
void ping_add(struct ping_summary *s, const uint64_t ns[PART_CNT]);

/** ping_verdict() - Where the time went, and what that usually means: one or two sentences. @cause: why a probe was
 *  dropped; NULL: none was. Return: @buf. */
const char *ping_verdict(const struct ping_summary *s, const char *cause, char *buf, size_t size);

#endif
