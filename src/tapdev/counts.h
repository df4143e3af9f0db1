/* SPDX-License-Identifier: MIT */
/*
 * What the kernel drops of frames for whoever reads a TAP or macvtap, before they can be read.
 *
 * The kernel counts for the interface, not for its queues: a TAP's transmit drops (its queues are full, it is
 * detached, a socket filter), a macvtap's receive drops (`ip -s link` shows both).
 *
 * Model
 *   What is found is remembered until it is left. When one after the other is asked about, the kernel is asked about
 *   the next ones along with it, in the order in which they were found: twice as many each time, so that few are asked
 *   about in vain. A figure that was got ahead is handed out once, and only for COUNTS_FRESH_NS.
 *   The interfaces are asked about by number, many in a message. A dump would be of the whole namespace, which may
 *   have thousands of others.
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

/** How old a figure may be. */
#define COUNTS_FRESH_NS 2000000ull
/** How many are asked about at once: what the kernel answers has to have room in the socket. */
#define COUNTS_AHEAD_MAX 64

/**
 * struct counts_of - Whose drops; from counts_find() to counts_leave(). Embedded in its owner
 * @ifindex:  0: nobody's
 * @receiver: what it drops counts as received
 * @asked_ns: when the kernel was asked last; @drops: its answer
 * @ahead:    nobody has had that answer yet
 */
struct counts_of {
	struct counts_of *next, *prev;
	int ifindex;
	bool receiver, ahead;
	uint64_t asked_ns, drops;
};

/** counts_new() - Where the socket cannot be had, each call tries again. Return: owned; NULL: no memory. */
struct counts *counts_new(void);
/** counts_free() - NULL is fine. */
void counts_free(struct counts *c);

/** counts_find() - The interface of that name which has that address: of another namespace there may be one of
 *  the same name. Return: 0, and @of is borrowed until counts_leave(); -ENODEV, @of->ifindex is 0; or another -errno,
 *  the same. */
int counts_find(struct counts *c, const char *ifname, const uint8_t mac[6], struct counts_of *of);
/** counts_leave() - Nobody asks any more; @of->ifindex is 0. Fine when nothing was found. */
void counts_leave(struct counts *c, struct counts_of *of);

/** counts_drops() - Its drops since it was made. Two system calls; of many in a row, for up to COUNTS_AHEAD_MAX of
 *  them together. Return: 0, -ENODEV when it has gone, or another -errno; @drops is left alone then. */
int counts_drops(struct counts *c, struct counts_of *of, uint64_t *drops);

#endif
