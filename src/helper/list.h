/* SPDX-License-Identifier: MIT */
/*
 * The file of an access list, taken in whole.
 *
 * It is opened with the caller's rights, must be a regular file, and nobody
 * but its owner may be able to change it or to put another in its place: who
 * can write a list can give himself what it gives.
 */
#ifndef HELPER_LIST_H
#define HELPER_LIST_H

#include <stddef.h>
#include <sys/types.h>

#include "vmtap/vmtap.h"

#define LIST_SIZE_MAX (1u << 20)
/** The step that fails, for errors. */
#define LIST_ACTION "read the access list"

/** list_open() - Return: descriptor, owned, or -errno. Neither waits nor takes a terminal over. */
int list_open(const char *path);

/**
 * list_read() - Read what list_open() opened
 * @path:  its name, absolute
 * @owner: who may own it besides root
 * @len:   receives the bytes of the text, at most LIST_SIZE_MAX; a NUL follows them
 *
 * Return: the text, owned (free()), or NULL and @err.
 */
char *list_read(int fd, const char *path, uid_t owner, size_t *len, struct vmtap_error *err);

#endif
