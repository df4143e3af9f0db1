/* SPDX-License-Identifier: MIT */
/* A part of a file that somebody else shares with us, mapped. */
#include "virtio/shmap.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "base/error.h"
#include "virtio/guard.h"

/** struct span - What is mapped for a part: @lead bytes ahead of it, @len in all, both by @block */
struct span {
	uint64_t lead, len, block;
};

static int refuse(const struct shmap_part *part, int code, const char *reason, const char *remedy,
		  struct vmtap_error *err)
{
	error_set(err, code, part->object, part->action, "%s", reason);
	if (remedy)
		error_remedy(err, "%s", remedy);
	return -code;
}

/* A file in memory (memfd, tmpfs, hugetlbfs), that may be read and written through this descriptor. Only
 * such files have seals, and the kernel tells without asking a file system, which for others may be a
 * program of the front end's. */
static int check_kind(const struct shmap_part *part, struct stat *st, struct vmtap_error *err)
{
	int flags = fcntl(part->fd, F_GETFL);

	if (flags < 0)
		return refuse(part, errno, "it came without a usable descriptor", part->remedy,
			      err);
	if (!(flags & O_PATH) && fcntl(part->fd, F_GET_SEALS) < 0)
		return refuse(part, EINVAL, "its descriptor is no file in memory", part->remedy,
			      err);
	if (fstat(part->fd, st) < 0)
		return error_errno(err, errno, part->object, part->action);
	if ((flags & O_PATH) || (flags & O_ACCMODE) != O_RDWR)
		return refuse(part, EACCES,
			      (flags & O_ACCMODE) == O_RDONLY
				      ? "its descriptor is read-only, and the device has to write"
				      : "its descriptor cannot be read and written",
			      "share a file that is open for reading and writing "
			      "(QEMU: without readonly=on)",
			      err);
	return 0;
}

static int check_size(const struct shmap_part *part, const struct stat *st, struct vmtap_error *err)
{
	const uint64_t file = (uint64_t)st->st_size;

	if (part->size == 0)
		return refuse(part, EINVAL, "its size is 0", NULL, err);
	if (part->offset <= file && part->size <= file - part->offset)
		return 0;
	return error_set(err, EINVAL, part->object, part->action,
			 "%" PRIu64 " bytes at offset %" PRIu64
			 " are beyond the end of the file, which has %" PRIu64,
			 part->size, part->offset, file);
}

/* Pages, but for hugetlbfs, which maps and unmaps nothing smaller than its own. */
static int block_of(int fd, uint64_t *block)
{
	struct statfs fs;

	*block = (uint64_t)sysconf(_SC_PAGESIZE);
	if (fstatfs(fd, &fs) < 0)
		return -errno;
	if ((unsigned long)fs.f_type == HUGETLBFS_MAGIC)
		*block = (uint64_t)fs.f_bsize;
	return 0;
}

/* The part is in the file, so that no sum of its numbers wraps. */
static int span_of(const struct shmap_part *part, struct span *span)
{
	int ret = block_of(part->fd, &span->block);

	if (ret < 0)
		return ret;
	span->lead = part->offset % span->block;
	span->len = span->lead + part->size + span->block - 1;
	span->len -= span->len % span->block;
	return span->len > PTRDIFF_MAX ? -ENOMEM : 0;
}

static int explain(const struct shmap_part *part, int code, struct vmtap_error *err)
{
	if (code == EPERM)
		return refuse(part, code, "its file is sealed against writing", NULL, err);
	if (code == ENODEV)
		return refuse(part, code, "its file cannot be mapped", part->remedy, err);
	return error_errno(err, code, part->object, part->action);
}

/* Return: 0 or -errno. */
static int map_span(struct shmap *s, const struct shmap_part *part, const struct span *span,
		    atomic_bool *lost)
{
	int ret = 0;

	s->len = (size_t)span->len;
	s->base = mmap(NULL, s->len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, part->fd,
		       (off_t)(part->offset - span->lead));
	if (s->base == MAP_FAILED)
		return -errno;
	if (madvise(s->base, s->len, MADV_DONTDUMP) < 0)
		ret = -errno;
	if (ret == 0)
		ret = s->guard = guard_add(s->base, s->len, (size_t)span->block, lost);
	if (ret < 0) {
		munmap(s->base, s->len);
		return ret;
	}
	s->host = (uint8_t *)s->base + span->lead;
	return 0;
}

int shmap_map(struct shmap *s, const struct shmap_part *part, atomic_bool *lost,
	      struct vmtap_error *err)
{
	struct stat st;
	struct span span;
	int ret;

	memset(s, 0, sizeof(*s));
	ret = check_kind(part, &st, err);
	if (ret == 0)
		ret = check_size(part, &st, err);
	if (ret < 0)
		return ret;
	ret = span_of(part, &span);
	if (ret == 0)
		ret = map_span(s, part, &span, lost);
	if (ret == 0)
		return 0;
	memset(s, 0, sizeof(*s));
	return explain(part, -ret, err);
}

void shmap_unmap(struct shmap *s)
{
	if (!s->host)
		return;
	guard_del(s->guard);
	munmap(s->base, s->len);
	memset(s, 0, sizeof(*s));
}
