/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <stdlib.h>

#include "mcast-frames.h"
#include "net/mcast.h"

static struct mcast_frame f;
static struct mcast_msg m;
static uint8_t *scratch;

static int setup(void **state)
{
	scratch = malloc(VMTAP_FRAME_MAX);
	return scratch ? 0 : -1;
}

static int teardown(void **state)
{
	free(scratch);
	return 0;
}

static enum mcast_kind look(void)
{
	mcast_parse(&f.frame, f.bytes, f.l3, get_be16(f.bytes + f.l3 - 2), scratch, &m);
	return m.kind;
}

static bool is_addr(const struct mcast_addr *a, const char *text)
{
	char own[MCAST_TEXT_MAX];

	return strcmp(mcast_text(a, own), text) == 0;
}

#define assert_kind(what) assert_int_equal(look(), what)
#define assert_addr(a, text) assert_true(is_addr(a, text))

static void assert_record(const char *group, bool leave)
{
	struct mcast_record r;

	assert_true(mcast_next(&m, &r));
	assert_addr(&r.group, group);
	assert_int_equal(r.leave, leave);
}

static void assert_no_record(void)
{
	struct mcast_record r;

	assert_false(mcast_next(&m, &r));
}

/* ------------------------------------------------------------------------- hosts */

static void reads_reports_and_leaves_of_old_igmp(void **state)
{
	static const uint8_t types[] = { 0x12, 0x16 };

	for (unsigned i = 0; i < 2; i++) {
		mf_igmp(&f, "10.0.0.1", "239.1.2.3", types[i], 0, "239.1.2.3");
		assert_kind(MCAST_REPORT);
		assert_record("239.1.2.3", false);
		assert_no_record();
	}
	mf_igmp(&f, "10.0.0.1", "224.0.0.2", 0x17, 0, "239.1.2.3");
	assert_kind(MCAST_REPORT);
	assert_record("239.1.2.3", true);
	assert_no_record();
}

static void reads_reports_and_done_of_old_mld(void **state)
{
	mf_mld(&f, "fe80::1", "ff0e::7", 131, 0, "ff0e::7");
	assert_kind(MCAST_REPORT);
	assert_record("ff0e::7", false);
	assert_no_record();
	mf_mld(&f, "fe80::1", "ff02::2", 132, 0, "ff0e::7");
	assert_kind(MCAST_REPORT);
	assert_record("ff0e::7", true);
}

static void who_has_no_address_yet_may_report(void **state)
{
	mf_mld(&f, "::", "ff0e::7", 131, 0, "ff0e::7");
	assert_kind(MCAST_REPORT);
	mf_igmp(&f, "0.0.0.0", "239.1.2.3", 0x16, 0, "239.1.2.3");
	assert_kind(MCAST_REPORT);
}

static void tells_members_by_the_records_of_new_reports(void **state)
{
	static const struct {
		uint8_t type;
		uint16_t sources;
		int means; /* 1: member, -1: left, 0: nothing */
	} rows[] = {
		{ 1, 0, -1 }, { 1, 2, 1 }, { 2, 0, 1 }, { 2, 3, 1 }, { 3, 0, -1 }, { 3, 1, 1 },
		{ 4, 0, 1 },  { 4, 9, 1 }, { 5, 1, 1 }, { 6, 1, 0 }, { 0, 0, 0 },  { 7, 0, 0 },
	};

	for (unsigned six = 0; six < 2; six++)
		for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
			const char *group = six ? "ff3e::9" : "232.1.1.1";

			mf_report(&f, six, 1);
			mf_record(&f, rows[i].type, 0, rows[i].sources, group);
			mf_finish(&f);
			assert_kind(MCAST_REPORT);
			if (rows[i].means)
				assert_record(group, rows[i].means < 0);
			assert_no_record();
		}
}

static void many_records_are_read_past_sources_and_more(void **state)
{
	mf_report(&f, false, 4);
	mf_record(&f, 4, 3, 2, "239.0.1.1");
	mf_record(&f, 6, 0, 1, "239.0.1.2");
	mf_record(&f, 4, 0, 0, "10.0.0.1"); /* no group at all */
	mf_record(&f, 3, 1, 0, "239.0.1.4");
	mf_finish(&f);
	assert_kind(MCAST_REPORT);
	assert_record("239.0.1.1", false);
	assert_record("239.0.1.4", true);
	assert_no_record();
}

/* ----------------------------------------------------------------------- routers */

static void reads_general_queries(void **state)
{
	mf_igmp(&f, "10.0.0.9", MCAST_ALL4, 0x11, 100, "0.0.0.0");
	assert_kind(MCAST_QUERY);
	assert_true(m.general);
	assert_addr(&m.from, "10.0.0.9");
	assert_int_equal(m.response_ms, 10000);
	assert_int_equal(m.interval_ms, 260000);
	mf_mld(&f, "fe80::9", MCAST_ALL6, 130, 10000, "::");
	assert_kind(MCAST_QUERY);
	assert_true(m.general);
	assert_addr(&m.from, "fe80::9");
	assert_int_equal(m.response_ms, 10000);
	assert_int_equal(m.interval_ms, 260000);
}

static void the_oldest_query_is_general_and_waits_ten_seconds(void **state)
{
	mf_igmp(&f, "10.0.0.9", MCAST_ALL4, 0x11, 0, "239.1.1.1");
	assert_kind(MCAST_QUERY);
	assert_true(m.general);
	assert_int_equal(m.response_ms, 10000);
}

static void new_queries_say_how_often_they_come(void **state)
{
	mf_igmp(&f, "10.0.0.9", MCAST_ALL4, 0x11, 0x8f, "0.0.0.0"); /* 31 << 3, in tenths */
	mf_new_query(&f, 3, 0xa1, 0);				    /* 3 times, (17 << 5) s */
	mf_finish(&f);
	assert_kind(MCAST_QUERY);
	assert_int_equal(m.response_ms, 24800);
	assert_int_equal(m.interval_ms, 3 * 544 * 1000 + 24800);
	mf_mld(&f, "fe80::9", MCAST_ALL6, 130, 0x8001, "::"); /* 0x1001 << 3 */
	mf_new_query(&f, 0, 0, 0);			      /* unsaid: 2 times, 125 s */
	mf_finish(&f);
	assert_kind(MCAST_QUERY);
	assert_int_equal(m.response_ms, 0x1001 << 3);
	assert_int_equal(m.interval_ms, 250000 + (0x1001 << 3));
}

static void reads_questions_about_a_group(void **state)
{
	mf_igmp(&f, "10.0.0.9", "239.1.1.1", 0x11, 10, "239.1.1.1");
	assert_kind(MCAST_QUERY);
	assert_false(m.general);
	assert_true(m.settles);
	assert_addr(&m.to, "239.1.1.1");
	assert_int_equal(m.response_ms, 1000);
	mf_mld(&f, "fe80::9", "ff0e::1", 130, 1000, "ff0e::1");
	assert_kind(MCAST_QUERY);
	assert_false(m.general);
	assert_true(m.settles);
}

static void questions_about_sources_or_for_other_routers_settle_nothing(void **state)
{
	mf_igmp(&f, "10.0.0.9", "239.1.1.1", 0x11, 10, "239.1.1.1");
	mf_new_query(&f, 8, 125, 0);
	mf_finish(&f);
	assert_kind(MCAST_QUERY);
	assert_false(m.settles);
	mf_igmp(&f, "10.0.0.9", "239.1.1.1", 0x11, 10, "239.1.1.1");
	mf_new_query(&f, 0, 125, 1);
	mf_addr(&f, "192.0.2.1", false);
	mf_finish(&f);
	assert_kind(MCAST_QUERY);
	assert_false(m.settles);
}

static void routers_show_themselves(void **state)
{
	static const uint8_t hello[] = { 0x20, 0, 0, 0, 0, 1, 0, 2, 0, 105 };
	static const uint8_t join[] = { 0x23, 0, 0, 0 };
	static const uint8_t advert[] = { 0x30, 20, 0, 0, 0, 0, 0, 0 };
	static const uint8_t advert6[] = { 151, 20, 0, 0, 0, 0, 0, 0 };

	mf_ip4(&f, "10.0.0.9", "224.0.0.13", IPPROTO_PIM);
	mf_put(&f, hello, sizeof(hello));
	mf_finish(&f);
	assert_kind(MCAST_ROUTER);
	mf_ip6(&f, "fe80::9", "ff02::d", IPPROTO_PIM, false);
	mf_put(&f, hello, sizeof(hello));
	mf_finish(&f);
	assert_kind(MCAST_ROUTER);
	mf_ip4(&f, "10.0.0.9", "224.0.0.13", IPPROTO_PIM);
	mf_put(&f, join, sizeof(join));
	mf_finish(&f);
	assert_kind(MCAST_NONE);
	mf_ip4(&f, "10.0.0.9", "224.0.0.106", IPPROTO_IGMP);
	mf_put(&f, advert, sizeof(advert));
	mf_finish(&f);
	assert_kind(MCAST_ROUTER);
	mf_ip6(&f, "fe80::9", "ff02::6a", IPPROTO_ICMPV6, true);
	mf_put(&f, advert6, sizeof(advert6));
	mf_finish(&f);
	assert_kind(MCAST_ROUTER);
}

/* -------------------------------------------------------------------------- data */

static void data_is_for_its_group(void **state)
{
	mf_data(&f, "239.129.1.1"); /* with the bit that Ethernet's address has not */
	assert_kind(MCAST_DATA);
	assert_addr(&m.to, "239.129.1.1");
	mf_data(&f, "ff05::1:3");
	assert_kind(MCAST_DATA);
	assert_addr(&m.to, "ff05::1:3");
}

static void padding_is_no_part_of_a_packet(void **state)
{
	mf_igmp(&f, "10.0.0.1", "239.1.2.3", 0x16, 0, "239.1.2.3");
	memset(f.bytes + f.len, 0xaa, 40);
	f.iov.iov_len = f.frame.len = f.len + 40;
	assert_kind(MCAST_REPORT);
}

static void behind_a_tag_it_is_the_same(void **state)
{
	mf_igmp(&f, "10.0.0.1", "239.1.2.3", 0x16, 0, "239.1.2.3");
	memmove(f.bytes + 16, f.bytes + 12, f.len - 12);
	f.iov.iov_len = f.frame.len = f.len + 4;
	f.l3 += 4;
	assert_kind(MCAST_REPORT);
	assert_record("239.1.2.3", false);
}

static void local_groups_are_told(void **state)
{
	static const struct {
		const char *group;
		bool local;
	} rows[] = {
		{ "224.0.0.1", true },	 { "224.0.0.251", true }, { "224.0.1.1", false },
		{ "239.0.0.1", false },	 { "ff02::1", true },	  { "ff02::1:ff00:1", true },
		{ "ff01::1", true },	 { "ff12::5", true },	  { "ff05::2", false },
		{ "ff3e::1234", false },
	};

	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct mcast_addr a = { .is_ip6 = strchr(rows[i].group, ':') };

		inet_pton(a.is_ip6 ? AF_INET6 : AF_INET, rows[i].group, a.bytes);
		assert_int_equal(mcast_is_local(&a), rows[i].local);
	}
}

/* ------------------------------------------------------------------ what is wrong */

static void each_wrong_bit_is_noticed(void **state)
{
	for (unsigned six = 0; six < 2; six++) {
		mf_report(&f, six, 2);
		mf_record(&f, 4, 0, 1, six ? "ff0e::1" : "239.1.1.1");
		mf_record(&f, 4, 0, 0, six ? "ff0e::2" : "239.1.1.2");
		mf_finish(&f);
		assert_kind(MCAST_REPORT);
		/* IPv4's header has a checksum of its own; of IPv6's, one covers the addresses */
		for (uint32_t bit = (six ? f.l3 + 8 : f.l3) * 8; bit < f.len * 8; bit++) {
			f.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
			assert_int_not_equal(look(), MCAST_QUERY);
			/* the hop-by-hop header has none, and padding of it may be anything */
			if (m.kind == MCAST_REPORT)
				assert_true(six && bit / 8 >= f.l4 - 8 && bit / 8 < f.l4);
			f.bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
		}
	}
}

static void what_is_cut_is_wrong_or_nothing(void **state)
{
	for (unsigned six = 0; six < 2; six++) {
		uint32_t len;

		mf_report(&f, six, 2);
		mf_record(&f, 4, 0, 1, six ? "ff0e::1" : "239.1.1.1");
		mf_record(&f, 4, 0, 0, six ? "ff0e::2" : "239.1.1.2");
		mf_finish(&f);
		assert_kind(MCAST_REPORT); /* and all of it is in the scratch memory */
		for (len = f.l3; len < f.len; len++) {
			f.iov.iov_len = f.frame.len = len;
			assert_kind(len < f.l3 + (six ? 40 : 20) ? MCAST_NONE : MCAST_WRONG);
			assert_no_record();
		}
	}
}

static void records_that_lead_out_of_the_report_are_wrong(void **state)
{
	mf_report(&f, false, 2); /* of which there is one */
	mf_record(&f, 4, 0, 0, "239.1.1.1");
	mf_finish(&f);
	assert_kind(MCAST_WRONG);
	mf_report(&f, false, 1);
	mf_record(&f, 4, 0, 0, "239.1.1.1");
	put_be16(f.bytes + f.len - 6, 0xffff); /* sources */
	mf_finish(&f);
	assert_kind(MCAST_WRONG);
	mf_report(&f, true, 1);
	mf_record(&f, 4, 0, 0, "ff0e::1");
	f.bytes[f.len - 19] = 255; /* more behind it */
	mf_finish(&f);
	assert_kind(MCAST_WRONG);
	mf_igmp(&f, "10.0.0.9", "239.1.1.1", 0x11, 10, "239.1.1.1");
	mf_new_query(&f, 0, 125, 0xffff);
	mf_finish(&f);
	assert_kind(MCAST_WRONG);
}

static void fragments_are_not_used(void **state)
{
	mf_igmp(&f, "10.0.0.1", "239.1.2.3", 0x16, 0, "239.1.2.3");
	put_be16(f.bytes + f.l3 + 6, 0x2000);
	mf_finish(&f);
	assert_kind(MCAST_NONE);
	mf_igmp(&f, "10.0.0.1", "239.1.2.3", 0x16, 0, "239.1.2.3");
	put_be16(f.bytes + f.l3 + 6, 1);
	mf_finish(&f);
	assert_kind(MCAST_NONE);
}

static void what_comes_from_farther_than_the_link_is_not_used(void **state)
{
	mf_igmp(&f, "10.0.0.1", "239.1.2.3", 0x16, 0, "239.1.2.3");
	f.bytes[f.l3 + 8] = 2;
	mf_finish(&f);
	assert_kind(MCAST_NONE);
	mf_mld(&f, "fe80::1", "ff0e::7", 131, 0, "ff0e::7");
	f.bytes[f.l3 + 7] = 255;
	assert_kind(MCAST_NONE);
	mf_mld(&f, "2001:db8::1", "ff0e::7", 131, 0, "ff0e::7");
	assert_kind(MCAST_NONE);
	mf_mld(&f, "::", MCAST_ALL6, 130, 0, "::"); /* reports only */
	assert_kind(MCAST_NONE);
}

static void mld_takes_a_router_alert(void **state)
{
	mf_mld(&f, "fe80::1", "ff0e::7", 131, 0, "ff0e::7");
	f.bytes[f.l4 - 3] = 1; /* an alert of another kind */
	assert_kind(MCAST_NONE);
	memset(f.bytes + f.l4 - 6, 0, 6); /* padding */
	assert_kind(MCAST_NONE);
	memcpy(f.bytes + f.l4 - 6, (uint8_t[]) { 0, 0, 5, 2, 0, 0 }, 6);
	assert_kind(MCAST_REPORT);
	memcpy(f.bytes + f.l4 - 6, (uint8_t[]) { 1, 200, 5, 2, 0, 0 }, 6); /* leads out */
	assert_kind(MCAST_NONE);
}

static void a_message_goes_where_its_kind_goes(void **state)
{
	mf_igmp(&f, "10.0.0.9", "239.1.1.1", 0x11, 100, "0.0.0.0"); /* not all hear it */
	assert_kind(MCAST_NONE);
	mf_igmp(&f, "10.0.0.9", "239.1.1.2", 0x11, 100, "239.1.1.1");
	assert_kind(MCAST_NONE);
	mf_igmp(&f, "10.0.0.9", MCAST_ALL4, 0x11, 100, "0.0.0.0");
	f.bytes[5] = 2; /* the frame goes elsewhere than the packet */
	assert_kind(MCAST_NONE);
	mf_mld(&f, "fe80::9", "ff02::2", 130, 1000, "::");
	assert_kind(MCAST_NONE);
}

static void what_is_no_ip_to_a_group_is_nothing(void **state)
{
	mf_data(&f, "239.1.1.1");
	f.bytes[12] = 0x88;
	assert_kind(MCAST_NONE);
	mf_data(&f, "239.1.1.1");
	memset(f.bytes, 0xff, 6);
	assert_kind(MCAST_NONE);
	mf_data(&f, "10.0.0.2");
	assert_kind(MCAST_NONE);
	mf_data(&f, "239.1.1.1");
	f.bytes[f.l3] = 0x43;
	assert_kind(MCAST_NONE);
	mf_igmp(&f, "10.0.0.9", MCAST_ALL4, 0x77, 0, "0.0.0.0");
	assert_kind(MCAST_NONE);
}

static void what_is_still_to_be_filled_in_is_not_used(void **state)
{
	mf_igmp(&f, "10.0.0.1", "239.1.2.3", 0x16, 0, "239.1.2.3");
	f.frame.hdr.flags = VMTAP_HDR_NEEDS_CSUM;
	assert_kind(MCAST_NONE);
	mf_data(&f, "239.1.1.1");
	f.frame.hdr.flags = VMTAP_HDR_NEEDS_CSUM;
	assert_kind(MCAST_DATA);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(reads_reports_and_leaves_of_old_igmp),
		cmocka_unit_test(reads_reports_and_done_of_old_mld),
		cmocka_unit_test(who_has_no_address_yet_may_report),
		cmocka_unit_test(tells_members_by_the_records_of_new_reports),
		cmocka_unit_test(many_records_are_read_past_sources_and_more),
		cmocka_unit_test(reads_general_queries),
		cmocka_unit_test(the_oldest_query_is_general_and_waits_ten_seconds),
		cmocka_unit_test(new_queries_say_how_often_they_come),
		cmocka_unit_test(reads_questions_about_a_group),
		cmocka_unit_test(questions_about_sources_or_for_other_routers_settle_nothing),
		cmocka_unit_test(routers_show_themselves),
		cmocka_unit_test(data_is_for_its_group),
		cmocka_unit_test(padding_is_no_part_of_a_packet),
		cmocka_unit_test(behind_a_tag_it_is_the_same),
		cmocka_unit_test(local_groups_are_told),
		cmocka_unit_test(each_wrong_bit_is_noticed),
		cmocka_unit_test(what_is_cut_is_wrong_or_nothing),
		cmocka_unit_test(records_that_lead_out_of_the_report_are_wrong),
		cmocka_unit_test(fragments_are_not_used),
		cmocka_unit_test(what_comes_from_farther_than_the_link_is_not_used),
		cmocka_unit_test(mld_takes_a_router_alert),
		cmocka_unit_test(a_message_goes_where_its_kind_goes),
		cmocka_unit_test(what_is_no_ip_to_a_group_is_nothing),
		cmocka_unit_test(what_is_still_to_be_filled_in_is_not_used),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
