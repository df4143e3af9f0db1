/* SPDX-License-Identifier: MIT */
/*
 * The control socket: a client that says anything, in pieces of any size, and sends descriptors anywhere.
 *
 * The instance behind it has two null ports, joined; one makes frames. The first byte is the role, the second the
 * size of the pieces. A byte FDS is not sent: with what follows go descriptors, the byte after it says how many and
 * which. What must hold: no memory error, no descriptor left, and all that is answered is QMP, a line each.
 *
 * While an input runs, what is opened to be made is a file in memory, and there are no devices.
 */
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "ctl/client.h"
#include "ctl/state.h"

#define OUT_MAX (8u << 20)

#define FDS '\001'
/** More than a command may have with it. */
#define FDS_MAX 70u

/* Nothing that would reach the machine: sockets, netlink, programs. Nor the same in other letters. */
static const char *const reaches_out[] = { "stream",  "dgram",	"bridge", "user",
					   "macvtap", "helper", "script", "\\u00" };

static char out[OUT_MAX + 1];
static size_t out_len;

static bool running;

/* In place of the C library's. */
int open(const char *path, int flags, ...)
{
	va_list ap;
	mode_t mode;

	va_start(ap, flags);
	mode = flags & O_CREAT ? (mode_t)va_arg(ap, int) : 0;
	va_end(ap);
	if (running && flags & O_CREAT)
		return memfd_create("made", MFD_CLOEXEC);
	if (running && strncmp(path, "/dev/", 5) == 0) {
		errno = ENOENT;
		return -1;
	}
	return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

/* What was made has no name. */
int unlink(const char *path)
{
	return running ? 0 : (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
}

static unsigned count_open(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned cnt = 0;

	assert(dir);
	while (readdir(dir))
		cnt++;
	closedir(dir);
	return cnt;
}

static bool is_harmless(const char *text, size_t len)
{
	for (size_t i = 0; i < sizeof(reaches_out) / sizeof(reaches_out[0]); i++)
		if (memmem(text, len, reaches_out[i], strlen(reaches_out[i])))
			return false;
	return true;
}

/* One message. */
static void check_line(const char *line, size_t len)
{
	json_t *j = json_loadb(line, len, JSON_REJECT_DUPLICATES, NULL);
	int cnt = 0;

	assert(json_is_object(j));
	cnt += json_object_get(j, "QMP") != NULL;
	cnt += json_object_get(j, "return") != NULL;
	cnt += json_object_get(j, "error") != NULL;
	cnt += json_object_get(j, "event") != NULL;
	assert(cnt == 1);
	json_decref(j);
}

static void check_output(void)
{
	const char *at = out, *end;

	while ((end = memchr(at, '\n', out_len - (size_t)(at - out)))) {
		assert(end > at && end[-1] == '\r');
		check_line(at, (size_t)(end - at));
		at = end + 1;
	}
}

static void drain(int fd)
{
	ssize_t got;

	while (out_len < OUT_MAX &&
	       (got = recv(fd, out + out_len, OUT_MAX - out_len, MSG_DONTWAIT)) > 0)
		out_len += (size_t)got;
}

/* A file, a counter, or an end of a pipe whose other end is gone. */
static int make_fd(unsigned kind)
{
	int ends[2];

	if (kind % 4 == 0)
		return memfd_create("sent", MFD_CLOEXEC);
	if (kind % 4 == 1)
		return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	assert(pipe2(ends, O_CLOEXEC) == 0);
	close(ends[kind % 2]);
	return ends[!(kind % 2)];
}

/* Return: as sendmsg(). */
static ssize_t send_piece(int sock, const void *data, size_t len, unsigned fds)
{
	union {
		struct cmsghdr head;
		char buf[CMSG_SPACE(FDS_MAX * sizeof(int))];
	} control = { 0 };
	const unsigned cnt = fds % (FDS_MAX + 1);
	struct iovec iov = { .iov_base = (void *)data, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	int sent[FDS_MAX];
	ssize_t ret;

	for (unsigned i = 0; i < cnt; i++)
		sent[i] = make_fd(fds + i);
	if (cnt) {
		msg.msg_control = control.buf;
		msg.msg_controllen = CMSG_SPACE(cnt * sizeof(int));
		control.head.cmsg_level = SOL_SOCKET;
		control.head.cmsg_type = SCM_RIGHTS;
		control.head.cmsg_len = CMSG_LEN(cnt * sizeof(int));
		memcpy(CMSG_DATA(&control.head), sent, cnt * sizeof(int));
	}
	ret = sendmsg(sock, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	for (unsigned i = 0; i < cnt; i++)
		close(sent[i]);
	return ret;
}

/* Everything that the client has to do, and what it says. */
static void settle(struct state *s, struct client *c, int fd)
{
	for (int i = 0; i < 200 && !client_is_over(c) && out_len < OUT_MAX; i++) {
		bool more;

		vmtap_dispatch(state_instance(s), 0);
		more = client_turn(c);
		drain(fd);
		if (!more && i > 1)
			return;
	}
}

static struct state *make_state(void)
{
	struct vmtap_config config = { .size = sizeof(config), .engine = VMTAP_ENGINE_PLAIN };
	struct state *s = state_new(&config, NULL);

	assert(s);
	state_port_add(s, "null,id=a,generate=on,size=60", NULL, NULL);
	state_port_add(s, "null,id=b", NULL, NULL);
	state_connect(s, "a", "b", NULL);
	return s;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void talk(struct state *s, struct client *c, int sock, const uint8_t *data, size_t size,
		 size_t piece)
{
	unsigned fds = 0;

	for (size_t at = 0, len; at < size && !client_is_over(c); at += len) {
		const uint8_t *mark;

		if (data[at] == FDS && size - at > 1) {
			fds = data[at + 1];
			len = 2;
			continue;
		}
		len = size - at < piece ? size - at : piece;
		mark = memchr(data + at + 1, FDS, len - 1);
		if (mark)
			len = (size_t)(mark - data) - at;
		if (send_piece(sock, data + at, len, fds) < 0)
			return;
		fds = 0;
		settle(s, c, sock);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char hello[] = "{\"execute\":\"qmp_capabilities\"}";
	const unsigned before = count_open();
	struct state *s;
	struct client *c;
	int fds[2];

	if (size < 2 || !is_harmless((const char *)data, size))
		return 0;
	running = true;
	s = make_state();
	assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
	c = client_new(s, fds[0], data[0] % 2 ? ROLE_ADMIN : ROLE_READ, NULL);
	assert(c);
	if (data[0] & 2)
		assert(send(fds[1], hello, sizeof(hello) - 1, 0) > 0);
	out_len = 0;
	talk(s, c, fds[1], data + 2, size - 2, data[1] + 1u);
	check_output();
	client_free(c);
	close(fds[1]);
	state_free(s);
	running = false;
	assert(count_open() == before);
	return 0;
}
