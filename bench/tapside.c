/* SPDX-License-Identifier: MIT */
/*
 * Tests that stay on the TAP's side: somebody else, a vhost-user front end, is
 * the other end of the back end, and drops, makes or returns the frames.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gen.h"
#include "load.h"
#include "util.h"

#define ROUNDS_MAX 200000
#define LOST_MAX 20
#define ECHO_USEC 500000

static double share(double seconds, const struct sample *a, const struct sample *b)
{
	return seconds * NSEC_PER_SEC / (double)(b->ns - a->ns);
}

static void print_span(const char *test, size_t size, const struct sample *a,
		       const struct sample *b)
{
	double up = (double)(b->tap_rx - a->tap_rx), down = (double)(b->tap_tx - a->tap_tx);
	double cpu = b->backend_cpu - a->backend_cpu;

	printf("test=%s size=%zu up_pps=%.0f down_pps=%.0f", test, size, share(up, a, b),
	       share(down, a, b));
	if (up + down > 0)
		printf(" us_per_frame=%.3f", cpu * 1e6 / (up + down));
	printf(" cpu=%.3f load_cpu=%.3f stolen=%.3f", share(cpu, a, b),
	       share(b->load_cpu - a->load_cpu, a, b), share(b->stolen_cpu - a->stolen_cpu, a, b));
}

void watch_run(const struct load *l, size_t size)
{
	struct sample a, b;

	nap_secs(l->warm_secs);
	a = sample_take(&l->meter, &l->backend);
	nap_secs(l->secs);
	b = sample_take(&l->meter, &l->backend);
	print_span("watch", size, &a, &b);
	printf("\n");
	fflush(stdout);
}

void blast_run(const struct load *l, size_t size)
{
	struct gen g = { .tap = l->tap, .meter = &l->meter, .size = size, .single = l->single };
	struct receiver none = { 0 };
	struct sample start = sample_take(&l->meter, &l->backend), a, b;
	uint64_t sent;

	gen_start(&g);
	nap_secs(l->warm_secs);
	a = sample_take(&l->meter, &l->backend);
	nap_secs(l->secs);
	b = sample_take(&l->meter, &l->backend);
	gen_stop(&g);
	sent = atomic_load(&g.sent);
	settle(l, &start, &none, sent);
	print_span("blast", size, &a, &b);
	printf(" down_sent=%ju tap_dropped=%ju gso=%d\n", (uintmax_t)sent,
	       (uintmax_t)(meter_read(l->meter.tx_dropped) - start.tap_dropped), g.gso);
	fflush(stdout);
}

/* Wait, asleep: the front end that is to answer polls on this core. */
static bool wait_echo(int fd, uint64_t seq)
{
	unsigned char buf[FRAME_MAX];
	uint64_t got;
	ssize_t n;

	while ((n = recv(fd, buf, sizeof(buf), 0)) > 0)
		if (frame_read(buf, (size_t)n, &got) && got == seq)
			return true;
	return false;
}

static bool echo(int fd, size_t size, uint64_t seq)
{
	unsigned char buf[FRAME_MAX];

	frame_fill(buf, size);
	frame_stamp(buf, size, seq);
	return send(fd, buf, size, 0) == (ssize_t)size && wait_echo(fd, seq);
}

void echo_run(const struct load *l, size_t size, unsigned pause_us)
{
	struct timeval limit = { .tv_usec = ECHO_USEC };
	uint32_t *times = malloc(ROUNDS_MAX * sizeof(*times));
	int fd = packet_open(l->tap, FRAME_ETHERTYPE);
	uint64_t end = deadline_ns(l->secs);
	size_t cnt = 0, lost = 0;
	struct sample a, b;

	if (!times || setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)))
		die("cannot prepare for echoes");
	a = sample_take(&l->meter, &l->backend);
	for (uint64_t seq = 1; cnt < ROUNDS_MAX && lost < LOST_MAX && now_ns() < end; seq++) {
		uint64_t begin;

		spin_us(pause_us);
		begin = now_ns();
		if (echo(fd, size, seq))
			times[cnt++] = (uint32_t)(now_ns() - begin);
		else
			lost++;
	}
	b = sample_take(&l->meter, &l->backend);
	close(fd);
	printf("test=echo size=%zu pause_us=%u cnt=%zu lost=%zu", size, pause_us, cnt, lost);
	times_print("rtt", times, cnt);
	if (cnt)
		printf(" us_per_frame=%.3f",
		       (b.backend_cpu - a.backend_cpu) * 1e6 / (2 * (double)cnt));
	printf(" stolen=%.3f\n", share(b.stolen_cpu - a.stolen_cpu, &a, &b));
	fflush(stdout);
	free(times);
}
