/* SPDX-License-Identifier: MIT */
/* Captured frames between two threads: a ring of records. */
#include "unit.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "filter/capring.h"

static int setup(void **state)
{
	struct capring *r = aligned_alloc(64, (sizeof(*r) + 63) & ~63u);

	*r = (struct capring) { 0 };
	*state = r;
	return capring_init(r, CAPRING_MIN, false);
}

static int teardown(void **state)
{
	capring_fini(*state);
	free(*state);
	return 0;
}

static bool put(struct capring *r, uint32_t len, uint32_t seq)
{
	struct caprec *rec = capring_room(r, len);

	if (!rec)
		return false;
	memset(rec->data, (int)seq, len);
	rec->seq = seq;
	capring_put(r, rec, len);
	return true;
}

static void check(const struct caprec *rec, uint32_t len, uint32_t seq)
{
	assert_non_null(rec);
	assert_int_equal(rec->data_len, len);
	assert_int_equal(rec->seq, seq);
	for (uint32_t i = 0; i < len; i++)
		assert_int_equal(rec->data[i], (uint8_t)seq);
}

static void what_is_not_published_is_not_seen(void **state)
{
	struct capring *r = *state;

	put(r, 60, 1);
	assert_null(capring_first(r));
	capring_publish(r);
	check(capring_first(r), 60, 1);
	assert_null(capring_next(r));
}

static void records_stay_in_one_piece_around_the_end(void **state)
{
	struct capring *r = *state;

	for (uint32_t i = 0; i < 2000; i++) {
		const uint32_t len = i * 7919 % 9000;

		assert_true(put(r, len, i));
		capring_publish(r);
		check(capring_first(r), len, i);
		assert_null(capring_next(r));
		capring_taken(r);
		assert_int_equal(capring_used(r), 0);
	}
}

static void a_full_ring_refuses_and_goes_on_later(void **state)
{
	struct capring *r = *state;
	uint32_t n = 0;

	while (put(r, 1500, n))
		n++;
	assert_true(n > 150 && n < CAPRING_MIN / 1500);
	assert_false(put(r, 1500, 0));
	capring_publish(r);
	check(capring_first(r), 1500, 0);
	check(capring_next(r), 1500, 1);
	check(capring_next(r), 1500, 2);
	capring_taken(r);
	assert_true(put(r, 1500, n));
	capring_publish(r);
	check(capring_first(r), 1500, 3);
	for (uint32_t i = 4; i <= n; i++)
		check(capring_next(r), 1500, i);
	assert_null(capring_next(r));
}

static void what_is_put_back_comes_again(void **state)
{
	struct capring *r = *state;
	const struct caprec *rec;

	put(r, 10, 1);
	put(r, 20, 2);
	capring_publish(r);
	capring_first(r);
	rec = capring_next(r);
	capring_back(r, rec);
	capring_taken(r);
	check(capring_first(r), 20, 2);
}

#define MANY 200000u

static void *producer(void *opaque)
{
	struct capring *r = opaque;

	for (uint32_t i = 0; i < MANY;) {
		if (put(r, i % 1500, i))
			i++;
		else
			sched_yield();
		capring_publish(r);
	}
	return NULL;
}

static void another_thread_sees_all_in_order(void **state)
{
	struct capring *r = *state;
	pthread_t thread;
	uint32_t n = 0;

	pthread_create(&thread, NULL, producer, r);
	while (n < MANY) {
		const struct caprec *rec = capring_first(r);

		for (; rec; rec = capring_next(r), n++) {
			assert_int_equal(rec->seq, n);
			assert_int_equal(rec->data_len, n % 1500);
			if (rec->data_len)
				assert_int_equal(rec->data[rec->data_len - 1], (uint8_t)n);
		}
		capring_taken(r);
	}
	pthread_join(thread, NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(what_is_not_published_is_not_seen, setup, teardown),
		cmocka_unit_test_setup_teardown(records_stay_in_one_piece_around_the_end, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_full_ring_refuses_and_goes_on_later, setup,
						teardown),
		cmocka_unit_test_setup_teardown(what_is_put_back_comes_again, setup, teardown),
		cmocka_unit_test_setup_teardown(another_thread_sees_all_in_order, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
