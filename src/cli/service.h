/* SPDX-License-Identifier: MIT */
/*
 * What a service manager is told while `vmtap serve` runs: that it is alive (the watchdog of
 * sd_watchdog_enabled(3)), and how it is (STATUS=).
 *
 * Threads
 *   The thread that calls vmtap_dispatch(): a watchdog that is fed has seen the control loop turn.
 */
#ifndef CLI_SERVICE_H
#define CLI_SERVICE_H

#include <stdint.h>

#include "ctl/state.h"

struct service;

/** watchdog_parse() - The variables WATCHDOG_USEC and WATCHDOG_PID (NULL: not set) for the process @pid.
 *  Return: 0 and the time in @us, 0: nobody watches; -EINVAL: it is no time. */
int watchdog_parse(const char *usec, const char *pid_text, long pid, uint64_t *us);

/** service_new() - Begin to feed the watchdog, where there is one. The variables are gone afterwards.
 *  Return: owned, free before the state; NULL and @err. */
struct service *service_new(struct state *s, struct vmtap_error *err);
void service_free(struct service *v);

/** service_ready() - READY=1 and the status. */
void service_ready(struct service *v);
/** service_reloading() - A reload begins; service_ready() ends it. */
void service_reloading(struct service *v);
/** service_run() - After each vmtap_dispatch(): the status, if it changed. */
void service_run(struct service *v);

#endif
