/* SPDX-License-Identifier: MIT */
/* Filling in struct vmtap_error, the object that explains a failure. */
#ifndef BASE_ERROR_H
#define BASE_ERROR_H

#include "vmtap/vmtap.h"

/**
 * error_set() - Describe a failure
 * @err:    may be NULL
 * @code:   positive errno value
 * @object: "tap vm0"; @action: "attach to the device"; @fmt: the reason
 *
 * Texts that do not fit are cut. Return: -@code, so that a caller can write
 * `return error_set(...)`.
 */
int error_set(struct vmtap_error *err, int code, const char *object, const char *action,
	      const char *fmt, ...) __attribute__((format(printf, 5, 6)));

/** error_errno() - error_set() with strerror(@code) as the reason. */
int error_errno(struct vmtap_error *err, int code, const char *object, const char *action);

/** error_remedy() - Say what to do about the failure that @err holds. */
void error_remedy(struct vmtap_error *err, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/** error_object() - Replace the object, where an outer layer knows its name better. */
void error_object(struct vmtap_error *err, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

#endif
