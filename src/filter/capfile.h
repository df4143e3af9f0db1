/* SPDX-License-Identifier: MIT */
/*
 * Where a capture goes: a file, a pipe, a socket, or a ring of files.
 *
 * Model
 *   Blocks are gathered and written together; what is written ends with a block. With several files, the next one
 *   is begun before one gets longer than it may; after the last comes the first again, emptied. Each file
 *   begins with what capfile_begin() got, and ends with what @finish makes.
 *
 * Threads
 *   The writer of a capture, which may wait here: for a disk, or for whoever reads the pipe. @hurry, set
 *   by another thread, ends waits for a reader after CAPFILE_PATIENCE_MS.
 */
#ifndef FILTER_CAPFILE_H
#define FILTER_CAPFILE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "vmtap/vmtap.h"

#define CAPFILE_BUF (256u * 1024)
#define CAPFILE_PATIENCE_MS 500

/** struct capfile_config - @fds: taken, @cnt of them; @max_bytes: of each, 0: no limit */
struct capfile_config {
	const int *fds;
	unsigned cnt;
	uint64_t max_bytes;
	/* what a file ends with; writes up to @size bytes to @buf and returns their number */
	size_t (*finish)(void *opaque, void *buf, size_t size);
	void *opaque;
	const atomic_bool *hurry;
};

/**
 * struct capfile - An output in progress
 * @whole: bytes of the file that are written and end with a block
 * @base:  where that begins: the file may have been written to before
 * @used:  of the files, beginning with the first
 */
struct capfile {
	struct capfile_config config;
	int fds[VMTAP_CAPTURE_FILES_MAX];
	mode_t kind;
	unsigned at, used;
	uint64_t whole;
	off_t base;
	uint8_t *buf;
	size_t len;
	uint8_t head[8192]; /* what each file begins with */
	size_t head_len;
};

/** capfile_init() - Return: 0 or -errno; the descriptors are taken in any case. */
int capfile_init(struct capfile *f, const struct capfile_config *config);
void capfile_fini(struct capfile *f);

/** capfile_reader() - The descriptor that poll() reports without being asked when whoever reads it is gone; -1: a
 *  file, which has no reader. */
int capfile_reader(const struct capfile *f);

/* Each of these returns 0, or -errno: the output can take no more. */

/** capfile_begin() - Begin the first file with @len bytes, sizeof(f->head) at most. */
int capfile_begin(struct capfile *f, const void *head, size_t len);
/** capfile_room() - Have room for a block of up to @len bytes. Return: where it goes; NULL and *@ret. */
void *capfile_room(struct capfile *f, size_t len, int *ret);
/** capfile_add() - A block of @len bytes is where capfile_room() said. */
void capfile_add(struct capfile *f, size_t len);
int capfile_flush(struct capfile *f);
/** capfile_end() - The last file ends. */
int capfile_end(struct capfile *f);

#endif
