/* SPDX-License-Identifier: MIT */
/*
 * `vmtap __manual`: the port types and their keys in scdoc(5) form, a part of vmtap(1); the commands and events of
 * the control socket, parts of vmtap-qmp(7).
 *
 * The manual is made from the same tables as --help, so that they cannot disagree.
 */
#include <string.h>

#include "cli/cli.h"
#include "ctl/command.h"

/* Nothing in @text is markup. In an example, only the backslash is special to scdoc. */
static void put_text(const char *text, size_t len, bool literal)
{
	for (size_t i = 0; i < len; i++) {
		if (strchr(literal ? "\\" : "\\*_`", text[i]))
			putchar('\\');
		putchar(text[i]);
	}
}

static void put(const char *text)
{
	put_text(text, strlen(text), false);
}

static void put_key(const struct vmtap_key_info *k)
{
	bool unit_said = !k->unit[0] || strstr(k->kind, k->unit);

	printf("*");
	put(k->name);
	printf("* (");
	put(k->kind);
	printf("%s", unit_said ? "" : ", ");
	put(unit_said ? "" : k->unit);
	printf(")%s\n\t", k->required ? ", required" : "");
	put(k->help);
	printf("%s", k->help[0] ? ". " : "");
	if (k->def[0]) {
		printf("Default: ");
		put(k->def);
		printf(".");
	}
	printf("\n\n");
}

/* An indented line is an example, and one that a backslash in front of it continues is, too. */
static bool is_literal(const char *line, bool continued)
{
	return *line == ' ' || continued;
}

/* Paragraphs, with examples between them. */
static void put_help(const char *help)
{
	bool in_literal = false, continued = false;

	while (*help) {
		size_t len = strcspn(help, "\n");
		const char *next = help + len + (help[len] == '\n');
		bool literal = is_literal(help, continued);
		/* an empty line between two lines of an example is a part of it */
		bool blank = !len && in_literal && is_literal(next, false);

		if (!blank && literal != in_literal) {
			puts(in_literal ? "```\n" : "\n```");
			in_literal = literal;
		}
		put_text(help, len, in_literal);
		putchar('\n');
		continued = len && help[len - 1] == '\\';
		help = next;
	}
	puts(in_literal ? "```\n" : "");
}

static void put_type(const struct vmtap_type_info *type)
{
	printf("## ");
	put(type->name);
	printf(": ");
	put(type->summary);
	printf("\n\n");
	put_help(type->help);
	for (unsigned k = 0; k < type->key_cnt; k++)
		put_key(&type->keys[k]);
}

static void manual_types(void)
{
	const struct vmtap_type_info *type;
	const struct vmtap_key_info *key;

	for (unsigned i = 0; (type = vmtap_type_info(i)); i++)
		put_type(type);
	put_type(vmtap_switch_info());
	printf("## " COMMON_TOPIC ": what ports of every type have\n\n");
	put_help(common_help);
	for (unsigned i = 0; (key = vmtap_common_info(i)); i++)
		put_key(key);
}

static void put_args(const struct command_arg *args)
{
	for (; args && args->name; args++) {
		printf("*");
		put(args->name);
		printf("* (%s", kind_name(args->kind));
		if (args->choices) {
			printf(": ");
			put(args->choices);
		}
		if (args->min < args->max)
			printf(" from %lld to %lld", (long long)args->min, (long long)args->max);
		printf(")%s\n\t", args->required ? ", required" : "");
		put(args->help);
		printf("\n\n");
	}
}

static void manual_commands(void)
{
	const struct command *cmd;

	for (unsigned i = 0; (cmd = command_at(i)); i++) {
		printf("## ");
		put(cmd->name);
		printf(" (%s)\n\n", cmd->role == ROLE_READ ? "read" : "admin");
		put(cmd->summary);
		printf(".\n\n");
		put_args(cmd->args);
		if (cmd->others) {
			printf("Further arguments: ");
			put(cmd->others);
			printf(".\n\n");
		}
		printf("Returns ");
		put(cmd->returns ? cmd->returns : "an empty object");
		printf(".\n\n");
	}
}

static void manual_events(void)
{
	const struct event_info *event;

	for (unsigned i = 0; (event = event_at(i)); i++) {
		printf("## ");
		put(event->name);
		printf("\n\n");
		put(event->summary);
		printf(".\n\n");
		put_args(event->data);
	}
}

int cmd_manual(const char *what)
{
	if (strcmp(what, "commands") == 0)
		manual_commands();
	else if (strcmp(what, "events") == 0)
		manual_events();
	else
		manual_types();
	return EXIT_OK;
}
