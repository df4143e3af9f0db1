/* SPDX-License-Identifier: MIT */
/*
 * The control queue of a virtio-net device, and the receive filter that it sets.
 *
 * Source: virtio 1.2, 5.1.6.5.
 */
#ifndef PORT_VU_CTRL_H
#define PORT_VU_CTRL_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

/** Addresses that each of the two MAC tables holds; beyond that all unicast, or all multicast, is taken. */
#define CTRL_MACS_MAX 64

/**
 * struct ctrl_filter - Which frames the guest takes
 * @active:    false: everything is taken, until the first command
 * @any_mac:   only VLANs were named so far: every address is taken
 * @has_vlans: VLANs were named: tagged frames of others are not taken, unless @promisc
 */
struct ctrl_filter {
	bool active, any_mac;
	bool promisc, allmulti, alluni, nomulti, nouni, nobcast;
	bool has_vlans;
	uint8_t mac[6];
	unsigned uni_cnt, multi_cnt;
	bool uni_overflow, multi_overflow;
	uint8_t uni[CTRL_MACS_MAX][6], multi[CTRL_MACS_MAX][6];
	uint8_t vlans[4096 / 8];
};

/**
 * struct ctrl - State of the control queue
 * @features: what was acknowledged; a command of a class without its feature is refused
 * @pairs_max, @pairs: queue pairs that there are, and that the guest uses
 * @offloads: VIRTIO_NET_F_GUEST_* bits (as 1 << bit) that the guest takes now
 * @announce_acked: VIRTIO_NET_CTRL_ANNOUNCE_ACK came
 */
struct ctrl {
	uint64_t features;
	unsigned pairs_max, pairs;
	uint64_t offloads;
	bool announce_acked;
	struct ctrl_filter filter;
};

/** ctrl_init() - After SET_FEATURES. */
void ctrl_init(struct ctrl *c, uint64_t features, unsigned pairs_max, const uint8_t mac[6]);

/** ctrl_command() - Carry out one command: class, command and data, cut into pieces anywhere.
 *  Return: VIRTIO_NET_OK or VIRTIO_NET_ERR; nothing was changed by a command that is refused. */
uint8_t ctrl_command(struct ctrl *c, const struct iovec *iov, unsigned iov_cnt, uint32_t len);

/** ctrl_takes() - Does the guest take a frame that begins with these 18 (or, shorter, 14) bytes? */
bool ctrl_takes(const struct ctrl_filter *f, const uint8_t *eth, unsigned len);

#endif
