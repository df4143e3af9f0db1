/* SPDX-License-Identifier: MIT */
/*
 * Fuzz what the doctor reads: command lines of VMMs, configuration of programs that manage
 * interfaces, and rules of firewalls as the kernel hands them out.
 *
 * The first byte says which. After every text, what is said of it must be fit to be said.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/ini.h"
#include "host/manager.h"
#include "host/nft.h"
#include "host/vmm.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct fw_bridge br0 = { .name = "br0", .index = 7 };
static const struct managed vm0 = { "vm0", "tun", "52:54:00:00:00:01" };

static void read_vmm(const char *text)
{
	struct vmm v;

	if (vmm_of_text(text, &v) < 0 || !v.kind)
		return;
	/* what is shared needs no remedy, and nothing is both */
	if (v.shared && (v.culprit[0] || v.remedy[0] || v.maybe))
		abort();
}

static int match(void *ctx, const char *section, const char *key, const char *value)
{
	bool known;

	nm_spec_matches(value, &vm0);
	if (networkd_match(key, value, &vm0, &known) && !known)
		abort();
	return 0;
}

/* The attributes as they are, behind a head of the right length. */
static void read_rule(const uint8_t *data, size_t size)
{
	struct nlattr *all = malloc(sizeof(*all) + size);
	struct nft_rule rule;

	all->nla_len = (uint16_t)(sizeof(*all) + size);
	all->nla_type = 0;
	memcpy(all + 1, data, size);
	for (unsigned proto = 0; proto < FW_PROTO_CNT; proto++)
		nft_rule_eval(proto, &br0, all, &rule);
	free(all);
}

static void read_table(const uint8_t *data, size_t size, enum fw_proto proto)
{
	enum fw_verdict verdict;
	void *copy = malloc(size ? size : 1); /* exact, so that a step beyond it is seen */

	memcpy(copy, data, size);
	xt_judge(proto, &br0, copy, size, 0, &verdict);
	free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text;

	if (size < 1 || size > 16384)
		return 0;
	text = strndup((const char *)data + 1, size - 1);
	switch (data[0] % 6) {
	case 0:
		read_vmm(text);
		break;
	case 1:
		ini_parse(text, match, NULL);
		break;
	case 2:
		read_rule(data + 1, size - 1);
		break;
	default:
		read_table(data + 1, size - 1, (enum fw_proto)(data[0] % 6 - 3));
		break;
	}
	free(text);
	return 0;
}
