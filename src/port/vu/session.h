/* SPDX-License-Identifier: MIT */
/*
 * A vhost-user session: messages of one front end, from its connection to its end.
 *
 * Model
 *   vu_session_run() reads what has come, a message at a time, and carries it
 *   out on the device. It never waits: a message that came in part is
 *   kept. Replies are small; a front end that does not read them until the
 *   socket is full is broken.
 *
 * What the front end may do wrong
 *   Anything. A request that is impossible (unknown, wrong size, wrong number
 *   of descriptors, out of range, before what it needs) ends the session with an error
 *   that names request and reason; when the front end asked for an acknowledgement it
 *   gets a non-zero one first. Descriptors that came along are closed.
 *
 * Source: the vhost-user protocol specification (QEMU's docs/interop/vhost-user.rst).
 */
#ifndef PORT_VU_SESSION_H
#define PORT_VU_SESSION_H

#include "port/vu/dev.h"

struct vu_session;

/** vu_session_new() - @dev is borrowed and reset; @fd a connected, non-blocking unix socket, borrowed.
 *  Return: owned; NULL: no memory. */
struct vu_session *vu_session_new(struct vu_dev *dev, int fd);
/** vu_session_free() - The device is left as it is. NULL is fine. */
void vu_session_free(struct vu_session *s);

/** vu_session_run() - Handle what can be read, at most 64 messages.
 *  Return: 0: all for now; -EPIPE: the front end closed the connection; another -errno and @err: it
 *  did something wrong, or the system failed. */
int vu_session_run(struct vu_session *s, struct vmtap_error *err);

/** vu_session_config_changed() - Tell the front end that @dev->config changed, if it takes that
 *  (VHOST_USER_BACKEND_CONFIG_CHANGE_MSG). */
void vu_session_config_changed(struct vu_session *s);

#endif
