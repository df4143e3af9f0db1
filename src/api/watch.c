/* SPDX-License-Identifier: MIT */
/* Descriptors of the application's in the instance's loop. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "api/api.h"
#include "base/container.h"

/**
 * struct vmtap_watch - A descriptor
 * @at: what points here: the list of them all
 */
struct vmtap_watch {
	struct vmtap *v;
	struct vmtap_watch *next, **at;
	struct loop_watch watch;
	void (*ready)(void *opaque);
	void *opaque;
};

static void ready(struct loop_watch *w, uint32_t events)
{
	struct vmtap_watch *watch = container_of(w, struct vmtap_watch, watch);
	struct vmtap *v = watch->v;

	call_begin(v);
	watch->ready(watch->opaque);
	call_end(v);
}

struct vmtap_watch *vmtap_watch_new(struct vmtap *v, int fd, void (*call)(void *opaque),
				    void *opaque, struct vmtap_error *err)
{
	struct vmtap_watch *w = calloc(1, sizeof(*w));
	int ret = -ENOMEM;

	if (w) {
		w->watch.ready = ready;
		ret = loop_add(v->loop, &w->watch, fd, EPOLLIN);
	}
	if (ret < 0) {
		error_set(err, -ret, "vmtap", "watch a descriptor", "%d: %s", fd, strerror(-ret));
		free(w);
		return NULL;
	}
	w->v = v;
	w->ready = call;
	w->opaque = opaque;
	w->at = &v->watches;
	w->next = v->watches;
	if (w->next)
		w->next->at = &w->next;
	v->watches = w;
	return w;
}

int vmtap_watch_set(struct vmtap_watch *w, unsigned events)
{
	if (events & ~(VMTAP_WATCH_READ | VMTAP_WATCH_WRITE))
		return -EINVAL;
	loop_mod(w->v->loop, &w->watch,
		 (events & VMTAP_WATCH_READ ? EPOLLIN : 0u) |
			 (events & VMTAP_WATCH_WRITE ? EPOLLOUT : 0u));
	return 0;
}

void vmtap_watch_free(struct vmtap_watch *w)
{
	if (!w)
		return;
	loop_del(w->v->loop, &w->watch);
	*w->at = w->next;
	if (w->next)
		w->next->at = w->at;
	free(w);
}
