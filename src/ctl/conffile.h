/* SPDX-License-Identifier: MIT */
/*
 * The configuration file of `vmtap serve`: sections, their keys, and what follows from them.
 *
 * Model
 *   [serve], [port NAME], [switch NAME] and [link NAME] hold lines "key = value". A port's and a switch's
 *   section becomes a description, as the command line has it; its keys are sorted, so that two sections
 *   that mean the same have the same one. `ports` of a switch or a link becomes joins.
 *   What keys a type has is the library's business: here is checked what the file says by itself.
 *
 * What the file may do wrong
 *   Anything. The limits below hold, and an error's object is FILE:LINE.
 */
#ifndef CTL_CONFFILE_H
#define CTL_CONFFILE_H

#include <stdbool.h>
#include <stddef.h>

#include "vmtap/vmtap.h"

#define CONFFILE_SIZE_MAX (1u << 20)
#define CONFFILE_SECTIONS_MAX 4096
#define CONFFILE_KEYS_MAX 64
#define CONFFILE_NAME_MAX 60

enum conffile_kind {
	CONFFILE_SERVE,
	CONFFILE_PORT,
	CONFFILE_LINK,
	CONFFILE_SWITCH,
};

struct conffile_key {
	char *name, *value;
	unsigned line;
};

/**
 * struct conffile_section - A section
 * @name: "" of [serve]
 * @spec: the description, of a port or a switch; else NULL
 * @fixed: the same without what can change while a port runs
 */
struct conffile_section {
	enum conffile_kind kind;
	char *name;
	unsigned line;
	struct conffile_key *keys;
	unsigned key_cnt;
	char *spec, *fixed;
};

/** struct conffile_join - @port is joined to @to, a port or a switch */
struct conffile_join {
	char *port, *to;
	unsigned line;
};

struct conffile {
	char *path;
	struct conffile_section *sections;
	unsigned section_cnt;
	struct conffile_join *joins;
	unsigned join_cnt;
};

/** conffile_parse() - @text has @len bytes; @path is for messages. Return: owned; NULL and @err. */
struct conffile *conffile_parse(const char *path, const char *text, size_t len,
				struct vmtap_error *err);
/** conffile_read() - The same, of a file. */
struct conffile *conffile_read(const char *path, struct vmtap_error *err);
void conffile_free(struct conffile *f);

/** conffile_find() - The port or switch of that name; NULL: none. */
const struct conffile_section *conffile_find(const struct conffile *f, const char *name);
/** conffile_has() - Is there one of the same name that means the same? Ports may differ in what can change while
 *  they run. */
bool conffile_has(const struct conffile *f, const struct conffile_section *section);
/** conffile_serve() - The section [serve]; NULL: there is none. */
const struct conffile_section *conffile_serve(const struct conffile *f);
/** conffile_value() - Of a key; NULL: there is no such key, or @section is NULL. */
const char *conffile_value(const struct conffile_section *section, const char *key);
/** conffile_joins() - Does the file join the two, in whatever order? */
bool conffile_joins(const struct conffile *f, const char *a, const char *b);

/** conffile_place() - Put the file and the line in front of @err's object: of a long path, its end. @err may be NULL. */
void conffile_place(const struct conffile *f, unsigned line, struct vmtap_error *err);
/** conffile_blame() - The same with the line of the key that its reason names, or
 *  of the section. */
void conffile_blame(const struct conffile *f, const struct conffile_section *section,
		    struct vmtap_error *err);

#endif
