/* SPDX-License-Identifier: MIT */
/*
 * The life of a connection, seen from the port that embeds it. What can be seen from outside
 * is in test-stream-life.c; here is the rest: ports that refuse, errors, time-outs.
 */
#include "sock-test.h"

#include <sys/resource.h>

#include "base/container.h"
#include "sock/conn.h"

/** struct probe - A port that does nothing with its connections but count them. */
struct probe {
	struct port port;
	struct conn conn;
	int begin_ret;
	unsigned begun, ended;
};

static struct probe *probe_of(struct port *p)
{
	return container_of(p, struct probe, port);
}

static int probe_begin(struct conn *c)
{
	struct probe *p = container_of(c, struct probe, conn);

	assert_true(c->fd >= 0);
	p->begun++;
	if (p->begin_ret == 0)
		port_set_state(&p->port, VMTAP_PORT_UP);
	return p->begin_ret;
}

static void probe_end(struct conn *c)
{
	assert_true(c->fd >= 0);
	container_of(c, struct probe, conn)->ended++;
}

static const struct conn_ops probe_conn_ops = { .begin = probe_begin, .end = probe_end };

static int probe_start(struct port *p, struct vmtap_error *err)
{
	return conn_start(&probe_of(p)->conn, err);
}

static unsigned probe_send(struct port_lane *l, const struct vmtap_frame *frames, unsigned cnt)
{
	return cnt;
}

static int probe_describe(const struct port *p, char *buf, size_t size)
{
	return conn_describe(&container_of(p, const struct probe, port)->conn, buf, size);
}

static int probe_get_fd(const struct port *p, unsigned queue)
{
	return conn_get_fd(&container_of(p, const struct probe, port)->conn);
}

static void probe_close(struct port *p)
{
	conn_close(&probe_of(p)->conn);
}

static void probe_free(struct port *p)
{
	free(probe_of(p));
}

static const struct port_ops probe_ops = {
	.type = "probe",
	.start = probe_start,
	.send = probe_send,
	.describe = probe_describe,
	.get_fd = probe_get_fd,
	.close = probe_close,
	.free = probe_free,
};

static const struct conf_key keys[] = {
	CONN_KEY_SERVER, CONN_KEY_PATH,	     CONN_KEY_FD, CONN_KEY_RECONNECT_MS,
	CONN_KEY_MODE,	 CONN_KEY_RECONNECT, { 0 },
};

static const struct conf_schema schema = { .type = "probe", .keys = keys };

static struct port *probe_new(const struct port_env *env, const struct conn_conf *conf,
			      const char *object, struct vmtap_error *err)
{
	struct probe *p = calloc(1, sizeof(*p));

	assert_non_null(p);
	assert_int_equal(port_init(&p->port, &probe_ops, env, "p0"), 0);
	conn_init(&p->conn, &probe_conn_ops, &p->port, object);
	p->conn.pause_ns = 5 * NSEC_PER_MSEC;
	p->conn.timeout_ns = 5 * NSEC_PER_MSEC;
	if (conn_open(&p->conn, conf, err) == 0)
		return &p->port;
	port_free(&p->port);
	return NULL;
}

static struct port *probe_open(const struct port_env *env, const char *name,
			       const struct conf *conf, struct vmtap_error *err)
{
	struct conn_conf c;

	if (conn_conf_unix(&c, conf, err) < 0)
		return NULL;
	return probe_new(env, &c, conf_object(conf), err);
}

static int probe_check(const struct port_env *env, const struct conf *conf, struct vmtap_error *err)
{
	struct conn_conf c;
	int ret = conn_conf_unix(&c, conf, err);

	return ret < 0 ? ret : conn_check(env, &c, conf_object(conf), err);
}

static const struct port_type probe_type = {
	.schema = &schema,
	.open = probe_open,
	.check = probe_check,
};

static struct probe *start_probe(const char *spec)
{
	start_port(&probe_type, spec);
	return probe_of(t.port);
}

static void expect_describe(const char *text)
{
	char buf[256], want[256];

	expand(text, want, sizeof(want));
	port_describe(t.port, buf, sizeof(buf));
	assert_string_equal(buf, want);
}

static unsigned log_lines(const char *text)
{
	unsigned cnt = 0;

	for (const char *at = t.log; (at = strstr(at, text)); at++)
		cnt++;
	return cnt;
}

static bool is_hung_up(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) == 1 && p.revents & POLLHUP;
}

/* ----------------------------------------------------------------------- options */

static void refuses_options_that_contradict(void **state)
{
	refuse_port(&probe_type, "probe", "no address is given");
	refuse_port(&probe_type, "probe,path={}/s,fd=3", "fd: not together with path=");
	refuse_port(&probe_type, "probe,path={}/s,mode=600", "mode: only with server=on");
	refuse_port(&probe_type, "probe,server=on,path=@s,mode=600", "only for the file");
	refuse_port(&probe_type, "probe,server=on,path={}/s,mode=999", "mode=999");
	refuse_port(&probe_type, "probe,server=on,path={}/s,reconnect-ms=5",
		    "reconnect-ms: not together with server=on");
	refuse_port(&probe_type, "probe,path={}/s,reconnect-ms=5,reconnect=1",
		    "reconnect: not together with reconnect-ms=");
	refuse_port(&probe_type, "probe,fd=3,reconnect-ms=5", "cannot be made again");
	assert_false(has_file("s"));
}

static void checks_what_it_would_open(void **state)
{
	int fd;

	assert_int_equal(check_port(&probe_type, "probe,path={}/s"), -ENOENT);
	assert_int_equal(check_port(&probe_type, "probe,path={}/s,reconnect-ms=5"), 0);
	assert_int_equal(check_port(&probe_type, "probe,server=on,path={}/s"), 0);
	fd = unix_bound(SOCK_STREAM, "s");
	assert_int_equal(check_port(&probe_type, "probe,server=on,path={}/s"), -EADDRINUSE);
	assert_int_equal(check_port(&probe_type, "probe,path={}/s"), 0);
	assert_int_equal(check_port(&probe_type, "probe,fd=99"), -EBADF);
	close(fd);
}

static void takes_unix_sockets_only(void **state)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	char spec[64];

	snprintf(spec, sizeof(spec), "probe,fd=%d", fd);
	assert_int_equal(check_port(&probe_type, spec), -EPROTOTYPE);
	refuse_port(&probe_type, spec, "is no unix socket");
	close(fd);
}

/* --------------------------------------------------------------------- listening */

static void says_who_connected(void **state)
{
	char want[128];
	int fd;

	start_probe("probe,server=on,path={}/s");
	expect_describe("server=on,path={}/s (waiting)");
	fd = unix_connected(SOCK_STREAM, "s");
	until(t.port->state == VMTAP_PORT_UP);
	expect_describe("server=on,path={}/s (connected)");
	snprintf(want, sizeof(want), "p0: connected to process %d of user %u\n", (int)getpid(),
		 (unsigned)getuid());
	assert_non_null(strstr(t.log, want));
	close(fd);
}

static void every_beginning_has_its_end(void **state)
{
	struct probe *p = start_probe("probe,server=on,path={}/s");

	for (unsigned i = 1; i <= 3; i++) {
		int fd = unix_connected(SOCK_STREAM, "s");

		until(p->begun == i);
		assert_int_equal(p->ended, i - 1);
		assert_int_equal(conn_get_fd(&p->conn), p->conn.fd);
		conn_lost(&p->conn, EPIPE, "it was enough");
		assert_int_equal(p->ended, i);
		assert_int_equal(p->conn.fd, -1);
		assert_int_equal(conn_get_fd(&p->conn), p->conn.listen_fd);
		assert_int_equal(t.port->state, VMTAP_PORT_WAITING);
		assert_true(is_hung_up(fd));
		close(fd);
	}
	assert_non_null(strstr(t.log, "disconnected: it was enough; waiting for the next peer"));
}

static void closing_ends_the_connection_once(void **state)
{
	struct probe *p = start_probe("probe,server=on,path={}/s");
	int fd = unix_connected(SOCK_STREAM, "s");

	until(p->begun == 1);
	port_close(t.port);
	assert_int_equal(p->ended, 1);
	assert_true(is_hung_up(fd));
	assert_false(has_file("s"));
	close(fd);
}

static void port_that_was_never_connected_has_nothing_to_end(void **state)
{
	struct probe *p = start_probe("probe,server=on,path={}/s");

	port_close(t.port);
	assert_int_equal(p->begun + p->ended, 0);
}

static void refused_connection_is_closed_and_the_next_one_served(void **state)
{
	struct probe *p = start_probe("probe,server=on,path={}/s");
	int fd;

	p->begin_ret = -ENOMEM;
	fd = unix_connected(SOCK_STREAM, "s");
	until(p->begun == 1);
	assert_true(is_hung_up(fd));
	assert_int_equal(p->ended, 0);
	assert_int_equal(t.port->state, VMTAP_PORT_WAITING);
	assert_int_equal(log_lines("connected to"), 0);
	close(fd);
	p->begin_ret = 0;
	fd = unix_connected(SOCK_STREAM, "s");
	until(t.port->state == VMTAP_PORT_UP);
	assert_int_equal(p->begun, 2);
	close(fd);
}

static void want_of_descriptors_is_a_pause(void **state)
{
	struct rlimit old, few;
	struct probe *p = start_probe("probe,server=on,path={}/s");
	int fd = unix_connected(SOCK_STREAM, "s");

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	few = (struct rlimit) { .rlim_cur = 3, .rlim_max = old.rlim_max };
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	until(strstr(t.log, "cannot accept a connection: Too many open files"));
	assert_true(p->conn.timer.armed);
	assert_int_equal(p->conn.watch.fd, -1);
	assert_int_equal(p->begun, 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	until(p->begun == 1);
	close(fd);
}

/* -------------------------------------------------------------------- what is said */

static const struct vmtap_error wrong = {
	.code = EINVAL,
	.object = "probe",
	.action = "carry out SET_MEM_TABLE",
	.reason = "the memory is private",
	.remedy = "add share=on",
};

static void wrongdoing_is_a_warning_with_its_remedy(void **state)
{
	struct probe *p = start_probe("probe,server=on,path={}/s");
	int fd = unix_connected(SOCK_STREAM, "s");

	until(p->begun == 1);
	conn_broken(&p->conn, &wrong);
	assert_int_equal(t.port->state, VMTAP_PORT_WAITING);
	assert_non_null(strstr(t.log, "disconnected: cannot carry out SET_MEM_TABLE: the memory is "
				      "private; add share=on; waiting for the next peer\n"));
	close(fd);
}

static void wrongdoing_breaks_a_port_that_connects_once(void **state)
{
	int l = unix_bound(SOCK_STREAM, "s");
	struct probe *p = start_probe("probe,path={}/s");

	assert_int_equal(p->begun, 1);
	conn_broken(&p->conn, &wrong);
	assert_int_equal(t.port->state, VMTAP_PORT_BROKEN);
	assert_int_equal(t.port->error.code, EINVAL);
	assert_string_equal(t.port->error.remedy, "add share=on");
	close(l);
}

static void broken_port_says_what_would_help(void **state)
{
	int l = unix_bound(SOCK_STREAM, "s"), fd;
	struct probe *p = start_probe("probe,path={}/s");

	conn_lost(&p->conn, EPIPE, "the peer closed the connection");
	assert_int_equal(t.port->state, VMTAP_PORT_BROKEN);
	assert_int_equal(t.port->error.code, EPIPE);
	assert_string_equal(t.port->error.reason, "the peer closed the connection");
	assert_non_null(strstr(t.port->error.remedy, "add reconnect-ms=1000"));
	expect_describe("path={}/s (broken)");
	port_free(t.port);

	t.named_fd = unix_connected(SOCK_STREAM, "s");
	fd = t.named_fd;
	p = start_probe("probe,fd=given");
	assert_int_equal(conn_get_fd(&p->conn), fd);
	expect_describe("fd=inherited (connected)");
	conn_lost(&p->conn, EPIPE, "the peer closed the connection");
	assert_non_null(strstr(t.port->error.remedy, "inherited"));
	close(l);
}

/* -------------------------------------------------------------------- connecting */

static void refusal_at_the_start_is_an_error(void **state)
{
	int l = unix_bound(SOCK_STREAM, "s");
	struct probe *p;

	t.port = open_port(&probe_type, "probe,path={}/s");
	assert_non_null(t.port);
	expect_describe("path={}/s (connected)");
	p = probe_of(t.port);
	assert_int_equal(p->begun, 0);
	p->begin_ret = -ENOSPC;
	assert_int_equal(port_start(t.port, &t.err), -ENOSPC);
	assert_int_equal(p->conn.fd, -1);
	close(l);
}

static unsigned waiting_infos;

static void count_waiting(void *opaque, enum vmtap_log_level level, const char *object,
			  const char *msg)
{
	waiting_infos += level == VMTAP_LOG_INFO && strncmp(msg, "waiting", 7) == 0;
	keep_line(opaque, level, object, msg);
}

static void waits_between_attempts_and_says_so_once(void **state)
{
	struct probe *p;
	int l;

	waiting_infos = 0;
	t.log_to.write = count_waiting;
	p = start_probe("probe,path={}/s,reconnect-ms=5");
	/* the lines of the attempts that follow are for debugging only */
	until(log_lines("No such file or directory; trying every 5 ms") >= 3);
	assert_int_equal(waiting_infos, 1);
	assert_int_equal(p->begun, 0);
	l = unix_bound(SOCK_STREAM, "s");
	until(t.port->state == VMTAP_PORT_UP);
	conn_lost(&p->conn, EPIPE, "it was enough");
	assert_int_equal(t.port->state, VMTAP_PORT_WAITING);
	assert_non_null(strstr(t.log, "disconnected: it was enough; waiting for the peer\n"));
	until(p->begun == 2);
	close(l);
}

/* A TCP address whose queue is full: attempts to connect get no answer. */
static int silent_listener(struct sock_addr *addr, int *client)
{
	int l = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	*addr = (struct sock_addr) { .len = sizeof(addr->in) };
	addr->in = (struct sockaddr_in) { .sin_family = AF_INET,
					  .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	assert_int_equal(bind(l, &addr->sa, addr->len), 0);
	assert_int_equal(listen(l, 0), 0);
	assert_int_equal(getsockname(l, &addr->sa, &addr->len), 0);
	*client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(*client, &addr->sa, addr->len), 0);
	return l;
}

static void gives_up_who_does_not_answer_and_tries_the_next_address(void **state)
{
	struct conn_conf conf = { .reconnect_ns = NSEC_PER_SEC, .addrs.cnt = 2 };
	struct sockaddr_un un = unix_addr("s");
	int client, silent = silent_listener(&conf.addrs.addr[0], &client);
	int l = unix_bound(SOCK_STREAM, "s");

	conf.addrs.addr[1] = (struct sock_addr) { .un = un, .len = sizeof(un) };
	t.port = probe_new(&t.env, &conf, "probe", &t.err);
	assert_non_null(t.port);
	assert_int_equal(port_start(t.port, &t.err), 0);
	assert_true(probe_of(t.port)->conn.connecting);
	assert_int_equal(port_get_fd(t.port, 0), probe_of(t.port)->conn.next_fd);
	until(t.port->state == VMTAP_PORT_UP);
	assert_int_equal(probe_of(t.port)->conn.addrs.cnt, 2);
	close(l);
	close(silent);
	close(client);
}

static void closing_gives_an_attempt_up(void **state)
{
	struct conn_conf conf = { .reconnect_ns = NSEC_PER_SEC, .addrs.cnt = 1 };
	int client, silent = silent_listener(&conf.addrs.addr[0], &client);

	t.port = probe_new(&t.env, &conf, "probe", &t.err);
	assert_non_null(t.port);
	probe_of(t.port)->conn.timeout_ns = 3600 * NSEC_PER_SEC;
	assert_int_equal(port_start(t.port, &t.err), 0);
	assert_true(probe_of(t.port)->conn.connecting);
	port_close(t.port);
	assert_int_equal(probe_of(t.port)->conn.next_fd, -1);
	assert_false(probe_of(t.port)->conn.timer.armed);
	settle();
	close(silent);
	close(client);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		sock_case(refuses_options_that_contradict),
		sock_case(checks_what_it_would_open),
		sock_case(takes_unix_sockets_only),
		sock_case(says_who_connected),
		sock_case(every_beginning_has_its_end),
		sock_case(closing_ends_the_connection_once),
		sock_case(port_that_was_never_connected_has_nothing_to_end),
		sock_case(refused_connection_is_closed_and_the_next_one_served),
		sock_case(want_of_descriptors_is_a_pause),
		sock_case(wrongdoing_is_a_warning_with_its_remedy),
		sock_case(wrongdoing_breaks_a_port_that_connects_once),
		sock_case(broken_port_says_what_would_help),
		sock_case(refusal_at_the_start_is_an_error),
		sock_case(waits_between_attempts_and_says_so_once),
		sock_case(gives_up_who_does_not_answer_and_tries_the_next_address),
		sock_case(closing_gives_an_attempt_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
