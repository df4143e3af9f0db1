/* SPDX-License-Identifier: MIT */
/*
 * vhost-net, as far as it is ours: what is refused before the kernel is asked, what it is asked
 * for and in which order, and how its answers are explained.
 *
 * ioctl() is a stand-in that writes down what it is called for. What a real kernel does with it is
 * the business of tests/vhost.
 */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/virtio_config.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

#include "vhost/vhost-int.h"

#define ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define BIT(n) (1ull << (n))
#define KERNEL                                                                                     \
	(BIT(VIRTIO_F_NOTIFY_ON_EMPTY) | BIT(VIRTIO_RING_F_INDIRECT_DESC) |                        \
	 BIT(VIRTIO_RING_F_EVENT_IDX) | BIT(VHOST_F_LOG_ALL) | BIT(VIRTIO_F_ANY_LAYOUT) |          \
	 BIT(VIRTIO_F_VERSION_1) | BIT(VHOST_NET_F_VIRTIO_NET_HDR) | BIT(VIRTIO_NET_F_MRG_RXBUF) | \
	 BIT(FEATURE_ACCESS_PLATFORM))

/*
 * The kernel: @fail answers @code, @calls are the requests so far, as text. @has_endian: it knows of
 * byte orders, as few are built to do; @order: of the ring that was told last.
 */
static struct {
	unsigned long fail;
	int code;
	char calls[1024];
	uint64_t features;
	struct vhost_vring_addr addr;
	unsigned regions;
	struct vhost_memory_region region[4];
	unsigned base;
	int tap;
	bool has_endian;
	struct vhost_vring_state order;
} kernel;

static const struct {
	unsigned long request;
	const char *name;
} names[] = {
	{ VHOST_GET_FEATURES, "" },
	{ VHOST_SET_FEATURES, "features " },
	{ VHOST_GET_BACKEND_FEATURES, "" },
	{ VHOST_SET_BACKEND_FEATURES, "backend-features " },
	{ VHOST_SET_OWNER, "own " },
	{ VHOST_RESET_OWNER, "disown " },
	{ VHOST_SET_MEM_TABLE, "mem " },
	{ VHOST_SET_LOG_BASE, "log " },
	{ VHOST_SET_LOG_FD, "log-fd " },
	{ VHOST_SET_VRING_NUM, "num " },
	{ VHOST_SET_VRING_ADDR, "addr " },
	{ VHOST_SET_VRING_BASE, "base " },
	{ VHOST_GET_VRING_BASE, "get-base " },
	{ VHOST_SET_VRING_ENDIAN, "" },
	{ VHOST_SET_VRING_KICK, "kick " },
	{ VHOST_SET_VRING_CALL, "call " },
	{ VHOST_SET_VRING_ERR, "err " },
	{ VHOST_SET_VRING_BUSYLOOP_TIMEOUT, "poll " },
};

static void note(unsigned long request, const void *arg)
{
	const struct vhost_vring_file *file = arg;
	size_t at = strlen(kernel.calls);

	if (request == VHOST_NET_SET_BACKEND) {
		snprintf(kernel.calls + at, sizeof(kernel.calls) - at, "%s%u ",
			 file->fd >= 0 ? "start" : "stop", file->index);
		kernel.tap = file->fd;
		return;
	}
	for (unsigned i = 0; i < ARRAY_LEN(names); i++)
		if (names[i].request == request)
			snprintf(kernel.calls + at, sizeof(kernel.calls) - at, "%s", names[i].name);
}

static void keep_mem(const struct vhost_memory *m)
{
	kernel.regions = m->nregions;
	for (unsigned i = 0; i < m->nregions && i < ARRAY_LEN(kernel.region); i++)
		kernel.region[i] = m->regions[i];
}

int __wrap_ioctl(int fd, unsigned long request, void *arg);

int __wrap_ioctl(int fd, unsigned long request, void *arg)
{
	if (request == kernel.fail) {
		errno = kernel.code;
		return -1;
	}
	note(request, arg);
	if (request == VHOST_GET_FEATURES)
		memcpy(arg, &(uint64_t) { KERNEL }, sizeof(uint64_t));
	if (request == VHOST_GET_BACKEND_FEATURES)
		memcpy(arg, &(uint64_t) { BIT(VHOST_BACKEND_F_IOTLB_MSG_V2) }, sizeof(uint64_t));
	if (request == VHOST_SET_FEATURES)
		memcpy(&kernel.features, arg, sizeof(kernel.features));
	if (request == VHOST_SET_VRING_ADDR)
		memcpy(&kernel.addr, arg, sizeof(kernel.addr));
	if (request == VHOST_SET_MEM_TABLE)
		keep_mem(arg);
	if (request == VHOST_GET_VRING_BASE)
		((struct vhost_vring_state *)arg)->num = kernel.base;
	if (request == VHOST_SET_VRING_ENDIAN) {
		if (!kernel.has_endian) {
			errno = ENOTTY;
			return -1;
		}
		memcpy(&kernel.order, arg, sizeof(kernel.order));
	}
	return 0;
}

/* @far: the other end of the handle's descriptor. */
struct rig {
	struct vmtap_vhost *v;
	struct vmtap_error err;
	int far;
	unsigned on, off;
};

static void taken(void *opaque, bool on)
{
	struct rig *r = opaque;

	if (on)
		r->on++;
	else
		r->off++;
}

static int setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));
	int pair[2];

	assert_non_null(r);
	memset(&kernel, 0, sizeof(kernel));
	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	r->far = pair[1];
	r->v = vhost_take(pair[0], "tap vm0", &r->err);
	assert_non_null(r->v);
	vhost_set_tap(r->v, 77, true, taken, r);
	kernel.calls[0] = '\0';
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	kernel.fail = 0;
	vhost_free(r->v);
	close(r->far);
	free(r);
	return 0;
}

static struct vmtap_vhost_ring good(void)
{
	return (struct vmtap_vhost_ring) {
		.size = sizeof(struct vmtap_vhost_ring),
		.entries = 256,
		.base = 7,
		.desc = 0x10000,
		.avail = 0x11002,
		.used = 0x12004,
		.kick = 5,
		.call = -1,
		.err = -1,
	};
}

/* -------------------------------------------------------------------- memory */

static void regions_are_sorted_and_neighbours_joined(void **state)
{
	char *host = (char *)0x700000000000;
	const struct vmtap_vhost_region regions[] = {
		{ .gpa = 0x100000, .len = 0x10000, .host = host + 0x100000 },
		{ .gpa = 0, .len = 0xa0000, .host = host },
		/* a neighbour of the first in both places, and one of it in the guest only */
		{ .gpa = 0x110000, .len = 0x1000, .host = host + 0x110000 },
		{ .gpa = 0x111000, .len = 0x1000, .host = host + 0x200000 },
	};
	struct rig *r = *state;

	assert_int_equal(vhost_set_mem(r->v, regions, ARRAY_LEN(regions), &r->err), 0);
	assert_int_equal(kernel.regions, 3);
	assert_true(kernel.region[0].guest_phys_addr == 0);
	assert_true(kernel.region[1].guest_phys_addr == 0x100000);
	assert_true(kernel.region[1].memory_size == 0x11000);
	assert_true(kernel.region[1].userspace_addr == (uintptr_t)host + 0x100000);
	assert_true(kernel.region[2].guest_phys_addr == 0x111000);
}

static void no_memory_is_a_table_too(void **state)
{
	struct rig *r = *state;

	kernel.regions = 9;
	assert_int_equal(vhost_set_mem(r->v, NULL, 0, &r->err), 0);
	assert_int_equal(kernel.regions, 0);
}

static void refuses_regions_that_cannot_be(void **state)
{
	static const struct {
		struct vmtap_vhost_region regions[2];
		const char *reason;
	} rows[] = {
		{ { { .gpa = 0, .len = 0 }, { .gpa = 4096, .len = 1 } }, "is empty" },
		{ { { .gpa = -4096ull, .len = 8192 }, { .gpa = 0, .len = 4096 } },
		  "address space" },
		{ { { .gpa = 0, .len = 8192, .host = (void *)-4096 },
		    { .gpa = 1 << 20, .len = 1 } },
		  "address space" },
		{ { { .gpa = 0, .len = 8192 }, { .gpa = 8191, .len = 4096 } }, "overlaps" },
		{ { { .gpa = 4096, .len = 4096 }, { .gpa = 4096, .len = 4096 } }, "overlaps" },
	};
	struct rig *r = *state;

	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		assert_int_equal(vhost_set_mem(r->v, rows[i].regions, 2, &r->err), -EINVAL);
		assert_non_null(strstr(r->err.reason, rows[i].reason));
		assert_string_equal(r->err.object, "tap vm0");
	}
	assert_string_equal(kernel.calls, "");
}

static void too_many_regions_are_explained(void **state)
{
	const struct vmtap_vhost_region region = { .gpa = 0, .len = 4096 };
	struct rig *r = *state;

	kernel.fail = VHOST_SET_MEM_TABLE;
	kernel.code = E2BIG;
	assert_int_equal(vhost_set_mem(r->v, &region, 1, &r->err), -E2BIG);
	assert_non_null(strstr(r->err.reason, "this kernel takes"));
	assert_non_null(strstr(r->err.remedy, "max_mem_regions"));
}

/* ------------------------------------------------------------------ features */

static void what_the_kernel_lacks_is_not_offered(void **state)
{
	const uint64_t net = BIT(VIRTIO_NET_F_CSUM) | BIT(VIRTIO_NET_F_HOST_TSO4) |
			     BIT(VIRTIO_NET_F_MQ) | BIT(VIRTIO_NET_F_CTRL_VQ);
	const uint64_t ring = BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_RING_F_EVENT_IDX);
	struct rig *r = *state;

	assert_true(vhost_mask(r->v, net | ring | BIT(FEATURE_RING_PACKED) |
					     BIT(FEATURE_IN_ORDER)) == (net | ring));
	/* bit 27 is two things */
	assert_true(vhost_features(r->v) == (KERNEL & ~BIT(VHOST_NET_F_VIRTIO_NET_HDR)));
	assert_true(vhost_mask(r->v, BIT(VIRTIO_F_ANY_LAYOUT)) == BIT(VIRTIO_F_ANY_LAYOUT));
}

static void the_kernel_hears_of_its_own_features_only(void **state)
{
	const uint64_t own = BIT(VIRTIO_F_VERSION_1) | BIT(VIRTIO_NET_F_MRG_RXBUF);
	struct rig *r = *state;

	assert_int_equal(vhost_set_features(r->v, own | BIT(VIRTIO_NET_F_CSUM) | BIT(30), &r->err),
			 0);
	assert_true(kernel.features == own);
	assert_string_equal(kernel.calls, "features ");
}

/* To the kernel, ANY_LAYOUT of a guest is an order to make headers itself. */
static void headers_are_made_where_the_tap_has_none(void **state)
{
	struct rig *r = *state;

	assert_int_equal(vhost_set_features(r->v, BIT(VIRTIO_F_ANY_LAYOUT), &r->err), 0);
	assert_true(kernel.features == 0);
	vhost_set_tap(r->v, 77, false, NULL, NULL);
	assert_int_equal(vhost_set_features(r->v, 0, &r->err), 0);
	assert_true(kernel.features == BIT(VHOST_NET_F_VIRTIO_NET_HDR));
}

static void a_feature_that_it_lacks_is_refused(void **state)
{
	struct rig *r = *state;

	assert_int_equal(vhost_set_features(r->v, BIT(FEATURE_RING_PACKED), &r->err), -EOPNOTSUPP);
	assert_non_null(strstr(r->err.reason, "feature 34"));
	assert_string_equal(kernel.calls, "");
}

static void a_log_that_is_too_short_is_explained(void **state)
{
	struct rig *r = *state;

	assert_int_equal(vhost_set_features(r->v, BIT(VHOST_F_LOG_ALL), &r->err), -EINVAL);
	assert_non_null(strstr(r->err.reason, "there is no log"));
	assert_int_equal(vhost_set_log(r->v, &kernel, -1, &r->err), 0);
	kernel.fail = VHOST_SET_FEATURES;
	kernel.code = EFAULT;
	assert_int_equal(vhost_set_features(r->v, BIT(VHOST_F_LOG_ALL), &r->err), -EFAULT);
	assert_non_null(strstr(r->err.reason, "log does not cover"));
}

static void the_log_has_an_address_and_an_event(void **state)
{
	struct rig *r = *state;

	assert_int_equal(vhost_set_log(r->v, &kernel, -1, &r->err), 0);
	assert_string_equal(kernel.calls, "log log-fd ");
}

/* --------------------------------------------------------------------- rings */

static void a_ring_is_described_before_it_starts(void **state)
{
	const struct vmtap_vhost_ring ring = good();
	struct rig *r = *state;

	assert_int_equal(vhost_start(r->v, 0, &r->err), -EINVAL);
	assert_non_null(strstr(r->err.reason, "not set up"));
	assert_int_equal(vhost_set_ring(r->v, 0, &ring, &r->err), 0);
	assert_string_equal(kernel.calls, "num base addr kick call err ");
	assert_true(kernel.addr.desc_user_addr == 0x10000 && kernel.addr.flags == 0);
	assert_int_equal(vhost_start(r->v, 0, &r->err), 0);
	assert_true(vhost_is_started(r->v, 0) && !vhost_is_started(r->v, 1));
	assert_int_equal(kernel.tap, 77);
	/* the other one was not described */
	assert_int_equal(vhost_start(r->v, 1, &r->err), -EINVAL);
}

static void refuses_rings_that_cannot_be(void **state)
{
	struct vmtap_vhost_ring bad[9];
	struct rig *r = *state;

	for (unsigned i = 0; i < ARRAY_LEN(bad); i++)
		bad[i] = good();
	bad[0].entries = 0;
	bad[1].entries = 100;
	bad[2].entries = 65536;
	bad[3].base = 65536;
	bad[4].desc++;
	bad[5].avail++;
	bad[6].used += 2;
	bad[7].log_used = true;
	bad[7].used_gpa = 2;
	for (unsigned i = 0; i < 8; i++)
		assert_int_equal(vhost_set_ring(r->v, 0, &bad[i], &r->err), -EINVAL);
	assert_int_equal(vhost_set_ring(r->v, 2, &bad[8], &r->err), -EINVAL);
	assert_string_equal(kernel.calls, "");
	bad[8].endian = VMTAP_ENDIAN_BIG;
	assert_int_equal(vhost_set_ring(r->v, 0, &bad[8], &r->err), -EOPNOTSUPP);
	assert_int_equal(vhost_start(r->v, 0, &r->err), -EINVAL);
}

static void the_byte_order_is_told_to_a_kernel_that_has_the_call(void **state)
{
	static const struct {
		enum vmtap_endian order;
		unsigned told;
	} rows[] = {
		{ VMTAP_ENDIAN_LITTLE, VHOST_VRING_LITTLE_ENDIAN },
		{ VMTAP_ENDIAN_BIG, VHOST_VRING_BIG_ENDIAN },
		{ VMTAP_ENDIAN_NATIVE, __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__ },
	};
	struct vmtap_vhost_ring ring = good();
	struct rig *r = *state;

	kernel.has_endian = true;
	for (unsigned i = 0; i < 2 * ARRAY_LEN(rows); i++) {
		ring.endian = rows[i / 2].order;
		kernel.order = (struct vhost_vring_state) { .index = 99, .num = 99 };
		assert_int_equal(vhost_set_ring(r->v, i % 2, &ring, &r->err), 0);
		assert_int_equal(kernel.order.index, i % 2);
		assert_int_equal(kernel.order.num, rows[i / 2].told);
	}
	/* it has it, and says no */
	kernel.fail = VHOST_SET_VRING_ENDIAN;
	kernel.code = EBUSY;
	assert_int_equal(vhost_set_ring(r->v, 0, &ring, &r->err), -EBUSY);
	assert_int_equal(vhost_start(r->v, 0, &r->err), -EINVAL);
}

static void a_running_ring_stays_as_it_is(void **state)
{
	const struct vmtap_vhost_ring ring = good();
	struct rig *r = *state;

	vhost_set_ring(r->v, 1, &ring, NULL);
	vhost_start(r->v, 1, NULL);
	assert_int_equal(vhost_set_ring(r->v, 1, &ring, &r->err), -EBUSY);
	assert_non_null(strstr(r->err.reason, "transmit ring"));
}

static void stopping_says_how_far_it_came(void **state)
{
	const struct vmtap_vhost_ring ring = good();
	struct rig *r = *state;
	uint32_t base = 0;

	vhost_set_ring(r->v, 0, &ring, NULL);
	vhost_start(r->v, 0, NULL);
	kernel.base = 4711;
	kernel.calls[0] = '\0';
	assert_int_equal(vhost_stop(r->v, 0, &base, &r->err), 0);
	assert_int_equal(base, 4711);
	assert_string_equal(kernel.calls, "stop0 get-base ");
	/* and again */
	assert_int_equal(vhost_stop(r->v, 0, NULL, &r->err), 0);
	assert_string_equal(kernel.calls, "stop0 get-base ");
}

static void who_else_reads_the_queue_is_told(void **state)
{
	const struct vmtap_vhost_ring ring = good();
	struct rig *r = *state;

	vhost_set_ring(r->v, 0, &ring, NULL);
	vhost_set_ring(r->v, 1, &ring, NULL);
	vhost_start(r->v, 0, NULL);
	vhost_start(r->v, 1, NULL);
	assert_true(r->on == 1 && r->off == 0);
	vhost_stop(r->v, 0, NULL, NULL);
	assert_true(r->on == 1 && r->off == 0);
	vhost_stop(r->v, 1, NULL, NULL);
	assert_true(r->on == 1 && r->off == 1);
	kernel.fail = VHOST_NET_SET_BACKEND;
	kernel.code = EBUSY;
	assert_int_equal(vhost_start(r->v, 1, &r->err), -EBUSY);
	assert_true(r->on == 2 && r->off == 2);
}

static void without_a_tap_nothing_starts(void **state)
{
	const struct vmtap_vhost_ring ring = good();
	struct rig *r = *state;

	vhost_set_tap(r->v, -1, true, NULL, NULL);
	vhost_set_ring(r->v, 0, &ring, NULL);
	assert_int_equal(vhost_start(r->v, 0, &r->err), -ENODEV);
	assert_non_null(strstr(r->err.reason, "no TAP"));
}

static void an_event_that_is_none_is_explained(void **state)
{
	const struct vmtap_vhost_ring ring = good();
	struct rig *r = *state;

	kernel.fail = VHOST_SET_VRING_KICK;
	kernel.code = EINVAL;
	assert_int_equal(vhost_set_ring(r->v, 0, &ring, &r->err), -EINVAL);
	assert_non_null(strstr(r->err.reason, "descriptor 5 is no eventfd"));
	assert_int_equal(vhost_start(r->v, 0, &r->err), -EINVAL);
}

static void the_log_of_a_ring_comes_and_goes(void **state)
{
	const struct vmtap_vhost_ring ring = good();
	struct rig *r = *state;

	assert_int_equal(vhost_set_ring_log(r->v, 0, true, 0, &r->err), -EINVAL);
	vhost_set_ring(r->v, 0, &ring, NULL);
	vhost_start(r->v, 0, NULL);
	assert_int_equal(vhost_set_ring_log(r->v, 0, true, 0x3000, &r->err), 0);
	assert_true(kernel.addr.flags == 1 && kernel.addr.log_guest_addr == 0x3000);
	assert_true(kernel.addr.used_user_addr == 0x12004);
	assert_int_equal(vhost_set_ring_log(r->v, 0, false, 0x3000, &r->err), 0);
	assert_true(kernel.addr.flags == 0);
}

static void the_poll_time_is_of_both_rings(void **state)
{
	struct rig *r = *state;

	assert_int_equal(vhost_set_poll(r->v, 50, &r->err), 0);
	assert_string_equal(kernel.calls, "poll poll ");
}

static void the_end_and_a_reset_stop_the_rings_first(void **state)
{
	const struct vmtap_vhost_ring ring = good();
	struct rig *r = *state;

	vhost_set_ring(r->v, 0, &ring, NULL);
	vhost_set_ring(r->v, 1, &ring, NULL);
	vhost_start(r->v, 0, NULL);
	vhost_start(r->v, 1, NULL);
	kernel.calls[0] = '\0';
	assert_int_equal(vhost_reset(r->v, &r->err), 0);
	assert_string_equal(kernel.calls, "stop0 stop1 disown own ");
	assert_int_equal(vhost_start(r->v, 0, &r->err), -EINVAL);
}

/* -------------------------------------------------------------- descriptors */

static void what_is_no_vhost_net_is_refused_and_left_open(void **state)
{
	struct rig *r = *state;
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

	kernel.fail = VHOST_GET_FEATURES;
	kernel.code = ENOTTY;
	assert_null(vhost_take(fd, "tap vm0", &r->err));
	assert_int_equal(r->err.code, EINVAL);
	assert_non_null(strstr(r->err.reason, "none of /dev/vhost-net"));
	assert_int_equal(vhost_check(fd, "tap vm0", &r->err), -EINVAL);
	kernel.code = EBADF;
	assert_int_equal(vhost_check(fd, "tap vm0", &r->err), -EBADF);
	kernel.fail = VHOST_SET_OWNER;
	kernel.code = EBUSY;
	assert_null(vhost_take(fd, "tap vm0", &r->err));
	assert_non_null(strstr(r->err.reason, "in use"));
	assert_true(fcntl(fd, F_GETFD) >= 0);
	close(fd);
}

/* --------------------------------------------------------------------- IOTLB */

static void translations_go_both_ways(void **state)
{
	const struct vmtap_vhost_iotlb update = {
		.type = VMTAP_IOTLB_UPDATE,
		.perm = VMTAP_IOTLB_READ,
		.iova = 0x1000,
		.len = 0x2000,
		.host = (void *)0x5000,
	};
	struct vmtap_vhost_iotlb miss = { .type = VMTAP_IOTLB_MISS };
	struct vhost_msg_v2 msg = { 0 };
	struct rig *r = *state;

	assert_int_equal(vhost_iotlb_recv(r->v, &miss, &r->err), 0);
	assert_int_equal(vhost_iotlb_send(r->v, &miss, &r->err), -EINVAL);
	vhost_set_features(r->v, BIT(FEATURE_ACCESS_PLATFORM), &r->err);
	assert_string_equal(kernel.calls, "backend-features features ");
	assert_int_equal(vhost_iotlb_send(r->v, &update, &r->err), 0);
	assert_int_equal(read(r->far, &msg, sizeof(msg)), sizeof(msg));
	assert_int_equal(msg.type, VHOST_IOTLB_MSG_V2);
	assert_true(msg.iotlb.iova == 0x1000 && msg.iotlb.size == 0x2000 &&
		    msg.iotlb.uaddr == 0x5000);
	assert_int_equal(msg.iotlb.perm, VHOST_ACCESS_RO);
	msg.iotlb.type = VHOST_IOTLB_MISS;
	assert_int_equal(write(r->far, &msg, sizeof(msg)), sizeof(msg));
	assert_int_equal(vhost_iotlb_recv(r->v, &miss, &r->err), 1);
	assert_true(miss.type == VMTAP_IOTLB_MISS && miss.iova == 0x1000);
}

#define rig_case(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		rig_case(regions_are_sorted_and_neighbours_joined),
		rig_case(no_memory_is_a_table_too),
		rig_case(refuses_regions_that_cannot_be),
		rig_case(too_many_regions_are_explained),
		rig_case(what_the_kernel_lacks_is_not_offered),
		rig_case(the_kernel_hears_of_its_own_features_only),
		rig_case(headers_are_made_where_the_tap_has_none),
		rig_case(a_feature_that_it_lacks_is_refused),
		rig_case(a_log_that_is_too_short_is_explained),
		rig_case(the_log_has_an_address_and_an_event),
		rig_case(a_ring_is_described_before_it_starts),
		rig_case(refuses_rings_that_cannot_be),
		rig_case(the_byte_order_is_told_to_a_kernel_that_has_the_call),
		rig_case(a_running_ring_stays_as_it_is),
		rig_case(stopping_says_how_far_it_came),
		rig_case(who_else_reads_the_queue_is_told),
		rig_case(without_a_tap_nothing_starts),
		rig_case(an_event_that_is_none_is_explained),
		rig_case(the_log_of_a_ring_comes_and_goes),
		rig_case(the_poll_time_is_of_both_rings),
		rig_case(the_end_and_a_reset_stop_the_rings_first),
		rig_case(what_is_no_vhost_net_is_refused_and_left_open),
		rig_case(translations_go_both_ways),
	};

	return cmocka_run_group_tests_name("vhost", tests, NULL, NULL);
}
