/* SPDX-License-Identifier: MIT */
/* The stream port's data path: partial reads and writes, back-pressure, what the peer may do wrong. */
#include "sock-test.h"

#include <endian.h>

#include "port/sock/framing.h"
#include "port/sock/stream.h"

static int peer = -1;

/* A port on one end of a pair of sockets; the other end is @peer. */
static void start_on_pair(int sndbuf)
{
	char spec[64];
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	if (sndbuf)
		setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &sndbuf, sizeof(sndbuf));
	fd_set_nonblock(pair[1]);
	peer = pair[1];
	snprintf(spec, sizeof(spec), "stream,fd=%d", pair[0]);
	start_port(&stream_type, spec);
	assert_int_equal(t.port->state, VMTAP_PORT_UP);
}

static int teardown_stream(void **state)
{
	fd_close(&peer);
	return teardown(state);
}

static void put(const void *data, size_t len)
{
	assert_int_equal(send(peer, data, len, MSG_NOSIGNAL), len);
}

static void put_frame(uint32_t len)
{
	static uint8_t bytes[4 + VMTAP_FRAME_MAX];
	uint32_t prefix = htobe32(len);

	memcpy(bytes, &prefix, 4);
	put(bytes, 4 + len);
}

/* ---------------------------------------------------------------------- receiving */

static void frames_survive_every_cut(void **state)
{
	struct seq_junction *seq = &t.seq;
	uint8_t bytes[3 * 300];
	size_t len = 0;

	start_on_pair(0);
	for (uint32_t i = 0; i < 3; i++)
		len += seq_encode(bytes + len, i, 250);
	for (size_t cut = 0; cut <= len; cut++) {
		seq_join(250);
		seq->seed = 77; /* takes all */
		if (cut)
			put(bytes, cut);
		settle();
		if (cut < len)
			put(bytes + cut, len - cut);
		until((seq_resume(), seq->next == 3));
	}
	assert_int_equal(t.port->lanes->stats.rx.frames, 3 * (len + 1));
}

static void frames_arrive_byte_by_byte(void **state)
{
	struct seq_junction *seq = &t.seq;
	uint8_t bytes[2 * 100];
	size_t len = seq_encode(bytes, 0, 90);

	len += seq_encode(bytes + len, 1, 90);
	start_on_pair(0);
	seq_join(90);
	for (size_t i = 0; i < len; i++) {
		assert_int_equal(seq->next, 0 + (i >= len - (4 + seq_len(1, 90))));
		put(bytes + i, 1);
		settle();
		seq_resume();
	}
	until((seq_resume(), seq->next == 2));
}

static void longest_frame_is_received(void **state)
{
	int big = 1 << 20;

	start_on_pair(0);
	setsockopt(peer, SOL_SOCKET, SO_SNDBUF, &big, sizeof(big));
	put_frame(VMTAP_FRAME_MAX);
	put_frame(14);
	until(t.fake.cnt == 2);
	assert_int_equal(t.fake.kept[0].len, VMTAP_FRAME_MAX);
	assert_int_equal(t.fake.kept[1].len, 14);
}

static void runts_are_dropped_and_counted(void **state)
{
	start_on_pair(0);
	put_frame(13);
	put_frame(60);
	put_frame(1);
	put_frame(61);
	until(t.fake.cnt == 2);
	assert_int_equal(t.fake.kept[0].len, 60);
	assert_int_equal(t.fake.kept[1].len, 61);
	assert_int_equal(t.port->lanes->stats.rx.drops[VMTAP_DROP_RUNT], 2);
	assert_int_equal(t.port->lanes->stats.rx.frames, 2);
	assert_int_equal(t.port->lanes->stats.rx.bytes, 121);
	assert_int_equal(t.port->state, VMTAP_PORT_UP);
}

static void held_frames_stay_in_order(void **state)
{
	const uint32_t total = 200000, max = 200;
	struct seq_junction *seq = &t.seq;
	static uint8_t bytes[64 * 256];
	size_t len = 0, done = 0;
	uint32_t number = 0;

	start_on_pair(0);
	seq_join(max);
	while (seq->next < total) {
		if (done == len && number < total) {
			done = len = 0;
			while (number < total && len < sizeof(bytes) - 256)
				len += seq_encode(bytes + len, number++, max);
		}
		if (done < len) {
			ssize_t n = send(peer, bytes + done, len - done, MSG_NOSIGNAL);

			done += n > 0 ? (size_t)n : 0;
		}
		turn();
		seq_resume();
	}
	assert_true(seq->holds > 1000);
	assert_int_equal(seq->biggest, VMTAP_BURST_MAX);
	assert_int_equal(t.port->lanes->stats.rx.frames, total);
	assert_int_equal(t.port->lanes->stats.rx_holds, seq->holds);
}

static void a_turn_is_bounded(void **state)
{
	static uint8_t bytes[18 * 1000];

	for (uint32_t i = 0; i < 1000; i++) {
		memset(bytes + i * 18, 0, 18);
		bytes[i * 18 + 3] = 14;
	}
	start_on_pair(0);
	put(bytes, sizeof(bytes));
	turn();
	assert_in_range(t.fake.cnt, 1, 2 * PORT_BUDGET); /* the event's and the task's */
	while (t.fake.cnt < 1000) {
		unsigned before = t.fake.cnt;

		turn();
		assert_in_range(t.fake.cnt - before, 1, PORT_BUDGET);
	}
}

/* One buffer of them in the event, and one in the task. */
static void a_turn_of_nothing_but_runts_is_bounded(void **state)
{
	const unsigned most = 2 * FRAMING_SIZE / 5;
	const uint64_t *runts;
	static uint8_t bytes[5 * 8192];
	size_t sent = 0;
	int big = 1 << 20;

	for (size_t i = 3; i < sizeof(bytes); i += 5)
		bytes[i] = 1;
	start_on_pair(0);
	runts = &t.port->lanes->stats.rx.drops[VMTAP_DROP_RUNT];
	setsockopt(peer, SOL_SOCKET, SO_SNDBUF, &big, sizeof(big));
	for (ssize_t len = 0; len >= 0; sent += len > 0 ? (size_t)len : 0)
		len = send(peer, bytes + sent % 5, sizeof(bytes) - 5, MSG_NOSIGNAL);
	assert_true(sent / 5 > most);
	for (uint64_t before = 0; before < sent / 5; before = *runts) {
		turn();
		assert_in_range(*runts - before, 1, most);
	}
	put(bytes + sent % 5, 5 - sent % 5);
	put_frame(60);
	until(t.fake.cnt == 1);
	assert_int_equal(*runts, sent / 5 + 1);
}

static void nobody_reading_does_not_spin(void **state)
{
	start_on_pair(0);
	t.fake.allow = 1;
	put_frame(60);
	put_frame(61);
	settle();
	assert_int_equal(t.fake.cnt, 1);
	put_frame(62);
	settle(); /* fails if the loop cannot rest */
	t.fake.allow = 9;
	port_resume(t.port);
	until(t.fake.cnt == 3);
	assert_int_equal(t.fake.kept[2].len, 62);
}

static void paused_port_reads_nothing_and_loses_nothing(void **state)
{
	start_on_pair(0);
	port_set_poll(t.port, false);
	put_frame(60);
	put_frame(61);
	settle();
	assert_int_equal(t.fake.cnt, 0);
	assert_int_equal(send_frame("fourteen bytes", 14), 0);
	port_set_poll(t.port, true);
	until(t.fake.cnt == 2);
	assert_int_equal(t.fake.writable, 1);
}

/* ------------------------------------------------------------------------ sending */

/* What the peer has received, put back together. */
struct reader {
	uint8_t bytes[70000];
	size_t len;
	uint32_t next, max;
};

static struct reader *reader_new(uint32_t max)
{
	static struct reader r;

	r = (struct reader) { .max = max };
	return &r;
}

static void reader_parse(struct reader *r)
{
	size_t at = 0;

	for (;;) {
		uint32_t len;

		if (r->len - at < 4)
			break;
		memcpy(&len, r->bytes + at, 4);
		len = be32toh(len);
		assert_in_range(len, 14, sizeof(r->bytes) - 4);
		if (r->len - at < 4 + len)
			break;
		if (!seq_is(r->bytes + at + 4, len, r->next, r->max))
			fail_msg("frame %u is lost, out of order or damaged", r->next);
		r->next++;
		at += 4 + len;
	}
	memmove(r->bytes, r->bytes + at, r->len - at);
	r->len -= at;
}

/* Read at most @most bytes. Return: whether there were any. */
static bool reader_run(struct reader *r, size_t most)
{
	size_t room = sizeof(r->bytes) - r->len;
	ssize_t n = recv(peer, r->bytes + r->len, most < room ? most : room, 0);

	if (n <= 0)
		return false;
	r->len += (size_t)n;
	reader_parse(r);
	return true;
}

static void burst_leaves_with_lengths_in_front(void **state)
{
	struct reader *r = reader_new(1000);

	start_on_pair(0);
	assert_int_equal(send_sequence(0, VMTAP_BURST_MAX, 1000), VMTAP_BURST_MAX);
	while (r->next < VMTAP_BURST_MAX)
		assert_true(reader_run(r, 100000));
	assert_int_equal(r->len, 0);
	assert_int_equal(t.port->lanes->stats.tx.frames, VMTAP_BURST_MAX);
	assert_true(is_idle());
}

static void partial_writes_keep_order(void **state)
{
	const uint32_t total = 20000, max = 8000;
	struct reader *r = reader_new(max);
	uint32_t number = 0;
	uint32_t seed = 1;

	start_on_pair(1); /* the least that the kernel allows */
	while (r->next < total) {
		unsigned cnt = total - number < 64 ? total - number : 64;

		if (cnt && !t.port->lanes->blocked)
			number += send_sequence(number, cnt, max);
		turn();
		seed = seed * 1664525u + 1013904223u;
		reader_run(r, 1 + seed % 9000);
	}
	assert_true(t.port->lanes->stats.tx_holds > 100);
	assert_int_equal(t.fake.writable, t.port->lanes->stats.tx_holds);
	assert_int_equal(t.port->lanes->stats.tx.frames, total);
}

static void peer_that_stops_reading_blocks_without_loss(void **state)
{
	struct reader *r = reader_new(1500);
	uint32_t number = 0;

	start_on_pair(0);
	while (!t.port->lanes->blocked)
		number += send_sequence(number, 64, 1500);
	assert_true(number > 64);
	settle();
	assert_int_equal(t.fake.writable, 0);
	while (r->next < number)
		if (!reader_run(r, 100000))
			turn(); /* the rest of a frame was kept back */
	until(t.fake.writable == 1);
	settle();
	assert_int_equal(t.fake.writable, 1);
}

static void frames_of_many_pieces(bool full)
{
	static uint8_t data[8192];
	static struct iovec iov[1500];
	struct vmtap_frame f = { .iov = iov };
	struct reader *r = reader_new(8000);
	uint32_t number = 0;

	start_on_pair(full ? 1 : 0);
	for (; number < 50; number++) {
		unsigned cnt = 0;

		f.len = seq_len(number, 8000);
		seq_fill(data, f.len, number);
		for (uint32_t at = 0; at < f.len; cnt++) {
			uint32_t n = 1 + f.len / 1400;

			n = n < f.len - at ? n : f.len - at;
			iov[cnt] = (struct iovec) { data + at, n };
			at += n;
		}
		f.iov_cnt = cnt;
		while (!port_send(t.port, &f, 1)) {
			reader_run(r, 3000);
			turn();
		}
	}
	while (r->next < number) {
		turn();
		reader_run(r, 3000);
	}
}

static void frame_of_many_pieces_is_sent(void **state)
{
	frames_of_many_pieces(false);
}

static void frame_of_many_pieces_is_sent_in_parts(void **state)
{
	frames_of_many_pieces(true);
}

static void longest_frame_is_sent(void **state)
{
	static uint8_t data[VMTAP_FRAME_MAX], back[VMTAP_FRAME_MAX + 4];
	size_t len = 0;

	start_on_pair(0);
	seq_fill(data, sizeof(data), 5);
	assert_int_equal(send_frame(data, sizeof(data)), 1);
	while (len < sizeof(back)) {
		ssize_t n = recv(peer, back + len, sizeof(back) - len, 0);

		len += n > 0 ? (size_t)n : 0;
		turn();
	}
	assert_memory_equal(back + 4, data, sizeof(data));
	assert_memory_equal(back, "\0\1\x10\0", 4);
}

/* ---------------------------------------------------------------- the peer is gone */

static void frames_of_a_peer_that_left_are_delivered(void **state)
{
	start_on_pair(0);
	t.fake.allow = 2;
	for (uint32_t i = 0; i < 10; i++)
		put_frame(60 + i);
	settle();
	fd_close(&peer);
	settle(); /* a hang-up must not keep the loop awake */
	assert_int_equal(t.fake.cnt, 2);
	assert_int_equal(t.port->state, VMTAP_PORT_UP);
	t.fake.allow = 99;
	port_resume(t.port);
	until(t.port->state == VMTAP_PORT_BROKEN);
	assert_int_equal(t.fake.cnt, 10);
	assert_int_equal(t.fake.kept[9].len, 69);
}

static void sending_to_a_peer_that_left_drops_and_counts(void **state)
{
	start_on_pair(0);
	t.fake.allow = 0;
	put_frame(60);
	settle();
	fd_close(&peer);
	assert_int_equal(send_sequence(0, 5, 100), 5);
	assert_int_equal(t.port->lanes->stats.tx.drops[VMTAP_DROP_PEER_GONE], 5);
	assert_int_equal(t.port->lanes->stats.tx.frames, 0);
	settle();
	assert_int_equal(t.port->state, VMTAP_PORT_UP); /* there is a frame left */
}

static void a_frame_of_many_pieces_is_lost_once(void **state)
{
	static uint8_t data[600];
	static struct iovec iov[600];
	const struct vmtap_frame f = { .len = 600, .iov = iov, .iov_cnt = 600 };

	for (unsigned i = 0; i < 600; i++)
		iov[i] = (struct iovec) { data + i, 1 };
	start_on_pair(0);
	fd_close(&peer);
	assert_int_equal(port_send(t.port, &f, 1), 1);
	assert_int_equal(t.port->lanes->stats.tx.drops[VMTAP_DROP_PEER_GONE], 1);
	assert_int_equal(t.port->lanes->stats.tx.frames, 0);
	until(t.port->state == VMTAP_PORT_BROKEN);
	assert_int_equal(t.port->lanes->stats.tx.drops[VMTAP_DROP_PEER_GONE], 1);
}

static void blocked_port_is_released_when_the_peer_leaves(void **state)
{
	uint32_t number = 0;

	start_on_pair(0);
	while (!t.port->lanes->blocked)
		number += send_sequence(number, 64, 1500);
	fd_close(&peer);
	until(t.port->state == VMTAP_PORT_BROKEN);
	assert_int_equal(t.fake.writable, 1);
	assert_int_equal(send_sequence(number, 3, 1500), 3);
}

static void frame_that_was_sent_in_part_counts_as_lost(void **state)
{
	static const uint8_t data[60000];

	start_on_pair(1);
	assert_int_equal(send_frame(data, sizeof(data)), 1);
	assert_int_equal(t.port->lanes->stats.tx.drops[VMTAP_DROP_PEER_GONE], 0);
	fd_close(&peer);
	until(t.port->state == VMTAP_PORT_BROKEN);
	assert_int_equal(t.port->lanes->stats.tx.drops[VMTAP_DROP_PEER_GONE], 1);
}

static void a_connection_without_reconnect_breaks_the_port(void **state)
{
	start_on_pair(0);
	fd_close(&peer);
	until(t.port->state == VMTAP_PORT_BROKEN);
	assert_int_equal(t.port->error.code, EPIPE);
	assert_string_equal(t.port->error.reason, "the peer closed the connection");
	assert_non_null(strstr(t.port->error.remedy, "inherited"));
}

static void an_end_within_a_frame_is_said(void **state)
{
	start_on_pair(0);
	put("\0\0\0\x40half", 8);
	fd_close(&peer);
	until(t.port->state == VMTAP_PORT_BROKEN);
	assert_non_null(strstr(t.port->error.reason, "middle of a frame"));
}

static void bad_length_ends_the_connection(void **state)
{
	start_on_pair(0);
	put_frame(60);
	put("POST /x HTTP/1.1\r\n", 18);
	until(t.port->state == VMTAP_PORT_BROKEN);
	assert_int_equal(t.fake.cnt, 1);
	assert_int_equal(t.port->error.code, EPROTO);
	assert_non_null(strstr(t.port->error.reason, "looks like text"));
	assert_int_equal(recv(peer, (char[1]) { 0 }, 1, 0), 0);
}

static void zero_length_ends_the_connection(void **state)
{
	start_on_pair(0);
	put("\0\0\0\0", 4);
	until(t.port->state == VMTAP_PORT_BROKEN);
}

static void closing_counts_what_was_held(void **state)
{
	start_on_pair(0);
	t.fake.allow = 1;
	for (int i = 0; i < 5; i++)
		put_frame(60);
	settle();
	port_close(t.port);
	assert_int_equal(t.port->lanes->stats.rx.drops[VMTAP_DROP_PURGED], 4);
	assert_int_equal(recv(peer, (char[1]) { 0 }, 1, 0), 0);
}

int main(void)
{
#define stream_case(name) cmocka_unit_test_setup_teardown(name, setup, teardown_stream)
	const struct CMUnitTest tests[] = {
		stream_case(frames_survive_every_cut),
		stream_case(frames_arrive_byte_by_byte),
		stream_case(longest_frame_is_received),
		stream_case(runts_are_dropped_and_counted),
		stream_case(held_frames_stay_in_order),
		stream_case(a_turn_is_bounded),
		stream_case(a_turn_of_nothing_but_runts_is_bounded),
		stream_case(nobody_reading_does_not_spin),
		stream_case(paused_port_reads_nothing_and_loses_nothing),
		stream_case(burst_leaves_with_lengths_in_front),
		stream_case(partial_writes_keep_order),
		stream_case(peer_that_stops_reading_blocks_without_loss),
		stream_case(frame_of_many_pieces_is_sent),
		stream_case(frame_of_many_pieces_is_sent_in_parts),
		stream_case(longest_frame_is_sent),
		stream_case(frames_of_a_peer_that_left_are_delivered),
		stream_case(sending_to_a_peer_that_left_drops_and_counts),
		stream_case(a_frame_of_many_pieces_is_lost_once),
		stream_case(blocked_port_is_released_when_the_peer_leaves),
		stream_case(frame_that_was_sent_in_part_counts_as_lost),
		stream_case(a_connection_without_reconnect_breaks_the_port),
		stream_case(an_end_within_a_frame_is_said),
		stream_case(bad_length_ends_the_connection),
		stream_case(zero_length_ends_the_connection),
		stream_case(closing_counts_what_was_held),
	};

	return cmocka_run_group_tests_name("stream", tests, NULL, NULL);
}
