/* SPDX-License-Identifier: MIT */
/*
 * Fuzz target: mcast_parse() on frames, and snoop_take() on what it found.
 *
 * Model
 *   input  frames, each: u8 port, u8 VLAN, u8 piece, u8 how long it took since the last (a quarter of a second
 *          each), u16 length, the frame with its Ethernet header
 *
 *   With the first bit of the piece's size, checksums are put right, so that more than one frame in a while gets
 *   past them. Every piece of a frame is an allocation of its own, so that the address sanitizer sees a read beyond
 *   any. Beyond not crashing, it must hold that
 *   - the pieces that the frame comes in make no difference;
 *   - all groups and destinations are group addresses, and records end;
 *   - no more is kept than fits, and nothing goes where there is no port.
 */
#include <netinet/in.h>
#include <stdlib.h>

#include "net/checksum.h"
#include "net/packet.h"
#include "net/snoop.h"

#define HEAD_LEN 6u
#define FRAME_MAX 4096u
#define MEMBERSHIPS 16u
#define PORTS 4u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t scratch[VMTAP_FRAME_MAX], copy[FRAME_MAX];

static void check(bool holds)
{
	if (!holds)
		abort();
}

static void set_sum(uint8_t *at, const uint8_t *from, uint32_t len, struct csum c)
{
	uint16_t v;

	at[0] = at[1] = 0;
	csum_add(&c, from, len);
	v = csum_final(&c);
	memcpy(at, &v, 2);
}

static void mend4(uint8_t *ip, uint32_t len)
{
	const uint32_t head = (ip[0] & 0xfu) * 4;
	const struct csum none = { 0 };

	if (len < 20 || head < 20 || len < head + 4)
		return;
	put_be16(ip + 2, (uint16_t)len);
	set_sum(ip + 10, ip, head, none);
	set_sum(ip + head + 2, ip + head, len - head, none);
}

static void mend6(uint8_t *ip, uint32_t len)
{
	uint32_t head = 40;
	uint8_t proto = ip[6];
	struct csum c = { 0 };

	if (len < 48)
		return;
	if (proto == IPPROTO_HOPOPTS) {
		proto = ip[40];
		head += (ip[41] + 1u) * 8;
	}
	if (len < head + 4)
		return;
	put_be16(ip + 4, (uint16_t)(len - 40));
	csum_add(&c, ip + 8, 32);
	csum_add16(&c, (uint16_t)(len - head));
	csum_add16(&c, proto);
	set_sum(ip + head + 2, ip + head, len - head, c);
}

static void mend(uint8_t *f, uint32_t len)
{
	if (len < 34)
		return;
	if (get_be16(f + 12) == 0x0800)
		mend4(f + 14, len - 14);
	else if (get_be16(f + 12) == 0x86dd)
		mend6(f + 14, len - 14);
}

static void parse(const uint8_t *data, uint32_t len, uint32_t piece, struct mcast_msg *m)
{
	static struct iovec iov[FRAME_MAX];
	struct vmtap_frame frame = { .len = len, .iov = iov };

	for (uint32_t off = 0, n; off < len; off += n) {
		n = len - off < piece ? len - off : piece;
		iov[frame.iov_cnt].iov_base = malloc(n);
		check(iov[frame.iov_cnt].iov_base);
		memcpy(iov[frame.iov_cnt].iov_base, data + off, n);
		iov[frame.iov_cnt++].iov_len = n;
	}
	mcast_parse(&frame, data, 14, get_be16(data + 12), scratch, m);
	for (uint32_t i = 0; i < frame.iov_cnt; i++)
		free(iov[i].iov_base);
}

static bool is_group(const struct mcast_addr *a)
{
	return a->is_ip6 ? a->bytes[0] == 0xff : a->bytes[0] >> 4 == 0xe;
}

static unsigned read_records(struct mcast_msg m)
{
	struct mcast_record r;
	unsigned cnt = 0;

	while (mcast_next(&m, &r)) {
		check(is_group(&r.group) && r.group.is_ip6 == m.to.is_ip6);
		cnt++;
	}
	return cnt;
}

static void one(struct snoop *s, const struct snoop_place *from, uint32_t len, uint32_t piece,
		uint64_t now_ms)
{
	struct mcast_msg m, other;
	struct port_set to;
	unsigned cnt;

	parse(copy, len, piece ? piece : 1, &other);
	cnt = read_records(other);
	parse(copy, len, len, &m);
	check(m.kind == other.kind && m.general == other.general && m.settles == other.settles &&
	      m.response_ms == other.response_ms && read_records(m) == cnt);
	check(m.kind == MCAST_REPORT || !cnt);
	if (m.kind != MCAST_NONE && m.kind != MCAST_WRONG)
		check(is_group(&m.to));
	if (snoop_take(s, from, &m, now_ms, &to) == SNOOP_SOME) {
		check(m.kind == MCAST_DATA || m.kind == MCAST_REPORT);
		check(to.bits[0] < 1u << PORTS && !to.bits[1] && !to.bits[2] && !to.bits[3]);
	}
	check(snoop_memberships(s) <= MEMBERSHIPS);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct snoop *s;
	uint64_t now_ms = 1;

	if (!s)
		s = snoop_new(MEMBERSHIPS);
	check(s);
	snoop_clear(s, now_ms);
	for (unsigned i = 0; i < PORTS; i++)
		snoop_port_came(s, i, i == PORTS - 1, now_ms);
	while (size > HEAD_LEN) {
		const struct snoop_place from = {
			.port = data[0] % PORTS,
			.vlan = data[1],
			.isolated = data[0] & 0x80,
		};
		uint32_t len = get_be16(data + 4), piece = data[2];

		now_ms += data[3] * 250u;
		data += HEAD_LEN;
		size -= HEAD_LEN;
		if (len > size)
			len = (uint32_t)size;
		if (len > FRAME_MAX || len < 14)
			break;
		memcpy(copy, data, len);
		if (piece & 1)
			mend(copy, len);
		one(s, &from, len, piece, now_ms);
		data += len;
		size -= len;
	}
	snoop_sweep(s, now_ms);
	return 0;
}
