/* SPDX-License-Identifier: MIT */
/* VMMs' command lines. */
#include "host/vmm.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "unit.h"

/* Good until the next. */
static const struct vmm *parse(const char *line)
{
	static struct vmm v;

	assert_int_equal(vmm_of_text(line, &v), 0);
	return &v;
}

static void assert_shared(const char *line, bool shared)
{
	const struct vmm *v = parse(line);

	if (v->shared != shared)
		fail_msg("%s: shared is %d", line, v->shared);
	assert_int_equal(v->remedy[0] == '\0' && v->culprit[0] == '\0', shared);
}

#define QEMU "qemu-system-x86_64 "
#define VU " -netdev vhost-user,id=n,chardev=c"

static void knows_programs_by_name(void **state)
{
	assert_int_equal(parse("/usr/bin/qemu-system-aarch64 -m 1G")->kind, VMM_QEMU);
	assert_int_equal(parse("sudo -u vm taskset 3 kvm -m 1G")->kind, VMM_QEMU);
	assert_int_equal(parse("cloud-hypervisor --memory size=1G")->kind, VMM_CLOUD_HYPERVISOR);
	assert_int_equal(parse("crosvm run --vhost-user-net x")->kind, VMM_CROSVM);
	assert_true(parse("crosvm run")->shared);
	assert_int_equal(parse("vim qemu.txt")->kind, VMM_NONE);
	assert_int_equal(parse("")->kind, VMM_NONE);
}

static void sees_vhost_user_devices(void **state)
{
	assert_true(parse(QEMU VU)->vhost_user);
	assert_true(parse(QEMU "-netdev type=vhost-user,id=n")->vhost_user);
	assert_true(parse(QEMU "-netdev '{\"id\":\"n\",\"type\":\"vhost-user\"}'")->vhost_user);
	assert_true(parse(QEMU "--device vhost-user-fs-pci,chardev=c")->vhost_user);
	assert_true(parse(QEMU "-device '{\"driver\":\"vhost-user-blk-pci\"}'")->vhost_user);
	assert_false(parse(QEMU "-netdev tap,id=vhost-user")->vhost_user);
	assert_false(parse(QEMU "-device e1000,netdev=vhost-user")->vhost_user);
	assert_true(parse("cloud-hypervisor --net a=b vhost_user=true,socket=x")->vhost_user);
	assert_true(parse("cloud-hypervisor --net=vhost_user=on,socket=x")->vhost_user);
	assert_false(parse("cloud-hypervisor --net tap=x")->vhost_user);
}

static void needs_a_backend_that_is_used(void **state)
{
	assert_shared(QEMU "-m 1G", false);
	assert_shared(QEMU "-object memory-backend-memfd,id=m,size=1G", false);
	assert_shared(QEMU
		      "-object memory-backend-memfd,id=m,size=1G -machine q35,memory-backend=m",
		      true);
	assert_shared(QEMU "-M memory-backend=m -object memory-backend-memfd,id=m,size=1G", true);
	assert_shared(QEMU "-numa node,memdev=m -object memory-backend-memfd,id=m,size=1G", true);
	assert_shared(QEMU "-mem-path /dev/hugepages", false);
}

static void needs_it_to_be_shared(void **state)
{
	assert_shared(QEMU "-object memory-backend-file,id=m,mem-path=x -M memory-backend=m",
		      false);
	assert_shared(QEMU "-object memory-backend-file,id=m,share=on -M memory-backend=m", true);
	assert_shared(QEMU
		      "-object memory-backend-file,id=m,share=off,share=yes -M memory-backend=m",
		      true);
	assert_shared(QEMU "-object memory-backend-memfd,id=m,share=off -M memory-backend=m",
		      false);
	assert_shared(QEMU "-object memory-backend-shm,id=m -M memory-backend=m", true);
	assert_shared(QEMU "-object qom-type=memory-backend-memfd,id=m -M memory-backend=m", true);
	assert_shared(QEMU "-object memory-backend-memfd,id=a -numa node,memdev=a "
			   "-object memory-backend-file,id=b -numa node,memdev=b",
		      false);
}

static void reads_what_libvirt_writes(void **state)
{
#define OBJECT \
	"-object '{\"qom-type\":\"memory-backend-%s\",\"id\":\"pc.ram\",\"size\":1073741824%s}'"
	static const char libvirt[] =
		QEMU "-name guest=web,debug-threads=on -machine "
		     "pc-q35-7.2,usb=off,memory-backend=pc.ram -m size=1048576k ";
	char line[512];
	const struct vmm *v;

	snprintf(line, sizeof(line), "%s" OBJECT, libvirt, "ram", "");
	v = parse(line);
	assert_false(v->shared);
	assert_string_equal(v->guest, "web");
	assert_string_equal(v->culprit, "memory-backend-ram pc.ram");
	snprintf(line, sizeof(line), "%s" OBJECT, libvirt, "memfd", ",\"share\":true");
	assert_shared(line, true);
	snprintf(line, sizeof(line), "%s" OBJECT, libvirt, "file", ",\"share\":false");
	assert_false(parse(line)->shared);
}

static void anonymous_memory_is_shared_by_new_versions_only(void **state)
{
	const struct vmm *v =
		parse(QEMU "-object memory-backend-ram,id=m,share=on -M memory-backend=m" VU);

	assert_false(v->shared);
	assert_true(v->maybe);
	assert_false(parse(QEMU "-object memory-backend-ram,id=m -M memory-backend=m")->maybe);
}

static void remedy_keeps_what_was_asked_for(void **state)
{
	const struct vmm *v = parse(QEMU "-m 512" VU);

	assert_string_equal(v->remedy, "-object memory-backend-memfd,id=mem0,size=512M,share=on "
				       "-machine memory-backend=mem0");
	v = parse(QEMU "-m size=2G,slots=2" VU);
	assert_non_null(strstr(v->remedy, "size=2G,"));
	v = parse(QEMU VU);
	assert_non_null(strstr(v->remedy, "size=128M,"));
	v = parse(QEMU "-object memory-backend-file,share=off,id=m,size=1G,mem-path=/x -M "
		       "memory-backend=m");
	assert_string_equal(v->remedy,
			    "-object memory-backend-file,id=m,size=1G,mem-path=/x,share=on");
	v = parse(QEMU "-object memory-backend-ram,id=m,size=1G -M memory-backend=m");
	assert_string_equal(v->remedy, "-object memory-backend-memfd,id=m,size=1G,share=on");
	v = parse("cloud-hypervisor --memory size=4G,shared=off");
	assert_string_equal(v->remedy, "--memory size=4G,shared=on");
}

static void cloud_hypervisor_shares_when_told(void **state)
{
	assert_shared("cloud-hypervisor --memory size=1G", false);
	assert_shared("cloud-hypervisor --memory size=1G,shared=on", true);
	assert_shared("cloud-hypervisor --memory=size=1G,shared=true", true);
	assert_shared(
		"cloud-hypervisor --memory size=0 --memory-zone id=a,shared=on id=b,shared=on",
		true);
	assert_shared("cloud-hypervisor --memory-zone id=a,shared=on id=b --memory size=0", false);
	assert_shared("cloud-hypervisor --kernel x", false);
}

static void splits_words_as_a_shell(void **state)
{
	const struct vmm *v =
		parse("'/opt/my vmm/qemu-system-x86_64' -name \"guest=a b\" -m \\\n 1G");
	struct vmm broken;

	assert_int_equal(v->kind, VMM_QEMU);
	assert_string_equal(v->guest, "a b");
	assert_non_null(strstr(v->remedy, "size=1G"));
	v = parse("qemu-system-x86_64 -name guest=a\\ \\'b");
	assert_string_equal(v->guest, "a 'b");
	assert_int_equal(vmm_of_text("qemu-system-x86_64 'x", &broken), -EINVAL);
	assert_int_equal(vmm_of_text("qemu-system-x86_64 \"x", &broken), -EINVAL);
}

static void refuses_too_many_words(void **state)
{
	char *line = malloc(2 * VMM_WORDS_MAX + 3);
	struct vmm v;

	for (unsigned i = 0; i <= VMM_WORDS_MAX; i++)
		memcpy(line + 2 * i, "a ", 3);
	assert_int_equal(vmm_of_text(line, &v), -EINVAL);
	free(line);
}

static void options_have_commas_and_a_last_word(void **state)
{
	char v[32];

	assert_true(option_get("x,path=a,,b,path2=c", NULL, "path", v, sizeof(v)));
	assert_string_equal(v, "a,b");
	assert_true(option_get("m,share", "qom-type", "share", v, sizeof(v)));
	assert_string_equal(v, "on");
	assert_true(option_get("a=1,a=2", NULL, "a", v, sizeof(v)));
	assert_string_equal(v, "2");
	assert_false(option_get("a=1", NULL, "b", v, sizeof(v)));
	assert_false(option_get("{\"a\":1}", NULL, "a", v, sizeof(v)));
	assert_false(option_get("{\"a\":", NULL, "a", v, sizeof(v)));
	assert_true(option_get("{\"a\":true}", NULL, "a", v, sizeof(v)));
	assert_string_equal(v, "on");
}

static void long_values_are_cut(void **state)
{
	char line[3000], v[16];

	memset(line, 'x', sizeof(line));
	memcpy(line, "qemu-system-x86_64 -object memory-backend-ram,id=m,a=", 53);
	strcpy(line + 2500, " -M memory-backend=m");
	assert_false(parse(line)->shared);
	assert_true(option_get("a=0123456789abcdefghijk", NULL, "a", v, sizeof(v)));
	assert_string_equal(v, "0123456789abcde");
}

static void a_process_that_is_gone_is_an_error(void **state)
{
	struct vmm v;

	assert_int_equal(vmm_of_pid(1 << 23, &v), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(knows_programs_by_name),
		cmocka_unit_test(sees_vhost_user_devices),
		cmocka_unit_test(needs_a_backend_that_is_used),
		cmocka_unit_test(needs_it_to_be_shared),
		cmocka_unit_test(reads_what_libvirt_writes),
		cmocka_unit_test(anonymous_memory_is_shared_by_new_versions_only),
		cmocka_unit_test(remedy_keeps_what_was_asked_for),
		cmocka_unit_test(cloud_hypervisor_shares_when_told),
		cmocka_unit_test(splits_words_as_a_shell),
		cmocka_unit_test(refuses_too_many_words),
		cmocka_unit_test(options_have_commas_and_a_last_word),
		cmocka_unit_test(long_values_are_cut),
		cmocka_unit_test(a_process_that_is_gone_is_an_error),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
