/* SPDX-License-Identifier: MIT */
/*
 * Fuzzes the control queue: commands, one after the other, and the filter that they set.
 *
 * Input: eight bytes of features, one of queue pairs, one that says how commands are cut, then
 * commands, each behind two bytes of length. Every piece and every frame is an allocation of
 * its own size. However a command is cut, it must do the same; a refused one must do nothing; and
 * what is set must stay within what there is.
 */
#include <assert.h>
#include <linux/virtio_net.h>
#include <stdlib.h>
#include <string.h>

#include "port/vu/ctrl.h"

#define PIECES 64u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const uint8_t own[6] = { 0x52, 0x54, 0, 1, 2, 3 };

/* Carry a command out in pieces of @piece bytes, the last of which has the rest. */
static uint8_t run(struct ctrl *c, const uint8_t *data, uint32_t len, uint32_t piece)
{
	struct iovec iov[PIECES] = { 0 };
	unsigned cnt = 0;
	uint8_t ret;

	for (uint32_t at = 0; at < len; cnt++) {
		uint32_t some = cnt == PIECES - 1 || piece > len - at ? len - at : piece;

		iov[cnt] = (struct iovec) { malloc(some), some };
		memcpy(iov[cnt].iov_base, data + at, some);
		at += some;
	}
	ret = ctrl_command(c, iov, cnt, len);
	while (cnt)
		free(iov[--cnt].iov_base);
	return ret;
}

static bool takes(const struct ctrl *c, const uint8_t *data, unsigned len)
{
	uint8_t *eth = malloc(len ? len : 1);
	bool ret;

	memcpy(eth, data, len);
	ret = ctrl_takes(&c->filter, eth, len);
	free(eth);
	return ret;
}

static void check_filter(const struct ctrl *c, const uint8_t *data, uint32_t len)
{
	const struct ctrl_filter *f = &c->filter;

	assert(f->uni_cnt <= CTRL_MACS_MAX && f->multi_cnt <= CTRL_MACS_MAX);
	for (unsigned n = 0; n <= 18 && n <= len; n++) {
		bool is = takes(c, data + len - n, n);

		if (!f->active || f->promisc)
			assert(is);
		else if (n < 14)
			assert(!is);
	}
	if (!f->nouni && !f->has_vlans) {
		const uint8_t eth[14] = { f->mac[0], f->mac[1], f->mac[2],
					  f->mac[3], f->mac[4], f->mac[5] };

		assert(takes(c, eth, sizeof(eth)));
	}
}

static void check(const struct ctrl *c)
{
	assert(c->pairs >= 1 && (c->pairs == 1 || c->pairs <= c->pairs_max));
	assert(!(c->offloads & ~c->features));
	assert(!(c->filter.mac[0] & 1));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct ctrl c, before, cut; /* compared with their padding */
	uint64_t features;
	size_t at = 10;

	if (size < at)
		return 0;
	memcpy(&features, data, sizeof(features));
	ctrl_init(&c, features, data[8], own);
	while (size - at >= 2) {
		uint32_t len = data[at] | (uint32_t)data[at + 1] << 8;
		uint8_t ret;

		at += 2;
		if (len > size - at)
			len = (uint32_t)(size - at);
		memcpy(&before, &c, sizeof(c));
		memcpy(&cut, &c, sizeof(c));
		ret = run(&c, data + at, len, len);
		assert(ret == VIRTIO_NET_OK || ret == VIRTIO_NET_ERR);
		if (ret != VIRTIO_NET_OK)
			assert(memcmp(&c, &before, sizeof(c)) == 0);
		assert(run(&cut, data + at, len, 1 + data[9]) == ret);
		assert(memcmp(&c, &cut, sizeof(c)) == 0);
		check(&c);
		check_filter(&c, data + at, len);
		at += len;
	}
	return 0;
}
