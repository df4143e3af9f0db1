/* SPDX-License-Identifier: MIT */
/* The `null` port: swallows frames, and can generate them; for measuring. */
#ifndef PORT_NULL_NULL_H
#define PORT_NULL_NULL_H

#include "net/port-type.h"

extern const struct port_type null_type;

#endif
