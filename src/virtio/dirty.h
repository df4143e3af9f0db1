/* SPDX-License-Identifier: MIT */
/*
 * The dirty log: a bit a page of the guest's that was written to, in memory that the front end
 * shares and empties while it migrates the guest.
 */
#ifndef VIRTIO_DIRTY_H
#define VIRTIO_DIRTY_H

#include <stdint.h>

#include "virtio/shmap.h"

/** The unit of the log, whatever the host's pages are. */
#define DIRTY_PAGE 4096

/** struct dirty - A log; all zero: none. @pages: bits in it */
struct dirty {
	struct shmap map;
	uint64_t pages;
};

/** dirty_set() - Use @part from now on; its fd -1: none. The old one stays when it fails.
 *  Return: as shmap_map(). */
int dirty_set(struct dirty *d, const struct shmap_part *part, atomic_bool *lost,
	      struct vmtap_error *err);

/** dirty_mark() - Set the bits of [@gpa, @gpa + @len), as far as there are any. */
void dirty_mark(const struct dirty *d, uint64_t gpa, uint64_t len);

#endif
