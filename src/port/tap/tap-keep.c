/* SPDX-License-Identifier: MIT */
/*
 * Descriptors of a TAP that outlive the program: see net/keeper.h.
 *
 * Model
 *   A port that made or found its device has every queue kept, as "queue0", "queue1", …, once it is open. The
 *   next run's port takes them all or none, and the device with them as it is: index, bridge, address,
 *   frames that wait. Its script has run and does not run again. When the program ends in order, a down
 *   script undoes what the script did; the queues then stay as "bare0", …, and the next run's script runs.
 *
 * What is not kept
 *   Descriptors that came from elsewhere (fd=, fds=): whoever gave them gives them again. Those of a
 *   TAP whose vhost-net a helper opened: that cannot be had without the helper.
 *
 * What the keeper may do wrong
 *   Give anything, or the same twice. What is not exactly a queue that we would have opened is let go of,
 *   with a warning, and the device opened anew.
 */
#include <errno.h>
#include <linux/if_tun.h>
#include <linux/kcmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/error.h"
#include "base/fd.h"
#include "net/keeper.h"
#include "port/tap/tap-int.h"
#include "tapdev/netlink.h"
#include "tapdev/tun.h"

#define WHAT "go on with the descriptors that were kept"
#define SET_UP "queue"
#define BARE "bare"

/** struct role - Its text */
struct role {
	char text[24];
};

static struct role role_of(const char *what, unsigned queue)
{
	struct role role;

	snprintf(role.text, sizeof(role.text), "%s%u", what, queue);
	return role;
}

/* -------------------------------------------------------------------- leaving behind */

static bool can_keep(const struct tap *t)
{
	return t->port.env->keeper && t->opts.source != TAP_FROM_FDS &&
	       !tap_vhost_of_helper(&t->opts);
}

static void keep(struct tap *t, const char *what)
{
	for (unsigned i = 0; i < t->queue_cnt; i++)
		port_keep(&t->port, role_of(what, i).text, t->queues[i].fd);
}

static void drop(struct tap *t, const char *what, unsigned cnt)
{
	for (unsigned i = 0; i < cnt; i++)
		port_drop_kept(&t->port, role_of(what, i).text);
}

void tap_keep(struct tap *t)
{
	if (!can_keep(t))
		return;
	if (t->bare)
		drop(t, BARE, t->queue_cnt);
	t->bare = false;
	keep(t, SET_UP);
	t->kept = true;
}

void tap_keep_drop(struct tap *t)
{
	if (t->kept)
		drop(t, t->bare ? BARE : SET_UP, t->queue_cnt);
	t->kept = t->bare = false;
}

void tap_keep_down(struct tap *t)
{
	const bool leaves = t->kept && !t->bare && port_is_leaving(&t->port);
	const bool undone = t->script_ran && t->opts.downscript;

	if (!leaves || undone)
		tap_keep_drop(t);
	tap_device_down(t);
	if (leaves && undone)
		keep(t, BARE);
}

/* -------------------------------------------------------------------------- going on */

/* Is it "vm0", or one that the kernel could have chosen for "vm%d"? */
static bool is_name(const char *ifname, const char *wanted)
{
	const size_t head = strcspn(wanted, "%");
	size_t digits;

	if (strcmp(ifname, wanted) == 0)
		return true;
	if (!wanted[head] || strncmp(ifname, wanted, head) != 0)
		return false;
	digits = strspn(ifname + head, "0123456789");
	return digits && strcmp(ifname + head + digits, wanted + head + 2) == 0;
}

static bool is_same_file(int a, int b)
{
	const pid_t self = getpid();

	return syscall(SYS_kcmp, self, self, KCMP_FILE, a, b) == 0;
}

static int no_use(const struct tap *t, struct vmtap_error *err, const char *reason)
{
	char name[80];

	snprintf(name, sizeof(name), "tap %.60s", t->port.name);
	return error_set(err, EINVAL, name, WHAT, "%s", reason);
}

/* Is the device the one that tun_attach() would give us? */
static int check_flags(const struct tap *t, int fd, struct vmtap_error *err)
{
	char ifname[IFNAMSIZ];
	unsigned flags;
	bool header;

	if (tun_get_flags(fd, &flags, ifname) < 0)
		return no_use(t, err, "the device is gone");
	if (flags & (IFF_NAPI | IFF_NAPI_FRAGS))
		return no_use(t, err, "the device is of a kind that vmtap does not make");
	if (t->opts.source == TAP_FROM_HELPER)
		return 0; /* whatever it made */
	if (!!(flags & IFF_MULTI_QUEUE) != (t->opts.queues > 1))
		return no_use(t, err, "the device has another kind of queues");
	if (tap_want_vnet_hdr((struct tap *)t, fd, &header, err) < 0)
		return -EINVAL;
	if (!!(flags & IFF_VNET_HDR) != header)
		return no_use(t, err,
			      header ? "its frames have no virtio-net header"
				     : "its frames have a virtio-net header");
	return 0;
}

/* Is it the one that we would open, and here? A device of another network namespace may have the same name. */
static int check_link(const struct tap *t, int fd, const char *ifname, struct vmtap_error *err)
{
	struct nl_link link;
	uint8_t mac[6];

	if (t->opts.ifname && !is_name(ifname, t->opts.ifname))
		return no_use(t, err, "they are of another interface");
	if (nl_link_get(ifname, &link) < 0 || strcmp(link.kind, "tun") != 0 ||
	    tun_get_mac(fd, mac) < 0 || memcmp(mac, link.mac, sizeof(mac)) != 0)
		return no_use(t, err, "they are of an interface in another network namespace");
	return 0;
}

static int check(const struct tap *t, const int *fds, struct vmtap_error *err)
{
	struct tap_fd_info info = { 0 };
	int ret;

	ret = tap_fds_probe(fds, t->opts.queues, &info, err);
	for (unsigned i = 0; !ret && i < t->opts.queues; i++) {
		ret = check_flags(t, fds[i], err);
		for (unsigned j = 0; !ret && j < i; j++)
			if (is_same_file(fds[i], fds[j]))
				ret = no_use(t, err, "one of the queues is there twice");
	}
	return ret ? ret : check_link(t, fds[0], info.ifname, err);
}

/* Return: how many there are of what the queues were kept as. */
static unsigned find(const struct tap *t, const char *what, int *fds)
{
	unsigned cnt = 0;

	for (unsigned i = 0; i < t->opts.queues; i++) {
		fds[i] = port_find_kept(&t->port, role_of(what, i).text);
		cnt += fds[i] >= 0;
	}
	return cnt;
}

static void refuse(struct tap *t, int *fds, const struct vmtap_error *why)
{
	log_error(t->port.env->log, VMTAP_LOG_WARNING, t->port.name, why);
	log_msg(t->port.env->log, VMTAP_LOG_WARNING, t->port.name,
		"they are let go of, and the device is opened anew");
	drop(t, t->bare ? BARE : SET_UP, t->opts.queues);
	for (unsigned i = 0; i < t->opts.queues; i++)
		fd_close(&fds[i]);
	t->bare = false;
}

static int go_on(struct tap *t, int *fds, struct vmtap_error *err)
{
	int ret = tap_device_take(t, fds, t->opts.queues, err);

	if (ret < 0) {
		drop(t, t->bare ? BARE : SET_UP, t->opts.queues);
		for (unsigned i = 0; i < t->opts.queues; i++)
			fd_close(&fds[i]);
		return ret;
	}
	/* those that the guest did not use are detached; what is attached already stays so */
	for (unsigned i = 0; i < t->queue_cnt; i++)
		tun_set_queue(t->queues[i].fd, true);
	t->kept = true;
	t->script_ran = !t->bare;
	tun_set_carrier(t->queues[0].fd, true); /* a link that was set down is up again */
	return 1;
}

int tap_keep_find(struct tap *t, struct vmtap_error *err)
{
	struct vmtap_error why = { 0 };
	unsigned cnt;
	int *fds, ret;

	if (!can_keep(t))
		return 0;
	fds = calloc(t->opts.queues, sizeof(*fds));
	if (!fds)
		return error_errno(err, ENOMEM, t->port.name, WHAT);
	cnt = find(t, SET_UP, fds);
	if (!cnt) {
		cnt = find(t, BARE, fds);
		t->bare = cnt;
	}
	if (!cnt)
		ret = 0;
	else if (cnt < t->opts.queues)
		ret = no_use(t, &why, "some of the queues are missing");
	else
		ret = check(t, fds, &why);
	if (ret < 0) {
		refuse(t, fds, &why);
		ret = 0;
	} else if (cnt) {
		ret = go_on(t, fds, err);
	}
	free(fds);
	return ret;
}
