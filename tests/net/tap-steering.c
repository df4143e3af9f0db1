/* SPDX-License-Identifier: MIT */
/* On which queue of a TAP a frame comes: by flow, or as a program says. */
#include "tap-lab.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "steer-prog.h"

#define QUEUES 4
#define HDR 12
#define NUMBER_AT 17 /* the last byte of a lab frame's number */
#define PORT_AT 37   /* the last byte of a datagram's destination port */

static unsigned char buf[LAB_FRAME_MAX];

static int load(int at, int value)
{
	int fd = steer_load(BPF_PROG_TYPE_SOCKET_FILTER, at, value);

	if (fd < 0 && (errno == EPERM || errno == ENOSYS)) {
		print_message("no program may be loaded here\n");
		skip();
	}
	assert_true(fd >= 0);
	return fd;
}

/* Nobody but the claim reads the queues. */
static void open_tap(struct lab *lab, const char *options)
{
	char spec[200];

	snprintf(spec, sizeof(spec), LAB_TAP ",%s", options);
	lab_open_ports(lab, spec, HDR);
	lab_run("ip addr replace 10.0.0.1/24 dev vm0; ip neigh replace 10.0.0.2 lladdr 02:00:00:00:00:02 dev vm0");
	lab->packet = lab_packet_socket("vm0");
}

/* With the program that is named `prog`. */
static void open_steered(struct lab *lab, const char *options, int prog)
{
	char spec[200];

	assert_true(prog >= 0);
	lab_open_ports(lab, NULL, HDR);
	assert_int_equal(vmtap_add_fd(lab->v, "prog", prog, NULL), 0);
	snprintf(spec, sizeof(spec), LAB_TAP ",steering=prog,%s", options);
	lab->tap = vmtap_port_open(lab->v, spec, NULL);
	assert_non_null(lab->tap);
	lab->packet = lab_packet_socket("vm0");
}

/* The queue of the next frame of @type, which is in buf afterwards, behind its header. */
static unsigned next_queue(struct vmtap_port *tap, unsigned type)
{
	for (;;) {
		struct pollfd p[QUEUES];

		for (unsigned i = 0; i < QUEUES; i++)
			p[i] = (struct pollfd) { .fd = vmtap_port_fd(tap, i), .events = POLLIN };
		assert_true(poll(p, QUEUES, 10000) > 0);
		for (unsigned i = 0; i < QUEUES; i++) {
			if (!(p[i].revents & POLLIN) || read(p[i].fd, buf, sizeof(buf)) < HDR + 18)
				continue;
			if ((unsigned)(buf[HDR + 12] << 8 | buf[HDR + 13]) == type)
				return i;
		}
	}
}

/* As a program that takes the number's last byte, modulo @queues, would have it. */
static void check_by_number(struct lab *lab, unsigned queues)
{
	static unsigned char out[100];

	for (unsigned n = 0; n < 3 * QUEUES; n++) {
		lab_frame(out, sizeof(out), n);
		lab_kernel_send(lab, out, sizeof(out));
		assert_int_equal(next_queue(lab->tap, LAB_TYPE), n % queues);
		assert_memory_equal(buf + HDR, out, sizeof(out));
	}
}

static void check_constant(struct lab *lab, unsigned queue)
{
	static unsigned char out[100];

	for (unsigned n = 0; n < 2 * QUEUES; n++) {
		lab_frame(out, sizeof(out), n);
		lab_kernel_send(lab, out, sizeof(out));
		assert_int_equal(next_queue(lab->tap, LAB_TYPE), queue);
	}
}

/* ------------------------------------------------------------------------ by flow */

/* From the guest's port @flow, on queue @queue. */
static void guest_sends(struct lab *lab, unsigned flow, unsigned queue)
{
	unsigned char f[HDR + 60] = { 0 };
	static const unsigned char head[] = {
		0,    0,  0,	0,    0, 0,  2, 0, 0,  0,  0,	 2,    8,  0, /* Ethernet, the address is filled in */
		0x45, 0,  0,	46,   0, 0,  0, 0, 64, 17, 0x66, 0xbd, 10, 0, 0,
		2,    10, 0,	0,    1,	   /* IPv4 */
		0,    0,  0x07, 0xd0, 0, 26, 0, 0, /* UDP to 2000, without checksum */
	};
	struct ifreq ifr = { 0 };
	int fd = vmtap_port_fd(lab->tap, queue);

	memcpy(f + HDR, head, sizeof(head));
	strcpy(ifr.ifr_name, "vm0");
	assert_int_equal(ioctl(lab->packet, SIOCGIFHWADDR, &ifr), 0);
	memcpy(f + HDR, ifr.ifr_hwaddr.sa_data, 6);
	f[HDR + 34] = (unsigned char)(flow >> 8);
	f[HDR + 35] = (unsigned char)flow;
	assert_int_equal(write(fd, f, sizeof(f)), sizeof(f));
}

/* The host's end of all flows; it is there before the guest's datagrams, or they would be answered as
 * unwanted. */
static int host_socket(void)
{
	int sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in from = { .sin_family = AF_INET, .sin_port = htons(2000) };

	assert_int_equal(bind(sock, (struct sockaddr *)&from, sizeof(from)), 0);
	return sock;
}

static void host_answers(int sock, unsigned flow)
{
	struct sockaddr_in to = { .sin_family = AF_INET,
				  .sin_port = htons((uint16_t)flow),
				  .sin_addr.s_addr = htonl(0x0a000002) };

	assert_int_equal(sendto(sock, "x", 1, 0, (struct sockaddr *)&to, sizeof(to)), 1);
}

static void check_flows_stay(struct lab *lab)
{
	int sock = host_socket();

	for (unsigned turn = 0; turn < 2; turn++) {
		for (unsigned flow = 0; flow < 16; flow++)
			guest_sends(lab, 3000 + flow, (flow + turn) % QUEUES);
		for (unsigned flow = 0; flow < 16; flow++) {
			host_answers(sock, 3000 + flow);
			assert_int_equal(next_queue(lab->tap, 0x0800), (flow + turn) % QUEUES);
			assert_int_equal(buf[HDR + PORT_AT], (3000 + flow) & 0xff);
		}
	}
	close(sock);
}

static void an_answer_comes_on_the_queue_on_which_its_flow_was_sent(void **state)
{
	struct lab lab;

	open_tap(&lab, "queues=4");
	check_flows_stay(&lab);
	lab_close(&lab);
	open_tap(&lab, "queues=4,steering=auto");
	check_flows_stay(&lab);
	lab_close(&lab);
}

/* ------------------------------------------------------------------- as a program says */

static void a_program_says_which_queue(void **state)
{
	struct lab lab;

	open_steered(&lab, "queues=4", load(NUMBER_AT, 0));
	check_by_number(&lab, 4);
	lab_close(&lab);
	open_steered(&lab, "queues=4", load(-1, 2));
	check_constant(&lab, 2);
	lab_close(&lab);
}

static void a_queue_beyond_the_last_is_taken_modulo(void **state)
{
	struct vmtap_error err = { 0 };
	struct lab lab;

	open_steered(&lab, "queues=4", load(-1, 7));
	check_constant(&lab, 3);
	lab_close(&lab);

	open_steered(&lab, "queues=4", load(NUMBER_AT, 0));
	vmtap_port_set_poll(lab.tap, false); /* the queues stay the claim's */
	lab_link(&lab);
	assert_int_equal(vmtap_port_set_queue(lab.tap, 3, false, &err), 0);
	check_by_number(&lab, 3);
	assert_int_equal(vmtap_port_set_queue(lab.tap, 3, true, &err), 0);
	check_by_number(&lab, 4);
	lab_close(&lab);
}

static void flows_do_not_move_what_a_program_steers(void **state)
{
	int sock = host_socket();
	struct lab lab;

	open_steered(&lab, "queues=4", load(-1, 1));
	lab_run("ip addr replace 10.0.0.1/24 dev vm0; ip neigh replace 10.0.0.2 lladdr 02:00:00:00:00:02 dev vm0");
	for (unsigned queue = 0; queue < QUEUES; queue++) {
		guest_sends(&lab, 3000, queue);
		host_answers(sock, 3000);
		assert_int_equal(next_queue(lab.tap, 0x0800), 1);
	}
	close(sock);
	lab_close(&lab);
}

/* ---------------------------------------------------------------- for as long as the port */

static void the_program_goes_with_the_port(void **state)
{
	struct lab lab;

	lab_run("ip tuntap add vm0 mode tap multi_queue && ip link set vm0 up");
	open_steered(&lab, "queues=4", load(-1, 1));
	check_constant(&lab, 1);
	lab_close(&lab);
	open_tap(&lab, "queues=4");
	check_flows_stay(&lab);
	lab_close(&lab);
	lab_run("ip link del vm0");
}

static void attach_by_hand(int prog)
{
	struct ifreq ifr = { .ifr_flags = IFF_TAP | IFF_NO_PI | IFF_MULTI_QUEUE | IFF_VNET_HDR };
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);

	strcpy(ifr.ifr_name, "vm0");
	assert_int_equal(ioctl(fd, TUNSETIFF, &ifr), 0);
	assert_int_equal(ioctl(fd, TUNSETSTEERINGEBPF, &prog), 0);
	close(fd);
	close(prog);
}

static void somebody_elses_program_stays_unless_it_is_taken_off(void **state)
{
	static const char *const off[] = { "auto", "none", "-1" };
	char options[40];
	struct lab lab;

	lab_run("ip tuntap add vm0 mode tap multi_queue && ip link set vm0 up");
	for (unsigned i = 0; i < 3; i++) {
		attach_by_hand(load(-1, 1));
		for (unsigned n = 0; n < 2; n++) {
			open_tap(&lab, "queues=4");
			check_constant(&lab, 1);
			lab_close(&lab);
		}
		snprintf(options, sizeof(options), "queues=4,steering=%s", off[i]);
		open_tap(&lab, options);
		check_flows_stay(&lab);
		lab_close(&lab);
	}
	lab_run("ip link del vm0");
}

static bool is_up(struct lab *lab)
{
	return vmtap_port_state(lab->tap) == VMTAP_PORT_UP;
}

static bool is_waiting(struct lab *lab)
{
	return vmtap_port_state(lab->tap) == VMTAP_PORT_WAITING;
}

static void a_device_that_comes_again_has_the_program_again(void **state)
{
	struct lab lab;

	open_steered(&lab, "queues=4,reconnect-ms=10", load(NUMBER_AT, 0));
	lab_link(&lab);
	lab_run("ip link del vm0");
	lab_until(&lab, is_waiting);
	lab_run("ip tuntap add vm0 mode tap multi_queue && ip link set vm0 up");
	lab_until(&lab, is_up);
	close(lab.packet);
	lab.packet = lab_packet_socket("vm0");
	vmtap_port_set_poll(lab.tap, false);
	check_by_number(&lab, 4);
	lab_close(&lab);
	lab_run("ip link del vm0");
}

/* ------------------------------------------------------------------------- what is refused */

static void refused(struct lab *lab, const char *spec, int code, const char *why)
{
	struct vmtap_error err = { 0 };

	assert_null(vmtap_port_open(lab->v, spec, &err));
	assert_int_equal(err.code, code);
	if (!strstr(err.reason, why))
		fail_msg("%s: %s", spec, err.reason);
	assert_int_equal(if_nametoindex("vm0"), 0); /* no device was made for it */
}

static void what_is_no_socket_filter_is_refused(void **state)
{
	struct lab lab;
	int xdp, null = open("/dev/null", O_RDWR | O_CLOEXEC), prog = load(-1, 0);
	char spec[100];

	lab_open_ports(&lab, NULL, HDR);
	xdp = steer_load(BPF_PROG_TYPE_XDP, -1, 2);
	assert_true(xdp >= 0);
	snprintf(spec, sizeof(spec), LAB_TAP ",queues=2,steering=%d", xdp);
	refused(&lab, spec, EINVAL, "a socket filter (type 1) is needed");
	snprintf(spec, sizeof(spec), LAB_TAP ",queues=2,steering=%d", null);
	refused(&lab, spec, EINVAL, "is no eBPF program");
	refused(&lab, LAB_TAP ",queues=2,steering=999", EBADF, "is not open");
	refused(&lab, LAB_TAP ",queues=2,steering=nobody", ENOENT,
		"no descriptor was given the name");
	snprintf(spec, sizeof(spec), LAB_TAP ",steering=%d", prog);
	refused(&lab, spec, EINVAL, "with one queue");
	/* numbers that were refused are not ours to close */
	assert_int_equal(close(xdp) | close(null) | close(prog), 0);
	lab_close(&lab);
}

static void check_leaves_a_named_program_where_it_is(void **state)
{
	struct vmtap_error err = { 0 };
	struct lab lab;
	int prog = load(NUMBER_AT, 0);

	lab_open_ports(&lab, NULL, HDR);
	assert_int_equal(vmtap_add_fd(lab.v, "prog", prog, &err), 0);
	assert_int_equal(vmtap_add_fd(lab.v, "other", dup(2), &err), 0);
	for (int i = 0; i < 3; i++) {
		assert_int_equal(vmtap_port_check(lab.v, LAB_TAP ",queues=4,steering=prog", &err),
				 0);
		assert_int_equal(vmtap_port_check(lab.v, LAB_TAP ",queues=4,steering=other", &err),
				 -EINVAL);
	}
	lab.tap = vmtap_port_open(lab.v, LAB_TAP ",queues=4,steering=prog", &err);
	assert_non_null(lab.tap);
	lab.packet = lab_packet_socket("vm0");
	check_by_number(&lab, 4);
	vmtap_port_close(lab.tap);
	lab.tap = NULL;
	assert_int_equal(fcntl(prog, F_GETFD), -1); /* it went with the port */
	lab_close(&lab);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_answer_comes_on_the_queue_on_which_its_flow_was_sent),
		cmocka_unit_test(a_program_says_which_queue),
		cmocka_unit_test(a_queue_beyond_the_last_is_taken_modulo),
		cmocka_unit_test(flows_do_not_move_what_a_program_steers),
		cmocka_unit_test(the_program_goes_with_the_port),
		cmocka_unit_test(somebody_elses_program_stays_unless_it_is_taken_off),
		cmocka_unit_test(a_device_that_comes_again_has_the_program_again),
		cmocka_unit_test(what_is_no_socket_filter_is_refused),
		cmocka_unit_test(check_leaves_a_named_program_where_it_is),
	};

	return lab_main(argc, argv, tests);
}
