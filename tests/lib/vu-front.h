/* SPDX-License-Identifier: MIT */
/*
 * A vhost-user front end with a virtio-net driver, for tests: it shares no
 * line with the device side.
 *
 * Model
 *   One struct vuf is a VMM and its guest. The guest's memory is one range of
 *   addresses from 0, in regions that lie behind each other, each in a file
 *   of its own. Memory is handed out once and never taken back (vuf_alloc()).
 *   A queue has buffers of its own ("slots"), each with room for guards
 *   between its pieces: what the device writes beside them shows.
 *
 *   The usual order is vuf_connect(), vuf_negotiate(), vuf_mem_make(),
 *   vuf_mem_share(), vuf_queue_make() and vuf_queue_start() for each queue,
 *   vuf_queue_enable(). Any step may be left out, repeated or done as raw messages.
 *
 * Errors
 *   Functions return false and leave the reason in vuf.why.
 */
#ifndef TESTS_VU_FRONT_H
#define TESTS_VU_FRONT_H

#include <linux/virtio_net.h>
#include <stddef.h>

#include "vq-driver.h"

enum vuf_request {
	VUF_GET_FEATURES = 1,
	VUF_SET_FEATURES,
	VUF_SET_OWNER,
	VUF_RESET_OWNER,
	VUF_SET_MEM_TABLE,
	VUF_SET_LOG_BASE,
	VUF_SET_LOG_FD,
	VUF_SET_VRING_NUM,
	VUF_SET_VRING_ADDR,
	VUF_SET_VRING_BASE,
	VUF_GET_VRING_BASE,
	VUF_SET_VRING_KICK,
	VUF_SET_VRING_CALL,
	VUF_SET_VRING_ERR,
	VUF_GET_PROTOCOL_FEATURES,
	VUF_SET_PROTOCOL_FEATURES,
	VUF_GET_QUEUE_NUM,
	VUF_SET_VRING_ENABLE,
	VUF_SEND_RARP,
	VUF_NET_SET_MTU,
	VUF_SET_BACKEND_REQ_FD,
	VUF_GET_CONFIG = 24,
	VUF_SET_CONFIG,
	VUF_GET_INFLIGHT_FD = 31,
	VUF_SET_INFLIGHT_FD,
	VUF_RESET_DEVICE = 34,
	VUF_GET_MAX_MEM_SLOTS = 36,
	VUF_ADD_MEM_REG,
	VUF_REM_MEM_REG,
	VUF_SET_STATUS,
	VUF_GET_STATUS,
};

enum vuf_protocol_feature {
	VUF_P_MQ,
	VUF_P_LOG_SHMFD,
	VUF_P_RARP,
	VUF_P_REPLY_ACK,
	VUF_P_MTU,
	VUF_P_BACKEND_REQ,
	VUF_P_CONFIG = 9,
	VUF_P_INFLIGHT_SHMFD = 12,
	VUF_P_RESET_DEVICE,
	VUF_P_CONFIGURE_MEM_SLOTS = 15,
	VUF_P_STATUS,
};

#define VUF_F_LOG_ALL 26
#define VUF_F_PROTOCOL_FEATURES 30
#define VUF_VERSION 1u
#define VUF_FLAG_REPLY 4u
#define VUF_FLAG_NEED_REPLY 8u

#define VUF_ADDRESS_SPACE (4ull << 30)
/** What the front end adds to a guest physical address to make one of its own. */
#define VUF_UVA 0x7e0000000000ull
#define VUF_REGIONS_MAX 64
#define VUF_FDS_MAX 64
#define VUF_PIECES_MAX 72
#define VUF_GUARD 32u
#define VUF_FRAME_MAX 65600u /* header and data */
#define VUF_TX_SLOTS_MAX 256u

/** struct vuf_msg - A message; @fds are owned by who received it */
struct vuf_msg {
	uint32_t request, flags, size;
	union {
		uint8_t bytes[2112];
		uint64_t u64;
		struct {
			uint32_t index, num;
		} state;
	};
	int fds[VUF_FDS_MAX];
	unsigned fd_cnt;
};

/** struct vuf_region - @offset: of its first byte in the file; @told: the back end has it */
struct vuf_region {
	uint64_t gpa, size, offset;
	int fd;
	bool told;
};

/** struct vuf_layout - How a buffer is cut: pieces of @sizes[0..@cnt), then the rest in one, or (@repeat)
 *  in pieces of the last size */
struct vuf_layout {
	uint32_t sizes[8];
	unsigned cnt;
	bool repeat;
};

struct vuf_slot {
	struct vq_buf bufs[VUF_PIECES_MAX];
	unsigned cnt;
	uint64_t gpa, table_gpa;
	bool busy;
};

/**
 * struct vuf_queue - A queue, and the buffers of its driver
 * @slots:    owned; @slot_cnt of them, each with room for @slot_len bytes and its guards
 * @hold:     receive: do not post buffers again
 * @rx_len:   receive: bytes of a buffer
 */
struct vuf_queue {
	struct vq q;
	unsigned index;
	int kick, call, err;
	bool started, hold;
	struct vuf_slot *slots;
	unsigned slot_cnt, next_slot;
	uint32_t slot_len, rx_len;
	uint64_t kicks, calls;
};

/**
 * struct vuf_frame - A frame as it was received
 * @chains: descriptor chains that it came in; @data: @len bytes, valid until the next one
 */
struct vuf_frame {
	struct virtio_net_hdr_v1 hdr;
	unsigned chains;
	uint32_t len;
	const uint8_t *data;
};

struct vuf {
	/* set before use */
	uint64_t want, want_protocol; /* features to acknowledge, if they are offered */
	unsigned pairs, ring_size;
	bool indirect, no_kick_fd, no_call_fd, need_reply, uncounted;
	uint32_t rx_len;
	struct vuf_layout rx_layout, tx_layout;
	uint64_t alloc_min; /* memory is handed out from there on */
	int timeout_ms;

	int sock, listener, backend;
	uint64_t offered, features, protocol_offered, protocol, queue_max;
	unsigned hdr_len;
	uint8_t *base;
	struct vuf_region regions[VUF_REGIONS_MAX];
	unsigned region_cnt;
	uint64_t alloc_next;
	struct vuf_queue *queues;
	unsigned queue_cnt;
	uint8_t *log;
	uint64_t log_size, log_checked, log_missing;
	int log_fd, inflight_fd;
	uint64_t inflight_size, inflight_offset;
	uint64_t guards_broken;
	uint8_t frame[VUF_FRAME_MAX];
	char why[256];
};

/** vuf_init() - Zero, without descriptors, nothing shared yet. */
void vuf_init(struct vuf *f);
void vuf_fini(struct vuf *f);

static inline bool vuf_has(const struct vuf *f, unsigned feature)
{
	return f->features >> feature & 1;
}

static inline bool vuf_has_protocol(const struct vuf *f, unsigned feature)
{
	return f->protocol >> feature & 1;
}

bool vuf_fail(struct vuf *f, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* The socket (vu-front.c) */

bool vuf_connect(struct vuf *f, const char *path);
bool vuf_listen(struct vuf *f, const char *path);
bool vuf_accept(struct vuf *f);
void vuf_disconnect(struct vuf *f);
/** vuf_is_closed() - Did the back end close the connection, at the latest in @timeout_ms? */
bool vuf_is_closed(struct vuf *f, int timeout_ms);

bool vuf_send_raw(struct vuf *f, int sock, const void *bytes, size_t len, const int *fds,
		  unsigned fd_cnt);
/** vuf_send_msg() - As it is; the header's size is @m->size, and so many bytes are sent. */
bool vuf_send_msg(struct vuf *f, const struct vuf_msg *m);
/** vuf_recv_msg() - From the socket or the back-end channel, in the time that vuf.timeout_ms allows. */
bool vuf_recv_msg(struct vuf *f, int sock, struct vuf_msg *m);

/** vuf_call() - Send a request that has a reply, and receive that over it. */
bool vuf_call(struct vuf *f, struct vuf_msg *m);
/** vuf_tell() - Send a request without a reply; with VUF_P_REPLY_ACK and vuf.need_reply, wait until
 *  it is acknowledged. */
bool vuf_tell(struct vuf *f, struct vuf_msg *m);
bool vuf_get_u64(struct vuf *f, unsigned request, uint64_t *value);
bool vuf_set_u64(struct vuf *f, unsigned request, uint64_t value);
bool vuf_set_state(struct vuf *f, unsigned request, unsigned index, uint32_t num);

/* What is shared (vu-front.c) */

/** vuf_negotiate() - Features, protocol features, number of queues, owner. */
bool vuf_negotiate(struct vuf *f);
/** vuf_set_features() - Acknowledge vuf.want of what is offered; @log: and VHOST_F_LOG_ALL. */
bool vuf_set_features(struct vuf *f, bool log);
/** vuf_mem_make() - Add a region of guest memory behind the others. @sealed: against shrinking */
bool vuf_mem_make(struct vuf *f, uint64_t size, uint64_t offset, bool sealed);
/** vuf_mem_share() - Tell all regions: as a table, or one by one if the back end offers that. */
bool vuf_mem_share(struct vuf *f);
bool vuf_mem_add(struct vuf *f, unsigned region);
bool vuf_mem_del(struct vuf *f, unsigned region);
/** vuf_alloc() - Return: gpa of @len bytes, aligned to @align (a power of two); from 4096 on all in one
 *  region; 0: no room. */
uint64_t vuf_alloc(struct vuf *f, uint64_t len, uint64_t align);

bool vuf_log_start(struct vuf *f);
/** vuf_log_saw() - Count in vuf.log_missing each page of a range that is not logged as written. */
void vuf_log_saw(struct vuf *f, uint64_t gpa, uint64_t len);
/** vuf_log_clear() - Empty it; when nothing is being written. */
void vuf_log_clear(struct vuf *f);
/** vuf_log_count() - Pages that are logged as written. */
uint64_t vuf_log_count(const struct vuf *f);
bool vuf_inflight_get(struct vuf *f);
bool vuf_inflight_set(struct vuf *f);
bool vuf_backend_channel(struct vuf *f);

/* Queues and frames (vu-net.c) */

/** vuf_queues_make() - Rings and buffers for @cnt queues, all in guest memory. */
bool vuf_queues_make(struct vuf *f, unsigned cnt);
void vuf_queues_free(struct vuf *f);
/** vuf_queue_start() - Tell size, addresses, base and descriptors. Where the driver is goes as base. */
bool vuf_queue_start(struct vuf *f, unsigned index);
/** vuf_queue_tell_addr() - VHOST_USER_SET_VRING_ADDR; @log: with VHOST_VRING_F_LOG */
bool vuf_queue_tell_addr(struct vuf *f, unsigned index, bool log);
bool vuf_queue_enable(struct vuf *f, unsigned index, bool on);
/** vuf_queue_stop() - VHOST_USER_GET_VRING_BASE; the base must be where the driver finds the ring. */
bool vuf_queue_stop(struct vuf *f, unsigned index, uint32_t *base);
/** vuf_queue_base() - Where the device would go on, by what it has used. */
uint32_t vuf_queue_base(const struct vuf_queue *vq);
/** vuf_queue_move() - Take other memory for the buffers that are not in flight. */
bool vuf_queue_move(struct vuf *f, struct vuf_queue *vq);

void vuf_kick(struct vuf *f, struct vuf_queue *vq);
/** vuf_post() - Give up to @cnt free receive buffers to the device. Return: how many */
unsigned vuf_post(struct vuf *f, struct vuf_queue *vq, unsigned cnt);
/** vuf_send() - Return: false: no room; @hdr may be NULL. vuf_kick() is the caller's. */
bool vuf_send(struct vuf *f, struct vuf_queue *vq, const struct virtio_net_hdr_v1 *hdr,
	      const void *data, uint32_t len);
/** vuf_reap() - Take back buffers that were sent. Return: how many */
unsigned vuf_reap(struct vuf *f, struct vuf_queue *vq);
/** vuf_receive() - Return: 1: a frame; 0: none; -1: something is wrong with it, see vuf.why. */
int vuf_receive(struct vuf *f, struct vuf_queue *vq, struct vuf_frame *frame);
/** vuf_ctrl() - A command on the control queue @vq, cut as vuf.tx_layout says. Return: false: no answer. */
bool vuf_ctrl(struct vuf *f, struct vuf_queue *vq, const uint8_t *command, uint32_t len,
	      uint8_t *ack);
/** vuf_wait() - Until the device used a buffer of one of @cnt queues, the connection ends, or the time is over.
 *  Return: 1: look; 0: time over; -1: the connection has ended. */
int vuf_wait(struct vuf *f, struct vuf_queue **queues, unsigned cnt, int timeout_ms);

#endif
