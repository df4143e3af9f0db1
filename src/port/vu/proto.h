/* SPDX-License-Identifier: MIT */
/*
 * What travels on a vhost-user socket: requests, features, payloads.
 *
 * Source: the vhost-user protocol specification (QEMU's docs/interop/vhost-user.rst). Numbers are in
 * the machine's byte order. Names are the specification's; where it renamed one, the newer.
 */
#ifndef PORT_VU_PROTO_H
#define PORT_VU_PROTO_H

#include <assert.h>
#include <linux/vhost_types.h>
#include <stddef.h>
#include <stdint.h>

enum vu_request {
	VHOST_USER_GET_FEATURES = 1,
	VHOST_USER_SET_FEATURES = 2,
	VHOST_USER_SET_OWNER = 3,
	VHOST_USER_RESET_OWNER = 4,
	VHOST_USER_SET_MEM_TABLE = 5,
	VHOST_USER_SET_LOG_BASE = 6,
	VHOST_USER_SET_LOG_FD = 7,
	VHOST_USER_SET_VRING_NUM = 8,
	VHOST_USER_SET_VRING_ADDR = 9,
	VHOST_USER_SET_VRING_BASE = 10,
	VHOST_USER_GET_VRING_BASE = 11,
	VHOST_USER_SET_VRING_KICK = 12,
	VHOST_USER_SET_VRING_CALL = 13,
	VHOST_USER_SET_VRING_ERR = 14,
	VHOST_USER_GET_PROTOCOL_FEATURES = 15,
	VHOST_USER_SET_PROTOCOL_FEATURES = 16,
	VHOST_USER_GET_QUEUE_NUM = 17,
	VHOST_USER_SET_VRING_ENABLE = 18,
	VHOST_USER_SEND_RARP = 19,
	VHOST_USER_NET_SET_MTU = 20,
	VHOST_USER_SET_BACKEND_REQ_FD = 21,
	VHOST_USER_IOTLB_MSG = 22,
	VHOST_USER_SET_VRING_ENDIAN = 23,
	VHOST_USER_GET_CONFIG = 24,
	VHOST_USER_SET_CONFIG = 25,
	VHOST_USER_CREATE_CRYPTO_SESSION = 26,
	VHOST_USER_CLOSE_CRYPTO_SESSION = 27,
	VHOST_USER_POSTCOPY_ADVISE = 28,
	VHOST_USER_POSTCOPY_LISTEN = 29,
	VHOST_USER_POSTCOPY_END = 30,
	VHOST_USER_GET_INFLIGHT_FD = 31,
	VHOST_USER_SET_INFLIGHT_FD = 32,
	VHOST_USER_GPU_SET_SOCKET = 33,
	VHOST_USER_RESET_DEVICE = 34,
	VHOST_USER_VRING_KICK = 35,
	VHOST_USER_GET_MAX_MEM_SLOTS = 36,
	VHOST_USER_ADD_MEM_REG = 37,
	VHOST_USER_REM_MEM_REG = 38,
	VHOST_USER_SET_STATUS = 39,
	VHOST_USER_GET_STATUS = 40,
	VHOST_USER_GET_SHARED_OBJECT = 41,
	VHOST_USER_SET_DEVICE_STATE_FD = 42,
	VHOST_USER_CHECK_DEVICE_STATE = 43,
};

/** On the back end's own channel. */
#define VHOST_USER_BACKEND_CONFIG_CHANGE_MSG 2

/** Device feature bit that offers protocol features; not one of virtio's. */
#define VHOST_USER_F_PROTOCOL_FEATURES 30

enum vu_protocol_feature {
	VHOST_USER_PROTOCOL_F_MQ = 0,
	VHOST_USER_PROTOCOL_F_LOG_SHMFD = 1,
	VHOST_USER_PROTOCOL_F_RARP = 2,
	VHOST_USER_PROTOCOL_F_REPLY_ACK = 3,
	VHOST_USER_PROTOCOL_F_NET_MTU = 4,
	VHOST_USER_PROTOCOL_F_BACKEND_REQ = 5,
	VHOST_USER_PROTOCOL_F_CROSS_ENDIAN = 6,
	VHOST_USER_PROTOCOL_F_CRYPTO_SESSION = 7,
	VHOST_USER_PROTOCOL_F_PAGEFAULT = 8,
	VHOST_USER_PROTOCOL_F_CONFIG = 9,
	VHOST_USER_PROTOCOL_F_BACKEND_SEND_FD = 10,
	VHOST_USER_PROTOCOL_F_HOST_NOTIFIER = 11,
	VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD = 12,
	VHOST_USER_PROTOCOL_F_RESET_DEVICE = 13,
	VHOST_USER_PROTOCOL_F_INBAND_NOTIFICATIONS = 14,
	VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS = 15,
	VHOST_USER_PROTOCOL_F_STATUS = 16,
	VHOST_USER_PROTOCOL_F_SHARED_OBJECT = 18,
	VHOST_USER_PROTOCOL_F_DEVICE_STATE = 19,
};

struct vu_hdr {
	uint32_t request, flags, size;
};

/* struct vu_hdr.flags */
#define VU_VERSION_MASK 3u
#define VU_VERSION 1u
#define VU_REPLY 4u
#define VU_NEED_REPLY 8u

/* SET_VRING_KICK, _CALL and _ERR: index in the low byte */
#define VU_VRING_INDEX_MASK 0xffu
#define VU_VRING_NOFD 0x100u

struct vu_region {
	uint64_t gpa, size, uva, offset;
};

/** Regions of one SET_MEM_TABLE: 8 in the specification; other front ends send up to 32. */
#define VU_REGIONS_MAX 32

struct vu_mem_table {
	uint32_t cnt, padding;
	struct vu_region regions[VU_REGIONS_MAX];
};

struct vu_mem_reg {
	uint64_t padding;
	struct vu_region region;
};

struct vu_log {
	uint64_t size, offset;
};

struct vu_inflight {
	uint64_t size, offset;
	uint16_t queues, queue_size;
	uint32_t padding; /* the C structure's; may be left out */
};

#define VU_CONFIG_PAYLOAD_MAX 256

struct vu_config {
	uint32_t offset, size, flags;
	uint8_t payload[VU_CONFIG_PAYLOAD_MAX];
};

/* struct vu_config.flags */
#define VU_CONFIG_WRITABLE 0u
#define VU_CONFIG_MIGRATION 1u

union vu_payload {
	uint64_t u64;
	struct vhost_vring_state state;
	struct vhost_vring_addr addr;
	struct vu_mem_table table;
	struct vu_mem_reg reg;
	struct vu_log log;
	struct vu_inflight inflight;
	struct vu_config config;
};

static_assert(sizeof(struct vu_hdr) == 12, "on the wire");
static_assert(sizeof(struct vu_region) == 32, "on the wire");
static_assert(offsetof(struct vu_mem_table, regions) == 8, "on the wire");
static_assert(sizeof(struct vu_mem_reg) == 40, "on the wire");
static_assert(sizeof(struct vu_log) == 16, "on the wire");
static_assert(offsetof(struct vu_inflight, padding) == 20, "on the wire");
static_assert(offsetof(struct vu_config, payload) == 12, "on the wire");
static_assert(sizeof(struct vhost_vring_state) == 8, "on the wire");
static_assert(sizeof(struct vhost_vring_addr) == 40, "on the wire");

#endif
