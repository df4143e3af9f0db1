/* SPDX-License-Identifier: MIT */
/* What the macvtap driver offers: making one, finding its device file, opening queues. */
#include "tapdev/macvtap.h"

#include <errno.h>
#include <limits.h>
#include <linux/if_tun.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/fd.h"
#include "tapdev/netlink.h"

#define NUMBERS_MAX 32768 /* as many as the kernel tries for a pattern */

/* -------------------------------------------------------------------- making one */

/* @pattern with @number instead of its %d. Return: whether that fits. */
static bool numbered(const char *pattern, unsigned number, char name[IFNAMSIZ])
{
	const char *percent = strstr(pattern, "%d");
	int len = snprintf(name, IFNAMSIZ, "%.*s%u%s", (int)(percent - pattern), pattern, number,
			   percent + 2);

	return len < IFNAMSIZ;
}

/* The kernel numbers patterns, too, but does not say what came out of it before Linux 6.2. */
int macvtap_new(int parent, const char *pattern, unsigned mode, struct nl_link *link)
{
	char name[IFNAMSIZ];
	int ret = -EEXIST;

	if (!pattern)
		pattern = "macvtap%d";
	if (!strstr(pattern, "%d")) {
		ret = nl_macvtap_new(pattern, parent, mode);
		return ret < 0 ? ret : nl_link_get(pattern, link);
	}
	for (unsigned i = 0; ret == -EEXIST && i < NUMBERS_MAX; i++) {
		if (!numbered(pattern, i, name))
			break;
		ret = nl_macvtap_new(name, parent, mode);
	}
	if (ret == -EEXIST)
		return -ENFILE;
	return ret < 0 ? ret : nl_link_get(name, link);
}

/* ------------------------------------------------------------ its device's number */

/* A file system of that type, attached nowhere: it goes with the descriptor. sysfs is that of
 * this network namespace. */
static int private_mount(const char *type, unsigned attributes)
{
	cleanup_fd int context = fsopen(type, FSOPEN_CLOEXEC);
	int fd;

	if (context < 0 || fsconfig(context, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return -errno;
	fd = fsmount(context, FSMOUNT_CLOEXEC, attributes);
	return fd < 0 ? -errno : fd;
}

/* A line of text from a file in @dir. Return: whether it could be read. */
static bool read_line(int dir, const char *path, char *buf, size_t size)
{
	cleanup_fd int fd = openat(dir, path, O_RDONLY | O_CLOEXEC);
	ssize_t len = fd < 0 ? -1 : read(fd, buf, size - 1);

	if (len < 0)
		return false;
	buf[len] = '\0';
	buf[strcspn(buf, "\n")] = '\0';
	return true;
}

static bool says_number(int sysfs, const struct nl_link *link, const char *file, int value)
{
	char path[96], text[32];

	snprintf(path, sizeof(path), "class/net/%s/%s", link->name, file);
	return read_line(sysfs, path, text, sizeof(text)) && atoi(text) == value;
}

/* Is the interface that this sysfs shows under the name ours? Another namespace may have one of
 * the same name and index, but hardly of the same address and on the same parent as well. */
static bool is_same(int sysfs, const struct nl_link *link)
{
	char path[96], text[32], mac[18];

	snprintf(mac, sizeof(mac), "%02x:%02x:%02x:%02x:%02x:%02x", link->mac[0], link->mac[1],
		 link->mac[2], link->mac[3], link->mac[4], link->mac[5]);
	snprintf(path, sizeof(path), "class/net/%s/address", link->name);
	return says_number(sysfs, link, "ifindex", link->index) &&
	       says_number(sysfs, link, "iflink", link->parent) &&
	       read_line(sysfs, path, text, sizeof(text)) && strcmp(text, mac) == 0;
}

int macvtap_device(const struct nl_link *link, dev_t *dev)
{
	cleanup_fd int sysfs = private_mount("sysfs", MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID |
							      MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
	char path[96], text[32];
	unsigned major_nr, minor_nr;

	if (sysfs < 0) {
		sysfs = open("/sys", O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (sysfs < 0)
			return -errno;
		if (!is_same(sysfs, link))
			return -ENXIO;
	}
	snprintf(path, sizeof(path), "class/net/%s/macvtap/tap%d/dev", link->name, link->index);
	if (!read_line(sysfs, path, text, sizeof(text)))
		return -errno;
	if (sscanf(text, "%u:%u", &major_nr, &minor_nr) != 2)
		return -EPROTO;
	*dev = makedev(major_nr, minor_nr);
	return 0;
}

/* ----------------------------------------------------------------------- opening */

static int is_device(const struct stat *st, dev_t dev)
{
	return S_ISCHR(st->st_mode) && st->st_rdev == dev ? 0 : -ENOTUNIQ;
}

/* Looked at before, since opening another's would steal its frames, and after, since it may have
 * changed meanwhile. */
static int open_node(int dir, const char *name, dev_t dev)
{
	cleanup_fd int fd = -1;
	struct stat st;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (is_device(&st, dev) < 0)
		return -ENOTUNIQ;
	fd = openat(dir, name, O_RDWR | O_NONBLOCK | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	return is_device(&st, dev) < 0 ? -ENOTUNIQ : fd_steal(&fd);
}

/* The only file, "tap", of a file system of its own. Return: that one's root, owned, or -errno. */
static int private_node(dev_t dev)
{
	cleanup_fd int dir = private_mount("tmpfs", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC);

	if (dir < 0)
		return dir;
	return mknodat(dir, "tap", S_IFCHR | 0600, dev) < 0 ? -errno : fd_steal(&dir);
}

static bool worth_another(int ret)
{
	return ret == -ENOENT || ret == -ENOTUNIQ || ret == -EACCES;
}

int macvtap_open(int ifindex, dev_t dev)
{
	cleanup_fd int dir = -1;
	char path[32];
	int fd, private;

	snprintf(path, sizeof(path), "/dev/tap%d", ifindex);
	fd = open_node(AT_FDCWD, path, dev);
	if (!worth_another(fd))
		return fd;
	dir = private_node(dev);
	private = dir < 0 ? dir : open_node(dir, "tap", dev);
	return private < 0 ? fd : private;
}

int macvtap_may_open(int ifindex, dev_t dev)
{
	cleanup_fd int dir = -1;
	char path[32];
	struct stat st;
	int ret = 0;

	snprintf(path, sizeof(path), "/dev/tap%d", ifindex);
	if (lstat(path, &st) < 0)
		ret = -errno;
	else if (is_device(&st, dev) < 0)
		ret = -ENOTUNIQ;
	else if (faccessat(AT_FDCWD, path, R_OK | W_OK, AT_EACCESS) < 0)
		ret = -errno;
	if (!worth_another(ret))
		return ret;
	dir = private_node(dev);
	return dir < 0 ? ret : 0;
}

/* ------------------------------------------------------------------ an open queue */

int macvtap_set_flags(int fd, bool vnet_hdr, bool multi_queue)
{
	struct ifreq ifr = { 0 };
	int flags = IFF_TAP | IFF_NO_PI;

	if (vnet_hdr)
		flags |= IFF_VNET_HDR;
	if (multi_queue)
		flags |= IFF_MULTI_QUEUE;
	ifr.ifr_flags = (short)flags;
	return ioctl(fd, TUNSETIFF, &ifr) < 0 ? -errno : 0;
}

bool macvtap_is_gone(int fd)
{
	struct ifreq ifr = { 0 };

	return ioctl(fd, TUNGETIFF, &ifr) < 0 && errno == ENOLINK;
}
