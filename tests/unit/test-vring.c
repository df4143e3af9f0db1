/* SPDX-License-Identifier: MIT */
/* Virtqueues, the device's side: chains in and out, places, notification, the dirty log. */
#include "vring-test.h"

/* chains in and out */

static void expect_piece(const struct iovec *iov, uint64_t gpa, size_t len)
{
	uint64_t got = len;

	assert_ptr_equal(iov->iov_base, mem_at(t.mem, gpa, &got));
	assert_int_equal(iov->iov_len, len);
}

/* Chain @n: two readable buffers and one writable. */
static bool add_three(unsigned n, bool indirect)
{
	const struct vq_buf bufs[] = {
		{ buf_gpa(n), 10 + n % 7, false },
		{ buf_gpa(n) + 512, 20, false },
		{ buf_gpa(n) + 1024, 100, true },
	};

	return vq_add(&t.q, bufs, 3, indirect ? TABLES + n % 32768 * 64ull : 0, n);
}

static void expect_three(const struct vring_chain *c, unsigned n)
{
	assert_int_equal(c->out_cnt, 2);
	assert_int_equal(c->in_cnt, 1);
	assert_int_equal(c->out_len, 30 + n % 7);
	assert_int_equal(c->in_len, 100);
	expect_piece(&c->iov[0], buf_gpa(n), 10 + n % 7);
	expect_piece(&c->iov[1], buf_gpa(n) + 512, 20);
	expect_piece(&c->iov[2], buf_gpa(n) + 1024, 100);
}

/* Several times around, in bursts that do not divide the size. */
static void go_around(unsigned size, bool indirect)
{
	const unsigned total = 3 * size + 5;
	unsigned added = 0, served = 0, got = 0;
	struct vring_chain c[VRING_BURST_MAX];

	while (got < total) {
		unsigned n;

		while (added < total && add_three(added, indirect))
			added++;
		n = vring_pop(t.ring, c, 1 + served % 7);
		assert_true(n > 0);
		for (unsigned i = 0; i < n; i++) {
			expect_three(&c[i], served);
			vring_push(t.ring, &c[i], served % 101);
			served++;
		}
		vring_publish(t.ring);
		for (; got < served; got++)
			get(got, got % 101);
		get_none();
	}
	assert_true(vring_is_empty(t.ring));
	assert_int_equal(vring_pop(t.ring, c, 1), 0);
	assert_null(vring_error(t.ring));
}

static void carries_chains_around_rings_of_any_size(void **state)
{
	const struct kind *k = *state;
	static const unsigned sizes[] = { 1, 2, 3, 4, 7, 256, 1000, 32768 };

	for (unsigned i = 0; i < ARRAY_LEN(sizes); i++) {
		if (!k->packed && sizes[i] & (sizes[i] - 1))
			continue;
		begin(sizes[i], k);
		go_around(sizes[i], true);
		begin(sizes[i], k);
		if (sizes[i] >= 3)
			go_around(sizes[i], false);
	}
}

static void shows_a_batch_at_once(void **state)
{
	struct vring_chain c[4];

	begin(4, *state);
	for (unsigned i = 0; i < 4; i++)
		add(i, 64, true);
	assert_int_equal(vring_pop(t.ring, c, 4), 4);
	for (unsigned i = 0; i < 3; i++) {
		vring_push(t.ring, &c[i], i);
		get_none();
	}
	vring_publish(t.ring);
	for (unsigned i = 0; i < 3; i++)
		get(i, i);
	get_none();
	vring_push(t.ring, &c[3], 3);
	vring_publish(t.ring);
	get(3, 3);
}

static void takes_back_what_was_not_used(void **state)
{
	struct vring_chain c[8];

	begin(8, *state);
	for (unsigned round = 0; round < 20; round++) {
		for (unsigned i = 0; i < 8; i++)
			assert_true(add(i, 64, true));
		assert_int_equal(vring_pop(t.ring, c, 8), 8);
		vring_push(t.ring, &c[0], 1);
		vring_push(t.ring, &c[1], 1);
		vring_unpop(t.ring, 4);
		vring_push(t.ring, &c[2], 1);
		vring_publish(t.ring);
		assert_int_equal(vring_pop(t.ring, c + 4, 8), 4);
		expect_piece(c[4].iov, buf_gpa(4), 64);
		for (unsigned i = 3; i < 8; i++)
			vring_push(t.ring, &c[i], 1);
		vring_publish(t.ring);
		for (unsigned i = 0; i < 8; i++)
			get(i, 1);
	}
}

static const struct CMUnitTest tests[] = {
	ALL(carries_chains_around_rings_of_any_size),
	BOTH(shows_a_batch_at_once),
	BOTH(takes_back_what_was_not_used),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
