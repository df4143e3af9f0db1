/* SPDX-License-Identifier: MIT */
/*
 * For tests of the socket ports: a loop, a folder for socket files, a port opened from its
 * description, and a junction that checks sequence numbers.
 */
#ifndef SOCK_TEST_H
#define SOCK_TEST_H

#include "unit.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/iov.h"
#include "conf/conf.h"
#include "fake-junction.h"
#include "net/port-type.h"

#define DEADLINE_NS (20 * NSEC_PER_SEC)

/** struct seq_junction - Takes frames in order, a whimsical number at a time. */
struct seq_junction {
	struct junction junction;
	uint32_t next, max, seed;
	unsigned holds, writable, biggest;
	bool owes; /* a resume */
};

/** struct sock_test - @log: every line, one after the other; @dir: removed at the end. */
static struct sock_test {
	struct port_env env;
	struct log log_to;
	struct fake_junction fake;
	struct seq_junction seq;
	struct port *port;
	struct vmtap_error err;
	char dir[64];
	char log[65536];
	int named_fd;
} t;

static void keep_line(void *opaque, enum vmtap_log_level level, const char *object, const char *msg)
{
	size_t len = strlen(t.log);

	snprintf(t.log + len, sizeof(t.log) - len, "%s: %s\n", object, msg);
}

static int take_named(void *opaque, const char *name)
{
	return strcmp(name, "given") == 0 && t.named_fd >= 0 ? fd_steal(&t.named_fd) : -ENOENT;
}

static int find_named(void *opaque, const char *name)
{
	return strcmp(name, "given") == 0 && t.named_fd >= 0 ? t.named_fd : -ENOENT;
}

/* "{}" stands for the test's folder. */
static inline void expand(const char *text, char *out, size_t size)
{
	const char *at = strstr(text, "{}");
	size_t len = 0;

	for (; at; text = at + 2, at = strstr(text, "{}"))
		len += (size_t)snprintf(out + len, size - len, "%.*s%s", (int)(at - text), text,
					t.dir);
	snprintf(out + len, size - len, "%s", text);
}

static struct conf *parse(const struct port_type *type, const char *text)
{
	char spec[1024];

	expand(text, spec, sizeof(spec));
	memset(&t.err, 0, sizeof(t.err));
	return conf_parse(type->schema, spec, &t.err);
}

static inline struct port *open_port(const struct port_type *type, const char *text)
{
	struct conf *conf = parse(type, text);
	struct port *p = conf ? type->open(&t.env, "p0", conf, &t.err) : NULL;

	conf_free(conf);
	return p;
}

static inline int check_port(const struct port_type *type, const char *text)
{
	struct conf *conf = parse(type, text);
	int ret = conf ? type->check(&t.env, conf, &t.err) : -EINVAL;

	conf_free(conf);
	return ret;
}

/* Open, join and start the port of the test. */
static inline void start_port(const struct port_type *type, const char *text)
{
	t.port = open_port(type, text);
	if (!t.port)
		fail_msg("%s: %s; %s", text, t.err.reason, t.err.remedy);
	fake_join(&t.fake, t.port);
	assert_int_equal(port_start(t.port, &t.err), 0);
}

/* The description is refused, with @text in the error. */
static inline void refuse_port(const struct port_type *type, const char *spec, const char *text)
{
	char all[1400];
	struct port *p = open_port(type, spec);

	assert_null(p);
	assert_int_not_equal(t.err.code, 0);
	snprintf(all, sizeof(all), "%s: %s; %s", t.err.action, t.err.reason, t.err.remedy);
	if (!strstr(all, text))
		fail_msg("\"%s\" is not in: %s", text, all);
}

static inline void turn(void)
{
	assert_int_equal(loop_dispatch(t.env.loop, 0), 0);
}

/* Does the loop sleep? */
static inline bool is_idle(void)
{
	struct pollfd p = { .fd = loop_fd(t.env.loop), .events = POLLIN };

	return poll(&p, 1, 0) == 0;
}

/* Turn until nothing is left to do. */
static inline void settle(void)
{
	uint64_t end = clock_ns() + DEADLINE_NS;

	while (!is_idle()) {
		turn();
		if (clock_ns() > end)
			fail_msg("the loop does not come to rest");
	}
}

/* Turn, sleeping in the loop, until @cond holds. */
#define until(cond)                                           \
	do {                                                  \
		uint64_t end_ = clock_ns() + DEADLINE_NS;     \
                                                              \
		while (!(cond)) {                             \
			loop_dispatch(t.env.loop, 100);       \
			if (clock_ns() > end_)                \
				fail_msg("never: %s", #cond); \
		}                                             \
	} while (0)

/* ----------------------------------------------------------------- sequences */

/* Every frame carries its number, has a length that follows from it, and bytes that do. */
#define SEQ_MIN 18

static inline uint32_t seq_len(uint32_t number, uint32_t max)
{
	return SEQ_MIN + number * 2654435761u % (max - SEQ_MIN + 1);
}

static inline void seq_fill(uint8_t *data, uint32_t len, uint32_t number)
{
	for (uint32_t i = 0; i < len; i++)
		data[i] = (uint8_t)(number + i);
	memcpy(data + 14, &number, sizeof(number));
}

/* A frame of a sequence, with its length in front as in a stream. Return: bytes. */
static inline size_t seq_encode(uint8_t *out, uint32_t number, uint32_t max)
{
	uint32_t len = seq_len(number, max), prefix = htobe32(len);

	memcpy(out, &prefix, 4);
	seq_fill(out + 4, len, number);
	return len + 4;
}

static inline bool seq_is(const uint8_t *data, size_t len, uint32_t number, uint32_t max)
{
	uint32_t is;

	if (len != seq_len(number, max))
		return false;
	memcpy(&is, data + 14, sizeof(is));
	if (is != number)
		return false;
	for (size_t i = 0; i < len; i++)
		if ((i < 14 || i > 17) && data[i] != (uint8_t)(number + i))
			return false;
	return true;
}

static unsigned seq_offer(struct junction *j, struct port_lane *from,
			  const struct vmtap_frame *frames, unsigned cnt)
{
	struct seq_junction *s = (void *)j;
	unsigned i;

	s->seed = s->seed * 1664525u + 1013904223u;
	if (cnt > s->biggest)
		s->biggest = cnt;
	for (i = 0; i < cnt && i < s->seed >> 26; i++) {
		assert_int_equal(frames[i].iov_cnt, 1);
		if (!seq_is(frames[i].iov->iov_base, frames[i].iov->iov_len, s->next, s->max))
			fail_msg("frame %u is lost or out of order", s->next);
		s->next++;
	}
	s->owes = i < cnt;
	s->holds += s->owes;
	return i;
}

static void seq_writable(struct junction *j, struct port_lane *l)
{
	((struct seq_junction *)(void *)j)->writable++;
}

static const struct junction_ops seq_ops = {
	.offer = seq_offer,
	.writable = seq_writable,
	.changed = fake_changed,
	.leave = fake_leave,
};

static inline void seq_join(uint32_t max)
{
	t.seq = (struct seq_junction) { .junction.ops = &seq_ops, .max = max, .seed = 1 };
	t.port->junction = &t.seq.junction;
}

static inline void seq_resume(void)
{
	if (!t.seq.owes)
		return;
	t.seq.owes = false;
	port_resume(t.port);
}

/* ---------------------------------------------------------------- the peer's side */

static inline void path_in(char *path, size_t size, const char *name)
{
	snprintf(path, size, "%s/%s", t.dir, name);
}

static inline struct sockaddr_un unix_addr(const char *name)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	char path[sizeof(a.sun_path)];

	path_in(path, sizeof(path), name);
	memcpy(a.sun_path, path, sizeof(path));
	return a;
}

static inline int unix_socket(int type)
{
	int fd = socket(AF_UNIX, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	return fd;
}

/* A socket of @type bound to a file in the folder, in place of whatever is there. */
static inline int unix_bound(int type, const char *name)
{
	struct sockaddr_un a = unix_addr(name);
	int fd = unix_socket(type);

	unlink(a.sun_path);
	assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof(a)), 0);
	if (type == SOCK_STREAM)
		assert_int_equal(listen(fd, 8), 0);
	return fd;
}

static inline int unix_connect(int fd, const char *name)
{
	struct sockaddr_un a = unix_addr(name);

	return connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0 ? -errno : 0;
}

static inline int unix_connected(int type, const char *name)
{
	int fd = unix_socket(type);

	assert_int_equal(unix_connect(fd, name), 0);
	return fd;
}

static inline bool has_file(const char *name)
{
	struct sockaddr_un a = unix_addr(name);

	return access(a.sun_path, F_OK) == 0;
}

static inline void put_file(const char *name)
{
	struct sockaddr_un a = unix_addr(name);
	int fd = open(a.sun_path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	close(fd);
}

/* One frame to the port, from the inside. Return: frames taken. */
static inline unsigned send_frame(const void *data, uint32_t len)
{
	struct iovec iov = { (void *)(uintptr_t)data, len };
	struct vmtap_frame f = { .len = len, .iov = &iov, .iov_cnt = 1 };

	return port_send(t.port, &f, 1);
}

/* Frames @from..@from+@cnt of a sequence to the port, each in three pieces. Return: frames taken. */
static inline unsigned send_sequence(uint32_t from, unsigned cnt, uint32_t max)
{
	static uint8_t data[VMTAP_BURST_MAX][8192];
	struct iovec iov[VMTAP_BURST_MAX][3];
	struct vmtap_frame frames[VMTAP_BURST_MAX];

	assert_true(max <= sizeof(data[0]));
	for (unsigned i = 0; i < cnt; i++) {
		uint32_t len = seq_len(from + i, max);

		seq_fill(data[i], len, from + i);
		iov[i][0] = (struct iovec) { data[i], 6 };
		iov[i][1] = (struct iovec) { data[i] + 6, 9 };
		iov[i][2] = (struct iovec) { data[i] + 15, len - 15 };
		frames[i] = (struct vmtap_frame) { .len = len, .iov = iov[i], .iov_cnt = 3 };
	}
	return port_send(t.port, frames, cnt);
}

/* ------------------------------------------------------------------------ fixture */

static inline int setup(void **state)
{
	memset(&t, 0, sizeof(t));
	t.named_fd = -1;
	t.log_to = (struct log) { .level = VMTAP_LOG_DEBUG, .write = keep_line };
	t.env.log = &t.log_to;
	t.env.loop = loop_new();
	t.env.take_fd = take_named;
	t.env.find_fd = find_named;
	strcpy(t.dir, "/tmp/vmtap-sock-XXXXXX");
	return t.env.loop && mkdtemp(t.dir) ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
	return remove(path);
}

static inline int teardown(void **state)
{
	port_free(t.port);
	fake_forget(&t.fake);
	loop_free(t.env.loop);
	fd_close(&t.named_fd);
	return nftw(t.dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

#define sock_case(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
