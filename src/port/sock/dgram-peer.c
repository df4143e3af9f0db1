/* SPDX-License-Identifier: MIT */
/*
 * How the frames of a unix `dgram` port get to its peer.
 *
 * Problem
 *   The peer may start later than we do and may be restarted at any time.
 *   Sending to a path costs the kernel a look-up for each frame, which is
 *   more than the sending itself. And the kernel lets a receiver's queue grow
 *   to ten or so datagrams only, then refuses more, and nothing tells when
 *   there is room: a socket that is not connected is always writable, so a
 *   sender like QEMU spins. The limit does not hold between sockets of which
 *   the receiver is connected to the sender; a connected sender is fast, and
 *   is told. But a connected socket refuses frames from anybody else, so from
 *   the peer's successor, and disconnecting it throws away what it received.
 *
 * Model
 *   The bound socket is connected to the peer as soon as the peer is there
 *   (WAY_BOUND), and the peer's file is watched: when it is removed or
 *   replaced, the socket is disconnected, so that the successor is heard, and
 *   connected to what is there then. With QEMU 7.2 as the sender this made
 *   three times the frames, at a third of the CPU time on either side.
 *
 *   A file that cannot be watched, and an abstract name: the bound socket
 *   stays as it is. Frames leave by a second socket that is connected to the
 *   peer (WAY_OWN); or, as a peer that has connected its socket to our bound
 *   one refuses a second, by name (WAY_NAMED).
 *
 *   While there is no way, every burst that is sent, and every one that
 *   arrives, tries to find one: a system call, and all there is to
 *   reconnecting. When the peer is gone, the next send says so.
 *
 *   Ports of other kinds keep the way that they have from the start.
 */
#include <errno.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>

#include "base/container.h"
#include "base/fd.h"
#include "port/sock/dgram-priv.h"
#include "sock/say.h"

static int connect_to(int fd, const struct sock_addr *addr)
{
	int ret;

	do
		ret = connect(fd, &addr->sa, addr->len);
	while (ret < 0 && errno == EINTR);
	return ret < 0 ? -errno : 0;
}

static void disconnect(int fd)
{
	const struct sockaddr none = { .sa_family = AF_UNSPEC };

	connect(fd, &none, sizeof(none));
}

/* ----------------------------------------------------------------- the peer's file */

static const char *remote_path(const struct dgram *d)
{
	return d->sockets.remote.un.sun_path;
}

static bool is_replaced(const struct dgram *d)
{
	struct stat st;

	return stat(remote_path(d), &st) < 0 || st.st_dev != d->peer.dev ||
	       st.st_ino != d->peer.ino;
}

static void unwatch_file(struct dgram *d)
{
	loop_del(d->port.env->loop, &d->peer.notify_watch);
	fd_close(&d->peer.notify);
}

static void file_changed(struct loop_watch *w, uint32_t events)
{
	struct dgram *d = container_of(w, struct dgram, peer.notify_watch);
	_Alignas(struct inotify_event) char buf[512];

	while (read(d->peer.notify, buf, sizeof(buf)) > 0)
		;
	if (!is_replaced(d))
		return;	    /* its permissions, say */
	dgram_peer_lost(d); /* where sending waits, it finds a socket without a peer writable */
}

static int watch_file(struct dgram *d)
{
	struct dgram_peer *p = &d->peer;
	struct stat st;

	if (!sock_addr_is_file(&d->sockets.remote))
		return -EOPNOTSUPP;
	p->notify = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (p->notify < 0)
		return -errno;
	if (inotify_add_watch(p->notify, remote_path(d),
			      IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF) < 0 ||
	    stat(remote_path(d), &st) < 0 ||
	    loop_add(d->port.env->loop, &p->notify_watch, p->notify, EPOLLIN) < 0) {
		fd_close(&p->notify);
		return -EOPNOTSUPP;
	}
	p->dev = st.st_dev;
	p->ino = st.st_ino;
	return 0;
}

/* ------------------------------------------------------------------ the way there */

static void tell(struct dgram *d, int ret)
{
	char text[SOCK_TEXT_MAX];

	sock_addr_text(&d->sockets.remote, text);
	if (ret == 0 && d->peer.told)
		sock_say(&d->port, &d->infos, VMTAP_LOG_INFO, "%s is there", text);
	else if (ret == -EPERM && !d->peer.told)
		sock_say(&d->port, &d->infos, VMTAP_LOG_WARNING,
			 "%s takes frames from another sender only; ours are dropped", text);
	else if (ret < 0 && !d->peer.told)
		sock_say(&d->port, &d->infos, VMTAP_LOG_INFO,
			 "%s is not there (%s); frames for it are dropped", text, strerror(-ret));
	d->peer.told = ret < 0;
}

/* If the file is replaced from here on, the watch tells. */
static int bind_to_file(struct dgram *d)
{
	int ret;

	if (watch_file(d) < 0)
		return -EOPNOTSUPP;
	ret = connect_to(d->sockets.fd, &d->sockets.remote);
	if (ret < 0)
		unwatch_file(d);
	else
		d->peer.way = WAY_BOUND;
	return ret;
}

int dgram_peer_find(struct dgram *d)
{
	const int own = connect_to(d->sockets.tx_fd, &d->sockets.remote);
	int ret = own;

	/* refused because it is connected, perhaps to us */
	if (own == 0 || own == -EPERM)
		ret = bind_to_file(d);
	if (ret == -EOPNOTSUPP) {
		d->peer.way = own == 0 ? WAY_OWN : WAY_NAMED;
		ret = 0;
	}
	tell(d, ret);
	return ret;
}

void dgram_peer_forget(struct dgram *d)
{
	disconnect(d->sockets.fd);
}

void dgram_peer_lost(struct dgram *d)
{
	if (d->kind != DGRAM_UNIX)
		return;
	unwatch_file(d);
	if (d->peer.way == WAY_BOUND)
		disconnect(d->sockets.fd);
	d->peer.way = WAY_NONE;
}

int dgram_peer_fd(const struct dgram *d)
{
	return d->peer.way == WAY_OWN ? d->sockets.tx_fd : d->sockets.fd;
}

/* --------------------------------------------------------------------- its queue */

static void has_room(struct loop_watch *w, uint32_t events)
{
	dgram_writable(container_of(w, struct dgram, peer.watch));
}

int dgram_peer_wait(struct dgram *d)
{
	struct loop_watch *w = &d->peer.watch;

	return w->fd >= 0 ? 0 : loop_add(d->port.env->loop, w, d->sockets.tx_fd, EPOLLOUT);
}

void dgram_peer_unwait(struct dgram *d)
{
	loop_del(d->port.env->loop, &d->peer.watch);
}

void dgram_peer_init(struct dgram *d)
{
	struct dgram_peer *p = &d->peer;

	p->watch = (struct loop_watch) { .ready = has_room, .fd = -1 };
	p->notify_watch = (struct loop_watch) { .ready = file_changed, .fd = -1 };
	p->notify = -1;
	if (d->kind == DGRAM_UNIX)
		p->way = WAY_NONE;
	else if (d->sockets.tx_fd >= 0)
		p->way = WAY_OWN;
	else
		p->way = d->kind == DGRAM_FD ? WAY_BOUND : WAY_NAMED;
}

void dgram_peer_fini(struct dgram *d)
{
	dgram_peer_unwait(d);
	unwatch_file(d);
}
