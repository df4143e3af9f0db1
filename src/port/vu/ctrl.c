/* SPDX-License-Identifier: MIT */
/*
 * The control queue of a virtio-net device, and the receive filter that it sets.
 *
 * Model
 *   A command is read from front to back, each byte once, and carried out
 *   when it was read to its very end: so a refused one changes nothing.
 *   Fields are little-endian, for legacy guests in the host's order.
 *
 *   Filtering is best effort, as guests expect. What does not fit into a
 *   table is let through, not dropped; priority tags (VLAN 0) are no VLAN;
 *   and a guest that named VLANs but no addresses gets all addresses.
 *
 * What the guest may do wrong
 *   Counts that are larger than the command, commands that are too short or
 *   too long, changes while we read.
 */
#include "port/vu/ctrl.h"

#include <endian.h>
#include <linux/if_ether.h>
#include <string.h>

#include "base/iov.h"
#include "net/packet.h"
#include "port/vu/features.h"

#define BIT(N) (UINT64_C(1) << (N))
#define GUEST_OFFLOADS                                                 \
	(BIT(VIRTIO_NET_F_GUEST_CSUM) | BIT(VIRTIO_NET_F_GUEST_TSO4) | \
	 BIT(VIRTIO_NET_F_GUEST_TSO6) | BIT(VIRTIO_NET_F_GUEST_ECN) |  \
	 BIT(VIRTIO_NET_F_GUEST_UFO) | BIT(VIRTIO_NET_F_GUEST_USO4) |  \
	 BIT(VIRTIO_NET_F_GUEST_USO6))

#define VLAN_ID_MASK 0xfffu
#define VLAN_CNT 4096u

/* ------------------------------------------------------------------- reading */

/** struct reader - A command; @at: bytes of it that were read */
struct reader {
	const struct iovec *iov;
	unsigned iov_cnt;
	uint32_t at, len;
	bool native; /* fields are in the host's order */
};

static bool get(struct reader *r, void *to, uint32_t len)
{
	if (len > r->len - r->at || iov_read(r->iov, r->iov_cnt, r->at, to, len) != len)
		return false;
	r->at += len;
	return true;
}

/* The last field. */
static bool get_last(struct reader *r, void *to, uint32_t len)
{
	return len == r->len - r->at && get(r, to, len);
}

static uint16_t to_cpu16(const struct reader *r, uint16_t v)
{
	return r->native ? v : le16toh(v);
}

static uint32_t to_cpu32(const struct reader *r, uint32_t v)
{
	return r->native ? v : le32toh(v);
}

static uint64_t to_cpu64(const struct reader *r, uint64_t v)
{
	return r->native ? v : le64toh(v);
}

/* ------------------------------------------------------------------ commands */

static bool has(const struct ctrl *c, unsigned feature)
{
	return c->features & BIT(feature);
}

/* From now on addresses count. */
static void filter_macs(struct ctrl_filter *f)
{
	f->active = true;
	f->any_mac = false;
}

static bool *rx_mode(struct ctrl *c, uint8_t command)
{
	const bool rx = has(c, VIRTIO_NET_F_CTRL_RX), extra = has(c, VIRTIO_NET_F_CTRL_RX_EXTRA);
	struct ctrl_filter *f = &c->filter;

	switch (command) {
	case VIRTIO_NET_CTRL_RX_PROMISC:
		return rx ? &f->promisc : NULL;
	case VIRTIO_NET_CTRL_RX_ALLMULTI:
		return rx ? &f->allmulti : NULL;
	case VIRTIO_NET_CTRL_RX_ALLUNI:
		return extra ? &f->alluni : NULL;
	case VIRTIO_NET_CTRL_RX_NOMULTI:
		return extra ? &f->nomulti : NULL;
	case VIRTIO_NET_CTRL_RX_NOUNI:
		return extra ? &f->nouni : NULL;
	case VIRTIO_NET_CTRL_RX_NOBCAST:
		return extra ? &f->nobcast : NULL;
	default:
		return NULL;
	}
}

static bool set_rx_mode(struct ctrl *c, uint8_t command, struct reader *r)
{
	bool *mode = rx_mode(c, command);
	uint8_t on;

	if (!mode || !get_last(r, &on, sizeof(on)))
		return false;
	*mode = on;
	filter_macs(&c->filter);
	return true;
}

/** struct mac_table - One of the two, while a command is read */
struct mac_table {
	uint8_t macs[CTRL_MACS_MAX][6];
	unsigned cnt;
	bool overflow;
};

static bool get_table(struct reader *r, struct mac_table *t)
{
	uint32_t entries;

	if (!get(r, &entries, sizeof(entries)))
		return false;
	entries = to_cpu32(r, entries);
	if (entries > (r->len - r->at) / sizeof(t->macs[0]))
		return false;
	t->overflow = entries > CTRL_MACS_MAX;
	if (t->overflow) {
		t->cnt = 0;
		r->at += entries * (uint32_t)sizeof(t->macs[0]);
		return true;
	}
	t->cnt = entries;
	return get(r, t->macs, entries * (uint32_t)sizeof(t->macs[0]));
}

static bool set_mac_table(struct ctrl *c, struct reader *r)
{
	struct ctrl_filter *f = &c->filter;
	struct mac_table uni, multi;

	if (!has(c, VIRTIO_NET_F_CTRL_RX) || !get_table(r, &uni) || !get_table(r, &multi) ||
	    r->at != r->len)
		return false;
	f->uni_cnt = uni.cnt;
	f->uni_overflow = uni.overflow;
	memcpy(f->uni, uni.macs, uni.cnt * sizeof(f->uni[0]));
	f->multi_cnt = multi.cnt;
	f->multi_overflow = multi.overflow;
	memcpy(f->multi, multi.macs, multi.cnt * sizeof(f->multi[0]));
	filter_macs(f);
	return true;
}

static bool is_group(const uint8_t mac[6])
{
	return mac[0] & 1;
}

static bool set_mac(struct ctrl *c, struct reader *r)
{
	static const uint8_t none[6];
	uint8_t mac[6];

	if (!has(c, VIRTIO_NET_F_CTRL_MAC_ADDR) || !get_last(r, mac, sizeof(mac)) ||
	    is_group(mac) || memcmp(mac, none, sizeof(mac)) == 0)
		return false;
	memcpy(c->filter.mac, mac, sizeof(mac));
	return true;
}

static bool set_macs(struct ctrl *c, uint8_t command, struct reader *r)
{
	switch (command) {
	case VIRTIO_NET_CTRL_MAC_TABLE_SET:
		return set_mac_table(c, r);
	case VIRTIO_NET_CTRL_MAC_ADDR_SET:
		return set_mac(c, r);
	default:
		return false;
	}
}

static bool set_vlan(struct ctrl *c, uint8_t command, struct reader *r)
{
	struct ctrl_filter *f = &c->filter;
	uint16_t id;
	uint8_t bit;

	if (!has(c, VIRTIO_NET_F_CTRL_VLAN) || command > VIRTIO_NET_CTRL_VLAN_DEL ||
	    !get_last(r, &id, sizeof(id)))
		return false;
	id = to_cpu16(r, id);
	if (id >= VLAN_CNT)
		return false;
	bit = (uint8_t)(1u << id % 8);
	if (command == VIRTIO_NET_CTRL_VLAN_ADD)
		f->vlans[id / 8] |= bit;
	else
		f->vlans[id / 8] &= (uint8_t)~bit;
	f->has_vlans = true;
	f->active = true;
	return true;
}

static bool ack_announce(struct ctrl *c, uint8_t command, const struct reader *r)
{
	if (!has(c, VIRTIO_NET_F_GUEST_ANNOUNCE) || command != VIRTIO_NET_CTRL_ANNOUNCE_ACK ||
	    r->at != r->len)
		return false;
	c->announce_acked = true;
	return true;
}

static bool set_pairs(struct ctrl *c, uint8_t command, struct reader *r)
{
	uint16_t pairs;

	if (!has(c, VIRTIO_NET_F_MQ) || command != VIRTIO_NET_CTRL_MQ_VQ_PAIRS_SET ||
	    !get_last(r, &pairs, sizeof(pairs)))
		return false;
	pairs = to_cpu16(r, pairs);
	if (pairs < VIRTIO_NET_CTRL_MQ_VQ_PAIRS_MIN || pairs > c->pairs_max)
		return false;
	c->pairs = pairs;
	return true;
}

static bool set_offloads(struct ctrl *c, uint8_t command, struct reader *r)
{
	uint64_t offloads;

	if (!has(c, VIRTIO_NET_F_CTRL_GUEST_OFFLOADS) ||
	    command != VIRTIO_NET_CTRL_GUEST_OFFLOADS_SET ||
	    !get_last(r, &offloads, sizeof(offloads)))
		return false;
	offloads = to_cpu64(r, offloads);
	if (offloads & ~(c->features & GUEST_OFFLOADS))
		return false;
	c->offloads = offloads;
	return true;
}

static bool carry_out(struct ctrl *c, struct reader *r)
{
	struct virtio_net_ctrl_hdr hdr;

	if (!get(r, &hdr, sizeof(hdr)))
		return false;
	switch (hdr.class) {
	case VIRTIO_NET_CTRL_RX:
		return set_rx_mode(c, hdr.cmd, r);
	case VIRTIO_NET_CTRL_MAC:
		return set_macs(c, hdr.cmd, r);
	case VIRTIO_NET_CTRL_VLAN:
		return set_vlan(c, hdr.cmd, r);
	case VIRTIO_NET_CTRL_ANNOUNCE:
		return ack_announce(c, hdr.cmd, r);
	case VIRTIO_NET_CTRL_MQ:
		return set_pairs(c, hdr.cmd, r);
	case VIRTIO_NET_CTRL_GUEST_OFFLOADS:
		return set_offloads(c, hdr.cmd, r);
	default:
		return false;
	}
}

uint8_t ctrl_command(struct ctrl *c, const struct iovec *iov, unsigned iov_cnt, uint32_t len)
{
	struct reader r = {
		.iov = iov, .iov_cnt = iov_cnt, .len = len, .native = !has(c, VIRTIO_F_VERSION_1)
	};

	return carry_out(c, &r) ? VIRTIO_NET_OK : VIRTIO_NET_ERR;
}

void ctrl_init(struct ctrl *c, uint64_t features, unsigned pairs_max, const uint8_t mac[6])
{
	*c = (struct ctrl) {
		.features = features,
		.pairs_max = pairs_max,
		.pairs = 1,
		.offloads = features & GUEST_OFFLOADS,
		.filter.any_mac = true,
	};
	memcpy(c->filter.mac, mac, sizeof(c->filter.mac));
}

/* ----------------------------------------------------------------- filtering */

static bool is_in(const uint8_t mac[6], const uint8_t (*table)[6], unsigned cnt)
{
	for (unsigned i = 0; i < cnt; i++)
		if (memcmp(table[i], mac, 6) == 0)
			return true;
	return false;
}

static bool takes_vlan(const struct ctrl_filter *f, const uint8_t *eth, unsigned len)
{
	unsigned id;

	if (!f->has_vlans || len < ETH_HDR_LEN + 2 || get_be16(eth + 12) != ETH_P_8021Q)
		return true;
	id = get_be16(eth + ETH_HDR_LEN) & VLAN_ID_MASK;
	return !id || f->vlans[id / 8] >> id % 8 & 1;
}

static bool takes_mac(const struct ctrl_filter *f, const uint8_t mac[6])
{
	static const uint8_t broadcast[6] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };

	if (memcmp(mac, broadcast, sizeof(broadcast)) == 0)
		return !f->nobcast;
	if (is_group(mac))
		return !f->nomulti &&
		       (f->allmulti || f->multi_overflow || is_in(mac, f->multi, f->multi_cnt));
	return !f->nouni && (f->alluni || f->uni_overflow || memcmp(mac, f->mac, 6) == 0 ||
			     is_in(mac, f->uni, f->uni_cnt));
}

bool ctrl_takes(const struct ctrl_filter *f, const uint8_t *eth, unsigned len)
{
	if (!f->active || f->promisc)
		return true;
	if (len < ETH_HDR_LEN || !takes_vlan(f, eth, len))
		return false;
	return f->any_mac || takes_mac(f, eth);
}
