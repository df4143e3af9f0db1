/* SPDX-License-Identifier: MIT */
/* Closing ports from anywhere, what a closed one still says, and the link's state. */
#include "tap-lab.h"

#include <errno.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

static unsigned char buf[LAB_FRAME_MAX];

static void kernel_sends(struct lab *lab, unsigned cnt)
{
	for (unsigned n = 0; n < cnt; n++) {
		lab_frame(buf, 200, n);
		lab_kernel_send(lab, buf, 200);
	}
}

static ssize_t send_one(struct lab *lab, vmtap_sent_cb *done, void *opaque)
{
	lab_frame(buf, 200, 0);
	return vmtap_send_raw(lab->app, buf, 200, done, opaque);
}

/* ----------------------------------------------------------- from everywhere */

/* What a callback does, once. */
enum act {
	CLOSE_APP,
	CLOSE_TAP,
	CLOSE_BOTH,
	FREE_LINK,
	SHUTDOWN_APP,
	SHUTDOWN_TAP,
	ACT_CNT,
};

static struct act_now {
	struct lab *lab;
	enum act act;
	unsigned done_cnt;
	bool acted;
} now;

static void act(void)
{
	struct lab *lab = now.lab;

	if (now.acted)
		return;
	now.acted = true;
	switch (now.act) {
	case CLOSE_APP:
		vmtap_port_close(lab->app);
		break;
	case CLOSE_TAP:
		vmtap_port_close(lab->tap);
		break;
	case CLOSE_BOTH:
		vmtap_port_close(lab->tap);
		vmtap_port_close(lab->app);
		break;
	case FREE_LINK:
		vmtap_link_free(lab->link);
		break;
	case SHUTDOWN_APP:
		vmtap_port_shutdown(lab->app);
		vmtap_port_shutdown(lab->app);
		break;
	case SHUTDOWN_TAP:
		vmtap_port_shutdown(lab->tap);
		vmtap_port_shutdown(lab->tap);
		break;
	case ACT_CNT:
		break;
	}
}

static void act_on_frame(struct lab *lab)
{
	act();
}

static void act_on_event(struct lab *lab, struct vmtap_port *port)
{
	act();
}

static void act_on_done(void *opaque, ssize_t status)
{
	now.done_cnt++;
	act();
}

/* How the act is brought about; each returns with it done. */
static void by_frame(struct lab *lab)
{
	lab->on_frame = act_on_frame;
	kernel_sends(lab, 300); /* several bursts: it falls into the first */
	while (!now.acted)
		vmtap_dispatch(lab->v, 1000);
}

static void by_done(struct lab *lab)
{
	vmtap_port_set_poll(lab->tap, false);
	for (unsigned n = 0; n < 5; n++)
		assert_int_equal(send_one(lab, act_on_done, NULL), 0);
	vmtap_port_set_poll(lab->tap, true);
	while (!now.acted)
		vmtap_dispatch(lab->v, 1000);
}

static void by_purge(struct lab *lab)
{
	vmtap_port_set_poll(lab->tap, false);
	for (unsigned n = 0; n < 5; n++)
		assert_int_equal(send_one(lab, act_on_done, NULL), 0);
	vmtap_purge(lab->app);
}

static void by_link(struct lab *lab)
{
	lab->on_link = act_on_frame;
	assert_int_equal(vmtap_port_set_link(lab->tap, false, NULL), 0);
}

static void by_event(struct lab *lab)
{
	lab->on_event = act_on_event;
	lab_run("ip link del vm0");
	while (!now.acted)
		vmtap_dispatch(lab->v, 1000);
}

static bool tap_stays(void)
{
	return now.act == CLOSE_APP || now.act == SHUTDOWN_APP || now.act == FREE_LINK;
}

static void act_from(void (*bring_about)(struct lab *), bool deletes)
{
	for (now.act = 0; now.act < ACT_CNT; now.act++) {
		struct lab lab;
		unsigned frames;

		lab_open(&lab, "");
		now.lab = &lab;
		now.acted = false;
		now.done_cnt = 0;
		bring_about(&lab);
		assert_true(now.acted);
		frames = lab.frame_cnt;
		lab_settle(&lab);
		assert_int_equal(lab.frame_cnt, frames); /* no callback after it */
		if (!deletes)
			assert_int_equal(if_nametoindex("vm0") != 0, tap_stays());
		if (now.act == CLOSE_APP || now.act == CLOSE_BOTH || now.act == SHUTDOWN_APP)
			assert_int_equal(lab.closed_cnt, 1);
		lab_close(&lab);
		assert_int_equal(if_nametoindex("vm0"), 0);
		assert_int_equal(lab.closed_cnt, 1);
		if (bring_about == by_done || bring_about == by_purge)
			assert_int_equal(now.done_cnt, 5); /* each once */
	}
}

static void closing_while_frames_are_taken_is_safe(void **state)
{
	act_from(by_frame, false);
}

static void closing_when_a_send_is_done_is_safe(void **state)
{
	act_from(by_done, false);
}

static void closing_when_a_send_is_purged_is_safe(void **state)
{
	act_from(by_purge, false);
}

static void closing_when_the_link_changes_is_safe(void **state)
{
	act_from(by_link, false);
}

static void closing_when_a_port_breaks_is_safe(void **state)
{
	act_from(by_event, true);
}

/* ------------------------------------------------------------------ closing twice */

static void closing_twice_is_safe(void **state)
{
	struct lab lab;

	lab_open(&lab, "");
	vmtap_port_ref(lab.tap);
	vmtap_port_ref(lab.app);
	for (int i = 0; i < 3; i++) {
		vmtap_port_shutdown(lab.tap);
		vmtap_port_shutdown(lab.app);
	}
	assert_int_equal(if_nametoindex("vm0"), 0);
	assert_int_equal(lab.closed_cnt, 1);
	vmtap_port_close(lab.tap); /* gives the first reference back */
	vmtap_port_close(lab.app);
	assert_int_equal(vmtap_port_state(lab.tap), VMTAP_PORT_CLOSED);
	vmtap_port_unref(lab.tap);
	vmtap_port_unref(lab.app);
	vmtap_port_close(NULL);
	vmtap_port_unref(NULL);
	lab_close(&lab);
	assert_int_equal(lab.closed_cnt, 1);
}

#define MANY 20

/* Their devices may go at once, but not what comes before. */
static void an_instance_closes_its_ports_in_reverse_and_all_devices_are_gone(void **state)
{
	char dir[] = "/tmp/vmtap-close.XXXXXX", text[200], name[16];
	struct vmtap_error err = { 0 };
	struct lab lab;

	assert_non_null(mkdtemp(dir));
	snprintf(
		text, sizeof(text),
		"printf '#!/bin/sh\\nip link show $1 >/dev/null && echo $1 >>%s/order\\n' >%s/down; chmod +x "
		"%s/down",
		dir, dir, dir);
	lab_run(text);
	lab_open_ports(&lab, NULL, 12);
	for (int i = 0; i < MANY; i++) {
		snprintf(text, sizeof(text),
			 "tap,ifname=many%02d,queues=%d,script=no,downscript=%s/down", i, 1 + i % 3,
			 dir);
		assert_non_null(vmtap_port_open(lab.v, text, &err));
	}
	lab_close(&lab);
	for (int i = 0; i < MANY; i++) {
		snprintf(name, sizeof(name), "many%02d", i);
		assert_int_equal(if_nametoindex(name), 0);
	}
	snprintf(text, sizeof(text),
		 "test $(wc -l <%s/order) = %d && sort -r %s/order | cmp - %s/order && rm -r %s",
		 dir, MANY, dir, dir, dir);
	lab_run(text);
}

static void the_last_reference_closes(void **state)
{
	struct lab lab;

	lab_open(&lab, "");
	vmtap_port_ref(lab.app);
	vmtap_port_unref(lab.app);
	assert_int_equal(lab.closed_cnt, 0);
	now.lab = &lab;
	now.acted = true;
	now.done_cnt = 0;
	vmtap_port_set_poll(lab.tap, false);
	assert_int_equal(send_one(&lab, act_on_done, NULL), 0);
	vmtap_port_unref(lab.app);
	assert_int_equal(now.done_cnt, 1);
	assert_int_equal(lab.closed_cnt, 1); /* told, as by any other way of closing */
	vmtap_port_unref(lab.tap);
	assert_int_equal(if_nametoindex("vm0"), 0);
	lab_close(&lab);
	assert_int_equal(lab.closed_cnt, 1);
}

static void a_closed_port_still_answers(void **state)
{
	struct vmtap_net_hdr hdr = { 0 };
	struct iovec iov = { buf, 200 };
	struct vmtap_frame frame = { .hdr = hdr, .len = 200, .iov = &iov, .iov_cnt = 1 };
	struct vmtap_error err;
	char text[200];
	struct lab lab;

	lab_open(&lab, "");
	kernel_sends(&lab, 3);
	lab_wait(&lab, 3);
	vmtap_port_shutdown(lab.tap);
	vmtap_port_shutdown(lab.app);
	assert_string_equal(vmtap_port_type(lab.tap), "tap");
	assert_string_equal(vmtap_port_name(lab.app), "app");
	assert_string_equal(vmtap_port_ifname(lab.tap), "vm0");
	assert_int_equal(vmtap_port_state(lab.tap), VMTAP_PORT_CLOSED);
	assert_null(vmtap_port_error(lab.tap));
	assert_true(vmtap_port_describe(lab.tap, text, sizeof(text)) > 0);
	assert_string_equal(text, "ifname=vm0,script=no,downscript=no");
	assert_int_equal(vmtap_port_fd(lab.tap, 0), -1);
	assert_int_equal(lab_stats(lab.tap)->rx.frames, 3);
	assert_true(vmtap_port_set_offload(lab.tap, 0, &err) < 0);
	assert_true(vmtap_port_set_vnet_hdr_len(lab.tap, 12, &err) < 0);
	assert_true(vmtap_port_set_vnet_endian(lab.tap, VMTAP_ENDIAN_LITTLE, &err) < 0);
	assert_true(vmtap_port_set_queue(lab.tap, 0, true, &err) < 0);
	assert_true(vmtap_port_set_link(lab.tap, true, &err) < 0);
	vmtap_port_set_poll(lab.tap, false);
	vmtap_port_set_poll(lab.tap, true);
	vmtap_app_writable(lab.app);
	assert_int_equal(send_one(&lab, NULL, NULL), -EPIPE);
	assert_int_equal(vmtap_send_burst(lab.app, &frame, 1), 1);
	assert_int_equal(vmtap_flush(lab.app), 0);
	vmtap_purge(lab.app);
	assert_null(vmtap_link_new(lab.v, lab.tap, lab.app, &err));
	assert_int_equal(err.code, EPIPE);
	lab_close(&lab);
}

static void a_port_of_the_same_name_can_follow_at_once(void **state)
{
	struct lab lab;

	lab_open(&lab, ",id=same");
	for (int i = 0; i < 5; i++) {
		vmtap_port_close(lab.tap);
		lab.tap = vmtap_port_open(lab.v, LAB_TAP ",id=same", NULL);
		assert_non_null(lab.tap);
		lab_link(&lab);
		close(lab.packet);
		lab.packet = lab_packet_socket("vm0");
		assert_int_equal(send_one(&lab, NULL, NULL), 200);
		lab_kernel_expect(&lab, lab.packet, 0, 1);
	}
	lab_close(&lab);
}

static void what_waits_is_purged_before_the_end(void **state)
{
	struct lab lab;

	lab_open(&lab, "");
	now.acted = true;
	now.done_cnt = 0;
	vmtap_port_set_poll(lab.tap, false);
	for (unsigned n = 0; n < 7; n++)
		assert_int_equal(send_one(&lab, act_on_done, NULL), 0);
	vmtap_port_shutdown(lab.app);
	assert_int_equal(now.done_cnt, 7);
	assert_int_equal(lab_stats(lab.app)->rx.drops[VMTAP_DROP_PURGED], 7);
	lab_close(&lab);

	lab_open(&lab, ""); /* the other way: read from the TAP, and not taken */
	lab.take = 0;
	kernel_sends(&lab, 7);
	lab_settle(&lab);
	vmtap_port_shutdown(lab.tap);
	assert_int_equal(lab_stats(lab.tap)->rx.drops[VMTAP_DROP_PURGED] +
				 lab_stats(lab.tap)->rx.drops[VMTAP_DROP_NO_PEER],
			 7);
	lab_close(&lab);
}

static void freeing_the_instance_ends_everything(void **state)
{
	struct lab lab;

	lab_open(&lab, ",queues=4");
	now.acted = true;
	now.done_cnt = 0;
	lab.take = 0;
	kernel_sends(&lab, 100);
	lab_settle(&lab);
	vmtap_port_set_poll(lab.tap, false);
	for (unsigned n = 0; n < 7; n++)
		assert_int_equal(send_one(&lab, act_on_done, NULL), 0);
	lab_close(&lab);
	assert_int_equal(now.done_cnt, 7);
	assert_int_equal(lab.closed_cnt, 1);
	assert_int_equal(if_nametoindex("vm0"), 0);
	vmtap_free(NULL);
}

/* A callback may close anything, but dispatching belongs to who called. */
static void dispatch_again(struct lab *lab)
{
	assert_int_equal(vmtap_dispatch(lab->v, 0), -EBUSY);
}

static void dispatching_from_a_callback_is_refused(void **state)
{
	struct lab lab;

	lab_open(&lab, "");
	lab.on_frame = dispatch_again;
	lab.on_link = dispatch_again;
	kernel_sends(&lab, 3);
	lab_wait(&lab, 3);
	vmtap_port_set_link(lab.tap, false, NULL);
	lab_close(&lab);
}

/* --------------------------------------------------------------------- the link */

/* The driver's own word, at once: what `ip link` shows follows some time later. */
static bool has_carrier(void)
{
	struct ethtool_value value = { .cmd = ETHTOOL_GLINK };
	struct ifreq ifr = { .ifr_name = "vm0", .ifr_data = (void *)&value };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(ioctl(fd, SIOCETHTOOL, &ifr), 0);
	close(fd);
	return value.data;
}

static void the_link_reaches_the_host_and_the_peer(void **state)
{
	struct lab lab;

	lab_open(&lab, "");
	assert_true(lab.link_up && has_carrier());
	lab.link_cnt = 0;
	for (int i = 0; i < 3; i++) {
		assert_int_equal(vmtap_port_set_link(lab.tap, false, NULL), 0);
		assert_false(lab.link_up || has_carrier());
		assert_int_equal(vmtap_port_set_link(lab.tap, true, NULL), 0);
		assert_true(lab.link_up && has_carrier());
	}
	assert_int_equal(lab.link_cnt, 6);
	assert_int_equal(send_one(&lab, NULL, NULL), 200);
	lab_kernel_expect(&lab, lab.packet, 0, 1);
	lab_close(&lab);
}

static void a_new_peer_is_told_of_a_link_that_is_down(void **state)
{
	struct lab lab;

	lab_open_ports(&lab, LAB_TAP, 0);
	assert_int_equal(vmtap_port_set_link(lab.tap, false, NULL), 0);
	assert_false(has_carrier());
	lab.link_up = true;
	lab_link(&lab);
	assert_false(lab.link_up);
	lab_close(&lab);
}

static void a_device_that_was_made_again_has_the_links_state(void **state)
{
	struct lab lab;

	lab_open(&lab, ",reconnect-ms=5");
	assert_int_equal(vmtap_port_set_link(lab.tap, false, NULL), 0);
	lab_run("ip link del vm0");
	while (vmtap_port_state(lab.tap) == VMTAP_PORT_UP)
		vmtap_dispatch(lab.v, 1000);
	lab_run("ip tuntap add vm0 mode tap && ip link set vm0 up");
	while (vmtap_port_state(lab.tap) != VMTAP_PORT_UP)
		vmtap_dispatch(lab.v, 1000);
	assert_false(has_carrier());
	assert_int_equal(vmtap_port_set_link(lab.tap, true, NULL), 0);
	assert_true(has_carrier());
	lab_close(&lab);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(closing_while_frames_are_taken_is_safe),
		cmocka_unit_test(closing_when_a_send_is_done_is_safe),
		cmocka_unit_test(closing_when_a_send_is_purged_is_safe),
		cmocka_unit_test(closing_when_the_link_changes_is_safe),
		cmocka_unit_test(closing_when_a_port_breaks_is_safe),
		cmocka_unit_test(closing_twice_is_safe),
		cmocka_unit_test(an_instance_closes_its_ports_in_reverse_and_all_devices_are_gone),
		cmocka_unit_test(the_last_reference_closes),
		cmocka_unit_test(a_closed_port_still_answers),
		cmocka_unit_test(a_port_of_the_same_name_can_follow_at_once),
		cmocka_unit_test(what_waits_is_purged_before_the_end),
		cmocka_unit_test(freeing_the_instance_ends_everything),
		cmocka_unit_test(dispatching_from_a_callback_is_refused),
		cmocka_unit_test(the_link_reaches_the_host_and_the_peer),
		cmocka_unit_test(a_new_peer_is_told_of_a_link_that_is_down),
		cmocka_unit_test(a_device_that_was_made_again_has_the_links_state),
	};

	return lab_main(argc, argv, tests);
}
