/* SPDX-License-Identifier: MIT */
/* The options of the `vhost-user` port. */
#include <errno.h>
#include <linux/vhost_types.h>
#include <linux/virtio_ring.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "conf/conf.h"
#include "port/vu/features.h"
#include "port/vu/proto.h"
#include "port/vu/vu-int.h"

#define BIT(FEATURE) (1ull << (FEATURE))

/** struct feature - A key that offers features, or does not. */
struct feature {
	const char *key;
	uint64_t bits;
};

static const struct feature features[] = {
	{ "packed", BIT(VIRTIO_F_RING_PACKED) },
	{ "in_order", BIT(VIRTIO_F_IN_ORDER) },
	{ "event_idx", BIT(VIRTIO_RING_F_EVENT_IDX) },
	{ "indirect_desc", BIT(VIRTIO_RING_F_INDIRECT_DESC) },
	{ "mrg_rxbuf", BIT(VIRTIO_NET_F_MRG_RXBUF) },
	{ "csum", BIT(VIRTIO_NET_F_CSUM) },
	{ "guest_csum", BIT(VIRTIO_NET_F_GUEST_CSUM) },
	{ "host_tso4", BIT(VIRTIO_NET_F_HOST_TSO4) },
	{ "host_tso6", BIT(VIRTIO_NET_F_HOST_TSO6) },
	{ "host_ecn", BIT(VIRTIO_NET_F_HOST_ECN) },
	{ "host_ufo", BIT(VIRTIO_NET_F_HOST_UFO) },
	{ "host_uso", BIT(VIRTIO_NET_F_HOST_USO) },
	{ "guest_tso4", BIT(VIRTIO_NET_F_GUEST_TSO4) },
	{ "guest_tso6", BIT(VIRTIO_NET_F_GUEST_TSO6) },
	{ "guest_ecn", BIT(VIRTIO_NET_F_GUEST_ECN) },
	{ "guest_ufo", BIT(VIRTIO_NET_F_GUEST_UFO) },
	{ "guest_uso4", BIT(VIRTIO_NET_F_GUEST_USO4) },
	{ "guest_uso6", BIT(VIRTIO_NET_F_GUEST_USO6) },
	{ "status", BIT(VIRTIO_NET_F_STATUS) },
	{ "guest_announce", BIT(VIRTIO_NET_F_GUEST_ANNOUNCE) },
	{ "ctrl_vq", BIT(VIRTIO_NET_F_CTRL_VQ) },
	{ "ctrl_rx", BIT(VIRTIO_NET_F_CTRL_RX) | BIT(VIRTIO_NET_F_CTRL_RX_EXTRA) },
	{ "ctrl_vlan", BIT(VIRTIO_NET_F_CTRL_VLAN) },
	{ "ctrl_mac_addr", BIT(VIRTIO_NET_F_CTRL_MAC_ADDR) },
	{ "ctrl_guest_offloads", BIT(VIRTIO_NET_F_CTRL_GUEST_OFFLOADS) },
};

#define ON_OFF(NAME, HELP)                                                 \
	{                                                                  \
		.name = NAME, .kind = CONF_BOOL, .def = "on", .help = HELP \
	}

static const struct conf_key keys[] = {
	CONN_KEY_SERVER,
	CONN_KEY_PATH,
	CONN_KEY_FD,
	CONN_KEY_RECONNECT_MS,
	CONN_KEY_RECONNECT,
	CONN_KEY_MODE,
	{
		.name = "queues",
		.kind = CONF_INT,
		.min = 1,
		.max = VU_PAIRS_MAX,
		.unit = "queue pairs",
		.def = "1",
		.help = "offer so many queue pairs; the VMM and the guest may use fewer",
	},
	{
		.name = "queue-size",
		.kind = CONF_INT,
		.min = 2,
		.max = VRING_SIZE_MAX,
		.unit = "descriptors",
		.def = "32768, as large as a ring can be",
		.help = "largest ring that is accepted; its size is the VMM's choice",
	},
	{
		.name = "mac",
		.kind = CONF_MAC,
		.def = "the VMM's business",
		.help = "the guest's address, for VMMs that read it from the device",
	},
	{
		.name = "mtu",
		.kind = CONF_INT,
		.min = 68,
		.max = 65535,
		.unit = "bytes",
		.def = "none is told",
		.help = "MTU that the guest is told to use",
	},
	ON_OFF("packed", "offer packed rings (virtio 1.1)"),
	ON_OFF("in_order", "offer to use buffers in the order in which they come"),
	ON_OFF("event_idx", "offer fine control of kicks and calls"),
	ON_OFF("indirect_desc", "offer indirect descriptor tables"),
	ON_OFF("mrg_rxbuf", "offer mergeable receive buffers: large frames without large buffers"),
	ON_OFF("csum", "take frames whose checksum is still to be filled in; host_* need it"),
	ON_OFF("guest_csum",
	       "give frames whose checksum is still to be filled in; guest_* need it"),
	ON_OFF("host_tso4", "take TCP frames over IPv4 that are still to be segmented"),
	ON_OFF("host_tso6", "take TCP frames over IPv6 that are still to be segmented"),
	ON_OFF("host_ecn", "take such frames with congestion marks"),
	ON_OFF("host_ufo", "take UDP frames that are still to be fragmented"),
	ON_OFF("host_uso", "take UDP frames that are still to be segmented"),
	ON_OFF("guest_tso4", "give TCP frames over IPv4 that were not segmented"),
	ON_OFF("guest_tso6", "give TCP frames over IPv6 that were not segmented"),
	ON_OFF("guest_ecn", "give such frames with congestion marks"),
	ON_OFF("guest_ufo", "give UDP frames over IPv4 that were not fragmented"),
	ON_OFF("guest_uso4", "give UDP frames over IPv4 that were not segmented"),
	ON_OFF("guest_uso6", "give UDP frames over IPv6 that were not segmented"),
	ON_OFF("status", "tell the guest whether the link is up"),
	ON_OFF("guest_announce", "let the guest announce itself after a migration"),
	{
		.name = "mq",
		.kind = CONF_BOOL,
		.def = "on when queues= is more than 1",
		.help = "offer several queue pairs",
	},
	ON_OFF("ctrl_vq", "offer a control queue, for VMMs that leave it to us; QEMU does not"),
	ON_OFF("ctrl_rx", "control queue: receive modes and address tables"),
	ON_OFF("ctrl_vlan", "control queue: VLAN table"),
	ON_OFF("ctrl_mac_addr", "control queue: another address"),
	ON_OFF("ctrl_guest_offloads", "control queue: offloads changed while running"),
	{ 0 },
};

const struct conf_schema vu_schema = { .type = "vhost-user", .keys = keys };

const char vu_help[] =
	"A virtio-net device for a VMM, over a unix socket (vhost-user) and shared\n"
	"memory: the guest's frames are read where they are, and written where they\n"
	"belong, and the VMM needs no privilege. One side listens (server=on), the\n"
	"other connects; either may be restarted while the guest runs.\n"
	"\n"
	"  a VM that finds its network again when vmtap is restarted:\n"
	"    vmtap connect tap,ifname=vm0 vhost-user,server=on,path=/run/vm0.sock\n"
	"    qemu-system-x86_64 ... -m 1G \\\n"
	"      -object memory-backend-memfd,id=mem,size=1G,share=on \\\n"
	"      -numa node,memdev=mem \\\n"
	"      -chardev socket,id=c,path=/run/vm0.sock,reconnect=1 \\\n"
	"      -netdev vhost-user,id=n,chardev=c \\\n"
	"      -device virtio-net-pci,netdev=n\n"
	"\n"
	"  two queue pairs, for a guest with two processors:\n"
	"    vmtap connect tap,ifname=vm0,queues=2 \\\n"
	"      vhost-user,server=on,path=/run/vm0.sock,queues=2\n"
	"    qemu-system-x86_64 ... -netdev vhost-user,id=n,chardev=c,queues=2 \\\n"
	"      -device virtio-net-pci,netdev=n,mq=on\n"
	"\n"
	"The guest's memory must be shared (share=on above), or the VMM cannot pass\n"
	"it. A listening port serves one VMM after the other. What the other port\n"
	"cannot do, vmtap finishes: every offload can stay on. Switching features off\n"
	"is for guests with faults, and for tests.\n";

/* A feature without what it needs is not offered (virtio 1.2, 5.1.3.1). */
uint64_t vu_conf_consistent(uint64_t f)
{
	const uint64_t tso = BIT(VIRTIO_NET_F_HOST_TSO4) | BIT(VIRTIO_NET_F_HOST_TSO6);
	const uint64_t guest_tso = BIT(VIRTIO_NET_F_GUEST_TSO4) | BIT(VIRTIO_NET_F_GUEST_TSO6);
	const uint64_t ctrl = BIT(VIRTIO_NET_F_CTRL_RX) | BIT(VIRTIO_NET_F_CTRL_RX_EXTRA) |
			      BIT(VIRTIO_NET_F_CTRL_VLAN) | BIT(VIRTIO_NET_F_CTRL_MAC_ADDR) |
			      BIT(VIRTIO_NET_F_CTRL_GUEST_OFFLOADS);

	if (!(f & BIT(VIRTIO_NET_F_CSUM)))
		f &= ~(tso | BIT(VIRTIO_NET_F_HOST_UFO) | BIT(VIRTIO_NET_F_HOST_USO));
	if (!(f & tso))
		f &= ~BIT(VIRTIO_NET_F_HOST_ECN);
	if (!(f & BIT(VIRTIO_NET_F_GUEST_CSUM)))
		f &= ~(guest_tso | BIT(VIRTIO_NET_F_GUEST_UFO) | BIT(VIRTIO_NET_F_GUEST_USO4) |
		       BIT(VIRTIO_NET_F_GUEST_USO6));
	if (!(f & guest_tso))
		f &= ~BIT(VIRTIO_NET_F_GUEST_ECN);
	if (!(f & BIT(VIRTIO_NET_F_CTRL_VQ)))
		f &= ~ctrl;
	if ((f & tso) == tso)
		f |= BIT(VIRTIO_NET_F_GSO); /* how old drivers ask for both */
	return f;
}

static uint64_t read_features(const struct conf *conf, const struct vu_conf *c)
{
	uint64_t f = BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_F_ANY_LAYOUT) | BIT(VHOST_F_LOG_ALL) |
		     BIT(VHOST_USER_F_PROTOCOL_FEATURES);

	for (size_t i = 0; i < sizeof(features) / sizeof(features[0]); i++)
		if (conf_bool(conf, features[i].key, true))
			f |= features[i].bits;
	if (conf_bool(conf, "mq", c->pairs > 1))
		f |= BIT(VIRTIO_NET_F_MQ);
	if (c->has_mac)
		f |= BIT(VIRTIO_NET_F_MAC);
	if (c->mtu)
		f |= BIT(VIRTIO_NET_F_MTU);
	return vu_conf_consistent(f);
}

unsigned vu_conf_names(uint64_t bits, char *buf, size_t size)
{
	unsigned cnt = 0;
	size_t len = 0;

	buf[0] = '\0';
	for (size_t i = 0; i < sizeof(features) / sizeof(features[0]); i++) {
		if (!(features[i].bits & bits))
			continue;
		len += (size_t)snprintf(len < size ? buf + len : NULL, len < size ? size - len : 0,
					"%s%s", cnt++ ? ", " : "", features[i].key);
	}
	return cnt;
}

int vu_conf_read(struct vu_conf *c, const struct conf *conf, struct vmtap_error *err)
{
	int ret;

	memset(c, 0, sizeof(*c));
	ret = conn_conf_unix(&c->conn, conf, err);
	if (ret < 0)
		return ret;
	c->pairs = (unsigned)conf_int(conf, "queues", 1);
	c->queue_size = (unsigned)conf_int(conf, "queue-size", VRING_SIZE_MAX);
	c->mtu = (unsigned)conf_int(conf, "mtu", 0);
	c->has_mac = conf_mac(conf, "mac", c->mac);
	c->features = read_features(conf, c);
	return 0;
}
