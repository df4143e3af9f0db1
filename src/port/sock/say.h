/* SPDX-License-Identifier: MIT */
/* Log lines that the other side of a socket can cause, and which are therefore limited. */
#ifndef PORT_SOCK_SAY_H
#define PORT_SOCK_SAY_H

#include "net/port.h"

/** sock_say() - Log one line about @p, unless there were too many lately. */
void sock_say(struct port *p, enum vmtap_log_level level, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#endif
