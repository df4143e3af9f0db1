/* SPDX-License-Identifier: MIT */
/* Where frames go; test-switch-life.c has ports that come and go, and slow ones. */
#include "unit.h"

#include "switch-test.h"

static void unknown_destinations_go_to_all_and_known_to_one(void **state)
{
	say(0, MAC_OF(1), 1); /* nobody has said anything yet */
	assert_got(0, 0);
	assert_got(1, 1);
	assert_got(2, 1);
	say(1, MAC_OF(0), 2);
	assert_got(0, 1);
	assert_got(2, 1);
	say(0, MAC_OF(1), 3);
	assert_got(1, 2);
	assert_got(2, 1);
	assert_int_equal(stats().flooded, 1);
	assert_int_equal(stats().forwarded, 2);
	assert_int_equal(stats().learned, 2);
	assert_int_equal(stats().macs, 2);
}

static void groups_go_to_all_but_the_sender(void **state)
{
	say(1, BROADCAST, 1);
	say(1, 0x333300000001, 2);
	assert_got(0, 2);
	assert_got(1, 0);
	assert_got(2, 2);
	assert_int_equal(stats().groups, 2);
	assert_int_equal(stats().flooded, 0);
}

static void frames_for_bridges_end_there(void **state)
{
	say(0, 0x0180c2000001, 1); /* pause */
	say(0, 0x0180c200000e, 1); /* LLDP */
	assert_got(1, 0);
	say(0, 0x0180c2000000, 1); /* the spanning tree, in which we take no part */
	say(0, 0x0180c2000010, 1);
	assert_got(1, 2);
	assert_int_equal(ports[0]->port.lanes->stats.rx.drops[VMTAP_DROP_FILTERED], 2);
}

static void a_hub_learns_nothing(void **state)
{
	remake(&(struct switch_config) { .hub = true, .max_macs = 8, QUEUE });
	say(0, MAC_OF(1), 1);
	say(1, MAC_OF(0), 2);
	say(0, MAC_OF(1), 3);
	say(0, 0x0180c2000001, 4);
	assert_got(2, 4);
	assert_int_equal(stats().macs, 0);
}

static void group_addresses_are_not_learned(void **state)
{
	say_from(0, BROADCAST, MAC_OF(1), 1);
	say_from(0, 0x010000000005, MAC_OF(1), 1);
	assert_int_equal(stats().macs, 0);
	say(1, 0x010000000005, 2);
	assert_got(2, 3);
}

static void an_address_that_moves_is_found_where_it_is(void **state)
{
	say(0, BROADCAST, 1);
	say_from(2, MAC_OF(0), BROADCAST, 2);
	assert_int_equal(stats().moves, 1);
	clear();
	say(1, MAC_OF(0), 3);
	assert_got(0, 0);
	assert_got(2, 1);
}

static void what_is_behind_the_same_port_stays_there(void **state)
{
	say_from(0, 0x020000000077, BROADCAST, 1);
	clear();
	say(0, 0x020000000077, 2);
	assert_got(1, 0);
	assert_int_equal(stats().kept, 1);
}

static void a_flood_of_addresses_leaves_the_known_where_they_are(void **state)
{
	remake(&(struct switch_config) { .max_macs = 4, QUEUE });
	say(0, BROADCAST, 1);
	say(1, BROADCAST, 1);
	for (uint64_t i = 0; i < 1000; i++)
		say_from(2, 0x020100000000 + i, BROADCAST, 2);
	assert_int_equal(stats().macs, 4);
	assert_int_equal(stats().refused, 998);
	clear();
	say(0, MAC_OF(1), 3);
	say(1, MAC_OF(0), 4);
	assert_got(0, 1);
	assert_got(1, 1);
	assert_got(2, 0);
}

static void runts_are_dropped(void **state)
{
	unsigned char bytes[13] = { 0 };
	struct iovec iov = { bytes, sizeof(bytes) };
	struct vmtap_frame f = { .len = sizeof(bytes), .iov = &iov, .iov_cnt = 1 };

	assert_int_equal(port_offer(&ports[0]->port, &f, 1), 1);
	assert_got(1, 0);
	assert_int_equal(ports[0]->port.lanes->stats.rx.drops[VMTAP_DROP_RUNT], 1);
}

static void frames_to_many_in_one_burst_keep_their_order(void **state)
{
	unsigned char bytes[60][60];
	struct iovec iov[60];
	struct vmtap_frame f[60];

	say(1, BROADCAST, 1);
	say(2, BROADCAST, 1);
	clear();
	for (unsigned i = 0; i < 60; i++)
		make_frame(&f[i], &iov[i], bytes[i], MAC_OF(0), MAC_OF(1 + i % 2), i);
	assert_int_equal(port_offer(&ports[0]->port, f, 60), 60);
	assert_got(1, 30);
	assert_got(2, 30);
	for (unsigned i = 0; i < 60; i++)
		assert_int_equal(ports[1 + i % 2]->tags[i / 2], i);
}

static void isolated_ports_reach_only_those_that_are_not(void **state)
{
	place(1, &(struct switch_place) { .isolated = true });
	place(2, &(struct switch_place) { .isolated = true });
	say(1, BROADCAST, 1);
	assert_got(0, 1);
	assert_got(2, 0);
	say(2, MAC_OF(1), 2); /* known, and out of reach */
	assert_got(1, 0);
	assert_int_equal(stats().kept, 1);
	say(0, MAC_OF(1), 3);
	assert_got(1, 1);
	say(1, MAC_OF(0), 4);
	assert_got(0, 2);
}

/* --------------------------------------------------------------------- VLANs */

static struct switch_place trunk_of(unsigned vlan, unsigned a, unsigned b)
{
	struct switch_place p = { .trunk = true, .vlan = (uint16_t)vlan };

	p.trunk_ids[a / 8] |= (uint8_t)(1 << a % 8);
	p.trunk_ids[b / 8] |= (uint8_t)(1 << b % 8);
	return p;
}

static void tags_pass_where_nobody_has_vlans(void **state)
{
	say_tagged(0, BROADCAST, 0x8100, 10, 1);
	assert_got(1, 1);
	assert_int_equal(ports[1]->lens[0], 64);
	say_tagged(1, MAC_OF(0), 0x8100, 20, 1); /* one LAN, whatever the tag */
	assert_got(0, 1);
	assert_got(2, 1);
}

static void access_ports_see_their_vlan_without_tags(void **state)
{
	place(0, &(struct switch_place) { .vlan = 10 });
	place(1, &(struct switch_place) { .vlan = 10 });
	place(2, &(struct switch_place) { .vlan = 20 });
	say(0, BROADCAST, 1);
	assert_got(1, 1);
	assert_int_equal(ports[1]->lens[0], 60);
	assert_got(2, 0);
	say(2, MAC_OF(0), 2); /* known in the other VLAN only */
	assert_got(0, 0);
	assert_int_equal(stats().macs, 2);
}

static void a_trunk_has_tags(void **state)
{
	struct switch_place p = trunk_of(0, 10, 20);

	place(0, &(struct switch_place) { .vlan = 10 });
	place(1, &p);
	place(2, &(struct switch_place) { .vlan = 20 });
	say(0, BROADCAST, 1);
	assert_got(1, 1);
	assert_int_equal(ports[1]->lens[0], 64);
	assert_int_equal(ports[1]->tags[0], htonl(0x000a0800u)); /* TCI, type */
	assert_got(2, 0);
	clear();
	say_tagged(1, MAC_OF(0), 0x8100, 0xa00a, 7);
	assert_got(0, 1);
	assert_int_equal(ports[0]->lens[0], 60);
	assert_int_equal(ports[0]->tags[0], 7);
	say_tagged(1, BROADCAST, 0x8100, 20, 8);
	assert_got(2, 1);
	assert_got(0, 1);
}

static void a_native_vlan_has_none(void **state)
{
	struct switch_place p = trunk_of(10, 20, 20);

	place(0, &(struct switch_place) { .vlan = 10 });
	place(1, &p);
	place(2, &(struct switch_place) { .vlan = 20 });
	say(0, BROADCAST, 1);
	assert_int_equal(ports[1]->lens[0], 60);
	say(1, MAC_OF(0), 2);
	assert_got(0, 1);
	say_tagged(1, BROADCAST, 0x8100, 20, 3);
	assert_got(2, 1);
	assert_int_equal(ports[2]->lens[0], 60);
}

static void frames_of_foreign_vlans_are_dropped(void **state)
{
	struct switch_place p = trunk_of(0, 10, 20);

	place(0, &(struct switch_place) { .vlan = 10 });
	place(1, &p);
	say_tagged(0, BROADCAST, 0x8100, 20, 1); /* an access port does not choose */
	say_tagged(0, BROADCAST, 0x8100, 10, 1);
	say_tagged(1, BROADCAST, 0x8100, 30, 1);
	say_tagged(1, BROADCAST, 0x8100, 4095, 1);
	say(1, BROADCAST, 1); /* no native VLAN */
	assert_got(0, 0);
	assert_got(1, 0);
	assert_got(2, 0);
	assert_int_equal(ports[0]->port.lanes->stats.rx.drops[VMTAP_DROP_FILTERED], 2);
	assert_int_equal(ports[1]->port.lanes->stats.rx.drops[VMTAP_DROP_FILTERED], 3);
	assert_int_equal(stats().macs, 0);
}

static void priority_tags_belong_to_the_vlan_of_the_port(void **state)
{
	struct switch_place p = trunk_of(0, 10, 10);

	place(0, &(struct switch_place) { .vlan = 10 });
	place(1, &p);
	place(2, &(struct switch_place) { .vlan = 10 });
	say_tagged(0, BROADCAST, 0x8100, 0xe000, 1);
	assert_got(1, 1);
	assert_int_equal(ports[1]->lens[0], 64);
	assert_int_equal(ports[1]->tags[0], htonl(0xe00a0800u));
	assert_got(2, 1);
	assert_int_equal(ports[2]->lens[0], 60);
}

/* Else the next switch takes the inner tag for its own. */
static void no_tag_is_taken_off_that_hides_another(void **state)
{
	struct switch_place p = trunk_of(10, 20, 20);
	unsigned char bytes[68];
	struct iovec iov;
	struct vmtap_frame f;

	place(0, &(struct switch_place) { .vlan = 10 });
	place(1, &p);
	make_frame(&f, &iov, bytes, MAC_OF(0), BROADCAST, 0);
	memcpy(bytes + 12, "\x81\x00\x00\x00\x81\x00\x00\x14", 8);
	port_offer(&ports[0]->port, &f, 1);
	assert_got(1, 0);
	assert_int_equal(ports[1]->port.lanes->stats.tx.drops[VMTAP_DROP_FILTERED], 1);
}

/* A guest that writes into its frame while another port takes it. */
static unsigned char *victim;
static struct port_ops writing_ops, shared_ops;

static unsigned writing_send(struct port_lane *lane, const struct vmtap_frame *frames, unsigned cnt)
{
	memcpy(victim + 12, "\x81\x00\x00\x14", 4);
	return fake_send(lane, frames, cnt);
}

static void what_was_looked_at_is_what_goes_on(void **state)
{
	struct switch_place p = trunk_of(10, 20, 20);
	unsigned char bytes[60];
	struct iovec iov;
	struct vmtap_frame f;

	shared_ops = writing_ops = fake_ops;
	shared_ops.shared = true;
	writing_ops.send = writing_send;
	place(0, &(struct switch_place) { .vlan = 10 });
	place(1, &(struct switch_place) { .vlan = 10 });
	place(2, &p);
	ports[0]->port.ops = &shared_ops;
	ports[1]->port.ops = &writing_ops; /* the first to take it */
	make_frame(&f, &iov, bytes, MAC_OF(0), BROADCAST, 5);
	victim = bytes;
	port_offer(&ports[0]->port, &f, 1);
	assert_got(2, 1);
	assert_int_equal(ports[2]->lens[0], 60);
	assert_int_equal(ports[2]->tags[0], 5); /* not a tag of VLAN 20 */
}

/* ------------------------------------------------------------------ offloads */

static void each_port_is_told_what_any_other_takes(void **state)
{
	assert_int_equal(ports[0]->offload, 0);
	port_set_accepts(&ports[1]->port, VMTAP_OFFLOAD_CSUM);
	port_set_accepts(&ports[2]->port, VMTAP_OFFLOAD_CSUM | VMTAP_OFFLOAD_TSO4);
	assert_int_equal(ports[0]->offload, VMTAP_OFFLOAD_CSUM | VMTAP_OFFLOAD_TSO4);
	assert_int_equal(ports[1]->offload, VMTAP_OFFLOAD_CSUM | VMTAP_OFFLOAD_TSO4);
	assert_int_equal(ports[2]->offload, VMTAP_OFFLOAD_CSUM);
	switch_remove(sw, &ports[2]->port);
	assert_int_equal(ports[0]->offload, VMTAP_OFFLOAD_CSUM);
	assert_int_equal(ports[2]->offload, 0);
}

static void those_that_lack_an_offload_get_segments(void **state)
{
	port_set_accepts(&ports[2]->port, VMTAP_OFFLOAD_CSUM | VMTAP_OFFLOAD_TSO4);
	assert_int_equal(offer_tcp(0, 1, 1000), 1);
	assert_got(1, 3);
	assert_int_equal(ports[1]->lens[0], 1054);
	assert_int_equal(ports[1]->hdrs[0].gso_type, VMTAP_GSO_NONE);
	assert_got(2, 1);
	assert_int_equal(ports[2]->lens[0], 3054);
	assert_int_equal(ports[2]->hdrs[0].gso_type, VMTAP_GSO_TCPV4);
}

static void offloads_survive_a_tag(void **state)
{
	struct switch_place p = trunk_of(0, 10, 20);

	place(0, &(struct switch_place) { .vlan = 10 });
	place(1, &p);
	place(2, &(struct switch_place) { .vlan = 10 });
	port_set_accepts(&ports[1]->port, VMTAP_OFFLOAD_CSUM | VMTAP_OFFLOAD_TSO4);
	offer_tcp(0, 1, 1000);
	assert_got(1, 1);
	assert_int_equal(ports[1]->lens[0], 3058);
	assert_int_equal(ports[1]->hdrs[0].csum_start, 38);
	assert_int_equal(ports[1]->hdrs[0].hdr_len, 58);
	port_set_accepts(&ports[1]->port, 0);
	clear();
	offer_tcp(0, 1, 1000); /* cut into segments behind the tag */
	assert_got(1, 3);
	assert_int_equal(ports[1]->lens[0], 1058);
	assert_int_equal(ports[1]->tags[0], htonl(0x000a0800u));
	assert_got(2, 3);
}

static void a_header_that_lies_is_dropped_at_each_receiver(void **state)
{
	unsigned char bytes[60];
	struct iovec iov;
	struct vmtap_frame f;

	make_frame(&f, &iov, bytes, MAC_OF(0), BROADCAST, 0);
	f.hdr = (struct vmtap_net_hdr) { .flags = VMTAP_HDR_NEEDS_CSUM,
					 .csum_start = 59,
					 .csum_offset = 60000 };
	port_offer(&ports[0]->port, &f, 1);
	assert_got(1, 0);
	assert_int_equal(ports[1]->port.lanes->stats.tx.drops[VMTAP_DROP_BAD_HEADER], 1);
	assert_int_equal(ports[2]->port.lanes->stats.tx.drops[VMTAP_DROP_BAD_HEADER], 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		SWITCH(unknown_destinations_go_to_all_and_known_to_one),
		SWITCH(groups_go_to_all_but_the_sender),
		SWITCH(frames_for_bridges_end_there),
		SWITCH(a_hub_learns_nothing),
		SWITCH(group_addresses_are_not_learned),
		SWITCH(an_address_that_moves_is_found_where_it_is),
		SWITCH(what_is_behind_the_same_port_stays_there),
		SWITCH(a_flood_of_addresses_leaves_the_known_where_they_are),
		SWITCH(runts_are_dropped),
		SWITCH(frames_to_many_in_one_burst_keep_their_order),
		SWITCH(isolated_ports_reach_only_those_that_are_not),
		SWITCH(tags_pass_where_nobody_has_vlans),
		SWITCH(access_ports_see_their_vlan_without_tags),
		SWITCH(a_trunk_has_tags),
		SWITCH(a_native_vlan_has_none),
		SWITCH(frames_of_foreign_vlans_are_dropped),
		SWITCH(priority_tags_belong_to_the_vlan_of_the_port),
		SWITCH(no_tag_is_taken_off_that_hides_another),
		SWITCH(what_was_looked_at_is_what_goes_on),
		SWITCH(each_port_is_told_what_any_other_takes),
		SWITCH(those_that_lack_an_offload_get_segments),
		SWITCH(offloads_survive_a_tag),
		SWITCH(a_header_that_lies_is_dropped_at_each_receiver),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
