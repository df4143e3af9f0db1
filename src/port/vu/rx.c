/* SPDX-License-Identifier: MIT */
/*
 * The `vhost-user` port: frames to the guest.
 *
 * Model
 *   A frame, behind its header, is copied into the buffers that the guest has
 *   posted: one chain, or with mergeable buffers as many as it takes, of which the
 *   header says the number. What a burst used is published at its end, with one call.
 *
 * Back-pressure
 *   When a queue has not enough room for a frame, kicks are asked for, its chains go
 *   back, and the port is writable again when a kick comes. The frames behind it wait as
 *   well, also those for other queues: they stay in order.
 *
 * What the guest may do wrong
 *   Post buffers that are too small: a frame that no chain holds is dropped as too
 *   long; so is one that takes more than VRING_CHAIN_MAX mergeable ones.
 */
#include <string.h>

#include "base/iov.h"
#include "port/vu/hdr.h"
#include "port/vu/vu-int.h"

enum place {
	PLACED,
	NO_ROOM,
	DROPPED,
};

/* ----------------------------------------------------------------- copying */

/**
 * struct sink - Where the next byte goes
 * @iov, @cnt, @off: pieces of the current chain
 */
struct sink {
	const struct iovec *iov;
	unsigned cnt;
	size_t off;
};

static void sink_to(struct sink *s, const struct vring_chain *c)
{
	*s = (struct sink) { .iov = c->iov + c->out_cnt, .cnt = c->in_cnt };
}

/* Return: bytes of @len that the chain had room for. */
static size_t sink_put(struct sink *s, const void *data, size_t len)
{
	size_t done = 0;

	while (done < len && s->cnt) {
		size_t n = s->iov->iov_len - s->off;

		if (n > len - done)
			n = len - done;
		memcpy((char *)s->iov->iov_base + s->off, (const char *)data + done, n);
		done += n;
		s->off += n;
		if (s->off == s->iov->iov_len) {
			s->iov++;
			s->cnt--;
			s->off = 0;
		}
	}
	return done;
}

/** struct source - What of a frame is still to be copied */
struct source {
	const struct iovec *iov;
	unsigned cnt;
	size_t off;
};

/* Fill one chain, of which @room bytes are left. Return: bytes that went in. */
static uint32_t fill(struct sink *to, struct source *from, uint32_t room)
{
	uint32_t done = 0;

	while (from->cnt && done < room) {
		const char *data = (const char *)from->iov->iov_base + from->off;
		size_t n = sink_put(to, data, from->iov->iov_len - from->off);

		done += (uint32_t)n;
		from->off += n;
		if (from->off < from->iov->iov_len)
			break;
		from->iov++;
		from->cnt--;
		from->off = 0;
	}
	return done;
}

/* ------------------------------------------------------------------- chains */

static unsigned pop(struct vu_rx_burst *rx, struct vring *ring, unsigned want)
{
	unsigned n;

	if (want > VRING_BURST_MAX)
		want = VRING_BURST_MAX;
	if (want > VRING_CHAIN_MAX - rx->cnt)
		want = VRING_CHAIN_MAX - rx->cnt;
	n = want ? vring_pop(ring, rx->chains + rx->cnt, want) : 0;
	rx->cnt += n;
	return n;
}

/*
 * Have one chain more than @have at hand, and pop @want if there are none. When the ring is empty,
 * kicks are asked for here, as long as all that it holds is popped: what is there
 * already is no reason for one.
 */
static enum place more_chains(struct vu_rx_burst *rx, struct vring *ring, unsigned have,
			      unsigned want)
{
	if (rx->at + have < rx->cnt)
		return PLACED;
	if (rx->at) { /* the used ones are pushed already */
		memmove(rx->chains, rx->chains + rx->at, (rx->cnt - rx->at) * sizeof(*rx->chains));
		rx->cnt -= rx->at;
		rx->at = 0;
	}
	if (pop(rx, ring, want))
		return PLACED;
	if (!vring_want_kicks(ring, true))
		return NO_ROOM;
	if (pop(rx, ring, want)) /* they came late */
		return PLACED;
	/* there are some, and of more pieces than can be held at once */
	return vring_error(ring) || rx->at + have == 0 ? NO_ROOM : DROPPED;
}

/* Give back what was popped and not used. */
static void return_chains(struct vu_rx_burst *rx, struct vring *ring)
{
	if (rx->cnt > rx->at)
		vring_unpop(ring, rx->cnt - rx->at);
	rx->at = rx->cnt = 0;
}

/* Find room for @len bytes. @used: chains that it takes; @left: frames that are still to come. */
static enum place find_room(struct vu_lane *l, const struct vu_queue *q, uint64_t len,
			    unsigned left, unsigned *used)
{
	struct vu_rx_burst *rx = &l->rx;
	unsigned size = q->cfg.size;
	unsigned n = 0, descs = 0;
	uint64_t room = 0;

	do {
		enum place more;

		if (n == VRING_CHAIN_MAX || descs >= size)
			return DROPPED; /* more than all that the ring can hold */
		more = more_chains(rx, q->ring, n, n ? VRING_BURST_MAX : left);

		if (more != PLACED)
			return more;
		room += rx->chains[rx->at + n].in_len;
		descs += rx->chains[rx->at + n].desc_cnt;
		n++;
	} while (room < len && l->vu->mergeable);
	*used = n;
	return room < len ? DROPPED : PLACED;
}

static struct vmtap_net_hdr header(const struct vu *v, const struct vmtap_frame *f, unsigned used)
{
	struct vmtap_net_hdr hdr = f->hdr;

	/* A TAP says DATA_VALID of what it verified; not to this guest (virtio 1.2, 5.1.6.4.1). */
	if (!(v->port.accepts & VMTAP_OFFLOAD_CSUM))
		hdr.flags = 0;
	hdr.num_buffers = (uint16_t)used;
	if (v->swap)
		hdr_swap(&hdr);
	return hdr;
}

/* A chain too small for the header would have it cut; such are possible with mergeable buffers. */
static enum place place(struct vu_lane *l, const struct vu_queue *q, const struct vmtap_frame *f,
			unsigned left)
{
	const struct vu *v = l->vu;
	struct vu_rx_burst *rx = &l->rx;
	struct vmtap_net_hdr hdr;
	struct source src = { .iov = f->iov, .cnt = f->iov_cnt };
	enum place ret;
	unsigned used;

	ret = find_room(l, q, (uint64_t)v->hdr_len + f->len, left, &used);
	if (ret != PLACED)
		return ret;
	hdr = header(v, f, used);
	for (unsigned i = 0; i < used; i++) {
		const struct vring_chain *c = &rx->chains[rx->at + i];
		uint32_t len = 0;
		struct sink sink;

		sink_to(&sink, c);
		if (!i) {
			len = (uint32_t)sink_put(&sink, &hdr, v->hdr_len);
			if (len < v->hdr_len) {
				vring_set_broken(q->ring, "a receive buffer is smaller than the "
							  "virtio-net header");
				return NO_ROOM;
			}
		}
		len += fill(&sink, &src, c->in_len - len);
		vring_push(q->ring, c, len);
	}
	rx->at += used;
	return PLACED;
}

/* ------------------------------------------------------------------- a burst */

static bool is_wanted(const struct vu *v, const struct vmtap_frame *f)
{
	uint8_t eth[18];
	unsigned len;

	if (!v->ctrl.filter.active)
		return true;
	len = (unsigned)iov_read(f->iov, f->iov_cnt, 0, eth, sizeof(eth));
	return ctrl_takes(&v->ctrl.filter, eth, len);
}

static struct vring *ring_for(const struct vu *v, const struct vmtap_frame *f, unsigned *index)
{
	*index = 2 * steer_pick(&v->steer, f);
	return v->dev.queues[*index].ring;
}

/* Frames that go to queue @index, one after the other. Return: how many are done with; fewer than @cnt,
 * @full: it has no room, else the next is for another queue. */
static unsigned send_to(struct vu_lane *l, unsigned index, const struct vmtap_frame *frames,
			unsigned cnt, bool *full)
{
	const struct vu *v = l->vu;
	const struct vu_queue *q = &v->dev.queues[index];
	const bool single = v->port.lane_cnt > 1;
	struct vring *ring = q->ring;
	unsigned i, next;

	for (i = 0; i < cnt; i++) {
		if (i && !single && ring_for(v, &frames[i], &next) != ring)
			break;
		if (!is_wanted(v, &frames[i])) {
			lane_drop_tx(l->lane, VMTAP_DROP_FILTERED, &frames[i], 1);
			continue;
		}
		switch (place(l, q, &frames[i], cnt - i)) {
		case PLACED:
			continue;
		case DROPPED:
			lane_drop_tx(l->lane, VMTAP_DROP_TOO_LONG, &frames[i], 1);
			continue;
		case NO_ROOM:
			*full = true;
			break;
		}
		break;
	}
	return_chains(&l->rx, ring);
	vring_publish(ring);
	return i;
}

/* Is there a receive ring, as far as is known? One that breaks is taken out by the port's loop. */
static bool has_ring(const struct vu_lane *l)
{
	return l->vu->port.lane_cnt > 1 ? l->on : l->vu->steer.cnt;
}

unsigned vu_send(struct port_lane *lane, const struct vmtap_frame *frames, unsigned cnt)
{
	struct vu *v = vu_of_port(lane->port);
	struct vu_lane *l = v->lanes[lane->index];
	unsigned done = 0, index = 2 * lane->index;
	bool broken = false;

	while (done < cnt && has_ring(l) && !broken) {
		bool full = false;
		struct vring *ring = v->port.lane_cnt > 1 ? v->dev.queues[index].ring
							  : ring_for(v, &frames[done], &index);

		done += send_to(l, index, frames + done, cnt - done, &full);
		if (vring_error(ring)) {
			vu_check(v, index); /* takes it out of the steering, now or soon */
			broken = lane->loop != v->port.env->loop;
		} else if (full) {
			break;
		}
	}
	if (mem_is_lost(v->dev.mem))
		vu_check(v, index);
	if (done < cnt && (broken || !has_ring(l))) {
		lane_drop_tx(lane, VMTAP_DROP_PEER_GONE, frames + done, cnt - done);
		done = cnt;
	}
	return done;
}

/* --------------------------------------------------------------------- loans */

/* Only where every frame for the port goes to one ring, and none is filtered: a loan is for a frame that
 * nobody has seen yet. */
static bool may_lend(const struct vu *v, const struct port_lane *lane)
{
	if ((v->ctrl.filter.active && !v->ctrl.filter.promisc) || !v->mergeable ||
	    v->hdr_len != HDR_LEN_MODERN)
		return false;
	return v->port.lane_cnt > 1 ? v->lanes[lane->index]->on : v->steer.cnt == 1;
}

/* The pieces of a chain, from byte @skip on. Return: whether there was room for them. */
static bool lend_chain(struct vu_lane *l, struct port_loan *loan, const struct vring_chain *c,
		       size_t skip)
{
	const struct iovec *from = c->iov + c->out_cnt;

	if (loan->iov_cnt + c->in_cnt > PORT_LOAN_PIECES)
		return false;
	for (unsigned i = 0; i < c->in_cnt; i++) {
		const size_t n = skip < from[i].iov_len ? skip : from[i].iov_len;

		skip -= n;
		if (n == from[i].iov_len)
			continue;
		l->loan_iov[loan->iov_cnt++] =
			(struct iovec) { (char *)from[i].iov_base + n, from[i].iov_len - n };
	}
	return true;
}

bool vu_lend(struct port_lane *lane, struct port_loan *loan)
{
	struct vu *v = vu_of_port(lane->port);
	struct vu_lane *l = v->lanes[lane->index];
	struct vu_rx_burst *rx = &l->rx;
	const struct vu_queue *q;
	unsigned used;

	if (!may_lend(v, lane))
		return false;
	l->loan_queue = 2 * (v->port.lane_cnt > 1 ? lane->index : v->steer.pairs[0]);
	q = &v->dev.queues[l->loan_queue];
	loan->iov = l->loan_iov;
	loan->iov_cnt = 0;
	if (find_room(l, q, HDR_LEN_MODERN + VMTAP_FRAME_MAX, VRING_BURST_MAX, &used) != PLACED ||
	    rx->chains[rx->at].in_len < HDR_LEN_MODERN) {
		vu_settle(lane);
		return false;
	}
	for (unsigned i = 0; i < used; i++) {
		if (lend_chain(l, loan, &rx->chains[rx->at + i], i ? 0 : HDR_LEN_MODERN))
			continue;
		vu_settle(lane);
		return false;
	}
	return true;
}

void vu_repay(struct port_lane *lane, const struct vmtap_net_hdr *hdr, uint32_t len)
{
	struct vu *v = vu_of_port(lane->port);
	struct vu_lane *l = v->lanes[lane->index];
	struct vu_rx_burst *rx = &l->rx;
	const struct vmtap_frame f = { .hdr = *hdr, .len = len };
	struct vring *ring = v->dev.queues[l->loan_queue].ring;
	uint64_t left = (uint64_t)HDR_LEN_MODERN + len;
	struct vmtap_net_hdr put;
	struct sink sink;
	unsigned used = 0;

	for (uint64_t room = 0; room < left; used++)
		room += rx->chains[rx->at + used].in_len;
	put = header(v, &f, used);
	sink_to(&sink, &rx->chains[rx->at]);
	sink_put(&sink, &put, HDR_LEN_MODERN);
	for (unsigned i = 0; i < used; i++) {
		const struct vring_chain *c = &rx->chains[rx->at + i];
		const uint32_t n = left < c->in_len ? (uint32_t)left : c->in_len;

		vring_push(ring, c, n);
		left -= n;
	}
	rx->at += used;
}

void vu_settle(struct port_lane *lane)
{
	struct vu *v = vu_of_port(lane->port);
	struct vu_lane *l = v->lanes[lane->index];
	struct vring *ring = v->dev.queues[l->loan_queue].ring;

	return_chains(&l->rx, ring);
	vring_publish(ring);
	vu_check(v, l->loan_queue);
}
