/* SPDX-License-Identifier: MIT */
/*
 * Descriptors of /dev/vhost-net, opened with the program's own right to it.
 *
 * Problem: the list must be read before it is known whether the device may be
 * opened, and by then every right to files is gone.
 *
 * Model: where the program has such a right (set-uid, set-gid,
 * CAP_DAC_OVERRIDE), a second process keeps it, and nothing else. It reads no
 * input but one byte from the first one, opens the device that many times and
 * sends the descriptors, or ends with the errno as its status. Without such a
 * right there is no second process, and the caller's own right counts.
 */
#ifndef HELPER_VHOST_H
#define HELPER_VHOST_H

#include <sys/types.h>

#include "helper/privilege.h"

#define VHOST_PATH "/dev/vhost-net"

/** struct vhost_keeper - @sock: to the second process, -1: there is none */
struct vhost_keeper {
	int sock;
	pid_t pid;
};

/** vhost_keeper_start() - To be called before privilege_drop(). Return: 0 or -errno. */
int vhost_keeper_start(struct vhost_keeper *k, const struct privilege *p);

/** vhost_open() - Open @cnt (1..64) descriptors. Ends the second process.
 *  Return: 0 and @fds, owned, close-on-exec; or -errno. */
int vhost_open(struct vhost_keeper *k, int *fds, unsigned cnt);

/** vhost_keeper_stop() - End the second process, if it is there, and wait for that. */
void vhost_keeper_stop(struct vhost_keeper *k);

#endif
