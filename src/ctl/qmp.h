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

/** qmp_error() - An error that answers no command in particular. */
json_t *qmp_error(const struct vmtap_error *err);

#endif
