/* SPDX-License-Identifier: MIT */
/* Captures of a port: what is seen, filtered, dropped, and how they end. */
#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#include "fake-port.h"
#include "filter/capture.h"
#include "net/link.h"

#define TAG_AT 14u

/** struct rig - Two ports, and a capture of the first into an unlinked file */
struct rig {
	struct loop *loop;
	struct port_env env;
	struct fake *a, *b;
	struct link *link;
	struct capture *capture;
	struct vmtap_error err;
	int fd;
	unsigned ended;
	uint8_t *file;
	size_t len;
};

static int setup(void **state)
{
	struct rig *r = calloc(1, sizeof(*r));
	char name[] = "/tmp/test-capture-XXXXXX";

	r->loop = loop_new();
	r->env = (struct port_env) { .loop = r->loop, .cancel_fd = -1 };
	r->a = fake_new(&r->env, "a");
	r->b = fake_new(&r->env, "b");
	r->link = link_new(&r->a->port, &r->b->port, NULL);
	r->fd = mkstemp(name);
	unlink(name);
	*state = r;
	return r->link && r->fd >= 0 ? 0 : -1;
}

static int teardown(void **state)
{
	struct rig *r = *state;

	capture_free(r->capture);
	port_free(&r->a->port);
	port_free(&r->b->port);
	link_free(r->link);
	loop_free(r->loop);
	close(r->fd);
	free(r->file);
	free(r);
	return 0;
}

static void on_end(void *opaque)
{
	((struct rig *)opaque)->ended++;
}

static void start_to(struct rig *r, int fd, struct vmtap_capture_config config)
{
	config.fds = &fd;
	config.fd_cnt = 1;
	r->capture = capture_new(&r->a->port, &config, on_end, r, &r->err);
}

static void start(struct rig *r, struct vmtap_capture_config config)
{
	start_to(r, dup(r->fd), config);
}

static void wait_end(struct rig *r)
{
	for (unsigned i = 0; i < 1000 && !r->ended; i++)
		loop_dispatch(r->loop, 10);
	assert_int_equal(r->ended, 1);
}

/* End it and read the file. */
static void finish(struct rig *r)
{
	capture_detach(r->capture);
	capture_wait(r->capture);
	r->len = (size_t)lseek(r->fd, 0, SEEK_END);
	r->file = malloc(r->len);
	assert_int_equal(pread(r->fd, r->file, r->len, 0), r->len);
}

static uint32_t word(const uint8_t *at)
{
	uint32_t v = 0;

	if (!at)
		fail_msg("there is no such block");
	else
		memcpy(&v, at, sizeof(v));
	return v;
}

/* The @n'th frame's block; NULL: there are fewer. All blocks before it are whole. */
static const uint8_t *frame(const struct rig *r, unsigned n)
{
	for (size_t at = 0; at < r->len; at += word(r->file + at + 4)) {
		assert_true(word(r->file + at + 4) >= 12);
		assert_true(at + word(r->file + at + 4) <= r->len);
		if (word(r->file + at) == 6 && n-- == 0)
			return r->file + at;
	}
	return NULL;
}

/* The word @off bytes into the @n'th frame's block. */
static uint32_t field(const struct rig *r, unsigned n, size_t off)
{
	const uint8_t *block = frame(r, n);

	return word(block ? block + off : NULL);
}

static uint32_t tag(const struct rig *r, unsigned n)
{
	return field(r, n, 28 + TAG_AT);
}

static void frames_of_both_ways_are_in_the_file(void **state)
{
	struct rig *r = *state;
	struct vmtap_capture_stats s;

	start(r, (struct vmtap_capture_config) { 0 });
	assert_non_null(r->capture);
	fake_offer(r->a, 1, 64);
	fake_offer(r->b, 100, 1);
	finish(r);
	for (unsigned i = 0; i < 64; i++)
		assert_int_equal(tag(r, i), 1 + i);
	assert_int_equal(tag(r, 64), 100);
	assert_null(frame(r, 65));
	assert_int_equal(field(r, 0, 28 + 60 + 4), 1); /* flags: inbound */
	assert_int_equal(field(r, 64, 28 + 60 + 4), 2);
	capture_stats(r->capture, &s);
	assert_int_equal(s.seen, 65);
	assert_int_equal(s.written, 65);
	assert_int_equal(s.bytes, 65 * 60);
}

static void one_way_only(void **state)
{
	struct rig *r = *state;

	start(r, (struct vmtap_capture_config) { .directions = VMTAP_CAPTURE_TX });
	fake_offer(r->a, 1, 1);
	fake_offer(r->b, 2, 1);
	finish(r);
	assert_int_equal(tag(r, 0), 2);
	assert_null(frame(r, 1));
}

static void an_answer_comes_behind_what_it_answers(void **state)
{
	struct rig *r = *state;

	start(r, (struct vmtap_capture_config) { 0 });
	r->b->reply = true;
	fake_offer(r->a, 77, 1);
	finish(r);
	assert_int_equal(tag(r, 0), 77);
	assert_int_equal(tag(r, 1), 1);
	assert_int_equal(field(r, 0, 28 + 60 + 4), 1);
}

static unsigned capturing_send(struct port_lane *lane, const struct vmtap_frame *frames,
			       unsigned cnt)
{
	struct rig *r = lane->port->env->opaque;

	if (!r->capture)
		start(r, (struct vmtap_capture_config) { 0 });
	return cnt;
}

/* As an application may from its callbacks. Frames that were on their way have no time at which they came. */
static void it_may_begin_while_frames_are_on_their_way(void **state)
{
	struct rig *r = *state;
	struct port_ops ops = fake_ops;
	struct capture *first;

	start_to(r, open("/dev/null", O_WRONLY), (struct vmtap_capture_config) { 0 });
	first = r->capture;
	r->capture = NULL;
	ops.send = capturing_send;
	r->env.opaque = r;
	r->b->port.ops = &ops;
	fake_offer(r->a, 1, 1);
	fake_offer(r->a, 2, 1);
	r->b->port.ops = &fake_ops;
	finish(r);
	capture_free(first);
	assert_int_equal(tag(r, 0), 2);
	assert_null(frame(r, 1));
}

static void a_reader_that_leaves_is_missed_without_frames(void **state)
{
	struct rig *r = *state;
	char byte[4096];
	int ends[2];

	assert_int_equal(pipe(ends), 0);
	start_to(r, ends[1], (struct vmtap_capture_config) { 0 });
	assert_true(read(ends[0], byte, sizeof(byte)) >
		    0); /* it has begun, and has nothing to do */
	close(ends[0]);
	wait_end(r);
	assert_int_equal(capture_error(r->capture)->code, EPIPE);
}

static void a_short_snap_keeps_the_length(void **state)
{
	struct rig *r = *state;

	start(r, (struct vmtap_capture_config) { .snaplen = 20 });
	fake_offer(r->a, 1, 1);
	finish(r);
	assert_int_equal(field(r, 0, 20), 20);
	assert_int_equal(field(r, 0, 24), 60);
}

static void the_filter_decides(void **state)
{
	struct rig *r = *state;
	struct vmtap_capture_stats s;

	start(r, (struct vmtap_capture_config) { .filter = "ether[14] = 3", .snaplen = 16 });
	assert_non_null(r->capture);
	fake_offer(r->a, 0, 10);
	finish(r);
	assert_int_equal(field(r, 0, 20), 16);
	assert_null(frame(r, 1));
	capture_stats(r->capture, &s);
	assert_int_equal(s.seen, 10);
	assert_int_equal(s.filtered, 9);
	assert_int_equal(s.written, 1);
}

/** struct sampler - Looks at the counters until @stop; @wrong: there were more of a part than of the whole. */
struct sampler {
	const struct capture *capture;
	atomic_bool stop;
	unsigned looks, wrong;
};

static void *sample(void *opaque)
{
	struct sampler *look = opaque;
	struct vmtap_capture_stats s;

	for (; !atomic_load(&look->stop); look->looks++) {
		capture_stats(look->capture, &s);
		look->wrong += s.filtered + s.dropped > s.seen;
	}
	return NULL;
}

static void no_more_are_filtered_than_seen(void **state)
{
	struct rig *r = *state;
	struct sampler look = { 0 };
	pthread_t thread;

	start(r, (struct vmtap_capture_config) { .filter = "udp" });
	look.capture = r->capture;
	assert_int_equal(pthread_create(&thread, NULL, sample, &look), 0);
	for (unsigned i = 0; i < 20000; i++)
		fake_offer(r->a, 1, 64);
	atomic_store(&look.stop, true);
	pthread_join(thread, NULL);
	assert_true(look.looks > 0);
	assert_int_equal(look.wrong, 0);
}

static void a_bad_filter_is_an_error_with_libpcaps_words(void **state)
{
	struct rig *r = *state;

	start(r, (struct vmtap_capture_config) { .filter = "tcp prot 80" });
	assert_null(r->capture);
	assert_int_equal(r->err.code, EINVAL);
	assert_non_null(strstr(r->err.reason, "syntax error"));
	assert_null(r->a->port.hooks);
}

static void wrong_configurations_are_refused(void **state)
{
	struct rig *r = *state;
	const struct vmtap_capture_config wrong[] = {
		{ .path = "/tmp/x" }, /* and a descriptor */
		{ .directions = 4 },	   { .buffer = 1000 }, { .buffer = CAPTURE_SETTLE_NS },
		{ .file_bytes = 1 << 20 },
	};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		start(r, wrong[i]);
		assert_null(r->capture);
		assert_int_equal(r->err.code, EINVAL);
	}
}

static void a_limit_ends_it(void **state)
{
	struct rig *r = *state;

	start(r, (struct vmtap_capture_config) { .limit = 5 });
	fake_offer(r->a, 0, 64);
	wait_end(r);
	assert_null(r->a->port.hooks);
	assert_null(capture_error(r->capture));
	finish(r);
	assert_non_null(frame(r, 4));
	assert_null(frame(r, 5));
}

static void a_reader_that_does_not_read_costs_frames_of_the_capture_only(void **state)
{
	struct rig *r = *state;
	struct vmtap_capture_stats s;
	int ends[2];
	unsigned n = 0;

	assert_int_equal(pipe(ends), 0);
	start_to(r, ends[1], (struct vmtap_capture_config) { .buffer = 256 * 1024 });
	do {
		assert_int_equal(fake_offer(r->a, 0, 64), 64);
		n += 64;
		capture_stats(r->capture, &s);
	} while (!s.dropped && n < 1000000);
	assert_true(s.dropped > 0);
	assert_int_equal(r->b->got, n);
	close(ends[0]);
	wait_end(r);
	assert_int_equal(capture_error(r->capture)->code, EPIPE);
	assert_null(r->a->port.hooks);
	assert_int_equal(fake_offer(r->a, 0, 64), 64);
}

static void what_was_lost_is_said_in_the_next_frame(void **state)
{
	struct rig *r = *state;
	struct vmtap_capture_stats s;
	uint64_t lost = 0;
	static uint8_t byte[65536];
	int ends[2];
	size_t at = 0;
	ssize_t len;

	assert_int_equal(pipe(ends), 0);
	start_to(r, ends[1], (struct vmtap_capture_config) { .buffer = 256 * 1024 });
	do {
		fake_offer(r->a, 0, 64);
		capture_stats(r->capture, &s);
	} while (!s.dropped);
	/* as it is read, there is room, and what comes then tells */
	r->file = malloc(8 << 20);
	capture_detach(r->capture);
	while (!capture_is_over(r->capture) ||
	       poll(&(struct pollfd) { ends[0], POLLIN, 0 }, 1, 0)) {
		if (!poll(&(struct pollfd) { ends[0], POLLIN, 0 }, 1, 10))
			continue;
		len = read(ends[0], byte, sizeof(byte));
		if (len <= 0)
			break;
		memcpy(r->file + at, byte, (size_t)len);
		at += (size_t)len;
	}
	capture_wait(r->capture);
	r->len = at;
	capture_stats(r->capture, &s);
	for (unsigned n = 0; frame(r, n); n++) {
		if (field(r, n, 28 + 60 + 8) == 0x00080004)
			lost += field(r, n, 28 + 60 + 12);
	}
	/* the last ones found no frame to be told with, but the statistics have them */
	assert_true(lost <= s.dropped);
	assert_int_equal(s.seen, s.written + s.dropped);
	at = r->len - word(r->file + r->len - 4);
	assert_int_equal(word(r->file + at), 5);
	assert_int_equal(word(r->file + at + 60), s.dropped);
	close(ends[0]);
}

static void it_comes_and_goes(void **state)
{
	struct rig *r = *state;

	for (unsigned i = 0; i < 200; i++) {
		start(r, (struct vmtap_capture_config) { .buffer = 256 * 1024 });
		assert_non_null(r->capture);
		fake_offer(r->a, 0, i % 64 + 1);
		capture_free(r->capture);
		fake_offer(r->a, 0, 1);
	}
	r->capture = NULL;
	assert_null(r->a->port.hooks);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(frames_of_both_ways_are_in_the_file),
		TEST(one_way_only),
		TEST(an_answer_comes_behind_what_it_answers),
		TEST(it_may_begin_while_frames_are_on_their_way),
		TEST(a_reader_that_leaves_is_missed_without_frames),
		TEST(a_short_snap_keeps_the_length),
		TEST(the_filter_decides),
		TEST(no_more_are_filtered_than_seen),
		TEST(a_bad_filter_is_an_error_with_libpcaps_words),
		TEST(wrong_configurations_are_refused),
		TEST(a_limit_ends_it),
		TEST(a_reader_that_does_not_read_costs_frames_of_the_capture_only),
		TEST(what_was_lost_is_said_in_the_next_frame),
		TEST(it_comes_and_goes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
