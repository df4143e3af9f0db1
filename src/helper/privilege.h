/* SPDX-License-Identifier: MIT */
/*
 * What the program was given, and giving it back.
 *
 * Model: file capabilities, set-uid root, set-gid or a call by root: whatever
 * it is, after privilege_drop() the process has the caller's user and groups,
 * CAP_NET_ADMIN if it had that, and no way to get anything else.
 */
#ifndef HELPER_PRIVILEGE_H
#define HELPER_PRIVILEGE_H

#include <stdbool.h>

#include "vmtap/vmtap.h"

/**
 * struct privilege - What it was at the start
 * @net_admin:    CAP_NET_ADMIN, which is kept
 * @files:        a right to files beyond the caller's (set-uid, set-gid, CAP_DAC_OVERRIDE)
 * @no_new_privs: the caller forbade programs to gain anything
 */
struct privilege {
	bool net_admin, files, no_new_privs;
};

/** privilege_look() - See what there is. */
struct privilege privilege_look(void);

/** privilege_drop() - Keep CAP_NET_ADMIN at most. Return: 0, or -errno and @err: do not go on. */
int privilege_drop(const struct privilege *p, struct vmtap_error *err);

/** privilege_drop_but_files() - The same for a process that is to open a file: what it has of
 *  CAP_DAC_OVERRIDE, of set-uid and of set-gid stays. Return: 0 or -errno. */
int privilege_drop_but_files(void);

/** privilege_remedy() - CAP_NET_ADMIN is wanting: say in @err how the program gets it. */
void privilege_remedy(const struct privilege *p, struct vmtap_error *err);

#endif
