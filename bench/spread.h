/* SPDX-License-Identifier: MIT */
/* Many links of one back end at once: stream sockets and TAPs with a number behind their names. */
#ifndef BENCH_SPREAD_H
#define BENCH_SPREAD_H

#include "load.h"

struct spread;

/** spread_open() - Connect to @remote0, @remote1, ... and find the TAPs that belong to them. */
struct spread *spread_open(const struct load *l, const char *remote, unsigned cnt);
void spread_close(struct spread *s);

/** spread_run() - Flood the first @used of them, a batch each in turn. */
void spread_run(struct spread *s, const char *test, unsigned used, size_t size);

#endif
