/* SPDX-License-Identifier: MIT */
/* The `stream` port: QEMU's `-netdev stream`, frames over a connected socket. */
#ifndef PORT_SOCK_STREAM_H
#define PORT_SOCK_STREAM_H

#include "net/port-type.h"

extern const struct port_type stream_type;

#endif
