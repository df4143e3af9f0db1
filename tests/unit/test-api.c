/* SPDX-License-Identifier: MIT */
/* The public interface between application ports; tests/net/ has it with TAPs. */
#include "unit.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/uio.h>

#include "vmtap/vmtap.h"

static struct vmtap *v;
static struct vmtap_port *a, *b;
static unsigned got, room, closed, done_cnt, links;
static ssize_t done_status;
static struct vmtap_net_hdr last_hdr;
static uint32_t last_len;
static int nested_ret;

static unsigned take(void *opaque, const struct vmtap_frame *frames, unsigned cnt)
{
	unsigned n = cnt < room ? cnt : room;

	if (n) {
		last_hdr = frames[n - 1].hdr;
		last_len = frames[n - 1].len;
	}
	got += n;
	room -= n;
	return n;
}

static void on_closed(void *opaque)
{
	closed++;
}

static void on_link(void *opaque, bool up)
{
	links++;
}

static void on_done(void *opaque, ssize_t status)
{
	done_cnt++;
	done_status = status;
}

static const struct vmtap_app_ops plain = { sizeof(plain), 0, take, NULL, on_link, on_closed };
static const struct vmtap_app_ops with_hdr = { sizeof(with_hdr), 12, take, NULL, NULL, NULL };

static int setup(void **state)
{
	got = closed = done_cnt = links = 0;
	room = 1000000;
	v = vmtap_new(NULL, NULL);
	a = vmtap_app_new(v, "a", &with_hdr, NULL, NULL);
	b = vmtap_app_new(v, "b", &plain, NULL, NULL);
	return a && b && vmtap_link_new(v, a, b, NULL) ? 0 : -1;
}

static int teardown(void **state)
{
	vmtap_free(v);
	return 0;
}

static void the_header_is_taken_off_wherever_it_ends(void **state)
{
	unsigned char buf[12 + 60] = { VMTAP_HDR_DATA_VALID };

	for (size_t cut = 1; cut < sizeof(buf) - 1; cut++) {
		struct iovec iov[] = { { buf, cut },
				       { buf + cut, 1 },
				       { buf + cut + 1, 71 - cut } };

		last_len = 0;
		assert_int_equal(vmtap_sendv(a, iov, 3, NULL, NULL), sizeof(buf));
		assert_int_equal(last_len, 60);
		assert_int_equal(last_hdr.flags, VMTAP_HDR_DATA_VALID);
	}
}

static void a_raw_frame_has_no_header(void **state)
{
	unsigned char buf[60] = { 0xff };

	assert_int_equal(vmtap_send_raw(a, buf, sizeof(buf), NULL, NULL), 60);
	assert_int_equal(last_len, 60);
	assert_int_equal(last_hdr.flags, 0);
}

static void impossible_lengths_are_refused(void **state)
{
	static unsigned char buf[12 + VMTAP_FRAME_MAX + 1];
	struct vmtap_stats stats;

	assert_int_equal(vmtap_send(a, buf, 5, NULL, NULL), -EINVAL);
	assert_int_equal(vmtap_send(a, buf, 12, NULL, NULL), -EINVAL);
	assert_int_equal(vmtap_send(a, buf, 12 + 13, NULL, NULL), -EINVAL);
	assert_int_equal(vmtap_send(a, buf, sizeof(buf), NULL, NULL), -EINVAL);
	assert_int_equal(vmtap_send_raw(a, buf, (size_t)1 << 40, NULL, NULL), -EINVAL);
	assert_int_equal(vmtap_sendv(a, NULL, 0, NULL, NULL), -EINVAL);
	assert_int_equal(got, 0);
	vmtap_port_stats(a, &stats, sizeof(stats));
	assert_int_equal(stats.rx.drops[VMTAP_DROP_RUNT], 1);
	assert_int_equal(stats.rx.drops[VMTAP_DROP_TOO_LONG], 2);
}

static void a_send_is_queued_then_completed_once(void **state)
{
	unsigned char buf[72] = { 0 };

	room = 0;
	assert_int_equal(vmtap_send(a, buf, sizeof(buf), on_done, NULL), 0);
	assert_int_equal(vmtap_send(a, buf, sizeof(buf), on_done, NULL), 0);
	assert_int_equal(vmtap_flush(a), 2);
	assert_int_equal(done_cnt, 0);
	room = 10;
	vmtap_app_writable(b);
	assert_int_equal(done_cnt, 2);
	assert_int_equal(done_status, sizeof(buf));
	assert_int_equal(got, 2);
	assert_int_equal(vmtap_flush(a), 0);
	assert_int_equal(done_cnt, 2);
}

static void a_purge_completes_with_canceled(void **state)
{
	unsigned char buf[72] = { 0 };

	room = 0;
	vmtap_send(a, buf, sizeof(buf), on_done, NULL);
	vmtap_purge(a);
	assert_int_equal(done_cnt, 1);
	assert_int_equal(done_status, -ECANCELED);
	room = 10;
	vmtap_app_writable(b);
	assert_int_equal(got, 0);
}

static void closing_completes_what_is_pending(void **state)
{
	unsigned char buf[72] = { 0 };

	room = 0;
	vmtap_send(a, buf, sizeof(buf), on_done, NULL);
	vmtap_port_close(a);
	assert_int_equal(done_cnt, 1);
	assert_int_equal(done_status, -ECANCELED);
}

static void a_queue_without_callbacks_is_bounded(void **state)
{
	unsigned char buf[72] = { 0 };
	unsigned queued = 0;
	ssize_t ret;

	room = 0;
	while ((ret = vmtap_send(a, buf, sizeof(buf), NULL, NULL)) == 0)
		assert_true(++queued < 100000);
	assert_int_equal(ret, -ENOBUFS);
	assert_int_equal(vmtap_flush(a), queued);
}

static void closing_twice_is_harmless_with_a_reference(void **state)
{
	vmtap_port_ref(b);
	vmtap_port_shutdown(b);
	vmtap_port_shutdown(b);
	assert_int_equal(closed, 1);
	assert_int_equal(vmtap_port_state(b), VMTAP_PORT_CLOSED);
	assert_int_equal(vmtap_send_raw(b, "", 60, NULL, NULL), -EPIPE);
	vmtap_port_close(b);
	assert_int_equal(closed, 1);
	vmtap_port_unref(b);
}

static unsigned close_myself(void *opaque, const struct vmtap_frame *frames, unsigned cnt)
{
	got += cnt;
	nested_ret = vmtap_dispatch(v, 0);
	vmtap_port_close(*(struct vmtap_port **)opaque);
	return cnt;
}

static void a_port_may_close_itself_in_its_own_callback(void **state)
{
	static const struct vmtap_app_ops ops = { sizeof(ops), 0,    close_myself,
						  NULL,	       NULL, on_closed };
	static struct vmtap_port *c;
	struct vmtap_port *d = vmtap_app_new(v, "d", &plain, NULL, NULL);
	unsigned char buf[60] = { 0 };

	c = vmtap_app_new(v, "c", &ops, &c, NULL);
	assert_non_null(vmtap_link_new(v, c, d, NULL));
	assert_int_equal(vmtap_send(d, buf, sizeof(buf), NULL, NULL), 60);
	assert_int_equal(closed, 1);
	assert_int_equal(nested_ret, -EBUSY); /* and no loop in a loop */
	vmtap_dispatch(v, 0);
	assert_int_equal(vmtap_send(d, buf, sizeof(buf), NULL, NULL), 60); /* to nobody */
	assert_int_equal(got, 1);
}

/* A frame that becomes segments of 100 bytes of payload, @cnt of them. */
static void send_tcp(struct vmtap_port *from, unsigned cnt)
{
	static unsigned char bytes[14 + 20 + 20 + 5000];
	static const unsigned char head[] = { 2, 0, 0,	  0, 0, 1, 2, 0, 0, 0, 0,  2,
					      8, 0, 0x45, 0, 0, 0, 0, 0, 0, 0, 64, 6 };
	struct iovec iov = { bytes, 54 + cnt * 100 };
	const struct vmtap_frame frame = {
		.hdr = { .flags = VMTAP_HDR_NEEDS_CSUM,
			 .gso_type = VMTAP_GSO_TCPV4,
			 .hdr_len = 54,
			 .gso_size = 100,
			 .csum_start = 34,
			 .csum_offset = 16 },
		.len = 54 + cnt * 100,
		.iov = &iov,
		.iov_cnt = 1,
	};

	memcpy(bytes, head, sizeof(head));
	bytes[16] = (unsigned char)((40 + cnt * 100) >> 8);
	bytes[17] = (unsigned char)(40 + cnt * 100);
	bytes[46] = 0x50; /* TCP's header has 20 bytes */
	assert_int_equal(vmtap_send_burst(from, &frame, 1), 1);
}

static unsigned last_taken;

/* With its second frame, of which it takes @last_taken, its port is closed; then no other may come. */
static unsigned close_then_refuse(void *opaque, const struct vmtap_frame *frames, unsigned cnt)
{
	assert_int_equal(closed, 0);
	if (++got == 2) {
		vmtap_port_close(*(struct vmtap_port **)opaque);
		return last_taken;
	}
	return 1;
}

static const struct vmtap_app_ops closing = { sizeof(closing), 0, close_then_refuse, NULL, NULL,
					      on_closed };

static void no_segment_comes_to_a_port_that_closed_itself(void **state)
{
	static struct vmtap_port *c;

	for (last_taken = 0; last_taken < 2; last_taken++) {
		struct vmtap_port *d = vmtap_app_new(v, NULL, &plain, NULL, NULL);
		struct vmtap_stats stats;

		got = closed = 0;
		c = vmtap_app_new(v, NULL, &closing, &c, NULL);
		assert_non_null(vmtap_link_new(v, c, d, NULL));
		send_tcp(d, 5);
		assert_int_equal(closed, 1);
		assert_int_equal(got, 2);
		vmtap_port_stats(d, &stats, sizeof(stats));
		assert_int_equal(stats.rx.drops[VMTAP_DROP_NO_PEER], 1);
		assert_int_equal(stats.rx.drops[VMTAP_DROP_BAD_HEADER], 0);
		vmtap_dispatch(v, 0);
	}
}

static void no_frame_comes_past_a_limit_to_a_port_that_closed_itself(void **state)
{
	/* it has a burst go on one by one, without a wait */
	static const struct vmtap_limit limit = { sizeof(limit), 1000000000000, 1, 0 };
	static unsigned char bytes[60];
	static struct vmtap_port *c;
	struct iovec iov = { bytes, sizeof(bytes) };
	struct vmtap_frame frames[5];
	struct vmtap_stats stats;

	for (unsigned i = 0; i < 5; i++)
		frames[i] = (struct vmtap_frame) { .len = 60, .iov = &iov, .iov_cnt = 1 };
	last_taken = 1;
	vmtap_port_close(b);
	c = vmtap_port_ref(vmtap_app_new(v, "c", &closing, &c, NULL));
	assert_non_null(vmtap_link_new(v, a, c, NULL));
	assert_int_equal(vmtap_port_set_limit(c, VMTAP_TX, &limit, NULL), 0);
	closed = 0;
	assert_int_equal(vmtap_send_burst(a, frames, 5), 5);
	assert_int_equal(closed, 1);
	assert_int_equal(got, 2);
	vmtap_port_stats(c, &stats, sizeof(stats));
	assert_int_equal(stats.tx.frames, 2);
	assert_int_equal(stats.tx.drops[VMTAP_DROP_PEER_GONE], 3);
	vmtap_port_unref(c);
}

static void operations_of_an_older_caller_are_enough(void **state)
{
	struct vmtap_app_ops old = {
		offsetof(struct vmtap_app_ops, writable), 0, take, NULL, NULL, NULL
	};
	struct vmtap_error err = { 0 };
	struct vmtap_port *c;
	unsigned char buf[60] = { 0 };

	/* what lies behind the end that it states is not looked at */
	old.closed = (void (*)(void *))(uintptr_t)1;
	c = vmtap_app_new(v, NULL, &old, NULL, NULL);
	assert_non_null(c);
	memset(&old, 0, sizeof(old)); /* it was copied */
	vmtap_port_close(b);
	assert_non_null(vmtap_link_new(v, a, c, NULL));
	assert_int_equal(vmtap_send_raw(a, buf, sizeof(buf), NULL, NULL), 60);
	assert_int_equal(got, 1);
	vmtap_port_close(c);
	assert_null(vmtap_app_new(v, NULL, &old, NULL, &err));
	assert_int_equal(err.code, EINVAL);
}

static void the_link_state_reaches_the_peer(void **state)
{
	links = 0;
	assert_int_equal(vmtap_port_set_link(a, false, NULL), 0);
	assert_int_equal(links, 1);
	assert_int_equal(vmtap_port_set_link(a, true, NULL), 0);
	assert_int_equal(links, 2);
}

static void the_descriptor_wakes_a_host_loop(void **state)
{
	struct pollfd p = { .fd = vmtap_fd(v), .events = POLLIN };

	while (poll(&p, 1, 0) == 1)
		vmtap_dispatch(v, 0);
	struct vmtap_port *n = vmtap_port_open(v, "null,count=5", NULL);
	assert_non_null(n);
	vmtap_port_close(b);
	assert_non_null(vmtap_link_new(v, a, n, NULL));
	while (got < 5) {
		assert_int_equal(poll(&p, 1, 5000), 1);
		vmtap_dispatch(v, 0);
	}
}

static void a_name_is_taken_once(void **state)
{
	struct vmtap_error err = { 0 };

	assert_non_null(vmtap_port_open(v, "null,id=x", NULL));
	assert_null(vmtap_port_open(v, "null,id=x", &err));
	assert_int_equal(err.code, EEXIST);
	assert_non_null(strstr(err.reason, "id=x"));
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(the_header_is_taken_off_wherever_it_ends),
		CASE(a_raw_frame_has_no_header),
		CASE(impossible_lengths_are_refused),
		CASE(a_send_is_queued_then_completed_once),
		CASE(a_purge_completes_with_canceled),
		CASE(closing_completes_what_is_pending),
		CASE(a_queue_without_callbacks_is_bounded),
		CASE(closing_twice_is_harmless_with_a_reference),
		CASE(a_port_may_close_itself_in_its_own_callback),
		CASE(no_segment_comes_to_a_port_that_closed_itself),
		CASE(no_frame_comes_past_a_limit_to_a_port_that_closed_itself),
		CASE(operations_of_an_older_caller_are_enough),
		CASE(the_link_state_reaches_the_peer),
		CASE(the_descriptor_wakes_a_host_loop),
		CASE(a_name_is_taken_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
