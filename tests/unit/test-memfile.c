/* SPDX-License-Identifier: MIT */
/* Files in memory: what they are on kernels that know files which cannot be executed, and on those that do not. */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/memfile.h"

#define NOEXEC_SEAL 8u
#define SEALS (F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL)

/* The exit status of a child: whether it works there, or that it cannot be tried. */
enum {
	WORKS,
	FAILS,
	CANNOT
};

static bool kernel_has_noexec(void)
{
	cleanup_fd int fd = memfd_create("x", MFD_CLOEXEC | NOEXEC_SEAL);

	return fd >= 0;
}

static bool works(void)
{
	cleanup_fd int fd = memfile_make("some-name");
	struct stat st;

	return fd >= 0 && fcntl(fd, F_GETFD) == FD_CLOEXEC && fstat(fd, &st) == 0 && !st.st_size &&
	       write(fd, "x", 1) == 1 && fcntl(fd, F_ADD_SEALS, SEALS) == 0 &&
	       write(fd, "x", 1) < 0;
}

/* Run @try in a process of its own: what it does to itself is for good. */
static int in_child(int (*try)(void))
{
	const pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (!pid)
		_exit(try());
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	return WEXITSTATUS(status);
}

static void is_empty_and_takes_seals(void **state)
{
	assert_true(works());
}

static void cannot_be_executed(void **state)
{
	cleanup_fd int fd = memfile_make("x");
	struct stat st;

	if (!kernel_has_noexec())
		skip(); /* before Linux 6.3 */
	assert_int_equal(fstat(fd, &st), 0);
	assert_int_equal(st.st_mode & 0111, 0);
	assert_int_equal(fchmod(fd, 0700), -1);
}

/* Have memfd_create() fail with @with_flag where the flag is given, and with @without_flag where it is not; 0: it
 * does not fail. Return: whether that could be had. */
static bool refuse(unsigned with_flag, unsigned without_flag)
{
	const unsigned rets[] = {
		with_flag ? SECCOMP_RET_ERRNO | with_flag : SECCOMP_RET_ALLOW,
		without_flag ? SECCOMP_RET_ERRNO | without_flag : SECCOMP_RET_ALLOW,
	};
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_memfd_create, 0, 4),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[1])),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, NOEXEC_SEAL, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, rets[0]),
		BPF_STMT(BPF_RET | BPF_K, rets[1]),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	const struct sock_fprog prog = { .len = sizeof(code) / sizeof(code[0]), .filter = code };

	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
	       prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog) == 0;
}

/* As before Linux 6.3. */
static int with_older_kernel(void)
{
	if (!refuse(EINVAL, 0) || kernel_has_noexec())
		return CANNOT;
	return works() ? WORKS : FAILS;
}

static void older_kernels_have_them_too(void **state)
{
	const int status = in_child(with_older_kernel);

	if (status == CANNOT)
		skip(); /* no seccomp, or a machine whose words have the other end first */
	assert_int_equal(status, WORKS);
}

/* As Documentation/userspace-api/mfd_noexec.rst has it of vm.memfd_noexec=2. */
static int where_others_are_refused(void)
{
	if (!kernel_has_noexec() || !refuse(0, EACCES) || memfd_create("x", MFD_CLOEXEC) >= 0)
		return CANNOT;
	return works() ? WORKS : FAILS;
}

static void works_where_others_are_refused(void **state)
{
	const int status = in_child(where_others_are_refused);

	if (status == CANNOT)
		skip(); /* before Linux 6.3, or as above */
	assert_int_equal(status, WORKS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(is_empty_and_takes_seals),
		cmocka_unit_test(cannot_be_executed),
		cmocka_unit_test(older_kernels_have_them_too),
		cmocka_unit_test(works_where_others_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
