/* SPDX-License-Identifier: MIT */
/*
 * The dirty log.
 *
 * Order
 *   We write data, then the bit. The front end fetches the bit and clears it in one step, then
 *   reads the data. Nothing may get lost, so either it sees our data or our bit stays for
 *   its next look. Two things follow:
 *   - The bit is set with release, which pairs with the front end's fetch. With a relaxed OR a
 *     machine may show the bit before the data; the front end takes it, copies the old page, and
 *     never looks again. The release with which a ring is published comes later and says nothing about
 *     these two.
 *   - The bit is set even when it is set already. To look first and leave it would be a load
 *     that may pass our own store of the data, on x86 as well: we see the bit that the front end
 *     is about to take, and it sees the page without what we have just written. The full barrier that
 *     mends this costs as much as the atomic OR does.
 *
 * The log is an array of bytes, bit 0 of byte 0 first, on machines of either byte order.
 */
#include "virtio/dirty.h"

#include <stdatomic.h>
#include <string.h>

int dirty_set(struct dirty *d, const struct shmap_part *part, atomic_bool *lost,
	      struct vmtap_error *err)
{
	struct dirty fresh = { 0 };
	int ret;

	if (part->fd != -1) {
		ret = shmap_map(&fresh.map, part, lost, err);
		if (ret < 0)
			return ret;
		/* a file has at most 2^63 bytes; a page number has 52 bits */
		fresh.pages = part->size < UINT64_MAX / 8 ? part->size * 8 : UINT64_MAX;
	}
	shmap_unmap(&d->map);
	*d = fresh;
	return 0;
}

void dirty_mark(const struct dirty *d, uint64_t gpa, uint64_t len)
{
	_Atomic uint8_t *log = d->map.host;
	uint64_t last = gpa + len - 1;
	uint64_t page = gpa / DIRTY_PAGE;

	if (len == 0)
		return;
	if (last < gpa)
		last = UINT64_MAX;
	last /= DIRTY_PAGE;
	if (page >= d->pages)
		return;
	if (last >= d->pages)
		last = d->pages - 1;
	/* a byte at a time: 8 pages */
	for (; page <= last; page = (page | 7) + 1) {
		unsigned mask = 0xffu << page % 8;

		if (page / 8 == last / 8)
			mask &= 0xffu >> (7 - last % 8);
		atomic_fetch_or_explicit(&log[page / 8], (uint8_t)mask, memory_order_release);
	}
}
