/* SPDX-License-Identifier: MIT */
/* Towards the TAP: the forms of sending, scatter lists of any length, sending now or later. */
#include "tap-lab.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static unsigned char buf[LAB_FRAME_MAX];

/* ----------------------------------------------------------------- the forms */

static void sends_one_buffer_with_its_header(void **state)
{
	struct lab lab;

	lab_open(&lab, "");
	for (unsigned n = 0; n < 3; n++) {
		memset(buf, 0, 12);
		lab_frame(buf + 12, 100 + n, n);
		assert_int_equal(vmtap_send(lab.app, buf, 112 + n, NULL, NULL), 112 + n);
	}
	lab_kernel_expect(&lab, lab.packet, 0, 3);
	lab_close(&lab);
}

static void sends_a_raw_buffer_without_header(void **state)
{
	struct lab lab;

	lab_open(&lab, "");
	for (unsigned n = 0; n < 3; n++) {
		lab_frame(buf, 100 + n, n);
		assert_int_equal(vmtap_send_raw(lab.app, buf, 100 + n, NULL, NULL), 100 + n);
	}
	lab_kernel_expect(&lab, lab.packet, 0, 3);
	lab_close(&lab);
}

static void sends_a_scatter_list(void **state)
{
	struct vmtap_net_hdr hdr = { 0 };
	struct iovec iov[] = { { &hdr, 12 }, { buf, 14 }, { buf + 14, 0 }, { buf + 14, 86 } };
	struct lab lab;

	lab_open(&lab, "");
	lab_frame(buf, 100, 0);
	assert_int_equal(vmtap_sendv(lab.app, iov, 4, NULL, NULL), 112);
	lab_kernel_expect(&lab, lab.packet, 0, 1);
	lab_close(&lab);
}

/* The three forms, from applications with and without headers, to devices with and without. */
static void adds_and_removes_headers(void **state)
{
	static const char *const devices[] = { ",vnet_hdr=on", ",vnet_hdr=off" };
	static const unsigned hdr_lens[] = { 0, 10, 12 };

	for (unsigned d = 0; d < 2; d++) {
		for (unsigned h = 0; h < 3; h++) {
			unsigned len = hdr_lens[h];
			struct iovec iov[] = { { buf, 5 }, { buf + 5, len + 95 } };
			struct lab lab;
			char spec[128];

			strcpy(spec, LAB_TAP);
			strcat(spec, devices[d]);
			lab_open_ports(&lab, spec, len);
			lab_link(&lab);
			lab.packet = lab_packet_socket("vm0");
			memset(buf, 0, 12);
			lab_frame(buf + len, 100, 0);
			assert_int_equal(vmtap_send(lab.app, buf, len + 100, NULL, NULL),
					 len + 100);
			lab_frame(buf + len, 100, 1);
			assert_int_equal(vmtap_sendv(lab.app, iov, 2, NULL, NULL), len + 100);
			lab_frame(buf, 100, 2);
			assert_int_equal(vmtap_send_raw(lab.app, buf, 100, NULL, NULL), 100);
			lab_kernel_expect(&lab, lab.packet, 0, 3);
			lab_close(&lab);
		}
	}
}

static void sends_a_burst(void **state)
{
	static unsigned char data[VMTAP_BURST_MAX][1000];
	struct vmtap_frame frames[VMTAP_BURST_MAX] = { 0 };
	struct iovec iov[VMTAP_BURST_MAX];
	struct lab lab;

	lab_open(&lab, "");
	for (unsigned n = 0; n < VMTAP_BURST_MAX; n++) {
		unsigned len = 60 + n * 14; /* small ones and large ones */

		lab_frame(data[n], len, n);
		iov[n] = (struct iovec) { data[n], len };
		frames[n].iov = &iov[n];
		frames[n].iov_cnt = 1;
		frames[n].len = len;
	}
	assert_int_equal(vmtap_send_burst(lab.app, frames, VMTAP_BURST_MAX), VMTAP_BURST_MAX);
	lab_kernel_expect(&lab, lab.packet, 0, VMTAP_BURST_MAX);
	lab_close(&lab);
}

static void refuses_lengths_that_no_frame_has(void **state)
{
	struct iovec huge[] = { { buf, SIZE_MAX - 5 }, { buf, 100 } };
	struct iovec none[] = { { buf, 0 } };
	struct lab lab;

	lab_open(&lab, "");
	assert_int_equal(vmtap_send(lab.app, buf, 0, NULL, NULL), -EINVAL);
	assert_int_equal(vmtap_send(lab.app, buf, 11, NULL, NULL), -EINVAL);
	assert_int_equal(vmtap_send(lab.app, buf, 12, NULL, NULL), -EINVAL);
	assert_int_equal(vmtap_send(lab.app, buf, 12 + 13, NULL, NULL), -EINVAL);
	assert_int_equal(vmtap_send_raw(lab.app, buf, 0, NULL, NULL), -EINVAL);
	assert_int_equal(vmtap_send_raw(lab.app, buf, 13, NULL, NULL), -EINVAL);
	assert_int_equal(vmtap_send_raw(lab.app, buf, VMTAP_FRAME_MAX + 1, NULL, NULL), -EINVAL);
	assert_int_equal(vmtap_send_raw(lab.app, buf, SIZE_MAX, NULL, NULL), -EINVAL);
	assert_int_equal(vmtap_sendv(lab.app, huge, 2, NULL, NULL), -EINVAL);
	assert_int_equal(vmtap_sendv(lab.app, none, 1, NULL, NULL), -EINVAL);
	assert_int_equal(vmtap_sendv(lab.app, none, 0, NULL, NULL), -EINVAL);
	assert_int_equal(vmtap_send(lab.tap, buf, 100, NULL, NULL), -EOPNOTSUPP);
	lab_frame(buf, 60, 0);
	assert_int_equal(vmtap_send_raw(lab.app, buf, 60, NULL, NULL), 60);
	lab_kernel_expect(&lab, lab.packet, 0, 1);
	assert_int_equal(lab_stats(lab.app)->rx.drops[VMTAP_DROP_RUNT], 3);
	assert_int_equal(lab_stats(lab.app)->rx.drops[VMTAP_DROP_TOO_LONG], 2);
	lab_close(&lab);
}

/* -------------------------------------------------------------- scatter lists */

/* @cnt pieces of @len bytes, cut as evenly as it goes; the first has the header. */
static void cut(struct iovec *iov, unsigned cnt, size_t len)
{
	size_t off = 0;

	for (unsigned i = 0; i < cnt; i++) {
		size_t end = len * (i + 1) / cnt;

		iov[i] = (struct iovec) { buf + off, end - off };
		off = end;
	}
}

static void send_pieces(struct lab *lab, unsigned cnt, unsigned len)
{
	struct iovec *iov = calloc(cnt, sizeof(*iov));

	assert_non_null(iov);
	memset(buf, 0, 12);
	lab_frame(buf + 12, len, cnt);
	cut(iov, cnt, 12 + len);
	assert_int_equal(vmtap_sendv(lab->app, iov, cnt, NULL, NULL), 12 + len);
	lab_kernel_expect(lab, lab->packet, cnt, cnt + 1);
	free(iov);
}

static void sends_scatter_lists_of_any_length(void **state)
{
	static const unsigned cnts[] = { 1, 2, 7, 8, 9, 63, 64, 65, 500, 1023, 1024, 1025, 5000 };
	static const unsigned lens[] = { 60, 512, 513, 1514, 9014, 65535 };
	static const char *const devices[] = { ",mtu=65521", ",mtu=65521,vnet_hdr=off" };

	for (unsigned d = 0; d < 2; d++) {
		struct lab lab;

		lab_open(&lab, devices[d]);
		for (unsigned i = 0; i < sizeof(cnts) / sizeof(cnts[0]); i++)
			for (unsigned j = 0; j < sizeof(lens) / sizeof(lens[0]); j++)
				send_pieces(&lab, cnts[i], lens[j]);
		lab_close(&lab);
	}
}

static void sends_pieces_of_a_byte_and_of_none(void **state)
{
	static struct iovec iov[2 * 1012];
	struct lab lab;

	lab_open(&lab, "");
	memset(buf, 0, 12);
	lab_frame(buf + 12, 1000, 0);
	for (unsigned i = 0; i < 1012; i++) {
		iov[2 * i] = (struct iovec) { NULL, 0 };
		iov[2 * i + 1] = (struct iovec) { buf + i, 1 };
	}
	assert_int_equal(vmtap_sendv(lab.app, iov, 2 * 1012, NULL, NULL), 1012);
	lab_kernel_expect(&lab, lab.packet, 0, 1);
	lab_close(&lab);
}

static void sends_bursts_of_long_scatter_lists(void **state)
{
	static unsigned char data[VMTAP_BURST_MAX][1500];
	static struct iovec iov[VMTAP_BURST_MAX][100];
	struct vmtap_frame frames[VMTAP_BURST_MAX] = { 0 };
	struct lab lab;

	lab_open(&lab, "");
	for (unsigned n = 0; n < VMTAP_BURST_MAX; n++) {
		lab_frame(data[n], 1500, n);
		for (unsigned i = 0; i < 100; i++)
			iov[n][i] = (struct iovec) { data[n] + 15 * i, 15 };
		frames[n] = (struct vmtap_frame) { .len = 1500, .iov = iov[n], .iov_cnt = 100 };
	}
	assert_int_equal(vmtap_send_burst(lab.app, frames, VMTAP_BURST_MAX), VMTAP_BURST_MAX);
	lab_kernel_expect(&lab, lab.packet, 0, VMTAP_BURST_MAX);
	lab_close(&lab);
}

/* --------------------------------------------------------------- now or later */

/* Completions: number and status in the order in which they came. */
static struct {
	unsigned cnt;
	struct {
		uintptr_t number;
		ssize_t status;
	} done[4096];
} log_of;

static void sent(void *opaque, ssize_t status)
{
	assert_true(log_of.cnt < 4096);
	log_of.done[log_of.cnt].number = (uintptr_t)opaque;
	log_of.done[log_of.cnt++].status = status;
}

static ssize_t send_number(struct lab *lab, unsigned n, bool callback)
{
	lab_frame(buf, 1400, n);
	return vmtap_send_raw(lab->app, buf, 1400, callback ? sent : NULL, (void *)(uintptr_t)n);
}

/*
 * A TAP whose send buffer fills: what is written waits in a slow queue behind it.
 *
 *   vm0 == bridge == v0 (16 Mbit/s) -- v1, where frames are received
 */
static int slow_tap(struct lab *lab, const char *options)
{
	memset(&log_of, 0, sizeof(log_of));
	lab_open(lab, options);
	return lab_slow_peer("rate 16mbit burst 3000 limit 10000000");
}

static void sends_now_or_queues_with_one_callback(void **state)
{
	unsigned now = 0, later = 0;
	struct lab lab;
	int far = slow_tap(&lab, ",sndbuf=20000");

	for (unsigned n = 0; n < 300; n++) {
		ssize_t ret = send_number(&lab, n, true);

		assert_true(ret == 1400 || ret == 0);
		*(ret ? &now : &later) += 1;
		if (ret)
			assert_int_equal(later, 0); /* nothing overtakes the queue */
	}
	assert_true(now >= 3 && later >= 1); /* how many, is the speed of this machine */
	assert_true(lab_stats(lab.tap)->tx_holds > 0);
	lab_kernel_expect(&lab, far, 0, 300);
	lab_settle(&lab);
	assert_int_equal(log_of.cnt, later);
	for (unsigned i = 0; i < later; i++) {
		assert_int_equal(log_of.done[i].number, now + i);
		assert_int_equal(log_of.done[i].status, 1400);
	}
	assert_int_equal(lab_stats(lab.tap)->tx.frames, 300);
	assert_int_equal(lab_drops(&lab_stats(lab.tap)->tx), 0);
	close(far);
	lab_close(&lab);
}

static void a_flush_delivers_in_order(void **state)
{
	struct lab lab;
	unsigned left = 0;
	int far = slow_tap(&lab, "");

	vmtap_port_set_poll(lab.tap, false);
	for (unsigned n = 0; n < 200; n++)
		assert_int_equal(send_number(&lab, n, true), 0);
	assert_int_equal(vmtap_flush(lab.app), 200);
	assert_int_equal(log_of.cnt, 0);
	vmtap_port_set_poll(lab.tap, true);
	left = vmtap_flush(lab.app);
	assert_int_equal(left, 0);
	assert_int_equal(log_of.cnt, 200);
	for (unsigned i = 0; i < 200; i++)
		assert_int_equal(log_of.done[i].number, i);
	lab_kernel_expect(&lab, far, 0, 200);
	close(far);
	lab_close(&lab);
}

static void a_purge_completes_every_callback(void **state)
{
	struct lab lab;
	unsigned queued = 0;
	int far = slow_tap(&lab, ",sndbuf=20000");

	for (unsigned n = 0; n < 300; n++)
		queued += send_number(&lab, n, n % 2) == 0;
	assert_true(queued > 100);
	vmtap_purge(lab.app);
	assert_true(log_of.cnt >= queued / 2);
	for (unsigned i = 0; i < log_of.cnt; i++)
		assert_int_equal(log_of.done[i].status, -ECANCELED);
	assert_int_equal(lab_stats(lab.app)->rx.drops[VMTAP_DROP_PURGED], queued);
	assert_int_equal(vmtap_flush(lab.app), 0);
	lab_kernel_expect(&lab, far, 0, 300 - queued); /* what was sent before */
	assert_int_equal(send_number(&lab, 300 - queued, false) >= 0, 1);
	lab_kernel_expect(&lab, far, 300 - queued, 301 - queued);
	close(far);
	lab_close(&lab);
}

static void a_full_queue_is_an_error_without_callback(void **state)
{
	struct lab lab;
	unsigned taken = 0;
	ssize_t ret;

	memset(&log_of, 0, sizeof(log_of));
	lab_open(&lab, "");
	vmtap_port_set_poll(lab.tap, false);
	while ((ret = send_number(&lab, taken, false)) == 0)
		taken++;
	assert_int_equal(ret, -ENOBUFS);
	assert_true(taken >= 1000);
	assert_int_equal(lab_stats(lab.app)->rx.drops[VMTAP_DROP_QUEUE_FULL], 1);
	assert_int_equal(send_number(&lab, taken, true), 0); /* who waits for the end may go on */
	lab.calls = 0;
	vmtap_purge(lab.app);
	assert_int_equal(log_of.cnt, 1);
	lab_close(&lab);
}

static struct lab *purged;

static void purge_from_callback(void *opaque, ssize_t status)
{
	sent(opaque, status);
	vmtap_purge(purged->app);
	assert_int_equal(vmtap_send_raw(purged->app, buf, 1400, sent, (void *)99), 0);
}

static void callbacks_may_purge_and_send(void **state)
{
	struct lab lab;

	memset(&log_of, 0, sizeof(log_of));
	lab_open(&lab, "");
	purged = &lab;
	vmtap_port_set_poll(lab.tap, false);
	lab_frame(buf, 1400, 1);
	assert_int_equal(vmtap_send_raw(lab.app, buf, 1400, purge_from_callback, (void *)1), 0);
	for (uintptr_t n = 2; n < 5; n++)
		assert_int_equal(vmtap_send_raw(lab.app, buf, 1400, sent, (void *)n), 0);
	vmtap_port_set_poll(lab.tap, true);
	lab_settle(&lab);
	assert_int_equal(vmtap_flush(lab.app), 0);
	assert_int_equal(log_of.cnt, 5);
	assert_int_equal(log_of.done[0].status, 1400);
	for (unsigned i = 1; i < 4; i++)
		assert_int_equal(log_of.done[i].status, -ECANCELED);
	assert_int_equal(log_of.done[4].number, 99);
	assert_int_equal(log_of.done[4].status, 1400);
	lab_close(&lab);
}

static void a_short_burst_is_answered_by_writable_once(void **state)
{
	static unsigned char data[1400];
	struct iovec iov = { data, sizeof(data) };
	struct vmtap_frame frame = { .len = sizeof(data), .iov = &iov, .iov_cnt = 1 };
	unsigned n = 0;
	struct lab lab;
	int far = slow_tap(&lab, ",sndbuf=20000");

	for (int round = 0; round < 5; round++) {
		unsigned before = lab.writable_cnt;

		for (;; n++) {
			lab_frame(data, sizeof(data), n);
			if (vmtap_send_burst(lab.app, &frame, 1) == 0)
				break;
			assert_true(n < 10000);
		}
		assert_int_equal(lab.writable_cnt, before);
		while (lab.writable_cnt == before)
			vmtap_dispatch(lab.v, 1000);
		assert_int_equal(lab.writable_cnt, before + 1);
	}
	lab_kernel_expect(&lab, far, 0, n);
	close(far);
	lab_close(&lab);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sends_one_buffer_with_its_header),
		cmocka_unit_test(sends_a_raw_buffer_without_header),
		cmocka_unit_test(sends_a_scatter_list),
		cmocka_unit_test(adds_and_removes_headers),
		cmocka_unit_test(sends_a_burst),
		cmocka_unit_test(refuses_lengths_that_no_frame_has),
		cmocka_unit_test(sends_scatter_lists_of_any_length),
		cmocka_unit_test(sends_pieces_of_a_byte_and_of_none),
		cmocka_unit_test(sends_bursts_of_long_scatter_lists),
		cmocka_unit_test(sends_now_or_queues_with_one_callback),
		cmocka_unit_test(a_flush_delivers_in_order),
		cmocka_unit_test(a_purge_completes_every_callback),
		cmocka_unit_test(a_full_queue_is_an_error_without_callback),
		cmocka_unit_test(callbacks_may_purge_and_send),
		cmocka_unit_test(a_short_burst_is_answered_by_writable_once),
	};

	return lab_main(argc, argv, tests);
}
