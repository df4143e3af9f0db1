/* SPDX-License-Identifier: MIT */
/* QEMU's stream framing: frames found whatever the cuts, and lengths that cannot be. */
#include "unit.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "port/sock/framing.h"

static struct framing f;

static int setup(void **state)
{
	return framing_init(&f);
}

static int teardown(void **state)
{
	framing_fini(&f);
	return 0;
}

static void put(const void *data, size_t len)
{
	size_t room;
	void *to = framing_room(&f, &room);

	assert_true(len <= room);
	memcpy(to, data, len);
	framing_received(&f, len);
}

/* Length and bytes of a frame. Return: bytes in all. */
static size_t make(uint8_t *out, uint32_t len, uint8_t fill)
{
	out[0] = (uint8_t)(len >> 24);
	out[1] = (uint8_t)(len >> 16);
	out[2] = (uint8_t)(len >> 8);
	out[3] = (uint8_t)len;
	memset(out + 4, fill, len);
	return len + 4;
}

static void put_frame(uint32_t len, uint8_t fill)
{
	uint8_t *buf = malloc(len + 4);

	put(buf, make(buf, len, fill));
	free(buf);
}

static void expect(unsigned i, uint32_t len, uint8_t fill)
{
	const uint8_t *data = f.frames[i].iov->iov_base;

	assert_int_equal(f.frames[i].len, len);
	assert_int_equal(f.frames[i].iov_cnt, 1);
	assert_int_equal(f.frames[i].iov->iov_len, len);
	for (uint32_t k = 0; k < len; k++)
		assert_int_equal(data[k], fill);
}

static int parse(unsigned *runts)
{
	unsigned none = 0;
	int ret = framing_parse(&f, VMTAP_BURST_MAX, runts ? runts : &none);

	if (!runts)
		assert_int_equal(none, 0);
	return ret;
}

static void finds_frames_at_every_cut(void **state)
{
	uint8_t bytes[200];
	size_t len = make(bytes, 60, 1);

	len += make(bytes + len, 14, 2);
	len += make(bytes + len, 99, 3);
	for (size_t cut = 0; cut <= len; cut++) {
		unsigned seen = 0;

		for (int half = 0; half < 2; half++) {
			int cnt;

			put(bytes + (half ? cut : 0), half ? len - cut : cut);
			cnt = parse(NULL);
			assert_true(cnt >= 0);
			for (int i = 0; i < cnt; i++, seen++)
				expect((unsigned)i, (const uint32_t[]) { 60, 14, 99 }[seen],
				       (uint8_t)(seen + 1));
			if (cnt)
				framing_done(&f, (unsigned)cnt);
		}
		assert_int_equal(seen, 3);
		assert_false(framing_pending(&f));
	}
}

static void keeps_frames_that_are_not_done(void **state)
{
	for (uint8_t i = 0; i < 10; i++)
		put_frame(20u + i, i);
	assert_int_equal(parse(NULL), 10);
	framing_done(&f, 4);
	assert_true(framing_pending(&f));
	assert_int_equal(parse(NULL), 6);
	for (uint8_t i = 0; i < 6; i++)
		expect(i, 24u + i, (uint8_t)(4 + i));
}

static void finds_at_most_what_is_asked_for(void **state)
{
	for (unsigned i = 0; i < 100; i++)
		put_frame(60, 7);
	assert_int_equal(parse(NULL), VMTAP_BURST_MAX);
	framing_done(&f, VMTAP_BURST_MAX);
	assert_int_equal(framing_parse(&f, 5, &(unsigned) { 0 }), 5);
	framing_done(&f, 5);
	assert_int_equal(parse(NULL), 100 - VMTAP_BURST_MAX - 5);
}

static void takes_the_longest_frame_behind_another(void **state)
{
	uint8_t *buf = malloc(VMTAP_FRAME_MAX + 4);
	size_t len = make(buf, VMTAP_FRAME_MAX, 9), done = 0;

	put_frame(60000, 8);
	while (done < len) {
		size_t room, n = len - done;
		uint8_t *to;

		if (parse(NULL) == 1) {
			expect(0, 60000, 8);
			framing_done(&f, 1);
			assert_int_equal(parse(NULL), 0);
		}
		to = framing_room(&f, &room);
		assert_true(room > 0);
		n = n < room ? n : room;
		n = n < 5000 ? n : 5000;
		memcpy(to, buf + done, n);
		framing_received(&f, n);
		done += n;
	}
	assert_int_equal(parse(NULL), 1);
	expect(0, VMTAP_FRAME_MAX, 9);
	free(buf);
}

static void skips_and_counts_each_runt_once(void **state)
{
	unsigned runts = 0;

	put_frame(13, 1);
	put_frame(14, 2);
	put_frame(1, 3);
	put_frame(5, 4);
	put_frame(60, 5);
	assert_int_equal(parse(&runts), 1);
	expect(0, 14, 2);
	assert_int_equal(runts, 1);
	assert_int_equal(parse(&runts), 1); /* again: nothing was done with */
	assert_int_equal(runts, 1);
	framing_done(&f, 1);
	assert_int_equal(parse(&runts), 1);
	expect(0, 60, 5);
	assert_int_equal(runts, 3);
}

static void refuses_length(uint32_t len)
{
	uint8_t bytes[4] = { (uint8_t)(len >> 24), (uint8_t)(len >> 16), (uint8_t)(len >> 8),
			     (uint8_t)len };

	framing_reset(&f);
	put(bytes, 3);
	assert_int_equal(parse(NULL), 0);
	put(bytes + 3, 1);
	assert_int_equal(parse(NULL), -EPROTO);
	assert_true(framing_pending(&f));
}

static void refuses_impossible_lengths(void **state)
{
	refuses_length(0);
	refuses_length(VMTAP_FRAME_MAX + 1);
	refuses_length(0x80000000);
	refuses_length(0xffffffff);
}

static void delivers_what_came_before_an_impossible_length(void **state)
{
	put_frame(60, 1);
	put_frame(70, 2);
	put("\0\0\0\0", 4);
	assert_int_equal(parse(NULL), 2);
	framing_done(&f, 1);
	assert_int_equal(parse(NULL), 1);
	expect(0, 70, 2);
	framing_done(&f, 1);
	assert_int_equal(parse(NULL), -EPROTO);
}

static void explains(const char *bytes, size_t len, const char *text)
{
	char buf[200];

	framing_reset(&f);
	put(bytes, len);
	assert_int_equal(parse(NULL), -EPROTO);
	assert_non_null(strstr(framing_explain(&f, buf, sizeof(buf)), text));
}

static void explains_what_the_peer_may_be(void **state)
{
	explains("GET / HTTP/1.1\r\n", 16, "47 45 54 20");
	explains("GET / HTTP/1.1\r\n", 16, "text");
	explains("\x16\x03\x01\x02\x00", 5, "TLS");
	explains("\x3c\0\0\0", 4, "little-endian");
	explains("\0\0\0\0", 4, "no length");
}

int main(void)
{
#define sock_case(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		sock_case(finds_frames_at_every_cut),
		sock_case(keeps_frames_that_are_not_done),
		sock_case(finds_at_most_what_is_asked_for),
		sock_case(takes_the_longest_frame_behind_another),
		sock_case(skips_and_counts_each_runt_once),
		sock_case(refuses_impossible_lengths),
		sock_case(delivers_what_came_before_an_impossible_length),
		sock_case(explains_what_the_peer_may_be),
	};

	return cmocka_run_group_tests_name("framing", tests, NULL, NULL);
}
