/* SPDX-License-Identifier: MIT */
/* The parts of the `vmtap` program. It uses the public header only. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#include "vmtap/vmtap.h"

/** Exit codes; documented in vmtap(1). doctor: 1 for warnings, 3 for errors. */
enum {
	EXIT_OK = 0,	   /* ended as asked */
	EXIT_FAILED = 1,   /* a port failed while running, or output could not be written */
	EXIT_USAGE = 2,	   /* the command line is wrong */
	EXIT_RESOURCE = 3, /* a port cannot be opened: permission, name, device, address */
};

#define CPUS_MAX VMTAP_WORKERS_MAX

/** struct capture_options - Of capture, as they were given; NULL: not given. */
struct capture_options {
	const char *file, *filter, *snaplen, *count, *direction, *megabytes, *files;
	bool segment;
};

/** struct ping_options - Of ping; the same. */
struct ping_options {
	const char *interval, *timeout, *source, *vlan;
};

/** struct cli - Options that all commands share. */
struct cli {
	enum vmtap_log_level log_level;
	bool json;	 /* --log-format json */
	double stats_s;	 /* --stats; 0: none */
	double watch_s;	 /* stats, top --watch; 0: not given */
	bool once;	 /* top --once */
	bool prometheus; /* stats --prometheus */
	enum vmtap_engine engine;
	unsigned workers, poll_us;
	unsigned cpus[CPUS_MAX], cpu_cnt;	  /* --cpus; none: anywhere */
	bool json_output;			  /* --json: what a command prints */
	bool wait;				  /* exec --wait */
	bool yes;				  /* reap --yes */
	const char *pid, *cmdline;		  /* doctor --pid, --cmdline; NULL: not given */
	const char *control;			  /* serve, ctl --control; NULL: not given */
	bool schema;				  /* ctl --schema */
	const char *config;			  /* serve, check --config; NULL: not given */
	const char *control_mode, *control_group; /* serve; NULL: not given */
	struct capture_options capture;		  /* ping -c is its count, too */
	struct ping_options ping;
	const char *metrics; /* serve --metrics; NULL: not given */
	unsigned given;	     /* those that a file may have, too: option_is_set() */
};

/** option_set() - An option by its name without the hyphens, from a file. @value: borrowed from now on.
 *  Return: 0, or EXIT_USAGE after a message. */
int option_set(struct cli *cli, const char *name, const char *value);
/** option_is_set() - Did the command line have it? */
bool option_is_set(const struct cli *cli, const char *name);
/** options_check() - Do they fit together? Return: as option_set(). */
int options_check(const struct cli *cli);

/** exit_code_of() - EXIT_USAGE or EXIT_RESOURCE, as fits the error. */
int exit_code_of(const struct vmtap_error *err);

/* log.c ------------------------------------------------------------------- */

/** log_line() - As config.log; @opaque is the struct cli. Never fails visibly. */
void log_line(void *opaque, enum vmtap_log_level level, const char *object, const char *msg);
/** log_failure() - An error object as a line. */
void log_failure(const struct cli *cli, const struct vmtap_error *err);

/* commands ----------------------------------------------------------------- */

int cmd_top(const struct cli *cli, int argc, char **argv);
int cmd_connect(const struct cli *cli, int argc, char **argv);
int cmd_check(const struct cli *cli, int argc, char **argv);
int cmd_exec(const struct cli *cli, int argc, char **argv);
int cmd_list(const struct cli *cli, int argc, char **argv);
int cmd_reap(const struct cli *cli, int argc, char **argv);
int cmd_doctor(const struct cli *cli, int argc, char **argv);
int cmd_ctl(const struct cli *cli, int argc, char **argv);
/** check_file() - `vmtap check -c FILE`. */
int check_file(const struct cli *cli);
int cmd_capture(const struct cli *cli, int argc, char **argv);
int cmd_ping(const struct cli *cli, int argc, char **argv);
int cmd_serve(const struct cli *cli, int argc, char **argv);
int cmd_stats(const struct cli *cli, int argc, char **argv);
int cmd_help(int argc, char **argv);
/** cmd_complete() - Words that may follow, one a line, for the shells' completion. */
int cmd_complete(int argc, char **argv);
/** cmd_manual() - Parts of manual pages, for their build: the port types of vmtap(1); "commands" and "events"
 *  of vmtap-qmp(7). */
int cmd_manual(const char *what);

/** What `vmtap help` explains besides the types: the keys that all of them have. */
#define COMMON_TOPIC "port"

/** common_help - What there is to say about those keys, as the help of a type. */
extern const char *const common_help;
/** usage() - The whole of --help. */
void usage(FILE *out);
/** wrap() - @text, broken at spaces, every line but the first behind @indent spaces. */
void wrap(FILE *out, const char *text, int indent);

/* stats.c ------------------------------------------------------------------ */

/** struct stats_row - What was shown last of a port. */
struct stats_row {
	struct vmtap_port *port;
	struct vmtap_stats last;
};

/** human() - 1234567 as "1.23M": four characters of digits at most. Return: @buf. */
const char *human(double value, char buf[16]);
/** stats_live() - A line a port: what moved since the last call, @interval_s ago. */
void stats_live(const struct cli *cli, struct stats_row *rows, unsigned cnt, double interval_s);
/** stats_summary() - A table of everything since the start. */
void stats_summary(const struct cli *cli, const struct stats_row *rows, unsigned cnt);

/* show.c ------------------------------------------------------------------- */

/** show_answer() - What a server answered, for people: tables and lines. @j is borrowed. */
void show_answer(const json_t *j);
/** show_event() - An event as a line. */
void show_event(const json_t *event);

#endif
