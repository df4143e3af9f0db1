/* SPDX-License-Identifier: MIT */
/* A net under mappings of files that somebody else can shrink. */
#include "virtio/guard.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/**
 * struct entry - A mapping, or nothing (@len 0)
 * @seq: odd while the rest changes
 *
 * The handler may meet an entry that another thread is changing. That one is not what it looks
 * for: the mapping that faulted is in use and so stays entered. It has to notice and pass by, or it
 * would take the beginning of one mapping and the length of another.
 */
struct entry {
	atomic_uint seq;
	atomic_uintptr_t start;
	atomic_size_t len, block;
	_Atomic(atomic_bool *) lost;
};

/** struct range - What an entry says, read at one moment */
struct range {
	uintptr_t start;
	size_t len, block;
	atomic_bool *lost;
};

static_assert(ATOMIC_POINTER_LOCK_FREE == 2 && ATOMIC_INT_LOCK_FREE == 2 &&
		      ATOMIC_BOOL_LOCK_FREE == 2,
	      "the handler must not meet a lock");

static struct entry entries[GUARD_MAX];
/* Those behind were never used. */
static atomic_uint entry_cnt;
/* Held by those who change entries, never by the handler. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static bool is_installed;
/* Who handled SIGBUS before us; written before our handler can run. */
static struct sigaction earlier;
static atomic_bool earlier_spent;

/* --------------------------------------------------------- in the handler */

/* The fault may happen inside ThreadSanitizer's version of an atomic operation, under locks of its
 * own: here, none of those is called. */
#if __has_attribute(disable_sanitizer_instrumentation)
#define IN_HANDLER __attribute__((disable_sanitizer_instrumentation))
#else
#define IN_HANDLER
#endif

/* Acquire at each load: none of them comes before the one ahead of it. Pairs with entry_write(). */
static IN_HANDLER bool entry_read(struct entry *e, struct range *r)
{
	unsigned seq = atomic_load_explicit(&e->seq, memory_order_acquire);

	r->start = atomic_load_explicit(&e->start, memory_order_acquire);
	r->len = atomic_load_explicit(&e->len, memory_order_acquire);
	r->block = atomic_load_explicit(&e->block, memory_order_acquire);
	r->lost = atomic_load_explicit(&e->lost, memory_order_acquire);
	return seq % 2 == 0 && atomic_load_explicit(&e->seq, memory_order_relaxed) == seq;
}

static IN_HANDLER bool find(uintptr_t addr, struct range *r)
{
	unsigned cnt = atomic_load_explicit(&entry_cnt, memory_order_acquire);

	for (unsigned i = 0; i < cnt; i++) {
		if (entry_read(&entries[i], r) && addr - r->start < r->len)
			return true;
	}
	return false;
}

static IN_HANDLER bool put_zeros(uintptr_t at, size_t len)
{
	void *addr = (void *)at;

	if (mmap(addr, len, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0) == MAP_FAILED)
		return false;
	madvise(addr, len, MADV_DONTDUMP);
	return true;
}

/* From the block of @addr to the end, so that a mapping that is gone costs one fault and not one a
 * page, and one more area of the kernel's. (A fault further down puts new zeros over those: nothing
 * that is written there has a meaning.) Where memory must not be overcommitted that may be too much
 * at a time: then the block alone. */
static IN_HANDLER bool replace(uintptr_t addr)
{
	struct range r;
	size_t at;

	if (!find(addr, &r))
		return false;
	at = addr - r.start;
	at -= at % r.block;
	/* first, so that who sees the zeros can know */
	atomic_store_explicit(r.lost, true, memory_order_release);
	return put_zeros(r.start + at, r.len - at) || put_zeros(r.start + at, r.block);
}

/* The end that it would have had without us. The signal is blocked, and comes again, with what
 * it said, when the handler returns. */
static IN_HANDLER void end_by_default(int sig, siginfo_t *info)
{
	struct sigaction dfl = { .sa_handler = SIG_DFL };

	sigaction(sig, &dfl, NULL);
	syscall(SYS_rt_tgsigqueueinfo, getpid(), syscall(SYS_gettid), sig, info);
}

static IN_HANDLER void pass_on(int sig, siginfo_t *info, void *context)
{
	const bool once = earlier.sa_flags & (int)SA_RESETHAND;

	if (earlier.sa_handler == SIG_IGN && info->si_code <= 0)
		return; /* sent by somebody; a fault cannot be ignored */
	if (earlier.sa_handler == SIG_IGN || earlier.sa_handler == SIG_DFL ||
	    (once && atomic_exchange(&earlier_spent, true)))
		end_by_default(sig, info);
	else if (earlier.sa_flags & SA_SIGINFO)
		earlier.sa_sigaction(sig, info, context);
	else
		earlier.sa_handler(sig);
}

/* Beyond the end of the file, out of huge pages, or the hardware lost the page. */
static IN_HANDLER bool is_loss(const siginfo_t *info)
{
	return info->si_code == BUS_ADRERR || info->si_code == BUS_MCEERR_AR;
}

static IN_HANDLER void on_sigbus(int sig, siginfo_t *info, void *context)
{
	const int saved = errno;

	if (!is_loss(info) || !replace((uintptr_t)info->si_addr))
		pass_on(sig, info, context);
	errno = saved;
}

/* ------------------------------------------------------------ the entries */

/* With what the earlier handler asked for, since it runs inside ours. On the thread's
 * alternate stack if it has one: some runtimes have no room on the other. */
static int install(void)
{
	struct sigaction ours = { .sa_sigaction = on_sigbus };

	if (is_installed)
		return 0;
	if (sigaction(SIGBUS, NULL, &earlier) < 0)
		return -errno;
	ours.sa_mask = earlier.sa_mask;
	ours.sa_flags =
		SA_SIGINFO | SA_ONSTACK | (earlier.sa_flags & (int)(SA_NODEFER | SA_RESTART));
	if (sigaction(SIGBUS, &ours, NULL) < 0)
		return -errno;
	is_installed = true;
	return 0;
}

/* Release at each store: @seq is odd before anything else changes, and even after all. */
static void entry_write(struct entry *e, const struct range *r)
{
	unsigned seq = atomic_load_explicit(&e->seq, memory_order_relaxed);

	atomic_store_explicit(&e->seq, seq + 1, memory_order_relaxed);
	atomic_store_explicit(&e->start, r->start, memory_order_release);
	atomic_store_explicit(&e->len, r->len, memory_order_release);
	atomic_store_explicit(&e->block, r->block, memory_order_release);
	atomic_store_explicit(&e->lost, r->lost, memory_order_release);
	atomic_store_explicit(&e->seq, seq + 2, memory_order_release);
}

/* Return: a free entry; -ENOSPC. */
static int find_free(void)
{
	unsigned cnt = atomic_load_explicit(&entry_cnt, memory_order_relaxed);

	for (unsigned i = 0; i < cnt; i++) {
		if (atomic_load_explicit(&entries[i].len, memory_order_relaxed) == 0)
			return (int)i;
	}
	if (cnt == GUARD_MAX)
		return -ENOSPC;
	atomic_store_explicit(&entry_cnt, cnt + 1, memory_order_release);
	return (int)cnt;
}

int guard_add(void *start, size_t len, size_t block, atomic_bool *lost)
{
	const struct range r = { (uintptr_t)start, len, block, lost };
	int ret;

	assert(len > 0 && block > 0 && len % block == 0);
	pthread_mutex_lock(&lock);
	ret = install();
	if (ret == 0)
		ret = find_free();
	if (ret >= 0)
		entry_write(&entries[ret], &r);
	pthread_mutex_unlock(&lock);
	return ret;
}

void guard_del(int entry)
{
	static const struct range none;

	assert(entry >= 0 && entry < GUARD_MAX);
	pthread_mutex_lock(&lock);
	entry_write(&entries[entry], &none);
	pthread_mutex_unlock(&lock);
}
