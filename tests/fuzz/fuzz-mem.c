/* SPDX-License-Identifier: MIT */
/*
 * Fuzzes the guest's memory table against a plain list.
 *
 * Input: steps of a byte and its operands: add, remove, translate, mark dirty, another log, a file
 * that shrinks. What is refused, where an address is and which bits are set must be what a
 * walk over the list says. The file's bytes tell their own offsets.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "virtio/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FILE_SIZE 0x10000u
#define PAGE 4096u
/* The log's pages are those of the lowest addresses: 16 MiB. */
#define LOG_BYTES 512u
/* Much further up there are addresses as well, so that sums wrap. */
#define HIGH (~0ull - 0xfffff)

/** struct known - A region as the list has it */
struct known {
	struct mem_slot slot;
	const uint8_t *host;
};

/** struct model - @log_pages: bits there are */
struct model {
	struct known list[MEM_REGIONS_MAX];
	unsigned cnt;
	uint64_t log_pages;
	bool logging;
};

/** struct input - What is left of it; zeros follow */
struct input {
	const uint8_t *data;
	size_t size;
};

static int guest_fd, log_fd;
static uint8_t *log_bits;

static unsigned take(struct input *in, unsigned bytes)
{
	unsigned value = 0;

	for (; bytes; bytes--) {
		value = value << 8 | (in->size ? *in->data : 0);
		in->data += in->size > 0;
		in->size -= in->size > 0;
	}
	return value;
}

static uint64_t take_addr(struct input *in)
{
	uint64_t addr = take(in, 3);

	return addr & 1 ? HIGH + (addr >> 4 << 4) : addr >> 4 << 4;
}

/* Mostly short; now and then something that nothing holds. */
static uint64_t take_len(struct input *in)
{
	unsigned len = take(in, 2);

	return len >= 0xfff0 ? ~0ull - (0xffff - len) : len;
}

/* All three addresses are aligned alike, but for some. */
static struct mem_slot take_slot(struct input *in)
{
	struct mem_slot s = { 0 };
	unsigned low;

	s.gpa = take_addr(in);
	s.uva = take_addr(in);
	s.offset = take(in, 2);
	s.size = take_len(in);
	low = take(in, 1);
	if (low < 0xf0)
		s.offset = (s.offset & ~15ull) + low % 16;
	s.gpa += low % 16;
	s.uva += low % 16;
	return s;
}

static uint8_t byte_at(uint64_t offset)
{
	return (uint8_t)(offset * 7 ^ offset >> 8);
}

static void make_files(void)
{
	uint8_t *bytes = malloc(FILE_SIZE);

	guest_fd = memfd_create("guest", MFD_CLOEXEC);
	log_fd = memfd_create("log", MFD_CLOEXEC);
	assert(bytes && guest_fd >= 0 && log_fd >= 0);
	for (unsigned i = 0; i < FILE_SIZE; i++)
		bytes[i] = byte_at(i);
	assert(pwrite(guest_fd, bytes, FILE_SIZE, 0) == FILE_SIZE);
	assert(ftruncate(log_fd, LOG_BYTES) == 0);
	log_bits = mmap(NULL, LOG_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, log_fd, 0);
	assert(log_bits != MAP_FAILED);
	free(bytes);
}

/* ---------------------------------------------------------------- the list */

static bool wraps(uint64_t start, uint64_t size)
{
	return size - 1 > ~0ull - start;
}

static bool meet(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size)
{
	return a <= b + (b_size - 1) && b <= a + (a_size - 1);
}

static bool is_fine(const struct model *k, const struct mem_slot *s)
{
	if (!s->size || wraps(s->gpa, s->size) || wraps(s->uva, s->size) ||
	    s->gpa % 16 != s->offset % 16 || s->uva % 16 != s->offset % 16 || s->size > FILE_SIZE ||
	    s->offset > FILE_SIZE - s->size)
		return false;
	for (unsigned i = 0; i < k->cnt; i++) {
		const struct mem_slot *o = &k->list[i].slot;

		if (meet(s->gpa, s->size, o->gpa, o->size) ||
		    meet(s->uva, s->size, o->uva, o->size))
			return false;
	}
	return k->cnt < MEM_REGIONS_MAX;
}

static const struct known *known_by(const struct model *k, uint64_t addr, bool is_uva)
{
	for (unsigned i = 0; i < k->cnt; i++) {
		const struct mem_slot *s = &k->list[i].slot;

		if (meet(is_uva ? s->uva : s->gpa, s->size, addr, 1))
			return &k->list[i];
	}
	return NULL;
}

/* The log has the bits of these pages, and no others; then it is emptied. */
static void check_log(const struct model *k, uint64_t gpa, uint64_t len)
{
	uint64_t last = len && wraps(gpa, len) ? ~0ull : gpa + len - 1;

	for (uint64_t page = 0; page < LOG_BYTES * 8; page++) {
		bool want = k->logging && len && page < k->log_pages && page >= gpa / PAGE &&
			    page <= last / PAGE;

		assert((log_bits[page / 8] >> page % 8 & 1) == want);
	}
	memset(log_bits, 0, LOG_BYTES);
}

/* --------------------------------------------------------------- the steps */

static void add(struct mem *m, struct model *k, struct input *in)
{
	struct mem_slot s = take_slot(in);
	struct vmtap_error err = { 0 };
	const bool fine = is_fine(k, &s);
	uint64_t len = 1;
	int ret = mem_add(m, &s, guest_fd, "fuzz", &err);

	assert((ret == 0) == fine);
	if (ret < 0) {
		assert(err.code == -ret && err.reason[0]);
		return;
	}
	k->list[k->cnt++] = (struct known) { s, mem_at(m, s.gpa, &len) };
	assert(k->list[k->cnt - 1].host && len == 1);
}

static void del(struct mem *m, struct model *k, struct input *in)
{
	unsigned at = take(in, 1), spoil = take(in, 1);
	struct mem_slot s = { 0 };
	struct known *r = at < k->cnt ? &k->list[at] : NULL;

	if (r)
		s = r->slot;
	s.gpa ^= spoil == 1;
	s.uva ^= spoil == 2;
	s.size ^= spoil == 3;
	s.offset ^= spoil == 4; /* says nothing */
	if (r && (spoil == 0 || spoil > 3)) {
		assert(mem_del(m, &s) == 0);
		*r = k->list[--k->cnt];
	} else {
		assert(mem_del(m, &s) == -ENOENT);
	}
}

/* Somewhere in a region, often near its ends; or anywhere. */
static uint64_t take_place(const struct model *k, struct input *in, bool is_uva)
{
	unsigned at = take(in, 1);
	const struct mem_slot *s = &k->list[k->cnt ? at % k->cnt : 0].slot;

	if (at >= 0xf0 || !k->cnt)
		return take_addr(in);
	at = take(in, 2);
	return (is_uva ? s->uva : s->gpa) + (at & 1 ? s->size - 8 + (at >> 1) % 16 : at >> 1);
}

static void check_host(const struct known *r, const uint8_t *host, uint64_t delta)
{
	assert(host == r->host + delta);
	assert(*host == byte_at(r->slot.offset + delta));
}

static void translate(struct mem *m, struct model *k, struct input *in)
{
	uint64_t gpa = take_place(k, in, false), want = take_len(in) | 1, len = want;
	const struct known *r = known_by(k, gpa, false);
	const uint8_t *host = mem_at(m, gpa, &len);
	uint64_t rest;

	assert(!r == !host);
	if (!r)
		return;
	rest = r->slot.size - (gpa - r->slot.gpa);
	assert(len == (want < rest ? want : rest));
	check_host(r, host, gpa - r->slot.gpa);
	assert(host[len - 1] == byte_at(r->slot.offset + (gpa - r->slot.gpa) + len - 1));
}

static void translate_uva(struct mem *m, struct model *k, struct input *in)
{
	uint64_t uva = take_place(k, in, true), len = take_len(in), gpa;
	const struct known *r = known_by(k, uva, true);
	const uint8_t *host = mem_at_uva(m, uva, len);
	uint64_t delta = r ? uva - r->slot.uva : 0;

	assert(mem_uva_to_gpa(m, uva, &gpa) == (r ? 0 : -EFAULT));
	assert(!r || gpa == r->slot.gpa + delta);
	assert(!host == (!r || len > r->slot.size - delta));
	if (host)
		check_host(r, host, delta);
}

static void dirty(struct mem *m, struct model *k, struct input *in)
{
	uint64_t gpa = take_place(k, in, false), len = take_len(in) << take(in, 1) % 8;
	const struct known *r = known_by(k, gpa, false);
	uint64_t rest;

	mem_dirty(m, gpa, len);
	check_log(k, gpa, len);
	if (!r)
		return;
	rest = r->slot.size - (gpa - r->slot.gpa);
	mem_dirty_host(m, r->host + (gpa - r->slot.gpa), len);
	check_log(k, gpa, len < rest ? len : rest);
}

static void set_log(struct mem *m, struct model *k, struct input *in)
{
	uint64_t size = take_len(in);
	unsigned how = take(in, 1);
	struct vmtap_error err = { 0 };
	bool fine = size > 0 && size <= LOG_BYTES;
	int ret = mem_log_set(m, how & 1 ? log_fd : -1, size, 0, "fuzz", &err);

	assert((ret == 0) == (fine || !(how & 1)));
	if (ret == 0)
		k->log_pages = how & 1 ? size * 8 : 0;
	k->logging = how & 2;
	mem_log_on(m, k->logging);
	assert(mem_is_logging(m) == k->logging);
}

static void clear(struct mem *m, struct model *k)
{
	mem_clear(m);
	k->cnt = 0;
	assert(mem_cnt(m) == 0 && !mem_is_lost(m));
}

/* All that is beyond the file's new end reads as zeros. Then everybody begins anew. */
static void shrink(struct mem *m, struct model *k, struct input *in)
{
	const uint64_t left = take(in, 2) & ~(PAGE - 1);
	bool lost = false;

	assert(ftruncate(guest_fd, (off_t)left) == 0);
	for (unsigned i = 0; i < k->cnt; i++) {
		const struct mem_slot *s = &k->list[i].slot;
		const uint64_t last = s->offset + s->size - 1;
		const volatile uint8_t *host = k->list[i].host;

		assert(host[s->size - 1] == (last < left ? byte_at(last) : 0));
		assert(host[0] == (s->offset < left ? byte_at(s->offset) : 0));
		lost = lost || last >= left;
	}
	assert(mem_is_lost(m) == lost);
	clear(m, k);
	close(guest_fd);
	close(log_fd);
	munmap(log_bits, LOG_BYTES);
	make_files();
	assert(mem_log_set(m, -1, 0, 0, "fuzz", NULL) == 0);
	k->log_pages = 0;
}

static void step(struct mem *m, struct model *k, struct input *in)
{
	switch (take(in, 1) % 16) {
	case 0:
	case 1:
	case 2:
	case 3:
		add(m, k, in);
		break;
	case 4:
	case 5:
		del(m, k, in);
		break;
	case 6:
	case 7:
	case 8:
		translate(m, k, in);
		break;
	case 9:
	case 10:
		translate_uva(m, k, in);
		break;
	case 11:
	case 12:
		dirty(m, k, in);
		break;
	case 13:
		set_log(m, k, in);
		break;
	case 14:
		clear(m, k);
		break;
	default:
		shrink(m, k, in);
	}
	assert(mem_cnt(m) == k->cnt);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { data, size };
	struct model *k = calloc(1, sizeof(*k));
	struct mem *m = mem_new();

	assert(k && m);
	if (!log_bits)
		make_files();
	while (in.size)
		step(m, k, &in);
	mem_free(m);
	free(k);
	return 0;
}
