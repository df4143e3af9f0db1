/* SPDX-License-Identifier: MIT */
/* The control queue's commands, whole, cut up and wrong, and the filter that they set. */
#include "unit.h"

#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <stdlib.h>
#include <string.h>

#include "port/vu/ctrl.h"

#define BIT(N) (UINT64_C(1) << (N))
#define ALL                                                                                \
	(BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_NET_F_CTRL_VQ) | BIT(VIRTIO_NET_F_CTRL_RX) | \
	 BIT(VIRTIO_NET_F_CTRL_RX_EXTRA) | BIT(VIRTIO_NET_F_CTRL_VLAN) |                   \
	 BIT(VIRTIO_NET_F_CTRL_MAC_ADDR) | BIT(VIRTIO_NET_F_GUEST_ANNOUNCE) |              \
	 BIT(VIRTIO_NET_F_MQ) | BIT(VIRTIO_NET_F_CTRL_GUEST_OFFLOADS) |                    \
	 BIT(VIRTIO_NET_F_GUEST_CSUM) | BIT(VIRTIO_NET_F_GUEST_TSO4))
#define OFFLOADS (BIT(VIRTIO_NET_F_GUEST_CSUM) | BIT(VIRTIO_NET_F_GUEST_TSO4))
#define PAIRS_MAX 4

static const uint8_t own[6] = { 0x52, 0x54, 0, 1, 2, 3 };
static const uint8_t other[6] = { 0x52, 0x54, 0, 9, 9, 9 };
static const uint8_t group[6] = { 0x33, 0x33, 0, 0, 0, 1 };
static const uint8_t broadcast[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

static struct ctrl c;

static int setup(void **state)
{
	ctrl_init(&c, ALL, PAIRS_MAX, own);
	return 0;
}

/* A command in pieces of @piece bytes, each an allocation of its own. A refused one changes nothing. */
static uint8_t run_cut(const uint8_t *bytes, uint32_t len, uint32_t piece)
{
	const struct ctrl before = c;
	static struct iovec iov[1024];
	unsigned cnt = 0;
	uint8_t ret;

	for (uint32_t at = 0; at < len; at += piece, cnt++) {
		uint32_t some = piece < len - at ? piece : len - at;

		assert_true(cnt < 1024);
		iov[cnt] = (struct iovec) { malloc(some), some };
		memcpy(iov[cnt].iov_base, bytes + at, some);
	}
	ret = ctrl_command(&c, iov, cnt, len);
	while (cnt)
		free(iov[--cnt].iov_base);
	if (ret != VIRTIO_NET_OK) {
		assert_int_equal(ret, VIRTIO_NET_ERR);
		assert_memory_equal(&c, &before, sizeof(c));
	}
	return ret;
}

/* The same result for every cut. */
static uint8_t run(const void *bytes, uint32_t len)
{
	const struct ctrl before = c;
	const uint8_t ret = run_cut(bytes, len, len ? len : 1);
	const struct ctrl after = c;

	for (uint32_t piece = len > 1000 ? 7 : 1; piece < len; piece++) {
		c = before;
		assert_int_equal(run_cut(bytes, len, piece), ret);
		assert_memory_equal(&c, &after, sizeof(c));
	}
	return ret;
}

#define RUN(...) run((const uint8_t[]) { __VA_ARGS__ }, sizeof((const uint8_t[]) { __VA_ARGS__ }))
#define OK(...) assert_int_equal(RUN(__VA_ARGS__), VIRTIO_NET_OK)
#define ERR(...) assert_int_equal(RUN(__VA_ARGS__), VIRTIO_NET_ERR)

/* MAC_TABLE_SET with so many entries: 02:00:… and 03:00:…, numbered from 0. Return: bytes. */
static uint32_t mac_table(uint8_t *to, unsigned uni, unsigned multi)
{
	uint8_t *at = to;

	*at++ = VIRTIO_NET_CTRL_MAC;
	*at++ = VIRTIO_NET_CTRL_MAC_TABLE_SET;
	for (unsigned t = 0; t < 2; t++) {
		unsigned cnt = t ? multi : uni;

		memcpy(at, (uint8_t[]) { (uint8_t)cnt, (uint8_t)(cnt >> 8), 0, 0 }, 4);
		at += 4;
		for (unsigned i = 0; i < cnt; i++, at += 6)
			memcpy(at,
			       (uint8_t[]) { (uint8_t)(2 + t), 0, 0, 0, (uint8_t)(i >> 8),
					     (uint8_t)i },
			       6);
	}
	return (uint32_t)(at - to);
}

static bool takes(const uint8_t mac[6])
{
	uint8_t *eth = calloc(1, 14);
	bool ret;

	memcpy(eth, mac, 6);
	eth[12] = 8;
	ret = ctrl_takes(&c.filter, eth, 14);
	free(eth);
	return ret;
}

static bool takes_nth(unsigned first_byte, unsigned n)
{
	return takes((uint8_t[]) { (uint8_t)first_byte, 0, 0, 0, (uint8_t)(n >> 8), (uint8_t)n });
}

static bool takes_vlan_at(uint16_t tpid, unsigned tci, const uint8_t mac[6])
{
	uint8_t eth[18] = { 0 };

	memcpy(eth, mac, 6);
	eth[12] = (uint8_t)(tpid >> 8);
	eth[13] = (uint8_t)tpid;
	eth[14] = (uint8_t)(tci >> 8);
	eth[15] = (uint8_t)tci;
	return ctrl_takes(&c.filter, eth, 18);
}

static bool takes_vlan(unsigned tci)
{
	return takes_vlan_at(0x8100, tci, own);
}

/* -------------------------------------------------------------------- at first */

static void everything_is_taken_until_the_first_command(void **state)
{
	assert_false(c.filter.active);
	assert_true(takes(own) && takes(other) && takes(group) && takes(broadcast));
	assert_true(takes_vlan(7));
	assert_int_equal(c.pairs, 1);
	assert_true(c.offloads == OFFLOADS);
	assert_false(c.announce_acked);
}

static void commands_need_their_features(void **state)
{
	static const uint64_t needs[][2] = {
		{ VIRTIO_NET_CTRL_RX << 8 | VIRTIO_NET_CTRL_RX_PROMISC, VIRTIO_NET_F_CTRL_RX },
		{ VIRTIO_NET_CTRL_RX << 8 | VIRTIO_NET_CTRL_RX_ALLMULTI, VIRTIO_NET_F_CTRL_RX },
		{ VIRTIO_NET_CTRL_RX << 8 | VIRTIO_NET_CTRL_RX_ALLUNI, VIRTIO_NET_F_CTRL_RX_EXTRA },
		{ VIRTIO_NET_CTRL_RX << 8 | VIRTIO_NET_CTRL_RX_NOMULTI,
		  VIRTIO_NET_F_CTRL_RX_EXTRA },
		{ VIRTIO_NET_CTRL_RX << 8 | VIRTIO_NET_CTRL_RX_NOUNI, VIRTIO_NET_F_CTRL_RX_EXTRA },
		{ VIRTIO_NET_CTRL_RX << 8 | VIRTIO_NET_CTRL_RX_NOBCAST,
		  VIRTIO_NET_F_CTRL_RX_EXTRA },
		{ VIRTIO_NET_CTRL_MAC << 8 | VIRTIO_NET_CTRL_MAC_TABLE_SET, VIRTIO_NET_F_CTRL_RX },
		{ VIRTIO_NET_CTRL_MAC << 8 | VIRTIO_NET_CTRL_MAC_ADDR_SET,
		  VIRTIO_NET_F_CTRL_MAC_ADDR },
		{ VIRTIO_NET_CTRL_VLAN << 8 | VIRTIO_NET_CTRL_VLAN_ADD, VIRTIO_NET_F_CTRL_VLAN },
		{ VIRTIO_NET_CTRL_VLAN << 8 | VIRTIO_NET_CTRL_VLAN_DEL, VIRTIO_NET_F_CTRL_VLAN },
		{ VIRTIO_NET_CTRL_ANNOUNCE << 8, VIRTIO_NET_F_GUEST_ANNOUNCE },
		{ VIRTIO_NET_CTRL_MQ << 8, VIRTIO_NET_F_MQ },
		{ VIRTIO_NET_CTRL_GUEST_OFFLOADS << 8, VIRTIO_NET_F_CTRL_GUEST_OFFLOADS },
	};
	static const uint32_t lens[] = { 3, 3, 3, 3, 3, 3, 10, 8, 4, 4, 2, 4, 10 };

	for (unsigned i = 0; i < sizeof(lens) / sizeof(lens[0]); i++) {
		uint8_t bytes[11] = { (uint8_t)(needs[i][0] >> 8), (uint8_t)needs[i][0],
				      needs[i][0] >> 8 == VIRTIO_NET_CTRL_MQ ||
						      needs[i][0] == (VIRTIO_NET_CTRL_MAC << 8 |
								      VIRTIO_NET_CTRL_MAC_ADDR_SET)
					      ? 2
					      : 0 };

		ctrl_init(&c, ALL & ~BIT(needs[i][1]), PAIRS_MAX, own);
		assert_int_equal(run(bytes, lens[i]), VIRTIO_NET_ERR);
		ctrl_init(&c, ALL, PAIRS_MAX, own);
		/* no other length than the right one */
		for (uint32_t len = 0; len <= sizeof(bytes); len++)
			assert_int_equal(run(bytes, len),
					 len == lens[i] ? VIRTIO_NET_OK : VIRTIO_NET_ERR);
	}
}

static void unknown_commands_are_refused(void **state)
{
	uint8_t bytes[300] = { 0 };

	for (unsigned class = 0; class < 256; class ++)
		for (unsigned command = class <= 5 ? 6 : 0; command < 256; command++) {
			bytes[0] = (uint8_t) class;
			bytes[1] = (uint8_t)command;
			for (uint32_t len = 0; len < 12; len++)
				assert_int_equal(run_cut(bytes, len, 300), VIRTIO_NET_ERR);
		}
	ERR(VIRTIO_NET_CTRL_MAC, 2, 0);
	ERR(VIRTIO_NET_CTRL_VLAN, 2, 5, 0);
	ERR(VIRTIO_NET_CTRL_ANNOUNCE, 1);
	ERR(VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_RSS_CONFIG, 1, 0);
	ERR(VIRTIO_NET_CTRL_MQ, VIRTIO_NET_CTRL_MQ_HASH_CONFIG, 1, 0);
	ERR(VIRTIO_NET_CTRL_GUEST_OFFLOADS, 1, 0, 0, 0, 0, 0, 0, 0, 0);
}

static void command_longer_than_its_pieces_is_refused(void **state)
{
	uint8_t bytes[4] = { VIRTIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_VLAN_ADD, 5, 0 };
	struct iovec iov = { bytes, 3 };

	assert_int_equal(ctrl_command(&c, &iov, 1, 4), VIRTIO_NET_ERR);
	assert_int_equal(ctrl_command(&c, NULL, 0, 0), VIRTIO_NET_ERR);
	assert_false(c.filter.active);
}

/* --------------------------------------------------------------- receive modes */

static void first_mode_leaves_own_address_and_broadcast(void **state)
{
	OK(VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, 0);
	assert_true(takes(own) && takes(broadcast));
	assert_false(takes(other) || takes(group));
}

static void modes_widen_and_narrow(void **state)
{
	OK(VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_ALLMULTI, 1);
	assert_true(takes(own) && takes(broadcast) && takes(group) && !takes(other));
	OK(VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_ALLUNI, 1);
	assert_true(takes(other));
	OK(VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_NOMULTI, 1);
	assert_true(!takes(group) && takes(broadcast) && takes(other));
	OK(VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_NOUNI, 1);
	assert_true(!takes(other) && !takes(own) && takes(broadcast));
	OK(VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_NOBCAST, 1);
	assert_false(takes(broadcast));
	OK(VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, 0xff);
	assert_true(takes(own) && takes(other) && takes(group) && takes(broadcast));
	OK(VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, 0);
	OK(VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_NOUNI, 0);
	OK(VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_ALLUNI, 0);
	assert_true(takes(own) && !takes(other) && !takes(group) && !takes(broadcast));
}

static void runt_is_not_taken(void **state)
{
	OK(VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_ALLUNI, 1);
	assert_false(ctrl_takes(&c.filter, own, 6));
}

/* ------------------------------------------------------------------- addresses */

static void table_names_addresses(void **state)
{
	static uint8_t bytes[1024];

	assert_int_equal(run(bytes, mac_table(bytes, 3, 2)), VIRTIO_NET_OK);
	assert_true(takes(own) && takes(broadcast));
	assert_true(takes_nth(2, 0) && takes_nth(2, 2) && !takes_nth(2, 3) && !takes(other));
	assert_true(takes_nth(3, 0) && takes_nth(3, 1) && !takes_nth(3, 2) && !takes(group));

	assert_int_equal(run(bytes, mac_table(bytes, 0, 1)), VIRTIO_NET_OK);
	assert_true(takes(own) && !takes_nth(2, 0) && takes_nth(3, 0) && !takes_nth(3, 1));
}

static void full_table_is_exact_and_a_longer_one_takes_all(void **state)
{
	static uint8_t bytes[2048];

	assert_int_equal(run(bytes, mac_table(bytes, CTRL_MACS_MAX, CTRL_MACS_MAX)), VIRTIO_NET_OK);
	assert_true(takes_nth(2, CTRL_MACS_MAX - 1) && !takes_nth(2, CTRL_MACS_MAX));
	assert_true(takes_nth(3, CTRL_MACS_MAX - 1) && !takes_nth(3, CTRL_MACS_MAX));

	assert_int_equal(run(bytes, mac_table(bytes, CTRL_MACS_MAX + 1, 2)), VIRTIO_NET_OK);
	assert_true(takes(other) && takes_nth(3, 1) && !takes_nth(3, 2));
	assert_int_equal(run(bytes, mac_table(bytes, 2, CTRL_MACS_MAX + 1)), VIRTIO_NET_OK);
	assert_true(takes_nth(2, 1) && !takes_nth(2, 2) && takes(group));
	OK(VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_NOMULTI, 1);
	assert_false(takes(group));
	/* and back */
	assert_int_equal(run(bytes, mac_table(bytes, 1, 1)), VIRTIO_NET_OK);
	OK(VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_NOMULTI, 0);
	assert_true(takes_nth(2, 0) && takes_nth(3, 0) && !takes(other) && !takes(group));
}

static void counts_beyond_the_command_are_refused(void **state)
{
	/* 0xaaaaaaab * 6 is 2 in 32 bits */
	static const uint32_t counts[] = { 2,	       CTRL_MACS_MAX + 1, 0x2aaaaaab,
					   0xaaaaaaab, 0x80000000,	  0xffffffff };

	for (unsigned i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
		uint8_t n[4];

		for (unsigned b = 0; b < 4; b++)
			n[b] = (uint8_t)(counts[i] >> 8 * b);
		ERR(VIRTIO_NET_CTRL_MAC, 0, n[0], n[1], n[2], n[3], 0, 0, 0, 0);
		ERR(VIRTIO_NET_CTRL_MAC, 0, n[0], n[1], n[2], n[3], 2, 0, 0, 0, 0, 1, 0, 0, 0, 0);
		ERR(VIRTIO_NET_CTRL_MAC, 0, 0, 0, 0, 0, n[0], n[1], n[2], n[3]);
		ERR(VIRTIO_NET_CTRL_MAC, 0, 0, 0, 0, 0, n[0], n[1], n[2], n[3], 2, 0, 0, 0, 0, 1);
	}
	ERR(VIRTIO_NET_CTRL_MAC, 0, 0, 0, 0, 0);
	ERR(VIRTIO_NET_CTRL_MAC, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0);
}

static void table_that_overflows_has_to_be_complete_all_the_same(void **state)
{
	static uint8_t bytes[2048];
	uint32_t len = mac_table(bytes, CTRL_MACS_MAX + 1, CTRL_MACS_MAX + 1);

	assert_int_equal(run_cut(bytes, len - 1, 64), VIRTIO_NET_ERR);
	assert_int_equal(run_cut(bytes, len + 1, 64), VIRTIO_NET_ERR);
	assert_int_equal(run_cut(bytes, len, 64), VIRTIO_NET_OK);
}

static void own_address_can_be_another(void **state)
{
	OK(VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, 0);
	OK(VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, 0x52, 0x54, 0, 9, 9, 9);
	assert_memory_equal(c.filter.mac, other, 6);
	assert_true(takes(other) && !takes(own));
	ERR(VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, 0x53, 0x54, 0, 9, 9, 9);
	ERR(VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, 0, 0, 0, 0, 0, 0);
}

static void guest_without_receive_modes_keeps_getting_everything(void **state)
{
	ctrl_init(&c, ALL & ~BIT(VIRTIO_NET_F_CTRL_RX), PAIRS_MAX, own);
	OK(VIRTIO_NET_CTRL_MAC, VIRTIO_NET_CTRL_MAC_ADDR_SET, 0x52, 0x54, 0, 9, 9, 9);
	assert_true(takes(own) && takes(group));
}

/* ----------------------------------------------------------------------- VLANs */

static void vlans_that_were_named_are_taken(void **state)
{
	OK(VIRTIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_VLAN_ADD, 0xff, 0x0f);
	OK(VIRTIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_VLAN_ADD, 0x34, 0x02);
	assert_true(takes_vlan(0xfff) && takes_vlan(0xf000 | 0x234) && !takes_vlan(0x235));
	assert_true(takes_vlan(0xe000)); /* priority alone */
	assert_true(takes(own) && takes(other));
	assert_true(takes_vlan_at(0x88a8, 0x235, own)); /* a tag that is not filtered */
	OK(VIRTIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_VLAN_DEL, 0x34, 0x02);
	assert_true(takes_vlan(0xfff) && !takes_vlan(0x234));
	ERR(VIRTIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_VLAN_ADD, 0x00, 0x10);
	ERR(VIRTIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_VLAN_DEL, 0xff, 0xff);
}

static void vlans_alone_do_not_filter_addresses(void **state)
{
	OK(VIRTIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_VLAN_ADD, 5, 0);
	assert_true(takes(other) && takes(group) && takes_vlan_at(0x8100, 5, other));
	OK(VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, 0);
	assert_true(!takes(other) && !takes_vlan_at(0x8100, 5, other) && takes_vlan(5));
	OK(VIRTIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_VLAN_ADD, 6, 0);
	assert_false(takes(other));
}

static void promiscuous_guest_gets_every_vlan(void **state)
{
	OK(VIRTIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_VLAN_ADD, 5, 0);
	OK(VIRTIO_NET_CTRL_RX, VIRTIO_NET_CTRL_RX_PROMISC, 1);
	assert_true(takes_vlan(7));
}

static void tag_that_is_cut_off_is_no_tag(void **state)
{
	uint8_t eth[15] = { 0x52, 0x54, 0, 1, 2, 3, [12] = 0x81 };

	OK(VIRTIO_NET_CTRL_VLAN, VIRTIO_NET_CTRL_VLAN_ADD, 5, 0);
	assert_true(ctrl_takes(&c.filter, eth, sizeof(eth)));
}

/* -------------------------------------------------------------------- the rest */

static void announcement_is_acknowledged(void **state)
{
	ERR(VIRTIO_NET_CTRL_ANNOUNCE, VIRTIO_NET_CTRL_ANNOUNCE_ACK, 0);
	assert_false(c.announce_acked);
	OK(VIRTIO_NET_CTRL_ANNOUNCE, VIRTIO_NET_CTRL_ANNOUNCE_ACK);
	assert_true(c.announce_acked);
	assert_false(c.filter.active);
}

static void pairs_are_those_that_there_are(void **state)
{
	ERR(VIRTIO_NET_CTRL_MQ, 0, 0, 0);
	ERR(VIRTIO_NET_CTRL_MQ, 0, PAIRS_MAX + 1, 0);
	ERR(VIRTIO_NET_CTRL_MQ, 0, 0, 1);
	ERR(VIRTIO_NET_CTRL_MQ, 0, 0, 0x80);
	OK(VIRTIO_NET_CTRL_MQ, 0, PAIRS_MAX, 0);
	assert_int_equal(c.pairs, PAIRS_MAX);
	OK(VIRTIO_NET_CTRL_MQ, 0, 1, 0);
	assert_int_equal(c.pairs, 1);
	assert_false(c.filter.active);
}

static void offloads_are_those_that_were_acknowledged(void **state)
{
	OK(VIRTIO_NET_CTRL_GUEST_OFFLOADS, 0, 0, 0, 0, 0, 0, 0, 0, 0);
	assert_true(c.offloads == 0);
	OK(VIRTIO_NET_CTRL_GUEST_OFFLOADS, 0, 0x82, 0, 0, 0, 0, 0, 0, 0);
	assert_true(c.offloads == OFFLOADS);
	ERR(VIRTIO_NET_CTRL_GUEST_OFFLOADS, 0, 0x82, 1, 0, 0, 0, 0, 0, 0); /* TSO6 */
	ERR(VIRTIO_NET_CTRL_GUEST_OFFLOADS, 0, 0x82, 0, 2, 0, 0, 0, 0, 0); /* CTRL_VQ */
	ERR(VIRTIO_NET_CTRL_GUEST_OFFLOADS, 0, 0x82, 0, 0, 0, 0, 0, 0, 0x80);
	assert_true(c.offloads == OFFLOADS);
}

#define ctrl_case(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		ctrl_case(everything_is_taken_until_the_first_command),
		ctrl_case(commands_need_their_features),
		ctrl_case(unknown_commands_are_refused),
		ctrl_case(command_longer_than_its_pieces_is_refused),
		ctrl_case(first_mode_leaves_own_address_and_broadcast),
		ctrl_case(modes_widen_and_narrow),
		ctrl_case(runt_is_not_taken),
		ctrl_case(table_names_addresses),
		ctrl_case(full_table_is_exact_and_a_longer_one_takes_all),
		ctrl_case(counts_beyond_the_command_are_refused),
		ctrl_case(table_that_overflows_has_to_be_complete_all_the_same),
		ctrl_case(own_address_can_be_another),
		ctrl_case(guest_without_receive_modes_keeps_getting_everything),
		ctrl_case(vlans_that_were_named_are_taken),
		ctrl_case(vlans_alone_do_not_filter_addresses),
		ctrl_case(promiscuous_guest_gets_every_vlan),
		ctrl_case(tag_that_is_cut_off_is_no_tag),
		ctrl_case(announcement_is_acknowledged),
		ctrl_case(pairs_are_those_that_there_are),
		ctrl_case(offloads_are_those_that_were_acknowledged),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
