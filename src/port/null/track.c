/* SPDX-License-Identifier: MIT */
/* Frames that a `null` port generates, and what a receiver learns from them. */
#include "port/null/track.h"

#include <assert.h>
#include <endian.h>
#include <string.h>

#include "base/iov.h"

/* The head of a generated frame. Bytes only, so no alignment and no padding. */
struct head {
	uint8_t dst[6], src[6], type[2];
	uint8_t seq[8], time[8];
	char magic[8];
};

static_assert(sizeof(struct head) == TRACK_HEAD, "no padding");
static_assert(offsetof(struct head, magic) == TRACK_VARYING, "the magic is common to all");

static const uint8_t ether_type[2] = { 0x88, 0xb5 };

static uint64_t rd64(const uint8_t b[8])
{
	uint64_t v;

	memcpy(&v, b, 8);
	return be64toh(v);
}

static void wr64(uint8_t b[8], uint64_t v)
{
	v = htobe64(v);
	memcpy(b, &v, 8);
}

void track_write(uint8_t *head, const uint8_t dst[6], const uint8_t src[6], uint64_t seq,
		 uint64_t now_ns)
{
	struct head *h = (struct head *)head;

	memcpy(h->dst, dst, 6);
	memcpy(h->src, src, 6);
	memcpy(h->type, ether_type, 2);
	wr64(h->seq, seq);
	wr64(h->time, now_ns);
}

/* NULL: no room for one more. */
static struct track_stream *stream_from(struct track *t, const uint8_t src[6])
{
	if (t->stream_cnt && !memcmp(t->streams[t->last].src, src, 6))
		return &t->streams[t->last];
	for (t->last = 0; t->last < t->stream_cnt; t->last++)
		if (!memcmp(t->streams[t->last].src, src, 6))
			return &t->streams[t->last];
	if (t->stream_cnt == TRACK_STREAMS) {
		t->last = 0;
		return NULL;
	}
	memcpy(t->streams[t->stream_cnt++].src, src, 6);
	return &t->streams[t->last];
}

static void arrived(struct track *t, struct track_stream *s, uint64_t seq, uint64_t time_ns)
{
	if (seq < s->next && time_ns <= s->newest_ns) {
		t->reordered++;
		if (s->lost)
			s->lost--;
		return;
	}
	if (seq < s->next) {
		t->restarts++;
		s->next = 0;
	}
	s->lost += seq - s->next;
	s->next = seq + 1;
	if (time_ns > s->newest_ns)
		s->newest_ns = time_ns;
}

void track_frame(struct track *t, const struct vmtap_frame *frame)
{
	struct track_stream *s = NULL;
	struct head h;

	if (iov_read(frame->iov, frame->iov_cnt, 0, &h, sizeof(h)) == sizeof(h) &&
	    !memcmp(h.type, ether_type, 2) && !memcmp(h.magic, TRACK_MAGIC, sizeof(h.magic)))
		s = stream_from(t, h.src);
	if (!s) {
		t->other++;
		return;
	}
	t->received++;
	arrived(t, s, rd64(h.seq), rd64(h.time));
}

uint64_t track_lost(const struct track *t)
{
	uint64_t lost = 0;

	for (unsigned i = 0; i < t->stream_cnt; i++)
		lost += t->streams[i].lost;
	return lost;
}
