/* SPDX-License-Identifier: MIT */
/*
 * `vmtap stats`: what `vmtap serve` counts of each queue pair, as a table; with --watch again and again,
 * and then what moved a second.
 *
 * Exit status: as `vmtap ctl`.
 */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "cli/cli.h"
#include "ctl/ask.h"
#include "ctl/metrics-text.h"

#define IN_KERNEL " in the kernel"

/** struct sample - What the server said. @rows: owned; @at_s: monotonic time. */
struct sample {
	json_t *rows;
	double at_s;
};

static double now_s(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

/* ---------------------------------------------------------------------- asking */

/* The row of the same queue pair; NULL: it is new. */
static const json_t *same_row(const json_t *rows, const json_t *row)
{
	const json_t *other;
	size_t i;

	json_array_foreach(rows, i, other)
	{
		if (json_equal(json_object_get(other, "id"), json_object_get(row, "id")) &&
		    json_equal(json_object_get(other, "queue"), json_object_get(row, "queue")))
			return other;
	}
	return NULL;
}

/* Those that are not there yet: a port may be named twice. */
static int add_rows(json_t *rows, const json_t *list)
{
	json_t *row;
	size_t i;

	json_array_foreach(list, i, row)
	{
		if (same_row(rows, row))
			continue;
		if (json_array_append(rows, row) < 0)
			return -ENOMEM;
	}
	return 0;
}

/* Adds the rows of @port, or, NULL, of all. Return: an exit status; @err is filled for EXIT_RESOURCE. */
static int gather(struct ask *a, const char *port, json_t *rows, struct vmtap_error *err)
{
	json_t *args = port ? json_pack("{ss}", "id", port) : NULL;
	json_t *answer = ask_run(a, "query-queues", args, -1, err);
	const char *desc =
		json_string_value(json_object_get(json_object_get(answer, "error"), "desc"));
	const json_t *list = json_object_get(answer, "return");
	int ret = EXIT_OK;

	json_decref(args);
	if (!answer)
		return EXIT_RESOURCE;
	if (!json_is_array(list) || add_rows(rows, list) < 0) {
		fprintf(stderr, "vmtap: %s\n", desc ? desc : "the server refused");
		ret = EXIT_FAILED;
	}
	json_decref(answer);
	return ret;
}

/* A connection for each: events, which nobody reads, would pile up in one that stays. */
static int take_sample(const struct cli *cli, int argc, char **argv, struct sample *s)
{
	struct vmtap_error err = { 0 };
	struct ask *a = ask_open(ask_path(cli->control), &err);
	int ret = a ? EXIT_OK : EXIT_RESOURCE;

	*s = (struct sample) { .rows = json_array(), .at_s = now_s() };
	if (!ret && !argc)
		ret = gather(a, NULL, s->rows, &err);
	for (int i = 0; i < argc && !ret; i++)
		ret = gather(a, argv[i], s->rows, &err);
	if (ret == EXIT_RESOURCE) {
		log_failure(cli, &err);
		ret = exit_code_of(&err);
	}
	ask_close(a);
	return ret;
}

/* ---------------------------------------------------------------------- showing */

static uint64_t number(const json_t *way, const char *name)
{
	return (uint64_t)json_integer_value(json_object_get(way, name));
}

static void show_drops(const json_t *way)
{
	json_t *drops = json_object_get(way, "drops");
	const char *cause;
	json_t *cnt;
	int n = 0;

	if (!json_object_size(drops))
		fputs("none", stdout);
	json_object_foreach(drops, cause, cnt)
	{
		printf("%s%" JSON_INTEGER_FORMAT " %s", n++ ? ", " : "", json_integer_value(cnt),
		       cause);
	}
	putchar('\n');
}

/* What moved a second; a counter that is less than it was belongs to another port of that name. */
static double rate(const json_t *now, const json_t *last, const char *name, double secs)
{
	const uint64_t a = number(now, name), b = number(last, name);

	return a >= b && secs > 0 ? (double)(a - b) / secs : 0;
}

/* "97%": of the frames, those that were still to be segmented; "-": there were none. */
static const char *gso_share(const json_t *way, char buf[16])
{
	const uint64_t frames = number(way, "frames"), gso = number(way, "gso_frames");
	const uint64_t percent = frames && gso < frames ? gso * 100 / frames : 100;

	if (!frames)
		return "-";
	snprintf(buf, 16, gso && !percent ? "<1%%" : "%u%%", (unsigned)percent);
	return buf;
}

/* "12.3ms": seven characters at most, for the first 11 days. */
static const char *duration(uint64_t ns, char buf[16])
{
	const double s = (double)ns / 1e9;

	if (ns && s < 0.9995)
		snprintf(buf, 16, "%.3gms", (double)(ns / 1000) / 1e3);
	else
		snprintf(buf, 16, s < 999.5 ? "%.3gs" : "%.0fs", s);
	return buf;
}

/* "200/256": room or frames in a ring of that size; "off": it is not enabled. */
static void show_ring(const json_t *way)
{
	const json_t *ring = json_object_get(way, "ring");
	char text[32] = "-";

	if (ring && json_is_true(json_object_get(ring, "started")))
		snprintf(text, sizeof(text), "%" PRIu64 "/%" PRIu64 "%s", number(ring, "available"),
			 number(ring, "size"),
			 json_is_true(json_object_get(ring, "enabled")) ? "" : " off");
	printf(" %9s ", text);
}

static void show_way(const char *name, const json_t *row, const json_t *last, double secs)
{
	const json_t *way = json_object_get(row, name);
	const uint64_t frames = number(way, "frames"), bursts = number(way, "bursts");
	char a[16], b[16];

	printf("%-3s %10" PRIu64 " %6sB %4s %5.1f", strcmp(name, "rx") == 0 ? "in" : "out", frames,
	       human((double)number(way, "bytes"), a), gso_share(way, b),
	       bursts ? (double)frames / (double)bursts : 0.0);
	if (last) {
		const json_t *was = json_object_get(last, name);

		printf(" %8s %8s", human(rate(way, was, "frames", secs), a),
		       human(rate(way, was, "bytes", secs) * 8, b));
	}
	printf(" %6" PRIu64 " %7s%c", number(way, "holds"), duration(number(way, "held_ns"), a),
	       json_is_true(json_object_get(way, "held")) ? '*' : ' ');
	show_ring(way);
	show_drops(way);
}

/* Names are as wide as the longest; below them and their number is said that the kernel has the frames. */
static int port_width(const json_t *rows)
{
	size_t width = strlen("port"), i;
	const json_t *row;

	json_array_foreach(rows, i, row)
	{
		const size_t len = json_string_length(json_object_get(row, "id"));
		const size_t least = json_is_true(json_object_get(row, "in_kernel"))
					     ? strlen(IN_KERNEL) - strlen(" queue")
					     : 0;

		if (len > width)
			width = len;
		if (least > width)
			width = least;
	}
	return (int)width;
}

/* 80 columns, with names of up to eight characters. @last: NULL: nothing yet that it could be compared with */
static void show_table(const struct sample *now, const struct sample *last)
{
	const int width = port_width(now->rows);
	json_t *row;
	size_t i;

	printf("%-*s queue %-3s %10s %7s %4s %5s", width, "port", "", "frames", "bytes", "GSO",
	       "burst");
	if (last)
		printf(" %8s %8s", "frames/s", "bit/s");
	printf(" %6s %7s  %9s %s\n", "held", "for", "ring", "drops");
	json_array_foreach(now->rows, i, row)
	{
		const char *id = json_string_value(json_object_get(row, "id"));
		const json_t *was = last ? same_row(last->rows, row) : NULL;
		const double secs = last ? now->at_s - last->at_s : 0;

		printf("%-*s %5" PRIu64 " ", width, id ? id : "", number(row, "queue"));
		show_way("rx", row, last ? (was ? was : row) : NULL, secs);
		printf("%-*s ", width + (int)strlen(" queue"),
		       json_is_true(json_object_get(row, "in_kernel")) ? IN_KERNEL : "");
		show_way("tx", row, last ? (was ? was : row) : NULL, secs);
	}
}

static int show(const struct cli *cli, const struct sample *now, const struct sample *last)
{
	if (cli->prometheus) {
		metrics_text(stdout, now->rows);
	} else if (cli->json_output) {
		json_dumpf(now->rows, stdout, JSON_COMPACT);
		putchar('\n');
	} else {
		fputs(last ? "\n" : "", stdout);
		show_table(now, last);
	}
	return fflush(stdout) == 0 ? EXIT_OK : EXIT_FAILED;
}

static void wait_s(double secs)
{
	struct timespec ts = { .tv_sec = (time_t)secs };

	ts.tv_nsec = (long)((secs - (double)ts.tv_sec) * 1e9);
	while (nanosleep(&ts, &ts) < 0 && errno == EINTR)
		;
}

int cmd_stats(const struct cli *cli, int argc, char **argv)
{
	struct sample last = { 0 }, now;
	int ret;

	for (;;) {
		ret = take_sample(cli, argc, argv, &now);
		if (!ret)
			ret = show(cli, &now, last.rows ? &last : NULL);
		json_decref(last.rows);
		last = now;
		if (ret || cli->watch_s <= 0)
			break;
		wait_s(cli->watch_s);
	}
	json_decref(last.rows);
	return ret;
}
