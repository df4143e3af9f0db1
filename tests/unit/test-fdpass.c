/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fdpass.h"

static int sv[2];

/* The lowest free descriptor: it tells whether any was left open. */
static int lowest(void)
{
	int fd = open("/dev/null", O_RDONLY);

	close(fd);
	return fd;
}

static int setup(void **state)
{
	return socketpair(AF_UNIX, SOCK_STREAM, 0, sv);
}

static int teardown(void **state)
{
	close(sv[0]);
	close(sv[1]);
	return 0;
}

static void send_many(int cnt)
{
	int fds[FDPASS_MAX];

	for (int i = 0; i < cnt; i++)
		fds[i] = 0;
	assert_int_equal(fd_send(sv[1], fds, (unsigned)cnt), 0);
}

static void close_all(const int *fds, int cnt)
{
	for (int i = 0; i < cnt; i++)
		close(fds[i]);
}

static void descriptors_arrive_close_on_exec(void **state)
{
	int fds[4];

	send_many(3);
	assert_int_equal(fd_recv(sv[0], fds, 4), 3);
	for (int i = 0; i < 3; i++)
		assert_int_equal(fcntl(fds[i], F_GETFD), FD_CLOEXEC);
	close_all(fds, 3);
}

static void as_many_as_the_kernel_passes_arrive(void **state)
{
	int fds[FDPASS_MAX];

	send_many(FDPASS_MAX);
	assert_int_equal(fd_recv(sv[0], fds, FDPASS_MAX), FDPASS_MAX);
	close_all(fds, FDPASS_MAX);
}

static void too_many_are_refused_and_closed(void **state)
{
	int before = lowest(), fds[2];

	send_many(3);
	assert_int_equal(fd_recv(sv[0], fds, 2), -EMSGSIZE);
	assert_int_equal(lowest(), before);
}

static void data_without_descriptors_is_none(void **state)
{
	int fds[1];

	assert_int_equal(write(sv[1], "hello", 5), 5);
	assert_int_equal(fd_recv(sv[0], fds, 1), 0);
}

static void the_end_of_the_stream_is_none(void **state)
{
	int fds[1];

	shutdown(sv[1], SHUT_WR);
	assert_int_equal(fd_recv(sv[0], fds, 1), 0);
}

static void nothing_yet_would_block(void **state)
{
	int fds[1];

	assert_int_equal(fd_recv(sv[0], fds, 1), -EAGAIN);
}

static void other_control_data_is_refused(void **state)
{
	int fds[1], on = 1;

	assert_int_equal(setsockopt(sv[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)), 0);
	send_many(1);
	int before = lowest();
	assert_int_equal(fd_recv(sv[0], fds, 1), -EPROTO);
	assert_int_equal(lowest(), before);
}

static void nonsense_counts_are_refused(void **state)
{
	int fds[1] = { 0 };

	assert_int_equal(fd_send(sv[1], fds, 0), -EINVAL);
	assert_int_equal(fd_send(sv[1], fds, FDPASS_MAX + 1), -EINVAL);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(descriptors_arrive_close_on_exec), CASE(as_many_as_the_kernel_passes_arrive),
		CASE(too_many_are_refused_and_closed),	CASE(data_without_descriptors_is_none),
		CASE(the_end_of_the_stream_is_none),	CASE(nothing_yet_would_block),
		CASE(other_control_data_is_refused),	CASE(nonsense_counts_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
