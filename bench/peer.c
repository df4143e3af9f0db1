/* SPDX-License-Identifier: MIT */
/* The other end of the back end's unix socket. */
#include "peer.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include "util.h"

#define CONNECT_SECS 5.0
#define FINISH_SECS 5.0
#define LENGTH_LEN 4
#define DGRAM_CNT 32
#define DGRAM_MAX 2048
#define STREAM_BUF (1u << 20)

struct peer {
	int fd;
	bool stream;
	/* stream: bytes that came and do not make a frame yet */
	unsigned char *buf;
	size_t filled;
	/* dgram */
	struct mmsghdr msgs[DGRAM_CNT];
	struct iovec iov[DGRAM_CNT];
};

static struct sockaddr_un address(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	if (strlen(path) >= sizeof(a.sun_path))
		die("%s is too long for a socket", path);
	strcpy(a.sun_path, path);
	return a;
}

static void connect_patiently(int fd, const char *path)
{
	struct sockaddr_un a = address(path);
	uint64_t end = deadline_ns(CONNECT_SECS);

	while (connect(fd, (struct sockaddr *)&a, sizeof(a))) {
		if (now_ns() > end)
			die("cannot connect to %s", path);
		nap_us(10000);
	}
}

/* No call blocks for ever: the threads look at their stop flags in between. */
static void set_time_limits(int fd)
{
	struct timeval tv = { .tv_usec = 100000 };

	if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)) ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)))
		die("cannot set the socket's time limits");
}

static void prepare_dgram(struct peer *p)
{
	for (unsigned i = 0; i < DGRAM_CNT; i++) {
		p->iov[i] = (struct iovec) { p->buf + (size_t)i * DGRAM_MAX, DGRAM_MAX };
		p->msgs[i].msg_hdr = (struct msghdr) { .msg_iov = &p->iov[i], .msg_iovlen = 1 };
	}
}

struct peer *peer_open(const char *remote, const char *local)
{
	struct peer *p = calloc(1, sizeof(*p));

	if (!p || !(p->buf = malloc(STREAM_BUF)))
		die("no memory");
	p->stream = !local;
	p->fd = socket(AF_UNIX, (p->stream ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC, 0);
	if (p->fd < 0)
		die("cannot make a socket");
	if (local) {
		struct sockaddr_un a = address(local);

		if (bind(p->fd, (struct sockaddr *)&a, sizeof(a)))
			die("cannot bind to %s", local);
		prepare_dgram(p);
	}
	connect_patiently(p->fd, remote);
	set_time_limits(p->fd);
	return p;
}

void peer_close(struct peer *p)
{
	close(p->fd);
	free(p->buf);
	free(p);
}

static bool is_passing(int error)
{
	return error == EAGAIN || error == EINTR || error == ENOBUFS;
}

/* All of it, or nothing when @stop is set first: a frame on a stream is never left unfinished. */
static bool stream_send(const struct peer *p, const unsigned char *buf, size_t len,
			const atomic_bool *stop)
{
	uint64_t end = 0;

	for (size_t done = 0; done < len;) {
		ssize_t n = send(p->fd, buf + done, len - done, MSG_NOSIGNAL);

		if (n > 0) {
			done += (size_t)n;
			continue;
		}
		if (n < 0 && !is_passing(errno))
			die("cannot send on the stream");
		if (!atomic_load(stop))
			continue;
		if (!done)
			return false;
		if (!end)
			end = deadline_ns(FINISH_SECS);
		else if (now_ns() > end)
			die("the back end no longer reads the stream");
	}
	return true;
}

bool peer_send(struct peer *p, size_t size, uint64_t seq)
{
	static const atomic_bool stop = true; /* one try of a tenth of a second */
	unsigned char buf[LENGTH_LEN + FRAME_MAX];
	uint32_t length = htonl((uint32_t)size);

	memcpy(buf, &length, LENGTH_LEN);
	frame_fill(buf + LENGTH_LEN, size);
	frame_stamp(buf + LENGTH_LEN, size, seq);
	if (p->stream)
		return stream_send(p, buf, LENGTH_LEN + size, &stop);
	return send(p->fd, buf + LENGTH_LEN, size, MSG_NOSIGNAL) == (ssize_t)size;
}

/* Hand the whole frames in the buffer to the tally, keep the rest. */
static void stream_take(struct peer *p, struct tally *tally)
{
	size_t at = 0;

	while (p->filled - at >= LENGTH_LEN) {
		uint32_t length;

		memcpy(&length, p->buf + at, LENGTH_LEN);
		length = ntohl(length);
		if (length > STREAM_BUF - LENGTH_LEN) {
			errno = 0;
			die("the stream is out of step: a frame of %u bytes", length);
		}
		if (p->filled - at - LENGTH_LEN < length)
			break;
		tally_add(tally, p->buf + at + LENGTH_LEN, length);
		at += LENGTH_LEN + length;
	}
	if (at) {
		memmove(p->buf, p->buf + at, p->filled - at);
		p->filled -= at;
	}
}

static bool stream_recv(struct peer *p, int flags, struct tally *tally)
{
	ssize_t n = recv(p->fd, p->buf + p->filled, STREAM_BUF - p->filled, flags);

	if (n < 0 && is_passing(errno))
		return false;
	if (n <= 0)
		die(n ? "cannot receive on the stream" : "the back end closed the stream");
	p->filled += (size_t)n;
	stream_take(p, tally);
	return true;
}

static bool dgram_recv(struct peer *p, int flags, struct tally *tally)
{
	int n = recvmmsg(p->fd, p->msgs, DGRAM_CNT, flags | MSG_WAITFORONE, NULL);

	if (n < 0 && is_passing(errno))
		return false;
	if (n < 0)
		die("cannot receive datagrams");
	for (int i = 0; i < n; i++)
		tally_add(tally, p->iov[i].iov_base, p->msgs[i].msg_len);
	return true;
}

bool peer_recv(struct peer *p, int flags, struct tally *tally)
{
	return p->stream ? stream_recv(p, flags, tally) : dgram_recv(p, flags, tally);
}

/* A batch of frames, each with the length in front that a stream wants. */
struct batch {
	unsigned char *buf;
	struct mmsghdr msgs[SENDER_BATCH_MAX];
	struct iovec iov[SENDER_BATCH_MAX];
	size_t len; /* bytes used of @buf */
	unsigned cnt;
	unsigned ready; /* frames whose constant part is in place */
};

static void batch_prepare(struct batch *b, unsigned i, size_t size)
{
	unsigned char *frame = b->buf + b->len + LENGTH_LEN;
	uint32_t length = htonl((uint32_t)size);

	memcpy(b->buf + b->len, &length, LENGTH_LEN);
	frame_fill(frame, size);
	b->iov[i] = (struct iovec) { frame, size };
	b->msgs[i].msg_hdr = (struct msghdr) { .msg_iov = &b->iov[i], .msg_iovlen = 1 };
}

static void batch_fill(const struct sender *s, struct batch *b, uint64_t seq, unsigned cnt)
{
	b->len = 0;
	b->cnt = cnt;
	for (unsigned i = 0; i < cnt; i++) {
		size_t size = s->size ? s->size : frame_mixed_size(seq + i);

		if (!s->size || i >= b->ready)
			batch_prepare(b, i, size);
		frame_stamp(b->iov[i].iov_base, size, seq + i);
		b->len += LENGTH_LEN + size;
	}
	if (b->ready < cnt)
		b->ready = cnt;
}

/* Return: frames sent. */
static unsigned batch_send(const struct sender *s, struct batch *b)
{
	int n;

	if (s->peer->stream)
		return stream_send(s->peer, b->buf, b->len, &s->stop) ? b->cnt : 0;
	n = sendmmsg(s->peer->fd, b->msgs, b->cnt, MSG_NOSIGNAL);
	if (n < 0 && !is_passing(errno))
		die("cannot send a datagram");
	return n < 0 ? 0 : (unsigned)n;
}

void peer_send_batch(struct peer *p, size_t size, uint64_t seq, unsigned cnt)
{
	static unsigned char buf[SENDER_BATCH_MAX * (LENGTH_LEN + FRAME_MAX)];
	static const atomic_bool never;
	struct sender s = { .peer = p, .size = size };
	struct batch b = { .buf = buf };

	batch_fill(&s, &b, seq, cnt);
	stream_send(p, buf, b.len, &never);
}

/* How many frames are due now? */
static unsigned sender_due(const struct sender *s, uint64_t start_ns, uint64_t sent)
{
	uint64_t cnt = s->batch;

	if (s->limit && s->limit - sent < cnt)
		cnt = s->limit - sent;
	if (s->pace_pps) {
		uint64_t due = (now_ns() - start_ns) * s->pace_pps / NSEC_PER_SEC;

		if (due < sent + cnt)
			cnt = due > sent ? due - sent : 0;
	}
	return (unsigned)cnt;
}

static void *sender_main(void *arg)
{
	struct sender *s = arg;
	struct batch *b = calloc(1, sizeof(*b));
	uint64_t start_ns = now_ns(), sent = 0;

	if (!b || !(b->buf = malloc((size_t)SENDER_BATCH_MAX * (LENGTH_LEN + FRAME_MAX))))
		die("no memory");
	while (!atomic_load_explicit(&s->stop, memory_order_relaxed) &&
	       (!s->limit || sent < s->limit)) {
		unsigned cnt = sender_due(s, start_ns, sent);

		if (!cnt) {
			nap_us(100);
			continue;
		}
		batch_fill(s, b, sent, cnt);
		sent += batch_send(s, b);
		atomic_store_explicit(&s->sent, sent, memory_order_relaxed);
	}
	free(b->buf);
	free(b);
	return NULL;
}

void sender_start(struct sender *s)
{
	atomic_store(&s->sent, 0);
	atomic_store(&s->stop, false);
	if (pthread_create(&s->thread, NULL, sender_main, s))
		die("cannot start a thread");
}

void sender_stop(struct sender *s)
{
	atomic_store(&s->stop, true);
	pthread_join(s->thread, NULL);
}

static void *receiver_main(void *arg)
{
	struct receiver *r = arg;

	while (!atomic_load_explicit(&r->stop, memory_order_relaxed)) {
		if (atomic_load_explicit(&r->paused, memory_order_relaxed)) {
			nap_us(1000);
			continue;
		}
		if (!peer_recv(r->peer, 0, &r->tally))
			continue;
		atomic_store_explicit(&r->frames, r->tally.frames, memory_order_relaxed);
		atomic_store_explicit(&r->bytes, r->tally.bytes, memory_order_relaxed);
	}
	return NULL;
}

void receiver_start(struct receiver *r)
{
	r->tally = (struct tally) { 0 };
	atomic_store(&r->frames, 0);
	atomic_store(&r->bytes, 0);
	atomic_store(&r->paused, false);
	atomic_store(&r->stop, false);
	if (pthread_create(&r->thread, NULL, receiver_main, r))
		die("cannot start a thread");
}

void receiver_stop(struct receiver *r)
{
	atomic_store(&r->stop, true);
	pthread_join(r->thread, NULL);
}
