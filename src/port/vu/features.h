/* SPDX-License-Identifier: MIT */
/* Feature numbers of virtio and virtio-net (virtio 1.2, 5.1.3 and 6), with those that older kernel headers lack. */
#ifndef PORT_VU_FEATURES_H
#define PORT_VU_FEATURES_H

#include <linux/virtio_config.h>
#include <linux/virtio_net.h>

#ifndef VIRTIO_NET_F_HOST_USO /* Linux 6.2 */
#define VIRTIO_NET_F_GUEST_USO4 54
#define VIRTIO_NET_F_GUEST_USO6 55
#define VIRTIO_NET_F_HOST_USO 56
#endif

#endif
