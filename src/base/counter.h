/* SPDX-License-Identifier: MIT */
/*
 * Counters that one thread writes and another one reads, without a lock.
 *
 * One writer at a time: adding is a load, an addition and a store, as of any variable, and costs no more. Who
 * reads sees a value that the counter had, soon after; two counters need not be of the same moment.
 */
#ifndef BASE_COUNTER_H
#define BASE_COUNTER_H

#include <stdint.h>

static inline uint64_t counter_get(const uint64_t *c)
{
	return __atomic_load_n(c, __ATOMIC_RELAXED);
}

static inline void counter_set(uint64_t *c, uint64_t value)
{
	__atomic_store_n(c, value, __ATOMIC_RELAXED);
}

static inline void counter_add(uint64_t *c, uint64_t n)
{
	counter_set(c, counter_get(c) + n);
}

#endif
