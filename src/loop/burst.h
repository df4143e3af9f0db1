/* SPDX-License-Identifier: MIT */
/*
 * The burst engine: many writes in one system call.
 *
 * Model
 *   A TAP takes one frame a write(2) and never blocks, so io_uring serves as
 *   a batcher: up to BURST_MAX writes are submitted by one io_uring_enter(2),
 *   which completes them inline and in order. Where io_uring is forbidden,
 *   and for bursts too small to pay (BURST_WORTH), a plain loop does the same.
 *
 * Threads
 *   An engine is made by the thread of its loop. Another one, which holds that thread still,
 *   may use it as well, and gets the plain loop: a ring has one submitter.
 */
#ifndef LOOP_BURST_H
#define LOOP_BURST_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#define BURST_MAX 64
/** From so many writes on, a batch is cheaper than single calls. */
#define BURST_WORTH 8

struct burst;

enum burst_engine {
	BURST_AUTO, /* io_uring where it can be had */
	BURST_IO_URING,
	BURST_PLAIN,
};

/** struct burst_op - One write
 *  @res: afterwards: bytes written, or -errno */
struct burst_op {
	const struct iovec *iov;
	unsigned iov_cnt; /* 1 is cheapest */
	ssize_t res;
};

/** burst_new() - @why: with BURST_AUTO, 0 or the -errno for which io_uring is not used.
 *  Return: owned; NULL and errno: out of memory, or BURST_IO_URING cannot be had. */
struct burst *burst_new(enum burst_engine engine, int *why);
void burst_free(struct burst *b);
bool burst_is_batching(const struct burst *b);

/**
 * burst_write() - Write all of @ops to @fd, which does not block
 * @cnt:       1..BURST_MAX
 * @stoppable: @fd may say EAGAIN. Then nothing after the first EAGAIN is tried, to keep the order,
 *             and has -EAGAIN as well; such writes are not batched
 */
void burst_write(struct burst *b, int fd, struct burst_op *ops, unsigned cnt, bool stoppable);

#endif
