/* SPDX-License-Identifier: MIT */
/*
 * What `vmtap top` shows: samples of counters become rates, a history and lines of text.
 *
 * No terminal, no clock, no socket. Names are kept as printable ASCII: a byte is a column.
 */
#ifndef CLI_TOP_MODEL_H
#define CLI_TOP_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TOP_HISTORY 20
#define TOP_NAME_MAX 64
#define TOP_LINE_MAX 512

/** Columns, in their order. What is text stands in front of TOP_RX_FRAMES. */
enum top_column {
	TOP_PORT,
	TOP_TYPE,
	TOP_STATE,
	TOP_PEER,
	TOP_RX_FRAMES,
	TOP_RX_BITS,
	TOP_TX_FRAMES,
	TOP_TX_BITS,
	TOP_DROPS,
	TOP_COLUMN_CNT,
};

#define TOP_TEXT_CNT TOP_RX_FRAMES
#define TOP_RATE_CNT (TOP_COLUMN_CNT - TOP_RX_FRAMES)

/** struct top_sample - A port's counters since it was opened, and what it is. Texts are borrowed. */
struct top_sample {
	const char *text[TOP_TEXT_CNT]; /* by column; NULL: nothing */
	uint64_t count[TOP_RATE_CNT];	/* frames, bits, frames, bits, drops */
};

struct top_port {
	char text[TOP_TEXT_CNT][TOP_NAME_MAX];
	uint64_t last[TOP_RATE_CNT];
	double rate[TOP_RATE_CNT];   /* a second */
	double history[TOP_HISTORY]; /* bits a second both ways; the newest is the last */
	bool seen;		     /* in this round of samples */
};

struct top {
	struct top_port *ports; /* owned; sorted after top_end() */
	size_t cnt, capacity;
	double at_s;	 /* of the last samples; 0: none */
	double period_s; /* between the last two */
	enum top_column sort;
	bool reverse;
	bool utf8; /* may a sparkline have block characters? */
	char filter[TOP_NAME_MAX];
};

/** top_fini() - Free what it holds; @t is empty then. */
void top_fini(struct top *t);

/** top_begin() - Samples of all ports follow, taken at @now_s (monotonic, not 0). */
void top_begin(struct top *t, double now_s);
/** top_add() - A port's sample. Counters that went back belong to a new port of that name: they
 *  are where its rates begin. Return: 0, or -ENOMEM. */
int top_add(struct top *t, const struct top_sample *sample);
/** top_end() - That was all: ports that had none are forgotten. */
void top_end(struct top *t);

/** top_sort() - After @sort or @reverse has changed. Text goes up, numbers go down. */
void top_sort(struct top *t);
/** top_shows() - Is the filter a part of one of its texts? */
bool top_shows(const struct top *t, const struct top_port *p);
const char *top_column_name(enum top_column column);

/** top_spark() - The newest @cnt of the history as a line of as many columns. Return: @buf. */
const char *top_spark(const struct top *t, const struct top_port *p, unsigned cnt, char *buf,
		      size_t size);
/** top_heading(), top_row() - A line of at most @width columns; columns that do not fit are left
 *  out, the least telling first. Return: @buf. */
const char *top_heading(const struct top *t, int width, char *buf, size_t size);
const char *top_row(const struct top *t, const struct top_port *p, int width, char *buf,
		    size_t size);

#endif
