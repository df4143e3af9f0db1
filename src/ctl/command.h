/* SPDX-License-Identifier: MIT */
/*
 * Commands of the control socket: rows of tables.
 *
 * Model
 *   A subject has a file, cmd-SUBJECT.c, with a table of struct command that ends with a NULL name; the
 *   list of the tables is in command.c. A row says everything about a command: who may call it, which
 *   arguments it has, what it returns. Arguments are checked against it before @run is called, and the
 *   schema document, the reference in vmtap-qmp(7), query-commands and the words of `vmtap ctl`
 *   are made from it.
 *
 * Adding one
 *   - a new file: `extern const struct command SUBJECT_commands[];` below, a row in `tables` of
 *     command.c, a line in meson.build
 *   - an event: a row in `events` of command.c; ctl_event() tells the clients
 *
 * What a client may do wrong
 *   Anything: kinds, ranges and choices are checked from the row, the rest by @run.
 */
#ifndef CTL_COMMAND_H
#define CTL_COMMAND_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "ctl/state.h"
#include "vmtap/vmtap.h"

enum arg_kind {
	ARG_STRING,
	ARG_BOOL,
	ARG_INT,
	ARG_NUMBER,
	ARG_OBJECT,
	ARG_ARRAY,
	ARG_ANY,
};

/** Who may call a command. */
enum role {
	ROLE_NONE = 0,
	ROLE_READ = 1,	/* may look */
	ROLE_ADMIN = 2, /* may do everything */
};

/**
 * struct command_arg - An argument
 * @min, @max: ARG_INT and ARG_NUMBER: bounds, when @min < @max
 * @choices:   ARG_STRING: "a|b|c"; NULL: any
 * @factor:    ARG_INT: as a word it may end in k, M, G or T: powers of 1000 or 1024; 0: it may not
 */
struct command_arg {
	const char *name;
	enum arg_kind kind;
	bool required;
	int64_t min, max;
	const char *choices;
	const char *help;
	int64_t factor;
};

struct call;

/**
 * struct lease - Something that goes on after its command was answered, and ends with the connection that asked for
 * it; embedded in its owner
 * @call: NULL: the connection is gone
 * @gone: it is, now; the lease is none any more
 */
struct lease {
	struct call *call;
	void (*gone)(struct lease *l);
	struct lease *next;
};

/**
 * struct command - A command
 * @name:    as QMP has it: "query-ports", "port_add"
 * @role:    ROLE_READ: whoever may only look may call it, too; ROLE_ADMIN
 * @summary: one line, without a full stop
 * @returns: what the answer holds, for the reference; NULL: an empty object
 * @args:    ends with a NULL name; NULL: none
 * @others:  what further arguments are, which @run checks itself; NULL: there may be none
 * @run:     @args is an object, borrowed, checked. Return: the answer, owned; NULL and @err
 */
struct command {
	const char *name;
	enum role role;
	const char *summary;
	const char *returns;
	const struct command_arg *args;
	const char *others;
	json_t *(*run)(struct call *c, json_t *args, struct vmtap_error *err);
};

/** struct event_info - An event, for the reference. @data: ends with a NULL name. */
struct event_info {
	const char *name;
	const char *summary;
	const struct command_arg *data;
};

/** Descriptors that may come along with a command, or go along with an answer. */
#define CALL_FDS_MAX 64

/**
 * struct call - A command that is being run
 * @role:   of who calls
 * @in:     descriptors that came along, owned; the first @in_cnt, -1 where one was taken
 * @out:    descriptors that go along with the answer, owned
 * @event:  sends an event, borrowed, to who calls, and to nobody else; NULL: cannot be
 */
struct call {
	struct state *state;
	enum role role;
	int in[CALL_FDS_MAX];
	unsigned in_cnt;
	int out[CALL_FDS_MAX];
	unsigned out_cnt;
	struct lease *leases;
	void (*event)(void *opaque, json_t *event);
	void *opaque;
};

/** call_take_fd() - The next descriptor that came along. Return: owned; -1: there is none. */
int call_take_fd(struct call *c);
/** call_send_fd() - Send @fd, borrowed, along with the answer. Return: 0 or -errno and @err. */
int call_send_fd(struct call *c, int fd, struct vmtap_error *err);
/** call_lease() - Have @l, borrowed, end with the connection of @c. */
void call_lease(struct call *c, struct lease *l, void (*gone)(struct lease *l));
/** lease_event() - Tell that connection, while it is there. @data: taken, as that of ctl_event(). */
void lease_event(struct lease *l, const char *name, json_t *data);
/** lease_end() - It has ended by itself. Any number of times. */
void lease_end(struct lease *l);

/** call_fini() - Close what was neither taken nor sent; leases end. */
void call_fini(struct call *c);

/** The tables; each ends with a NULL name. */
extern const struct command session_commands[];
extern const struct command port_commands[];
extern const struct command stats_commands[];
extern const struct command switch_commands[];
extern const struct command capture_commands[];
extern const struct command ping_commands[];
extern const struct command broker_commands[];
extern const struct command limit_commands[];
extern const struct command reload_commands[];

/** command_find() - NULL: there is none. */
const struct command *command_find(const char *name);
/** command_at() - The @index'th of all; NULL beyond the last. */
const struct command *command_at(unsigned index);

/** command_check() - Are @args, an object, what the row says? Return: 0, or -EINVAL and @err. */
int command_check(const struct command *cmd, json_t *args, struct vmtap_error *err);

/** command_run() - Check role and arguments, then run. @args: borrowed; NULL: none.
 *  Return: as @run. */
json_t *command_run(const struct command *cmd, struct call *c, json_t *args,
		    struct vmtap_error *err);

/** event_at() - The @index'th event; NULL beyond the last. */
const struct event_info *event_at(unsigned index);

/** kind_name() - As the reference has it: "string". */
const char *kind_name(enum arg_kind kind);

/** command_schema() - All commands, events and port types. Return: owned; NULL: out of memory. */
json_t *command_schema(void);

/* For rows -------------------------------------------------------------------- */

/** arg_str() - A string argument; @def when it was not given. Borrowed from @args. */
static inline const char *arg_str(const json_t *args, const char *name, const char *def)
{
	const char *text = json_string_value(json_object_get(args, name));

	return text ? text : def;
}

static inline int64_t arg_int(const json_t *args, const char *name, int64_t def)
{
	const json_t *j = json_object_get(args, name);

	return j ? json_integer_value(j) : def;
}

static inline bool arg_bool(const json_t *args, const char *name, bool def)
{
	const json_t *j = json_object_get(args, name);

	return j ? json_is_true(j) : def;
}

/** args_of_type() - Make @args those of a port or switch of type @type, unless they name another: then -EINVAL
 *  and @err. */
int args_of_type(json_t *args, const char *type, const char *command, struct vmtap_error *err);

/** text_json() - A string, also when a cut fell into one of its characters. */
json_t *text_json(const char *text);

/** done() - The answer of a command that returns nothing: an empty object, when @ret is 0. */
static inline json_t *done(int ret)
{
	return ret ? NULL : json_object();
}

#endif
