/* SPDX-License-Identifier: MIT */
/* A port whose outside is the test: it takes as many frames as it is told to. */
#ifndef FAKE_PORT_H
#define FAKE_PORT_H

#include <stdlib.h>
#include <string.h>

#include "base/iov.h"
#include "net/port.h"

#define FAKE_LOG 256

struct fake {
	struct port port;
	unsigned room; /* frames that @send still takes */
	unsigned got;  /* frames that were sent to it */
	uint32_t lens[FAKE_LOG];
	uint32_t tags[FAKE_LOG]; /* first four payload bytes of each */
	struct vmtap_net_hdr hdrs[FAKE_LOG];
	unsigned resumed, closed, offload, peer_ups, peer_downs;
	bool reply; /* answers each frame with one of its own */
	unsigned freed_on;
	bool break_on_send;
};

static int fake_start(struct port *p, struct vmtap_error *err)
{
	port_set_state(p, VMTAP_PORT_UP);
	return 0;
}

static void fake_frame(struct vmtap_frame *f, struct iovec *iov, unsigned char *bytes, uint32_t len,
		       uint32_t tag)
{
	memset(bytes, 0, len);
	memcpy(bytes + 14, &tag, sizeof(tag));
	*iov = (struct iovec) { .iov_base = bytes, .iov_len = len };
	*f = (struct vmtap_frame) { .len = len, .iov = iov, .iov_cnt = 1 };
}

static unsigned fake_send(struct port_lane *lane, const struct vmtap_frame *frames, unsigned cnt)
{
	struct port *p = lane->port;
	struct fake *f = (struct fake *)p;
	unsigned n = 0;

	if (f->break_on_send) {
		struct vmtap_error err = { .code = 5, .object = "fake", .reason = "told to" };

		port_fail(p, &err);
		return 0;
	}
	while (n < cnt && f->room) {
		unsigned at = f->got % FAKE_LOG;

		f->lens[at] = frames[n].len;
		f->hdrs[at] = frames[n].hdr;
		iov_read(frames[n].iov, frames[n].iov_cnt, 14, &f->tags[at], 4);
		f->got++;
		f->room--;
		n++;
		if (f->reply) {
			unsigned char bytes[64];
			struct iovec iov;
			struct vmtap_frame answer;

			fake_frame(&answer, &iov, bytes, 60, f->got);
			port_offer(p, &answer, 1);
		}
	}
	return n;
}

static void fake_resume(struct port_lane *lane)
{
	((struct fake *)lane->port)->resumed++;
}

static int fake_set_offload(struct port *p, unsigned offload)
{
	((struct fake *)p)->offload = offload;
	return (int)offload;
}

static void fake_peer_link(struct port *p, bool up)
{
	struct fake *f = (struct fake *)p;

	f->peer_ups += up;
	f->peer_downs += !up;
}

static int fake_describe(const struct port *p, char *buf, size_t size)
{
	if (size)
		buf[0] = '\0';
	return 0;
}

static void fake_close(struct port *p)
{
	((struct fake *)p)->closed++;
}

static void fake_free(struct port *p)
{
	free(p);
}

static const struct port_ops fake_ops = {
	.type = "fake",
	.start = fake_start,
	.send = fake_send,
	.resume = fake_resume,
	.set_offload = fake_set_offload,
	.peer_link = fake_peer_link,
	.describe = fake_describe,
	.close = fake_close,
	.free = fake_free,
};

static struct fake *fake_new(const struct port_env *env, const char *name)
{
	struct fake *f = calloc(1, sizeof(*f));

	port_init(&f->port, &fake_ops, env, name);
	f->room = ~0u;
	return f;
}

/* Offer @cnt frames with tags from @tag on. Return: frames taken. */
static inline unsigned fake_offer(struct fake *f, uint32_t tag, unsigned cnt)
{
	static unsigned char bytes[VMTAP_BURST_MAX][64];
	struct vmtap_frame frames[VMTAP_BURST_MAX];
	struct iovec iov[VMTAP_BURST_MAX];

	for (unsigned i = 0; i < cnt; i++)
		fake_frame(&frames[i], &iov[i], bytes[i], 60, tag + i);
	return port_offer(&f->port, frames, cnt);
}

#endif
