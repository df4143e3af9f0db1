/* SPDX-License-Identifier: MIT */
/* The keys that all port types have. */
#include "conf/parse.h"

#define RATE(key, without, text)                                                          \
	{                                                                                 \
		.name = key, .flags = CONF_LIVE, .kind = CONF_RATE, .max = 1000000000000, \
		.unit = "bits/s", .def = without, .help = text                            \
	}
#define BURST(key, without, text)                                                               \
	{                                                                                       \
		.name = key, .flags = CONF_LIVE, .kind = CONF_SIZE, .min = 1, .max = 1ll << 32, \
		.unit = "bytes", .def = without, .help = text                                   \
	}
#define PPS(key, without, text)                                                        \
	{                                                                              \
		.name = key, .flags = CONF_LIVE, .kind = CONF_RATE, .max = 1000000000, \
		.unit = "frames/s", .def = without, .help = text                       \
	}

const struct conf_key conf_common_keys[] = {
	{
		.name = "id",
		.kind = CONF_STRING,
		.def = "a name is made up",
		.help = "Name of the port: letters, digits, '-', '.' and '_', a letter first",
	},
	RATE("rate", "no limit",
	     "Bits that may enter, and as many that may leave, a second; 0 is no limit"),
	BURST("burst", "what 50 ms of the rate bring",
	      "Bytes that may pass at once when nothing did for a while"),
	PPS("pps", "no limit",
	    "Frames that may enter, and as many that may leave, a second; 0 is no limit"),
	RATE("rx-rate", "as rate=", "The same for what enters by the port"),
	BURST("rx-burst", "as burst=", "The same for what enters by the port"),
	PPS("rx-pps", "as pps=", "The same for what enters by the port"),
	RATE("tx-rate", "as rate=", "The same for what leaves by the port"),
	BURST("tx-burst", "as burst=", "The same for what leaves by the port"),
	PPS("tx-pps", "as pps=", "The same for what leaves by the port"),
	{
		.name = "mac-filter",
		.flags = CONF_LIVE,
		.kind = CONF_SET,
		.unit = "MAC addresses",
		.def = "any",
		.help = "What enters by the port has one of these source addresses, or is dropped",
	},
	{
		.name = "ip-filter",
		.flags = CONF_LIVE,
		.kind = CONF_SET,
		.unit = "IP addresses or networks",
		.def = "any",
		.help = "What enters by the port has one of these IPv4 or IPv6 source addresses, or "
			"is dropped, as is ARP and neighbour discovery for others",
	},
	{
		.name = "isolated",
		.kind = CONF_BOOL,
		.def = "off",
		.help = "In a switch: talk only to ports that are not isolated",
	},
	{
		.name = "mcast-flood",
		.kind = CONF_BOOL,
		.def = "off",
		.help = "In a switch with snooping: all multicasts go here, whether asked for or not",
	},
	{
		.name = "vlan",
		.kind = CONF_INT,
		.min = 1,
		.max = 4094,
		.def = "none",
		.help = "In a switch: the VLAN of frames that have no tag here",
	},
	{
		.name = "trunk",
		.kind = CONF_SET,
		.def = "none",
		.help = "In a switch: VLANs whose frames have an 802.1Q tag here, as in 10+20-29",
	},
};

const unsigned conf_common_cnt = sizeof(conf_common_keys) / sizeof(conf_common_keys[0]);
