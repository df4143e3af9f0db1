/* SPDX-License-Identifier: MIT */
/*
 * Fuzzes what the stream port's next run reads of the last.
 *
 * Input: a byte that says whether size and checksum are put right, so that what is behind them is reached, and a
 * state. Besides not crashing, it must hold that
 *   - what is refused has a reason;
 *   - what is accepted lies within the input and its bounds, is the whole of it, and comes out the same, byte for
 *     byte, when it is written again.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "port/sock/stream-state.h"

/** Where the head has them. */
#define AT_SIZE 12
#define AT_SUM 40

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void put_right(uint8_t *state, size_t len)
{
	const uint32_t size = (uint32_t)len;
	uint64_t h = 0xcbf29ce484222325u;

	if (len < STREAM_STATE_HEAD)
		return;
	memcpy(state + AT_SIZE, &size, sizeof(size));
	for (size_t i = 0; i < len; i++)
		if (i < AT_SUM || i >= STREAM_STATE_HEAD)
			h = (h ^ state[i]) * 0x100000001b3u;
	memcpy(state + AT_SUM, &h, sizeof(h));
}

static void check(const uint8_t *state, size_t len)
{
	static uint8_t again[STREAM_STATE_MAX];
	struct stream_state s;
	const char *why = stream_state_decode(&s, state, len);

	if (why) {
		assert(strlen(why) > 10);
	} else {
		assert(s.rx == state + STREAM_STATE_HEAD && s.rx_len <= FRAMING_SIZE);
		assert(s.tx == s.rx + s.rx_len && s.tx + s.tx_len == state + len);
		assert(!s.tx_len == !s.tx_frame && s.tx_frame <= VMTAP_FRAME_MAX);
		assert(s.tx_len <= FRAMING_PREFIX + (size_t)s.tx_frame);
		assert(!s.tx_broken || !s.tx_len);
		assert(len <= STREAM_STATE_MAX && stream_state_encode(&s, again) == len);
		assert(memcmp(again, state, len) == 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const size_t len = size ? size - 1 : 0;
	uint8_t *state = malloc(len ? len : 1);

	assert(state);
	if (len)
		memcpy(state, data + 1, len);
	if (size && data[0] & 1)
		put_right(state, len);
	check(state, len);
	free(state);
	return 0;
}
