/* SPDX-License-Identifier: MIT */
/*
 * Filter expressions in the language of pcap-filter(7), for Ethernet frames.
 *
 * libpcap compiles them and runs them; this is the only file that knows it. What is compiled is
 * classic BPF: it ends, and it reads no byte beyond those that it is given.
 */
#ifndef FILTER_EXPR_H
#define FILTER_EXPR_H

#include <stdbool.h>
#include <stdint.h>

#include "vmtap/vmtap.h"

struct expr;

/** expr_new() - Compile @text. @object is for the error. Return: owned; NULL and @err, which has
 *  what libpcap says. */
struct expr *expr_new(const char *text, const char *object, struct vmtap_error *err);
/** expr_free() - NULL is fine. */
void expr_free(struct expr *e);

/** expr_match() - Is a frame of @len bytes wanted, the first @have of which are at @data? From any
 *  thread. */
bool expr_match(const struct expr *e, const void *data, uint32_t have, uint32_t len);

#endif
