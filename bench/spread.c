/* SPDX-License-Identifier: MIT */
/* Many links of one back end at once: frames into every socket in turn. */
#include "spread.h"

#include <stdio.h>
#include <stdlib.h>

#include "util.h"

#define BATCH 32

struct spread {
	const struct load *load;
	struct tap_meter *meters;
	struct peer **peers;
	unsigned cnt;
};

/* Return: @buf */
static const char *numbered(char *buf, size_t size, const char *name, unsigned i)
{
	snprintf(buf, size, "%s%u", name, i);
	return buf;
}

struct spread *spread_open(const struct load *l, const char *remote, unsigned cnt)
{
	struct spread *s = calloc(1, sizeof(*s));
	char buf[128];

	if (!s || !(s->meters = calloc(cnt, sizeof(*s->meters))) ||
	    !(s->peers = calloc(cnt, sizeof(struct peer *))))
		die("no memory");
	s->load = l;
	s->cnt = cnt;
	for (unsigned i = 0; i < cnt; i++) {
		tap_meter_open(&s->meters[i], numbered(buf, sizeof(buf), l->tap, i));
		s->peers[i] = peer_open(numbered(buf, sizeof(buf), remote, i), NULL);
	}
	return s;
}

void spread_close(struct spread *s)
{
	for (unsigned i = 0; i < s->cnt; i++)
		peer_close(s->peers[i]);
	free(s->peers);
	free(s->meters);
	free(s);
}

static uint64_t came(const struct spread *s)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < s->cnt; i++)
		sum += meter_read(s->meters[i].rx_packets);
	return sum;
}

static void send_for(struct spread *s, unsigned used, size_t size, double secs)
{
	uint64_t end = deadline_ns(secs);
	static uint64_t seq;

	while (now_ns() < end)
		for (unsigned i = 0; i < used; i++, seq += BATCH)
			peer_send_batch(s->peers[i], size, seq, BATCH);
}

void spread_run(struct spread *s, const char *test, unsigned used, size_t size)
{
	const struct load *l = s->load;
	uint64_t frames, begin;
	double cpu, span;

	send_for(s, used, size, l->warm_secs);
	frames = came(s);
	cpu = processes_cpu(&l->backend);
	begin = now_ns();
	send_for(s, used, size, l->secs);
	span = (double)(now_ns() - begin) / NSEC_PER_SEC;
	cpu = processes_cpu(&l->backend) - cpu;
	frames = came(s) - frames;
	printf("test=%s size=%zu links=%u pps=%.0f us_per_frame=%.3f cpu=%.3f\n", test, size,
	       s->cnt, (double)frames / span, frames ? cpu * 1e6 / (double)frames : 0, cpu / span);
	fflush(stdout);
}
