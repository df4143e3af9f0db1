/* SPDX-License-Identifier: MIT */
/*
 * QMP, the protocol of QEMU's monitor, from a document to its answer.
 *
 * Model
 *   A client is greeted, agrees on capabilities (there are none), and then sends commands, each of
 *   which is answered before the next one is looked at. No sockets here.
 *
 * What the peer may do wrong
 *   Anything; each document has one answer.
 */
#ifndef CTL_QMP_H
#define CTL_QMP_H

#include <jansson.h>
#include <stdbool.h>

#include "ctl/command.h"
#include "ctl/stream.h"

/** The version of QEMU that clients of its monitor are told of: whose spelling its commands have. */
#define QMP_QEMU_MAJOR 7
#define QMP_QEMU_MINOR 2

/** qmp_version() - What the greeting and query-version say. */
json_t *qmp_version(void);

/** struct qmp - A client's side; zero-initialise it. @ready: capabilities are agreed on. */
struct qmp {
	bool ready;
};

/** qmp_greeting() - Return: owned; NULL: out of memory, as below. */
json_t *qmp_greeting(void);

/** qmp_answer() - Run the command that @doc, @len bytes, is. Return: the answer, owned. */
json_t *qmp_answer(struct qmp *q, struct call *c, const char *doc, size_t len);

/** qmp_refusal() - The answer to what is no document. */
json_t *qmp_refusal(enum stream_item what);

/** qmp_text() - A message as it goes over the wire, with its line end, which is QEMU's: "\r\n".
 *  @j: borrowed; NULL is fine. Return: owned, @len bytes; NULL: out of memory. */
char *qmp_text(json_t *j, size_t *len);

/** qmp_error() - An error that answers no command in particular. */
json_t *qmp_error(const struct vmtap_error *err);

#endif
