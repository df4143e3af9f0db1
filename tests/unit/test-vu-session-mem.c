/* SPDX-License-Identifier: MIT */
/* Tests of port/vu/session-mem.c and session-inflight.c: memory that comes and goes. */
#include "unit.h"

#include <linux/virtio_config.h>

#include "vu-peer.h"

#define HALF (PEER_MEM / 2)

/* ------------------------------------------------------------------ the table */

static void region_without_descriptor_names_the_remedy(void **state)
{
	struct peer *p = *state;
	const struct vu_mem_table t = {
		.cnt = 2,
		.regions = { { 0, HALF, PEER_UVA, 0 }, { HALF, HALF, PEER_UVA + HALF, HALF } },
	};

	assert_int_equal(peer_set_fds(p, VHOST_USER_SET_MEM_TABLE, &t, 8 + 64, &p->mem, 1), -EBADF);
	assert_string_equal(p->err.action, "carry out the front end's SET_MEM_TABLE");
	assert_non_null(strstr(p->err.reason, "region 1: the guest's memory is not shared"));
	assert_non_null(strstr(p->err.remedy, "share=on"));
}

static void slot_without_descriptor_names_the_remedy(void **state)
{
	struct peer *p = *state;
	const struct vu_mem_reg reg = { .region = { 0, HALF, PEER_UVA, 0 } };

	peer_negotiate(p, PEER_F_PROTOCOL, PEER_P_ALL);
	assert_int_equal(peer_set(p, VHOST_USER_ADD_MEM_REG, &reg, sizeof(reg)), -EBADF);
	assert_non_null(strstr(p->err.remedy, "share=on"));
}

/* QEMU without memory that it can share sends no slot at all. */
static void driver_that_is_ready_without_memory_names_the_remedy(void **state)
{
	struct peer *p = *state;
	const uint8_t ready = VIRTIO_CONFIG_S_ACKNOWLEDGE | VIRTIO_CONFIG_S_DRIVER |
			      VIRTIO_CONFIG_S_FEATURES_OK | VIRTIO_CONFIG_S_DRIVER_OK;

	peer_negotiate(p, PEER_F_PROTOCOL, PEER_P_ALL);
	assert_int_equal(peer_set_u64(p, VHOST_USER_SET_STATUS, ready), 0);
	peer_give_event(p, VHOST_USER_SET_VRING_KICK, 0);
	assert_int_equal(peer_set_u64(p, VHOST_USER_SET_STATUS, ready), -EBADF);
	assert_string_equal(p->err.action, "carry out the front end's SET_STATUS");
	assert_non_null(strstr(p->err.remedy, "share=on"));
}

static void refuses_tables_that_do_not_fit(void **state)
{
	struct peer *p = *state;
	const struct vu_mem_table one = { .cnt = 1, .regions = { { 0, HALF, PEER_UVA, 0 } } };
	const struct vu_mem_table many = { .cnt = VU_REGIONS_MAX + 1 };
	const int fds[2] = { p->mem, p->mem };

	assert_int_equal(peer_set_fds(p, VHOST_USER_SET_MEM_TABLE, &one, 7, fds, 1), -EPROTO);
	assert_int_equal(peer_set_fds(p, VHOST_USER_SET_MEM_TABLE, &one, 39, fds, 1), -EPROTO);
	assert_int_equal(peer_set_fds(p, VHOST_USER_SET_MEM_TABLE, &one, 40, fds, 2), -EPROTO);
	assert_int_equal(peer_set_fds(p, VHOST_USER_SET_MEM_TABLE, &many, 8, NULL, 0), -EPROTO);
	assert_int_equal(mem_cnt(p->dev.mem), 0);
}

static void mapping_error_says_what_and_for_which_request(void **state)
{
	struct peer *p = *state;

	assert_true(peer_set_table(p, PEER_MEM + 4096) < 0);
	assert_string_equal(p->err.action, "carry out the front end's SET_MEM_TABLE");
	assert_string_equal(p->err.object, "vhost-user vm0");
	assert_int_equal(strncmp(p->err.reason, "cannot ", 7), 0);
	assert_true(strlen(p->err.reason) > 20);
}

static void table_of_32_regions_is_taken(void **state)
{
	struct peer *p = *state;
	struct vu_mem_table t = { .cnt = VU_REGIONS_MAX };
	int fds[VU_REGIONS_MAX];

	for (unsigned i = 0; i < VU_REGIONS_MAX; i++) {
		t.regions[i] = (struct vu_region) { i * 8192, 4096, PEER_UVA + i * 8192, i * 8192 };
		fds[i] = p->mem;
	}
	assert_int_equal(
		peer_set_fds(p, VHOST_USER_SET_MEM_TABLE, &t, sizeof(t), fds, VU_REGIONS_MAX), 0);
	assert_int_equal(mem_cnt(p->dev.mem), VU_REGIONS_MAX);
}

/* -------------------------------------------------------------- under the rings */

static void rings_run_on_when_the_table_is_replaced(void **state)
{
	struct peer *p = *state;

	peer_start_pair(p, 0);
	assert_int_equal(peer_set_table(p, HALF), 0);
	assert_string_equal(peer_told(p), "stopping:0 stopping:1 remapped:0 remapped:1");
	assert_int_equal(mem_cnt(p->dev.mem), 1);
}

static void ring_that_is_nowhere_waits_and_goes_on(void **state)
{
	struct peer *p = *state;

	peer_negotiate(p, PEER_F_PROTOCOL, PEER_P_ALL);
	assert_int_equal(peer_set_region(p, VHOST_USER_ADD_MEM_REG, 0, HALF), 0);
	assert_int_equal(peer_set_region(p, VHOST_USER_ADD_MEM_REG, HALF, HALF), 0);
	peer_start(p, 1, 9);
	peer_told(p);
	assert_int_equal(peer_set_region(p, VHOST_USER_REM_MEM_REG, HALF, HALF), 0);
	assert_string_equal(peer_told(p), "stopping:1 remapped:1");
	assert_int_equal(peer_set_region(p, VHOST_USER_REM_MEM_REG, 0, HALF), 0);
	assert_string_equal(peer_told(p), "stopping:1");
	assert_int_equal(peer_set_region(p, VHOST_USER_ADD_MEM_REG, HALF, HALF), 0);
	assert_string_equal(peer_told(p), "");
	assert_int_equal(peer_set_region(p, VHOST_USER_ADD_MEM_REG, 0, HALF), 0);
	assert_string_equal(peer_told(p), "started:1");
	assert_int_equal(peer_base(p, 1), 9);
}

static void base_of_a_ring_that_waits_is_where_it_was(void **state)
{
	struct peer *p = *state;

	peer_negotiate(p, PEER_F_PROTOCOL, PEER_P_ALL);
	assert_int_equal(peer_set_table(p, PEER_MEM), 0);
	peer_start(p, 1, 9);
	assert_int_equal(peer_set_region(p, VHOST_USER_REM_MEM_REG, 0, PEER_MEM), 0);
	assert_int_equal(peer_base(p, 1), 9);
	assert_int_equal(peer_set_table(p, PEER_MEM), 0);
	assert_false(vring_is_started(p->dev.queues[1].ring));
}

static void no_ring_uses_a_table_that_failed(void **state)
{
	struct peer *p = *state;

	peer_start_pair(p, 0);
	assert_true(peer_set_table(p, PEER_MEM + 4096) < 0);
	assert_string_equal(peer_told(p), "stopping:0 stopping:1");
	assert_false(vring_is_started(p->dev.queues[0].ring));
	assert_false(vring_is_started(p->dev.queues[1].ring));
	assert_non_null(strstr(p->err.action, "SET_MEM_TABLE"));
}

/* QEMU 7.2 says everything once for each queue pair. */
static void region_may_be_added_and_removed_twice(void **state)
{
	struct peer *p = *state;

	peer_negotiate(p, PEER_F_PROTOCOL, PEER_P_ALL);
	assert_int_equal(peer_set_region(p, VHOST_USER_ADD_MEM_REG, 0, PEER_MEM), 0);
	peer_start(p, 1, 9);
	peer_told(p);
	assert_int_equal(peer_set_region(p, VHOST_USER_ADD_MEM_REG, 0, PEER_MEM), 0);
	assert_string_equal(peer_told(p), "stopping:1 remapped:1");
	assert_int_equal(mem_cnt(p->dev.mem), 1);
	assert_int_equal(peer_set_region(p, VHOST_USER_REM_MEM_REG, 0, PEER_MEM), 0);
	assert_int_equal(peer_set_region(p, VHOST_USER_REM_MEM_REG, 0, PEER_MEM), 0);
	assert_int_equal(mem_cnt(p->dev.mem), 0);
	assert_int_equal(peer_base(p, 1), 9);
}

static void region_that_overlaps_cannot_be_added(void **state)
{
	struct peer *p = *state;

	peer_start_pair(p, 0);
	assert_int_equal(peer_set_region(p, VHOST_USER_ADD_MEM_REG, 0, HALF), -EINVAL);
	assert_string_equal(peer_told(p), "stopping:0 stopping:1 remapped:0 remapped:1");
}

/* Some front ends send one; it has to be closed, which the end of the test looks at. */
static void removal_may_bring_a_descriptor(void **state)
{
	struct peer *p = *state;
	const struct vu_mem_reg reg = { .region = { 0, PEER_MEM, PEER_UVA, 0 } };

	peer_negotiate(p, PEER_F_PROTOCOL, PEER_P_ALL);
	assert_int_equal(peer_set_table(p, PEER_MEM), 0);
	assert_int_equal(peer_set_fds(p, VHOST_USER_REM_MEM_REG, &reg, sizeof(reg), &p->mem, 1), 0);
	assert_int_equal(mem_cnt(p->dev.mem), 0);
}

static void slots_are_as_many_as_the_table_takes(void **state)
{
	struct peer *p = *state;

	peer_negotiate(p, PEER_F_PROTOCOL, PEER_P_ALL);
	assert_int_equal(peer_get_u64(p, VHOST_USER_GET_MAX_MEM_SLOTS), MEM_REGIONS_MAX);
}

/* ---------------------------------------------------------------- the dirty log */

static void dirty_log_is_replied_to_and_written(void **state)
{
	struct peer *p = *state;
	const struct vu_log log = { .size = 4096, .offset = 0 };
	int fd = memfd_create("log", MFD_CLOEXEC);
	unsigned char byte = 0;

	assert_int_equal(ftruncate(fd, 4096), 0);
	peer_start_pair(p, PEER_F_LOG);
	peer_send(p, VHOST_USER_SET_LOG_BASE, 0, &log, sizeof(log), &fd, 1);
	assert_int_equal(peer_run(p), 0);
	assert_true(peer_read_reply(p));
	assert_int_equal(p->reply.hdr.request, VHOST_USER_SET_LOG_BASE);
	assert_true(p->reply.body.u64 == 0);
	mem_dirty(p->dev.mem, 3 * 4096, 1);
	assert_int_equal(pread(fd, &byte, 1, 0), 1);
	assert_int_equal(byte, 1 << 3);
	fd_close(&fd);
}

static void dirty_log_needs_its_feature(void **state)
{
	struct peer *p = *state;
	const struct vu_log log = { .size = 4096 };

	peer_negotiate(p, PEER_F_PROTOCOL, PEER_P_ALL & ~PEER_P(LOG_SHMFD));
	peer_send(p, VHOST_USER_SET_LOG_BASE, 0, &log, sizeof(log), &p->mem, 1);
	assert_int_equal(peer_run(p), -EPROTO);
}

static void log_descriptor_is_taken_and_closed(void **state)
{
	struct peer *p = *state;

	assert_int_equal(peer_set_fds(p, VHOST_USER_SET_LOG_FD, NULL, 0, &p->mem, 1), 0);
}

/* -------------------------------------------------------------------- in flight */

static void get_inflight(struct peer *p, uint16_t queues, uint16_t size)
{
	const struct vu_inflight i = { .queues = queues, .queue_size = size };

	peer_get(p, VHOST_USER_GET_INFLIGHT_FD, &i, 20);
	assert_int_equal(p->reply.hdr.size, 20);
	assert_true(p->reply_fd >= 0);
}

static int set_inflight(struct peer *p, const struct vu_inflight *i, int fd)
{
	return peer_set_fds(p, VHOST_USER_SET_INFLIGHT_FD, i, sizeof(*i), &fd, 1);
}

static void area_in_flight_is_made_and_comes_back(void **state)
{
	struct peer *p = *state;
	struct vu_inflight i;

	peer_negotiate(p, PEER_F_PROTOCOL, PEER_P_ALL);
	get_inflight(p, 4, 256);
	i = p->reply.body.inflight;
	assert_true(i.size == inflight_size(4, 256, false));
	assert_non_null(p->dev.inflight);
	vu_session_free(p->session);
	p->session = vu_session_new(&p->dev, p->ours);
	assert_null(p->dev.inflight);
	peer_negotiate(p, PEER_F_PROTOCOL, PEER_P_ALL);
	assert_int_equal(set_inflight(p, &i, p->reply_fd), 0);
	assert_non_null(inflight_of(p->dev.inflight, 3));
}

static void area_in_flight_follows_the_ring_format(void **state)
{
	struct peer *p = *state;
	const uint64_t features = PEER_F_PROTOCOL | PEER_BIT(VIRTIO_F_RING_PACKED);

	assert_int_equal(peer_set_u64(p, VHOST_USER_SET_PROTOCOL_FEATURES, PEER_P_ALL), 0);
	get_inflight(p, 4, 256);
	assert_int_equal(peer_set_u64(p, VHOST_USER_SET_FEATURES, features), 0);
	assert_non_null(p->dev.inflight);
	assert_int_equal(peer_set_u64(p, VHOST_USER_SET_FEATURES, PEER_F_PROTOCOL), 0);
	get_inflight(p, 4, 256);
	assert_int_equal(peer_set_u64(p, VHOST_USER_SET_FEATURES, features), -EINVAL);
	assert_null(p->dev.inflight);
}

static void refuses_areas_that_do_not_fit(void **state)
{
	struct peer *p = *state;
	struct vu_inflight i = { .size = 64, .queues = 4, .queue_size = 256 };

	peer_negotiate(p, PEER_F_PROTOCOL, PEER_P_ALL);
	assert_int_equal(set_inflight(p, &i, p->mem), -EINVAL);
	i.size = PEER_MEM;
	i.queues = 6;
	assert_int_equal(set_inflight(p, &i, p->mem), -EINVAL);
	i.queues = 0;
	assert_int_equal(set_inflight(p, &i, p->mem), -EINVAL);
	i.queues = 4;
	i.queue_size = 2048;
	assert_int_equal(set_inflight(p, &i, p->mem), -EINVAL);
	assert_null(p->dev.inflight);
}

static void running_rings_keep_their_area(void **state)
{
	struct peer *p = *state;
	const struct vu_inflight i = { .size = PEER_MEM, .queues = 4, .queue_size = 256 };

	peer_start_pair(p, 0);
	assert_int_equal(set_inflight(p, &i, p->mem), -EBUSY);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		PEER_CASE(region_without_descriptor_names_the_remedy),
		PEER_CASE(slot_without_descriptor_names_the_remedy),
		PEER_CASE(driver_that_is_ready_without_memory_names_the_remedy),
		PEER_CASE(refuses_tables_that_do_not_fit),
		PEER_CASE(mapping_error_says_what_and_for_which_request),
		PEER_CASE(table_of_32_regions_is_taken),
		PEER_CASE(rings_run_on_when_the_table_is_replaced),
		PEER_CASE(ring_that_is_nowhere_waits_and_goes_on),
		PEER_CASE(base_of_a_ring_that_waits_is_where_it_was),
		PEER_CASE(no_ring_uses_a_table_that_failed),
		PEER_CASE(region_may_be_added_and_removed_twice),
		PEER_CASE(region_that_overlaps_cannot_be_added),
		PEER_CASE(removal_may_bring_a_descriptor),
		PEER_CASE(slots_are_as_many_as_the_table_takes),
		PEER_CASE(dirty_log_is_replied_to_and_written),
		PEER_CASE(dirty_log_needs_its_feature),
		PEER_CASE(log_descriptor_is_taken_and_closed),
		PEER_CASE(area_in_flight_is_made_and_comes_back),
		PEER_CASE(area_in_flight_follows_the_ring_format),
		PEER_CASE(refuses_areas_that_do_not_fit),
		PEER_CASE(running_rings_keep_their_area),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
