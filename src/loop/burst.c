/* SPDX-License-Identifier: MIT */
/* The burst engine: many writes in one system call. */
#include "loop/burst.h"

#include <assert.h>
#include <errno.h>
#include <liburing.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

struct burst {
	bool batching;
	pthread_t thread;
	struct io_uring ring;
};

/* The kernel's newest flags first; each older kernel lacks some. */
static int ring_init(struct io_uring *ring)
{
	static const unsigned flags[] = {
		IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN, /* 6.1 */
		IORING_SETUP_COOP_TASKRUN,				 /* 5.19 */
		0,
	};
	int ret = -ENOSYS;

	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++) {
		ret = io_uring_queue_init(BURST_MAX, ring, flags[i]);
		if (ret != -EINVAL)
			break;
	}
	if (ret == 0)
		io_uring_register_ring_fd(ring); /* saves a look-up; without it, it works as well */
	return ret;
}

struct burst *burst_new(enum burst_engine engine, int *why)
{
	struct burst *b = calloc(1, sizeof(*b));

	*why = 0;
	if (!b)
		return NULL;
	b->thread = pthread_self();
	if (engine == BURST_PLAIN)
		return b;
	*why = ring_init(&b->ring);
	b->batching = *why == 0;
	if (b->batching || engine == BURST_AUTO)
		return b;
	free(b);
	errno = -*why;
	return NULL;
}

void burst_free(struct burst *b)
{
	if (!b)
		return;
	if (b->batching)
		io_uring_queue_exit(&b->ring);
	free(b);
}

bool burst_is_batching(const struct burst *b)
{
	return b->batching;
}

static ssize_t write_one(int fd, const struct burst_op *op)
{
	ssize_t ret;

	do
		ret = op->iov_cnt == 1 ? write(fd, op->iov->iov_base, op->iov->iov_len)
				       : writev(fd, op->iov, (int)op->iov_cnt);
	while (ret < 0 && errno == EINTR);
	return ret < 0 ? -errno : ret;
}

static void write_plain(int fd, struct burst_op *ops, unsigned cnt, bool stoppable)
{
	bool stopped = false;

	for (unsigned i = 0; i < cnt; i++) {
		ops[i].res = stopped ? -EAGAIN : write_one(fd, &ops[i]);
		stopped = stoppable && ops[i].res == -EAGAIN;
	}
}

static void prepare(struct io_uring *ring, int fd, const struct burst_op *op, unsigned index)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(ring);

	assert(sqe); /* the ring has BURST_MAX entries, and is empty between calls */
	if (op->iov_cnt == 1)
		io_uring_prep_write(sqe, fd, op->iov->iov_base, (unsigned)op->iov->iov_len, 0);
	else
		io_uring_prep_writev(sqe, fd, op->iov, op->iov_cnt, 0);
	io_uring_sqe_set_data64(sqe, index);
}

/* Reap @want completions. Every submitted write is waited for: its memory is borrowed. */
static void reap(struct io_uring *ring, struct burst_op *ops, unsigned want)
{
	unsigned got = 0;

	while (got < want) {
		struct io_uring_cqe *cqe;
		unsigned head, seen = 0;

		io_uring_for_each_cqe(ring, head, cqe)
		{
			ops[io_uring_cqe_get_data64(cqe)].res = cqe->res;
			seen++;
		}
		io_uring_cq_advance(ring, seen);
		got += seen;
		if (got < want)
			io_uring_submit_and_wait(ring, want - got);
	}
}

static void write_batch(struct burst *b, int fd, struct burst_op *ops, unsigned cnt)
{
	int ret;

	for (unsigned i = 0; i < cnt; i++)
		prepare(&b->ring, fd, &ops[i], i);
	do
		ret = io_uring_submit_and_wait(&b->ring, cnt);
	while (ret == -EINTR || ret == -EAGAIN || ret == -EBUSY);
	/* anything else would mean that the ring itself is broken: our own bug */
	assert(ret >= 0);
	reap(&b->ring, ops, cnt);
	for (unsigned i = 0; i < cnt; i++)
		if (ops[i].res == -EINTR)
			ops[i].res = write_one(fd, &ops[i]);
}

void burst_write(struct burst *b, int fd, struct burst_op *ops, unsigned cnt, bool stoppable)
{
	assert(cnt <= BURST_MAX);
	if (b->batching && cnt >= BURST_WORTH && !stoppable && b->thread == pthread_self())
		write_batch(b, fd, ops, cnt);
	else
		write_plain(fd, ops, cnt, stoppable);
}
