/* SPDX-License-Identifier: MIT */
/*
 * Fuzz target: senders_permit() on any frame, in pieces of any size.
 *
 * Model
 *   input  u8 which addresses, u8 piece, struct vmtap_net_hdr (12 bytes), the frame
 *
 *   Every piece of the frame is an allocation of its own, so that the address sanitizer sees a read
 *   beyond any. Beyond not crashing, it must hold that
 *   - the pieces that the frame comes in make no difference;
 *   - what is permitted has, by a look that knows nothing of tags and extension headers, a
 *     permitted source where an untagged frame has it.
 */
#include <stdlib.h>

#include "filter/senders.h"

#define HEAD_LEN (2 + sizeof(struct vmtap_net_hdr))
#define PIECES_MAX 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t own_mac[6] = { 2, 0, 0, 0, 0, 9 };
static const uint8_t own_ip4[4] = { 10, 0, 0, 1 };
static const uint8_t own_ip6[16] = { 0xfd, [15] = 1 };
static const uint8_t own_ll[16] = { 0xfe, 0x80, [11] = 0xff, 0xfe, 0, 0, 9 };

static void check(bool holds)
{
	if (!holds)
		abort();
}

/* Return: whether it is permitted; @copy gets what was looked at, @copied bytes. */
static bool permit(const struct senders *s, const struct vmtap_net_hdr *hdr, const uint8_t *data,
		   size_t len, size_t piece, uint8_t *copy, uint32_t *copied)
{
	static struct iovec iov[PIECES_MAX];
	struct vmtap_frame frame = { .hdr = *hdr, .len = (uint32_t)len, .iov = iov };
	struct head head = { .frame = &frame, .buf = copy };
	bool ok;

	for (size_t off = 0, n; off < len; off += n) {
		n = len - off < piece ? len - off : piece;
		iov[frame.iov_cnt].iov_base = malloc(n);
		check(iov[frame.iov_cnt].iov_base);
		memcpy(iov[frame.iov_cnt].iov_base, data + off, n);
		iov[frame.iov_cnt++].iov_len = n;
	}
	ok = senders_permit(s, &head);
	*copied = head.len;
	for (uint32_t i = 0; i < frame.iov_cnt; i++)
		free(iov[i].iov_base);
	return ok;
}

static bool is_zero(const uint8_t *at, size_t len)
{
	while (len--)
		if (*at++)
			return false;
	return true;
}

/* A permitted frame, without tags: what its fields are. */
static void look(const struct senders *s, const uint8_t *f, size_t len)
{
	check(len >= ETH_HDR_LEN);
	if (s->mac_cnt)
		check(memcmp(f + 6, own_mac, 6) == 0);
	switch (get_be16(f + 12)) {
	case 0x0806:
		check(len >= 42);
		if (s->mac_cnt)
			check(memcmp(f + 22, own_mac, 6) == 0);
		if (s->ip4_cnt)
			check(memcmp(f + 28, own_ip4, 4) == 0 || is_zero(f + 28, 4));
		break;
	case 0x0800:
		check(len >= 34);
		if (s->ip4_cnt)
			check(memcmp(f + 26, own_ip4, 4) == 0 || is_zero(f + 26, 4));
		break;
	case 0x86dd:
		check(len >= 54);
		if (!s->ip6_cnt)
			break;
		check(memcmp(f + 22, own_ip6, 16) == 0 || is_zero(f + 22, 16) || !s->mac_cnt ||
		      memcmp(f + 22, own_ll, 16) == 0);
		if (f[20] == 58 && len >= 78 && f[54] == 136) /* an advertisement */
			check(memcmp(f + 62, own_ip6, 16) == 0 || !s->mac_cnt ||
			      memcmp(f + 62, own_ll, 16) == 0);
		break;
	default:
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t a[PACKET_HEAD_MAX], b[PACKET_HEAD_MAX];
	struct senders s = { 0 };
	struct vmtap_net_hdr hdr;
	char why[SENDERS_WHY_MAX];
	uint32_t a_len, b_len;
	size_t piece;
	bool ok;

	if (size < HEAD_LEN || size > HEAD_LEN + PIECES_MAX)
		return -1;
	if (data[0] & 1)
		check(senders_add_macs(&s, "02:00:00:00:00:09", why) == 0);
	if (data[0] & 2)
		check(senders_add_ips(&s, "10.0.0.1+fd00::1", why) == 0);
	piece = data[1] ? data[1] : 1;
	memcpy(&hdr, data + 2, sizeof(hdr));
	data += HEAD_LEN;
	size -= HEAD_LEN;
	ok = permit(&s, &hdr, data, size, size ? size : 1, a, &a_len);
	check(permit(&s, &hdr, data, size, piece, b, &b_len) == ok);
	check(a_len == b_len && memcmp(a, b, a_len) == 0);
	if (ok)
		look(&s, data, size);
	return 0;
}
