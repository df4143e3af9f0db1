/* SPDX-License-Identifier: MIT */
/* Names of interfaces, as callers and access lists write them. */
#ifndef HELPER_NAME_H
#define HELPER_NAME_H

/** name_fault() - Why no bridge or TAP is to have that name; NULL: it may. */
const char *name_fault(const char *name);

#endif
