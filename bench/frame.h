/* SPDX-License-Identifier: MIT */
/*
 * The frames that the load consists of.
 *
 * Model
 *   Every frame carries a stamp at the same place, behind what would be its
 *   UDP header: a magic number and a sequence number, and in its last four
 *   bytes a word made from the sequence number and the length. A frame that
 *   was cut, padded or mixed up with another is therefore not recognised.
 *
 *   Towards the host the frames have an Ethernet type that nobody listens to,
 *   so that the kernel drops them early. Towards the guest they are UDP, so
 *   that the kernel can cut one large packet into many frames, which is the
 *   cheapest way to fill a TAP's queue.
 */
#ifndef BENCH_FRAME_H
#define BENCH_FRAME_H

#include <linux/virtio_net.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FRAME_MIN 60
#define FRAME_MAX 1514
#define FRAME_GSO_MAX 65535    /* longer than FRAME_MAX: TCP, whole, still to be segmented */
#define FRAME_ETHERTYPE 0x88b5 /* IEEE 802 local experimental */
#define FRAME_UDP_HEADERS 42   /* Ethernet, IPv4, UDP */

/** frame_fill() - Write the frame's constant part. */
void frame_fill(unsigned char *frame, size_t len);

/** frame_stamp() - Make it frame number @seq. */
void frame_stamp(unsigned char *frame, size_t len, uint64_t seq);

/** frame_read() - Is it one of ours, and whole? Which number? */
bool frame_read(const unsigned char *frame, size_t len, uint64_t *seq);

/**
 * frame_fill_udp() - Write a UDP packet that the kernel cuts into frames
 * @hdr:  what has to stand in front of it
 * @size: bytes a frame
 * @cnt:  frames; @packet has room for FRAME_UDP_HEADERS + @cnt * (@size - FRAME_UDP_HEADERS)
 * @seq:  number of the first frame
 *
 * Return: the packet's length.
 */
size_t frame_fill_udp(unsigned char *packet, struct virtio_net_hdr *hdr, size_t size, unsigned cnt,
		      uint64_t seq);

/** frame_turn() - Give it the addresses of the way to the guest; frame_fill_udp() does by itself. */
void frame_turn(unsigned char *packet);

/** frame_fill_tcp() - Write a TCP segment of @len bytes, up to FRAME_GSO_MAX, that the kernel or a NIC is
 *  still to cut; it carries no number. @hdr: what has to stand in front of it */
void frame_fill_tcp(unsigned char *packet, struct virtio_net_hdr *hdr, size_t len);

/** frame_mixed_size() - A size for the @n-th frame of a mixed load: long, short, even, odd. */
size_t frame_mixed_size(uint64_t n);

/**
 * struct tally - What arrived
 * @next:    the number that would come next
 * @late:    frames whose number had passed already: reordered or doubled
 * @foreign: frames that are not ours, or not whole
 */
struct tally {
	uint64_t frames, bytes;
	uint64_t next, late, foreign;
};

/** tally_add() - Count a frame that arrived. */
void tally_add(struct tally *t, const unsigned char *frame, size_t len);

#endif
