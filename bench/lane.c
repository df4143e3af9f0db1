/* SPDX-License-Identifier: MIT */
/* A vhost-user front end that costs as little as can be. */
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <stdlib.h>
#include <string.h>

#include "frame.h"
#include "lane.h"
#include "util.h"

#define BURST 64
#define PIECE 4096u
#define RX_LEN PIECE
#define HDR_LEN 12u
#define BIT(n) (1ull << (n))

static const uint64_t wanted =
	BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_RING_F_EVENT_IDX) | BIT(VIRTIO_RING_F_INDIRECT_DESC) |
	BIT(VIRTIO_NET_F_MRG_RXBUF) | BIT(VIRTIO_NET_F_CSUM) | BIT(VIRTIO_NET_F_GUEST_CSUM) |
	BIT(VIRTIO_NET_F_HOST_TSO4) | BIT(VIRTIO_NET_F_HOST_TSO6) | BIT(VIRTIO_NET_F_GUEST_TSO4) |
	BIT(VIRTIO_NET_F_GUEST_TSO6) | BIT(VUF_F_PROTOCOL_FEATURES);

static _Noreturn void fail(const struct lane *l, const char *what)
{
	errno = 0;
	die("%s: %s", what, l->f.why);
}

static uint64_t memory_size(const struct vuf *f)
{
	uint64_t tx = f->ring_size < VUF_TX_SLOTS_MAX ? f->ring_size : VUF_TX_SLOTS_MAX;
	uint64_t guards = (uint64_t)VUF_PIECES_MAX * (VUF_GUARD + 16) + 4096;
	uint64_t pair = f->ring_size * (RX_LEN + guards) + tx * (VUF_FRAME_MAX + guards) +
			(64u << 10) + 64ull * f->ring_size;

	return (pair * f->pairs + (1u << 20)) & ~0xfffffull;
}

static void way_init(struct lane_way *w, struct vuf_queue *vq)
{
	*w = (struct lane_way) { .vq = vq, .free = calloc(vq->slot_cnt, sizeof(*w->free)) };
	if (!w->free)
		die("no memory");
	for (unsigned i = 0; i < vq->slot_cnt; i++)
		w->free[w->free_cnt++] = (uint16_t)i;
	vq_want_calls(&vq->q, false);
}

static void post(struct vuf *f, struct lane_way *w)
{
	bool any = false;

	while (w->free_cnt) {
		unsigned slot = w->free[w->free_cnt - 1];
		struct vq_buf buf = { .gpa = w->vq->slots[slot].gpa, .len = RX_LEN, .in = true };

		if (!vq_add(&w->vq->q, &buf, 1, 0, slot))
			break;
		w->free_cnt--;
		any = true;
	}
	if (any)
		vuf_kick(f, w->vq);
}

static bool set_up(struct lane *l, const char *path)
{
	struct vuf *f = &l->f;
	unsigned cnt = 2 * l->pairs;

	if (!vuf_connect(f, path) || !vuf_negotiate(f) ||
	    !vuf_mem_make(f, memory_size(f), 0, true) || !vuf_mem_share(f) ||
	    !vuf_queues_make(f, cnt))
		return false;
	for (unsigned i = 0; i < cnt; i++)
		if (!vuf_queue_start(f, i))
			return false;
	for (unsigned i = 0; i < cnt; i++)
		if (!vuf_queue_enable(f, i, true))
			return false;
	return true;
}

struct lane *lane_open(const char *path, const char *tap, unsigned pairs, unsigned ring_size)
{
	struct lane *l = calloc(1, sizeof(*l));

	if (!l)
		die("no memory");
	vuf_init(&l->f);
	l->pairs = l->f.pairs = pairs;
	l->f.ring_size = ring_size;
	l->f.rx_len = RX_LEN;
	l->f.indirect = true;
	l->f.need_reply = true;
	l->f.want = wanted | (pairs > 1 ? BIT(VIRTIO_NET_F_MQ) : 0);
	l->f.want_protocol = BIT(VUF_P_MQ) | BIT(VUF_P_REPLY_ACK);
	tap_meter_open(&l->meter, tap);
	if (!set_up(l, path))
		fail(l, path);
	for (unsigned i = 0; i < pairs; i++) {
		way_init(&l->rx[i], &l->f.queues[2 * i]);
		way_init(&l->tx[i], &l->f.queues[2 * i + 1]);
		post(&l->f, &l->rx[i]);
	}
	return l;
}

void lane_close(struct lane *l)
{
	for (unsigned i = 0; i < l->pairs; i++) {
		free(l->rx[i].free);
		free(l->tx[i].free);
	}
	vuf_fini(&l->f);
	free(l);
}

/* The header and the frame's headers in one piece, then a page each; small frames in one. */
static void cut(struct vuf_slot *s, unsigned size)
{
	uint32_t total = HDR_LEN + size, first = size > FRAME_MAX ? HDR_LEN + 54 : total;

	s->cnt = 0;
	for (uint32_t at = 0; at < total;) {
		uint32_t len = at ? PIECE : first;

		if (len > total - at)
			len = total - at;
		s->bufs[s->cnt++] = (struct vq_buf) { .gpa = s->gpa + at, .len = len };
		at += len;
	}
}

void lane_fill(struct lane *l, unsigned size)
{
	for (unsigned p = 0; p < l->pairs; p++)
		for (unsigned i = 0; i < l->tx[p].vq->slot_cnt; i++) {
			struct vuf_slot *s = &l->tx[p].vq->slots[i];
			uint8_t *at = l->f.base + s->gpa;

			memset(at, 0, HDR_LEN);
			if (size > FRAME_MAX)
				frame_fill_tcp(at + HDR_LEN, (struct virtio_net_hdr *)(void *)at,
					       size);
			else
				frame_fill(at + HDR_LEN, size);
			cut(s, size);
		}
}

static void reap(struct lane_way *w)
{
	uint64_t slot;
	uint32_t len;

	while (vq_get(&w->vq->q, &slot, &len))
		w->free[w->free_cnt++] = (uint16_t)slot;
}

static unsigned send_way(struct vuf *f, struct lane_way *w, unsigned most)
{
	unsigned n = 0;

	reap(w);
	while (n < most && w->free_cnt) {
		unsigned slot = w->free[w->free_cnt - 1];
		struct vuf_slot *s = &w->vq->slots[slot];

		if (!vq_add(&w->vq->q, s->bufs, s->cnt, s->cnt > 1 ? s->table_gpa : 0, slot))
			break;
		w->free_cnt--;
		n++;
	}
	if (n)
		vuf_kick(f, w->vq);
	w->frames += n;
	return n;
}

unsigned lane_send(struct lane *l, unsigned most)
{
	unsigned n = 0;

	for (unsigned i = 0; i < l->pairs; i++)
		n += send_way(&l->f, &l->tx[i], most);
	return n;
}

unsigned lane_reap(struct lane *l)
{
	unsigned out = 0;

	for (unsigned i = 0; i < l->pairs; i++) {
		reap(&l->tx[i]);
		out += l->tx[i].vq->slot_cnt - l->tx[i].free_cnt;
	}
	return out;
}

/* Return: did a frame end with this buffer? */
static bool take(struct vuf *f, struct lane_way *w, unsigned slot, uint32_t len)
{
	struct virtio_net_hdr_v1 hdr;

	w->bytes += len;
	if (w->owed)
		return !--w->owed;
	memcpy(&hdr, f->base + w->vq->slots[slot].gpa, sizeof(hdr));
	w->bytes -= HDR_LEN;
	if (len < HDR_LEN || !hdr.num_buffers)
		w->odd++;
	else
		w->owed = hdr.num_buffers - 1u;
	return !w->owed;
}

static unsigned receive_way(struct vuf *f, struct lane_way *w)
{
	unsigned n = 0, bufs = 0;
	uint64_t slot;
	uint32_t len;

	for (; bufs < BURST && vq_get(&w->vq->q, &slot, &len); bufs++) {
		n += take(f, w, (unsigned)slot, len);
		w->free[w->free_cnt++] = (uint16_t)slot;
	}
	if (bufs)
		post(f, w);
	w->frames += n;
	return n;
}

unsigned lane_receive(struct lane *l)
{
	unsigned n = 0;

	for (unsigned i = 0; i < l->pairs; i++)
		n += receive_way(&l->f, &l->rx[i]);
	return n;
}

uint64_t lane_sent(const struct lane *l)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < l->pairs; i++)
		sum += l->tx[i].frames;
	return sum;
}

uint64_t lane_received(const struct lane *l)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < l->pairs; i++)
		sum += l->rx[i].frames;
	return sum;
}

uint64_t lane_odd(const struct lane *l)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < l->pairs; i++)
		sum += l->rx[i].odd;
	return sum;
}
