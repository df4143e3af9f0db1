/* SPDX-License-Identifier: MIT */
/* A port type: what the registry holds a row of. */
#ifndef NET_PORT_TYPE_H
#define NET_PORT_TYPE_H

#include "net/port.h"

struct conf;
struct conf_schema;

/**
 * struct port_type - How ports of one type are described and made
 * @schema:  its keys
 * @summary: one line; @help: paragraphs with examples, for `help TYPE` and the manual
 * @open:    make a port; everything that can fail early fails here. @conf is borrowed.
 *           Return: owned, free with port_free(); NULL and @err
 * @check:   try what can be tried without changing anything. Return: 0 or -errno and @err
 */
struct port_type {
	const struct conf_schema *schema;
	const char *summary;
	const char *help;
	struct port *(*open)(const struct port_env *env, const char *name, const struct conf *conf,
			     struct vmtap_error *err);
	int (*check)(const struct port_env *env, const struct conf *conf, struct vmtap_error *err);
};

#endif
