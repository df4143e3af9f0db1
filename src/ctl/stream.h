/* SPDX-License-Identifier: MIT */
/*
 * From bytes to JSON documents, wherever they are cut.
 *
 * Model
 *   QMP has no frames: a document ends where its brackets do. Bytes are scanned once, as they come;
 *   what is complete is handed out as text, for a parser that checks it. What is no document is
 *   reported once, and skipped up to the next line.
 *
 * What the peer may do wrong
 *   Anything. A document that is too long or too deep is not kept but scanned to its end, and reported
 *   there, so that the next one is understood. Memory: STREAM_DOC_MAX and what is fed at a time.
 */
#ifndef CTL_STREAM_H
#define CTL_STREAM_H

#include <stdbool.h>
#include <stddef.h>

/** Longest document in bytes, and deepest. */
#define STREAM_DOC_MAX (1024 * 1024)
#define STREAM_DEPTH_MAX 64

enum stream_item {
	STREAM_NONE,	 /* nothing complete */
	STREAM_DOC,	 /* a document */
	STREAM_BAD,	 /* something that is none */
	STREAM_TOO_LONG, /* one that is too long */
	STREAM_TOO_DEEP, /* one that is nested too deeply */
};

/** struct stream - Zero-initialise it; stream_fini() frees. @max: longest document; 0: STREAM_DOC_MAX. */
struct stream {
	size_t max;
	char *buf;
	size_t size, len; /* room, and bytes in it */
	size_t start, at; /* of the document; scanned so far */
	unsigned depth;	  /* brackets open; 0: between documents */
	bool in_string, escaped;
	bool skipping;		/* up to the end of the line */
	enum stream_item fault; /* of the document that is being scanned */
};

void stream_fini(struct stream *s);

/** stream_feed() - Add bytes. Not while stream_next() would hand out more. Return: 0 or -ENOMEM. */
int stream_feed(struct stream *s, const void *data, size_t len);

/** stream_next() - The next item. @doc, @len: the document's text, borrowed until the next call. */
enum stream_item stream_next(struct stream *s, const char **doc, size_t *len);

/** stream_is_idle() - Is nothing begun? */
static inline bool stream_is_idle(const struct stream *s)
{
	return !s->depth && s->at == s->len;
}

#endif
