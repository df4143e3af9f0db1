/* SPDX-License-Identifier: MIT */
/* The application port: its outside is the program that links the library. */
#include "port/app/app.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "net/sendq.h"

/**
 * struct app - An application port
 * @queue:         frames that the application sent and the peer has not taken yet
 * @wants_to_send: a burst came back short; host->writable is owed
 */
struct app {
	struct port port;
	const struct app_host *host;
	void *opaque;
	struct sendq queue;
	bool wants_to_send;
};

static bool deliver(void *ctx, const struct vmtap_frame *frame)
{
	return port_offer(ctx, frame, 1) == 1;
}

ssize_t app_send(struct port *p, const struct vmtap_frame *frame, size_t size, vmtap_sent_cb *done,
		 void *opaque)
{
	struct app *a = (struct app *)p;
	int ret;

	if (!a->queue.cnt && !a->queue.delivering && p->polling && port_offer(p, frame, 1))
		return (ssize_t)size;
	ret = sendq_push(&a->queue, frame, size, done, opaque);
	if (ret < 0)
		port_drop_rx(p, VMTAP_DROP_QUEUE_FULL, 1);
	return ret;
}

unsigned app_send_burst(struct port *p, const struct vmtap_frame *frames, unsigned cnt)
{
	struct app *a = (struct app *)p;
	unsigned taken = 0;

	if (!a->queue.cnt && !a->queue.delivering && p->polling)
		taken = port_offer(p, frames, cnt);
	if (taken < cnt)
		a->wants_to_send = true;
	return taken;
}

unsigned app_flush(struct port *p)
{
	struct app *a = (struct app *)p;

	return p->polling ? sendq_flush(&a->queue, deliver, p) : a->queue.cnt;
}

void app_purge(struct port *p)
{
	unsigned cnt = sendq_purge(&((struct app *)p)->queue);

	if (cnt)
		port_drop_rx(p, VMTAP_DROP_PURGED, cnt);
}

static void app_resume(struct port_lane *l)
{
	struct port *p = l->port;
	struct app *a = (struct app *)p;

	if (app_flush(p) || !a->wants_to_send)
		return;
	a->wants_to_send = false;
	a->host->writable(a->opaque);
}

static void app_set_poll(struct port *p, bool on)
{
	if (on && !p->lanes->resume_owed)
		app_resume(p->lanes);
}

static int app_start(struct port *p, struct vmtap_error *err)
{
	return 0;
}

static unsigned app_receive(struct port_lane *l, const struct vmtap_frame *frames, unsigned cnt)
{
	struct app *a = (struct app *)l->port;
	unsigned taken = a->host->frames(a->opaque, frames, cnt);

	return taken < cnt ? taken : cnt;
}

static void app_peer_link(struct port *p, bool up)
{
	struct app *a = (struct app *)p;

	a->host->link(a->opaque, up);
}

static int app_describe(const struct port *p, char *buf, size_t size)
{
	return snprintf(buf, size, "queued=%u", ((const struct app *)p)->queue.cnt);
}

static void app_close(struct port *p)
{
	app_purge(p);
}

static void app_free(struct port *p)
{
	free(p);
}

const struct port_ops app_ops = {
	.type = "app",
	.rings = true,
	.start = app_start,
	.send = app_receive,
	.resume = app_resume,
	.set_poll = app_set_poll,
	.peer_link = app_peer_link,
	.describe = app_describe,
	.close = app_close,
	.free = app_free,
};

struct port *app_new(const struct port_env *env, const char *name, const struct app_host *host,
		     void *opaque)
{
	struct app *a = calloc(1, sizeof(*a));

	if (!a || port_init(&a->port, &app_ops, env, name) < 0) {
		free(a);
		return NULL;
	}
	a->host = host;
	a->opaque = opaque;
	a->queue.complete = host->complete;
	a->queue.ctx = opaque;
	a->port.state = VMTAP_PORT_UP;
	return &a->port;
}
