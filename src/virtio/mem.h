/* SPDX-License-Identifier: MIT */
/*
 * The guest's memory, as a vhost front end shares it: regions, translation,
 * the dirty log, and what happens when the memory is taken away.
 *
 * Model
 *   A region is a piece of guest physical address space ("gpa") that lies in
 *   a file; the front end knows it by an address of its own ("uva") as well.
 *   Rings are given by uva, buffers by gpa. Each region is mapped shared,
 *   and with nothing but its own pages.
 *
 * What the front end may do wrong
 *   Regions that overlap, wrap, or lie beyond their file are refused. A file
 *   that is shrunk afterwards would end the process by SIGBUS: the pages that
 *   went are replaced by zeros of our own, and mem_is_lost() is true from
 *   then on; who uses the memory looks there once a burst. A system call that
 *   meets such a page first says EFAULT, and no flag is raised. Fault handling is
 *   the process's (virtio/guard.h); a SIGBUS that is not about such memory goes on to whoever
 *   handled it before.
 *
 * Threads
 *   Changing the table and using it exclude each other (the port's loop does
 *   both). The fault handler runs in whichever thread touched the page.
 */
#ifndef VIRTIO_MEM_H
#define VIRTIO_MEM_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "vmtap/vmtap.h"

/** Regions that a table takes; as many memory slots are offered to front ends. */
#define MEM_REGIONS_MAX 509

/** struct mem_slot - A region as a front end describes it; @offset: of its first byte in the file */
struct mem_slot {
	uint64_t gpa, size, uva, offset;
};

struct mem;

/** mem_new() - An empty table. Return: owned; NULL: no memory. */
struct mem *mem_new(void);
/** mem_free() - Unmap everything and free. NULL is fine. */
void mem_free(struct mem *m);

/** mem_add() - Map a region. @fd is borrowed; @object is what errors name.
 *  Return: 0 or -errno and @err: EINVAL (size, overlap, wrap, beyond the file, no file; gpa, uva and
 *  offset that differ in their lowest 4 bits: a host address is aligned as its gpa and uva are),
 *  EACCES (read-only), ENOSPC (too many), or what mmap() said. */
int mem_add(struct mem *m, const struct mem_slot *slot, int fd, const char *object,
	    struct vmtap_error *err);

/** mem_del() - Unmap the region with the same gpa, size and uva. Return: 0 or -ENOENT. */
int mem_del(struct mem *m, const struct mem_slot *slot);

/** mem_clear() - Unmap all regions; the dirty log stays, unless it is lost. */
void mem_clear(struct mem *m);

unsigned mem_cnt(const struct mem *m);

/** mem_regions() - Where they are: the first @max of mem_cnt(). Return: how many. */
unsigned mem_regions(const struct mem *m, struct vmtap_vhost_region *regions, unsigned max);

/** mem_is_lost() - Was a page of it, or of the dirty log, taken away? Stays true until mem_clear(). */
bool mem_is_lost(const struct mem *m);

/**
 * mem_at() - Where a guest physical address is
 * @len: bytes wanted, at least 1; receives how many of them are there in one piece
 *
 * Return: host address; NULL: the first byte is in no region. A range that crosses from one region
 * into the next is got in several calls.
 */
void *mem_at(const struct mem *m, uint64_t gpa, uint64_t *len);

/** mem_at_uva() - The same for an address of the front end's; all @len bytes are in one region, or NULL. */
void *mem_at_uva(const struct mem *m, uint64_t uva, uint64_t len);

/** mem_uva_to_gpa() - Return: 0 and @gpa; -EFAULT: in no region. */
int mem_uva_to_gpa(const struct mem *m, uint64_t uva, uint64_t *gpa);

/* The dirty log: a bit a page of 4096 bytes, page 0 first, set for what was written (vhost-user,
 * "Migration"). */

/** mem_log_set() - Use @size bytes at @offset of the file @fd (borrowed) from now on; @fd -1: none.
 *  Return: 0 or -errno and @err. */
int mem_log_set(struct mem *m, int fd, uint64_t size, uint64_t offset, const char *object,
		struct vmtap_error *err);

/** mem_log_on() - Log, or not. Off in the beginning. */
void mem_log_on(struct mem *m, bool on);
bool mem_is_logging(const struct mem *m);

/** mem_log() - The log's first byte, for somebody else who writes to it. NULL: there is none, or it does not
 *  reach to the end of the guest's memory. */
void *mem_log(const struct mem *m);

/** mem_dirty() - [@gpa, @gpa + @len) was written; after the data, before it is published. Atomic against
 *  the front end that collects the bits. Nothing when not logging; what lies beyond the log is left out. */
void mem_dirty(const struct mem *m, uint64_t gpa, uint64_t len);

/** mem_dirty_host() - The same for an address that mem_at() or mem_at_uva() returned. */
void mem_dirty_host(const struct mem *m, const void *host, uint64_t len);

#endif
