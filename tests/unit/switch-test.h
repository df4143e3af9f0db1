/* SPDX-License-Identifier: MIT */
/* A switch with three fake ports, or as many as PORTS says, at most five. */
#ifndef SWITCH_TEST_H
#define SWITCH_TEST_H

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "fake-port.h"
#include "net/frameq.h"
#include "net/switch.h"

#ifndef PORTS
#define PORTS 3
#endif
#define BROADCAST 0xffffffffffffull
#define MAC_OF(i) (0x020000000001ull + (unsigned)(i))
#define QUEUE .queue_frames = 16, .queue_bytes = FRAMEQ_SIZE_MIN

static struct loop *loop;
static struct port_env env;
static struct net_switch *sw;
static struct fake *ports[PORTS];

static void join_all(const struct switch_config *config)
{
	static const struct switch_place plain;

	sw = switch_new(&env, "lan", config, NULL);
	assert_non_null(sw);
	for (unsigned i = 0; i < PORTS; i++)
		assert_int_equal(switch_add(sw, &ports[i]->port, &plain, NULL), 0);
}

static int switch_setup(void **state)
{
	static const char *const names[] = { "a", "b", "c", "d", "e" };

	loop = loop_new();
	env = (struct port_env) { .loop = loop, .cancel_fd = -1 };
	for (unsigned i = 0; i < PORTS; i++)
		ports[i] = fake_new(&env, names[i]);
	join_all(&(struct switch_config) { .max_macs = 64, QUEUE });
	return 0;
}

static int switch_teardown(void **state)
{
	for (unsigned i = 0; i < PORTS; i++)
		port_free(&ports[i]->port);
	switch_free(sw);
	loop_free(loop);
	return 0;
}

static inline void remake(const struct switch_config *config)
{
	switch_free(sw);
	join_all(config);
}

/* Another place for port @i. */
static inline void place(unsigned i, const struct switch_place *p)
{
	assert_int_equal(switch_remove(sw, &ports[i]->port), 0);
	assert_int_equal(switch_add(sw, &ports[i]->port, p, NULL), 0);
}

static void put_mac(unsigned char *to, uint64_t mac)
{
	for (int i = 0; i < 6; i++)
		to[i] = (unsigned char)(mac >> (40 - 8 * i));
}

/* 60 bytes, @number behind the Ethernet header. */
static void make_frame(struct vmtap_frame *f, struct iovec *iov, unsigned char *bytes,
		       uint64_t from, uint64_t to, uint32_t number)
{
	fake_frame(f, iov, bytes, 60, number);
	put_mac(bytes, to);
	put_mac(bytes + 6, from);
	bytes[12] = 8;
}

static inline void say_from(unsigned i, uint64_t from, uint64_t to, uint32_t number)
{
	unsigned char bytes[60];
	struct iovec iov;
	struct vmtap_frame f;

	make_frame(&f, &iov, bytes, from, to, number);
	assert_int_equal(port_offer(&ports[i]->port, &f, 1), 1);
}

static inline void say(unsigned i, uint64_t to, uint32_t number)
{
	say_from(i, MAC_OF(i), to, number);
}

/* The same with a tag in front: 64 bytes. */
static inline void say_tagged(unsigned i, uint64_t to, uint16_t type, uint16_t tci, uint32_t number)
{
	unsigned char plain[60], bytes[64];
	struct iovec iov;
	struct vmtap_frame f;

	make_frame(&f, &iov, plain, MAC_OF(i), to, number);
	memcpy(bytes, plain, 12);
	memcpy(bytes + 12, (uint16_t[]) { htons(type), htons(tci) }, 4);
	memcpy(bytes + 16, plain + 12, 48);
	iov = (struct iovec) { bytes, sizeof(bytes) };
	f.len = sizeof(bytes);
	assert_int_equal(port_offer(&ports[i]->port, &f, 1), 1);
}

/* @cnt TCP broadcasts of 3000 bytes of payload each, to be segmented by @size. Return: frames taken. */
static inline unsigned offer_tcp(unsigned i, unsigned cnt, uint16_t size)
{
	static unsigned char bytes[14 + 20 + 20 + 3000];
	static const unsigned char ip[] = { 8, 0, 0x45, 0, 0x0b, 0xe0, 0,  0, 0x40, 0, 64,   6,
					    0, 0, 10,	0, 0,	 1,    10, 0, 0,    2, 0,    1,
					    0, 2, 0,	0, 0,	 0,    0,  0, 0,    0, 0x50, 0x10 };
	struct vmtap_frame frames[VMTAP_BURST_MAX];
	struct iovec iov = { bytes, sizeof(bytes) };

	put_mac(bytes, BROADCAST);
	put_mac(bytes + 6, MAC_OF(i));
	memcpy(bytes + 12, ip, sizeof(ip));
	for (unsigned n = 0; n < cnt; n++)
		frames[n] = (struct vmtap_frame) {
			.hdr = { .flags = VMTAP_HDR_NEEDS_CSUM,
				 .gso_type = VMTAP_GSO_TCPV4,
				 .hdr_len = 54,
				 .gso_size = size,
				 .csum_start = 34,
				 .csum_offset = 16 },
			.len = sizeof(bytes),
			.iov = &iov,
			.iov_cnt = 1,
		};
	return port_offer(&ports[i]->port, frames, cnt);
}

static inline void clear(void)
{
	for (unsigned i = 0; i < PORTS; i++)
		ports[i]->got = 0;
}

#define assert_got(i, cnt) assert_int_equal(ports[i]->got, cnt)

static inline struct vmtap_switch_stats stats(void)
{
	struct vmtap_switch_stats s;

	switch_stats(sw, &s);
	return s;
}

#define SWITCH(f) cmocka_unit_test_setup_teardown(f, switch_setup, switch_teardown)

#endif
