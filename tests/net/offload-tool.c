/* SPDX-License-Identifier: MIT */
/*
 * offload-tool - what offload_finish() makes of frames, for tests in other languages.
 *
 * Model
 *   Reads requests from stdin until it ends, answers each on stdout, numbers
 *   in the host's order:
 *
 *     request  u32 accepts, u32 piece, u32 len, struct vmtap_net_hdr, len bytes
 *     answer   i32 result, u32 cnt, then cnt times: u32 len, struct vmtap_net_hdr, len bytes
 *
 *   The frame is handed over in pieces of @piece bytes; 0: in one.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "net/offload.h"

struct request {
	uint32_t accepts, piece, len;
	struct vmtap_net_hdr hdr;
};

/* Finished frames, until it is known how many there are. */
struct store {
	struct offload_out out;
	FILE *to;
	uint32_t cnt;
};

static int store_frame(struct offload_out *out, const struct vmtap_frame *frame)
{
	struct store *s = (struct store *)out;

	fwrite(&frame->len, sizeof(frame->len), 1, s->to);
	fwrite(&frame->hdr, sizeof(frame->hdr), 1, s->to);
	for (uint32_t i = 0; i < frame->iov_cnt; i++)
		fwrite(frame->iov[i].iov_base, 1, frame->iov[i].iov_len, s->to);
	s->cnt++;
	return ferror(s->to) ? -ENOMEM : 0;
}

static uint32_t cut(unsigned char *data, uint32_t len, uint32_t piece, struct iovec *iov)
{
	uint32_t cnt = 0;

	if (!piece)
		piece = len;
	for (uint32_t off = 0; off < len; off += piece)
		iov[cnt++] = (struct iovec) {
			.iov_base = data + off,
			.iov_len = len - off < piece ? len - off : piece,
		};
	return cnt;
}

static int answer(const struct request *req, const struct iovec *iov, uint32_t iov_cnt)
{
	static unsigned char scratch[VMTAP_FRAME_MAX];
	struct vmtap_frame frame = {
		.hdr = req->hdr,
		.len = req->len,
		.iov = iov,
		.iov_cnt = iov_cnt,
	};
	char *data = NULL;
	size_t size = 0;
	struct store s = { .out.emit = store_frame, .to = open_memstream(&data, &size) };
	int32_t res;

	if (!s.to)
		return -1;
	res = offload_finish(&frame, req->accepts, scratch, &s.out);
	if (fclose(s.to))
		return -1;
	fwrite(&res, sizeof(res), 1, stdout);
	fwrite(&s.cnt, sizeof(s.cnt), 1, stdout);
	fwrite(data, 1, size, stdout);
	free(data);
	return fflush(stdout);
}

int main(void)
{
	static unsigned char data[VMTAP_FRAME_MAX + 1];
	static struct iovec iov[sizeof(data)];
	struct request req;

	while (fread(&req, sizeof(req), 1, stdin) == 1) {
		if (req.len > sizeof(data) || fread(data, 1, req.len, stdin) != req.len)
			return EXIT_FAILURE;
		if (answer(&req, iov, cut(data, req.len, req.piece, iov)))
			return EXIT_FAILURE;
	}
	return EXIT_SUCCESS;
}
