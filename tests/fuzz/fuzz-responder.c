/* SPDX-License-Identifier: MIT */
/*
 * Fuzzes what the responder makes of a frame.
 *
 * Input: one byte of choices, then the frame. Mutated frames seldom have
 * right checksums, so by choice these are put right first: otherwise little
 * would be reached behind them.
 */
#include <stdlib.h>
#include <string.h>

#include "net/offload.h"
#include "port/responder/reply.h"

#define HAS_IP 1u
#define HAS_IP6 2u
#define FIX_CHECKSUMS 4u
#define TO_HOST 8u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t host_mac[6] = { 0x52, 0x54, 0, 1, 2, 3 };
static const uint8_t ip[4] = { 10, 0, 0, 2 };
static const uint8_t ip6[16] = { 0xfd, [15] = 2 };

static void put_sum(uint8_t *at, const uint8_t *data, size_t len, uint32_t sum)
{
	uint16_t v;

	memset(at, 0, 2);
	v = (uint16_t)~offload_csum(data, len, sum);
	memcpy(at, &v, 2);
}

static void fix_ip4(uint8_t *p, size_t len)
{
	size_t hdr = (p[0] & 15u) * 4u, total = (size_t)p[2] << 8 | p[3];

	if (hdr < 20 || total < hdr + 8 || total > len)
		return;
	put_sum(p + 10, p, hdr, 0);
	put_sum(p + hdr + 2, p + hdr, total - hdr, 0);
}

static void fix_ip6(uint8_t *p, size_t len)
{
	size_t plen = (size_t)p[4] << 8 | p[5];
	const uint8_t tail[4] = { p[4], p[5], 0, p[6] };

	if (plen < 8 || plen > len - 40)
		return;
	put_sum(p + 42, p + 40, plen, offload_csum(p + 8, 32, offload_csum(tail, 4, 0)));
}

static void fix_checksums(uint8_t *frame, size_t len)
{
	size_t l2 = 14;

	if (len >= 18 && frame[12] == 0x81 && frame[13] == 0)
		l2 = 18;
	if (len >= l2 + 20 && frame[l2 - 2] == 8 && frame[l2 - 1] == 0)
		fix_ip4(frame + l2, len - l2);
	if (len >= l2 + 40 && frame[l2 - 2] == 0x86 && frame[l2 - 1] == 0xdd)
		fix_ip6(frame + l2, len - l2);
}

/* A reply must go back, be sound, and beget nothing at its receiver. */
static void check_reply(const uint8_t *frame, size_t len, size_t asked_len)
{
	struct reply_host peer;
	uint8_t copy[2048];
	size_t copy_len = len;

	if (len < 42 || (len > asked_len && len > REPLY_ROOM_MIN) || memcmp(frame + 6, host_mac, 6))
		abort();
	if (len > sizeof(copy))
		return;
	memcpy(copy, frame, len);
	reply_host_init(&peer, frame);
	peer.has_ip = peer.has_ip6 = true;
	memcpy(peer.ip, ip, 4);
	memcpy(peer.ip6, ip6, 16);
	if (reply_make(&peer, copy, &copy_len, sizeof(copy)) <= REPLY_ECHO6)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct reply_host host;
	size_t len, room;
	uint8_t *frame;

	if (size < 15)
		return 0;
	reply_host_init(&host, host_mac);
	host.has_ip = data[0] & HAS_IP;
	host.has_ip6 = data[0] & HAS_IP6;
	memcpy(host.ip, ip, 4);
	memcpy(host.ip6, ip6, 16);

	len = size - 1;
	room = len > REPLY_ROOM_MIN ? len : REPLY_ROOM_MIN;
	frame = calloc(1, room); /* its own, so that one byte too many is seen */
	if (!frame)
		return 0;
	memcpy(frame, data + 1, len);
	if (data[0] & TO_HOST)
		memcpy(frame, host_mac, 6);
	if (data[0] & FIX_CHECKSUMS)
		fix_checksums(frame, len);
	if (reply_is_answer(reply_make(&host, frame, &len, room)))
		check_reply(frame, len, size - 1);
	free(frame);
	return 0;
}
