/* SPDX-License-Identifier: MIT */
/* The tables of commands: finding, checking arguments, running, describing. */
#include "ctl/command.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"

static const struct command *const tables[] = {
	session_commands, port_commands,   switch_commands,  stats_commands, broker_commands,
	limit_commands,	  reload_commands, capture_commands, ping_commands,
};

static const struct command_arg port_event[] = {
	{ "id", ARG_STRING, true, .help = "the port" },
	{ "type", ARG_STRING, true, .help = "its type" },
	{ 0 },
};

static const struct command_arg broken_event[] = {
	{ "id", ARG_STRING, true, .help = "the port" },
	{ "type", ARG_STRING, true, .help = "its type" },
	{ "reason", ARG_STRING, true, .help = "why, and what to do about it" },
	{ "errno", ARG_INT, true, .help = "the same as an error number" },
	{ 0 },
};

static const struct command_arg join_event[] = {
	{ "id", ARG_STRING, true, .help = "the port" },
	{ "peer", ARG_STRING, true, .help = "the port or switch" },
	{ 0 },
};

static const struct command_arg switch_event[] = {
	{ "id", ARG_STRING, true, .help = "the switch" },
	{ 0 },
};

static const struct command_arg link_event[] = {
	{ "id", ARG_STRING, true, .help = "the port" },
	{ "up", ARG_BOOL, true, .help = "whether its link is up now" },
	{ 0 },
};

static const struct command_arg capture_event[] = {
	{ "id", ARG_STRING, true, .help = "the capture" },
	{ "port", ARG_STRING, true, .help = "its port" },
	{ "seen", ARG_INT, true, .help = "frames that went by" },
	{ "filtered", ARG_INT, true, .help = "of these, not wanted by the filter" },
	{ "dropped", ARG_INT, true, .help = "wanted, but the buffer was full" },
	{ "written", ARG_INT, true, .help = "frames in the file" },
	{ "bytes", ARG_INT, true, .help = "bytes of these" },
	{ "reason", ARG_STRING, .help = "the error that ended it" },
	{ "errno", ARG_INT, .help = "its number" },
	{ 0 },
};

static const struct command_arg probe_event[] = {
	{ "id", ARG_STRING, true, .help = "the ping" },
	{ "port", ARG_STRING, true, .help = "its port" },
	{ "method", ARG_STRING, true, .help = "what is asked by now, in words" },
	{ "seq", ARG_INT, true, .help = "the probe's number, from 1" },
	{ "fate", ARG_STRING, true, .choices = "answered|lost|held|dropped",
	  .help = "lost: not answered in time; held: not taken by the port's outside in time; dropped: by the "
		  "port" },
	{ "cause", ARG_STRING, .help = "why it was dropped, as in the port's counters" },
	{ "queue", ARG_INT, true, .help = "the queue pair whose thread sent it" },
	{ "wait_ns", ARG_INT, true,
	  .help = "from when it was due until the thread that moves the port's frames came to it" },
	{ "hand_over_ns", ARG_INT, true, .help = "from there until the port's outside took it" },
	{ "outside_ns", ARG_INT, .help = "from there until that thread had the answer" },
	{ "busy_ns", ARG_INT,
	  .help = "of these, how long at most the answer waited for that thread" },
	{ "mac", ARG_STRING, .help = "whose answer it was" },
	{ "address", ARG_STRING, .help = "the same" },
	{ 0 },
};

static const struct command_arg ping_event[] = {
	{ "id", ARG_STRING, true, .help = "the ping" },
	{ "port", ARG_STRING, true, .help = "its port" },
	{ "method", ARG_STRING, true, .help = "what it asked, in words" },
	{ "sent", ARG_INT, true, .help = "probes that the port's outside took" },
	{ "answered", ARG_INT, true, .help = "probes of this fate" },
	{ "lost", ARG_INT, true, .help = "the same" },
	{ "held", ARG_INT, true, .help = "the same" },
	{ "dropped", ARG_INT, true, .help = "the same" },
	{ "duplicates", ARG_INT, true, .help = "further answers by whoever had answered first" },
	{ "others", ARG_INT, true, .help = "by somebody else" },
	{ "late", ARG_INT, true, .help = "answers to what had been given up" },
	{ "reason", ARG_STRING, .help = "the error that ended it" },
	{ "errno", ARG_INT, .help = "its number" },
	{ 0 },
};

static const struct event_info events[] = {
	{ "PORT_ADDED", "a port was opened", port_event },
	{ "PORT_UP", "frames can move: the other side is there", port_event },
	{ "PORT_WAITING", "the other side is not there (yet)", port_event },
	{ "PORT_BROKEN", "a port failed for good; it stays until it is deleted", broken_event },
	{ "PORT_DELETED", "a port was closed and its name is free", port_event },
	{ "PORT_CONNECTED", "a port was joined to another, or to a switch", join_event },
	{ "PORT_DISCONNECTED", "that ended", join_event },
	{ "SWITCH_ADDED", "a switch was made", switch_event },
	{ "SWITCH_DELETED", "a switch was removed", switch_event },
	{ "LINK_CHANGED", "set_link changed a port's link", link_event },
	{ "CAPTURE_ENDED", "a capture writes nothing any more", capture_event },
	{ "PING_PROBE", "what became of a probe; only for the connection that asked for it",
	  probe_event },
	{ "PING_ENDED", "a ping sends nothing any more; only for that connection", ping_event },
	{ "SHUTDOWN", "the server ends; it closes its ports after this", NULL },
};

/* ------------------------------------------------------------------- finding */

const struct command *command_at(unsigned index)
{
	for (size_t t = 0; t < sizeof(tables) / sizeof(tables[0]); t++)
		for (const struct command *cmd = tables[t]; cmd->name; cmd++)
			if (!index--)
				return cmd;
	return NULL;
}

const struct command *command_find(const char *name)
{
	const struct command *cmd;

	for (unsigned i = 0; (cmd = command_at(i)); i++)
		if (strcmp(cmd->name, name) == 0)
			return cmd;
	return NULL;
}

const struct event_info *event_at(unsigned index)
{
	return index < sizeof(events) / sizeof(events[0]) ? &events[index] : NULL;
}

/* ------------------------------------------------------------------ arguments */

const char *kind_name(enum arg_kind kind)
{
	static const char *const names[] = {
		[ARG_STRING] = "string", [ARG_BOOL] = "boolean",  [ARG_INT] = "integer",
		[ARG_NUMBER] = "number", [ARG_OBJECT] = "object", [ARG_ARRAY] = "array",
		[ARG_ANY] = "any",
	};

	return names[kind];
}

static bool has_kind(const json_t *value, enum arg_kind kind)
{
	switch (kind) {
	case ARG_STRING:
		return json_is_string(value);
	case ARG_BOOL:
		return json_is_boolean(value);
	case ARG_INT:
		return json_is_integer(value);
	case ARG_NUMBER:
		return json_is_number(value);
	case ARG_OBJECT:
		return json_is_object(value);
	case ARG_ARRAY:
		return json_is_array(value);
	case ARG_ANY:
		break;
	}
	return true;
}

static bool is_choice(const char *choices, const char *text)
{
	size_t len = strlen(text);

	while (*choices) {
		size_t one = strcspn(choices, "|");

		if (one == len && memcmp(choices, text, len) == 0)
			return true;
		choices += one;
		choices += *choices == '|';
	}
	return false;
}

static int refuse(const struct command *cmd, struct vmtap_error *err, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static int refuse(const struct command *cmd, struct vmtap_error *err, const char *fmt, ...)
{
	char why[400];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(why, sizeof(why), fmt, ap);
	va_end(ap);
	return error_set(err, EINVAL, cmd->name, "read its arguments", "%s", why);
}

/* "ifname, br and up": what the command takes, into the remedy. */
static void list_args(const struct command *cmd, struct vmtap_error *err)
{
	char list[300] = "";
	size_t len = 0;

	for (const struct command_arg *a = cmd->args; a && a->name && len < sizeof(list); a++)
		len += (size_t)snprintf(list + len, sizeof(list) - len, "%s%s", len ? ", " : "",
					a->name);
	if (len)
		error_remedy(err, "it takes %s", list);
	else
		error_remedy(err, "it takes none");
}

static int check_value(const struct command *cmd, const struct command_arg *arg,
		       const json_t *value, struct vmtap_error *err)
{
	double num = json_number_value(value);

	if (!has_kind(value, arg->kind))
		return refuse(cmd, err, "%s is not of the kind \"%s\"", arg->name,
			      kind_name(arg->kind));
	if (arg->choices && !is_choice(arg->choices, json_string_value(value))) {
		refuse(cmd, err, "%s is none of %s", arg->name, arg->choices);
		return -EINVAL;
	}
	if (arg->min < arg->max && json_is_number(value) &&
	    (num < (double)arg->min || num > (double)arg->max))
		return refuse(cmd, err, "%s is not from %" PRId64 " to %" PRId64, arg->name,
			      arg->min, arg->max);
	return 0;
}

static const struct command_arg *find_arg(const struct command *cmd, const char *name)
{
	for (const struct command_arg *a = cmd->args; a && a->name; a++)
		if (strcmp(a->name, name) == 0)
			return a;
	return NULL;
}

int command_check(const struct command *cmd, json_t *args, struct vmtap_error *err)
{
	const char *name;
	json_t *value;

	json_object_foreach(args, name, value)
	{
		const struct command_arg *arg = find_arg(cmd, name);
		int ret = 0;

		if (arg)
			ret = check_value(cmd, arg, value, err);
		else if (!cmd->others) {
			ret = refuse(cmd, err, "there is no argument \"%.60s\"", name);
			list_args(cmd, err);
		}
		if (ret)
			return ret;
	}
	for (const struct command_arg *a = cmd->args; a && a->name; a++) {
		if (!a->required || json_object_get(args, a->name))
			continue;
		refuse(cmd, err, "%s is missing", a->name);
		list_args(cmd, err);
		return -EINVAL;
	}
	return 0;
}

/* -------------------------------------------------------------------- running */

static void drop_out(struct call *c)
{
	while (c->out_cnt)
		fd_close(&c->out[--c->out_cnt]);
}

json_t *command_run(const struct command *cmd, struct call *c, json_t *args,
		    struct vmtap_error *err)
{
	json_t *none = args ? NULL : json_object(), *answer = NULL;

	if (!args)
		args = none;
	if (!args) {
		error_errno(err, ENOMEM, cmd->name, "run it");
	} else if (c->role < cmd->role) {
		error_set(err, EPERM, cmd->name, "run it",
			  "this connection may only look (commands that begin with \"query-\")");
		error_remedy(err, "connect as root, as the server's user, or as a member of the "
				  "group of its --control-group");
	} else if (command_check(cmd, args, err) == 0) {
		answer = cmd->run(c, args, err);
		if (!answer && !err->code)
			error_errno(err, ENOMEM, cmd->name, "run it");
	}
	if (!answer)
		drop_out(c);
	json_decref(none);
	return answer;
}

int call_take_fd(struct call *c)
{
	for (unsigned i = 0; i < c->in_cnt; i++)
		if (c->in[i] >= 0)
			return fd_steal(&c->in[i]);
	return -1;
}

int call_send_fd(struct call *c, int fd, struct vmtap_error *err)
{
	int copy;

	if (c->out_cnt == CALL_FDS_MAX)
		return error_set(err, E2BIG, "answer", "send descriptors",
				 "it would be more than %d", CALL_FDS_MAX);
	copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (copy < 0)
		return error_errno(err, errno, "answer", "send descriptors");
	c->out[c->out_cnt++] = copy;
	return 0;
}

void call_lease(struct call *c, struct lease *l, void (*gone)(struct lease *l))
{
	l->call = c;
	l->gone = gone;
	l->next = c->leases;
	c->leases = l;
}

void lease_event(struct lease *l, const char *name, json_t *data)
{
	json_t *event = ctl_event_new(name, data);

	if (event && l->call && l->call->event)
		l->call->event(l->call->opaque, event);
	json_decref(event);
}

void lease_end(struct lease *l)
{
	struct lease **at = l->call ? &l->call->leases : NULL;

	while (at && *at && *at != l)
		at = &(*at)->next;
	if (at && *at)
		*at = l->next;
	l->call = NULL;
}

void call_fini(struct call *c)
{
	while (c->leases) {
		struct lease *l = c->leases;

		lease_end(l);
		l->gone(l);
	}
	for (unsigned i = 0; i < c->in_cnt; i++)
		fd_close(&c->in[i]);
	c->in_cnt = 0;
	drop_out(c);
}

int args_of_type(json_t *args, const char *type, const char *command, struct vmtap_error *err)
{
	const char *said = arg_str(args, "type", NULL);

	if (!json_object_get(args, "type")) {
		json_object_set_new(args, "type", json_string(type));
		return 0;
	}
	if (said && strcmp(said, type) == 0)
		return 0;
	error_set(err, EINVAL, command, "read its arguments", "type is always \"%s\"", type);
	error_remedy(err, "leave it out");
	return -EINVAL;
}

json_t *text_json(const char *text)
{
	json_t *j = json_string(text);
	char *ascii = j ? NULL : strdup(text);

	for (char *c = ascii; c && *c; c++)
		if ((unsigned char)*c >= 0x80)
			*c = '?';
	if (ascii)
		j = json_string(ascii);
	free(ascii);
	return j;
}

/* ------------------------------------------------------------------ describing */

static json_t *arg_schema(const struct command_arg *arg)
{
	json_t *j = json_pack("{ss,ss,sb,ss}", "name", arg->name, "type", kind_name(arg->kind),
			      "required", arg->required, "help", arg->help ? arg->help : "");

	if (j && arg->choices)
		json_object_set_new(j, "choices", json_string(arg->choices));
	if (j && arg->min < arg->max) {
		json_object_set_new(j, "min", json_integer(arg->min));
		json_object_set_new(j, "max", json_integer(arg->max));
	}
	return j;
}

static json_t *args_schema(const struct command_arg *args)
{
	json_t *list = json_array();

	for (; args && args->name; args++)
		json_array_append_new(list, arg_schema(args));
	return list;
}

static json_t *one_schema(const struct command *cmd)
{
	json_t *j = json_pack("{ss,ss,ss,so}", "name", cmd->name, "role",
			      cmd->role == ROLE_READ ? "read" : "admin", "summary", cmd->summary,
			      "arguments", args_schema(cmd->args));

	if (j && cmd->others)
		json_object_set_new(j, "other-arguments", json_string(cmd->others));
	if (j)
		json_object_set_new(j, "returns",
				    json_string(cmd->returns ? cmd->returns : "an empty object"));
	return j;
}

static json_t *type_schema(const struct vmtap_type_info *type)
{
	json_t *keys = json_array();

	for (unsigned i = 0; i < type->key_cnt; i++) {
		const struct vmtap_key_info *k = &type->keys[i];

		json_array_append_new(keys,
				      json_pack("{ss,ss,ss,ss,ss,sb}", "name", k->name, "kind",
						k->kind, "unit", k->unit, "default", k->def, "help",
						k->help, "required", k->required));
	}
	return json_pack("{ss,ss,so}", "name", type->name, "summary", type->summary, "keys", keys);
}

json_t *command_schema(void)
{
	json_t *commands = json_array(), *told = json_array(), *types = json_array();
	const struct command *cmd;
	const struct vmtap_type_info *type;

	for (unsigned i = 0; (cmd = command_at(i)); i++)
		json_array_append_new(commands, one_schema(cmd));
	for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++)
		json_array_append_new(told, json_pack("{ss,ss,so}", "name", events[i].name,
						      "summary", events[i].summary, "data",
						      args_schema(events[i].data)));
	for (unsigned i = 0; (type = vmtap_type_info(i)); i++)
		json_array_append_new(types, type_schema(type));
	return json_pack("{ss,so,so,so}", "version", vmtap_version(), "commands", commands,
			 "events", told, "port-types", types);
}
