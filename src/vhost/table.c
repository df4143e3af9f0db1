/* SPDX-License-Identifier: MIT */
/* The guest's memory as vhost-net takes it. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/error.h"
#include "vhost/vhost-int.h"

#define ACTION "describe the guest's memory to vhost-net"
#define LIMIT_FILE "/sys/module/vhost/parameters/max_mem_regions"
#define LIMIT_DEFAULT 64

unsigned vhost_regions_max(void)
{
	unsigned max = 0;
	FILE *f = fopen(LIMIT_FILE, "re");

	if (!f)
		return LIMIT_DEFAULT;
	if (fscanf(f, "%u", &max) != 1 || max == 0)
		max = LIMIT_DEFAULT;
	fclose(f);
	return max;
}

static int by_gpa(const void *a, const void *b)
{
	const struct vhost_memory_region *x = a, *y = b;

	return (x->guest_phys_addr > y->guest_phys_addr) -
	       (x->guest_phys_addr < y->guest_phys_addr);
}

static bool wraps(uint64_t start, uint64_t size)
{
	return start + (size - 1) < start;
}

static int check(const struct vhost_memory *m, const char *object, struct vmtap_error *err)
{
	for (unsigned i = 0; i < m->nregions; i++) {
		const struct vhost_memory_region *r = &m->regions[i];
		const char *why = NULL;

		if (r->memory_size == 0)
			why = "is empty";
		else if (wraps(r->guest_phys_addr, r->memory_size) ||
			 wraps(r->userspace_addr, r->memory_size))
			why = "goes beyond the end of the address space";
		else if (i && r->guest_phys_addr - r[-1].guest_phys_addr < r[-1].memory_size)
			why = "overlaps with another";
		if (why)
			return error_set(err, EINVAL, object, ACTION,
					 "the region of %" PRIu64
					 " bytes at guest address 0x%" PRIx64 " %s",
					 (uint64_t)r->memory_size, (uint64_t)r->guest_phys_addr,
					 why);
	}
	return 0;
}

static bool follows(const struct vhost_memory_region *a, const struct vhost_memory_region *b)
{
	return a->guest_phys_addr + a->memory_size == b->guest_phys_addr &&
	       a->userspace_addr + a->memory_size == b->userspace_addr;
}

/* The kernel takes few regions, and a guest's memory comes in more pieces than it has gaps. */
static void join(struct vhost_memory *m)
{
	unsigned to = 0;

	for (unsigned i = 1; i < m->nregions; i++) {
		if (follows(&m->regions[to], &m->regions[i]))
			m->regions[to].memory_size += m->regions[i].memory_size;
		else
			m->regions[++to] = m->regions[i];
	}
	if (m->nregions)
		m->nregions = to + 1;
}

struct vhost_memory *vhost_table_new(const struct vmtap_vhost_region *regions, unsigned cnt,
				     const char *object, struct vmtap_error *err)
{
	struct vhost_memory *m = calloc(1, sizeof(*m) + cnt * sizeof(m->regions[0]));

	if (!m) {
		error_errno(err, ENOMEM, object, ACTION);
		return NULL;
	}
	m->nregions = cnt;
	for (unsigned i = 0; i < cnt; i++)
		m->regions[i] = (struct vhost_memory_region) {
			.guest_phys_addr = regions[i].gpa,
			.memory_size = regions[i].len,
			.userspace_addr = (uintptr_t)regions[i].host,
		};
	qsort(m->regions, cnt, sizeof(m->regions[0]), by_gpa);
	if (check(m, object, err) < 0) {
		free(m);
		return NULL;
	}
	join(m);
	return m;
}

int vhost_set_mem(struct vmtap_vhost *v, const struct vmtap_vhost_region *regions, unsigned cnt,
		  struct vmtap_error *err)
{
	struct vhost_memory *m = vhost_table_new(regions, cnt, v->object, err);
	int ret;

	if (!m)
		return err && err->code ? -err->code : -EINVAL;
	ret = vhost_call(v, VHOST_SET_MEM_TABLE, m, ACTION, err);
	if (ret == -E2BIG) {
		error_set(err, E2BIG, v->object, ACTION,
			  "it has %u regions, and this kernel takes %u", m->nregions,
			  vhost_regions_max());
		error_remedy(err, "modprobe vhost max_mem_regions=509, or vhost=off");
	}
	free(m);
	return ret;
}
