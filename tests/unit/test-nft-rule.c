/* SPDX-License-Identifier: MIT */
/* Rules of nf_tables, built as the kernel sends them. */
#include "host/nft.h"

#include <arpa/inet.h>
#include <linux/netfilter.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nf_tables_compat.h>
#include <linux/netfilter/xt_physdev.h>
#include <string.h>

#include "unit.h"

static const struct fw_bridge br0 = { .name = "br0", .index = 7 };

/* A rule while it is built: one attribute that holds the expressions. */
struct rule {
	char buf[4096];
	struct nlmsghdr *nlh;
	struct nlattr *all;
};

static void begin(struct rule *r)
{
	memset(r, 0, sizeof(*r));
	r->nlh = mnl_nlmsg_put_header(r->buf);
	r->all = mnl_attr_nest_start(r->nlh, NFTA_RULE_EXPRESSIONS);
}

static struct nft_rule eval(struct rule *r, enum fw_proto proto)
{
	struct nft_rule result;

	mnl_attr_nest_end(r->nlh, r->all);
	nft_rule_eval(proto, &br0, r->all, &result);
	return result;
}

struct expr {
	struct nlattr *elem, *data;
};

static struct expr expr_begin(struct rule *r, const char *name)
{
	struct expr e;

	e.elem = mnl_attr_nest_start(r->nlh, NFTA_LIST_ELEM);
	mnl_attr_put_strz(r->nlh, NFTA_EXPR_NAME, name);
	e.data = mnl_attr_nest_start(r->nlh, NFTA_EXPR_DATA);
	return e;
}

static void expr_end(struct rule *r, struct expr e)
{
	mnl_attr_nest_end(r->nlh, e.data);
	mnl_attr_nest_end(r->nlh, e.elem);
}

static void add_meta(struct rule *r, uint32_t key)
{
	struct expr e = expr_begin(r, "meta");

	mnl_attr_put_u32(r->nlh, NFTA_META_KEY, htonl(key));
	mnl_attr_put_u32(r->nlh, NFTA_META_DREG, htonl(NFT_REG_1));
	expr_end(r, e);
}

static void add_cmp(struct rule *r, uint32_t op, const void *value, size_t len)
{
	struct expr e = expr_begin(r, "cmp");
	struct nlattr *nest;

	mnl_attr_put_u32(r->nlh, NFTA_CMP_SREG, htonl(NFT_REG_1));
	mnl_attr_put_u32(r->nlh, NFTA_CMP_OP, htonl(op));
	nest = mnl_attr_nest_start(r->nlh, NFTA_CMP_DATA);
	mnl_attr_put(r->nlh, NFTA_DATA_VALUE, len, value);
	mnl_attr_nest_end(r->nlh, nest);
	expr_end(r, e);
}

static void add_verdict(struct rule *r, int code)
{
	struct expr e = expr_begin(r, "immediate");
	struct nlattr *data, *verdict;

	mnl_attr_put_u32(r->nlh, NFTA_IMMEDIATE_DREG, htonl(NFT_REG_VERDICT));
	data = mnl_attr_nest_start(r->nlh, NFTA_IMMEDIATE_DATA);
	verdict = mnl_attr_nest_start(r->nlh, NFTA_DATA_VERDICT);
	mnl_attr_put_u32(r->nlh, NFTA_VERDICT_CODE, htonl((uint32_t)code));
	mnl_attr_nest_end(r->nlh, verdict);
	mnl_attr_nest_end(r->nlh, data);
	expr_end(r, e);
}

static void add_plain(struct rule *r, const char *name)
{
	expr_end(r, expr_begin(r, name));
}

/* A rule that compares one thing. */
static struct nft_rule compare(uint32_t key, uint32_t op, const void *value, size_t len,
			       enum fw_proto proto)
{
	struct rule r;

	begin(&r);
	add_meta(&r, key);
	add_cmp(&r, op, value, len);
	return eval(&r, proto);
}

static void names_of_the_bridge_are_known(void **state)
{
	char br[16] = "br0", other[16] = "br1";
	struct nft_rule r;

	r = compare(NFT_META_IIFNAME, NFT_CMP_EQ, br, 16, FW_IPV4);
	assert_false(r.fails || r.unknown);
	r = compare(NFT_META_OIFNAME, NFT_CMP_EQ, other, 16, FW_IPV4);
	assert_true(r.fails);
	r = compare(NFT_META_OIFNAME, NFT_CMP_NEQ, other, 16, FW_IPV4);
	assert_false(r.fails || r.unknown);
	r = compare(NFT_META_IIFNAME, NFT_CMP_EQ, "br", 2, FW_IPV4); /* br* */
	assert_false(r.fails || r.unknown);
	r = compare(NFT_META_IIF, NFT_CMP_EQ, &br0.index, 4, FW_IPV4);
	assert_false(r.fails || r.unknown);
}

static void names_of_ports_are_not(void **state)
{
	char name[16] = "br0";
	struct nft_rule r = compare(NFT_META_IIFNAME, NFT_CMP_EQ, name, 16, FW_BRIDGE);

	assert_true(r.unknown);
	r = compare(NFT_META_BRI_IIFNAME, NFT_CMP_EQ, name, 16, FW_BRIDGE);
	assert_false(r.fails || r.unknown);
}

static void protocols_are_known(void **state)
{
	uint8_t ipv6 = NFPROTO_IPV6;

	assert_true(compare(NFT_META_NFPROTO, NFT_CMP_EQ, &ipv6, 1, FW_IPV4).fails);
	assert_false(compare(NFT_META_NFPROTO, NFT_CMP_EQ, &ipv6, 1, FW_IPV6).fails);
}

static void everything_else_is_unknown(void **state)
{
	uint32_t mark = 0;
	struct rule r;

	assert_true(compare(NFT_META_MARK, NFT_CMP_EQ, &mark, 4, FW_IPV4).unknown);
	assert_true(compare(NFT_META_IIF, NFT_CMP_GT, &mark, 4, FW_IPV4).unknown);
	begin(&r);
	add_meta(&r, NFT_META_IIF);
	add_plain(&r, "payload");
	add_cmp(&r, NFT_CMP_EQ, &br0.index, 4);
	assert_true(eval(&r, FW_IPV4).unknown);
	begin(&r);
	add_plain(&r, "of-the-future");
	assert_true(eval(&r, FW_IPV4).unknown);
}

static void a_condition_that_fails_outweighs_the_unknown(void **state)
{
	char other[16] = "br1";
	struct rule r;
	struct nft_rule result;

	begin(&r);
	add_plain(&r, "of-the-future");
	add_meta(&r, NFT_META_IIFNAME);
	add_cmp(&r, NFT_CMP_EQ, other, 16);
	add_verdict(&r, NF_ACCEPT);
	result = eval(&r, FW_IPV4);
	assert_true(result.fails);
	assert_null(result.verdict);
}

static void verdicts_are_found(void **state)
{
	struct nft_rule result;
	struct rule r;

	begin(&r);
	add_plain(&r, "counter");
	add_verdict(&r, NF_DROP);
	result = eval(&r, FW_IPV4);
	assert_false(result.unknown);
	assert_non_null(result.verdict);
	begin(&r);
	add_plain(&r, "reject");
	assert_true(eval(&r, FW_IPV4).drops);
}

static void a_comparison_beyond_the_registers_is_unknown(void **state)
{
	char value[200] = "";

	assert_true(compare(NFT_META_IIFNAME, NFT_CMP_EQ, value, sizeof(value), FW_IPV4).unknown);
	assert_true(compare(NFT_META_IIFNAME, NFT_CMP_EQ, value, 20, FW_IPV4).unknown);
	assert_true(compare(NFT_META_IIFNAME, NFT_CMP_EQ, value, 0, FW_IPV4).unknown);
}

static void expressions_without_their_parts_do_no_harm(void **state)
{
	static const char *const names[] = {
		"meta", "cmp", "immediate", "match", "target", "lookup"
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		struct rule r;

		begin(&r);
		add_plain(&r, names[i]);
		eval(&r, FW_IPV4);
		begin(&r);
		mnl_attr_put_strz(r.nlh, NFTA_LIST_ELEM, names[i]);
		eval(&r, FW_IPV4);
	}
}

static void extensions_of_iptables_are_known(void **state)
{
	struct xt_physdev_info info = { .bitmask = XT_PHYSDEV_OP_BRIDGED };

	assert_int_equal(xt_match_holds("physdev", &info, sizeof(info)), FW_YES);
	info.invert = XT_PHYSDEV_OP_BRIDGED;
	assert_int_equal(xt_match_holds("physdev", &info, sizeof(info)), FW_NO);
	info = (struct xt_physdev_info) { .bitmask = XT_PHYSDEV_OP_IN };
	assert_int_equal(xt_match_holds("physdev", &info, sizeof(info)), FW_UNKNOWN);
	assert_int_equal(xt_match_holds("physdev", &info, 4), FW_UNKNOWN);
	assert_int_equal(xt_match_holds("comment", "", 0), FW_YES);
	assert_int_equal(xt_match_holds("conntrack", "", 0), FW_UNKNOWN);
	assert_int_equal(xt_target_drops("REJECT"), FW_YES);
	assert_int_equal(xt_target_drops("LOG"), FW_NO);
	assert_int_equal(xt_target_drops("NFQUEUE"), FW_UNKNOWN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_of_the_bridge_are_known),
		cmocka_unit_test(names_of_ports_are_not),
		cmocka_unit_test(protocols_are_known),
		cmocka_unit_test(everything_else_is_unknown),
		cmocka_unit_test(a_condition_that_fails_outweighs_the_unknown),
		cmocka_unit_test(verdicts_are_found),
		cmocka_unit_test(a_comparison_beyond_the_registers_is_unknown),
		cmocka_unit_test(expressions_without_their_parts_do_no_harm),
		cmocka_unit_test(extensions_of_iptables_are_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
