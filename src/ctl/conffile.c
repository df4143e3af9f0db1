/* SPDX-License-Identifier: MIT */
/* The configuration file of `vmtap serve`: reading it. */
#include "ctl/conffile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/error.h"
#include "conf/nearest.h"

#define SPACE " \t\r"

static const char *const kinds[] = {
	[CONFFILE_SERVE] = "serve",
	[CONFFILE_PORT] = "port",
	[CONFFILE_SWITCH] = "switch",
	[CONFFILE_LINK] = "link",
};
static const char *const serve_keys[] = { "control", "control-mode", "control-group",
					  "metrics", "engine",	     "workers",
					  "cpus",    "poll-us",	     NULL };
static const char *const link_keys[] = { "ports", NULL };

/* ---------------------------------------------------------------------- errors */

static int refuse(const struct conffile *f, unsigned line, struct vmtap_error *err, const char *fmt,
		  ...) __attribute__((format(printf, 4, 5)));

static int refuse(const struct conffile *f, unsigned line, struct vmtap_error *err, const char *fmt,
		  ...)
{
	char why[400];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	error_set(err, EINVAL, "", "read it", "%s", why);
	error_object(err, "%.80s:%u", f->path, line);
	error_remedy(err, "vmtap.conf(5) says what a file may hold");
	return -EINVAL;
}

/* Fill @err: @word is none of @known, which ends with NULL. */
static int unknown(const struct conffile *f, unsigned line, const char *what, const char *word,
		   const char *const *known, struct vmtap_error *err)
{
	struct nearest near = nearest_init(word, strlen(word));

	refuse(f, line, err, "unknown %s \"%.60s\"", what, word);
	for (; *known; known++)
		nearest_try(&near, *known, strlen(*known));
	if (near.best)
		error_remedy(err, "did you mean %s?", near.best);
	return -EINVAL;
}

static int no_memory(const struct conffile *f, struct vmtap_error *err)
{
	return error_errno(err, ENOMEM, f ? f->path : "the configuration", "read it");
}

/* Does a message have the key, as in 'key' or key=? */
static bool names_key(const char *text, const char *key)
{
	char word[CONFFILE_NAME_MAX + 3];

	snprintf(word, sizeof(word), "'%.60s'", key);
	if (strstr(text, word))
		return true;
	snprintf(word, sizeof(word), "%.60s=", key);
	return strstr(text, word);
}

void conffile_blame(const struct conffile *f, const struct conffile_section *section,
		    struct vmtap_error *err)
{
	unsigned line = section->line;
	char object[sizeof(err->object)];

	for (unsigned i = 0; i < section->key_cnt; i++)
		if (names_key(err->reason, section->keys[i].name))
			line = section->keys[i].line;
	snprintf(object, sizeof(object), "%s", err->object);
	error_object(err, "%.80s:%u: %.40s", f->path, line, object);
}

/* ---------------------------------------------------------------------- memory */

/* Room for one more behind @cnt elements of @size; the array grows at powers of two. */
static void *grow(void *array, unsigned cnt, size_t size)
{
	return cnt & (cnt - 1) ? array : realloc(array, (cnt ? 2 * (size_t)cnt : 1) * size);
}

static struct conffile *file_new(const char *path)
{
	struct conffile *f = calloc(1, sizeof(*f));

	if (f)
		f->path = strdup(path);
	if (f && f->path)
		return f;
	free(f);
	return NULL;
}

static void section_fini(struct conffile_section *s)
{
	for (unsigned i = 0; i < s->key_cnt; i++) {
		free(s->keys[i].name);
		free(s->keys[i].value);
	}
	free(s->keys);
	free(s->name);
	free(s->spec);
	free(s->fixed);
}

void conffile_free(struct conffile *f)
{
	if (!f)
		return;
	for (unsigned i = 0; i < f->section_cnt; i++)
		section_fini(&f->sections[i]);
	for (unsigned i = 0; i < f->join_cnt; i++) {
		free(f->joins[i].port);
		free(f->joins[i].to);
	}
	free(f->sections);
	free(f->joins);
	free(f->path);
	free(f);
}

/* ----------------------------------------------------------------------- lines */

static bool is_name(const char *text)
{
	size_t len =
		strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");

	return len && len <= CONFFILE_NAME_MAX && !text[len];
}

/* Without blanks around it. Writes into @text. */
static char *strip(char *text)
{
	size_t len;

	text += strspn(text, SPACE);
	len = strlen(text);
	while (len && strchr(SPACE, text[len - 1]))
		len--;
	text[len] = '\0';
	return text;
}

static int add_section(struct conffile *f, enum conffile_kind kind, const char *name, unsigned line,
		       struct vmtap_error *err)
{
	struct conffile_section *sections;

	if (f->section_cnt == CONFFILE_SECTIONS_MAX)
		return refuse(f, line, err, "there are more than %d sections",
			      CONFFILE_SECTIONS_MAX);
	sections = grow(f->sections, f->section_cnt, sizeof(*sections));
	if (!sections)
		return no_memory(f, err);
	f->sections = sections;
	sections += f->section_cnt;
	*sections = (struct conffile_section) { .kind = kind, .line = line, .name = strdup(name) };
	if (!sections->name)
		return no_memory(f, err);
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
		return refuse(f, line, err, "the section's \"]\" is missing");
	text[len - 1] = '\0';
	text = strip(text);
	name = text + strcspn(text, SPACE);
	if (*name) {
		*name = '\0';
		name = strip(name + 1);
	}
	while (known[kind] && strcmp(known[kind], text) != 0)
		kind++;
	if (!known[kind])
		return unknown(f, line, "section", text, known, err);
	if (kind == CONFFILE_SERVE ? *name != '\0' : !is_name(name))
		return refuse(f, line, err,
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
			return refuse(f, line, err, "\"%s\" is given twice, in line %u, too", name,
				      s->keys[i].line);
	if (s->key_cnt == CONFFILE_KEYS_MAX)
		return refuse(f, line, err, "the section has more than %d keys", CONFFILE_KEYS_MAX);
	keys = grow(s->keys, s->key_cnt, sizeof(*keys));
	if (!keys)
		return no_memory(f, err);
	s->keys = keys;
	keys += s->key_cnt++;
	*keys = (struct conffile_key) { strdup(name), strdup(value), line };
	return keys->name && keys->value ? 0 : no_memory(f, err);
}

static int read_key(struct conffile *f, char *text, unsigned line, struct vmtap_error *err)
{
	char *equal = strchr(text, '='), *name;

	if (!equal)
		return refuse(f, line, err, "it is neither a [section] nor KEY = VALUE");
	if (!f->section_cnt)
		return refuse(f, line, err, "a key before the first [section]");
	*equal = '\0';
	name = strip(text);
	if (!is_name(name))
		return refuse(f, line, err, "\"%.60s\" is no key", name);
	return add_key(f, &f->sections[f->section_cnt - 1], name, unquote(strip(equal + 1)), line,
		       err);
}

static int read_line(struct conffile *f, char *text, unsigned line, struct vmtap_error *err)
{
	for (const char *at = text; *at; at++)
		if (((unsigned char)*at < ' ' && !strchr(SPACE, *at)) || *at == 127)
			return refuse(f, line, err, "there is a control character");
	text = strip(text);
	if (!*text || *text == '#' || *text == ';')
		return 0;
	return *text == '[' ? read_section(f, text + 1, line, err) : read_key(f, text, line, err);
}

static int read_lines(struct conffile *f, const char *text, size_t len, struct vmtap_error *err)
{
	char *copy = strndup(text, len), *at = copy;
	unsigned line = 1;
	int ret = copy ? 0 : no_memory(f, err);

	if (copy && strlen(copy) < len)
		ret = refuse(f, 1, err, "it is no text: there is a zero byte");
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

/* --------------------------------------------------------------------- meaning */

static const struct conffile_key *key_of(const struct conffile_section *s, const char *name)
{
	for (unsigned i = 0; i < s->key_cnt; i++)
		if (strcmp(s->keys[i].name, name) == 0)
			return &s->keys[i];
	return NULL;
}

static int by_name(const void *a, const void *b)
{
	const struct conffile_key *const *x = a, *const *y = b;

	return strcmp((*x)->name, (*y)->name);
}

/* A comma of a value is doubled. */
static void put_value(FILE *out, const char *value)
{
	for (; *value; value++) {
		fputc(*value, out);
		if (*value == ',')
			fputc(',', out);
	}
}

static bool is_live(const char *name)
{
	const struct vmtap_key_info *info;

	for (unsigned i = 0; (info = vmtap_common_info(i)); i++)
		if (strcmp(info->name, name) == 0)
			return info->live;
	return false;
}

/* A description of @keys, sorted, with what can change while the port runs, or without. NULL: out of memory. */
static char *describe(const struct conffile_section *s, const char *type,
		      const struct conffile_key *const *keys, bool with_live)
{
	const char *not_its = s->kind == CONFFILE_PORT ? "type" : "ports";
	char *spec = NULL;
	size_t len;
	FILE *out = open_memstream(&spec, &len);

	if (!out)
		return NULL;
	fprintf(out, "%s,id=%s", type, s->name);
	for (unsigned i = 0; i < s->key_cnt; i++) {
		if (strcmp(keys[i]->name, not_its) == 0 || (!with_live && is_live(keys[i]->name)))
			continue;
		fprintf(out, ",%s=", keys[i]->name);
		put_value(out, keys[i]->value);
	}
	if (fclose(out) == 0)
		return spec;
	free(spec);
	return NULL;
}

static int make_spec(const struct conffile *f, struct conffile_section *s, struct vmtap_error *err)
{
	const struct conffile_key *keys[CONFFILE_KEYS_MAX];
	const struct conffile_key *type = key_of(s, "type");
	bool is_port = s->kind == CONFFILE_PORT;
	const char *word;

	if (is_port && !type)
		return refuse(f, s->line, err, "port %s has no type", s->name);
	if (is_port && !is_name(type->value))
		return refuse(f, type->line, err, "\"%.60s\" is no type", type->value);
	if (key_of(s, "id"))
		return refuse(f, key_of(s, "id")->line, err, "\"id\" is the section's name");
	for (unsigned i = 0; i < s->key_cnt; i++)
		keys[i] = &s->keys[i];
	qsort(keys, s->key_cnt, sizeof(keys[0]), by_name);
	word = is_port ? type->value : "switch";
	s->spec = describe(s, word, keys, true);
	s->fixed = describe(s, word, keys, false);
	return s->spec && s->fixed ? 0 : no_memory(f, err);
}

static bool is_joined(const struct conffile *f, const char *port)
{
	for (unsigned i = 0; i < f->join_cnt; i++)
		if (strcmp(f->joins[i].port, port) == 0 || strcmp(f->joins[i].to, port) == 0)
			return true;
	return false;
}

static int add_join(struct conffile *f, const char *port, const char *to, unsigned line,
		    struct vmtap_error *err)
{
	const char *const ends[] = { port, to };
	struct conffile_join *joins;

	for (unsigned i = 0; i < 2; i++) {
		const struct conffile_section *s = conffile_find(f, ends[i]);

		if (!s || (i == 0 && s->kind != CONFFILE_PORT))
			return refuse(f, line, err, "there is no [port %s]", ends[i]);
		if (s->kind == CONFFILE_PORT && is_joined(f, ends[i]))
			return refuse(f, line, err, "port %s is joined twice", ends[i]);
	}
	if (strcmp(port, to) == 0)
		return refuse(f, line, err, "port %s is joined to itself", port);
	joins = grow(f->joins, f->join_cnt, sizeof(*joins));
	if (!joins)
		return no_memory(f, err);
	f->joins = joins;
	joins += f->join_cnt++;
	*joins = (struct conffile_join) { strdup(port), strdup(to), line };
	return joins->port && joins->to ? 0 : no_memory(f, err);
}

/* Copies the next word, and moves @at behind it. Return: whether there was one. */
static bool next_word(const char **at, char word[CONFFILE_NAME_MAX + 2])
{
	size_t len;

	*at += strspn(*at, SPACE);
	len = strcspn(*at, SPACE);
	snprintf(word, CONFFILE_NAME_MAX + 2, "%.*s", (int)len, *at);
	*at += len;
	return len > 0;
}

static int join_switch(struct conffile *f, const struct conffile_section *s,
		       struct vmtap_error *err)
{
	const struct conffile_key *ports = key_of(s, "ports");
	const char *at = ports ? ports->value : "";
	char port[CONFFILE_NAME_MAX + 2];
	int ret = 0;

	while (!ret && next_word(&at, port))
		ret = add_join(f, port, s->name, ports->line, err);
	return ret;
}

static int join_link(struct conffile *f, const struct conffile_section *s, struct vmtap_error *err)
{
	const struct conffile_key *ports = key_of(s, "ports");
	const char *at = ports ? ports->value : "";
	char a[CONFFILE_NAME_MAX + 2], b[CONFFILE_NAME_MAX + 2], more[CONFFILE_NAME_MAX + 2];
	const struct conffile_section *first;

	if (!ports)
		return refuse(f, s->line, err, "link %s has no ports", s->name);
	if (!next_word(&at, a) || !next_word(&at, b) || next_word(&at, more))
		return refuse(f, ports->line, err,
			      "\"ports\" of a link are two, as in ports = vm0 guest");
	first = conffile_find(f, a);
	if (first && first->kind == CONFFILE_SWITCH) /* the port first */
		return add_join(f, b, a, ports->line, err);
	return add_join(f, a, b, ports->line, err);
}

static int check_keys(const struct conffile *f, const struct conffile_section *s,
		      const char *const *known, struct vmtap_error *err)
{
	for (unsigned i = 0; i < s->key_cnt; i++) {
		unsigned k = 0;

		while (known[k] && strcmp(known[k], s->keys[i].name) != 0)
			k++;
		if (!known[k])
			return unknown(f, s->keys[i].line, "key", s->keys[i].name, known, err);
	}
	return 0;
}

/* Ports and switches share their names; links have names of their own. */
static int check_name(const struct conffile *f, unsigned index, struct vmtap_error *err)
{
	const struct conffile_section *s = &f->sections[index];
	bool joined = s->kind == CONFFILE_PORT || s->kind == CONFFILE_SWITCH;

	for (unsigned i = 0; i < index; i++) {
		const struct conffile_section *o = &f->sections[i];

		if (strcmp(o->name, s->name) == 0 &&
		    (o->kind == s->kind ||
		     (joined && (o->kind == CONFFILE_PORT || o->kind == CONFFILE_SWITCH))))
			return refuse(f, s->line, err, "there is a [%s%s%s] in line %u already",
				      kinds[o->kind], *o->name ? " " : "", o->name, o->line);
	}
	return 0;
}

static int check_section(struct conffile *f, unsigned index, struct vmtap_error *err)
{
	struct conffile_section *s = &f->sections[index];
	int ret = check_name(f, index, err);

	if (ret)
		return ret;
	switch (s->kind) {
	case CONFFILE_SERVE:
		return check_keys(f, s, serve_keys, err);
	case CONFFILE_LINK:
		return check_keys(f, s, link_keys, err);
	case CONFFILE_PORT:
	case CONFFILE_SWITCH:
		break;
	}
	return make_spec(f, s, err);
}

static int understand(struct conffile *f, struct vmtap_error *err)
{
	int ret = 0;

	for (unsigned i = 0; !ret && i < f->section_cnt; i++)
		ret = check_section(f, i, err);
	for (unsigned i = 0; !ret && i < f->section_cnt; i++) {
		if (f->sections[i].kind == CONFFILE_SWITCH)
			ret = join_switch(f, &f->sections[i], err);
		else if (f->sections[i].kind == CONFFILE_LINK)
			ret = join_link(f, &f->sections[i], err);
	}
	return ret;
}

/* ------------------------------------------------------------------------- all */

struct conffile *conffile_parse(const char *path, const char *text, size_t len,
				struct vmtap_error *err)
{
	struct conffile *f = file_new(path);
	int ret;

	if (!f) {
		no_memory(NULL, err);
		return NULL;
	}
	ret = read_lines(f, text, len, err);
	if (!ret)
		ret = understand(f, err);
	if (!ret)
		return f;
	conffile_free(f);
	return NULL;
}

/* Return: bytes read into @text, which has room for one more than the limit; or -errno. */
static ssize_t read_text(const char *path, char *text)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	size_t len = 0;
	ssize_t got = fd < 0 ? -1 : fstat(fd, &st);

	if (got == 0 && !S_ISREG(st.st_mode)) {
		errno = EINVAL;
		got = -1;
	}
	while (got >= 0) {
		got = read(fd, text + len, CONFFILE_SIZE_MAX + 1 - len);
		if (got <= 0)
			break;
		len += (size_t)got;
	}
	if (got < 0)
		got = -errno;
	if (fd >= 0)
		close(fd);
	return got < 0 ? got : (ssize_t)len;
}

static void read_failed(struct vmtap_error *err, int code, const char *path)
{
	error_errno(err, code, path, "read it");
	if (code == ENOENT)
		error_remedy(err, "-c names the file; vmtap.conf(5) says what stands in one");
}

struct conffile *conffile_read(const char *path, struct vmtap_error *err)
{
	char *text = malloc(CONFFILE_SIZE_MAX + 1);
	struct conffile *f = NULL;
	ssize_t len = text ? read_text(path, text) : -ENOMEM;

	if (len > CONFFILE_SIZE_MAX)
		error_set(err, EFBIG, path, "read it", "it has more than 1 MiB");
	else if (len < 0)
		read_failed(err, (int)-len, path);
	else
		f = conffile_parse(path, text, (size_t)len, err);
	free(text);
	return f;
}

const struct conffile_section *conffile_find(const struct conffile *f, const char *name)
{
	for (unsigned i = 0; i < f->section_cnt; i++)
		if (f->sections[i].spec && strcmp(f->sections[i].name, name) == 0)
			return &f->sections[i];
	return NULL;
}

bool conffile_has(const struct conffile *f, const struct conffile_section *section)
{
	const struct conffile_section *s = conffile_find(f, section->name);

	return s && s->kind == section->kind && strcmp(s->fixed, section->fixed) == 0;
}

const struct conffile_section *conffile_serve(const struct conffile *f)
{
	for (unsigned i = 0; i < f->section_cnt; i++)
		if (f->sections[i].kind == CONFFILE_SERVE)
			return &f->sections[i];
	return NULL;
}

const char *conffile_value(const struct conffile_section *section, const char *key)
{
	const struct conffile_key *k = section ? key_of(section, key) : NULL;

	return k ? k->value : NULL;
}

bool conffile_joins(const struct conffile *f, const char *a, const char *b)
{
	for (unsigned i = 0; i < f->join_cnt; i++) {
		const struct conffile_join *j = &f->joins[i];

		if ((strcmp(j->port, a) == 0 && strcmp(j->to, b) == 0) ||
		    (strcmp(j->port, b) == 0 && strcmp(j->to, a) == 0))
			return true;
	}
	return false;
}
