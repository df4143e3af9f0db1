/* SPDX-License-Identifier: MIT */
/*
 * Commands in words that a person types.
 *
 * Model
 *   "port add tap,ifname=vm0" is port_add with its first argument; "ports" is query-ports: the words are
 *   the command's name cut at its dashes and underscores, "query" left out, or the name itself. What follows
 *   are arguments in the order of the command's row, or NAME=VALUE.
 */
#ifndef CTL_WORDS_H
#define CTL_WORDS_H

#include "ctl/command.h"

/** words_command() - The command that the first words name. @used: how many. NULL: none. */
const struct command *words_command(int argc, char **argv, int *used);

/** words_args() - The other words as arguments. Return: owned; NULL and @err. */
json_t *words_args(const struct command *cmd, int argc, char **argv, struct vmtap_error *err);

/** words_of() - The words of @cmd, as in "port add", to @buf. Return: @buf. */
const char *words_of(const struct command *cmd, char *buf, size_t size);

#endif
