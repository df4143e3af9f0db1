/* SPDX-License-Identifier: MIT */
/* QEMU's stream framing: a frame is preceded by its length, four bytes, big-endian. */
#include "port/sock/framing.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int framing_init(struct framing *f)
{
	f->data = malloc(FRAMING_SIZE);
	for (unsigned i = 0; i < VMTAP_BURST_MAX; i++)
		f->frames[i] = (struct vmtap_frame) { .iov_cnt = 1, .iov = &f->iov[i] };
	framing_reset(f);
	return f->data ? 0 : -ENOMEM;
}

void framing_fini(struct framing *f)
{
	free(f->data);
	f->data = NULL;
}

void framing_reset(struct framing *f)
{
	f->head = 0;
	f->tail = 0;
}

void *framing_room(struct framing *f, size_t *size)
{
	size_t len = f->tail - f->head;

	if (f->head) {
		memmove(f->data, f->data + f->head, len);
		f->head = 0;
		f->tail = len;
	}
	*size = FRAMING_SIZE - len;
	return f->data + len;
}

void framing_received(struct framing *f, size_t len)
{
	f->tail += len;
}

static uint32_t prefix_at(const struct framing *f, size_t at)
{
	const uint8_t *p = f->data + at;

	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static bool possible(uint32_t len)
{
	return len > 0 && len <= VMTAP_FRAME_MAX;
}

/* The frame at @at: 1: it is all there; 0: it is not; -EPROTO. */
static int look(const struct framing *f, size_t at, uint32_t *len)
{
	size_t have = f->tail - at;

	if (have < FRAMING_PREFIX)
		return 0;
	*len = prefix_at(f, at);
	if (!possible(*len))
		return -EPROTO;
	return have - FRAMING_PREFIX >= *len;
}

int framing_parse(struct framing *f, unsigned max, unsigned *runts)
{
	size_t at = f->head;
	unsigned cnt = 0;

	while (cnt < max) {
		uint32_t len;
		int ret = look(f, at, &len);

		if (ret <= 0) /* frames before an impossible length are good */
			return cnt ? (int)cnt : ret;
		if (len < FRAMING_RUNT) {
			/* skipped when it is at the front, so that it is counted once */
			if (cnt)
				break;
			++*runts;
			at += FRAMING_PREFIX + len;
			f->head = at;
			continue;
		}
		f->iov[cnt].iov_base = f->data + at + FRAMING_PREFIX;
		f->iov[cnt].iov_len = len;
		f->frames[cnt].len = len;
		at += FRAMING_PREFIX + len;
		cnt++;
	}
	return (int)cnt;
}

void framing_done(struct framing *f, unsigned cnt)
{
	const struct iovec *last = &f->iov[cnt - 1];

	f->head = (size_t)((uint8_t *)last->iov_base - f->data) + last->iov_len;
}

bool framing_pending(const struct framing *f)
{
	uint32_t len;

	return look(f, f->head, &len) != 0;
}

static const char *guess(const uint8_t *p, size_t have)
{
	uint32_t swapped = (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
	size_t text = 0;

	while (text < have && (isprint(p[text]) || p[text] == '\r' || p[text] == '\n'))
		text++;
	if (text >= FRAMING_PREFIX)
		return "it looks like text";
	if (p[0] == 0x16 && p[1] == 0x03)
		return "it looks like TLS";
	if (possible(swapped))
		return "it looks like a little-endian length";
	return "it is no length of a frame";
}

const char *framing_explain(const struct framing *f, char *buf, size_t size)
{
	const uint8_t *p = f->data + f->head;
	size_t have = f->tail - f->head;

	snprintf(
		buf, size,
		"the peer sent %02x %02x %02x %02x where the length of a frame (1 to %d, four bytes, "
		"big-endian) belongs; %s",
		p[0], p[1], p[2], p[3], VMTAP_FRAME_MAX, guess(p, have > 16 ? 16 : have));
	return buf;
}
