/* SPDX-License-Identifier: MIT */
/* Connections of the stream port that are cut between two runs, at every byte, on either way. */
#include "keep-test.h"

/* --------------------------------------------------------------------- receiving */

static void a_frame_that_is_received_is_cut_at_any_byte(void **state)
{
	uint8_t bytes[3 * (4 + MAX)];
	size_t len = 0;

	for (uint32_t i = 0; i < 3; i++)
		len += seq_encode(bytes + len, i, MAX);
	start_connected();
	for (size_t cut = 0; cut <= len; cut++) {
		seq_join(MAX);
		t.seq.seed = 77; /* takes all */
		if (cut)
			put(bytes, cut);
		settle();
		restart();
		t.port->junction = &t.seq.junction;
		if (cut < len)
			put(bytes + cut, len - cut);
		until((seq_resume(), t.seq.next == 3));
	}
}

static void frames_that_nobody_took_are_offered_by_the_next_run(void **state)
{
	start_connected();
	t.fake.allow = 2;
	for (uint32_t i = 0; i < 6; i++)
		put_frame(i);
	settle();
	assert_int_equal(t.fake.cnt, 2);
	restart();
	until(t.fake.cnt == 6);
	for (uint32_t i = 0; i < 6; i++)
		assert_true(seq_is(t.fake.kept[i].data, t.fake.kept[i].len, i, MAX));
	moves(6);
}

static void a_port_that_is_paused_leaves_what_it_has(void **state)
{
	start_connected();
	t.fake.allow = 0;
	put_frame(0);
	settle();
	port_set_poll(t.port, false);
	put_frame(1);
	settle();
	restart();
	until(t.fake.cnt == 2);
	moves(2);
}

static void a_peer_that_went_meanwhile_is_heard_out(void **state)
{
	start_connected();
	t.fake.allow = 1;
	put_frame(0);
	put_frame(1);
	settle();
	leave();
	put_frame(2);
	fd_close(&peer);
	start(SERVER);
	until(t.port->state == VMTAP_PORT_WAITING && t.fake.cnt == 3);
	assert_non_null(strstr(t.log, "the peer closed the connection; waiting for the next peer"));
	peer = unix_connected(SOCK_STREAM, "s");
	until(t.port->state == VMTAP_PORT_UP);
	moves(3);
}

static void a_peer_that_went_before_is_heard_out(void **state)
{
	start_connected();
	t.fake.allow = 0;
	put_frame(0);
	fd_close(&peer);
	settle();
	assert_int_equal(t.port->state, VMTAP_PORT_UP);
	leave();
	start(SERVER);
	until(t.port->state == VMTAP_PORT_WAITING && t.fake.cnt == 1);
}

static void bytes_that_are_no_frames_end_the_connection_as_ever(void **state)
{
	start_connected();
	t.fake.allow = 0;
	put_frame(0);
	put("GET / HTTP/1.1\r\n", 16);
	settle();
	leave();
	start(SERVER);
	until(t.port->state == VMTAP_PORT_WAITING);
	assert_int_equal(t.fake.cnt, 1);
	assert_non_null(strstr(t.log, "it looks like text"));
}

/* ------------------------------------------------------------------------ sending */

static void a_frame_that_is_sent_is_cut_at_any_byte(void **state)
{
	uint8_t bytes[4 + 60];

	seq_fill(bytes + 4, 60, 1);
	memcpy(bytes, &(uint32_t) { htobe32(60) }, 4);
	for (size_t gone = 0; gone < sizeof(bytes); gone++) {
		struct left left = make_left("s");

		left.state.tx = bytes + gone;
		left.state.tx_len = sizeof(bytes) - gone;
		left.state.tx_frame = 60;
		assert_int_equal(send(left.connection, bytes, gone, 0), gone);
		keep_state(&left.state);
		put_back("connection", left.connection);
		goes_on(SERVER);
		if (gone % 2)
			settle();
		else
			restart();
		settle();
		expect_bytes(bytes, sizeof(bytes));
		moves(2);
		port_free(t.port);
		fd_close(&peer);
	}
	t.port = NULL;
}

/* Some of what the peer has, and whole frames among it. */
static unsigned drain(uint8_t *data, size_t *len, uint32_t *next, size_t most)
{
	ssize_t ret = recv(peer, data + *len, most, MSG_DONTWAIT);
	unsigned cnt = 0;
	size_t at = 0;

	*len += ret > 0 ? (size_t)ret : 0;
	while (*len - at >= 4) {
		uint32_t size;

		memcpy(&size, data + at, 4);
		size = be32toh(size);
		if (*len - at < 4 + (size_t)size)
			break;
		uint32_t number;

		memcpy(&number, data + at + 4 + 14, 4);
		assert_true(number >= *next); /* some were dropped with the program */
		assert_true(seq_is(data + at + 4, size, number, 8192));
		*next = number + 1;
		at += 4 + (size_t)size;
		cnt++;
	}
	memmove(data, data + at, *len - at);
	*len -= at;
	return cnt;
}

static void a_full_socket_is_cut_nowhere(void **state)
{
	uint8_t *data = malloc(1 << 20);
	uint32_t next = 0, sent = 0;
	unsigned tails = 0, got = 0;
	size_t len = 0;

	start_connected();
	for (unsigned run = 0; run < 40; run++) {
		const int sndbuf = 4096 + 999 * (int)run;

		setsockopt(port_get_fd(t.port, 0), SOL_SOCKET, SO_SNDBUF, &sndbuf, sizeof(sndbuf));
		while (!t.port->lanes->blocked)
			sent += send_sequence(sent, 16, 8192);
		leave();
		tails += lseek(k.kept[index_of("state")].fd, 0, SEEK_END) > STREAM_STATE_HEAD;
		got += drain(data, &len, &next, 3001);
		goes_on(SERVER);
		settle();
	}
	until((got += drain(data, &len, &next, 5000), next == sent && !len));
	assert_true(tails > 5);	     /* else nothing was tested */
	assert_int_equal(got, sent); /* what counts as taken arrives */
	free(data);
}

/* More pieces than one call takes, and a full socket: it waits as a whole. */
static void a_frame_of_many_pieces_is_sent_by_the_next_run(void **state)
{
	static uint8_t filler[4 + 60] = { [3] = 60 }, bytes[4 + 512], got[4 + 512];
	static struct iovec iov[256];
	const struct vmtap_frame f = { .len = 512, .iov = iov, .iov_cnt = 256 };
	unsigned cnt = 0;

	memcpy(bytes, &(uint32_t) { htobe32(512) }, 4);
	seq_fill(bytes + 4, 512, 1);
	for (unsigned i = 0; i < 256; i++)
		iov[i] = (struct iovec) { bytes + 4 + 2 * i, 2 };
	start_connected();
	while (send(port_get_fd(t.port, 0), filler, sizeof(filler), MSG_DONTWAIT) > 0)
		cnt++;
	assert_int_equal(port_send(t.port, &f, 1), 1);
	leave();
	assert_int_equal(lseek(k.kept[index_of("state")].fd, 0, SEEK_END),
			 STREAM_STATE_HEAD + sizeof(bytes));
	goes_on(SERVER);
	for (; cnt; cnt--)
		assert_int_equal(recv(peer, got, sizeof(filler), MSG_WAITALL), sizeof(filler));
	settle();
	expect_bytes(bytes, sizeof(bytes));
	moves(2);
}

/* It has the beginning of a frame whose rest is lost. */
static void a_peer_that_took_nothing_any_more_is_sent_nothing(void **state)
{
	struct left left = make_left("s");
	char c[64] = { 0 };

	left.state.tx_broken = true;
	keep_state(&left.state);
	put_back("connection", left.connection);
	goes_on(SERVER);
	for (unsigned i = 1; i < 3; i++) {
		assert_int_equal(send_frame(c, 60), 1);
		assert_int_equal(t.port->lanes->stats.tx.drops[VMTAP_DROP_PEER_GONE], 1);
		assert_true(recv(peer, c, 1, MSG_DONTWAIT) < 0 && errno == EAGAIN);
		put_frame(i); /* it is heard */
		until(t.fake.cnt == i);
		restart();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		kept_case(a_frame_that_is_received_is_cut_at_any_byte),
		kept_case(frames_that_nobody_took_are_offered_by_the_next_run),
		kept_case(a_port_that_is_paused_leaves_what_it_has),
		kept_case(a_peer_that_went_meanwhile_is_heard_out),
		kept_case(a_peer_that_went_before_is_heard_out),
		kept_case(bytes_that_are_no_frames_end_the_connection_as_ever),
		kept_case(a_frame_that_is_sent_is_cut_at_any_byte),
		kept_case(a_full_socket_is_cut_nowhere),
		kept_case(a_frame_of_many_pieces_is_sent_by_the_next_run),
		kept_case(a_peer_that_took_nothing_any_more_is_sent_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
