/* SPDX-License-Identifier: MIT */
/* Announcements against bytes that scapy made, and what is learned from good and bad frames. */
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "net/announce.h"
#include "net/packet.h"

static const uint8_t mac[6] = { 0x52, 0x54, 0x00, 0x01, 0x02, 0x03 };
static const uint8_t other_mac[6] = { 0x52, 0x54, 0x00, 0x09, 0x09, 0x09 };

/* Ether(dst=BROADCAST, src=MAC, type=0x8035)/ARP(op=3, hwsrc=MAC, psrc="0.0.0.0", hwdst=MAC,
 * pdst="0.0.0.0"), and padding */
static const uint8_t rarp[60] = {
	0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x52, 0x54, 0x00, 0x01, 0x02, 0x03, 0x80, 0x35,
	0x00, 0x01, 0x08, 0x00, 0x06, 0x04, 0x00, 0x03, 0x52, 0x54, 0x00, 0x01, 0x02, 0x03,
	0x00, 0x00, 0x00, 0x00, 0x52, 0x54, 0x00, 0x01, 0x02, 0x03, 0x00, 0x00, 0x00, 0x00,
};

/* Ether(dst=BROADCAST, src=MAC)/ARP(op=1, hwsrc=MAC, psrc="10.1.2.3", hwdst="00:00:00:00:00:00",
 * pdst="10.1.2.3"), and padding */
static const uint8_t garp[60] = {
	0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x52, 0x54, 0x00, 0x01, 0x02, 0x03, 0x08, 0x06,
	0x00, 0x01, 0x08, 0x00, 0x06, 0x04, 0x00, 0x01, 0x52, 0x54, 0x00, 0x01, 0x02, 0x03,
	0x0a, 0x01, 0x02, 0x03, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x0a, 0x01, 0x02, 0x03,
};

/* Ether(dst="33:33:00:00:00:01", src=MAC)/IPv6(src=A, dst="ff02::1", hlim=255)/
 * ICMPv6ND_NA(R=0, S=0, O=1, tgt=A)/ICMPv6NDOptDstLLAddr(lladdr=MAC), A=fd00:1234::5054:ff:fe01:203 */
static const uint8_t advert[86] = {
	0x33, 0x33, 0x00, 0x00, 0x00, 0x01, 0x52, 0x54, 0x00, 0x01, 0x02, 0x03, 0x86, 0xdd, 0x60,
	0x00, 0x00, 0x00, 0x00, 0x20, 0x3a, 0xff, 0xfd, 0x00, 0x12, 0x34, 0x00, 0x00, 0x00, 0x00,
	0x50, 0x54, 0x00, 0xff, 0xfe, 0x01, 0x02, 0x03, 0xff, 0x02, 0x00, 0x00, 0x00, 0x00, 0x00,
	0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x88, 0x00, 0x41, 0x2d, 0x20, 0x00,
	0x00, 0x00, 0xfd, 0x00, 0x12, 0x34, 0x00, 0x00, 0x00, 0x00, 0x50, 0x54, 0x00, 0xff, 0xfe,
	0x01, 0x02, 0x03, 0x02, 0x01, 0x52, 0x54, 0x00, 0x01, 0x02, 0x03,
};

/* the same with R=1: these bytes differ */
static const uint8_t router_csum_flags[3] = { 0xc1, 0x2c, 0xa0 };

#define ADVERT_SRC 22
#define ADVERT_TYPE 54
#define ADVERT_CSUM 56
#define ADVERT_FLAGS 58
#define ADVERT_TARGET 62
#define ND_LEN 78

static struct announce a;
static uint8_t buf[ANNOUNCE_FRAME_MAX];

static int setup(void **state)
{
	memset(&a, 0, sizeof(a));
	return 0;
}

/* The guest sends a frame in pieces of @piece bytes, each an allocation of its own. */
static void send_cut(const void *data, uint32_t len, uint32_t piece)
{
	static struct iovec iov[256];
	struct vmtap_frame f = { .len = len, .iov = iov };

	for (uint32_t at = 0; at < len; at += piece) {
		uint32_t some = piece < len - at ? piece : len - at;

		iov[f.iov_cnt] = (struct iovec) { malloc(some), some };
		memcpy(iov[f.iov_cnt++].iov_base, (const uint8_t *)data + at, some);
	}
	announce_learn(&a, &f);
	while (f.iov_cnt)
		free(iov[--f.iov_cnt].iov_base);
}

static void send_whole(const void *data, uint32_t len)
{
	send_cut(data, len, len);
}

static unsigned frames_for(const uint8_t *of)
{
	unsigned cnt = 0;

	while (announce_frame(&a, of, cnt, buf))
		cnt++;
	return cnt;
}

/* ARP from 10.1.2.@last. */
static void arp_from(uint8_t last, const uint8_t *sender)
{
	uint8_t f[42];

	memcpy(f, garp, sizeof(f));
	f[31] = last;
	memcpy(f + 22, sender, 6);
	send_whole(f, sizeof(f));
}

/* A neighbour message of a type, with ...:@src as source and ...:@target as target. */
static void nd_from(uint8_t type, uint8_t src, uint8_t target, uint8_t flags, const uint8_t *sender)
{
	uint8_t f[ND_LEN];

	memcpy(f, advert, sizeof(f));
	memcpy(f + 6, sender, 6);
	f[ADVERT_SRC + 15] = src;
	f[ADVERT_TYPE] = type;
	f[ADVERT_FLAGS] = flags;
	f[ADVERT_TARGET + 15] = target;
	f[19] = 24;
	send_whole(f, sizeof(f));
}

#define RA 134
#define NS 135
#define NA 136

/* ------------------------------------------------------------------- announcing */

static void unknown_guest_is_announced_by_rarp(void **state)
{
	memset(buf, 0xee, sizeof(buf));
	assert_int_equal(announce_frame(&a, mac, 0, buf), sizeof(rarp));
	assert_memory_equal(buf, rarp, sizeof(rarp));
	assert_int_equal(announce_frame(&a, mac, 1, buf), 0);
	assert_int_equal(announce_frame(&a, mac, ~0u, buf), 0);
}

static void address4_is_announced_by_arp(void **state)
{
	send_whole(garp, sizeof(garp));
	memset(buf, 0xee, sizeof(buf));
	assert_int_equal(announce_frame(&a, mac, 1, buf), sizeof(garp));
	assert_memory_equal(buf, garp, sizeof(garp));
	assert_int_equal(frames_for(mac), 2);
}

static void address6_is_announced_by_an_advertisement(void **state)
{
	send_whole(advert, sizeof(advert));
	memset(buf, 0xee, sizeof(buf));
	assert_int_equal(announce_frame(&a, mac, 1, buf), sizeof(advert));
	assert_memory_equal(buf, advert, sizeof(advert));
	assert_int_equal(frames_for(mac), 2);
}

static void router_is_announced_as_one(void **state)
{
	uint8_t want[sizeof(advert)];

	memcpy(want, advert, sizeof(want));
	memcpy(want + ADVERT_CSUM, router_csum_flags, sizeof(router_csum_flags));
	nd_from(NA, 3, 3, 0x80, mac);
	announce_frame(&a, mac, 1, buf);
	assert_memory_equal(buf, want, sizeof(want));
	nd_from(NS, 3, 9, 0, mac); /* does not say */
	announce_frame(&a, mac, 1, buf);
	assert_memory_equal(buf, want, sizeof(want));
	nd_from(NA, 3, 3, 0, mac); /* says that it is none */
	announce_frame(&a, mac, 1, buf);
	assert_memory_equal(buf, advert, sizeof(advert));
	nd_from(RA, 3, 9, 0, mac);
	announce_frame(&a, mac, 1, buf);
	assert_memory_equal(buf, want, sizeof(want));
	assert_int_equal(a.ip6_cnt, 1);
}

static void every_address_has_its_frame(void **state)
{
	arp_from(1, mac);
	arp_from(2, mac);
	nd_from(NS, 1, 9, 0, mac);
	nd_from(NA, 9, 2, 0, mac);
	assert_int_equal(frames_for(mac), 5);
	announce_frame(&a, mac, 0, buf);
	assert_int_equal(get_be16(buf + 12), 0x8035);
	for (unsigned i = 1; i <= 2; i++) {
		announce_frame(&a, mac, i, buf);
		assert_int_equal(buf[31], i);
		assert_int_equal(buf[41], i);
		announce_frame(&a, mac, 2 + i, buf);
		assert_int_equal(buf[ADVERT_SRC + 15], i);
		assert_int_equal(buf[ADVERT_TARGET + 15], i);
	}
}

static void guests_behind_the_guest_are_not_announced_in_its_name(void **state)
{
	arp_from(1, mac);
	arp_from(2, other_mac);
	nd_from(NS, 3, 9, 0, other_mac);
	assert_int_equal(frames_for(mac), 2);
	assert_int_equal(frames_for(other_mac), 3);
	announce_frame(&a, other_mac, 1, buf);
	assert_int_equal(buf[31], 2);
	assert_memory_equal(buf + 6, other_mac, 6);
	/* until the address moves */
	arp_from(2, mac);
	assert_int_equal(frames_for(mac), 3);
	assert_int_equal(frames_for(other_mac), 2);
}

/* --------------------------------------------------------------------- learning */

static void oldest_address_goes_first(void **state)
{
	for (uint8_t i = 1; i <= ANNOUNCE_ADDRS_MAX; i++) {
		arp_from(i, mac);
		nd_from(NS, i, 99, 0, mac);
	}
	arp_from(1, mac); /* seen again: now 2 is the oldest */
	nd_from(NS, 1, 99, 0, mac);
	arp_from(50, mac);
	nd_from(NS, 50, 99, 0, mac);
	assert_int_equal(a.ip4_cnt, ANNOUNCE_ADDRS_MAX);
	assert_int_equal(a.ip6_cnt, ANNOUNCE_ADDRS_MAX);
	for (unsigned i = 0; i < ANNOUNCE_ADDRS_MAX; i++) {
		uint8_t want = (uint8_t)(i < ANNOUNCE_ADDRS_MAX - 2    ? i + 3
					 : i == ANNOUNCE_ADDRS_MAX - 2 ? 1
								       : 50);

		assert_int_equal(a.ip4[i].ip[3], want);
		assert_int_equal(a.ip6[i].ip[15], want);
	}
}

static void cut_frames_teach_the_same(void **state)
{
	for (uint32_t piece = 1; piece < ND_LEN; piece++) {
		setup(NULL);
		send_cut(garp, sizeof(garp), piece);
		send_cut(advert, sizeof(advert), piece);
		assert_int_equal(frames_for(mac), 3);
		assert_memory_equal(a.ip4[0].ip, garp + 28, 4);
		assert_memory_equal(a.ip6[0].ip, advert + ADVERT_TARGET, 16);
	}
}

static void short_frames_teach_nothing(void **state)
{
	for (uint32_t len = 1; len < 42; len++)
		send_whole(garp, len);
	assert_int_equal(a.ip4_cnt, 0);
	for (uint32_t len = 1; len < sizeof(advert); len++)
		send_whole(advert, len); /* shorter than its header says */
	assert_int_equal(a.ip6_cnt, 0);
}

/* One byte of a frame that teaches is changed: it teaches nothing. */
static void expect_deaf(const uint8_t *frame, uint32_t len, uint32_t at, uint8_t value)
{
	uint8_t f[128];

	memcpy(f, frame, len);
	f[at] = value;
	send_whole(f, len);
	if (a.ip4_cnt || a.ip6_cnt)
		fail_msg("byte %u is of no account", at);
}

static void other_arp_teaches_nothing(void **state)
{
	static const uint8_t changes[][2] = {
		{ 12, 0x81 }, { 13, 0x35 }, { 15, 6 },	  { 16, 9 }, { 18, 8 },
		{ 19, 16 },   { 21, 3 },    { 20, 1 },	  { 28, 0 }, { 28, 127 },
		{ 28, 224 },  { 28, 255 },  { 22, 0x53 },
	};

	for (unsigned i = 0; i < sizeof(changes) / sizeof(changes[0]); i++)
		expect_deaf(garp, sizeof(garp), changes[i][0], changes[i][1]);
}

static void probe_teaches_nothing(void **state)
{
	uint8_t f[sizeof(garp)];

	memcpy(f, garp, sizeof(f));
	memset(f + 28, 0, 4);
	send_whole(f, sizeof(f));
	assert_int_equal(a.ip4_cnt, 0);
}

static void reply_teaches_as_well(void **state)
{
	uint8_t f[sizeof(garp)];

	memcpy(f, garp, sizeof(f));
	f[21] = 2;
	send_whole(f, sizeof(f));
	assert_int_equal(a.ip4_cnt, 1);
}

static void other_ip6_teaches_nothing(void **state)
{
	static const uint8_t changes[][2] = {
		{ 12, 0x81 },
		{ 14, 0x40 },
		{ 18, 1 },
		{ 19, 23 },
		{ 19, 33 },
		{ 20, 6 },
		{ 20, 0 },
		{ 21, 254 },
		{ ADVERT_TYPE, 128 },
		{ ADVERT_TYPE, 137 },
		{ ADVERT_TYPE + 1, 1 },
		{ ADVERT_TARGET, 0xff },
		{ 6, 0x53 },
	};

	for (unsigned i = 0; i < sizeof(changes) / sizeof(changes[0]); i++)
		expect_deaf(advert, sizeof(advert), changes[i][0], changes[i][1]);
}

static void tentative_address_is_not_learned(void **state)
{
	uint8_t f[ND_LEN];

	memcpy(f, advert, sizeof(f));
	f[ADVERT_TYPE] = NS;
	f[19] = 24;
	memset(f + ADVERT_SRC, 0, 16);
	send_whole(f, sizeof(f));
	f[ADVERT_SRC + 15] = 1; /* ::1 */
	send_whole(f, sizeof(f));
	assert_int_equal(a.ip6_cnt, 0);
	f[ADVERT_SRC + 15] = 2;
	send_whole(f, sizeof(f));
	assert_int_equal(a.ip6_cnt, 1);
}

/* Sixteen bytes of ICMPv6 are a whole one. */
static void short_router_advertisement_teaches(void **state)
{
	uint8_t f[70];

	memcpy(f, advert, sizeof(f));
	f[ADVERT_TYPE] = RA;
	f[19] = 15;
	send_whole(f, sizeof(f));
	assert_int_equal(a.ip6_cnt, 0);
	f[19] = 16;
	send_whole(f, sizeof(f));
	assert_int_equal(a.ip6_cnt, 1);
	assert_true(a.ip6[0].is_router);
}

/* No frame of random bytes behind a good beginning is read past its end or fills more than there is. */
static void rubbish_does_no_harm(void **state)
{
	uint8_t f[100];

	srandom(1);
	for (unsigned i = 0; i < 20000; i++) {
		const uint8_t *from = i & 1 ? garp : advert;
		uint32_t len = 14 + (uint32_t)random() % 87;

		for (unsigned b = 0; b < sizeof(f); b++)
			f[b] = (uint8_t)random();
		memcpy(f, from, i & 1 ? 22 : 22 + (size_t)random() % 40);
		send_cut(f, len, 1 + (uint32_t)random() % len);
		assert_true(a.ip4_cnt <= ANNOUNCE_ADDRS_MAX && a.ip6_cnt <= ANNOUNCE_ADDRS_MAX);
	}
	assert_int_equal(a.ip4_cnt, ANNOUNCE_ADDRS_MAX);
	assert_int_equal(a.ip6_cnt, ANNOUNCE_ADDRS_MAX);
}

#define announce_case(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		announce_case(unknown_guest_is_announced_by_rarp),
		announce_case(address4_is_announced_by_arp),
		announce_case(address6_is_announced_by_an_advertisement),
		announce_case(router_is_announced_as_one),
		announce_case(every_address_has_its_frame),
		announce_case(guests_behind_the_guest_are_not_announced_in_its_name),
		announce_case(oldest_address_goes_first),
		announce_case(cut_frames_teach_the_same),
		announce_case(short_frames_teach_nothing),
		announce_case(other_arp_teaches_nothing),
		announce_case(probe_teaches_nothing),
		announce_case(reply_teaches_as_well),
		announce_case(other_ip6_teaches_nothing),
		announce_case(tentative_address_is_not_learned),
		announce_case(short_router_advertisement_teaches),
		announce_case(rubbish_does_no_harm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
