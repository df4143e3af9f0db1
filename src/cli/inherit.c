/* SPDX-License-Identifier: MIT */
/* Descriptors that the service manager passes. */
#include "cli/inherit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONTROL "control"

static int wrong(struct vmtap_error *err, const char *object, const char *reason)
{
	if (!err)
		return -EINVAL;
	*err = (struct vmtap_error) { .code = EINVAL };
	snprintf(err->object, sizeof(err->object), "%s", object);
	snprintf(err->action, sizeof(err->action), "use what the service manager passes");
	snprintf(err->reason, sizeof(err->reason), "%s", reason);
	return -EINVAL;
}

static bool read_number(const char *text, long max, long *value)
{
	char *end;

	errno = 0;
	*value = strtol(text, &end, 10);
	return text[0] >= '0' && text[0] <= '9' && !*end && !errno && *value <= max;
}

/* The names, "a:b:c", as many as there are descriptors. */
static bool read_names(struct inherit *in, const char *names)
{
	for (unsigned i = 0; i < in->cnt; i++) {
		const size_t len = strcspn(names, ":");

		if (len >= INHERIT_NAME_SIZE)
			return false;
		memcpy(in->fds[i].name, names, len);
		names += len;
		if (!*names != (i == in->cnt - 1))
			return false;
		names++;
	}
	return true;
}

int inherit_parse(struct inherit *in, const char *pid_text, const char *fds, const char *names,
		  long pid, struct vmtap_error *err)
{
	long value;

	*in = (struct inherit) { 0 };
	if (!pid_text || !fds)
		return 0;
	if (!read_number(pid_text, INT32_MAX, &value))
		return wrong(err, "LISTEN_PID", "it is no process");
	if (value != pid)
		return 0;
	if (!read_number(fds, INHERIT_MAX, &value) || !value)
		return wrong(err, "LISTEN_FDS", "it is no number from 1 to 4096");
	in->fds = calloc((size_t)value, sizeof(*in->fds));
	if (!in->fds) {
		wrong(err, "LISTEN_FDS", "out of memory");
		return -ENOMEM;
	}
	in->cnt = (unsigned)value;
	for (unsigned i = 0; i < in->cnt; i++)
		in->fds[i].fd = INHERIT_FIRST + (int)i;
	if (!names || read_names(in, names))
		return 0;
	free(in->fds);
	*in = (struct inherit) { 0 };
	return wrong(err, "LISTEN_FDNAMES", "it does not have a name for each of LISTEN_FDS");
}

int inherit_take(struct inherit *in, struct vmtap_error *err)
{
	int ret = inherit_parse(in, getenv("LISTEN_PID"), getenv("LISTEN_FDS"),
				getenv("LISTEN_FDNAMES"), getpid(), err);

	unsetenv("LISTEN_PID");
	unsetenv("LISTEN_FDS");
	unsetenv("LISTEN_FDNAMES");
	for (unsigned i = 0; ret == 0 && i < in->cnt; i++) {
		if (fcntl(in->fds[i].fd, F_SETFD, FD_CLOEXEC) == 0)
			continue;
		in->cnt = i; /* what there is, is closed */
		inherit_close(in);
		return wrong(err, "LISTEN_FDS", "one of the descriptors is not open");
	}
	return ret;
}

void inherit_close(struct inherit *in)
{
	for (unsigned i = 0; i < in->cnt; i++)
		if (in->fds[i].fd >= 0)
			close(in->fds[i].fd);
	free(in->fds);
	*in = (struct inherit) { 0 };
}

/* ---------------------------------------------------------------- the control socket */

static bool has(int fd, int option, int wanted)
{
	socklen_t len = sizeof(int);
	int value;

	return getsockopt(fd, SOL_SOCKET, option, &value, &len) == 0 && value == wanted;
}

static bool listens(int fd)
{
	return has(fd, SO_DOMAIN, AF_UNIX) && has(fd, SO_TYPE, SOCK_STREAM) &&
	       has(fd, SO_ACCEPTCONN, 1);
}

/* The entry, or NULL: there is none, or several, and then @err is filled. */
static struct inherited *find_control(struct inherit *in, struct vmtap_error *err)
{
	struct inherited *named = NULL, *listening = NULL;
	unsigned named_cnt = 0, listening_cnt = 0;

	for (unsigned i = 0; i < in->cnt; i++) {
		if (strcmp(in->fds[i].name, CONTROL) == 0) {
			named = &in->fds[i];
			named_cnt++;
		}
		if (listens(in->fds[i].fd)) {
			listening = &in->fds[i];
			listening_cnt++;
		}
	}
	if (named_cnt == 1 || (!named_cnt && listening_cnt == 1))
		return named ? named : listening;
	if (named_cnt)
		wrong(err, "control socket", "there are several with the name \"" CONTROL "\"");
	else if (listening_cnt)
		wrong(err, "control socket",
		      "there are several that listen, and none has the name \"" CONTROL
		      "\" (FileDescriptorName=)");
	return NULL;
}

int inherit_control(struct inherit *in, struct vmtap_error *err)
{
	struct vmtap_error local = { 0 };
	struct inherited *it = find_control(in, &local);
	int fd, flags;

	if (!it) {
		if (local.code && err)
			*err = local;
		return local.code ? -local.code : -1;
	}
	if (!listens(it->fd))
		return wrong(
			err, "control socket",
			"the descriptor is no unix stream socket that listens (ListenStream=)");
	flags = fcntl(it->fd, F_GETFL);
	if (flags < 0 || fcntl(it->fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return wrong(err, "control socket", strerror(errno));
	fd = it->fd;
	it->fd = -1;
	return fd;
}
