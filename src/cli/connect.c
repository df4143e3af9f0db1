/* SPDX-License-Identifier: MIT */
/*
 * `vmtap connect PORT PORT…` and `vmtap check PORT…`.
 *
 * Signals arrive through a signalfd, which also ends a script that hangs.
 * The first SIGINT or SIGTERM closes in order: ports in the reverse order of
 * their opening, down scripts, sockets unlinked.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/notify.h"

/** A switch has no more. */
#define PORTS_MAX 256

struct session {
	const struct cli *cli;
	struct vmtap *v;
	int signal_fd, stats_fd;
	bool over;		 /* as asked by a signal */
	struct vmtap_switch *sw; /* NULL: a link */
	struct stats_row *rows;
	unsigned port_cnt;
	bool failed; /* a port broke */
	bool ended;  /* a signal came while ports were opened */
};

static int failure(const struct cli *cli, const char *action)
{
	struct vmtap_error err = { .code = errno, .object = "vmtap" };

	snprintf(err.action, sizeof(err.action), "%s", action);
	snprintf(err.reason, sizeof(err.reason), "%s", strerror(errno));
	log_failure(cli, &err);
	return EXIT_RESOURCE;
}

static void on_log(void *opaque, enum vmtap_log_level level, const char *object, const char *msg)
{
	struct session *s = opaque;

	log_line((void *)(uintptr_t)s->cli, level, object, msg);
}

static void on_event(void *opaque, struct vmtap_port *port, enum vmtap_port_state state)
{
	struct session *s = opaque;

	if (state == VMTAP_PORT_BROKEN)
		s->failed = true; /* the library has logged why */
}

static struct vmtap *make_instance(struct session *s, struct vmtap_error *err)
{
	struct vmtap_config config = {
		.size = sizeof(config),
		.log_level = s->cli->log_level,
		.log = on_log,
		.event = on_event,
		.opaque = s,
		.engine = s->cli->engine,
		.workers = s->cli->workers,
		.cpus = s->cli->cpus,
		.cpu_cnt = s->cli->cpu_cnt,
		.poll_us = s->cli->poll_us,
	};

	return vmtap_new(&config, err);
}

static int open_signals(struct session *s)
{
	struct sigaction hup;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaction(SIGHUP, NULL, &hup);
	if (hup.sa_handler != SIG_IGN) /* nohup(1) */
		sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	s->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return s->signal_fd < 0 ? failure(s->cli, "watch for signals") : 0;
}

static int open_stats(struct session *s)
{
	double secs = s->cli->stats_s;
	struct itimerspec its = { 0 };

	if (secs <= 0)
		return 0;
	its.it_interval.tv_sec = (time_t)secs;
	its.it_interval.tv_nsec = (long)((secs - (double)(time_t)secs) * 1e9);
	its.it_value = its.it_interval;
	s->stats_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	if (s->stats_fd < 0 || timerfd_settime(s->stats_fd, 0, &its, NULL) < 0)
		return failure(s->cli, "set the timer for --stats");
	return 0;
}

/* Did a signal ask for the end? Once asked, it says so no more: the next one ends a down script. */
static bool signalled(const struct session *s)
{
	struct signalfd_siginfo info;

	return read(s->signal_fd, &info, sizeof(info)) == sizeof(info);
}

static int usage_error(const struct cli *cli, const char *action, const char *reason,
		       const char *remedy)
{
	struct vmtap_error err = { .code = EINVAL, .object = "vmtap" };

	snprintf(err.action, sizeof(err.action), "%s", action);
	snprintf(err.reason, sizeof(err.reason), "%s", reason);
	snprintf(err.remedy, sizeof(err.remedy), "%s", remedy);
	log_failure(cli, &err);
	return EXIT_USAGE;
}

/* "switch", "switch,id=lan" */
static bool is_switch(const char *spec)
{
	size_t len = strlen("switch");

	return strncmp(spec, "switch", len) == 0 && (!spec[len] || spec[len] == ',');
}

static int failed(const struct session *s, const struct vmtap_error *err, int status)
{
	log_failure(s->cli, err);
	return status;
}

/* A description of a switch that does not come first would be one of a port. */
static int check_order(const struct session *s, char **specs, unsigned cnt)
{
	for (unsigned i = 1; i < cnt; i++)
		if (is_switch(specs[i]))
			return usage_error(
				s->cli, "connect",
				is_switch(specs[0]) ? "it joins its ports by one switch, not by two"
						    : "a switch is described before its ports",
				"for example: vmtap connect switch,hub=on tap,ifname=vm0 "
				"stream,server=on,path=/run/vm0.sock");
	return 0;
}

static int open_ports(struct session *s, char **specs, unsigned cnt)
{
	struct vmtap_error err = { 0 };

	for (unsigned i = 0; i < cnt; i++) {
		struct vmtap_port *port = vmtap_port_open(s->v, specs[i], &err);

		if (!port) {
			log_failure(s->cli, &err);
			s->ended = err.code == ECANCELED && signalled(s);
			return s->ended ? EXIT_OK : exit_code_of(&err);
		}
		s->rows[s->port_cnt++].port = port;
	}
	return 0;
}

static int join_ports(struct session *s)
{
	struct vmtap_error err = { 0 };

	if (!s->sw)
		return vmtap_link_new(s->v, s->rows[0].port, s->rows[1].port, &err)
			       ? 0
			       : failed(s, &err, exit_code_of(&err));
	for (unsigned i = 0; i < s->port_cnt; i++)
		if (vmtap_switch_add(s->sw, s->rows[i].port, &err) < 0)
			return failed(s, &err, EXIT_RESOURCE);
	return 0;
}

/* Two ports are a link, more a switch; so are two with a description of one. */
static int open_all(struct session *s, char **specs, unsigned cnt)
{
	const bool described = is_switch(specs[0]);
	struct vmtap_error err = { 0 };
	int ret = check_order(s, specs, cnt);

	if (ret)
		return ret;
	if (cnt < 2u + described)
		return usage_error(s->cli, "connect", "a switch takes two ports or more",
				   "for example: vmtap connect switch,hub=on tap,ifname=vm0 "
				   "stream,server=on,path=/run/vm0.sock");
	if (described || cnt > 2) {
		s->sw = vmtap_switch_new(s->v, described ? specs[0] : "switch", &err);
		if (!s->sw)
			return failed(s, &err, exit_code_of(&err));
	}
	ret = open_ports(s, specs + described, cnt - described);
	return ret || s->ended ? ret : join_ports(s);
}

static void say_ready(const struct session *s)
{
	char what[512];

	for (unsigned i = 0; i < s->port_cnt; i++) {
		vmtap_port_describe(s->rows[i].port, what, sizeof(what));
		log_line((void *)(uintptr_t)s->cli, VMTAP_LOG_INFO,
			 vmtap_port_name(s->rows[i].port), what);
	}
	log_line((void *)(uintptr_t)s->cli, VMTAP_LOG_INFO, "", "ready");
	notify_manager("READY=1");
}

static void on_signal(void *opaque)
{
	struct session *s = opaque;

	s->over |= signalled(s);
}

static void on_tick(void *opaque)
{
	struct session *s = opaque;
	uint64_t ticks;

	if (read(s->stats_fd, &ticks, sizeof(ticks)) == sizeof(ticks))
		stats_live(s->cli, s->rows, s->port_cnt, s->cli->stats_s * (double)ticks);
}

static int run(struct session *s)
{
	struct vmtap_error err = { 0 };

	if (!vmtap_watch_new(s->v, s->signal_fd, on_signal, s, &err) ||
	    (s->stats_fd >= 0 && !vmtap_watch_new(s->v, s->stats_fd, on_tick, s, &err))) {
		log_failure(s->cli, &err);
		return EXIT_RESOURCE;
	}
	while (!s->failed && !s->over) {
		int ret = vmtap_dispatch(s->v, -1);

		if (ret < 0 && ret != -EINTR) {
			errno = -ret;
			return failure(s->cli, "wait for events");
		}
	}
	return s->over ? EXIT_OK : EXIT_FAILED;
}

static void close_fd(int fd)
{
	if (fd >= 0)
		close(fd);
}

static void finish(struct session *s)
{
	notify_manager("STOPPING=1");
	while (s->port_cnt) {
		struct vmtap_port *port = s->rows[--s->port_cnt].port;

		vmtap_port_close(port);
	}
	vmtap_free(s->v);
	close_fd(s->signal_fd);
	close_fd(s->stats_fd);
	free(s->rows);
}

int cmd_connect(const struct cli *cli, int argc, char **argv)
{
	struct session s = { .cli = cli, .signal_fd = -1, .stats_fd = -1 };
	struct vmtap_error err = { 0 };
	int ret;

	if (argc < 2 || argc > PORTS_MAX)
		return usage_error(cli, "connect",
				   argc < 2 ? "it takes two ports or more"
					    : "a switch has no more than 256 ports",
				   "for example: vmtap connect tap,ifname=vm0 "
				   "stream,server=on,path=/run/vm0.sock");
	ret = open_signals(&s);
	if (ret)
		return ret;
	s.rows = calloc((unsigned)argc, sizeof(*s.rows));
	if (!s.rows)
		return failure(cli, "start");
	s.v = make_instance(&s, &err);
	if (!s.v) {
		log_failure(cli, &err);
		free(s.rows);
		return EXIT_RESOURCE;
	}
	vmtap_set_cancel_fd(s.v, s.signal_fd);
	ret = open_all(&s, argv, (unsigned)argc);
	if (!ret && !s.ended)
		ret = open_stats(&s);
	if (!ret && !s.ended) {
		say_ready(&s);
		ret = run(&s);
		if (cli->stats_s > 0)
			stats_summary(cli, s.rows, s.port_cnt);
	}
	finish(&s);
	return ret;
}

int cmd_check(const struct cli *cli, int argc, char **argv)
{
	struct session s = { .cli = cli, .signal_fd = -1, .stats_fd = -1 };
	struct vmtap_error err = { 0 };
	int ret = EXIT_OK;

	if (cli->config && argc == 0)
		return check_file(cli);
	if (argc < 1 || cli->config)
		return usage_error(cli, "check", "it takes at least one port, or -c FILE alone",
				   "for example: vmtap check tap,ifname=vm0,br=br0");
	s.v = make_instance(&s, &err);
	if (!s.v) {
		log_failure(cli, &err);
		return EXIT_RESOURCE;
	}
	for (int i = 0; i < argc; i++) {
		err = (struct vmtap_error) { 0 };
		if (vmtap_port_check(s.v, argv[i], &err) == 0) {
			printf("ok: %s\n", argv[i]);
			continue;
		}
		log_failure(cli, &err);
		if (ret == EXIT_OK)
			ret = exit_code_of(&err);
	}
	vmtap_free(s.v);
	return ret;
}
