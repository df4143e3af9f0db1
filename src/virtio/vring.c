/* SPDX-License-Identifier: MIT */
/* A ring's life, its records, and telling the driver; the formats have files of their own. */
#include "virtio/vring.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/counter.h"
#include "base/error.h"
#include "virtio/inflight-int.h"
#include "virtio/vring-int.h"

struct vring *vring_new(void)
{
	struct vring *r = calloc(1, sizeof(*r)); /* pages that no ring needs are never touched */

	if (!r)
		return NULL;
	r->call.fd = r->err.fd = -1;
	return r;
}

void vring_free(struct vring *r)
{
	if (!r)
		return;
	vring_stop(r);
	free(r);
}

/* broken */

void vring_set_broken(struct vring *r, const char *why)
{
	if (!r->runs)
		return;
	r->runs = false;
	r->error = why;
	vring_fd_raise(&r->err);
}

const char *vring_error(const struct vring *r)
{
	return r->error;
}

bool vring_is_started(const struct vring *r)
{
	return r->started;
}

/* start and stop */

static int check_size(const struct vring_config *c, const char *object, struct vmtap_error *err)
{
	const bool power = c->size && !(c->size & (c->size - 1));

	if (c->size && c->size <= VRING_SIZE_MAX && (c->packed || power))
		return 0;
	return error_set(err, EINVAL, object, "start the ring", "its size is %u, which is not %s",
			 c->size, c->packed ? "1 to 32768" : "a power of two from 1 to 32768");
}

static int check_inflight(const struct vring_config *c, const char *object, struct vmtap_error *err)
{
	const struct inflight *f = c->inflight;

	if (!f || (f->is_packed == c->packed && f->cap >= c->size))
		return 0;
	return error_set(err, EINVAL, object, "start the ring",
			 "its in-flight region is for a %s ring of up to %u descriptors, and this "
			 "is a %s one of %u",
			 f->is_packed ? "packed" : "split", f->cap, c->packed ? "packed" : "split",
			 c->size);
}

/** struct part - A part of the ring in memory; @align: a power of two */
struct part {
	const char *name;
	uint64_t uva, len;
	unsigned align;
	void *host;
};

static int find_part(const struct mem *m, struct part *p, const char *object,
		     struct vmtap_error *err)
{
	static const char action[] = "start the ring";

	if (p->uva % p->align)
		return error_set(err, EINVAL, object, action,
				 "its %s at 0x%llx is not aligned to %u", p->name,
				 (unsigned long long)p->uva, p->align);
	p->host = mem_at_uva(m, p->uva, p->len);
	if (!p->host)
		return error_set(err, EFAULT, object, action,
				 "its %s, %llu bytes at 0x%llx, is not in the shared memory",
				 p->name, (unsigned long long)p->len, (unsigned long long)p->uva);
	if ((uintptr_t)p->host % p->align)
		return error_set(err, EINVAL, object, action, "its %s is not aligned in its file",
				 p->name);
	return 0;
}

/* Find the ring in memory. Return: 0 or -errno and @err. */
static int locate(struct vring *r, const char *object, struct vmtap_error *err)
{
	const struct vring_config *c = &r->cfg;
	const unsigned event = c->event_idx ? 2 : 0;
	struct part parts[] = {
		{ "descriptor table", c->desc, 16ull * c->size, 16 },
		{ "available ring", c->avail, 4 + 2ull * c->size + event, 2 },
		{ "used ring", c->used, 4 + 8ull * c->size + event, 4 },
	};

	if (c->packed) {
		parts[0].name = "descriptor ring";
		parts[1] = (struct part) { "driver area", c->avail, 4, 4 };
		parts[2] = (struct part) { "device area", c->used, 4, 4 };
	}
	for (unsigned i = 0; i < 3; i++) {
		int ret = find_part(r->mem, &parts[i], object, err);

		if (ret < 0)
			return ret;
	}
	if (c->packed) {
		r->pdesc = parts[0].host;
		r->driver_event = parts[1].host;
		r->device_event = parts[2].host;
		mem_uva_to_gpa(r->mem, c->desc, &r->desc_gpa);
		mem_uva_to_gpa(r->mem, c->used, &r->used_gpa);
	} else {
		r->desc = parts[0].host;
		r->avail = parts[1].host;
		r->used = parts[2].host;
		r->used_gpa = c->used_gpa;
	}
	memset(r->views, 0, sizeof(r->views));
	return 0;
}

static void prepare(struct vring *r, struct mem *mem, const struct vring_config *c)
{
	r->cfg = *c;
	r->mem = mem;
	r->size = c->size;
	r->packed = c->packed;
	r->event_idx = c->event_idx;
	r->indirect = c->indirect;
	r->log_used = c->log_used;
	r->inflight = c->inflight;
	r->called = false;
	r->batch = r->busy = 0;
	r->done = r->pushed = r->popped = 0;
	r->iov_head = r->iov_tail = 0;
	r->again_at = r->again_cnt = 0;
	r->rec_mask = 1;
	while (r->rec_mask < c->size)
		r->rec_mask *= 2;
	r->rec_mask--;
}

int vring_start(struct vring *r, struct mem *mem, const struct vring_config *config,
		const char *object, struct vmtap_error *err)
{
	int ret = check_size(config, object, err);

	assert(!r->started);
	if (ret == 0)
		ret = check_inflight(config, object, err);
	if (ret < 0)
		return ret;
	prepare(r, mem, config);
	ret = locate(r, object, err);
	if (ret < 0)
		return ret;
	ret = r->packed ? vring_packed_start(r) : vring_split_start(r);
	if (ret == -EINVAL)
		return error_set(err, EINVAL, object, "start the ring",
				 "its base 0x%x is beyond its size %u", config->base, config->size);
	if (ret < 0)
		return error_errno(err, -ret, object, "start the ring");
	r->error = NULL;
	r->started = r->runs = true;
	return 0;
}

int vring_remap(struct vring *r)
{
	if (!r->started)
		return 0;
	assert(r->popped == r->pushed && (!r->batch || !r->runs));
	if (locate(r, "", NULL) == 0)
		return 0;
	vring_set_broken(r, "the ring is outside of the shared memory");
	return -EFAULT;
}

uint32_t vring_stop(struct vring *r)
{
	if (!r->started)
		return r->base;
	assert(!r->lent);
	vring_publish(r);
	/* a ring that broke keeps what was pushed and not shown: nobody saw it */
	r->pushed = r->done;
	vring_unpop(r, r->popped - r->pushed);
	r->base = r->packed ? vring_packed_base(r) : vring_split_base(r);
	r->started = r->runs = false;
	free(r->again);
	r->again = NULL;
	r->inflight = NULL;
	return r->base;
}

bool vring_lend(struct vring *r, struct vmtap_vhost_ring *where)
{
	if (!r->runs || r->packed || r->popped != r->pushed || r->batch ||
	    r->again_at < r->again_cnt)
		return false;
	*where = (struct vmtap_vhost_ring) {
		.size = sizeof(*where),
		.entries = r->size,
		.base = r->avail_at,
		.desc = (uintptr_t)r->desc,
		.avail = (uintptr_t)r->avail,
		.used = (uintptr_t)r->used,
		.log_used = r->log_used && mem_is_logging(r->mem),
		.used_gpa = r->used_gpa,
		.kick = -1,
		.call = -1,
		.err = -1,
	};
	r->lent = true;
	r->runs = false;
	return true;
}

/* As after a start: the ring itself says how far it is used. */
void vring_take_back(struct vring *r)
{
	if (!r->lent)
		return;
	r->lent = false;
	r->runs = true;
	r->called = false;
	r->busy = 0;
	free(r->again);
	r->again = NULL;
	r->again_at = r->again_cnt = 0;
	if (vring_split_start(r) < 0)
		vring_set_broken(r, "there is no memory to look for chains in flight");
}

void vring_set_log(struct vring *r, bool on, uint64_t used_gpa)
{
	r->log_used = r->cfg.log_used = on;
	r->cfg.used_gpa = used_gpa;
	if (!r->packed)
		r->used_gpa = used_gpa;
}

void vring_set_fds(struct vring *r, int call, int err_fd)
{
	vring_fd_set(&r->call, call);
	vring_fd_set(&r->err, err_fd);
}

static void raise_call(struct vring *r)
{
	/* a driver without a descriptor looks by itself, and is not called */
	counter_add(&r->call_cnt, r->call.fd >= 0);
	vring_fd_raise(&r->call);
}

void vring_call(struct vring *r)
{
	if (r->runs || r->lent)
		raise_call(r);
}

uint64_t vring_calls(const struct vring *r)
{
	return counter_get(&r->call_cnt);
}

/* chains */

unsigned vring_pop(struct vring *r, struct vring_chain *chains, unsigned max)
{
	assert(max && max <= VRING_BURST_MAX);
	if (unlikely(!r->runs))
		return 0;
	if (r->popped == r->pushed)
		r->iov_head = r->iov_tail = 0;
	if (unlikely(r->again_at < r->again_cnt))
		return r->packed ? vring_packed_pop_again(r, chains, max)
				 : vring_split_pop_again(r, chains, max);
	return r->packed ? vring_packed_pop(r, chains, max) : vring_split_pop(r, chains, max);
}

void vring_unpop(struct vring *r, unsigned cnt)
{
	assert(cnt <= r->popped - r->pushed);
	while (cnt--) {
		const struct vring_rec *rec = vring_rec(r, --r->popped);

		r->iov_head = rec->iov_from;
		if (r->packed)
			vring_packed_unpop(r, rec);
		else
			vring_split_unpop(r, rec);
	}
}

/* The first @len bytes of what was writable. */
static void log_written(const struct vring *r, const struct vring_rec *rec, uint64_t len)
{
	const struct vring_dirty *d = &r->dirty[rec->iov_to - rec->in_cnt];

	for (unsigned i = 0; i < rec->in_cnt && len; i++) {
		uint64_t n = d[i].len < len ? d[i].len : len;

		mem_dirty(r->mem, d[i].gpa, n);
		len -= n;
	}
}

void vring_push(struct vring *r, const struct vring_chain *chain, uint32_t len)
{
	const struct vring_rec *rec = vring_rec(r, r->pushed);

	assert(r->pushed != r->popped && chain->id == rec->id && len <= chain->in_len);
	if (len && unlikely(mem_is_logging(r->mem)))
		log_written(r, rec, len);
	r->iov_tail = rec->iov_to;
	r->pushed++;
	if (unlikely(!r->runs))
		return;
	if (r->packed)
		vring_packed_push(r, rec, len);
	else
		vring_split_push(r, rec, len);
}

void vring_publish(struct vring *r)
{
	if (!r->batch || unlikely(!r->runs))
		return;
	if (r->packed ? vring_packed_publish(r) : vring_split_publish(r))
		raise_call(r);
	r->batch = 0;
	r->done = r->pushed;
	if (r->done == r->popped)
		r->done = r->pushed = r->popped = 0;
}

/* kicks */

bool vring_is_empty(const struct vring *r)
{
	if (!r->runs)
		return true;
	if (r->again_at < r->again_cnt)
		return false;
	return r->packed ? vring_packed_is_empty(r) : vring_split_is_empty(r);
}

unsigned vring_available(const struct vring *r)
{
	unsigned cnt;

	if (!r->started)
		return 0;
	cnt = r->packed ? vring_packed_available(r) : vring_split_available(r);
	return cnt < r->size ? cnt : r->size;
}

bool vring_is_blank(const struct vring *r)
{
	if (!r->runs)
		return false;
	if (r->packed)
		return !load64(&r->pdesc[0].addr) && !load16(&r->pdesc[0].flags) &&
		       !load16(&r->driver_event->flags);
	return !load64(&r->desc[0].addr) && !load16(&r->avail->idx) && !load16(&r->avail->flags);
}

bool vring_want_kicks(struct vring *r, bool on)
{
	if (!r->runs)
		return false;
	if (r->packed)
		vring_packed_want_kicks(r, on);
	else
		vring_split_want_kicks(r, on);
	if (!on)
		return false;
	full_barrier(); /* the driver adds, and looks whether we want to be kicked */
	return !vring_is_empty(r);
}
