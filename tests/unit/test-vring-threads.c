/* SPDX-License-Identifier: MIT */
/*
 * A driver and a device in a thread each, that sleep when they have nothing to do.
 *
 * Both ask for a wake-up, look once more, and wait without a time limit: a wake-up that is lost
 * leaves both asleep. A watchdog ends that, and fails. Both dawdle for a while that differs each time
 * before they tell or ask, so that the one meets the other at every step.
 */
#include "vring-test.h"

#include <pthread.h>

#define CHAINS 70000u
#define DEADLINE_S 60

/** struct run - @left: chains that the device has not yet used; @stamp: what chain n holds */
struct run {
	unsigned size;
	int kick;
	pthread_t device;
};

static struct run run;

static uint64_t stamp(uint64_t n)
{
	return n * 0x9e3779b97f4a7c15ull;
}

static void dawdle(unsigned *seed)
{
	*seed = *seed * 1664525 + 1013904223;
	for (volatile unsigned i = *seed >> 22 << (*seed >> 16) % 5; i > 0; i--)
		;
}

static void wait_for(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	while (poll(&p, 1, -1) != 1)
		;
	fd_count(fd);
}

/* Chain n: 8 bytes with its stamp, and 8 to write its complement to. */
static void use(const struct vring_chain *c, unsigned n)
{
	uint64_t value;

	if (c->out_cnt != 1 || c->in_cnt != 1 || c->out_len != 8 || c->in_len != 8)
		abort();
	memcpy(&value, c->iov[0].iov_base, sizeof(value));
	if (value != stamp(n))
		abort();
	value = ~value;
	memcpy(c->iov[1].iov_base, &value, sizeof(value));
}

/* Every third burst is used in part, and the rest given back. */
static unsigned serve_burst(unsigned n)
{
	static unsigned seed = 1;
	struct vring_chain c[VRING_BURST_MAX];
	unsigned cnt = vring_pop(t.ring, c, VRING_BURST_MAX);
	unsigned take = n % 3 ? cnt : (cnt + 1) / 2;

	for (unsigned i = 0; i < take; i++) {
		use(&c[i], n + i);
		vring_push(t.ring, &c[i], 8);
	}
	vring_unpop(t.ring, cnt - take);
	dawdle(&seed);
	vring_publish(t.ring);
	return take;
}

static void *device(void *arg)
{
	unsigned done = 0;

	while (done < CHAINS) {
		unsigned n;

		vring_want_kicks(t.ring, false);
		while ((n = serve_burst(done)) > 0)
			done += n;
		if (vring_error(t.ring))
			abort();
		if (done < CHAINS && !vring_want_kicks(t.ring, true))
			wait_for(run.kick);
	}
	return NULL;
}

static bool add_stamped(unsigned n)
{
	const uint64_t gpa = BUFS + n % (2 * run.size) * 64ull, value = stamp(n);
	const struct vq_buf bufs[] = { { gpa, 8, false }, { gpa + 8, 8, true } };
	const uint64_t table = TABLES + n % (2 * run.size) * 32ull;

	/* the ring first: of a chain that does not fit the buffer is still somebody's */
	if (t.q.free_cnt < 2)
		return false;
	memcpy(t.guest + gpa, &value, sizeof(value));
	return vq_add(&t.q, bufs, 2, n % 2 ? table : 0, n);
}

static unsigned take_used(unsigned got)
{
	uint64_t opaque, value;
	uint32_t len;

	while (vq_get(&t.q, &opaque, &len)) {
		memcpy(&value, t.guest + BUFS + got % (2 * run.size) * 64ull + 8, sizeof(value));
		if (opaque != got || len != 8 || value != ~stamp(got))
			abort();
		got++;
	}
	return got;
}

static void drive(void)
{
	const uint64_t one = 1;
	unsigned added = 0, got = 0, seed = 2;

	while (got < CHAINS) {
		unsigned burst = 1 + added % 11, before = got;

		while (burst-- && added < CHAINS && add_stamped(added))
			added++;
		dawdle(&seed);
		if (vq_needs_kick(&t.q))
			assert_int_equal(write(run.kick, &one, sizeof(one)), sizeof(one));
		got = take_used(got);
		if (got != before || (added < CHAINS && t.q.free_cnt >= 2))
			continue;
		dawdle(&seed);
		if (!vq_want_calls(&t.q, true))
			wait_for(t.call);
		vq_want_calls(&t.q, false);
	}
}

static void loses_no_wake_up(void **state)
{
	static const unsigned sizes[] = { 2, 16, 256 };

	for (unsigned i = 0; i < ARRAY_LEN(sizes); i++) {
		run.size = sizes[i];
		run.kick = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		begin(sizes[i], *state);
		alarm(DEADLINE_S);
		assert_int_equal(pthread_create(&run.device, NULL, device, NULL), 0);
		drive();
		pthread_join(run.device, NULL);
		alarm(0);
		close(run.kick);
	}
}

static const struct CMUnitTest tests[] = { ALL(loses_no_wake_up) };

int main(void)
{
	return cmocka_run_group_tests(tests, NULL, NULL);
}
