/* SPDX-License-Identifier: MIT */
/*
 * The virtio-net header as it lies in a guest's buffers (virtio 1.2, 5.1.6):
 * little-endian for modern drivers, in the guest's order, which is ours, for
 * legacy ones; 12 bytes, or 10 for a legacy driver without mergeable buffers.
 */
#ifndef PORT_VU_HDR_H
#define PORT_VU_HDR_H

#include <endian.h>
#include <stdbool.h>

#include "vmtap/vmtap.h"

#define HDR_LEN_LEGACY 10u
#define HDR_LEN_MODERN 12u
_Static_assert(sizeof(struct vmtap_net_hdr) == HDR_LEN_MODERN, "laid out as in a guest's buffer");

/** hdr_swap() - From little-endian to the host's order, or back; nothing on most hosts. */
static inline void hdr_swap(struct vmtap_net_hdr *h)
{
	h->hdr_len = le16toh(h->hdr_len);
	h->gso_size = le16toh(h->gso_size);
	h->csum_start = le16toh(h->csum_start);
	h->csum_offset = le16toh(h->csum_offset);
	h->num_buffers = le16toh(h->num_buffers);
}

/** hdr_is_possible() - Does what a guest says of a frame of @len bytes fit it, and the features
 *  (1 << VIRTIO_NET_F_*) that it acknowledged? */
bool hdr_is_possible(const struct vmtap_net_hdr *h, uint32_t len, uint64_t features);

#endif
