/* SPDX-License-Identifier: MIT */
/* Tests of a fixed length: frames in one direction or both, and no frames at all. */
#include <stdio.h>

#include "gen.h"
#include "load.h"
#include "util.h"

#define SETTLE_SECS 1.0

struct run {
	struct sender sender;
	struct receiver receiver;
	struct gen gen;
	struct sample start; /* before the first frame */
};

/* What was counted between two samples. */
struct span {
	double secs;
	uint64_t up, down, down_bytes;
	double backend_cpu, load_cpu, stolen_cpu;
};

static void start(const struct load *l, const struct flow *f, struct run *r)
{
	r->sender = (struct sender) {
		.peer = l->peer, .size = f->size, .batch = f->batch, .pace_pps = f->up_pps
	};
	r->receiver = (struct receiver) { .peer = l->peer };
	r->gen = (struct gen) { .tap = l->tap,
				.meter = &l->meter,
				.size = f->size,
				.pace_pps = f->down_pps,
				.single = l->single };
	r->start = sample_take(&l->meter, &l->backend);
	receiver_start(&r->receiver);
	if (f->up)
		sender_start(&r->sender);
	if (f->down)
		gen_start(&r->gen);
}

static uint64_t arrived(const struct load *l, const struct sample *start, const struct receiver *r)
{
	return meter_read(l->meter.rx_packets) - start->tap_rx + meter_read(l->meter.tx_dropped) -
	       start->tap_dropped + atomic_load(&r->frames);
}

void settle(const struct load *l, const struct sample *start, const struct receiver *r,
	    uint64_t sent)
{
	uint64_t before = arrived(l, start, r), end = deadline_ns(SETTLE_SECS);

	while (before < sent && now_ns() < end) {
		uint64_t now;

		nap_us(2000);
		now = arrived(l, start, r);
		if (now != before)
			end = deadline_ns(SETTLE_SECS);
		before = now;
	}
}

static void stop(const struct load *l, const struct flow *f, struct run *r)
{
	if (f->up)
		sender_stop(&r->sender);
	if (f->down)
		gen_stop(&r->gen);
	settle(l, &r->start, &r->receiver,
	       atomic_load(&r->sender.sent) + atomic_load(&r->gen.sent));
	receiver_stop(&r->receiver);
}

static struct span measure(const struct load *l, struct run *r)
{
	uint64_t frames = atomic_load(&r->receiver.frames), bytes = atomic_load(&r->receiver.bytes);
	struct sample a = sample_take(&l->meter, &l->backend), b;
	struct span s;

	nap_secs(l->secs);
	s.down = atomic_load(&r->receiver.frames) - frames;
	s.down_bytes = atomic_load(&r->receiver.bytes) - bytes;
	b = sample_take(&l->meter, &l->backend);
	s.secs = (double)(b.ns - a.ns) / NSEC_PER_SEC;
	s.up = b.tap_rx - a.tap_rx;
	s.backend_cpu = b.backend_cpu - a.backend_cpu;
	s.load_cpu = b.load_cpu - a.load_cpu;
	s.stolen_cpu = b.stolen_cpu - a.stolen_cpu;
	return s;
}

static void print(const struct load *l, const struct flow *f, const struct run *r,
		  const struct span *s)
{
	uint64_t up_sent = atomic_load(&r->sender.sent), down_sent = atomic_load(&r->gen.sent);
	uint64_t dropped = meter_read(l->meter.tx_dropped) - r->start.tap_dropped;
	uint64_t up_all = meter_read(l->meter.rx_packets) - r->start.tap_rx;
	uint64_t frames = s->up + s->down;
	double bytes = (double)s->up * (double)f->size + (double)s->down_bytes;

	printf("test=%s size=%zu batch=%u pps=%.0f gbps=%.4f", f->name, f->size, f->batch,
	       (double)frames / s->secs, bytes * 8e-9 / s->secs);
	if (frames)
		printf(" us_per_frame=%.3f", s->backend_cpu * 1e6 / (double)frames);
	printf(" cpu=%.3f load_cpu=%.3f stolen=%.3f", s->backend_cpu / s->secs,
	       s->load_cpu / s->secs, s->stolen_cpu / s->secs);
	printf(" up_pps=%.0f down_pps=%.0f", (double)s->up / s->secs, (double)s->down / s->secs);
	if (f->up_pps)
		printf(" delivered=%.4f", (double)s->up / s->secs / (double)f->up_pps);
	if (f->down_pps)
		printf(" delivered=%.4f", (double)s->down / s->secs / (double)f->down_pps);
	printf(" up_sent=%ju up_lost=%jd", (uintmax_t)up_sent, (intmax_t)(up_sent - up_all));
	printf(" down_sent=%ju down_lost=%jd tap_dropped=%ju", (uintmax_t)down_sent,
	       (intmax_t)(down_sent - r->receiver.tally.frames - dropped), (uintmax_t)dropped);
	printf(" late=%ju foreign=%ju gso=%d\n", (uintmax_t)r->receiver.tally.late,
	       (uintmax_t)r->receiver.tally.foreign, r->gen.gso);
	fflush(stdout);
}

void flow_run(const struct load *l, const struct flow *f)
{
	struct run r = { 0 };
	struct span s;

	start(l, f, &r);
	nap_secs(l->warm_secs);
	s = measure(l, &r);
	stop(l, f, &r);
	print(l, f, &r, &s);
}

void idle_run(const struct load *l, double secs)
{
	struct sample a, b;
	uint64_t wakeups;

	nap_secs(l->warm_secs);
	wakeups = processes_wakeups(&l->backend);
	a = sample_take(&l->meter, &l->backend);
	nap_secs(secs);
	b = sample_take(&l->meter, &l->backend);
	wakeups = processes_wakeups(&l->backend) - wakeups;
	printf("test=idle cpu=%.4f wakeups=%.2f rss_kib=%ju peak_kib=%ju secs=%.2f frames=%ju\n",
	       (b.backend_cpu - a.backend_cpu) / secs, (double)wakeups / secs,
	       (uintmax_t)processes_kib(&l->backend, "\nVmRSS:"),
	       (uintmax_t)processes_kib(&l->backend, "\nVmHWM:"), secs,
	       (uintmax_t)(b.tap_rx - a.tap_rx + b.tap_tx - a.tap_tx));
	fflush(stdout);
}
