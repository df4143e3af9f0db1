/* SPDX-License-Identifier: MIT */
/*
 * The data path of the `stream` port.
 *
 * Receiving
 *   One recv() brings many frames; they are offered, in bursts, from where
 *   they lie. When the junction takes fewer, the rest stays there and
 *   nothing more is read. Reading is not switched off in the loop until the
 *   socket is in fact ready and nobody wants its bytes: most holds are
 *   shorter than that. A turn ends after PORT_BUDGET frames, or runts; if the buffer
 *   still holds some, a task goes on, since the socket need not be readable.
 *
 * Sending
 *   A burst is one sendmsg(). If the kernel takes a part of a frame, that
 *   frame counts as taken and its rest waits in the tail buffer; nothing else
 *   is sent before it.
 *
 * A peer that is gone
 *   Its last frames are still delivered: the connection ends where its bytes
 *   end. A socket that was hung up cannot be silenced in epoll, so while
 *   those frames are held it is taken out of the loop.
 *
 * When the program ends and comes again
 *   What was received and not taken, and the tail, go to the next run (stream-state.h). From when the program
 *   leaves nothing is read or offered: nobody would take it.
 */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/container.h"
#include "base/iov.h"
#include "net/keeper.h"
#include "port/sock/stream-priv.h"
#include "port/sock/stream-state.h"

static struct loop *loop_of(const struct stream *s)
{
	return s->port.env->loop;
}

static uint32_t wanted(const struct stream *s)
{
	return (s->in ? EPOLLIN : 0u) | (s->out ? EPOLLOUT : 0u);
}

static void update_watch(struct stream *s)
{
	loop_mod(loop_of(s), &s->watch, wanted(s));
}

/* ------------------------------------------------------------------ receiving */

static bool can_offer(const struct stream *s)
{
	return !port_is_held(&s->port) && s->port.polling && !port_is_leaving(&s->port);
}

static void bad_framing(struct stream *s)
{
	char text[200];

	conn_lost(&s->conn, EPROTO, framing_explain(&s->rx, text, sizeof(text)));
}

/* Return: bytes received, fewer than the room: the socket is empty; 0: nothing there; -1: the
 * connection is over. */
static ssize_t receive(struct stream *s, bool *emptied)
{
	size_t room;
	void *to = framing_room(&s->rx, &room);
	ssize_t len;

	do
		len = recv(s->conn.fd, to, room, MSG_DONTWAIT);
	while (len < 0 && errno == EINTR);
	if (len > 0) {
		framing_received(&s->rx, (size_t)len);
		*emptied = (size_t)len < room;
		return len;
	}
	if (len < 0 && errno == EAGAIN)
		return 0;
	if (len < 0)
		conn_lost(&s->conn, errno, strerror(errno));
	else
		conn_lost(&s->conn, EPIPE,
			  s->rx.head < s->rx.tail
				  ? "the peer closed the connection in the middle of a frame"
				  : "the peer closed the connection");
	return -1;
}

/* Complete frames at the front of the buffer, behind @runts. Return: as framing_parse(). */
static int parse(struct stream *s, unsigned max, unsigned *runts)
{
	int cnt;

	*runts = 0;
	cnt = framing_parse(&s->rx, max < VMTAP_BURST_MAX ? max : VMTAP_BURST_MAX, runts);
	if (*runts)
		port_drop_rx(&s->port, VMTAP_DROP_RUNT, *runts);
	return cnt;
}

static void run(struct stream *s)
{
	int budget = PORT_BUDGET;
	bool emptied = false;

	while (budget > 0) {
		unsigned runts, taken;
		int cnt = parse(s, (unsigned)budget, &runts);

		if (cnt < 0) {
			bad_framing(s);
			return;
		}
		budget -= (int)runts; /* a peer may send nothing else */
		if (!cnt && budget <= 0)
			break;
		if (!cnt) {
			if (emptied || receive(s, &emptied) <= 0)
				return;
			continue;
		}
		taken = port_offer(&s->port, s->rx.frames, (unsigned)cnt);
		if (taken)
			framing_done(&s->rx, taken);
		if (taken < (unsigned)cnt)
			return;
		budget -= (int)taken;
	}
	if (framing_pending(&s->rx))
		loop_task_add(loop_of(s), &s->more);
}

/* Go on where reading stopped. */
static void rx_run(struct stream *s)
{
	if (s->conn.fd < 0 || !can_offer(s))
		return;
	if (s->running) { /* called back from the junction */
		loop_task_add(loop_of(s), &s->more);
		return;
	}
	s->running = true;
	run(s);
	s->running = false;
	if (s->conn.fd < 0 || !can_offer(s))
		return;
	s->in = true;
	if (!s->detached) {
		update_watch(s);
	} else if (loop_add(loop_of(s), &s->watch, s->conn.fd, wanted(s)) == 0) {
		s->detached = false;
	} else {
		loop_task_add(loop_of(s), &s->more);
	}
}

static void more_run(struct loop_task *t)
{
	rx_run(container_of(t, struct stream, more));
}

/* Readable, and nobody takes frames. */
static void stop_reading(struct stream *s, uint32_t events)
{
	s->in = false;
	if (events & (EPOLLHUP | EPOLLERR)) {
		loop_del(loop_of(s), &s->watch);
		s->detached = true;
	}
}

void stream_resume(struct port_lane *l)
{
	rx_run(stream_of(l->port));
}

void stream_set_poll(struct port *p, bool on)
{
	struct stream *s = stream_of(p);

	if (on && s->conn.fd >= 0)
		loop_task_add(loop_of(s), &s->more);
}

/* -------------------------------------------------------------------- sending */

static ssize_t send_iov(const struct stream *s, struct iovec *iov, size_t cnt)
{
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = cnt };
	ssize_t len;

	do
		len = sendmsg(s->conn.fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (len < 0 && errno == EINTR);
	return len;
}

/* Is it worth trying again later? */
static bool is_passing(int ret)
{
	return ret == -EAGAIN || ret == -ENOBUFS || ret == -ENOMEM || ret == -EFAULT;
}

static bool has_tail(const struct stream *s)
{
	return s->tx.tail_at < s->tx.tail_end;
}

/* Return: frames that fit into @s->tx.iov, with @used entries; 0: the first has too many pieces. */
static unsigned gather(struct stream *s, const struct vmtap_frame *frames, unsigned cnt,
		       unsigned *used)
{
	struct stream_tx *tx = &s->tx;
	unsigned n = 0;

	*used = 0;
	while (n < cnt && *used + 1 + frames[n].iov_cnt <= STREAM_IOV) {
		const struct vmtap_frame *f = &frames[n];

		tx->prefix[n] = htobe32(f->len);
		tx->iov[(*used)++] = (struct iovec) { &tx->prefix[n], FRAMING_PREFIX };
		memcpy(&tx->iov[*used], f->iov, f->iov_cnt * sizeof(*f->iov));
		*used += f->iov_cnt;
		n++;
	}
	return n;
}

/* Keep what follows byte @from of a frame and its length. */
static void keep_tail(struct stream *s, const struct vmtap_frame *f, size_t from)
{
	const uint32_t prefix = htobe32(f->len);
	const struct iovec head = { (void *)&prefix, FRAMING_PREFIX };
	struct stream_tx *tx = &s->tx;
	size_t len = iov_read(&head, 1, from, tx->tail, FRAMING_PREFIX);

	len += iov_read(f->iov, f->iov_cnt, from + len - FRAMING_PREFIX, tx->tail + len, f->len);
	tx->tail_at = 0;
	tx->tail_end = len;
	tx->tail_frame = f->len;
}

/* The kernel took @len bytes of these frames. Return: frames taken; one of which it has the
 * beginning is. */
static unsigned settle(struct stream *s, const struct vmtap_frame *frames, unsigned cnt, size_t len)
{
	unsigned done = 0;

	while (done < cnt && len >= FRAMING_PREFIX + frames[done].len)
		len -= FRAMING_PREFIX + frames[done++].len;
	if (len)
		keep_tail(s, &frames[done++], len);
	return done;
}

static void forget_tail(struct stream *s)
{
	s->tx.tail_at = s->tx.tail_end = 0;
}

/* Send the tail. Return: 0: it is gone; -EAGAIN, or another error. */
static int flush_tail(struct stream *s)
{
	struct stream_tx *tx = &s->tx;

	while (has_tail(s)) {
		struct iovec iov = { tx->tail + tx->tail_at, tx->tail_end - tx->tail_at };
		ssize_t len = send_iov(s, &iov, 1);

		if (len < 0)
			return -errno;
		tx->tail_at += (size_t)len;
	}
	return 0;
}

/* Send some frames. Return: frames taken, 0: the socket is full; -errno. */
static int send_some(struct stream *s, const struct vmtap_frame *frames, unsigned cnt)
{
	unsigned used;
	unsigned n = gather(s, frames, cnt, &used);
	ssize_t len;

	if (!n) { /* too many pieces for one call: by way of the tail */
		int ret;

		keep_tail(s, frames, 0);
		ret = flush_tail(s);
		if (ret == 0 || is_passing(ret))
			return 1;
		forget_tail(s); /* it is the caller's to count */
		return ret;
	}
	len = send_iov(s, s->tx.iov, used);
	if (len < 0 &&
	    errno == EFAULT) { /* memory that somebody took away: nothing that this peer did */
		iov_touch(s->tx.iov, used);
		len = send_iov(s, s->tx.iov, used);
	}
	if (len < 0)
		return errno == EAGAIN ? 0 : -errno;
	return (int)settle(s, frames, n, (size_t)len);
}

/* The rest of a frame that counts as sent is not sent. */
static void lose_tail(struct stream *s)
{
	if (has_tail(s))
		port_drop_tx(&s->port, VMTAP_DROP_PEER_GONE, NULL, 1);
	forget_tail(s);
}

/* The peer takes nothing any more. What it sent is still read, until it ends. */
static void broken(struct stream *s)
{
	s->tx_broken = true;
	lose_tail(s);
}

unsigned stream_send(struct port_lane *l, const struct vmtap_frame *frames, unsigned cnt)
{
	struct port *p = l->port;
	struct stream *s = stream_of(p);
	unsigned done = 0;

	while (done < cnt && !has_tail(s) && !s->tx_broken) {
		int ret = send_some(s, frames + done, cnt - done);

		if (ret == 0)
			break;
		if (is_passing(ret)) { /* out of memory, or the frame's is gone */
			port_drop_tx(p, VMTAP_DROP_IO, &frames[done], 1);
			ret = 1;
		}
		if (ret < 0)
			broken(s);
		else
			done += (unsigned)ret;
	}
	if (s->tx_broken) {
		port_drop_tx(p, VMTAP_DROP_PEER_GONE, frames + done, cnt - done);
		return cnt;
	}
	if (done < cnt || has_tail(s)) {
		s->out = true;
		update_watch(s);
	}
	return done;
}

static void tx_ready(struct stream *s)
{
	int ret = flush_tail(s);

	if (is_passing(ret))
		return;
	if (ret < 0)
		broken(s);
	s->out = false;
	port_writable(&s->port); /* may fill the socket again */
}

/* ------------------------------------------------------------------ connection */

static void ready(struct loop_watch *w, uint32_t events)
{
	struct stream *s = container_of(w, struct stream, watch);

	if (events & EPOLLOUT)
		tx_ready(s);
	if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
		if (!can_offer(s))
			stop_reading(s, events);
		else if (!s->more.queued)
			rx_run(s);
	}
	if (s->conn.fd >= 0)
		update_watch(s);
}

int stream_io_init(struct stream *s)
{
	s->more.run = more_run;
	s->watch.fd = -1;
	s->tx.tail = malloc(FRAMING_PREFIX + VMTAP_FRAME_MAX);
	return framing_init(&s->rx) < 0 || !s->tx.tail ? -ENOMEM : 0;
}

void stream_io_fini(struct stream *s)
{
	framing_fini(&s->rx);
	free(s->tx.tail);
}

/* A new stream begins. */
static void forget(struct stream *s)
{
	framing_reset(&s->rx);
	forget_tail(s);
	s->tx_broken = false;
}

int stream_io_begin(struct stream *s)
{
	int ret;

	s->detached = false;
	s->in = true;
	s->out = has_tail(s);
	s->watch.ready = ready;
	ret = loop_add(loop_of(s), &s->watch, s->conn.fd, wanted(s));
	if (ret < 0)
		forget(s);
	else if (s->rx.head < s->rx.tail)
		loop_task_add(loop_of(s), &s->more);
	return ret;
}

/* Frames that nobody took. */
static void purge(struct stream *s)
{
	unsigned runts;
	int cnt;

	while ((cnt = parse(s, VMTAP_BURST_MAX, &runts)) > 0) {
		port_drop_rx(&s->port, VMTAP_DROP_PURGED, (unsigned)cnt);
		framing_done(&s->rx, (unsigned)cnt);
	}
}

void stream_io_end(struct stream *s)
{
	loop_task_del(loop_of(s), &s->more);
	loop_del(loop_of(s), &s->watch);
	purge(s);
	lose_tail(s);
	forget(s);
}

/* --------------------------------------------------------------- from run to run */

ssize_t stream_io_save(struct stream *s, uint64_t id, uint8_t **state)
{
	const struct stream_tx *tx = &s->tx;
	const struct stream_state left = {
		.id = id,
		.tx_broken = s->tx_broken,
		.rx = s->rx.data + s->rx.head,
		.rx_len = s->rx.tail - s->rx.head,
		.tx = tx->tail + tx->tail_at,
		.tx_len = tx->tail_end - tx->tail_at,
		.tx_frame = has_tail(s) ? tx->tail_frame : 0,
	};
	size_t len;

	*state = malloc(STREAM_STATE_MAX);
	if (!*state)
		return -ENOMEM;
	len = stream_state_encode(&left, *state);
	forget(s);
	return (ssize_t)len;
}

const char *stream_io_restore(struct stream *s, uint64_t id, const uint8_t *state, size_t len)
{
	struct stream_state left;
	const char *why = stream_state_decode(&left, state, len);
	size_t room;

	if (why)
		return why;
	if (left.id != id)
		return "its state is that of another connection";
	forget(s);
	memcpy(framing_room(&s->rx, &room), left.rx, left.rx_len);
	framing_received(&s->rx, left.rx_len);
	memcpy(s->tx.tail, left.tx, left.tx_len);
	s->tx.tail_end = left.tx_len;
	s->tx.tail_frame = left.tx_frame;
	s->tx_broken = left.tx_broken;
	return NULL;
}
