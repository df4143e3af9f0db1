/* SPDX-License-Identifier: MIT */
/* What a virtio-net header that a guest wrote may say. */
#include "port/vu/hdr.h"

#include "port/vu/features.h"

static bool has(uint64_t features, unsigned feature)
{
	return features >> feature & 1;
}

/* VIRTIO_NET_F_GSO is how old drivers said all of TSO. */
static bool may_segment(unsigned type, uint64_t features)
{
	bool any = has(features, VIRTIO_NET_F_GSO);

	switch (type) {
	case VMTAP_GSO_TCPV4:
		return any || has(features, VIRTIO_NET_F_HOST_TSO4);
	case VMTAP_GSO_TCPV6:
		return any || has(features, VIRTIO_NET_F_HOST_TSO6);
	case VMTAP_GSO_UDP:
		return has(features, VIRTIO_NET_F_HOST_UFO);
	case VMTAP_GSO_UDP_L4:
		return has(features, VIRTIO_NET_F_HOST_USO);
	default:
		return false;
	}
}

bool hdr_is_possible(const struct vmtap_net_hdr *h, uint32_t len, uint64_t features)
{
	unsigned type = h->gso_type & (unsigned)~VMTAP_GSO_ECN;

	if (h->flags & VMTAP_HDR_NEEDS_CSUM) {
		if (!has(features, VIRTIO_NET_F_CSUM))
			return false;
		if ((uint32_t)h->csum_start + h->csum_offset + 2 > len)
			return false;
	}
	if (type == VMTAP_GSO_NONE)
		return !(h->gso_type & VMTAP_GSO_ECN);
	if ((h->gso_type & VMTAP_GSO_ECN) && !has(features, VIRTIO_NET_F_HOST_ECN) &&
	    !has(features, VIRTIO_NET_F_GSO))
		return false;
	return may_segment(type, features) && h->gso_size && h->hdr_len <= len &&
	       (h->flags & VMTAP_HDR_NEEDS_CSUM || type == VMTAP_GSO_UDP);
}
