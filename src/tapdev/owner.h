/* SPDX-License-Identifier: MIT */
/*
 * Owner tags: who made an interface.
 *
 * The tag is the interface's alias (IFLA_IFALIAS, `ip link show` prints it):
 *
 *   vmtap: user=root program=vmtap pid=1234 start=567890 ns=4026531836 since=1795000000
 *
 * pid and start (field 22 of /proc/PID/stat, in clock ticks since boot) name a
 * process for good, also when its number is used again; ns is the inode of
 * the PID namespace that the number belongs to; since is in seconds since 1970.
 */
#ifndef TAPDEV_OWNER_H
#define TAPDEV_OWNER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define OWNER_TAG_MAX 256 /* IFALIASZ */

struct owner {
	char who[64]; /* "root, vmtap" */
	int pid;
	uint64_t start, ns;
	int64_t since;
};

enum owner_state {
	OWNER_ALIVE,
	OWNER_GONE,
	OWNER_UNKNOWN, /* of another PID namespace, or /proc does not tell */
};

/** owner_tag() - Write this process's tag, or with @pid not 0 another's. */
void owner_tag(char tag[OWNER_TAG_MAX], int pid);

/** owner_parse() - Return: whether @alias is a tag. Hostile until parsed: anybody may write one. */
bool owner_parse(const char *alias, struct owner *owner);

enum owner_state owner_state(const struct owner *owner);

/** owner_find_holder() - A process that has the TAP @ifname of this network namespace open (from
 *  /proc/PID/fdinfo), as far as this process may look; it may be this one. @name: its name.
 *  Return: its number; 0: none found. */
int owner_find_holder(const char *ifname, char name[64]);

/** owner_find_opener() - The same for a device file. @cnt: receives how many descriptors of it the
 *  process has. */
int owner_find_opener(dev_t dev, char name[64], unsigned *cnt);

#endif
