/* SPDX-License-Identifier: MIT */
/* Log lines that the other side of a socket can cause, and which are therefore limited. */
#include "sock/say.h"

#include <stdarg.h>
#include <stdio.h>

void sock_say(struct port *p, struct log_limit *infos, enum vmtap_log_level level, const char *fmt,
	      ...)
{
	unsigned suppressed;
	char text[1100];
	va_list ap;

	if (!log_allow(level < VMTAP_LOG_INFO ? &p->limit : infos, &suppressed))
		return;
	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	if (suppressed)
		log_msg(p->env->log, level, p->name, "%s (%u lines left out before this)", text,
			suppressed);
	else
		log_msg(p->env->log, level, p->name, "%s", text);
}
