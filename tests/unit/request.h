/* SPDX-License-Identifier: MIT */
/* Requests that a test of the responder makes: one at a time, in `frame`, `len` bytes. */
#ifndef TESTS_REQUEST_H
#define TESTS_REQUEST_H

#include <arpa/inet.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <string.h>

#include <cmocka.h>

#include "vmtap/vmtap.h"

static const uint8_t host_mac[6] = { 0x52, 0x54, 0, 1, 2, 3 };
static const uint8_t peer_mac[6] = { 2, 0, 0, 0, 0, 9 };
static const uint8_t broadcast[6] = { 255, 255, 255, 255, 255, 255 };

#define HOST_LL "fe80::5054:ff:fe01:203"
#define GROUP_OF_LL "ff02::1:ff01:203"
#define GROUP_OF_IP6 "ff02::1:ff00:2"

static uint8_t frame[VMTAP_FRAME_MAX];
static size_t len;

/* Plain RFC 1071, on its own, so that the code under test does not check itself. */
static inline uint16_t sum16(const uint8_t *data, size_t n, uint32_t sum)
{
	for (size_t i = 0; i < n; i++)
		sum += i & 1 ? data[i] : (uint32_t)data[i] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

static inline uint16_t sum6(const uint8_t *ip, size_t plen)
{
	return sum16(ip + 40, plen, (uint32_t)sum16(ip + 8, 32, 0) + (uint32_t)plen + ip[6]);
}

static inline void put16(uint8_t *at, unsigned v)
{
	at[0] = (uint8_t)(v >> 8);
	at[1] = (uint8_t)v;
}

static inline unsigned get16(const uint8_t *at)
{
	return (unsigned)at[0] << 8 | at[1];
}

static inline void put_ip4(uint8_t *at, const char *text)
{
	assert_int_equal(inet_pton(AF_INET, text, at), 1);
}

static inline void put_ip6(uint8_t *at, const char *text)
{
	assert_int_equal(inet_pton(AF_INET6, text, at), 1);
}

/* Return: where the network header starts. */
static inline uint8_t *ether(const uint8_t dst[6], unsigned type)
{
	memset(frame, 0, sizeof(frame));
	memcpy(frame, dst, 6);
	memcpy(frame + 6, peer_mac, 6);
	put16(frame + 12, type);
	return frame + 14;
}

static inline uint8_t *arp_request(const char *who)
{
	uint8_t *a = ether(broadcast, 0x0806);

	memcpy(a, (const uint8_t[]) { 0, 1, 8, 0, 6, 4, 0, 1 }, 8);
	memcpy(a + 8, peer_mac, 6);
	put_ip4(a + 14, "10.0.0.1");
	put_ip4(a + 24, who);
	len = 60; /* padded, as from a real adapter */
	return a;
}

static inline void finish_ip4(uint8_t *ip, size_t hdr_len, size_t data_len)
{
	ip[0] = (uint8_t)(0x40 | hdr_len / 4);
	put16(ip + 2, (unsigned)(hdr_len + data_len));
	put16(ip + 10, 0);
	put16(ip + 10, (uint16_t)~sum16(ip, hdr_len, 0));
	len = 14 + hdr_len + data_len;
}

static inline uint8_t *ping4(size_t hdr_len, size_t data_len)
{
	uint8_t *ip = ether(host_mac, 0x0800), *icmp = ip + hdr_len;

	ip[1] = 0x20;
	put16(ip + 4, 0x1234);
	ip[8] = 17;
	ip[9] = 1;
	put_ip4(ip + 12, "10.0.0.1");
	put_ip4(ip + 16, "10.0.0.2");
	memset(ip + 20, 1, hdr_len - 20); /* options: no operation */
	icmp[0] = 8;
	put16(icmp + 4, 0xbeef);
	put16(icmp + 6, 7);
	for (size_t i = 8; i < data_len; i++)
		icmp[i] = (uint8_t)(i * 7);
	put16(icmp + 2, (uint16_t)~sum16(icmp, data_len, 0));
	finish_ip4(ip, hdr_len, data_len);
	return ip;
}

static inline void finish_ip6(uint8_t *ip, size_t plen)
{
	ip[0] = 0x60;
	put16(ip + 4, (unsigned)plen);
	ip[6] = 58;
	put16(ip + 42, 0);
	put16(ip + 42, (uint16_t)~sum6(ip, plen));
	len = 14 + 40 + plen;
}

static inline uint8_t *ping6(const uint8_t dst_mac[6], const char *src, const char *dst,
			     size_t plen)
{
	uint8_t *ip = ether(dst_mac, 0x86dd);

	put16(ip + 2, 0x4711); /* flow label */
	ip[7] = 3;
	put_ip6(ip + 8, src);
	put_ip6(ip + 24, dst);
	ip[40] = 128;
	for (size_t i = 4; i < plen; i++)
		ip[40 + i] = (uint8_t)(i * 5);
	finish_ip6(ip, plen);
	return ip;
}

static inline uint8_t *solicit(const char *src, const char *dst, const char *target,
			       bool with_source_mac)
{
	uint8_t group_mac[6] = { 0x33, 0x33 }, *ip;
	uint8_t addr[16];

	put_ip6(addr, dst);
	memcpy(group_mac + 2, addr + 12, 4);
	ip = ether(addr[0] == 0xff ? group_mac : host_mac, 0x86dd);
	ip[7] = 255;
	put_ip6(ip + 8, src);
	memcpy(ip + 24, addr, 16);
	ip[40] = 135;
	put_ip6(ip + 48, target);
	if (with_source_mac) {
		ip[64] = 1;
		ip[65] = 1;
		memcpy(ip + 66, peer_mac, 6);
	}
	finish_ip6(ip, with_source_mac ? 32 : 24);
	return ip;
}

/* Put an 802.1Q tag into the frame that was built. */
static inline void tag(unsigned tci)
{
	memmove(frame + 16, frame + 12, len - 12);
	put16(frame + 12, 0x8100);
	put16(frame + 14, tci);
	len += 4;
}

#endif
