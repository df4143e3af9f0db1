/* SPDX-License-Identifier: MIT */
/* Filling in struct vmtap_error, the object that explains a failure. */
#include "base/error.h"

#include <stdio.h>
#include <string.h>

#include "base/utf8.h"

static void copy_text(char *to, size_t size, const char *from)
{
	size_t len = strnlen(from, size - 1);

	memcpy(to, from, len);
	to[len] = '\0';
	utf8_trim(to);
}

int error_set(struct vmtap_error *err, int code, const char *object, const char *action,
	      const char *fmt, ...)
{
	va_list ap;

	if (!err)
		return -code;
	memset(err, 0, sizeof(*err));
	err->code = code;
	copy_text(err->object, sizeof(err->object), object);
	copy_text(err->action, sizeof(err->action), action);
	va_start(ap, fmt);
	vsnprintf(err->reason, sizeof(err->reason), fmt, ap);
	utf8_trim(err->reason);
	va_end(ap);
	return -code;
}

int error_errno(struct vmtap_error *err, int code, const char *object, const char *action)
{
	return error_set(err, code, object, action, "%s", strerror(code));
}

void error_remedy(struct vmtap_error *err, const char *fmt, ...)
{
	va_list ap;

	if (!err)
		return;
	va_start(ap, fmt);
	vsnprintf(err->remedy, sizeof(err->remedy), fmt, ap);
	utf8_trim(err->remedy);
	va_end(ap);
}

void error_object(struct vmtap_error *err, const char *fmt, ...)
{
	va_list ap;

	if (!err)
		return;
	va_start(ap, fmt);
	vsnprintf(err->object, sizeof(err->object), fmt, ap);
	utf8_trim(err->object);
	va_end(ap);
}
