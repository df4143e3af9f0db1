/* SPDX-License-Identifier: MIT */
/* Commands about the session and the server. */
#include <errno.h>

#include "base/fd.h"
#include "ctl/command.h"
#include "ctl/qmp.h"

static json_t *query_version(struct call *c, json_t *args, struct vmtap_error *err)
{
	return qmp_version();
}

static json_t *query_commands(struct call *c, json_t *args, struct vmtap_error *err)
{
	json_t *list = json_array();
	const struct command *cmd;

	for (unsigned i = 0; (cmd = command_at(i)); i++)
		if (c->role >= cmd->role)
			json_array_append_new(list, json_pack("{ss}", "name", cmd->name));
	return list;
}

static json_t *query_schema(struct call *c, json_t *args, struct vmtap_error *err)
{
	return command_schema();
}

static json_t *quit(struct call *c, json_t *args, struct vmtap_error *err)
{
	state_end(c->state);
	return json_object();
}

/* The name may have been given to another descriptor before: as in QEMU, that one is closed. */
static json_t *getfd(struct call *c, json_t *args, struct vmtap_error *err)
{
	const char *name = arg_str(args, "fdname", "");
	struct vmtap *v = state_instance(c->state);
	int fd = call_take_fd(c), ret;

	if (fd < 0) {
		error_set(err, EBADF, "getfd", "take a descriptor", "none came along");
		error_remedy(err, "send it with the command, as SCM_RIGHTS (unix(7))");
		return NULL;
	}
	vmtap_del_fd(v, name, NULL);
	ret = vmtap_add_fd(v, name, fd, err);
	if (ret < 0)
		fd_close(&fd);
	return done(ret);
}

static json_t *closefd(struct call *c, json_t *args, struct vmtap_error *err)
{
	return done(vmtap_del_fd(state_instance(c->state), arg_str(args, "fdname", ""), err));
}

static const struct command_arg fd_args[] = {
	{ "fdname", ARG_STRING, true, .help = "the name; does not start with a digit" },
	{ 0 },
};

const struct command session_commands[] = {
	{
		.name = "query-version",
		.role = ROLE_READ,
		.summary = "The version of the server",
		.returns =
			"vmtap and qemu: objects with major, minor and micro; package. The second is "
			"the version of QEMU whose spelling the commands have",
		.run = query_version,
	},
	{
		.name = "query-commands",
		.role = ROLE_READ,
		.summary = "The commands that this connection may call",
		.returns = "an array of objects with name",
		.run = query_commands,
	},
	{
		.name = "query-schema",
		.role = ROLE_READ,
		.summary = "Commands with their arguments, events, port types with their keys",
		.returns = "the document that vmtap ctl --schema prints",
		.run = query_schema,
	},
	{
		.name = "getfd",
		.role = ROLE_ADMIN,
		.summary = "Name a descriptor that comes along (SCM_RIGHTS), for fd=NAME of a port",
		.args = fd_args,
		.run = getfd,
	},
	{
		.name = "closefd",
		.role = ROLE_ADMIN,
		.summary = "Close a named descriptor that no port took",
		.args = fd_args,
		.run = closefd,
	},
	{
		.name = "quit",
		.role = ROLE_ADMIN,
		.summary = "End the server: every port is closed, the last one first",
		.run = quit,
	},
	{ 0 },
};
