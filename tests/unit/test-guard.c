/* SPDX-License-Identifier: MIT */
/*
 * Memory that is taken away.
 *
 * Each case runs in a child of its own: handlers of signals are the process's, and some
 * cases end it.
 */
#include "mem-test.h"

#include <linux/memfd.h>
#include <pthread.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "virtio/guard.h"

#define SIZE (64 * KIB)
#define LATE 99 /* exit status: went on where it should have ended */

/* In the child: no claim may be wrong. */
#define CHECK(cond)                                                                \
	do {                                                                       \
		if (!(cond)) {                                                     \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond); \
			_exit(1);                                                  \
		}                                                                  \
	} while (0)

/* As a program has it that knows nothing of SIGBUS, whatever a sanitizer put there. */
static void handle_by(int flags, void (*handler)(int))
{
	struct sigaction sa = { .sa_handler = handler, .sa_flags = flags };

	CHECK(sigaction(SIGBUS, &sa, NULL) == 0);
}

/* Return: the child's wait status. */
static int run(void (*fn)(void))
{
	const struct rlimit no_core = { 0, 0 };
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		setrlimit(RLIMIT_CORE, &no_core);
		alarm(20);
		handle_by(0, SIG_DFL);
		fn();
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return status;
}

static void survives(void (*fn)(void))
{
	assert_int_equal(run(fn), 0);
}

static void ends_by_sigbus(void (*fn)(void))
{
	int status = run(fn);

	assert_true(WIFSIGNALED(status));
	assert_int_equal(WTERMSIG(status), SIGBUS);
}

static void shrink(int fd, uint64_t size)
{
	CHECK(ftruncate(fd, (off_t)size) == 0);
}

/* A mapping of a file that has ended; nobody guards it. */
static volatile uint8_t *trap(void)
{
	int fd = file_of(PAGE);
	void *p = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	CHECK(p != MAP_FAILED);
	shrink(fd, 0);
	return p;
}

/* --------------------------------------------------------------- our memory */

static void shrunk_child(void)
{
	int fd = file_of(SIZE);
	struct mem *m = mem_with(fd, 0, SIZE);
	volatile uint8_t *p = host_of(m, 0, SIZE);

	memset((void *)p, 0x77, SIZE);
	shrink(fd, SIZE / 2);
	CHECK(p[SIZE / 2 - 1] == 0x77 && !mem_is_lost(m));
	/* reading and writing, forwards and backwards */
	CHECK(p[SIZE - 1] == 0 && mem_is_lost(m));
	for (unsigned i = SIZE / 2; i < SIZE; i++)
		CHECK(p[i] == 0);
	p[SIZE / 2] = 5;
	CHECK(p[SIZE / 2] == 5);
	/* what is still there is still shared */
	p[0] = 0x33;
	CHECK(pread(fd, (void *)(p + SIZE - 1), 1, 0) == 1 && p[SIZE - 1] == 0x33);
	/* zeros are ours: the file has nothing of them */
	shrink(fd, SIZE);
	CHECK(pread(fd, (void *)p, 1, SIZE / 2) == 1 && p[0] == 0);
	CHECK(mem_is_lost(m));
	mem_clear(m);
	CHECK(!mem_is_lost(m) && mem_cnt(m) == 0);
	mem_free(m);
}

static void memory_that_shrinks_reads_as_zeros(void **state)
{
	survives(shrunk_child);
}

/* Backwards: each page is a fault. What it finds there it keeps, until the next page goes. */
static void shrunk_write_child(void)
{
	int fd = file_of(SIZE);
	struct mem *m = mem_with(fd, 0, SIZE);
	volatile uint64_t *p = host_of(m, 0, SIZE);

	shrink(fd, 0);
	for (unsigned i = SIZE / sizeof(*p); i > 0; i--) {
		p[i - 1] = i;
		CHECK(p[i - 1] == i && mem_is_lost(m));
	}
	CHECK(p[0] == 1 && p[PAGE / sizeof(*p) - 1] == PAGE / sizeof(*p));
	mem_free(m);
}

static void memory_that_shrinks_takes_writes(void **state)
{
	survives(shrunk_write_child);
}

/* Areas of the process, or those of files named @name. */
static unsigned map_cnt(const char *name)
{
	FILE *f = fopen("/proc/self/maps", "re");
	unsigned cnt = 0;
	char line[512];

	CHECK(f);
	while (fgets(line, sizeof(line), f))
		cnt += strstr(line, name) != NULL;
	fclose(f);
	return cnt;
}

/* The kernel allows 65530 areas a process; one a lost page would use them up. */
static void many_pages_child(void)
{
	const unsigned pages = 100000;
	int fd = file_of(pages * PAGE);
	struct mem *m = mem_with(fd, 0, pages * PAGE);
	volatile uint8_t *p = host_of(m, 0, pages * PAGE);
	unsigned before;

	shrink(fd, 0);
	before = map_cnt("");
	for (unsigned i = pages; i > 0; i -= 2)
		CHECK(p[(i - 1) * PAGE] == 0);
	CHECK(map_cnt("") < before + 8);
	mem_free(m);
}

static void a_loss_of_many_pages_costs_no_areas(void **state)
{
	survives(many_pages_child);
}

/* Only its own table hears of a loss, and only the mapping that it is about changes. */
static void others_child(void)
{
	int fd = file_of(SIZE), other_fd = file_of(SIZE);
	struct mem *m = mem_with(fd, 0, SIZE), *other = mem_with(other_fd, 0, SIZE);
	struct mem_slot s = slot_at(GIB, SIZE, 0);
	volatile uint8_t *p = host_of(m, 0, SIZE), *q = host_of(other, 0, SIZE), *second;

	CHECK(mem_add(m, &s, other_fd, "test", NULL) == 0);
	second = host_of(m, GIB, SIZE);
	q[SIZE - 1] = 0x44;
	shrink(fd, 0);
	CHECK(p[0] == 0);
	CHECK(mem_is_lost(m) && !mem_is_lost(other));
	CHECK(second[SIZE - 1] == 0x44);
	q[SIZE - 1] = 0x45;
	CHECK(second[SIZE - 1] == 0x45);
	mem_free(m);
	CHECK(q[SIZE - 1] == 0x45);
	mem_free(other);
}

static void a_loss_is_nobody_elses(void **state)
{
	survives(others_child);
}

static void log_child(void)
{
	int fd = file_of(SIZE), log_fd = file_of(SIZE), fresh = file_of(SIZE);
	struct mem *m = mem_with(fd, 0, SIZE);
	uint8_t byte = 0;

	CHECK(mem_log_set(m, log_fd, SIZE, 0, "test", NULL) == 0);
	mem_log_on(m, true);
	mem_dirty(m, 0, SIZE);
	CHECK(!mem_is_lost(m));
	shrink(log_fd, 0);
	mem_dirty(m, 0, SIZE);
	CHECK(mem_is_lost(m));
	mem_dirty(m, 0, SIZE);
	/* another log does not make it good; a new beginning does, and keeps that log */
	CHECK(mem_log_set(m, fresh, SIZE, 0, "test", NULL) == 0);
	CHECK(mem_is_lost(m));
	mem_clear(m);
	CHECK(!mem_is_lost(m));
	mem_dirty(m, 0, PAGE);
	CHECK(pread(fresh, &byte, 1, 0) == 1 && byte == 1);
	/* a lost one goes when there is a new beginning */
	shrink(fresh, 0);
	mem_dirty(m, 0, PAGE);
	CHECK(mem_is_lost(m));
	mem_clear(m);
	mem_dirty(m, 0, PAGE);
	CHECK(!mem_is_lost(m));
	mem_free(m);
}

static void a_log_that_shrinks_is_a_loss(void **state)
{
	survives(log_child);
}

static void offset_child(void)
{
	int fd = file_of(SIZE);
	struct mem *m = mem_new();
	struct mem_slot s = slot_at(0, 3 * PAGE, PAGE + 0x230);
	volatile uint8_t *p;

	CHECK(mem_add(m, &s, fd, "test", NULL) == 0);
	p = host_of(m, 0, s.size);
	memset((void *)p, 0x77, s.size);
	shrink(fd, 2 * PAGE);
	CHECK(p[s.size - 1] == 0 && mem_is_lost(m));
	CHECK(p[PAGE - 0x231] == 0x77 && p[PAGE - 0x230] == 0);
	mem_free(m);
}

static void the_boundary_is_that_of_the_files_pages(void **state)
{
	survives(offset_child);
}

struct toucher {
	int fd;
	pthread_barrier_t *all;
};

static void *touch(void *opaque)
{
	struct toucher *t = opaque;

	for (unsigned i = 0; i < 200; i++) {
		struct mem *m = mem_with(t->fd, 0, SIZE);
		volatile uint8_t *p = host_of(m, 0, SIZE);

		/* all map, one shrinks, all touch, and come and go meanwhile */
		if (pthread_barrier_wait(t->all) == PTHREAD_BARRIER_SERIAL_THREAD)
			shrink(t->fd, 0);
		pthread_barrier_wait(t->all);
		for (unsigned at = 0; at < SIZE; at += PAGE)
			CHECK(p[SIZE - PAGE - at] == 0);
		CHECK(mem_is_lost(m));
		mem_free(m);
		if (pthread_barrier_wait(t->all) == PTHREAD_BARRIER_SERIAL_THREAD)
			shrink(t->fd, SIZE);
		pthread_barrier_wait(t->all);
	}
	return NULL;
}

static void threads_child(void)
{
	pthread_barrier_t all;
	struct toucher t = { .fd = file_of(SIZE), .all = &all };
	pthread_t threads[4];

	CHECK(pthread_barrier_init(&all, NULL, ARRAY_LEN(threads)) == 0);
	for (unsigned i = 0; i < ARRAY_LEN(threads); i++)
		CHECK(pthread_create(&threads[i], NULL, touch, &t) == 0);
	for (unsigned i = 0; i < ARRAY_LEN(threads); i++)
		CHECK(pthread_join(threads[i], NULL) == 0);
	pthread_barrier_destroy(&all);
}

static void works_from_any_thread(void **state)
{
	survives(threads_child);
}

/* -------------------------------------------------------------- huge pages */

#define HUGE (2 * MIB)

/* Return: -1: this kernel has no huge pages. */
static int huge_file(uint64_t size)
{
	int fd = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB | MFD_HUGE_2MB);

	if (fd >= 0 && ftruncate(fd, (off_t)size) < 0)
		fd_close(&fd);
	return fd;
}

/* Also where none are free: then the first touch is the loss. */
static void huge_child(void)
{
	int fd = huge_file(3 * HUGE);
	struct mem *m = mem_new();
	struct mem_slot odd = slot_at(0, HUGE, HUGE / 2), rest = slot_at(GIB, 5, 3 * HUGE - 16);
	struct vmtap_error err;
	volatile uint8_t *p;

	CHECK(mem_add(m, &odd, fd, "test", &err) == 0);
	CHECK(mem_add(m, &rest, fd, "test", &err) == 0);
	p = host_of(m, 0, HUGE);
	CHECK((uintptr_t)p % HUGE == HUGE / 2);
	shrink(fd, HUGE);
	p[HUGE - 1] = 1;
	CHECK(mem_is_lost(m) && p[HUGE - 1] == 1 && p[HUGE / 2] == 0);
	shrink(fd, 0);
	CHECK(p[0] == 0);
	CHECK(*(volatile uint8_t *)host_of(m, GIB, 5) == 0);
	/* a length that is no multiple of theirs would not be unmapped */
	CHECK(mem_del(m, &odd) == 0);
	CHECK(mincore((void *)(p - HUGE / 2), HUGE, (unsigned char[HUGE / PAGE]) { 0 }) < 0 &&
	      errno == ENOMEM);
	mem_free(m);
}

static void huge_pages_go_whole(void **state)
{
	int fd = huge_file(HUGE);

	if (fd < 0) {
		print_message("this kernel has no huge pages of 2 MiB\n");
		skip();
	}
	close(fd);
	survives(huge_child);
}

/* ------------------------------------------------------------ others' faults */

static void guard_something(void)
{
	mem_with(file_of(SIZE), 0, SIZE);
}

static void foreign_child(void)
{
	guard_something();
	*trap() = 1;
	_exit(LATE);
}

static void a_fault_elsewhere_ends_the_process(void **state)
{
	ends_by_sigbus(foreign_child);
}

/* The entry goes with the mapping: what comes to its place is not ours. */
static void reused_child(void)
{
	int fd = file_of(SIZE);
	struct mem *m = mem_with(fd, 0, SIZE);
	void *p = host_of(m, 0, SIZE);

	mem_clear(m);
	CHECK(mmap(p, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED_NOREPLACE, fd, 0) == p);
	shrink(fd, 0);
	*(volatile uint8_t *)p = 1;
	_exit(LATE);
}

static void a_fault_where_memory_was_ends_the_process(void **state)
{
	ends_by_sigbus(reused_child);
}

static void ignored_child(void)
{
	handle_by(0, SIG_IGN);
	guard_something();
	CHECK(kill(getpid(), SIGBUS) == 0);
	*trap() = 1;
	_exit(LATE);
}

static void a_fault_cannot_be_ignored(void **state)
{
	ends_by_sigbus(ignored_child);
}

static void ignored_signal_child(void)
{
	handle_by(0, SIG_IGN);
	guard_something();
	CHECK(raise(SIGBUS) == 0);
}

static void a_signal_that_is_sent_can(void **state)
{
	survives(ignored_signal_child);
}

static void sent_child(void)
{
	guard_something();
	raise(SIGBUS);
	_exit(LATE);
}

static void a_signal_that_is_sent_ends_the_process(void **state)
{
	ends_by_sigbus(sent_child);
}

static volatile sig_atomic_t calls, blocked;
static void *volatile fault_addr;
static sigjmp_buf back;

static void on_bus_info(int sig, siginfo_t *info, void *context)
{
	sigset_t set;

	sigprocmask(SIG_SETMASK, NULL, &set);
	blocked = sigismember(&set, SIGUSR1);
	fault_addr = info->si_addr;
	calls++;
	if (context)
		siglongjmp(back, 1);
}

static void chain_child(void)
{
	struct sigaction sa = { .sa_sigaction = on_bus_info, .sa_flags = SA_SIGINFO };
	int fd = file_of(SIZE);
	volatile uint8_t *where = trap();
	volatile uint8_t *ours;
	struct mem *m;

	sigaddset(&sa.sa_mask, SIGUSR1);
	CHECK(sigaction(SIGBUS, &sa, NULL) == 0);
	m = mem_with(fd, 0, SIZE);
	ours = host_of(m, 0, SIZE);
	for (int i = 1; i < 4; i++) {
		if (!sigsetjmp(back, 1)) {
			where[7] = 1;
			CHECK(!"it went on");
		}
		CHECK(calls == i && fault_addr == (void *)(where + 7) && blocked == 1);
	}
	/* what is ours it does not hear of */
	shrink(fd, 0);
	ours[0] = 1;
	CHECK(calls == 3 && mem_is_lost(m));
	mem_free(m);
}

static void an_earlier_handler_gets_what_is_not_ours(void **state)
{
	survives(chain_child);
}

static void on_bus(int sig)
{
	calls += sig == SIGBUS;
}

static void plain_chain_child(void)
{
	handle_by(0, on_bus);
	guard_something();
	CHECK(raise(SIGBUS) == 0 && calls == 1);
	CHECK(raise(SIGBUS) == 0 && calls == 2);
}

static void an_earlier_plain_handler_is_called(void **state)
{
	survives(plain_chain_child);
}

static void once_child(void)
{
	handle_by((int)SA_RESETHAND, on_bus);
	guard_something();
	CHECK(raise(SIGBUS) == 0 && calls == 1);
	raise(SIGBUS);
	_exit(LATE);
}

static void an_earlier_handler_for_once_is_called_once(void **state)
{
	ends_by_sigbus(once_child);
}

/* ------------------------------------------------------------------ entries */

static void full_child(void)
{
	static int entries[GUARD_MAX];
	atomic_bool lost = false;
	char *p = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int fd = file_of(SIZE);
	struct mem *m = mem_new();
	struct mem_slot s = slot_at(0, SIZE, 0);
	struct vmtap_error err;

	for (unsigned i = 0; i < GUARD_MAX; i++) {
		entries[i] = guard_add(p, PAGE, PAGE, &lost);
		CHECK(entries[i] >= 0);
	}
	CHECK(guard_add(p, PAGE, PAGE, &lost) == -ENOSPC);
	CHECK(mem_add(m, &s, fd, "test", &err) == -ENOSPC && mem_cnt(m) == 0);
	CHECK(map_cnt("/memfd:guest") == 0);
	guard_del(entries[GUARD_MAX / 2]);
	/* the only one that is free, and it is found by the handler */
	CHECK(mem_add(m, &s, fd, "test", &err) == 0);
	shrink(fd, 0);
	*(volatile uint8_t *)host_of(m, 0, SIZE) = 1;
	CHECK(mem_is_lost(m) && !lost);
	mem_free(m);
}

static void a_full_table_refuses_and_goes_on(void **state)
{
	survives(full_child);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(memory_that_shrinks_reads_as_zeros),
		cmocka_unit_test(memory_that_shrinks_takes_writes),
		cmocka_unit_test(a_loss_of_many_pages_costs_no_areas),
		cmocka_unit_test(a_loss_is_nobody_elses),
		cmocka_unit_test(a_log_that_shrinks_is_a_loss),
		cmocka_unit_test(the_boundary_is_that_of_the_files_pages),
		cmocka_unit_test(works_from_any_thread),
		cmocka_unit_test(huge_pages_go_whole),
		cmocka_unit_test(a_fault_elsewhere_ends_the_process),
		cmocka_unit_test(a_fault_where_memory_was_ends_the_process),
		cmocka_unit_test(a_fault_cannot_be_ignored),
		cmocka_unit_test(a_signal_that_is_sent_can),
		cmocka_unit_test(a_signal_that_is_sent_ends_the_process),
		cmocka_unit_test(an_earlier_handler_gets_what_is_not_ours),
		cmocka_unit_test(an_earlier_plain_handler_is_called),
		cmocka_unit_test(an_earlier_handler_for_once_is_called_once),
		cmocka_unit_test(a_full_table_refuses_and_goes_on),
	};

	return cmocka_run_group_tests_name("guard", tests, NULL, NULL);
}
