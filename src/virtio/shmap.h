/* SPDX-License-Identifier: MIT */
/*
 * A part of a file that somebody else shares with us, mapped.
 *
 * Model
 *   The pages that the part touches are mapped, and no others; what is not a
 *   multiple of a page (or of a huge page) is rounded for the kernel, and @host points to the first byte
 *   that was asked for. Never in a core dump: it is not our memory.
 *
 * What the other side may do wrong
 *   Sizes and offsets are checked against the file. A file that is shrunk later: virtio/guard.h. Only
 *   files in memory are taken: a page of one on a disk, a network or FUSE can take for ever to come,
 *   and every port with it.
 */
#ifndef VIRTIO_SHMAP_H
#define VIRTIO_SHMAP_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "vmtap/vmtap.h"

/** struct shmap - @host: the first byte; NULL: nothing is mapped. The rest is its own. */
struct shmap {
	void *host;
	void *base;
	size_t len;
	int guard;
};

/**
 * struct shmap_part - What to map
 * @fd:     borrowed
 * @size, @offset: bytes
 * @object, @action: what errors say
 * @remedy: what to do when @fd is nothing that can be shared; NULL: nothing to be done
 */
struct shmap_part {
	int fd;
	uint64_t size, offset;
	const char *object, *action, *remedy;
};

/** shmap_map() - @lost is raised when pages of it went; valid until shmap_unmap().
 *  Return: 0 or -errno and @err; EINVAL: the part is not in the file, or the file is not in memory. */
int shmap_map(struct shmap *s, const struct shmap_part *part, atomic_bool *lost,
	      struct vmtap_error *err);

/** shmap_unmap() - Fine when nothing is mapped. */
void shmap_unmap(struct shmap *s);

#endif
