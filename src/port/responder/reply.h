/* SPDX-License-Identifier: MIT */
/*
 * What a host answers: a request's frame in, the reply's frame out.
 *
 * Model
 *   Pure functions. They know no port and no clock, and they allocate
 *   nothing: a request is turned into its reply in place, in a buffer that is
 *   the caller's own (never one that the peer can still write to).
 *
 * No loops
 *   Only requests are answered (ARP request, neighbour solicitation, echo
 *   request), never a reply, and never a frame whose source is a group. So
 *   two hosts that are joined together fall silent.
 *
 * What the peer may do wrong
 *   Everything: each length and checksum is checked before it is believed. A
 *   frame that lies is REPLY_BAD and is not answered.
 */
#ifndef PORT_RESPONDER_REPLY_H
#define PORT_RESPONDER_REPLY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Room that a buffer for reply_make() and reply_announce() has at least; every reply that is
 *  longer is no longer than its request. */
#define REPLY_ROOM_MIN 96

/** Most frames that announce a host. */
#define REPLY_ANNOUNCE_MAX 3

/**
 * struct reply_host - Who answers
 * @ip:  with @has_ip
 * @ip6: with @has_ip6
 * @ll6: the link-local address that reply_host_init() makes from @mac
 */
struct reply_host {
	uint8_t mac[6];
	bool has_ip, has_ip6;
	uint8_t ip[4];
	uint8_t ip6[16];
	uint8_t ll6[16];
};

enum reply_kind {
	REPLY_ARP,	 /* answered, as the three below */
	REPLY_NEIGHBOUR, /* a neighbour solicitation */
	REPLY_ECHO4,
	REPLY_ECHO6,
	REPLY_OTHER,	/* sound, and nothing that this host answers */
	REPLY_FRAGMENT, /* a piece of a packet for this host */
	REPLY_BAD,	/* malformed, or a wrong checksum */
	REPLY_KIND_CNT,
};

/** reply_is_answer() - Did reply_make() leave a reply in the buffer? */
static inline bool reply_is_answer(enum reply_kind kind)
{
	return kind <= REPLY_ECHO6;
}

/** reply_host_init() - A host with this MAC address and, made from it (EUI-64), its link-local
 *  address; no other address yet. */
void reply_host_init(struct reply_host *h, const uint8_t mac[6]);

/** reply_is_for() - Does a frame with this destination reach the host? Its own address, broadcast,
 *  all IPv6 nodes, and the solicited-node groups of its addresses do. */
bool reply_is_for(const struct reply_host *h, const uint8_t dst[6]);

/**
 * reply_make() - Turn the request in @frame into its reply
 * @frame: the whole frame, 14 bytes or more
 * @len:   its length; becomes the reply's
 * @room:  size of @frame, at least REPLY_ROOM_MIN and @len
 *
 * One 802.1Q tag is carried over into the reply. IP options are not.
 * Return: what it was. Unless reply_is_answer(), @frame is as it was.
 */
enum reply_kind reply_make(const struct reply_host *h, void *frame, size_t *len, size_t room);

/**
 * reply_announce() - The @index-th frame that tells others where the host is
 *
 * A gratuitous ARP request (RFC 5227, 3) and unsolicited neighbour advertisements (RFC 4861, 7.2.6).
 * Return: its length in @frame, which has room for REPLY_ROOM_MIN bytes; 0: this host has no such
 * frame (a later @index below REPLY_ANNOUNCE_MAX may have one).
 */
size_t reply_announce(const struct reply_host *h, unsigned index, void *frame);

#endif
