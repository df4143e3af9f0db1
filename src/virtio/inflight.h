/* SPDX-License-Identifier: MIT */
/*
 * Chains in flight, in memory that survives us (vhost-user, "Inflight I/O
 * tracking"): after a crash, the next device finds which chains were fetched and not
 * yet returned.
 *
 * Layout
 *   The front end keeps the file; each queue has a region in it, whose layout
 *   is that of the specification's example (struct QueueRegionSplit and
 *   QueueRegionPacked), version 1.
 *
 * What the front end may do wrong
 *   The file comes back with anything in it: sizes, indices and links are
 *   checked when a ring starts, and what does not fit is as if there was nothing.
 */
#ifndef VIRTIO_INFLIGHT_H
#define VIRTIO_INFLIGHT_H

#include <stdbool.h>
#include <stdint.h>

#include "vmtap/vmtap.h"

struct inflight;
struct inflight_file;

/** inflight_size() - Bytes that @queues queues of @size descriptors need. */
uint64_t inflight_size(unsigned queues, unsigned size, bool packed);

/** inflight_file_make() - A new file (memfd, sealed against shrinking), all zero. Return: owned descriptor or -errno. */
int inflight_file_make(uint64_t size);

/** inflight_file_map() - Map @size bytes at @offset of @fd (borrowed). Return: owned; NULL and @err. */
struct inflight_file *inflight_file_map(int fd, uint64_t size, uint64_t offset, unsigned queues,
					unsigned queue_size, bool packed, const char *object,
					struct vmtap_error *err);
void inflight_file_free(struct inflight_file *f);

/** inflight_of() - The region of one queue; NULL: it has none. Lives as long as the file. */
struct inflight *inflight_of(struct inflight_file *f, unsigned queue);

#endif
