/* SPDX-License-Identifier: MIT */
/* What the tests of guest memory share: files that stand for a front end's. */
#ifndef MEM_TEST_H
#define MEM_TEST_H

#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fd.h"
#include "virtio/mem.h"

#define KIB 1024ull
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)
#define PAGE 4096ull
#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
/* The uva of a gpa, in tests that do not care. */
#define UVA 0x7f0000000000ull

/* A file of @size bytes in memory; the tests know it by its name in /proc/self/smaps. */
static inline int file_of(uint64_t size)
{
	int fd = memfd_create("guest", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	return fd;
}

static inline struct mem_slot slot_at(uint64_t gpa, uint64_t size, uint64_t offset)
{
	return (struct mem_slot) { .gpa = gpa, .size = size, .uva = UVA + gpa, .offset = offset };
}

/* A table with one region: all of @fd, from @gpa on. */
static inline struct mem *mem_with(int fd, uint64_t gpa, uint64_t size)
{
	struct mem *m = mem_new();
	struct mem_slot s = slot_at(gpa, size, 0);

	assert_non_null(m);
	assert_int_equal(mem_add(m, &s, fd, "test", NULL), 0);
	return m;
}

/* The host address of @gpa, with @len bytes in one piece. */
static inline void *host_of(const struct mem *m, uint64_t gpa, uint64_t len)
{
	uint64_t got = len;
	void *host = mem_at(m, gpa, &got);

	assert_non_null(host);
	assert_true(got == len);
	return host;
}

#endif
