/* SPDX-License-Identifier: MIT */
/* The control socket: who connects, and what they may do. */
#include "ctl/server.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/fd.h"
#include "base/sockfile.h"
#include "ctl/client.h"
#include "ctl/qmp.h"

#define OBJECT "control socket"
#define BACKLOG 128
/** Connections taken in a turn, and groups of a peer that are looked at. */
#define ACCEPT_MAX 16
#define GROUPS_MAX 1024

struct server {
	struct state *state;
	struct state_observer observer;
	struct vmtap_watch *watch;
	struct sockfile file;
	struct client *clients[SERVER_CLIENTS_MAX];
	unsigned cnt;
	int fd, spare_fd; /* the second: to refuse somebody when there are no more descriptors */
	gid_t group;
	bool ready;
};

/* ----------------------------------------------------------------- permissions */

static bool in_group(int fd, const struct ucred *peer, gid_t group)
{
	static gid_t groups[GROUPS_MAX];
	socklen_t len = sizeof(groups);

	if (peer->gid == group)
		return true;
	if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &len) < 0)
		return false;
	for (size_t i = 0; i < len / sizeof(gid_t); i++)
		if (groups[i] == group)
			return true;
	return false;
}

static enum role role_of(const struct server *v, int fd)
{
	struct ucred peer;
	socklen_t len = sizeof(peer);

	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
		return ROLE_READ;
	if (peer.uid == 0 || peer.uid == geteuid())
		return ROLE_ADMIN;
	if (v->group != SERVER_NO_GROUP && in_group(fd, &peer, v->group))
		return ROLE_ADMIN;
	return ROLE_READ;
}

/* ----------------------------------------------------------------- connections */

/* Takes @fd. */
static void refuse(int fd, const char *why)
{
	struct vmtap_error err = { 0 };
	json_t *answer;
	char *text;
	size_t len;

	error_set(&err, EUSERS, OBJECT, "take the connection", "%s", why);
	error_remedy(&err, "try again when others have left");
	answer = qmp_error(&err);
	text = qmp_text(answer, &len);
	json_decref(answer);
	if (text)
		(void)!send(fd, text, len, MSG_NOSIGNAL | MSG_DONTWAIT);
	free(text);
	fd_close(&fd);
}

static unsigned reader_cnt(const struct server *v)
{
	unsigned cnt = 0;

	for (unsigned i = 0; i < v->cnt; i++)
		cnt += client_role(v->clients[i]) == ROLE_READ;
	return cnt;
}

static void add_client(struct server *v, int fd)
{
	const enum role role = role_of(v, fd);
	struct vmtap_error err = { 0 };
	struct client *c;

	if (v->cnt == SERVER_CLIENTS_MAX) {
		refuse(fd, "there are too many");
		return;
	}
	if (role == ROLE_READ && reader_cnt(v) == SERVER_READERS_MAX) {
		refuse(fd, "there are too many that may only look");
		return;
	}
	c = client_new(v->state, fd, role, &err);
	if (c)
		v->clients[v->cnt++] = c;
}

/* The spare descriptor makes room to tell him so; else he would be announced again and again. */
static void refuse_without_room(struct server *v)
{
	int fd;

	fd_close(&v->spare_fd);
	fd = accept4(v->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd >= 0)
		refuse(fd, "the server has no descriptor left");
	v->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void accept_some(struct server *v)
{
	for (unsigned i = 0; i < ACCEPT_MAX; i++) {
		int fd = accept4(v->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

		if (fd >= 0) {
			add_client(v, fd);
			continue;
		}
		if (errno == EMFILE || errno == ENFILE)
			refuse_without_room(v);
		return;
	}
}

static void on_ready(void *opaque)
{
	struct server *v = opaque;

	v->ready = true;
}

static void on_event(void *opaque, json_t *event)
{
	struct server *v = opaque;
	size_t len;
	char *text = v->cnt ? qmp_text(event, &len) : NULL;

	if (!text)
		return;
	for (unsigned i = 0; i < v->cnt; i++)
		client_event(v->clients[i], text, len);
	free(text);
}

bool server_run(struct server *v)
{
	bool more = false;

	if (v->ready) {
		v->ready = false;
		accept_some(v);
	}
	for (unsigned i = 0; i < v->cnt; i++)
		more |= client_turn(v->clients[i]);
	for (unsigned i = 0; i < v->cnt;) {
		if (!client_is_over(v->clients[i])) {
			i++;
			continue;
		}
		client_free(v->clients[i]);
		v->clients[i] = v->clients[--v->cnt];
	}
	/* those whose turn was over when the commands of a later one made events */
	for (unsigned i = 0; i < v->cnt; i++)
		more |= client_is_ready(v->clients[i]);
	return more;
}

/* -------------------------------------------------------------------- listening */

int server_cannot_give(int code, const char *object, struct vmtap_error *err)
{
	error_errno(err, code, object, "give its file to the group");
	if (code == EPERM)
		error_remedy(err, "start it as root, or name a group that its user is in: id -Gn");
	return -code;
}

static int open_socket(struct server *v, const struct server_config *config,
		       struct vmtap_error *err)
{
	int mode = config->mode;

	v->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (v->fd < 0)
		return error_errno(err, errno, OBJECT, "make a socket");
	if (mode == SERVER_NO_MODE)
		mode = config->group == SERVER_NO_GROUP ? 0600 : 0660;
	/* nobody of the group before the file is the group's */
	if (sockfile_bind(&v->file, v->fd, config->path, mode & 0700, OBJECT, err) < 0)
		return -1;
	if (config->group != SERVER_NO_GROUP && lchown(config->path, (uid_t)-1, config->group) < 0)
		return server_cannot_give(errno, OBJECT, err);
	if (fchmodat(AT_FDCWD, config->path, (mode_t)mode, AT_SYMLINK_NOFOLLOW) < 0 &&
	    chmod(config->path, (mode_t)mode) < 0)
		return error_errno(err, errno, OBJECT, "set its file's permissions");
	return listen(v->fd, BACKLOG) < 0 ? error_errno(err, errno, OBJECT, "listen") : 0;
}

struct server *server_new(struct state *s, const struct server_config *config,
			  struct vmtap_error *err)
{
	struct server *v = calloc(1, sizeof(*v));

	if (!v) {
		error_errno(err, ENOMEM, OBJECT, "listen");
		return NULL;
	}
	v->state = s;
	v->fd = config->path ? -1 : config->fd;
	v->group = config->group;
	v->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	v->observer = (struct state_observer) { .event = on_event, .opaque = v };
	state_observe(s, &v->observer);
	if (config->path && open_socket(v, config, err) < 0)
		goto fail;
	v->watch = vmtap_watch_new(state_instance(s), v->fd, on_ready, v, err);
	if (!v->watch)
		goto fail;
	return v;
fail:
	server_free(v);
	return NULL;
}

void server_free(struct server *v)
{
	if (!v)
		return;
	state_ignore(v->state, &v->observer);
	while (v->cnt)
		client_free(v->clients[--v->cnt]);
	vmtap_watch_free(v->watch);
	sockfile_release(&v->file);
	fd_close(&v->fd);
	fd_close(&v->spare_fd);
	free(v);
}
