/* SPDX-License-Identifier: MIT */
/* What queue pairs count, in Prometheus' text format, version 0.0.4. */
#ifndef CTL_METRICS_TEXT_H
#define CTL_METRICS_TEXT_H

#include <jansson.h>
#include <stdio.h>

/** metrics_text() - Write the rows of query-queues, borrowed, as metrics. Errors are left in @out. */
void metrics_text(FILE *out, const json_t *rows);

#endif
