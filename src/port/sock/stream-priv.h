/* SPDX-License-Identifier: MIT */
/* The insides of the `stream` port, shared by its life cycle and its data path. */
#ifndef PORT_SOCK_STREAM_PRIV_H
#define PORT_SOCK_STREAM_PRIV_H

#include "net/port.h"
#include "port/sock/framing.h"
#include "sock/sockaddr.h"
#include "sock/sockfile.h"

struct conf;

/** struct stream_conf - The options, read and looked up. */
struct stream_conf {
	bool server;
	uint64_t reconnect_ns; /* 0: do not */
	int mode;
	struct sock_spec spec;
	struct sock_addrs addrs; /* none for an inherited descriptor */
};

/** stream_conf_read() - Return: 0 or -errno and @err. */
int stream_conf_read(struct stream_conf *c, const struct conf *conf, struct vmtap_error *err);

extern const struct conf_schema stream_schema;
extern const char stream_help[];

/* Pieces that one sendmsg() takes: a length and a buffer for each frame, twice over. */
#define STREAM_IOV 256

/**
 * struct stream_tx - What is on its way out
 * @tail: bytes @tail_at..@tail_end of it are the rest of a frame of which the kernel has taken the
 *        beginning: they go first. Room for a frame and its length, owned
 */
struct stream_tx {
	uint8_t *tail;
	size_t tail_at, tail_end;
	uint32_t prefix[VMTAP_BURST_MAX];
	struct iovec iov[STREAM_IOV];
};

/**
 * struct stream - A stream port
 * @object:     what errors name
 * @infos:      limits lines about peers that come and go
 * @fd:         the connection, or what is to become one; -1
 * @listen_fd:  -1 when connecting
 * @connecting: @fd waits for the peer's answer
 * @next_addr:  the address to try next
 * @detached:   @watch was taken out of the loop: the peer is gone, but there are frames of it left,
 *              which nobody takes now
 * @in, @out:   events that @watch waits for
 * @running:    frames are being offered right now
 * @tx_broken:  the peer takes nothing any more
 * @told:       the failure to connect has been logged
 */
struct stream {
	struct port port;
	char object[80];
	struct log_limit infos;
	bool server, keep_alive, mptcp, inherited;
	uint64_t reconnect_ns;
	struct sock_addrs addrs;
	unsigned next_addr;

	int listen_fd;
	struct loop_watch listen_watch;
	struct sockfile file;

	int fd;
	struct loop_watch watch;
	struct loop_timer timer;
	struct loop_task more;
	bool connecting, detached, in, out, running, tx_broken, told;

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
/** stream_io_begin() - A connection begins on @s->fd, which is not in the loop yet. Return: 0 or -errno. */
int stream_io_begin(struct stream *s);
/** stream_io_end() - Forget the connection's watch and what is left of its bytes. */
void stream_io_end(struct stream *s);

unsigned stream_send(struct port *p, const struct vmtap_frame *frames, unsigned cnt);
void stream_resume(struct port *p);
void stream_set_poll(struct port *p, bool on);

/* stream.c, the life cycle -------------------------------------------------- */

/** stream_lost() - The connection is over. @why is a clause: "the peer closed the connection". */
void stream_lost(struct stream *s, int code, const char *why);

#endif
