/* SPDX-License-Identifier: MIT */
/* The helper's access list: what it allows, and that whatever is wrong with it allows nothing. */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "helper/acl.h"
#include "helper/list.h"

static char folder[] = "/tmp/vmtap-acl-XXXXXX";
static struct acl_verdict verdict;
static struct vmtap_error err;

static char *path_of(const char *name)
{
	static char path[4][128];
	static unsigned next;
	char *p = path[next++ % 4];

	snprintf(p, sizeof(path[0]), "%s/%s", folder, name);
	return p;
}

static void write_bytes(const char *name, const void *bytes, size_t len)
{
	int fd = open(path_of(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, bytes, len), len);
	close(fd);
}

static void write_list(const char *name, const char *text)
{
	write_bytes(name, text, strlen(text));
}

static int read_for(const struct acl_request *req)
{
	memset(&err, 0, sizeof(err));
	return acl_read(path_of("list"), geteuid(), req, &verdict, &err);
}

/* Does @text as the list allow what @req asks for? */
static bool gives(const char *text, const struct acl_request *req)
{
	write_list("list", text);
	if (read_for(req) < 0)
		fail_msg("%s: %s", err.object, err.reason);
	for (unsigned r = 0; r < ACL_RIGHT_CNT; r++)
		if (acl_asks(req, r) && acl_allows(&verdict, req, r, "user x", &err) < 0)
			return false;
	return true;
}

static bool allows(const char *text, const char *bridge)
{
	return gives(text, &(struct acl_request) { .bridge = bridge });
}

/* @text as the list counts for nothing, and the error has @what in it. */
static void refuses(const char *text, const char *what)
{
	write_list("list", text);
	assert_true(read_for(&(struct acl_request) { .bridge = "br0" }) < 0);
	assert_true(err.code > 0);
	if (!strstr(err.reason, what) && !strstr(err.object, what))
		fail_msg("%s: %s has no \"%s\"", err.object, err.reason, what);
}

/* ----------------------------------------------------------------- what it means */

static void allows_what_a_line_names(void **state)
{
	assert_true(allows("allow br0\n", "br0"));
	assert_true(allows("allow br1\nallow br0\n", "br0"));
}

static void allows_nothing_else(void **state)
{
	assert_false(allows("allow br0\n", "br1"));
	assert_false(allows("allow br0\n", "br"));
	assert_false(allows("allow br0\n", "br00"));
	assert_false(allows("allow br0\n", "BR0"));
	assert_false(allows("allow br*\n", "br0"));
}

static void an_empty_list_allows_nothing(void **state)
{
	assert_false(allows("", "br0"));
	assert_false(allows("\n\n", "br0"));
	assert_false(allows("# allow br0\n", "br0"));
}

static void all_means_every_bridge(void **state)
{
	assert_true(allows("allow all\n", "br0"));
	assert_true(allows("allow all\n", "x"));
}

static void deny_wins_wherever_it_stands(void **state)
{
	assert_false(allows("allow br0\ndeny br0\n", "br0"));
	assert_false(allows("deny br0\nallow br0\n", "br0"));
	assert_false(allows("allow all\ndeny br0\n", "br0"));
	assert_false(allows("deny all\nallow br0\n", "br0"));
}

static void deny_of_another_bridge_does_not_count(void **state)
{
	assert_true(allows("allow all\ndeny br1\n", "br0"));
	assert_true(allows("deny br1\nallow br0\n", "br0"));
}

static void blanks_do_not_count(void **state)
{
	assert_true(allows("  allow   br0  \n", "br0"));
	assert_true(allows("\tallow\tbr0\t\n", "br0"));
	assert_true(allows("allow \t br0", "br0"));
}

static void reads_lines_that_end_as_on_other_systems(void **state)
{
	assert_true(allows("allow br0\r\nallow br1\r\n", "br1"));
	assert_false(allows("allow br0\r\ndeny br0\r\n", "br0"));
}

static void reads_a_last_line_without_an_end(void **state)
{
	assert_true(allows("allow br0", "br0"));
	assert_false(allows("allow br0\ndeny br0", "br0"));
	assert_false(allows("allow br0\r\ndeny br0\r", "br0"));
}

static void a_comment_begins_where_a_word_begins(void **state)
{
	assert_true(allows("#\n # x\nallow br0 # the guests' bridge\n", "br0"));
	assert_false(allows("allow all\ndeny br0 # not this one\n", "br0"));
	assert_false(allows("allow br0#1\n", "br0"));
	assert_true(allows("allow br0#1\n", "br0#1"));
}

static void says_which_line_allows(void **state)
{
	assert_true(allows("\n# x\n  allow   br0 # y\nallow br0\n", "br0"));
	assert_string_equal(verdict.allow[ACL_BRIDGE].file, path_of("list"));
	assert_int_equal(verdict.allow[ACL_BRIDGE].number, 3);
	assert_string_equal(verdict.allow[ACL_BRIDGE].text, "allow   br0");
}

static void says_which_line_denies(void **state)
{
	char where[128];

	write_list("more", "#\ndeny br0\n");
	snprintf(where, sizeof(where), "allow br0\ninclude %s\n", path_of("more"));
	assert_false(allows(where, "br0"));
	assert_int_equal(err.code, EACCES);
	snprintf(where, sizeof(where), "%s:2 denies it (\"deny br0\")", path_of("more"));
	assert_string_equal(err.reason, where);
}

static void says_which_line_would_allow(void **state)
{
	char expected[128];

	assert_false(allows("allow br1\n", "br0"));
	snprintf(expected, sizeof(expected),
		 "an administrator can add the line \"allow br0\" to %s", path_of("list"));
	assert_string_equal(err.remedy, expected);
	assert_string_equal(err.object, "bridge br0");
	assert_true(strstr(err.action, "user x"));
}

/* -------------------------------------------------------------- what goes beyond */

static const struct acl_request vhost = { .bridge = "br0", .vhost = true };

static void vhost_takes_a_line_of_its_own(void **state)
{
	assert_false(gives("allow br0\n", &vhost));
	assert_true(strstr(err.remedy, "\"allow-vhost br0\""));
	assert_true(gives("allow br0\nallow-vhost br0\n", &vhost));
	assert_true(gives("allow br0\nallow-vhost all\n", &vhost));
	assert_false(gives("allow br0\nallow-vhost br1\n", &vhost));
}

static void vhost_gives_no_bridge(void **state)
{
	assert_false(gives("allow-vhost br0\n", &vhost));
	assert_false(allows("allow-vhost br0\nallow-ifname br0 *\nallow-mac br0 *\n", "br0"));
}

static void vhost_can_be_denied(void **state)
{
	assert_false(gives("allow br0\nallow-vhost all\ndeny-vhost br0\n", &vhost));
	assert_true(allows("allow br0\nallow-vhost all\ndeny-vhost br0\n", "br0"));
}

static bool names(const char *text, const char *ifname)
{
	return gives(text, &(struct acl_request) { .bridge = "br0", .ifname = ifname });
}

static void a_name_takes_a_pattern(void **state)
{
	assert_false(names("allow br0\n", "vm0"));
	assert_true(names("allow br0\nallow-ifname br0 vm0\n", "vm0"));
	assert_true(names("allow br0\nallow-ifname all vm[0-9]\n", "vm7"));
	assert_true(names("allow br0\nallow-ifname br0 vm*\n", "vm"));
	assert_true(names("allow br0\nallow-ifname br0 v?0\n", "vm0"));
	assert_false(names("allow br0\nallow-ifname br0 vm[0-9]\n", "vm77"));
	assert_false(names("allow br0\nallow-ifname br0 vm*\n", "eth0"));
	assert_false(names("allow br0\nallow-ifname br0 vm*\n", "xvm0"));
	assert_false(names("allow br0\nallow-ifname br1 vm*\n", "vm0"));
	assert_false(names("allow br0\nallow-ifname br0 VM0\n", "vm0"));
}

static void a_name_can_be_denied(void **state)
{
	assert_false(names("allow br0\nallow-ifname br0 *\ndeny-ifname all eth*\n", "eth0"));
	assert_true(names("allow br0\nallow-ifname br0 *\ndeny-ifname all eth*\n", "vm0"));
}

static void a_name_that_is_not_asked_for_needs_no_pattern(void **state)
{
	assert_true(
		allows("allow br0\ndeny-ifname all *\ndeny-mac all *\ndeny-vhost all\n", "br0"));
}

static bool addresses(const char *text, const char *mac)
{
	return gives(text, &(struct acl_request) { .bridge = "br0", .mac = mac });
}

static void an_address_takes_a_pattern(void **state)
{
	assert_false(addresses("allow br0\n", "fe:54:00:00:00:01"));
	assert_true(addresses("allow br0\nallow-mac br0 fe:54:00:*\n", "fe:54:00:00:00:01"));
	assert_true(addresses("allow br0\nallow-mac br0 FE:54:00:*\n", "fe:54:00:00:00:01"));
	assert_false(addresses("allow br0\nallow-mac br0 fe:54:00:*\n", "fe:54:01:00:00:01"));
	assert_false(
		addresses("allow br0\nallow-mac all *\ndeny-mac br0 52:*\n", "52:54:00:00:00:01"));
}

static void every_right_is_needed_at_once(void **state)
{
	struct acl_request req = { "br0", true, "vm0", "fe:00:00:00:00:01" };

	assert_true(gives("allow br0\nallow-vhost br0\nallow-ifname br0 vm*\nallow-mac br0 fe:*\n",
			  &req));
	assert_false(gives("allow br0\nallow-vhost br0\nallow-ifname br0 vm*\n", &req));
	assert_false(gives("allow br0\nallow-vhost br0\nallow-mac br0 fe:*\n", &req));
	assert_false(gives("allow br0\nallow-ifname br0 vm*\nallow-mac br0 fe:*\n", &req));
}

/* ------------------------------------------------------------------------ includes */

static const char *including(const char *before, const char *name, const char *after)
{
	static char text[512];

	snprintf(text, sizeof(text), "%sinclude %s\n%s", before, path_of(name), after);
	return text;
}

static void an_included_file_counts(void **state)
{
	write_list("more", "allow br0\n");
	assert_true(allows(including("", "more", ""), "br0"));
	assert_string_equal(verdict.allow[ACL_BRIDGE].file, path_of("more"));
	write_list("more", "deny br0\n");
	assert_false(allows(including("allow br0\n", "more", ""), "br0"));
	assert_false(allows(including("", "more", "allow br0\n"), "br0"));
}

static void lines_behind_an_include_keep_their_numbers(void **state)
{
	write_list("more", "\n\n\n");
	assert_true(allows(including("\n", "more", "allow br0\n"), "br0"));
	assert_int_equal(verdict.allow[ACL_BRIDGE].number, 3);
	assert_string_equal(verdict.allow[ACL_BRIDGE].file, path_of("list"));
}

static void an_included_path_may_have_blanks_in_it(void **state)
{
	write_list("more of it", "allow br0\n");
	assert_true(allows(including("", "more of it", ""), "br0"));
	unlink(path_of("more of it"));
}

static void a_missing_included_file_is_skipped(void **state)
{
	assert_true(allows(including("allow br0\n", "absent", ""), "br0"));
	assert_int_equal(verdict.skipped, 1);
	assert_int_equal(verdict.skipped_at.number, 2);
	assert_string_equal(verdict.skipped_at.text, path_of("absent"));
	assert_false(allows(including("", "absent", ""), "br0"));
	assert_true(strstr(err.reason, "1 included file could not be opened"));
}

static void refuses_to_include_a_relative_path(void **state)
{
	write_list("more", "allow br0\n");
	refuses("allow br0\ninclude more\n", "does not begin with '/'");
	refuses("include ./more\n", "list:1");
	refuses("include\n", "include what?");
}

static void refuses_a_loop(void **state)
{
	write_list("more", including("", "more", ""));
	refuses(including("allow br0\n", "more", ""), "more than 16 deep");
	assert_true(strstr(err.object, "more:1"));
	refuses(including("allow br0\n", "list", ""), "list:2");
}

static void refuses_too_many_files(void **state)
{
	char text[4096];
	size_t len = 0;

	write_list("more", "");
	for (int i = 0; i < ACL_FILES_MAX; i++)
		len += (size_t)snprintf(text + len, sizeof(text) - len, "include %s\n",
					path_of("more"));
	refuses(text, "more than 64 files");
	text[len - 2 - strlen(path_of("more")) - strlen("include")] = '\0';
	assert_false(allows(text, "br0"));
}

static void a_mistake_in_an_included_file_counts_too(void **state)
{
	write_list("more", "allow br0\nalow br1\n");
	refuses(including("", "more", ""), "more:2");
}

static void refuses_to_include_what_is_no_file(void **state)
{
	refuses("include /dev/null\n", "a device");
	refuses("include /\n", "a folder");
	assert_int_equal(mkfifo(path_of("more"), 0600) < 0 && errno != EEXIST, 0);
	unlink(path_of("more"));
	assert_int_equal(mkfifo(path_of("more"), 0600), 0);
	refuses(including("", "more", ""), "a pipe");
	assert_true(strstr(err.reason, "list:1"));
	unlink(path_of("more"));
	assert_int_equal(symlink("more", path_of("more")), 0);
	refuses(including("", "more", ""), "list:1");
	unlink(path_of("more"));
}

/* ------------------------------------------------------------------------ mistakes */

static void refuses_unknown_words(void **state)
{
	refuses("allow br0\nalow br1\n", "\"alow\" is not known");
	refuses("allow br0\nAllow br1\n", "list:2");
	refuses("allow-all br0\n", "list:1");
	refuses("allow=br0\n", "list:1");
	refuses("allow-\n", "list:1");
}

static void refuses_too_few_words(void **state)
{
	refuses("allow\n", "list:1");
	refuses("allow # br0\n", "list:1");
	refuses("deny \t\r\n", "list:1");
	refuses("allow-ifname br0\n", "a pattern");
	refuses("allow-mac br0 # x\n", "a pattern");
}

static void refuses_too_many_words(void **state)
{
	refuses("allow br0 br1\n", "nothing else");
	refuses("allow br0 deny br1\n", "nothing else");
	refuses("allow br0\rdeny br1\r", "nothing else");
	refuses("allow-ifname br0 vm0 vm1\n", "nothing else");
}

static void refuses_what_no_bridge_can_be_called(void **state)
{
	refuses("allow 0123456789abcdef\n", "at most 15");
	refuses("allow br/0\n", "is no bridge");
	refuses("allow ..\n", "is no bridge");
	refuses("allow --\n", "is no bridge");
	refuses("allow br\1\n", "is no bridge");
	assert_true(allows("allow 0123456789abcde\n", "0123456789abcde"));
}

static void refuses_nul_bytes(void **state)
{
	static const char text[] = "allow br0\0\n";

	write_bytes("list", text, sizeof(text) - 1);
	assert_true(read_for(&(struct acl_request) { .bridge = "br0" }) < 0);
	assert_true(strstr(err.reason, "NUL"));
	write_bytes("list", "allow br1\n\0deny all\n", 20);
	assert_true(read_for(&(struct acl_request) { .bridge = "br1" }) < 0);
	assert_true(strstr(err.object, "list:2"));
}

static void refuses_a_line_without_end(void **state)
{
	char *text = malloc(200001);

	assert_non_null(text);
	memset(text, 'x', 200000);
	memcpy(text, "allow br0\n#", 11);
	text[200000] = '\0';
	refuses(text, "list:2");
	text[11 + ACL_LINE_MAX - 1] = '\0';
	assert_true(allows(text, "br0"));
	free(text);
}

static void refuses_a_long_pattern(void **state)
{
	char text[128] = "allow-mac br0 ";

	memset(text + 14, '*', 65);
	refuses(text, "longer than 64");
	text[14 + 64] = '\0';
	assert_false(allows(text, "br0"));
}

/* --------------------------------------------------------------------------- files */

static void refuses_a_list_that_is_absent(void **state)
{
	unlink(path_of("list"));
	assert_int_equal(read_for(&(struct acl_request) { .bridge = "br0" }), -ENOENT);
	assert_string_equal(err.object, path_of("list"));
	assert_true(strstr(err.remedy, "allow br0"));
}

static void refuses_a_list_that_is_no_file(void **state)
{
	unlink(path_of("list"));
	assert_int_equal(mkdir(path_of("list"), 0700), 0);
	assert_int_equal(read_for(&(struct acl_request) { .bridge = "br0" }), -EINVAL);
	assert_true(strstr(err.reason, "a folder"));
	rmdir(path_of("list"));
	assert_int_equal(mkfifo(path_of("list"), 0600), 0);
	assert_int_equal(read_for(&(struct acl_request) { .bridge = "br0" }), -EINVAL);
	assert_true(strstr(err.reason, "a pipe"));
	unlink(path_of("list"));
}

static void refuses_a_list_of_a_gigabyte(void **state)
{
	write_list("list", "allow br0\n");
	assert_int_equal(truncate(path_of("list"), 1 << 30), 0);
	assert_int_equal(read_for(&(struct acl_request) { .bridge = "br0" }), -EFBIG);
	unlink(path_of("list"));
}

/* The size that a file states is not believed. */
static void refuses_more_than_the_file_said(void **state)
{
	struct acl_request req = { .bridge = "br0" };
	char *text = malloc(LIST_SIZE_MAX + 1);
	size_t len;
	int fd;

	assert_non_null(text);
	memset(text, '\n', LIST_SIZE_MAX + 1);
	write_bytes("list", text, LIST_SIZE_MAX);
	assert_int_equal(read_for(&req), 0);
	write_bytes("list", text, LIST_SIZE_MAX + 1);
	assert_int_equal(read_for(&req), -EFBIG);
	free(text);
	fd = list_open("/proc/self/status");
	text = list_read(fd, "/proc/self/status", geteuid(), &len, &err);
	assert_non_null(text);
	assert_int_equal(strlen(text), len);
	free(text);
	close(fd);
}

static void refuses_a_list_that_others_can_write(void **state)
{
	struct acl_request req = { .bridge = "br0" };

	write_list("list", "allow br0\n");
	assert_int_equal(chmod(path_of("list"), 0664), 0);
	assert_int_equal(read_for(&req), -EPERM);
	assert_int_equal(chmod(path_of("list"), 0606), 0);
	assert_int_equal(read_for(&req), -EPERM);
	assert_int_equal(chmod(path_of("list"), 0644), 0);
	assert_int_equal(read_for(&req), 0);
}

static void refuses_a_list_in_a_folder_that_others_can_write(void **state)
{
	struct acl_request req = { .bridge = "br0" };

	write_list("list", "allow br0\n");
	assert_int_equal(chmod(folder, 01777), 0);
	assert_int_equal(read_for(&req), -EPERM);
	assert_true(strstr(err.reason, "its folder"));
	assert_int_equal(chmod(folder, 0700), 0);
	assert_int_equal(read_for(&req), 0);
}

static void refuses_a_list_of_another_user(void **state)
{
	struct acl_request req = { .bridge = "br0" };

	if (geteuid() != 0)
		skip(); /* only root can give a file away */
	write_list("list", "allow br0\n");
	assert_int_equal(chown(path_of("list"), 12345, 0), 0);
	assert_int_equal(read_for(&req), -EPERM);
	assert_true(strstr(err.reason, "belongs to user 12345"));
	unlink(path_of("list"));
	write_list("more", "allow br0\n");
	assert_int_equal(chown(path_of("more"), 12345, 0), 0);
	refuses(including("allow br0\n", "more", ""), "belongs to user 12345");
	unlink(path_of("more"));
}

static void follows_a_symbolic_link(void **state)
{
	struct acl_request req = { .bridge = "br0" };

	write_list("more", "allow br0\n");
	unlink(path_of("list"));
	assert_int_equal(symlink("more", path_of("list")), 0);
	assert_int_equal(read_for(&req), 0);
	assert_int_equal(chmod(path_of("more"), 0666), 0);
	assert_int_equal(read_for(&req), -EPERM);
	unlink(path_of("list"));
	unlink(path_of("more"));
}

static void leaves_no_descriptor_open(void **state)
{
	int before = dup(0), after;

	close(before);
	write_list("more", "alow br0\n");
	refuses(including("", "more", ""), "more:1");
	assert_true(allows("allow br0\n", "br0"));
	after = dup(0);
	close(after);
	assert_int_equal(before, after);
}

/* --------------------------------------------------------------------------- frame */

static int make_folder(void **state)
{
	return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
	unlink(path_of("list"));
	unlink(path_of("more"));
	return rmdir(folder);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(allows_what_a_line_names),
		cmocka_unit_test(allows_nothing_else),
		cmocka_unit_test(an_empty_list_allows_nothing),
		cmocka_unit_test(all_means_every_bridge),
		cmocka_unit_test(deny_wins_wherever_it_stands),
		cmocka_unit_test(deny_of_another_bridge_does_not_count),
		cmocka_unit_test(blanks_do_not_count),
		cmocka_unit_test(reads_lines_that_end_as_on_other_systems),
		cmocka_unit_test(reads_a_last_line_without_an_end),
		cmocka_unit_test(a_comment_begins_where_a_word_begins),
		cmocka_unit_test(says_which_line_allows),
		cmocka_unit_test(says_which_line_denies),
		cmocka_unit_test(says_which_line_would_allow),
		cmocka_unit_test(vhost_takes_a_line_of_its_own),
		cmocka_unit_test(vhost_gives_no_bridge),
		cmocka_unit_test(vhost_can_be_denied),
		cmocka_unit_test(a_name_takes_a_pattern),
		cmocka_unit_test(a_name_can_be_denied),
		cmocka_unit_test(a_name_that_is_not_asked_for_needs_no_pattern),
		cmocka_unit_test(an_address_takes_a_pattern),
		cmocka_unit_test(every_right_is_needed_at_once),
		cmocka_unit_test(an_included_file_counts),
		cmocka_unit_test(lines_behind_an_include_keep_their_numbers),
		cmocka_unit_test(an_included_path_may_have_blanks_in_it),
		cmocka_unit_test(a_missing_included_file_is_skipped),
		cmocka_unit_test(refuses_to_include_a_relative_path),
		cmocka_unit_test(refuses_a_loop),
		cmocka_unit_test(refuses_too_many_files),
		cmocka_unit_test(a_mistake_in_an_included_file_counts_too),
		cmocka_unit_test(refuses_to_include_what_is_no_file),
		cmocka_unit_test(refuses_unknown_words),
		cmocka_unit_test(refuses_too_few_words),
		cmocka_unit_test(refuses_too_many_words),
		cmocka_unit_test(refuses_what_no_bridge_can_be_called),
		cmocka_unit_test(refuses_nul_bytes),
		cmocka_unit_test(refuses_a_line_without_end),
		cmocka_unit_test(refuses_a_long_pattern),
		cmocka_unit_test(refuses_a_list_that_is_absent),
		cmocka_unit_test(refuses_a_list_that_is_no_file),
		cmocka_unit_test(refuses_a_list_of_a_gigabyte),
		cmocka_unit_test(refuses_more_than_the_file_said),
		cmocka_unit_test(refuses_a_list_that_others_can_write),
		cmocka_unit_test(refuses_a_list_in_a_folder_that_others_can_write),
		cmocka_unit_test(refuses_a_list_of_another_user),
		cmocka_unit_test(follows_a_symbolic_link),
		cmocka_unit_test(leaves_no_descriptor_open),
	};

	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
