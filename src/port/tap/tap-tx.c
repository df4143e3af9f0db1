/* SPDX-License-Identifier: MIT */
/*
 * The `tap` port: moving frames towards the TAP.
 *
 * Each frame is one write, and the writes of a burst are one system call
 * where that pays (loop/burst.h). A TAP takes a frame or refuses it as a
 * whole, so nothing is ever half written.
 *
 * A write of one piece is cheaper than a scatter list, by more than it costs
 * to copy a small frame behind its header; so those are copied. Larger ones
 * go out from where they are, as [header][pieces]: a guest's TSO frame has some
 * twenty. A list with more pieces than the kernel takes at once is copied, too,
 * however long it is.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/iov.h"
#include "loop/burst.h"
#include "port/tap/tap-int.h"

#define PIECES 1024    /* of all the scatter lists of a burst, with the headers; UIO_MAXIOV */
#define SMALL_MAX 1536 /* bytes of a frame that is rather copied */
#define HDR_MAX sizeof(struct vmtap_net_hdr)

/**
 * struct tap_tx - A burst, prepared
 * @iov:   @iov_cnt of them are taken
 * @small: copies of small frames behind their headers
 * @large: one frame of many pieces, behind its header
 */
struct tap_tx {
	struct burst_op ops[VMTAP_BURST_MAX];
	unsigned iov_cnt;
	struct iovec iov[PIECES];
	struct vmtap_net_hdr hdrs[VMTAP_BURST_MAX];
	unsigned char small[VMTAP_BURST_MAX][HDR_MAX + SMALL_MAX];
	unsigned char large[HDR_MAX + VMTAP_FRAME_MAX];
};

_Static_assert(BURST_MAX == VMTAP_BURST_MAX, "a burst of frames is a burst of writes");

struct tap_tx *tap_tx_new(void)
{
	return malloc(sizeof(struct tap_tx)); /* not touched before it is used */
}

static struct vmtap_net_hdr header(const struct tap *t, const struct vmtap_frame *f)
{
	struct vmtap_net_hdr hdr = f->hdr;

	if (t->swap_hdr)
		tap_swap_hdr(&hdr);
	return hdr;
}

/* Header and frame in one piece at @to. */
static void copy(const struct tap_lane *l, unsigned i, const struct vmtap_frame *f,
		 unsigned char *to)
{
	const struct tap *t = l->tap;
	struct vmtap_net_hdr hdr = header(t, f);
	struct iovec *iov = &l->tx->iov[l->tx->iov_cnt++];

	memcpy(to, &hdr, HDR_MAX);
	iov[0].iov_base = to;
	iov[0].iov_len = t->hdr_len + iov_read(f->iov, f->iov_cnt, 0, to + t->hdr_len, f->len);
	l->tx->ops[i].iov = iov;
	l->tx->ops[i].iov_cnt = 1;
}

/* Header and pieces, from where they are. */
static void list(const struct tap_lane *l, unsigned i, const struct vmtap_frame *f)
{
	struct tap_tx *tx = l->tx;
	struct iovec *iov = &tx->iov[tx->iov_cnt];

	tx->hdrs[i] = header(l->tap, f);
	iov[0] = (struct iovec) { .iov_base = &tx->hdrs[i], .iov_len = l->tap->hdr_len };
	memcpy(iov + 1, f->iov, f->iov_cnt * sizeof(*iov));
	tx->ops[i].iov = iov;
	tx->ops[i].iov_cnt = f->iov_cnt + 1;
	tx->iov_cnt += f->iov_cnt + 1;
}

/* Prepare frame @i of a burst. Return: whether it could be: there is room for so many pieces; and one of
 * too many goes first. */
static bool prepare(const struct tap_lane *l, unsigned i, const struct vmtap_frame *f)
{
	struct tap_tx *tx = l->tx;
	const unsigned room = PIECES - tx->iov_cnt;

	if (!l->tap->hdr_len && f->iov_cnt == 1) {
		tx->ops[i].iov = f->iov;
		tx->ops[i].iov_cnt = 1;
	} else if (!room) {
		return false;
	} else if (f->len <= SMALL_MAX) {
		copy(l, i, f, tx->small[i]);
	} else if (f->iov_cnt < room) {
		list(l, i, f);
	} else if (i == 0 && f->len <= VMTAP_FRAME_MAX) {
		copy(l, i, f, tx->large);
	} else {
		return false;
	}
	return true;
}

static void interface_down(struct tap_lane *l)
{
	unsigned suppressed;

	if (log_allow(&l->down_limit, &suppressed))
		tap_report(l, TAP_TROUBLE_DOWN);
}

/* The device refused a frame. Return: whether it is still there. */
static bool refused(struct tap_lane *l, const struct vmtap_frame *f, int code)
{
	switch (code) {
	case EIO: /* not up */
		lane_drop_tx(l->lane, VMTAP_DROP_IF_DOWN, f, 1);
		interface_down(l);
		return true;
	case EINVAL:
		lane_drop_tx(l->lane, f->len < 14 ? VMTAP_DROP_RUNT : VMTAP_DROP_REFUSED, f, 1);
		return true;
	case EBADFD: /* no device any more */
	case ENODEV:
		tap_report(l, TAP_TROUBLE_GONE);
		return false;
	case EFAULT: /* memory that somebody took away: have them notice */
		iov_touch(f->iov, f->iov_cnt);
		lane_drop_tx(l->lane, VMTAP_DROP_IO, f, 1);
		return true;
	default:
		lane_drop_tx(l->lane, VMTAP_DROP_IO, f, 1);
		return true;
	}
}

/* Return: frames of the burst that are done with; fewer than @cnt: the device is full, or gone. */
static unsigned settle(struct tap_lane *l, struct tap_queue *q, const struct vmtap_frame *frames,
		       unsigned cnt)
{
	for (unsigned i = 0; i < cnt; i++) {
		ssize_t res = l->tx->ops[i].res;

		if (res >= 0)
			continue;
		if (res == -EAGAIN && q->index == l->first) {
			loop_mod(l->lane->loop, &q->watch, q->watch.events | EPOLLOUT);
			return i;
		}
		if (!refused(l, &frames[i], (int)-res))
			return i;
	}
	return cnt;
}

/* What the guest sent on a pair that it gave up is written all the same: a detached queue takes nothing,
 * but another is attached, and threads may share it. */
static struct tap_queue *queue_for(const struct tap_lane *l)
{
	struct tap_queue *q = &l->tap->queues[l->first];

	return q->attached || q->fd < 0 ? q : tap_attached(l->tap);
}

unsigned tap_send(struct port_lane *lane, const struct vmtap_frame *frames, unsigned cnt)
{
	struct tap *t = (struct tap *)lane->port;
	struct tap_lane *l = t->lanes[lane->index];
	struct tap_queue *q = queue_for(l);
	unsigned done = 0;

	while (done < cnt && q->fd >= 0) {
		unsigned n = 0, settled;

		l->tx->iov_cnt = 0;
		while (done + n < cnt && prepare(l, n, &frames[done + n]))
			n++;
		if (!n) { /* longer than any frame */
			lane_drop_tx(lane, VMTAP_DROP_TOO_LONG, &frames[done++], 1);
			continue;
		}
		burst_write(lane->burst, q->fd, l->tx->ops, n, t->may_block);
		settled = settle(l, q, frames + done, n);
		done += settled;
		if (settled < n)
			break;
	}
	return done;
}
