/* SPDX-License-Identifier: MIT */
/* The frames that the load consists of. */
#include "frame.h"

#include <assert.h>
#include <string.h>

#define MAGIC 0x766d6274u
#define STAMP_LEN 12 /* magic, sequence number */
#define TAIL_LEN 4
#define TCP_HEADERS 54 /* Ethernet, IPv4, TCP */
#define MSS 1448
#define GSO_UDP_L4 5 /* VIRTIO_NET_HDR_GSO_UDP_L4; older headers lack it */

static_assert(FRAME_UDP_HEADERS + STAMP_LEN + TAIL_LEN <= FRAME_MIN, "a stamp fits every frame");

static const unsigned char ethernet[14] = {
	2, 0, 0, 0, 0, 0xfe, 2, 0, 0, 0, 0, 1, FRAME_ETHERTYPE >> 8, FRAME_ETHERTYPE & 0xff
};

static uint32_t tail_word(uint64_t seq, size_t len)
{
	return (uint32_t)seq * 2654435761u ^ (uint32_t)len;
}

/* @payload is what follows the UDP header of a frame of @len bytes. */
static void stamp_payload(unsigned char *payload, size_t len, uint64_t seq)
{
	uint32_t magic = MAGIC, tail = tail_word(seq, len);

	memcpy(payload, &magic, sizeof(magic));
	memcpy(payload + sizeof(magic), &seq, sizeof(seq));
	memcpy(payload + len - FRAME_UDP_HEADERS - TAIL_LEN, &tail, sizeof(tail));
}

void frame_fill(unsigned char *frame, size_t len)
{
	memset(frame, 0, len);
	memcpy(frame, ethernet, sizeof(ethernet));
}

void frame_stamp(unsigned char *frame, size_t len, uint64_t seq)
{
	stamp_payload(frame + FRAME_UDP_HEADERS, len, seq);
}

bool frame_read(const unsigned char *frame, size_t len, uint64_t *seq)
{
	uint32_t magic, tail;

	if (len < FRAME_MIN || len > FRAME_MAX)
		return false;
	memcpy(&magic, frame + FRAME_UDP_HEADERS, sizeof(magic));
	memcpy(seq, frame + FRAME_UDP_HEADERS + sizeof(magic), sizeof(*seq));
	memcpy(&tail, frame + len - TAIL_LEN, sizeof(tail));
	return magic == MAGIC && tail == tail_word(*seq, len);
}

static uint32_t sum16(const unsigned char *p, size_t len, uint32_t sum)
{
	for (size_t i = 0; i + 1 < len; i += 2)
		sum += (uint32_t)p[i] << 8 | p[i + 1];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

static void put16(unsigned char *p, size_t value)
{
	p[0] = (unsigned char)(value >> 8);
	p[1] = (unsigned char)value;
}

/* 198.18.0.0/15 is set aside for benchmarks. */
static const unsigned char addresses[8] = { 198, 18, 0, 1, 198, 18, 0, 2 };

/* Ethernet and IPv4. Return: the pseudo header's sum, to which the kernel adds the rest. */
static uint32_t fill_ip(unsigned char *packet, size_t len, unsigned char protocol)
{
	unsigned char *ip = packet + sizeof(ethernet);

	memcpy(packet, ethernet, 12);
	put16(packet + 12, 0x0800);
	ip[0] = 0x45;
	put16(ip + 2, len - sizeof(ethernet));
	ip[6] = 0x40; /* do not fragment */
	ip[8] = 64;
	ip[9] = protocol;
	memcpy(ip + 12, addresses, sizeof(addresses));
	put16(ip + 10, ~sum16(ip, 20, 0));
	return sum16(addresses, sizeof(addresses),
		     protocol + (uint32_t)(len - sizeof(ethernet) - 20));
}

void frame_turn(unsigned char *packet)
{
	memcpy(packet, ethernet + 6, 6);
	memcpy(packet + 6, ethernet, 6);
}

static void fill_headers(unsigned char *packet, size_t len)
{
	unsigned char *udp = packet + sizeof(ethernet) + 20;

	memset(packet, 0, FRAME_UDP_HEADERS);
	put16(udp + 6, fill_ip(packet, len, 17));
	put16(udp, 4096);
	put16(udp + 2, 9); /* discard */
	put16(udp + 4, len - sizeof(ethernet) - 20);
}

size_t frame_fill_udp(unsigned char *packet, struct virtio_net_hdr *hdr, size_t size, unsigned cnt,
		      uint64_t seq)
{
	size_t payload = size - FRAME_UDP_HEADERS;
	size_t len = FRAME_UDP_HEADERS + payload * cnt;

	fill_headers(packet, len);
	frame_turn(packet);
	*hdr = (struct virtio_net_hdr) { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
					 .gso_type = GSO_UDP_L4,
					 .hdr_len = FRAME_UDP_HEADERS,
					 .gso_size = (uint16_t)payload,
					 .csum_start = 34,
					 .csum_offset = 6 };
	if (cnt == 1) {
		hdr->gso_type = VIRTIO_NET_HDR_GSO_NONE;
		hdr->gso_size = 0;
	}
	for (unsigned i = 0; i < cnt; i++)
		stamp_payload(packet + FRAME_UDP_HEADERS + i * payload, size, seq + i);
	return len;
}

void frame_fill_tcp(unsigned char *packet, struct virtio_net_hdr *hdr, size_t len)
{
	unsigned char *tcp = packet + sizeof(ethernet) + 20;

	memset(packet, 0, len);
	put16(tcp + 16, fill_ip(packet, len, 6));
	put16(tcp, 4096);
	put16(tcp + 2, 9); /* discard */
	tcp[12] = 5 << 4;
	tcp[13] = 0x10; /* ACK */
	put16(tcp + 14, 0xff00);
	*hdr = (struct virtio_net_hdr) { .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM,
					 .gso_type = VIRTIO_NET_HDR_GSO_TCPV4,
					 .hdr_len = TCP_HEADERS,
					 .gso_size = MSS,
					 .csum_start = 34,
					 .csum_offset = 16 };
}

size_t frame_mixed_size(uint64_t n)
{
	static const uint16_t sizes[] = { 60, 1514, 64, 61, 590, 1500, 127, 1001, 77, 1280, 65 };

	return sizes[n % (sizeof(sizes) / sizeof(sizes[0]))];
}

void tally_add(struct tally *t, const unsigned char *frame, size_t len)
{
	uint64_t seq;

	if (!frame_read(frame, len, &seq)) {
		t->foreign++;
		return;
	}
	t->frames++;
	t->bytes += len;
	if (seq < t->next)
		t->late++;
	else
		t->next = seq + 1;
}
