/* SPDX-License-Identifier: MIT */
/* Checks: programs that configure every interface they see. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "host/checks.h"
#include "host/manager.h"

/* Is it in another network namespace? Only root may look at others'; else it counts as ours. */
static bool is_elsewhere(int pid)
{
	struct stat mine, its;
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/ns/net", pid);
	return stat("/proc/self/ns/net", &mine) == 0 && stat(path, &its) == 0 &&
	       mine.st_ino != its.st_ino;
}

/* @comm: its name, of which the kernel keeps 15 characters. */
static bool is_running(const char *comm)
{
	DIR *proc = opendir("/proc");
	char path[64], name[32];
	struct dirent *e;
	bool found = false;

	while (proc && !found && (e = readdir(proc))) {
		int pid = atoi(e->d_name);

		if (pid <= 0)
			continue;
		snprintf(path, sizeof(path), "/proc/%d/comm", pid);
		found = read_text(path, name, sizeof(name)) > 0 && strcmp(name, comm) == 0 &&
			!is_elsewhere(pid);
	}
	if (proc)
		closedir(proc);
	return found;
}

/* What the interface of the target is, or is going to be. */
static struct managed managed_by(struct doctor *d, char mac[18])
{
	bool macvtap = d->target->kind == DOCTOR_MACVTAP;

	mac[0] = '\0';
	if (d->tap)
		snprintf(mac, 18, "%02x:%02x:%02x:%02x:%02x:%02x", d->tap->mac[0], d->tap->mac[1],
			 d->tap->mac[2], d->tap->mac[3], d->tap->mac[4], d->tap->mac[5]);
	return (struct managed) {
		.name = d->tap_name[0] ? d->tap_name
			: macvtap      ? "macvtap0"
				       : "tap0",
		.kind = macvtap ? "macvtap" : "tun",
		.mac = mac,
	};
}

/* Does NetworkManager say of itself that it does not manage the existing interface? */
static bool nm_says_unmanaged(const struct doctor *d)
{
	char path[64], text[1024];

	if (!d->tap)
		return false;
	snprintf(path, sizeof(path), "/run/NetworkManager/devices/%d", d->tap->index);
	return read_text(path, text, sizeof(text)) > 0 && strstr(text, "managed=false");
}

void check_network_manager(struct doctor *d)
{
	char mac[18];
	struct managed m = managed_by(d, mac);

	about(d, "interface %s", m.name);
	if (!is_running("NetworkManager") || nm_says_unmanaged(d) || nm_leaves_alone(&m))
		return;
	finding(d, VMTAP_FINDING_WARNING, "NetworkManager runs and is not told to leave it alone");
	why(d, "it may take the interface off its bridge, set it down or ask for an address on it");
	remedy(d,
	       "printf '[keyfile]\\nunmanaged-devices+=interface-name:%%s\\n' %s "
	       ">/etc/NetworkManager/conf.d/90-vmtap-%s.conf && nmcli general reload conf",
	       shell(d, m.name), shell(d, m.name));
}

void check_networkd(struct doctor *d)
{
	char mac[18], file[400];
	struct managed m = managed_by(d, mac);

	about(d, "interface %s", m.name);
	if (!is_running("systemd-network") || !networkd_file_of(&m, file, sizeof(file)))
		return;
	finding(d, VMTAP_FINDING_WARNING, "systemd-networkd runs, and %s applies to it", file);
	why(d, "it may take the interface off its bridge, or ask for an address on it");
	remedy(d,
	       "printf '[Match]\\nName=%%s\\n[Link]\\nUnmanaged=yes\\n' %s "
	       ">/etc/systemd/network/00-vmtap-%s.network && networkctl reload",
	       shell(d, m.name), shell(d, m.name));
}
