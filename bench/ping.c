/* SPDX-License-Identifier: MIT */
/*
 * Latency: one frame at a time, socket to TAP, then TAP to socket, again and again.
 *
 * Problem
 *   On virtual machines waking a halted core takes longer than anything a
 *   back end does. We therefore never sleep ourselves; what is left is the back
 *   end's own wake-up, which the pause before each frame brings in or leaves out.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "load.h"
#include "util.h"

#define ROUNDS_MAX 200000
#define LOST_MAX 5
#define WAIT_SECS 1.0
#define READY_SECS 5.0

/* Times in nanoseconds. */
struct pings {
	uint32_t *up, *down, *round;
	size_t cnt, lost;
};

/* Spin until frame number @seq comes out of the TAP. */
static bool wait_tap(int fd, uint64_t seq)
{
	uint64_t end = deadline_ns(WAIT_SECS), got;
	unsigned char buf[FRAME_MAX];

	do {
		ssize_t n = recv(fd, buf, sizeof(buf), MSG_DONTWAIT);

		if (n > 0 && frame_read(buf, (size_t)n, &got) && got == seq)
			return true;
	} while (now_ns() < end);
	return false;
}

static bool wait_peer(struct peer *p, uint64_t seq)
{
	uint64_t end = deadline_ns(WAIT_SECS);
	struct tally t = { 0 };

	do {
		if (peer_recv(p, MSG_DONTWAIT, &t) && t.next == seq + 1)
			return true;
	} while (now_ns() < end);
	return false;
}

static bool send_tap(int fd, size_t size, uint64_t seq)
{
	unsigned char buf[FRAME_MAX];

	frame_fill(buf, size);
	frame_stamp(buf, size, seq);
	return send(fd, buf, size, 0) == (ssize_t)size;
}

/* There and back; false: a frame was lost. */
static bool round_trip(const struct load *l, int fd, size_t size, uint64_t seq, unsigned pause_us,
		       struct pings *p)
{
	uint64_t t0, t1, t2, t3;

	spin_us(pause_us);
	t0 = now_ns();
	if (!peer_send(l->peer, size, seq) || !wait_tap(fd, seq))
		return false;
	t1 = now_ns();
	spin_us(pause_us);
	t2 = now_ns();
	if (!send_tap(fd, size, seq) || !wait_peer(l->peer, seq))
		return false;
	t3 = now_ns();
	p->up[p->cnt] = (uint32_t)(t1 - t0);
	p->down[p->cnt] = (uint32_t)(t3 - t2);
	p->round[p->cnt++] = (uint32_t)(t1 - t0 + t3 - t2);
	return true;
}

void ready_wait(const struct load *l)
{
	uint32_t up, down, round;
	int fd = packet_open(l->tap, FRAME_ETHERTYPE);
	uint64_t end = deadline_ns(READY_SECS);

	for (uint64_t seq = 1;; seq++) {
		struct pings p = { .up = &up, .down = &down, .round = &round };

		if (round_trip(l, fd, FRAME_MIN, seq, 0, &p))
			break;
		if (now_ns() > end) {
			errno = 0;
			die("no frame comes through the back end");
		}
	}
	close(fd);
}

static int compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

void times_print(const char *name, uint32_t *ns, size_t cnt)
{
	if (!cnt)
		return;
	qsort(ns, cnt, sizeof(*ns), compare);
	printf(" %s_p50=%.1f %s_p99=%.1f", name, ns[cnt / 2] * 1e-3, name,
	       ns[cnt * 99 / 100] * 1e-3);
}

static uint32_t *times_new(void)
{
	uint32_t *t = malloc(ROUNDS_MAX * sizeof(*t));

	if (!t)
		die("no memory");
	return t;
}

void ping_run(const struct load *l, size_t size, unsigned pause_us)
{
	struct pings p = { .up = times_new(), .down = times_new(), .round = times_new() };
	int fd = packet_open(l->tap, FRAME_ETHERTYPE);
	struct tally rest = { 0 };
	struct sample a, b;
	uint64_t end;

	while (peer_recv(l->peer, MSG_DONTWAIT, &rest))
		;
	a = sample_take(&l->meter, &l->backend);
	end = deadline_ns(l->secs);
	for (uint64_t seq = 1; p.cnt < ROUNDS_MAX && p.lost < LOST_MAX && now_ns() < end; seq++) {
		if (!round_trip(l, fd, size, seq, pause_us, &p))
			p.lost++;
	}
	b = sample_take(&l->meter, &l->backend);
	close(fd);
	printf("test=ping size=%zu pause_us=%u cnt=%zu lost=%zu", size, pause_us, p.cnt, p.lost);
	times_print("rtt", p.round, p.cnt);
	times_print("up", p.up, p.cnt);
	times_print("down", p.down, p.cnt);
	if (p.cnt)
		printf(" us_per_frame=%.3f",
		       (b.backend_cpu - a.backend_cpu) * 1e6 / (2 * (double)p.cnt));
	printf(" stolen=%.3f\n",
	       (b.stolen_cpu - a.stolen_cpu) * NSEC_PER_SEC / (double)(b.ns - a.ns));
	fflush(stdout);
	free(p.up);
	free(p.down);
	free(p.round);
}
