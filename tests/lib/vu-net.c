/* SPDX-License-Identifier: MIT */
/* A vhost-user front end for tests: queues, and the virtio-net driver on top of them. */
#include "vu-front.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#define GUARD_BYTE 0xa5
#define TABLE_LEN (16u * VUF_PIECES_MAX)
#define NO_FD 0x100u

/* Buffers, cut into pieces */

static uint32_t piece_len(const struct vuf_layout *l, unsigned index)
{
	if (index < l->cnt)
		return l->sizes[index];
	return l->repeat && l->cnt ? l->sizes[l->cnt - 1] : UINT32_MAX;
}

/* pieces of @total bytes in @slot, a guard behind each */
static void cut(struct vuf_slot *slot, const struct vuf_layout *l, uint32_t total, bool in)
{
	uint64_t gpa = slot->gpa;

	slot->cnt = 0;
	do {
		uint32_t len = piece_len(l, slot->cnt);

		if (len > total || slot->cnt == VUF_PIECES_MAX - 1)
			len = total;
		slot->bufs[slot->cnt++] = (struct vq_buf) { .gpa = gpa, .len = len, .in = in };
		gpa += len + VUF_GUARD;
		total -= len;
	} while (total);
}

static void set_guards(struct vuf *f, const struct vuf_slot *slot)
{
	for (unsigned i = 0; i < slot->cnt; i++)
		memset(f->base + slot->bufs[i].gpa + slot->bufs[i].len, GUARD_BYTE, VUF_GUARD);
}

static void check_guards(struct vuf *f, const struct vuf_slot *slot)
{
	for (unsigned i = 0; i < slot->cnt; i++) {
		const uint8_t *p = f->base + slot->bufs[i].gpa + slot->bufs[i].len;

		for (unsigned k = 0; k < VUF_GUARD; k++)
			if (p[k] != GUARD_BYTE) {
				f->guards_broken++;
				return;
			}
	}
}

/* copy between @bytes and the first @len bytes of a slot from @skip on */
static void copy(struct vuf *f, const struct vuf_slot *slot, uint32_t skip, uint8_t *bytes,
		 uint32_t len, bool to_slot)
{
	for (unsigned i = 0; i < slot->cnt && len; i++) {
		uint8_t *at = f->base + slot->bufs[i].gpa;
		uint32_t room = slot->bufs[i].len, n;

		if (skip >= room) {
			skip -= room;
			continue;
		}
		n = room - skip < len ? room - skip : len;
		if (to_slot)
			memcpy(at + skip, bytes, n);
		else
			memcpy(bytes, at + skip, n);
		skip = 0;
		bytes += n;
		len -= n;
	}
}

/* Queues */

static bool slot_place(struct vuf *f, const struct vuf_queue *vq, struct vuf_slot *s)
{
	s->gpa = vuf_alloc(f, (vq->slot_len + VUF_PIECES_MAX * VUF_GUARD + 63) & ~63u, 64);
	if (f->indirect)
		s->table_gpa = vuf_alloc(f, TABLE_LEN, 64);
	return s->gpa && (s->table_gpa || !f->indirect);
}

static bool slots_make(struct vuf *f, struct vuf_queue *vq)
{
	bool rx = !(vq->index & 1);

	vq->slot_cnt = f->ring_size;
	if (!rx && vq->slot_cnt > VUF_TX_SLOTS_MAX)
		vq->slot_cnt = VUF_TX_SLOTS_MAX;
	vq->rx_len = f->rx_len;
	vq->slot_len = rx ? f->rx_len : VUF_FRAME_MAX;
	vq->slots = calloc(vq->slot_cnt, sizeof(*vq->slots));
	if (!vq->slots)
		abort();
	for (unsigned i = 0; i < vq->slot_cnt; i++)
		if (!slot_place(f, vq, &vq->slots[i]))
			return false;
	return true;
}

bool vuf_queue_move(struct vuf *f, struct vuf_queue *vq)
{
	for (unsigned i = 0; i < vq->slot_cnt; i++)
		if (!vq->slots[i].busy && !slot_place(f, vq, &vq->slots[i]))
			return false;
	return true;
}

static bool queue_make(struct vuf *f, struct vuf_queue *vq, unsigned index)
{
	bool packed = vuf_has(f, VIRTIO_F_RING_PACKED);
	uint64_t gpa;

	*vq = (struct vuf_queue) { .index = index, .kick = -1, .call = -1, .err = -1 };
	gpa = vuf_alloc(f, vq_bytes(f->ring_size, packed), 4096);
	if (!gpa)
		return false;
	vq_init(&vq->q, f->base, gpa, f->ring_size, packed, vuf_has(f, VIRTIO_RING_F_EVENT_IDX));
	vq->q.in_order = vuf_has(f, VIRTIO_F_IN_ORDER);
	return slots_make(f, vq);
}

bool vuf_queues_make(struct vuf *f, unsigned cnt)
{
	vuf_queues_free(f);
	f->queues = calloc(cnt, sizeof(*f->queues));
	if (!f->queues)
		abort();
	for (unsigned i = 0; i < cnt; i++) {
		f->queue_cnt = i + 1;
		if (!queue_make(f, &f->queues[i], i))
			return false;
	}
	return true;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void vuf_queues_free(struct vuf *f)
{
	for (unsigned i = 0; i < f->queue_cnt; i++) {
		struct vuf_queue *vq = &f->queues[i];

		if (vq->q.slots)
			vq_fini(&vq->q);
		free(vq->slots);
		close_fd(&vq->kick);
		close_fd(&vq->call);
		close_fd(&vq->err);
	}
	free(f->queues);
	f->queues = NULL;
	f->queue_cnt = 0;
}

uint32_t vuf_queue_base(const struct vuf_queue *vq)
{
	bool wrap;
	uint32_t at = vq_place(&vq->q, &wrap);

	if (!vq->q.packed)
		return at;
	at |= (uint32_t)wrap << 15;
	return at | at << 16;
}

bool vuf_queue_tell_addr(struct vuf *f, unsigned index, bool log)
{
	const struct vq *q = &f->queues[index].q;
	struct vuf_msg m = { .request = VUF_SET_VRING_ADDR, .size = 40 };
	uint32_t head[2] = { index, log };
	uint64_t fields[4] = { VUF_UVA + q->desc_gpa, VUF_UVA + q->used_gpa, VUF_UVA + q->avail_gpa,
			       q->packed ? q->desc_gpa : q->used_gpa };

	memcpy(m.bytes, head, sizeof(head));
	memcpy(m.bytes + 8, fields, sizeof(fields));
	return vuf_tell(f, &m);
}

static bool tell_fd(struct vuf *f, unsigned request, unsigned index, int *fd, bool without)
{
	struct vuf_msg m = { .request = request, .size = 8, .u64 = index | (without ? NO_FD : 0) };

	if (without) {
		close_fd(fd);
		return vuf_tell(f, &m);
	}
	if (*fd < 0)
		*fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	m.fds[0] = *fd;
	m.fd_cnt = 1;
	return vuf_tell(f, &m);
}

bool vuf_queue_start(struct vuf *f, unsigned index)
{
	struct vuf_queue *vq = &f->queues[index];

	vq->started = vuf_set_state(f, VUF_SET_VRING_NUM, index, vq->q.size) &&
		      vuf_set_state(f, VUF_SET_VRING_BASE, index, vuf_queue_base(vq)) &&
		      vuf_queue_tell_addr(f, index, f->log) &&
		      tell_fd(f, VUF_SET_VRING_CALL, index, &vq->call, f->no_call_fd) &&
		      tell_fd(f, VUF_SET_VRING_ERR, index, &vq->err, false) &&
		      tell_fd(f, VUF_SET_VRING_KICK, index, &vq->kick, f->no_kick_fd);
	return vq->started;
}

bool vuf_queue_enable(struct vuf *f, unsigned index, bool on)
{
	return vuf_set_state(f, VUF_SET_VRING_ENABLE, index, on);
}

bool vuf_queue_stop(struct vuf *f, unsigned index, uint32_t *base)
{
	struct vuf_queue *vq = &f->queues[index];
	struct vuf_msg m = { .request = VUF_GET_VRING_BASE, .size = 8, .state = { index, 0 } };

	if (!vuf_call(f, &m))
		return false;
	if (m.size != 8 || m.state.index != index)
		return vuf_fail(f, "GET_VRING_BASE: %u bytes, queue %u", m.size, m.state.index);
	vq->started = false;
	*base = m.state.num;
	return true;
}

void vuf_kick(struct vuf *f, struct vuf_queue *vq)
{
	uint64_t one = 1;

	if (!vq_needs_kick(&vq->q) || vq->kick < 0)
		return;
	if (write(vq->kick, &one, sizeof(one)) == sizeof(one))
		vq->kicks++;
}

/* Frames */

static struct vuf_slot *free_slot(struct vuf_queue *vq)
{
	for (unsigned i = 0; i < vq->slot_cnt; i++) {
		struct vuf_slot *s = &vq->slots[vq->next_slot];

		vq->next_slot = (vq->next_slot + 1) % vq->slot_cnt;
		if (!s->busy)
			return s;
	}
	return NULL;
}

static bool add(struct vuf_queue *vq, struct vuf_slot *s)
{
	s->busy = vq_add(&vq->q, s->bufs, s->cnt, s->table_gpa, (uint64_t)(s - vq->slots));
	return s->busy;
}

unsigned vuf_post(struct vuf *f, struct vuf_queue *vq, unsigned cnt)
{
	struct vuf_slot *s;
	unsigned i = 0;

	for (; i < cnt && vq->q.free_cnt && (s = free_slot(vq)); i++) {
		cut(s, &f->rx_layout, vq->rx_len, true);
		set_guards(f, s);
		if (!add(vq, s))
			break;
	}
	return i;
}

bool vuf_send(struct vuf *f, struct vuf_queue *vq, const struct virtio_net_hdr_v1 *hdr,
	      const void *data, uint32_t len)
{
	struct virtio_net_hdr_v1 none = { 0 };
	struct vuf_slot *s;

	if (f->hdr_len + len > vq->slot_len || !vq->q.free_cnt || !(s = free_slot(vq)))
		return vuf_fail(f, "no room to send");
	cut(s, &f->tx_layout, f->hdr_len + len, false);
	copy(f, s, 0, (uint8_t *)(uintptr_t)(hdr ? hdr : &none), f->hdr_len, true);
	copy(f, s, f->hdr_len, (uint8_t *)(uintptr_t)data, len, true);
	return add(vq, s) || vuf_fail(f, "no room in the ring");
}

/* what the device writes into the ring for the next chain that it used is to be in the dirty log */
static void check_ring_log(struct vuf *f, const struct vq *q)
{
	if (!q->packed)
		vuf_log_saw(f, q->used_gpa + 2, 2);
	/* of a batch that was used in order only one element need be written */
	if (q->in_order)
		return;
	if (q->packed)
		vuf_log_saw(f, q->desc_gpa + 16ull * q->last_used, 16);
	else
		vuf_log_saw(f, q->used_gpa + 4 + 8ull * (q->last_used % q->size), 8);
}

static bool take(struct vuf *f, struct vuf_queue *vq, uint64_t *slot, uint32_t *len)
{
	struct vq before = vq->q;

	if (!vq_get(&vq->q, slot, len))
		return false;
	if (vuf_has(f, VUF_F_LOG_ALL))
		check_ring_log(f, &before);
	return true;
}

unsigned vuf_reap(struct vuf *f, struct vuf_queue *vq)
{
	unsigned cnt = 0;
	uint64_t slot;
	uint32_t len;

	for (; take(f, vq, &slot, &len); cnt++)
		vq->slots[slot].busy = false;
	return cnt;
}

/* the device wrote @len bytes to a slot: all of that is to be in the dirty log */
static void check_log(struct vuf *f, const struct vuf_slot *s, uint32_t len)
{
	for (unsigned i = 0; i < s->cnt && len; i++) {
		uint32_t n = s->bufs[i].len < len ? s->bufs[i].len : len;

		vuf_log_saw(f, s->bufs[i].gpa, n);
		len -= n;
	}
}

static bool take_chain(struct vuf *f, struct vuf_queue *vq, struct vuf_frame *frame, uint32_t room)
{
	struct vuf_slot *s;
	uint64_t slot;
	uint32_t len, skip = 0;

	if (!take(f, vq, &slot, &len))
		return vuf_fail(f, "a frame of %u buffers, and only %u are used",
				frame->hdr.num_buffers, frame->chains);
	s = &vq->slots[slot];
	s->busy = false;
	if (len > vq->rx_len)
		return vuf_fail(f, "%u bytes used in a buffer of %u", len, vq->rx_len);
	check_guards(f, s);
	if (vuf_has(f, VUF_F_LOG_ALL))
		check_log(f, s, len);
	if (!frame->chains++) {
		if (len < f->hdr_len)
			return vuf_fail(f, "%u bytes used, less than the header", len);
		copy(f, s, 0, (uint8_t *)&frame->hdr, f->hdr_len, false);
		skip = f->hdr_len;
	}
	if (len - skip > room)
		return vuf_fail(f, "a frame of more than %u bytes", VUF_FRAME_MAX);
	copy(f, s, skip, f->frame + frame->len, len - skip, false);
	frame->len += len - skip;
	return true;
}

int vuf_receive(struct vuf *f, struct vuf_queue *vq, struct vuf_frame *frame)
{
	bool counted = vuf_has(f, VIRTIO_NET_F_MRG_RXBUF) || vuf_has(f, VIRTIO_F_VERSION_1);

	*frame = (struct vuf_frame) { .data = f->frame };
	if (!vq_has_used(&vq->q))
		return 0;
	frame->hdr.num_buffers = 1;
	if (!take_chain(f, vq, frame, VUF_FRAME_MAX))
		return -1;
	if (f->uncounted && !vuf_has(f, VIRTIO_NET_F_MRG_RXBUF))
		frame->hdr.num_buffers = 1;
	if (counted && !frame->hdr.num_buffers) {
		vuf_fail(f, "a frame of no buffer");
		return -1;
	}
	if (!vuf_has(f, VIRTIO_NET_F_MRG_RXBUF) && frame->hdr.num_buffers != 1) {
		vuf_fail(f, "a frame of %u buffers without mergeable buffers",
			 frame->hdr.num_buffers);
		return -1;
	}
	while (frame->chains < frame->hdr.num_buffers)
		if (!take_chain(f, vq, frame, VUF_FRAME_MAX - frame->len))
			return -1;
	return 1;
}

bool vuf_ctrl(struct vuf *f, struct vuf_queue *vq, const uint8_t *command, uint32_t len,
	      uint8_t *ack)
{
	struct vuf_slot *s = free_slot(vq);
	uint64_t slot;
	uint32_t used;
	int got = 1;

	if (!s || len >= vq->slot_len)
		return vuf_fail(f, "no room for a command");
	cut(s, &f->tx_layout, len, false);
	copy(f, s, 0, (uint8_t *)(uintptr_t)command, len, true);
	s->bufs[s->cnt] =
		(struct vq_buf) { .gpa = s->gpa + vq->slot_len + 2048, .len = 1, .in = true };
	f->base[s->bufs[s->cnt++].gpa] = 0xff;
	if (!add(vq, s))
		return vuf_fail(f, "no room in the ring");
	vuf_kick(f, vq);
	while (got > 0 && !vq_has_used(&vq->q))
		got = vuf_wait(f, &vq, 1, f->timeout_ms);
	if (got <= 0 || !vq_get(&vq->q, &slot, &used))
		return vuf_fail(f, "no answer to a command");
	s->busy = false;
	*ack = f->base[s->bufs[s->cnt - 1].gpa];
	return used == 1 || vuf_fail(f, "%u bytes used for an answer of 1", used);
}

int vuf_wait(struct vuf *f, struct vuf_queue **queues, unsigned cnt, int timeout_ms)
{
	struct pollfd p[1 + 8] = { { .fd = f->sock, .events = POLLIN | POLLRDHUP } };
	bool blind = false;
	uint64_t value;
	uint8_t byte;
	ssize_t n;

	for (unsigned i = 0; i < cnt && i < 8; i++) {
		if (vq_want_calls(&queues[i]->q, true))
			return 1;
		p[1 + i] = (struct pollfd) { .fd = queues[i]->call, .events = POLLIN };
		blind |= queues[i]->call < 0;
	}
	if (blind && timeout_ms > 1)
		timeout_ms = 1; /* nobody calls: look again soon */
	if (poll(p, 1 + cnt, timeout_ms) <= 0)
		return blind;
	for (unsigned i = 0; i < cnt; i++)
		vq_want_calls(&queues[i]->q, false);
	if (p[0].revents) {
		n = recv(f->sock, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
		if (n == 0 || (n < 0 && errno != EAGAIN))
			return -1;
	}
	for (unsigned i = 0; i < cnt; i++)
		if (p[1 + i].revents && read(queues[i]->call, &value, 8) == 8)
			queues[i]->calls += value;
	return 1;
}
