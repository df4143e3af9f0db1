/* SPDX-License-Identifier: MIT */
/*
 * The pcapng file format: blocks, written into memory.
 *
 * Model
 *   A file is a section header, one interface, frames, and statistics of that interface. All in the
 *   host's byte order, which the section header tells. Each function writes one whole block, or says that there
 *   is no room; nothing is kept between calls.
 *
 * See draft-ietf-opsawg-pcapng.
 */
#ifndef FILTER_PCAPNG_H
#define FILTER_PCAPNG_H

#include <stddef.h>
#include <stdint.h>

/** Bytes that a frame's block has besides its frame and its comment, at most; and all other blocks, each. */
#define PCAPNG_FRAME_OVERHEAD 128u
#define PCAPNG_BLOCK_MAX 4096u

/** Which way a frame went, as in the block's flags. */
enum pcapng_way {
	PCAPNG_INBOUND = 1,
	PCAPNG_OUTBOUND = 2,
};

/** struct pcapng_if - What the interface's block says; texts may be NULL, and are cut at 1000 bytes */
struct pcapng_if {
	const char *name, *description, *filter;
	uint32_t snaplen; /* 0: no limit */
};

/**
 * struct pcapng_frame - A frame
 * @ts_ns:   nanoseconds since 1970
 * @cap_len: bytes at @data; @len: bytes that the frame had
 * @lost:    frames that were lost since the one before
 * @comment: NULL: none
 */
struct pcapng_frame {
	uint64_t ts_ns;
	const void *data;
	uint32_t cap_len, len;
	enum pcapng_way way;
	uint64_t lost;
	const char *comment;
};

/** struct pcapng_stats - The interface's statistics, at the end */
struct pcapng_stats {
	uint64_t start_ns, end_ns;
	uint64_t seen, accepted, lost, written;
};

/** Each returns the bytes written to @buf, a multiple of four; 0: @size is too small. */
size_t pcapng_section(void *buf, size_t size, const char *hardware, const char *os,
		      const char *program);
size_t pcapng_interface(void *buf, size_t size, const struct pcapng_if *i);
size_t pcapng_frame(void *buf, size_t size, const struct pcapng_frame *f);
size_t pcapng_stats(void *buf, size_t size, const struct pcapng_stats *s);

#endif
