/* SPDX-License-Identifier: MIT */
/* Host interfaces through rtnetlink: what one is, and changing it. */
#include "tapdev/netlink.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if_bridge.h>
#include <linux/if_link.h>
#include <linux/if_tun.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>

#define LOOPBACK_INDEX 1 /* in every namespace, LOOPBACK_IFINDEX of the kernel */
#define BUF_SIZE 32768	 /* an interface's description with all its statistics */

typedef char nl_buf[BUF_SIZE];

static const struct nl_link no_link = { .tun.owner = -1, .tun.group = -1, .port_state = -1 };

/* Send @nlh and have @cb see the answers. Return: 0 or -errno. */
static int talk(struct nlmsghdr *nlh, char *buf, mnl_cb_t cb, void *data)
{
	struct mnl_socket *nl = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC);
	unsigned seq = 1, portid;
	ssize_t len;
	int ret = -EIO;

	if (!nl)
		return -errno;
	nlh->nlmsg_seq = seq;
	if (mnl_socket_bind(nl, 0, MNL_SOCKET_AUTOPID) < 0 ||
	    mnl_socket_sendto(nl, nlh, nlh->nlmsg_len) < 0) {
		ret = -errno;
		goto out;
	}
	portid = mnl_socket_get_portid(nl);
	ret = 1;
	do {
		len = mnl_socket_recvfrom(nl, buf, BUF_SIZE);
		if (len < 0 && errno == EINTR)
			continue;
		if (len < 0) {
			ret = -errno;
			break;
		}
		ret = mnl_cb_run(buf, (size_t)len, seq, portid, cb, data);
		if (ret < 0)
			ret = -errno;
	} while (ret > 0);
out:
	mnl_socket_close(nl);
	return ret;
}

static void parse_tun(const struct nlattr *info, struct nl_link *link)
{
	const struct nlattr *a;

	mnl_attr_for_each_nested(a, info)
	{
		switch (mnl_attr_get_type(a)) {
		case IFLA_TUN_TYPE:
			link->tun.tap = mnl_attr_get_u8(a) == IFF_TAP;
			break;
		case IFLA_TUN_OWNER:
			link->tun.owner = mnl_attr_get_u32(a);
			break;
		case IFLA_TUN_GROUP:
			link->tun.group = mnl_attr_get_u32(a);
			break;
		case IFLA_TUN_PI:
			link->tun.pi = mnl_attr_get_u8(a);
			break;
		case IFLA_TUN_VNET_HDR:
			link->tun.vnet_hdr = mnl_attr_get_u8(a);
			break;
		case IFLA_TUN_PERSIST:
			link->tun.persist = mnl_attr_get_u8(a);
			break;
		case IFLA_TUN_MULTI_QUEUE:
			link->tun.multi_queue = mnl_attr_get_u8(a);
			break;
		case IFLA_TUN_NUM_QUEUES:
			link->tun.queues = mnl_attr_get_u32(a);
			break;
		case IFLA_TUN_NUM_DISABLED_QUEUES:
			link->tun.detached_queues = mnl_attr_get_u32(a);
			break;
		default:
			break;
		}
	}
}

static void parse_macvlan(const struct nlattr *info, struct nl_link *link)
{
	const struct nlattr *a;

	mnl_attr_for_each_nested(a, info)
	{
		if (mnl_attr_get_type(a) == IFLA_MACVLAN_MODE)
			link->macvlan_mode = mnl_attr_get_u32(a);
	}
}

/* Somebody else on the network asks for IPv6 multicast groups. */
static bool has_querier6(const struct nlattr *state)
{
	const struct nlattr *a;

	mnl_attr_for_each_nested(a, state)
	{
		if (mnl_attr_get_type(a) == BRIDGE_QUERIER_IPV6_OTHER_TIMER)
			return true;
	}
	return false;
}

static void parse_bridge(const struct nlattr *info, struct nl_link *link)
{
	const struct nlattr *a;

	mnl_attr_for_each_nested(a, info)
	{
		switch (mnl_attr_get_type(a)) {
		case IFLA_BR_STP_STATE:
			link->bridge.stp = mnl_attr_get_u32(a);
			break;
		case IFLA_BR_MCAST_SNOOPING:
			link->bridge.mcast_snooping = mnl_attr_get_u8(a);
			break;
		case IFLA_BR_MCAST_QUERIER:
			link->bridge.mcast_querier = mnl_attr_get_u8(a);
			break;
		case IFLA_BR_MCAST_QUERIER_STATE:
			link->bridge.other_querier6 = has_querier6(a);
			break;
		case IFLA_BR_NF_CALL_IPTABLES:
			link->bridge.nf_iptables = mnl_attr_get_u8(a);
			break;
		case IFLA_BR_NF_CALL_IP6TABLES:
			link->bridge.nf_ip6tables = mnl_attr_get_u8(a);
			break;
		case IFLA_BR_NF_CALL_ARPTABLES:
			link->bridge.nf_arptables = mnl_attr_get_u8(a);
			break;
		default:
			break;
		}
	}
}

static void parse_port(const struct nlattr *info, struct nl_link *link)
{
	const struct nlattr *a;

	mnl_attr_for_each_nested(a, info)
	{
		if (mnl_attr_get_type(a) == IFLA_BRPORT_STATE)
			link->port_state = mnl_attr_get_u8(a);
	}
}

static void parse_info(const struct nlattr *info, struct nl_link *link)
{
	const struct nlattr *a, *data = NULL, *port = NULL;
	bool of_bridge = false;

	mnl_attr_for_each_nested(a, info)
	{
		if (mnl_attr_get_type(a) == IFLA_INFO_KIND)
			strncpy(link->kind, mnl_attr_get_str(a), sizeof(link->kind) - 1);
		else if (mnl_attr_get_type(a) == IFLA_INFO_DATA)
			data = a;
		else if (mnl_attr_get_type(a) == IFLA_INFO_SLAVE_KIND)
			of_bridge = strcmp(mnl_attr_get_str(a), "bridge") == 0;
		else if (mnl_attr_get_type(a) == IFLA_INFO_SLAVE_DATA)
			port = a;
	}
	if (data && strcmp(link->kind, "tun") == 0)
		parse_tun(data, link);
	if (data && strcmp(link->kind, "bridge") == 0)
		parse_bridge(data, link);
	if (data && (strcmp(link->kind, "macvtap") == 0 || strcmp(link->kind, "macvlan") == 0))
		parse_macvlan(data, link);
	if (port && of_bridge)
		parse_port(port, link);
}

static void parse_stats(const struct nlattr *a, struct nl_link *link)
{
	struct rtnl_link_stats64 st = { 0 };
	size_t len = mnl_attr_get_payload_len(a);

	memcpy(&st, mnl_attr_get_payload(a), len < sizeof(st) ? len : sizeof(st));
	link->stats.rx_packets = st.rx_packets;
	link->stats.rx_bytes = st.rx_bytes;
	link->stats.rx_dropped = st.rx_dropped;
	link->stats.tx_packets = st.tx_packets;
	link->stats.tx_bytes = st.tx_bytes;
	link->stats.tx_dropped = st.tx_dropped;
}

static int parse_link(const struct nlmsghdr *nlh, void *data)
{
	const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(nlh);
	struct nl_link *link = data;
	const struct nlattr *a;

	if (nlh->nlmsg_type != RTM_NEWLINK)
		return MNL_CB_OK;
	*link = no_link;
	link->index = ifi->ifi_index;
	link->flags = ifi->ifi_flags;
	mnl_attr_for_each(a, nlh, sizeof(*ifi))
	{
		switch (mnl_attr_get_type(a)) {
		case IFLA_MTU:
			link->mtu = mnl_attr_get_u32(a);
			break;
		case IFLA_MASTER:
			link->master = (int)mnl_attr_get_u32(a);
			break;
		case IFLA_LINK:
			link->parent = (int)mnl_attr_get_u32(a);
			break;
		case IFLA_CARRIER:
			link->carrier = mnl_attr_get_u8(a);
			break;
		case IFLA_IFNAME:
			strncpy(link->name, mnl_attr_get_str(a), sizeof(link->name) - 1);
			break;
		case IFLA_IFALIAS:
			strncpy(link->alias, mnl_attr_get_str(a), sizeof(link->alias) - 1);
			break;
		case IFLA_STATS64:
			parse_stats(a, link);
			break;
		case IFLA_ADDRESS:
			if (mnl_attr_get_payload_len(a) == sizeof(link->mac))
				memcpy(link->mac, mnl_attr_get_payload(a), sizeof(link->mac));
			break;
		case IFLA_LINKINFO:
			parse_info(a, link);
			break;
		default:
			break;
		}
	}
	return MNL_CB_OK;
}

static struct nlmsghdr *link_request(char *buf, uint16_t type, int ifindex)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct ifinfomsg *ifi;

	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	ifi = mnl_nlmsg_put_extra_header(nlh, sizeof(*ifi));
	ifi->ifi_index = ifindex;
	return nlh;
}

int nl_link_get(const char *ifname, struct nl_link *link)
{
	struct nlmsghdr *nlh;
	char *buf;
	int ret;

	if (!ifname[0] || strlen(ifname) >= IFNAMSIZ)
		return -ENODEV;
	buf = malloc(sizeof(nl_buf));
	if (!buf)
		return -ENOMEM;
	*link = no_link;
	nlh = link_request(buf, RTM_GETLINK, 0);
	mnl_attr_put_strz(nlh, IFLA_IFNAME, ifname);
	ret = talk(nlh, buf, parse_link, link);
	free(buf);
	return ret;
}

/* The kernel checks the capability before it looks at what a request would change: nothing. */
int nl_may_change(void)
{
	return nl_link_change(LOOPBACK_INDEX, &(struct nl_change) { 0 });
}

int nl_link_change(int ifindex, const struct nl_change *change)
{
	struct nlmsghdr *nlh;
	struct ifinfomsg *ifi;
	char *buf = malloc(sizeof(nl_buf));
	int ret;

	if (!buf)
		return -ENOMEM;
	nlh = link_request(buf, RTM_NEWLINK, ifindex);
	ifi = mnl_nlmsg_get_payload(nlh);
	if (change->up || change->down) {
		ifi->ifi_change = IFF_UP;
		ifi->ifi_flags = change->up ? IFF_UP : 0;
	}
	if (change->all_multicast) {
		ifi->ifi_change |= IFF_ALLMULTI;
		ifi->ifi_flags |= IFF_ALLMULTI;
	}
	if (change->mtu)
		mnl_attr_put_u32(nlh, IFLA_MTU, change->mtu);
	if (change->mac)
		mnl_attr_put(nlh, IFLA_ADDRESS, 6, change->mac);
	if (change->alias)
		mnl_attr_put_strz(nlh, IFLA_IFALIAS, change->alias);
	if (change->master)
		mnl_attr_put_u32(nlh, IFLA_MASTER, (uint32_t)change->master);
	ret = talk(nlh, buf, NULL, NULL);
	free(buf);
	return ret;
}

struct each {
	int (*each)(void *ctx, const struct nl_link *link);
	void *ctx;
	int ret;
};

/* A dump that is not read to its end ends with its socket. */
static int each_link(const struct nlmsghdr *nlh, void *data)
{
	struct each *e = data;
	struct nl_link link;

	if (nlh->nlmsg_type != RTM_NEWLINK)
		return MNL_CB_OK;
	parse_link(nlh, &link);
	e->ret = e->each(e->ctx, &link);
	return e->ret ? MNL_CB_STOP : MNL_CB_OK;
}

int nl_link_each(int (*each)(void *ctx, const struct nl_link *link), void *ctx)
{
	struct each e = { .each = each, .ctx = ctx };
	struct nlmsghdr *nlh;
	char *buf = malloc(sizeof(nl_buf));
	int ret;

	if (!buf)
		return -ENOMEM;
	nlh = link_request(buf, RTM_GETLINK, 0);
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	ret = talk(nlh, buf, each_link, &e);
	free(buf);
	return ret ? ret : e.ret;
}

void nl_link_name(int ifindex, char name[IFNAMSIZ])
{
	if (!ifindex || !if_indextoname((unsigned)ifindex, name))
		name[0] = '\0';
}

int nl_macvtap_new(const char *ifname, int parent, unsigned mode)
{
	struct nlattr *info, *data;
	struct nlmsghdr *nlh;
	char *buf = malloc(sizeof(nl_buf));
	int ret;

	if (!buf)
		return -ENOMEM;
	nlh = link_request(buf, RTM_NEWLINK, 0);
	nlh->nlmsg_flags |= NLM_F_CREATE | NLM_F_EXCL;
	mnl_attr_put_strz(nlh, IFLA_IFNAME, ifname);
	mnl_attr_put_u32(nlh, IFLA_LINK, (uint32_t)parent);
	info = mnl_attr_nest_start(nlh, IFLA_LINKINFO);
	mnl_attr_put_strz(nlh, IFLA_INFO_KIND, "macvtap");
	data = mnl_attr_nest_start(nlh, IFLA_INFO_DATA);
	mnl_attr_put_u32(nlh, IFLA_MACVLAN_MODE, mode);
	mnl_attr_nest_end(nlh, data);
	mnl_attr_nest_end(nlh, info);
	ret = talk(nlh, buf, NULL, NULL);
	free(buf);
	return ret;
}

int nl_link_delete(int ifindex)
{
	struct nlmsghdr *nlh;
	char *buf = malloc(sizeof(nl_buf));
	int ret;

	if (!buf)
		return -ENOMEM;
	nlh = link_request(buf, RTM_DELLINK, ifindex);
	ret = talk(nlh, buf, NULL, NULL);
	free(buf);
	return ret;
}
