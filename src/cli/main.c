/* SPDX-License-Identifier: MIT */
/* The `vmtap` program: options and commands. */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"

#define CPU_MAX 1023u
#define POLL_US_MAX 1000000u

enum {
	OPT_LOG_FORMAT = 256,
	OPT_STATS,
	OPT_VERSION,
	OPT_ENGINE,
	OPT_WORKERS,
	OPT_CPUS,
	OPT_POLL_US,
	OPT_JSON,
	OPT_WAIT,
	OPT_PID,
	OPT_CMDLINE,
	OPT_CONTROL,
	OPT_CONTROL_MODE,
	OPT_CONTROL_GROUP,
	OPT_METRICS,
	OPT_SCHEMA,
	OPT_WATCH,
	OPT_PROMETHEUS,
	OPT_ONCE,
	OPT_SEGMENT,
	OPT_TIMEOUT,
	OPT_SOURCE,
	OPT_VLAN,
};

/* A closed stdin, stdout or stderr would be the number of the next socket that is opened. */
static void occupy_stdio(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd > STDERR_FILENO)
		close(fd);
}

static int bad_usage(const char *what, const char *value)
{
	fprintf(stderr, "vmtap: %s%s%s; see vmtap --help\n", what, value ? ": " : "",
		value ? value : "");
	return EXIT_USAGE;
}

/* What was printed is the whole result: say so when it did not get where it should. */
static int printed(int ret)
{
	if (ret != EXIT_OK || (fflush(stdout) == 0 && !ferror(stdout)))
		return ret;
	fprintf(stderr, "vmtap: cannot write the output: %s\n", strerror(errno));
	return EXIT_FAILED;
}

static int parse_seconds(const char *what, const char *text, double *secs)
{
	char *end;

	errno = 0;
	*secs = strtod(text, &end);
	if (end == text || *end || errno || !isfinite(*secs) || *secs < 0.1 || *secs > 86400)
		return bad_usage(what, text);
	return 0;
}

static int parse_engine(struct cli *cli, const char *text)
{
	if (strcmp(text, "auto") == 0)
		cli->engine = VMTAP_ENGINE_AUTO;
	else if (strcmp(text, "io_uring") == 0)
		cli->engine = VMTAP_ENGINE_IO_URING;
	else if (strcmp(text, "plain") == 0)
		cli->engine = VMTAP_ENGINE_PLAIN;
	else
		return bad_usage("--engine is auto, io_uring or plain, not", text);
	return 0;
}

/* A whole number up to @max at the start of @text. Return: what follows it; NULL: there is none. */
static const char *number(const char *text, unsigned max, unsigned *value)
{
	char *end;
	unsigned long n;

	if (*text < '0' || *text > '9')
		return NULL;
	errno = 0;
	n = strtoul(text, &end, 10);
	if (errno || n > max)
		return NULL;
	*value = (unsigned)n;
	return end;
}

static int parse_number(const char *what, const char *text, unsigned max, unsigned *value)
{
	const char *end = number(text, max, value);

	return end && !*end ? 0 : bad_usage(what, text);
}

/* As taskset(1) has it: 0,2-3 */
static int parse_cpus(struct cli *cli, const char *text)
{
	const char *at = text;

	cli->cpu_cnt = 0;
	do {
		unsigned from, to;

		at = number(at, CPU_MAX, &from);
		to = from;
		if (at && *at == '-')
			at = number(at + 1, CPU_MAX, &to);
		if (!at || (*at && *at != ',') || to < from || to - from >= CPUS_MAX - cli->cpu_cnt)
			return bad_usage("--cpus is a list of processors, as in 0,2-3, not", text);
		while (from <= to)
			cli->cpus[cli->cpu_cnt++] = from++;
	} while (*at++);
	return 0;
}

/* Where the value of an option of capture goes. */
static const char **capture_option(struct capture_options *o, int letter)
{
	switch (letter) {
	case 'w':
		return &o->file;
	case 'f':
		return &o->filter;
	case 's':
		return &o->snaplen;
	case 'Q':
		return &o->direction;
	case 'C':
		return &o->megabytes;
	default:
		return &o->files;
	}
}

/* What only makes sense together. */
int options_check(const struct cli *cli)
{
	if (cli->cpu_cnt && !cli->workers)
		return bad_usage("--cpus says where workers run: add --workers N", NULL);
	return 0;
}

int option_set(struct cli *cli, const char *name, const char *value)
{
	if (strcmp(name, "control") == 0)
		cli->control = value;
	else if (strcmp(name, "control-mode") == 0)
		cli->control_mode = value;
	else if (strcmp(name, "control-group") == 0)
		cli->control_group = value;
	else if (strcmp(name, "metrics") == 0)
		cli->metrics = value;
	else if (strcmp(name, "engine") == 0)
		return parse_engine(cli, value);
	else if (strcmp(name, "workers") == 0)
		return parse_number("--workers is a number of threads, 0 to 64, not", value,
				    VMTAP_WORKERS_MAX, &cli->workers);
	else if (strcmp(name, "cpus") == 0)
		return parse_cpus(cli, value);
	else if (strcmp(name, "poll-us") == 0)
		return parse_number("--poll-us is microseconds, 0 to 1000000, not", value,
				    POLL_US_MAX, &cli->poll_us);
	return 0;
}

static const char *const file_options[] = { "control", "control-mode", "control-group", "metrics",
					    "engine",  "workers",      "cpus",		"poll-us" };

/* Of struct cli's @given. */
static unsigned bit_of(const char *name)
{
	for (unsigned i = 0; i < sizeof(file_options) / sizeof(file_options[0]); i++)
		if (strcmp(file_options[i], name) == 0)
			return 1u << i;
	return 0;
}

bool option_is_set(const struct cli *cli, const char *name)
{
	return cli->given & bit_of(name);
}

/* The long name of the option that getopt calls @value. */
static const char *name_of(const struct option *options, int value)
{
	while (options->name && options->val != value)
		options++;
	return options->name ? options->name : "";
}

static int parse_options(struct cli *cli, int argc, char **argv)
{
	static const struct option options[] = {
		{ "help", no_argument, NULL, 'h' },
		{ "verbose", no_argument, NULL, 'v' },
		{ "quiet", no_argument, NULL, 'q' },
		{ "version", no_argument, NULL, OPT_VERSION },
		{ "log-format", required_argument, NULL, OPT_LOG_FORMAT },
		{ "stats", required_argument, NULL, OPT_STATS },
		{ "json", no_argument, NULL, OPT_JSON },
		{ "wait", no_argument, NULL, OPT_WAIT },
		{ "pid", required_argument, NULL, OPT_PID },
		{ "cmdline", required_argument, NULL, OPT_CMDLINE },
		{ "config", required_argument, NULL, 'c' },
		{ "control", required_argument, NULL, OPT_CONTROL },
		{ "control-mode", required_argument, NULL, OPT_CONTROL_MODE },
		{ "control-group", required_argument, NULL, OPT_CONTROL_GROUP },
		{ "segment", no_argument, NULL, OPT_SEGMENT },
		{ "timeout", required_argument, NULL, OPT_TIMEOUT },
		{ "source", required_argument, NULL, OPT_SOURCE },
		{ "vlan", required_argument, NULL, OPT_VLAN },
		{ "metrics", required_argument, NULL, OPT_METRICS },
		{ "schema", no_argument, NULL, OPT_SCHEMA },
		{ "watch", optional_argument, NULL, OPT_WATCH },
		{ "prometheus", no_argument, NULL, OPT_PROMETHEUS },
		{ "once", no_argument, NULL, OPT_ONCE },
		{ "yes", no_argument, NULL, 'y' },
		{ "engine", required_argument, NULL, OPT_ENGINE },
		{ "workers", required_argument, NULL, OPT_WORKERS },
		{ "cpus", required_argument, NULL, OPT_CPUS },
		{ "poll-us", required_argument, NULL, OPT_POLL_US },
		{ 0 },
	};
	int c, ret;

	while ((c = getopt_long(argc, argv, "hvqyw:f:s:c:Q:C:W:i:", options, NULL)) != -1) {
		switch (c) {
		case 'h':
			usage(stdout);
			exit(printed(EXIT_OK));
		case 'v':
			if (cli->log_level < VMTAP_LOG_DEBUG)
				cli->log_level++;
			break;
		case 'q':
			cli->log_level = VMTAP_LOG_ERROR;
			break;
		case OPT_VERSION:
			printf("vmtap %s\n", vmtap_version());
			exit(printed(EXIT_OK));
		case OPT_LOG_FORMAT:
			cli->json = strcmp(optarg, "json") == 0;
			if (!cli->json && strcmp(optarg, "text") != 0)
				return bad_usage("--log-format is text or json, not", optarg);
			break;
		case OPT_JSON:
			cli->json_output = true;
			break;
		case OPT_WAIT:
			cli->wait = true;
			break;
		case 'y':
			cli->yes = true;
			break;
		case OPT_PID:
			cli->pid = optarg;
			break;
		case OPT_CMDLINE:
			cli->cmdline = optarg;
			break;
		case OPT_SCHEMA:
			cli->schema = true;
			break;
		case 'c':
			cli->config = optarg; /* a file; of capture and ping, a number */
			cli->capture.count = optarg;
			break;
		case OPT_CONTROL:
		case OPT_CONTROL_MODE:
		case OPT_CONTROL_GROUP:
		case OPT_METRICS:
		case OPT_ENGINE:
		case OPT_WORKERS:
		case OPT_CPUS:
		case OPT_POLL_US:
			ret = option_set(cli, name_of(options, c), optarg);
			if (ret)
				return ret;
			cli->given |= bit_of(name_of(options, c));
			break;
		case OPT_STATS:
			ret = parse_seconds("--stats takes seconds, 0.1 to 86400, not", optarg,
					    &cli->stats_s);
			if (ret)
				return ret;
			break;
		case OPT_PROMETHEUS:
			cli->prometheus = true;
			break;
		case OPT_ONCE:
			cli->once = true;
			break;
		case OPT_WATCH:
			ret = parse_seconds("--watch takes seconds, 0.1 to 86400, not",
					    optarg ? optarg : "1", &cli->watch_s);
			if (ret)
				return ret;
			break;
		case 'w':
		case 'f':
		case 's':
		case 'Q':
		case 'C':
		case 'W':
			*capture_option(&cli->capture, c) = optarg;
			break;
		case OPT_SEGMENT:
			cli->capture.segment = true;
			break;
		case 'i':
			cli->ping.interval = optarg;
			break;
		case OPT_TIMEOUT:
			cli->ping.timeout = optarg;
			break;
		case OPT_SOURCE:
			cli->ping.source = optarg;
			break;
		case OPT_VLAN:
			cli->ping.vlan = optarg;
			break;
		default: /* getopt has said what is wrong */
			return bad_usage("that option cannot be used", NULL);
		}
	}
	return options_check(cli);
}

int exit_code_of(const struct vmtap_error *err)
{
	switch (err->code) {
	case EINVAL:
	case ENAMETOOLONG:
	case EMEDIUMTYPE:
		return EXIT_USAGE;
	default:
		return EXIT_RESOURCE;
	}
}

static const struct {
	const char *name;
	int (*run)(const struct cli *cli, int argc, char **argv);
	bool prints; /* that is what it is for */
} commands[] = {
	{ "connect", cmd_connect, false }, { "check", cmd_check, true },
	{ "exec", cmd_exec, false },	   { "list", cmd_list, true },
	{ "reap", cmd_reap, true },	   { "doctor", cmd_doctor, true },
	{ "serve", cmd_serve, false },	   { "ctl", cmd_ctl, true },
	{ "stats", cmd_stats, true },	   { "top", cmd_top, true },
	{ "capture", cmd_capture, false }, { "ping", cmd_ping, true },
};

int main(int argc, char **argv)
{
	struct cli cli = { .log_level = VMTAP_LOG_WARNING };
	const char *command;
	int ret;

	occupy_stdio();
	signal(SIGPIPE, SIG_IGN);
	signal(SIGCHLD, SIG_DFL); /* ignored, it would hide how a program ended */
	if (argc > 1 && strcmp(argv[1], "__complete") == 0) /* its words may look like options */
		return cmd_complete(argc - 2, argv + 2);
	if (argc >= 2 && argc <= 3 && strcmp(argv[1], "__manual") == 0)
		return cmd_manual(argc == 3 ? argv[2] : "types");
	ret = parse_options(&cli, argc, argv);
	if (ret)
		return ret;
	command = argv[optind];
	if (!command)
		return bad_usage(
			"a command is missing: connect, serve, ctl, stats, top, ping, capture, check, exec, list, reap, doctor or help",
			NULL);
	argc -= optind + 1;
	argv += optind + 1;
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		if (strcmp(command, commands[i].name) != 0)
			continue;
		ret = commands[i].run(&cli, argc, argv);
		return commands[i].prints ? printed(ret) : ret;
	}
	if (strcmp(command, "help") == 0)
		return printed(cmd_help(argc, argv));
	return bad_usage(
		"there is no such command (connect, serve, ctl, stats, top, ping, capture, check, exec, list, reap, doctor, help)",
		command);
}
