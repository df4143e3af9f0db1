/* SPDX-License-Identifier: MIT */
/* The insides of the `dgram` port, shared by its life cycle, its data path and its peer. */
#ifndef PORT_SOCK_DGRAM_PRIV_H
#define PORT_SOCK_DGRAM_PRIV_H

#include "base/sockfile.h"
#include "net/port.h"
#include "sock/sockaddr.h"

struct conf;

enum dgram_kind {
	DGRAM_UNIX,
	DGRAM_UDP,
	DGRAM_MULTICAST,
	DGRAM_FD, /* an inherited socket, connected */
};

/**
 * struct dgram_conf - The options, read and looked up
 * @fd:    what fd= says; NULL: none. With DGRAM_MULTICAST the socket that has joined already
 * @local: DGRAM_MULTICAST: the interface's address, if @local.cnt
 */
struct dgram_conf {
	enum dgram_kind kind;
	const char *fd;
	int mode;
	bool any_source;
	struct sock_addrs local, remote;
};

/** dgram_conf_read() - Return: 0 or -errno and @err. */
int dgram_conf_read(struct dgram_conf *c, const struct conf *conf, struct vmtap_error *err);

extern const struct conf_schema dgram_schema;
extern const char dgram_help[];

/* dgram-open.c */

/** struct dgram_sockets - @fd: frames come in here; @tx_fd: they leave here, -1: by @fd. @found: @fd is of an earlier
 *  run; @kept: it outlives this one */
struct dgram_sockets {
	int fd, tx_fd;
	bool found, kept;
	struct sock_addr local, remote;
	struct sockfile file;
};

/** dgram_sockets_open() - Return: 0 and all of @s; -errno and @err. @p: whose they are; NULL: they are only tried. */
int dgram_sockets_open(struct dgram_sockets *s, const struct port_env *env, const struct port *p,
		       const struct dgram_conf *c, const char *object, struct vmtap_error *err);
/** dgram_sockets_end() - The port closes: what outlives the program. dgram_sockets_close() follows. */
void dgram_sockets_end(struct dgram_sockets *s, const struct port *p);
void dgram_sockets_close(struct dgram_sockets *s);

/**
 * struct dgram_rx - What came in
 * @slots: room for a burst of frames, owned
 * @next, @cnt: of @frames, those still to be offered
 */
struct dgram_rx {
	uint8_t *slots;
	unsigned next, cnt;
	struct mmsghdr msgs[VMTAP_BURST_MAX];
	struct iovec room[VMTAP_BURST_MAX];
	struct sockaddr_in6 from[VMTAP_BURST_MAX];
	struct iovec iov[VMTAP_BURST_MAX];
	struct vmtap_frame frames[VMTAP_BURST_MAX];
};

/** struct dgram_tx - @bounce: one frame of too many pieces, owned. */
struct dgram_tx {
	uint8_t *bounce;
	struct iovec bounce_iov;
	struct mmsghdr msgs[VMTAP_BURST_MAX];
};

/**
 * enum dgram_way - How frames get to the peer; see dgram-peer.c
 * @WAY_NONE:  not at the moment
 * @WAY_NAMED: by the bound socket, each with the remote address
 * @WAY_OWN:   by a second socket, which is connected
 * @WAY_BOUND: by the bound socket, which is connected
 */
enum dgram_way {
	WAY_NONE,
	WAY_NAMED,
	WAY_OWN,
	WAY_BOUND
};

/**
 * struct dgram_peer - The way to the peer
 * @watch: of the second socket, while it is full
 * @notify: inotify descriptor: tells when the file of a peer changes that the bound socket is
 *         connected to; -1
 * @told:  that the peer is not there has been logged
 */
struct dgram_peer {
	enum dgram_way way;
	struct loop_watch watch;
	int notify;
	struct loop_watch notify_watch;
	dev_t dev;
	ino_t ino;
	bool told;
};

/**
 * struct dgram - A dgram port
 * @object:  what errors name
 * @infos:   limits lines about the peer coming and going
 * @watch:   of sockets.fd
 * @in, @out: events that it waits for
 * @full:    there was no room for a frame since it last had some
 * @running: frames are being offered right now
 * @dropped: by the kernel, of what came for sockets.fd; @drops_seen: its own count when it was looked at last
 */
struct dgram {
	struct port port;
	char object[80];
	struct log_limit infos;
	enum dgram_kind kind;
	bool any_source;
	struct dgram_sockets sockets;
	struct loop_watch watch;
	struct loop_task more;
	bool in, out, full, running;
	uint64_t dropped;
	uint32_t drops_seen;
	struct dgram_peer peer;
	struct dgram_rx rx;
	struct dgram_tx tx;
};

static inline struct dgram *dgram_of(const struct port *p)
{
	return (void *)((char *)p - offsetof(struct dgram, port));
}

/* dgram-io.c, the data path ------------------------------------------------- */

int dgram_io_init(struct dgram *d);
void dgram_io_fini(struct dgram *d);
/** dgram_io_start() - Begin to read. Return: 0 or -errno. */
int dgram_io_start(struct dgram *d);
void dgram_io_stop(struct dgram *d);

unsigned dgram_send(struct port_lane *l, const struct vmtap_frame *frames, unsigned cnt);
void dgram_resume(struct port_lane *l);
void dgram_set_poll(struct port *p, bool on);

/** dgram_writable() - Whatever sending waited for has come. */
void dgram_writable(struct dgram *d);

/* dgram-peer.c, the way to the peer ------------------------------------------- */

void dgram_peer_init(struct dgram *d);
void dgram_peer_fini(struct dgram *d);
/** dgram_peer_find() - Find a way to a unix peer when there is none. Return: 0 or -errno. */
int dgram_peer_find(struct dgram *d);
/** dgram_peer_forget() - An earlier run had connected the bound socket, to a peer that is gone: others are heard. */
void dgram_peer_forget(struct dgram *d);
/** dgram_peer_lost() - Sending failed: the way that was is no way any more. */
void dgram_peer_lost(struct dgram *d);
/** dgram_peer_fd() - The socket that frames leave by. */
int dgram_peer_fd(const struct dgram *d);
/** dgram_peer_wait() - Have dgram_writable() called when the second socket has room. */
int dgram_peer_wait(struct dgram *d);
void dgram_peer_unwait(struct dgram *d);

#endif
