/* SPDX-License-Identifier: MIT */
/* The guest's memory: what is refused, where an address is, what is mapped. */
#include "mem-test.h"

#include <sys/socket.h>

static struct vmtap_error err;

/* ---------------------------------------------------------------- refusals */

/* A table that holds [0x10000, 0x20000), and a file of 1 MiB. */
struct rig {
	struct mem *m;
	int fd;
};

static int setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));

	assert_non_null(r);
	r->fd = file_of(MIB);
	r->m = mem_with(r->fd, 0x10000, 0x10000);
	*state = r;
	return 0;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	mem_free(r->m);
	close(r->fd);
	free(r);
	return 0;
}

static void refuse(struct rig *r, const struct mem_slot *s, int fd, int code, const char *text)
{
	memset(&err, 0, sizeof(err));
	assert_int_equal(mem_add(r->m, s, fd, "vhost-user vm0", &err), -code);
	assert_int_equal(err.code, code);
	assert_string_equal(err.object, "vhost-user vm0");
	if (!strstr(err.reason, text))
		fail_msg("\"%s\" is not in: %s", text, err.reason);
	assert_int_equal(mem_add(r->m, s, fd, "vhost-user vm0", NULL), -code);
	assert_int_equal(mem_cnt(r->m), 1);
}

static void refuses_impossible_regions(void **state)
{
	static const struct {
		struct mem_slot slot;
		const char *text;
	} rows[] = {
		{ { 0x40000, 0, 0x40000, 0 }, "is empty" },
		{ { ~0ull - 0xfef, 0x1000, 0x40000, 0 }, "end of the address space" },
		{ { ~0ull - 0xf, ~0ull, 0x40000, 0 }, "end of the address space" },
		{ { 0x40000, 0x1000, ~0ull - 0xfef, 0 }, "end of the address space" },
		/* in the guest's space: at the beginning, the end, inside, around, the same */
		{ { 0xf000, 0x1001, 0, 0 }, "overlaps with another" },
		{ { 0x1fff0, 0x1000, 0, 0 }, "overlaps with another" },
		{ { 0x11000, 0x1000, 0, 0 }, "overlaps with another" },
		{ { 0x8000, 0x20000, 0, 0 }, "overlaps with another" },
		{ { 0x10000, 0x10000, 0, 0 }, "overlaps with another" },
		{ { 0, ~0ull, 0, 0 }, "overlaps with another" },
		/* in the front end's */
		{ { 0x40000, 0x1001, UVA + 0xf000, 0 }, "in the front end's memory" },
		{ { 0x40000, 0x1000, UVA + 0x1fff0, 0 }, "in the front end's memory" },
		{ { 0x40000, 0x1000, UVA + 0x11000, 0 }, "in the front end's memory" },
		{ { 0x40000, 0x20000, UVA + 0x8000, 0 }, "in the front end's memory" },
		/* beyond the file of 1 MiB */
		{ { 0x40000, MIB + 1, 0x40000, 0 }, "beyond the end of the file" },
		{ { 0x40000, 0x1001, 0x40000, MIB - 0x1000 }, "beyond the end of the file" },
		{ { 0x40000, 0x1000, 0x40000, MIB }, "beyond the end of the file" },
		{ { 0x40000, 0x1000, 0x40000, ~0ull - 0xfff }, "beyond the end of the file" },
		{ { 0x40000, 1ull << 62, 1ull << 63, 1ull << 62 }, "beyond the end of the file" },
		{ { 0x40000, 0x1000, 0x40000, 8 }, "aligned in one way" },
		{ { 0x40008, 0x1000, 0x40000, 0 }, "aligned in one way" },
		{ { 0x40000, 0x1000, 0x40001, 0 }, "aligned in one way" },
	};
	struct rig *r = *state;

	for (unsigned i = 0; i < ARRAY_LEN(rows); i++)
		refuse(r, &rows[i].slot, r->fd, EINVAL, rows[i].text);
}

static void takes_neighbours_and_the_ends_of_the_address_space(void **state)
{
	static const struct mem_slot rows[] = {
		{ 0xf000, 0x1000, UVA + 0xf000, 0 },
		{ 0x20000, 0x1000, UVA + 0x20000, 0 },
		{ ~0ull - 0xfff, 0x1000, 0, 0 },
		{ 0, 0x1000, ~0ull - 0xfff, MIB - 0x1000 },
	};
	struct rig *r = *state;
	uint64_t len = 0x2000;

	for (unsigned i = 0; i < ARRAY_LEN(rows); i++)
		assert_int_equal(mem_add(r->m, &rows[i], r->fd, "test", NULL), 0);
	assert_int_equal(mem_cnt(r->m), 5);
	assert_non_null(mem_at(r->m, ~0ull - 1, &len));
	assert_true(len == 2);
	assert_non_null(mem_at_uva(r->m, ~0ull, 1));
	assert_null(mem_at_uva(r->m, ~0ull, 2));
	assert_null(mem_at_uva(r->m, ~0ull, ~0ull));
}

/* Each is something that cannot be the guest's memory, and the remedy says what can. */
static void refuses_what_is_no_file_and_names_share_on(void **state)
{
	struct mem_slot s = slot_at(0x40000, 0x1000, 0);
	struct rig *r = *state;
	int fds[6] = { -1, 9999 };

	assert_int_equal(pipe(fds + 2), 0);
	fds[4] = socket(AF_UNIX, SOCK_STREAM, 0);
	fds[5] = open("/dev/zero", O_RDWR | O_CLOEXEC);
	for (unsigned i = 0; i < ARRAY_LEN(fds); i++) {
		refuse(r, &s, fds[i], i < 2 ? EBADF : EINVAL, "descriptor");
		assert_non_null(strstr(err.remedy, "memory-backend-memfd"));
		assert_non_null(strstr(err.remedy, "share=on"));
	}
	for (unsigned i = 2; i < ARRAY_LEN(fds); i++)
		close(fds[i]);
}

/* Its pages come from a disk, or from whoever serves the file system, when they like. */
static void refuses_a_file_that_is_not_in_memory(void **state)
{
	struct mem_slot s = slot_at(0x40000, 0x1000, 0);
	int fd = open(".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	struct rig *r = *state;

	assert_true(fd >= 0);
	assert_int_equal(ftruncate(fd, MIB), 0);
	if (fcntl(fd, F_GET_SEALS) >= 0)
		skip(); /* this folder is in memory */
	refuse(r, &s, fd, EINVAL, "is no file in memory");
	assert_non_null(strstr(err.remedy, "memory-backend-memfd"));
	close(fd);
}

static int reopen(int fd, int flags)
{
	char path[40];
	int again;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	again = open(path, flags | O_CLOEXEC);
	assert_true(again >= 0);
	return again;
}

static void refuses_a_descriptor_without_both_rights(void **state)
{
	static const struct {
		int flags;
		const char *text;
	} rows[] = {
		{ O_RDONLY, "is read-only" },
		{ O_WRONLY, "cannot be read and written" },
	};
	struct mem_slot s = slot_at(0x40000, 0x1000, 0);
	struct rig *r = *state;

	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		int fd = reopen(r->fd, rows[i].flags);

		refuse(r, &s, fd, EACCES, rows[i].text);
		assert_non_null(strstr(err.remedy, "readonly=on"));
		close(fd);
	}
}

static void refuses_a_sealed_file(void **state)
{
	struct mem_slot s = slot_at(0x40000, 0x1000, 0);
	struct rig *r = *state;
	int fd = file_of(MIB);

	assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), 0);
	refuse(r, &s, fd, EPERM, "sealed against writing");
	close(fd);
}

/* ------------------------------------------------------------- translation */

/* Three regions, the first two next to each other, in an order that is not theirs in the file. */
static struct mem *three_regions(int fd)
{
	static const struct mem_slot slots[] = {
		{ 0x1000, 0x2000, 0x901000, 0x8000 },
		{ 0x3000, 0x1000, 0x703000, 0x2000 },
		{ 4 * GIB, 0x4000, 0x800000, 0x4000 },
	};
	struct mem *m = mem_new();

	for (unsigned i = 0; i < ARRAY_LEN(slots); i++)
		assert_int_equal(mem_add(m, &slots[(i + 2) % 3], fd, "test", NULL), 0);
	return m;
}

static void translates_up_to_the_end_of_a_region(void **state)
{
	static const struct {
		uint64_t gpa, len, rest, offset; /* rest 0: nowhere */
	} rows[] = {
		{ 0x1000, 1, 1, 0x8000 },
		{ 0x1000, 0x2000, 0x2000, 0x8000 },
		{ 0x1000, 0x2001, 0x2000, 0x8000 },
		{ 0x2fff, 2, 1, 0x9fff },
		{ 0x3000, 0x5000, 0x1000, 0x2000 },
		{ 0x3fff, ~0ull, 1, 0x2fff },
		{ 4 * GIB, ~0ull, 0x4000, 0x4000 },
		{ 4 * GIB + 0x3fff, 1, 1, 0x7fff },
		{ 0, 0x1000, 0 },
		{ 0xfff, 2, 0 },
		{ 0x4000, 1, 0 },
		{ 4 * GIB - 1, 2, 0 },
		{ 4 * GIB + 0x4000, 1, 0 },
		{ ~0ull, ~0ull, 0 },
	};
	int fd = file_of(64 * KIB);
	struct mem *m = three_regions(fd);

	/* each after each, so that the hint is right and wrong in all ways */
	for (unsigned i = 0; i < ARRAY_LEN(rows) * ARRAY_LEN(rows); i++) {
		unsigned at = i % 2 ? i / 2 % ARRAY_LEN(rows) : i % ARRAY_LEN(rows);
		uint64_t len = rows[at].len;
		uint16_t mark = (uint16_t)(i + 1), seen = 0;
		uint8_t *host = mem_at(m, rows[at].gpa, &len);

		if (!rows[at].rest) {
			assert_null(host);
			continue;
		}
		assert_non_null(host);
		assert_true(len == rows[at].rest);
		*host = (uint8_t)mark;
		assert_int_equal(pread(fd, &seen, 1, (off_t)rows[at].offset), 1);
		assert_int_equal(seen, (uint8_t)mark);
	}
	mem_free(m);
	close(fd);
}

static void a_range_across_regions_comes_in_pieces(void **state)
{
	int fd = file_of(64 * KIB);
	struct mem *m = three_regions(fd);
	uint64_t gpa = 0x2800, left = 0x1000;
	unsigned pieces = 0;

	while (left) {
		uint64_t len = left;
		void *host = mem_at(m, gpa, &len);

		assert_non_null(host);
		memset(host, 0x5a, len);
		gpa += len;
		left -= len;
		pieces++;
	}
	assert_int_equal(pieces, 2);
	for (unsigned i = 0; i < 0x1000; i++) {
		uint8_t got;

		assert_int_equal(pread(fd, &got, 1, i < 0x800 ? 0x9800 + i : 0x2000 + i - 0x800),
				 1);
		assert_int_equal(got, 0x5a);
	}
	mem_free(m);
	close(fd);
}

static void translates_the_front_ends_addresses_whole(void **state)
{
	int fd = file_of(64 * KIB);
	struct mem *m = three_regions(fd);
	uint64_t gpa;

	assert_ptr_equal(mem_at_uva(m, 0x901000, 0x2000), host_of(m, 0x1000, 0x2000));
	assert_ptr_equal(mem_at_uva(m, 0x902ffe, 2), host_of(m, 0x2ffe, 2));
	assert_ptr_equal(mem_at_uva(m, 0x703010, 1), host_of(m, 0x3010, 1));
	assert_null(mem_at_uva(m, 0x901000, 0x2001));
	assert_null(mem_at_uva(m, 0x902ffe, 3));
	assert_null(mem_at_uva(m, 0x902ffe, ~0ull));
	assert_null(mem_at_uva(m, 0x903000, 1));
	assert_null(mem_at_uva(m, 0x900fff, 2));
	assert_null(mem_at_uva(m, 0, 1));
	assert_int_equal(mem_uva_to_gpa(m, 0x803fff, &gpa), 0);
	assert_true(gpa == 4 * GIB + 0x3fff);
	assert_int_equal(mem_uva_to_gpa(m, 0x804000, &gpa), -EFAULT);
	mem_free(m);
	close(fd);
}

static void an_empty_table_has_no_address(void **state)
{
	struct mem *m = mem_new();
	uint64_t len = 1, gpa;

	assert_null(mem_at(m, 0, &len));
	assert_null(mem_at(m, ~0ull, &len));
	assert_null(mem_at_uva(m, 0, 0));
	assert_int_equal(mem_uva_to_gpa(m, 0, &gpa), -EFAULT);
	assert_int_equal(mem_cnt(m), 0);
	assert_false(mem_is_lost(m));
	mem_clear(m);
	mem_free(m);
	mem_free(NULL);
}

/* ------------------------------------------------------- many, and unmapping */

static unsigned slot_gap(unsigned i)
{
	return i % 3 ? 0x1000 : 0x3000;
}

/* In an order that jumps about: 509 is a prime. */
static unsigned shuffled(unsigned i)
{
	return i * 200 % MEM_REGIONS_MAX;
}

static struct mem_slot slot_of(unsigned i)
{
	return slot_at((uint64_t)i * 0x4000, slot_gap(i), (uint64_t)i * 0x4000);
}

static void check_all(const struct mem *m, const bool *has)
{
	for (unsigned i = 0; i < MEM_REGIONS_MAX; i++) {
		unsigned at = shuffled(i);
		struct mem_slot s = slot_of(at);
		uint64_t len = 0x4000;
		uint32_t *host = mem_at(m, s.gpa, &len);

		assert_true(!!host == has[at]);
		if (!host)
			continue;
		assert_true(len == s.size);
		assert_int_equal(*host, at + 1);
		assert_ptr_equal(mem_at_uva(m, s.uva, s.size), host);
		assert_null(mem_at(m, s.gpa + s.size, &len));
	}
}

static void holds_509_regions_and_no_more(void **state)
{
	const uint64_t size = (MEM_REGIONS_MAX + 1) * 0x4000ull;
	struct mem *m = mem_new();
	struct mem_slot s = slot_of(MEM_REGIONS_MAX);
	bool has[MEM_REGIONS_MAX] = { 0 };
	int fd = file_of(size);

	for (uint32_t i = 0; i < MEM_REGIONS_MAX; i++) {
		uint32_t mark = i + 1;

		assert_int_equal(pwrite(fd, &mark, sizeof(mark), i * 0x4000), sizeof(mark));
	}
	for (unsigned i = 0; i < MEM_REGIONS_MAX; i++) {
		struct mem_slot one = slot_of(shuffled(i));

		assert_int_equal(mem_add(m, &one, fd, "test", NULL), 0);
		has[shuffled(i)] = true;
	}
	assert_int_equal(mem_cnt(m), MEM_REGIONS_MAX);
	assert_int_equal(mem_add(m, &s, fd, "test", &err), -ENOSPC);
	assert_non_null(strstr(err.reason, "more than 509"));
	check_all(m, has);
	for (unsigned i = 0; i < MEM_REGIONS_MAX; i += 2) {
		struct mem_slot one = slot_of(shuffled(i));

		assert_int_equal(mem_del(m, &one), 0);
		assert_int_equal(mem_del(m, &one), -ENOENT);
		has[shuffled(i)] = false;
		if (i % 50 == 0)
			check_all(m, has);
	}
	assert_int_equal(mem_cnt(m), MEM_REGIONS_MAX / 2);
	mem_clear(m);
	memset(has, 0, sizeof(has));
	check_all(m, has);
	assert_int_equal(mem_add(m, &s, fd, "test", NULL), 0);
	mem_free(m);
	close(fd);
}

static void removes_nothing_but_the_very_region(void **state)
{
	static const struct mem_slot others[] = {
		{ 0x10000, 0x1000, UVA + 0x10000, 0 },
		{ 0x10000, 0x10000, UVA, 0 },
		{ 0x11000, 0xf000, UVA + 0x11000, 0 },
		{ 0xf000, 0x10000, UVA + 0x10000, 0 },
	};
	struct mem_slot s = slot_at(0x10000, 0x10000, 0x77);
	struct rig *r = *state;

	for (unsigned i = 0; i < ARRAY_LEN(others); i++)
		assert_int_equal(mem_del(r->m, &others[i]), -ENOENT);
	assert_int_equal(mem_cnt(r->m), 1);
	/* front ends leave the offset out when they remove */
	assert_int_equal(mem_del(r->m, &s), 0);
}

/* Bytes of files named "guest" that are mapped; each must be kept out of core dumps. */
static uint64_t mapped(void)
{
	FILE *f = fopen("/proc/self/smaps", "re");
	uint64_t from, to, sum = 0;
	bool is_ours = false;
	char line[512];

	assert_non_null(f);
	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%" SCNx64 "-%" SCNx64 " ", &from, &to) == 2) {
			is_ours = strstr(line, "/memfd:guest") != NULL;
			sum += is_ours ? to - from : 0;
		} else if (is_ours && !strncmp(line, "VmFlags:", 8)) {
			assert_non_null(strstr(line, " dd"));
			assert_non_null(strstr(line, " sh"));
		}
	}
	fclose(f);
	return sum;
}

static void maps_only_the_pages_needed(void **state)
{
	static const struct {
		uint64_t size, offset, mapped;
	} rows[] = {
		{ 0x1000, 0, 0x1000 },	   { 1, 0, 0x1000 },
		{ 0x1000, 0x70, 0x2000 },  { 0xf90, 0x1070, 0x1000 },
		{ 2, 0x1fff, 0x2000 },	   { 0x1001, 0x5000, 0x2000 },
		{ MIB - 0x10, 0x10, MIB }, { 0x1000, MIB - 0x1000, 0x1000 },
	};
	int fd = file_of(MIB);
	struct mem *m = mem_new();

	for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
		struct mem_slot s = slot_at(rows[i].offset % 16, rows[i].size, rows[i].offset);
		uint8_t *host, mark = (uint8_t)(i + 1), seen = 0;

		assert_int_equal(mem_add(m, &s, fd, "test", NULL), 0);
		assert_true(mapped() == rows[i].mapped);
		host = host_of(m, s.gpa + s.size - 1, 1);
		*host = mark;
		assert_int_equal(pread(fd, &seen, 1, (off_t)(s.offset + s.size - 1)), 1);
		assert_int_equal(seen, mark);
		assert_int_equal(mem_del(m, &s), 0);
		assert_true(mapped() == 0);
	}
	mem_free(m);
	close(fd);
}

static void unmaps_at_once(void **state)
{
	int fd = file_of(MIB);
	struct mem *m = mem_new();
	struct mem_slot a = slot_at(0, 0x10000, 0), b = slot_at(0x20000, 0x8000, 0);
	uint64_t len = 1;

	assert_int_equal(mem_add(m, &a, fd, "test", NULL), 0);
	assert_int_equal(mem_add(m, &b, fd, "test", NULL), 0);
	assert_int_equal(mem_log_set(m, fd, 0x1000, 0, "test", NULL), 0);
	assert_true(mapped() == 0x19000);
	assert_int_equal(mem_del(m, &a), 0);
	assert_true(mapped() == 0x9000);
	assert_null(mem_at(m, 0, &len));
	mem_clear(m);
	assert_true(mapped() == 0x1000);
	assert_int_equal(mem_log_set(m, -1, 0, 0, "test", NULL), 0);
	assert_true(mapped() == 0);
	assert_int_equal(mem_add(m, &a, fd, "test", NULL), 0);
	assert_int_equal(mem_log_set(m, fd, 0x1000, 0, "test", NULL), 0);
	mem_free(m);
	assert_true(mapped() == 0);
	close(fd);
}

static void refused_regions_leave_nothing_mapped(void **state)
{
	int fd = file_of(MIB);
	struct mem *m = mem_with(fd, 0, 0x1000);
	struct mem_slot overlapping = slot_at(0, 0x1000, 0), beyond = slot_at(MIB, 2 * MIB, 0);

	assert_int_equal(mem_add(m, &overlapping, fd, "test", NULL), -EINVAL);
	assert_int_equal(mem_add(m, &beyond, fd, "test", NULL), -EINVAL);
	assert_true(mapped() == 0x1000);
	mem_free(m);
	close(fd);
}

#define rig_case(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		rig_case(refuses_impossible_regions),
		rig_case(takes_neighbours_and_the_ends_of_the_address_space),
		rig_case(refuses_what_is_no_file_and_names_share_on),
		rig_case(refuses_a_file_that_is_not_in_memory),
		rig_case(refuses_a_descriptor_without_both_rights),
		rig_case(refuses_a_sealed_file),
		rig_case(removes_nothing_but_the_very_region),
		cmocka_unit_test(translates_up_to_the_end_of_a_region),
		cmocka_unit_test(a_range_across_regions_comes_in_pieces),
		cmocka_unit_test(translates_the_front_ends_addresses_whole),
		cmocka_unit_test(an_empty_table_has_no_address),
		cmocka_unit_test(holds_509_regions_and_no_more),
		cmocka_unit_test(maps_only_the_pages_needed),
		cmocka_unit_test(unmaps_at_once),
		cmocka_unit_test(refused_regions_leave_nothing_mapped),
	};

	return cmocka_run_group_tests_name("mem", tests, NULL, NULL);
}
