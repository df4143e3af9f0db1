/* SPDX-License-Identifier: MIT */
/*
 * Descriptors that are closed together, at the end.
 *
 * Problem
 *   Closing the last descriptor of a TAP removes the interface, for which the kernel waits 15 ms and more (RCU
 *   grace periods), in close(). It waits for many as long as for one, when they are closed by several threads.
 */
#ifndef BASE_CLOSER_H
#define BASE_CLOSER_H

struct closer {
	int *fds; /* @cnt of them, with room for @max; owned, and so are they */
	unsigned cnt, max;
};

/** closer_add() - Close *@fd later, unless it is -1, and set it to -1. Now, when @c is NULL or memory is out. */
void closer_add(struct closer *c, int *fd);
/** closer_run() - Close them all and forget them. They are closed when it returns. */
void closer_run(struct closer *c);

#endif
