/* SPDX-License-Identifier: MIT */
/*
 * The tests' own virtqueue driver against a straightforward device: one chain
 * at a time, nothing clever.
 */
#include "unit.h"

#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "vq-driver.h"

#define MEM_SIZE (4u << 20)
#define RING_GPA 0x10000u
#define TABLES_GPA 0x200000u /* indirect tables, 256 bytes each */
#define BUFS_GPA 0x300000u   /* 32 bytes a buffer */
#define BUFS_MAX 4u
#define HELD_MAX 256u

struct chain {
	uint16_t id, desc_cnt;
	unsigned cnt;
	struct vq_buf bufs[2 * BUFS_MAX];
};

/* The device: adds one to each byte of the readable part, into the writable one. */
struct device {
	struct vq *q;	     /* for the layout alone */
	uint16_t next, used; /* split: counters; packed: places */
	bool wrap, used_wrap;
	struct chain held[HELD_MAX];
	unsigned held_cnt;
};

static uint8_t *mem;
static struct vq q;
static struct device dev;

static bool fetch_packed_table(uint64_t gpa, uint32_t len, struct chain *c)
{
	const struct vring_packed_desc *d = (void *)(mem + gpa);

	for (uint32_t i = 0; i < len / 16; i++)
		c->bufs[c->cnt++] = (struct vq_buf) {
			.gpa = d[i].addr,
			.len = d[i].len,
			.in = d[i].flags & VRING_DESC_F_WRITE,
		};
	return true;
}

static bool fetch_packed(struct device *d, struct chain *c)
{
	struct vring_packed_desc *p;
	uint16_t flags;

	c->cnt = c->desc_cnt = 0;
	do {
		p = &d->q->pdesc[d->next];
		flags = __atomic_load_n(&p->flags, __ATOMIC_ACQUIRE);
		if (!c->desc_cnt && ((flags >> 7 & 1) != d->wrap || (flags >> 15 & 1) == d->wrap))
			return false;
		c->id = p->id;
		if (flags & VRING_DESC_F_INDIRECT)
			fetch_packed_table(p->addr, p->len, c);
		else
			c->bufs[c->cnt++] =
				(struct vq_buf) { p->addr, p->len, flags & VRING_DESC_F_WRITE };
		c->desc_cnt++;
		if (++d->next == d->q->size) {
			d->next = 0;
			d->wrap = !d->wrap;
		}
	} while (flags & VRING_DESC_F_NEXT);
	return true;
}

static bool fetch_split(struct device *d, struct chain *c)
{
	const struct vring_desc *table = d->q->desc;
	uint16_t i;

	if (__atomic_load_n(&d->q->avail->idx, __ATOMIC_ACQUIRE) == d->next)
		return false;
	i = c->id = d->q->avail->ring[d->next++ % d->q->size];
	c->cnt = 0;
	if (table[i].flags & VRING_DESC_F_INDIRECT) {
		table = (void *)(mem + table[i].addr);
		i = 0;
	}
	for (;; i = table[i].next) {
		c->bufs[c->cnt++] = (struct vq_buf) { table[i].addr, table[i].len,
						      table[i].flags & VRING_DESC_F_WRITE };
		if (!(table[i].flags & VRING_DESC_F_NEXT))
			return true;
	}
}

static uint32_t serve(const struct chain *c)
{
	uint8_t text[32 * BUFS_MAX];
	uint32_t read = 0, written = 0;

	for (unsigned i = 0; i < c->cnt; i++) {
		uint8_t *p = mem + c->bufs[i].gpa;

		for (uint32_t k = 0; k < c->bufs[i].len; k++)
			if (!c->bufs[i].in)
				text[read++] = p[k];
			else if (written < read)
				p[k] = (uint8_t)(text[written++] + 1);
	}
	return written;
}

/* @skip: chains before it that it stands for, too (IN_ORDER), and their descriptors */
static void give(struct device *d, const struct chain *c, uint32_t len, unsigned skip,
		 unsigned skip_desc)
{
	if (!d->q->packed) {
		d->q->used->ring[d->used % d->q->size] = (struct vring_used_elem) { c->id, len };
		d->used = (uint16_t)(d->used + 1 + skip);
		__atomic_store_n(&d->q->used->idx, d->used, __ATOMIC_RELEASE);
		return;
	}
	struct vring_packed_desc *p = &d->q->pdesc[d->used];

	p->id = c->id;
	p->len = len;
	__atomic_store_n(&p->flags, (uint16_t)(d->used_wrap ? 1u << 7 | 1u << 15 : 0),
			 __ATOMIC_RELEASE);
	d->used = (uint16_t)(d->used + c->desc_cnt + skip_desc);
	if (d->used >= d->q->size) {
		d->used = (uint16_t)(d->used - d->q->size);
		d->used_wrap = !d->used_wrap;
	}
}

/* Fetch up to @hold chains, then return them: in order, or any order (@shuffle). */
static unsigned run_device(struct device *d, unsigned hold, bool shuffle)
{
	unsigned done = 0;

	while (d->held_cnt < hold &&
	       (d->q->packed ? fetch_packed : fetch_split)(d, &d->held[d->held_cnt]))
		d->held_cnt++;
	for (; d->held_cnt; d->held_cnt--, done++) {
		unsigned i = shuffle ? (unsigned)rand() % d->held_cnt : 0;
		struct chain *c = &d->held[i];

		give(d, c, serve(c), 0, 0);
		memmove(c, c + 1, (d->held_cnt - i - 1) * sizeof(*c));
	}
	return done;
}

/* The driver's side of the tests */

static uint32_t len_of(uint32_t number)
{
	return 5 + number * 7 % 90;
}

static uint8_t byte_of(uint32_t number, uint32_t i)
{
	return (uint8_t)(number * 31 + i * 3);
}

/* each in flight has a slot of memory of its own, by @number modulo 512 */
static bool add(uint32_t number, bool indirect)
{
	uint64_t gpa = BUFS_GPA + number % 512 * 256;
	uint32_t len = len_of(number), cnt = 0;
	struct vq_buf bufs[2 * BUFS_MAX];
	uint32_t out_cnt = q.size < 4 && !indirect ? 1 : 1 + number % BUFS_MAX, each, in_cnt;

	if (q.size == 1 && !indirect)
		return false;
	in_cnt = out_cnt;
	if (!indirect && out_cnt + in_cnt > q.size)
		in_cnt = out_cnt = 1;
	each = (len + out_cnt - 1) / out_cnt;
	for (uint32_t i = 0; i < len; i++)
		mem[gpa + i] = byte_of(number, i);
	for (uint32_t i = 0; i < len; i += each)
		bufs[cnt++] = (struct vq_buf) { gpa + i, len - i < each ? len - i : each, false };
	for (uint32_t i = 0; i < len; i += each)
		bufs[cnt++] =
			(struct vq_buf) { gpa + 128 + i, len - i < each ? len - i : each, true };
	return vq_add(&q, bufs, cnt, indirect ? TABLES_GPA + number % 512 * 256 : 0, number);
}

static void check(uint64_t number, uint32_t len)
{
	const uint8_t *p = mem + BUFS_GPA + number % 512 * 256 + 128;

	assert_int_equal(len, len_of((uint32_t)number));
	for (uint32_t i = 0; i < len; i++)
		assert_int_equal(p[i], (uint8_t)(byte_of((uint32_t)number, i) + 1));
}

static void begin(unsigned size, bool packed, bool event_idx, bool in_order)
{
	if (q.slots)
		vq_fini(&q);
	vq_init(&q, mem, RING_GPA, size, packed, event_idx);
	q.in_order = in_order;
	dev = (struct device) { .q = &q, .wrap = true, .used_wrap = true };
}

static int setup(void **state)
{
	mem = aligned_alloc(4096, MEM_SIZE);
	memset(mem, 0xee, MEM_SIZE);
	srand(1);
	return 0;
}

static int teardown(void **state)
{
	if (q.slots)
		vq_fini(&q);
	q.slots = NULL;
	free(mem);
	return 0;
}

static void all_come_back(unsigned size, bool packed, bool indirect, bool in_order)
{
	static bool seen[4000];
	uint32_t sent = 0, got = 0, len;
	uint64_t number;

	memset(seen, 0, sizeof(seen));
	begin(size, packed, false, in_order);
	while (got < 4000) {
		while (sent < 4000 && sent - got < 200 && add(sent, indirect))
			sent++;
		assert_true(sent > got);
		run_device(&dev, 1 + (unsigned)rand() % HELD_MAX, !in_order);
		for (; vq_get(&q, &number, &len); got++) {
			assert_false(seen[number]);
			seen[number] = true;
			if (in_order)
				assert_int_equal(number, got);
			check(number, len);
		}
	}
	assert_int_equal(q.free_cnt, size);
}

static void every_chain_comes_back_once(void **state)
{
	static const unsigned sizes[] = { 2, 4, 8, 64, 256, 1024 };

	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		for (unsigned kind = 0; kind < 8; kind++)
			all_come_back(sizes[i], kind & 1, kind & 2, kind & 4);
}

static void packed_rings_have_any_size(void **state)
{
	for (unsigned size = 1; size < 24; size++) {
		all_come_back(size, true, true, false);
		if (size > 1)
			all_come_back(size, true, false, false);
	}
}

static void a_full_ring_takes_nothing(void **state)
{
	for (unsigned packed = 0; packed < 2; packed++) {
		struct vq_buf bufs[3] = { { BUFS_GPA, 1, false }, { BUFS_GPA, 1, false } };
		uint64_t number;
		uint32_t len;

		begin(8, packed, false, false);
		for (unsigned i = 0; i < 8; i += 2)
			assert_true(vq_add(&q, bufs, 2, 0, i));
		assert_false(vq_add(&q, bufs, 1, 0, 9));
		assert_false(vq_get(&q, &number, &len));
		run_device(&dev, 1, false);
		assert_false(vq_add(&q, bufs, 1, 0, 9));
		assert_true(vq_get(&q, &number, &len));
		assert_int_equal(number, 0);
		assert_false(vq_add(&q, bufs, 3, 0, 9));
		assert_true(vq_add(&q, bufs, 2, 0, 9));
	}
}

/* IN_ORDER: the device writes one used element for many */
static void a_batch_stands_for_all_before(void **state)
{
	for (unsigned packed = 0; packed < 2; packed++) {
		uint32_t sent = 0, got = 0, len;
		uint64_t number;

		begin(16, packed, false, true);
		while (got < 500) {
			unsigned skip_desc = 0;

			while (add(sent, true))
				sent++;
			for (unsigned i = 0; i < 5; i++)
				assert_true(
					(packed ? fetch_packed : fetch_split)(&dev, &dev.held[i]));
			for (unsigned i = 0; i < 4; i++)
				skip_desc += dev.held[i].desc_cnt;
			give(&dev, &dev.held[4], 77, 4, skip_desc);
			for (unsigned i = 0; i < 5; i++, got++) {
				assert_true(vq_get(&q, &number, &len));
				assert_int_equal(number, got);
				assert_int_equal(len, i == 4 ? 77 : len_of(got));
			}
			assert_false(vq_get(&q, &number, &len));
		}
	}
}

/* Notification */

static void wants_kick_as_flags_say(void **state)
{
	begin(8, false, false, false);
	add(0, true);
	assert_true(vq_needs_kick(&q));
	q.used->flags = VRING_USED_F_NO_NOTIFY;
	add(1, true);
	assert_false(vq_needs_kick(&q));

	begin(8, true, false, false);
	add(0, true);
	assert_true(vq_needs_kick(&q));
	q.device_event->flags = VRING_PACKED_EVENT_FLAG_DISABLE;
	add(1, true);
	assert_false(vq_needs_kick(&q));
}

/* kicks only when the place that the device named is passed, around the ring and again */
static void wants_kick_at_the_place_named(void **state)
{
	for (unsigned packed = 0; packed < 2; packed++) {
		uint32_t number = 0, len;
		uint64_t opaque;

		begin(8, packed, true, false);
		if (packed)
			q.device_event->flags = VRING_PACKED_EVENT_FLAG_DESC;
		for (unsigned round = 0; round < 40000; round++) {
			unsigned ahead = round % 5;

			/* chain number + ahead is to be kicked for */
			if (packed)
				q.device_event->off_wrap =
					(uint16_t)((number + ahead) % 8 |
						   !((number + ahead) / 8 % 2) << 15);
			else
				*(uint16_t *)(void *)&q.used->ring[8] = (uint16_t)(number + ahead);
			for (unsigned i = 0; i < 5; i++, number++) {
				struct vq_buf buf = { BUFS_GPA, 1, false };

				assert_true(vq_add(&q, &buf, 1, 0, 0));
				assert_int_equal(vq_needs_kick(&q), i == ahead);
			}
			run_device(&dev, 8, false);
			while (vq_get(&q, &opaque, &len))
				;
		}
	}
}

static void calls_are_forgone_and_asked_for(void **state)
{
	begin(8, false, false, false);
	vq_want_calls(&q, false);
	assert_int_equal(q.avail->flags, VRING_AVAIL_F_NO_INTERRUPT);
	add(0, true);
	assert_false(vq_want_calls(&q, true));
	run_device(&dev, 1, false);
	assert_true(vq_want_calls(&q, true));
	assert_int_equal(q.avail->flags, 0);

	begin(8, false, true, false);
	vq_want_calls(&q, false);
	assert_false(vring_need_event(q.avail->ring[8], 1, 0));
	vq_want_calls(&q, true);
	assert_true(vring_need_event(q.avail->ring[8], 1, 0));

	begin(8, true, true, false);
	vq_want_calls(&q, false);
	assert_int_equal(q.driver_event->flags, VRING_PACKED_EVENT_FLAG_DISABLE);
	vq_want_calls(&q, true);
	assert_int_equal(q.driver_event->flags, VRING_PACKED_EVENT_FLAG_DESC);
	assert_int_equal(q.driver_event->off_wrap, 1 << 15);
}

/* With a device in another thread: who sleeps is woken */

static int kick_fd, call_fd;

#define ECHO_CNT 30000

static char no_call[] = "cannot call", no_kick[] = "a kick was lost";

static bool sleep_on(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	uint64_t value;

	return poll(&p, 1, 10000) == 1 && read(fd, &value, sizeof(value)) == sizeof(value);
}

static void device_wants_kick(struct device *d)
{
	if (!d->q->packed) {
		__atomic_store_n((uint16_t *)(void *)&d->q->used->ring[d->q->size], d->next,
				 __ATOMIC_RELAXED);
	} else {
		d->q->device_event->off_wrap = (uint16_t)(d->next | d->wrap << 15);
		__atomic_store_n(&d->q->device_event->flags,
				 d->q->event_idx ? VRING_PACKED_EVENT_FLAG_DESC : 0,
				 __ATOMIC_RELEASE);
	}
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
}

/* was the place that the driver named passed, since the used index was @old? */
static bool driver_wants_call(struct device *d, uint16_t old, bool old_wrap)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!d->q->packed && !d->q->event_idx)
		return !__atomic_load_n(&d->q->avail->flags, __ATOMIC_RELAXED);
	if (!d->q->packed)
		return vring_need_event(__atomic_load_n(&d->q->avail->ring[d->q->size],
							__ATOMIC_RELAXED),
					d->used, old);
	uint16_t flags = __atomic_load_n(&d->q->driver_event->flags, __ATOMIC_ACQUIRE);
	uint16_t at = __atomic_load_n(&d->q->driver_event->off_wrap, __ATOMIC_RELAXED);
	uint16_t place = at & 0x7fff;

	if (flags != VRING_PACKED_EVENT_FLAG_DESC)
		return flags == VRING_PACKED_EVENT_FLAG_ENABLE;
	if (at >> 15 != d->used_wrap)
		place = (uint16_t)(place - d->q->size);
	if (old_wrap != d->used_wrap)
		old = (uint16_t)(old - d->q->size);
	return vring_need_event(place, d->used, old);
}

static void *device_thread(void *arg)
{
	struct device *d = arg;
	uint64_t one = 1;
	unsigned done = 0;

	while (done < ECHO_CNT) {
		uint16_t old = d->used;
		bool old_wrap = d->used_wrap;
		unsigned n = run_device(d, 3, false);

		done += n;
		if (n && driver_wants_call(d, old, old_wrap) && write(call_fd, &one, 8) != 8)
			return no_call;
		if (n || done == ECHO_CNT)
			continue;
		device_wants_kick(d);
		n = run_device(d, 1, false);
		done += n;
		if (n) {
			if (write(call_fd, &one, 8) != 8)
				return no_call;
			continue;
		}
		if (!sleep_on(kick_fd))
			return no_kick;
	}
	return NULL;
}

static void echo_with_thread(unsigned size, bool packed, bool event_idx)
{
	uint32_t sent = 0, got = 0, len;
	uint64_t number, one = 1;
	pthread_t thread;
	void *why;

	begin(size, packed, event_idx, false);
	kick_fd = eventfd(0, 0);
	call_fd = eventfd(0, 0);
	assert_int_equal(pthread_create(&thread, NULL, device_thread, &dev), 0);
	while (got < ECHO_CNT) {
		while (sent < ECHO_CNT && add(sent, false))
			sent++;
		if (vq_needs_kick(&q))
			assert_int_equal(write(kick_fd, &one, 8), 8);
		vq_want_calls(&q, false);
		for (; vq_get(&q, &number, &len); got++)
			check(number, len);
		if (got < ECHO_CNT && q.out_cnt && !vq_want_calls(&q, true) && !sleep_on(call_fd))
			fail_msg("a call was lost");
	}
	pthread_join(thread, &why);
	assert_null(why);
	close(kick_fd);
	close(call_fd);
}

static void no_wake_up_is_lost(void **state)
{
	for (unsigned kind = 0; kind < 4; kind++) {
		echo_with_thread(8, kind & 1, kind & 2);
		echo_with_thread(256, kind & 1, kind & 2);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_chain_comes_back_once),
		cmocka_unit_test(packed_rings_have_any_size),
		cmocka_unit_test(a_full_ring_takes_nothing),
		cmocka_unit_test(a_batch_stands_for_all_before),
		cmocka_unit_test(wants_kick_as_flags_say),
		cmocka_unit_test(wants_kick_at_the_place_named),
		cmocka_unit_test(calls_are_forgone_and_asked_for),
		cmocka_unit_test(no_wake_up_is_lost),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
