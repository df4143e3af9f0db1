/* SPDX-License-Identifier: MIT */
/*
 * What the kernel dropped of the frames for a TAP port, since nobody read them in time or it was detached.
 *
 * A device that was there before has counted already, and one that is lost takes its counter along: so the
 * port's figure is what each of its devices dropped between the port's attaching to it and leaving it.
 */
#include <string.h>

#include "port/tap/tap-int.h"
#include "tapdev/tun.h"

/* Since it was attached to. What was seen last stays when the interface can no longer be asked. */
static void look(struct tap *t)
{
	struct tap_drops *d = &t->drops;
	uint64_t now;

	if (d->of.ifindex && counts_drops(t->port.env->counts, &d->of, &now) == 0)
		d->seen = now > d->before ? now - d->before : 0;
}

void tap_drops_begin(struct tap *t)
{
	struct tap_drops *d = &t->drops;
	uint8_t mac[6];

	d->before = 0;
	if (!t->port.env->counts || tun_get_mac(tap_attached(t)->fd, mac) < 0)
		return;
	if (counts_find(t->port.env->counts, t->ifname, mac, &d->of) == 0 &&
	    counts_drops(t->port.env->counts, &d->of, &d->before) < 0)
		counts_leave(t->port.env->counts, &d->of);
}

void tap_drops_end(struct tap *t)
{
	struct tap_drops *d = &t->drops;

	look(t);
	d->past += d->seen;
	d->seen = 0;
	counts_leave(t->port.env->counts, &d->of);
}

uint64_t tap_kernel_drops(struct port *p)
{
	struct tap *t = (struct tap *)p;

	look(t);
	return t->drops.past + t->drops.seen;
}
