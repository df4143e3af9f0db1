/* SPDX-License-Identifier: MIT */
/* Public switches between application ports: each function, its errors, and ends in any order. */
#include "unit.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "vmtap/vmtap.h"

#define PORTS 3
#define ALL 0xffffffffffffull
#define MAC_OF(i) (0x020000000001ull + (unsigned)(i))

/** struct app - @act: done once, inside of its receive function */
struct app {
	struct vmtap_port *port;
	unsigned got, closed;
	uint32_t last;
	void (*act)(void);
};

static struct vmtap *v;
static struct vmtap_switch *sw;
static struct app apps[PORTS];
static struct vmtap_error err;

static unsigned take(void *opaque, const struct vmtap_frame *frames, unsigned cnt)
{
	struct app *a = opaque;
	void (*act)(void) = a->act;

	a->got += cnt;
	memcpy(&a->last, (const char *)frames[cnt - 1].iov[0].iov_base + 14, sizeof(a->last));
	a->act = NULL;
	if (act)
		act();
	return cnt;
}

static void on_closed(void *opaque)
{
	((struct app *)opaque)->closed++;
}

static const struct vmtap_app_ops ops = { .size = sizeof(ops),
					  .frames = take,
					  .closed = on_closed };

static int setup(void **state)
{
	char name[] = "a";

	v = vmtap_new(NULL, NULL);
	sw = vmtap_switch_new(v, "switch,id=lan,max-macs=8", NULL);
	memset(apps, 0, sizeof(apps));
	memset(&err, 0, sizeof(err));
	for (unsigned i = 0; i < PORTS; i++, name[0]++) {
		apps[i].port = vmtap_app_new(v, name, &ops, &apps[i], NULL);
		if (!sw || !apps[i].port || vmtap_switch_add(sw, apps[i].port, NULL) < 0)
			return -1;
	}
	return 0;
}

static int teardown(void **state)
{
	vmtap_free(v);
	v = NULL;
	return 0;
}

static void settle(void)
{
	for (unsigned i = 0; i < 10; i++)
		vmtap_dispatch(v, 0);
}

static void put_mac(unsigned char *to, uint64_t mac)
{
	for (int i = 0; i < 6; i++)
		to[i] = (unsigned char)(mac >> (40 - 8 * i));
}

static void say(unsigned from, uint64_t to, uint32_t number)
{
	unsigned char bytes[60] = { 0 };
	struct iovec iov = { bytes, sizeof(bytes) };
	struct vmtap_frame f = { .len = sizeof(bytes), .iov = &iov, .iov_cnt = 1 };

	put_mac(bytes, to);
	put_mac(bytes + 6, MAC_OF(from));
	memcpy(bytes + 14, &number, sizeof(number));
	assert_int_equal(vmtap_send_burst(apps[from].port, &f, 1), 1);
}

static struct vmtap_switch_stats stats(void)
{
	struct vmtap_switch_stats s;

	vmtap_switch_stats(sw, &s, sizeof(s));
	return s;
}

static void expect_got(unsigned a, unsigned b, unsigned c)
{
	const unsigned wanted[] = { a, b, c };

	for (unsigned i = 0; i < PORTS; i++)
		assert_int_equal(apps[i].got, wanted[i]);
}

/* ------------------------------------------------------------------ what it does */

static void frames_go_where_their_destination_is(void **state)
{
	say(0, ALL, 1);
	expect_got(0, 1, 1);
	say(1, MAC_OF(0), 2);
	expect_got(1, 1, 1);
	assert_int_equal(apps[0].last, 2);
	say(1, MAC_OF(2), 3); /* not heard of yet */
	expect_got(2, 1, 2);
	say(0, MAC_OF(0), 4);
	expect_got(2, 1, 2);
}

static void counters_say_what_was_done(void **state)
{
	struct vmtap_switch_stats s;

	frames_go_where_their_destination_is(state);
	s = stats();
	assert_int_equal(s.groups, 1);
	assert_int_equal(s.forwarded, 1);
	assert_int_equal(s.flooded, 1);
	assert_int_equal(s.kept, 1);
	assert_int_equal(s.learned, 2);
	assert_int_equal(s.macs, 2);
	assert_int_equal(s.macs_max, 8);
	assert_int_equal(s.ports, PORTS);
	assert_int_equal(s.moves, 0);
	assert_int_equal(s.refused, 0);
	assert_int_equal(s.aged, 0);
}

/* Of a program that was built with another version of the header. */
static void a_shorter_or_longer_structure_of_counters_is_filled_as_far_as_it_goes(void **state)
{
	struct {
		struct vmtap_switch_stats s;
		unsigned char more[16];
	} large;
	struct vmtap_switch_stats small;

	frames_go_where_their_destination_is(state);
	memset(&large, 0xaa, sizeof(large));
	vmtap_switch_stats(sw, &large.s, sizeof(large));
	assert_int_equal(large.s.ports, PORTS);
	for (unsigned i = 0; i < sizeof(large.more); i++)
		assert_int_equal(large.more[i], 0);
	memset(&small, 0xaa, sizeof(small));
	vmtap_switch_stats(sw, &small, sizeof(small.forwarded));
	assert_int_equal(small.forwarded, 1);
	assert_int_equal(small.flooded, 0xaaaaaaaaaaaaaaaaull);
}

static unsigned row_cnt;
static char names[PORTS + 1];

static void port_row(void *opaque, struct vmtap_port *port)
{
	assert_ptr_equal(opaque, &apps);
	names[row_cnt++] = vmtap_port_name(port)[0];
}

static void ports_are_listed_in_their_order(void **state)
{
	row_cnt = 0;
	vmtap_switch_each_port(sw, port_row, &apps);
	assert_string_equal(names, "abc");
	assert_int_equal(vmtap_switch_remove(sw, apps[0].port), 0);
	assert_int_equal(vmtap_switch_add(sw, apps[0].port, &err), 0);
	row_cnt = 0;
	vmtap_switch_each_port(sw, port_row, &apps);
	assert_string_equal(names, "bca");
}

static void mac_row(void *opaque, const struct vmtap_switch_mac *mac)
{
	unsigned char wanted[6];
	unsigned i = 0;

	while (i < PORTS && apps[i].port != mac->port)
		i++;
	assert_true(i < PORTS);
	put_mac(wanted, MAC_OF(i));
	assert_memory_equal(mac->mac, wanted, 6);
	assert_int_equal(mac->vlan, 0);
	assert_true(mac->age_ms < 600000);
	row_cnt++;
}

static unsigned macs(void)
{
	row_cnt = 0;
	vmtap_switch_each_mac(sw, mac_row, NULL);
	return row_cnt;
}

static void addresses_are_listed_and_forgotten(void **state)
{
	assert_int_equal(macs(), 0);
	for (unsigned i = 0; i < PORTS; i++)
		say(i, ALL, i);
	assert_int_equal(macs(), 3);
	assert_int_equal(vmtap_switch_remove(sw, apps[1].port), 0);
	assert_int_equal(macs(), 2);
	vmtap_switch_flush(sw);
	assert_int_equal(macs(), 0);
	assert_int_equal(stats().macs, 0);
	expect_got(2, 2, 2);
	say(0, MAC_OF(2), 9); /* to all again: it left, and the third is not known */
	expect_got(2, 2, 3);
	assert_int_equal(stats().flooded, 1);
}

static void count_row(void *opaque, const struct vmtap_switch_mac *mac)
{
	assert_ptr_equal(mac->port, apps[0].port);
	row_cnt++;
}

/* The shortest of a few times. */
static uint64_t list_ns(const struct vmtap_switch *of, unsigned cnt)
{
	uint64_t best_ns = UINT64_MAX;

	for (unsigned i = 0; i < 5; i++) {
		uint64_t begin_ns = clock_ns(), ns;

		row_cnt = 0;
		vmtap_switch_each_mac(of, count_row, NULL);
		assert_int_equal(row_cnt, cnt);
		ns = clock_ns() - begin_ns;
		best_ns = ns < best_ns ? ns : best_ns;
	}
	return best_ns;
}

/* Whoever may look may ask for them, and holds everybody up meanwhile. */
static void how_long_addresses_take_does_not_depend_on_the_ports_that_there_are(void **state)
{
	struct vmtap_switch *large = vmtap_switch_new(v, "switch,max-macs=4000", NULL);
	unsigned char bytes[60] = { 0 };
	struct iovec iov = { bytes, sizeof(bytes) };
	const struct vmtap_frame f = { .len = sizeof(bytes), .iov = &iov, .iov_cnt = 1 };
	uint64_t few_ns;

	assert_int_equal(vmtap_switch_remove(sw, apps[0].port), 0);
	assert_int_equal(vmtap_switch_add(large, apps[0].port, NULL), 0);
	put_mac(bytes, ALL);
	for (unsigned i = 0; i < 4000; i++) {
		put_mac(bytes + 6, MAC_OF(i));
		assert_int_equal(vmtap_send_burst(apps[0].port, &f, 1), 1);
	}
	few_ns = list_ns(large, 4000);
	for (unsigned i = 0; i < 3000; i++)
		assert_non_null(vmtap_app_new(v, NULL, &ops, &apps[1], NULL));
	assert_true(list_ns(large, 4000) < 20 * few_ns);
}

/* ------------------------------------------------------------------------ errors */

static void what_is_wrong_in_a_description_is_said(void **state)
{
	static const char *const wrong[] = {
		"switch,id=lan",
		"switch,max-macs=0",
		"switch,colour=red",
		"switch,isolated=on",
		"switch,age-s=-1",
		"tap,ifname=x",
		"",
		"{\"type\":\"switch\"",
		"switch,queue-size=17",
		"switch,id=a",
	};

	for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		memset(&err, 0, sizeof(err));
		assert_null(vmtap_switch_new(v, wrong[i], &err));
		if (!err.code || !err.object[0] || !err.action[0] || !err.reason[0])
			fail_msg("%s: code %d, \"%s\" \"%s\" \"%s\"", wrong[i], err.code,
				 err.object, err.action, err.reason);
		assert_null(vmtap_switch_new(v, wrong[i], NULL));
	}
}

static void names_are_given_and_made_up(void **state)
{
	struct vmtap_switch *one = vmtap_switch_new(v, "switch", &err);
	struct vmtap_switch *two =
		vmtap_switch_new(v, "{\"type\": \"switch\", \"id\": \"json\"}", &err);

	assert_non_null(one);
	assert_non_null(two);
	assert_string_equal(vmtap_switch_name(sw), "lan");
	assert_string_equal(vmtap_switch_name(two), "json");
	assert_true(strlen(vmtap_switch_name(one)) > 0);
	assert_string_not_equal(vmtap_switch_name(one), vmtap_switch_name(two));
}

/* Two of them may not have the same name, however long it is. */
static void a_name_is_one_whatever_its_length(void **state)
{
	struct vmtap_switch *one;
	char spec[600], id[500];
	unsigned made = 0;

	for (size_t len = 1; len < sizeof(id) - 1; len += 61) {
		memset(id, 'x', len);
		id[len] = 0;
		snprintf(spec, sizeof(spec), "switch,id=%s", id);
		memset(&err, 0, sizeof(err));
		one = vmtap_switch_new(v, spec, &err);
		if (!one) {
			assert_true(err.code && err.reason[0]);
			continue;
		}
		made++;
		assert_string_equal(vmtap_switch_name(one), id);
		assert_null(vmtap_switch_new(v, spec, &err));
		assert_int_equal(err.code, EEXIST);
	}
	assert_true(made >= 2);
}

static void a_port_is_in_one_place(void **state)
{
	struct vmtap_switch *other = vmtap_switch_new(v, "switch", &err);

	assert_int_equal(vmtap_switch_add(sw, apps[0].port, &err), -EBUSY);
	assert_int_equal(err.code, EBUSY);
	assert_int_equal(vmtap_switch_add(other, apps[0].port, &err), -EBUSY);
	assert_null(vmtap_link_new(v, apps[0].port, apps[1].port, &err));
	assert_int_equal(err.code, EBUSY);
	assert_int_equal(vmtap_switch_remove(other, apps[0].port), -ENOENT);
	assert_int_equal(vmtap_switch_remove(sw, apps[0].port), 0);
	assert_int_equal(vmtap_switch_remove(sw, apps[0].port), -ENOENT);
	assert_int_equal(vmtap_switch_add(other, apps[0].port, &err), 0);
	assert_int_equal(stats().ports, PORTS - 1);
}

static void a_port_that_is_closed_cannot_be_added(void **state)
{
	struct vmtap_port *p = apps[0].port;

	vmtap_port_shutdown(p);
	assert_int_equal(stats().ports, PORTS - 1);
	assert_int_equal(vmtap_switch_add(sw, p, &err), -EPIPE);
	assert_int_equal(err.code, EPIPE);
	assert_int_equal(vmtap_switch_remove(sw, p), -ENOENT);
	vmtap_port_close(p);
}

static void there_is_an_end_to_ports(void **state)
{
	int ret = 0;
	unsigned cnt = PORTS;

	while (cnt < 1000) {
		struct vmtap_port *p = vmtap_app_new(v, NULL, &ops, &apps[0], &err);

		assert_non_null(p);
		ret = vmtap_switch_add(sw, p, &err);
		if (ret < 0)
			break;
		cnt++;
	}
	assert_int_equal(ret, -ENOSPC);
	assert_int_equal(err.code, ENOSPC);
	assert_int_equal(stats().ports, cnt);
	assert_true(cnt >= 64);
}

static void a_place_that_is_wrong_is_refused_with_the_port(void **state)
{
	assert_null(vmtap_port_open(v, "null,id=n,trunk=0-5", &err));
	assert_non_null(strstr(err.reason, "VLAN"));
	assert_null(vmtap_port_open(v, "null,id=n,vlan=4095", &err));
}

static void its_keys_are_described(void **state)
{
	const struct vmtap_type_info *info = vmtap_switch_info();
	bool hub = false;

	assert_string_equal(info->name, "switch");
	assert_ptr_equal(info, vmtap_switch_info());
	assert_true(info->summary[0] && info->help[0]);
	for (unsigned i = 0; i < info->key_cnt; i++) {
		assert_true(info->keys[i].name[0] && info->keys[i].help[0]);
		hub |= !strcmp(info->keys[i].name, "hub");
	}
	assert_true(hub);
}

/* --------------------------------------------------------------------------- ends */

static void ports_stay_when_the_switch_goes(void **state)
{
	vmtap_switch_free(sw);
	vmtap_switch_free(NULL);
	say(0, ALL, 1);
	expect_got(0, 0, 0);
	assert_int_equal(apps[0].closed, 0);
	assert_non_null(vmtap_link_new(v, apps[0].port, apps[1].port, &err));
	say(0, ALL, 2);
	expect_got(0, 1, 0);
	sw = vmtap_switch_new(v, "switch,id=lan", &err); /* the name is free at once */
	assert_non_null(sw);
	settle();
	assert_int_equal(stats().ports, 0);
}

/* Each order of the three ports and the switch. */
static void everything_ends_in_any_order(void **state)
{
	for (unsigned order = 0; order < 24; order++) {
		unsigned left[] = { 0, 1, 2, PORTS }, cnt = 4, o = order;

		while (cnt) {
			unsigned at = o % cnt, what = left[at];

			o /= cnt;
			left[at] = left[--cnt];
			if (what == PORTS)
				vmtap_switch_free(sw);
			else
				vmtap_port_close(apps[what].port);
			if (order & 1)
				settle();
		}
		for (unsigned i = 0; i < PORTS; i++)
			assert_int_equal(apps[i].closed, 1);
		teardown(state);
		assert_int_equal(setup(state), 0);
	}
}

/* Acts inside of a callback: the frame to all is on its way to the third. */

static void close_self(void)
{
	vmtap_port_close(apps[1].port);
}

static void close_next(void)
{
	vmtap_port_close(apps[2].port);
}

static void close_sender(void)
{
	vmtap_port_close(apps[0].port);
}

static void close_all(void)
{
	for (unsigned i = 0; i < PORTS; i++)
		vmtap_port_close(apps[i].port);
}

static void remove_self(void)
{
	assert_int_equal(vmtap_switch_remove(sw, apps[1].port), 0);
}

static void remove_next(void)
{
	assert_int_equal(vmtap_switch_remove(sw, apps[2].port), 0);
}

static void remove_and_add_self(void)
{
	remove_self();
	assert_int_equal(vmtap_switch_add(sw, apps[1].port, &err), 0);
}

static void free_switch(void)
{
	vmtap_switch_free(sw);
	sw = NULL;
}

static void free_switch_and_close_all(void)
{
	free_switch();
	close_all();
}

static void move_to_another(void)
{
	struct vmtap_switch *other = vmtap_switch_new(v, "switch,id=other", &err);

	remove_self();
	assert_int_equal(vmtap_switch_add(other, apps[1].port, &err), 0);
	vmtap_switch_free(other);
}

static void add_one(void)
{
	struct vmtap_port *p = vmtap_app_new(v, "late", &ops, &apps[2], &err);

	assert_int_equal(vmtap_switch_add(sw, p, &err), 0);
}

static void answer_all(void)
{
	say(1, ALL, 99);
}

static void flush(void)
{
	vmtap_switch_flush(sw);
}

static const struct {
	void (*act)(void);
	unsigned third; /* frames that the third port gets of those that were sent before */
	unsigned ports; /* left in the switch */
} acts[] = {
	{ close_self, 1, 2 },
	{ close_next, 0, 2 },
	{ close_sender, 1, 2 },
	{ close_all, 0, 0 },
	{ remove_self, 1, 2 },
	{ remove_next, 0, 2 },
	{ remove_and_add_self, 1, 3 },
	{ free_switch, 0, 0 },
	{ free_switch_and_close_all, 0, 0 },
	{ move_to_another, 1, 2 },
	{ add_one, 1, 4 },
	{ answer_all, 2, 3 },
	{ flush, 1, 3 },
};

static void anything_may_be_done_inside_of_a_callback(void **state)
{
	for (unsigned i = 0; i < sizeof(acts) / sizeof(acts[0]); i++) {
		apps[1].act = acts[i].act;
		say(0, ALL, 1);
		assert_int_equal(apps[1].got, 1);
		assert_int_equal(apps[2].got, acts[i].third);
		if (sw)
			assert_int_equal(stats().ports, acts[i].ports);
		settle();
		if (sw)
			assert_int_equal(stats().ports, acts[i].ports);
		teardown(state);
		assert_int_equal(setup(state), 0);
	}
}

/* What was told in an event callback, where ports are closed as well. */
static void closed_is_told_once_whoever_ended_it(void **state)
{
	apps[1].act = free_switch_and_close_all;
	say(0, ALL, 1);
	settle();
	for (unsigned i = 0; i < PORTS; i++)
		assert_int_equal(apps[i].closed, 1);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(frames_go_where_their_destination_is),
		TEST(counters_say_what_was_done),
		TEST(a_shorter_or_longer_structure_of_counters_is_filled_as_far_as_it_goes),
		TEST(ports_are_listed_in_their_order),
		TEST(addresses_are_listed_and_forgotten),
		TEST(how_long_addresses_take_does_not_depend_on_the_ports_that_there_are),
		TEST(what_is_wrong_in_a_description_is_said),
		TEST(names_are_given_and_made_up),
		TEST(a_name_is_one_whatever_its_length),
		TEST(a_port_is_in_one_place),
		TEST(a_port_that_is_closed_cannot_be_added),
		TEST(there_is_an_end_to_ports),
		TEST(a_place_that_is_wrong_is_refused_with_the_port),
		TEST(its_keys_are_described),
		TEST(ports_stay_when_the_switch_goes),
		TEST(everything_ends_in_any_order),
		TEST(anything_may_be_done_inside_of_a_callback),
		TEST(closed_is_told_once_whoever_ended_it),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
