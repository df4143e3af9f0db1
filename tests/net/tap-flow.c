/* SPDX-License-Identifier: MIT */
/* Back-pressure, pausing, nobody to take frames, the send buffer: nothing lost that need not be. */
#include "tap-lab.h"

#include <errno.h>
#include <limits.h>
#include <linux/if_tun.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static unsigned char buf[LAB_FRAME_MAX];

static void kernel_sends(struct lab *lab, unsigned from, unsigned to)
{
	for (unsigned n = from; n < to; n++) {
		lab_frame(buf, 60 + n % 1400, n);
		lab_kernel_send(lab, buf, 60 + n % 1400);
	}
}

/* The application has exactly the frames 0 to @cnt - 1. */
static void check_frames(const struct lab *lab, unsigned cnt)
{
	assert_int_equal(lab->frame_cnt, cnt);
	for (unsigned n = 0; n < cnt; n++)
		assert_int_equal(lab_number(lab->frames[n].data, lab->frames[n].len), n);
}

static ssize_t send_number(struct lab *lab, unsigned n)
{
	lab_frame(buf, 200, n);
	return vmtap_send_raw(lab->app, buf, 200, NULL, NULL);
}

/* -------------------------------------------------------------- back-pressure */

static void a_peer_that_holds_gets_every_frame_in_order(void **state)
{
	static const unsigned steps[] = { 1, 10, 63, 64, 65, 200, 397 };
	unsigned taken = 0;
	struct lab lab;

	lab_open(&lab, "");
	lab.take = 0;
	kernel_sends(&lab, 0, 800);
	for (unsigned i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		lab_settle(&lab);
		check_frames(&lab, taken);
		taken += steps[i];
		lab.take = steps[i];
		vmtap_app_writable(lab.app);
	}
	lab_wait(&lab, 800);
	check_frames(&lab, 800);
	assert_true(lab_stats(lab.tap)->rx_holds >= 7);
	assert_int_equal(lab_drops(&lab_stats(lab.tap)->rx), 0);
	lab_close(&lab);
}

static void while_a_peer_holds_nothing_is_read(void **state)
{
	unsigned calls;
	struct lab lab;

	lab_open(&lab, "");
	lab.take = 0;
	kernel_sends(&lab, 0, 10);
	lab_settle(&lab);
	calls = lab.calls;
	assert_true(calls > 0);
	for (unsigned n = 10; n < 500; n++) {
		kernel_sends(&lab, n, n + 1);
		lab_settle(&lab);
	}
	assert_int_equal(lab.calls, calls); /* asked once, and answered by writable() */
	lab.take = UINT32_MAX;
	vmtap_app_writable(lab.app);
	lab_wait(&lab, 500);
	check_frames(&lab, 500);
	lab_close(&lab);
}

struct pair {
	struct lab busy;
	struct vmtap_port *tap, *app;
	unsigned got, busy_then;
	struct vmtap_app_ops ops;
};

static unsigned second_frames(void *opaque, const struct vmtap_frame *frames, unsigned cnt)
{
	struct pair *p = opaque;

	if (!p->got)
		p->busy_then = p->busy.frame_cnt;
	p->got += cnt;
	return cnt;
}

static void a_busy_port_leaves_turns_to_the_others(void **state)
{
	struct pair p = { .ops = { .size = sizeof(p.ops), .frames = second_frames } };
	int sock;

	lab_open(&p.busy, "");
	lab_run("ip link set vm0 txqueuelen 3000");
	p.tap = vmtap_port_open(p.busy.v, "tap,ifname=vm1,script=no,downscript=no", NULL);
	p.app = vmtap_app_new(p.busy.v, "second", &p.ops, &p, NULL);
	assert_non_null(vmtap_link_new(p.busy.v, p.tap, p.app, NULL));
	kernel_sends(&p.busy, 0, 2500);
	sock = lab_packet_socket("vm1");
	lab_frame(buf, 60, 0);
	assert_int_equal(send(sock, buf, 60, 0), 60);
	while (!p.got)
		vmtap_dispatch(p.busy.v, 1000);
	assert_true(p.busy_then <= 512); /* two turns of 256 */
	lab_wait(&p.busy, 2500);
	check_frames(&p.busy, 2500);
	close(sock);
	lab_close(&p.busy);
}

/* --------------------------------------------------------------------- pausing */

static void pausing_the_tap_loses_nothing_from_it(void **state)
{
	struct lab lab;

	lab_open(&lab, "");
	vmtap_port_set_poll(lab.tap, false);
	vmtap_port_set_poll(lab.tap, false);
	kernel_sends(&lab, 0, 300);
	lab_settle(&lab);
	check_frames(&lab, 0);
	vmtap_port_set_poll(lab.tap, true);
	lab_wait(&lab, 300);
	check_frames(&lab, 300);
	lab_close(&lab);
}

static void pausing_the_tap_loses_nothing_towards_it(void **state)
{
	struct lab lab;

	lab_open(&lab, "");
	vmtap_port_set_poll(lab.tap, false);
	for (unsigned n = 0; n < 300; n++)
		assert_int_equal(send_number(&lab, n), 0);
	lab_settle(&lab);
	assert_int_equal(lab_stats(lab.tap)->tx.frames, 0);
	vmtap_port_set_poll(lab.tap, true);
	lab_kernel_expect(&lab, lab.packet, 0, 300);
	lab_close(&lab);
}

static void pausing_the_application_loses_nothing(void **state)
{
	struct lab lab;

	lab_open(&lab, "");
	vmtap_port_set_poll(lab.app, false);
	kernel_sends(&lab, 0, 300);
	for (unsigned n = 0; n < 300; n++)
		assert_int_equal(send_number(&lab, n), 0);
	lab_settle(&lab);
	check_frames(&lab, 0);
	vmtap_port_set_poll(lab.app, true);
	lab_wait(&lab, 300);
	check_frames(&lab, 300);
	lab_kernel_expect(&lab, lab.packet, 0, 300);
	lab_close(&lab);
}

/* Pauses of either port fall between any two frames, also while the application holds. */
static void pausing_at_any_time_loses_nothing(void **state)
{
	unsigned sent = 0, back = 0;
	struct lab lab;

	lab_open(&lab, "");
	srand(1);
	for (unsigned round = 0; round < 300; round++) {
		unsigned cnt = (unsigned)rand() % 8;
		int what = rand() % 6;

		kernel_sends(&lab, sent, sent + cnt);
		sent += cnt;
		for (unsigned i = 0; i < cnt; i++)
			assert_true(send_number(&lab, back++) >= 0);
		if (what < 4)
			vmtap_port_set_poll(what < 2 ? lab.tap : lab.app, what % 2);
		else
			lab.take = what == 4 ? (unsigned)rand() % 5 : UINT32_MAX;
		if (what >= 4 && lab.take)
			vmtap_app_writable(lab.app);
		if (rand() % 3)
			lab_settle(&lab);
	}
	lab.take = UINT32_MAX;
	vmtap_port_set_poll(lab.tap, true);
	vmtap_port_set_poll(lab.app, true);
	vmtap_app_writable(lab.app);
	lab_wait(&lab, sent);
	check_frames(&lab, sent);
	lab_kernel_expect(&lab, lab.packet, 0, back);
	lab_close(&lab);
}

/* --------------------------------------------------------- nobody to take frames */

static void a_port_without_a_peer_discards_and_counts(void **state)
{
	struct lab lab;

	lab_open(&lab, "");
	vmtap_link_free(lab.link);
	kernel_sends(&lab, 0, 20);
	for (unsigned n = 0; n < 30; n++)
		assert_int_equal(send_number(&lab, n), 200); /* discarded, so done with */
	lab_settle(&lab);
	assert_int_equal(lab_stats(lab.tap)->rx.drops[VMTAP_DROP_NO_PEER], 20);
	assert_int_equal(lab_stats(lab.app)->rx.drops[VMTAP_DROP_NO_PEER], 30);
	lab_link(&lab);
	kernel_sends(&lab, 0, 5);
	lab_wait(&lab, 5);
	check_frames(&lab, 5);
	lab_close(&lab);
}

static void a_port_that_is_down_discards_and_counts(void **state)
{
	struct lab lab;

	lab_open(&lab, "");
	assert_int_equal(vmtap_port_set_link(lab.app, false, NULL), 0);
	kernel_sends(&lab, 0, 20);
	for (unsigned n = 0; n < 30; n++)
		assert_int_equal(send_number(&lab, n), 200);
	lab_settle(&lab);
	check_frames(&lab, 0);
	assert_int_equal(lab_stats(lab.app)->tx.drops[VMTAP_DROP_LINK_DOWN], 20);
	assert_int_equal(lab_stats(lab.app)->rx.drops[VMTAP_DROP_LINK_DOWN], 30);
	assert_int_equal(vmtap_port_set_link(lab.app, true, NULL), 0);

	assert_int_equal(vmtap_port_set_link(lab.tap, false, NULL), 0);
	for (unsigned n = 0; n < 30; n++)
		assert_int_equal(send_number(&lab, n), 200);
	lab_settle(&lab);
	assert_int_equal(lab_stats(lab.tap)->tx.drops[VMTAP_DROP_LINK_DOWN], 30);
	assert_int_equal(vmtap_port_set_link(lab.tap, true, NULL), 0);

	assert_int_equal(send_number(&lab, 0), 200);
	lab_kernel_expect(&lab, lab.packet, 0, 1);
	kernel_sends(&lab, 0, 5);
	lab_wait(&lab, 5);
	check_frames(&lab, 5);
	lab_close(&lab);
}

static unsigned completions;

static void completed(void *opaque, ssize_t status)
{
	assert_int_equal(status, 200);
	completions++;
}

static void what_waits_for_a_port_that_goes_down_is_done_with(void **state)
{
	struct lab lab;

	completions = 0;
	lab_open(&lab, "");
	vmtap_port_set_poll(lab.tap, false);
	lab_frame(buf, 200, 0);
	for (unsigned n = 0; n < 10; n++)
		assert_int_equal(vmtap_send_raw(lab.app, buf, 200, completed, NULL), 0);
	vmtap_port_set_poll(lab.tap, true);
	lab_settle(&lab);
	assert_int_equal(completions, 10);

	vmtap_port_set_poll(lab.tap, false);
	for (unsigned n = 0; n < 10; n++)
		assert_int_equal(vmtap_send_raw(lab.app, buf, 200, completed, NULL), 0);
	vmtap_port_set_link(lab.tap, false, NULL);
	vmtap_port_set_poll(lab.tap, true);
	lab_settle(&lab);
	assert_int_equal(completions, 20);
	assert_int_equal(lab_stats(lab.tap)->tx.drops[VMTAP_DROP_LINK_DOWN], 10);
	lab_close(&lab);
}

static bool is_broken(struct lab *lab)
{
	return vmtap_port_state(lab->tap) == VMTAP_PORT_BROKEN;
}

static void a_broken_peer_discards_and_counts(void **state)
{
	struct lab lab;

	lab_open(&lab, "");
	lab_run("ip link del vm0");
	lab_until(&lab, is_broken);
	assert_int_equal(vmtap_port_error(lab.tap)->code, ENODEV);
	for (unsigned n = 0; n < 10; n++)
		assert_int_equal(send_number(&lab, n), 200);
	assert_int_equal(lab_stats(lab.tap)->tx.drops[VMTAP_DROP_PEER_GONE], 10);
	lab_settle(&lab);
	assert_int_equal(lab.event_state, VMTAP_PORT_BROKEN);
	lab_close(&lab);
}

static void a_paused_port_notices_that_its_device_is_gone(void **state)
{
	struct lab lab;

	lab_open(&lab, "");
	vmtap_port_set_poll(lab.tap, false);
	lab_run("ip link del vm0");
	lab_until(&lab, is_broken);
	lab_close(&lab);
}

/* ---------------------------------------------------------------- send buffer */

static int sndbuf_of(const struct vmtap_port *tap, unsigned queue)
{
	int size = -1;

	assert_int_equal(ioctl(vmtap_port_fd(tap, queue), TUNGETSNDBUF, &size), 0);
	return size;
}

static void the_send_buffer_is_what_was_asked_for(void **state)
{
	static const struct {
		const char *options;
		int size;
	} cases[] = {
		{ "", INT_MAX },
		{ ",sndbuf=0", INT_MAX },
		{ ",sndbuf=100000", 100000 },
		{ ",sndbuf=64k", 64 << 10 },
		{ ",sndbuf=1M", 1 << 20 },
		{ ",sndbuf=1G", 1 << 30 },
		{ ",sndbuf=5G", INT_MAX },
		{ ",sndbuf=1", 6 }, /* the least with which a full device tells that it has room */
	};

	for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char options[64];
		struct lab lab;

		strcpy(options, ",queues=2");
		strcat(options, cases[i].options);
		lab_open(&lab, options);
		assert_int_equal(sndbuf_of(lab.tap, 0), cases[i].size);
		assert_int_equal(sndbuf_of(lab.tap, 1), cases[i].size);
		lab_close(&lab);
	}
}

static void the_smallest_send_buffer_carries_frames(void **state)
{
	struct lab lab;
	int far;

	lab_open(&lab, ",sndbuf=1");
	far = lab_slow_peer("rate 1mbit burst 2000 limit 1000000");
	for (unsigned n = 0; n < 50; n++)
		assert_true(send_number(&lab, n) >= 0);
	assert_true(lab_stats(lab.tap)->tx_holds > 0);
	lab_kernel_expect(&lab, far, 0, 50);
	close(far);
	lab_close(&lab);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_peer_that_holds_gets_every_frame_in_order),
		cmocka_unit_test(while_a_peer_holds_nothing_is_read),
		cmocka_unit_test(a_busy_port_leaves_turns_to_the_others),
		cmocka_unit_test(pausing_the_tap_loses_nothing_from_it),
		cmocka_unit_test(pausing_the_tap_loses_nothing_towards_it),
		cmocka_unit_test(pausing_the_application_loses_nothing),
		cmocka_unit_test(pausing_at_any_time_loses_nothing),
		cmocka_unit_test(a_port_without_a_peer_discards_and_counts),
		cmocka_unit_test(a_port_that_is_down_discards_and_counts),
		cmocka_unit_test(what_waits_for_a_port_that_goes_down_is_done_with),
		cmocka_unit_test(a_broken_peer_discards_and_counts),
		cmocka_unit_test(a_paused_port_notices_that_its_device_is_gone),
		cmocka_unit_test(the_send_buffer_is_what_was_asked_for),
		cmocka_unit_test(the_smallest_send_buffer_carries_frames),
	};

	return lab_main(argc, argv, tests);
}
