/* SPDX-License-Identifier: MIT */
/*
 * What the control socket joined, over a reload of the configuration file.
 *
 * Model
 *   When a port or a switch of the file is opened anew, what was joined to it is parted. The file says which of
 *   that belongs together again; the rest is noted before and joined again after.
 */
#ifndef CTL_JOINS_H
#define CTL_JOINS_H

#include "ctl/conffile.h"
#include "ctl/state.h"

struct joins;

/** joins_note() - What is joined now, and not by @f. Return: owned; NULL: out of memory. */
struct joins *joins_note(struct state *s, const struct conffile *f);
/** joins_restore() - Join again what is parted since. What cannot be is logged. */
void joins_restore(const struct joins *joins);
void joins_free(struct joins *joins);

#endif
