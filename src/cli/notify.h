/* SPDX-License-Identifier: MIT */
/* Telling the service manager: the protocol of sd_notify(3). */
#ifndef CLI_NOTIFY_H
#define CLI_NOTIFY_H

#include <stdbool.h>

/** notify_is_on() - Is there a service manager that wants to know? */
bool notify_is_on(void);
/** notify_manager() - Tell it @state, lines of KEY=VALUE. Does nothing when there is none. */
void notify_manager(const char *state);
/** notify_fds() - The same with @cnt descriptors (1..253, the kernel's SCM_MAX_FD), borrowed. Return: 0 or
 *  -errno. */
int notify_fds(const char *state, const int *fds, unsigned cnt);
/** notify_barrier() - Wait until it has taken in all that it was told. Return: 0; -ETIMEDOUT: it did not within
 *  five seconds; another -errno. */
int notify_barrier(void);

#endif
