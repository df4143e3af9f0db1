/* SPDX-License-Identifier: MIT */
/*
 * Would the table "filter" of iptables-legacy, ip6tables-legacy or
 * arptables-legacy drop what a bridge forwards? Their blobs are described in
 * <linux/netfilter_ipv4/ip_tables.h> and its relatives: entries one behind the
 * other, each with conditions and a target, jumps as offsets.
 *
 * The kernel makes a table when it is first asked for, so only those are
 * asked for that /proc says exist.
 */
#include "host/firewall.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
/* after the above, which the kernel's own headers make room for */
#include <linux/netfilter.h>
#include <linux/netfilter/xt_physdev.h>
#include <linux/netfilter_arp/arp_tables.h>
#include <linux/netfilter_ipv4/ip_tables.h>
#include <linux/netfilter_ipv6/ip6_tables.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/fd.h"
#include "host/checks.h"

#define TABLE "filter"
#define BLOB_MAX (64u << 20)
#define STEPS_MAX 1000000u
#define DEPTH_MAX 64

static_assert(sizeof(struct ipt_getinfo) == sizeof(struct ip6t_getinfo), "read as one");
static_assert(sizeof(struct ipt_get_entries) == sizeof(struct arpt_get_entries), "read as one");

static const struct variant {
	const char *proc; /* names of the tables that exist */
	int domain, level, info, entries;
	size_t entry_size;
} variants[FW_PROTO_CNT] = {
	[FW_IPV4] = { "/proc/net/ip_tables_names", AF_INET, IPPROTO_IP, IPT_SO_GET_INFO,
		      IPT_SO_GET_ENTRIES, sizeof(struct ipt_entry) },
	[FW_IPV6] = { "/proc/net/ip6_tables_names", AF_INET6, IPPROTO_IPV6, IP6T_SO_GET_INFO,
		      IP6T_SO_GET_ENTRIES, sizeof(struct ip6t_entry) },
	[FW_ARP] = { "/proc/net/arp_tables_names", AF_INET, IPPROTO_IP, ARPT_SO_GET_INFO,
		     ARPT_SO_GET_ENTRIES, sizeof(struct arpt_entry) },
};

/* struct blob - The rules; every offset in it is checked before use. */
struct blob {
	enum fw_proto proto;
	const struct fw_bridge *bridge;
	const char *data;
	size_t size;
	unsigned steps;
	bool maybe;
};

/* What the three kinds of entry have in common. */
struct entry {
	size_t head, target, next; /* offsets: of its matches, of its target, of the next entry */
	enum fw_holds holds;	   /* its own conditions */
	bool is_goto;
};

enum end {
	END_RETURN,
	END_ACCEPT,
	END_DROP,
	END_BROKEN,
};

/* ------------------------------------------------------------------- conditions */

enum fw_holds xt_match_holds(const char *name, const void *info, size_t len)
{
	struct xt_physdev_info p;
	const unsigned bridged = XT_PHYSDEV_OP_BRIDGED | XT_PHYSDEV_OP_ISIN | XT_PHYSDEV_OP_ISOUT;

	if (strcmp(name, "comment") == 0)
		return FW_YES;
	if (strcmp(name, "physdev") != 0 || len < sizeof(p))
		return FW_UNKNOWN;
	memcpy(&p, info, sizeof(p));
	if (p.bitmask & p.invert & bridged)
		return FW_NO;
	return p.bitmask & ~bridged ? FW_UNKNOWN : FW_YES;
}

enum fw_holds xt_target_drops(const char *name)
{
	if (strcmp(name, "REJECT") == 0 || strcmp(name, "DROP") == 0)
		return FW_YES;
	return strcmp(name, "NFQUEUE") == 0 ? FW_UNKNOWN : FW_NO;
}

/* An interface condition: @mask says which bytes of @name count; all 0: any. */
static bool name_fits(const char *name, const unsigned char *mask, bool inverted,
		      const char *bridge)
{
	bool same = true;

	for (size_t i = 0; i < IFNAMSIZ; i++)
		same &= !((name[i] ^ bridge[i]) & mask[i]);
	return same != inverted;
}

static bool is_zero(const void *p, size_t len)
{
	const char *c = p;

	while (len && !*c)
		c++, len--;
	return !len;
}

/* For ARP br_netfilter names the bridge's ports instead of the bridge, and those are unknown. */
static enum fw_holds decide(const struct blob *b, const char *in, const unsigned char *in_mask,
			    const char *out, const unsigned char *out_mask, bool not_in,
			    bool not_out, bool more)
{
	bool of_port =
		b->proto == FW_ARP && (!is_zero(in_mask, IFNAMSIZ) || !is_zero(out_mask, IFNAMSIZ));

	if (!of_port && (!name_fits(in, in_mask, not_in, b->bridge->name) ||
			 !name_fits(out, out_mask, not_out, b->bridge->name)))
		return FW_NO;
	return more || of_port ? FW_UNKNOWN : FW_YES;
}

static void read_ip(const struct blob *b, size_t at, struct entry *e)
{
	struct ipt_entry t;
	bool more;

	memcpy(&t, b->data + at, sizeof(t));
	more = !is_zero(&t.ip.smsk, sizeof(t.ip.smsk)) || !is_zero(&t.ip.dmsk, sizeof(t.ip.dmsk)) ||
	       t.ip.proto || (t.ip.flags & IPT_F_FRAG);
	e->target = t.target_offset;
	e->next = t.next_offset;
	e->is_goto = t.ip.flags & IPT_F_GOTO;
	e->holds = decide(b, t.ip.iniface, t.ip.iniface_mask, t.ip.outiface, t.ip.outiface_mask,
			  t.ip.invflags & IPT_INV_VIA_IN, t.ip.invflags & IPT_INV_VIA_OUT, more);
}

static void read_ip6(const struct blob *b, size_t at, struct entry *e)
{
	struct ip6t_entry t;
	bool more;

	memcpy(&t, b->data + at, sizeof(t));
	more = !is_zero(&t.ipv6.smsk, sizeof(t.ipv6.smsk)) ||
	       !is_zero(&t.ipv6.dmsk, sizeof(t.ipv6.dmsk)) || (t.ipv6.flags & IP6T_F_PROTO);
	e->target = t.target_offset;
	e->next = t.next_offset;
	e->is_goto = t.ipv6.flags & IP6T_F_GOTO;
	e->holds = decide(b, t.ipv6.iniface, t.ipv6.iniface_mask, t.ipv6.outiface,
			  t.ipv6.outiface_mask, t.ipv6.invflags & IP6T_INV_VIA_IN,
			  t.ipv6.invflags & IP6T_INV_VIA_OUT, more);
}

static void read_arp(const struct blob *b, size_t at, struct entry *e)
{
	struct arpt_entry t;
	bool more;

	memcpy(&t, b->data + at, sizeof(t));
	more = !is_zero(&t.arp.smsk, sizeof(t.arp.smsk)) ||
	       !is_zero(&t.arp.tmsk, sizeof(t.arp.tmsk)) || t.arp.arhln_mask || t.arp.arpop_mask ||
	       t.arp.arhrd_mask || t.arp.arpro_mask ||
	       !is_zero(t.arp.src_devaddr.mask, sizeof(t.arp.src_devaddr.mask)) ||
	       !is_zero(t.arp.tgt_devaddr.mask, sizeof(t.arp.tgt_devaddr.mask));
	e->target = t.target_offset;
	e->next = t.next_offset;
	e->is_goto = false;
	e->holds =
		decide(b, t.arp.iniface, t.arp.iniface_mask, t.arp.outiface, t.arp.outiface_mask,
		       t.arp.invflags & ARPT_INV_VIA_IN, t.arp.invflags & ARPT_INV_VIA_OUT, more);
}

/* The conditions in extensions, between the entry's head and its target. */
static void read_matches(const struct blob *b, size_t at, struct entry *e)
{
	size_t off = e->head;
	struct xt_entry_match m;

	while (off + sizeof(m) <= e->target && e->holds != FW_NO) {
		enum fw_holds holds = FW_UNKNOWN;

		memcpy(&m, b->data + at + off, sizeof(m));
		m.u.user.name[sizeof(m.u.user.name) - 1] = '\0';
		if (m.u.match_size < sizeof(m) || off + m.u.match_size > e->target)
			break;
		holds = xt_match_holds(m.u.user.name, b->data + at + off + sizeof(m),
				       m.u.match_size - sizeof(m));
		if (holds != FW_YES)
			e->holds = holds;
		off += m.u.match_size;
	}
}

/* Return: whether there is an entry at @at, with a target within it. */
static bool read_entry(const struct blob *b, size_t at, struct entry *e)
{
	size_t head = variants[b->proto].entry_size;

	if (at > b->size || b->size - at < head)
		return false;
	e->head = head;
	if (b->proto == FW_IPV4)
		read_ip(b, at, e);
	else if (b->proto == FW_IPV6)
		read_ip6(b, at, e);
	else
		read_arp(b, at, e);
	if (e->target < head || e->next > b->size - at ||
	    e->next < e->target + sizeof(struct xt_entry_target))
		return false;
	if (b->proto != FW_ARP)
		read_matches(b, at, e);
	return true;
}

/* ------------------------------------------------------------------------ walk */

static enum end walk(struct blob *b, size_t at, unsigned depth);

static enum end jump(struct blob *b, size_t to, bool unknown, unsigned depth)
{
	enum end end = walk(b, to, depth + 1);

	if (!unknown || end == END_BROKEN)
		return end;
	b->maybe |= end == END_ACCEPT;
	return END_RETURN;
}

/* A target other than "" is an extension's, or the head of a user's chain. */
static enum end apply_extension(struct blob *b, const char *name, enum fw_holds holds)
{
	enum fw_holds drops = xt_target_drops(name);

	if (drops == FW_YES && holds == FW_YES)
		return END_DROP;
	b->maybe |= drops == FW_UNKNOWN;
	return END_RETURN;
}

/* @done: the frame goes no further in this chain. */
static enum end apply(struct blob *b, size_t at, const struct entry *e, unsigned depth, bool *done)
{
	struct xt_standard_target t = { 0 };
	enum end end;
	size_t room = e->next - e->target;

	memcpy(&t, b->data + at + e->target, room < sizeof(t) ? room : sizeof(t));
	t.target.u.user.name[sizeof(t.target.u.user.name) - 1] = '\0';
	if (t.target.u.user.name[0]) {
		end = apply_extension(b, t.target.u.user.name, e->holds);
		*done = end != END_RETURN;
		return end;
	}
	if (t.verdict >= 0) {
		end = (size_t)t.verdict == at + e->next
			      ? END_RETURN
			      : jump(b, (size_t)t.verdict, e->holds == FW_UNKNOWN, depth);
		*done = end != END_RETURN || (e->is_goto && e->holds == FW_YES);
		return end;
	}
	if (e->holds == FW_UNKNOWN) {
		b->maybe |= t.verdict == -NF_ACCEPT - 1;
		return END_RETURN;
	}
	*done = true;
	return t.verdict == -NF_ACCEPT - 1 ? END_ACCEPT
	       : t.verdict == XT_RETURN	   ? END_RETURN
					   : END_DROP;
}

static enum end walk(struct blob *b, size_t at, unsigned depth)
{
	enum end end = END_RETURN;
	struct entry e;
	bool done = false;

	if (depth > DEPTH_MAX)
		return END_BROKEN;
	while (!done) {
		if (++b->steps > STEPS_MAX || !read_entry(b, at, &e))
			return END_BROKEN;
		if (e.holds != FW_NO)
			end = apply(b, at, &e, depth, &done);
		at += e.next;
	}
	return end;
}

/* ----------------------------------------------------------------------- tables */

/* Return: 1: it exists; 0: it does not; -EACCES: only root may know. */
static int table_exists(const struct variant *v)
{
	char names[1024], *line, *save;
	int ret = read_text(v->proc, names, sizeof(names));

	if (ret < 0)
		return ret == -ENOENT ? 0 : ret;
	for (line = strtok_r(names, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		if (strcmp(line, TABLE) == 0)
			return 1;
	return 0;
}

/* What there is to know before the entries are asked for. ARP has fewer hooks. */
struct table_info {
	size_t size, forward;
};

static int get_info(enum fw_proto proto, int sock, struct table_info *info)
{
	const struct variant *v = &variants[proto];
	struct ipt_getinfo ip = { .name = TABLE };
	struct arpt_getinfo arp = { .name = TABLE };
	bool is_arp = proto == FW_ARP;
	socklen_t len = is_arp ? sizeof(arp) : sizeof(ip);

	if (getsockopt(sock, v->level, v->info, is_arp ? (void *)&arp : &ip, &len) < 0)
		return -errno;
	info->size = is_arp ? arp.size : ip.size;
	info->forward = is_arp ? arp.hook_entry[NF_ARP_FORWARD] : ip.hook_entry[NF_INET_FORWARD];
	return info->size > BLOB_MAX ? -E2BIG : 0;
}

/* Return: the blob, owned, or NULL and *@ret. All three kinds have the same answer. */
static struct ipt_get_entries *get_entries(enum fw_proto proto, struct table_info *info, int *ret)
{
	const struct variant *v = &variants[proto];
	cleanup_fd int sock = socket(v->domain, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW);
	struct ipt_get_entries *get;
	socklen_t len;

	*ret = sock < 0 ? -errno : get_info(proto, sock, info);
	if (*ret < 0)
		return NULL;
	get = calloc(1, sizeof(*get) + info->size);
	if (!get) {
		*ret = -ENOMEM;
		return NULL;
	}
	snprintf(get->name, sizeof(get->name), TABLE);
	get->size = (unsigned)info->size;
	len = (socklen_t)(sizeof(*get) + info->size);
	if (getsockopt(sock, v->level, v->entries, get, &len) < 0) {
		*ret = -errno;
		free(get);
		return NULL;
	}
	return get;
}

int xt_judge(enum fw_proto proto, const struct fw_bridge *bridge, const void *entries, size_t size,
	     size_t first, enum fw_verdict *verdict)
{
	struct blob b = { .proto = proto, .bridge = bridge, .data = entries, .size = size };
	enum end end = walk(&b, first, 0);

	*verdict = end != END_DROP ? FW_ACCEPT : b.maybe ? FW_SOME : FW_DROP;
	return end == END_BROKEN ? -EPROTO : 0;
}

int xt_forward(enum fw_proto proto, const struct fw_bridge *bridge, fw_cb *each, void *ctx)
{
	struct fw_chain chain = { .family = "", .table = TABLE, .name = "FORWARD" };
	struct ipt_get_entries *get;
	struct table_info info = { 0 };
	enum fw_verdict verdict;
	int ret;

	if (!variants[proto].proc)
		return 0;
	ret = table_exists(&variants[proto]);
	if (ret <= 0)
		return ret == -EACCES ? -EPERM : ret;
	get = get_entries(proto, &info, &ret);
	if (!get)
		return ret;
	ret = xt_judge(proto, bridge, get->entrytable, get->size, info.forward, &verdict);
	free(get);
	if (!ret)
		each(ctx, &chain, verdict);
	return ret;
}
