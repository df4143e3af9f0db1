/* SPDX-License-Identifier: MIT */
/* What the tests of rings share: a guest's memory, a driver at one end and the ring at the other. */
#ifndef VRING_TEST_H
#define VRING_TEST_H

#include "mem-test.h"

#include <poll.h>
#include <stdbool.h>
#include <sys/eventfd.h>

#include "virtio/vring.h"
#include "vq-driver.h"

/** Guest memory: the ring from 0 on, indirect tables, buffers, room for more. */
#define GUEST_SIZE (8 * MIB)
#define TABLES (2 * MIB)
#define BUFS (4 * MIB)

/** struct room - A guest and a device in it; @kind: what is tested */
struct room {
	int fd, call, err;
	uint8_t *guest;
	struct mem *mem;
	struct vring *ring;
	struct vring_config cfg;
	struct vq q;
};

/** struct kind - A kind of ring */
struct kind {
	bool packed, event_idx;
};

static struct room t;

static inline uint64_t fd_count(int fd)
{
	uint64_t value = 0;

	return read(fd, &value, sizeof(value)) == sizeof(value) ? value : 0;
}

static inline void room_open(void)
{
	memset(&t, 0, sizeof(t));
	t.fd = file_of(GUEST_SIZE);
	t.guest = mmap(NULL, GUEST_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, t.fd, 0);
	assert_ptr_not_equal(t.guest, MAP_FAILED);
	t.mem = mem_with(t.fd, 0, GUEST_SIZE);
	t.call = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	t.err = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	t.ring = vring_new();
	assert_non_null(t.ring);
	vring_set_fds(t.ring, t.call, t.err);
}

static inline void room_close(void)
{
	vring_free(t.ring);
	mem_free(t.mem);
	vq_fini(&t.q);
	munmap(t.guest, GUEST_SIZE);
	close(t.call);
	close(t.err);
	close(t.fd);
}

/* A fresh ring in memory, and how it is described. */
static inline void room_ring(unsigned size, const struct kind *k)
{
	vq_fini(&t.q);
	vq_init(&t.q, t.guest, 0, size, k->packed, k->event_idx);
	t.cfg = (struct vring_config) {
		.size = size,
		.desc = UVA + t.q.desc_gpa,
		.avail = UVA + t.q.avail_gpa,
		.used = UVA + t.q.used_gpa,
		.used_gpa = t.q.used_gpa,
		.packed = k->packed,
		.event_idx = k->event_idx,
		.indirect = true,
		.base = k->packed ? 0x80008000 : 0,
	};
}

static inline void room_start(void)
{
	struct vmtap_error err = { 0 };
	int ret = vring_start(t.ring, t.mem, &t.cfg, "test", &err);

	if (ret < 0)
		fail_msg("%s: %s: %s", err.object, err.action, err.reason);
}

/* A ring that runs, of @size. */
static inline void begin(unsigned size, const struct kind *k)
{
	if (vring_is_started(t.ring))
		vring_stop(t.ring);
	room_ring(size, k);
	room_start();
}

/* A buffer of @len bytes; each @n has 4 KiB of its own, as far as they go. */
static inline uint64_t buf_gpa(unsigned n)
{
	return BUFS + n % 512 * 4096ull;
}

static inline bool add(unsigned n, uint32_t len, bool in)
{
	return vq_add(&t.q, &(struct vq_buf) { buf_gpa(n), len, in }, 1, 0, n);
}

/* Pop one, push it with @len and show it. */
static inline void serve(uint32_t len)
{
	struct vring_chain c;

	assert_int_equal(vring_pop(t.ring, &c, 1), 1);
	vring_push(t.ring, &c, len);
	vring_publish(t.ring);
}

static inline void get(uint64_t opaque, uint32_t len)
{
	uint64_t got;
	uint32_t got_len;

	assert_true(vq_get(&t.q, &got, &got_len));
	assert_int_equal(got, opaque);
	assert_int_equal(got_len, len);
}

static inline void get_none(void)
{
	uint64_t got;
	uint32_t len;

	assert_false(vq_get(&t.q, &got, &len));
}

static const struct kind split = { false, false }, split_event = { false, true },
			 packed = { true, false }, packed_event = { true, true };

static inline int setup(void **state)
{
	room_open();
	return 0;
}

static inline int teardown(void **state)
{
	room_close();
	return 0;
}

/* A case for either format; @state is a const struct kind *. */
#define CASE(fn, k)                                                             \
	{                                                                       \
#fn " (" #k ")", fn, setup, teardown, (void *)(uintptr_t) & (k) \
	}
#define BOTH(fn) CASE(fn, split), CASE(fn, packed)
#define ALL(fn) BOTH(fn), CASE(fn, split_event), CASE(fn, packed_event)

#endif
