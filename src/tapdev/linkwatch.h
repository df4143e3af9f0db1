/* SPDX-License-Identifier: MIT */
/* Notices when interfaces of this network namespace go, where a descriptor does not tell. */
#ifndef TAPDEV_LINKWATCH_H
#define TAPDEV_LINKWATCH_H

#include <stdbool.h>

/** linkwatch_open() - Return: a descriptor, owned, readable when an interface came, went or
 *  changed; or -errno. */
int linkwatch_open(void);

/** linkwatch_read() - Take what there is. Return: whether an interface of that index went, or may
 *  have: events were lost. */
bool linkwatch_read(int fd, int ifindex);

#endif
