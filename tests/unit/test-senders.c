/* SPDX-License-Identifier: MIT */
/* Whose frames may enter by a port. */
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/iov.h"
#include "filter/senders.h"
#include "request.h"

#define OWN_LL "fe80::ff:fe00:9" /* of peer_mac, 02:00:00:00:00:09 */
#define OTHER_MAC "02:00:00:00:00:0a"
#define MACS "02:00:00:00:00:08+02:00:00:00:00:09"
#define IPS "10.0.0.1+10.1.0.0/16+fd00::1+fd01::/64"

static struct vmtap_net_hdr hdr;

/* Of the frame that was built, in pieces of @piece bytes; the copy is in allocated memory. */
static bool permit_in_pieces(const struct senders *s, size_t piece)
{
	static struct iovec iov[2000];
	struct vmtap_frame f = { .hdr = hdr, .len = (uint32_t)len, .iov = iov };
	uint8_t *buf = malloc(PACKET_HEAD_MAX);
	struct head h = { .frame = &f, .buf = buf };
	bool ok;

	for (size_t at = 0; at < len && f.iov_cnt < 2000; at += piece)
		iov[f.iov_cnt++] =
			(struct iovec) { frame + at, at + piece < len ? piece : len - at };
	ok = senders_permit(s, &h);
	free(buf);
	return ok;
}

static bool permit(const char *macs, const char *ips)
{
	static struct senders s;
	char why[SENDERS_WHY_MAX];
	bool ok;

	s = (struct senders) { 0 };
	if (macs)
		assert_int_equal(senders_add_macs(&s, macs, why), 0);
	if (ips)
		assert_int_equal(senders_add_ips(&s, ips, why), 0);
	ok = permit_in_pieces(&s, len);
	assert_int_equal(permit_in_pieces(&s, 7), ok);
	return ok;
}

static int setup(void **state)
{
	hdr = (struct vmtap_net_hdr) { 0 };
	return 0;
}

static void other_mac(uint8_t *at)
{
	memcpy(at, (const uint8_t[]) { 2, 0, 0, 0, 0, 10 }, 6);
}

/* UDP from @src to @dst. */
static uint8_t *udp4(const char *src, const char *dst, unsigned from, unsigned to)
{
	uint8_t *ip = ether(broadcast, 0x0800);

	ip[9] = 17;
	put_ip4(ip + 12, src);
	put_ip4(ip + 16, dst);
	put16(ip + 20, from);
	put16(ip + 22, to);
	finish_ip4(ip, 20, 300);
	return ip;
}

/* ICMPv6 of @type and @n bytes, from @src. Return: the message. */
static uint8_t *icmp6(const char *src, unsigned type, size_t n)
{
	uint8_t *ip = ping6(host_mac, src, "ff02::1", n);

	memset(ip + 40, 0, n);
	ip[40] = (uint8_t)type;
	return ip + 40;
}

/* Put an extension header of @kind in front of what the IPv6 packet carries. */
static uint8_t *extend(unsigned kind)
{
	uint8_t *ip = frame + 14;

	memmove(ip + 48, ip + 40, len - 54);
	memset(ip + 40, 0, 8);
	ip[40] = ip[6];
	ip[6] = (uint8_t)kind;
	put16(ip + 4, get16(ip + 4) + 8);
	len += 8;
	return ip + 40;
}

/* -------------------------------------------------------------------- MAC */

static void the_source_address_has_to_be_one_of_them(void **state)
{
	ping4(20, 40);
	assert_true(permit(MACS, NULL));
	assert_true(permit("02:00:00:00:00:09", NULL));
	assert_false(permit(OTHER_MAC, NULL));
	other_mac(frame + 6);
	assert_false(permit(MACS, NULL));
	ether(broadcast, 0x88cc);
	len = 60;
	assert_true(permit(MACS, NULL));
	other_mac(frame + 6);
	assert_false(permit(MACS, NULL));
}

static void arp_names_the_same_sender(void **state)
{
	uint8_t *arp = arp_request("10.0.0.2");

	assert_true(permit(MACS, NULL));
	other_mac(arp + 8);
	assert_false(permit(MACS, NULL));
	assert_true(permit(NULL, "10.0.0.1"));
	arp = arp_request("10.0.0.2");
	put16(frame + 12, 0x8035); /* RARP, as a VMM says that a guest has moved */
	assert_true(permit(MACS, NULL));
	other_mac(arp + 8);
	assert_false(permit(MACS, NULL));
}

static void so_does_neighbour_discovery(void **state)
{
	uint8_t *ip = solicit("fd00::1", GROUP_OF_IP6, "fd00::2", true);

	assert_true(permit(MACS, IPS));
	other_mac(ip + 66);
	assert_false(permit(MACS, NULL));
	assert_true(permit(NULL, IPS));
}

/* --------------------------------------------------------------------- IP */

static void the_ip4_source_has_to_be_one_of_them(void **state)
{
	static const struct {
		const char *src;
		bool ok;
	} rows[] = {
		{ "10.0.0.1", true },	      { "10.0.0.2", false }, { "10.1.0.0", true },
		{ "10.1.255.255", true },     { "10.2.0.0", false }, { "0.0.0.0", false },
		{ "255.255.255.255", false },
	};

	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		uint8_t *ip = udp4(rows[i].src, "10.9.9.9", 68, 67);

		assert_int_equal(permit(NULL, IPS), rows[i].ok);
		assert_true(permit(MACS, NULL));
		assert_int_equal(permit(NULL, "0.0.0.0/0"), true);
		put16(ip + 6, 0x2000); /* the first fragment, and a later one */
		assert_int_equal(permit(NULL, IPS), rows[i].ok);
		put16(ip + 6, 100);
		assert_int_equal(permit(NULL, IPS), rows[i].ok);
	}
	udp4("10.0.0.1", "10.9.9.9", 1, 2);
	assert_false(permit(NULL, "fd00::1"));
}

static void who_has_no_address_may_ask_for_one(void **state)
{
	uint8_t *ip = udp4("0.0.0.0", "255.255.255.255", 68, 67);

	assert_true(permit(MACS, IPS));
	put16(ip + 6, 0x2000);
	assert_false(permit(NULL, IPS));
	udp4("0.0.0.0", "255.255.255.255", 67, 68);
	assert_false(permit(NULL, IPS));
	ip = udp4("0.0.0.0", "224.0.0.22", 0, 0);
	ip[9] = 2;
	assert_true(permit(NULL, IPS));
	ip[9] = 6;
	assert_false(permit(NULL, IPS));
	len = 14 + 20 + 7;
	ip[9] = 17;
	assert_false(permit(NULL, IPS));
}

static void arp_is_for_own_addresses(void **state)
{
	uint8_t *arp = arp_request("10.0.0.2");

	assert_true(permit(NULL, IPS));
	put_ip4(arp + 14, "10.0.0.2");
	assert_false(permit(NULL, IPS));
	put_ip4(arp + 14, "0.0.0.0"); /* a probe */
	assert_true(permit(NULL, IPS));
	put_ip4(arp + 14, "10.0.0.1");
	arp[5] = 6; /* an address of six bytes: who could tell */
	assert_false(permit(NULL, IPS));
	assert_false(permit(MACS, NULL));
	arp = arp_request("10.0.0.2");
	len = 14 + 27;
	assert_false(permit(NULL, IPS));
}

static void the_ip6_source_has_to_be_one_of_them(void **state)
{
	static const struct {
		const char *src;
		bool ok;
	} rows[] = {
		{ "fd00::1", true },	      { "fd00::2", false },	 { "fd01::", true },
		{ "fd01::1:2:3:4", true },    { "fd01:0:0:1::", false }, { OWN_LL, true },
		{ "fe80::ff:fe00:a", false }, { "::1", false },
	};

	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		ping6(host_mac, rows[i].src, "fd00::9", 20);
		assert_int_equal(permit(NULL, IPS), rows[i].ok);
		assert_int_equal(permit(MACS, IPS), rows[i].ok);
		extend(0);
		assert_int_equal(permit(NULL, IPS), rows[i].ok);
		put16(extend(44) + 2, 0x100 << 3);
		assert_int_equal(permit(NULL, IPS), rows[i].ok);
	}
	ping6(host_mac, "fd00::1", "fd00::9", 20);
	assert_false(permit(NULL, "10.0.0.1"));
	ping6(host_mac, "fe80::ff:fe00:8", "fd00::9", 20); /* of the other permitted address */
	assert_true(permit(MACS, IPS));
	assert_false(permit(NULL, IPS));
}

static void who_has_no_ip6_address_may_ask_whether_one_is_free(void **state)
{
	solicit("::", GROUP_OF_LL, OWN_LL, false);
	assert_true(permit(MACS, IPS));
	solicit("::", GROUP_OF_LL, "fd00::1", false);
	assert_true(permit(NULL, IPS));
	solicit("::", GROUP_OF_LL, "fd00::2", false); /* so that nobody else may use it */
	assert_false(permit(NULL, IPS));
	assert_false(permit(NULL, "::/128+fd00::1"));
	assert_true(permit(MACS, NULL));
	icmp6("::", 133, 8);
	assert_true(permit(NULL, IPS));
	icmp6("::", 143, 28);
	extend(0);
	assert_true(permit(NULL, IPS));
	icmp6("::", 128, 28);
	assert_false(permit(NULL, IPS));
	icmp6("::", 134, 16);
	assert_false(permit(NULL, IPS));
	ping6(host_mac, "::", "fd00::9", 20);
	frame[14 + 6] = 17;
	assert_false(permit(NULL, IPS));
}

static void advertisements_are_for_own_addresses(void **state)
{
	uint8_t *na = icmp6(OWN_LL, 136, 32);

	put_ip6(na + 8, "fd00::1");
	memcpy(na + 24, (const uint8_t[]) { 2, 1 }, 2);
	memcpy(na + 26, peer_mac, 6);
	assert_true(permit(MACS, IPS));
	other_mac(na + 26);
	assert_false(permit(MACS, IPS));
	memcpy(na + 26, peer_mac, 6);
	put_ip6(na + 8, "fd00::2");
	assert_false(permit(NULL, IPS));
	extend(60); /* hidden behind another header */
	assert_false(permit(NULL, IPS));
	assert_true(permit(MACS, NULL));
	extend(44); /* in fragments, of which this is the only one */
	assert_false(permit(MACS, NULL));
}

static void discovery_that_is_broken_is_refused(void **state)
{
	uint8_t *na = icmp6(OWN_LL, 136, 32);

	put_ip6(na + 8, "fd00::1");
	na[24] = 14;
	na[25] = 1;
	assert_true(permit(MACS, IPS));
	na[25] = 0; /* an option without a length */
	assert_false(permit(MACS, IPS));
	na[25] = 2; /* beyond the end */
	assert_false(permit(MACS, IPS));
	na[25] = 1;
	put16(frame + 14 + 4, 33); /* a packet beyond the frame */
	assert_false(permit(MACS, IPS));
	put16(frame + 14 + 4, 31);
	assert_false(permit(MACS, IPS));
	put16(frame + 14 + 4, 20);
	assert_false(permit(MACS, IPS));
}

/* ------------------------------------------------------------------ frames */

static void tags_hide_nothing(void **state)
{
	for (unsigned tags = 1; tags <= PACKET_VLAN_MAX + 1; tags++) {
		udp4("10.0.0.2", "10.0.0.9", 1, 2);
		for (unsigned i = 0; i < tags; i++)
			tag(i);
		assert_false(permit(NULL, IPS));
		put_ip4(frame + 14 + tags * 4 + 12, "10.0.0.1");
		assert_int_equal(permit(NULL, IPS), tags <= PACKET_VLAN_MAX);
	}
}

static void neither_does_snap(void **state)
{
	udp4("10.0.0.2", "10.0.0.9", 1, 2);
	memmove(frame + 20, frame + 12, len - 12);
	put16(frame + 12, 100);
	memcpy(frame + 14, (const uint8_t[]) { 0xaa, 0xaa, 3, 0, 0, 0 }, 6);
	len += 8;
	assert_false(permit(NULL, IPS));
	put_ip4(frame + 22 + 12, "10.0.0.1");
	assert_true(permit(NULL, IPS));
	tag(7);
	assert_true(permit(NULL, IPS));
	put_ip4(frame + 26 + 12, "10.0.0.2");
	assert_false(permit(NULL, IPS));
}

static void other_protocols_pass(void **state)
{
	static const unsigned types[] = { 0x88cc, 0x8863, 0x893a, 0x0026, 0x05ff };

	for (unsigned i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		ether(broadcast, types[i]);
		len = 60;
		assert_true(permit(MACS, IPS));
		len = 14;
		assert_true(permit(MACS, IPS));
	}
}

/* Each frame, cut anywhere: none is permitted that lacks what says whose it is. */
static void what_is_too_short_to_tell_is_refused(void **state)
{
	udp4("10.0.0.1", "10.0.0.9", 1, 2);
	for (len = 14; len < 14 + 20; len++)
		assert_false(permit(NULL, IPS));
	assert_true(permit(NULL, IPS));
	solicit("fd00::1", GROUP_OF_IP6, "fd00::2", true);
	for (len = 14; len < 14 + 40 + 32; len++)
		assert_false(permit(NULL, IPS));
	assert_true(permit(NULL, IPS));
	arp_request("10.0.0.2");
	for (len = 14; len < 14 + 28; len++)
		assert_false(permit(NULL, IPS));
	assert_true(permit(NULL, IPS));
	ether(broadcast, 0x8100);
	len = 15;
	assert_false(permit(NULL, IPS));
}

static void headers_that_lie_are_refused(void **state)
{
	uint8_t *ip = udp4("10.0.0.1", "10.0.0.9", 1, 2);

	ip[0] = 0x44; /* sixteen bytes */
	assert_false(permit(NULL, IPS));
	ip[0] = 0x65;
	assert_false(permit(NULL, IPS));
	ping6(host_mac, "fd00::1", "fd00::9", 20);
	frame[14] = 0x40;
	assert_false(permit(NULL, IPS));
	ping6(host_mac, "fd00::1", "fd00::9", 20);
	extend(0)[1] = 255; /* beyond the end */
	assert_false(permit(NULL, IPS));
}

/* The kernel, or we, would write the checksum where the guest says, after the check. */
static void no_checksum_goes_over_what_was_looked_at(void **state)
{
	udp4("10.0.0.1", "10.0.0.9", 1, 2);
	hdr = (struct vmtap_net_hdr) { .flags = VMTAP_HDR_NEEDS_CSUM,
				       .csum_start = 34,
				       .csum_offset = 6 };
	assert_true(permit(MACS, IPS));
	for (unsigned at = 0; at < 34; at++) {
		hdr.csum_start = (uint16_t)(at / 2);
		hdr.csum_offset = (uint16_t)(at - at / 2);
		assert_false(permit(MACS, IPS));
	}
	udp4("0.0.0.0", "255.255.255.255", 68, 67);
	hdr.csum_start = 34;
	hdr.csum_offset = 6;
	assert_true(permit(MACS, IPS));
	hdr.csum_offset = 3;
	assert_false(permit(MACS, IPS));
	icmp6(OWN_LL, 128, 40);
	hdr.csum_start = 54;
	hdr.csum_offset = 2;
	assert_true(permit(MACS, IPS));
	hdr.csum_offset = 0; /* what becomes an advertisement */
	assert_false(permit(MACS, IPS));
	put_ip6(icmp6(OWN_LL, 136, 24) + 8, "fd00::1");
	hdr.csum_offset = 2;
	assert_true(permit(MACS, IPS));
	hdr.csum_offset = 20;
	assert_false(permit(MACS, IPS));
	ether(broadcast, 0x88cc);
	len = 60;
	hdr.csum_start = 0;
	hdr.csum_offset = 12;
	assert_false(permit(MACS, IPS));
}

/* -------------------------------------------------------------------- text */

static void wrong_addresses_are_refused_by_name(void **state)
{
	static const struct {
		const char *text, *why;
		bool mac;
	} rows[] = {
		{ "52:54:00:12:34", "52:54:00:12:34\" is no MAC", true },
		{ "52:54:00:12:34:56:78", "is no MAC", true },
		{ "52:54:00:12:34:5", "is no MAC", true },
		{ "52:54:00:12:34:56++52:54:00:12:34:57", "\"\" is no MAC", true },
		{ "53:54:00:12:34:56", "group", true },
		{ "10.0.0", "\"10.0.0\" is no IP", false },
		{ "10.0.0.1+fd00::g", "\"fd00::g\" is no IP", false },
		{ "10.0.0.0/33", "0 to 32", false },
		{ "10.0.0.0/", "0 to 32", false },
		{ "10.0.0.0/-1", "0 to 32", false },
		{ "10.0.0.0/99999999999999999999", "0 to 32", false },
		{ "10.0.0.1/24", "bits behind", false },
		{ "fd00::/129", "0 to 128", false },
		{ "fd00::1/64", "bits behind", false },
		{ "1111111111111111111111111111111111111111111111111111111111111111111111",
		  "is no address", false },
	};

	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct senders s = { 0 };
		char why[SENDERS_WHY_MAX] = "";

		assert_int_equal(rows[i].mac ? senders_add_macs(&s, rows[i].text, why)
					     : senders_add_ips(&s, rows[i].text, why),
				 -EINVAL);
		if (!strstr(why, rows[i].why))
			fail_msg("%s: %s", rows[i].text, why);
	}
}

static void there_is_room_for_64_of_a_kind(void **state)
{
	struct senders s = { 0 };
	char text[2048] = "", why[SENDERS_WHY_MAX];

	for (unsigned i = 0; i < SENDERS_MAX; i++)
		snprintf(text + strlen(text), sizeof(text) - strlen(text), "10.0.0.%u+", i);
	assert_int_equal(senders_add_ips(&s, text, why), 0);
	assert_int_equal(s.ip4_cnt, SENDERS_MAX);
	assert_int_equal(senders_add_ips(&s, "10.0.0.1", why), -EINVAL);
	assert_non_null(strstr(why, "more than 64"));
	s = (struct senders) { 0 };
	assert_int_equal(senders_add_macs(&s, "52-54-00-AA-bb-cc", why), 0);
	assert_int_equal(s.macs[0][3], 0xaa);
}

#define CASE(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(the_source_address_has_to_be_one_of_them),
		CASE(arp_names_the_same_sender),
		CASE(so_does_neighbour_discovery),
		CASE(the_ip4_source_has_to_be_one_of_them),
		CASE(who_has_no_address_may_ask_for_one),
		CASE(arp_is_for_own_addresses),
		CASE(the_ip6_source_has_to_be_one_of_them),
		CASE(who_has_no_ip6_address_may_ask_whether_one_is_free),
		CASE(advertisements_are_for_own_addresses),
		CASE(discovery_that_is_broken_is_refused),
		CASE(tags_hide_nothing),
		CASE(neither_does_snap),
		CASE(other_protocols_pass),
		CASE(what_is_too_short_to_tell_is_refused),
		CASE(headers_that_lie_are_refused),
		CASE(no_checksum_goes_over_what_was_looked_at),
		CASE(wrong_addresses_are_refused_by_name),
		CASE(there_is_room_for_64_of_a_kind),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
