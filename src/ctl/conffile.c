/* SPDX-License-Identifier: MIT */
/* The configuration file of `vmtap serve`: reading it, and looking things up in it. */
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
#include "ctl/conffile-int.h"

/* ---------------------------------------------------------------------- errors */

void conffile_place(const struct conffile *f, unsigned line, struct vmtap_error *err)
{
	const char *path = f->path, *cut = "";
	char place[sizeof(err->object)];
	size_t room;

	if (!err)
		return;
	snprintf(place, sizeof(place), err->object[0] ? ":%u: %.40s" : ":%u", line, err->object);
	room = sizeof(err->object) - 1 - strlen(place);
	if (strlen(path) > room) {
		cut = "...";
		path += strlen(path) - (room - strlen(cut));
		while (((unsigned char)*path & 0xc0) == 0x80) /* within a character */
			path++;
	}
	error_object(err, "%s%s%s", cut, path, place);
}

int conffile_refuse(const struct conffile *f, unsigned line, struct vmtap_error *err,
		    const char *fmt, ...)
{
	char why[400];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	error_set(err, EINVAL, "", "read it", "%s", why);
	conffile_place(f, line, err);
	error_remedy(err, "vmtap.conf(5) says what a file may hold");
	return -EINVAL;
}

/* Fill @err: @word is none of @known, which ends with NULL. */
int conffile_unknown(const struct conffile *f, unsigned line, const char *what, const char *word,
		     const char *const *known, struct vmtap_error *err)
{
	struct nearest near = nearest_init(word, strlen(word));

	conffile_refuse(f, line, err, "unknown %s \"%.60s\"", what, word);
	for (; *known; known++)
		nearest_try(&near, *known, strlen(*known));
	if (near.best)
		error_remedy(err, "did you mean %s?", near.best);
	return -EINVAL;
}

int conffile_no_memory(const struct conffile *f, struct vmtap_error *err)
{
	return error_errno(err, ENOMEM, f ? f->path : "the configuration", "read it");
}

static bool is_name_char(char c)
{
	return c && strchr(CONFFILE_NAME_CHARS, c);
}

/* Does a message have the key, as in 'key' or key=, or among those that it begins with, as in "key, other: why"? */
static bool names_key(const char *text, const char *key)
{
	size_t list = strspn(text, CONFFILE_NAME_CHARS ", "), len = strlen(key);

	for (const char *at = strstr(text, key); at; at = strstr(at + 1, key)) {
		char before = at > text ? at[-1] : ' ', behind = at[len];

		if (is_name_char(before) || is_name_char(behind))
			continue;
		if (behind == '=' || (before == '\'' && behind == '\''))
			return true;
		if (text[list] == ':' && at < text + list && (behind == ',' || behind == ':') &&
		    (at < text + 2 || at[-2] == ','))
			return true;
	}
	return false;
}

void conffile_blame(const struct conffile *f, const struct conffile_section *section,
		    struct vmtap_error *err)
{
	unsigned line = section->line;

	for (unsigned i = 0; i < section->key_cnt; i++)
		if (names_key(err->reason, section->keys[i].name))
			line = section->keys[i].line;
	conffile_place(f, line, err);
}

/* ---------------------------------------------------------------------- memory */

/* Room for one more behind @cnt elements of @size; the array grows at powers of two. */
void *conffile_grow(void *array, unsigned cnt, size_t size)
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

/* --------------------------------------------------------------------- reading */

struct conffile *conffile_parse(const char *path, const char *text, size_t len,
				struct vmtap_error *err)
{
	struct conffile *f = file_new(path);
	int ret;

	if (!f) {
		conffile_no_memory(NULL, err);
		return NULL;
	}
	ret = conffile_read_lines(f, text, len, err);
	if (!ret)
		ret = conffile_understand(f, err);
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
	if (code == EINVAL)
		error_set(err, code, path, "read it", "it is no file");
	else
		error_errno(err, code, path, "read it");
	if (code == EACCES)
		error_remedy(err, "user %u must be able to read it", geteuid());
	else if (code == EINVAL || code == ENOENT || code == ENOTDIR)
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

/* ------------------------------------------------------------------ looking up */

const struct conffile_key *conffile_key_of(const struct conffile_section *s, const char *name)
{
	for (unsigned i = 0; i < s->key_cnt; i++)
		if (strcmp(s->keys[i].name, name) == 0)
			return &s->keys[i];
	return NULL;
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
	const struct conffile_key *k = section ? conffile_key_of(section, key) : NULL;

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
