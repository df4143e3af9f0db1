/* SPDX-License-Identifier: MIT */
/*
 * Running a bridge helper: a privileged program that makes a TAP on a bridge
 * and sends it back over a unix socket.
 *
 * The call is `HELPER --use-vnet --fd=N --br=BRIDGE`, as QEMU makes it. A
 * helper with white space in it is a shell's command line to which these
 * arguments are appended, --br= only if it has none.
 *
 * What the helper may do wrong: send nothing, too many descriptors, something
 * else, hang, or fail after it sent. Every stray descriptor is closed.
 */
#ifndef PORT_TAP_TAP_HELPER_H
#define PORT_TAP_TAP_HELPER_H

#include <stdbool.h>

#include "base/log.h"

#define HELPER_QUEUES_MAX 64
#define HELPER_FDS_MAX (2 * HELPER_QUEUES_MAX)

/**
 * struct helper_request - What to ask for
 * @object:     for errors
 * @helper:     path or command line; NULL: the first of the usual places that exists
 * @br:         bridge
 * @queues:     1, or more with helpers that know --queues=
 * @vhost:      with as many descriptors of /dev/vhost-net behind them, which takes a helper that knows
 *              --vhost
 * @ifname, @mac: NULL, or passed on as --ifname= and --mac=, which QEMU's helper does not know
 * @timeout_ms: 0: no limit
 */
struct helper_request {
	const char *object;
	const char *helper;
	const char *br;
	unsigned queues;
	bool vhost;
	const char *ifname;
	const char *mac;
	unsigned timeout_ms;
	int cancel_fd;
};

/** helper_default() - The helper that is used when none is named; NULL when there is none. */
const char *helper_default(void);

/** helper_missing() - There is no default one. Return: -ENOENT and @err. */
int helper_missing(const char *object, struct vmtap_error *err);

/** helper_run() - Receives @queues descriptors of the TAP, then, with @vhost, as many of vhost-net; all
 *  owned. Return: 0, or -errno and @err. What the helper wrote to stderr is part of the error, or
 *  logged as a warning. Blocks until it ends. */
int helper_run(const struct helper_request *req, int fds[HELPER_FDS_MAX], const struct log *log,
	       const char *log_name, struct vmtap_error *err);

#endif
