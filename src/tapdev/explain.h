/* SPDX-License-Identifier: MIT */
/* Why a step with a TAP failed, in words that say what to do. */
#ifndef TAPDEV_EXPLAIN_H
#define TAPDEV_EXPLAIN_H

#include "tapdev/tun.h"
#include "vmtap/vmtap.h"

/** ifname_check() - Could an interface have that name? @pattern: "%d" once is fine.
 *  Return: 0, or -EINVAL or -ENAMETOOLONG and @err. */
int ifname_check(const char *ifname, bool pattern, struct vmtap_error *err);

/** explain_open() - tun_open() failed with @ret. Return: @ret. */
int explain_open(int ret, const char *object, struct vmtap_error *err);

/** explain_attach() - tun_attach() failed with @ret: looks at what has the name. Return: @ret; -EMEDIUMTYPE: that
 *  is of another kind. */
int explain_attach(int ret, const char *object, const struct tun_request *req,
		   struct vmtap_error *err);

/** explain_existing() - Would tun_attach() of @req fail on what has the name now, or may we not
 *  create one? Return: 0 when it would work; else -errno and @err. */
int explain_existing(const char *object, const struct tun_request *req, struct vmtap_error *err);

#endif
