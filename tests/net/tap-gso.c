/* SPDX-License-Identifier: MIT */
/* GSO frames for the claims about offloads. */
#include "tap-gso.h"

#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/utsname.h>

const struct gso gsos[GSO_CNT] = {
	{ VMTAP_GSO_TCPV4, VMTAP_OFFLOAD_TSO4, false, false },
	{ VMTAP_GSO_TCPV6, VMTAP_OFFLOAD_TSO6, true, false },
	{ VMTAP_GSO_UDP_L4, VMTAP_OFFLOAD_USO4, false, true },
	{ VMTAP_GSO_UDP_L4, VMTAP_OFFLOAD_USO6, true, true },
};

unsigned gso_l4_at(const struct gso *g)
{
	return ETH + (g->v6 ? 40 : 20);
}

unsigned gso_headers(const struct gso *g)
{
	return gso_l4_at(g) + (g->udp ? 8 : 20);
}

static uint16_t sum(const unsigned char *data, size_t len, uint32_t start)
{
	uint32_t total = start;

	for (size_t i = 0; i < len; i++)
		total += i % 2 ? data[i] : (uint32_t)data[i] << 8;
	while (total >> 16)
		total = (total & 0xffff) + (total >> 16);
	return (uint16_t)total;
}

static void put16(unsigned char *at, unsigned value)
{
	at[0] = (unsigned char)(value >> 8);
	at[1] = (unsigned char)value;
}

static unsigned get16(const unsigned char *at)
{
	return (unsigned)at[0] << 8 | at[1];
}

/* Of the pseudo-header of the frame's addresses. */
static uint16_t pseudo(const struct gso *g, const unsigned char *frame, size_t l4_len)
{
	const unsigned char *addresses = frame + ETH + (g->v6 ? 8 : 12);

	return sum(addresses, g->v6 ? 32 : 8, (uint32_t)(l4_len + (g->udp ? 17 : 6)));
}

unsigned gso_frame(const struct gso *g, unsigned char *f, struct vmtap_net_hdr *hdr)
{
	unsigned l4 = gso_l4_at(g), head = gso_headers(g), l4_len = head - l4 + GSO_PAYLOAD;

	memset(f, 0, head);
	memcpy(f, (unsigned char[]) { 2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1 }, 12);
	put16(f + 12, g->v6 ? 0x86dd : 0x0800);
	if (g->v6) {
		f[ETH] = 0x60;
		put16(f + ETH + 4, l4_len);
		f[ETH + 6] = g->udp ? 17 : 6;
		f[ETH + 7] = 64;
		f[ETH + 8] = f[ETH + 24] = 0xfd;
		f[ETH + 23] = 1;
		f[ETH + 39] = 2;
	} else {
		f[ETH] = 0x45;
		put16(f + ETH + 2, 20 + l4_len);
		f[ETH + 8] = 64;
		f[ETH + 9] = g->udp ? 17 : 6;
		memcpy(f + ETH + 12, (unsigned char[]) { 10, 0, 0, 1, 10, 0, 0, 2 }, 8);
		put16(f + ETH + 10, 0xffffu & ~(unsigned)sum(f + ETH, 20, 0));
	}
	put16(f + l4, 1000);
	put16(f + l4 + 2, 2000);
	if (g->udp) {
		put16(f + l4 + 4, l4_len);
	} else {
		f[l4 + 12] = 0x50; /* header of 20 bytes */
		f[l4 + 13] = 0x10; /* ACK */
		put16(f + l4 + 14, 1000);
	}
	put16(f + l4 + (g->udp ? 6 : 16), pseudo(g, f, l4_len));
	for (unsigned i = 0; i < GSO_PAYLOAD; i++)
		f[head + i] = (unsigned char)(i * 13 + (i >> 8));
	*hdr = (struct vmtap_net_hdr) {
		.flags = VMTAP_HDR_NEEDS_CSUM,
		.gso_type = (uint8_t)g->type,
		.hdr_len = (uint16_t)head,
		.gso_size = GSO_MSS,
		.csum_start = (uint16_t)l4,
		.csum_offset = g->udp ? 6 : 16,
	};
	return head + GSO_PAYLOAD;
}

unsigned gso_check_complete(const struct gso *g, const unsigned char *f, unsigned len, unsigned off)
{
	unsigned l4 = gso_l4_at(g), head = gso_headers(g);

	assert_in_range(len, head + 1, ETH + 1500);
	assert_int_equal(get16(f + 12), g->v6 ? 0x86dd : 0x0800);
	if (!g->v6)
		assert_int_equal(sum(f + ETH, 20, 0), 0xffff);
	assert_int_equal(sum(f + l4, len - l4, pseudo(g, f, len - l4)), 0xffff);
	for (unsigned i = head; i < len; i++, off++)
		assert_int_equal(f[i], (unsigned char)(off * 13 + (off >> 8)));
	return len - head;
}

int gso_socket(void)
{
	struct sockaddr_ll addr = { .sll_family = AF_PACKET,
				    .sll_protocol = htons(0x0003),
				    .sll_ifindex = (int)if_nametoindex("vm0") };
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), one = 1;

	assert_true(fd >= 0);
	assert_int_equal(setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one)), 0);
	assert_int_equal(setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &one, sizeof(one)), 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
	return fd;
}

bool gso_kernel_knows(const struct gso *g)
{
	unsigned major = 0, minor = 0;
	struct utsname u;

	assert_int_equal(uname(&u), 0);
	assert_int_equal(sscanf(u.release, "%u.%u", &major, &minor), 2);
	return g->type != VMTAP_GSO_UDP_L4 || major > 6 || (major == 6 && minor >= 2);
}

void gso_kernel_send(int sock, const struct gso *g)
{
	static unsigned char f[GSO_FRAME_MAX];
	struct vmtap_net_hdr hdr;
	unsigned len = gso_frame(g, f, &hdr);
	struct iovec iov[] = { { &hdr, 10 }, { f, len } };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };

	assert_int_equal(sendmsg(sock, &msg, 0), 10 + len);
}
