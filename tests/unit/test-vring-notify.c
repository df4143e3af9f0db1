/* SPDX-License-Identifier: MIT */
/* Kicks and calls: who is woken when, and that nobody sleeps over work. */
#include "vring-test.h"

#include <signal.h>
#include <sys/socket.h>

/* calls */

static void serve_many(unsigned cnt)
{
	struct vring_chain c[8];

	assert_int_equal(vring_pop(t.ring, c, cnt), cnt);
	for (unsigned i = 0; i < cnt; i++)
		vring_push(t.ring, &c[i], 0);
	vring_publish(t.ring);
}

static void take(unsigned cnt)
{
	uint64_t opaque;
	uint32_t len;

	for (unsigned i = 0; i < cnt; i++)
		assert_true(vq_get(&t.q, &opaque, &len));
}

static void calls_once_a_batch(void **state)
{
	begin(8, *state);
	for (unsigned round = 0; round < 10; round++) {
		for (unsigned i = 0; i < 5; i++)
			add(i, 64, true);
		vring_publish(t.ring);
		assert_int_equal(fd_count(t.call), 0);
		serve_many(5);
		assert_int_equal(fd_count(t.call), 1);
		vring_publish(t.ring);
		assert_int_equal(fd_count(t.call), 0);
		take(5);
	}
}

static void calls_are_counted_where_somebody_is_called(void **state)
{
	begin(8, *state);
	for (unsigned i = 0; i < 10; i++) {
		add(0, 64, true);
		serve_many(1);
		take(1);
	}
	assert_int_equal(fd_count(t.call), 10);
	assert_int_equal(vring_calls(t.ring), 10);
	vring_set_fds(t.ring, -1, -1);
	add(0, 64, true);
	serve_many(1);
	vring_call(t.ring);
	take(1);
	assert_int_equal(vring_calls(t.ring), 10);
}

/* What the driver added and did not get back, wherever the ring is, and whatever we hold of it. */
static void knows_how_much_is_available(void **state)
{
	struct vring_chain c[8];

	assert_int_equal(vring_available(t.ring), 0); /* not started */
	begin(8, *state);
	for (unsigned round = 0; round < 50; round++) {
		assert_int_equal(vring_available(t.ring), 0);
		for (unsigned i = 0; i < 8; i++) {
			assert_true(add(i, 64, true));
			assert_int_equal(vring_available(t.ring), i + 1);
		}
		assert_int_equal(vring_pop(t.ring, c, 5), 5);
		assert_int_equal(vring_available(t.ring), 8);
		for (unsigned i = 0; i < 3; i++)
			vring_push(t.ring, &c[i], 0);
		vring_unpop(t.ring, 2);
		assert_int_equal(vring_available(t.ring), 8);
		vring_publish(t.ring);
		assert_int_equal(vring_available(t.ring), 5);
		take(3);
		serve_many(5);
		take(5);
	}
	add(0, 64, true);
	vring_stop(t.ring);
	assert_int_equal(vring_available(t.ring), 0);
}

/* An index beyond the ring is the ring's error when it is popped; until then it is no more than the ring has. */
static void a_driver_that_lies_about_it_makes_no_more_than_the_ring(void **state)
{
	begin(8, *state);
	memset(t.guest + t.q.avail_gpa + 2, 0x55, 2);
	assert_in_range(vring_available(t.ring), 0, 8);
	memset(t.guest, 0x80, GUEST_SIZE);
	assert_in_range(vring_available(t.ring), 0, 8);
}

/* The borrower is the device now: what it has not published is still available. */
static void knows_it_of_a_ring_that_is_lent(void **state)
{
	struct vmtap_vhost_ring where;
	uint16_t *used;

	begin(8, *state);
	for (unsigned i = 0; i < 6; i++)
		add(i, 64, true);
	assert_true(vring_lend(t.ring, &where));
	assert_int_equal(vring_available(t.ring), 6);
	used = (uint16_t *)(void *)(t.guest + t.q.used_gpa + 2);
	__atomic_store_n(used, 4, __ATOMIC_RELEASE);
	assert_int_equal(vring_available(t.ring), 2);
	vring_take_back(t.ring);
	assert_int_equal(vring_available(t.ring), 2);
}

static void does_not_call_who_does_not_want_it(void **state)
{
	begin(8, *state);
	add(0, 64, true);
	serve_many(1);
	fd_count(t.call); /* the first may come anyway */
	take(1);
	vq_want_calls(&t.q, false);
	for (unsigned i = 0; i < 50; i++) {
		add(0, 64, true);
		serve_many(1);
		assert_int_equal(fd_count(t.call), 0);
		take(1);
	}
	assert_false(vq_want_calls(&t.q, true));
	add(0, 64, true);
	serve_many(1);
	assert_int_equal(fd_count(t.call), 1);
}

/* A ring of @size in which @start chains were carried already, and calls were made. */
static void begin_at(unsigned size, const struct kind *k, unsigned start)
{
	begin(size, k);
	for (unsigned i = 0; i < start; i++) {
		add(0, 64, true);
		serve_many(1);
		take(1);
	}
	fd_count(t.call);
}

/* The driver wants a call for the chain that is @ahead of the @start'th. */
static void name_place(const struct kind *k, unsigned size, unsigned start, int ahead)
{
	unsigned at = start + 2 * size + (unsigned)ahead;

	if (!k->packed) {
		t.q.avail->ring[size] = (uint16_t)(start + (unsigned)ahead);
		return;
	}
	t.q.driver_event->off_wrap = (uint16_t)(at % size | (at / size % 2 ? 0u : 1u) << 15);
	t.q.driver_event->flags = VRING_PACKED_EVENT_FLAG_DESC;
}

/* Every place that can be named, for every batch: called when it is in the batch, else not. */
static void calls_for_the_place_that_the_driver_named(void **state)
{
	const struct kind *k = *state;
	const int size = k->packed ? 3 : 4;

	for (int start = 1; start <= 2 * size; start++) {
		for (int i = 0; i < size * 3 * size; i++) {
			int batch = 1 + i % size, ahead = i / size - size;

			begin_at((unsigned)size, k, (unsigned)start);
			name_place(k, (unsigned)size, (unsigned)start, ahead);
			for (int n = 0; n < batch; n++)
				add((unsigned)n, 64, true);
			serve_many((unsigned)batch);
			assert_int_equal(fd_count(t.call), ahead >= 0 && ahead < batch);
		}
	}
}

/* Around the end of the index's 16 bits. */
static void calls_across_the_wrap_of_the_index(void **state)
{
	for (unsigned event = 65530; event < 65536 + 6; event++) {
		unsigned batch = 6, before = 65533;

		room_ring(8, &split_event);
		vring_stop(t.ring);
		t.cfg.base = t.q.next_avail = t.q.last_used = (uint16_t)(before - 1);
		t.q.avail->idx = t.q.used->idx = (uint16_t)(before - 1);
		room_start();
		add(0, 64, true);
		serve_many(1);
		take(1);
		fd_count(t.call);
		t.q.avail->ring[8] = (uint16_t)event;
		for (unsigned i = 0; i < batch; i++)
			add(i, 64, true);
		serve_many(batch);
		assert_int_equal(fd_count(t.call), event >= before && event < before + batch);
	}
}

static void calls_first_after_a_start(void **state)
{
	const struct kind *k = *state;

	begin_at(8, k, 3);
	if (k->packed)
		t.q.driver_event->off_wrap = 2 | 1u << 15; /* passed long ago */
	else
		t.q.avail->ring[8] = 2;
	t.q.driver_event->flags = k->packed ? VRING_PACKED_EVENT_FLAG_DESC : 0;
	t.cfg.base = vring_stop(t.ring);
	room_start();
	for (unsigned i = 0; i < 3; i++) {
		add(0, 64, true);
		serve_many(1);
		assert_int_equal(fd_count(t.call), i == 0);
	}
}

/* kicks */

static void asks_for_kicks_and_forgoes_them(void **state)
{
	const struct kind *k = *state;

	begin(8, k);
	for (unsigned i = 0; i < 40; i++) {
		assert_false(vring_want_kicks(t.ring, true));
		add(0, 64, true);
		assert_true(vq_needs_kick(&t.q));
		vring_want_kicks(t.ring, false);
		add(1, 64, true);
		assert_false(vq_needs_kick(&t.q));
		serve_many(1);
		add(2, 64, true);
		assert_false(vq_needs_kick(&t.q));
		serve_many(2);
		take(3);
	}
}

static void says_what_came_before_it_asked(void **state)
{
	begin(8, *state);
	vring_want_kicks(t.ring, false);
	add(0, 64, true);
	vq_needs_kick(&t.q);
	assert_true(vring_want_kicks(t.ring, true));
	serve_many(1);
	assert_false(vring_want_kicks(t.ring, true));
	assert_true(vring_is_empty(t.ring));
	add(1, 64, true);
	assert_false(vring_is_empty(t.ring));
}

/*
 * Every sequence of eight steps of either side. Steps of one side are whole calls; what may lie
 * between them is what is tried here. A side that went to sleep is woken by a kick or a call only.
 */
struct sleepers {
	bool kicked, asleep, drained; /* the device */
	bool driver_asleep;
	unsigned in, out;
};

static void device_step(struct sleepers *s)
{
	struct vring_chain c;

	if (s->asleep && !s->kicked)
		return;
	if (s->asleep) {
		s->asleep = s->kicked = s->drained = false;
		vring_want_kicks(t.ring, false);
	} else if (!s->drained && vring_pop(t.ring, &c, 1)) {
		vring_push(t.ring, &c, 0);
		vring_publish(t.ring);
	} else if (!s->drained) {
		s->drained = true;
	} else if (vring_want_kicks(t.ring, true)) {
		s->drained = false;
		vring_want_kicks(t.ring, false);
	} else {
		s->asleep = true;
	}
}

static void driver_step(struct sleepers *s, bool check)
{
	uint64_t opaque;
	uint32_t len;

	if (s->driver_asleep && !fd_count(t.call))
		return;
	s->driver_asleep = false;
	if (check) {
		if (vq_needs_kick(&t.q))
			s->kicked = true;
		while (vq_get(&t.q, &opaque, &len))
			s->out++;
		if (s->in > s->out && !vq_want_calls(&t.q, true))
			s->driver_asleep = true;
	} else if (add(0, 64, true)) {
		s->in++;
	}
}

static void leaves_nobody_asleep_over_work(void **state)
{
	const struct kind *k = *state;

	for (unsigned steps = 0; steps < 6561; steps++) {
		struct sleepers s = { 0 };

		begin(k->packed ? 3 : 2, k);
		for (unsigned i = 0, left = steps; i < 8; i++, left /= 3) {
			if (left % 3 == 2)
				device_step(&s);
			else
				driver_step(&s, left % 3);
		}
		/* what is on its way ends when both go on; the driver looks for kicks after adding */
		for (unsigned i = 0; i < 40; i++) {
			driver_step(&s, true);
			device_step(&s);
		}
		assert_int_equal(s.in, s.out);
	}
}

/* descriptors */

static void does_without_descriptors(void **state)
{
	begin(8, *state);
	vring_set_fds(t.ring, -1, -1);
	add(0, 64, true);
	serve_many(1);
	take(1);
	vring_set_broken(t.ring, "no matter");
	assert_int_equal(fd_count(t.call), 0);
	assert_int_equal(fd_count(t.err), 0);
}

static volatile sig_atomic_t pipes_broken;

static void on_sigpipe(int sig)
{
	pipes_broken++;
}

static void call_through(int fd)
{
	vring_set_fds(t.ring, fd, -1);
	add(0, 64, true);
	serve_many(1);
	take(1);
}

static void calls_through_anything_and_survives_its_end(void **state)
{
	struct sigaction act = { .sa_handler = on_sigpipe }, old;
	uint64_t one = 0;
	int pair[2];

	begin(8, *state);
	pipes_broken = 0;
	sigaction(SIGPIPE, &act, &old);
	for (unsigned i = 0; i < 2; i++) {
		if (i)
			assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
		else
			assert_int_equal(pipe2(pair, O_NONBLOCK), 0);
		call_through(pair[1]);
		assert_int_equal(read(pair[0], &one, sizeof(one)), sizeof(one));
		assert_int_equal(one, 1);
		close(pair[0]);
		call_through(pair[1]);
		close(pair[1]);
	}
	assert_int_equal(pipes_broken, 0);
	raise(SIGPIPE); /* and the signal is as it was */
	assert_int_equal(pipes_broken, 1);
	sigaction(SIGPIPE, &old, NULL);
}

/* blank rings */

static void is_blank_until_the_driver_wrote_it(void **state)
{
	begin(8, *state);
	assert_true(vring_is_blank(t.ring));
	vring_want_kicks(t.ring, true);
	assert_true(vring_is_blank(t.ring));
	add(0, 64, true);
	assert_false(vring_is_blank(t.ring));
	serve_many(1);
	assert_false(vring_is_blank(t.ring));
}

static const struct CMUnitTest tests[] = {
	BOTH(calls_once_a_batch),
	BOTH(calls_are_counted_where_somebody_is_called),
	ALL(does_not_call_who_does_not_want_it),
	CASE(calls_for_the_place_that_the_driver_named, split_event),
	CASE(calls_for_the_place_that_the_driver_named, packed_event),
	CASE(calls_across_the_wrap_of_the_index, split_event),
	CASE(calls_first_after_a_start, split_event),
	CASE(calls_first_after_a_start, packed_event),
	ALL(asks_for_kicks_and_forgoes_them),
	ALL(says_what_came_before_it_asked),
	ALL(leaves_nobody_asleep_over_work),
	ALL(is_blank_until_the_driver_wrote_it),
	BOTH(knows_how_much_is_available),
	BOTH(a_driver_that_lies_about_it_makes_no_more_than_the_ring),
	CASE(knows_it_of_a_ring_that_is_lent, split_event),
	BOTH(does_without_descriptors),
	BOTH(calls_through_anything_and_survives_its_end),
};

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
