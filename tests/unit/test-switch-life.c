/* SPDX-License-Identifier: MIT */
/* Ports of a switch that are slow, answer, come and go. */
#include "unit.h"

#include <errno.h>

#include "switch-test.h"

static uint64_t drops_of(unsigned i, enum vmtap_drop cause)
{
	return ports[i]->port.lanes->stats.tx.drops[cause];
}

static void a_slow_port_holds_up_nobody(void **state)
{
	ports[1]->room = 0;
	for (unsigned i = 0; i < 100; i++)
		say(0, BROADCAST, i);
	assert_got(1, 0);
	assert_got(2, 100);
	assert_false(ports[0]->port.lanes->held);
	assert_true(drops_of(1, VMTAP_DROP_QUEUE_FULL) >= 84);
	assert_int_equal(drops_of(2, VMTAP_DROP_QUEUE_FULL), 0);
}

static void what_waited_goes_first_and_in_order(void **state)
{
	ports[1]->room = 2;
	for (unsigned i = 0; i < 6; i++)
		say(0, BROADCAST, i);
	assert_got(1, 2);
	ports[1]->room = 1;
	port_writable(&ports[1]->port);
	assert_got(1, 3);
	ports[1]->room = 100;
	port_writable(&ports[1]->port);
	say(0, BROADCAST, 6);
	assert_got(1, 7);
	for (unsigned i = 0; i < 7; i++)
		assert_int_equal(ports[1]->tags[i], i);
	assert_int_equal(drops_of(1, VMTAP_DROP_QUEUE_FULL), 0);
}

static void who_floods_leaves_room_for_others(void **state)
{
	ports[1]->room = 0;
	for (unsigned i = 0; i < 100; i++)
		say(0, BROADCAST, i);
	for (unsigned i = 0; i < 4; i++)
		say(2, BROADCAST, 1000 + i);
	ports[1]->room = 1000;
	port_writable(&ports[1]->port);
	assert_int_equal(ports[1]->got, 8 + 4);
	assert_int_equal(ports[1]->tags[8], 1000);
	assert_int_equal(ports[1]->tags[11], 1003);
}

static void a_queue_that_was_full_is_whole_again(void **state)
{
	for (unsigned turn = 0; turn < 50; turn++) {
		ports[1]->room = 0;
		for (unsigned i = 0; i < 20; i++)
			say(0, BROADCAST, i);
		clear();
		ports[1]->room = 1000;
		port_writable(&ports[1]->port);
		assert_got(1, 8);
	}
}

static void segments_that_do_not_fit_wait(void **state)
{
	ports[1]->room = 1;
	assert_int_equal(offer_tcp(0, 1, 1000), 1);
	assert_got(1, 1);
	assert_got(2, 3);
	ports[1]->room = 100;
	port_writable(&ports[1]->port);
	assert_got(1, 3);
}

static void a_port_that_takes_less_gets_nothing_that_it_cannot_take(void **state)
{
	port_set_accepts(&ports[1]->port, VMTAP_OFFLOAD_CSUM | VMTAP_OFFLOAD_TSO4);
	ports[1]->room = 0;
	offer_tcp(0, 1, 1000);
	port_set_accepts(&ports[1]->port, 0);
	ports[1]->room = 100;
	port_writable(&ports[1]->port);
	assert_got(1, 0);
	assert_int_equal(drops_of(1, VMTAP_DROP_PURGED), 1);
	offer_tcp(0, 1, 1000);
	assert_got(1, 3);
}

/* As a guest's driver that starts: at first nothing, then this and that. */
static void a_port_that_changes_its_mind_loses_only_what_it_cannot_take(void **state)
{
	port_set_accepts(&ports[1]->port, VMTAP_OFFLOAD_CSUM | VMTAP_OFFLOAD_TSO4);
	ports[1]->room = 0;
	say(0, BROADCAST, 1);
	offer_tcp(0, 1, 1000);
	say(0, BROADCAST, 2);
	port_set_accepts(&ports[1]->port, 0);
	say(0, BROADCAST, 3);
	offer_tcp(0, 1, 1000); /* in segments now */
	port_set_accepts(&ports[1]->port, VMTAP_OFFLOAD_CSUM);
	ports[1]->room = 100;
	port_writable(&ports[1]->port);
	assert_got(1, 6);
	for (unsigned i = 0; i < 6; i++)
		assert_int_equal(ports[1]->hdrs[i].gso_type, VMTAP_GSO_NONE);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(ports[1]->tags[i], i + 1);
	assert_int_equal(drops_of(1, VMTAP_DROP_PURGED), 1);
}

/* It was with an empty queue: nothing of what waits later is too much for it. */
static void a_port_that_took_less_before_it_was_slow_loses_nothing(void **state)
{
	port_set_accepts(&ports[1]->port, VMTAP_OFFLOAD_CSUM | VMTAP_OFFLOAD_TSO4);
	port_set_accepts(&ports[1]->port, 0);
	ports[1]->room = 0;
	for (unsigned i = 0; i < 8; i++)
		say(0, BROADCAST, i);
	ports[1]->room = 100;
	port_writable(&ports[1]->port);
	assert_got(1, 8);
	assert_int_equal(drops_of(1, VMTAP_DROP_PURGED), 0);
}

static void a_waiting_port_discards_and_counts(void **state)
{
	ports[1]->room = 0;
	say(0, BROADCAST, 1);
	port_set_state(&ports[1]->port, VMTAP_PORT_WAITING);
	say(0, BROADCAST, 2);
	assert_int_equal(drops_of(1, VMTAP_DROP_PEER_GONE), 2);
	port_set_state(&ports[1]->port, VMTAP_PORT_UP);
	ports[1]->room = 10;
	say(0, BROADCAST, 3);
	assert_got(1, 1);
}

static void a_port_that_breaks_while_sending_breaks_alone(void **state)
{
	ports[1]->break_on_send = true;
	say(0, BROADCAST, 1);
	assert_got(2, 1);
	assert_int_equal(ports[1]->port.state, VMTAP_PORT_BROKEN);
	assert_int_equal(drops_of(1, VMTAP_DROP_PEER_GONE), 1);
	say(0, BROADCAST, 2);
	assert_got(2, 2);
}

static void a_paused_port_gets_what_it_has_room_for_later(void **state)
{
	port_set_poll(&ports[1]->port, false);
	for (unsigned i = 0; i < 3; i++)
		say(0, BROADCAST, i);
	assert_got(1, 0);
	assert_got(2, 3);
	port_set_poll(&ports[1]->port, true);
	assert_got(1, 3);
}

static void a_port_that_leaves_is_forgotten(void **state)
{
	say(1, BROADCAST, 1);
	ports[1]->room = 0;
	say(0, MAC_OF(1), 2);
	port_close(&ports[1]->port);
	assert_int_equal(drops_of(1, VMTAP_DROP_PURGED), 1);
	assert_int_equal(stats().ports, 2);
	assert_int_equal(stats().macs, 1);
	say(0, MAC_OF(1), 3);
	assert_got(2, 2);
	assert_int_equal(switch_remove(sw, &ports[1]->port), -ENOENT);
}

static void a_port_that_left_can_come_again(void **state)
{
	static const struct switch_place plain;
	struct vmtap_error err = { 0 };

	assert_int_equal(switch_add(sw, &ports[1]->port, &plain, &err), -EBUSY);
	assert_int_equal(err.code, EBUSY);
	switch_remove(sw, &ports[1]->port);
	fake_offer(ports[1], 1, 1);
	assert_int_equal(ports[1]->port.lanes->stats.rx.drops[VMTAP_DROP_NO_PEER], 1);
	assert_int_equal(switch_add(sw, &ports[1]->port, &plain, &err), 0);
	say(1, BROADCAST, 1);
	assert_got(0, 1);
}

static void closing_the_switch_parts_all(void **state)
{
	static const struct switch_place plain;

	switch_close(sw);
	assert_true(switch_is_closed(sw));
	assert_null(ports[0]->port.junction);
	fake_offer(ports[0], 1, 1);
	assert_int_equal(ports[0]->port.lanes->stats.rx.drops[VMTAP_DROP_NO_PEER], 1);
	assert_int_equal(switch_add(sw, &ports[0]->port, &plain, NULL), -EPIPE);
}

static void there_is_an_end_to_ports(void **state)
{
	static const struct switch_place plain;
	static struct fake *more[SWITCH_PORTS_MAX];
	struct vmtap_error err = { 0 };
	unsigned cnt = 0;
	int ret;

	do {
		more[cnt] = fake_new(&env, "more");
		ret = switch_add(sw, &more[cnt]->port, &plain, &err);
	} while (++cnt < SWITCH_PORTS_MAX && ret == 0);
	assert_int_equal(ret, -ENOSPC);
	assert_int_equal(stats().ports, SWITCH_PORTS_MAX);
	say(0, BROADCAST, 1);
	assert_got(2, 1);
	assert_int_equal(more[cnt - 2]->got, 1);
	while (cnt)
		port_free(&more[--cnt]->port);
	assert_int_equal(stats().ports, PORTS);
}

/* ---------------------------------------------------------------- re-entrance */

static void answers_from_inside_send_pass(void **state)
{
	ports[1]->reply = true;
	say(0, BROADCAST, 1);
	assert_got(0, 1);
	assert_got(2, 2);
	assert_false(ports[1]->port.lanes->held);
}

static void ports_that_answer_each_other_do_not_recurse(void **state)
{
	ports[0]->reply = true;
	ports[1]->reply = true;
	ports[2]->reply = true;
	say(0, BROADCAST, 1);
	assert_in_range(ports[0]->got + ports[1]->got + ports[2]->got, 2, 20);
	for (unsigned turn = 0; turn < 20; turn++)
		loop_dispatch(loop, 0);
}

static void one_offer_does_a_bounded_amount_of_work(void **state)
{
	unsigned taken = offer_tcp(0, 64, 10), turns = 0,
		 resumed = 0; /* 300 segments, twice each */

	assert_in_range(taken, 1, 4);
	assert_true(ports[0]->port.lanes->held);
	while (taken < 64 && turns++ < 64) {
		loop_dispatch(loop, 0);
		assert_int_equal(ports[0]->resumed, ++resumed);
		taken += offer_tcp(0, 64 - taken, 10);
	}
	assert_int_equal(taken, 64);
	assert_int_equal(ports[2]->got + drops_of(2, VMTAP_DROP_QUEUE_FULL), 64 * 300);
}

/* What a callback of the application can do: the port parts from inside of its own send. */
static struct port_ops leaving_ops;

static unsigned leaving_send(struct port_lane *lane, const struct vmtap_frame *frames, unsigned cnt)
{
	struct fake *f = (struct fake *)lane->port;
	unsigned char byte = 0;

	f->got += cnt;
	if (f->freed_on == 1)
		lane->port->junction->ops->leave(lane->port->junction, lane->port);
	else if (f->freed_on == 2)
		switch_close(sw);
	for (unsigned i = 0; i < cnt; i++) /* the frames are still there */
		assert_int_equal(iov_read(frames[i].iov, frames[i].iov_cnt, 59, &byte, 1), 1);
	return cnt;
}

static void part_inside(unsigned how, bool queued)
{
	leaving_ops = fake_ops;
	leaving_ops.send = leaving_send;
	if (queued) {
		ports[1]->room = 0;
		say(0, BROADCAST, 1);
		say(0, BROADCAST, 1);
	}
	ports[1]->port.ops = &leaving_ops;
	ports[1]->freed_on = how;
	if (queued)
		port_writable(&ports[1]->port);
	else
		say(0, BROADCAST, 2);
	assert_null(ports[1]->port.junction);
}

static void a_port_may_leave_inside_of_its_send(void **state)
{
	part_inside(1, false);
	say(0, BROADCAST, 3);
	assert_got(2, 2);
}

static void a_port_may_leave_while_its_queue_drains(void **state)
{
	part_inside(1, true);
	say(0, BROADCAST, 3);
	assert_got(2, 3);
}

static void the_switch_may_be_closed_inside_of_a_send(void **state)
{
	part_inside(2, false);
	assert_true(switch_is_closed(sw));
}

static void the_switch_may_be_closed_while_a_queue_drains(void **state)
{
	part_inside(2, true);
	assert_true(switch_is_closed(sw));
}

static void what_is_left_when_the_switch_is_closed_inside_is_counted(void **state)
{
	const struct vmtap_stats *s = &ports[0]->port.lanes->stats;

	leaving_ops = fake_ops;
	leaving_ops.send = leaving_send;
	ports[1]->port.ops = &leaving_ops;
	ports[1]->freed_on = 2;
	assert_int_equal(offer_tcp(0, 64, 10), 64); /* more than is looked at in one go */
	assert_int_equal(s->rx.frames, 64);
	assert_in_range(s->rx.drops[VMTAP_DROP_NO_PEER], 56, 63);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SWITCH(a_slow_port_holds_up_nobody),
		SWITCH(what_waited_goes_first_and_in_order),
		SWITCH(who_floods_leaves_room_for_others),
		SWITCH(a_queue_that_was_full_is_whole_again),
		SWITCH(segments_that_do_not_fit_wait),
		SWITCH(a_port_that_takes_less_gets_nothing_that_it_cannot_take),
		SWITCH(a_port_that_changes_its_mind_loses_only_what_it_cannot_take),
		SWITCH(a_port_that_took_less_before_it_was_slow_loses_nothing),
		SWITCH(a_waiting_port_discards_and_counts),
		SWITCH(a_port_that_breaks_while_sending_breaks_alone),
		SWITCH(a_paused_port_gets_what_it_has_room_for_later),
		SWITCH(a_port_that_leaves_is_forgotten),
		SWITCH(a_port_that_left_can_come_again),
		SWITCH(closing_the_switch_parts_all),
		SWITCH(there_is_an_end_to_ports),
		SWITCH(answers_from_inside_send_pass),
		SWITCH(ports_that_answer_each_other_do_not_recurse),
		SWITCH(one_offer_does_a_bounded_amount_of_work),
		SWITCH(a_port_may_leave_inside_of_its_send),
		SWITCH(a_port_may_leave_while_its_queue_drains),
		SWITCH(the_switch_may_be_closed_inside_of_a_send),
		SWITCH(the_switch_may_be_closed_while_a_queue_drains),
		SWITCH(what_is_left_when_the_switch_is_closed_inside_is_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
