/* SPDX-License-Identifier: MIT */
/* The virtio-net header and offloads of a TAP, against what the kernel itself does with them. */
#include "tap-gso.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define ALL VMTAP_OFFLOAD_ALL
#define TSO (VMTAP_OFFLOAD_TSO4 | VMTAP_OFFLOAD_TSO6)
#define USO (VMTAP_OFFLOAD_USO4 | VMTAP_OFFLOAD_USO6)

#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

/* Does the kernel hand out GSO frames of this kind at all? */
static bool kernel_has(struct lab *lab, const struct gso *g)
{
	return !g->udp || vmtap_port_has_uso(lab->tap);
}

/* ------------------------------------------------------------------- probing */

static void probes_what_the_device_has(void **state)
{
	struct lab lab;
	int fd;

	lab_open(&lab, ",vnet_hdr=on");
	fd = vmtap_port_fd(lab.tap, 0);
	assert_true(vmtap_port_has_vnet_hdr(lab.tap));
	assert_true(vmtap_port_has_vnet_hdr_len(lab.tap, 10));
	assert_true(vmtap_port_has_vnet_hdr_len(lab.tap, 12));
	for (unsigned len = 0; len < 64; len++)
		if (len != 10 && len != 12)
			assert_false(vmtap_port_has_vnet_hdr_len(lab.tap, len));
	assert_int_equal(vmtap_port_has_ufo(lab.tap),
			 ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_UFO) == 0);
	assert_int_equal(vmtap_port_has_uso(lab.tap),
			 ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_USO4 | TUN_F_USO6) == 0);
	assert_false(vmtap_port_has_vnet_hdr(lab.app));
	assert_false(vmtap_port_has_vnet_hdr_len(lab.app, 12));
	assert_false(vmtap_port_has_ufo(lab.app));
	assert_false(vmtap_port_has_uso(lab.app));
	lab_close(&lab);

	lab_open(&lab, ",vnet_hdr=off");
	assert_false(vmtap_port_has_vnet_hdr(lab.tap));
	assert_false(vmtap_port_has_vnet_hdr_len(lab.tap, 10));
	assert_false(vmtap_port_has_ufo(lab.tap));
	assert_false(vmtap_port_has_uso(lab.tap));
	lab_close(&lab);
}

static int hdr_len_of(const struct vmtap_port *tap)
{
	int len = -1;

	assert_int_equal(ioctl(vmtap_port_fd(tap, 0), TUNGETVNETHDRSZ, &len), 0);
	return len;
}

static void one_frame_each_way(struct lab *lab, unsigned n)
{
	unsigned char buf[200];

	lab_frame(buf, 200, n);
	assert_int_equal(vmtap_send_raw(lab->app, buf, 200, NULL, NULL), 200);
	lab_kernel_expect(lab, lab->packet, n, n + 1);
	lab_forget(lab);
	lab_kernel_send(lab, buf, 200);
	lab_wait(lab, 1);
	assert_int_equal(lab_number(lab->frames[0].data, lab->frames[0].len), n);
}

static void the_header_has_10_or_12_bytes(void **state)
{
	static const unsigned wrong[] = { 0, 1, 9, 11, 13, 14, 20, 24, 4096, UINT32_MAX };
	struct vmtap_error err;
	struct lab lab;

	lab_open(&lab, "");
	assert_int_equal(hdr_len_of(lab.tap), 12);
	for (unsigned n = 0; n < 4; n++) {
		assert_int_equal(vmtap_port_set_vnet_hdr_len(lab.tap, n % 2 ? 12 : 10, &err), 0);
		assert_int_equal(hdr_len_of(lab.tap), n % 2 ? 12 : 10);
		one_frame_each_way(&lab, n);
	}
	for (unsigned i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		assert_int_equal(vmtap_port_set_vnet_hdr_len(lab.tap, wrong[i], &err), -EINVAL);
		assert_int_equal(err.code, EINVAL);
		assert_non_null(strstr(err.remedy, "12"));
		assert_int_equal(hdr_len_of(lab.tap), 12);
	}
	assert_int_equal(vmtap_port_set_vnet_hdr_len(lab.app, 12, &err), -EOPNOTSUPP);
	one_frame_each_way(&lab, 9);
	lab_close(&lab);

	lab_open(&lab, ",vnet_hdr=off");
	assert_int_equal(vmtap_port_set_vnet_hdr_len(lab.tap, 12, &err), -EOPNOTSUPP);
	assert_int_equal(vmtap_port_set_vnet_hdr_len(lab.tap, 11, &err), -EINVAL);
	lab_close(&lab);
}

static void using_the_header_agrees_with_having_one(void **state)
{
	struct vmtap_error err;
	struct lab lab;

	lab_open(&lab, ",vnet_hdr=on");
	assert_int_equal(vmtap_port_use_vnet_hdr(lab.tap, true, &err), 0);
	assert_int_equal(vmtap_port_use_vnet_hdr(lab.tap, false, &err), -EINVAL);
	assert_int_equal(vmtap_port_use_vnet_hdr(lab.app, false, &err), 0);
	assert_int_equal(vmtap_port_use_vnet_hdr(lab.app, true, &err), -EINVAL);
	lab_close(&lab);

	lab_open(&lab, ",vnet_hdr=off");
	assert_int_equal(vmtap_port_use_vnet_hdr(lab.tap, false, &err), 0);
	assert_int_equal(vmtap_port_use_vnet_hdr(lab.tap, true, &err), -EINVAL);
	lab_close(&lab);
}

/* ------------------------------------------------------------------- offloads */

static void no_combination_of_offloads_fails(void **state)
{
	struct vmtap_error err;
	struct lab lab;
	int ret, all;

	lab_open(&lab, "");
	all = vmtap_port_set_offload(lab.tap, ALL, &err);
	assert_true((all & (VMTAP_OFFLOAD_CSUM | TSO | VMTAP_OFFLOAD_ECN)) ==
		    (VMTAP_OFFLOAD_CSUM | TSO | VMTAP_OFFLOAD_ECN));
	assert_int_equal(all & USO, vmtap_port_has_uso(lab.tap) ? USO : 0);
	for (unsigned bits = 0; bits <= ALL; bits++) {
		ret = vmtap_port_set_offload(lab.tap, bits, &err);
		assert_true(ret >= 0);
		assert_int_equal((unsigned)ret & ~bits, 0);
		if (!(bits & VMTAP_OFFLOAD_CSUM))
			assert_int_equal(ret, 0);
		else
			assert_int_equal(ret & (VMTAP_OFFLOAD_CSUM | TSO),
					 bits & (VMTAP_OFFLOAD_CSUM | TSO));
		one_frame_each_way(&lab, bits);
	}
	assert_int_equal(vmtap_port_set_offload(lab.tap, ALL + 1, &err), -EINVAL);
	assert_int_equal(vmtap_port_set_offload(lab.app, UINT32_MAX, &err), -EINVAL);
	lab_close(&lab);

	lab_open(&lab, ",vnet_hdr=off");
	assert_int_equal(vmtap_port_set_offload(lab.tap, ALL, &err), 0);
	lab_close(&lab);
}

/* Feed GSO frames from the kernel. The application takes @accepts; what it does not take must not
 * come. */
static void from_the_kernel(const char *options, unsigned accepts)
{
	struct vmtap_error err;
	struct lab lab;
	int sock;

	lab_open(&lab, options);
	lab.type = 0;
	assert_int_equal(vmtap_port_set_offload(lab.app, accepts, &err), accepts);
	sock = gso_socket();
	for (unsigned i = 0; i < GSO_CNT; i++) {
		const struct gso *g = &gsos[i];
		bool big = (accepts & g->offload) && vmtap_port_has_vnet_hdr(lab.tap) &&
			   kernel_has(&lab, g);
		unsigned off = 0;

		if (!gso_kernel_knows(g))
			continue;
		lab_forget(&lab);
		gso_kernel_send(sock, g);
		lab_wait(&lab, big ? 1 : GSO_PAYLOAD / GSO_MSS);
		assert_int_equal(lab.frame_cnt, big ? 1 : GSO_PAYLOAD / GSO_MSS);
		for (unsigned n = 0; n < lab.frame_cnt; n++) {
			const struct lab_frame *f = &lab.frames[n];

			if (big) {
				assert_int_equal(f->len, gso_headers(g) + GSO_PAYLOAD);
				assert_int_equal(f->hdr.gso_type, g->type);
				assert_int_equal(f->hdr.gso_size, GSO_MSS);
				assert_int_equal(f->hdr.csum_start, gso_l4_at(g));
				assert_true(f->hdr.flags & VMTAP_HDR_NEEDS_CSUM);
				continue;
			}
			assert_int_equal(f->hdr.gso_type, VMTAP_GSO_NONE);
			assert_int_equal(f->len, gso_headers(g) + GSO_MSS);
			if (f->hdr.flags & VMTAP_HDR_NEEDS_CSUM)
				assert_true(accepts & VMTAP_OFFLOAD_CSUM);
			else
				off += gso_check_complete(g, f->data, f->len, off);
		}
	}
	close(sock);
	lab_close(&lab);
}

static void offloads_are_off_until_asked_for(void **state)
{
	from_the_kernel("", 0);
	from_the_kernel(",vnet_hdr=off", 0);
}

static void the_application_gets_what_it_takes(void **state)
{
	from_the_kernel("", VMTAP_OFFLOAD_CSUM);
	from_the_kernel("", VMTAP_OFFLOAD_CSUM | VMTAP_OFFLOAD_TSO4);
	from_the_kernel("", VMTAP_OFFLOAD_CSUM | VMTAP_OFFLOAD_TSO6);
	from_the_kernel("", VMTAP_OFFLOAD_CSUM | TSO | VMTAP_OFFLOAD_ECN);
	from_the_kernel("", ALL);
	from_the_kernel(",vnet_hdr=off", ALL);
	from_the_kernel(",queues=2", ALL);
}

static void what_the_device_leaves_undone_is_finished_on_the_way(void **state)
{
	struct vmtap_error err;
	struct lab lab;
	int sock;

	lab_open(&lab, "");
	lab.type = 0;
	sock = gso_socket();
	assert_true(vmtap_port_set_offload(lab.tap, ALL, &err) >
		    0); /* the application takes none */
	for (unsigned i = 0; i < GSO_CNT; i++) {
		unsigned off = 0;

		if (!gso_kernel_knows(&gsos[i]))
			continue;
		lab_forget(&lab);
		gso_kernel_send(sock, &gsos[i]);
		lab_wait(&lab, GSO_PAYLOAD / GSO_MSS);
		for (unsigned n = 0; n < lab.frame_cnt; n++)
			off += gso_check_complete(&gsos[i], lab.frames[n].data, lab.frames[n].len,
						  off);
		assert_int_equal(off, GSO_PAYLOAD);
	}
	assert_true(lab_stats(lab.tap)->rx.gso_frames >= 2);
	assert_int_equal(lab_stats(lab.app)->tx.gso_frames, 0);
	close(sock);
	lab_close(&lab);
}

static void offloads_go_with_the_peer_that_asked(void **state)
{
	struct vmtap_error err;
	struct lab lab;
	unsigned off = 0;
	int sock;

	lab_open(&lab, "");
	lab.type = 0;
	sock = gso_socket();
	vmtap_port_set_offload(lab.app, ALL, &err);
	gso_kernel_send(sock, &gsos[0]);
	lab_wait(&lab, 1);
	assert_int_equal(lab.frames[0].hdr.gso_type, VMTAP_GSO_TCPV4);
	vmtap_port_close(lab.app);
	assert_int_equal(lab.closed_cnt, 1);
	lab_forget(&lab);
	lab.app = vmtap_app_new(lab.v, "other", &lab.ops, &lab, NULL);
	lab_link(&lab);
	gso_kernel_send(sock, &gsos[0]);
	lab_wait(&lab, GSO_PAYLOAD / GSO_MSS);
	for (unsigned n = 0; n < lab.frame_cnt; n++)
		off += gso_check_complete(&gsos[0], lab.frames[n].data, lab.frames[n].len, off);
	assert_int_equal(lab_stats(lab.tap)->rx.gso_frames, 1);
	close(sock);
	lab_close(&lab);
}

/* GSO frames of the application: as they are to a device with a header, else segmented. */
static void towards_the_kernel(const char *options)
{
	static unsigned char f[ETH + 60 + GSO_PAYLOAD], got[10 + ETH + 60 + GSO_PAYLOAD];
	struct lab lab;
	int sock;

	lab_open(&lab, options);
	sock = gso_socket();
	for (unsigned i = 0; i < GSO_CNT; i++) {
		const struct gso *g = &gsos[i];
		bool big = vmtap_port_has_vnet_hdr(lab.tap) && kernel_has(&lab, g);
		unsigned off = 0;
		struct vmtap_net_hdr hdr;
		unsigned len = gso_frame(g, f, &hdr);
		struct iovec iov[] = { { &hdr, 12 }, { f, len } };

		assert_int_equal(vmtap_sendv(lab.app, iov, 2, NULL, NULL), 12 + len);
		while (off < GSO_PAYLOAD) {
			size_t n = lab_kernel_receive(&lab, sock, got, sizeof(got), 5000);

			assert_true(n > 10);
			memcpy(&hdr, got, 10);
			if (!big && hdr.flags & VMTAP_HDR_NEEDS_CSUM) {
				assert_true(vmtap_port_has_vnet_hdr(lab.tap));
				off += (unsigned)n - 10 - gso_headers(g);
				continue;
			}
			if (!big) {
				off += gso_check_complete(g, got + 10, (unsigned)n - 10, off);
				continue;
			}
			assert_int_equal(hdr.gso_type, g->type);
			assert_int_equal(hdr.gso_size, GSO_MSS);
			assert_int_equal(n, 10 + len);
			off = GSO_PAYLOAD;
		}
	}
	assert_int_equal(lab_drops(&lab_stats(lab.tap)->tx), 0);
	close(sock);
	lab_close(&lab);
}

static void the_kernel_gets_gso_frames_as_they_are(void **state)
{
	towards_the_kernel("");
	towards_the_kernel(",queues=3");
}

static void a_device_without_header_gets_them_finished(void **state)
{
	towards_the_kernel(",vnet_hdr=off");
}

static void a_header_that_lies_is_dropped_and_counted(void **state)
{
	static const struct vmtap_net_hdr lies[] = {
		{ .flags = VMTAP_HDR_NEEDS_CSUM, .csum_start = 60000 },
		{ .flags = VMTAP_HDR_NEEDS_CSUM, .csum_start = 199, .csum_offset = 16 },
		{ .gso_type = VMTAP_GSO_TCPV4, .gso_size = 0 },
		{ .gso_type = 77, .gso_size = 100 },
	};
	static const char *const devices[] = { "", ",vnet_hdr=off" };
	unsigned char buf[200];

	for (unsigned d = 0; d < 2; d++) {
		uint64_t drops;
		struct lab lab;

		lab_open(&lab, devices[d]);
		for (unsigned i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
			struct vmtap_net_hdr hdr = lies[i];
			struct iovec iov[] = { { &hdr, 12 }, { buf, 200 } };

			lab_frame(buf, 200, i);
			assert_int_equal(vmtap_sendv(lab.app, iov, 2, NULL, NULL), 212);
		}
		drops = lab_stats(lab.tap)->tx.drops[VMTAP_DROP_REFUSED];
		drops += lab_stats(lab.app)->rx.drops[VMTAP_DROP_BAD_HEADER];
		assert_int_equal(drops, sizeof(lies) / sizeof(lies[0]));
		one_frame_each_way(&lab, 7);
		lab_close(&lab);
	}
}

/* ------------------------------------------------------------------ byte order */

static int endian_flag(const struct vmtap_port *tap, unsigned long request)
{
	int flag = -1;

	return ioctl(vmtap_port_fd(tap, 0), request, &flag) < 0 ? -1 : flag;
}

static void gso_both_ways(struct lab *lab, int sock)
{
	static unsigned char f[ETH + 60 + GSO_PAYLOAD], got[10 + ETH + 60 + GSO_PAYLOAD];
	struct vmtap_net_hdr hdr;
	unsigned len = gso_frame(&gsos[0], f, &hdr);
	struct iovec iov[] = { { &hdr, 12 }, { f, len } };

	lab_forget(lab);
	gso_kernel_send(sock, &gsos[0]);
	lab_wait(lab, 1);
	assert_int_equal(lab->frames[0].hdr.gso_size, GSO_MSS);
	assert_int_equal(lab->frames[0].hdr.csum_start, gso_l4_at(&gsos[0]));
	assert_int_equal(vmtap_sendv(lab->app, iov, 2, NULL, NULL), 12 + len);
	assert_int_equal(lab_kernel_receive(lab, sock, got, sizeof(got), 5000), 10 + len);
}

static void the_headers_byte_order_can_be_set(void **state)
{
	struct vmtap_error err = { 0 };
	struct lab lab;
	int sock, ret;

	lab_open(&lab, "");
	lab.type = 0;
	sock = gso_socket();
	vmtap_port_set_offload(lab.app, ALL, &err);
	assert_int_equal(endian_flag(lab.tap, TUNGETVNETLE), 0);
	gso_both_ways(&lab, sock);
	assert_int_equal(vmtap_port_set_vnet_endian(lab.tap, VMTAP_ENDIAN_LITTLE, &err), 0);
	assert_int_equal(endian_flag(lab.tap, TUNGETVNETLE), 1);
	gso_both_ways(&lab, sock);
	assert_int_equal(vmtap_port_set_vnet_endian(lab.tap, VMTAP_ENDIAN_NATIVE, &err), 0);
	assert_int_equal(endian_flag(lab.tap, TUNGETVNETLE), 0);
	gso_both_ways(&lab, sock);
	ret = vmtap_port_set_vnet_endian(lab.tap, VMTAP_ENDIAN_BIG, &err);
	if (ret == 0)
		assert_int_equal(endian_flag(lab.tap, TUNGETVNETBE), 1);
	else
		assert_non_null(strstr(err.remedy, "CONFIG_TUN_VNET_CROSS_LE"));
	gso_both_ways(&lab, sock); /* whichever it is now */
	assert_int_equal(vmtap_port_set_vnet_endian(lab.app, VMTAP_ENDIAN_LITTLE, &err),
			 -EOPNOTSUPP);
	close(sock);
	lab_close(&lab);
}

/* ---------------------------------------------- what an earlier user left behind */

static void leave_behind(void)
{
	struct ifreq ifr = { .ifr_flags = (short)(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR),
			     .ifr_name = "vm0" };
	int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC), len = 24, sndbuf = 5000, one = 1;

	assert_int_equal(ioctl(fd, TUNSETIFF, &ifr), 0);
	assert_int_equal(ioctl(fd, TUNSETVNETHDRSZ, &len), 0);
	assert_int_equal(ioctl(fd, TUNSETVNETLE, &one), 0);
	assert_int_equal(ioctl(fd, TUNSETSNDBUF, &sndbuf), 0);
	assert_int_equal(
		ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_TSO_ECN), 0);
	assert_int_equal(ioctl(fd, TUNSETPERSIST, 1), 0);
	close(fd);
}

static void an_earlier_users_settings_are_reset(void **state)
{
	unsigned off = 0;
	struct lab lab;
	int sock, sndbuf = 0;

	leave_behind();
	lab_open(&lab, ",up=on");
	lab.type = 0x0800;
	assert_int_equal(hdr_len_of(lab.tap), 12);
	assert_int_equal(endian_flag(lab.tap, TUNGETVNETLE), 0);
	assert_int_equal(ioctl(vmtap_port_fd(lab.tap, 0), TUNGETSNDBUF, &sndbuf), 0);
	assert_int_equal(sndbuf, INT_MAX);
	sock = gso_socket();
	gso_kernel_send(sock, &gsos[0]);
	lab_wait(&lab, GSO_PAYLOAD / GSO_MSS);
	for (unsigned n = 0; n < lab.frame_cnt; n++)
		off += gso_check_complete(&gsos[0], lab.frames[n].data, lab.frames[n].len, off);
	assert_int_equal(off, GSO_PAYLOAD);
	close(sock);
	lab_close(&lab);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(probes_what_the_device_has),
		cmocka_unit_test(the_header_has_10_or_12_bytes),
		cmocka_unit_test(using_the_header_agrees_with_having_one),
		cmocka_unit_test(no_combination_of_offloads_fails),
		cmocka_unit_test(offloads_are_off_until_asked_for),
		cmocka_unit_test(the_application_gets_what_it_takes),
		cmocka_unit_test(what_the_device_leaves_undone_is_finished_on_the_way),
		cmocka_unit_test(offloads_go_with_the_peer_that_asked),
		cmocka_unit_test(the_kernel_gets_gso_frames_as_they_are),
		cmocka_unit_test(a_device_without_header_gets_them_finished),
		cmocka_unit_test(a_header_that_lies_is_dropped_and_counted),
		cmocka_unit_test(the_headers_byte_order_can_be_set),
		cmocka_unit_test(an_earlier_users_settings_are_reset),
	};

	return lab_main(argc, argv, tests);
}
