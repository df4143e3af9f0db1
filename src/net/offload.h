/* SPDX-License-Identifier: MIT */
/*
 * Offloads finished in software: checksums and segmentation that a
 * virtio-net header leaves to a receiver who cannot do them.
 */
#ifndef NET_OFFLOAD_H
#define NET_OFFLOAD_H

#include "vmtap/vmtap.h"

/** offload_needed() - The enum vmtap_offload bits that a receiver must have to take a frame with this
 *  header; 0 for a complete frame; ~0u for a gso_type that nobody knows. */
unsigned offload_needed(const struct vmtap_net_hdr *hdr);

/** offload_lacking() - What of that @accepts does not cover; 0: the receiver takes the frame as it is. */
static inline unsigned offload_lacking(const struct vmtap_net_hdr *hdr, unsigned accepts)
{
	if (!(hdr->flags & VMTAP_HDR_NEEDS_CSUM) && hdr->gso_type == VMTAP_GSO_NONE)
		return 0;
	return offload_needed(hdr) & ~accepts;
}

/** offload_ready_run() - How many of the first frames a receiver takes as they are. */
static inline unsigned offload_ready_run(const struct vmtap_frame *frames, unsigned cnt,
					 unsigned accepts)
{
	unsigned n = 0;

	while (n < cnt && !offload_lacking(&frames[n].hdr, accepts))
		n++;
	return n;
}

/**
 * struct offload_out - Takes one finished frame
 * Return of @emit: 0, or a negative errno, which ends the work and is passed on.
 * The frame is borrowed until @emit returns; its header is all zero apart from DATA_VALID, or still
 * asks for a checksum when @accepts had VMTAP_OFFLOAD_CSUM.
 */
struct offload_out {
	int (*emit)(struct offload_out *out, const struct vmtap_frame *frame);
};

/**
 * offload_finish() - Finish what @accepts does not cover
 * @frame:   from a hostile guest: every offset is checked against the frame
 * @accepts: what the receiver takes; when GSO must be undone, frames of at most gso_size payload
 * @scratch: at least VMTAP_FRAME_MAX bytes, for the finished frames
 *
 * TCP and UDP over IPv4 and IPv6 (with extension headers and IP options), behind any number (up to
 * 2) of VLAN tags; TSO4, TSO6, ECN, UFO (IP fragments) and USO. Results equal those of the kernel's
 * own software GSO, byte for byte, in the fields that it sets (IPv4 ID, lengths, sequence numbers,
 * flags, checksums).
 *
 * Return: 0 when everything was emitted; -EINVAL: the header does not fit the frame (nothing
 * emitted); or what @emit returned.
 */
int offload_finish(const struct vmtap_frame *frame, unsigned accepts, void *scratch,
		   struct offload_out *out);

/** offload_csum() - One's complement sum of RFC 1071 over @len bytes, folded to 16 bits, in memory
 *  order; @sum is a partial result (0 to begin with). Not inverted. */
uint16_t offload_csum(const void *data, size_t len, uint32_t sum);

#endif
