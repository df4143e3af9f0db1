/* SPDX-License-Identifier: MIT */
/*
 * Running a program and waiting for it.
 *
 * The child gets stdin, stdout, stderr, at most one more descriptor, default
 * signal handling and an empty signal mask; it leads a process group of its
 * own, which is killed whole when its time is up, and is told to end when the
 * caller dies. Nothing else is inherited, and no zombie is left.
 */
#ifndef BASE_SPAWN_H
#define BASE_SPAWN_H

#include "vmtap/vmtap.h"

/**
 * struct spawn_io - A descriptor to serve while the program runs
 * @fd:    non-blocking; -1: not any more
 * @ready: called when it is readable, and once more after the program has ended. It takes what is
 *         there, and sets @fd to -1 when there is nothing more to come
 */
struct spawn_io {
	int fd;
	void (*ready)(struct spawn_io *io);
};

#define SPAWN_IO_MAX 4

/**
 * struct spawn - What to run
 * @object:     whose program it is, for errors, as in "tap vm0"
 * @what:       what it is, for errors, as in "ifup script /etc/vm-ifup"
 * @argv:       argv[0] is the file, absolute or relative, not searched in PATH
 * @keep_fd:    stays open in the child under its number; -1: none
 * @stderr_fd:  becomes the child's stderr; -1: it inherits ours
 * @io:         @io_cnt descriptors to serve meanwhile, at most SPAWN_IO_MAX
 * @timeout_ms: 0: no limit
 * @timeout_key: the option that sets it, for the remedy
 * @cancel_fd:  when readable, the program is ended and -ECANCELED returned; -1: none
 */
struct spawn {
	const char *object;
	const char *what;
	const char *const *argv;
	int keep_fd;
	int stderr_fd;
	struct spawn_io **io;
	unsigned io_cnt;
	unsigned timeout_ms;
	const char *timeout_key;
	int cancel_fd;
};

/** spawn_run() - Return: 0 when it exited with 0; else a negative errno and @err that says how it
 *  ended (could not be run, exit status, signal, time limit). Blocks until then. */
int spawn_run(const struct spawn *s, struct vmtap_error *err);

#endif
