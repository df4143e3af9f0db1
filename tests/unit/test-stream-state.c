/* SPDX-License-Identifier: MIT */
/* What the next run of a stream port reads of the last: every form that is cut or changed is refused. */
#include "unit.h"

#include <stdlib.h>
#include <string.h>

#include "port/sock/stream-state.h"

static uint8_t *buf, *rx, *tx;

static int setup(void **state)
{
	buf = malloc(STREAM_STATE_MAX);
	rx = malloc(FRAMING_SIZE);
	tx = malloc(FRAMING_PREFIX + VMTAP_FRAME_MAX);
	for (size_t i = 0; rx && i < FRAMING_SIZE; i++)
		rx[i] = (uint8_t)(i * 7);
	return buf && rx && tx ? 0 : -1;
}

static int teardown(void **state)
{
	free(buf);
	free(rx);
	free(tx);
	return 0;
}

/* The length @frame and as many bytes. */
static void make_frame(uint32_t frame)
{
	tx[0] = (uint8_t)(frame >> 24);
	tx[1] = (uint8_t)(frame >> 16);
	tx[2] = (uint8_t)(frame >> 8);
	tx[3] = (uint8_t)frame;
	for (uint32_t i = 0; i < frame; i++)
		tx[4 + i] = (uint8_t)(i * 5 + 1);
}

/* A state with @rx_len bytes received, and a frame of which @gone bytes are sent; @frame 0: none. */
static struct stream_state make(size_t rx_len, uint32_t frame, size_t gone)
{
	make_frame(frame);
	return (struct stream_state) {
		.id = 0x0123456789abcdefu,
		.rx = rx,
		.rx_len = rx_len,
		.tx = tx + gone,
		.tx_len = frame ? FRAMING_PREFIX + frame - gone : 0,
		.tx_frame = frame,
	};
}

static void goes_through(const struct stream_state *s)
{
	const size_t len = stream_state_encode(s, buf);
	struct stream_state back;

	assert_int_equal(len, STREAM_STATE_HEAD + s->rx_len + s->tx_len);
	assert_null(stream_state_decode(&back, buf, len));
	assert_int_equal(back.id, s->id);
	assert_int_equal(back.tx_broken, s->tx_broken);
	assert_int_equal(back.rx_len, s->rx_len);
	assert_int_equal(back.tx_len, s->tx_len);
	assert_int_equal(back.tx_frame, s->tx_frame);
	assert_memory_equal(back.rx, s->rx, s->rx_len);
	assert_memory_equal(back.tx, s->tx, s->tx_len);
}

static void nothing_and_everything_go_through(void **state)
{
	struct stream_state s = make(0, 0, 0);

	goes_through(&s);
	s.tx_broken = true;
	goes_through(&s);
	s = make(FRAMING_SIZE, VMTAP_FRAME_MAX, 0);
	goes_through(&s);
	assert_int_equal(STREAM_STATE_HEAD + s.rx_len + s.tx_len, STREAM_STATE_MAX);
}

static void a_frame_goes_through_wherever_it_is_cut(void **state)
{
	for (size_t gone = 0; gone < FRAMING_PREFIX + 300; gone++) {
		const struct stream_state s = make(gone, 300, gone);

		goes_through(&s);
	}
}

static void refused(const uint8_t *data, size_t len, const char *text)
{
	struct stream_state back;
	const char *why = stream_state_decode(&back, data, len);

	assert_non_null(why);
	if (text)
		assert_string_equal(why, text);
}

static void every_truncation_is_refused(void **state)
{
	const struct stream_state s = make(100, 60, 20);
	const size_t len = stream_state_encode(&s, buf);

	for (size_t i = 0; i < len; i++) {
		uint8_t *cut =
			malloc(i + 1); /* as long as it is, so that a read beyond it is seen */

		memcpy(cut, buf, i);
		refused(cut, i,
			i < STREAM_STATE_HEAD ? "its state is cut"
					      : "its state has another size than it says");
		free(cut);
	}
	buf[len] = 0;
	refused(buf, len + 1, "its state has another size than it says");
}

static void every_changed_bit_is_refused(void **state)
{
	const struct stream_state s = make(100, 60, 20);
	const size_t len = stream_state_encode(&s, buf);

	for (size_t i = 0; i < len * 8; i++) {
		buf[i / 8] ^= (uint8_t)(1 << i % 8);
		refused(buf, len, NULL);
		buf[i / 8] ^= (uint8_t)(1 << i % 8);
	}
	refused(buf, 0, "its state is cut");
	memset(buf, 0, len);
	refused(buf, len, "its state is none that vmtap wrote");
}

static void put32(size_t at, uint32_t value)
{
	memcpy(buf + at, &value, sizeof(value));
}

/* The checksum, as the format has it, so that what is behind it is looked at. */
static void sum_up(size_t len)
{
	uint64_t h = 0xcbf29ce484222325u;

	for (size_t i = 0; i < len; i++)
		if (i < 40 || i >= 48)
			h = (h ^ buf[i]) * 0x100000001b3u;
	memcpy(buf + 40, &h, sizeof(h));
}

enum {
	AT_VERSION = 8,
	AT_SIZE = 12,
	AT_FLAGS = 24,
	AT_RX = 28,
	AT_TX = 32,
	AT_FRAME = 36
};

static void changed_to(size_t at, uint32_t value, const char *text)
{
	const struct stream_state s = make(100, 60, 20);
	const size_t len = stream_state_encode(&s, buf);

	put32(at, value);
	sum_up(len);
	refused(buf, len, text);
}

static void what_does_not_agree_is_refused_also_with_a_good_sum(void **state)
{
	static const char apart[] = "its state does not agree with itself";
	static const char rest[] = "its state has a frame that cannot be";

	changed_to(AT_VERSION, 0, "its state is of another version of vmtap");
	changed_to(AT_VERSION, 2, "its state is of another version of vmtap");
	changed_to(AT_SIZE, 0xffffffff, "its state has another size than it says");
	changed_to(AT_FLAGS, 2, apart);
	changed_to(AT_RX, 99, apart);
	changed_to(AT_RX, 0xffffffff, apart);
	changed_to(AT_TX, 0xffffffff, apart);
	changed_to(AT_FLAGS, 1, rest);
	changed_to(AT_FRAME, 0, rest);
	changed_to(AT_FRAME, 39, rest);
	changed_to(AT_FRAME, VMTAP_FRAME_MAX + 1, rest);
	changed_to(AT_FRAME, 0xffffffff, rest);
}

static void lengths_whose_sum_overflows_are_refused(void **state)
{
	const struct stream_state s = make(100, 60, 20);
	const size_t len = stream_state_encode(&s, buf);

	put32(AT_RX, (uint32_t)(0 - 100));
	put32(AT_TX, 100 + 44 + 100);
	sum_up(len);
	refused(buf, len, "its state does not agree with itself");
}

static void more_than_a_buffer_is_refused(void **state)
{
	uint8_t *big = calloc(1, STREAM_STATE_HEAD + FRAMING_SIZE + 1), *own = buf;
	const struct stream_state s = make(0, 0, 0);

	assert_non_null(big);
	buf = big;
	stream_state_encode(&s, buf);
	put32(AT_SIZE, STREAM_STATE_HEAD + FRAMING_SIZE + 1);
	put32(AT_RX, FRAMING_SIZE + 1);
	sum_up(STREAM_STATE_HEAD + FRAMING_SIZE + 1);
	refused(buf, STREAM_STATE_HEAD + FRAMING_SIZE + 1, "its state does not agree with itself");
	buf = own;
	free(big);
}

/* Part of the length is still to be sent: it has to be that of the frame. */
static void a_length_that_is_not_the_frames_is_refused(void **state)
{
	for (size_t gone = 0; gone < FRAMING_PREFIX; gone++) {
		const struct stream_state s = make(8, 60, gone);
		const size_t len = stream_state_encode(&s, buf);

		buf[STREAM_STATE_HEAD + 8 + (FRAMING_PREFIX - gone) - 1] ^= 1;
		sum_up(len);
		refused(buf, len, "its state has a frame that cannot be");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_and_everything_go_through),
		cmocka_unit_test(a_frame_goes_through_wherever_it_is_cut),
		cmocka_unit_test(every_truncation_is_refused),
		cmocka_unit_test(every_changed_bit_is_refused),
		cmocka_unit_test(what_does_not_agree_is_refused_also_with_a_good_sum),
		cmocka_unit_test(lengths_whose_sum_overflows_are_refused),
		cmocka_unit_test(more_than_a_buffer_is_refused),
		cmocka_unit_test(a_length_that_is_not_the_frames_is_refused),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
