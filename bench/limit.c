/* SPDX-License-Identifier: MIT */
/*
 * bench-limit: what one thread gets through a TAP with nothing else in the way.
 *
 * Problem
 *   A back end cannot be faster than the kernel lets it. What is left of that
 *   limit says more about a back end than its frames a second do.
 *
 * Model
 *   The same frames, the same generator and the same kernel path as for a back
 *   end, with a virtio-net header, by one thread that does nothing with them:
 *   a system call a frame, or io_uring with a batch a call. The descriptor
 *   does not block, which takes a cheaper path in the kernel.
 */
#include <errno.h>
#include <getopt.h>
#include <liburing.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "frame.h"
#include "gen.h"
#include "tap.h"
#include "util.h"

#define BATCH_MAX 256
#define HDR_LEN 12
#define MEMORY (16u << 20)
#define STRIDE 2048u
#define COLD_MAX 1024u
#define READ_TURN 256

static const char usage[] =
	"usage: bench-limit -t TAP [options] TEST:SIZE...\n"
	"\n"
	"  write:SIZE    frames into the TAP; more than 1514 bytes: TCP still to be segmented\n"
	"  read:SIZE     frames out of the TAP\n"
	"\n"
	"  -m        not one buffer again and again, but many, as a guest's are: they are in no cache\n"
	"  -u        by io_uring, -b BATCH (default 64) at once\n"
	"  -d SECS   length of a test (default 1)\n"
	"  -w SECS   warm-up before it (default 0.1)\n"
	"  -c CPU    for the thread that is measured; -C CPU: for the generator\n";

static const char *tap;
static bool uring, cold;
static unsigned batch = 64;
static double secs = 1, warm_secs = 0.1;
static int cpu = -1, gen_cpu = -1;

struct limit {
	int fd;
	size_t size;
	unsigned char *memory; /* MEMORY bytes: @buf_cnt buffers of @stride, the next is @at */
	size_t stride;
	unsigned buf_cnt, at;
	struct io_uring ring;
};

struct mark {
	uint64_t ns;
	double cpu, all_cpu;
};

static double seconds(int who)
{
	struct rusage u;

	getrusage(who, &u);
	return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
	       (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) * 1e-6;
}

static struct mark mark(void)
{
	return (struct mark) { now_ns(), seconds(RUSAGE_THREAD), seconds(RUSAGE_SELF) };
}

static void pin(int to)
{
	cpu_set_t set;

	if (to < 0)
		return;
	CPU_ZERO(&set);
	CPU_SET(to, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		die("cannot pin to core %d", to);
}

static unsigned char *next_buf(struct limit *l)
{
	unsigned i = l->at++;

	if (l->at == l->buf_cnt)
		l->at = 0;
	return l->memory + i * l->stride;
}

/* Each turn returns how many frames it moved. */

static unsigned write_plain(struct limit *l)
{
	for (unsigned i = 0; i < batch; i++)
		if (write(l->fd, next_buf(l), HDR_LEN + l->size) < 0)
			die("cannot write to the TAP");
	return batch;
}

static void wait_readable(const struct limit *l)
{
	struct pollfd p = { .fd = l->fd, .events = POLLIN };

	poll(&p, 1, 100);
}

static unsigned read_plain(struct limit *l)
{
	unsigned n = 0;

	while (n < READ_TURN && read(l->fd, next_buf(l), l->stride) >= 0)
		n++;
	if (n < READ_TURN)
		wait_readable(l);
	return n;
}

/* Submit, wait for all, count those that succeeded. */
static unsigned complete(struct limit *l)
{
	struct io_uring_cqe *cqe;
	unsigned head, all = 0, good = 0;

	if (io_uring_submit_and_wait(&l->ring, batch) < 0)
		die("io_uring");
	io_uring_for_each_cqe(&l->ring, head, cqe)
	{
		all++;
		good += cqe->res > 0;
		if (cqe->res < 0 && cqe->res != -EAGAIN) {
			errno = -cqe->res;
			die("io_uring on the TAP");
		}
	}
	io_uring_cq_advance(&l->ring, all);
	return good;
}

static struct io_uring_sqe *next_sqe(struct limit *l)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&l->ring);

	if (!sqe)
		die("the io_uring is full");
	return sqe;
}

static unsigned write_uring(struct limit *l)
{
	for (unsigned i = 0; i < batch; i++) {
		struct io_uring_sqe *sqe = next_sqe(l);

		io_uring_prep_write(sqe, 0, next_buf(l), (unsigned)(HDR_LEN + l->size), 0);
		sqe->flags |= IOSQE_FIXED_FILE;
	}
	return complete(l);
}

static unsigned read_uring(struct limit *l)
{
	unsigned n;

	for (unsigned i = 0; i < batch; i++) {
		struct io_uring_sqe *sqe = next_sqe(l);

		io_uring_prep_read(sqe, 0, next_buf(l), (unsigned)l->stride, 0);
		sqe->flags |= IOSQE_FIXED_FILE;
	}
	n = complete(l);
	if (n < batch)
		wait_readable(l);
	return n;
}

static void ring_open(struct limit *l)
{
	struct io_uring_params p = { .flags = IORING_SETUP_SINGLE_ISSUER |
					      IORING_SETUP_COOP_TASKRUN };
	int ret = io_uring_queue_init_params(BATCH_MAX, &l->ring, &p);

	if (ret == -EINVAL) { /* before Linux 6.0 */
		p = (struct io_uring_params) { 0 };
		ret = io_uring_queue_init_params(BATCH_MAX, &l->ring, &p);
	}
	if (!ret)
		ret = io_uring_register_files(&l->ring, &l->fd, 1);
	if (ret) {
		errno = -ret;
		die("cannot have an io_uring");
	}
}

static uint64_t turns(struct limit *l, unsigned (*turn)(struct limit *l), double length)
{
	uint64_t end = deadline_ns(length), frames = 0;

	while (now_ns() < end)
		frames += turn(l);
	return frames;
}

static void print(const char *test, const struct limit *l, struct mark a, uint64_t frames,
		  bool reads)
{
	struct mark b = mark();
	double span = (double)(b.ns - a.ns) / NSEC_PER_SEC, used = b.cpu - a.cpu;

	printf("test=%s size=%zu pps=%.0f gbps=%.4f us_per_frame=%.3f cpu=%.3f", test, l->size,
	       (double)frames / span, (double)frames * (double)l->size * 8e-9 / span,
	       frames ? used * 1e6 / (double)frames : 0, used / span);
	if (reads)
		printf(" load_cpu=%.3f", (b.all_cpu - a.all_cpu - used) / span);
	printf("\n");
	fflush(stdout);
}

static void frame_make(const struct limit *l, unsigned char *buf)
{
	memset(buf, 0, HDR_LEN);
	if (l->size > FRAME_MAX)
		frame_fill_tcp(buf + HDR_LEN, (struct virtio_net_hdr *)(void *)buf, l->size);
	else
		frame_fill(buf + HDR_LEN, l->size);
}

static void bufs_make(struct limit *l, bool reads)
{
	l->stride = (HDR_LEN + l->size + STRIDE - 1) / STRIDE * STRIDE;
	l->buf_cnt = cold ? (unsigned)(MEMORY / l->stride) : reads && uring ? batch : 1;
	if (l->buf_cnt > COLD_MAX)
		l->buf_cnt = COLD_MAX;
	for (l->at = 0; l->at < l->buf_cnt; l->at++)
		frame_make(l, l->memory + l->at * l->stride);
	l->at = 0;
}

static void run(struct limit *l, const struct tap_meter *meter, const char *test)
{
	bool reads = !strcmp(test, "read") || !strcmp(test, "tap-guest");
	struct gen g = { .tap = tap, .meter = meter, .size = l->size };
	unsigned (*turn)(struct limit * l) =
		reads ? (uring ? read_uring : read_plain) : (uring ? write_uring : write_plain);
	struct mark a;
	uint64_t frames;

	bufs_make(l, reads);
	if (reads) {
		pin(gen_cpu);
		gen_start(&g);
	}
	pin(cpu);
	turns(l, turn, warm_secs);
	a = mark();
	frames = turns(l, turn, secs);
	print(test, l, a, frames, reads);
	if (reads)
		gen_stop(&g);
	while (read(l->fd, l->memory, MEMORY) >= 0)
		; /* what is left is not the next test's */
}

/* "TEST:SIZE"; these names are those of what it is the limit of, too. */
static void run_spec(struct limit *l, const struct tap_meter *meter, char *spec)
{
	static const char *const known[] = { "write", "read", "guest-tap", "tap-guest" };
	char *size = strchr(spec, ':');
	bool good = false;

	if (size)
		*size++ = 0;
	l->size = size ? strtoul(size, NULL, 10) : 0;
	for (unsigned i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		good |= !strcmp(spec, known[i]);
	if (!good || l->size < FRAME_MIN || l->size > FRAME_GSO_MAX) {
		fputs(usage, stderr);
		exit(2);
	}
	run(l, meter, spec);
}

int main(int argc, char **argv)
{
	struct tap_meter meter;
	struct limit l = { 0 };
	int o;

	while ((o = getopt(argc, argv, "t:umb:d:w:c:C:")) != -1) {
		switch (o) {
		case 't':
			tap = optarg;
			break;
		case 'm':
			cold = true;
			break;
		case 'u':
			uring = true;
			break;
		case 'b':
			batch = (unsigned)strtoul(optarg, NULL, 10);
			break;
		case 'd':
			secs = strtod(optarg, NULL);
			break;
		case 'w':
			warm_secs = strtod(optarg, NULL);
			break;
		case 'c':
			cpu = atoi(optarg);
			break;
		case 'C':
			gen_cpu = atoi(optarg);
			break;
		default:
			tap = NULL;
			optind = argc;
		}
	}
	if (!tap || optind == argc || !batch || batch > BATCH_MAX) {
		fputs(usage, stderr);
		return 2;
	}
	util_prefer_latency();
	tap_meter_open(&meter, tap);
	l.fd = tap_attach(tap, true);
	l.memory = malloc(MEMORY);
	if (!l.memory)
		die("no memory");
	if (uring)
		ring_open(&l);
	for (; optind < argc; optind++)
		run_spec(&l, &meter, argv[optind]);
	return 0;
}
