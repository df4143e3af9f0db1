/* SPDX-License-Identifier: MIT */
/*
 * bench-bare: the least relay that there can be between a TAP and a unix stream.
 *
 *     bare TAP SOCKET [uring]
 *
 * Problem
 *   Is a relay slow because of what it does, or because of the kernel's socket
 *   and TAP? This one does nothing else: it receives whatever has come in one
 *   large piece and writes each frame of it to the TAP, or a batch of them
 *   by io_uring; and the other way it sends up to 64 frames at once. It serves one
 *   peer at a time, negotiates nothing, counts nothing, holds nothing back and
 *   dies of any error. No real relay can be much faster.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "tap.h"
#include "util.h"

#define LENGTH_LEN 4
#define BATCH 64
#define CHUNK (256u << 10)
#define FRAME_ROOM 2048u

static unsigned char in[CHUNK], out[BATCH * FRAME_ROOM];
static struct io_uring ring;
static unsigned queued;

static int listen_on(const char *path)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strncpy(a.sun_path, path, sizeof(a.sun_path) - 1);
	if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) || listen(fd, 1))
		die("cannot listen on %s", path);
	return fd;
}

static void flush(void)
{
	struct io_uring_cqe *cqe;
	unsigned head, cnt = 0;

	if (!queued || io_uring_submit_and_wait(&ring, queued) < 0)
		return;
	io_uring_for_each_cqe(&ring, head, cqe) cnt++;
	io_uring_cq_advance(&ring, cnt);
	queued = 0;
}

static void tap_write(int tap, const unsigned char *frame, uint32_t len, bool uring)
{
	struct io_uring_sqe *sqe;

	if (!uring) {
		if (write(tap, frame, len) < 0)
			die("cannot write to the TAP");
		return;
	}
	sqe = io_uring_get_sqe(&ring);
	if (!sqe)
		die("the io_uring is full");
	io_uring_prep_write(sqe, tap, frame, len, 0);
	if (++queued == BATCH)
		flush();
}

/* Return: false: the peer has gone. */
static bool up(int sock, int tap, bool uring)
{
	static size_t filled;
	ssize_t n = recv(sock, in + filled, sizeof(in) - filled, MSG_DONTWAIT);
	size_t at = 0;

	if (n <= 0)
		return n < 0 && errno == EAGAIN;
	filled += (size_t)n;
	while (filled - at >= LENGTH_LEN) {
		uint32_t len;

		memcpy(&len, in + at, LENGTH_LEN);
		len = ntohl(len);
		if (filled - at - LENGTH_LEN < len)
			break;
		tap_write(tap, in + at + LENGTH_LEN, len, uring);
		at += LENGTH_LEN + len;
	}
	flush();
	memmove(in, in + at, filled - at);
	filled -= at;
	return true;
}

static bool down(int sock, int tap)
{
	size_t len = 0;

	for (unsigned i = 0; i < BATCH; i++) {
		ssize_t n = read(tap, out + len + LENGTH_LEN, FRAME_ROOM - LENGTH_LEN);
		uint32_t length = htonl((uint32_t)n);

		if (n < 0)
			break;
		memcpy(out + len, &length, LENGTH_LEN);
		len += LENGTH_LEN + (size_t)n;
	}
	return !len || send(sock, out, len, MSG_NOSIGNAL) == (ssize_t)len;
}

static void serve(int sock, int tap, bool uring)
{
	struct pollfd p[2] = { { .fd = sock, .events = POLLIN }, { .fd = tap, .events = POLLIN } };

	while (poll(p, 2, -1) > 0) {
		if (p[0].revents && !up(sock, tap, uring))
			return;
		if (p[1].revents && !down(sock, tap))
			return;
	}
}

int main(int argc, char **argv)
{
	bool uring = argc == 4 && !strcmp(argv[3], "uring");
	int tap, listener, sock;

	if (argc != 3 && !uring) {
		fputs("usage: bare TAP SOCKET [uring]\n", stderr);
		return 2;
	}
	if (uring && io_uring_queue_init(BATCH, &ring, 0))
		die("cannot have an io_uring");
	tap = tap_attach(argv[1], false);
	listener = listen_on(argv[2]);
	while ((sock = accept(listener, NULL, NULL)) >= 0) {
		serve(sock, tap, uring);
		close(sock);
	}
	return 1;
}
