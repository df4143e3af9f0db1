/* SPDX-License-Identifier: MIT */
/* Tests of port/vu/msg.c: one message at a time, and no descriptor left over. */
#include "unit.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "port/vu/msg.h"

/** struct pair - Two ends of a socket; @rx reads at ours; @open: descriptors that we had before */
struct pair {
	int ours, theirs;
	struct vu_rx rx;
	unsigned open;
};

static unsigned count_open(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned cnt = 0;

	assert_non_null(d);
	while (readdir(d))
		cnt++;
	closedir(d);
	return cnt;
}

static int setup(void **state)
{
	static struct pair p;
	int fds[2];

	p.open = count_open();
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds),
			 0);
	p.ours = fds[0];
	p.theirs = fds[1];
	vu_rx_init(&p.rx);
	*state = &p;
	return 0;
}

static int teardown(void **state)
{
	struct pair *p = *state;

	vu_rx_next(&p->rx);
	fd_close(&p->ours);
	fd_close(&p->theirs);
	return count_open() == p->open ? 0 : -1;
}

static void send_fds(struct pair *p, const void *buf, size_t len, const int *fds, unsigned cnt)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(100 * sizeof(int))];
	} control = { 0 };
	struct iovec iov = { .iov_base = (void *)(uintptr_t)buf, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (cnt) {
		msg.msg_control = control.buf;
		msg.msg_controllen = CMSG_SPACE(cnt * sizeof(int));
		control.align.cmsg_level = SOL_SOCKET;
		control.align.cmsg_type = SCM_RIGHTS;
		control.align.cmsg_len = CMSG_LEN(cnt * sizeof(int));
		memcpy(CMSG_DATA(&control.align), fds, cnt * sizeof(int));
	}
	assert_int_equal(sendmsg(p->theirs, &msg, MSG_NOSIGNAL), len);
}

/* So many new descriptors; the caller's copies are closed once they are sent. */
static void send_eventfds(struct pair *p, const void *buf, size_t len, unsigned cnt)
{
	int fds[100];

	for (unsigned i = 0; i < cnt; i++) {
		fds[i] = eventfd(i, EFD_CLOEXEC);
		assert_true(fds[i] >= 0);
	}
	send_fds(p, buf, len, fds, cnt);
	for (unsigned i = 0; i < cnt; i++)
		close(fds[i]);
}

static const struct {
	struct vu_hdr hdr;
	uint64_t value;
} __attribute__((packed)) u64_msg = {
	.hdr = { .request = 2, .flags = VU_VERSION, .size = 8 },
	.value = 0x1122334455667788,
};

static void assert_u64_msg(const struct pair *p)
{
	assert_int_equal(p->rx.msg.hdr.request, 2);
	assert_int_equal(p->rx.msg.hdr.size, 8);
	assert_true(p->rx.msg.body.u64 == u64_msg.value);
}

static void receives_a_message(void **state)
{
	struct pair *p = *state;

	assert_int_equal(vu_rx_read(&p->rx, p->ours), 0);
	send_fds(p, &u64_msg, sizeof(u64_msg), NULL, 0);
	assert_int_equal(vu_rx_read(&p->rx, p->ours), 1);
	assert_u64_msg(p);
	assert_int_equal(p->rx.msg.fd_cnt, 0);
}

static void receives_message_in_single_bytes(void **state)
{
	struct pair *p = *state;

	for (size_t i = 0; i < sizeof(u64_msg); i++) {
		assert_int_equal(vu_rx_read(&p->rx, p->ours), 0);
		send_fds(p, (const char *)&u64_msg + i, 1, NULL, 0);
	}
	assert_int_equal(vu_rx_read(&p->rx, p->ours), 1);
	assert_u64_msg(p);
}

static void separates_messages_sent_at_once(void **state)
{
	struct pair *p = *state;
	char both[2 * sizeof(u64_msg)];

	memcpy(both, &u64_msg, sizeof(u64_msg));
	memcpy(both + sizeof(u64_msg), &u64_msg, sizeof(u64_msg));
	send_fds(p, both, sizeof(both), NULL, 0);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(vu_rx_read(&p->rx, p->ours), 1);
		assert_u64_msg(p);
		vu_rx_next(&p->rx);
	}
	assert_int_equal(vu_rx_read(&p->rx, p->ours), 0);
}

/* Also when nobody waits between them, and the next message's come before this one was taken. */
static void descriptors_stay_with_their_message(void **state)
{
	struct pair *p = *state;
	uint64_t value;

	send_fds(p, &u64_msg, sizeof(u64_msg), NULL, 0);
	send_eventfds(p, &u64_msg, sizeof(u64_msg), 3);
	send_eventfds(p, &u64_msg, sizeof(u64_msg), 2);
	for (unsigned i = 0; i < 3; i++) {
		static const unsigned cnts[] = { 0, 3, 2 };

		assert_int_equal(vu_rx_read(&p->rx, p->ours), 1);
		assert_int_equal(p->rx.msg.fd_cnt, cnts[i]);
		if (cnts[i]) {
			assert_int_equal(read(p->rx.msg.fds[1], &value, sizeof(value)), 8);
			assert_int_equal(value, 1);
		}
		vu_rx_next(&p->rx);
	}
}

static void descriptors_are_close_on_exec(void **state)
{
	struct pair *p = *state;

	send_eventfds(p, &u64_msg, sizeof(u64_msg), 1);
	assert_int_equal(vu_rx_read(&p->rx, p->ours), 1);
	assert_true(fcntl(p->rx.msg.fds[0], F_GETFD) & FD_CLOEXEC);
}

static void collects_descriptors_of_both_halves(void **state)
{
	struct pair *p = *state;

	send_eventfds(p, &u64_msg, sizeof(u64_msg.hdr), 2);
	send_eventfds(p, &u64_msg.value, sizeof(u64_msg.value), 1);
	assert_int_equal(vu_rx_read(&p->rx, p->ours), 1);
	assert_int_equal(p->rx.msg.fd_cnt, 3);
}

static void closes_what_was_not_taken(void **state)
{
	struct pair *p = *state;
	unsigned before = count_open();
	int fd;

	send_eventfds(p, &u64_msg, sizeof(u64_msg), 3);
	assert_int_equal(vu_rx_read(&p->rx, p->ours), 1);
	assert_int_equal(count_open(), before + 3);
	fd = fd_steal(&p->rx.msg.fds[1]);
	vu_rx_next(&p->rx);
	assert_int_equal(count_open(), before + 1);
	fd_close(&fd);
}

static void refuses_too_many_descriptors(void **state)
{
	struct pair *p = *state;
	unsigned before = count_open();

	send_eventfds(p, &u64_msg, sizeof(u64_msg), VU_FDS_MAX + 1);
	assert_int_equal(vu_rx_read(&p->rx, p->ours), -E2BIG);
	vu_rx_next(&p->rx);
	assert_int_equal(count_open(), before);
}

static void refuses_too_many_descriptors_in_pieces(void **state)
{
	struct pair *p = *state;

	send_eventfds(p, &u64_msg, 4, VU_FDS_MAX);
	assert_int_equal(vu_rx_read(&p->rx, p->ours), 0);
	send_eventfds(p, (const char *)&u64_msg + 4, 4, 1);
	assert_int_equal(vu_rx_read(&p->rx, p->ours), -E2BIG);
}

static int read_header(struct pair *p, struct vu_hdr hdr)
{
	send_fds(p, &hdr, sizeof(hdr), NULL, 0);
	return vu_rx_read(&p->rx, p->ours);
}

static void refuses_long_payload(void **state)
{
	struct pair *p = *state;
	const struct vu_hdr hdr = { 5, VU_VERSION, sizeof(union vu_payload) + 1 };

	assert_int_equal(read_header(p, hdr), -EMSGSIZE);
}

static void refuses_payload_of_4_gib(void **state)
{
	struct pair *p = *state;

	assert_int_equal(read_header(p, (struct vu_hdr) { 5, VU_VERSION, UINT32_MAX }), -EMSGSIZE);
}

static void takes_longest_payload(void **state)
{
	struct pair *p = *state;
	static char payload[sizeof(union vu_payload)];
	const struct vu_hdr hdr = { 5, VU_VERSION | VU_NEED_REPLY, sizeof(payload) };

	memset(payload, 7, sizeof(payload));
	assert_int_equal(read_header(p, hdr), 0);
	send_fds(p, payload, sizeof(payload), NULL, 0);
	assert_int_equal(vu_rx_read(&p->rx, p->ours), 1);
	assert_memory_equal(&p->rx.msg.body, payload, sizeof(payload));
}

static void refuses_other_versions(void **state)
{
	struct pair *p = *state;

	assert_int_equal(read_header(p, (struct vu_hdr) { 1, 0, 0 }), -EPROTO);
	vu_rx_next(&p->rx);
	assert_int_equal(read_header(p, (struct vu_hdr) { 1, 2, 0 }), -EPROTO);
}

static void refuses_replies(void **state)
{
	struct pair *p = *state;

	assert_int_equal(read_header(p, (struct vu_hdr) { 1, VU_VERSION | VU_REPLY, 0 }), -EPROTO);
}

static void notices_the_end(void **state)
{
	struct pair *p = *state;

	fd_close(&p->theirs);
	assert_int_equal(vu_rx_read(&p->rx, p->ours), -EPIPE);
}

static void notices_the_end_within_a_message(void **state)
{
	struct pair *p = *state;

	send_fds(p, &u64_msg, 14, NULL, 0);
	fd_close(&p->theirs);
	assert_int_equal(vu_rx_read(&p->rx, p->ours), -EPIPE);
}

static void rest_of_a_short_payload_is_zero(void **state)
{
	struct pair *p = *state;
	static const struct vu_hdr empty = { 1, VU_VERSION, 0 };

	send_fds(p, &u64_msg, sizeof(u64_msg), NULL, 0);
	send_fds(p, &empty, sizeof(empty), NULL, 0);
	assert_int_equal(vu_rx_read(&p->rx, p->ours), 1);
	vu_rx_next(&p->rx);
	assert_int_equal(vu_rx_read(&p->rx, p->ours), 1);
	assert_true(p->rx.msg.body.u64 == 0);
}

static void sends_header_payload_and_descriptor(void **state)
{
	struct pair *p = *state;
	struct vu_rx rx;
	uint64_t value = 42, got;
	int fd = eventfd(7, EFD_CLOEXEC);

	vu_rx_init(&rx);
	assert_int_equal(vu_msg_send(p->ours, 31, 0, &value, sizeof(value), fd), 0);
	fd_close(&fd);
	assert_int_equal(vu_rx_read(&rx, p->theirs), 1);
	assert_int_equal(rx.msg.hdr.request, 31);
	assert_int_equal(rx.msg.hdr.flags, VU_VERSION);
	assert_true(rx.msg.body.u64 == 42);
	assert_int_equal(rx.msg.fd_cnt, 1);
	assert_int_equal(read(rx.msg.fds[0], &got, sizeof(got)), 8);
	assert_int_equal(got, 7);
	vu_rx_next(&rx);
}

static void full_socket_is_an_error_and_no_wait(void **state)
{
	struct pair *p = *state;
	uint64_t value = 0;
	int ret;

	do
		ret = vu_msg_send(p->ours, 1, VU_REPLY, &value, sizeof(value), -1);
	while (ret == 0);
	assert_int_equal(ret, -ENOBUFS);
}

static void sending_to_nobody_raises_no_signal(void **state)
{
	struct pair *p = *state;

	fd_close(&p->theirs);
	assert_int_equal(vu_msg_send(p->ours, 1, VU_REPLY, NULL, 0, -1), -EPIPE);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(receives_a_message),
		CASE(receives_message_in_single_bytes),
		CASE(separates_messages_sent_at_once),
		CASE(descriptors_stay_with_their_message),
		CASE(descriptors_are_close_on_exec),
		CASE(collects_descriptors_of_both_halves),
		CASE(closes_what_was_not_taken),
		CASE(refuses_too_many_descriptors),
		CASE(refuses_too_many_descriptors_in_pieces),
		CASE(refuses_long_payload),
		CASE(refuses_payload_of_4_gib),
		CASE(takes_longest_payload),
		CASE(refuses_other_versions),
		CASE(refuses_replies),
		CASE(notices_the_end),
		CASE(notices_the_end_within_a_message),
		CASE(rest_of_a_short_payload_is_zero),
		CASE(sends_header_payload_and_descriptor),
		CASE(full_socket_is_an_error_and_no_wait),
		CASE(sending_to_nobody_raises_no_signal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
