/* SPDX-License-Identifier: MIT */
/* A descriptor of the kernel's vhost-net: opening, features, the dirty log, the end. */
#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/error.h"
#include "base/fd.h"
#include "vhost/vhost-int.h"

#define BIT(n) (1ull << (n))
#define OPEN "open " VHOST_DEVICE

/* Features that whoever serves the rings has to know, so that the kernel has to offer them. Not
 * VIRTIO_F_ANY_LAYOUT, which it always does: the bit means something else to it, see below. */
#define RING_FEATURES                                                                            \
	(BIT(VIRTIO_F_NOTIFY_ON_EMPTY) | BIT(VIRTIO_RING_F_INDIRECT_DESC) |                      \
	 BIT(VIRTIO_RING_F_EVENT_IDX) | BIT(VHOST_F_LOG_ALL) | BIT(VIRTIO_F_VERSION_1) |         \
	 BIT(VIRTIO_NET_F_MRG_RXBUF) | BIT(FEATURE_ACCESS_PLATFORM) | BIT(FEATURE_RING_PACKED) | \
	 BIT(FEATURE_IN_ORDER) | BIT(FEATURE_RING_RESET))

int vhost_call(struct vmtap_vhost *v, unsigned long request, const void *arg, const char *action,
	       struct vmtap_error *err)
{
	if (ioctl(v->fd, request, arg) == 0)
		return 0;
	switch (errno) {
	case EFAULT:
		return error_set(err, EFAULT, v->object, action,
				 "an address in it is not in the guest's memory");
	case EBUSY:
		return error_set(err, EBUSY, v->object, action, "the ring is running");
	case EPERM:
		return error_set(err, EPERM, v->object, action,
				 "another process made itself the owner of the descriptor");
	default:
		return error_errno(err, errno, v->object, action);
	}
}

static int explain_open(int code, const char *object, struct vmtap_error *err)
{
	switch (code) {
	case ENOENT:
		error_set(err, code, object, OPEN, "it does not exist");
		error_remedy(err, "load the module: modprobe vhost_net");
		break;
	case ENODEV:
	case ENXIO:
		error_set(err, code, object, OPEN, "this kernel has no vhost-net behind it");
		error_remedy(err, "load the module: modprobe vhost_net");
		break;
	case EACCES:
	case EPERM:
		error_set(err, code, object, OPEN, "this user may not");
		error_remedy(err, "as an administrator, add the user to the group of " VHOST_DEVICE
				  " (ls -l shows it), or hand over a descriptor: vhostfd=");
		break;
	default:
		error_errno(err, code, object, OPEN);
	}
	return -code;
}

static int probe(int fd, uint64_t *features, const char *object, struct vmtap_error *err)
{
	int code = 0;

	if (ioctl(fd, VHOST_GET_FEATURES, features) == 0)
		return 0;
	code = errno == EBADF ? EBADF : EINVAL;
	if (code == EBADF)
		error_set(err, EBADF, object, "use descriptor for vhost-net", "%d is not open", fd);
	else
		error_set(err, EINVAL, object, "use descriptor for vhost-net",
			  "descriptor %d is none of " VHOST_DEVICE, fd);
	error_remedy(err, "hand over one of " VHOST_DEVICE " that nobody else uses");
	return -code;
}

int vhost_set_owner(struct vmtap_vhost *v, struct vmtap_error *err)
{
	int ret = 0;

	if (ioctl(v->fd, VHOST_SET_OWNER, NULL) == 0)
		return 0;
	ret = errno;
	if (ret != EBUSY)
		return error_errno(err, ret, v->object, "own the vhost-net descriptor");
	error_set(err, ret, v->object, "own the vhost-net descriptor",
		  "it is in use, by a process that set it up before");
	error_remedy(err, "hand over one that was just opened, one for each queue pair");
	return -ret;
}

static struct vmtap_vhost *make(int fd, const char *object, struct vmtap_error *err)
{
	struct vmtap_vhost *v = calloc(1, sizeof(*v));

	if (!v) {
		error_errno(err, ENOMEM, object, OPEN);
		return NULL;
	}
	v->fd = fd;
	v->tap = -1;
	snprintf(v->object, sizeof(v->object), "%s", object);
	if (probe(fd, &v->offered, object, err) < 0 || vhost_set_owner(v, err) < 0) {
		free(v);
		return NULL;
	}
	fd_set_cloexec(fd);
	fd_set_nonblock(fd); /* reading a message that is not there must not wait */
	return v;
}

struct vmtap_vhost *vhost_open(const char *object, struct vmtap_error *err)
{
	int fd = open(VHOST_DEVICE, O_RDWR | O_CLOEXEC);
	struct vmtap_vhost *v;

	if (fd < 0) {
		explain_open(errno, object, err);
		return NULL;
	}
	v = make(fd, object, err);
	if (!v)
		close(fd);
	return v;
}

struct vmtap_vhost *vhost_take(int fd, const char *object, struct vmtap_error *err)
{
	return make(fd, object, err);
}

int vhost_check(int fd, const char *object, struct vmtap_error *err)
{
	cleanup_fd int opened = -1;
	uint64_t features;

	if (fd >= 0)
		return probe(fd, &features, object, err);
	opened = open(VHOST_DEVICE, O_RDWR | O_CLOEXEC);
	if (opened < 0)
		return explain_open(errno, object, err);
	return probe(opened, &features, object, err);
}

void vhost_free(struct vmtap_vhost *v)
{
	if (!v)
		return;
	for (unsigned i = 0; i < VHOST_RINGS; i++)
		vhost_stop(v, i, NULL, NULL);
	fd_close(&v->fd);
	free(v);
}

void vhost_set_tap(struct vmtap_vhost *v, int tap, bool has_hdr,
		   void (*taken)(void *opaque, bool on), void *opaque)
{
	v->tap = tap;
	v->no_hdr = !has_hdr;
	v->taken = taken;
	v->opaque = opaque;
}

int vhost_fd(const struct vmtap_vhost *v)
{
	return v->fd;
}

/* -------------------------------------------------------------- features */

uint64_t vhost_features(const struct vmtap_vhost *v)
{
	return v->offered & RING_FEATURES;
}

uint64_t vhost_mask(const struct vmtap_vhost *v, uint64_t wanted)
{
	return wanted & ~(RING_FEATURES & ~v->offered);
}

/* Messages of the second form, where the kernel has them. */
static int set_backend(struct vmtap_vhost *v, struct vmtap_error *err)
{
	uint64_t has = 0;

	if (v->backend || ioctl(v->fd, VHOST_GET_BACKEND_FEATURES, &has) < 0)
		return 0;
	has &= BIT(VHOST_BACKEND_F_IOTLB_MSG_V2);
	if (has && ioctl(v->fd, VHOST_SET_BACKEND_FEATURES, &has) < 0)
		return error_errno(err, errno, v->object, "set features of vhost-net");
	v->backend = has;
	return 0;
}

int vhost_set_features(struct vmtap_vhost *v, uint64_t features, struct vmtap_error *err)
{
	uint64_t own = features & RING_FEATURES, lacks = own & ~v->offered;
	int ret = 0;

	if (lacks) {
		error_set(err, EOPNOTSUPP, v->object, "set features of vhost-net",
			  "this kernel's does not have feature %d", __builtin_ctzll(lacks));
		error_remedy(err, "do not offer it to the guest");
		return -EOPNOTSUPP;
	}
	if (own & BIT(VHOST_F_LOG_ALL) && !v->has_log)
		return error_set(err, EINVAL, v->object, "log the guest's memory in vhost-net",
				 "there is no log");
	if (own & BIT(FEATURE_ACCESS_PLATFORM))
		ret = set_backend(v, err);
	if (ret < 0)
		return ret;
	if (v->no_hdr) /* the guest has one all the same: the kernel adds it, and takes it off */
		own |= BIT(VHOST_NET_F_VIRTIO_NET_HDR);
	ret = vhost_call(v, VHOST_SET_FEATURES, &own, "set features of vhost-net", err);
	if (ret == -EFAULT)
		error_set(err, EFAULT, v->object, "log the guest's memory in vhost-net",
			  "the log does not cover the guest's memory");
	return ret;
}

/* ---------------------------------------------------------------- the log */

int vhost_set_log(struct vmtap_vhost *v, void *log, int event, struct vmtap_error *err)
{
	const uint64_t base = (uintptr_t)log;
	int ret = vhost_call(v, VHOST_SET_LOG_BASE, &base, "set the dirty log of vhost-net", err);

	if (!ret)
		ret = vhost_call(v, VHOST_SET_LOG_FD, &event, "set the dirty log of vhost-net",
				 err);
	v->has_log = !ret && log;
	return ret;
}

/* ----------------------------------------------------------------- the end */

int vhost_reset(struct vmtap_vhost *v, struct vmtap_error *err)
{
	int ret;

	for (unsigned i = 0; i < VHOST_RINGS; i++) {
		ret = vhost_stop(v, i, NULL, err);
		if (ret < 0)
			return ret;
		v->rings[i] = (struct vhost_ring_state) { 0 };
	}
	v->backend = 0;
	v->has_log = false;
	ret = vhost_call(v, VHOST_RESET_OWNER, NULL, "reset vhost-net", err);
	return ret ? ret : vhost_set_owner(v, err);
}
