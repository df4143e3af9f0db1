/* SPDX-License-Identifier: MIT */
/* The stream port's life cycle: listening, connecting, peers that come and go, over unix and TCP. */
#include "sock-test.h"

#include <arpa/inet.h>

#include "port/sock/stream.h"

static const uint8_t frame[] = { 0, 0, 0, 60, [63] = 0 };

static void put(int fd)
{
	assert_int_equal(send(fd, frame, sizeof(frame), MSG_NOSIGNAL), sizeof(frame));
}

/* The port's frames reach @fd. */
static void expect_frame(int fd)
{
	uint8_t buf[128];
	struct pollfd p = { .fd = fd, .events = POLLIN };

	assert_int_equal(send_frame(frame + 4, 60), 1);
	assert_int_equal(poll(&p, 1, 10000), 1);
	assert_int_equal(recv(fd, buf, sizeof(buf), 0), sizeof(frame));
	assert_memory_equal(buf, frame, sizeof(frame));
}

static bool is_closed(int fd)
{
	char c;
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 10000) == 1 && recv(fd, &c, 1, MSG_DONTWAIT) == 0;
}

static void expect_describe(const char *text)
{
	char buf[256], want[256];

	expand(text, want, sizeof(want));
	port_describe(t.port, buf, sizeof(buf));
	assert_string_equal(buf, want);
}

/* --------------------------------------------------------------------- listening */

static void listening_port_serves_peers_in_turn(void **state)
{
	int one, two;

	start_port(&stream_type, "stream,server=on,path={}/s");
	assert_int_equal(t.port->state, VMTAP_PORT_WAITING);
	expect_describe("server=on,path={}/s (waiting)");
	assert_int_equal(send_sequence(0, 3, 100), 3); /* to nobody */
	assert_int_equal(t.port->lanes->stats.tx.drops[VMTAP_DROP_PEER_GONE], 3);

	one = unix_connected(SOCK_STREAM, "s");
	until(t.port->state == VMTAP_PORT_UP);
	expect_describe("server=on,path={}/s (connected)");
	two = unix_connected(SOCK_STREAM, "s");
	put(two);
	put(one);
	until(t.fake.cnt == 1);
	expect_frame(one);
	settle();
	assert_int_equal(t.fake.cnt, 1); /* the second waits */

	close(one);
	until(t.fake.cnt == 2);
	expect_frame(two);
	close(two);
	until(t.port->state == VMTAP_PORT_WAITING);
	assert_non_null(strstr(t.log, "the peer closed the connection; waiting for the next peer"));
}

static void hostile_peer_is_replaced(const char *bytes, size_t len, const char *text)
{
	int fd = unix_connected(SOCK_STREAM, "s");

	put(fd);
	assert_int_equal(send(fd, bytes, len, MSG_NOSIGNAL), len);
	assert_true((turn(), true));
	until(strstr(t.log, text));
	until(t.port->state == VMTAP_PORT_WAITING);
	assert_true(is_closed(fd));
	close(fd);
	t.log[0] = '\0';
}

static void listening_port_survives_hostile_lengths(void **state)
{
	int fd;

	start_port(&stream_type, "stream,server=on,path={}/s");
	hostile_peer_is_replaced("\xff\xff\xff\xff", 4, "ff ff ff ff");
	hostile_peer_is_replaced("\0\0\0\0", 4, "no length");
	hostile_peer_is_replaced("GET / HTTP/1.1\r\n\r\n", 18, "looks like text");
	assert_int_equal(t.fake.cnt, 3);
	fd = unix_connected(SOCK_STREAM, "s");
	put(fd);
	until(t.fake.cnt == 4);
	expect_frame(fd);
	close(fd);
}

static void log_lines_of_a_restless_peer_are_limited(void **state)
{
	unsigned lines = 0;

	start_port(&stream_type, "stream,server=on,path={}/s");
	for (unsigned i = 1; i <= 50; i++) {
		int fd = unix_connected(SOCK_STREAM, "s");

		put(fd);
		until(t.fake.cnt == i);
		close(fd);
		until(t.port->state == VMTAP_PORT_WAITING);
	}
	for (const char *at = t.log; (at = strchr(at, '\n')); at++)
		lines++;
	assert_in_range(lines, 1, 10);
}

static void closing_unlinks_the_path(void **state)
{
	int fd;

	start_port(&stream_type, "stream,server=on,path={}/s,mode=600");
	fd = unix_connected(SOCK_STREAM, "s");
	until(t.port->state == VMTAP_PORT_UP);
	assert_true(has_file("s"));
	port_close(t.port);
	assert_false(has_file("s"));
	assert_true(is_closed(fd));
	close(fd);
}

static void checking_changes_nothing(void **state)
{
	int fd;

	assert_int_equal(check_port(&stream_type, "stream,server=on,path={}/s"), 0);
	assert_false(has_file("s"));
	fd = unix_bound(SOCK_STREAM, "s");
	assert_int_equal(check_port(&stream_type, "stream,server=on,path={}/s"), -EADDRINUSE);
	assert_int_equal(check_port(&stream_type, "stream,path={}/s"), 0);
	assert_int_equal(accept(fd, NULL, NULL), -1);
	close(fd);
	assert_int_equal(check_port(&stream_type, "stream,path={}/s"), -ECONNREFUSED);
	assert_int_equal(check_port(&stream_type, "stream,path={}/none"), -ENOENT);
	assert_int_equal(check_port(&stream_type, "stream,path={}/none,reconnect-ms=5"), 0);
	assert_int_equal(check_port(&stream_type, "stream,server=on,path={}/none/s"), -ENOENT);
	assert_int_equal(check_port(&stream_type, "stream,server=on,port=0"), 0);
	assert_int_equal(check_port(&stream_type, "stream,server=on,host=192.0.2.1,port=0"),
			 -EADDRNOTAVAIL);
	assert_int_equal(check_port(&stream_type, "stream,fd=99"), -EBADF);
	assert_int_equal(check_port(&stream_type, "stream,fd=given"), -ENOENT);
}

/* --------------------------------------------------------------------- connecting */

static void connecting_needs_the_peer_to_be_there(void **state)
{
	int fd;

	refuse_port(&stream_type, "stream,path={}/none",
		    "start the other side first, or add reconnect-ms");
	close(unix_bound(SOCK_STREAM, "stale"));
	refuse_port(&stream_type, "stream,path={}/stale", "Connection refused");
	put_file("file");
	refuse_port(&stream_type, "stream,path={}/file", "Connection refused");
	fd = unix_bound(SOCK_DGRAM, "dgram");
	refuse_port(&stream_type, "stream,path={}/dgram", "dgram port");
	close(fd);
}

static void connecting_port_breaks_when_the_peer_leaves(void **state)
{
	int l = unix_bound(SOCK_STREAM, "s"), fd;

	start_port(&stream_type, "stream,path={}/s");
	assert_int_equal(t.port->state, VMTAP_PORT_UP);
	fd = accept(l, NULL, NULL);
	put(fd);
	until(t.fake.cnt == 1);
	expect_frame(fd);
	close(fd);
	until(t.port->state == VMTAP_PORT_BROKEN);
	assert_non_null(strstr(t.port->error.remedy, "reconnect-ms"));
	expect_describe("path={}/s (broken)");
	close(l);
}

/* The next client of a listening socket, for which the loop is turned. */
static int next_client(int l)
{
	int fd = -1;

	until((fd = accept4(l, NULL, NULL, SOCK_NONBLOCK)) >= 0);
	return fd;
}

static void connecting_port_finds_a_peer_that_comes_and_goes(void **state)
{
	int l, fd;

	start_port(&stream_type, "stream,path={}/s,reconnect-ms=5");
	assert_int_equal(t.port->state, VMTAP_PORT_WAITING);
	assert_non_null(strstr(t.log, "No such file or directory; trying every 5 ms"));
	for (unsigned i = 1; i <= 3; i++) {
		l = unix_bound(SOCK_STREAM, "s");
		fd = next_client(l);
		put(fd);
		until(t.fake.cnt == i);
		expect_frame(fd);
		close(l);
		close(fd);
		until(t.port->state == VMTAP_PORT_WAITING);
	}
}

static void hostile_listener_is_tried_again(void **state)
{
	int l = unix_bound(SOCK_STREAM, "s"), fd;

	start_port(&stream_type, "stream,path={}/s,reconnect-ms=5");
	fd = next_client(l);
	assert_int_equal(send(fd, "SSH-2.0-x\r\n", 11, 0), 11);
	until(t.port->state == VMTAP_PORT_WAITING);
	assert_non_null(strstr(t.log, "looks like text"));
	close(fd);
	fd = next_client(l);
	put(fd);
	until(t.fake.cnt == 1);
	close(fd);
	close(l);
}

/* ---------------------------------------------------------------------------- TCP */

static uint16_t port_of(int fd)
{
	struct sockaddr_in6 a;
	socklen_t len = sizeof(a);

	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	return ntohs(a.sin6_port); /* at the same place as sin_port */
}

static int tcp_socket(int family, uint16_t port, bool listens)
{
	struct sockaddr_in in = { .sin_family = AF_INET,
				  .sin_port = htons(port),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6,
				    .sin6_port = htons(port),
				    .sin6_addr = IN6ADDR_LOOPBACK_INIT };
	struct sockaddr *a = family == AF_INET ? (struct sockaddr *)&in : (struct sockaddr *)&in6;
	socklen_t len = family == AF_INET ? sizeof(in) : sizeof(in6);
	int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (listens) {
		assert_int_equal(bind(fd, a, len), 0);
		assert_int_equal(listen(fd, 4), 0);
		fd_set_nonblock(fd);
	} else {
		assert_int_equal(connect(fd, a, len), 0);
	}
	return fd;
}

static void listening_over_tcp(int family, const char *spec, const char *host)
{
	char text[128];
	uint16_t port;
	int fd;

	start_port(&stream_type, spec);
	port = port_of(port_get_fd(t.port, 0));
	snprintf(text, sizeof(text), "server=on,host=%s,port=%u (waiting)", host, port);
	expect_describe(text);
	fd = tcp_socket(family, port, false);
	put(fd);
	until(t.fake.cnt == 1);
	expect_frame(fd);
	close(fd);
	until(t.port->state == VMTAP_PORT_WAITING);
	fd = tcp_socket(family, port, false);
	put(fd);
	until(t.fake.cnt == 2);
	close(fd);
}

static void listens_on_ipv4(void **state)
{
	listening_over_tcp(AF_INET, "stream,server=on,port=0", "127.0.0.1");
}

static void listens_on_ipv6(void **state)
{
	listening_over_tcp(AF_INET6, "stream,server=on,host=::1,port=0", "::1");
}

static void listens_on_both_protocols_where_none_is_named(void **state)
{
	listening_over_tcp(AF_INET, "stream,server=on,host=,port=0", "::");
}

static void connecting_over_tcp(int family, const char *host)
{
	int l = tcp_socket(family, 0, true), fd;
	uint16_t port = port_of(l);
	char spec[128];

	snprintf(spec, sizeof(spec), "stream,host=%s,port=%u,reconnect-ms=5", host, port);
	start_port(&stream_type, spec);
	for (unsigned i = 1; i <= 2; i++) {
		fd = next_client(l);
		put(fd);
		until(t.fake.cnt == i);
		expect_frame(fd);
		close(l);
		close(fd);
		until(t.port->state == VMTAP_PORT_WAITING);
		until(strstr(t.log, "Connection refused"));
		l = tcp_socket(family, port, true);
	}
	close(l);
}

static void connects_over_ipv4(void **state)
{
	connecting_over_tcp(AF_INET, "127.0.0.1");
}

static void connects_over_ipv6(void **state)
{
	connecting_over_tcp(AF_INET6, "::1");
}

static void takes_the_first_port_of_a_range_that_is_free(void **state)
{
	int l = tcp_socket(AF_INET, 0, true);
	uint16_t port = port_of(l);
	char spec[128];

	if (port > 65500)
		port = 65500; /* the range has to end somewhere */
	snprintf(spec, sizeof(spec), "stream,server=on,port=%u", port_of(l));
	refuse_port(&stream_type, spec, "Address already in use");
	snprintf(spec, sizeof(spec), "stream,server=on,port=%u,to=%u", port, port + 30);
	start_port(&stream_type, spec);
	assert_in_range(port_of(port_get_fd(t.port, 0)), port, port + 30);
	assert_int_not_equal(port_of(port_get_fd(t.port, 0)), port_of(l));
	close(l);
}

static void reset_connection_is_over(void **state)
{
	const struct linger now = { .l_onoff = 1 };
	int fd;

	start_port(&stream_type, "stream,server=on,port=0");
	fd = tcp_socket(AF_INET, port_of(port_get_fd(t.port, 0)), false);
	put(fd);
	until(t.fake.cnt == 1);
	setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	close(fd); /* sends RST */
	until(t.port->state == VMTAP_PORT_WAITING);
	assert_non_null(strstr(t.log, "Connection reset"));
}

/* ---------------------------------------------------------------------- inherited */

static void fd_spec(char *spec, size_t size, int fd, const char *rest)
{
	snprintf(spec, size, "stream,fd=%d%s", fd, rest);
}

static void inherited_descriptor_must_fit(void **state)
{
	int dgram = unix_socket(SOCK_DGRAM), stream = unix_socket(SOCK_STREAM);
	int l = unix_bound(SOCK_STREAM, "s");
	int file = open("/dev/null", O_RDONLY | O_CLOEXEC);
	char spec[64];

	fd_spec(spec, sizeof(spec), file, "");
	refuse_port(&stream_type, spec, "no socket");
	fd_spec(spec, sizeof(spec), dgram, "");
	refuse_port(&stream_type, spec, "is a datagram socket");
	fd_spec(spec, sizeof(spec), stream, "");
	refuse_port(&stream_type, spec, "not connected");
	fd_spec(spec, sizeof(spec), stream, ",server=on");
	refuse_port(&stream_type, spec, "bound to no address");
	fd_spec(spec, sizeof(spec), l, "");
	refuse_port(&stream_type, spec, "server=on");
	assert_int_equal(unix_connect(stream, "s"), 0);
	fd_spec(spec, sizeof(spec), stream, ",server=on");
	refuse_port(&stream_type, spec, "leave server=on out");
	refuse_port(&stream_type, "stream,fd=1000000", "not open");
	refuse_port(&stream_type, "stream,fd=1x", "neither a number nor a name");
	refuse_port(&stream_type, "stream,fd=other", "nobody passed one as \"other\"");
	/* and they are still the caller's */
	assert_true(fcntl(dgram, F_GETFD) >= 0 && fcntl(stream, F_GETFD) >= 0 &&
		    fcntl(l, F_GETFD) >= 0);
	close(dgram);
	close(stream);
	close(l);
	close(file);
}

static void passed_descriptor_is_used_by_its_name(void **state)
{
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	t.named_fd = pair[0];
	assert_int_equal(check_port(&stream_type, "stream,fd=given"), 0);
	start_port(&stream_type, "stream,addr.type=fd,addr.str=given");
	put(pair[1]);
	until(t.fake.cnt == 1);
	expect_frame(pair[1]);
	close(pair[1]);
}

static void inherited_listener_is_served(void **state)
{
	int l = unix_bound(SOCK_STREAM, "s"), fd;
	char spec[64];

	fd_spec(spec, sizeof(spec), l, ",server=on");
	start_port(&stream_type, spec);
	fd = unix_connected(SOCK_STREAM, "s");
	put(fd);
	until(t.fake.cnt == 1);
	close(fd);
	port_close(t.port);
	assert_true(has_file("s")); /* whoever made it removes it */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		sock_case(listening_port_serves_peers_in_turn),
		sock_case(listening_port_survives_hostile_lengths),
		sock_case(log_lines_of_a_restless_peer_are_limited),
		sock_case(closing_unlinks_the_path),
		sock_case(checking_changes_nothing),
		sock_case(connecting_needs_the_peer_to_be_there),
		sock_case(connecting_port_breaks_when_the_peer_leaves),
		sock_case(connecting_port_finds_a_peer_that_comes_and_goes),
		sock_case(hostile_listener_is_tried_again),
		sock_case(listens_on_ipv4),
		sock_case(listens_on_ipv6),
		sock_case(listens_on_both_protocols_where_none_is_named),
		sock_case(connects_over_ipv4),
		sock_case(connects_over_ipv6),
		sock_case(takes_the_first_port_of_a_range_that_is_free),
		sock_case(reset_connection_is_over),
		sock_case(inherited_descriptor_must_fit),
		sock_case(passed_descriptor_is_used_by_its_name),
		sock_case(inherited_listener_is_served),
	};

	return cmocka_run_group_tests_name("stream-life", tests, NULL, NULL);
}
