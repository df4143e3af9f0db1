/* SPDX-License-Identifier: MIT */
/* The null port: what it generates, how fast, and what it finds lost. */
#include "port/null/null.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/clock.h"
#include "conf/conf.h"
#include "fake-junction.h"
#include "net/link.h"
#include "port/null/pace.h"
#include "port/null/track.h"

struct fixture {
	struct port_env env;
	struct log log;
	struct fake_junction fake;
	struct port *port;
	struct vmtap_error err;
	unsigned finished; /* times that the log said so */
	char last[128];	   /* its last line */
};

static struct fixture fix;

static void log_line(void *opaque, enum vmtap_log_level level, const char *object, const char *msg)
{
	snprintf(fix.last, sizeof(fix.last), "%s: %s", object, msg);
	fix.finished += level == VMTAP_LOG_INFO && strstr(msg, "generated all");
}

static struct port *open_as(const char *name, const char *spec)
{
	struct conf *conf = conf_parse(null_type.schema, spec, &fix.err);
	struct port *p;

	if (!conf)
		return NULL;
	p = null_type.open(&fix.env, name, conf, &fix.err);
	conf_free(conf);
	return p;
}

static void turn(void)
{
	assert_int_equal(loop_dispatch(fix.env.loop, 0), 0);
}

static void settle(void)
{
	for (unsigned i = 0; i < 64; i++)
		turn();
}

static void open_started(const char *spec)
{
	fix.port = open_as("gen", spec);
	assert_non_null(fix.port);
	fake_join(&fix.fake, fix.port);
	assert_int_equal(port_start(fix.port, NULL), 0);
}

static int setup(void **state)
{
	memset(&fix, 0, sizeof(fix));
	fix.log = (struct log) { .level = VMTAP_LOG_DEBUG, .write = log_line };
	fix.env.log = &fix.log;
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

static void assert_described(const struct port *p, const char *part)
{
	char text[512];

	assert_true(port_describe(p, text, sizeof(text)) < (int)sizeof(text));
	if (!strstr(text, part))
		fail_msg("no \"%s\" in \"%s\"", part, text);
}

/* -------------------------------------------------------------------- options */

static void rejects_bad_options(void **state)
{
	static const char *const bad[] = {
		"size=59",
		"size=69633",
		"count=-1",
		"speed=1000000001",
		"src=03:00:00:00:00:01",
		"generate=off,speed=5",
		"generate=off,dst=ff:ff:ff:ff:ff:ff",
		"haste=3",
	};
	char spec[128];

	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(spec, sizeof(spec), "null,%s", bad[i]);
		fix.err = (struct vmtap_error) { 0 };
		assert_null(open_as("gen", spec));
		assert_int_equal(fix.err.code, EINVAL);
	}
	assert_null(open_as("gen", "null,generate=off,speed=5,size=60"));
	assert_non_null(strstr(fix.err.reason, "speed"));
	assert_non_null(strstr(fix.err.reason, "size"));
}

static void generates_only_when_asked(void **state)
{
	static const struct {
		const char *spec, *text;
	} rows[] = {
		{ "null", "generate=off,received=0" },
		{ "null,generate=off", "generate=off,received=0" },
		{ "null,generate=on", "generate=on,size=60,count=0,speed=0,dst=02:6e:75:6c:6c:00" },
		{ "null,count=5", "generate=on,size=60,count=5,speed=0," },
		{ "null,size=1514,speed=9,src=02:00:00:00:00:01", "size=1514,count=0,speed=9," },
		{ "null,dst=ff:ff:ff:ff:ff:ff", "dst=ff:ff:ff:ff:ff:ff,src=02:6e:75" },
	};

	for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct port *p = open_as("gen", rows[i].spec);

		assert_non_null(p);
		assert_described(p, rows[i].text);
		port_free(p);
	}
	open_started("null");
	settle();
	assert_int_equal(fix.fake.offers, 0);
}

/* ------------------------------------------------------------------ generating */

static void generates_numbered_frames_as_documented(void **state)
{
	static const uint8_t head[] = { 2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x88, 0xb5 };
	uint64_t before = clock_ns();

	open_started("null,count=300,size=100,dst=02:00:00:00:00:02,src=02:00:00:00:00:01");
	settle();
	assert_int_equal(fix.fake.cnt, 300);
	for (unsigned i = 0; i < 300; i++) {
		const uint8_t *f = fix.fake.kept[i].data;
		uint64_t time = 0;

		assert_int_equal(fix.fake.kept[i].len, 100);
		assert_memory_equal(f, head, sizeof(head));
		assert_memory_equal(f + 14, ((const uint8_t[6]) { 0 }), 6);
		assert_int_equal(f[20] << 8 | f[21], i);
		for (unsigned k = 22; k < 30; k++)
			time = time << 8 | f[k];
		assert_in_range(time, before, clock_ns());
		assert_memory_equal(f + 30, "vmtapgen", 8);
		for (unsigned k = 38; k < 100; k++)
			assert_int_equal(f[k], 0);
	}
	assert_int_equal(fix.finished, 1);
	assert_described(fix.port, "generated=300,");
}

static void generates_every_size(void **state)
{
	static const unsigned sizes[] = { 60, 61, 1514, VMTAP_FRAME_MAX };

	for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		char spec[64];

		snprintf(spec, sizeof(spec), "null,count=2,size=%u", sizes[i]);
		open_started(spec);
		settle();
		assert_int_equal(fix.fake.cnt, 2);
		assert_int_equal(fix.fake.kept[1].len, sizes[i]);
		assert_int_equal(fix.port->lanes->stats.rx.bytes, 2 * sizes[i]);
		fake_forget(&fix.fake);
		port_free(fix.port);
		fix.port = NULL;
	}
}

static void leaves_the_loop_to_others_after_its_budget(void **state)
{
	open_started("null,generate=on");
	for (unsigned i = 1; i <= 3; i++) {
		turn();
		assert_int_equal(fix.fake.cnt, i * PORT_BUDGET);
	}
	assert_int_equal(fix.fake.offers, 3 * PORT_BUDGET / VMTAP_BURST_MAX);
}

static void goes_on_where_it_was_held_back(void **state)
{
	open_started("null,count=1000");
	fix.fake.allow = 100;
	settle();
	assert_int_equal(fix.fake.cnt, 100);
	assert_int_equal(fix.fake.offers, 2); /* and does not insist */
	assert_true(fix.port->lanes->held);
	for (unsigned more = 37; fix.fake.cnt < 1000; more++) {
		fix.fake.allow = more;
		port_resume(fix.port);
		settle();
	}
	for (unsigned i = 0; i < 1000; i++)
		assert_int_equal(fix.fake.kept[i].data[20] << 8 | fix.fake.kept[i].data[21], i);
	settle();
	assert_int_equal(fix.fake.cnt, 1000);
	assert_int_equal(fix.finished, 1);
	assert_int_equal(fix.port->lanes->stats.rx.frames, 1000);
}

static void a_frame_held_back_is_still_due(void **state)
{
	open_started("null,speed=1");
	fix.fake.allow = 0;
	settle();
	assert_int_equal(fix.fake.offers, 1);
	fix.fake.allow = ~0u;
	port_resume(fix.port);
	settle();
	assert_int_equal(fix.fake.cnt, 1);
}

static void pauses_and_goes_on(void **state)
{
	open_started("null,generate=on");
	turn();
	port_set_poll(fix.port, false);
	settle();
	assert_int_equal(fix.fake.cnt, PORT_BUDGET);
	port_set_poll(fix.port, true);
	turn();
	assert_int_equal(fix.fake.cnt, 2 * PORT_BUDGET);
	port_close(fix.port);
	settle();
	assert_int_equal(fix.fake.cnt, 2 * PORT_BUDGET);
}

/* As many as the clock says, whatever the loop's wake-ups are like. */
static void keeps_its_rate_by_the_clock(void **state)
{
	static const unsigned rates[] = { 100, 20000 };

	for (unsigned i = 0; i < 2; i++) {
		uint64_t before = clock_ns(), started, elapsed;
		char spec[64];
		unsigned turns = 0;

		snprintf(spec, sizeof(spec), "null,speed=%u", rates[i]);
		open_started(spec);
		started = clock_ns();
		do {
			assert_int_equal(loop_dispatch(fix.env.loop, 1000), 0);
			elapsed = clock_ns() - started;
			turns++;
		} while (elapsed < NSEC_PER_SEC / 5);
		/* not more than by the longest view of the time that passed, not fewer than by
		 * the shortest, less a timer's tick and what the machine took from us */
		assert_true(fix.fake.cnt <= 1 + (clock_ns() - before) * rates[i] / NSEC_PER_SEC);
		assert_true(fix.fake.cnt >= rates[i] / 10);
		assert_true(turns < 1000); /* it sleeps between */
		fake_forget(&fix.fake);
		port_free(fix.port);
		fix.port = NULL;
	}
}

/* ------------------------------------------------------------------------ pace */

/* Wake up as told, @late_ns late each time, for @secs. Return: frames. */
static uint64_t run_pace(uint64_t rate, uint64_t secs, uint64_t late_ns)
{
	uint64_t now = 12345, end = now + secs * NSEC_PER_SEC, sent = 0;
	struct pace p;

	pace_start(&p, rate, now);
	while (now < end) {
		uint64_t due = pace_due(&p, now), wait;

		pace_spend(&p, due);
		sent += due;
		wait = pace_wait_ns(&p, now);
		assert_true(wait > 0);
		now += wait + late_ns;
		if (!late_ns && now < end)
			assert_true(pace_due(&p, now) > 0); /* no wake-up for nothing */
	}
	return sent;
}

static void pace_is_exact_over_seconds(void **state)
{
	static const uint64_t rates[] = { 1, 3, 7, 999, 1000, 1001, 64000, 333333, 1000000 };

	for (unsigned i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
		uint64_t slack = rates[i] / 1000 + 2; /* one tick */

		for (unsigned late = 0; late < 3; late++) {
			uint64_t late_ns = late * 40 * (NSEC_PER_SEC / 1000);
			uint64_t miss = slack + rates[i] * late_ns / NSEC_PER_SEC;

			assert_in_range(run_pace(rates[i], 3, late_ns), 3 * rates[i] - miss,
					3 * rates[i] + 1);
		}
	}
}

static void pace_forgives_what_could_not_be_sent(void **state)
{
	struct pace p;

	pace_start(&p, 10000, 0);
	assert_int_equal(pace_due(&p, 0), 1);
	assert_int_equal(pace_due(&p, 50 * 1000000ull), 501);
	assert_int_equal(pace_due(&p, 3600 * NSEC_PER_SEC), 1000);
	pace_spend(&p, 1000);
	assert_int_equal(pace_due(&p, 3600 * NSEC_PER_SEC), 0);
	assert_int_equal(pace_due(&p, 3601 * NSEC_PER_SEC), 1000);
}

static void pace_does_not_overflow(void **state)
{
	const uint64_t years = 100ull * 365 * 24 * 3600 * NSEC_PER_SEC;
	struct pace p;

	pace_start(&p, PACE_RATE_MAX, 0);
	assert_int_equal(pace_due(&p, years), PACE_RATE_MAX / 10);
	pace_spend(&p, PACE_RATE_MAX / 10);
	assert_int_equal(pace_due(&p, years), 0);
	assert_int_equal(pace_due(&p, years + 1000), 1000);
	pace_spend(&p, 1000);
	assert_in_range(pace_wait_ns(&p, years + 1000), 1, 64);
}

/* ----------------------------------------------------------------------- track */

static uint8_t generated[TRACK_HEAD];

static void track_one(struct track *t, unsigned from, uint64_t seq, uint64_t time_ns)
{
	const uint8_t dst[6] = { 2 }, src[6] = { 2, [5] = (uint8_t)from };
	/* in two pieces, as the generator's own */
	const struct iovec iov[] = { { generated, 17 }, { generated + 17, TRACK_HEAD - 17 } };
	const struct vmtap_frame frame = { .len = TRACK_HEAD, .iov_cnt = 2, .iov = iov };

	memcpy(generated + TRACK_VARYING, TRACK_MAGIC, TRACK_HEAD - TRACK_VARYING);
	track_write(generated, dst, src, seq, time_ns);
	track_frame(t, &frame);
}

static void track_counts_lost_and_reordered(void **state)
{
	static const unsigned seqs[] = { 0, 1, 4, 2, 5, 9, 6 };
	struct track t = { 0 };

	for (unsigned i = 0; i < 7; i++)
		track_one(&t, 1, seqs[i], 1000 + seqs[i]);
	assert_int_equal(t.received, 7);
	assert_int_equal(t.reordered, 2);
	assert_int_equal(track_lost(&t), 3); /* 3, 7, 8 */
	assert_int_equal(t.restarts, 0);
}

static void track_counts_frames_lost_before_the_first(void **state)
{
	struct track t = { 0 };

	track_one(&t, 1, 5, 1000);
	assert_int_equal(track_lost(&t), 5);
}

static void track_knows_a_restarted_sender(void **state)
{
	struct track t = { 0 };

	for (unsigned i = 0; i < 10; i++)
		track_one(&t, 1, i, 1000 + i);
	for (unsigned i = 0; i < 5; i++)
		track_one(&t, 1, i, 2000 + i);
	assert_int_equal(t.restarts, 1);
	assert_int_equal(t.reordered, 0);
	assert_int_equal(track_lost(&t), 0);
}

static void track_tells_senders_apart(void **state)
{
	struct track t = { 0 };

	for (unsigned seq = 0; seq < 10; seq++)
		for (unsigned from = 0; from < TRACK_STREAMS + 1; from++)
			if (from != 3 || seq != 4)
				track_one(&t, from, seq, 1000 + seq);
	assert_int_equal(t.received, 10 * TRACK_STREAMS - 1);
	assert_int_equal(t.other, 10); /* one sender too many */
	assert_int_equal(track_lost(&t), 1);
	assert_int_equal(t.reordered, 0);
}

static void track_ignores_foreign_and_short_frames(void **state)
{
	const struct iovec iov = { generated, TRACK_HEAD };
	struct vmtap_frame frame = { .len = TRACK_HEAD, .iov_cnt = 1, .iov = &iov };
	struct track t = { 0 };

	track_one(&t, 1, 0, 1);
	generated[TRACK_VARYING] ^= 1;
	track_frame(&t, &frame);
	generated[TRACK_VARYING] ^= 1;
	generated[12] ^= 1;
	track_frame(&t, &frame);
	generated[12] ^= 1;
	frame.iov = &(const struct iovec) { generated, TRACK_HEAD - 1 };
	track_frame(&t, &frame);
	assert_int_equal(t.received, 1);
	assert_int_equal(t.other, 3);
}

static void track_survives_any_numbers(void **state)
{
	static const uint64_t seqs[] = { UINT64_MAX, 0, UINT64_MAX, 1, UINT64_MAX - 1, 0 };
	struct track t = { 0 };

	for (unsigned i = 0; i < 6; i++)
		track_one(&t, 1, seqs[i], i % 3 ? UINT64_MAX : 0);
	assert_int_equal(t.received, 6);
}

/* ------------------------------------------------------------------ two of them */

static void a_receiver_accounts_for_a_generator(void **state)
{
	struct port *gen = open_as("gen", "null,count=5000,size=1514");
	struct port *sink = open_as("sink", "null");
	struct link *link = link_new(gen, sink, &fix.err);

	assert_non_null(link);
	settle();
	assert_described(gen, "generated=5000,received=0,");
	assert_described(sink, "received=5000,lost=0,reordered=0,restarts=0,other=0");
	assert_int_equal(sink->lanes->stats.tx.frames, 5000);
	assert_int_equal(sink->lanes->stats.tx.bytes, 5000 * 1514);
	link_free(link);
	port_free(gen);
	port_free(sink);
	assert_string_equal(fix.last, "sink: received 5000 generated frames, 0 lost, 0 reordered");
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(rejects_bad_options),
		CASE(generates_only_when_asked),
		CASE(generates_numbered_frames_as_documented),
		CASE(generates_every_size),
		CASE(leaves_the_loop_to_others_after_its_budget),
		CASE(goes_on_where_it_was_held_back),
		CASE(a_frame_held_back_is_still_due),
		CASE(pauses_and_goes_on),
		CASE(keeps_its_rate_by_the_clock),
		CASE(pace_is_exact_over_seconds),
		CASE(pace_forgives_what_could_not_be_sent),
		CASE(pace_does_not_overflow),
		CASE(track_counts_lost_and_reordered),
		CASE(track_counts_frames_lost_before_the_first),
		CASE(track_knows_a_restarted_sender),
		CASE(track_tells_senders_apart),
		CASE(track_ignores_foreign_and_short_frames),
		CASE(track_survives_any_numbers),
		CASE(a_receiver_accounts_for_a_generator),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
