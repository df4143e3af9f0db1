/* SPDX-License-Identifier: MIT */
/* Interfaces and bridges through ioctls, mostly: one a function, no policy, no texts. */
#include "tapdev/bridge.h"

#include <errno.h>
#include <linux/ethtool.h>
#include <linux/rtnetlink.h>
#include <linux/sockios.h>
#include <net/if_arp.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/fd.h"

/* @ifname goes in; the answer, and the name the kernel found, come out in @ifr. */
static int ask(int sock, unsigned long request, const char *ifname, struct ifreq *ifr)
{
	int len = snprintf(ifr->ifr_name, sizeof(ifr->ifr_name), "%s", ifname);

	if (len < 0 || (size_t)len >= sizeof(ifr->ifr_name))
		return -ENAMETOOLONG;
	return ioctl(sock, request, ifr) < 0 ? -errno : 0;
}

int netif_index(int sock, const char *ifname)
{
	struct ifreq ifr = { 0 };
	int ret = ask(sock, SIOCGIFINDEX, ifname, &ifr);

	return ret < 0 ? ret : ifr.ifr_ifindex;
}

int netif_name(int sock, int ifindex, char ifname[IFNAMSIZ])
{
	struct ifreq ifr = { .ifr_ifindex = ifindex };

	if (ioctl(sock, SIOCGIFNAME, &ifr) < 0)
		return -errno;
	memcpy(ifname, ifr.ifr_name, IFNAMSIZ);
	ifname[IFNAMSIZ - 1] = '\0';
	return 0;
}

int netif_mtu(int sock, const char *ifname)
{
	struct ifreq ifr = { 0 };
	int ret = ask(sock, SIOCGIFMTU, ifname, &ifr);

	return ret < 0 ? ret : ifr.ifr_mtu;
}

int netif_set_mtu(int sock, const char *ifname, int mtu)
{
	struct ifreq ifr = { .ifr_mtu = mtu };

	return ask(sock, SIOCSIFMTU, ifname, &ifr);
}

int netif_mac(int sock, const char *ifname, uint8_t mac[6])
{
	struct ifreq ifr = { 0 };
	int ret = ask(sock, SIOCGIFHWADDR, ifname, &ifr);

	memcpy(mac, ifr.ifr_hwaddr.sa_data, 6);
	return ret;
}

int netif_set_mac(int sock, const char *ifname, const uint8_t mac[6])
{
	struct ifreq ifr = { .ifr_hwaddr.sa_family = ARPHRD_ETHER };

	memcpy(ifr.ifr_hwaddr.sa_data, mac, 6);
	return ask(sock, SIOCSIFHWADDR, ifname, &ifr);
}

int netif_set_up(int sock, const char *ifname)
{
	struct ifreq ifr = { 0 };
	int ret = ask(sock, SIOCGIFFLAGS, ifname, &ifr);

	if (ret < 0)
		return ret;
	ifr.ifr_flags |= IFF_UP;
	return ask(sock, SIOCSIFFLAGS, ifname, &ifr);
}

int netif_rename(int sock, const char *from, const char *to)
{
	struct ifreq ifr = { 0 };

	snprintf(ifr.ifr_newname, sizeof(ifr.ifr_newname), "%s", to);
	return ask(sock, SIOCSIFNAME, from, &ifr);
}

bool bridge_is(int sock, const char *ifname)
{
	struct ethtool_drvinfo info = { .cmd = ETHTOOL_GDRVINFO };
	struct ifreq ifr = { .ifr_data = (char *)&info };

	return ask(sock, SIOCETHTOOL, ifname, &ifr) == 0 && strcmp(info.driver, "bridge") == 0;
}

int bridge_add(int sock, const char *bridge, int ifindex)
{
	struct ifreq ifr = { .ifr_ifindex = ifindex };

	return ask(sock, SIOCBRADDIF, bridge, &ifr);
}

int netif_set_alias(int ifindex, const char *alias)
{
	struct {
		struct nlmsghdr nlh;
		struct ifinfomsg ifi;
		struct rtattr attr;
		char alias[256];
	} req = {
		.nlh = { .nlmsg_type = RTM_NEWLINK, .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK },
		.ifi = { .ifi_index = ifindex },
		.attr = { .rta_type = IFLA_IFALIAS },
	};
	struct {
		struct nlmsghdr nlh;
		struct nlmsgerr err;
		char more[512]; /* the request, sent back */
	} answer = { 0 };
	size_t len = strnlen(alias, sizeof(req.alias) - 1);
	cleanup_fd int sock = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	if (sock < 0)
		return -errno;
	memcpy(req.alias, alias, len);
	req.attr.rta_len = (unsigned short)RTA_LENGTH(len);
	req.nlh.nlmsg_len = (uint32_t)(offsetof(__typeof__(req), alias) + len);
	if (send(sock, &req, req.nlh.nlmsg_len, 0) < 0 ||
	    recv(sock, &answer, sizeof(answer), 0) < 0)
		return -errno;
	return answer.nlh.nlmsg_type == NLMSG_ERROR ? answer.err.error : -EPROTO;
}
