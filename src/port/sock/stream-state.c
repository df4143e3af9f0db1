/* SPDX-License-Identifier: MIT */
/* What the `stream` port's next run needs to go on with a connection at the byte. */
#include "port/sock/stream-state.h"

#include <endian.h>
#include <string.h>

#define MAGIC "vmtapcn"
#define VERSION 1u
#define TX_BROKEN 1u

/** struct head - @size: of all. @sum: of all but itself, which is the last of the head */
struct head {
	char magic[8];
	uint32_t version, size;
	uint64_t id;
	uint32_t flags, rx_len, tx_len, tx_frame;
	uint64_t sum;
};

_Static_assert(sizeof(struct head) == STREAM_STATE_HEAD, "no holes");
_Static_assert(offsetof(struct head, sum) == sizeof(struct head) - sizeof(uint64_t), "the last");

/* FNV-1a, over the bytes that are not the sum: against accidents, not against those who can count. */
static uint64_t sum_of(const uint8_t *buf, size_t len)
{
	uint64_t h = 0xcbf29ce484222325u;

	for (size_t i = 0; i < len; i++)
		if (i < offsetof(struct head, sum) || i >= sizeof(struct head))
			h = (h ^ buf[i]) * 0x100000001b3u;
	return h;
}

static void append(uint8_t *buf, size_t *at, const void *data, size_t len)
{
	if (len)
		memcpy(buf + *at, data, len);
	*at += len;
}

size_t stream_state_encode(const struct stream_state *s, uint8_t *buf)
{
	struct head head = {
		.magic = MAGIC,
		.version = VERSION,
		.size = (uint32_t)(sizeof(head) + s->rx_len + s->tx_len),
		.id = s->id,
		.flags = s->tx_broken ? TX_BROKEN : 0,
		.rx_len = (uint32_t)s->rx_len,
		.tx_len = (uint32_t)s->tx_len,
		.tx_frame = s->tx_frame,
	};
	size_t at = 0;

	append(buf, &at, &head, sizeof(head));
	append(buf, &at, s->rx, s->rx_len);
	append(buf, &at, s->tx, s->tx_len);
	head.sum = sum_of(buf, at);
	memcpy(buf, &head, sizeof(head));
	return at;
}

/* Is there what a frame leaves of which some bytes are gone? What is left of its length has to be its length. */
static bool is_rest(const struct head *head, const uint8_t *tx)
{
	const uint32_t prefix = htobe32(head->tx_frame);
	const size_t whole = FRAMING_PREFIX + (size_t)head->tx_frame;
	size_t gone;

	if (!head->tx_frame || head->tx_frame > VMTAP_FRAME_MAX || !head->tx_len ||
	    head->tx_len > whole || head->flags & TX_BROKEN)
		return false;
	gone = whole - head->tx_len;
	return gone >= FRAMING_PREFIX ||
	       memcmp(tx, (const uint8_t *)&prefix + gone, FRAMING_PREFIX - gone) == 0;
}

const char *stream_state_decode(struct stream_state *s, const uint8_t *buf, size_t len)
{
	struct head head;

	if (len < sizeof(head))
		return "its state is cut";
	memcpy(&head, buf, sizeof(head));
	if (memcmp(head.magic, MAGIC, sizeof(head.magic)) != 0)
		return "its state is none that vmtap wrote";
	if (head.version != VERSION)
		return "its state is of another version of vmtap";
	if (head.size != len)
		return "its state has another size than it says";
	if (head.sum != sum_of(buf, len))
		return "its state is damaged";
	if (head.flags & ~TX_BROKEN || head.rx_len > FRAMING_SIZE ||
	    sizeof(head) + (uint64_t)head.rx_len + head.tx_len != len)
		return "its state does not agree with itself";
	buf += sizeof(head);
	if ((head.tx_len || head.tx_frame) && !is_rest(&head, buf + head.rx_len))
		return "its state has a frame that cannot be";
	*s = (struct stream_state) {
		.id = head.id,
		.tx_broken = head.flags & TX_BROKEN,
		.rx = buf,
		.rx_len = head.rx_len,
		.tx = buf + head.rx_len,
		.tx_len = head.tx_len,
		.tx_frame = head.tx_frame,
	};
	return NULL;
}
