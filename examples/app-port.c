/* SPDX-License-Identifier: MIT */
/*
 * A program that is a port itself, in its own poll(2) loop.
 *
 *     app-port tap,ifname=vm0,script=no,downscript=no [ADDRESS]
 *     app-port responder,ip=10.0.0.2 10.0.0.2
 *
 * It opens the port that it is told, joins it to one of its own, asks by ARP
 * who has ADDRESS, and prints every frame that arrives until a signal ends it.
 */
#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>

#include <vmtap/vmtap.h>

#define HDR 14 /* bytes of an Ethernet header */

static void log_line(void *opaque, enum vmtap_log_level level, const char *object, const char *msg)
{
	fprintf(stderr, "%s: %s\n", object, msg);
}

static void print_frame(const struct vmtap_frame *frame)
{
	/* Here it is enough to look at the start, and to ask that it lies in one piece. */
	const unsigned char *b = frame->iov[0].iov_base;
	char ip[INET_ADDRSTRLEN];

	if (frame->iov[0].iov_len < HDR)
		return;
	printf("%u bytes from %02x:%02x:%02x:%02x:%02x:%02x, type 0x%02x%02x\n", frame->len, b[6],
	       b[7], b[8], b[9], b[10], b[11], b[12], b[13]);
	if (b[12] == 0x08 && b[13] == 0x06 && frame->iov[0].iov_len >= HDR + 28 && b[HDR + 7] == 2)
		printf("%s is there\n", inet_ntop(AF_INET, b + HDR + 14, ip, sizeof(ip)));
	fflush(stdout);
}

/* Called with frames for us. What is not taken is offered again after vmtap_app_writable(). */
static unsigned take_frames(void *opaque, const struct vmtap_frame *frames, unsigned cnt)
{
	for (unsigned i = 0; i < cnt; i++)
		print_frame(&frames[i]);
	return cnt;
}

static void ask_who_has(struct vmtap_port *port, const char *address)
{
	unsigned char frame[HDR + 28] = {
		255,  255,  255, 255, 255, 255, 0x02, 0, 0, 0, 0, 1, /* to all, from us */
		0x08, 0x06, 0,	 1,   8,   0,	6,    4, 0, 1,	     /* an ARP request */
		0x02, 0,    0,	 0,   0,   1,			     /* from us again, no address */
	};

	if (inet_pton(AF_INET, address, frame + HDR + 24) != 1)
		fprintf(stderr, "%s is no IPv4 address\n", address);
	else if (vmtap_send(port, frame, sizeof(frame), NULL, NULL) < 0)
		fprintf(stderr, "the request could not be sent\n");
}

static int fail(const struct vmtap_error *err)
{
	char line[1200];

	vmtap_error_format(err, line, sizeof(line));
	fprintf(stderr, "%s\n", line);
	return 1;
}

int main(int argc, char **argv)
{
	static const struct vmtap_app_ops ops = { .size = sizeof(ops), .frames = take_frames };
	const struct vmtap_config config = { .size = sizeof(config),
					     .log_level = VMTAP_LOG_WARNING,
					     .log = log_line };
	struct vmtap_error err = { 0 };
	struct vmtap_port *outside, *mine;
	struct vmtap *v;
	sigset_t set;

	if (argc < 2) {
		fprintf(stderr, "usage: app-port PORT [ADDRESS]\n");
		return 2;
	}
	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);

	v = vmtap_new(&config, &err);
	outside = v ? vmtap_port_open(v, argv[1], &err) : NULL;
	mine = outside ? vmtap_app_new(v, "app", &ops, NULL, &err) : NULL;
	if (!mine || !vmtap_link_new(v, outside, mine, &err)) {
		vmtap_free(v);
		return fail(&err);
	}
	if (argc > 2)
		ask_who_has(mine, argv[2]);

	struct pollfd fds[] = {
		{ .fd = signalfd(-1, &set, SFD_CLOEXEC), .events = POLLIN },
		{ .fd = vmtap_fd(v), .events = POLLIN },
	};
	while (poll(fds, 2, -1) > 0 && !fds[0].revents)
		vmtap_dispatch(v, 0);

	vmtap_free(v); /* closes the ports, too */
	return 0;
}
