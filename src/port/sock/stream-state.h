/* SPDX-License-Identifier: MIT */
/*
 * What the `stream` port's next run needs to go on with a connection at the byte.
 *
 * Model
 *   A head with version, lengths and a checksum, then the bytes that were received and not delivered yet, then
 *   the rest of a frame of which the peer has the beginning. It stays on the machine, so it is in its byte order;
 *   another version of the program may read it, so the head says which form this is.
 *
 * What an earlier run may do wrong
 *   Anything. What is not exactly as stream_state_encode() makes it is refused. The bytes from the peer are what
 *   they are: framing.h looks at them, as it does at those from the socket.
 */
#ifndef PORT_SOCK_STREAM_STATE_H
#define PORT_SOCK_STREAM_STATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "port/sock/framing.h"

/** Bytes in front, and of the longest state. */
#define STREAM_STATE_HEAD 48
#define STREAM_STATE_MAX (STREAM_STATE_HEAD + FRAMING_SIZE + FRAMING_PREFIX + VMTAP_FRAME_MAX)

/**
 * struct stream_state - Of one connection
 * @id:        which (SO_COOKIE)
 * @tx_broken: the peer takes nothing any more, there is no @tx
 * @rx:        as received, in order
 * @tx:        the rest of a frame and its length, to be sent before anything else
 * @tx_frame:  the length of that frame; 0: there is no @tx
 */
struct stream_state {
	uint64_t id;
	bool tx_broken;
	const uint8_t *rx, *tx;
	size_t rx_len, tx_len;
	uint32_t tx_frame;
};

/** stream_state_encode() - @buf: STREAM_STATE_MAX bytes. Return: bytes of it that were used. */
size_t stream_state_encode(const struct stream_state *s, uint8_t *buf);

/** stream_state_decode() - @s: points into @buf. Return: NULL, or what is wrong with it, a clause. */
const char *stream_state_decode(struct stream_state *s, const uint8_t *buf, size_t len);

#endif
