/* SPDX-License-Identifier: MIT */
/* Virtqueues, the device's side: chains in and out, places, start and stop, the dirty log. */
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

static void takes_pieces_back_with_the_chain(void **state)
{
	struct vring_chain c[2];

	begin(4, *state);
	add(0, 64, true);
	add(1, 64, true);
	assert_int_equal(vring_pop(t.ring, &c[0], 1), 1);
	for (unsigned i = 0; i < 2 * VRING_IOV_MAX; i++) {
		assert_int_equal(vring_pop(t.ring, &c[1], 1), 1);
		vring_unpop(t.ring, 1);
	}
	expect_piece(c[0].iov, buf_gpa(0), 64);
}

static void may_change_its_scatter_lists(void **state)
{
	struct vring_chain c[2];

	begin(4, *state);
	for (unsigned round = 0; round < 9; round++) {
		add_three(0, false);
		assert_int_equal(vring_pop(t.ring, c, 1), 1);
		c[0].iov[0].iov_len = 1;
		c[0].iov += 1;
		c[0].out_cnt -= 1;
		vring_push(t.ring, &c[0], 50);
		vring_publish(t.ring);
		get(0, 50);
	}
}

/* start and stop */

static int try_start(const struct vring_config *c)
{
	struct vmtap_error err = { 0 };
	int ret = vring_start(t.ring, t.mem, c, "vm0", &err);

	if (ret == 0) {
		vring_stop(t.ring);
		return 0;
	}
	assert_int_equal(err.code, -ret);
	assert_string_equal(err.object, "vm0");
	assert_true(strlen(err.reason) > 10);
	assert_false(vring_is_started(t.ring));
	return ret;
}

static void refuses_sizes_that_cannot_be(void **state)
{
	static const struct {
		unsigned size;
		int split, packed;
	} rows[] = {
		{ 0, -EINVAL, -EINVAL },     { 1, 0, 0 },     { 3, -EINVAL, 0 },
		{ 32767, -EINVAL, 0 },	     { 32768, 0, 0 }, { 32769, -EINVAL, -EINVAL },
		{ 65536, -EINVAL, -EINVAL },
	};

	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		room_ring(16, &split);
		t.cfg.size = rows[i].size;
		t.cfg.avail = UVA + MIB;
		t.cfg.used = UVA + 2 * MIB;
		assert_int_equal(try_start(&t.cfg), rows[i].split);
		t.cfg.packed = true;
		assert_int_equal(try_start(&t.cfg), rows[i].packed);
	}
}

/* A part that ends where the memory ends is right, and one step further it is not. */
static void try_at_end(uint64_t *part, uint64_t len, unsigned align)
{
	uint64_t old = *part;

	*part = UVA + GUEST_SIZE - len;
	assert_int_equal(try_start(&t.cfg), 0);
	*part += align;
	assert_int_equal(try_start(&t.cfg), -EFAULT);
	*part = UVA - align;
	assert_int_equal(try_start(&t.cfg), -EFAULT);
	*part = (uint64_t)0 - align;
	assert_int_equal(try_start(&t.cfg), -EFAULT);
	*part = old + align / 2;
	assert_int_equal(try_start(&t.cfg), -EINVAL);
	*part = old;
}

static void wants_every_part_in_memory_and_aligned(void **state)
{
	room_ring(32, &split);
	try_at_end(&t.cfg.desc, 16 * 32, 16);
	try_at_end(&t.cfg.avail, 4 + 2 * 32, 2);
	try_at_end(&t.cfg.used, 4 + 8 * 32, 4);
	t.cfg.event_idx = true;
	try_at_end(&t.cfg.avail, 6 + 2 * 32, 2);
	t.cfg.used = UVA + GUEST_SIZE - (4 + 8 * 32);
	assert_int_equal(try_start(&t.cfg), -EFAULT);
	room_ring(5, &packed);
	try_at_end(&t.cfg.desc, 16 * 5, 16);
	try_at_end(&t.cfg.avail, 4, 4);
	try_at_end(&t.cfg.used, 4, 4);
}

static void refuses_a_base_beyond_the_ring(void **state)
{
	room_ring(5, &packed);
	t.cfg.base = 5;
	assert_int_equal(try_start(&t.cfg), -EINVAL);
	t.cfg.base = 4 | 5 << 16;
	assert_int_equal(try_start(&t.cfg), -EINVAL);
	t.cfg.base = 4 | 4 << 16;
	assert_int_equal(try_start(&t.cfg), 0);
	room_ring(8, &split);
	t.cfg.base = 0x10000;
	assert_int_equal(try_start(&t.cfg), -EINVAL);
	t.cfg.base = 0xffff;
	assert_int_equal(try_start(&t.cfg), 0);
}

static void take_over(void)
{
	t.cfg.base = vring_stop(t.ring);
	assert_int_equal(vring_stop(t.ring), t.cfg.base);
	assert_false(vring_is_started(t.ring));
	vring_free(t.ring);
	t.ring = vring_new();
	room_start();
}

/* Another device takes over after every step, wherever in the ring that is. */
static void goes_on_from_the_base_that_it_stopped_at(void **state)
{
	const struct kind *k = *state;
	const unsigned size = k->packed ? 5 : 4;
	unsigned added = 0, served = 0;
	struct vring_chain c[2];

	begin(size, k);
	while (served < 70000) {
		while (add(added, 64, true))
			added++;
		if (served % 13 == 0)
			take_over();
		assert_int_equal(vring_pop(t.ring, c, 2), 2);
		expect_piece(c[0].iov, buf_gpa(served), 64);
		vring_push(t.ring, &c[0], 1);
		if (served % 5) {
			vring_push(t.ring, &c[1], 2);
			vring_publish(t.ring);
			get(served++, 1);
			get(served++, 2);
			continue;
		}
		/* pushed is shown, popped is given back */
		take_over();
		get(served++, 1);
		get_none();
	}
}

/* A device ended with one chain popped, and the front end says something else about where that was. */
static void goes_on_where_the_used_ring_ends_whatever_the_base(void **state)
{
	static const uint16_t bases[] = { 0, 1, 6, 7, 9, 60000 };

	for (size_t i = 0; i < ARRAY_LEN(bases); i++) {
		struct vring_chain c;

		begin(8, &split);
		for (unsigned n = 0; n < 6; n++) {
			add(n, 64, true);
			serve(1);
			get(n, 1);
		}
		add(6, 64, true);
		add(7, 64, true);
		assert_int_equal(vring_pop(t.ring, &c, 1), 1);
		vring_free(t.ring);
		t.ring = vring_new();
		t.cfg.base = bases[i];
		room_start();
		serve(2);
		get(6, 2);
		serve(3);
		get(7, 3);
		assert_int_equal(vring_pop(t.ring, &c, 1), 0);
		assert_null(vring_error(t.ring));
		assert_int_equal(vring_stop(t.ring), 8);
	}
}

static void knows_the_two_halves_of_a_packed_base(void **state)
{
	struct vring_chain c;

	begin(3, &packed);
	for (unsigned i = 0; i < 4; i++) {
		add(i, 64, true);
		serve(1);
		get(i, 1);
	}
	assert_int_equal(vring_stop(t.ring), 1 | 1u << 16); /* once around: both counters are 0 */
	t.cfg.base = 1; /* a front end that knows the first half only */
	room_start();
	add(4, 64, true);
	assert_int_equal(vring_pop(t.ring, &c, 1), 1);
	vring_push(t.ring, &c, 7);
	vring_publish(t.ring);
	get(4, 7);
	vring_stop(t.ring);
	room_ring(3, &packed);
	t.cfg.base = 0x8000;
	room_start();
	add(0, 64, true);
	serve(3);
	get(0, 3);
}

static void takes_and_gives_nothing_when_stopped(void **state)
{
	struct vring_chain c;

	begin(4, *state);
	add(0, 64, true);
	vring_stop(t.ring);
	assert_int_equal(vring_pop(t.ring, &c, 1), 0);
	assert_true(vring_is_empty(t.ring));
	assert_false(vring_want_kicks(t.ring, true));
	vring_publish(t.ring);
	get_none();
}

/* the memory changes */

/* All of the memory, mapped anew: elsewhere, since the old addresses are taken. */
static void move_memory(uint64_t uva)
{
	struct mem_slot s = slot_at(0, GUEST_SIZE, 0);
	uint64_t len = 1;
	void *old = mem_at(t.mem, 0, &len);

	s.uva = uva;
	mem_clear(t.mem);
	old = mmap(old, GUEST_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	assert_ptr_not_equal(old, MAP_FAILED);
	assert_int_equal(mem_add(t.mem, &s, t.fd, "test", NULL), 0);
	munmap(old, GUEST_SIZE);
}

static void finds_the_ring_again_when_memory_moves(void **state)
{
	struct vring_chain c;
	void *before;

	begin(4, *state);
	add(0, 64, true);
	assert_int_equal(vring_pop(t.ring, &c, 1), 1);
	before = c.iov->iov_base;
	vring_push(t.ring, &c, 5);
	vring_publish(t.ring);
	move_memory(UVA);
	assert_int_equal(vring_remap(t.ring), 0);
	get(0, 5);
	add(1, 64, true);
	assert_int_equal(vring_pop(t.ring, &c, 1), 1);
	assert_ptr_not_equal(c.iov->iov_base, before);
	expect_piece(c.iov, buf_gpa(1), 64);
	vring_push(t.ring, &c, 6);
	vring_publish(t.ring);
	get(1, 6);
}

static void breaks_when_memory_moved_away_from_the_ring(void **state)
{
	struct vring_chain c;

	begin(4, *state);
	add(0, 64, true);
	move_memory(UVA + GIB);
	assert_int_equal(vring_remap(t.ring), -EFAULT);
	assert_non_null(vring_error(t.ring));
	assert_int_equal(fd_count(t.err), 1);
	assert_int_equal(vring_pop(t.ring, &c, 1), 0);
	assert_true(vring_is_started(t.ring));
	vring_stop(t.ring);
	move_memory(UVA);
	room_start();
	assert_null(vring_error(t.ring));
	serve(3);
	get(0, 3);
}

/* the dirty log */

#define LOG_BYTES (GUEST_SIZE / PAGE / 8)

static uint8_t *log_open(void)
{
	int fd = file_of(LOG_BYTES);
	uint8_t *log = mmap(NULL, LOG_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	assert_ptr_not_equal(log, MAP_FAILED);
	assert_int_equal(mem_log_set(t.mem, fd, LOG_BYTES, 0, "test", NULL), 0);
	close(fd);
	return log;
}

/* The pages that are marked are these, and no others; and clear them. */
static void expect_pages(uint8_t *log, const uint64_t *gpas, unsigned cnt)
{
	for (unsigned i = 0; i < cnt; i++) {
		uint64_t page = gpas[i] / PAGE;

		if (!(log[page / 8] & 1 << page % 8))
			fail_msg("page of 0x%" PRIx64 " is not marked", gpas[i]);
	}
	for (unsigned i = 0; i < cnt; i++)
		log[gpas[i] / PAGE / 8] &= (uint8_t) ~(1 << gpas[i] / PAGE % 8);
	for (unsigned i = 0; i < LOG_BYTES; i++)
		assert_int_equal(log[i], 0);
}

/* Where the device's writes to the ring itself go. */
static uint64_t ring_page(const struct kind *k)
{
	return k->packed ? t.q.desc_gpa : t.q.used_gpa;
}

static void logs_what_was_written_and_nothing_else(void **state)
{
	const struct kind *k = *state;
	const struct vq_buf bufs[] = {
		{ BUFS, 100, false },
		{ BUFS + 2 * PAGE - 10, 20, true },
		{ BUFS + 7 * PAGE, 5000, true },
		{ BUFS + 11 * PAGE, 64, true },
	};
	uint8_t *log;
	struct vring_chain c;
	uint64_t page;

	begin(8, k);
	log = log_open();
	page = ring_page(k);
	for (unsigned turn = 0; turn < 4; turn++) {
		static const uint32_t lens[] = { 0, 10, 11, 20 + 4097 };

		vq_add(&t.q, bufs, 4, TABLES, turn);
		mem_log_on(t.mem, turn % 2); /* also when it begins while a chain is out */
		assert_int_equal(vring_pop(t.ring, &c, 1), 1);
		for (unsigned i = 0; i < c.in_cnt; i++)
			c.iov[c.out_cnt + i].iov_base = t.guest;
		mem_log_on(t.mem, true);
		vring_push(t.ring, &c, lens[turn]);
		vring_publish(t.ring);
		get(turn, lens[turn]);
		expect_pages(log,
			     (uint64_t[]) { BUFS + PAGE, BUFS + 2 * PAGE, BUFS + 7 * PAGE,
					    BUFS + 8 * PAGE },
			     (unsigned[]) { 0, 1, 2, 4 }[turn]);
	}
	vq_add(&t.q, bufs + 3, 1, 0, 8);
	serve(1);
	expect_pages(log, (uint64_t[]) { BUFS + 11 * PAGE }, 1);
	vring_set_log(t.ring, true, t.q.used_gpa);
	vq_add(&t.q, bufs, 1, 0, 9);
	serve(0);
	expect_pages(log, &page, 1);
	vring_set_log(t.ring, false, 0);
	vq_add(&t.q, bufs, 1, 0, 10);
	serve(0);
	expect_pages(log, NULL, 0);
	munmap(log, LOG_BYTES);
}

#define BATCH 1500u

/* Many bursts, shown at once. */
static void serve_batch(void)
{
	static struct vring_chain c[VRING_BURST_MAX];

	for (unsigned done = 0, n; done < BATCH; done += n) {
		n = vring_pop(t.ring, c, BATCH - done < 64 ? BATCH - done : 64);
		assert_true(n > 0);
		for (unsigned i = 0; i < n; i++)
			vring_push(t.ring, &c[i], 0);
	}
	vring_publish(t.ring);
}

/* A ring of many pages; the entries of a batch go around its end. */
static void logs_the_pages_of_a_batch(void **state)
{
	const struct kind *k = *state;
	const unsigned size = 2048;
	uint8_t *log;
	uint64_t ring;

	begin(size, k);
	for (unsigned i = 0; i < size - 2; i++) {
		add(i, 64, true);
		serve(1);
		get(i, 1);
	}
	log = log_open();
	mem_log_on(t.mem, true);
	vring_set_log(t.ring, true, t.q.used_gpa);
	for (unsigned i = 0; i < BATCH; i++)
		add(i, 64, true);
	serve_batch();
	ring = ring_page(k);
	if (k->packed)
		expect_pages(log,
			     (uint64_t[]) { ring, ring + PAGE, ring + 2 * PAGE, ring + 3 * PAGE,
					    ring + 4 * PAGE, ring + 5 * PAGE, ring + 7 * PAGE },
			     7);
	else
		expect_pages(log,
			     (uint64_t[]) { ring, ring + PAGE, ring + 2 * PAGE, ring + 3 * PAGE,
					    ring + 4 * PAGE },
			     5);
	vring_want_kicks(t.ring, true);
	if (k->packed)
		expect_pages(log, &t.q.used_gpa, 1);
	else if (k->event_idx)
		expect_pages(log, (uint64_t[]) { ring + 4 + 8 * size }, 1);
	else
		expect_pages(log, &ring, 1);
	munmap(log, LOG_BYTES);
}

static const struct CMUnitTest tests[] = {
	ALL(carries_chains_around_rings_of_any_size),
	BOTH(shows_a_batch_at_once),
	BOTH(takes_back_what_was_not_used),
	BOTH(takes_pieces_back_with_the_chain),
	BOTH(may_change_its_scatter_lists),
	CASE(refuses_sizes_that_cannot_be, split),
	CASE(wants_every_part_in_memory_and_aligned, split),
	CASE(refuses_a_base_beyond_the_ring, split),
	BOTH(goes_on_from_the_base_that_it_stopped_at),
	CASE(goes_on_where_the_used_ring_ends_whatever_the_base, split),
	CASE(knows_the_two_halves_of_a_packed_base, packed),
	BOTH(takes_and_gives_nothing_when_stopped),
	BOTH(finds_the_ring_again_when_memory_moves),
	BOTH(breaks_when_memory_moved_away_from_the_ring),
	BOTH(logs_what_was_written_and_nothing_else),
	ALL(logs_the_pages_of_a_batch),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
