/* SPDX-License-Identifier: MIT */
/*
 * Fuzzes a ring: the input writes to the guest's memory between calls and
 * makes the calls.
 *
 * Input: flags, the ring's size, its base, then steps of an opcode and its operands (see
 * run_step()). One kind of step offers a chain as a driver would, so that deep code is
 * reached quickly; the others write anywhere.
 *
 * What has to hold: each piece lies in the memory that was shared, counts and lengths agree and are
 * within their limits, no held chain's scatter list is touched by anything else, a broken ring gives
 * nothing and says why, and the error descriptor is written once.
 */
#ifndef FUZZ_VRING_H
#define FUZZ_VRING_H

#include <assert.h>
#include <linux/virtio_ring.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include "virtio/inflight.h"
#include "virtio/vring.h"

/* Three regions; the second begins where the first ends, and is elsewhere in the file. */
#define REGION 0x8000u
#define UVA 0x700000000000ull
#define HIGH (UINT64_MAX - REGION + 1)
#define SIZE_MAX_HERE 256u
#define DESC 0u
#define AVAIL_AT 0x1000u
#define USED_AT 0x2000u
#define STEPS_MAX 400u

static const struct mem_slot slots[] = {
	{ .gpa = 0, .size = REGION, .uva = UVA, .offset = 0 },
	{ .gpa = REGION, .size = REGION, .uva = UVA + REGION, .offset = 2 * REGION },
	{ .gpa = HIGH, .size = REGION, .uva = UVA + 4 * REGION, .offset = REGION },
};

/** struct held - A chain that is popped, as it was */
struct held {
	struct vring_chain chain;
	struct iovec first, last;
};

static struct {
	uint8_t *file, *flight, *log;
	uint8_t *host[3];
	struct mem *mem;
	struct vring *ring;
	struct vring_config cfg;
	struct inflight_file *inflight;
	int call, err;
	struct held held[SIZE_MAX_HERE];
	unsigned at, cnt;
	uint16_t next;
	bool wrap;
} s;

/** struct input - What is left of it; zeros follow */
struct input {
	const uint8_t *data;
	size_t size;
};

static uint64_t take(struct input *in, unsigned bytes)
{
	uint64_t value = 0;

	for (unsigned i = 0; i < bytes && in->size; i++, in->size--)
		value |= (uint64_t)*in->data++ << 8 * i;
	return value;
}

static void set_up(bool packed)
{
	int fd = memfd_create("guest", 0), log = memfd_create("log", 0);
	uint64_t size = inflight_size(1, SIZE_MAX_HERE, packed);
	int flight = inflight_file_make(size);

	assert(ftruncate(fd, 3 * REGION) == 0 && ftruncate(log, 4096) == 0);
	s.file = mmap(NULL, 3 * REGION, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	s.flight = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, flight, 0);
	s.mem = mem_new();
	for (unsigned i = 0; i < 3; i++) {
		uint64_t len = REGION;

		assert(mem_add(s.mem, &slots[i], fd, "fuzz", NULL) == 0);
		s.host[i] = mem_at(s.mem, slots[i].gpa, &len);
		assert(s.host[i] && len == REGION);
	}
	assert(mem_log_set(s.mem, log, 4096, 0, "fuzz", NULL) == 0);
	s.inflight = inflight_file_map(flight, size, 0, 1, SIZE_MAX_HERE, packed, "fuzz", NULL);
	assert(s.inflight);
	s.ring = vring_new();
	s.call = eventfd(0, EFD_NONBLOCK);
	s.err = eventfd(0, EFD_NONBLOCK);
	vring_set_fds(s.ring, s.call, s.err);
}

static bool is_shared(const struct iovec *iov)
{
	for (unsigned i = 0; i < 3; i++) {
		uintptr_t off = (uintptr_t)iov->iov_base - (uintptr_t)s.host[i];

		if (off < REGION && iov->iov_len && iov->iov_len <= REGION - off)
			return true;
	}
	return false;
}

static uint64_t check_pieces(const struct iovec *iov, unsigned cnt)
{
	uint64_t len = 0;

	for (unsigned i = 0; i < cnt; i++) {
		assert(is_shared(&iov[i]));
		len += iov[i].iov_len;
	}
	return len;
}

static struct held *held(unsigned i)
{
	return &s.held[(s.at + i) % SIZE_MAX_HERE];
}

static void check_chain(const struct vring_chain *c)
{
	unsigned cnt = c->out_cnt + c->in_cnt;

	assert(cnt && cnt <= VRING_IOV_MAX);
	assert(check_pieces(c->iov, c->out_cnt) == c->out_len);
	assert(check_pieces(c->iov + c->out_cnt, c->in_cnt) == c->in_len);
	assert(c->desc_cnt && c->desc_cnt <= s.cfg.size);
}

static void check_broken(void)
{
	struct vring_chain c;
	uint64_t times = 0;

	if (!vring_error(s.ring))
		return;
	assert(vring_pop(s.ring, &c, 1) == 0);
	assert(vring_is_empty(s.ring) && !vring_want_kicks(s.ring, true));
	if (read(s.err, &times, sizeof(times)) == sizeof(times))
		assert(times == 1);
}

static void pop(unsigned max)
{
	struct vring_chain c[VRING_BURST_MAX];
	unsigned n = vring_pop(s.ring, c, max), pieces = 0;

	assert(n <= max && (!n || !vring_error(s.ring)));
	assert(s.cnt + n <= s.cfg.size);
	for (unsigned i = 0; i < n; i++) {
		struct held *h = held(s.cnt++);

		check_chain(&c[i]);
		h->chain = c[i];
		h->first = c[i].iov[0];
		h->last = c[i].iov[c[i].out_cnt + c[i].in_cnt - 1];
	}
	for (unsigned i = 0; i < s.cnt; i++)
		pieces += held(i)->chain.out_cnt + held(i)->chain.in_cnt;
	assert(pieces <= VRING_IOV_MAX);
	/* nothing held, nothing popped: it is empty, or broken */
	assert(n || s.cnt || vring_error(s.ring) || !vring_is_started(s.ring) ||
	       vring_is_empty(s.ring));
}

static void push(unsigned cnt, uint32_t len)
{
	for (; cnt && s.cnt; cnt--, s.cnt--) {
		struct held *h = held(0);
		const struct iovec *last = &h->chain.iov[h->chain.out_cnt + h->chain.in_cnt - 1];

		assert(memcmp(&h->first, h->chain.iov, sizeof(h->first)) == 0);
		assert(memcmp(&h->last, last, sizeof(h->last)) == 0);
		vring_push(s.ring, &h->chain, len < h->chain.in_len ? len : h->chain.in_len);
		s.at = (s.at + 1) % SIZE_MAX_HERE;
	}
}

static void start(uint32_t base)
{
	uint64_t times;

	assert(s.cnt == 0);
	if (read(s.err, &times, sizeof(times)) < 0)
		times = 0;
	s.cfg.base = base;
	if (vring_start(s.ring, s.mem, &s.cfg, "fuzz", NULL) < 0) {
		s.cfg.base = s.cfg.packed ? 0x80008000 : 0;
		assert(vring_start(s.ring, s.mem, &s.cfg, "fuzz", NULL) == 0);
	}
	assert(!vring_error(s.ring));
}

static void begin(struct input *in, bool packed)
{
	const unsigned flags = (unsigned)take(in, 1);
	unsigned size = (unsigned)take(in, 1);

	if (packed)
		size = size + 1;
	else
		size = 1u << size % 9;
	memset(s.file, 0, 3 * REGION);
	memset(s.flight, 0, inflight_size(1, SIZE_MAX_HERE, packed));
	mem_log_on(s.mem, flags & 8);
	s.cfg = (struct vring_config) {
		.size = size,
		.desc = UVA + DESC,
		.avail = UVA + AVAIL_AT,
		.used = UVA + USED_AT,
		.used_gpa = USED_AT,
		.packed = packed,
		.event_idx = flags & 1,
		.indirect = flags & 2,
		.log_used = flags & 16,
		.inflight = flags & 4 ? inflight_of(s.inflight, 0) : NULL,
	};
	s.at = s.cnt = 0;
	s.next = 0;
	s.wrap = true;
	start((uint32_t)take(in, 4));
}

static void write_memory(struct input *in, uint8_t *base, uint32_t size)
{
	uint32_t at = (uint32_t)take(in, 2) % size;
	unsigned cnt = 1 + take(in, 1) % 16;

	for (unsigned i = 0; i < cnt; i++)
		base[(at + i) % size] = (uint8_t)take(in, 1);
}

static uint64_t any_address(struct input *in)
{
	uint64_t value = take(in, 2);

	switch (take(in, 1) % 8) {
	case 0:
		return HIGH + value;
	case 1:
		return REGION - value % 64;
	case 2:
		return take(in, 8);
	default:
		return value;
	}
}

/* A descriptor, where the driver would put it: of the ring, or of a table. */
static void offer(struct input *in)
{
	const unsigned what = (unsigned)take(in, 1);
	const uint64_t addr = any_address(in);
	const uint32_t len = (uint32_t)take(in, 2) << (what & 0x40 ? 16 : 0);
	const unsigned at = s.next % s.cfg.size;
	uint16_t flags = what & 7;

	if (s.cfg.packed) {
		struct vring_packed_desc *d = (void *)(s.file + DESC);

		flags |= (uint16_t)(1u << (s.wrap ? 7 : 15));
		d[at] = (struct vring_packed_desc) { addr, len, (uint16_t)what, flags };
		if (at + 1 == s.cfg.size)
			s.wrap = !s.wrap;
	} else {
		struct vring_desc *d = (void *)(s.file + DESC);
		struct vring_avail *a = (void *)(s.file + AVAIL_AT);

		d[at] = (struct vring_desc) { addr, len, flags, (uint16_t)((at + 1) % s.cfg.size) };
		a->ring[a->idx % s.cfg.size] = (uint16_t)at;
		if (!(what & 0x80))
			a->idx++;
	}
	s.next = (uint16_t)(at + 1 == s.cfg.size ? 0 : at + 1);
}

/* An indirect table, of up to 1020 descriptors that are alike; the last one ends it. */
static void offer_table(struct input *in)
{
	uint32_t at = (uint32_t)take(in, 2) % (REGION / 2);
	unsigned cnt = 1 + 4 * (unsigned)take(in, 1);
	struct vring_desc d = {
		.addr = any_address(in),
		.len = (uint32_t)take(in, 2),
		.flags = (uint16_t)take(in, 1),
		.next = (uint16_t)take(in, 1),
	};

	for (unsigned i = 0; i < cnt; i++, d.next = (uint16_t)(i + 1)) {
		if (i + 1 == cnt)
			d.flags &= (uint16_t)~VRING_DESC_F_NEXT;
		memcpy(s.file + at + 16 * i, &d, sizeof(d));
	}
}

static void restart(struct input *in, bool crash)
{
	uint32_t base = (uint32_t)take(in, 4), was;

	if (crash) { /* what is popped stays in flight, as far as the region knows */
		static uint8_t copy[1 << 16];
		uint64_t size = inflight_size(1, SIZE_MAX_HERE, s.cfg.packed);

		assert(size <= sizeof(copy));
		memcpy(copy, s.flight, size);
		vring_stop(s.ring);
		memcpy(s.flight, copy, size);
	}
	was = vring_stop(s.ring);
	assert(!vring_is_started(s.ring) && vring_stop(s.ring) == was);
	s.cnt = 0;
	start(base % 3 ? was : base);
}

static void run_step(struct input *in)
{
	const unsigned op = (unsigned)take(in, 1);

	switch (op % 16) {
	case 0:
		write_memory(in, s.file, REGION);
		break;
	case 1:
		write_memory(in, s.file + (op & 16 ? USED_AT : AVAIL_AT), 0x1000);
		break;
	case 2:
	case 3:
	case 4:
		offer(in);
		break;
	case 5:
		offer_table(in);
		break;
	case 6:
	case 7:
		pop(1 + op / 16 * 4);
		break;
	case 8:
		if (s.cnt) {
			unsigned cnt = 1 + op / 16 % s.cnt;

			vring_unpop(s.ring, cnt);
			s.cnt -= cnt;
		}
		break;
	case 9:
	case 10:
		push(1 + op / 16, (uint32_t)take(in, 2));
		break;
	case 11:
		vring_publish(s.ring);
		break;
	case 12:
		vring_want_kicks(s.ring, op & 16);
		break;
	case 13:
		restart(in, op & 16);
		break;
	case 14:
		write_memory(in, s.flight, 512);
		break;
	default:
		mem_log_on(s.mem, op & 16);
		vring_set_log(s.ring, op & 32, USED_AT);
		if (!s.cnt && op & 64) {
			vring_publish(s.ring);
			assert(vring_remap(s.ring) == 0);
		}
	}
	check_broken();
}

static int fuzz(const uint8_t *data, size_t size, bool packed)
{
	struct input in = { data, size };

	if (!s.ring)
		set_up(packed);
	begin(&in, packed);
	for (unsigned i = 0; i < STEPS_MAX && in.size; i++)
		run_step(&in);
	vring_stop(s.ring);
	return 0;
}

#endif
