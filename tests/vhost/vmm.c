/* SPDX-License-Identifier: MIT */
/* A VMM as far as a queue pair of vhost-net sees one. */
#include "vmm.h"

#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

uint64_t vmm_features(void)
{
	return 1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_NET_F_MRG_RXBUF |
	       1ull << VIRTIO_RING_F_EVENT_IDX;
}

void vmm_post(struct vmm *m, unsigned i)
{
	const struct vq_buf buf = { VMM_RX_BUFS + i * VMM_BUF, VMM_BUF, true };

	assert_true(vq_add(&m->rings[VMTAP_VHOST_RX], &buf, 1, 0, i));
}

void vmm_memory(struct vmm *m, struct lab *lab, struct vmtap_vhost *vhost, uint64_t features)
{
	const bool event_idx = features >> VIRTIO_RING_F_EVENT_IDX & 1;

	*m = (struct vmm) { .lab = lab, .vhost = vhost, .features = features };
	m->mem = mmap(NULL, VMM_MEM, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	assert_true(m->mem != MAP_FAILED);
	vq_init(&m->rings[VMTAP_VHOST_RX], m->mem, VMM_RX_RING, VMM_RING, false, event_idx);
	vq_init(&m->rings[VMTAP_VHOST_TX], m->mem, VMM_TX_RING, VMM_RING, false, event_idx);
	for (unsigned i = 0; i < 2; i++) {
		m->kick[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		m->call[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		m->err[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		assert_true(m->kick[i] >= 0 && m->call[i] >= 0 && m->err[i] >= 0);
	}
	for (unsigned i = 0; i < VMM_RING; i++)
		vmm_post(m, i);
}

void vmm_tell(struct vmm *m)
{
	const struct vmtap_vhost_region region = { .gpa = 0, .len = VMM_MEM, .host = m->mem };

	ok(vmtap_vhost_set_features(m->vhost, m->features, err));
	ok(vmtap_vhost_set_mem(m->vhost, &region, 1, err));
}

struct vmtap_vhost_ring vmm_ring(const struct vmm *m, unsigned ring)
{
	const struct vq *q = &m->rings[ring];
	const uintptr_t base = (uintptr_t)m->mem;

	return (struct vmtap_vhost_ring) {
		.size = sizeof(struct vmtap_vhost_ring),
		.entries = VMM_RING,
		.base = m->base[ring],
		.desc = base + q->desc_gpa,
		.avail = base + q->avail_gpa,
		.used = base + q->used_gpa,
		.kick = m->kick[ring],
		.call = m->call[ring],
		.err = m->err[ring],
	};
}

static void kick(const struct vmm *m, unsigned ring)
{
	assert_int_equal(eventfd_write(m->kick[ring], 1), 0);
}

void vmm_start(struct vmm *m)
{
	for (unsigned i = 0; i < 2; i++) {
		struct vmtap_vhost_ring ring = vmm_ring(m, i);

		ok(vmtap_vhost_set_ring(m->vhost, i, &ring, err));
		ok(vmtap_vhost_start(m->vhost, i, err));
		kick(m, i);
	}
}

void vmm_stop(struct vmm *m)
{
	for (unsigned i = 0; i < 2; i++)
		ok(vmtap_vhost_stop(m->vhost, i, &m->base[i], err));
}

void vmm_open(struct vmm *m, struct lab *lab, const char *options)
{
	char spec[512];
	struct vmtap_vhost *vhost;

	snprintf(spec, sizeof(spec), LAB_TAP ",vhostforce=on%s", options);
	lab_open_ports(lab, spec, 0);
	lab->packet = lab_packet_socket("vm0");
	lab_run("ip link set vm0 txqueuelen 10000");
	vhost = vmtap_port_vhost(lab->tap, 0);
	assert_non_null(vhost);
	vmm_memory(m, lab, vhost, vmm_features());
	vmm_tell(m);
}

void vmm_close(struct vmm *m)
{
	for (unsigned i = 0; i < 2; i++) {
		close(m->kick[i]);
		close(m->call[i]);
		close(m->err[i]);
		vq_fini(&m->rings[i]);
	}
	munmap(m->mem, VMM_MEM);
}

bool vmm_event(int fd, int timeout_ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	eventfd_t value;

	return poll(&p, 1, timeout_ms) == 1 && eventfd_read(fd, &value) == 0;
}

/* Take what is used from a ring; when nothing is, ask for a call and wait. */
static uint64_t take(struct vmm *m, unsigned ring, uint32_t *len)
{
	struct vq *q = &m->rings[ring];
	uint64_t opaque;

	while (!vq_get(q, &opaque, len)) {
		if (vq_want_calls(q, true))
			continue;
		if (!vmm_event(m->call[ring], VMM_TIMEOUT_MS))
			fail_msg("ring %u: nothing is used, and no call comes", ring);
	}
	return opaque;
}

static void reap_one(struct vmm *m)
{
	uint32_t len;
	uint64_t i = take(m, VMTAP_VHOST_TX, &len);

	assert_in_range(i, 0, VMM_RING - 1);
	m->tx_busy[i] = false;
}

void vmm_send(struct vmm *m, uint32_t number, unsigned len)
{
	const unsigned i = m->sent % VMM_RING;
	const struct vq_buf buf = { VMM_TX_BUFS + i * VMM_BUF, VMM_HDR + len, false };

	while (m->tx_busy[i])
		reap_one(m);
	memset(m->mem + buf.gpa, 0, VMM_HDR);
	lab_frame(m->mem + buf.gpa + VMM_HDR, len, number);
	assert_true(vq_add(&m->rings[VMTAP_VHOST_TX], &buf, 1, 0, i));
	m->tx_busy[i] = true;
	m->sent++;
	if (vq_needs_kick(&m->rings[VMTAP_VHOST_TX]))
		kick(m, VMTAP_VHOST_TX);
}

void vmm_sent(struct vmm *m)
{
	for (unsigned i = 0; i < VMM_RING; i++)
		while (m->tx_busy[i])
			reap_one(m);
}

uint32_t vmm_receive(struct vmm *m, unsigned *len)
{
	uint32_t used, number;
	uint64_t i = take(m, VMTAP_VHOST_RX, &used);

	assert_in_range(i, 0, VMM_RING - 1);
	assert_in_range(used, VMM_HDR + 14, VMM_BUF);
	number = lab_number(m->mem + VMM_RX_BUFS + i * VMM_BUF + VMM_HDR, used - VMM_HDR);
	if (len)
		*len = used - VMM_HDR;
	vmm_post(m, (unsigned)i);
	if (vq_needs_kick(&m->rings[VMTAP_VHOST_RX]))
		kick(m, VMTAP_VHOST_RX);
	return number;
}
