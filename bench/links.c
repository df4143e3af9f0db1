/* SPDX-License-Identifier: MIT */
/*
 * bench-links: so many links in one process, by the public header.
 *
 *     links CNT KIND TAP SOCKET [QUEUES]
 *
 * Opens links TAP0 and SOCKET0, TAP1 and SOCKET1, ..., KIND (vhost-user or stream) listening on the
 * socket; prints what adding them took and what they occupy; and carries frames until SIGTERM.
 */
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <unistd.h>
#include <vmtap/vmtap.h>

#include "meter.h"
#include "util.h"

static _Noreturn void failed(const struct vmtap_error *err)
{
	char line[1200];

	vmtap_error_format(err, line, sizeof(line));
	fprintf(stderr, "bench-links: %s\n", line);
	exit(EXIT_FAILURE);
}

static void add(struct vmtap *v, const char *kind, const char *tap, const char *path,
		unsigned queues, unsigned i)
{
	struct vmtap_port *host, *guest;
	struct vmtap_error err = { 0 };
	char text[256], more[24] = "";

	if (queues > 1)
		snprintf(more, sizeof(more), ",queues=%u", queues);
	snprintf(text, sizeof(text), "tap,ifname=%s%u,script=no,downscript=no%s", tap, i, more);
	host = vmtap_port_open(v, text, &err);
	if (!host)
		failed(&err);
	snprintf(text, sizeof(text), "%s,server=on,path=%s%u%s", kind, path, i, more);
	guest = vmtap_port_open(v, text, &err);
	if (!guest || !vmtap_link_new(v, host, guest, &err))
		failed(&err);
}

static uint64_t resident_kib(void)
{
	struct processes self = { .pid = { getpid() }, .cnt = 1 };

	return processes_kib(&self, "\nVmRSS:");
}

/* Until the signal comes. */
static void run(struct vmtap *v, int signals)
{
	struct pollfd p[2] = { { .fd = vmtap_fd(v), .events = POLLIN },
			       { .fd = signals, .events = POLLIN } };

	while (poll(p, 2, -1) > 0 && !p[1].revents)
		if (p[0].revents)
			vmtap_dispatch(v, 0);
}

int main(int argc, char **argv)
{
	unsigned cnt = argc > 4 ? (unsigned)strtoul(argv[1], NULL, 10) : 0;
	unsigned queues = argc > 5 ? (unsigned)strtoul(argv[5], NULL, 10) : 1;
	uint64_t begin, first_us, all_us, kib[2], last_us = 0;
	struct vmtap_error err = { 0 };
	sigset_t term;
	struct vmtap *v;
	int fd;

	if (!cnt || !queues) {
		fputs("usage: links CNT vhost-user|stream TAP SOCKET [QUEUES]\n", stderr);
		return 2;
	}
	sigemptyset(&term);
	sigaddset(&term, SIGTERM);
	sigprocmask(SIG_BLOCK, &term, NULL);
	fd = signalfd(-1, &term, SFD_CLOEXEC | SFD_NONBLOCK);
	v = vmtap_new(NULL, &err);
	if (!v || fd < 0)
		failed(&err);
	begin = now_ns();
	add(v, argv[2], argv[3], argv[4], queues, 0);
	first_us = (now_ns() - begin) / NSEC_PER_USEC;
	kib[0] = resident_kib();
	for (unsigned i = 1; i < cnt; i++) {
		uint64_t one = now_ns();

		add(v, argv[2], argv[3], argv[4], queues, i);
		last_us = (now_ns() - one) / NSEC_PER_USEC;
	}
	all_us = (now_ns() - begin) / NSEC_PER_USEC;
	kib[1] = resident_kib();
	printf("test=add links=%u add_us=%.1f first_us=%ju last_us=%ju rss_kib=%ju", cnt,
	       (double)all_us / cnt, (uintmax_t)first_us, (uintmax_t)(cnt > 1 ? last_us : first_us),
	       (uintmax_t)kib[1]);
	if (cnt > 1)
		printf(" kib_per_link=%.1f", ((double)kib[1] - (double)kib[0]) / (cnt - 1));
	printf("\n");
	fflush(stdout);
	run(v, fd);
	vmtap_free(v);
	return 0;
}
