/* SPDX-License-Identifier: MIT */
/*
 * The host around the ports: which TAPs there are, whose they are, and what
 * is wrong. The functions behind vmtap_host_list(), vmtap_host_reap() and
 * vmtap_doctor(); they need no instance and no port.
 */
#ifndef HOST_HOST_H
#define HOST_HOST_H

#include "vmtap/vmtap.h"

int host_list(vmtap_iface_cb *row, void *opaque, struct vmtap_error *err);
int host_reap(bool dry_run, vmtap_iface_cb *row, void *opaque, struct vmtap_error *err);

#endif
