/* SPDX-License-Identifier: MIT */
/*
 * Load a steering program, and run a command that finds it.
 *
 * usage: steer-tool filter|xdp const:N|byte:OFFSET WHERE COMMAND...
 *
 * filter is a socket filter, xdp a program of another type. WHERE is the number of the descriptor that the
 * command inherits, or a path in bpffs.
 */
#include "steer-prog.h"

#include <stdio.h>
#include <stdlib.h>

static int fail(const char *what)
{
	perror(what);
	return 1;
}

int main(int argc, char **argv)
{
	int at = -1, value = 0, fd;

	if (argc < 5 ||
	    (sscanf(argv[2], "const:%d", &value) != 1 && sscanf(argv[2], "byte:%d", &at) != 1))
		return 2;
	fd = steer_load(strcmp(argv[1], "xdp") == 0 ? BPF_PROG_TYPE_XDP
						    : BPF_PROG_TYPE_SOCKET_FILTER,
			at, value);
	if (fd < 0)
		return fail("load the program");
	if (strchr(argv[3], '/') ? steer_pin(fd, argv[3]) < 0 : dup2(fd, atoi(argv[3])) < 0)
		return fail(argv[3]);
	if (strchr(argv[3], '/') || fd != atoi(argv[3]))
		close(fd);
	execvp(argv[4], argv + 4);
	return fail(argv[4]);
}
