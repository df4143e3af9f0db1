/* SPDX-License-Identifier: MIT */
/* What the claims about TAPs share. */
#include "tap-lab.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define DEADLINE_MS 10000
#define HEAD 18 /* Ethernet header and number */

static int64_t now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* -------------------------------------------------------------------- frames */

void lab_frame(unsigned char *buf, unsigned size, uint32_t number)
{
	static const unsigned char head[] = { 2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 0x88, 0xb5 };
	uint32_t be = htonl(number);

	assert_true(size >= HEAD);
	memcpy(buf, head, sizeof(head));
	memcpy(buf + sizeof(head), &be, sizeof(be));
	for (unsigned i = HEAD; i < size; i++)
		buf[i] = (unsigned char)(number * 31 + i * 7);
}

uint32_t lab_number(const unsigned char *data, unsigned len)
{
	static unsigned char expected[LAB_FRAME_MAX];
	uint32_t be;

	assert_in_range(len, HEAD, sizeof(expected));
	memcpy(&be, data + HEAD - sizeof(be), sizeof(be));
	lab_frame(expected, len, ntohl(be));
	assert_memory_equal(data, expected, len);
	return ntohl(be);
}

/* --------------------------------------------------------------- application */

static void keep(struct lab *lab, const struct vmtap_frame *f)
{
	struct lab_frame *to;
	size_t off = 0;

	if (lab->frame_cnt == lab->frame_max) {
		lab->frame_max = lab->frame_max ? 2 * lab->frame_max : 64;
		lab->frames = realloc(lab->frames, lab->frame_max * sizeof(*lab->frames));
		assert_non_null(lab->frames);
	}
	to = &lab->frames[lab->frame_cnt];
	*to = (struct lab_frame) { .hdr = f->hdr, .len = f->len, .data = malloc(f->len) };
	assert_non_null(to->data);
	for (unsigned i = 0; i < f->iov_cnt; i++) {
		memcpy(to->data + off, f->iov[i].iov_base, f->iov[i].iov_len);
		off += f->iov[i].iov_len;
	}
	assert_int_equal(off, f->len);
	if (lab->type &&
	    (f->len < 14 || ((unsigned)to->data[12] << 8 | to->data[13]) != lab->type)) {
		free(to->data);
		return;
	}
	lab->frame_cnt++;
	if (lab->on_frame)
		lab->on_frame(lab);
}

static unsigned app_frames(void *opaque, const struct vmtap_frame *frames, unsigned cnt)
{
	struct lab *lab = opaque;
	unsigned taken = 0;

	lab->calls++;
	assert_in_range(cnt, 1, VMTAP_BURST_MAX);
	for (; taken < cnt && lab->take; taken++) {
		if (lab->take != UINT32_MAX)
			lab->take--;
		keep(lab, &frames[taken]);
	}
	return taken;
}

static void app_writable(void *opaque)
{
	((struct lab *)opaque)->writable_cnt++;
}

static void app_link(void *opaque, bool up)
{
	struct lab *lab = opaque;

	lab->link_cnt++;
	lab->link_up = up;
	if (lab->on_link)
		lab->on_link(lab);
}

static void app_closed(void *opaque)
{
	((struct lab *)opaque)->closed_cnt++;
}

static void on_event(void *opaque, struct vmtap_port *port, enum vmtap_port_state state)
{
	struct lab *lab = opaque;

	lab->event_cnt++;
	lab->event_state = state;
	if (lab->on_event)
		lab->on_event(lab, port);
}

static void on_log(void *opaque, enum vmtap_log_level level, const char *object, const char *msg)
{
	fprintf(stderr, "%d %s: %s\n", level, object, msg);
}

/* ----------------------------------------------------------------- life cycle */

void lab_run(const char *command)
{
	int ret = system(command);

	if (ret)
		fail_msg("%s: status %d", command, ret);
}

static void quiet_kernel(void)
{
	int fd = open("/proc/sys/net/ipv6/conf/default/disable_ipv6", O_WRONLY | O_CLOEXEC);

	assert_true(fd >= 0);
	assert_int_equal(write(fd, "1", 1), 1);
	close(fd);
}

int lab_packet_socket(const char *ifname)
{
	struct sockaddr_ll addr = { .sll_family = AF_PACKET,
				    .sll_protocol = htons(LAB_TYPE),
				    .sll_ifindex = (int)if_nametoindex(ifname) };
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int one = 1, size = 16 << 20;

	assert_true(fd >= 0);
	assert_int_equal(setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one)), 0);
	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	return fd;
}

/* A veth hands frames to a queue of the processor that sends, here whoever enqueues or a timer: on two, the
 * kernel may let a later one overtake. */
static void stay_on_one_cpu(void)
{
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET((size_t)sched_getcpu(), &cpus);
	assert_int_equal(sched_setaffinity(0, sizeof(cpus), &cpus), 0);
}

int lab_slow_peer(const char *tbf)
{
	char line[200];

	stay_on_one_cpu();
	lab_run("ip link add v0 type veth peer v1 && ip link add br0 type bridge && "
		"ip link set vm0 master br0 && ip link set v0 master br0 && ip link set v1 up && "
		"ip link set v0 up && ip link set br0 up");
	snprintf(line, sizeof(line), "tc qdisc add dev v0 root tbf %s", tbf);
	lab_run(line);
	/* until it forwards it drops, and that is fast */
	lab_run("for i in $(seq 500); do [ $(bridge link | grep -c 'state forwarding') = 2 ] && exit; "
		"sleep 0.02; done; exit 1");
	return lab_packet_socket("v1");
}

void lab_open_ports(struct lab *lab, const char *spec, unsigned hdr_len)
{
	struct vmtap_config config = {
		.size = sizeof(config),
		.log_level = VMTAP_LOG_DEBUG,
		.log = on_log,
		.event = on_event,
		.opaque = lab,
		.engine = getenv("LAB_PLAIN") ? VMTAP_ENGINE_PLAIN : VMTAP_ENGINE_AUTO,
	};
	struct vmtap_error err = { 0 };

	quiet_kernel();
	*lab = (struct lab) {
		.take = UINT32_MAX,
		.type = LAB_TYPE,
		.packet = -1,
		.ops = { .size = sizeof(lab->ops),
			 .hdr_len = hdr_len,
			 .frames = app_frames,
			 .writable = app_writable,
			 .link = app_link,
			 .closed = app_closed },
	};
	lab->v = vmtap_new(&config, &err);
	assert_non_null(lab->v);
	lab->app = vmtap_app_new(lab->v, "app", &lab->ops, lab, &err);
	assert_non_null(lab->app);
	if (!spec)
		return;
	lab->tap = vmtap_port_open(lab->v, spec, &err);
	if (!lab->tap)
		fail_msg("%s: cannot %s: %s", spec, err.action, err.reason);
}

void lab_link(struct lab *lab)
{
	struct vmtap_error err = { 0 };

	lab->link = vmtap_link_new(lab->v, lab->app, lab->tap, &err);
	if (!lab->link)
		fail_msg("cannot %s: %s", err.action, err.reason);
}

void lab_open(struct lab *lab, const char *options)
{
	char spec[512];

	snprintf(spec, sizeof(spec), LAB_TAP "%s", options);
	lab_open_ports(lab, spec, 12);
	lab_link(lab);
	lab->packet = lab_packet_socket("vm0");
}

void lab_forget(struct lab *lab)
{
	while (lab->frame_cnt)
		free(lab->frames[--lab->frame_cnt].data);
}

void lab_close(struct lab *lab)
{
	vmtap_free(lab->v);
	if (lab->packet >= 0)
		close(lab->packet);
	lab_forget(lab);
	free(lab->frames);
}

/* -------------------------------------------------------------------- waiting */

void lab_until(struct lab *lab, bool (*done)(struct lab *lab))
{
	int64_t end = now_ms() + DEADLINE_MS;

	while (!done(lab)) {
		int64_t left = end - now_ms();

		if (left <= 0)
			fail_msg("it did not happen; the application has %u frames",
				 lab->frame_cnt);
		vmtap_dispatch(lab->v, (int)left);
	}
}

void lab_wait(struct lab *lab, unsigned cnt)
{
	int64_t end = now_ms() + DEADLINE_MS;

	while (lab->frame_cnt < cnt) {
		int64_t left = end - now_ms();

		if (left <= 0)
			fail_msg("%u frames of %u arrived", lab->frame_cnt, cnt);
		vmtap_dispatch(lab->v, (int)left);
	}
}

void lab_settle(struct lab *lab)
{
	struct pollfd fd = { .fd = vmtap_fd(lab->v), .events = POLLIN };

	for (int i = 0; i < 1000 && poll(&fd, 1, 0) == 1; i++)
		vmtap_dispatch(lab->v, 0);
}

/* ----------------------------------------------------------------- the kernel */

void lab_kernel_send(struct lab *lab, const void *data, size_t len)
{
	assert_int_equal(send(lab->packet, data, len, 0), len);
}

size_t lab_kernel_receive(struct lab *lab, int sock, void *buf, size_t size, int timeout_ms)
{
	int64_t end = now_ms() + timeout_ms;
	struct pollfd fds[] = { { .fd = sock, .events = POLLIN },
				{ .fd = vmtap_fd(lab->v), .events = POLLIN } };

	for (;;) {
		ssize_t len = recv(sock, buf, size, 0);
		int64_t left = end - now_ms();

		if (len > 0)
			return (size_t)len;
		if (left <= 0)
			return 0;
		poll(fds, 2, (int)left);
		if (fds[1].revents)
			vmtap_dispatch(lab->v, 0);
	}
}

void lab_kernel_expect(struct lab *lab, int sock, uint32_t from, uint32_t to)
{
	static unsigned char buf[LAB_FRAME_MAX];

	for (uint32_t n = from; n < to; n++) {
		size_t len = lab_kernel_receive(lab, sock, buf, sizeof(buf), DEADLINE_MS);

		if (!len)
			fail_msg("frame %u did not arrive", n);
		assert_int_equal(lab_number(buf, (unsigned)len), n);
	}
}

/* ------------------------------------------------------------------- counters */

const struct vmtap_stats *lab_stats(const struct vmtap_port *port)
{
	static struct vmtap_stats stats;

	vmtap_port_stats(port, &stats, sizeof(stats));
	return &stats;
}

uint64_t lab_drops(const struct vmtap_counters *c)
{
	uint64_t sum = 0;

	for (int i = 0; i < VMTAP_DROP_CNT; i++)
		sum += c->drops[i];
	return sum;
}
