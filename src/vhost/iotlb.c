/* SPDX-License-Identifier: MIT */
/*
 * Translations for vhost-net, where a guest's device addresses are not its physical ones.
 *
 * The kernel asks for those that it misses, and waits; the caller tells it, in answer or
 * beforehand, and takes back what ends. Messages go over the descriptor itself, in the form that
 * was negotiated.
 */
#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "vhost/vhost-int.h"

static_assert((int)VMTAP_IOTLB_MISS == VHOST_IOTLB_MISS, "as the kernel has them");
static_assert((int)VMTAP_IOTLB_UPDATE == VHOST_IOTLB_UPDATE, "as the kernel has them");
static_assert((int)VMTAP_IOTLB_INVALIDATE == VHOST_IOTLB_INVALIDATE, "as the kernel has them");
static_assert((int)VMTAP_IOTLB_ACCESS_FAIL == VHOST_IOTLB_ACCESS_FAIL, "as the kernel has them");

/* The two forms differ in the number at their beginning, where the machine has 64 bits. */
static_assert(sizeof(struct vhost_msg) == sizeof(struct vhost_msg_v2) &&
		      offsetof(struct vhost_msg, iotlb) == offsetof(struct vhost_msg_v2, iotlb),
	      "both forms are laid out alike");

static uint32_t form(const struct vmtap_vhost *v)
{
	return v->backend & 1ull << VHOST_BACKEND_F_IOTLB_MSG_V2 ? VHOST_IOTLB_MSG_V2
								 : VHOST_IOTLB_MSG;
}

int vhost_iotlb_send(struct vmtap_vhost *v, const struct vmtap_vhost_iotlb *msg,
		     struct vmtap_error *err)
{
	static const char *const action = "tell vhost-net of a translation";
	struct vhost_msg_v2 m;
	ssize_t got;

	if (msg->type != VMTAP_IOTLB_UPDATE && msg->type != VMTAP_IOTLB_INVALIDATE)
		return error_set(err, EINVAL, v->object, action,
				 "only updates and invalidations are sent to the kernel");
	memset(&m, 0, sizeof(m)); /* all of it goes to the kernel */
	m.type = form(v);
	m.iotlb.iova = msg->iova;
	m.iotlb.size = msg->len;
	m.iotlb.uaddr = (uintptr_t)msg->host;
	m.iotlb.perm = (uint8_t)msg->perm;
	m.iotlb.type = (uint8_t)msg->type;
	got = write(v->fd, &m, sizeof(m));
	if (got < 0)
		return error_errno(err, errno, v->object, action);
	return got == sizeof(m) ? 0 : error_errno(err, EIO, v->object, action);
}

int vhost_iotlb_recv(struct vmtap_vhost *v, struct vmtap_vhost_iotlb *msg, struct vmtap_error *err)
{
	static const char *const action = "hear what vhost-net misses";
	struct vhost_msg_v2 m;
	ssize_t got = read(v->fd, &m, sizeof(m));

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return 0;
	if (got < 0)
		return error_errno(err, errno, v->object, action);
	if (got != sizeof(m))
		return got == 0 ? 0 : error_errno(err, EIO, v->object, action);
	*msg = (struct vmtap_vhost_iotlb) {
		.iova = m.iotlb.iova,
		.len = m.iotlb.size,
		.host = (void *)(uintptr_t)m.iotlb.uaddr,
		.perm = m.iotlb.perm,
		.type = (enum vmtap_iotlb_type)m.iotlb.type,
	};
	return 1;
}
