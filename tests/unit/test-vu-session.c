/* SPDX-License-Identifier: MIT */
/* Tests of port/vu/session*.c: each request, what it changes, and what is refused. */
#include "unit.h"

#include "vu-peer.h"

/* ------------------------------------------------------------ form and answers */

static void refuses_unknown_request(void **state)
{
	struct peer *p = *state;

	assert_int_equal(peer_set(p, 77, NULL, 0), -ENOTSUP);
	assert_string_equal(p->err.object, "vhost-user vm0");
	assert_string_equal(p->err.action, "carry out the front end's request 77");
	assert_string_equal(p->err.reason, "there is no such request");
}

static void refuses_what_was_not_offered(void **state)
{
	struct peer *p = *state;
	static const uint32_t requests[] = {
		VHOST_USER_IOTLB_MSG,		VHOST_USER_CREATE_CRYPTO_SESSION,
		VHOST_USER_POSTCOPY_ADVISE,	VHOST_USER_POSTCOPY_LISTEN,
		VHOST_USER_POSTCOPY_END,	VHOST_USER_GPU_SET_SOCKET,
		VHOST_USER_VRING_KICK,		VHOST_USER_GET_SHARED_OBJECT,
		VHOST_USER_SET_DEVICE_STATE_FD,
	};

	peer_negotiate(p, PEER_F_PROTOCOL, PEER_P_ALL);
	p->need_reply = true;
	for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++)
		assert_int_equal(peer_set_u64(p, requests[i], 0), -ENOTSUP);
	assert_string_equal(p->err.action, "carry out the front end's SET_DEVICE_STATE_FD");
}

static void refuses_what_was_not_acknowledged(void **state)
{
	struct peer *p = *state;

	peer_negotiate(p, PEER_F_PROTOCOL, 0);
	assert_int_equal(peer_set_region(p, VHOST_USER_ADD_MEM_REG, 0, PEER_MEM), -EPROTO);
	assert_int_equal(peer_set_u64(p, VHOST_USER_SET_STATUS, 1), -EPROTO);
	assert_int_equal(peer_set(p, VHOST_USER_GET_STATUS, NULL, 0), -EPROTO);
	assert_int_equal(peer_set(p, VHOST_USER_GET_CONFIG, NULL, 0), -EPROTO);
}

static void refuses_wrong_sizes(void **state)
{
	struct peer *p = *state;

	assert_int_equal(peer_set(p, VHOST_USER_SET_FEATURES, "1234567", 7), -EPROTO);
	assert_string_equal(p->err.action, "carry out the front end's SET_FEATURES");
	assert_string_equal(p->err.reason, "its payload has 7 bytes instead of 8");
	assert_int_equal(peer_set(p, VHOST_USER_GET_FEATURES, "12345678", 8), -EPROTO);
	assert_int_equal(peer_set(p, VHOST_USER_SET_VRING_ADDR, "12345678", 8), -EPROTO);
}

static void refuses_wrong_number_of_descriptors(void **state)
{
	struct peer *p = *state;
	uint64_t value = 0;

	assert_int_equal(peer_set_fds(p, VHOST_USER_SET_FEATURES, &value, 8, &p->mem, 1), -EPROTO);
	assert_int_equal(peer_set(p, VHOST_USER_SET_BACKEND_REQ_FD, NULL, 0), -EPROTO);
	assert_int_equal(peer_set(p, VHOST_USER_SET_LOG_FD, NULL, 0), -EPROTO);
}

static void acknowledges_what_asks(void **state)
{
	struct peer *p = *state;

	peer_negotiate(p, PEER_F_PROTOCOL, PEER_P_ALL);
	p->need_reply = true;
	assert_int_equal(peer_set(p, VHOST_USER_SET_OWNER, NULL, 0), 0);
	assert_true(p->reply.body.u64 == 0);
	assert_int_equal(peer_set_table(p, PEER_MEM), 0);
	assert_true(p->reply.body.u64 == 0);
	assert_int_equal(peer_set_state(p, VHOST_USER_SET_VRING_NUM, 99, 64), -EINVAL);
	assert_true(p->reply.body.u64 != 0);
}

static void acknowledges_only_when_negotiated(void **state)
{
	struct peer *p = *state;

	peer_send(p, VHOST_USER_SET_OWNER, VU_NEED_REPLY, NULL, 0, NULL, 0);
	assert_int_equal(peer_run(p), 0);
	assert_false(peer_read_reply(p));
}

static void reply_is_not_acknowledged_as_well(void **state)
{
	struct peer *p = *state;

	peer_negotiate(p, PEER_F_PROTOCOL, PEER_P_ALL);
	peer_send(p, VHOST_USER_GET_FEATURES, VU_NEED_REPLY, NULL, 0, NULL, 0);
	assert_int_equal(peer_run(p), 0);
	assert_true(peer_read_reply(p));
	assert_true(p->reply.body.u64 == PEER_OFFERED);
	assert_false(peer_read_reply(p));
}

static void unread_replies_end_the_session(void **state)
{
	struct peer *p = *state;
	int ret;

	do {
		peer_send(p, VHOST_USER_GET_FEATURES, 0, NULL, 0, NULL, 0);
		ret = peer_run(p);
	} while (ret == 0);
	assert_int_equal(ret, -ENOBUFS);
	assert_string_equal(p->err.reason, "the front end does not read the replies");
}

static void at_most_64_messages_a_run(void **state)
{
	struct peer *p = *state;

	for (unsigned i = 0; i < 65; i++)
		peer_send(p, VHOST_USER_SET_OWNER, 0, NULL, 0, NULL, 0);
	peer_send(p, 77, 0, NULL, 0, NULL, 0);
	assert_int_equal(peer_run(p), 0);
	assert_int_equal(peer_run(p), -ENOTSUP);
}

static void notices_that_the_front_end_is_gone(void **state)
{
	struct peer *p = *state;

	fd_close(&p->theirs);
	assert_int_equal(peer_run(p), -EPIPE);
}

/* ------------------------------------------------------------------- features */

static void offers_what_the_device_offers(void **state)
{
	struct peer *p = *state;

	assert_true(peer_get_u64(p, VHOST_USER_GET_FEATURES) == PEER_OFFERED);
	assert_true(peer_get_u64(p, VHOST_USER_GET_PROTOCOL_FEATURES) == PEER_P_ALL);
	assert_int_equal(peer_get_u64(p, VHOST_USER_GET_QUEUE_NUM), 2);
}

static void refuses_features_that_were_not_offered(void **state)
{
	struct peer *p = *state;

	assert_int_equal(peer_set_u64(p, VHOST_USER_SET_FEATURES, PEER_BIT(5)), -EINVAL);
	assert_string_equal(p->err.reason, "0x20 were not offered");
	assert_int_equal(peer_set_u64(p, VHOST_USER_SET_PROTOCOL_FEATURES,
				      PEER_P(INBAND_NOTIFICATIONS)),
			 -EINVAL);
}

static void features_change_when_no_ring_runs(void **state)
{
	struct peer *p = *state;
	const uint64_t features = PEER_F_PROTOCOL | PEER_BIT(VIRTIO_F_VERSION_1);

	peer_start_pair(p, features);
	assert_int_equal(peer_set_u64(p, VHOST_USER_SET_FEATURES, features), 0);
	assert_string_equal(peer_told(p), "");
	assert_int_equal(peer_set_u64(p, VHOST_USER_SET_FEATURES, PEER_F_PROTOCOL), -EBUSY);
	peer_base(p, 0);
	peer_base(p, 1);
	peer_told(p);
	assert_int_equal(peer_set_u64(p, VHOST_USER_SET_FEATURES, PEER_F_PROTOCOL), 0);
	assert_string_equal(peer_told(p), "features");
}

static void logging_is_switched_while_rings_run(void **state)
{
	struct peer *p = *state;

	peer_start_pair(p, 0);
	assert_false(mem_is_logging(p->dev.mem));
	assert_int_equal(peer_set_u64(p, VHOST_USER_SET_FEATURES, PEER_F_PROTOCOL | PEER_F_LOG), 0);
	assert_true(vu_dev_has(&p->dev, VHOST_F_LOG_ALL));
	assert_int_equal(peer_set_addr(p, 0, true), 0);
	assert_true(p->dev.queues[0].cfg.log_used);
	assert_int_equal(peer_set_addr(p, 0, false), 0);
	assert_false(p->dev.queues[0].cfg.log_used);
	assert_int_equal(peer_set_u64(p, VHOST_USER_SET_FEATURES, PEER_F_PROTOCOL), 0);
	assert_false(mem_is_logging(p->dev.mem));
	assert_string_equal(peer_told(p), "");
}

static void rings_are_enabled_without_protocol_features(void **state)
{
	struct peer *p = *state;

	assert_int_equal(peer_set_u64(p, VHOST_USER_SET_FEATURES, 0), 0);
	assert_string_equal(peer_told(p),
			    "features enabled:0 enabled:1 enabled:2 enabled:3 enabled:4");
}

static void rings_are_enabled_by_message(void **state)
{
	struct peer *p = *state;

	assert_int_equal(peer_set_state(p, VHOST_USER_SET_VRING_ENABLE, 1, 1), 0);
	assert_string_equal(peer_told(p), "enabled:1");
	peer_negotiate(p, PEER_F_PROTOCOL, 0);
	assert_string_equal(peer_told(p), "features");
	assert_int_equal(peer_set_state(p, VHOST_USER_SET_VRING_ENABLE, 1, 0), 0);
	assert_string_equal(peer_told(p), "disabled:1");
	assert_int_equal(peer_set_state(p, VHOST_USER_SET_VRING_ENABLE, 1, 2), -EINVAL);
}

static void owner_reset_disables_rings(void **state)
{
	struct peer *p = *state;

	peer_negotiate(p, PEER_F_PROTOCOL, 0);
	assert_int_equal(peer_set_state(p, VHOST_USER_SET_VRING_ENABLE, 0, 1), 0);
	peer_told(p);
	assert_int_equal(peer_set(p, VHOST_USER_RESET_OWNER, NULL, 0), 0);
	assert_string_equal(peer_told(p), "disabled:0");
}

static void reset_stops_rings_and_keeps_the_memory(void **state)
{
	struct peer *p = *state;

	peer_start_pair(p, 0);
	assert_int_equal(peer_set_state(p, VHOST_USER_SET_VRING_ENABLE, 0, 1), 0);
	peer_told(p);
	assert_int_equal(peer_set(p, VHOST_USER_RESET_DEVICE, NULL, 0), 0);
	assert_string_equal(peer_told(p), "stopping:0 unkick:0 disabled:0 stopping:1 unkick:1");
	assert_true(p->dev.features == 0 && p->dev.protocol == PEER_P_ALL);
	assert_int_equal(mem_cnt(p->dev.mem), 1);
	assert_int_equal(peer_set_u64(p, VHOST_USER_SET_FEATURES, PEER_F_PROTOCOL), 0);
	peer_start(p, 0, 3);
}

static void status_is_kept_and_zero_resets(void **state)
{
	struct peer *p = *state;

	peer_start_pair(p, 0);
	assert_int_equal(peer_get_u64(p, VHOST_USER_GET_STATUS), 0);
	assert_int_equal(peer_set_u64(p, VHOST_USER_SET_STATUS, 15), 0);
	assert_int_equal(peer_get_u64(p, VHOST_USER_GET_STATUS), 15);
	assert_string_equal(peer_told(p), "");
	assert_int_equal(peer_set_u64(p, VHOST_USER_SET_STATUS, 256), -EINVAL);
	assert_int_equal(peer_set_u64(p, VHOST_USER_SET_STATUS, 0), 0);
	assert_string_equal(peer_told(p), "stopping:0 unkick:0 stopping:1 unkick:1");
}

/* ----------------------------------------------------------------- the network */

static void asks_the_port_about_the_mtu(void **state)
{
	struct peer *p = *state;

	peer_negotiate(p, PEER_F_PROTOCOL, PEER_P_ALL);
	p->need_reply = true;
	assert_int_equal(peer_set_u64(p, VHOST_USER_NET_SET_MTU, 1500), 0);
	assert_true(p->reply.body.u64 == 0);
	assert_int_equal(peer_set_u64(p, VHOST_USER_NET_SET_MTU, 9001), 0);
	assert_true(p->reply.body.u64 != 0);
	assert_int_equal(peer_set_u64(p, VHOST_USER_NET_SET_MTU, 0x10000 + 1500), 0);
	assert_true(p->reply.body.u64 != 0);
	assert_string_equal(peer_told(p), "features mtu:1500 mtu:9001");
}

static void impossible_mtu_ends_a_session_that_does_not_ask(void **state)
{
	struct peer *p = *state;

	assert_int_equal(peer_set_u64(p, VHOST_USER_NET_SET_MTU, 9001), -EINVAL);
}

/* Whoever asks for the number of queues then takes it for queues or for pairs. */
static void one_pair_does_without_the_number_of_queues(void **state)
{
	struct peer *p = *state;

	assert_true(peer_get_u64(p, VHOST_USER_GET_PROTOCOL_FEATURES) & PEER_P(MQ));
	p->dev.pairs = 1;
	assert_false(peer_get_u64(p, VHOST_USER_GET_PROTOCOL_FEATURES) & PEER_P(MQ));
	assert_int_equal(peer_set_u64(p, VHOST_USER_SET_PROTOCOL_FEATURES, PEER_P(MQ)), -EINVAL);
	p->dev.pairs = 2;
}

static void announces_the_mac_that_came(void **state)
{
	struct peer *p = *state;
	uint8_t mac[8] = { 0x52, 0x54, 0, 0, 0, 7, 0xff, 0xff };

	assert_int_equal(peer_set(p, VHOST_USER_SEND_RARP, mac, sizeof(mac)), 0);
	assert_string_equal(peer_told(p), "announce:7");
}

static int set_config(struct peer *p, uint32_t offset, uint32_t flags, const char *bytes)
{
	struct vu_config c = { offset, (uint32_t)strlen(bytes), flags, { 0 } };

	memcpy(c.payload, bytes, c.size);
	return peer_set(p, VHOST_USER_SET_CONFIG, &c, 12 + c.size);
}

static void get_config(struct peer *p, uint32_t offset, uint32_t size)
{
	const struct vu_config c = { .offset = offset, .size = size };

	peer_get(p, VHOST_USER_GET_CONFIG, &c, 12 + size);
}

static void reads_the_configuration(void **state)
{
	struct peer *p = *state;

	memcpy(p->dev.config, "abcdefghijklmnopqrstuvwx", VU_CONFIG_SIZE);
	peer_negotiate(p, PEER_F_PROTOCOL, PEER_P_ALL);
	get_config(p, 22, 2);
	assert_int_equal(p->reply.hdr.size, 12 + 2);
	assert_int_equal(p->reply.body.config.offset, 22);
	assert_int_equal(p->reply.body.config.size, 2);
	assert_memory_equal(p->reply.body.config.payload, "wx", 2);
}

static void reading_beyond_the_configuration_gets_an_empty_reply(void **state)
{
	struct peer *p = *state;

	peer_negotiate(p, PEER_F_PROTOCOL, PEER_P_ALL);
	get_config(p, 23, 2);
	assert_int_equal(p->reply.hdr.size, 0);
	get_config(p, UINT32_MAX, 1);
	assert_int_equal(p->reply.hdr.size, 0);
	get_config(p, 0, VU_CONFIG_PAYLOAD_MAX);
	assert_int_equal(p->reply.hdr.size, 0);
}

static void refuses_configuration_of_wrong_size(void **state)
{
	struct peer *p = *state;
	const struct vu_config c = { .offset = 0, .size = 24 };

	peer_negotiate(p, PEER_F_PROTOCOL, PEER_P_ALL);
	peer_send(p, VHOST_USER_GET_CONFIG, 0, &c, 12 + 23, NULL, 0);
	assert_int_equal(peer_run(p), -EPROTO);
	peer_send(p, VHOST_USER_GET_CONFIG, 0, &c, 11, NULL, 0);
	assert_int_equal(peer_run(p), -EPROTO);
}

static void modern_configuration_is_read_only(void **state)
{
	struct peer *p = *state;

	peer_negotiate(p, PEER_F_PROTOCOL | PEER_BIT(VIRTIO_F_VERSION_1), PEER_P_ALL);
	assert_int_equal(set_config(p, 0, VU_CONFIG_WRITABLE, "abcdef"), -EPERM);
	assert_int_equal(p->dev.config[0], 0);
}

static void legacy_driver_writes_the_mac_and_nothing_else(void **state)
{
	struct peer *p = *state;

	peer_negotiate(p, PEER_F_PROTOCOL, PEER_P_ALL);
	assert_int_equal(set_config(p, 0, VU_CONFIG_WRITABLE, "abcdef"), 0);
	assert_memory_equal(p->dev.config, "abcdef", 7);
	assert_int_equal(set_config(p, 5, VU_CONFIG_WRITABLE, "xy"), -EPERM);
	assert_int_equal(set_config(p, 6, VU_CONFIG_WRITABLE, "x"), -EPERM);
	assert_int_equal(set_config(p, 23, VU_CONFIG_WRITABLE, "xy"), -EINVAL);
	assert_int_equal(set_config(p, 0, 2, "x"), -EINVAL);
	assert_memory_equal(p->dev.config, "abcdef", 7);
}

static void migration_brings_the_mac(void **state)
{
	struct peer *p = *state;

	p->dev.config[8] = 2;
	peer_negotiate(p, PEER_F_PROTOCOL | PEER_BIT(VIRTIO_F_VERSION_1), PEER_P_ALL);
	assert_int_equal(set_config(p, 0, VU_CONFIG_MIGRATION, "abcdefghijkl"), 0);
	assert_memory_equal(p->dev.config, "abcdef\0\0\2", 9);
}

static void tells_configuration_changes(void **state)
{
	struct peer *p = *state;
	struct vu_hdr hdr;
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	peer_negotiate(p, PEER_F_PROTOCOL, PEER_P_ALL & ~PEER_P(CONFIG));
	assert_int_equal(peer_set_fds(p, VHOST_USER_SET_BACKEND_REQ_FD, NULL, 0, &fds[1], 1), 0);
	fd_close(&fds[1]);
	vu_session_config_changed(p->session);
	assert_int_equal(recv(fds[0], &hdr, sizeof(hdr), MSG_DONTWAIT), -1);
	peer_negotiate(p, PEER_F_PROTOCOL, PEER_P_ALL);
	vu_session_config_changed(p->session);
	assert_int_equal(recv(fds[0], &hdr, sizeof(hdr), MSG_DONTWAIT), sizeof(hdr));
	assert_int_equal(hdr.request, VHOST_USER_BACKEND_CONFIG_CHANGE_MSG);
	assert_int_equal(hdr.flags, VU_VERSION);
	assert_int_equal(hdr.size, 0);
	for (unsigned i = 0; i < 10000; i++)
		vu_session_config_changed(p->session); /* full: does not wait */
	fd_close(&fds[0]);
	vu_session_config_changed(p->session); /* gone: no signal */
}

static void channel_is_a_socket(void **state)
{
	struct peer *p = *state;

	assert_int_equal(peer_set_fds(p, VHOST_USER_SET_BACKEND_REQ_FD, NULL, 0, &p->mem, 1),
			 -ENOTSOCK);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PEER_CASE(refuses_unknown_request),
		PEER_CASE(refuses_what_was_not_offered),
		PEER_CASE(refuses_what_was_not_acknowledged),
		PEER_CASE(refuses_wrong_sizes),
		PEER_CASE(refuses_wrong_number_of_descriptors),
		PEER_CASE(acknowledges_what_asks),
		PEER_CASE(acknowledges_only_when_negotiated),
		PEER_CASE(reply_is_not_acknowledged_as_well),
		PEER_CASE(unread_replies_end_the_session),
		PEER_CASE(at_most_64_messages_a_run),
		PEER_CASE(notices_that_the_front_end_is_gone),
		PEER_CASE(offers_what_the_device_offers),
		PEER_CASE(refuses_features_that_were_not_offered),
		PEER_CASE(features_change_when_no_ring_runs),
		PEER_CASE(logging_is_switched_while_rings_run),
		PEER_CASE(rings_are_enabled_without_protocol_features),
		PEER_CASE(rings_are_enabled_by_message),
		PEER_CASE(owner_reset_disables_rings),
		PEER_CASE(reset_stops_rings_and_keeps_the_memory),
		PEER_CASE(status_is_kept_and_zero_resets),
		PEER_CASE(asks_the_port_about_the_mtu),
		PEER_CASE(impossible_mtu_ends_a_session_that_does_not_ask),
		PEER_CASE(one_pair_does_without_the_number_of_queues),
		PEER_CASE(announces_the_mac_that_came),
		PEER_CASE(reads_the_configuration),
		PEER_CASE(reading_beyond_the_configuration_gets_an_empty_reply),
		PEER_CASE(refuses_configuration_of_wrong_size),
		PEER_CASE(modern_configuration_is_read_only),
		PEER_CASE(legacy_driver_writes_the_mac_and_nothing_else),
		PEER_CASE(migration_brings_the_mac),
		PEER_CASE(tells_configuration_changes),
		PEER_CASE(channel_is_a_socket),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
