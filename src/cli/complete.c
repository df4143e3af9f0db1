/* SPDX-License-Identifier: MIT */
/* Words for the shells' completion, made from the library's one table of types and keys. */
#include <string.h>

#include "cli/cli.h"

static void complete_value(const struct vmtap_key_info *k, const char *stem, size_t stem_len)
{
	const char *choices = NULL;

	if (strcmp(k->kind, "on/off") == 0)
		choices = "on|off";
	else if (strncmp(k->kind, "one of ", 7) == 0)
		choices = k->kind + 7;
	while (choices && *choices) {
		size_t len = strcspn(choices, "|");

		printf("%.*s%.*s\n", (int)stem_len, stem, (int)len, choices);
		choices += len;
		choices += *choices == '|';
	}
}

/* Words that the description @word may become: types, then keys, then values. */
static void complete_port(const char *word)
{
	const struct vmtap_type_info *type = NULL;
	size_t name = strcspn(word, ",");
	const char *last = strrchr(word, ','), *equals;

	for (unsigned i = 0; (type = vmtap_type_info(i)); i++) {
		if (!last)
			printf("%s,\n", type->name);
		else if (strlen(type->name) == name && strncmp(type->name, word, name) == 0)
			break;
	}
	if (!last || !type)
		return;
	last++;
	equals = strchr(last, '=');
	for (unsigned i = 0; i < type->key_cnt; i++) {
		const struct vmtap_key_info *k = &type->keys[i];

		if (!equals)
			printf("%.*s%s=\n", (int)(last - word), word, k->name);
		else if (strlen(k->name) == (size_t)(equals - last) &&
			 strncmp(k->name, last, (size_t)(equals - last)) == 0)
			complete_value(k, word, (size_t)(equals + 1 - word));
	}
}

int cmd_complete(int argc, char **argv)
{
	const struct vmtap_type_info *type;

	if (argc == 2 && strcmp(argv[0], "port") == 0)
		complete_port(argv[1]);
	else if (argc >= 1 && strcmp(argv[0], "type") == 0)
		for (unsigned i = 0; (type = vmtap_type_info(i)); i++)
			puts(type->name);
	return EXIT_OK;
}
