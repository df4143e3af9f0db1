/* SPDX-License-Identifier: MIT */
#include "cli/top-model.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/cli.h"

/* From this width on names have all the room that they usually need. */
#define WIDE 112

/** Where a column is: @width in columns, @from: the line's width that it needs to be shown. */
static const struct {
	const char *title;
	int width, wide, from;
} columns[TOP_COLUMN_CNT] = {
	[TOP_PORT] = { "port", 10, 16, 0 },	[TOP_TYPE] = { "type", 10, 10, 68 },
	[TOP_STATE] = { "state", 7, 7, 30 },	[TOP_PEER] = { "peer", 8, 16, 57 },
	[TOP_RX_FRAMES] = { "rx/s", 5, 6, 36 }, [TOP_RX_BITS] = { "rxbit", 5, 6, 16 },
	[TOP_TX_FRAMES] = { "tx/s", 5, 6, 42 }, [TOP_TX_BITS] = { "txbit", 5, 6, 22 },
	[TOP_DROPS] = { "drop", 5, 6, 48 },
};

/* ---------------------------------------------------------------------- samples */

void top_fini(struct top *t)
{
	free(t->ports);
	*t = (struct top) { 0 };
}

void top_begin(struct top *t, double now_s)
{
	t->period_s = t->at_s > 0 ? now_s - t->at_s : 0;
	t->at_s = now_s;
	for (size_t i = 0; i < t->cnt; i++)
		t->ports[i].seen = false;
}

/* What a terminal could take for an order, and what is not a column a byte, does not get there. */
static void copy_text(char *to, const char *from)
{
	size_t i = 0;

	for (; from && from[i] && i < TOP_NAME_MAX - 1; i++)
		to[i] = (char)(from[i] >= ' ' && from[i] <= '~' ? from[i] : '?');
	to[i] = '\0';
}

static struct top_port *find_port(const struct top *t, const char *name)
{
	char known[TOP_NAME_MAX];

	copy_text(known, name);
	for (size_t i = 0; i < t->cnt; i++)
		if (!t->ports[i].seen && strcmp(t->ports[i].text[TOP_PORT], known) == 0)
			return &t->ports[i];
	return NULL;
}

static struct top_port *new_port(struct top *t)
{
	if (t->cnt == t->capacity) {
		const size_t capacity = t->capacity ? t->capacity * 2 : 16;
		struct top_port *ports = reallocarray(t->ports, capacity, sizeof(*ports));

		if (!ports)
			return NULL;
		t->ports = ports;
		t->capacity = capacity;
	}
	t->ports[t->cnt] = (struct top_port) { 0 };
	return &t->ports[t->cnt++];
}

static void update_rates(struct top_port *p, const uint64_t *count, double period_s)
{
	bool back = period_s <= 0;

	for (unsigned i = 0; i < TOP_RATE_CNT; i++)
		back |= count[i] < p->last[i];
	for (unsigned i = 0; i < TOP_RATE_CNT; i++)
		p->rate[i] = back ? 0 : (double)(count[i] - p->last[i]) / period_s;
	memmove(p->history, p->history + 1, sizeof(p->history) - sizeof(p->history[0]));
	p->history[TOP_HISTORY - 1] =
		p->rate[TOP_RX_BITS - TOP_TEXT_CNT] + p->rate[TOP_TX_BITS - TOP_TEXT_CNT];
}

int top_add(struct top *t, const struct top_sample *sample)
{
	struct top_port *p = find_port(t, sample->text[TOP_PORT]);

	if (p) {
		update_rates(p, sample->count, t->period_s);
	} else {
		p = new_port(t);
		if (!p)
			return -ENOMEM;
	}
	for (unsigned i = 0; i < TOP_TEXT_CNT; i++)
		copy_text(p->text[i], sample->text[i]);
	memcpy(p->last, sample->count, sizeof(p->last));
	p->seen = true;
	return 0;
}

void top_end(struct top *t)
{
	size_t kept = 0;

	for (size_t i = 0; i < t->cnt; i++)
		if (t->ports[i].seen)
			t->ports[kept++] = t->ports[i];
	t->cnt = kept;
	top_sort(t);
}

/* ---------------------------------------------------------------------- order */

static int compare(const void *a, const void *b, void *opaque)
{
	const struct top *t = opaque;
	const struct top_port *one = a, *two = b;
	int order = 0;

	if (t->sort < TOP_TEXT_CNT) {
		order = strcmp(one->text[t->sort], two->text[t->sort]);
	} else {
		const double x = one->rate[t->sort - TOP_TEXT_CNT];
		const double y = two->rate[t->sort - TOP_TEXT_CNT];

		order = (x < y) - (x > y);
	}
	if (!order)
		return strcmp(one->text[TOP_PORT], two->text[TOP_PORT]);
	return t->reverse ? -order : order;
}

void top_sort(struct top *t)
{
	if (t->cnt)
		qsort_r(t->ports, t->cnt, sizeof(t->ports[0]), compare, t);
}

bool top_shows(const struct top *t, const struct top_port *p)
{
	for (unsigned i = 0; i < TOP_TEXT_CNT; i++)
		if (strstr(p->text[i], t->filter))
			return true;
	return false;
}

const char *top_column_name(enum top_column column)
{
	return columns[column].title;
}

/* ---------------------------------------------------------------------- text */

const char *top_spark(const struct top *t, const struct top_port *p, unsigned cnt, char *buf,
		      size_t size)
{
	static const char *const blocks[] = { " ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█" };
	static const char *const ascii[] = { " ", ".", ":", "-", "=", "+", "*", "%", "#" };
	const char *const *levels = t->utf8 ? blocks : ascii;
	double most = 0;
	size_t len = 0;

	if (cnt > TOP_HISTORY)
		cnt = TOP_HISTORY;
	for (unsigned i = 0; i < TOP_HISTORY; i++)
		if (p->history[i] > most)
			most = p->history[i];
	buf[0] = '\0';
	for (unsigned i = TOP_HISTORY - cnt; i < TOP_HISTORY; i++) {
		/* Anything that moved is seen. */
		unsigned level = p->history[i] > 0 ? 1 + (unsigned)(p->history[i] / most * 7) : 0;
		const char *piece = levels[level];

		if (len + strlen(piece) >= size)
			break;
		memcpy(buf + len, piece, strlen(piece) + 1);
		len += strlen(piece);
	}
	return buf;
}

static int column_width(enum top_column c, int line)
{
	return line >= WIDE ? columns[c].wide : columns[c].width;
}

/* Text on the left, numbers on the right of their columns. Return: columns used. */
static int put_cell(enum top_column c, const char *text, int width, int at, char *buf, size_t size)
{
	const int cell = column_width(c, width);
	const int len = snprintf(buf + at, size - (size_t)at, "%s%*.*s", at ? " " : "",
				 c < TOP_TEXT_CNT ? -cell : cell, cell, text);

	return (size_t)(at + len) < size ? at + len : (int)size - 1;
}

static bool fits(enum top_column c, int width)
{
	return width >= columns[c].from;
}

const char *top_heading(const struct top *t, int width, char *buf, size_t size)
{
	int at = 0;

	buf[0] = '\0';
	for (enum top_column c = 0; c < TOP_COLUMN_CNT; c++) {
		if (fits(c, width))
			at = put_cell(c, columns[c].title, width, at, buf, size);
	}
	return buf;
}

const char *top_row(const struct top *t, const struct top_port *p, int width, char *buf,
		    size_t size)
{
	char number[16];
	int at = 0;

	buf[0] = '\0';
	for (enum top_column c = 0; c < TOP_COLUMN_CNT; c++) {
		if (!fits(c, width))
			continue;
		at = put_cell(
			c, c < TOP_TEXT_CNT ? p->text[c] : human(p->rate[c - TOP_TEXT_CNT], number),
			width, at, buf, size);
	}
	if (width > at + 1 && size > (size_t)at + 2) {
		buf[at++] = ' ';
		top_spark(t, p, (unsigned)(width - at), buf + at, size - (size_t)at);
	}
	return buf;
}
