/* SPDX-License-Identifier: MIT */
/* The pcapng file format: blocks, written into memory. */
#include "filter/pcapng.h"

#include <stdbool.h>
#include <string.h>

enum {
	BLOCK_SECTION = 0x0a0d0d0a,
	BLOCK_INTERFACE = 1,
	BLOCK_STATS = 5,
	BLOCK_FRAME = 6,
};

enum {
	OPT_END = 0,
	OPT_COMMENT = 1,
	SECTION_HARDWARE = 2,
	SECTION_OS = 3,
	SECTION_PROGRAM = 4,
	IF_NAME = 2,
	IF_DESCRIPTION = 3,
	IF_TSRESOL = 9,
	IF_FILTER = 11,
	FRAME_FLAGS = 2,
	FRAME_DROPCOUNT = 4,
	STATS_START = 2,
	STATS_END = 3,
	STATS_RECV = 4,
	STATS_DROP = 5,
	STATS_ACCEPT = 6,
	STATS_DELIVERED = 8,
};

#define BYTE_ORDER_MAGIC 0x1a2b3c4du
#define LINKTYPE_ETHERNET 1u
#define NANOSECONDS 9u
#define TEXT_MAX 1000u

/** struct out - A block in progress; @full: something did not fit */
struct out {
	uint8_t *buf;
	size_t size, len;
	bool full;
};

/* Room for @len bytes and up to three zeros behind them. */
static void *room(struct out *o, size_t len)
{
	const size_t padded = (len + 3) & ~(size_t)3;
	uint8_t *at = o->buf + o->len;

	if (o->full || padded < len || padded > o->size - o->len) {
		o->full = true;
		return NULL;
	}
	if (padded != len)
		memset(at + len, 0, padded - len);
	o->len += padded;
	return at;
}

static void put(struct out *o, const void *data, size_t len)
{
	void *at = room(o, len);

	if (at && len)
		memcpy(at, data, len);
}

static void put32(struct out *o, uint32_t v)
{
	put(o, &v, sizeof(v));
}

/* A time is its upper half, then its lower, whatever the byte order. */
static void put_time(struct out *o, uint64_t ns)
{
	put32(o, (uint32_t)(ns >> 32));
	put32(o, (uint32_t)ns);
}

static void option(struct out *o, uint16_t code, const void *data, size_t len)
{
	const uint16_t head[] = { code, (uint16_t)len };

	put(o, head, sizeof(head));
	put(o, data, len);
}

static void option_text(struct out *o, uint16_t code, const char *text)
{
	if (text)
		option(o, code, text, strnlen(text, TEXT_MAX));
}

static void option64(struct out *o, uint16_t code, uint64_t v)
{
	option(o, code, &v, sizeof(v));
}

static void option_time(struct out *o, uint16_t code, uint64_t ns)
{
	const uint32_t halves[] = { (uint32_t)(ns >> 32), (uint32_t)ns };

	option(o, code, halves, sizeof(halves));
}

static struct out begin(void *buf, size_t size, uint32_t type)
{
	struct out o = { .buf = buf, .size = size };

	put32(&o, type);
	put32(&o, 0); /* the length, which end() knows */
	return o;
}

/* Return: the block's length; 0: it did not fit. */
static size_t end(struct out *o)
{
	uint32_t len = (uint32_t)o->len + 4;

	put32(o, len);
	if (o->full)
		return 0;
	memcpy(o->buf + 4, &len, sizeof(len));
	return o->len;
}

size_t pcapng_section(void *buf, size_t size, const char *hardware, const char *os,
		      const char *program)
{
	struct out o = begin(buf, size, BLOCK_SECTION);
	const uint16_t version[] = { 1, 0 };

	put32(&o, BYTE_ORDER_MAGIC);
	put(&o, version, sizeof(version));
	put32(&o, ~0u); /* how long the section is, nobody knows yet */
	put32(&o, ~0u);
	option_text(&o, SECTION_HARDWARE, hardware);
	option_text(&o, SECTION_OS, os);
	option_text(&o, SECTION_PROGRAM, program);
	option(&o, OPT_END, NULL, 0);
	return end(&o);
}

size_t pcapng_interface(void *buf, size_t size, const struct pcapng_if *i)
{
	struct out o = begin(buf, size, BLOCK_INTERFACE);
	const uint16_t link[] = { LINKTYPE_ETHERNET, 0 };
	const uint8_t resolution = NANOSECONDS;

	put(&o, link, sizeof(link));
	put32(&o, i->snaplen);
	option_text(&o, IF_NAME, i->name);
	option_text(&o, IF_DESCRIPTION, i->description);
	option(&o, IF_TSRESOL, &resolution, 1);
	if (i->filter) {
		uint8_t text[1 + TEXT_MAX] = { 0 }; /* kind 0: a libpcap expression */
		size_t len = strnlen(i->filter, TEXT_MAX);

		memcpy(text + 1, i->filter, len);
		option(&o, IF_FILTER, text, 1 + len);
	}
	option(&o, OPT_END, NULL, 0);
	return end(&o);
}

size_t pcapng_frame(void *buf, size_t size, const struct pcapng_frame *f)
{
	struct out o = begin(buf, size, BLOCK_FRAME);
	const uint32_t flags = f->way;

	put32(&o, 0); /* the first interface, the only one */
	put_time(&o, f->ts_ns);
	put32(&o, f->cap_len);
	put32(&o, f->len);
	put(&o, f->data, f->cap_len);
	option(&o, FRAME_FLAGS, &flags, sizeof(flags));
	if (f->lost)
		option64(&o, FRAME_DROPCOUNT, f->lost);
	option_text(&o, OPT_COMMENT, f->comment);
	option(&o, OPT_END, NULL, 0);
	return end(&o);
}

size_t pcapng_stats(void *buf, size_t size, const struct pcapng_stats *s)
{
	struct out o = begin(buf, size, BLOCK_STATS);

	put32(&o, 0);
	put_time(&o, s->end_ns);
	option_time(&o, STATS_START, s->start_ns);
	option_time(&o, STATS_END, s->end_ns);
	option64(&o, STATS_RECV, s->seen);
	option64(&o, STATS_DROP, s->lost);
	option64(&o, STATS_ACCEPT, s->accepted);
	option64(&o, STATS_DELIVERED, s->written);
	option(&o, OPT_END, NULL, 0);
	return end(&o);
}
