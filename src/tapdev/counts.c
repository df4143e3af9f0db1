/* SPDX-License-Identifier: MIT */
/* The kernel's counters of interfaces, by rtnetlink. */
#include "tapdev/counts.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>

#define BUF_SIZE 32768 /* an interface's description */

/** struct counts - @nl: NULL after a failure, until somebody asks again */
struct counts {
	struct mnl_socket *nl;
	unsigned seq;
	char buf[BUF_SIZE];
};

static void forget_socket(struct counts *c)
{
	if (c->nl)
		mnl_socket_close(c->nl);
	c->nl = NULL;
}

void counts_free(struct counts *c)
{
	if (!c)
		return;
	forget_socket(c);
	free(c);
}

/* The kernel answers before a request returns, so that nobody waits for what does not come. */
static int open_socket(struct counts *c)
{
	if (c->nl)
		return 0;
	c->nl = mnl_socket_open2(NETLINK_ROUTE, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (c->nl && mnl_socket_bind(c->nl, 0, MNL_SOCKET_AUTOPID) == 0)
		return 0;
	return -errno;
}

struct counts *counts_new(void)
{
	struct counts *c = calloc(1, sizeof(*c));

	if (c && open_socket(c) < 0)
		forget_socket(c);
	return c;
}

/* Send the request in @c->buf; @cb sees the answer and returns MNL_CB_STOP. */
static int talk(struct counts *c, struct nlmsghdr *nlh, mnl_cb_t cb, void *data)
{
	int ret = open_socket(c);
	ssize_t len;

	nlh->nlmsg_seq = ++c->seq;
	if (ret == 0 && mnl_socket_sendto(c->nl, nlh, nlh->nlmsg_len) < 0)
		ret = -errno;
	len = ret == 0 ? mnl_socket_recvfrom(c->nl, c->buf, sizeof(c->buf)) : 0;
	if (len < 0)
		ret = -errno;
	if (ret == 0 &&
	    mnl_cb_run(c->buf, (size_t)len, c->seq, mnl_socket_get_portid(c->nl), cb, data) < 0)
		ret = -errno;
	if (ret < 0 && ret != -ENODEV) /* the kernel's answer, and all of it was read */
		forget_socket(c);
	return ret;
}

/** struct found - @mac: that is looked for; @of: what has it */
struct found {
	const uint8_t *mac;
	struct counts_of *of;
};

static bool is_macvtap(const struct nlattr *info)
{
	const struct nlattr *a;

	mnl_attr_for_each_nested(a, info)
	{
		if (mnl_attr_get_type(a) == IFLA_INFO_KIND)
			return strcmp(mnl_attr_get_str(a), "macvtap") == 0;
	}
	return false;
}

static int see_link(const struct nlmsghdr *nlh, void *data)
{
	const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(nlh);
	struct found *found = data;
	const struct nlattr *a;
	bool same = false;

	if (nlh->nlmsg_type != RTM_NEWLINK)
		return MNL_CB_STOP;
	mnl_attr_for_each(a, nlh, sizeof(*ifi))
	{
		if (mnl_attr_get_type(a) == IFLA_ADDRESS && mnl_attr_get_payload_len(a) == 6)
			same = memcmp(mnl_attr_get_payload(a), found->mac, 6) == 0;
		else if (mnl_attr_get_type(a) == IFLA_LINKINFO)
			found->of->receiver = is_macvtap(a);
	}
	if (same)
		found->of->ifindex = ifi->ifi_index;
	return MNL_CB_STOP;
}

int counts_find(struct counts *c, const char *ifname, const uint8_t mac[6], struct counts_of *of)
{
	struct found found = { .mac = mac, .of = of };
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(c->buf);
	int ret;

	*of = (struct counts_of) { 0 };
	nlh->nlmsg_type = RTM_GETLINK;
	nlh->nlmsg_flags = NLM_F_REQUEST;
	mnl_nlmsg_put_extra_header(nlh, sizeof(struct ifinfomsg));
	mnl_attr_put_strz(nlh, IFLA_IFNAME, ifname);
	ret = talk(c, nlh, see_link, &found);
	return ret == 0 && !of->ifindex ? -ENODEV : ret;
}

static int see_stats(const struct nlmsghdr *nlh, void *data)
{
	struct rtnl_link_stats64 *stats = data;
	const struct nlattr *a;

	if (nlh->nlmsg_type != RTM_NEWSTATS)
		return MNL_CB_STOP;
	mnl_attr_for_each(a, nlh, sizeof(struct if_stats_msg))
	{
		const size_t len = mnl_attr_get_payload_len(a);

		if (mnl_attr_get_type(a) == IFLA_STATS_LINK_64)
			memcpy(stats, mnl_attr_get_payload(a),
			       len < sizeof(*stats) ? len : sizeof(*stats));
	}
	return MNL_CB_STOP;
}

/* RTM_GETSTATS (Linux 4.7) makes the kernel gather the counters only, not all that RTM_GETLINK says. */
int counts_drops(struct counts *c, const struct counts_of *of, uint64_t *drops)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(c->buf);
	struct rtnl_link_stats64 stats = { 0 };
	struct if_stats_msg *ask;
	int ret;

	if (!of->ifindex)
		return -ENODEV;
	nlh->nlmsg_type = RTM_GETSTATS;
	nlh->nlmsg_flags = NLM_F_REQUEST;
	ask = mnl_nlmsg_put_extra_header(nlh, sizeof(*ask));
	ask->ifindex = (uint32_t)of->ifindex;
	ask->filter_mask = IFLA_STATS_FILTER_BIT(IFLA_STATS_LINK_64);
	ret = talk(c, nlh, see_stats, &stats);
	if (ret == 0)
		*drops = of->receiver ? stats.rx_dropped : stats.tx_dropped;
	return ret;
}
