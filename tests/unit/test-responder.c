/* SPDX-License-Identifier: MIT */
/* The responder as a port: options, announcements, back-pressure, and its ring. */
#include "port/responder/responder.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "conf/conf.h"
#include "fake-junction.h"
#include "net/link.h"
#include "net/offload.h"
#include "port/responder/ring.h"
#include "request.h"

#define DEFAULT_SPEC "responder,ip=10.0.0.2/24,ip6=fd00::2/64,mac=52:54:00:01:02:03"

struct fixture {
	struct port_env env;
	struct fake_junction fake;
	struct port *port;
	struct vmtap_error err;
	struct iovec iov[3];
	struct vmtap_frame frames[VMTAP_BURST_MAX];
};

static struct fixture fix;

static struct port *open_as(const char *name, const char *spec)
{
	struct conf *conf = conf_parse(responder_type.schema, spec, &fix.err);
	struct port *p;

	if (!conf)
		return NULL;
	p = responder_type.open(&fix.env, name, conf, &fix.err);
	conf_free(conf);
	return p;
}

/* Let the loop do what it has to do now. */
static void settle(void)
{
	for (unsigned i = 0; i < 64; i++)
		assert_int_equal(loop_dispatch(fix.env.loop, 0), 0);
}

static void open_started(const char *spec)
{
	fix.port = open_as("guest", spec);
	assert_non_null(fix.port);
	fake_join(&fix.fake, fix.port);
	assert_int_equal(port_start(fix.port, NULL), 0);
	settle();
}

static int setup(void **state)
{
	memset(&fix, 0, sizeof(fix));
	fix.env.loop = loop_new();
	return fix.env.loop ? 0 : -1;
}

static int teardown(void **state)
{
	port_free(fix.port);
	fake_forget(&fix.fake);
	loop_free(fix.env.loop);
	return 0;
}

/* The request in `frame`, @cnt times, in three pieces. */
static unsigned send_request(struct port *p, unsigned cnt)
{
	fix.iov[0] = (struct iovec) { frame, 5 };
	fix.iov[1] = (struct iovec) { frame + 5, 20 };
	fix.iov[2] = (struct iovec) { frame + 25, len - 25 };
	for (unsigned i = 0; i < cnt; i++)
		fix.frames[i] = (struct vmtap_frame) {
			.len = (uint32_t)len,
			.iov_cnt = 3,
			.iov = fix.iov,
		};
	return port_send(p, fix.frames, cnt);
}

/* @cnt pings in frames of @frame_len bytes */
static unsigned ping(size_t frame_len, unsigned cnt)
{
	ping4(20, frame_len - 34);
	return send_request(fix.port, cnt);
}

static void assert_described(const struct port *p, const char *part)
{
	char text[512];

	assert_true(port_describe(p, text, sizeof(text)) < (int)sizeof(text));
	if (!strstr(text, part))
		fail_msg("no \"%s\" in \"%s\"", part, text);
}

/* -------------------------------------------------------------------- options */

static void rejects_bad_addresses(void **state)
{
	static const char *const bad[] = {
		"ip=10.0.0",
		"ip=10.0.0.2/33",
		"ip=10.0.0.2/",
		"ip=10.0.0.2/-1",
		"ip=10.0.0.2/1x",
		"ip=10.0.0.2/24/",
		"ip=0.0.0.0",
		"ip=127.0.0.1",
		"ip=224.0.0.1",
		"ip=fd00::2",
		"ip6=10.0.0.2",
		"ip6=fd00::2/129",
		"ip6=::",
		"ip6=::1",
		"ip6=ff02::1",
		"ip6=fd00::2/1000",
		"ip6=fd00::22222",
		"ip6=fd00:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000:0000",
	};
	char spec[128];

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(spec, sizeof(spec), "responder,%s", bad[i]);
		fix.err = (struct vmtap_error) { 0 };
		assert_null(open_as("guest", spec));
		assert_int_equal(fix.err.code, EINVAL);
		if (!strstr(fix.err.reason, bad[i]))
			fail_msg("\"%s\" does not name %s", fix.err.reason, bad[i]);
	}
}

static void check_finds_what_open_finds(void **state)
{
	struct conf *good = conf_parse(responder_type.schema, DEFAULT_SPEC, NULL);
	struct conf *bad = conf_parse(responder_type.schema, "responder,ip=1", NULL);

	assert_int_equal(responder_type.check(&fix.env, good, &fix.err), 0);
	assert_int_equal(responder_type.check(&fix.env, bad, &fix.err), -EINVAL);
	conf_free(good);
	conf_free(bad);
}

static void default_mac_is_stable_and_own(void **state)
{
	static const char *const specs[] = {
		"responder,ip=10.0.0.2",
		"responder,ip=10.0.0.3",
		"responder,ip=10.0.0.2,ip6=fd00::2",
	};
	char first[512], text[512];

	for (unsigned i = 0; i < 4; i++) {
		struct port *p = open_as(i == 3 ? "other" : "guest", specs[i % 3]);

		port_describe(p, text, sizeof(text));
		port_free(p);
		assert_memory_equal(text, "mac=52:54:00:", 13);
		text[21] = '\0';
		if (i == 0)
			memcpy(first, text, sizeof(text));
		else
			assert_string_not_equal(first, text);
	}
	fix.port = open_as("guest", specs[0]);
	assert_described(fix.port, first);
}

static void describes_its_addresses(void **state)
{
	fix.port = open_as("guest", DEFAULT_SPEC);
	assert_described(fix.port, "mac=52:54:00:01:02:03,ip=10.0.0.2,ip6=fd00::2,"
				   "link-local=fe80::5054:ff:fe01:203,arp=0,");
}

/* -------------------------------------------------------------------- replying */

static void announces_itself_at_start(void **state)
{
	open_started(DEFAULT_SPEC);
	assert_int_equal(fix.fake.cnt, 3);
	assert_int_equal(fix.fake.kept[0].len, 42);
	assert_int_equal(fix.fake.kept[1].len, 86);
	assert_int_equal(fix.fake.kept[2].len, 86);
	assert_int_equal(fix.port->lanes->stats.rx.frames, 3);
}

static void announces_itself_again_when_the_peer_comes_up(void **state)
{
	open_started("responder");
	fix.port->ops->peer_link(fix.port, false);
	settle();
	assert_int_equal(fix.fake.cnt, 1);
	fix.port->ops->peer_link(fix.port, true);
	settle();
	assert_int_equal(fix.fake.cnt, 2);
}

static void announcements_do_not_pile_up(void **state)
{
	open_started(DEFAULT_SPEC);
	fix.fake.allow = 0;
	for (unsigned i = 0; i < 100; i++)
		fix.port->ops->peer_link(fix.port, true);
	settle();
	fix.fake.allow = ~0u;
	port_resume(fix.port);
	settle();
	assert_int_equal(fix.fake.cnt, 3 + 3);
}

static void replies_to_a_burst_of_scattered_frames(void **state)
{
	open_started(DEFAULT_SPEC);
	fake_forget(&fix.fake);
	fix.fake.offers = 0;
	assert_int_equal(ping(1500, 64), 64);
	settle();
	assert_int_equal(fix.fake.cnt, 64);
	assert_int_equal(fix.fake.offers, 1);
	for (unsigned i = 0; i < 64; i++) {
		assert_int_equal(fix.fake.kept[i].len, 1500);
		assert_int_equal(fix.fake.kept[i].data[34], 0);
		assert_int_equal(offload_csum(fix.fake.kept[i].data + 34, 1466, 0), 0xffff);
	}
	assert_int_equal(fix.port->lanes->stats.tx.frames, 64);
	assert_described(fix.port, "echo=64,");
}

static void takes_the_longest_ping(void **state)
{
	open_started(DEFAULT_SPEC);
	assert_int_equal(ping(14 + 65535, 4), 4);
	settle();
	assert_int_equal(fix.fake.cnt, 3 + 4);
	assert_int_equal(fix.fake.kept[6].len, 14 + 65535);
}

static void counts_what_it_does_not_answer(void **state)
{
	open_started(DEFAULT_SPEC);
	ping4(20, 64);
	frame[5] ^= 1; /* to another host */
	assert_int_equal(send_request(fix.port, 1), 1);
	ping4(20, 64);
	frame[40] ^= 1;
	assert_int_equal(send_request(fix.port, 1), 1);
	fix.frames[0].len = VMTAP_FRAME_MAX + 1;
	assert_int_equal(port_send(fix.port, fix.frames, 1), 1);
	settle();
	assert_int_equal(fix.fake.cnt, 3);
	assert_described(fix.port, "echo=0,echo6=0,other=1,fragment=0,bad=1");
	assert_int_equal(fix.port->lanes->stats.tx.drops[VMTAP_DROP_TOO_LONG], 1);
	assert_int_equal(fix.port->lanes->stats.tx.frames, 2);
}

/* --------------------------------------------------------------- back-pressure */

/* Fill the ring while nothing is taken. Return: requests that it took. */
static unsigned fill(size_t frame_len)
{
	unsigned taken = 0, n;

	fix.fake.allow = 0;
	do {
		n = ping(frame_len, 8);
		taken += n;
		settle();
		assert_true(taken < 1000);
	} while (n == 8);
	return taken;
}

static void holds_replies_until_the_peer_takes_them(void **state)
{
	unsigned taken;

	open_started(DEFAULT_SPEC);
	fake_forget(&fix.fake);
	taken = fill(98);
	assert_int_equal(taken, RING_CNT);
	assert_true(fix.port->lanes->blocked);
	assert_true(fix.port->lanes->held);
	assert_int_equal(fix.fake.offers, 1 + 1); /* it does not ask again and again */
	assert_int_equal(fix.fake.writable, 0);

	fix.fake.allow = 10; /* room for ten */
	port_resume(fix.port);
	settle();
	assert_int_equal(fix.fake.cnt, 10);
	assert_int_equal(fix.fake.writable, 1);
	assert_false(fix.port->lanes->blocked);

	fix.fake.allow = ~0u;
	port_resume(fix.port);
	settle();
	assert_int_equal(fix.fake.cnt, taken);
	assert_int_equal(fix.fake.writable, 1);
}

static void is_bounded_in_bytes(void **state)
{
	unsigned taken;

	open_started(DEFAULT_SPEC);
	fake_forget(&fix.fake);
	taken = fill(65000);
	assert_in_range(taken, 5, RING_BYTES / 65000);
	for (unsigned i = 0; i < 3; i++) { /* wraps in the memory */
		fix.fake.allow = 2;
		port_resume(fix.port);
		settle();
		assert_int_equal(ping(65000, 2), 2);
		taken += 2;
		assert_int_equal(fix.fake.writable, i + 1);
		assert_int_equal(ping(65000, 1), 0);
	}
	fix.fake.allow = ~0u;
	port_resume(fix.port);
	settle();
	assert_int_equal(fix.fake.cnt, taken);
	for (unsigned i = 0; i < taken; i++)
		assert_int_equal(offload_csum(fix.fake.kept[i].data + 34, 64966, 0), 0xffff);
}

static void takes_what_needs_no_reply_while_full(void **state)
{
	open_started(DEFAULT_SPEC);
	fill(98);
	arp_request("10.0.0.3");
	assert_int_equal(send_request(fix.port, 64), 64);
	assert_described(fix.port, "other=64,");
	arp_request("10.0.0.2");
	assert_int_equal(send_request(fix.port, 64), 0);
	assert_described(fix.port, "arp=0,"); /* worked on, but neither answered nor counted */
}

static void keeps_replies_while_paused(void **state)
{
	open_started(DEFAULT_SPEC);
	fake_forget(&fix.fake);
	assert_int_equal(ping(98, 5), 5);
	port_set_poll(fix.port, false);
	settle();
	assert_int_equal(fix.fake.cnt, 0);
	assert_int_equal(ping(98, 5), 0);
	port_set_poll(fix.port, true);
	settle();
	assert_int_equal(fix.fake.cnt, 5);
	assert_int_equal(fix.fake.writable, 1);
}

static void counts_replies_lost_at_close(void **state)
{
	open_started(DEFAULT_SPEC);
	fix.fake.allow = 0;
	assert_int_equal(ping(98, 7), 7);
	port_close(fix.port);
	settle();
	assert_int_equal(fix.port->lanes->stats.rx.drops[VMTAP_DROP_PURGED], 7);
}

/* A ping from the host to 10.0.0.1, its peer */
static void ping_back(void)
{
	uint8_t *ip = ping4(20, 64);

	memcpy(frame, peer_mac, 6);
	memcpy(frame + 6, host_mac, 6);
	put_ip4(ip + 12, "10.0.0.2");
	put_ip4(ip + 16, "10.0.0.1");
	finish_ip4(ip, 20, 64);
}

/* Two full rings, joined: each can only empty itself into the other. */
static void two_full_responders_drain_into_each_other(void **state)
{
	struct port *a, *b = open_as("b", "responder,ip=10.0.0.1,mac=02:00:00:00:00:09");
	static struct fake_junction fake_b;
	struct link *link;

	open_started(DEFAULT_SPEC);
	a = fix.port;
	fill(98);
	fake_join(&fake_b, b);
	assert_int_equal(port_start(b, NULL), 0);
	settle();
	fake_b.allow = 0;
	ping_back();
	for (unsigned i = 0; i < RING_CNT; i++)
		assert_int_equal(send_request(b, 1), 1);
	assert_int_equal(send_request(b, 1), 0);
	settle();

	a->junction = b->junction = NULL;
	a->lanes->blocked = b->lanes->blocked = false;
	link = link_new(a, b, &fix.err);
	assert_non_null(link);
	settle();
	/* all replies, the announcements of before, and nothing more */
	assert_int_equal(a->lanes->stats.rx.frames, 3 + RING_CNT);
	assert_int_equal(b->lanes->stats.rx.frames, 2 + RING_CNT);
	assert_described(a, "echo=256,");
	assert_described(b, "echo=256,");
	assert_described(a, "other=256,");
	assert_false(a->lanes->held || b->lanes->held || a->lanes->blocked || b->lanes->blocked);
	link_free(link);
	port_free(b);
	fake_forget(&fake_b);
}

static void two_joined_responders_fall_silent(void **state)
{
	struct port *a = open_as("a", DEFAULT_SPEC), *b = open_as("b", "responder,ip=10.0.0.2");
	struct link *link = link_new(a, b, &fix.err);
	uint64_t frames;

	assert_non_null(link);
	settle();
	/* both claim 10.0.0.2, so each objects to the other's announcement, once */
	frames = a->lanes->stats.rx.frames + b->lanes->stats.rx.frames;
	assert_int_equal(frames, 3 + 2 + 2);
	settle();
	assert_int_equal(a->lanes->stats.rx.frames + b->lanes->stats.rx.frames, frames);
	link_free(link);
	port_free(a);
	port_free(b);
}

/* ------------------------------------------------------------------------ ring */

static void ring_keeps_order_and_bytes_whatever_the_sizes(void **state)
{
	static struct ring r;
	const struct vmtap_frame *frames;
	unsigned in = 0, out = 0, seed = 1;

	assert_int_equal(ring_init(&r), 0);
	while (out < 20000) {
		uint8_t *at;
		size_t size;

		seed = seed * 1103515245u + 12345;
		size = 4 + (seed >> 16) % (seed >> 8 & 1 ? 200 : VMTAP_FRAME_MAX - 4);
		at = seed >> 9 & 3 ? ring_reserve(&r, size) : NULL;
		if (at) {
			memset(at, (int)in, size);
			memcpy(at, &in, 4);
			ring_commit(&r, at, size);
			in++;
		} else if (ring_peek(&r, &frames)) {
			const uint8_t *data = frames[0].iov[0].iov_base;

			assert_memory_equal(data, &out, 4);
			for (size_t i = 4; i < frames[0].len; i += 97)
				assert_int_equal(data[i], (uint8_t)out);
			ring_drop(&r, 1);
			out++;
		}
		assert_int_equal(r.cnt, in - out);
	}
	ring_fini(&r);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(rejects_bad_addresses),
		CASE(check_finds_what_open_finds),
		CASE(default_mac_is_stable_and_own),
		CASE(describes_its_addresses),
		CASE(announces_itself_at_start),
		CASE(announces_itself_again_when_the_peer_comes_up),
		CASE(announcements_do_not_pile_up),
		CASE(replies_to_a_burst_of_scattered_frames),
		CASE(takes_the_longest_ping),
		CASE(counts_what_it_does_not_answer),
		CASE(holds_replies_until_the_peer_takes_them),
		CASE(is_bounded_in_bytes),
		CASE(takes_what_needs_no_reply_while_full),
		CASE(keeps_replies_while_paused),
		CASE(counts_replies_lost_at_close),
		CASE(two_full_responders_drain_into_each_other),
		CASE(two_joined_responders_fall_silent),
		CASE(ring_keeps_order_and_bytes_whatever_the_sizes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
