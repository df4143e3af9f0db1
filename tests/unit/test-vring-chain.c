/* SPDX-License-Identifier: MIT */
/* Descriptor chains into scatter lists: what a driver may do, and all that it may not. */
#include "vring-test.h"

#define AVAIL (1u << VRING_PACKED_DESC_F_AVAIL)

enum {
	NEXT = VRING_DESC_F_NEXT,
	WRITE = VRING_DESC_F_WRITE,
	INDIRECT = VRING_DESC_F_INDIRECT,
};

/** struct desc - A descriptor as a test wants it; @next: split only */
struct desc {
	uint64_t addr;
	uint32_t len;
	uint16_t flags, next;
};

/* Write descriptors to @at, in the ring's format. */
static void put(void *at, const struct desc *d, unsigned cnt, bool in_ring)
{
	for (unsigned i = 0; i < cnt; i++) {
		struct vring_packed_desc *p = (struct vring_packed_desc *)at + i;
		struct vring_desc *s = (struct vring_desc *)at + i;

		if (t.cfg.packed)
			*p = (struct vring_packed_desc) {
				.addr = d[i].addr,
				.len = d[i].len,
				.id = (uint16_t)(40 + i),
				.flags = (uint16_t)(d[i].flags | (in_ring ? AVAIL : 0)),
			};
		else
			*s = (struct vring_desc) { d[i].addr, d[i].len, d[i].flags, d[i].next };
	}
}

/* A ring of 64 that begins with these, the first of which is available. */
static void offer_in(unsigned size, const struct desc *d, unsigned cnt)
{
	const struct kind k = { .packed = t.cfg.packed };

	if (vring_is_started(t.ring))
		vring_stop(t.ring);
	room_ring(size, &k);
	room_start();
	put(t.q.desc, d, cnt, true);
	if (!k.packed)
		t.q.avail->idx = 1;
}

static void offer(const struct desc *d, unsigned cnt)
{
	offer_in(64, d, cnt);
}

static void format(void **state)
{
	const struct kind *k = *state;

	t.cfg.packed = k->packed;
}

static void expect_broken(const char *why)
{
	struct vring_chain c;

	fd_count(t.err);
	assert_int_equal(vring_pop(t.ring, &c, 1), 0);
	if (!vring_error(t.ring))
		fail_msg("not broken, but should be: %s", why);
	assert_non_null(strstr(vring_error(t.ring), why));
	assert_int_equal(fd_count(t.err), 1);
	assert_int_equal(vring_pop(t.ring, &c, 1), 0);
	assert_true(vring_is_empty(t.ring));
	assert_false(vring_want_kicks(t.ring, true));
	assert_int_equal(fd_count(t.err), 0);
}

static void refuse(const struct desc *d, unsigned cnt, const char *why)
{
	offer(d, cnt);
	expect_broken(why);
}

#define REFUSE(why, ...)                              \
	refuse((const struct desc[]) { __VA_ARGS__ }, \
	       ARRAY_LEN(((const struct desc[]) { __VA_ARGS__ })), why)

static void expect_chain(struct vring_chain *c, unsigned out, unsigned in)
{
	assert_int_equal(vring_pop(t.ring, c, 1), 1);
	assert_int_equal(c->out_cnt, out);
	assert_int_equal(c->in_cnt, in);
}

static void expect_piece(const struct vring_chain *c, unsigned i, uint64_t gpa, size_t len)
{
	uint64_t got = len;

	assert_ptr_equal(c->iov[i].iov_base, mem_at(t.mem, gpa, &got));
	assert_int_equal(c->iov[i].iov_len, len);
}

/* direct */

static void refuses_buffers_outside_of_the_memory(void **state)
{
	format(state);
	REFUSE("outside", { GUEST_SIZE, 1, 0 });
	REFUSE("outside", { GUEST_SIZE - 1, 2, WRITE });
	REFUSE("outside", { BUFS, 8, NEXT, 1 }, { 1ull << 63, 8, 0 });
	REFUSE("outside", { GUEST_SIZE - 8, UINT32_MAX, 0 });
	REFUSE("wrap", { UINT64_MAX, 2, 0 });
	REFUSE("wrap", { UINT64_MAX - 6, 8, WRITE });
	REFUSE("outside", { UINT64_MAX - 8, 8, WRITE });
}

static void takes_the_last_byte_of_the_memory(void **state)
{
	struct vring_chain c;

	format(state);
	offer((const struct desc[]) { { GUEST_SIZE - 1, 1, 0, 0 } }, 1);
	expect_chain(&c, 1, 0);
	expect_piece(&c, 0, GUEST_SIZE - 1, 1);
}

static void refuses_buffers_of_no_bytes(void **state)
{
	format(state);
	REFUSE("no bytes", { BUFS, 0, 0 });
	REFUSE("no bytes", { BUFS, 0, WRITE });
	REFUSE("no bytes", { BUFS, 8, NEXT, 1 }, { BUFS, 0, WRITE });
	REFUSE("no bytes", { 0, 0, 0 });
}

static void refuses_readable_behind_writable(void **state)
{
	format(state);
	REFUSE("readable", { BUFS, 8, WRITE | NEXT, 1 }, { BUFS, 8, 0 });
	REFUSE("readable", { BUFS, 8, NEXT, 1 }, { BUFS, 8, WRITE | NEXT, 2 }, { BUFS, 8, 0 });
}

static void refuses_loops(void **state)
{
	format(state);
	if (t.cfg.packed) {
		struct desc all[64];

		for (unsigned i = 0; i < 64; i++)
			all[i] = (struct desc) { BUFS, 8, NEXT, 0 };
		refuse(all, 64, "loop");
		return;
	}
	REFUSE("loop", { BUFS, 8, NEXT, 0 });
	REFUSE("loop", { BUFS, 8, NEXT, 1 }, { BUFS, 8, NEXT, 0 });
}

static void refuses_indices_beyond_the_table(void **state)
{
	format(state);
	REFUSE("beyond", { BUFS, 8, NEXT, 64 });
	REFUSE("beyond", { BUFS, 8, NEXT, 0xffff });
	offer((const struct desc[]) { { BUFS, 8, 0, 0 } }, 1);
	t.q.avail->ring[0] = 64;
	expect_broken("beyond");
	offer((const struct desc[]) { { BUFS, 8, 0, 0 } }, 1);
	t.q.avail->ring[0] = 0xffff;
	expect_broken("beyond");
}

static void refuses_more_chains_than_the_ring_has(void **state)
{
	struct vring_chain c[64];

	format(state);
	offer((const struct desc[]) { { BUFS, 8, 0, 0 } }, 1);
	t.q.avail->idx = 65;
	expect_broken("too far");
	offer((const struct desc[]) { { BUFS, 8, 0, 0 } }, 1);
	t.q.avail->idx = 0xffff;
	expect_broken("too far");
	/* all of them are out, and there is one more */
	offer((const struct desc[]) { { BUFS, 8, 0, 0 } }, 1);
	t.q.avail->idx = 64;
	assert_int_equal(vring_pop(t.ring, c, 64), 64);
	t.q.avail->idx = 65;
	expect_broken("too far");
}

static void refuses_more_descriptors_than_the_ring_has(void **state)
{
	const struct desc d[] = { { BUFS, 8, 0, 0 }, { BUFS, 8, NEXT, 0 }, { BUFS, 8, 0, 0 } };
	struct vring_chain c[4];

	format(state);
	offer_in(3, d, 3);
	assert_int_equal(vring_pop(t.ring, c, 4), 2);
	t.q.pdesc[0].flags = 1u << VRING_PACKED_DESC_F_USED; /* once more, in the next round */
	expect_broken("more descriptors");
	offer_in(3, d, 3);
	assert_int_equal(vring_pop(t.ring, c, 1), 1);
	t.q.pdesc[2].flags = AVAIL | NEXT; /* into the one that is out */
	expect_broken("more descriptors");
}

static void ends_chains_at_their_limit(void **state)
{
	static struct desc d[VRING_CHAIN_MAX + 1];
	struct vring_chain c;

	format(state);
	for (unsigned i = 0; i <= VRING_CHAIN_MAX; i++)
		d[i] = (struct desc) { BUFS + 4 * i, 4, i < VRING_CHAIN_MAX ? NEXT : 0,
				       (uint16_t)(i + 1) };
	offer_in(2048, d, VRING_CHAIN_MAX + 1);
	expect_broken("too long");
	d[VRING_CHAIN_MAX - 1].flags = 0;
	offer_in(2048, d, VRING_CHAIN_MAX);
	expect_chain(&c, VRING_CHAIN_MAX, 0);
	assert_int_equal(c.out_len, 4 * VRING_CHAIN_MAX);
	expect_piece(&c, VRING_CHAIN_MAX - 1, BUFS + 4 * (VRING_CHAIN_MAX - 1), 4);
}

/* indirect */

static void table(const struct desc *d, unsigned cnt)
{
	put(t.guest + TABLES, d, cnt, false);
}

#define TABLE(...)                                   \
	table((const struct desc[]) { __VA_ARGS__ }, \
	      ARRAY_LEN(((const struct desc[]) { __VA_ARGS__ })))

static void refuses_tables_that_cannot_be(void **state)
{
	format(state);
	TABLE({ BUFS, 8, 0, 0 });
	REFUSE("length", { TABLES, 0, INDIRECT });
	REFUSE("length", { TABLES, 15, INDIRECT });
	REFUSE("length", { TABLES, 17, INDIRECT });
	REFUSE("behind", { TABLES, 16, INDIRECT | NEXT, 1 }, { BUFS, 8, 0 });
	REFUSE("outside", { GUEST_SIZE, 16, INDIRECT });
	REFUSE("outside", { GUEST_SIZE - 8, 16, INDIRECT });
	REFUSE("wrap", { UINT64_MAX - 7, 16, INDIRECT });
	TABLE({ BUFS, 0, 0, 0 });
	REFUSE("no bytes", { TABLES, 16, INDIRECT });
	TABLE({ GUEST_SIZE, 8, 0, 0 });
	REFUSE("outside", { TABLES, 16, INDIRECT });
}

static void refuses_readable_behind_writable_in_a_split_table(void **state)
{
	format(state);
	TABLE({ BUFS, 8, WRITE | NEXT, 1 }, { BUFS, 8, 0, 0 });
	REFUSE("readable", { TABLES, 32, INDIRECT });
	TABLE({ BUFS, 8, NEXT, 1 }, { BUFS, 8, WRITE | NEXT, 2 }, { BUFS, 8, 0, 0 });
	REFUSE("readable", { TABLES, 48, INDIRECT });
}

/* As DPDK's driver makes them. */
static void reads_what_a_packed_table_for_reading_calls_writable(void **state)
{
	struct vring_chain c;

	format(state);
	TABLE({ BUFS, 12, WRITE, 0 }, { BUFS + 100, 60, 0, 0 }, { BUFS + 200, 8, 0, 0 });
	offer((const struct desc[]) { { TABLES, 48, INDIRECT, 0 } }, 1);
	expect_chain(&c, 3, 0);
	expect_piece(&c, 0, BUFS, 12);
	expect_piece(&c, 1, BUFS + 100, 60);
	assert_int_equal(c.out_len, 80);
	TABLE({ BUFS, 12, WRITE, 0 }, { BUFS + 100, 60, 0, 0 }, { BUFS + 200, 8, WRITE, 0 });
	offer((const struct desc[]) { { TABLES, 48, INDIRECT, 0 } }, 1);
	expect_chain(&c, 3, 0);
	REFUSE("readable", { BUFS, 8, WRITE | NEXT, 1 }, { TABLES, 48, INDIRECT });
	TABLE({ BUFS, 12, WRITE, 0 }, { BUFS + 100, 60, WRITE, 0 });
	offer((const struct desc[]) { { TABLES, 32, INDIRECT, 0 } }, 1);
	expect_chain(&c, 0, 2);
	TABLE({ BUFS, 12, WRITE, 0 });
	offer((const struct desc[]) { { TABLES, 16, INDIRECT, 0 } }, 1);
	expect_chain(&c, 0, 1);
}

static void refuses_links_out_of_a_split_table(void **state)
{
	format(state);
	TABLE({ BUFS, 8, NEXT, 1 }, { BUFS, 8, 0, 0 });
	REFUSE("leads out", { TABLES, 16, INDIRECT });
	TABLE({ BUFS, 8, NEXT, 0xffff }, { BUFS, 8, 0, 0 });
	REFUSE("leads out", { TABLES, 32, INDIRECT });
	TABLE({ BUFS, 8, NEXT, 1 }, { BUFS, 8, NEXT, 0 });
	REFUSE("loop", { TABLES, 32, INDIRECT });
	TABLE({ TABLES, 16, INDIRECT, 0 });
	REFUSE("in an indirect", { TABLES, 16, INDIRECT });
	TABLE({ BUFS, 8, NEXT, 1 }, { TABLES, 16, INDIRECT, 0 });
	REFUSE("in an indirect", { TABLES, 32, INDIRECT });
}

static void refuses_packed_tables_that_are_too_long(void **state)
{
	format(state);
	REFUSE("too long", { TABLES, 16 * (VRING_CHAIN_MAX + 1), INDIRECT });
	REFUSE("too long", { TABLES, 0xfffffff0, INDIRECT });
}

static void refuses_tables_that_were_not_negotiated(void **state)
{
	struct desc d = { TABLES, 16, INDIRECT, 0 };

	format(state);
	TABLE({ BUFS, 8, 0, 0 });
	offer(&d, 1);
	vring_stop(t.ring);
	t.cfg.indirect = false;
	room_start();
	expect_broken("not negotiated");
}

static void reads_a_table_behind_direct_buffers(void **state)
{
	struct vring_chain c;

	format(state);
	TABLE({ BUFS + 100, 8, NEXT, 1 }, { BUFS + 200, 8, WRITE, 0 });
	offer((const struct desc[]) { { BUFS, 8, NEXT, 1 },
				      /* "writable" means nothing of a table */
				      { TABLES, 32, INDIRECT | WRITE, 0 } },
	      2);
	expect_chain(&c, 2, 1);
	expect_piece(&c, 0, BUFS, 8);
	expect_piece(&c, 1, BUFS + 100, 8);
	expect_piece(&c, 2, BUFS + 200, 8);
	assert_int_equal(c.out_len, 16);
	assert_int_equal(c.in_len, 8);
}

static void heeds_of_a_packed_table_its_order_only(void **state)
{
	struct vring_chain c;

	format(state);
	TABLE({ BUFS + 100, 8, INDIRECT }, { BUFS + 200, 8, NEXT },
	      { BUFS + 300, 8, WRITE | NEXT });
	offer((const struct desc[]) { { TABLES, 48, INDIRECT, 0 } }, 1);
	expect_chain(&c, 2, 1);
	for (unsigned i = 0; i < 3; i++)
		expect_piece(&c, i, BUFS + 100 * (i + 1), 8);
}

static void reads_tables_that_are_not_aligned(void **state)
{
	struct vring_chain c;

	format(state);
	TABLE({ BUFS + 100, 8, NEXT, 1 }, { BUFS + 200, 8, WRITE, 0 });
	memmove(t.guest + TABLES + 3, t.guest + TABLES, 32);
	offer((const struct desc[]) { { TABLES + 3, 32, INDIRECT, 0 } }, 1);
	expect_chain(&c, 1, 1);
	expect_piece(&c, 0, BUFS + 100, 8);
	expect_piece(&c, 1, BUFS + 200, 8);
}

/* memory in parts */

/* The same memory, in slots of a page from @gpa on; they do not lie side by side here. */
static void cut_pages(uint64_t gpa, unsigned cnt)
{
	struct mem_slot whole = slot_at(0, GUEST_SIZE, 0);
	struct mem_slot low = slot_at(0, gpa, 0);

	assert_int_equal(mem_del(t.mem, &whole), 0);
	assert_int_equal(mem_add(t.mem, &low, t.fd, "test", NULL), 0);
	for (unsigned i = 0; i < cnt; i++) {
		struct mem_slot s = slot_at(gpa + i * PAGE, PAGE, gpa + i * PAGE);

		assert_int_equal(mem_add(t.mem, &s, t.fd, "test", NULL), 0);
	}
}

static void cuts_buffers_where_regions_end(void **state)
{
	struct vring_chain c;

	format(state);
	cut_pages(BUFS, 4);
	offer((const struct desc[]) { { BUFS - 10, 20, NEXT, 1 },
				      { BUFS + PAGE - 1, 2 * PAGE - 1, WRITE, 0 } },
	      2);
	expect_chain(&c, 2, 3);
	assert_int_equal(c.out_len, 20);
	assert_int_equal(c.in_len, 2 * PAGE - 1);
	expect_piece(&c, 0, BUFS - 10, 10);
	expect_piece(&c, 1, BUFS, 10);
	expect_piece(&c, 2, BUFS + PAGE - 1, 1);
	expect_piece(&c, 3, BUFS + PAGE, PAGE);
	expect_piece(&c, 4, BUFS + 2 * PAGE, PAGE - 2);
}

static void cuts_buffers_at_each_region(void **state)
{
	struct vring_chain c;

	format(state);
	cut_pages(BUFS, 4);
	offer((const struct desc[]) { { BUFS + 1, 4 * PAGE - 2, WRITE, 0 } }, 1);
	expect_chain(&c, 0, 4);
	expect_piece(&c, 0, BUFS + 1, PAGE - 1);
	expect_piece(&c, 3, BUFS + 3 * PAGE, PAGE - 1);
	REFUSE("outside", { BUFS + 1, 4 * PAGE, WRITE });
}

static void reads_tables_that_cross_regions(void **state)
{
	struct vring_chain c;

	format(state);
	cut_pages(BUFS, 4);
	TABLE({ BUFS + 100, 8, NEXT, 1 }, { BUFS + 200, 8, WRITE, 0 });
	memcpy(t.guest + BUFS + PAGE - 20, t.guest + TABLES, 32);
	offer((const struct desc[]) { { BUFS + PAGE - 20, 32, INDIRECT, 0 } }, 1);
	expect_chain(&c, 1, 1);
	expect_piece(&c, 1, BUFS + 200, 8);
}

static void breaks_over_a_chain_in_too_many_pieces(void **state)
{
	static struct desc d[VRING_CHAIN_MAX];
	const unsigned pages = 400, cnt = VRING_IOV_MAX / pages + 1;
	struct vring_chain c;

	format(state);
	cut_pages(BUFS, pages);
	for (unsigned i = 0; i < cnt; i++)
		d[i] = (struct desc) { BUFS, (uint32_t)(pages * PAGE), WRITE | NEXT,
				       (uint16_t)(i + 1) };
	d[cnt - 1].flags = WRITE;
	refuse(d, cnt, "too many pieces");
	d[cnt - 1].len = (VRING_IOV_MAX - (cnt - 1) * pages) * PAGE;
	offer(d, cnt);
	expect_chain(&c, 0, VRING_IOV_MAX);
}

static void refuses_chains_of_more_than_4_gib(void **state)
{
	const uint64_t size = 3 * GIB;
	struct mem_slot s = slot_at(16 * GIB, size, 0);
	int fd = file_of(size); /* nothing of it is ever touched */
	struct vring_chain c;

	format(state);
	assert_int_equal(mem_add(t.mem, &s, fd, "test", NULL), 0);
	close(fd);
	REFUSE("4 GiB", { s.gpa, 3u << 30, NEXT, 1 }, { s.gpa, 1 << 30, 0 });
	REFUSE("4 GiB", { BUFS, 8, NEXT, 1 }, { s.gpa, 3u << 30, WRITE | NEXT, 2 },
	       { s.gpa, 1 << 30, WRITE });
	offer((const struct desc[]) { { s.gpa, 3u << 30, NEXT, 1 },
				      { s.gpa, 0x3fffffff, NEXT, 2 },
				      { s.gpa, 3u << 30, WRITE, 0 } },
	      3);
	expect_chain(&c, 2, 1);
	assert_int_equal(c.out_len, UINT32_MAX);
	assert_int_equal(c.in_len, 3u << 30);
}

/* the pool */

/* Chains of 600 pieces each: six fit. */
static void add_long(unsigned cnt)
{
	static struct vq_buf bufs[600];

	for (unsigned i = 0; i < 600; i++)
		bufs[i] = (struct vq_buf) { BUFS + i, 1, true };
	for (unsigned i = 0; i < cnt; i++)
		assert_true(vq_add(&t.q, bufs, 600, TABLES + i * 0x4000ull, i));
}

static void expect_long(const struct vring_chain *c)
{
	assert_int_equal(c->in_cnt, 600);
	for (unsigned i = 0; i < 600; i++)
		assert_ptr_equal((uint8_t *)c->iov[i].iov_base, (uint8_t *)c->iov[0].iov_base + i);
}

static void pops_as_many_as_it_has_pieces_for(void **state)
{
	struct vring_chain c[30];
	unsigned held = 6;

	begin(32, *state);
	add_long(30);
	assert_int_equal(vring_pop(t.ring, c, 30), 6);
	assert_int_equal(vring_pop(t.ring, c + 6, 30), 0);
	assert_null(vring_error(t.ring));
	assert_false(vring_is_empty(t.ring));
	for (unsigned i = 0; i < 20; i++) { /* one out, one in: around the pool */
		expect_long(&c[i]);
		vring_push(t.ring, &c[i], 600);
		held += vring_pop(t.ring, c + held, 30 - held);
		assert_in_range(held - i, 5, 7);
	}
	vring_unpop(t.ring, held - 20);
	for (unsigned i = 20; i < 30; i++) {
		assert_true(vring_pop(t.ring, c + i, 1) == 1);
		expect_long(&c[i]);
		vring_push(t.ring, &c[i], 600);
	}
	vring_publish(t.ring);
	for (unsigned i = 0; i < 30; i++)
		get(i, 600);
}

/* broken */

static void hands_good_chains_out_before_it_breaks(void **state)
{
	struct vring_chain c[8];

	begin(8, *state);
	add(0, 64, true);
	add(1, 64, true);
	vq_add(&t.q, &(struct vq_buf) { GUEST_SIZE, 1, true }, 1, 0, 2);
	add(3, 64, true);
	assert_int_equal(vring_pop(t.ring, c, 8), 2);
	assert_null(vring_error(t.ring));
	vring_push(t.ring, &c[0], 1);
	vring_publish(t.ring);
	expect_broken("outside");
	vring_push(t.ring, &c[1], 1);
	vring_publish(t.ring);
	get(0, 1);
	get_none();
	/* started again, it goes on with the one that was not shown */
	t.cfg.base = vring_stop(t.ring);
	room_start();
	assert_null(vring_error(t.ring));
	serve(9);
	get(1, 9);
}

static void is_broken_by_the_device(void **state)
{
	static const char why[] = "a frame that cannot be";
	struct vring_chain c;

	begin(8, *state);
	add(0, 64, true);
	assert_int_equal(vring_pop(t.ring, &c, 1), 1);
	vring_set_broken(t.ring, why);
	vring_set_broken(t.ring, "something else");
	assert_int_equal(fd_count(t.err), 1);
	assert_string_equal(vring_error(t.ring), why);
	vring_push(t.ring, &c, 1);
	vring_publish(t.ring);
	get_none();
	assert_int_equal(fd_count(t.call), 0);
	begin(8, *state);
	assert_null(vring_error(t.ring));
}

static const struct CMUnitTest tests[] = {
	BOTH(refuses_buffers_outside_of_the_memory),
	BOTH(takes_the_last_byte_of_the_memory),
	BOTH(refuses_buffers_of_no_bytes),
	BOTH(refuses_readable_behind_writable),
	BOTH(refuses_loops),
	CASE(refuses_indices_beyond_the_table, split),
	CASE(refuses_more_chains_than_the_ring_has, split),
	CASE(refuses_more_descriptors_than_the_ring_has, packed),
	BOTH(ends_chains_at_their_limit),
	BOTH(refuses_tables_that_cannot_be),
	CASE(refuses_readable_behind_writable_in_a_split_table, split),
	CASE(reads_what_a_packed_table_for_reading_calls_writable, packed),
	CASE(refuses_links_out_of_a_split_table, split),
	CASE(refuses_packed_tables_that_are_too_long, packed),
	BOTH(refuses_tables_that_were_not_negotiated),
	BOTH(reads_a_table_behind_direct_buffers),
	CASE(heeds_of_a_packed_table_its_order_only, packed),
	BOTH(reads_tables_that_are_not_aligned),
	BOTH(cuts_buffers_where_regions_end),
	BOTH(cuts_buffers_at_each_region),
	BOTH(reads_tables_that_cross_regions),
	BOTH(breaks_over_a_chain_in_too_many_pieces),
	BOTH(refuses_chains_of_more_than_4_gib),
	BOTH(pops_as_many_as_it_has_pieces_for),
	BOTH(hands_good_chains_out_before_it_breaks),
	BOTH(is_broken_by_the_device),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
