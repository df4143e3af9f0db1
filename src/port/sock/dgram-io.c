/* SPDX-License-Identifier: MIT */
/*
 * The data path of the `dgram` port.
 *
 * Receiving
 *   One recvmmsg() brings up to a burst of frames, each into a slot of its
 *   own. What the junction does not take stays in its slot, and nothing more
 *   is received. Memory of a slot that no frame reached is never touched.
 *
 * Sending
 *   A burst is one sendmmsg(). When it sent fewer, the reason is not asked
 *   for: the socket is waited for, and if it was not full after all, the
 *   next call tells.
 *
 * What the peer may do wrong
 *   Send frames that are too long or too short: dropped and counted. Over UDP
 *   anybody can send: what does not come from the remote address is dropped,
 *   counted as refused and logged, unless any-source=on. Of a multicast
 *   group everybody is a member, but our own frames, which the kernel loops
 *   back for the sake of others on this host, are left out: a bridge behind
 *   us would learn its own stations on the wrong side.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/container.h"
#include "base/iov.h"
#include "port/sock/dgram-priv.h"
#include "sock/say.h"

#define RUNT_LEN 14    /* an Ethernet header */
#define IOV_LIMIT 1024 /* UIO_MAXIOV */
/* Not a multiple of large powers of two, or all slots would share a few lines of the cache. */
#define SLOT_SIZE (VMTAP_FRAME_MAX + 192)

static struct loop *loop_of(const struct dgram *d)
{
	return d->port.env->loop;
}

static void update_watch(struct dgram *d)
{
	loop_mod(loop_of(d), &d->watch, (d->in ? EPOLLIN : 0u) | (d->out ? EPOLLOUT : 0u));
}

/* ------------------------------------------------------------------ receiving */

static bool can_offer(const struct dgram *d)
{
	return !port_is_held(&d->port) && d->port.polling;
}

static bool needs_source(const struct dgram *d)
{
	return d->kind == DGRAM_MULTICAST || (d->kind == DGRAM_UDP && !d->any_source);
}

static void source_of(const struct dgram *d, unsigned i, struct sock_addr *addr)
{
	memcpy(&addr->in6, &d->rx.from[i], sizeof(addr->in6));
	addr->len = d->rx.msgs[i].msg_hdr.msg_namelen;
}

/* Is datagram @i from somebody whom we listen to? */
static bool is_welcome(struct dgram *d, unsigned i)
{
	char text[SOCK_TEXT_MAX];
	struct sock_addr from;

	source_of(d, i, &from);
	if (d->kind == DGRAM_MULTICAST)
		return !sock_addr_same(&from, &d->sockets.local);
	if (sock_addr_same(&from, &d->sockets.remote))
		return true;
	port_drop_rx(&d->port, VMTAP_DROP_REFUSED, 1);
	sock_say(
		&d->port, &d->infos, VMTAP_LOG_WARNING,
		"dropped a frame from %s, which is not the remote address; any-source=on takes them",
		sock_addr_text(&from, text));
	return false;
}

/* Make frames of the datagrams that came. */
static void sift(struct dgram *d, unsigned cnt)
{
	const bool check = needs_source(d);
	struct dgram_rx *rx = &d->rx;
	unsigned n = 0;

	for (unsigned i = 0; i < cnt; i++) {
		const struct mmsghdr *m = &rx->msgs[i];

		if (check && !is_welcome(d, i))
			continue;
		if (m->msg_hdr.msg_flags & MSG_TRUNC) {
			port_drop_rx(&d->port, VMTAP_DROP_TOO_LONG, 1);
		} else if (m->msg_len < RUNT_LEN) {
			port_drop_rx(&d->port, VMTAP_DROP_RUNT, 1);
		} else {
			rx->iov[n] = (struct iovec) { rx->room[i].iov_base, m->msg_len };
			rx->frames[n++].len = m->msg_len;
		}
	}
	rx->next = 0;
	rx->cnt = n;
}

/* Return: datagrams that came. An error of an earlier send may be reported here; it means nothing. */
static unsigned receive(struct dgram *d)
{
	struct dgram_rx *rx = &d->rx;
	int cnt;

	if (needs_source(d))
		for (unsigned i = 0; i < VMTAP_BURST_MAX; i++)
			rx->msgs[i].msg_hdr.msg_namelen = sizeof(rx->from[i]);
	do
		cnt = recvmmsg(d->sockets.fd, rx->msgs, VMTAP_BURST_MAX, MSG_DONTWAIT, NULL);
	while (cnt < 0 && errno == EINTR);
	if (cnt <= 0)
		return 0;
	if (d->peer.way == WAY_NONE)
		dgram_peer_find(d); /* whoever sends gets a longer queue */
	sift(d, (unsigned)cnt);
	return (unsigned)cnt;
}

static void run(struct dgram *d)
{
	struct dgram_rx *rx = &d->rx;
	unsigned budget = PORT_BUDGET;
	bool emptied = false;

	while (budget) {
		unsigned cnt = rx->cnt - rx->next, taken;

		if (!cnt) {
			unsigned came = emptied ? 0 : receive(d);

			if (!came)
				return;
			emptied = came < VMTAP_BURST_MAX;
			budget -= came < budget ? came : budget;
			cnt = rx->cnt;
			if (!cnt)
				continue;
		}
		taken = port_offer(&d->port, &rx->frames[rx->next], cnt);
		rx->next += taken;
		if (taken < cnt)
			return;
	}
}

/* Go on where reading stopped. */
static void rx_run(struct dgram *d)
{
	if (d->watch.fd < 0 || !can_offer(d))
		return;
	if (d->running) { /* called back from the junction */
		loop_task_add(loop_of(d), &d->more);
		return;
	}
	d->running = true;
	run(d);
	d->running = false;
	if (can_offer(d)) {
		d->in = true;
		update_watch(d);
	}
}

static void more_run(struct loop_task *t)
{
	rx_run(container_of(t, struct dgram, more));
}

void dgram_resume(struct port_lane *l)
{
	rx_run(dgram_of(l->port));
}

void dgram_set_poll(struct port *p, bool on)
{
	struct dgram *d = dgram_of(p);

	if (on && d->watch.fd >= 0)
		loop_task_add(loop_of(d), &d->more);
}

/* -------------------------------------------------------------------- sending */

/* Point the message headers at the frames. Return: messages; the first frame of too many pieces
 * goes alone, by way of the bounce buffer. */
static unsigned gather(struct dgram *d, const struct vmtap_frame *frames, unsigned cnt)
{
	const bool named = d->peer.way == WAY_NAMED;
	struct dgram_tx *tx = &d->tx;
	unsigned n;

	for (n = 0; n < cnt && frames[n].iov_cnt <= IOV_LIMIT; n++) {
		struct msghdr *m = &tx->msgs[n].msg_hdr;

		m->msg_name = named ? &d->sockets.remote.sa : NULL;
		m->msg_namelen = named ? d->sockets.remote.len : 0;
		m->msg_iov = (struct iovec *)(uintptr_t)frames[n].iov;
		m->msg_iovlen = frames[n].iov_cnt;
	}
	if (n || !cnt)
		return n;
	tx->bounce_iov = (struct iovec) { tx->bounce, frames->len };
	iov_read(frames->iov, frames->iov_cnt, 0, tx->bounce, VMTAP_FRAME_MAX);
	tx->msgs[0].msg_hdr = (struct msghdr) {
		.msg_name = named ? &d->sockets.remote.sa : NULL,
		.msg_namelen = named ? d->sockets.remote.len : 0,
		.msg_iov = &tx->bounce_iov,
		.msg_iovlen = 1,
	};
	return 1;
}

static int send_msgs(struct dgram *d, unsigned cnt)
{
	int ret;

	do
		ret = sendmmsg(dgram_peer_fd(d), d->tx.msgs, cnt, MSG_DONTWAIT | MSG_NOSIGNAL);
	while (ret < 0 && errno == EINTR);
	return ret < 0 ? -errno : ret;
}

/* Ask to be told when there is room. Return: whether to wait; else there may be another way. */
static bool wait_for_room(struct dgram *d, bool *tried)
{
	/* the buffer of the bound socket is full, unless the peer is not the connected one that it was */
	if (d->kind == DGRAM_UNIX && d->peer.way == WAY_NAMED && !*tried) {
		*tried = true;
		dgram_peer_lost(d);
		return false;
	}
	d->full = true;
	if (d->peer.way == WAY_OWN && dgram_peer_wait(d) == 0)
		return true;
	d->out = true;
	update_watch(d);
	return true;
}

void dgram_writable(struct dgram *d)
{
	d->full = false;
	port_writable(&d->port); /* may fill the socket again */
	if (d->full)
		return;
	/* also while the port is blocked by something else: a limit */
	d->out = false;
	update_watch(d);
	dgram_peer_unwait(d);
}

static enum vmtap_drop cause_of(int code)
{
	switch (code) {
	case EMSGSIZE:
		return VMTAP_DROP_TOO_LONG;
	case EACCES:
	case EPERM:
	case EINVAL:
		return VMTAP_DROP_REFUSED;
	case ENOBUFS:
	case ENOMEM:
	case EFAULT:
		return VMTAP_DROP_IO;
	default:
		return VMTAP_DROP_PEER_GONE;
	}
}

/* May another attempt fare better: is it the way that failed, or an error left by an earlier frame? */
static bool is_worth_retry(const struct dgram *d, int code)
{
	if (d->kind == DGRAM_UNIX)
		return code == ECONNREFUSED || code == ENOTCONN || code == EPERM ||
		       code == ECONNRESET || code == ENOENT;
	return code == ECONNREFUSED || code == EHOSTUNREACH || code == ENETUNREACH;
}

/* The first frame failed. Return: whether to try once more. */
static bool try_again(struct dgram *d, int code, bool *tried)
{
	if (*tried || !is_worth_retry(d, code))
		return false;
	*tried = true;
	dgram_peer_lost(d);
	return true;
}

/* Is it about the peer, rather than that frame? Of UDP, a packet filter may refuse one and no other. */
static bool concerns_all(const struct dgram *d, int code)
{
	return cause_of(code) == VMTAP_DROP_PEER_GONE || code == EACCES ||
	       (code == EPERM && d->kind == DGRAM_UNIX);
}

/* Send some. Return: frames sent, @full: no more for now; -errno: what befell the first. */
static int send_some(struct dgram *d, const struct vmtap_frame *frames, unsigned cnt, bool *full)
{
	unsigned n;
	int ret;

	if (d->peer.way == WAY_NONE) {
		ret = dgram_peer_find(d);
		if (ret < 0)
			return ret;
	}
	n = gather(d, frames, cnt);
	ret = send_msgs(d, n);
	if (ret == -EFAULT) { /* memory that somebody took away: nothing that this peer did */
		for (unsigned i = 0; i < n; i++)
			iov_touch(frames[i].iov, frames[i].iov_cnt);
		ret = send_msgs(d, n);
	}
	if (ret == -EAGAIN)
		ret = 0;
	*full = ret >= 0 && (unsigned)ret < n;
	return ret;
}

unsigned dgram_send(struct port_lane *l, const struct vmtap_frame *frames, unsigned cnt)
{
	struct port *p = l->port;
	struct dgram *d = dgram_of(p);
	bool tried = false, full = false;
	unsigned done = 0;

	while (done < cnt) {
		int ret = send_some(d, frames + done, cnt - done, &full);
		unsigned lost = 1;

		if (ret >= 0) {
			done += (unsigned)ret;
			if (full && wait_for_room(d, &tried))
				break;
			continue;
		}
		if (try_again(d, -ret, &tried))
			continue;
		if (concerns_all(d, -ret))
			lost = cnt - done;
		port_drop_tx(p, cause_of(-ret), &frames[done], lost);
		done += lost;
	}
	return done;
}

/* ------------------------------------------------------------------- the socket */

static void clear_error(int fd)
{
	int code;
	socklen_t len = sizeof(code);

	getsockopt(fd, SOL_SOCKET, SO_ERROR, &code, &len);
}

static void ready(struct loop_watch *w, uint32_t events)
{
	struct dgram *d = container_of(w, struct dgram, watch);

	if (events & EPOLLHUP) { /* whoever shares the socket shut it down */
		struct vmtap_error err = { 0 };

		loop_del(loop_of(d), &d->watch);
		error_set(&err, EPIPE, d->object, "go on", "the socket was shut down");
		port_fail(&d->port, &err);
		return;
	}
	if (events & EPOLLERR)
		clear_error(d->sockets.fd); /* of an earlier send; it means nothing */
	if (events & EPOLLOUT)
		dgram_writable(d);
	if (!(events & EPOLLIN))
		return;
	if (can_offer(d)) {
		rx_run(d);
	} else {
		d->in = false;
		update_watch(d);
	}
}

int dgram_io_init(struct dgram *d)
{
	struct dgram_rx *rx = &d->rx;

	d->watch = (struct loop_watch) { .ready = ready, .fd = -1 };
	d->more.run = more_run;
	rx->slots = malloc((size_t)VMTAP_BURST_MAX * SLOT_SIZE);
	d->tx.bounce = malloc(VMTAP_FRAME_MAX);
	if (!rx->slots || !d->tx.bounce)
		return -ENOMEM;
	for (unsigned i = 0; i < VMTAP_BURST_MAX; i++) {
		rx->room[i] = (struct iovec) { rx->slots + (size_t)i * SLOT_SIZE, VMTAP_FRAME_MAX };
		rx->msgs[i].msg_hdr = (struct msghdr) { .msg_iov = &rx->room[i], .msg_iovlen = 1 };
		rx->frames[i] = (struct vmtap_frame) { .iov_cnt = 1, .iov = &rx->iov[i] };
		if (needs_source(d))
			rx->msgs[i].msg_hdr.msg_name = &rx->from[i];
	}
	return 0;
}

void dgram_io_fini(struct dgram *d)
{
	free(d->rx.slots);
	free(d->tx.bounce);
}

int dgram_io_start(struct dgram *d)
{
	d->in = true;
	return loop_add(loop_of(d), &d->watch, d->sockets.fd, EPOLLIN);
}

void dgram_io_stop(struct dgram *d)
{
	loop_task_del(loop_of(d), &d->more);
	loop_del(loop_of(d), &d->watch);
}
