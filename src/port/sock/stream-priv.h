/* SPDX-License-Identifier: MIT */
/* The insides of the `stream` port, shared by its parts. */
#ifndef PORT_SOCK_STREAM_PRIV_H
#define PORT_SOCK_STREAM_PRIV_H

#include <sys/types.h>

#include "net/port.h"
#include "port/sock/framing.h"
#include "sock/conn.h"

/** stream_conf_read() - Return: 0 or -errno and @err. */
int stream_conf_read(struct conn_conf *c, const struct conf *conf, struct vmtap_error *err);

extern const struct conf_schema stream_schema;
extern const char stream_help[];

/* Pieces that one sendmsg() takes: a length and a buffer for each frame, twice over. */
#define STREAM_IOV 256

/**
 * struct stream_tx - What is on its way out
 * @tail: bytes @tail_at..@tail_end of it are the rest of a frame of which the kernel has taken the
 *        beginning: they go first. Room for a frame and its length, owned
 * @tail_frame: the length of that frame
 */
struct stream_tx {
	uint8_t *tail;
	size_t tail_at, tail_end;
	uint32_t tail_frame;
	uint32_t prefix[VMTAP_BURST_MAX];
	struct iovec iov[STREAM_IOV];
};

/**
 * struct stream - A stream port
 * @watch:      of the connection, @conn.fd
 * @detached:   @watch was taken out of the loop: the peer is gone, but there are frames of it left,
 *              which nobody takes now
 * @in, @out:   events that @watch waits for
 * @running:    frames are being offered right now
 * @tx_broken:  the peer takes nothing any more
 *
 * Between connections @rx and @tx are empty, but for what an earlier run left of the one that begins next.
 */
struct stream {
	struct port port;
	struct conn conn;
	struct loop_watch watch;
	struct loop_task more;
	bool detached, in, out, running, tx_broken;

	struct framing rx;
	struct stream_tx tx;
};

static inline struct stream *stream_of(const struct port *p)
{
	return (void *)((char *)p - offsetof(struct stream, port));
}

/* stream-io.c, the data path ------------------------------------------------ */

int stream_io_init(struct stream *s);
void stream_io_fini(struct stream *s);
/** stream_io_begin() - A connection begins on @s->conn.fd. Return: 0 or -errno. */
int stream_io_begin(struct stream *s);
/** stream_io_end() - Forget the connection's watch and what is left of its bytes. */
void stream_io_end(struct stream *s);

/** stream_io_save() - What is left of the connection's bytes, for the next run; here it is forgotten.
 *  Return: bytes of @state (owned by the caller, then); -errno. */
ssize_t stream_io_save(struct stream *s, uint64_t id, uint8_t **state);
/** stream_io_restore() - Before stream_io_begin(): the connection, whose id is @id, goes on with @state, of an
 *  earlier run. Return: NULL, or why it does not, a clause. */
const char *stream_io_restore(struct stream *s, uint64_t id, const uint8_t *state, size_t len);

unsigned stream_send(struct port_lane *l, const struct vmtap_frame *frames, unsigned cnt);
void stream_resume(struct port_lane *l);
void stream_set_poll(struct port *p, bool on);

#endif
