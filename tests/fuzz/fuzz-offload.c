/* SPDX-License-Identifier: MIT */
/*
 * Fuzz target: offload_finish() on any header and frame, in pieces of any size.
 *
 * Model
 *   input  u8 accepts, u8 piece, struct vmtap_net_hdr (12 bytes), the frame
 *
 *   Every piece of the frame is an allocation of its own, so that the address
 *   sanitizer sees a read beyond any. Beyond not crashing, it must hold that
 *   - nothing is emitted where the frame is refused;
 *   - what is emitted asks for nothing that the receiver does not take;
 *   - the lengths agree, and no frame is longer than allowed;
 *   - the pieces that the frame comes in make no difference.
 */
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "net/offload.h"

#define HEAD_LEN (2 + sizeof(struct vmtap_net_hdr))
#define PIECES_MAX 4096

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct sink {
	struct offload_out out;
	unsigned accepts;
	uint64_t hash; /* of everything emitted */
	unsigned cnt;
};

static void check(bool holds)
{
	if (!holds)
		abort();
}

static void hash_bytes(struct sink *s, const uint8_t *p, size_t len)
{
	for (size_t i = 0; i < len; i++)
		s->hash = (s->hash ^ p[i]) * 0x100000001b3u;
}

static int sink_frame(struct offload_out *out, const struct vmtap_frame *frame)
{
	struct sink *s = (struct sink *)out;
	size_t sum = 0;

	check(frame->iov_cnt >= 1 && frame->len <= VMTAP_FRAME_MAX);
	check(frame->hdr.gso_type == VMTAP_GSO_UDP_L4 ||
	      !(offload_needed(&frame->hdr) & ~s->accepts));
	hash_bytes(s, (const uint8_t *)&frame->hdr, sizeof(frame->hdr));
	for (uint32_t i = 0; i < frame->iov_cnt; i++) {
		hash_bytes(s, frame->iov[i].iov_base, frame->iov[i].iov_len);
		sum += frame->iov[i].iov_len;
	}
	check(sum == frame->len);
	s->cnt++;
	return 0;
}

static int finish(const struct vmtap_net_hdr *hdr, const uint8_t *data, size_t len, size_t piece,
		  struct sink *s)
{
	static uint8_t scratch[VMTAP_FRAME_MAX];
	static struct iovec iov[PIECES_MAX];
	struct vmtap_frame frame = { .hdr = *hdr, .len = (uint32_t)len, .iov = iov };
	int res;

	for (size_t off = 0, n; off < len; off += n) {
		n = len - off < piece ? len - off : piece;
		iov[frame.iov_cnt].iov_base = malloc(n);
		check(iov[frame.iov_cnt].iov_base);
		memcpy(iov[frame.iov_cnt].iov_base, data + off, n);
		iov[frame.iov_cnt++].iov_len = n;
	}
	res = offload_finish(&frame, s->accepts, scratch, &s->out);
	check(res == 0 || (res == -EINVAL && !s->cnt));
	for (uint32_t i = 0; i < frame.iov_cnt; i++)
		free(iov[i].iov_base);
	return res;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct sink a = { .out.emit = sink_frame }, b = a;
	struct vmtap_net_hdr hdr;
	size_t piece;

	if (size < HEAD_LEN || size > HEAD_LEN + PIECES_MAX)
		return -1;
	a.accepts = b.accepts = data[0] & VMTAP_OFFLOAD_ALL;
	piece = data[1] ? data[1] : 1;
	memcpy(&hdr, data + 2, sizeof(hdr));
	data += HEAD_LEN;
	size -= HEAD_LEN;
	check(finish(&hdr, data, size, size ? size : 1, &a) == finish(&hdr, data, size, piece, &b));
	/* the fragments of IPv6 carry a number that is never the same */
	check(a.cnt == b.cnt && (a.hash == b.hash || hdr.gso_type == VMTAP_GSO_UDP));
	return 0;
}
