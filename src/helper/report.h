/* SPDX-License-Identifier: MIT */
/* What the caller gets to read. */
#ifndef HELPER_REPORT_H
#define HELPER_REPORT_H

#include "vmtap/vmtap.h"

/** report_error() - Write @err to stderr as one line, printable whatever the caller put in. */
void report_error(const struct vmtap_error *err);

/** report_caller() - Who calls, as in "user alice". */
void report_caller(char *buf, size_t size);

#endif
