/* SPDX-License-Identifier: MIT */
/* Checks: a bridge and its ports. */
#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "host/checks.h"

#define PORTS_MAX 1023 /* BR_MAX_PORTS of the kernel, whose port numbers begin with 1 */
#define PORTS_MANY 900

static bool is_port(const struct doctor *d, const struct nl_link *link)
{
	return d->bridge && link->master == d->bridge->index;
}

static bool is_uplink(const struct doctor *d, const struct nl_link *link)
{
	return is_port(d, link) && !link_is_guest(link);
}

/* ----------------------------------------------------------------------- itself */

void check_bridge_exists(struct doctor *d)
{
	const struct nl_link *link;
	const char *name = d->bridge_name;

	if (!name[0])
		return;
	about(d, "bridge %s", name);
	if (d->bridge)
		return;
	link = link_named(d, name);
	if (!link) {
		finding(d, VMTAP_FINDING_ERROR, "there is no interface of that name");
		why(d, "no TAP can join it");
		remedy(d, "ip link add %s type bridge && ip link set %s up", shell(d, name),
		       shell(d, name));
		return;
	}
	finding(d, VMTAP_FINDING_ERROR, "the interface exists and is no bridge%s%s%s",
		link->kind[0] ? " but of kind \"" : "", link->kind, link->kind[0] ? "\"" : "");
	if (strcmp(link->kind, "openvswitch") == 0)
		why(d,
		    "vmtap puts TAPs on bridges of the kernel; for Open vSwitch use script= with "
		    "ovs-vsctl add-port");
	else
		why(d, "name a bridge (see: ip link show type bridge)");
}

void check_bridge_up(struct doctor *d)
{
	if (!d->bridge)
		return;
	about(d, "bridge %s", d->bridge_name);
	if (d->bridge->flags & IFF_UP)
		return;
	finding(d, VMTAP_FINDING_ERROR, "it is down");
	why(d, "it forwards no frame");
	remedy(d, "ip link set %s up", shell(d, d->bridge_name));
}

/* ----------------------------------------------------------------------- uplink */

static bool has_address(const char *ifname, int family)
{
	struct ifaddrs *list, *i;
	bool found = false;

	if (getifaddrs(&list) < 0)
		return false;
	for (i = list; i && !found; i = i->ifa_next) {
		if (!i->ifa_addr || i->ifa_addr->sa_family != family ||
		    (ifname && strcmp(i->ifa_name, ifname) != 0))
			continue;
		found = family != AF_INET6 ||
			!IN6_IS_ADDR_LINKLOCAL(
				&((struct sockaddr_in6 *)(void *)i->ifa_addr)->sin6_addr);
		if (i->ifa_flags & IFF_LOOPBACK)
			found = false;
	}
	freeifaddrs(list);
	return found;
}

/* An interface that could become the uplink, and that nothing would miss. */
static const struct nl_link *candidate(const struct doctor *d)
{
	for (unsigned i = 0; i < d->link_cnt; i++) {
		const struct nl_link *link = &d->links[i];

		if ((link->flags & IFF_LOOPBACK) || link->master || link_is_guest(link) ||
		    link_is_bridge(link) || !(link->flags & IFF_BROADCAST) ||
		    strcmp(link->kind, "tun") == 0)
			continue;
		if (!has_address(link->name, AF_INET) && !has_address(link->name, AF_INET6))
			return link;
	}
	return NULL;
}

static void no_uplink(struct doctor *d)
{
	const struct nl_link *link = candidate(d);
	bool routed = has_address(d->bridge_name, AF_INET) || has_address(d->bridge_name, AF_INET6);

	finding(d, VMTAP_FINDING_NOTE, "it has no uplink: every port of it is a guest's");
	if (routed)
		why(d, "guests reach each other and the host, and the rest where the host routes "
		       "for them");
	else
		why(d, "guests reach each other and nobody else, not even the host: the bridge has "
		       "no address either");
	if (link)
		remedy(d, "ip link set %s master %s up", shell(d, link->name),
		       shell(d, d->bridge_name));
}

void check_bridge_uplink(struct doctor *d)
{
	unsigned uplinks = 0;

	if (!d->bridge)
		return;
	for (unsigned i = 0; i < d->link_cnt; i++) {
		const struct nl_link *link = &d->links[i];

		if (!is_uplink(d, link))
			continue;
		uplinks++;
		about(d, "interface %s", link->name);
		if (!(link->flags & IFF_UP)) {
			finding(d, VMTAP_FINDING_WARNING, "the bridge %s's uplink is down",
				d->bridge_name);
			why(d, "guests do not reach what is behind it");
			remedy(d, "ip link set %s up", shell(d, link->name));
		} else if (!link->carrier) {
			finding(d, VMTAP_FINDING_WARNING, "the bridge %s's uplink has no carrier",
				d->bridge_name);
			why(d, "the cable, or the other end of it, is missing or down");
		}
	}
	if (uplinks)
		return;
	about(d, "bridge %s", d->bridge_name);
	no_uplink(d);
}

/* ------------------------------------------------------------------------ ports */

void check_bridge_stp(struct doctor *d)
{
	if (!d->bridge)
		return;
	about(d, "bridge %s", d->bridge_name);
	for (unsigned i = 0; i < d->link_cnt; i++) {
		const struct nl_link *link = &d->links[i];
		int state = link->port_state;

		if (!is_port(d, link))
			continue;
		if (state == NL_PORT_BLOCKING) {
			finding(d, VMTAP_FINDING_WARNING, "the spanning tree blocks its port %s",
				link->name);
			why(d, "there is another way to the same network; if it is unwanted, "
			       "something joins two ports");
		} else if (state == NL_PORT_LISTENING || state == NL_PORT_LEARNING) {
			finding(d, VMTAP_FINDING_WARNING, "its port %s is %s and forwards nothing",
				link->name, state == NL_PORT_LISTENING ? "listening" : "learning");
			why(d,
			    "the spanning tree keeps every new port waiting (30 s by default), so "
			    "that a guest's first tries for an address fail. Where ports cannot "
			    "form a loop it may be off");
			remedy(d,
			       "ip link set %s type bridge stp_state 0 && bridge link set dev %s state 3",
			       shell(d, d->bridge_name), shell(d, link->name));
		}
	}
}

void check_bridge_full(struct doctor *d)
{
	unsigned ports = 0;

	if (!d->bridge)
		return;
	about(d, "bridge %s", d->bridge_name);
	for (unsigned i = 0; i < d->link_cnt; i++)
		ports += is_port(d, &d->links[i]);
	if (ports < PORTS_MANY)
		return;
	finding(d, ports >= PORTS_MAX ? VMTAP_FINDING_ERROR : VMTAP_FINDING_WARNING,
		"it has %u ports and the kernel allows %d", ports, PORTS_MAX);
	why(d,
	    "no TAP can join a full bridge. TAPs that were left behind can be removed; else use a "
	    "second bridge");
	remedy(d, "vmtap reap --yes");
}

/* -------------------------------------------------------------------------- MTU */

/* What fits through every uplink; without one, what the bridge says. */
static unsigned path_mtu(const struct doctor *d, const char **whose)
{
	unsigned mtu = 0;

	for (unsigned i = 0; i < d->link_cnt; i++) {
		const struct nl_link *link = &d->links[i];

		if (!is_uplink(d, link) || (mtu && link->mtu >= mtu))
			continue;
		mtu = link->mtu;
		*whose = link->name;
	}
	if (mtu)
		return mtu;
	*whose = d->bridge_name;
	return d->bridge->mtu;
}

static void compare_mtu(struct doctor *d, const struct nl_link *link, unsigned mtu,
			const char *whose)
{
	about(d, "%s %s", link_is_guest(link) ? "tap" : "interface", link->name);
	if (link->mtu == mtu)
		return;
	finding(d, VMTAP_FINDING_WARNING, "its MTU is %u and that of %s is %u", link->mtu, whose,
		mtu);
	if (link->mtu < mtu)
		why(d,
		    "the bridge drops larger frames that are on their way to it, without a word: "
		    "connections open and then hang");
	else
		why(d,
		    "what is sent with %u bytes is dropped on the way out, without a word: "
		    "connections open and then hang",
		    link->mtu);
	remedy(d, "ip link set %s mtu %u", shell(d, link->name), mtu);
}

void check_bridge_mtu(struct doctor *d)
{
	const char *whose;
	unsigned mtu;

	if (!d->bridge)
		return;
	mtu = path_mtu(d, &whose);
	for (unsigned i = 0; i < d->link_cnt; i++)
		if (is_port(d, &d->links[i]))
			compare_mtu(d, &d->links[i], mtu, whose);
	about(d, "bridge %s", d->bridge_name);
	if (d->bridge->mtu > mtu) {
		finding(d, VMTAP_FINDING_WARNING, "its MTU is %u and that of its uplink %s is %u",
			d->bridge->mtu, whose, mtu);
		why(d, "what the host itself sends with that size is dropped on the way out");
		remedy(d, "ip link set %s mtu %u", shell(d, d->bridge_name), mtu);
	}
	if (d->target->mtu && d->target->mtu != mtu && d->target->kind == DOCTOR_TAP) {
		finding(d, VMTAP_FINDING_WARNING,
			"mtu=%u is asked for the TAP, and the MTU of %s is %u", d->target->mtu,
			whose, mtu);
		why(d, "larger frames are dropped on one of the two ways; use mtu=%u, or none",
		    mtu);
	}
}

/* -------------------------------------------------------------------- multicast */

/*
 * While the kernel knows no querier it floods multicast like broadcast, so a bridge that is alone
 * works. It is the switches around it, and a querier that comes and goes, that make IPv6 stop some
 * minutes after a guest's start: memberships run out and nobody asks for them anew.
 */
void check_bridge_querier(struct doctor *d)
{
	const struct nl_link *br = d->bridge;

	if (!br || !has_address(NULL, AF_INET6))
		return;
	about(d, "bridge %s", d->bridge_name);
	if (!br->bridge.mcast_snooping || br->bridge.mcast_querier || br->bridge.other_querier6)
		return;
	finding(d, VMTAP_FINDING_NOTE,
		"it watches multicast memberships (multicast_snooping), nobody asks for them, and "
		"IPv6 is in use");
	why(d, "memberships run out after some minutes; a switch on the way that filters by them "
	       "then stops IPv6 neighbour discovery");
	remedy(d, "ip link set %s type bridge mcast_querier 1", shell(d, d->bridge_name));
}
