/* SPDX-License-Identifier: MIT */
/*
 * Requests about memory: the guest's, and the dirty log.
 *
 * Problem
 *   The table changes while rings run: memory is plugged, or the guest moves a
 *   window. With memory slots a front end removes the old region and then adds the new one,
 *   and the rings may lie in it.
 *
 * Model
 *   Rings pause for each change (the port is told) and look for themselves
 *   afterwards. One that is nowhere waits until it is somewhere again.
 *
 * Slots, twice
 *   QEMU 7.2 adds and removes each region once for every queue pair. So one that is there
 *   is mapped anew, and one that is not is gone already.
 */
#include <errno.h>
#include <stdio.h>

#include "base/error.h"
#include "port/vu/session-int.h"

#define TABLE_HDR offsetof(struct vu_mem_table, regions)

static int refuse_unshared(struct vu_session *s, unsigned index)
{
	int ret = vu_refuse(s, EBADF,
			    "no descriptor came for memory region %u: the guest's memory is not "
			    "shared",
			    index);

	error_remedy(&s->why, "let the VMM share it; QEMU: -object "
			      "memory-backend-memfd,id=mem,size=...,share=on and "
			      "-machine memory-backend=mem");
	return ret;
}

static struct mem_slot slot_of(const struct vu_region *region)
{
	return (struct mem_slot) {
		.gpa = region->gpa,
		.size = region->size,
		.uva = region->uva,
		.offset = region->offset,
	};
}

static int add_region(struct vu_session *s, const struct vu_region *region, int fd)
{
	const struct mem_slot slot = slot_of(region);
	struct vmtap_error inner = { 0 };

	if (mem_add(s->dev->mem, &slot, fd, s->dev->object, &inner) < 0)
		return vu_refuse_for(s, &inner);
	return 0;
}

static int check_table(struct vu_session *s, const struct vu_msg *m)
{
	const struct vu_mem_table *t = &m->body.table;

	if (m->hdr.size < TABLE_HDR)
		return vu_refuse(s, EPROTO, "its payload has %u bytes", m->hdr.size);
	if (t->cnt > VU_REGIONS_MAX)
		return vu_refuse(s, EPROTO, "it has %u regions, more than %u", t->cnt,
				 VU_REGIONS_MAX);
	/* A table of fewer regions may be padded to its full size. */
	if (m->hdr.size < TABLE_HDR + t->cnt * sizeof(t->regions[0]))
		return vu_refuse(s, EPROTO, "its payload of %u bytes is too short for %u regions",
				 m->hdr.size, t->cnt);
	if (m->fd_cnt > t->cnt)
		return vu_refuse(s, EPROTO, "%u descriptors came with %u regions", m->fd_cnt,
				 t->cnt);
	return m->fd_cnt < t->cnt ? refuse_unshared(s, m->fd_cnt) : 0;
}

static int replace_table(struct vu_session *s, const struct vu_msg *m)
{
	mem_clear(s->dev->mem);
	for (unsigned i = 0; i < m->body.table.cnt; i++) {
		int ret = add_region(s, &m->body.table.regions[i], m->fds[i]);

		if (ret < 0)
			return ret;
	}
	return 0;
}

/* The rings look for themselves also when the change failed: what they knew may be gone. */
static int resume_after(struct vu_session *s, int changed)
{
	if (changed == 0)
		return vu_rings_resume(s);
	const struct vmtap_error why = s->why;

	vu_rings_resume(s);
	s->why = why;
	return changed;
}

int vu_set_mem_table(struct vu_session *s, struct vu_msg *m)
{
	int ret = check_table(s, m);

	if (ret < 0)
		return ret;
	vu_rings_pause(s);
	return resume_after(s, replace_table(s, m));
}

int vu_get_max_mem_slots(struct vu_session *s, struct vu_msg *m)
{
	return vu_reply_u64(s, s->dev->slots_max);
}

int vu_add_mem_reg(struct vu_session *s, struct vu_msg *m)
{
	const struct mem_slot slot = slot_of(&m->body.reg.region);

	if (m->fd_cnt == 0)
		return refuse_unshared(s, mem_cnt(s->dev->mem));
	vu_rings_pause(s);
	mem_del(s->dev->mem, &slot); /* it is added again */
	return resume_after(s, add_region(s, &m->body.reg.region, m->fds[0]));
}

/* A descriptor may come along, and means nothing. Neither does a region that is gone already. */
int vu_rem_mem_reg(struct vu_session *s, struct vu_msg *m)
{
	const struct mem_slot slot = slot_of(&m->body.reg.region);

	vu_rings_pause(s);
	mem_del(s->dev->mem, &slot);
	return resume_after(s, 0);
}

/* QEMU reads any reply; others want a zero. */
int vu_set_log_base(struct vu_session *s, struct vu_msg *m)
{
	struct vmtap_error inner = { 0 };
	int ret;

	s->dev->ops->log_changing(s->dev);
	ret = mem_log_set(s->dev->mem, m->fds[0], m->body.log.size, m->body.log.offset,
			  s->dev->object, &inner);
	s->dev->ops->log_changed(s->dev);
	return ret < 0 ? vu_refuse_for(s, &inner) : vu_reply_u64(s, 0);
}

/* The back end may tell the front end through it that the log changed, and need not. */
int vu_set_log_fd(struct vu_session *s, struct vu_msg *m)
{
	return 0;
}
