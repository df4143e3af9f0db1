/* SPDX-License-Identifier: MIT */
/* Connections of the stream port from one run to the next: of which ports, how often, and what a keeper may do wrong. */
#include "keep-test.h"

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

int main(void)
{
	const struct CMUnitTest tests[] = {
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
