/* SPDX-License-Identifier: MIT */
/* Why a step with a macvtap failed, in words that say what to do. */
#include <errno.h>
#include <linux/if_link.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/error.h"
#include "port/tap/macvtap-int.h"

#define CREATE "create the interface"

const char *macvtap_mode_name(unsigned mode)
{
	switch (mode) {
	case MACVLAN_MODE_PRIVATE:
		return "private";
	case MACVLAN_MODE_VEPA:
		return "vepa";
	case MACVLAN_MODE_BRIDGE:
		return "bridge";
	case MACVLAN_MODE_PASSTHRU:
		return "passthru";
	case MACVLAN_MODE_SOURCE:
		return "source";
	default:
		return "unknown";
	}
}

/* ---------------------------------------------------------------------- creating */

static int taken(int ret, const char *object, const struct nl_link *parent, struct vmtap_error *err)
{
	char master[IFNAMSIZ];

	nl_link_name(parent->master, master);
	if (master[0]) {
		error_set(err, -ret, object, CREATE,
			  "%s is a port of %s, and the kernel gives its frames to one of the two",
			  parent->name, master);
		error_remedy(err,
			     "use a TAP on the bridge (tap,br=%s), or another parent=, or take it "
			     "off: ip link set %s nomaster",
			     master, parent->name);
		return ret;
	}
	error_set(err, -ret, object, CREATE, "something else takes the frames of %s already",
		  parent->name);
	error_remedy(err,
		     "choose another parent=; ip -d link shows what is on it (a bridge, a bond, "
		     "ipvlan, Open vSwitch)");
	return ret;
}

/* The first macvlan or macvtap on an interface. */
struct sibling {
	int parent;
	struct nl_link link;
};

static int is_sibling(void *ctx, const struct nl_link *link)
{
	struct sibling *s = ctx;

	if (link->parent != s->parent ||
	    (strcmp(link->kind, "macvtap") != 0 && strcmp(link->kind, "macvlan") != 0))
		return 0;
	s->link = *link;
	return 1;
}

/* One in mode passthru is always alone. Return: 0 when there is no such conflict. */
static int alone(const char *object, const struct nl_link *parent, unsigned mode,
		 struct vmtap_error *err)
{
	struct sibling s = { .parent = parent->index };

	if (nl_link_each(is_sibling, &s) != 1)
		return 0;
	if (s.link.macvlan_mode == MACVLAN_MODE_PASSTHRU)
		error_set(err, EMEDIUMTYPE, object, CREATE,
			  "%s has %s in mode passthru, and that has it for itself", parent->name,
			  s.link.name);
	else if (mode == MACVLAN_MODE_PASSTHRU)
		error_set(err, EMEDIUMTYPE, object, CREATE,
			  "mode=passthru wants %s for itself, and %s is on it already",
			  parent->name, s.link.name);
	else
		return 0;
	error_remedy(err, "choose another parent=, or remove %s: ip link del %s", s.link.name,
		     s.link.name);
	return -EMEDIUMTYPE;
}

static int unfit(const char *object, const struct nl_link *parent, struct vmtap_error *err)
{
	error_set(err, EMEDIUMTYPE, object, CREATE, "%s %s", parent->name,
		  parent->flags & IFF_LOOPBACK ? "is the loopback interface"
					       : "cannot carry a macvtap");
	error_remedy(err, "choose an Ethernet interface as parent=");
	return -EMEDIUMTYPE;
}

static int not_allowed(const char *object, const struct nl_link *parent, struct vmtap_error *err)
{
	error_set(err, EPERM, object, CREATE, "that needs the capability CAP_NET_ADMIN");
	error_remedy(err,
		     "run as root, or attach to one that root made for you: ip link add link %s "
		     "name vm0 type macvtap mode bridge && ip link set vm0 up && chown %u "
		     "/dev/tap$(cat /sys/class/net/vm0/ifindex)",
		     parent->name, geteuid());
	return -EPERM;
}

int macvtap_explain_new(int ret, const char *object, const struct nl_link *parent, unsigned mode,
			struct vmtap_error *err)
{
	switch (-ret) {
	case EPERM:
		return not_allowed(object, parent, err);
	case EBUSY:
		return taken(ret, object, parent, err);
	case EINVAL:
		ret = alone(object, parent, mode, err);
		return ret ? ret : unfit(object, parent, err);
	case EOPNOTSUPP:
		error_set(err, -ret, object, CREATE, "this kernel has no macvtap");
		error_remedy(err, "load the driver: modprobe macvtap");
		return ret;
	case EEXIST:
		error_set(err, -ret, object, CREATE, "the name is taken");
		error_remedy(err, "choose another ifname=");
		return ret;
	case ENFILE:
		error_set(err, -ret, object, CREATE, "every name of the pattern is taken");
		error_remedy(err, "choose another ifname=");
		return ret;
	default:
		return error_errno(err, -ret, object, CREATE);
	}
}

int macvtap_explain_check(const char *object, const struct nl_link *parent, unsigned mode,
			  struct vmtap_error *err)
{
	if (nl_may_change() == -EPERM)
		return not_allowed(object, parent, err);
	if (parent->master)
		return taken(-EBUSY, object, parent, err);
	if (parent->flags & IFF_LOOPBACK)
		return unfit(object, parent, err);
	return alone(object, parent, mode, err);
}

/* ------------------------------------------------------------------------ opening */

int macvtap_explain_device(int ret, const char *object, struct vmtap_error *err)
{
	const char *action = "find its device";

	if (ret == -ENXIO) {
		error_set(err, ENXIO, object, action,
			  "/sys shows another network namespace, and mounting another one is not "
			  "allowed");
		error_remedy(err,
			     "run as root, or mount a sysfs of this network namespace on /sys");
		return ret;
	}
	error_errno(err, -ret, object, action);
	error_remedy(err,
		     "the file macvtap/tapN/dev of the interface in /sys/class/net says it: is "
		     "/sys mounted?");
	return ret;
}

int macvtap_explain_open(int ret, const char *object, const struct nl_link *link, dev_t dev,
			 struct vmtap_error *err)
{
	char path[32], action[64];

	snprintf(path, sizeof(path), "/dev/tap%d", link->index);
	snprintf(action, sizeof(action), "open its device %s", path);
	error_errno(err, -ret, object, action);
	switch (-ret) {
	case EACCES:
	case EPERM:
		error_set(err, -ret, object, action, "user %u may not (%s)", geteuid(),
			  strerror(-ret));
		error_remedy(err,
			     "run as root, or have it given to you: chown %u %s, or for good by a "
			     "udev rule: SUBSYSTEM==\"macvtap\", OWNER=\"%u\"",
			     geteuid(), path, geteuid());
		break;
	case ENOTUNIQ:
		error_set(err, -ret, object, action,
			  "it is another network namespace's: the same index, another device");
		error_remedy(
			err,
			"run as root (with CAP_SYS_ADMIN and CAP_MKNOD vmtap helps itself), or "
			"choose another index: ip link add index N link PARENT type macvtap");
		break;
	case ENOENT:
		error_set(err, -ret, object, action, "the file is not there");
		error_remedy(err, "run as root, or have it made: mknod -m 600 %s c %u %u", path,
			     major(dev), minor(dev));
		break;
	case EBUSY:
		error_set(err, -ret, object, action, "the driver has no more queues for it");
		error_remedy(err, "use fewer queues=, or end the processes that hold the others");
		break;
	default:
		break;
	}
	return ret;
}

/* -------------------------------------------------------------------- its settings */

int macvtap_explain_setting(int ret, const struct nl_link *parent, unsigned mtu,
			    struct vmtap_error *err)
{
	char object[80], action[112];

	if (ret == -EINVAL && mtu > parent->mtu)
		ret = -EMEDIUMTYPE;
	if (!err)
		return ret;
	memcpy(object, err->object, sizeof(object));
	memcpy(action, err->action, sizeof(action));
	if (ret == -EADDRINUSE) {
		error_set(err, EADDRINUSE, object, action,
			  "its address is that of %s itself or of another macvtap on it",
			  parent->name);
		error_remedy(err, "choose another mac=");
	} else if (ret == -EMEDIUMTYPE) {
		error_set(err, EMEDIUMTYPE, object, action,
			  "mtu=%u is more than the %u of %s, which carries its frames", mtu,
			  parent->mtu, parent->name);
		error_remedy(err, "use mtu=%u, or raise the other: ip link set %s mtu %u",
			     parent->mtu, parent->name, mtu);
	}
	return ret;
}
