/* SPDX-License-Identifier: MIT */
/*
 * Fuzzes the framing of the stream port, cut up as a socket may cut it.
 *
 * Input: a byte that says how the rest is cut and how much of it is taken at a time, then what
 * the peer sends. Whatever the cuts, the frames must be those that a plain walk over the whole
 * finds, in order and unharmed, with as many runts, and the same end.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "port/sock/framing.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/** struct walk - The plain walk: @at is where the next frame has to be. */
struct walk {
	const uint8_t *data;
	size_t size, at;
	unsigned runts;
};

static uint32_t length_at(const struct walk *w)
{
	const uint8_t *p = w->data + w->at;

	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static bool has_length(const struct walk *w)
{
	return w->size - w->at >= FRAMING_PREFIX;
}

static bool is_bad(const struct walk *w)
{
	return has_length(w) && (length_at(w) == 0 || length_at(w) > VMTAP_FRAME_MAX);
}

static bool has_frame(const struct walk *w)
{
	return has_length(w) && !is_bad(w) && w->size - w->at - FRAMING_PREFIX >= length_at(w);
}

static void skip_runts(struct walk *w)
{
	while (has_frame(w) && length_at(w) < FRAMING_RUNT) {
		w->at += FRAMING_PREFIX + length_at(w);
		w->runts++;
	}
}

/* The next frame of the walk is this one. */
static void check_frame(struct walk *w, const struct vmtap_frame *f)
{
	skip_runts(w);
	assert(has_frame(w));
	assert(f->iov_cnt == 1 && f->len == f->iov->iov_len && f->len == length_at(w));
	assert(f->len >= FRAMING_RUNT);
	assert(memcmp(f->iov->iov_base, w->data + w->at + FRAMING_PREFIX, f->len) == 0);
	w->at += FRAMING_PREFIX + f->len;
}

/* Take what is there, some of it at a time. Return: 0 or -EPROTO. */
static int drain(struct framing *f, struct walk *w, unsigned *runts, uint8_t how)
{
	for (;;) {
		const bool pending = framing_pending(f);
		int cnt = framing_parse(f, 1 + how % VMTAP_BURST_MAX, runts);
		unsigned taken;

		if (cnt <= 0) {
			assert(!framing_pending(f) || cnt == -EPROTO);
			return cnt;
		}
		assert(pending && cnt <= 1 + how % VMTAP_BURST_MAX);
		taken = how & 0x80 ? (unsigned)(cnt + 1) / 2 : (unsigned)cnt;
		for (unsigned i = 0; i < taken; i++)
			check_frame(w, &f->frames[i]);
		framing_done(f, taken);
	}
}

static size_t put(struct framing *f, const uint8_t *data, size_t size, size_t most)
{
	size_t room;
	void *to = framing_room(f, &room);

	assert(room > 0);
	size = size < room ? size : room;
	size = size < most ? size : most;
	memcpy(to, data, size);
	framing_received(f, size);
	return size;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct walk w = { .data = data + 1, .size = size - 1 };
	struct framing f;
	unsigned runts = 0;
	char text[200];
	int ret = 0;

	if (!size)
		return 0;
	assert(framing_init(&f) == 0);
	for (size_t at = 0; at < w.size && ret == 0;) {
		size_t most = data[0] < 8 ? data[0] + 1u : (size_t)data[0] * data[0] * 4;

		at += put(&f, w.data + at, w.size - at, most);
		ret = drain(&f, &w, &runts, data[0]);
	}
	skip_runts(&w);
	assert(runts == w.runts);
	assert(!has_frame(&w));
	assert((ret == -EPROTO) == is_bad(&w));
	if (ret < 0)
		assert(strlen(framing_explain(&f, text, sizeof(text))) > 20);
	framing_fini(&f);
	return 0;
}
