/* SPDX-License-Identifier: MIT */
/*
 * The `null` port: swallows frames, and can generate them; for measuring.
 *
 * Model
 *   A task of the loop generates in bursts, up to PORT_BUDGET frames a turn,
 *   then the other ports get theirs. With speed=, a timer runs the task when
 *   frames are due. A frame has no existence before the peer takes it: one
 *   that was held back is made anew, with the same number, when it can be
 *   offered again. The frames of a burst share everything behind their heads.
 */
#include "port/null/null.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/container.h"
#include "base/error.h"
#include "conf/conf.h"
#include "port/null/pace.h"
#include "port/null/track.h"

#define SIZE_DEFAULT 60
#define SIZE_MIN 60

static_assert(SIZE_MIN >= TRACK_HEAD, "every generated frame can be recognised");

/**
 * struct burst - Frames as they are offered
 * @common: what follows the heads, the same for all; owned
 */
struct burst {
	struct vmtap_frame frames[VMTAP_BURST_MAX];
	struct iovec iov[VMTAP_BURST_MAX][2];
	uint8_t heads[VMTAP_BURST_MAX][TRACK_VARYING];
	uint8_t *common;
};

/* What the options say. */
struct settings {
	bool generate;
	uint32_t size;
	uint64_t count, speed;
	uint8_t dst[6], src[6];
};

struct null {
	struct port port;
	struct settings set;
	struct track track;
	/* only used by those that generate */
	struct burst burst;
	struct pace pace;
	struct loop_task task;
	struct loop_timer timer;
	uint64_t seq; /* frames generated: the next one's number */
};

static struct null *of_port(const struct port *p)
{
	return container_of(p, struct null, port);
}

/* ------------------------------------------------------------------- settings */

static const struct conf_key keys[] = {
	{
		.name = "generate",
		.kind = CONF_BOOL,
		.def = "on when one of the keys below is given, else off",
		.help = "generate frames",
	},
	{
		.name = "size",
		.kind = CONF_SIZE,
		.min = SIZE_MIN,
		.max = VMTAP_FRAME_MAX,
		.unit = "bytes",
		.def = "60",
		.help = "length of each frame, with its Ethernet header and without FCS: 60 is what "
			"is called a 64-byte frame on a wire",
	},
	{
		.name = "count",
		.kind = CONF_INT,
		.max = INT64_MAX,
		.unit = "frames",
		.def = "0: without end",
		.help = "how many frames to generate",
	},
	{
		.name = "speed",
		.kind = CONF_INT,
		.max = PACE_RATE_MAX,
		.unit = "frames/s",
		.def = "0: as fast as the peer takes them",
		.help = "how many frames a second",
	},
	{
		.name = "dst",
		.kind = CONF_MAC,
		.flags = CONF_ANY_MAC,
		.def = "02:6e:75:6c:6c:00, which nobody has",
		.help = "destination address of the frames; may be a group or broadcast",
	},
	{
		.name = "src",
		.kind = CONF_MAC,
		.def = "02:6e:75 and three bytes derived from id=",
		.help = "source address of the frames. A receiver tells streams apart by it",
	},
	{ 0 },
};

static const struct conf_schema schema = { .type = "null", .keys = keys };

/* What says something about generated frames. */
static const char *const generate_keys[] = { "size", "count", "speed", "dst", "src", NULL };

static void default_src(uint8_t mac[6], const char *name)
{
	uint32_t hash = 2166136261u; /* FNV-1a */

	while (*name)
		hash = (hash ^ (uint8_t)*name++) * 16777619u;
	hash ^= hash >> 24;
	memcpy(mac, (const uint8_t[]) { 0x02, 0x6e, 0x75 }, 3);
	mac[3] = (uint8_t)(hash >> 16);
	mac[4] = (uint8_t)(hash >> 8);
	mac[5] = (uint8_t)hash;
}

static int settings_from_conf(struct settings *set, const char *name, const struct conf *conf,
			      struct vmtap_error *err)
{
	static const uint8_t dst[6] = { 0x02, 0x6e, 0x75, 0x6c, 0x6c, 0x00 };
	bool described = false;

	for (unsigned i = 0; generate_keys[i]; i++)
		described |= conf_has(conf, generate_keys[i]);
	*set = (struct settings) {
		.generate = conf_bool(conf, "generate", described),
		.size = (uint32_t)conf_int(conf, "size", SIZE_DEFAULT),
		.count = (uint64_t)conf_int(conf, "count", 0),
		.speed = (uint64_t)conf_int(conf, "speed", 0),
	};
	if (!conf_mac(conf, "dst", set->dst))
		memcpy(set->dst, dst, 6);
	if (!conf_mac(conf, "src", set->src))
		default_src(set->src, name);
	if (described && !set->generate)
		return conf_exclude(conf, "not together with generate=off", generate_keys, err);
	return 0;
}

/* ------------------------------------------------------------------ generating */

static int burst_init(struct burst *b, const struct settings *set)
{
	const size_t common_len = set->size - TRACK_VARYING;

	b->common = calloc(1, common_len);
	if (!b->common)
		return -ENOMEM;
	memcpy(b->common, TRACK_MAGIC, TRACK_HEAD - TRACK_VARYING);
	for (unsigned i = 0; i < VMTAP_BURST_MAX; i++) {
		b->iov[i][0] = (struct iovec) { b->heads[i], TRACK_VARYING };
		b->iov[i][1] = (struct iovec) { b->common, common_len };
		b->frames[i] = (struct vmtap_frame) {
			.len = set->size,
			.iov_cnt = 2,
			.iov = b->iov[i],
		};
	}
	return 0;
}

static uint64_t left(const struct null *n)
{
	return n->set.count ? n->set.count - n->seq : UINT64_MAX;
}

/* Frames of the next burst. */
static unsigned due(struct null *n, uint64_t now_ns, unsigned budget)
{
	uint64_t cnt = pace_due(&n->pace, now_ns);

	if (cnt > left(n))
		cnt = left(n);
	if (cnt > budget)
		cnt = budget;
	return cnt < VMTAP_BURST_MAX ? (unsigned)cnt : VMTAP_BURST_MAX;
}

/* Offer one burst. Return: whether all of it was taken. */
static bool generate(struct null *n, unsigned cnt, uint64_t now_ns)
{
	unsigned taken;

	for (unsigned i = 0; i < cnt; i++)
		track_write(n->burst.heads[i], n->set.dst, n->set.src, n->seq + i, now_ns);
	taken = port_offer(&n->port, n->burst.frames, cnt);
	n->seq += taken;
	pace_spend(&n->pace, taken);
	return taken == cnt;
}

static bool may_generate(const struct null *n)
{
	return n->set.generate && n->port.started && n->port.polling && !port_is_held(&n->port) &&
	       !n->port.closed && left(n);
}

static void task_run(struct loop_task *t)
{
	struct null *n = container_of(t, struct null, task);
	unsigned budget = PORT_BUDGET, cnt;
	uint64_t now_ns = clock_ns();

	if (!may_generate(n))
		return;
	while ((cnt = due(n, now_ns, budget))) {
		if (!generate(n, cnt, now_ns) || !may_generate(n))
			break;
		budget -= cnt;
		now_ns = clock_ns();
	}
	if (!left(n))
		log_msg(n->port.env->log, VMTAP_LOG_INFO, n->port.name,
			"generated all %" PRIu64 " frames", n->set.count);
	if (!may_generate(n))
		return;
	if (budget)
		loop_timer_set(n->port.env->loop, &n->timer, pace_wait_ns(&n->pace, now_ns));
	else
		loop_task_add(n->port.env->loop, t);
}

static void timer_fire(struct loop_timer *t)
{
	struct null *n = container_of(t, struct null, timer);

	loop_task_add(n->port.env->loop, &n->task);
}

/* ------------------------------------------------------------------ operations */

static void go_on(struct port *p)
{
	struct null *n = of_port(p);

	if (may_generate(n))
		loop_task_add(p->env->loop, &n->task);
}

static int start(struct port *p, struct vmtap_error *err)
{
	struct null *n = of_port(p);

	pace_start(&n->pace, n->set.speed, clock_ns());
	if (n->set.generate)
		loop_task_add(p->env->loop, &n->task);
	return 0;
}

static void resume(struct port_lane *l)
{
	go_on(l->port);
}

static unsigned send_burst(struct port_lane *l, const struct vmtap_frame *frames, unsigned cnt)
{
	struct null *n = of_port(l->port);

	for (unsigned i = 0; i < cnt; i++)
		track_frame(&n->track, &frames[i]);
	return cnt;
}

static void stop(struct null *n)
{
	loop_task_del(n->port.env->loop, &n->task);
	loop_timer_del(n->port.env->loop, &n->timer);
}

static void set_poll(struct port *p, bool on)
{
	if (on)
		go_on(p);
	else
		stop(of_port(p));
}

static int describe_generator(const struct null *n, char *buf, size_t size)
{
	const uint8_t *d = n->set.dst, *s = n->set.src;

	return snprintf(buf, size,
			"generate=on,size=%" PRIu32 ",count=%" PRIu64 ",speed=%" PRIu64
			",dst=%02x:%02x:%02x:%02x:%02x:%02x,src=%02x:%02x:%02x:%02x:%02x:%02x,"
			"generated=%" PRIu64,
			n->set.size, n->set.count, n->set.speed, d[0], d[1], d[2], d[3], d[4], d[5],
			s[0], s[1], s[2], s[3], s[4], s[5], n->seq);
}

static int describe(const struct port *p, char *buf, size_t size)
{
	const struct null *n = of_port(p);
	const struct track *t = &n->track;
	char generator[256] = "generate=off";

	if (n->set.generate)
		describe_generator(n, generator, sizeof(generator));
	return snprintf(buf, size,
			"%s,received=%" PRIu64 ",lost=%" PRIu64 ",reordered=%" PRIu64
			",restarts=%" PRIu64 ",other=%" PRIu64,
			generator, t->received, track_lost(t), t->reordered, t->restarts, t->other);
}

static void close_port(struct port *p)
{
	const struct track *t = &of_port(p)->track;

	stop(of_port(p));
	if (t->received)
		log_msg(p->env->log, VMTAP_LOG_INFO, p->name,
			"received %" PRIu64 " generated frames, %" PRIu64 " lost, %" PRIu64
			" reordered",
			t->received, track_lost(t), t->reordered);
}

static void free_port(struct port *p)
{
	struct null *n = of_port(p);

	free(n->burst.common);
	free(n);
}

static const struct port_ops ops = {
	.type = "null",
	.start = start,
	.send = send_burst,
	.resume = resume,
	.set_poll = set_poll,
	.describe = describe,
	.close = close_port,
	.free = free_port,
};

static struct port *open_port(const struct port_env *env, const char *name, const struct conf *conf,
			      struct vmtap_error *err)
{
	struct settings set;
	struct null *n;

	if (settings_from_conf(&set, name, conf, err) < 0)
		return NULL;
	n = calloc(1, sizeof(*n));
	if (!n)
		goto no_memory;
	n->set = set;
	n->task.run = task_run;
	n->timer.fire = timer_fire;
	if ((set.generate && burst_init(&n->burst, &set) < 0) ||
	    port_init(&n->port, &ops, env, name) < 0)
		goto no_memory;
	port_set_state(&n->port, VMTAP_PORT_UP);
	return &n->port;

no_memory:
	error_errno(err, ENOMEM, conf_object(conf), "open the port");
	if (n)
		free_port(&n->port);
	return NULL;
}

static int check(const struct port_env *env, const struct conf *conf, struct vmtap_error *err)
{
	struct settings set;

	return settings_from_conf(&set, "", conf, err);
}

const struct port_type null_type = {
	.schema = &schema,
	.summary = "built in: swallows frames, and can generate them; for measuring",
	.help = "Takes every frame and forgets it. With generate=on, or any key that says which "
		"frames, it also generates them: numbered, with a time stamp, Ethernet type "
		"0x88b5 (for local experiments). A null port that receives such frames counts "
		"how many were lost and reordered, by source address, and says so when it is "
		"closed.\n"
		"\n"
		"    vmtap connect null,size=1514,speed=10000 tap,ifname=vm0\n"
		"    vmtap connect null,count=10000000 stream,server=on,path=/run/a.sock\n"
		"\n"
		"Frames carry their number (from 0) in the first 8 bytes of payload and "
		"nanoseconds of CLOCK_MONOTONIC in the next 8, both big-endian, then \"vmtapgen\".\n",
	.open = open_port,
	.check = check,
};
