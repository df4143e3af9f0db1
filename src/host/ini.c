/* SPDX-License-Identifier: MIT */
/* Files of sections and keys, as systemd and NetworkManager have them. */
#include "host/ini.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "host/checks.h"

#define BLANK " \t\r\v\f"

static char *trim(char *s)
{
	char *end;

	s += strspn(s, BLANK);
	end = s + strlen(s);
	while (end > s && strchr(BLANK, end[-1]))
		*--end = '\0';
	return s;
}

int ini_parse(char *text, ini_cb *each, void *ctx)
{
	const char *section = "";
	char *line, *save, *equals;
	int ret = 0;

	for (line = strtok_r(text, "\n", &save); line && !ret; line = strtok_r(NULL, "\n", &save)) {
		line = trim(line);
		if (*line == '#' || *line == ';' || !*line)
			continue;
		if (*line == '[' && line[strlen(line) - 1] == ']') {
			line[strlen(line) - 1] = '\0';
			section = line + 1;
			continue;
		}
		equals = strchr(line, '=');
		if (!equals)
			continue;
		*equals = '\0';
		ret = each(ctx, section, trim(line), trim(equals + 1));
	}
	return ret;
}

int ini_read(const char *path, ini_cb *each, void *ctx)
{
	char *text = malloc(INI_SIZE_MAX);
	int ret;

	if (!text)
		return -ENOMEM;
	ret = read_text(path, text, INI_SIZE_MAX);
	if (ret >= 0)
		ret = ini_parse(text, each, ctx);
	free(text);
	return ret;
}

const char *word_next(const char **list, const char *separators, char *buf, size_t size)
{
	size_t len;

	*list += strspn(*list, separators);
	len = strcspn(*list, separators);
	if (!len)
		return NULL;
	memcpy(buf, *list, len < size ? len : size - 1);
	buf[len < size ? len : size - 1] = '\0';
	*list += len;
	return buf;
}
