/* SPDX-License-Identifier: MIT */
/*
 * The doctor: why VM networking does not work here, and what mends it.
 *
 * Model: a table of checks (checks.h) and a walk over those that concern the
 * target. A check looks at one thing and says what it finds; a check that
 * looked and found nothing is "fine". Nothing on the host is changed, no
 * program is run, no module is loaded that opening /dev/net/tun would not.
 */
#ifndef HOST_DOCTOR_H
#define HOST_DOCTOR_H

#include "vmtap/vmtap.h"

#define DOCTOR_FDS_MAX 256

/** enum doctor_kind - What was asked about. */
enum doctor_kind {
	DOCTOR_HOST,
	DOCTOR_BRIDGE,	   /* @br */
	DOCTOR_TAP,	   /* a TAP that is created or attached to: @ifname, @br */
	DOCTOR_TAP_FD,	   /* a TAP that is open already */
	DOCTOR_HELPER,	   /* a TAP that a helper makes on @br */
	DOCTOR_MACVTAP,	   /* @ifname, @parent */
	DOCTOR_VHOST_USER, /* @path */
	DOCTOR_SOCKET,	   /* a port behind a unix socket, @path, or another that is no interface */
	DOCTOR_VMM,	   /* a running one, @pid, or the command line of one, @cmdline */
};

/**
 * struct doctor_target - What was asked about; strings are borrowed, NULL when not given
 * @inspect:  the interface was only named: nothing is going to be opened
 * @helper:   the helper that a bridge port would run; NULL: none is installed
 * @queues, @mtu: 0: not given
 * @vhost:    /dev/vhost-net is wanted; @vhostforce: it must be had
 * @vhost_fds: descriptors of it that are handed over, @vhost_fd_cnt of them; -1: one that has a name
 */
struct doctor_target {
	enum doctor_kind kind;
	bool inspect;
	const char *ifname, *br, *parent, *path;
	const char *helper;
	const char *mac;
	unsigned queues, mtu;
	bool vhost, vhostforce;
	int vhost_fds[DOCTOR_FDS_MAX];
	unsigned vhost_fd_cnt;
	int pid;
	const char *cmdline;
};

typedef void doctor_found(void *opaque, const struct vmtap_finding *f);

/** doctor_kind_of() - What an interface of that name is a target of: a TAP, a macvtap, or else a
 *  bridge, whether it exists or not. */
enum doctor_kind doctor_kind_of(const char *ifname);

/** doctor_exists() - Is there an interface of that name? */
bool doctor_exists(const char *ifname);

/** doctor_run() - As vmtap_doctor(). */
int doctor_run(const struct doctor_target *target, doctor_found *found, void *opaque,
	       struct vmtap_error *err);

#endif
