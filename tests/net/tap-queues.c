/* SPDX-License-Identifier: MIT */
/* Queues attached and detached at run time, descriptors by name, and the host's own loop. */
#include "tap-lab.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static unsigned char buf[LAB_FRAME_MAX];

/* -------------------------------------------------------------------- queues */

static void check_queues(const char *attached)
{
	char command[128];

	snprintf(command, sizeof(command), "ip -d link show vm0 | grep -q 'numqueues %s '",
		 attached);
	lab_run(command);
}

/* Datagrams of 64 flows, which the kernel spreads over the queues that there are. */
static void send_flows(struct lab *lab, unsigned each)
{
	static bool known;
	int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(0x0a000002) };

	if (!known)
		lab_run("ip addr add 10.0.0.1/24 dev vm0 && "
			"ip neigh add 10.0.0.2 lladdr 02:00:00:00:00:02 dev vm0");
	known = true;
	for (unsigned n = 0; n < each; n++) {
		for (unsigned flow = 0; flow < 64; flow++) {
			unsigned char number = (unsigned char)n;

			to.sin_port = htons((uint16_t)(1000 + flow));
			assert_int_equal(
				sendto(sock, &number, 1, 0, (struct sockaddr *)&to, sizeof(to)), 1);
		}
	}
	close(sock);
}

/* All datagrams came, each flow in order. */
static void check_flows(struct lab *lab, unsigned each)
{
	unsigned next[64] = { 0 };

	lab_wait(lab, 64 * each);
	lab_settle(lab);
	assert_int_equal(lab->frame_cnt, 64 * each);
	for (unsigned i = 0; i < lab->frame_cnt; i++) {
		const unsigned char *data = lab->frames[i].data;
		unsigned flow = ((unsigned)data[36] << 8 | data[37]) - 1000;

		assert_in_range(flow, 0, 63);
		assert_int_equal(data[42], next[flow]++);
	}
	lab_forget(lab);
}

static void queues_can_be_detached_and_attached_again(void **state)
{
	struct vmtap_error err = { 0 };
	struct lab lab;

	lab_open(&lab, ",queues=4");
	lab.type = 0x0800;
	check_queues("4 numdisabled 0");
	send_flows(&lab, 5);
	check_flows(&lab, 5);
	for (int round = 0; round < 3; round++) {
		for (unsigned q = 1; q < 4; q++) {
			assert_int_equal(vmtap_port_set_queue(lab.tap, q, false, &err), 0);
			assert_int_equal(vmtap_port_set_queue(lab.tap, q, false, &err), 0);
		}
		check_queues("1 numdisabled 3");
		send_flows(&lab, 5);
		check_flows(&lab, 5);
		for (unsigned q = 3; q > 0; q--) {
			assert_int_equal(vmtap_port_set_queue(lab.tap, q, true, &err), 0);
			assert_int_equal(vmtap_port_set_queue(lab.tap, q, true, &err), 0);
		}
		check_queues("4 numdisabled 0");
		send_flows(&lab, 5);
		check_flows(&lab, 5);
	}
	assert_int_equal(vmtap_port_state(lab.tap), VMTAP_PORT_UP);
	lab_close(&lab);
}

static void queues_can_be_changed_before_the_link_and_while_frames_wait(void **state)
{
	struct vmtap_error err = { 0 };
	struct lab lab;

	lab_open_ports(&lab, LAB_TAP ",queues=3", 12);
	lab.type = 0x0800;
	assert_int_equal(vmtap_port_set_queue(lab.tap, 1, false, &err), 0);
	lab_link(&lab);
	check_queues("2 numdisabled 1");
	send_flows(&lab, 2);
	check_flows(&lab, 2);
	lab.take = 0;
	send_flows(&lab, 2);
	lab_settle(&lab);
	assert_int_equal(vmtap_port_set_queue(lab.tap, 1, true, &err), 0);
	vmtap_port_set_poll(lab.tap, false);
	vmtap_port_set_poll(lab.tap, true);
	lab.take = UINT32_MAX;
	vmtap_app_writable(lab.app);
	check_flows(&lab, 2);
	send_flows(&lab, 2);
	check_flows(&lab, 2);
	lab_close(&lab);
}

static struct vmtap_queue_stats second_queue(const struct lab *lab)
{
	struct vmtap_queue_stats q = { 0 };

	vmtap_port_queue_stats(lab->tap, 1, &q, sizeof(q));
	return q;
}

static bool second_is_held(struct lab *lab)
{
	return second_queue(lab).flags & VMTAP_QUEUE_TX_HELD;
}

static bool second_is_done(struct lab *lab)
{
	struct vmtap_queue_stats q = second_queue(lab);
	struct vmtap_queue_stats from = { 0 };

	vmtap_port_queue_stats(lab->priv, 1, &from, sizeof(from));
	return q.tx.frames + lab_drops(&q.tx) == from.rx.frames && !(q.flags & VMTAP_QUEUE_TX_HELD);
}

static void what_waits_for_a_queue_goes_on_when_that_is_detached(void **state)
{
	const struct sockaddr_in to = { .sin_family = AF_INET,
					.sin_addr.s_addr = htonl(0x0a010002) };
	struct vmtap_error err = { 0 };
	struct lab lab;
	int far, sock;

	lab_open_ports(&lab, LAB_TAP ",queues=2,sndbuf=1", 12);
	lab.priv = vmtap_port_open(lab.v, "tap,ifname=vm1,queues=2,script=no,downscript=no", &err);
	assert_non_null(vmtap_link_new(lab.v, lab.tap, lab.priv, &err));
	/* a packet filter in the bridge would free the send buffer */
	lab_run("echo 0 >/proc/sys/net/bridge/bridge-nf-call-iptables || :");
	far = lab_slow_peer("rate 1mbit burst 2000 limit 1000000");
	lab_run("ip addr add 10.1.0.1/24 dev vm1 && ip neigh add 10.1.0.2 lladdr 02:00:00:00:00:02 dev vm1");
	sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	for (int again = 0; again < 2; again++) {
		for (unsigned flow = 0; flow < 64; flow++) {
			struct sockaddr_in there = to;

			there.sin_port = htons((uint16_t)(1000 + flow));
			assert_int_equal(sendto(sock, buf, 200, 0, (struct sockaddr *)&there,
						sizeof(there)),
					 200);
		}
		lab_until(&lab, second_is_held);
		assert_int_equal(vmtap_port_set_queue(lab.tap, 1, false, &err), 0);
		if (again)
			assert_int_equal(vmtap_port_set_queue(lab.tap, 1, true, &err), 0);
		lab_until(&lab, second_is_done);
		assert_int_equal(vmtap_port_set_queue(lab.tap, 1, true, &err), 0);
	}
	close(sock);
	close(far);
	lab_close(&lab);
}

static void wrong_queues_are_refused(void **state)
{
	struct vmtap_error err = { 0 };
	struct lab lab;

	lab_open(&lab, ",queues=2");
	assert_int_equal(vmtap_port_set_queue(lab.tap, 2, false, &err), -EINVAL);
	assert_int_equal(vmtap_port_set_queue(lab.tap, UINT32_MAX, true, &err), -EINVAL);
	assert_int_equal(vmtap_port_set_queue(lab.tap, 0, false, &err), -EINVAL);
	assert_non_null(strstr(err.reason, "first queue"));
	assert_int_equal(vmtap_port_set_queue(lab.tap, 0, true, &err), 0);
	assert_int_equal(vmtap_port_set_queue(lab.app, 0, true, &err), -EOPNOTSUPP);
	lab_close(&lab);

	lab_open(&lab, "");
	assert_int_equal(vmtap_port_set_queue(lab.tap, 0, false, &err), -EINVAL);
	lab_close(&lab);
}

static void each_queue_has_its_descriptor(void **state)
{
	struct ifreq ifr;
	struct lab lab;

	lab_open(&lab, ",queues=3");
	for (unsigned q = 0; q < 3; q++) {
		assert_int_equal(ioctl(vmtap_port_fd(lab.tap, q), TUNGETIFF, &ifr), 0);
		assert_string_equal(ifr.ifr_name, "vm0");
	}
	assert_int_not_equal(vmtap_port_fd(lab.tap, 0), vmtap_port_fd(lab.tap, 1));
	assert_int_equal(vmtap_port_fd(lab.tap, 3), -1);
	assert_int_equal(vmtap_port_fd(lab.tap, UINT32_MAX), -1);
	assert_int_equal(vmtap_port_fd(lab.app, 0), -1);
	lab_close(&lab);
}

/* ------------------------------------------------------------ names of descriptors */

static int open_tap(const char *name, int flags)
{
	struct ifreq ifr = { .ifr_flags = (short)(IFF_TAP | IFF_NO_PI | flags) };
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

	strcpy(ifr.ifr_name, name);
	assert_int_equal(ioctl(fd, TUNSETIFF, &ifr), 0);
	return fd;
}

static bool is_open(int fd)
{
	return fcntl(fd, F_GETFD) >= 0;
}

static void a_descriptor_can_be_given_by_name(void **state)
{
	struct vmtap_error err = { 0 };
	struct lab lab;
	int fd = open_tap("vm0", 0), fl;

	lab_open_ports(&lab, NULL, 12);
	lab_run("ip link set vm0 up");
	assert_int_equal(vmtap_add_fd(lab.v, "mine", fd, &err), 0);
	lab.tap = vmtap_port_open(lab.v, "tap,fd=mine", &err);
	assert_non_null(lab.tap);
	assert_int_equal(vmtap_port_fd(lab.tap, 0), fd);
	fl = fcntl(fd, F_GETFL);
	assert_true(fl & O_NONBLOCK);
	lab_link(&lab);
	lab.packet = lab_packet_socket("vm0");
	lab_frame(buf, 100, 0);
	assert_int_equal(vmtap_send_raw(lab.app, buf, 100, NULL, NULL), 100);
	lab_kernel_expect(&lab, lab.packet, 0, 1);
	assert_null(vmtap_port_open(lab.v, "tap,fd=mine", &err)); /* taken over by the first */
	assert_int_equal(err.code, ENOENT);
	vmtap_port_close(lab.tap);
	assert_false(is_open(fd));
	assert_int_equal(vmtap_add_fd(lab.v, "mine", 2, &err), 0); /* the name is free again */
	lab_close(&lab);
}

static void queues_can_be_given_by_names_and_numbers(void **state)
{
	struct vmtap_error err = { 0 };
	char spec[64];
	struct lab lab;
	int fds[3];

	for (int i = 0; i < 3; i++)
		fds[i] = open_tap("vm0", IFF_MULTI_QUEUE);
	lab_open_ports(&lab, NULL, 12);
	lab_run("ip link set vm0 up");
	assert_int_equal(vmtap_add_fd(lab.v, "a", fds[0], &err), 0);
	assert_int_equal(vmtap_add_fd(lab.v, "c", fds[2], &err), 0);
	snprintf(spec, sizeof(spec), "tap,fds=a:%d:c", fds[1]);
	lab.tap = vmtap_port_open(lab.v, spec, &err);
	assert_non_null(lab.tap);
	lab.type = 0x0800;
	lab_link(&lab);
	for (unsigned q = 0; q < 3; q++)
		assert_int_equal(vmtap_port_fd(lab.tap, q), fds[q]);
	send_flows(&lab, 3);
	check_flows(&lab, 3);
	lab_close(&lab);
	for (int i = 0; i < 3; i++)
		assert_false(is_open(fds[i]));
}

static void names_of_descriptors_are_checked(void **state)
{
	struct vmtap_error err = { 0 };
	char longest[300];
	struct lab lab;
	int fd = dup(2);

	memset(longest, 'x', sizeof(longest));
	longest[255] = '\0';
	lab_open_ports(&lab, NULL, 0);
	assert_int_equal(vmtap_add_fd(lab.v, "", fd, &err), -EINVAL);
	assert_int_equal(vmtap_add_fd(lab.v, "1st", fd, &err), -EINVAL);
	assert_int_equal(vmtap_add_fd(lab.v, "mine", 999, &err), -EBADF);
	assert_int_equal(vmtap_add_fd(lab.v, "mine", -1, &err), -EBADF);
	assert_int_equal(vmtap_add_fd(lab.v, "mine", fd, &err), 0);
	assert_int_equal(vmtap_add_fd(lab.v, "mine", 2, &err), -EEXIST);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	longest[255] = 'x';
	longest[256] = '\0';
	assert_int_equal(vmtap_add_fd(lab.v, longest, 2, &err), -EINVAL);
	lab_close(&lab);
	assert_false(is_open(fd)); /* nobody used it: it went with the instance */
	assert_true(is_open(2));
}

static void a_refused_descriptor_goes_if_it_had_a_name(void **state)
{
	struct vmtap_error err = { 0 };
	char spec[32];
	struct lab lab;
	int named = dup(2), numbered = dup(2);

	lab_open_ports(&lab, NULL, 0);
	assert_int_equal(vmtap_add_fd(lab.v, "mine", named, &err), 0);
	assert_null(vmtap_port_open(lab.v, "tap,fd=mine", &err));
	assert_int_equal(err.code, EINVAL);
	assert_false(is_open(named));
	snprintf(spec, sizeof(spec), "tap,fd=%d", numbered);
	assert_null(vmtap_port_open(lab.v, spec, &err));
	assert_true(is_open(numbered));
	close(numbered);
	lab_close(&lab);
}

static void check_leaves_a_named_descriptor_where_it_is(void **state)
{
	struct vmtap_error err = { 0 };
	struct lab lab;
	int fd = open_tap("vm0", 0);

	lab_open_ports(&lab, NULL, 0);
	assert_int_equal(vmtap_add_fd(lab.v, "mine", fd, &err), 0);
	assert_int_equal(vmtap_add_fd(lab.v, "other", dup(2), &err), 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(vmtap_port_check(lab.v, "tap,fd=mine", &err), 0);
		assert_int_equal(vmtap_port_check(lab.v, "tap,fd=other", &err), -EINVAL);
		assert_int_equal(vmtap_port_check(lab.v, "tap,fd=nobody", &err), -ENOENT);
	}
	lab.tap = vmtap_port_open(lab.v, "tap,fd=mine", &err);
	assert_non_null(lab.tap);
	lab_close(&lab);
}

/* ------------------------------------------------------------------ the host's loop */

/* Both directions, driven by nothing but one descriptor in @wait. */
static void drive(bool (*wait)(int fd))
{
	struct lab lab;

	lab_open(&lab, "");
	for (unsigned n = 0; n < 100; n++) {
		lab_frame(buf, 100, n);
		lab_kernel_send(&lab, buf, 100);
	}
	while (lab.frame_cnt < 100) {
		assert_true(wait(vmtap_fd(lab.v)));
		assert_int_equal(vmtap_dispatch(lab.v, 0), 0);
	}
	lab_settle(&lab);
	assert_false(wait(vmtap_fd(lab.v))); /* nothing to do, and it says so */
	lab_close(&lab);
}

static bool wait_with_poll(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 200) == 1;
}

static bool wait_with_select(int fd)
{
	struct timeval tv = { .tv_usec = 200000 };
	fd_set set;

	FD_ZERO(&set);
	FD_SET(fd, &set);
	return select(fd + 1, &set, NULL, NULL, &tv) == 1;
}

static bool wait_with_epoll(int fd)
{
	struct epoll_event ev = { .events = EPOLLIN };
	int ep = epoll_create1(EPOLL_CLOEXEC), ret;

	assert_int_equal(epoll_ctl(ep, EPOLL_CTL_ADD, fd, &ev), 0);
	ret = epoll_wait(ep, &ev, 1, 200);
	close(ep);
	return ret == 1;
}

static void one_descriptor_drives_it_in_any_loop(void **state)
{
	drive(wait_with_poll);
	drive(wait_with_select);
	drive(wait_with_epoll);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(queues_can_be_detached_and_attached_again),
		cmocka_unit_test(queues_can_be_changed_before_the_link_and_while_frames_wait),
		cmocka_unit_test(what_waits_for_a_queue_goes_on_when_that_is_detached),
		cmocka_unit_test(wrong_queues_are_refused),
		cmocka_unit_test(each_queue_has_its_descriptor),
		cmocka_unit_test(a_descriptor_can_be_given_by_name),
		cmocka_unit_test(queues_can_be_given_by_names_and_numbers),
		cmocka_unit_test(names_of_descriptors_are_checked),
		cmocka_unit_test(a_refused_descriptor_goes_if_it_had_a_name),
		cmocka_unit_test(check_leaves_a_named_descriptor_where_it_is),
		cmocka_unit_test(one_descriptor_drives_it_in_any_loop),
	};

	return lab_main(argc, argv, tests);
}
