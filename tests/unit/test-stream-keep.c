/* SPDX-License-Identifier: MIT */
/*
 * Connections of the stream port from one run to the next: at every byte, and what a keeper may do wrong.
 *
 * A run is a port that is opened, joined and started; the keeper is the test's own.
 */
#include "sock-test.h"

#include <arpa/inet.h>
#include <endian.h>
#include <sys/mman.h>

#include "net/keeper.h"
#include "port/sock/stream-state.h"
#include "port/sock/stream.h"

#define SERVER "stream,server=on,path={}/s"
#define MAX 250
#define SEALS (F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SEAL)

static int peer = -1;

/* ------------------------------------------------------------------------ keeper */

static struct {
	struct port_keeper keeper;
	struct {
		const char *role;
		int fd;
	} kept[4];
	unsigned cnt;
} k;

static int index_of(const char *role)
{
	for (unsigned i = 0; i < k.cnt; i++)
		if (strcmp(k.kept[i].role, role) == 0)
			return (int)i;
	return -1;
}

static bool has(const char *role)
{
	return index_of(role) >= 0;
}

static int find(void *opaque, const char *port, const char *role)
{
	return has(role) ? fcntl(k.kept[index_of(role)].fd, F_DUPFD_CLOEXEC, 0) : -ENOENT;
}

static void drop(void *opaque, const char *port, const char *role)
{
	const int i = index_of(role);

	if (i < 0)
		return;
	close(k.kept[i].fd);
	k.kept[i] = k.kept[--k.cnt];
}

static const char *const roles[] = { "listener", "connection", "state" };

/* Roles are texts of the caller. */
static const char *known(const char *role)
{
	for (unsigned i = 0; i < 3; i++)
		if (strcmp(roles[i], role) == 0)
			return roles[i];
	fail_msg("what is %s?", role);
	return NULL;
}

static void keep(void *opaque, const char *port, const char *role, int fd)
{
	if (has(role))
		return;
	k.kept[k.cnt].role = known(role);
	k.kept[k.cnt++].fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
}

/* @fd is taken. */
static void put_back(const char *role, int fd)
{
	drop(NULL, "", role);
	keep(NULL, "", role, fd);
	close(fd);
}

static int copy_of(const char *role)
{
	assert_true(has(role));
	return find(NULL, "", role);
}

static int setup_kept(void **state)
{
	int ret = setup(state);

	memset(&k, 0, sizeof(k));
	k.keeper = (struct port_keeper) { .find = find, .keep = keep, .drop = drop };
	t.env.keeper = &k.keeper;
	return ret;
}

static int teardown_kept(void **state)
{
	fd_close(&peer);
	while (k.cnt)
		drop(NULL, "", k.kept[0].role);
	return teardown(state);
}

/* -------------------------------------------------------------------------- runs */

static void start(const char *spec)
{
	t.log[0] = '\0';
	start_port(&stream_type, spec);
}

/* As a program does that is told to end: what is joined is parted first. */
static void leave(void)
{
	k.keeper.leaving = true;
	t.port->junction = NULL;
	port_resume(t.port);
	port_free(t.port);
	t.port = NULL;
	k.keeper.leaving = false;
}

/* A server and its peer. */
static void start_connected(void)
{
	start(SERVER);
	peer = unix_connected(SOCK_STREAM, "s");
	until(t.port->state == VMTAP_PORT_UP);
	assert_false(has("connection") || has("state"));
}

static void goes_on(const char *spec)
{
	start(spec);
	assert_int_equal(t.port->state, VMTAP_PORT_UP);
	assert_non_null(strstr(t.log, "went on with the connection to"));
	assert_false(has("connection") || has("state"));
}

static void restart(void)
{
	leave();
	assert_true(has("connection") && has("state"));
	goes_on(SERVER);
}

/* It says so, the peer is disconnected, and another can connect. */
static void refuses(const char *text)
{
	ssize_t len;
	char c;

	start(SERVER);
	if (!strstr(t.log, text))
		fail_msg("\"%s\" is not in: %s", text, t.log);
	assert_non_null(strstr(t.log, "is closed"));
	assert_false(has("connection") || has("state"));
	assert_int_equal(t.port->state, VMTAP_PORT_WAITING);
	len = recv(peer, &c, 1, MSG_DONTWAIT);
	assert_true(len == 0 || (len < 0 && errno == ECONNRESET));
	fd_close(&peer);
	peer = unix_connected(SOCK_STREAM, "s");
	until(t.port->state == VMTAP_PORT_UP);
}

static void put(const void *data, size_t len)
{
	assert_int_equal(send(peer, data, len, MSG_NOSIGNAL), len);
}

static void put_frame(uint32_t number)
{
	uint8_t bytes[4 + MAX];

	put(bytes, seq_encode(bytes, number, MAX));
}

/* From the port, bytes that are there. */
static void expect_bytes(const uint8_t *bytes, size_t len)
{
	uint8_t got[4096];
	ssize_t ret = recv(peer, got, sizeof(got), MSG_DONTWAIT);

	assert_int_equal(ret, len);
	assert_memory_equal(got, bytes, len);
}

static void moves(uint32_t number)
{
	const unsigned before = t.fake.cnt;
	uint8_t bytes[4 + MAX];
	size_t len = seq_encode(bytes, number, MAX);

	put(bytes, len);
	until(t.fake.cnt == before + 1);
	assert_int_equal(t.fake.kept[before].len, len - 4);
	assert_memory_equal(t.fake.kept[before].data, bytes + 4, len - 4);
	assert_int_equal(send_frame(bytes + 4, (uint32_t)len - 4), 1);
	expect_bytes(bytes, len);
}

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

/** struct left - What a run left, made up: a connection of a server and its state */
struct left {
	int connection;
	struct stream_state state;
};

static int memory_of(const void *data, size_t len, int seals)
{
	int fd = memfd_create("vmtap-connection", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, data, len), len);
	assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
	return fd;
}

static void keep_state(const struct stream_state *s)
{
	uint8_t *buf = malloc(STREAM_STATE_MAX);

	put_back("state", memory_of(buf, stream_state_encode(s, buf), SEALS));
	free(buf);
}

/* The peer is connected to @name in the folder. */
static struct left make_left(const char *name)
{
	const int listener = unix_bound(SOCK_STREAM, name);
	struct left left = { 0 };
	socklen_t len = sizeof(left.state.id);

	peer = unix_connected(SOCK_STREAM, name);
	left.connection = accept(listener, NULL, NULL);
	assert_true(left.connection >= 0);
	close(listener);
	assert_int_equal(getsockopt(left.connection, SOL_SOCKET, SO_COOKIE, &left.state.id, &len),
			 0);
	return left;
}

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

/* ------------------------------------------------------------------- once, and all of it */

static void a_program_that_does_not_leave_leaves_nothing(void **state)
{
	start_connected();
	moves(0);
	port_free(t.port);
	t.port = NULL;
	assert_int_equal(k.cnt, 0);
}

static void no_keeper_no_connection(void **state)
{
	t.env.keeper = NULL;
	start_connected();
	moves(0);
	port_free(t.port);
	t.port = NULL;
	assert_int_equal(k.cnt, 0);
}

static void a_state_is_used_once(void **state)
{
	int connection, memory;

	start_connected();
	leave();
	connection = copy_of("connection");
	memory = copy_of("state");
	goes_on(SERVER);
	moves(0);
	port_free(t.port); /* as if it had crashed, with a keeper that did not drop anything */
	put_back("connection", connection);
	put_back("state", memory);
	refuses("its state was used before");
	moves(1);
}

static void the_state_of_another_connection_is_refused(void **state)
{
	struct left left;

	start_connected();
	leave();
	fd_close(&peer);
	drop(NULL, "", "connection");
	drop(NULL, "", "listener");
	left = make_left("s");
	put_back("connection", left.connection);
	refuses("its state is that of another connection");
}

static void one_without_the_other_is_refused(void **state)
{
	start_connected();
	leave();
	drop(NULL, "", "state");
	refuses("which bytes were on the way is not known");
	leave();
	drop(NULL, "", "connection");
	refuses("its state is there, but it is not");
	moves(0);
}

static void a_state_that_is_no_sealed_memory_is_refused(void **state)
{
	uint8_t *buf = calloc(1, 1024 * 1024 + 1);
	const struct {
		int fd;
		const char *text;
	} cases[] = {
		{ open("/dev/null", O_RDWR | O_CLOEXEC), "none that vmtap wrote" },
		{ open(t.dir, O_RDONLY | O_CLOEXEC), "none that vmtap wrote" },
		{ memory_of(buf, 48, 0), "none that vmtap wrote" },
		{ memory_of(buf, 48, F_SEAL_WRITE), "none that vmtap wrote" },
		{ memory_of(buf, 48, SEALS | F_SEAL_SHRINK), "none that vmtap wrote" },
		{ memory_of(buf, 48, SEALS), "none that vmtap wrote" },
		{ memory_of(buf, 0, SEALS), "was used before" },
		{ memory_of(buf, 3, SEALS), "its state is cut" },
		{ memory_of(buf, 1024 * 1024 + 1, SEALS), "its state is too long" },
	};

	start_connected();
	for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		leave();
		put_back("state", cases[i].fd);
		refuses(cases[i].text);
	}
	free(buf);
	moves(0);
}

static void a_state_with_a_changed_byte_is_refused(void **state)
{
	uint8_t buf[4096];
	ssize_t len;

	start_connected();
	put("\0\0\0\60abc", 7);
	settle();
	leave();
	len = pread(k.kept[index_of("state")].fd, buf, sizeof(buf), 0);
	assert_int_equal(len, STREAM_STATE_HEAD + 7);
	for (ssize_t i = 0; i < len; i++) {
		buf[i] ^= 0x10;
		put_back("state", memory_of(buf, (size_t)len, SEALS));
		buf[i] ^= 0x10;
		refuses("its state ");
		leave();
	}
}

static void what_is_no_connection_of_the_port_is_refused(void **state)
{
	struct left left = make_left("other");
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	const struct {
		int fd;
		const char *text;
	} cases[] = {
		{ open("/dev/null", O_RDWR | O_CLOEXEC), "no connection of this kind" },
		{ unix_bound(SOCK_STREAM, "l"), "no connection of this kind" },
		{ unix_socket(SOCK_DGRAM), "no connection of this kind" },
		{ socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), "no connection of this kind" },
		{ pair[0], "another address" },
		{ left.connection, "another address" },
	};

	fd_close(&peer);
	start_connected();
	for (unsigned i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		leave();
		put_back("connection", cases[i].fd);
		refuses(cases[i].text);
	}
	close(pair[1]);
}

static void a_port_that_was_not_started_leaves_what_it_took(void **state)
{
	uint8_t bytes[4 + MAX];
	const size_t len = seq_encode(bytes, 0, MAX);

	start_connected();
	put(bytes, 10);
	settle();
	leave();
	t.port = open_port(&stream_type, SERVER);
	assert_non_null(t.port);
	assert_false(has("connection") || has("state"));
	leave();
	goes_on(SERVER);
	put(bytes + 10, len - 10);
	until(t.fake.cnt == 1);
	moves(1);
}

static void a_port_that_cannot_open_closes_it(void **state)
{
	char c;

	start_connected();
	leave();
	drop(NULL, "", "listener");
	unlink(unix_addr("s").sun_path);
	put_file("s");
	refuse_port(&stream_type, SERVER, "is no socket");
	assert_int_equal(k.cnt, 0);
	assert_int_equal(recv(peer, &c, 1, MSG_DONTWAIT), 0);
}

/* ------------------------------------------------------------------- kinds of ports */

static void another_peer_waits_until_the_first_has_gone(void **state)
{
	int other;

	start_connected();
	leave();
	other = unix_connected(SOCK_STREAM, "s");
	goes_on(SERVER);
	moves(0);
	fd_close(&peer);
	peer = other;
	put_frame(1);
	until(t.fake.cnt == 2);
	moves(2);
}

static void a_port_that_connected_goes_on(void **state)
{
	static const char *const specs[] = { "stream,path={}/s",
					     "stream,path={}/s,reconnect-ms=10" };
	const int listener = unix_bound(SOCK_STREAM, "s");

	for (unsigned i = 0; i < 2; i++) {
		start(specs[i]);
		peer = accept(listener, NULL, NULL);
		until(t.port->state == VMTAP_PORT_UP);
		moves(0);
		leave();
		goes_on(specs[i]);
		moves(1);
		assert_true(accept4(listener, NULL, NULL, SOCK_CLOEXEC) < 0 && errno == EAGAIN);
		leave();
		fd_close(&peer);
		start(specs[i]);
		if (!i) { /* nobody connects it again */
			until(t.port->state == VMTAP_PORT_BROKEN);
		} else {
			until(t.port->state == VMTAP_PORT_WAITING);
			until(t.port->state == VMTAP_PORT_UP);
			peer = accept(listener, NULL, NULL);
			moves(2);
		}
		port_free(t.port);
		t.port = NULL;
		fd_close(&peer);
	}
	close(listener);
}

static int tcp_listener(struct sockaddr_in *addr)
{
	const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof(*addr);

	*addr = (struct sockaddr_in) { .sin_family = AF_INET,
				       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	assert_int_equal(bind(fd, (struct sockaddr *)addr, sizeof(*addr)), 0);
	assert_int_equal(listen(fd, 8), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)addr, &len), 0);
	return fd;
}

/* What is sent over TCP is there a little later. */
static void moves_over_tcp(uint32_t number)
{
	struct pollfd wait = { .fd = peer, .events = POLLIN };
	const unsigned before = t.fake.cnt;
	uint8_t bytes[4 + MAX];
	const size_t len = seq_encode(bytes, number, MAX);

	put(bytes, len);
	until(t.fake.cnt == before + 1);
	assert_int_equal(send_frame(bytes + 4, (uint32_t)len - 4), 1);
	assert_int_equal(poll(&wait, 1, 10000), 1);
	expect_bytes(bytes, len);
}

static void a_port_that_connected_over_tcp_goes_on(void **state)
{
	struct sockaddr_in addr, other;
	const int listener = tcp_listener(&addr), elsewhere = tcp_listener(&other);
	char spec[100];
	int before;

	snprintf(spec, sizeof(spec), "stream,host=127.0.0.1,port=%d", ntohs(addr.sin_port));
	start(spec);
	peer = accept(listener, NULL, NULL);
	moves_over_tcp(0);
	leave();
	goes_on(spec);
	moves_over_tcp(1);

	/* one that is connected elsewhere is none of its own */
	leave();
	before = peer;
	snprintf(spec, sizeof(spec), "stream,host=127.0.0.1,port=%d", ntohs(other.sin_port));
	start(spec);
	assert_non_null(strstr(t.log, "another address"));
	peer = accept(elsewhere, NULL, NULL);
	moves_over_tcp(2);
	close(before);
	close(listener);
	close(elsewhere);
}

static void a_port_that_listens_over_tcp_goes_on(void **state)
{
	struct sockaddr_in addr;
	const int reserved = tcp_listener(&addr);
	char spec[100];

	close(reserved);
	snprintf(spec, sizeof(spec), "stream,server=on,host=127.0.0.1,port=%d",
		 ntohs(addr.sin_port));
	start(spec);
	peer = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(peer, (struct sockaddr *)&addr, sizeof(addr)), 0);
	until(t.port->state == VMTAP_PORT_UP);
	moves_over_tcp(0);
	leave();
	goes_on(spec);
	moves_over_tcp(1);
	fd_close(&peer);
	until(t.port->state == VMTAP_PORT_WAITING);
	peer = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(peer, (struct sockaddr *)&addr, sizeof(addr)), 0);
	until(t.port->state == VMTAP_PORT_UP);
	moves_over_tcp(2);
}

/* Whoever gave it gives it again. */
static void a_connection_that_was_given_is_not_kept(void **state)
{
	char spec[64];
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	peer = pair[1];
	snprintf(spec, sizeof(spec), "stream,fd=%d", pair[0]);
	start(spec);
	moves(0);
	leave();
	assert_int_equal(k.cnt, 0);
}

static void an_attempt_to_connect_is_not_kept(void **state)
{
	start("stream,path={}/s,reconnect-ms=10");
	assert_int_equal(t.port->state, VMTAP_PORT_WAITING);
	leave();
	assert_int_equal(k.cnt, 0);
}

#define kept_case(name) cmocka_unit_test_setup_teardown(name, setup_kept, teardown_kept)

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
		kept_case(a_program_that_does_not_leave_leaves_nothing),
		kept_case(no_keeper_no_connection),
		kept_case(a_state_is_used_once),
		kept_case(the_state_of_another_connection_is_refused),
		kept_case(one_without_the_other_is_refused),
		kept_case(a_state_that_is_no_sealed_memory_is_refused),
		kept_case(a_state_with_a_changed_byte_is_refused),
		kept_case(what_is_no_connection_of_the_port_is_refused),
		kept_case(a_port_that_was_not_started_leaves_what_it_took),
		kept_case(a_port_that_cannot_open_closes_it),
		kept_case(another_peer_waits_until_the_first_has_gone),
		kept_case(a_port_that_connected_goes_on),
		kept_case(a_port_that_connected_over_tcp_goes_on),
		kept_case(a_port_that_listens_over_tcp_goes_on),
		kept_case(a_connection_that_was_given_is_not_kept),
		kept_case(an_attempt_to_connect_is_not_kept),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
