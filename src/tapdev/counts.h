/* SPDX-License-Identifier: MIT */
/*
 * What the kernel drops of frames for whoever reads a TAP or macvtap, before they can be read.
 *
 * The kernel counts for the interface, not for its queues: a TAP's transmit drops (its queues are full, it is
 * detached, a socket filter), a macvtap's receive drops (`ip -s link` shows both).
 *
 * Ownership, threads: an object belongs to one thread at a time, and has one socket, in the network namespace
 * in which it was made. Interfaces of other namespaces are not found.
 */
#ifndef TAPDEV_COUNTS_H
#define TAPDEV_COUNTS_H

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>

struct counts;

/** struct counts_of - Whose drops; from counts_find(). @ifindex 0: nobody's */
struct counts_of {
	int ifindex;
	bool receiver; /* what it drops counts as received */
};

/** counts_new() - Where the socket cannot be had, each call tries again. Return: owned; NULL: no memory. */
struct counts *counts_new(void);
/** counts_free() - NULL is fine. */
void counts_free(struct counts *c);

/** counts_find() - The interface of that name which has that address: of another namespace there may be one of
 *  the same name. Return: 0; -ENODEV, @of->ifindex is 0; or another -errno. */
int counts_find(struct counts *c, const char *ifname, const uint8_t mac[6], struct counts_of *of);

/** counts_drops() - Its drops since it was made; two system calls. Return: 0, -ENODEV when it has gone, or another
 *  -errno; @drops is left alone then. */
int counts_drops(struct counts *c, const struct counts_of *of, uint64_t *drops);

#endif
