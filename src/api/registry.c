/* SPDX-License-Identifier: MIT */
/* The one table of port types. A new type is a row here. */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "api/api.h"
#include "conf/conf.h"
#include "port/null/null.h"
#include "port/responder/responder.h"
#include "port/sock/dgram.h"
#include "port/sock/stream.h"
#include "port/tap/tap.h"
#include "port/vu/vu.h"

static const struct port_type *const types[] = {
	&tap_type,    &bridge_type, &macvtap_type,   &vu_type,
	&stream_type, &dgram_type,  &responder_type, &null_type,
};

#define TYPE_CNT (sizeof(types) / sizeof(types[0]))
#define KEYS_MAX 64

static struct vmtap_type_info infos[TYPE_CNT];
static struct vmtap_key_info keys[TYPE_CNT][KEYS_MAX];
static struct vmtap_key_info common[KEYS_MAX];
static unsigned common_cnt;
static pthread_once_t infos_once = PTHREAD_ONCE_INIT;

const struct port_type *port_type_find(const char *name, struct vmtap_error *err)
{
	char list[256] = "";
	size_t len = 0;

	for (size_t i = 0; i < TYPE_CNT; i++) {
		if (strcmp(types[i]->schema->type, name) == 0)
			return types[i];
		len += (size_t)snprintf(list + len, sizeof(list) - len, "%s%s", i ? ", " : "",
					types[i]->schema->type);
	}
	error_set(err, EINVAL, name, "open the port", "there is no port type of that name");
	error_remedy(err, "the types are %s", list);
	return NULL;
}

static void infos_fill(void)
{
	for (size_t i = 0; i < TYPE_CNT; i++) {
		infos[i] = (struct vmtap_type_info) {
			.name = types[i]->schema->type,
			.summary = types[i]->summary,
			.help = types[i]->help,
			.keys = keys[i],
			.key_cnt = conf_key_infos(types[i]->schema, keys[i], KEYS_MAX),
		};
	}
	common_cnt = conf_common_infos(common, KEYS_MAX);
}

const struct vmtap_type_info *vmtap_type_info(unsigned index)
{
	pthread_once(&infos_once, infos_fill);
	return index < TYPE_CNT ? &infos[index] : NULL;
}

const struct vmtap_key_info *vmtap_common_info(unsigned index)
{
	pthread_once(&infos_once, infos_fill);
	return index < common_cnt ? &common[index] : NULL;
}
