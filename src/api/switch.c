/* SPDX-License-Identifier: MIT */
/* Public switches, and what a port's description says of its place in one. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/api.h"
#include "conf/conf.h"
#include "net/frameq.h"

#define QUEUE_FRAMES 4096
#define QUEUE_BYTES (4u << 20)
#define MACS 4096
#define AGE_S 300
#define MEMBERSHIPS 4096
#define KEYS_MAX 16

static const struct conf_key keys[] = {
	{ .name = "hub",
	  .kind = CONF_BOOL,
	  .def = "off",
	  .help = "learn nothing; every frame goes to all ports, as in QEMU's hub" },
	{ .name = "snooping",
	  .kind = CONF_BOOL,
	  .def = "off",
	  .help = "look into IGMP and MLD, and bring multicasts only to ports that asked for "
		  "them; takes a querier in the network" },
	{ .name = "max-memberships",
	  .kind = CONF_INT,
	  .min = 1,
	  .max = 65536,
	  .def = "4096",
	  .help = "ports in groups that snooping knows at most; what does not fit goes to all" },
	{ .name = "max-macs",
	  .kind = CONF_INT,
	  .min = 1,
	  .max = 262144,
	  .def = "4096",
	  .help = "addresses that it knows at most; what was learned stays when strangers send "
		  "from more" },
	{ .name = "age-s",
	  .kind = CONF_INT,
	  .min = 0,
	  .max = 1000000,
	  .unit = "seconds",
	  .def = "300",
	  .help = "forget an address that was silent so long; 0: never" },
	{ .name = "queue-frames",
	  .kind = CONF_INT,
	  .min = 1,
	  .max = 65536,
	  .unit = "frames",
	  .def = "4096",
	  .help = "that wait at most for a port that is slower than the others; more are "
		  "dropped, and counted there as queue-full" },
	{ .name = "queue-size",
	  .kind = CONF_SIZE,
	  .min = FRAMEQ_SIZE_MIN,
	  .max = 256 << 20,
	  .unit = "bytes",
	  .def = "4M",
	  .help = "the same in bytes" },
	{ 0 },
};

static const struct conf_schema schema = { .type = "switch", .keys = keys };

static const char help[] =
	"A switch joins three ports or more (vmtap connect with as many, or vmtap serve). It learns "
	"which address is behind which port; frames to unknown addresses, broadcasts and multicasts "
	"go to all.\n"
	"\n"
	"With snooping=on, multicasts go to ports that joined their group by IGMP or MLD, and to those "
	"behind which there are multicast routers. Something in the network has to ask who is in which "
	"group (a querier: a router, or a bridge with mcast_querier 1); without, multicasts go to all. "
	"To all go at any time: 224.0.0.0/24, IPv6 groups of the link, whatever is no IP. "
	"mcast-flood=on at a port brings all groups there.\n"
	"\n"
	"Keys of each port say what it may do there: isolated=on talks only to ports that are not "
	"isolated; vlan=10 is in VLAN 10, whose frames have no tag there; trunk=10+20-29 carries those "
	"VLANs with their tags (802.1Q), and with vlan= that one without. Ports with neither are a "
	"network of their own, and pass frames with any tag.\n"
	"\n"
	"A port that is slow has a queue of its own and holds up no other. Checksums and segmentation "
	"are left undone between ports that both can, and done in software for the others.\n"
	"\n"
	"Two ports that lead to the same network are a loop, in which broadcasts go round. A switch "
	"does not break it, but warns, and its other ports go on: part one, have the bridge outside use "
	"a spanning tree, whose frames pass, or say isolated=on for both.\n"
	"\n"
	"  vmtap connect tap,ifname=vm0,br=br0 vhost-user,path=/run/a.sock vhost-user,path=/run/b.sock\n"
	"  vmtap connect switch,max-macs=64 tap,ifname=up0 tap,ifname=vm1,isolated=on "
	"tap,ifname=vm2,isolated=on\n";

static struct vmtap_key_info key_infos[KEYS_MAX];
static struct vmtap_type_info info;
static pthread_once_t info_once = PTHREAD_ONCE_INIT;

static void info_fill(void)
{
	info = (struct vmtap_type_info) {
		.name = schema.type,
		.summary = "joins any number of ports, and learns which address is behind which",
		.help = help,
		.keys = key_infos,
		.key_cnt = conf_key_infos(&schema, key_infos, KEYS_MAX),
	};
}

const struct vmtap_type_info *vmtap_switch_info(void)
{
	pthread_once(&info_once, info_fill);
	return &info;
}

/* -------------------------------------------------------- a port's place */

/* "10" or "20-29" */
static bool read_range(const char *text, unsigned *first, unsigned *last)
{
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	*first = *last = (unsigned)strtoul(text, &end, 10);
	if (*end == '-' && end[1] >= '0' && end[1] <= '9')
		*last = (unsigned)strtoul(end + 1, &end, 10);
	return !*end && *first >= 1 && *first <= *last && *last <= VLAN_ID_MAX;
}

int switch_place_read(const struct conf *c, struct switch_place *place, struct vmtap_error *err)
{
	unsigned first, last;

	*place = (struct switch_place) {
		.isolated = conf_bool(c, "isolated", false),
		.vlan = (uint16_t)conf_int(c, "vlan", 0),
		.mcast_flood = conf_bool(c, "mcast-flood", false),
		.trunk = conf_has(c, "trunk"),
	};
	for (unsigned i = 0; i < conf_list_cnt(c, "trunk"); i++) {
		const char *item = conf_list_item(c, "trunk", i);

		if (!read_range(item, &first, &last)) {
			error_set(err, EINVAL, conf_object(c), "read its options",
				  "trunk=%.60s: \"%.40s\" is no VLAN", conf_str(c, "trunk", ""),
				  item);
			error_remedy(err, "write numbers and ranges of 1 to 4094, as in 10+20-29");
			return -EINVAL;
		}
		for (unsigned id = first; id <= last; id++)
			place->trunk_ids[id / 8] |= (uint8_t)(1u << id % 8);
	}
	return 0;
}

int switch_place_refuse(const struct switch_place *place, const char *port, struct vmtap_error *err)
{
	const char *key = place->isolated      ? "isolated=on"
			  : place->mcast_flood ? "mcast-flood=on"
			  : place->trunk       ? "trunk="
			  : place->vlan	       ? "vlan="
					       : NULL;

	if (!key)
		return 0;
	error_set(err, EINVAL, port, "link",
		  "%s says what it may do in a switch, and a link is none", key);
	error_remedy(
		err,
		"join the two by a switch (vmtap connect switch PORT PORT), or leave the key out");
	return -EINVAL;
}

/* --------------------------------------------------------------- switches */

struct vmtap_switch *switch_find(const struct vmtap *v, const char *name)
{
	for (struct vmtap_switch *h = v->switches; h; h = h->next)
		if (!switch_is_closed(h->sw) && strcmp(switch_name(h->sw), name) == 0)
			return h;
	return NULL;
}

static bool is_taken(const struct vmtap *v, const char *name)
{
	return switch_find(v, name) || port_find(v, name);
}

static int choose_name(struct vmtap *v, const struct conf *c, char *name, size_t size,
		       struct vmtap_error *err)
{
	const char *id = conf_str(c, "id", NULL);

	if (id) {
		snprintf(name, size, "%s", id);
		if (!is_taken(v, id))
			return 0;
		error_set(err, EEXIST, conf_object(c), "make the switch",
			  "id=%s is the name of another", id);
		error_remedy(err, "choose another id=, or have one made up");
		return -EEXIST;
	}
	do
		snprintf(name, size, "switch#%u", v->serial++);
	while (is_taken(v, name));
	return 0;
}

/* The keys of a port mean nothing here. */
static int refuse_port_keys(const struct conf *c, struct vmtap_error *err)
{
	struct vmtap_key_info common[KEYS_MAX * 2];
	const char *names[KEYS_MAX * 2 + 1] = { 0 };
	unsigned cnt = conf_common_infos(common, KEYS_MAX * 2);

	for (unsigned i = 1; i < cnt && i < KEYS_MAX * 2; i++)
		names[i - 1] = common[i].name;
	return conf_exclude(c, "a key of ports, not of switches", names, err);
}

static int check_snooping(const struct conf *c, const struct switch_config *config,
			  struct vmtap_error *err)
{
	if (!config->snooping || !config->hub)
		return 0;
	error_set(err, EINVAL, conf_object(c), "make the switch",
		  "snooping=on and hub=on: a hub sends everything to all");
	error_remedy(err, "leave one of them out");
	return -EINVAL;
}

static struct net_switch *make(struct vmtap *v, const struct conf *c, struct vmtap_error *err)
{
	const struct switch_config config = {
		.hub = conf_bool(c, "hub", false),
		.snooping = conf_bool(c, "snooping", false),
		.max_memberships = (unsigned)conf_int(c, "max-memberships", MEMBERSHIPS),
		.max_macs = (unsigned)conf_int(c, "max-macs", MACS),
		.age_s = (unsigned)conf_int(c, "age-s", AGE_S),
		.queue_frames = (unsigned)conf_int(c, "queue-frames", QUEUE_FRAMES),
		.queue_bytes = (uint32_t)conf_int(c, "queue-size", QUEUE_BYTES),
	};
	char name[256];

	if (refuse_port_keys(c, err) < 0 || check_snooping(c, &config, err) < 0 ||
	    choose_name(v, c, name, sizeof(name), err) < 0)
		return NULL;
	return switch_new(&v->env, name, &config, err);
}

struct vmtap_switch *vmtap_switch_new(struct vmtap *v, const char *spec, struct vmtap_error *err)
{
	struct vmtap_switch *h = calloc(1, sizeof(*h));
	struct conf *c;

	if (!h) {
		error_errno(err, ENOMEM, "switch", "make the switch");
		return NULL;
	}
	c = conf_parse(&schema, spec, err);
	h->v = v;
	h->sw = c ? make(v, c, err) : NULL;
	conf_free(c);
	if (!h->sw) {
		free(h);
		return NULL;
	}
	h->next = v->switches;
	v->switches = h;
	return h;
}

void vmtap_switch_free(struct vmtap_switch *h)
{
	if (!h)
		return;
	switch_close(h->sw);
	reap_soon(h->v);
}

const char *vmtap_switch_name(const struct vmtap_switch *h)
{
	return switch_name(h->sw);
}

int vmtap_switch_add(struct vmtap_switch *h, struct vmtap_port *port, struct vmtap_error *err)
{
	if (port->closing)
		return error_set(err, EPIPE, port->port->name, "join it to a switch",
				 "the port is closed");
	return switch_add(h->sw, port->port, &port->place, err);
}

int vmtap_switch_remove(struct vmtap_switch *h, struct vmtap_port *port)
{
	return switch_remove(h->sw, port->port);
}

void vmtap_switch_stats(const struct vmtap_switch *h, struct vmtap_switch_stats *stats, size_t size)
{
	struct vmtap_switch_stats own;

	switch_stats(h->sw, &own);
	memset(stats, 0, size);
	memcpy(stats, &own, size < sizeof(own) ? size : sizeof(own));
}

void vmtap_switch_flush(struct vmtap_switch *h)
{
	switch_flush(h->sw);
}

/* ------------------------------------------------------------------- rows */

struct rows {
	void (*port)(void *opaque, struct vmtap_port *port);
	void (*mac)(void *opaque, const struct vmtap_switch_mac *mac);
	void (*group)(void *opaque, const struct vmtap_switch_group *group);
	void (*router)(void *opaque, const struct vmtap_switch_router *router);
	void *opaque;
};

static void port_row(void *opaque, struct port *p)
{
	const struct rows *rows = opaque;
	struct vmtap_port *h = handle_of(p);

	if (h)
		rows->port(rows->opaque, h);
}

void vmtap_switch_each_port(const struct vmtap_switch *h,
			    void (*row)(void *opaque, struct vmtap_port *port), void *opaque)
{
	struct rows rows = { .port = row, .opaque = opaque };

	switch_each_port(h->sw, port_row, &rows);
}

static void mac_row(void *opaque, const uint8_t mac[6], unsigned vlan, struct port *p,
		    uint64_t age_ms)
{
	const struct rows *rows = opaque;
	struct vmtap_switch_mac row = { .vlan = vlan, .port = handle_of(p), .age_ms = age_ms };

	memcpy(row.mac, mac, sizeof(row.mac));
	if (row.port)
		rows->mac(rows->opaque, &row);
}

void vmtap_switch_each_mac(const struct vmtap_switch *h,
			   void (*row)(void *opaque, const struct vmtap_switch_mac *mac),
			   void *opaque)
{
	struct rows rows = { .mac = row, .opaque = opaque };

	switch_each_mac(h->sw, mac_row, &rows);
}

static void group_row(void *opaque, const struct mcast_addr *group, unsigned vlan, struct port *p,
		      uint64_t left_ms)
{
	const struct rows *rows = opaque;
	char text[MCAST_TEXT_MAX];
	const struct vmtap_switch_group row = { .group = mcast_text(group, text),
						.vlan = vlan,
						.port = handle_of(p),
						.left_ms = (unsigned)left_ms };

	if (row.port)
		rows->group(rows->opaque, &row);
}

void vmtap_switch_each_group(const struct vmtap_switch *h,
			     void (*row)(void *opaque, const struct vmtap_switch_group *group),
			     void *opaque)
{
	struct rows rows = { .group = row, .opaque = opaque };

	switch_each_group(h->sw, group_row, &rows);
}

static void router_row(void *opaque, const struct mcast_addr *querier, bool asks, unsigned vlan,
		       struct port *p, uint64_t left_ms)
{
	const struct rows *rows = opaque;
	char text[MCAST_TEXT_MAX];
	const struct vmtap_switch_router row = { .is_ip6 = querier->is_ip6,
						 .querier = asks ? mcast_text(querier, text) : NULL,
						 .vlan = vlan,
						 .port = handle_of(p),
						 .left_ms = (unsigned)left_ms };

	if (row.port)
		rows->router(rows->opaque, &row);
}

void vmtap_switch_each_router(const struct vmtap_switch *h,
			      void (*row)(void *opaque, const struct vmtap_switch_router *router),
			      void *opaque)
{
	struct rows rows = { .router = row, .opaque = opaque };

	switch_each_router(h->sw, router_row, &rows);
}
