/* SPDX-License-Identifier: MIT */
/* The helper's command line: QEMU's three options, and what goes beyond them. */
#ifndef HELPER_ARGS_H
#define HELPER_ARGS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "vmtap/vmtap.h"

#define ARGS_QUEUES_MAX 64

/**
 * struct args - What the caller wants; strings are borrowed from argv
 * @fd:     unix socket to send the TAP over; -1 with @check and when it was not given
 * @ifname: NULL: the kernel numbers it
 * @mac_text, @mac: lower case; "": the kernel draws it
 */
struct args {
	bool help, version, check, use_vnet, vhost;
	const char *bridge;
	int fd;
	unsigned queues;
	const char *ifname;
	uint8_t mac[6];
	char mac_text[18];
};

/** args_parse() - Return: 0; or -EINVAL and @err. */
int args_parse(int argc, char *const *argv, struct args *a, struct vmtap_error *err);

/** args_help() - Write what --help says. */
void args_help(FILE *out);

#endif
