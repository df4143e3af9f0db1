/* SPDX-License-Identifier: MIT */
/*
 * Making a TAP and putting it on a bridge.
 *
 * The TAP is always a new one and lives as long as somebody holds one of its
 * descriptors, so that a step that fails leaves nothing behind.
 */
#ifndef HELPER_TAP_H
#define HELPER_TAP_H

#include <net/if.h>

#include "helper/args.h"
#include "helper/privilege.h"

/** struct bridge - @sock: for ioctls, owned */
struct bridge {
	const char *name;
	int sock;
	int mtu;
};

/** struct tap - @fds: @cnt queues, owned */
struct tap {
	char ifname[IFNAMSIZ];
	int ifindex;
	int fds[ARGS_QUEUES_MAX];
	unsigned cnt;
};

/** bridge_find() - Look at a bridge; changes nothing. Return: 0; or -errno and @err. */
int bridge_find(struct bridge *br, const char *name, const struct privilege *p,
		struct vmtap_error *err);

/* Does one of these stand in the way of tap_make()? They change nothing. Return: 0; or -errno and
 * @err. */
int tap_check_privilege(const struct privilege *p, struct vmtap_error *err);
int tap_check_device(const struct privilege *p, struct vmtap_error *err);
int tap_check_name(const struct bridge *br, const char *ifname, struct vmtap_error *err);

/** tap_make() - Make the TAP that @a asks for, on @br and up. Return: 0; or -errno and @err. */
int tap_make(struct tap *t, const struct bridge *br, const struct args *a,
	     const struct privilege *p, struct vmtap_error *err);

#endif
