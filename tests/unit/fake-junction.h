/* SPDX-License-Identifier: MIT */
/*
 * A junction for tests of a single port: keeps copies of the frames that the
 * port offers, and takes as many as the test says.
 */
#ifndef TESTS_FAKE_JUNCTION_H
#define TESTS_FAKE_JUNCTION_H

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/iov.h"
#include "net/port.h"

#define FAKE_KEPT 4096

/**
 * struct fake_junction - Zero-initialise it, then fake_join()
 * @allow:    frames that it still takes
 * @cnt:      frames taken; the first FAKE_KEPT of them are kept
 * @offers:   calls of port_offer()
 * @writable: calls of port_writable() that came through
 */
struct fake_junction {
	struct junction junction;
	unsigned allow, cnt, offers, writable;
	struct {
		uint8_t *data;
		size_t len;
	} kept[FAKE_KEPT];
};

static unsigned fake_offer(struct junction *j, struct port_lane *from,
			   const struct vmtap_frame *frames, unsigned cnt)
{
	struct fake_junction *f = (void *)j;
	unsigned i;

	f->offers++;
	for (i = 0; i < cnt && f->allow; i++, f->allow--, f->cnt++) {
		if (f->cnt >= FAKE_KEPT)
			continue;
		f->kept[f->cnt].data = malloc(frames[i].len);
		f->kept[f->cnt].len = iov_read(frames[i].iov, frames[i].iov_cnt, 0,
					       f->kept[f->cnt].data, frames[i].len);
	}
	return i;
}

static void fake_writable(struct junction *j, struct port_lane *l)
{
	((struct fake_junction *)(void *)j)->writable++;
}

static void fake_changed(struct junction *j, struct port *p)
{
}

static void fake_leave(struct junction *j, struct port *p)
{
	p->junction = NULL;
}

static const struct junction_ops fake_ops = {
	.offer = fake_offer,
	.writable = fake_writable,
	.changed = fake_changed,
	.leave = fake_leave,
};

/* Join @p, which takes frames from now on; port_start() is left to the test. */
static inline void fake_join(struct fake_junction *f, struct port *p)
{
	assert(p);
	f->junction.ops = &fake_ops;
	f->allow = ~0u;
	p->junction = &f->junction;
}

static inline void fake_forget(struct fake_junction *f)
{
	for (unsigned i = 0; i < f->cnt && i < FAKE_KEPT; i++)
		free(f->kept[i].data);
	f->cnt = 0;
}

#endif
