/* SPDX-License-Identifier: MIT */
/* The host around the ports, seen from the application. */
#include "host/host.h"

int vmtap_host_list(vmtap_iface_cb *row, void *opaque, struct vmtap_error *err)
{
	return host_list(row, opaque, err);
}

int vmtap_host_reap(bool dry_run, vmtap_iface_cb *row, void *opaque, struct vmtap_error *err)
{
	return host_reap(dry_run, row, opaque, err);
}
