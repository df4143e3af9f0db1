/* SPDX-License-Identifier: MIT */
/* The dgram port over unix sockets: bursts, back-pressure, peers of either kind that come and go. */
#include "sock-test.h"

#include "port/sock/dgram.h"

#define ON_FILES "dgram,local={}/a,remote={}/b"

static int peer = -1;

static int teardown_dgram(void **state)
{
	fd_close(&peer);
	return teardown(state);
}

/* A peer as QEMU is one: bound, not connected. It removes what an earlier one left behind; the port
 * has time to notice. */
static void bind_peer(void)
{
	struct sockaddr_un b = unix_addr("b");

	fd_close(&peer);
	unlink(b.sun_path);
	settle();
	peer = unix_bound(SOCK_DGRAM, "b");
}

/* A peer that has connected its socket to the port's. */
static void connect_peer(void)
{
	bind_peer();
	assert_int_equal(unix_connect(peer, "a"), 0);
}

static void put(uint32_t len)
{
	static const uint8_t data[VMTAP_FRAME_MAX + 1];
	struct sockaddr_un a = unix_addr("a");

	assert_int_equal(sendto(peer, data, len, 0, (struct sockaddr *)&a, sizeof(a)), len);
}

/* A frame that the port was given arrives. */
static void expect(uint32_t len)
{
	uint8_t buf[2048];

	assert_int_equal(recv(peer, buf, sizeof(buf), 0), len);
}

static unsigned send_one(uint32_t len)
{
	static const uint8_t data[VMTAP_FRAME_MAX];

	return send_frame(data, len);
}

static uint64_t gone(void)
{
	return t.port->lanes->stats.tx.drops[VMTAP_DROP_PEER_GONE];
}

/* -------------------------------------------------------------------- both ways */

static void both_ways(void)
{
	char buf[256], want[256];

	assert_int_equal(t.port->state, VMTAP_PORT_UP);
	expand("local={}/a,remote={}/b", want, sizeof(want));
	port_describe(t.port, buf, sizeof(buf));
	assert_string_equal(buf, want);
	put(60);
	put(1514);
	until(t.fake.cnt == 2);
	assert_int_equal(t.fake.kept[0].len, 60);
	assert_int_equal(t.fake.kept[1].len, 1514);
	assert_int_equal(send_one(70), 1);
	assert_int_equal(send_one(1514), 1);
	expect(70);
	expect(1514);
	assert_int_equal(t.port->lanes->stats.rx.frames, 2);
	assert_int_equal(t.port->lanes->stats.rx.bytes, 1574);
	assert_int_equal(t.port->lanes->stats.tx.frames, 2);
	settle();
}

static void exchanges_frames_with_a_peer_like_qemu(void **state)
{
	bind_peer();
	start_port(&dgram_type, ON_FILES);
	both_ways();
}

static void exchanges_frames_with_a_connected_peer(void **state)
{
	start_port(&dgram_type, ON_FILES);
	connect_peer();
	both_ways();
}

static void understands_the_spelling_of_qemu(void **state)
{
	bind_peer();
	start_port(&dgram_type, "dgram,local.type=unix,local.path={}/a,"
				"remote.type=unix,remote.path={}/b");
	both_ways();
}

/* Nothing tells when such a peer leaves: its successor has to be heard at once all the same. */
static void exchanges_frames_with_abstract_peers(void **state)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX }, b = a;
	socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + strlen(t.dir) + 1);
	struct sockaddr *to = (struct sockaddr *)&a;
	char spec[256];

	snprintf(spec, sizeof(spec), "dgram,local=@%sa,remote=@%sb", t.dir, t.dir);
	start_port(&dgram_type, spec);
	snprintf(a.sun_path + 1, sizeof(a.sun_path) - 1, "%sa", t.dir);
	snprintf(b.sun_path + 1, sizeof(b.sun_path) - 1, "%sb", t.dir);
	for (unsigned n = 1; n <= 4; n++) {
		fd_close(&peer);
		peer = unix_socket(SOCK_DGRAM);
		assert_int_equal(bind(peer, (struct sockaddr *)&b, len), 0);
		if (n & 1)
			assert_int_equal(connect(peer, to, len), 0);
		assert_int_equal(sendto(peer, (char[60]) { 0 }, 60, 0, to, len), 60);
		until(t.fake.cnt == n);
		for (unsigned i = 0; i < 30; i++) {
			assert_int_equal(send_one(70 + i), 1);
			expect(70 + i);
		}
	}
	while (!t.port->lanes->blocked)
		send_sequence(0, 64, 100);
	settle();
	assert_int_equal(t.fake.writable, 0);
	fd_close(&peer);
	until(t.fake.writable == 1);
}

static void exchanges_frames_over_an_inherited_pair(void **state)
{
	char spec[64];
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair), 0);
	peer = pair[1];
	snprintf(spec, sizeof(spec), "dgram,local.type=fd,local.str=%d", pair[0]);
	start_port(&dgram_type, spec);
	assert_int_equal(send(peer, (char[60]) { 0 }, 60, 0), 60);
	until(t.fake.cnt == 1);
	assert_int_equal(send_one(70), 1);
	expect(70);
	fd_close(&peer);
	assert_int_equal(send_one(70), 1);
	assert_int_equal(gone(), 1);
	settle();
	assert_int_equal(t.port->state, VMTAP_PORT_UP);
}

/* -------------------------------------------------------------------- odd frames */

static void odd_lengths_are_dropped_and_counted(void **state)
{
	int big = 1 << 20;

	bind_peer();
	setsockopt(peer, SOL_SOCKET, SO_SNDBUF, &big, sizeof(big));
	start_port(&dgram_type, ON_FILES);
	put(0);
	put(13);
	put(14);
	put(VMTAP_FRAME_MAX + 1);
	until(t.fake.cnt == 1);
	put(VMTAP_FRAME_MAX);
	until(t.fake.cnt == 2);
	assert_int_equal(t.fake.kept[0].len, 14);
	assert_int_equal(t.fake.kept[1].len, VMTAP_FRAME_MAX);
	assert_int_equal(t.port->lanes->stats.rx.drops[VMTAP_DROP_RUNT], 2);
	assert_int_equal(t.port->lanes->stats.rx.drops[VMTAP_DROP_TOO_LONG], 1);
}

static void frame_of_many_pieces_is_sent_in_its_place(void **state)
{
	static uint8_t data[3000];
	static struct iovec iov[3000];
	struct vmtap_frame frames[3];
	uint8_t buf[4000];

	bind_peer();
	start_port(&dgram_type, ON_FILES);
	seq_fill(data, sizeof(data), 7);
	for (unsigned i = 0; i < 3000; i++)
		iov[i] = (struct iovec) { data + i, 1 };
	frames[0] = (struct vmtap_frame) { .len = 60, .iov = iov, .iov_cnt = 60 };
	frames[1] = (struct vmtap_frame) { .len = 3000, .iov = iov, .iov_cnt = 3000 };
	frames[2] = (struct vmtap_frame) { .len = 1024, .iov = iov, .iov_cnt = 1024 };
	assert_int_equal(port_send(t.port, frames, 3), 3);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(recv(peer, buf, sizeof(buf), 0), frames[i].len);
		assert_memory_equal(buf, data, frames[i].len);
	}
}

/* ----------------------------------------------------------------- back-pressure */

static void held_frames_stay_in_order(void **state)
{
	const uint32_t total = 50000, max = 300;
	uint32_t number = 0;
	uint8_t data[512];

	start_port(&dgram_type, ON_FILES);
	connect_peer();
	seq_join(max);
	while (t.seq.next < total) {
		while (number < total) {
			uint32_t len = seq_len(number, max);

			seq_fill(data, len, number);
			if (send(peer, data, len, 0) < 0)
				break;
			number++;
		}
		turn();
		seq_resume();
	}
	assert_true(t.seq.holds > 100);
	assert_int_equal(t.port->lanes->stats.rx.frames, total);
}

/* A junction that has more to send as soon as the port is writable. */
static struct pusher {
	struct junction junction;
	uint32_t number, total, max;
} pusher;

static void push(struct junction *j, struct port_lane *l)
{
	while (pusher.number < pusher.total && !l->blocked) {
		uint32_t left = pusher.total - pusher.number;

		pusher.number += send_sequence(pusher.number, left < 64 ? left : 64, pusher.max);
	}
}

static const struct junction_ops push_ops = {
	.offer = fake_offer,
	.writable = push,
	.changed = fake_changed,
	.leave = fake_leave,
};

/* Send all of a sequence to a peer that reads a few at a time. */
static void sequence_reaches_the_peer(uint32_t total)
{
	uint32_t next = 0, seed = 1;
	uint8_t buf[2048];

	pusher = (struct pusher) { .junction.ops = &push_ops, .total = total, .max = 1500 };
	t.port->junction = &pusher.junction;
	push(NULL, t.port->lanes);
	while (next < total) {
		turn();
		seed = seed * 1664525u + 1013904223u;
		for (unsigned i = 0; i < seed >> 26; i++) {
			ssize_t n = recv(peer, buf, sizeof(buf), 0);

			if (n < 0)
				break;
			if (!seq_is(buf, (size_t)n, next, pusher.max))
				fail_msg("frame %u is lost or out of order", next);
			next++;
		}
	}
	assert_true(t.port->lanes->stats.tx_holds > 10);
	assert_int_equal(t.port->lanes->stats.tx.frames, total);
	for (unsigned i = 0; i < VMTAP_DROP_CNT; i++)
		assert_int_equal(t.port->lanes->stats.tx.drops[i], 0);
	settle();
}

static void full_queue_blocks_without_loss(void **state)
{
	bind_peer();
	start_port(&dgram_type, ON_FILES);
	sequence_reaches_the_peer(20000);
}

static void full_queue_of_an_abstract_peer_blocks_without_loss(void **state)
{
	struct sockaddr_un b = { .sun_family = AF_UNIX };
	char spec[256];

	snprintf(spec, sizeof(spec), "dgram,local={}/a,remote=@%sb", t.dir);
	snprintf(b.sun_path + 1, sizeof(b.sun_path) - 1, "%sb", t.dir);
	peer = unix_socket(SOCK_DGRAM);
	assert_int_equal(
		bind(peer, (struct sockaddr *)&b,
		     (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 2 + strlen(t.dir))),
		0);
	start_port(&dgram_type, spec);
	sequence_reaches_the_peer(20000);
}

static void full_buffer_blocks_without_loss(void **state)
{
	start_port(&dgram_type, ON_FILES);
	connect_peer();
	sequence_reaches_the_peer(50000);
}

static void blocked_port_sleeps_until_the_peer_reads(void **state)
{
	bind_peer();
	start_port(&dgram_type, ON_FILES);
	while (!t.port->lanes->blocked)
		send_sequence(0, 64, 100);
	settle(); /* fails if the loop spins */
	assert_int_equal(t.fake.writable, 0);
	assert_true(recv(peer, (uint8_t[2048]) { 0 }, 2048, 0) > 0);
	until(t.fake.writable == 1);
	settle();
}

static bool refuses;

static unsigned refuse_some(struct port_hook *h, struct port_lane *l, enum port_way way,
			    const struct vmtap_frame *frames, unsigned cnt,
			    enum port_verdict *verdict)
{
	return refuses && way == PORT_TX ? 0 : cnt;
}

/* A limit, say. */
static void port_that_a_hook_blocks_sleeps_although_there_is_room(void **state)
{
	static const struct port_hook_ops ops = { .admit = refuse_some };
	struct port_hook hook = { .ops = &ops };
	uint8_t buf[2048];

	bind_peer();
	start_port(&dgram_type, ON_FILES);
	pusher = (struct pusher) { .junction.ops = &push_ops, .total = ~0u, .max = 100 };
	t.port->junction = &pusher.junction;
	assert_int_equal(port_hook_add(t.port, &hook, "test", &t.err), 0);
	refuses = false;
	push(NULL, t.port->lanes);
	refuses = true;
	while (recv(peer, buf, sizeof(buf), 0) > 0)
		;
	settle(); /* fails if the loop spins */
	assert_true(t.port->lanes->blocked);
	refuses = false;
	port_hook_open(t.port->lanes, PORT_TX);
	assert_true(recv(peer, buf, sizeof(buf), 0) > 0);
	port_hook_del(t.port, &hook);
}

static void blocked_port_is_released_when_the_peer_leaves(void **state)
{
	bind_peer();
	start_port(&dgram_type, ON_FILES);
	while (!t.port->lanes->blocked)
		send_sequence(0, 64, 100);
	fd_close(&peer);
	until(t.fake.writable == 1);
	assert_int_equal(send_one(60), 1);
	assert_int_equal(gone(), 1);
}

static void blocked_port_is_released_when_the_peers_file_goes(void **state)
{
	struct sockaddr_un b = unix_addr("b");

	bind_peer();
	start_port(&dgram_type, ON_FILES);
	while (!t.port->lanes->blocked)
		send_sequence(0, 64, 100);
	unlink(b.sun_path);
	until(t.fake.writable == 1);
	assert_int_equal(send_one(60), 1);
	assert_int_equal(gone(), 1);
}

static void nobody_reading_does_not_spin(void **state)
{
	bind_peer();
	start_port(&dgram_type, ON_FILES);
	t.fake.allow = 1;
	put(60);
	put(61);
	settle();
	put(62);
	settle();
	assert_int_equal(t.fake.cnt, 1);
	t.fake.allow = 9;
	port_resume(t.port);
	until(t.fake.cnt == 3);
	assert_int_equal(t.fake.kept[2].len, 62);
}

static void paused_port_moves_nothing_and_loses_nothing(void **state)
{
	bind_peer();
	start_port(&dgram_type, ON_FILES);
	port_set_poll(t.port, false);
	put(60);
	put(61);
	assert_int_equal(send_one(60), 0);
	settle();
	assert_int_equal(t.fake.cnt, 0);
	port_set_poll(t.port, true);
	until(t.fake.cnt == 2);
	assert_int_equal(t.fake.writable, 1);
}

static void closing_counts_what_was_held(void **state)
{
	bind_peer();
	start_port(&dgram_type, ON_FILES);
	t.fake.allow = 1;
	for (int i = 0; i < 4; i++)
		put(60);
	settle();
	port_close(t.port);
	assert_int_equal(t.port->lanes->stats.rx.drops[VMTAP_DROP_PURGED], 3);
	assert_false(has_file("a"));
	assert_true(has_file("b"));
}

/* ----------------------------------------------------------- peers come and go */

static void frames_for_an_absent_peer_are_dropped(void **state)
{
	start_port(&dgram_type, ON_FILES);
	assert_int_equal(send_sequence(0, 64, 100), 64);
	assert_int_equal(gone(), 64);
	assert_int_equal(t.port->lanes->stats.tx.frames, 0);
	assert_non_null(strstr(t.log, "/b is not there (No such file or directory)"));
	close(unix_bound(SOCK_DGRAM, "b"));
	assert_int_equal(send_one(60), 1);
	assert_int_equal(gone(), 65);
	bind_peer();
	assert_int_equal(send_one(60), 1);
	assert_int_equal(gone(), 65);
	expect(60);
	assert_non_null(strstr(t.log, "/b is there"));
}

static void restarted_peer_is_found(void **state)
{
	start_port(&dgram_type, ON_FILES);
	for (unsigned i = 1; i <= 3; i++) {
		bind_peer();
		put(60);
		until(t.fake.cnt == i);
		assert_int_equal(send_one(60), 1);
		expect(60);
		fd_close(&peer);
		assert_int_equal(send_one(60), 1);
		assert_int_equal(gone(), i);
	}
}

/* The successor speaks first: it must be heard although we were connected to its predecessor. */
static void restarted_connected_peer_is_heard(void **state)
{
	start_port(&dgram_type, ON_FILES);
	for (unsigned i = 1; i <= 3; i++) {
		connect_peer();
		put(60);
		until(t.fake.cnt == i);
		assert_int_equal(send_one(60), 1);
		expect(60);
	}
}

/* A peer that sends without being connected can send more than its like may wait. */
static void silent_port_takes_long_bursts(void **state)
{
	unsigned sent = 1;

	start_port(&dgram_type, ON_FILES);
	bind_peer();
	put(60);
	until(t.fake.cnt == 1);
	for (struct sockaddr_un a = unix_addr("a"); sent < 150; sent++)
		assert_int_equal(sendto(peer, (char[60]) { 0 }, 60, 0, (struct sockaddr *)&a,
					sizeof(a)),
				 60);
	until(t.fake.cnt == sent);
}

static void successor_is_sent_to_while_the_old_peer_lives(void **state)
{
	struct sockaddr_un b = unix_addr("b");
	int old;

	bind_peer();
	start_port(&dgram_type, ON_FILES);
	assert_int_equal(send_one(60), 1);
	expect(60);
	old = fd_steal(&peer);
	unlink(b.sun_path);
	bind_peer();
	settle();
	put(60);
	until(t.fake.cnt == 1);
	assert_int_equal(send_one(61), 1);
	expect(61);
	close(old);
}

/* Between our connecting to it and its connecting to us, the peer changes its kind. */
static void peer_that_connects_later_is_still_reached(void **state)
{
	bind_peer();
	start_port(&dgram_type, ON_FILES);
	assert_int_equal(send_one(60), 1);
	expect(60);
	assert_int_equal(unix_connect(peer, "a"), 0);
	assert_int_equal(send_one(61), 1);
	expect(61);
	assert_int_equal(send(peer, (char[60]) { 0 }, 60, 0), 60);
	until(t.fake.cnt == 1);
	assert_int_equal(gone(), 0);
}

static void touched_file_of_the_peer_changes_nothing(void **state)
{
	struct sockaddr_un b = unix_addr("b");

	start_port(&dgram_type, ON_FILES);
	connect_peer();
	assert_int_equal(send_one(60), 1);
	expect(60);
	t.fake.allow = 0;
	put(60);
	settle();
	put(61); /* is not read, and disconnecting would throw it away */
	assert_int_equal(chmod(b.sun_path, 0700), 0);
	settle();
	t.fake.allow = 9;
	port_resume(t.port);
	until(t.fake.cnt == 2);
	assert_int_equal(send_one(61), 1);
	expect(61);
}

static void peer_that_talks_to_another_is_said(void **state)
{
	int other = unix_bound(SOCK_DGRAM, "c"), first, last;

	bind_peer();
	assert_int_equal(unix_connect(peer, "c"), 0);
	start_port(&dgram_type, ON_FILES);
	first = dup(other);
	close(first);
	for (unsigned i = 1; i <= 50; i++) {
		assert_int_equal(send_sequence(0, 5, 100), 5);
		assert_int_equal(t.port->lanes->stats.tx.drops[VMTAP_DROP_REFUSED], 5 * i);
	}
	last = dup(other);
	assert_int_equal(last, first); /* trying leaves no descriptor open */
	assert_non_null(strstr(t.log, "takes frames from another sender only"));
	close(last);
	close(other);
}

/* -------------------------------------------------------------------------- paths */

static void path_is_taken_with_care(void **state)
{
	int other = unix_bound(SOCK_DGRAM, "used");

	refuse_port(&dgram_type, "dgram,local={}/used,remote={}/b", "in use by another process");
	put_file("file");
	refuse_port(&dgram_type, "dgram,local={}/file,remote={}/b", "is no socket");
	assert_true(has_file("used") && has_file("file"));
	close(other);
	assert_int_equal(check_port(&dgram_type, "dgram,local={}/used,remote={}/b"), 0);
	assert_int_equal(check_port(&dgram_type, "dgram,local={}/file,remote={}/b"), -EEXIST);
	assert_int_equal(check_port(&dgram_type, ON_FILES), 0);
	assert_false(has_file("a"));
	start_port(&dgram_type, "dgram,local={}/used,remote={}/b,mode=600");
	assert_true(has_file("used"));
}

static void refuses_addresses_that_do_not_go_together(void **state)
{
	refuse_port(&dgram_type, "dgram", "no address is given");
	refuse_port(&dgram_type, "dgram,local={}/a", "a remote address is needed");
	refuse_port(&dgram_type, "dgram,remote={}/a", "a local address is needed");
	refuse_port(&dgram_type, "dgram,local={}/a,remote=127.0.0.1:1",
		    "unix socket and the other is for UDP");
	refuse_port(&dgram_type, "dgram,local={}/a,remote={}/a", "both addresses are the same");
	refuse_port(&dgram_type, "dgram,local={}/a,local.type=unix,local.path={}/c,remote={}/b",
		    "local: not together with local.type=");
	refuse_port(&dgram_type, "dgram,local={}/a,remote.type=fd,remote.str=5",
		    "cannot be a descriptor");
	refuse_port(&dgram_type, "dgram,fd=0,remote={}/b", "has its remote address already");
	refuse_port(&dgram_type, "dgram,fd=0,local={}/b", "local: not together with fd=");
	refuse_port(&dgram_type, "dgram,server=on,local={}/a,remote={}/b", "no key 'server'");
	refuse_port(&dgram_type, "dgram,local={}/a,remote={}/b,any-source=on", "only for UDP");
	refuse_port(&dgram_type, "dgram,local=name,remote={}/b", "neither a path");
}

int main(void)
{
#define dgram_case(name) cmocka_unit_test_setup_teardown(name, setup, teardown_dgram)
	const struct CMUnitTest tests[] = {
		dgram_case(exchanges_frames_with_a_peer_like_qemu),
		dgram_case(exchanges_frames_with_a_connected_peer),
		dgram_case(understands_the_spelling_of_qemu),
		dgram_case(exchanges_frames_with_abstract_peers),
		dgram_case(exchanges_frames_over_an_inherited_pair),
		dgram_case(odd_lengths_are_dropped_and_counted),
		dgram_case(frame_of_many_pieces_is_sent_in_its_place),
		dgram_case(held_frames_stay_in_order),
		dgram_case(full_queue_blocks_without_loss),
		dgram_case(full_queue_of_an_abstract_peer_blocks_without_loss),
		dgram_case(full_buffer_blocks_without_loss),
		dgram_case(blocked_port_sleeps_until_the_peer_reads),
		dgram_case(port_that_a_hook_blocks_sleeps_although_there_is_room),
		dgram_case(blocked_port_is_released_when_the_peer_leaves),
		dgram_case(blocked_port_is_released_when_the_peers_file_goes),
		dgram_case(nobody_reading_does_not_spin),
		dgram_case(paused_port_moves_nothing_and_loses_nothing),
		dgram_case(closing_counts_what_was_held),
		dgram_case(frames_for_an_absent_peer_are_dropped),
		dgram_case(restarted_peer_is_found),
		dgram_case(restarted_connected_peer_is_heard),
		dgram_case(silent_port_takes_long_bursts),
		dgram_case(successor_is_sent_to_while_the_old_peer_lives),
		dgram_case(peer_that_connects_later_is_still_reached),
		dgram_case(touched_file_of_the_peer_changes_nothing),
		dgram_case(peer_that_talks_to_another_is_said),
		dgram_case(path_is_taken_with_care),
		dgram_case(refuses_addresses_that_do_not_go_together),
	};

	return cmocka_run_group_tests_name("dgram", tests, NULL, NULL);
}
