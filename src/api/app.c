/* SPDX-License-Identifier: MIT */
/* Application ports, seen from the application. */
#include "port/app/app.h"

#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/api.h"
#include "base/iov.h"

#define RUNT_LEN 14 /* an Ethernet header */

static unsigned host_frames(void *opaque, const struct vmtap_frame *frames, unsigned cnt)
{
	struct vmtap_port *h = opaque;
	unsigned taken;

	if (h->closing) { /* from inside the call before, for frames of the same burst */
		port_drop_tx(h->port, VMTAP_DROP_PEER_GONE, frames, cnt);
		return cnt;
	}
	if (!h->app_ops->frames)
		return cnt;
	call_begin(h->v);
	taken = h->app_ops->frames(h->app_opaque, frames, cnt);
	call_end(h->v);
	return taken;
}

static void host_writable(void *opaque)
{
	struct vmtap_port *h = opaque;

	if (!h->app_ops->writable || h->closing)
		return;
	call_begin(h->v);
	h->app_ops->writable(h->app_opaque);
	call_end(h->v);
}

static void host_link(void *opaque, bool up)
{
	struct vmtap_port *h = opaque;

	if (!h->app_ops->link || h->closing)
		return;
	call_begin(h->v);
	h->app_ops->link(h->app_opaque, up);
	call_end(h->v);
}

static void host_complete(void *opaque, vmtap_sent_cb *done, void *done_opaque, ssize_t status)
{
	struct vmtap_port *h = opaque;

	call_begin(h->v);
	done(done_opaque, status);
	call_end(h->v);
}

static const struct app_host host = {
	.complete = host_complete,
	.frames = host_frames,
	.writable = host_writable,
	.link = host_link,
};

/* The port's callbacks need the handle, so the handle is there first. */
struct vmtap_port *vmtap_app_new(struct vmtap *v, const char *name, const struct vmtap_app_ops *ops,
				 void *opaque, struct vmtap_error *err)
{
	struct vmtap_port *h;
	struct port *port;
	char made_up[32];

	if (ops->size < offsetof(struct vmtap_app_ops, frames)) {
		error_set(err, EINVAL, name ? name : "app", "make an application port",
			  "ops->size is %zu", ops->size);
		error_remedy(err, "set it to sizeof(struct vmtap_app_ops)");
		return NULL;
	}
	if (ops->hdr_len != 0 && ops->hdr_len != 10 && ops->hdr_len != 12) {
		error_set(err, EINVAL, name ? name : "app", "make an application port",
			  "a header of %u bytes does not exist", ops->hdr_len);
		error_remedy(err, "hdr_len is 0, 10 or 12");
		return NULL;
	}
	if (!name) {
		snprintf(made_up, sizeof(made_up), "app#%u", v->serial++);
		name = made_up;
	}
	h = handle_new(v, NULL, err);
	if (!h)
		return NULL;
	port = app_new(&v->env, name, &host, h);
	if (!port) {
		error_errno(err, ENOMEM, name, "make an application port");
		v->ports = h->next;
		free(h);
		return NULL;
	}
	h->port = port;
	port->handle = h;
	memcpy(&h->app, ops, ops->size < sizeof(h->app) ? ops->size : sizeof(h->app));
	h->app_ops = &h->app;
	h->app_opaque = opaque;
	return h;
}

void vmtap_app_writable(struct vmtap_port *h)
{
	if (h->app_ops && !h->closing)
		port_writable(h->port);
}

/* ------------------------------------------------------------------ sending */

/* Would any port take a frame of that length? Counted if not. */
static bool is_sane(struct vmtap_port *h, uint32_t len)
{
	if (len >= RUNT_LEN && len <= VMTAP_FRAME_MAX)
		return true;
	port_drop_rx(h->port, len < RUNT_LEN ? VMTAP_DROP_RUNT : VMTAP_DROP_TOO_LONG, 1);
	return false;
}

unsigned vmtap_send_burst(struct vmtap_port *h, const struct vmtap_frame *frames, unsigned cnt)
{
	unsigned done = 0;

	if (!h->app_ops || h->closing)
		return cnt;
	if (cnt > VMTAP_BURST_MAX)
		cnt = VMTAP_BURST_MAX;
	while (done < cnt) {
		unsigned run = 0, taken;

		while (done + run < cnt && is_sane(h, frames[done + run].len))
			run++;
		taken = run ? app_send_burst(h->port, frames + done, run) : 0;
		done += taken;
		if (taken < run)
			break;
		done += done < cnt; /* the one that stopped the run */
	}
	return done;
}

/* @frame without header; @size: what the caller calls sent. */
static ssize_t send_frame(struct vmtap_port *h, struct vmtap_frame *frame, size_t size,
			  vmtap_sent_cb *done, void *opaque)
{
	if (!h->app_ops)
		return -EOPNOTSUPP;
	if (h->closing || h->port->closed)
		return -EPIPE;
	if (!is_sane(h, frame->len))
		return -EINVAL;
	return app_send(h->port, frame, size, done, opaque);
}

ssize_t vmtap_send_raw(struct vmtap_port *h, const void *buf, size_t len, vmtap_sent_cb *done,
		       void *opaque)
{
	struct iovec iov = { .iov_base = (void *)(uintptr_t)buf, .iov_len = len };
	struct vmtap_frame frame = { .iov = &iov, .iov_cnt = 1 };

	frame.len = len > UINT32_MAX ? UINT32_MAX : (uint32_t)len;
	return send_frame(h, &frame, len, done, opaque);
}

ssize_t vmtap_send(struct vmtap_port *h, const void *buf, size_t len, vmtap_sent_cb *done,
		   void *opaque)
{
	struct iovec iov = { .iov_base = (void *)(uintptr_t)buf, .iov_len = len };

	return vmtap_sendv(h, &iov, 1, done, opaque);
}

ssize_t vmtap_sendv(struct vmtap_port *h, const struct iovec *iov, unsigned iov_cnt,
		    vmtap_sent_cb *done, void *opaque)
{
	size_t len = iov_len(iov, iov_cnt), hdr_len = h->app_ops ? h->app_ops->hdr_len : 0;
	struct vmtap_frame frame = { 0 };
	struct iovec first;
	struct iovec *rest = NULL;
	unsigned skip = 0;
	size_t off = hdr_len;
	ssize_t ret;

	if (len < hdr_len || len - hdr_len > UINT32_MAX)
		return -EINVAL;
	iov_read(iov, iov_cnt, 0, &frame.hdr, hdr_len);
	frame.len = (uint32_t)(len - hdr_len);
	while (skip < iov_cnt && off >= iov[skip].iov_len)
		off -= iov[skip++].iov_len;
	if (skip == iov_cnt)
		return -EINVAL;
	if (!off) {
		frame.iov = iov + skip;
		frame.iov_cnt = iov_cnt - skip;
		return send_frame(h, &frame, len, done, opaque);
	}
	/* the header ends inside an entry: its rest becomes one of its own */
	first = (struct iovec) { .iov_base = (char *)iov[skip].iov_base + off,
				 .iov_len = iov[skip].iov_len - off };
	if (skip + 1 == iov_cnt) {
		frame.iov = &first;
		frame.iov_cnt = 1;
		return send_frame(h, &frame, len, done, opaque);
	}
	rest = malloc((iov_cnt - skip) * sizeof(*rest));
	if (!rest)
		return -ENOMEM;
	rest[0] = first;
	memcpy(rest + 1, iov + skip + 1, (iov_cnt - skip - 1) * sizeof(*rest));
	frame.iov = rest;
	frame.iov_cnt = iov_cnt - skip;
	ret = send_frame(h, &frame, len, done, opaque);
	free(rest);
	return ret;
}

unsigned vmtap_flush(struct vmtap_port *h)
{
	return h->app_ops && !h->closing ? app_flush(h->port) : 0;
}

void vmtap_purge(struct vmtap_port *h)
{
	if (h->app_ops)
		app_purge(h->port);
}
