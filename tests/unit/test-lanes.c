/* SPDX-License-Identifier: MIT */
/* Links of ports with queue pairs: lanes, their loops, and loans. */
#include "unit.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>

#include "base/container.h"
#include "loop/worker.h"
#include "net/link.h"

#define PAIRS_MAX 4

/**
 * struct many - A port with queue pairs, whose outside is the test
 * @room:   frames that the lane still takes; @got: frames that it was given
 * @fails: cannot start, nor move
 * @drops: the first of each burst
 * @pieces: of the room that it lends; @lent, @repaid, @settled: calls
 */
struct many {
	struct port port;
	unsigned room[PAIRS_MAX], got[PAIRS_MAX], resumed[PAIRS_MAX];
	unsigned left, moved, used;
	bool fails;
	bool lends;
	bool drops;
	uint8_t memory[VMTAP_FRAME_MAX];
	struct iovec piece;
	unsigned lent, repaid, settled;
	struct vmtap_net_hdr hdr;
};

static struct many *of(const struct port *p)
{
	return container_of(p, struct many, port);
}

static int many_start(struct port *p, struct vmtap_error *err)
{
	if (of(p)->fails)
		return error_errno(err, EMFILE, p->name, "start");
	port_set_state(p, VMTAP_PORT_UP);
	return 0;
}

static unsigned many_send(struct port_lane *l, const struct vmtap_frame *frames, unsigned cnt)
{
	struct many *m = of(l->port);
	unsigned n = cnt < m->room[l->index] ? cnt : m->room[l->index];

	m->room[l->index] -= n;
	m->got[l->index] += n;
	if (m->drops && n)
		lane_drop_tx(l, VMTAP_DROP_REFUSED, frames, 1);
	return n;
}

static bool many_lend(struct port_lane *l, struct port_loan *loan)
{
	struct many *m = of(l->port);

	if (!m->lends)
		return false;
	m->lent++;
	m->piece = (struct iovec) { m->memory, sizeof(m->memory) };
	loan->iov = &m->piece;
	loan->iov_cnt = 1;
	return true;
}

static void many_repay(struct port_lane *l, const struct vmtap_net_hdr *hdr, uint32_t len)
{
	of(l->port)->repaid++;
	of(l->port)->hdr = *hdr;
}

static void many_settle(struct port_lane *l)
{
	of(l->port)->settled++;
}

static void many_resume(struct port_lane *l)
{
	of(l->port)->resumed[l->index]++;
}

static void many_leave(struct port *p)
{
	of(p)->left++;
}

static int many_moved(struct port *p)
{
	if (of(p)->fails)
		return -EMFILE;
	of(p)->moved++;
	return 0;
}

static void many_pairs_used(struct port *p, const struct port *peer)
{
	of(p)->used = 0;
	for (unsigned i = 0; i < p->pair_cnt; i++)
		of(p)->used |= (unsigned)(!peer || peer->lanes[i].used) << i;
}

static int many_describe(const struct port *p, char *buf, size_t size)
{
	return 0;
}

static void many_close(struct port *p)
{
}

static void many_free(struct port *p)
{
	free(of(p));
}

static const struct port_ops many_ops = {
	.type = "many",
	.start = many_start,
	.send = many_send,
	.lend = many_lend,
	.repay = many_repay,
	.settle = many_settle,
	.resume = many_resume,
	.leave_loops = many_leave,
	.moved = many_moved,
	.pairs_used = many_pairs_used,
	.describe = many_describe,
	.close = many_close,
	.free = many_free,
};

struct rig {
	struct port_env env;
	struct many *a, *b;
	struct link *link;
};

static struct many *many_new(struct rig *r, const char *name, unsigned pairs)
{
	struct many *m = calloc(1, sizeof(*m));

	assert_int_equal(port_init(&m->port, &many_ops, &r->env, name), 0);
	assert_int_equal(port_set_pairs(&m->port, pairs), 0);
	for (unsigned i = 0; i < PAIRS_MAX; i++)
		m->room[i] = 1000;
	return m;
}

static void begin(struct rig *r, unsigned a_pairs, unsigned b_pairs, unsigned workers)
{
	const struct workers_config config = { .cnt = workers, .engine = BURST_PLAIN };
	struct vmtap_error err = { 0 };
	int why;

	*r = (struct rig) { .env = { .loop = loop_new(), .cancel_fd = -1 } };
	r->env.burst = burst_new(BURST_PLAIN, &why);
	if (workers)
		r->env.workers = workers_new(&config, &err);
	r->a = many_new(r, "a", a_pairs);
	r->b = many_new(r, "b", b_pairs);
	r->link = link_new(&r->a->port, &r->b->port, &err);
	assert_non_null(r->link);
}

static void end(struct rig *r)
{
	port_free(&r->a->port);
	port_free(&r->b->port);
	link_free(r->link);
	workers_free(r->env.workers);
	burst_free(r->env.burst);
	loop_free(r->env.loop);
}

static const uint8_t bytes[100];
static const struct iovec bytes_iov = { (void *)(uintptr_t)bytes, sizeof(bytes) };

static unsigned offer(struct port_lane *l, unsigned cnt)
{
	struct vmtap_frame frames[VMTAP_BURST_MAX];

	for (unsigned i = 0; i < cnt; i++)
		frames[i] = (struct vmtap_frame) { .len = 100, .iov = &bytes_iov, .iov_cnt = 1 };
	return lane_offer(l, frames, cnt);
}

static void as_many_pairs_are_joined_pair_by_pair(void **state)
{
	struct vmtap_stats stats;
	struct rig r;

	begin(&r, 3, 3, 0);
	assert_int_equal(r.a->port.lane_cnt, 3);
	for (unsigned i = 0; i < 3; i++) {
		assert_int_equal(offer(port_lane(&r.a->port, i), i + 1), i + 1);
		assert_int_equal(r.b->got[i], i + 1);
		assert_int_equal(offer(port_lane(&r.b->port, i), 10), 10);
		assert_int_equal(r.a->got[i], 10);
	}
	port_stats(&r.a->port, &stats);
	assert_int_equal(stats.rx.frames, 6);
	assert_int_equal(stats.rx.bytes, 600);
	assert_int_equal(stats.tx.frames, 30);
	end(&r);
}

static void other_numbers_of_pairs_share_a_lane(void **state)
{
	struct rig r;

	begin(&r, 3, 2, 0);
	assert_int_equal(r.a->port.lane_cnt, 1);
	assert_int_equal(r.b->port.lane_cnt, 1);
	for (unsigned i = 0; i < 3; i++)
		assert_int_equal(offer(port_lane(&r.a->port, i), 5), 5);
	assert_int_equal(r.b->got[0], 15);
	end(&r);
}

static void a_lane_that_waits_holds_no_other(void **state)
{
	struct vmtap_stats stats;
	struct rig r;

	begin(&r, 2, 2, 0);
	r.b->room[1] = 3;
	assert_int_equal(offer(port_lane(&r.a->port, 1), 10), 3);
	assert_true(port_lane(&r.a->port, 1)->held);
	assert_false(port_lane(&r.a->port, 0)->held);
	assert_int_equal(offer(port_lane(&r.a->port, 0), 10), 10);
	r.b->room[1] = 100;
	lane_writable(port_lane(&r.b->port, 0));
	assert_int_equal(r.a->resumed[1], 0);
	lane_writable(port_lane(&r.b->port, 1));
	assert_int_equal(r.a->resumed[0], 0);
	assert_int_equal(r.a->resumed[1], 1);
	port_stats(&r.a->port, &stats);
	assert_int_equal(stats.rx_holds, 1);
	end(&r);
}

static struct vmtap_queue_stats counted(struct many *m, unsigned pair)
{
	struct vmtap_queue_stats s;

	port_queue_stats(&m->port, pair, &s);
	return s;
}

static void each_pair_counts_for_itself(void **state)
{
	struct vmtap_queue_stats s;
	struct rig r;

	begin(&r, 2, 2, 0);
	assert_int_equal(offer(port_lane(&r.a->port, 1), 7), 7);
	assert_int_equal(offer(port_lane(&r.a->port, 1), 3), 3);
	s = counted(r.a, 1);
	assert_int_equal(s.rx.frames, 10);
	assert_int_equal(s.rx.bytes, 1000);
	assert_int_equal(s.rx_bursts, 2);
	assert_int_equal(s.flags, VMTAP_QUEUE_USED);
	s = counted(r.b, 1);
	assert_int_equal(s.tx.frames, 10);
	assert_int_equal(s.tx_bursts, 2);
	assert_int_equal(counted(r.a, 0).rx.frames + counted(r.a, 0).rx_bursts, 0);
	assert_int_equal(counted(r.b, 0).tx.frames + counted(r.b, 0).tx_bursts, 0);
	end(&r);
}

/* Room that is lent is filled a frame at a time, and is a burst when it is settled. */
static void a_loan_is_a_burst(void **state)
{
	const struct vmtap_net_hdr hdr = { 0 };
	struct port_loan loan;
	struct rig r;

	begin(&r, 1, 1, 0);
	r.b->lends = true;
	for (int i = 0; i < 3; i++) {
		assert_true(lane_borrow(r.a->port.lanes, &loan));
		assert_true(lane_repay(r.a->port.lanes, &loan, &hdr, 100));
	}
	lane_settle(&loan);
	assert_true(lane_borrow(r.a->port.lanes, &loan));
	lane_settle(&loan); /* nothing came */
	assert_int_equal(counted(r.a, 0).rx.frames, 3);
	assert_int_equal(counted(r.a, 0).rx_bursts, 1);
	assert_int_equal(counted(r.b, 0).tx_bursts, 1);
	end(&r);
}

static void the_time_of_waiting_is_added_up(void **state)
{
	struct vmtap_queue_stats s, later;
	struct rig r;

	begin(&r, 1, 1, 0);
	r.b->room[0] = 3;
	assert_int_equal(offer(r.a->port.lanes, 10), 3);
	s = counted(r.a, 0);
	assert_int_equal(s.flags, VMTAP_QUEUE_USED | VMTAP_QUEUE_RX_HELD);
	do /* it goes on while it waits */
		later = counted(r.a, 0);
	while (later.rx_held_ns == s.rx_held_ns);
	assert_true(later.rx_held_ns > s.rx_held_ns);
	s = counted(r.b, 0);
	assert_int_equal(s.flags, VMTAP_QUEUE_USED | VMTAP_QUEUE_TX_HELD);
	assert_int_equal(s.tx_holds, 1);
	r.b->room[0] = 100;
	lane_writable(r.b->port.lanes);
	s = counted(r.a, 0);
	assert_true(s.rx_held_ns >= later.rx_held_ns);
	assert_int_equal(s.flags, VMTAP_QUEUE_USED);
	later = counted(r.a, 0);
	assert_int_equal(later.rx_held_ns, s.rx_held_ns); /* and not afterwards */
	assert_int_equal(counted(r.b, 0).flags, VMTAP_QUEUE_USED);
	end(&r);
}

#define COUNTED_BURSTS 20000

/** struct mover - Moves frames in a thread of its own, as a worker does */
struct mover {
	struct port_lane *lane;
	pthread_t thread;
};

static void *move(void *opaque)
{
	struct mover *m = opaque;

	for (unsigned i = 0; i < COUNTED_BURSTS; i++)
		offer(m->lane, 2);
	return NULL;
}

/* Nobody is held for it; the thread sanitizer looks on. Counters only grow, also those of frames that are
 * dropped behind their @send. */
static void counters_are_read_while_frames_move(void **state)
{
	struct mover m;
	uint64_t seen = 0, sent = 0;
	struct rig r;

	begin(&r, 2, 2, 0);
	r.b->drops = true;
	r.b->room[1] = 2 * COUNTED_BURSTS;
	m.lane = port_lane(&r.a->port, 1);
	assert_int_equal(pthread_create(&m.thread, NULL, move, &m), 0);
	while (seen < 2ull * COUNTED_BURSTS) {
		const uint64_t now = counted(r.a, 1).rx.frames, out = counted(r.b, 1).tx.frames;

		assert_true(now >= seen && now <= 2ull * COUNTED_BURSTS);
		assert_true(out >= sent && out <= COUNTED_BURSTS);
		seen = now;
		sent = out;
	}
	pthread_join(m.thread, NULL);
	assert_int_equal(counted(r.b, 1).tx.frames, COUNTED_BURSTS);
	assert_int_equal(counted(r.b, 1).tx.drops[VMTAP_DROP_REFUSED], COUNTED_BURSTS);
	assert_int_equal(counted(r.b, 1).tx_bursts, COUNTED_BURSTS);
	end(&r);
}

static void a_pause_is_for_all_lanes(void **state)
{
	struct rig r;

	begin(&r, 2, 2, 0);
	port_set_poll(&r.b->port, false);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(offer(port_lane(&r.a->port, i), 4), 0);
	port_set_poll(&r.b->port, true);
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(r.a->resumed[i], 1);
	end(&r);
}

static void use_pair(struct port *p, uint8_t pair)
{
	port_use_pairs(p, &pair, 1);
}

static void the_peer_is_told_of_pairs_in_use(void **state)
{
	struct rig r;

	begin(&r, 3, 3, 0);
	port_use_pairs(&r.a->port, (const uint8_t[]) { 0, 2 }, 2);
	assert_int_equal(r.b->used, 5);
	end(&r);
	begin(&r, 3, 2, 0); /* here they do not belong together */
	use_pair(&r.a->port, 0);
	assert_int_equal(r.b->used, 3);
	end(&r);
}

static void a_later_peer_is_told_too(void **state)
{
	struct vmtap_error err = { 0 };
	struct many *c;
	struct rig r;

	begin(&r, 3, 3, 0);
	use_pair(&r.a->port, 1);
	link_free(r.link);
	use_pair(&r.a->port, 2);
	c = many_new(&r, "c", 3);
	r.link = link_new(&r.a->port, &c->port, &err);
	assert_non_null(r.link);
	assert_int_equal(c->used, 4);
	link_free(r.link);
	r.link = link_new(&r.a->port, &r.b->port, &err);
	assert_int_equal(r.b->used, 4);
	link_free(r.link);
	port_free(&c->port);
	c = many_new(&r, "c", 1); /* whose queues are shared by all */
	r.link = link_new(&r.b->port, &c->port, &err);
	assert_non_null(r.link);
	assert_int_equal(r.b->used, 7);
	port_free(&c->port);
	end(&r);
}

/* Some of its queues may be watched already, by threads that would see them closed. */
static void a_port_that_cannot_start_is_in_no_loop(void **state)
{
	struct vmtap_error err = { 0 };
	struct many *c;
	struct rig r;

	begin(&r, 2, 2, 2);
	link_free(r.link);
	c = many_new(&r, "c", 2);
	c->fails = true;
	assert_null(link_new(&r.a->port, &c->port, &err));
	assert_int_equal(c->left, 1);
	r.link = link_new(&r.a->port, &r.b->port, &err);
	assert_non_null(r.link);
	port_free(&c->port);
	end(&r);
}

static void a_port_that_cannot_move_is_broken(void **state)
{
	struct vmtap_error err = { 0 };
	struct many *c;
	struct rig r;

	begin(&r, 2, 2, 2);
	link_free(r.link);
	c = many_new(&r, "c", 1);
	r.a->fails = true;
	assert_null(link_new(&r.a->port, &c->port, &err));
	assert_int_equal(r.a->port.state, VMTAP_PORT_BROKEN);
	assert_int_equal(r.a->left, 2); /* before, and of what was begun */
	port_free(&c->port);
	r.link = NULL;
	end(&r);
}

/* What it held back there is nobody's any more, and must not be waited for. */
static void a_lane_that_is_no_more_holds_nothing(void **state)
{
	struct vmtap_error err = { 0 };
	struct many *c;
	struct rig r;

	begin(&r, 2, 2, 0);
	r.b->room[1] = 0;
	assert_int_equal(offer(port_lane(&r.a->port, 1), 1), 0);
	port_set_poll(&r.a->port, false);
	link_free(r.link);
	assert_true(r.a->port.lanes[1].held);
	c = many_new(&r, "c", 1);
	r.link = link_new(&r.a->port, &c->port, &err);
	assert_non_null(r.link);
	assert_false(r.a->port.lanes[1].held || r.a->port.lanes[1].resume_owed);
	port_free(&c->port);
	end(&r);
}

/* Frames that a worker's thread moves. */
struct sender {
	struct loop_task task;
	struct port_lane *lane;
	struct loop *loop;
	unsigned left;
	sem_t done;
};

static void send_some(struct loop_task *t)
{
	struct sender *s = container_of(t, struct sender, task);

	s->left -= offer(s->lane, s->left < 64 ? s->left : 64);
	if (s->left)
		loop_task_add(s->loop, t);
	else
		sem_post(&s->done);
}

static void each_lane_has_a_worker_and_both_ends_have_the_same(void **state)
{
	struct sender senders[4] = { 0 };
	struct vmtap_stats stats;
	struct rig r;

	begin(&r, 4, 4, 2);
	for (unsigned i = 0; i < 4; i++) {
		struct port_lane *l = port_lane(&r.a->port, i);

		assert_ptr_equal(l->loop, workers_loop(r.env.workers, i));
		assert_ptr_equal(port_lane(&r.b->port, i)->loop, l->loop);
		r.b->room[i] = 100000;
		senders[i] = (struct sender) {
			.task.run = send_some, .lane = l, .loop = l->loop, .left = 100000
		};
		sem_init(&senders[i].done, 0, 0);
	}
	port_enter(&r.a->port);
	for (unsigned i = 0; i < 4; i++)
		loop_task_add(senders[i].loop, &senders[i].task);
	port_leave(&r.a->port);
	do /* while they run */
		port_stats(&r.a->port, &stats);
	while (stats.rx.frames < 300000);
	for (unsigned i = 0; i < 4; i++)
		sem_wait(&senders[i].done);
	port_stats(&r.b->port, &stats);
	assert_int_equal(stats.tx.frames, 400000);
	end(&r);
}

static void a_port_moves_with_its_next_link(void **state)
{
	struct vmtap_error err = { 0 };
	struct many *c;
	struct rig r;

	begin(&r, 2, 2, 3);
	c = many_new(&r, "c", 1);
	link_free(r.link);
	assert_int_equal(r.a->moved, 0);
	r.link = link_new(&r.a->port, &c->port, &err);
	assert_non_null(r.link);
	assert_int_equal(r.a->left, 1);
	assert_int_equal(r.a->moved, 1);
	assert_int_equal(r.a->port.lane_cnt, 1);
	assert_ptr_equal(port_lane(&r.a->port, 1)->loop, workers_loop(r.env.workers, 2));
	assert_ptr_equal(port_lane(&c->port, 0)->loop, workers_loop(r.env.workers, 2));
	port_free(&c->port);
	end(&r);
}

static void room_is_borrowed_filled_and_repaid(void **state)
{
	const struct vmtap_net_hdr plain = { 0 };
	struct vmtap_stats stats;
	struct port_loan loan;
	struct port_lane *l;
	struct rig r;

	begin(&r, 1, 1, 0);
	l = port_lane(&r.a->port, 0);
	assert_false(lane_borrow(l, &loan)); /* none to lend */
	r.b->lends = true;
	assert_true(lane_borrow(l, &loan));
	assert_ptr_equal(loan.iov->iov_base, r.b->memory);
	assert_true(lane_repay(l, &loan, &plain, 5000));
	lane_settle(&loan);
	assert_int_equal(r.b->repaid, 1);
	assert_int_equal(r.b->settled, 1);
	port_stats(&r.a->port, &stats);
	assert_int_equal(stats.rx.frames, 1);
	assert_int_equal(stats.rx.bytes, 5000);
	port_stats(&r.b->port, &stats);
	assert_int_equal(stats.tx.bytes, 5000);
	end(&r);
}

static void a_frame_that_is_not_finished_is_no_repayment(void **state)
{
	const struct vmtap_net_hdr tso = { .gso_type = VMTAP_GSO_TCPV4, .gso_size = 1448 };
	struct port_loan loan;
	struct port_lane *l;
	struct rig r;

	begin(&r, 1, 1, 0);
	l = port_lane(&r.a->port, 0);
	r.b->lends = true;
	assert_true(lane_borrow(l, &loan));
	assert_false(lane_repay(l, &loan, &tso, 5000));
	assert_int_equal(r.b->repaid, 0);
	port_set_accepts(&r.b->port, VMTAP_OFFLOAD_CSUM | VMTAP_OFFLOAD_TSO4);
	assert_true(lane_repay(l, &loan, &tso, 5000));
	assert_int_equal(r.b->hdr.gso_size, 1448);
	lane_settle(&loan);
	end(&r);
}

static void who_waits_or_is_down_lends_nothing(void **state)
{
	struct port_loan loan;
	struct port_lane *l;
	struct rig r;

	begin(&r, 1, 1, 0);
	l = port_lane(&r.a->port, 0);
	r.b->lends = true;
	r.b->room[0] = 0;
	assert_int_equal(offer(l, 1), 0);
	assert_false(lane_borrow(l, &loan)); /* it would overtake the frame that waits */
	r.b->room[0] = 1;
	lane_writable(port_lane(&r.b->port, 0));
	assert_true(lane_borrow(l, &loan));
	port_set_link(&r.b->port, false, NULL);
	assert_false(lane_borrow(l, &loan));
	port_set_link(&r.b->port, true, NULL);
	port_set_poll(&r.b->port, false);
	assert_false(lane_borrow(l, &loan));
	port_set_poll(&r.b->port, true);
	port_set_state(&r.b->port, VMTAP_PORT_WAITING);
	assert_false(lane_borrow(l, &loan));
	link_close(r.link);
	assert_false(lane_borrow(l, &loan));
	end(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(as_many_pairs_are_joined_pair_by_pair),
		cmocka_unit_test(other_numbers_of_pairs_share_a_lane),
		cmocka_unit_test(a_lane_that_waits_holds_no_other),
		cmocka_unit_test(each_pair_counts_for_itself),
		cmocka_unit_test(a_loan_is_a_burst),
		cmocka_unit_test(the_time_of_waiting_is_added_up),
		cmocka_unit_test(counters_are_read_while_frames_move),
		cmocka_unit_test(a_pause_is_for_all_lanes),
		cmocka_unit_test(the_peer_is_told_of_pairs_in_use),
		cmocka_unit_test(a_later_peer_is_told_too),
		cmocka_unit_test(a_port_that_cannot_start_is_in_no_loop),
		cmocka_unit_test(a_port_that_cannot_move_is_broken),
		cmocka_unit_test(a_lane_that_is_no_more_holds_nothing),
		cmocka_unit_test(each_lane_has_a_worker_and_both_ends_have_the_same),
		cmocka_unit_test(a_port_moves_with_its_next_link),
		cmocka_unit_test(room_is_borrowed_filled_and_repaid),
		cmocka_unit_test(a_frame_that_is_not_finished_is_no_repayment),
		cmocka_unit_test(who_waits_or_is_down_lends_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
