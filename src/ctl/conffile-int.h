/* SPDX-License-Identifier: MIT */
/*
 * The insides of the configuration file's reader.
 *
 * conffile.c reads a file, looks things up in it and has the errors, conffile-lines.c goes from lines to sections,
 * conffile-meaning.c from these to descriptions and joins.
 */
#ifndef CTL_CONFFILE_INT_H
#define CTL_CONFFILE_INT_H

#include "ctl/conffile.h"

/** What may stand between words. */
#define CONFFILE_SPACE " \t\r"
/** What names of sections and keys are made of. */
#define CONFFILE_NAME_CHARS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-"

/** conffile_refuse() - Fill @err: what is wrong in @line. Return: -EINVAL. */
int conffile_refuse(const struct conffile *f, unsigned line, struct vmtap_error *err,
		    const char *fmt, ...) __attribute__((format(printf, 4, 5)));
/** conffile_unknown() - Fill @err: @word is none of @known, which ends with NULL. Return: -EINVAL. */
int conffile_unknown(const struct conffile *f, unsigned line, const char *what, const char *word,
		     const char *const *known, struct vmtap_error *err);
/** conffile_no_memory() - Fill @err. Return: -ENOMEM. */
int conffile_no_memory(const struct conffile *f, struct vmtap_error *err);

/** conffile_grow() - Room for one more behind @cnt elements of @size; the array grows at powers of two. */
void *conffile_grow(void *array, unsigned cnt, size_t size);
/** conffile_is_name() - Can a section or a key be called so? */
bool conffile_is_name(const char *text);
/** conffile_key_of() - NULL: there is no such key. */
const struct conffile_key *conffile_key_of(const struct conffile_section *s, const char *name);

/** conffile_read_lines() - Fill in the sections and their keys. Return: 0; or -errno and @err. */
int conffile_read_lines(struct conffile *f, const char *text, size_t len, struct vmtap_error *err);
/** conffile_understand() - Check them, and fill in descriptions and joins. Return: 0; or -errno and @err. */
int conffile_understand(struct conffile *f, struct vmtap_error *err);

#endif
