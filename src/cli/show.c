/* SPDX-License-Identifier: MIT */
/* What a server answers, for people. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "cli/cli.h"

#define COLUMNS_MAX 96

/* A value as one word or a few; of an object "a=1,b=2". */
static void put_value(FILE *out, const json_t *j)
{
	const char *name;
	json_t *value;
	size_t i;

	switch (json_typeof(j)) {
	case JSON_STRING:
		fputs(json_string_value(j), out);
		break;
	case JSON_INTEGER:
		fprintf(out, "%" JSON_INTEGER_FORMAT, json_integer_value(j));
		break;
	case JSON_REAL:
		fprintf(out, "%g", json_real_value(j));
		break;
	case JSON_TRUE:
		fputs("on", out);
		break;
	case JSON_FALSE:
		fputs("off", out);
		break;
	case JSON_NULL:
		break;
	case JSON_ARRAY:
		json_array_foreach(j, i, value)
		{
			fputs(i ? "," : "", out);
			put_value(out, value);
		}
		break;
	case JSON_OBJECT:
		i = 0;
		json_object_foreach((json_t *)(uintptr_t)j, name, value)
		{
			fprintf(out, "%s%s=", i++ ? "," : "", name);
			put_value(out, value);
		}
		break;
	}
}

/* Return: owned; "-" where there is nothing. */
static char *cell(const json_t *j)
{
	char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	if (!out)
		return NULL;
	if (j)
		put_value(out, j);
	fclose(out);
	if (text && !*text) {
		free(text);
		text = strdup("-");
	}
	return text;
}

/* "rx.frames": a member of a member. */
static const json_t *member(const json_t *row, const char *name)
{
	const char *dot = strchr(name, '.');
	char outer[64];

	if (!dot)
		return json_object_get(row, name);
	snprintf(outer, sizeof(outer), "%.*s", (int)(dot - name), name);
	return json_object_get(json_object_get(row, outer), dot + 1);
}

/** struct table - Columns by name, and how wide they are */
struct table {
	char names[COLUMNS_MAX][64];
	int widths[COLUMNS_MAX];
	unsigned cnt;
};

static void add_column(struct table *t, const char *outer, const char *name)
{
	char full[64];

	snprintf(full, sizeof(full), "%s%s%s", outer, *outer ? "." : "", name);
	for (unsigned i = 0; i < t->cnt; i++)
		if (strcmp(t->names[i], full) == 0)
			return;
	if (t->cnt == COLUMNS_MAX)
		return;
	memcpy(t->names[t->cnt], full, sizeof(full));
	t->widths[t->cnt++] = (int)strlen(full);
}

/* Members of members are columns, too. */
static void add_columns(struct table *t, json_t *row)
{
	const char *name, *inner;
	json_t *value, *deep;

	json_object_foreach(row, name, value)
	{
		if (!json_is_object(value) || !json_object_size(value)) {
			add_column(t, "", name);
			continue;
		}
		json_object_foreach(value, inner, deep)
		{
			add_column(t, name, inner);
		}
	}
}

static void measure(struct table *t, const json_t *row)
{
	for (unsigned i = 0; i < t->cnt; i++) {
		char *text = cell(member(row, t->names[i]));
		int len = text ? (int)strlen(text) : 0;

		if (len > t->widths[i])
			t->widths[i] = len;
		free(text);
	}
}

static void put_cell(const struct table *t, unsigned i, const char *text)
{
	if (i + 1 == t->cnt)
		printf("%s\n", text);
	else
		printf("%-*s  ", t->widths[i], text);
}

/* Would its lines be broken by the terminal that it goes to? */
static bool is_too_wide(const struct table *t)
{
	struct winsize size;
	int width = 0;

	if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) < 0 || !size.ws_col)
		return false;
	for (unsigned i = 0; i < t->cnt; i++)
		width += t->widths[i] + (i + 1 < t->cnt ? 2 : 0);
	return width > size.ws_col;
}

/* A line for each that it has, under each other. */
static void show_block(const struct table *t, const json_t *row)
{
	int widest = 0;

	for (unsigned i = 0; i < t->cnt; i++)
		if ((int)strlen(t->names[i]) > widest)
			widest = (int)strlen(t->names[i]);
	for (unsigned i = 0; i < t->cnt; i++) {
		const json_t *value = member(row, t->names[i]);
		char *text = value ? cell(value) : NULL;

		if (text)
			printf("%s%-*s  %s\n", i ? "  " : "", widest + (i ? 0 : 2), t->names[i],
			       text);
		free(text);
	}
}

static void show_table(const json_t *list)
{
	struct table *t = calloc(1, sizeof(*t));
	json_t *row;
	bool wide;
	size_t n;

	if (!t)
		return;
	json_array_foreach(list, n, row)
	{
		add_columns(t, row);
	}
	json_array_foreach(list, n, row)
	{
		measure(t, row);
	}
	wide = is_too_wide(t);
	for (unsigned i = 0; i < t->cnt && !wide; i++)
		put_cell(t, i, t->names[i]);
	json_array_foreach(list, n, row)
	{
		if (wide) {
			show_block(t, row);
			continue;
		}
		for (unsigned i = 0; i < t->cnt; i++) {
			char *text = cell(member(row, t->names[i]));

			put_cell(t, i, text ? text : "");
			free(text);
		}
	}
	free(t);
}

void show_answer(const json_t *j)
{
	const char *name;
	json_t *value;

	if (json_is_array(j) && json_is_object(json_array_get(j, 0))) {
		show_table(j);
	} else if (json_is_object(j)) {
		json_object_foreach((json_t *)(uintptr_t)j, name, value)
		{
			printf("%s: ", name);
			put_value(stdout, value);
			putchar('\n');
		}
	} else if (!json_is_array(j) || json_array_size(j)) {
		put_value(stdout, j);
		putchar('\n');
	}
}

void show_event(const json_t *event)
{
	const json_t *stamp = json_object_get(event, "timestamp");
	time_t when = (time_t)json_integer_value(json_object_get(stamp, "seconds"));
	const char *name = json_string_value(json_object_get(event, "event"));
	char text[32];
	json_t *data = json_object_get(event, "data"), *value;
	const char *key;
	struct tm tm;

	localtime_r(&when, &tm);
	strftime(text, sizeof(text), "%H:%M:%S", &tm);
	printf("%s %s", text, name ? name : "");
	json_object_foreach(data, key, value)
	{
		printf(" %s=", key);
		put_value(stdout, value);
	}
	putchar('\n');
	fflush(stdout);
}
