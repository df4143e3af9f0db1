/* SPDX-License-Identifier: MIT */
/*
 * throttle - how near to its limit does a port come?
 *
 * usage: throttle [-d SECONDS] [-w SECONDS] TEST...
 *
 *   rate-RATE       rate=RATE, as in descriptions of ports
 *   pps-PPS         pps=PPS
 *   change-RATE-TO  rate=RATE for half of the time, then, while frames pass, rate=TO, of which all of the time
 *                   is measured, from the first moment
 *   share-CNT-RATE  so many ports in one loop, each with rate=RATE
 *
 * A null port generates frames of 1514 bytes as fast as they are taken; another, which is limited, swallows
 * them, and generates as many itself, so both ways are measured at once. A line a test: what passed, to what
 * should have, each way; of several ports, what the one with the least and the most had of their mean; the CPU
 * time of it; and for how long the machine stopped it, all times from STOP_SECS on together.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>
#include <vmtap/vmtap.h>

#define PORTS_MAX 64
#define STOP_SECS 0.05 /* what a limit allows at once, if nobody says otherwise */
#define SOURCE "null,size=1514"

/** struct test - @key, @value: the limit of @cnt ports. @then: its value after half of the time, or "" */
struct test {
	const char *key;
	char value[24], then[24];
	unsigned cnt;
};

/** struct run - @ports: the @cnt that are limited */
struct run {
	struct vmtap *v;
	struct vmtap_port *ports[PORTS_MAX];
	unsigned cnt;
};

/** struct sum - What passed by each port, each way */
struct sum {
	double bits[PORTS_MAX][2], frames[PORTS_MAX][2];
};

static double now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static double cpu(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

static void die(const struct vmtap_error *err)
{
	char text[1200];

	vmtap_error_format(err, text, sizeof(text));
	fprintf(stderr, "throttle: %s\n", text);
	exit(1);
}

static bool parse(struct test *t, const char *name)
{
	*t = (struct test) { .key = "rate", .cnt = 1 };
	if (sscanf(name, "share-%u-%23s", &t->cnt, t->value) == 2)
		return t->cnt > 0 && t->cnt <= PORTS_MAX;
	if (sscanf(name, "change-%23[^-]-%23s", t->value, t->then) == 2 ||
	    sscanf(name, "rate-%23s", t->value) == 1)
		return true;
	t->key = "pps";
	return sscanf(name, "pps-%23s", t->value) == 1;
}

static void describe(char *spec, size_t size, const struct test *t, const char *value)
{
	snprintf(spec, size, SOURCE ",%s=%s", t->key, value);
}

static void open_ports(struct run *r, const struct test *t)
{
	struct vmtap_error err = { 0 };
	char spec[80];

	describe(spec, sizeof(spec), t, t->value);
	r->v = vmtap_new(NULL, &err);
	if (!r->v)
		die(&err);
	for (r->cnt = 0; r->cnt < t->cnt; r->cnt++) {
		struct vmtap_port *from = vmtap_port_open(r->v, SOURCE, &err);
		struct vmtap_port *to = from ? vmtap_port_open(r->v, spec, &err) : NULL;

		if (!to || !vmtap_link_new(r->v, from, to, &err))
			die(&err);
		r->ports[r->cnt] = to;
	}
}

static void change(const struct run *r, const struct test *t)
{
	struct vmtap_error err = { 0 };
	char spec[80];

	describe(spec, sizeof(spec), t, t->then);
	for (unsigned i = 0; i < r->cnt; i++)
		if (vmtap_port_change(r->ports[i], spec, &err) < 0)
			die(&err);
}

/* Return: seconds for which it was stopped. */
static double dispatch_until(const struct run *r, double end)
{
	double at = now(), stopped = 0;

	while (at < end) {
		double last = at;

		vmtap_dispatch(r->v, 1);
		at = now();
		if (at - last >= STOP_SECS)
			stopped += at - last;
	}
	return stopped;
}

/* Adds what passed until now, or with @sign -1 takes it away. */
static void count(const struct run *r, struct sum *sum, double sign)
{
	for (unsigned i = 0; i < r->cnt; i++) {
		struct vmtap_stats s;

		vmtap_port_stats(r->ports[i], &s, sizeof(s));
		sum->bits[i][VMTAP_RX] += sign * 8 * (double)s.rx.bytes;
		sum->bits[i][VMTAP_TX] += sign * 8 * (double)s.tx.bytes;
		sum->frames[i][VMTAP_RX] += sign * (double)s.rx.frames;
		sum->frames[i][VMTAP_TX] += sign * (double)s.tx.frames;
	}
}

static void report(const char *name, const struct run *r, const struct sum *sum, double secs,
		   double used, double stopped)
{
	double of[2] = { 0 }, bits = 0, least = 0, most = 0, mean;
	struct vmtap_limit limit;

	for (unsigned i = 0; i < r->cnt; i++) {
		for (int way = VMTAP_RX; way <= VMTAP_TX; way++) {
			double part;

			vmtap_port_limit(r->ports[i], way, &limit, sizeof(limit));
			part = limit.rate_bps ? sum->bits[i][way] / (double)limit.rate_bps
					      : sum->frames[i][way] / (double)limit.pps;
			part /= secs;
			of[way] += part / r->cnt;
			bits += sum->bits[i][way];
			if ((i == 0 && way == VMTAP_RX) || part < least)
				least = part;
			if (part > most)
				most = part;
		}
	}
	printf("test=%s mbps=%.6g of_limit_tx=%.5f of_limit_rx=%.5f cpu=%.4f stopped_ms=%.0f", name,
	       bits / secs / 1e6, of[VMTAP_TX], of[VMTAP_RX], used / secs, stopped * 1e3);
	mean = (of[VMTAP_TX] + of[VMTAP_RX]) / 2;
	if (r->cnt > 1 && mean > 0)
		printf(" least_share=%.5f most_share=%.5f", least / mean, most / mean);
	printf("\n");
	fflush(stdout);
}

static void run(const char *name, const struct test *t, double warm, double secs)
{
	struct sum sum = { 0 };
	struct run r;
	double begin, used, stopped;

	open_ports(&r, t);
	dispatch_until(&r, now() + (t->then[0] ? secs / 2 : warm));
	count(&r, &sum, -1);
	begin = now();
	used = cpu();
	if (t->then[0])
		change(&r, t);
	stopped = dispatch_until(&r, begin + secs);
	secs = now() - begin;
	used = cpu() - used;
	count(&r, &sum, 1);
	report(name, &r, &sum, secs, used, stopped);
	vmtap_free(r.v);
}

int main(int argc, char **argv)
{
	double warm = 0.3, secs = 10;
	int opt;

	while ((opt = getopt(argc, argv, "d:w:")) != -1) {
		if (opt == '?')
			return 2;
		*(opt == 'd' ? &secs : &warm) = atof(optarg);
	}
	for (int i = optind; i < argc; i++) {
		struct test t;

		if (!parse(&t, argv[i])) {
			fprintf(stderr, "throttle: there is no test %s\n", argv[i]);
			return 2;
		}
		run(argv[i], &t, warm, secs);
	}
	return 0;
}
