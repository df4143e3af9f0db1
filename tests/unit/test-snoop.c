/* SPDX-License-Identifier: MIT */
/* Four ports: a router behind 0, hosts behind the others. The clock is the test's. */
#include "unit.h"

#include <stdio.h>
#include <stdlib.h>

#include "mcast-frames.h"
#include "net/snoop.h"

#define MAX 64u
#define GROUP "239.1.2.3"
#define GROUP6 "ff0e::7"
#define R 1u /* the router's port, as a bit */
#define A 2u
#define B 4u
#define C 8u
#define ALL UINT64_MAX
#define QUERY_S 125u

static struct snoop *s;
static uint64_t now;
static struct mcast_frame f;
static uint8_t *scratch;

static int setup(void **state)
{
	now = 1000;
	s = snoop_new(MAX);
	scratch = malloc(VMTAP_FRAME_MAX);
	for (unsigned i = 0; i < 4; i++)
		snoop_port_came(s, i, false, now);
	now += 1000;
	return s && scratch ? 0 : -1;
}

static int teardown(void **state)
{
	snoop_free(s);
	free(scratch);
	return 0;
}

static void sleep_s(uint64_t seconds)
{
	now += seconds * 1000;
}

/* Where what is in f goes, as bits; ALL: everywhere. */
static uint64_t give_as(const struct snoop_place *from)
{
	struct mcast_msg m;
	struct port_set to;

	mcast_parse(&f.frame, f.bytes, f.l3, get_be16(f.bytes + f.l3 - 2), scratch, &m);
	assert_int_not_equal(m.kind, MCAST_WRONG);
	return snoop_take(s, from, &m, now, &to) == SNOOP_ALL ? ALL : to.bits[0];
}

static uint64_t give(unsigned port)
{
	return give_as(&(struct snoop_place) { .port = port });
}

static uint64_t query(void)
{
	mf_igmp(&f, "10.0.0.9", MCAST_ALL4, 0x11, 100, "0.0.0.0");
	return give(0);
}

/* The router asks, and all had time to answer. */
static void query_answered(void)
{
	query();
	sleep_s(11);
}

static uint64_t report(unsigned port, const char *group)
{
	mf_igmp(&f, "10.0.0.1", group, 0x16, 0, group);
	return give(port);
}

static uint64_t leave(unsigned port, const char *group)
{
	mf_igmp(&f, "10.0.0.1", "224.0.0.2", 0x17, 0, group);
	return give(port);
}

static uint64_t ask(const char *group)
{
	mf_igmp(&f, "10.0.0.9", group, 0x11, 10, group);
	return give(0);
}

static uint64_t data(const char *group)
{
	mf_data(&f, group);
	return give(3);
}

/* ------------------------------------------------------------------------ queriers */

static void without_a_querier_all_goes_to_all(void **state)
{
	assert_int_equal(report(1, GROUP), ALL);
	assert_int_equal(data(GROUP), ALL);
	assert_int_equal(data("239.9.9.9"), ALL);
	assert_int_equal(snoop_memberships(s), 1);
}

static void with_one_groups_go_to_members_and_the_router(void **state)
{
	report(1, GROUP);
	query_answered();
	assert_int_equal(data(GROUP), R | A);
	report(2, GROUP);
	assert_int_equal(data(GROUP), R | A | B);
	assert_int_equal(data("239.9.9.9"), R);
	assert_int_equal(snoop_counts(s)->members, 2);
	assert_int_equal(snoop_counts(s)->routers, 1);
}

static void local_groups_go_to_all(void **state)
{
	query_answered();
	report(1, "224.0.0.251");
	assert_int_equal(data("224.0.0.251"), ALL);
	assert_int_equal(data("224.0.0.5"), ALL);
	assert_int_equal(snoop_memberships(s), 0);
}

static void a_query_goes_to_all_and_reports_to_routers(void **state)
{
	assert_int_equal(query(), ALL);
	assert_int_equal(report(1, GROUP), R);
	assert_int_equal(leave(1, GROUP), R);
	assert_int_equal(ask(GROUP), ALL);
	mf_report(&f, false, 1);
	mf_record(&f, 4, 0, 0, GROUP);
	mf_finish(&f);
	assert_int_equal(give(1), R);
}

static void nothing_is_kept_from_anybody_before_the_first_query_was_answered(void **state)
{
	query();
	sleep_s(10);
	assert_int_equal(data(GROUP), ALL);
	report(1, GROUP);
	sleep_s(1);
	assert_int_equal(data(GROUP), R | A);
}

static void when_the_querier_is_gone_all_goes_to_all(void **state)
{
	query_answered();
	report(1, GROUP);
	sleep_s(260 - 12);
	assert_int_equal(data(GROUP), R | A);
	sleep_s(1);
	assert_int_equal(data(GROUP), ALL);
	assert_int_equal(snoop_queriers(s, now), 0);
	query(); /* again */
	assert_int_equal(data(GROUP), ALL);
	sleep_s(11);
	assert_int_equal(data("239.9.9.9"), R);
}

static void a_querier_without_address_is_one(void **state)
{
	mf_igmp(&f, "0.0.0.0", MCAST_ALL4, 0x11, 100, "0.0.0.0"); /* a bridge of Linux */
	assert_int_equal(give(0), ALL);
	sleep_s(11);
	assert_int_equal(report(1, GROUP), R);
	assert_int_equal(data(GROUP), R | A);
}

static void the_other_family_is_asked_by_itself(void **state)
{
	query_answered();
	report(1, GROUP);
	mf_mld(&f, "fe80::1", GROUP6, 131, 0, GROUP6);
	assert_int_equal(give(2), ALL); /* no router of IPv6 */
	assert_int_equal(data(GROUP6), ALL);
	mf_mld(&f, "fe80::9", MCAST_ALL6, 130, 10000, "::");
	give(0);
	sleep_s(11);
	assert_int_equal(data(GROUP6), R | B);
	assert_int_equal(data("ff02::1:ff00:1"), ALL);
	assert_int_equal(data("ff05::2"), R);
	assert_int_equal(snoop_queriers(s, now), 2);
}

static void vlans_are_apart(void **state)
{
	struct snoop_place router = { .port = 0, .vlan = 10 }, host = { .port = 1, .vlan = 10 };
	struct snoop_querier q;

	mf_igmp(&f, "10.0.0.9", MCAST_ALL4, 0x11, 100, "0.0.0.0");
	give_as(&router);
	mf_igmp(&f, "10.0.0.1", GROUP, 0x16, 0, GROUP);
	assert_int_equal(give_as(&host), R);
	sleep_s(11);
	mf_data(&f, GROUP);
	assert_int_equal(give_as(&host), R | A);
	host.vlan = 11;
	assert_int_equal(give_as(&host), ALL);
	assert_int_equal(data(GROUP), ALL);
	assert_true(snoop_querier(s, 10, false, now, &q));
	assert_false(snoop_querier(s, 11, false, now, &q));
}

static void who_shows_to_be_a_router_gets_all_groups(void **state)
{
	static const uint8_t hello[] = { 0x20, 0, 0, 0, 0, 1, 0, 2, 0, 105 };

	query_answered();
	mf_ip4(&f, "10.0.0.8", "224.0.0.13", IPPROTO_PIM);
	mf_put(&f, hello, sizeof(hello));
	mf_finish(&f);
	assert_int_equal(give(2), ALL);
	report(1, GROUP);
	assert_int_equal(data(GROUP), R | A | B);
	assert_int_equal(report(1, GROUP), R | B);
}

/* ------------------------------------------------------------------------- members */

static void members_that_do_not_answer_age(void **state)
{
	report(1, GROUP);
	report(2, GROUP);
	for (unsigned i = 0; i < 2; i++) {
		query_answered();
		report(2, GROUP);
		sleep_s(QUERY_S - 11);
	}
	query_answered();
	assert_int_equal(data(GROUP), R | B); /* 261 s after the other's */
	assert_true(snoop_sweep(s, now));
	assert_int_equal(snoop_memberships(s), 1);
}

static void who_leaves_is_a_member_until_others_had_time_to_answer(void **state)
{
	query_answered();
	report(1, GROUP);
	report(2, GROUP);
	assert_int_equal(leave(1, GROUP), R);
	ask(GROUP);
	assert_int_equal(data(GROUP), R | A | B);
	sleep_s(1);
	ask(GROUP);
	report(2, GROUP);
	sleep_s(2);
	assert_int_equal(data(GROUP), R | A | B); /* another behind the same port may come yet */
	sleep_s(1);
	assert_int_equal(data(GROUP), R | B);
}

static void who_leaves_is_gone_also_when_nobody_is_asked(void **state)
{
	query_answered();
	report(1, GROUP);
	leave(1, GROUP);
	sleep_s(3);
	assert_int_equal(data(GROUP), R);
}

static void another_behind_the_same_port_keeps_it(void **state)
{
	query_answered();
	report(1, GROUP);
	leave(1, GROUP);
	ask(GROUP);
	sleep_s(1);
	report(1, GROUP);
	sleep_s(100);
	assert_int_equal(data(GROUP), R | A);
}

static void a_querier_that_gives_more_time_gets_it(void **state)
{
	query_answered();
	report(1, GROUP);
	leave(1, GROUP);
	mf_igmp(&f, "10.0.0.9", GROUP, 0x11, 50, GROUP); /* five seconds */
	give(0);
	sleep_s(10);
	assert_int_equal(data(GROUP), R | A);
	sleep_s(1);
	assert_int_equal(data(GROUP), R);
}

static void who_is_asked_and_silent_is_gone(void **state)
{
	query_answered();
	report(1, GROUP);
	report(1, "239.5.5.5");
	report(2, GROUP);
	ask(GROUP);
	report(2, GROUP);
	sleep_s(3);
	assert_int_equal(data(GROUP), R | B);
	assert_int_equal(data("239.5.5.5"), R | A);
}

static void without_a_querier_a_leave_shortens_nothing(void **state)
{
	report(1, GROUP);
	leave(1, GROUP);
	sleep_s(5);
	query_answered();
	assert_int_equal(data(GROUP), R | A);
}

static void records_of_new_reports_join_and_leave(void **state)
{
	query_answered();
	mf_report(&f, false, 3);
	mf_record(&f, 4, 0, 0, GROUP);
	mf_record(&f, 5, 0, 2, "232.1.1.1");
	mf_record(&f, 4, 0, 0, "224.0.0.251");
	mf_finish(&f);
	give(1);
	assert_int_equal(data(GROUP), R | A);
	assert_int_equal(data("232.1.1.1"), R | A);
	assert_int_equal(snoop_memberships(s), 2);
	mf_report(&f, false, 1);
	mf_record(&f, 3, 0, 0, GROUP);
	mf_finish(&f);
	give(1);
	sleep_s(3);
	assert_int_equal(data(GROUP), R);
	assert_int_equal(data("232.1.1.1"), R | A);
}

static void a_rare_query_makes_memberships_longer(void **state)
{
	mf_igmp(&f, "10.0.0.9", MCAST_ALL4, 0x11, 100, "0.0.0.0");
	mf_new_query(&f, 2, 0x90, 0); /* 2 times 256 s */
	mf_finish(&f);
	give(0);
	sleep_s(11);
	report(1, GROUP);
	sleep_s(500);
	assert_int_equal(data(GROUP), R | A);
}

static void a_strangers_query_makes_them_no_shorter(void **state)
{
	query_answered();
	report(1, GROUP);
	mf_igmp(&f, "0.0.0.1", MCAST_ALL4, 0x11, 1, "0.0.0.0");
	mf_new_query(&f, 1, 1, 0); /* every second */
	mf_finish(&f);
	give(2);
	report(1, GROUP);
	sleep_s(200);
	assert_int_equal(data(GROUP), R | A | B);
}

/* --------------------------------------------------------------------------- ports */

static void a_port_that_came_gets_all_until_it_was_asked(void **state)
{
	query_answered();
	report(1, GROUP);
	snoop_port_came(s, 2, false, now);
	assert_int_equal(data(GROUP), R | A | B);
	assert_int_equal(data("239.9.9.9"), R | B);
	sleep_s(QUERY_S - 11);
	query();
	assert_int_equal(data("239.9.9.9"), R | B);
	sleep_s(11);
	assert_int_equal(data("239.9.9.9"), R);
}

static void a_port_that_left_is_in_no_group_and_no_router(void **state)
{
	query_answered();
	report(1, GROUP);
	snoop_port_left(s, 1);
	assert_int_equal(data(GROUP), R);
	snoop_port_left(s, 0);
	assert_int_equal(data(GROUP), ALL); /* nobody asks any more */
	assert_int_equal(report(2, GROUP), ALL);
}

static void a_port_may_want_all_groups(void **state)
{
	snoop_port_came(s, 2, true, now);
	sleep_s(1);
	query_answered();
	report(1, GROUP);
	assert_int_equal(data(GROUP), R | A | B);
	assert_int_equal(data("239.9.9.9"), R | B);
	assert_int_equal(report(1, GROUP), R); /* which is no router */
}

static void to_forget_is_to_begin_again(void **state)
{
	query_answered();
	report(1, GROUP);
	snoop_clear(s, now);
	assert_int_equal(data(GROUP), ALL);
	assert_int_equal(report(1, GROUP), ALL);
	sleep_s(1);
	query_answered();
	assert_int_equal(data(GROUP), R | A);
}

/* ----------------------------------------------------------------- what may be wrong */

static void isolated_ports_ask_for_themselves_only(void **state)
{
	const struct snoop_place evil = { .port = 2, .isolated = true };

	mf_igmp(&f, "0.0.0.1", MCAST_ALL4, 0x11, 100, "0.0.0.0");
	assert_int_equal(give_as(&evil), ALL);
	sleep_s(11);
	assert_int_equal(data(GROUP), ALL); /* is no querier */
	query_answered();
	report(1, GROUP);
	mf_igmp(&f, "0.0.0.1", GROUP, 0x11, 1, GROUP);
	give_as(&evil);
	sleep_s(10);
	assert_int_equal(data(GROUP), R | A | B); /* nobody was made to leave */
}

static void who_asks_all_the_time_and_waits_for_hours_keeps_nothing_open(void **state)
{
	query_answered();
	snoop_port_came(s, 2, false, now);
	sleep_s(1);
	query();
	for (unsigned i = 0; i < 20; i++) {
		mf_igmp(&f, "10.0.0.8", MCAST_ALL4, 0x11, 0xff, "0.0.0.0");
		mf_new_query(&f, 7, 0xff, 0);
		mf_finish(&f);
		give(0);
		sleep_s(1);
	}
	assert_int_equal(data("239.9.9.9"), R);
}

static void join_many(unsigned port, unsigned cnt)
{
	for (unsigned i = 0; i < cnt; i++) {
		char group[INET_ADDRSTRLEN];

		snprintf(group, sizeof(group), "239.200.%u.%u", i / 256, i % 256);
		report(port, group);
	}
}

static void what_finds_no_room_goes_to_all(void **state)
{
	query_answered();
	report(1, GROUP);
	join_many(2, 10 * MAX);
	assert_true(snoop_memberships(s) <= MAX);
	assert_true(snoop_counts(s)->unfit >= 9 * MAX);
	assert_int_equal(data(GROUP), R | A);	      /* what is known is known */
	assert_int_equal(data("239.200.0.0"), R | B); /* and */
	assert_int_equal(data("239.200.2.0"), ALL);   /* that was too much */
	assert_int_equal(data("239.9.9.9"), ALL);     /* and could be, too */
	report(2, GROUP);
	assert_int_equal(data(GROUP), ALL);
	sleep_s(QUERY_S - 11);
	query_answered();
	report(1, GROUP);
	sleep_s(QUERY_S - 11);
	query_answered();
	sleep_s(10);
	assert_int_equal(data(GROUP), R | A); /* when they are over */
	assert_int_equal(data("239.200.2.0"), R);
}

static void a_router_that_finds_no_room_gets_all_by_all(void **state)
{
	struct snoop_place evil = { .port = 1 };

	query_answered();
	report(3, GROUP);
	for (evil.vlan = 100; evil.vlan < 2000; evil.vlan++) {
		mf_igmp(&f, "10.0.0.9", MCAST_ALL4, 0x11, 100, "0.0.0.0");
		give_as(&evil);
	}
	assert_int_equal(data(GROUP), R | C);
	mf_igmp(&f, "10.0.0.9", MCAST_ALL4, 0x11, 100, "0.0.0.0");
	give_as(&(struct snoop_place) { .vlan = 1999 }); /* a router that fits, later */
	evil.vlan = 1999;				 /* did not fit */
	mf_igmp(&f, "10.0.0.1", GROUP, 0x16, 0, GROUP);
	assert_int_equal(give_as(&evil), ALL);
	sleep_s(11);
	mf_data(&f, GROUP);
	assert_int_equal(give_as(&evil), ALL);
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(without_a_querier_all_goes_to_all),
		T(with_one_groups_go_to_members_and_the_router),
		T(local_groups_go_to_all),
		T(a_query_goes_to_all_and_reports_to_routers),
		T(nothing_is_kept_from_anybody_before_the_first_query_was_answered),
		T(when_the_querier_is_gone_all_goes_to_all),
		T(a_querier_without_address_is_one),
		T(the_other_family_is_asked_by_itself),
		T(vlans_are_apart),
		T(who_shows_to_be_a_router_gets_all_groups),
		T(members_that_do_not_answer_age),
		T(who_leaves_is_a_member_until_others_had_time_to_answer),
		T(who_leaves_is_gone_also_when_nobody_is_asked),
		T(another_behind_the_same_port_keeps_it),
		T(a_querier_that_gives_more_time_gets_it),
		T(who_is_asked_and_silent_is_gone),
		T(without_a_querier_a_leave_shortens_nothing),
		T(records_of_new_reports_join_and_leave),
		T(a_rare_query_makes_memberships_longer),
		T(a_strangers_query_makes_them_no_shorter),
		T(a_port_that_came_gets_all_until_it_was_asked),
		T(a_port_that_left_is_in_no_group_and_no_router),
		T(a_port_may_want_all_groups),
		T(to_forget_is_to_begin_again),
		T(isolated_ports_ask_for_themselves_only),
		T(who_asks_all_the_time_and_waits_for_hours_keeps_nothing_open),
		T(what_finds_no_room_goes_to_all),
		T(a_router_that_finds_no_room_gets_all_by_all),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
