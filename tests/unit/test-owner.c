/* SPDX-License-Identifier: MIT */
#include "unit.h"

#include <ctype.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tapdev/owner.h"

#define GOOD "vmtap: user=root program=vmtap pid=1234 start=567890 ns=4026531836 since=1795000000"

static void what_is_written_is_read_back(void **state)
{
	struct owner owner;
	char tag[OWNER_TAG_MAX];
	struct stat ns;

	owner_tag(tag, 0);
	assert_true(owner_parse(tag, &owner));
	assert_int_equal(owner.pid, getpid());
	assert_int_equal(stat("/proc/self/ns/pid", &ns), 0);
	assert_int_equal(owner.ns, ns.st_ino);
	assert_true(owner.start > 0);
	assert_true(owner.since <= time(NULL) && owner.since > time(NULL) - 60);
	assert_non_null(strstr(owner.who, ", test-owner"));
	assert_int_equal(owner_state(&owner), OWNER_ALIVE);
}

static void another_process_can_be_the_owner(void **state)
{
	struct owner owner;
	char tag[OWNER_TAG_MAX];

	owner_tag(tag, getppid());
	assert_true(owner_parse(tag, &owner));
	assert_int_equal(owner.pid, getppid());
	assert_int_equal(owner_state(&owner), OWNER_ALIVE);
}

static void reads_every_field(void **state)
{
	struct owner owner;

	assert_true(owner_parse(GOOD, &owner));
	assert_string_equal(owner.who, "root, vmtap");
	assert_int_equal(owner.pid, 1234);
	assert_int_equal(owner.start, 567890);
	assert_int_equal(owner.ns, 4026531836);
	assert_int_equal(owner.since, 1795000000);
}

static void takes_the_largest_numbers(void **state)
{
	struct owner owner;

	assert_true(owner_parse("vmtap: user= program= pid=2147483647 start=18446744073709551615 "
				"ns=18446744073709551615 since=9223372036854775807",
				&owner));
	assert_int_equal(owner.pid, INT32_MAX);
	assert_true(owner.start == UINT64_MAX && owner.ns == UINT64_MAX);
	assert_true(owner.since == INT64_MAX);
	assert_string_equal(owner.who, ", ");
}

static void takes_what_a_later_version_adds(void **state)
{
	struct owner owner;

	assert_true(owner_parse(GOOD " guest=bob", &owner));
	assert_int_equal(owner.since, 1795000000);
}

static void rejects_what_is_no_tag(void **state)
{
	static const char *const texts[] = {
		"",
		"vmtap",
		"vmtap:",
		"vmtap: ",
		"eth0 of the guest bob",
		" " GOOD,
		"x" GOOD,
		"Vmtap: user=root program=vmtap pid=1 start=1 ns=1 since=1",
		/* out of order, twice, missing, other white space */
		"vmtap: program=vmtap user=root pid=1 start=1 ns=1 since=1",
		"vmtap: user=root program=vmtap pid=1 pid=2 start=1 ns=1 since=1",
		"vmtap: user=root program=vmtap start=1 ns=1 since=1",
		"vmtap: user=root program=vmtap pid=1 start=1 ns=1",
		"vmtap:  user=root program=vmtap pid=1 start=1 ns=1 since=1",
		"vmtap: user=root program=vmtap  pid=1 start=1 ns=1 since=1",
		"vmtap: user=root program=vmtap pid=1\tstart=1 ns=1 since=1",
		"vmtap: user=a b program=vmtap pid=1 start=1 ns=1 since=1",
	};
	struct owner owner;

	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		assert_false(owner_parse(texts[i], &owner));
}

static void rejects_numbers_that_are_none(void **state)
{
	static const char *const numbers[] = {
		"",	"-1",	 "+1",
		" 1",	"x",	 "1x",
		"0x1",	"1e3",	 "1.5",
		"1,0",	"NaN",	 "18446744073709551616",
		"\x1b", "1\x7f", "99999999999999999999999999999999999999",
	};
	static const char *const keys[] = { "pid", "start", "ns", "since" };
	struct owner owner;
	char text[256];

	for (size_t k = 0; k < sizeof(keys) / sizeof(keys[0]); k++)
		for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
			snprintf(text, sizeof(text),
				 "vmtap: user=u program=p pid=%s start=%s ns=%s since=%s",
				 k == 0 ? numbers[i] : "1", k == 1 ? numbers[i] : "1",
				 k == 2 ? numbers[i] : "1", k == 3 ? numbers[i] : "1");
			assert_false(owner_parse(text, &owner));
		}
}

static void rejects_numbers_out_of_range(void **state)
{
	struct owner owner;

	assert_false(owner_parse("vmtap: user=u program=p pid=0 start=1 ns=1 since=1", &owner));
	assert_false(
		owner_parse("vmtap: user=u program=p pid=2147483648 start=1 ns=1 since=1", &owner));
	assert_false(
		owner_parse("vmtap: user=u program=p pid=4294967297 start=1 ns=1 since=1", &owner));
	assert_false(owner_parse("vmtap: user=u program=p pid=1 start=1 ns=1 "
				 "since=9223372036854775808",
				 &owner));
}

static void names_are_cut_and_made_harmless(void **state)
{
	struct owner owner;
	char text[OWNER_TAG_MAX];

	snprintf(
		text, sizeof(text), "vmtap: user=%.80s program=%.80s pid=1 start=1 ns=1 since=1",
		"uuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuu",
		"pppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppppp");
	assert_true(owner_parse(text, &owner));
	assert_int_equal(strlen(owner.who), 29 + 2 + 25);
	assert_true(owner_parse(
		"vmtap: user=\x1b[31m\xff program=\a\n\x7f pid=1 start=1 ns=1 since=1", &owner));
	assert_string_equal(owner.who, "?[31m?, ???");
}

static struct owner tag_of(pid_t pid)
{
	char tag[OWNER_TAG_MAX];
	struct owner owner;

	owner_tag(tag, pid);
	assert_true(owner_parse(tag, &owner));
	return owner;
}

/* A child that ends when it is told. */
static pid_t child(int *hold)
{
	int p[2];
	pid_t pid;
	char c;

	assert_int_equal(pipe2(p, O_CLOEXEC), 0);
	pid = fork();
	if (pid == 0) {
		close(p[1]);
		_exit(read(p[0], &c, 1) > 0);
	}
	close(p[0]);
	*hold = p[1];
	return pid;
}

static void an_owner_is_gone_when_it_ended_not_when_it_was_waited_for(void **state)
{
	int hold;
	pid_t pid = child(&hold);
	struct owner owner = tag_of(pid);
	siginfo_t info;

	assert_int_equal(owner_state(&owner), OWNER_ALIVE);
	close(hold);
	assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
	assert_int_equal(owner_state(&owner), OWNER_GONE);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	assert_int_equal(owner_state(&owner), OWNER_GONE);
}

static void a_number_that_is_used_again_is_no_owner(void **state)
{
	struct owner owner = tag_of(getpid());

	owner.start++;
	assert_int_equal(owner_state(&owner), OWNER_GONE);
}

static void nothing_is_said_of_what_cannot_be_known(void **state)
{
	struct owner owner = tag_of(getpid());
	struct owner elsewhere = owner, startless = owner, nowhere = owner;

	elsewhere.ns++;
	assert_int_equal(owner_state(&elsewhere), OWNER_UNKNOWN);
	startless.start = 0;
	startless.pid = INT32_MAX;
	assert_int_equal(owner_state(&startless), OWNER_UNKNOWN);
	nowhere.ns = 0;
	assert_int_equal(owner_state(&nowhere), OWNER_UNKNOWN);
}

static void a_process_that_is_not_there_makes_a_tag_that_reaps_nothing(void **state)
{
	struct owner owner = tag_of(INT32_MAX);

	assert_int_equal(owner_state(&owner), OWNER_UNKNOWN);
}

static void the_opener_of_a_device_is_found_and_its_descriptors_counted(void **state)
{
	char name[64];
	struct stat st;
	unsigned cnt;
	int fds[3];
	int pid;

	assert_int_equal(stat("/dev/full", &st), 0);
	pid = owner_find_opener(st.st_rdev, name, &cnt);
	assert_true(pid != getpid());
	for (size_t i = 0; i < 3; i++)
		fds[i] = open("/dev/full", O_RDONLY | O_CLOEXEC);
	pid = owner_find_opener(st.st_rdev, name, &cnt);
	if (pid == getpid()) { /* not when somebody else has it open, too */
		assert_string_equal(name, "test-owner");
		assert_int_equal(cnt, 3);
	}
	assert_true(pid > 0);
	for (size_t i = 0; i < 3; i++)
		close(fds[i]);
}

static void nobody_holds_what_does_not_exist(void **state)
{
	char name[64] = "x";
	unsigned cnt = 1;

	assert_int_equal(owner_find_holder("no-such-tap", name), 0);
	assert_string_equal(name, "");
	assert_int_equal(owner_find_opener((dev_t)-1, name, &cnt), 0);
	assert_int_equal(cnt, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_written_is_read_back),
		cmocka_unit_test(another_process_can_be_the_owner),
		cmocka_unit_test(reads_every_field),
		cmocka_unit_test(takes_the_largest_numbers),
		cmocka_unit_test(takes_what_a_later_version_adds),
		cmocka_unit_test(rejects_what_is_no_tag),
		cmocka_unit_test(rejects_numbers_that_are_none),
		cmocka_unit_test(rejects_numbers_out_of_range),
		cmocka_unit_test(names_are_cut_and_made_harmless),
		cmocka_unit_test(an_owner_is_gone_when_it_ended_not_when_it_was_waited_for),
		cmocka_unit_test(a_number_that_is_used_again_is_no_owner),
		cmocka_unit_test(nothing_is_said_of_what_cannot_be_known),
		cmocka_unit_test(a_process_that_is_not_there_makes_a_tag_that_reaps_nothing),
		cmocka_unit_test(the_opener_of_a_device_is_found_and_its_descriptors_counted),
		cmocka_unit_test(nobody_holds_what_does_not_exist),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
