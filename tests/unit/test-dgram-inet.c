/* SPDX-License-Identifier: MIT */
/* The dgram port over UDP and in a multicast group, on the loopback interface. */
#include "sock-test.h"

#include <arpa/inet.h>

#include "port/sock/dgram.h"

static int peer = -1;
static struct port *second;

static int teardown_inet(void **state)
{
	port_free(second);
	second = NULL;
	fd_close(&peer);
	return teardown(state);
}

static uint16_t port_of(int fd)
{
	struct sockaddr_in6 a;
	socklen_t len = sizeof(a);

	assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
	return ntohs(a.sin6_port); /* at the same place as sin_port */
}

static socklen_t loopback(struct sockaddr_in6 *out, int family, uint16_t port)
{
	struct sockaddr_in in = { .sin_family = AF_INET,
				  .sin_port = htons(port),
				  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6,
				    .sin6_port = htons(port),
				    .sin6_addr = IN6ADDR_LOOPBACK_INIT };

	if (family == AF_INET)
		memcpy(out, &in, sizeof(in));
	else
		*out = in6;
	return family == AF_INET ? sizeof(in) : sizeof(in6);
}

static int udp_bound(int family, uint16_t port)
{
	int fd = socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	struct sockaddr_in6 a;
	socklen_t len = loopback(&a, family, port);

	assert_int_equal(bind(fd, (struct sockaddr *)&a, len), 0);
	return fd;
}

static void put_from(int fd, int family, uint32_t len)
{
	static const uint8_t data[2048];
	struct sockaddr_in6 a;
	socklen_t alen = loopback(&a, family, port_of(port_get_fd(t.port, 0)));

	assert_int_equal(sendto(fd, data, len, 0, (struct sockaddr *)&a, alen), len);
}

/* The next datagram at @fd, which need not be there yet. */
static ssize_t next_len(int fd)
{
	static uint8_t buf[VMTAP_FRAME_MAX];
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 10000) == 1 ? recv(fd, buf, sizeof(buf), 0) : -1;
}

static unsigned send_one(uint32_t len)
{
	static const uint8_t data[VMTAP_FRAME_MAX];

	return send_frame(data, len);
}

static void start_udp(int family, const char *rest)
{
	const char *host = family == AF_INET ? "127.0.0.1" : "[::1]";
	char spec[256];

	peer = udp_bound(family, 0);
	snprintf(spec, sizeof(spec), "dgram,local=%s:0,remote=%s:%u%s", host, host, port_of(peer),
		 rest);
	start_port(&dgram_type, spec);
}

static void exchange(int family)
{
	start_udp(family, "");
	put_from(peer, family, 60);
	put_from(peer, family, 13);
	put_from(peer, family, 1514);
	until(t.fake.cnt == 2);
	assert_int_equal(t.fake.kept[1].len, 1514);
	assert_int_equal(t.port->lanes->stats.rx.drops[VMTAP_DROP_RUNT], 1);
	assert_int_equal(send_sequence(0, 64, 1500), 64);
	for (uint32_t i = 0; i < 64; i++)
		assert_int_equal(next_len(peer), seq_len(i, 1500));
	settle();
}

static void exchanges_frames_over_ipv4(void **state)
{
	exchange(AF_INET);
}

static void exchanges_frames_over_ipv6(void **state)
{
	exchange(AF_INET6);
}

static void understands_the_spelling_of_qemu(void **state)
{
	char spec[256];

	peer = udp_bound(AF_INET, 0);
	snprintf(spec, sizeof(spec),
		 "dgram,local.type=inet,local.host=127.0.0.1,local.port=0,"
		 "remote.type=inet,remote.host=127.0.0.1,remote.port=%u",
		 port_of(peer));
	start_port(&dgram_type, spec);
	put_from(peer, AF_INET, 60);
	until(t.fake.cnt == 1);
}

static void frames_of_strangers_are_refused(void **state)
{
	int stranger = udp_bound(AF_INET, 0);

	start_udp(AF_INET, "");
	put_from(stranger, AF_INET, 60);
	put_from(peer, AF_INET, 61);
	put_from(stranger, AF_INET, 62);
	put_from(peer, AF_INET, 63);
	until(t.fake.cnt == 2);
	assert_int_equal(t.fake.kept[0].len, 61);
	assert_int_equal(t.fake.kept[1].len, 63);
	assert_int_equal(t.port->lanes->stats.rx.drops[VMTAP_DROP_REFUSED], 2);
	assert_non_null(strstr(t.log, "any-source=on"));
	close(stranger);
}

static void frames_of_strangers_are_taken_when_asked_for(void **state)
{
	int stranger = udp_bound(AF_INET, 0);

	start_udp(AF_INET, ",any-source=on");
	put_from(stranger, AF_INET, 60);
	put_from(peer, AF_INET, 61);
	until(t.fake.cnt == 2);
	close(stranger);
}

/* The kernel answers with an ICMP error. */
static void closed_port_at_the_peer_does_no_harm(void **state)
{
	uint16_t number;

	start_udp(AF_INET, "");
	number = port_of(peer);
	fd_close(&peer);
	for (unsigned i = 0; i < 20; i++) {
		assert_int_equal(send_one(60), 1);
		settle();
	}
	peer = udp_bound(AF_INET, number);
	assert_int_equal(send_one(61), 1);
	assert_int_equal(next_len(peer), 61);
	put_from(peer, AF_INET, 60);
	until(t.fake.cnt == 1);
	assert_int_equal(t.port->state, VMTAP_PORT_UP);
}

static void closed_port_behind_an_inherited_socket(int family, bool queues_errors)
{
	const int level = family == AF_INET ? IPPROTO_IP : IPPROTO_IPV6, on = 1;
	int fd = udp_bound(family, 0);
	struct sockaddr_in6 a;
	uint16_t number;
	char spec[64];

	peer = udp_bound(family, 0);
	number = port_of(peer);
	assert_int_equal(connect(fd, (struct sockaddr *)&a, loopback(&a, family, number)), 0);
	if (queues_errors)
		assert_int_equal(setsockopt(fd, level,
					    family == AF_INET ? IP_RECVERR : IPV6_RECVERR, &on,
					    sizeof(on)),
				 0);
	snprintf(spec, sizeof(spec), "dgram,fd=%d", fd);
	start_port(&dgram_type, spec);
	fd_close(&peer);
	for (unsigned i = 0; i < 20; i++) {
		assert_int_equal(send_one(60), 1);
		settle();
	}
	peer = udp_bound(family, number);
	assert_int_equal(send_one(61), 1);
	assert_int_equal(next_len(peer), 61);
	put_from(peer, family, 60);
	until(t.fake.cnt == 1);
}

/* A connected socket reports the ICMP error at the next call. */
static void closed_port_behind_an_inherited_socket_does_no_harm(void **state)
{
	closed_port_behind_an_inherited_socket(AF_INET, false);
}

static void errors_that_an_inherited_socket_queues_do_not_spin(void **state)
{
	closed_port_behind_an_inherited_socket(AF_INET, true);
}

static void errors_that_an_inherited_ipv6_socket_queues_do_not_spin(void **state)
{
	closed_port_behind_an_inherited_socket(AF_INET6, true);
}

/* What the kernel says that it dropped at the socket of port @number, for want of room. */
static unsigned dropped_at(uint16_t number)
{
	FILE *f = fopen("/proc/net/udp", "re");
	unsigned port, drops, found = 0;
	char line[256];

	assert_non_null(f);
	while (fgets(line, sizeof(line), f))
		if (sscanf(line, " %*u: %*x:%x %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %u", &port,
			   &drops) == 2 &&
		    port == number)
			found = drops;
	fclose(f);
	return found;
}

/* Until the kernel has dropped some. Return: how many. */
static unsigned flood(int fd, uint16_t number)
{
	static const uint8_t data[1400];
	struct sockaddr_in6 a;
	socklen_t len = loopback(&a, AF_INET, number);
	unsigned before = dropped_at(number);

	for (unsigned i = 0; i < 100000 && dropped_at(number) < before + 50; i++)
		for (unsigned n = 0; n < 100; n++)
			sendto(fd, data, sizeof(data), 0, (struct sockaddr *)&a, len);
	return dropped_at(number) - before;
}

static uint64_t kernel_drops(void)
{
	struct vmtap_stats stats;

	port_stats(t.port, &stats);
	return stats.rx.drops[VMTAP_DROP_KERNEL];
}

static void what_the_socket_has_no_room_for_is_counted(void **state)
{
	unsigned dropped;

	start_udp(AF_INET, "");
	assert_int_equal(kernel_drops(), 0);
	dropped = flood(peer, port_of(port_get_fd(t.port, 0)));
	assert_true(dropped > 0);
	assert_int_equal(kernel_drops(), dropped);
	settle();
	port_close(t.port);
	assert_int_equal(kernel_drops(), dropped);
}

static void what_an_inherited_socket_dropped_before_is_not(void **state)
{
	int fd = udp_bound(AF_INET, 0);
	struct sockaddr_in6 a;
	unsigned dropped;
	char spec[64];

	peer = udp_bound(AF_INET, 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&a, loopback(&a, AF_INET, port_of(peer))),
			 0);
	assert_true(flood(peer, port_of(fd)) > 0);
	snprintf(spec, sizeof(spec), "dgram,fd=%d", fd);
	start_port(&dgram_type, spec);
	assert_int_equal(kernel_drops(), 0);
	dropped = flood(peer, port_of(fd));
	assert_true(dropped > 0);
	assert_int_equal(kernel_drops(), dropped);
}

static void frame_longer_than_a_datagram_is_dropped_alone(void **state)
{
	static uint8_t data[VMTAP_FRAME_MAX];
	struct iovec iov[3] = { { data, 60 }, { data, VMTAP_FRAME_MAX }, { data, 61 } };
	struct vmtap_frame frames[3];
	unsigned done = 0;

	start_udp(AF_INET, "");
	for (unsigned i = 0; i < 3; i++)
		frames[i] = (struct vmtap_frame) { .len = (uint32_t)iov[i].iov_len,
						   .iov = &iov[i],
						   .iov_cnt = 1 };
	until((done += t.port->lanes->blocked ? 0 : port_send(t.port, frames + done, 3 - done)) ==
	      3);
	assert_int_equal(t.port->lanes->stats.tx.drops[VMTAP_DROP_TOO_LONG], 1);
	assert_int_equal(t.port->lanes->stats.tx.frames, 2);
	assert_int_equal(next_len(peer), 60);
	assert_int_equal(next_len(peer), 61);
}

static void held_frames_stay_in_order(void **state)
{
	const uint32_t total = 20000, max = 300;
	uint32_t number = 0;

	start_udp(AF_INET, "");
	seq_join(max);
	while (t.seq.next < total) {
		/* no more at once than the socket's buffer is sure to have room for */
		if (number == t.seq.next)
			for (unsigned i = 0; i < 64 && number < total; i++, number++) {
				uint8_t data[512];
				struct sockaddr_in6 a;
				uint32_t len = seq_len(number, max);

				seq_fill(data, len, number);
				assert_int_equal(sendto(peer, data, len, 0, (struct sockaddr *)&a,
							loopback(&a, AF_INET,
								 port_of(port_get_fd(t.port, 0)))),
						 len);
			}
		turn();
		seq_resume();
	}
	assert_true(t.seq.holds > 50);
}

static void address_in_use_is_said(void **state)
{
	char spec[128];

	peer = udp_bound(AF_INET, 0);
	snprintf(spec, sizeof(spec), "dgram,local=127.0.0.1:%u,remote=127.0.0.1:9", port_of(peer));
	refuse_port(&dgram_type, spec, "Address already in use");
	assert_int_equal(check_port(&dgram_type, spec), -EADDRINUSE);
	refuse_port(&dgram_type, "dgram,local=192.0.2.1:5,remote=127.0.0.1:9", "no such address");
	refuse_port(&dgram_type, "dgram,local=[::1]:5,remote=127.0.0.1:9",
		    "IPv4 and the other is IPv6");
	refuse_port(&dgram_type, "dgram,local=127.0.0.1,remote=127.0.0.1:9", "neither a path");
}

/* --------------------------------------------------------------------- multicast */

#define GROUP "239.255.77.1"

/* A member of the group that is no port of ours: sends from the group's port, as QEMU does. */
static int join_group(uint16_t port)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port) };
	struct ip_mreqn req = { .imr_address.s_addr = htonl(INADDR_LOOPBACK) };

	inet_pton(AF_INET, GROUP, &a.sin_addr);
	req.imr_multiaddr = a.sin_addr;
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	assert_int_equal(setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, &req, sizeof(req)), 0);
	assert_int_equal(setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, &req, sizeof(req)), 0);
	return fd;
}

static void put_to_group(uint16_t port, uint32_t len)
{
	static const uint8_t data[2048];
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port) };

	inet_pton(AF_INET, GROUP, &a.sin_addr);
	assert_int_equal(sendto(peer, data, len, 0, (struct sockaddr *)&a, sizeof(a)), len);
}

/* Two ports with the same description share the group. */
static void start_group(const char *spec, uint16_t *port)
{
	int probe = udp_bound(AF_INET, 0);
	char text[256];

	*port = port_of(probe);
	close(probe);
	snprintf(text, sizeof(text), "%s:%u,local=127.0.0.1", spec, *port);
	start_port(&dgram_type, text);
}

static void group_members_hear_each_other_and_not_themselves(void **state)
{
	static struct fake_junction fake2;
	char text[256];
	uint16_t port;

	start_group("dgram,remote=" GROUP, &port);
	snprintf(text, sizeof(text), "dgram,remote=" GROUP ":%u,local=127.0.0.1", port);
	second = open_port(&dgram_type, text);
	fake_join(&fake2, second);
	assert_int_equal(port_start(second, NULL), 0);
	peer = join_group(port);

	put_to_group(port, 60);
	until(t.fake.cnt == 1 && fake2.cnt == 1);
	assert_int_equal(next_len(peer), 60); /* its own: others do not filter */

	assert_int_equal(send_one(70), 1);
	until(fake2.cnt == 2);
	assert_int_equal(next_len(peer), 70);
	settle();
	assert_int_equal(t.fake.cnt, 1); /* not our own */
	assert_int_equal(t.port->lanes->stats.rx.frames, 1);
	port_free(second);
	second = NULL;
	fake_forget(&fake2);
}

static void refuses_a_group_that_cannot_be_joined(void **state)
{
	refuse_port(&dgram_type, "dgram,remote=239.1.1.1:5,local=192.0.2.1", "join the group");
	refuse_port(&dgram_type, "dgram,remote=239.1.1.1:5,local={}/a", "an interface's");
	refuse_port(&dgram_type, "dgram,remote=239.1.1.1:5,local=127.0.0.1,any-source=on",
		    "not for a multicast group");
	refuse_port(&dgram_type, "dgram,remote=[ff02::1%lo]:5,local=[::1]:5",
		    "names its interface itself");
}

int main(void)
{
#define inet_case(name) cmocka_unit_test_setup_teardown(name, setup, teardown_inet)
	const struct CMUnitTest tests[] = {
		inet_case(exchanges_frames_over_ipv4),
		inet_case(exchanges_frames_over_ipv6),
		inet_case(understands_the_spelling_of_qemu),
		inet_case(frames_of_strangers_are_refused),
		inet_case(frames_of_strangers_are_taken_when_asked_for),
		inet_case(closed_port_at_the_peer_does_no_harm),
		inet_case(closed_port_behind_an_inherited_socket_does_no_harm),
		inet_case(errors_that_an_inherited_socket_queues_do_not_spin),
		inet_case(errors_that_an_inherited_ipv6_socket_queues_do_not_spin),
		inet_case(what_the_socket_has_no_room_for_is_counted),
		inet_case(what_an_inherited_socket_dropped_before_is_not),
		inet_case(frame_longer_than_a_datagram_is_dropped_alone),
		inet_case(held_frames_stay_in_order),
		inet_case(address_in_use_is_said),
		inet_case(group_members_hear_each_other_and_not_themselves),
		inet_case(refuses_a_group_that_cannot_be_joined),
	};

	return cmocka_run_group_tests_name("dgram-inet", tests, NULL, NULL);
}
