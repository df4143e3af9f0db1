/* SPDX-License-Identifier: MIT */
/* Metrics over HTTP. */
#include "ctl/metrics.h"

#include <errno.h>
#include <microhttpd.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/timerfd.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/sockfile.h"
#include "ctl/metrics-text.h"
#include "ctl/server.h"

#define OBJECT "metrics"
#define UNIX_PREFIX "unix:"
/** Those that wait while there are METRICS_CLIENTS_MAX. */
#define BACKLOG 128
/** Bytes that a connection may take: a request with its headers, and an answer's. */
#define MEMORY_MAX 16384
#define TYPE "text/plain; version=0.0.4; charset=utf-8"

/** struct client - A connection. @fd: the daemon's, -1: there is none; @since_ns: its last answer was over, or it came */
struct client {
	int fd;
	uint64_t since_ns;
};

/**
 * struct metrics - A listening HTTP server
 * @fd:    listens; the daemon's as soon as there is one, and -1 then
 * @timer: ticks while there are connections, since idle ones are closed by MHD_run() only
 */
struct metrics {
	struct state *state;
	struct MHD_Daemon *daemon;
	struct vmtap_watch *watch, *timer_watch;
	struct sockfile file;
	int fd, timer;
	struct client clients[METRICS_CLIENTS_MAX];
	unsigned cnt; /* connections after the last turn */
	bool ready, ticking;
};

/* --------------------------------------------------------------------- answering */

/* @text: taken, from malloc(); NULL: no memory. */
static enum MHD_Result answer(struct MHD_Connection *to, unsigned status, char *text, size_t len)
{
	struct MHD_Response *r =
		text ? MHD_create_response_from_buffer(len, text, MHD_RESPMEM_MUST_FREE) : NULL;
	enum MHD_Result ret;

	if (!r) {
		free(text);
		return MHD_NO;
	}
	MHD_add_response_header(r, MHD_HTTP_HEADER_CONTENT_TYPE, TYPE);
	if (status == MHD_HTTP_METHOD_NOT_ALLOWED)
		MHD_add_response_header(r, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
	ret = MHD_queue_response(to, status, r);
	MHD_destroy_response(r);
	return ret;
}

static enum MHD_Result answer_line(struct MHD_Connection *to, unsigned status, const char *line)
{
	return answer(to, status, strdup(line), strlen(line));
}

static enum MHD_Result answer_metrics(struct metrics *m, struct MHD_Connection *to)
{
	json_t *rows = stats_rows(m->state);
	char *text = NULL;
	size_t len = 0;
	FILE *out = rows ? open_memstream(&text, &len) : NULL;

	if (out) {
		metrics_text(out, rows);
		if (fclose(out) != 0) {
			free(text);
			text = NULL;
		}
	}
	json_decref(rows);
	return answer(to, MHD_HTTP_OK, text, len);
}

/* Called with the headers, before any body: the answer stands by then. */
static enum MHD_Result on_request(void *opaque, struct MHD_Connection *to, const char *url,
				  const char *method, const char *version, const char *data,
				  size_t *size, void **request)
{
	if (strcmp(method, MHD_HTTP_METHOD_GET) != 0 && strcmp(method, MHD_HTTP_METHOD_HEAD) != 0)
		return answer_line(to, MHD_HTTP_METHOD_NOT_ALLOWED, "only GET is answered\n");
	if (strcmp(url, "/metrics") == 0)
		return answer_metrics(opaque, to);
	if (strcmp(url, "/") == 0)
		return answer_line(to, MHD_HTTP_OK, "vmtap: see /metrics\n");
	return answer_line(to, MHD_HTTP_NOT_FOUND, "there is /metrics, and nothing else\n");
}

/* ------------------------------------------------------------------- connections */

/* The one that has been without a request for the longest; NULL: none. */
static struct client *idlest(struct metrics *m, const struct client *but)
{
	struct client *found = NULL;

	for (unsigned i = 0; i < METRICS_CLIENTS_MAX; i++) {
		struct client *c = &m->clients[i];

		if (c->fd >= 0 && c != but && (!found || c->since_ns < found->since_ns))
			found = c;
	}
	return found;
}

static struct client *free_slot(struct metrics *m)
{
	for (unsigned i = 0; i < METRICS_CLIENTS_MAX; i++)
		if (m->clients[i].fd < 0)
			return &m->clients[i];
	return NULL;
}

/* The daemon finds it at its end and closes it. */
static void end_client(const struct client *c)
{
	shutdown(c->fd, SHUT_RDWR);
}

static void client_came(struct metrics *m, struct MHD_Connection *at, void **context)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(at, MHD_CONNECTION_INFO_CONNECTION_FD);
	struct client *c = free_slot(m);

	if (!c || !info)
		return;
	*c = (struct client) { .fd = info->connect_fd, .since_ns = clock_ns() };
	*context = c;
	if (!free_slot(m))
		end_client(idlest(m, c));
}

static void on_connection(void *opaque, struct MHD_Connection *at, void **context,
			  enum MHD_ConnectionNotificationCode what)
{
	struct client *c = *context;

	if (what == MHD_CONNECTION_NOTIFY_STARTED)
		client_came(opaque, at, context);
	else if (c)
		c->fd = -1;
}

static void on_answered(void *opaque, struct MHD_Connection *at, void **request,
			enum MHD_RequestTerminationCode how)
{
	const union MHD_ConnectionInfo *info =
		MHD_get_connection_info(at, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
	struct client *c = info ? info->socket_context : NULL;

	if (c && how == MHD_REQUEST_TERMINATED_COMPLETED_OK)
		c->since_ns = clock_ns();
}

/* Each tick: a byte now and then is no request. */
static void end_slow(struct metrics *m)
{
	const uint64_t now = clock_ns();

	for (unsigned i = 0; i < METRICS_CLIENTS_MAX; i++) {
		const struct client *c = &m->clients[i];

		if (c->fd >= 0 && now - c->since_ns > METRICS_IDLE_S * NSEC_PER_SEC)
			end_client(c);
	}
}

/* ----------------------------------------------------------------------- running */

static void on_ready(void *opaque)
{
	struct metrics *m = opaque;

	m->ready = true;
}

static void on_tick(void *opaque)
{
	struct metrics *m = opaque;
	uint64_t ticks;

	if (read(m->timer, &ticks, sizeof(ticks)) < 0)
		return;
	end_slow(m);
	m->ready = true;
}

static unsigned connections(struct metrics *m)
{
	const union MHD_DaemonInfo *info =
		MHD_get_daemon_info(m->daemon, MHD_DAEMON_INFO_CURRENT_CONNECTIONS);

	return info ? info->num_connections : 0;
}

/* Only while there are connections: nobody is woken up for none. */
static void set_ticking(struct metrics *m, bool wanted)
{
	const struct itimerspec each = { .it_value.tv_sec = wanted, .it_interval.tv_sec = wanted };

	if (wanted != m->ticking && timerfd_settime(m->timer, 0, &each, NULL) == 0)
		m->ticking = wanted;
}

bool metrics_run(struct metrics *m)
{
	MHD_UNSIGNED_LONG_LONG wait_ms;
	unsigned before;

	if (!m || !m->ready)
		return false;
	MHD_run(m->daemon);
	before = m->cnt;
	m->cnt = connections(m);
	set_ticking(m, m->cnt);
	/* at its limit it does not watch for new ones; it begins again in the turn after somebody left */
	m->ready = m->cnt != before ||
		   (MHD_get_timeout(m->daemon, &wait_ms) == MHD_YES && wait_ms == 0);
	return m->ready;
}

/* --------------------------------------------------------------------- listening */

static int bad_address(const char *address, const char *reason, struct vmtap_error *err)
{
	error_set(err, EINVAL, OBJECT, "read --metrics", "\"%s\": %s", address, reason);
	error_remedy(err,
		     "127.0.0.1:9100, [::1]:9100 and unix:/run/vmtap/metrics.sock are addresses");
	return -EINVAL;
}

static int open_unix(struct metrics *m, const struct metrics_config *config,
		     struct vmtap_error *err)
{
	const char *path = config->address + strlen(UNIX_PREFIX);
	int mode = config->mode;

	if (!*path)
		return bad_address(config->address, "the path is missing", err);
	m->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (m->fd < 0)
		return error_errno(err, errno, OBJECT, "make a socket");
	if (mode == SERVER_NO_MODE)
		mode = config->group == SERVER_NO_GROUP ? 0600 : 0660;
	/* nobody of the group before the file is the group's */
	if (sockfile_bind(&m->file, m->fd, path, mode & 0700, OBJECT, err) < 0)
		return -1;
	if (config->group != SERVER_NO_GROUP && lchown(path, (uid_t)-1, config->group) < 0)
		return server_cannot_give(errno, OBJECT, err);
	if (chmod(path, (mode_t)mode) < 0)
		return error_errno(err, errno, OBJECT, "set its file's permissions");
	return 0;
}

/* HOST:PORT in two. Return: 0, or -EINVAL and @err. */
static int split(const char *address, char host[256], const char **port, struct vmtap_error *err)
{
	const char *colon = strrchr(address, ':');
	const bool brackets = address[0] == '[';
	const char *from = address + brackets;
	const char *end = colon;

	if (!colon || !colon[1])
		return bad_address(address, "the port is missing", err);
	if (brackets && *--end != ']')
		return bad_address(address, "the bracket is not closed before the port", err);
	if (end <= from || end - from > 255)
		return bad_address(address, "the host is missing or too long", err);
	snprintf(host, 256, "%.*s", (int)(end - from), from);
	if (!brackets && strchr(host, ':'))
		return bad_address(address, "an IPv6 address stands in brackets", err);
	*port = colon + 1;
	if (strspn(*port, "0123456789") != strlen(*port) || strlen(*port) > 5 || atoi(*port) < 1 ||
	    atoi(*port) > 65535)
		return bad_address(address, "the port is no number from 1 to 65535", err);
	return 0;
}

static int bind_inet(struct metrics *m, const char *address, const struct addrinfo *at,
		     struct vmtap_error *err)
{
	const int on = 1;
	int code;

	m->fd = socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (m->fd < 0)
		return error_errno(err, errno, OBJECT, "make a socket");
	setsockopt(m->fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(m->fd, at->ai_addr, at->ai_addrlen) == 0)
		return 0;
	code = errno;
	error_set(err, code, OBJECT, "take its address", "\"%s\": %s", address, strerror(code));
	if (code == EADDRINUSE)
		error_remedy(err,
			     "choose another port, or end who has it (find it with: ss -tlnp)");
	else if (code == EADDRNOTAVAIL)
		error_remedy(err, "choose an address of this host: ip address lists them");
	else if (code == EACCES)
		error_remedy(err, "choose a port from 1024 on");
	return -code;
}

static int open_inet(struct metrics *m, const char *address, struct vmtap_error *err)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE };
	struct addrinfo *found;
	const char *port;
	char host[256];
	int ret = split(address, host, &port, err);

	if (ret < 0)
		return ret;
	ret = getaddrinfo(host, port, &hints, &found);
	if (ret)
		return bad_address(address, gai_strerror(ret), err);
	ret = bind_inet(m, address, found, err);
	freeaddrinfo(found);
	return ret;
}

/* The daemon has the listening socket from here on. */
static int start_daemon(struct metrics *m, struct vmtap_error *err)
{
	m->daemon = MHD_start_daemon(MHD_USE_EPOLL, 0, NULL, NULL, on_request, m,
				     MHD_OPTION_LISTEN_SOCKET, m->fd, MHD_OPTION_CONNECTION_LIMIT,
				     (unsigned)METRICS_CLIENTS_MAX, MHD_OPTION_NOTIFY_CONNECTION,
				     on_connection, m, MHD_OPTION_NOTIFY_COMPLETED, on_answered, m,
				     MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)METRICS_IDLE_S,
				     MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)MEMORY_MAX,
				     MHD_OPTION_END);
	m->fd = -1;
	return m->daemon ? 0 : error_set(err, EIO, OBJECT, "start", "libmicrohttpd does not start");
}

static int start(struct metrics *m, struct vmtap_error *err)
{
	const union MHD_DaemonInfo *info;

	if (listen(m->fd, BACKLOG) < 0)
		return error_errno(err, errno, OBJECT, "listen");
	if (start_daemon(m, err) < 0)
		return -1;
	m->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (m->timer < 0)
		return error_errno(err, errno, OBJECT, "make a timer");
	info = MHD_get_daemon_info(m->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	if (!info)
		return error_set(err, ENOTSUP, OBJECT, "start", "libmicrohttpd has no epoll");
	m->watch = vmtap_watch_new(state_instance(m->state), info->epoll_fd, on_ready, m, err);
	m->timer_watch = vmtap_watch_new(state_instance(m->state), m->timer, on_tick, m, err);
	return m->watch && m->timer_watch ? 0 : -1;
}

struct metrics *metrics_new(struct state *s, const struct metrics_config *config,
			    struct vmtap_error *err)
{
	const bool is_unix = strncmp(config->address, UNIX_PREFIX, strlen(UNIX_PREFIX)) == 0;
	struct metrics *m = calloc(1, sizeof(*m));
	int ret;

	if (!m) {
		error_errno(err, ENOMEM, OBJECT, "listen");
		return NULL;
	}
	m->state = s;
	m->fd = m->timer = -1;
	for (unsigned i = 0; i < METRICS_CLIENTS_MAX; i++)
		m->clients[i].fd = -1;
	ret = is_unix ? open_unix(m, config, err) : open_inet(m, config->address, err);
	if (ret < 0 || start(m, err) < 0) {
		metrics_free(m);
		return NULL;
	}
	m->ready = true;
	return m;
}

void metrics_free(struct metrics *m)
{
	if (!m)
		return;
	vmtap_watch_free(m->watch);
	vmtap_watch_free(m->timer_watch);
	if (m->daemon)
		MHD_stop_daemon(m->daemon);
	sockfile_release(&m->file);
	fd_close(&m->fd);
	fd_close(&m->timer);
	free(m);
}
