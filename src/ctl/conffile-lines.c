/* SPDX-License-Identifier: MIT */
/* The configuration file of `vmtap serve`: from lines to sections and their keys. */
#include <stdlib.h>
#include <string.h>

#include "ctl/conffile-int.h"

bool conffile_is_name(const char *text)
{
	size_t len = strspn(text, CONFFILE_NAME_CHARS);

	return len && len <= CONFFILE_NAME_MAX && !text[len];
}

/* Without blanks around it. Writes into @text. */
static char *strip(char *text)
{
	size_t len;

	text += strspn(text, CONFFILE_SPACE);
	len = strlen(text);
	while (len && strchr(CONFFILE_SPACE, text[len - 1]))
		len--;
	text[len] = '\0';
	return text;
}

static int add_section(struct conffile *f, enum conffile_kind kind, const char *name, unsigned line,
		       struct vmtap_error *err)
{
	struct conffile_section *sections;

	if (f->section_cnt == CONFFILE_SECTIONS_MAX)
		return conffile_refuse(f, line, err, "there are more than %d sections",
				       CONFFILE_SECTIONS_MAX);
	sections = conffile_grow(f->sections, f->section_cnt, sizeof(*sections));
	if (!sections)
		return conffile_no_memory(f, err);
	f->sections = sections;
	sections += f->section_cnt;
	*sections = (struct conffile_section) { .kind = kind, .line = line, .name = strdup(name) };
	if (!sections->name)
		return conffile_no_memory(f, err);
	f->section_cnt++;
	return 0;
}

/* "[port vm0]", without the first bracket. */
static int read_section(struct conffile *f, char *text, unsigned line, struct vmtap_error *err)
{
	static const char *const known[] = { "serve", "port", "link", "switch", NULL };
	size_t len = strlen(text);
	unsigned kind = 0;
	char *name;

	if (!len || text[len - 1] != ']')
		return conffile_refuse(f, line, err, "the section's \"]\" is missing");
	text[len - 1] = '\0';
	text = strip(text);
	name = text + strcspn(text, CONFFILE_SPACE);
	if (*name) {
		*name = '\0';
		name = strip(name + 1);
	}
	while (known[kind] && strcmp(known[kind], text) != 0)
		kind++;
	if (!known[kind])
		return conffile_unknown(f, line, "section", text, known, err);
	if (kind == CONFFILE_SERVE ? *name != '\0' : !conffile_is_name(name))
		return conffile_refuse(
			f, line, err,
			kind == CONFFILE_SERVE
				? "[%s] has no name"
				: "[%s NAME] needs a name of letters, digits, \".\", \"_\", "
				  "\"-\", 60 at most",
			text);
	return add_section(f, kind, name, line, err);
}

/* A value in quotes is what is between them. */
static char *unquote(char *value)
{
	size_t len = strlen(value);

	if (len < 2 || value[0] != '"' || value[len - 1] != '"')
		return value;
	value[len - 1] = '\0';
	return value + 1;
}

static int add_key(struct conffile *f, struct conffile_section *s, const char *name,
		   const char *value, unsigned line, struct vmtap_error *err)
{
	struct conffile_key *keys;

	for (unsigned i = 0; i < s->key_cnt; i++)
		if (strcmp(s->keys[i].name, name) == 0)
			return conffile_refuse(f, line, err,
					       "\"%s\" is given twice, in line %u, too", name,
					       s->keys[i].line);
	if (s->key_cnt == CONFFILE_KEYS_MAX)
		return conffile_refuse(f, line, err, "the section has more than %d keys",
				       CONFFILE_KEYS_MAX);
	keys = conffile_grow(s->keys, s->key_cnt, sizeof(*keys));
	if (!keys)
		return conffile_no_memory(f, err);
	s->keys = keys;
	keys += s->key_cnt++;
	*keys = (struct conffile_key) { strdup(name), strdup(value), line };
	return keys->name && keys->value ? 0 : conffile_no_memory(f, err);
}

static int read_key(struct conffile *f, char *text, unsigned line, struct vmtap_error *err)
{
	char *equal = strchr(text, '='), *name;

	if (!equal)
		return conffile_refuse(f, line, err, "it is neither a [section] nor KEY = VALUE");
	if (!f->section_cnt)
		return conffile_refuse(f, line, err, "a key before the first [section]");
	*equal = '\0';
	name = strip(text);
	if (!conffile_is_name(name))
		return conffile_refuse(f, line, err, "\"%.60s\" is no key", name);
	return add_key(f, &f->sections[f->section_cnt - 1], name, unquote(strip(equal + 1)), line,
		       err);
}

static int read_line(struct conffile *f, char *text, unsigned line, struct vmtap_error *err)
{
	for (const char *at = text; *at; at++)
		if (((unsigned char)*at < ' ' && !strchr(CONFFILE_SPACE, *at)) || *at == 127)
			return conffile_refuse(f, line, err, "there is a control character");
	text = strip(text);
	if (!*text || *text == '#' || *text == ';')
		return 0;
	return *text == '[' ? read_section(f, text + 1, line, err) : read_key(f, text, line, err);
}

int conffile_read_lines(struct conffile *f, const char *text, size_t len, struct vmtap_error *err)
{
	char *copy = strndup(text, len), *at = copy;
	unsigned line = 1;
	int ret = copy ? 0 : conffile_no_memory(f, err);

	if (copy && strlen(copy) < len)
		ret = conffile_refuse(f, 1, err, "it is no text: there is a zero byte");
	while (!ret && at) {
		char *next = strchr(at, '\n');

		if (next)
			*next++ = '\0';
		ret = read_line(f, at, line++, err);
		at = next;
	}
	free(copy);
	return ret;
}
