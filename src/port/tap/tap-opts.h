/* SPDX-License-Identifier: MIT */
/* Options of the `tap` port. */
#ifndef PORT_TAP_TAP_OPTS_H
#define PORT_TAP_TAP_OPTS_H

#include <stdbool.h>
#include <stdint.h>

#include "conf/conf.h"

enum tap_onoff {
	TAP_AUTO,
	TAP_ON,
	TAP_OFF,
};

/** Scripts that are run when none is named, as QEMU does; only if they exist. */
#define DEFAULT_SCRIPT "/etc/qemu-ifup"
#define DEFAULT_DOWNSCRIPT "/etc/qemu-ifdown"

/** Where the device comes from. */
enum tap_source {
	TAP_FROM_NAME,	 /* created, or attached by name */
	TAP_FROM_FDS,	 /* fd=, fds= */
	TAP_FROM_HELPER, /* helper=, or the type bridge */
};

/** How the kernel picks the queue of a frame. */
enum tap_steering {
	TAP_STEER_AS_IS,
	TAP_STEER_AUTO,	   /* by flow: no program */
	TAP_STEER_PROGRAM, /* steering= says which */
};

/** struct tap_opts - A private copy of what was asked for; strings are NULL when not given. */
struct tap_opts {
	char *ifname;
	char *script, *downscript; /* NULL: none is run */
	char *br;
	char *helper; /* NULL: the default one */
	enum tap_source source;
	enum tap_steering steering;
	unsigned script_timeout_ms, helper_timeout_ms;
	enum tap_onoff vnet_hdr, persist, up;
	bool has_mac, has_sndbuf;
	bool vhost, vhost_must; /* wanted; an error without it */
	bool vhost_given;	/* with descriptors: vhostfd=, vhostfds= */
	unsigned poll_us;
	uint8_t mac[6];
	unsigned mtu; /* 0: leave it */
	int sndbuf;   /* bytes; 0: unlimited */
	unsigned queues;
	int64_t owner, group;  /* -1: leave it */
	unsigned reconnect_ms; /* 0: a device that is lost is an error */
};

extern const struct conf_schema tap_schema;
extern const struct conf_schema bridge_schema;
extern const struct conf_schema macvtap_schema;

/** tap_opts_init() - From a description, everything checked that can be without the device.
 *  Return: 0 or -errno and @err. Needs tap_opts_fini() in any case. */
int tap_opts_init(struct tap_opts *o, const struct conf *conf, struct vmtap_error *err);
/** bridge_opts_init() - The same for the type `bridge`. */
int bridge_opts_init(struct tap_opts *o, const struct conf *conf, struct vmtap_error *err);
/** macvtap_opts_init() - The same for the type `macvtap`; parent= and mode= stay in @conf. */
int macvtap_opts_init(struct tap_opts *o, const struct conf *conf, struct vmtap_error *err);
void tap_opts_fini(struct tap_opts *o);

/** tap_opts_check() - Try what can be tried without changing anything. */
int tap_opts_check(const struct tap_opts *o, const struct conf *conf, struct vmtap_error *err);

#endif
