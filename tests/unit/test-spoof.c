/* SPDX-License-Identifier: MIT */
/* Against spoofing: what a port's filter discards, and what goes on. */
#include "unit.h"

#include <errno.h>

#include "base/iov.h"
#include "fake-port.h"
#include "filter/spoof.h"
#include "net/link.h"

#define GOOD_MAC "02:00:00:00:00:01"
#define BURST 64

/* What the outside of @a holds, as a guest would: frames of 100 bytes, in pieces. */
static uint8_t memory[BURST][100];

struct rig {
	struct loop *loop;
	struct port_env env;
	struct fake *a, *b;
	struct link *link;
	struct spoof *spoof;
};

static struct port_ops shared_ops;

static int setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));

	r->loop = loop_new();
	r->env = (struct port_env) { .loop = r->loop, .cancel_fd = -1 };
	r->a = fake_new(&r->env, "a");
	r->b = fake_new(&r->env, "b");
	shared_ops = fake_ops;
	shared_ops.shared = true;
	r->a->port.ops = &shared_ops;
	r->link = link_new(&r->a->port, &r->b->port, NULL);
	r->spoof = spoof_new(&r->a->port);
	*state = r;
	return r->link && r->spoof ? 0 : -1;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	port_close(&r->a->port);
	spoof_free(r->spoof);
	port_free(&r->a->port);
	port_free(&r->b->port);
	link_free(r->link);
	loop_free(r->loop);
	free(r);
	return 0;
}

/* Offer @cnt frames; those with a bit in @bad have another source. */
static unsigned offer(struct fake *f, unsigned cnt, uint64_t bad)
{
	struct vmtap_frame frames[BURST];
	static struct iovec iov[BURST][10];

	for (unsigned i = 0; i < cnt; i++) {
		const uint32_t tag = i;

		memset(memory[i], 0, sizeof(memory[i]));
		memory[i][6] = 2;
		memory[i][11] = bad >> i & 1 ? 2 : 1;
		memory[i][12] = 0x88;
		memory[i][13] = 0xb5;
		memcpy(memory[i] + 14, &tag, 4);
		for (unsigned k = 0; k < 10; k++)
			iov[i][k] = (struct iovec) { memory[i] + k * 10, 10 };
		frames[i] = (struct vmtap_frame) { .len = 100, .iov = iov[i], .iov_cnt = 10 };
	}
	return port_offer(&f->port, frames, cnt);
}

static void other_sources_are_discarded_and_counted(void **state)
{
	struct rig *r = *state;
	struct vmtap_stats stats;
	const uint64_t bad = 0xf0f00000000f0005;

	assert_int_equal(spoof_set(r->spoof, GOOD_MAC, NULL, NULL), 0);
	assert_int_equal(offer(r->a, BURST, bad), BURST);
	port_stats(&r->a->port, &stats);
	assert_int_equal(stats.rx.drops[VMTAP_DROP_FILTERED], (unsigned)__builtin_popcountll(bad));
	assert_int_equal(r->b->got, BURST - (unsigned)__builtin_popcountll(bad));
	for (unsigned i = 0, n = 0; i < BURST; i++)
		if (!(bad >> i & 1))
			assert_int_equal(r->b->tags[n++], i);
}

static void what_leaves_by_the_port_is_not_filtered(void **state)
{
	struct rig *r = *state;

	assert_int_equal(spoof_set(r->spoof, GOOD_MAC, NULL, NULL), 0);
	assert_int_equal(offer(r->b, BURST, ~0ull), BURST);
	assert_int_equal(r->a->got, BURST);
}

static void addresses_can_be_set_again_and_taken_away(void **state)
{
	struct rig *r = *state;

	assert_int_equal(spoof_set(r->spoof, GOOD_MAC, "10.0.0.1", NULL), 0);
	assert_string_equal(spoof_macs(r->spoof), GOOD_MAC);
	assert_string_equal(spoof_ips(r->spoof), "10.0.0.1");
	assert_int_equal(spoof_set(r->spoof, "02:00:00:00:00:02", "", NULL), 0);
	assert_null(spoof_ips(r->spoof));
	offer(r->a, 2, 2);
	assert_int_equal(r->b->got, 1);
	assert_int_equal(r->b->tags[0], 1);
	assert_int_equal(spoof_set(r->spoof, NULL, NULL, NULL), 0);
	assert_null(r->a->port.hooks);
	assert_null(spoof_macs(r->spoof));
	offer(r->a, 2, 2);
	assert_int_equal(r->b->got, 3);
}

static void a_wrong_list_changes_nothing(void **state)
{
	struct rig *r = *state;
	struct vmtap_error err = { 0 };

	assert_int_equal(spoof_set(r->spoof, GOOD_MAC, NULL, NULL), 0);
	assert_int_equal(spoof_set(r->spoof, GOOD_MAC "+x", NULL, &err), -EINVAL);
	assert_string_equal(err.object, "a");
	assert_non_null(strstr(err.reason, "mac-filter: \"x\""));
	assert_int_equal(spoof_set(r->spoof, NULL, "10.0.0.300", &err), -EINVAL);
	assert_non_null(strstr(err.reason, "ip-filter: \"10.0.0.300\""));
	offer(r->a, 2, 2);
	assert_int_equal(r->b->got, 1);
}

static bool yes(const struct port *p)
{
	return true;
}

static void frames_that_the_kernel_carries_are_not_seen(void **state)
{
	struct rig *r = *state;
	struct vmtap_error err = { 0 };
	struct port_ops ops = fake_ops;

	ops.in_kernel = yes;
	r->b->port.ops = &ops;
	assert_int_equal(spoof_set(r->spoof, GOOD_MAC, NULL, &err), -EBUSY);
	assert_non_null(strstr(err.reason, "b has vhost=on"));
	assert_null(spoof_macs(r->spoof));
	r->b->port.ops = &fake_ops;
}

/* The peer takes frames while the guest writes other sources into its memory. */
static unsigned hostile_send(struct port_lane *l, const struct vmtap_frame *frames, unsigned cnt)
{
	for (unsigned i = 0; i < cnt; i++) {
		uint8_t at[100];

		memset(memory[i], 0xee, 50);
		assert_int_equal(iov_read(frames[i].iov, frames[i].iov_cnt, 0, at, 100), 100);
		assert_int_equal(frames[i].len, 100);
		assert_int_equal(at[6], 2);
		assert_int_equal(at[11], 1);
		assert_int_equal(at[14], i);
	}
	((struct fake *)l->port)->got += cnt;
	return cnt;
}

static void a_guest_that_changes_its_mind_is_too_late(void **state)
{
	struct rig *r = *state;
	struct port_ops ops = fake_ops;

	ops.send = hostile_send;
	r->b->port.ops = &ops;
	assert_int_equal(spoof_set(r->spoof, GOOD_MAC, NULL, NULL), 0);
	assert_int_equal(offer(r->a, BURST, 0), BURST);
	assert_int_equal(r->b->got, BURST);
	r->b->port.ops = &fake_ops;
}

/* Long headers, which take more room than there is for copies: the burst goes in several. */
static void a_burst_of_long_headers_passes(void **state)
{
	static uint8_t bytes[4000];
	static struct iovec iov[100];
	struct vmtap_frame frames[BURST];
	struct rig *r = *state;

	bytes[6] = 2;
	bytes[11] = 1;
	bytes[12] = 0x86;
	bytes[13] = 0xdd;
	bytes[14] = 0x60;
	bytes[54 + 1] = 255; /* a hop-by-hop header of 2,048 bytes */
	bytes[54 + 2048] = 59;
	bytes[54] = 59;
	for (unsigned i = 0; i < 100; i++)
		iov[i] = (struct iovec) { bytes + i * 40, 40 };
	for (unsigned i = 0; i < BURST; i++)
		frames[i] = (struct vmtap_frame) { .len = 2400, .iov = iov, .iov_cnt = 60 };
	assert_int_equal(spoof_set(r->spoof, GOOD_MAC, NULL, NULL), 0);
	assert_int_equal(port_offer(&r->a->port, frames, BURST), BURST);
	assert_int_equal(r->b->got, BURST);
}

#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(other_sources_are_discarded_and_counted),
		CASE(what_leaves_by_the_port_is_not_filtered),
		CASE(addresses_can_be_set_again_and_taken_away),
		CASE(a_wrong_list_changes_nothing),
		CASE(frames_that_the_kernel_carries_are_not_seen),
		CASE(a_guest_that_changes_its_mind_is_too_late),
		CASE(a_burst_of_long_headers_passes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
