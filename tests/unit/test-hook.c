/* SPDX-License-Identifier: MIT */
/* Hooks of a port: what they hold back, discard and see. */
#include "unit.h"

#include <errno.h>

#include "base/container.h"
#include "fake-port.h"
#include "net/link.h"

/** struct watcher - Admits up to @allow frames; @odd: what becomes of those whose tag is odd. */
struct watcher {
	struct port_hook hook;
	unsigned allow[2];
	enum port_verdict odd;
	unsigned writable;
	unsigned saw[2];
	uint32_t tags[FAKE_LOG];
};

static uint32_t tag_of(const struct vmtap_frame *f)
{
	uint32_t tag = 0;

	iov_read(f->iov, f->iov_cnt, 14, &tag, sizeof(tag));
	return tag;
}

static unsigned admit(struct port_hook *h, struct port_lane *l, enum port_way way,
		      const struct vmtap_frame *frames, unsigned cnt, enum port_verdict *verdict)
{
	struct watcher *w = container_of(h, struct watcher, hook);
	unsigned n = 0;

	if (cnt > w->allow[way])
		cnt = w->allow[way];
	if (!cnt || w->odd == PORT_PASS)
		return cnt;
	while (n < cnt && (tag_of(&frames[n]) & 1) == (tag_of(&frames[0]) & 1))
		n++;
	if (tag_of(&frames[0]) & 1)
		*verdict = w->odd;
	return n;
}

static void passed(struct port_hook *h, struct port_lane *l, enum port_way way,
		   const struct vmtap_frame *frames, unsigned cnt)
{
	struct watcher *w = container_of(h, struct watcher, hook);

	for (unsigned i = 0; i < cnt; i++)
		w->tags[(w->saw[way] + i) % FAKE_LOG] = tag_of(&frames[i]);
	w->saw[way] += cnt;
	w->allow[way] -= cnt;
}

static void writable(struct port_hook *h, struct port_lane *l)
{
	container_of(h, struct watcher, hook)->writable++;
}

static const struct port_hook_ops watcher_ops = {
	.admit = admit,
	.passed = passed,
	.writable = writable,
};

struct rig {
	struct loop *loop;
	struct port_env env;
	struct fake *a, *b;
	struct link *link;
	struct watcher watcher;
};

static int setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));

	r->loop = loop_new();
	r->env = (struct port_env) { .loop = r->loop, .cancel_fd = -1 };
	r->a = fake_new(&r->env, "a");
	r->b = fake_new(&r->env, "b");
	r->link = link_new(&r->a->port, &r->b->port, NULL);
	r->watcher = (struct watcher) { .hook.ops = &watcher_ops, .allow = { 1u << 30, 1u << 30 } };
	*state = r;
	return r->link ? 0 : -1;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	port_free(&r->a->port);
	port_free(&r->b->port);
	link_free(r->link);
	loop_free(r->loop);
	free(r);
	return 0;
}

static void a_hook_sees_both_ways(void **state)
{
	struct rig *r = *state;

	assert_int_equal(port_hook_add(&r->a->port, &r->watcher.hook, "look", NULL), 0);
	assert_int_equal(fake_offer(r->a, 0, 64), 64);
	assert_int_equal(fake_offer(r->b, 0, 3), 3);
	assert_int_equal(r->watcher.saw[PORT_RX], 64);
	assert_int_equal(r->watcher.saw[PORT_TX], 3);
	port_hook_del(&r->a->port, &r->watcher.hook);
	fake_offer(r->a, 0, 1);
	assert_int_equal(r->watcher.saw[PORT_RX], 64);
}

static void what_it_holds_back_goes_on_in_order(void **state)
{
	struct rig *r = *state;

	r->watcher.allow[PORT_RX] = 10;
	port_hook_add(&r->a->port, &r->watcher.hook, "limit", NULL);
	assert_int_equal(fake_offer(r->a, 100, 64), 10);
	assert_true(port_is_held(&r->a->port));
	assert_int_equal(r->a->resumed, 0);
	r->watcher.allow[PORT_RX] = 100;
	port_hook_open(r->a->port.lanes, PORT_RX);
	assert_int_equal(r->a->resumed, 1);
	assert_int_equal(fake_offer(r->a, 110, 54), 54);
	assert_int_equal(r->b->got, 64);
	for (unsigned i = 0; i < 64; i++)
		assert_int_equal(r->b->tags[i], 100 + i);
}

static void a_port_that_may_not_send_holds_the_other_back(void **state)
{
	struct rig *r = *state;

	r->watcher.allow[PORT_TX] = 5;
	port_hook_add(&r->a->port, &r->watcher.hook, "limit", NULL);
	assert_int_equal(fake_offer(r->b, 0, 20), 5);
	assert_true(port_is_held(&r->b->port));
	assert_int_equal(r->a->got, 5);
	r->watcher.allow[PORT_TX] = 100;
	port_hook_open(r->a->port.lanes, PORT_TX);
	assert_int_equal(r->b->resumed, 1);
	assert_int_equal(fake_offer(r->b, 5, 15), 15);
	assert_int_equal(r->a->got, 20);
}

static void frames_are_seen_once_when_the_peer_is_slow(void **state)
{
	struct rig *r = *state;

	port_hook_add(&r->a->port, &r->watcher.hook, "look", NULL);
	r->b->room = 7;
	assert_int_equal(fake_offer(r->a, 0, 20), 7);
	assert_int_equal(r->watcher.saw[PORT_RX], 7);
	r->b->room = 100;
	port_writable(&r->b->port);
	assert_int_equal(r->a->resumed, 1);
	assert_int_equal(fake_offer(r->a, 7, 13), 13);
	assert_int_equal(r->watcher.saw[PORT_RX], 20);
	for (unsigned i = 0; i < 20; i++)
		assert_int_equal(r->watcher.tags[i], i);
}

static void what_it_discards_is_counted_and_the_rest_passes(void **state)
{
	struct rig *r = *state;
	struct vmtap_stats s;

	r->watcher.odd = PORT_DROP;
	port_hook_add(&r->a->port, &r->watcher.hook, "filter", NULL);
	assert_int_equal(fake_offer(r->a, 0, 64), 64);
	assert_int_equal(fake_offer(r->b, 0, 9), 9);
	assert_int_equal(r->b->got, 32);
	assert_int_equal(r->a->got, 5);
	assert_int_equal(r->watcher.saw[PORT_RX], 32);
	port_stats(&r->a->port, &s);
	assert_int_equal(s.rx.drops[VMTAP_DROP_FILTERED], 32);
	assert_int_equal(s.tx.drops[VMTAP_DROP_FILTERED], 4);
	assert_int_equal(s.tx.frames, 5);
	assert_int_equal(s.tx.bytes, 5 * 60);
}

static void what_it_keeps_is_counted_and_seen_by_those_in_front(void **state)
{
	struct rig *r = *state;
	struct watcher eye = { .hook.ops = &watcher_ops, .allow = { 1u << 30, 1u << 30 } };
	struct vmtap_stats s;

	r->watcher.odd = PORT_KEEP;
	r->watcher.hook.last = true;
	port_hook_add(&r->a->port, &r->watcher.hook, "keep", NULL);
	port_hook_add(&r->a->port, &eye.hook, "look", NULL); /* later, and in front all the same */
	assert_int_equal(fake_offer(r->a, 0, 10), 10);
	assert_int_equal(r->b->got, 5);
	assert_int_equal(eye.saw[PORT_RX], 10);
	for (unsigned i = 0; i < 10; i++)
		assert_int_equal(eye.tags[i], i);
	port_stats(&r->a->port, &s);
	assert_int_equal(s.rx.frames, 10);
	assert_int_equal(s.rx.drops[VMTAP_DROP_FILTERED], 0);
	port_hook_del(&r->a->port, &eye.hook);
}

static void it_is_told_of_room_after_the_junction(void **state)
{
	struct rig *r = *state;

	port_hook_add(&r->a->port, &r->watcher.hook, "send", NULL);
	r->a->room = 1;
	assert_int_equal(fake_offer(r->b, 0, 2), 1);
	assert_int_equal(r->watcher.writable, 0);
	r->a->room = 1;
	port_writable(&r->a->port);
	assert_int_equal(r->b->resumed, 1);
	assert_int_equal(r->watcher.writable, 1);
	port_writable(&r->a->port);
	assert_int_equal(r->watcher.writable, 1);
}

static void removing_a_hook_lets_go_of_what_it_held(void **state)
{
	struct rig *r = *state;

	r->watcher.allow[PORT_RX] = 0;
	port_hook_add(&r->a->port, &r->watcher.hook, "limit", NULL);
	assert_int_equal(fake_offer(r->a, 0, 2), 0);
	port_hook_del(&r->a->port, &r->watcher.hook);
	assert_int_equal(r->a->resumed, 1);
	assert_int_equal(fake_offer(r->a, 0, 2), 2);
}

static struct link *to_part;

static unsigned part_and_take(struct port_lane *l, const struct vmtap_frame *frames, unsigned cnt)
{
	link_close(to_part);
	return fake_send(l, frames, cnt);
}

static void a_burst_that_it_splits_may_be_parted_from_inside(void **state)
{
	struct rig *r = *state;
	struct port_ops ops = fake_ops;
	struct vmtap_stats s;

	ops.send = part_and_take;
	r->b->port.ops = &ops;
	to_part = r->link;
	r->watcher.odd = PORT_DROP;
	port_hook_add(&r->a->port, &r->watcher.hook, "filter", NULL);
	assert_int_equal(fake_offer(r->a, 0, 9), 9);
	assert_int_equal(r->b->got, 1);
	port_stats(&r->a->port, &s);
	assert_int_equal(s.rx.frames, 9);
	assert_int_equal(s.rx.drops[VMTAP_DROP_FILTERED], 4);
	assert_int_equal(s.rx.drops[VMTAP_DROP_NO_PEER], 4);
	assert_false(port_is_held(&r->a->port));
	r->b->port.ops = &fake_ops;
}

static bool yes(const struct port *p)
{
	return true;
}

static void a_port_whose_frames_the_kernel_carries_has_none(void **state)
{
	struct rig *r = *state;
	struct port_ops ops = fake_ops;
	struct vmtap_error err = { 0 };
	struct fake *c = fake_new(&r->env, "c");

	ops.in_kernel = yes;
	r->b->port.ops = &ops;
	assert_int_equal(port_hook_add(&r->a->port, &r->watcher.hook, "limit", &err), -EBUSY);
	assert_string_equal(err.object, "a");
	assert_non_null(strstr(err.reason, "b has vhost=on"));
	link_free(r->link);
	assert_int_equal(port_hook_add(&r->a->port, &r->watcher.hook, "limit", &err), 0);
	r->link = link_new(&r->a->port, &r->b->port, &err);
	assert_null(r->link);
	assert_int_equal(err.code, EBUSY);
	r->link = link_new(&r->a->port, &c->port, &err);
	assert_non_null(r->link);
	r->b->port.ops = &fake_ops;
	port_free(&c->port);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_hook_sees_both_ways, setup, teardown),
		cmocka_unit_test_setup_teardown(what_it_holds_back_goes_on_in_order, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_port_that_may_not_send_holds_the_other_back,
						setup, teardown),
		cmocka_unit_test_setup_teardown(frames_are_seen_once_when_the_peer_is_slow, setup,
						teardown),
		cmocka_unit_test_setup_teardown(what_it_discards_is_counted_and_the_rest_passes,
						setup, teardown),
		cmocka_unit_test_setup_teardown(what_it_keeps_is_counted_and_seen_by_those_in_front,
						setup, teardown),
		cmocka_unit_test_setup_teardown(it_is_told_of_room_after_the_junction, setup,
						teardown),
		cmocka_unit_test_setup_teardown(removing_a_hook_lets_go_of_what_it_held, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_burst_that_it_splits_may_be_parted_from_inside,
						setup, teardown),
		cmocka_unit_test_setup_teardown(a_port_whose_frames_the_kernel_carries_has_none,
						setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
