/* SPDX-License-Identifier: MIT */
/* Reading the meters: the TAP's statistics, the CPU time of processes, what the host took. */
#ifndef BENCH_METER_H
#define BENCH_METER_H

#include <stdint.h>

#define METER_PIDS_MAX 64

/**
 * struct tap_meter - The kernel's counters of one TAP
 * @rx_packets: frames that the back end wrote
 * @tx_packets: frames that the back end read
 * @tx_dropped: frames that the kernel dropped because the TAP's queue was full
 * @queue_len:  frames that the queue holds
 */
struct tap_meter {
	int rx_packets, tx_packets, tx_dropped; /* descriptors */
	unsigned queue_len;
};

void tap_meter_open(struct tap_meter *m, const char *ifname);

/** meter_read() - The counter's value now. */
uint64_t meter_read(int fd);

/** struct processes - The back end's processes. */
struct processes {
	long pid[METER_PIDS_MAX];
	unsigned cnt;
};

/** processes_parse() - "12,34". Changes @list. */
void processes_parse(struct processes *p, char *list);

/** processes_cpu() - CPU seconds used so far, all threads, user and system; in steps of 10 ms. */
double processes_cpu(const struct processes *p);

/** processes_wakeups() - Times that a thread went to sleep so far. */
uint64_t processes_wakeups(const struct processes *p);

/** processes_kib() - A size from /proc/PID/status, summed: "VmRSS:", "VmHWM:". */
uint64_t processes_kib(const struct processes *p, const char *field);

/** struct sample - All meters at one moment. */
struct sample {
	uint64_t ns;
	uint64_t tap_rx, tap_tx, tap_dropped;
	double backend_cpu, load_cpu, stolen_cpu; /* seconds */
};

struct sample sample_take(const struct tap_meter *m, const struct processes *backend);

#endif
