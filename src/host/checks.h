/* SPDX-License-Identifier: MIT */
/*
 * Between the doctor and its checks.
 *
 * A check:
 *
 *	void check_bridge_up(struct doctor *d)
 *	{
 *		if (!d->bridge)
 *			return;				nothing to look at: not a word
 *		about(d, "bridge %s", d->bridge->name);	the object
 *		if (d->bridge->flags & IFF_UP)
 *			return;				looked, and fine: the table says it
 *		finding(d, VMTAP_FINDING_ERROR, "it is down");
 *		why(d, "no frame passes it");
 *		remedy(d, "ip link set %s up", shell(d, d->bridge->name));
 *	}
 *
 * Names of interfaces and files are whatever their makers liked: they come
 * into a remedy through shell(). Control characters are taken out of every text.
 */
#ifndef HOST_CHECKS_H
#define HOST_CHECKS_H

#include <sys/stat.h>

#include "host/doctor.h"
#include "host/vmm.h"
#include "tapdev/netlink.h"

#define OBJECT_SIZE 160
#define TEXT_SIZE 640
#define SHELL_SIZE 400

/** struct finding_text - A finding while it is written */
struct finding_text {
	enum vmtap_severity severity;
	char object[OBJECT_SIZE];
	char what[TEXT_SIZE], why[TEXT_SIZE], remedy[TEXT_SIZE];
};

/**
 * struct doctor - One examination
 * @admin:  this process may change interfaces here (CAP_NET_ADMIN)
 * @links:  the interfaces of this network namespace, taken once
 * @tap_name: the TAP or macvtap of the target; "": to be chosen, or no name at all
 * @tap:    what has that name, of @links; NULL: nothing (yet)
 * @bridge_name: the bridge that is looked at; "": none is concerned
 * @bridge: what has that name and is a bridge; NULL: nothing
 * @vmm:    of a target that is one
 * The rest belongs to about(), finding() and shell().
 */
struct doctor {
	const struct doctor_target *target;
	bool admin;
	struct nl_link *links;
	unsigned link_cnt, link_size;
	char tap_name[IFNAMSIZ], bridge_name[IFNAMSIZ];
	const struct nl_link *tap, *bridge;
	struct vmm vmm;

	doctor_found *found;
	void *opaque;
	enum vmtap_severity worst;
	const char *check;
	const char *fine;   /* what to say of an object without a finding; "": nothing */
	bool said, pending; /* there was a finding about the object; one is being written */
	struct finding_text text;
	char shell[4][SHELL_SIZE];
	unsigned shell_next;
};

/** check_begin(), check_end() - Around each check; @name and @fine are static. */
void check_begin(struct doctor *d, const char *name, const char *fine);
void check_end(struct doctor *d);
/** about() - State the object; what comes is about it, until the next. */
void about(struct doctor *d, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/** finding() - Begin a finding: what is the matter, one sentence without its object. */
void finding(struct doctor *d, enum vmtap_severity severity, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
/** why(), remedy() - Of the finding begun last: what follows from it; the command that mends it. */
void why(struct doctor *d, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void remedy(struct doctor *d, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/** shell() - @word as a shell takes it for one word. Good for the next three calls. */
const char *shell(struct doctor *d, const char *word);

/** link_of() - The interface of that name or index; NULL: none. */
const struct nl_link *link_named(const struct doctor *d, const char *name);
const struct nl_link *link_indexed(const struct doctor *d, int index);
bool link_is_tap(const struct nl_link *link);
bool link_is_bridge(const struct nl_link *link);
/** link_is_guest() - Does a guest sit behind it: a TAP or macvtap? */
bool link_is_guest(const struct nl_link *link);

/** read_text() - A small file, NUL-terminated, without its last newline.
 *  Return: bytes, or -errno. */
int read_text(const char *path, char *buf, size_t size);
/** read_number() - The number in a small file; @none: there is none, or it cannot be read. */
long read_number(const char *path, long none);
/** user_name() - Of this process, or its number. */
const char *user_name(char *buf, size_t size);

/** driver_is_loaded() - Has the kernel a driver for the device of that name (/proc/misc)? */
bool driver_is_loaded(const char *name);
/** driver_is_installed() - Is its module there to be loaded? @modules: receives the folder that
 *  this kernel's modules are in. */
bool driver_is_installed(const char *module, char *modules, size_t size);

/** module_is_idle() - It could be loaded and is not, so it has no state to ask for. */
bool module_is_idle(const char *name);

/* checks-device.c: /dev/net/tun, /dev/vhost-net */
void check_tun_device(struct doctor *d);
void check_tun_access(struct doctor *d);
void check_vhost_net(struct doctor *d);
void check_vhost_fds(struct doctor *d);

/* checks-system.c: the kernel's limits, and what was left behind */
void check_io_uring(struct doctor *d);
void check_userns(struct doctor *d);
void check_leaked_taps(struct doctor *d);

/* checks-tap.c: the TAP or macvtap of the target */
void check_name(struct doctor *d);
void check_tap_kind(struct doctor *d);
void check_tap_create(struct doctor *d);
void check_tap_owner(struct doctor *d);
void check_tap_queues(struct doctor *d);
void check_tap_busy(struct doctor *d);
void check_tap_up(struct doctor *d);
void check_tap_bridge(struct doctor *d);

/* checks-macvtap.c */
void check_macvtap_parent(struct doctor *d);
void check_macvtap_device(struct doctor *d);
void check_macvtap_host(struct doctor *d);

/* checks-managers.c: programs that configure every interface they see */
void check_network_manager(struct doctor *d);
void check_networkd(struct doctor *d);

/* checks-helper.c */
/** helper_is_qemus() - QEMU's own: it knows a list of its own only, and nothing of vhost-net. */
bool helper_is_qemus(const struct doctor *d);
/** helper_may_open() - Has the helper a right to the device that @node is of, beyond the user's? */
bool helper_may_open(const struct doctor *d, const struct stat *node);
void check_helper_found(struct doctor *d);
void check_helper_access(struct doctor *d);
void check_helper_owner(struct doctor *d);
void check_helper_privilege(struct doctor *d);
void check_helper_nosuid(struct doctor *d);
void check_helper_confined(struct doctor *d);

/* checks-acl.c: the helper's access list */
void check_acl_file(struct doctor *d);
void check_acl_rule(struct doctor *d);

/* checks-bridge.c */
void check_bridge_exists(struct doctor *d);
void check_bridge_up(struct doctor *d);
void check_bridge_uplink(struct doctor *d);
void check_bridge_stp(struct doctor *d);
void check_bridge_full(struct doctor *d);
void check_bridge_mtu(struct doctor *d);
void check_bridge_querier(struct doctor *d);

/* checks-firewall.c */
void check_bridge_netfilter(struct doctor *d);

/* checks-socket.c */
void check_socket_path(struct doctor *d);

/* checks-memory.c: a VMM's memory, and vhost-user */
void check_shared_memory(struct doctor *d);

#endif
