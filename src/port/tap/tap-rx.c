/* SPDX-License-Identifier: MIT */
/*
 * The `tap` port: moving frames from the TAP.
 *
 * A turn reads bursts until the kernel's queue is empty, the peer holds, or the
 * budget is spent. Frames that the peer did not take stay where they were
 * read, and none of the lane's queues reads until they are gone.
 *
 * While long frames come (GSO), they are read into room that the peer lends,
 * where it has some: a guest's receive buffers. For short ones, and for a start, a
 * copy costs less than describing room for the longest to the kernel.
 */
#include <errno.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/container.h"
#include "base/counter.h"
#include "base/iov.h"
#include "port/tap/tap-int.h"

/** A frame that is worth a loan. */
#define LONG_MIN_LEN 4096u
/** Frames that are read into lent room before the peer is told. */
#define LENT_MAX 8u
/** After so many bursts without a long frame, nothing is borrowed any more. */
#define LENT_BURSTS 16u

/* No device any more, or it is shutting down; anything else concerns one frame. */
static bool is_gone(int code)
{
	return code == EBADFD || code == ENODEV || code == EFAULT;
}

/* Until the port's own loop has seen to it, the descriptor would report this again and again. */
static void lost(struct tap_lane *l, struct tap_queue *q)
{
	loop_del(l->lane->loop, &q->watch);
	tap_report(l, TAP_TROUBLE_GONE);
}

/* Read a burst. Return: whether there may be more. */
static bool read_burst(struct tap_lane *l, struct tap_queue *q)
{
	const struct tap *t = l->tap;
	const size_t largest = t->hdr_len + VMTAP_FRAME_MAX;
	size_t off = 0;

	l->next = 0;
	l->cnt = 0;
	while (l->cnt < VMTAP_BURST_MAX && off + largest <= TAP_ARENA_SIZE) {
		struct vmtap_frame *f = &l->frames[l->cnt];
		unsigned char *at = l->arena + off;
		ssize_t len = read(q->fd, at, largest);

		if (len < 0 && errno == EINTR)
			continue;
		if (len < 0) {
			if (is_gone(errno))
				lost(l, q);
			else if (errno != EAGAIN)
				lane_drop_rx(l->lane, VMTAP_DROP_IO, 1);
			return false;
		}
		if ((size_t)len < t->hdr_len)
			continue;
		f->hdr = (struct vmtap_net_hdr) { 0 };
		memcpy(&f->hdr, at, t->hdr_len);
		if (t->swap_hdr)
			tap_swap_hdr(&f->hdr);
		f->len = (uint32_t)len - t->hdr_len;
		if (f->len > LONG_MIN_LEN)
			l->lent = LENT_BURSTS;
		l->iov[l->cnt] = (struct iovec) { .iov_base = at + t->hdr_len, .iov_len = f->len };
		l->cnt++;
		off += ((size_t)len + 15) & ~(size_t)15;
	}
	return true;
}

/* What readv() said instead of a length. Return: whether there may be more. */
static bool read_failed(struct tap_lane *l, struct tap_queue *q, const struct port_loan *loan,
			int code)
{
	if (code == EINTR)
		return true;
	if (code == EFAULT) { /* memory that somebody took away: have them notice */
		iov_touch(loan->iov, loan->iov_cnt);
		lane_drop_rx(l->lane, VMTAP_DROP_IO, 1);
		return true;
	}
	if (is_gone(code))
		lost(l, q);
	else if (code != EAGAIN)
		lane_drop_rx(l->lane, VMTAP_DROP_IO, 1);
	return false;
}

/* Read into @loan, behind a header of our own. */
static ssize_t read_loan(struct tap_lane *l, const struct tap_queue *q,
			 const struct port_loan *loan, struct vmtap_net_hdr *hdr)
{
	const unsigned hdr_len = l->tap->hdr_len;

	*hdr = (struct vmtap_net_hdr) { 0 };
	l->lent_iov[0] = (struct iovec) { hdr, hdr_len };
	memcpy(l->lent_iov + 1, loan->iov, loan->iov_cnt * sizeof(*loan->iov));
	return readv(q->fd, l->lent_iov + !hdr_len, (int)(loan->iov_cnt + (hdr_len > 0)));
}

/* A frame that needs more than the peer accepts: it was in the kernel's queue when that changed. */
static void keep(struct tap_lane *l, const struct port_loan *loan, const struct vmtap_net_hdr *hdr,
		 uint32_t len)
{
	iov_read(loan->iov, loan->iov_cnt, 0, l->arena, len);
	l->frames[0].hdr = *hdr;
	l->frames[0].len = len;
	l->iov[0] = (struct iovec) { l->arena, len };
	l->next = 0;
	l->cnt = 1;
}

/* Read some frames into room that the peer lends. Return: how many; 0: it lends none, or none came. */
static unsigned read_lent(struct tap_lane *l, struct tap_queue *q, bool *more)
{
	struct port_loan loan = { 0 };
	unsigned cnt = 0;
	bool is_long = false;

	l->next = l->cnt = 0;
	for (unsigned i = 0; i < LENT_MAX && *more && !l->cnt && lane_borrow(l->lane, &loan); i++) {
		struct vmtap_net_hdr hdr;
		const ssize_t n = read_loan(l, q, &loan, &hdr);
		const uint32_t len = (uint32_t)n - l->tap->hdr_len;

		if (n < (ssize_t)l->tap->hdr_len) {
			*more = n >= 0 || read_failed(l, q, &loan, errno);
			continue;
		}
		if (l->tap->swap_hdr)
			tap_swap_hdr(&hdr);
		is_long |= len > LONG_MIN_LEN;
		cnt++;
		if (!lane_repay(l->lane, &loan, &hdr, len))
			keep(l, &loan, &hdr, len);
	}
	if (loan.lender)
		lane_settle(&loan);
	l->lent = is_long ? LENT_BURSTS : l->lent - 1;
	return cnt;
}

/* Offer what was read. Return: whether the peer took all of it. */
static bool offer(struct tap_lane *l)
{
	if (l->next < l->cnt)
		l->next += lane_offer(l->lane, l->frames + l->next, l->cnt - l->next);
	return l->next == l->cnt;
}

/* The peer may do anything while it takes frames, also make us lose the device, or the queue. */
static void read_turn(struct tap_lane *l, struct tap_queue *q)
{
	unsigned done = 0;
	bool more = true;

	while (more && done < PORT_BUDGET && l->tap->port.polling && q->attached) {
		unsigned lent = l->lent ? read_lent(l, q, &more) : 0;

		if (!lent && more)
			more = read_burst(l, q);
		done += lent ? lent : l->cnt;
		if (!offer(l))
			return;
	}
}

static void watch(const struct tap_lane *l, uint32_t add, uint32_t remove)
{
	for (unsigned i = l->first; i < l->end; i++) {
		struct tap_queue *q = &l->tap->queues[i];
		const uint32_t out = q->taken ? remove | EPOLLIN : remove;

		loop_mod(l->lane->loop, &q->watch, (q->watch.events | add) & ~out);
	}
}

void tap_queue_ready(struct loop_watch *w, uint32_t events)
{
	struct tap_queue *q = container_of(w, struct tap_queue, watch);
	struct tap_lane *l = tap_lane_of(q->tap, q->index);

	counter_add(&q->wakeups, 1);
	if (events & EPOLLOUT) {
		watch(l, 0, EPOLLOUT);
		lane_writable(l->lane);
	}
	if (q->fd < 0)
		return;
	if (events & EPOLLERR) {
		lost(l, q);
		return;
	}
	if (!(events & EPOLLIN))
		return;
	if (l->next < l->cnt ||
	    !q->tap->port.polling) /* held: only now is it worth a system call */
		watch(l, 0, EPOLLIN);
	else
		read_turn(l, q);
}

void tap_resume(struct port_lane *lane)
{
	struct tap_lane *l = ((struct tap *)lane->port)->lanes[lane->index];

	if (offer(l))
		watch(l, EPOLLIN, 0);
}

void tap_set_poll(struct port *p, bool on)
{
	struct tap *t = (struct tap *)p;

	for (unsigned i = 0; p->started && i < p->lane_cnt; i++) {
		struct tap_lane *l = t->lanes[i];

		if (!on)
			watch(l, 0, EPOLLIN);
		else if (l->next == l->cnt)
			watch(l, EPOLLIN, 0);
	}
	port_vhost_changed(p);
}
