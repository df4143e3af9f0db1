/* SPDX-License-Identifier: MIT */
/*
 * A net under mappings of files that somebody else can shrink.
 *
 * Problem
 *   Who touches a page of a shared mapping that lies beyond the end of its file
 *   gets SIGBUS, which ends the process. Whoever shared the file can make that
 *   happen at any time.
 *
 * Model
 *   Mappings are entered in a table. A handler for SIGBUS, installed with the
 *   first of them, looks the fault up there. If it is about one, zeros of our own replace
 *   the mapping from the block that faulted to the end (a file that ends before a page ends before
 *   all that follow), the mapping's @lost flag is raised, and the instruction is done
 *   again. Everything else goes on to whoever handled SIGBUS before us; if nobody
 *   did, it ends the process as it would have without us.
 *
 * Threads
 *   Entries come and go in any thread; so does the fault. The handler takes no lock and calls
 *   nothing but system calls. A mapping stays entered while anybody uses it. A thread that
 *   blocks SIGBUS is not caught: the kernel ends the process.
 *
 * Not covered
 *   A system call that is given such an address fails with EFAULT instead, and no flag is raised.
 *   A handler that is installed after ours has to pass on what is not its own.
 */
#ifndef VIRTIO_GUARD_H
#define VIRTIO_GUARD_H

#include <stdatomic.h>
#include <stddef.h>

/** Mappings of the whole process. */
#define GUARD_MAX 8192

/**
 * guard_add() - Enter a mapping
 * @start, @len: multiples of @block; readable and writable
 * @block: what can be replaced at a time: the page's size, or that of the huge pages
 * @lost:  raised by the handler; valid until guard_del()
 *
 * Return: the entry, for guard_del(); -ENOSPC: GUARD_MAX are entered; or what sigaction() said.
 */
int guard_add(void *start, size_t len, size_t block, atomic_bool *lost);

/** guard_del() - Take an entry out; before the mapping goes, for its address may be reused at once. */
void guard_del(int entry);

#endif
