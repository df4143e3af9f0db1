/* SPDX-License-Identifier: MIT */
/* Opening a TAP that exists already, for the programs that move frames themselves. */
#ifndef BENCH_TAP_H
#define BENCH_TAP_H

#include <stdbool.h>

/** tap_attach() - A descriptor of TAP @name, which does not block; @vnet_hdr: with a virtio-net header of
 *  12 bytes, and taking what is still to be segmented. */
int tap_attach(const char *name, bool vnet_hdr);

#endif
