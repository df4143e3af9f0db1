/* SPDX-License-Identifier: MIT */
/* The `vhost-user` port: a virtio-net device for a VMM, over a unix socket and shared memory. */
#ifndef PORT_VU_VU_H
#define PORT_VU_VU_H

#include "net/port-type.h"

extern const struct port_type vu_type;

#endif
