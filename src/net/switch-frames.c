/* SPDX-License-Identifier: MIT */
/*
 * Where frames go in a switch.
 *
 * An offer is done in two steps: each frame is looked at and put down for its receivers, and then each
 * receiver gets all of its frames in one burst. The frames stay where they are meanwhile.
 *
 * What the peer may do wrong
 *   Frames may change while they are read: addresses and tag are copied once. Frames with tags from
 *   ports whose VLAN is not theirs to choose are dropped, and so are those from which a tag is to be taken
 *   behind which there is another: the next switch would take that one for its own. Where VLANs are kept
 *   apart, frames in memory that their sender can still change go on with the copy that was looked at.
 */
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/container.h"
#include "base/iov.h"
#include "net/packet.h"
#include "net/switch-int.h"

#define HEAD_LEN (ETH_HDR_LEN + VLAN_TAG_LEN)

/**
 * struct look - A frame that is being looked at
 * @vlan:   0: its port knows of none
 * @tci:    of its tag, when @tagged
 * @plain, @marked: it without a tag, and with that of @vlan; NULL: not made yet
 */
struct look {
	struct switch_member *from;
	struct switch_offer *o;
	const struct vmtap_frame *frame;
	const struct vmtap_frame *plain, *marked;
	uint8_t head[HEAD_LEN];
	uint16_t vlan, tci;
	bool tagged;
	struct vmtap_frame edited[2], pinned;
};

static bool has_vlans(const struct switch_place *p)
{
	return p->vlan || p->trunk;
}

static bool in_trunk(const struct switch_place *p, unsigned vlan)
{
	return p->trunk && p->trunk_ids[vlan / 8] & 1u << vlan % 8;
}

/* -------------------------------------------------------------------- looking */

/* Which VLAN does it enter? Return: false: none that its port may use. */
static bool find_vlan(struct look *k)
{
	const struct switch_place *p = &k->from->place;
	uint16_t type = get_be16(k->head + 12);
	unsigned id;

	if (!has_vlans(p))
		return true;
	k->tagged = type == ETH_TYPE_VLAN && k->frame->len >= HEAD_LEN;
	k->tci = k->tagged ? get_be16(k->head + ETH_HDR_LEN) : 0;
	id = k->tci & VLAN_ID_MASK;
	k->vlan = (uint16_t)(id ? id : p->vlan);
	return id ? id <= VLAN_ID_MAX && in_trunk(p, id) : p->vlan != 0;
}

/* What was looked at is what goes on, whatever the sender writes there meanwhile. */
static void pin(struct look *k)
{
	struct switch_offer *o = k->o;
	const struct vmtap_frame *f = k->frame;
	const uint32_t len = f->len < HEAD_LEN ? f->len : HEAD_LEN;
	struct iovec *iov = o->iov + o->iov_cnt;
	uint8_t *head = o->heads[o->head_cnt++];

	memcpy(head, k->head, HEAD_LEN);
	iov[0] = (struct iovec) { .iov_base = head, .iov_len = len };
	k->pinned = *f;
	k->pinned.iov = iov;
	k->pinned.iov_cnt =
		1 + iov_slice(f->iov, f->iov_cnt, len, f->len - len, iov + 1, f->iov_cnt);
	k->frame = &k->pinned;
	o->iov_cnt += k->pinned.iov_cnt;
}

static bool has_inner_tag(const struct look *k)
{
	uint16_t type = get_be16(k->head + HEAD_LEN - 2);

	return type == ETH_TYPE_VLAN || type == ETH_TYPE_QINQ;
}

/* Another form of the frame. NULL: there is none, and it was counted. */
static const struct vmtap_frame *make(struct look *k, struct vmtap_frame *out, bool add)
{
	struct switch_offer *o = k->o;
	struct vlan_edit *e = &o->edits[o->edit_cnt];
	uint16_t tci = (uint16_t)((k->tci & ~VLAN_ID_MASK) | k->vlan);
	int ret;

	if (!add && has_inner_tag(k))
		return NULL;
	*e = (struct vlan_edit) { .cut = k->tagged, .add = add, .tci = tci };
	ret = vlan_edit(k->frame, e, out, o->iov + o->iov_cnt);
	if (ret < 0)
		return NULL;
	o->edit_cnt++;
	o->iov_cnt += out->iov_cnt;
	return out;
}

/* As @to is to get it; NULL: it may not have it. */
static const struct vmtap_frame *form_for(struct look *k, const struct switch_member *to)
{
	if (!k->vlan)
		return k->frame;
	if (to->place.vlan == k->vlan) {
		if (!k->plain)
			k->plain = k->tagged ? make(k, &k->edited[0], false) : k->frame;
		return k->plain;
	}
	if (!k->marked)
		k->marked = k->tagged && (k->tci & VLAN_ID_MASK) ? k->frame
								 : make(k, &k->edited[1], true);
	return k->marked;
}

/* --------------------------------------------------------------- putting down */

static bool may_reach(const struct look *k, const struct switch_member *to)
{
	const struct switch_member *from = k->from;

	if (to == from || (to->place.isolated && from->place.isolated))
		return false;
	if (!k->vlan)
		return !has_vlans(&to->place);
	return to->place.vlan == k->vlan || in_trunk(&to->place, k->vlan);
}

/* What a frame costs at its receiver: itself, or its segments. */
static unsigned work_of(const struct vmtap_frame *frame, const struct switch_member *to)
{
	const struct vmtap_net_hdr *hdr = &frame->hdr;

	if (!offload_lacking(hdr, to->port->accepts) || hdr->gso_type == VMTAP_GSO_NONE)
		return 1;
	return hdr->gso_size ? 1 + frame->len / hdr->gso_size : 1;
}

static void put_down(struct look *k, struct switch_member *to)
{
	const struct vmtap_frame *frame = form_for(k, to);
	struct switch_burst *out = &to->out[k->o - to->sw->offers];

	if (!frame) {
		lane_drop_tx(to->port->lanes, VMTAP_DROP_FILTERED, NULL, 1);
		return;
	}
	if (!out->cnt)
		k->o->touched[k->o->touched_cnt++] = to;
	out->frames[out->cnt++] = *frame;
	k->o->work += work_of(frame, to);
}

static void flood(struct look *k)
{
	for (struct switch_member *m = k->from->sw->members; m; m = m->next)
		if (may_reach(k, m))
			put_down(k, m);
}

/* Addresses that end at a bridge: pause frames, LACP, LLDP. Those of the spanning tree do not when
 * there is no bridge that takes part in it. */
static bool is_for_bridges(const uint8_t *mac)
{
	static const uint8_t group[] = { 0x01, 0x80, 0xc2, 0x00, 0x00 };

	return memcmp(mac, group, sizeof(group)) == 0 && mac[5] && mac[5] < 0x10;
}

/* Groups and zeros are nobody's address. */
static bool is_station(const uint8_t *mac)
{
	static const uint8_t zero[6];

	return !(mac[0] & 1) && memcmp(mac, zero, sizeof(zero)) != 0;
}

static void moved(struct net_switch *sw, const struct switch_member *to)
{
	sw->s.moves++;
	if (sw->movers[0] == to)
		return;
	sw->movers[1] = sw->movers[0];
	sw->movers[0] = to;
}

static void learn(struct look *k)
{
	struct net_switch *sw = k->from->sw;
	const uint8_t *mac = k->head + 6;

	if (!is_station(mac))
		return;
	switch (mactable_learn(sw->macs, mactable_key(mac, k->vlan), k->from, sw->now_ms)) {
	case MACTABLE_NEW:
		sw->s.learned++;
		switch_learned(sw);
		break;
	case MACTABLE_MOVED:
		moved(sw, k->from);
		break;
	case MACTABLE_FULL:
		sw->s.refused++;
		break;
	case MACTABLE_KNOWN:
		break;
	}
}

static void direct_group(struct look *k)
{
	struct switch_member *from = k->from;
	const uint32_t l3 = k->tagged ? HEAD_LEN : ETH_HDR_LEN;
	const struct switch_group g = {
		.m = from,
		.frame = k->frame,
		.mac = k->head,
		.l3 = l3,
		.type = get_be16(k->head + l3 - 2),
		.vlan = k->vlan,
		.scratch = k->o->scratch,
	};
	struct port_set to;

	switch (from->sw->snoop ? switch_snoop(&g, &to, &k->o->work) : SWITCH_ALL) {
	case SWITCH_ALL:
		flood(k);
		break;
	case SWITCH_SOME:
		for (struct switch_member *m = from->sw->members; m; m = m->next)
			if (port_set_has(&to, m->slot) && may_reach(k, m))
				put_down(k, m);
		break;
	case SWITCH_NONE:
		lane_drop_rx(from->port->lanes, VMTAP_DROP_FILTERED, 1);
		break;
	}
}

static void direct(struct look *k)
{
	struct net_switch *sw = k->from->sw;
	struct switch_member *to;

	if (sw->config.hub) {
		sw->s.flooded++;
		flood(k);
		return;
	}
	learn(k);
	if (is_for_bridges(k->head)) {
		lane_drop_rx(k->from->port->lanes, VMTAP_DROP_FILTERED, 1);
		return;
	}
	if (k->head[0] & 1) {
		sw->s.groups++;
		direct_group(k);
		return;
	}
	to = mactable_find(sw->macs, mactable_key(k->head, k->vlan));
	if (!to) {
		sw->s.flooded++;
		flood(k);
	} else if (may_reach(k, to)) {
		sw->s.forwarded++;
		put_down(k, to);
	} else {
		sw->s.kept++;
	}
}

/* Look at one frame and put it down for whoever gets it. */
static void take(struct switch_member *from, struct switch_offer *o,
		 const struct vmtap_frame *frame)
{
	struct look k = { .from = from, .o = o, .frame = frame };

	if (iov_read(frame->iov, frame->iov_cnt, 0, k.head, HEAD_LEN) < ETH_HDR_LEN) {
		lane_drop_rx(from->port->lanes, VMTAP_DROP_RUNT, 1);
	} else if (!find_vlan(&k)) {
		lane_drop_rx(from->port->lanes, VMTAP_DROP_FILTERED, 1);
	} else {
		if (k.vlan && from->port->ops->shared)
			pin(&k);
		direct(&k);
	}
}

/* ---------------------------------------------------------------- offers */

/* List entries that a frame may need: pinned, and with and without a tag. */
static unsigned iov_need(const struct vmtap_frame *frame)
{
	return 3 * (frame->iov_cnt + 1 + VLAN_IOV_EXTRA);
}

static bool has_room(const struct switch_offer *o, const struct vmtap_frame *frame)
{
	return o->work < SWITCH_WORK_MAX && o->iov_cnt + iov_need(frame) <= SWITCH_IOV_MAX;
}

static void bring_all(struct switch_member *from, struct switch_offer *o, unsigned depth)
{
	for (unsigned i = 0; i < o->touched_cnt; i++) {
		struct switch_member *m = o->touched[i];

		switch_bring(m, from, m->out[depth].frames, m->out[depth].cnt, o->scratch);
		m->out[depth].cnt = 0;
	}
}

/* Return: how many of the first frames were dealt with; at least one. */
static unsigned take_some(struct switch_member *from, struct switch_offer *o, unsigned depth,
			  const struct vmtap_frame *frames, unsigned cnt)
{
	unsigned done = 0;

	o->edit_cnt = o->head_cnt = o->iov_cnt = o->touched_cnt = 0;
	if (iov_need(&frames[0]) > SWITCH_IOV_MAX) {
		lane_drop_rx(from->port->lanes, VMTAP_DROP_TOO_LONG, 1);
		return 1;
	}
	while (done < cnt && (!done || has_room(o, &frames[done])))
		take(from, o, &frames[done++]);
	bring_all(from, o, depth);
	return done;
}

static void hold(struct switch_member *m)
{
	m->held = true;
	loop_task_add(m->sw->env->loop, &m->sw->retry);
}

static unsigned frames_offer(struct junction *j, struct port_lane *from,
			     const struct vmtap_frame *frames, unsigned cnt)
{
	struct switch_member *m = container_of(j, struct switch_member, junction);
	struct net_switch *sw = m->sw;
	const unsigned depth = sw->depth;
	unsigned done = 0;

	if (depth == SWITCH_DEPTH || m->offering) {
		hold(m);
		return 0;
	}
	sw->now_ms = clock_ns() / NSEC_PER_MSEC;
	sw->offers[depth].work = 0;
	m->offering = true;
	sw->depth++;
	switch_enter(sw);
	while (done < cnt && !m->gone && sw->offers[depth].work < SWITCH_WORK_MAX)
		done += take_some(m, &sw->offers[depth], depth, frames + done, cnt - done);
	m->offering = false;
	sw->depth--;
	if (m->gone) {
		lane_drop_rx(from, VMTAP_DROP_NO_PEER, cnt - done);
		done = cnt;
	} else if (done < cnt) {
		hold(m);
	}
	switch_leave(sw);
	return done;
}

void switch_retry(struct loop_task *t)
{
	struct net_switch *sw = container_of(t, struct net_switch, retry);

	switch_enter(sw);
	for (struct switch_member *m = sw->members; m; m = m->next) {
		if (!m->held || m->offering || m->gone)
			continue;
		m->held = false;
		lane_resume(m->port->lanes);
	}
	switch_leave(sw);
}

static void frames_writable(struct junction *j, struct port_lane *l)
{
	struct switch_member *m = container_of(j, struct switch_member, junction);
	struct net_switch *sw = m->sw;

	switch_enter(sw);
	switch_drain(m);
	switch_leave(sw);
}

const struct junction_ops switch_frames_ops = {
	.offer = frames_offer,
	.writable = frames_writable,
	.changed = switch_changed,
	.leave = switch_left,
};
