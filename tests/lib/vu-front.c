/* SPDX-License-Identifier: MIT */
/*
 * A vhost-user front end for tests: socket, messages, and what is shared.
 *
 * Source: the vhost-user protocol specification.
 */
#include "vu-front.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define HEAD 12u /* request, flags, size */

bool vuf_fail(struct vuf *f, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(f->why, sizeof(f->why), format, args);
	va_end(args);
	return false;
}

void vuf_init(struct vuf *f)
{
	memset(f, 0, sizeof(*f));
	f->sock = f->listener = f->backend = f->log_fd = f->inflight_fd = -1;
	f->pairs = 1;
	f->ring_size = 256;
	f->rx_len = 2048;
	f->timeout_ms = 5000;
	f->want = ~0ull;
	f->want_protocol = ~0ull;
	f->alloc_next = 0x1000;
	f->base = mmap(NULL, VUF_ADDRESS_SPACE, PROT_NONE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (f->base == MAP_FAILED)
		abort();
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

void vuf_fini(struct vuf *f)
{
	vuf_disconnect(f);
	close_fd(&f->listener);
	vuf_queues_free(f);
	for (unsigned i = 0; i < f->region_cnt; i++)
		close_fd(&f->regions[i].fd);
	munmap(f->base, VUF_ADDRESS_SPACE);
	if (f->log)
		munmap(f->log, f->log_size);
	close_fd(&f->log_fd);
	close_fd(&f->inflight_fd);
}

/* The socket */

static bool address(struct vuf *f, const char *path, struct sockaddr_un *sun)
{
	*sun = (struct sockaddr_un) { .sun_family = AF_UNIX };
	if (strlen(path) >= sizeof(sun->sun_path))
		return vuf_fail(f, "the path is too long");
	strcpy(sun->sun_path, path);
	return true;
}

bool vuf_connect(struct vuf *f, const char *path)
{
	struct sockaddr_un sun;

	vuf_disconnect(f);
	f->sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (!address(f, path, &sun))
		return false;
	if (connect(f->sock, (const struct sockaddr *)&sun, sizeof(sun))) {
		close_fd(&f->sock);
		return vuf_fail(f, "connect: %s", strerror(errno));
	}
	return true;
}

bool vuf_listen(struct vuf *f, const char *path)
{
	struct sockaddr_un sun;

	close_fd(&f->listener);
	f->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (!address(f, path, &sun))
		return false;
	if (bind(f->listener, (const struct sockaddr *)&sun, sizeof(sun)) || listen(f->listener, 1))
		return vuf_fail(f, "listen: %s", strerror(errno));
	return true;
}

bool vuf_accept(struct vuf *f)
{
	struct pollfd p = { .fd = f->listener, .events = POLLIN };

	vuf_disconnect(f);
	if (poll(&p, 1, f->timeout_ms) != 1)
		return vuf_fail(f, "nobody connects");
	f->sock = accept4(f->listener, NULL, NULL, SOCK_CLOEXEC);
	return f->sock >= 0 || vuf_fail(f, "accept: %s", strerror(errno));
}

void vuf_disconnect(struct vuf *f)
{
	close_fd(&f->sock);
	close_fd(&f->backend);
	for (unsigned i = 0; i < f->region_cnt; i++)
		f->regions[i].told = false;
	for (unsigned i = 0; i < f->queue_cnt; i++)
		f->queues[i].started = false;
}

bool vuf_is_closed(struct vuf *f, int timeout_ms)
{
	struct pollfd p = { .fd = f->sock, .events = POLLIN | POLLRDHUP };
	uint8_t bytes[256];
	ssize_t n;

	/* replies may be in front of the end */
	while (f->sock >= 0 && poll(&p, 1, timeout_ms) == 1) {
		n = recv(f->sock, bytes, sizeof(bytes), MSG_DONTWAIT);
		if (n == 0 || (n < 0 && errno != EAGAIN))
			return true;
	}
	return f->sock < 0;
}

/* Messages */

bool vuf_send_raw(struct vuf *f, int sock, const void *bytes, size_t len, const int *fds,
		  unsigned fd_cnt)
{
	union {
		char space[CMSG_SPACE(VUF_FDS_MAX * sizeof(int))];
		struct cmsghdr align;
	} control = { 0 };
	const uint8_t *at = bytes;

	while (len) {
		struct iovec iov = { .iov_base = (void *)(uintptr_t)at, .iov_len = len };
		struct msghdr m = { .msg_iov = &iov, .msg_iovlen = 1 };
		ssize_t n;

		if (fd_cnt) {
			m.msg_control = &control;
			m.msg_controllen = CMSG_SPACE(fd_cnt * sizeof(int));
			*CMSG_FIRSTHDR(&m) = (struct cmsghdr) {
				.cmsg_len = CMSG_LEN(fd_cnt * sizeof(int)),
				.cmsg_level = SOL_SOCKET,
				.cmsg_type = SCM_RIGHTS,
			};
			memcpy(CMSG_DATA(CMSG_FIRSTHDR(&m)), fds, fd_cnt * sizeof(int));
		}
		n = sendmsg(sock, &m, MSG_NOSIGNAL);
		if (n < 0)
			return vuf_fail(f, "send: %s", strerror(errno));
		fd_cnt = 0;
		at += n;
		len -= (size_t)n;
	}
	return true;
}

bool vuf_send_msg(struct vuf *f, const struct vuf_msg *m)
{
	static_assert(offsetof(struct vuf_msg, bytes) >= HEAD, "the header comes first");
	uint8_t bytes[HEAD + sizeof(m->bytes)];

	if (m->size > sizeof(m->bytes))
		return vuf_fail(f, "send it as raw bytes");
	memcpy(bytes, m, HEAD);
	memcpy(bytes + HEAD, m->bytes, m->size);
	return vuf_send_raw(f, f->sock, bytes, HEAD + m->size, m->fds, m->fd_cnt);
}

static void take_fds(struct msghdr *m, struct vuf_msg *into)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c; c = CMSG_NXTHDR(m, c)) {
		unsigned cnt = (unsigned)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		memcpy(into->fds, CMSG_DATA(c), cnt * sizeof(int));
		into->fd_cnt = cnt;
	}
}

/* exactly @len bytes */
static bool receive_part(struct vuf *f, int sock, void *bytes, size_t len, struct vuf_msg *into)
{
	union {
		char space[CMSG_SPACE(VUF_FDS_MAX * sizeof(int))];
		struct cmsghdr align;
	} control;
	struct pollfd p = { .fd = sock, .events = POLLIN };
	uint8_t *at = bytes;

	while (len) {
		struct iovec iov = { .iov_base = at, .iov_len = len };
		struct msghdr m = { .msg_iov = &iov,
				    .msg_iovlen = 1,
				    .msg_control = &control,
				    .msg_controllen = sizeof(control) };
		ssize_t n;

		if (poll(&p, 1, f->timeout_ms) != 1)
			return vuf_fail(f, "no message came");
		n = recvmsg(sock, &m, MSG_CMSG_CLOEXEC);
		if (n <= 0)
			return vuf_fail(f, "the back end has closed the connection");
		take_fds(&m, into);
		at += n;
		len -= (size_t)n;
	}
	return true;
}

bool vuf_recv_msg(struct vuf *f, int sock, struct vuf_msg *m)
{
	m->fd_cnt = 0;
	if (!receive_part(f, sock, m, HEAD, m))
		return false;
	if (m->size > sizeof(m->bytes))
		return vuf_fail(f, "a message of %u bytes", m->size);
	return receive_part(f, sock, m->bytes, m->size, m);
}

static void close_fds(struct vuf_msg *m)
{
	while (m->fd_cnt)
		close(m->fds[--m->fd_cnt]);
}

bool vuf_call(struct vuf *f, struct vuf_msg *m)
{
	uint32_t request = m->request;

	m->flags = VUF_VERSION;
	if (!vuf_send_msg(f, m) || !vuf_recv_msg(f, f->sock, m))
		return false;
	if (m->request == request && m->flags == (VUF_VERSION | VUF_FLAG_REPLY))
		return true;
	close_fds(m);
	return vuf_fail(f, "the reply to request %u is request %u, flags %#x", request, m->request,
			m->flags);
}

bool vuf_tell(struct vuf *f, struct vuf_msg *m)
{
	bool ack = f->need_reply && vuf_has_protocol(f, VUF_P_REPLY_ACK);
	uint32_t request = m->request;

	m->flags = VUF_VERSION | (ack ? VUF_FLAG_NEED_REPLY : 0);
	if (!vuf_send_msg(f, m))
		return false;
	if (!ack)
		return true;
	if (!vuf_recv_msg(f, f->sock, m))
		return false;
	if (m->request != request || m->flags != (VUF_VERSION | VUF_FLAG_REPLY) || m->size != 8)
		return vuf_fail(f, "the reply to request %u is request %u, flags %#x, %u bytes",
				request, m->request, m->flags, m->size);
	return !m->u64 || vuf_fail(f, "request %u: the back end says %llu", request,
				   (unsigned long long)m->u64);
}

bool vuf_get_u64(struct vuf *f, unsigned request, uint64_t *value)
{
	struct vuf_msg m = { .request = request };

	if (!vuf_call(f, &m))
		return false;
	if (m.size != 8 || m.fd_cnt)
		return vuf_fail(f, "the reply to request %u has %u bytes, %u descriptors", request,
				m.size, m.fd_cnt);
	*value = m.u64;
	return true;
}

bool vuf_set_u64(struct vuf *f, unsigned request, uint64_t value)
{
	struct vuf_msg m = { .request = request, .size = 8, .u64 = value };

	return vuf_tell(f, &m);
}

bool vuf_set_state(struct vuf *f, unsigned request, unsigned index, uint32_t num)
{
	struct vuf_msg m = { .request = request, .size = 8, .state = { index, num } };

	return vuf_tell(f, &m);
}

/* Features */

bool vuf_set_features(struct vuf *f, bool log)
{
	uint64_t want = f->want & ~(1ull << VUF_F_LOG_ALL);

	if (log)
		want |= 1ull << VUF_F_LOG_ALL;
	f->features = f->offered & want;
	f->hdr_len = vuf_has(f, VIRTIO_F_VERSION_1) || vuf_has(f, VIRTIO_NET_F_MRG_RXBUF) ? 12 : 10;
	return vuf_set_u64(f, VUF_SET_FEATURES, f->features);
}

bool vuf_negotiate(struct vuf *f)
{
	f->protocol = 0;
	f->queue_max = 2;
	if (!vuf_get_u64(f, VUF_GET_FEATURES, &f->offered))
		return false;
	if (f->offered & f->want & 1ull << VUF_F_PROTOCOL_FEATURES) {
		if (!vuf_get_u64(f, VUF_GET_PROTOCOL_FEATURES, &f->protocol_offered))
			return false;
		uint64_t protocol = f->protocol_offered & f->want_protocol;

		if (!vuf_set_u64(f, VUF_SET_PROTOCOL_FEATURES, protocol))
			return false;
		f->protocol = protocol;
		if (vuf_has_protocol(f, VUF_P_MQ) &&
		    !vuf_get_u64(f, VUF_GET_QUEUE_NUM, &f->queue_max))
			return false;
	}
	struct vuf_msg owner = { .request = VUF_SET_OWNER };

	return vuf_tell(f, &owner) && vuf_set_features(f, false);
}

/* Memory */

static bool file(struct vuf *f, const char *name, uint64_t size, bool sealed, int *fd)
{
	*fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (*fd < 0 || ftruncate(*fd, (off_t)size) ||
	    (sealed && fcntl(*fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW)))
		return vuf_fail(f, "memory file: %s", strerror(errno));
	return true;
}

bool vuf_mem_make(struct vuf *f, uint64_t size, uint64_t offset, bool sealed)
{
	struct vuf_region *r = &f->regions[f->region_cnt], *last = r - 1;

	if (f->region_cnt == VUF_REGIONS_MAX)
		return vuf_fail(f, "too many regions");
	*r = (struct vuf_region) { .size = size, .offset = offset };
	r->gpa = f->region_cnt ? last->gpa + last->size : 0;
	if (r->gpa + size > VUF_ADDRESS_SPACE)
		return vuf_fail(f, "the memory is too large");
	if (!file(f, "guest", offset + size, sealed, &r->fd))
		return false;
	if (mmap(f->base + r->gpa, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, r->fd,
		 (off_t)offset) == MAP_FAILED)
		return vuf_fail(f, "mmap: %s", strerror(errno));
	f->region_cnt++;
	return true;
}

static void describe(const struct vuf_region *r, uint64_t *field)
{
	field[0] = r->gpa;
	field[1] = r->size;
	field[2] = VUF_UVA + r->gpa;
	field[3] = r->offset;
}

static bool one_region(struct vuf *f, unsigned request, unsigned region)
{
	struct vuf_region *r = &f->regions[region];
	struct vuf_msg m = { .request = request, .size = 8 + 32, .fds = { r->fd }, .fd_cnt = 1 };
	uint64_t fields[5] = { 0 };

	describe(r, fields + 1);
	memcpy(m.bytes, fields, sizeof(fields));
	if (!vuf_tell(f, &m))
		return false;
	r->told = request == VUF_ADD_MEM_REG;
	return true;
}

bool vuf_mem_add(struct vuf *f, unsigned region)
{
	return one_region(f, VUF_ADD_MEM_REG, region);
}

bool vuf_mem_del(struct vuf *f, unsigned region)
{
	return one_region(f, VUF_REM_MEM_REG, region);
}

bool vuf_mem_share(struct vuf *f)
{
	struct vuf_msg m = { .request = VUF_SET_MEM_TABLE, .size = 8 + 32 * f->region_cnt };
	uint64_t fields[1 + 4 * VUF_REGIONS_MAX] = { f->region_cnt };

	if (vuf_has_protocol(f, VUF_P_CONFIGURE_MEM_SLOTS)) {
		for (unsigned i = 0; i < f->region_cnt; i++)
			if (!f->regions[i].told && !vuf_mem_add(f, i))
				return false;
		return true;
	}
	for (unsigned i = 0; i < f->region_cnt; i++) {
		describe(&f->regions[i], fields + 1 + 4 * i);
		f->regions[i].told = true;
		m.fds[m.fd_cnt++] = f->regions[i].fd;
	}
	memcpy(m.bytes, fields, m.size);
	return vuf_tell(f, &m);
}

/* the first address from @at on, where @len bytes are in one region; beyond the last: nowhere */
static uint64_t in_one_region(const struct vuf *f, uint64_t at, uint64_t len)
{
	for (unsigned i = 0; i < f->region_cnt; i++) {
		const struct vuf_region *r = &f->regions[i];

		if (at < r->gpa)
			at = r->gpa;
		if (at + len <= r->gpa + r->size)
			break;
	}
	return at;
}

uint64_t vuf_alloc(struct vuf *f, uint64_t len, uint64_t align)
{
	const struct vuf_region *last = &f->regions[f->region_cnt - 1];
	uint64_t at = f->alloc_next > f->alloc_min ? f->alloc_next : f->alloc_min;

	at = (at + align - 1) & ~(align - 1);
	if (align >= 4096)
		at = in_one_region(f, at, len);
	if (!f->region_cnt || at + len > last->gpa + last->size) {
		vuf_fail(f, "guest memory is used up: %llu bytes more", (unsigned long long)len);
		return 0;
	}
	f->alloc_next = at + len;
	return at;
}

/* The dirty log, in-flight descriptors, the back-end channel */

bool vuf_log_start(struct vuf *f)
{
	const struct vuf_region *last = &f->regions[f->region_cnt - 1];
	struct vuf_msg m = { .request = VUF_SET_LOG_BASE, .size = 16, .fd_cnt = 1 };
	uint64_t fields[2] = { 0 };

	if (!f->log) {
		f->log_size = ((last->gpa + last->size) / 4096 / 8 + 4095) & ~4095ull;
		if (!file(f, "log", f->log_size, false, &f->log_fd))
			return false;
		f->log = mmap(NULL, f->log_size, PROT_READ | PROT_WRITE, MAP_SHARED, f->log_fd, 0);
		if (f->log == MAP_FAILED)
			abort();
	}
	memset(f->log, 0, f->log_size);
	fields[0] = f->log_size;
	memcpy(m.bytes, fields, sizeof(fields));
	m.fds[0] = f->log_fd;
	return vuf_call(f, &m);
}

static bool is_logged(const struct vuf *f, uint64_t page)
{
	return __atomic_load_n(&f->log[page / 8], __ATOMIC_ACQUIRE) >> page % 8 & 1;
}

void vuf_log_saw(struct vuf *f, uint64_t gpa, uint64_t len)
{
	for (uint64_t page = gpa / 4096; len && page <= (gpa + len - 1) / 4096; page++) {
		f->log_checked++;
		/* an index is logged after it was written, so it may be seen before */
		for (unsigned i = 0; i < 100 && f->log_missing < 3 && !is_logged(f, page); i++)
			poll(NULL, 0, 1);
		if (!is_logged(f, page))
			f->log_missing++;
	}
}

void vuf_log_clear(struct vuf *f)
{
	for (uint64_t i = 0; f->log && i < f->log_size; i++)
		__atomic_store_n(&f->log[i], 0, __ATOMIC_SEQ_CST);
}

uint64_t vuf_log_count(const struct vuf *f)
{
	uint64_t cnt = 0;

	for (uint64_t i = 0; f->log && i < f->log_size; i++)
		cnt += (unsigned)__builtin_popcount(f->log[i]);
	return cnt;
}

bool vuf_inflight_get(struct vuf *f)
{
	struct vuf_msg m = { .request = VUF_GET_INFLIGHT_FD, .size = 20 };
	uint16_t wish[2] = { (uint16_t)f->queue_cnt, (uint16_t)f->ring_size };

	memcpy(m.bytes + 16, wish, sizeof(wish));
	if (!vuf_call(f, &m))
		return false;
	if (m.fd_cnt != 1 || m.size != 20) {
		close_fds(&m);
		return vuf_fail(f, "GET_INFLIGHT_FD: %u descriptors, %u bytes", m.fd_cnt, m.size);
	}
	memcpy(&f->inflight_size, m.bytes, 8);
	memcpy(&f->inflight_offset, m.bytes + 8, 8);
	close_fd(&f->inflight_fd);
	f->inflight_fd = m.fds[0];
	return true;
}

bool vuf_inflight_set(struct vuf *f)
{
	struct vuf_msg m = { .request = VUF_SET_INFLIGHT_FD, .size = 20, .fd_cnt = 1 };
	uint16_t wish[2] = { (uint16_t)f->queue_cnt, (uint16_t)f->ring_size };

	memcpy(m.bytes, &f->inflight_size, 8);
	memcpy(m.bytes + 8, &f->inflight_offset, 8);
	memcpy(m.bytes + 16, wish, sizeof(wish));
	m.fds[0] = f->inflight_fd;
	return vuf_tell(f, &m);
}

bool vuf_backend_channel(struct vuf *f)
{
	struct vuf_msg m = { .request = VUF_SET_BACKEND_REQ_FD, .fd_cnt = 1 };
	int pair[2];
	bool ok;

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair))
		return vuf_fail(f, "socketpair: %s", strerror(errno));
	close_fd(&f->backend);
	f->backend = pair[0];
	m.fds[0] = pair[1];
	ok = vuf_tell(f, &m);
	close(pair[1]);
	return ok;
}
