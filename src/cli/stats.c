/* SPDX-License-Identifier: MIT */
/* Counters for people: live lines and a summary. */
#include <inttypes.h>
#include <jansson.h>
#include <string.h>

#include "cli/cli.h"

static uint64_t drops(const struct vmtap_counters *c)
{
	uint64_t sum = 0;

	for (int i = 0; i < VMTAP_DROP_CNT; i++)
		sum += c->drops[i];
	return sum;
}

const char *human(double value, char buf[16])
{
	static const char units[] = " kMGTP";
	unsigned u = 0;

	while (value >= 999.5 && u < sizeof(units) - 2) {
		value /= 1000;
		u++;
	}
	snprintf(buf, 16, "%.*f%.*s",
		 u && value < 9.995   ? 2
		 : u && value < 99.95 ? 1
				      : 0,
		 value, u ? 1 : 0, &units[u]);
	return buf;
}

static json_t *counters_json(const struct vmtap_counters *c)
{
	json_t *j = json_pack("{sI,sI,sI}", "frames", (json_int_t)c->frames, "bytes",
			      (json_int_t)c->bytes, "gso_frames", (json_int_t)c->gso_frames);
	json_t *d = json_object();

	for (unsigned i = 0; i < VMTAP_DROP_CNT; i++)
		if (c->drops[i])
			json_object_set_new(d, vmtap_drop_name(i),
					    json_integer((json_int_t)c->drops[i]));
	json_object_set_new(j, "drops", d);
	return j;
}

static void print_json(const char *event, const struct vmtap_port *port,
		       const struct vmtap_stats *s)
{
	json_t *j = json_pack("{ss,ss,so,so,sI,sI}", "event", event, "port", vmtap_port_name(port),
			      "rx", counters_json(&s->rx), "tx", counters_json(&s->tx), "rx_holds",
			      (json_int_t)s->rx_holds, "tx_holds", (json_int_t)s->tx_holds);

	if (!j)
		return;
	json_dumpf(j, stdout, JSON_COMPACT);
	putchar('\n');
	json_decref(j);
}

static void live_way(const char *name, const struct vmtap_counters *now,
		     const struct vmtap_counters *last, double interval_s)
{
	double frames = (double)(now->frames - last->frames) / interval_s;
	double bits = (double)(now->bytes - last->bytes) * 8 / interval_s;
	char a[16], b[16];

	printf("  %s %6s frames/s %6sbit/s", name, human(frames, a), human(bits, b));
	if (drops(now))
		printf(" drops %" PRIu64 " (+%" PRIu64 ")", drops(now), drops(now) - drops(last));
}

void stats_live(const struct cli *cli, struct stats_row *rows, unsigned cnt, double interval_s)
{
	for (unsigned i = 0; i < cnt; i++) {
		struct vmtap_stats now;

		vmtap_port_stats(rows[i].port, &now, sizeof(now));
		if (cli->json) {
			print_json("stats", rows[i].port, &now);
		} else {
			printf("%-12s", vmtap_port_name(rows[i].port));
			live_way("in", &now.rx, &rows[i].last.rx, interval_s);
			live_way("out", &now.tx, &rows[i].last.tx, interval_s);
			putchar('\n');
		}
		rows[i].last = now;
	}
	fflush(stdout);
}

static void summary_row(const char *name, const char *way, const struct vmtap_counters *c,
			uint64_t holds)
{
	char a[16];

	printf("%-16s %-4s %14" PRIu64 " %9sB %12" PRIu64 " %10" PRIu64 "  ", name, way, c->frames,
	       human((double)c->bytes, a), c->gso_frames, holds);
	if (!drops(c))
		fputs("none", stdout);
	for (unsigned i = 0, n = 0; i < VMTAP_DROP_CNT; i++)
		if (c->drops[i])
			printf("%s%" PRIu64 " %s", n++ ? ", " : "", c->drops[i],
			       vmtap_drop_name(i));
	putchar('\n');
}

void stats_summary(const struct cli *cli, const struct stats_row *rows, unsigned cnt)
{
	struct vmtap_stats now;

	if (!cli->json)
		printf("\n%-16s %-4s %14s %10s %12s %10s  %s\n", "port", "", "frames", "bytes",
		       "GSO frames", "held back", "drops");
	for (unsigned i = 0; i < cnt; i++) {
		vmtap_port_stats(rows[i].port, &now, sizeof(now));
		if (cli->json) {
			print_json("summary", rows[i].port, &now);
			continue;
		}
		summary_row(vmtap_port_name(rows[i].port), "in", &now.rx, now.rx_holds);
		summary_row("", "out", &now.tx, now.tx_holds);
	}
	fflush(stdout);
}
