/* SPDX-License-Identifier: MIT */
/* The dirty log: exactly the pages that were written, and none when it is off. */
#include "mem-test.h"

/* A guest of 128 pages at 64 KiB, i.e. pages 16 to 143, and a log of 32 bytes for 256. */
#define GPA (64 * KIB)
#define PAGES 128
#define LOG_SIZE 32
/* Where the log is in its file; on both sides of it there is a guard. */
#define LOG_AT 48
#define GUARD 0xa5

struct rig {
	struct mem *m;
	int fd, log_fd;
};

static int setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));
	uint8_t bytes[PAGE];

	assert_non_null(r);
	r->fd = file_of(PAGES * PAGE);
	r->log_fd = file_of(PAGE);
	r->m = mem_with(r->fd, GPA, PAGES * PAGE);
	memset(bytes, GUARD, sizeof(bytes));
	memset(bytes + LOG_AT, 0, LOG_SIZE);
	assert_int_equal(pwrite(r->log_fd, bytes, sizeof(bytes), 0), sizeof(bytes));
	assert_int_equal(mem_log_set(r->m, r->log_fd, LOG_SIZE, LOG_AT, "test", NULL), 0);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	mem_free(r->m);
	close(r->fd);
	close(r->log_fd);
	free(r);
	return 0;
}

/* Fetch the log and empty it; what is around it is whole. */
static void fetch(const struct rig *r, uint8_t *log)
{
	static const uint8_t zeros[LOG_SIZE];
	uint8_t bytes[PAGE];

	assert_int_equal(pread(r->log_fd, bytes, sizeof(bytes), 0), sizeof(bytes));
	memcpy(log, bytes + LOG_AT, LOG_SIZE);
	for (unsigned i = 0; i < sizeof(bytes); i++)
		assert_true((i >= LOG_AT && i < LOG_AT + LOG_SIZE) || bytes[i] == GUARD);
	assert_int_equal(pwrite(r->log_fd, zeros, LOG_SIZE, LOG_AT), LOG_SIZE);
}

/* Pages [@from, @to) are marked, and no others. */
static void expect(const struct rig *r, uint64_t from, uint64_t to)
{
	uint8_t log[LOG_SIZE];

	fetch(r, log);
	for (unsigned i = 0; i < LOG_SIZE * 8; i++) {
		bool is = log[i / 8] >> i % 8 & 1;

		if (is != (i >= from && i < to))
			fail_msg("page %u is%s marked; wanted: %" PRIu64 " to %" PRIu64, i,
				 is ? "" : " not", from, to);
	}
}

static void marks_exactly_the_pages_touched(void **state)
{
	static const struct {
		uint64_t gpa, len, from, to;
	} rows[] = {
		{ 0, 1, 0, 1 },
		{ 0xfff, 1, 0, 1 },
		{ 0xfff, 2, 0, 2 },
		{ 0x1000, 0x1000, 1, 2 },
		{ 0x1000, 0x1001, 1, 3 },
		{ 7 * PAGE, PAGE, 7, 8 },
		{ 7 * PAGE, PAGE + 1, 7, 9 },
		{ 8 * PAGE, 8 * PAGE, 8, 16 },
		{ 3 * PAGE, 40 * PAGE, 3, 43 },
		{ 16 * PAGE + 7, 65536, 16, 33 },
		{ 0, 0, 0, 0 },
		{ 0x1800, 0, 0, 0 },
		/* at the end of the log, and beyond */
		{ 255 * PAGE, PAGE, 255, 256 },
		{ 255 * PAGE, 2 * PAGE, 255, 256 },
		{ 250 * PAGE + 1, ~0ull, 250, 256 },
		{ 0, ~0ull, 0, 256 },
		{ 256 * PAGE, 1, 0, 0 },
		{ ~0ull, 1, 0, 0 },
		{ ~0ull, ~0ull, 0, 0 },
	};
	struct rig *r = *state;

	mem_log_on(r->m, true);
	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		mem_dirty(r->m, rows[i].gpa, rows[i].len);
		expect(r, rows[i].from, rows[i].to);
	}
}

static void every_range_of_pages_is_right(void **state)
{
	struct rig *r = *state;

	mem_log_on(r->m, true);
	for (unsigned from = 0; from < 26; from++) {
		for (unsigned to = from + 1; to < 52; to++) {
			mem_dirty(r->m, from * PAGE + 5, (to - from - 1) * PAGE + 1);
			expect(r, from, to);
		}
	}
}

static void adds_to_what_is_marked_already(void **state)
{
	struct rig *r = *state;

	mem_log_on(r->m, true);
	mem_dirty(r->m, 10 * PAGE, 1);
	mem_dirty(r->m, 12 * PAGE, 1);
	mem_dirty(r->m, 11 * PAGE, 1);
	mem_dirty(r->m, 10 * PAGE, 1);
	expect(r, 10, 13);
}

static void marks_nothing_while_off(void **state)
{
	struct rig *r = *state;

	assert_false(mem_is_logging(r->m));
	mem_dirty(r->m, 0, ~0ull);
	mem_dirty_host(r->m, host_of(r->m, GPA, 1), 1);
	expect(r, 0, 0);
	mem_log_on(r->m, true);
	assert_true(mem_is_logging(r->m));
	mem_log_on(r->m, false);
	assert_false(mem_is_logging(r->m));
	mem_dirty(r->m, 0, 1);
	expect(r, 0, 0);
}

static void finds_the_page_of_a_host_address(void **state)
{
	struct mem_slot s = slot_at(200 * PAGE, 2 * PAGE, 0);
	struct rig *r = *state;
	uint8_t *low = host_of(r->m, GPA, PAGES * PAGE), *high;

	assert_int_equal(mem_add(r->m, &s, r->fd, "test", NULL), 0);
	high = host_of(r->m, s.gpa, s.size);
	mem_log_on(r->m, true);
	mem_dirty_host(r->m, low + 2 * PAGE - 1, 2);
	expect(r, 17, 19);
	mem_dirty_host(r->m, high + PAGE, PAGE);
	expect(r, 201, 202);
	mem_dirty_host(r->m, low + PAGES * PAGE - 1, 1);
	expect(r, 16 + PAGES - 1, 16 + PAGES);
	/* no further than the region that it begins in */
	mem_dirty_host(r->m, high, ~0ull);
	expect(r, 200, 202);
	mem_dirty_host(r->m, high, 0);
	expect(r, 0, 0);
}

static void a_log_may_come_go_and_change(void **state)
{
	struct rig *r = *state;
	int other = file_of(PAGE);
	uint8_t byte = 0;

	mem_log_on(r->m, true);
	assert_int_equal(mem_log_set(r->m, other, 1, 0, "test", NULL), 0);
	mem_dirty(r->m, 0, 256 * PAGE);
	expect(r, 0, 0);
	assert_int_equal(pread(other, &byte, 1, 1), 1);
	assert_int_equal(byte, 0);
	assert_int_equal(pread(other, &byte, 1, 0), 1);
	assert_int_equal(byte, 0xff);
	assert_int_equal(mem_log_set(r->m, -1, 0, 0, "test", NULL), 0);
	mem_dirty(r->m, 0, 256 * PAGE);
	assert_int_equal(mem_log_set(r->m, r->log_fd, LOG_SIZE, LOG_AT, "test", NULL), 0);
	/* it outlives the regions */
	mem_clear(r->m);
	mem_dirty(r->m, 5 * PAGE, 1);
	expect(r, 5, 6);
	close(other);
}

static void a_log_that_is_refused_changes_nothing(void **state)
{
	struct vmtap_error err = { 0 };
	struct rig *r = *state;
	char path[40];
	int readonly;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", r->log_fd);
	readonly = open(path, O_RDONLY | O_CLOEXEC);
	mem_log_on(r->m, true);
	assert_int_equal(mem_log_set(r->m, r->log_fd, PAGE + 1, 0, "vhost-user vm0", &err),
			 -EINVAL);
	assert_string_equal(err.object, "vhost-user vm0");
	assert_non_null(strstr(err.action, "dirty log"));
	assert_non_null(strstr(err.reason, "beyond the end of the file"));
	assert_int_equal(mem_log_set(r->m, r->log_fd, 0, 0, "test", &err), -EINVAL);
	assert_int_equal(mem_log_set(r->m, r->log_fd, 1, ~0ull, "test", &err), -EINVAL);
	assert_int_equal(mem_log_set(r->m, r->log_fd, -PAGE, PAGE, "test", &err), -EINVAL);
	assert_int_equal(mem_log_set(r->m, readonly, 1, 0, "test", &err), -EACCES);
	assert_int_equal(mem_log_set(r->m, 9999, 1, 0, "test", &err), -EBADF);
	mem_dirty(r->m, 9 * PAGE, 1);
	expect(r, 9, 10);
	close(readonly);
}

#define rig_case(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		rig_case(marks_exactly_the_pages_touched),
		rig_case(every_range_of_pages_is_right),
		rig_case(adds_to_what_is_marked_already),
		rig_case(marks_nothing_while_off),
		rig_case(finds_the_page_of_a_host_address),
		rig_case(a_log_may_come_go_and_change),
		rig_case(a_log_that_is_refused_changes_nothing),
	};

	return cmocka_run_group_tests_name("dirty", tests, NULL, NULL);
}
