/* SPDX-License-Identifier: MIT */
/* Room in the guest's receive buffers that the vhost-user port lends: whoever reads long frames fills it. */
#include "vu-port-test.h"

#define reap api_reap /* here, it is the driver that reaps */
#include "api/api.h"
#undef reap
#include "base/iov.h"

#define FEATURES (MODERN | BIT(VIRTIO_NET_F_MRG_RXBUF))
#define CHUNK 0x4000u /* a receive buffer; five hold the longest frame */
#define HDR 12u
#define LONG 40000u

static const struct vmtap_net_hdr plain;
static struct port_loan loan;

static struct port_lane *borrower(void)
{
	return port_lane(rig.app->port, 0);
}

static bool borrow(void)
{
	loan = (struct port_loan) { 0 };
	return lane_borrow(borrower(), &loan);
}

static uint64_t chunk_at(unsigned n)
{
	return BUFS_AT + CHUNK * (n % 16);
}

/* A receive buffer of @len bytes in place @n. */
static void post_chunk(unsigned n, uint32_t len)
{
	const struct vq_buf b = { .gpa = chunk_at(n), .len = len, .in = true };

	assert_true(vq_add(&rig.q[0], &b, 1, 0, n));
}

static void begin_with(uint64_t features, unsigned chunks)
{
	set_up(features);
	for (unsigned i = 0; i < chunks; i++)
		post_chunk(i, CHUNK);
}

static uint8_t byte_of(size_t i)
{
	return (uint8_t)(i * 7 + i / 251);
}

/* Put a frame of @len bytes into what was lent, as readv() would. */
static void fill_loan(uint32_t len)
{
	size_t at = 0;

	for (unsigned i = 0; i < loan.iov_cnt && at < len; i++) {
		uint8_t *p = loan.iov[i].iov_base;

		for (size_t k = 0; k < loan.iov[i].iov_len && at < len; k++)
			p[k] = byte_of(at++);
	}
	assert_int_equal(at, len);
}

static void repay(uint32_t len)
{
	fill_loan(len);
	assert_true(lane_repay(borrower(), &loan, &plain, len));
}

/* The guest takes a frame of @len bytes that lies in chunks from @n on, each of @chunk bytes. */
static void expect_frame(unsigned n, uint32_t chunk, uint32_t len)
{
	const uint32_t total = HDR + len, cnt = (total + chunk - 1) / chunk;
	struct vmtap_net_hdr hdr;
	size_t at = 0;

	memcpy(&hdr, rig.mem + chunk_at(n), sizeof(hdr));
	assert_int_equal(hdr.num_buffers, cnt);
	assert_int_equal(hdr.flags, 0);
	for (uint32_t i = 0, left = total; i < cnt; i++) {
		const uint8_t *p = rig.mem + chunk_at(n + i);
		uint64_t opaque;
		uint32_t used;

		assert_true(vq_get(&rig.q[0], &opaque, &used));
		assert_int_equal(opaque, n + i);
		assert_int_equal(used, left < chunk ? left : chunk);
		left -= used;
		for (uint32_t k = i ? 0 : HDR; k < used; k++)
			assert_int_equal(p[k], byte_of(at++));
	}
	assert_int_equal(at, len);
}

static void a_long_frame_is_where_it_was_read_to(void **state)
{
	begin_with(FEATURES, 8);
	assert_true(borrow());
	assert_true(iov_len(loan.iov, loan.iov_cnt) >= VMTAP_FRAME_MAX);
	repay(LONG);
	assert_int_equal(reap(0), 0); /* not before it is settled */
	lane_settle(&loan);
	expect_frame(0, CHUNK, LONG);
	assert_int_equal(reap(0), 0);
	assert_int_equal(stats_of(rig.vu).tx.frames, 1);
	assert_int_equal(stats_of(rig.vu).tx.bytes, LONG);
}

static void what_a_frame_leaves_over_is_the_next_ones(void **state)
{
	begin_with(FEATURES, 12);
	for (unsigned i = 0; i < 3; i++) {
		assert_true(borrow());
		repay(i ? LONG : 60);
	}
	lane_settle(&loan);
	expect_frame(0, CHUNK, 60);
	expect_frame(1, CHUNK, LONG);
	expect_frame(4, CHUNK, LONG);
	assert_int_equal(send_frames(5, NULL, 0), 5); /* and of those that copy */
	assert_int_equal(reap(0), 5);
}

static void a_loan_that_is_not_used_costs_no_buffer(void **state)
{
	begin_with(FEATURES, 8);
	for (unsigned i = 0; i < 100; i++) {
		assert_true(borrow());
		lane_settle(&loan);
	}
	assert_int_equal(reap(0), 0);
	assert_int_equal(send_frames(8, NULL, 0), 8);
	assert_int_equal(reap(0), 8);
}

/* The first buffer has room for the header, and for nothing else. */
static void a_header_may_fill_a_buffer_of_its_own(void **state)
{
	uint64_t opaque;
	uint32_t used;

	set_up(FEATURES);
	post_chunk(0, HDR);
	for (unsigned i = 1; i < 8; i++)
		post_chunk(i, CHUNK);
	assert_true(borrow());
	repay(100);
	lane_settle(&loan);
	assert_true(vq_get(&rig.q[0], &opaque, &used));
	assert_int_equal(used, HDR);
	assert_true(vq_get(&rig.q[0], &opaque, &used));
	assert_int_equal(used, 100);
	assert_int_equal(rig.mem[chunk_at(0) + 10], 2); /* buffers, says the header */
	assert_int_equal(rig.mem[chunk_at(1) + 99], byte_of(99));
}

static void a_buffer_without_room_for_the_header_is_not_lent_and_breaks_the_ring(void **state)
{
	set_up(FEATURES);
	post_chunk(0, HDR - 1);
	for (unsigned i = 1; i < 8; i++)
		post_chunk(i, CHUNK);
	assert_false(borrow());
	assert_int_equal(reap(0), 0);
	assert_int_equal(send_frames(1, NULL, 0), 1);
	dispatch();
	assert_int_equal(stats_of(rig.vu).tx.drops[VMTAP_DROP_PEER_GONE], 1);
}

/* The whole ring holds less than the longest frame: such a guest is served all the same. */
static void a_ring_with_too_little_room_lends_nothing_and_takes_copies(void **state)
{
	begin_with(FEATURES, 4);
	for (unsigned i = 0; i < 50; i++)
		assert_false(borrow());
	assert_int_equal(send_frames(4, NULL, 0), 4);
	assert_int_equal(reap(0), 4);
	for (unsigned i = 4; i < 8; i++)
		post_chunk(i, CHUNK);
	assert_false(borrow());
	post_chunk(8, CHUNK);
	assert_true(borrow());
	lane_settle(&loan);
}

static void a_whole_ring_of_small_buffers_lends_nothing(void **state)
{
	set_up(FEATURES);
	for (unsigned i = 0; i < RING_SIZE; i++)
		post_chunk(i, 1526);
	assert_false(borrow());
	assert_int_equal(send_frames(RING_SIZE, NULL, 0), RING_SIZE);
	assert_int_equal(reap(0), RING_SIZE);
}

static void only_mergeable_buffers_are_lent(void **state)
{
	begin_with(MODERN, 8);
	assert_false(borrow());
}

static void nothing_is_lent_past_a_filter(void **state)
{
	begin_with(FEATURES | BIT(VIRTIO_NET_F_CTRL_VQ) | BIT(VIRTIO_NET_F_CTRL_RX), 8);
	assert_true(borrow());
	lane_settle(&loan);
	assert_int_equal(command("\x00\x00\x00", 3), VIRTIO_NET_OK); /* not promiscuous */
	assert_false(borrow());
	assert_int_equal(command("\x00\x00\x01", 3), VIRTIO_NET_OK);
	assert_true(borrow());
	lane_settle(&loan);
}

/* The port has to look at a frame to choose a pair. */
static void nothing_is_lent_while_two_pairs_share_a_lane(void **state)
{
	negotiate(FEATURES | BIT(VIRTIO_NET_F_CTRL_VQ) | BIT(VIRTIO_NET_F_MQ));
	for (unsigned i = 0; i < 4; i++)
		start_ring(i, 0);
	for (unsigned i = 0; i < 8; i++)
		post_chunk(i, CHUNK);
	assert_false(borrow());
	send_state(VHOST_USER_SET_VRING_ENABLE, 2, 0);
	dispatch();
	assert_true(borrow());
	lane_settle(&loan);
}

static void a_ring_that_is_stopped_or_disabled_lends_nothing(void **state)
{
	begin_with(FEATURES, 8);
	send_state(VHOST_USER_SET_VRING_ENABLE, 0, 0);
	dispatch();
	assert_false(borrow());
	send_state(VHOST_USER_SET_VRING_ENABLE, 0, 1);
	dispatch();
	assert_true(borrow());
	lane_settle(&loan);
	send_state(VHOST_USER_GET_VRING_BASE, 0, 0);
	dispatch();
	assert_false(borrow());
}

/* An impossible chain comes behind good ones, of which some were lent already. */
static void a_ring_that_breaks_while_it_lends_loses_what_was_not_shown_only(void **state)
{
	const struct vq_buf outside = { .gpa = MEM_SIZE, .len = 100, .in = true };

	begin_with(FEATURES, 7);
	assert_true(borrow());
	repay(LONG);
	assert_true(vq_add(&rig.q[0], &outside, 1, 0, 9));
	assert_false(borrow()); /* what is left is too little, and behind it is the bad one */
	dispatch();
	assert_int_equal(send_frames(1, NULL, 0), 1);
	assert_int_equal(stats_of(rig.vu).tx.drops[VMTAP_DROP_PEER_GONE], 1);
	share_memory(); /* which the rings that run look for again */
	dispatch();
	assert_false(session_ended());
}

static void new_memory_is_lent_after_it_came(void **state)
{
	begin_with(FEATURES, 8);
	assert_true(borrow());
	lane_settle(&loan);
	share_memory();
	dispatch();
	assert_true(borrow());
	repay(LONG);
	lane_settle(&loan);
	expect_frame(0, CHUNK, LONG);
}

/* The log */

static bool is_logged(const uint8_t *log, uint64_t gpa)
{
	return log[gpa / 4096 / 8] >> gpa / 4096 % 8 & 1;
}

static void pages_of_frames_are_logged_and_those_of_unused_room_are_not(void **state)
{
	const struct vu_log where = { .size = 4096 };
	int fd = memfd_create("log", MFD_CLOEXEC);
	uint8_t *log;

	assert_int_equal(ftruncate(fd, 4096), 0);
	log = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	begin_with(FEATURES, 8);
	send_u64(VHOST_USER_SET_PROTOCOL_FEATURES,
		 BIT(VHOST_USER_PROTOCOL_F_CONFIG) | BIT(VHOST_USER_PROTOCOL_F_LOG_SHMFD));
	send_msg(VHOST_USER_SET_LOG_BASE, &where, sizeof(where), fd);
	send_u64(VHOST_USER_SET_FEATURES, FEATURES | BIT(VHOST_F_LOG_ALL));
	dispatch();
	assert_false(session_ended());
	assert_true(borrow());
	repay(LONG);
	assert_true(borrow()); /* is filled, and never becomes a frame */
	fill_loan(LONG);
	lane_settle(&loan);
	for (uint64_t gpa = BUFS_AT; gpa < MEM_SIZE; gpa += 4096)
		assert_int_equal(is_logged(log, gpa), gpa < BUFS_AT + HDR + LONG);
	munmap(log, 4096);
	close(fd);
}

/* Memory that goes */

static struct sigaction guard;

/* readv() says EFAULT then, and who borrowed touches the pages. */
static void lent_memory_that_goes_ends_the_session(void **state)
{
	struct sigaction old;

	begin_with(FEATURES, 8);
	assert_true(borrow());
	assert_int_equal(ftruncate(rig.memfd, BUFS_AT), 0);
	sigaction(SIGBUS, &guard, &old);
	iov_touch(loan.iov, loan.iov_cnt);
	lane_settle(&loan);
	sigaction(SIGBUS, &old, NULL);
	dispatch();
	assert_true(session_ended());
}

/* Or the header is the first that is written there. */
static void lent_memory_that_goes_may_be_found_when_it_is_repaid(void **state)
{
	struct sigaction old;

	begin_with(FEATURES, 8);
	assert_true(borrow());
	assert_int_equal(ftruncate(rig.memfd, BUFS_AT), 0);
	sigaction(SIGBUS, &guard, &old);
	assert_true(lane_repay(borrower(), &loan, &plain, LONG));
	lane_settle(&loan);
	sigaction(SIGBUS, &old, NULL);
	dispatch();
	assert_true(session_ended());
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, rig_open, rig_close)
#define PAIRS(f) cmocka_unit_test_setup_teardown(f, rig_open2, rig_close)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(a_long_frame_is_where_it_was_read_to),
		CASE(what_a_frame_leaves_over_is_the_next_ones),
		CASE(a_loan_that_is_not_used_costs_no_buffer),
		CASE(a_header_may_fill_a_buffer_of_its_own),
		CASE(a_buffer_without_room_for_the_header_is_not_lent_and_breaks_the_ring),
		CASE(a_ring_with_too_little_room_lends_nothing_and_takes_copies),
		CASE(a_whole_ring_of_small_buffers_lends_nothing),
		CASE(only_mergeable_buffers_are_lent),
		CASE(nothing_is_lent_past_a_filter),
		PAIRS(nothing_is_lent_while_two_pairs_share_a_lane),
		CASE(a_ring_that_is_stopped_or_disabled_lends_nothing),
		CASE(a_ring_that_breaks_while_it_lends_loses_what_was_not_shown_only),
		CASE(new_memory_is_lent_after_it_came),
		CASE(pages_of_frames_are_logged_and_those_of_unused_room_are_not),
		CASE(lent_memory_that_goes_ends_the_session),
		CASE(lent_memory_that_goes_may_be_found_when_it_is_repaid),
	};

	rig_open(NULL);
	set_up(MODERN);
	sigaction(SIGBUS, NULL, &guard);
	rig_close(NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
