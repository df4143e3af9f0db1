/* SPDX-License-Identifier: MIT */
/*
 * Words for the shells' completion, made from the library's one table of types and keys.
 *
 * A line is a word that may stand where the cursor is, and behind a tab what it means:
 *
 *   tap,up=<TAB>set the interface up or down
 *
 * Where a file name is wanted, the only line has the word so far and "FILE": the shell knows better
 * how to complete those.
 */
#include <string.h>

#include "cli/cli.h"
#include "ctl/words.h"

/* A word is what was typed before @at, then @piece. */
static void offer(const char *word, const char *at, const char *piece, size_t len,
		  const char *meaning)
{
	printf("%.*s%.*s\t%s\n", (int)(at - word), word, (int)len, piece, meaning);
}

/* What follows the last comma that separates keys; ",," is a literal one. NULL: there is none. */
static const char *last_key(const char *word)
{
	const char *last = NULL;

	while ((word = strchr(word, ','))) {
		word++;
		if (*word == ',')
			word++;
		else
			last = word;
	}
	return last;
}

static bool ends_with(const char *name, size_t len, const char *end)
{
	size_t end_len = strlen(end);

	return len >= end_len && memcmp(name + len - end_len, end, end_len) == 0;
}

/* QEMU's spellings (addr.path, local.path) are not in the table: their names tell. */
static bool is_file(const struct vmtap_key_info *k, const char *name, size_t len)
{
	return (k && strncmp(k->unit, "path", 4) == 0) || ends_with(name, len, "path") ||
	       ends_with(name, len, "script") || ends_with(name, len, "helper");
}

/* The type's own keys, `id` among them, then those of all types. */
static const struct vmtap_key_info *key_at(const struct vmtap_type_info *type, unsigned index)
{
	return index < type->key_cnt ? &type->keys[index]
				     : vmtap_common_info(index - type->key_cnt + 1);
}

static const struct vmtap_key_info *find_key(const struct vmtap_type_info *type, const char *name,
					     size_t len)
{
	const struct vmtap_key_info *k;

	for (unsigned i = 0; (k = key_at(type, i)); i++)
		if (strlen(k->name) == len && memcmp(k->name, name, len) == 0)
			return k;
	return NULL;
}

static void offer_values(const char *word, const char *at, const struct vmtap_key_info *k)
{
	const char *choices = NULL;

	if (strcmp(k->kind, "on/off") == 0)
		choices = "on|off";
	else if (strncmp(k->kind, "one of ", 7) == 0)
		choices = k->kind + 7;
	while (choices && *choices) {
		size_t len = strcspn(choices, "|");

		offer(word, at, choices, len, "");
		choices += len;
		choices += *choices == '|';
	}
}

/* Is the key given already, in front of @at? Twice is an error. */
static bool is_given(const char *word, const char *at, const char *name)
{
	size_t len = strlen(name);

	for (const char *p = strchr(word, ','); p && p + 1 < at; p = strchr(p + 1, ','))
		if (strncmp(p + 1, name, len) == 0 && strchr("=,", p[1 + len]))
			return true;
	return false;
}

static void offer_keys(const char *word, const char *at, const struct vmtap_type_info *type)
{
	const struct vmtap_key_info *k;
	char key[64];

	for (unsigned i = 0; (k = key_at(type, i)); i++) {
		int len = snprintf(key, sizeof(key), "%s=", k->name);

		if (!is_given(word, at, k->name))
			offer(word, at, key, (size_t)len, k->help);
	}
}

static void offer_types(const char *end)
{
	const struct vmtap_type_info *type;

	for (unsigned i = 0; (type = vmtap_type_info(i)); i++)
		printf("%s%s\t%s\n", type->name, end, type->summary);
}

/* What `vmtap help` explains. */
static void offer_topics(void)
{
	offer_types("");
	printf(COMMON_TOPIC "\tkeys that all of them have\n");
	printf("%s\t%s\n", vmtap_switch_info()->name, vmtap_switch_info()->summary);
}

static void offer_common(void)
{
	const struct vmtap_key_info *k;

	for (unsigned i = 0; (k = vmtap_common_info(i)); i++)
		printf("%s=\t%s\n", k->name, k->help);
}

static const struct vmtap_type_info *find_type(const char *name, size_t len)
{
	const struct vmtap_type_info *type;

	for (unsigned i = 0; (type = vmtap_type_info(i)); i++)
		if (strlen(type->name) == len && memcmp(type->name, name, len) == 0)
			return type;
	return NULL;
}

/* Words that the description @word may become: types, then keys, then values. */
static void complete_port(const char *word)
{
	const char *at = last_key(word), *equals;
	const struct vmtap_type_info *type;
	const struct vmtap_key_info *key;

	if (!at) {
		offer_types(",");
		return;
	}
	type = find_type(word, strcspn(word, ","));
	if (!type)
		return;
	equals = strchr(at, '=');
	if (!equals) {
		offer_keys(word, at, type);
		return;
	}
	key = find_key(type, at, (size_t)(equals - at));
	if (is_file(key, at, (size_t)(equals - at)))
		offer(word, equals + 1, "", 0, "FILE");
	else if (key)
		offer_values(word, equals + 1, key);
}

/* Do the words that were typed begin @name, cut at its dashes? Return: its rest; NULL: no. */
static const char *rest_of(const char *name, int argc, char **argv)
{
	for (int i = 0; i < argc; i++) {
		size_t len = strcspn(name, " ");

		if (strlen(argv[i]) != len || memcmp(argv[i], name, len) != 0 || !name[len])
			return NULL;
		name += len + 1;
	}
	return name;
}

/* The words that may follow those of a command of ctl; the summary where it is the last. */
static void offer_ctl(int argc, char **argv)
{
	const struct command *cmd;
	char words[64], last[64] = "";

	for (unsigned i = 0; (cmd = command_at(i)); i++) {
		const char *rest = rest_of(words_of(cmd, words, sizeof(words)), argc, argv);
		size_t len = rest ? strcspn(rest, " ") : 0;

		if (!rest || (strlen(last) == len && memcmp(last, rest, len) == 0))
			continue; /* said already: commands of a subject stand together */
		snprintf(last, sizeof(last), "%.*s", (int)len, rest);
		printf("%s\t%s\n", last, rest[len] ? "" : cmd->summary);
	}
	if (!argc)
		printf("events\tprint what happens\nhelp\tthe commands and their arguments\n");
}

int cmd_complete(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[0], "port") == 0)
		complete_port(argv[1]);
	else if (argc >= 1 && strcmp(argv[0], "type") == 0)
		offer_types("");
	else if (argc >= 1 && strcmp(argv[0], "ctl") == 0)
		offer_ctl(argc - 1, argv + 1);
	else if (argc >= 1 && strcmp(argv[0], "topic") == 0)
		offer_topics();
	else if (argc >= 1 && strcmp(argv[0], "common") == 0)
		offer_common();
	return EXIT_OK;
}
