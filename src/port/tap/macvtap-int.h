/* SPDX-License-Identifier: MIT */
/* Why a step with a macvtap failed, in words that say what to do. */
#ifndef PORT_TAP_MACVTAP_INT_H
#define PORT_TAP_MACVTAP_INT_H

#include <sys/types.h>

#include "tapdev/netlink.h"
#include "vmtap/vmtap.h"

/** macvtap_mode_name() - "bridge" of MACVLAN_MODE_BRIDGE. */
const char *macvtap_mode_name(unsigned mode);

/** macvtap_explain_new() - macvtap_new() on @parent failed with @ret. Return: @ret; -EMEDIUMTYPE: that is no parent
 *  for such a macvtap. */
int macvtap_explain_new(int ret, const char *object, const struct nl_link *parent, unsigned mode,
			struct vmtap_error *err);

/** macvtap_explain_check() - Would macvtap_new() fail, as far as can be seen?
 *  Return: 0 or -errno and @err. */
int macvtap_explain_check(const char *object, const struct nl_link *parent, unsigned mode,
			  struct vmtap_error *err);

/** macvtap_explain_device() - macvtap_device() failed with @ret. Return: @ret. */
int macvtap_explain_device(int ret, const char *object, struct vmtap_error *err);

/** macvtap_explain_open() - macvtap_open() failed with @ret. Return: @ret. */
int macvtap_explain_open(int ret, const char *object, const struct nl_link *link, dev_t dev,
			 struct vmtap_error *err);

/** macvtap_explain_setting() - Setting address, MTU or state failed with @ret, as @err says
 *  already; say more where it is a matter of the parent. Return: @ret; -EMEDIUMTYPE: its MTU is less. */
int macvtap_explain_setting(int ret, const struct nl_link *parent, unsigned mtu,
			    struct vmtap_error *err);

#endif
