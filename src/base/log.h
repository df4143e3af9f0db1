/* SPDX-License-Identifier: MIT */
/* Log lines, handed to whoever owns the instance. */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include "vmtap/vmtap.h"

/**
 * struct log - Where lines go; one per instance, borrowed by its parts
 * @write: as in struct vmtap_config; NULL: nowhere
 */
struct log {
	enum vmtap_log_level level;
	void (*write)(void *opaque, enum vmtap_log_level level, const char *object,
		      const char *msg);
	void *opaque;
};

/** struct log_limit - Lets through a few lines of something that a peer can cause. Zero-initialise it. */
struct log_limit {
	uint64_t since_ns;
	unsigned cnt;
	unsigned suppressed;
};

/** log_msg() - Log one line about @object (a port's name; "" for none). @log may be NULL. */
void log_msg(const struct log *log, enum vmtap_log_level level, const char *object, const char *fmt,
	     ...) __attribute__((format(printf, 4, 5)));

/** log_error() - Log what @err says, without its object. */
void log_error(const struct log *log, enum vmtap_log_level level, const char *object,
	       const struct vmtap_error *err);

/** log_allow() - May a line that a peer can cause be written now? At most 5 in 10 s;
 *  says how many were suppressed since with the next line that passes. */
bool log_allow(struct log_limit *limit, unsigned *suppressed);

#endif
