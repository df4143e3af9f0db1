/* SPDX-License-Identifier: MIT */
/* Frames of the latency probe: what they are, and which answers are taken for theirs. */
#include "unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>

#include "filter/ping-frame.h"
#include "net/packet.h"

static const uint8_t host_mac[6] = { 0x52, 0x54, 0, 1, 2, 3 };

static struct ping_asker asker(const char *address)
{
	struct ping_asker a;
	const char *why;

	assert_int_equal(ping_asker_init(&a), 0);
	assert_int_equal(ping_asker_aim(&a, address, NULL, &why), 0);
	return a;
}

/* In pieces of @piece bytes, each an allocation of its own. */
static bool look_in_pieces(const struct ping_asker *a, const uint8_t *bytes, unsigned len,
			   unsigned piece, struct ping_seen *seen)
{
	struct iovec iov[256];
	struct vmtap_frame f = { .len = len, .iov = iov };
	bool is_ours;

	for (unsigned off = 0; off < len; off += piece) {
		struct iovec *v = &iov[f.iov_cnt++];

		v->iov_len = len - off < piece ? len - off : piece;
		v->iov_base = malloc(v->iov_len);
		memcpy(v->iov_base, bytes + off, v->iov_len);
	}
	is_ours = ping_look(a, &f, seen);
	for (unsigned i = 0; i < f.iov_cnt; i++)
		free(iov[i].iov_base);
	return is_ours;
}

static bool look(const struct ping_asker *a, const uint8_t *bytes, unsigned len,
		 struct ping_seen *seen)
{
	struct ping_seen again;
	const bool is_ours = look_in_pieces(a, bytes, len, len, seen);

	assert_int_equal(look_in_pieces(a, bytes, len, 1, &again), is_ours);
	assert_memory_equal(&again, seen, sizeof(again));
	return is_ours;
}

/* RFC 1071 on its own, of an ICMPv6 message behind @ip. Zero: it is right. */
static unsigned sum6(const uint8_t *ip)
{
	const unsigned plen = get_be16(ip + 4);
	uint32_t sum = plen + ip[6];

	for (unsigned i = 8; i < 40 + plen; i += 2)
		sum += get_be16(ip + i);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return ~sum & 0xffff;
}

static unsigned arp_answer(uint8_t *f)
{
	uint8_t asked[4];

	memcpy(asked, f + 38, 4);
	put_be16(f + 20, 2);
	memcpy(f + 32, f + 22, 10); /* who asked */
	memcpy(f, f + 6, 6);
	memcpy(f + 6, host_mac, 6);
	memcpy(f + 22, host_mac, 6);
	memcpy(f + 28, asked, 4);
	return 42;
}

static unsigned echo_answer(uint8_t *f, unsigned len, const char *from)
{
	memcpy(f, f + 6, 6);
	memcpy(f + 6, host_mac, 6);
	memcpy(f + 38, f + 22, 16);
	assert_int_equal(inet_pton(AF_INET6, from, f + 22), 1);
	f[54] = 129;
	return len;
}

static unsigned nd_answer(uint8_t *f)
{
	uint8_t asker[16];

	memcpy(asker, f + 22, 16);
	memcpy(f, f + 6, 6);
	memcpy(f + 6, host_mac, 6);
	memcpy(f + 22, f + 62, 16);
	memcpy(f + 38, asker, 16);
	f[54] = 136;
	f[78] = 2;
	memcpy(f + 80, host_mac, 6);
	return 86;
}

static void an_arp_request_asks_as_rfc_5227_has_it(void **state)
{
	static const uint8_t none[6], target[4] = { 10, 0, 0, 9 };
	struct ping_asker a = asker("10.0.0.9");
	uint8_t f[PING_LOOK];

	assert_int_equal(ping_frame(&a, 3, f), 60);
	assert_int_equal(f[0], 0xff);
	assert_int_equal(f[6] & 3, 2); /* locally administered, no group */
	assert_memory_equal(f + 6, f + 22, 6);
	assert_int_equal(get_be16(f + 12), 0x0806);
	assert_int_equal(get_be16(f + 20), 1);
	assert_memory_equal(f + 28, none, 4);
	assert_memory_equal(f + 38, target, 4);
}

static void an_arp_answer_is_that_of_its_probe(void **state)
{
	struct ping_asker a = asker("10.0.0.9");
	struct ping_seen seen;

	for (uint64_t seq = 1; seq <= 40; seq++) {
		uint8_t f[PING_LOOK];

		ping_frame(&a, seq, f);
		assert_false(look(&a, f, 60, &seen)); /* its own request, come back */
		assert_true(look(&a, f, arp_answer(f), &seen));
		assert_int_equal(seen.saw, PING_SAW_ANSWER);
		assert_int_equal(seen.seq, seq % PING_IDENTS);
		assert_memory_equal(seen.mac, host_mac, 6);
		assert_memory_equal(seen.ip, a.target, 4);
		memset(f, 0xff, 6); /* to all, as is allowed */
		assert_true(look(&a, f, 42, &seen));
	}
}

static void arp_of_others_is_left_alone(void **state)
{
	struct ping_asker a = asker("10.0.0.9"), b = asker("10.0.0.9");
	uint8_t good[PING_LOOK], f[PING_LOOK];
	struct ping_seen seen;

	ping_frame(&a, 1, good);
	arp_answer(good);
	assert_false(look(&b, good, 42, &seen));
	assert_false(look(&a, good, 41, &seen));
	for (unsigned at = 14; at < 42; at++) {
		memcpy(f, good, sizeof(f));
		f[at] ^= 0x80;
		/* who has it is for the answer to say; where the question came from is nothing to us */
		assert_int_equal(look(&a, f, 42, &seen), (at >= 22 && at < 28) || at >= 38);
	}
}

static void a_source_goes_into_arp_alone(void **state)
{
	static const uint8_t source[4] = { 10, 0, 0, 7 };
	struct ping_asker a;
	uint8_t f[PING_LOOK];
	const char *why;

	ping_asker_init(&a);
	assert_int_equal(ping_asker_aim(&a, "10.0.0.9", "10.0.0.7", &why), 0);
	ping_frame(&a, 1, f);
	assert_memory_equal(f + 28, source, 4);
	assert_int_equal(ping_asker_aim(&a, "fe80::1", "10.0.0.7", &why), -EINVAL);
	assert_int_equal(ping_asker_aim(&a, "10.0.0.9", "fe80::1", &why), -EINVAL);
}

static void an_address_that_nobody_has_is_refused(void **state)
{
	static const char *const bad[] = { "0.0.0.0", "127.0.0.1",   "224.0.0.1", "255.255.255.255",
					   "::",      "::1",	     "10.0.0",	  "",
					   "vm0",     "fe80::1%eth0" };
	struct ping_asker a;

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		const char *why = NULL;

		assert_int_equal(ping_asker_aim(&a, bad[i], NULL, &why), -EINVAL);
		assert_non_null(why);
	}
}

static void an_echo_request_is_whole_and_its_answer_says_which(void **state)
{
	struct ping_asker a = asker(NULL);
	struct ping_seen seen;
	uint8_t f[PING_LOOK];
	unsigned len = ping_frame(&a, 0x12345678, f);

	assert_int_equal(f[0], 0x33);
	assert_int_equal(get_be16(f + 18), len - 54);
	assert_int_equal(sum6(f + 14), 0);
	assert_false(look(&a, f, len, &seen));
	echo_answer(f, len, "fe80::2");
	assert_true(look(&a, f, len, &seen));
	assert_int_equal(seen.saw, PING_SAW_ANSWER);
	assert_int_equal(seen.seq, 0x12345678);
	assert_true(seen.is_ip6);
	assert_memory_equal(seen.mac, host_mac, 6);
	for (unsigned cut = 0; cut < 74; cut++)
		assert_false(look(&a, f, cut, &seen));
	put_be16(f + 18, 19); /* the number would be padding */
	assert_false(look(&a, f, len, &seen));
	put_be16(f + 18, (uint16_t)(len - 54));
	f[62] ^= 1; /* another's token */
	assert_false(look(&a, f, len, &seen));
}

static void a_solicitation_is_answered_by_an_advertisement(void **state)
{
	struct ping_asker a = asker("fe80::9");
	struct ping_seen seen;

	for (uint64_t seq = 1; seq <= 40; seq++) {
		uint8_t f[PING_LOOK];

		assert_int_equal(ping_frame(&a, seq, f), 86);
		assert_int_equal(sum6(f + 14), 0);
		assert_true(look(&a, f, nd_answer(f), &seen));
		assert_int_equal(seen.saw, PING_SAW_ANSWER);
		assert_int_equal(seen.seq, seq % PING_IDENTS);
		f[77] ^= 1; /* of another address */
		assert_false(look(&a, f, 86, &seen));
		f[77] ^= 1;
		f[21] = 254; /* not from this link */
		assert_false(look(&a, f, 86, &seen));
	}
}

/* @b asks for an address of @a, whose answer it takes for one to its probe. */
static void it_answers_for_its_own_addresses(void **state)
{
	struct ping_asker a = asker(NULL), b = asker("fe80::1");
	uint8_t f[PING_LOOK], echo[PING_LOOK];
	struct ping_seen seen;

	ping_frame(&a, 5, echo);
	memcpy(b.target, echo + 22, 16);
	assert_int_equal(ping_frame(&b, 1, f), 86);
	assert_true(look(&a, f, 86, &seen));
	assert_int_equal(seen.saw, PING_SAW_SOLICIT);
	assert_int_equal(ping_advert(&a, &seen, f), 86);
	assert_int_equal(sum6(f + 14), 0);
	assert_memory_equal(f + 6, echo + 6, 6);
	assert_memory_equal(f + 80, echo + 6, 6);
	assert_true(look(&b, f, 86, &seen));
	assert_int_equal(seen.saw, PING_SAW_ANSWER);
	/* who only asks whether it is free gets no answer */
	ping_frame(&b, 1, f);
	memset(f + 22, 0, 16);
	assert_false(look(&a, f, 86, &seen));
}

static unsigned add_tag(uint8_t *f, unsigned len, uint16_t tci)
{
	memmove(f + 16, f + 12, len - 12);
	put_be16(f + 12, 0x8100);
	put_be16(f + 14, tci);
	return len + 4;
}

static void in_a_vlan_frames_have_its_tag(void **state)
{
	static const char *const addresses[] = { "10.0.0.9", "fe80::9", NULL };

	for (unsigned i = 0; i < 3; i++) {
		struct ping_asker a = asker(addresses[i]);
		uint8_t plain[PING_LOOK], f[PING_LOOK];
		unsigned len = add_tag(plain, ping_frame(&a, 5, plain), 7);

		a.vlan = 7;
		assert_int_equal(ping_frame(&a, 5, f), len);
		assert_memory_equal(f, plain, len);
	}
}

static void answers_of_other_vlans_are_left_alone(void **state)
{
	struct ping_asker a = asker("10.0.0.9");
	uint8_t good[PING_LOOK], f[PING_LOOK], ip[4];
	struct vmtap_frame frame;
	struct ping_seen seen;
	struct iovec iov;

	ping_frame(&a, 5, good);
	arp_answer(good);
	memcpy(f, good, sizeof(f));
	add_tag(f, 42, 0xe007); /* whatever its priority */
	iov = (struct iovec) { .iov_base = f, .iov_len = 46 };
	frame = (struct vmtap_frame) { .len = 46, .iov = &iov, .iov_cnt = 1 };
	assert_false(look(&a, f, 46, &seen));
	assert_false(ping_hear(&a, &frame, ip));
	a.vlan = 8;
	assert_false(look(&a, f, 46, &seen));
	a.vlan = 7;
	assert_false(look(&a, good, 42, &seen));
	assert_false(look(&a, f, 45, &seen));
	assert_true(look(&a, f, 46, &seen));
	assert_int_equal(seen.saw, PING_SAW_ANSWER);
	assert_int_equal(seen.seq, 5);
	assert_true(ping_hear(&a, &frame, ip));
	assert_memory_equal(ip, a.target, 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_arp_request_asks_as_rfc_5227_has_it),
		cmocka_unit_test(an_arp_answer_is_that_of_its_probe),
		cmocka_unit_test(arp_of_others_is_left_alone),
		cmocka_unit_test(a_source_goes_into_arp_alone),
		cmocka_unit_test(an_address_that_nobody_has_is_refused),
		cmocka_unit_test(an_echo_request_is_whole_and_its_answer_says_which),
		cmocka_unit_test(a_solicitation_is_answered_by_an_advertisement),
		cmocka_unit_test(it_answers_for_its_own_addresses),
		cmocka_unit_test(in_a_vlan_frames_have_its_tag),
		cmocka_unit_test(answers_of_other_vlans_are_left_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
