/* SPDX-License-Identifier: MIT */
/*
 * `vmtap capture`: a port of `vmtap serve` to a file, or through a pipe to Wireshark.
 *
 * The files are opened here, with the permissions of whoever calls, and handed to the server, which writes
 * them itself. A pipe goes along whose other end stays here: when this program ends, however it does, so does
 * the capture.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/cli.h"
#include "ctl/ask.h"

#define FILES_MAX VMTAP_CAPTURE_FILES_MAX
#define MEGABYTE 1000000ull

/** struct session - A capture, seen from here. @names: owned; NULL for standard output */
struct session {
	const struct cli *cli;
	struct ask *ask;
	const char *port;
	char *names[FILES_MAX];
	unsigned file_cnt;
	json_t *args;
	const char *id; /* in the answer */
};

static volatile sig_atomic_t lifeline = -1;

/* The server sees the other end, ends the capture, and tells us. Once more: the default, the end. */
static void on_signal(int signo)
{
	if (lifeline >= 0)
		close(lifeline);
	lifeline = -1;
}

static void catch_signals(void)
{
	struct sigaction action = { .sa_handler = on_signal,
				    .sa_flags = SA_RESTART | (int)SA_RESETHAND };

	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
}

static int failure(const struct cli *cli, int code, const char *action, const char *object,
		   const char *reason, const char *remedy)
{
	struct vmtap_error err = { .code = code };

	snprintf(err.object, sizeof(err.object), "%s", object);
	snprintf(err.action, sizeof(err.action), "%s", action);
	snprintf(err.reason, sizeof(err.reason), "%s", reason);
	snprintf(err.remedy, sizeof(err.remedy), "%s", remedy);
	log_failure(cli, &err);
	return exit_code_of(&err);
}

/* ---------------------------------------------------------------------- options */

static int number(const struct cli *cli, const char *what, const char *text, uint64_t max,
		  uint64_t *value)
{
	char *end, remedy[80];

	*value = 0;
	if (!text)
		return 0;
	errno = 0;
	*value = strtoull(text, &end, 10);
	if (text[0] >= '0' && text[0] <= '9' && !*end && !errno && *value <= max)
		return 0;
	snprintf(remedy, sizeof(remedy), "%s takes a number of 0 to %" PRIu64, what, max);
	return failure(cli, EINVAL, "read the option", what, "it is no number, or too large",
		       remedy);
}

static int read_options(struct session *s)
{
	const struct capture_options *o = &s->cli->capture;
	uint64_t snaplen, count, megabytes, files;
	int ret = number(s->cli, "-s", o->snaplen, VMTAP_FRAME_MAX, &snaplen);

	if (!ret)
		ret = number(s->cli, "-c", o->count, INT64_MAX, &count);
	if (!ret)
		ret = number(s->cli, "-C", o->megabytes, INT64_MAX / MEGABYTE, &megabytes);
	if (!ret)
		ret = number(s->cli, "-W", o->files, FILES_MAX, &files);
	if (ret)
		return ret;
	if (!megabytes != !files || files == 1)
		return failure(s->cli, EINVAL, "read the options", "-C and -W",
			       "a ring of files has both: megabytes of each, and 2 to 64 files",
			       "for example: -C 100 -W 10");
	s->file_cnt = files ? (unsigned)files : 1;
	s->args = json_pack("{ss,sI,sI,sb}", "port", s->port, "snaplen", (json_int_t)snaplen,
			    "count", (json_int_t)count, "segment", o->segment);
	if (o->filter)
		json_object_set_new(s->args, "filter", json_string(o->filter));
	if (o->direction)
		json_object_set_new(s->args, "direction", json_string(o->direction));
	if (files)
		json_object_set_new(s->args, "file-size",
				    json_integer((json_int_t)(megabytes * MEGABYTE)));
	return 0;
}

/* ------------------------------------------------------------------------- asking */

/* Return: the answer's "return", borrowed; NULL: it was refused, which was said. */
static json_t *ask(struct session *s, const char *command, json_t *args, int fd, json_t **answer)
{
	struct vmtap_error err = { 0 };
	const char *why;

	*answer = ask_run(s->ask, command, args, fd, &err);
	if (!*answer) {
		log_failure(s->cli, &err);
		return NULL;
	}
	why = json_string_value(json_object_get(json_object_get(*answer, "error"), "desc"));
	if (why)
		fprintf(stderr, "vmtap: %s\n", why);
	return json_object_get(*answer, "return");
}

/* Hand @fd, taken, over. Return: false: it was said why. */
static bool give(struct session *s, int fd, const char *name)
{
	json_t *args = json_pack("{ss}", "fdname", name), *answer = NULL;
	bool ok = ask(s, "getfd", args, fd, &answer) != NULL;

	json_decref(args);
	json_decref(answer);
	close(fd);
	return ok;
}

static void fd_name(char *buf, size_t size, const char *what, unsigned index)
{
	snprintf(buf, size, "capture-%ld-%s%u", (long)getpid(), what, index);
}

static const char *remedy_for(int code)
{
	switch (code) {
	case ENOENT:
	case ENOTDIR:
		return "create the folder, or choose another path; -w - is standard output";
	case EISDIR:
		return "add the name of a file in it";
	case EACCES:
	case EPERM:
	case EROFS:
		return "choose a path that you may write to; -w - is standard output";
	case ENOSPC:
	case EDQUOT:
		return "make room there, or choose another path";
	default:
		return "";
	}
}

static int open_target(struct session *s, unsigned i)
{
	const char *path = s->cli->capture.file;
	int width = s->file_cnt > 10 ? 2 : 1;

	if (strcmp(path, "-") == 0)
		return fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
	if (s->file_cnt == 1)
		s->names[i] = strdup(path);
	else if (asprintf(&s->names[i], "%s%0*u", path, width, i) < 0)
		s->names[i] = NULL;
	return s->names[i] ? open(s->names[i], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY,
				  0644)
			   : -1;
}

static int give_targets(struct session *s)
{
	json_t *names = json_array();
	char name[64];

	json_object_set_new(s->args, "fdnames", names);
	for (unsigned i = 0; i < s->file_cnt; i++) {
		int fd = open_target(s, i), code = errno;

		if (fd < 0)
			return failure(s->cli, code, "write to it", s->names[i] ? s->names[i] : "-",
				       strerror(code), remedy_for(code));
		fd_name(name, sizeof(name), "", i);
		json_array_append_new(names, json_string(name));
		if (!give(s, fd, name))
			return EXIT_RESOURCE;
	}
	return 0;
}

static int give_lifeline(struct session *s)
{
	char name[64];
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return failure(s->cli, errno, "capture", "vmtap", strerror(errno), "");
	fd_name(name, sizeof(name), "life", 0);
	json_object_set_new(s->args, "lifeline", json_string(name));
	lifeline = ends[1];
	return give(s, ends[0], name) ? 0 : EXIT_RESOURCE;
}

/* --------------------------------------------------------------------------- the end */

static json_int_t counter(const json_t *data, const char *name)
{
	return json_integer_value(json_object_get(data, name));
}

static int report(const struct session *s, const json_t *data)
{
	const char *why = json_string_value(json_object_get(data, "reason"));

	if (s->cli->log_level > VMTAP_LOG_ERROR)
		fprintf(stderr,
			"%" JSON_INTEGER_FORMAT " frames captured, %" JSON_INTEGER_FORMAT
			" seen, %" JSON_INTEGER_FORMAT " not wanted by the filter, "
			"%" JSON_INTEGER_FORMAT " dropped because the writer was behind\n",
			counter(data, "written"), counter(data, "seen"), counter(data, "filtered"),
			counter(data, "dropped"));
	/* a reader that leaves is the usual end of a pipe */
	if (!why || counter(data, "errno") == EPIPE)
		return EXIT_OK;
	fprintf(stderr, "vmtap: %s\n", why);
	return EXIT_FAILED;
}

static int wait_end(struct session *s)
{
	struct vmtap_error err = { 0 };
	json_t *event;
	int ret = -1;

	while (ret < 0 && (event = ask_event(s->ask, &err))) {
		const char *name = json_string_value(json_object_get(event, "event"));
		const json_t *data = json_object_get(event, "data");
		const char *id = json_string_value(json_object_get(data, "id"));

		if (name && strcmp(name, "SHUTDOWN") == 0) {
			fprintf(stderr, "vmtap: the server ends, and the capture with it\n");
			ret = EXIT_OK;
		} else if (name && id && strcmp(name, "CAPTURE_ENDED") == 0 &&
			   strcmp(id, s->id) == 0) {
			ret = report(s, data);
		}
		json_decref(event);
	}
	if (ret >= 0)
		return ret;
	log_failure(s->cli, &err);
	return EXIT_FAILED;
}

/* Of a ring, those that it did not come to. */
static void remove_unused(struct session *s, bool all)
{
	struct stat st;

	for (unsigned i = 0; i < s->file_cnt; i++) {
		if (s->names[i] && (all || s->file_cnt > 1) && stat(s->names[i], &st) == 0 &&
		    S_ISREG(st.st_mode) && st.st_size == 0)
			unlink(s->names[i]);
		free(s->names[i]);
	}
}

static int run(struct session *s)
{
	json_t *answer = NULL;
	int ret = give_targets(s);

	if (!ret)
		ret = give_lifeline(s);
	if (ret)
		return ret;
	catch_signals();
	s->id = json_string_value(
		json_object_get(ask(s, "capture_start", s->args, -1, &answer), "id"));
	if (!s->id) {
		json_decref(answer);
		return EXIT_RESOURCE;
	}
	if (s->cli->log_level > VMTAP_LOG_ERROR)
		fprintf(stderr, "capturing on %s; Ctrl-C ends it\n", s->port);
	/* whoever reads must see the end when the server lets go of the pipe */
	if (strcmp(s->cli->capture.file, "-") == 0)
		close(STDOUT_FILENO);
	ret = wait_end(s);
	json_decref(answer);
	return ret;
}

int cmd_capture(const struct cli *cli, int argc, char **argv)
{
	struct session s = { .cli = cli };
	struct vmtap_error err = { 0 };
	int ret;

	if (argc != 1)
		return failure(cli, EINVAL, "capture", "vmtap", "it takes one port's name",
			       "vmtap ctl query-ports lists them; a filter of several words is one "
			       "argument: -f 'tcp port 80'");
	if (!cli->capture.file)
		return failure(cli, EINVAL, "capture", "vmtap", "it is not said where to",
			       "-w FILE, or -w - for standard output, as in -w - | tshark -r -");
	if (strcmp(cli->capture.file, "-") == 0 && isatty(STDOUT_FILENO))
		return failure(cli, EINVAL, "capture", "vmtap", "standard output is a terminal",
			       "pipe it: vmtap capture PORT -w - | tshark -r -");
	s.port = argv[0];
	ret = read_options(&s);
	if (ret)
		return ret;
	s.ask = ask_open(ask_path(cli->control), &err);
	if (!s.ask) {
		log_failure(cli, &err);
		json_decref(s.args);
		return exit_code_of(&err);
	}
	ret = run(&s);
	remove_unused(&s, ret == EXIT_RESOURCE);
	ask_close(s.ask);
	json_decref(s.args);
	return ret;
}
