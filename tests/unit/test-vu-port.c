/* SPDX-License-Identifier: MIT */
/* The vhost-user port as a whole: what front ends and guests do that is unusual, or hostile. */
#include "vu-port-test.h"

#define FULL (UINT64_MAX - 1)

/* rings */

static void carries_frames_both_ways(void **state)
{
	set_up(MODERN);
	for (unsigned i = 0; i < 8; i++)
		post(i, 2048);
	assert_int_equal(send_frames(5, NULL, 0), 5);
	assert_int_equal(reap(0), 5);
	for (unsigned i = 0; i < 4; i++)
		transmit(i, 12);
	kick(rig.kick[1]);
	dispatch();
	assert_int_equal(rig.got, 4);
	assert_int_equal(reap(1), 4);
}

/* cloud-hypervisor restores a guest so: the base is what is available, not what is used. */
static void takes_buffers_that_a_device_before_left_unused(void **state)
{
	negotiate(MODERN);
	for (unsigned i = 0; i < RING_SIZE; i++)
		post(i, 2048);
	start_ring(0, RING_SIZE);
	assert_int_equal(send_frames(RING_SIZE, NULL, 0), RING_SIZE);
	assert_int_equal(reap(0), RING_SIZE);
}

/* descriptors of the front end's */

static void sees_what_was_kicked_before_the_descriptor_changed(void **state)
{
	int other = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

	set_up(MODERN);
	send_event(VHOST_USER_SET_VRING_KICK, 1, other);
	transmit(0, 12);
	kick(rig.kick[1]);
	dispatch();
	assert_int_equal(rig.got, 1);
	close(other);
}

static void let_block(int fd)
{
	assert_int_equal(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK), 0);
}

/* Its flags are the front end's, too. */
static void a_call_descriptor_that_is_full_blocks_nobody(void **state)
{
	const uint64_t full = FULL;

	set_up(MODERN);
	post(0, 2048);
	let_block(rig.call[0]);
	assert_int_equal(write(rig.call[0], &full, sizeof(full)), sizeof(full));
	alarm(10);
	assert_int_equal(send_frames(1, NULL, 0), 1);
	alarm(0);
	assert_int_equal(reap(0), 1);
}

/* The first of the two to be read leaves nothing for the other. */
static void a_kick_descriptor_of_two_queues_blocks_nobody(void **state)
{
	set_up(MODERN);
	send_event(VHOST_USER_SET_VRING_KICK, 0, rig.kick[1]);
	dispatch();
	let_block(rig.kick[1]);
	transmit(0, 12);
	kick(rig.kick[1]);
	alarm(10);
	dispatch();
	alarm(0);
	assert_int_equal(rig.got, 1);
}

/* memory */

/* cmocka has a handler of its own for SIGBUS, for the time of each test. */
static struct sigaction guard;

/* Of the buffers alone, and nothing comes from the guest. */
static void notices_that_receive_buffers_are_gone(void **state)
{
	struct sigaction old;

	set_up(MODERN);
	for (unsigned i = 0; i < 4; i++)
		post(i, 2048);
	assert_int_equal(ftruncate(rig.memfd, BUFS_AT), 0);
	sigaction(SIGBUS, &guard, &old);
	send_frames(1, NULL, 0);
	dispatch();
	sigaction(SIGBUS, &old, NULL);
	assert_true(session_ended());
}

/* the virtio-net header */

static uint8_t received_flags(uint64_t features)
{
	set_up(features);
	post(0, 2048);
	assert_int_equal(send_frames(1, NULL, VMTAP_HDR_DATA_VALID), 1);
	assert_int_equal(reap(0), 1);
	return rig.mem[buf_at(0)];
}

static void says_nothing_of_checksums_to_a_guest_that_does_not_know_of_them(void **state)
{
	assert_int_equal(received_flags(MODERN), 0);
}

static void says_to_others_that_a_checksum_is_right(void **state)
{
	assert_int_equal(received_flags(MODERN | BIT(VIRTIO_NET_F_CSUM) |
					BIT(VIRTIO_NET_F_GUEST_CSUM)),
			 VMTAP_HDR_DATA_VALID);
}

/* pausing */

/* While the application has the first burst, the guest has more. */
static void pause_port(void)
{
	if (rig.got > 4)
		return;
	vmtap_port_set_poll(rig.vu, false);
	for (unsigned i = 4; i < 8; i++)
		transmit(i, 12);
}

static void a_port_paused_in_the_middle_takes_nothing_more_from_the_guest(void **state)
{
	set_up(MODERN);
	for (unsigned i = 0; i < 4; i++)
		transmit(i, 12);
	rig.in_frames = pause_port;
	kick(rig.kick[1]);
	dispatch();
	assert_int_equal(rig.got, 4);
	vmtap_port_set_poll(rig.vu, true);
	dispatch();
	assert_int_equal(rig.got, 8);
	assert_int_equal(reap(1), 8);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, rig_open, rig_close)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(carries_frames_both_ways),
		CASE(takes_buffers_that_a_device_before_left_unused),
		CASE(sees_what_was_kicked_before_the_descriptor_changed),
		CASE(a_call_descriptor_that_is_full_blocks_nobody),
		CASE(a_kick_descriptor_of_two_queues_blocks_nobody),
		CASE(notices_that_receive_buffers_are_gone),
		CASE(says_nothing_of_checksums_to_a_guest_that_does_not_know_of_them),
		CASE(says_to_others_that_a_checksum_is_right),
		CASE(a_port_paused_in_the_middle_takes_nothing_more_from_the_guest),
	};

	rig_open(NULL);
	set_up(MODERN);
	sigaction(SIGBUS, NULL, &guard);
	rig_close(NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
