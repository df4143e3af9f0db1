/* SPDX-License-Identifier: MIT */
/* Checks: firewalls that see what a bridge forwards. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "host/checks.h"
#include "host/firewall.h"

#define SYSCTL "/proc/sys/net/bridge/bridge-nf-call-"

/* What br_netfilter hands to whom; @tool: of the older tables. */
static const struct way {
	enum fw_proto proto;
	const char *frames, *sysctl, *tool;
} ways[] = {
	{ FW_IPV4, "IPv4", "iptables", "iptables" },
	{ FW_IPV6, "IPv6", "ip6tables", "ip6tables" },
	{ FW_ARP, "ARP", "arptables", "arptables" },
	{ FW_BRIDGE, "Ethernet", NULL, NULL },
};

struct judgement {
	struct doctor *d;
	const struct way *way;
};

/* The bridge's own setting and the host's: either is enough. */
static bool is_handed_over(const struct doctor *d, const struct way *way)
{
	const struct nl_link *br = d->bridge;
	char path[80];

	if (!way->sysctl)
		return true;
	snprintf(path, sizeof(path), SYSCTL "%s", way->sysctl);
	return (way->proto == FW_IPV4 && br->bridge.nf_iptables) ||
	       (way->proto == FW_IPV6 && br->bridge.nf_ip6tables) ||
	       (way->proto == FW_ARP && br->bridge.nf_arptables) || read_number(path, 0) > 0;
}

/* The tool that speaks to the older tables is called so where both exist. */
static const char *legacy_tool(const char *tool, char *buf, size_t size)
{
	static const char *const folders[] = { "/usr/sbin", "/sbin", "/usr/bin" };

	for (size_t i = 0; i < sizeof(folders) / sizeof(folders[0]); i++) {
		snprintf(buf, size, "%s/%s-legacy", folders[i], tool);
		if (access(buf, X_OK) == 0) {
			snprintf(buf, size, "%s-legacy", tool);
			return buf;
		}
	}
	return tool;
}

/* Rules for ARP are about ports, not about the bridge; and hardly anybody wants them. */
static void say_arp_remedy(struct doctor *d)
{
	bool all = read_number(SYSCTL "arptables", 0) > 0, own = d->bridge->bridge.nf_arptables;

	remedy(d, "%s%s%s%s%s", all ? "sysctl -w net.bridge.bridge-nf-call-arptables=0" : "",
	       all && own ? " && " : "", own ? "ip link set " : "",
	       own ? shell(d, d->bridge_name) : "", own ? " type bridge nf_call_arptables 0" : "");
}

static void say_remedy(struct doctor *d, const struct way *way, const struct fw_chain *chain)
{
	const char *br = d->bridge_name;
	char command[TEXT_SIZE], tool[64];

	if (way->proto == FW_ARP) {
		say_arp_remedy(d);
		return;
	}
	if (!chain->family[0]) {
		remedy(d, "%s -I FORWARD -i %s -o %s -j ACCEPT",
		       legacy_tool(way->tool, tool, sizeof(tool)), shell(d, br), shell(d, br));
		return;
	}
	if (way->proto == FW_BRIDGE)
		snprintf(command, sizeof(command),
			 "insert rule bridge %s %s meta ibrname \"%s\" accept", chain->table,
			 chain->name, br);
	else
		snprintf(command, sizeof(command),
			 "insert rule %s %s %s iifname \"%s\" oifname \"%s\" accept", chain->family,
			 chain->table, chain->name, br, br);
	remedy(d, "nft %s", shell(d, command));
}

static void judge(void *ctx, const struct fw_chain *chain, enum fw_verdict verdict)
{
	struct judgement *j = ctx;
	struct doctor *d = j->d;

	if (verdict == FW_ACCEPT)
		return;
	finding(d, verdict == FW_DROP ? VMTAP_FINDING_ERROR : VMTAP_FINDING_WARNING,
		"the firewall drops the %s frames that it forwards (%s%schain %s of table %s)%s",
		j->way->frames, chain->family[0] ? chain->family : j->way->tool,
		chain->family[0] ? " " : "-legacy ", chain->name, chain->table,
		verdict == FW_DROP ? "" : ", except what other rules of it accept");
	if (j->way->sysctl)
		why(d,
		    "br_netfilter hands frames between two ports of a bridge to the firewall "
		    "(net.bridge.bridge-nf-call-%s=1), as containers' programs want it; a rule "
		    "has to let this bridge's pass",
		    j->way->sysctl);
	else
		why(d, "nothing gets from one port of the bridge to another");
	say_remedy(d, j->way, chain);
}

static void cannot_look(struct doctor *d, int error)
{
	if (error == -EPERM || error == -EACCES) {
		finding(d, VMTAP_FINDING_NOTE,
			"its frames are handed to the firewall, whose rules only root may read");
		why(d, "whether they are dropped cannot be said from here");
		remedy(d, "sudo vmtap doctor %s", shell(d, d->bridge_name));
	} else {
		finding(d, VMTAP_FINDING_NOTE,
			"its frames are handed to the firewall, whose rules cannot be read: %s",
			strerror(-error));
	}
}

void check_bridge_netfilter(struct doctor *d)
{
	struct fw_bridge bridge = { 0 };
	int error = 0;

	if (!d->bridge)
		return;
	about(d, "bridge %s", d->bridge_name);
	snprintf(bridge.name, sizeof(bridge.name), "%s", d->bridge_name);
	bridge.index = d->bridge->index;
	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		struct judgement j = { .d = d, .way = &ways[i] };
		int ret;

		if (!is_handed_over(d, &ways[i]))
			continue;
		ret = nft_forward(ways[i].proto, &bridge, judge, &j);
		/* a bridge's own chains are rare: not being able to look is worth no word */
		if (ret < 0 && ways[i].sysctl)
			error = ret;
		ret = xt_forward(ways[i].proto, &bridge, judge, &j);
		if (ret < 0)
			error = ret;
	}
	if (error)
		cannot_look(d, error);
}
