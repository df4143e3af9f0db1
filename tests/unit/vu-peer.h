/* SPDX-License-Identifier: MIT */
/*
 * A front end for tests of the session: it says one message at a time, has the
 * session run, and looks at what came back and at what the port was told.
 *
 * The guest's memory is one file; gpa 0 is its first byte, and PEER_UVA is what
 * the front end calls that. Ring i has its place at peer_ring(i).
 */
#ifndef VU_PEER_H
#define VU_PEER_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "port/vu/proto.h"
#include "port/vu/session.h"

#define PEER_UVA UINT64_C(0x7f1200000000)
#define PEER_MEM (UINT64_C(1) << 20)
#define PEER_SIZE 64u
#define PEER_BIT(n) (UINT64_C(1) << (n))
#define PEER_F_PROTOCOL PEER_BIT(VHOST_USER_F_PROTOCOL_FEATURES)
#define PEER_F_LOG PEER_BIT(VHOST_F_LOG_ALL)
#define PEER_OFFERED                                                          \
	(PEER_F_PROTOCOL | PEER_F_LOG | PEER_BIT(VIRTIO_F_VERSION_1) |        \
	 PEER_BIT(VIRTIO_F_RING_PACKED) | PEER_BIT(VIRTIO_RING_F_EVENT_IDX) | \
	 PEER_BIT(VIRTIO_NET_F_MQ) | PEER_BIT(VIRTIO_NET_F_CTRL_VQ) | PEER_BIT(VIRTIO_NET_F_MTU))
#define PEER_P(name) PEER_BIT(VHOST_USER_PROTOCOL_F_##name)
#define PEER_P_ALL                                                                              \
	(PEER_P(MQ) | PEER_P(LOG_SHMFD) | PEER_P(RARP) | PEER_P(REPLY_ACK) | PEER_P(NET_MTU) |  \
	 PEER_P(BACKEND_REQ) | PEER_P(CONFIG) | PEER_P(INFLIGHT_SHMFD) | PEER_P(RESET_DEVICE) | \
	 PEER_P(CONFIGURE_MEM_SLOTS) | PEER_P(STATUS))

/**
 * struct peer - The front end, the device, and the session between them
 * @told:  what the port was told, as words: "features started:0 kick:0 ..."
 * @reply: the last one; @reply_fd: what came with it, owned
 * @need_reply: ask for an acknowledgement, and check that it comes and what it says
 */
struct peer {
	struct vu_dev dev;
	struct vu_session *session;
	struct vmtap_error err;
	int ours, theirs, mem;
	unsigned open;
	bool need_reply;
	char told[4096];
	struct {
		struct vu_hdr hdr;
		union vu_payload body;
	} reply;
	int reply_fd;
};

static inline struct peer *peer_of(struct vu_dev *dev)
{
	return (struct peer *)(void *)dev; /* its first member */
}

static inline void peer_tell(struct vu_dev *dev, const char *what, unsigned index)
{
	struct peer *p = peer_of(dev);
	size_t len = strlen(p->told);

	snprintf(p->told + len, sizeof(p->told) - len, "%s:%u ", what, index);
}

static inline void peer_features(struct vu_dev *dev)
{
	for (unsigned i = 0; i < dev->queue_cnt; i++)
		assert_false(vring_is_started(dev->queues[i].ring));
	strcat(peer_of(dev)->told, "features ");
}

static inline void peer_started(struct vu_dev *dev, unsigned index)
{
	assert_true(vring_is_started(dev->queues[index].ring));
	peer_tell(dev, "started", index);
}

static inline void peer_stopping(struct vu_dev *dev, unsigned index)
{
	assert_true(vring_is_started(dev->queues[index].ring));
	peer_tell(dev, "stopping", index);
}

static inline void peer_remapped(struct vu_dev *dev, unsigned index)
{
	assert_true(vring_is_started(dev->queues[index].ring));
	assert_null(vring_error(dev->queues[index].ring));
	peer_tell(dev, "remapped", index);
}

static inline void peer_enabled(struct vu_dev *dev, unsigned index)
{
	peer_tell(dev, dev->queues[index].enabled ? "enabled" : "disabled", index);
}

static inline void peer_kick_fd(struct vu_dev *dev, unsigned index, int fd)
{
	assert_true(fcntl(dev->queues[index].kick, F_GETFD) >= 0);
	assert_true(fd == -1 || fd == dev->queues[index].kick);
	peer_tell(dev, fd < 0 ? "unkick" : "kick", index);
}

static inline void peer_call_fd(struct vu_dev *dev, unsigned index)
{
	assert_true(vring_is_started(dev->queues[index].ring));
}

static inline void peer_log(struct vu_dev *dev)
{
}

static inline void peer_config(struct vu_dev *dev)
{
	peer_tell(dev, "config", dev->config[5]);
}

static inline void peer_announce(struct vu_dev *dev, const uint8_t mac[6])
{
	peer_tell(dev, "announce", mac[5]);
}

static inline int peer_mtu(struct vu_dev *dev, unsigned mtu)
{
	peer_tell(dev, "mtu", mtu);
	return mtu > 9000 ? -EINVAL : 0;
}

static const struct vu_dev_ops peer_ops = {
	.features = peer_features,
	.started = peer_started,
	.stopping = peer_stopping,
	.remapped = peer_remapped,
	.enabled = peer_enabled,
	.kick_fd = peer_kick_fd,
	.call_fd = peer_call_fd,
	.log_changing = peer_log,
	.log_changed = peer_log,
	.config = peer_config,
	.announce = peer_announce,
	.mtu = peer_mtu,
};

static inline unsigned peer_count_open(void)
{
	DIR *d = opendir("/proc/self/fd");
	unsigned cnt = 0;

	assert_non_null(d);
	while (readdir(d))
		cnt++;
	closedir(d);
	return cnt;
}

/* What was told since the last time; the text is valid until then. */
static inline const char *peer_told(struct peer *p)
{
	static char text[sizeof(p->told)];
	size_t len = strlen(p->told);

	if (len)
		p->told[len - 1] = '\0';
	memcpy(text, p->told, sizeof(text));
	p->told[0] = '\0';
	return text;
}

static inline int peer_setup(void **state)
{
	static struct peer p;
	int fds[2];

	p = (struct peer) { .open = peer_count_open(), .reply_fd = -1 };
	p.dev = (struct vu_dev) {
		.ops = &peer_ops,
		.object = "vhost-user vm0",
		.offered = PEER_OFFERED,
		.pairs = 2,
		.queue_size_max = 1024,
	};
	assert_int_equal(vu_dev_init(&p.dev), 0);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds),
			 0);
	p.ours = fds[0];
	p.theirs = fds[1];
	p.mem = memfd_create("guest", MFD_CLOEXEC);
	assert_int_equal(ftruncate(p.mem, PEER_MEM), 0);
	p.session = vu_session_new(&p.dev, p.ours);
	assert_non_null(p.session);
	assert_string_equal(peer_told(&p), "");
	*state = &p;
	return 0;
}

static inline int peer_teardown(void **state)
{
	struct peer *p = *state;

	vu_session_free(p->session);
	vu_dev_fini(&p->dev);
	fd_close(&p->reply_fd);
	fd_close(&p->ours);
	fd_close(&p->theirs);
	fd_close(&p->mem);
	return peer_count_open() == p->open ? 0 : -1;
}

/* ------------------------------------------------------------------ messages */

static inline void peer_send(struct peer *p, uint32_t request, uint32_t flags, const void *body,
			     uint32_t len, const int *fds, unsigned cnt)
{
	struct vu_hdr hdr = { .request = request, .flags = VU_VERSION | flags, .size = len };
	struct iovec iov[2] = { { &hdr, sizeof(hdr) }, { (void *)(uintptr_t)body, len } };
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(VU_REGIONS_MAX * sizeof(int))];
	} control = { 0 };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = len ? 2 : 1 };

	if (cnt) {
		msg.msg_control = control.buf;
		msg.msg_controllen = CMSG_SPACE(cnt * sizeof(int));
		control.align.cmsg_level = SOL_SOCKET;
		control.align.cmsg_type = SCM_RIGHTS;
		control.align.cmsg_len = CMSG_LEN(cnt * sizeof(int));
		memcpy(CMSG_DATA(&control.align), fds, cnt * sizeof(int));
	}
	assert_int_equal(sendmsg(p->theirs, &msg, MSG_NOSIGNAL), sizeof(hdr) + len);
}

/* Read a reply. Return: false: there is none. */
static inline bool peer_read_reply(struct peer *p)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int))];
	} control;
	struct iovec iov = { &p->reply.hdr, sizeof(p->reply.hdr) };
	struct msghdr msg = { .msg_iov = &iov,
			      .msg_iovlen = 1,
			      .msg_control = control.buf,
			      .msg_controllen = sizeof(control.buf) };
	ssize_t got = recvmsg(p->theirs, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	uint32_t size = p->reply.hdr.size;

	if (got < 0 && errno == EAGAIN)
		return false;
	assert_int_equal(got, sizeof(p->reply.hdr));
	assert_int_equal(p->reply.hdr.flags, VU_VERSION | VU_REPLY);
	assert_true(size <= sizeof(p->reply.body));
	if (size)
		assert_int_equal(recv(p->theirs, &p->reply.body, size, MSG_DONTWAIT), size);
	fd_close(&p->reply_fd);
	if (msg.msg_controllen >= CMSG_LEN(sizeof(int)))
		memcpy(&p->reply_fd, CMSG_DATA(&control.align), sizeof(int));
	return true;
}

static inline int peer_run(struct peer *p)
{
	memset(&p->err, 0, sizeof(p->err));
	return vu_session_run(p->session, &p->err);
}

/* A request without a reply of its own, with descriptors. Return: what the session says. */
static inline int peer_set_fds(struct peer *p, uint32_t request, const void *body, uint32_t len,
			       const int *fds, unsigned cnt)
{
	int ret;

	peer_send(p, request, p->need_reply ? VU_NEED_REPLY : 0, body, len, fds, cnt);
	ret = peer_run(p);
	assert_true(ret == 0 || p->err.code == -ret);
	assert_true(peer_read_reply(p) == p->need_reply);
	if (p->need_reply) {
		assert_int_equal(p->reply.hdr.request, request);
		assert_int_equal(p->reply.hdr.size, sizeof(uint64_t));
		assert_true(ret == 0 || p->reply.body.u64 != 0);
	}
	return ret;
}

static inline int peer_set(struct peer *p, uint32_t request, const void *body, uint32_t len)
{
	return peer_set_fds(p, request, body, len, NULL, 0);
}

static inline int peer_set_u64(struct peer *p, uint32_t request, uint64_t value)
{
	return peer_set(p, request, &value, sizeof(value));
}

static inline int peer_set_state(struct peer *p, uint32_t request, unsigned index, uint32_t num)
{
	const struct vhost_vring_state state = { .index = index, .num = num };

	return peer_set(p, request, &state, sizeof(state));
}

/* A request with a reply of its own, which is in @p->reply. */
static inline void peer_get(struct peer *p, uint32_t request, const void *body, uint32_t len)
{
	peer_send(p, request, 0, body, len, NULL, 0);
	assert_int_equal(peer_run(p), 0);
	assert_true(peer_read_reply(p));
	assert_int_equal(p->reply.hdr.request, request);
	assert_false(peer_read_reply(p));
}

static inline uint64_t peer_get_u64(struct peer *p, uint32_t request)
{
	peer_get(p, request, NULL, 0);
	assert_int_equal(p->reply.hdr.size, sizeof(uint64_t));
	return p->reply.body.u64;
}

/* SET_VRING_KICK, _CALL or _ERR with a new eventfd. Return: it, owned; it must be taken. */
static inline int peer_set_event(struct peer *p, uint32_t request, unsigned index)
{
	int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	uint64_t value = index;

	assert_true(fd >= 0);
	assert_int_equal(peer_set_fds(p, request, &value, sizeof(value), &fd, 1), 0);
	return fd;
}

/* The same where nobody looks at the descriptor. */
static inline void peer_give_event(struct peer *p, uint32_t request, unsigned index)
{
	int fd = peer_set_event(p, request, index);

	fd_close(&fd);
}

static inline uint32_t peer_base(struct peer *p, unsigned index)
{
	const struct vhost_vring_state state = { .index = index };

	peer_get(p, VHOST_USER_GET_VRING_BASE, &state, sizeof(state));
	assert_int_equal(p->reply.hdr.size, sizeof(state));
	assert_int_equal(p->reply.body.state.index, index);
	return p->reply.body.state.num;
}

/* -------------------------------------------------------------- usual requests */

static inline uint64_t peer_ring(unsigned index)
{
	return PEER_UVA + UINT64_C(0x8000) * (index + 1);
}

static inline struct vhost_vring_addr peer_addr(unsigned index, bool log)
{
	return (struct vhost_vring_addr) {
		.index = index,
		.flags = log ? 1u << VHOST_VRING_F_LOG : 0,
		.desc_user_addr = peer_ring(index),
		.avail_user_addr = peer_ring(index) + 0x2000,
		.used_user_addr = peer_ring(index) + 0x4000,
		.log_guest_addr = peer_ring(index) + 0x4000 - PEER_UVA,
	};
}

static inline int peer_set_addr(struct peer *p, unsigned index, bool log)
{
	const struct vhost_vring_addr addr = peer_addr(index, log);

	return peer_set(p, VHOST_USER_SET_VRING_ADDR, &addr, sizeof(addr));
}

static inline int peer_set_region(struct peer *p, uint32_t request, uint64_t start, uint64_t size)
{
	const struct vu_mem_reg reg = { .region = { start, size, PEER_UVA + start, start } };

	return peer_set_fds(p, request, &reg, sizeof(reg), &p->mem,
			    request == VHOST_USER_ADD_MEM_REG);
}

static inline int peer_set_table(struct peer *p, uint64_t size)
{
	const struct vu_mem_table t = { .cnt = 1, .regions = { { 0, size, PEER_UVA, 0 } } };

	return peer_set_fds(p, VHOST_USER_SET_MEM_TABLE, &t, 8 + 32, &p->mem, 1);
}

static inline void peer_negotiate(struct peer *p, uint64_t features, uint64_t protocol)
{
	assert_int_equal(peer_set_u64(p, VHOST_USER_SET_PROTOCOL_FEATURES, protocol), 0);
	assert_int_equal(peer_set_u64(p, VHOST_USER_SET_FEATURES, features), 0);
}

/* As a driver leaves it with whom nothing is in flight: the used ring ends at the base. */
static inline void peer_set_base(struct peer *p, unsigned index, uint32_t base)
{
	const uint16_t used = (uint16_t)base;
	const off_t at = (off_t)(peer_ring(index) - PEER_UVA + 0x4000 + 2);

	assert_int_equal(pwrite(p->mem, &used, sizeof(used), at), sizeof(used));
	assert_int_equal(peer_set_state(p, VHOST_USER_SET_VRING_BASE, index, base), 0);
}

/* Set ring @index up, and start it; features and memory are there. */
static inline void peer_start(struct peer *p, unsigned index, uint32_t base)
{
	assert_int_equal(peer_set_state(p, VHOST_USER_SET_VRING_NUM, index, PEER_SIZE), 0);
	peer_set_base(p, index, base);
	assert_int_equal(peer_set_addr(p, index, false), 0);
	peer_give_event(p, VHOST_USER_SET_VRING_KICK, index);
	assert_true(vring_is_started(p->dev.queues[index].ring));
}

/* Two rings run, with all protocol features; nothing is left of what was told. */
static inline void peer_start_pair(struct peer *p, uint64_t features)
{
	peer_negotiate(p, features | PEER_F_PROTOCOL, PEER_P_ALL);
	assert_int_equal(peer_set_table(p, PEER_MEM), 0);
	peer_start(p, 0, 0);
	peer_start(p, 1, 0);
	peer_told(p);
}

#define PEER_CASE(f) cmocka_unit_test_setup_teardown(f, peer_setup, peer_teardown)

#endif
