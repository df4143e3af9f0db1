/* SPDX-License-Identifier: MIT */
/* Why a step with a TAP failed, in words that say what to do. */
#include "tapdev/explain.h"

#include <ctype.h>
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/error.h"
#include "tapdev/netlink.h"
#include "tapdev/owner.h"

#define ATTACH "attach to the device"
#define QUEUES_MAX 256 /* MAX_TAP_QUEUES of the tun driver */

/* As dev_valid_name() of the kernel, and "%d" at most once. */
int ifname_check(const char *ifname, bool pattern, struct vmtap_error *err)
{
	const char *percent = strchr(ifname, '%');
	size_t len = strlen(ifname);
	int ret = 0;

	if (!len)
		ret = error_set(err, EINVAL, "tap", "use ifname=", "the name is empty");
	else if (len >= IFNAMSIZ)
		ret = error_set(err, ENAMETOOLONG, "tap", "use ifname=",
				"\"%.40s\" has %zu characters and an interface name at most %d",
				ifname, len, IFNAMSIZ - 1);
	else if (strcmp(ifname, ".") == 0 || strcmp(ifname, "..") == 0)
		ret = error_set(err, EINVAL, "tap", "use ifname=", "\"%s\" is no name", ifname);
	else if (percent && (!pattern || percent[1] != 'd' || strchr(percent + 1, '%')))
		ret = error_set(err, EINVAL, "tap", "use ifname=",
				"\"%s\": a %% stands only in one %%d, which the kernel numbers",
				ifname);
	for (const char *c = ifname; !ret && *c; c++)
		if (*c == '/' || *c == ':' || isspace((unsigned char)*c) ||
		    iscntrl((unsigned char)*c))
			ret = error_set(err, EINVAL, "tap", "use ifname=",
					"an interface name has no '/', ':' or white space");
	if (ret)
		error_remedy(err, "choose a name of 1 to %d letters, digits, '-', '_' or '.'",
			     IFNAMSIZ - 1);
	return ret;
}

int explain_open(int ret, const char *object, struct vmtap_error *err)
{
	error_errno(err, -ret, object, "open " TUN_PATH);
	switch (-ret) {
	case ENOENT:
	case ENODEV:
	case ENXIO:
		error_remedy(err,
			     "load the driver: modprobe tun; in a container, pass the device in "
			     "(--device " TUN_PATH ")");
		break;
	case EACCES:
	case EPERM:
		error_remedy(err, "run as root, have an administrator allow it (chmod 666 " TUN_PATH
				  " is the usual mode), or pass an open TAP with fd=");
		break;
	default:
		break;
	}
	return ret;
}

/* "user vm" or, of somebody without a name, "user 4711". */
static void who_text(char buf[64], const char *what, const char *name, int64_t id)
{
	if (name)
		snprintf(buf, 64, "%s %s", what, name);
	else
		snprintf(buf, 64, "%s %lld", what, (long long)id);
}

static void owner_text(const struct nl_link *link, char *buf, size_t size)
{
	struct passwd *pw = link->tun.owner >= 0 ? getpwuid((uid_t)link->tun.owner) : NULL;
	struct group *gr = link->tun.group >= 0 ? getgrgid((gid_t)link->tun.group) : NULL;
	char user[64] = "", group[64] = "";

	if (link->tun.owner >= 0)
		who_text(user, "user", pw ? pw->pw_name : NULL, link->tun.owner);
	if (link->tun.group >= 0)
		who_text(group, "group", gr ? gr->gr_name : NULL, link->tun.group);
	snprintf(buf, size, "%s%s%s", user, user[0] && group[0] ? " and " : "", group);
	if (!buf[0])
		snprintf(buf, size, "the administrator only");
}

/* As tun_not_capable() of the kernel. */
static bool may_attach(const struct nl_link *link)
{
	bool mine = (link->tun.owner < 0 || (uid_t)link->tun.owner == geteuid()) &&
		    (link->tun.group < 0 || (gid_t)link->tun.group == getegid() ||
		     group_member((gid_t)link->tun.group));

	return mine || nl_may_change() == 0;
}

/* What is wrong with the host is told from what is wrong with the description, EINVAL, by its number. */
static int mismatch(const char *object, const struct tun_request *req, const struct nl_link *link,
		    struct vmtap_error *err)
{
	if (strcmp(link->kind, "tun") != 0) {
		error_set(err, EMEDIUMTYPE, object, ATTACH,
			  "the interface %s exists and is no TAP%s%s%s", req->ifname,
			  link->kind[0] ? " but of kind \"" : "", link->kind,
			  link->kind[0] ? "\"" : "");
		error_remedy(err, "choose another ifname=");
		return -EMEDIUMTYPE;
	}
	if (!link->tun.tap) {
		error_set(err, EMEDIUMTYPE, object, ATTACH,
			  "%s is a TUN device (layer 3), and a TAP (layer 2) is needed",
			  req->ifname);
		error_remedy(err, "choose another ifname=");
		return -EMEDIUMTYPE;
	}
	if (link->tun.multi_queue && !req->multi_queue) {
		error_set(err, EMEDIUMTYPE, object, ATTACH,
			  "it is a multi-queue device and queues=1 was asked for");
		error_remedy(err, "use queues=2 or more, or recreate it without multi_queue");
		return -EMEDIUMTYPE;
	}
	if (!link->tun.multi_queue && req->multi_queue) {
		error_set(err, EMEDIUMTYPE, object, ATTACH,
			  "it is a single-queue device and several queues were asked for");
		error_remedy(err,
			     "use queues=1, or recreate it: ip tuntap add %s mode tap multi_queue",
			     req->ifname);
		return -EMEDIUMTYPE;
	}
	return 0;
}

/* A multi-queue device may be shared, but those who have it decide whether frames carry a header. */
static bool is_busy(const struct tun_request *req, const struct nl_link *link)
{
	return req->multi_queue ? link->tun.queues && link->tun.vnet_hdr != req->vnet_hdr
				: link->carrier;
}

/* What of the existing device stands in the way, if anything does? @ret: what the kernel said, or 0. */
static int existing(int ret, const char *object, const struct tun_request *req,
		    const struct nl_link *link, struct vmtap_error *err)
{
	char who[128];
	int why = mismatch(object, req, link, err), holder;

	if (why)
		return why;
	if (ret == -EPERM || (!ret && !may_attach(link))) {
		owner_text(link, who, sizeof(who));
		error_set(err, EPERM, object, ATTACH, "it may be used by %s, and you are user %u",
			  who, geteuid());
		error_remedy(err,
			     "run as root, or have it owned by you: ip tuntap del %s mode tap && "
			     "ip tuntap add %s mode tap user %u",
			     req->ifname, req->ifname, geteuid());
		return -EPERM;
	}
	if (ret == -EBUSY || (!ret && is_busy(req, link))) {
		holder = owner_find_holder(req->ifname, who);
		if (!holder)
			error_set(err, EBUSY, object, ATTACH,
				  "another process has the device open");
		else if (holder == getpid())
			error_set(err, EBUSY, object, ATTACH, "another port has the device open");
		else
			error_set(err, EBUSY, object, ATTACH, "process %d (%s) has the device open",
				  holder, who);
		if (req->multi_queue)
			error_remedy(err,
				     "its queues have %s virtio-net header: take vnet_hdr=%s, end "
				     "that process, or choose another ifname=",
				     req->vnet_hdr ? "no" : "a", req->vnet_hdr ? "off" : "on");
		else
			error_remedy(err, "end that process, or choose another ifname=");
		return -EBUSY;
	}
	if (ret == -E2BIG) {
		error_set(err, E2BIG, object, ATTACH,
			  "it has %u queues open and the driver's limit is %d",
			  link->tun.queues + link->tun.detached_queues, QUEUES_MAX);
		error_remedy(err, "use fewer queues=, or end the processes that hold the others");
		return ret;
	}
	return ret ? error_errno(err, -ret, object, ATTACH) : 0;
}

static int may_not_create(const char *object, const struct tun_request *req,
			  struct vmtap_error *err)
{
	error_set(err, EPERM, object, "create the device",
		  "that needs the capability CAP_NET_ADMIN");
	error_remedy(err,
		     "run as root, or attach to a TAP that root made for you: "
		     "ip tuntap add %s mode tap user %u",
		     req->ifname && !strchr(req->ifname, '%') ? req->ifname : "vm0", geteuid());
	return -EPERM;
}

int explain_attach(int ret, const char *object, const struct tun_request *req,
		   struct vmtap_error *err)
{
	struct nl_link link;

	if (req->ifname && nl_link_get(req->ifname, &link) == 0) {
		int why = existing(ret, object, req, &link, err);

		return why ? why : ret;
	}
	if (ret == -EPERM)
		return may_not_create(object, req, err);
	if (ret == -ENFILE) {
		error_set(err, ENFILE, object, "create the device",
			  "every name of the pattern is taken");
		error_remedy(err, "choose another ifname=");
		return -ENFILE;
	}
	return error_errno(err, -ret, object, "create the device");
}

int explain_existing(const char *object, const struct tun_request *req, struct vmtap_error *err)
{
	struct nl_link link;

	if (req->ifname && nl_link_get(req->ifname, &link) == 0)
		return existing(0, object, req, &link, err);
	return nl_may_change() == -EPERM ? may_not_create(object, req, err) : 0;
}
