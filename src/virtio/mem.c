/* SPDX-License-Identifier: MIT */
/*
 * The guest's memory: the table of regions.
 *
 * Regions are kept in the order of their guest physical addresses, without gaps in the
 * array; entries behind the last are zero, so that a stale @hit finds nothing. Addresses are
 * compared by their distance from a region's first byte, which cannot wrap.
 */
#include "virtio/mem.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "virtio/dirty.h"
#include "virtio/shmap.h"

#define ACTION "map the guest's memory"
#define REMEDY                                             \
	"give the guest memory that can be shared (QEMU: " \
	"-object memory-backend-memfd,id=mem,size=...,share=on -machine memory-backend=mem)"
/* As rings and descriptors need it; whoever checks a guest's address has checked ours. */
#define ALIGN 16

/** struct region - @host: its first byte */
struct region {
	uint64_t gpa, size;
	uint8_t *host;
	uint64_t uva;
	struct shmap map;
};

/**
 * struct mem - The table
 * @lost, @log_lost: raised by the fault handler
 * @hit: where mem_at() was successful last; a hint, behind everything else since any thread
 *       that looks something up may write it
 */
struct mem {
	bool logging;
	atomic_bool lost, log_lost;
	unsigned cnt;
	struct dirty log;
	struct region regions[MEM_REGIONS_MAX];
	atomic_uint hit;
};

struct mem *mem_new(void)
{
	return calloc(1, sizeof(struct mem));
}

void mem_free(struct mem *m)
{
	if (!m)
		return;
	mem_clear(m);
	shmap_unmap(&m->log.map);
	free(m);
}

/* -------------------------------------------------------------- the table */

static int refuse(const char *object, const struct mem_slot *s, const char *why,
		  struct vmtap_error *err)
{
	return error_set(err, EINVAL, object, ACTION,
			 "the region of %" PRIu64 " bytes at guest address 0x%" PRIx64 " %s",
			 s->size, s->gpa, why);
}

static bool wraps(uint64_t start, uint64_t size)
{
	return start + (size - 1) < start;
}

static bool overlap(uint64_t a, uint64_t a_size, uint64_t b, uint64_t b_size)
{
	return a - b < b_size || b - a < a_size;
}

static int check_slot(const struct mem *m, const struct mem_slot *s, const char *object,
		      struct vmtap_error *err)
{
	if (s->size == 0)
		return refuse(object, s, "is empty", err);
	if (wraps(s->gpa, s->size) || wraps(s->uva, s->size))
		return refuse(object, s, "goes beyond the end of the address space", err);
	if (((s->offset ^ s->gpa) | (s->offset ^ s->uva)) % ALIGN)
		return refuse(object, s, "is aligned in one way there and in another in its file",
			      err);
	for (unsigned i = 0; i < m->cnt; i++) {
		const struct region *r = &m->regions[i];

		if (overlap(s->gpa, s->size, r->gpa, r->size))
			return refuse(object, s, "overlaps with another", err);
		if (overlap(s->uva, s->size, r->uva, r->size))
			return refuse(object, s, "overlaps with another in the front end's memory",
				      err);
	}
	return 0;
}

static int too_many(const char *object, struct vmtap_error *err)
{
	return error_set(err, ENOSPC, object, ACTION, "it has more than %d regions",
			 MEM_REGIONS_MAX);
}

/* Return: how many regions begin at @gpa or below. */
static unsigned count_up_to(const struct mem *m, uint64_t gpa)
{
	unsigned low = 0, high = m->cnt;

	while (low < high) {
		unsigned mid = (low + high) / 2;

		if (m->regions[mid].gpa <= gpa)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static void insert(struct mem *m, const struct region *r)
{
	unsigned at = count_up_to(m, r->gpa);

	memmove(&m->regions[at + 1], &m->regions[at], (m->cnt - at) * sizeof(*r));
	m->regions[at] = *r;
	m->cnt++;
	atomic_store_explicit(&m->hit, at, memory_order_relaxed);
}

static void drop(struct mem *m, unsigned at)
{
	struct region *r = &m->regions[at];

	shmap_unmap(&r->map);
	m->cnt--;
	memmove(r, r + 1, (m->cnt - at) * sizeof(*r));
	memset(&m->regions[m->cnt], 0, sizeof(*r));
}

int mem_add(struct mem *m, const struct mem_slot *slot, int fd, const char *object,
	    struct vmtap_error *err)
{
	const struct shmap_part part = { fd, slot->size, slot->offset, object, ACTION, REMEDY };
	struct region r = { .gpa = slot->gpa, .size = slot->size, .uva = slot->uva };
	int ret;

	if (m->cnt == MEM_REGIONS_MAX)
		return too_many(object, err);
	ret = check_slot(m, slot, object, err);
	if (ret == 0)
		ret = shmap_map(&r.map, &part, &m->lost, err);
	if (ret < 0)
		return ret;
	r.host = r.map.host;
	insert(m, &r);
	return 0;
}

int mem_del(struct mem *m, const struct mem_slot *slot)
{
	unsigned up_to = count_up_to(m, slot->gpa);
	const struct region *r;

	if (up_to == 0)
		return -ENOENT;
	r = &m->regions[up_to - 1];
	if (r->gpa != slot->gpa || r->size != slot->size || r->uva != slot->uva)
		return -ENOENT;
	drop(m, up_to - 1);
	return 0;
}

void mem_clear(struct mem *m)
{
	while (m->cnt > 0)
		drop(m, m->cnt - 1);
	atomic_store_explicit(&m->lost, false, memory_order_relaxed);
	if (!atomic_exchange_explicit(&m->log_lost, false, memory_order_relaxed))
		return;
	shmap_unmap(&m->log.map);
	m->log.pages = 0;
}

unsigned mem_cnt(const struct mem *m)
{
	return m->cnt;
}

unsigned mem_regions(const struct mem *m, struct vmtap_vhost_region *regions, unsigned max)
{
	unsigned i;

	for (i = 0; i < m->cnt && i < max; i++)
		regions[i] = (struct vmtap_vhost_region) {
			.gpa = m->regions[i].gpa,
			.len = m->regions[i].size,
			.host = m->regions[i].host,
		};
	return i;
}

bool mem_is_lost(const struct mem *m)
{
	return atomic_load_explicit(&m->lost, memory_order_acquire) ||
	       atomic_load_explicit(&m->log_lost, memory_order_acquire);
}

/* ------------------------------------------------------------ translation */

static void *at(const struct region *r, uint64_t offset, uint64_t *len)
{
	const uint64_t rest = r->size - offset;

	if (*len > rest)
		*len = rest;
	return r->host + offset;
}

static __attribute__((noinline)) void *search(const struct mem *m, uint64_t gpa, uint64_t *len)
{
	const unsigned up_to = count_up_to(m, gpa);
	const struct region *r;

	if (up_to == 0)
		return NULL;
	r = &m->regions[up_to - 1];
	if (gpa - r->gpa >= r->size)
		return NULL;
	/* the table is const to its users; the hint is ours */
	atomic_store_explicit(&((struct mem *)m)->hit, up_to - 1, memory_order_relaxed);
	return at(r, gpa - r->gpa, len);
}

void *mem_at(const struct mem *m, uint64_t gpa, uint64_t *len)
{
	const unsigned hit = atomic_load_explicit(&m->hit, memory_order_relaxed);
	const struct region *r = &m->regions[hit];

	if (__builtin_expect(gpa - r->gpa < r->size, 1))
		return at(r, gpa - r->gpa, len);
	return search(m, gpa, len);
}

static const struct region *find_uva(const struct mem *m, uint64_t uva)
{
	for (unsigned i = 0; i < m->cnt; i++) {
		const struct region *r = &m->regions[i];

		if (uva - r->uva < r->size)
			return r;
	}
	return NULL;
}

void *mem_at_uva(const struct mem *m, uint64_t uva, uint64_t len)
{
	const struct region *r = find_uva(m, uva);

	if (!r || len > r->size - (uva - r->uva))
		return NULL;
	return r->host + (uva - r->uva);
}

int mem_uva_to_gpa(const struct mem *m, uint64_t uva, uint64_t *gpa)
{
	const struct region *r = find_uva(m, uva);

	if (!r)
		return -EFAULT;
	*gpa = r->gpa + (uva - r->uva);
	return 0;
}

/* ---------------------------------------------------------- the dirty log */

int mem_log_set(struct mem *m, int fd, uint64_t size, uint64_t offset, const char *object,
		struct vmtap_error *err)
{
	const struct shmap_part part = { fd, size, offset, object, "map the dirty log", NULL };
	int ret = dirty_set(&m->log, &part, &m->log_lost, err);

	/* the loss is remembered; the log that it was about is gone */
	if (ret == 0 && atomic_exchange_explicit(&m->log_lost, false, memory_order_relaxed))
		atomic_store_explicit(&m->lost, true, memory_order_relaxed);
	return ret;
}

void mem_log_on(struct mem *m, bool on)
{
	m->logging = on;
}

bool mem_is_logging(const struct mem *m)
{
	return m->logging;
}

void *mem_log(const struct mem *m)
{
	const struct region *last = m->cnt ? &m->regions[m->cnt - 1] : NULL;

	if (last && (last->gpa + last->size - 1) / DIRTY_PAGE >= m->log.pages)
		return NULL;
	return m->log.map.host;
}

void mem_dirty(const struct mem *m, uint64_t gpa, uint64_t len)
{
	if (__builtin_expect(m->logging, 0))
		dirty_mark(&m->log, gpa, len);
}

static bool holds(const struct region *r, uintptr_t host)
{
	return host - (uintptr_t)r->host < r->size;
}

static const struct region *find_host(const struct mem *m, uintptr_t host)
{
	const unsigned hit = atomic_load_explicit(&m->hit, memory_order_relaxed);

	if (holds(&m->regions[hit], host))
		return &m->regions[hit];
	for (unsigned i = 0; i < m->cnt; i++) {
		if (holds(&m->regions[i], host))
			return &m->regions[i];
	}
	return NULL;
}

void mem_dirty_host(const struct mem *m, const void *host, uint64_t len)
{
	const struct region *r;
	uint64_t offset;

	if (__builtin_expect(!m->logging, 1))
		return;
	r = find_host(m, (uintptr_t)host);
	assert(r); /* it came from the table */
	offset = (uintptr_t)host - (uintptr_t)r->host;
	dirty_mark(&m->log, r->gpa + offset, len < r->size - offset ? len : r->size - offset);
}
