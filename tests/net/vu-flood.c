/* SPDX-License-Identifier: MIT */
/*
 * Numbered frames through a vhost-user back end, both ways at once.
 *
 * Model
 *   A frame is what frame() in tests/lib/tuntap.py makes: its number, and a
 *   pattern that follows from the number. What comes back must have all of that,
 *   and come in order.
 */
#include "vu-tool.h"

#include <arpa/inet.h>
#include <string.h>

#define ETH_TEST 0x88b5
#define ETH_LEN 14u
#define BURST 32u

static uint32_t size_of(const struct flood *d, uint32_t number)
{
	return d->min + number * 7919 % (d->max - d->min + 1);
}

static void make(uint8_t *frame, uint32_t number, uint32_t size)
{
	static const uint8_t head[] = {
		2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2, ETH_TEST >> 8, ETH_TEST & 0xff
	};
	uint32_t be = htonl(number);

	memcpy(frame, head, ETH_LEN);
	memcpy(frame + ETH_LEN, &be, 4);
	for (uint32_t i = 4; i + ETH_LEN < size; i++)
		frame[ETH_LEN + i] = (uint8_t)(number * 31 + i * 7);
}

bool vu_flood_send(struct vuf *f, const struct flood *d, struct vuf_queue *vq, uint32_t number)
{
	static uint8_t frame[VUF_FRAME_MAX];
	const uint32_t size = size_of(d, number + d->first);

	make(frame, number + d->first, size);
	return vuf_send(f, vq, NULL, frame, size);
}

static bool send_some(struct vuf *f, struct flood *d, struct vuf_queue *vq)
{
	bool any = vuf_reap(f, vq);
	unsigned cnt = 0;

	/* what another pair has done would keep us from waiting */
	for (unsigned i = 1; d->all && i < f->queue_cnt; i += 2)
		if (&f->queues[i] != vq && f->queues[i].started)
			any |= vuf_reap(f, &f->queues[i]);
	for (; cnt < BURST && d->sent < d->tx; cnt++, d->sent++)
		if (!vu_flood_send(f, d, vq, d->sent))
			break;
	if (cnt)
		vuf_kick(f, vq);
	return any || cnt;
}

static void check(struct flood *d, const struct vuf_frame *frame)
{
	static uint8_t expected[VUF_FRAME_MAX];
	uint32_t number;

	if (frame->len < ETH_LEN + 4 || frame->data[12] != ETH_TEST >> 8 ||
	    frame->data[13] != (ETH_TEST & 0xff))
		return; /* somebody else's */
	memcpy(&number, frame->data + ETH_LEN, 4);
	number = ntohl(number) - d->first;
	d->chains += frame->chains;
	if (number < d->received + d->lost) {
		d->disordered++;
		return;
	}
	d->lost += number - d->received - d->lost;
	d->received++;
	make(expected, number + d->first, size_of(d, number + d->first));
	if (frame->len != size_of(d, number + d->first) ||
	    memcmp(frame->data + 12, expected + 12, frame->len - 12) != 0 || frame->hdr.flags ||
	    frame->hdr.gso_type)
		d->bad++;
}

static bool receive_some(struct vuf *f, struct flood *d, struct vuf_queue *vq)
{
	struct vuf_frame frame;
	unsigned cnt = 0;
	int got = 0;

	if (!vq->started)
		return false;
	while (cnt < BURST && (got = vuf_receive(f, vq, &frame)) > 0) {
		check(d, &frame);
		cnt++;
	}
	if (got < 0)
		d->bad++;
	if (cnt && !vq->hold && vuf_post(f, vq, vq->slot_cnt))
		vuf_kick(f, vq);
	return cnt;
}

static bool done(const struct flood *d)
{
	return d->sent == d->tx && d->received + d->lost >= d->rx;
}

static bool restart(struct vuf *f, unsigned queue)
{
	uint32_t base;

	return vuf_queue_stop(f, queue, &base) && vuf_queue_start(f, queue) &&
	       vuf_queue_enable(f, queue, true);
}

/* Return: whether it could be done. */
static bool change(struct vuf *f, struct flood *d)
{
	const unsigned rx = d->changes / 2 % f->pairs * 2;
	const bool on = d->changes++ & 1;

	if (!strcmp(d->change, "pairs"))
		return vuf_queue_enable(f, rx, on) && vuf_queue_enable(f, rx + 1, on);
	if (!strcmp(d->change, "memory"))
		return on ? vuf_mem_add(f, f->region_cnt - 1) : vuf_mem_del(f, f->region_cnt - 1);
	return restart(f, rx) && restart(f, rx + 1);
}

/* On the pair whose turn it is. */
static struct vuf_queue *tx_of(const struct vuf *f, const struct flood *d)
{
	const unsigned pair = d->all ? d->sent / BURST % f->pairs : d->pair;

	return &f->queues[2 * pair + 1];
}

void vu_flood(struct vuf *f, struct flood *d)
{
	struct vuf_queue *waits[8], *tx = &f->queues[2 * d->pair + 1];
	unsigned wait_cnt = 0, blind = 0;

	for (unsigned i = 0; i < f->queue_cnt && wait_cnt < 8; i++)
		if (&f->queues[i] == tx || !(i & 1) || d->all)
			waits[wait_cnt++] = &f->queues[i];
	while (!done(d)) {
		bool any = send_some(f, d, tx_of(f, d));
		int got;

		if (d->change && d->sent / d->every > d->changes && !change(f, d)) {
			d->refused = true;
			return;
		}

		for (unsigned i = 0; i < f->queue_cnt; i += 2)
			any |= receive_some(f, d, &f->queues[i]);
		if (any || done(d)) {
			blind = 0;
			continue;
		}
		d->waits++;
		got = vuf_wait(f, waits, wait_cnt, d->idle_ms);
		/* without a call descriptor each look takes a millisecond */
		if (got <= 0 || (f->no_call_fd && ++blind > (unsigned)d->idle_ms)) {
			d->closed = got < 0;
			return;
		}
	}
}
