/* SPDX-License-Identifier: MIT */
/*
 * One rule of nf_tables, as its netlink protocol hands it out
 * (<linux/netfilter/nf_tables.h>).
 *
 * A rule is a list of expressions over registers: "meta" loads, "cmp" compares
 * and ends the rule unless it holds, "immediate" gives a verdict. A register
 * whose content is not known here makes what compares it unknown.
 */
#ifndef HOST_NFT_H
#define HOST_NFT_H

#include <libmnl/libmnl.h>

#include "host/firewall.h"

/**
 * struct nft_rule - What a rule does with a frame that a bridge forwards
 * @fails:   a condition is not met
 * @unknown: a condition cannot be judged
 * @verdict: NFTA_DATA_VERDICT; NULL: none
 * @drops:   it is rejected
 * @leaves:  it is handed to somebody else, or the verdict comes from a map
 */
struct nft_rule {
	bool fails, unknown;
	const struct nlattr *verdict;
	bool drops, leaves;
};

/** nft_rule_eval() - @exprs: NFTA_RULE_EXPRESSIONS. */
void nft_rule_eval(enum fw_proto proto, const struct fw_bridge *bridge, const struct nlattr *exprs,
		   struct nft_rule *rule);

/** nft_inner() - The attribute of that type among those that @nest, which may be NULL, holds. */
const struct nlattr *nft_inner(const struct nlattr *nest, uint16_t type);
/** nft_be32() - A number; 0 when it is none. */
uint32_t nft_be32(const struct nlattr *a);
/** nft_text() - A NUL-terminated text, or "". */
const char *nft_text(const struct nlattr *a);

#endif
