/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "net/frameq.h"

static struct frameq q;
static unsigned char bytes[VMTAP_FRAME_MAX];

static int setup(void **state)
{
	return frameq_init(&q, FRAMEQ_SIZE_MIN, 1000);
}

static int teardown(void **state)
{
	frameq_fini(&q);
	return 0;
}

static bool push(unsigned number, uint32_t len)
{
	struct iovec iov[2] = { { bytes, 10 }, { bytes + 10, len - 10 } };
	const struct vmtap_frame f = {
		.hdr.gso_size = (uint16_t)number, .len = len, .iov = iov, .iov_cnt = 2
	};

	memset(bytes, (int)(number & 0xff), len);
	return frameq_push(&q, &f, number);
}

static void check_first(unsigned number, uint32_t len)
{
	struct vmtap_frame f;
	struct iovec iov;
	uint32_t said;

	assert_int_equal(frameq_peek(&q, &f, &iov, 1), 1);
	assert_int_equal(f.len, len);
	assert_int_equal(f.hdr.gso_size, (uint16_t)number);
	assert_int_equal(f.iov_cnt, 1);
	memset(bytes, (int)(number & 0xff), len);
	assert_memory_equal(f.iov->iov_base, bytes, len);
	assert_int_equal(frameq_drop(&q, &said), number);
	assert_int_equal(said, len);
}

static void frames_leave_as_they_came(void **state)
{
	struct vmtap_frame f[8];
	struct iovec iov[8];

	for (unsigned i = 0; i < 5; i++)
		assert_true(push(i, 60 + i));
	assert_int_equal(frameq_peek(&q, f, iov, 3), 3);
	assert_int_equal(frameq_peek(&q, f, iov, 8), 5);
	for (unsigned i = 0; i < 5; i++)
		assert_int_equal(f[i].len, 60 + i);
	for (unsigned i = 0; i < 5; i++)
		check_first(i, 60 + i);
	assert_int_equal(q.cnt, 0);
}

static void it_is_bounded_in_frames(void **state)
{
	for (unsigned i = 0; i < 1000; i++)
		assert_true(push(i, 20));
	assert_false(push(1000, 20));
	check_first(0, 20);
	assert_true(push(1000, 20));
}

static void it_is_bounded_in_bytes(void **state)
{
	assert_true(push(1, VMTAP_FRAME_MAX));
	assert_false(push(2, VMTAP_FRAME_MAX));
	assert_true(push(3, 20000));
	check_first(1, VMTAP_FRAME_MAX);
	check_first(3, 20000);
	assert_true(push(2, VMTAP_FRAME_MAX));
}

static void a_purge_empties_it(void **state)
{
	push(1, 60);
	push(2, VMTAP_FRAME_MAX);
	assert_int_equal(frameq_purge(&q), 2);
	assert_true(push(3, VMTAP_FRAME_MAX));
	check_first(3, VMTAP_FRAME_MAX);
}

/* Lengths that meet the end of the ring in all ways. */
static void order_and_bytes_hold_wherever_it_wraps(void **state)
{
	uint32_t lens[2000];
	unsigned first = 0, next = 0;

	srand(1);
	for (int i = 0; i < 20000; i++) {
		uint32_t len = 14 + (uint32_t)rand() % (rand() % 4 ? 1500 : 60000);

		if (rand() % 2) {
			if (push(next, len))
				lens[next++ % 2000] = len;
			else
				assert_true(q.cnt > 0);
		} else if (first != next) {
			check_first(first, lens[first % 2000]);
			first++;
		}
		assert_int_equal(q.cnt, next - first);
	}
	assert_true(next > 1000);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(frames_leave_as_they_came),
		CASE(it_is_bounded_in_frames),
		CASE(it_is_bounded_in_bytes),
		CASE(a_purge_empties_it),
		CASE(order_and_bytes_hold_wherever_it_wraps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
