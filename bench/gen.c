/* SPDX-License-Identifier: MIT */
/* The generator: frames into the TAP, towards its reader. */
#include "gen.h"

#include <errno.h>
#include <linux/if_packet.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "frame.h"
#include "util.h"

#define BURST_MAX 64
#define PACKET_MAX 60000 /* of the 64 KiB that an IPv4 packet can have */
#define TCP_BURST 4	 /* large ones; what the socket may hold is soon used up */
#define TCP_BUFFER (8 << 20)
#define NAP_US 100

/* One burst under construction, and where the numbers stand. */
struct burst {
	int fd;
	uint64_t base;	 /* frames that had left the queue before we came */
	uint64_t window; /* frames that we keep in the queue */
	uint64_t start_ns;
	uint64_t sent;
	unsigned char *buf;
	struct virtio_net_hdr tcp; /* in front of every large one */
	struct mmsghdr msgs[BURST_MAX];
	struct iovec iov[BURST_MAX];
};

static void set_gso(struct gen *g, struct burst *b, int on)
{
	g->gso = on;
	if (setsockopt(b->fd, SOL_PACKET, PACKET_VNET_HDR, &on, sizeof(on)))
		die("the packet socket takes no virtio-net header");
}

static uint64_t gone(const struct gen *g)
{
	return meter_read(g->meter->tx_packets) + meter_read(g->meter->tx_dropped);
}

/* How many frames of @size one burst can have. */
static unsigned burst_max(const struct gen *g, size_t size)
{
	size_t fit = PACKET_MAX / (size - FRAME_UDP_HEADERS);

	if (size > FRAME_MAX)
		return TCP_BURST;
	return g->gso && fit < BURST_MAX ? (unsigned)fit : BURST_MAX;
}

/* How many frames may be sent now? 0: nap first. */
static unsigned allowance(struct gen *g, const struct burst *b, unsigned most)
{
	uint64_t room, due;
	int64_t queued;

	if (g->limit && g->limit - b->sent < most)
		most = (unsigned)(g->limit - b->sent);
	if (atomic_load_explicit(&g->overrun, memory_order_relaxed))
		return most;
	queued = (int64_t)(b->sent - (gone(g) - b->base));
	room = queued < (int64_t)b->window ? (uint64_t)((int64_t)b->window - queued) : 0;
	/* A burst in dribs would cost more than it brings. */
	if (room < most && room < b->window / 4)
		return 0;
	if (g->pace_pps) {
		due = (now_ns() - b->start_ns) * g->pace_pps / NSEC_PER_SEC;
		due = due > b->sent ? due - b->sent : 0;
		room = due < room ? due : room;
	}
	return room < most ? (unsigned)room : most;
}

/* Return: frames sent; negative: errno. */
static int send_gso(struct burst *b, size_t size, unsigned cnt)
{
	struct virtio_net_hdr hdr;
	struct iovec iov[2] = { { &hdr, sizeof(hdr) }, { b->buf, 0 } };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };

	iov[1].iov_len = frame_fill_udp(b->buf, &hdr, size, cnt, b->sent);
	return sendmsg(b->fd, &msg, 0) < 0 ? -errno : (int)cnt;
}

/* Whole ones; a full socket takes none for a while. */
static int send_tcp(struct burst *b, size_t size, unsigned cnt)
{
	struct virtio_net_hdr hdr;
	struct iovec iov[2] = { { &hdr, sizeof(hdr) }, { b->buf, size } };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };
	unsigned i = 0;

	if (!b->sent) {
		frame_fill_tcp(b->buf, &b->tcp, size);
		frame_turn(b->buf);
	}
	hdr = b->tcp;
	while (i < cnt && sendmsg(b->fd, &msg, MSG_DONTWAIT) >= 0)
		i++;
	if (i)
		return (int)i;
	if (errno != EAGAIN && errno != ENOBUFS)
		return -errno;
	nap_us(NAP_US);
	return 0;
}

static int send_plain(struct burst *b, size_t size, unsigned cnt)
{
	int n;

	for (unsigned i = 0; i < cnt; i++) {
		unsigned char *frame = b->buf + (size_t)i * FRAME_MAX;

		frame_fill(frame, size);
		frame_stamp(frame, size, b->sent + i);
		b->iov[i] = (struct iovec) { frame, size };
		b->msgs[i].msg_hdr = (struct msghdr) { .msg_iov = &b->iov[i], .msg_iovlen = 1 };
	}
	n = sendmmsg(b->fd, b->msgs, cnt, 0);
	return n < 0 ? -errno : n;
}

static void burst_send(struct gen *g, struct burst *b, size_t size, unsigned cnt)
{
	uint64_t overrun = atomic_load_explicit(&g->overrun, memory_order_relaxed);
	int n = size > FRAME_MAX ? send_tcp(b, size, cnt)
		: g->gso	 ? send_gso(b, size, cnt)
				 : send_plain(b, size, cnt);

	if (n == -EINVAL && g->gso && !b->sent) {
		set_gso(g, b, 0); /* before Linux 6.2 */
		return;
	}
	if (n == -EINTR || n == -EAGAIN)
		return;
	if (n < 0) {
		errno = -n;
		die("cannot send into %s", g->tap);
	}
	b->sent += (unsigned)n;
	atomic_store_explicit(&g->sent, b->sent, memory_order_relaxed);
	/* Unless it was taken back meanwhile. */
	if (overrun)
		atomic_compare_exchange_strong(&g->overrun, &overrun,
					       overrun > (unsigned)n ? overrun - (unsigned)n : 0);
}

static void *gen_main(void *arg)
{
	struct gen *g = arg;
	struct burst *b = calloc(1, sizeof(*b));
	uint64_t round = 0;

	if (!b || !(b->buf = malloc((size_t)BURST_MAX * FRAME_MAX)))
		die("no memory");
	b->fd = packet_open(g->tap, 0);
	set_gso(g, b, !g->single || g->size > FRAME_MAX);
	/* Who may not enlarge the socket sends fewer large ones at a time. */
	if (g->size > FRAME_MAX)
		setsockopt(b->fd, SOL_SOCKET, SO_SNDBUFFORCE, &(int) { TCP_BUFFER }, sizeof(int));
	b->base = gone(g);
	b->window = g->meter->queue_len * 3 / 4;
	b->start_ns = now_ns();
	while (!atomic_load_explicit(&g->stop, memory_order_relaxed) &&
	       (!g->limit || b->sent < g->limit)) {
		size_t size = g->size ? g->size : frame_mixed_size(round);
		unsigned cnt = allowance(g, b, burst_max(g, size));

		if (!cnt) {
			nap_us(NAP_US);
			continue;
		}
		burst_send(g, b, size, cnt);
		round++;
	}
	close(b->fd);
	free(b->buf);
	free(b);
	return NULL;
}

void gen_start(struct gen *g)
{
	atomic_store(&g->sent, 0);
	atomic_store(&g->stop, false);
	if (pthread_create(&g->thread, NULL, gen_main, g))
		die("cannot start a thread");
}

void gen_stop(struct gen *g)
{
	atomic_store(&g->stop, true);
	pthread_join(g->thread, NULL);
}
