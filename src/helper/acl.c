/* SPDX-License-Identifier: MIT */
/* The access list: what a caller may ask for. */
#include "helper/acl.h"

#include <errno.h>
#include <fnmatch.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/fd.h"
#include "helper/list.h"
#include "helper/name.h"

#define BLANK " \t\r\v\f"
#define PATTERN_MAX 64

/* Words that begin a line, besides "include". */
static const struct keyword {
	const char *word;
	enum acl_right right;
	bool deny;
} keywords[] = {
	{ "allow", ACL_BRIDGE, false },	       { "deny", ACL_BRIDGE, true },
	{ "allow-vhost", ACL_VHOST, false },   { "deny-vhost", ACL_VHOST, true },
	{ "allow-ifname", ACL_IFNAME, false }, { "deny-ifname", ACL_IFNAME, true },
	{ "allow-mac", ACL_MAC, false },       { "deny-mac", ACL_MAC, true },
};

/* Where the walk is: a line of a file, reached over @depth includes. */
struct walk {
	const struct acl_request *req;
	struct acl_verdict *v;
	struct vmtap_error *err;
	uid_t owner;
	unsigned files, depth;
	const char *file;
	unsigned number;
};

static int read_file(struct walk *w, int fd, const char *path);

static void remember(struct acl_line *line, const struct walk *w, const char *text)
{
	if (line->number)
		return;
	snprintf(line->file, sizeof(line->file), "%s", w->file);
	snprintf(line->text, sizeof(line->text), "%s", text);
	line->number = w->number;
}

static int mistake(struct walk *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static int mistake(struct walk *w, const char *fmt, ...)
{
	char object[80], reason[240];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(reason, sizeof(reason), fmt, ap);
	va_end(ap);
	snprintf(object, sizeof(object), "%.66s:%u", w->file, w->number);
	error_set(w->err, EINVAL, object, LIST_ACTION, "%s", reason);
	error_remedy(w->err, "nobody gets a bridge before an administrator has mended that line");
	return -EINVAL;
}

/* -------------------------------------------------------------------- includes */

static int skip_file(struct walk *w, const char *path)
{
	w->v->skipped++;
	remember(&w->v->skipped_at, w, path);
	return 0;
}

static int read_include(struct walk *w, const char *path)
{
	struct walk inner = *w;
	cleanup_fd int fd = -1;
	int ret;

	/* the caller chooses the working directory, so nothing may depend on it */
	if (path[0] != '/')
		return mistake(w, "\"include %.80s\": the path does not begin with '/'", path);
	if (w->depth == ACL_DEPTH_MAX)
		return mistake(w, "files include each other more than %d deep; is there a loop?",
			       ACL_DEPTH_MAX);
	fd = list_open(path);
	if (fd == -EACCES || fd == -ENOENT)
		return skip_file(w, path);
	if (fd < 0)
		return mistake(w, "cannot open %.120s: %s", path, strerror(-fd));
	inner.depth++;
	ret = read_file(&inner, fd, path);
	w->files = inner.files;
	return ret;
}

/* ----------------------------------------------------------------------- lines */

/* Does a rule for @bridge and, where the right has one, @pattern speak of what is asked for? */
static bool matches(const struct acl_request *req, enum acl_right right, const char *bridge,
		    const char *pattern)
{
	if (strcmp(bridge, "all") != 0 && strcmp(bridge, req->bridge) != 0)
		return false;
	if (right == ACL_IFNAME)
		return req->ifname && fnmatch(pattern, req->ifname, 0) == 0;
	if (right == ACL_MAC)
		return req->mac && fnmatch(pattern, req->mac, FNM_CASEFOLD) == 0;
	return true;
}

static int read_rule(struct walk *w, const struct keyword *k, char *rest, const char *text)
{
	bool has_pattern = k->right == ACL_IFNAME || k->right == ACL_MAC;
	char *save, *bridge = strtok_r(rest, BLANK, &save);
	char *pattern = has_pattern ? strtok_r(NULL, BLANK, &save) : NULL;
	const char *fault;

	if (!bridge || (has_pattern && !pattern) || strtok_r(NULL, BLANK, &save))
		return mistake(w, "\"%.80s\": after %s come a bridge or \"all\"%s and nothing else",
			       text, k->word, has_pattern ? ", a pattern" : "");
	fault = name_fault(bridge);
	if (fault)
		return mistake(w, "\"%.40s\" is no bridge: %s", bridge, fault);
	if (pattern && strlen(pattern) > PATTERN_MAX)
		return mistake(w, "the pattern is longer than %d characters", PATTERN_MAX);
	if (matches(w->req, k->right, bridge, pattern))
		remember(k->deny ? &w->v->deny[k->right] : &w->v->allow[k->right], w, text);
	return 0;
}

static void cut_blanks(char *end, const char *start)
{
	while (end > start && strchr(BLANK, end[-1]))
		*--end = '\0';
}

/* A comment is a line, or the rest of one, from a '#' that begins a word. */
static void cut_comment(char *line)
{
	char *hash = line;

	while ((hash = strchr(hash, '#'))) {
		if (hash == line || strchr(BLANK, hash[-1])) {
			*hash = '\0';
			break;
		}
		hash++;
	}
	cut_blanks(line + strlen(line), line);
}

static int read_line(struct walk *w, char *line)
{
	char text[sizeof(w->v->skipped_at.text)];
	char *rest;
	size_t len;

	cut_comment(line);
	line += strspn(line, BLANK);
	if (!*line)
		return 0;
	snprintf(text, sizeof(text), "%s", line);
	len = strcspn(line, BLANK);
	rest = line + len + strspn(line + len, BLANK);
	line[len] = '\0';
	if (strcmp(line, "include") == 0)
		return *rest ? read_include(w, rest) : mistake(w, "include what?");
	for (size_t i = 0; i < sizeof(keywords) / sizeof(keywords[0]); i++)
		if (strcmp(line, keywords[i].word) == 0)
			return read_rule(w, &keywords[i], rest, text);
	return mistake(w,
		       "\"%.40s\" is not known: a line begins with allow, deny, allow-vhost, "
		       "allow-ifname, allow-mac (or deny-...), include or #",
		       line);
}

static int read_lines(struct walk *w, char *text, const char *end)
{
	int ret = 0;

	while (!ret && text < end) {
		char *eol = memchr(text, '\n', (size_t)(end - text));
		size_t len = (size_t)((eol ? eol : end) - text);

		w->number++;
		if (len > ACL_LINE_MAX)
			return mistake(w, "the line is longer than %d bytes", ACL_LINE_MAX);
		if (memchr(text, '\0', len))
			return mistake(w, "there is a NUL byte in the line");
		text[len] = '\0';
		ret = read_line(w, text);
		text += len + 1;
	}
	return ret;
}

/* An error of an included file is told with the line that includes it. */
static int cannot_read(const struct walk *w, const struct walk *from)
{
	size_t len;

	if (!w->err)
		return -EINVAL;
	len = strlen(w->err->reason);
	if (from->file)
		snprintf(w->err->reason + len, sizeof(w->err->reason) - len,
			 " (included by %.120s:%u)", from->file, from->number);
	return -w->err->code;
}

static int read_file(struct walk *w, int fd, const char *path)
{
	const struct walk from = *w;
	char *text;
	size_t len;
	int ret;

	if (w->files == ACL_FILES_MAX)
		return mistake(w, "more than %d files are included", ACL_FILES_MAX);
	w->files++;
	text = list_read(fd, path, w->owner, &len, w->err);
	if (!text)
		return cannot_read(w, &from);
	w->file = path;
	w->number = 0;
	ret = read_lines(w, text, text + len);
	free(text);
	return ret;
}

/* -------------------------------------------------------------------- requests */

const char *acl_default(void)
{
	struct stat st;

	return lstat(ACL_LIST, &st) < 0 && errno == ENOENT ? ACL_LIST_QEMU : ACL_LIST;
}

static int cannot_open(int ret, const char *list, const char *bridge, struct vmtap_error *err)
{
	error_set(err, -ret, list, LIST_ACTION, "%s%s", strerror(-ret),
		  strcmp(list, ACL_LIST_QEMU) == 0 ? ", and " ACL_LIST " does not exist" : "");
	if (ret == -EACCES)
		error_remedy(err, "an administrator can let you read it (chmod, chgrp)");
	if (ret == -ENOENT)
		error_remedy(err,
			     "an administrator can create " ACL_LIST " with the line \"allow %s\"",
			     bridge);
	return ret;
}

int acl_read(const char *list, uid_t owner, const struct acl_request *req, struct acl_verdict *v,
	     struct vmtap_error *err)
{
	struct walk w = { .req = req, .v = v, .err = err, .owner = owner };
	cleanup_fd int fd = list_open(list);

	memset(v, 0, sizeof(*v));
	v->list = list;
	if (fd >= 0)
		return read_file(&w, fd, list);
	return cannot_open(fd, list, req->bridge, err);
}

bool acl_asks(const struct acl_request *req, enum acl_right right)
{
	switch (right) {
	case ACL_VHOST:
		return req->vhost;
	case ACL_IFNAME:
		return req->ifname;
	case ACL_MAC:
		return req->mac;
	default:
		return true;
	}
}

/* "allow br0", "allow-ifname br0 vm7": the line that gives the right. */
static void line_text(const struct acl_request *req, enum acl_right right, char *buf, size_t size)
{
	const char *pattern = right == ACL_IFNAME ? req->ifname : right == ACL_MAC ? req->mac : "";
	const char *word = "";

	for (size_t i = 0; i < sizeof(keywords) / sizeof(keywords[0]); i++)
		if (keywords[i].right == right && !keywords[i].deny)
			word = keywords[i].word;
	snprintf(buf, size, "%s %s%s%s", word, req->bridge, *pattern ? " " : "", pattern);
}

int acl_allows(const struct acl_verdict *v, const struct acl_request *req, enum acl_right right,
	       const char *who, struct vmtap_error *err)
{
	static const char *const wishes[ACL_RIGHT_CNT] = {
		[ACL_BRIDGE] = "a TAP on it",
		[ACL_VHOST] = "/dev/vhost-net with a TAP on it",
		[ACL_IFNAME] = "a TAP of that name on it",
		[ACL_MAC] = "a TAP of that address on it",
	};
	const struct acl_line *deny = &v->deny[right];
	char object[80], action[112], line[80], skipped[80] = "";

	if (v->allow[right].number && !deny->number)
		return 0;
	snprintf(object, sizeof(object), "bridge %s", req->bridge);
	snprintf(action, sizeof(action), "give %.70s %s", who, wishes[right]);
	if (deny->number) {
		error_set(err, EACCES, object, action, "%s:%u denies it (\"%s\")", deny->file,
			  deny->number, deny->text);
		error_remedy(err,
			     "an administrator can remove that line, as no allow overrides it");
		return -EACCES;
	}
	if (v->skipped)
		snprintf(skipped, sizeof(skipped), " (and %u included file%s could not be opened)",
			 v->skipped, v->skipped == 1 ? "" : "s");
	line_text(req, right, line, sizeof(line));
	error_set(err, EACCES, object, action, "no line of %s allows it%s", v->list, skipped);
	/* a line that QEMU's helper does not know would make the list useless to it */
	if (right != ACL_BRIDGE && strcmp(v->list, ACL_LIST_QEMU) == 0)
		error_remedy(err,
			     "an administrator can create " ACL_LIST " with the lines "
			     "\"include " ACL_LIST_QEMU "\" and \"%s\"",
			     line);
	else
		error_remedy(err, "an administrator can add the line \"%s\" to %s", line, v->list);
	return -EACCES;
}
