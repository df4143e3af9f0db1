/* SPDX-License-Identifier: MIT */
/*
 * The `vhost-user` port: frames from the guest.
 *
 * Model
 *   A burst of chains is popped; each becomes a frame that points into the
 *   guest's memory, behind the virtio-net header, which is copied. What the
 *   junction takes is pushed back, the rest goes back into the ring and is popped
 *   again when the junction has room.
 *
 * Kicks
 *   Are forgone while there is work, and asked for when the ring is empty; then
 *   it is looked into once more. When the junction holds, they stay forgone: the
 *   resume goes on.
 *
 * What the guest may do wrong
 *   A chain that is no frame (shorter than its header and an Ethernet header, too
 *   long, a header that cannot be) is given back, dropped and counted. Bytes
 *   behind the header are the peer's business: a guest that changes them while they
 *   are read changes its own frame.
 */
#include <string.h>

#include "base/iov.h"
#include "net/packet.h"
#include "port/vu/hdr.h"
#include "port/vu/vu-int.h"

/** More pieces than any device takes in one go; such a frame is copied. */
#define PIECES_MAX 64u

_Static_assert(VRING_BURST_MAX == VMTAP_BURST_MAX, "a burst of chains is a burst of frames");

/* Skip the first @len bytes of a chain. They are there. */
static void skip(struct vring_chain *c, uint32_t len)
{
	while (len) {
		size_t n = c->iov->iov_len;

		if (n > len) {
			c->iov->iov_base = (char *)c->iov->iov_base + len;
			c->iov->iov_len = n - len;
			return;
		}
		len -= (uint32_t)n;
		c->iov++;
		c->out_cnt--;
	}
}

/* Copy the header out, once. Return: a reason to drop the chain, or VMTAP_DROP_CNT. */
static enum vmtap_drop read_header(const struct vu *v, struct vring_chain *c,
				   struct vmtap_net_hdr *hdr)
{
	uint32_t len;

	if (c->out_len < v->hdr_len + ETH_HDR_LEN)
		return VMTAP_DROP_RUNT;
	len = c->out_len - v->hdr_len;
	if (len > VMTAP_FRAME_MAX)
		return VMTAP_DROP_TOO_LONG;
	*hdr = (struct vmtap_net_hdr) { 0 };
	if (c->iov->iov_len >= v->hdr_len && v->hdr_len == HDR_LEN_MODERN)
		memcpy(hdr, c->iov->iov_base, HDR_LEN_MODERN);
	else
		iov_read(c->iov, c->out_cnt, 0, hdr, v->hdr_len);
	if (v->swap)
		hdr_swap(hdr);
	hdr->num_buffers = 0;
	hdr->flags &= VMTAP_HDR_NEEDS_CSUM; /* all that a driver may say */
	if ((hdr->flags || hdr->gso_type) && !hdr_is_possible(hdr, len, v->dev.features))
		return VMTAP_DROP_BAD_HEADER;
	return VMTAP_DROP_CNT;
}

/* Make a frame of a chain. Return: false: it is of many pieces and the place for those is taken. */
static bool make_frame(struct vu_lane *l, struct vring_chain *c, struct vmtap_frame *f)
{
	const struct vu *v = l->vu;
	struct vu_tx_burst *tx = &l->tx;
	uint32_t len = c->out_len - v->hdr_len;

	f->len = len;
	if (c->out_cnt <= PIECES_MAX) {
		skip(c, v->hdr_len);
		f->iov = c->iov;
		f->iov_cnt = c->out_cnt;
		return true;
	}
	if (tx->bounce_iov.iov_len)
		return false;
	iov_read(c->iov, c->out_cnt, v->hdr_len, tx->bounce, len);
	tx->bounce_iov = (struct iovec) { .iov_base = tx->bounce, .iov_len = len };
	f->iov = &tx->bounce_iov;
	f->iov_cnt = 1;
	return true;
}

/* Return: how many of @cnt chains are dealt with; @good: frames that they are. */
static unsigned make_frames(struct vu_lane *l, unsigned cnt, unsigned *good)
{
	struct vu_tx_burst *tx = &l->tx;
	unsigned n = 0, i;

	tx->bounce_iov.iov_len = 0;
	for (i = 0; i < cnt; i++) {
		struct vring_chain *c = &tx->chains[i];
		enum vmtap_drop bad = read_header(l->vu, c, &tx->frames[n].hdr);

		tx->bad[i] = (uint8_t)bad;
		if (bad != VMTAP_DROP_CNT)
			continue;
		if (!make_frame(l, c, &tx->frames[n]))
			break;
		tx->at[n++] = (uint8_t)i;
	}
	*good = n;
	return i;
}

static void learn(struct vu_lane *l, unsigned pair, unsigned cnt)
{
	struct steer *steer = l->vu->port.lane_cnt > 1 ? NULL : &l->vu->steer;

	for (unsigned i = 0; i < cnt; i++) {
		announce_learn(&l->announce, &l->tx.frames[i]);
		if (steer)
			steer_learn(steer, &l->tx.frames[i], pair);
	}
}

/* One burst. Return: chains that are done with; 0: there were none, or all are held. */
static unsigned burst(struct vu_lane *l, unsigned index)
{
	const struct vu_queue *q = &l->vu->dev.queues[index];
	struct vu_tx_burst *tx = &l->tx;
	unsigned popped = vring_pop(q->ring, tx->chains, VRING_BURST_MAX);
	unsigned cnt, good, taken, done;

	if (!popped)
		return 0;
	cnt = make_frames(l, popped, &good);
	if (good && q->enabled) {
		taken = lane_offer(l->lane, tx->frames, good);
		learn(l, index / 2, taken);
	} else {
		taken = good;
		if (good)
			lane_drop_rx(l->lane, VMTAP_DROP_LINK_DOWN, good);
	}
	done = taken < good ? tx->at[taken] : cnt;
	for (unsigned i = 0; i < done; i++) {
		if (tx->bad[i] != VMTAP_DROP_CNT)
			lane_drop_rx(l->lane, tx->bad[i], 1);
		vring_push(q->ring, &tx->chains[i], 0);
	}
	if (done < popped)
		vring_unpop(q->ring, popped - done);
	if (done)
		vring_publish(q->ring);
	return done;
}

void vu_tx_run(struct vu *v, unsigned index)
{
	struct vring *ring = v->dev.queues[index].ring;
	struct vu_lane *l = vu_lane(v, index);
	unsigned turn = 0;

	if (!v->port.polling || l->lane->held || !v->io[index].runs || !v->io[index].begun)
		return;
	vring_want_kicks(ring, false);
	while (turn < PORT_BUDGET) {
		unsigned done = burst(l, index);

		turn += done;
		if (l->lane->held || !v->port.polling)
			break;
		if (!done && !vring_want_kicks(ring, true))
			break;
	}
	if (turn >= PORT_BUDGET && !l->lane->held)
		loop_task_add(l->lane->loop, &v->io[index].more);
	vu_check(v, index);
}
