/* SPDX-License-Identifier: MIT */
/* The `responder` port: a stand-in for a guest, which answers ARP, neighbour discovery and ping. */
#ifndef PORT_RESPONDER_RESPONDER_H
#define PORT_RESPONDER_RESPONDER_H

#include "net/port-type.h"

extern const struct port_type responder_type;

#endif
