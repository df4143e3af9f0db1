/* SPDX-License-Identifier: MIT */
/* Making a TAP and putting it on a bridge. */
#include "helper/tap.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "tapdev/bridge.h"
#include "tapdev/owner.h"
#include "tapdev/tun.h"

/* "tap0" or "bridge br0" @code happened to while @action was done; the usual remedies. */
static int fail(int ret, const char *kind, const char *name, const char *action,
		const struct privilege *p, struct vmtap_error *err)
{
	char object[32];

	snprintf(object, sizeof(object), "%s %s", kind, name);
	error_errno(err, -ret, object, action);
	switch (-ret) {
	case EPERM:
		privilege_remedy(p, err);
		break;
	case EXFULL:
		error_remedy(err,
			     "a bridge has at most 1023 ports: remove TAPs that nobody uses "
			     "(ip link show master %s)",
			     name);
		break;
	case EMFILE:
	case ENFILE:
		error_remedy(err, "raise the limit of open files (ulimit -n)");
		break;
	default:
		break;
	}
	return ret;
}

/* ---------------------------------------------------------------------- bridge */

static int no_bridge(const char *name, struct vmtap_error *err)
{
	char object[32];

	snprintf(object, sizeof(object), "bridge %s", name);
	error_set(err, ENODEV, object, "put a TAP on it", "there is no such interface");
	error_remedy(err, "create it: ip link add %s type bridge && ip link set %s up", name, name);
	return -ENODEV;
}

/* The list speaks of names, so nothing may be reached under another one. */
static int check_name(int sock, int ifindex, const char *name, struct vmtap_error *err)
{
	char object[32], real[IFNAMSIZ] = "";
	int ret = netif_name(sock, ifindex, real);

	snprintf(object, sizeof(object), "bridge %s", name);
	if (ret < 0)
		return error_errno(err, -ret, object, "look at it");
	if (strcmp(name, real) != 0) {
		error_set(err, EINVAL, object, "put a TAP on it",
			  "that is an alternative name of %s, and access goes by the first name",
			  real);
		error_remedy(err, "use --br=%s", real);
		return -EINVAL;
	}
	if (!bridge_is(sock, name)) {
		error_set(err, EOPNOTSUPP, object, "put a TAP on it",
			  "that interface is not a bridge of the kernel's");
		error_remedy(err, "name a bridge; those of the host: ip link show type bridge");
		return -EOPNOTSUPP;
	}
	return 0;
}

int bridge_find(struct bridge *br, const char *name, const struct privilege *p,
		struct vmtap_error *err)
{
	int ifindex, ret;

	*br = (struct bridge) { .name = name,
				.sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0) };
	if (br->sock < 0)
		return error_errno(err, errno, "", "open a socket");
	ifindex = netif_index(br->sock, name);
	if (ifindex == -ENODEV)
		return no_bridge(name, err);
	if (ifindex < 0)
		return fail(ifindex, "bridge", name, "look at it", p, err);
	ret = check_name(br->sock, ifindex, name, err);
	if (ret < 0)
		return ret;
	br->mtu = netif_mtu(br->sock, name);
	return br->mtu < 0 ? fail(br->mtu, "bridge", name, "read its MTU", p, err) : 0;
}

/* ------------------------------------------------------------------------- TAP */

static int open_device(const struct privilege *p, struct vmtap_error *err)
{
	int fd = tun_open();

	if (fd >= 0)
		return fd;
	fail(fd, "the device", TUN_PATH, "open it", p, err);
	if (fd == -ENOENT || fd == -ENODEV || fd == -ENXIO)
		error_remedy(err, "load the driver (modprobe tun); a container has to be given the "
				  "device");
	else if (fd == -EACCES || fd == -EPERM)
		error_remedy(err, "as root: chmod 666 " TUN_PATH ", its usual mode");
	return fd;
}

static int name_taken(const char *ifname, struct vmtap_error *err)
{
	char object[32];

	snprintf(object, sizeof(object), "tap %s", ifname);
	error_set(err, EEXIST, object, "create it", "an interface of that name exists");
	error_remedy(err, "choose another --ifname=, or remove that one");
	return -EEXIST;
}

int tap_check_privilege(const struct privilege *p, struct vmtap_error *err)
{
	if (p->net_admin)
		return 0;
	error_set(err, EPERM, "", "create a TAP", "the capability CAP_NET_ADMIN is missing");
	privilege_remedy(p, err);
	return -EPERM;
}

int tap_check_device(const struct privilege *p, struct vmtap_error *err)
{
	cleanup_fd int fd = open_device(p, err);

	return fd < 0 ? fd : 0;
}

int tap_check_name(const struct bridge *br, const char *ifname, struct vmtap_error *err)
{
	return netif_index(br->sock, ifname) >= 0 ? name_taken(ifname, err) : 0;
}

/* A queue; the first one creates the device. Blocking, as QEMU's helper hands them over. */
static int add_queue(struct tap *t, const struct args *a, const struct privilege *p,
		     struct vmtap_error *err)
{
	cleanup_fd int fd = open_device(p, err);
	struct tun_request req = { .ifname = t->cnt ? t->ifname : NULL,
				   .multi_queue = a->queues > 1 };
	char ifname[IFNAMSIZ];
	int ret, flags;

	if (fd < 0)
		return fd;
	req.vnet_hdr = a->use_vnet && tun_has_vnet_hdr(fd);
	ret = tun_attach(fd, &req, ifname);
	if (ret < 0)
		return fail(ret, "tap", t->cnt ? t->ifname : "tap%d",
			    t->cnt ? "add a queue" : "create it", p, err);
	flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) < 0)
		return fail(-errno, "tap", ifname, "make it blocking", p, err);
	memcpy(t->ifname, ifname, IFNAMSIZ);
	t->fds[t->cnt++] = fd_steal(&fd);
	return 0;
}

/* The kernel numbers it first and the name comes after: asking for the name at once would attach to
 * a TAP that has it. */
static int create(struct tap *t, int sock, const struct args *a, const struct privilege *p,
		  struct vmtap_error *err)
{
	int ret = add_queue(t, a, p, err);

	if (!ret && a->ifname) {
		ret = netif_rename(sock, t->ifname, a->ifname);
		if (ret == -EEXIST)
			return name_taken(a->ifname, err);
		if (ret < 0)
			return fail(ret, "tap", t->ifname, "rename it", p, err);
		snprintf(t->ifname, sizeof(t->ifname), "%s", a->ifname);
	}
	while (!ret && t->cnt < a->queues)
		ret = add_queue(t, a, p, err);
	return ret;
}

/* A bridge takes the lowest address of its ports for its own: 0xfe keeps ours from being that. */
static int set_address(const struct tap *t, int sock, const struct args *a)
{
	uint8_t mac[6];
	int ret = 0;

	if (a->mac_text[0]) {
		memcpy(mac, a->mac, sizeof(mac));
	} else {
		ret = netif_mac(sock, t->ifname, mac);
		mac[0] = 0xfe;
	}
	return ret < 0 ? ret : netif_set_mac(sock, t->ifname, mac);
}

/* The caller's, who gets it; for those who wonder later whose it is. It works without, too. */
static void tag(const struct tap *t)
{
	char text[OWNER_TAG_MAX];

	owner_tag(text, getppid());
	netif_set_alias(t->ifindex, text);
}

int tap_make(struct tap *t, const struct bridge *br, const struct args *a,
	     const struct privilege *p, struct vmtap_error *err)
{
	int ret = tap_check_privilege(p, err);

	t->cnt = 0;
	if (!ret)
		ret = create(t, br->sock, a, p, err);
	if (ret < 0)
		return ret;
	t->ifindex = netif_index(br->sock, t->ifname);
	if (t->ifindex < 0)
		return fail(t->ifindex, "tap", t->ifname, "look at it", p, err);
	tag(t);
	ret = netif_set_mtu(br->sock, t->ifname, br->mtu);
	if (ret < 0)
		return fail(ret, "tap", t->ifname, "give it the bridge's MTU", p, err);
	ret = set_address(t, br->sock, a);
	if (ret < 0)
		return fail(ret, "tap", t->ifname, "set its address", p, err);
	ret = bridge_add(br->sock, br->name, t->ifindex);
	if (ret < 0)
		return fail(ret, "bridge", br->name, "put a TAP on it", p, err);
	ret = netif_set_up(br->sock, t->ifname);
	return ret < 0 ? fail(ret, "tap", t->ifname, "bring it up", p, err) : 0;
}
