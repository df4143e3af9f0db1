/* SPDX-License-Identifier: MIT */
/*
 * What NetworkManager and systemd-networkd are told about an interface: their
 * configuration, as NetworkManager.conf(5) and systemd.network(5) describe it.
 */
#ifndef HOST_MANAGER_H
#define HOST_MANAGER_H

#include <stdbool.h>
#include <stddef.h>

/** struct managed - The interface that is asked about; it need not exist
 *  @kind: as the kernel says, "tun" or "macvtap"; @mac: "" when it is not known yet */
struct managed {
	const char *name, *kind, *mac;
};

/** nm_spec_matches() - Does a device list such as "interface-name:vm*;except:type:tun" match?
 *  Exceptions win, wherever they stand. */
bool nm_spec_matches(const char *specs, const struct managed *m);

/** nm_leaves_alone() - Does NetworkManager's configuration exempt it? */
bool nm_leaves_alone(const struct managed *m);

/** networkd_match() - Would a [Match] line apply? @known: whether its key is one that can be said
 *  without more knowledge. */
bool networkd_match(const char *key, const char *value, const struct managed *m, bool *known);

/** networkd_file_of() - The .network file that applies to it and has it managed.
 *  Return: whether there is one. */
bool networkd_file_of(const struct managed *m, char *file, size_t size);

#endif
