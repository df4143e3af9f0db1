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

/* queue pairs */

static void expect_pairs(const char *text)
{
	char buf[256];

	vmtap_port_describe(rig.vu, buf, sizeof(buf));
	assert_non_null(strstr(buf, text));
}

static void set_up_pairs(void)
{
	negotiate(MODERN | BIT(VIRTIO_NET_F_CTRL_VQ) | BIT(VIRTIO_NET_F_MQ));
	for (unsigned i = 0; i < 4; i++)
		start_ring(i, 0);
}

/* It acknowledges the feature, and keeps the queue to itself. */
static void pairs_are_those_enabled_when_the_front_end_has_the_control_queue(void **state)
{
	set_up_pairs();
	expect_pairs("2 of 2 queue pairs");
	send_state(VHOST_USER_SET_VRING_ENABLE, 2, 0);
	dispatch();
	expect_pairs("1 of 2 queue pairs");
}

static void pairs_are_those_that_the_guest_asked_for(void **state)
{
	set_up_pairs();
	start_ring(4, 0);
	expect_pairs("1 of 2 queue pairs");
	assert_int_equal(command("\x04\x00\x02\x00", 4), VIRTIO_NET_OK);
	expect_pairs("2 of 2 queue pairs");
}

/* the address */

static const uint8_t mac_a[6] = { 2, 0, 0, 0, 0, 0xa }, mac_b[6] = { 2, 0, 0, 0, 0, 0xb };

static void set_config_mac(const uint8_t mac[6])
{
	struct vu_config c = { .size = 6 };

	memcpy(c.payload, mac, 6);
	send_msg(VHOST_USER_SET_CONFIG, &c, 12 + 6, -1);
	dispatch();
}

static unsigned received(const uint8_t *mac)
{
	send_frames(1, mac, 0);
	return reap(0);
}

/* A legacy driver writes it into the configuration; commands come before and after. */
static void an_address_in_the_configuration_counts_for_the_filter(void **state)
{
	set_up(BIT(VHOST_USER_F_PROTOCOL_FEATURES) | BIT(VIRTIO_NET_F_CTRL_VQ) |
	       BIT(VIRTIO_NET_F_CTRL_RX));
	for (unsigned i = 0; i < 8; i++)
		post(i, 2048);
	set_config_mac(mac_a);
	assert_int_equal(command("\x00\x00\x00", 3), VIRTIO_NET_OK); /* not promiscuous */
	assert_int_equal(received(mac_a), 1);
	assert_int_equal(received(mac_b), 0);
	set_config_mac(mac_b);
	assert_int_equal(received(mac_a), 0);
	assert_int_equal(received(mac_b), 1);
}

/* The link and announcement bits that a guest reads. */
static unsigned config_status(void)
{
	struct vu_config c = { .offset = 6, .size = 2 };
	struct {
		struct vu_hdr hdr;
		uint8_t body[14];
	} reply;

	send_msg(VHOST_USER_GET_CONFIG, &c, sizeof(reply.body), -1);
	dispatch();
	assert_int_equal(recv(rig.sock, &reply, sizeof(reply), MSG_DONTWAIT), 12 + 14);
	return reply.body[12] | (unsigned)reply.body[13] << 8;
}

static void announce(void)
{
	send_u64(VHOST_USER_SEND_RARP, 0);
	dispatch();
}

static void a_guest_that_can_announce_itself_is_asked_to(void **state)
{
	set_up(MODERN | BIT(VIRTIO_NET_F_CTRL_VQ) | BIT(VIRTIO_NET_F_STATUS) |
	       BIT(VIRTIO_NET_F_GUEST_ANNOUNCE));
	assert_int_equal(config_status(), VIRTIO_NET_S_LINK_UP);
	announce();
	assert_int_equal(config_status(), VIRTIO_NET_S_LINK_UP | VIRTIO_NET_S_ANNOUNCE);
	assert_int_equal(command("\x03\x00", 2), VIRTIO_NET_OK); /* it did */
	assert_int_equal(config_status(), VIRTIO_NET_S_LINK_UP);
	assert_int_equal(rig.got, 1); /* RARP is for the network in any case */
}

static void a_guest_that_cannot_announce_itself_is_not_asked(void **state)
{
	set_up(MODERN | BIT(VIRTIO_NET_F_CTRL_VQ) | BIT(VIRTIO_NET_F_STATUS));
	announce();
	assert_int_equal(config_status(), VIRTIO_NET_S_LINK_UP);
	assert_int_equal(command("\x03\x00", 2), VIRTIO_NET_ERR);
}

/* Front ends come and go; @dir gets a folder with the port's socket in it. */
static void open_server(char *dir)
{
	char spec[96];

	assert_non_null(mkdtemp(dir));
	snprintf(spec, sizeof(spec), "vhost-user,server=on,path=%s/s", dir);
	vmtap_port_close(rig.vu);
	rig.vu = vmtap_port_open(rig.v, spec, NULL);
	assert_non_null(rig.vu);
	assert_non_null(vmtap_link_new(rig.v, rig.vu, rig.app, NULL));
}

static void connect_again(const char *dir)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };

	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s/s", dir);
	close(rig.sock);
	rig.sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(rig.sock, (void *)&sun, sizeof(sun)), 0);
	dispatch();
}

static void get_config_mac(uint8_t mac[6])
{
	struct vu_config c = { .size = 6 };
	uint8_t reply[sizeof(struct vu_hdr) + 12 + 6];

	send_msg(VHOST_USER_GET_CONFIG, &c, 12 + 6, -1);
	dispatch();
	assert_int_equal(recv(rig.sock, reply, sizeof(reply), MSG_DONTWAIT), sizeof(reply));
	memcpy(mac, reply + sizeof(reply) - 6, 6);
}

static void an_address_goes_with_the_guest_that_set_it(void **state)
{
	static const uint8_t none[6];
	char dir[] = "/tmp/vu-port-XXXXXX";
	uint8_t mac[6];

	open_server(dir);
	connect_again(dir);
	negotiate(BIT(VHOST_USER_F_PROTOCOL_FEATURES));
	set_config_mac(mac_a);
	get_config_mac(mac);
	assert_memory_equal(mac, mac_a, 6);
	connect_again(dir);
	dispatch();
	negotiate(BIT(VHOST_USER_F_PROTOCOL_FEATURES));
	get_config_mac(mac);
	assert_memory_equal(mac, none, 6);
	vmtap_port_close(rig.vu);
	assert_int_equal(rmdir(dir), 0);
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

/* A frame of which the front end has cut off all but the beginning. */
static void transmit_half_a_frame(void)
{
	const struct vq_buf b = { .gpa = BUFS_AT - 512, .len = 12 + 3000 };

	memset(rig.mem + b.gpa, 0, b.len);
	assert_true(vq_add(&rig.q[1], &b, 1, 0, 0));
	assert_int_equal(ftruncate(rig.memfd, BUFS_AT), 0);
	kick(rig.kick[1]);
}

/* Link the port to another one in place of the application. */
static struct vmtap_port *link_to(const char *spec)
{
	struct vmtap_port *p = vmtap_port_open(rig.v, spec, NULL);

	assert_non_null(p);
	vmtap_port_close(rig.app);
	rig.app = NULL;
	assert_non_null(vmtap_link_new(rig.v, rig.vu, p, NULL));
	return p;
}

/* The kernel, which reads it for the peer's socket, says EFAULT. */
static void expect_harm_to_its_port_only(const char *kind, int type)
{
	struct sigaction old;
	struct vmtap_port *peer;
	uint8_t bytes[4096];
	char spec[64];
	int pair[2];

	assert_int_equal(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, pair), 0);
	snprintf(spec, sizeof(spec), "%s,fd=%d", kind, pair[1]);
	peer = link_to(spec);
	set_up(MODERN);
	sigaction(SIGBUS, &guard, &old);
	transmit_half_a_frame();
	dispatch();
	sigaction(SIGBUS, &old, NULL);
	assert_true(session_ended());
	assert_int_equal(stats_of(peer).tx.drops[VMTAP_DROP_PEER_GONE], 0);
	assert_int_equal(recv(pair[0], bytes, sizeof(bytes), MSG_DONTWAIT),
			 type == SOCK_STREAM ? 4 + 3000 : 3000);
	close(pair[0]);
}

static void memory_that_goes_does_not_break_a_stream(void **state)
{
	expect_harm_to_its_port_only("stream", SOCK_STREAM);
}

static void memory_that_goes_does_not_break_a_dgram(void **state)
{
	expect_harm_to_its_port_only("dgram", SOCK_DGRAM);
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

static unsigned waiting;

static void offer_rest(void)
{
	waiting -= send_frames(waiting, NULL, 0);
}

/* Rings pause for it; frames that wait for buffers wait on. */
static void new_memory_drops_no_frame_that_waits(void **state)
{
	set_up(MODERN);
	post(0, 2048);
	post(1, 2048);
	waiting = 5 - send_frames(5, NULL, 0);
	assert_int_equal(waiting, 3);
	rig.writable = offer_rest;
	share_memory();
	dispatch();
	assert_int_equal(waiting, 3);
	for (unsigned i = 2; i < 5; i++)
		post(i, 2048);
	kick(rig.kick[0]);
	dispatch();
	assert_int_equal(waiting, 0);
	assert_int_equal(reap(0), 5);
	assert_int_equal(stats_of(rig.vu).tx.drops[VMTAP_DROP_PEER_GONE], 0);
}

/* They wait for nobody then. */
static void a_disabled_ring_drops_frames_that_wait(void **state)
{
	set_up(MODERN);
	waiting = 5 - send_frames(5, NULL, 0);
	assert_int_equal(waiting, 5);
	rig.writable = offer_rest;
	send_state(VHOST_USER_SET_VRING_ENABLE, 0, 0);
	dispatch();
	assert_int_equal(waiting, 0);
	assert_int_equal(stats_of(rig.vu).tx.drops[VMTAP_DROP_PEER_GONE], 5);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, rig_open, rig_close)
#define PAIRS(f) cmocka_unit_test_setup_teardown(f, rig_open2, rig_close)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(carries_frames_both_ways),
		CASE(takes_buffers_that_a_device_before_left_unused),
		PAIRS(pairs_are_those_enabled_when_the_front_end_has_the_control_queue),
		PAIRS(pairs_are_those_that_the_guest_asked_for),
		CASE(an_address_in_the_configuration_counts_for_the_filter),
		CASE(a_guest_that_can_announce_itself_is_asked_to),
		CASE(a_guest_that_cannot_announce_itself_is_not_asked),
		CASE(an_address_goes_with_the_guest_that_set_it),
		CASE(sees_what_was_kicked_before_the_descriptor_changed),
		CASE(a_call_descriptor_that_is_full_blocks_nobody),
		CASE(a_kick_descriptor_of_two_queues_blocks_nobody),
		CASE(notices_that_receive_buffers_are_gone),
		CASE(memory_that_goes_does_not_break_a_stream),
		CASE(memory_that_goes_does_not_break_a_dgram),
		CASE(says_nothing_of_checksums_to_a_guest_that_does_not_know_of_them),
		CASE(says_to_others_that_a_checksum_is_right),
		CASE(new_memory_drops_no_frame_that_waits),
		CASE(a_disabled_ring_drops_frames_that_wait),
		CASE(a_port_paused_in_the_middle_takes_nothing_more_from_the_guest),
	};

	rig_open(NULL);
	set_up(MODERN);
	sigaction(SIGBUS, NULL, &guard);
	rig_close(NULL);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
