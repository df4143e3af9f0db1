/* SPDX-License-Identifier: MIT */
/* The kernel's counters of interfaces, by rtnetlink. */
#include "tapdev/counts.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"

#define BUF_SIZE 32768 /* an interface's description, or COUNTS_AHEAD_MAX answers */

/**
 * struct counts - A socket, and whom it is asked about
 * @nl: NULL after a failure, until somebody asks again
 * @first, @end: in the order in which they were found
 * @last: who was asked about last, at @last_ns; NULL: it has left
 * @ahead: how many the kernel was asked about then
 */
struct counts {
	struct mnl_socket *nl;
	unsigned seq;
	struct counts_of *first, *end, *last;
	uint64_t last_ns;
	unsigned ahead;
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

/* ----------------------------------------------------------------------- finding */

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

static void remember(struct counts *c, struct counts_of *of)
{
	of->prev = c->end;
	if (c->end)
		c->end->next = of;
	else
		c->first = of;
	c->end = of;
}

void counts_leave(struct counts *c, struct counts_of *of)
{
	if (!of->ifindex)
		return;
	if (of->prev)
		of->prev->next = of->next;
	else
		c->first = of->next;
	if (of->next)
		of->next->prev = of->prev;
	else
		c->end = of->prev;
	if (c->last == of)
		c->last = NULL;
	*of = (struct counts_of) { 0 };
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
	if (ret == 0 && !of->ifindex)
		ret = -ENODEV;
	if (ret == 0)
		remember(c, of);
	else
		of->ifindex = 0;
	return ret;
}

/* ------------------------------------------------------------------------ asking */

/** struct asked - Those of one message, whose numbers are @seq and the ones after it */
struct asked {
	struct counts_of *of[COUNTS_AHEAD_MAX];
	unsigned cnt, seq;
};

/* RTM_GETSTATS (Linux 4.7) makes the kernel gather the counters only, not all that RTM_GETLINK says. */
static size_t put_request(char *at, const struct counts_of *of, unsigned seq)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(at);
	struct if_stats_msg *ask;

	nlh->nlmsg_type = RTM_GETSTATS;
	nlh->nlmsg_flags = NLM_F_REQUEST;
	nlh->nlmsg_seq = seq;
	ask = mnl_nlmsg_put_extra_header(nlh, sizeof(*ask));
	ask->ifindex = (uint32_t)of->ifindex;
	ask->filter_mask = IFLA_STATS_FILTER_BIT(IFLA_STATS_LINK_64);
	return MNL_ALIGN(nlh->nlmsg_len);
}

static int see_stats(const struct nlmsghdr *nlh, void *data)
{
	const struct asked *asked = data;
	const unsigned i = nlh->nlmsg_seq - asked->seq;
	struct rtnl_link_stats64 stats = { 0 };
	const struct nlattr *a;

	if (nlh->nlmsg_type != RTM_NEWSTATS || i >= asked->cnt)
		return MNL_CB_OK;
	mnl_attr_for_each(a, nlh, sizeof(struct if_stats_msg))
	{
		const size_t len = mnl_attr_get_payload_len(a);

		if (mnl_attr_get_type(a) == IFLA_STATS_LINK_64)
			memcpy(&stats, mnl_attr_get_payload(a),
			       len < sizeof(stats) ? len : sizeof(stats));
	}
	asked->of[i]->drops = asked->of[i]->receiver ? stats.rx_dropped : stats.tx_dropped;
	asked->of[i]->ahead = true;
	return MNL_CB_OK;
}

static int send_requests(struct counts *c, struct asked *asked)
{
	size_t len = 0;
	int ret = open_socket(c);

	if (ret < 0)
		return ret;
	asked->seq = c->seq + 1;
	c->seq += asked->cnt;
	for (unsigned i = 0; i < asked->cnt; i++)
		len += put_request(c->buf + len, asked->of[i], asked->seq + i);
	return mnl_socket_sendto(c->nl, c->buf, len) < 0 ? -errno : 0;
}

/* Each comes in a datagram of its own. Return: how the first one's was, -EAGAIN: there is none. */
static int read_answers(struct counts *c, struct asked *asked)
{
	struct mmsghdr msgs[COUNTS_AHEAD_MAX] = { 0 };
	struct iovec iov[COUNTS_AHEAD_MAX];
	const size_t room = BUF_SIZE / asked->cnt / MNL_ALIGNTO * MNL_ALIGNTO;
	int ret = -EAGAIN, got;

	for (unsigned i = 0; i < asked->cnt; i++) {
		iov[i] = (struct iovec) { c->buf + i * room, room };
		msgs[i].msg_hdr = (struct msghdr) { .msg_iov = &iov[i], .msg_iovlen = 1 };
	}
	got = recvmmsg(mnl_socket_get_fd(c->nl), msgs, asked->cnt, 0, NULL);
	if (got < 0)
		return -errno;
	for (int i = 0; i < got; i++) {
		const struct nlmsghdr *nlh = iov[i].iov_base;

		if (mnl_cb_run(nlh, msgs[i].msg_len, 0, mnl_socket_get_portid(c->nl), see_stats,
			       asked) < 0 &&
		    nlh->nlmsg_seq == asked->seq)
			ret = -errno;
	}
	return asked->of[0]->ahead ? 0 : ret;
}

/* Return: how it was for the first. */
static int ask(struct counts *c, struct asked *asked)
{
	int ret = send_requests(c, asked);

	if (ret == 0)
		ret = read_answers(c, asked);
	if (ret < 0 && ret != -ENODEV) /* the kernel's answer, and all of it was read */
		forget_socket(c);
	return ret;
}

/* Whoever asks about one after the other will go on with the next. */
static void choose(struct counts *c, struct counts_of *of, uint64_t now, struct asked *asked)
{
	const bool in_a_row = of->prev == c->last && now - c->last_ns <= COUNTS_FRESH_NS;
	struct counts_of *o = of;

	c->ahead = !in_a_row ? 1 : c->ahead < COUNTS_AHEAD_MAX ? 2 * c->ahead : c->ahead;
	for (unsigned i = 0; i < c->ahead && o; i++, o = o->next) {
		if (o != of && now - o->asked_ns <= COUNTS_FRESH_NS)
			continue;
		o->asked_ns = now;
		o->ahead = false;
		asked->of[asked->cnt++] = o;
	}
}

/* Have an answer about @of. */
static int look(struct counts *c, struct counts_of *of, uint64_t now)
{
	struct asked asked = { 0 };
	int ret;

	choose(c, of, now, &asked);
	ret = ask(c, &asked);
	if (ret == 0 || ret == -ENODEV || asked.cnt == 1)
		return ret;
	c->ahead = 1; /* the socket may have no room for so many */
	asked.cnt = 1;
	return ask(c, &asked);
}

int counts_drops(struct counts *c, struct counts_of *of, uint64_t *drops)
{
	const uint64_t now = clock_ns();
	int ret = 0;

	if (!of->ifindex)
		return -ENODEV;
	if (!of->ahead || now - of->asked_ns > COUNTS_FRESH_NS)
		ret = look(c, of, now);
	of->ahead = false;
	c->last = of;
	c->last_ns = now;
	if (ret == 0)
		*drops = of->drops;
	return ret;
}
