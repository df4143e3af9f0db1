/* SPDX-License-Identifier: MIT */
/* The descriptors that a caller leaves open, and the socket among them. */
#ifndef HELPER_DESCRIPTORS_H
#define HELPER_DESCRIPTORS_H

#include "vmtap/vmtap.h"

/** descriptors_open_stdio() - 0, 1 and 2 are open afterwards, so that nothing else gets these
 *  numbers and takes an error's text for its own. Return: 0 or -errno. */
int descriptors_open_stdio(void);

/** descriptors_check() - Is @fd a connected unix socket? Return: 0, or -errno and @err. */
int descriptors_check(int fd, struct vmtap_error *err);

/** descriptors_keep() - Close all but 0, 1, 2, @a and @b (-1: none). Return: 0 or -errno. */
int descriptors_keep(int a, int b);

#endif
