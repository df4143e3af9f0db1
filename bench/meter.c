/* SPDX-License-Identifier: MIT */
/* Reading the meters: the TAP's statistics, the CPU time of processes, what the host took. */
#include "meter.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "util.h"

static int counter_open(const char *ifname, const char *name)
{
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "/sys/class/net/%s/%s", ifname, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		die("cannot open %s", path);
	return fd;
}

uint64_t meter_read(int fd)
{
	char text[32] = { 0 };

	if (pread(fd, text, sizeof(text) - 1, 0) <= 0)
		die("cannot read a counter of the TAP");
	return strtoull(text, NULL, 10);
}

void tap_meter_open(struct tap_meter *m, const char *ifname)
{
	int fd = counter_open(ifname, "tx_queue_len");

	m->queue_len = (unsigned)meter_read(fd);
	close(fd);
	m->rx_packets = counter_open(ifname, "statistics/rx_packets");
	m->tx_packets = counter_open(ifname, "statistics/tx_packets");
	m->tx_dropped = counter_open(ifname, "statistics/tx_dropped");
}

/* The file's text; false when it cannot be read. */
static bool slurp(const char *path, char *text, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, size - 1);

	if (fd >= 0)
		close(fd);
	if (n <= 0)
		return false;
	text[n] = 0;
	return true;
}

void processes_parse(struct processes *p, char *list)
{
	char *save = NULL;

	p->cnt = 0;
	for (char *t = strtok_r(list, ",", &save); t; t = strtok_r(NULL, ",", &save)) {
		if (p->cnt == METER_PIDS_MAX)
			die("too many processes");
		p->pid[p->cnt++] = strtol(t, NULL, 10);
	}
}

static double process_cpu(long pid)
{
	unsigned long user, sys;
	char path[64], text[1024], *rest;

	snprintf(path, sizeof(path), "/proc/%ld/stat", pid);
	errno = 0;
	if (!slurp(path, text, sizeof(text)))
		die("the back end (process %ld) is gone", pid);
	rest = strrchr(text, ')'); /* the name may hold anything */
	if (!rest || sscanf(rest + 2, "%*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %lu %lu", &user,
			    &sys) != 2)
		die("cannot understand %s", path);
	return (double)(user + sys) / (double)sysconf(_SC_CLK_TCK);
}

double processes_cpu(const struct processes *p)
{
	double sum = 0;

	for (unsigned i = 0; i < p->cnt; i++)
		sum += process_cpu(p->pid[i]);
	return sum;
}

/* The number behind a line's name in a file such as /proc/PID/status. */
static uint64_t status_field(const char *path, const char *field)
{
	char text[4096];
	const char *at;

	if (!slurp(path, text, sizeof(text)))
		return 0;
	at = strstr(text, field);
	return at ? strtoull(at + strlen(field), NULL, 10) : 0;
}

static uint64_t process_wakeups(long pid)
{
	char path[320];
	uint64_t sum = 0;
	struct dirent *e;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%ld/task", pid);
	dir = opendir(path);
	if (!dir)
		return 0;
	while ((e = readdir(dir))) {
		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/proc/%ld/task/%s/status", pid, e->d_name);
		sum += status_field(path, "\nvoluntary_ctxt_switches:");
	}
	closedir(dir);
	return sum;
}

uint64_t processes_wakeups(const struct processes *p)
{
	uint64_t sum = 0;

	for (unsigned i = 0; i < p->cnt; i++)
		sum += process_wakeups(p->pid[i]);
	return sum;
}

uint64_t processes_kib(const struct processes *p, const char *field)
{
	uint64_t sum = 0;
	char path[64];

	for (unsigned i = 0; i < p->cnt; i++) {
		snprintf(path, sizeof(path), "/proc/%ld/status", p->pid[i]);
		sum += status_field(path, field);
	}
	return sum;
}

static double own_cpu(void)
{
	struct rusage u;

	getrusage(RUSAGE_SELF, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1e-6;
}

static double stolen_cpu(void)
{
	unsigned long stolen = 0;
	char text[512];

	if (!slurp("/proc/stat", text, sizeof(text)) ||
	    sscanf(text, "cpu %*u %*u %*u %*u %*u %*u %*u %lu", &stolen) != 1)
		return 0;
	return (double)stolen / (double)sysconf(_SC_CLK_TCK);
}

struct sample sample_take(const struct tap_meter *m, const struct processes *backend)
{
	return (struct sample) { .tap_rx = meter_read(m->rx_packets),
				 .tap_tx = meter_read(m->tx_packets),
				 .tap_dropped = meter_read(m->tx_dropped),
				 .backend_cpu = processes_cpu(backend),
				 .load_cpu = own_cpu(),
				 .stolen_cpu = stolen_cpu(),
				 .ns = now_ns() };
}
