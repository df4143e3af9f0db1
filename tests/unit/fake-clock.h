/* SPDX-License-Identifier: MIT */
/* A clock that stands still until the test moves it. Linked with -Wl,--wrap=clock_gettime. */
#ifndef FAKE_CLOCK_H
#define FAKE_CLOCK_H

#include <stdatomic.h>
#include <stdint.h>
#include <time.h>

#include "base/clock.h"

/* From the beginning of all clocks on, so that a timer that the test lets expire has done so for the kernel, too.
 * Atomic: threads of the test look at it. */
static _Atomic uint64_t now_ns;

int __wrap_clock_gettime(clockid_t clock, struct timespec *ts);

int __wrap_clock_gettime(clockid_t clock, struct timespec *ts)
{
	const uint64_t now = atomic_load(&now_ns);

	ts->tv_sec = (time_t)(now / NSEC_PER_SEC);
	ts->tv_nsec = (long)(now % NSEC_PER_SEC);
	return 0;
}

#endif
