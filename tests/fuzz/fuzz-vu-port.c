/* SPDX-License-Identifier: MIT */
/*
 * Fuzzes the vhost-user port as a whole: a front end that sets its rings up
 * properly, and a guest that then writes anything anywhere in its memory, while
 * frames move both ways.
 *
 * Input: a byte of features, then steps: a byte that says what, and what it needs. See step().
 * The peer is an application that checks each frame and takes as many as the input says; and it borrows, as
 * a TAP does, and fills what is lent.
 */
#include <assert.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/api.h"
#include "base/fd.h"
#include "base/iov.h"
#include "port/vu/proto.h"
#include "vmtap/vmtap.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MEM_SIZE 0x20000u
#define RING_SIZE 16u
#define QUEUES 3u /* receive, transmit, control */
#define RING_AT(Q) ((Q)*0x1000u)
#define AVAIL_AT(Q) (RING_AT(Q) + 0x400)
#define USED_AT(Q) (RING_AT(Q) + 0x800)
#define BUFFERS_AT 0x4000u
#define UVA 0x7f0000000000ull

/** struct input - What is left of it */
struct input {
	const uint8_t *data;
	size_t size;
};

static struct {
	struct vmtap *v;
	struct vmtap_port *vu, *app;
	int sock, kick[QUEUES], call[QUEUES], memfd;
	uint8_t *mem;
	uint32_t size;	/* of the memory's file, which the front end may cut */
	unsigned takes; /* frames that the application takes of each burst */
	uint8_t sum;	/* of bytes that the application looked at */
	bool packed;
} fz;

static uint8_t take8(struct input *in)
{
	if (!in->size)
		return 0;
	in->size--;
	return *in->data++;
}

static unsigned take16(struct input *in)
{
	unsigned hi = take8(in);

	return hi << 8 | take8(in);
}

/* ------------------------------------------------------------------ front end */

static void send_msg(uint32_t request, const void *body, uint32_t len, int fd)
{
	struct vu_hdr hdr = { .request = request, .flags = VU_VERSION, .size = len };
	struct iovec iov[] = { { &hdr, sizeof(hdr) }, { (void *)(uintptr_t)body, len } };
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int))];
	} ctl = { 0 };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };

	if (fd >= 0) {
		struct cmsghdr *c = &ctl.align;

		msg.msg_control = ctl.buf;
		msg.msg_controllen = sizeof(ctl.buf);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(c), &fd, sizeof(fd));
	}
	(void)!sendmsg(fz.sock, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
}

static void send_state(uint32_t request, unsigned index, unsigned num)
{
	struct vhost_vring_state s = { .index = index, .num = num };

	send_msg(request, &s, sizeof(s), -1);
}

static void dispatch(void)
{
	for (unsigned i = 0; i < 4; i++)
		vmtap_dispatch(fz.v, 0);
}

static uint64_t features_of(uint8_t how)
{
	uint64_t f = 1ull << VIRTIO_NET_F_CSUM | 1ull << VIRTIO_NET_F_HOST_TSO4 |
		     1ull << VIRTIO_NET_F_HOST_UFO | 1ull << VHOST_USER_F_PROTOCOL_FEATURES |
		     1ull << VIRTIO_NET_F_CTRL_VQ | 1ull << VIRTIO_NET_F_CTRL_RX;
	static const uint64_t bits[] = {
		1ull << VIRTIO_F_RING_PACKED,	     1ull << VIRTIO_RING_F_EVENT_IDX,
		1ull << VIRTIO_RING_F_INDIRECT_DESC, 1ull << VIRTIO_NET_F_MRG_RXBUF,
		1ull << VIRTIO_F_VERSION_1,	     1ull << VIRTIO_NET_F_GUEST_CSUM,
	};

	for (size_t i = 0; i < sizeof(bits) / sizeof(bits[0]); i++)
		if (how >> i & 1)
			f |= bits[i];
	return f;
}

static void set_up(uint8_t how)
{
	struct vu_mem_table table = {
		.cnt = 1,
		.regions = { { .gpa = 0, .size = MEM_SIZE, .uva = UVA } },
	};
	uint64_t f = features_of(how);

	fz.packed = how & 1;
	send_msg(VHOST_USER_SET_OWNER, NULL, 0, -1);
	send_msg(VHOST_USER_SET_FEATURES, &f, sizeof(f), -1);
	send_msg(VHOST_USER_SET_MEM_TABLE, &table, 8 + sizeof(struct vu_region), fz.memfd);
	for (unsigned i = 0; i < QUEUES; i++) {
		struct vhost_vring_addr a = { .index = i,
					      .desc_user_addr = UVA + RING_AT(i),
					      .avail_user_addr = UVA + AVAIL_AT(i),
					      .used_user_addr = UVA + USED_AT(i) };
		uint64_t index = i;

		send_state(VHOST_USER_SET_VRING_NUM, i, RING_SIZE);
		send_state(VHOST_USER_SET_VRING_BASE, i, fz.packed ? 0x80008000u : 0);
		send_msg(VHOST_USER_SET_VRING_ADDR, &a, sizeof(a), -1);
		send_msg(VHOST_USER_SET_VRING_CALL, &index, sizeof(index), fz.call[i]);
		send_msg(VHOST_USER_SET_VRING_KICK, &index, sizeof(index), fz.kick[i]);
		send_state(VHOST_USER_SET_VRING_ENABLE, i, 1);
		dispatch();
	}
}

/* ------------------------------------------------------------------------ guest */

static void kick(unsigned q)
{
	const uint64_t one = 1;

	(void)!write(fz.kick[q], &one, sizeof(one));
}

static void put(uint32_t at, const void *data, size_t len)
{
	if (at + len <= fz.size)
		memcpy(fz.mem + at, data, len);
}

/* A descriptor that is likely to be one: its buffer is in memory, its flags and length are the input's. */
static void describe(struct input *in)
{
	unsigned where = take8(in), q = where % QUEUES, i = where / QUEUES % RING_SIZE;
	unsigned flags = take8(in), len = take16(in), at = take16(in), next = take8(in);

	if (fz.packed) {
		struct vring_packed_desc d = {
			.addr = BUFFERS_AT + at,
			.len = len,
			.id = (uint16_t)(next % (RING_SIZE + 2)),
			.flags = (uint16_t)((flags & 7) | (flags & 0xc0) << 8 | (flags & 0x30) << 3)
		};

		put(RING_AT(q) + i * 16, &d, sizeof(d));
	} else {
		struct vring_desc d = { .addr = BUFFERS_AT + at,
					.len = len,
					.flags = (uint16_t)(flags & 7),
					.next = (uint16_t)(next % (RING_SIZE + 2)) };
		uint16_t head = (uint16_t)i, idx;

		put(RING_AT(q) + i * 16, &d, sizeof(d));
		memcpy(&idx, fz.mem + AVAIL_AT(q) + 2, 2);
		put(AVAIL_AT(q) + 4 + idx % RING_SIZE * 2u, &head, 2);
		idx++;
		if (flags & 0x80)
			put(AVAIL_AT(q) + 2, &idx, 2);
	}
}

static void scribble(struct input *in)
{
	unsigned at = take16(in) << 1, len = take8(in) & 31;
	uint8_t bytes[32];

	for (unsigned i = 0; i < len; i++)
		bytes[i] = take8(in);
	put(at, bytes, len);
}

/* --------------------------------------------------------------------- application */

static unsigned frames_in(void *opaque, const struct vmtap_frame *frames, unsigned cnt)
{
	uint8_t sum = 0;
	unsigned n = cnt < fz.takes ? cnt : fz.takes;

	for (unsigned i = 0; i < cnt; i++) {
		uint32_t len = 0;

		for (unsigned k = 0; k < frames[i].iov_cnt; k++) {
			const uint8_t *p = frames[i].iov[k].iov_base;

			len += (uint32_t)frames[i].iov[k].iov_len;
			if (frames[i].iov[k].iov_len)
				sum ^= p[0] ^ p[frames[i].iov[k].iov_len - 1];
		}
		assert(len == frames[i].len && len >= 14);
	}
	fz.sum ^= sum;
	return n;
}

static void send_frame(struct input *in)
{
	static uint8_t bytes[3000];
	const struct iovec iov = { .iov_base = bytes, .iov_len = 14 + take16(in) % 2900 };
	struct vmtap_frame f = { .len = (uint32_t)iov.iov_len, .iov = &iov, .iov_cnt = 1 };

	vmtap_send_burst(fz.app, &f, 1);
}

/* Fill and repay what a frame of @len bytes takes, or only fill it: then it is written and never shown. */
static void use_loan(const struct port_loan *loan, uint32_t len, bool repaid)
{
	const struct vmtap_net_hdr hdr = { 0 };
	size_t left = len;

	assert(loan->iov_cnt <= PORT_LOAN_PIECES);
	assert(iov_len(loan->iov, loan->iov_cnt) >= VMTAP_FRAME_MAX);
	for (unsigned i = 0; i < loan->iov_cnt && left; i++) {
		const size_t n = left < loan->iov[i].iov_len ? left : loan->iov[i].iov_len;

		memset(loan->iov[i].iov_base, 0x5a, n);
		left -= n;
	}
	assert(!left);
	if (repaid)
		assert(lane_repay(port_lane(fz.app->port, 0), loan, &hdr, len));
}

/* Some frames of any length, as the TAP reads them. */
static void lend_frames(struct input *in)
{
	struct port_loan loan = { 0 };
	unsigned cnt = 1 + take8(in) % 8;

	while (cnt-- && lane_borrow(port_lane(fz.app->port, 0), &loan)) {
		const unsigned how = take16(in);

		use_loan(&loan, 14 + how * 2 % (VMTAP_FRAME_MAX - 14), how % 8);
	}
	if (loan.lender)
		lane_settle(&loan);
}

/* ------------------------------------------------------------------------- running */

static void step(struct input *in)
{
	static uint8_t body[64];
	unsigned what = take8(in), n;

	switch (what % 8) {
	case 0:
	case 1:
		describe(in);
		break;
	case 2:
		scribble(in);
		break;
	case 3:
		kick(what / 8 % QUEUES);
		dispatch();
		break;
	case 4:
		if (what & 8)
			lend_frames(in);
		else
			send_frame(in);
		break;
	case 5:
		fz.takes = what / 8;
		vmtap_app_writable(fz.app);
		dispatch();
		break;
	case 6:
		n = take8(in) % sizeof(body);
		for (unsigned i = 0; i < n; i++)
			body[i] = take8(in);
		send_msg(take8(in) % 44, body, n,
			 what & 8    ? fz.memfd
			 : what & 16 ? fz.kick[0]
				     : -1);
		dispatch();
		break;
	default:
		if (what & 8) {
			fz.size = what & 16 ? MEM_SIZE / 2 : MEM_SIZE;
			assert(ftruncate(fz.memfd, fz.size) == 0);
		} else {
			set_up((uint8_t)(what >> 2));
		}
		dispatch();
		break;
	}
}

static bool begin(void)
{
	static const struct vmtap_app_ops ops = { .size = sizeof(ops), .frames = frames_in };
	struct vmtap_config config = { .size = sizeof(config), .engine = VMTAP_ENGINE_PLAIN };
	int pair[2];
	char spec[64];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
		return false;
	fz.sock = pair[0];
	fz.takes = 64;
	fz.size = MEM_SIZE;
	fz.memfd = memfd_create("guest", MFD_CLOEXEC);
	assert(fz.memfd >= 0 && ftruncate(fz.memfd, MEM_SIZE) == 0);
	fz.mem = mmap(NULL, MEM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fz.memfd, 0);
	assert(fz.mem != MAP_FAILED);
	for (unsigned i = 0; i < QUEUES; i++) {
		fz.kick[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		fz.call[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	}
	fz.v = vmtap_new(&config, NULL);
	assert(fz.v);
	snprintf(spec, sizeof(spec), "vhost-user,fd=%d", pair[1]);
	fz.vu = vmtap_port_open(fz.v, spec, NULL);
	fz.app = vmtap_app_new(fz.v, "app", &ops, NULL, NULL);
	assert(fz.vu && fz.app);
	assert(vmtap_link_new(fz.v, fz.vu, fz.app, NULL));
	return true;
}

static void end(void)
{
	vmtap_free(fz.v);
	munmap(fz.mem, MEM_SIZE);
	fd_close(&fz.memfd);
	fd_close(&fz.sock);
	for (unsigned i = 0; i < QUEUES; i++) {
		fd_close(&fz.kick[i]);
		fd_close(&fz.call[i]);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = { .data = data, .size = size < 4096 ? size : 4096 };

	if (!begin())
		return 0;
	set_up(take8(&in));
	while (in.size)
		step(&in);
	end();
	return 0;
}
