/* SPDX-License-Identifier: MIT */
/*
 * Counts how often a program asks for memory or gives it back, in a file of 8 bytes that another one
 * reads meanwhile.
 *
 *   LD_PRELOAD=count-alloc.so COUNT_ALLOC=FILE program
 *
 * The C library's own names for its functions are called, since dlsym() asks for memory itself.
 */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t cnt, size_t size);
void *__libc_realloc(void *p, size_t size);
void *__libc_memalign(size_t align, size_t size);
void __libc_free(void *p);

static atomic_uint_fast64_t early; /* before the file is there */
static atomic_uint_fast64_t *calls = &early;

static __attribute__((constructor)) void begin(void)
{
	const char *name = getenv("COUNT_ALLOC");
	int fd = name ? open(name, O_RDWR | O_CLOEXEC) : -1;
	void *at;

	if (fd < 0)
		return;
	at = mmap(NULL, sizeof(*calls), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (at == MAP_FAILED)
		return;
	calls = at;
	atomic_store(calls, early);
}

static void count(void)
{
	atomic_fetch_add_explicit(calls, 1, memory_order_relaxed);
}

EXPORT void *malloc(size_t size)
{
	count();
	return __libc_malloc(size);
}

EXPORT void *calloc(size_t cnt, size_t size)
{
	count();
	return __libc_calloc(cnt, size);
}

EXPORT void *realloc(void *p, size_t size)
{
	count();
	return __libc_realloc(p, size);
}

EXPORT void *memalign(size_t align, size_t size)
{
	count();
	return __libc_memalign(align, size);
}

EXPORT void *aligned_alloc(size_t align, size_t size)
{
	return memalign(align, size);
}

EXPORT int posix_memalign(void **p, size_t align, size_t size)
{
	*p = memalign(align, size);
	return *p ? 0 : ENOMEM;
}

EXPORT void free(void *p)
{
	count();
	__libc_free(p);
}
