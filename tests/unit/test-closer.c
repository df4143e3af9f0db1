/* SPDX-License-Identifier: MIT */
/* Descriptors that are closed together. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>

#include <cmocka.h>

#include "base/closer.h"
#include "base/fd.h"

#define MANY 200

static int new_fd(void)
{
	int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static void closes_all_of_them_at_the_end(void **state)
{
	static const unsigned cnts[] = { 0, 1, 2, 16, 17, MANY };

	for (unsigned i = 0; i < sizeof(cnts) / sizeof(cnts[0]); i++) {
		struct closer c = { 0 };
		int fds[MANY];

		for (unsigned n = 0; n < cnts[i]; n++) {
			int fd = fds[n] = new_fd();

			closer_add(&c, &fd);
			assert_int_equal(fd, -1);
		}
		for (unsigned n = 0; n < cnts[i]; n++)
			assert_true(is_open(fds[n]));
		closer_run(&c);
		for (unsigned n = 0; n < cnts[i]; n++)
			assert_false(is_open(fds[n]));
	}
}

static void can_be_used_again(void **state)
{
	struct closer c = { 0 };

	for (int i = 0; i < 3; i++) {
		int fd = new_fd(), kept = fd;

		closer_add(&c, &fd);
		closer_run(&c);
		assert_false(is_open(kept));
	}
}

static void without_one_it_closes_at_once(void **state)
{
	int fd = new_fd(), kept = fd, none = -1;
	struct closer c = { 0 };

	closer_add(NULL, &fd);
	assert_int_equal(fd, -1);
	assert_false(is_open(kept));
	closer_add(NULL, &none);
	closer_add(&c, &none);
	assert_int_equal(c.cnt, 0);
	closer_run(&c);
}

static void without_threads_it_still_closes_them(void **state)
{
	struct rlimit before, little;
	struct closer c = { 0 };
	int fds[MANY];

#ifdef __SANITIZE_ADDRESS__
	print_message("the sanitizer itself needs room\n");
	skip();
#endif
	for (unsigned n = 0; n < MANY; n++) {
		int fd = fds[n] = new_fd();

		closer_add(&c, &fd);
	}
	assert_int_equal(getrlimit(RLIMIT_AS, &before), 0);
	little = (struct rlimit) { .rlim_cur = 1, .rlim_max = before.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_AS, &little), 0); /* no room for a stack */
	closer_run(&c);
	assert_int_equal(setrlimit(RLIMIT_AS, &before), 0);
	for (unsigned n = 0; n < MANY; n++)
		assert_false(is_open(fds[n]));
}

static void leaves_the_callers_signals_as_they_were(void **state)
{
	struct closer c = { 0 };
	sigset_t set, now;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	assert_int_equal(sigprocmask(SIG_SETMASK, &set, NULL), 0);
	for (int i = 0; i < 4; i++) {
		int fd = new_fd();

		closer_add(&c, &fd);
	}
	closer_run(&c);
	assert_int_equal(sigprocmask(SIG_SETMASK, NULL, &now), 0);
	assert_int_equal(sigismember(&now, SIGUSR1), 1);
	assert_int_equal(sigismember(&now, SIGUSR2), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		/* first: later there are stacks left for threads */
		cmocka_unit_test(without_threads_it_still_closes_them),
		cmocka_unit_test(closes_all_of_them_at_the_end),
		cmocka_unit_test(can_be_used_again),
		cmocka_unit_test(without_one_it_closes_at_once),
		cmocka_unit_test(leaves_the_callers_signals_as_they_were),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
