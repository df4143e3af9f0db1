/* SPDX-License-Identifier: MIT */
/* Captures: the thread that writes them. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/utsname.h>

#include "base/clock.h"
#include "base/container.h"
#include "base/error.h"
#include "base/iov.h"
#include "filter/capture-int.h"
#include "filter/pcapng.h"
#include "net/offload.h"

#define SETTLE_MS 2
#define COMMENT_MAX 128u
/* How much nicer the writer is than whoever began the capture: see sched(7). */
#define NICER 10

_Static_assert(2 * PCAPNG_BLOCK_MAX <= sizeof(((struct capfile *)0)->head), "room for the head");
_Static_assert(SETTLE_MS *NSEC_PER_MSEC == CAPTURE_SETTLE_NS, "one time");

/* -------------------------------------------------------------------- one frame */

/**
 * struct cut - A record that is being written
 * @comment: "" when there is nothing to say
 * @lost:    for the first block
 */
struct cut {
	struct offload_out out;
	struct capture *c;
	const struct caprec *rec;
	char comment[COMMENT_MAX];
	uint64_t lost;
};

static const char *gso_name(uint8_t type)
{
	switch (type & ~VMTAP_GSO_ECN) {
	case VMTAP_GSO_TCPV4:
		return "TCP over IPv4";
	case VMTAP_GSO_TCPV6:
		return "TCP over IPv6";
	case VMTAP_GSO_UDP:
		return "UDP in IP fragments";
	case VMTAP_GSO_UDP_L4:
		return "UDP";
	default:
		return "unknown";
	}
}

static bool is_at_limit(const struct capture *c)
{
	return c->limit && atomic_load_explicit(&c->written, memory_order_relaxed) >= c->limit;
}

/* Return: 0 or -errno. */
static int write_block(struct cut *cut, const void *data, uint32_t have, uint32_t len)
{
	struct capture *c = cut->c;
	const struct pcapng_frame frame = {
		.ts_ns = cut->rec->ts_ns + c->off_ns,
		.data = data,
		.cap_len = c->snaplen && c->snaplen < have ? c->snaplen : have,
		.len = len,
		.way = cut->rec->way == PORT_RX ? PCAPNG_INBOUND : PCAPNG_OUTBOUND,
		.lost = cut->lost,
		.comment = cut->comment[0] ? cut->comment : NULL,
	};
	const size_t max = frame.cap_len + PCAPNG_FRAME_OVERHEAD + COMMENT_MAX;
	int ret;
	void *buf;

	if (is_at_limit(c))
		return 0;
	buf = capfile_room(&c->file, max, &ret);
	if (!buf)
		return ret;
	capfile_add(&c->file, pcapng_frame(buf, max, &frame));
	capture_count(&c->written, 1);
	capture_count(&c->bytes, len);
	cut->lost = 0;
	return 0;
}

/* A frame that offload_finish() made. */
static int emit(struct offload_out *out, const struct vmtap_frame *f)
{
	struct cut *cut = container_of(out, struct cut, out);
	const void *data = f->iov[0].iov_base;

	if (f->iov_cnt > 1) {
		iov_read(f->iov, f->iov_cnt, 0, cut->c->flat, f->len);
		data = cut->c->flat;
	}
	return write_block(cut, data, f->len, f->len);
}

static int write_record(struct capture *c, const struct caprec *rec)
{
	const bool gso = rec->hdr.gso_type != VMTAP_GSO_NONE;
	struct iovec iov = { .iov_base = (void *)rec->data, .iov_len = rec->data_len };
	struct vmtap_frame frame = { .hdr = rec->hdr, .len = rec->len, .iov = &iov, .iov_cnt = 1 };
	struct cut cut = { .out.emit = emit, .c = c, .rec = rec, .lost = rec->lost };
	int ret = -EINVAL;

	if (gso && !c->segment) {
		snprintf(cut.comment, sizeof(cut.comment), "GSO: %s%s, gso_type %u, gso_size %u",
			 gso_name(rec->hdr.gso_type),
			 rec->hdr.gso_type & VMTAP_GSO_ECN ? " with ECN" : "", rec->hdr.gso_type,
			 rec->hdr.gso_size);
		frame.hdr.gso_type = VMTAP_GSO_NONE;
	}
	/* of a frame that was cut nobody can check the sum */
	if (offload_needed(&frame.hdr) && rec->data_len == rec->len)
		ret = offload_finish(&frame, 0, c->scratch, &cut.out);
	if (ret == -EINVAL)
		ret = write_block(&cut, rec->data, rec->data_len, rec->len);
	return ret;
}

/* --------------------------------------------------------------------- many of them */

int capture_ref_cmp(const void *a, const void *b)
{
	const struct capture_ref *x = a, *y = b;

	if (x->rec->ts_ns != y->rec->ts_ns)
		return x->rec->ts_ns < y->rec->ts_ns ? -1 : 1;
	if (x->lane != y->lane)
		return x->lane < y->lane ? -1 : 1;
	if (x->rec->seq != y->rec->seq)
		return (int32_t)(x->rec->seq - y->rec->seq) < 0 ? -1 : 1;
	return x->index < y->index ? -1 : x->index > y->index;
}

/* The writer is about to be too slow: no time for niceties. */
static bool is_crowded(struct capture *c)
{
	for (unsigned i = 0; i < c->lane_cnt; i++)
		if (capring_used(&c->lanes[i].ring) > c->lanes[i].ring.size / 4)
			return true;
	return false;
}

static bool is_empty(struct capture *c)
{
	for (unsigned i = 0; i < c->lane_cnt; i++)
		if (capring_used(&c->lanes[i].ring))
			return false;
	return true;
}

/* Up to when all lanes can be written: one that has more than fits into a round must not be overtaken. */
static uint64_t common_end(struct capture *c, uint64_t until)
{
	for (unsigned i = 0; c->lane_cnt > 1 && i < c->lane_cnt; i++) {
		const struct caprec *rec = capring_first(&c->lanes[i].ring);
		uint64_t last = 0;
		unsigned n = 0;

		for (; rec && n < c->ref_max; rec = capring_next(&c->lanes[i].ring), n++)
			if (rec->ts_ns > last)
				last = rec->ts_ns;
		if (rec && last < until)
			until = last;
	}
	return until;
}

static unsigned collect(struct capture *c, unsigned lane, uint64_t until, unsigned cnt)
{
	struct capring *ring = &c->lanes[lane].ring;
	const struct caprec *rec = capring_first(ring);

	for (unsigned n = 0; rec; n++) {
		if (rec->ts_ns > until || n == c->ref_max) {
			capring_back(ring, rec);
			break;
		}
		c->refs[cnt] = (struct capture_ref) { .rec = rec, .lane = lane, .index = cnt };
		cnt++;
		rec = capring_next(ring);
	}
	return cnt;
}

static uint64_t real_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * NSEC_PER_SEC + (uint64_t)ts.tv_nsec;
}

/* Write what is old enough. Return: records, or -errno. */
static int drain(struct capture *c, bool all)
{
	const uint64_t now = clock_ns();
	uint64_t until = all || is_crowded(c) ? UINT64_MAX : now - CAPTURE_SETTLE_NS;
	unsigned cnt = 0;
	int ret = 0;

	c->off_ns = real_ns() - now;
	until = common_end(c, until);
	for (unsigned i = 0; i < c->lane_cnt; i++)
		cnt = collect(c, i, until, cnt);
	if (cnt)
		qsort(c->refs, cnt, sizeof(*c->refs), capture_ref_cmp);
	for (unsigned i = 0; i < cnt && ret == 0; i++)
		ret = write_record(c, c->refs[i].rec);
	for (unsigned i = 0; i < c->lane_cnt; i++)
		capring_taken(&c->lanes[i].ring);
	return ret < 0 ? ret : (int)cnt;
}

/* ---------------------------------------------------------------------- a file's ends */

static int begin_file(struct capture *c)
{
	struct utsname u = { 0 };
	uint8_t *head = c->flat;
	char os[256], description[128];
	const struct pcapng_if i = {
		.name = c->name,
		.description = description,
		.filter = c->filter,
		.snaplen = c->snaplen,
	};
	size_t len;

	uname(&u);
	snprintf(os, sizeof(os), "%.60s %.120s", u.sysname, u.release);
	snprintf(description, sizeof(description), "vmtap port %.100s", c->name);
	len = pcapng_section(head, PCAPNG_BLOCK_MAX, u.machine, os, "vmtap " VMTAP_VERSION);
	len += pcapng_interface(head + len, PCAPNG_BLOCK_MAX, &i);
	return capfile_begin(&c->file, head, len);
}

size_t capture_finish(void *opaque, void *buf, size_t size)
{
	struct capture *c = opaque;
	struct vmtap_capture_stats s;
	struct pcapng_stats stats;

	capture_stats(c, &s);
	stats = (struct pcapng_stats) {
		.start_ns = c->start_ns,
		.end_ns = real_ns(),
		.seen = s.seen,
		.accepted = s.seen - s.filtered,
		.lost = s.dropped,
		.written = s.written,
	};
	return pcapng_stats(buf, size, &stats);
}

/* ---------------------------------------------------------------------------- the thread */

/* Return: 0; -EPIPE: whoever read has gone, which is not to be heard of with the next frame only. */
static int nap(struct capture *c, int timeout_ms)
{
	struct pollfd p[] = {
		{ .fd = c->wake_fd, .events = POLLIN },
		{ .fd = capfile_reader(&c->file) },
	};
	eventfd_t n;

	if (poll(p, 2, timeout_ms) <= 0)
		return 0;
	if (p[0].revents)
		eventfd_read(c->wake_fd, &n);
	return p[1].revents ? -EPIPE : 0;
}

static int sleep_until_woken(struct capture *c)
{
	int ret = 0;

	atomic_store(&c->asleep, true);
	if (is_empty(c) && !atomic_load(&c->hurry))
		ret = nap(c, -1);
	atomic_store(&c->asleep, false);
	return ret;
}

/* Return: 0 when it ended as it was told to, or -errno. */
static int run(struct capture *c)
{
	int ret = begin_file(c);

	if (ret == 0)
		ret = capfile_flush(&c->file); /* whoever reads the pipe sees that it began */
	while (ret >= 0) {
		const bool hurry = atomic_load(&c->hurry);

		ret = drain(c, hurry);
		if (ret < 0)
			break;
		if (is_at_limit(c) || (hurry && is_empty(c)))
			return capfile_end(&c->file);
		if (ret && (hurry || is_crowded(c)))
			continue;
		ret = capfile_flush(&c->file);
		if (ret < 0)
			break;
		if (is_empty(c))
			ret = sleep_until_woken(c);
		else if (!hurry)
			ret = nap(c, SETTLE_MS);
	}
	return ret;
}

static void explain(struct capture *c, int code)
{
	struct vmtap_error *err = &c->error;

	switch (code) {
	case EPIPE:
	case ECONNRESET:
		error_set(err, EPIPE, c->name, "go on capturing", "whoever read it has gone");
		break;
	case ETIMEDOUT:
		error_set(err, code, c->name, "end the capture",
			  "nobody reads the pipe; the last frames are lost");
		break;
	case ENOSPC:
	case EDQUOT:
	case EFBIG:
		error_errno(err, code, c->name, "go on capturing");
		error_remedy(err, "keep less of each frame, filter, or use a ring of files");
		break;
	default:
		error_errno(err, code, c->name, "go on capturing");
	}
}

/* Where there is not enough CPU time for both, the guest keeps its frames and the capture loses some, which
 * it says. On Linux a thread has a nice value of its own. It may always be raised; if not, the capture works
 * all the same. */
static void be_nice(void)
{
	setpriority(PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, 0) + NICER);
}

void *capture_work(void *opaque)
{
	struct capture *c = opaque;
	int ret;

	be_nice();
	c->start_ns = real_ns();
	ret = run(c);
	atomic_store(&c->active, false);
	if (ret < 0)
		explain(c, -ret);
	atomic_store(&c->over, true);
	loop_task_post(c->env->loop, &c->task);
	return NULL;
}
