/* SPDX-License-Identifier: MIT */
/*
 * Is anything lost that the kernel had not dropped already?
 *
 * Model
 *   A number of frames of mixed sizes goes each way at once, every one with its
 *   number. Now and then the socket's reader pauses. During a pause the
 *   generator sends more than the TAP's queue holds, so that the kernel must
 *   drop, and the TAP's tx_dropped says how many. Afterwards
 *
 *     down: frames sent = frames received + frames that the kernel dropped
 *     up:   frames sent = frames that the TAP's statistics have as written
 *
 *   and no frame came twice or after a later one. The order of the up
 *   direction is seen by a packet socket behind the TAP. That socket may itself
 *   overflow, which the kernel counts too (up_unseen).
 */
#include <errno.h>
#include <linux/if_packet.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "gen.h"
#include "load.h"
#include "util.h"

#define BATCH 32
#define WATCH_BUF (64 << 20)
#define WATCH_CNT 64
#define TICK_US 2000

/* The packet socket behind the TAP. */
struct watch {
	int fd;
	atomic_bool stop;
	struct tally tally;
	uint64_t unseen; /* frames that it had no room for */
	pthread_t thread;
	struct mmsghdr msgs[WATCH_CNT];
	struct iovec iov[WATCH_CNT];
	unsigned char buf[WATCH_CNT][FRAME_MAX + 2];
};

/* Until it is told to stop and nothing is left in the socket. */
static void *watch_main(void *arg)
{
	struct watch *w = arg;

	for (;;) {
		bool stop = atomic_load_explicit(&w->stop, memory_order_relaxed);
		int n = recvmmsg(w->fd, w->msgs, WATCH_CNT, MSG_WAITFORONE, NULL);

		if (n < 0 && errno != EAGAIN && errno != EINTR)
			die("cannot receive on the packet socket");
		if (n < 0 && stop)
			return NULL;
		for (int i = 0; i < n; i++)
			tally_add(&w->tally, w->buf[i], w->msgs[i].msg_len);
	}
}

static void watch_start(struct watch *w, const char *tap)
{
	struct timeval tv = { .tv_usec = 100000 };
	int size = WATCH_BUF;

	w->fd = packet_open(tap, FRAME_ETHERTYPE);
	if (setsockopt(w->fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)))
		setsockopt(w->fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
	if (setsockopt(w->fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)))
		die("cannot set the packet socket's time limit");
	for (unsigned i = 0; i < WATCH_CNT; i++) {
		w->iov[i] = (struct iovec) { w->buf[i], sizeof(w->buf[i]) };
		w->msgs[i].msg_hdr = (struct msghdr) { .msg_iov = &w->iov[i], .msg_iovlen = 1 };
	}
	if (pthread_create(&w->thread, NULL, watch_main, w))
		die("cannot start a thread");
}

static void watch_stop(struct watch *w)
{
	struct tpacket_stats stats = { 0 };
	socklen_t len = sizeof(stats);

	atomic_store(&w->stop, true);
	pthread_join(w->thread, NULL);
	if (getsockopt(w->fd, SOL_PACKET, PACKET_STATISTICS, &stats, &len))
		die("cannot read the packet socket's statistics");
	w->unseen = stats.tp_drops;
	close(w->fd);
}

struct run {
	const struct load *l;
	const struct loss_plan *plan;
	struct sender sender;
	struct receiver receiver;
	struct gen gen;
	struct watch watch;
	struct sample start, end;
	unsigned stalls;
	/* What went up while the socket's reader paused, and meanwhile. */
	uint64_t stall_up, stall_up_ns;
	uint64_t up_end_ns; /* when the last frame went up */
};

static bool up_done(const struct run *r)
{
	return atomic_load(&r->sender.sent) >= r->plan->frames;
}

static bool down_done(const struct run *r)
{
	return atomic_load(&r->gen.sent) >= r->plan->frames;
}

/* The reader pauses; the generator sends more than the TAP's queue can hold. */
static void stall(struct run *r)
{
	uint64_t begin = now_ns(), end = deadline_ns(r->plan->stall_ms * 1e-3);
	uint64_t up = meter_read(r->l->meter.rx_packets);

	atomic_store(&r->receiver.paused, true);
	atomic_store(&r->gen.overrun, 2 * r->l->meter.queue_len);
	while (now_ns() < end && !up_done(r))
		nap_us(TICK_US);
	if (!up_done(r)) {
		r->stall_up += meter_read(r->l->meter.rx_packets) - up;
		r->stall_up_ns += now_ns() - begin;
	}
	while (now_ns() < end)
		nap_us(TICK_US);
	atomic_store(&r->gen.overrun, 0);
	atomic_store(&r->receiver.paused, false);
	r->stalls++;
}

/* By the faster direction, so that both still have frames to send. */
static bool stall_is_due(const struct run *r)
{
	uint64_t up = atomic_load(&r->sender.sent), down = atomic_load(&r->gen.sent);
	uint64_t each = r->plan->frames / (r->plan->stalls + 1);

	return r->stalls < r->plan->stalls && !down_done(r) &&
	       (up > down ? up : down) >= (r->stalls + 1) * each;
}

static void note_up_end(struct run *r)
{
	if (!r->up_end_ns && up_done(r))
		r->up_end_ns = now_ns();
}

static void run(struct run *r)
{
	uint64_t deadline = deadline_ns(r->plan->max_secs);

	r->start = sample_take(&r->l->meter, &r->l->backend);
	watch_start(&r->watch, r->l->tap);
	receiver_start(&r->receiver);
	sender_start(&r->sender);
	gen_start(&r->gen);
	while (!(up_done(r) && down_done(r)) && now_ns() < deadline) {
		if (stall_is_due(r))
			stall(r);
		nap_us(TICK_US);
		note_up_end(r);
	}
	sender_stop(&r->sender);
	gen_stop(&r->gen);
	r->end = sample_take(&r->l->meter, &r->l->backend);
	if (!r->up_end_ns)
		r->up_end_ns = r->end.ns;
	settle(r->l, &r->start, &r->receiver,
	       atomic_load(&r->sender.sent) + atomic_load(&r->gen.sent));
	receiver_stop(&r->receiver);
	watch_stop(&r->watch);
}

static void print(const struct run *r)
{
	const struct tally *up = &r->watch.tally, *down = &r->receiver.tally;
	uint64_t up_sent = atomic_load(&r->sender.sent), down_sent = atomic_load(&r->gen.sent);
	uint64_t up_tap = meter_read(r->l->meter.rx_packets) - r->start.tap_rx;
	uint64_t dropped = meter_read(r->l->meter.tx_dropped) - r->start.tap_dropped;
	double secs = (double)(r->end.ns - r->start.ns) / NSEC_PER_SEC;
	double stall_secs = (double)r->stall_up_ns / NSEC_PER_SEC;
	double up_secs = (double)(r->up_end_ns - r->start.ns) / NSEC_PER_SEC - stall_secs;

	printf("test=loss secs=%.1f stalls=%u", secs, r->stalls);
	printf(" up_sent=%ju up_lost=%jd up_seen=%ju up_unseen=%ju up_late=%ju up_foreign=%ju",
	       (uintmax_t)up_sent, (intmax_t)(up_sent - up_tap), (uintmax_t)up->frames,
	       (uintmax_t)r->watch.unseen, (uintmax_t)up->late, (uintmax_t)up->foreign);
	printf(" down_sent=%ju down_received=%ju tap_dropped=%ju down_lost=%jd down_late=%ju "
	       "down_foreign=%ju",
	       (uintmax_t)down_sent, (uintmax_t)down->frames, (uintmax_t)dropped,
	       (intmax_t)(down_sent - down->frames - dropped), (uintmax_t)down->late,
	       (uintmax_t)down->foreign);
	if (stall_secs > 0)
		printf(" stall_up_pps=%.0f up_pps=%.0f", (double)r->stall_up / stall_secs,
		       (double)(up_sent - r->stall_up) / up_secs);
	printf(" cpu=%.3f\n", (r->end.backend_cpu - r->start.backend_cpu) / secs);
	fflush(stdout);
}

void loss_run(const struct load *l, const struct loss_plan *plan)
{
	static struct run r;

	r = (struct run) { .l = l, .plan = plan };
	r.sender = (struct sender) { .peer = l->peer, .batch = BATCH, .limit = plan->frames };
	r.receiver = (struct receiver) { .peer = l->peer };
	r.gen = (struct gen) {
		.tap = l->tap, .meter = &l->meter, .limit = plan->frames, .single = l->single
	};
	run(&r);
	print(&r);
}
