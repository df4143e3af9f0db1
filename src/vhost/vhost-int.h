/* SPDX-License-Identifier: MIT */
/* What the sources of this folder share. */
#ifndef VHOST_VHOST_INT_H
#define VHOST_VHOST_INT_H

#include <linux/vhost.h>

#include "vhost/vhost.h"

#define VHOST_RINGS 2
#define VHOST_OBJECT_SIZE 80

/* Features with numbers that older headers lack. */
#define FEATURE_ACCESS_PLATFORM 33
#define FEATURE_RING_PACKED 34
#define FEATURE_IN_ORDER 35
#define FEATURE_RING_RESET 40

/** struct vhost_ring_state - @addr: as the kernel was told, @log_gpa and flags included */
struct vhost_ring_state {
	bool set, started;
	struct vhost_vring_addr addr;
};

/**
 * struct vmtap_vhost - A queue pair in the kernel
 * @offered: VHOST_GET_FEATURES
 * @has_log: there is a dirty log: the kernel does not ask
 * @backend: VHOST_BACKEND_F_* in force
 * @tap, @no_hdr, @taken, @opaque: as vhost_set_tap() said
 */
struct vmtap_vhost {
	int fd;
	uint64_t offered, backend;
	bool has_log, no_hdr;
	struct vhost_ring_state rings[VHOST_RINGS];
	int tap;
	void (*taken)(void *opaque, bool on);
	void *opaque;
	char object[VHOST_OBJECT_SIZE];
};

/** vhost_table_new() - In the order of guest addresses, neighbours joined where they are neighbours
 *  here, too. Return: owned; NULL and @err: EINVAL (empty, wrapping, overlapping), ENOMEM. */
struct vhost_memory *vhost_table_new(const struct vmtap_vhost_region *regions, unsigned cnt,
				     const char *object, struct vmtap_error *err);

/** vhost_call() - An ioctl. Return: 0 or -errno and @err. */
int vhost_call(struct vmtap_vhost *v, unsigned long request, const void *arg, const char *action,
	       struct vmtap_error *err);

/** vhost_set_owner() - Say that it is ours. Return: 0 or -errno and @err. */
int vhost_set_owner(struct vmtap_vhost *v, struct vmtap_error *err);

#endif
