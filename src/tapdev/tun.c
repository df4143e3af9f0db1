/* SPDX-License-Identifier: MIT */
/* What the tun driver offers: one ioctl a function, no policy, no texts. */
#include "tapdev/tun.h"

#include <errno.h>
#include <limits.h>
#include <linux/if_tun.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "base/fd.h"
#include "vmtap/vmtap.h"

#ifndef TUN_F_USO4 /* Linux 6.2 */
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

static int tun_ioctl(int fd, unsigned long request, void *arg)
{
	return ioctl(fd, request, arg) < 0 ? -errno : 0;
}

int tun_open(void)
{
	int fd = open(TUN_PATH, O_RDWR | O_NONBLOCK | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

/* Where others hold queues of the device, their mode stays and ours is passed over in silence (see
 * tun_set_iff() of the kernel); frames with and without a header would then be taken for each other. */
static int check_header(int fd, bool vnet_hdr)
{
	struct ifreq ifr = { 0 };
	int ret = tun_ioctl(fd, TUNGETIFF, &ifr);

	if (ret < 0)
		return ret;
	return !!(ifr.ifr_flags & IFF_VNET_HDR) == vnet_hdr ? 0 : -EBUSY;
}

int tun_attach(int fd, const struct tun_request *req, char ifname[IFNAMSIZ])
{
	struct ifreq ifr = { 0 };
	int flags = IFF_TAP | IFF_NO_PI, ret;

	if (req->vnet_hdr)
		flags |= IFF_VNET_HDR;
	if (req->multi_queue)
		flags |= IFF_MULTI_QUEUE;
	ifr.ifr_flags = (short)flags;
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", req->ifname ? req->ifname : "tap%d");
	ret = tun_ioctl(fd, TUNSETIFF, &ifr);
	if (ret < 0)
		return ret;
	memcpy(ifname, ifr.ifr_name, IFNAMSIZ);
	ifname[IFNAMSIZ - 1] = '\0';
	return req->multi_queue ? check_header(fd, req->vnet_hdr) : 0;
}

bool tun_has_vnet_hdr(int fd)
{
	unsigned features = 0;

	return tun_ioctl(fd, TUNGETFEATURES, &features) == 0 && (features & IFF_VNET_HDR);
}

int tun_get_flags(int fd, unsigned *flags, char ifname[IFNAMSIZ])
{
	struct ifreq ifr = { 0 };
	int ret = tun_ioctl(fd, TUNGETIFF, &ifr);

	if (ret < 0)
		return ret;
	*flags = (unsigned short)ifr.ifr_flags;
	memcpy(ifname, ifr.ifr_name, IFNAMSIZ);
	ifname[IFNAMSIZ - 1] = '\0';
	return 0;
}

int tun_get_mac(int fd, uint8_t mac[6])
{
	struct ifreq ifr = { 0 };
	int ret = tun_ioctl(fd, SIOCGIFHWADDR, &ifr);

	memcpy(mac, ifr.ifr_hwaddr.sa_data, 6);
	return ret;
}

int tun_set_hdr_len(int fd, int len)
{
	return tun_ioctl(fd, TUNSETVNETHDRSZ, &len);
}

int tun_set_endian(int fd, bool little, bool big)
{
	int le = little, be = big, ret;

	ret = tun_ioctl(fd, TUNSETVNETLE, &le);
	if (ret < 0)
		return ret;
	/* only kernels with CONFIG_TUN_VNET_CROSS_LE have it; not having it is fine for "no" */
	ret = tun_ioctl(fd, TUNSETVNETBE, &be);
	return big ? ret : 0;
}

int tun_set_offload(int fd, unsigned offload)
{
	static const struct {
		unsigned ours, theirs;
	} map[] = {
		{ VMTAP_OFFLOAD_CSUM, TUN_F_CSUM }, { VMTAP_OFFLOAD_TSO4, TUN_F_TSO4 },
		{ VMTAP_OFFLOAD_TSO6, TUN_F_TSO6 }, { VMTAP_OFFLOAD_ECN, TUN_F_TSO_ECN },
		{ VMTAP_OFFLOAD_UFO, TUN_F_UFO },   { VMTAP_OFFLOAD_USO4, TUN_F_USO4 },
		{ VMTAP_OFFLOAD_USO6, TUN_F_USO6 },
	};
	unsigned long bits = 0;

	for (size_t i = 0; i < sizeof(map) / sizeof(map[0]); i++)
		if (offload & map[i].ours)
			bits |= map[i].theirs;
	return ioctl(fd, TUNSETOFFLOAD, bits) < 0 ? -errno : 0;
}

int tun_set_sndbuf(int fd, int bytes)
{
	if (!bytes)
		bytes = INT_MAX;
	return tun_ioctl(fd, TUNSETSNDBUF, &bytes);
}

int tun_set_queue(int fd, bool on)
{
	struct ifreq ifr = { .ifr_flags = on ? IFF_ATTACH_QUEUE : IFF_DETACH_QUEUE };

	return tun_ioctl(fd, TUNSETQUEUE, &ifr);
}

int tun_set_steering(int fd, int prog)
{
	return tun_ioctl(fd, TUNSETSTEERINGEBPF, &prog);
}

int tun_set_carrier(int fd, bool on)
{
	int carrier = on;

	return tun_ioctl(fd, TUNSETCARRIER, &carrier);
}

int tun_set_persist(int fd, bool on)
{
	return ioctl(fd, TUNSETPERSIST, (unsigned long)on) < 0 ? -errno : 0;
}

int tun_set_owner(int fd, unsigned uid)
{
	return ioctl(fd, TUNSETOWNER, (unsigned long)uid) < 0 ? -errno : 0;
}

int tun_set_group(int fd, unsigned gid)
{
	return ioctl(fd, TUNSETGROUP, (unsigned long)gid) < 0 ? -errno : 0;
}
