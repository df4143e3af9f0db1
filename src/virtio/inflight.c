/* SPDX-License-Identifier: MIT */
/* In-flight files: making and mapping them, and where each queue's region is. */
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/memfile.h"
#include "virtio/inflight-int.h"
#include "virtio/shmap.h"

/* Regions begin at multiples of this, as other back ends have it. */
#define REGION_ALIGN 64u
/* More than any message can name. */
#define QUEUES_MAX 65535u

/**
 * struct inflight_file - A mapped file
 * @lost: pages of it were taken away, and are zeros of our own now: what is tracked is tracked for
 *        nobody, and nothing else comes of it
 */
struct inflight_file {
	struct shmap map;
	atomic_bool lost;
	unsigned cnt;
	struct inflight queues[];
};

static uint64_t region_size(unsigned size, bool packed)
{
	uint64_t bytes = packed ? sizeof(struct region_packed) +
					  (uint64_t)size * sizeof(struct desc_state_packed)
				: sizeof(struct region_split) +
					  (uint64_t)size * sizeof(struct desc_state_split);

	return (bytes + REGION_ALIGN - 1) / REGION_ALIGN * REGION_ALIGN;
}

uint64_t inflight_size(unsigned queues, unsigned size, bool packed)
{
	return queues * region_size(size, packed);
}

int inflight_file_make(uint64_t size)
{
	cleanup_fd int fd = memfile_make("vmtap-inflight");

	if (fd < 0)
		return fd;
	if (size > INT64_MAX)
		return -EFBIG;
	if (ftruncate(fd, (off_t)size) < 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK) < 0)
		return -errno;
	return fd_steal(&fd);
}

static int check(uint64_t size, uint64_t offset, unsigned queues, unsigned queue_size, bool packed,
		 const char *object, struct vmtap_error *err)
{
	static const char action[] = "map the in-flight file";

	if (!queues || queues > QUEUES_MAX)
		return error_set(err, EINVAL, object, action, "%u queues cannot be", queues);
	if (!queue_size || queue_size > VRING_SIZE_MAX)
		return error_set(err, EINVAL, object, action, "queues of %u descriptors cannot be",
				 queue_size);
	if (size < inflight_size(queues, queue_size, packed))
		return error_set(err, EINVAL, object, action,
				 "%llu bytes do not do for %u queues of %u descriptors",
				 (unsigned long long)size, queues, queue_size);
	if (offset % _Alignof(struct region_packed))
		return error_set(err, EINVAL, object, action, "its offset %llu is not aligned",
				 (unsigned long long)offset);
	return 0;
}

static int lay_out(struct inflight_file *f, unsigned queue_size, bool packed)
{
	uint8_t *at = f->map.host;

	for (unsigned i = 0; i < f->cnt; i++) {
		struct inflight *q = &f->queues[i];

		if (packed)
			q->packed = (void *)at;
		else
			q->split = (void *)at;
		q->is_packed = packed;
		q->cap = queue_size;
		q->next = packed ? calloc(queue_size, sizeof(*q->next)) : NULL;
		if (packed && !q->next)
			return -ENOMEM;
		at += region_size(queue_size, packed);
	}
	return 0;
}

struct inflight_file *inflight_file_map(int fd, uint64_t size, uint64_t offset, unsigned queues,
					unsigned queue_size, bool packed, const char *object,
					struct vmtap_error *err)
{
	const struct shmap_part part = {
		.fd = fd,
		.size = size,
		.offset = offset,
		.object = object,
		.action = "map the in-flight file",
	};
	struct inflight_file *f;

	if (check(size, offset, queues, queue_size, packed, object, err) < 0)
		return NULL;
	f = calloc(1, sizeof(*f) + queues * sizeof(f->queues[0]));
	if (!f) {
		error_errno(err, ENOMEM, object, part.action);
		return NULL;
	}
	if (shmap_map(&f->map, &part, &f->lost, err) < 0) {
		free(f);
		return NULL;
	}
	f->cnt = queues;
	if (lay_out(f, queue_size, packed) < 0) {
		error_errno(err, ENOMEM, object, part.action);
		inflight_file_free(f);
		return NULL;
	}
	return f;
}

void inflight_file_free(struct inflight_file *f)
{
	if (!f)
		return;
	for (unsigned i = 0; i < f->cnt; i++)
		free(f->queues[i].next);
	shmap_unmap(&f->map);
	free(f);
}

struct inflight *inflight_of(struct inflight_file *f, unsigned queue)
{
	return f && queue < f->cnt ? &f->queues[queue] : NULL;
}

/* what both kinds of region share */

static int by_counter(const void *a, const void *b)
{
	const struct inflight_order *x = a, *y = b;

	if (x->counter != y->counter)
		return x->counter < y->counter ? -1 : 1;
	return x->chain.entry < y->chain.entry ? -1 : x->chain.entry > y->chain.entry;
}

int inflight_order(struct inflight *f, struct inflight_order *order, unsigned cnt,
		   struct inflight_found *found)
{
	f->counter = 0;
	if (!cnt)
		return 0;
	found->again = calloc(cnt, sizeof(*found->again));
	if (!found->again)
		return -ENOMEM;
	qsort(order, cnt, sizeof(*order), by_counter);
	for (unsigned i = 0; i < cnt; i++) {
		found->again[i] = order[i].chain;
		found->descs += order[i].chain.desc_cnt;
	}
	found->cnt = cnt;
	f->counter = order[cnt - 1].counter + 1;
	return 0;
}
