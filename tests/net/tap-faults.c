/* SPDX-License-Identifier: MIT */
/*
 * Kernels that lack something, and system calls that fail.
 *
 * This program's read(), write(), writev() and ioctl() stand in front of the C
 * library's, so that a claim can have the next ones on a TAP fail as a kernel
 * would that this one is not.
 */
#include "tap-lab.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#define STANDS_IN __attribute__((visibility("default")))

#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

/** struct fault - The next @times calls fail with @code; @calls counts all of them. */
struct fault {
	int code;
	unsigned times, calls;
};

static struct fault reads, writes;

/* ioctls: @request fails with @code; offloads fail with EINVAL when they have a bit of @lacks. */
static struct {
	unsigned long request;
	int code;
	unsigned long lacks;
	unsigned hide;		   /* flags that TUNGETFEATURES does not show */
	const char *before_attach; /* a command that comes in between, once */
} no_ioctl;

static bool is_tap(int fd)
{
	char path[64], to[64] = "";

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return readlink(path, to, sizeof(to) - 1) > 0 && strcmp(to, "/dev/net/tun") == 0;
}

static bool fails(struct fault *f, int fd)
{
	if (!f->times || !is_tap(fd))
		return false;
	f->calls++;
	f->times--;
	errno = f->code;
	return true;
}

STANDS_IN ssize_t read(int fd, void *to, size_t len)
{
	return fails(&reads, fd) ? -1 : syscall(SYS_read, fd, to, len);
}

STANDS_IN ssize_t write(int fd, const void *from, size_t len)
{
	return fails(&writes, fd) ? -1 : syscall(SYS_write, fd, from, len);
}

STANDS_IN ssize_t writev(int fd, const struct iovec *iov, int cnt)
{
	return fails(&writes, fd) ? -1 : syscall(SYS_writev, fd, iov, cnt);
}

STANDS_IN int ioctl(int fd, unsigned long request, ...)
{
	unsigned long arg;
	va_list ap;
	long ret;

	va_start(ap, request);
	arg = va_arg(ap, unsigned long);
	va_end(ap);
	if (request == TUNSETIFF && no_ioctl.before_attach) {
		lab_run(no_ioctl.before_attach);
		no_ioctl.before_attach = NULL;
	}
	if (no_ioctl.request && request == no_ioctl.request) {
		errno = no_ioctl.code;
		return -1;
	}
	if (request == TUNSETOFFLOAD && (arg & no_ioctl.lacks)) {
		errno = EINVAL;
		return -1;
	}
	ret = syscall(SYS_ioctl, fd, request, arg);
	if (ret == 0 && request == TUNGETFEATURES)
		*(unsigned *)arg &= ~no_ioctl.hide;
	return (int)ret;
}

/* ------------------------------------------------------------------------ frames */

static unsigned char buf[LAB_FRAME_MAX];

static void open_plain(struct lab *lab, const char *options)
{
	reads = writes = (struct fault) { 0 };
	setenv("LAB_PLAIN", "1", 1); /* io_uring does not come by here */
	lab_open(lab, options);
}

static ssize_t send_number(struct lab *lab, unsigned n)
{
	unsigned size = n % 2 ? 200 : 1400; /* by write() and by writev() */

	lab_frame(buf, size, n);
	return vmtap_send_raw(lab->app, buf, size, NULL, NULL) ? 1 : 0;
}

static void an_interrupted_write_is_retried(void **state)
{
	struct lab lab;

	open_plain(&lab, "");
	for (unsigned n = 0; n < 4; n++) {
		writes = (struct fault) { EINTR, 3, 0 };
		assert_int_equal(send_number(&lab, n), 1);
		assert_int_equal(writes.calls, 3);
	}
	lab_kernel_expect(&lab, lab.packet, 0, 4);
	assert_int_equal(lab_drops(&lab_stats(lab.tap)->tx), 0);
	lab_close(&lab);
}

static void an_interrupted_read_is_retried(void **state)
{
	struct lab lab;

	open_plain(&lab, "");
	lab_frame(buf, 100, 0);
	lab_kernel_send(&lab, buf, 100);
	reads = (struct fault) { EINTR, 3, 0 };
	lab_wait(&lab, 1);
	assert_int_equal(reads.calls, 3);
	assert_int_equal(lab_drops(&lab_stats(lab.tap)->rx), 0);
	lab_close(&lab);
}

static void a_full_device_is_waited_for_in_order(void **state)
{
	struct lab lab;

	open_plain(&lab, ",sndbuf=100k");
	writes = (struct fault) { EAGAIN, 1, 0 };
	for (unsigned n = 0; n < 10; n++)
		assert_int_equal(send_number(&lab, n), 0); /* all behind the first */
	assert_int_equal(writes.calls, 1);
	assert_int_equal(lab_stats(lab.tap)->tx_holds, 1);
	lab_kernel_expect(&lab, lab.packet, 0, 10);
	assert_int_equal(lab_stats(lab.tap)->tx.frames, 10);
	assert_int_equal(lab_drops(&lab_stats(lab.tap)->tx), 0);
	lab_close(&lab);
}

static void other_errors_drop_the_frame_and_are_counted_by_cause(void **state)
{
	static const struct {
		int code;
		enum vmtap_drop cause;
	} cases[] = {
		{ EIO, VMTAP_DROP_IF_DOWN }, { EINVAL, VMTAP_DROP_REFUSED },
		{ ENOMEM, VMTAP_DROP_IO },   { ENOBUFS, VMTAP_DROP_IO },
		{ EMSGSIZE, VMTAP_DROP_IO },
	};
	struct lab lab;

	open_plain(&lab, "");
	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		uint64_t before = lab_stats(lab.tap)->tx.drops[cases[i].cause];

		writes = (struct fault) { cases[i].code, 1, 0 };
		assert_int_equal(send_number(&lab, 999), 1); /* done with, whatever became of it */
		assert_int_equal(send_number(&lab, i), 1);
		lab_kernel_expect(&lab, lab.packet, i, i + 1);
		assert_int_equal(lab_stats(lab.tap)->tx.drops[cases[i].cause], before + 1);
	}
	assert_int_equal(lab_stats(lab.tap)->tx.frames, 5);
	assert_int_equal(lab_drops(&lab_stats(lab.tap)->tx), 5);
	assert_int_equal(vmtap_port_state(lab.tap), VMTAP_PORT_UP);
	lab_close(&lab);
}

static void a_frame_that_cannot_be_read_is_one_frame_lost(void **state)
{
	static const int codes[] = { EINVAL, ENOMEM, EIO };
	struct lab lab;

	open_plain(&lab, "");
	for (unsigned i = 0; i < 3; i++) {
		reads = (struct fault) { codes[i], 1, 0 };
		lab_frame(buf, 100, i);
		lab_kernel_send(&lab, buf, 100);
		lab_wait(&lab, i + 1); /* here the frame itself is still there */
		assert_int_equal(lab_stats(lab.tap)->rx.drops[VMTAP_DROP_IO], i + 1);
	}
	assert_int_equal(vmtap_port_state(lab.tap), VMTAP_PORT_UP);
	lab_close(&lab);
}

static void a_device_that_says_it_is_gone_is_gone(void **state)
{
	struct lab lab;

	open_plain(&lab, "");
	reads = (struct fault) { EBADFD, 1, 0 };
	lab_frame(buf, 100, 0);
	lab_kernel_send(&lab, buf, 100);
	while (vmtap_port_state(lab.tap) == VMTAP_PORT_UP)
		vmtap_dispatch(lab.v, 1000);
	assert_int_equal(vmtap_port_error(lab.tap)->code, ENODEV);
	lab_close(&lab);

	open_plain(&lab, "");
	writes = (struct fault) { EBADFD, 1, 0 };
	assert_int_equal(send_number(&lab, 0), 1);
	assert_int_equal(vmtap_port_state(lab.tap), VMTAP_PORT_BROKEN);
	assert_int_equal(lab_stats(lab.tap)->tx.drops[VMTAP_DROP_PEER_GONE], 1);
	assert_int_equal(lab_stats(lab.tap)->tx.frames, 0);
	lab_close(&lab);
}

/* A write fails inside the turn of reading that gave the application its frame. */
static void lose_it(struct lab *lab)
{
	unsigned char frame[100];

	lab_frame(frame, sizeof(frame), 0);
	writes = (struct fault) { EBADFD, 1, 0 };
	vmtap_send_raw(lab->app, frame, sizeof(frame), NULL, NULL);
	lab->on_frame = NULL;
}

static void a_device_lost_while_its_frames_are_taken_is_read_no_more(void **state)
{
	struct lab lab;

	open_plain(&lab, ",reconnect-ms=60000");
	for (unsigned n = 0; n < 200; n++) {
		lab_frame(buf, 100, n);
		lab_kernel_send(&lab, buf, 100);
	}
	lab.on_frame = lose_it;
	while (vmtap_port_state(lab.tap) == VMTAP_PORT_UP)
		vmtap_dispatch(lab.v, 1000);
	assert_int_equal(vmtap_port_fd(lab.tap, 0), -1);
	lab_settle(&lab);
	assert_in_range(lab.frame_cnt, 1, 64); /* the burst that was read */
	assert_int_equal(lab.event_state, VMTAP_PORT_WAITING);
	assert_int_equal(lab_drops(&lab_stats(lab.tap)->rx), 0); /* nobody read from -1 */
	lab_close(&lab);
}

/* ---------------------------------------------------------------- older kernels */

static void lacking(unsigned long request, int code)
{
	memset(&no_ioctl, 0, sizeof(no_ioctl));
	no_ioctl.request = request;
	no_ioctl.code = code;
}

static void lacking_nothing(void)
{
	lacking(0, 0);
}

static void frames_pass(struct lab *lab)
{
	lab_frame(buf, 300, 1);
	assert_int_equal(vmtap_send_raw(lab->app, buf, 300, NULL, NULL), 300);
	lab_kernel_expect(lab, lab->packet, 1, 2);
	lab_forget(lab);
	lab_kernel_send(lab, buf, 300);
	lab_wait(lab, 1);
	assert_int_equal(lab_number(lab->frames[0].data, lab->frames[0].len), 1);
}

/* It fails, says why, and leaves nothing. */
static void cannot_open(const char *options, int code, const char *says)
{
	struct vmtap_error err = { 0 };
	struct lab lab;
	char spec[200];

	snprintf(spec, sizeof(spec), LAB_TAP "%s", options);
	lab_open_ports(&lab, NULL, 0);
	assert_null(vmtap_port_open(lab.v, spec, &err));
	assert_int_equal(err.code, code);
	if (!strstr(err.action, says) && !strstr(err.reason, says))
		fail_msg("cannot %s: %s", err.action, err.reason);
	assert_int_equal(if_nametoindex("vm0"), 0);
	lab_close(&lab);
}

static void without_headers_in_the_kernel_there_are_none(void **state)
{
	struct lab lab;

	lacking_nothing();
	no_ioctl.hide = IFF_VNET_HDR;
	cannot_open(",vnet_hdr=on", EOPNOTSUPP, "vnet_hdr=on");
	open_plain(&lab, "");
	assert_false(vmtap_port_has_vnet_hdr(lab.tap));
	frames_pass(&lab);
	lab_close(&lab);
	open_plain(&lab, ",vnet_hdr=off");
	frames_pass(&lab);
	lab_close(&lab);
}

static void without_header_lengths_it_has_10_bytes(void **state)
{
	struct vmtap_error err;
	struct lab lab;

	lacking(TUNSETVNETHDRSZ, EINVAL);
	open_plain(&lab, "");
	assert_true(vmtap_port_has_vnet_hdr(lab.tap));
	assert_true(vmtap_port_has_vnet_hdr_len(lab.tap, 10));
	assert_false(vmtap_port_has_vnet_hdr_len(lab.tap, 12));
	assert_true(vmtap_port_set_vnet_hdr_len(lab.tap, 12, &err) < 0);
	frames_pass(&lab);
	lab_close(&lab);
}

static void offloads_that_the_kernel_lacks_do_not_take_the_rest_along(void **state)
{
	const unsigned all = VMTAP_OFFLOAD_CSUM | VMTAP_OFFLOAD_TSO4 | VMTAP_OFFLOAD_TSO6 |
			     VMTAP_OFFLOAD_ECN | VMTAP_OFFLOAD_UFO;
	static const struct {
		unsigned long lacks;
		unsigned missing;
	} kernels[] = {
		{ TUN_F_USO4 | TUN_F_USO6, VMTAP_OFFLOAD_USO4 | VMTAP_OFFLOAD_USO6 },
		{ TUN_F_UFO, VMTAP_OFFLOAD_UFO },
		{ TUN_F_TSO_ECN, VMTAP_OFFLOAD_ECN },
		{ TUN_F_TSO4 | TUN_F_TSO6,
		  VMTAP_OFFLOAD_TSO4 | VMTAP_OFFLOAD_TSO6 | VMTAP_OFFLOAD_ECN },
		{ TUN_F_CSUM, VMTAP_OFFLOAD_ALL },
	};
	struct vmtap_error err;

	for (unsigned i = 0; i < sizeof(kernels) / sizeof(kernels[0]); i++) {
		struct lab lab;
		int ret;

		lacking_nothing();
		no_ioctl.lacks = kernels[i].lacks;
		open_plain(&lab, "");
		assert_int_equal(vmtap_port_has_uso(lab.tap),
				 !(kernels[i].lacks & (TUN_F_USO4 | TUN_F_CSUM)) &&
					 vmtap_port_has_uso(lab.tap));
		for (unsigned bits = 0; bits <= VMTAP_OFFLOAD_ALL; bits++) {
			ret = vmtap_port_set_offload(lab.tap, bits, &err);
			assert_true(ret >= 0);
			assert_int_equal((unsigned)ret & (kernels[i].missing | ~bits), 0);
		}
		/* what it has, it keeps, apart from what needs the missing one, or went before it */
		if (i == 0)
			assert_int_equal(ret & (int)all, all);
		if (i < 4)
			assert_true(ret & VMTAP_OFFLOAD_CSUM);
		if (i < 3)
			assert_true(ret & VMTAP_OFFLOAD_TSO4);
		frames_pass(&lab);
		lab_close(&lab);
	}
	lacking_nothing();
}

static void a_refused_send_buffer_matters_only_when_asked_for(void **state)
{
	struct lab lab;

	lacking(TUNSETSNDBUF, EINVAL);
	cannot_open(",sndbuf=100k", EINVAL, "sndbuf=102400");
	cannot_open(",sndbuf=0,queues=3", EINVAL, "sndbuf=0");
	open_plain(&lab, "");
	frames_pass(&lab);
	lab_close(&lab);
}

static void a_step_that_fails_closes_everything(void **state)
{
	static const struct {
		unsigned long request;
		const char *options, *says;
	} steps[] = {
		{ TUNSETIFF, "", "create the device" },
		{ TUNSETOFFLOAD, "", "offload" },
		{ TUNSETOWNER, ",owner=0", "set the owner" },
		{ TUNSETGROUP, ",group=0", "set the group" },
		{ TUNSETPERSIST, ",persist=on", "persistence" },
	};

	for (unsigned i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		lacking(steps[i].request, ENOMEM);
		cannot_open(steps[i].options, ENOMEM, steps[i].says);
	}
	lacking_nothing();
}

static void without_carrier_in_the_kernel_the_peer_is_told_all_the_same(void **state)
{
	struct vmtap_error err = { 0 };
	struct lab lab;

	lacking_nothing();
	open_plain(&lab, "");
	lacking(TUNSETCARRIER, EINVAL);
	assert_int_equal(vmtap_port_set_link(lab.tap, false, &err), 0);
	assert_false(lab.link_up);
	assert_int_equal(vmtap_port_set_link(lab.tap, true, &err), 0);
	lacking(TUNSETCARRIER, EPERM);
	assert_int_equal(vmtap_port_set_link(lab.tap, false, &err), -EPERM);
	assert_true(lab.link_up); /* nothing changed */
	lacking_nothing();
	frames_pass(&lab);
	lab_close(&lab);
}

static void a_queue_that_cannot_be_detached_is_still_read(void **state)
{
	struct vmtap_error err = { 0 };
	struct lab lab;
	unsigned cnt = 0;

	lacking_nothing();
	open_plain(&lab, ",queues=2");
	lab.type = 0;
	lacking(TUNSETQUEUE, EPERM);
	assert_int_equal(vmtap_port_set_queue(lab.tap, 1, false, &err), -EPERM);
	lab_run("ip addr add 10.0.0.1/24 dev vm0 && for i in $(seq 20); do "
		"ip neigh add 10.0.0.$((i+1)) lladdr 02:00:00:00:00:02 dev vm0; "
		"ping -c 1 -W 0.01 -q 10.0.0.$((i+1)) >/dev/null; done; true");
	lab_settle(&lab);
	for (unsigned i = 0; i < lab.frame_cnt; i++)
		cnt += lab.frames[i].data[23] == 1; /* of many flows, in both queues */
	assert_int_equal(cnt, 20);
	lacking_nothing();
	assert_int_equal(vmtap_port_set_queue(lab.tap, 1, false, &err), 0);
	lacking(TUNSETQUEUE, EPERM);
	assert_int_equal(vmtap_port_set_queue(lab.tap, 1, true, &err), -EPERM);
	lacking_nothing();
	assert_int_equal(vmtap_port_set_queue(lab.tap, 1, true, &err), 0);
	lab_close(&lab);
}

/* Between seeing that the device is there again and attaching to it, it goes: attaching would make
 * one, which is not what was waited for. */
static void a_device_that_goes_again_is_not_made_by_mistake(void **state)
{
	struct lab lab;

	lacking_nothing();
	open_plain(&lab, ",reconnect-ms=5");
	lab_run("ip link del vm0");
	while (vmtap_port_state(lab.tap) == VMTAP_PORT_UP)
		vmtap_dispatch(lab.v, 1000);
	no_ioctl.before_attach = "ip link del vm0";
	lab_run("ip tuntap add vm0 mode tap");
	while (no_ioctl.before_attach)
		vmtap_dispatch(lab.v, 1000);
	assert_int_equal(vmtap_port_state(lab.tap), VMTAP_PORT_WAITING);
	assert_int_equal(if_nametoindex("vm0"), 0);
	lab_run("ip tuntap add vm0 mode tap && ip link set vm0 up");
	while (vmtap_port_state(lab.tap) != VMTAP_PORT_UP)
		vmtap_dispatch(lab.v, 1000);
	close(lab.packet);
	lab.packet = lab_packet_socket("vm0");
	frames_pass(&lab);
	lab_close(&lab);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_interrupted_write_is_retried),
		cmocka_unit_test(an_interrupted_read_is_retried),
		cmocka_unit_test(a_full_device_is_waited_for_in_order),
		cmocka_unit_test(other_errors_drop_the_frame_and_are_counted_by_cause),
		cmocka_unit_test(a_frame_that_cannot_be_read_is_one_frame_lost),
		cmocka_unit_test(a_device_that_says_it_is_gone_is_gone),
		cmocka_unit_test(a_device_lost_while_its_frames_are_taken_is_read_no_more),
		cmocka_unit_test(without_headers_in_the_kernel_there_are_none),
		cmocka_unit_test(without_header_lengths_it_has_10_bytes),
		cmocka_unit_test(offloads_that_the_kernel_lacks_do_not_take_the_rest_along),
		cmocka_unit_test(a_refused_send_buffer_matters_only_when_asked_for),
		cmocka_unit_test(a_step_that_fails_closes_everything),
		cmocka_unit_test(without_carrier_in_the_kernel_the_peer_is_told_all_the_same),
		cmocka_unit_test(a_queue_that_cannot_be_detached_is_still_read),
		cmocka_unit_test(a_device_that_goes_again_is_not_made_by_mistake),
	};

	return lab_main(argc, argv, tests);
}
