/* SPDX-License-Identifier: MIT */
/* Running a bridge helper. */
#include "port/tap/tap-helper.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/container.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/fdpass.h"
#include "base/spawn.h"

#define ARGS_MAX 13
#define SAID_MAX 400

/**
 * struct answer - What the helper sends back
 * @cnt:    descriptors in @fds, owned
 * @broken: -errno of a message that was refused
 */
struct answer {
	struct spawn_io io;
	int fds[HELPER_FDS_MAX];
	unsigned cnt, max;
	int broken;
};

/* What it writes to stderr, as one line, cut when it is long. */
struct said {
	struct spawn_io io;
	char text[SAID_MAX];
	size_t len;
};

const char *helper_default(void)
{
	static const char *const places[] = {
		VMTAP_LIBEXECDIR "/vmtap-bridge-helper",
		"/usr/lib/qemu/qemu-bridge-helper",
		"/usr/libexec/qemu-bridge-helper",
	};

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
		if (access(places[i], X_OK) == 0)
			return places[i];
	return NULL;
}

static void answer_ready(struct spawn_io *io)
{
	struct answer *a = container_of(io, struct answer, io);

	while (io->fd >= 0) {
		int ret = fd_recv(io->fd, a->fds + a->cnt, a->max - a->cnt);

		if (ret == -EAGAIN)
			return;
		if (ret > 0) {
			a->cnt += (unsigned)ret;
			if (a->cnt < a->max)
				continue;
			/* full: one more look would need room for one more */
			ret = 0;
		}
		if (ret < 0)
			a->broken = ret;
		io->fd = -1; /* the socket itself is closed by its owner */
	}
}

static void said_ready(struct spawn_io *io)
{
	struct said *s = container_of(io, struct said, io);
	char buf[512];
	ssize_t n;

	while ((n = read(io->fd, buf, sizeof(buf))) > 0) {
		for (ssize_t i = 0; i < n && s->len < sizeof(s->text) - 1; i++) {
			unsigned char c = (unsigned char)buf[i];

			if (c == '\n')
				c = ' ';
			if (s->len || c != ' ')
				s->text[s->len++] = c < 32 || c > 126 ? '?' : (char)c;
		}
	}
	while (s->len && s->text[s->len - 1] == ' ')
		s->len--;
	s->text[s->len] = '\0';
	if (n == 0)
		io->fd = -1;
}

/* ------------------------------------------------------------------ arguments */

/* A shell would split it: so it is a command line. The arguments are handed over as "$@", which
 * stands where they are appended and which nothing in them can break out of. */
struct command {
	const char *argv[ARGS_MAX];
	char fd[32], br[64], queues[32], ifname[64], mac[64];
	char *shell;
};

static int build_command(struct command *c, const struct helper_request *req, const char *helper,
			 int fd)
{
	bool is_shell = strpbrk(helper, " \t");
	unsigned n = 0;

	snprintf(c->fd, sizeof(c->fd), "--fd=%d", fd);
	snprintf(c->br, sizeof(c->br), "--br=%s", req->br);
	if (is_shell) {
		if (asprintf(&c->shell, "%s \"$@\"", helper) < 0)
			return -ENOMEM;
		c->argv[n++] = "/bin/sh";
		c->argv[n++] = "-c";
		c->argv[n++] = c->shell;
	}
	c->argv[n++] = helper;
	c->argv[n++] = "--use-vnet";
	c->argv[n++] = c->fd;
	if (!is_shell || !strstr(helper, "--br="))
		c->argv[n++] = c->br;
	if (req->queues > 1) {
		snprintf(c->queues, sizeof(c->queues), "--queues=%u", req->queues);
		c->argv[n++] = c->queues;
	}
	if (req->vhost)
		c->argv[n++] = "--vhost";
	if (req->ifname) {
		snprintf(c->ifname, sizeof(c->ifname), "--ifname=%s", req->ifname);
		c->argv[n++] = c->ifname;
	}
	if (req->mac) {
		snprintf(c->mac, sizeof(c->mac), "--mac=%s", req->mac);
		c->argv[n++] = c->mac;
	}
	c->argv[n] = NULL;
	return 0;
}

/* ------------------------------------------------------------------- judgement */

/* The helper knows why; QEMU's says it in few words, which are put into more here. */
static void quote_said(const struct helper_request *req, const struct said *said,
		       struct vmtap_error *err)
{
	size_t len;

	if (!err || !said->len)
		return;
	len = strlen(err->reason);
	snprintf(err->reason + len, sizeof(err->reason) - len, "; it said: %s", said->text);
	if (strstr(said->text, "acl file"))
		error_remedy(err,
			     "an administrator allows it with the line \"allow %s\" in "
			     "/etc/qemu/bridge.conf",
			     req->br);
	else if (strncmp(said->text, "Usage:", 6) == 0)
		error_remedy(err, "queues=, ifname=, mac= and vhost=on need vmtap-bridge-helper");
}

static int judge(const struct helper_request *req, const struct answer *a, const char *helper,
		 struct vmtap_error *err)
{
	const char *action = "use the bridge helper's answer";

	if (a->broken == -EMSGSIZE)
		return error_set(err, EPROTO, req->object, action,
				 "%s sent more descriptors than the %u that were asked for", helper,
				 a->max);
	if (a->broken)
		return error_set(err, EPROTO, req->object, action, "%s sent rubbish (%s)", helper,
				 strerror(-a->broken));
	if (a->cnt == a->max)
		return 0;
	error_set(err, EPROTO, req->object, action, "%s sent %u descriptor%s instead of %u", helper,
		  a->cnt, a->cnt == 1 ? "" : "s", a->max);
	if (a->cnt)
		error_remedy(err, "QEMU's helper makes one queue only, without vhost-net: use "
				  "vmtap-bridge-helper, or queues=1 and no vhost=");
	return -EPROTO;
}

static int run(const struct helper_request *req, const char *helper, struct answer *answer,
	       struct said *said, struct vmtap_error *err)
{
	struct spawn_io *io[] = { &answer->io, &said->io };
	struct command command = { 0 };
	int sv[2] = { -1, -1 }, pipefd[2] = { -1, -1 }, ret;
	char what[96];

	snprintf(what, sizeof(what), "bridge helper %.70s", helper);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sv) < 0 ||
	    pipe2(pipefd, O_CLOEXEC | O_NONBLOCK) < 0) {
		ret = error_errno(err, errno, req->object, "talk to the bridge helper");
		goto out;
	}
	ret = build_command(&command, req, helper, sv[1]);
	if (ret < 0) {
		error_errno(err, -ret, req->object, "call the bridge helper");
		goto out;
	}
	answer->io.fd = sv[0];
	said->io.fd = pipefd[0];
	ret = spawn_run(
		&(struct spawn) {
			.object = req->object,
			.what = what,
			.argv = command.argv,
			.keep_fd = sv[1],
			.stderr_fd = pipefd[1],
			.io = io,
			.io_cnt = 2,
			.timeout_ms = req->timeout_ms,
			.timeout_key = "helper-timeout-ms",
			.cancel_fd = req->cancel_fd,
		},
		err);
	if (ret < 0)
		quote_said(req, said, err);
	else
		ret = judge(req, answer, helper, err);
out:
	free(command.shell);
	fd_close(&sv[0]);
	fd_close(&sv[1]);
	fd_close(&pipefd[0]);
	fd_close(&pipefd[1]);
	return ret;
}

int helper_missing(const char *object, struct vmtap_error *err)
{
	error_set(err, ENOENT, object, "run a bridge helper", "none is installed");
	error_remedy(err, "install vmtap-bridge-helper (make install), or name one with helper=");
	return -ENOENT;
}

int helper_run(const struct helper_request *req, int fds[HELPER_FDS_MAX], const struct log *log,
	       const char *log_name, struct vmtap_error *err)
{
	const char *helper = req->helper ? req->helper : helper_default();
	struct answer answer = { .io.ready = answer_ready,
				 .max = req->vhost ? 2 * req->queues : req->queues };
	struct said said = { .io.ready = said_ready };
	int ret;

	if (!helper)
		return helper_missing(req->object, err);
	ret = run(req, helper, &answer, &said, err);
	if (ret == 0) {
		if (said.len)
			log_msg(log, VMTAP_LOG_WARNING, log_name, "%s: %s", helper, said.text);
		memcpy(fds, answer.fds, answer.cnt * sizeof(fds[0]));
		return 0;
	}
	for (unsigned i = 0; i < answer.cnt; i++)
		fd_close(&answer.fds[i]);
	return ret;
}
