/* SPDX-License-Identifier: MIT */
/* Programs for the kernel that others have loaded: finding one, and what kind it is. bpf(2). */
#ifndef TAPDEV_BPF_H
#define TAPDEV_BPF_H

#include <stdbool.h>

/** bpf_get_pinned() - Open what is pinned at @path. Return: owned descriptor, or -errno. */
int bpf_get_pinned(const char *path);

/** bpf_is_pinned() - Is @path, which exists, a file of bpffs, where alone one can be pinned? */
bool bpf_is_pinned(const char *path);

/** bpf_prog_type() - BPF_PROG_TYPE_* of the program behind @fd. Return: -EBADF: it is not open; -EINVAL: it
 *  is no program; -errno: the kernel does not say (no /proc). */
int bpf_prog_type(int fd);

#endif
