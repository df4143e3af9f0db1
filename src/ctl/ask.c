/* SPDX-License-Identifier: MIT */
/* The other end of the control socket: asking a server. */
#include "ctl/ask.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/error.h"
#include "base/fd.h"
#include "ctl/out.h"
#include "ctl/qmp.h"
#include "ctl/server.h"
#include "ctl/stream.h"

/** Longest answer in bytes. */
#define ANSWER_MAX (64u * 1024 * 1024)

/**
 * struct ask - A connection
 * @wait:   NULL: system calls block
 * @events: an array of those that came before an answer
 */
struct ask {
	int fd;
	const struct ask_wait *wait;
	struct stream in;
	json_t *events;
	char path[108];
};

const char *ask_path(const char *option)
{
	const char *env = getenv("VMTAP_CONTROL");

	if (option)
		return option;
	return env && *env ? env : SERVER_PATH;
}

static int fail(const struct ask *a, struct vmtap_error *err, int code, const char *action,
		const char *reason)
{
	error_set(err, code, "", action, "%s", reason);
	error_object(err, "server at \"%.60s\"", a->path);
	return -code;
}

/* -------------------------------------------------------------------- messages */

static int send_text(struct ask *a, const char *text, size_t len, int fd, struct vmtap_error *err)
{
	struct out out = { 0 };
	int ret;

	if (fd >= 0)
		fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	ret = out_add(&out, text, len, &fd, fd >= 0);
	if (ret == 0)
		ret = out_write(&out, a->fd);
	if (ret == 0 && out.len)
		ret = -EIO; /* the socket blocks: cannot be */
	out_fini(&out);
	return ret < 0 ? fail(a, err, -ret, "send the command", strerror(-ret)) : 0;
}

static int wait_for(const struct ask *a, int fd)
{
	return a->wait ? a->wait->wait(a->wait->opaque, fd) : 0;
}

/* Some bytes. Return: how many; 0: it is over; -errno. */
static ssize_t take(const struct ask *a, char *buf, size_t size)
{
	ssize_t got = wait_for(a, a->fd);

	if (got < 0)
		return got;
	do
		got = recv(a->fd, buf, size, 0);
	while (got < 0 && errno == EINTR);
	return got < 0 ? -errno : got;
}

/* The next message. NULL and @err. */
static json_t *receive(struct ask *a, struct vmtap_error *err)
{
	static char buf[65536];
	json_t *message;
	const char *doc;
	size_t len;

	for (;;) {
		enum stream_item item = stream_next(&a->in, &doc, &len);
		ssize_t got;

		if (item == STREAM_DOC) {
			message = json_loadb(doc, len, 0, NULL);
			if (json_is_object(message))
				return message;
			json_decref(message);
		}
		if (item != STREAM_NONE) {
			fail(a, err, EPROTO, "understand it", "what it says is no QMP");
			return NULL;
		}
		got = take(a, buf, sizeof(buf));
		if (got <= 0 || stream_feed(&a->in, buf, (size_t)got) < 0) {
			fail(a, err, got < 0 ? (int)-got : ECONNRESET, "wait for its answer",
			     got < 0 ? strerror((int)-got) : "it has closed the connection");
			return NULL;
		}
	}
}

/* The next message that is no event; those are kept. */
static json_t *answer(struct ask *a, struct vmtap_error *err)
{
	json_t *message;

	while ((message = receive(a, err))) {
		if (!json_object_get(message, "event"))
			return message;
		json_array_append_new(a->events, message);
	}
	return NULL;
}

json_t *ask_event(struct ask *a, struct vmtap_error *err)
{
	json_t *event = json_array_get(a->events, 0);

	if (event) {
		json_incref(event);
		json_array_remove(a->events, 0);
		return event;
	}
	do {
		json_decref(event);
		event = receive(a, err);
	} while (event && !json_object_get(event, "event"));
	return event;
}

json_t *ask_run(struct ask *a, const char *command, json_t *args, int fd, struct vmtap_error *err)
{
	json_t *request = json_pack("{ss}", "execute", command);
	size_t len;
	char *text;
	int ret;

	if (request && args)
		json_object_set(request, "arguments", args);
	text = qmp_text(request, &len);
	json_decref(request);
	if (!text) {
		fail(a, err, ENOMEM, "send the command", strerror(ENOMEM));
		return NULL;
	}
	ret = send_text(a, text, len, fd, err);
	free(text);
	return ret < 0 ? NULL : answer(a, err);
}

/* ------------------------------------------------------------------ connecting */

/* To a server that has no room for more a connect() blocks, unless it may not. Return: 0 or an errno. */
static int dial(const struct ask *a, const struct sockaddr_un *addr)
{
	const int flags = fcntl(a->fd, F_GETFL);
	int code;

	if (a->wait)
		fcntl(a->fd, F_SETFL, flags | O_NONBLOCK);
	do
		code = connect(a->fd, (const struct sockaddr *)addr, sizeof(*addr)) < 0 ? errno : 0;
	while (code == EAGAIN && a->wait && (code = -wait_for(a, -1)) == 0);
	fcntl(a->fd, F_SETFL, flags);
	return code;
}

static int connect_to(struct ask *a, const char *path, struct vmtap_error *err)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	int code;

	if (strlen(path) >= sizeof(addr.sun_path)) {
		fail(a, err, ENAMETOOLONG, "connect", "a socket's path has 107 characters at most");
		error_remedy(err, "use a relative path, or a symbolic link to its folder");
		return -ENAMETOOLONG;
	}
	strcpy(addr.sun_path, path);
	a->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (a->fd < 0)
		return fail(a, err, errno, "make a socket", strerror(errno));
	code = dial(a, &addr);
	if (!code)
		return 0;
	fail(a, err, code, "connect",
	     code == ECONNREFUSED ? "nobody listens there" : strerror(code));
	if (code == EACCES)
		error_remedy(err, "connect as root or as the server's user; its --control-mode and "
				  "--control-group let others in");
	else
		error_remedy(err, "start it: vmtap serve --control PATH; or say where it is: "
				  "--control PATH, or $VMTAP_CONTROL");
	return -code;
}

static void not_a_server(const struct ask *a, struct vmtap_error *err)
{
	fail(a, err, EPROTO, "use it", "it does not greet as a server does");
	error_remedy(err, "say where one is: --control PATH, or $VMTAP_CONTROL");
}

static int shake_hands(struct ask *a, struct vmtap_error *err)
{
	json_t *message = answer(a, err);
	const char *why;
	int ret = -EPROTO;

	if (!message)
		return ret;
	why = json_string_value(json_object_get(json_object_get(message, "error"), "desc"));
	if (json_object_get(message, "QMP"))
		ret = 0;
	else if (why)
		fail(a, err, EPROTO, "use it", why);
	else
		not_a_server(a, err);
	json_decref(message);
	if (ret == 0) {
		message = ask_run(a, "qmp_capabilities", NULL, -1, err);
		ret = message ? 0 : -EPROTO;
		json_decref(message);
	}
	return ret;
}

struct ask *ask_open(const char *path, struct vmtap_error *err)
{
	return ask_open_with(path, NULL, err);
}

struct ask *ask_open_with(const char *path, const struct ask_wait *wait, struct vmtap_error *err)
{
	struct ask *a = calloc(1, sizeof(*a));

	if (!a) {
		error_errno(err, ENOMEM, "vmtap", "ask a server");
		return NULL;
	}
	a->fd = -1;
	a->wait = wait;
	a->in.max = ANSWER_MAX;
	strncpy(a->path, path, sizeof(a->path) - 1);
	a->events = json_array();
	if (connect_to(a, path, err) == 0 && shake_hands(a, err) == 0)
		return a;
	ask_close(a);
	return NULL;
}

int ask_fd(const struct ask *a)
{
	return a->fd;
}

void ask_close(struct ask *a)
{
	if (!a)
		return;
	fd_close(&a->fd);
	stream_fini(&a->in);
	json_decref(a->events);
	free(a);
}
