/* SPDX-License-Identifier: MIT */
/* Opening a TAP that exists already. */
#include "tap.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>

#include "util.h"

int tap_attach(const char *name, bool vnet_hdr)
{
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	struct ifreq r = { .ifr_flags =
				   (short)(IFF_TAP | IFF_NO_PI | (vnet_hdr ? IFF_VNET_HDR : 0)) };

	if (fd < 0)
		die("cannot open /dev/net/tun");
	strncpy(r.ifr_name, name, IFNAMSIZ - 1);
	if (ioctl(fd, TUNSETIFF, &r))
		die("cannot attach to %s", name);
	if (!vnet_hdr)
		return fd;
	if (ioctl(fd, TUNSETVNETHDRSZ, &(int) { 12 }) ||
	    ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6))
		die("cannot set %s up", name);
	return fd;
}
