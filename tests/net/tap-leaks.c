/* SPDX-License-Identifier: MIT */
/* The library leaves no descriptor and no interface behind, whatever fails. */
#include "tap-lab.h"

#include <dirent.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static unsigned count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	unsigned cnt = 0;

	assert_non_null(dir);
	while (readdir(dir))
		cnt++;
	closedir(dir);
	return cnt;
}

static unsigned count_interfaces(void)
{
	struct if_nameindex *list = if_nameindex();
	unsigned cnt = 0;

	assert_non_null(list);
	while (list[cnt].if_index)
		cnt++;
	if_freenameindex(list);
	return cnt;
}

/* Each fails at another step. */
static const char *const bad[] = {
	"",
	",",
	"nosuch",
	"tap,nosuch=1",
	"tap,ifname=a/b",
	"tap,ifname=lo,script=no,downscript=no",
	"tap,ifname=vm9,queues=257",
	"tap,ifname=vm9,br=nosuch",
	"tap,ifname=vm9,br=lo",
	"tap,ifname=vm9,mtu=65522",
	"tap,ifname=vm9,mac=02:00:00:00:00:zz",
	"tap,ifname=vm9,owner=nobody-of-this-name",
	"tap,ifname=vm9,script=/nonexistent,downscript=no",
	"tap,ifname=vm9,script=/bin/false,downscript=no",
	"tap,ifname=vm9,queues=8,script=/bin/false,downscript=/bin/true",
	"tap,ifname=vm9,script=/bin/false,downscript=no,persist=on",
	"tap,ifname=vm9,vhostfd=99,script=no,downscript=no",
	"tap,ifname=single,queues=2,script=no,downscript=no",
	"tap,ifname=many,script=no,downscript=no",
	"tap,fd=99",
	"tap,fd=0",
	"tap,fds=0:1:2",
	"tap,fd=nobody",
	"tap,fd=0,ifname=vm9",
	"tap,helper=/bin/false",
	"stream,path=relative/nonexistent",
	"stream,server=on,path=/nonexistent/socket",
	"stream,fd=99",
	"dgram,local=/nonexistent/a,remote=/nonexistent/b",
	"dgram,fd=99",
	"responder,ip=nonsense",
	"null,speed=nonsense",
	"{\"type\":\"tap\"",
	"{\"type\":\"tap\",\"ifname\":5}",
};

static void check_error(const char *spec, const struct vmtap_error *err)
{
	char text[2000];

	if (err->code <= 0 || !err->action[0] || !err->reason[0])
		fail_msg("%s: an error without code, action or reason", spec);
	assert_true(vmtap_error_format(err, text, sizeof(text)) < (int)sizeof(text));
}

static void ports_that_fail_to_open_leave_nothing(void **state)
{
	unsigned fds, interfaces;
	struct lab lab;

	lab_run("ip tuntap add single mode tap && ip tuntap add many mode tap multi_queue");
	lab_open_ports(&lab, NULL, 0);
	fds = count_fds();
	interfaces = count_interfaces();
	for (int round = 0; round < 2; round++) {
		for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
			struct vmtap_error err = { 0 };
			struct vmtap_port *port = vmtap_port_open(lab.v, bad[i], &err);

			if (port && strncmp(bad[i], "stream,path=", 12) == 0) {
				vmtap_port_close(port); /* it may just wait for its peer */
				continue;
			}
			if (port)
				fail_msg("\"%s\" was opened", bad[i]);
			check_error(bad[i], &err);
			assert_null(vmtap_port_open(lab.v, bad[i], NULL));
			if (count_fds() != fds || count_interfaces() != interfaces)
				fail_msg("\"%s\" left something behind", bad[i]);
		}
	}
	lab_close(&lab);
}

static void checks_leave_nothing(void **state)
{
	unsigned fds, interfaces;
	struct lab lab;

	lab_open_ports(&lab, NULL, 0);
	fds = count_fds();
	interfaces = count_interfaces();
	for (unsigned i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		struct vmtap_error err = { 0 };
		int ret = vmtap_port_check(lab.v, bad[i], &err);

		if (ret < 0) {
			assert_int_equal(ret, -err.code);
			check_error(bad[i], &err);
		}
		assert_int_equal(vmtap_port_check(lab.v, bad[i], NULL), ret);
		assert_int_equal(count_fds(), fds);
		assert_int_equal(count_interfaces(), interfaces);
	}
	assert_int_equal(vmtap_port_check(lab.v, LAB_TAP ",queues=4,mtu=1400", NULL), 0);
	assert_int_equal(count_fds(), fds);
	assert_int_equal(count_interfaces(), interfaces);
	lab_close(&lab);
}

static void ports_that_come_and_go_leave_nothing(void **state)
{
	static const char *const good[] = {
		LAB_TAP,
		LAB_TAP ",queues=4",
		LAB_TAP ",vnet_hdr=off,reconnect-ms=1000",
		"stream,server=on,path=@vmtap-tap-leaks",
		"dgram,local=@vmtap-tap-leaks-a,remote=@vmtap-tap-leaks-b",
		"responder,ip=10.0.0.2",
		"null,generate=on,speed=1000",
	};
	unsigned fds, interfaces;
	struct lab lab;

	lab_open_ports(&lab, NULL, 0);
	fds = count_fds();
	interfaces = count_interfaces();
	for (unsigned i = 0; i < 5 * sizeof(good) / sizeof(good[0]); i++) {
		struct vmtap_error err = { 0 };

		lab.tap = vmtap_port_open(lab.v, good[i % 7], &err);
		if (!lab.tap)
			fail_msg("%s: cannot %s: %s", good[i % 7], err.action, err.reason);
		lab_link(&lab);
		lab_settle(&lab);
		vmtap_port_close(lab.tap);
		lab_settle(&lab);
		assert_int_equal(count_fds(), fds);
		assert_int_equal(count_interfaces(), interfaces);
	}
	lab_close(&lab);
}

static void instances_that_come_and_go_leave_nothing(void **state)
{
	unsigned fds = count_fds(), interfaces = count_interfaces();

	for (int i = 0; i < 20; i++) {
		struct lab lab;

		lab_open(&lab, i % 2 ? ",queues=3" : "");
		lab_close(&lab);
		assert_int_equal(count_fds(), fds);
		assert_int_equal(count_interfaces(), interfaces);
	}
}

/* The n-th descriptor cannot be had, for every n. */
static void too_few_descriptors_leave_nothing(void **state)
{
	struct rlimit all;
	unsigned interfaces = count_interfaces(), fds = count_fds(), opened = 0;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &all), 0);
	for (rlim_t max = 3; max < 40; max++) {
		struct rlimit few = { max, all.rlim_max };
		struct vmtap_error err = { 0 };
		struct vmtap_port *port = NULL;
		struct vmtap *v;

		assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
		v = vmtap_new(NULL, &err);
		if (v)
			port = vmtap_port_open(v, LAB_TAP ",queues=4,br=nosuch", &err);
		assert_null(port);
		check_error("with few descriptors", &err);
		if (v)
			port = vmtap_port_open(v, LAB_TAP ",queues=4", &err);
		opened += port != NULL;
		vmtap_free(v);
		assert_int_equal(setrlimit(RLIMIT_NOFILE, &all), 0);
		assert_int_equal(count_fds(), fds);
		assert_int_equal(count_interfaces(), interfaces);
	}
	assert_in_range(opened, 1, 35);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ports_that_fail_to_open_leave_nothing),
		cmocka_unit_test(checks_leave_nothing),
		cmocka_unit_test(ports_that_come_and_go_leave_nothing),
		cmocka_unit_test(instances_that_come_and_go_leave_nothing),
		cmocka_unit_test(too_few_descriptors_leave_nothing),
	};

	return lab_main(argc, argv, tests);
}
