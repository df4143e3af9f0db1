/* SPDX-License-Identifier: MIT */
/* Checks: a macvtap and the interface that it is on. */
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "host/checks.h"

static const struct nl_link *existing(const struct doctor *d)
{
	return d->tap && strcmp(d->tap->kind, "macvtap") == 0 ? d->tap : NULL;
}

/* The interface that it is on, or is to be put on. */
static const struct nl_link *parent_of(const struct doctor *d)
{
	if (existing(d))
		return link_indexed(d, d->tap->parent);
	return d->target->parent ? link_named(d, d->target->parent) : NULL;
}

static void missing_parent(struct doctor *d)
{
	char names[200] = "";
	size_t len = 0;

	for (unsigned i = 0; i < d->link_cnt && len < sizeof(names) - 20; i++) {
		const struct nl_link *link = &d->links[i];

		if (!(link->flags & IFF_LOOPBACK) && !link_is_guest(link) && !link->master)
			len += (size_t)snprintf(names + len, sizeof(names) - len, "%s%s",
						len ? ", " : "", link->name);
	}
	finding(d, VMTAP_FINDING_ERROR, "there is no interface of that name");
	if (len)
		why(d, "there are %s", names);
}

void check_macvtap_parent(struct doctor *d)
{
	const struct nl_link *parent = parent_of(d), *master;
	char path[64];

	if (!parent && (existing(d) || !d->target->parent))
		return;
	about(d, "interface %.40s", parent ? parent->name : d->target->parent);
	if (!parent) {
		missing_parent(d);
		return;
	}
	master = link_indexed(d, parent->master);
	if (master) {
		finding(d, VMTAP_FINDING_ERROR, "it is a port of %s", master->name);
		why(d,
		    "the kernel gives an interface's frames either to that or to a macvtap: "
		    "use bridge,br=%s, or take the interface off it",
		    master->name);
		remedy(d, "ip link set %s nomaster", shell(d, parent->name));
	}
	if (!(parent->flags & IFF_UP)) {
		finding(d, VMTAP_FINDING_ERROR, "it is down");
		why(d, "no frame passes, nor any macvtap on it");
		remedy(d, "ip link set %s up", shell(d, parent->name));
	}
	snprintf(path, sizeof(path), "/sys/class/net/%s/phy80211", parent->name);
	if (access(path, F_OK) == 0) {
		finding(d, VMTAP_FINDING_WARNING, "it is a wireless interface");
		why(d, "most access points refuse frames of any address but the interface's own; "
		       "use a routed network instead");
	}
}

static void may_not_make(struct doctor *d, const struct nl_link *parent, const char *user)
{
	char name[64];

	snprintf(name, sizeof(name), "%s", shell(d, d->tap_name[0] ? d->tap_name : "vm0"));
	finding(d, VMTAP_FINDING_ERROR, "user %s may not make it", user);
	why(d, "that needs the capability CAP_NET_ADMIN; an administrator can make it for you");
	if (parent)
		remedy(d,
		       "ip link add link %s name %s type macvtap mode bridge && "
		       "ip link set %s up && chown %s /dev/tap$(cat /sys/class/net/%s/ifindex)",
		       shell(d, parent->name), name, name, shell(d, user), name);
}

void check_macvtap_device(struct doctor *d)
{
	const struct nl_link *link = existing(d);
	char path[32], user[64];
	struct stat st;

	about(d, "macvtap%s%s", d->tap_name[0] ? " " : "", d->tap_name);
	user_name(user, sizeof(user));
	if (!link && d->tap) {
		finding(d, VMTAP_FINDING_ERROR, "the interface exists and is no macvtap");
		why(d, "choose another ifname=");
		return;
	}
	if (!link) {
		if (!d->admin)
			may_not_make(d, parent_of(d), user);
		return;
	}
	snprintf(path, sizeof(path), "/dev/tap%d", link->index);
	if (stat(path, &st) < 0 || !S_ISCHR(st.st_mode)) {
		finding(d, VMTAP_FINDING_ERROR, "its device %s does not exist", path);
		why(d,
		    "in a container or another file system than the host's it has to be made by "
		    "hand; its number is in /sys/class/net/%s/tap%d/dev",
		    link->name, link->index);
		remedy(d, "mknod -m 600 %s c $(tr : ' ' </sys/class/net/%s/tap%d/dev)", path,
		       shell(d, link->name), link->index);
	} else if (access(path, R_OK | W_OK) < 0) {
		finding(d, VMTAP_FINDING_ERROR, "user %s may not open its device %s (mode %03o)",
			user, path, st.st_mode & 07777);
		remedy(d, "chown %s %s", shell(d, user), path);
	}
}

/* Has the host an interface that reaches what is on a macvtap of @parent? */
static bool has_sibling(const struct doctor *d, const struct nl_link *parent)
{
	for (unsigned i = 0; i < d->link_cnt; i++)
		if (strcmp(d->links[i].kind, "macvlan") == 0 &&
		    d->links[i].parent == parent->index && (d->links[i].flags & IFF_UP))
			return true;
	return false;
}

void check_macvtap_host(struct doctor *d)
{
	const struct nl_link *parent = parent_of(d);
	char host[IFNAMSIZ];

	if (!parent)
		return;
	about(d, "interface %s", parent->name);
	if (has_sibling(d, parent))
		return;
	snprintf(host, sizeof(host), "%.10s-host", parent->name);
	finding(d, VMTAP_FINDING_NOTE,
		"the host itself and the guests on its macvtaps do not reach each other");
	why(d,
	    "what a macvtap sends leaves by the wire and never comes back to %s. An interface of "
	    "the host's beside them does reach guests of mode bridge: give it the address that "
	    "guests are to use",
	    parent->name);
	remedy(d, "ip link add link %s name %s type macvlan mode bridge && ip link set %s up",
	       shell(d, parent->name), shell(d, host), shell(d, host));
}
