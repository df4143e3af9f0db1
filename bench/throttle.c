/* SPDX-License-Identifier: MIT */
/*
 * throttle - how near to its limit does a port come?
 *
 * usage: throttle [-d SECONDS] [-w SECONDS] rate-RATE...
 *
 * A null port generates frames of 1514 bytes as fast as they are taken, another swallows them and
 * has tx-rate=RATE. A line a test: what passed, to what should have, and the CPU time of it.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>
#include <vmtap/vmtap.h>

#define PREFIX "rate-"

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

/* Bytes that left by @p until @end. */
static uint64_t run_until(struct vmtap *v, const struct vmtap_port *p, double end)
{
	struct vmtap_stats stats;

	while (now() < end)
		vmtap_dispatch(v, 1);
	vmtap_port_stats(p, &stats, sizeof(stats));
	return stats.tx.bytes;
}

static void run(const char *test, double warm, double secs)
{
	struct vmtap_error err = { 0 };
	struct vmtap *v = vmtap_new(NULL, &err);
	struct vmtap_port *from, *to;
	struct vmtap_limit limit;
	double begin, used;
	uint64_t bytes;
	char spec[64];

	snprintf(spec, sizeof(spec), "null,tx-rate=%s", test + strlen(PREFIX));
	from = v ? vmtap_port_open(v, "null,size=1514", &err) : NULL;
	to = from ? vmtap_port_open(v, spec, &err) : NULL;
	if (!to || !vmtap_link_new(v, from, to, &err))
		die(&err);
	vmtap_port_limit(to, VMTAP_TX, &limit, sizeof(limit));
	bytes = run_until(v, to, now() + warm);
	begin = now();
	used = cpu();
	bytes = run_until(v, to, begin + secs) - bytes;
	secs = now() - begin;
	printf("test=%s mbps=%.6g of_limit=%.5f cpu=%.4f\n", test, (double)bytes * 8 / secs / 1e6,
	       (double)bytes * 8 / secs / (double)limit.rate_bps, (cpu() - used) / secs);
	fflush(stdout);
	vmtap_free(v);
}

int main(int argc, char **argv)
{
	double warm = 0.3, secs = 1;
	int opt;

	while ((opt = getopt(argc, argv, "d:w:")) != -1) {
		if (opt == '?')
			return 2;
		*(opt == 'd' ? &secs : &warm) = atof(optarg);
	}
	for (int i = optind; i < argc; i++) {
		if (strncmp(argv[i], PREFIX, strlen(PREFIX)) != 0) {
			fprintf(stderr, "throttle: there is no test %s\n", argv[i]);
			return 2;
		}
		run(argv[i], warm, secs);
	}
	return 0;
}
