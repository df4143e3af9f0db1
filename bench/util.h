/* SPDX-License-Identifier: MIT */
/* What every program of the benchmark needs: time, waiting, giving up. */
#ifndef BENCH_UTIL_H
#define BENCH_UTIL_H

#include <stdint.h>

#define NSEC_PER_SEC 1000000000ull
#define NSEC_PER_USEC 1000ull

/** die() - Say what failed (and errno, unless it is 0) and end the program. */
_Noreturn void die(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/** now_ns() - CLOCK_MONOTONIC in nanoseconds. */
uint64_t now_ns(void);

/** deadline_ns() - The time that is @secs from now. */
uint64_t deadline_ns(double secs);

/** nap_us() - Leave the core to others for about @us microseconds. */
void nap_us(unsigned us);

/** nap_secs() - Wait out a measuring interval. */
void nap_secs(double secs);

/** spin_us() - Stay on the core for @us microseconds. */
void spin_us(unsigned us);

/**
 * util_prefer_latency() - Ask the scheduler for short time slices and exact timers
 *
 * The generator, the sender and the receiver share a core; with slices of milliseconds one would
 * keep the others from their queues until those run dry. Kernels before 6.12 ignore it.
 */
void util_prefer_latency(void);

/** packet_open() - A packet socket on interface @ifname that receives @ethertype; 0: sends only. */
int packet_open(const char *ifname, uint16_t ethertype);

#endif
