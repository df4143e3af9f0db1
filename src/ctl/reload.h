/* SPDX-License-Identifier: MIT */
/*
 * A configuration file in force, and what is done when it is read again.
 *
 * Model
 *   What the file holds now is compared with what was in force. A port that is described as before is not
 *   touched, nor is a join; one that differs only in its limits and filters goes on with the new ones. A port
 *   that changed otherwise, that is missing or broken is opened anew; what is not in the file any more is closed.
 *   What came over the control socket is not the file's: it stays, and what that joined to a port or switch
 *   opened anew is joined again.
 *   Everything that can be tried is tried before anything is changed. When something fails after that, what
 *   was in force is put in place again.
 *
 * Threads
 *   As struct state: between dispatches.
 */
#ifndef CTL_RELOAD_H
#define CTL_RELOAD_H

#include "ctl/conffile.h"
#include "ctl/state.h"

struct reload;

/** struct reload_result - What was done with ports and switches. @changed: those kept that have other limits or
 *  filters now. @missing: what could not be had, joins among them; only where the rest goes on without. */
struct reload_result {
	unsigned kept, changed, opened, closed, missing;
};

/** reload_new() - Nothing is in force yet. @path: copied. Return: owned; NULL: out of memory. */
struct reload *reload_new(struct state *s, const char *path);
void reload_free(struct reload *r);

/** reload_run() - Read the file and put it in force. @result may be NULL.
 *  Return: 0, or -errno and @err: what was in force is again, but for what the log says. */
int reload_run(struct reload *r, struct reload_result *result, struct vmtap_error *err);

/** reload_start() - Read the file and put it in force for the first time. What cannot be had, a bridge that is
 *  not there yet, is logged and missing: the other guests have their network. A reload tries again.
 *  Return: how many ports, switches and joins are missing; -errno and @err: the file is wrong. */
int reload_start(struct reload *r, struct vmtap_error *err);

/** reload_check() - Try each port and switch of a file without changing anything, in an instance @v that has
 *  none; @failed is told of each that cannot be had. Return: 0 or the last failure. */
int reload_check(struct vmtap *v, const struct conffile *f,
		 void (*failed)(void *opaque, const struct vmtap_error *err), void *opaque);

#endif
