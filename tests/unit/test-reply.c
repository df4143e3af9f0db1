/* SPDX-License-Identifier: MIT */
/* What the responder answers, and what it must not: frames in, frames out. */
#include "port/responder/reply.h"

#include <stdlib.h>

#include "request.h"

static const uint8_t all_nodes_mac[6] = { 0x33, 0x33, 0, 0, 0, 1 };

static struct reply_host host;
/* --------------------------------------------------------------- reply_make() */

/* In memory of exactly the size that is promised, so that a sanitizer sees one byte too many. */
static enum reply_kind make(void)
{
	size_t room = len > REPLY_ROOM_MIN ? len : REPLY_ROOM_MIN;
	uint8_t *exact = malloc(room);
	enum reply_kind kind;

	memcpy(exact, frame, room);
	kind = reply_make(&host, exact, &len, room);
	assert_true(len <= room);
	if (reply_is_answer(kind))
		memset(frame, 0, sizeof(frame));
	else
		assert_memory_equal(exact, frame, room); /* left as it was */
	memcpy(frame, exact, room);
	free(exact);
	return kind;
}

static void assert_turned_around(void)
{
	assert_memory_equal(frame, peer_mac, 6);
	assert_memory_equal(frame + 6, host_mac, 6);
}

static void assert_ip4(const uint8_t *at, const char *text)
{
	uint8_t want[4];

	put_ip4(want, text);
	assert_memory_equal(at, want, 4);
}

static void assert_ip6(const uint8_t *at, const char *text)
{
	uint8_t want[16];

	put_ip6(want, text);
	assert_memory_equal(at, want, 16);
}

static void link_local_is_eui64_of_mac(void **state)
{
	assert_ip6(host.ll6, HOST_LL);
}

static void answers_arp_request(void **state)
{
	const uint8_t *a = arp_request("10.0.0.2");

	assert_int_equal(make(), REPLY_ARP);
	assert_int_equal(len, 42);
	assert_turned_around();
	assert_int_equal(get16(a + 6), 2);
	assert_memory_equal(a + 8, host_mac, 6);
	assert_ip4(a + 14, "10.0.0.2");
	assert_memory_equal(a + 18, peer_mac, 6);
	assert_ip4(a + 24, "10.0.0.1");
}

static void answers_arp_probe_without_sender_address(void **state)
{
	uint8_t *a = arp_request("10.0.0.2");

	memset(a + 14, 0, 4);
	assert_int_equal(make(), REPLY_ARP);
	assert_ip4(a + 24, "0.0.0.0");
}

static void ignores_arp_for_others_and_arp_replies(void **state)
{
	uint8_t *a;

	arp_request("10.0.0.3");
	assert_int_equal(make(), REPLY_OTHER);
	a = arp_request("10.0.0.2");
	a[7] = 2;
	assert_int_equal(make(), REPLY_OTHER);
	arp_request("10.0.0.2");
	host.has_ip = false;
	assert_int_equal(make(), REPLY_OTHER);
}

static void rejects_malformed_arp(void **state)
{
	static const unsigned at[] = { 1, 2, 4, 5, 8 }; /* types, lengths, a group as sender */

	for (unsigned i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
		arp_request("10.0.0.2")[at[i]] ^= 0x11;
		assert_int_equal(make(), REPLY_BAD);
	}
	arp_request("10.0.0.2");
	len = 41;
	assert_int_equal(make(), REPLY_BAD);
}

static void answers_ping_of_every_size(void **state)
{
	static const size_t sizes[] = { 8, 9, 64, 65, 1480, 8972, 65515 };

	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		const uint8_t *ip = ping4(20, sizes[i]);

		assert_int_equal(make(), REPLY_ECHO4);
		assert_int_equal(len, 34 + sizes[i]);
		assert_turned_around();
		assert_ip4(ip + 12, "10.0.0.2");
		assert_ip4(ip + 16, "10.0.0.1");
		assert_int_equal(sum16(ip, 20, 0), 0xffff);
		assert_int_equal(ip[8], 64);
		assert_int_equal(ip[1], 0x20);
		assert_int_equal(ip[20], 0);
		assert_int_equal(sum16(ip + 20, sizes[i], 0), 0xffff);
		assert_int_equal(get16(ip + 24), 0xbeef);
		for (size_t k = 8; k < sizes[i]; k++)
			assert_int_equal(ip[20 + k], (uint8_t)(k * 7));
	}
}

static void cuts_padding_and_ip_options(void **state)
{
	const uint8_t *ip = ping4(60, 16);

	len += 20;
	assert_int_equal(make(), REPLY_ECHO4);
	assert_int_equal(len, 34 + 16);
	assert_int_equal(ip[0], 0x45);
	assert_int_equal(get16(ip + 2), 36);
	assert_int_equal(sum16(ip, 20, 0), 0xffff);
	assert_int_equal(sum16(ip + 20, 16, 0), 0xffff);
	assert_int_equal(ip[20 + 15], 15 * 7);
}

static void ignores_ip_that_is_not_a_ping_for_the_host(void **state)
{
	uint8_t *ip = ping4(20, 64);

	put_ip4(ip + 16, "10.0.0.3");
	finish_ip4(ip, 20, 64);
	assert_int_equal(make(), REPLY_OTHER);

	ip = ping4(20, 64);
	memcpy(frame, broadcast, 6);
	assert_int_equal(make(), REPLY_OTHER);

	ip = ping4(20, 64);
	ip[9] = 17;
	finish_ip4(ip, 20, 64);
	assert_int_equal(make(), REPLY_OTHER);

	ip = ping4(20, 64);
	ip[20] = 0; /* an echo reply */
	put16(ip + 22, get16(ip + 22) + 0x800);
	assert_int_equal(make(), REPLY_OTHER);
}

static void tells_fragments_apart(void **state)
{
	uint8_t *ip = ping4(20, 64);

	ip[6] = 0x20;
	finish_ip4(ip, 20, 64);
	assert_int_equal(make(), REPLY_FRAGMENT);
	ip = ping4(20, 64);
	ip[7] = 8;
	finish_ip4(ip, 20, 64);
	assert_int_equal(make(), REPLY_FRAGMENT);
	ip = ping4(20, 64);
	ip[6] = 0x40; /* don't fragment is none */
	finish_ip4(ip, 20, 64);
	assert_int_equal(make(), REPLY_ECHO4);

	ping6(host_mac, "fd00::1", "fd00::2", 64)[6] = 44;
	assert_int_equal(make(), REPLY_FRAGMENT);
}

static void rejects_ip_that_lies_about_lengths(void **state)
{
	uint8_t *ip = ping4(20, 64);

	len--; /* total length beyond the frame */
	assert_int_equal(make(), REPLY_BAD);

	ip = ping4(20, 64);
	ip[0] = 0x44;
	assert_int_equal(make(), REPLY_BAD);

	ip = ping4(20, 64);
	put16(ip + 2, 19);
	assert_int_equal(make(), REPLY_BAD);

	ping4(20, 7);
	assert_int_equal(make(), REPLY_BAD);

	ping4(20, 64);
	len = 14 + 19;
	assert_int_equal(make(), REPLY_BAD);

	ip = ping4(20, 8);
	ip[0] = 0x4f; /* header beyond the packet */
	assert_int_equal(make(), REPLY_BAD);
}

static void rejects_wrong_checksums(void **state)
{
	ping4(20, 64)[10] ^= 1;
	assert_int_equal(make(), REPLY_BAD);
	ping4(20, 64)[80] ^= 1;
	assert_int_equal(make(), REPLY_BAD);
	ping6(host_mac, "fd00::1", "fd00::2", 64)[70] ^= 1;
	assert_int_equal(make(), REPLY_BAD);
	solicit("fe80::1", GROUP_OF_LL, HOST_LL, true)[70] ^= 1;
	assert_int_equal(make(), REPLY_BAD);
}

static void rejects_sources_that_cannot_be_answered(void **state)
{
	static const char *const v4[] = { "0.0.0.0", "127.0.0.1", "224.0.0.1", "255.255.255.255" };
	static const char *const v6[] = { "::", "ff02::1" };

	for (unsigned i = 0; i < 4; i++) {
		uint8_t *ip = ping4(20, 64);

		put_ip4(ip + 12, v4[i]);
		finish_ip4(ip, 20, 64);
		assert_int_equal(make(), REPLY_BAD);
	}
	for (unsigned i = 0; i < 2; i++) {
		ping6(host_mac, v6[i], "fd00::2", 64);
		assert_int_equal(make(), REPLY_BAD);
	}
	ping4(20, 64);
	frame[6] |= 1; /* from a group address */
	assert_int_equal(make(), REPLY_BAD);
	ping4(20, 64);
	memcpy(frame + 6, host_mac, 6); /* from itself */
	assert_int_equal(make(), REPLY_BAD);
}

static void answers_ping6_of_every_size(void **state)
{
	static const size_t sizes[] = { 8, 9, 64, 1440, 8952, 65535 };
	static const char *const own[] = { "fd00::2", HOST_LL };

	for (unsigned i = 0; i < 2 * sizeof(sizes) / sizeof(sizes[0]); i++) {
		size_t plen = sizes[i / 2];
		const uint8_t *ip = ping6(host_mac, "fd00::1", own[i % 2], plen);

		assert_int_equal(make(), REPLY_ECHO6);
		assert_int_equal(len, 54 + plen);
		assert_turned_around();
		assert_ip6(ip + 8, own[i % 2]);
		assert_ip6(ip + 24, "fd00::1");
		assert_int_equal(ip[7], 64);
		assert_int_equal(get16(ip + 2), 0);
		assert_int_equal(ip[40], 129);
		assert_int_equal(sum6(ip, plen), 0xffff);
		for (size_t k = 4; k < plen; k++)
			assert_int_equal(ip[40 + k], (uint8_t)(k * 5));
	}
}

static void answers_ping6_to_all_nodes_from_matching_scope(void **state)
{
	const uint8_t *ip = ping6(all_nodes_mac, "fe80::1", "ff02::1", 64);

	assert_int_equal(make(), REPLY_ECHO6);
	assert_ip6(ip + 8, HOST_LL);
	assert_int_equal(sum6(ip, 64), 0xffff);
	ping6(all_nodes_mac, "fd00::1", "ff02::1", 64);
	assert_int_equal(make(), REPLY_ECHO6);
	assert_ip6(ip + 8, "fd00::2");
	assert_ip6(ip + 24, "fd00::1");
	assert_int_equal(sum6(ip, 64), 0xffff);
}

static void ignores_ping6_for_others(void **state)
{
	uint8_t *ip;

	ping6(host_mac, "fd00::1", "fd00::3", 64);
	assert_int_equal(make(), REPLY_OTHER);
	ping6(all_nodes_mac, "fd00::1", "fd00::2", 64);
	assert_int_equal(make(), REPLY_OTHER);
	ip = ping6(host_mac, "fd00::1", "fd00::2", 64);
	ip[40] = 129;
	finish_ip6(ip, 64);
	assert_int_equal(make(), REPLY_OTHER);
	ip = ping6(host_mac, "fd00::1", "fd00::2", 64);
	ip[6] = 17;
	assert_int_equal(make(), REPLY_OTHER);
}

static void rejects_ip6_that_lies_about_lengths(void **state)
{
	ping6(host_mac, "fd00::1", "fd00::2", 64);
	len--;
	assert_int_equal(make(), REPLY_BAD);
	ping6(host_mac, "fd00::1", "fd00::2", 7);
	assert_int_equal(make(), REPLY_BAD);
	ping6(host_mac, "fd00::1", "fd00::2", 64);
	len = 14 + 39;
	assert_int_equal(make(), REPLY_BAD);
	ping6(host_mac, "fd00::1", "fd00::2", 64)[0] = 0x40;
	assert_int_equal(make(), REPLY_BAD);
}

static void assert_advert(const uint8_t *ip, const char *target, const char *dst, unsigned flags)
{
	assert_int_equal(len, 14 + 40 + 32);
	assert_memory_equal(frame + 6, host_mac, 6);
	assert_ip6(ip + 8, target);
	assert_ip6(ip + 24, dst);
	assert_int_equal(get16(ip + 4), 32);
	assert_int_equal(ip[7], 255);
	assert_int_equal(sum6(ip, 32), 0xffff);
	assert_int_equal(ip[40], 136);
	assert_int_equal(ip[44], flags);
	assert_ip6(ip + 48, target);
	assert_memory_equal(ip + 64, ((const uint8_t[]) { 2, 1 }), 2);
	assert_memory_equal(ip + 66, host_mac, 6);
}

static void answers_neighbour_solicitation(void **state)
{
	static const char *const to[][2] = {
		{ GROUP_OF_LL, HOST_LL },
		{ HOST_LL, HOST_LL },
		{ GROUP_OF_IP6, "fd00::2" },
		{ "fd00::2", "fd00::2" },
	};

	for (unsigned i = 0; i < 8; i++) {
		const uint8_t *ip = solicit("fe80::1", to[i / 2][0], to[i / 2][1], i % 2);

		assert_int_equal(make(), REPLY_NEIGHBOUR);
		assert_advert(ip, to[i / 2][1], "fe80::1", 0x60);
		assert_memory_equal(frame, peer_mac, 6);
	}
}

static void answers_duplicate_address_probe_to_all_nodes(void **state)
{
	const uint8_t *ip = solicit("::", GROUP_OF_IP6, "fd00::2", false);

	assert_int_equal(make(), REPLY_NEIGHBOUR);
	assert_advert(ip, "fd00::2", "ff02::1", 0x20);
	assert_memory_equal(frame, all_nodes_mac, 6);
}

static void rejects_invalid_solicitations(void **state)
{
	uint8_t *ip;

	solicit("fe80::1", GROUP_OF_LL, HOST_LL, true)[7] = 254; /* came through a router */
	assert_int_equal(make(), REPLY_BAD);

	ip = solicit("fe80::1", GROUP_OF_LL, HOST_LL, true);
	ip[41] = 1;
	finish_ip6(ip, 32);
	assert_int_equal(make(), REPLY_BAD);

	solicit("fe80::1", GROUP_OF_LL, "ff02::5", true);
	assert_int_equal(make(), REPLY_BAD);

	solicit("::", GROUP_OF_IP6, "fd00::2", true); /* a probe has no address to tell */
	assert_int_equal(make(), REPLY_BAD);

	solicit("::", "fd00::2", "fd00::2", false); /* a probe goes to the group */
	assert_int_equal(make(), REPLY_BAD);

	ip = solicit("fe80::1", GROUP_OF_LL, HOST_LL, true);
	ip[65] = 0; /* an option without end */
	finish_ip6(ip, 32);
	assert_int_equal(make(), REPLY_BAD);

	ip = solicit("fe80::1", GROUP_OF_LL, HOST_LL, true);
	ip[65] = 2; /* an option beyond the packet */
	finish_ip6(ip, 32);
	memset(frame + len, 1, 64); /* whoever goes on there falls over the end */
	assert_int_equal(make(), REPLY_BAD);

	ip = solicit("fe80::1", GROUP_OF_LL, HOST_LL, true);
	finish_ip6(ip, 23);
	assert_int_equal(make(), REPLY_BAD);
}

static void ignores_solicitation_for_others_and_adverts(void **state)
{
	uint8_t *ip;

	solicit("fe80::1", GROUP_OF_LL, "fe80::77:ff01:203", true);
	assert_int_equal(make(), REPLY_OTHER);
	ip = solicit("fe80::1", HOST_LL, HOST_LL, true);
	ip[40] = 136;
	finish_ip6(ip, 32);
	assert_int_equal(make(), REPLY_OTHER);
}

static void carries_vlan_tag_over(void **state)
{
	ping4(20, 64);
	tag(0x6123);
	assert_int_equal(make(), REPLY_ECHO4);
	assert_int_equal(len, 18 + 84);
	assert_turned_around();
	assert_int_equal(get16(frame + 12), 0x8100);
	assert_int_equal(get16(frame + 14), 0x6123);
	assert_int_equal(get16(frame + 16), 0x0800);
	assert_int_equal(sum16(frame + 18, 20, 0), 0xffff);

	arp_request("10.0.0.2");
	tag(5);
	assert_int_equal(make(), REPLY_ARP);
	assert_int_equal(len, 46);

	solicit("::", GROUP_OF_IP6, "fd00::2", false); /* the longest growth there is */
	tag(5);
	assert_int_equal(make(), REPLY_NEIGHBOUR);
	assert_int_equal(len, 18 + 40 + 32);

	ping4(20, 64);
	tag(1);
	tag(2); /* two tags are left alone */
	assert_int_equal(make(), REPLY_OTHER);
	len = 17;
	assert_int_equal(make(), REPLY_BAD);
}

static void takes_only_frames_for_its_addresses(void **state)
{
	static const struct {
		uint8_t mac[6];
		bool want;
	} rows[] = {
		{ { 0x52, 0x54, 0, 1, 2, 3 }, true },	    { { 0x52, 0x54, 0, 1, 2, 4 }, false },
		{ { 255, 255, 255, 255, 255, 255 }, true }, { { 0x33, 0x33, 0, 0, 0, 1 }, true },
		{ { 0x33, 0x33, 0, 0, 0, 2 }, false },	    { { 0x33, 0x33, 255, 1, 2, 3 }, true },
		{ { 0x33, 0x33, 255, 0, 0, 2 }, true },	    { { 0x33, 0x33, 255, 0, 0, 3 }, false },
		{ { 0x01, 0, 0x5e, 0, 0, 1 }, false },
	};

	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(reply_is_for(&host, rows[i].mac), rows[i].want);
	ping4(20, 64);
	frame[5] ^= 1;
	assert_int_equal(make(), REPLY_OTHER);
}

static void survives_every_truncation(void **state)
{
	for (size_t cut = 0; cut < 102; cut++) {
		ping4(20, 64);
		tag(1);
		len = cut;
		assert_false(reply_is_answer(make()));
	}
	for (size_t cut = 0; cut < 86; cut++) {
		solicit("fe80::1", GROUP_OF_LL, HOST_LL, true);
		len = cut;
		assert_false(reply_is_answer(make()));
	}
}

static void replies_beget_no_replies(void **state)
{
	struct reply_host peer;

	reply_host_init(&peer, peer_mac);
	peer.has_ip = peer.has_ip6 = true;
	put_ip4(peer.ip, "10.0.0.1");
	put_ip6(peer.ip6, "fd00::1");
	for (unsigned i = 0; i < 5; i++) {
		switch (i) {
		case 0:
			arp_request("10.0.0.2");
			break;
		case 1:
			ping4(20, 64);
			break;
		case 2:
			ping6(host_mac, "fd00::1", "fd00::2", 64);
			break;
		case 3:
			solicit("fd00::1", GROUP_OF_IP6, "fd00::2", true);
			break;
		default:
			solicit("::", GROUP_OF_IP6, "fd00::2", false);
			break;
		}
		assert_true(reply_is_answer(make()));
		assert_int_equal(reply_make(&peer, frame, &len, sizeof(frame)), REPLY_OTHER);
	}
}

/* ----------------------------------------------------------- reply_announce() */

static void announces_every_address(void **state)
{
	const uint8_t *net = frame + 14;

	len = reply_announce(&host, 0, frame);
	assert_int_equal(len, 42);
	assert_memory_equal(frame, broadcast, 6);
	assert_int_equal(get16(frame + 12), 0x0806);
	assert_int_equal(get16(net + 6), 1);
	assert_memory_equal(net + 8, host_mac, 6);
	assert_ip4(net + 14, "10.0.0.2");
	assert_ip4(net + 24, "10.0.0.2");

	for (unsigned i = 1; i < REPLY_ANNOUNCE_MAX; i++) {
		len = reply_announce(&host, i, frame);
		assert_memory_equal(frame, all_nodes_mac, 6);
		assert_int_equal(get16(frame + 12), 0x86dd);
		assert_advert(net, i == 1 ? HOST_LL : "fd00::2", "ff02::1", 0x20);
	}
	assert_int_equal(reply_announce(&host, REPLY_ANNOUNCE_MAX, frame), 0);
	host.has_ip = host.has_ip6 = false;
	assert_int_equal(reply_announce(&host, 0, frame), 0);
	assert_int_equal(reply_announce(&host, 1, frame), 86);
	assert_int_equal(reply_announce(&host, 2, frame), 0);
}

static int setup(void **state)
{
	reply_host_init(&host, host_mac);
	host.has_ip = host.has_ip6 = true;
	put_ip4(host.ip, "10.0.0.2");
	put_ip6(host.ip6, "fd00::2");
	return 0;
}

#define CASE(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(link_local_is_eui64_of_mac),
		CASE(answers_arp_request),
		CASE(answers_arp_probe_without_sender_address),
		CASE(ignores_arp_for_others_and_arp_replies),
		CASE(rejects_malformed_arp),
		CASE(answers_ping_of_every_size),
		CASE(cuts_padding_and_ip_options),
		CASE(ignores_ip_that_is_not_a_ping_for_the_host),
		CASE(tells_fragments_apart),
		CASE(rejects_ip_that_lies_about_lengths),
		CASE(rejects_wrong_checksums),
		CASE(rejects_sources_that_cannot_be_answered),
		CASE(answers_ping6_of_every_size),
		CASE(answers_ping6_to_all_nodes_from_matching_scope),
		CASE(ignores_ping6_for_others),
		CASE(rejects_ip6_that_lies_about_lengths),
		CASE(answers_neighbour_solicitation),
		CASE(answers_duplicate_address_probe_to_all_nodes),
		CASE(rejects_invalid_solicitations),
		CASE(ignores_solicitation_for_others_and_adverts),
		CASE(carries_vlan_tag_over),
		CASE(takes_only_frames_for_its_addresses),
		CASE(survives_every_truncation),
		CASE(replies_beget_no_replies),
		CASE(announces_every_address),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
