/* SPDX-License-Identifier: MIT */
/* Log lines, handed to whoever owns the instance. */
#include "base/log.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/utf8.h"

#define LIMIT_CNT 5
#define LIMIT_NS (10 * NSEC_PER_SEC)

void log_msg(const struct log *log, enum vmtap_log_level level, const char *object, const char *fmt,
	     ...)
{
	char line[1024];
	va_list ap;

	if (!log || !log->write || level > log->level)
		return;
	va_start(ap, fmt);
	vsnprintf(line, sizeof(line), fmt, ap);
	utf8_trim(line);
	va_end(ap);
	log->write(log->opaque, level, object ? object : "", line);
}

void log_error(const struct log *log, enum vmtap_log_level level, const char *object,
	       const struct vmtap_error *err)
{
	log_msg(log, level, object, "cannot %s: %s%s%s", err->action, err->reason,
		err->remedy[0] ? "; " : "", err->remedy);
}

bool log_allow(struct log_limit *limit, unsigned *suppressed)
{
	uint64_t now = clock_ns();

	*suppressed = 0;
	if (!limit->since_ns || now - limit->since_ns >= LIMIT_NS) {
		*suppressed = limit->suppressed;
		*limit = (struct log_limit) { .since_ns = now };
	}
	if (limit->cnt >= LIMIT_CNT) {
		limit->suppressed++;
		return false;
	}
	limit->cnt++;
	return true;
}
