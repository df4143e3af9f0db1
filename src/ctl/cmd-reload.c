/* SPDX-License-Identifier: MIT */
/* The command that reads the configuration file again. */
#include <errno.h>

#include "ctl/command.h"
#include "ctl/reload.h"

static json_t *reload(struct call *c, json_t *args, struct vmtap_error *err)
{
	struct reload_result done = { 0 };
	struct reload *file = state_file(c->state);

	if (!file) {
		error_set(err, ENOENT, "vmtap", "reload",
			  "it was started without a configuration file");
		error_remedy(err, "vmtap serve -c FILE");
		return NULL;
	}
	if (reload_run(file, &done, err) < 0)
		return NULL;
	return json_pack("{sI,sI,sI,sI}", "kept", (json_int_t)done.kept, "changed",
			 (json_int_t)done.changed, "opened", (json_int_t)done.opened, "closed",
			 (json_int_t)done.closed);
}

const struct command reload_commands[] = {
	{
		.name = "reload",
		.role = ROLE_ADMIN,
		.summary = "Read the configuration file again, and change what is different",
		.returns =
			"kept, opened, closed: how many ports and switches; changed: how many of "
			"those kept have other limits or filters now",
		.run = reload,
	},
	{ 0 },
};
