/* SPDX-License-Identifier: MIT */
/* From bytes to JSON documents, wherever they are cut. */
#include "ctl/stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/** Room that is kept while nothing is in it. */
#define KEEP_MAX 65536

void stream_fini(struct stream *s)
{
	free(s->buf);
	*s = (struct stream) { 0 };
}

/* What was handed out or skipped goes. */
static void compact(struct stream *s)
{
	if (!s->start)
		return;
	s->len -= s->start;
	s->at -= s->start;
	if (s->len)
		memmove(s->buf, s->buf + s->start, s->len);
	s->start = 0;
}

int stream_feed(struct stream *s, const void *data, size_t len)
{
	compact(s);
	if (!s->len && s->size > KEEP_MAX) {
		free(s->buf);
		s->buf = NULL;
		s->size = 0;
	}
	if (s->size - s->len < len) {
		char *buf = realloc(s->buf, s->len + len);

		if (!buf)
			return -ENOMEM;
		s->buf = buf;
		s->size = s->len + len;
	}
	if (len)
		memcpy(s->buf + s->len, data, len);
	s->len += len;
	return 0;
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

/* A byte between documents. Return: whether it is the first of something that is none. */
static bool between(struct stream *s, char c)
{
	s->start = s->at;
	if (s->skipping) {
		s->skipping = c != '\n';
		return false;
	}
	if (is_space(c))
		return false;
	if (c == '{' || c == '[') {
		s->start = s->at - 1;
		s->depth = 1;
		return false;
	}
	s->skipping = true;
	return true;
}

/* A byte inside of a string. Return: whether it may be there. */
static bool in_string(struct stream *s, char c)
{
	if ((unsigned char)c < ' ')
		return false;
	if (s->escaped)
		s->escaped = false;
	else if (c == '\\')
		s->escaped = true;
	else if (c == '"')
		s->in_string = false;
	return true;
}

/* What cannot be kept is not kept. */
static void check_bounds(struct stream *s)
{
	size_t max = s->max ? s->max : STREAM_DOC_MAX;

	if (s->depth > STREAM_DEPTH_MAX)
		s->fault = STREAM_TOO_DEEP;
	else if (!s->fault && s->at - s->start > max)
		s->fault = STREAM_TOO_LONG;
	if (s->fault)
		s->start = s->at;
}

/* It cannot be told where the document ends: on with the next line. */
static enum stream_item give_up(struct stream *s, char c)
{
	s->depth = 0;
	s->in_string = s->escaped = false;
	s->fault = STREAM_NONE;
	s->start = s->at;
	s->skipping = c != '\n';
	return STREAM_BAD;
}

static enum stream_item end(struct stream *s, const char **doc, size_t *len)
{
	enum stream_item fault = s->fault;

	s->fault = STREAM_NONE;
	*doc = s->buf + s->start;
	*len = s->at - s->start;
	s->start = s->at;
	return fault ? fault : STREAM_DOC;
}

enum stream_item stream_next(struct stream *s, const char **doc, size_t *len)
{
	while (s->at < s->len) {
		char c = s->buf[s->at++];

		if (!s->depth) {
			if (between(s, c))
				return STREAM_BAD;
			continue;
		}
		if (s->in_string) {
			if (!in_string(s, c))
				return give_up(s, c);
		} else if (c == '"') {
			s->in_string = true;
		} else if (c == '{' || c == '[') {
			s->depth++;
		} else if ((c == '}' || c == ']') && !--s->depth) {
			check_bounds(s);
			return end(s, doc, len);
		}
		check_bounds(s);
	}
	return STREAM_NONE;
}
