/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <malloc.h>
#include <stdlib.h>

#include "net/mactable.h"

#define MAX 100

static struct mactable *t;
static int here, there;

static int setup(void **state)
{
	t = mactable_new(MAX);
	return t ? 0 : -1;
}

static int teardown(void **state)
{
	mactable_free(t);
	return 0;
}

static void what_was_learned_is_found(void **state)
{
	for (uint64_t k = 0; k < MAX; k++)
		assert_int_equal(mactable_learn(t, k, k % 2 ? &here : &there, 0), MACTABLE_NEW);
	for (uint64_t k = 0; k < MAX; k++)
		assert_ptr_equal(mactable_find(t, k), k % 2 ? &here : &there);
	assert_null(mactable_find(t, MAX));
	assert_int_equal(mactable_cnt(t), MAX);
}

static void the_same_address_in_two_vlans_is_two(void **state)
{
	const uint8_t mac[6] = { 2, 0, 0, 0, 0, 1 };

	mactable_learn(t, mactable_key(mac, 1), &here, 0);
	mactable_learn(t, mactable_key(mac, 2), &there, 0);
	assert_ptr_equal(mactable_find(t, mactable_key(mac, 1)), &here);
	assert_ptr_equal(mactable_find(t, mactable_key(mac, 2)), &there);
	assert_null(mactable_find(t, mactable_key(mac, 0)));
}

static void a_move_is_told_once(void **state)
{
	assert_int_equal(mactable_learn(t, 1, &here, 0), MACTABLE_NEW);
	assert_int_equal(mactable_learn(t, 1, &here, 1), MACTABLE_KNOWN);
	assert_int_equal(mactable_learn(t, 1, &there, 2), MACTABLE_MOVED);
	assert_int_equal(mactable_learn(t, 1, &there, 3), MACTABLE_KNOWN);
	assert_int_equal(mactable_cnt(t), 1);
}

static void a_full_table_keeps_what_it_knows(void **state)
{
	for (uint64_t k = 0; k < MAX; k++)
		mactable_learn(t, k, &here, 0);
	for (uint64_t k = MAX; k < 3 * MAX; k++)
		assert_int_equal(mactable_learn(t, k, &there, 0), MACTABLE_FULL);
	for (uint64_t k = 0; k < MAX; k++)
		assert_ptr_equal(mactable_find(t, k), &here);
	assert_int_equal(mactable_learn(t, 5, &there, 0), MACTABLE_MOVED); /* known ones may */
}

static void the_silent_age_and_make_room(void **state)
{
	for (uint64_t k = 0; k < MAX; k++)
		mactable_learn(t, k, &here, 0);
	mactable_learn(t, 7, &here, 500);
	assert_int_equal(mactable_sweep(t, 999, 1000, MAX), 0);
	assert_int_equal(mactable_sweep(t, 1000, 1000, MAX), MAX - 1);
	assert_ptr_equal(mactable_find(t, 7), &here);
	assert_null(mactable_find(t, 8));
	assert_int_equal(mactable_learn(t, 1000, &there, 1000), MACTABLE_NEW);
}

static void time_may_be_long(void **state)
{
	mactable_learn(t, 1, &here, UINT32_MAX - 10ull);
	assert_int_equal(mactable_sweep(t, UINT32_MAX + 10ull, 1000, MAX), 0);
	assert_int_equal(mactable_sweep(t, UINT32_MAX + 1000ull, 1000, MAX), 1);
}

static void parts_of_a_sweep_add_up(void **state)
{
	unsigned gone = 0;

	for (uint64_t k = 0; k < MAX; k++)
		mactable_learn(t, k, &here, 0);
	for (int i = 0; i < 10; i++)
		gone += mactable_sweep(t, 5000, 1000, MAX / 10);
	assert_int_equal(gone, MAX);
}

static void a_port_that_leaves_is_forgotten_and_no_other(void **state)
{
	for (uint64_t k = 0; k < MAX; k++)
		mactable_learn(t, k, k % 2 ? &here : &there, 0);
	assert_int_equal(mactable_forget(t, &here), MAX / 2);
	assert_null(mactable_find(t, 1));
	assert_ptr_equal(mactable_find(t, 2), &there);
	assert_int_equal(mactable_forget(t, NULL), MAX / 2);
	assert_int_equal(mactable_cnt(t), 0);
	for (uint64_t k = 0; k < MAX; k++)
		assert_int_equal(mactable_learn(t, k, &here, 0), MACTABLE_NEW);
}

static void a_million_addresses_take_no_more_memory(void **state)
{
	struct mallinfo2 before, after;

	for (uint64_t k = 0; k < MAX; k++)
		mactable_learn(t, k, &here, 0);
	before = mallinfo2();
	for (uint64_t k = 0; k < 1000000; k++)
		mactable_learn(t, k * 0x9e3779b97f4a7c15ull >> 4, k % 2 ? &here : &there, 0);
	after = mallinfo2();
	assert_int_equal(mactable_cnt(t), MAX);
	assert_true(after.uordblks == before.uordblks && after.hblkhd == before.hblkhd);
}

static void it_agrees_with_a_list(void **state)
{
	void *model[200] = { 0 };
	unsigned cnt = 0;

	srand(1);
	for (int i = 0; i < 20000; i++) {
		unsigned k = (unsigned)rand() % 200;
		void *at = rand() % 2 ? &here : &there;

		if (rand() % 500 == 0) {
			for (unsigned j = 0; j < 200; j++) {
				cnt -= model[j] == at;
				model[j] = model[j] == at ? NULL : model[j];
			}
			mactable_forget(t, at);
		}
		if (mactable_learn(t, k, at, 0) != MACTABLE_FULL) {
			cnt += !model[k];
			model[k] = at;
		} else {
			assert_int_equal(cnt, MAX);
			assert_null(model[k]);
		}
		k = (unsigned)rand() % 200;
		assert_ptr_equal(mactable_find(t, k), model[k]);
		assert_int_equal(mactable_cnt(t), cnt);
	}
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(what_was_learned_is_found),
		CASE(the_same_address_in_two_vlans_is_two),
		CASE(a_move_is_told_once),
		CASE(a_full_table_keeps_what_it_knows),
		CASE(the_silent_age_and_make_room),
		CASE(time_may_be_long),
		CASE(parts_of_a_sweep_add_up),
		CASE(a_port_that_leaves_is_forgotten_and_no_other),
		CASE(a_million_addresses_take_no_more_memory),
		CASE(it_agrees_with_a_list),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
