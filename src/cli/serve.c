/* SPDX-License-Identifier: MIT */
/*
 * `vmtap serve`: ports and joins that a control socket changes while they run.
 *
 * With a configuration file it begins with what the file holds; SIGHUP reads it again. What the file says of
 * the program itself holds from the start on, and the command line goes first.
 *
 * SIGINT and SIGTERM end it in order: clients are told, then ports are closed, the last one first.
 */
#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/fdstore.h"
#include "cli/inherit.h"
#include "cli/notify.h"
#include "cli/service.h"
#include "ctl/ask.h"
#include "ctl/metrics.h"
#include "ctl/reload.h"
#include "ctl/server.h"
#include "ctl/state.h"

/** struct serve - The program while it serves */
struct serve {
	const struct cli *cli;
	struct reload *file; /* NULL: there is none */
	struct state *state;
	struct server *server;
	struct service *service;
	struct inherit inherit; /* what the service manager passed and nobody has taken yet */
	struct fdstore *store;	/* of it, what an earlier run has stored */
	const struct conffile *conffile; /* as it was read first; NULL: there is none */
	struct metrics *metrics;	 /* NULL: nobody asked for them */
	int signal_fd;
	bool hup; /* SIGHUP came */
};

static int failure(const struct cli *cli, const char *action, const char *reason,
		   const char *remedy, int code)
{
	struct vmtap_error err = { .code = code, .object = "vmtap" };

	snprintf(err.action, sizeof(err.action), "%s", action);
	snprintf(err.reason, sizeof(err.reason), "%s", reason);
	snprintf(err.remedy, sizeof(err.remedy), "%s", remedy);
	log_failure(cli, &err);
	return exit_code_of(&err);
}

/* ----------------------------------------------------------------------- options */

static int read_mode(const struct cli *cli, int *mode)
{
	const char *text = cli->control_mode;
	unsigned long value;
	char *end;

	*mode = SERVER_NO_MODE;
	if (!text)
		return 0;
	value = strtoul(text, &end, 8);
	if (text[0] < '0' || text[0] > '7' || *end || value > 0777)
		return failure(cli, "read --control-mode", "it is no octal number from 0 to 777",
			       "--control-mode 666 lets everybody look", EINVAL);
	*mode = (int)value;
	return 0;
}

static int read_group(const struct cli *cli, gid_t *gid)
{
	const struct group *group;
	char *end;
	unsigned long value;

	*gid = SERVER_NO_GROUP;
	if (!cli->control_group)
		return 0;
	group = getgrnam(cli->control_group);
	if (group) {
		*gid = group->gr_gid;
		return 0;
	}
	value = strtoul(cli->control_group, &end, 10);
	if (cli->control_group[0] < '0' || cli->control_group[0] > '9' || *end ||
	    value >= (gid_t)-1)
		return failure(cli, "read --control-group", "there is no such group",
			       "getent group lists them", EINVAL);
	*gid = (gid_t)value;
	return 0;
}

/* What [serve] says, where the command line says nothing. */
static int apply_options(struct cli *cli, const struct conffile *f)
{
	const struct cli given = *cli;

	for (unsigned i = 0; i < f->section_cnt; i++) {
		const struct conffile_section *section = &f->sections[i];

		if (section->kind != CONFFILE_SERVE)
			continue;
		for (unsigned k = 0; k < section->key_cnt; k++) {
			const struct conffile_key *key = &section->keys[k];
			char what[100], reason[100];

			if (option_is_set(&given, key->name) ||
			    option_set(cli, key->name, key->value) == 0)
				continue;
			snprintf(what, sizeof(what), "read %.60s:%u", f->path, key->line);
			snprintf(reason, sizeof(reason), "the value of %.60s cannot be used",
				 key->name);
			return failure(cli, what, reason, "vmtap.conf(5) says what it takes",
				       EINVAL);
		}
	}
	return options_check(cli);
}

/* Where the socket is to be. The folder of the default is made. */
static const char *control_path(const struct cli *cli)
{
	const char *path = ask_path(cli->control);

	if (strcmp(path, SERVER_PATH) == 0)
		mkdir("/run/vmtap", 0755);
	return path;
}

/* ------------------------------------------------------------------------ signals */

static int open_signals(struct serve *s)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	s->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return s->signal_fd < 0 ? failure(s->cli, "watch for signals", strerror(errno), "", errno)
				: 0;
}

static void on_signal(void *opaque)
{
	struct serve *s = opaque;
	struct signalfd_siginfo info;

	while (read(s->signal_fd, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGHUP)
			s->hup = true;
		else
			state_end(s->state);
	}
}

/* ------------------------------------------------------------------------ running */

/* Hundreds of ports have hundreds of descriptors. */
static void allow_descriptors(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

/* The exit code is that of the error. */
static int begin_file(struct serve *s)
{
	struct vmtap_error err = { 0 };
	char status[80];
	int missing;

	if (!s->cli->config)
		return 0;
	s->file = reload_new(s->state, s->cli->config);
	if (!s->file)
		return failure(s->cli, "start", strerror(ENOMEM), "", ENOMEM);
	state_set_file(s->state, s->file);
	missing = reload_start(s->file, &err);
	if (missing < 0) {
		log_failure(s->cli, &err);
		return exit_code_of(&err);
	}
	if (missing) {
		snprintf(status, sizeof(status), "STATUS=%d of what the file says could not be had",
			 missing);
		notify_manager(status);
	}
	return 0;
}

static void on_hup(struct serve *s)
{
	struct vmtap_error err = { 0 };

	if (!s->file) {
		state_log(s->state, VMTAP_LOG_INFO, "",
			  "SIGHUP: there is no file to be read again");
		return;
	}
	service_reloading(s->service);
	if (reload_run(s->file, NULL, &err) < 0)
		log_failure(s->cli, &err);
	service_ready(s->service);
}

/* Before anything else is opened: the numbers are the service manager's. */
static int take_inherited(struct serve *s)
{
	struct vmtap_error err = { 0 };

	if (inherit_take(&s->inherit, &err) < 0) {
		log_failure(s->cli, &err);
		return exit_code_of(&err);
	}
	s->store = fdstore_new(&s->inherit);
	return s->store ? 0 : failure(s->cli, "start", strerror(ENOMEM), "", ENOMEM);
}

/* The socket that the service manager has made, else a path. Return: 0 or an exit status. */
static int find_control(struct serve *s, struct server_config *server)
{
	struct vmtap_error err = { 0 };

	server->fd = inherit_control(&s->inherit, &err);
	if (server->fd < -1) {
		log_failure(s->cli, &err);
		return exit_code_of(&err);
	}
	if (server->fd < 0)
		server->path = control_path(s->cli);
	return 0;
}

/* What nobody wanted is not kept open for nothing, nor passed again. */
static void drop_inherited(struct serve *s)
{
	for (unsigned i = 0; i < s->inherit.cnt; i++) {
		const struct inherited *it = &s->inherit.fds[i];

		if (it->fd < 0)
			continue;
		state_log(
			s->state, VMTAP_LOG_WARNING, "",
			"the descriptor \"%.60s\" of the service manager has no use here and is closed",
			it->name);
		fdstore_remove(it->name);
	}
	inherit_close(&s->inherit);
}

/* @server: whose permissions the file of a unix socket gets, too. Return: an exit status. */
static int begin_metrics(struct serve *s, const struct server_config *server)
{
	const struct metrics_config config = {
		.address = s->cli->metrics,
		.mode = server->mode,
		.group = server->group,
	};
	struct vmtap_error err = { 0 };

	if (!config.address)
		return 0;
	s->metrics = metrics_new(s->state, &config, &err);
	if (s->metrics)
		return 0;
	log_failure(s->cli, &err);
	return exit_code_of(&err);
}

static int start(struct serve *s)
{
	const struct cli *cli = s->cli;
	struct server_config server = { .fd = -1 };
	struct vmtap_config config = {
		.size = sizeof(config),
		.log_level = cli->log_level,
		.log = log_line,
		.opaque = (void *)(uintptr_t)cli,
		.engine = cli->engine,
		.workers = cli->workers,
		.cpus = cli->cpus,
		.cpu_cnt = cli->cpu_cnt,
		.poll_us = cli->poll_us,
	};
	struct vmtap_error err = { 0 };
	int ret = read_mode(cli, &server.mode);

	if (!ret)
		ret = read_group(cli, &server.group);
	if (!ret)
		ret = open_signals(s);
	if (ret)
		return ret;
	ret = find_control(s, &server);
	if (ret)
		return ret;
	s->state = state_new(&config, &err);
	if (s->state)
		s->server = server_new(s->state, &server, &err);
	else if (server.fd >= 0)
		close(server.fd);
	if (s->server)
		s->service = service_new(s->state, &err);
	if (!s->service ||
	    !vmtap_watch_new(state_instance(s->state), s->signal_fd, on_signal, s, &err)) {
		log_failure(cli, &err);
		return exit_code_of(&err);
	}
	ret = begin_metrics(s, &server);
	if (ret)
		return ret;
	fdstore_begin(s->store, s->state, s->conffile);
	ret = begin_file(s);
	if (ret)
		return ret;
	fdstore_settle(s->store);
	drop_inherited(s);
	state_log(s->state, VMTAP_LOG_INFO, "", "ready; control socket \"%s\"",
		  server.path ? server.path : "of the service manager");
	service_ready(s->service);
	return 0;
}

static int run(struct serve *s)
{
	bool more = false;

	while (!state_is_over(s->state)) {
		int ret = vmtap_dispatch(state_instance(s->state), more ? 0 : -1);

		if (ret < 0 && ret != -EINTR)
			return failure(s->cli, "wait for events", strerror(-ret), "", -ret);
		if (s->hup) { /* first: the events of it are for the clients' turns */
			s->hup = false;
			on_hup(s);
		}
		more = server_run(s->server);
		more |= metrics_run(s->metrics);
		service_run(s->service);
	}
	return EXIT_OK;
}

static void finish(struct serve *s)
{
	if (s->server) {
		notify_manager("STOPPING=1");
		ctl_event(s->state, "SHUTDOWN", NULL);
		server_run(s->server);
	}
	metrics_free(s->metrics);
	server_free(s->server);
	service_free(s->service);
	if (s->state)
		vmtap_leave_kept(state_instance(s->state));
	state_free(s->state);
	reload_free(s->file);
	if (s->signal_fd >= 0)
		close(s->signal_fd);
	inherit_close(&s->inherit);
	fdstore_free(s->store);
}

static int serve(const struct cli *cli, const struct conffile *f)
{
	struct serve s = { .cli = cli, .conffile = f, .signal_fd = -1 };
	int ret = take_inherited(&s);

	allow_descriptors();
	if (!ret)
		ret = start(&s);
	if (!ret)
		ret = run(&s);
	finish(&s);
	return ret;
}

/* Return: owned; NULL after a message. */
static struct conffile *read_file(const struct cli *cli, int *ret)
{
	struct vmtap_error err = { 0 };
	struct conffile *f = conffile_read(cli->config, &err);

	if (!f) {
		log_failure(cli, &err);
		*ret = exit_code_of(&err);
	}
	return f;
}

int cmd_serve(const struct cli *cli, int argc, char **argv)
{
	struct cli own = *cli;
	struct conffile *f;
	int ret;

	if (argc)
		return failure(cli, "serve", "it takes no ports on the command line",
			       "add them over the control socket, or put them into a file: -c FILE",
			       EINVAL);
	if (!cli->config)
		return serve(cli, NULL);
	f = read_file(cli, &ret);
	if (!f)
		return ret;
	ret = apply_options(&own, f);
	if (!ret)
		ret = serve(&own, f);
	conffile_free(f);
	return ret;
}

static void say_failed(void *opaque, const struct vmtap_error *err)
{
	log_failure(opaque, err);
}

int check_file(const struct cli *cli)
{
	struct vmtap_config config = { .size = sizeof(config) };
	struct cli own = *cli;
	struct conffile *f;
	struct vmtap *v;
	int ret;

	f = read_file(cli, &ret);
	if (!f)
		return ret;
	ret = apply_options(&own, f);
	v = ret ? NULL : vmtap_new(&config, NULL);
	if (v) {
		int failed = reload_check(v, f, say_failed, (void *)(uintptr_t)cli);

		ret = failed ? exit_code_of(&(struct vmtap_error) { .code = -failed }) : EXIT_OK;
		if (!failed)
			printf("ok: %s\n", cli->config);
	} else if (!ret) {
		ret = failure(cli, "check", strerror(ENOMEM), "", ENOMEM);
	}
	vmtap_free(v);
	conffile_free(f);
	return ret;
}
