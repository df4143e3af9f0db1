/* SPDX-License-Identifier: MIT */
/* bench-front: frames through a vhost-user back end and its TAP, one link or many, and what they cost. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "frame.h"
#include "gen.h"
#include "lane.h"
#include "meter.h"
#include "util.h"

#define BURST 32
#define LANES_MAX 1024
#define SETTLE_SECS 0.5

static const char usage[] =
	"usage: bench-front -t TAP -s SOCKET [options] TEST[:SIZE]...\n"
	"\n"
	"Sizes of more than 1514 bytes are TCP still to be segmented. A test prints a line.\n"
	"  guest-tap:SIZE   frames into the rings, counted where they come out of the TAP\n"
	"  tap-guest:SIZE   frames into the TAP, counted where they come out of the rings\n"
	"  both:SIZE        the two at once\n"
	"  idle:SECS        nothing\n"
	"With -n:\n"
	"  one:SIZE         as guest-tap, over the first link only\n"
	"  spread:SIZE      as guest-tap, over all links in turn\n"
	"\n"
	"  -n LINKS  so many; SOCKET and TAP then have a number behind them, from 0 on\n"
	"  -q PAIRS  queue pairs (default 1)\n"
	"  -r SIZE   of a ring (default 256)\n"
	"  -p PIDS   the back end's processes, separated by commas\n"
	"  -d SECS   length of a test (default 1)\n"
	"  -w SECS   warm-up before it (default 0.3)\n";

struct front {
	const char *tap, *socket;
	unsigned links, pairs, ring_size;
	struct processes backend;
	double secs, warm_secs;
	struct lane *lanes[LANES_MAX];
	uint64_t idle_ns; /* spent on looking at rings that had nothing for us */
};

/* What a test moves: over the first @lanes, up and down. */
struct job {
	const char *name;
	unsigned size, lanes;
	bool up, down;
	struct gen gen;
};

struct count {
	uint64_t up, down, dropped, idle_ns;
	struct sample at;
};

static struct count take(const struct front *f, const struct job *j)
{
	struct count c = { .at = sample_take(&f->lanes[0]->meter, &f->backend),
			   .idle_ns = f->idle_ns };

	for (unsigned i = 0; i < j->lanes; i++) {
		c.up += meter_read(f->lanes[i]->meter.rx_packets);
		c.dropped += meter_read(f->lanes[i]->meter.tx_dropped);
		c.down += lane_received(f->lanes[i]);
	}
	return c;
}

/* One look at every lane. Return: did anything move? */
static bool turn(struct front *f, const struct job *j)
{
	bool any = false;

	for (unsigned i = 0; i < j->lanes; i++) {
		if (j->up)
			any |= lane_send(f->lanes[i], BURST) > 0;
		if (j->down)
			any |= lane_receive(f->lanes[i]) > 0;
	}
	return any;
}

static void turns(struct front *f, const struct job *j, double secs)
{
	uint64_t end = deadline_ns(secs), now = now_ns(), before;

	while (now < end) {
		bool any = turn(f, j);

		/* The generator is on our core: it gets it when there is nothing for us. */
		if (!any && j->down)
			nap_us(50);
		before = now;
		now = now_ns();
		if (!any && !j->down)
			f->idle_ns += now - before;
	}
}

/* Until all has arrived that was sent, or nothing more comes. */
static void settle(struct front *f, struct job *j)
{
	uint64_t end = deadline_ns(SETTLE_SECS);
	bool was_up = j->up;
	unsigned last = 0;

	if (j->down)
		gen_stop(&j->gen);
	j->up = false;
	while (now_ns() < end) {
		unsigned out = 0;

		for (unsigned i = 0; was_up && i < j->lanes; i++)
			out += lane_reap(f->lanes[i]);
		if (turn(f, j) || out != last)
			end = deadline_ns(SETTLE_SECS);
		else if (!out && !j->down)
			break;
		last = out;
		nap_us(100);
	}
	j->up = was_up;
}

static uint64_t sent(const struct front *f, const struct job *j)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < j->lanes; i++)
		sum += lane_sent(f->lanes[i]);
	return sum;
}

static void print(const struct job *j, const struct count *a, const struct count *b)
{
	double secs = (double)(b->at.ns - a->at.ns) / NSEC_PER_SEC;
	double up = (double)(b->up - a->up), down = (double)(b->down - a->down);
	double cpu = b->at.backend_cpu - a->at.backend_cpu;
	double idle = (double)(b->idle_ns - a->idle_ns) / NSEC_PER_SEC;

	printf("test=%s size=%u pps=%.0f gbps=%.4f up_pps=%.0f down_pps=%.0f", j->name, j->size,
	       (up + down) / secs, (up + down) * j->size * 8e-9 / secs, up / secs, down / secs);
	if (up + down > 0)
		printf(" us_per_frame=%.3f", cpu * 1e6 / (up + down));
	printf(" cpu=%.3f load_cpu=%.3f stolen=%.3f", cpu / secs,
	       (b->at.load_cpu - a->at.load_cpu - idle) / secs,
	       (b->at.stolen_cpu - a->at.stolen_cpu) / secs);
}

static void job_run(struct front *f, struct job *j)
{
	struct count start, a, b, end;
	uint64_t before = sent(f, j), odd = 0;

	for (unsigned i = 0; j->up && i < j->lanes; i++)
		lane_fill(f->lanes[i], j->size);
	start = take(f, j);
	j->gen = (struct gen) { .tap = f->tap, .meter = &f->lanes[0]->meter, .size = j->size };
	if (j->down)
		gen_start(&j->gen);
	turns(f, j, f->warm_secs);
	a = take(f, j);
	turns(f, j, f->secs);
	b = take(f, j);
	settle(f, j);
	end = take(f, j);
	for (unsigned i = 0; i < j->lanes; i++)
		odd += lane_odd(f->lanes[i]);
	print(j, &a, &b);
	printf(" links=%u", f->links ? f->links : 1);
	if (j->up)
		printf(" up_lost=%jd", (intmax_t)(sent(f, j) - before - (end.up - start.up)));
	if (j->down)
		printf(" down_lost=%jd tap_dropped=%ju",
		       (intmax_t)(atomic_load(&j->gen.sent) - (end.down - start.down) -
				  (end.dropped - start.dropped)),
		       (uintmax_t)(end.dropped - start.dropped));
	printf(" foreign=%ju\n", (uintmax_t)odd);
	fflush(stdout);
}

/* All lanes are there, and nothing comes. */
static void idle_run(struct front *f, double secs)
{
	const struct tap_meter *m = &f->lanes[0]->meter;
	struct sample a, b;
	uint64_t wakeups;

	nap_secs(f->warm_secs);
	wakeups = processes_wakeups(&f->backend);
	a = sample_take(m, &f->backend);
	nap_secs(secs);
	b = sample_take(m, &f->backend);
	wakeups = processes_wakeups(&f->backend) - wakeups;
	printf("test=idle cpu=%.4f wakeups=%.2f rss_kib=%ju own_kib=%ju links=%u\n",
	       (b.backend_cpu - a.backend_cpu) / secs, (double)wakeups / secs,
	       (uintmax_t)processes_kib(&f->backend, "\nVmRSS:"),
	       (uintmax_t)(processes_kib(&f->backend, "\nVmRSS:") -
			   processes_kib(&f->backend, "\nRssShmem:")),
	       f->links ? f->links : 1);
	fflush(stdout);
}

static _Noreturn void usage_error(void)
{
	fputs(usage, stderr);
	exit(2);
}

static void run_spec(struct front *f, char *spec)
{
	char *arg = strchr(spec, ':');
	struct job j = { .name = spec, .lanes = f->links ? f->links : 1 };

	if (!arg)
		usage_error();
	*arg++ = 0;
	if (!strcmp(spec, "idle")) {
		idle_run(f, strtod(arg, NULL));
		return;
	}
	j.size = (unsigned)strtoul(arg, NULL, 10);
	j.down = !strcmp(spec, "tap-guest") || !strcmp(spec, "both");
	j.up = strcmp(spec, "tap-guest") != 0;
	if (!strcmp(spec, "one") || j.down)
		j.lanes = 1;
	else if (strcmp(spec, "guest-tap") && strcmp(spec, "spread"))
		usage_error();
	if (j.size < FRAME_MIN || j.size > FRAME_GSO_MAX)
		usage_error();
	job_run(f, &j);
}

static void open_lanes(struct front *f)
{
	char path[128], tap[32];

	if (!f->links) {
		f->lanes[0] = lane_open(f->socket, f->tap, f->pairs, f->ring_size);
		return;
	}
	for (unsigned i = 0; i < f->links; i++) {
		snprintf(path, sizeof(path), "%s%u", f->socket, i);
		snprintf(tap, sizeof(tap), "%s%u", f->tap, i);
		f->lanes[i] = lane_open(path, tap, f->pairs, f->ring_size);
	}
}

int main(int argc, char **argv)
{
	static struct front f = { .pairs = 1, .ring_size = 256, .secs = 1, .warm_secs = 0.3 };
	int o;

	while ((o = getopt(argc, argv, "t:s:n:q:r:p:d:w:")) != -1) {
		switch (o) {
		case 't':
			f.tap = optarg;
			break;
		case 's':
			f.socket = optarg;
			break;
		case 'n':
			f.links = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'q':
			f.pairs = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'r':
			f.ring_size = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'p':
			processes_parse(&f.backend, optarg);
			break;
		case 'd':
			f.secs = strtod(optarg, NULL);
			break;
		case 'w':
			f.warm_secs = strtod(optarg, NULL);
			break;
		default:
			usage_error();
		}
	}
	if (!f.tap || !f.socket || optind == argc || f.links > LANES_MAX || !f.pairs ||
	    f.pairs > LANE_PAIRS_MAX)
		usage_error();
	util_prefer_latency();
	open_lanes(&f);
	for (; optind < argc; optind++)
		run_spec(&f, argv[optind]);
	for (unsigned i = 0; i < (f.links ? f.links : 1); i++)
		lane_close(f.lanes[i]);
	return 0;
}
