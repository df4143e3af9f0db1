/* SPDX-License-Identifier: MIT */
/* The keys that all port types have. */
#include "conf/parse.h"

const struct conf_key conf_common_keys[] = {
	{
		.name = "id",
		.kind = CONF_STRING,
		.def = "a name is made up",
		.help = "Name of the port: letters, digits, '-', '.' and '_', a letter first",
	},
};

const unsigned conf_common_cnt = sizeof(conf_common_keys) / sizeof(conf_common_keys[0]);
