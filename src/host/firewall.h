/* SPDX-License-Identifier: MIT */
/*
 * Would a firewall drop what a bridge forwards?
 *
 * Model: a frame that enters by one port of a bridge and leaves by another,
 * of which nothing else is known, is taken through the rules of every chain
 * that sees forwarded frames. Conditions on the bridge's name can be decided;
 * all others are unknown. What is accepted only by rules with unknown
 * conditions may pass or not.
 *
 * What the kernel says is read (nf_tables over netlink, the older tables over
 * getsockopt(2)), no program is run, and no table is called into being.
 */
#ifndef HOST_FIREWALL_H
#define HOST_FIREWALL_H

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>

/** enum fw_proto - Frames of what kind, and so which chains see them. */
enum fw_proto {
	FW_IPV4,   /* where br_netfilter hands them to IPv4's */
	FW_IPV6,   /* to IPv6's */
	FW_ARP,	   /* to ARP's */
	FW_BRIDGE, /* all, in the bridge's own chains */
	FW_PROTO_CNT
};

/** enum fw_verdict - What becomes of the frame. */
enum fw_verdict {
	FW_ACCEPT,
	FW_SOME, /* dropped, unless a rule accepts it that cannot be judged */
	FW_DROP,
};

#define FW_NAME_MAX 256

/** struct fw_chain - A chain that sees forwarded frames; @family: as nft(8) calls it, "" for an
 *  older table. */
struct fw_chain {
	const char *family;
	char table[FW_NAME_MAX], name[FW_NAME_MAX];
};

/** struct fw_bridge - Whose frames. */
struct fw_bridge {
	char name[IFNAMSIZ];
	int index;
};

typedef void fw_cb(void *ctx, const struct fw_chain *chain, enum fw_verdict verdict);

/** nft_forward() - nf_tables, which has iptables-nft's rules, too. Calls @each for every chain.
 *  Return: 0; -EPERM: only root may look; or another -errno. */
int nft_forward(enum fw_proto proto, const struct fw_bridge *bridge, fw_cb *each, void *ctx);

/** xt_forward() - The same for the table "filter" of iptables-legacy and its relatives. */
int xt_forward(enum fw_proto proto, const struct fw_bridge *bridge, fw_cb *each, void *ctx);

/** xt_judge() - The same for the @size bytes of a table's entries; forwarded frames begin at
 *  offset @first. Return: 0; -EPROTO: an offset in it leads nowhere. */
int xt_judge(enum fw_proto proto, const struct fw_bridge *bridge, const void *entries, size_t size,
	     size_t first, enum fw_verdict *verdict);

/* What both have of the older extensions. */

enum fw_holds {
	FW_NO,
	FW_YES,
	FW_UNKNOWN,
};

/** xt_match_holds() - Is the condition met by a frame that a bridge forwards? @info: as in
 *  <linux/netfilter/xt_*.h>. */
enum fw_holds xt_match_holds(const char *name, const void *info, size_t len);

/** xt_target_drops() - Does a target that is no plain verdict end the frame? FW_NO: the next rule
 *  has it. */
enum fw_holds xt_target_drops(const char *name);

#endif
