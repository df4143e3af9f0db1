/* SPDX-License-Identifier: MIT */
/*
 * What the macvtap driver offers: making one, finding its device file,
 * opening queues. No policy, no texts.
 *
 * Problem
 *   A macvtap's frames go through a device file of its own, unlike a TAP's.
 *   Its number stands in sysfs, at class/net/NAME/macvtap/tapINDEX/dev, and
 *   devtmpfs makes /dev/tapINDEX. Both know only one network namespace: a
 *   sysfs shows the one that it was mounted in, and in /dev, which is common
 *   to all, an index that several have stands for the first of them. A
 *   container's /dev has no such file at all.
 *
 * Model
 *   The number is looked up in a sysfs that is mounted for this, in this
 *   namespace and attached nowhere; without the right to mount, in /sys, where
 *   the interface must then be the same in every respect. A file in /dev is used
 *   only when its number is right; else, with the right to, one is made
 *   in a file system that is attached nowhere, and gone once it was opened.
 */
#ifndef TAPDEV_MACVTAP_H
#define TAPDEV_MACVTAP_H

#include <net/if.h>
#include <stdbool.h>
#include <sys/types.h>

struct nl_link;

#define MACVTAP_QUEUES_MAX 256 /* MAX_TAP_QUEUES of the driver */

/**
 * macvtap_new() - Make one
 * @parent:  index of the interface that it is to be on
 * @pattern: its name; a %d in it is numbered. NULL: macvtap%d
 * @mode:    MACVLAN_MODE_* of <linux/if_link.h>
 * @link:    receives what was made
 *
 * Return: 0 or -errno: -EEXIST: the name is taken; -ENFILE: every name of the pattern.
 */
int macvtap_new(int parent, const char *pattern, unsigned mode, struct nl_link *link);

/** macvtap_device() - The number of its device. Return: 0; -ENXIO: it is not to be seen, since /sys
 *  is another network namespace's; or another -errno. */
int macvtap_device(const struct nl_link *link, dev_t *dev);

/** macvtap_may_open() - Would macvtap_open() work? Opens nothing. Return: 0, or what that says. */
int macvtap_may_open(int ifindex, dev_t dev);

/** macvtap_open() - Open a queue, non-blocking and close-on-exec.
 *  Return: owned; or, of /dev/tapINDEX, -ENOENT, -EACCES, -ENOTUNIQ: it is another device's; or
 *  another -errno. */
int macvtap_open(int ifindex, dev_t dev);

/** macvtap_set_flags() - With a virtio-net header or without. Return: 0 or -errno. */
int macvtap_set_flags(int fd, bool vnet_hdr, bool multi_queue);

/** macvtap_is_gone() - Was the interface behind an open queue deleted? Neither reading nor writing
 *  tells. */
bool macvtap_is_gone(int fd);

#endif
