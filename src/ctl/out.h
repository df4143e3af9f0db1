/* SPDX-License-Identifier: MIT */
/* Output that waits for a socket to take it, with descriptors that go along. */
#ifndef CTL_OUT_H
#define CTL_OUT_H

#include <stddef.h>

struct chunk;

/** struct out - Zero-initialise it. @len: bytes that wait; @event_len: of these, of events. */
struct out {
	struct chunk *first, **last;
	size_t len, event_len;
};

/** out_add() - Bytes, and descriptors, which are taken also when it fails. Return: 0 or -ENOMEM. */
int out_add(struct out *o, const char *text, size_t len, const int *fds, unsigned fd_cnt);

/** out_add_event() - Bytes that nobody asked for, which are counted apart, too. Return: as above. */
int out_add_event(struct out *o, const char *text, size_t len);

/** out_write() - As much as @sock takes, which does not block. Return: 0, also when some is left;
 *  -errno: the connection is of no use any more. */
int out_write(struct out *o, int sock);

/** out_fini() - Drop what waits. */
void out_fini(struct out *o);

#endif
