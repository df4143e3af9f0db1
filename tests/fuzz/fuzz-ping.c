/* SPDX-License-Identifier: MIT */
/*
 * Fuzz target: ping_look() on any frame, in pieces of any size.
 *
 * Model
 *   input  u8 what is asked, u8 piece, the frame
 *
 *   Every piece of the frame is an allocation of its own, so that the address sanitizer sees a read
 *   beyond any. Beyond not crashing, it must hold that
 *   - the pieces that the frame comes in make no difference;
 *   - what is taken for an answer is to the asker's address, and of whom was asked;
 *   - what is answered is a frame that the asker does not take for anything.
 */
#include <stdlib.h>
#include <string.h>

#include "filter/ping-frame.h"

#define PIECES_MAX 2048

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool holds)
{
	if (!holds)
		abort();
}

static bool look(const struct ping_asker *a, const uint8_t *data, size_t len, size_t piece,
		 struct ping_seen *seen)
{
	static struct iovec iov[PIECES_MAX];
	struct vmtap_frame frame = { .len = (uint32_t)len, .iov = iov };
	bool is_ours;

	for (size_t off = 0, n; off < len; off += n) {
		n = len - off < piece ? len - off : piece;
		iov[frame.iov_cnt].iov_base = malloc(n);
		check(iov[frame.iov_cnt].iov_base);
		memcpy(iov[frame.iov_cnt].iov_base, data + off, n);
		iov[frame.iov_cnt++].iov_len = n;
	}
	is_ours = ping_look(a, &frame, seen);
	for (uint32_t i = 0; i < frame.iov_cnt; i++)
		free(iov[i].iov_base);
	return is_ours;
}

static void check_answer(const struct ping_asker *a, const uint8_t *f, size_t len,
			 const struct ping_seen *seen)
{
	check((f[0] & 1) || (memcmp(f, a->mac, 5) == 0 && (f[5] & 0xf0) == a->mac[5]));
	switch (a->kind) {
	case PING_ARP:
		check(len >= 42 && f[13] == 6 && f[21] == 2 && memcmp(f + 28, a->target, 4) == 0);
		check(memcmp(f + 32, a->mac, 5) == 0 && seen->seq == (f[37] & 15u));
		break;
	case PING_ND:
		check(len >= 78 && f[54] == 136 && memcmp(f + 62, a->target, 16) == 0);
		check(f[21] == 255 && seen->seq == (f[53] & 15u));
		break;
	case PING_ECHO:
		check(len >= 74 && f[54] == 129 && memcmp(f + 62, a->token, 8) == 0);
		break;
	}
}

/* The same with a tag means the same to one who asks with that tag, and nothing to others. */
static void check_tagged(const struct ping_asker *a, const uint8_t *f, size_t len,
			 const struct ping_seen *seen)
{
	struct ping_asker in = *a, other = *a;
	uint8_t tagged[PIECES_MAX + 4];
	struct ping_seen again;

	if (len < 14)
		return;
	in.vlan = 7;
	other.vlan = 8;
	memcpy(tagged, f, 12);
	memcpy(tagged + 12, (const uint8_t[]) { 0x81, 0, 0xe0, 7 }, 4);
	memcpy(tagged + 16, f + 12, len - 12);
	look(&in, tagged, len + 4, len + 4, &again);
	check(memcmp(seen, &again, sizeof(again)) == 0);
	check(!look(&other, tagged, len + 4, len + 4, &again));
	check(!look(a, tagged, len + 4, len + 4, &again));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const addresses[] = { "10.0.0.9", "fe80::9", "ff02::1" };
	struct ping_asker a = { .mac = { 2, 0, 0, 0, 0, 0x10 },
				.token = { 'v', 'm', 't', 'a', 'p', 1, 2, 3 } };
	struct ping_seen seen, again;
	uint8_t buf[PING_LOOK];
	const char *why;
	bool is_ours;

	if (size < 2 || size > 2 + PIECES_MAX)
		return -1;
	check(ping_asker_aim(&a, addresses[data[0] % 3], NULL, &why) == 0);
	is_ours = look(&a, data + 2, size - 2, size, &seen);
	check(look(&a, data + 2, size - 2, data[1] ? data[1] : 1, &again) == is_ours);
	check(memcmp(&seen, &again, sizeof(seen)) == 0);
	check(is_ours == (seen.saw != PING_SAW_NOTHING));
	check_tagged(&a, data + 2, size - 2, &seen);
	if (seen.saw == PING_SAW_ANSWER)
		check_answer(&a, data + 2, size - 2, &seen);
	if (seen.saw != PING_SAW_SOLICIT)
		return 0;
	check(seen.seq < PING_IDENTS);
	check(ping_advert(&a, &seen, buf) == 86);
	check(!look(&a, buf, 86, 86, &again));
	return 0;
}
