/* SPDX-License-Identifier: MIT */
/* Where a capture goes: a file, a pipe, a socket, or a ring of files. */
#include "filter/capfile.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"

/** A pipe that can be written to takes this many bytes at once (pipe(7), PIPE_BUF). */
#define PIPE_PIECE 4096u
#define POLL_MS 50
/** Room for what a file ends with. */
#define TAIL_MAX 512u

int capfile_init(struct capfile *f, const struct capfile_config *config)
{
	struct stat st;

	memset(f, 0, sizeof(*f)); /* too large to go over the stack */
	f->config = *config;
	assert(config->cnt && config->cnt <= VMTAP_CAPTURE_FILES_MAX);
	memcpy(f->fds, config->fds, config->cnt * sizeof(f->fds[0]));
	f->config.fds = f->fds;
	for (unsigned i = 0; i < config->cnt; i++) {
		if (fstat(f->fds[i], &st) < 0)
			return -errno;
		if (config->cnt > 1 && !S_ISREG(st.st_mode))
			return -ESPIPE;
		f->kind = st.st_mode & S_IFMT;
		fd_set_cloexec(f->fds[i]);
	}
	f->buf = malloc(CAPFILE_BUF);
	return f->buf ? 0 : -ENOMEM;
}

void capfile_fini(struct capfile *f)
{
	for (unsigned i = 0; i < f->config.cnt; i++)
		fd_close(&f->fds[i]);
	free(f->buf);
	f->buf = NULL;
}

int capfile_reader(const struct capfile *f)
{
	return f->kind == S_IFREG ? -1 : f->fds[f->at];
}

/* ------------------------------------------------------------------ writing */

/* Wait until whoever reads makes room. */
static int wait_room(const struct capfile *f, int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLOUT };
	uint64_t since = 0;

	for (;;) {
		int n = poll(&p, 1, POLL_MS);

		if (n > 0)
			return p.revents & POLLOUT ? 0 : -EPIPE;
		if (n < 0 && errno != EINTR)
			return -errno;
		if (!atomic_load(f->config.hurry))
			continue;
		if (!since)
			since = clock_ns();
		if (clock_ns() - since > CAPFILE_PATIENCE_MS * NSEC_PER_MSEC)
			return -ETIMEDOUT;
	}
}

/* As write(), but waits only in wait_room(), whether or not the descriptor is non-blocking: the file
 * description is the user's, too. */
static ssize_t write_some(const struct capfile *f, int fd, const uint8_t *data, size_t len)
{
	int ret;

	if (f->kind == S_IFREG)
		return write(fd, data, len);
	ret = wait_room(f, fd);
	if (ret < 0) {
		errno = -ret;
		return -1;
	}
	if (f->kind == S_IFSOCK)
		return send(fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);
	return write(fd, data, len < PIPE_PIECE ? len : PIPE_PIECE);
}

static int write_all(const struct capfile *f, int fd, const uint8_t *data, size_t len)
{
	while (len) {
		ssize_t n = write_some(f, fd, data, len);

		if (n < 0 && errno != EINTR && errno != EAGAIN)
			return -errno;
		if (n > 0) {
			data += n;
			len -= (size_t)n;
		}
	}
	return 0;
}

int capfile_flush(struct capfile *f)
{
	int fd = f->fds[f->at], ret = write_all(f, fd, f->buf, f->len);

	/* a part of a block would make the whole file unreadable for some */
	if (ret < 0 && f->kind == S_IFREG && ftruncate(fd, f->base + (off_t)f->whole) < 0)
		ret = ret == -ENOSPC ? ret : -errno;
	if (ret == 0)
		f->whole += f->len;
	f->len = 0;
	return ret;
}

/* ------------------------------------------------------------------- files */

static int begin(struct capfile *f)
{
	/* it may hold something: an earlier turn of the ring */
	if (f->config.cnt > 1 &&
	    (ftruncate(f->fds[f->at], 0) < 0 || lseek(f->fds[f->at], 0, SEEK_SET) < 0))
		return -errno;
	f->whole = 0;
	if (f->kind == S_IFREG)
		f->base = lseek(f->fds[f->at], 0, SEEK_CUR);
	memcpy(f->buf, f->head, f->head_len);
	f->len = f->head_len;
	if (f->used <= f->at)
		f->used = f->at + 1;
	return 0;
}

int capfile_begin(struct capfile *f, const void *head, size_t len)
{
	assert(len <= sizeof(f->head));
	memcpy(f->head, head, len);
	f->head_len = len;
	return begin(f);
}

int capfile_end(struct capfile *f)
{
	int ret = 0;

	if (CAPFILE_BUF - f->len < TAIL_MAX)
		ret = capfile_flush(f);
	if (ret < 0)
		return ret;
	f->len += f->config.finish(f->config.opaque, f->buf + f->len, CAPFILE_BUF - f->len);
	return capfile_flush(f);
}

static bool is_full(const struct capfile *f, size_t len)
{
	return f->config.max_bytes && f->config.cnt > 1 && f->whole + f->len > f->head_len &&
	       f->whole + f->len + len + TAIL_MAX > f->config.max_bytes;
}

void *capfile_room(struct capfile *f, size_t len, int *ret)
{
	assert(len <= CAPFILE_BUF - sizeof(f->head));
	*ret = 0;
	if (is_full(f, len)) {
		*ret = capfile_end(f);
		if (*ret == 0) {
			f->at = (f->at + 1) % f->config.cnt;
			*ret = begin(f);
		}
	} else if (len > CAPFILE_BUF - f->len) {
		*ret = capfile_flush(f);
	}
	return *ret == 0 ? f->buf + f->len : NULL;
}

void capfile_add(struct capfile *f, size_t len)
{
	f->len += len;
}
