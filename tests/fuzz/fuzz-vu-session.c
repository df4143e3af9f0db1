/* SPDX-License-Identifier: MIT */
/*
 * Fuzzes the vhost-user session: messages with descriptors, up to rings that run.
 *
 * Input: a byte with what is said beforehand (nothing, or enough for two rings to run), then
 * messages and changes of the guest's memory. A message is a request, a byte that says how it is
 * made, and bytes for its fields. Most fields are made such that they can be right: queues that
 * are there, memory that is there, rings in it. A bit of the second byte has the payload come
 * from the input as it is, others choose the descriptors.
 *
 * After each message the rings are worked on as a device does. At the end, all descriptors
 * are closed.
 */
#include <assert.h>
#include <fcntl.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "port/vu/proto.h"
#include "port/vu/session.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define UVA UINT64_C(0x7f0000000000)
#define MEM_SIZE 0x20000u
#define RING_AT(i) (0x4000u * (i))
#define MESSAGES_MAX 256
#define FDS_MAX 40 /* more than a message may bring */
#define BIT(n) (UINT64_C(1) << (n))

/* The second byte of a message. */
#define HOW_NEED_REPLY 1u
#define HOW_RAW 2u   /* the payload as it is in the input */
#define HOW_SIZE 4u  /* with a size of its own */
#define HOW_BREAK 8u /* one field of it is changed */
#define HOW_FD(how) ((how) >> 4 & 7u)
#define HOW_CUT 0x80u /* sent in two pieces, and the session runs between them */

struct input {
	const uint8_t *data;
	size_t size;
};

/** struct front - The front end; @mem: the guest's, for all inputs */
struct front {
	struct vu_dev dev;
	struct vu_session *session;
	int sock, theirs;
	struct input in;
};

static int guest = -1;
static uint8_t *guest_mem;

static uint8_t next8(struct input *in)
{
	if (!in->size)
		return 0;
	in->size--;
	return *in->data++;
}

/* ------------------------------------------------------------------------- the port */

static void on_features(struct vu_dev *dev)
{
	for (unsigned i = 0; i < dev->queue_cnt; i++)
		assert(!vring_is_started(dev->queues[i].ring));
}

static void on_running(struct vu_dev *dev, unsigned index)
{
	assert(index < dev->queue_cnt && vring_is_started(dev->queues[index].ring));
}

static void on_enabled(struct vu_dev *dev, unsigned index)
{
	assert(index < dev->queue_cnt);
}

static void on_config(struct vu_dev *dev)
{
}

static void on_kick_fd(struct vu_dev *dev, unsigned index, int fd)
{
	assert(dev->queues[index].kick >= 0);
	assert(fd == -1 || fd == dev->queues[index].kick);
}

static void on_call_fd(struct vu_dev *dev, unsigned index)
{
	assert(vring_is_started(dev->queues[index].ring));
}

static void on_log(struct vu_dev *dev)
{
}

static void on_announce(struct vu_dev *dev, const uint8_t mac[6])
{
}

static int on_mtu(struct vu_dev *dev, unsigned mtu)
{
	assert(mtu <= UINT16_MAX);
	return mtu < 68 ? -EINVAL : 0;
}

static const struct vu_dev_ops ops = {
	.features = on_features,
	.started = on_running,
	.stopping = on_running,
	.remapped = on_running,
	.enabled = on_enabled,
	.kick_fd = on_kick_fd,
	.call_fd = on_call_fd,
	.log_changing = on_log,
	.log_changed = on_log,
	.config = on_config,
	.announce = on_announce,
	.mtu = on_mtu,
};

/* Take a few chains, write to what is to be written, give some back. */
static void work(struct vring *r)
{
	struct vring_chain chains[8];
	unsigned cnt = vring_pop(r, chains, 8), used = cnt - cnt / 4;

	for (unsigned i = 0; i < cnt; i++) {
		const struct vring_chain *c = &chains[i];

		for (unsigned j = c->out_cnt; j < c->out_cnt + c->in_cnt; j++)
			memset(c->iov[j].iov_base, 0x5a, c->iov[j].iov_len);
	}
	vring_unpop(r, cnt - used);
	for (unsigned i = 0; i < used; i++)
		vring_push(r, &chains[i], chains[i].in_len);
	vring_publish(r);
	vring_want_kicks(r, true);
}

/* ------------------------------------------------------------------------- messages */

static uint64_t features_of(uint8_t b)
{
	uint64_t f = BIT(VIRTIO_F_VERSION_1);

	f |= b & 1 ? 0 : BIT(VHOST_USER_F_PROTOCOL_FEATURES);
	f |= b & 2 ? BIT(VIRTIO_F_RING_PACKED) : 0;
	f |= b & 4 ? BIT(VIRTIO_RING_F_EVENT_IDX) : 0;
	f |= b & 8 ? BIT(VIRTIO_RING_F_INDIRECT_DESC) : 0;
	f |= b & 16 ? BIT(VHOST_F_LOG_ALL) : 0;
	return f;
}

/* The whole file, its halves, or a bit more than there is. */
static struct vu_region region_of(uint8_t b)
{
	static const struct vu_region regions[] = {
		{ 0, MEM_SIZE, UVA, 0 },
		{ 0, MEM_SIZE / 2, UVA, 0 },
		{ MEM_SIZE / 2, MEM_SIZE / 2, UVA + MEM_SIZE / 2, MEM_SIZE / 2 },
		{ MEM_SIZE, MEM_SIZE, UVA + MEM_SIZE, 0 },
		{ 0, MEM_SIZE + 4096, UVA, 0 },
		{ UINT64_MAX - 4095, 4096, UVA, 0 },
		{ 0, 4096, UINT64_MAX - 4095, 0 },
		{ 0, 4096, UVA, UINT64_MAX - 4095 },
	};

	return regions[b & 7];
}

static struct vhost_vring_addr addr_of(uint8_t index, uint8_t how)
{
	const uint64_t at = UVA + RING_AT(index) + (how & 2 ? 0x10 : 0);

	return (struct vhost_vring_addr) {
		.index = index,
		.flags = how & 1,
		.desc_user_addr = at,
		.avail_user_addr = at + 0x1000,
		.used_user_addr = at + 0x2000,
		.log_guest_addr = RING_AT(index) + 0x2000,
	};
}

/* Make the payload of a request. Return: its size. */
static uint32_t make(struct input *in, uint32_t request, union vu_payload *body)
{
	const uint8_t a = next8(in);

	switch (request) {
	case VHOST_USER_SET_FEATURES:
		body->u64 = features_of(a);
		return 8;
	case VHOST_USER_SET_PROTOCOL_FEATURES:
		body->u64 = 0x1923f | (a & 1 ? 0 : BIT(VHOST_USER_PROTOCOL_F_RESET_DEVICE));
		return 8;
	case VHOST_USER_SET_MEM_TABLE:
		body->table.cnt = 1 + (a >> 4) % 3;
		for (unsigned i = 0; i < body->table.cnt; i++)
			body->table.regions[i] = region_of(i ? next8(in) : a);
		return 8 + 32 * body->table.cnt;
	case VHOST_USER_ADD_MEM_REG:
	case VHOST_USER_REM_MEM_REG:
		body->reg.region = region_of(a);
		return sizeof(body->reg);
	case VHOST_USER_SET_LOG_BASE:
		body->log = (struct vu_log) { .size = (uint64_t)(a & 15) << 8 };
		return sizeof(body->log);
	case VHOST_USER_SET_VRING_ADDR:
		body->addr = addr_of(a % 6, next8(in));
		return sizeof(body->addr);
	case VHOST_USER_SET_VRING_NUM:
		body->state = (struct vhost_vring_state) { a % 6, 1u << (a >> 5) };
		return 8;
	case VHOST_USER_SET_VRING_BASE:
	case VHOST_USER_GET_VRING_BASE:
		body->state = (struct vhost_vring_state) { a % 6, a & 0x80 ? 0x80008000 : a >> 3 };
		return 8;
	case VHOST_USER_SET_VRING_ENABLE:
	case VHOST_USER_SET_VRING_ENDIAN:
		body->state = (struct vhost_vring_state) { a % 6, a >> 7 };
		return 8;
	case VHOST_USER_SET_VRING_KICK:
	case VHOST_USER_SET_VRING_CALL:
	case VHOST_USER_SET_VRING_ERR:
		body->u64 = a % 6 | (a & 0x80 ? VU_VRING_NOFD : 0);
		return 8;
	case VHOST_USER_GET_CONFIG:
	case VHOST_USER_SET_CONFIG:
		body->config.offset = a & 31;
		body->config.size = 1 + (a >> 5);
		body->config.flags = next8(in) & 1;
		return 12 + body->config.size;
	case VHOST_USER_GET_INFLIGHT_FD:
	case VHOST_USER_SET_INFLIGHT_FD:
		body->inflight = (struct vu_inflight) { (uint64_t)a << 9, 0, 1 + a % 5, 64, 0 };
		return a & 1 ? 20 : 24;
	case VHOST_USER_SEND_RARP:
	case VHOST_USER_NET_SET_MTU:
	case VHOST_USER_SET_STATUS:
		body->u64 = a;
		return 8;
	default:
		return 0;
	}
}

static bool takes_fd(uint32_t request, const union vu_payload *body)
{
	switch (request) {
	case VHOST_USER_SET_MEM_TABLE:
	case VHOST_USER_ADD_MEM_REG:
	case VHOST_USER_SET_LOG_BASE:
	case VHOST_USER_SET_LOG_FD:
	case VHOST_USER_SET_BACKEND_REQ_FD:
	case VHOST_USER_SET_INFLIGHT_FD:
		return true;
	case VHOST_USER_SET_VRING_KICK:
	case VHOST_USER_SET_VRING_CALL:
	case VHOST_USER_SET_VRING_ERR:
		return !(body->u64 & VU_VRING_NOFD);
	default:
		return false;
	}
}

/* A new descriptor: the right kind in four of eight cases. */
static int open_fd(uint32_t request, unsigned kind)
{
	int fds[2];

	switch (kind) {
	case 4:
		assert(pipe2(fds, O_CLOEXEC) == 0);
		close(fds[0]);
		return fds[1];
	case 5:
		assert(pipe2(fds, O_CLOEXEC) == 0);
		close(fds[1]);
		return fds[0];
	case 6:
		return open("/dev/null", O_RDWR | O_CLOEXEC);
	case 7:
		return eventfd(1, EFD_CLOEXEC);
	default:
		break;
	}
	if (request >= VHOST_USER_SET_VRING_KICK && request <= VHOST_USER_SET_VRING_ERR)
		return eventfd(1, EFD_CLOEXEC);
	if (request == VHOST_USER_SET_BACKEND_REQ_FD)
		return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	return fcntl(guest, F_DUPFD_CLOEXEC, 0);
}

static void transmit(int sock, const uint8_t *buf, size_t len, const int *fds, unsigned cnt)
{
	struct iovec iov = { (void *)(uintptr_t)buf, len };
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(FDS_MAX * sizeof(int))];
	} control = { 0 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	if (cnt) {
		msg.msg_control = control.buf;
		msg.msg_controllen = CMSG_SPACE(cnt * sizeof(int));
		control.align.cmsg_level = SOL_SOCKET;
		control.align.cmsg_type = SCM_RIGHTS;
		control.align.cmsg_len = CMSG_LEN(cnt * sizeof(int));
		memcpy(CMSG_DATA(&control.align), fds, cnt * sizeof(int));
	}
	assert(sendmsg(sock, &msg, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)len);
}

/* Read what was answered, and close what came along. */
static void drain(int sock)
{
	for (;;) {
		char buf[4096];
		union {
			struct cmsghdr align;
			char buf[CMSG_SPACE(sizeof(int))];
		} control;
		struct iovec iov = { buf, sizeof(buf) };
		struct msghdr msg = { .msg_iov = &iov,
				      .msg_iovlen = 1,
				      .msg_control = control.buf,
				      .msg_controllen = sizeof(control.buf) };
		int fd;

		if (recvmsg(sock, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) <= 0)
			return;
		if (msg.msg_controllen >= CMSG_LEN(sizeof(int))) {
			memcpy(&fd, CMSG_DATA(&control.align), sizeof(int));
			close(fd);
		}
	}
}

static int run(struct front *f)
{
	struct vmtap_error err = { 0 };
	int ret = vu_session_run(f->session, &err);

	assert(ret == 0 || ret == -EPIPE || (err.code == -ret && err.reason[0] && err.action[0]));
	drain(f->theirs);
	if (ret == 0)
		vu_session_config_changed(f->session);
	for (unsigned i = 0; ret == 0 && i < f->dev.queue_cnt; i++)
		work(f->dev.queues[i].ring);
	return ret;
}

static unsigned open_fds(struct input *in, uint32_t request, const union vu_payload *body,
			 unsigned kind, int *fds)
{
	unsigned cnt = takes_fd(request, body);

	if (cnt && request == VHOST_USER_SET_MEM_TABLE)
		cnt = body->table.cnt;
	if (kind == 3)
		cnt = next8(in) % FDS_MAX;
	for (unsigned i = 0; i < cnt; i++) {
		fds[i] = open_fd(request, kind);
		assert(fds[i] >= 0);
	}
	return cnt;
}

static int tell(struct front *f, uint32_t request, unsigned how)
{
	struct input *in = &f->in;
	struct vu_hdr hdr = { request, VU_VERSION | (how & HOW_NEED_REPLY ? VU_NEED_REPLY : 0), 0 };
	union vu_payload body = { 0 };
	uint8_t buf[sizeof(hdr) + sizeof(body)];
	int fds[FDS_MAX], ret = 0;
	unsigned cnt;
	size_t total, cut;

	hdr.size = make(in, request, &body);
	cnt = open_fds(in, request, &body, HOW_FD(how), fds);
	if (how & HOW_RAW) {
		hdr.size = next8(in) & 63;
		for (unsigned i = 0; i < hdr.size; i++)
			((uint8_t *)&body)[i] = next8(in);
	}
	if (how & HOW_BREAK)
		((uint8_t *)&body)[next8(in) % 64] ^= next8(in);
	if (how & HOW_SIZE)
		hdr.size = next8(in) * 9u;
	memcpy(buf, &hdr, sizeof(hdr));
	memcpy(buf + sizeof(hdr), &body, sizeof(body));
	total = sizeof(hdr) + (hdr.size < sizeof(body) ? hdr.size : sizeof(body));
	cut = how & HOW_CUT ? next8(in) % total : 0;
	if (cut) {
		transmit(f->theirs, buf, cut, fds, cnt);
		ret = run(f);
	}
	if (ret == 0)
		transmit(f->theirs, buf + cut, total - cut, fds, cut ? 0 : cnt);
	for (unsigned i = 0; i < cnt; i++)
		close(fds[i]);
	return ret < 0 ? ret : run(f);
}

/* So much that two rings run: what it takes to find it by chance is long. */
static void say_the_usual(struct front *f, uint8_t features)
{
	const struct input rest = f->in;
	const uint8_t said[] = {
		VHOST_USER_SET_PROTOCOL_FEATURES, 0,	VHOST_USER_SET_FEATURES,   features,
		VHOST_USER_SET_MEM_TABLE,	  0,	VHOST_USER_SET_VRING_NUM,  0x80,
		VHOST_USER_SET_VRING_NUM,	  0x81, /* 128 % 6 = 2, 129 % 6 = 3 */
		VHOST_USER_SET_VRING_BASE,	  2,	VHOST_USER_SET_VRING_BASE, 3,
		VHOST_USER_SET_VRING_ADDR,	  2,	VHOST_USER_SET_VRING_ADDR, 3,
		VHOST_USER_SET_VRING_KICK,	  2,	VHOST_USER_SET_VRING_KICK, 3,
		VHOST_USER_SET_VRING_CALL,	  2,
	};

	for (size_t i = 0; i + 1 < sizeof(said); i += 2) {
		f->in = (struct input) { &said[i + 1], 1 };
		assert(tell(f, said[i], 0) == 0);
	}
	f->in = rest;
}

/* ---------------------------------------------------------------------------- an input */

/* What a driver does, or anybody who has the memory: 1 to 32 bytes at a place that a ring has. */
static void change_memory(struct input *in)
{
	const uint8_t where = next8(in), len = 1 + (next8(in) & 31);
	const unsigned at = (where & 31) * 0x1000u + (where >> 5) * 0x20u;

	for (unsigned i = 0; i < len; i++)
		guest_mem[at + i] = next8(in);
}

static void prepare(void)
{
	if (guest >= 0)
		return;
	guest = memfd_create("guest", MFD_CLOEXEC);
	assert(guest >= 0 && ftruncate(guest, MEM_SIZE) == 0);
	guest_mem = mmap(NULL, MEM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, guest, 0);
	assert(guest_mem != MAP_FAILED);
}

/* Where the next descriptor would go: the same at the end, or one was left open. */
static int next_fd(void)
{
	int fd = fcntl(guest, F_DUPFD_CLOEXEC, 0);

	assert(fd >= 0);
	close(fd);
	return fd;
}

/* Most bytes are requests; the others change the memory. */
static int step(struct front *f)
{
	uint8_t b = next8(&f->in);

	if (b < 0xc0)
		return tell(f, b % 48, next8(&f->in));
	change_memory(&f->in);
	return b & 1 ? run(f) : 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct front f = {
		.dev = {
			.ops = &ops,
			.object = "vhost-user fuzz",
			.offered = features_of(0xfe) | BIT(VIRTIO_NET_F_CTRL_VQ),
			.pairs = 2,
			.queue_size_max = 256,
		},
		.in = { data, size },
	};
	int fds[2], first;
	uint8_t begin;

	prepare();
	memset(guest_mem, 0, MEM_SIZE);
	first = next_fd();
	assert(vu_dev_init(&f.dev) == 0);
	assert(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
	f.sock = fds[0];
	f.theirs = fds[1];
	f.session = vu_session_new(&f.dev, f.sock);
	assert(f.session);
	begin = next8(&f.in);
	if (begin & 0x80)
		say_the_usual(&f, begin & 0x1e);
	for (unsigned i = 0; f.in.size && i < MESSAGES_MAX; i++)
		if (step(&f) < 0)
			break;
	vu_session_free(f.session);
	vu_dev_fini(&f.dev);
	close(f.sock);
	close(f.theirs);
	assert(next_fd() == first);
	return 0;
}
