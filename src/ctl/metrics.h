/* SPDX-License-Identifier: MIT */
/*
 * Metrics of `vmtap serve` over HTTP, for Prometheus: GET /metrics and nothing else.
 *
 * Threads
 *   libmicrohttpd has none here: its descriptor is watched by the instance's loop, and it works in
 *   metrics_run(), between dispatches.
 *
 * Limits
 *   What a client can take is bounded: METRICS_CLIENTS_MAX connections, each with a fixed amount of memory and
 *   closed after METRICS_IDLE_S without a request that was sent and answered in whole, however many bytes came.
 *   Bodies of requests are not read. Whoever takes the last connection has the one closed that has been without
 *   a request for the longest: so there is always one for who comes next, whoever holds the others. (A limit for an
 *   address would not do: on one host all have the same, or none.)
 */
#ifndef CTL_METRICS_H
#define CTL_METRICS_H

#include <stdbool.h>
#include <sys/types.h>

#include "ctl/state.h"

#define METRICS_CLIENTS_MAX 32
#define METRICS_IDLE_S 10

/**
 * struct metrics_config - Where to listen
 * @address: "HOST:PORT", "[IPV6]:PORT" or "unix:PATH"
 * @mode, @group: of the socket's file, as in struct server_config
 */
struct metrics_config {
	const char *address;
	int mode;
	gid_t group;
};

struct metrics;

/** metrics_new() - Listen. @config: borrowed. Return: owned; NULL and @err. */
struct metrics *metrics_new(struct state *s, const struct metrics_config *config,
			    struct vmtap_error *err);
/** metrics_free() - End all connections and give the path back, before the state goes. NULL is fine. */
void metrics_free(struct metrics *m);

/** metrics_run() - After each vmtap_dispatch(). NULL is fine. Return: whether there is more to be done at once. */
bool metrics_run(struct metrics *m);

/** stats_rows() - What query-queues answers for all ports. Return: owned; NULL: no memory. */
json_t *stats_rows(struct state *s);

#endif
