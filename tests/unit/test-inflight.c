/* SPDX-License-Identifier: MIT */
/*
 * Chains in flight: a device ends at any step, and the next one goes on.
 *
 * A crash is a copy of what is shared - ring and region - at some moment, put back after the device that
 * went on has been thrown away. Where a step is between two stores of the device itself, the region is
 * written here as it is then.
 */
#include "vring-test.h"

#include <signal.h>

#include "virtio/inflight.h"

#define FLIGHT_BYTES (64 * KIB)
#define RING_BYTES (64 * KIB)

/* Layouts, as the specification has them. */
struct split_region {
	uint64_t features;
	uint16_t version, desc_num, last_batch_head, used_idx;
	struct {
		uint8_t inflight, padding[5];
		uint16_t next;
		uint64_t counter;
	} desc[];
};

struct packed_region {
	uint64_t features;
	uint16_t version, desc_num, free_head, old_free_head, used_idx, old_used_idx;
	uint8_t used_wrap, old_used_wrap, padding[7];
	struct {
		uint8_t inflight, padding;
		uint16_t next, last, num;
		uint64_t counter;
		uint16_t id, flags;
		uint32_t len;
		uint64_t addr;
	} desc[];
};

static struct flight {
	int fd;
	struct inflight_file *file;
	union {
		uint8_t *bytes;
		struct split_region *split;
		struct packed_region *packed;
	};
	uint8_t *saved;
	uint8_t *saved_ring;
} f;

static int open_all(void **state)
{
	const struct kind *k = *state;

	room_open();
	f.fd = inflight_file_make(FLIGHT_BYTES);
	assert_true(f.fd >= 0);
	f.file = inflight_file_map(f.fd, FLIGHT_BYTES, 0, 2, 256, k->packed, "test", NULL);
	assert_non_null(f.file);
	f.bytes = mmap(NULL, FLIGHT_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, f.fd, 0);
	assert_ptr_not_equal(f.bytes, MAP_FAILED);
	f.saved = malloc(FLIGHT_BYTES);
	f.saved_ring = malloc(RING_BYTES);
	return 0;
}

static int close_all(void **state)
{
	room_close();
	inflight_file_free(f.file);
	munmap(f.bytes, FLIGHT_BYTES);
	free(f.saved);
	free(f.saved_ring);
	close(f.fd);
	return 0;
}

static void begin_tracked(unsigned size, const struct kind *k)
{
	if (vring_is_started(t.ring))
		vring_stop(t.ring);
	memset(f.bytes, 0, FLIGHT_BYTES);
	room_ring(size, k);
	t.cfg.inflight = inflight_of(f.file, 0);
	room_start();
}

/* What is shared, at this moment. */
static void save(void)
{
	memcpy(f.saved, f.bytes, FLIGHT_BYTES);
	memcpy(f.saved_ring, t.guest, RING_BYTES);
}

/* The device ended when it was saved; the front end knows the base of the start only. */
static void crash(void)
{
	vring_free(t.ring);
	memcpy(f.bytes, f.saved, FLIGHT_BYTES);
	memcpy(t.guest, f.saved_ring, RING_BYTES);
	t.ring = vring_new();
	vring_set_fds(t.ring, t.call, t.err);
	inflight_file_free(f.file);
	f.file = inflight_file_map(f.fd, FLIGHT_BYTES, 0, 2, 256, t.cfg.packed, "test", NULL);
	assert_non_null(f.file);
	t.cfg.inflight = inflight_of(f.file, 0);
	room_start();
}

static void crash_now(void)
{
	save();
	crash();
}

/* Chain n has one piece, or two. */
static void add_chain(unsigned n)
{
	const struct vq_buf bufs[] = { { buf_gpa(n), 64, false }, { buf_gpa(n) + 64, 64, true } };

	assert_true(vq_add(&t.q, bufs + n % 2, 2 - n % 2, 0, n));
}

static void expect_chain(const struct vring_chain *c, unsigned n)
{
	uint64_t len = 64;

	assert_int_equal(c->out_cnt + c->in_cnt, 2 - n % 2);
	assert_ptr_equal(c->iov->iov_base, mem_at(t.mem, buf_gpa(n) + n % 2 * 64, &len));
}

static void pop(struct vring_chain *c, unsigned first, unsigned cnt)
{
	unsigned got = 0;

	/* what was in flight comes by itself, the rest with another call */
	for (unsigned n; got < cnt && (n = vring_pop(t.ring, c + got, cnt - got)) > 0;)
		got += n;
	assert_null(vring_error(t.ring));
	assert_int_equal(got, cnt);
	for (unsigned i = 0; i < cnt; i++)
		expect_chain(&c[i], first + i);
}

static void push(const struct vring_chain *c, unsigned cnt)
{
	for (unsigned i = 0; i < cnt; i++)
		vring_push(t.ring, &c[i], i % 3 ? c[i].in_len : 0);
}

static void take(unsigned first, unsigned cnt)
{
	uint64_t opaque;
	uint32_t len;

	for (unsigned i = 0; i < cnt; i++) {
		assert_true(vq_get(&t.q, &opaque, &len));
		assert_int_equal(opaque, first + i);
	}
	get_none();
}

/* Everything from chain @first on, up to @end, is there once and in order, and the ring goes on. */
static void carry_on(unsigned first, unsigned end)
{
	struct vring_chain c[64];

	pop(c, first, end - first);
	assert_int_equal(vring_pop(t.ring, c + (end - first), 1), 0);
	push(c, end - first);
	vring_publish(t.ring);
	take(first, end - first);
	for (unsigned i = 0; i < 60; i++) {
		add_chain(end + i);
		pop(c, end + i, 1);
		push(c, 1);
		vring_publish(t.ring);
		take(end + i, 1);
	}
}

/* A ring that has carried @lead chains, and has 6 more available. */
static void lead_in(const struct kind *k, unsigned lead)
{
	struct vring_chain c;

	begin_tracked(k->packed ? 11 : 16, k);
	for (unsigned i = 0; i < lead; i++) {
		add_chain(i);
		pop(&c, i, 1);
		push(&c, 1);
		vring_publish(t.ring);
		take(i, 1);
	}
	for (unsigned i = 0; i < 6; i++)
		add_chain(lead + i);
}

/* where it ended */

static void goes_on_after_a_crash_in_each_state(void **state)
{
	struct vring_chain c[6];

	for (unsigned lead = 0; lead < 24; lead++) {
		lead_in(*state, lead);
		crash_now();
		carry_on(lead, lead + 6);

		lead_in(*state, lead);
		pop(c, lead, 4);
		crash_now();
		carry_on(lead, lead + 6);

		lead_in(*state, lead);
		pop(c, lead, 6);
		vring_unpop(t.ring, 2);
		crash_now();
		carry_on(lead, lead + 6);

		lead_in(*state, lead);
		pop(c, lead, 5);
		push(c, 3); /* not shown */
		crash_now();
		carry_on(lead, lead + 6);

		lead_in(*state, lead);
		pop(c, lead, 5);
		push(c, 3);
		vring_publish(t.ring);
		crash_now();
		take(lead, 3);
		carry_on(lead + 3, lead + 6);

		lead_in(*state, lead);
		pop(c, lead, 3);
		push(c, 2);
		pop(c + 3, lead + 3, 3); /* fetched while a batch is not yet shown */
		vring_publish(t.ring);
		push(c + 2, 1);
		crash_now();
		take(lead, 2);
		carry_on(lead + 2, lead + 6);
	}
}

static void goes_on_after_crash_upon_crash(void **state)
{
	struct vring_chain c[6];
	unsigned done = 5;

	lead_in(*state, done);
	for (unsigned i = 0; i < 200; i++) {
		pop(c, done, 4);
		if (i % 3 == 0) {
			crash_now();
			continue;
		}
		vring_unpop(t.ring, i % 4);
		if (i % 4 < 3)
			push(c, 1);
		if (i % 5 == 0 || i % 4 == 3) {
			crash_now();
			continue;
		}
		vring_publish(t.ring);
		take(done, 1);
		add_chain(done + 6);
		done++;
		crash_now();
	}
	carry_on(done, done + 6);
}

/* A region as it is between two of the device's stores when it publishes: @before and @after it are
 * known, and the stores are in the order of the specification. */
static void goes_on_after_a_crash_within_publish_split(void **state)
{
	struct vring_chain c[4];

	for (unsigned lead = 0; lead < 20; lead++) {
		for (unsigned step = 0; step < 6; step++) {
			struct split_region *g = (void *)f.saved;
			struct vring_used *used;

			lead_in(*state, lead);
			pop(c, lead, 4);
			push(c, 3);
			save();
			vring_publish(t.ring);
			/* 1, 2, 3: of the list; 4: the index; 5: a mark */
			for (unsigned i = 0; i < step && i < 3; i++) {
				g->desc[c[i].id].next = g->last_batch_head;
				g->last_batch_head = c[i].id;
			}
			used = (void *)(f.saved_ring + t.q.used_gpa);
			if (step >= 4)
				used->idx = (uint16_t)(used->idx + 3);
			if (step == 5)
				g->desc[c[0].id].inflight = 0;
			crash();
			if (step >= 4)
				take(lead, 3);
			carry_on(lead + (step >= 4 ? 3 : 0), lead + 6);
		}
	}
}

static void goes_on_after_a_crash_within_publish_packed(void **state)
{
	struct vring_chain c[4];

	for (unsigned lead = 0; lead < 24; lead++) {
		for (unsigned step = 0; step < 8; step++) {
			struct packed_region *was = (void *)f.saved, *now = f.packed;
			struct vring_packed_desc *ring = (void *)f.saved_ring;
			uint16_t first;

			lead_in(*state, lead);
			pop(c, lead, 4);
			push(c, 3);
			save();
			first = was->used_idx;
			vring_publish(t.ring);
			if (step >= 1) { /* the batch is in the free list */
				for (unsigned i = 0; i < 11; i++)
					was->desc[i].next = now->desc[i].next;
				was->free_head = now->free_head;
			}
			if (step >= 2) {
				was->used_idx = now->used_idx;
				was->used_wrap = now->used_wrap;
			}
			if (step >= 3)
				ring[first].flags = t.q.pdesc[first].flags;
			if (step >= 4)
				was->desc[now->free_head].inflight = 0;
			if (step >= 5)
				for (unsigned i = 0; i < 11; i++)
					was->desc[i].inflight = now->desc[i].inflight;
			if (step >= 6)
				was->old_free_head = now->old_free_head;
			if (step >= 7) {
				was->old_used_idx = now->old_used_idx;
				was->old_used_wrap = now->old_used_wrap;
			}
			crash();
			if (step >= 3)
				take(lead, 3);
			carry_on(lead + (step >= 3 ? 3 : 0), lead + 6);
		}
	}
}

static void forgets_a_chain_that_was_fetched_in_part(void **state)
{
	struct vring_chain c[4];

	for (unsigned step = 1; step < 5; step++) {
		struct packed_region *g = f.packed;

		lead_in(*state, 4);
		pop(c, 4, 2);
		g->desc[g->old_free_head].inflight = 1;
		if (step >= 2)
			g->desc[g->old_free_head].num = 0;
		if (step >= 3)
			g->desc[g->old_free_head].num = 1;
		if (step >= 4)
			g->free_head = g->desc[g->free_head].next;
		crash_now();
		carry_on(4, 10);
	}
}

/* what is in the region */

static void keeps_the_region_that_the_specification_describes_split(void **state)
{
	const struct split_region *g = f.split;
	struct vring_chain c[3];

	lead_in(*state, 0);
	assert_int_equal(g->version, 1);
	assert_int_equal(g->desc_num, 16);
	pop(c, 0, 3);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(g->desc[c[i].id].inflight, 1);
		assert_int_equal(g->desc[c[i].id].counter, i);
	}
	vring_unpop(t.ring, 1);
	assert_int_equal(g->desc[c[2].id].inflight, 0);
	push(c, 2);
	vring_publish(t.ring);
	assert_int_equal(g->desc[c[0].id].inflight, 0);
	assert_int_equal(g->desc[c[1].id].inflight, 0);
	assert_int_equal(g->used_idx, 2);
	assert_int_equal(g->last_batch_head, c[1].id);
	assert_int_equal(g->desc[c[1].id].next, c[0].id);
}

static void keeps_the_region_that_the_specification_describes_packed(void **state)
{
	const struct packed_region *g = f.packed;
	struct vring_chain c[3];

	lead_in(*state, 0);
	assert_int_equal(g->version, 1);
	assert_int_equal(g->desc_num, 11);
	assert_int_equal(g->used_wrap, 1);
	pop(c, 0, 3); /* of 2, 1 and 2 descriptors */
	assert_int_equal(g->desc[0].inflight, 1);
	assert_int_equal(g->desc[0].num, 2);
	assert_int_equal(g->desc[0].last, 1);
	assert_int_equal(g->desc[0].addr, buf_gpa(0));
	assert_int_equal(g->desc[1].addr, buf_gpa(0) + 64);
	assert_int_equal(g->desc[1].len, 64);
	assert_true(g->desc[1].flags & VRING_DESC_F_WRITE);
	assert_int_equal(g->desc[1].id, c[0].id);
	assert_int_equal(g->desc[1].inflight, 0);
	assert_int_equal(g->desc[2].inflight, 1);
	assert_int_equal(g->desc[2].counter, 1);
	assert_int_equal(g->free_head, 5);
	assert_int_equal(g->old_free_head, 5);
	vring_unpop(t.ring, 1);
	assert_int_equal(g->desc[3].inflight, 0);
	assert_int_equal(g->free_head, 3);
	push(c, 2);
	vring_publish(t.ring);
	assert_int_equal(g->desc[0].inflight, 0);
	assert_int_equal(g->desc[2].inflight, 0);
	assert_int_equal(g->used_idx, 3);
	assert_int_equal(g->old_used_idx, 3);
	assert_int_equal(g->old_used_wrap, 1);
	assert_int_equal(g->free_head, 2);
	assert_int_equal(g->old_free_head, 2);
}

static void has_nothing_in_flight_when_stopped(void **state)
{
	struct vring_chain c[6];

	lead_in(*state, 3);
	pop(c, 3, 6);
	push(c, 2);
	vring_stop(t.ring);
	take(3, 2);
	for (unsigned i = 0; i < 16; i++)
		assert_int_equal(
			t.cfg.packed ? f.packed->desc[i].inflight : f.split->desc[i].inflight, 0);
	crash_now();
	carry_on(5, 9);
}

/* A device that returned chains out of order: 0 and 2 of 4 are in flight. */
static void pops_first_what_is_left_of_another_order(void **state)
{
	struct vring_chain c[6];

	lead_in(&split, 0);
	pop(c, 0, 4);
	save();
	struct split_region *g = (void *)f.saved;
	struct vring_used *used = (void *)(f.saved_ring + t.q.used_gpa);

	for (unsigned i = 1; i < 4; i += 2) {
		used->ring[used->idx] = (vring_used_elem_t) { .id = c[i].id };
		used->idx++;
		g->desc[c[i].id].inflight = 0;
	}
	g->used_idx = 2;
	g->desc[c[0].id].counter = 77; /* fetched after the other */
	crash();
	assert_int_equal(vring_pop(t.ring, c, 1), 1);
	expect_chain(c, 2);
	vring_unpop(t.ring, 1);
	assert_false(vring_is_empty(t.ring));
	assert_true(vring_want_kicks(t.ring, true));
	crash_now(); /* given back, it is in flight still */
	assert_int_equal(vring_pop(t.ring, c, 6), 2);
	expect_chain(&c[0], 2);
	expect_chain(&c[1], 0);
	assert_int_equal(vring_pop(t.ring, c + 2, 6), 2);
	expect_chain(&c[2], 4);
	expect_chain(&c[3], 5);
	push(c, 4);
	vring_publish(t.ring);
	for (unsigned i = 0; i < 6; i++)
		get((const unsigned[]) { 1, 3, 2, 0, 4, 5 }[i],
		    (const unsigned[]) { 0, 0, 0, 64, 64, 0 }[i]);
}

/* what the front end may do wrong */

static uint32_t rnd_state = 1;

static uint32_t rnd(void)
{
	rnd_state = rnd_state * 1664525 + 1013904223;
	return rnd_state >> 8;
}

/* Whatever is in it: the ring starts, takes no more chains than it has, and ends. */
static void survives_any_region(void **state)
{
	const struct kind *k = *state;
	struct vring_chain c[64];

	for (unsigned round = 0; round < 3000; round++) {
		const unsigned bytes = k->packed ? 32 + 32 * 11 : 16 + 16 * 16;
		unsigned total = 0, n;

		lead_in(k, round % 20);
		pop(c, round % 20, 4);
		save();
		for (unsigned i = rnd() % 20; i > 0; i--)
			f.saved[rnd() % (rnd() % 2 ? bytes : 64)] =
				(uint8_t)(rnd() % 4 ? rnd() % 17 : rnd());
		crash();
		while ((n = vring_pop(t.ring, c, 64)) > 0) {
			total += n;
			for (unsigned i = 0; i < n; i++)
				vring_push(t.ring, &c[i], 0);
			if (rnd() % 2)
				vring_publish(t.ring);
			assert_true(total <= 3 * 16);
		}
		vring_stop(t.ring);
	}
}

/* In the ring, chains 3, 4, 5 are popped; the front end knows where the first of them is. */
static void expect_new_beginning(const struct kind *k, void (*spoil)(unsigned how), unsigned how)
{
	struct vring_chain c[3];

	lead_in(k, 3);
	pop(c, 3, 3);
	save();
	spoil(how);
	t.cfg.base = k->packed ? (5 | 1u << 15) * 0x10001u : 3;
	crash();
	carry_on(3, 9);
}

static void spoil_split(unsigned how)
{
	struct split_region *g = (void *)f.saved;

	if (how == 0)
		g->version = 2;
	else
		g->desc_num--;
}

static void spoil_packed(unsigned how)
{
	struct packed_region *g = (void *)f.saved;
	unsigned head = 0;

	while (!g->desc[head].inflight || g->desc[head].num != 2)
		head++;
	switch (how) {
	case 0:
		g->version = 2;
		break;
	case 1:
		g->desc_num++;
		break;
	case 2: /* the second descriptor of a chain is the first of another */
		for (unsigned i = 0; i < 11; i++)
			if (g->desc[i].inflight && i != head)
				g->desc[head].next = g->desc[head].last = (uint16_t)i;
		break;
	case 3:
		g->desc[head].last = (uint16_t)head;
		break;
	case 4:
		g->desc[head].num = 0;
		break;
	case 5:
		g->desc[head].num = 12;
		break;
	case 6:
		g->desc[head].next = 11;
		break;
	case 7:
		g->used_idx = 11;
		break;
	case 8:
		g->old_used_idx = 0xffff;
		break;
	default:
		g->old_used_wrap = 2;
	}
}

static void begins_anew_with_a_region_that_cannot_be(void **state)
{
	const struct kind *k = *state;

	for (unsigned how = 0; how < (k->packed ? 10 : 2); how++)
		expect_new_beginning(k, k->packed ? spoil_packed : spoil_split, how);
}

/* As it is when a file was mapped; cmocka puts a handler of its own in front for each case. */
static struct sigaction guard;

static void goes_on_when_the_file_is_cut(void **state)
{
	struct sigaction old;
	const struct kind *k = *state;
	struct vring_chain c[6];
	int fd = memfd_create("inflight", MFD_CLOEXEC);

	assert_int_equal(ftruncate(fd, FLIGHT_BYTES), 0);
	inflight_file_free(f.file);
	f.file = inflight_file_map(fd, FLIGHT_BYTES, 0, 2, 256, k->packed, "test", NULL);
	lead_in(k, 0);
	sigaction(SIGBUS, &guard, &old);
	assert_int_equal(ftruncate(fd, 0), 0);
	pop(c, 0, 6);
	push(c, 6);
	vring_publish(t.ring);
	take(0, 6);
	vring_stop(t.ring);
	sigaction(SIGBUS, &old, NULL);
	close(fd);
}

static void refuses_a_ring_that_the_region_is_not_for(void **state)
{
	const struct kind *k = *state;
	struct vmtap_error err = { 0 };

	room_ring(512, k);
	t.cfg.inflight = inflight_of(f.file, 1);
	assert_int_equal(vring_start(t.ring, t.mem, &t.cfg, "test", &err), -EINVAL);
	assert_non_null(strstr(err.reason, "in-flight"));
	room_ring(128, &(struct kind) { .packed = !k->packed });
	t.cfg.inflight = inflight_of(f.file, 1);
	assert_int_equal(vring_start(t.ring, t.mem, &t.cfg, "test", &err), -EINVAL);
}

/* files */

static void lays_regions_out_by_64_bytes(void **state)
{
	assert_int_equal(inflight_size(1, 1, false), 64);
	assert_int_equal(inflight_size(1, 3, false), 64);
	assert_int_equal(inflight_size(1, 4, false), 128);
	assert_int_equal(inflight_size(3, 256, false), 3 * (256 * 16 + 64));
	assert_int_equal(inflight_size(1, 1, true), 64);
	assert_int_equal(inflight_size(2, 256, true), 2 * (256 * 32 + 64));
	assert_int_equal(inflight_size(257, 32768, true), 257ull * (32768 * 32 + 64));
	assert_non_null(inflight_of(f.file, 1));
	assert_null(inflight_of(f.file, 2));
	assert_null(inflight_of(NULL, 0));
}

static void makes_files_that_cannot_be_shrunk(void **state)
{
	int fd = inflight_file_make(5000);

	assert_true(fd >= 0);
	assert_int_equal(lseek(fd, 0, SEEK_END), 5000);
	assert_int_equal(ftruncate(fd, 0), -1);
	assert_int_equal(errno, EPERM);
	close(fd);
}

static void expect_unmappable(int fd, uint64_t size, uint64_t offset, unsigned queues, unsigned n)
{
	struct vmtap_error err = { 0 };

	assert_null(inflight_file_map(fd, size, offset, queues, n, false, "vm0", &err));
	assert_true(err.code > 0);
	assert_string_equal(err.object, "vm0");
}

static void refuses_files_that_do_not_hold_it(void **state)
{
	const uint64_t need = inflight_size(2, 256, false);
	struct inflight_file *file;

	expect_unmappable(f.fd, need - 1, 0, 2, 256);
	expect_unmappable(f.fd, need, FLIGHT_BYTES - need + 8, 2, 256);
	expect_unmappable(f.fd, need, UINT64_MAX - 7, 2, 256);
	expect_unmappable(f.fd, UINT64_MAX, 8, 2, 256);
	expect_unmappable(f.fd, need, 4, 2, 256);
	expect_unmappable(f.fd, need, 0, 0, 256);
	expect_unmappable(f.fd, need, 0, 2, 0);
	expect_unmappable(f.fd, FLIGHT_BYTES, 0, 2, 32769);
	expect_unmappable(t.call, need, 0, 2, 256);
	expect_unmappable(-1, need, 0, 2, 256);
	file = inflight_file_map(f.fd, need, FLIGHT_BYTES - need, 2, 256, false, "vm0", NULL);
	assert_non_null(file);
	inflight_file_free(file);
}

#define TRACKED(fn, k)                                                              \
	{                                                                           \
#fn " (" #k ")", fn, open_all, close_all, (void *)(uintptr_t) & (k) \
	}
#define EITHER(fn) TRACKED(fn, split), TRACKED(fn, packed)

static const struct CMUnitTest tests[] = {
	EITHER(goes_on_after_a_crash_in_each_state),
	EITHER(goes_on_after_crash_upon_crash),
	TRACKED(goes_on_after_a_crash_within_publish_split, split),
	TRACKED(goes_on_after_a_crash_within_publish_packed, packed),
	TRACKED(forgets_a_chain_that_was_fetched_in_part, packed),
	TRACKED(keeps_the_region_that_the_specification_describes_split, split),
	TRACKED(keeps_the_region_that_the_specification_describes_packed, packed),
	EITHER(has_nothing_in_flight_when_stopped),
	TRACKED(pops_first_what_is_left_of_another_order, split),
	EITHER(survives_any_region),
	EITHER(begins_anew_with_a_region_that_cannot_be),
	EITHER(goes_on_when_the_file_is_cut),
	EITHER(refuses_a_ring_that_the_region_is_not_for),
	TRACKED(lays_regions_out_by_64_bytes, split),
	TRACKED(makes_files_that_cannot_be_shrunk, split),
	TRACKED(refuses_files_that_do_not_hold_it, split),
};

int main(void)
{
	void *state = (void *)(uintptr_t)&split;

	if (open_all(&state) || sigaction(SIGBUS, NULL, &guard) || close_all(NULL))
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
