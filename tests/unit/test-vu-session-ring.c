/* SPDX-License-Identifier: MIT */
/* Tests of port/vu/session-ring.c and session-start.c: when a ring starts, stops, and what may change. */
#include "unit.h"

#include <unistd.h>

#include "vu-peer.h"

/* ---------------------------------------------------------------------- starting */

/* The messages that a ring needs. */
static void give(struct peer *p, unsigned what)
{
	switch (what) {
	case 0:
		assert_int_equal(peer_set_u64(p, VHOST_USER_SET_FEATURES, PEER_F_PROTOCOL), 0);
		break;
	case 1:
		assert_int_equal(peer_set_table(p, PEER_MEM), 0);
		break;
	case 2:
		assert_int_equal(peer_set_state(p, VHOST_USER_SET_VRING_NUM, 1, PEER_SIZE), 0);
		break;
	case 3:
		assert_int_equal(peer_set_addr(p, 1, false), 0);
		break;
	case 4:
		assert_int_equal(peer_set_state(p, VHOST_USER_SET_VRING_BASE, 1, 0), 0);
		break;
	default:
		peer_give_event(p, VHOST_USER_SET_VRING_KICK, 1);
	}
}

#define NEEDS 6

/* All orders: the lowest @left entries of @order are still to be placed. */
static void try_orders(struct peer *p, unsigned *order, unsigned left, unsigned *tried)
{
	for (unsigned i = 0; i < left; i++) {
		unsigned last = order[left - 1];

		order[left - 1] = order[i];
		order[i] = last;
		try_orders(p, order, left - 1, tried);
		order[i] = order[left - 1];
		order[left - 1] = last;
	}
	if (left)
		return;
	vu_session_free(p->session);
	p->session = vu_session_new(&p->dev, p->ours);
	for (unsigned i = 0; i < NEEDS; i++) {
		assert_false(vring_is_started(p->dev.queues[1].ring));
		give(p, order[i]);
	}
	assert_true(vring_is_started(p->dev.queues[1].ring));
	++*tried;
	peer_told(p);
}

static void starts_with_the_last_message_in_any_order(void **state)
{
	struct peer *p = *state;
	unsigned order[NEEDS] = { 0, 1, 2, 3, 4, 5 }, tried = 0;

	try_orders(p, order, NEEDS, &tried);
	assert_int_equal(tried, 720);
}

static void tells_the_port_of_a_start_once(void **state)
{
	struct peer *p = *state;

	for (unsigned i = 0; i < NEEDS; i++)
		give(p, i);
	assert_string_equal(peer_told(p), "features started:1");
}

static void ring_format_follows_the_features(void **state)
{
	struct peer *p = *state;

	peer_negotiate(p, PEER_F_PROTOCOL | PEER_BIT(VIRTIO_F_RING_PACKED), PEER_P_ALL);
	assert_int_equal(peer_set_table(p, PEER_MEM), 0);
	assert_int_equal(peer_set_state(p, VHOST_USER_SET_VRING_NUM, 0, 33), 0);
	assert_int_equal(peer_set_state(p, VHOST_USER_SET_VRING_BASE, 0, 0x80008000), 0);
	assert_int_equal(peer_set_addr(p, 0, false), 0);
	peer_give_event(p, VHOST_USER_SET_VRING_KICK, 0);
	assert_true(vring_is_started(p->dev.queues[0].ring));
}

static void size_that_is_no_power_of_two_is_refused_for_split(void **state)
{
	struct peer *p = *state;
	const uint64_t nofd = VU_VRING_NOFD;

	peer_negotiate(p, PEER_F_PROTOCOL, PEER_P_ALL);
	assert_int_equal(peer_set_table(p, PEER_MEM), 0);
	assert_int_equal(peer_set_state(p, VHOST_USER_SET_VRING_NUM, 0, 33), 0);
	assert_int_equal(peer_set_state(p, VHOST_USER_SET_VRING_BASE, 0, 0), 0);
	assert_int_equal(peer_set_addr(p, 0, false), 0);
	assert_int_equal(peer_set_u64(p, VHOST_USER_SET_VRING_KICK, nofd), -EINVAL);
	assert_string_equal(peer_told(p), "features");
}

static void ring_outside_of_memory_is_refused(void **state)
{
	struct peer *p = *state;
	struct vhost_vring_addr addr = peer_addr(0, false);
	int kick = eventfd(0, EFD_CLOEXEC);
	uint64_t index = 0;

	addr.used_user_addr = PEER_UVA + PEER_MEM - 4;
	peer_negotiate(p, PEER_F_PROTOCOL, PEER_P_ALL);
	assert_int_equal(peer_set_table(p, PEER_MEM), 0);
	assert_int_equal(peer_set_state(p, VHOST_USER_SET_VRING_NUM, 0, PEER_SIZE), 0);
	assert_int_equal(peer_set_state(p, VHOST_USER_SET_VRING_BASE, 0, 0), 0);
	assert_int_equal(peer_set(p, VHOST_USER_SET_VRING_ADDR, &addr, sizeof(addr)), 0);
	p->need_reply = true;
	assert_true(peer_set_fds(p, VHOST_USER_SET_VRING_KICK, &index, 8, &kick, 1) < 0);
	assert_string_equal(p->err.action, "carry out the front end's SET_VRING_KICK");
	fd_close(&kick);
}

/* ------------------------------------------------------------------ while running */

static void running_ring_keeps_size_base_and_addresses(void **state)
{
	struct peer *p = *state;
	struct vhost_vring_addr addr = peer_addr(0, false);

	peer_start_pair(p, 0);
	assert_int_equal(peer_set_state(p, VHOST_USER_SET_VRING_NUM, 0, 128), -EBUSY);
	assert_string_equal(p->err.reason, "the ring of queue 0 runs");
	assert_int_equal(peer_set_state(p, VHOST_USER_SET_VRING_BASE, 0, 1), -EBUSY);
	addr.avail_user_addr += 0x1000;
	assert_int_equal(peer_set(p, VHOST_USER_SET_VRING_ADDR, &addr, sizeof(addr)), -EBUSY);
	assert_int_equal(p->dev.queues[0].cfg.size, PEER_SIZE);
	assert_true(p->dev.queues[0].cfg.avail == peer_ring(0) + 0x2000);
}

static void kick_descriptor_is_replaced(void **state)
{
	struct peer *p = *state;
	uint64_t one = 1, got;
	int kick;

	peer_start_pair(p, 0);
	kick = peer_set_event(p, VHOST_USER_SET_VRING_KICK, 1);
	assert_string_equal(peer_told(p), "unkick:1 kick:1");
	assert_int_equal(write(kick, &one, sizeof(one)), 8);
	assert_int_equal(read(p->dev.queues[1].kick, &got, sizeof(got)), 8);
	fd_close(&kick);
	assert_int_equal(peer_set_u64(p, VHOST_USER_SET_VRING_KICK, 1 | VU_VRING_NOFD), 0);
	assert_string_equal(peer_told(p), "unkick:1");
	assert_true(p->dev.queues[1].polled && p->dev.queues[1].kick == -1);
	assert_true(vring_is_started(p->dev.queues[1].ring));
}

/* What was used before the descriptor came would be told to nobody, and never again. */
static void new_call_descriptor_of_a_running_ring_is_called(void **state)
{
	struct peer *p = *state;
	uint64_t got;
	int call;

	peer_negotiate(p, PEER_F_PROTOCOL, PEER_P_ALL);
	call = peer_set_event(p, VHOST_USER_SET_VRING_CALL, 0);
	assert_int_equal(read(call, &got, sizeof(got)), -1);
	fd_close(&call);
	assert_int_equal(peer_set_table(p, PEER_MEM), 0);
	peer_start(p, 0, 0);
	call = peer_set_event(p, VHOST_USER_SET_VRING_CALL, 0);
	assert_int_equal(read(call, &got, sizeof(got)), 8);
	fd_close(&call);
}

/* Writing to it would wait, or raise SIGPIPE. */
static void call_descriptor_that_nobody_reads_is_harmless(void **state)
{
	struct peer *p = *state;
	uint64_t index = 0;
	int fds[2];

	peer_start_pair(p, 0);
	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	fd_close(&fds[0]);
	assert_int_equal(peer_set_fds(p, VHOST_USER_SET_VRING_CALL, &index, 8, &fds[1], 1), 0);
	assert_true(fcntl(fds[1], F_GETFL) & O_NONBLOCK);
	fd_close(&fds[1]);
}

static void pipes_do_as_events(void **state)
{
	struct peer *p = *state;
	uint64_t index = 0, one = 0;
	int fds[2];

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	peer_start_pair(p, 0);
	assert_int_equal(peer_set_fds(p, VHOST_USER_SET_VRING_KICK, &index, 8, &fds[0], 1), 0);
	assert_int_equal(peer_set_fds(p, VHOST_USER_SET_VRING_CALL, &index, 8, &fds[1], 1), 0);
	assert_int_equal(read(fds[0], &one, sizeof(one)), 8);
	assert_true(one == 1);
	/* the wrong way round */
	assert_int_equal(peer_set_fds(p, VHOST_USER_SET_VRING_KICK, &index, 8, &fds[1], 1),
			 -EINVAL);
	assert_int_equal(peer_set_fds(p, VHOST_USER_SET_VRING_CALL, &index, 8, &fds[0], 1),
			 -EINVAL);
	fd_close(&fds[0]);
	fd_close(&fds[1]);
}

static void files_are_no_events(void **state)
{
	struct peer *p = *state;
	uint64_t index = 0;

	assert_int_equal(peer_set_fds(p, VHOST_USER_SET_VRING_KICK, &index, 8, &p->mem, 1),
			 -EINVAL);
	assert_string_equal(p->err.reason, "its descriptor is a file, not an event");
	assert_int_equal(peer_set_fds(p, VHOST_USER_SET_VRING_CALL, &index, 8, &p->mem, 1),
			 -EINVAL);
	assert_int_equal(peer_set_fds(p, VHOST_USER_SET_VRING_ERR, &index, 8, &p->mem, 1), -EINVAL);
}

static void descriptor_comes_as_the_flag_says(void **state)
{
	struct peer *p = *state;
	int fd = eventfd(0, EFD_CLOEXEC);
	uint64_t nofd = VU_VRING_NOFD;

	assert_int_equal(peer_set_u64(p, VHOST_USER_SET_VRING_KICK, 0), -EPROTO);
	assert_string_equal(p->err.reason, "a descriptor is missing");
	assert_int_equal(peer_set_fds(p, VHOST_USER_SET_VRING_KICK, &nofd, 8, &fd, 1), -EPROTO);
	assert_int_equal(peer_set_u64(p, VHOST_USER_SET_VRING_CALL, 0x200), -EPROTO);
	assert_int_equal(peer_set_u64(p, VHOST_USER_SET_VRING_CALL, nofd), 0);
	assert_int_equal(peer_set_u64(p, VHOST_USER_SET_VRING_ERR, nofd | 4), 0);
	fd_close(&fd);
}

static void refuses_queues_that_are_not_there(void **state)
{
	struct peer *p = *state;
	struct vhost_vring_addr addr = peer_addr(5, false);
	const uint64_t nofd = VU_VRING_NOFD | 5;

	assert_int_equal(peer_set_state(p, VHOST_USER_SET_VRING_NUM, 5, 64), -EINVAL);
	assert_string_equal(p->err.reason, "there is no queue 5, but 5 queues");
	assert_int_equal(peer_set_state(p, VHOST_USER_SET_VRING_NUM, UINT32_MAX, 64), -EINVAL);
	assert_int_equal(peer_set_state(p, VHOST_USER_SET_VRING_BASE, 5, 0), -EINVAL);
	assert_int_equal(peer_set_state(p, VHOST_USER_GET_VRING_BASE, 5, 0), -EINVAL);
	assert_int_equal(peer_set_state(p, VHOST_USER_SET_VRING_ENABLE, 5, 1), -EINVAL);
	assert_int_equal(peer_set_state(p, VHOST_USER_SET_VRING_ENDIAN, 5, 0), -EINVAL);
	assert_int_equal(peer_set(p, VHOST_USER_SET_VRING_ADDR, &addr, sizeof(addr)), -EINVAL);
	assert_int_equal(peer_set_u64(p, VHOST_USER_SET_VRING_KICK, nofd), -EINVAL);
	assert_int_equal(peer_set_u64(p, VHOST_USER_SET_VRING_CALL, nofd), -EINVAL);
	assert_int_equal(peer_set_u64(p, VHOST_USER_SET_VRING_ERR, nofd), -EINVAL);
}

static void refuses_sizes_that_cannot_be(void **state)
{
	struct peer *p = *state;

	assert_int_equal(peer_set_state(p, VHOST_USER_SET_VRING_NUM, 0, 0), -EINVAL);
	assert_int_equal(peer_set_state(p, VHOST_USER_SET_VRING_NUM, 0, 1025), -EINVAL);
	assert_string_equal(p->err.reason, "1025 descriptors for queue 0 are not within 1 to 1024");
	assert_int_equal(peer_set_state(p, VHOST_USER_SET_VRING_NUM, 0, 1024), 0);
}

static void host_byte_order_is_the_only_one(void **state)
{
	struct peer *p = *state;
	const uint32_t host = __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__;

	assert_int_equal(peer_set_state(p, VHOST_USER_SET_VRING_ENDIAN, 0, host), 0);
	assert_int_equal(peer_set_state(p, VHOST_USER_SET_VRING_ENDIAN, 0, !host), -ENOTSUP);
	assert_int_equal(peer_set_state(p, VHOST_USER_SET_VRING_ENDIAN, 0, 2), -ENOTSUP);
}

/* ---------------------------------------------------------------------- stopping */

static void get_base_stops_and_forgets_kick_and_call(void **state)
{
	struct peer *p = *state;

	peer_start_pair(p, 0);
	peer_give_event(p, VHOST_USER_SET_VRING_CALL, 0);
	peer_give_event(p, VHOST_USER_SET_VRING_ERR, 0);
	assert_int_equal(peer_base(p, 0), 0);
	assert_string_equal(peer_told(p), "stopping:0 unkick:0");
	assert_false(vring_is_started(p->dev.queues[0].ring));
	assert_true(vring_is_started(p->dev.queues[1].ring));
	assert_int_equal(p->dev.queues[0].kick, -1);
	assert_int_equal(p->dev.queues[0].call, -1);
	assert_true(p->dev.queues[0].err >= 0);
}

static void stopped_ring_starts_again_where_it_was(void **state)
{
	struct peer *p = *state;

	peer_negotiate(p, PEER_F_PROTOCOL, PEER_P_ALL);
	assert_int_equal(peer_set_table(p, PEER_MEM), 0);
	peer_start(p, 0, 0xfffe);
	assert_int_equal(peer_base(p, 0), 0xfffe);
	peer_give_event(p, VHOST_USER_SET_VRING_KICK, 0);
	assert_string_equal(peer_told(p), "features started:0 stopping:0 unkick:0 started:0");
	assert_int_equal(peer_base(p, 0), 0xfffe);
}

static void base_of_a_ring_that_never_ran_is_what_was_set(void **state)
{
	struct peer *p = *state;

	assert_int_equal(peer_base(p, 0), 0);
	assert_int_equal(peer_set_state(p, VHOST_USER_SET_VRING_BASE, 0, 77), 0);
	assert_int_equal(peer_base(p, 0), 77);
	assert_string_equal(peer_told(p), "");
}

/* virtio-user tells half of it, and would find the ring used a lap ago. */
static void packed_base_without_used_index_is_completed(void **state)
{
	struct peer *p = *state;

	peer_negotiate(p, PEER_F_PROTOCOL | PEER_BIT(VIRTIO_F_RING_PACKED), PEER_P_ALL);
	assert_int_equal(peer_set_table(p, PEER_MEM), 0);
	peer_start(p, 0, 0x8000);
	assert_int_equal(peer_base(p, 0), 0x80008000);
	peer_start(p, 0, 0x00050005);
	assert_int_equal(peer_base(p, 0), 0x00050005);
}

static void session_that_is_new_finds_the_device_as_in_the_beginning(void **state)
{
	struct peer *p = *state;

	peer_start_pair(p, 0);
	assert_int_equal(peer_set_state(p, VHOST_USER_SET_VRING_ENABLE, 1, 1), 0);
	peer_told(p);
	vu_session_free(p->session);
	p->session = vu_session_new(&p->dev, p->ours);
	assert_string_equal(peer_told(p), "stopping:0 unkick:0 stopping:1 unkick:1 disabled:1");
	assert_int_equal(mem_cnt(p->dev.mem), 0);
	assert_true(p->dev.features == 0 && p->dev.protocol == 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PEER_CASE(starts_with_the_last_message_in_any_order),
		PEER_CASE(tells_the_port_of_a_start_once),
		PEER_CASE(ring_format_follows_the_features),
		PEER_CASE(size_that_is_no_power_of_two_is_refused_for_split),
		PEER_CASE(ring_outside_of_memory_is_refused),
		PEER_CASE(running_ring_keeps_size_base_and_addresses),
		PEER_CASE(kick_descriptor_is_replaced),
		PEER_CASE(new_call_descriptor_of_a_running_ring_is_called),
		PEER_CASE(call_descriptor_that_nobody_reads_is_harmless),
		PEER_CASE(pipes_do_as_events),
		PEER_CASE(files_are_no_events),
		PEER_CASE(descriptor_comes_as_the_flag_says),
		PEER_CASE(refuses_queues_that_are_not_there),
		PEER_CASE(refuses_sizes_that_cannot_be),
		PEER_CASE(host_byte_order_is_the_only_one),
		PEER_CASE(get_base_stops_and_forgets_kick_and_call),
		PEER_CASE(stopped_ring_starts_again_where_it_was),
		PEER_CASE(base_of_a_ring_that_never_ran_is_what_was_set),
		PEER_CASE(packed_base_without_used_index_is_completed),
		PEER_CASE(session_that_is_new_finds_the_device_as_in_the_beginning),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
