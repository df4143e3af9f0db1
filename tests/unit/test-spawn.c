/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/spawn.h"

static char out_path[64];

static int run_sh(const char *script, int keep_fd, unsigned timeout_ms, int cancel_fd,
		  struct vmtap_error *err)
{
	const char *argv[] = { "/bin/sh", "-c", script, NULL };
	struct spawn s = {
		.object = "tap vm0",
		.what = "script /etc/test",
		.argv = argv,
		.keep_fd = keep_fd,
		.stderr_fd = -1,
		.timeout_key = "script-timeout-ms",
		.timeout_ms = timeout_ms,
		.cancel_fd = cancel_fd,
	};

	return spawn_run(&s, err);
}

static const char *output(void)
{
	static char text[4096];
	int fd = open(out_path, O_RDONLY);
	ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);

	close(fd);
	text[n > 0 ? n : 0] = '\0';
	return text;
}

static int setup(void **state)
{
	int fd;

	strcpy(out_path, "/tmp/vmtap-test-XXXXXX");
	fd = mkstemp(out_path);
	close(fd);
	setenv("OUT", out_path, 1);
	return fd < 0 ? -1 : 0;
}

static int teardown(void **state)
{
	unlink(out_path);
	return 0;
}

static void success_is_zero(void **state)
{
	struct vmtap_error err = { 0 };

	assert_int_equal(run_sh("exit 0", -1, 0, -1, &err), 0);
	assert_int_equal(err.code, 0);
}

static void the_exit_status_is_named(void **state)
{
	struct vmtap_error err = { 0 };

	assert_true(run_sh("exit 7", -1, 0, -1, &err) < 0);
	assert_string_equal(err.object, "tap vm0");
	assert_non_null(strstr(err.reason, "exit status 7"));
}

static void a_signal_is_named(void **state)
{
	struct vmtap_error err = { 0 };

	assert_true(run_sh("kill -9 $$", -1, 0, -1, &err) < 0);
	assert_non_null(strstr(err.reason, "signal 9"));
}

static void a_file_that_cannot_be_run_is_told_from_one_that_fails(void **state)
{
	const char *argv[] = { "/nonexistent/script", NULL };
	struct spawn s = { .object = "tap vm0",
			   .what = "script",
			   .argv = argv,
			   .keep_fd = -1,
			   .stderr_fd = -1,
			   .cancel_fd = -1 };
	struct vmtap_error err = { 0 };

	assert_int_equal(spawn_run(&s, &err), -ENOENT);
	argv[0] = out_path; /* mode 0600 */
	assert_int_equal(spawn_run(&s, &err), -EACCES);
	assert_non_null(strstr(err.remedy, "chmod +x"));
	chmod(out_path, 0700);
	assert_int_equal(spawn_run(&s, &err), -ENOEXEC);
}

static void only_stdio_and_the_kept_descriptor_are_inherited(void **state)
{
	int extra = open("/dev/null", O_RDONLY); /* without close-on-exec */
	int keep = fcntl(extra, F_DUPFD_CLOEXEC, 50);
	struct vmtap_error err = { 0 };

	assert_int_equal(run_sh("o=; for f in /proc/$$/fd/*; do "
				"[ -e $f ] && o=\"$o${f##*/} \"; done; echo \"$o\" >$OUT",
				keep, 0, -1, &err),
			 0);
	assert_string_equal(output(), "0 1 2 50 \n");
	assert_true(fcntl(keep, F_GETFD) & FD_CLOEXEC); /* ours is as it was */
	close(extra);
	close(keep);
}

static void signals_are_default_and_unblocked_in_the_child(void **state)
{
	sigset_t set, old;
	struct vmtap_error err = { 0 };

	signal(SIGUSR1, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, &old);
	assert_int_equal(
		/* signals 32 and 33 are the C library's own, out of reach */
		run_sh("grep -E '^Sig(Blk|Ign)' /proc/$$/status | grep -v '0000000[0-38]0000000$' "
		       ">$OUT; true",
		       -1, 0, -1, &err),
		0);
	assert_string_equal(output(), "");
	sigprocmask(SIG_BLOCK, NULL, &set);
	assert_true(sigismember(&set, SIGTERM)); /* ours is as it was */
	sigprocmask(SIG_SETMASK, &old, NULL);
	signal(SIGUSR1, SIG_DFL);
}

static void a_hanging_program_is_ended_with_its_children(void **state)
{
	struct vmtap_error err = { 0 };
	int pid, pidfd;

	assert_int_equal(run_sh("tail -f /dev/null & echo $! >$OUT; wait", -1, 200, -1, &err),
			 -ETIMEDOUT);
	assert_non_null(strstr(err.reason, "200 ms"));
	assert_non_null(strstr(err.remedy, "script-timeout-ms"));
	pid = atoi(output());
	assert_true(pid > 1);
	pidfd = (int)syscall(SYS_pidfd_open, pid, 0u);
	if (pidfd < 0) /* reaped already */
		return;
	assert_int_equal(poll(&(struct pollfd) { .fd = pidfd, .events = POLLIN }, 1, 10000), 1);
	close(pidfd);
}

static void a_cancelled_wait_ends_the_program(void **state)
{
	struct vmtap_error err = { 0 };
	int p[2];

	assert_int_equal(pipe(p), 0);
	assert_int_equal(write(p[1], "x", 1), 1);
	assert_int_equal(run_sh("tail -f /dev/null", -1, 0, p[0], &err), -ECANCELED);
	close(p[0]);
	close(p[1]);
}

static void no_zombie_and_no_descriptor_is_left(void **state)
{
	int before = open("/dev/null", O_RDONLY), after;

	close(before);
	run_sh("exit 0", -1, 0, -1, NULL);
	run_sh("exit 1", -1, 0, -1, NULL);
	run_sh("tail -f /dev/null", -1, 50, -1, NULL);
	after = open("/dev/null", O_RDONLY);
	close(after);
	assert_int_equal(before, after);
	assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
	assert_int_equal(errno, ECHILD);
}

static void an_exit_status_that_is_lost_is_an_error(void **state)
{
	struct vmtap_error err = { 0 };

	signal(SIGCHLD, SIG_IGN);
	assert_int_equal(run_sh("exit 1", -1, 0, -1, &err), -ECHILD);
	assert_non_null(strstr(err.reason, "SIGCHLD"));
	signal(SIGCHLD, SIG_DFL);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(success_is_zero),
		CASE(the_exit_status_is_named),
		CASE(a_signal_is_named),
		CASE(a_file_that_cannot_be_run_is_told_from_one_that_fails),
		CASE(only_stdio_and_the_kept_descriptor_are_inherited),
		CASE(signals_are_default_and_unblocked_in_the_child),
		CASE(a_hanging_program_is_ended_with_its_children),
		CASE(a_cancelled_wait_ends_the_program),
		CASE(no_zombie_and_no_descriptor_is_left),
		CASE(an_exit_status_that_is_lost_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
