/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "loop/burst.h"

static struct burst *engine;
static int sv[2];
static char texts[BURST_MAX][16];
static struct iovec iov[BURST_MAX][2];
static struct burst_op ops[BURST_MAX];

static int setup(void **state)
{
	enum burst_engine *which = *state;
	int why;

	engine = burst_new(*which, &why);
	return engine ? socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, sv) : -1;
}

static int teardown(void **state)
{
	burst_free(engine);
	close(sv[0]);
	close(sv[1]);
	return 0;
}

/* Messages "0", "1", … in one or two pieces each. */
static void prepare(unsigned cnt)
{
	for (unsigned i = 0; i < cnt; i++) {
		int len = snprintf(texts[i], sizeof(texts[i]), "number %u", i);

		iov[i][0] = (struct iovec) { .iov_base = texts[i], .iov_len = (size_t)len };
		ops[i] = (struct burst_op) { .iov = iov[i], .iov_cnt = 1, .res = 12345 };
		if (i % 3)
			continue;
		iov[i][0].iov_len = 3;
		iov[i][1] = (struct iovec) { .iov_base = texts[i] + 3, .iov_len = (size_t)len - 3 };
		ops[i].iov_cnt = 2;
	}
}

static unsigned drain(unsigned from)
{
	char buf[32], want[32];
	unsigned cnt = 0;
	ssize_t n;

	while ((n = read(sv[1], buf, sizeof(buf) - 1)) > 0) {
		buf[n] = '\0';
		snprintf(want, sizeof(want), "number %u", from + cnt);
		assert_string_equal(buf, want);
		cnt++;
	}
	return cnt;
}

static void every_write_is_done_in_order(void **state)
{
	int room = 1 << 20;

	setsockopt(sv[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
	for (unsigned cnt = 1; cnt <= BURST_MAX; cnt++) {
		unsigned read_back = 0;

		prepare(cnt);
		/* a seqpacket socket holds only some; what does not fit says so */
		burst_write(engine, sv[0], ops, cnt, true);
		while (read_back < cnt && ops[read_back].res >= 0) {
			assert_int_equal(ops[read_back].res, strlen(texts[read_back]));
			read_back++;
		}
		assert_int_equal(drain(0), read_back);
		assert_true(read_back > 0);
	}
}

static void a_batch_is_done_in_order(void **state)
{
	int fds[2];
	char all[2048], want[2048] = "";
	ssize_t n;

	assert_int_equal(pipe(fds), 0);
	prepare(BURST_MAX);
	burst_write(engine, fds[1], ops, BURST_MAX, false);
	for (unsigned i = 0; i < BURST_MAX; i++) {
		assert_int_equal(ops[i].res, strlen(texts[i]));
		strcat(want, texts[i]);
	}
	n = read(fds[0], all, sizeof(all) - 1);
	all[n] = '\0';
	assert_string_equal(all, want);
	close(fds[0]);
	close(fds[1]);
}

static void nothing_is_tried_after_the_first_that_would_block(void **state)
{
	unsigned fit = 0;

	do {
		prepare(BURST_MAX);
		burst_write(engine, sv[0], ops, BURST_MAX, true);
		fit = 0;
		while (fit < BURST_MAX && ops[fit].res >= 0)
			fit++;
	} while (fit == BURST_MAX);
	for (unsigned i = fit; i < BURST_MAX; i++)
		assert_int_equal(ops[i].res, -EAGAIN);
}

static void each_write_has_its_own_error(void **state)
{
	int fds[2];

	assert_int_equal(pipe(fds), 0);
	prepare(BURST_MAX);
	for (unsigned i = 0; i < BURST_MAX; i += 2)
		ops[i].iov = NULL, ops[i].iov_cnt = 3000; /* more than IOV_MAX */
	burst_write(engine, fds[1], ops, BURST_MAX, false);
	for (unsigned i = 0; i < BURST_MAX; i++) {
		if (i % 2)
			assert_int_equal(ops[i].res, strlen(texts[i]));
		else
			assert_true(ops[i].res < 0);
	}
	close(fds[0]);
	close(fds[1]);
}

static void a_closed_descriptor_fails_every_write(void **state)
{
	prepare(BURST_MAX);
	burst_write(engine, 1 << 20, ops, BURST_MAX, false);
	for (unsigned i = 0; i < BURST_MAX; i++)
		assert_int_equal(ops[i].res, -EBADF);
	/* and the engine goes on */
	prepare(20);
	burst_write(engine, sv[0], ops, 5, false);
	assert_int_equal(drain(0), 5);
}

static void without_descriptors_auto_falls_back(void **state)
{
	struct rlimit old, none = { 0, 0 };
	struct burst *b;
	int why;

	getrlimit(RLIMIT_NOFILE, &old);
	none.rlim_max = old.rlim_max;
	setrlimit(RLIMIT_NOFILE, &none);
	b = burst_new(BURST_AUTO, &why);
	setrlimit(RLIMIT_NOFILE, &old);
	assert_non_null(b);
	assert_int_equal(why, -EMFILE);
	assert_false(burst_is_batching(b));
	burst_free(b);
	setrlimit(RLIMIT_NOFILE, &none);
	b = burst_new(BURST_IO_URING, &why);
	setrlimit(RLIMIT_NOFILE, &old);
	assert_null(b);
	assert_int_equal(errno, EMFILE);
}

static enum burst_engine plain = BURST_PLAIN, uring = BURST_IO_URING;

#define PLAIN(f)                                          \
	{                                                 \
#f " (plain)", f, setup, teardown, &plain \
	}
#define URING(f)                                             \
	{                                                    \
#f " (io_uring)", f, setup, teardown, &uring \
	}

int main(void)
{
	const struct CMUnitTest always[] = {
		PLAIN(every_write_is_done_in_order),
		PLAIN(a_batch_is_done_in_order),
		PLAIN(nothing_is_tried_after_the_first_that_would_block),
		PLAIN(each_write_has_its_own_error),
		PLAIN(a_closed_descriptor_fails_every_write),
		cmocka_unit_test(without_descriptors_auto_falls_back),
	};
	const struct CMUnitTest batching[] = {
		URING(every_write_is_done_in_order),
		URING(a_batch_is_done_in_order),
		URING(nothing_is_tried_after_the_first_that_would_block),
		URING(each_write_has_its_own_error),
		URING(a_closed_descriptor_fails_every_write),
	};
	int failed = cmocka_run_group_tests(always, NULL, NULL);
	struct burst *b;
	int why;

	b = burst_new(BURST_AUTO, &why);
	if (b && burst_is_batching(b))
		failed += cmocka_run_group_tests(batching, NULL, NULL);
	else
		printf("[  SKIPPED ] io_uring\nio_uring cannot be had here: %s\n", strerror(-why));
	burst_free(b);
	return failed;
}
