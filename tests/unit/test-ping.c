/* SPDX-License-Identifier: MIT */
/* Pings of a port: what becomes of probes, whatever its outside does with them. */
#include "unit.h"

#include <errno.h>

#include "base/clock.h"
#include "fake-port.h"
#include "filter/ping.h"
#include "net/link.h"
#include "net/packet.h"

#define KEPT 64u
#define NEVER_MS 60000u /* an answer that has so much time is never late */

/**
 * struct rig - Two ports, and a ping of the first, whose outside keeps what it gets
 * @room: frames that it still takes
 * @probes: what the ping told, in order
 */
struct rig {
	struct loop *loop;
	struct port_env env;
	struct port_ops ops;
	struct fake *a, *b;
	struct link *link;
	struct ping *ping;
	struct vmtap_error err;
	struct vmtap_ping_probe probes[KEPT];
	unsigned probe_cnt, ended, room, got;
	uint8_t frames[KEPT][128];
	unsigned lens[KEPT];
	bool detach_when_told;
};

static struct rig *rig; /* a port's outside has no other way to it */

static unsigned keep_frames(struct port_lane *l, const struct vmtap_frame *frames, unsigned cnt)
{
	unsigned n = 0;

	for (; n < cnt && rig->room; n++, rig->room--, rig->got++)
		rig->lens[rig->got % KEPT] =
			(unsigned)iov_read(frames[n].iov, frames[n].iov_cnt, 0,
					   rig->frames[rig->got % KEPT], sizeof(rig->frames[0]));
	return n;
}

static int setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));

	r->loop = loop_new();
	r->env = (struct port_env) { .loop = r->loop, .cancel_fd = -1 };
	r->a = fake_new(&r->env, "a");
	r->b = fake_new(&r->env, "b");
	r->ops = fake_ops;
	r->ops.send = keep_frames;
	r->a->port.ops = &r->ops;
	r->room = ~0u;
	r->link = link_new(&r->a->port, &r->b->port, NULL);
	*state = rig = r;
	return r->link ? 0 : -1;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	ping_free(r->ping);
	port_free(&r->a->port);
	port_free(&r->b->port);
	link_free(r->link);
	loop_free(r->loop);
	free(r);
	return 0;
}

static void on_probed(void *opaque, const struct vmtap_ping_probe *probe)
{
	struct rig *r = opaque;

	r->probes[r->probe_cnt++ % KEPT] = *probe;
	if (r->detach_when_told)
		ping_detach(r->ping, NULL);
}

static void on_ended(void *opaque)
{
	((struct rig *)opaque)->ended++;
}

static void start(struct rig *r, struct vmtap_ping_config config)
{
	const struct ping_events events = { on_probed, on_ended, r };

	if (!config.address)
		config.address = "10.0.0.9";
	else if (!*config.address)
		config.address = NULL;
	r->ping = ping_new(&r->a->port, &config, &events, &r->err);
}

static struct vmtap_ping_stats stats(const struct rig *r)
{
	struct vmtap_ping_stats s;

	ping_stats(r->ping, &s);
	return s;
}

#define until(r, condition)  \
	while (!(condition)) \
	assert_int_equal(loop_dispatch((r)->loop, 10000), 0)

/* What @mac would answer to the ARP request that was got as the @n'th, enters by the port @cnt times. */
static void answer_by(struct rig *r, unsigned n, uint8_t mac, unsigned cnt)
{
	struct vmtap_frame frames[VMTAP_BURST_MAX];
	struct iovec iov = { .iov_base = (uint8_t[60]) { 0 }, .iov_len = 60 };
	const uint8_t *asked = r->frames[n % KEPT], from[6] = { 0x52, 0x54, 0, 0, 0, mac };
	uint8_t *f = iov.iov_base;

	memcpy(f, asked + 6, 6);
	memcpy(f + 6, from, 6);
	memcpy(f + 12, asked + 12, 8);
	put_be16(f + 20, 2);
	memcpy(f + 22, from, 6);
	memcpy(f + 28, asked + 38, 4);
	memcpy(f + 32, asked + 22, 10);
	for (unsigned i = 0; i < cnt; i++)
		frames[i] = (struct vmtap_frame) { .len = 60, .iov = &iov, .iov_cnt = 1 };
	assert_int_equal(port_offer(&r->a->port, frames, cnt), cnt);
}

static void an_answer_is_caught_and_goes_no_further(void **state)
{
	struct rig *r = *state;
	struct vmtap_stats s;

	start(r, (struct vmtap_ping_config) { .count = 1, .timeout_ms = NEVER_MS });
	until(r, r->got == 1);
	answer_by(r, 0, 1, 1);
	until(r, r->ended);
	assert_int_equal(r->probe_cnt, 1);
	assert_int_equal(r->probes[0].fate, VMTAP_PING_ANSWERED);
	assert_int_equal(r->probes[0].seq, 1);
	assert_int_equal(r->probes[0].mac[5], 1);
	assert_string_equal(r->probes[0].address, "10.0.0.9");
	assert_true(r->probes[0].outside_ns > 0);
	assert_true(r->probes[0].busy_ns <= r->probes[0].outside_ns);
	assert_int_equal(r->b->got, 0);
	port_stats(&r->a->port, &s);
	assert_int_equal(s.rx.frames, 1);
	assert_int_equal(s.tx.frames, 1);
	assert_int_equal(stats(r).answered, 1);
	assert_null(ping_error(r->ping));
	assert_null(r->a->port.hooks);
}

static void other_frames_pass(void **state)
{
	struct rig *r = *state;

	start(r, (struct vmtap_ping_config) { .count = 1, .timeout_ms = NEVER_MS });
	until(r, r->got == 1);
	assert_int_equal(fake_offer(r->a, 100, 64), 64);
	answer_by(r, 0, 1, 1);
	assert_int_equal(fake_offer(r->a, 164, 6), 6);
	assert_int_equal(r->b->got, 70);
	for (unsigned i = 0; i < 70; i++)
		assert_int_equal(r->b->tags[i], 100 + i);
}

static void who_is_heard_is_asked_when_nobody_answers(void **state)
{
	struct rig *r = *state;
	uint8_t arp[60];
	struct iovec iov = { .iov_base = arp, .iov_len = sizeof(arp) };
	const struct vmtap_frame frame = { .len = sizeof(arp), .iov = &iov, .iov_cnt = 1 };

	start(r, (struct vmtap_ping_config) { .address = "", .interval_ms = 10, .timeout_ms = 10 });
	until(r, r->got == 1);
	assert_int_equal(get_be16(r->frames[0] + 12), 0x86dd);
	memset(arp, 0, sizeof(arp));
	memcpy(arp + 12, (const uint8_t[]) { 8, 6, 0, 1, 8, 0, 6, 4, 0, 1 }, 10);
	port_offer(&r->a->port, &frame, 1); /* one who asks whether an address is free */
	memcpy(arp + 28, (const uint8_t[]) { 10, 0, 0, 5 }, 4);
	port_offer(&r->a->port, &frame, 1);
	assert_int_equal(r->b->got, 2);
	until(r, get_be16(r->frames[(r->got - 1) % KEPT] + 12) == 0x0806);
	assert_int_equal(r->probes[0].fate, VMTAP_PING_LOST);
	assert_memory_equal(r->frames[(r->got - 1) % KEPT] + 38, arp + 28, 4);
	assert_string_equal(ping_method(r->ping), "ARP requests for 10.0.0.5");
}

static void a_thread_that_is_busy_is_told_from_one_that_waits(void **state)
{
	struct rig *r = *state;
	uint64_t begin;

	start(r,
	      (struct vmtap_ping_config) { .count = 2, .interval_ms = 10, .timeout_ms = NEVER_MS });
	until(r, r->got == 1);
	begin = clock_ns();
	while (clock_ns() - begin < 5 * NSEC_PER_MSEC)
		;
	answer_by(r, 0, 1, 1);
	until(r, r->got == 2);
	begin = loop_waited_ns(r->loop);
	while (loop_waited_ns(r->loop) - begin < 20 * NSEC_PER_MSEC)
		loop_dispatch(r->loop, 20);
	answer_by(r, 1, 1, 1);
	until(r, r->ended);
	assert_true(r->probes[0].busy_ns >= 5 * NSEC_PER_MSEC);
	assert_true(r->probes[0].busy_ns <= r->probes[0].outside_ns);
	assert_true(r->probes[1].outside_ns - r->probes[1].busy_ns >= 20 * NSEC_PER_MSEC);
}

static void one_that_nobody_answers_is_lost(void **state)
{
	struct rig *r = *state;

	start(r, (struct vmtap_ping_config) { .count = 2, .interval_ms = 10, .timeout_ms = 10 });
	until(r, r->ended);
	assert_int_equal(r->probe_cnt, 2);
	assert_int_equal(r->probes[0].fate, VMTAP_PING_LOST);
	assert_int_equal(r->probes[1].seq, 2);
	assert_int_equal(stats(r).sent, 2);
	assert_int_equal(stats(r).lost, 2);
}

static void an_answer_that_is_late_is_no_other_probes(void **state)
{
	struct rig *r = *state;

	start(r, (struct vmtap_ping_config) { .count = 2, .interval_ms = 200, .timeout_ms = 10 });
	until(r, r->probe_cnt == 1);
	answer_by(r, 0, 1, 1);
	until(r, r->ended);
	assert_int_equal(r->probes[0].fate, VMTAP_PING_LOST);
	assert_int_equal(r->probes[1].fate, VMTAP_PING_LOST);
	assert_int_equal(stats(r).late, 1);
	assert_int_equal(r->b->got, 0);
}

static void further_answers_are_counted(void **state)
{
	struct rig *r = *state;

	start(r, (struct vmtap_ping_config) { .interval_ms = 3600000, .timeout_ms = NEVER_MS });
	until(r, r->got == 1);
	answer_by(r, 0, 1, 1);
	answer_by(r, 0, 1, 3);
	answer_by(r, 0, 2, 2);
	until(r, stats(r).others == 2);
	assert_int_equal(r->probe_cnt, 1);
	assert_int_equal(r->probes[0].mac[5], 1);
	assert_int_equal(stats(r).duplicates, 3);
	answer_by(r, 0, 1, 1); /* when all is over */
	until(r, stats(r).duplicates == 4);
}

static void a_flood_of_answers_is_bounded(void **state)
{
	struct rig *r = *state;

	start(r, (struct vmtap_ping_config) { .interval_ms = 3600000, .timeout_ms = NEVER_MS });
	until(r, r->got == 1);
	for (unsigned i = 0; i < 100; i++)
		answer_by(r, 0, 1, 64);
	until(r, stats(r).answered == 1);
	assert_int_equal(stats(r).duplicates + stats(r).late, 6399);
	assert_true(stats(r).late > 0);
	assert_int_equal(r->b->got, 0);
}

static void sixteen_are_on_their_way_at_most(void **state)
{
	struct rig *r = *state;

	start(r, (struct vmtap_ping_config) { .interval_ms = 10, .timeout_ms = NEVER_MS });
	until(r, r->got == 16);
	for (unsigned i = 0; i < 10; i++)
		loop_dispatch(r->loop, 10);
	assert_int_equal(r->got, 16);
	answer_by(r, 0, 1, 1); /* makes room for one */
	until(r, r->got == 17);
	for (unsigned i = 0; i < 10; i++)
		loop_dispatch(r->loop, 10);
	assert_int_equal(r->got, 17);
	assert_int_equal(r->probe_cnt, 1);
}

static void one_that_the_port_takes_late_waited_there(void **state)
{
	struct rig *r = *state;

	r->room = 0;
	start(r, (struct vmtap_ping_config) { .count = 1, .timeout_ms = NEVER_MS });
	until(r, port_is_blocked(&r->a->port));
	assert_int_equal(fake_offer(r->b, 0, 3), 0); /* comes later, and goes first */
	r->room = ~0u;
	port_writable(&r->a->port);
	assert_int_equal(r->b->resumed, 1);
	assert_int_equal(fake_offer(r->b, 0, 3), 3);
	until(r, r->got == 4);
	assert_int_equal(get_be16(r->frames[3] + 12), 0x0806);
	answer_by(r, 3, 1, 1);
	until(r, r->ended);
	assert_int_equal(r->probes[0].fate, VMTAP_PING_ANSWERED);
	assert_true(r->probes[0].hand_over_ns > 0);
}

/* There is always one more. */
static void offer_more(struct port_lane *l)
{
	while (l->port->junction && fake_offer((struct fake *)l->port, 0, 1))
		;
}

static bool has_probe(const struct rig *r)
{
	for (unsigned i = 0; i < r->got; i++)
		if (get_be16(r->frames[i % KEPT] + 12) == 0x0806)
			return true;
	return false;
}

static void a_port_that_others_keep_full_takes_it_in_turn(void **state)
{
	struct rig *r = *state;
	static struct port_ops busy;

	busy = fake_ops;
	busy.resume = offer_more;
	r->b->port.ops = &busy;
	r->room = 0;
	offer_more(r->b->port.lanes);
	start(r, (struct vmtap_ping_config) { .count = 1, .timeout_ms = NEVER_MS });
	for (unsigned turn = 0; turn < 10 && !has_probe(r); turn++) {
		loop_dispatch(r->loop, 0);
		r->room = 2;
		port_writable(&r->a->port);
		until(r, !r->room);
	}
	assert_true(has_probe(r));
	assert_true(r->got > 2); /* the others were there before */
	for (unsigned i = 0; i < 3; i++)
		loop_dispatch(r->loop, 0);
	assert_true(port_is_blocked(&r->a->port));
	r->room = 5;
	port_writable(&r->a->port); /* and go on */
	assert_int_equal(r->room, 0);
}

static void one_that_the_port_does_not_take_is_given_up(void **state)
{
	struct rig *r = *state;

	r->room = 0;
	start(r, (struct vmtap_ping_config) { .count = 1, .timeout_ms = 10 });
	until(r, r->ended);
	assert_int_equal(r->probes[0].fate, VMTAP_PING_HELD);
	assert_true(r->probes[0].hand_over_ns > 0);
	r->room = ~0u;
	port_writable(&r->a->port);
	for (unsigned i = 0; i < 3; i++)
		loop_dispatch(r->loop, 0);
	assert_int_equal(r->got, 0);
	assert_int_equal(stats(r).sent, 0);
}

static void one_that_the_port_discards_says_why(void **state)
{
	struct rig *r = *state;

	port_set_link(&r->a->port, false, NULL);
	start(r, (struct vmtap_ping_config) { .count = 1 });
	until(r, r->ended);
	assert_int_equal(r->probes[0].fate, VMTAP_PING_DROPPED);
	assert_int_equal(r->probes[0].cause, VMTAP_DROP_LINK_DOWN);
}

static void a_port_that_is_parted_from_its_peer_has_no_answers(void **state)
{
	struct rig *r = *state;

	start(r, (struct vmtap_ping_config) { .interval_ms = 10, .timeout_ms = 10 });
	until(r, r->got == 1);
	link_free(r->link);
	r->link = NULL;
	until(r, stats(r).dropped > 0);
	assert_int_equal(r->probes[(r->probe_cnt - 1) % KEPT].cause, VMTAP_DROP_NO_PEER);
	r->link = link_new(&r->a->port, &r->b->port, NULL);
	r->got = 0;
	until(r, r->got == 1);
}

static void a_port_that_breaks_ends_it(void **state)
{
	struct rig *r = *state;
	const struct vmtap_error why = { .code = EIO, .object = "a", .reason = "told to" };

	start(r, (struct vmtap_ping_config) { .interval_ms = 10 });
	until(r, r->got == 1);
	port_fail(&r->a->port, &why);
	until(r, r->ended);
	assert_non_null(ping_error(r->ping));
	assert_string_equal(ping_error(r->ping)->reason, "told to");
}

static void it_may_end_while_it_tells(void **state)
{
	struct rig *r = *state;

	r->detach_when_told = true;
	start(r, (struct vmtap_ping_config) { .interval_ms = 10, .timeout_ms = 10 });
	until(r, r->ended);
	assert_int_equal(r->probe_cnt, 1);
	ping_detach(r->ping, NULL);
	for (unsigned i = 0; i < 3; i++)
		loop_dispatch(r->loop, 0);
	assert_int_equal(r->ended, 1);
	assert_true(ping_is_over(r->ping));
}

static void it_may_be_freed_at_any_time(void **state)
{
	struct rig *r = *state;

	start(r, (struct vmtap_ping_config) { 0 });
	ping_free(r->ping); /* before its first probe */
	r->room = 0;
	start(r, (struct vmtap_ping_config) { 0 });
	until(r, port_is_blocked(&r->a->port));
	ping_free(r->ping); /* with one that waits */
	r->ping = NULL;
	r->room = ~0u;
	port_writable(&r->a->port);
	loop_dispatch(r->loop, 0);
	assert_int_equal(r->got, 0);
	assert_int_equal(r->ended, 0);
}

static void two_pings_do_not_take_each_others_answers(void **state)
{
	struct rig *r = *state;
	struct ping *first;

	start(r, (struct vmtap_ping_config) { .interval_ms = 3600000, .timeout_ms = NEVER_MS });
	first = r->ping;
	start(r, (struct vmtap_ping_config) { .interval_ms = 3600000, .timeout_ms = NEVER_MS });
	until(r, r->got == 2);
	answer_by(r, 1, 1, 1);
	until(r, stats(r).answered == 1);
	ping_free(first);
	assert_int_equal(r->probe_cnt, 1);
}

static void who_asks_for_the_probes_address_is_answered(void **state)
{
	struct rig *r = *state;
	struct iovec iov = { .iov_len = 86 };
	const struct vmtap_frame frame = { .len = 86, .iov = &iov, .iov_cnt = 1 };
	uint8_t target[16];

	/* what it asks with is what it is asked for, by somebody else with the same frames */
	start(r, (struct vmtap_ping_config) {
			 .address = "fe80::9", .interval_ms = 3600000, .timeout_ms = NEVER_MS });
	until(r, r->got == 1);
	assert_int_equal(r->lens[0], 86);
	memcpy(target, r->frames[0] + 22, 16);
	memcpy(r->frames[0] + 22, r->frames[0] + 62, 16);
	memcpy(r->frames[0] + 62, target, 16);
	iov.iov_base = r->frames[0];
	for (unsigned i = 0; i < 100; i++)
		port_offer(&r->a->port, &frame, 1);
	until(r, r->got > 1);
	assert_true(r->got <= 1 + 4); /* not one for each */
	assert_int_equal(r->frames[1][54], 136);
	assert_memory_equal(r->frames[1] + 62, target, 16);
	assert_int_equal(r->b->got, 0);
}

static void what_cannot_be_is_refused(void **state)
{
	static const struct vmtap_ping_config bad[] = {
		{ .interval_ms = 9 },
		{ .interval_ms = 3600001 },
		{ .timeout_ms = 9 },
		{ .timeout_ms = 60001 },
		{ .vlan = 4095 },
		{ .address = "vm0" },
		{ .address = "fe80::1", .source = "10.0.0.1" },
	};
	struct rig *r = *state;

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		start(r, bad[i]);
		assert_null(r->ping);
		assert_int_equal(r->err.code, EINVAL);
	}
	assert_null(r->a->port.hooks);
	link_free(r->link);
	r->link = NULL;
	start(r, (struct vmtap_ping_config) { 0 });
	assert_null(r->ping);
	assert_int_equal(r->err.code, ENOTCONN);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(an_answer_is_caught_and_goes_no_further),
		CASE(other_frames_pass),
		CASE(who_is_heard_is_asked_when_nobody_answers),
		CASE(a_thread_that_is_busy_is_told_from_one_that_waits),
		CASE(one_that_nobody_answers_is_lost),
		CASE(an_answer_that_is_late_is_no_other_probes),
		CASE(further_answers_are_counted),
		CASE(a_flood_of_answers_is_bounded),
		CASE(sixteen_are_on_their_way_at_most),
		CASE(one_that_the_port_takes_late_waited_there),
		CASE(a_port_that_others_keep_full_takes_it_in_turn),
		CASE(one_that_the_port_does_not_take_is_given_up),
		CASE(one_that_the_port_discards_says_why),
		CASE(a_port_that_is_parted_from_its_peer_has_no_answers),
		CASE(a_port_that_breaks_ends_it),
		CASE(it_may_end_while_it_tells),
		CASE(it_may_be_freed_at_any_time),
		CASE(two_pings_do_not_take_each_others_answers),
		CASE(who_asks_for_the_probes_address_is_answered),
		CASE(what_cannot_be_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
