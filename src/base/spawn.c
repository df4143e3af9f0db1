/* SPDX-License-Identifier: MIT */
/* Running a program and waiting for it. */
#include "base/spawn.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"

static void close_from(unsigned first, unsigned last)
{
	if (first <= last)
		syscall(SYS_close_range, first, last, 0u);
}

/* In the child: only async-signal-safe calls. The exec's errno goes to @report. */
static _Noreturn void child(const struct spawn *s, int report, pid_t parent)
{
	struct sigaction dfl = { .sa_handler = SIG_DFL };
	sigset_t none;
	int lo = s->keep_fd, hi = report, saved;

	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	if (getppid() != parent)
		_exit(127);
	for (int sig = 1; sig < NSIG; sig++)
		sigaction(sig, &dfl, NULL);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);

	if (s->stderr_fd >= 0)
		dup2(s->stderr_fd, STDERR_FILENO);
	if (lo > hi) {
		lo = report;
		hi = s->keep_fd;
	}
	if (lo < 3)
		lo = 2;
	close_from(3, lo >= 3 ? (unsigned)lo - 1 : 2);
	close_from((unsigned)lo + 1, (unsigned)hi - 1);
	close_from((unsigned)hi + 1, ~0u);
	if (s->keep_fd >= 0)
		fcntl(s->keep_fd, F_SETFD, 0);

	execv(s->argv[0], (char *const *)(uintptr_t)s->argv);
	saved = errno;
	(void)!write(report, &saved, sizeof(saved));
	_exit(127);
}

/* Fork with every signal blocked, so that no handler of the caller runs in the child. */
static pid_t start(const struct spawn *s, int report)
{
	pid_t parent = getpid(), pid;
	sigset_t all, old;
	int saved;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	pid = fork();
	if (pid == 0)
		child(s, report, parent);
	saved = errno;
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	errno = saved;
	return pid;
}

static int remaining_ms(uint64_t end_ns)
{
	uint64_t now = clock_ns();

	return now >= end_ns ? 0 : (int)((end_ns - now + NSEC_PER_MSEC - 1) / NSEC_PER_MSEC);
}

static void serve(struct spawn_io *io)
{
	if (io->fd >= 0)
		io->ready(io);
}

/* Wait for the end of the process. Return: 0, -ETIMEDOUT, -ECANCELED. */
static int wait_end(const struct spawn *s, int pidfd)
{
	uint64_t end_ns = clock_ns() + s->timeout_ms * NSEC_PER_MSEC;
	struct pollfd fds[2 + SPAWN_IO_MAX] = {
		{ .fd = pidfd, .events = POLLIN },
		{ .fd = s->cancel_fd, .events = POLLIN },
	};

	for (;;) {
		int timeout = s->timeout_ms ? remaining_ms(end_ns) : -1;
		int n;

		for (unsigned i = 0; i < s->io_cnt; i++)
			fds[2 + i] = (struct pollfd) { .fd = s->io[i]->fd, .events = POLLIN };
		n = poll(fds, 2 + s->io_cnt, timeout);
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n <= 0 && timeout == 0)
			return -ETIMEDOUT;
		if (n <= 0)
			continue;
		if (fds[1].revents)
			return -ECANCELED;
		for (unsigned i = 0; i < s->io_cnt; i++)
			if (fds[2 + i].revents || fds[0].revents)
				serve(s->io[i]);
		if (fds[0].revents)
			return 0;
	}
}

static int explain(const struct spawn *s, int ret, int status, int exec_errno,
		   struct vmtap_error *err)
{
	char action[sizeof(err->action)];

	snprintf(action, sizeof(action), "run the %s", s->what);
	if (exec_errno) {
		error_set(err, exec_errno, s->object, action, "%s", strerror(exec_errno));
		if (exec_errno == ENOENT || exec_errno == ENOTDIR)
			error_remedy(err, "check the path, and if it is there, that of the "
					  "interpreter in its first line");
		else if (exec_errno == EACCES)
			error_remedy(err, "chmod +x %s", s->argv[0]);
		else if (exec_errno == ENOEXEC)
			error_remedy(err, "begin it with a line such as #!/bin/sh");
		return -exec_errno;
	}
	if (ret == -ETIMEDOUT) {
		error_set(err, ETIMEDOUT, s->object, action, "it did not end within %u ms",
			  s->timeout_ms);
		error_remedy(err, "give it more time with %s=, or 0 for no limit", s->timeout_key);
		return ret;
	}
	if (ret == -ECANCELED)
		return error_set(err, ECANCELED, s->object, action, "it was interrupted");
	if (ret < 0)
		return error_errno(err, -ret, s->object, action);
	if (WIFSIGNALED(status))
		return error_set(err, EPROTO, s->object, action, "it was killed by signal %d (%s)",
				 WTERMSIG(status), strsignal(WTERMSIG(status)));
	if (WEXITSTATUS(status))
		return error_set(err, EPROTO, s->object, action, "it ended with exit status %d",
				 WEXITSTATUS(status));
	return 0;
}

/* Better an error than to take a failure for success. */
static int explain_lost(const struct spawn *s, struct vmtap_error *err)
{
	char action[sizeof(err->action)];

	snprintf(action, sizeof(action), "run the %s", s->what);
	error_set(err, ECHILD, s->object, action,
		  "how it ended cannot be told, since this program ignores SIGCHLD or waits for "
		  "children of others");
	return -ECHILD;
}

int spawn_run(const struct spawn *s, struct vmtap_error *err)
{
	int report[2], exec_errno = 0, status = 0, ret;
	cleanup_fd int report_rd = -1;
	cleanup_fd int pidfd = -1;
	pid_t pid;

	if (pipe2(report, O_CLOEXEC) < 0)
		return explain(s, -errno, 0, 0, err);
	report_rd = report[0];
	pid = start(s, report[1]);
	ret = pid < 0 ? -errno : 0;
	fd_close(&report[1]);
	if (ret < 0)
		return explain(s, ret, 0, 0, err);

	/* ends with the exec, or with its errno */
	while (read(report_rd, &exec_errno, sizeof(exec_errno)) < 0 && errno == EINTR)
		;
	pidfd = (int)syscall(SYS_pidfd_open, pid, 0u);
	ret = pidfd < 0 ? -errno : wait_end(s, pidfd);
	if (ret < 0)
		kill(-pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0) {
		if (errno == EINTR)
			continue;
		return explain_lost(s, err);
	}
	return explain(s, ret, status, exec_errno, err);
}
