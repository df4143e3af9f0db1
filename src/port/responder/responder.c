/* SPDX-License-Identifier: MIT */
/*
 * The `responder` port: a stand-in for a guest, which answers ARP, neighbour
 * discovery and ping.
 *
 * Model
 *   A request is copied into room reserved in a ring, becomes its reply
 *   there (reply.h), and leaves by a task of the loop in bursts. The copy
 *   also keeps a peer that shares memory from changing what was checked.
 *
 * Back-pressure
 *   While the peer takes no replies they stay in the ring. While the ring is
 *   full, a request is not taken, but whatever begets no reply still is:
 *   replies therefore always get through, and two responders that are joined
 *   together cannot hold each other for ever. To know which it is, the
 *   request is worked on in a spare buffer.
 */
#include "port/responder/responder.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/container.h"
#include "base/error.h"
#include "base/iov.h"
#include "conf/conf.h"
#include "port/responder/reply.h"
#include "port/responder/ring.h"

struct responder {
	struct port port;
	struct reply_host host;
	struct loop_task drain;
	struct ring ring;
	uint8_t *spare; /* VMTAP_FRAME_MAX bytes, owned */
	uint64_t seen[REPLY_KIND_CNT];
};

static struct responder *of_port(const struct port *p)
{
	return container_of(p, struct responder, port);
}

/* ------------------------------------------------------------------ settings */

static const struct conf_key keys[] = {
	{
		.name = "ip",
		.kind = CONF_STRING,
		.def = "no IPv4 address",
		.help = "IPv4 address to answer for, as in 10.0.0.2 or 10.0.0.2/24. The prefix "
			"length has no effect: a reply goes to where its request came from",
	},
	{
		.name = "ip6",
		.kind = CONF_STRING,
		.def = "the link-local address only",
		.help = "IPv6 address to answer for, as in fd00::2 or fd00::2/64, besides the "
			"link-local address that is made from mac=",
	},
	{
		.name = "mac",
		.kind = CONF_MAC,
		.def = "52:54:00 and three bytes derived from id=, ip= and ip6=",
		.help = "address to answer with. The default stays the same as long as those do",
	},
	{ 0 },
};

static const struct conf_schema schema = { .type = "responder", .keys = keys };

/* FNV-1a: a few stable bytes out of texts, nothing to do with secrets. */
static uint32_t mix(uint32_t hash, const char *text)
{
	do
		hash = (hash ^ (uint8_t)*text) * 16777619u;
	while (*text++);
	return hash;
}

static void default_mac(uint8_t mac[6], const char *name, const struct conf *conf)
{
	uint32_t hash = mix(2166136261u, name);

	hash = mix(hash, conf_str(conf, "ip", ""));
	hash = mix(hash, conf_str(conf, "ip6", ""));
	hash ^= hash >> 24;
	memcpy(mac, (const uint8_t[]) { 0x52, 0x54, 0x00 }, 3);
	mac[3] = (uint8_t)(hash >> 16);
	mac[4] = (uint8_t)(hash >> 8);
	mac[5] = (uint8_t)hash;
}

/* ADDR or ADDR/LEN. Return: whether it is one. */
static bool parse_addr(const char *text, int family, unsigned len_max, void *addr)
{
	char buf[INET6_ADDRSTRLEN + 1];
	size_t n = strcspn(text, "/");
	unsigned len = 0;

	if (n >= sizeof(buf))
		return false;
	memcpy(buf, text, n);
	buf[n] = '\0';
	if (inet_pton(family, buf, addr) != 1)
		return false;
	if (!text[n])
		return true;
	for (text += n + 1, n = 0; text[n] >= '0' && text[n] <= '9' && n < 3; n++)
		len = len * 10 + (unsigned)(text[n] - '0');
	return n > 0 && !text[n] && len <= len_max;
}

static bool is_host4(const uint8_t ip[4])
{
	return ip[0] != 0 && ip[0] != 127 && ip[0] < 224;
}

static bool is_host6(const uint8_t ip[16])
{
	struct in6_addr a;

	memcpy(&a, ip, sizeof(a));
	return !IN6_IS_ADDR_UNSPECIFIED(&a) && !IN6_IS_ADDR_LOOPBACK(&a) &&
	       !IN6_IS_ADDR_MULTICAST(&a);
}

static int addr_error(const struct conf *conf, const char *key, const char *example,
		      struct vmtap_error *err)
{
	error_set(err, EINVAL, conf_object(conf), "read its options",
		  "%s=%s is not the address of a host, with or without a prefix length", key,
		  conf_str(conf, key, ""));
	error_remedy(err, "write it as in %s=%s", key, example);
	return -EINVAL;
}

static int host_from_conf(struct reply_host *h, const char *name, const struct conf *conf,
			  struct vmtap_error *err)
{
	uint8_t mac[6];

	if (!conf_mac(conf, "mac", mac))
		default_mac(mac, name, conf);
	reply_host_init(h, mac);
	if (conf_has(conf, "ip")) {
		h->has_ip = parse_addr(conf_str(conf, "ip", ""), AF_INET, 32, h->ip);
		if (!h->has_ip || !is_host4(h->ip))
			return addr_error(conf, "ip", "10.0.0.2", err);
	}
	if (conf_has(conf, "ip6")) {
		h->has_ip6 = parse_addr(conf_str(conf, "ip6", ""), AF_INET6, 128, h->ip6);
		if (!h->has_ip6 || !is_host6(h->ip6))
			return addr_error(conf, "ip6", "fd00::2", err);
	}
	return 0;
}

/* -------------------------------------------------------------------- replies */

static void drain_run(struct loop_task *t)
{
	struct responder *r = container_of(t, struct responder, drain);
	const struct vmtap_frame *frames;
	unsigned budget = PORT_BUDGET, cnt;

	while (r->port.polling && !port_is_held(&r->port) && budget) {
		unsigned taken;

		cnt = ring_peek(&r->ring, &frames);
		if (cnt > budget)
			cnt = budget;
		if (!cnt)
			break;
		taken = port_offer(&r->port, frames, cnt);
		if (r->port.closed)
			return;
		ring_drop(&r->ring, taken);
		budget -= taken;
	}
	if (r->ring.cnt && !budget)
		loop_task_add(r->port.env->loop, t);
	if (port_is_blocked(&r->port) && ring_reserve(&r->ring, VMTAP_FRAME_MAX))
		port_writable(&r->port);
}

static void drain_soon(struct responder *r)
{
	if (r->ring.cnt)
		loop_task_add(r->port.env->loop, &r->drain);
}

/* Nobody needs to be told twice while the first telling waits. */
static void announce(struct responder *r)
{
	if (r->ring.cnt)
		return;
	for (unsigned i = 0; i < REPLY_ANNOUNCE_MAX; i++) {
		uint8_t *at = ring_reserve(&r->ring, REPLY_ROOM_MIN);
		size_t len = at ? reply_announce(&r->host, i, at) : 0;

		if (len)
			ring_commit(&r->ring, at, len);
	}
	drain_soon(r);
}

static bool is_for_host(const struct responder *r, const struct vmtap_frame *f)
{
	uint8_t dst[6];

	return iov_read(f->iov, f->iov_cnt, 0, dst, sizeof(dst)) == sizeof(dst) &&
	       reply_is_for(&r->host, dst);
}

/* Return: false: it asks for a reply, for which there is no room. */
static bool take(struct responder *r, const struct vmtap_frame *f)
{
	size_t len = f->len, room = len > REPLY_ROOM_MIN ? len : REPLY_ROOM_MIN;
	uint8_t *at, *queue_at;
	enum reply_kind kind;

	if (len > VMTAP_FRAME_MAX) {
		port_drop_tx(&r->port, VMTAP_DROP_TOO_LONG, f, 1);
		return true;
	}
	if (!is_for_host(r, f)) {
		r->seen[REPLY_OTHER]++;
		return true;
	}
	queue_at = ring_reserve(&r->ring, room);
	at = queue_at ? queue_at : r->spare;
	len = iov_read(f->iov, f->iov_cnt, 0, at, len);
	kind = reply_make(&r->host, at, &len, room);
	if (reply_is_answer(kind)) {
		if (!queue_at)
			return false;
		ring_commit(&r->ring, queue_at, len);
	}
	r->seen[kind]++;
	return true;
}

/* ------------------------------------------------------------------ operations */

static int start(struct port *p, struct vmtap_error *err)
{
	announce(of_port(p));
	return 0;
}

static unsigned send_burst(struct port_lane *l, const struct vmtap_frame *frames, unsigned cnt)
{
	struct responder *r = of_port(l->port);
	unsigned taken = 0;

	while (taken < cnt && take(r, &frames[taken]))
		taken++;
	drain_soon(r);
	return taken;
}

static void resume(struct port_lane *l)
{
	drain_soon(of_port(l->port));
}

static void set_poll(struct port *p, bool on)
{
	if (on)
		drain_soon(of_port(p));
}

static void peer_link(struct port *p, bool up)
{
	if (up && p->started)
		announce(of_port(p));
}

static int describe(const struct port *p, char *buf, size_t size)
{
	const struct responder *r = of_port(p);
	const struct reply_host *h = &r->host;
	const uint64_t *seen = r->seen;
	char ip[INET_ADDRSTRLEN] = "none", ip6[INET6_ADDRSTRLEN] = "none", ll6[INET6_ADDRSTRLEN];

	if (h->has_ip)
		inet_ntop(AF_INET, h->ip, ip, sizeof(ip));
	if (h->has_ip6)
		inet_ntop(AF_INET6, h->ip6, ip6, sizeof(ip6));
	inet_ntop(AF_INET6, h->ll6, ll6, sizeof(ll6));
	return snprintf(buf, size,
			"mac=%02x:%02x:%02x:%02x:%02x:%02x,ip=%s,ip6=%s,link-local=%s,"
			"arp=%ju,neighbour=%ju,echo=%ju,echo6=%ju,other=%ju,fragment=%ju,bad=%ju",
			h->mac[0], h->mac[1], h->mac[2], h->mac[3], h->mac[4], h->mac[5], ip, ip6,
			ll6, (uintmax_t)seen[REPLY_ARP], (uintmax_t)seen[REPLY_NEIGHBOUR],
			(uintmax_t)seen[REPLY_ECHO4], (uintmax_t)seen[REPLY_ECHO6],
			(uintmax_t)seen[REPLY_OTHER], (uintmax_t)seen[REPLY_FRAGMENT],
			(uintmax_t)seen[REPLY_BAD]);
}

static void close_port(struct port *p)
{
	struct responder *r = of_port(p);

	loop_task_del(p->env->loop, &r->drain);
	if (r->ring.cnt)
		port_drop_rx(p, VMTAP_DROP_PURGED, r->ring.cnt);
}

static void free_port(struct port *p)
{
	struct responder *r = of_port(p);

	ring_fini(&r->ring);
	free(r->spare);
	free(r);
}

static const struct port_ops ops = {
	.type = "responder",
	.start = start,
	.send = send_burst,
	.resume = resume,
	.set_poll = set_poll,
	.peer_link = peer_link,
	.describe = describe,
	.close = close_port,
	.free = free_port,
};

static struct port *open_port(const struct port_env *env, const char *name, const struct conf *conf,
			      struct vmtap_error *err)
{
	struct reply_host host;
	struct responder *r;

	if (host_from_conf(&host, name, conf, err) < 0)
		return NULL;
	r = calloc(1, sizeof(*r));
	if (!r)
		goto no_memory;
	r->host = host;
	r->drain.run = drain_run;
	r->spare = calloc(1, VMTAP_FRAME_MAX);
	if (!r->spare || ring_init(&r->ring) < 0 || port_init(&r->port, &ops, env, name) < 0)
		goto no_memory;
	port_set_state(&r->port, VMTAP_PORT_UP);
	return &r->port;

no_memory:
	error_errno(err, ENOMEM, conf_object(conf), "open the port");
	if (r)
		free_port(&r->port);
	return NULL;
}

static int check(const struct port_env *env, const struct conf *conf, struct vmtap_error *err)
{
	struct reply_host host;

	return host_from_conf(&host, "", conf, err);
}

const struct port_type responder_type = {
	.schema = &schema,
	.summary = "built in: answers ARP, IPv6 neighbour discovery and ping, as a guest would",
	.help = "A stand-in for a guest: whatever port it is joined to can be tried without a VM.\n"
		"It answers ARP requests for ip=, IPv6 neighbour solicitations for ip6= and for "
		"its link-local address, and ICMP and ICMPv6 echo requests of any size to "
		"these, with one VLAN tag or without. When it starts it announces itself, so "
		"that bridges learn where it is. Fragments, packets with a wrong checksum and "
		"all else are ignored and counted.\n"
		"\n"
		"    vmtap connect tap,ifname=vm0 responder,ip=10.0.0.2,ip6=fd00::2\n"
		"    ip address add 10.0.0.1/24 dev vm0\n"
		"    ping 10.0.0.2\n",
	.open = open_port,
	.check = check,
};
