/* SPDX-License-Identifier: MIT */
/*
 * Descriptors that the service manager passes: sd_listen_fds(3).
 *
 * Model
 *   LISTEN_PID says whom they are for, LISTEN_FDS how many there are, from 3 on, and LISTEN_FDNAMES what they
 *   are called. They come from .socket units, and from the store that an earlier run filled
 *   (cli/fdstore.h). What is not for this process is ignored, what is for it and wrong is an error.
 *
 * Ownership
 *   A descriptor belongs to the list until it is taken.
 */
#ifndef CLI_INHERIT_H
#define CLI_INHERIT_H

#include "vmtap/vmtap.h"

/** The first descriptor that is passed, how many there can be, and the size of a name with its NUL. */
#define INHERIT_FIRST 3
#define INHERIT_MAX 4096
#define INHERIT_NAME_SIZE 256

/** struct inherited - @fd: -1: it was taken */
struct inherited {
	int fd;
	char name[INHERIT_NAME_SIZE];
};

struct inherit {
	struct inherited *fds;
	unsigned cnt;
};

/**
 * inherit_parse() - What the variables mean for the process @pid; any of them may be NULL
 *
 * Looks at no descriptor. Return: 0, also when there are none; -EINVAL or -ENOMEM and @err. Needs
 * inherit_close() after a success.
 */
int inherit_parse(struct inherit *in, const char *pid_text, const char *fds, const char *names,
		  long pid, struct vmtap_error *err);

/** inherit_take() - From the environment, where the variables are gone afterwards. To be called before anything
 *  else is opened. Return: 0 or -errno and @err. */
int inherit_take(struct inherit *in, struct vmtap_error *err);

/** inherit_control() - Take the one that is named "control", or else the only unix socket that listens.
 *  Return: the descriptor, non-blocking, owned; -1: there is none; another -errno and @err. */
int inherit_control(struct inherit *in, struct vmtap_error *err);

/** inherit_close() - Close what was not taken. Fine for one that is zeros. */
void inherit_close(struct inherit *in);

#endif
