/* SPDX-License-Identifier: MIT */
/* Checks: /dev/net/tun and /dev/vhost-net. */
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/fd.h"
#include "host/checks.h"
#include "tapdev/tun.h"

#define VHOST_PATH "/dev/vhost-net"
#define VHOST_MODULE "vhost_net"
/* Documentation/admin-guide/devices.txt of the kernel */
#define MISC_MAJOR 10
#define TUN_MINOR 200
#define VHOST_MINOR 238

/* struct device - A node, as it should be and as it is. */
struct device {
	const char *path, *driver, *module;
	unsigned minor, mode;
	struct stat st;
};

static bool is_there(const struct device *dev)
{
	return S_ISCHR(dev->st.st_mode) && dev->st.st_rdev == makedev(MISC_MAJOR, dev->minor);
}

static void missing_driver(struct doctor *d, const struct device *dev, enum vmtap_severity severity)
{
	char modules[160];
	bool installed = driver_is_installed(dev->module, modules, sizeof(modules));

	finding(d, severity, "the kernel's driver %s is not loaded", dev->module);
	remedy(d, "modprobe %s", dev->module);
	if (installed)
		why(d, "for each boot: echo %s >/etc/modules-load.d/%s.conf", dev->module,
		    dev->module);
	if (installed)
		return;
	if (access(modules, F_OK) < 0)
		why(d,
		    "the running kernel's modules, %s, are gone or not visible here: after an "
		    "update of the kernel, reboot; in a container, load the driver on its host",
		    modules);
	else
		why(d,
		    "it is not in %s either: install the package with this kernel's extra "
		    "modules first, or a kernel that has the driver",
		    modules);
}

static void missing_node(struct doctor *d, const struct device *dev, enum vmtap_severity severity)
{
	bool folder = strcmp(dev->path, TUN_PATH) == 0;

	finding(d, severity, "it does not exist");
	why(d,
	    "the driver is loaded, so only its device is missing; into a container it has to be "
	    "passed (--device %s)",
	    dev->path);
	remedy(d, "%smknod -m %o %s c %d %u", folder ? "mkdir -p /dev/net && " : "", dev->mode,
	       dev->path, MISC_MAJOR, dev->minor);
}

/* Return: whether the node is as it should be; else there is a finding. */
static bool look_at_node(struct doctor *d, struct device *dev, enum vmtap_severity severity)
{
	bool loaded = driver_is_loaded(dev->driver);

	if (stat(dev->path, &dev->st) < 0) {
		if (loaded)
			missing_node(d, dev, severity);
		else
			missing_driver(d, dev, severity);
		return false;
	}
	if (is_there(dev))
		return true;
	finding(d, severity, "it is not the character device %d:%u", MISC_MAJOR, dev->minor);
	why(d, "something else has been put in its place");
	remedy(d, "rm %s && mknod -m %o %s c %d %u", dev->path, dev->mode, dev->path, MISC_MAJOR,
	       dev->minor);
	return false;
}

/* "mode 600, root:root" */
static void mode_text(const struct stat *st, char *buf, size_t size)
{
	struct passwd *pw = getpwuid(st->st_uid);
	struct group *gr = getgrgid(st->st_gid);
	char user[40], group[40];

	snprintf(user, sizeof(user), "%u", st->st_uid);
	snprintf(group, sizeof(group), "%u", st->st_gid);
	snprintf(buf, size, "mode %03o, %.39s:%.39s", st->st_mode & 07777, pw ? pw->pw_name : user,
		 gr ? gr->gr_name : group);
}

/* ------------------------------------------------------------------ /dev/net/tun */

static struct device tun_device(void)
{
	return (struct device) {
		.path = TUN_PATH, .driver = "tun", .module = "tun", .minor = TUN_MINOR, .mode = 0666
	};
}

void check_tun_device(struct doctor *d)
{
	struct device dev = tun_device();
	cleanup_fd int fd = -1;

	about(d, TUN_PATH);
	if (!look_at_node(d, &dev, VMTAP_FINDING_ERROR))
		return;
	if (driver_is_loaded(dev.driver))
		return;
	/* opening it has the kernel load the module, as opening a TAP does */
	fd = tun_open();
	if (fd == -ENODEV || fd == -ENXIO)
		missing_driver(d, &dev, VMTAP_FINDING_ERROR);
}

static void others_may_not(struct doctor *d, const struct stat *st)
{
	char mode[120];

	mode_text(st, mode, sizeof(mode));
	finding(d, VMTAP_FINDING_NOTE, "not everybody may open it (%s)", mode);
	why(d, "666 is the usual mode: without CAP_NET_ADMIN it only gives access to TAPs that "
	       "belong to the user");
	remedy(d, "chmod 666 " TUN_PATH);
}

void check_tun_access(struct doctor *d)
{
	struct device dev = tun_device();
	cleanup_fd int fd = -1;
	char user[64], mode[120];

	if (stat(TUN_PATH, &dev.st) < 0 || !is_there(&dev))
		return;
	about(d, TUN_PATH);
	fd = tun_open();
	if (fd >= 0) {
		if ((dev.st.st_mode & 0666) != 0666)
			others_may_not(d, &dev.st);
		return;
	}
	user_name(user, sizeof(user));
	mode_text(&dev.st, mode, sizeof(mode));
	if (fd == -EACCES) {
		finding(d, VMTAP_FINDING_ERROR, "user %s may not open it (%s)", user, mode);
		why(d, "666 is the usual mode: without CAP_NET_ADMIN it only gives access to TAPs "
		       "that belong to the user");
		remedy(d, "chmod 666 " TUN_PATH);
	} else if (fd == -EPERM) {
		finding(d, VMTAP_FINDING_ERROR,
			"it may not be opened here, although its mode allows it");
		why(d, "the device list of a container or of a service forbids it: pass it in with "
		       "--device " TUN_PATH ", or DeviceAllow=" TUN_PATH " rw");
	} else if (fd != -ENODEV && fd != -ENXIO) {
		finding(d, VMTAP_FINDING_ERROR, "it cannot be opened: %s", strerror(-fd));
	}
}

/* --------------------------------------------------------------- /dev/vhost-net */

static bool wants_vhost(const struct doctor *d)
{
	return d->target->vhost || d->target->vhostforce;
}

/* Without it the frames take the way through user space, which works. */
static enum vmtap_severity vhost_severity(const struct doctor_target *t)
{
	return t->vhostforce ? VMTAP_FINDING_ERROR
	       : t->vhost    ? VMTAP_FINDING_WARNING
			     : VMTAP_FINDING_NOTE;
}

/* Who is in the group may open it, so that the user is to join; where it has none, it gets one. */
static void vhost_forbidden(struct doctor *d, const struct device *dev, const char *user,
			    enum vmtap_severity severity)
{
	bool joins = dev->st.st_gid && (dev->st.st_mode & 0060) == 0060;
	bool helped = d->target->kind == DOCTOR_HELPER && !helper_is_qemus(d);
	gid_t gid = joins ? dev->st.st_gid : getegid();
	char mode[120], group[64];
	struct group *gr;

	mode_text(&dev->st, mode, sizeof(mode));
	gr = getgrgid(gid);
	snprintf(group, sizeof(group), "%u", gid);
	if (gr)
		snprintf(group, sizeof(group), "%s", gr->gr_name);
	finding(d, severity, "user %s may not open it (%s)", user, mode);
	why(d,
	    "with vhost=on the kernel would carry the frames itself, at less cost. %s%s"
	    "instead, a descriptor can be handed over (vhostfd=)",
	    joins ? "A group counts from the next login on; "
		  : "A rule of udev keeps the mode over a boot: KERNEL==\"vhost-net\", "
		    "GROUP=\"kvm\", MODE=\"0660\"; ",
	    helped ? "the bridge helper opens it, too, with a right of its own: see "
		     "vmtap-bridge-helper(8); "
		   : "");
	if (joins)
		remedy(d, "usermod -aG %s %s", shell(d, group), shell(d, user));
	else
		remedy(d, "chgrp %s " VHOST_PATH " && chmod 660 " VHOST_PATH, shell(d, group));
}

void check_vhost_net(struct doctor *d)
{
	enum vmtap_severity severity = vhost_severity(d->target);
	struct device dev = { .path = VHOST_PATH,
			      .driver = "vhost-net",
			      .module = VHOST_MODULE,
			      .minor = VHOST_MINOR,
			      .mode = 0660 };
	char user[64], modules[160];

	/* nobody is going to open it: the frames pass through descriptors that are there */
	if (d->target->vhost_fd_cnt || (d->target->kind == DOCTOR_TAP_FD && !wants_vhost(d)))
		return;
	about(d, VHOST_PATH);
	if (!look_at_node(d, &dev, severity))
		return;
	/* opening the node has the kernel load the driver, where it has it */
	if (!driver_is_loaded(dev.driver) &&
	    !driver_is_installed(dev.module, modules, sizeof(modules))) {
		missing_driver(d, &dev, severity);
		return;
	}
	if (access(VHOST_PATH, R_OK | W_OK) == 0)
		return;
	if (d->target->kind == DOCTOR_HELPER && wants_vhost(d) && helper_may_open(d, &dev.st))
		return;
	user_name(user, sizeof(user));
	vhost_forbidden(d, &dev, user, severity);
}

void check_vhost_fds(struct doctor *d)
{
	for (unsigned i = 0; i < d->target->vhost_fd_cnt; i++) {
		int fd = d->target->vhost_fds[i];
		struct device dev = { .minor = VHOST_MINOR };

		if (fd < 0)
			continue;
		about(d, "vhostfd %d", fd);
		if (fstat(fd, &dev.st) == 0 && is_there(&dev))
			continue;
		if (dev.st.st_mode)
			finding(d, VMTAP_FINDING_ERROR, "it is no descriptor of " VHOST_PATH);
		else
			finding(d, VMTAP_FINDING_ERROR, "it is not open");
		why(d,
		    "who has the right to opens one a queue and hands it over. In a shell: "
		    "vmtap … %d<>" VHOST_PATH "; or have vmtap exec put it into the place of "
		    "{vhostfds}",
		    fd);
	}
}
