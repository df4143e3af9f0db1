/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include "fake-port.h"
#include "net/link.h"

struct rig {
	struct loop *loop;
	struct port_env env;
	struct fake *a, *b;
	struct link *link;
	unsigned events;
	enum vmtap_port_state last_state;
};

static void on_event(void *opaque, struct port *p, enum vmtap_port_state state)
{
	struct rig *r = opaque;

	r->events++;
	r->last_state = state;
}

static int setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));

	r->loop = loop_new();
	r->env = (struct port_env) {
		.loop = r->loop, .event = on_event, .opaque = r, .cancel_fd = -1
	};
	r->a = fake_new(&r->env, "a");
	r->b = fake_new(&r->env, "b");
	*state = r;
	return 0;
}

static int setup_linked(void **state)
{
	struct rig *r;

	setup(state);
	r = *state;
	r->link = link_new(&r->a->port, &r->b->port, NULL);
	return r->link ? 0 : -1;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	port_free(&r->a->port);
	port_free(&r->b->port);
	link_free(r->link);
	loop_free(r->loop);
	free(r);
	return 0;
}

static void frames_pass_in_order_both_ways(void **state)
{
	struct rig *r = *state;

	assert_int_equal(fake_offer(r->a, 100, 64), 64);
	assert_int_equal(fake_offer(r->b, 200, 3), 3);
	assert_int_equal(r->b->got, 64);
	for (unsigned i = 0; i < 64; i++)
		assert_int_equal(r->b->tags[i], 100 + i);
	assert_int_equal(r->a->got, 3);
	assert_int_equal(r->a->tags[2], 202);
}

static void both_directions_are_counted(void **state)
{
	struct rig *r = *state;

	fake_offer(r->a, 0, 10);
	assert_int_equal(r->a->port.lanes->stats.rx.frames, 10);
	assert_int_equal(r->a->port.lanes->stats.rx.bytes, 600);
	assert_int_equal(r->b->port.lanes->stats.tx.frames, 10);
	assert_int_equal(r->b->port.lanes->stats.tx.bytes, 600);
	assert_int_equal(r->b->port.lanes->stats.rx.frames, 0);
}

static void back_pressure_reaches_the_sender_and_ends(void **state)
{
	struct rig *r = *state;

	r->b->room = 5;
	assert_int_equal(fake_offer(r->a, 0, 10), 5);
	assert_true(r->a->port.lanes->held);
	assert_int_equal(r->a->port.lanes->stats.rx_holds, 1);
	assert_int_equal(r->b->port.lanes->stats.tx_holds, 1);
	assert_int_equal(r->a->resumed, 0);

	r->b->room = 100;
	port_writable(&r->b->port);
	assert_int_equal(r->a->resumed, 1);
	port_writable(&r->b->port); /* only once */
	assert_int_equal(r->a->resumed, 1);
	assert_int_equal(fake_offer(r->a, 5, 5), 5);
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(r->b->tags[i], i);
}

static void a_port_without_peer_discards_and_counts(void **state)
{
	struct rig *r = *state;

	assert_int_equal(fake_offer(r->a, 0, 7), 7);
	assert_int_equal(r->a->port.lanes->stats.rx.drops[VMTAP_DROP_NO_PEER], 7);
}

static void link_down_discards_counts_and_tells_the_peer(void **state)
{
	struct rig *r = *state;

	port_set_link(&r->b->port, false, NULL);
	assert_int_equal(r->a->peer_downs, 1);
	assert_int_equal(fake_offer(r->a, 0, 4), 4);
	assert_int_equal(r->b->got, 0);
	assert_int_equal(r->b->port.lanes->stats.tx.drops[VMTAP_DROP_LINK_DOWN], 4);
	assert_int_equal(fake_offer(r->b, 0, 2), 2);
	assert_int_equal(r->b->port.lanes->stats.rx.drops[VMTAP_DROP_LINK_DOWN], 2);
	port_set_link(&r->b->port, true, NULL);
	fake_offer(r->a, 0, 4);
	assert_int_equal(r->b->got, 4);
}

static void link_down_releases_a_held_sender(void **state)
{
	struct rig *r = *state;

	r->b->room = 0;
	fake_offer(r->a, 0, 4);
	port_set_link(&r->b->port, false, NULL);
	assert_int_equal(r->a->resumed, 1);
}

static void a_paused_port_loses_nothing(void **state)
{
	struct rig *r = *state;

	port_set_poll(&r->b->port, false);
	assert_int_equal(fake_offer(r->a, 0, 4), 0);
	assert_int_equal(r->b->got, 0);
	port_set_poll(&r->b->port, true);
	assert_int_equal(r->a->resumed, 1);
}

static void a_paused_sender_resumes_only_when_it_polls(void **state)
{
	struct rig *r = *state;

	r->b->room = 1;
	assert_int_equal(fake_offer(r->a, 0, 4), 1);
	port_set_poll(&r->a->port, false);
	r->b->room = 100;
	port_writable(&r->b->port);
	assert_int_equal(r->a->resumed, 0);
	port_set_poll(&r->a->port, true);
	assert_int_equal(r->a->resumed, 1);
}

static void a_waiting_peer_discards_and_releases(void **state)
{
	struct rig *r = *state;

	r->b->room = 0;
	fake_offer(r->a, 0, 4);
	port_set_state(&r->b->port, VMTAP_PORT_WAITING);
	assert_int_equal(r->a->resumed, 1);
	assert_int_equal(fake_offer(r->a, 0, 4), 4);
	assert_int_equal(r->b->port.lanes->stats.tx.drops[VMTAP_DROP_PEER_GONE], 4);
}

static void a_port_that_breaks_while_sending_does_not_hold_its_peer(void **state)
{
	struct rig *r = *state;

	r->b->break_on_send = true;
	assert_int_equal(fake_offer(r->a, 0, 4), 4);
	assert_false(r->a->port.lanes->held);
	assert_int_equal(r->b->port.state, VMTAP_PORT_BROKEN);
	assert_int_equal(r->b->port.lanes->stats.tx.drops[VMTAP_DROP_PEER_GONE], 4);
	assert_int_equal(r->b->port.error.code, 5);
}

static void state_events_come_from_the_loop(void **state)
{
	struct rig *r = *state;

	loop_dispatch(r->loop, 0);
	r->events = 0;
	port_set_state(&r->b->port, VMTAP_PORT_WAITING);
	assert_int_equal(r->events, 0);
	loop_dispatch(r->loop, 0);
	loop_dispatch(r->loop, 0);
	assert_int_equal(r->events, 1);
	assert_int_equal(r->last_state, VMTAP_PORT_WAITING);
}

static void answers_from_inside_send_pass(void **state)
{
	struct rig *r = *state;

	r->b->reply = true;
	assert_int_equal(fake_offer(r->a, 0, 3), 3);
	assert_int_equal(r->a->got, 3);
}

static void two_ports_that_answer_each_other_do_not_recurse(void **state)
{
	struct rig *r = *state;

	/* a: answers, b: answers; each answer begets one. The nested offer in the same direction is
	 * held, so the stack stays flat and the exchange goes on from the loop. */
	r->a->reply = true;
	r->b->reply = true;
	r->b->room = 50;
	fake_offer(r->a, 0, 1);
	assert_in_range(r->b->got, 1, 2);
	assert_true(r->a->port.lanes->held);
	loop_dispatch(r->loop, 0);
	assert_int_equal(r->a->resumed, 1);
}

static void closing_a_port_parts_the_link(void **state)
{
	struct rig *r = *state;

	r->b->room = 0;
	fake_offer(r->a, 0, 1);
	port_close(&r->b->port);
	assert_true(link_is_closed(r->link));
	assert_int_equal(r->a->resumed, 1);
	assert_int_equal(r->b->closed, 1);
	port_close(&r->b->port); /* twice is fine */
	assert_int_equal(r->b->closed, 1);
	fake_offer(r->a, 0, 1);
	assert_int_equal(r->a->port.lanes->stats.rx.drops[VMTAP_DROP_NO_PEER], 1);
	/* and it can be joined again */
	struct fake *c = fake_new(&r->env, "c");
	struct link *again = link_new(&r->a->port, &c->port, NULL);

	assert_non_null(again);
	fake_offer(r->a, 9, 1);
	assert_int_equal(c->tags[0], 9);
	port_free(&c->port);
	link_free(again);
}

static struct link *to_part;

static unsigned take_and_part(struct port_lane *l, const struct vmtap_frame *frames, unsigned cnt)
{
	unsigned taken = fake_send(l, frames, cnt);

	link_close(to_part);
	return taken;
}

/* Have @f part the link of @r whenever it is sent frames, by @ops, which live as long as it. */
static void part_on_send(struct rig *r, struct fake *f, struct port_ops *ops)
{
	*ops = fake_ops;
	ops->send = take_and_part;
	f->port.ops = ops;
	to_part = r->link;
}

static void what_is_left_when_a_receiver_parts_the_link_is_counted(void **state)
{
	static struct port_ops ops;
	struct rig *r = *state;

	part_on_send(r, r->b, &ops);
	r->b->room = 3;
	assert_int_equal(fake_offer(r->a, 0, 10), 10);
	assert_int_equal(r->b->got, 3);
	assert_int_equal(r->a->port.lanes->stats.rx.frames, 10);
	assert_int_equal(r->a->port.lanes->stats.rx.drops[VMTAP_DROP_NO_PEER], 7);
}

static void a_linked_port_cannot_be_linked_again(void **state)
{
	struct rig *r = *state;
	struct fake *c = fake_new(&r->env, "c");
	struct vmtap_error err = { 0 };

	assert_null(link_new(&r->a->port, &c->port, &err));
	assert_int_equal(err.code, 16); /* EBUSY */
	assert_null(link_new(&c->port, &c->port, &err));
	assert_int_equal(err.code, 22); /* EINVAL */
	port_free(&c->port);
}

static void each_side_is_told_what_the_other_accepts(void **state)
{
	struct rig *r = *state;

	r->a->port.accepts = VMTAP_OFFLOAD_CSUM | VMTAP_OFFLOAD_TSO4;
	r->link = link_new(&r->a->port, &r->b->port, NULL);
	assert_int_equal(r->b->offload, VMTAP_OFFLOAD_CSUM | VMTAP_OFFLOAD_TSO4);
	assert_int_equal(r->a->offload, 0);
	port_set_accepts(&r->b->port, VMTAP_OFFLOAD_CSUM);
	assert_int_equal(r->a->offload, VMTAP_OFFLOAD_CSUM);
	link_close(r->link);
	assert_int_equal(r->a->offload, 0); /* nobody takes anything now */
	assert_int_equal(r->b->offload, 0);
}

/* @cnt TCP frames of 3000 bytes of payload each, to be segmented by @size. Return: frames taken. */
static unsigned offer_tcp(struct fake *f, unsigned cnt, uint16_t size)
{
	struct vmtap_frame frames[VMTAP_BURST_MAX];
	static unsigned char bytes[14 + 20 + 20 + 3000];
	struct iovec iov = { .iov_base = bytes, .iov_len = sizeof(bytes) };
	struct vmtap_frame frame = {
		.hdr = { .flags = VMTAP_HDR_NEEDS_CSUM,
			 .gso_type = VMTAP_GSO_TCPV4,
			 .hdr_len = 54,
			 .gso_size = size,
			 .csum_start = 34,
			 .csum_offset = 16 },
		.len = sizeof(bytes),
		.iov = &iov,
		.iov_cnt = 1,
	};
	static const unsigned char head[] = {
		2,    0,    0, 0, 0,	1, 2,  0, 0, 0, 0,  2, 8, 0, 0x45, 0,
		0x0b, 0xe0, 0, 0, 0x40, 0, 64, 6, 0, 0, 10, 0, 0, 1, 10,   0,
		0,    2,    0, 1, 0,	2, 0,  0, 0, 0, 0,  0, 0, 0, 0x50, 0x10
	};

	memcpy(bytes, head, sizeof(head));
	for (unsigned i = 0; i < cnt; i++)
		frames[i] = frame;
	return port_offer(&f->port, frames, cnt);
}

static void offer_gso(struct fake *f)
{
	assert_int_equal(offer_tcp(f, 1, 1000), 1);
}

static void what_the_receiver_lacks_is_finished_in_software(void **state)
{
	struct rig *r = *state;

	offer_gso(r->a);
	assert_int_equal(r->b->got, 3);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(r->b->lens[i], 1054);
		assert_int_equal(r->b->hdrs[i].gso_type, VMTAP_GSO_NONE);
		assert_false(r->b->hdrs[i].flags & VMTAP_HDR_NEEDS_CSUM);
	}
}

static void what_the_receiver_has_passes_untouched(void **state)
{
	struct rig *r = *state;

	port_set_accepts(&r->b->port, VMTAP_OFFLOAD_CSUM | VMTAP_OFFLOAD_TSO4);
	offer_gso(r->a);
	assert_int_equal(r->b->got, 1);
	assert_int_equal(r->b->lens[0], 3054);
	assert_int_equal(r->b->hdrs[0].gso_type, VMTAP_GSO_TCPV4);
	assert_int_equal(r->a->port.lanes->stats.rx.gso_frames, 1);
	assert_int_equal(r->b->port.lanes->stats.tx.gso_frames, 1);
}

static void segments_that_do_not_fit_wait_in_order(void **state)
{
	struct rig *r = *state;

	r->b->room = 1;
	offer_gso(r->a);
	assert_int_equal(r->b->got, 1);
	assert_int_equal(fake_offer(r->a, 77, 1), 0); /* not before the segments */
	r->b->room = 1;
	port_writable(&r->b->port);
	assert_int_equal(r->b->got, 2);
	assert_int_equal(r->a->resumed, 0);
	r->b->room = 10;
	port_writable(&r->b->port);
	assert_int_equal(r->b->got, 3);
	assert_int_equal(r->a->resumed, 1);
	assert_int_equal(fake_offer(r->a, 77, 1), 1);
	assert_int_equal(r->b->tags[3], 77);
}

static void segments_that_a_receiver_takes_no_more_are_dropped_and_counted(void **state)
{
	struct rig *r = *state;

	port_set_accepts(&r->b->port, VMTAP_OFFLOAD_CSUM);
	r->b->room = 1;
	offer_gso(r->a);
	assert_true(r->b->hdrs[0].flags & VMTAP_HDR_NEEDS_CSUM);
	port_set_accepts(&r->b->port, 0);
	r->b->room = 10;
	port_writable(&r->b->port);
	assert_int_equal(r->b->got, 1);
	assert_int_equal(r->b->port.lanes->stats.tx.drops[VMTAP_DROP_PURGED], 2);
	assert_int_equal(fake_offer(r->a, 77, 1), 1);
	assert_int_equal(r->b->tags[1], 77);
}

static void no_segment_waits_in_a_link_that_was_parted(void **state)
{
	static struct port_ops ops;
	struct rig *r = *state;
	const struct vmtap_counters *tx = &r->b->port.lanes->stats.tx;

	r->b->room = 1;
	offer_gso(r->a);
	part_on_send(r, r->b, &ops);
	port_writable(&r->b->port);
	assert_true(link_is_closed(r->link));
	assert_int_equal(tx->drops[VMTAP_DROP_PURGED],
			 2); /* what was refused, and what was behind it */
	assert_int_equal(tx->frames, 1);
}

static void segmenting_gives_others_their_turn(void **state)
{
	struct rig *r = *state;
	unsigned taken, turns = 0, resumed = 0;

	taken = offer_tcp(r->a, 64, 10); /* 300 segments a frame */
	assert_in_range(taken, 1, 8);
	while (taken < 64 && turns++ < 64) {
		loop_dispatch(r->loop, 0);
		assert_int_equal(r->a->resumed, ++resumed);
		taken += offer_tcp(r->a, 64 - taken, 10);
	}
	assert_int_equal(taken, 64);
	assert_int_equal(r->b->got, 64 * 300);
}

static void a_header_that_lies_is_dropped_and_counted(void **state)
{
	struct rig *r = *state;
	unsigned char bytes[60] = { 0 };
	struct iovec iov = { .iov_base = bytes, .iov_len = sizeof(bytes) };
	struct vmtap_frame frame = {
		.hdr = { .flags = VMTAP_HDR_NEEDS_CSUM, .csum_start = 59, .csum_offset = 60000 },
		.len = sizeof(bytes),
		.iov = &iov,
		.iov_cnt = 1,
	};

	assert_int_equal(port_offer(&r->a->port, &frame, 1), 1);
	assert_int_equal(r->b->got, 0);
	assert_int_equal(r->a->port.lanes->stats.rx.drops[VMTAP_DROP_BAD_HEADER], 1);
}

#define LINKED(f) cmocka_unit_test_setup_teardown(f, setup_linked, teardown)
#define APART(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		LINKED(frames_pass_in_order_both_ways),
		LINKED(both_directions_are_counted),
		LINKED(back_pressure_reaches_the_sender_and_ends),
		APART(a_port_without_peer_discards_and_counts),
		LINKED(link_down_discards_counts_and_tells_the_peer),
		LINKED(link_down_releases_a_held_sender),
		LINKED(a_paused_port_loses_nothing),
		LINKED(a_paused_sender_resumes_only_when_it_polls),
		LINKED(a_waiting_peer_discards_and_releases),
		LINKED(a_port_that_breaks_while_sending_does_not_hold_its_peer),
		LINKED(state_events_come_from_the_loop),
		LINKED(answers_from_inside_send_pass),
		LINKED(two_ports_that_answer_each_other_do_not_recurse),
		LINKED(closing_a_port_parts_the_link),
		LINKED(what_is_left_when_a_receiver_parts_the_link_is_counted),
		LINKED(a_linked_port_cannot_be_linked_again),
		APART(each_side_is_told_what_the_other_accepts),
		LINKED(what_the_receiver_lacks_is_finished_in_software),
		LINKED(what_the_receiver_has_passes_untouched),
		LINKED(segments_that_do_not_fit_wait_in_order),
		LINKED(segments_that_a_receiver_takes_no_more_are_dropped_and_counted),
		LINKED(no_segment_waits_in_a_link_that_was_parted),
		LINKED(segmenting_gives_others_their_turn),
		LINKED(a_header_that_lies_is_dropped_and_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
