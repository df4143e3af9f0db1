/* SPDX-License-Identifier: MIT */
/* Notices when interfaces of this network namespace go. */
#include "tapdev/linkwatch.h"

#include <errno.h>
#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "base/fd.h"

#define BUF_SIZE 32768

int linkwatch_open(void)
{
	struct sockaddr_nl addr = { .nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK };
	cleanup_fd int fd =
		socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);

	if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		return -errno;
	return fd_steal(&fd);
}

/* A bridge's port that leaves it is "deleted" as well, in the family of bridges. */
static bool says_gone(const struct nlmsghdr *nlh, int ifindex)
{
	const struct ifinfomsg *ifi = mnl_nlmsg_get_payload(nlh);

	return nlh->nlmsg_type == RTM_DELLINK && mnl_nlmsg_get_payload_len(nlh) >= sizeof(*ifi) &&
	       ifi->ifi_family == AF_UNSPEC && ifi->ifi_index == ifindex;
}

bool linkwatch_read(int fd, int ifindex)
{
	char *buf = malloc(BUF_SIZE);
	bool gone = !buf;
	ssize_t n;

	while (buf && ((n = recv(fd, buf, BUF_SIZE, 0)) > 0 || (n < 0 && errno == ENOBUFS))) {
		struct nlmsghdr *nlh = (struct nlmsghdr *)(void *)buf;
		int len = (int)n;

		gone |= n < 0;
		for (; len > 0 && mnl_nlmsg_ok(nlh, len); nlh = mnl_nlmsg_next(nlh, &len))
			gone |= says_gone(nlh, ifindex);
	}
	free(buf);
	return gone;
}
