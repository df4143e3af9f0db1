/* SPDX-License-Identifier: MIT */
/* Checks: the TAP of the target. */
#include <grp.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "host/checks.h"
#include "tapdev/explain.h"
#include "tapdev/owner.h"

#define QUEUES_MAX 256 /* MAX_TAP_QUEUES of the tun driver */

/* As vmtap asks for it: what is to be opened, as opposed to only looked at. */
static bool opens_by_name(const struct doctor *d)
{
	return d->target->kind == DOCTOR_TAP && !d->target->inspect;
}

static bool is_existing_tap(const struct doctor *d)
{
	return d->tap && link_is_tap(d->tap);
}

/* ------------------------------------------------------------------------ name */

static void look_at_name(struct doctor *d, const char *kind, const char *name, bool pattern)
{
	struct vmtap_error err = { 0 };

	if (!name)
		return;
	about(d, "%s %.60s", kind, name);
	if (ifname_check(name, pattern, &err) == 0)
		return;
	finding(d, VMTAP_FINDING_ERROR, "%s", err.reason);
	why(d, "%s", err.remedy);
}

void check_name(struct doctor *d)
{
	const struct doctor_target *t = d->target;

	look_at_name(d, t->kind == DOCTOR_MACVTAP ? "macvtap" : "tap", t->ifname, true);
	look_at_name(d, "bridge", t->br, false);
	look_at_name(d, "interface", t->parent, false);
}

/* ------------------------------------------------------------------- new and old */

void check_tap_kind(struct doctor *d)
{
	if (!d->tap)
		return;
	about(d, "tap %s", d->tap_name);
	if (d->target->kind == DOCTOR_HELPER)
		finding(d, VMTAP_FINDING_ERROR, "an interface has that name already");
	else if (link_is_tap(d->tap))
		return;
	else if (strcmp(d->tap->kind, "tun") == 0)
		finding(d, VMTAP_FINDING_ERROR,
			"it is a TUN device (layer 3) and no TAP (layer 2)");
	else
		finding(d, VMTAP_FINDING_ERROR, "the interface exists and is no TAP%s%s%s",
			d->tap->kind[0] ? " but of kind \"" : "", d->tap->kind,
			d->tap->kind[0] ? "\"" : "");
	why(d, "choose another ifname=");
}

static const char *wanted_name(const struct doctor *d)
{
	return d->tap_name[0] ? d->tap_name : "vm0";
}

/* " && ip link set vm0 master br0 up": what follows the making of a TAP. */
static void join_text(struct doctor *d, char *buf, size_t size)
{
	const char *name = shell(d, wanted_name(d));

	if (d->bridge)
		snprintf(buf, size, " && ip link set %s master %s up", name,
			 shell(d, d->bridge_name));
	else
		snprintf(buf, size, " && ip link set %s up", name);
}

void check_tap_create(struct doctor *d)
{
	char user[64], join[400];

	if (!opens_by_name(d) || d->tap)
		return;
	about(d, "tap%s%s", d->tap_name[0] ? " " : "", d->tap_name);
	if (d->admin)
		return;
	user_name(user, sizeof(user));
	join_text(d, join, sizeof(join));
	finding(d, VMTAP_FINDING_ERROR, "user %s may not make it", user);
	why(d,
	    "that needs the capability CAP_NET_ADMIN. An administrator can make the TAP for "
	    "you, once; or a helper does each time: use bridge,br=%s",
	    d->bridge_name[0] ? d->bridge_name : "br0");
	remedy(d, "ip tuntap add %s mode tap%s user %s%s", shell(d, wanted_name(d)),
	       d->target->queues > 1 ? " multi_queue" : "", user, join);
}

/* ----------------------------------------------------------------------- rights */

static bool is_in_group(int64_t group)
{
	return (gid_t)group == getegid() || group_member((gid_t)group);
}

/* It is made anew, as the kernel has no other way to give it away that a command offers. */
static void remake(struct doctor *d, bool multi_queue)
{
	char user[64], join[400];
	const char *flag = d->tap->tun.multi_queue ? " multi_queue" : "";

	user_name(user, sizeof(user));
	join_text(d, join, sizeof(join));
	remedy(d, "ip tuntap del %s mode tap%s && ip tuntap add %s mode tap%s user %s%s",
	       shell(d, d->tap_name), flag, shell(d, d->tap_name),
	       multi_queue ? " multi_queue" : "", user, join);
}

/* As tun_not_capable() of the kernel. */
void check_tap_owner(struct doctor *d)
{
	const struct nl_link *tap = d->tap;
	bool user_fits, group_fits;
	char user[64];
	struct group *gr;

	if (!opens_by_name(d) || !is_existing_tap(d))
		return;
	about(d, "tap %s", d->tap_name);
	user_fits = tap->tun.owner < 0 || (uid_t)tap->tun.owner == geteuid();
	group_fits = tap->tun.group < 0 || is_in_group(tap->tun.group);
	if (d->admin || (user_fits && group_fits))
		return;
	user_name(user, sizeof(user));
	if (!user_fits) {
		finding(d, VMTAP_FINDING_ERROR, "user %s may not attach to it: it is user %lld's",
			user, (long long)tap->tun.owner);
		remake(d, tap->tun.multi_queue);
		return;
	}
	gr = getgrgid((gid_t)tap->tun.group);
	finding(d, VMTAP_FINDING_ERROR, "user %s may not attach to it: it is for the group %s",
		user, gr ? gr->gr_name : "of a number without a name");
	if (gr) {
		why(d, "being put into a group counts from the next login on");
		remedy(d, "usermod -aG %s %s", shell(d, gr->gr_name), shell(d, user));
	} else {
		remake(d, tap->tun.multi_queue);
	}
}

/* ----------------------------------------------------------------------- queues */

void check_tap_queues(struct doctor *d)
{
	unsigned queues = d->target->queues ? d->target->queues : 1, open;

	if (!opens_by_name(d) || !is_existing_tap(d))
		return;
	about(d, "tap %s", d->tap_name);
	open = d->tap->tun.queues + d->tap->tun.detached_queues;
	if (d->tap->tun.multi_queue && queues == 1) {
		finding(d, VMTAP_FINDING_ERROR,
			"it is a multi-queue device and queues=1 is asked for");
		why(d, "use queues=2 or more, or make it anew");
		remake(d, false);
	} else if (!d->tap->tun.multi_queue && queues > 1) {
		finding(d, VMTAP_FINDING_ERROR,
			"it is a single-queue device and queues=%u is asked for", queues);
		why(d, "use queues=1, or make it anew");
		remake(d, true);
	} else if (open + queues > QUEUES_MAX) {
		finding(d, VMTAP_FINDING_ERROR,
			"it has %u queues open and the driver's limit is %d", open, QUEUES_MAX);
		why(d, "use fewer queues=, or end the processes that hold the others");
	}
}

void check_tap_busy(struct doctor *d)
{
	char holder[64];
	int pid;

	if (!opens_by_name(d) || !is_existing_tap(d))
		return;
	about(d, "tap %s", d->tap_name);
	if (d->tap->tun.multi_queue || !d->tap->carrier)
		return;
	pid = owner_find_holder(d->tap_name, holder);
	if (pid)
		finding(d, VMTAP_FINDING_ERROR, "process %d (%s) has it open", pid, holder);
	else
		finding(d, VMTAP_FINDING_ERROR,
			"a process that is not to be seen from here has it "
			"open");
	why(d, "a single-queue TAP is for one at a time: end that process, or choose another "
	       "ifname=");
}

/* ------------------------------------------------------------------------ state */

void check_tap_up(struct doctor *d)
{
	if (!is_existing_tap(d) || d->target->kind != DOCTOR_TAP)
		return;
	about(d, "tap %s", d->tap_name);
	if ((d->tap->flags & IFF_UP) || (d->admin && d->target->br))
		return;
	finding(d, VMTAP_FINDING_ERROR, "it is down");
	why(d, "no frame passes it, and it is up to an administrator to set it up");
	remedy(d, "ip link set %s up", shell(d, d->tap_name));
}

void check_tap_bridge(struct doctor *d)
{
	const struct nl_link *master;

	if (!is_existing_tap(d) || d->target->kind != DOCTOR_TAP)
		return;
	master = link_indexed(d, d->tap->master);
	about(d, "tap %s", d->tap_name);
	if (!d->target->br) {
		if (master)
			return;
		finding(d, VMTAP_FINDING_NOTE, "it is on no bridge");
		why(d, "its guest reaches what the host routes, and nothing else");
		return;
	}
	if (!d->bridge || master == d->bridge || d->admin)
		return;
	finding(d, VMTAP_FINDING_ERROR, "it is %s%s, and you may not put it on the bridge %s",
		master ? "on " : "on no bridge", master ? master->name : "", d->bridge_name);
	why(d, "that needs the capability CAP_NET_ADMIN");
	remedy(d, "ip link set %s master %s", shell(d, d->tap_name), shell(d, d->bridge_name));
}
