/* SPDX-License-Identifier: MIT */
/* Would nf_tables drop what a bridge forwards? Its chains, read over netlink. */
#include "host/firewall.h"

#include <errno.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/checks.h"
#include "host/nft.h"

#define BUF_SIZE 65536 /* a rule and what surrounds it */
#define DEPTH_MAX 16   /* NFT_JUMP_STACK_SIZE of the kernel */
#define CHAINS_MAX 512 /* that are read in one examination */
#define RULES_MAX 65536

/* How the evaluation of a chain ended. */
enum end {
	END_RETURN, /* at its last rule */
	END_ACCEPT,
	END_DROP,
	END_FAILED,
};

struct eval {
	struct mnl_socket *nl;
	unsigned seq, chains;
	char *buf;
	enum fw_proto proto;
	const struct fw_bridge *bridge;
	uint8_t family; /* of the chain that is looked at */
	const char *table;
	bool maybe; /* something may have accepted it */
	int error;
};

/* --------------------------------------------------------------------- netlink */

static struct nlmsghdr *request(char *buf, uint16_t type, uint8_t family)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buf);
	struct nfgenmsg *nfg;

	nlh->nlmsg_type = (uint16_t)(NFNL_SUBSYS_NFTABLES << 8 | type);
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	nfg = mnl_nlmsg_put_extra_header(nlh, sizeof(*nfg));
	nfg->nfgen_family = family;
	nfg->version = NFNETLINK_V0;
	return nlh;
}

static int dump(struct eval *e, struct nlmsghdr *nlh, mnl_cb_t cb, void *data)
{
	unsigned portid = mnl_socket_get_portid(e->nl);
	ssize_t len;
	int ret;

	nlh->nlmsg_seq = ++e->seq;
	if (mnl_socket_sendto(e->nl, nlh, nlh->nlmsg_len) < 0)
		return -errno;
	do {
		len = mnl_socket_recvfrom(e->nl, e->buf, BUF_SIZE);
		if (len < 0 && errno == EINTR)
			continue;
		ret = len < 0 ? -1 : mnl_cb_run(e->buf, (size_t)len, e->seq, portid, cb, data);
	} while (ret > 0);
	return ret < 0 ? -errno : 0;
}

/* ----------------------------------------------------------------------- rules */

/* The expressions of a chain's rules, copied: each a struct nlattr of its own. */
struct rules {
	struct nlattr **exprs;
	unsigned cnt, size;
	int error;
};

static int keep_rule(const struct nlmsghdr *nlh, void *data)
{
	struct rules *r = data;
	const struct nlattr *a;

	mnl_attr_for_each(a, nlh, sizeof(struct nfgenmsg))
	{
		if (mnl_attr_get_type(a) != NFTA_RULE_EXPRESSIONS)
			continue;
		if (r->cnt == r->size) {
			unsigned size = r->size ? 2 * r->size : 32;
			void *grown = size > RULES_MAX
					      ? NULL
					      : realloc(r->exprs, size * sizeof(*r->exprs));

			if (!grown)
				r->error = -ENOMEM;
			if (!grown)
				return MNL_CB_OK;
			r->exprs = grown;
			r->size = size;
		}
		r->exprs[r->cnt] = malloc(a->nla_len);
		if (!r->exprs[r->cnt]) {
			r->error = -ENOMEM;
			return MNL_CB_OK;
		}
		memcpy(r->exprs[r->cnt++], a, a->nla_len);
	}
	return MNL_CB_OK;
}

static int load_rules(struct eval *e, const char *chain, struct rules *r)
{
	struct nlmsghdr *nlh = request(e->buf, NFT_MSG_GETRULE, e->family);
	int ret;

	mnl_attr_put_strz(nlh, NFTA_RULE_TABLE, e->table);
	mnl_attr_put_strz(nlh, NFTA_RULE_CHAIN, chain);
	ret = dump(e, nlh, keep_rule, r);
	return ret ? ret : r->error;
}

static void free_rules(struct rules *r)
{
	for (unsigned i = 0; i < r->cnt; i++)
		free(r->exprs[i]);
	free(r->exprs);
}

/* ---------------------------------------------------------------------- chains */

static enum end eval_chain(struct eval *e, const char *chain, unsigned depth);

static enum end apply_jump(struct eval *e, const struct nlattr *verdict, bool is_goto, bool unknown,
			   unsigned depth, bool *done)
{
	const struct nlattr *name = nft_inner(verdict, NFTA_VERDICT_CHAIN);
	enum end end = name ? eval_chain(e, nft_text(name), depth + 1) : END_RETURN;

	*done = end == END_FAILED;
	if (unknown) {
		e->maybe |= end == END_ACCEPT;
		return end;
	}
	*done |= is_goto || end != END_RETURN;
	return end;
}

/* What becomes of the frame after a rule. @done: it goes no further in this chain. */
static enum end apply(struct eval *e, const struct nft_rule *rule, unsigned depth, bool *done)
{
	const struct nlattr *code = nft_inner(rule->verdict, NFTA_VERDICT_CODE);
	int verdict = code ? (int)nft_be32(code) : NFT_CONTINUE;

	*done = false;
	if (rule->fails)
		return END_RETURN;
	if (verdict == NFT_JUMP || verdict == NFT_GOTO)
		return apply_jump(e, rule->verdict, verdict == NFT_GOTO, rule->unknown, depth,
				  done);
	if (rule->unknown || rule->leaves) {
		e->maybe |= verdict == NF_ACCEPT || rule->leaves;
		return END_RETURN;
	}
	*done = rule->drops || verdict == NF_DROP || verdict == NF_ACCEPT || verdict == NFT_RETURN;
	if (verdict == NF_ACCEPT)
		return END_ACCEPT;
	return rule->drops || verdict == NF_DROP ? END_DROP : END_RETURN;
}

static enum end eval_rule(struct eval *e, const struct nlattr *exprs, unsigned depth, bool *done)
{
	struct nft_rule rule;

	nft_rule_eval(e->proto, e->bridge, exprs, &rule);
	return apply(e, &rule, depth, done);
}

static enum end eval_chain(struct eval *e, const char *chain, unsigned depth)
{
	struct rules rules = { 0 };
	enum end end = END_RETURN;
	bool done = false;

	e->error = depth > DEPTH_MAX || ++e->chains > CHAINS_MAX ? -E2BIG
								 : load_rules(e, chain, &rules);
	for (unsigned i = 0; !e->error && !done && i < rules.cnt; i++)
		end = eval_rule(e, rules.exprs[i], depth, &done);
	free_rules(&rules);
	if (e->error)
		return END_FAILED;
	return done ? end : END_RETURN;
}

/* ----------------------------------------------------------------- base chains */

struct base {
	uint8_t family;
	bool drops; /* its policy */
	struct fw_chain chain;
};

struct bases {
	enum fw_proto proto;
	struct base *list;
	unsigned cnt;
	int error;
};

static const char *family_name(uint8_t family)
{
	return family == NFPROTO_IPV4	? "ip"
	       : family == NFPROTO_IPV6 ? "ip6"
	       : family == NFPROTO_INET ? "inet"
					: "bridge";
}

static bool sees(uint8_t family, enum fw_proto proto)
{
	switch (proto) {
	case FW_IPV4:
		return family == NFPROTO_IPV4 || family == NFPROTO_INET;
	case FW_IPV6:
		return family == NFPROTO_IPV6 || family == NFPROTO_INET;
	case FW_BRIDGE:
		return family == NFPROTO_BRIDGE;
	default:
		return false; /* nf_tables has no forward chain for ARP */
	}
}

static int keep_base(const struct nlmsghdr *nlh, void *data)
{
	const struct nfgenmsg *nfg = mnl_nlmsg_get_payload(nlh);
	struct bases *b = data;
	struct base base = { .family = nfg->nfgen_family };
	const struct nlattr *a, *hook = NULL;
	struct base *grown;

	mnl_attr_for_each(a, nlh, sizeof(*nfg))
	{
		if (mnl_attr_get_type(a) == NFTA_CHAIN_TABLE)
			snprintf(base.chain.table, FW_NAME_MAX, "%s", nft_text(a));
		else if (mnl_attr_get_type(a) == NFTA_CHAIN_NAME)
			snprintf(base.chain.name, FW_NAME_MAX, "%s", nft_text(a));
		else if (mnl_attr_get_type(a) == NFTA_CHAIN_HOOK)
			hook = nft_inner(a, NFTA_HOOK_HOOKNUM);
		else if (mnl_attr_get_type(a) == NFTA_CHAIN_POLICY)
			base.drops = nft_be32(a) == NF_DROP;
	}
	/* NF_BR_FORWARD is the same number */
	if (!hook || nft_be32(hook) != NF_INET_FORWARD || !sees(base.family, b->proto))
		return MNL_CB_OK;
	base.chain.family = family_name(base.family);
	grown = realloc(b->list, (b->cnt + 1) * sizeof(*grown));
	if (!grown) {
		b->error = -ENOMEM;
		return MNL_CB_OK;
	}
	b->list = grown;
	b->list[b->cnt++] = base;
	return MNL_CB_OK;
}

static int judge(struct eval *e, const struct base *base, fw_cb *each, void *ctx)
{
	enum end end;

	e->family = base->family;
	e->table = base->chain.table;
	e->maybe = false;
	end = eval_chain(e, base->chain.name, 0);
	if (end == END_FAILED)
		return e->error;
	if (end == END_RETURN)
		end = base->drops ? END_DROP : END_ACCEPT;
	each(ctx, &base->chain, end == END_ACCEPT ? FW_ACCEPT : e->maybe ? FW_SOME : FW_DROP);
	return 0;
}

int nft_forward(enum fw_proto proto, const struct fw_bridge *bridge, fw_cb *each, void *ctx)
{
	struct eval e = { .proto = proto, .bridge = bridge };
	struct bases bases = { .proto = proto };
	int ret = -ENOMEM;

	if (module_is_idle("nf_tables"))
		return 0;
	e.buf = malloc(BUF_SIZE);
	e.nl = mnl_socket_open2(NETLINK_NETFILTER, SOCK_CLOEXEC);
	if (e.buf && e.nl)
		ret = mnl_socket_bind(e.nl, 0, MNL_SOCKET_AUTOPID) < 0 ? -errno : 0;
	if (!ret)
		ret = dump(&e, request(e.buf, NFT_MSG_GETCHAIN, NFPROTO_UNSPEC), keep_base, &bases);
	if (!ret)
		ret = bases.error;
	for (unsigned i = 0; !ret && i < bases.cnt; i++)
		ret = judge(&e, &bases.list[i], each, ctx);
	free(bases.list);
	free(e.buf);
	if (e.nl)
		mnl_socket_close(e.nl);
	return ret;
}
