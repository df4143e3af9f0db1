/* SPDX-License-Identifier: MIT */
/* A schema with a key of every kind, for the unit test and the fuzzer. */
#ifndef TESTS_CONF_SCHEMA_H
#define TESTS_CONF_SCHEMA_H

#include "conf/conf.h"

static const struct conf_key test_keys[] = {
	{ "ifname", CONF_STRING, .def = "the kernel picks one", .help = "Name of the interface" },
	{ "script", CONF_STRING, CONF_EMPTY_OK, .help = "Run once the interface is there" },
	{ "queues", CONF_INT, .min = 1, .max = 256, .def = "1", .help = "Queue pairs" },
	{ "offset", CONF_INT, .min = -100, .max = 100 },
	{ "wide", CONF_INT, .min = INT64_MIN, .max = INT64_MAX },
	{ "vhost", CONF_BOOL, .def = "off" },
	{ "vnet_hdr", CONF_BOOL },
	{ "sndbuf", CONF_SIZE, .min = 0, .max = INT32_MAX, .unit = "bytes", .def = "0" },
	{ "limit", CONF_SIZE, .min = 1, .max = INT64_MAX },
	{ "mac", CONF_MAC },
	{ "group-mac", CONF_MAC, CONF_ANY_MAC },
	{ "mode", CONF_ENUM, .choices = "bridge|private|vepa" },
	{ "fds", CONF_LIST },
	{ "macs", CONF_SET },
	{ "speed", CONF_RATE, .min = 1000, .max = INT64_C(1000000000000) },
	{ "addr.type", CONF_ENUM, .choices = "inet|unix|fd" },
	{ "addr.path", CONF_STRING },
	{ "addr.keep.alive", CONF_BOOL },
	{ "reconnect", CONF_INT, CONF_HIDDEN, .min = 0, .max = 3600 },
	{ 0 },
};

static const struct conf_schema test_schema = { "tap", test_keys };

#endif
