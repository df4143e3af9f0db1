/* SPDX-License-Identifier: MIT */
/*
 * 802.1Q tags put into frames and taken out, without touching their bytes.
 *
 * A scatter list around the tag's place says the new frame; what the virtio-net header says about offsets
 * moves along.
 */
#ifndef NET_VLAN_H
#define NET_VLAN_H

#include "vmtap/vmtap.h"

#define VLAN_ID_MAX 4094u
#define VLAN_ID_MASK 0x0fffu
#define ETH_TYPE_VLAN 0x8100u
#define ETH_TYPE_QINQ 0x88a8u

/** Entries that an edited frame's list has more than the frame's at most. */
#define VLAN_IOV_EXTRA 2u

/**
 * struct vlan_edit - What to do to a frame
 * @cut:  take the tag behind the addresses out; the caller has seen it
 * @add:  put one with @tci there, in @tag, which has to live as long as the list
 */
struct vlan_edit {
	bool cut, add;
	uint16_t tci;
	uint8_t tag[4];
};

/**
 * vlan_edit() - @out is @frame, edited
 * @iov: room for the list of @out, @frame->iov_cnt + VLAN_IOV_EXTRA entries. Borrows the bytes of @frame
 *       and e->tag
 * Return: 0; -EINVAL: the virtio-net header does not fit; -EMSGSIZE: too long or too short.
 */
int vlan_edit(const struct vmtap_frame *frame, struct vlan_edit *e, struct vmtap_frame *out,
	      struct iovec *iov);

#endif
