/* SPDX-License-Identifier: MIT */
/* A connection to the control socket. */
#include "ctl/client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "ctl/out.h"
#include "ctl/qmp.h"
#include "ctl/stream.h"

/** Bytes that one read takes, and commands that one turn runs. */
#define READ_MAX 16384
#define TURN_MAX 16

/**
 * struct client - A connection
 * @ready:    the loop said that there is something to do
 * @pending:  a turn ended with commands left
 * @answered: a command was, since descriptors were dropped: those that are there came with it, or before
 * @ended:    the peer will send nothing more
 * @over:     to be freed
 */
struct client {
	struct state *state;
	struct vmtap_watch *watch;
	struct stream in;
	struct out out;
	struct qmp qmp;
	struct call call;
	int fd;
	bool ready, pending, answered, ended, over;
};

static void on_ready(void *opaque)
{
	struct client *c = opaque;

	c->ready = true;
}

/* --------------------------------------------------------------------- output */

/* Takes @j; the descriptors of the call go along. */
static void answer(struct client *c, json_t *j)
{
	size_t len;
	char *text = qmp_text(j, &len);

	json_decref(j);
	if (!text || out_add(&c->out, text, len, c->call.out, c->call.out_cnt) < 0)
		c->over = true;
	if (text)
		c->call.out_cnt = 0;
	free(text);
}

static void flush(struct client *c)
{
	if (!c->over && out_write(&c->out, c->fd) < 0)
		c->over = true;
}

void client_event(struct client *c, const char *text, size_t len)
{
	if (!c->qmp.ready || c->over)
		return;
	if (c->out.len > CLIENT_OUT_HIGH) /* one command may make thousands of events */
		flush(c);
	if (c->out.event_len + len > CLIENT_EVENTS_MAX) {
		state_log(c->state, VMTAP_LOG_WARNING, "",
			  "a client of the control socket does not read its events: it is cut off");
		c->over = true;
	} else if (out_add_event(&c->out, text, len) < 0) {
		c->over = true;
	}
	c->ready = true;
}

/* One for this client alone. */
static void on_event(void *opaque, json_t *event)
{
	size_t len;
	char *text = qmp_text(event, &len);

	if (text)
		client_event(opaque, text, len);
	free(text);
}

/* --------------------------------------------------------------------- input */

/* Descriptors that came along with bytes. Those that do not fit, or that nobody may use, are closed. */
static void take_fds(struct client *c, const struct cmsghdr *head)
{
	unsigned cnt = (unsigned)((head->cmsg_len - CMSG_LEN(0)) / sizeof(int));

	for (unsigned i = 0; i < cnt; i++) {
		int fd;

		memcpy(&fd, CMSG_DATA(head) + i * sizeof(int), sizeof(int));
		if (c->call.in_cnt < CALL_FDS_MAX && c->call.role == ROLE_ADMIN)
			c->call.in[c->call.in_cnt++] = fd;
		else
			fd_close(&fd);
	}
}

/* Return: bytes; 0: the end; -errno. */
static ssize_t receive(struct client *c, char *buf, size_t size)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(CALL_FDS_MAX * sizeof(int))];
	} control;
	struct iovec iov = { .iov_base = buf, .iov_len = size };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control.buf),
	};
	ssize_t len;

	do
		len = recvmsg(c->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	while (len < 0 && errno == EINTR);
	if (len < 0)
		return -errno;
	for (struct cmsghdr *head = CMSG_FIRSTHDR(&msg); head; head = CMSG_NXTHDR(&msg, head))
		if (head->cmsg_level == SOL_SOCKET && head->cmsg_type == SCM_RIGHTS &&
		    head->cmsg_len >= CMSG_LEN(0))
			take_fds(c, head);
	return len;
}

static void read_some(struct client *c)
{
	static __thread char buf[READ_MAX];
	ssize_t len = receive(c, buf, sizeof(buf));

	if (len == -EAGAIN)
		return;
	if (len > 0 && stream_feed(&c->in, buf, (size_t)len) == 0)
		return;
	if (len == 0)
		c->ended = true;
	else
		c->over = true;
}

/* Descriptors belong to the commands that came with them, and to one that is only half here. There are clients
 * that send them with a blank in front of it, so they wait for a command. */
static void drop_fds(struct client *c)
{
	for (unsigned i = 0; i < c->call.in_cnt; i++)
		fd_close(&c->call.in[i]);
	c->call.in_cnt = 0;
	c->answered = false;
}

/* Run what is complete. Return: whether some may be left. */
static bool run_commands(struct client *c)
{
	const char *doc;
	size_t len;

	for (unsigned i = 0; i < TURN_MAX && c->out.len <= CLIENT_OUT_HIGH && !c->over; i++) {
		enum stream_item item;

		if (state_is_over(c->state))
			return false;
		item = stream_next(&c->in, &doc, &len);
		if (item == STREAM_NONE) {
			if (c->answered && stream_is_idle(&c->in))
				drop_fds(c);
			return false;
		}
		c->answered = true;
		answer(c, item == STREAM_DOC ? qmp_answer(&c->qmp, &c->call, doc, len)
					     : qmp_refusal(item));
	}
	return true;
}

/* ----------------------------------------------------------------------- turns */

bool client_turn(struct client *c)
{
	unsigned events = 0;

	if (!c->ready && !c->pending)
		return false;
	c->ready = false;
	flush(c);
	if (!c->pending && !c->ended && !c->over && c->out.len <= CLIENT_OUT_HIGH)
		read_some(c);
	if (!c->over)
		c->pending = run_commands(c);
	flush(c);
	if (c->ended && !c->pending && !c->out.len)
		c->over = true;
	if (c->over)
		return false;
	if (c->out.len)
		events |= VMTAP_WATCH_WRITE;
	if (!c->ended && !c->pending && c->out.len <= CLIENT_OUT_HIGH)
		events |= VMTAP_WATCH_READ;
	vmtap_watch_set(c->watch, events);
	return c->pending && c->out.len <= CLIENT_OUT_HIGH;
}

enum role client_role(const struct client *c)
{
	return c->call.role;
}

bool client_is_ready(const struct client *c)
{
	return c->ready;
}

bool client_is_over(const struct client *c)
{
	return c->over;
}

struct client *client_new(struct state *s, int fd, enum role role, struct vmtap_error *err)
{
	struct client *c = calloc(1, sizeof(*c));

	if (!c) {
		fd_close(&fd);
		error_errno(err, ENOMEM, "control", "take a connection");
		return NULL;
	}
	c->state = s;
	c->fd = fd;
	c->call = (struct call) { .state = s, .role = role, .event = on_event, .opaque = c };
	c->watch = vmtap_watch_new(state_instance(s), fd, on_ready, c, err);
	if (!c->watch) {
		client_free(c);
		return NULL;
	}
	answer(c, qmp_greeting());
	c->ready = true;
	return c;
}

void client_free(struct client *c)
{
	vmtap_watch_free(c->watch);
	c->over = true;
	call_fini(&c->call);
	out_write(&c->out, c->fd);
	out_fini(&c->out);
	stream_fini(&c->in);
	fd_close(&c->fd);
	free(c);
}
