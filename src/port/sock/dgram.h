/* SPDX-License-Identifier: MIT */
/* The `dgram` port: QEMU's `-netdev dgram`, one frame a datagram. */
#ifndef PORT_SOCK_DGRAM_H
#define PORT_SOCK_DGRAM_H

#include "net/port-type.h"

extern const struct port_type dgram_type;

#endif
