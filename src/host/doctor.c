/* SPDX-License-Identifier: MIT */
/* The doctor: the table of checks and the walk over it. */
#include "host/doctor.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "host/checks.h"
#include "tapdev/explain.h"

/* What a check looks at. A target is a set of these. */
enum subject {
	HOST = 0x1,
	TUN = 0x2, /* what every TAP needs */
	NAME = 0x4,
	TAP = 0x8,
	MACVTAP = 0x10,
	MANAGER = 0x20,
	HELPER = 0x40,
	BRIDGE = 0x80, /* once for each bridge that is concerned */
	SOCKET = 0x100,
	VMM = 0x200,
	VHOST = 0x400,
};

/* In the order in which one thing hinders the next. @fine: what is said of an object of which
 * there is nothing else to say. */
static const struct check {
	const char *name;
	enum subject subject;
	void (*run)(struct doctor *d);
	const char *fine;
} checks[] = {
	{ "name", NAME, check_name, "an interface can have that name" },

	{ "tun-device", TUN, check_tun_device, "the driver and its device are there" },
	{ "tun-access", TUN, check_tun_access, "you may open it" },
	{ "vhost-net", VHOST, check_vhost_net, "you may open it" },
	{ "vhost-descriptor", VHOST, check_vhost_fds, "it is one of /dev/vhost-net" },
	{ "io-uring", HOST, check_io_uring, "you may use it" },
	{ "user-namespaces", HOST, check_userns, "ordinary users may make them" },
	{ "leaked-taps", HOST, check_leaked_taps, "none was left behind" },

	{ "tap-kind", TAP, check_tap_kind, "it is a TAP" },
	{ "tap-create", TAP, check_tap_create, "you may make it" },
	{ "tap-owner", TAP, check_tap_owner, "you may attach to it" },
	{ "tap-queues", TAP, check_tap_queues, "it has queues as asked for" },
	{ "tap-busy", TAP, check_tap_busy, "nobody else has it open" },
	{ "tap-up", TAP, check_tap_up, "it is up, or will be" },
	{ "tap-bridge", TAP, check_tap_bridge, "it is on the bridge, or will be" },

	{ "macvtap-parent", MACVTAP, check_macvtap_parent, "it can carry a macvtap" },
	{ "macvtap-device", MACVTAP, check_macvtap_device, "you may open its device" },
	{ "macvtap-host", MACVTAP, check_macvtap_host, "the host has an interface beside it" },

	{ "network-manager", MANAGER, check_network_manager, "NetworkManager leaves it alone" },
	{ "networkd", MANAGER, check_networkd, "systemd-networkd leaves it alone" },

	{ "helper-found", HELPER, check_helper_found, "it is installed" },
	{ "helper-access", HELPER, check_helper_access, "you may run it" },
	{ "helper-owner", HELPER, check_helper_owner, "nobody but root can change it" },
	{ "helper-privilege", HELPER, check_helper_privilege, "it has the privilege it needs" },
	{ "helper-nosuid", HELPER, check_helper_nosuid, "its file system grants privilege" },
	{ "helper-confined", HELPER, check_helper_confined, "this process lets it have privilege" },
	{ "access-list", HELPER, check_acl_file, "it can be read and has no mistake" },
	{ "access-rule", HELPER, check_acl_rule, "the access list allows it" },

	{ "bridge-exists", BRIDGE, check_bridge_exists, "it is a bridge" },
	{ "bridge-up", BRIDGE, check_bridge_up, "it is up" },
	{ "bridge-uplink", BRIDGE, check_bridge_uplink, "it has a way out" },
	{ "bridge-stp", BRIDGE, check_bridge_stp, "its ports forward frames" },
	{ "bridge-full", BRIDGE, check_bridge_full, "it has room for more ports" },
	{ "mtu", BRIDGE, check_bridge_mtu, "its ports agree on the MTU" },
	{ "bridge-netfilter", BRIDGE, check_bridge_netfilter, "no firewall drops its frames" },
	{ "multicast-querier", BRIDGE, check_bridge_querier, "multicast reaches who wants it" },

	{ "socket-path", SOCKET, check_socket_path, "it can be used" },
	{ "shared-memory", VMM, check_shared_memory, "the guest's memory is shared" },
};

static const unsigned subjects[] = {
	[DOCTOR_HOST] = TUN | VHOST | HOST | HELPER,
	[DOCTOR_BRIDGE] = NAME | TUN | VHOST | HOST | HELPER | BRIDGE,
	[DOCTOR_TAP] = NAME | TUN | VHOST | HOST | TAP | MANAGER | BRIDGE,
	[DOCTOR_TAP_FD] = VHOST | HOST,
	[DOCTOR_HELPER] = NAME | TUN | VHOST | HOST | TAP | MANAGER | HELPER | BRIDGE,
	[DOCTOR_MACVTAP] = NAME | HOST | MACVTAP | MANAGER,
	[DOCTOR_VHOST_USER] = HOST | SOCKET | VMM,
	[DOCTOR_SOCKET] = HOST | SOCKET,
	[DOCTOR_VMM] = VMM,
};

/* ------------------------------------------------------------------ interfaces */

static int collect(void *ctx, const struct nl_link *link)
{
	struct doctor *d = ctx;

	if (d->link_cnt == d->link_size) {
		unsigned size = d->link_size ? 2 * d->link_size : 16;
		struct nl_link *links = realloc(d->links, size * sizeof(*links));

		if (!links)
			return -ENOMEM;
		d->links = links;
		d->link_size = size;
	}
	d->links[d->link_cnt++] = *link;
	return 0;
}

const struct nl_link *link_named(const struct doctor *d, const char *name)
{
	for (unsigned i = 0; i < d->link_cnt; i++)
		if (strcmp(d->links[i].name, name) == 0)
			return &d->links[i];
	return NULL;
}

const struct nl_link *link_indexed(const struct doctor *d, int index)
{
	for (unsigned i = 0; i < d->link_cnt; i++)
		if (d->links[i].index == index)
			return &d->links[i];
	return NULL;
}

bool link_is_tap(const struct nl_link *link)
{
	return strcmp(link->kind, "tun") == 0 && link->tun.tap;
}

bool link_is_guest(const struct nl_link *link)
{
	return link_is_tap(link) || strcmp(link->kind, "macvtap") == 0;
}

bool link_is_bridge(const struct nl_link *link)
{
	return strcmp(link->kind, "bridge") == 0;
}

/* ---------------------------------------------------------------------- target */

enum doctor_kind doctor_kind_of(const char *ifname)
{
	struct nl_link link;

	if (nl_link_get(ifname, &link) == 0) {
		if (link_is_tap(&link))
			return DOCTOR_TAP;
		if (strcmp(link.kind, "macvtap") == 0)
			return DOCTOR_MACVTAP;
	}
	return DOCTOR_BRIDGE;
}

bool doctor_exists(const char *ifname)
{
	struct nl_link link;

	return nl_link_get(ifname, &link) == 0;
}

static void set_bridge(struct doctor *d, const char *name)
{
	snprintf(d->bridge_name, sizeof(d->bridge_name), "%s", name);
	d->bridge = name[0] ? link_named(d, name) : NULL;
	if (d->bridge && !link_is_bridge(d->bridge))
		d->bridge = NULL;
}

/* Names that can be none are left out here; check_name() tells of them. */
static void find_target(struct doctor *d)
{
	const struct doctor_target *t = d->target;
	const struct nl_link *master = NULL;

	if (t->ifname && ifname_check(t->ifname, false, NULL) == 0) {
		snprintf(d->tap_name, sizeof(d->tap_name), "%s", t->ifname);
		d->tap = link_named(d, d->tap_name);
	}
	if (d->tap && d->tap->master)
		master = link_indexed(d, d->tap->master);
	if (t->br && ifname_check(t->br, false, NULL) == 0)
		set_bridge(d, t->br);
	else if (!t->br && master && link_is_bridge(master))
		set_bridge(d, master->name);
}

/* ------------------------------------------------------------------------ walk */

static void run_checks(struct doctor *d, unsigned wanted)
{
	for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
		if (!(checks[i].subject & wanted))
			continue;
		check_begin(d, checks[i].name, checks[i].fine);
		checks[i].run(d);
		check_end(d);
	}
}

static bool has_guests(const struct doctor *d, const struct nl_link *bridge)
{
	for (unsigned i = 0; i < d->link_cnt; i++)
		if (d->links[i].master == bridge->index && link_is_guest(&d->links[i]))
			return true;
	return false;
}

/* On a host, the bridges that guests are on. */
static void run_bridges(struct doctor *d)
{
	for (unsigned i = 0; i < d->link_cnt; i++) {
		if (!link_is_bridge(&d->links[i]) || !has_guests(d, &d->links[i]))
			continue;
		set_bridge(d, d->links[i].name);
		run_checks(d, BRIDGE);
	}
}

static int load_vmm(struct doctor *d, struct vmtap_error *err)
{
	const struct doctor_target *t = d->target;
	char object[40] = "command line";
	int ret;

	if (t->kind != DOCTOR_VMM)
		return 0;
	if (!t->cmdline)
		snprintf(object, sizeof(object), "process %d", t->pid);
	ret = t->cmdline ? vmm_of_text(t->cmdline, &d->vmm) : vmm_of_pid(t->pid, &d->vmm);
	if (ret == -ENOENT)
		ret = error_set(err, ESRCH, object, "read its command line", "there is none");
	else if (ret == -EINVAL)
		error_set(err, EINVAL, object, "take it apart",
			  "a quote does not end, or it has "
			  "more than %d words",
			  VMM_WORDS_MAX);
	else if (ret < 0)
		error_errno(err, -ret, object, "read its command line");
	else if (!d->vmm.kind)
		ret = error_set(err, EINVAL, object, "look at its memory",
				"it is no VMM that vmtap knows (QEMU, cloud-hypervisor, crosvm)");
	return ret;
}

static int load_links(struct doctor *d, struct vmtap_error *err)
{
	int ret = nl_link_each(collect, d);

	return ret < 0 ? error_errno(err, -ret, "host", "list the interfaces") : 0;
}

int doctor_run(const struct doctor_target *target, doctor_found *found, void *opaque,
	       struct vmtap_error *err)
{
	struct doctor *d = calloc(1, sizeof(*d));
	int ret;

	if (!d)
		return error_errno(err, ENOMEM, "doctor", "begin");
	d->target = target;
	d->found = found;
	d->opaque = opaque;
	d->admin = nl_may_change() == 0;
	ret = load_vmm(d, err);
	if (!ret)
		ret = load_links(d, err);
	if (ret < 0)
		goto out;
	find_target(d);
	run_checks(d, subjects[target->kind]);
	if (target->kind == DOCTOR_HOST)
		run_bridges(d);
	ret = (int)d->worst;
out:
	free(d->links);
	free(d);
	return ret;
}
