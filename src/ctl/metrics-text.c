/* SPDX-License-Identifier: MIT */
/*
 * The answer of query-queues in Prometheus' text format, version 0.0.4: for
 * `vmtap stats --prometheus` and for who scrapes `vmtap serve --metrics`.
 */
#include "ctl/metrics-text.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

/**
 * struct metric - A family of samples, of each queue pair
 * @name, @help: as it is called; a counter where @name ends with "_total", else a gauge
 * @way:    member of the row, "rx" or "tx"; NULL: @member is the row's own
 * @member: "ring.kicks" is a member of a member. Of a row without it there is no sample
 * @nanoseconds: @member is that, and the metric seconds
 * @causes: @member is an object, with a sample for each of its members
 */
struct metric {
	const char *name, *help, *way, *member;
	bool nanoseconds, causes;
};

#define BOTH_WAYS(what, text, ...)                                                           \
	{ "vmtap_port_receive_" what, text ", entering by the port", "rx", __VA_ARGS__ },    \
	{                                                                                    \
		"vmtap_port_transmit_" what, text ", leaving by the port", "tx", __VA_ARGS__ \
	}

static const struct metric metrics[] = {
	BOTH_WAYS("frames_total", "Frames", "frames"),
	BOTH_WAYS("bytes_total", "Bytes of frames", "bytes"),
	BOTH_WAYS("gso_frames_total", "Frames still to be segmented", "gso_frames"),
	BOTH_WAYS("bursts_total", "Times that frames moved", "bursts"),
	BOTH_WAYS("drops_total", "Frames that were dropped, by cause", "drops", .causes = true),
	BOTH_WAYS("holds_total", "Times that frames had to wait", "holds"),
	BOTH_WAYS("held_seconds_total", "Time that frames had to wait", "held_ns",
		  .nanoseconds = true),
	BOTH_WAYS("held", "Whether frames wait now", "held"),
	BOTH_WAYS("ring_entries", "Size of the guest's ring, 0 when it is not started",
		  "ring.size"),
	BOTH_WAYS("ring_available",
		  "Chains, or descriptors of a packed ring, that the guest has not got back",
		  "ring.available"),
	BOTH_WAYS("ring_enabled", "Whether the guest's ring is enabled", "ring.enabled"),
	BOTH_WAYS("ring_kicks_total", "Kicks by the guest", "ring.kicks"),
	BOTH_WAYS("ring_calls_total", "Calls of the guest", "ring.calls"),
	{ "vmtap_port_wakeups_total", "Times that a descriptor of the queue pair woke its thread",
	  NULL, "wakeups" },
	{ "vmtap_port_in_kernel",
	  "Whether the kernel carries the frames, which are not counted then", NULL, "in_kernel" },
};

static void put_label(FILE *out, const char *text)
{
	for (; *text; text++) {
		if (*text == '\n') {
			fputs("\\n", out);
			continue;
		}
		if (*text == '"' || *text == '\\')
			putc('\\', out);
		putc(*text, out);
	}
}

static void put_sample(FILE *out, const struct metric *m, const json_t *row, const char *cause,
		       const json_t *value)
{
	const char *id = json_string_value(json_object_get(row, "id"));

	fprintf(out, "%s{port=\"", m->name);
	put_label(out, id ? id : "");
	fprintf(out, "\",queue=\"%" JSON_INTEGER_FORMAT "\"",
		json_integer_value(json_object_get(row, "queue")));
	if (cause) {
		fputs(",cause=\"", out);
		put_label(out, cause);
		putc('"', out);
	}
	fputs("} ", out);
	if (json_is_boolean(value))
		fprintf(out, "%d\n", json_is_true(value));
	else if (m->nanoseconds)
		fprintf(out, "%.9f\n", (double)json_integer_value(value) / 1e9);
	else
		fprintf(out, "%" JSON_INTEGER_FORMAT "\n", json_integer_value(value));
}

static const json_t *member(const struct metric *m, const json_t *row)
{
	const json_t *at = m->way ? json_object_get(row, m->way) : row;

	if (strncmp(m->member, "ring.", 5) == 0)
		return json_object_get(json_object_get(at, "ring"), m->member + 5);
	return json_object_get(at, m->member);
}

static void put_row(FILE *out, const struct metric *m, const json_t *row)
{
	json_t *value = (json_t *)(uintptr_t)member(m, row);
	const char *cause;
	json_t *cnt;

	if (!value)
		return;
	if (!m->causes) {
		put_sample(out, m, row, NULL, value);
		return;
	}
	json_object_foreach(value, cause, cnt)
	{
		put_sample(out, m, row, cause, cnt);
	}
}

void metrics_text(FILE *out, const json_t *rows)
{
	for (size_t n = 0; n < sizeof(metrics) / sizeof(metrics[0]); n++) {
		const struct metric *m = &metrics[n];
		const size_t len = strlen(m->name);
		const bool counter = len > 6 && strcmp(m->name + len - 6, "_total") == 0;
		const json_t *row;
		size_t i;

		fprintf(out, "# HELP %s %s.\n# TYPE %s %s\n", m->name, m->help, m->name,
			counter ? "counter" : "gauge");
		json_array_foreach(rows, i, row)
		{
			put_row(out, m, row);
		}
	}
}
