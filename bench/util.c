/* SPDX-License-Identifier: MIT */
/* What every program of the benchmark needs: time, waiting, giving up. */
#include "util.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

void die(const char *fmt, ...)
{
	int code = errno;
	va_list ap;

	fprintf(stderr, "bench-%s: ", program_invocation_short_name);
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	if (code)
		fprintf(stderr, ": %s", strerror(code));
	fputc('\n', stderr);
	exit(EXIT_FAILURE);
}

uint64_t now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

uint64_t deadline_ns(double secs)
{
	return now_ns() + (uint64_t)(secs * NSEC_PER_SEC);
}

static void nap_until(uint64_t ns)
{
	struct timespec ts = { .tv_sec = (time_t)(ns / NSEC_PER_SEC),
			       .tv_nsec = (long)(ns % NSEC_PER_SEC) };

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &ts, NULL) == EINTR)
		;
}

void nap_us(unsigned us)
{
	nap_until(now_ns() + us * NSEC_PER_USEC);
}

void nap_secs(double secs)
{
	nap_until(deadline_ns(secs));
}

void spin_us(unsigned us)
{
	uint64_t end = now_ns() + us * NSEC_PER_USEC;

	while (us && now_ns() < end)
		;
}

void util_prefer_latency(void)
{
	/* struct sched_attr as of Linux 3.14; not every libc has it. */
	struct {
		uint32_t size, policy;
		uint64_t flags;
		int32_t nice;
		uint32_t priority;
		uint64_t runtime, deadline, period;
	} attr = { .size = sizeof(attr), .runtime = 100 * NSEC_PER_USEC };

	syscall(SYS_sched_setattr, 0, &attr, 0);
	prctl(PR_SET_TIMERSLACK, 1000UL);
}

int packet_open(const char *ifname, uint16_t ethertype)
{
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, htons(ethertype));
	struct sockaddr_ll addr = { .sll_family = AF_PACKET,
				    .sll_protocol = htons(ethertype),
				    .sll_ifindex = (int)if_nametoindex(ifname) };

	if (fd < 0 || !addr.sll_ifindex || bind(fd, (struct sockaddr *)&addr, sizeof(addr)))
		die("cannot open a packet socket on %s", ifname);
	return fd;
}
