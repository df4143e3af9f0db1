/* SPDX-License-Identifier: MIT */
/* Scatter lists. */
#include "base/iov.h"

#include <string.h>

size_t iov_len(const struct iovec *iov, unsigned cnt)
{
	size_t sum = 0;

	for (unsigned i = 0; i < cnt; i++)
		if (__builtin_add_overflow(sum, iov[i].iov_len, &sum))
			return SIZE_MAX;
	return sum;
}

size_t iov_read(const struct iovec *iov, unsigned cnt, size_t off, void *to, size_t len)
{
	char *out = to;
	size_t done = 0;

	for (unsigned i = 0; i < cnt && done < len; i++) {
		size_t n = iov[i].iov_len;

		if (off >= n) {
			off -= n;
			continue;
		}
		n -= off;
		if (n > len - done)
			n = len - done;
		memcpy(out + done, (const char *)iov[i].iov_base + off, n);
		done += n;
		off = 0;
	}
	return done;
}

void iov_touch(const struct iovec *iov, unsigned cnt)
{
	const size_t page = 4096; /* or more, which costs nothing but time */

	for (unsigned i = 0; i < cnt; i++) {
		const volatile char *p = iov[i].iov_base;

		for (size_t at = 0; at < iov[i].iov_len; at += page - ((uintptr_t)p + at) % page)
			(void)p[at];
	}
}

unsigned iov_slice(const struct iovec *iov, unsigned cnt, size_t off, size_t len, struct iovec *out,
		   unsigned max)
{
	unsigned used = 0;

	for (unsigned i = 0; i < cnt && len; i++) {
		size_t n = iov[i].iov_len;

		if (off >= n) {
			off -= n;
			continue;
		}
		n -= off;
		if (n > len)
			n = len;
		if (used == max)
			return 0;
		out[used++] =
			(struct iovec) { .iov_base = (char *)iov[i].iov_base + off, .iov_len = n };
		len -= n;
		off = 0;
	}
	return len ? 0 : used;
}
