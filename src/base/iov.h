/* SPDX-License-Identifier: MIT */
/* Scatter lists. */
#ifndef BASE_IOV_H
#define BASE_IOV_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

/** iov_len() - Bytes in the list; SIZE_MAX when the sum overflows. */
size_t iov_len(const struct iovec *iov, unsigned cnt);

/** iov_read() - Copy up to @len bytes that start at byte @off of the list. Return: bytes copied. */
size_t iov_read(const struct iovec *iov, unsigned cnt, size_t off, void *to, size_t len);

/**
 * iov_touch() - Read a byte of each page
 *
 * For lists with which the kernel said EFAULT. Where that is memory that another process shares and took
 * away, whoever mapped it hears of it by a SIGBUS of our own only (virtio/guard.h), and puts zeros in
 * its place: after this call, the kernel can read them.
 */
void iov_touch(const struct iovec *iov, unsigned cnt);

/** iov_slice() - Describe bytes @off..@off+@len of the list in @out, which has @max entries.
 *  Return: entries used; 0 when the bytes are not there or @max is too small. */
unsigned iov_slice(const struct iovec *iov, unsigned cnt, size_t off, size_t len, struct iovec *out,
		   unsigned max);

#endif
