/* SPDX-License-Identifier: MIT */
/* The `tap` port: a host TAP, created, attached, inherited or from a helper, with one or many
 * queues. `bridge` is the same port, always from a helper; `macvtap` moves frames in the same
 * way. */
#ifndef PORT_TAP_TAP_H
#define PORT_TAP_TAP_H

#include "net/port-type.h"

extern const struct port_type tap_type;
extern const struct port_type bridge_type;
extern const struct port_type macvtap_type;
extern const struct port_ops tap_ops;
extern const struct port_ops macvtap_ops;

/** tap_is() - Is it a port of one of these types? What is below asks for that. */
static inline bool tap_is(const struct port *p)
{
	return p->ops == &tap_ops || p->ops == &macvtap_ops;
}

/** What the device can do. */
#define TAP_CAP_VNET_HDR 0x1u /* frames carry a virtio-net header */
#define TAP_CAP_HDR_LEN 0x2u  /* its length can be set */
#define TAP_CAP_UFO 0x4u
#define TAP_CAP_USO 0x8u

unsigned tap_caps(const struct port *p);
const char *tap_ifname(const struct port *p);

/** tap_set_hdr_len() - 10 or 12. Return: 0; -EINVAL, -EOPNOTSUPP, or what the kernel says. */
int tap_set_hdr_len(struct port *p, unsigned len, struct vmtap_error *err);
int tap_set_endian(struct port *p, enum vmtap_endian order, struct vmtap_error *err);
/** tap_vhost_handle() - Of queue @pair; NULL: there is none. */
struct vmtap_vhost *tap_vhost_handle(const struct port *p, unsigned pair);
int tap_set_queue(struct port *p, unsigned queue, bool on, struct vmtap_error *err);

#endif
