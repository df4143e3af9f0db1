/* SPDX-License-Identifier: MIT */
/* A switch that snoops: a router behind port a, hosts behind b and c. The clock is the test's. */
#include "unit.h"

#include <stdlib.h>

#include "fake-clock.h"
#include "mcast-frames.h"
#include "switch-test.h"

#define GROUP "239.1.2.3"

static struct mcast_frame f;

static void sleep_s(unsigned seconds)
{
	now_ns += seconds * NSEC_PER_SEC;
}

static int snoop_setup(void **state)
{
	switch_setup(state);
	remake(&(struct switch_config) {
		.max_macs = 64, .snooping = true, .max_memberships = 4, QUEUE });
	sleep_s(1);
	return 0;
}

static void give(unsigned i)
{
	assert_int_equal(port_offer(&ports[i]->port, &f.frame, 1), 1);
}

static void query(unsigned i)
{
	mf_igmp(&f, "10.0.0.9", MCAST_ALL4, 0x11, 100, "0.0.0.0");
	give(i);
	sleep_s(11);
	clear();
}

static void report(unsigned i, const char *group)
{
	mf_igmp(&f, "10.0.0.1", group, 0x16, 0, group);
	give(i);
}

/* With a tag of VLAN @id in front. */
static void tag(uint16_t id)
{
	memmove(f.bytes + 16, f.bytes + 12, f.len - 12);
	put_be16(f.bytes + 12, 0x8100);
	put_be16(f.bytes + 14, id);
	f.iov.iov_len = f.frame.len = f.len + 4;
}

static void groups_go_to_members_and_routers(void **state)
{
	query(0);
	report(1, GROUP);
	assert_got(0, 1);
	assert_got(2, 0);
	mf_data(&f, GROUP);
	give(0);
	give(2);
	assert_got(1, 2);
	assert_got(0, 2);
	assert_got(2, 0);
	assert_int_equal(stats().to_members, 2);
	assert_int_equal(stats().memberships, 1);
	assert_int_equal(stats().queriers, 1);
	assert_int_equal(stats().mcast_reports, 1);
	assert_true(stats().snooping);
}

static void what_is_no_multicast_is_as_ever(void **state)
{
	query(0);
	say(0, BROADCAST, 1);
	say(0, MAC_OF(7), 1);
	say(0, 0x01005e010101, 1); /* that address, and no packet for it */
	assert_got(1, 3);
	assert_got(2, 3);
	assert_int_equal(stats().groups, 3);
}

static void wrong_messages_are_dropped(void **state)
{
	mf_igmp(&f, "10.0.0.1", GROUP, 0x16, 0, GROUP);
	f.bytes[f.l4 + 7]++;
	give(1);
	assert_got(0, 0);
	assert_int_equal(stats().mcast_wrong, 1);
	assert_int_equal(stats().memberships, 0);
	assert_int_equal(ports[1]->port.lanes->stats.rx.drops[VMTAP_DROP_FILTERED], 1);
}

static void who_is_isolated_stays_so(void **state)
{
	const struct switch_place alone = { .isolated = true };

	place(1, &alone);
	place(2, &alone);
	sleep_s(1);
	query(0);
	report(1, GROUP);
	report(2, GROUP);
	assert_got(1, 0);
	assert_got(2, 0);
	mf_data(&f, GROUP);
	give(1);
	assert_got(0, 3);
	assert_got(2, 0);
	give(0);
	assert_got(1, 1);
	assert_got(2, 1);
}

static void vlans_have_members_of_their_own(void **state)
{
	struct switch_place trunk = { .trunk = true }, ten = { .vlan = 10 },
			    twenty = { .vlan = 20 };

	trunk.trunk_ids[10 / 8] |= 1u << 10 % 8;
	trunk.trunk_ids[20 / 8] |= 1u << 20 % 8;
	place(0, &trunk);
	place(1, &ten);
	place(2, &twenty);
	sleep_s(1);
	mf_igmp(&f, "10.0.0.9", MCAST_ALL4, 0x11, 100, "0.0.0.0");
	tag(10);
	give(0);
	sleep_s(11);
	assert_got(1, 1);
	assert_got(2, 0);
	clear();
	mf_data(&f, GROUP);
	tag(10);
	give(0);
	assert_got(1, 0); /* asked, and did not answer */
	mf_data(&f, GROUP);
	tag(20);
	give(0);
	assert_got(2, 1); /* nobody asks there */
	report(1, GROUP);
	mf_data(&f, GROUP);
	tag(10);
	give(0);
	assert_got(1, 1);
	assert_got(2, 1);
}

static void rows(void *opaque, const struct mcast_addr *group, unsigned vlan, struct port *p,
		 uint64_t left_ms)
{
	char text[MCAST_TEXT_MAX];

	++*(unsigned *)opaque;
	assert_string_equal(mcast_text(group, text), GROUP);
	assert_ptr_equal(p, &ports[1]->port);
	assert_int_equal(left_ms, 260000 - 5000);
}

static void router_rows(void *opaque, const struct mcast_addr *querier, bool asks, unsigned vlan,
			struct port *p, uint64_t left_ms)
{
	char text[MCAST_TEXT_MAX];

	++*(unsigned *)opaque;
	assert_true(asks);
	assert_string_equal(mcast_text(querier, text), "10.0.0.9");
	assert_ptr_equal(p, &ports[0]->port);
}

static void what_is_known_can_be_looked_at(void **state)
{
	unsigned cnt = 0;

	query(0);
	report(1, GROUP);
	sleep_s(5);
	switch_each_group(sw, rows, &cnt);
	assert_int_equal(cnt, 1);
	switch_each_router(sw, router_rows, &cnt);
	assert_int_equal(cnt, 2);
	switch_flush(sw);
	switch_each_group(sw, rows, &cnt);
	switch_each_router(sw, router_rows, &cnt);
	assert_int_equal(cnt, 2);
}

static void a_port_that_left_is_forgotten(void **state)
{
	query(0);
	report(1, GROUP);
	assert_int_equal(switch_remove(sw, &ports[1]->port), 0);
	assert_int_equal(stats().memberships, 0);
	mf_data(&f, GROUP);
	give(2);
	assert_got(0, 2);
	assert_int_equal(switch_remove(sw, &ports[0]->port), 0);
	assert_int_equal(stats().routers, 0);
	assert_int_equal(stats().queriers, 0);
}

static void a_port_may_want_all_groups(void **state)
{
	place(2, &(struct switch_place) { .mcast_flood = true });
	sleep_s(1);
	query(0);
	mf_data(&f, GROUP);
	give(0);
	assert_got(1, 0);
	assert_got(2, 1);
}

#define T(f) cmocka_unit_test_setup_teardown(f, snoop_setup, switch_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(groups_go_to_members_and_routers), T(what_is_no_multicast_is_as_ever),
		T(wrong_messages_are_dropped),	     T(who_is_isolated_stays_so),
		T(vlans_have_members_of_their_own),  T(what_is_known_can_be_looked_at),
		T(a_port_that_left_is_forgotten),    T(a_port_may_want_all_groups),
	};

	now_ns = 1000 * NSEC_PER_SEC;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
