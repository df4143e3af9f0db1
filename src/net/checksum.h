/* SPDX-License-Identifier: MIT */
/*
 * The Internet checksum of RFC 1071 over bytes that lie in several places.
 *
 * Model
 *   Sums are kept in memory order: 16-bit words are added as the host loads
 *   them, and the result is stored as the host stores it. One's complement
 *   addition does not care about byte order, so nothing is swapped, except
 *   for a piece that begins at an odd place of the whole.
 */
#ifndef NET_CHECKSUM_H
#define NET_CHECKSUM_H

#include <arpa/inet.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/** What the field of a computed checksum holds where zero means "none" (UDP). */
#define CSUM_ZERO 0xffffu

/**
 * struct csum - A sum in progress; zero-initialise it
 * @sum: far from overflow: each call adds less than 2^17
 * @odd: an odd number of bytes went in so far
 */
struct csum {
	uint64_t sum;
	bool odd;
};

/** csum_fold() - The 16-bit one's complement sum that @sum stands for; 0 only if @sum is 0. */
static inline uint16_t csum_fold(uint64_t sum)
{
	sum = (sum >> 32) + (sum & 0xffffffff);
	sum = (sum >> 32) + (sum & 0xffffffff);
	sum = (sum >> 16) + (sum & 0xffff);
	sum = (sum >> 16) + (sum & 0xffff);
	return (uint16_t)((sum >> 16) + (sum & 0xffff));
}

/** csum_add() - Add bytes. */
void csum_add(struct csum *c, const void *data, size_t len);

/** csum_add_iov() - Add every byte of a scatter list. */
void csum_add_iov(struct csum *c, const struct iovec *iov, unsigned cnt);

/** csum_add16() - Add a 16-bit word given in host order, as if it lay at an even place. */
static inline void csum_add16(struct csum *c, uint16_t word)
{
	c->sum += htons(word);
}

/** csum_final() - The checksum: folded and inverted, to be stored with memcpy(). */
static inline uint16_t csum_final(const struct csum *c)
{
	return (uint16_t)~csum_fold(c->sum);
}

#endif
