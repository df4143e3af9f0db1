/* SPDX-License-Identifier: MIT */
/*
 * `vmtap ctl`: the commands of `vmtap serve` in words.
 *
 * Exit status: 1: the server refused; 2: the words are wrong; 3: there is no server.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "ctl/ask.h"
#include "ctl/words.h"

#define WORDS_COLUMN 24

static int print_json(json_t *j, size_t flags)
{
	if (!j)
		return EXIT_FAILED;
	json_dumpf(j, stdout, flags);
	putchar('\n');
	json_decref(j);
	return EXIT_OK;
}

/* ------------------------------------------------------------------------ help */

static void help_args(const struct command *cmd)
{
	for (const struct command_arg *a = cmd->args; a && a->name; a++) {
		printf("    %s%s%s  ", a->required ? "" : "[", a->name, a->required ? "" : "]");
		wrap(stdout, a->help, 8);
	}
	if (cmd->others) {
		printf("    [NAME=VALUE]...  ");
		wrap(stdout, cmd->others, 8);
	}
}

static int help(int argc, char **argv)
{
	const struct command *cmd;
	char words[64];
	int used;

	cmd = argc ? words_command(argc, argv, &used) : NULL;
	if (cmd) {
		printf("vmtap ctl %s: %s.\n", words_of(cmd, words, sizeof(words)), cmd->summary);
		help_args(cmd);
		return EXIT_OK;
	}
	printf("The commands of vmtap ctl, and what follows them:\n\n");
	for (unsigned i = 0; (cmd = command_at(i)); i++) {
		printf("  %-*s", WORDS_COLUMN - 2, words_of(cmd, words, sizeof(words)));
		wrap(stdout, cmd->summary, WORDS_COLUMN);
		help_args(cmd);
	}
	printf("  %-*s", WORDS_COLUMN - 2, "events");
	wrap(stdout, "Print what happens, as it happens, until the server ends", WORDS_COLUMN);
	return EXIT_OK;
}

/* --------------------------------------------------------------------- commands */

static int failed(const struct cli *cli, struct ask *a, const struct vmtap_error *err)
{
	log_failure(cli, err);
	ask_close(a);
	return exit_code_of(err);
}

/* Until the server says that it ends. */
static int events(const struct cli *cli)
{
	struct vmtap_error err = { 0 };
	struct ask *a = ask_open(ask_path(cli->control), &err);
	json_t *event;

	while (a && (event = ask_event(a, &err))) {
		const char *name = json_string_value(json_object_get(event, "event"));
		bool over = name && strcmp(name, "SHUTDOWN") == 0;

		if (cli->json_output) {
			print_json(json_incref(event), JSON_COMPACT);
			fflush(stdout);
		} else {
			show_event(event);
		}
		json_decref(event);
		if (over) {
			ask_close(a);
			return EXIT_OK;
		}
	}
	return failed(cli, a, &err);
}

/* The answer's "return", or why not. */
static int show(const struct cli *cli, const json_t *answer)
{
	const json_t *error = json_object_get(answer, "error");
	json_t *value = json_object_get(answer, "return");
	const char *desc = json_string_value(json_object_get(error, "desc"));

	if (error) {
		fprintf(stderr, "vmtap: %s\n", desc ? desc : "the server refused");
		return EXIT_FAILED;
	}
	if (cli->json_output)
		return print_json(json_incref(value), JSON_COMPACT | JSON_ENCODE_ANY);
	show_answer(value);
	return EXIT_OK;
}

static int run(const struct cli *cli, const struct command *cmd, json_t *args)
{
	/* as QEMU has it, the descriptor comes along: for a shell that is standard input */
	int fd = strcmp(cmd->name, "getfd") == 0 ? STDIN_FILENO : -1;
	struct vmtap_error err = { 0 };
	struct ask *a = ask_open(ask_path(cli->control), &err);
	json_t *answer = a ? ask_run(a, cmd->name, args, fd, &err) : NULL;
	int ret;

	if (!answer)
		return failed(cli, a, &err);
	ret = show(cli, answer);
	json_decref(answer);
	ask_close(a);
	return ret;
}

int cmd_ctl(const struct cli *cli, int argc, char **argv)
{
	struct vmtap_error err = { 0 };
	const struct command *cmd;
	json_t *args;
	int used, ret;

	if (cli->schema)
		return print_json(command_schema(), JSON_INDENT(2));
	if (argc && strcmp(argv[0], "help") == 0)
		return help(argc - 1, argv + 1);
	if (argc == 1 && strcmp(argv[0], "events") == 0)
		return events(cli);
	cmd = words_command(argc, argv, &used);
	if (!cmd) {
		fprintf(stderr, "vmtap: ctl: %s%s; see vmtap ctl help\n",
			argc ? "there is no such command: " : "a command is missing",
			argc ? argv[0] : "");
		return EXIT_USAGE;
	}
	args = words_args(cmd, argc - used, argv + used, &err);
	if (!args) {
		log_failure(cli, &err);
		return EXIT_USAGE;
	}
	ret = run(cli, cmd, args);
	json_decref(args);
	return ret;
}
