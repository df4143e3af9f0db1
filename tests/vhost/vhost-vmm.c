/* SPDX-License-Identifier: MIT */
/* A VMM that links the library and has the kernel's vhost-net carry its guest's frames. */
#include "vmm.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/vhost.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define ACCESS_PLATFORM 33
#define PAGE 4096u

static unsigned size_of(uint32_t number)
{
	return 60 + number * 7919 % 1400;
}

/* Frames @from to @to - 1 from the guest, which arrive in order. */
static void guest_sends(struct vmm *m, uint32_t from, uint32_t to)
{
	for (uint32_t n = from; n < to; n++)
		vmm_send(m, n, size_of(n));
	vmm_sent(m);
	lab_kernel_expect(m->lab, m->lab->packet, from, to);
}

static void kernel_sends(struct vmm *m, uint32_t number)
{
	unsigned char buf[2048];

	lab_frame(buf, size_of(number), number);
	lab_kernel_send(m->lab, buf, size_of(number));
}

static void guest_receives(struct vmm *m, uint32_t from, uint32_t to)
{
	unsigned len;

	for (uint32_t n = from; n < to; n++)
		kernel_sends(m, n);
	for (uint32_t n = from; n < to; n++) {
		assert_int_equal(vmm_receive(m, &len), n);
		assert_int_equal(len, size_of(n));
	}
}

/* ------------------------------------------------------------------- frames */

static void frames_pass_both_ways(void **state)
{
	struct lab lab;
	struct vmm m;

	vmm_open(&m, &lab, "");
	vmm_start(&m);
	guest_sends(&m, 0, 1000);
	guest_receives(&m, 0, 1000);
	/* and nothing of that went through the library */
	assert_int_equal(lab_stats(lab.tap)->rx.frames, 0);
	assert_int_equal(lab_stats(lab.tap)->tx.frames, 0);
	vmm_stop(&m);
	lab_close(&lab);
	vmm_close(&m);
}

static void stopped_rings_go_on_where_they_were(void **state)
{
	struct lab lab;
	struct vmm m;

	vmm_open(&m, &lab, "");
	for (unsigned round = 0; round < 10; round++) {
		const uint32_t from = round * 100;

		vmm_start(&m);
		guest_sends(&m, from, from + 97);
		guest_receives(&m, from, from + 89);
		vmm_stop(&m);
		assert_int_equal(m.base[VMTAP_VHOST_TX], (uint16_t)m.sent);
	}
	lab_close(&lab);
	vmm_close(&m);
}

static void what_comes_while_stopped_waits(void **state)
{
	struct lab lab;
	struct vmm m;

	vmm_open(&m, &lab, "");
	vmm_start(&m);
	guest_receives(&m, 0, 10);
	vmm_stop(&m);
	for (uint32_t n = 10; n < 60; n++) {
		kernel_sends(&m, n);
		vmm_send(&m, n, size_of(n));
	}
	lab_settle(&lab);
	assert_false(vq_has_used(&m.rings[VMTAP_VHOST_RX]));
	vmm_start(&m);
	for (uint32_t n = 10; n < 60; n++)
		assert_int_equal(vmm_receive(&m, NULL), n);
	lab_kernel_expect(&lab, lab.packet, 10, 60);
	lab_close(&lab);
	vmm_close(&m);
}

/* The application's port is linked: it gets the frames before, and after. */
static void while_a_ring_runs_the_port_does_not_read(void **state)
{
	struct lab lab;
	struct vmm m;

	vmm_open(&m, &lab, "");
	lab_link(&lab);
	kernel_sends(&m, 0);
	lab_wait(&lab, 1);
	vmm_start(&m);
	guest_receives(&m, 1, 50);
	lab_settle(&lab);
	assert_int_equal(lab.frame_cnt, 1);
	vmm_stop(&m);
	kernel_sends(&m, 50);
	lab_wait(&lab, 2);
	assert_int_equal(lab_number(lab.frames[1].data, lab.frames[1].len), 50);
	lab_close(&lab);
	vmm_close(&m);
}

/* ------------------------------------------------------------------- memory */

static void memory_may_change_while_rings_run(void **state)
{
	struct lab lab;
	struct vmm m;

	vmm_open(&m, &lab, "");
	vmm_start(&m);
	guest_sends(&m, 0, 50);
	for (unsigned round = 1; round <= 20; round++) {
		/* the same memory in more pieces, that are no neighbours here */
		struct vmtap_vhost_region regions[2] = {
			{ .gpa = 0, .len = VMM_MEM / 2, .host = m.mem },
			{ .gpa = VMM_MEM / 2, .len = VMM_MEM / 2, .host = m.mem + VMM_MEM / 2 },
		};

		if (round % 2)
			regions[1].host = m.mem;
		ok(vmtap_vhost_set_mem(m.vhost, regions, 2, err));
		guest_sends(&m, round * 50, round * 50 + 50);
		guest_receives(&m, round * 50, round * 50 + 50);
	}
	lab_close(&lab);
	vmm_close(&m);
}

static void more_regions_than_the_kernel_takes_are_refused(void **state)
{
	static struct vmtap_vhost_region regions[600];
	struct vmtap_error err = { 0 };
	struct lab lab;
	struct vmm m;

	vmm_open(&m, &lab, "");
	for (unsigned i = 0; i < 600; i++)
		regions[i] =
			(struct vmtap_vhost_region) { 2ull * i * PAGE, PAGE, m.mem + i * PAGE };
	assert_int_equal(vmtap_vhost_set_mem(m.vhost, regions, 600, &err), -E2BIG);
	assert_non_null(strstr(err.reason, "600 regions, and this kernel takes 64"));
	/* the old table is still there */
	vmm_start(&m);
	guest_sends(&m, 0, 10);
	lab_close(&lab);
	vmm_close(&m);
}

static void a_ring_in_no_memory_does_not_start(void **state)
{
	struct vmtap_vhost_ring ring;
	struct vmtap_error err = { 0 };
	struct lab lab;
	struct vmm m;
	int ret;

	vmm_open(&m, &lab, "");
	ring = vmm_ring(&m, VMTAP_VHOST_RX);
	ring.used = 1ull << 63;
	ret = vmtap_vhost_set_ring(m.vhost, VMTAP_VHOST_RX, &ring, &err);
	if (!ret)
		ret = vmtap_vhost_start(m.vhost, VMTAP_VHOST_RX, &err);
	assert_int_equal(ret, -EFAULT);
	assert_non_null(strstr(err.reason, "memory"));
	lab_close(&lab);
	vmm_close(&m);
}

static void what_is_wrong_in_a_ring_is_told(void **state)
{
	const struct vq_buf beyond = { 1ull << 40, 100, false };
	struct lab lab;
	struct vmm m;

	vmm_open(&m, &lab, "");
	vmm_start(&m);
	guest_sends(&m, 0, 10);
	assert_false(vmm_event(m.err[VMTAP_VHOST_TX], 0));
	vq_add(&m.rings[VMTAP_VHOST_TX], &beyond, 1, 0, 127);
	write(m.kick[VMTAP_VHOST_TX], &(uint64_t) { 1 }, 8);
	assert_true(vmm_event(m.err[VMTAP_VHOST_TX], VMM_TIMEOUT_MS));
	/* the other ring is whole */
	guest_receives(&m, 0, 10);
	lab_close(&lab);
	vmm_close(&m);
}

/* ---------------------------------------------------------------- dirty log */

static bool is_marked(const uint8_t *log, uint64_t gpa)
{
	return log[gpa / PAGE / 8] >> gpa / PAGE % 8 & 1;
}

static unsigned count_marked(const uint8_t *log)
{
	unsigned cnt = 0;

	for (unsigned i = 0; i < VMM_MEM / PAGE; i++)
		cnt += is_marked(log, i * (uint64_t)PAGE);
	return cnt;
}

static void what_is_written_is_logged(void **state)
{
	static uint8_t log[VMM_MEM / PAGE / 8] __attribute__((aligned(4096)));
	struct vmtap_error err_ = { 0 };
	struct lab lab;
	struct vmm m;

	vmm_open(&m, &lab, "");
	assert_int_equal(vmtap_vhost_set_features(m.vhost, m.features | 1ull << VHOST_F_LOG_ALL,
						  &err_),
			 -EINVAL);
	ok(vmtap_vhost_set_log(m.vhost, log, -1, err));
	vmm_start(&m);
	guest_receives(&m, 0, 4);
	assert_int_equal(count_marked(log), 0);
	/* while it runs */
	ok(vmtap_vhost_set_features(m.vhost, m.features | 1ull << VHOST_F_LOG_ALL, err));
	ok(vmtap_vhost_set_ring_log(m.vhost, VMTAP_VHOST_RX, true, m.rings[VMTAP_VHOST_RX].used_gpa,
				    err));
	guest_sends(&m, 0, 10); /* reading marks nothing */
	guest_receives(&m, 4, 8);
	assert_true(is_marked(log, m.rings[VMTAP_VHOST_RX].used_gpa));
	assert_true(is_marked(log, VMM_RX_BUFS + 4 * VMM_BUF));
	assert_true(is_marked(log, VMM_RX_BUFS + 6 * VMM_BUF));
	assert_int_equal(count_marked(log), 3);
	memset(log, 0, sizeof(log));
	ok(vmtap_vhost_set_ring_log(m.vhost, VMTAP_VHOST_RX, false, 0, err));
	ok(vmtap_vhost_set_features(m.vhost, m.features, err));
	guest_receives(&m, 8, 12);
	assert_int_equal(count_marked(log), 0);
	lab_close(&lab);
	vmm_close(&m);
}

/* -------------------------------------------------------------------- IOTLB */

/* Translate what the kernel misses, page by page, until @fd has an event. */
static unsigned translate(struct vmm *m, int fd)
{
	unsigned misses = 0;

	for (;;) {
		struct pollfd p[] = { { .fd = fd, .events = POLLIN },
				      { .fd = vmtap_vhost_fd(m->vhost), .events = POLLIN } };
		struct vmtap_vhost_iotlb msg = { 0 };

		assert_true(poll(p, 2, VMM_TIMEOUT_MS) > 0);
		if (p[0].revents)
			return misses;
		if (vmtap_vhost_iotlb_recv(m->vhost, &msg, NULL) <= 0)
			continue;
		assert_int_equal(msg.type, VMTAP_IOTLB_MISS);
		assert_true(msg.iova < VMM_MEM);
		msg.type = VMTAP_IOTLB_UPDATE;
		msg.perm = VMTAP_IOTLB_READ | VMTAP_IOTLB_WRITE;
		msg.iova &= ~(uint64_t)(PAGE - 1);
		msg.len = PAGE;
		msg.host = m->mem + msg.iova;
		ok(vmtap_vhost_iotlb_send(m->vhost, &msg, err));
		misses++;
	}
}

static void missing_translations_are_asked_for(void **state)
{
	struct vmtap_vhost_iotlb gone = { .type = VMTAP_IOTLB_INVALIDATE, .len = VMM_MEM };
	unsigned char buf[2048];
	struct lab lab;
	struct vmm m;

	vmm_open(&m, &lab, "");
	m.features |= 1ull << ACCESS_PLATFORM;
	ok(vmtap_vhost_set_features(m.vhost, m.features, err));
	for (unsigned i = 0; i < 2; i++) {
		struct vmtap_vhost_ring ring = vmm_ring(&m, i);

		ring.desc = m.rings[i].desc_gpa;
		ring.avail = m.rings[i].avail_gpa;
		ring.used = m.rings[i].used_gpa;
		ok(vmtap_vhost_set_ring(m.vhost, i, &ring, err));
		/* the rings' own pages the kernel wants to have known beforehand */
		ok(vmtap_vhost_iotlb_send(m.vhost,
					  &(struct vmtap_vhost_iotlb) {
						  .type = VMTAP_IOTLB_UPDATE,
						  .perm = 3,
						  .iova = i ? VMM_TX_RING : VMM_RX_RING,
						  .len = 0x10000,
						  .host = m.mem + (i ? VMM_TX_RING : VMM_RX_RING) },
					  err));
		ok(vmtap_vhost_start(m.vhost, i, err));
	}
	vmm_send(&m, 1, 100);
	assert_true(translate(&m, lab.packet) > 0);
	assert_int_equal(lab_kernel_receive(&lab, lab.packet, buf, sizeof(buf), 1000), 100);
	assert_int_equal(lab_number(buf, 100), 1);
	vq_want_calls(&m.rings[VMTAP_VHOST_RX], true);
	kernel_sends(&m, 2);
	assert_true(translate(&m, m.call[VMTAP_VHOST_RX]) > 0);
	assert_int_equal(vmm_receive(&m, NULL), 2);
	/* what was told is forgotten again */
	gone.iova = VMM_TX_BUFS;
	gone.len = 0x100000;
	ok(vmtap_vhost_iotlb_send(m.vhost, &gone, err));
	vmm_send(&m, 3, 100);
	assert_true(translate(&m, lab.packet) > 0);
	lab_close(&lab);
	vmm_close(&m);
}

/* ------------------------------------------------------------------- options */

static unsigned poll_time(const struct vmm *m, unsigned ring)
{
	struct vhost_vring_state s = { .index = ring };

	assert_int_equal(ioctl(vmtap_vhost_fd(m->vhost), VHOST_GET_VRING_BUSYLOOP_TIMEOUT, &s), 0);
	return s.num;
}

static void the_poll_time_reaches_the_kernel(void **state)
{
	struct lab lab;
	struct vmm m;

	vmm_open(&m, &lab, ",poll-us=37");
	assert_int_equal(poll_time(&m, 0), 37);
	assert_int_equal(poll_time(&m, 1), 37);
	ok(vmtap_vhost_set_poll(m.vhost, 50, err));
	assert_int_equal(poll_time(&m, 1), 50);
	vmm_start(&m);
	guest_sends(&m, 0, 200);
	guest_receives(&m, 0, 200);
	lab_close(&lab);
	vmm_close(&m);
}

static void each_queue_pair_has_a_handle(void **state)
{
	struct lab lab;
	struct vmm m;

	vmm_open(&m, &lab, ",queues=3");
	assert_non_null(vmtap_port_vhost(lab.tap, 2));
	assert_true(vmtap_port_vhost(lab.tap, 1) != vmtap_port_vhost(lab.tap, 2));
	assert_true(vmtap_vhost_fd(vmtap_port_vhost(lab.tap, 1)) !=
		    vmtap_vhost_fd(vmtap_port_vhost(lab.tap, 2)));
	assert_null(vmtap_port_vhost(lab.tap, 3));
	assert_null(vmtap_port_vhost(lab.app, 0));
	lab_close(&lab);
	vmm_close(&m);
}

static void every_pair_sends(void **state)
{
	struct lab lab;
	struct vmm m[3];
	unsigned char buf[256];
	bool seen[3] = { false };

	vmm_open(&m[0], &lab, ",queues=3");
	for (unsigned i = 0; i < 3; i++) {
		if (i) {
			vmm_memory(&m[i], &lab, vmtap_port_vhost(lab.tap, i), vmm_features());
			vmm_tell(&m[i]);
		}
		vmm_start(&m[i]);
		vmm_send(&m[i], i, 100);
		vmm_sent(&m[i]);
	}
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(lab_kernel_receive(&lab, lab.packet, buf, sizeof(buf), 5000), 100);
		seen[lab_number(buf, 100)] = true;
	}
	assert_true(seen[0] && seen[1] && seen[2]);
	lab_close(&lab);
	for (unsigned i = 0; i < 3; i++)
		vmm_close(&m[i]);
}

static void without_the_option_there_is_no_handle(void **state)
{
	struct lab lab;

	lab_open(&lab, "");
	assert_null(vmtap_port_vhost(lab.tap, 0));
	lab_close(&lab);
}

static int open_device(void)
{
	int fd = open("/dev/vhost-net", O_RDWR | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static void a_descriptor_that_was_handed_over_is_used(void **state)
{
	struct vmtap_error err = { 0 };
	struct lab lab;
	struct vmm m;
	char spec[128];
	int fd = open_device();

	lab_open_ports(&lab, NULL, 0);
	snprintf(spec, sizeof(spec), LAB_TAP ",vhostfd=%d", fd);
	lab.tap = vmtap_port_open(lab.v, spec, &err);
	assert_non_null(lab.tap);
	assert_int_equal(vmtap_vhost_fd(vmtap_port_vhost(lab.tap, 0)), fd);
	lab.packet = lab_packet_socket("vm0");
	vmm_memory(&m, &lab, vmtap_port_vhost(lab.tap, 0), vmm_features());
	vmm_tell(&m);
	vmm_start(&m);
	guest_sends(&m, 0, 10);
	lab_close(&lab);
	vmm_close(&m);
}

static void a_descriptor_that_is_in_use_is_refused(void **state)
{
	struct vmtap_error err = { 0 };
	struct lab lab;
	char spec[128];
	int fd = open_device();

	assert_int_equal(ioctl(fd, VHOST_SET_OWNER, NULL), 0);
	lab_open_ports(&lab, NULL, 0);
	snprintf(spec, sizeof(spec), LAB_TAP ",vhostfd=%d", fd);
	assert_null(vmtap_port_open(lab.v, spec, &err));
	assert_int_equal(err.code, EBUSY);
	assert_non_null(strstr(err.reason, "in use"));
	lab_close(&lab);
	close(fd);
}

/* -------------------------------------------------------------------- the end */

static void a_reset_forgets_everything(void **state)
{
	struct vmtap_error err_ = { 0 };
	struct lab lab;
	struct vmm m;

	vmm_open(&m, &lab, "");
	vmm_start(&m);
	guest_sends(&m, 0, 10);
	ok(vmtap_vhost_reset(m.vhost, err));
	assert_int_equal(vmtap_vhost_start(m.vhost, 0, &err_), -EINVAL);
	m.base[VMTAP_VHOST_TX] = (uint16_t)m.sent;
	vmm_tell(&m);
	vmm_start(&m);
	guest_sends(&m, 10, 20);
	guest_receives(&m, 0, 10);
	lab_close(&lab);
	vmm_close(&m);
}

/* The rings are still whole, and what the kernel did not take is for whoever comes next. */
static void closing_the_port_stops_the_rings_first(void **state)
{
	struct lab lab;
	struct vmm m;

	vmm_open(&m, &lab, "");
	vmm_start(&m);
	guest_sends(&m, 0, 20);
	vmtap_port_close(lab.tap);
	vmm_send(&m, 20, 100);
	assert_false(vq_has_used(&m.rings[VMTAP_VHOST_TX]));
	lab_close(&lab);
	vmm_close(&m);
}

static void a_device_that_vanishes_stops_the_rings(void **state)
{
	struct vmtap_error err = { 0 };
	struct lab lab;
	struct vmm m;

	vmm_open(&m, &lab, ",reconnect-ms=20");
	lab_link(&lab);
	vmm_start(&m);
	guest_sends(&m, 0, 20);
	lab_run("ip link del vm0");
	lab_settle(&lab);
	assert_int_equal(vmtap_vhost_start(m.vhost, 0, &err), -ENODEV);
	lab_close(&lab);
	vmm_close(&m);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_pass_both_ways),
		cmocka_unit_test(stopped_rings_go_on_where_they_were),
		cmocka_unit_test(what_comes_while_stopped_waits),
		cmocka_unit_test(while_a_ring_runs_the_port_does_not_read),
		cmocka_unit_test(memory_may_change_while_rings_run),
		cmocka_unit_test(more_regions_than_the_kernel_takes_are_refused),
		cmocka_unit_test(a_ring_in_no_memory_does_not_start),
		cmocka_unit_test(what_is_wrong_in_a_ring_is_told),
		cmocka_unit_test(what_is_written_is_logged),
		cmocka_unit_test(missing_translations_are_asked_for),
		cmocka_unit_test(the_poll_time_reaches_the_kernel),
		cmocka_unit_test(each_queue_pair_has_a_handle),
		cmocka_unit_test(every_pair_sends),
		cmocka_unit_test(without_the_option_there_is_no_handle),
		cmocka_unit_test(a_descriptor_that_was_handed_over_is_used),
		cmocka_unit_test(a_descriptor_that_is_in_use_is_refused),
		cmocka_unit_test(a_reset_forgets_everything),
		cmocka_unit_test(closing_the_port_stops_the_rings_first),
		cmocka_unit_test(a_device_that_vanishes_stops_the_rings),
	};

	return lab_main(argc, argv, tests);
}
