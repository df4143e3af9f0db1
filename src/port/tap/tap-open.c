/* SPDX-License-Identifier: MIT */
/*
 * Opening and closing the device of a `tap` port.
 *
 * Stages: attach every queue; reset what an earlier user of a persistent
 * device left behind; probe what it can do; set what was asked for; configure
 * the interface; run the script. A stage that fails undoes all before it.
 */
#include <errno.h>
#include <linux/if_tun.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/closer.h"
#include "base/error.h"
#include "base/fd.h"
#include "base/spawn.h"
#include "port/tap/tap-int.h"
#include "tapdev/explain.h"
#include "tapdev/netlink.h"
#include "tapdev/owner.h"
#include "tapdev/tun.h"

#define HDR_LEN_V1 12
#define HDR_LEN_LEGACY 10

/* "tap vm0" or "macvtap vm0", for errors. */
static const char *object(struct tap *t, char buf[80])
{
	const char *name = t->ifname[0] ? t->ifname : t->opts.ifname;

	snprintf(buf, 80, "%s%s%s", t->port.ops->type, name ? " " : "", name ? name : "");
	return buf;
}

/* --------------------------------------------------------------- descriptors */

void tap_device_close(struct tap *t)
{
	tap_drops_end(t);
	tap_steering_undo(t);
	for (unsigned i = 0; i < t->queue_cnt; i++) {
		loop_del(port_lane(&t->port, i)->loop, &t->queues[i].watch);
		closer_add(t->port.env->closer, &t->queues[i].fd);
		t->queues[i].attached = false;
	}
}

static int queues_alloc(struct tap *t, unsigned cnt, struct vmtap_error *err)
{
	char name[80];

	if (t->queues)
		return 0;
	t->queues = calloc(cnt, sizeof(*t->queues));
	t->lanes = calloc(cnt, sizeof(struct tap_lane *));
	if (!t->queues || !t->lanes || port_set_pairs(&t->port, cnt) < 0)
		return error_errno(err, ENOMEM, object(t, name), "open the device");
	t->queue_cnt = cnt;
	for (unsigned i = 0; i < cnt; i++) {
		t->queues[i].tap = t;
		t->queues[i].index = i;
		t->queues[i].fd = -1;
		t->queues[i].watch.fd = -1;
		t->queues[i].vhost_fd = -1;
	}
	return 0;
}

int tap_want_vnet_hdr(struct tap *t, int fd, bool *want, struct vmtap_error *err)
{
	char name[80];

	*want = t->opts.vnet_hdr != TAP_OFF && tun_has_vnet_hdr(fd);
	if (*want || t->opts.vnet_hdr != TAP_ON)
		return 0;
	error_set(err, EOPNOTSUPP, object(t, name), "use the virtio-net header",
		  "vnet_hdr=on asks for it and this kernel does not have it");
	error_remedy(err, "leave vnet_hdr out");
	return -EOPNOTSUPP;
}

static int attach_queue(struct tap *t, unsigned i, struct vmtap_error *err)
{
	struct tun_request req = { .ifname = t->ifname[0] ? t->ifname : t->opts.ifname,
				   .multi_queue = t->opts.queues > 1 };
	char name[80];
	int fd = tun_open(), ret;

	if (fd < 0)
		return explain_open(fd, object(t, name), err);
	t->queues[i].fd = fd;
	ret = tap_want_vnet_hdr(t, fd, &req.vnet_hdr, err);
	if (ret < 0)
		return ret;
	ret = tun_attach(fd, &req, t->ifname);
	if (ret < 0) {
		fd_close(&t->queues[i].fd); /* or we would be found to hold it */
		return explain_attach(ret, object(t, name), &req, err);
	}
	t->queues[i].attached = true;
	if (req.vnet_hdr)
		t->caps |= TAP_CAP_VNET_HDR;
	return 0;
}

/* ---------------------------------------------------------- reset and probing */

int tap_device_set_hdr_len(struct tap *t, unsigned len)
{
	int ret = 0;

	for (unsigned i = 0; i < t->queue_cnt && ret == 0; i++)
		if (t->queues[i].fd >= 0)
			ret = tun_set_hdr_len(t->queues[i].fd, (int)len);
	if (ret == 0)
		t->hdr_len = len;
	return ret;
}

int tap_device_set_endian(struct tap *t, bool little, bool big)
{
	int ret = 0;

	for (unsigned i = 0; i < t->queue_cnt && ret == 0; i++)
		if (t->queues[i].fd >= 0)
			ret = tun_set_endian(t->queues[i].fd, little, big);
	return ret;
}

/* A persistent device, or one that was passed to us, remembers what its last user set. */
static int reset_and_probe(struct tap *t, struct vmtap_error *err)
{
	int fd = t->queues[0].fd, ret;
	unsigned accepts = VMTAP_OFFLOAD_CSUM | VMTAP_OFFLOAD_TSO4 | VMTAP_OFFLOAD_TSO6 |
			   VMTAP_OFFLOAD_ECN | VMTAP_OFFLOAD_UFO;
	char name[80];

	t->offload = 0;
	t->hdr_len = 0;
	t->swap_hdr = false;
	ret = tun_set_offload(fd, 0);
	if (ret < 0)
		return error_errno(err, -ret, object(t, name), "reset the offloads");
	if (!(t->caps & TAP_CAP_VNET_HDR))
		return 0;

	tap_device_set_endian(t, false, false);
	t->hdr_len = HDR_LEN_LEGACY;
	if (tap_device_set_hdr_len(t, HDR_LEN_V1) == 0)
		t->caps |= TAP_CAP_HDR_LEN;
	if (tun_set_offload(fd, VMTAP_OFFLOAD_CSUM | VMTAP_OFFLOAD_UFO) == 0)
		t->caps |= TAP_CAP_UFO;
	if (tun_set_offload(fd, VMTAP_OFFLOAD_CSUM | VMTAP_OFFLOAD_USO4 | VMTAP_OFFLOAD_USO6) == 0)
		t->caps |= TAP_CAP_USO;
	tun_set_offload(fd, 0);
	if (t->caps & TAP_CAP_USO)
		accepts |= VMTAP_OFFLOAD_USO4 | VMTAP_OFFLOAD_USO6;
	port_set_accepts(&t->port, accepts); /* lanes look at it also while the device is away */
	return 0;
}

/* What depends on other bits goes with them; what the kernel lacks goes first. */
unsigned tap_device_set_offload(struct tap *t, unsigned offload)
{
	static const unsigned give_up[] = {
		0,
		VMTAP_OFFLOAD_USO4 | VMTAP_OFFLOAD_USO6,
		VMTAP_OFFLOAD_UFO,
		VMTAP_OFFLOAD_ECN,
		VMTAP_OFFLOAD_TSO4 | VMTAP_OFFLOAD_TSO6,
		VMTAP_OFFLOAD_ALL,
	};
	const unsigned uso = VMTAP_OFFLOAD_USO4 | VMTAP_OFFLOAD_USO6;

	if (!t->hdr_len || !(offload & VMTAP_OFFLOAD_CSUM))
		offload = 0;
	if ((offload & uso) != uso || !(t->caps & TAP_CAP_USO))
		offload &= ~uso; /* the kernel has them together or not at all */
	if (!(t->caps & TAP_CAP_UFO))
		offload &= ~(unsigned)VMTAP_OFFLOAD_UFO;
	if (!(offload & (VMTAP_OFFLOAD_TSO4 | VMTAP_OFFLOAD_TSO6)))
		offload &= ~(unsigned)VMTAP_OFFLOAD_ECN;
	for (size_t i = 0; i < sizeof(give_up) / sizeof(give_up[0]); i++) {
		offload &= ~give_up[i];
		if (t->queues[0].fd < 0 || tun_set_offload(tap_attached(t)->fd, offload) == 0)
			break;
	}
	t->offload = offload;
	return offload;
}

/* ------------------------------------------------------------ what was asked for */

static int set_owner(struct tap *t, struct vmtap_error *err)
{
	int fd = t->queues[0].fd, ret = 0;
	const char *action = "set the owner";
	char name[80];

	if (t->opts.owner >= 0)
		ret = tun_set_owner(fd, (unsigned)t->opts.owner);
	if (!ret && t->opts.group >= 0) {
		action = "set the group";
		ret = tun_set_group(fd, (unsigned)t->opts.group);
	}
	return ret ? error_errno(err, -ret, object(t, name), action) : 0;
}

int tap_device_keep(struct tap *t, struct vmtap_error *err)
{
	char name[80];
	int ret;

	if (t->opts.persist == TAP_AUTO)
		return 0;
	ret = tun_set_persist(t->queues[0].fd, t->opts.persist == TAP_ON);
	return ret ? error_errno(err, -ret, object(t, name), "set persistence") : 0;
}

static int set_sndbuf(struct tap *t, struct vmtap_error *err)
{
	char name[80];

	for (unsigned i = 0; i < t->queue_cnt; i++) {
		int ret = tun_set_sndbuf(t->queues[i].fd, t->opts.sndbuf);

		t->may_block |= ret < 0 || t->opts.sndbuf;
		if (ret == 0 || !t->opts.has_sndbuf)
			continue;
		error_set(err, -ret, object(t, name), "set the send buffer", "sndbuf=%d: %s",
			  t->opts.sndbuf, strerror(-ret));
		error_remedy(err, "choose another size, or 0 for no limit");
		return ret;
	}
	return 0;
}

static int open_queues(struct tap *t, struct vmtap_error *err)
{
	unsigned i;
	int ret = 0;

	t->caps = 0;
	for (i = 0; i < t->queue_cnt && !ret; i++)
		ret = attach_queue(t, i, err);
	if (!ret)
		ret = reset_and_probe(t, err);
	if (!ret)
		ret = set_sndbuf(t, err);
	if (!ret)
		tap_drops_begin(t);
	return ret;
}

int tap_device_open(struct tap *t, struct vmtap_error *err)
{
	struct nl_link link;
	int ret;

	t->created = !t->opts.ifname || nl_link_get(t->opts.ifname, &link) == -ENODEV;
	ret = queues_alloc(t, t->opts.queues, err);
	if (!ret)
		ret = open_queues(t, err);
	if (!ret)
		ret = set_owner(t, err);
	if (ret < 0)
		tap_device_close(t);
	return ret;
}

/* Attaching makes a device when the one that was seen goes in between. Ours is not waited for. */
static bool is_other(const struct tap *t, int index)
{
	struct nl_link link;

	return nl_link_get(t->ifname, &link) < 0 || link.index != index;
}

int tap_device_reopen(struct tap *t, struct vmtap_error *err)
{
	struct nl_link link;
	unsigned offload = t->offload;
	int ret = nl_link_get(t->ifname, &link);

	if (ret < 0)
		return ret;
	t->created = false;    /* somebody else made this one */
	t->script_ran = false; /* and nothing has set it up */
	ret = open_queues(t, err);
	if (!ret && is_other(t, link.index))
		ret = -ENODEV;
	if (!ret)
		ret = set_owner(t, err);
	if (!ret)
		ret = tap_steering_apply(t, err);
	if (ret < 0) {
		tap_device_close(t);
		return ret;
	}
	tap_device_set_offload(t, offload);
	if (!t->port.link_up)
		tun_set_carrier(t->queues[0].fd, false);
	return 0;
}

/* -------------------------------------------------------- descriptors from elsewhere */

/* The descriptor itself cannot tell (see tun_get_flags()), but the interface, when it is of this
 * network namespace; another one of the same name has another address. */
static bool has_prefix(int fd, const char *ifname)
{
	struct nl_link link;
	uint8_t mac[6];

	return nl_link_get(ifname, &link) == 0 && link.tun.tap && link.tun.pi &&
	       tun_get_mac(fd, mac) == 0 && memcmp(mac, link.mac, sizeof(mac)) == 0;
}

static int no_tap(const char *name, int ret, struct vmtap_error *err)
{
	int code = ret == -EBADF ? EBADF : EINVAL;

	error_set(err, code, name, "use the descriptor", "%s",
		  ret == -EBADF	   ? "it is not open"
		  : ret == -EBADFD ? "it is attached to no device"
		  : ret < 0	   ? "it is no TAP"
				   : "it is a TUN device (layer 3), no TAP");
	error_remedy(err, "pass an open TAP, as with: exec 3<>" TUN_PATH
			  " and TUNSETIFF, or let vmtap open it with ifname=");
	return -code;
}

static int probe_fd(int fd, struct tap_fd_info *first, bool is_first, struct vmtap_error *err)
{
	struct tap_fd_info info = { 0 };
	unsigned flags;
	char name[80];
	int ret = tun_get_flags(fd, &flags, info.ifname);

	snprintf(name, sizeof(name), "tap fd=%d", fd);
	if (ret < 0 || !(flags & IFF_TAP))
		return no_tap(name, ret, err);
	if (has_prefix(fd, info.ifname)) {
		error_set(err, EINVAL, name, "use the descriptor",
			  "its frames carry the packet-information prefix");
		error_remedy(err, "open it with IFF_NO_PI");
		return -EINVAL;
	}
	info.vnet_hdr = flags & IFF_VNET_HDR;
	if (is_first)
		*first = info;
	if (strcmp(info.ifname, first->ifname) != 0) {
		error_set(err, EINVAL, name, "use the descriptor",
			  "it belongs to %s, and the first one to %s", info.ifname, first->ifname);
		error_remedy(err, "a port has the queues of one TAP; make a port for each");
		return -EINVAL;
	}
	if (info.vnet_hdr != first->vnet_hdr) {
		error_set(err, EINVAL, name, "use the descriptor",
			  "the descriptors disagree on the virtio-net header");
		error_remedy(err, "open all of them with IFF_VNET_HDR, or none");
		return -EINVAL;
	}
	return 0;
}

int tap_fds_probe(const int *fds, unsigned cnt, struct tap_fd_info *info, struct vmtap_error *err)
{
	for (unsigned i = 0; i < cnt; i++) {
		int ret;

		for (unsigned j = 0; j < i; j++)
			if (fds[i] == fds[j])
				return error_set(err, EINVAL, "tap", "use the descriptors",
						 "%d is given twice", fds[i]);
		ret = probe_fd(fds[i], info, i == 0, err);
		if (ret < 0)
			return ret;
	}
	return 0;
}

int tap_device_take(struct tap *t, const int *fds, unsigned cnt, struct vmtap_error *err)
{
	struct tap_fd_info info = { 0 };
	char name[80];
	int ret = tap_fds_probe(fds, cnt, &info, err);

	if (ret < 0)
		return ret;
	memcpy(t->ifname, info.ifname, sizeof(t->ifname));
	t->caps = info.vnet_hdr ? TAP_CAP_VNET_HDR : 0;
	ret = queues_alloc(t, cnt, err);
	if (ret < 0)
		return ret;
	for (unsigned i = 0; i < cnt; i++) {
		t->queues[i].fd = fds[i];
		t->queues[i].attached = true;
		ret = fd_set_nonblock(fds[i]);
		if (!ret)
			ret = fd_set_cloexec(fds[i]);
		if (ret < 0)
			error_errno(err, -ret, object(t, name), "make the descriptor non-blocking");
		if (ret < 0)
			break;
	}
	if (!ret)
		ret = reset_and_probe(t, err);
	if (!ret)
		ret = set_sndbuf(t, err);
	if (!ret)
		ret = set_owner(t, err);
	if (!ret)
		tap_drops_begin(t);
	for (unsigned i = 0; ret < 0 && i < cnt; i++)
		t->queues[i].fd = -1; /* not taken after all */
	return ret;
}

/* ------------------------------------------------------------------ interface */

static int find_bridge(struct tap *t, struct nl_link *bridge, struct vmtap_error *err)
{
	char name[80];
	int ret = nl_link_get(t->opts.br, bridge);

	if (ret < 0) {
		error_set(err, -ret, object(t, name), "join the bridge",
			  "there is no interface %s here", t->opts.br);
		error_remedy(err, "create it: ip link add %s type bridge && ip link set %s up",
			     t->opts.br, t->opts.br);
		return ret;
	}
	if (strcmp(bridge->kind, "bridge") != 0) {
		error_set(err, EMEDIUMTYPE, object(t, name), "join the bridge",
			  "the interface %s is no bridge", t->opts.br);
		error_remedy(err, "choose one that is: ip link show type bridge");
		return -EMEDIUMTYPE;
	}
	return 0;
}

/* One request a step, so that the error can say which. */
static int change(struct tap *t, int ifindex, const char *action, const struct nl_change *change,
		  struct vmtap_error *err)
{
	char name[80];
	int ret = nl_link_change(ifindex, change);

	if (ret == 0)
		return 0;
	error_errno(err, -ret, object(t, name), action);
	if (ret == -EPERM)
		error_remedy(err,
			     "run as root (it needs CAP_NET_ADMIN), or have it done beforehand");
	else if (ret == -EXFULL)
		error_remedy(err, "the bridge has no free port: remove TAPs that nobody uses");
	return ret;
}

static int configure(struct tap *t, const struct nl_link *link, struct vmtap_error *err)
{
	struct nl_link bridge = { 0 };
	unsigned mtu = t->opts.mtu;
	uint8_t mac[6];
	bool set_mac = t->opts.has_mac;
	int ret = 0;

	memcpy(mac, set_mac ? t->opts.mac : link->mac, sizeof(mac));
	if (t->opts.br) {
		ret = find_bridge(t, &bridge, err);
		if (!mtu && bridge.mtu != link->mtu)
			mtu = bridge.mtu;
		if (!set_mac && t->created) {
			mac[0] = 0xfe; /* the highest there is: the bridge keeps its own address */
			set_mac = true;
		}
	}
	if (!ret && set_mac)
		ret = change(t, link->index, "set the address", &(struct nl_change) { .mac = mac },
			     err);
	if (!ret && mtu)
		ret = change(t, link->index, "set the MTU", &(struct nl_change) { .mtu = mtu },
			     err);
	if (!ret && bridge.index && link->master != bridge.index)
		ret = change(t, link->index, "join the bridge",
			     &(struct nl_change) { .master = bridge.index }, err);
	return ret;
}

static int bring_up(struct tap *t, const struct nl_link *link, struct vmtap_error *err)
{
	bool automatic = t->opts.up == TAP_AUTO;
	struct nl_change up = { .up = t->opts.up != TAP_OFF, .down = t->opts.up == TAP_OFF };
	int ret;

	if (automatic && !t->created && !t->opts.br) {
		if (!(link->flags & IFF_UP))
			log_msg(t->port.env->log, VMTAP_LOG_WARNING, t->port.name,
				"the interface %s is down and drops every frame; ip link set %s up, "
				"or use up=on",
				t->ifname, t->ifname);
		return 0;
	}
	ret = change(t, link->index, up.up ? "bring the interface up" : "set the interface down",
		     &up, err);
	return automatic && ret == -EPERM ? 0 : ret;
}

static int run_script(struct tap *t, const char *file, const char *what, struct vmtap_error *err)
{
	char name[80], action[160];
	const char *const argv[] = { file, t->ifname, NULL };
	struct spawn spawn = {
		.object = object(t, name),
		.what = action,
		.argv = argv,
		.keep_fd = t->queues[0].fd,
		.stderr_fd = -1,
		.timeout_key = "script-timeout-ms",
		.timeout_ms = t->opts.script_timeout_ms,
		.cancel_fd = t->port.env->cancel_fd,
	};

	snprintf(action, sizeof(action), "%s %.100s", what, file);
	log_msg(t->port.env->log, VMTAP_LOG_INFO, t->port.name, "running %s %s", file, t->ifname);
	return spawn_run(&spawn, err);
}

/* Was it left behind by a process of ours? */
static bool is_left_behind(const struct tap *t, const struct nl_link *link)
{
	struct owner owner = { 0 };
	bool left = owner_parse(link->alias, &owner) && owner_state(&owner) == OWNER_GONE;

	if (left)
		log_msg(t->port.env->log, VMTAP_LOG_INFO, t->port.name,
			"%s was left behind by %s, process %d, and is taken over", t->ifname,
			owner.who, owner.pid);
	return left;
}

/* What we make says whose it is; what we find does only when it was left behind. Without the right
 * to do so, it just goes untagged. */
void tap_device_tag(struct tap *t, const struct nl_link *link)
{
	char text[OWNER_TAG_MAX];

	if (!t->created && !is_left_behind(t, link))
		return;
	owner_tag(text, 0);
	nl_link_change(link->index, &(struct nl_change) { .alias = text });
}

int tap_device_up(struct tap *t, struct vmtap_error *err)
{
	struct nl_link link;
	char name[80];
	int ret;

	ret = nl_link_get(t->ifname, &link);
	if (ret < 0)
		return error_errno(err, -ret, object(t, name), "look at the interface");
	tap_device_tag(t, &link);
	ret = configure(t, &link, err);
	if (!ret)
		ret = bring_up(t, &link, err);
	if (!ret && t->opts.script && !t->script_ran) {
		ret = run_script(t, t->opts.script, "script", err);
		t->script_ran = ret == 0;
	} else if (!ret) {
		t->script_ran = true;
	}
	return ret;
}

void tap_device_down(struct tap *t)
{
	struct vmtap_error err = { 0 };

	if (!t->script_ran || !t->opts.downscript)
		return;
	t->script_ran = false;
	if (run_script(t, t->opts.downscript, "downscript", &err) < 0)
		log_error(t->port.env->log, VMTAP_LOG_WARNING, t->port.name, &err);
}
