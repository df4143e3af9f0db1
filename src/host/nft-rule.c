/* SPDX-License-Identifier: MIT */
/* One rule of nf_tables: what it does with a frame that a bridge forwards. */
#include "host/nft.h"

#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nf_tables_compat.h>
#include <string.h>

#define WORDS 16 /* of the registers, four bytes each */

uint32_t nft_be32(const struct nlattr *a)
{
	uint32_t v = 0;

	if (mnl_attr_get_payload_len(a) == sizeof(v))
		memcpy(&v, mnl_attr_get_payload(a), sizeof(v));
	return ntohl(v);
}

const char *nft_text(const struct nlattr *a)
{
	return mnl_attr_validate(a, MNL_TYPE_NUL_STRING) < 0 ? "" : mnl_attr_get_str(a);
}

const struct nlattr *nft_inner(const struct nlattr *nest, uint16_t type)
{
	const struct nlattr *a;

	if (!nest)
		return NULL;
	mnl_attr_for_each_nested(a, nest)
	{
		if (mnl_attr_get_type(a) == type)
			return a;
	}
	return NULL;
}

/* ------------------------------------------------------------------- registers */

struct regs {
	uint32_t word[WORDS];
	bool known[WORDS];
};

/* A register's first word: 1..4 have 16 bytes, NFT_REG32_00.. four. Return: -1: no such one. */
static int reg_word(uint32_t reg)
{
	if (reg >= NFT_REG_1 && reg <= NFT_REG_4)
		return (int)(reg - NFT_REG_1) * 4;
	if (reg >= NFT_REG32_00 && reg <= NFT_REG32_15)
		return (int)(reg - NFT_REG32_00);
	return -1;
}

static void reg_set(struct regs *r, uint32_t reg, const void *value, size_t len)
{
	int first = reg_word(reg);
	size_t words = (len + 3) / 4;

	if (first < 0 || (size_t)first + words > WORDS)
		return;
	memset(&r->word[first], 0, words * 4);
	memcpy(&r->word[first], value, len);
	for (size_t i = 0; i < words; i++)
		r->known[(size_t)first + i] = true;
}

static void reg_forget(struct regs *r, uint32_t reg)
{
	int first = reg_word(reg);

	/* how much is written is not always said */
	for (int i = first; first >= 0 && i < WORDS; i++)
		r->known[i] = false;
}

/* ----------------------------------------------------------------- expressions */

/* A rule while it is evaluated. */
struct eval {
	enum fw_proto proto;
	const struct fw_bridge *bridge;
	struct regs regs;
	struct nft_rule *rule;
};

static void eval_meta(struct eval *e, const struct nlattr *data)
{
	struct regs *regs = &e->regs;
	const struct nlattr *key = nft_inner(data, NFTA_META_KEY),
			    *dreg = nft_inner(data, NFTA_META_DREG);
	uint8_t proto = e->proto == FW_IPV6 ? NFPROTO_IPV6 : NFPROTO_IPV4;
	uint16_t type = htons(e->proto == FW_IPV6 ? ETH_P_IPV6 : ETH_P_IP);
	bool bridge = e->proto == FW_BRIDGE;
	uint32_t reg;

	if (!key || !dreg)
		return;
	reg = nft_be32(dreg);
	switch (nft_be32(key)) {
	case NFT_META_IIFNAME:
	case NFT_META_OIFNAME:
		if (!bridge)
			reg_set(regs, reg, e->bridge->name, IFNAMSIZ);
		else
			reg_forget(regs, reg);
		break;
	case NFT_META_BRI_IIFNAME:
	case NFT_META_BRI_OIFNAME:
		reg_set(regs, reg, e->bridge->name, IFNAMSIZ);
		break;
	case NFT_META_IIF:
	case NFT_META_OIF:
		if (!bridge)
			reg_set(regs, reg, &e->bridge->index, sizeof(uint32_t));
		else
			reg_forget(regs, reg);
		break;
	case NFT_META_NFPROTO:
		if (!bridge)
			reg_set(regs, reg, &proto, sizeof(proto));
		else
			reg_forget(regs, reg);
		break;
	case NFT_META_PROTOCOL:
		if (!bridge)
			reg_set(regs, reg, &type, sizeof(type));
		else
			reg_forget(regs, reg);
		break;
	default:
		reg_forget(regs, reg);
		break;
	}
}

static bool is_known(const struct regs *regs, int first, size_t len)
{
	if (first < 0 || !len || (size_t)first + (len + 3) / 4 > WORDS)
		return false;
	for (size_t i = 0; i < (len + 3) / 4; i++)
		if (!regs->known[(size_t)first + i])
			return false;
	return true;
}

static void eval_cmp(const struct nlattr *data, struct eval *e)
{
	const struct nlattr *sreg = nft_inner(data, NFTA_CMP_SREG),
			    *op = nft_inner(data, NFTA_CMP_OP);
	const struct nlattr *value = nft_inner(nft_inner(data, NFTA_CMP_DATA), NFTA_DATA_VALUE);
	int first = sreg ? reg_word(nft_be32(sreg)) : -1;
	size_t len = value ? mnl_attr_get_payload_len(value) : 0;
	bool same;

	if (!op || !is_known(&e->regs, first, len)) {
		e->rule->unknown = true;
		return;
	}
	same = memcmp(&e->regs.word[first], mnl_attr_get_payload(value), len) == 0;
	if (nft_be32(op) == NFT_CMP_EQ)
		e->rule->fails = !same;
	else if (nft_be32(op) == NFT_CMP_NEQ)
		e->rule->fails = same;
	else
		e->rule->unknown = true;
}

/* Is it in a set? Or, from a map, a value or a verdict. */
static void eval_lookup(const struct nlattr *data, struct eval *e)
{
	const struct nlattr *dreg = nft_inner(data, NFTA_LOOKUP_DREG);

	e->rule->unknown = true;
	if (dreg && nft_be32(dreg) == NFT_REG_VERDICT)
		e->rule->leaves = true;
	else if (dreg)
		reg_forget(&e->regs, nft_be32(dreg));
}

static void eval_immediate(const struct nlattr *data, struct eval *e)
{
	const struct nlattr *dreg = nft_inner(data, NFTA_IMMEDIATE_DREG);
	const struct nlattr *value = nft_inner(data, NFTA_IMMEDIATE_DATA);

	if (!dreg)
		e->rule->unknown = true;
	else if (nft_be32(dreg) == NFT_REG_VERDICT)
		e->rule->verdict = nft_inner(value, NFTA_DATA_VERDICT);
	else
		reg_forget(&e->regs, nft_be32(dreg));
}

static void eval_xt_match(const struct nlattr *data, struct eval *e)
{
	const struct nlattr *name = nft_inner(data, NFTA_MATCH_NAME);
	const struct nlattr *info = nft_inner(data, NFTA_MATCH_INFO);
	enum fw_holds holds = FW_UNKNOWN;

	if (name && info)
		holds = xt_match_holds(nft_text(name), mnl_attr_get_payload(info),
				       mnl_attr_get_payload_len(info));
	e->rule->fails = holds == FW_NO;
	e->rule->unknown |= holds == FW_UNKNOWN;
}

static void eval_xt_target(const struct nlattr *data, struct eval *e)
{
	const struct nlattr *name = nft_inner(data, NFTA_TARGET_NAME);
	enum fw_holds drops = name ? xt_target_drops(nft_text(name)) : FW_UNKNOWN;

	e->rule->drops = drops == FW_YES;
	e->rule->leaves = drops == FW_UNKNOWN;
}

static bool is_one_of(const char *name, const char *const *names)
{
	for (; *names; names++)
		if (strcmp(name, *names) == 0)
			return true;
	return false;
}

static void eval_expression(struct eval *e, const char *name, const struct nlattr *data)
{
	static const char *const neutral[] = { "counter", "log",  "notrack",	  "objref",
					       "masq",	  "nat",  "dup",	  "dynset",
					       "quota",	  "last", "flow_offload", NULL };
	static const char *const loads[] = { "payload", "ct",	  "rt",	     "fib",	  "hash",
					     "numgen",	"socket", "bitwise", "byteorder", "exthdr",
					     "osf",	"xfrm",	  "tunnel",  NULL };

	if (strcmp(name, "meta") == 0)
		eval_meta(e, data);
	else if (strcmp(name, "cmp") == 0)
		eval_cmp(data, e);
	else if (strcmp(name, "immediate") == 0)
		eval_immediate(data, e);
	else if (strcmp(name, "reject") == 0)
		e->rule->drops = true;
	else if (strcmp(name, "match") == 0)
		eval_xt_match(data, e);
	else if (strcmp(name, "target") == 0)
		eval_xt_target(data, e);
	else if (strcmp(name, "lookup") == 0)
		eval_lookup(data, e);
	else if (strcmp(name, "queue") == 0)
		e->rule->leaves = true;
	else if (is_one_of(name, loads))
		memset(e->regs.known, 0, sizeof(e->regs.known));
	else if (!is_one_of(name, neutral))
		e->rule->unknown = true;
}

void nft_rule_eval(enum fw_proto proto, const struct fw_bridge *bridge, const struct nlattr *exprs,
		   struct nft_rule *rule)
{
	struct eval e = { .proto = proto, .bridge = bridge, .rule = rule };
	const struct nlattr *elem;

	memset(rule, 0, sizeof(*rule));
	mnl_attr_for_each_nested(elem, exprs)
	{
		const struct nlattr *name = nft_inner(elem, NFTA_EXPR_NAME);
		const struct nlattr *data = nft_inner(elem, NFTA_EXPR_DATA);

		if (name)
			eval_expression(&e, nft_text(name), data);
		else
			rule->unknown = true;
		/* a condition that is not met ends the rule, whatever else is unknown */
		if (rule->fails)
			return;
	}
}
