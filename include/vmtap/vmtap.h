/* SPDX-License-Identifier: MIT */
/*
 * libvmtap - the TAP network back end for virtual machines, as a library.
 *
 * Model
 *   An *instance* (struct vmtap) owns an event loop and ports. A *port* is an
 *   end through which Ethernet frames enter or leave: a host TAP, a socket
 *   that speaks QEMU's framing, a port that your program implements itself
 *   (an *application port*), and more. A *link* joins two ports; frames that
 *   enter one leave by the other.
 *
 * Event loop
 *   vmtap_fd() gives one pollable descriptor. Watch it for readability in
 *   your own loop and call vmtap_dispatch(v, 0) when it is ready; or let
 *   vmtap_dispatch(v, -1) wait. Callbacks run inside vmtap_dispatch(), or
 *   inside the call that caused them, never elsewhere.
 *
 * Threads
 *   An instance and everything made from it belong to one thread at a time.
 *   Different instances are independent. With struct vmtap_config's workers an instance has
 *   threads of its own, which only move frames: no callback runs in them.
 *
 * Ownership
 *   *borrows*: the argument is used until the call returns. *takes*: the
 *   library owns it from now on. *returns owned*: free it as stated.
 *
 * Errors
 *   Functions return 0 or a count when they succeed and a negative errno when
 *   not, or NULL. Those with a struct vmtap_error argument describe the
 *   failure there; the argument may be NULL.
 *
 * Directions
 *   Seen from a port: *rx* frames came in from outside (the host's kernel, a
 *   socket, the application) on their way to the peer; *tx* frames came from
 *   the peer and left through the port.
 */
#ifndef VMTAP_VMTAP_H
#define VMTAP_VMTAP_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#ifdef __cplusplus
extern "C" {
#endif

#pragma GCC visibility push(default)

#define VMTAP_VERSION_MAJOR 0
#define VMTAP_VERSION_MINOR 1
#define VMTAP_VERSION_PATCH 0
#define VMTAP_VERSION "0.1.0"

/** Most frames that one call carries. */
#define VMTAP_BURST_MAX 64
/** Longest frame in bytes, without its virtio-net header: a 64 KiB GSO frame
 *  with Ethernet, VLAN and IP headers. The same bound as QEMU's NET_BUFSIZE. */
#define VMTAP_FRAME_MAX (4096 + 65536)

struct vmtap;
struct vmtap_port;
struct vmtap_link;
struct vmtap_switch;
struct vmtap_watch;
struct vmtap_capture;
struct vmtap_ping;

/* ------------------------------------------------------------------ errors */

/**
 * struct vmtap_error - What went wrong, on which object, why, and what to do
 * @code:   positive errno value; 0 when the structure holds no error
 * @object: what it happened to, as in "tap vm0"
 * @action: the step that failed, as in "attach to the device"
 * @reason: why, as in "it is a multi-queue device and queues=1 was asked for"
 * @remedy: what to do about it; may be empty
 *
 * All strings are NUL-terminated. Texts may change between versions; @code
 * may not. Zero-initialise it; a failing call overwrites it whole.
 */
struct vmtap_error {
	int code;
	char object[80];
	char action[112];
	char reason[480];
	char remedy[384];
};

/**
 * vmtap_error_format() - Write an error as one line
 *
 * "OBJECT: cannot ACTION: REASON; REMEDY".
 * Return: the length that the whole text has, as snprintf() does.
 */
int vmtap_error_format(const struct vmtap_error *err, char *buf, size_t size);

/* ------------------------------------------------------------------ frames */

/**
 * struct vmtap_net_hdr - virtio-net header in its v1 layout, host byte order
 *
 * Field for field `struct virtio_net_hdr_v1` (<linux/virtio_net.h>; virtio
 * 1.2, 5.1.6). All zero: a complete, checksummed frame.
 */
struct vmtap_net_hdr {
	uint8_t flags;	      /* VMTAP_HDR_* */
	uint8_t gso_type;     /* VMTAP_GSO_*, perhaps | VMTAP_GSO_ECN */
	uint16_t hdr_len;     /* bytes of headers in front of the payload, a hint */
	uint16_t gso_size;    /* payload bytes of each segment */
	uint16_t csum_start;  /* where the checksummed part starts */
	uint16_t csum_offset; /* where, from there, the checksum goes */
	uint16_t num_buffers; /* receive buffers used; 0 outside a guest's ring */
};

#define VMTAP_HDR_NEEDS_CSUM 1u /* VIRTIO_NET_HDR_F_NEEDS_CSUM */
#define VMTAP_HDR_DATA_VALID 2u /* VIRTIO_NET_HDR_F_DATA_VALID */

#define VMTAP_GSO_NONE 0u
#define VMTAP_GSO_TCPV4 1u
#define VMTAP_GSO_UDP 3u /* UFO: IP fragments */
#define VMTAP_GSO_TCPV6 4u
#define VMTAP_GSO_UDP_L4 5u /* USO: datagrams */
#define VMTAP_GSO_ECN 0x80u

/**
 * struct vmtap_frame - An Ethernet frame, without its FCS
 * @hdr:     its virtio-net header
 * @len:     bytes in @iov together, 14..VMTAP_FRAME_MAX
 * @iov_cnt: entries in @iov, at least 1
 * @iov:     where the bytes are; borrowed
 */
struct vmtap_frame {
	struct vmtap_net_hdr hdr;
	uint32_t len;
	uint32_t iov_cnt;
	const struct iovec *iov;
};

/** Offloads that a receiver of frames takes. */
enum vmtap_offload {
	VMTAP_OFFLOAD_CSUM = 1 << 0, /* checksums still to be filled in */
	VMTAP_OFFLOAD_TSO4 = 1 << 1,
	VMTAP_OFFLOAD_TSO6 = 1 << 2,
	VMTAP_OFFLOAD_ECN = 1 << 3, /* TSO frames with CWR set */
	VMTAP_OFFLOAD_UFO = 1 << 4,
	VMTAP_OFFLOAD_USO4 = 1 << 5,
	VMTAP_OFFLOAD_USO6 = 1 << 6,
	VMTAP_OFFLOAD_ALL = (1 << 7) - 1,
};

/* -------------------------------------------------------------- statistics */

/** Why a frame was not delivered. */
enum vmtap_drop {
	VMTAP_DROP_NO_PEER,    /* the port is joined to nothing */
	VMTAP_DROP_LINK_DOWN,  /* a link was set down at one end */
	VMTAP_DROP_PEER_GONE,  /* the other side is closed, broken or not connected */
	VMTAP_DROP_RUNT,       /* shorter than an Ethernet header */
	VMTAP_DROP_TOO_LONG,   /* longer than VMTAP_FRAME_MAX, or than the other side takes */
	VMTAP_DROP_BAD_HEADER, /* a virtio-net header that does not fit its frame */
	VMTAP_DROP_REFUSED,    /* the device refused the frame (EINVAL) */
	VMTAP_DROP_IF_DOWN,    /* the interface is down (EIO) */
	VMTAP_DROP_QUEUE_FULL, /* a bounded queue had no room */
	VMTAP_DROP_IO,	       /* any other error of a system call */
	VMTAP_DROP_PURGED,     /* was waiting when its port closed */
	VMTAP_DROP_FILTERED, /* the guest does not want it (receive modes, MAC and VLAN tables), or the
				* port's filter: vmtap_port_set_filter() */
	VMTAP_DROP_KERNEL, /* by the kernel, before they could be read: see struct vmtap_stats */
	VMTAP_DROP_CNT,
};

/** The cause's name, as in "link-down"; NULL beyond the last. */
const char *vmtap_drop_name(enum vmtap_drop cause);

/** Counters of one direction. */
struct vmtap_counters {
	uint64_t frames;
	uint64_t bytes;	     /* without virtio-net headers and framing */
	uint64_t gso_frames; /* of @frames, those still to be segmented */
	uint64_t drops[VMTAP_DROP_CNT];
};

/**
 * struct vmtap_stats - Counters of a port since it was opened
 * @rx: frames that entered through the port
 * @tx: frames that left through the port
 * @rx_holds: times the peer could not take a frame and reading stopped
 * @tx_holds: times the port could not take a frame and said so
 *
 * Of `tap`, `bridge` and `macvtap`, @rx.drops[VMTAP_DROP_KERNEL] is what the kernel says of the interface: frames for
 * the port that it dropped since the port did not read them in time (500 wait in a queue of a TAP, `txqueuelen`), or
 * was not attached: the interface's transmit drops, and a macvtap's receive drops, less what they were when the port
 * was opened or attached to it again. The kernel counts for an interface and not for its queues; other programs'
 * queues of it are counted, too. When the interface has gone, or was moved to another network namespace, it is what
 * was read last; it is 0 for one that was in another namespace than the instance from the beginning. Of `dgram`, it is
 * the datagrams that found the receiving socket full since the port was opened (SO_MEMINFO, SK_MEMINFO_DROPS).
 */
struct vmtap_stats {
	struct vmtap_counters rx;
	struct vmtap_counters tx;
	uint64_t rx_holds;
	uint64_t tx_holds;
};

/** What struct vmtap_queue_stats says of a queue pair, as bits. Rings: of vhost-user ports. */
enum vmtap_queue_flag {
	VMTAP_QUEUE_USED = 1 << 0,    /* the outside uses it */
	VMTAP_QUEUE_RX_HELD = 1 << 1, /* reading stopped: the peer has no room */
	VMTAP_QUEUE_TX_HELD = 1 << 2, /* the port has no room */
	VMTAP_QUEUE_IN_KERNEL =
		1 << 3, /* the kernel carries the frames, and they are not counted here */
	VMTAP_QUEUE_RX_STARTED = 1 << 4, /* the ring on which the guest sends */
	VMTAP_QUEUE_RX_ENABLED = 1 << 5,
	VMTAP_QUEUE_TX_STARTED = 1 << 6, /* the ring on which the guest receives */
	VMTAP_QUEUE_TX_ENABLED = 1 << 7,
	VMTAP_QUEUE_HAS_RINGS = 1 << 8, /* it is of a vhost-user port */
};

/**
 * struct vmtap_queue_stats - Counters of a queue pair since the port was opened
 * @rx, @tx: as in struct vmtap_stats
 * @rx_bursts, @tx_bursts: how often frames moved; frames divided by it are those that moved at a time
 * @rx_holds, @tx_holds: as in struct vmtap_stats
 * @rx_held_ns, @tx_held_ns: for how long that was so, in all, with the time up to now
 * @wakeups: how often the queue's descriptor woke its thread; 0 where that is not counted (all but TAPs and
 *           vhost-user)
 * @rx_kicks, @tx_kicks: vhost-user: of those, by the guest for the ring on which it sends, or receives
 * @rx_calls, @tx_calls: vhost-user: how often the guest was called for that ring
 * @rx_ring, @tx_ring: vhost-user: entries of that ring; 0: not set up
 * @rx_avail, @tx_avail: vhost-user: of those, what the guest has made available and has not got back: frames that it
 *           sends and room for frames, as chains of descriptors; in a packed ring, as descriptors. Also of a ring that
 *           the kernel has
 * @flags: enum vmtap_queue_flag
 *
 * A port whose queue pairs are not joined to as many of its peer moves all frames as one, and counts
 * them at pair 0. So is @rx.drops[VMTAP_DROP_KERNEL], which belongs to all of them.
 */
struct vmtap_queue_stats {
	struct vmtap_counters rx;
	struct vmtap_counters tx;
	uint64_t rx_bursts, tx_bursts;
	uint64_t rx_holds, tx_holds;
	uint64_t rx_held_ns, tx_held_ns;
	uint64_t wakeups;
	uint64_t rx_kicks, tx_kicks;
	uint64_t rx_calls, tx_calls;
	uint32_t rx_ring, tx_ring;
	uint32_t rx_avail, tx_avail;
	uint32_t flags;
	uint32_t reserved;
};

/* ---------------------------------------------------------------- instance */

enum vmtap_log_level {
	VMTAP_LOG_ERROR,   /* the user must act */
	VMTAP_LOG_WARNING, /* degraded */
	VMTAP_LOG_INFO,	   /* life cycle */
	VMTAP_LOG_DEBUG,   /* decisions */
};

/** How bursts reach the kernel. */
enum vmtap_engine {
	VMTAP_ENGINE_AUTO,     /* io_uring where it can be had, else plain */
	VMTAP_ENGINE_IO_URING, /* vmtap_new() fails without it */
	VMTAP_ENGINE_PLAIN,    /* a system call a frame */
};

/** State of a port. */
enum vmtap_port_state {
	VMTAP_PORT_WAITING, /* open; the other side is not there (yet) */
	VMTAP_PORT_UP,	    /* frames move */
	VMTAP_PORT_BROKEN,  /* failed for good; vmtap_port_error() says why */
	VMTAP_PORT_CLOSED,
};

/**
 * struct vmtap_config - What an instance is made with
 * @size:      sizeof(struct vmtap_config); newer fields are zero for older callers
 * @log_level: most detailed level that @log is called for
 * @log:       one line, without newline; @object is "" when it concerns no port.
 *             NULL: nothing is logged
 * @event:     a port changed its state. NULL: not told
 * @opaque:    handed to @log and @event
 * @engine:    how bursts reach the kernel
 * @workers:   threads that move frames, 0..VMTAP_WORKERS_MAX; 0: vmtap_dispatch() does. Links of TAPs and
 *             vhost-user ports are spread over them; where both ends have as many queue
 *             pairs, pair by pair. Links of other ports stay with vmtap_dispatch()
 * @cpus, @cpu_cnt: processors for the workers, one each, from the beginning again when there are
 *             fewer; borrowed during vmtap_new(). @cpu_cnt 0: anywhere
 * @poll_us:   how many microseconds a loop looks for work before it sleeps, 0..1000000; 0: it does
 *             not. A loop that is idle for longer sleeps all the same
 */
struct vmtap_config {
	size_t size;
	enum vmtap_log_level log_level;
	void (*log)(void *opaque, enum vmtap_log_level level, const char *object, const char *msg);
	void (*event)(void *opaque, struct vmtap_port *port, enum vmtap_port_state state);
	void *opaque;
	enum vmtap_engine engine;
	unsigned workers;
	const unsigned *cpus;
	unsigned cpu_cnt;
	unsigned poll_us;
};

/** Most worker threads that an instance has. */
#define VMTAP_WORKERS_MAX 64

/** vmtap_new() - Make an instance. @config is borrowed and may be NULL.
 *  Return: owned; free with vmtap_free(). NULL: out of memory or descriptors. */
struct vmtap *vmtap_new(const struct vmtap_config *config, struct vmtap_error *err);

/** vmtap_free() - Close every port and link, the last that was opened first, and free the
 *  instance. The TAPs that go with their ports go together, and are gone on return. Not from a
 *  callback. Port and link handles that the caller holds become invalid. */
void vmtap_free(struct vmtap *v);

/** vmtap_fd() - A descriptor that is readable when vmtap_dispatch() has work.
 *  Borrowed: never read, write or close it. Valid until vmtap_free(). */
int vmtap_fd(const struct vmtap *v);

/**
 * vmtap_dispatch() - Handle what is ready
 * @timeout_ms: how long to wait for something; 0: not at all; -1: without limit
 *
 * Handles a bounded amount of work and returns; when more is left, vmtap_fd()
 * stays readable.
 * Return: 0; -EINTR: a signal ended the wait; -EBUSY: called from a callback.
 */
int vmtap_dispatch(struct vmtap *v, int timeout_ms);

/**
 * vmtap_watch_new() - Have vmtap_dispatch() look after a descriptor of the application's, too
 * @fd:    borrowed until vmtap_watch_free()
 * @ready: called, inside vmtap_dispatch(), while @fd is readable or was hung up
 *
 * For programs without a loop of their own: vmtap_dispatch(v, -1) is one then.
 * Return: owned; free it with vmtap_watch_free(), or it goes with the instance. NULL: see @err.
 */
struct vmtap_watch *vmtap_watch_new(struct vmtap *v, int fd, void (*ready)(void *opaque),
				    void *opaque, struct vmtap_error *err);

/** What a watch waits for. */
#define VMTAP_WATCH_READ 1u
#define VMTAP_WATCH_WRITE 2u

/**
 * vmtap_watch_set() - Choose what is waited for
 * @events: VMTAP_WATCH_READ (as in the beginning), VMTAP_WATCH_WRITE, both, or 0: only that @fd was hung up
 *
 * The callback is the same for all: it tries what it wants to do, without blocking.
 * Return: 0; -EINVAL: unknown bits.
 */
int vmtap_watch_set(struct vmtap_watch *watch, unsigned events);
/** vmtap_watch_free() - Also from inside its own callback. NULL is fine. */
void vmtap_watch_free(struct vmtap_watch *watch);

/**
 * vmtap_set_cancel_fd() - A descriptor that ends long waits
 *
 * When @fd is readable, calls that wait for a program (script=) end it and fail with
 * -ECANCELED. @fd is borrowed for the life of the instance; -1: none, as in the beginning.
 */
void vmtap_set_cancel_fd(struct vmtap *v, int fd);

/**
 * vmtap_add_fd() - Give a descriptor a name, so that fd=NAME can refer to it
 * @name: does not start with a digit
 * @fd:   takes it when the call succeeds; a port that uses it takes it over
 * Return: 0; -EEXIST, -EINVAL, -EBADF.
 */
int vmtap_add_fd(struct vmtap *v, const char *name, int fd, struct vmtap_error *err);

/** vmtap_del_fd() - Close a named descriptor that no port took.
 *  Return: 0; -ENOENT. */
int vmtap_del_fd(struct vmtap *v, const char *name, struct vmtap_error *err);

/** vmtap_take_fd() - Have a named descriptor back. Return: owned; -ENOENT. */
int vmtap_take_fd(struct vmtap *v, const char *name, struct vmtap_error *err);

/**
 * struct vmtap_keeper - Who keeps descriptors of ports for the next run of the program
 * @size: sizeof(struct vmtap_keeper)
 * @find: a port is being opened: what did an earlier run leave of it? Return: a descriptor, which the port takes
 *        and checks before it uses it; -ENOENT: none
 * @keep: have a copy of @fd, which is borrowed, kept until the next run. Called again for what @find gave, when it
 *        is in use
 * @drop: have it kept no longer. The port closes its own afterwards: when @drop returns and no copy is left, the
 *        device goes with that, as it does without a keeper
 *
 * An interface lives as long as a descriptor of its TAP is open, wherever that is: where a service manager keeps
 * copies (sd_notify(3), FDSTORE=1) while the program restarts, the interface stays what it is, and frames wait
 * in it. @port is the name of the port, @role which of its descriptors it is: "queue0", "queue1", ... of a `tap` or
 * `bridge` port that opened its device itself, "listener" and "bound" for unix sockets with an address; after
 * vmtap_leave_kept(), also "connection" and "state" of a `stream` port: each is of use with the other alone, once, and
 * has to be gone when @drop returns, or else a connection would go on with bytes of before.
 *
 * All are called from the instance's thread, inside of whatever opens, closes or changes the port, and call
 * nothing of the library.
 */
struct vmtap_keeper {
	size_t size;
	int (*find)(void *opaque, const char *port, const char *role);
	void (*keep)(void *opaque, const char *port, const char *role, int fd);
	void (*drop)(void *opaque, const char *port, const char *role);
	void *opaque;
};

/** vmtap_set_keeper() - Before ports are opened. @keeper is copied. */
void vmtap_set_keeper(struct vmtap *v, const struct vmtap_keeper *keeper);
/** vmtap_leave_kept() - The program ends and may come again: from now on, what ports have with the keeper stays
 *  there when they close. */
void vmtap_leave_kept(struct vmtap *v);

/** vmtap_version() - VMTAP_VERSION of the library that runs. */
const char *vmtap_version(void);

/* ------------------------------------------------------------------- ports */

/**
 * vmtap_port_open() - Open a port from its description
 * @spec: "TYPE,KEY=VALUE,…" as in "tap,ifname=vm0,queues=2", or the same as a
 *        JSON object, {"type":"tap","ifname":"vm0","queues":2}. `id=` names
 *        the port; without it, a name is made up. vmtap_type_info() lists types and keys.
 *
 * May run programs (script=) and wait for them. The port moves no frame until
 * it is linked. A port that connects or listens is open before its other side is there.
 * Return: a handle; release it with vmtap_port_close(). NULL: see @err.
 */
struct vmtap_port *vmtap_port_open(struct vmtap *v, const char *spec, struct vmtap_error *err);

/** vmtap_port_check() - Parse @spec and try what can be tried without changing
 *  anything: names, permissions, files, conflicts.
 *  Return: 0, or a negative errno and @err. */
int vmtap_port_check(struct vmtap *v, const char *spec, struct vmtap_error *err);

/**
 * vmtap_port_close() - Close the port and release the handle
 *
 * In this order: what is queued is purged and its callbacks called with
 * -ECANCELED, the down script runs, descriptors are closed. Safe inside the
 * port's own callbacks and while a send is pending. NULL is fine. To keep
 * the handle (and be able to close again, ask for statistics or the error),
 * take a reference first.
 */
void vmtap_port_close(struct vmtap_port *port);

/** vmtap_port_ref() - One more reference to the handle. Return: @port. */
struct vmtap_port *vmtap_port_ref(struct vmtap_port *port);
/** vmtap_port_unref() - Give a reference back; the last one closes the port. */
void vmtap_port_unref(struct vmtap_port *port);

/** vmtap_port_shutdown() - Close the port, keep the handle. Any number of times. */
void vmtap_port_shutdown(struct vmtap_port *port);

const char *vmtap_port_name(const struct vmtap_port *port);
const char *vmtap_port_type(const struct vmtap_port *port);
enum vmtap_port_state vmtap_port_state(const struct vmtap_port *port);
/** vmtap_port_error() - Why the port is broken; NULL when it is not. Borrowed. */
const struct vmtap_error *vmtap_port_error(const struct vmtap_port *port);

/** vmtap_port_describe() - One line, as in "ifname=vm0,script=no,downscript=no".
 *  Return: the length of the whole text, as snprintf() does. */
int vmtap_port_describe(const struct vmtap_port *port, char *buf, size_t size);

/** vmtap_port_ifname() - The host interface's name; NULL where there is none. */
const char *vmtap_port_ifname(const struct vmtap_port *port);

/** vmtap_port_fd() - The descriptor of queue @queue (from 0); -1: there is none. Borrowed. */
int vmtap_port_fd(const struct vmtap_port *port, unsigned queue);

/** vmtap_port_stats() - Copy the counters; @size is sizeof(*stats). Ports with an interface ask the kernel: two system
 *  calls, or for several when they are asked one after the other; what the kernel says may be 2 ms old then. */
void vmtap_port_stats(const struct vmtap_port *port, struct vmtap_stats *stats, size_t size);

/** vmtap_port_pairs() - How many queue pairs the port has; at least 1. */
unsigned vmtap_port_pairs(const struct vmtap_port *port);

/** vmtap_port_queue_stats() - Copy the counters of queue pair @pair (from 0); @size is sizeof(*stats). Stops
 *  no worker: counters may be of moments a little apart. Return: 0; -EINVAL: there is no such pair. */
int vmtap_port_queue_stats(const struct vmtap_port *port, unsigned pair,
			   struct vmtap_queue_stats *stats, size_t size);

/**
 * vmtap_port_set_poll() - Stop or restart reading and writing
 *
 * While off, the port takes no frame (its peer is held back) and reads none;
 * nothing is lost. Used while a VM is paused.
 */
void vmtap_port_set_poll(struct vmtap_port *port, bool on);

/**
 * vmtap_port_change() - Have the limits and filters of a description
 * @spec: as for vmtap_port_open(), of the port's own type. Only keys whose vmtap_key_info says that they are
 *        live are looked at; one that is missing is what it is by default
 *
 * The port goes on: no frame is lost, nothing is opened anew.
 * Return: 0; -EINVAL: no such description, of another type, or out of range, and nothing was changed; -EBUSY,
 * -EPIPE, -ENOMEM as vmtap_port_set_limit().
 */
int vmtap_port_change(struct vmtap_port *port, const char *spec, struct vmtap_error *err);

/** vmtap_port_set_link() - Set the port's link up or down. Reaches the host
 *  side (TAP: carrier) and the peer. While down, frames are discarded and counted. */
int vmtap_port_set_link(struct vmtap_port *port, bool up, struct vmtap_error *err);

/**
 * vmtap_port_announce() - Have the network learn where the guest behind the port is
 *
 * For after its traffic was moved here by other means than a migration of the VMM. Frames enter by the port
 * as if the guest had sent them: RARP for its address, and gratuitous ARP and neighbour advertisements
 * for those that it was seen to use; a guest that negotiated it is asked to announce itself.
 * Return: 0; -EOPNOTSUPP: not a vhost-user port; -ENOTCONN: no guest; -ENODATA: its MAC address is not known.
 */
int vmtap_port_announce(struct vmtap_port *port, struct vmtap_error *err);

/* -------------------------------------------------------- limits and filters */

/** Which way frames go, seen from the port. */
enum vmtap_direction {
	VMTAP_RX, /* they enter by it */
	VMTAP_TX, /* they leave by it */
};

/**
 * struct vmtap_limit - How much may pass, one way
 * @size:     sizeof(struct vmtap_limit)
 * @rate_bps: bits a second, up to 10^12; 0: no limit
 * @burst:    bytes that may pass at once when nothing did for a while; 0: what 50 ms of @rate_bps bring, and on
 *            top what was missed while a thread that waited for it was woken up late
 * @pps:      frames a second; 0: no limit
 *
 * A frame counts as it is on a wire, without FCS, preamble and gap; one that is still to be segmented
 * as the segments that it becomes, each with headers of its own. Longer ones than @burst pass, too, and
 * what they were too long is waited for afterwards. What is beyond the limit is not dropped: it waits where it
 * is (in the TAP's queue, a guest's ring, a socket).
 */
struct vmtap_limit {
	size_t size;
	uint64_t rate_bps;
	uint64_t burst;
	uint64_t pps;
};

/**
 * vmtap_port_set_limit() - Limit the port from now on
 * @limit: borrowed; NULL: no limit
 *
 * What descriptions call rate=, burst=, pps= and, for one way, rx-rate= and the like. May be called at any time.
 * Return: 0; -EINVAL: out of range; -EBUSY: with vhost=on, of the port or its peer,
 * the kernel carries the frames; -EPIPE: the port is closed; -ENOMEM.
 */
int vmtap_port_set_limit(struct vmtap_port *port, enum vmtap_direction direction,
			 const struct vmtap_limit *limit, struct vmtap_error *err);
/** vmtap_port_limit() - The limit in force, all zero when there is none; @size is sizeof(*limit). */
void vmtap_port_limit(const struct vmtap_port *port, enum vmtap_direction direction,
		      struct vmtap_limit *limit, size_t size);

/**
 * vmtap_port_set_filter() - Say whose frames may enter by the port
 * @macs: MAC addresses, joined by '+'; NULL: any
 * @ips:  IPv4 and IPv6 addresses or networks, joined by '+', as in "10.0.0.2+fd00::/64"; NULL: any
 *
 * Frames whose sender claims to have another address are dropped and counted (VMTAP_DROP_FILTERED): vmtap(1),
 * "Filters", has what is looked at. May be called at any time.
 * Return: 0; -EINVAL: not such a list; -EBUSY, -EPIPE, -ENOMEM as vmtap_port_set_limit().
 */
int vmtap_port_set_filter(struct vmtap_port *port, const char *macs, const char *ips,
			  struct vmtap_error *err);
/** vmtap_port_mac_filter(), vmtap_port_ip_filter() - As it was set; NULL: any. Borrowed until it is set again. */
const char *vmtap_port_mac_filter(const struct vmtap_port *port);
const char *vmtap_port_ip_filter(const struct vmtap_port *port);

/* ------------------------------------------ ports with a device behind them */

/* Header and offloads of ports with a device behind them (TAP). On others:
 * false, or -EOPNOTSUPP. */

enum vmtap_endian {
	VMTAP_ENDIAN_NATIVE,
	VMTAP_ENDIAN_LITTLE,
	VMTAP_ENDIAN_BIG
};

bool vmtap_port_has_vnet_hdr(const struct vmtap_port *port);
/** Can the header have @len bytes? */
bool vmtap_port_has_vnet_hdr_len(const struct vmtap_port *port, unsigned len);
bool vmtap_port_has_ufo(const struct vmtap_port *port);
bool vmtap_port_has_uso(const struct vmtap_port *port);
/** Use the header or not; agrees with the device having one, else -EINVAL. */
int vmtap_port_use_vnet_hdr(struct vmtap_port *port, bool on, struct vmtap_error *err);
/** 10 or 12 bytes; anything else is -EINVAL. */
int vmtap_port_set_vnet_hdr_len(struct vmtap_port *port, unsigned len, struct vmtap_error *err);
/** Byte order of the header at the device (TUNSETVNETLE, TUNSETVNETBE). */
int vmtap_port_set_vnet_endian(struct vmtap_port *port, enum vmtap_endian order,
			       struct vmtap_error *err);
/**
 * vmtap_port_set_offload() - State what the frames' reader takes
 * @offload: bits of enum vmtap_offload
 *
 * On an application port: what the application takes; its peer follows. On
 * a device: set directly what the device may leave undone; what the kernel
 * lacks is left out. Return: the bits in force, or a negative errno.
 */
int vmtap_port_set_offload(struct vmtap_port *port, unsigned offload, struct vmtap_error *err);
/** Attach or detach queue @queue of a multi-queue TAP (TUNSETQUEUE). */
int vmtap_port_set_queue(struct vmtap_port *port, unsigned queue, bool on, struct vmtap_error *err);

/* --------------------------------------------------------------- vhost-net */

/*
 * The kernel's vhost-net carries the frames of a queue pair between its TAP and a guest's rings,
 * and no process wakes up for them. For a VMM whose guest's memory is in its own process:
 *
 *   port = vmtap_port_open(v, "tap,ifname=vm0,vhostforce=on", &err);
 *   vhost = vmtap_port_vhost(port, 0);
 *   vmtap_port_set_vnet_hdr_len(port, 12, &err);         as the guest's rings have it
 *   vmtap_port_set_offload(port, offload, &err);         as the guest takes it
 *   vmtap_vhost_set_features(vhost, features & vmtap_vhost_features(vhost), &err);
 *   vmtap_vhost_set_mem(vhost, regions, cnt, &err);
 *   vmtap_vhost_set_ring(vhost, VMTAP_VHOST_RX, &rx, &err);
 *   vmtap_vhost_start(vhost, VMTAP_VHOST_RX, &err);      and the same for VMTAP_VHOST_TX
 *   ...
 *   vmtap_vhost_stop(vhost, VMTAP_VHOST_RX, &base, &err);
 *
 * While a ring of the pair runs, the port neither reads nor writes that queue of the TAP. Closing the
 * port stops both rings first.
 */

/** The kernel's side of a queue pair. It belongs to its port. */
struct vmtap_vhost;

/** The rings of a pair. */
enum vmtap_vhost_ring_index {
	VMTAP_VHOST_RX, /* frames for the guest */
	VMTAP_VHOST_TX, /* frames from it */
};

/** Event descriptors of a ring (eventfd). */
enum vmtap_vhost_event {
	VMTAP_VHOST_KICK, /* from the guest: there are buffers */
	VMTAP_VHOST_CALL, /* to the guest: they are used */
	VMTAP_VHOST_ERR,  /* to the VMM: the kernel found something impossible in the ring */
};

/** struct vmtap_vhost_region - @len bytes of the guest's memory at guest physical address @gpa,
 *  and where they are in this process */
struct vmtap_vhost_region {
	uint64_t gpa, len;
	void *host;
};

/**
 * struct vmtap_vhost_ring - A split ring
 * @size:    sizeof(struct vmtap_vhost_ring)
 * @entries: of the ring
 * @base:    the available index that it goes on with
 * @desc, @avail, @used: addresses of its parts in this process; with VIRTIO_F_ACCESS_PLATFORM
 *           what the IOTLB translates
 * @log_used, @used_gpa: log writes to the used ring, which has that guest physical address
 * @endian:  byte order of a legacy guest
 * @kick, @call, @err: eventfds, borrowed during the call; -1: none
 */
struct vmtap_vhost_ring {
	size_t size;
	unsigned entries;
	uint32_t base;
	uint64_t desc, avail, used;
	bool log_used;
	uint64_t used_gpa;
	enum vmtap_endian endian;
	int kick, call, err;
};

/** What a message of the IOTLB says. */
enum vmtap_iotlb_type {
	VMTAP_IOTLB_MISS = 1,	     /* from the kernel: it needs a translation of @iova */
	VMTAP_IOTLB_UPDATE = 2,	     /* to it: here is one */
	VMTAP_IOTLB_INVALIDATE = 3,  /* to it: that range ends */
	VMTAP_IOTLB_ACCESS_FAIL = 4, /* from it: the guest may not do that there */
};

#define VMTAP_IOTLB_READ 1u
#define VMTAP_IOTLB_WRITE 2u

struct vmtap_vhost_iotlb {
	enum vmtap_iotlb_type type;
	unsigned perm; /* VMTAP_IOTLB_READ, VMTAP_IOTLB_WRITE */
	uint64_t iova, len;
	void *host;
};

/** vmtap_port_vhost() - The kernel's side of queue pair @pair (from 0) of a TAP with vhost=on.
 *  Return: borrowed, until the port is closed; NULL: there is none. */
struct vmtap_vhost *vmtap_port_vhost(struct vmtap_port *port, unsigned pair);

/** vmtap_vhost_fd() - The descriptor of /dev/vhost-net; readable when vmtap_vhost_iotlb_recv() has
 *  something. Borrowed. */
int vmtap_vhost_fd(const struct vmtap_vhost *vhost);
/** vmtap_vhost_features() - Feature bits (VIRTIO_*, VHOST_F_LOG_ALL) of rings that this kernel has.
 *  Those of checksums and segmentation are the TAP's: vmtap_port_set_offload(). */
uint64_t vmtap_vhost_features(const struct vmtap_vhost *vhost);
/** vmtap_vhost_set_features() - What the guest acknowledged, before rings start; VHOST_F_LOG_ALL
 *  also while they run. -EOPNOTSUPP: not among vmtap_vhost_features(). */
int vmtap_vhost_set_features(struct vmtap_vhost *vhost, uint64_t features, struct vmtap_error *err);
/** vmtap_vhost_set_mem() - The guest's memory; also while rings run, if they stay where they are.
 *  Neighbours are joined. -E2BIG: more regions than this kernel takes (64, mostly). */
int vmtap_vhost_set_mem(struct vmtap_vhost *vhost, const struct vmtap_vhost_region *regions,
			unsigned cnt, struct vmtap_error *err);
/** vmtap_vhost_set_log() - The dirty log: a bit for 4096 bytes of the guest's memory, from
 *  address 0 to its end. Before VHOST_F_LOG_ALL is set. @event: an eventfd, written for each
 *  write to the log; -1: none. */
int vmtap_vhost_set_log(struct vmtap_vhost *vhost, void *log, int event, struct vmtap_error *err);
/** vmtap_vhost_set_ring() - Describe a ring that is stopped. @r is borrowed. */
int vmtap_vhost_set_ring(struct vmtap_vhost *vhost, unsigned ring, const struct vmtap_vhost_ring *r,
			 struct vmtap_error *err);
/** vmtap_vhost_set_event() - Another event descriptor, also while the ring runs; -1: none. */
int vmtap_vhost_set_event(struct vmtap_vhost *vhost, unsigned ring, enum vmtap_vhost_event event,
			  int fd, struct vmtap_error *err);
/** vmtap_vhost_set_ring_log() - Begin or end to log writes to the used ring, also while it runs. */
int vmtap_vhost_set_ring_log(struct vmtap_vhost *vhost, unsigned ring, bool on, uint64_t used_gpa,
			     struct vmtap_error *err);
/** vmtap_vhost_set_poll() - Microseconds that the kernel looks for work before it sleeps; 0: none.
 *  Both rings; in the beginning what poll-us= said. */
int vmtap_vhost_set_poll(struct vmtap_vhost *vhost, unsigned poll_us, struct vmtap_error *err);
/** vmtap_vhost_start() - The kernel serves the ring from now on. */
int vmtap_vhost_start(struct vmtap_vhost *vhost, unsigned ring, struct vmtap_error *err);
/** vmtap_vhost_stop() - It serves it no longer. Return: 0 and @base (may be NULL), with which the
 *  ring goes on later; fine when it is stopped. */
int vmtap_vhost_stop(struct vmtap_vhost *vhost, unsigned ring, uint32_t *base,
		     struct vmtap_error *err);
/** vmtap_vhost_reset() - As after opening: rings stopped, memory, log and features forgotten. */
int vmtap_vhost_reset(struct vmtap_vhost *vhost, struct vmtap_error *err);
/** vmtap_vhost_iotlb_send() - An update or an invalidation. */
int vmtap_vhost_iotlb_send(struct vmtap_vhost *vhost, const struct vmtap_vhost_iotlb *msg,
			   struct vmtap_error *err);
/** vmtap_vhost_iotlb_recv() - Return: 1 and @msg; 0: there is none; or a negative errno. */
int vmtap_vhost_iotlb_recv(struct vmtap_vhost *vhost, struct vmtap_vhost_iotlb *msg,
			   struct vmtap_error *err);

/* ------------------------------------------------------- application ports */

/**
 * struct vmtap_app_ops - How the application receives
 * @size:     sizeof(struct vmtap_app_ops)
 * @hdr_len:  0: the application's frames carry no virtio-net header;
 *            10 or 12: vmtap_send() and vmtap_sendv() expect one of that length in front
 * @frames:   @cnt frames (1..VMTAP_BURST_MAX) for the application, borrowed
 *            until it returns. Return how many were taken; after fewer than
 *            @cnt, call vmtap_app_writable() when there is room again
 * @writable: the peer takes frames again, after vmtap_send_burst() took fewer
 *            than it was offered. May be NULL
 * @link:     the peer's link went up or down. May be NULL
 * @closed:   the port is closed; no callback comes after it. May be NULL
 */
struct vmtap_app_ops {
	size_t size;
	unsigned hdr_len;
	unsigned (*frames)(void *opaque, const struct vmtap_frame *frames, unsigned cnt);
	void (*writable)(void *opaque);
	void (*link)(void *opaque, bool up);
	void (*closed)(void *opaque);
};

/** vmtap_app_new() - Make a port that the application implements.
 *  @name may be NULL; @ops is copied. */
struct vmtap_port *vmtap_app_new(struct vmtap *v, const char *name, const struct vmtap_app_ops *ops,
				 void *opaque, struct vmtap_error *err);

/** vmtap_app_writable() - The application can take frames again. */
void vmtap_app_writable(struct vmtap_port *port);

/**
 * vmtap_send_burst() - Offer frames to the port's peer
 * @cnt: 1..VMTAP_BURST_MAX
 * Return: frames taken. Fewer than @cnt: ops->writable will be called once.
 */
unsigned vmtap_send_burst(struct vmtap_port *port, const struct vmtap_frame *frames, unsigned cnt);

/** vmtap_sent_cb() - Called exactly once for a send that returned 0.
 *  @status: bytes sent, or -ECANCELED when it was purged. */
typedef void vmtap_sent_cb(void *opaque, ssize_t status);

/**
 * vmtap_send() - Send one frame, now or later
 * @buf:  the frame, with its virtio-net header in front when ops->hdr_len is not 0
 * @done: called when a queued frame has been delivered or purged; NULL: not told
 *
 * Return: @len: delivered (or discarded and counted, when nobody listens);
 *         0: queued, in order, copied; @done will be called;
 *         -ENOBUFS: the queue is full (only with @done NULL); -EINVAL: bad length; -EPIPE: closed.
 */
ssize_t vmtap_send(struct vmtap_port *port, const void *buf, size_t len, vmtap_sent_cb *done,
		   void *opaque);
/** vmtap_send_raw() - The same for a frame without header, whatever ops->hdr_len says. */
ssize_t vmtap_send_raw(struct vmtap_port *port, const void *buf, size_t len, vmtap_sent_cb *done,
		       void *opaque);
/** vmtap_sendv() - The same for a scatter list of any length. */
ssize_t vmtap_sendv(struct vmtap_port *port, const struct iovec *iov, unsigned iov_cnt,
		    vmtap_sent_cb *done, void *opaque);
/** vmtap_flush() - Try to deliver what is queued, in order. Return: frames still queued. */
unsigned vmtap_flush(struct vmtap_port *port);
/** vmtap_purge() - Drop what is queued; every pending callback is called with -ECANCELED. */
void vmtap_purge(struct vmtap_port *port);

/* ------------------------------------------------------------------- links */

/** vmtap_link_new() - Join two ports; frames move from now on.
 *  Offloads are negotiated: each side is told what the other takes; the rest is finished in software.
 *  Return: borrowed; it ends with vmtap_link_free() or with either port. NULL: -EBUSY; -EINVAL, also for a
 *  port whose description says what it may do in a switch (isolated=, vlan=, trunk=, mcast-flood=). */
struct vmtap_link *vmtap_link_new(struct vmtap *v, struct vmtap_port *a, struct vmtap_port *b,
				  struct vmtap_error *err);
void vmtap_link_free(struct vmtap_link *link);

/* ---------------------------------------------------------------- switches */

/*
 * A switch joins any number of ports: frames go to the port behind which their destination was learned.
 * What a port may do there its own description says: isolated=, vlan=, trunk=.
 */

/**
 * vmtap_switch_new() - Make a switch from its description
 * @spec: "switch", "switch,id=lan,max-macs=1024", or the same as a JSON object;
 *        vmtap_switch_info() has its keys. Without `id` a name is made up
 *
 * Return: a handle, until vmtap_switch_free() or vmtap_free(). NULL: see @err.
 */
struct vmtap_switch *vmtap_switch_new(struct vmtap *v, const char *spec, struct vmtap_error *err);

/** vmtap_switch_free() - Part its ports, which stay open, and free it. Also from a callback. NULL is fine. */
void vmtap_switch_free(struct vmtap_switch *sw);

const char *vmtap_switch_name(const struct vmtap_switch *sw);

/** vmtap_switch_add() - Join a port; frames move from now on. It leaves with vmtap_switch_remove(), or
 *  when it is closed. Return: 0; -EBUSY: it is joined already; -ENOSPC: too many ports; see @err. */
int vmtap_switch_add(struct vmtap_switch *sw, struct vmtap_port *port, struct vmtap_error *err);
/** vmtap_switch_remove() - Part it. What waited for it is dropped and counted as purged.
 *  Return: 0; -ENOENT: it is not in @sw. */
int vmtap_switch_remove(struct vmtap_switch *sw, struct vmtap_port *port);

/**
 * struct vmtap_switch_stats - What a switch has done since it was made
 * @forwarded: frames to the one port behind which their destination is
 * @flooded:   frames to all ports since their destination was not known
 * @groups:    broadcasts and multicasts, to all ports as well unless snooping knows better
 * @kept:      frames whose destination is behind the port that they came from, or one that they may not
 *             reach
 * @learned:   addresses; again when they were forgotten
 * @moves:     addresses that were seen at another port
 * @refused:   frames from addresses that were not learned since the table was full
 * @aged:      addresses that were silent for too long
 * @macs, @macs_max, @ports: addresses known now, at most, and ports
 * @snooping:  IGMP and MLD; the rest is 0 without
 * @to_members: of @groups, multicasts that went to members of their group and to routers only
 * @to_routers: of @groups, multicasts to groups that nobody is in, to routers only
 * @mcast_reports, @mcast_queries: messages of IGMP and MLD that were used
 * @mcast_wrong: of those that were dropped, with a wrong checksum or length
 * @unfit:     memberships that were not kept since there was no room
 * @memberships, @memberships_max: ports in groups, now and at most; @routers: ports behind which there are
 *             multicast routers; @queriers: where somebody asks for memberships. Of IPv4 and of IPv6, and of each VLAN,
 *             counted apart
 *
 * What was dropped is in the counters of its port (struct vmtap_counters): "queue-full" at the port that was
 * too slow, "filtered" for VLANs.
 */
struct vmtap_switch_stats {
	uint64_t forwarded, flooded, groups, kept;
	uint64_t learned, moves, refused, aged;
	unsigned macs, macs_max, ports;
	bool snooping;
	uint64_t to_members, to_routers;
	uint64_t mcast_reports, mcast_queries, mcast_wrong, unfit;
	unsigned memberships, memberships_max, routers, queriers;
};

/** vmtap_switch_stats() - Copy the counters; @size is sizeof(*stats). */
void vmtap_switch_stats(const struct vmtap_switch *sw, struct vmtap_switch_stats *stats,
			size_t size);

/** vmtap_switch_each_port() - In the order in which they came. @row may not change the switch. */
void vmtap_switch_each_port(const struct vmtap_switch *sw,
			    void (*row)(void *opaque, struct vmtap_port *port), void *opaque);

/** struct vmtap_switch_mac - An address that was learned; @vlan 0: at a port without VLANs;
 *  @age_ms: since a frame came from it */
struct vmtap_switch_mac {
	uint8_t mac[6];
	unsigned vlan;
	struct vmtap_port *port;
	uint64_t age_ms;
};

/** vmtap_switch_each_mac() - In no order. @row may not change the switch. */
void vmtap_switch_each_mac(const struct vmtap_switch *sw,
			   void (*row)(void *opaque, const struct vmtap_switch_mac *mac),
			   void *opaque);
/**
 * struct vmtap_switch_group - A port in a multicast group
 * @group:   as text, IPv4 or IPv6; borrowed until the call returns
 * @left_ms: until it is not any more, unless it says again that it is
 */
struct vmtap_switch_group {
	const char *group;
	unsigned vlan;
	struct vmtap_port *port;
	unsigned left_ms;
};

/** vmtap_switch_each_group() - With snooping; the members of a group one after the other. @row may not change the
 *  switch. */
void vmtap_switch_each_group(const struct vmtap_switch *sw,
			     void (*row)(void *opaque, const struct vmtap_switch_group *group),
			     void *opaque);

/**
 * struct vmtap_switch_router - A port behind which there is a router of multicast
 * @is_ip6:  of IPv6
 * @querier: when it is from there that somebody asked last in this VLAN: who, as text; NULL: it is not
 * @left_ms: until it is not any more, unless it is heard again
 */
struct vmtap_switch_router {
	bool is_ip6;
	const char *querier;
	unsigned vlan;
	struct vmtap_port *port;
	unsigned left_ms;
};

/** vmtap_switch_each_router() - With snooping, in no order. @row may not change the switch. */
void vmtap_switch_each_router(const struct vmtap_switch *sw,
			      void (*row)(void *opaque, const struct vmtap_switch_router *router),
			      void *opaque);

/** vmtap_switch_flush() - Forget all addresses, and what snooping learned. */
void vmtap_switch_flush(struct vmtap_switch *sw);

/* ---------------------------------------------------------------- captures */

/** Most files that a capture writes in turn. */
#define VMTAP_CAPTURE_FILES_MAX 64

/** Ways of a frame that are captured; see Directions above. */
#define VMTAP_CAPTURE_RX 1u
#define VMTAP_CAPTURE_TX 2u

/**
 * struct vmtap_capture_config - What is captured, and where it goes
 * @size:       sizeof(struct vmtap_capture_config); newer fields are zero for older callers
 * @id:         its name; NULL: one is made up
 * @path:       the file; with @file_cnt, a number goes behind it. What is there is overwritten
 * @fds, @fd_cnt: instead of @path: files, pipes or sockets that are open, taken, also when the
 *              call fails. The array is borrowed
 * @file_cnt, @file_bytes: write up to @file_bytes to each of @file_cnt files in turn, the oldest is overwritten.
 *              0: one, without limit
 * @filter:     which frames, as in pcap-filter(7); NULL: all. Names of hosts are looked up, which takes
 *              as long as it takes: use addresses
 * @snaplen:    bytes that are kept of each; 0: all
 * @directions: VMTAP_CAPTURE_RX, VMTAP_CAPTURE_TX; 0: both
 * @segment:    frames that are still to be segmented are cut as the wire would have them; otherwise
 *              they are kept whole, and a comment says so
 * @limit:      ends after so many frames; 0: does not
 * @buffer:     bytes that may wait for the disk, for each queue pair: a power of two of 256 KiB or
 *              more; 0: 8 MiB. What finds no room is not captured, and counted
 * @ended:      it writes nothing any more. Called once, inside vmtap_dispatch() or vmtap_free(), unless
 *              vmtap_capture_stop() came first, which may be called here. May be NULL
 */
struct vmtap_capture_config {
	size_t size;
	const char *id;
	const char *path;
	const int *fds;
	unsigned fd_cnt;
	unsigned file_cnt;
	uint64_t file_bytes;
	const char *filter;
	uint32_t snaplen;
	unsigned directions;
	bool segment;
	uint64_t limit;
	size_t buffer;
	void (*ended)(void *opaque, struct vmtap_capture *capture);
	void *opaque;
};

/**
 * struct vmtap_capture_stats - Counters of a capture
 * @seen:     frames that went by in its directions
 * @filtered: of these, not wanted by the filter
 * @dropped:  wanted, but the writer was behind and the buffer full. The port was not held up
 * @written:  frames in the file; with segment, each segment is one
 * @bytes:    of these frames
 */
struct vmtap_capture_stats {
	uint64_t seen, filtered, dropped, written, bytes;
};

/**
 * vmtap_capture_start() - Write a port's frames to a pcapng file, pipe or socket from now on
 *
 * A thread of the capture's own writes. What is slow or full there never holds up the port: frames are left
 * out of the capture, or it ends. Checksums that a receiver would still have to fill in are filled in.
 * Frames are seen as they enter and leave the port; those that a limit or filter of the port discards
 * are not.
 * Return: a handle; vmtap_capture_stop() releases it. NULL: see @err; -EBUSY: vhost=on.
 */
struct vmtap_capture *vmtap_capture_start(struct vmtap_port *port,
					  const struct vmtap_capture_config *config,
					  struct vmtap_error *err);
/** vmtap_capture_end() - Capture no more; what waits is still written, then config.ended is called. */
void vmtap_capture_end(struct vmtap_capture *capture);
/** vmtap_capture_stop() - End, wait until all is written (to a reader who does not read: half a
 *  second), and release the handle. NULL is fine. */
void vmtap_capture_stop(struct vmtap_capture *capture);

/** vmtap_capture_is_over() - Everything is written, or the output takes no more. */
bool vmtap_capture_is_over(const struct vmtap_capture *capture);
/** vmtap_capture_error() - Why it ended; NULL: as it was told to, or with its port. Borrowed. */
const struct vmtap_error *vmtap_capture_error(const struct vmtap_capture *capture);
const char *vmtap_capture_id(const struct vmtap_capture *capture);
/** vmtap_capture_port() - The name of the port. Borrowed. */
const char *vmtap_capture_port(const struct vmtap_capture *capture);
/** vmtap_capture_opaque() - config.opaque; NULL after config.ended was called. */
void *vmtap_capture_opaque(const struct vmtap_capture *capture);
/** vmtap_capture_stats() - Copy the counters; @size is sizeof(*stats). */
void vmtap_capture_stats(const struct vmtap_capture *capture, struct vmtap_capture_stats *stats,
			 size_t size);
/** vmtap_capture_next() - The captures of an instance: the one behind @capture, NULL: the first. Return:
 *  borrowed; NULL: there is no more. */
struct vmtap_capture *vmtap_capture_next(const struct vmtap *v,
					 const struct vmtap_capture *capture);

/* ------------------------------------------------------------------- pings */

/** Most pings of an instance at a time. */
#define VMTAP_PINGS_MAX 64
/** Room for an IPv6 address in words, and its NUL. */
#define VMTAP_ADDRESS_TEXT 46

/** What became of a probe. */
enum vmtap_ping_fate {
	VMTAP_PING_ANSWERED,
	VMTAP_PING_LOST, /* it left the port, and nobody answered in time */
	VMTAP_PING_HELD, /* the port's outside took nothing in time: back-pressure, or a limit of the port */
	VMTAP_PING_DROPPED, /* the port discarded it; see cause */
};

/**
 * struct vmtap_ping_probe - A probe whose fate is known
 * @seq:          counts from 1
 * @cause:        VMTAP_PING_DROPPED: why
 * @queue:        number of the queue pair whose lane sent it
 * @wait_ns:      from when it was due until the thread that moves the port's frames came to it
 * @hand_over_ns: from there until the port's outside had taken it; VMTAP_PING_HELD: until it was given up
 * @outside_ns:   VMTAP_PING_ANSWERED: from there until that thread had the answer: the wire, the host or the
 *                guest, and how long the answer waited to be read
 * @busy_ns:      of these, how long the thread was not waiting for it: an answer may have waited that long to be
 *                read, and not longer. 0 where the answer came to another thread than sent the probe, or another loop
 *                waits for vmtap_fd()
 * @mac, @address: VMTAP_PING_ANSWERED: who answered first
 */
struct vmtap_ping_probe {
	uint64_t seq;
	enum vmtap_ping_fate fate;
	enum vmtap_drop cause;
	unsigned queue;
	uint64_t wait_ns, hand_over_ns, outside_ns, busy_ns;
	unsigned char mac[6];
	char address[VMTAP_ADDRESS_TEXT];
};

/**
 * struct vmtap_ping_config - Whom to ask, and how often
 * @size:        sizeof(struct vmtap_ping_config); newer fields are zero for older callers
 * @id:          its name; NULL: one is made up
 * @address:     IPv4: ARP requests; IPv6: neighbour solicitations; a group of IPv6: echo requests. NULL: ff02::1,
 *               which is everybody who speaks IPv6; when nobody answers that, an IPv4 address that is heard in ARP
 *               meanwhile
 * @source:      an IPv4 address to ask with; NULL: 0.0.0.0, as those do who ask whether an address is free
 * @count:       ends after so many probes; 0: does not
 * @interval_ms: from one probe to the next, 10 to 3600000; 0: 1000. Never more than 16 are on their way
 * @timeout_ms:  how long an answer may take, 10 to 60000; 0: 1000
 * @vlan:        the VLAN of the tag that probes and their answers have, 1 to 4094; 0: none
 * @probed:      a probe's fate is known; probes may overtake each other. Inside vmtap_dispatch();
 *               vmtap_ping_stop() and closing the port are fine there. May be NULL
 * @ended:       there will be no more probes. Called once, inside vmtap_dispatch() or vmtap_free(), unless
 *               vmtap_ping_stop() came first, which may be called here. May be NULL
 */
struct vmtap_ping_config {
	size_t size;
	const char *id;
	const char *address;
	const char *source;
	uint64_t count;
	unsigned interval_ms;
	unsigned timeout_ms;
	void (*probed)(void *opaque, struct vmtap_ping *ping, const struct vmtap_ping_probe *probe);
	void (*ended)(void *opaque, struct vmtap_ping *ping);
	void *opaque;
	unsigned vlan;
};

/**
 * struct vmtap_ping_stats - Counters of a ping
 * @sent:       probes that the port's outside took
 * @answered, @lost, @held, @dropped: probes by fate
 * @duplicates: further answers to a probe by the one that had answered it
 * @others:     by somebody else: groups have many members
 * @late:       answers to a probe that had been given up, or that came faster than could be noted
 */
struct vmtap_ping_stats {
	uint64_t sent, answered, lost, held, dropped, duplicates, others, late;
};

/**
 * vmtap_ping_start() - Send probes out of a port, as if they came from what it is joined to, and time the answers
 *
 * The port has to be joined. Probes have addresses of their own, pass the port's limits and captures, and are counted;
 * answers, too, but they go no further than the port: whoever it is joined to sees nothing of it. Other
 * frames are not held up.
 * Return: a handle; vmtap_ping_stop() releases it. NULL: see @err; -EBUSY: vhost=on; -ENOTCONN: the port is joined
 * to nothing.
 */
struct vmtap_ping *vmtap_ping_start(struct vmtap_port *port, const struct vmtap_ping_config *config,
				    struct vmtap_error *err);
/** vmtap_ping_end() - Send no more, and forget what is on its way; then config.ended is called. */
void vmtap_ping_end(struct vmtap_ping *ping);
/** vmtap_ping_stop() - End and release the handle; no callback comes any more. NULL is fine. */
void vmtap_ping_stop(struct vmtap_ping *ping);

/** vmtap_ping_is_over() - It has ended. */
bool vmtap_ping_is_over(const struct vmtap_ping *ping);
/** vmtap_ping_error() - Why it ended; NULL: as it was told to. Borrowed. */
const struct vmtap_error *vmtap_ping_error(const struct vmtap_ping *ping);
const char *vmtap_ping_id(const struct vmtap_ping *ping);
/** vmtap_ping_port() - The name of the port. Borrowed. */
const char *vmtap_ping_port(const struct vmtap_ping *ping);
/** vmtap_ping_method() - What it asks, in words: "ICMPv6 echo requests to ff02::1". Borrowed; it may change with
 *  what is asked. */
const char *vmtap_ping_method(const struct vmtap_ping *ping);
/** vmtap_ping_opaque() - config.opaque; NULL after config.ended was called. */
void *vmtap_ping_opaque(const struct vmtap_ping *ping);
/** vmtap_ping_stats() - Copy the counters; @size is sizeof(*stats). */
void vmtap_ping_stats(const struct vmtap_ping *ping, struct vmtap_ping_stats *stats, size_t size);
/** vmtap_ping_next() - As vmtap_capture_next(). */
struct vmtap_ping *vmtap_ping_next(const struct vmtap *v, const struct vmtap_ping *ping);
/** vmtap_ping_fate_name() - "answered", "lost", "held", "dropped". */
const char *vmtap_ping_fate_name(enum vmtap_ping_fate fate);

/* ---------------------------------------------------------- the host around */

/** Whether the process that a TAP is tagged with still exists. */
enum vmtap_owner_state {
	VMTAP_OWNER_NONE,    /* no tag: not made by vmtap */
	VMTAP_OWNER_ALIVE,   /* the process runs */
	VMTAP_OWNER_GONE,    /* it has ended */
	VMTAP_OWNER_UNKNOWN, /* it lives, or lived, where we cannot see: another PID namespace */
};

/**
 * struct vmtap_iface - A TAP or macvtap of this network namespace
 * @bridge:  the bridge, or for a macvtap the parent, that it belongs to; "" for none
 * @kind:    "tap" or "macvtap"
 * @queues:  that are open; of a macvtap those of its @holder, 0 when there is none that we may see
 * @uid, @gid: who may attach to it; -1: nobody in particular
 * @owner_*: from the tag that vmtap leaves in the interface's alias: who made it (user and
 *           program), the process, when (seconds since 1970)
 * @holder_pid: a process that has it open now; 0: none that we may see. @holder: its name
 * Counters are the kernel's: rx is from the guest, tx towards it.
 * All strings are valid during the call only.
 */
struct vmtap_iface {
	const char *name, *kind, *bridge;
	bool up, carrier, persist, multi_queue;
	unsigned queues, detached_queues, mtu;
	uint8_t mac[6];
	int64_t uid, gid;
	enum vmtap_owner_state owner_state;
	const char *owner;
	int owner_pid;
	int64_t owner_since;
	int holder_pid;
	const char *holder;
	uint64_t rx_frames, rx_bytes, rx_drops, tx_frames, tx_bytes, tx_drops;
};

typedef void vmtap_iface_cb(void *opaque, const struct vmtap_iface *iface);

/** vmtap_host_list() - Call @row for each TAP and macvtap. Return: how many, or -errno and @err. */
int vmtap_host_list(vmtap_iface_cb *row, void *opaque, struct vmtap_error *err);

/**
 * vmtap_host_reap() - Remove TAPs that vmtap made and whose process has ended
 * @dry_run: only say which
 * @row:     called for each, before it is removed
 *
 * Never touches what has no tag, or what a process still has open.
 * Return: how many, or -errno and @err (the first that could not be removed; the others are).
 */
int vmtap_host_reap(bool dry_run, vmtap_iface_cb *row, void *opaque, struct vmtap_error *err);

/** How bad a finding is. */
enum vmtap_severity {
	VMTAP_FINDING_OK,      /* checked, and fine */
	VMTAP_FINDING_NOTE,    /* worth knowing */
	VMTAP_FINDING_WARNING, /* works, but badly, or not for everybody */
	VMTAP_FINDING_ERROR,   /* does not work */
};

/**
 * struct vmtap_finding - What the doctor found
 * @check:  the check's name, as in "bridge-exists"; stable
 * @object: what it is about, as in "bridge br0"
 * @what:   what is the matter, one sentence
 * @why:    what follows from it; may be ""
 * @remedy: the command or line that mends it; "" where there is none
 * Strings are valid during the call only.
 */
struct vmtap_finding {
	enum vmtap_severity severity;
	const char *check, *object, *what, *why, *remedy;
};

/**
 * vmtap_doctor() - Check why VM networking does not work here
 * @target: a bridge's name (or a TAP's or macvtap's), a port's description
 *          ("tap,ifname=vm0,br=br0"), or NULL: the host. "pid:1234": a running VMM, and
 *          "cmdline:qemu-system-x86_64 ...": a VMM's command line; is the memory shared?
 *
 * Changes nothing.
 * Return: the worst severity found (enum vmtap_severity), or -errno and @err.
 */
int vmtap_doctor(const char *target, void (*found)(void *opaque, const struct vmtap_finding *f),
		 void *opaque, struct vmtap_error *err);

/* ----------------------------------------------------------- introspection */

/** struct vmtap_key_info - One option of a port type; all strings static. */
struct vmtap_key_info {
	const char *name;
	const char *kind; /* "string", "on/off", "integer", "size", "one of a|b", … */
	const char *unit; /* "bytes", "ms", … or "" */
	const char *def;  /* what happens without it */
	const char *help;
	bool required;
	bool live; /* vmtap_port_change() can change it */
};

/** struct vmtap_type_info - One port type; all strings static. */
struct vmtap_type_info {
	const char *name;
	const char *summary; /* one line */
	const char *help;    /* paragraphs, with examples */
	const struct vmtap_key_info *keys;
	unsigned key_cnt;
};

/** vmtap_type_info() - The @index-th port type, from 0; NULL beyond the last. Static. */
const struct vmtap_type_info *vmtap_type_info(unsigned index);
/** vmtap_switch_info() - The same for vmtap_switch_new(). Static. */
const struct vmtap_type_info *vmtap_switch_info(void);

/** vmtap_common_info() - The @index-th key that all port types have, from 0; NULL beyond the last. The first is
 *  `id`, which vmtap_type_info() has as well. Static. */
const struct vmtap_key_info *vmtap_common_info(unsigned index);

#pragma GCC visibility pop

#ifdef __cplusplus
}
#endif
#endif
