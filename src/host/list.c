/* SPDX-License-Identifier: MIT */
/* Which TAPs and macvtaps there are, whose they are, and which nobody needs any more. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/fd.h"
#include "host/host.h"
#include "tapdev/macvtap.h"
#include "tapdev/netlink.h"
#include "tapdev/owner.h"
#include "tapdev/tun.h"

#define LOAD_TRIES 20

struct table {
	struct nl_link *links;
	unsigned cnt, size;
};

static bool is_ours_to_show(const struct nl_link *link)
{
	return (strcmp(link->kind, "tun") == 0 && link->tun.tap) ||
	       strcmp(link->kind, "macvtap") == 0;
}

static int collect(void *ctx, const struct nl_link *link)
{
	struct table *t = ctx;

	if (!is_ours_to_show(link))
		return 0;
	if (t->cnt == t->size) {
		unsigned size = t->size ? 2 * t->size : 16;
		struct nl_link *links = realloc(t->links, size * sizeof(*links));

		if (!links)
			return -ENOMEM;
		t->links = links;
		t->size = size;
	}
	t->links[t->cnt++] = *link;
	return 0;
}

/* Texts that an iface's pointers point to. @unseen: whether somebody has it open cannot be told. */
struct texts {
	char bridge[IFNAMSIZ], holder[64];
	struct owner owner;
	int unseen;
};

/* A TAP's descriptors name it; of a macvtap, all that is to be seen is who has its device open. */
static void find_holder(const struct nl_link *link, struct vmtap_iface *i, struct texts *t)
{
	dev_t dev;

	i->holder = t->holder;
	if (strcmp(link->kind, "tun") == 0) {
		i->holder_pid = owner_find_holder(link->name, t->holder);
		return;
	}
	t->unseen = macvtap_device(link, &dev);
	if (t->unseen == 0)
		i->holder_pid = owner_find_opener(dev, t->holder, &i->queues);
}

/* The kernel counts at the interface: a TAP receives what the guest sends, a macvtap what comes
 * from the wire. */
static void copy_counters(const struct nl_link *link, struct vmtap_iface *i)
{
	bool tap = strcmp(link->kind, "tun") == 0;

	i->rx_frames = tap ? link->stats.rx_packets : link->stats.tx_packets;
	i->rx_bytes = tap ? link->stats.rx_bytes : link->stats.tx_bytes;
	i->rx_drops = tap ? link->stats.rx_dropped : link->stats.tx_dropped;
	i->tx_frames = tap ? link->stats.tx_packets : link->stats.rx_packets;
	i->tx_bytes = tap ? link->stats.tx_bytes : link->stats.rx_bytes;
	i->tx_drops = tap ? link->stats.tx_dropped : link->stats.rx_dropped;
}

static void describe(const struct nl_link *link, struct vmtap_iface *i, struct texts *t)
{
	static const enum vmtap_owner_state states[] = {
		[OWNER_ALIVE] = VMTAP_OWNER_ALIVE,
		[OWNER_GONE] = VMTAP_OWNER_GONE,
		[OWNER_UNKNOWN] = VMTAP_OWNER_UNKNOWN,
	};
	bool tap = strcmp(link->kind, "tun") == 0;

	memset(t, 0, sizeof(*t));
	nl_link_name(tap ? link->master : link->parent, t->bridge);
	*i = (struct vmtap_iface) {
		.name = link->name,
		.kind = tap ? "tap" : "macvtap",
		.bridge = t->bridge,
		.up = link->flags & IFF_UP,
		.carrier = link->carrier,
		.persist = tap ? link->tun.persist : true,
		.multi_queue = link->tun.multi_queue,
		.queues = tap && !link->tun.multi_queue ? link->carrier : link->tun.queues,
		.detached_queues = link->tun.detached_queues,
		.mtu = link->mtu,
		.uid = link->tun.owner,
		.gid = link->tun.group,
		.owner = "",
	};
	copy_counters(link, i);
	memcpy(i->mac, link->mac, sizeof(i->mac));
	if (owner_parse(link->alias, &t->owner)) {
		i->owner = t->owner.who;
		i->owner_pid = t->owner.pid;
		i->owner_since = t->owner.since;
		i->owner_state = states[owner_state(&t->owner)];
	}
	find_holder(link, i, t);
}

/* The kernel says when the interfaces changed while it listed them: then once more. */
static int load(struct table *t, struct vmtap_error *err)
{
	int ret = -EINTR;

	for (unsigned i = 0; ret == -EINTR && i < LOAD_TRIES; i++) {
		t->cnt = 0;
		ret = nl_link_each(collect, t);
	}
	if (ret < 0)
		error_errno(err, -ret, "host", "list the interfaces");
	return ret;
}

int host_list(vmtap_iface_cb *row, void *opaque, struct vmtap_error *err)
{
	struct table t = { 0 };
	struct vmtap_iface iface;
	struct texts texts;
	int ret = load(&t, err);

	for (unsigned i = 0; ret == 0 && i < t.cnt; i++) {
		describe(&t.links[i], &iface, &texts);
		row(opaque, &iface);
	}
	free(t.links);
	return ret ? ret : (int)t.cnt;
}

/* Tagged by a process that has ended, and nobody has it open. */
static bool is_leaked(const struct nl_link *link, const struct vmtap_iface *iface)
{
	bool open = strcmp(link->kind, "tun") == 0 &&
		    (link->carrier || link->tun.queues || link->tun.detached_queues);

	return iface->owner_state == VMTAP_OWNER_GONE && !iface->holder_pid && !open;
}

/* By attaching to it, which the kernel refuses while somebody has it open, and having it go with
 * our descriptor. So it cannot be taken away from whoever opens it at this moment. */
static int remove_tap(const struct nl_link *link)
{
	struct tun_request req = {
		.ifname = link->name,
		.vnet_hdr = link->tun.vnet_hdr,
		.multi_queue = link->tun.multi_queue,
	};
	cleanup_fd int fd = tun_open();
	char ifname[IFNAMSIZ];
	struct nl_link now;
	int ret;

	if (fd < 0)
		return fd;
	ret = tun_attach(fd, &req, ifname);
	if (ret < 0)
		return ret;
	ret = nl_link_get(link->name, &now);
	if (ret < 0 || now.index != link->index)
		return ret; /* it went by itself; one that we made goes with our descriptor */
	if (now.tun.queues + now.tun.detached_queues > 1)
		return -EBUSY;
	return tun_set_persist(fd, false);
}

/* An administrator's business, although the kernel lets anybody attach to a TAP without owner. */
static int remove_leaked(const struct nl_link *link)
{
	int ret = nl_may_change();

	if (ret < 0)
		return ret;
	return strcmp(link->kind, "tun") == 0 ? remove_tap(link) : nl_link_delete(link->index);
}

int host_reap(bool dry_run, vmtap_iface_cb *row, void *opaque, struct vmtap_error *err)
{
	struct table t = { 0 };
	struct vmtap_iface iface;
	struct texts texts;
	int ret = load(&t, err), cnt = 0;

	for (unsigned i = 0; i < t.cnt; i++) {
		int failed = 0;

		describe(&t.links[i], &iface, &texts);
		if (!is_leaked(&t.links[i], &iface))
			continue;
		cnt++;
		row(opaque, &iface);
		if (texts.unseen)
			failed = texts.unseen;
		else if (!dry_run)
			failed = remove_leaked(&t.links[i]);
		if (failed == 0 || ret < 0)
			continue;
		ret = error_errno(err, -failed, iface.name,
				  texts.unseen ? "see whether somebody has it open"
					       : "remove the interface");
		if (ret == -EBUSY)
			error_remedy(err, "a process that is not to be seen from here has it open");
		else if (ret == -EPERM || texts.unseen)
			error_remedy(err, "run as root");
	}
	free(t.links);
	return ret < 0 ? ret : cnt;
}
