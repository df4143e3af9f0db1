/* SPDX-License-Identifier: MIT */
/*
 * Messages of a vhost-user socket: one at a time, with the descriptors that came
 * along.
 *
 * Ownership
 *   Descriptors of a message belong to the receiver; who wants one takes it
 *   (fd_steal()), the rest is closed with the message.
 *
 * What the front end may do wrong
 *   Pieces of any length, at any time; too many descriptors; a payload that is
 *   longer than any request's; the end in the middle of a message. Memory is bounded: one
 *   message.
 */
#ifndef PORT_VU_MSG_H
#define PORT_VU_MSG_H

#include <stdbool.h>
#include <stddef.h>

#include "port/vu/proto.h"

/** Descriptors of one message. */
#define VU_FDS_MAX VU_REGIONS_MAX

/** struct vu_msg - A message; bytes of @body beyond @hdr.size are zero */
struct vu_msg {
	struct vu_hdr hdr;
	union vu_payload body;
	unsigned fd_cnt;
	int fds[VU_FDS_MAX];
};

/** struct vu_rx - A message on its way in; @have: bytes of header and payload */
struct vu_rx {
	struct vu_msg msg;
	size_t have;
};

void vu_rx_init(struct vu_rx *rx);

/**
 * vu_rx_read() - Read on until @rx->msg is complete
 * Return: 1: it is; 0: the rest is still to come; -EPIPE: the connection is closed;
 *         -EMSGSIZE: the payload is too long (@rx->msg.hdr is there); -EPROTO: of another version, or
 *         a reply (so is @rx->msg.hdr); -E2BIG: too many descriptors, which are closed; or what
 *         recvmsg() said. After an error @rx is good for vu_rx_next() only.
 */
int vu_rx_read(struct vu_rx *rx, int sock);

/** vu_rx_next() - Done with the message: closes its descriptors. */
void vu_rx_next(struct vu_rx *rx);

/** vu_msg_send() - Send @len bytes of @body (may be NULL for 0) with @fd (borrowed; -1: none).
 *  Return: 0; -ENOBUFS: the other side does not read; or another -errno. Never blocks. */
int vu_msg_send(int sock, uint32_t request, uint32_t flags, const void *body, uint32_t len, int fd);

#endif
