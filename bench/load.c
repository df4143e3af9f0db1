/* SPDX-License-Identifier: MIT */
/* bench-load: put frames through a back end between a TAP and a unix socket, and meter it. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "load.h"
#include "spread.h"
#include "util.h"

static const char usage[] =
	"usage: bench-load -t TAP [-s SOCKET [-b SOCKET]] [options] TEST[:ARG[:ARG]]...\n"
	"\n"
	"The tests run one after the other over one connection; each prints a line.\n"
	"  up:SIZE[:BATCH]         socket to TAP, BATCH frames a write (default 1)\n"
	"  down:SIZE               TAP to socket\n"
	"  both:SIZE               the two at once\n"
	"  trickle-up:SIZE:PPS     a flood down, PPS frames a second up\n"
	"  trickle-down:SIZE:PPS   a flood up, PPS frames a second down\n"
	"  ping:SIZE[:PAUSE]       one frame up, one down, in turn; PAUSE us before each\n"
	"  loss:FRAMES[:STALLS]    frames of mixed sizes both ways at once; the socket's reader\n"
	"                          pauses STALLS times (default 5)\n"
	"These need no socket; a vhost-user front end is the other side:\n"
	"  watch:SIZE              only count what passes the TAP\n"
	"  blast:SIZE              frames into the TAP\n"
	"  echo:SIZE[:PAUSE]       a frame into the TAP, wait until it comes back\n"
	"  idle:SECS               nothing\n"
	"With -n, SOCKET and TAP have a number behind them, from 0 on:\n"
	"  one:SIZE, spread:SIZE   frames into the first of the sockets, or into all in turn\n"
	"\n"
	"  -t TAP    the interface; exists and is up\n"
	"  -s PATH   the back end's socket\n"
	"  -b PATH   our own; makes it datagrams instead of a stream\n"
	"  -p PIDS   the back end's processes, separated by commas\n"
	"  -d SECS   length of a test (default 1)\n"
	"  -w SECS   warm-up before it (default 0.3)\n"
	"  -m SECS   most that loss may take (default 300)\n"
	"  -q MS     length of one pause in loss (default 300)\n"
	"  -n LINKS  so many streams\n"
	"  -S        put single frames into the TAP, as before Linux 6.2\n";

static _Noreturn void usage_error(void)
{
	fputs(usage, stderr);
	exit(2);
}

static double number(const char *text, double least, double most)
{
	char *end;
	double value = strtod(text, &end);

	if (end == text || *end || !(value >= least && value <= most)) {
		errno = 0;
		die("%s: a number from %g to %g is wanted", text, least, most);
	}
	return value;
}

/* TEST:ARG:ARG taken apart; a missing argument is NULL. */
struct test {
	char text[64];
	const char *name, *arg[2];
};

static void test_parse(struct test *t, const char *spec)
{
	char *save = NULL;

	if (strlen(spec) >= sizeof(t->text))
		usage_error();
	strcpy(t->text, spec);
	t->name = strtok_r(t->text, ":", &save);
	t->arg[0] = strtok_r(NULL, ":", &save);
	t->arg[1] = strtok_r(NULL, ":", &save);
	if (!t->name || strtok_r(NULL, ":", &save))
		usage_error();
}

static size_t test_size(const struct test *t)
{
	if (!t->arg[0])
		usage_error();
	return (size_t)number(t->arg[0], FRAME_MIN, FRAME_MAX);
}

static bool test_is(const struct test *t, const char *name)
{
	return !strcmp(t->name, name);
}

static bool test_flow(const struct load *l, const struct test *t)
{
	bool up = test_is(t, "up"), down = test_is(t, "down"), both = test_is(t, "both");
	bool trickle_up = test_is(t, "trickle-up"), trickle_down = test_is(t, "trickle-down");
	struct flow f = { .name = t->name, .batch = 1 };

	if (!up && !down && !both && !trickle_up && !trickle_down)
		return false;
	f.up = !down;
	f.down = !up;
	f.size = test_size(t);
	if (up && t->arg[1])
		f.batch = (unsigned)number(t->arg[1], 1, SENDER_BATCH_MAX);
	if (trickle_up || trickle_down) {
		uint64_t pps = t->arg[1] ? (uint64_t)number(t->arg[1], 1, 1e6) : 10000;

		f.up_pps = trickle_up ? pps : 0;
		f.down_pps = trickle_down ? pps : 0;
	}
	flow_run(l, &f);
	return true;
}

static unsigned test_pause(const struct test *t)
{
	return t->arg[1] ? (unsigned)number(t->arg[1], 0, 1e6) : 0;
}

/* Those that need no socket. */
static bool test_tapside(const struct load *l, const struct test *t)
{
	if (test_is(t, "watch"))
		watch_run(l, test_size(t));
	else if (test_is(t, "blast"))
		blast_run(l, test_size(t));
	else if (test_is(t, "echo"))
		echo_run(l, test_size(t), test_pause(t));
	else if (test_is(t, "idle"))
		idle_run(l, t->arg[0] ? number(t->arg[0], 0.1, 3600) : 2);
	else
		return false;
	return true;
}

static void test_run(const struct load *l, const char *spec, const struct loss_plan *defaults)
{
	struct test t;

	test_parse(&t, spec);
	if (test_tapside(l, &t))
		return;
	if (!l->peer)
		usage_error();
	if (test_flow(l, &t))
		return;
	if (test_is(&t, "ping")) {
		ping_run(l, test_size(&t), test_pause(&t));
	} else if (test_is(&t, "loss")) {
		struct loss_plan plan = *defaults;

		if (t.arg[0])
			plan.frames = (uint64_t)number(t.arg[0], 1, 1e12);
		if (t.arg[1])
			plan.stalls = (unsigned)number(t.arg[1], 0, 1000);
		loss_run(l, &plan);
	} else {
		usage_error();
	}
}

/* Many links: names have numbers, and the tests are their own. */
static void run_spread(const struct load *l, const char *remote, unsigned links, char **specs)
{
	struct spread *s = spread_open(l, remote, links);

	for (; *specs; specs++) {
		struct test t;

		test_parse(&t, *specs);
		if (!test_is(&t, "one") && !test_is(&t, "spread"))
			usage_error();
		spread_run(s, t.name, test_is(&t, "one") ? 1 : links, test_size(&t));
	}
	spread_close(s);
}

int main(int argc, char **argv)
{
	struct loss_plan loss = {
		.frames = 10000000, .stalls = 5, .stall_ms = 300, .max_secs = 300
	};
	struct load l = { .secs = 1, .warm_secs = 0.3 };
	const char *remote = NULL, *local = NULL;
	unsigned links = 0;
	int o;

	while ((o = getopt(argc, argv, "t:s:b:p:d:w:m:n:q:S")) != -1) {
		switch (o) {
		case 't':
			l.tap = optarg;
			break;
		case 's':
			remote = optarg;
			break;
		case 'b':
			local = optarg;
			break;
		case 'p':
			processes_parse(&l.backend, optarg);
			break;
		case 'd':
			l.secs = number(optarg, 0.05, 3600);
			break;
		case 'w':
			l.warm_secs = number(optarg, 0, 60);
			break;
		case 'm':
			loss.max_secs = number(optarg, 0.1, 86400);
			break;
		case 'n':
			links = (unsigned)number(optarg, 1, 4096);
			break;
		case 'q':
			loss.stall_ms = (unsigned)number(optarg, 1, 60000);
			break;
		case 'S':
			l.single = true;
			break;
		default:
			usage_error();
		}
	}
	if (!l.tap || optind == argc || (!remote && (local || links)))
		usage_error();
	util_prefer_latency();
	if (links) {
		run_spread(&l, remote, links, argv + optind);
		return 0;
	}
	tap_meter_open(&l.meter, l.tap);
	if (remote) {
		l.peer = peer_open(remote, local);
		ready_wait(&l);
	}
	for (; optind < argc; optind++)
		test_run(&l, argv[optind], &loss);
	if (l.peer)
		peer_close(l.peer);
	return 0;
}
