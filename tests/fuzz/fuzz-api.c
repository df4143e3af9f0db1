/* SPDX-License-Identifier: MIT */
/*
 * The public interface, called in any order, from callbacks too.
 *
 * The input is a program: each byte or two is a call. Application ports answer, refuse, close
 * ports, free links and purge from inside their callbacks. What must hold whatever the order is:
 * no memory error, and every pending send's callback is called exactly once.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "vmtap/vmtap.h"

#define PORTS 6
#define LINKS 4
#define STEPS_MAX 400

static const uint8_t *input;
static size_t left;
static struct vmtap *v;
static struct vmtap_port *ports[PORTS]; /* each holds one reference of ours */
static struct vmtap_link *links[LINKS];
static bool linked[LINKS]; /* not freed by us; it may have ended with a port */
static unsigned link_of[LINKS][2];
static unsigned pending, depth;

static unsigned next(void)
{
	if (!left)
		return 0;
	left--;
	return *input++;
}

static void step(void);

/* Inside a callback: perhaps do something. */
static void act(void)
{
	if (depth > 3 || next() % 4)
		return;
	depth++;
	step();
	depth--;
}

static unsigned on_frames(void *opaque, const struct vmtap_frame *frames, unsigned cnt)
{
	unsigned char first;

	for (unsigned i = 0; i < cnt; i++)
		memcpy(&first, frames[i].iov[0].iov_base, 1);
	act();
	return next() % 3 ? cnt : next() % (cnt + 1);
}

static void on_writable(void *opaque)
{
	act();
}

static void on_link(void *opaque, bool up)
{
	act();
}

static void on_closed(void *opaque)
{
	act();
}

static void on_sent(void *opaque, ssize_t status)
{
	assert(pending > 0);
	pending--;
	act();
}

static void on_event(void *opaque, struct vmtap_port *port, enum vmtap_port_state state)
{
	act();
}

static const struct vmtap_app_ops ops[] = {
	{ sizeof(ops[0]), 0, on_frames, on_writable, on_link, on_closed },
	{ sizeof(ops[0]), 10, on_frames, NULL, NULL, NULL },
	{ sizeof(ops[0]), 12, on_frames, on_writable, on_link, on_closed },
};

static void open_port(unsigned slot)
{
	static const char *const specs[] = {
		"null",
		"null,count=100,size=64",
		"responder,ip=10.0.0.2",
		"null,generate=on,size=70",
		"stream,server=on,path=@vmtap-fuzz-api",
		"stream,path=@vmtap-fuzz-api",
		"stream,path=@vmtap-fuzz-api,reconnect-ms=1",
	};
	unsigned what = next() % 10;

	if (ports[slot])
		return;
	if (what < 3)
		ports[slot] = vmtap_app_new(v, NULL, &ops[what], NULL, NULL);
	else
		ports[slot] = vmtap_port_open(v, specs[what - 3], NULL);
}

/* Links end with their ports; a handle of one that ended must not be used. */
static void forget_links(unsigned slot)
{
	for (unsigned i = 0; i < LINKS; i++)
		if (linked[i] && (link_of[i][0] == slot || link_of[i][1] == slot))
			linked[i] = false;
}

static void link_ports(unsigned slot)
{
	unsigned a = next() % PORTS, b = next() % PORTS;

	if (linked[slot] || !ports[a] || !ports[b])
		return;
	/* marked first: callbacks may close a port before the call returns */
	linked[slot] = true;
	link_of[slot][0] = a;
	link_of[slot][1] = b;
	links[slot] = vmtap_link_new(v, ports[a], ports[b], NULL);
	if (!links[slot])
		linked[slot] = false;
}

static void send_frame(struct vmtap_port *port)
{
	static unsigned char buf[3100];
	size_t len = next() * 12u;
	struct iovec iov[3] = { { buf, len / 3 }, { buf, len / 3 }, { buf, len - 2 * (len / 3) } };
	vmtap_sent_cb *done = next() % 2 ? on_sent : NULL;
	ssize_t ret;

	buf[0] = (unsigned char)next();
	pending += done != NULL;
	switch (next() % 3) {
	case 0:
		ret = vmtap_send(port, buf, len, done, NULL);
		break;
	case 1:
		ret = vmtap_send_raw(port, buf, len, done, NULL);
		break;
	default:
		ret = vmtap_sendv(port, iov, 3, done, NULL);
	}
	if (ret != 0 && done)
		pending--;
}

static void send_burst(struct vmtap_port *port)
{
	static unsigned char buf[2000];
	struct iovec iov = { buf, sizeof(buf) };
	struct vmtap_frame frames[VMTAP_BURST_MAX];
	unsigned cnt = 1 + next() % VMTAP_BURST_MAX;

	for (unsigned i = 0; i < cnt; i++)
		frames[i] = (struct vmtap_frame) {
			.len = sizeof(buf),
			.iov = &iov,
			.iov_cnt = 1,
			.hdr = { .flags = next() & 3, .gso_type = next() & 7, .gso_size = 500 },
		};
	vmtap_send_burst(port, frames, cnt);
}

static void use_port(unsigned slot, unsigned what)
{
	struct vmtap_port *port = ports[slot];
	struct vmtap_stats stats;
	char text[200];

	if (!port)
		return;
	switch (what) {
	case 0:
		ports[slot] = NULL;
		forget_links(slot);
		vmtap_port_close(port);
		break;
	case 1:
		forget_links(slot);
		vmtap_port_shutdown(port);
		break;
	case 2:
		vmtap_port_set_poll(port, next() % 2);
		break;
	case 3:
		vmtap_port_set_link(port, next() % 2, NULL);
		break;
	case 4:
		vmtap_purge(port);
		break;
	case 5:
		vmtap_flush(port);
		break;
	case 6:
		vmtap_app_writable(port);
		break;
	case 7:
		vmtap_port_set_offload(port, next() & VMTAP_OFFLOAD_ALL, NULL);
		break;
	case 8:
		vmtap_port_describe(port, text, sizeof(text));
		vmtap_port_stats(port, &stats, sizeof(stats));
		break;
	case 9:
		send_burst(port);
		break;
	default:
		send_frame(port);
	}
}

static void step(void)
{
	unsigned slot = next() % PORTS;
	unsigned what = next() % 20;

	if (what < 3) {
		open_port(slot);
	} else if (what < 5) {
		link_ports(slot % LINKS);
	} else if (what == 5 && linked[slot % LINKS]) {
		linked[slot % LINKS] = false;
		vmtap_link_free(links[slot % LINKS]);
	} else if (what < 8) {
		if (!depth)
			vmtap_dispatch(v, 0);
	} else {
		use_port(slot, what - 8);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct vmtap_config config = { .size = sizeof(config),
				       .event = on_event,
				       .engine = VMTAP_ENGINE_PLAIN };

	input = data;
	left = size;
	memset(linked, 0, sizeof(linked));
	v = vmtap_new(&config, NULL);
	if (!v)
		return 0;
	for (unsigned i = 0; i < STEPS_MAX && left; i++)
		step();
	depth = 100; /* no more surprises */
	memset(ports, 0, sizeof(ports));
	vmtap_free(v);
	assert(pending == 0);
	return 0;
}
