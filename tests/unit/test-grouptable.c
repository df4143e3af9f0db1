/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <malloc.h>
#include <string.h>

#include "net/grouptable.h"

#define MAX 64u
#define SOON 1000u

static struct grouptable *t;

static int setup(void **state)
{
	t = grouptable_new(MAX);
	return t ? 0 : -1;
}

static int teardown(void **state)
{
	grouptable_free(t);
	return 0;
}

static struct mcast_addr group(unsigned n)
{
	return (struct mcast_addr) { .bytes = { 239, 0, (uint8_t)(n >> 8), (uint8_t)n } };
}

static bool join(unsigned n, unsigned port, uint64_t until_ms)
{
	struct mcast_addr a = group(n);

	return grouptable_join(t, &a, 0, port, until_ms, 0);
}

/* Members as bits, of ports below 64. */
static uint64_t members(unsigned n, uint64_t now_ms)
{
	struct mcast_addr a = group(n);
	struct port_set set = { 0 };
	enum group_known known = grouptable_members(t, &a, 0, now_ms, &set);

	assert_int_equal(known == GROUP_NONE, !set.bits[0]);
	return set.bits[0];
}

static void who_joined_is_in_the_group(void **state)
{
	assert_true(join(1, 0, SOON));
	assert_true(join(1, 5, SOON));
	assert_true(join(2, 6, SOON));
	assert_int_equal(members(1, 0), 1u << 0 | 1u << 5);
	assert_int_equal(members(2, 0), 1u << 6);
	assert_int_equal(members(3, 0), 0);
	assert_true(join(1, 5, SOON));
	assert_int_equal(grouptable_cnt(t), 3);
}

static void vlans_and_families_have_groups_of_their_own(void **state)
{
	struct mcast_addr a = group(1), six = { .is_ip6 = true };
	struct port_set set = { 0 };

	memcpy(six.bytes, a.bytes, sizeof(a.bytes));
	grouptable_join(t, &a, 7, 1, SOON, 0);
	assert_int_equal(grouptable_members(t, &a, 8, 0, &set), GROUP_NONE);
	assert_int_equal(grouptable_members(t, &six, 7, 0, &set), GROUP_NONE);
	assert_int_equal(grouptable_members(t, &a, 7, 0, &set), GROUP_WHOLE);
	assert_true(port_set_has(&set, 1));
}

static void all_ports_have_a_place_in_a_set(void **state)
{
	struct mcast_addr a = group(1);
	struct port_set set = { 0 };

	grouptable_join(t, &a, 0, 0, SOON, 0);
	grouptable_join(t, &a, 0, 64, SOON, 0);
	grouptable_join(t, &a, 0, 255, SOON, 0);
	grouptable_members(t, &a, 0, 0, &set);
	for (unsigned i = 0; i < GROUPTABLE_PORTS; i++)
		assert_int_equal(port_set_has(&set, i), i == 0 || i == 64 || i == 255);
}

static void memberships_end_by_themselves(void **state)
{
	join(1, 0, 100);
	join(1, 1, 200);
	assert_int_equal(members(1, 99), 3);
	assert_int_equal(members(1, 100), 2);
	assert_int_equal(members(1, 200), 0);
	assert_int_equal(grouptable_cnt(t), 2);
	grouptable_sweep(t, 100);
	assert_int_equal(grouptable_cnt(t), 1);
	assert_int_equal(members(1, 100), 2);
	grouptable_sweep(t, 200);
	assert_int_equal(grouptable_cnt(t), 0);
}

static void to_join_again_makes_it_longer_and_never_shorter(void **state)
{
	join(1, 0, 100);
	join(1, 0, 300);
	join(1, 0, 200);
	assert_int_equal(members(1, 299), 1);
	assert_int_equal(members(1, 300), 0);
}

static void a_port_that_is_forgotten_is_in_no_group(void **state)
{
	for (unsigned i = 0; i < 10; i++) {
		join(i, 3, SOON);
		join(i, 4, SOON);
	}
	grouptable_forget(t, 3);
	assert_int_equal(grouptable_cnt(t), 10);
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(members(i, 0), 1u << 4);
	grouptable_clear(t);
	assert_int_equal(grouptable_cnt(t), 0);
	assert_int_equal(members(1, 0), 0);
}

static void one_port_leaves_half_to_the_others(void **state)
{
	unsigned fit = 0;

	for (unsigned i = 0; i < 10 * MAX; i++)
		fit += join(i, 0, SOON);
	assert_int_equal(fit, MAX / 2);
	assert_true(join(20 * MAX, 1, SOON));
	for (unsigned port = 1; port < 10; port++)
		for (unsigned i = 0; i < 10 * MAX; i++)
			join(i, port, SOON);
	assert_true(grouptable_cnt(t) <= MAX);
	assert_true(join(1, 0, SOON + 1)); /* who is in it stays */
}

static void what_does_not_fit_is_told_at_its_group(void **state)
{
	struct mcast_addr a = group(1);
	struct port_set set = { 0 };

	assert_true(join(1, 1, SOON));
	for (unsigned i = 2; join(i, 0, SOON); i++)
		;
	assert_false(join(1, 0, 500));
	assert_int_equal(grouptable_members(t, &a, 0, 499, &set), GROUP_PARTLY);
	assert_int_equal(grouptable_members(t, &a, 0, 500, &set), GROUP_WHOLE);
}

static void what_is_over_makes_room(void **state)
{
	struct mcast_addr a = group(9999);

	for (unsigned i = 0; join(i, 0, 5000); i++)
		;
	assert_false(grouptable_join(t, &a, 0, 0, 9000, 4999));
	assert_false(grouptable_join(t, &a, 0, 0, 9000, 5500)); /* was swept a moment ago */
	assert_true(grouptable_join(t, &a, 0, 0, 9000, 6000));
	assert_int_equal(grouptable_cnt(t), 1);
	for (unsigned i = 1; i < MAX / 2; i++) /* also for the same port */
		assert_true(join(i, 0, 9000));
}

static void many_joins_and_leaves_take_no_memory(void **state)
{
	struct mallinfo2 before = mallinfo2();

	for (unsigned i = 0; i < 1000000; i++) {
		struct mcast_addr a = group(i);

		a.bytes[1] = (uint8_t)(i >> 16);
		grouptable_join(t, &a, 0, i % GROUPTABLE_PORTS, i + 10, i);
		assert_true(grouptable_cnt(t) <= MAX);
	}
	grouptable_sweep(t, 2000000);
	assert_int_equal(grouptable_cnt(t), 0);
	assert_int_equal(mallinfo2().uordblks, before.uordblks);
}

struct seen {
	unsigned cnt, ports;
};

static void row(void *opaque, const struct mcast_addr *a, unsigned vlan, const struct membership *m)
{
	struct seen *seen = opaque;

	seen->cnt++;
	seen->ports |= 1u << m->port;
	assert_int_equal(a->bytes[0], 239);
}

static void end(void *opaque, struct membership *m)
{
	m->until_ms = *(uint64_t *)opaque;
}

static void rows_can_be_looked_at_and_changed(void **state)
{
	struct mcast_addr a = group(1);
	struct seen seen = { 0 };
	uint64_t until_ms = 50;

	join(1, 0, 100);
	join(1, 1, SOON);
	join(2, 2, SOON);
	grouptable_each(t, 100, row, &seen);
	assert_int_equal(seen.cnt, 2);
	assert_int_equal(seen.ports, 1u << 1 | 1u << 2);
	grouptable_edit(t, &a, 0, 0, end, &until_ms);
	assert_int_equal(members(1, 50), 0);
	assert_int_equal(members(2, 50), 1u << 2);
	assert_null(grouptable_find(t, &a, 0, 1, 50));
	assert_non_null(grouptable_find(t, &a, 0, 1, 49));
	assert_null(grouptable_find(t, &a, 0, 7, 49));
}

#define T(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(who_joined_is_in_the_group),
		T(vlans_and_families_have_groups_of_their_own),
		T(all_ports_have_a_place_in_a_set),
		T(memberships_end_by_themselves),
		T(to_join_again_makes_it_longer_and_never_shorter),
		T(a_port_that_is_forgotten_is_in_no_group),
		T(one_port_leaves_half_to_the_others),
		T(what_does_not_fit_is_told_at_its_group),
		T(what_is_over_makes_room),
		T(many_joins_and_leaves_take_no_memory),
		T(rows_can_be_looked_at_and_changed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
