/* SPDX-License-Identifier: MIT */
/* Tests of port/vu/session.c: whole sessions, in the order in which front ends say it. */
#include "unit.h"

#include "vu-peer.h"

#define MODERN (PEER_F_PROTOCOL | PEER_BIT(VIRTIO_F_VERSION_1))

/* -------------------------------------------------------------------- QEMU 7.2 */

/* What QEMU leaves out of the protocol features: it has no CONFIG for network devices. */
#define QEMU_P (PEER_P_ALL & ~PEER_P(CONFIG))

static void qemu_set_fd(struct peer *p, uint32_t request)
{
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
	p->need_reply = true;
	assert_int_equal(peer_set_fds(p, request, NULL, 0, &fds[1], 1), 0);
	p->need_reply = false;
	fd_close(&fds[0]);
	fd_close(&fds[1]);
}

/* A connection: each queue pair is a device of its own to QEMU. */
static void qemu_connect(struct peer *p, unsigned pairs, uint64_t protocol)
{
	for (unsigned pair = 0; pair < pairs; pair++) {
		assert_true(peer_get_u64(p, VHOST_USER_GET_FEATURES) == PEER_OFFERED);
		assert_true(peer_get_u64(p, VHOST_USER_GET_PROTOCOL_FEATURES) == PEER_P_ALL);
		assert_int_equal(peer_set_u64(p, VHOST_USER_SET_PROTOCOL_FEATURES, protocol), 0);
		if (pair == 0)
			assert_true(peer_get_u64(p, VHOST_USER_GET_QUEUE_NUM) >= pairs);
		if (protocol & PEER_P(CONFIGURE_MEM_SLOTS))
			assert_int_equal(peer_get_u64(p, VHOST_USER_GET_MAX_MEM_SLOTS), 509);
		if (pair == 0) {
			qemu_set_fd(p, VHOST_USER_SET_BACKEND_REQ_FD);
			assert_int_equal(peer_set(p, VHOST_USER_SET_OWNER, NULL, 0), 0);
		}
		peer_get_u64(p, VHOST_USER_GET_FEATURES);
		for (unsigned i = 2 * pair; i < 2 * pair + 2; i++) {
			peer_give_event(p, VHOST_USER_SET_VRING_CALL, i);
			peer_give_event(p, VHOST_USER_SET_VRING_ERR, i);
		}
	}
	assert_string_equal(peer_told(p), "");
	for (unsigned i = 0; i < 2 * pairs; i++)
		assert_int_equal(peer_set_state(p, VHOST_USER_SET_VRING_ENABLE, i, 1), 0);
}

static void qemu_set_status(struct peer *p, uint8_t bits)
{
	uint64_t status = peer_get_u64(p, VHOST_USER_GET_STATUS);

	if ((status & bits) != bits)
		assert_int_equal(peer_set_u64(p, VHOST_USER_SET_STATUS, status | bits), 0);
}

static void qemu_set_features(struct peer *p, uint64_t features, bool last)
{
	p->need_reply = features & PEER_F_LOG;
	assert_int_equal(peer_set_u64(p, VHOST_USER_SET_FEATURES, features), 0);
	p->need_reply = false;
	if (last)
		qemu_set_status(p, VIRTIO_CONFIG_S_FEATURES_OK);
}

static void qemu_share(struct peer *p, bool slots)
{
	p->need_reply = true;
	if (slots)
		assert_int_equal(peer_set_region(p, VHOST_USER_ADD_MEM_REG, 0, PEER_MEM), 0);
	else
		assert_int_equal(peer_set_table(p, PEER_MEM), 0);
	p->need_reply = false;
}

static void qemu_start_ring(struct peer *p, unsigned index, uint32_t base, bool log)
{
	assert_int_equal(peer_set_state(p, VHOST_USER_SET_VRING_NUM, index, PEER_SIZE), 0);
	peer_set_base(p, index, base);
	assert_int_equal(peer_set_addr(p, index, log), 0);
	peer_give_event(p, VHOST_USER_SET_VRING_KICK, index);
	peer_give_event(p, VHOST_USER_SET_VRING_CALL, index);
}

/* The guest's driver is ready. @slots: memory goes slot by slot, and only what QEMU did not tell before */
static void qemu_start(struct peer *p, unsigned pairs, uint64_t features, bool share, bool slots)
{
	for (unsigned pair = 0; pair < pairs; pair++) {
		for (unsigned i = 2 * pair; i < 2 * pair + 2; i++)
			assert_int_equal(peer_set_state(p, VHOST_USER_SET_VRING_ENABLE, i, 1), 0);
		qemu_set_features(p, features, pair == pairs - 1);
		if (share && (slots || pair == 0))
			qemu_share(p, slots);
		for (unsigned i = 2 * pair; i < 2 * pair + 2; i++)
			qemu_start_ring(p, i, i, features & PEER_F_LOG);
	}
	qemu_set_status(p, VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER |
				   VIRTIO_CONFIG_S_DRIVER_OK);
}

/* The status goes before the last pair's bases are asked for. */
static void qemu_stop(struct peer *p, unsigned pairs)
{
	for (unsigned i = 0; i < 2 * pairs; i++) {
		if (i == 2 * pairs - 2)
			assert_int_equal(peer_set_u64(p, VHOST_USER_SET_STATUS, 0), 0);
		assert_int_equal(peer_base(p, i), i);
	}
}

static void qemu_starts_a_pair(void **state)
{
	struct peer *p = *state;

	qemu_connect(p, 1, QEMU_P);
	assert_string_equal(peer_told(p), "enabled:0 enabled:1");
	qemu_start(p, 1, MODERN, true, true);
	assert_string_equal(peer_told(p), "features started:0 started:1");
	assert_true(p->dev.queues[0].call >= 0 && p->dev.queues[0].err >= 0);
}

/* The second pair's SET_FEATURES comes when the first pair runs. */
static void qemu_starts_two_pairs(void **state)
{
	struct peer *p = *state;

	qemu_connect(p, 2, QEMU_P);
	peer_told(p);
	qemu_start(p, 2, MODERN, true, true);
	/* the region is told once for each pair */
	assert_string_equal(peer_told(p), "features started:0 started:1 stopping:0 stopping:1 "
					  "remapped:0 remapped:1 started:2 started:3");
	assert_int_equal(mem_cnt(p->dev.mem), 1);
}

static void qemu_without_memory_slots(void **state)
{
	struct peer *p = *state;

	qemu_connect(p, 1, QEMU_P & ~PEER_P(CONFIGURE_MEM_SLOTS));
	qemu_start(p, 1, MODERN, true, false);
	assert_int_equal(mem_cnt(p->dev.mem), 1);
	assert_true(vring_is_started(p->dev.queues[1].ring));
}

/* The guest reboots: memory slots are not told again, also when the status was set to 0. */
static void qemu_restarts_a_guest(void **state)
{
	struct peer *p = *state;

	qemu_connect(p, 1, QEMU_P);
	qemu_start(p, 1, MODERN, true, true);
	qemu_stop(p, 1);
	peer_told(p);
	qemu_start(p, 1, MODERN, false, true);
	assert_string_equal(peer_told(p), "enabled:0 enabled:1 features started:0 started:1");
	assert_true(p->dev.queues[0].err >= 0);
}

static void qemu_log(struct peer *p, int fd)
{
	const struct vu_log log = { .size = 4096 };

	peer_send(p, VHOST_USER_SET_LOG_BASE, 0, &log, sizeof(log), &fd, 1);
	assert_int_equal(peer_run(p), 0);
	assert_true(peer_read_reply(p));
}

static void qemu_switch_log(struct peer *p, bool on)
{
	for (unsigned pair = 0; pair < 2; pair++) {
		qemu_set_features(p, on ? MODERN | PEER_F_LOG : MODERN, pair == 1);
		for (unsigned i = 2 * pair; i < 2 * pair + 2; i++)
			assert_int_equal(peer_set_addr(p, i, on), 0);
	}
}

static void qemu_migrates_away(void **state)
{
	struct peer *p = *state;
	int fd = memfd_create("log", MFD_CLOEXEC);

	assert_int_equal(ftruncate(fd, 8192), 0);
	qemu_connect(p, 2, QEMU_P);
	qemu_start(p, 2, MODERN, true, true);
	peer_told(p);
	qemu_log(p, fd);
	qemu_switch_log(p, true);
	assert_true(mem_is_logging(p->dev.mem));
	assert_true(p->dev.queues[3].cfg.log_used);
	qemu_log(p, fd); /* memory grew meanwhile */
	assert_string_equal(peer_told(p), "");
	qemu_stop(p, 2);
	assert_string_equal(peer_told(p),
			    "stopping:0 unkick:0 stopping:1 unkick:1 disabled:0 disabled:1 "
			    "stopping:2 unkick:2 disabled:2 stopping:3 unkick:3 disabled:3");
	fd_close(&fd);
}

static void qemu_cancels_a_migration(void **state)
{
	struct peer *p = *state;
	int fd = memfd_create("log", MFD_CLOEXEC);

	assert_int_equal(ftruncate(fd, 4096), 0);
	qemu_connect(p, 2, QEMU_P);
	qemu_start(p, 2, MODERN, true, true);
	peer_told(p);
	qemu_log(p, fd);
	qemu_switch_log(p, true);
	qemu_switch_log(p, false);
	assert_false(mem_is_logging(p->dev.mem));
	assert_string_equal(peer_told(p), "");
	fd_close(&fd);
}

/* A guest that resets while it migrates: logging is on from the start, and the log comes last. */
static void qemu_starts_while_it_migrates(void **state)
{
	struct peer *p = *state;
	int fd = memfd_create("log", MFD_CLOEXEC);

	assert_int_equal(ftruncate(fd, 4096), 0);
	qemu_connect(p, 1, QEMU_P);
	qemu_start(p, 1, MODERN | PEER_F_LOG, true, true);
	qemu_log(p, fd);
	assert_true(mem_is_logging(p->dev.mem));
	assert_true(vring_is_started(p->dev.queues[1].ring));
	fd_close(&fd);
}

/* A guest that came: MTU and announcing are said on the way. */
static void qemu_arrives(void **state)
{
	struct peer *p = *state;

	qemu_connect(p, 1, QEMU_P);
	peer_told(p);
	p->need_reply = true;
	assert_int_equal(peer_set_u64(p, VHOST_USER_NET_SET_MTU, 1500), 0);
	p->need_reply = false;
	qemu_start(p, 1, MODERN, true, true);
	assert_int_equal(peer_set_u64(p, VHOST_USER_SEND_RARP, UINT64_C(0x070000005452)), 0);
	assert_string_equal(peer_told(p), "mtu:1500 features started:0 started:1 announce:7");
}

/* The region with the rings changes its size: it goes before it comes. */
static void qemu_replaces_the_region_of_the_rings(void **state)
{
	struct peer *p = *state;

	qemu_connect(p, 1, QEMU_P);
	qemu_start(p, 1, MODERN, true, true);
	peer_told(p);
	p->need_reply = true;
	assert_int_equal(peer_set_region(p, VHOST_USER_REM_MEM_REG, 0, PEER_MEM), 0);
	assert_int_equal(peer_set_region(p, VHOST_USER_ADD_MEM_REG, 0, PEER_MEM / 2), 0);
	assert_string_equal(peer_told(p), "stopping:0 stopping:1 started:0 started:1");
}

/* ------------------------------------------------------------------------ DPDK */

#define DPDK_P (PEER_P(MQ) | PEER_P(REPLY_ACK) | PEER_P(STATUS))

static void dpdk_share(struct peer *p)
{
	p->need_reply = true;
	assert_int_equal(peer_set_table(p, PEER_MEM), 0);
	p->need_reply = false;
}

static void dpdk_set_status(struct peer *p, uint8_t status)
{
	p->need_reply = true;
	assert_int_equal(peer_set_u64(p, VHOST_USER_SET_STATUS, status), 0);
	p->need_reply = false;
	assert_int_equal(peer_get_u64(p, VHOST_USER_GET_STATUS), status);
}

static void dpdk_enable(struct peer *p, bool on)
{
	for (unsigned i = 0; i < 2; i++)
		assert_int_equal(peer_set_state(p, VHOST_USER_SET_VRING_ENABLE, i, on), 0);
}

static void dpdk_connect(struct peer *p)
{
	assert_int_equal(peer_set(p, VHOST_USER_SET_OWNER, NULL, 0), 0);
	assert_true(peer_get_u64(p, VHOST_USER_GET_FEATURES) == PEER_OFFERED);
	assert_true((peer_get_u64(p, VHOST_USER_GET_PROTOCOL_FEATURES) & DPDK_P) == DPDK_P);
	assert_int_equal(peer_set_u64(p, VHOST_USER_SET_PROTOCOL_FEATURES, DPDK_P), 0);
}

/* Two pairs, the first of them in use. */
static void dpdk_start(struct peer *p, uint64_t features)
{
	static const unsigned order[] = { 0, 2, 1, 3 };

	for (unsigned i = 0; i < 4; i++)
		peer_give_event(p, VHOST_USER_SET_VRING_CALL, order[i]);
	assert_int_equal(peer_set_u64(p, VHOST_USER_SET_FEATURES, features), 0);
	dpdk_set_status(p, 11);
	dpdk_share(p);
	for (unsigned i = 0; i < 4; i++)
		peer_start(p, order[i], features & PEER_BIT(VIRTIO_F_RING_PACKED) ? 0x8000 : 0);
	dpdk_enable(p, true);
	dpdk_set_status(p, 15);
}

static void dpdk_starts_split_rings(void **state)
{
	struct peer *p = *state;

	dpdk_connect(p);
	dpdk_start(p, MODERN);
	assert_string_equal(peer_told(p), "features started:0 started:2 started:1 started:3 "
					  "enabled:0 enabled:1");
}

static void dpdk_starts_packed_rings(void **state)
{
	struct peer *p = *state;

	dpdk_connect(p);
	dpdk_start(p, MODERN | PEER_BIT(VIRTIO_F_RING_PACKED));
	assert_int_equal(peer_base(p, 0), 0x80008000);
}

static void dpdk_grows_its_memory(void **state)
{
	struct peer *p = *state;

	dpdk_connect(p);
	dpdk_start(p, MODERN);
	peer_told(p);
	dpdk_enable(p, false);
	dpdk_share(p);
	dpdk_enable(p, true);
	assert_string_equal(peer_told(p),
			    "disabled:0 disabled:1 stopping:0 stopping:1 stopping:2 stopping:3 "
			    "remapped:0 remapped:1 remapped:2 remapped:3 enabled:0 enabled:1");
}

static void dpdk_stops_and_starts(void **state)
{
	struct peer *p = *state;

	dpdk_connect(p);
	dpdk_start(p, MODERN);
	dpdk_enable(p, false);
	for (unsigned i = 0; i < 4; i++)
		peer_base(p, i);
	peer_told(p);
	dpdk_start(p, MODERN | PEER_BIT(VIRTIO_F_RING_PACKED));
	assert_string_equal(peer_told(p), "features started:0 started:2 started:1 started:3 "
					  "enabled:0 enabled:1");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PEER_CASE(qemu_starts_a_pair),
		PEER_CASE(qemu_starts_two_pairs),
		PEER_CASE(qemu_without_memory_slots),
		PEER_CASE(qemu_restarts_a_guest),
		PEER_CASE(qemu_migrates_away),
		PEER_CASE(qemu_cancels_a_migration),
		PEER_CASE(qemu_starts_while_it_migrates),
		PEER_CASE(qemu_arrives),
		PEER_CASE(qemu_replaces_the_region_of_the_rings),
		PEER_CASE(dpdk_starts_split_rings),
		PEER_CASE(dpdk_starts_packed_rings),
		PEER_CASE(dpdk_grows_its_memory),
		PEER_CASE(dpdk_stops_and_starts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
