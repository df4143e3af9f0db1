/* SPDX-License-Identifier: MIT */
/* Hashes with a secret, so that strangers who choose keys cannot choose some that meet in one chain. */
#ifndef NET_KEYHASH_H
#define NET_KEYHASH_H

#include <stdint.h>
#include <sys/random.h>

#include "base/clock.h"

struct keyhash {
	uint64_t secret[2];
};

/** keyhash_init() - A secret from the kernel; when it has none yet, from the clock. */
static inline void keyhash_init(struct keyhash *h)
{
	if (getrandom(h->secret, sizeof(h->secret), GRND_NONBLOCK) != sizeof(h->secret))
		h->secret[0] = h->secret[1] = clock_ns();
}

static inline uint64_t keyhash_mix(const struct keyhash *h, uint64_t key)
{
	uint64_t x = (key ^ h->secret[0]) * 0x9e3779b97f4a7c15ull;

	x = (x ^ x >> 32 ^ h->secret[1]) * 0xd6e8feb86659fd93ull;
	return x ^ x >> 32;
}

#endif
