/* SPDX-License-Identifier: MIT */
/* The public side of vhost-net. */
#include "vhost/vhost.h"

#include <errno.h>

#include "api/api.h"
#include "port/tap/tap.h"

struct vmtap_vhost *vmtap_port_vhost(struct vmtap_port *h, unsigned pair)
{
	return !h->port->closed && tap_is(h->port) ? tap_vhost_handle(h->port, pair) : NULL;
}

int vmtap_vhost_fd(const struct vmtap_vhost *v)
{
	return vhost_fd(v);
}

uint64_t vmtap_vhost_features(const struct vmtap_vhost *v)
{
	return vhost_features(v);
}

int vmtap_vhost_set_features(struct vmtap_vhost *v, uint64_t features, struct vmtap_error *err)
{
	return vhost_set_features(v, features, err);
}

int vmtap_vhost_set_mem(struct vmtap_vhost *v, const struct vmtap_vhost_region *regions,
			unsigned cnt, struct vmtap_error *err)
{
	return vhost_set_mem(v, regions, cnt, err);
}

int vmtap_vhost_set_log(struct vmtap_vhost *v, void *log, int event, struct vmtap_error *err)
{
	return vhost_set_log(v, log, event, err);
}

int vmtap_vhost_set_ring(struct vmtap_vhost *v, unsigned ring, const struct vmtap_vhost_ring *r,
			 struct vmtap_error *err)
{
	/* an older caller's is shorter from the day on that it grows */
	if (r->size < sizeof(*r))
		return error_set(err, EINVAL, "vhost-net", "set a ring up",
				 "size says %zu bytes, and the structure has %zu", r->size,
				 sizeof(*r));
	return vhost_set_ring(v, ring, r, err);
}

int vmtap_vhost_set_event(struct vmtap_vhost *v, unsigned ring, enum vmtap_vhost_event event,
			  int fd, struct vmtap_error *err)
{
	return vhost_set_event(v, ring, event, fd, err);
}

int vmtap_vhost_set_ring_log(struct vmtap_vhost *v, unsigned ring, bool on, uint64_t used_gpa,
			     struct vmtap_error *err)
{
	return vhost_set_ring_log(v, ring, on, used_gpa, err);
}

int vmtap_vhost_set_poll(struct vmtap_vhost *v, unsigned poll_us, struct vmtap_error *err)
{
	return vhost_set_poll(v, poll_us, err);
}

int vmtap_vhost_start(struct vmtap_vhost *v, unsigned ring, struct vmtap_error *err)
{
	return vhost_start(v, ring, err);
}

int vmtap_vhost_stop(struct vmtap_vhost *v, unsigned ring, uint32_t *base, struct vmtap_error *err)
{
	return vhost_stop(v, ring, base, err);
}

int vmtap_vhost_reset(struct vmtap_vhost *v, struct vmtap_error *err)
{
	return vhost_reset(v, err);
}

int vmtap_vhost_iotlb_send(struct vmtap_vhost *v, const struct vmtap_vhost_iotlb *msg,
			   struct vmtap_error *err)
{
	return vhost_iotlb_send(v, msg, err);
}

int vmtap_vhost_iotlb_recv(struct vmtap_vhost *v, struct vmtap_vhost_iotlb *msg,
			   struct vmtap_error *err)
{
	return vhost_iotlb_recv(v, msg, err);
}
