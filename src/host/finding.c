/* SPDX-License-Identifier: MIT */
/* Findings while they are written: an object, what, why and remedy, made fit to be shown. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "conf/text.h"
#include "host/checks.h"

/* Names that anybody may have chosen are in these texts, and terminals obey control characters. */
static void clean(char *text)
{
	size_t len = strlen(text), n = 0;

	while (n < len) {
		n += text_clean_len(text + n, len - n);
		if (n < len)
			text[n++] = '?';
	}
}

static void flush(struct doctor *d)
{
	struct finding_text *t = &d->text;
	struct vmtap_finding f = {
		.severity = t->severity,
		.check = d->check,
		.object = t->object,
		.what = t->what,
		.why = t->why,
		.remedy = t->remedy,
	};

	if (!d->pending)
		return;
	d->pending = false;
	clean(t->object);
	clean(t->what);
	clean(t->why);
	clean(t->remedy);
	if (f.severity > d->worst)
		d->worst = f.severity;
	d->found(d->opaque, &f);
}

static void object_end(struct doctor *d)
{
	flush(d);
	if (d->text.object[0] && !d->said && d->fine[0]) {
		finding(d, VMTAP_FINDING_OK, "%s", d->fine);
		flush(d);
	}
	d->text.object[0] = '\0';
}

void check_begin(struct doctor *d, const char *name, const char *fine)
{
	d->check = name;
	d->fine = fine;
	d->text.object[0] = '\0';
}

void check_end(struct doctor *d)
{
	object_end(d);
}

void about(struct doctor *d, const char *fmt, ...)
{
	va_list ap;

	object_end(d);
	d->said = false;
	va_start(ap, fmt);
	vsnprintf(d->text.object, sizeof(d->text.object), fmt, ap);
	va_end(ap);
}

void finding(struct doctor *d, enum vmtap_severity severity, const char *fmt, ...)
{
	va_list ap;

	flush(d);
	d->said = d->pending = true;
	d->text.severity = severity;
	d->text.why[0] = d->text.remedy[0] = '\0';
	va_start(ap, fmt);
	vsnprintf(d->text.what, sizeof(d->text.what), fmt, ap);
	va_end(ap);
}

void why(struct doctor *d, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(d->text.why, sizeof(d->text.why), fmt, ap);
	va_end(ap);
}

void remedy(struct doctor *d, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(d->text.remedy, sizeof(d->text.remedy), fmt, ap);
	va_end(ap);
}

static bool is_plain(const char *word)
{
	static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
				    "_@%+=:,./-";

	return word[0] && word[strspn(word, plain)] == '\0';
}

/* 'word', and a ' within it as '\''; what is not clean as $'\xNN'. */
const char *shell(struct doctor *d, const char *word)
{
	char *buf = d->shell[d->shell_next++ % 4];
	bool unclean = text_clean_len(word, strlen(word)) < strlen(word);
	size_t len = 0;

	if (is_plain(word) && strlen(word) < SHELL_SIZE) {
		strcpy(buf, word);
		return buf;
	}
	len = (size_t)snprintf(buf, SHELL_SIZE, "%s'", unclean ? "$" : "");
	for (const char *c = word; *c && len < SHELL_SIZE - 8; c++) {
		if (unclean && (*c == '\\' || *c == '\'' || *c < 0x20 || *c > 0x7e))
			len += (size_t)snprintf(buf + len, 5, "\\x%02x", (unsigned char)*c);
		else if (*c == '\'')
			len += (size_t)snprintf(buf + len, 5, "'\\''");
		else
			buf[len++] = *c;
	}
	buf[len++] = '\'';
	buf[len] = '\0';
	return buf;
}
