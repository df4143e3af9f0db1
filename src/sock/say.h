/* SPDX-License-Identifier: MIT */
/* Log lines that the other side of a socket can cause, and which are therefore limited. */
#ifndef SOCK_SAY_H
#define SOCK_SAY_H

#include "net/port.h"

/** sock_say() - Log one line about @p, unless there were too many of its level lately. @infos limits
 *  the life cycle's, so that they do not hide what is wrong. */
void sock_say(struct port *p, struct log_limit *infos, enum vmtap_log_level level, const char *fmt,
	      ...) __attribute__((format(printf, 4, 5)));

#endif
