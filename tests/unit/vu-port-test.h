/* SPDX-License-Identifier: MIT */
/*
 * The vhost-user port as a whole, for tests: a front end and a guest's driver at one end, an application
 * at the other, all in one thread.
 *
 * The guest's memory is one file: rings first, then buffers, one a page.
 */
#ifndef VU_PORT_TEST_H
#define VU_PORT_TEST_H

#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "port/vu/proto.h"
#include "vmtap/vmtap.h"
#include "vq-driver.h"

#define BIT(n) (UINT64_C(1) << (n))
#define MODERN (BIT(VIRTIO_F_VERSION_1) | BIT(VHOST_USER_F_PROTOCOL_FEATURES))
#define MEM_SIZE 0x80000u
#define RING_AT(i) (0x2000u * (i))
#define BUFS_AT 0x40000u
#define UVA UINT64_C(0x7f0000000000)
#define RING_SIZE 16u
#define QUEUES_MAX 5u /* two pairs, control */
#define FRAME_LEN 60u

/**
 * struct rig - Both ends
 * @queues: receive, transmit, ..., control
 * @got:   frames that the application took; @takes: how many it takes still
 * @in_frames: called for each burst, may be NULL
 * @writable: called when the application may offer again, may be NULL
 */
struct rig {
	struct vmtap *v;
	struct vmtap_port *vu, *app;
	int sock, memfd, kick[QUEUES_MAX], call[QUEUES_MAX];
	uint8_t *mem;
	struct vq q[QUEUES_MAX];
	unsigned queues;
	uint64_t features;
	unsigned got, takes;
	void (*in_frames)(void);
	void (*writable)(void);
};

static struct rig rig;

/* front end */

static inline void dispatch(void)
{
	for (unsigned i = 0; i < 6; i++)
		vmtap_dispatch(rig.v, 0);
}

static inline void send_msg(uint32_t request, const void *body, uint32_t len, int fd)
{
	struct vu_hdr hdr = { .request = request, .flags = VU_VERSION, .size = len };
	struct iovec iov[] = { { &hdr, sizeof(hdr) }, { (void *)(uintptr_t)body, len } };
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int))];
	} ctl = { 0 };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };

	if (fd >= 0) {
		msg.msg_control = ctl.buf;
		msg.msg_controllen = sizeof(ctl.buf);
		ctl.align.cmsg_level = SOL_SOCKET;
		ctl.align.cmsg_type = SCM_RIGHTS;
		ctl.align.cmsg_len = CMSG_LEN(sizeof(fd));
		memcpy(CMSG_DATA(&ctl.align), &fd, sizeof(fd));
	}
	assert_int_equal(sendmsg(rig.sock, &msg, MSG_DONTWAIT | MSG_NOSIGNAL), sizeof(hdr) + len);
}

static inline void send_u64(uint32_t request, uint64_t value)
{
	send_msg(request, &value, sizeof(value), -1);
}

static inline void send_state(uint32_t request, unsigned index, unsigned num)
{
	const struct vhost_vring_state s = { .index = index, .num = num };

	send_msg(request, &s, sizeof(s), -1);
}

static inline void send_event(uint32_t request, unsigned index, int fd)
{
	const uint64_t value = index;

	send_msg(request, &value, sizeof(value), fd);
}

static inline void share_memory(void)
{
	const struct vu_mem_table t = { .cnt = 1, .regions = { { 0, MEM_SIZE, UVA, 0 } } };

	send_msg(VHOST_USER_SET_MEM_TABLE, &t, 8 + sizeof(struct vu_region), rig.memfd);
}

static inline void start_ring(unsigned i, uint32_t base)
{
	const struct vq *q = &rig.q[i];
	const struct vhost_vring_addr a = { .index = i,
					    .desc_user_addr = UVA + q->desc_gpa,
					    .avail_user_addr = UVA + q->avail_gpa,
					    .used_user_addr = UVA + q->used_gpa };

	send_state(VHOST_USER_SET_VRING_NUM, i, RING_SIZE);
	send_state(VHOST_USER_SET_VRING_BASE, i, base);
	send_msg(VHOST_USER_SET_VRING_ADDR, &a, sizeof(a), -1);
	send_event(VHOST_USER_SET_VRING_CALL, i, rig.call[i]);
	send_event(VHOST_USER_SET_VRING_KICK, i, rig.kick[i]);
	send_state(VHOST_USER_SET_VRING_ENABLE, i, 1);
	dispatch();
}

/* All up to the rings. */
static inline void negotiate(uint64_t features)
{
	rig.features = features;
	send_msg(VHOST_USER_SET_OWNER, NULL, 0, -1);
	send_u64(VHOST_USER_SET_PROTOCOL_FEATURES, BIT(VHOST_USER_PROTOCOL_F_CONFIG));
	send_u64(VHOST_USER_SET_FEATURES, features);
	share_memory();
	for (unsigned i = 0; i < rig.queues; i++) {
		vq_fini(&rig.q[i]);
		vq_init(&rig.q[i], rig.mem, RING_AT(i), RING_SIZE,
			features & BIT(VIRTIO_F_RING_PACKED),
			features & BIT(VIRTIO_RING_F_EVENT_IDX));
	}
	dispatch();
}

static inline void set_up(uint64_t features)
{
	negotiate(features);
	for (unsigned i = 0; i < rig.queues; i++)
		start_ring(i, features & BIT(VIRTIO_F_RING_PACKED) ? 0x80008000u : 0);
}

static inline bool session_ended(void)
{
	char byte;

	return recv(rig.sock, &byte, 1, MSG_DONTWAIT | MSG_PEEK) == 0;
}

/* the guest's driver */

static inline uint64_t buf_at(unsigned n)
{
	return BUFS_AT + 0x1000u * (n % 64);
}

static inline void kick(int fd)
{
	const uint64_t one = 1;

	assert_int_equal(write(fd, &one, sizeof(one)), sizeof(one));
}

/* A receive buffer of @len bytes. */
static inline void post(unsigned n, uint32_t len)
{
	const struct vq_buf b = { .gpa = buf_at(n), .len = len, .in = true };

	assert_true(vq_add(&rig.q[0], &b, 1, 0, n));
}

/* A frame to transmit, behind a header of @hdr_len bytes. */
static inline void transmit(unsigned n, uint32_t hdr_len)
{
	const struct vq_buf b = { .gpa = buf_at(32 + n), .len = hdr_len + FRAME_LEN };

	memset(rig.mem + b.gpa, 0, b.len);
	assert_true(vq_add(&rig.q[1], &b, 1, 0, n));
}

static inline unsigned reap(unsigned queue)
{
	unsigned n = 0;
	uint64_t opaque;
	uint32_t len;

	while (vq_get(&rig.q[queue], &opaque, &len))
		n++;
	return n;
}

/* A command on the control queue. Return: its answer, or 0xff: none came */
static inline uint8_t command(const char *bytes, uint32_t len)
{
	const unsigned q = rig.queues - 1;
	uint8_t *ack = rig.mem + buf_at(63) + 256;
	const struct vq_buf b[] = { { .gpa = buf_at(63), .len = len },
				    { .gpa = buf_at(63) + 256, .len = 1, .in = true } };

	memcpy(rig.mem + b[0].gpa, bytes, len);
	*ack = 0xff;
	assert_true(vq_add(&rig.q[q], b, 2, 0, 0));
	kick(rig.kick[q]);
	dispatch();
	assert_int_equal(reap(q), 1);
	return *ack;
}

/* the application */

static inline unsigned frames_in(void *opaque, const struct vmtap_frame *frames, unsigned cnt)
{
	unsigned n = cnt < rig.takes ? cnt : rig.takes;

	rig.got += n;
	rig.takes -= n;
	if (rig.in_frames)
		rig.in_frames();
	return n;
}

static inline void app_writable(void *opaque)
{
	if (rig.writable)
		rig.writable();
}

/* @cnt frames for the guest, to address @mac (NULL: everybody), with @hdr_flags. Return: how many were
 * taken */
static inline unsigned send_frames(unsigned cnt, const uint8_t *mac, uint8_t hdr_flags)
{
	static uint8_t bytes[FRAME_LEN];
	const struct iovec iov = { .iov_base = bytes, .iov_len = sizeof(bytes) };
	struct vmtap_frame f[VMTAP_BURST_MAX];

	memset(bytes, 0xff, 6);
	if (mac)
		memcpy(bytes, mac, 6);
	for (unsigned i = 0; i < cnt; i++)
		f[i] = (struct vmtap_frame) {
			.hdr.flags = hdr_flags, .len = sizeof(bytes), .iov = &iov, .iov_cnt = 1
		};
	return vmtap_send_burst(rig.app, f, cnt);
}

static inline struct vmtap_stats stats_of(const struct vmtap_port *p)
{
	struct vmtap_stats s;

	vmtap_port_stats(p, &s, sizeof(s));
	return s;
}

/* both */

static inline int open_pairs(unsigned pairs)
{
	static const struct vmtap_app_ops ops = { .size = sizeof(ops),
						  .frames = frames_in,
						  .writable = app_writable };
	struct vmtap_config config = { .size = sizeof(config), .log_level = VMTAP_LOG_ERROR };
	char spec[64];
	int pair[2];

	memset(&rig, 0, sizeof(rig));
	rig.queues = 2 * pairs + 1;
	rig.takes = ~0u;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
	rig.sock = pair[0];
	rig.memfd = memfd_create("guest", MFD_CLOEXEC);
	assert_int_equal(ftruncate(rig.memfd, MEM_SIZE), 0);
	rig.mem = mmap(NULL, MEM_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, rig.memfd, 0);
	assert_ptr_not_equal(rig.mem, MAP_FAILED);
	for (unsigned i = 0; i < rig.queues; i++) {
		rig.kick[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		rig.call[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	}
	rig.v = vmtap_new(&config, NULL);
	snprintf(spec, sizeof(spec), "vhost-user,queues=%u,fd=%d", pairs, pair[1]);
	rig.vu = vmtap_port_open(rig.v, spec, NULL);
	rig.app = vmtap_app_new(rig.v, "app", &ops, NULL, NULL);
	assert_non_null(rig.vu);
	assert_non_null(rig.app);
	vmtap_port_set_offload(rig.app, VMTAP_OFFLOAD_CSUM, NULL);
	assert_non_null(vmtap_link_new(rig.v, rig.vu, rig.app, NULL));
	return 0;
}

static inline int rig_open(void **state)
{
	return open_pairs(1);
}

static inline int rig_open2(void **state)
{
	return open_pairs(2);
}

static inline int rig_close(void **state)
{
	vmtap_free(rig.v);
	munmap(rig.mem, MEM_SIZE);
	close(rig.memfd);
	close(rig.sock);
	for (unsigned i = 0; i < rig.queues; i++) {
		vq_fini(&rig.q[i]);
		close(rig.kick[i]);
		close(rig.call[i]);
	}
	return 0;
}

#endif
