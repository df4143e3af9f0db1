/* SPDX-License-Identifier: MIT */
/* The application as the keeper of descriptors. */
#include <string.h>

#include "api/api.h"

static int find(void *opaque, const char *port, const char *role)
{
	struct vmtap *v = opaque;
	int fd;

	call_begin(v);
	fd = v->keeper.find(v->keeper.opaque, port, role);
	call_end(v);
	return fd;
}

static void keep(void *opaque, const char *port, const char *role, int fd)
{
	struct vmtap *v = opaque;

	call_begin(v);
	v->keeper.keep(v->keeper.opaque, port, role, fd);
	call_end(v);
}

static void drop(void *opaque, const char *port, const char *role)
{
	struct vmtap *v = opaque;

	call_begin(v);
	v->keeper.drop(v->keeper.opaque, port, role);
	call_end(v);
}

void vmtap_set_keeper(struct vmtap *v, const struct vmtap_keeper *keeper)
{
	memcpy(&v->keeper, keeper,
	       keeper->size < sizeof(v->keeper) ? keeper->size : sizeof(v->keeper));
	v->port_keeper =
		(struct port_keeper) { .find = find, .keep = keep, .drop = drop, .opaque = v };
	v->env.keeper = &v->port_keeper;
}

void vmtap_leave_kept(struct vmtap *v)
{
	v->port_keeper.leaving = true;
}
